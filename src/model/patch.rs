//! Activation patching: runs the model on picture A and on picture B with the same text, copies activations of A into
//! the run on B, one place at a time, and scores A's answer token (Meng et al. 2022, arXiv 2202.05262; Wang et al. 2022,
//! arXiv 2211.00593; Heimersheim & Nanda 2024, arXiv 2404.15255).
//!
//! Two measures keep a place as cheap as a plain forward pass of the positions that it changes. Positions before the
//! first patched one keep the keys and values of run B, which are computed once. Places of one group of positions go
//! through the model a few at a time, each member of the batch with the patch of another layer or head.
//!
//! Attribution patching estimates all places from one backward pass through run B: gradient of the token's
//! log-probability × (activation of A − activation of B).

use super::error::{ModelError, Result};
use super::feed::{Feed, fitting_batch, look, no_parts, parts};
use super::local_engine::LocalEngine;
use super::manifest::PATCHING;
use super::relevancy::memory;
use super::sampling::log_probability;
use super::session::{BackwardGraph, Call, DecoderPart, KvCache, Patches, Seed};
use super::trace_inputs::TraceInputs;
use crate::analysis::patching::{LEAST_DIFFERENCE, PatchResult, PositionGroup, Site};
use crate::job::CancelToken;
use crate::trace::{AnswerIndex, Trace};
use std::ops::Range;
use std::sync::Arc;

/// Largest batch where most of a batch's time is matrix products, see docs/performance.md.
const BATCH: usize = 3;
/// Largest batch of short suffixes, which cost little more than reading the weights.
const SHORT_BATCH: usize = 16;
/// Positions of a short suffix.
const SHORT: usize = 32;

/// A request for activation patching.
#[derive(Clone, Debug)]
pub struct PatchRequest {
    /// The answer token of run A whose log-probability is measured.
    pub answer: AnswerIndex,
    /// The activations that are copied.
    pub site: Site,
    /// The positions that are copied together.
    pub groups: Vec<PositionGroup>,
    /// RGB bytes [height, width, 3] of picture B, of the size that the model sees.
    pub other: Arc<[u8]>,
    /// Name of picture B, for a reader.
    pub name: String,
    /// Compute the first-order estimates before the exact values.
    pub estimates: bool,
    /// Compute the exact values.
    pub exact: bool,
    /// The table of an earlier run: places that it holds are not computed again.
    pub earlier: Option<PatchResult>,
}

/// Activations of one run at some positions.
#[derive(Debug, Default)]
struct States {
    /// Ascending.
    positions: Vec<u32>,
    /// [positions, features] of each layer.
    layers: Vec<Vec<f32>>,
}

impl States {
    /// The activations of a position in a layer.
    fn at(&self, layer: usize, position: u32) -> Option<&[f32]> {
        let row = self.positions.binary_search(&position).ok()?;
        let values = self.layers.get(layer)?;
        let width = values.len() / self.positions.len();
        values.get(row * width..(row + 1) * width)
    }
}

/// Both runs of a pair of pictures, from which places are patched.
#[derive(Debug)]
pub struct Patcher {
    request: PatchRequest,
    /// Ids of all positions up to the one that predicts the token.
    ids: Vec<u32>,
    id: u32,
    features: Vec<f32>,
    states: States,
    /// Keys and values of run B.
    cache: KvCache,
    result: PatchResult,
    plain: bool,
}

/// As [`super::patch()`], with a model in this process.
///
/// # Errors
/// As [`super::patch()`].
pub(super) fn patch_here(
    engine: &mut LocalEngine,
    trace: &Trace,
    request: PatchRequest,
    cancel: &CancelToken,
    each: &mut dyn FnMut(&PatchResult),
) -> Result<PatchResult> {
    let exact = request.exact;
    let mut patcher = Patcher::new(engine, trace, request, cancel)?;
    each(&patcher.result);
    if exact {
        let ran = patcher.run(engine, cancel, each);
        let has_any = patcher.result.done() > 0 || !patcher.result.estimates.is_empty();
        match ran {
            Err(ModelError::Cancelled) if has_any => {}
            other => other?,
        }
    }
    Ok(patcher.result)
}

impl Patcher {
    /// Runs the model on both pictures and, if requested, computes the estimates.
    ///
    /// # Errors
    /// As [`super::patch()`].
    pub fn new(
        engine: &mut LocalEngine,
        trace: &Trace,
        request: PatchRequest,
        cancel: &CancelToken,
    ) -> Result<Self> {
        engine.bundle.require(PATCHING, "activation patching")?;
        let replay = TraceInputs::from_trace(trace, &engine.bundle)?;
        check(&replay, &request)?;
        let text = engine.bundle.manifest().text.clone();
        let last = replay.prompt_len - 1 + request.answer.index();
        let (ids, id) = (replay.ids[..=last].to_vec(), replay.ids[last + 1]);
        let own: Vec<_> = replay.rgb.iter().cloned().collect();
        let own = look(engine, &own, cancel)?;
        let other = look(engine, &[Arc::clone(&request.other)], cancel)?;
        let mut positions: Vec<u32> =
            request.groups.iter().flat_map(|group| &group.positions).copied().collect();
        positions.sort_unstable();
        positions.dedup();
        let watch = Watch { ids: &ids, site: request.site, positions: &positions };
        let (logits, _, states) = watch.run(engine, &own, cancel)?;
        let (other_logits, cache, other_states) = watch.run(engine, &other, cancel)?;
        let logprobs = [&logits, &other_logits].map(|logits| log_probability(logits, id));
        let [a, b] = logprobs;
        if (a - b).abs() < LEAST_DIFFERENCE {
            return Err(ModelError::Request {
                what: format!("answer token {}", request.answer),
                reason: format!(
                    "is as likely with picture B (log p {b:.4}) as with picture A ({a:.4}), so that nothing is lost that could return; choose another token or picture."
                ),
            });
        }
        let size = [text.layers as u32, text.heads as u32];
        let place = (request.answer, request.site);
        let mut result =
            PatchResult::new(place, request.name.clone(), logprobs, request.groups.clone(), size);
        if let Some(earlier) = &request.earlier {
            result.continue_from(earlier);
        }
        if request.estimates && result.estimates.is_empty() {
            let seed = Seed { position: last, id, weight: 1.0 };
            let gradients = gradients(engine, &ids, &other, seed, request.site, cancel)?;
            result.estimates = estimates(&result, &states, &other_states, &gradients);
        }
        Ok(Self { request, ids, id, features: other, states, cache, result, plain: false })
    }

    /// Runs each place by itself, its positions in one call and without its patch: the cost of plain forward passes of
    /// the same positions, for measurements.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The table so far.
    pub fn result(&self) -> &PatchResult {
        &self.result
    }

    /// Fills in the table.
    ///
    /// # Errors
    /// As [`super::patch()`].
    pub fn run(
        &mut self,
        engine: &mut LocalEngine,
        cancel: &CancelToken,
        each: &mut dyn FnMut(&PatchResult),
    ) -> Result<()> {
        let cells = self.result.layers as usize * self.result.heads as usize;
        for group in 0..self.result.groups.len() {
            let start = self.start(group);
            let suffix = self.ids.len() - start;
            let most = if suffix <= SHORT { SHORT_BATCH } else { BATCH };
            let batch = if self.plain { 1 } else { fitting_batch(engine, self.ids.len(), most) };
            let is_missing = |cell: &usize| self.result.patched.get(*cell) == Some(&None);
            let all: Vec<usize> = (group * cells..(group + 1) * cells).filter(is_missing).collect();
            let mut held: Option<(usize, KvCache)> = None;
            for members in all.chunks(batch) {
                let count = members.len();
                let cache = match held.take() {
                    Some((size, cache)) if size == count => cache,
                    _ if start == 0 => engine.sessions.empty_cache(count)?,
                    _ => engine.sessions.cache_prefix(&self.cache, start, count)?,
                };
                let found = self.score(engine, group, members, start, &cache, cancel)?;
                held = Some((count, cache));
                engine.counters.rescored += count as u64;
                for (&cell, logprob) in members.iter().zip(found) {
                    if let Some(place) = self.result.patched.get_mut(cell) {
                        *place = Some(logprob);
                    }
                }
                each(&self.result);
            }
        }
        Ok(())
    }

    /// The first position that a group's patches change. At least two positions are computed, see `LocalEngine::past`.
    fn start(&self, group: usize) -> usize {
        let first = self.result.groups.get(group).and_then(|group| group.positions.first());
        let first = first.map_or(usize::MAX, |&first| first as usize);
        first.min(self.ids.len().saturating_sub(2))
    }

    /// log p of the token with the patches of some cells, one member of a batch each.
    fn score(
        &self,
        engine: &mut LocalEngine,
        group: usize,
        members: &[usize],
        start: usize,
        cache: &KvCache,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let vocabulary = engine.bundle.manifest().text.vocab;
        let features = self.features.repeat(members.len());
        let feed = Feed {
            ids: &self.ids,
            from: start,
            features: &features,
            batch: members.len(),
            calls: &|positions| Call {
                patches: (!self.plain).then(|| self.patches(group, members, positions)),
                ..Call::default()
            },
            logits_from: Some(self.ids.len() - 1),
            parts: if self.plain { 1 } else { parts(engine, self.ids.len() - start) },
        };
        let (logits, _) = feed.run(engine, cache, &mut no_parts, cancel)?;
        Ok(logits.chunks_exact(vocabulary).map(|row| log_probability(row, self.id)).collect())
    }

    /// The patches of some cells of a group in a call on `positions`. Cells are ascending, and so are their layers.
    fn patches(&self, group: usize, members: &[usize], positions: Range<u32>) -> Patches {
        let site = self.request.site;
        let mut found = Patches {
            site,
            counts: vec![0; self.result.layers as usize],
            places: Vec::new(),
            values: Vec::new(),
        };
        let new = positions.len() as i64;
        let of_group = self.result.groups.get(group).map_or(&[][..], |group| &group.positions);
        for (member, &cell) in (0_i64..).zip(members) {
            let (_, layer, head) = self.result.place(cell);
            for &position in of_group.iter().filter(|position| positions.contains(position)) {
                let Some(values) = self.states.at(layer as usize, position) else { continue };
                let row = i64::from(position - positions.start);
                if site == Site::Heads {
                    let width = values.len() / self.result.heads as usize;
                    found.places.extend([member, i64::from(head), row]);
                    found.values.extend_from_slice(&values[head as usize * width..][..width]);
                } else {
                    found.places.push(member * new + row);
                    found.values.extend_from_slice(values);
                }
                found.counts[layer as usize] += 1;
            }
        }
        found
    }
}

/// A run whose activations are read.
struct Watch<'a> {
    ids: &'a [u32],
    site: Site,
    positions: &'a [u32],
}

impl Watch<'_> {
    /// The logits of the last position, the cache and the activations.
    fn run(
        &self,
        engine: &mut LocalEngine,
        features: &[f32],
        cancel: &CancelToken,
    ) -> Result<(Vec<f32>, KvCache, States)> {
        let layers = engine.bundle.manifest().text.layers;
        let mut states =
            States { positions: self.positions.to_vec(), layers: vec![Vec::new(); layers] };
        let feed = Feed {
            ids: self.ids,
            from: 0,
            features,
            batch: 1,
            calls: &|call| {
                let wanted = self.positions.iter().filter(|position| call.contains(position));
                let rows = wanted.map(|position| i64::from(position - call.start)).collect();
                Call { state_site: Some(self.site), state_rows: rows, ..Call::default() }
            },
            logits_from: Some(self.ids.len() - 1),
            parts: parts(engine, self.ids.len()),
        };
        let past = engine.sessions.empty_cache(1)?;
        // Calls come in the order of positions, so that rows of a layer are appended in this order.
        let mut keep = |_: &Range<u32>, part: DecoderPart<'_>| {
            if let DecoderPart::States { layer, values } = part
                && let Some(kept) = states.layers.get_mut(layer)
            {
                kept.extend_from_slice(values);
            }
        };
        let (logits, cache) = feed.run(engine, &past, &mut keep, cancel)?;
        engine.counters.prefill_positions += self.ids.len() as u64;
        Ok((logits, cache.unwrap_or(past), states))
    }
}

fn check(replay: &TraceInputs, request: &PatchRequest) -> Result<()> {
    let bad = |what: String, reason: String| Err(ModelError::Request { what, reason });
    let answers = replay.answer_ids().len();
    if request.answer.index() >= answers {
        let last = answers.saturating_sub(1);
        return bad(
            format!("answer token {}", request.answer),
            format!("does not exist: the answer has tokens 0 to {last}."),
        );
    }
    let Some(own) = replay.rgb.as_ref() else {
        return bad(
            "this trace".into(),
            "has no picture whose activations could be copied.".into(),
        );
    };
    if own.len() != request.other.len() {
        return bad(
            "picture B".into(),
            format!("has {} bytes; the model's size has {}.", request.other.len(), own.len()),
        );
    }
    let end = (replay.prompt_len + request.answer.index()) as u32;
    for group in &request.groups {
        let ascending = group.positions.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || group.positions.last().is_none_or(|&last| last >= end) {
            return bad(
                format!("the group `{}`", group.name),
                format!("must be ascending positions from 0 to {}.", end - 1),
            );
        }
    }
    if request.groups.is_empty() {
        return bad("activation patching".into(), "needs a group of positions.".into());
    }
    Ok(())
}

/// Gradients of the token's log-probability in the run on `features`, [T, features] of each layer.
fn gradients(
    engine: &mut LocalEngine,
    ids: &[u32],
    features: &[f32],
    seed: Seed,
    site: Site,
    cancel: &CancelToken,
) -> Result<Vec<Vec<f32>>> {
    let (needed, budget) = (memory::of_pass(&engine.bundle, ids.len()), memory::available());
    if needed > budget {
        return Err(ModelError::Memory {
            positions: ids.len(),
            needed_bytes: needed,
            budget_bytes: budget,
        });
    }
    engine.sessions.open_backward(&engine.bundle, BackwardGraph::Attribution, false)?;
    let hidden = engine.bundle.manifest().text.hidden;
    let embeddings = engine.sessions.embed(ids, 1, features, hidden, cancel)?;
    let found = engine.sessions.backward_activations(embeddings, hidden, seed, site, cancel)?;
    Ok(found.layers()?.into_iter().map(<[f32]>::to_vec).collect())
}

/// Σ gradient × (A − B) over the positions and features of each cell.
fn estimates(table: &PatchResult, a: &States, b: &States, gradients: &[Vec<f32>]) -> Vec<f32> {
    let estimate = |cell: usize| -> f32 {
        let (group, layer, head) = table.place(cell);
        let layer = layer as usize;
        let positions = table.groups.get(group).map_or(&[][..], |group| &group.positions);
        let of_position = |&position: &u32| -> Option<f64> {
            let (a, b) = (a.at(layer, position)?, b.at(layer, position)?);
            let gradient = gradients.get(layer)?.get(position as usize * a.len()..)?;
            let width = a.len() / table.heads as usize;
            let features = head as usize * width..(head as usize + 1) * width;
            let terms = features.map(|at| f64::from(gradient[at]) * f64::from(a[at] - b[at]));
            Some(terms.sum())
        };
        positions.iter().filter_map(of_position).sum::<f64>() as f32
    };
    (0..table.patched.len()).map(estimate).collect()
}
