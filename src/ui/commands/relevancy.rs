//! Computing relevancy maps.

use super::tasks::{is_for_python, start_on_model};
use super::view;
use crate::analysis::methods::Method;
use crate::model::RelevancyRequest;
use crate::trace::{AnswerIndex, FileStamp};
use crate::ui::app::App;
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::relevancy::{MAPS, missing, show_map, show_pages};
use crate::ui::task_result::{ComputedMaps, Opens, TaskResult};
use crate::view::MapSource;
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
        // If the answer has a file, the maps are written to it.
        let mut written = None;
        if let Some(path) = path.filter(|path| path.exists()) {
            found.add_maps(&trace, &path)?;
            written = FileStamp::read(&path);
        }
        let base = trace.id();
        let found = ComputedMaps { base, trace: Arc::new(found), written };
        Ok(TaskResult::Relevancy { of, found, methods, opens })
    });
}

/// Puts maps and measurements into their document.
pub fn keep_maps(doc: &mut Document, found: ComputedMaps) {
    let ComputedMaps { base, trace, written } = found;
    if let Some(stamp) = written {
        doc.stamp = Some(stamp);
        // The file holds all maps of the answer if it held all before.
        if doc.in_file == Some(base) {
            doc.in_file = Some(trace.id());
        }
    }
    doc.replace(trace, false);
}

/// Puts maps into their document, and shows the first if the document is on the stage.
pub fn show(app: &mut App, of: DocumentId, found: ComputedMaps, methods: &[Method], opens: Opens) {
    let Some(doc) = app.docs.get_mut(of) else { return };
    keep_maps(doc, found);
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
