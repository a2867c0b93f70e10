//! Activation patching in the window: what is asked for, and the table as far as it is filled in.

use crate::analysis::patching::{PatchResult, Site};
use crate::model::BlankFill;
use crate::ui::document::{DocumentId, InFile};
use std::sync::Arc;

/// Title of the task.
pub const TASK: &str = "Copying activations";

/// The picture of the run that activations are copied into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPicture {
    /// The same picture, blanked.
    Blank(BlankFill),
    /// The picture of another answer to the same question.
    Answer(DocumentId),
}

/// A table that was asked for, of the present answer and its chosen token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchAsk {
    /// The activations.
    pub site: Site,
    /// The other run.
    pub other: OtherPicture,
    /// Only the first-order estimate of every place.
    pub is_preview: bool,
}

/// A table, complete or in progress.
#[derive(Clone, Debug)]
pub struct Patching {
    /// The answer that activations are copied from.
    pub of: DocumentId,
    /// The table.
    pub result: Arc<PatchResult>,
}

/// News of a table.
#[derive(Debug)]
pub struct FoundPatching {
    /// The answer that activations are copied from.
    pub of: DocumentId,
    /// The table.
    pub result: PatchResult,
    /// Whether nothing more follows: the run ended or was stopped, and the table is kept in the trace.
    pub is_final: bool,
    /// Whether the user's file has it.
    pub in_file: InFile,
}
