//! Relative attention: attention under the question divided by attention under a general one
//! (Zhang et al., arXiv 2502.17422).
//!
//! A_rel = A_l(question) / A_l("Write a general description of the image."), mean over heads, at one
//! layer in the middle.

use super::inputs::Missing;
use super::rows::{each_answer, tensor};
use crate::trace::{ImageSpan, Trace};

/// The paper's second prompt.
pub const GENERAL_QUESTION: &str = "Write a general description of the image.";
/// The paper takes layer 14 of the 32 of LLaVA-1.5-7B; other depths take the same fraction.
const PAPER_LAYER: (usize, usize) = (14, 32);
/// Smaller attention counts as this value, so that a patch with almost no attention gives no huge ratio.
const LEAST_ATTENTION: f32 = 1e-6;

/// The layer that is read in a model of `layers` layers.
pub fn relative_layer(layers: usize) -> usize {
    let (layer, of) = PAPER_LAYER;
    ((layer * layers + of / 2) / of).min(layers.saturating_sub(1))
}

/// [G, N], from the attention `general`, `[N]`, under the general question.
pub(super) fn map(trace: &Trace, general: &[f32]) -> Result<Vec<f32>, Missing> {
    let layer = relative_layer(trace.shape().layers);
    each_answer(trace, |_, row| {
        let own = mean_over_heads(trace, row, layer).ok_or_else(|| tensor("attention.weights"))?;
        let patches = trace.meta().spans.iter().flat_map(ImageSpan::keys);
        let ratio = |(key, general): (usize, &f32)| {
            own[key].max(LEAST_ATTENTION) / general.max(LEAST_ATTENTION)
        };
        Ok(patches.zip(general).map(ratio).collect())
    })
}

/// Attention of one row at one layer, mean over heads: `[T]`.
fn mean_over_heads(trace: &Trace, row: usize, layer: usize) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let mut mean = vec![0.0; shape.positions];
    for head in 0..shape.heads {
        let weights = trace.weights(row, layer, head)?;
        mean.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight / shape.heads as f32);
    }
    Some(mean)
}
