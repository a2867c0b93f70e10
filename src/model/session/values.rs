//! Inputs and outputs of the graphs.

use crate::analysis::patching::Site;
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
    /// Number of positions in the cache.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// The positions and outputs of one decoder call. Rows count from the first new position.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Rows whose attention is requested for all layers and heads.
    pub rows: Vec<i64>,
    /// Rows whose logits are requested.
    pub logit_rows: Vec<i64>,
    /// Rows whose mean over heads is requested.
    pub mean_rows: Vec<i64>,
    /// Rows whose attention in the last layer is requested.
    pub last_rows: Vec<i64>,
    /// Factor on each head's output, [L, H], or empty.
    pub head_scale: Vec<f32>,
    /// 1 for layers with masked pairs, `[L]`, or empty.
    pub knock_layers: Vec<f32>,
    /// 1 for masked queries, `[S]`.
    pub knock_query: Vec<f32>,
    /// 1 for masked keys, [C + S].
    pub knock_key: Vec<f32>,
    /// Bias of attention scores.
    pub bias: Option<Bias>,
    /// The activations that are read, at `state_rows`.
    pub state_site: Option<Site>,
    /// Rows whose activations are requested. They count over the batch: member × S + row.
    pub state_rows: Vec<i64>,
    /// Activations that are overwritten.
    pub patches: Option<Patches>,
}

/// Numbers that are added to attention scores before the softmax.
#[derive(Clone, Debug)]
pub struct Bias {
    /// H, the number of heads.
    pub heads: usize,
    /// C + S, the number of keys.
    pub keys: usize,
    /// [L, H, C + S].
    pub values: Vec<f32>,
    /// Factor on the bias in each query, `[S]`.
    pub queries: Vec<f32>,
}

/// Activations of one site that a call overwrites, layer by layer. Bundles with the capability [`PATCHING`] accept them.
///
/// [`PATCHING`]: crate::model::manifest::PATCHING
#[derive(Clone, Debug)]
pub struct Patches {
    /// The site.
    pub site: Site,
    /// Number of overwritten rows in each layer, `[L]`.
    pub counts: Vec<i64>,
    /// Their places: member × S + row, or for [`Site::Heads`] member, head and row.
    pub places: Vec<i64>,
    /// Their values: [rows, D], or for [`Site::Heads`] [rows, head_dim].
    pub values: Vec<f32>,
}

/// One output of the decoder beside logits and cache. Weights are attention × the attention scale.
#[derive(Clone, Copy, Debug)]
pub enum DecoderPart<'a> {
    /// Attention of `layer`: [H, rows, keys].
    Rows {
        /// The layer.
        layer: usize,
        /// The weights.
        weights: &'a [f16],
    },
    /// Attention of `layer`, mean over heads: [mean_rows, keys].
    HeadMean {
        /// The layer.
        layer: usize,
        /// The weights.
        weights: &'a [f16],
    },
    /// Attention of the last layer: [H, last_rows, keys].
    LastLayer {
        /// The weights.
        weights: &'a [f16],
    },
    /// Activations of `layer` at the requested rows: [state_rows, features].
    States {
        /// The layer.
        layer: usize,
        /// The activations.
        values: &'a [f32],
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
