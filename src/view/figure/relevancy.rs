//! The bars beside a relevancy map: what the word depends on as parts of the whole, then the strongest patch and words.

use super::content::Bar;
use super::sizes::{LEGEND, TICK};
use super::{Align, Figure, Fill, Ink, Label, PixelRect, TextRun, fitted, percent, text_width};

/// Width of the panel beside the stage, and height of one bar with its label.
const PANEL: f32 = 320.0;
const GAP: f32 = 32.0;
const ROW: f32 = 36.0;
const TRACK: f32 = 6.0;
const TITLE: f32 = 28.0;
/// The part of a tall stage that the picture keeps where there are details to leave out.
const PICTURE: f32 = 0.5;
/// Space above the second title.
const BREAK: f32 = 12.0;

/// Height of both groups, in design units.
fn height_of(sums: usize, details: usize) -> f32 {
    let second = if details > 0 { BREAK + TITLE + ROW * details as f32 } else { 0.0 };
    TITLE + ROW * sums as f32 + second
}

/// Places the bars beside a wide stage or below a tall one; returns the remaining part of the stage, for a picture of
/// the given aspect (width / height).
pub(super) fn place(figure: &mut Figure, aspect: f32, bars: &[Bar]) -> PixelRect {
    if bars.is_empty() {
        return figure.stage;
    }
    let s = figure.scale;
    let stage = figure.stage;
    let (sums, mut details): (Vec<&Bar>, Vec<&Bar>) = bars.iter().partition(|bar| bar.is_sum);
    // The number of details, and the height of the picture, beside the bars and above them. On a small stage details are
    // left out, from the smallest on.
    let heights = |count: usize| height_of(sums.len(), count) * s;
    let most = |room: f32| (0..=details.len()).rev().find(|&count| heights(count) <= room);
    let beside_count = most(stage.height).unwrap_or(0);
    let below_count = most(stage.height * (1.0 - PICTURE) - GAP * s).unwrap_or(0);
    let beside_picture = ((stage.width - (PANEL + GAP) * s) / aspect).min(stage.height);
    let below_picture = (stage.height - heights(below_count) - GAP * s).min(stage.width / aspect);
    let beside = beside_picture > 0.0 && beside_picture >= below_picture;
    details.truncate(if beside { beside_count } else { below_count });
    let height = heights(details.len());
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
    let mut top = title(figure, "share of the relevancy", panel, panel.y);
    for bar in sums {
        place_bar(figure, bar, 1.0, PixelRect { y: top, height: ROW * s, ..panel });
        top += ROW * s;
    }
    if !details.is_empty() {
        // The scale of these bars is their own: a word is small beside the whole picture.
        top = title(figure, "strongest patch and words (own scale)", panel, top + BREAK * s);
        let largest = details.iter().map(|bar| bar.value).fold(0.0, f32::max);
        for bar in details {
            place_bar(figure, bar, largest, PixelRect { y: top, height: ROW * s, ..panel });
            top += ROW * s;
        }
    }
    rest
}

/// A title at `top`; returns the place below it.
fn title(figure: &mut Figure, text: &str, panel: PixelRect, top: f32) -> f32 {
    let s = figure.scale;
    figure.labels.push(Label {
        runs: vec![TextRun::plain(text)],
        baseline: [panel.x, top + TICK * s],
        align: Align::Start,
        size_px: TICK * s,
        ink: Ink::Muted,
        emphasis: None,
    });
    top + TITLE * s
}

fn place_bar(figure: &mut Figure, bar: &Bar, largest: f32, row: PixelRect) {
    let s = figure.scale;
    let value = percent(f64::from(bar.value), if bar.value < 0.1 { 1 } else { 0 });
    let baseline = row.y + 16.0 * s;
    let room = row.width / (LEGEND * s) - text_width(&value, false) - 1.0;
    let strong = !bar.is_image && !bar.is_sum;
    figure.labels.push(Label {
        runs: vec![TextRun { text: fitted(&bar.label, strong, room), strong }],
        baseline: [row.x, baseline],
        align: Align::Start,
        size_px: LEGEND * s,
        ink: Ink::Text,
        emphasis: None,
    });
    figure.labels.push(Label {
        runs: vec![TextRun::plain(value)],
        baseline: [row.right(), baseline],
        align: Align::End,
        size_px: LEGEND * s,
        ink: Ink::Muted,
        emphasis: None,
    });
    let track = PixelRect { x: row.x, y: baseline + 6.0 * s, width: row.width, height: TRACK * s };
    figure.fills.push(Fill { rect: track, ink: Ink::Hairline, alpha: 1.0 });
    let share = if largest > 0.0 { (bar.value / largest).clamp(0.0, 1.0) } else { 0.0 };
    let filled = PixelRect { width: track.width * share, ..track };
    let ink = if bar.is_image { Ink::Map(0.75) } else { Ink::Muted };
    figure.fills.push(Fill { rect: filled, ink, alpha: 1.0 });
}
