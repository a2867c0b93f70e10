//! One head over all queries: the query × key matrix, gathered over the pages.

use super::reduce::{Fold, sound};
use crate::trace::{Layer, Trace};
use half::f16;
use half::slice::HalfFloatSliceExt as _;
use std::ops::Range;

/// Query × key, from the first kept query position to the last.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryKey {
    /// Position of the first row.
    pub first_query: usize,
    /// Number of rows, including those that were not kept.
    pub queries: usize,
    /// Number of columns: T, the number of positions, unless they are [folded](Self::folded).
    pub keys: usize,
    /// Number of keys that each column is the sum over; empty unless they are [folded](Self::folded). A column of which
    /// a query sees no key holds −2 then.
    pub folded: Vec<usize>,
    /// Whether rows of the prompt see later keys.
    pub sees_later: bool,
    /// [queries, keys] unscaled; a row that was not kept holds −1.
    pub weights: Vec<f32>,
}

/// The layers and heads that are folded, and how; the lists may not be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Members {
    /// Indices of the layers.
    pub layers: Vec<u32>,
    /// Indices of the heads.
    pub heads: Vec<u32>,
    /// The fold over layers; it runs after the fold over heads.
    pub layer_fold: Fold,
    /// The fold over heads; it runs first.
    pub head_fold: Fold,
    /// The lists name single heads: the head at index i belongs to the layer at index i.
    pub pairs: bool,
}

/// Gathers the matrix. `None` if a layer or head is not in the trace, or if the trace kept no row.
pub fn query_key(trace: &Trace, members: &Members) -> Option<QueryKey> {
    let shape = trace.shape();
    let (&first, &last) = (trace.rows().first()?, trace.rows().last()?);
    let outside = |list: &[u32], len: usize| list.iter().any(|&at| at as usize >= len);
    if outside(&members.layers, shape.layers) || outside(&members.heads, shape.heads) {
        return None;
    }
    let keys = shape.positions;
    let queries = (last - first) as usize + 1;
    let mut weights = vec![-1.0; queries * keys];
    let scale = 1.0 / trace.meta().attention_scale;
    // The mean over all heads is kept for every layer: one read instead of H.
    let all_heads =
        members.head_fold == Fold::Mean && members.heads.len() == shape.heads && !members.pairs;
    let head_means: Option<Vec<_>> = (all_heads && shape.heads > 1)
        .then(|| members.layers.iter().map(|&layer| trace.head_mean(Layer(layer))).collect())
        .flatten();
    let mut stored = vec![0.0; keys];
    for (row, &query) in trace.rows().iter().enumerate() {
        let page = if head_means.is_some() { None } else { Some(trace.page(row)?) };
        let mut over_layers = vec![0.0; keys];
        for (at, &layer) in members.layers.iter().enumerate() {
            if let Some(means) = &head_means {
                let start = query as usize * keys;
                read(means[at].get(start..start + keys)?, scale, &mut stored);
                members.layer_fold.step(&mut over_layers, &stored);
                continue;
            }
            let mut over_heads = vec![0.0; keys];
            let heads = if members.pairs { &members.heads[at..=at] } else { &members.heads[..] };
            for &head in heads {
                let start = (layer as usize * shape.heads + head as usize) * keys;
                read(page.as_ref()?.get(start..start + keys)?, scale, &mut stored);
                members.head_fold.step(&mut over_heads, &stored);
            }
            members.head_fold.finish(&mut over_heads, heads.len());
            members.layer_fold.step(&mut over_layers, &over_heads);
        }
        members.layer_fold.finish(&mut over_layers, members.layers.len());
        let start = (query - first) as usize * keys;
        weights[start..start + keys].copy_from_slice(&over_layers);
    }
    let sees_later = !trace.meta().model.image_attention.is_causal();
    let first_query = first as usize;
    Some(QueryKey { first_query, queries, keys, folded: Vec::new(), sees_later, weights })
}

fn read(stored: &[f16], scale: f32, out: &mut [f32]) {
    stored.convert_to_f32_slice(out);
    for value in out {
        *value = sound(*value) * scale;
    }
}

/// In place of the weight of a row that was not kept, and of a key that a query cannot see.
const NOT_KEPT: f32 = -1.0;
const UNSEEN: f32 = -2.0;

impl QueryKey {
    /// The same with sums over ranges of keys as columns; `self` has one column for each key.
    #[must_use]
    pub fn folded(&self, columns: &[Range<usize>]) -> Self {
        let mut weights = Vec::with_capacity(self.queries * columns.len());
        for (row, of_row) in self.weights.chunks_exact(self.keys.max(1)).enumerate() {
            let seen = self.seen_keys(row);
            weights.extend(columns.iter().map(|column| {
                let keys = of_row.get(column.start..column.end.min(seen)).unwrap_or_default();
                match (keys.first(), of_row.first()) {
                    (_, Some(&first)) if first < 0.0 => NOT_KEPT,
                    (None, _) => UNSEEN,
                    _ => keys.iter().sum(),
                }
            }));
        }
        let folded = columns.iter().map(ExactSizeIterator::len).collect();
        Self { keys: columns.len(), folded, weights, ..*self }
    }

    /// Number of keys that the query of a row sees.
    pub fn seen_keys(&self, row: usize) -> usize {
        let before = (self.first_query + row + 1).min(self.keys);
        if self.sees_later { self.keys } else { before }
    }

    /// The weights of single keys that a query can see, row by row; without key 0 if `remove_bos`, and without the rows
    /// that were not kept.
    pub fn seen(&self, remove_bos: bool) -> impl Iterator<Item = f32> + '_ {
        let rows = self.weights.chunks_exact(self.keys.max(1)).enumerate();
        rows.flat_map(move |(row, weights)| {
            let seen = if self.folded.is_empty() { self.seen_keys(row) } else { self.keys };
            let is_single = |at: usize| self.folded.get(at).is_none_or(|&keys| keys == 1);
            let first = usize::from(remove_bos).min(seen);
            (first..seen).filter(move |at| is_single(*at)).map(|at| weights[at])
        })
        .filter(|weight| *weight >= 0.0)
    }

    /// The smallest and the largest weight of [`Self::seen`].
    pub fn range(&self, remove_bos: bool) -> [f32; 2] {
        let range = self
            .seen(remove_bos)
            .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], weight| {
                [low.min(weight), high.max(weight)]
            });
        if range[0] <= range[1] { range } else { [0.0, 0.0] }
    }

    /// Pools `factor` × `factor` weights into their largest: (columns, rows, weights).
    pub fn pooled(&self, factor: usize) -> (usize, usize, Vec<f32>) {
        let (columns, rows) = (self.keys.div_ceil(factor), self.queries.div_ceil(factor));
        let mut pooled = vec![UNSEEN; columns * rows];
        for (row, weights) in self.weights.chunks_exact(self.keys.max(1)).enumerate() {
            let line = &mut pooled[row / factor * columns..][..columns];
            for (key, weight) in weights.iter().enumerate() {
                line[key / factor] = line[key / factor].max(*weight);
            }
        }
        (columns, rows, pooled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_keys_count_where_the_prompt_sees_them() {
        let weights = vec![0.1, 0.2, 0.9, 0.3, 0.2, 0.8];
        let causal = QueryKey {
            first_query: 0,
            queries: 2,
            keys: 3,
            folded: Vec::new(),
            sees_later: false,
            weights,
        };
        assert_eq!(causal.range(false), [0.1, 0.3]);
        let both = QueryKey { sees_later: true, ..causal };
        assert_eq!(both.range(false), [0.1, 0.9]);
        assert_eq!([both.seen_keys(0), both.seen_keys(1)], [3, 3]);
    }

    #[test]
    fn columns_are_sums_of_what_is_seen() {
        let weights = vec![0.5, 0.25, 0.125, 0.0, -1.0, -1.0, -1.0, -1.0, 0.5, 0.25, 0.125, 0.125];
        let matrix = QueryKey {
            first_query: 1,
            queries: 3,
            keys: 4,
            folded: Vec::new(),
            sees_later: false,
            weights,
        };
        let folded = matrix.folded(&[0..1, 1..3, 3..4]);
        assert_eq!(folded.keys, 3);
        let expected = [0.5, 0.25, UNSEEN, NOT_KEPT, NOT_KEPT, NOT_KEPT, 0.5, 0.375, 0.125];
        assert_eq!(folded.weights, expected);
        // The sums of the second column do not count: they would darken the single keys.
        assert_eq!(folded.range(false), [0.125, 0.5]);
        assert_eq!(folded.range(true), [0.125, 0.125], "without key 0");
        assert_eq!(folded.pooled(2), (2, 2, vec![0.5, NOT_KEPT, 0.5, 0.125]));
    }
}
