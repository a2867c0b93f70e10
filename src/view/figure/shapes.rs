//! A figure and its shapes.

use super::super::ColorMap;
use super::rect::PixelRect;
use super::text::{TextRun, text_of};
use super::theme::Ink;
use super::type_metrics::{CAP_HEIGHT, width as text_width};

/// The end of a label at its anchor point.
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
    /// The text, in runs of one weight.
    pub runs: Vec<TextRun>,
    /// The anchor point, on the baseline.
    pub baseline: [f32; 2],
    /// The end of the text at the anchor point.
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

    /// The rectangle of the text: advance width × height of capitals.
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
    /// The rectangle.
    pub rect: PixelRect,
    /// Its colour.
    pub ink: Ink,
    /// Opacity, 0–1.
    pub alpha: f32,
}

/// The colour map with the numbers at its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Legend {
    /// The ramp, low end left.
    pub bar: PixelRect,
    /// The colour map of the ramp.
    pub map: ColorMap,
    /// The texts at the ends.
    pub ends: [String; 2],
}

/// The layout of a frame: the rectangles of the data, and everything around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Width and height of the target in pixels.
    pub size: [u32; 2],
    /// Pixels per design unit: 1 at 1080 lines.
    pub scale: f32,
    /// The scissor rectangle of the data passes.
    pub stage: PixelRect,
    /// The rectangle of the content's unit square; extends beyond the stage when zoomed.
    pub content: PixelRect,
    /// The heads view: the number and the rectangle of each head, in drawing order.
    pub tiles: Vec<(u32, PixelRect)>,
    /// The colour ramp.
    pub legend: Option<Legend>,
    /// Rectangles over the data: hairlines, marks of the selection, bars.
    pub fills: Vec<Fill>,
    /// All text.
    pub labels: Vec<Label>,
}

impl Figure {
    /// The part of the content that is on the stage.
    pub fn visible(&self) -> PixelRect {
        self.content.intersection(&self.stage)
    }
}
