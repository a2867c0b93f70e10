//! Commands of the walkthrough editor, and keys during its preview. [`super::walkthrough_files`] opens, saves and
//! closes walkthroughs.

use crate::ui::app::App;
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::shortcuts::UiCommand;
use crate::ui::walkthrough::editor::{Editor, Stop, WalkthroughCommand};
use crate::ui::what_if::{Compare, WhatIf};
use crate::view::timeline::{Edit, Step};
use crate::view::{Command, Mix, Second, ViewState};
use std::sync::Arc;
use std::time::Duration;

/// Carries out a command with arguments.
pub fn apply(app: &mut App, command: WalkthroughCommand) {
    if let WalkthroughCommand::ShowView(step) = command {
        return show_view(app, step);
    }
    let Some(editor) = &mut app.editor else { return };
    match command {
        WalkthroughCommand::Edit(edit) => editor.edit(&edit),
        WalkthroughCommand::Hold(stop, seconds) => editor.hold(stop, seconds),
        WalkthroughCommand::Settle => editor.settle(),
        WalkthroughCommand::Select(stop) => editor.select(stop),
        WalkthroughCommand::Seek(seconds) => editor.seek(seconds),
        WalkthroughCommand::Zoom(zoom) => editor.zoom = zoom.clamp(0.01, 40.0),
        WalkthroughCommand::Undo => editor.undo(),
        WalkthroughCommand::Redo => editor.redo(),
        WalkthroughCommand::ShowView(_) => {}
        WalkthroughCommand::PackOutside => {
            editor.allow_outside();
            super::walkthrough_files::pack(app);
        }
    }
}

/// Moves the play head on while it plays.
pub fn tick(app: &mut App, ctx: &egui::Context) {
    let now = app.now();
    if let Some(editor) = &mut app.editor {
        editor.tick(now);
        if editor.is_playing() {
            ctx.request_repaint_after(Duration::from_millis(16));
        }
    }
}

/// Whether a key belongs to the walkthrough, because its preview is shown; if so, the command is carried out. A command
/// that changes the view shows the view first.
pub fn takes(app: &mut App, command: UiCommand) -> bool {
    let now = app.now();
    // A message says that the key brings back what was closed.
    if command == UiCommand::Undo && app.closed_last {
        return false;
    }
    let Some(editor) = app.editor.as_mut().filter(|editor| editor.is_previewing) else {
        return false;
    };
    match command {
        UiCommand::Play => editor.toggle_play(now),
        UiCommand::NextToken | UiCommand::NextLayer => editor.step(1),
        UiCommand::PreviousToken | UiCommand::PreviousLayer => editor.step(-1),
        UiCommand::FirstToken => editor.seek(0.0),
        UiCommand::LastToken => editor.seek(f64::MAX),
        UiCommand::Undo => editor.undo(),
        UiCommand::Redo => editor.redo(),
        UiCommand::SaveTrace => super::walkthrough_files::save(app),
        _ => {
            if command.changes_the_view() {
                editor.show_view();
            }
            return false;
        }
    }
    true
}

/// The editor, or a message that there is none.
fn editor(app: &mut App) -> Option<&mut Editor> {
    if app.editor.is_none() {
        app.notify("No walkthrough is open: make one of this answer first.", false);
    }
    app.editor.as_mut()
}

/// Changes the walkthrough and shows its preview, so that the undo key then belongs to the walkthrough.
pub fn change(app: &mut App, change: impl FnOnce(&mut Editor)) {
    if let Some(editor) = editor(app) {
        editor.is_previewing = true;
        change(editor);
    }
}

/// Shows the preview, or the view.
pub fn toggle_preview(app: &mut App) {
    let Some(editor) = editor(app) else { return };
    editor.stop_playing();
    let step = editor.selected_step().map_or(0, |(at, _)| at);
    editor.is_previewing ^= true;
    app.transport.stop();
    if app.doc().is_none() && app.chat.picture.is_none() {
        show_view(app, step);
    }
}

/// Escape: stops playing, else shows the view; false if neither applies.
pub fn put_down(app: &mut App) -> bool {
    let Some(editor) = app.editor.as_mut().filter(|editor| editor.is_previewing) else {
        return false;
    };
    if !editor.stop_playing() {
        editor.is_previewing = false;
    }
    true
}

/// Adds the view after the selected step.
pub fn add_view(app: &mut App) {
    let doc = app.doc().filter(|doc| !doc.live).cloned();
    if editor(app).is_none() {
        return;
    }
    let (Some(editor), Some(doc)) = (&mut app.editor, doc) else { return };
    let like = editor.selected_step().map(|(_, step)| step.state.clone());
    let mut state = editor.view_of(&doc, like.as_ref());
    let compares = compare(editor, &app.what_if, &doc, &mut state);
    let at = editor.after_selected();
    editor.edit(&Edit::Add(at, vec![Step::new(state, "")]));
    app.notify(format!("This view was added as step {}{compares}.", at + 1), false);
}

/// Adds the comparison of two answers that are shown together to a step. Returns a text for the message if the step
/// compares them in another way.
fn compare(
    editor: &mut Editor,
    what_if: &WhatIf,
    doc: &Document,
    state: &mut ViewState,
) -> &'static str {
    let Some(both) = what_if.seen_together(Some(doc.id)) else { return "" };
    let (mix, said) = match what_if.compare {
        Compare::Difference => (Mix::Difference, ""),
        Compare::Swipe => (Mix::Swipe { position: what_if.swipe.into() }, ""),
        _ => (Mix::Swipe { position: 0.5 }, ", as a swipe between the two answers"),
    };
    let trace = Some(editor.trace_set.name_of_trace(&both.scored));
    state.second = Some(Second { trace, map: both.map_of_second(&state.map), mix });
    said
}

/// Puts the view into the selected step.
pub fn use_view(app: &mut App) {
    let doc = app.doc().filter(|doc| !doc.live).cloned();
    if editor(app).is_none() {
        return;
    }
    let (Some(editor), Some(doc)) = (&mut app.editor, doc) else { return };
    let Some((at, step)) = editor.selected_step() else { return };
    let like = step.state.clone();
    let mut state = editor.view_of(&doc, Some(&like));
    let compares = compare(editor, &app.what_if, &doc, &mut state);
    editor.edit(&Edit::View(at, Box::new(state)));
    app.notify(format!("Step {} now shows this view{compares}.", at + 1), false);
}

/// Brings a step's view to the stage.
fn show_view(app: &mut App, at: usize) {
    let Some(editor) = &mut app.editor else { return };
    let Some(step) = editor.walkthrough().steps.get(at) else { return };
    let state = step.state.clone();
    if state.second.as_ref().is_some_and(|second| second.trace.is_some()) {
        app.notify("This step compares two answers: change its view in the file.", false);
        return;
    }
    let Some(name) = state.trace.clone() else { return };
    let open = editor.trace_set.document_of(&name);
    let open = open.filter(|id| app.docs.get(*id).is_some());
    let same_file =
        || app.docs.iter().find(|doc| doc.path.as_ref() == Some(&name)).map(|doc| doc.id);
    let id = match open.or_else(same_file) {
        Some(id) => {
            app.show_document(id);
            id
        }
        None => {
            let Some(trace) = editor.trace_set.traces.get(&name).cloned() else { return };
            app.add_document(Document::new(Arc::new(trace), &app.look.clone()))
        }
    };
    if let Some(editor) = &mut app.editor {
        editor.select(Stop::Step(at));
        editor.show_view();
        editor.trace_set.shown_by(&name, id);
    }
    let state =
        ViewState { trace: None, text_scale: app.look.text_scale, theme: app.look.theme, ..state };
    app.intents.send(Intent::Command(Command::Replace(Box::new(state))));
}
