//! Estimate of the memory for a backward pass, made before it starts.
//!
//! Two parts dominate: the attention weights of every layer, which the forward half keeps for the backward half, and
//! the activations of the feed-forward blocks. The estimate computes these from the manifest; the factors of small or
//! short-lived values were fitted to slightly above measured peaks (docs/performance.md).

use super::RelevancyRequest;
use crate::model::bundle::Bundle;
use crate::model::manifest::{ElementType, Manifest};
use crate::model::trace_inputs::TraceInputs;

/// Bytes of an f32.
const FLOAT: u64 = 4;
/// Vectors of the model's width that a block keeps for each position: its input normalised twice, queries, keys,
/// values, context, residuals.
const KEPT_VECTORS: u64 = 8;
/// Vectors of the feed-forward's width that a block keeps: gate, activation, up.
const KEPT_INNER: u64 = 4;
/// Attention-sized values in memory at once during a block's backward pass.
const TRANSIENT_MAPS: u64 = 4;

/// Memory that relevancy needs in addition to the loaded model, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemoryEstimate {
    /// Activations, gradients and results.
    pub working_bytes: u64,
    /// Copies of weights, if ONNX Runtime repacks them for speed.
    pub repacked_bytes: u64,
}

impl MemoryEstimate {
    /// The estimate for a request on a trace.
    pub(super) fn new(bundle: &Bundle, replay: &TraceInputs, request: &RelevancyRequest) -> Self {
        let manifest = bundle.manifest();
        let answers = replay.answer_ids().len() as u64;
        // The longest pass: all positions if a token has a backward pass of its own.
        let longest =
            if request.needs_own() { replay.fed_ids().len() } else { replay.prompt_len } as u64;
        let prompt = text_bytes(manifest, longest, longest);
        let mut rows = 0;
        if request.needs_rows() {
            let positions = replay.fed_ids().len() as u64;
            let text = &manifest.text;
            let cache = 2 * text.layers * text.kv_heads * text.head_dim;
            rows = text_bytes(manifest, answers, positions)
                + (cache as u64) * positions * width(manifest)
                // Ā of the prompt stays in memory during that pass.
                + (text.layers as u64) * longest * longest * FLOAT;
        }
        let vision = if request.needs_picture() { vision_bytes(manifest) } else { 0 };
        let weights = |name: &str| manifest.files.get(name).map_or(0, |file| file.bytes);
        let graphs = request.graphs();
        let repacked = graphs
            .iter()
            .filter_map(|graph| manifest.graphs.get(graph.name()))
            .flat_map(|graph| &graph.data)
            .map(|name| weights(name))
            .sum();
        Self { working_bytes: prompt.max(rows).max(vision), repacked_bytes: repacked }
    }
}

/// Memory for one forward and backward pass through `positions` of the language model.
pub(in crate::model) fn of_pass(bundle: &Bundle, positions: usize) -> u64 {
    text_bytes(bundle.manifest(), positions as u64, positions as u64)
}

/// Bytes of a weight or activation.
fn width(manifest: &Manifest) -> u64 {
    if manifest.dtype == ElementType::F16 { 2 } else { 4 }
}

/// Bytes for `queries` positions that go forward and backward through the language model and attend to `keys`
/// positions.
fn text_bytes(manifest: &Manifest, queries: u64, keys: u64) -> u64 {
    let text = &manifest.text;
    let (layers, heads, hidden) = (text.layers as u64, text.heads as u64, text.hidden as u64);
    let width = width(manifest);
    let map = heads * queries * keys;
    // The weights in f32, and again in the model's type if that is another.
    let kept_map = map * (FLOAT + if width == FLOAT { 0 } else { width });
    let vectors = queries * (KEPT_VECTORS * hidden + KEPT_INNER * inner(manifest)) * width;
    let results = queries * keys * FLOAT;
    layers * (kept_map + vectors + results)
        + TRANSIENT_MAPS * map * FLOAT
        + queries * text.vocab as u64 * width
}

/// Width of the feed-forward blocks, derived from the size of the weights.
fn inner(manifest: &Manifest) -> u64 {
    let text = &manifest.text;
    let parameters = manifest
        .graphs
        .decoder
        .data
        .iter()
        .filter_map(|name| manifest.files.get(name))
        .map(|file| file.bytes / width(manifest))
        .sum::<u64>();
    let (layers, hidden) = (text.layers as u64, text.hidden as u64);
    let attention = 2 * hidden * ((text.heads + text.kv_heads) * text.head_dim) as u64;
    let feed_forward = (parameters / layers).saturating_sub(attention);
    (feed_forward / (3 * hidden)).clamp(hidden, 16 * hidden)
}

fn vision_bytes(manifest: &Manifest) -> u64 {
    let vision = &manifest.vision;
    let tokens = (vision.patches + usize::from(vision.has_cls)) as u64;
    let (layers, heads) = (vision.layers_with_gradient as u64, vision.heads as u64);
    let map = heads * tokens * tokens;
    // A feed-forward block of a vision transformer is four times as wide as its input.
    let vectors = tokens * vision.hidden as u64 * (KEPT_VECTORS + 2 * 4) * width(manifest);
    layers * (map * FLOAT + vectors + tokens * tokens * FLOAT) + TRANSIENT_MAPS * map * FLOAT
}

/// Memory that the system can provide now; no limit if the system does not report it.
pub(in crate::model) fn available() -> u64 {
    use sysinfo::{MemoryRefreshKind, RefreshKind, System};
    let memory = MemoryRefreshKind::nothing().with_ram();
    let Ok(system) = System::new_with_specifics(RefreshKind::nothing().with_memory(memory)) else {
        return u64::MAX;
    };
    let mut free = system.available_memory();
    if let Some(limits) = system.cgroup_limits() {
        free = free.min(limits.free_memory);
    }
    if free == 0 { u64::MAX } else { free }
}
