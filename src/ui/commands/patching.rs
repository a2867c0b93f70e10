//! Activation patching: copies activations of the present answer's run into the run on another picture.

use super::relevancy::{add_to_file, keep_maps};
use super::tasks::{is_for_python, start_on_model};
use crate::analysis::inside::Inside;
use crate::analysis::patching::{
    LAST, PatchResult, PositionGroup, Site, layer_map_name, position_groups,
};
use crate::analysis::score::region_of_boxes;
use crate::model::{BlankFill, Occluder, PatchRequest, builtin, patch};
use crate::trace::{AnswerIndex, Trace};
use crate::ui::app::App;
use crate::ui::document::{Document, InFile};
use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::task_result::{ComputedMaps, TaskResult};
use crate::ui::what_if::patching::{FoundPatching, OtherPicture, PatchAsk, Patching, TASK};
use crate::view::{Command, MapSource, Queries, ViewKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shortest time between two updates of a growing table.
const SHOWN_EVERY: Duration = Duration::from_millis(80);

/// Starts a table of the chosen answer token.
pub fn start(app: &mut App, ask: PatchAsk) {
    let Some(doc) = app.doc().filter(|doc| !doc.live) else {
        return app.notify("Ask a question about a picture first.", false);
    };
    let (of, trace, path) = (doc.id, Arc::clone(&doc.trace), doc.path.clone());
    let Ok(answer) = doc.extent.causal_answer(&doc.state().map.queries) else {
        return app.notify("Choose a word of the answer first.", false);
    };
    let other = match other_picture(app, doc, ask.other) {
        Ok(other) => other,
        Err(reason) => return app.notify(reason, true),
    };
    let groups = groups(doc, answer, ask.site);
    // A damaged table is computed anew.
    let earlier = app.value_cache.stored_patching(doc, answer, ask.site).ok().flatten();
    if is_for_python(app, TASK, trace.meta(), None) {
        return;
    }
    let (name, rgb) = other;
    let task = start_on_model(app, TASK, move |engine, reporter, cancel| {
        let other = match rgb {
            Rgb::Pixels(rgb) => rgb,
            Rgb::Blank(fill) => {
                let seen = trace.canvas(0);
                let seen = seen.ok_or_else(|| anyhow::anyhow!("the trace has no picture bytes"))?;
                Occluder::new(&seen, fill)?.blank()
            }
        };
        let request = PatchRequest {
            answer,
            site: ask.site,
            groups,
            other,
            name,
            estimates: ask.is_preview,
            exact: !ask.is_preview,
            earlier: earlier.map(|table| (*table).clone()),
        };
        let mut last: Option<Instant> = None;
        let show = |result: PatchResult, is_final, in_file| {
            TaskResult::Patching(Box::new(FoundPatching { of, result, is_final, in_file }))
        };
        let result = patch(engine, &trace, request, cancel, &mut |table| {
            reporter.progress(table.done(), table.patched.len());
            if last.is_none_or(|last| last.elapsed() >= SHOWN_EVERY) {
                last = Some(Instant::now());
                reporter.show(show(table.clone(), false, InFile::NoFile));
            }
        })?;
        let in_file = add_to_file(&trace, &kept_in(&result, &trace)?, path.as_deref());
        Ok(show(result, true, in_file))
    });
    if let Some(task) = task {
        app.tasks.mark_keeping(task);
    }
}

/// The pixels of the other run.
enum Rgb {
    Pixels(Arc<[u8]>),
    Blank(BlankFill),
}

fn other_picture(app: &App, doc: &Document, other: OtherPicture) -> Result<(String, Rgb), String> {
    let meta = doc.meta();
    if meta.preprocess.len() != 1 || meta.spans.len() != 1 {
        return Err("Activations are copied between runs on one picture in one view.".into());
    }
    let id = match other {
        OtherPicture::Blank(fill) => {
            let name = match fill {
                BlankFill::Mean => "blank (mean colour)",
                BlankFill::Blur => "blank (blurred)",
            };
            return Ok((name.into(), Rgb::Blank(fill)));
        }
        OtherPicture::Answer(id) => id,
    };
    let second = app.docs.get(id).ok_or("That answer was closed.")?;
    if doc.prompt_ids() != second.prompt_ids() {
        return Err(format!(
            "The other answer is about “{}”. Activations are copied between runs of one question.",
            second.meta().question
        ));
    }
    let seen = second.trace.canvas(0).ok_or("The other answer has no picture.")?;
    let name = second.meta().preprocess.first().map(|info| info.file_name.clone());
    Ok((name.unwrap_or_default(), Rgb::Pixels(seen.rgb.to_vec().into())))
}

/// The groups of positions: marked objects, or those of a built-in picture, the other patches and the words. Heads are
/// patched at the last position.
fn groups(doc: &Document, answer: AnswerIndex, site: Site) -> Vec<PositionGroup> {
    let trace = &doc.trace;
    let mut objects: Vec<(String, Inside)> = doc
        .state()
        .objects
        .iter()
        .map(|object| (object.name.clone(), object.inside(trace)))
        .collect();
    if objects.is_empty() {
        let mut boxes = builtin::boxes_of(trace);
        boxes.sort_by(|a, b| a.noun.cmp(&b.noun));
        objects = boxes
            .chunk_by(|a, b| a.noun == b.noun)
            .map(|same| {
                let rects: Vec<_> = same.iter().map(|one| one.rect).collect();
                let inside = Inside::new(&trace.meta().spans, Some(0), &region_of_boxes(&rects));
                (same[0].noun.clone(), inside)
            })
            .collect();
    }
    let parts: Vec<(&str, &[f32])> =
        objects.iter().map(|(name, inside)| (name.as_str(), inside.parts())).collect();
    let mut groups = position_groups(trace, answer, &parts);
    if site == Site::Heads {
        groups.retain(|group| group.name == LAST);
    }
    groups
}

fn kept_in(result: &PatchResult, trace: &Trace) -> anyhow::Result<Trace> {
    let (answer, site) = (AnswerIndex(result.token), result.site);
    // A damaged table is replaced.
    let earlier = PatchResult::stored(trace, answer, site).ok().flatten();
    let all = earlier.map_or_else(|| result.clone(), |earlier| result.clone().over(&earlier));
    let json = serde_json::to_vec(&all)?;
    Ok(trace.with_patching(result.site.name(), AnswerIndex(result.token), &json))
}

/// Shows a table, and keeps the final one in the trace of its document.
pub fn show(app: &mut App, found: FoundPatching) {
    let FoundPatching { of, result, is_final, in_file } = found;
    if app.what_if.patching.is_none() && app.current == Some(of) {
        app.intents.send(Intent::ShowPanel(Pane::WhatIf));
    }
    if is_final && let Some(doc) = app.docs.get_mut(of) {
        let base = doc.trace.id();
        match kept_in(&result, &doc.trace) {
            Ok(trace) => {
                keep_maps(app, of, ComputedMaps { base, trace: Arc::new(trace), in_file });
            }
            Err(error) => app.notify(error.to_string(), true),
        }
    }
    app.what_if.patching = Some(Patching { of, result: Arc::new(result) });
}

/// Shows one layer of a table on the stage: each patch has the number of its group.
pub fn show_layer(app: &mut App, site: Site, layer: u32) {
    let Some(doc) = app.doc() else { return };
    let Ok(answer) = doc.extent.causal_answer(&doc.state().map.queries) else { return };
    let Ok(Some(result)) = app.value_cache.stored_patching(doc, answer, site) else { return };
    let meta = doc.meta();
    let keys: Vec<u32> =
        meta.spans.iter().flat_map(|span| span.keys()).map(|key| key as u32).collect();
    let (tokens, patches) = (doc.trace.shape().generated, keys.len());
    let mut values = vec![0.0_f32; tokens * patches];
    for (group, of) in result.groups.iter().enumerate() {
        let cell = result.cell(group, layer, 0);
        let Some(restored) = cell.and_then(|cell| result.restored(cell)) else { continue };
        for (patch, key) in keys.iter().enumerate() {
            if of.positions.binary_search(key).is_ok() {
                values[answer.index() * patches + patch] = restored;
            }
        }
    }
    let name = layer_map_name(site, layer);
    match doc.trace.with_map(&name, &[tokens, patches], &values) {
        Ok(trace) => {
            if let Some(doc) = app.doc_mut() {
                doc.replace(Arc::new(trace), false);
            }
            app.intents.command(Command::SetQueries(Queries::answer(answer.0)));
            app.intents.command(Command::SetView(ViewKind::Overlay));
            app.intents.command(Command::SetSource(MapSource::Named(name)));
        }
        Err(error) => app.notify(error.to_string(), true),
    }
}
