//! Numbers that panels show, read from the trace on the CPU and kept until what they depend on
//! changes.
//!
//! Pixels of the stage come from the GPU; what stands here is what a hover, a chip or a table needs
//! exactly. Each reading is keyed by everything it depends on, so that a frame in which nothing
//! changed computes nothing.

use super::document::Document;
use crate::analysis::overview::{HeadNumber, layer_head};
use crate::analysis::reduce::{Fold, Keep, Reduction, named_map, patch_keys, reduce};
use crate::trace::{AnswerIndex, PatchRef, TokenKind, Trace, TraceId};
use crate::view::{Aggregate, AxisSet, Bounds, MapChoice, MapSource, Quantity, Queries, ViewState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One number for each layer and head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub layers: usize,
    /// Columns.
    pub heads: usize,
    /// [L, H].
    pub values: Vec<f32>,
    /// Smallest and largest.
    pub range: [f32; 2],
}

impl Matrix {
    /// One cell.
    pub fn at(&self, layer: u32, head: u32) -> Option<f32> {
        self.values.get(layer as usize * self.heads + head as usize).copied()
    }
}

/// A head with what speaks for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The layer.
    pub layer: u32,
    /// The head.
    pub head: u32,
    /// Share of its attention that falls on the picture, 0–1.
    pub image_share: f32,
    /// How spread out it is on the picture, nats.
    pub entropy: f32,
    /// What the order follows: image share × (1 − entropy / ln N).
    pub score: f32,
}

/// A value with what it was computed from.
#[derive(Debug)]
struct Kept<K, V> {
    entry: Option<(K, Arc<V>)>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { entry: None }
    }
}

impl<K: PartialEq, V> Kept<K, V> {
    fn get(&mut self, key: K, compute: impl FnOnce() -> V) -> Arc<V> {
        if let Some((kept, value)) = &self.entry
            && *kept == key
        {
            return Arc::clone(value);
        }
        let value = Arc::new(compute());
        self.entry = Some((key, Arc::clone(&value)));
        value
    }
}

type StripKey = (TraceId, AxisSet, Queries, Vec<PatchRef>, bool);

/// What the look at the chosen patches depends on.
type LookKey = (TraceId, AxisSet, AxisSet, Vec<PatchRef>, bool);

/// All readings of the present document.
#[derive(Debug, Default)]
pub struct ValueCache {
    matrix: Kept<(TraceId, Queries, (Quantity, bool)), Matrix>,
    ranking: Kept<(TraceId, Queries), Vec<Ranked>>,
    ranking_over: Kept<Vec<TraceId>, Vec<Ranked>>,
    map: Kept<(TraceId, MapChoice, bool), Vec<f32>>,
    looking: Kept<LookKey, Vec<f32>>,
    strip: Kept<StripKey, Vec<f32>>,
}

impl ValueCache {
    /// The layer × head matrix of the state's quantity, folded over its queries.
    pub fn matrix(&mut self, doc: &Document, state: &ViewState) -> Arc<Matrix> {
        let (queries, key) = (&state.map.queries, (state.quantity, state.remove_bos));
        let trace = doc.trace.shown_by(state.map.source.name());
        self.matrix.get((trace.id(), queries.clone(), key), || {
            matrix(trace, &rows_of(trace, &doc.extent, queries), queries, key)
        })
    }

    /// Heads, the most telling first: a high share on the picture, on few patches of it.
    pub fn ranking(&mut self, doc: &Document, queries: &Queries) -> Arc<Vec<Ranked>> {
        self.ranking.get((doc.trace.id(), queries.clone()), || {
            ranking(&doc.trace, &rows_of(&doc.trace, &doc.extent, queries))
        })
    }

    /// The mean ranking over several answers of one model, over all of their answer tokens: one
    /// answer proves little.
    pub fn ranking_over(&mut self, traces: &[Arc<Trace>]) -> Arc<Vec<Ranked>> {
        let ids = traces.iter().map(|trace| trace.id()).collect();
        self.ranking_over.get(ids, || mean_ranking(traces))
    }

    /// The map on the stage: N patches, unscaled.
    pub fn map(&mut self, doc: &Document, state: &ViewState) -> Arc<Vec<f32>> {
        self.map.get((doc.trace.id(), state.map.clone(), state.remove_bos), || {
            map(&doc.trace, &doc.extent, &state.map, state.remove_bos).unwrap_or_default()
        })
    }

    /// For each kept row the mean attention on some patches, over the chosen layers and heads.
    pub fn looking(
        &mut self,
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
    pub fn strip(
        &mut self,
        doc: &Document,
        state: &ViewState,
        patches: &[PatchRef],
    ) -> Arc<Vec<f32>> {
        let map = &state.map;
        let key = (
            doc.trace.id(),
            map.layers.clone(),
            map.queries.clone(),
            patches.to_vec(),
            state.remove_bos,
        );
        self.strip.get(key, || strip(&doc.trace, &doc.extent, state, patches))
    }
}

/// Indices of the kept rows of some queries.
pub fn rows_of(trace: &Trace, extent: &Bounds, queries: &Queries) -> Vec<u32> {
    let rows = extent.query_rows(queries).unwrap_or_default();
    rows.into_iter().filter_map(|query| trace.row_of_query(query)).map(|row| row as u32).collect()
}

/// How a set is folded.
pub fn fold(set: &AxisSet) -> Fold {
    match set.aggregate() {
        Aggregate::Single | Aggregate::Mean => Fold::Mean,
        Aggregate::Max => Fold::Max,
    }
}

fn matrix(trace: &Trace, rows: &[u32], queries: &Queries, key: (Quantity, bool)) -> Matrix {
    let shape = trace.shape();
    let (quantity, remove_bos) = key;
    let number = match quantity {
        Quantity::ImageToAnswer => HeadNumber::ImageMean,
        Quantity::QuestionToAnswer => HeadNumber::QuestionMean,
        Quantity::ImageShare => HeadNumber::ImageShare,
        Quantity::Entropy => HeadNumber::ImageEntropy,
    };
    let fold = fold(&queries.set);
    let values = layer_head(trace, number, rows, fold, remove_bos).unwrap_or_default();
    let range = range_of(&values);
    Matrix { layers: shape.layers, heads: shape.heads, values, range }
}

/// Smallest and largest finite value; zeros where there is none.
pub fn range_of(values: &[f32]) -> [f32; 2] {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let range = finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    if range[0] <= range[1] { range } else { [0.0, 0.0] }
}

fn ranking(trace: &Trace, rows: &[u32]) -> Vec<Ranked> {
    let heads = trace.shape().heads.max(1);
    let most = (trace.meta().patches().max(2) as f32).ln();
    let mean = |number| layer_head(trace, number, rows, Fold::Mean, false).unwrap_or_default();
    let (shares, entropies) = (mean(HeadNumber::ImageShare), mean(HeadNumber::ImageEntropy));
    let mut ranked: Vec<Ranked> = shares
        .into_iter()
        .zip(entropies)
        .enumerate()
        .map(|(index, (image_share, entropy))| {
            let score = image_share * (1.0 - entropy / most).max(0.0);
            let (layer, head) = ((index / heads) as u32, (index % heads) as u32);
            Ranked { layer, head, image_share, entropy, score }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

fn mean_ranking(traces: &[Arc<Trace>]) -> Vec<Ranked> {
    let mut sums: BTreeMap<(u32, u32), Ranked> = BTreeMap::new();
    for trace in traces {
        for one in ranking(trace, &answer_rows(trace)) {
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

fn map(trace: &Trace, extent: &Bounds, choice: &MapChoice, remove_bos: bool) -> Option<Vec<f32>> {
    match &choice.source {
        MapSource::Attention => {
            let shape = trace.shape();
            let reduction = Reduction {
                rows: rows_of(trace, extent, &choice.queries),
                layers: choice.layers.members(shape.layers as u32),
                heads: choice.heads.members(shape.heads as u32),
                row_fold: fold(&choice.queries.set),
                layer_fold: fold(&choice.layers),
                head_fold: fold(&choice.heads),
                keep: Keep::One,
                remove_bos,
            };
            reduce(trace, &reduction, &patch_keys(trace))
        }
        MapSource::Named(name) if extent.pages.contains(name) => {
            let attention = MapChoice { source: MapSource::Attention, ..choice.clone() };
            map(trace.pages_as_attention(name)?, extent, &attention, remove_bos)
        }
        MapSource::Named(name) => {
            let answers = extent.query_answers(&choice.queries).ok()?;
            let answers: Vec<u32> = answers.into_iter().map(|answer| answer.0).collect();
            named_map(trace, name, &answers, fold(&choice.queries.set))
        }
    }
}

fn keys_of(trace: &Trace, patches: &[PatchRef]) -> Vec<u32> {
    let spans = &trace.meta().spans;
    let key = |patch: &PatchRef| {
        let span = spans.get(patch.span as usize)?;
        Some(span.first + patch.row * span.columns + patch.column)
    };
    patches.iter().filter_map(key).collect()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

fn looking(trace: &Trace, state: &ViewState, patches: &[PatchRef]) -> Vec<f32> {
    let shape = trace.shape();
    let keys = keys_of(trace, patches);
    if keys.is_empty() {
        return Vec::new();
    }
    let of_row = |row: usize| {
        let reduction = Reduction {
            rows: vec![row as u32],
            layers: state.map.layers.members(shape.layers as u32),
            heads: state.map.heads.members(shape.heads as u32),
            row_fold: Fold::Mean,
            layer_fold: fold(&state.map.layers),
            head_fold: fold(&state.map.heads),
            keep: Keep::One,
            remove_bos: state.remove_bos,
        };
        reduce(trace, &reduction, &keys).map_or(0.0, |plane| mean(&plane))
    };
    (0..shape.rows).map(of_row).collect()
}

fn strip(trace: &Trace, extent: &Bounds, state: &ViewState, patches: &[PatchRef]) -> Vec<f32> {
    let shape = trace.shape();
    let layers = state.map.layers.members(shape.layers as u32);
    let layer_fold = fold(&state.map.layers);
    if patches.is_empty() {
        let (queries, key) = (&state.map.queries, (Quantity::ImageToAnswer, state.remove_bos));
        let matrix = matrix(trace, &rows_of(trace, extent, queries), queries, key);
        let of_head = |head: usize| {
            let cells = layers.iter().filter_map(|&layer| matrix.at(layer, head as u32));
            match layer_fold {
                Fold::Mean => cells.sum::<f32>() / layers.len().max(1) as f32,
                Fold::Max => cells.fold(0.0, f32::max),
            }
        };
        return (0..shape.heads).map(of_head).collect();
    }
    let keys = keys_of(trace, patches);
    let reduction = Reduction {
        rows: answer_rows(trace),
        layers,
        heads: (0..shape.heads as u32).collect(),
        row_fold: Fold::Mean,
        layer_fold,
        head_fold: Fold::Mean,
        keep: Keep::Heads,
        remove_bos: state.remove_bos,
    };
    let planes = reduce(trace, &reduction, &keys).unwrap_or_default();
    planes.chunks_exact(keys.len().max(1)).map(mean).collect()
}

/// Rows of the answer tokens that carry text.
fn answer_rows(trace: &Trace) -> Vec<u32> {
    let tokens = trace.meta().answer_tokens();
    let spoken = (0_u32..).zip(tokens).filter(|(_, token)| token.kind != TokenKind::Special);
    spoken
        .filter_map(|(index, _)| trace.row_of_answer(AnswerIndex(index)))
        .map(|row| row as u32)
        .collect()
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
