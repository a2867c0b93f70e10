//! Computing relevancy maps.

use super::tasks::{is_for_python, start_on_model};
use super::view;
use crate::analysis::methods::Method;
use crate::model::RelevancyRequest;
use crate::trace::{AnswerIndex, FileStamp, Trace};
use crate::ui::app::App;
use crate::ui::document::{DocumentId, InFile};
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::relevancy::{MAPS, missing, show_map, show_pages};
use crate::ui::task_result::{ComputedMaps, Opens, TaskResult};
use crate::view::MapSource;
use std::path::Path;
use std::sync::Arc;

/// Shows the relevancy view; the map of every word is computed first where the answer has none.
pub fn show_view(app: &mut App) {
    let Some(doc) = app.doc() else { return };
    if doc.extent.maps.iter().any(|map| map.starts_with("relevancy.")) {
        return view::change(app, view::relevancy);
    }
    if doc.live {
        return app.notify("Relevancy can be computed when the answer is complete.", false);
    }
    start(app, missing(doc, false), Vec::new(), Opens::View);
}

/// Computes the missing maps: the language model's, or every one.
pub fn compute_missing(app: &mut App, every: bool) {
    let Some(missing) = app.doc().filter(|doc| !doc.live).map(|doc| missing(doc, every)) else {
        return;
    };
    app.intents.send(Intent::ShowPanel(Pane::Relevancy));
    if missing.is_empty() {
        return app.notify("These relevancy maps are already computed.", false);
    }
    compute(app, missing, Vec::new());
}

/// Computes maps on the model's thread and shows the first of them; no tokens mean all tokens.
pub fn compute(app: &mut App, methods: Vec<Method>, tokens: Vec<AnswerIndex>) {
    start(app, methods, tokens, Opens::Map);
}

fn start(app: &mut App, methods: Vec<Method>, tokens: Vec<AnswerIndex>, opens: Opens) {
    let Some(doc) = app.doc() else { return };
    let (trace, of, path) = (Arc::clone(&doc.trace), doc.id, doc.path.clone());
    let llm = [("relevancy", "(\"llm\",)".to_owned())];
    if is_for_python(app, "Relevancy", trace.meta(), Some(&llm)) {
        return;
    }
    let request = RelevancyRequest { tokens, ..RelevancyRequest::new(methods.iter().copied()) };
    start_on_model(app, "Relevancy", move |engine, reporter, cancel| {
        let (found, _) = engine.relevancy(&trace, &request, cancel, &mut |progress| {
            reporter.say(progress.stage.to_string());
            reporter.progress(progress.done as usize, progress.total as usize);
        })?;
        let found = in_file_too(&trace, found, path.as_deref());
        Ok(TaskResult::Relevancy { of, found, methods, opens })
    });
}

/// Adds the maps of `found`, which `base` lacks, to the file of the answer, if it has one. Maps that cannot be written are
/// not lost: they are shown, and the session keeps them.
pub fn in_file_too(base: &Trace, found: Trace, path: Option<&Path>) -> ComputedMaps {
    let in_file = add_to_file(base, &found, path);
    ComputedMaps { base: base.id(), trace: Arc::new(found), in_file }
}

/// Adds maps to the file of the answer, if it has one.
pub fn add_to_file(base: &Trace, found: &Trace, path: Option<&Path>) -> InFile {
    let Some(path) = path.filter(|path| path.exists()) else { return InFile::NoFile };
    match found.add_maps(base, path) {
        Ok(()) => InFile::Written(FileStamp::read(path)),
        Err(error) => InFile::Failed(error.to_string()),
    }
}

/// Puts maps and measurements into their document, and says if its file could not take them.
pub fn keep_maps(app: &mut App, of: DocumentId, found: ComputedMaps) {
    let ComputedMaps { base, trace, in_file } = found;
    let Some(doc) = app.docs.get_mut(of) else { return };
    let mut failure = None;
    match in_file {
        InFile::NoFile | InFile::Written(None) => {}
        InFile::Written(Some(stamp)) => {
            doc.stamp = Some(stamp);
            // The file holds all maps of the answer if it held all before.
            if doc.in_file == Some(base) {
                doc.in_file = Some(trace.id());
            }
        }
        InFile::Failed(error) => failure = Some(error),
    }
    doc.replace(trace, false);
    if let Some(error) = failure {
        let text = format!(
            "The result is shown and stays in the session, but it is not in the file. Save the answer under another name. {error}"
        );
        app.notify(text, true);
    }
}

/// Puts maps into their document, and shows the first if the document is on the stage.
pub fn show(app: &mut App, of: DocumentId, found: ComputedMaps, methods: &[Method], opens: Opens) {
    keep_maps(app, of, found);
    let Some(doc) = app.doc().filter(|shown| shown.id == of) else { return };
    if opens == Opens::View {
        return view::change(app, view::relevancy);
    }
    let first = methods.first().copied();
    if first == Some(Method::GRADIENT_ATTENTION) {
        return app.intents.command(show_pages(doc));
    }
    app.intents.send(Intent::ShowPanel(Pane::WhyWord));
    // A relevancy map on the stage stays if several were computed.
    let is_map = MAPS.iter().find(|(method, ..)| Some(*method) == first);
    let asked_for_one = methods.len() == 1 || doc.state().map.source == MapSource::Attention;
    if let (Some((method, ..)), true) = (is_map, asked_for_one) {
        app.intents.command(show_map(doc, *method));
    }
}
