//! The bars beside a relevancy map: the most relevant question words and the picture.

use super::content::Bar;
use super::sizes::{LEGEND, TICK};
use super::{Align, Figure, Fill, Ink, Label, PixelRect, TextRun, fitted, number, text_width};

/// Width of the panel beside the stage, and height of one bar with its label.
const PANEL: f32 = 320.0;
const GAP: f32 = 32.0;
const ROW: f32 = 52.0;
const TRACK: f32 = 8.0;
const TITLE: f32 = 28.0;

/// Places the bars beside a wide stage or below a tall one; returns the remaining part of the stage, for a picture of
/// the given aspect (width / height).
pub(super) fn place(figure: &mut Figure, aspect: f32, bars: &[Bar]) -> PixelRect {
    if bars.is_empty() {
        return figure.stage;
    }
    let s = figure.scale;
    let stage = figure.stage;
    let height = (TITLE + ROW * bars.len() as f32) * s;
    let beside = stage.width - (PANEL + GAP) * s >= stage.height * 0.6;
    let (rest, panel) = if beside {
        // The picture and its bars are centred as one group.
        let picture = (stage.width - (PANEL + GAP) * s).min(stage.height * aspect);
        let group = picture + (PANEL + GAP) * s;
        let left = stage.x + (stage.width - group) / 2.0;
        let rest = PixelRect { x: left, width: picture, ..stage };
        let top = stage.y + ((stage.height - height) / 2.0).max(0.0);
        (rest, PixelRect { x: rest.right() + GAP * s, y: top, width: PANEL * s, height })
    } else {
        // Also centred as one group, with bars as wide as the picture.
        let tallest = (stage.height - height - GAP * s).max(1.0);
        let picture = tallest.min(stage.width / aspect);
        let top = stage.y + ((stage.height - picture - GAP * s - height) / 2.0).max(0.0);
        let rest = PixelRect { y: top, height: picture, ..stage };
        let width = (picture * aspect).max(PANEL * s).min(stage.width);
        let x = stage.x + (stage.width - width) / 2.0;
        (rest, PixelRect { x, y: rest.bottom() + GAP * s, width, height })
    };
    figure.labels.push(Label {
        runs: vec![TextRun::plain("question words against the picture")],
        baseline: [panel.x, panel.y + TICK * s],
        align: Align::Start,
        size_px: TICK * s,
        ink: Ink::Muted,
    });
    let largest = bars.iter().map(|bar| bar.value).fold(0.0, f32::max);
    for (index, bar) in bars.iter().enumerate() {
        let top = panel.y + (TITLE + ROW * index as f32) * s;
        place_bar(figure, bar, largest, PixelRect { y: top, height: ROW * s, ..panel });
    }
    rest
}

fn place_bar(figure: &mut Figure, bar: &Bar, largest: f32, row: PixelRect) {
    let s = figure.scale;
    let value = number(f64::from(bar.value), f64::from(largest));
    let baseline = row.y + 20.0 * s;
    let room = row.width / (LEGEND * s) - text_width(&value, false) - 1.0;
    let strong = !bar.is_image;
    figure.labels.push(Label {
        runs: vec![TextRun { text: fitted(&bar.label, strong, room), strong }],
        baseline: [row.x, baseline],
        align: Align::Start,
        size_px: LEGEND * s,
        ink: Ink::Text,
    });
    figure.labels.push(Label {
        runs: vec![TextRun::plain(value)],
        baseline: [row.right(), baseline],
        align: Align::End,
        size_px: LEGEND * s,
        ink: Ink::Muted,
    });
    let track = PixelRect { x: row.x, y: baseline + 8.0 * s, width: row.width, height: TRACK * s };
    figure.fills.push(Fill { rect: track, ink: Ink::Hairline, alpha: 1.0 });
    let share = if largest > 0.0 { (bar.value / largest).clamp(0.0, 1.0) } else { 0.0 };
    let filled = PixelRect { width: track.width * share, ..track };
    let ink = if bar.is_image { Ink::Map(0.75) } else { Ink::Muted };
    figure.fills.push(Fill { rect: filled, ink, alpha: 1.0 });
}
