//! The numbers at the ends of the colour map, and their text in legend and caption.
//!
//! A map without its scale is incomplete, and a scale that is valid for only one of several maps is misleading:
//! [`ColorLimits`] records the part of the view that its numbers are valid for.

use super::super::{Drawing, Range, Unit, ViewState};
use super::text::{number, percent, range_text};
use crate::analysis::normalise::LOG_FLOOR;
use crate::analysis::patching::Site;

/// The values at the lower and the upper end of the colour map.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ColorLimits {
    /// Not known yet.
    #[default]
    Unknown,
    /// One pair for everything that is shown.
    One([f64; 2]),
    /// One pair for the first map and one for the second.
    Two([[f64; 2]; 2]),
    /// One pair for each map: the range of all lower ends and the range of all upper ends.
    Each {
        /// Smallest and largest lower end.
        lows: [f64; 2],
        /// Smallest and largest upper end.
        highs: [f64; 2],
    },
}

impl From<Option<[f64; 2]>> for ColorLimits {
    fn from(range: Option<[f64; 2]>) -> Self {
        range.map_or(Self::Unknown, Self::One)
    }
}

impl ColorLimits {
    /// The limits of maps with one pair each; a single pair if all are equal.
    pub fn of_each(ranges: &[[f32; 2]]) -> Self {
        let Some((&first, rest)) = ranges.split_first() else { return Self::Unknown };
        if rest.iter().all(|range| *range == first) {
            return Self::One(first.map(f64::from));
        }
        let over = |end: usize| {
            let [low, high] = ranges.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |found, r| {
                [found[0].min(r[end]), found[1].max(r[end])]
            });
            [f64::from(low), f64::from(high)]
        };
        Self::Each { lows: over(0), highs: over(1) }
    }

    /// The limits of two maps that are shown together.
    #[must_use]
    pub fn with_second(self, second: Self) -> Self {
        let each = |limits: Self| match limits {
            Self::One([low, high]) => Some([[low; 2], [high; 2]]),
            Self::Each { lows, highs } => Some([lows, highs]),
            Self::Two(_) | Self::Unknown => None,
        };
        match (self, second) {
            (first, second) if first == second => first,
            (Self::One(first), Self::One(second)) => Self::Two([first, second]),
            (first, second) => match each(first).zip(each(second)) {
                Some(([lows, highs], [other_lows, other_highs])) => {
                    let over = |[low, high]: [f64; 2], [other_low, other_high]: [f64; 2]| {
                        [low.min(other_low), high.max(other_high)]
                    };
                    Self::Each { lows: over(lows, other_lows), highs: over(highs, other_highs) }
                }
                None => first,
            },
        }
    }

    /// The pair that is valid for everything that is shown, if there is one.
    pub const fn one(&self) -> Option<[f64; 2]> {
        match self {
            Self::One(range) => Some(*range),
            Self::Two(_) | Self::Each { .. } | Self::Unknown => None,
        }
    }

    /// The texts at the low and the high end of the legend.
    pub(super) fn legend(&self, state: &ViewState) -> Option<[String; 2]> {
        let [low_mark, high_mark] = marks(state);
        let one = |[low, high]: [f64; 2]| ends_of(state, [low, high]);
        let marked = |[low, high]: [String; 2]| {
            let mark = |text: String, mark: &str| {
                if mark.is_empty() { text } else { format!("{text} ({mark})") }
            };
            [mark(low, &low_mark), mark(high, &high_mark)]
        };
        match *self {
            Self::Unknown => None,
            Self::One(range) => Some(marked(one(range))),
            Self::Two([first, second]) => {
                let ([a_low, a_high], [b_low, b_high]) = (one(first), one(second));
                Some(marked([format!("{a_low} | {b_low}"), format!("{a_high} | {b_high}")]))
            }
            Self::Each { lows, highs } => {
                let [low, high] = match state.normalise.range {
                    Range::Percentile { low, high } => [format!("p{low}"), format!("p{high}")],
                    _ => ["min".into(), "max".into()],
                };
                let log = if state.is_logarithmic() { " (log)" } else { "" };
                Some([
                    format!("{low} of each: {}", span_text(lows)),
                    format!("{high} of each: {}{log}", span_text(highs)),
                ])
            }
        }
    }

    /// The end of the caption: ", 0.000–0.184"; empty if nothing is known.
    pub(super) fn caption(&self, state: &ViewState) -> String {
        let how = match (state.normalise.range, state.is_logarithmic()) {
            (Range::Percentile { low, high }, log) => {
                format!(" (p{low}–p{high}{})", if log { ", log" } else { "" })
            }
            (_, true) => " (log)".to_owned(),
            _ => String::new(),
        };
        match *self {
            Self::Unknown => String::new(),
            Self::One(range) => format!(", {}{how}", pair_text(state, range)),
            Self::Two([first, second]) => {
                format!(", {} | {}{how}", pair_text(state, first), pair_text(state, second))
            }
            Self::Each { highs, .. } => {
                format!(", each on its own range{how}, up to {}", span_text(highs))
            }
        }
    }
}

/// The meaning of the ends, if they are not simply the smallest and the largest number.
fn marks(state: &ViewState) -> [String; 2] {
    let log = if state.is_logarithmic() { "log" } else { "" };
    match state.normalise.range {
        Range::Percentile { low, high } => {
            let comma = if log.is_empty() { "" } else { ", " };
            [format!("p{low}"), format!("p{high}{comma}{log}")]
        }
        _ => [String::new(), log.to_owned()],
    }
}

/// The effective ends: a logarithmic scale begins four decades below its upper end.
fn in_effect(state: &ViewState, [low, high]: [f64; 2]) -> [f64; 2] {
    if state.is_logarithmic() { [low.max(high * f64::from(LOG_FLOOR)), high] } else { [low, high] }
}

/// The unit of the numbers.
fn unit(state: &ViewState) -> Unit {
    if state.view.spec().drawing == Drawing::Matrix { state.quantity.unit() } else { Unit::One }
}

fn ends_of(state: &ViewState, range: [f64; 2]) -> [String; 2] {
    let unit = unit(state);
    let [low, high] = in_effect(state, range.map(|end| end * unit.factor()));
    let text = |value: f64, largest: f64| format!("{}{}", number(value, largest), unit.suffix());
    if state.is_logarithmic() {
        // The ends are decades apart, so each has its own number of digits.
        return [text(low, low), text(high, high)];
    }
    let largest = low.abs().max(high.abs());
    [text(low, largest), text(high, largest)]
}

fn pair_text(state: &ViewState, range: [f64; 2]) -> String {
    if !state.is_logarithmic() {
        let unit = unit(state);
        let text = range_text(range.map(|end| end * unit.factor()));
        return format!("{text}{}", unit.suffix());
    }
    let [low, high] = ends_of(state, range);
    format!("{low}–{high}")
}

/// "0.012–0.871", or one number if both are equal.
fn span_text(span: [f64; 2]) -> String {
    let largest = span[0].abs().max(span[1].abs());
    let [low, high] = span.map(|end| number(end, largest));
    if low == high {
        low
    } else if low.chars().all(|c| matches!(c, '0' | '.')) {
        // Several zeros would not make the lower end more precise.
        format!("0–{high}")
    } else {
        range_text(span)
    }
}

/// The numbers that a frame's layout displays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readout {
    /// The ends of the colour map.
    pub ends: ColorLimits,
    /// The values of the contour lines of the first and of the second map.
    pub contours: [Option<[f64; 4]>; 2],
    /// The share of the attention of the first and of the second map on what is shown of the pictures, where the map has
    /// one. Padding belongs to its picture.
    pub shares: [Option<f32>; 2],
    /// The part of each share that lies on padding, beside the cells of a density, where that is known.
    pub outside: [Option<f32>; 2],
    /// The causal graph, in the view of it.
    pub causal: Option<CausalNumbers>,
    /// The table of activation patching, in the view of it.
    pub patching: Option<PatchNumbers>,
}

/// The numbers of a table of activation patching in its caption and legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchNumbers {
    /// The copied activations.
    pub site: Site,
    /// Whether the values are first-order estimates.
    pub is_estimate: bool,
    /// Known values.
    pub done: usize,
    /// Cells of the table.
    pub places: usize,
    /// Whether values lie below and above the ends of the colours, −1 and 1.
    pub is_clipped: [bool; 2],
}

impl PatchNumbers {
    /// The texts at the ends of the colours.
    pub(super) fn ends(&self) -> [String; 2] {
        let end = |is_clipped, beyond: &str, at: &str| match is_clipped {
            true => format!("{beyond} {at}"),
            false => at.to_owned(),
        };
        [end(self.is_clipped[0], "≤", "−1"), end(self.is_clipped[1], "≥", "1")]
    }
}

/// The numbers of a causal graph in its caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CausalNumbers {
    /// The layer in the model's own numbers.
    pub layer: u32,
    /// The head.
    pub head: u32,
    /// Nodes that are shown, without the answer token.
    pub shown: usize,
    /// Nodes of the graph, without the answer token.
    pub nodes: usize,
    /// The largest distance that is shown.
    pub radius: usize,
}

impl Readout {
    /// The part that concerns the first map.
    #[must_use]
    pub const fn of_first(self) -> Self {
        let ends = match self.ends {
            ColorLimits::Two([first, _]) => ColorLimits::One(first),
            other => other,
        };
        let (contours, shares) = ([self.contours[0], None], [self.shares[0], None]);
        Self { ends, contours, shares, outside: [self.outside[0], None], ..self }
    }

    /// The numbers of two frames of one map each that are shown together.
    #[must_use]
    pub fn with_second(self, second: Self) -> Self {
        Self {
            ends: self.ends.with_second(second.ends),
            contours: [self.contours[0], second.contours[0]],
            shares: [self.shares[0], second.shares[0]],
            outside: [self.outside[0], second.outside[0]],
            causal: self.causal,
            patching: self.patching,
        }
    }

    /// The shares as lines `name = number` for the metadata of a figure, 0–1; empty where none is known.
    pub fn shares_as_lines(&self) -> String {
        let named = [
            ("picture_share", self.shares[0]),
            ("second_picture_share", self.shares[1]),
            ("padding_share", self.outside[0]),
            ("second_padding_share", self.outside[1]),
        ];
        let line = |(name, share): (&str, Option<f32>)| Some(format!("{name} = {:.6}\n", share?));
        named.into_iter().filter_map(line).collect()
    }

    /// The shares in the caption: of the attention on the picture, and the part of it on padding where that does not round
    /// to nothing.
    pub(super) fn notes(&self) -> String {
        let share = |share: f32| percent(f64::from(share), 1);
        let of_both = |shares: [Option<f32>; 2]| match shares.map(|one| one.map(share)) {
            [Some(first), Some(second)] if first != second => Some(format!("{first} | {second}")),
            [Some(one), _] | [None, Some(one)] => Some(one),
            [None, None] => None,
        };
        let Some(on_picture) = of_both(self.shares) else { return String::new() };
        let has_padding = self.outside.iter().flatten().any(|&share| share >= 5e-4);
        let padding = of_both(self.outside).filter(|_| has_padding);
        let padding = padding.map(|share| format!(" (padding {share})")).unwrap_or_default();
        format!(", {on_picture} on the picture{padding}")
    }
}

impl From<ColorLimits> for Readout {
    fn from(ends: ColorLimits) -> Self {
        Self { ends, ..Self::default() }
    }
}

impl From<Option<[f64; 2]>> for Readout {
    fn from(range: Option<[f64; 2]>) -> Self {
        ColorLimits::from(range).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Normalise, Scale};
    use super::*;

    fn state(range: Range, scale: Scale) -> ViewState {
        ViewState { normalise: Normalise { range, scale }, ..ViewState::default() }
    }

    #[test]
    fn a_legend_says_what_its_ends_are() {
        let linear = state(Range::PerMap, Scale::Linear);
        let log = state(Range::PerMap, Scale::Log);
        let percent = state(Range::Percentile { low: 2.0, high: 98.0 }, Scale::Linear);
        let one = ColorLimits::One([0.0, 0.184]);
        assert_eq!(one.legend(&linear), Some(["0.000".into(), "0.184".into()]));
        assert_eq!(one.legend(&log), Some(["0.0000184".into(), "0.184 (log)".into()]));
        assert_eq!(one.legend(&percent), Some(["0.000 (p2)".into(), "0.184 (p98)".into()]));
        let each = ColorLimits::of_each(&[[0.0, 0.5], [0.001, 0.25]]);
        assert_eq!(
            each.legend(&linear),
            Some(["min of each: 0–0.00100".into(), "max of each: 0.250–0.500".into()])
        );
        assert_eq!(
            each.legend(&percent),
            Some(["p2 of each: 0–0.00100".into(), "p98 of each: 0.250–0.500".into()])
        );
        let two = ColorLimits::Two([[0.0, 0.1], [0.0, 0.25]]);
        assert_eq!(two.legend(&linear), Some(["0.000 | 0.000".into(), "0.100 | 0.250".into()]));
        assert_eq!(ColorLimits::Unknown.legend(&linear), None);
        assert_eq!(ColorLimits::of_each(&[[0.0, 0.5]; 3]), ColorLimits::One([0.0, 0.5]));
    }

    #[test]
    fn a_caption_says_the_share_of_a_picture_and_of_padding() {
        let readout = |first, second, outside| Readout {
            shares: [first, second],
            outside,
            ..Readout::default()
        };
        assert_eq!(
            readout(Some(0.2), None, [Some(0.0001), None]).notes(),
            ", 20.0 % on the picture"
        );
        let none = [None, None];
        assert_eq!(readout(Some(0.209), None, none).notes(), ", 20.9 % on the picture");
        assert_eq!(readout(Some(0.0004), None, none).notes(), ", < 0.1 % on the picture");
        let both = readout(Some(0.2), None, [Some(0.05), None]).notes();
        assert_eq!(both, ", 20.0 % on the picture (padding 5.0 %)");
        let two = readout(Some(0.2), Some(0.001), none).notes();
        assert_eq!(two, ", 20.0 % | 0.1 % on the picture");
        assert_eq!(readout(Some(0.2), Some(0.2), none).notes(), ", 20.0 % on the picture");
        let two = readout(Some(0.2), Some(0.4), [Some(0.05), Some(0.0)]).notes();
        assert_eq!(two, ", 20.0 % | 40.0 % on the picture (padding 5.0 % | 0.0 %)");
    }

    #[test]
    fn a_caption_says_it_too() {
        let percent = state(Range::Percentile { low: 2.0, high: 98.0 }, Scale::Log);
        let one = ColorLimits::One([0.0, 0.184]);
        assert_eq!(one.caption(&percent), ", 0.0000184–0.184 (p2–p98, log)");
        let linear = state(Range::PerMap, Scale::Linear);
        assert_eq!(one.caption(&linear), ", 0.000–0.184");
        let each = ColorLimits::of_each(&[[0.0, 0.5], [0.001, 0.25]]);
        assert_eq!(each.caption(&linear), ", each on its own range, up to 0.250–0.500");
    }
}
