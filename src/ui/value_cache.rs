//! Numbers that panels show, computed from the trace on the CPU and cached under a key of everything that they
//! depend on.
//!
//! The GPU draws the stage; panels need exact numbers for hovers, chips and tables. In a frame in which nothing
//! changed nothing is computed.

use super::document::Document;
use crate::analysis::normalise::beyond_rounding;
use crate::analysis::reduce::{Fold, Keep};
use crate::trace::{AnswerIndex, PatchRef, Trace, TraceId};
use crate::view::{
    Aggregate, AxisSet, MapChoice, MapSource, Quantity, Queries, QueryKind, Second, ViewKind,
    ViewState,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
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
    /// Smallest and largest.
    pub range: [f32; 2],
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
    /// Score that heads are sorted by: image share × (1 − entropy / ln N).
    pub score: f32,
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

type StripKey = (TraceId, AxisSet, Queries, Vec<PatchRef>, bool);

/// Key of the map: the trace, the first map, the second and its trace if it is subtracted, and whether BOS is left out.
type MapKey = (TraceId, MapChoice, Option<(Second, Option<TraceId>)>, bool);

/// Key of the attention on the chosen patches: trace, layers, heads, patches, and whether BOS is left out.
type LookKey = (TraceId, AxisSet, AxisSet, Vec<PatchRef>, bool);

/// All cached numbers of the present document.
#[derive(Debug, Default)]
pub struct ValueCache {
    matrix: CachedValue<(TraceId, Queries, (Quantity, bool)), Matrix>,
    ranking: CachedValue<(TraceId, Queries), Vec<Ranked>>,
    ranking_over: CachedValue<Vec<TraceId>, Vec<Ranked>>,
    map: CachedValue<MapKey, Vec<f32>>,
    looking: CachedValue<LookKey, Vec<f32>>,
    strip: CachedValue<StripKey, Vec<f32>>,
}

impl ValueCache {
    /// The layer × head matrix of the state's quantity, folded over its queries.
    pub fn matrix(&self, doc: &Document, state: &ViewState) -> Arc<Matrix> {
        let choice = of_pages(&doc.trace, &state.map);
        let trace = doc.trace.shown_by(choice.source.name());
        let key = (state.quantity, state.remove_bos);
        self.matrix
            .get((trace.id(), choice.queries.clone(), key), || matrix(&doc.trace, &choice, key))
    }

    /// Heads, the most telling first: a high share on the picture, on few patches of it.
    pub fn ranking(&self, doc: &Document, queries: &Queries) -> Arc<Vec<Ranked>> {
        self.ranking.get((doc.trace.id(), queries.clone()), || ranking(&doc.trace, queries))
    }

    /// The mean ranking over several answers of one model, over all of their answer tokens: one
    /// answer proves little.
    pub fn ranking_over(&self, traces: &[Arc<Trace>]) -> Arc<Vec<Ranked>> {
        let ids = traces.iter().map(|trace| trace.id()).collect();
        self.ranking_over.get(ids, || mean_ranking(traces))
    }

    /// The ranking that is in use: over the chosen tokens of this answer, or over all finished
    /// answers of its model that are open.
    pub fn ranking_in_use(
        &self,
        docs: &[Document],
        doc: &Document,
        over_all: bool,
    ) -> Arc<Vec<Ranked>> {
        let traces = if over_all { comparable(docs, doc) } else { Vec::new() };
        if traces.len() > 1 {
            self.ranking_over(&traces)
        } else {
            self.ranking(doc, &doc.state().map.queries)
        }
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

    /// For each kept row the mean attention on some patches, over the chosen layers and heads.
    pub fn looking(
        &self,
        doc: &Document,
        state: &ViewState,
        patches: &[PatchRef],
    ) -> Arc<Vec<f32>> {
        let MapChoice { layers, heads, .. } = &state.map;
        let key =
            (doc.trace.id(), layers.clone(), heads.clone(), patches.to_vec(), state.remove_bos);
        self.looking.get(key, || looking(&doc.trace, state, patches))
    }

    /// One number for each head of the chosen layers: the mean attention of the queries on the
    /// picture, or of all answer tokens on the patches where some are given.
    pub fn strip(&self, doc: &Document, state: &ViewState, patches: &[PatchRef]) -> Arc<Vec<f32>> {
        let map = &state.map;
        let key = (
            doc.trace.id(),
            map.layers.clone(),
            map.queries.clone(),
            patches.to_vec(),
            state.remove_bos,
        );
        self.strip.get(key, || strip(&doc.trace, state, patches))
    }
}

/// The finished answers of a document's model that are open.
pub fn comparable(docs: &[Document], doc: &Document) -> Vec<Arc<Trace>> {
    let sha = &doc.meta().model.bundle_sha;
    let same = |other: &&Document| other.meta().model.bundle_sha == *sha && !other.live;
    docs.iter().filter(same).map(|other| Arc::clone(&other.trace)).collect()
}

/// The selection itself if its source are pages, else the same selection of the attention.
fn of_pages(trace: &Trace, map: &MapChoice) -> MapChoice {
    let is_pages = trace.page_names().contains(&map.source.name());
    let source = if is_pages { map.source.clone() } else { MapSource::Attention };
    MapChoice { source, ..map.clone() }
}

fn matrix(trace: &Trace, choice: &MapChoice, (quantity, remove_bos): (Quantity, bool)) -> Matrix {
    let shape = trace.shape();
    let numbers = choice.resolve_heads(trace, quantity, remove_bos);
    let values = numbers.map_or_else(|_| Vec::new(), |numbers| numbers.values());
    let range = beyond_rounding(range_of(&values));
    let numbers = trace.meta().model.layer_numbers();
    Matrix { layers: shape.layers, heads: shape.heads, numbers, values, range }
}

/// Smallest and largest finite value; zeros where there is none.
pub fn range_of(values: &[f32]) -> [f32; 2] {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let range = finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    if range[0] <= range[1] { range } else { [0.0, 0.0] }
}

fn ranking(trace: &Trace, queries: &Queries) -> Vec<Ranked> {
    let heads = trace.shape().heads.max(1);
    let most = (trace.meta().patches().max(2) as f32).ln();
    let named = queries.set.named().unwrap_or_default().to_vec();
    let queries = Queries { kind: queries.kind, set: AxisSet::new(Aggregate::Mean, named) };
    let choice = MapChoice { queries, ..MapChoice::default() };
    let mean = |quantity| matrix(trace, &choice, (quantity, false)).values;
    let (shares, entropies) = (mean(Quantity::ImageShare), mean(Quantity::Entropy));
    let mut ranked: Vec<Ranked> = shares
        .into_iter()
        .zip(entropies)
        .enumerate()
        .map(|(index, (image_share, entropy))| {
            let score = image_share * (1.0 - entropy / most).max(0.0);
            let layer = trace.meta().model.layer_number((index / heads) as u32);
            let head = (index % heads) as u32;
            Ranked { layer, head, image_share, entropy, score }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

fn mean_ranking(traces: &[Arc<Trace>]) -> Vec<Ranked> {
    let mut sums: BTreeMap<(u32, u32), Ranked> = BTreeMap::new();
    for trace in traces {
        for one in ranking(trace, &spoken(trace)) {
            let zero = Ranked { image_share: 0.0, entropy: 0.0, score: 0.0, ..one };
            let sum = sums.entry((one.layer, one.head)).or_insert(zero);
            sum.image_share += one.image_share;
            sum.entropy += one.entropy;
            sum.score += one.score;
        }
    }
    let count = traces.len().max(1) as f32;
    let mean = |sum: Ranked| Ranked {
        image_share: sum.image_share / count,
        entropy: sum.entropy / count,
        score: sum.score / count,
        ..sum
    };
    let mut all: Vec<Ranked> = sums.into_values().map(mean).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
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

fn keys_of(trace: &Trace, patches: &[PatchRef]) -> Vec<u32> {
    patches.iter().filter_map(|patch| Some(trace.meta().key_of_patch(*patch)?.0)).collect()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

fn looking(trace: &Trace, state: &ViewState, patches: &[PatchRef]) -> Vec<f32> {
    let keys = keys_of(trace, patches);
    if keys.is_empty() {
        return Vec::new();
    }
    let queries = Queries { kind: QueryKind::Position, set: AxisSet::MEAN };
    let choice = MapChoice { source: MapSource::Attention, queries, ..state.map.clone() };
    let Ok(numbers) = choice.resolve(trace, Keep::One, state.remove_bos) else { return Vec::new() };
    let of_row = |row: &crate::view::Numbers<'_>| row.at(&keys).map_or(0.0, |plane| mean(&plane));
    numbers.each_row().iter().map(of_row).collect()
}

fn strip(trace: &Trace, state: &ViewState, patches: &[PatchRef]) -> Vec<f32> {
    let shape = trace.shape();
    if patches.is_empty() {
        let layers = state.map.layers.layer_indices(&trace.meta().model);
        let choice = MapChoice { source: MapSource::Attention, ..state.map.clone() };
        let matrix = matrix(trace, &choice, (Quantity::ImageToAnswer, state.remove_bos));
        let of_head = |head: usize| {
            let cells = layers.iter().filter_map(|&layer| matrix.at(layer, head as u32));
            match state.map.layers.fold() {
                Fold::Mean => cells.sum::<f32>() / layers.len().max(1) as f32,
                Fold::Max => cells.fold(0.0, f32::max),
            }
        };
        return (0..shape.heads).map(of_head).collect();
    }
    let keys = keys_of(trace, patches);
    let choice =
        MapChoice { source: MapSource::Attention, queries: spoken(trace), ..state.map.clone() };
    let numbers = choice.resolve(trace, Keep::Heads, state.remove_bos);
    let planes = numbers.ok().and_then(|numbers| numbers.at(&keys)).unwrap_or_default();
    planes.chunks_exact(keys.len().max(1)).map(mean).collect()
}

/// The mean over the answer tokens that carry text and whose attention was stored.
fn spoken(trace: &Trace) -> Queries {
    let mut answers: Vec<AnswerIndex> = trace.meta().spoken_answers();
    answers.retain(|&answer| trace.row_of_answer(answer).is_some());
    Queries::answers(&answers)
}

/// The patch at an index over all spans.
pub fn patch_at(trace: &Trace, index: usize) -> Option<PatchRef> {
    let mut rest = index;
    for (span, spans) in (0_u32..).zip(&trace.meta().spans) {
        if rest < spans.patches() {
            let columns = spans.columns.max(1);
            let rest = rest as u32;
            return Some(PatchRef { span, row: rest / columns, column: rest % columns });
        }
        rest -= spans.patches();
    }
    None
}

/// The index over all spans of a patch.
pub fn index_of(trace: &Trace, patch: PatchRef) -> Option<usize> {
    let spans = &trace.meta().spans;
    let span = spans.get(patch.span as usize)?;
    let before: usize = spans[..patch.span as usize].iter().map(|span| span.patches()).sum();
    Some(before + (patch.row * span.columns + patch.column) as usize)
}
