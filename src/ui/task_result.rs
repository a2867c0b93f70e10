//! Results of background work as data: sent by tasks, exports and dialogs, and applied to the window between
//! two frames.

use super::causes::FoundCauses;
use super::data_set::figure::TableFigure;
use super::data_set::folder::FolderTable;
use super::data_set::{DataSetView, SampleId};
use super::dialogs::Dialog;
use super::document::{DocumentId, InFile};
use super::figures::{FigureJob, FigureKind};
use super::film::FilmOptions;
use super::samples::{CapturedSample, Sample};
use super::session::{Restored, Restoring};
use super::walkthrough::confirm::AfterConfirm;
use super::walkthrough::editor::NewWalkthrough;
use super::walkthrough::trace_set::Written;
use super::what_if::patching::FoundPatching;
use super::what_if::{Comparison, Intervened};
use crate::analysis::diff::TraceDifference;
use crate::analysis::methods::Method;
use crate::edit::Step;
use crate::model::{Curves, Picture, Turn};
use crate::record::OpenTraces;
use crate::settings::Bookmark;
use crate::table::statistics::DataSet;
use crate::trace::{Trace, TraceId};
use crate::view::ViewState;
use crate::view::timeline::Walkthrough;
use std::path::PathBuf;
use std::sync::Arc;

/// A final or intermediate result of a task, an export or a dialog.
#[derive(Debug)]
pub enum TaskResult {
    /// Nothing that changes the window.
    Nothing,
    /// A session was read. Saving waits until it is shown.
    Session(Box<Restored>, Option<Restoring>),
    /// A message.
    Said(String),
    /// An error message.
    Failed(String),
    /// A trace was opened from a file, to be shown under a view if there is one.
    Opened(Arc<Trace>, PathBuf, Option<Box<ViewState>>),
    /// The file of a document was read again.
    Reloaded(DocumentId, Arc<Trace>),
    /// Traces of a folder were opened; with the errors of those that could not be read.
    OpenedFolder(PathBuf, Vec<(Arc<Trace>, PathBuf)>, Vec<String>),
    /// A picture was read.
    Picture {
        /// The picture for the model.
        picture: Picture,
        /// The preview, shown until there is a trace.
        preview: egui::ColorImage,
        /// File of the picture; `None` for the clipboard.
        path: Option<PathBuf>,
    },
    /// A picture to be shown until there is a trace.
    Preview(egui::ColorImage),
    /// The samples with their small pictures.
    Samples(Vec<(Sample, egui::ColorImage)>),
    /// The captured sample traces with a small picture each.
    CapturedSamples(Vec<(CapturedSample, egui::ColorImage)>),
    /// A file was written.
    Saved(PathBuf),
    /// The trace of a document was written, in the version with this identity.
    TraceSaved(PathBuf, DocumentId, TraceId),
    /// The small pictures of the pictures of a document, by their number.
    PictureStrip(DocumentId, Vec<(u32, egui::ColorImage)>),
    /// The small picture of the bookmarked view.
    Thumbnail(Box<Bookmark>, egui::ColorImage),
    /// A figure for the clipboard.
    Image(egui::ColorImage),
    /// A text for the clipboard, and its name in messages.
    Text(String, &'static str),
    /// Relevancy maps were added to the trace of a document.
    Relevancy {
        /// The document.
        of: DocumentId,
        /// The maps.
        found: ComputedMaps,
        /// The requested methods; the first one is to be shown.
        methods: Vec<Method>,
        /// The content to be shown.
        opens: Opens,
    },
    /// Measurements for the verdict about each word were added to the trace of a document.
    Measured {
        /// The document.
        of: DocumentId,
        /// Its trace with the measurements.
        found: ComputedMaps,
    },
    /// The effect of every head was added to the trace of a document.
    HeadEffects {
        /// The document.
        of: DocumentId,
        /// Its trace with the effects.
        found: ComputedMaps,
    },
    /// Causal graphs of an answer token of a document.
    Causes {
        /// The document.
        of: DocumentId,
        /// The graphs.
        found: Box<FoundCauses>,
    },
    /// The table of copied activations, complete or in progress.
    Patching(Box<FoundPatching>),
    /// The occlusion map of a document, complete or in progress.
    Occlusion(DocumentId, Arc<Trace>),
    /// The deletion and insertion curves of a document, complete or in progress.
    Curves(DocumentId, Curves),
    /// The effect of one head on the answer of a document.
    HeadEffect {
        /// The document.
        of: DocumentId,
        /// The head, counted over all layers.
        index: usize,
        /// Δ log p of the answer.
        total: f32,
        /// Whether greedy decoding would diverge from the answer.
        changes_answer: bool,
    },
    /// A table over many answers was opened.
    OpenedTable(Arc<DataSet>),
    /// A table of the traces in a folder was made, to be shown under a view.
    TableOfFolder(Box<FolderTable>, Box<DataSetView>),
    /// The tables of a session were opened.
    RestoredTables {
        /// The tables with their views.
        tables: Vec<(Arc<DataSet>, DataSetView)>,
        /// Whether the window shows the last one.
        shows: bool,
        /// Sentences about those that could not be read.
        problems: Vec<String>,
    },
    /// The picture of a sample was read, to be asked about again.
    SamplePicture {
        /// The picture.
        picture: Picture,
        /// The preview, shown until there is an answer.
        preview: egui::ColorImage,
        /// The question.
        question: String,
        /// The turns before it.
        turns: Vec<Turn>,
        /// The sample.
        sample: SampleId,
    },
    /// The trace of a sample was opened, to be shown under a view.
    OpenedSample(Arc<Trace>, Box<ViewState>, SampleId),
    /// Two answers were compared.
    Compared(Box<Comparison>),
    /// The model was changed.
    Intervened(Box<Intervened>),
    /// The edited picture was asked about.
    EditAnswered(Box<EditAnswered>),
    /// A walkthrough is ready to be edited.
    Walkthrough {
        /// The walkthrough.
        new: Box<NewWalkthrough>,
        /// The file or pack that it was read from.
        from: Option<PathBuf>,
        /// Bookmarks that were left out, with reasons.
        left_out: Vec<String>,
    },
    /// A walkthrough was written.
    WalkthroughSaved(Box<WalkthroughSaved>),
    /// Paths were chosen.
    Paths(Box<PathPurpose>, Vec<PathBuf>),
    /// The path must be asked for in the window: the desktop has no dialogs, or it asked about
    /// another file than the one that would be replaced.
    AskInWindow(Box<PathQuestion>),
}

/// The view that computed relevancy opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// The map, in the present view if that can show it.
    Map,
    /// The relevancy view.
    View,
}

/// Maps that were added to a trace.
#[derive(Debug)]
pub struct ComputedMaps {
    /// The trace that they were computed from.
    pub base: TraceId,
    /// The trace with the maps.
    pub trace: Arc<Trace>,
    /// Whether the user's file has them.
    pub in_file: InFile,
}

/// The answer about an edited picture.
#[derive(Debug)]
pub struct EditAnswered {
    /// The new answer.
    pub trace: Arc<Trace>,
    /// The edited picture.
    pub picture: Picture,
    /// The trace of the new question scored with the first answer, and its difference from the first trace.
    pub comparison: (Arc<Trace>, TraceDifference),
    /// The edit steps of that picture.
    pub steps: Vec<Step>,
    /// Left and upper edge of the crop.
    pub crop: [u32; 2],
}

/// A walkthrough that was written.
#[derive(Debug)]
pub struct WalkthroughSaved {
    /// Identity of the editor.
    pub editor: u64,
    /// The walkthrough as it was written.
    pub walkthrough: Walkthrough,
    /// The traces that were written beside it.
    pub written: Vec<Written>,
    /// Its file.
    pub path: PathBuf,
    /// The command to go on with.
    pub then: Option<AfterConfirm>,
}

/// The purpose of a requested path.
#[derive(Debug)]
pub enum PathPurpose {
    /// Opens the files.
    Open,
    /// Compares the table that is shown with another one.
    CompareTable,
    /// Saves a figure of a table, or its numbers.
    SaveTableFigure(Box<TableFigure>),
    /// Uses the model in the folder.
    UseBundle,
    /// Saves a trace.
    SaveTrace(DocumentId, Arc<Trace>),
    /// Saves a figure or its numbers.
    SaveFigure(FigureKind, Box<FigureJob>),
    /// Saves bytes.
    SaveBytes(Vec<u8>),
    /// Records a film.
    RecordFilm {
        /// The walkthrough to record.
        walkthrough: Walkthrough,
        /// Its traces.
        traces: OpenTraces,
        /// Options of the film.
        options: FilmOptions,
    },
    /// Saves the walkthrough of an editor.
    SaveWalkthrough {
        /// The editor.
        editor: u64,
        /// The command to go on with after saving.
        then: Option<AfterConfirm>,
    },
    /// Packs a walkthrough with its traces.
    PackWalkthrough {
        /// The walkthrough.
        walkthrough: Walkthrough,
        /// Its traces.
        traces: OpenTraces,
    },
}

/// A path that is asked for in the window.
#[derive(Debug)]
pub struct PathQuestion {
    /// The question.
    pub dialog: Dialog,
    /// Purpose of the path.
    pub purpose: PathPurpose,
    /// A path that was chosen already; the user must confirm that its file is replaced.
    pub chosen: Option<PathBuf>,
}
