//! Comparing answers, covering the picture, cutting attention, switching heads off: on the model's
//! thread.

use super::edit_picture::held_against;
use super::relevancy::{in_file_too, keep_maps};
use super::tasks::{is_for_python, is_for_python_masked, start_on_model};
use crate::analysis::diff::{of_answers, words};
use crate::job::CancelToken;
use crate::model::{
    BlankFill, Engine, Intervention, ModelError, OCCLUSION_MAP, OcclusionOptions, Rerun, Steer,
    ablation_of_each_head, effects, effects_of_tokens, occlusion,
};
use crate::trace::{Head, Layer, Trace};
use crate::ui::app::App;
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::python_line::quoted;
use crate::ui::task_result::{ComputedMaps, TaskResult};
use crate::ui::what_if::{Comparison, HeadEffects, Intervened, SteeredArea};
use crate::view::figure::signed;
use crate::view::{Command, MapSource, Quantity, Queries, QueryKind, ViewKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shortest time between two updates of a growing map: each one uploads its numbers to the device.
const SHOWN_EVERY: Duration = Duration::from_millis(80);
/// A strength that is replaced within this time is not computed.
const STEERED_AFTER: Duration = Duration::from_millis(120);

/// Compares the present answer with another document's.
pub fn compare_with(app: &mut App, other: DocumentId) {
    let Some(first) = app.doc().cloned() else { return };
    let Some(second) = app.docs.get(other).cloned() else { return };
    if let Err(error) = crate::analysis::diff::check_geometry(first.meta(), second.meta()) {
        app.notify(error.to_string(), true);
        return;
    }
    if first.asks_the_same(&second) {
        return compare_answers(app, &first, &second);
    }
    let given = [("answer", quoted(&first.meta().answer))];
    if first.meta().answer != second.meta().answer
        && is_for_python(app, "Comparing two answers", second.meta(), Some(&given))
    {
        return;
    }
    start_on_model(app, "Comparing two answers", move |engine, _, cancel| {
        let (scored, difference) = held_against(engine, &first.trace, &second.trace, cancel)?;
        let words = words(&first.meta().answer, &second.meta().answer);
        let (first, second) = (first.id, second.id);
        let found = Comparison { first, second, scored, words, difference };
        Ok(TaskResult::Compared(Box::new(found)))
    });
}

/// Compares two answers to the same question about the same picture, each as it was given.
fn compare_answers(app: &mut App, first: &Document, second: &Document) {
    match of_answers(&first.trace, &second.trace) {
        Ok(difference) => {
            let words = words(&first.meta().answer, &second.meta().answer);
            let scored = Arc::clone(&second.trace);
            let (first, second) = (first.id, second.id);
            app.what_if.comparison = Some(Comparison { first, second, scored, words, difference });
        }
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Covers the picture part by part; the map on the stage is updated meanwhile.
pub fn occlusion_map(app: &mut App) {
    let Some(doc) = app.doc() else {
        app.notify("Ask about a picture first.", false);
        return;
    };
    if doc.live || doc.meta().spans.is_empty() {
        app.notify("An occlusion map needs a finished answer about a picture.", false);
        return;
    }
    let (id, trace) = (doc.id, Arc::clone(&doc.trace));
    if is_for_python_masked(app, "Covering the picture", trace.meta()) {
        return;
    }
    let options = OcclusionOptions { fill: BlankFill::Mean, ..OcclusionOptions::default() };
    start_on_model(app, "Covering the picture", move |engine, reporter, cancel| {
        let shape = [trace.shape().generated, trace.meta().patches()];
        let mut last: Option<Instant> = None;
        let map = occlusion(engine, &trace, &options, cancel, &mut |progress| {
            reporter.progress(progress.done as usize, progress.total as usize);
            if last.is_some_and(|last| last.elapsed() < SHOWN_EVERY) {
                return;
            }
            last = Some(Instant::now());
            if let Ok(grown) = trace.with_map(OCCLUSION_MAP, &shape, &progress.map) {
                reporter.show(TaskResult::Occlusion(id, Arc::new(grown)));
            }
        })?;
        let grown = Arc::new(trace.with_map(OCCLUSION_MAP, &shape, &map)?);
        Ok(TaskResult::Occlusion(id, grown))
    });
}

/// Puts the present state of the map into the document; the first one is also shown on the stage.
pub fn show_map(app: &mut App, id: DocumentId, trace: Arc<Trace>) {
    let Some(doc) = app.docs.get_mut(id) else { return };
    let is_new = !doc.trace.map_names().contains(&OCCLUSION_MAP);
    doc.replace(trace, false);
    if is_new && app.current == Some(id) {
        let source = MapSource::Named(OCCLUSION_MAP.into());
        if app.doc().is_some_and(|doc| doc.state().map.queries.kind == QueryKind::Position) {
            app.intents.command(Command::SetQueries(Queries::answer(0)));
        }
        app.intents.command(Command::SetView(ViewKind::Overlay));
        app.intents.command(Command::SetSource(source));
    }
}

/// Switches off each head in turn; the matrix is filled as effects arrive.
pub fn each_head(app: &mut App) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else {
        app.notify("Ask a question first.", false);
        return;
    };
    let (id, trace, path) = (doc.id, Arc::clone(&doc.trace), doc.path.clone());
    if is_for_python(app, "Switching off every head", trace.meta(), None) {
        return;
    }
    let changes = ablation_of_each_head(&trace);
    let count = changes.len();
    app.what_if.heads =
        Some(HeadEffects { on: id, totals: vec![None; count], changed: vec![false; count] });
    start_on_model(app, "Switching off every head", move |engine, reporter, cancel| {
        let all = effects(engine, &trace, &changes, cancel, &mut |index, effect| {
            reporter.progress(index + 1, count);
            let (total, changes_answer) = (effect.total(), effect.changes_answer);
            reporter.show(TaskResult::HeadEffect { of: id, index, total, changes_answer });
        })?;
        let found = trace.with_head_effects(&effects_of_tokens(&trace, &all))?;
        let found = in_file_too(&trace, found, path.as_deref());
        Ok(TaskResult::HeadEffects { of: id, found })
    });
}

/// Puts the effects into the trace of their document; the matrix shows them.
pub fn keep_effects(app: &mut App, of: DocumentId, found: ComputedMaps) {
    keep_maps(app, of, found);
    if app.current == Some(of) {
        app.intents.command(Command::SetQuantity(Quantity::Effect));
    }
}

/// Stores the effect of a head.
pub fn show_head_effect(app: &mut App, of: DocumentId, index: usize, total: f32, changes: bool) {
    let heads = app.what_if.heads.as_mut().filter(|heads| heads.on == of);
    let Some(heads) = heads else { return };
    if let (Some(value), Some(changed)) =
        (heads.totals.get_mut(index), heads.changed.get_mut(index))
    {
        (*value, *changed) = (Some(total), changes);
    }
}

/// Intervenes in the model: computes the effect on the answer, and the answer that the model gives then.
pub fn intervene(app: &mut App, change: Intervention, what: String) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else {
        app.notify("Ask a question first.", false);
        return;
    };
    let (on, trace) = (doc.id, Arc::clone(&doc.trace));
    if is_for_python(app, "Changing the model", trace.meta(), None) {
        return;
    }
    start_on_model(app, "Changing the model", move |engine, _, cancel| {
        changed_answer(engine, (on, &trace), change, what, cancel)
    });
}

/// Turns attention towards the chosen patches or the chosen object, in the chosen heads or in all. The answer follows the
/// strength: a new strength replaces the one that is being computed.
pub fn steer(app: &mut App, strength: f32) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else { return };
    let Some(area) = SteeredArea::of(doc.meta(), doc.state()) else {
        app.notify("Choose patches first: click or brush over the picture.", false);
        return;
    };
    let heads = doc.state().map.chosen_heads();
    let (on, trace) = (doc.id, Arc::clone(&doc.trace));
    if is_for_python(app, "Steering", trace.meta(), None) {
        return;
    }
    if let Some(task) = app.what_if.steering_task.take() {
        app.tasks.cancel(task);
    }
    app.what_if.steering = Some((on, strength));
    if strength == 0.0 {
        app.what_if.intervened.take_if(|done| done.on == on && done.is_steered);
        return;
    }
    let of_heads = match heads.len() {
        0 => "all heads".to_owned(),
        1 => "1 head".to_owned(),
        count => format!("{count} heads"),
    };
    let by = signed(f64::from(strength), 1);
    let what = format!("attention to {}, strength {by}, {of_heads}", area.name);
    let heads = heads.into_iter().map(|[layer, head]| (Layer(layer), Head(head))).collect();
    let change = Steer { keys: area.keys, heads, strength, from: app.what_if.from };
    app.what_if.steering_task = start_on_model(app, "Steering", move |engine, _, cancel| {
        let start = Instant::now();
        while start.elapsed() < STEERED_AFTER {
            if cancel.is_cancelled() {
                return Err(ModelError::Cancelled.into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        changed_answer(engine, (on, &trace), Intervention::Steer(change), what, cancel)
    });
}

/// The effect of an intervention on the answer, and the answer that the model gives under it.
fn changed_answer(
    engine: &mut Engine,
    (on, trace): (DocumentId, &Trace),
    change: Intervention,
    what: String,
    cancel: &CancelToken,
) -> anyhow::Result<TaskResult> {
    let is_steered = matches!(change, Intervention::Steer(_));
    let interventions = change.on(trace.meta());
    let found = effects(engine, trace, &[change], cancel, &mut |_, _| {})?;
    let effect = found.into_iter().next();
    let effect = effect.ok_or_else(|| anyhow::anyhow!("the trace has no answer"))?;
    let again = Rerun { interventions, ..Rerun::default() };
    let new = engine.again(trace, &again, cancel, &mut |_| {})?;
    let words = words(&trace.meta().answer, &new.meta().answer);
    Ok(TaskResult::Intervened(Box::new(Intervened { on, what, effect, words, is_steered })))
}

/// Shows the effect of an intervention.
pub fn show_effect(app: &mut App, done: Intervened) {
    app.what_if.intervened = Some(done);
    app.intents.send(Intent::ShowPanel(Pane::WhatIf));
}
