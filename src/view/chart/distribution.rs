//! The distribution of a number in groups of samples.

use super::plot::{Axis, horizontal, vertical};
use super::{BODY, Canvas, Chart, HEAD, MARGIN, series};
use crate::view::ColorMap;
use crate::view::figure::{Align, Ink, PixelRect, TextRun, fitted};

const WIDTH: f32 = 640.0;
const HEIGHT: f32 = 300.0;
const LEFT: f32 = 44.0;
const BINS: usize = 40;
const NEAR: f64 = 0.1;

/// A group of samples.
pub struct Group {
    /// Its name, with the number of its samples.
    pub name: String,
    /// The numbers; NaN is left out.
    pub values: Vec<f64>,
}

/// Histograms over each other, each as shares of its group.
pub struct DistributionChart<'a> {
    /// The title.
    pub title: &'a str,
    /// The line below it.
    pub subtitle: &'a str,
    /// The name of the number with its unit.
    pub axis: &'a str,
    /// The factor from a number to what is written.
    pub factor: f64,
    /// The groups.
    pub groups: &'a [Group],
}

impl DistributionChart<'_> {
    /// Lays the chart out.
    pub fn chart(&self, scale: f32) -> Chart {
        let width = 2.0 * MARGIN + LEFT + WIDTH;
        let height = HEAD + MARGIN + 52.0 + HEIGHT + 44.0 + MARGIN;
        let mut canvas = Canvas::new([width, height], scale, self.title, self.subtitle);
        let plot =
            PixelRect { x: MARGIN + LEFT, y: HEAD + MARGIN + 52.0, width: WIDTH, height: HEIGHT };
        let range = self.range();
        let shares: Vec<Vec<f64>> =
            self.groups.iter().map(|group| histogram(&group.values, range)).collect();
        let most = shares.iter().flatten().copied().fold(0.0, f64::max);
        let across = Axis { name: self.axis, range, factor: self.factor };
        let up =
            Axis { name: "% of the group", range: [0.0, most.max(0.01) * 1.05], factor: 100.0 };
        horizontal(&mut canvas, &plot, &across);
        vertical(&mut canvas, &plot, &up);
        let mut left = plot.x;
        for (index, (group, shares)) in self.groups.iter().zip(&shares).enumerate() {
            let point =
                |bin: usize, share: f64| plot.at([bin as f32 / BINS as f32, 1.0 - up.share(share)]);
            let mut before = point(0, 0.0);
            for (bin, &share) in shares.iter().enumerate() {
                let (from, to) = (point(bin, share), point(bin + 1, share));
                canvas.line(before, from, 2.0, series(index));
                canvas.line(from, to, 2.0, series(index));
                before = to;
            }
            canvas.line(before, point(BINS, 0.0), 2.0, series(index));
            let y = HEAD + MARGIN + 14.0;
            canvas.line([left, y - 4.0], [left + 22.0, y - 4.0], 3.0, series(index));
            let name = fitted(&group.name, false, (WIDTH / 2.0 - 40.0) / BODY);
            canvas.text(
                [left + 30.0, y],
                Align::Start,
                BODY,
                Ink::Text,
                vec![TextRun::plain(name)],
            );
            left += WIDTH / 2.0;
        }
        canvas.done(ColorMap::default())
    }

    fn range(&self) -> [f64; 2] {
        let all =
            self.groups.iter().flat_map(|group| &group.values).filter(|value| value.is_finite());
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
        match high - low {
            // An axis that nearly begins at 0 begins there.
            span if span > 0.0 && span.is_finite() => {
                [if (0.0..NEAR * span).contains(&low) { 0.0 } else { low }, high]
            }
            _ if low.is_finite() => [low - 0.5, low + 0.5],
            _ => [0.0, 1.0],
        }
    }
}

/// The share of the numbers in each bin of a range.
fn histogram(values: &[f64], [low, high]: [f64; 2]) -> Vec<f64> {
    let mut counts = vec![0.0; BINS];
    let mut all = 0.0_f64;
    for value in values.iter().filter(|value| value.is_finite()) {
        let bin = ((value - low) / (high - low) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1.0;
        all += 1.0;
    }
    counts.iter().map(|count| count / all.max(1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_whole_group() {
        let shares = histogram(&[0.0, 0.01, 1.0, f64::NAN], [0.0, 1.0]);
        assert_eq!((shares[0], shares[BINS - 1]), (2.0 / 3.0, 1.0 / 3.0));
        assert!(histogram(&[], [0.0, 1.0]).iter().all(|share| *share == 0.0));
    }
}
