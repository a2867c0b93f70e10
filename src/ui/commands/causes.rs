//! Learning causal graphs, and masking their explanations in the model.

use super::relevancy::{add_to_file, keep_maps};
use super::tasks::{is_for_python, start, start_on_model};
use super::view;
use crate::analysis::causal::{CausalRequest, CausalResult, explain, head_count};
use crate::model::{Mask, MaskRequest, mask_test};
use crate::trace::{AnswerIndex, Trace};
use crate::ui::app::App;
use crate::ui::causes::{CausesCommand, FoundCauses, LEARNING, TESTING};
use crate::ui::document::{Document, DocumentId, InFile};
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::task_result::{ComputedMaps, TaskResult};
use crate::view::{Drawing, ViewKind};
use std::path::Path;
use std::sync::Arc;

/// Random sets of each kind and size, and parts of the explanation that are tried at most.
const DRAWS: usize = 10;
const MOST_SETS: usize = 100;

/// Carries out a command.
pub fn apply(app: &mut App, command: CausesCommand) {
    match command {
        CausesCommand::Learn => learn(app),
        CausesCommand::Test(mask) => test(app, mask),
    }
}

/// Shows the view of causes and its panel.
pub fn show_view(app: &mut App) {
    view::show(app, ViewKind::Causal);
    app.intents.send(Intent::ShowPanel(Pane::Causes));
}

/// Learns the graphs of the token that the view of causes shows, if the trace lacks some; once for each token.
pub fn tick(app: &mut App) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else { return };
    if doc.state().view.spec().drawing != Drawing::Tree || is_running(app, LEARNING) {
        return;
    }
    let Ok(answer) = doc.extent.causal_answer(&doc.state().map.queries) else { return };
    let key = (doc.id, answer);
    if app.causes.asked.contains(&key) {
        return;
    }
    let is_missing = match app.value_cache.stored_causal(doc, doc.state()) {
        Ok(Some(result)) => !result.missing_heads(&doc.trace).is_empty(),
        Ok(None) => true,
        Err(_) => false,
    };
    if is_missing {
        learn(app);
    }
}

fn is_running(app: &App, title: &str) -> bool {
    app.tasks.running().iter().any(|task| task.title == title)
}

/// The document and its answer token, unless the answer is being generated or the task runs.
fn asked<'a>(app: &'a App, title: &str) -> Option<(&'a Document, AnswerIndex)> {
    let doc = app.doc().filter(|doc| !doc.live && !is_running(app, title))?;
    let answer = doc.extent.causal_answer(&doc.state().map.queries).ok()?;
    Some((doc, answer))
}

fn learn(app: &mut App) {
    let Some((doc, answer)) = asked(app, LEARNING) else { return };
    let (of, trace, path) = (doc.id, Arc::clone(&doc.trace), doc.path.clone());
    let known = app.value_cache.stored_causal(doc, doc.state()).ok().flatten();
    app.causes.asked.insert((of, answer));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let request = CausalRequest::beside(known.as_deref(), &trace, answer, threads);
    let heads = match request.heads.len() {
        0 => head_count(&trace) as usize,
        some => some,
    };
    start(app, LEARNING, move |reporter, cancel| {
        let stop = || cancel.is_cancelled();
        let result = explain(&trace, &request, &stop, &|done| reporter.progress(done, heads))?;
        let in_file = write(&trace, &result, path.as_deref())?;
        let found = Box::new(FoundCauses { result, in_file });
        Ok(TaskResult::Causes { of, found })
    });
}

fn test(app: &mut App, mask: Mask) {
    let Some((doc, answer)) = asked(app, TESTING) else { return };
    let Ok(Some(result)) = app.value_cache.stored_causal(doc, doc.state()) else {
        return app.notify("Learn the causal graphs first.", false);
    };
    let head = match doc.state().causal_head(&result) {
        Ok(head) => head.head,
        Err(error) => return app.notify(error.to_string(), true),
    };
    let (of, trace, path) = (doc.id, Arc::clone(&doc.trace), doc.path.clone());
    if is_for_python(app, TESTING, trace.meta(), None) {
        return;
    }
    let mut result = CausalResult::clone(&result);
    start_on_model(app, TESTING, move |engine, reporter, cancel| {
        let request = MaskRequest { mask, draws: DRAWS, max_sets: MOST_SETS, seed: 0 };
        for entry in result.heads.iter_mut().filter(|entry| entry.head == head) {
            let tell = &mut |done: usize| reporter.say(format!("{done} sets masked"));
            entry.masking = Some(mask_test(engine, &trace, answer, entry, &request, cancel, tell)?);
        }
        let in_file = write(&trace, &result, path.as_deref())?;
        let found = Box::new(FoundCauses { result, in_file });
        Ok(TaskResult::Causes { of, found })
    });
}

/// Adds graphs to the file of an answer, if it has one.
fn write(trace: &Trace, result: &CausalResult, path: Option<&Path>) -> anyhow::Result<InFile> {
    Ok(add_to_file(trace, &result.clone().kept_in(trace)?, path))
}

/// Puts graphs into the trace of their document, which may have got other maps meanwhile.
pub fn keep(app: &mut App, of: DocumentId, found: FoundCauses) {
    let Some(doc) = app.docs.get_mut(of) else { return };
    let base = doc.trace.id();
    match found.result.kept_in(&doc.trace) {
        Ok(trace) => {
            let trace = Arc::new(trace);
            keep_maps(app, of, ComputedMaps { base, trace, in_file: found.in_file });
        }
        Err(error) => app.notify(error.to_string(), true),
    }
}
