//! Undo and redo: of closing something, if that was the last action; of edits of the picture while a tool is in use;
//! else of the view. While a walkthrough is previewed
//! the keys belong to it; see [`super::walkthrough::takes`].

use super::{close, edit_picture};
use crate::ui::app::App;

/// Undoes the last change.
pub fn undo(app: &mut App) {
    if app.closed_last {
        return close::reopen(app);
    }
    if app.what_if.tool.is_some() {
        return edit_picture::change(app, |edits| edits.undo());
    }
    if let Some(doc) = app.doc_mut() {
        doc.undo();
    }
    app.transition = None;
}

/// Redoes the last change.
pub fn redo(app: &mut App) {
    if app.what_if.tool.is_some() {
        return edit_picture::change(app, |edits| edits.redo());
    }
    if let Some(doc) = app.doc_mut() {
        doc.redo();
    }
    app.transition = None;
}
