//! Where things lie on the target: spans on their picture, outlines of patches, hairlines.
//!
//! Rectangles, not shaders, carry the geometry: a span is a quad with its own picture and map
//! coordinates, so that no pixel has to ask whether it is inside.

use super::passes::Corners;
use crate::trace::{ImageSpan, PatchRef, Trace};
use crate::view::figure::PixelRect;
use crate::view::{ImageForm, ViewState};
use std::collections::BTreeSet;

/// A rectangle of the picture (0–1), from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OnPicture {
    pub x0: f64,
    pub y0: f64,
    pub x1: f64,
    pub y1: f64,
}

impl OnPicture {
    pub const WHOLE: Self = Self { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 };

    pub fn corners(&self) -> Corners {
        [self.x0 as f32, self.y0 as f32, self.x1 as f32, self.y1 as f32]
    }

    /// The part on the picture.
    pub fn clipped(&self) -> Self {
        let clip = |value: f64| value.clamp(0.0, 1.0);
        Self { x0: clip(self.x0), y0: clip(self.y0), x1: clip(self.x1), y1: clip(self.y1) }
    }

    pub fn is_empty(&self) -> bool {
        self.x1 <= self.x0 || self.y1 <= self.y0
    }

    /// Whether nothing of the picture is left out.
    pub fn covers_all(&self) -> bool {
        const SLACK: f64 = 1e-9;
        self.x0 <= SLACK && self.y0 <= SLACK && self.x1 >= 1.0 - SLACK && self.y1 >= 1.0 - SLACK
    }

    /// Where `inner` lies within this rectangle, 0–1.
    pub fn share(&self, inner: &Self) -> Self {
        let x = |value: f64| (value - self.x0) / (self.x1 - self.x0);
        let y = |value: f64| (value - self.y0) / (self.y1 - self.y0);
        Self { x0: x(inner.x0), y0: y(inner.y0), x1: x(inner.x1), y1: y(inner.y1) }
    }

    /// In pixels, when the picture is laid on `content`.
    pub fn on(&self, content: &PixelRect) -> Corners {
        let x = |u: f64| (f64::from(content.x) + u * f64::from(content.width)) as f32;
        let y = |v: f64| (f64::from(content.y) + v * f64::from(content.height)) as f32;
        [x(self.x0), y(self.y0), x(self.x1), y(self.y1)]
    }
}

/// A rectangle of patches of a span on the picture that is shown: [row, column, rows, columns].
/// The picture's form decides between the preprocessed frame and the original one.
pub(super) fn patches_on_picture(
    trace: &Trace,
    state: &ViewState,
    span: &ImageSpan,
    [row, column, rows, columns]: [u32; 4],
) -> OnPicture {
    let first = span.preprocessed_from_patch(row, column);
    let last = span.preprocessed_from_patch(row + rows - 1, column + columns - 1);
    let (from, to) = ([first.x, first.y], [last.x + last.width, last.y + last.height]);
    let info = trace.meta().preprocess.get(span.picture as usize);
    let size = |size: [u32; 2]| size.map(|side| f64::from(side.max(1)));
    let (a, b, [width, height]) = match (state.picture.form, info) {
        (ImageForm::Original, Some(info)) => (
            span.original_from_preprocessed(from),
            span.original_from_preprocessed(to),
            size(info.original_size),
        ),
        (_, Some(info)) => (from, to, size(info.preprocessed_size)),
        (_, None) => (from, to, [span.preprocessed_rect.width, span.preprocessed_rect.height]),
    };
    OnPicture {
        x0: a[0].min(b[0]) / width,
        y0: a[1].min(b[1]) / height,
        x1: a[0].max(b[0]) / width,
        y1: a[1].max(b[1]) / height,
    }
}

/// A whole span on the picture that is shown.
pub(super) fn span_on_picture(trace: &Trace, state: &ViewState, span: &ImageSpan) -> OnPicture {
    patches_on_picture(trace, state, span, [0, 0, span.rows, span.columns])
}

/// Lines around the union of patches, in pixels: each side that no other patch of the set shares.
pub(super) fn outline(
    trace: &Trace,
    state: &ViewState,
    patches: &[PatchRef],
    content: &PixelRect,
    width: f32,
) -> Vec<Corners> {
    let set: BTreeSet<PatchRef> = patches.iter().copied().collect();
    let mut lines = Vec::new();
    for patch in &set {
        let Some(span) = trace.meta().spans.get(patch.span as usize) else { continue };
        if span.picture != state.picture.index {
            continue;
        }
        let place = patches_on_picture(trace, state, span, [patch.row, patch.column, 1, 1]);
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

/// The lines between the patches of a span, in pixels, and the smaller side of a patch.
pub(super) fn grid(
    trace: &Trace,
    state: &ViewState,
    span: &ImageSpan,
    content: &PixelRect,
    width: f32,
) -> (Vec<Corners>, f32) {
    let [x0, y0, x1, y1] = span_on_picture(trace, state, span).clipped().on(content);
    let whole = span_on_picture(trace, state, span).on(content);
    let step =
        [(whole[2] - whole[0]) / span.columns as f32, (whole[3] - whole[1]) / span.rows as f32];
    let half = width / 2.0;
    let mut lines = Vec::new();
    for column in 0..=span.columns {
        let x = whole[0] + step[0] * column as f32;
        if x >= x0 - 0.5 && x <= x1 + 0.5 {
            lines.push([x - half, y0, x + half, y1]);
        }
    }
    for row in 0..=span.rows {
        let y = whole[1] + step[1] * row as f32;
        if y >= y0 - 0.5 && y <= y1 + 0.5 {
            lines.push([x0, y - half, x1, y + half]);
        }
    }
    (lines, step[0].min(step[1]))
}
