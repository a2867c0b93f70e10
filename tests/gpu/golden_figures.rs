//! A few small figures against pictures that were looked at and kept.
//!
//! The references come from lavapipe; another adapter rounds differently, so the comparison allows
//! what `tests/golden/thresholds.toml` says. `UPDATE_GOLDEN=1 cargo test --test gpu golden_figures`
//! writes them anew: look at each before keeping it.
#![allow(clippy::print_stdout, reason = "the adapter's name belongs into the test's output")]

use image::RgbImage;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vlmscope::analysis::causal::{
    CausalResult, EdgeResult, HeadGraph, HeadResult, Mark, NodeResult, Parameters, TreePlace,
};
use vlmscope::analysis::patching::{LAST, PatchResult, Site, position_groups};
use vlmscope::gpu::{Gpu, GpuOptions, Renderer, RendererOptions, Scene, Target};
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
use vlmscope::trace::{AnswerIndex, PatchRef, Trace};
use vlmscope::view::*;

const SIZE: [u32; 2] = [480, 360];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    /// Mean absolute difference of a channel, of 255.
    mean: f64,
    /// Share of pixels that may differ by more than `pixel`.
    share: f64,
    /// Difference of a channel that counts as another pixel, of 255.
    pixel: u8,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn states() -> Vec<(&'static str, ViewState)> {
    let mut overlay = ViewState::default();
    overlay.map.queries = Queries::answer(2);
    overlay.map.layers = AxisSet::single(2);
    overlay.map.heads = AxisSet::MAX;
    overlay.selected =
        vec![PatchRef { span: 0, row: 4, column: 2 }, PatchRef { span: 0, row: 5, column: 2 }];
    let lvlm = overlay.clone().with_lvlm_interpret_look();
    let heads = ViewState { view: ViewKind::Heads, ..overlay.clone() };
    let mut wall = ViewState { view: ViewKind::Wall, ..overlay.clone() };
    wall.map.heads = AxisSet::single(4);
    let matrix =
        ViewState { view: ViewKind::LayerHead, theme: Theme::Light, ..ViewState::default() };
    let tokens = ViewState { view: ViewKind::TokenMatrix, ..overlay.clone() };
    let contours = ViewState { blend: Blend::Contours, ..overlay.clone() };
    let mut relevancy = ViewState { view: ViewKind::Relevancy, ..overlay.clone() };
    relevancy.map.source = MapSource::Named("relevancy.llm".into());
    relevancy.selected.clear();
    let mut diff = ViewState { view: ViewKind::Diff, ..overlay.clone() };
    let map = MapChoice { layers: AxisSet::single(0), ..overlay.map.clone() };
    diff.second = Some(Second { trace: None, map, mix: Mix::Difference });
    vec![
        ("contours", contours),
        ("relevancy", relevancy),
        ("diff", diff),
        ("overlay", overlay),
        ("lvlm_interpret", lvlm),
        ("heads", heads),
        ("wall", wall),
        ("layer_head", matrix),
        ("token_matrix", tokens),
    ]
}

/// A trace with a causal graph of answer token 2: patches and words, edges with all marks, on three distances.
fn explained(trace: &Trace) -> Trace {
    let meta = trace.meta();
    let patch = |row, column| meta.key_of_patch(PatchRef { span: 0, row, column }).unwrap().0;
    let target = meta.query_of_answer(AnswerIndex(2)).0;
    let words: Vec<u32> = meta.question_keys().into_iter().map(|key| key as u32).collect();
    let near = [patch(1, 2), patch(4, 2), words[1]];
    let far = [patch(0, 0), patch(1, 3), patch(5, 5), words[2]];
    let mut positions: Vec<u32> = near.iter().chain(&far).copied().chain([target]).collect();
    positions.sort_unstable();
    let node = |&position: &u32| NodeResult { position, attention: 0.1, share: Some(0.8) };
    let edge = |one: u32, other: u32, [mark_a, mark_b]: [Mark; 2], share| EdgeResult {
        a: one.min(other),
        b: one.max(other),
        mark_a,
        mark_b,
        p: 1e-9,
        share: Some(share),
    };
    let edges = vec![
        edge(near[0], target, [Mark::Tail, Mark::Head], 1.0),
        edge(near[1], target, [Mark::Circle, Mark::Head], 0.6),
        edge(near[2], target, [Mark::Head, Mark::Head], 0.3),
        edge(far[0], near[0], [Mark::Circle, Mark::Head], 1.0),
        edge(far[1], near[0], [Mark::Tail, Mark::Head], 0.9),
        edge(far[2], near[1], [Mark::Head, Mark::Head], 1.0),
        edge(far[3], near[2], [Mark::Head, Mark::Head], 1.0),
        edge(far[0], far[1], [Mark::Head, Mark::Head], 0.5),
    ];
    let place = |position, parent, depth| TreePlace { position, parent, depth };
    let tree = vec![
        place(target, 0, 0),
        place(near[0], 0, 1),
        place(near[1], 0, 1),
        place(near[2], 0, 1),
        place(far[0], 1, 2),
        place(far[1], 1, 2),
        place(far[2], 2, 2),
        place(far[3], 3, 2),
    ];
    let graph = HeadGraph {
        nodes: positions.iter().map(node).collect(),
        edges,
        other_edges: Vec::new(),
        tree,
        searched_to: 3,
        is_exhaustive: true,
        tests: 100,
    };
    let head = HeadResult {
        head: 1,
        importance: Some(2.0),
        graph: Some(graph),
        error: None,
        masking: None,
    };
    let parameters = Parameters::default();
    let result = CausalResult { token: 2, layer: 3, parameters, runs: 15, heads: vec![head] };
    result.kept_in(trace).unwrap()
}

/// A trace with tables of activation patching of answer token 2: residual stream (some places were not computed) and
/// heads.
fn copied(trace: &Trace) -> Trace {
    let meta = trace.meta();
    let inside: Vec<f32> = (0..64).map(|patch| f32::from(patch % 8 < 3 && patch / 8 > 3)).collect();
    let answer = AnswerIndex(2);
    let groups = position_groups(trace, answer, &[("fox", &inside)]);
    let size = [meta.model.layers, meta.model.heads];
    let mut kept = trace.clone();
    for site in [Site::Residual, Site::Heads] {
        let groups = match site {
            Site::Heads => groups.iter().filter(|group| group.name == LAST).cloned().collect(),
            _ => groups.clone(),
        };
        let mut table =
            PatchResult::new((answer, site), "cat.jpg".into(), [-0.1, -4.1], groups, size);
        let cells = table.patched.len();
        for (cell, value) in table.patched.iter_mut().enumerate() {
            // From below 0 to above 1; the last places are missing.
            let share = -0.4 + 1.6 * cell as f32 / cells as f32;
            *value = (cell + 3 < cells).then_some(-4.1 + 4.0 * share);
        }
        let json = serde_json::to_vec(&table).unwrap();
        kept = kept.with_patching(site.name(), answer, &json);
    }
    kept
}

/// Pictures that the model saw in several views, several pictures, a video: by the name of their fixture.
fn tiled() -> Vec<(&'static str, &'static str, ViewState)> {
    let mut state = ViewState::default();
    state.map.queries = Queries::answer(1);
    let pictures = ViewState { view: ViewKind::Pictures, ..state.clone() };
    let wall = ViewState { view: ViewKind::Wall, ..state.clone() };
    vec![
        ("tiles", "tiles", state.clone()),
        ("base_and_tiles", "stride", ViewState { blend: Blend::Flat, opacity: 0.5, ..state }),
        ("tiles_wall", "tiles", wall),
        ("pictures", "two_pictures", pictures.clone()),
        ("film_strip", "frames", pictures),
    ]
}

fn compare(name: &str, found: &RgbImage, thresholds: &Thresholds) -> Result<(), String> {
    let path = folder().join(format!("{name}.png"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        found.save(&path).unwrap();
    }
    let kept = image::open(&path).map_err(|error| format!("{name}: {error}"))?.into_rgb8();
    if kept.dimensions() != found.dimensions() {
        return Err(format!("{name}: the size is {:?}", found.dimensions()));
    }
    let difference = |a: &image::Rgb<u8>, b: &image::Rgb<u8>| {
        (0..3).map(|c| a.0[c].abs_diff(b.0[c])).max().unwrap_or(0)
    };
    let differences: Vec<u8> =
        kept.pixels().zip(found.pixels()).map(|(a, b)| difference(a, b)).collect();
    let count = differences.len() as f64;
    let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / count;
    let share = differences.iter().filter(|&&d| d > thresholds.pixel).count() as f64 / count;
    if mean > thresholds.mean || share > thresholds.share {
        return Err(format!("{name}: mean difference {mean:.3}, share of other pixels {share:.4}"));
    }
    Ok(())
}

#[test]
fn figures_look_as_they_did() {
    let text = std::fs::read_to_string(folder().join("thresholds.toml")).unwrap();
    let thresholds: Thresholds = toml::from_str(&text).unwrap();
    let gpu = Gpu::open(&GpuOptions { baseline: true, ..GpuOptions::default() }).unwrap();
    println!("adapter: {}", gpu.info().name);
    let geometry = Geometry::named("small").unwrap();
    let trace = Synthetic::new(geometry, RowsKept::Text, 3).unwrap().trace().unwrap();
    let mut renderer = Renderer::new(Arc::clone(&gpu), RendererOptions::offscreen()).unwrap();
    let target = Target::offscreen(&gpu, SIZE).unwrap();
    let mut wrong = Vec::new();
    for (name, state) in states() {
        renderer.frame(&Scene::new(&state, &trace), &target).unwrap();
        let found = image::DynamicImage::from(target.read(&gpu).unwrap()).into_rgb8();
        wrong.extend(compare(name, &found, &thresholds).err());
    }
    let trace = explained(&trace);
    let mut causal = ViewState { view: ViewKind::Causal, ..ViewState::default() };
    causal.map.queries = Queries::answer(2);
    for (name, theme) in [("causal", Theme::Dark), ("causal_light", Theme::Light)] {
        let state = ViewState { theme, ..causal.clone() };
        let target = Target::offscreen(&gpu, [960, 540]).unwrap();
        renderer.frame(&Scene::new(&state, &trace), &target).unwrap();
        let found = image::DynamicImage::from(target.read(&gpu).unwrap()).into_rgb8();
        wrong.extend(compare(name, &found, &thresholds).err());
    }
    let trace = copied(&trace);
    let mut patch = ViewState { view: ViewKind::Patch, ..ViewState::default() };
    patch.map.queries = Queries::answer(2);
    let heads = ViewState { site: Some(Site::Heads), theme: Theme::Light, ..patch.clone() };
    for (name, state) in [("patch", patch), ("patch_heads_light", heads)] {
        let target = Target::offscreen(&gpu, [960, 540]).unwrap();
        renderer.frame(&Scene::new(&state, &trace), &target).unwrap();
        let found = image::DynamicImage::from(target.read(&gpu).unwrap()).into_rgb8();
        wrong.extend(compare(name, &found, &thresholds).err());
    }
    for (name, fixture, state) in tiled() {
        let path = format!("tests/fixtures/traces2/{fixture}.vlmtrace");
        let trace = Trace::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        renderer.frame(&Scene::new(&state, &trace), &target).unwrap();
        let found = image::DynamicImage::from(target.read(&gpu).unwrap()).into_rgb8();
        wrong.extend(compare(name, &found, &thresholds).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
