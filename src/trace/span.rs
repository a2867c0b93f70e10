//! Where the patches of a picture sit: in the token sequence, in the preprocessed picture and,
//! through an affine map, in the original picture.

use super::Key;
use glam::{DAffine2, DVec2};
use serde::{Deserialize, Serialize};

/// An axis-aligned rectangle in pixels; the origin is the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// `x' = xx·x + xy·y + x0`, `y' = yx·x + yy·y + y0`, between pixel coordinates whose integer
/// values lie on pixel *corners* (the centre of the first pixel is at 0.5).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Coefficients", into = "Coefficients")]
pub struct Affine(DAffine2);

/// An affine map as traces store it.
#[derive(Serialize, Deserialize)]
struct Coefficients {
    xx: f64,
    xy: f64,
    x0: f64,
    yx: f64,
    yy: f64,
    y0: f64,
}

impl From<Coefficients> for Affine {
    fn from(Coefficients { xx, xy, x0, yx, yy, y0 }: Coefficients) -> Self {
        Self(DAffine2::from_cols_array(&[xx, yx, xy, yy, x0, y0]))
    }
}

impl From<Affine> for Coefficients {
    fn from(Affine(map): Affine) -> Self {
        let [xx, yx, xy, yy, x0, y0] = map.to_cols_array();
        Self { xx, xy, x0, yx, yy, y0 }
    }
}

impl Affine {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self(DAffine2::IDENTITY);

    /// A scale per axis followed by an offset.
    pub const fn scale_offset([sx, sy]: [f64; 2], [x, y]: [f64; 2]) -> Self {
        Self(DAffine2::from_cols(DVec2::new(sx, 0.0), DVec2::new(0.0, sy), DVec2::new(x, y)))
    }

    /// Maps a point.
    pub fn apply(&self, point: [f64; 2]) -> [f64; 2] {
        self.0.transform_point2(point.into()).into()
    }

    /// `self` after `first`.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        Self(self.0 * first.0)
    }

    /// The inverse map, or `None` where the map collapses an axis.
    pub fn inverse(&self) -> Option<Self> {
        self.0.matrix2.determinant().is_normal().then(|| Self(self.0.inverse()))
    }
}

/// The patches of one picture (or tile): a run of image positions in the sequence and the
/// rectangle of the preprocessed picture that they cover, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageSpan {
    /// Which picture, an index into the trace's `picture.K.*`.
    pub picture: u32,
    /// First image position in the expanded prompt.
    pub first: u32,
    /// Rows of patches.
    pub rows: u32,
    /// Columns of patches.
    pub columns: u32,
    /// What the patches cover, in pixels of the preprocessed picture.
    pub preprocessed_rect: Rect,
    /// From pixels of the preprocessed picture to pixels of the (upright) original.
    pub original_from_preprocessed: Affine,
}

/// One patch of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PatchRef {
    /// Index of the span in the trace.
    pub span: u32,
    /// Row of the patch, from the top.
    pub row: u32,
    /// Column of the patch, from the left.
    pub column: u32,
}

impl ImageSpan {
    /// Number of patches.
    pub const fn patches(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// The key positions of the patches.
    pub const fn keys(&self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.patches()
    }

    /// The key position of one patch; `None` outside of the grid.
    pub const fn key(&self, row: u32, column: u32) -> Option<Key> {
        if row < self.rows && column < self.columns {
            Some(Key(self.first + row * self.columns + column))
        } else {
            None
        }
    }

    /// The rectangle of one patch in pixels of the preprocessed picture.
    pub fn preprocessed_from_patch(&self, row: u32, column: u32) -> Rect {
        let width = self.preprocessed_rect.width / f64::from(self.columns);
        let height = self.preprocessed_rect.height / f64::from(self.rows);
        Rect {
            x: self.preprocessed_rect.x + f64::from(column) * width,
            y: self.preprocessed_rect.y + f64::from(row) * height,
            width,
            height,
        }
    }

    /// The patch (row, column) under a point of the preprocessed picture, `None` outside.
    pub fn patch_from_preprocessed(&self, [x, y]: [f64; 2]) -> Option<(u32, u32)> {
        let u = (x - self.preprocessed_rect.x) / self.preprocessed_rect.width;
        let v = (y - self.preprocessed_rect.y) / self.preprocessed_rect.height;
        if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
            return None;
        }
        let row = ((v * f64::from(self.rows)) as u32).min(self.rows.saturating_sub(1));
        let column = ((u * f64::from(self.columns)) as u32).min(self.columns.saturating_sub(1));
        Some((row, column))
    }

    /// A point of the preprocessed picture in pixels of the original.
    pub fn original_from_preprocessed(&self, point: [f64; 2]) -> [f64; 2] {
        self.original_from_preprocessed.apply(point)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn span() -> ImageSpan {
        ImageSpan {
            picture: 0,
            first: 5,
            rows: 3,
            columns: 4,
            preprocessed_rect: Rect { x: 2.0, y: 0.0, width: 56.0, height: 42.0 },
            original_from_preprocessed: Affine::scale_offset([2.0, 3.0], [10.0, -4.0]),
        }
    }

    #[test]
    fn every_patch_is_found_again_at_its_centre() {
        let span = span();
        for row in 0..span.rows {
            for column in 0..span.columns {
                let rect = span.preprocessed_from_patch(row, column);
                let centre = [rect.x + rect.width / 2.0, rect.y + rect.height / 2.0];
                assert_eq!(span.patch_from_preprocessed(centre), Some((row, column)));
            }
        }
        assert_eq!(span.key(0, 0), Some(Key(5)));
        assert_eq!(span.key(2, 3), Some(Key(5 + 2 * 4 + 3)));
        assert_eq!((span.key(3, 0), span.key(0, 4)), (None, None));
        assert_eq!(span.patch_from_preprocessed([1.9, 1.0]), None);
        assert_eq!(span.patch_from_preprocessed([58.0, 1.0]), None);
    }

    proptest! {
        #[test]
        fn an_affine_map_and_its_inverse_cancel(
            xx in 0.01_f64..50.0, yy in 0.01_f64..50.0, x0 in -500.0_f64..500.0,
            y0 in -500.0_f64..500.0, x in -900.0_f64..900.0, y in -900.0_f64..900.0,
        ) {
            let map = Affine::scale_offset([xx, yy], [x0, y0]);
            let round = map.inverse().unwrap().after(&map);
            let [rx, ry] = round.apply([x, y]);
            prop_assert!((rx - x).abs() < 1e-6 && (ry - y).abs() < 1e-6);
        }
    }
}
