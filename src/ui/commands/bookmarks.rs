//! Bookmarks: adding, showing, removing and sorting them.

use super::close;
use crate::settings::Bookmark;
use crate::ui::app::App;
use crate::ui::intent::BookmarkCommand;
use crate::ui::thumbnails::{self, Thumbnail};
use crate::view::{Command, ViewState};

/// Shows or changes a bookmark.
pub fn apply(app: &mut App, command: BookmarkCommand) {
    let bookmarks = &mut app.settings.bookmarks;
    match command {
        BookmarkCommand::GoTo(index) => go_to(app, index),
        BookmarkCommand::Draw(index) => draw(app, index),
        BookmarkCommand::Remove(index) if index < bookmarks.len() => close::bookmark(app, index),
        BookmarkCommand::Swap(a, b) if a.max(b) < bookmarks.len() => bookmarks.swap(a, b),
        BookmarkCommand::Note(index, note) => {
            if let Some(bookmark) = bookmarks.get_mut(index) {
                bookmark.note = note;
            }
        }
        // It was removed in the same pass.
        BookmarkCommand::Remove(_) | BookmarkCommand::Swap(..) => {}
    }
}

/// Draws the small picture of a bookmark whose answer is open; once.
fn draw(app: &mut App, index: usize) {
    let Some(bookmark) = app.settings.bookmarks.get(index).cloned() else { return };
    if app.thumbnails.iter().any(|own| own.is_of(&bookmark)) {
        return;
    }
    let Some(doc) = app.docs.iter().find(|doc| doc.is_of(&bookmark)) else { return };
    let job = thumbnails::job(app.stage.gpu(), &bookmark, doc);
    let kept = app.settings.bookmarks.clone();
    app.thumbnails.retain(|own| kept.iter().any(|bookmark| own.is_of(bookmark)));
    app.thumbnails.push(Thumbnail::new(&bookmark));
    app.exports.draw_thumbnail(job, bookmark);
}

/// Adds the view to the bookmarks.
pub fn add(app: &mut App) {
    let Some(doc) = app.doc() else { return };
    let state = ViewState { hovered: None, ..doc.state().clone() };
    let note = doc.automatic_note(&state);
    let trace = doc.path.clone();
    let document = Some(doc.id.number());
    app.settings.bookmarks.push(Bookmark { note, trace, state, document });
    app.notify("Bookmarked.", false);
}

/// Shows the view of a bookmark, with its trace if that is open or can be opened.
fn go_to(app: &mut App, index: usize) {
    let Some(bookmark) = app.settings.bookmarks.get(index).cloned() else { return };
    let open = app.docs.iter().find(|doc| doc.is_of(&bookmark)).map(|doc| doc.id);
    let view = Box::new(bookmark.state);
    match (open, &bookmark.trace) {
        (Some(id), _) => {
            app.show_document(id);
            app.intents.command(Command::Replace(view));
        }
        (None, Some(path)) => app.exports.open_trace(path, Some(view)),
        (None, None) => {
            let text = "The answer of this bookmark was closed and is in no file.";
            app.notify(text, false);
        }
    }
}
