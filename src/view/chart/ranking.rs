//! A ranking of heads: the mean of each with its interval, and how often it stays among the first.

use super::plot::{Axis, horizontal};
use super::{BODY, Canvas, Chart, HEAD, MARGIN, TICK, series};
use crate::view::ColorMap;
use crate::view::figure::{Align, Ink, PixelRect, percent};

const PLOT: f32 = 460.0;
const BAR: f32 = 160.0;
const LEFT: f32 = 70.0;
const ROW: f32 = 24.0;
const TOP: f32 = 26.0;

/// A head in a ranking.
pub struct RankedBar {
    /// Its name.
    pub name: String,
    /// Its number.
    pub value: f64,
    /// The ends of the interval of the number.
    pub interval: [f64; 2],
    /// Share of the resamples in which it is among the first places, 0–1; `None` if it is not known.
    pub stability: Option<f64>,
    /// The interval of its rank.
    pub ranks: String,
}

/// The first heads of a ranking.
pub struct RankingChart<'a> {
    /// The title.
    pub title: &'a str,
    /// The line below it.
    pub subtitle: &'a str,
    /// The name of the number with its unit.
    pub axis: &'a str,
    /// The factor from a number to what is written.
    pub factor: f64,
    /// The header of the column of shares: "among the first 12".
    pub among: &'a str,
    /// The heads in their order.
    pub heads: &'a [RankedBar],
}

impl RankingChart<'_> {
    /// Lays the chart out.
    pub fn chart(&self, scale: f32) -> Chart {
        let rows = self.heads.len() as f32 * ROW;
        let width = 2.0 * MARGIN + LEFT + PLOT + 40.0 + BAR + 60.0 + 60.0;
        let height = HEAD + MARGIN + TOP + rows + 44.0 + MARGIN;
        let mut canvas = Canvas::new([width, height], scale, self.title, self.subtitle);
        let plot =
            PixelRect { x: MARGIN + LEFT, y: HEAD + MARGIN + TOP, width: PLOT, height: rows };
        let ends =
            self.heads.iter().flat_map(|head| [head.value, head.interval[0], head.interval[1]]);
        let (low, high) = ends
            .filter(|end| end.is_finite())
            .fold((0.0_f64, 0.0_f64), |(low, high), end| (low.min(end), high.max(end)));
        let axis = Axis {
            name: self.axis,
            range: [low, if high > low { high } else { low + 1.0 }],
            factor: self.factor,
        };
        horizontal(&mut canvas, &plot, &axis);
        let (bar, ranks) = (plot.right() + 40.0, plot.right() + 40.0 + BAR + 60.0);
        canvas.plain([bar, plot.y - 12.0], Align::Start, TICK, Ink::Muted, self.among);
        canvas.plain([ranks, plot.y - 12.0], Align::Start, TICK, Ink::Muted, "rank");
        for (index, head) in self.heads.iter().enumerate() {
            let y = plot.y + (index as f32 + 0.5) * ROW;
            let baseline = y + 0.36 * BODY;
            let x = |value: f64| plot.x + axis.share(value) * plot.width;
            canvas.plain([plot.x - 12.0, baseline], Align::End, BODY, Ink::Text, &head.name);
            if head.interval.iter().all(|end| end.is_finite()) {
                canvas.line([x(head.interval[0]), y], [x(head.interval[1]), y], 2.0, series(0));
            }
            canvas.disc([x(head.value), y], 8.0, series(0));
            let track = PixelRect { x: bar, y: y - 5.0, width: BAR, height: 10.0 };
            let share = head.stability.map(|share| share.clamp(0.0, 1.0));
            if let Some(share) = share {
                canvas.rect(track, Ink::Hairline, 1.0);
                canvas.rect(PixelRect { width: BAR * share as f32, ..track }, series(2), 1.0);
            }
            let text = share.map_or_else(|| "–".to_owned(), |share| percent(share, 0));
            canvas.plain([bar + BAR + 8.0, baseline], Align::Start, TICK, Ink::Text, &text);
            canvas.plain([ranks, baseline], Align::Start, TICK, Ink::Text, &head.ranks);
        }
        canvas.done(ColorMap::default())
    }
}
