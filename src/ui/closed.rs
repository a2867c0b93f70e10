//! Closed answers and bookmarks that can be brought back.

use super::data_set::DataSetDoc;
use super::document::{Document, DocumentId};
use super::documents::Documents;
use super::score::Scores;
use super::walkthrough::editor::Editor;
use super::what_if::session::Session;
use super::what_if::{Forgotten, WhatIf};
use crate::model::{Picture, Turn};
use crate::settings::Bookmark;
use std::collections::HashMap;

/// Number of closings that can be undone.
const MOST_CLOSED: usize = 20;
/// Bytes that closings keep in memory; the last closing can be undone whatever it holds.
const MOST_CLOSED_BYTES: usize = 32 << 20;
/// Bytes of a view in an undo history or a walkthrough, about.
const VIEW_BYTES: usize = 1 << 10;

/// Something that was closed.
pub enum Closed {
    /// An answer.
    Answer(Box<ClosedAnswer>),
    /// A bookmark, with its place in the list.
    Bookmark(usize, Box<Bookmark>),
    /// Every answer and the walkthrough.
    Everything(Box<ClosedWindow>),
    /// A walkthrough that could not come back with the answers, because another one is open.
    Walkthrough(Box<Editor>),
}

impl Closed {
    /// Bytes that it keeps in memory, about.
    fn bytes(&self) -> usize {
        let of = |doc: &Document| {
            let trace = usize::try_from(doc.trace.data_bytes()).unwrap_or(usize::MAX);
            trace.saturating_add(doc.history.number_of_views() * VIEW_BYTES)
        };
        let steps = |editor: &Editor| editor.number_of_kept_steps() * VIEW_BYTES;
        match self {
            Self::Answer(closed) => {
                let pictures = picture_bytes(closed.picture.iter());
                of(&closed.doc).saturating_add(pictures + closed.forgotten.picture_bytes())
            }
            Self::Bookmark(..) => 0,
            Self::Everything(closed) => {
                let edited = closed.what_if.session.as_ref().map_or(0, Session::picture_bytes);
                let pictures = picture_bytes(closed.pictures.values()) + edited;
                let editor = closed.editor.as_ref().map_or(0, steps);
                closed.docs.iter().map(of).fold(pictures + editor, usize::saturating_add)
            }
            Self::Walkthrough(editor) => steps(editor),
        }
    }
}

/// Bytes of the files of pictures; answers about the same file share it.
fn picture_bytes<'a>(pictures: impl Iterator<Item = &'a Picture>) -> usize {
    let files: HashMap<*const u8, usize> =
        pictures.map(|picture| (picture.bytes.as_ptr(), picture.bytes.len())).collect();
    files.values().sum()
}

/// Drops the oldest closings beyond the limits.
pub fn forget_oldest(closed: &mut Vec<Closed>) {
    let kept = number_kept(closed.iter().rev().map(Closed::bytes));
    closed.drain(..closed.len() - kept);
}

/// How many of the newest closings are kept, from their bytes, the newest first.
fn number_kept(bytes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0_usize;
    let fits = |&(age, bytes): &(usize, usize)| {
        sum = bytes.saturating_add(sum);
        age == 0 || sum <= MOST_CLOSED_BYTES
    };
    bytes.take(MOST_CLOSED).enumerate().take_while(fits).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closings_keep_a_limited_number_of_bytes_but_always_the_last() {
        let kept = |bytes: &[usize]| number_kept(bytes.iter().copied());
        assert_eq!(kept(&[]), 0);
        assert_eq!(kept(&[1; 3]), 3);
        assert_eq!(kept(&[1; 3 * MOST_CLOSED]), MOST_CLOSED);
        assert_eq!(kept(&[MOST_CLOSED_BYTES / 4; 9]), 4);
        assert_eq!(kept(&[3 * MOST_CLOSED_BYTES, 1]), 1);
        assert_eq!(kept(&[1, MOST_CLOSED_BYTES, 1]), 1);
    }
}
