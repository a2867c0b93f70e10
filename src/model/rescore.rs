//! Scores the same answer under many variants of the picture or of the model.
//!
//! Occlusion maps, deletion and insertion curves, head ablation and attention knockout use this module. The model
//! returns no attention here, and three measures make a variant cheaper than a plain forward pass; they change its
//! numbers only by rounding. First, keys and values of the positions that a variant cannot change are computed once:
//! the positions before the picture if the picture changes, the positions before the first masked query if attention is
//! knocked out. Second, variants of the picture go through the model a few at a time. Third, the prompt is fed in parts
//! of equal length: a query never attends to later keys, so with n parts only (n + 1) / 2n of all scores are computed,
//! and a part of a whole batch still uses the matrix products well.

use super::error::{ModelError, Result};
use super::feed::{Feed, fitting_batch, look, no_parts, parts};
use super::generate::interventions;
use super::local_engine::LocalEngine;
use super::occluder::{BlankFill, Occluder};
use super::request::Interventions;
use super::sampling::{argmax, log_probability};
use super::session::{Call, KvCache};
use super::trace_inputs::TraceInputs;
use crate::job::CancelToken;
use crate::trace::{ImageSpan, PictureView, Trace};
use std::ops::Range;
use std::sync::Arc;

/// A larger batch is slower on a CPU, see docs/performance.md.
const BATCH: usize = 3;

/// The picture of a variant.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum VariantPicture {
    /// The trace's own.
    #[default]
    Own,
    /// RGB bytes [height, width, 3] of the size that the model sees.
    Rgb(Arc<[u8]>),
    /// The trace's own with these patches (row, column) of its only view blanked; `None`: the whole picture.
    Blanked(BlankFill, Option<Vec<[u32; 2]>>),
}

/// One variant of the picture or of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// The picture.
    pub picture: VariantPicture,
    /// Changes to the model.
    pub interventions: Interventions,
}

impl Variant {
    /// Another picture, the same model.
    pub fn of_picture(rgb: impl Into<Arc<[u8]>>) -> Self {
        Self { picture: VariantPicture::Rgb(rgb.into()), ..Self::default() }
    }

    /// The same picture with some patches blanked, the same model; `None` blanks the whole picture.
    pub fn blanked(fill: BlankFill, patches: Option<Vec<[u32; 2]>>) -> Self {
        Self { picture: VariantPicture::Blanked(fill, patches), ..Self::default() }
    }

    /// The same picture, another model.
    pub fn of_model(interventions: Interventions) -> Self {
        Self { picture: VariantPicture::Own, interventions }
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

/// Scores the answer of one trace under variants with a model in this process. It keeps the results that variants share, so that a second round (a
/// finer occlusion map, for example) does not compute them again; the engine may answer questions in between.
#[derive(Debug)]
pub struct LocalRescorer {
    replay: TraceInputs,
    /// The only view of the only picture, in which patches can be blanked.
    view: Option<ImageSpan>,
    /// One for each fill that was used.
    occluders: Vec<(BlankFill, Occluder)>,
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

impl LocalRescorer {
    /// Prepares to score the answer of `trace`; the model does not run yet.
    ///
    /// # Errors
    /// A trace of another model, or a damaged one, see [`TraceInputs::from_trace`].
    pub fn new(engine: &LocalEngine, trace: &Trace) -> Result<Self> {
        let replay = TraceInputs::from_trace(trace, engine.bundle())?;
        let batch = fitting_batch(engine, replay.fed_ids().len(), BATCH);
        let view = match trace.meta().spans.as_slice() {
            [view] => Some(view.clone()),
            _ => None,
        };
        Ok(Self {
            replay,
            view,
            occluders: Vec::new(),
            batch,
            plain: false,
            features: None,
            base: None,
            shared: None,
        })
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
        engine: &mut LocalEngine,
        variants: impl IntoIterator<Item = Variant>,
        cancel: &CancelToken,
        each: &mut dyn FnMut(usize, &Rescored),
    ) -> Result<Vec<Rescored>> {
        let mut results = Vec::new();
        let mut variants = variants.into_iter().peekable();
        while let Some(first) = variants.next() {
            engine.check_interventions(&first.interventions)?;
            let mut group = Group {
                first: results.len(),
                pictures: self.pixels(first.picture)?.into_iter().collect(),
                interventions: first.interventions,
            };
            while !group.pictures.is_empty() && group.pictures.len() < self.batch {
                let fits = |next: &Variant| {
                    next.picture != VariantPicture::Own && next.interventions == group.interventions
                };
                let Some(next) = variants.next_if(fits) else { break };
                group.pictures.extend(self.pixels(next.picture)?);
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

    /// The pixels of a variant's picture; `None`: the trace's own.
    fn pixels(&mut self, picture: VariantPicture) -> Result<Option<Arc<[u8]>>> {
        let own = self.replay.rgb.as_ref();
        match picture {
            VariantPicture::Own => Ok(None),
            VariantPicture::Rgb(given) if own.is_some_and(|own| own.len() == given.len()) => {
                Ok(Some(given))
            }
            VariantPicture::Rgb(given) => {
                let expected = own.map_or("this trace has none".to_owned(), |own| {
                    format!("the model's size has {}", own.len())
                });
                Err(ModelError::Request {
                    what: "the changed picture".into(),
                    reason: format!("has {} bytes; {expected}.", given.len()),
                })
            }
            VariantPicture::Blanked(fill, patches) => self.blank(fill, patches).map(Some),
        }
    }

    fn blank(&mut self, fill: BlankFill, patches: Option<Vec<[u32; 2]>>) -> Result<Arc<[u8]>> {
        let bad = |reason: String| ModelError::Request { what: "this trace".into(), reason };
        let (Some(view), Some(rgb)) = (&self.view, &self.replay.rgb) else {
            return Err(bad("has no picture, or several views, so nothing can be blanked.".into()));
        };
        let at = match self.occluders.iter().position(|(known, _)| *known == fill) {
            Some(at) => at,
            None => {
                // The picture of a trace that the model can run on again is a square.
                let side = ((rgb.len() / 3) as f64).sqrt() as u32;
                let seen = PictureView { width: side, height: side, rgb };
                self.occluders.push((fill, Occluder::new(&seen, fill)?));
                self.occluders.len() - 1
            }
        };
        let occluder = &self.occluders[at].1;
        let Some(patches) = patches else { return Ok(occluder.blank()) };
        let outside = |&&[row, column]: &&[u32; 2]| row >= view.rows || column >= view.columns;
        if let Some([row, column]) = patches.iter().find(outside) {
            let [rows, columns] = [view.rows, view.columns];
            return Err(bad(format!(
                "has {rows} × {columns} patches, so the one at row {row}, column {column} cannot be blanked."
            )));
        }
        Ok(occluder.without(view, &patches))
    }

    /// Scores the members of a group: its pictures, or the trace's own picture if it has none.
    fn run(
        &mut self,
        engine: &mut LocalEngine,
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
        let text = &engine.bundle.manifest().text;
        let size = [text.layers, text.heads];
        let cache = match &self.shared {
            Some(held) if shared > 0 => &held.cache,
            _ => &engine.sessions.empty_cache(batch)?,
        };
        let feed = Feed {
            ids,
            from: shared,
            features: &features,
            batch,
            calls: &|positions| interventions(&group.interventions, size, positions),
            logits_from: Some(self.replay.prompt_len - 1),
            parts: self.parts(engine, ids.len() - shared),
        };
        let (logits, _) = feed.run(engine, cache, &mut no_parts, cancel)?;
        Ok(self.read(engine, &logits))
    }

    /// Number of positions from the start whose keys and values are the same as in the trace.
    fn untouched(&self, group: &Group) -> usize {
        let Interventions { head_scale, knock_layers, knock_queries, knock_keys, steering } =
            &group.interventions;
        if self.plain || head_scale.iter().any(|&scale| scale != 1.0) {
            return 0;
        }
        // At least two new positions, see `LocalEngine::past`; the first logits are those of P − 1.
        let mut untouched = self.replay.prompt_len.saturating_sub(2);
        let first = |queries: &[Range<u32>]| {
            let changed = queries.iter().filter(|range| !range.is_empty());
            changed.map(|range| range.start as usize).min().unwrap_or(usize::MAX)
        };
        if !knock_layers.is_empty() && !knock_keys.is_empty() {
            untouched = untouched.min(first(knock_queries));
        }
        if let Some(steering) = steering.as_ref().filter(|steering| !steering.is_neutral()) {
            untouched = untouched.min(first(&steering.queries));
        }
        if !group.pictures.is_empty() {
            untouched = untouched.min(self.replay.first_image.unwrap_or(0));
        }
        untouched
    }

    /// Fills `self.shared` with the first `positions` positions, copied for a batch.
    fn share(
        &mut self,
        engine: &mut LocalEngine,
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
                calls: &|_| Call::default(),
                logits_from: None,
                parts: self.parts(engine, positions - done),
            };
            self.base = feed.run(engine, &past, &mut no_parts, cancel)?.1;
        }
        if let Some(base) = &self.base {
            let cache = engine.sessions.cache_prefix(base, positions, batch)?;
            self.shared = Some(Shared { positions, batch, cache });
        }
        Ok(())
    }

    /// Number of calls that `positions` are divided into.
    fn parts(&self, engine: &LocalEngine, positions: usize) -> usize {
        if self.plain { 1 } else { parts(engine, positions) }
    }

    /// [features, D] of the trace's picture; empty without one.
    fn own_features(&mut self, engine: &mut LocalEngine, cancel: &CancelToken) -> Result<Vec<f32>> {
        if self.features.is_none() || self.plain {
            let own: Vec<_> = self.replay.rgb.iter().cloned().collect();
            let features = if own.is_empty() { Vec::new() } else { look(engine, &own, cancel)? };
            self.features = Some(features);
        }
        Ok(self.features.clone().unwrap_or_default())
    }

    /// logits [B, G, V] → the results of the members.
    fn read(&self, engine: &LocalEngine, logits: &[f32]) -> Vec<Rescored> {
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
