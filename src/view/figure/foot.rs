//! Caption and legend below the stage.

use super::super::{Blend, ColorMap, Drawing, ViewState};
use super::annotations::greedy_lines;
use super::sizes::LEGEND;
use super::{
    Align, CAP_HEIGHT, CONTOURS, ColorLimits, Figure, Fill, Ink, Label, Legend, PixelRect, Readout,
    TextRun, fitted, number, text_width,
};
use crate::analysis::normalise::CONTOUR_PERCENTILES;

/// Distance between the stage and the text below it.
pub(super) const STAGE_GAP: f32 = 14.0;
/// Height of one line of caption or legend.
pub(super) const LINE: f32 = 24.0;
/// Type size of the caption.
const CAPTION: f32 = 16.0;
const LEGEND_BAR: [f32; 2] = [208.0, 10.0];
/// A shorter colour ramp would not show the colours.
const LEAST_BAR: f32 = 56.0;
const LEGEND_GAP: f32 = 8.0;
/// Size of a contour line in the legend, and the distance between two.
const LINE_MARK: [f32; 2] = [18.0, 3.0];
const LINE_GAP: f32 = 16.0;

/// The key to the colours.
pub(super) enum Scale {
    /// A colour ramp between two numbers.
    Ramp { ends: [String; 2], map: ColorMap, bar: f32 },
    /// Contour lines, each with its colour and value.
    Lines([String; CONTOURS]),
}

impl Scale {
    fn from_state(state: &ViewState, readout: &Readout) -> Option<Self> {
        let spec = state.view.spec();
        // A map that is not drawn has no colours.
        if spec.drawing == Drawing::Tree
            || spec.drawing != Drawing::Table && spec.over_picture && state.opacity <= 0.0
        {
            return None;
        }
        if spec.drawing == Drawing::Table {
            let ends = readout.patching?.ends();
            return Some(Self::Ramp { ends, map: state.shown_colormap(), bar: LEGEND_BAR[0] });
        }
        if state.blend == Blend::Contours && state.view.spec().over_picture {
            return Some(Self::Lines(std::array::from_fn(|rank| {
                let percentile = CONTOUR_PERCENTILES[rank];
                let value = |levels: [f64; CONTOURS]| number(levels[rank], levels[CONTOURS - 1]);
                match readout.contours {
                    [Some(one), None] => format!("p{percentile} {}", value(one)),
                    [Some(a), Some(b)] => format!("p{percentile} {} | {}", value(a), value(b)),
                    _ => format!("p{percentile} of each"),
                }
            })));
        }
        let ends = readout.ends.legend(state)?;
        // A spotlight changes the picture's brightness; no colour map is visible.
        let is_light = state.blend == Blend::Spotlight && state.view.spec().over_picture;
        Some(if is_light && state.is_diverging() {
            let [_, high] = ends;
            let ends = ["0".into(), format!("± {high}")];
            Self::Ramp { ends, map: ColorMap::Grey, bar: LEGEND_BAR[0] }
        } else {
            let map = if is_light { ColorMap::Grey } else { state.shown_colormap() };
            Self::Ramp { ends, map, bar: LEGEND_BAR[0] }
        })
    }

    /// Words for an audience in place of the ends of many ranges, which cannot be told from a slide.
    pub(super) fn tell(&mut self, limits: &ColorLimits) {
        if let (Self::Ramp { ends, .. }, ColorLimits::Each { .. }) = (self, limits) {
            *ends = ["each on its own scale: low".into(), "high".into()];
        }
    }

    /// Reduces the key to a width in design units: first a shorter ramp, then fewer words.
    pub(super) fn fit(&mut self, available: f32) {
        let excess = self.width() - available;
        if excess <= 0.0 {
            return;
        }
        if let Self::Ramp { bar, .. } = self {
            *bar = (*bar - excess).max(LEAST_BAR);
        }
        if self.width() > available + 0.5 {
            match self {
                Self::Ramp { ends, .. } => {
                    for end in ends {
                        if let Some((_, numbers)) = end.split_once(": ") {
                            *end = numbers.to_owned();
                        }
                    }
                }
                Self::Lines(texts) => {
                    for text in texts {
                        if let Some((percentile, _)) = text.split_once(' ') {
                            *text = percentile.to_owned();
                        }
                    }
                }
            }
        }
    }

    /// Width in design units.
    fn width(&self) -> f32 {
        match self {
            Self::Ramp { ends: [low, high], bar, .. } => {
                let text = text_width(low, false) + text_width(high, false);
                text * LEGEND + 2.0 * LEGEND_GAP + bar
            }
            Self::Lines(texts) => {
                let text: f32 = texts.iter().map(|text| text_width(text, false)).sum();
                let marks = LINE_MARK[0] + LEGEND_GAP;
                text * LEGEND + CONTOURS as f32 * marks + (CONTOURS - 1) as f32 * LINE_GAP
            }
        }
    }

    /// Draws the key from `left` on, vertically centred on `centre`.
    fn place(&self, figure: &mut Figure, left: f32, centre: f32) {
        let s = figure.scale;
        let baseline = centre + CAP_HEIGHT * LEGEND * s / 2.0;
        let label = |text: &str, x: f32| Label {
            runs: vec![TextRun::plain(text)],
            baseline: [x, baseline],
            align: Align::Start,
            size_px: LEGEND * s,
            ink: Ink::Muted,
            emphasis: None,
        };
        match self {
            Self::Ramp { ends: [low, high], map, bar } => {
                let bar = PixelRect {
                    x: left + (text_width(low, false) * LEGEND + LEGEND_GAP) * s,
                    y: centre - LEGEND_BAR[1] * s / 2.0,
                    width: bar * s,
                    height: LEGEND_BAR[1] * s,
                };
                figure.labels.push(label(low, left));
                figure.labels.push(label(high, bar.right() + LEGEND_GAP * s));
                figure.legend = Some(Legend { bar, map: *map, ends: [low.clone(), high.clone()] });
            }
            Self::Lines(texts) => {
                let mut x = left;
                for (rank, text) in texts.iter().enumerate() {
                    let [width, height] = LINE_MARK.map(|side| side * s);
                    let rect = PixelRect { x, y: centre - height / 2.0, width, height };
                    figure.fills.push(Fill { rect, ink: Ink::Contour(rank), alpha: 1.0 });
                    x += width + LEGEND_GAP * s;
                    figure.labels.push(label(text, x));
                    x += text_width(text, false) * LEGEND * s + LINE_GAP * s;
                }
            }
        }
    }
}

/// Most lines of a caption; a longer one ends in an ellipsis.
const MOST_LINES: usize = 2;

/// Caption and legend below the stage.
pub(super) struct Foot<'a> {
    caption: Option<&'a [TextRun]>,
    /// The caption without its closing numbers, which the legend also shows. A caption written by the user has no such
    /// part.
    short: &'a [TextRun],
    /// Index of the share of the attention in the caption, which a long caption keeps.
    share: Option<usize>,
    pub(super) legend: Option<Scale>,
    scale: f32,
}

impl<'a> Foot<'a> {
    pub(super) fn new(
        state: &ViewState,
        caption: &'a [TextRun],
        readout: &Readout,
        scale: f32,
    ) -> Self {
        let notes = readout.notes();
        let short = match caption.split_last() {
            Some((last, rest))
                if state.caption.text.is_none()
                    && last.text.starts_with(", ")
                    && last.text != notes =>
            {
                rest
            }
            _ => caption,
        };
        let is_share = |run: &TextRun| !notes.is_empty() && run.text == notes;
        Self {
            share: caption.iter().rposition(is_share).filter(|_| state.caption.text.is_none()),
            caption: (state.caption.show && !caption.is_empty()).then_some(caption),
            short,
            legend: Scale::from_state(state, readout).filter(|_| state.legend),
            scale,
        }
    }

    fn width_of(&self, runs: &[TextRun]) -> f32 {
        columns_of(runs) * CAPTION * self.scale
    }

    fn caption_width(&self) -> f32 {
        self.width_of(self.caption.unwrap_or_default())
    }

    fn legend_width(&self) -> f32 {
        self.legend.as_ref().map_or(0.0, |legend| legend.width() * self.scale)
    }

    fn one_line_width(&self) -> f32 {
        let gap = if self.caption.is_some() && self.legend.is_some() { 32.0 } else { 0.0 };
        self.caption_width() + gap * self.scale + self.legend_width()
    }

    /// The width of the widest line if caption and legend are on separate lines.
    pub(super) fn widest(&self) -> f32 {
        self.caption_width().max(self.legend_width())
    }

    /// The lines of the caption in a width: whole on one line; else without the numbers of the legend, on several lines
    /// if need be.
    fn caption_lines(&self, width: f32) -> Vec<Vec<TextRun>> {
        let Some(caption) = self.caption else { return Vec::new() };
        let fits = |runs: &[TextRun]| self.width_of(runs) <= width + 0.5;
        let shown = match self.legend {
            Some(_) if !fits(caption) => self.short,
            _ => caption,
        };
        if fits(shown) {
            return vec![shown.to_vec()];
        }
        let columns = (width + 0.5) / (CAPTION * self.scale);
        let mut lines = lines_of(shown, columns);
        let is_long = lines.last().is_some_and(|last| columns_of(last) > columns + 1e-3);
        let (words, closing) = self.with_closing(shown, columns);
        if is_long {
            lines = lines_of(words, columns);
        }
        if let Some(last) = lines.last_mut().filter(|_| is_long) {
            *last = fitted_runs(last, columns - columns_of(closing));
            last.extend_from_slice(closing);
        }
        lines
    }

    /// The words of a caption that is cut, and the share after them, for which most of a line must have room.
    fn with_closing<'b>(
        &self,
        runs: &'b [TextRun],
        columns: f32,
    ) -> (&'b [TextRun], &'b [TextRun]) {
        let share = self.share.and_then(|at| Some((at, runs.get(at..=at)?)));
        match share {
            Some((at, share)) if columns_of(share) < 0.8 * columns => (&runs[..at], share),
            _ => (runs, &[]),
        }
    }

    pub(super) fn lines(&self, [left, right]: [f32; 2]) -> usize {
        let legend = usize::from(self.legend.is_some());
        if self.caption.is_none() || legend == 1 && self.one_line_width() <= right - left + 0.5 {
            return 1;
        }
        self.caption_lines(right - left).len() + legend
    }

    /// Places `lines` lines below the y coordinate `below`.
    pub(super) fn place(&self, figure: &mut Figure, column: [f32; 2], below: f32, lines: usize) {
        let s = self.scale;
        let line = |index: usize| below + (STAGE_GAP + LINE * (index as f32 + 0.5)) * s;
        let caption = self.caption_lines(column[1] - column[0]);
        for (index, runs) in caption.into_iter().enumerate() {
            figure.labels.push(Label {
                runs,
                baseline: [column[0], line(index) + CAP_HEIGHT * CAPTION * s / 2.0],
                align: Align::Start,
                size_px: CAPTION * s,
                ink: Ink::Text,
                emphasis: None,
            });
        }
        if let Some(legend) = &self.legend {
            let beside = lines == 1 && self.caption.is_some();
            let left = if beside { column[1] - self.legend_width() } else { column[0] };
            legend.place(figure, left, line(lines - 1));
        }
    }
}

/// Width of runs, as a multiple of the type size.
fn columns_of(runs: &[TextRun]) -> f32 {
    runs.iter().map(|run| text_width(&run.text, run.strong)).sum()
}

/// Breaks a caption into at most [`MOST_LINES`] lines that are no wider than `columns` (multiples of the type size); only
/// the last one may be. The dot between two parts
/// stays at the end of a line, and a share stays with its words.
fn lines_of(runs: &[TextRun], columns: f32) -> Vec<Vec<TextRun>> {
    let bound = |run: &TextRun| {
        let text = match run.text.strip_prefix(", ") {
            Some(numbers) => format!(", {}", numbers.replace(' ', "\u{a0}")),
            None => run.text.replace(" · ", "\u{a0}· "),
        };
        TextRun { text, ..run.clone() }
    };
    greedy_lines(&runs.iter().map(bound).collect::<Vec<_>>(), columns, MOST_LINES)
}

/// Runs cut to a width given as a multiple of the type size.
fn fitted_runs(runs: &[TextRun], mut available: f32) -> Vec<TextRun> {
    let mut out = Vec::new();
    let rest = |from: usize| -> f32 {
        runs[from..].iter().map(|run| text_width(&run.text, run.strong)).sum()
    };
    for (index, run) in runs.iter().enumerate() {
        if rest(index) <= available {
            out.extend_from_slice(&runs[index..]);
            break;
        }
        let width = text_width(&run.text, run.strong);
        // Keeps space for the ellipsis that a later run may need.
        if width <= available - 1.0 {
            out.push(run.clone());
            available -= width;
        } else {
            out.push(TextRun {
                text: fitted(&run.text, run.strong, available),
                strong: run.strong,
            });
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::text_of;
    use super::*;

    #[test]
    fn a_caption_that_is_cut_keeps_the_share_of_the_attention() {
        let runs = [
            TextRun::plain("attention · answer token 3 "),
            TextRun::strong("fox"),
            TextRun::plain(" · mean of 6 layers, mean of 8 heads · without BOS"),
            TextRun::plain(", 20.9 % on the picture"),
            TextRun::plain(", 0.000–0.184"),
        ];
        let foot =
            |share| Foot { caption: Some(&runs), short: &runs, share, legend: None, scale: 1.0 };
        for width in [240.0, 260.0, 320.0] {
            let lines = foot(Some(3)).caption_lines(width);
            let text: Vec<String> = lines.iter().map(|line| text_of(line)).collect();
            assert_eq!(text.len(), MOST_LINES, "{text:?}");
            assert!(text[1].ends_with("…, 20.9 % on the picture"), "{width}: {text:?}");
            for line in &lines {
                assert!(columns_of(line) * CAPTION <= width + 0.5, "{width}: {text:?}");
            }
        }
        // The words of the user have no such part.
        let own = foot(None).caption_lines(260.0);
        assert!(text_of(&own[1]).ends_with('…'), "{own:?}");
        // A caption that fits is whole.
        let whole = foot(Some(3)).caption_lines(1600.0);
        assert_eq!(text_of(&whole[0]), text_of(&runs));
    }
}
