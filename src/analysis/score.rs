//! Measures of a map's faithfulness: deletion and insertion curves, the pointing game, the energy in a box.
//!
//! Deletion and insertion (Petsiuk et al., RISE, arXiv 1806.07421) query the model: if the patches that a correct map
//! ranks highest are blanked first, the answer becomes unlikely soon; if they are shown first on a blank picture, the
//! answer becomes likely soon. The other two measures compare the map with the place of the object (Zhang et al., arXiv
//! 1608.00507; Wang et al., Score-CAM, arXiv 1910.01279). This module holds the arithmetic; the model runs elsewhere.

use super::inside::Inside;
use super::outline::{Outline, RegionPart, contains};
use crate::trace::{ImageSpan, Rect};
use serde::{Deserialize, Serialize};

/// A curve has at most this many steps.
pub const MAX_STEPS: usize = 24;

/// The patches by descending importance in a map; of equal patches, the first in the picture comes first. NaN comes
/// last.
pub fn importance_order(map: &[f32]) -> Vec<u32> {
    let value = |patch: u32| {
        let value = map[patch as usize];
        if value.is_nan() { f32::NEG_INFINITY } else { value }
    };
    let mut order: Vec<u32> = (0..map.len() as u32).collect();
    order.sort_by(|&left, &right| value(right).total_cmp(&value(left)).then(left.cmp(&right)));
    order
}

/// The number of changed patches, of `patches`, at each point of a curve with `steps` steps: 0, …, `patches`. There are
/// never more steps than patches.
pub fn counts(patches: usize, steps: usize) -> Vec<usize> {
    let steps = steps.clamp(1, MAX_STEPS).min(patches.max(1));
    (0..=steps).map(|step| (step * patches + steps / 2) / steps).collect()
}

/// The area under a curve over the fraction of changed patches (trapezoids): ∫ p d(fraction), between the smallest and
/// the largest p. Points are (changed patches, p): the first has 0 changed patches, the last all of them.
pub fn area(points: &[(usize, f64)]) -> f64 {
    let all = points.last().map_or(0, |&(count, _)| count).max(1) as f64;
    let trapezoid = |pair: &[(usize, f64)]| {
        (pair[1].0 - pair[0].0) as f64 / all * (pair[0].1 + pair[1].1) / 2.0
    };
    points.windows(2).map(trapezoid).sum()
}

/// The probability on a curve's vertical axis: the geometric mean over the chosen tokens, so that answers of one and of
/// many tokens have the same scale.
pub fn probability(logprobs: &[f32], tokens: &[usize]) -> f64 {
    let chosen = tokens.iter().filter_map(|&token| logprobs.get(token));
    let sum: f64 = chosen.map(|&logprob| f64::from(logprob)).sum();
    (sum / tokens.len().max(1) as f64).exp()
}

/// A rectangle in pixels of the original picture: left, top, right, bottom.
pub type BoxPx = [f64; 4];

/// The agreement of a map with boxes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The centre of the largest patch lies in a box (the pointing game).
    pub hit: bool,
    /// Share of the map's mass (its positive part) in the boxes; a patch that an edge cuts counts by its part inside.
    /// NaN if the map has no mass.
    pub energy: f64,
    /// Share of the picture's patches in the boxes: the energy of a uniform map.
    pub chance: f64,
}

/// Boxes as one region.
pub fn region_of_boxes(boxes: &[BoxPx]) -> Vec<RegionPart> {
    let part = |&[left, top, right, bottom]: &BoxPx| {
        let rect = Rect { x: left, y: top, width: right - left, height: bottom - top };
        RegionPart::new(Outline::Rectangle { rect })
    };
    boxes.iter().map(part).collect()
}

/// Compares a map `[N]` with a region in pixels of the original picture; `picture` as in [`Inside::new`], `spans` as in
/// the trace.
pub fn fit(map: &[f32], spans: &[ImageSpan], picture: Option<u32>, region: &[RegionPart]) -> Fit {
    let inside = Inside::new(spans, picture, region);
    let largest = importance_order(map).first().copied().unwrap_or(0) as usize;
    let mut first = 0;
    let hit = spans.iter().any(|span| {
        let here = first..first + span.patches();
        first = here.end;
        here.contains(&largest) && picture.is_none_or(|picture| picture == span.picture) && {
            let index = (largest - here.start) as u32;
            let rect = span.preprocessed_from_patch(index / span.columns, index % span.columns);
            let centre = [rect.x + rect.width / 2.0, rect.y + rect.height / 2.0];
            contains(region, span.original_from_preprocessed(centre))
        }
    });
    Fit { hit, energy: inside.share(map), chance: inside.chance() }
}
