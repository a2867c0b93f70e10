//! Requests to the engine and their options.

use super::error::{ModelError, Result};
use super::hex::hex;
use super::manifest::Text;
use crate::files;
use crate::trace::{ImageSpan, PreprocessMode, RequestInfo, Sampling};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Larger files are refused before they are read: four bytes per permitted pixel.
pub const MAX_PICTURE_BYTES: u64 = 512 << 20;

/// A picture as an encoded file.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Name for errors and for the trace, without its folder.
    pub name: String,
    /// The bytes of the file.
    pub bytes: Arc<[u8]>,
}

impl Picture {
    /// Reads a file; it is decoded later.
    ///
    /// # Errors
    /// If the file cannot be read, is not a regular file (a device has no end), or is larger than
    /// [`MAX_PICTURE_BYTES`].
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |source| ModelError::PictureFile { path: path.to_owned(), source };
        let no_picture =
            |reason: String| ModelError::Picture { name: path.display().to_string(), reason };
        let bytes = files::read(path, MAX_PICTURE_BYTES).map_err(|source| match source.kind() {
            ErrorKind::InvalidInput | ErrorKind::IsADirectory | ErrorKind::FileTooLarge => {
                no_picture(source.to_string())
            }
            _ => unreadable(source),
        })?;
        let name = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, bytes: bytes.into() })
    }
}

/// An earlier question of the conversation with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
}

/// The query rows that are kept as pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// Text and answer positions after the first picture; all positions if there is no picture.
    #[default]
    Text,
    /// Every position.
    All,
}

impl Rows {
    /// The first query whose row is kept, after a prompt with these views; all later ones are kept.
    pub fn first(self, spans: &[ImageSpan]) -> u32 {
        match self {
            Self::All => 0,
            Self::Text => spans.iter().map(|span| span.extent().end).min().unwrap_or(0) as u32,
        }
    }
}

/// Changes inside the model during an answer; the default changes nothing, bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interventions {
    /// Factor on each head's output, [L, H] row by row; empty means 1 everywhere.
    pub head_scale: Vec<f32>,
    /// Layers in which the query–key pairs below are masked.
    pub knock_layers: Vec<u32>,
    /// Query positions that must not attend to `knock_keys`.
    pub knock_queries: Vec<Range<u32>>,
    /// Key positions that are masked. Ranges may go past the end; a position always attends to itself.
    pub knock_keys: Vec<Range<u32>>,
    /// Bias of attention scores; `None`: no bias.
    pub steering: Option<Steering>,
}

/// A number added to attention scores before the softmax: attention to a key is multiplied by e^strength, before the
/// weights of a query are scaled to sum 1 again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Steering {
    /// The number; 0 changes nothing, negative numbers turn attention away.
    pub strength: f32,
    /// Layer and head of each steered head; empty means all.
    pub heads: Vec<[u32; 2]>,
    /// Query positions whose scores are changed. Ranges may go past the end.
    pub queries: Vec<Range<u32>>,
    /// Key positions whose scores are changed.
    pub keys: Vec<Range<u32>>,
}

/// Larger strengths would not change any weight further: e^−60 of a weight is 0 beside the others.
pub const MAX_STRENGTH: f32 = 60.0;

impl Steering {
    /// Whether no score changes.
    pub fn is_neutral(&self) -> bool {
        self.strength == 0.0 || self.queries.is_empty() || self.keys.is_empty()
    }

    fn check(&self, text: &Text) -> Result<()> {
        let bad = |what: String, reason: String| Err(ModelError::Request { what, reason });
        if !(-MAX_STRENGTH..=MAX_STRENGTH).contains(&self.strength) {
            return bad(
                "the strength of steering".into(),
                format!("is {}; use −{MAX_STRENGTH} to {MAX_STRENGTH}.", self.strength),
            );
        }
        let unknown = |&&[layer, head]: &&[u32; 2]| {
            layer as usize >= text.layers || head as usize >= text.heads
        };
        match self.heads.iter().find(unknown) {
            Some([layer, head]) => bad(
                format!("head {layer}.{head}"),
                format!(
                    "does not exist: this model has layers 0 to {} and heads 0 to {}.",
                    text.layers - 1,
                    text.heads - 1
                ),
            ),
            None => Ok(()),
        }
    }
}

impl Interventions {
    /// Whether no change is made.
    pub fn is_neutral(&self) -> bool {
        let knocks = !self.knock_layers.is_empty()
            && !self.knock_queries.is_empty()
            && !self.knock_keys.is_empty();
        !knocks && !self.steers() && self.head_scale.iter().all(|&scale| scale == 1.0)
    }

    /// Whether attention is steered.
    pub fn steers(&self) -> bool {
        self.steering.as_ref().is_some_and(|steering| !steering.is_neutral())
    }

    /// Checks the sizes against the model.
    ///
    /// # Errors
    /// If a layer or the number of factors does not fit.
    pub fn check(&self, text: &Text) -> Result<()> {
        self.steering.iter().try_for_each(|steering| steering.check(text))?;
        let wanted = text.layers * text.heads;
        if !self.head_scale.is_empty() && self.head_scale.len() != wanted {
            return Err(ModelError::Request {
                what: "head_scale".into(),
                reason: format!(
                    "has {} factors; this model has {} layers × {} heads = {wanted}.",
                    self.head_scale.len(),
                    text.layers,
                    text.heads
                ),
            });
        }
        if let Some(layer) = self.knock_layers.iter().find(|&&layer| layer as usize >= text.layers)
        {
            return Err(ModelError::Request {
                what: "knock_layers".into(),
                reason: format!(
                    "has layer {layer}; this model has layers 0 to {}.",
                    text.layers - 1
                ),
            });
        }
        Ok(())
    }
}

/// Options of a question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskOptions {
    /// The settings by which the next token is chosen.
    pub sampling: Sampling,
    /// Score this answer instead of generating one.
    pub answer: Option<String>,
    /// The rows of attention that are kept.
    pub rows: Rows,
    /// Also keep the attention of the vision tower.
    pub vision_attention: bool,
    /// The rule that fits a picture that is not square.
    pub preprocess: PreprocessMode,
    /// Patches that are painted with the mean colour of the pixels that the model sees, exactly at their edges: row and
    /// column, and the rows and columns of their grid.
    pub blanked: Vec<([u32; 2], [u32; 2])>,
    /// Number of likely alternatives that are kept for each token (K).
    pub topk: usize,
    /// Changes to the model.
    pub interventions: Interventions,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            answer: None,
            rows: Rows::Text,
            vision_attention: false,
            preprocess: PreprocessMode::Default,
            blanked: Vec::new(),
            topk: 10,
            interventions: Interventions::default(),
        }
    }
}

/// A question with its picture, conversation and options.
#[derive(Clone, Debug, Default)]
pub struct AskRequest {
    /// The picture, if there is one.
    pub picture: Option<Picture>,
    /// The turns before the question.
    pub turns: Vec<Turn>,
    /// The question.
    pub question: String,
    /// The options.
    pub options: AskOptions,
}

impl AskRequest {
    /// The record of the request in its trace.
    pub fn info(&self) -> RequestInfo {
        let AskOptions {
            sampling: _,
            answer,
            rows,
            vision_attention,
            preprocess,
            blanked,
            topk,
            interventions,
        } = &self.options;
        let turn = |turn: &Turn| (turn.question.clone(), turn.answer.clone());
        RequestInfo {
            picture_sha256: self
                .picture
                .as_ref()
                .map(|picture| hex(&Sha256::digest(&picture.bytes))),
            turns: self.turns.iter().map(turn).collect(),
            answer: answer.clone(),
            preprocess: *preprocess,
            all_rows: *rows == Rows::All,
            vision_attention: *vision_attention,
            topk: *topk,
            is_altered: !blanked.is_empty() || !interventions.is_neutral(),
        }
    }
}

/// The device that the model runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// CUDA if it works, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA; an error if it does not work.
    Cuda,
}

/// Options for loading a model.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// The bundle's folder; of a model on another machine the folder there, or empty for the built-in model.
    pub bundle: PathBuf,
    /// Path of ONNX Runtime's library; `None` searches for it.
    pub runtime: Option<PathBuf>,
    /// The device.
    pub device: Device,
    /// Threads for one operator; `None` uses all cores.
    pub threads: Option<usize>,
}
