//! Opening, saving, packing and closing walkthroughs; quitting, which could lose one.

use super::tasks::start_writing;
use super::{dialogs, session};
use crate::record::OpenTraces;
use crate::ui::app::{App, HostRequest};
use crate::ui::dialogs::{Dialog, TOML, Want};
use crate::ui::document::Document;
use crate::ui::exports::WRITES;
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::task_result::{PathPurpose, TaskResult, WalkthroughSaved};
use crate::ui::walkthrough::confirm::{AfterConfirm, Answer, Confirm, Lost};
use crate::ui::walkthrough::editor::{Editor, NewWalkthrough, WalkthroughCommand};
use crate::ui::walkthrough::make::{of_bookmarks as steps_of, read, tour_of};
use crate::ui::walkthrough::trace_set::TraceSet;
use crate::view::timeline::Walkthrough;
use std::path::{Path, PathBuf};

/// The tour of the answer that is looked at; `None` where there is none.
pub fn tour_of_answer(app: &App) -> Option<(Walkthrough, TraceSet)> {
    app.doc().filter(|doc| !doc.live).map(tour_of)
}

/// Edits the tour of the answer that is looked at. If the open walkthrough is about that answer already, that one is
/// shown.
pub fn of_answer(app: &mut App) {
    let is_of_it = app
        .editor
        .as_ref()
        .zip(app.doc())
        .is_some_and(|(editor, doc)| editor.trace_set.shows(doc.id) && !editor.is_previewing);
    if let Some(editor) = app.editor.as_mut().filter(|_| is_of_it) {
        editor.is_previewing = true;
        return;
    }
    match tour_of_answer(app) {
        Some((walkthrough, trace_set)) => {
            begin(app, Box::new(NewWalkthrough::unsaved(walkthrough, trace_set)));
        }
        None => app.notify("Ask a question first: there is no answer to show yet.", false),
    }
}

/// Edits recorded views: as a walkthrough of their own, or as further steps of the open one.
pub fn from_take(app: &mut App, walkthrough: Walkthrough, trace_set: TraceSet) {
    match &mut app.editor {
        Some(editor) => {
            let (count, at) = editor.add(walkthrough.steps, trace_set);
            app.notify(format!("{count} steps were added from step {} on.", at + 1), false);
        }
        None => begin(app, Box::new(NewWalkthrough::unsaved(walkthrough, trace_set))),
    }
}

/// Edits the bookmarks, in their order.
pub fn of_bookmarks(app: &mut App) {
    if app.settings.bookmarks.is_empty() {
        app.notify("There are no bookmarks: bookmark a view first (Ctrl+D).", false);
        return;
    }
    let bookmarks = app.settings.bookmarks.clone();
    let docs: Vec<Document> = app.docs.iter().filter(|doc| !doc.live).cloned().collect();
    app.exports.run("open", move || {
        let (walkthrough, trace_set, left_out) = steps_of(&bookmarks, &docs);
        let why = left_out.first().cloned().unwrap_or_default();
        anyhow::ensure!(!walkthrough.steps.is_empty(), "no bookmark can be shown: {why}");
        let new = Box::new(NewWalkthrough::unsaved(walkthrough, trace_set));
        Ok(TaskResult::Walkthrough { new, from: None, left_out })
    });
}

/// Opens a walkthrough or a pack.
pub fn open(app: &mut App, path: &Path) {
    let path = path.to_owned();
    app.exports.run("open", move || {
        let new = Box::new(read(&path)?);
        Ok(TaskResult::Walkthrough { new, from: Some(path), left_out: Vec::new() })
    });
}

/// Edits a walkthrough, after asking about unsaved changes of the open one.
pub fn begin(app: &mut App, new: Box<NewWalkthrough>) {
    unless_unsaved(app, AfterConfirm::Begin(new));
}

/// Closes the walkthrough.
pub fn close(app: &mut App) {
    if is_open(app) {
        unless_unsaved(app, AfterConfirm::CloseWalkthrough);
    }
}

/// Closes every answer and the walkthrough.
pub fn start_fresh(app: &mut App) {
    unless_unsaved(app, AfterConfirm::StartFresh);
}

/// Ends the program, unless something would be lost.
pub fn quit(app: &mut App) {
    unless_unsaved(app, AfterConfirm::Quit);
}

fn is_open(app: &mut App) -> bool {
    if app.editor.is_none() {
        app.notify("No walkthrough is open: make one of this answer first.", false);
    }
    app.editor.is_some()
}

/// Runs a command that would lose the walkthrough: at once if it is saved, else after asking.
fn unless_unsaved(app: &mut App, then: AfterConfirm) {
    if app.confirm.is_some() {
        app.notify("Answer the question first, then try again.", false);
    } else if app.editor.as_ref().is_some_and(Editor::is_unsaved) {
        app.confirm = Some(Confirm { of: Lost::Walkthrough, then });
    } else {
        carry_out(app, then);
    }
}

/// Runs that command: nothing can be lost any more.
fn carry_out(app: &mut App, then: AfterConfirm) {
    match then {
        AfterConfirm::CloseWalkthrough => app.editor = None,
        AfterConfirm::Begin(new) => {
            let (gpu, painter) = (app.stage.gpu(), app.stage.painter());
            app.editor = Some(Editor::new(*new, gpu, painter));
            app.transport.stop();
            // On a narrow window the panel would cover the preview.
            if !app.is_narrow {
                app.intents.send(Intent::ShowPanel(Pane::Walkthrough));
            }
        }
        AfterConfirm::StartFresh => session::close_everything(app),
        AfterConfirm::Quit => {
            if app.tasks.running().iter().any(|task| task.writes.is_some()) {
                app.confirm = Some(Confirm { of: Lost::Output, then: AfterConfirm::EndProgram });
            } else {
                carry_out(app, AfterConfirm::EndProgram);
            }
        }
        AfterConfirm::EndProgram => app.host.push(HostRequest::Quit),
    }
}

/// Goes on according to the answer.
pub fn answer(app: &mut App, answer: Answer) {
    let Some(Confirm { of, then }) = app.confirm.take() else { return };
    match answer {
        Answer::Save => save_then(app, Some(then)),
        Answer::Discard => {
            // Closing everything can be undone.
            if of == Lost::Walkthrough && !matches!(then, AfterConfirm::StartFresh) {
                // The session would bring it back at the next start.
                app.editor = None;
            }
            carry_out(app, then);
        }
        Answer::Cancel => {}
    }
}

/// Saves the walkthrough to its file, or where the user says.
pub fn save(app: &mut App) {
    if is_open(app) {
        save_then(app, None);
    }
}

/// Saves the walkthrough where the user says.
pub fn save_as(app: &mut App) {
    if is_open(app) {
        ask_where(app, None);
    }
}

fn save_then(app: &mut App, then: Option<AfterConfirm>) {
    match app.editor.as_ref().and_then(|editor| editor.path.clone()) {
        Some(path) => write(app, path, then),
        None => ask_where(app, then),
    }
}

fn ask_where(app: &mut App, then: Option<AfterConfirm>) {
    let Some(editor) = &app.editor else { return };
    let dialog = match editor.path.clone() {
        Some(path) => Dialog {
            title: "Save the walkthrough under another name",
            want: Want::Place(path),
            filters: TOML,
        },
        None => Dialog::to_save("Save the walkthrough", "walkthrough", TOML),
    };
    let purpose = PathPurpose::SaveWalkthrough { editor: editor.id(), then };
    dialogs::ask(app, dialog, purpose);
}

/// Saves the walkthrough of an editor to a file, if that is still open.
pub fn save_to(app: &mut App, editor: u64, path: PathBuf, then: Option<AfterConfirm>) {
    if app.editor.as_ref().is_some_and(|open| open.id() == editor) {
        write(app, path, then);
    }
}

fn write(app: &mut App, path: PathBuf, then: Option<AfterConfirm>) {
    let Some(editor) = &app.editor else { return };
    let (walkthrough, trace_set) = (editor.walkthrough().clone(), editor.trace_set.clone());
    let editor = editor.id();
    app.exports.run(WRITES, move || {
        let written = trace_set.save(&walkthrough, &path)?;
        let saved = WalkthroughSaved { editor, walkthrough, written, path, then };
        Ok(TaskResult::WalkthroughSaved(Box::new(saved)))
    });
}

/// A walkthrough was written.
pub fn saved(app: &mut App, saved: WalkthroughSaved) {
    let WalkthroughSaved { editor, walkthrough, written, path, then } = saved;
    let traces = written.len();
    // Another walkthrough may have been opened meanwhile.
    let open = app.editor.as_mut().filter(|open| open.id() == editor);
    let is_open = open.is_some();
    if let Some(open) = open {
        open.trace_set.remember(written);
        open.saved_as(walkthrough, path.clone());
    }
    app.settings.remember_file(&path);
    let beside = match traces {
        0 => String::new(),
        1 => ", with its answer beside it".into(),
        count => format!(", with its {count} answers beside it"),
    };
    app.notify(format!("Saved {}{beside}.", path.display()), false);
    // Changes that were made during the writing are unsaved: the user is asked again.
    if let Some(then) = then.filter(|_| is_open) {
        unless_unsaved(app, then);
    }
}

/// Packs the walkthrough with its traces where the user says; first asks about traces outside the
/// folder of its file.
pub fn pack(app: &mut App) {
    if !is_open(app) {
        return;
    }
    let Some(editor) = &app.editor else { return };
    let outside = editor.outside();
    if !outside.is_empty() {
        let names: Vec<String> = outside.iter().map(|path| path.display().to_string()).collect();
        let text = format!(
            "{} shows traces that lie outside its folder, and a pack would include them: {}.",
            editor.name(),
            names.join(", ")
        );
        let pack = Intent::Walkthrough(WalkthroughCommand::PackOutside);
        return app.offer(text, vec![("Pack them too", pack)]);
    }
    let (walkthrough, traces) = (editor.walkthrough().clone(), editor.trace_set.traces.clone());
    let stem = editor.name().trim_end_matches(".toml").replace(' ', "-");
    let filters = &[("Pack", &["zip"] as &[&str])];
    let dialog = Dialog::to_save("Pack the walkthrough with its traces", &stem, filters);
    dialogs::ask(app, dialog, PathPurpose::PackWalkthrough { walkthrough, traces });
}

/// Packs a walkthrough with its traces into a file.
pub fn pack_to(app: &mut App, walkthrough: Walkthrough, traces: OpenTraces, path: PathBuf) {
    start_writing(app, "Pack the walkthrough", "packing", move |_, _| {
        let packed = crate::record::pack(&walkthrough, &traces, &path)?;
        let megabytes = packed.bytes as f64 / 1e6;
        Ok(TaskResult::Said(format!("Packed {} ({megabytes:.1} MB).", path.display())))
    });
}
