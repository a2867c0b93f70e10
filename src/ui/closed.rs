//! Closed answers and bookmarks that can be brought back.

use super::data_set::DataSetDoc;
use super::document::{Document, DocumentId};
use super::documents::Documents;
use super::score::Scores;
use super::walkthrough::editor::Editor;
use super::what_if::{Forgotten, WhatIf};
use crate::model::{Picture, Turn};
use crate::settings::Bookmark;
use std::collections::HashMap;

/// Number of closings that can be undone; each may hold a trace in memory.
pub const MOST_CLOSED: usize = 20;

/// Something that was closed.
pub enum Closed {
    /// An answer.
    Answer(Box<ClosedAnswer>),
    /// A bookmark, with its place in the list.
    Bookmark(usize, Box<Bookmark>),
    /// Every answer and the walkthrough.
    Everything(Box<ClosedWindow>),
}

/// An answer that was closed.
pub struct ClosedAnswer {
    /// Its place in the list.
    pub at: usize,
    /// The answer with its view.
    pub doc: Document,
    /// The conversation before it.
    pub turns: Option<Vec<Turn>>,
    /// Its picture.
    pub picture: Option<Picture>,
    /// Measurements of it.
    pub forgotten: Forgotten,
}

/// Everything that a window held.
pub struct ClosedWindow {
    /// The answers.
    pub docs: Documents,
    /// The conversation before each question.
    pub turns: HashMap<DocumentId, Vec<Turn>>,
    /// The picture of each question.
    pub pictures: HashMap<DocumentId, Picture>,
    /// The tables over many answers.
    pub tables: Vec<DataSetDoc>,
    /// The answer that was looked at.
    pub current: Option<DocumentId>,
    /// Edits and measurements.
    pub what_if: WhatIf,
    /// Curves of the deletion and insertion test.
    pub scores: Option<Scores>,
    /// The walkthrough.
    pub editor: Option<Editor>,
    /// Text in the question box.
    pub question: String,
}
