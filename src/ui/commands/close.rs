//! Closing an answer, a bookmark or everything; and bringing it back.

use super::ask;
use crate::settings::Bookmark;
use crate::ui::app::App;
use crate::ui::closed::{Closed, ClosedAnswer, ClosedWindow, forget_oldest};
use crate::ui::document::DocumentId;
use crate::ui::intent::Intent;
use crate::ui::start;
use crate::ui::walkthrough::editor::Editor;

/// Longest quoted text of a message, in characters.
const LONGEST_QUOTE: usize = 48;

/// Closes an answered question; its neighbour is shown.
pub fn answer(app: &mut App, id: DocumentId) {
    if app.chat.asking.as_ref().is_some_and(|asking| asking.document == Some(id)) {
        ask::stop(app);
    }
    let Some((at, doc)) = app.docs.remove(id) else { return };
    let text = doc.meta().answer.trim().to_owned();
    let turns = app.turns.remove(&id);
    let picture = app.pictures.remove(&id);
    let forgotten = app.what_if.forget(id);
    if app.current == Some(id) {
        app.current = None;
        let next = app.docs.get_at(at).or_else(|| app.docs.last()).map(|doc| doc.id);
        if let Some(next) = next {
            app.show_document(next);
        }
    }
    let closed = ClosedAnswer { at, doc, turns, picture, forgotten };
    remember(app, Closed::Answer(Box::new(closed)), &quoted("the answer", &text));
}

/// Deletes a bookmark.
pub fn bookmark(app: &mut App, index: usize) {
    let bookmark: Bookmark = app.settings.bookmarks.remove(index);
    let text = quoted("the bookmark", &bookmark.note);
    remember(app, Closed::Bookmark(index, Box::new(bookmark)), &text);
}

/// Closes everything and asks the first question again, as at the first start.
pub fn everything(app: &mut App) {
    ask::stop(app);
    let count = app.docs.len();
    // Textures and renderers are made again when they are needed.
    app.what_if.forget_device();
    let mut editor = app.editor.take();
    if let Some(editor) = &mut editor {
        editor.rebuild(app.stage.gpu(), app.stage.painter());
    }
    let closed = ClosedWindow {
        docs: std::mem::take(&mut app.docs),
        turns: std::mem::take(&mut app.turns),
        pictures: std::mem::take(&mut app.pictures),
        tables: app.data_sets.take(),
        current: app.current.take(),
        what_if: std::mem::take(&mut app.what_if),
        scores: app.scores.take(),
        editor,
        question: std::mem::take(&mut app.chat.question),
    };
    let answers = if count == 1 { "1 answer".to_owned() } else { format!("{count} answers") };
    let walkthrough = if closed.editor.is_some() { " and the walkthrough" } else { "" };
    let text = answers + walkthrough;
    remember(app, Closed::Everything(Box::new(closed)), &text);
    match start::ask_first_question(&mut app.chat, &app.settings) {
        Ok(first) => {
            if let Some(picture) = first.preview {
                app.exports.preview(picture);
            }
            first.intents.into_iter().for_each(|intent| app.intents.send(intent));
        }
        Err(error) => app.notify(format!("{error:#}"), true),
    }
}

/// Brings back what was closed last.
pub fn reopen(app: &mut App) {
    app.closed_last = false;
    app.notices
        .retain(|notice| !notice.offers.iter().any(|(_, intent)| matches!(intent, Intent::Reopen)));
    match app.closed.pop() {
        None => app.notify("Nothing that was closed can be brought back.", false),
        Some(Closed::Bookmark(at, bookmark)) => {
            let bookmarks = &mut app.settings.bookmarks;
            bookmarks.insert(at.min(bookmarks.len()), *bookmark);
        }
        Some(Closed::Answer(closed)) => {
            let ClosedAnswer { at, doc, turns, picture, forgotten } = *closed;
            let id = doc.id;
            app.docs.insert(at, doc);
            app.turns.extend(turns.map(|turns| (id, turns)));
            app.pictures.extend(picture.map(|picture| (id, picture)));
            app.what_if.bring_back(forgotten);
            app.show_document(id);
        }
        Some(Closed::Everything(closed)) => reopen_everything(app, *closed),
        Some(Closed::Walkthrough(editor)) => reopen_walkthrough(app, editor),
    }
}

/// Brings a walkthrough back, unless another one is open: then it stays closed.
fn reopen_walkthrough(app: &mut App, mut editor: Box<Editor>) {
    if app.editor.is_some() {
        app.closed.push(Closed::Walkthrough(editor));
        let text =
            "Another walkthrough is open: close it, then undo again to bring the closed one back.";
        return app.offer(text.into(), vec![("Undo", Intent::Reopen)]);
    }
    // The device may have been lost meanwhile.
    editor.rebuild(app.stage.gpu(), app.stage.painter());
    app.editor = Some(*editor);
}

/// Puts all answers before those that were added since.
fn reopen_everything(app: &mut App, closed: ClosedWindow) {
    // Measurements of the answers that were added since stay.
    let mut what_if = closed.what_if;
    for doc in app.docs.iter() {
        what_if.bring_back(app.what_if.forget(doc.id));
    }
    for (at, doc) in closed.docs.iter().enumerate() {
        app.docs.insert(at, doc.clone());
    }
    app.turns.extend(closed.turns);
    app.pictures.extend(closed.pictures);
    app.what_if = what_if;
    app.scores = closed.scores.or(app.scores.take());
    if !closed.question.is_empty() {
        app.chat.question = closed.question;
    }
    closed.tables.into_iter().for_each(|table| app.data_sets.add(table));
    app.data_sets.is_shown = false;
    if let Some(current) = closed.current {
        app.show_document(current);
    }
    if let Some(editor) = closed.editor {
        reopen_walkthrough(app, Box::new(editor));
    }
}

fn remember(app: &mut App, closed: Closed, text: &str) {
    app.closed.push(closed);
    forget_oldest(&mut app.closed);
    app.closed_last = true;
    // Only the last closing is undone by the button: an older message must not seem to offer another.
    app.notices
        .retain(|notice| !notice.offers.iter().any(|(_, intent)| matches!(intent, Intent::Reopen)));
    app.offer_briefly(format!("Closed {text}."), vec![("Undo", Intent::Reopen)]);
}

fn quoted(what: &str, text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_QUOTE).collect();
    if short.len() < text.len() {
        short = format!("{} …", short.trim_end());
    }
    if short.is_empty() {
        what.to_owned()
    } else {
        format!("{what} \"{}\"", short.trim_end_matches('.'))
    }
}
