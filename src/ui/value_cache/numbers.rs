//! The numbers themselves, computed from a trace.

use crate::analysis::normalise::beyond_rounding;
use crate::analysis::overview::HeadNumber;
use crate::analysis::reduce::{Fold, Keep, patch_keys};
use crate::trace::{PatchRef, Trace};
use crate::ui::ranking::{head_numbers, spoken};
use crate::view::{MapChoice, MapSource, Quantity, ViewKind, ViewState};
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

/// The selection itself if its source are pages, else the same selection of the attention.
pub(super) fn of_pages(trace: &Trace, map: &MapChoice) -> MapChoice {
    let is_pages = trace.page_names().contains(&map.source.name());
    let source = if is_pages { map.source.clone() } else { MapSource::Attention };
    MapChoice { source, ..map.clone() }
}

pub(super) fn matrix(trace: &Trace, state: &ViewState, second: Option<&Trace>) -> Matrix {
    let found = state.resolve_heads(trace, second).map(|numbers| numbers.values());
    matrix_of(trace, state.quantity, found.map_err(|error| error.to_string()))
}

pub(super) fn matrix_of(
    trace: &Trace,
    quantity: Quantity,
    found: Result<Vec<f32>, String>,
) -> Matrix {
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

pub(super) fn map(trace: &Trace, state: &ViewState, second: Option<&Trace>) -> Option<Vec<f32>> {
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
pub(super) struct Weights {
    keys: Vec<u32>,
    weights: Vec<f32>,
}

/// Weights of the mean over patches.
pub(super) fn weights_of(trace: &Trace, patches: &[PatchRef]) -> Weights {
    let key = |patch: &PatchRef| Some(trace.meta().key_of_patch(*patch)?.0);
    let keys: Vec<u32> = patches.iter().filter_map(key).collect();
    let weights = vec![1.0 / keys.len().max(1) as f32; keys.len()];
    Weights { keys, weights }
}

/// Weights of the sum inside the chosen object.
pub(super) fn weights_inside(trace: &Trace, state: &ViewState) -> Weights {
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

pub(super) fn looking(
    trace: &Trace,
    choice: &MapChoice,
    remove_bos: bool,
    weights: &Weights,
) -> Vec<f32> {
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

pub(super) fn strip(
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
