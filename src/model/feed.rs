//! Positions on their way through the decoder: several sequences at once, in parts.

use super::error::Result;
use super::local_engine::LocalEngine;
use super::manifest::ElementType;
use super::session::{Call, DecoderPart, KvCache, Provider};
use super::trace_inputs::normalised;
use crate::job::CancelToken;
use std::ops::Range;
use std::sync::Arc;

/// With shorter parts, the matrix products lose more time than is saved on scores.
const LEAST_PART: usize = 40;
const MOST_PARTS: usize = 4;
/// Memory limit of the keys, values and scores of a batch, in bytes.
const BATCH_BYTES: usize = 512 << 20;

/// Positions that go through the decoder.
pub(super) struct Feed<'a> {
    /// Ids from position 0 to the last position that is fed.
    pub ids: &'a [u32],
    /// Number of these positions that the cache already holds.
    pub from: usize,
    /// [batch, features, D]; may be empty if no image token is fed.
    pub features: &'a [f32],
    pub batch: usize,
    /// The rows, interventions and patches of a call on these positions; logits are added.
    pub calls: &'a dyn Fn(Range<u32>) -> Call,
    /// The first position whose logits are requested.
    pub logits_from: Option<usize>,
    pub parts: usize,
}

impl Feed<'_> {
    /// Returns logits [batch, wanted, V] and the cache of all positions. Other outputs go to `parts`, with the positions of
    /// their call.
    pub fn run(
        &self,
        engine: &mut LocalEngine,
        past: &KvCache,
        parts: &mut dyn FnMut(&Range<u32>, DecoderPart<'_>),
        cancel: &CancelToken,
    ) -> Result<(Vec<f32>, Option<KvCache>)> {
        let text = engine.bundle.manifest().text.clone();
        let fed = &self.ids[self.from..];
        let features = self.features_of(engine, text.hidden);
        let embeddings = engine.sessions.embed(fed, self.batch, &features, text.hidden, cancel)?;
        // The last part must contain all positions whose logits are requested.
        let last_cut = self.logits_from.unwrap_or(self.ids.len()).saturating_sub(self.from);
        let mut cuts: Vec<usize> = (1..self.parts)
            .map(|part| part * fed.len() / self.parts)
            .filter(|&cut| cut > 1 && cut <= last_cut && cut + 1 < fed.len())
            .collect();
        cuts.push(fed.len());
        let (mut start, mut cache) = (0, None::<KvCache>);
        let mut logits = Vec::new();
        for cut in cuts {
            let positions = (self.from + start) as u32..(self.from + cut) as u32;
            let wanted = self.logits_from.map_or(positions.end, |first| first as u32);
            let call = Call {
                logit_rows: (wanted.max(positions.start)..positions.end)
                    .map(|position| i64::from(position - positions.start))
                    .collect(),
                ..(self.calls)(positions.clone())
            };
            let part = cut_out(&embeddings, fed.len(), text.hidden, start..cut);
            let past = cache.as_ref().unwrap_or(past);
            let (found, next) =
                engine.sessions.decode(part, text.hidden, past, call, cancel, &mut |part| {
                    parts(&positions, part);
                    Ok(())
                })?;
            (logits, cache, start) = (found, Some(next), cut);
        }
        Ok((logits, cache))
    }

    /// The features of the image tokens that are fed: [batch, n, D].
    fn features_of(&self, engine: &LocalEngine, hidden: usize) -> Vec<f32> {
        let image = |id: &&u32| engine.bundle.tokenizer().is_image(**id);
        let before = self.ids[..self.from].iter().filter(image).count();
        let here = self.ids[self.from..].iter().filter(image).count();
        if here == 0 || self.batch == 0 {
            return Vec::new();
        }
        cut_out(
            self.features,
            self.features.len() / (self.batch * hidden),
            hidden,
            before..before + here,
        )
    }
}

/// [B, `rows`, D] → [B, `wanted` rows, D].
fn cut_out(values: &[f32], rows: usize, hidden: usize, wanted: Range<usize>) -> Vec<f32> {
    if wanted == (0..rows) {
        return values.to_vec();
    }
    let wanted = wanted.start * hidden..wanted.end * hidden;
    let members = values.chunks_exact(rows * hidden);
    members.flat_map(|member| &member[wanted.clone()]).copied().collect()
}

/// Pictures [H, W, 3] → features [B, features, D].
pub(super) fn look(
    engine: &mut LocalEngine,
    pictures: &[Arc<[u8]>],
    cancel: &CancelToken,
) -> Result<Vec<f32>> {
    let side = engine.bundle.manifest().vision.image_size;
    let pixels = pictures.iter().flat_map(|rgb| normalised(rgb, &engine.bundle)).collect();
    let features = engine.sessions.vision(pixels, side, cancel)?;
    engine.counters.vision_runs += pictures.len() as u64;
    Ok(features)
}

/// Ignores the outputs beside logits and cache.
pub(super) fn no_parts(_: &Range<u32>, _: DecoderPart<'_>) {}

/// Number of calls that `positions` are divided into. A GPU prefers one large call.
pub(super) fn parts(engine: &LocalEngine, positions: usize) -> usize {
    if engine.sessions.provider() != Provider::Cpu {
        return 1;
    }
    (positions / LEAST_PART).clamp(1, MOST_PARTS)
}

/// Members of a batch of `positions` that fit in the memory limit: at least 1, at most `most`.
pub(super) fn fitting_batch(engine: &LocalEngine, positions: usize, most: usize) -> usize {
    (BATCH_BYTES / bytes_per_member(engine, positions)).clamp(1, most)
}

/// Bytes for one member of a batch: keys and values before and after a call, and a few copies of one layer's scores.
fn bytes_per_member(engine: &LocalEngine, positions: usize) -> usize {
    let manifest = engine.bundle.manifest();
    let text = &manifest.text;
    let element = if manifest.dtype == ElementType::F16 { 2 } else { 4 };
    let cache = 2 * text.layers * text.kv_heads * text.head_dim * positions * element;
    let scores = text.heads * positions.div_ceil(MOST_PARTS) * positions * 4;
    (2 * cache + 4 * scores).max(1)
}
