//! Editing the picture: tools, steps, and asking about the edited picture.

use super::dialogs;
use super::tasks::{is_for_python, start_on_model};
use crate::analysis::diff::{difference, words};
use crate::edit::{Edits, Step, png};
use crate::job::CancelToken;
use crate::model::{AskOptions, AskRequest, Engine, Picture, Rerun, upright};
use crate::trace::{Sampling, Trace};
use crate::ui::app::App;
use crate::ui::dialogs::{Dialog, TOML};
use crate::ui::document::Document;
use crate::ui::figures::FigureKind;
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::session::picture_of;
use crate::ui::task_result::{EditAnswered, PathPurpose, TaskResult};
use crate::ui::what_if::session::Session;
use crate::ui::what_if::{Compare, Comparison, Tool};
use std::sync::Arc;

/// Takes up the tool that was used last, or puts it down.
pub fn toggle(app: &mut App) {
    let tool = if app.what_if.tool.is_some() { None } else { Some(app.what_if.last_tool) };
    take_up(app, tool);
}

/// Draws the edited picture, where it is to be seen and has changed.
pub fn draw_preview(app: &mut App, ctx: &egui::Context) {
    if app.what_if.tool.is_some()
        && let Some(session) = app.what_if.session.as_mut().filter(|session| session.stale)
    {
        session.draw_preview(ctx);
    }
}

/// Takes a tool up; the first one opens the picture of the answer that is seen.
pub fn take_up(app: &mut App, tool: Option<Tool>) {
    app.what_if.gesture.clear();
    let Some(tool) = tool else {
        app.what_if.tool = None;
        return;
    };
    let current = app.current;
    let has_session = app.what_if.session.as_ref().is_some_and(|session| {
        Some(session.original) == current || session.edited.is_some() && session.edited == current
    });
    if !has_session && !open(app) {
        return;
    }
    app.what_if.compare = Compare::Off;
    app.marking.tool = None;
    // The settings of a tool are in the what-if panel, which on a narrow window would cover the stage.
    if app.what_if.tool.is_none() && !app.is_narrow {
        app.intents.send(Intent::ShowPanel(Pane::WhatIf));
    }
    (app.what_if.tool, app.what_if.last_tool) = (Some(tool), tool);
    // Further edits continue from the edited picture, so its answer is shown.
    let edited = app.what_if.session.as_ref().and_then(|session| session.edited);
    if let Some(edited) = edited.filter(|_| app.what_if.comparison.is_some()) {
        app.show_document(edited);
    }
}

fn open(app: &mut App) -> bool {
    let Some(doc) = app.doc() else {
        app.notify("Ask about a picture first; then it can be edited.", false);
        return false;
    };
    let (id, meta) = (doc.id, doc.meta());
    let Some(size) = meta.preprocess.first().map(|info| info.original_size) else {
        app.notify("This question was asked without a picture.", false);
        return false;
    };
    let kept = picture_of(&doc.trace);
    // The original file is preferred to the copy in the trace.
    let Some(picture) = app.pictures.get(&id).cloned().or(kept) else {
        app.notify("The trace does not contain its picture.", true);
        return false;
    };
    match upright(&picture) {
        Ok(upright) => {
            app.what_if.session = Some(Session::new(id, size, upright, picture.name));
            true
        }
        Err(error) => {
            app.notify(error.to_string(), true);
            false
        }
    }
}

/// Does a step.
pub fn step(app: &mut App, step: Step) {
    let Some(session) = &mut app.what_if.session else { return };
    let result = session.edits.push(step).and_then(|()| {
        // A step that changes nothing is not recorded.
        session.edits.before_crop(&session.picture).inspect_err(|_| {
            session.edits.undo();
        })?;
        Ok(())
    });
    match result {
        Ok(()) => stepped(app),
        Err(error) => app.notify(error.to_string(), false),
    }
}

/// Changes the stack; `change` says whether it did anything.
pub fn change(app: &mut App, change: impl FnOnce(&mut Edits) -> bool) {
    if app.what_if.session.as_mut().is_some_and(|session| change(&mut session.edits)) {
        stepped(app);
    }
}

/// After a step: marks the answer as outdated; in live mode asks the model at once.
fn stepped(app: &mut App) {
    app.closed_last = false;
    let Some(session) = &mut app.what_if.session else { return };
    session.stale = true;
    if session.edits.is_empty() {
        // The untouched picture already has an answer.
        session.stale = false;
        let original = session.original;
        cancel(app);
        app.what_if.comparison = None;
        app.show_document(original);
    } else if app.what_if.live {
        ask_again(app);
    }
}

fn cancel(app: &mut App) {
    if let Some(task) = app.what_if.task.take() {
        app.tasks.cancel(task);
    }
}

/// Asks about the edited picture; a question about an earlier step is given up.
pub fn ask_again(app: &mut App) {
    cancel(app);
    let Some(session) = &app.what_if.session else { return };
    let Some(original) = app.docs.get(session.original) else { return };
    let (first, mut edits) = (Arc::clone(&original.trace), session.edits.clone());
    let (picture, name) = (Arc::clone(&session.picture), session.name.clone());
    let turns = app.turns.get(&session.original).cloned().unwrap_or_default();
    let title = "Asking about the edited picture";
    // The line names a file that the user saves.
    let edited = [("images", "[\"edited.png\"]".to_owned())];
    if is_for_python(app, title, first.meta(), Some(&edited)) {
        return;
    }
    app.what_if.task = start_on_model(app, title, move |engine, _, cancel| {
        let flat = edits.flatten(&picture)?;
        let picture = Picture { name, bytes: png(&flat)?.into() };
        let mut options = AskOptions {
            sampling: Sampling { forced: false, ..first.meta().sampling },
            blanked: edits.blanked().collect(),
            ..AskOptions::default()
        };
        if let Some(info) = first.meta().preprocess.first() {
            options.preprocess = info.mode.rule().unwrap_or_default();
        }
        let question = first.meta().question.clone();
        let request = AskRequest { picture: Some(picture.clone()), turns, question, options };
        let trace = engine.ask(&request, cancel, &mut |_| {})?;
        let comparison = held_against(engine, &first, &trace, cancel)?;
        let [left, top, ..] = edits.crop().unwrap_or_default();
        let answered = EditAnswered {
            trace: Arc::new(trace),
            picture,
            comparison,
            steps: edits.steps().to_vec(),
            crop: [left, top],
        };
        Ok(TaskResult::EditAnswered(Box::new(answered)))
    });
}

/// The second question scored with the first answer, and the difference of both traces.
pub fn held_against(
    engine: &mut Engine,
    first: &Trace,
    second: &Trace,
    cancel: &CancelToken,
) -> anyhow::Result<(Arc<Trace>, crate::analysis::diff::TraceDifference)> {
    let differ = first.answer_ids() != second.answer_ids();
    let scored = if differ {
        let answer = first.answer_ids().iter().map(|&id| id as u32).collect();
        let again = Rerun { answer: Some(answer), ..Rerun::default() };
        engine.again(second, &again, cancel, &mut |_| {})?
    } else {
        second.clone()
    };
    let found = difference(first, &scored, differ)?;
    Ok((Arc::new(scored), found))
}

/// Shows the answer about the edited picture.
pub fn show(app: &mut App, answered: EditAnswered) {
    app.what_if.task = None;
    let Some(session) = &mut app.what_if.session else { return };
    let first = session.original;
    let look = app.docs.get(first).map_or_else(|| app.look.clone(), |doc| doc.state().clone());
    session.stale = session.edits.steps() != answered.steps;
    session.asked_crop = answered.crop;
    let known = session.edited;
    let before = app.docs.get(first).map(|doc| doc.meta().answer.clone());
    let words = words(&before.unwrap_or_default(), &answered.trace.meta().answer);
    let second = match known.and_then(|id| app.docs.get_mut(id)) {
        Some(doc) => {
            doc.replace(answered.trace, false);
            doc.id
        }
        None => {
            let doc = Document { is_edited: true, ..Document::new(answered.trace, &look) };
            let id = app.docs.add(doc);
            if let Some(turns) = app.turns.get(&first).cloned() {
                app.turns.insert(id, turns);
            }
            id
        }
    };
    if let Some(session) = &mut app.what_if.session {
        session.edited = Some(second);
    }
    app.pictures.insert(second, answered.picture);
    let (scored, difference) = answered.comparison;
    app.what_if.comparison = Some(Comparison { first, second, scored, words, difference });
    // A comparison stays on the stage; a user who looks at another document keeps it.
    let elsewhere = app.current != Some(first) && app.current != known;
    if app.what_if.compare == Compare::Off && !elsewhere {
        app.show_document(second);
    }
}

/// Saves the edited picture where the user says.
pub fn save_picture(app: &mut App) {
    let Some(session) = &mut app.what_if.session else { return };
    let result = session.edits.flatten(&session.picture).and_then(|flat| png(&flat));
    let name = format!("{}-edited", stem(&session.name));
    match result {
        Ok(bytes) => save(
            app,
            Dialog::to_save("Save the edited picture", &name, FigureKind::Png.filters()),
            bytes,
        ),
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Saves the steps where the user says.
pub fn save_steps(app: &mut App) {
    let Some(session) = &app.what_if.session else { return };
    let name = format!("{}-edits", stem(&session.name));
    match session.edits.to_toml() {
        Ok(text) => save(app, Dialog::to_save("Save the edits", &name, TOML), text.into_bytes()),
        Err(error) => app.notify(error.to_string(), true),
    }
}

fn save(app: &mut App, dialog: Dialog, bytes: Vec<u8>) {
    dialogs::ask(app, dialog, PathPurpose::SaveBytes(bytes));
}

fn stem(name: &str) -> String {
    let stem = std::path::Path::new(name).file_stem();
    stem.map_or_else(|| "picture".into(), |stem| stem.to_string_lossy().into_owned())
}
