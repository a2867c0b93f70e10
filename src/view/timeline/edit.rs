//! Edits of a walkthrough by the editor in the window. Plain data; an invalid edit changes nothing.

use super::schedule::Timeline;
use super::walkthrough::{Card, LONGEST_CAPTION, LONGEST_SECONDS, MOST_STEPS, Step, Walkthrough};
use crate::view::{Easing, MergeKey, ViewState};

/// The shortest duration of a stop that can be set by hand, in seconds.
pub const SHORTEST_HOLD_SECONDS: f64 = 0.1;

/// A change of a walkthrough. Steps are counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Inserts steps before the step of this number (or at the end).
    Add(usize, Vec<Step>),
    /// Removes a step.
    Remove(usize),
    /// Inserts a copy of a step after it.
    Duplicate(usize),
    /// Moves a step so that it has the second number afterwards.
    Move(usize, usize),
    /// Replaces the view of a step, including its trace.
    View(usize, Box<ViewState>),
    /// Replaces the caption of a step.
    Caption(usize, String),
    /// Replaces the presenter's notes of a step.
    Notes(usize, String),
    /// Sets the duration of a step in seconds; `None`: the reading time of its caption.
    Hold(usize, Option<f64>),
    /// Sets the duration of the transition to a step, in seconds.
    Transition(usize, f64),
    /// Sets the easing of the transition to a step.
    Easing(usize, Easing),
    /// Sets the card before the first step.
    Title(Option<Card>),
    /// Sets the card after the last step.
    End(Option<Card>),
    /// Keeps the part between two times, in seconds of the timeline.
    Trim([f64; 2]),
    /// Changes all durations by one factor, so that the total is this many seconds.
    Stretch(f64),
}

impl Edit {
    /// Typing in one field and dragging one edge are one undo step each.
    pub const fn merges_as(&self) -> Option<MergeKey> {
        match self {
            Self::Caption(step, _) => Some(("caption", *step)),
            Self::Notes(step, _) => Some(("notes", *step)),
            Self::Hold(step, _) => Some(("hold", *step)),
            Self::Transition(step, _) => Some(("transition", *step)),
            Self::Title(Some(_)) => Some(("title", 0)),
            Self::End(Some(_)) => Some(("end", 0)),
            Self::Stretch(_) => Some(("stretch", 0)),
            Self::Add(..)
            | Self::Remove(_)
            | Self::Duplicate(_)
            | Self::Move(..)
            | Self::View(..)
            | Self::Easing(..)
            | Self::Title(None)
            | Self::End(None)
            | Self::Trim(_) => None,
        }
    }
}

fn seconds_within(seconds: f64, least: f64) -> f64 {
    if seconds.is_finite() { seconds.clamp(least, LONGEST_SECONDS) } else { least }
}

/// Seconds rounded to hundredths; the file needs no finer value.
fn rounded(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

impl Walkthrough {
    /// The walkthrough after an edit; an unchanged copy if the edit does not fit it. The last remaining step cannot be
    /// removed, because a walkthrough needs at least one.
    #[must_use]
    pub fn edited(&self, edit: &Edit) -> Self {
        let mut next = self.clone();
        match edit {
            Edit::Add(at, steps) => {
                let at = (*at).min(self.steps.len());
                let room = MOST_STEPS.saturating_sub(self.steps.len());
                next.steps.splice(at..at, steps.iter().take(room).cloned());
            }
            Edit::Remove(at) if *at < self.steps.len() && self.steps.len() > 1 => {
                next.steps.remove(*at);
            }
            Edit::Duplicate(at) => {
                if let Some(step) = self.steps.get(*at)
                    && self.steps.len() < MOST_STEPS
                {
                    next.steps.insert(at + 1, step.clone());
                }
            }
            Edit::Move(from, to) if *from < self.steps.len() => {
                let step = next.steps.remove(*from);
                next.steps.insert((*to).min(next.steps.len()), step);
            }
            Edit::Remove(_) | Edit::Move(..) => {}
            Edit::Title(card) => next.title = card.clone().map(checked),
            Edit::End(card) => next.end = card.clone().map(checked),
            Edit::Trim(span) => next.trim(*span),
            Edit::Stretch(seconds) => next.stretch(*seconds),
            Edit::View(at, _)
            | Edit::Caption(at, _)
            | Edit::Notes(at, _)
            | Edit::Hold(at, _)
            | Edit::Transition(at, _)
            | Edit::Easing(at, _) => {
                if let Some(step) = next.steps.get_mut(*at) {
                    step.change(edit);
                }
            }
        }
        // The line numbers are no longer valid after a change.
        if next != *self {
            next.steps.iter_mut().for_each(|step| step.line = None);
        }
        next
    }

    /// Keeps the part from one time to another; stops at the limits become shorter.
    fn trim(&mut self, [from, to]: [f64; 2]) {
        let timeline = Timeline::new(self);
        // [start, arrival, end] of a stop.
        let times = |stop: usize| {
            let start = timeline.start_secs(stop);
            let arrival = start + timeline.transition_secs(stop);
            [start, arrival, arrival + timeline.hold_secs(stop)]
        };
        let mut kept: Vec<(usize, Option<f64>)> = Vec::new();
        for stop in 0..timeline.stops() {
            let [_, arrival, end] = times(stop);
            // A stop is dropped if only its transition would remain.
            if end <= from || arrival >= to {
                continue;
            }
            let hold = to.min(end) - from.max(arrival);
            let is_whole = from <= arrival && end <= to;
            let hold = (!is_whole).then(|| rounded(hold.max(SHORTEST_HOLD_SECONDS)));
            kept.push((stop, hold));
        }
        let step_of = |stop| timeline.step_of(stop);
        if !kept.iter().any(|&(stop, _)| step_of(stop).is_some()) {
            return;
        }
        let mut next = Self { title: None, steps: Vec::new(), end: None };
        for (stop, hold) in kept {
            match (step_of(stop).and_then(|at| self.steps.get(at)), timeline.card(stop)) {
                (Some(step), _) => {
                    next.steps.push(Step { seconds: hold.or(step.seconds), ..step.clone() });
                }
                (None, Some(card)) => {
                    let seconds = hold.unwrap_or(card.seconds);
                    let card = Some(Card { seconds, ..card.clone() });
                    if stop == 0 { next.title = card } else { next.end = card }
                }
                (None, None) => {}
            }
        }
        *self = next;
    }

    /// Changes all durations by one factor.
    fn stretch(&mut self, seconds: f64) {
        let timeline = Timeline::new(self);
        // The transition to the end card has a fixed duration.
        let fixed = if self.end.is_some() {
            timeline.transition_secs(timeline.stops().saturating_sub(1))
        } else {
            0.0
        };
        let now = timeline.seconds() - fixed;
        if now <= 0.0 || !seconds.is_finite() {
            return;
        }
        let wanted = seconds.max(fixed + SHORTEST_HOLD_SECONDS) - fixed;
        let factor = wanted / now;
        for step in &mut self.steps {
            // Not rounded, because a drag applies the factor repeatedly.
            step.seconds = Some(seconds_within(step.hold_secs() * factor, 0.0));
            step.transition_secs = seconds_within(step.transition_secs * factor, 0.0);
        }
        for card in self.title.iter_mut().chain(&mut self.end) {
            card.seconds = seconds_within(card.seconds * factor, SHORTEST_HOLD_SECONDS);
        }
    }
}

/// The text, truncated to the limit of a file.
pub(super) fn readable(text: &str) -> String {
    text.chars().take(LONGEST_CAPTION).collect()
}

impl Step {
    fn change(&mut self, edit: &Edit) {
        match edit {
            Edit::View(_, state) => {
                let trace = state.trace.clone().or_else(|| self.state.trace.take());
                self.state = ViewState { trace, hovered: None, ..(**state).clone() };
            }
            Edit::Caption(_, text) => self.caption = readable(text),
            Edit::Notes(_, text) => self.notes.clone_from(text),
            Edit::Hold(_, seconds) => {
                self.seconds = seconds.map(|s| rounded(seconds_within(s, SHORTEST_HOLD_SECONDS)));
            }
            Edit::Transition(_, seconds) => {
                self.transition_secs = rounded(seconds_within(*seconds, 0.0));
            }
            Edit::Easing(_, easing) => self.easing = *easing,
            Edit::Add(..)
            | Edit::Remove(_)
            | Edit::Duplicate(_)
            | Edit::Move(..)
            | Edit::Title(_)
            | Edit::End(_)
            | Edit::Trim(_)
            | Edit::Stretch(_) => debug_assert!(false, "{edit:?} changes no step"),
        }
    }
}

fn checked(card: Card) -> Card {
    Card {
        text: readable(&card.text),
        subtitle: readable(&card.subtitle),
        seconds: seconds_within(card.seconds, SHORTEST_HOLD_SECONDS),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    /// Title 0–2, steps 2–(3)–5, 5–(6)–8, 8–(9)–11, end 11–(11.8)–13.8.
    fn walkthrough() -> Walkthrough {
        let step = |name: &str| Step {
            seconds: Some(2.0),
            transition_secs: 1.0,
            ..Step::new(ViewState { trace: Some("a".into()), ..ViewState::default() }, name)
        };
        let card =
            |text: &str| Some(Card { text: text.into(), subtitle: String::new(), seconds: 2.0 });
        Walkthrough {
            title: card("title"),
            steps: vec![step("one"), step("two"), step("three")],
            end: card("end"),
        }
    }

    fn captions(walkthrough: &Walkthrough) -> Vec<&str> {
        walkthrough.steps.iter().map(|step| step.caption.as_str()).collect()
    }

    #[test]
    fn steps_are_added_moved_copied_and_removed() {
        let start = walkthrough();
        let new = vec![Step::new(ViewState::default(), "new")];
        let edited = |edit| start.edited(&edit);
        assert_eq!(captions(&edited(Edit::Add(1, new.clone()))), ["one", "new", "two", "three"]);
        assert_eq!(captions(&edited(Edit::Add(99, new))), ["one", "two", "three", "new"]);
        assert_eq!(captions(&edited(Edit::Move(0, 2))), ["two", "three", "one"]);
        assert_eq!(captions(&edited(Edit::Move(2, 0))), ["three", "one", "two"]);
        assert_eq!(captions(&edited(Edit::Duplicate(1))), ["one", "two", "two", "three"]);
        assert_eq!(captions(&edited(Edit::Remove(1))), ["one", "three"]);
        for misfit in [Edit::Remove(9), Edit::Move(9, 0), Edit::Duplicate(9), Edit::Hold(9, None)] {
            assert_eq!(edited(misfit), start);
        }
        let one = start.edited(&Edit::Remove(0)).edited(&Edit::Remove(0));
        assert_eq!(one.edited(&Edit::Remove(0)), one, "the last step stays");
    }

    #[test]
    fn a_view_keeps_its_trace_where_it_names_none() {
        let view = ViewState { opacity: 0.5, ..ViewState::default() };
        let edited = walkthrough().edited(&Edit::View(1, Box::new(view)));
        assert_eq!(edited.steps[1].state.opacity, 0.5);
        assert_eq!(edited.steps[1].state.trace.as_deref().unwrap().to_str(), Some("a"));
    }

    #[test]
    fn a_trim_keeps_what_lies_between_and_shortens_what_it_cuts_through() {
        let trim = |from, to| walkthrough().edited(&Edit::Trim([from, to]));
        let cut = trim(4.0, 10.5);
        assert_eq!(
            (captions(&cut), &cut.title, &cut.end),
            (vec!["one", "two", "three"], &None, &None)
        );
        let holds: Vec<f64> = cut.steps.iter().map(Step::hold_secs).collect();
        assert_eq!(holds, [1.0, 2.0, 1.5]);
        assert_eq!(Timeline::new(&cut).seconds(), 6.5, "as long as what was kept");
        // A start within a transition: the step is shown from the beginning; of the last stop only the transition
        // remains.
        let cut = trim(5.5, 8.5);
        assert_eq!((captions(&cut), Timeline::new(&cut).seconds()), (vec!["two"], 2.0));
        assert_eq!(trim(0.0, 99.0), walkthrough());
        let only_title = trim(0.0, 1.0);
        assert_eq!(only_title, walkthrough(), "a walkthrough without steps is none");
        let title = trim(0.5, 99.0).title.unwrap();
        assert_eq!(title.seconds, 1.5);
    }

    #[test]
    fn a_stretch_makes_the_whole_as_long_as_was_asked_for() {
        for seconds in [6.9, 27.6, 13.8] {
            let stretched = walkthrough().edited(&Edit::Stretch(seconds));
            let total = Timeline::new(&stretched).seconds();
            assert!((total - seconds).abs() < 0.05, "{seconds}: {total}");
        }
        let captioned = Walkthrough {
            title: None,
            end: None,
            steps: vec![Step::new(ViewState::default(), "a caption of some length")],
        };
        let stretched = captioned.edited(&Edit::Stretch(9.0));
        assert_eq!(stretched.steps[0].seconds, Some(9.0));
        assert_eq!(walkthrough().edited(&Edit::Stretch(f64::NAN)), walkthrough());
        let long = Edit::Stretch(2.0 * LONGEST_SECONDS);
        let total = Timeline::new(&walkthrough().edited(&long)).seconds();
        assert!(
            (total / LONGEST_SECONDS - 2.0).abs() < 0.01,
            "the whole may be longer than a step"
        );
    }

    #[test]
    fn times_stay_within_bounds() {
        let hold =
            |seconds| walkthrough().edited(&Edit::Hold(0, Some(seconds))).steps[0].hold_secs();
        assert_eq!((hold(-3.0), hold(1e9), hold(f64::NAN)), (0.1, LONGEST_SECONDS, 0.1));
        assert_eq!(walkthrough().edited(&Edit::Transition(0, -1.0)).steps[0].transition_secs, 0.0);
    }
}
