//! A contact sheet: samples as tiles with a picture and a few lines of text.

use super::{BODY, Canvas, Chart, HEAD, MARGIN, TICK, series};
use crate::view::ColorMap;
use crate::view::figure::{Align, Ink, PixelRect, TextRun, fitted};

/// Side of the square that a picture is fitted into, in design units.
pub const TILE: f32 = 264.0;
const GAP: f32 = 22.0;
const COLUMNS: usize = 4;
/// Height of the lines below a picture.
const LINES: f32 = 88.0;

/// A sample.
pub struct SheetTile {
    /// Width / height of its picture, or the reason why there is none.
    pub picture: Result<f32, &'static str>,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// The expected answer; empty without one.
    pub expected: String,
    /// Whether the answer is an expected one.
    pub correct: Option<bool>,
    /// The number by which the samples are sorted, and others.
    pub numbers: String,
}

/// Samples in their order, row by row.
pub struct SheetChart<'a> {
    /// The title.
    pub title: &'a str,
    /// The line below it.
    pub subtitle: &'a str,
    /// The samples.
    pub tiles: &'a [SheetTile],
}

impl SheetChart<'_> {
    /// Lays the chart out. Its pictures have the order of the tiles that have one.
    pub fn chart(&self, scale: f32) -> Chart {
        let columns = self.tiles.len().clamp(1, COLUMNS);
        let rows = self.tiles.len().div_ceil(columns);
        let [across, down] = [TILE + GAP, TILE + LINES + GAP];
        let width = 2.0 * MARGIN + across * COLUMNS as f32 - GAP;
        let height = HEAD + MARGIN + down * rows as f32 - GAP + MARGIN;
        let mut canvas = Canvas::new([width, height], scale, self.title, self.subtitle);
        let mut pictures = Vec::new();
        for (index, tile) in self.tiles.iter().enumerate() {
            let left = MARGIN + across * (index % columns) as f32;
            let top = HEAD + MARGIN + down * (index / columns) as f32;
            let square = PixelRect { x: left, y: top, width: TILE, height: TILE };
            match tile.picture {
                Ok(aspect) => {
                    let fitted = square.fit(aspect);
                    // Pictures stand on their text.
                    let at =
                        PixelRect { y: square.bottom() - fitted.height, x: square.x, ..fitted };
                    pictures.push(canvas.scaled(&at));
                }
                Err(reason) => {
                    canvas.rect(square, Ink::Hairline, 0.4);
                    let [x, y] = square.centre();
                    canvas.plain([x, y], Align::Centre, TICK, Ink::Muted, reason);
                }
            }
            lines(&mut canvas, tile, [left, square.bottom()]);
        }
        Chart { pictures, ..canvas.done(ColorMap::default()) }
    }
}

fn lines(canvas: &mut Canvas, tile: &SheetTile, [left, top]: [f32; 2]) {
    let mut line = |down: f32, size: f32, ink: Ink, text: &str, strong: bool| {
        let text = fitted(text, strong, TILE / size);
        let run = if strong { TextRun::strong(text) } else { TextRun::plain(text) };
        canvas.text([left, top + down], Align::Start, size, ink, vec![run]);
    };
    let ink = if tile.correct == Some(false) { series(1) } else { Ink::Text };
    line(20.0, TICK, Ink::Muted, &tile.question, false);
    line(39.0, BODY, ink, &tile.answer, true);
    if !tile.expected.is_empty() {
        line(57.0, TICK, Ink::Text, &format!("expected: {}", tile.expected), false);
    }
    line(76.0, TICK, Ink::Muted, &tile.numbers, false);
}
