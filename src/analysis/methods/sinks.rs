//! Attention sinks: positions that nearly every query attends to, whatever its content.
//!
//! VisAttnSink (ICLR 2025) finds sinks among the patches by massive activations in dimensions that
//! are known for a few models only. A trace has no hidden states, so this module uses the defining property of a sink:
//! the attention that it *receives*. Only the few queries about an object attend to it, but all queries attend to a
//! sink; the median over queries tells the two apart where a mean would not.

use super::super::reduce::{has_bos, patch_keys};
use super::inputs::Missing;
use super::rows::{each_answer, head_mean, no_head_mean, tensor};
use crate::trace::{ImageSpan, Key, TokenKind, Trace};
use half::slice::HalfFloatSliceExt as _;

/// A position is a sink if half of the queries give it at least this many times the weight of evenly spread attention.
pub const SINK_FACTOR: f32 = 10.0;
/// Sinks form in the first layers and stay (VisAttnSink): those layers are left out.
const FIRST_LAYER: usize = 2;

/// A sink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sink {
    /// The position.
    pub position: u32,
    /// Index of its patch, counted over all spans, if it is a patch.
    pub patch: Option<u32>,
    /// Median over the queries that see it of its attention, in units of 1 / (number of keys that
    /// the query sees); the attention is the mean over heads and layers.
    pub received: f32,
}

/// BOS (always, where there is one) and the sinks among the patches, by position. `None` if the trace
/// has neither `attention.head_mean` nor all rows.
///
/// received_j = median over q > j of (q + 1) · mean over l ≥ 2, h of A[l, h, q, j].
pub fn sinks(trace: &Trace) -> Option<Vec<Sink>> {
    let (shape, meta) = (trace.shape(), trace.meta());
    let positions = shape.positions;
    let first = FIRST_LAYER.min(shape.layers - 1);
    let mut mean = vec![0.0_f32; positions * positions];
    for layer in first..shape.layers {
        let stored = head_mean(trace, layer)?;
        mean.iter_mut().zip(&stored).for_each(|(sum, weight)| *sum += weight);
    }
    let scale = 1.0 / (meta.attention_scale * (shape.layers - first) as f32);
    let received = |key: usize| -> f32 {
        let by_query = |query: usize| mean[query * positions + key] * scale * (query + 1) as f32;
        let mut all: Vec<f32> =
            (key + 1..positions).map(by_query).filter(|value| value.is_finite()).collect();
        all.sort_unstable_by(f32::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    };
    let mut found = Vec::new();
    if has_bos(trace) && meta.tokens[0].kind == TokenKind::Special {
        found.push(Sink { position: 0, patch: None, received: received(0) });
    }
    for (patch, key) in (0u32..).zip(meta.spans.iter().flat_map(ImageSpan::keys)) {
        let received = received(key);
        if received >= SINK_FACTOR {
            found.push(Sink { position: key as u32, patch: Some(patch), received });
        }
    }
    found.sort_by_key(|sink| Key(sink.position));
    Some(found)
}

/// The mean attention without BOS and sinks: [G, N].
pub(super) fn map(trace: &Trace, _seed: u64) -> Result<Vec<f32>, Missing> {
    let keys = patch_keys(trace);
    let sinks = sinks(trace).ok_or_else(no_head_mean)?;
    let removed: Vec<u32> = sinks.iter().map(|sink| sink.position).collect();
    each_answer(trace, |_, row| {
        mean_without(trace, row, &removed, &keys).ok_or_else(|| tensor("attention.weights"))
    })
}

/// Mean over layers and heads of one row's attention on the patches, after the keys `removed` were dropped and each row
/// renormalised; 0 at removed patches. `None` if the row does not exist.
fn mean_without(trace: &Trace, row: usize, removed: &[u32], keys: &[u32]) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let mut weights = vec![0.0; shape.page_len()];
    trace.page(row)?.convert_to_f32_slice(&mut weights);
    let scale = 1.0 / trace.meta().attention_scale;
    let maps = (shape.layers * shape.heads) as f32;
    let mut map = vec![0.0; keys.len()];
    for head in weights.chunks_exact(shape.positions) {
        let value = |key: u32| {
            let weight = head[key as usize] * scale;
            if weight.is_finite() { weight } else { 0.0 }
        };
        let rest = 1.0 - removed.iter().map(|&key| value(key)).sum::<f32>();
        if rest <= 1e-6 {
            continue;
        }
        for (sum, &key) in map.iter_mut().zip(keys) {
            if !removed.contains(&key) {
                *sum += value(key) / rest / maps;
            }
        }
    }
    Some(map)
}
