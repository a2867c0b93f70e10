//! The state of a presentation: stops, transitions between them, commands of keys and clickers. Independent of windows.

use crate::view::timeline::{Moment, Timeline, Walkthrough};

/// Commands from keys, a clicker or buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenterCommand {
    /// On to the next stop.
    Next,
    /// Back to the stop before, at once.
    Previous,
    /// To the first stop.
    First,
    /// To the last stop.
    Last,
    /// A digit of the number of a step.
    Digit(u32),
    /// To the step with the typed number.
    Jump,
    /// An empty stage, and back.
    Blank,
    /// The light that follows the pointer.
    Spotlight,
    /// Steps follow each other by their own timing.
    Run,
    /// The presentation's clock starts again.
    ResetClock,
}

/// The state of a presentation.
#[derive(Clone, Debug)]
pub struct Presentation {
    stops: usize,
    at: usize,
    from: Option<usize>,
    /// Start of the transition to `at`.
    since: f64,
    /// Start of the presentation.
    began: f64,
    /// Steps follow each other.
    pub runs: bool,
    /// After the last stop comes the first.
    pub loops: bool,
    /// The stage is empty.
    pub is_blank: bool,
    /// The pointer is a light.
    pub has_spotlight: bool,
    typed: String,
}

impl Presentation {
    /// A presentation that begins at `now` (seconds of any clock). A loop runs by itself.
    pub fn new(timeline: &Timeline<'_>, loops: bool, now: f64) -> Self {
        Self {
            stops: timeline.stops(),
            at: 0,
            from: None,
            since: now,
            began: now,
            runs: loops,
            loops,
            is_blank: false,
            has_spotlight: false,
            typed: String::new(),
        }
    }

    /// Begins with another stop than the first.
    pub fn begin_at(&mut self, stop: usize) {
        self.at = stop.min(self.stops.saturating_sub(1));
    }

    /// The stop that is shown or being gone to.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The stop after it.
    pub fn next(&self) -> Option<usize> {
        let next = self.at + 1;
        if next < self.stops { Some(next) } else { (self.loops && self.stops > 1).then_some(0) }
    }

    /// The digits that were typed so far.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Seconds since the presentation began.
    pub fn clock_secs(&self, now: f64) -> f64 {
        now - self.began
    }

    /// Carries out a command.
    pub fn act(&mut self, act: PresenterCommand, timeline: &Timeline<'_>, now: f64) {
        match act {
            PresenterCommand::Next => {
                if self.is_blank {
                    self.is_blank = false;
                } else if let Some(next) = self.next() {
                    // A second press does not wait for the transition to end.
                    self.go(next, Some(self.at), now);
                }
            }
            PresenterCommand::Previous => self.go(self.at.saturating_sub(1), None, now),
            PresenterCommand::First => self.go(0, None, now),
            PresenterCommand::Last => self.go(self.stops.saturating_sub(1), None, now),
            PresenterCommand::Digit(digit) => {
                if self.typed.len() < 4 {
                    self.typed.push_str(&digit.min(9).to_string());
                }
            }
            PresenterCommand::Jump => {
                let number: Option<usize> = std::mem::take(&mut self.typed).parse().ok();
                let stop = number
                    .and_then(|number| number.checked_sub(1))
                    .and_then(|step| timeline.stop_of_step(step));
                if let Some(stop) = stop {
                    self.go(stop, Some(self.at), now);
                }
            }
            PresenterCommand::Blank => self.is_blank = !self.is_blank,
            PresenterCommand::Spotlight => self.has_spotlight = !self.has_spotlight,
            PresenterCommand::Run => self.runs = !self.runs,
            PresenterCommand::ResetClock => self.began = now,
        }
        if !matches!(act, PresenterCommand::Digit(_)) {
            self.typed.clear();
        }
    }

    fn go(&mut self, to: usize, from: Option<usize>, now: f64) {
        self.is_blank = false;
        if to != self.at || from.is_none() {
            (self.from, self.at, self.since) = (from.filter(|&from| from != to), to, now);
        }
    }

    /// Goes on where steps follow each other.
    pub fn tick(&mut self, timeline: &Timeline<'_>, now: f64) {
        if !self.runs || self.is_blank {
            return;
        }
        if now - self.since >= self.arrival(timeline) + timeline.hold_secs(self.at) {
            match self.next() {
                Some(next) => self.go(next, Some(self.at), now),
                None => self.runs = false,
            }
        }
    }

    fn arrival(&self, timeline: &Timeline<'_>) -> f64 {
        if self.from.is_some() { timeline.transition_secs(self.at) } else { 0.0 }
    }

    /// The content of the stage at `now`.
    pub fn moment(&self, timeline: &Timeline<'_>, now: f64) -> Option<Moment> {
        timeline.way(self.from, self.at, now - self.since)
    }

    /// Seconds until the content changes by itself: 0 in a transition, `None` if it never will.
    pub fn rests_secs(&self, timeline: &Timeline<'_>, now: f64) -> Option<f64> {
        let since = now - self.since;
        let arrival = self.arrival(timeline);
        if since < arrival {
            Some(0.0)
        } else if self.runs && !self.is_blank {
            Some((arrival + timeline.hold_secs(self.at) - since).max(0.0))
        } else {
            None
        }
    }
}

/// Text of a stop: a step's caption with its marks, or a card's text.
pub fn stop_caption<'a>(
    walkthrough: &'a Walkthrough,
    timeline: &'a Timeline<'_>,
    stop: usize,
) -> &'a str {
    match timeline.step_of(stop).and_then(|step| walkthrough.steps.get(step)) {
        Some(step) => &step.caption,
        None => timeline.card(stop).map_or("", |card| &card.text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::view::ViewState;
    use crate::view::timeline::{Card, MomentContent, Shot, Step};

    fn walkthrough() -> Walkthrough {
        let step = |opacity: f64| Step {
            seconds: Some(2.0),
            transition_secs: 1.0,
            ..Step::new(ViewState { opacity, ..ViewState::default() }, "c")
        };
        Walkthrough {
            title: Some(Card { text: "T".into(), subtitle: String::new(), seconds: 1.0 }),
            steps: vec![step(0.1), step(0.2), step(0.3)],
            end: None,
        }
    }

    fn opacity(presentation: &Presentation, timeline: &Timeline<'_>, now: f64) -> f64 {
        match presentation.moment(timeline, now).unwrap().shown {
            MomentContent::One(Shot::View(state)) => state.opacity,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_clicker_goes_through_the_steps_and_back() {
        let walkthrough = walkthrough();
        let timeline = Timeline::new(&walkthrough);
        let mut presentation = Presentation::new(&timeline, false, 0.0);
        assert_eq!(
            presentation.rests_secs(&timeline, 5.0),
            None,
            "the title waits for the clicker"
        );
        presentation.act(PresenterCommand::Next, &timeline, 10.0);
        assert_eq!(presentation.rests_secs(&timeline, 10.5), Some(0.0), "it moves");
        assert_eq!(opacity(&presentation, &timeline, 11.0), 0.1);
        presentation.act(PresenterCommand::Next, &timeline, 20.0);
        let half = opacity(&presentation, &timeline, 20.5);
        assert!((half - 0.15).abs() < 1e-9, "{half}");
        presentation.act(PresenterCommand::Previous, &timeline, 20.6);
        assert_eq!(opacity(&presentation, &timeline, 20.6), 0.1, "back is at once");
        for _ in 0..9 {
            presentation.act(PresenterCommand::Next, &timeline, 30.0);
        }
        assert_eq!((presentation.at(), presentation.next()), (3, None), "the end stays");
    }

    #[test]
    fn a_number_and_enter_jump_to_a_step() {
        let walkthrough = walkthrough();
        let timeline = Timeline::new(&walkthrough);
        let mut presentation = Presentation::new(&timeline, false, 0.0);
        presentation.act(PresenterCommand::Digit(3), &timeline, 1.0);
        assert_eq!(presentation.typed(), "3");
        presentation.act(PresenterCommand::Jump, &timeline, 1.0);
        assert_eq!((presentation.at(), presentation.typed()), (3, ""));
        for digit in [9, 9] {
            presentation.act(PresenterCommand::Digit(digit), &timeline, 2.0);
        }
        presentation.act(PresenterCommand::Jump, &timeline, 2.0);
        assert_eq!(presentation.at(), 3, "no step 99");
        assert_eq!(stop_caption(&walkthrough, &timeline, 0), "T");
        assert_eq!(stop_caption(&walkthrough, &timeline, 3), "c");
    }

    #[test]
    fn a_loop_runs_by_itself_and_blank_holds_it() {
        let walkthrough = walkthrough();
        let timeline = Timeline::new(&walkthrough);
        let mut presentation = Presentation::new(&timeline, true, 0.0);
        presentation.tick(&timeline, 0.9);
        assert_eq!(presentation.at(), 0);
        presentation.tick(&timeline, 1.0);
        assert_eq!(presentation.at(), 1);
        presentation.act(PresenterCommand::Blank, &timeline, 1.5);
        presentation.tick(&timeline, 60.0);
        assert_eq!(presentation.at(), 1, "nothing goes on behind a blank stage");
        presentation.act(PresenterCommand::Next, &timeline, 60.0);
        assert!(
            !presentation.is_blank && presentation.at() == 1,
            "a click brings the stage back first"
        );
        for second in 0..8 {
            presentation.tick(&timeline, 70.0 + 4.0 * f64::from(second));
        }
        assert!(presentation.runs && presentation.at() < 4);
    }
}
