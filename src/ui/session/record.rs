//! The text of a session: what was open, and which file holds it.

use crate::analysis::diff::Words;
use crate::edit::{Edits, Step};
use crate::model::Curves;
use crate::ui::data_set::DataSetView;
use crate::ui::score::Line;
use crate::view::ViewState;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of the text; a newer one is set aside, not read.
pub const SESSION_VERSION: u32 = 1;

/// A session. Answers are named by the numbers of their documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Version of this text.
    pub version: u32,
    /// The answer that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Text in the question box.
    pub question: String,
    /// Whether the next question goes on with the conversation.
    pub follow_up: bool,
    /// The picture that the next question is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureRecord>,
    /// The open walkthrough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walkthrough: Option<WalkthroughRecord>,
    /// The picture that is edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<EditRecord>,
    /// The two answers that are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ComparisonRecord>,
    /// The measured effects of heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<HeadEffectsRecord>,
    /// The last change of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervention: Option<InterventionRecord>,
    /// The curves of the test of maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoresRecord>,
    /// Whether the window shows the last table.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shows_table: bool,
    /// The open tables over many answers, the one that was looked at last at the end.
    #[serde(rename = "table", skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableRecord>,
    /// The answers, the oldest first.
    #[serde(rename = "answer", skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
}

/// An encoded picture in a file of the session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PictureRecord {
    /// Name of the picture for errors and traces.
    pub name: String,
    /// The file, relative to the session's folder.
    pub file: PathBuf,
}

/// An open table over many answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The heads table.
    pub path: PathBuf,
    /// The view of it.
    #[serde(default)]
    pub view: DataSetView,
    /// The open answers of its samples.
    #[serde(default, rename = "sample", skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<SampleRecord>,
}

/// An answer that was opened from a table, or asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// Number of the document.
    pub answer: u64,
    /// Name of the sample.
    pub name: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// Number of the document.
    pub id: u64,
    /// The file of the trace, relative to the session's folder.
    pub trace: PathBuf,
    /// The file of the user that the answer was read from or saved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// [`crate::trace::FileStamp::to_text`] of that file, if the answer is read from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// Whether the picture was edited before the question was asked.
    #[serde(default)]
    pub is_edited: bool,
    /// Question and answer of each earlier turn of the conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<(String, String)>,
    /// The picture as it was given; `None` if the trace holds the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureRecord>,
    /// The file with the views before and after the present one, relative to the session's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<PathBuf>,
    /// The view.
    pub view: ViewState,
}

/// The open walkthrough, beside its own file in the session's folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WalkthroughRecord {
    /// The file that it is saved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Whether that file holds it as it is.
    pub is_saved: bool,
    /// Whether the stage shows it.
    pub is_previewing: bool,
    /// Whether a file beside it holds its undo steps.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_versions: bool,
    /// Traces outside the folder of its file that nobody has allowed to be packed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<PathBuf>,
    /// Its traces.
    #[serde(rename = "trace", skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<WalkthroughTrace>,
}

/// A trace of the walkthrough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WalkthroughTrace {
    /// The file of the trace, relative to the session's folder.
    pub trace: PathBuf,
    /// Whether that is a file of the user.
    #[serde(default)]
    pub is_of_user: bool,
    /// Number of the document that shows the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<u64>,
}

/// The edits of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditRecord {
    /// The answer whose picture is edited.
    pub original: u64,
    /// The answer about the edited picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<u64>,
    /// Whether that answer is older than the last step.
    pub is_stale: bool,
    /// Left and upper edge of the crop that it was asked with.
    pub asked_crop: [u32; 2],
    /// The steps.
    pub edits: Edits,
    /// Undone steps; the last is the next to redo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<Step>,
}

/// Two answers that are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRecord {
    /// The first answer.
    pub first: u64,
    /// The second.
    pub second: u64,
    /// The file of the second question scored with the first answer, relative to the session's folder.
    pub scored: PathBuf,
}

/// The effect of switching single heads off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadEffectsRecord {
    /// The answer.
    pub on: u64,
    /// Number of heads in all layers.
    pub count: usize,
    /// Index of each measured head, Δ log p, and whether greedy decoding would diverge.
    pub effects: Vec<(usize, f32, bool)>,
}

/// Deletion and insertion curves of maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoresRecord {
    /// The answer.
    pub on: u64,
    /// Text of the scored words.
    pub text: String,
    /// The maps.
    #[serde(rename = "map")]
    pub lines: Vec<Line>,
    /// Their curves.
    pub curves: Curves,
}

/// The effect of a change of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterventionRecord {
    /// The answer.
    pub on: u64,
    /// Description of the change.
    pub what: String,
    /// Δ log p of each answer token.
    pub delta_logprob: Vec<f32>,
    /// Whether greedy decoding would diverge.
    pub changes_answer: bool,
    /// The answer compared with the one that the changed model gives.
    pub words: Vec<Words>,
    /// Whether attention was steered.
    #[serde(default)]
    pub is_steered: bool,
}

impl Record {
    /// Reads the text.
    ///
    /// # Errors
    /// A sentence without a full stop, if it is no session or a newer one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let record: Self = toml::from_str(text)
            .map_err(|error| error.message().split_whitespace().collect::<Vec<_>>().join(" "))?;
        match record.version {
            SESSION_VERSION => Ok(record),
            0 => Err("it has no version".into()),
            newer => Err(format!("version {newer} is newer than this program's {SESSION_VERSION}")),
        }
    }
}
