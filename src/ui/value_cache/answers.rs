//! The chosen heads in several answers.

use crate::analysis::overview::HeadNumber;
use crate::analysis::reduce::Keep;
use crate::trace::{Trace, TraceId};
use crate::ui::document::{Document, DocumentId};
use crate::ui::ranking::{head_numbers, spoken};
use crate::view::{AxisSet, HeadSet, MapChoice, MapSource, MarkedObject, ViewState};
use std::sync::Arc;

/// The layers and heads of a selection.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadsOf {
    layers: AxisSet,
    heads: AxisSet,
    set: Option<HeadSet>,
}

impl HeadsOf {
    pub(super) fn new(map: &MapChoice) -> Self {
        Self { layers: map.layers.clone(), heads: map.heads.clone(), set: map.head_set.clone() }
    }
}

/// Everything that determines the numbers of a head in several answers.
#[derive(Debug, PartialEq)]
pub(super) struct AnswersKey {
    pub answers: Vec<(DocumentId, TraceId, Option<MarkedObject>)>,
    pub heads: HeadsOf,
    pub remove_bos: bool,
}

/// A head (or the mean of several) in one answer, mean over the tokens that carry text.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerNumbers {
    /// The answer.
    pub of: DocumentId,
    /// The share of its attention on the picture, 0–1.
    pub image_share: f32,
    /// The focus on the picture: image share × (1 − entropy / ln N), 0–1.
    pub focus: f32,
    /// The share inside the object, 0–1; `None` if the answer has no object of the chosen name.
    pub inside: Option<f32>,
    /// The map at every patch of the trace, `[N]`.
    pub map: Vec<f32>,
}

/// The numbers of the chosen heads in one answer.
pub(super) fn answer_numbers(
    doc: &Document,
    state: &ViewState,
    object: Option<&MarkedObject>,
) -> Option<AnswerNumbers> {
    let trace = &doc.trace;
    let queries = spoken(trace);
    let choice =
        MapChoice { source: MapSource::Attention, queries: queries.clone(), ..state.map.clone() };
    let map = choice.resolve(trace, Keep::One, state.remove_bos).ok()?.values();
    let members = choice.members(trace);
    let heads = trace.shape().heads;
    let mean_of = |number: HeadNumber| {
        let values = head_numbers(trace, &queries, number, state.remove_bos);
        let cell = |layer: u32, head: u32| values.get(layer as usize * heads + head as usize);
        let chosen: Vec<f32> = if members.pairs {
            let pairs = members.layers.iter().zip(&members.heads);
            pairs.filter_map(|(&layer, &head)| cell(layer, head).copied()).collect()
        } else {
            let all = |&layer: &u32| {
                members.heads.iter().filter_map(move |&head| cell(layer, head).copied())
            };
            members.layers.iter().flat_map(all).collect()
        };
        chosen.iter().sum::<f32>() / chosen.len().max(1) as f32
    };
    Some(AnswerNumbers {
        of: doc.id,
        image_share: mean_of(HeadNumber::ImageShare),
        focus: mean_of(HeadNumber::Focus),
        inside: object.map(|object| mean_of(HeadNumber::Inside(object.inside(trace)))),
        map,
    })
}

/// Mean and sample standard deviation; the deviation of one number is not known.
pub fn mean_and_deviation(values: &[f32]) -> (f32, Option<f32>) {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count.max(1.0);
    let squares: f32 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

/// The answers that a ranking over all answers reads: the finished ones of the document's model. If an object is chosen,
/// only those in which an object of the same name is marked, each with its own.
pub fn compared(
    docs: &[Document],
    doc: &Document,
    state: &ViewState,
) -> Vec<(Arc<Trace>, Option<MarkedObject>)> {
    let same = |other: &&Document| other.meta().model == doc.meta().model && !other.live;
    let chosen = state.chosen_object();
    let with_object = |other: &Document| {
        let object = match chosen {
            None => None,
            Some(chosen) if other.id == doc.id => Some(chosen.clone()),
            Some(chosen) => {
                let objects = &other.state().objects;
                Some(objects.iter().find(|object| object.name == chosen.name)?.clone())
            }
        };
        Some((Arc::clone(&other.trace), object))
    };
    docs.iter().filter(same).filter_map(with_object).collect()
}
