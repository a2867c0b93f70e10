//! The grid of layers and heads: the head in each cell, in the chosen order.

use super::super::{HeadOrder, ViewState};
use super::PixelRect;
use crate::analysis::overview::HeadNumber;
use crate::trace::{STAT_COUNT, Stat, Trace};

/// The heads of each layer in an order of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedHeads {
    /// The order in words.
    pub by: String,
    /// The heads of every layer in drawing order: [L, H].
    pub heads: Vec<u32>,
}

impl SortedHeads {
    /// The order that a state asks for, for each layer; `None` if heads are in the order of their numbers.
    pub fn new(state: &ViewState, trace: &Trace) -> Option<Self> {
        let keys = sort_keys(state, trace)?;
        let count = trace.shape().heads.max(1);
        let heads = keys.chunks(count).flat_map(descending).map(|head| head as u32).collect();
        let by = match (state.head_order, state.chosen_object()) {
            (HeadOrder::Index, _) => return None,
            (HeadOrder::ImageShare, _) => "attention to the picture".into(),
            (HeadOrder::Peak, _) => "peak".into(),
            (HeadOrder::Entropy, _) => "focus".into(),
            (HeadOrder::Inside, Some(object)) => format!("attention inside “{}”", object.name),
            (HeadOrder::Inside, None) => return None,
        };
        Some(Self { by, heads })
    }
}

/// The place of every head on the content of a figure: a row for each layer, a column for each head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadGrid {
    /// Number of rows.
    pub layers: u32,
    /// Number of columns.
    pub heads: u32,
    /// The order of the heads in each row; `None` if each column is one head.
    pub sorted: Option<SortedHeads>,
}

impl HeadGrid {
    /// The head in a column of the row of a layer.
    pub fn head(&self, row: u32, column: u32) -> u32 {
        let row = self.row(row);
        row.and_then(|row| row.get(column as usize).copied()).unwrap_or(column)
    }

    /// The column of a head in the row of a layer.
    pub fn column(&self, row: u32, head: u32) -> u32 {
        let found = self.row(row).and_then(|row| row.iter().position(|&other| other == head));
        found.map_or(head, |column| column as u32)
    }

    fn row(&self, row: u32) -> Option<&[u32]> {
        let (row, heads) = (row as usize, self.heads as usize);
        self.sorted.as_ref()?.heads.get(row * heads..(row + 1) * heads)
    }

    /// The cell of a head on a content that may extend beyond the stage.
    pub fn cell(&self, content: &PixelRect, row: u32, head: u32) -> PixelRect {
        content.cell(row, self.column(row, head), self.layers, self.heads)
    }
}

/// Indices of `keys` from the largest key to the smallest; equal ones in their order.
pub(super) fn descending(keys: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
    order
}

/// The number by which heads are sorted, largest first: [L, H], the sum over the chosen queries. `None` if they are in
/// the order of their numbers.
pub(super) fn sort_keys(state: &ViewState, trace: &Trace) -> Option<Vec<f32>> {
    let (stat, sign) = match state.head_order {
        HeadOrder::Index => return None,
        HeadOrder::ImageShare => (Stat::ImageSum, 1.0),
        HeadOrder::Peak => (Stat::ImageMax, 1.0),
        HeadOrder::Entropy => (Stat::ImageEntropy, -1.0),
        HeadOrder::Inside => {
            let number = HeadNumber::Inside(state.inside(trace)?);
            return Some(state.map.resolve_heads(trace, number, state.remove_bos).ok()?.values());
        }
    };
    let sums = head_stats(state, trace);
    Some(sums.iter().map(|stats| stats[stat as usize] * sign).collect())
}

/// The statistics of every head, summed over the chosen queries: [L, H].
pub(super) fn head_stats(state: &ViewState, trace: &Trace) -> Vec<[f32; STAT_COUNT]> {
    let shape = trace.shape();
    let mut sums = vec![[0.0_f32; STAT_COUNT]; shape.layers * shape.heads];
    for row in state.map.queries.rows(trace).unwrap_or_default() {
        let Some(stats) = trace.stats(row as usize) else { continue };
        for (sum, of_head) in sums.iter_mut().zip(stats.chunks_exact(STAT_COUNT)) {
            sum.iter_mut().zip(of_head).for_each(|(sum, value)| *sum += value);
        }
    }
    sums
}
