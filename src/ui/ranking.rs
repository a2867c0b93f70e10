//! Heads in order of what they look at: in one answer, or over several.

use crate::analysis::overview::HeadNumber;
use crate::trace::{AnswerIndex, Trace};
use crate::view::{Aggregate, AxisSet, MapChoice, MarkedObject, Queries};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A head with the numbers of its rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The layer, in the model's own numbers.
    pub layer: u32,
    /// The head.
    pub head: u32,
    /// Share of its attention that falls on the picture, 0–1.
    pub image_share: f32,
    /// Entropy of its attention over the patches of the picture, nats.
    pub entropy: f32,
    /// Share of its attention inside the chosen object, 0–1; `None` if no object is chosen.
    pub inside: Option<f32>,
    /// Score that heads are sorted by: the share inside the object, or else the focus on the picture.
    pub score: f32,
}

/// One number for each layer and head of the attention; empty if it cannot be read.
pub(super) fn head_numbers(
    trace: &Trace,
    queries: &Queries,
    number: HeadNumber,
    remove_bos: bool,
) -> Vec<f32> {
    let choice = MapChoice { queries: queries.clone(), ..MapChoice::default() };
    let numbers = choice.resolve_heads(trace, number, remove_bos);
    numbers.map_or_else(|_| Vec::new(), |numbers| numbers.values())
}

/// The mean over the same queries.
pub(super) fn averaged(queries: &Queries) -> Queries {
    let named = queries.set.named().unwrap_or_default().to_vec();
    Queries { kind: queries.kind, set: AxisSet::new(Aggregate::Mean, named) }
}

/// The heads by what lies inside an object, `inside` [L, H], or else by their focus on the picture.
pub(super) fn ranking(trace: &Trace, queries: &Queries, inside: Option<Vec<f32>>) -> Vec<Ranked> {
    let heads = trace.shape().heads.max(1);
    let queries = averaged(queries);
    let mean = |number| head_numbers(trace, &queries, number, false);
    let (shares, entropies) = (mean(HeadNumber::ImageShare), mean(HeadNumber::ImageEntropy));
    let scores = inside.clone().unwrap_or_else(|| mean(HeadNumber::Focus));
    let mut ranked: Vec<Ranked> = shares
        .into_iter()
        .zip(entropies)
        .zip(scores)
        .enumerate()
        .map(|(index, ((image_share, entropy), score))| {
            let layer = trace.meta().model.layer_number((index / heads) as u32);
            let inside = inside.as_ref().and_then(|inside| inside.get(index)).copied();
            Ranked { layer, head: (index % heads) as u32, image_share, entropy, inside, score }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

/// The mean ranking over all answer tokens of several answers, each with its object if one is asked about.
pub(super) fn mean_ranking(traces: &[(Arc<Trace>, Option<MarkedObject>)]) -> Vec<Ranked> {
    let mut sums: BTreeMap<(u32, u32), Ranked> = BTreeMap::new();
    for (trace, object) in traces {
        let queries = spoken(trace);
        let inside = object.as_ref().map(|object| {
            head_numbers(trace, &queries, HeadNumber::Inside(object.inside(trace)), false)
        });
        for one in ranking(trace, &queries, inside) {
            let zero = Ranked {
                image_share: 0.0,
                entropy: 0.0,
                inside: one.inside.map(|_| 0.0),
                score: 0.0,
                ..one
            };
            let sum = sums.entry((one.layer, one.head)).or_insert(zero);
            sum.image_share += one.image_share;
            sum.entropy += one.entropy;
            sum.inside = sum.inside.zip(one.inside).map(|(sum, inside)| sum + inside);
            sum.score += one.score;
        }
    }
    let count = traces.len().max(1) as f32;
    let mean = |sum: Ranked| Ranked {
        image_share: sum.image_share / count,
        entropy: sum.entropy / count,
        inside: sum.inside.map(|inside| inside / count),
        score: sum.score / count,
        ..sum
    };
    let mut all: Vec<Ranked> = sums.into_values().map(mean).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The mean over the answer tokens that carry text and whose attention was stored.
pub(super) fn spoken(trace: &Trace) -> Queries {
    let mut answers: Vec<AnswerIndex> = trace.meta().spoken_answers();
    answers.retain(|&answer| trace.row_of_answer(answer).is_some());
    Queries::answers(&answers)
}
