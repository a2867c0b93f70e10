//! Rectangles on the target: spans on their picture, outlines of patches, hairlines.
//!
//! Rectangles, not shaders, carry the geometry: a span is a quad with its own picture and map
//! coordinates, so that no pixel has to ask whether it is inside.

use super::pipeline::Corners;
use crate::analysis::density::Frame;
use crate::trace::{ImageSpan, PatchRef, Rect, TraceMeta};
use crate::view::ShownGrid;
use crate::view::figure::PixelRect;
use glam::{DVec2, Vec2};
use std::collections::BTreeSet;

/// A rectangle of the picture (0–1), from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OnPicture {
    pub min: DVec2,
    pub max: DVec2,
}

impl OnPicture {
    pub const WHOLE: Self = Self { min: DVec2::ZERO, max: DVec2::ONE };

    pub fn corners(&self) -> Corners {
        let ([x0, y0], [x1, y1]) = (self.min.as_vec2().into(), self.max.as_vec2().into());
        [x0, y0, x1, y1]
    }

    /// The part on the picture.
    pub fn clipped(&self) -> Self {
        let clip = |corner: DVec2| corner.clamp(DVec2::ZERO, DVec2::ONE);
        Self { min: clip(self.min), max: clip(self.max) }
    }

    pub fn is_empty(&self) -> bool {
        self.max.cmple(self.min).any()
    }

    /// Whether the whole picture is inside.
    pub fn covers_all(&self) -> bool {
        const SLACK: f64 = 1e-9;
        (self.min.cmple(DVec2::splat(SLACK)) & self.max.cmpge(DVec2::splat(1.0 - SLACK))).all()
    }

    /// Position of `inner` within this rectangle, 0–1.
    pub fn share(&self, inner: &Self) -> Self {
        let of = |corner: DVec2| (corner - self.min) / (self.max - self.min);
        Self { min: of(inner.min), max: of(inner.max) }
    }

    /// In pixels, when the picture is laid on `content`.
    pub fn on(&self, content: &PixelRect) -> Corners {
        let origin = Vec2::new(content.x, content.y).as_dvec2();
        let size = Vec2::new(content.width, content.height).as_dvec2();
        Self { min: origin + self.min * size, max: origin + self.max * size }.corners()
    }
}

/// A rectangle of pixels of a frame.
fn on_frame(meta: &TraceMeta, frame: Frame, rect: Rect) -> OnPicture {
    let (min, size) = (DVec2::new(rect.x, rect.y), DVec2::new(rect.width, rect.height));
    let whole = DVec2::from(frame.size(meta));
    OnPicture { min: min / whole, max: (min + size) / whole }
}

/// A patch on what lies beneath a grid.
fn patch_on_picture(
    meta: &TraceMeta,
    frame: Frame,
    span: &ImageSpan,
    [row, column]: [u32; 2],
) -> OnPicture {
    on_frame(meta, frame, frame.rect(meta, span, span.preprocessed_from_patch(row, column)))
}

/// A grid of numbers on what lies beneath it.
pub(super) fn grid_on_picture(meta: &TraceMeta, grid: &ShownGrid) -> OnPicture {
    on_frame(meta, grid.frame, grid.rect(meta))
}

/// Lines around the union of patches, in pixels: each side that no other patch of the set shares.
pub(super) fn outline(
    meta: &TraceMeta,
    grid: &ShownGrid,
    patches: &[PatchRef],
    content: &PixelRect,
    width: f32,
) -> Vec<Corners> {
    let set: BTreeSet<PatchRef> = patches.iter().copied().collect();
    let mut lines = Vec::new();
    for patch in &set {
        let Some(span) = meta.spans.get(patch.span as usize) else { continue };
        // In the frame of one canvas, patches of another canvas are not shown.
        let is_seen = grid.view.is_none()
            || matches!(grid.frame, Frame::Original(_))
            || grid.frame == Frame::Canvas(span.canvas);
        if !is_seen || span.picture != grid.picture {
            continue;
        }
        let place = patch_on_picture(meta, grid.frame, span, [patch.row, patch.column]);
        let [x0, y0, x1, y1] = place.on(content);
        let half = width / 2.0;
        let open = |row: i64, column: i64| {
            let neighbour = |at: i64| u32::try_from(at).ok();
            let (Some(row), Some(column)) = (neighbour(row), neighbour(column)) else {
                return true;
            };
            !set.contains(&PatchRef { span: patch.span, row, column })
        };
        let (row, column) = (i64::from(patch.row), i64::from(patch.column));
        if open(row - 1, column) {
            lines.push([x0 - half, y0 - half, x1 + half, y0 + half]);
        }
        if open(row + 1, column) {
            lines.push([x0 - half, y1 - half, x1 + half, y1 + half]);
        }
        if open(row, column - 1) {
            lines.push([x0 - half, y0 - half, x0 + half, y1 + half]);
        }
        if open(row, column + 1) {
            lines.push([x1 - half, y0 - half, x1 + half, y1 + half]);
        }
    }
    lines
}

/// The lines between the cells of a grid, in pixels, and the smaller side of a cell.
pub(super) fn grid_lines(
    meta: &TraceMeta,
    grid: &ShownGrid,
    content: &PixelRect,
    width: f32,
) -> (Vec<Corners>, f32) {
    let place = grid_on_picture(meta, grid);
    let [x0, y0, x1, y1] = place.clipped().on(content);
    let whole = place.on(content);
    let step =
        [(whole[2] - whole[0]) / grid.columns as f32, (whole[3] - whole[1]) / grid.rows as f32];
    let half = width / 2.0;
    let mut lines = Vec::new();
    for column in 0..=grid.columns {
        let x = whole[0] + step[0] * column as f32;
        if x >= x0 - 0.5 && x <= x1 + 0.5 {
            lines.push([x - half, y0, x + half, y1]);
        }
    }
    for row in 0..=grid.rows {
        let y = whole[1] + step[1] * row as f32;
        if y >= y0 - 0.5 && y <= y1 + 0.5 {
            lines.push([x0, y - half, x1, y + half]);
        }
    }
    (lines, step[0].min(step[1]))
}
