//! Charts of a report as plain data: matrices, rankings, curves, distributions and contact sheets, laid out as a [`Figure`].
//!
//! Sizes are in design units; a chart at scale 2 has the same layout with twice the pixels.

mod curves;
mod distribution;
mod matrix;
mod plot;
mod ranking;
mod sheet;

pub use curves::{Curve, CurvesChart};
pub use distribution::{DistributionChart, Group};
pub use matrix::{CellMark, MatrixChart};
pub use ranking::{RankedBar, RankingChart};
pub use sheet::{SheetChart, SheetTile, TILE};

use super::ColorMap;
use super::figure::{Align, Figure, Fill, Ink, Label, PixelRect, Stroke, TextRun, fitted, sides};

/// Colours of series that are told apart on light and dark surfaces, also by readers who confuse red and green (after Okabe and Ito).
pub const SERIES: [[u8; 3]; 8] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x8a, 0x8d, 0x93],
    [0x5b, 0x3a, 0x9b],
];

/// Type sizes.
const TITLE: f32 = 17.0;
const BODY: f32 = 13.0;
const TICK: f32 = 12.0;
/// Space around a chart.
const MARGIN: f32 = 24.0;
/// Height of the title and the line below it.
const HEAD: f32 = 62.0;
/// Height of the legend with the space above it.
const FOOT: f32 = 46.0;

/// A chart that is laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Shapes and labels.
    pub figure: Figure,
    /// The colour map of `Ink::Map`.
    pub map: ColorMap,
    /// The places of pictures, in pixels.
    pub pictures: Vec<PixelRect>,
}

/// The ink of a series.
fn series(index: usize) -> Ink {
    Ink::Fixed(SERIES[index % SERIES.len()])
}

/// Draws in design units.
struct Canvas {
    figure: Figure,
    width: f32,
}

impl Canvas {
    /// A chart with a title and a line below it.
    fn new([width, height]: [f32; 2], scale: f32, title: &str, subtitle: &str) -> Self {
        let size = [width, height].map(|side| (side * scale).ceil() as u32);
        let mut canvas = Self { figure: Figure::empty(size, scale), width };
        let room = width - 2.0 * MARGIN;
        canvas.text(
            [MARGIN, MARGIN + 13.0],
            Align::Start,
            TITLE,
            Ink::Text,
            vec![TextRun::strong(fitted(title, true, room / TITLE))],
        );
        canvas.plain(
            [MARGIN, MARGIN + 34.0],
            Align::Start,
            BODY,
            Ink::Muted,
            &fitted(subtitle, false, room / BODY),
        );
        canvas
    }

    fn text(&mut self, [x, y]: [f32; 2], align: Align, size: f32, ink: Ink, runs: Vec<TextRun>) {
        let scale = self.figure.scale;
        let baseline = [x * scale, y * scale];
        self.figure.labels.push(Label {
            runs,
            baseline,
            align,
            size_px: size * scale,
            ink,
            emphasis: None,
        });
    }

    fn plain(&mut self, at: [f32; 2], align: Align, size: f32, ink: Ink, text: &str) {
        self.text(at, align, size, ink, vec![TextRun::plain(text)]);
    }

    fn rect(&mut self, rect: PixelRect, ink: Ink, alpha: f32) {
        let rect = self.scaled(&rect);
        self.figure.fills.push(Fill { rect, ink, alpha });
    }

    /// The edges of a rectangle, inside of it.
    fn frame(&mut self, rect: &PixelRect, width: f32, ink: Ink) {
        for side in sides(rect, width) {
            self.rect(side, ink, 1.0);
        }
    }

    fn line(&mut self, from: [f32; 2], to: [f32; 2], width: f32, ink: Ink) {
        let scale = self.figure.scale;
        let [from, to] = [from, to].map(|point| point.map(|at| at * scale));
        self.figure.strokes.push(Stroke { from, to, width: width * scale, ink, alpha: 1.0 });
    }

    fn disc(&mut self, at: [f32; 2], diameter: f32, ink: Ink) {
        self.line(at, at, diameter, ink);
    }

    fn scaled(&self, rect: &PixelRect) -> PixelRect {
        let scale = self.figure.scale;
        PixelRect {
            x: rect.x * scale,
            y: rect.y * scale,
            width: rect.width * scale,
            height: rect.height * scale,
        }
    }

    fn done(self, map: ColorMap) -> Chart {
        Chart { figure: self.figure, map, pictures: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything of a chart lies inside of it, and no label on another.
    fn check(chart: &Chart, what: &str) {
        let [width, height] = chart.figure.size.map(|side| side as f32);
        let whole = PixelRect { x: 0.0, y: 0.0, width, height };
        let labels: Vec<PixelRect> = chart.figure.labels.iter().map(Label::bounds).collect();
        for (label, bounds) in chart.figure.labels.iter().zip(&labels) {
            assert!(
                whole.contains(bounds),
                "{what}: {:?} at {bounds:?} of {width} × {height}",
                label.text()
            );
        }
        for (at, bounds) in labels.iter().enumerate() {
            let hit = labels[..at].iter().position(|other| other.overlaps(bounds));
            assert!(hit.is_none(), "{what}: {:?} on another", chart.figure.labels[at].text());
        }
        assert!(chart.figure.fills.iter().all(|fill| whole.contains(&fill.rect)), "{what}");
        assert!(chart.pictures.iter().all(|picture| whole.contains(picture)), "{what}");
        for stroke in &chart.figure.strokes {
            assert!(stroke.from.iter().chain(&stroke.to).all(|at| at.is_finite()), "{what}");
        }
    }

    const LONG: &str = "a title or a name that is a good deal longer than the chart has room for, in one line, at any size of its type, and then some";

    #[test]
    fn matrices_of_every_size_stay_inside_their_chart() {
        for (layers, heads) in [(1, 1), (6, 8), (32, 32), (80, 64), (48, 16)] {
            let numbers: Vec<u32> = (0..layers).map(|layer| 2 * layer).collect();
            let values: Vec<f64> = (0..layers as usize * heads)
                .map(|at| if at % 7 == 3 { f64::NAN } else { at as f64 - 20.0 })
                .collect();
            let marks = vec![CellMark { framed: true, note: "± 12345.67".into() }; values.len()];
            let chart = MatrixChart {
                title: LONG,
                subtitle: LONG,
                layers: &numbers,
                heads,
                values: &values,
                range: [-20.0, values.len() as f64],
                map: ColorMap::Coolwarm,
                print: &|value| format!("{value:+.4}"),
                ends: ["−20.0 points".into(), "+5100.0 points".into()],
                marks: &marks,
                frames: "differs after the correction for all heads",
                notes: "± half of the 95 % interval",
            };
            check(&chart.chart(1.0), &format!("{layers} × {heads}"));
            let twice = chart.chart(2.0).figure;
            assert_eq!(twice.fills.len(), chart.chart(1.0).figure.fills.len());
        }
    }

    #[test]
    fn charts_of_extreme_numbers_stay_inside() {
        let numbers = [f64::NAN, -1e-9, 0.0, 1.0, 1e6];
        let heads: Vec<RankedBar> = numbers
            .iter()
            .map(|&value| RankedBar {
                name: "L100 H127".into(),
                value,
                interval: [value - 1.0, value + 1.0],
                stability: value.is_finite().then_some(0.004),
                ranks: "100–128".into(),
            })
            .collect();
        let chart = RankingChart {
            title: LONG,
            subtitle: LONG,
            axis: "points",
            factor: 100.0,
            among: "among the first 12",
            heads: &heads[1..],
        };
        check(&chart.chart(1.0), "ranking");
        let groups =
            [numbers.to_vec(), Vec::new()].map(|values| Group { name: LONG.into(), values });
        for groups in [&groups[..], &groups[1..]] {
            let chart = DistributionChart {
                title: LONG,
                subtitle: LONG,
                axis: "focus",
                factor: 1.0,
                groups,
            };
            check(&chart.chart(1.0), "distribution");
        }
        let curve = |_| Curve {
            name: LONG.into(),
            note: LONG.into(),
            points: vec![[0.0, 0.0], [0.5, 1.0], [1.0, 1.0]],
        };
        let curves: Vec<Curve> = (0..8).map(curve).collect();
        let chart =
            CurvesChart { title: LONG, subtitle: LONG, axes: ["right", "wrong"], curves: &curves };
        check(&chart.chart(1.0), "curves");
        let tile = |at: usize| SheetTile {
            picture: [Err("no trace was kept"), Ok(1.0), Ok(9.0), Ok(0.1)][at % 4],
            question: LONG.into(),
            answer: LONG.into(),
            expected: LONG.into(),
            correct: [None, Some(true), Some(false)][at % 3],
            numbers: LONG.into(),
        };
        for count in [1, 5, 12] {
            let tiles: Vec<SheetTile> = (0..count).map(tile).collect();
            let chart = SheetChart { title: LONG, subtitle: LONG, tiles: &tiles }.chart(1.0);
            check(&chart, "sheet");
            assert_eq!(
                chart.pictures.len(),
                tiles.iter().filter(|tile| tile.picture.is_ok()).count()
            );
        }
    }
}
