//! A figure and its shapes.

use super::super::ColorMap;
use super::head_grid::HeadGrid;
use super::rect::PixelRect;
use super::text::{TextRun, text_of};
use super::theme::Ink;
use super::type_metrics::{CAP_HEIGHT, width as text_width};
use crate::analysis::density::Frame;

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
    /// The colour of its semi-bold runs, where they have their own.
    pub emphasis: Option<Ink>,
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

/// A straight line with round ends; a disc if both ends are equal. It is opaque: `alpha` mixes its colour with the
/// background, so that lines that cross or touch show no darker spots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// One end.
    pub from: [f32; 2],
    /// The other end.
    pub to: [f32; 2],
    /// Width in pixels; the diameter of a disc.
    pub width: f32,
    /// Its colour.
    pub ink: Ink,
    /// The share of the ink in its mix with the background, 0–1.
    pub alpha: f32,
}

/// A part of a picture, dimmed but for a rectangle. Rectangles on the picture are left, upper, right and lower edge, 0–1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// The rectangle on the target.
    pub rect: PixelRect,
    /// The picture.
    pub frame: Frame,
    /// The part of the picture.
    pub uv: [f32; 4],
    /// The part that is not dimmed.
    pub lit: [f32; 4],
    /// Colour of the border.
    pub border: Ink,
    /// Its width in pixels; 0 for none.
    pub border_px: f32,
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
    /// Wall and matrix: the place of every head on the content.
    pub grid: Option<HeadGrid>,
    /// The colour ramp.
    pub legend: Option<Legend>,
    /// Rectangles over the data: hairlines, marks of the selection, bars.
    pub fills: Vec<Fill>,
    /// All text.
    pub labels: Vec<Label>,
    /// Lines below the crops.
    pub strokes: Vec<Stroke>,
    /// Parts of pictures, the lowest first.
    pub crops: Vec<Crop>,
    /// The causal view: position in the sequence and rectangle of each node.
    pub nodes: Vec<(u32, PixelRect)>,
    /// The patch view: the rectangle of the cells, and the number of rows and columns.
    pub table: Option<(PixelRect, [u32; 2])>,
}

impl Figure {
    /// A figure whose stage fills the target, without any shape.
    pub fn empty(size: [u32; 2], scale: f32) -> Self {
        let whole = PixelRect { x: 0.0, y: 0.0, width: size[0] as f32, height: size[1] as f32 };
        Self {
            size,
            scale,
            stage: whole,
            content: whole,
            tiles: Vec::new(),
            grid: None,
            legend: None,
            fills: Vec::new(),
            labels: Vec::new(),
            strokes: Vec::new(),
            crops: Vec::new(),
            nodes: Vec::new(),
            table: None,
        }
    }

    /// The part of the content that is on the stage.
    pub fn visible(&self) -> PixelRect {
        self.content.intersection(&self.stage)
    }

    /// Row of the layer and number of the head under a point in pixels.
    pub fn head_at(&self, [x, y]: [f32; 2]) -> Option<[u32; 2]> {
        let grid = self.grid.as_ref()?;
        let visible = self.visible();
        let is_inside =
            x >= visible.x && x < visible.right() && y >= visible.y && y < visible.bottom();
        let content = &self.content;
        let index = |share: f32, count: u32| {
            ((share * count as f32).max(0.0) as u32).min(count.saturating_sub(1))
        };
        is_inside.then(|| {
            let row = index((y - content.y) / content.height, grid.layers);
            let column = index((x - content.x) / content.width, grid.heads);
            [row, grid.head(row, column)]
        })
    }

    /// Row and column of the cell of the patch view under a point in pixels.
    pub fn table_cell_at(&self, [x, y]: [f32; 2]) -> Option<[u32; 2]> {
        let (cells, [rows, columns]) = self.table?;
        let visible = cells.intersection(&self.stage);
        let is_inside =
            x >= visible.x && x < visible.right() && y >= visible.y && y < visible.bottom();
        let index = |share: f32, count: u32| ((share * count as f32) as u32).min(count - 1);
        (is_inside && rows > 0 && columns > 0).then(|| {
            [index((y - cells.y) / cells.height, rows), index((x - cells.x) / cells.width, columns)]
        })
    }

    /// The cell of a head of a layer, given by its row.
    pub fn head_cell(&self, [row, head]: [u32; 2]) -> Option<PixelRect> {
        let grid = self.grid.as_ref()?;
        (row < grid.layers && head < grid.heads).then(|| grid.cell(&self.content, row, head))
    }
}
