//! Samples of a table: the way to their traces, from one to the next, and questions that are asked again.

use super::{ask, files};
use crate::model::Turn;
use crate::trace::Trace;
use crate::ui::app::App;
use crate::ui::data_set::SampleId;
use crate::ui::data_set::tiles::{picture_of, queries_of, trace_of};
use crate::ui::document::DocumentId;
use crate::ui::exports::preview_of;
use crate::ui::intent::{DataSetCommand, Intent};
use crate::ui::task_result::TaskResult;
use crate::view::{Command, ViewState};
use std::path::Path;
use std::sync::Arc;

/// Opens the next sample in the order whose trace was kept, or which was asked again.
pub fn step(app: &mut App, by: isize) {
    let Some(doc) = app.data_sets.current() else {
        return app.notify("No table is open.", false);
    };
    let can_open = |row: &usize| {
        let sample = SampleId { table: doc.id, row: *row };
        doc.samples().text("trace", *row).is_some() || answer_of(app, sample).is_some()
    };
    let (order, at) = (doc.order(), doc.cursor());
    let next = match by > 0 {
        true => order.iter().skip(at + 1).copied().find(can_open),
        false => order.iter().take(at).rev().copied().find(can_open),
    };
    match next {
        Some(row) => open(app, row),
        None => {
            let which = if by > 0 { "later" } else { "earlier" };
            app.notify(format!("No {which} sample of the table has a trace."), false);
        }
    }
}

/// The answer of a sample that is open.
fn answer_of(app: &App, sample: SampleId) -> Option<DocumentId> {
    app.data_sets.answers_of(sample).find(|id| app.docs.get(*id).is_some())
}

/// Opens the trace of a sample under the chosen heads, or offers to ask the question again.
pub fn open(app: &mut App, row: usize) {
    let Some(doc) = app.data_sets.current_mut() else { return };
    if let Some(place) = doc.order().iter().position(|&own| own == row) {
        doc.set_cursor(place);
    }
    let (heads, sample) = (doc.view().heads.clone(), SampleId { table: doc.id, row });
    let trace = trace_of(doc.data(), row);
    let of_path = |path: &Path| app.docs.iter().find(|doc| doc.path.as_deref() == Some(path));
    let open = answer_of(app, sample).or_else(|| {
        let (path, _) = trace.as_ref()?;
        Some(of_path(path)?.id)
    });
    if let Some(id) = open {
        app.data_sets.awaited = None;
        return app.show_answer_of(id, sample);
    }
    app.data_sets.awaited = Some(sample);
    let again = vec![("Ask it again", Intent::DataSet(DataSetCommand::AskAgain(row)))];
    match trace {
        Some((path, true)) => {
            let mut view = app.look.clone();
            view.map.choose_heads(heads);
            app.exports.run("open", move || {
                let trace = Trace::open(&path)?;
                // The stage shows the tokens of the table's numbers.
                view.map.queries = queries_of(&trace);
                Ok(TaskResult::OpenedSample(Arc::new(trace), Box::new(view), sample))
            });
        }
        Some((path, false)) => {
            let text = format!("The trace of this answer is no longer at {}.", path.display());
            app.offer_briefly(text, again);
        }
        None => {
            let text = "The table keeps no trace of this answer.".to_owned();
            app.offer_briefly(text, again);
        }
    }
}

/// Shows a sample whose trace was opened, unless another one was chosen since.
pub fn show(app: &mut App, trace: Arc<Trace>, view: Box<ViewState>, sample: SampleId) {
    if app.data_sets.awaited.take_if(|awaited| *awaited == sample).is_none() {
        return;
    }
    files::show_trace(app, trace);
    if let Some(id) = app.current {
        app.data_sets.came_from = true;
        app.data_sets.link(id, sample);
        app.intents.command(Command::Replace(view));
    }
}

/// Asks the question of a sample again with its earlier turns, with the model that is loaded.
pub fn ask_again(app: &mut App, row: usize) {
    let Some(doc) = app.data_sets.current() else { return };
    let sample = SampleId { table: doc.id, row };
    let data = Arc::clone(doc.data());
    let text = |name: &str| data.samples().text(name, row).unwrap_or_default();
    let question = text("question").to_owned();
    let turns = match text("turns") {
        "" => Vec::new(),
        turns => match serde_json::from_str::<Vec<(String, String)>>(turns) {
            Ok(turns) => turns,
            Err(_) => {
                let path = data.source().samples.display();
                let name = data.samples().name(row);
                let text = format!(
                    "{path}: the sample {name} has `turns` that are no [question, answer] pairs, so that it cannot be asked again."
                );
                return app.notify(text, true);
            }
        },
    };
    let turns = turns.into_iter().map(|(question, answer)| Turn { question, answer }).collect();
    app.data_sets.came_from = true;
    ask::load_model(app);
    let of_table = text("model").trim().to_owned();
    let loaded = app.chat.model_name().unwrap_or("the model that is loading").to_owned();
    if !of_table.is_empty() && of_table != loaded {
        let text = format!("The answer of the table is of {of_table}. Asked again is {loaded}.");
        app.notify(text, false);
    }
    app.exports.run("open", move || {
        let picture = picture_of(&data, row)?;
        let preview = preview_of(&picture)?;
        Ok(TaskResult::SamplePicture { picture, preview, question, turns, sample })
    });
}
