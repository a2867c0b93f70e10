//! A matrix of layers × heads.

use super::{BODY, Canvas, Chart, FOOT, HEAD, MARGIN, TICK};
use crate::view::ColorMap;
use crate::view::figure::{Align, Ink, Legend, PixelRect, fitted, step_for, text_width};

/// Space for the numbers of the layers, and for those of the heads.
const LEFT: f32 = 46.0;
const TOP: f32 = 34.0;
/// Width of the cells of a narrow matrix, and of a wide one together.
const CELL: f32 = 64.0;
const CELLS: f32 = 1000.0;
/// Cells of this width have their number printed.
const PRINTED: f32 = 40.0;
/// Width of a chart at least, for its title.
const LEAST_WIDTH: f32 = 640.0;
const BAR: [f32; 2] = [220.0, 12.0];
/// Height of the line about frames.
const NOTE: f32 = 26.0;

/// A mark of a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellMark {
    /// Whether the cell has a frame.
    pub framed: bool,
    /// A second line in a printed cell, such as half of an interval.
    pub note: String,
}

/// One number for each layer and head.
pub struct MatrixChart<'a> {
    /// The title.
    pub title: &'a str,
    /// The line below it.
    pub subtitle: &'a str,
    /// The numbers of the layers.
    pub layers: &'a [u32],
    /// Number of heads of a layer.
    pub heads: usize,
    /// \[layers × heads\], NaN where there is none.
    pub values: &'a [f64],
    /// The numbers at the ends of the colour map.
    pub range: [f64; 2],
    /// The colours.
    pub map: ColorMap,
    /// Writes a number without its unit.
    pub print: &'a dyn Fn(f64) -> String,
    /// The texts at the ends of the legend.
    pub ends: [String; 2],
    /// Marks of the cells; may be empty.
    pub marks: &'a [CellMark],
    /// The meaning of a frame; empty without frames.
    pub frames: &'a str,
    /// The meaning of the second line of a cell.
    pub notes: &'a str,
}

impl MatrixChart<'_> {
    /// Lays the chart out.
    pub fn chart(&self, scale: f32) -> Chart {
        let (heads, cell) = (self.heads.max(1), self.cell_width());
        let inner = [cell * heads as f32, cell * self.layers.len() as f32];
        let width = (2.0 * MARGIN + LEFT + inner[0]).max(LEAST_WIDTH);
        let note = if self.frames.is_empty() { 0.0 } else { NOTE };
        let height = HEAD + MARGIN + TOP + inner[1] + FOOT + note + MARGIN;
        let mut canvas = Canvas::new([width, height], scale, self.title, self.subtitle);
        let content = PixelRect {
            x: MARGIN + LEFT,
            y: HEAD + MARGIN + TOP - 10.0,
            width: inner[0],
            height: inner[1],
        };
        self.axes(&mut canvas, &content, cell);
        for (at, &value) in self.values.iter().enumerate() {
            let (row, column) = ((at / heads) as u32, (at % heads) as u32);
            let rect = content.cell(row, column, self.layers.len() as u32, heads as u32);
            self.cell(&mut canvas, &rect, value, at);
        }
        self.legend(&mut canvas, content.x, content.bottom() + 20.0);
        canvas.done(self.map)
    }

    fn cell_width(&self) -> f32 {
        (CELLS / self.heads.max(1) as f32).clamp(6.0, CELL)
    }

    fn axes(&self, canvas: &mut Canvas, content: &PixelRect, cell: f32) {
        let (left, top) = (content.x, content.y);
        canvas.plain([left - 10.0, top - 24.0], Align::End, TICK, Ink::Muted, "layer ↓");
        canvas.plain([left, top - 24.0], Align::Start, TICK, Ink::Muted, "head →");
        for head in (0..self.heads).step_by(step_for(cell, 2.0 * TICK) as usize) {
            let x = left + (head as f32 + 0.5) * cell;
            canvas.plain([x, top - 7.0], Align::Centre, TICK, Ink::Muted, &head.to_string());
        }
        let step = step_for(cell, 1.3 * TICK) as usize;
        for (row, layer) in self.layers.iter().enumerate().step_by(step) {
            let y = top + (row as f32 + 0.5) * cell + 0.36 * TICK;
            canvas.plain([left - 10.0, y], Align::End, TICK, Ink::Muted, &layer.to_string());
        }
    }

    fn cell(&self, canvas: &mut Canvas, cell: &PixelRect, value: f64, at: usize) {
        let gap = if cell.width > 12.0 { 0.5 } else { 0.0 };
        let rect = PixelRect::from_edges(
            cell.x + gap,
            cell.y + gap,
            cell.right() - gap,
            cell.bottom() - gap,
        );
        if value.is_nan() {
            return canvas.rect(rect, Ink::Hairline, 0.5);
        }
        let [low, high] = self.range;
        let shade =
            if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) as f32 } else { 0.5 };
        canvas.rect(rect, Ink::Map(shade), 1.0);
        let mark = self.marks.get(at).cloned().unwrap_or_default();
        if mark.framed {
            let width = (cell.width / 24.0).clamp(1.0, 2.0);
            let inset = width + gap;
            let inner = PixelRect::from_edges(
                cell.x + inset,
                cell.y + inset,
                cell.right() - inset,
                cell.bottom() - inset,
            );
            canvas.frame(&inner, width, Ink::OnMap(shade));
        }
        if cell.width >= PRINTED {
            let [x, y] = cell.centre();
            let shift = if mark.note.is_empty() { 0.0 } else { 8.0 };
            let text = (self.print)(value);
            let size = TICK.min((cell.width - 6.0) / text_width(&text, false).max(0.1));
            canvas.plain(
                [x, y - shift + 0.36 * size],
                Align::Centre,
                size,
                Ink::OnMap(shade),
                &text,
            );
            if !mark.note.is_empty() {
                let size =
                    10.0_f32.min((cell.width - 6.0) / text_width(&mark.note, false).max(0.1));
                canvas.plain([x, y + 13.0], Align::Centre, size, Ink::OnMap(shade), &mark.note);
            }
        }
    }

    fn legend(&self, canvas: &mut Canvas, left: f32, top: f32) {
        let [low, high] = &self.ends;
        let start = left + text_width(low, false) * BODY + 8.0;
        let bar = PixelRect { x: start, y: top, width: BAR[0], height: BAR[1] };
        let baseline = top + BAR[1] - 1.5;
        canvas.plain([left, baseline], Align::Start, BODY, Ink::Text, low);
        canvas.plain([bar.right() + 8.0, baseline], Align::Start, BODY, Ink::Text, high);
        let bar_px = canvas.scaled(&bar);
        canvas.figure.legend = Some(Legend { bar: bar_px, map: self.map, ends: self.ends.clone() });
        if !self.frames.is_empty() {
            let y = top + NOTE;
            let room = (canvas.width - MARGIN - left - 20.0) / TICK;
            canvas.frame(&PixelRect { x: left, y, width: 12.0, height: 12.0 }, 1.5, Ink::Text);
            let text = match self.cell_width() >= PRINTED && !self.notes.is_empty() {
                true => format!("{} · {}", self.frames, self.notes),
                false => self.frames.to_owned(),
            };
            let text = fitted(&text, false, room);
            canvas.plain([left + 20.0, y + 10.5], Align::Start, TICK, Ink::Muted, &text);
        }
    }
}
