//! The deletion and insertion test of the map that is shown.

use super::tasks::{is_for_python_masked, start_on_model};
use crate::model::{BlankFill, Curves, ScoreRequest};
use crate::ui::app::App;
use crate::ui::document::DocumentId;
use crate::ui::score::{Scores, TASK, chosen, lines};
use crate::ui::task_result::TaskResult;
use std::sync::Arc;

/// Half of the largest number: enough for the shape of a curve in a short time.
const STEPS: usize = 12;

/// Starts scoring the present view.
pub fn start(app: &mut App) {
    let Some(doc) = app.doc().cloned().filter(|doc| !doc.live) else { return };
    if is_for_python_masked(app, TASK, doc.meta()) {
        return;
    }
    let (tokens, text) = chosen(&doc.trace, doc.state());
    let (lines, maps) = match lines(&doc, &tokens, &text) {
        Ok(found) => found,
        Err(reason) => return app.notify(reason, true),
    };
    let request = ScoreRequest { maps, tokens, fills: vec![BlankFill::Mean], steps: STEPS };
    let curves = Curves { total: 1, ..Curves::default() };
    app.scores = Some(Scores { on: doc.id, text, lines, curves });
    let (on, trace) = (doc.id, Arc::clone(&doc.trace));
    start_on_model(app, TASK, move |engine, reporter, cancel| {
        let found = engine.score_maps(&trace, &request, cancel, &mut |curves| {
            reporter.progress(curves.done, curves.total);
            reporter.show(TaskResult::Curves(on, curves.clone()));
        })?;
        Ok(TaskResult::Curves(on, found))
    });
}

/// Stores curves, complete or in progress.
pub fn grow(app: &mut App, on: DocumentId, curves: Curves) {
    if let Some(scores) = app.scores.as_mut().filter(|scores| scores.on == on) {
        scores.curves = curves;
    }
}
