//! The axes of a plot of numbers.

use super::{BODY, Canvas, TICK};
use crate::view::figure::{Align, Ink, PixelRect, Ticks, text_width};

/// An axis: its name, the numbers at its ends, and the factor to the numbers that are written.
pub(super) struct Axis<'a> {
    pub name: &'a str,
    pub range: [f64; 2],
    pub factor: f64,
}

impl Axis<'_> {
    /// 0–1 along the axis.
    pub fn share(&self, value: f64) -> f32 {
        let [low, high] = self.range;
        if high > low { ((value - low) / (high - low)) as f32 } else { 0.5 }
    }

    /// Values and texts of the ticks.
    fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let ticks = Ticks::new(self.range.map(|end| end * self.factor), most);
        ticks.values.iter().map(|&value| (value / self.factor, ticks.text(value))).collect()
    }
}

/// The horizontal axis with lines across the plot.
pub(super) fn horizontal(canvas: &mut Canvas, plot: &PixelRect, axis: &Axis<'_>) {
    for (value, text) in axis.ticks((plot.width / 90.0) as usize) {
        let x = plot.x + axis.share(value) * plot.width;
        canvas.line([x, plot.y], [x, plot.bottom()], 1.0, Ink::Hairline);
        // The label of the last line must not leave the chart.
        let most = canvas.width - 4.0 - text_width(&text, false) * TICK / 2.0;
        canvas.plain([x.min(most), plot.bottom() + 18.0], Align::Centre, TICK, Ink::Muted, &text);
    }
    let centre = plot.x + plot.width / 2.0;
    canvas.plain([centre, plot.bottom() + 38.0], Align::Centre, BODY, Ink::Text, axis.name);
}

/// The vertical axis with lines across the plot; its name is above it.
pub(super) fn vertical(canvas: &mut Canvas, plot: &PixelRect, axis: &Axis<'_>) {
    for (value, text) in axis.ticks((plot.height / 60.0) as usize) {
        let y = plot.bottom() - axis.share(value) * plot.height;
        canvas.line([plot.x, y], [plot.right(), y], 1.0, Ink::Hairline);
        canvas.plain([plot.x - 8.0, y + 0.36 * TICK], Align::End, TICK, Ink::Muted, &text);
    }
    canvas.plain([plot.x, plot.y - 12.0], Align::Start, BODY, Ink::Text, axis.name);
}
