//! Values that go into the graphs and come out of them.

use half::f16;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};

/// Keys and values of the positions so far, as ONNX Runtime returned them: two values per layer,
/// each [batch, kv_heads, positions, head_dim].
#[derive(Debug)]
pub struct KvCache {
    pub(super) values: Vec<DynValue>,
    pub(super) positions: usize,
    pub(super) batch: usize,
}

impl KvCache {
    /// Positions that it holds.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// The positions and outputs of one decoder call. Rows count from the first new position.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Rows whose attention is wanted for all layers and heads.
    pub rows: Vec<i64>,
    /// Rows whose logits are wanted.
    pub logit_rows: Vec<i64>,
    /// Rows for the mean over heads.
    pub mean_rows: Vec<i64>,
    /// Rows of the last layer.
    pub last_rows: Vec<i64>,
    /// [L, H], or empty.
    pub head_scale: Vec<f32>,
    /// `[L]` 0 or 1, or empty.
    pub knock_layers: Vec<f32>,
    /// `[S]` 0 or 1.
    pub knock_query: Vec<f32>,
    /// [C + S] 0 or 1.
    pub knock_key: Vec<f32>,
}

/// One attention output of the decoder, as it leaves. Weights are times the attention scale.
#[derive(Clone, Copy, Debug)]
pub enum AttentionPart<'a> {
    /// Of `layer`: [H, rows, keys].
    Rows {
        /// The layer.
        layer: usize,
        /// The weights.
        weights: &'a [f16],
    },
    /// Of `layer`, mean over heads: [mean_rows, keys].
    HeadMean {
        /// The layer.
        layer: usize,
        /// The weights.
        weights: &'a [f16],
    },
    /// Of the last layer: [H, last_rows, keys].
    LastLayer {
        /// The weights.
        weights: &'a [f16],
    },
}

/// past_k_0, past_v_0, past_k_1, …
pub(super) fn cache_name(when: &str, index: usize) -> String {
    let kind = if index.is_multiple_of(2) { "k" } else { "v" };
    format!("{when}_{kind}_{}", index / 2)
}

pub(super) fn tensor<
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
    const N: usize,
>(
    shape: [usize; N],
    data: Vec<T>,
) -> ort::Result<DynValue> {
    Ok(Tensor::from_array((shape, data))?.into_dyn())
}
