//! Undo and redo, of whatever is being changed: edits of the picture, else the view. While a
//! walkthrough is previewed the keys mean that; see [`super::walkthrough::takes`].

use super::edit_picture;
use crate::ui::app::App;

/// Takes the last change back.
pub fn undo(app: &mut App) {
    if app.what_if.tool.is_some() {
        return edit_picture::change(app, |edits| edits.undo());
    }
    if let Some(doc) = app.doc_mut() {
        doc.undo();
    }
    app.transition = None;
}

/// Does it again.
pub fn redo(app: &mut App) {
    if app.what_if.tool.is_some() {
        return edit_picture::change(app, |edits| edits.redo());
    }
    if let Some(doc) = app.doc_mut() {
        doc.redo();
    }
    app.transition = None;
}
