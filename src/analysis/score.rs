//! Measures of a map's faithfulness: deletion and insertion curves, the pointing game, the energy in a box.
//!
//! Deletion and insertion (Petsiuk et al., RISE, arXiv 1806.07421) query the model: if the patches that a correct map
//! ranks highest are blanked first, the answer becomes unlikely soon; if they are shown first on a blank picture, the
//! answer becomes likely soon. The other two measures compare the map with the place of the object (Zhang et al., arXiv
//! 1608.00507; Wang et al., Score-CAM, arXiv 1910.01279). This module holds the arithmetic; the model runs elsewhere.

use crate::trace::{Affine, ImageSpan};

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The centre of the largest patch lies in a box (the pointing game).
    pub hit: bool,
    /// Share of the map's mass (its positive part) in the boxes; a patch that an edge cuts counts by its part inside.
    /// NaN if the map has no mass.
    pub energy: f64,
    /// Share of the picture's patches in the boxes: the energy of a uniform map.
    pub chance: f64,
}

/// Compares a map `[N]` with boxes; `spans` as in the trace.
pub fn fit(map: &[f32], spans: &[ImageSpan], boxes: &[BoxPx]) -> Fit {
    let inside: Vec<f64> = spans.iter().flat_map(|span| coverage(span, boxes)).collect();
    let mass = |value: f32| f64::from(if value.is_finite() { value.max(0.0) } else { 0.0 });
    let total: f64 = map.iter().map(|&value| mass(value)).sum();
    let energy: f64 = map.iter().zip(&inside).map(|(&value, part)| mass(value) * part).sum();
    let largest = importance_order(map).first().copied().unwrap_or(0) as usize;
    let mut first = 0;
    let hit = spans.iter().any(|span| {
        let here = first..first + span.patches();
        first = here.end;
        here.contains(&largest) && {
            let index = (largest - here.start) as u32;
            let rect = span.preprocessed_from_patch(index / span.columns, index % span.columns);
            let centre = [rect.x + rect.width / 2.0, rect.y + rect.height / 2.0];
            let [x, y] = span.original_from_preprocessed(centre);
            boxes.iter().any(|&[left, top, right, bottom]| {
                (left..=right).contains(&x) && (top..=bottom).contains(&y)
            })
        }
    });
    Fit {
        hit,
        energy: energy / total,
        chance: inside.iter().sum::<f64>() / inside.len().max(1) as f64,
    }
}

/// Sample points per side of a patch; sampling counts an area that several boxes cover only once.
const SAMPLES: u32 = 8;

/// For every patch of a span, the part that lies in at least one box.
fn coverage(span: &ImageSpan, boxes: &[BoxPx]) -> Vec<f64> {
    let map: &Affine = &span.original_from_preprocessed;
    let part = |row: u32, column: u32| {
        let rect = span.preprocessed_from_patch(row, column);
        let mut inside = 0;
        for sample in 0..SAMPLES * SAMPLES {
            let at = |index: u32| (f64::from(index) + 0.5) / f64::from(SAMPLES);
            let (u, v) = (at(sample % SAMPLES), at(sample / SAMPLES));
            let [x, y] = map.apply([rect.x + u * rect.width, rect.y + v * rect.height]);
            let within = |&[left, top, right, bottom]: &BoxPx| {
                (left..right).contains(&x) && (top..bottom).contains(&y)
            };
            inside += u32::from(boxes.iter().any(within));
        }
        f64::from(inside) / f64::from(SAMPLES * SAMPLES)
    };
    (0..span.rows)
        .flat_map(|row| (0..span.columns).map(move |column| (row, column)))
        .map(|(row, column)| part(row, column))
        .collect()
}
