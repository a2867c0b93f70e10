//! Whether an answer token depends on patches and words that an explanation names: they are masked,
//! and the token is scored again.
//!
//! The smallest parts of the explanation that change the token are what was asked for. An equally
//! large set of other tokens often changes it, too, so that each set stands beside controls: as many
//! random tokens, as many with about the same attention, and those that attention and relevancy rank
//! first.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::intervene::{Intervention, KnockFrom};
use super::occluder::BlankFill;
use super::rescore::{Rescored, Variant};
use super::rescorer::Rescorer;
use crate::analysis::causal::{
    Candidates, HeadGraph, HeadResult, MaskedSet, MaskingResult, SetKind,
};
use crate::analysis::methods::Method;
use crate::job::CancelToken;
use crate::logging::bug;
use crate::trace::{AnswerIndex, Trace};
use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;

/// A way to mask patches and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// No row of the text sees them, see [`KnockFrom`].
    Knock(KnockFrom),
    /// Patches are painted over before the vision tower sees them; words, which cannot be, are knocked
    /// out of all text after the picture.
    Blank(BlankFill),
}

impl Mask {
    /// As files and commands name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Knock(KnockFrom::Answer) => "knock-answer",
            Self::Knock(KnockFrom::Text) => "knock-text",
            Self::Blank(BlankFill::Mean) => "blank-mean",
            Self::Blank(BlankFill::Blur) => "blank-blur",
        }
    }
}

/// A request for the masking test.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskRequest {
    /// The way to mask tokens.
    pub mask: Mask,
    /// Random sets of each kind and size.
    pub draws: usize,
    /// Parts of the explanation that are tried at most, to find the smallest that change the token.
    pub max_sets: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// Masks sets of positions and scores one answer token.
struct Masker<'a> {
    trace: &'a Trace,
    answer: AnswerIndex,
    mask: Mask,
    scorer: Rescorer,
    plain: Rescored,
}

/// Masks the explanation of one head of a trace, parts of it, and its controls. `each` is told how
/// many sets are done.
///
/// # Errors
/// A head without a graph, a trace of another model, a failure of ONNX Runtime, or
/// [`ModelError::Cancelled`].
pub fn mask_test(
    engine: &mut Engine,
    trace: &Trace,
    answer: AnswerIndex,
    head: &HeadResult,
    request: &MaskRequest,
    cancel: &CancelToken,
    each: &mut dyn FnMut(usize),
) -> Result<MaskingResult> {
    let bad = |reason: String| ModelError::Request { what: format!("head {}", head.head), reason };
    let graph = head.graph.as_ref().ok_or_else(|| bad("has no causal graph.".into()))?;
    let candidates = Candidates::of(trace, answer, head.head)
        .map_err(|error| bad(format!("has no rows: {error}.")))?;
    let mut masker = Masker::new(engine, trace, answer, request.mask, cancel)?;
    let relevancy = trace.map_row(Method::LLM.tensor, answer);
    let relevancy = relevancy.filter(|_| trace.has_map_row(Method::LLM.tensor, answer));
    let compared = compared(graph, &candidates, relevancy.as_deref(), request);
    let mut done = 0;
    let mut tell = || {
        done += 1;
        each(done);
    };
    let positions: Vec<&[u32]> = compared.iter().map(|(_, _, set)| set.as_slice()).collect();
    let effects = masker.effects(engine, &positions, cancel, &mut tell)?;
    let masked = compared.into_iter().zip(effects);
    let mut sets: Vec<MaskedSet> = masked
        .map(|((kind, depth, positions), effect)| {
            let attention = candidates.attention(&positions);
            effect.of(kind, Some(depth), positions, attention)
        })
        .collect();
    let smallest = masker.smallest(engine, graph, request.max_sets, cancel, &mut tell)?;
    sets.extend(smallest.parts.into_iter().map(|(part, effect)| {
        let attention = candidates.attention(&part);
        effect.of(SetKind::Smallest, None, part, attention)
    }));
    Ok(MaskingResult {
        mask: request.mask.name().to_owned(),
        logprob: masker.plain.logprobs.get(answer.index()).copied().unwrap_or(f32::NAN),
        sets,
        tried: smallest.tried,
        is_complete: smallest.is_complete,
    })
}

/// The explanation within each distance, and the sets that it is compared with.
fn compared(
    graph: &HeadGraph,
    candidates: &Candidates,
    relevancy: Option<&[f32]>,
    request: &MaskRequest,
) -> Vec<(SetKind, usize, Vec<u32>)> {
    let mut random = ChaCha12Rng::seed_from_u64(request.seed);
    let mut sets = Vec::new();
    for depth in 1..=graph.deepest() {
        let explanation = graph.explanation(depth);
        let size = explanation.len();
        sets.push((SetKind::TopAttention, depth, candidates.top_attention(size)));
        if let Some(row) = relevancy {
            sets.push((SetKind::TopRelevancy, depth, candidates.top_of_row(row, size)));
        }
        for _ in 0..request.draws {
            let others = candidates.equal_attention(&explanation, &mut random);
            sets.push((SetKind::EqualAttention, depth, others));
            sets.push((SetKind::Random, depth, candidates.random(&explanation, &mut random)));
        }
        sets.push((SetKind::Explanation, depth, explanation));
    }
    sets
}

/// The smallest parts of an explanation that change the token.
struct Smallest {
    /// Positions and effect.
    parts: Vec<(Vec<u32>, MaskEffect)>,
    /// Parts that were tried.
    tried: usize,
    /// Whether all parts of these sizes were.
    is_complete: bool,
}

/// The effect on the answer token of masking a set.
#[derive(Clone, Copy, Debug, PartialEq)]
struct MaskEffect {
    delta_logprob: f32,
    changes_token: bool,
}

impl MaskEffect {
    fn of(
        self,
        kind: SetKind,
        depth: Option<usize>,
        positions: Vec<u32>,
        attention: f32,
    ) -> MaskedSet {
        let Self { delta_logprob, changes_token } = self;
        MaskedSet { kind, depth, positions, attention, delta_logprob, changes_token }
    }
}

impl<'a> Masker<'a> {
    fn new(
        engine: &mut Engine,
        trace: &'a Trace,
        answer: AnswerIndex,
        mask: Mask,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut scorer = Rescorer::new(engine, trace)?;
        let plain = scorer.score(engine, [Variant::default()], cancel, &mut |_, _| {})?;
        let plain = plain.into_iter().next().unwrap_or_else(|| {
            bug!("one variant was scored, but no result came");
            Rescored { logprobs: Vec::new(), top_ids: Vec::new() }
        });
        Ok(Self { trace, answer, mask, scorer, plain })
    }

    /// Tries the parts of the explanation that hang together, small ones first, at most `most` of them.
    fn smallest(
        &mut self,
        engine: &mut Engine,
        graph: &HeadGraph,
        most: usize,
        cancel: &CancelToken,
        tell: &mut dyn FnMut(),
    ) -> Result<Smallest> {
        let mut found = Smallest { parts: Vec::new(), tried: 0, is_complete: true };
        for size in 1..=graph.explanation(graph.deepest()).len() {
            let listed = graph.explanation_sets(size);
            found.is_complete = listed.is_some();
            let mut parts = listed.unwrap_or_default();
            let left = most - found.tried;
            found.is_complete &= parts.len() <= left;
            parts.truncate(left);
            found.tried += parts.len();
            let positions: Vec<&[u32]> = parts.iter().map(Vec::as_slice).collect();
            let effects = self.effects(engine, &positions, cancel, tell)?;
            let tried = parts.into_iter().zip(effects);
            found.parts.extend(tried.filter(|(_, effect)| effect.changes_token));
            if !found.parts.is_empty() || !found.is_complete {
                break;
            }
        }
        Ok(found)
    }

    fn effects(
        &mut self,
        engine: &mut Engine,
        sets: &[&[u32]],
        cancel: &CancelToken,
        tell: &mut dyn FnMut(),
    ) -> Result<Vec<MaskEffect>> {
        let variants: Vec<Variant> = sets.iter().map(|set| self.variant(set)).collect();
        let scored = self.scorer.score(engine, variants, cancel, &mut |_, _| tell())?;
        let index = self.answer.index();
        let effect = |scored: &Rescored| {
            let logprob = |of: &Rescored| of.logprobs.get(index).copied().unwrap_or(f32::NAN);
            MaskEffect {
                delta_logprob: logprob(scored) - logprob(&self.plain),
                changes_token: scored.top_ids.get(index) != self.plain.top_ids.get(index),
            }
        };
        Ok(scored.iter().map(effect).collect())
    }

    fn variant(&self, set: &[u32]) -> Variant {
        let knock = |keys: Vec<u32>, from: KnockFrom| {
            Intervention::Knock { keys, from, layers: Vec::new() }.on(self.trace.meta())
        };
        let span = self.trace.meta().spans.first();
        let (Mask::Blank(fill), Some(span)) = (self.mask, span) else {
            let from = match self.mask {
                Mask::Knock(from) => from,
                Mask::Blank(_) => KnockFrom::Text,
            };
            return Variant::of_model(knock(set.to_vec(), from));
        };
        let (mut patches, mut words) = (Vec::new(), Vec::new());
        for &position in set {
            match span.keys().position(|key| key == position as usize) {
                Some(patch) => {
                    patches.push([patch as u32 / span.columns, patch as u32 % span.columns]);
                }
                None => words.push(position),
            }
        }
        let interventions = knock(words, KnockFrom::Text);
        if patches.is_empty() {
            return Variant::of_model(interventions);
        }
        Variant { interventions, ..Variant::blanked(fill, Some(patches)) }
    }
}
