//! Ablation of each head in turn: its effect on the answer's log-probability.
//!
//! Zero ablation: the head's output is multiplied by 0 at every position, and the answer is scored again. The effect is
//! log p(answer | head off) − log p(answer), so a head that the answer needs has a negative effect.

use super::engine::Engine;
use super::error::Result;
use super::intervene::Intervention;
use super::rescore::{Rescored, Variant};
use super::rescorer::Rescorer;
use crate::job::CancelToken;
use crate::logging::bug;
use crate::trace::{Head, Layer, Trace};

/// The answer under one intervention.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// log p with the intervention − log p without it, of each answer token: `[G]`.
    pub delta_logprob: Vec<f32>,
    /// Whether greedy decoding would choose another token at some place of the answer.
    pub changes_answer: bool,
}

impl Effect {
    fn between(before: &Rescored, after: &Rescored) -> Self {
        let pairs = after.logprobs.iter().zip(&before.logprobs);
        Self {
            delta_logprob: pairs.map(|(after, before)| after - before).collect(),
            changes_answer: after.top_ids != before.top_ids,
        }
    }

    /// The effect on the whole answer: the sum over its tokens.
    pub fn total(&self) -> f32 {
        self.delta_logprob.iter().sum()
    }
}

/// The effect of each intervention on the answer of a trace, in order; `each` receives each effect with its index as
/// soon as it is computed.
///
/// # Errors
/// A trace of another model, a failure of ONNX Runtime, or
/// [`super::ModelError::Cancelled`].
pub fn effects(
    engine: &mut Engine,
    trace: &Trace,
    interventions: &[Intervention],
    cancel: &CancelToken,
    each: &mut dyn FnMut(usize, &Effect),
) -> Result<Vec<Effect>> {
    let mut scorer = Rescorer::new(engine, trace)?;
    let plain = scorer.score(engine, [Variant::default()], cancel, &mut |_, _| {})?;
    let Some(plain) = plain.first() else {
        bug!("one variant was scored, but no result came");
        return Ok(Vec::new());
    };
    let variants = interventions.iter().map(|change| Variant::of_model(change.on(trace.meta())));
    let scored = scorer.score(engine, variants, cancel, &mut |index, scored| {
        each(index, &Effect::between(plain, scored));
    })?;
    Ok(scored.iter().map(|scored| Effect::between(plain, scored)).collect())
}

/// One intervention for each head, [L, H] row by row.
pub fn ablation_of_each_head(trace: &Trace) -> Vec<Intervention> {
    let model = &trace.meta().model;
    let heads = (0..model.layers).flat_map(|layer| (0..model.heads).map(move |head| (layer, head)));
    heads.map(|(layer, head)| Intervention::AblateHeads(vec![(Layer(layer), Head(head))])).collect()
}

/// The effects of [`ablation_of_each_head`] as a trace keeps them: [G, L, H], only of layers that have attention.
pub fn effects_of_tokens(trace: &Trace, effects: &[Effect]) -> Vec<f32> {
    let (model, shape) = (&trace.meta().model, trace.shape());
    let heads = model.heads as usize;
    let of_layer = |token: usize, layer: u32| {
        let first = layer as usize * heads;
        let own = effects.get(first..first + heads).unwrap_or_default();
        own.iter().map(move |effect| effect.delta_logprob.get(token).copied().unwrap_or(f32::NAN))
    };
    let layers = model.layer_numbers();
    (0..shape.generated)
        .flat_map(|token| layers.iter().flat_map(move |&layer| of_layer(token, layer)))
        .collect()
}
