//! Positions of the patches of a view: in the token sequence, in the preprocessed picture and, by an affine map, in the
//! original picture.

use super::Key;
use glam::{DAffine2, DVec2};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// An axis-aligned rectangle in pixels; the origin is the upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

impl Rect {
    /// Whether a point is inside; the left and upper edges count as inside.
    pub fn contains(&self, [x, y]: [f64; 2]) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }

    /// Whether it has a positive area and finite numbers.
    pub fn has_area(&self) -> bool {
        let Self { x, y, width, height } = *self;
        [x, y, width, height].into_iter().all(f64::is_finite) && width > 0.0 && height > 0.0
    }
}

/// `x' = xx·x + xy·y + x0`, `y' = yx·x + yy·y + y0`, between pixel coordinates whose integer
/// values lie on pixel *corners* (the centre of the first pixel is at 0.5).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Coefficients", into = "Coefficients")]
pub struct Affine(DAffine2);

impl Default for Affine {
    fn default() -> Self {
        Self::IDENTITY
    }
}

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
    /// The identity map.
    pub const IDENTITY: Self = Self(DAffine2::IDENTITY);

    /// A scale per axis followed by an offset.
    pub const fn scale_offset([sx, sy]: [f64; 2], [x, y]: [f64; 2]) -> Self {
        Self(DAffine2::from_cols(DVec2::new(sx, 0.0), DVec2::new(0.0, sy), DVec2::new(x, y)))
    }

    /// Maps a point.
    pub fn apply(&self, point: [f64; 2]) -> [f64; 2] {
        self.0.transform_point2(point.into()).into()
    }

    /// The smallest upright rectangle around a rectangle that is mapped.
    pub fn apply_rect(&self, rect: Rect) -> Rect {
        let (right, bottom) = (rect.x + rect.width, rect.y + rect.height);
        let corners = [[rect.x, rect.y], [right, rect.y], [rect.x, bottom], [right, bottom]];
        let corners = corners.map(|corner| DVec2::from(self.apply(corner)));
        let min = corners.into_iter().fold(DVec2::INFINITY, DVec2::min);
        let size = corners.into_iter().fold(DVec2::NEG_INFINITY, DVec2::max) - min;
        Rect { x: min.x, y: min.y, width: size.x, height: size.y }
    }

    /// Horizontal and vertical scale of a map without rotation and shear; `None` for any other map.
    pub fn scale(&self) -> Option<[f64; 2]> {
        let [xx, yx, xy, yy, ..] = self.0.to_cols_array();
        (yx == 0.0 && xy == 0.0).then_some([xx, yy])
    }

    /// The composition: `first`, then `self`.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        Self(self.0 * first.0)
    }

    /// The inverse map, or `None` if the map is singular.
    pub fn inverse(&self) -> Option<Self> {
        self.0.matrix2.determinant().is_normal().then(|| Self(self.0.inverse()))
    }
}

/// The part of its picture that a view shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewOf {
    /// The only view of the picture.
    #[default]
    Whole,
    /// The whole picture at low resolution, before its tiles.
    Base,
    /// All tiles as one grid.
    Tiles,
    /// One tile.
    Tile,
    /// The whole picture at low resolution, after its tiles.
    Thumbnail,
    /// A part of the picture.
    Crop,
    /// A frame of a video.
    Frame,
}

impl ViewOf {
    /// The name in files and captions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Base => "base",
            Self::Tiles => "tiles",
            Self::Tile => "tile",
            Self::Thumbnail => "thumbnail",
            Self::Crop => "crop",
            Self::Frame => "frame",
        }
    }
}

/// The video frame that a view shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameInfo {
    /// Index of the video, from 0.
    #[serde(default)]
    pub video: u32,
    /// Index of the frame in the order of the prompt.
    pub index: u32,
    /// Time in the video, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// A view: a grid of patches of one canvas. Each patch is an image position of the sequence and a cell of
/// `preprocessed_rect`, row by row.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImageSpan {
    /// Index of the picture, as in the trace's `picture.K.original`.
    pub picture: u32,
    /// Index of the canvas in [`super::TraceMeta::preprocess`].
    pub canvas: u32,
    /// The part of the picture that the view shows.
    pub kind: ViewOf,
    /// First image position in the expanded prompt.
    pub first: u32,
    /// Rows of patches.
    pub rows: u32,
    /// Columns of patches.
    pub columns: u32,
    /// Positions from one row to the next; 0 stands for `columns`. See [`Self::stride`].
    pub row_stride: u32,
    /// The rectangle that the patches cover, in pixels of the canvas.
    pub preprocessed_rect: Rect,
    /// From pixels of the canvas to pixels of the (upright) original.
    pub original_from_preprocessed: Affine,
    /// Row and column of a tile among the tiles of its canvas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile: Option<[u32; 2]>,
    /// The video frame, if the view is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameInfo>,
    /// The cell of each patch in pixels of the canvas, row by row, if the cells are not equal parts of
    /// `preprocessed_rect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<Arc<[Rect]>>,
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

    /// Positions from one row of patches to the next.
    pub const fn stride(&self) -> u32 {
        if self.row_stride == 0 { self.columns } else { self.row_stride }
    }

    /// From the first key position to one past the last; separators between rows are included.
    pub const fn extent(&self) -> Range<usize> {
        let first = self.first as usize;
        if self.rows == 0 {
            return first..first;
        }
        let last_row = (self.rows as usize - 1) * self.stride() as usize;
        first..first + last_row + self.columns as usize
    }

    /// The key positions of the patches, row by row, as the fewest runs of consecutive keys.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
        let (first, columns, stride) =
            (self.first as usize, self.columns as usize, self.stride() as usize);
        let rows = self.rows as usize;
        let (count, len) = if stride == columns { (1, rows * columns) } else { (rows, columns) };
        (0..count).map(move |row| first + row * stride..first + row * stride + len)
    }

    /// The key position of each patch, row by row.
    pub fn keys(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        self.runs().flatten()
    }

    /// The values of the patches, row by row, from a row over all positions; positions past its end are left out.
    pub fn values_of<'a, T: Copy>(&self, row: &'a [T]) -> impl Iterator<Item = T> + use<'a, T> {
        self.keys().filter_map(|key| row.get(key).copied())
    }

    /// The key position of one patch; `None` outside of the grid.
    pub const fn key(&self, row: u32, column: u32) -> Option<Key> {
        if row < self.rows && column < self.columns {
            Some(Key(self.first + row * self.stride() + column))
        } else {
            None
        }
    }

    /// The name of the view for captions and lists: "tile 0,1", "frame 3 at 2.5 s", "thumbnail".
    pub fn name(&self) -> String {
        match (self.kind, self.tile, self.frame) {
            (ViewOf::Tile, Some([row, column]), _) => format!("tile {row},{column}"),
            (ViewOf::Frame, _, Some(FrameInfo { index, seconds: Some(seconds), .. })) => {
                format!("frame {index} at {seconds} s")
            }
            (ViewOf::Frame, _, Some(FrameInfo { index, .. })) => format!("frame {index}"),
            (kind, ..) => kind.name().to_owned(),
        }
    }

    /// The rectangle of one patch in pixels of the preprocessed picture.
    pub fn preprocessed_from_patch(&self, row: u32, column: u32) -> Rect {
        let index = row as usize * self.columns as usize + column as usize;
        if let Some(cell) = self.cells.as_deref().and_then(|cells| cells.get(index)) {
            return *cell;
        }
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
        if let Some(cells) = &self.cells {
            let index = cells.iter().position(|cell| cell.contains([x, y]))? as u32;
            let columns = self.columns.max(1);
            return Some((index / columns, index % columns));
        }
        let u = (x - self.preprocessed_rect.x) / self.preprocessed_rect.width;
        let v = (y - self.preprocessed_rect.y) / self.preprocessed_rect.height;
        if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
            return None;
        }
        let row = ((v * f64::from(self.rows)) as u32).min(self.rows.saturating_sub(1));
        let column = ((u * f64::from(self.columns)) as u32).min(self.columns.saturating_sub(1));
        Some((row, column))
    }

    /// Converts a point from pixels of the canvas to pixels of the original picture.
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
            ..ImageSpan::default()
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

    #[test]
    fn a_stride_leaves_the_separators_out() {
        let span = ImageSpan { row_stride: 6, ..span() };
        assert_eq!(span.key(2, 3), Some(Key(5 + 2 * 6 + 3)));
        assert_eq!(span.extent(), 5..21);
        let keys: Vec<usize> = span.keys().collect();
        assert_eq!(keys, [5, 6, 7, 8, 11, 12, 13, 14, 17, 18, 19, 20]);
        assert_eq!(span.runs().count(), 3);
        let mut whole = ImageSpan { row_stride: 0, ..span }.runs();
        assert_eq!((whole.next(), whole.next()), (Some(5..17), None));
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
