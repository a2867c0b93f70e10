//! Measuring what the verdict about each word needs: its relevancy, and its probability without the picture.

use super::relevancy::keep_maps;
use super::tasks::{is_for_python, start_on_model};
use crate::analysis::methods::Method;
use crate::model::{RelevancyRequest, blank_logprobs};
use crate::trace::FileStamp;
use crate::ui::app::App;
use crate::ui::document::DocumentId;
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::python_line::quoted;
use crate::ui::relevancy::missing;
use crate::ui::task_result::{ComputedMaps, TaskResult};
use std::sync::Arc;

/// Title of the task.
const TASK: &str = "Checking every word without the picture";

/// Measures what is missing, for all words at once.
pub fn check_words(app: &mut App) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else {
        return app.notify("Ask a question first.", false);
    };
    if doc.extent.grids.is_empty() {
        return app.notify("This question was asked without a picture.", false);
    }
    let (of, trace, path) = (doc.id, Arc::clone(&doc.trace), doc.path.clone());
    let lacks_relevancy = missing(doc, false).contains(&Method::LLM);
    if !lacks_relevancy && trace.blank_logprobs().is_some() {
        app.intents.send(Intent::ShowPanel(Pane::Relevancy));
        return app.notify("Every word was already checked.", false);
    }
    let line = [
        ("answer", quoted(&trace.meta().answer)),
        ("blank", "True".to_owned()),
        ("relevancy", "(\"llm\",)".to_owned()),
    ];
    if is_for_python(app, TASK, trace.meta(), Some(&line)) {
        return;
    }
    app.intents.send(Intent::ShowPanel(Pane::Relevancy));
    start_on_model(app, TASK, move |engine, reporter, cancel| {
        let base = trace.id();
        let mut found = (*trace).clone();
        if lacks_relevancy {
            let request = RelevancyRequest::new([Method::LLM]);
            found = engine
                .relevancy(&found, &request, cancel, &mut |progress| {
                    reporter.say(progress.stage.to_string());
                    // The last step is the run without the picture.
                    reporter.progress(progress.done as usize, progress.total as usize + 1);
                })?
                .0;
        }
        reporter.say("scoring the answer without the picture");
        let blank = blank_logprobs(engine, &found, cancel)?;
        let found = found.with_blank_logprobs(&blank)?;
        let mut written = None;
        if let Some(path) = path.filter(|path| path.exists()) {
            found.add_maps(&trace, &path)?;
            written = FileStamp::read(&path);
        }
        let found = ComputedMaps { base, trace: Arc::new(found), written };
        Ok(TaskResult::Measured { of, found })
    });
}

/// Puts measurements into their document.
pub fn show(app: &mut App, of: DocumentId, found: ComputedMaps) {
    if let Some(doc) = app.docs.get_mut(of) {
        keep_maps(doc, found);
    }
}
