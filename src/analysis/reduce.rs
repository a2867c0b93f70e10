//! Reduction of attention pages to maps over patches: the CPU twin of `shaders/reduce.wgsl`.
//!
//! The loops have the shader's order (heads, then layers, then queries), so that both give the same numbers except for
//! rounding. Captions, hover texts and exports read these numbers; pixels read the shader's.
//!
//! One rule for numbers that are not finite. A *damaged* number (NaN or infinity in a page, or beside
//! finite numbers in a row of a named map) counts as 0. A row of a named map that was *not computed*
//! (see [`Trace::has_map_row`]) is left out: the fold runs over the other tokens.

use crate::trace::{AnswerIndex, ImageSpan, MapKeys, TokenKind, Trace};
use half::f16;
use half::slice::HalfFloatSliceExt as _;

/// The rule that folds several maps into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// The arithmetic mean.
    Mean,
    /// The largest value at each patch.
    Max,
}

impl Fold {
    /// Attention is never negative, so 0 is a valid start for a maximum as well as for a sum.
    pub(super) fn step(self, sums: &mut [f32], values: &[f32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = match self {
                Self::Mean => *sum + value,
                Self::Max => sum.max(*value),
            };
        }
    }

    pub(super) fn finish(self, sums: &mut [f32], count: usize) {
        if self == Self::Mean && count != 1 {
            sums.iter_mut().for_each(|sum| *sum /= count as f32);
        }
    }
}

/// The axes that are kept: they determine the number of maps in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// One map: layers, heads and queries are folded.
    One = 0,
    /// One map a head: layers and queries are folded.
    Heads = 1,
    /// One map a layer and head (layer-major): queries are folded.
    LayersHeads = 2,
}

/// The weights that are read and how they are folded. The lists hold indices; none may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduction {
    /// Indices of the kept query rows (not positions).
    pub rows: Vec<u32>,
    /// Indices of the layers.
    pub layers: Vec<u32>,
    /// Indices of the heads.
    pub heads: Vec<u32>,
    /// The fold over queries; it runs last.
    pub row_fold: Fold,
    /// The fold over layers; it runs after the fold over heads.
    pub layer_fold: Fold,
    /// The fold over heads; it runs first.
    pub head_fold: Fold,
    /// The axes that are kept.
    pub keep: Keep,
    /// The lists name single heads: the head at index i belongs to the layer at index i. Only with [`Keep::One`].
    pub pairs: bool,
    /// Key 0 is dropped and each row renormalised to sum 1.
    pub remove_bos: bool,
}

impl Reduction {
    /// Number of maps in the result.
    pub fn planes(&self) -> usize {
        self.kept().iter().product::<u32>() as usize
    }

    /// Number of heads and of layers in the result; 1 where the axis is folded.
    pub const fn kept(&self) -> [u32; 2] {
        let (layers, heads) = (self.layers.len() as u32, self.heads.len() as u32);
        match self.keep {
            Keep::One => [1, 1],
            Keep::Heads => [heads, 1],
            Keep::LayersHeads => [heads, layers],
        }
    }

    /// The maps of a page that are read, by layer × H + head; `heads` is H.
    pub fn maps(&self, heads: usize) -> Vec<usize> {
        let map = |layer: u32, head: u32| layer as usize * heads + head as usize;
        if self.pairs {
            let pairs = self.layers.iter().zip(&self.heads);
            return pairs.map(|(&layer, &head)| map(layer, head)).collect();
        }
        let of_layer = |&layer: &u32| self.heads.iter().map(move |&head| map(layer, head));
        self.layers.iter().flat_map(of_layer).collect()
    }

    /// The indices into `layers` and into `heads` that are folded into plane `plane`.
    fn members(&self, plane: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (layers, heads) = (self.layers.len(), self.heads.len());
        match self.keep {
            Keep::One => (0..layers, 0..heads),
            Keep::Heads => (0..layers, plane..plane + 1),
            Keep::LayersHeads => {
                let (layer, head) = (plane / heads, plane % heads);
                (layer..layer + 1, head..head + 1)
            }
        }
    }
}

/// The key position of every patch, spans one after another: `[N]`.
pub fn patch_keys(trace: &Trace) -> Vec<u32> {
    trace.meta().spans.iter().flat_map(ImageSpan::keys).map(|key| key as u32).collect()
}

/// Whether key 0 is a BOS token (or at least text), so that it can be dropped.
pub fn has_bos(trace: &Trace) -> bool {
    trace.meta().tokens.first().is_some_and(|token| token.kind != TokenKind::Image)
}

/// Replaces a damaged number (infinity or NaN) by 0.
pub(crate) fn sound(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

/// The weight without its scale.
fn weight(stored: f32, scale: f32) -> f32 {
    sound(stored) * scale
}

/// Ascending runs of neighbouring keys: (first place in `keys`, first key, length).
fn runs(keys: &[u32]) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (place, &key) in keys.iter().enumerate() {
        match runs.last_mut() {
            Some((_, first, len)) if *first + *len == key as usize => *len += 1,
            _ => runs.push((place, key as usize, 1)),
        }
    }
    runs
}

/// The maps of a reduction: [planes, `keys.len()`], unscaled attention.
///
/// `None` if a row, layer or head is not in the trace, or has not arrived from another machine.
pub fn reduce(trace: &Trace, reduction: &Reduction, keys: &[u32]) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let outside = |members: &[u32], len: usize| members.iter().any(|&at| at as usize >= len);
    if outside(&reduction.layers, shape.layers)
        || outside(&reduction.heads, shape.heads)
        || outside(keys, shape.positions)
    {
        return None;
    }
    let reader = Reader {
        positions: shape.positions,
        scale: 1.0 / trace.meta().attention_scale,
        remove_bos: reduction.remove_bos,
        keys,
        runs: runs(keys),
    };
    let patches = keys.len();
    let mut planes = vec![0.0; reduction.planes() * patches];
    let [mut weights, mut over_heads, mut over_layers] = [(); 3].map(|()| vec![0.0; patches]);
    let maps = reduction.maps(shape.heads);
    for &row in &reduction.rows {
        let page = trace.page_of_maps(row as usize, &maps)?;
        for (plane, out) in planes.chunks_exact_mut(patches.max(1)).enumerate() {
            let (layers, heads) = reduction.members(plane);
            over_layers.fill(0.0);
            for (at, &layer) in layers.clone().zip(&reduction.layers[layers.clone()]) {
                let heads = if reduction.pairs { at..at + 1 } else { heads.clone() };
                over_heads.fill(0.0);
                for &head in &reduction.heads[heads.clone()] {
                    let map = layer as usize * shape.heads + head as usize;
                    reader.read(&page, map, &mut weights);
                    reduction.head_fold.step(&mut over_heads, &weights);
                }
                reduction.head_fold.finish(&mut over_heads, heads.len());
                reduction.layer_fold.step(&mut over_layers, &over_heads);
            }
            reduction.layer_fold.finish(&mut over_layers, layers.len());
            reduction.row_fold.step(out, &over_layers);
        }
    }
    reduction.row_fold.finish(&mut planes, reduction.rows.len());
    Some(planes)
}

/// Reads the weights of all patches of one layer and head.
struct Reader<'a> {
    positions: usize,
    scale: f32,
    remove_bos: bool,
    keys: &'a [u32],
    runs: Vec<(usize, usize, usize)>,
}

impl Reader<'_> {
    fn read(&self, page: &[f16], map: usize, out: &mut [f32]) {
        let start = map * self.positions;
        for &(place, key, len) in &self.runs {
            let stored = &page[start + key..start + key + len];
            stored.convert_to_f32_slice(&mut out[place..place + len]);
        }
        out.iter_mut().for_each(|value| *value = weight(*value, self.scale));
        if self.remove_bos {
            let rest = 1.0 - weight(page[start].to_f32(), self.scale);
            for (value, &key) in out.iter_mut().zip(self.keys) {
                *value = if key != 0 && rest > 1e-6 { *value / rest } else { 0.0 };
            }
        }
    }
}

/// Subtracts the second planes from the first. Twin of `shaders/difference.wgsl`.
pub fn difference(first: &mut [f32], second: &[f32]) {
    first.iter_mut().zip(second).for_each(|(first, second)| *first -= second);
}

/// A named map at `keys`, folded over answer tokens: `[keys.len()]`. A map over the patches has values for their keys
/// only; a map over all positions (such as `relevancy.llm`) has values for every key. Tokens without a computed row are
/// left out.
///
/// `None` if there is no such map, token or key, or if it was computed for none of the tokens.
pub fn named_map(
    trace: &Trace,
    name: &str,
    answers: &[u32],
    fold: Fold,
    keys: &[u32],
) -> Option<Vec<f32>> {
    let places: Vec<usize> = match trace.map_keys(name)? {
        MapKeys::Positions => keys.iter().map(|&key| key as usize).collect(),
        MapKeys::Patches => {
            let own = patch_keys(trace);
            let place = |(at, key): (usize, &u32)| match own.get(at) {
                Some(found) if found == key => Some(at),
                _ => own.iter().position(|found| found == key),
            };
            keys.iter().enumerate().map(place).collect::<Option<_>>()?
        }
    };
    let mut sums: Vec<f32> = Vec::new();
    let mut count = 0;
    for &answer in answers {
        let answer = AnswerIndex(answer);
        let row = trace.map_row(name, answer)?;
        if !trace.has_map_row(name, answer) {
            continue;
        }
        let value = |&place: &usize| row.get(place).map(|&value| sound(value));
        let values: Vec<f32> = places.iter().map(value).collect::<Option<_>>()?;
        if count == 0 {
            // Relevancy may be negative: the first token starts the maximum, not 0.
            sums = values;
        } else {
            fold.step(&mut sums, &values);
        }
        count += 1;
    }
    fold.finish(&mut sums, count);
    (count > 0).then_some(sums)
}
