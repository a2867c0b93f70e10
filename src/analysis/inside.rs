//! The part of a map that lies inside an area of the picture.
//!
//! Areas are in pixels of the original picture, so that one area is valid for every view of it: tiles, thumbnails,
//! crops. A patch that the edge of the area cuts counts by the part of its area inside.

use super::outline::{RegionPart, intervals};
use crate::trace::{Affine, ImageSpan};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Lines through a patch along which the covered width is measured; the width itself is exact.
const LINES: u32 = 32;

/// For every patch, the part of its area that lies inside a region.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// `[N]`, views one after another, 0–1.
    parts: Arc<[f32]>,
}

impl PartialEq for Inside {
    fn eq(&self, other: &Self) -> bool {
        let bits =
            |inside: &Self| inside.parts.iter().map(|part| part.to_bits()).collect::<Vec<_>>();
        Arc::ptr_eq(&self.parts, &other.parts) || bits(self) == bits(other)
    }
}

impl Eq for Inside {}

impl Hash for Inside {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts.iter().for_each(|part| part.to_bits().hash(state));
    }
}

impl Inside {
    /// Measures a region on a picture (`None`: on every picture), in pixels of the original; `spans` as in the trace.
    pub fn new(spans: &[ImageSpan], picture: Option<u32>, region: &[RegionPart]) -> Self {
        Self::from_lines(spans, picture, &|y| intervals(region, y))
    }

    /// As [`Inside::new`], for an area of which `line` returns the intervals of columns inside on the line `y`: ascending,
    /// without overlap, in pixels of the original.
    pub fn from_lines(
        spans: &[ImageSpan],
        picture: Option<u32>,
        line: &dyn Fn(f64) -> Vec<[f64; 2]>,
    ) -> Self {
        let of_span = |span: &ImageSpan| {
            if picture.is_none_or(|picture| picture == span.picture) {
                coverage(span, line)
            } else {
                vec![0.0; span.patches()]
            }
        };
        Self { parts: spans.iter().flat_map(of_span).collect() }
    }

    /// The part of each patch inside: `[N]`.
    pub fn parts(&self) -> &[f32] {
        &self.parts
    }

    /// Whether no patch lies inside, not even in part.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|&part| part == 0.0)
    }

    /// The share of an even map: mean part of the patches.
    pub fn chance(&self) -> f64 {
        let sum: f64 = self.parts.iter().copied().map(f64::from).sum();
        sum / self.parts.len().max(1) as f64
    }

    /// The sum of a map `[N]` inside; damaged and negative numbers count as 0.
    pub fn sum(&self, map: &[f32]) -> f64 {
        let pairs = map.iter().zip(self.parts.iter());
        pairs.map(|(&value, &part)| mass(value) * f64::from(part)).sum()
    }

    /// The share of a map's mass (its positive part) inside; NaN if the map has no mass.
    pub fn share(&self, map: &[f32]) -> f64 {
        let total: f64 = map.iter().map(|&value| mass(value)).sum();
        self.sum(map) / total
    }

    /// The patches that lie inside at least in part, as (index, part).
    pub fn patches(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.parts.iter().copied().enumerate().filter(|(_, part)| *part > 0.0)
    }
}

fn mass(value: f32) -> f64 {
    f64::from(if value.is_finite() { value.max(0.0) } else { 0.0 })
}

/// The part of each patch of a view inside an area, row by row. Views are upright, so that a patch is a rectangle of
/// the original, too.
fn coverage(span: &ImageSpan, line_at: &dyn Fn(f64) -> Vec<[f64; 2]>) -> Vec<f32> {
    let map: &Affine = &span.original_from_preprocessed;
    let mut parts = vec![0.0_f64; span.patches()];
    let columns = span.columns as usize;
    // Patches of one row share their lines, so that a line is read once for all of them.
    let (mut read, mut inside) = (f64::NAN, Vec::new());
    for row in 0..span.rows {
        for line in 0..LINES {
            let share = (f64::from(line) + 0.5) / f64::from(LINES);
            for column in 0..span.columns {
                let rect = map.apply_rect(span.preprocessed_from_patch(row, column));
                let y = rect.y + share * rect.height;
                if y != read {
                    (read, inside) = (y, line_at(y));
                }
                let covered: f64 = inside
                    .iter()
                    .map(|[low, high]| high.min(rect.x + rect.width) - low.max(rect.x))
                    .filter(|width| *width > 0.0)
                    .sum();
                parts[row as usize * columns + column as usize] += covered / rect.width;
            }
        }
    }
    parts.into_iter().map(|part| (part / f64::from(LINES)).min(1.0) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::outline::Outline;
    use super::*;
    use crate::trace::Rect;
    use proptest::prelude::*;

    fn rectangle(rect: Rect) -> [RegionPart; 1] {
        [RegionPart::new(Outline::Rectangle { rect })]
    }

    /// 4 × 3 patches of 14 pixels, twice as wide and three times as high in the original.
    fn span(picture: u32) -> ImageSpan {
        ImageSpan {
            picture,
            rows: 3,
            columns: 4,
            preprocessed_rect: Rect { x: 2.0, y: 0.0, width: 56.0, height: 42.0 },
            original_from_preprocessed: Affine::scale_offset([2.0, 3.0], [10.0, -4.0]),
            ..ImageSpan::default()
        }
    }

    /// A tile: its patches are a quarter of the size.
    fn tile() -> ImageSpan {
        ImageSpan {
            original_from_preprocessed: Affine::scale_offset([0.5, 0.75], [10.0, -4.0]),
            ..span(0)
        }
    }

    proptest! {
        #[test]
        fn a_rectangle_covers_patches_of_every_view_by_their_area(
            x in 0.0_f64..100.0, y in -4.0_f64..90.0, width in 1.0_f64..80.0, height in 1.0_f64..80.0,
        ) {
            let area = Rect { x, y, width, height };
            let spans = [span(0), span(1), tile()];
            let inside = Inside::new(&spans, Some(0), &rectangle(area));
            prop_assert_eq!(inside.parts().len(), 36);
            prop_assert!(inside.parts()[12..24].iter().all(|part| *part == 0.0), "another picture");
            for (span, first) in [(&spans[0], 0), (&spans[2], 24)] {
                for row in 0..3 {
                    for column in 0..4 {
                        let patch = span
                            .original_from_preprocessed
                            .apply_rect(span.preprocessed_from_patch(row, column));
                        let overlap = |a: f64, wa: f64, b: f64, wb: f64| {
                            ((a + wa).min(b + wb) - a.max(b)).max(0.0)
                        };
                        let exact = overlap(x, width, patch.x, patch.width)
                            * overlap(y, height, patch.y, patch.height)
                            / (patch.width * patch.height);
                        let found = inside.parts()[first + (row * 4 + column) as usize];
                        prop_assert!((f64::from(found) - exact).abs() <= 1.0 / 32.0 + 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn shares_are_of_the_positive_part_and_of_the_even_map() {
        let spans = [span(0)];
        let area = Rect { x: 14.0, y: -4.0, width: 28.0, height: 126.0 };
        let inside = Inside::new(&spans, None, &rectangle(area));
        assert!((inside.chance() - 0.25).abs() < 1e-6, "one of four columns");
        let mut map = vec![0.0; 12];
        (map[0], map[1], map[4], map[5]) = (3.0, 1.0, f32::NAN, -2.0);
        assert!((inside.share(&map) - 0.75).abs() < 1e-6);
        assert!((inside.sum(&map) - 3.0).abs() < 1e-6);
        assert!(inside.share(&[0.0; 12]).is_nan());
        assert_eq!(inside.patches().map(|(patch, _)| patch).collect::<Vec<_>>(), [0, 4, 8]);
        assert!(Inside::new(&spans, Some(1), &rectangle(area)).is_empty());
    }
}
