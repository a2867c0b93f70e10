//! What runs on the model's thread: comparing, covering, cutting, switching off.

use super::edit::held_against;
use super::{Comparison, HeadEffects, Intervened};
use crate::analysis::diff::words;
use crate::model::{
    BlankFill, Intervention, OCCLUSION_MAP, OcclusionOptions, Rerun, ablation_of_each_head,
    effects, occlusion,
};
use crate::ui::app::App;
use crate::ui::document::DocumentId;
use crate::ui::tasks;
use crate::view::{Command, MapSource, Queries, QueryKind, ViewKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A growing map is shown this often: each time, its numbers go to the device.
const SHOWN_EVERY: Duration = Duration::from_millis(80);

/// Compares the answer that is seen with another document's.
pub fn compare_with(app: &mut App, other: DocumentId) {
    let Some(first) = app.doc().cloned() else { return };
    let Some(second) = app.docs.iter().find(|doc| doc.id == other).cloned() else { return };
    if let Err(error) = crate::analysis::diff::check_geometry(first.meta(), second.meta()) {
        app.notify(error.to_string(), true);
        return;
    }
    tasks::start_on_model(app, "Comparing two answers", move |engine, _, cancel| {
        let (scored, difference) = held_against(engine, &first.trace, &second.trace, cancel)?;
        let words = words(&first.meta().answer, &second.meta().answer);
        let (first, second) = (first.id, second.id);
        let found = Comparison { first, second, scored, words, difference };
        Ok(Box::new(move |app: &mut App| app.what_if.comparison = Some(found)))
    });
}

/// Covers the picture part by part; the map grows on the stage.
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
    let options = OcclusionOptions { fill: BlankFill::Mean, ..OcclusionOptions::default() };
    tasks::start_on_model(app, "Covering the picture", move |engine, reporter, cancel| {
        let shape = [trace.shape().generated, trace.meta().patches()];
        let mut last: Option<Instant> = None;
        let map = occlusion(engine, &trace, &options, cancel, &mut |progress| {
            reporter.progress(progress.done as usize, progress.total as usize);
            if last.is_some_and(|last| last.elapsed() < SHOWN_EVERY) {
                return;
            }
            last = Some(Instant::now());
            if let Ok(grown) = trace.with_map(OCCLUSION_MAP, &shape, &progress.map) {
                reporter.show(move |app| show_map(app, id, Arc::new(grown)));
            }
        })?;
        let grown = Arc::new(trace.with_map(OCCLUSION_MAP, &shape, &map)?);
        Ok(Box::new(move |app: &mut App| show_map(app, id, grown)))
    });
}

/// Puts the map as it stands into the document; the first time, the stage turns to it.
fn show_map(app: &mut App, id: DocumentId, trace: Arc<crate::trace::Trace>) {
    let Some(doc) = app.docs.iter_mut().find(|doc| doc.id == id) else { return };
    let is_new = !doc.trace.map_names().contains(&OCCLUSION_MAP);
    doc.replace(trace, false);
    if is_new && app.current == Some(id) {
        let source = MapSource::Named(OCCLUSION_MAP.into());
        if app.doc().is_some_and(|doc| doc.state().map.queries.kind == QueryKind::Position) {
            app.command(Command::SetQueries(Queries::answer(0)));
        }
        app.command(Command::SetView(ViewKind::Overlay));
        app.command(Command::SetSource(source));
    }
}

/// Switches each head off in turn; the matrix fills as the effects come.
pub fn each_head(app: &mut App) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else {
        app.notify("Ask a question first.", false);
        return;
    };
    let (id, trace) = (doc.id, Arc::clone(&doc.trace));
    let changes = ablation_of_each_head(&trace);
    let count = changes.len();
    app.what_if.heads =
        Some(HeadEffects { on: id, totals: vec![None; count], changed: vec![false; count] });
    tasks::start_on_model(app, "Switching each head off", move |engine, reporter, cancel| {
        effects(engine, &trace, &changes, cancel, &mut |index, effect| {
            reporter.progress(index + 1, count);
            let (total, changed) = (effect.total(), effect.changes_answer);
            reporter.show(move |app| {
                if let Some(heads) = app.what_if.heads.as_mut().filter(|heads| heads.on == id) {
                    heads.totals[index] = Some(total);
                    heads.changed[index] = changed;
                }
            });
        })?;
        Ok(Box::new(|_: &mut App| ()))
    });
}

/// Changes the model: the effect on the answer, and the answer that is given instead.
pub fn intervene(app: &mut App, change: Intervention, what: String) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else {
        app.notify("Ask a question first.", false);
        return;
    };
    let (on, trace) = (doc.id, Arc::clone(&doc.trace));
    tasks::start_on_model(app, "Changing the model", move |engine, _, cancel| {
        let interventions = change.on(trace.meta());
        let found = effects(engine, &trace, &[change], cancel, &mut |_, _| {})?;
        let effect = found.into_iter().next();
        let effect = effect.ok_or_else(|| anyhow::anyhow!("the trace has no answer"))?;
        let again = Rerun { interventions, ..Rerun::default() };
        let new = engine.again(&trace, &again, cancel, &mut |_| {})?;
        let words = words(&trace.meta().answer, &new.meta().answer);
        let done = Intervened { on, what, effect, words };
        Ok(Box::new(move |app: &mut App| {
            app.what_if.intervened = Some(done);
            app.send(crate::ui::app::Intent::ShowPanel(crate::ui::layout::Pane::WhatIf));
        }))
    });
}
