//! Curves over the unit square, such as ROC curves.

use super::plot::{Axis, horizontal, vertical};
use super::{BODY, Canvas, Chart, HEAD, MARGIN, series};
use crate::view::ColorMap;
use crate::view::figure::{Align, Ink, PixelRect, TextRun, fitted};

const SIDE: f32 = 460.0;
const LEFT: f32 = 40.0;
/// Width of the list of the curves.
const LIST: f32 = 300.0;
/// Height of a name in the list.
const ENTRY: f32 = 46.0;

/// One curve.
pub struct Curve {
    /// Its name.
    pub name: String,
    /// The line below the name.
    pub note: String,
    /// Points from (0, 0) to (1, 1).
    pub points: Vec<[f64; 2]>,
}

/// Curves over the unit square.
pub struct CurvesChart<'a> {
    /// The title.
    pub title: &'a str,
    /// The line below it.
    pub subtitle: &'a str,
    /// The names of the axes.
    pub axes: [&'a str; 2],
    /// The curves in the order of the list.
    pub curves: &'a [Curve],
}

impl CurvesChart<'_> {
    /// Lays the chart out.
    pub fn chart(&self, scale: f32) -> Chart {
        let width = 2.0 * MARGIN + LEFT + SIDE + 28.0 + LIST;
        let height = HEAD + MARGIN + 28.0 + SIDE + 44.0 + MARGIN;
        let mut canvas = Canvas::new([width, height], scale, self.title, self.subtitle);
        let plot =
            PixelRect { x: MARGIN + LEFT, y: HEAD + MARGIN + 28.0, width: SIDE, height: SIDE };
        let axis = |name| Axis { name, range: [0.0, 1.0], factor: 1.0 };
        horizontal(&mut canvas, &plot, &axis(self.axes[0]));
        vertical(&mut canvas, &plot, &axis(self.axes[1]));
        let at = |[x, y]: [f64; 2]| plot.at([x as f32, 1.0 - y as f32]);
        canvas.line(at([0.0, 0.0]), at([1.0, 1.0]), 1.0, Ink::Muted);
        let list = plot.right() + 28.0;
        for (index, curve) in self.curves.iter().enumerate() {
            for pair in curve.points.windows(2) {
                canvas.line(at(pair[0]), at(pair[1]), 2.0, series(index));
            }
            let y = plot.y + 10.0 + ENTRY * index as f32;
            canvas.line([list, y - 4.0], [list + 22.0, y - 4.0], 3.0, series(index));
            let room = (LIST - 34.0) / BODY;
            let name = vec![TextRun::strong(fitted(&curve.name, true, room))];
            canvas.text([list + 34.0, y], Align::Start, BODY, Ink::Text, name);
            let note = fitted(&curve.note, false, room);
            canvas.plain([list + 34.0, y + 18.0], Align::Start, BODY, Ink::Muted, &note);
        }
        canvas.done(ColorMap::default())
    }
}
