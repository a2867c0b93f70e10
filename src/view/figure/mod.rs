//! A figure as plain data: where the stage is, and every label, line and bar around it.
//!
//! The GPU's text pass and the SVG writer draw the same [`Figure`], so a saved vector figure and
//! the frame on screen agree to the pixel. Sizes are designed at 1080 lines and scale with the
//! target; nothing here knows a GPU or a font file.

pub mod annotations;
mod axes;
mod caption;
mod color_limits;
mod content;
mod layout;
mod relevancy;
mod theme;
mod type_metrics;

use super::ColorMap;
pub use caption::{Run, caption, number, range_text, text_of, token_text};
pub use color_limits::{ColorLimits, Readout};
pub use content::{Axis, AxisToken, Bar, Content, HeadTile, patches_frame};
pub use layout::{DESIGN_LINES, scale_of};
pub use theme::{CONTOURS, Ink, Palette, contour_color, contrast, luminance};
pub use type_metrics::{CAP_HEIGHT, fitted, width as text_width};

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

    /// The part that lies in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        Self::from_edges(x, y, self.right().min(other.right()), self.bottom().min(other.bottom()))
    }

    /// Whether another rectangle lies within, up to a thousandth of a pixel.
    pub fn contains(&self, other: &Self) -> bool {
        const SLACK: f32 = 1e-3;
        other.x >= self.x - SLACK
            && other.y >= self.y - SLACK
            && other.right() <= self.right() + SLACK
            && other.bottom() <= self.bottom() + SLACK
    }

    /// Whether the rectangles share an area.
    pub fn overlaps(&self, other: &Self) -> bool {
        let both = self.intersection(other);
        both.width > 1e-3 && both.height > 1e-3
    }

    /// Where a point of the unit square lies when the square is laid on this rectangle.
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

/// Which end of a label its point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Align {
    /// The text begins at the point.
    Start,
    /// The text is centred on the point.
    Centre,
    /// The text ends at the point.
    End,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// What it says.
    pub runs: Vec<Run>,
    /// A point on the baseline.
    pub baseline: [f32; 2],
    /// Which end of the text the point is.
    pub align: Align,
    /// Type size in pixels.
    pub size_px: f32,
    /// Its colour.
    pub ink: Ink,
}

impl Label {
    /// Its text without weights.
    pub fn text(&self) -> String {
        text_of(&self.runs)
    }

    /// What it covers: its advance width, and its capitals' height.
    pub fn bounds(&self) -> PixelRect {
        let width: f32 = self.runs.iter().map(|run| text_width(&run.text, run.strong)).sum();
        let width = width * self.size_px;
        let [x, y] = self.baseline;
        let left = match self.align {
            Align::Start => x,
            Align::Centre => x - width / 2.0,
            Align::End => x - width,
        };
        let height = CAP_HEIGHT * self.size_px;
        PixelRect { x: left, y: y - height, width, height }
    }
}

/// A rectangle of one colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// Where.
    pub rect: PixelRect,
    /// Its colour.
    pub ink: Ink,
    /// 0–1.
    pub alpha: f32,
}

/// The colour map with the numbers at its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Legend {
    /// The ramp, low end left.
    pub bar: PixelRect,
    /// Whose colours it shows.
    pub map: ColorMap,
    /// What stands at the ends.
    pub ends: [String; 2],
}

/// Everything around (and the place of) the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Width and height of the target in pixels.
    pub size: [u32; 2],
    /// Pixels a design unit: 1 at 1080 lines.
    pub scale: f32,
    /// Where data may be drawn: the scissor of the data passes.
    pub stage: PixelRect,
    /// Where the content's unit square lies; reaches beyond the stage when zoomed.
    pub content: PixelRect,
    /// The heads view: which head is drawn where, in drawing order.
    pub tiles: Vec<(u32, PixelRect)>,
    /// The colour ramp.
    pub legend: Option<Legend>,
    /// Rectangles over the data: hairlines, marks of the selection, bars.
    pub fills: Vec<Fill>,
    /// All text.
    pub labels: Vec<Label>,
}

impl Figure {
    /// A figure that is nothing but a dress.
    pub fn of_dress(dress: &annotations::Annotations, size: [u32; 2]) -> Self {
        let whole = PixelRect { x: 0.0, y: 0.0, width: size[0] as f32, height: size[1] as f32 };
        Self {
            size,
            scale: scale_of(size, 1.0),
            stage: whole,
            content: whole,
            tiles: Vec::new(),
            legend: None,
            fills: dress.fills.clone(),
            labels: dress.labels.clone(),
        }
    }

    /// The part of the content that is on the stage.
    pub fn visible(&self) -> PixelRect {
        self.content.intersection(&self.stage)
    }
}
