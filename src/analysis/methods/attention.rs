//! Mean attention over layers and heads, with BOS and without.

use super::super::reduce::{Fold, Keep, Reduction, patch_keys, reduce};
use super::inputs::Missing;
use super::rows::{each_answer, tensor};
use crate::trace::Trace;

pub(super) fn mean(trace: &Trace, _seed: u64) -> Result<Vec<f32>, Missing> {
    map(trace, false)
}

pub(super) fn mean_without_bos(trace: &Trace, _seed: u64) -> Result<Vec<f32>, Missing> {
    map(trace, true)
}

fn map(trace: &Trace, remove_bos: bool) -> Result<Vec<f32>, Missing> {
    let (shape, keys) = (trace.shape(), patch_keys(trace));
    each_answer(trace, |_, row| {
        let reduction = Reduction {
            rows: vec![row as u32],
            layers: (0..shape.layers as u32).collect(),
            heads: (0..shape.heads as u32).collect(),
            row_fold: Fold::Mean,
            layer_fold: Fold::Mean,
            head_fold: Fold::Mean,
            keep: Keep::One,
            pairs: false,
            remove_bos,
        };
        reduce(trace, &reduction, &keys).ok_or_else(|| tensor("attention.weights"))
    })
}
