//! Turns the attention outputs of one decoder call into pages.
//!
//! Outputs arrive one layer at a time for all rows; a page is one row for all layers. Pages are allocated as zeroed
//! memory, which the system provides only as layers fill it. The outputs of earlier layers are freed by then, so the
//! outputs and the pages are never in memory in full at the same time.

use super::error::Result;
use super::event::Page;
use super::session::DecoderPart;
use crate::trace::{Query, ROW_SUM_TOLERANCE, RowStats, STAT_COUNT, TraceBuilder};
use half::f16;
use std::ops::Range;
use std::sync::Arc;

/// Collects the attention of one decoder call.
pub(super) struct Collector<'a> {
    stats_of: &'a RowStats,
    layers: usize,
    heads: usize,
    keys: usize,
    /// The queries that get a page, with weights and stats.
    pages: Vec<(u32, Rows, Vec<f32>)>,
    /// Of the sums over keys of the last page row, one per layer and head, the sum farthest from 1, still scaled.
    scaled_row_sum: Option<f32>,
    /// Queries for which the mean over heads and the last layer are kept.
    head_mean: Vec<(u32, Rows)>,
    last_layer: Vec<(u32, Rows)>,
}

/// Weights that are being filled: [maps, keys].
struct Rows(Arc<[f16]>);

impl Rows {
    fn zeroed(len: usize) -> Self {
        // SAFETY: f16 is two bytes, and every bit pattern is a number; zeros are 0.0.
        Self(unsafe { Arc::<[f16]>::new_zeroed_slice(len).assume_init() })
    }

    /// Copies `row` to map `map`.
    fn fill(&mut self, map: usize, row: &[f16]) {
        let start = map * row.len();
        // The arc is not shared before it is finished, so `get_mut` succeeds.
        if let Some(place) =
            Arc::get_mut(&mut self.0).and_then(|all| all.get_mut(start..start + row.len()))
        {
            place.copy_from_slice(row);
        }
    }
}

impl<'a> Collector<'a> {
    /// For a call with the new positions `queries`, after which there are `keys` positions; the queries in
    /// `page_queries` get a page.
    pub fn new(
        stats_of: &'a RowStats,
        [layers, heads]: [usize; 2],
        keys: usize,
        queries: Range<u32>,
        page_queries: &[u32],
    ) -> Self {
        let page = |&query: &u32| {
            let stats = Vec::with_capacity(layers * heads * STAT_COUNT);
            (query, Rows::zeroed(layers * heads * keys), stats)
        };
        Self {
            stats_of,
            layers,
            heads,
            keys,
            scaled_row_sum: None,
            pages: page_queries.iter().map(page).collect(),
            head_mean: queries.clone().map(|query| (query, Rows::zeroed(layers * keys))).collect(),
            last_layer: queries.map(|query| (query, Rows::zeroed(heads * keys))).collect(),
        }
    }

    /// Stores one output of the decoder.
    pub fn take(&mut self, part: DecoderPart<'_>) {
        let (heads, keys) = (self.heads, self.keys);
        match part {
            DecoderPart::Rows { layer, weights } => {
                let count = self.pages.len();
                for row in
                    weights.chunks_exact(keys).skip(count.saturating_sub(1)).step_by(count.max(1))
                {
                    self.note_sum(row.iter().map(|weight| weight.to_f32()).sum());
                }
                for (index, (_, page, stats)) in self.pages.iter_mut().enumerate() {
                    // The graph returns layers in any order, so stats are stored by the index of their map.
                    stats.resize(self.layers * heads * STAT_COUNT, 0.0);
                    for head in 0..heads {
                        let start = (head * count + index) * keys;
                        let row = &weights[start..start + keys];
                        let map = layer * heads + head;
                        page.fill(map, row);
                        stats[map * STAT_COUNT..(map + 1) * STAT_COUNT]
                            .copy_from_slice(&self.stats_of.measure(row));
                    }
                }
            }
            DecoderPart::HeadMean { layer, weights } => {
                for ((_, rows), row) in self.head_mean.iter_mut().zip(weights.chunks_exact(keys)) {
                    rows.fill(layer, row);
                }
            }
            DecoderPart::LastLayer { weights } => {
                let count = self.last_layer.len();
                for (index, (_, rows)) in self.last_layer.iter_mut().enumerate() {
                    for head in 0..heads {
                        let start = (head * count + index) * keys;
                        rows.fill(head, &weights[start..start + keys]);
                    }
                }
            }
            DecoderPart::States { .. } => {}
        }
    }

    fn note_sum(&mut self, sum: f32) {
        let off = |sum: f32| (sum / self.stats_of.scale() - 1.0).abs();
        // total_cmp orders NaN after all numbers, so NaN counts as the largest deviation.
        if self.scaled_row_sum.is_none_or(|worst| off(sum).total_cmp(&off(worst)).is_gt()) {
            self.scaled_row_sum = Some(sum);
        }
    }

    /// The worst row sum under the manifest's scale, if it is not close to 1.
    pub fn wrong_row_sum(&self) -> Option<f32> {
        let sum = self.scaled_row_sum? / self.stats_of.scale();
        let close = (1.0 - ROW_SUM_TOLERANCE)..=(1.0 + ROW_SUM_TOLERANCE);
        (!close.contains(&sum)).then_some(sum)
    }

    /// Adds the collected rows to the trace and returns the pages.
    pub fn finish(self, builder: &mut TraceBuilder) -> Result<Vec<Page>> {
        for (query, Rows(weights)) in self.head_mean {
            builder.push_head_mean(Query(query), self.keys, weights)?;
        }
        for (query, Rows(weights)) in self.last_layer {
            builder.push_last_layer(Query(query), self.keys, weights)?;
        }
        let mut pages = Vec::with_capacity(self.pages.len());
        for (query, Rows(weights), stats) in self.pages {
            let (query, stats) = (Query(query), stats.into());
            let page = Page { query, keys: self.keys, weights, stats, there: None };
            builder.push_page(
                page.query,
                page.keys,
                Arc::clone(&page.weights),
                Arc::clone(&page.stats),
            )?;
            pages.push(page);
        }
        Ok(pages)
    }
}
