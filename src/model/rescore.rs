//! Scores the same answer under many variants of the picture or of the model.
//!
//! Occlusion maps, deletion and insertion curves, head ablation and attention knockout use this module. The model
//! returns no attention here, and three measures make a variant cheaper than a plain forward pass; they change its
//! numbers only by rounding. First, keys and values of the positions that a variant cannot change are computed once:
//! the positions before the picture if the picture changes, the positions before the first masked query if attention is
//! knocked out. Second, variants of the picture go through the model a few at a time. Third, the prompt is fed in parts
//! of equal length: a query never attends to later keys, so with n parts only (n + 1) / 2n of all scores are computed,
//! and a part of a whole batch still uses the matrix products well.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::generate::interventions;
use super::manifest::ElementType;
use super::request::Interventions;
use super::sampling::{argmax, log_probability};
use super::session::{Call, KvCache, Provider};
use super::trace_inputs::{TraceInputs, normalised};
use crate::job::CancelToken;
use crate::trace::Trace;
use std::sync::Arc;

/// A larger batch is slower on a CPU, see docs/performance.md.
const BATCH: usize = 3;
/// With shorter parts, the matrix products lose more time than is saved on scores.
const LEAST_PART: usize = 40;
const MOST_PARTS: usize = 4;
/// Memory limit of the keys, values and scores of a batch, in bytes.
const BATCH_BYTES: usize = 512 << 20;

/// One variant of the picture or of the model.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Another picture: RGB bytes [height, width, 3] of the size that the model sees. `None` keeps the picture.
    pub rgb: Option<Arc<[u8]>>,
    /// Changes to the model.
    pub interventions: Interventions,
}

impl Variant {
    /// Another picture, the same model.
    pub fn of_picture(rgb: impl Into<Arc<[u8]>>) -> Self {
        Self { rgb: Some(rgb.into()), ..Self::default() }
    }

    /// The same picture, another model.
    pub fn of_model(interventions: Interventions) -> Self {
        Self { rgb: None, interventions }
    }
}

/// The answer under one variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Rescored {
    /// Natural logarithm of the probability of each id of the answer, given the ids before it: `[G]`, including the
    /// stop id.
    pub logprobs: Vec<f32>,
    /// The most likely id at each of these places: `[G]`. If it differs from the answer's id, greedy decoding would
    /// have chosen another token.
    pub top_ids: Vec<u32>,
}

impl Rescored {
    /// Log-probability of the whole answer.
    pub fn total(&self) -> f64 {
        self.logprobs.iter().map(|&logprob| f64::from(logprob)).sum()
    }
}

/// Scores the answer of one trace under variants. It keeps the results that variants share, so that a second round (a
/// finer occlusion map, for example) does not compute them again; the engine may answer questions in between.
#[derive(Debug)]
pub struct Rescorer {
    replay: TraceInputs,
    batch: usize,
    plain: bool,
    /// [features, D] of the trace's own picture.
    features: Option<Vec<f32>>,
    /// Keys and values of the first positions without changes, as far as they were needed.
    base: Option<KvCache>,
    /// Copies of the first positions of `base` for a batch.
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Shared {
    positions: usize,
    batch: usize,
    cache: KvCache,
}

/// Variants that go through the model together: all with a new picture or all without one, with the same interventions.
struct Group {
    first: usize,
    pictures: Vec<Arc<[u8]>>,
    interventions: Interventions,
}

impl Rescorer {
    /// Prepares to score the answer of `trace`; the model does not run yet.
    ///
    /// # Errors
    /// A trace of another model, or a damaged one, see [`TraceInputs::from_trace`].
    pub fn new(engine: &Engine, trace: &Trace) -> Result<Self> {
        let replay = TraceInputs::from_trace(trace, engine.bundle())?;
        let batch =
            (BATCH_BYTES / bytes_per_member(engine, replay.fed_ids().len())).clamp(1, BATCH);
        Ok(Self { replay, batch, plain: false, features: None, base: None, shared: None })
    }

    /// Limits the number of variants at a time to `batch`.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// Scores one variant at a time, every position in one call, nothing shared: the cost of a variant without this
    /// module, for measurements and tests.
    #[must_use]
    pub fn plain(mut self) -> Self {
        (self.batch, self.plain) = (1, true);
        self
    }

    /// Scores the answer under each variant, in order. `each` receives every result with its index as soon as it is
    /// computed; variants are taken from the iterator one batch at a time.
    ///
    /// # Errors
    /// A variant that does not fit the model, a failure of ONNX Runtime, or
    /// [`ModelError::Cancelled`]; results that `each` received stay valid.
    pub fn score(
        &mut self,
        engine: &mut Engine,
        variants: impl IntoIterator<Item = Variant>,
        cancel: &CancelToken,
        each: &mut dyn FnMut(usize, &Rescored),
    ) -> Result<Vec<Rescored>> {
        let mut results = Vec::new();
        let mut variants = variants.into_iter().peekable();
        while let Some(first) = variants.next() {
            self.check(engine, &first)?;
            let mut group = Group {
                first: results.len(),
                pictures: first.rgb.into_iter().collect(),
                interventions: first.interventions,
            };
            while !group.pictures.is_empty() && group.pictures.len() < self.batch {
                let fits = |next: &Variant| {
                    next.rgb.is_some() && next.interventions == group.interventions
                };
                let Some(next) = variants.next_if(fits) else { break };
                self.check(engine, &next)?;
                group.pictures.extend(next.rgb);
            }
            let scored = self.run(engine, &group, cancel)?;
            engine.counters.rescored += scored.len() as u64;
            for (index, result) in scored.iter().enumerate() {
                each(group.first + index, result);
            }
            results.extend(scored);
        }
        Ok(results)
    }

    fn check(&self, engine: &Engine, variant: &Variant) -> Result<()> {
        variant.interventions.check(&engine.bundle.manifest().text)?;
        let (given, own) = (variant.rgb.as_ref(), self.replay.rgb.as_ref());
        if let Some(given) = given
            && own.is_none_or(|own| own.len() != given.len())
        {
            let expected = own.map_or("this trace has none".to_owned(), |own| {
                format!("the model's size has {}", own.len())
            });
            return Err(ModelError::Request {
                what: "the changed picture".into(),
                reason: format!("has {} bytes; {expected}.", given.len()),
            });
        }
        Ok(())
    }

    /// Scores the members of a group: its pictures, or the trace's own picture if it has none.
    fn run(
        &mut self,
        engine: &mut Engine,
        group: &Group,
        cancel: &CancelToken,
    ) -> Result<Vec<Rescored>> {
        let features = if group.pictures.is_empty() {
            self.own_features(engine, cancel)?
        } else {
            look(engine, &group.pictures, cancel)?
        };
        let batch = group.pictures.len().max(1);
        let shared = self.untouched(group);
        self.share(engine, shared, batch, cancel)?;
        let ids = self.replay.fed_ids();
        let cache = match &self.shared {
            Some(held) if shared > 0 => &held.cache,
            _ => &engine.sessions.empty_cache(batch)?,
        };
        let feed = Feed {
            ids,
            from: shared,
            features: &features,
            batch,
            interventions: &group.interventions,
            logits_from: Some(self.replay.prompt_len - 1),
            parts: self.parts(engine, ids.len() - shared),
        };
        let (logits, _) = feed.run(engine, cache, cancel)?;
        Ok(self.read(engine, &logits))
    }

    /// Number of positions from the start whose keys and values are the same as in the trace.
    fn untouched(&self, group: &Group) -> usize {
        let Interventions { head_scale, knock_layers, knock_queries, knock_keys } =
            &group.interventions;
        if self.plain || head_scale.iter().any(|&scale| scale != 1.0) {
            return 0;
        }
        // At least two new positions, see `Engine::past`; the first logits are those of P − 1.
        let mut untouched = self.replay.prompt_len.saturating_sub(2);
        if !knock_layers.is_empty() && !knock_keys.is_empty() {
            let blind = knock_queries.iter().filter(|range| !range.is_empty());
            let first = blind.map(|range| range.start as usize).min();
            untouched = untouched.min(first.unwrap_or(usize::MAX));
        }
        if !group.pictures.is_empty() {
            untouched = untouched.min(self.replay.first_image.unwrap_or(0));
        }
        untouched
    }

    /// Fills `self.shared` with the first `positions` positions, copied for a batch.
    fn share(
        &mut self,
        engine: &mut Engine,
        positions: usize,
        batch: usize,
        cancel: &CancelToken,
    ) -> Result<()> {
        let held = |held: &Shared| held.positions == positions && held.batch == batch;
        if positions == 0 || self.shared.as_ref().is_some_and(held) {
            return Ok(());
        }
        self.shared = None;
        let done = self.base.as_ref().map_or(0, KvCache::positions);
        if done < positions {
            let reaches_picture = self.replay.first_image.is_some_and(|first| positions > first);
            let features =
                if reaches_picture { self.own_features(engine, cancel)? } else { Vec::new() };
            let past = match self.base.take() {
                Some(base) => base,
                None => engine.sessions.empty_cache(1)?,
            };
            let feed = Feed {
                ids: &self.replay.ids[..positions],
                from: done,
                features: &features,
                batch: 1,
                interventions: &Interventions::default(),
                logits_from: None,
                parts: self.parts(engine, positions - done),
            };
            self.base = feed.run(engine, &past, cancel)?.1;
        }
        if let Some(base) = &self.base {
            let cache = engine.sessions.cache_prefix(base, positions, batch)?;
            self.shared = Some(Shared { positions, batch, cache });
        }
        Ok(())
    }

    /// Number of calls that `positions` are divided into. A GPU prefers one large call.
    fn parts(&self, engine: &Engine, positions: usize) -> usize {
        if self.plain || engine.sessions.provider() != Provider::Cpu {
            return 1;
        }
        (positions / LEAST_PART).clamp(1, MOST_PARTS)
    }

    /// [features, D] of the trace's picture; empty without one.
    fn own_features(&mut self, engine: &mut Engine, cancel: &CancelToken) -> Result<Vec<f32>> {
        if self.features.is_none() || self.plain {
            let own: Vec<_> = self.replay.rgb.iter().cloned().collect();
            let features = if own.is_empty() { Vec::new() } else { look(engine, &own, cancel)? };
            self.features = Some(features);
        }
        Ok(self.features.clone().unwrap_or_default())
    }

    /// logits [B, G, V] → the results of the members.
    fn read(&self, engine: &Engine, logits: &[f32]) -> Vec<Rescored> {
        let (vocabulary, ids) = (engine.bundle.manifest().text.vocab, self.replay.answer_ids());
        let member = |logits: &[f32]| {
            let rows = logits.chunks_exact(vocabulary);
            Rescored {
                logprobs: rows
                    .clone()
                    .zip(ids)
                    .map(|(row, &id)| log_probability(row, id))
                    .collect(),
                top_ids: rows.map(argmax).collect(),
            }
        };
        logits.chunks_exact(vocabulary * ids.len()).map(member).collect()
    }
}

/// Positions that go through the decoder.
struct Feed<'a> {
    /// Ids from position 0 to the last position that is fed.
    ids: &'a [u32],
    /// Number of these positions that the cache already holds.
    from: usize,
    /// [batch, features, D]; may be empty if no image token is fed.
    features: &'a [f32],
    batch: usize,
    interventions: &'a Interventions,
    /// The first position whose logits are requested.
    logits_from: Option<usize>,
    parts: usize,
}

impl Feed<'_> {
    /// Returns logits [batch, wanted, V] and, if no logits are requested, the cache of all positions.
    fn run(
        &self,
        engine: &mut Engine,
        past: &KvCache,
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
                ..interventions(self.interventions, text.layers, positions)
            };
            let part = cut_out(&embeddings, fed.len(), text.hidden, start..cut);
            let past = cache.as_ref().unwrap_or(past);
            let (found, next) =
                engine.sessions.decode(part, text.hidden, past, call, cancel, &mut |_| Ok(()))?;
            (logits, cache, start) = (found, Some(next), cut);
        }
        Ok((logits, cache.filter(|_| self.logits_from.is_none())))
    }

    /// The features of the image tokens that are fed: [batch, n, D].
    fn features_of(&self, engine: &Engine, hidden: usize) -> Vec<f32> {
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
fn cut_out(values: &[f32], rows: usize, hidden: usize, wanted: std::ops::Range<usize>) -> Vec<f32> {
    if wanted == (0..rows) {
        return values.to_vec();
    }
    let wanted = wanted.start * hidden..wanted.end * hidden;
    let members = values.chunks_exact(rows * hidden);
    members.flat_map(|member| &member[wanted.clone()]).copied().collect()
}

/// Pictures [H, W, 3] → features [B, features, D].
fn look(engine: &mut Engine, pictures: &[Arc<[u8]>], cancel: &CancelToken) -> Result<Vec<f32>> {
    let side = engine.bundle.manifest().vision.image_size;
    let pixels = pictures.iter().flat_map(|rgb| normalised(rgb, &engine.bundle)).collect();
    let features = engine.sessions.vision(pixels, side, cancel)?;
    engine.counters.vision_runs += pictures.len() as u64;
    Ok(features)
}

/// Bytes for one member of a batch: keys and values before and after a call, and a few copies of one layer's scores.
fn bytes_per_member(engine: &Engine, positions: usize) -> usize {
    let manifest = engine.bundle.manifest();
    let text = &manifest.text;
    let element = if manifest.dtype == ElementType::F16 { 2 } else { 4 };
    let cache = 2 * text.layers * text.kv_heads * text.head_dim * positions * element;
    let scores = text.heads * positions.div_ceil(MOST_PARTS) * positions * 4;
    (2 * cache + 4 * scores).max(1)
}
