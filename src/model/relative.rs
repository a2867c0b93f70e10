//! Relative attention: what a question adds to where the model looks anyway (Zhang et al.,
//! arXiv 2502.17422).
//!
//! A_rel = A_l(question) / A_l("Write a general description of the image."), mean over heads, at one
//! layer in the middle. The second prompt goes through the decoder once, without the rest of a
//! question's work, and only its last row is looked at.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::prompt;
use super::session::{AttentionPart, Call};
use super::trace_inputs::{TraceInputs, normalised};
use crate::job::CancelToken;
use crate::trace::{AnswerIndex, Trace};

/// The paper's second prompt.
pub const GENERAL_QUESTION: &str = "Write a general description of the image.";
/// The paper takes layer 14 of the 32 of LLaVA-1.5-7B; other depths take the same fraction.
const PAPER_LAYER: (usize, usize) = (14, 32);
/// Attention below this counts as this, so that a patch that nobody looks at gives no huge ratio.
const LEAST_ATTENTION: f32 = 1e-6;

/// The layer at which a model of `layers` layers is looked at.
pub fn relative_layer(layers: usize) -> usize {
    let (layer, of) = PAPER_LAYER;
    ((layer * layers + of / 2) / of).min(layers.saturating_sub(1))
}

impl Engine {
    /// Relative attention of every answer token: [G, N].
    ///
    /// # Errors
    /// A trace of another model or without a picture, a failure of ONNX Runtime, or
    /// [`ModelError::Cancelled`].
    pub fn relative_attention(&mut self, trace: &Trace, cancel: &CancelToken) -> Result<Vec<f32>> {
        let replay = TraceInputs::of(trace, &self.bundle)?;
        let rgb = replay.rgb.as_ref().filter(|_| !trace.meta().spans.is_empty());
        let rgb = rgb.ok_or_else(|| ModelError::Request {
            what: "this trace".into(),
            reason: "has no picture to look at.".into(),
        })?;
        let general = self.general_attention(rgb, cancel)?;
        let shape = trace.shape();
        let layer = relative_layer(shape.layers);
        let mut map = Vec::with_capacity(shape.generated * trace.meta().patches());
        for answer in 0..shape.generated as u32 {
            let row = trace.row_of_answer(AnswerIndex(answer));
            let own = row.and_then(|row| mean_over_heads(trace, row, layer));
            let own = own.ok_or_else(|| ModelError::Request {
                what: "this trace".into(),
                reason: format!("lacks the attention of answer token {answer}."),
            })?;
            let patches = trace.meta().spans.iter().flat_map(|span| span.keys());
            map.extend(patches.zip(&general).map(|(key, general)| {
                own[key].max(LEAST_ATTENTION) / general.max(LEAST_ATTENTION)
            }));
        }
        Ok(map)
    }

    /// Mean over heads of the attention of the general question's last position on the patches: `[N]`.
    fn general_attention(&mut self, rgb: &[u8], cancel: &CancelToken) -> Result<Vec<f32>> {
        let manifest = self.bundle.manifest().clone();
        let text = &manifest.text;
        let built = prompt::build(&self.bundle, &[], GENERAL_QUESTION, 1)?;
        let side = manifest.vision.image_size;
        let features = self.sessions.vision(normalised(rgb, &self.bundle), side, cancel)?;
        self.counters.vision_runs += 1;
        let embeddings = self.sessions.embed(&built.ids, 1, &features, text.hidden, cancel)?;
        let keys = built.ids.len();
        let call = Call { rows: vec![keys as i64 - 1], ..Call::default() };
        let wanted = relative_layer(text.layers);
        let first = built.first_patches.first().map_or(0, |&first| first as usize);
        let mut general = vec![0.0; manifest.vision.patches];
        let scale = manifest.attention.scale * text.heads as f32;
        let past = self.sessions.empty_cache(1)?;
        self.sessions.decode(embeddings, text.hidden, &past, call, cancel, &mut |part| {
            if let AttentionPart::Rows { layer, weights } = part
                && layer == wanted
            {
                for head in weights.chunks_exact(keys) {
                    for (sum, weight) in general.iter_mut().zip(&head[first..]) {
                        *sum += weight.to_f32() / scale;
                    }
                }
            }
            Ok(())
        })?;
        self.counters.prefill_positions += keys as u64;
        Ok(general)
    }
}

/// `[T]` of one layer.
fn mean_over_heads(trace: &Trace, row: usize, layer: usize) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let mut mean = vec![0.0; shape.positions];
    for head in 0..shape.heads {
        let weights = trace.weights(row, layer, head)?;
        mean.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight / shape.heads as f32);
    }
    Some(mean)
}
