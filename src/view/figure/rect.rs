//! Rectangles in pixels.

use super::super::Camera;
use glam::{DVec2, Vec2};

/// A rectangle in pixels of the target; the origin is the upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PixelRect {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl PixelRect {
    /// From two corners; a negative size becomes 0.
    pub fn from_edges(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { x: left, y: top, width: (right - left).max(0.0), height: (bottom - top).max(0.0) }
    }

    /// Right edge.
    pub fn right(&self) -> f32 {
        self.x + self.width
    }

    /// Lower edge.
    pub fn bottom(&self) -> f32 {
        self.y + self.height
    }

    /// Centre.
    pub fn centre(&self) -> [f32; 2] {
        [self.x + self.width / 2.0, self.y + self.height / 2.0]
    }

    /// The intersection; empty if the rectangles do not meet.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        Self::from_edges(x, y, self.right().min(other.right()), self.bottom().min(other.bottom()))
    }

    /// Whether another rectangle is inside, with a tolerance of a thousandth of a pixel.
    pub fn contains(&self, other: &Self) -> bool {
        const SLACK: f32 = 1e-3;
        other.x >= self.x - SLACK
            && other.y >= self.y - SLACK
            && other.right() <= self.right() + SLACK
            && other.bottom() <= self.bottom() + SLACK
    }

    /// Whether the intersection has an area.
    pub fn overlaps(&self, other: &Self) -> bool {
        let both = self.intersection(other);
        both.width > 1e-3 && both.height > 1e-3
    }

    /// Maps a point of the unit square to this rectangle.
    pub fn at(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        [self.x + u * self.width, self.y + v * self.height]
    }

    /// The largest rectangle of an aspect (width / height) that fits, centred.
    #[must_use]
    pub fn fit(&self, aspect: f32) -> Self {
        let width = self.width.min(self.height * aspect);
        let height = width / aspect;
        let [x, y] = self.centre();
        Self { x: x - width / 2.0, y: y - height / 2.0, width, height }
    }

    /// Cell (`row`, `column`) of a grid of `rows` × `columns` equal cells.
    #[must_use]
    pub fn cell(&self, row: u32, column: u32, rows: u32, columns: u32) -> Self {
        let edge = |index: u32, count: u32, start: f32, size: f32| {
            start + size * index as f32 / count.max(1) as f32
        };
        Self::from_edges(
            edge(column, columns, self.x, self.width),
            edge(row, rows, self.y, self.height),
            edge(column + 1, columns, self.x, self.width),
            edge(row + 1, rows, self.y, self.height),
        )
    }
}

/// The rectangle of the content under a camera: `fit` is its rectangle at zoom 1.
pub(super) fn seen(stage: &PixelRect, fit: PixelRect, camera: Camera) -> PixelRect {
    let size = Vec2::new(fit.width, fit.height) * camera.zoom as f32;
    let Vec2 { x, y } = Vec2::from(stage.centre()) - DVec2::from(camera.centre).as_vec2() * size;
    PixelRect { x, y, width: size.x, height: size.y }
}
