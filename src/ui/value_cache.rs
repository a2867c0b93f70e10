//! Numbers that panels show, computed from the trace on the CPU and cached under a key of everything that they
//! depend on.
//!
//! The GPU draws the stage; panels need exact numbers for hovers, chips and tables. In a frame in which nothing
//! changed nothing is computed.

use super::document::{Document, DocumentId};
use super::ranking::{Ranked, averaged, head_numbers, mean_ranking, ranking, spoken};
use super::verdicts::WordEvidence;
use crate::analysis::causal::{CausalError, CausalResult};
use crate::analysis::normalise::beyond_rounding;
use crate::analysis::overview::HeadNumber;
use crate::analysis::patching::{PatchResult, Site, StoredError};
use crate::analysis::reduce::{Fold, Keep, patch_keys};
use crate::analysis::relevancy::answer_words;
use crate::analysis::verdict::Evidence;
use crate::trace::{AnswerIndex, PatchRef, TokenKind, Trace, TraceId};
use crate::view::figure::token_text;
use crate::view::{
    AxisSet, HeadSet, MapChoice, MapSource, MarkedObject, Quantity, Queries, QueryKind, Second,
    ViewKind, ViewState,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// One number for each layer and head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub layers: usize,
    /// Columns.
    pub heads: usize,
    /// The model's own number of each row's layer.
    pub numbers: Vec<u32>,
    /// [L, H].
    pub values: Vec<f32>,
    /// Smallest and largest; symmetric about 0 for numbers of two signs.
    pub range: [f32; 2],
    /// The reason why there are no numbers.
    pub lacks: Option<String>,
}

impl Matrix {
    /// One cell, by row and column.
    pub fn at(&self, row: u32, head: u32) -> Option<f32> {
        self.values.get(row as usize * self.heads + head as usize).copied()
    }

    /// The number of the layer of a row.
    pub fn layer(&self, row: u32) -> u32 {
        self.numbers.get(row as usize).copied().unwrap_or(row)
    }

    /// The row of a layer.
    pub fn row(&self, layer: u32) -> Option<u32> {
        self.numbers.iter().position(|&number| number == layer).map(|row| row as u32)
    }
}

/// A value with what it was computed from.
#[derive(Debug)]
struct CachedValue<K, V> {
    entry: RefCell<Option<(K, Arc<V>)>>,
}

impl<K, V> Default for CachedValue<K, V> {
    fn default() -> Self {
        Self { entry: RefCell::new(None) }
    }
}

impl<K: PartialEq, V> CachedValue<K, V> {
    fn get(&self, key: K, compute: impl FnOnce() -> V) -> Arc<V> {
        if let Some((kept, value)) = &*self.entry.borrow()
            && *kept == key
        {
            return Arc::clone(value);
        }
        let value = Arc::new(compute());
        self.entry.replace(Some((key, Arc::clone(&value))));
        value
    }
}

/// Values of the keys that were used last.
#[derive(Debug)]
struct CachedValues<K, V> {
    entries: RefCell<VecDeque<(K, Arc<V>)>>,
}

impl<K, V> Default for CachedValues<K, V> {
    fn default() -> Self {
        Self { entries: RefCell::default() }
    }
}

impl<K: PartialEq, V> CachedValues<K, V> {
    /// A list of answers shows fewer at once.
    const MOST: usize = 64;

    fn get(&self, key: K, compute: impl FnOnce() -> V) -> Arc<V> {
        let known = |(own, value): &(K, Arc<V>)| (*own == key).then(|| Arc::clone(value));
        let found = self.entries.borrow().iter().find_map(known);
        if let Some(value) = found {
            return value;
        }
        let value = Arc::new(compute());
        let mut entries = self.entries.borrow_mut();
        if entries.len() == Self::MOST {
            entries.pop_front();
        }
        entries.push_back((key, Arc::clone(&value)));
        value
    }
}

type StripKey = (TraceId, AxisSet, Queries, Vec<PatchRef>, bool, Option<MarkedObject>);

/// Everything that determines a matrix.
#[derive(Debug, PartialEq)]
struct MatrixKey {
    trace: TraceId,
    second: Option<TraceId>,
    source: MapSource,
    queries: Queries,
    /// The second map, if the quantity reads one.
    other: Option<MapChoice>,
    quantity: Quantity,
    remove_bos: bool,
    /// The object, if the quantity depends on it.
    object: Option<MarkedObject>,
}

/// Key of the map: the trace, the first map, the second and its trace if it is subtracted, and whether BOS is left out.
type MapKey = (TraceId, MapChoice, Option<(Second, Option<TraceId>)>, bool);

/// Key of the attention on the chosen patches or object: trace, layers and heads, patches, object, and whether BOS is
/// left out.
type LookKey = (TraceId, MapChoice, Vec<PatchRef>, Option<MarkedObject>, bool);

/// A result that a trace holds, if it has one that can be read.
type Stored<Found, Error> = Result<Option<Arc<Found>>, Error>;

/// All cached numbers of the present document.
#[derive(Debug, Default)]
pub struct ValueCache {
    matrix: CachedValue<MatrixKey, Matrix>,
    /// The share of every head inside an object: matrix, ranking and bars read the same numbers.
    inside: CachedValue<(TraceId, Queries, MarkedObject, bool), Vec<f32>>,
    ranking: CachedValue<(TraceId, Queries, Option<MarkedObject>), Vec<Ranked>>,
    ranking_over: CachedValue<Vec<(TraceId, Option<MarkedObject>)>, Vec<Ranked>>,
    evidence: CachedValues<(TraceId, Option<MarkedObject>), Vec<WordEvidence>>,
    answers: CachedValue<AnswersKey, Vec<AnswerNumbers>>,
    map: CachedValue<MapKey, Vec<f32>>,
    looking: CachedValue<LookKey, Vec<f32>>,
    strip: CachedValue<StripKey, Vec<f32>>,
    causal: CachedValue<(TraceId, AnswerIndex), Stored<CausalResult, CausalError>>,
    patching: CachedValue<(TraceId, AnswerIndex, Site), Stored<PatchResult, StoredError>>,
}

impl ValueCache {
    /// The layer × head matrix of the state's quantity, folded over its queries. `second` is the trace of the second
    /// map, if it is another one.
    pub fn matrix(&self, doc: &Document, state: &ViewState, second: Option<&Trace>) -> Arc<Matrix> {
        let map = of_pages(&doc.trace, &state.map);
        let state = ViewState { map, ..state.clone() };
        let is_change = state.quantity == Quantity::Change;
        let other = state.second.as_ref().filter(|_| is_change);
        let key = MatrixKey {
            trace: doc.trace.shown_by(state.map.source.name()).id(),
            second: second.filter(|_| is_change).map(Trace::id),
            source: state.map.source.clone(),
            queries: state.map.queries.clone(),
            other: other.map(|other| other.map.clone()),
            quantity: state.quantity,
            remove_bos: state.remove_bos,
            object: state.chosen_object().filter(|_| state.quantity == Quantity::Inside).cloned(),
        };
        self.matrix.get(key, || {
            let is_attention = state.map.source == MapSource::Attention;
            let object = state.chosen_object();
            match object.filter(|_| is_attention && state.quantity == Quantity::Inside) {
                Some(object) => {
                    let (queries, remove_bos) = (&state.map.queries, state.remove_bos);
                    let values = self.inside(&doc.trace, queries, object, remove_bos);
                    matrix_of(&doc.trace, Quantity::Inside, Ok(values.to_vec()))
                }
                None => matrix(&doc.trace, &state, second),
            }
        })
    }

    /// The share of every head inside an object: [L, H]; empty if a row is missing.
    fn inside(
        &self,
        trace: &Trace,
        queries: &Queries,
        object: &MarkedObject,
        remove_bos: bool,
    ) -> Arc<Vec<f32>> {
        let key = (trace.id(), queries.clone(), object.clone(), remove_bos);
        self.inside.get(key, || {
            let number = HeadNumber::Inside(object.inside(trace));
            head_numbers(trace, queries, number, remove_bos)
        })
    }

    /// Heads, the most telling first: those that look at the chosen object, or else those with a high share on the
    /// picture, on few patches of it.
    pub fn ranking(&self, doc: &Document, state: &ViewState) -> Arc<Vec<Ranked>> {
        let (queries, object) = (&state.map.queries, state.chosen_object());
        let key = (doc.trace.id(), queries.clone(), object.cloned());
        self.ranking.get(key, || {
            let inside = object.map(|object| {
                let queries = averaged(queries);
                self.inside(&doc.trace, &queries, object, false).to_vec()
            });
            ranking(&doc.trace, queries, inside)
        })
    }

    /// The causal graphs of the chosen answer token that the trace holds.
    ///
    /// # Errors
    /// A stored result that cannot be read.
    pub fn stored_causal(
        &self,
        doc: &Document,
        state: &ViewState,
    ) -> Stored<CausalResult, CausalError> {
        let Ok(answer) = doc.extent.causal_answer(&state.map.queries) else { return Ok(None) };
        let found = self.causal.get((doc.trace.id(), answer), || {
            CausalResult::stored(&doc.trace, answer).map(|found| found.map(Arc::new))
        });
        (*found).clone()
    }

    /// The table of copied activations of an answer token that the trace holds.
    ///
    /// # Errors
    /// A stored table that cannot belong to the trace.
    pub fn stored_patching(
        &self,
        doc: &Document,
        answer: AnswerIndex,
        site: Site,
    ) -> Stored<PatchResult, StoredError> {
        let found = self.patching.get((doc.trace.id(), answer, site), || {
            PatchResult::stored(&doc.trace, answer, site).map(|found| found.map(Arc::new))
        });
        (*found).clone()
    }

    /// As [`Self::stored_causal`]; `None` also for a result that cannot be read.
    pub fn causal(&self, doc: &Document, state: &ViewState) -> Option<Arc<CausalResult>> {
        self.stored_causal(doc, state).ok().flatten()
    }

    /// The mean ranking over several answers of one model, each with its object if one is asked about, over all of
    /// their answer tokens: one answer proves little.
    pub fn ranking_over(&self, traces: &[(Arc<Trace>, Option<MarkedObject>)]) -> Arc<Vec<Ranked>> {
        let key = traces.iter().map(|(trace, object)| (trace.id(), object.clone())).collect();
        self.ranking_over.get(key, || mean_ranking(traces))
    }

    /// The ranking that is in use under a view of `doc`: over the chosen tokens of this answer, or over all answers of
    /// its model that [`compared`] lists.
    pub fn ranking_in_use(
        &self,
        docs: &[Document],
        doc: &Document,
        state: &ViewState,
        over_all: bool,
    ) -> Arc<Vec<Ranked>> {
        let traces = if over_all { compared(docs, doc, state) } else { Vec::new() };
        if traces.len() > 1 { self.ranking_over(&traces) } else { self.ranking(doc, state) }
    }

    /// The words of the answer that carry text, with what was measured about each.
    pub fn evidence(&self, doc: &Document, state: &ViewState) -> Arc<Vec<WordEvidence>> {
        let object = state.chosen_object();
        self.evidence.get((doc.trace.id(), object.cloned()), || evidence(&doc.trace, object))
    }

    /// The chosen heads of the state in every open answer of the document's model that has no other heads; each with
    /// the object of the same name, if one is chosen. Heads are averaged, and so are the tokens that carry text.
    pub fn answers(
        &self,
        docs: &[Document],
        doc: &Document,
        state: &ViewState,
    ) -> Arc<Vec<AnswerNumbers>> {
        let fits = |other: &&Document| {
            let same = |of: &Document| (of.extent.layers, of.extent.heads);
            same(other) == same(doc)
                && !other.live
                && !other.extent.grids.is_empty()
                && other.meta().model.name == doc.meta().model.name
        };
        let object_of = |other: &Document| {
            let chosen = state.chosen_object()?;
            let own = if other.id == doc.id { &state.objects } else { &other.state().objects };
            own.iter().find(|object| object.name == chosen.name).cloned()
        };
        let shown: Vec<&Document> = docs.iter().filter(fits).collect();
        let key = AnswersKey {
            answers: shown.iter().map(|one| (one.id, one.trace.id(), object_of(one))).collect(),
            heads: HeadsOf::new(&state.map),
            remove_bos: state.remove_bos,
        };
        self.answers.get(key, || {
            let of = |one: &&Document| answer_numbers(one, state, object_of(one).as_ref());
            shown.iter().filter_map(of).collect()
        })
    }

    /// The map on the stage at every patch of the trace, unscaled; the difference if the view shows one. Views of many
    /// maps get the one that their selection of layers and heads reduces to. `second` is the trace of the second map,
    /// if it is another one. Empty if there is no map.
    pub fn map(&self, doc: &Document, state: &ViewState, second: Option<&Trace>) -> Arc<Vec<f32>> {
        let subtracted = state.second.clone().filter(|_| state.is_difference());
        let subtracted = subtracted.map(|other| (other, second.map(Trace::id)));
        let key = (doc.trace.id(), state.map.clone(), subtracted, state.remove_bos);
        self.map.get(key, || map(&doc.trace, state, second).unwrap_or_default())
    }

    /// For each kept row of the answer the mean attention on some patches (without patches: the share inside the chosen
    /// object), over the chosen layers and heads; 0 for rows of the prompt. Empty without patches and object.
    pub fn looking(
        &self,
        doc: &Document,
        state: &ViewState,
        patches: &[PatchRef],
    ) -> Arc<Vec<f32>> {
        let queries = Queries { kind: QueryKind::Position, set: AxisSet::MEAN };
        let choice = MapChoice { source: MapSource::Attention, queries, ..state.map.clone() };
        let object = state.chosen_object().filter(|_| patches.is_empty());
        let key =
            (doc.trace.id(), choice.clone(), patches.to_vec(), object.cloned(), state.remove_bos);
        self.looking.get(key, || {
            let weights = match object {
                Some(_) => weights_inside(&doc.trace, state),
                None => weights_of(&doc.trace, patches),
            };
            looking(&doc.trace, &choice, state.remove_bos, &weights)
        })
    }

    /// One number for each head of the chosen layers: the share of the queries' attention on the picture, or inside the
    /// chosen object, or the mean attention of all answer tokens on the patches where some are given.
    pub fn strip(&self, doc: &Document, state: &ViewState, patches: &[PatchRef]) -> Arc<Vec<f32>> {
        let map = &state.map;
        let key = (
            doc.trace.id(),
            map.layers.clone(),
            map.queries.clone(),
            patches.to_vec(),
            state.remove_bos,
            state.chosen_object().filter(|_| patches.is_empty()).cloned(),
        );
        self.strip.get(key, || {
            let object = state.chosen_object().filter(|_| patches.is_empty());
            let inside = object.map(|object| {
                self.inside(&doc.trace, &state.map.queries, object, state.remove_bos)
            });
            strip(&doc.trace, state, patches, inside)
        })
    }
}

fn evidence(trace: &Trace, object: Option<&MarkedObject>) -> Vec<WordEvidence> {
    let inside = object.map(|object| object.inside(trace));
    let tokens = trace.meta().answer_tokens();
    let is_spoken = |word: &[AnswerIndex]| {
        let mut kinds = word.iter().filter_map(|token| tokens.get(token.index()));
        kinds.any(|token| token.kind != TokenKind::Special)
    };
    answer_words(trace)
        .into_iter()
        .filter(|(_, tokens)| is_spoken(tokens))
        .map(|(text, tokens)| {
            let evidence = Evidence::of_word(trace, &tokens, inside.as_ref());
            WordEvidence { text: token_text(&text), tokens, evidence }
        })
        .collect()
}

/// The layers and heads of a selection.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadsOf {
    layers: AxisSet,
    heads: AxisSet,
    set: Option<HeadSet>,
}

impl HeadsOf {
    fn new(map: &MapChoice) -> Self {
        Self { layers: map.layers.clone(), heads: map.heads.clone(), set: map.head_set.clone() }
    }
}

/// Everything that determines the numbers of a head in several answers.
#[derive(Debug, PartialEq)]
struct AnswersKey {
    answers: Vec<(DocumentId, TraceId, Option<MarkedObject>)>,
    heads: HeadsOf,
    remove_bos: bool,
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

fn answer_numbers(
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

/// The selection itself if its source are pages, else the same selection of the attention.
fn of_pages(trace: &Trace, map: &MapChoice) -> MapChoice {
    let is_pages = trace.page_names().contains(&map.source.name());
    let source = if is_pages { map.source.clone() } else { MapSource::Attention };
    MapChoice { source, ..map.clone() }
}

fn matrix(trace: &Trace, state: &ViewState, second: Option<&Trace>) -> Matrix {
    let found = state.resolve_heads(trace, second).map(|numbers| numbers.values());
    matrix_of(trace, state.quantity, found.map_err(|error| error.to_string()))
}

fn matrix_of(trace: &Trace, quantity: Quantity, found: Result<Vec<f32>, String>) -> Matrix {
    let shape = trace.shape();
    let (values, lacks) = match found {
        Ok(values) => (values, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let mut range = beyond_rounding(range_of(&values));
    if quantity.is_signed() {
        let most = range[0].abs().max(range[1].abs());
        range = [-most, most];
    }
    let numbers = trace.meta().model.layer_numbers();
    Matrix { layers: shape.layers, heads: shape.heads, numbers, values, range, lacks }
}

/// Smallest and largest finite value; zeros where there is none.
pub fn range_of(values: &[f32]) -> [f32; 2] {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let range = finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    if range[0] <= range[1] { range } else { [0.0, 0.0] }
}

fn map(trace: &Trace, state: &ViewState, second: Option<&Trace>) -> Option<Vec<f32>> {
    let mut one = state.clone();
    if !state.is_difference() {
        one.second = None;
    }
    if state.view.spec().needs_pages() {
        one.view = ViewKind::Overlay;
    }
    one.patch_values(trace, second).ok()
}

/// Key positions with the weights of their values in a sum.
struct Weights {
    keys: Vec<u32>,
    weights: Vec<f32>,
}

/// Weights of the mean over patches.
fn weights_of(trace: &Trace, patches: &[PatchRef]) -> Weights {
    let key = |patch: &PatchRef| Some(trace.meta().key_of_patch(*patch)?.0);
    let keys: Vec<u32> = patches.iter().filter_map(key).collect();
    let weights = vec![1.0 / keys.len().max(1) as f32; keys.len()];
    Weights { keys, weights }
}

/// Weights of the sum inside the chosen object.
fn weights_inside(trace: &Trace, state: &ViewState) -> Weights {
    let (keys, inside) = (patch_keys(trace), state.inside(trace).unwrap_or_default());
    let pair = |(patch, part): (usize, f32)| Some((*keys.get(patch)?, part));
    let (keys, weights) = inside.patches().filter_map(pair).unzip();
    Weights { keys, weights }
}

impl Weights {
    fn sum(&self, values: &[f32]) -> f32 {
        values.iter().zip(&self.weights).map(|(value, weight)| value * weight).sum()
    }
}

fn looking(trace: &Trace, choice: &MapChoice, remove_bos: bool, weights: &Weights) -> Vec<f32> {
    if weights.keys.is_empty() {
        return Vec::new();
    }
    let Ok(numbers) = choice.resolve(trace, Keep::One, remove_bos) else { return Vec::new() };
    let first = trace.meta().prompt_len.saturating_sub(1);
    // Only words of the answer are coloured: rows of the prompt stay 0.
    let of_row = |(row, query): (&crate::view::Numbers<'_>, &u32)| match *query >= first {
        true => row.at(&weights.keys).map_or(0.0, |plane| weights.sum(&plane)),
        false => 0.0,
    };
    numbers.each_row().iter().zip(trace.rows()).map(of_row).collect()
}

fn strip(
    trace: &Trace,
    state: &ViewState,
    patches: &[PatchRef],
    inside: Option<Arc<Vec<f32>>>,
) -> Vec<f32> {
    let shape = trace.shape();
    if patches.is_empty() {
        let layers = state.map.layers.layer_indices(&trace.meta().model);
        let share = HeadNumber::ImageShare;
        let values = match &inside {
            Some(inside) => inside.to_vec(),
            None => head_numbers(trace, &state.map.queries, share, state.remove_bos),
        };
        let of_head = |head: usize| {
            let cells = layers
                .iter()
                .filter_map(|&layer| values.get(layer as usize * shape.heads + head).copied());
            match state.map.layers.fold() {
                Fold::Mean => cells.sum::<f32>() / layers.len().max(1) as f32,
                Fold::Max => cells.fold(0.0, f32::max),
            }
        };
        return (0..shape.heads).map(of_head).collect();
    }
    let weights = weights_of(trace, patches);
    let choice = MapChoice {
        source: MapSource::Attention,
        queries: spoken(trace),
        head_set: None,
        ..state.map.clone()
    };
    let numbers = choice.resolve(trace, Keep::Heads, state.remove_bos);
    let planes = numbers.ok().and_then(|numbers| numbers.at(&weights.keys)).unwrap_or_default();
    planes.chunks_exact(weights.keys.len().max(1)).map(|plane| weights.sum(plane)).collect()
}

/// The index over all spans of a patch.
pub fn index_of(trace: &Trace, patch: PatchRef) -> Option<usize> {
    let spans = &trace.meta().spans;
    let span = spans.get(patch.span as usize)?;
    let before: usize = spans[..patch.span as usize].iter().map(|span| span.patches()).sum();
    Some(before + (patch.row * span.columns + patch.column) as usize)
}
