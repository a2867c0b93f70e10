//! The attention on a trace's picture under another question: one prefill, of which the last row is read.

use super::error::{ModelError, Result};
use super::local_engine::LocalEngine;
use super::prompt;
use super::session::{Call, DecoderPart};
use super::trace_inputs::{TraceInputs, normalised};
use crate::analysis::methods::Forward;
use crate::job::CancelToken;
use crate::trace::Trace;

impl LocalEngine {
    /// Mean over heads of the attention of the question's last position on the patches, at the
    /// layer that `forward` reads: `[N]`.
    ///
    /// # Errors
    /// A trace of another model or without a picture, a failure of ONNX Runtime, or
    /// [`ModelError::Cancelled`].
    pub(super) fn other_question(
        &mut self,
        trace: &Trace,
        forward: &Forward,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let replay = TraceInputs::from_trace(trace, &self.bundle)?;
        let rgb = replay.rgb.as_ref().filter(|_| !trace.meta().spans.is_empty());
        let rgb = rgb.ok_or_else(|| ModelError::Request {
            what: "this trace".into(),
            reason: "has no picture to look at.".into(),
        })?;
        let manifest = self.bundle.manifest().clone();
        let text = &manifest.text;
        let built = prompt::build(&self.bundle, &[], forward.question, 1)?;
        let side = manifest.vision.image_size;
        let features = self.sessions.vision(normalised(rgb, &self.bundle), side, cancel)?;
        self.counters.vision_runs += 1;
        let embeddings = self.sessions.embed(&built.ids, 1, &features, text.hidden, cancel)?;
        let keys = built.ids.len();
        let call = Call { rows: vec![keys as i64 - 1], ..Call::default() };
        let wanted = (forward.layer)(text.layers);
        let first = built.first_patches.first().map_or(0, |&first| first as usize);
        let mut attention = vec![0.0; manifest.vision.patches];
        let scale = manifest.attention.scale * text.heads as f32;
        let past = self.sessions.empty_cache(1)?;
        self.sessions.decode(embeddings, text.hidden, &past, call, cancel, &mut |part| {
            if let DecoderPart::Rows { layer, weights } = part
                && layer == wanted
            {
                for head in weights.chunks_exact(keys) {
                    for (sum, weight) in attention.iter_mut().zip(&head[first..]) {
                        *sum += weight.to_f32() / scale;
                    }
                }
            }
            Ok(())
        })?;
        self.counters.prefill_positions += keys as u64;
        Ok(attention)
    }
}
