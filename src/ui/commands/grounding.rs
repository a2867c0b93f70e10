//! Measuring what the verdict about each word needs: its relevancy, and its probability without the picture.

use super::relevancy::{in_file_too, keep_maps};
use super::tasks::{refer_to_python, start_on_model};
use crate::analysis::blank::{blank_logprobs_of, has_blank_pictures};
use crate::analysis::methods::Method;
use crate::job::CancelToken;
use crate::model::{Engine, RelevancyRequest, blank_logprobs};
use crate::trace::Trace;
use crate::ui::app::App;
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::python_line::blank_lines;
use crate::ui::relevancy::missing;
use crate::ui::shortcuts::UiCommand;
use crate::ui::task_result::{ComputedMaps, TaskResult};
use crate::ui::tasks::Reporter;
use std::path::PathBuf;
use std::sync::Arc;

/// Title of the task.
const TASK: &str = "Checking every word without the picture";

/// An answer whose words are to be checked.
struct Unchecked {
    of: DocumentId,
    trace: Arc<Trace>,
    path: Option<PathBuf>,
    lacks_relevancy: bool,
}

/// Measures what is missing for all words of the answer that is looked at.
pub fn check_words(app: &mut App) {
    match app.current {
        Some(of) => {
            app.intents.send(Intent::ShowPanel(Pane::Relevancy));
            check_each(app, vec![of]);
        }
        None => app.notify("Ask a question first.", false),
    }
}

/// Measures what is missing for all words of answers, one after the other.
pub fn check_each(app: &mut App, answers: Vec<DocumentId>) {
    let mut unchecked = Vec::new();
    for of in answers {
        let Some(doc) = app.docs.get(of).filter(|doc| !doc.live) else { continue };
        if doc.extent.grids.is_empty() {
            return app.notify("This question was asked without a picture.", false);
        }
        let lacks_relevancy = missing(doc, false).contains(&Method::LLM);
        let trace = Arc::clone(&doc.trace);
        if !lacks_relevancy && trace.has_blank_logprobs() {
            continue;
        }
        if trace.meta().model.is_captured() {
            return offer_lines(app, &trace, lacks_relevancy);
        }
        unchecked.push(Unchecked { of, trace, path: doc.path.clone(), lacks_relevancy });
    }
    let Some(last) = unchecked.pop() else {
        return app.notify("Every word was already checked.", false);
    };
    start_on_model(app, TASK, move |engine, reporter, cancel| {
        for answer in unchecked {
            reporter.show(measure(engine, reporter, cancel, answer)?);
        }
        measure(engine, reporter, cancel, last)
    });
}

/// Measures what one answer lacks.
fn measure(
    engine: &mut Engine,
    reporter: &Reporter,
    cancel: &CancelToken,
    answer: Unchecked,
) -> anyhow::Result<TaskResult> {
    let Unchecked { of, trace, path, lacks_relevancy } = answer;
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
    let found = in_file_too(&trace, found, path.as_deref());
    Ok(TaskResult::Measured { of, found })
}

/// Offers the Python lines that measure what the verdicts of a captured trace lack.
fn offer_lines(app: &mut App, trace: &Trace, lacks_relevancy: bool) {
    let Some(lines) = blank_lines(trace.meta(), lacks_relevancy) else { return };
    let what = if lacks_relevancy {
        "Run these lines there and open both traces here: the first has relevancy, and the second, on a blank picture, is joined to it."
    } else {
        "Run these lines there and open the trace here: it is joined to this answer."
    };
    refer_to_python(app, TASK, trace.meta(), what, Some(("Copy the lines", lines)));
}

/// Joins a captured trace of a blank picture to the open answers that it measures: the trace that was just opened, or
/// one that was opened before it.
pub fn join_blank(app: &mut App, opened: DocumentId) {
    let is_blank = |doc: &&Document| doc.meta().sampling.forced && has_blank_pictures(&doc.trace);
    let captured = || app.docs.iter().filter(|doc| !doc.live && doc.meta().model.is_captured());
    let Some(doc) = captured().find(|doc| doc.id == opened) else { return };
    let pairs: Vec<[&Document; 2]> = if is_blank(&doc) {
        let answers = captured().filter(|other| other.id != opened && !is_blank(other));
        answers.map(|answer| [answer, doc]).collect()
    } else {
        captured().filter(|other| other.id != opened && is_blank(other)).map(|b| [doc, b]).collect()
    };
    let opens_blank = is_blank(&doc);
    let (mut joined, mut reasons) = (Vec::new(), Vec::new());
    for [answer, blank] in pairs {
        match blank_logprobs_of(&answer.trace, &blank.trace) {
            Ok(values) => joined.push((answer.id, name_of(answer), name_of(blank), values)),
            Err(reason) => reasons.push((reason, name_of(answer))),
        }
    }
    let own_name = name_of(doc);
    if joined.is_empty() && opens_blank {
        // The answer that fits best tells most.
        reasons.sort_by_key(|(reason, _)| reason.rank());
        return match reasons.first() {
            None => app.offer(
                format!(
                    "{own_name} has a blank picture. Open the trace of the same question and answer about the real picture, and this one is joined to its verdicts."
                ),
                vec![("Open…", Intent::Ui(UiCommand::OpenFile))],
            ),
            Some((reason, other)) => app.notify(
                format!(
                    "{own_name} has a blank picture, but it is not joined to {other}: {reason}. Score the same answer (answer=…) to the same question with the same model."
                ),
                true,
            ),
        };
    }
    for (id, name, blank, values) in joined {
        let Some(doc) = app.docs.get_mut(id) else { continue };
        match doc.trace.with_blank_logprobs(&values) {
            Ok(trace) => doc.replace(Arc::new(trace), false),
            Err(error) => {
                app.notify(error.to_string(), true);
                continue;
            }
        }
        let lacks = match missing(doc, false).contains(&Method::LLM) {
            true => " A verdict also needs relevancy.",
            false => "",
        };
        let text = format!(
            "{name} was joined to the blank picture of {blank}: each word has its probability without the picture.{lacks} Save it (Ctrl+S) to keep this."
        );
        app.offer(text, vec![("Show the answer", Intent::Show(id))]);
    }
}

/// The name of a document in a message.
fn name_of(doc: &Document) -> String {
    let name = doc.path.as_ref().and_then(|path| path.file_name());
    name.map_or_else(|| "The answer".into(), |name| name.to_string_lossy().into_owned())
}

/// Puts measurements into their document.
pub fn show(app: &mut App, of: DocumentId, found: ComputedMaps) {
    keep_maps(app, of, found);
}
