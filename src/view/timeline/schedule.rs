//! The schedule of a walkthrough: content at a time in seconds, and frames.

use super::walkthrough::{Card, Step, Walkthrough};
use crate::view::{Interpolated, Mix, ViewState, interpolate};

/// Longest duration of a caption's fade.
const CAPTION_FADE_SECONDS: f64 = 0.3;

/// The content of one frame: a card or a view.
#[derive(Clone, Debug, PartialEq)]
pub enum Shot {
    /// A card.
    Card(Card),
    /// A view of a trace.
    View(Box<ViewState>),
    /// The background alone: cards fade in and out through it.
    Blank,
}

/// The content of a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum MomentContent {
    /// One shot.
    One(Shot),
    /// Two shots, cross-faded: (1 − mix) × from + mix × to.
    Two {
        /// The old shot.
        from: Shot,
        /// The new shot.
        to: Shot,
        /// Weight of `to`, 0–1.
        mix: f64,
    },
}

/// A caption and its opacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Text with its marks; may be empty.
    pub caption: String,
    /// Opacity, 0–1.
    pub strength: f64,
}

/// A moment of a walkthrough.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The content of the frame.
    pub shown: MomentContent,
    /// The caption.
    pub said: Said,
    /// The index of the step, `None` on a card.
    pub step: Option<usize>,
    /// Whether the moment is in a transition between steps.
    pub is_passing: bool,
}

/// A stop: a card or a step.
struct Stop<'a> {
    what: Option<(usize, &'a Step)>,
    card: Option<&'a Card>,
    start: f64,
    transition: f64,
    end: f64,
}

/// A walkthrough with the times of its stops.
pub struct Timeline<'a> {
    stops: Vec<Stop<'a>>,
}

impl<'a> Timeline<'a> {
    /// Computes the times of a walkthrough.
    pub fn new(walkthrough: &'a Walkthrough) -> Self {
        let title = walkthrough.title.iter().map(|card| (None, Some(card)));
        let steps = walkthrough.steps.iter().enumerate().map(|step| (Some(step), None));
        let end = walkthrough.end.iter().map(|card| (None, Some(card)));
        let mut stops: Vec<Stop<'a>> = Vec::new();
        let mut start = 0.0;
        for (what, card) in title.chain(steps).chain(end) {
            // The first stop has no transition; cards have transitions as steps do.
            let transition = match (stops.is_empty(), what) {
                (true, _) => 0.0,
                (false, Some((_, step))) => step.transition_secs,
                (false, None) => 0.8,
            };
            let hold = match (what, card) {
                (Some((_, step)), _) => step.hold_secs(),
                (None, Some(card)) => card.seconds,
                (None, None) => 0.0,
            };
            let end = start + transition + hold;
            stops.push(Stop { what, card, start, transition, end });
            start = end;
        }
        Self { stops }
    }

    /// Total duration in seconds.
    pub fn seconds(&self) -> f64 {
        self.stops.last().map_or(0.0, |stop| stop.end)
    }

    /// Number of frames at a frame rate; at least two.
    pub fn frames(&self, fps: u32) -> u64 {
        ((self.seconds() * f64::from(fps)).round() as u64).max(2)
    }

    /// The steps with the start and end of their caption in seconds.
    pub fn captions(&self) -> impl Iterator<Item = (&'a Step, [f64; 2])> {
        self.stops
            .iter()
            .filter_map(|stop| stop.what.map(|(_, step)| (step, [stop.start, stop.end])))
    }

    /// The content at a time; the first picture before the start, and the last one after the end.
    pub fn at(&self, seconds: f64) -> Option<Moment> {
        let at = self.stop_at(seconds);
        let since = seconds - self.stops.get(at)?.start;
        self.way(at.checked_sub(1), at, since)
    }

    /// Number of cards and steps.
    pub fn stops(&self) -> usize {
        self.stops.len()
    }

    /// The step of a stop; `None` if it is a card.
    pub fn step_of(&self, stop: usize) -> Option<usize> {
        self.stops.get(stop)?.what.map(|(index, _)| index)
    }

    /// The stop of a step.
    pub fn stop_of_step(&self, step: usize) -> Option<usize> {
        self.stops.iter().position(|stop| stop.what.is_some_and(|(index, _)| index == step))
    }

    /// The card of a stop.
    pub fn card(&self, stop: usize) -> Option<&'a Card> {
        self.stops.get(stop)?.card
    }

    /// Start of the transition to a stop, in seconds.
    pub fn start_secs(&self, stop: usize) -> f64 {
        self.stops.get(stop).map_or(0.0, |stop| stop.start)
    }

    /// The stop that is shown at a time, or that the transition leads to.
    pub fn stop_at(&self, seconds: f64) -> usize {
        self.stops.iter().rposition(|stop| stop.start <= seconds).unwrap_or(0)
    }

    /// Duration of the transition to a stop, in seconds.
    pub fn transition_secs(&self, stop: usize) -> f64 {
        self.stops.get(stop).map_or(0.0, |stop| stop.transition)
    }

    /// Duration of a stop after its transition, in seconds.
    pub fn hold_secs(&self, stop: usize) -> f64 {
        self.stops.get(stop).map_or(0.0, |stop| stop.end - stop.start - stop.transition)
    }

    /// The content `since` seconds after the start of the transition from one stop to another; without a stop to start
    /// from, the new stop is shown at once.
    pub fn way(&self, from: Option<usize>, to: usize, since: f64) -> Option<Moment> {
        let stop = self.stops.get(to)?;
        let before = from.and_then(|from| self.stops.get(from));
        let since = since.max(0.0);
        let step = stop.what.map(|(index, _)| index);
        let share = if stop.transition > 0.0 { since / stop.transition } else { 1.0 };
        let (shown, is_passing) = match before {
            Some(before) if share < 1.0 => (between(before, stop, share), true),
            _ => (MomentContent::One(shot(stop)), false),
        };
        Some(Moment { shown, said: said(before, stop, since), step, is_passing })
    }
}

fn shot(stop: &Stop<'_>) -> Shot {
    match (stop.what, stop.card) {
        (Some((_, step)), _) => Shot::View(Box::new(step.state.clone())),
        (None, Some(card)) => Shot::Card(card.clone()),
        (None, None) => Shot::Blank,
    }
}

fn between(before: &Stop<'_>, stop: &Stop<'_>, share: f64) -> MomentContent {
    let easing = stop.what.map_or_else(Default::default, |(_, step)| step.easing);
    let mix = easing.at(share);
    let (Some((_, from)), Some((_, to))) = (before.what, stop.what) else {
        // Text over a picture is hard to read, so the old shot fades out before the new one fades in.
        return if mix < 0.5 {
            MomentContent::Two { from: shot(before), to: Shot::Blank, mix: 2.0 * mix }
        } else {
            MomentContent::Two { from: Shot::Blank, to: shot(stop), mix: 2.0 * mix - 1.0 }
        };
    };
    match interpolate(&from.state, &to.state, mix) {
        Interpolated::One(mut state) => {
            if from.state.second.is_none() && to.state.second.is_none() {
                nearer_first(&mut state);
            }
            MomentContent::One(Shot::View(state))
        }
        Interpolated::Two { from, to, mix } => {
            MomentContent::Two { from: Shot::View(from), to: Shot::View(to), mix }
        }
    }
}

/// The map with the larger weight comes first: legend and caption describe the first map.
fn nearer_first(state: &mut ViewState) {
    if let Some(second) = &mut state.second
        && let Mix::CrossFade { amount } = &mut second.mix
        && *amount > 0.5
    {
        std::mem::swap(&mut state.map, &mut second.map);
        *amount = 1.0 - *amount;
    }
}

/// The old caption fades out, then the new one fades in; an equal text stays.
fn said(before: Option<&Stop<'_>>, stop: &Stop<'_>, since: f64) -> Said {
    let caption =
        |stop: &Stop<'_>| stop.what.map_or("", |(_, step)| step.caption.as_str()).to_owned();
    let new = caption(stop);
    let Some(old) = before.map(caption) else { return Said { caption: new, strength: 1.0 } };
    let fade = CAPTION_FADE_SECONDS.min(stop.transition / 2.0);
    if old == new || since >= 2.0 * fade {
        return Said { caption: new, strength: 1.0 };
    }
    // If only the marked words of a sentence change, there is no fade.
    if super::caption_text(&old) == super::caption_text(&new) {
        let caption = if since < fade { old } else { new };
        return Said { caption, strength: 1.0 };
    }
    if since < fade {
        Said { caption: old, strength: 1.0 - since / fade }
    } else {
        Said { caption: new, strength: since / fade - 1.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::view::{AxisSet, Easing};

    fn walkthrough() -> Walkthrough {
        let mut other = ViewState::default();
        other.map.layers = AxisSet::single(2);
        let step = |state, caption: &str| Step {
            seconds: Some(1.0),
            transition_secs: 1.0,
            easing: Easing::Linear,
            ..Step::new(state, caption)
        };
        Walkthrough {
            title: Some(Card { text: "T".into(), subtitle: String::new(), seconds: 2.0 }),
            steps: vec![step(ViewState::default(), "one"), step(other, "two")],
            end: None,
        }
    }

    #[test]
    fn steps_follow_each_other_without_gaps() {
        let walkthrough = walkthrough();
        let timeline = Timeline::new(&walkthrough);
        assert_eq!((timeline.seconds(), timeline.frames(30)), (6.0, 180));
        let second = timeline.stop_of_step(1).unwrap();
        assert_eq!(timeline.start_secs(second) + timeline.transition_secs(second), 5.0);
        assert!(matches!(timeline.at(1.9).unwrap().shown, MomentContent::One(Shot::Card(_))));
        let MomentContent::Two { from, to, mix } = timeline.at(2.25).unwrap().shown else {
            unreachable!()
        };
        assert!(matches!((from, to), (Shot::Card(_), Shot::Blank)));
        assert!((mix - 0.5).abs() < 1e-9);
        assert_eq!(timeline.at(2.5).unwrap().step, Some(0));
        // A change of layer in the same trace is a cross-fade of the maps, not of the frames.
        let MomentContent::One(Shot::View(state)) = timeline.at(4.25).unwrap().shown else {
            unreachable!()
        };
        assert_eq!(state.second.unwrap().mix, Mix::CrossFade { amount: 0.25 });
        // Past half-way the new map comes first.
        let MomentContent::One(Shot::View(state)) = timeline.at(4.75).unwrap().shown else {
            unreachable!()
        };
        assert_eq!(state.map.layers, AxisSet::single(2));
        assert_eq!(state.second.unwrap().mix, Mix::CrossFade { amount: 0.25 });
        assert_eq!(timeline.at(99.0).unwrap().step, Some(1));
    }

    #[test]
    fn captions_fade_one_after_the_other() {
        let walkthrough = walkthrough();
        let timeline = Timeline::new(&walkthrough);
        let said = |seconds: f64| timeline.at(seconds).unwrap().said;
        assert_eq!(said(3.5), Said { caption: "one".into(), strength: 1.0 });
        assert_eq!(said(4.15).caption, "one");
        assert!((said(4.15).strength - 0.5).abs() < 1e-9);
        assert_eq!(said(4.45).caption, "two");
        assert_eq!(said(5.5), Said { caption: "two".into(), strength: 1.0 });
    }
}
