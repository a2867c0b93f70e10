//! Records the views that a user visits as steps of a walkthrough.
//!
//! Views are recorded with their time as they are seen, not as the commands that led there: each step is then
//! complete, and can be dropped, moved or captioned.

use super::document::Document;
use super::walkthrough::trace_set::TraceSet;
use crate::view::ViewState;
use crate::view::timeline::{LONGEST_SECONDS, Step, Walkthrough};

/// A view that is left sooner than this counts as passed.
const REST_SECONDS: f64 = 0.3;
/// Among views that are passed in a row, one is kept in every such interval.
const PASS_SECONDS: f64 = 0.7;
/// The transition to a view takes this share of its time, up to a limit.
const WAY_SHARE: f64 = 0.6;
const WAY_SECONDS: f64 = 0.5;

/// A view and since when it was seen.
#[derive(Clone, Debug)]
struct Seen {
    since: f64,
    state: ViewState,
}

/// A recording of what is done, under way.
#[derive(Clone, Debug)]
pub struct ViewRecorder {
    /// Time at which the recording began.
    pub began: f64,
    seen: Vec<Seen>,
    trace_set: TraceSet,
}

impl ViewRecorder {
    /// Begins at `now`.
    pub fn new(now: f64) -> Self {
        Self { began: now, seen: Vec::new(), trace_set: TraceSet::default() }
    }

    /// Notes what is seen at `now`, if it is not what was seen before.
    pub fn note(&mut self, now: f64, doc: &Document) {
        // An answer that grew: the last trace has all of it.
        let trace = Some(self.trace_set.name_of(doc));
        let state = ViewState { hovered: None, trace, ..doc.state().clone() };
        if self.seen.last().is_none_or(|seen| seen.state != state) {
            self.seen.push(Seen { since: now, state });
        }
    }

    /// Views that were noted so far.
    pub const fn views(&self) -> usize {
        self.seen.len()
    }

    /// The walkthrough with its traces; `None` if nothing was seen.
    pub fn finish(self, end: f64) -> Option<(Walkthrough, TraceSet)> {
        let steps = steps(&self.seen, end);
        let walkthrough = Walkthrough { title: None, steps, end: None };
        (!walkthrough.steps.is_empty()).then_some((walkthrough, self.trace_set))
    }
}

/// The views that were looked at, each with the time that it was seen for.
fn steps(seen: &[Seen], end: f64) -> Vec<Step> {
    let mut kept: Vec<&Seen> = Vec::new();
    // Time at which the last kept view was left.
    let mut left = f64::NEG_INFINITY;
    for (index, one) in seen.iter().enumerate() {
        let until = seen.get(index + 1).map_or(end, |next| next.since);
        let is_last = index + 1 == seen.len();
        if until - one.since >= REST_SECONDS || until - left >= PASS_SECONDS || is_last {
            kept.push(one);
            left = until;
        }
    }
    let step = |(index, one): (usize, &&Seen)| {
        let until = kept.get(index + 1).map_or(end, |next| next.since);
        let time = (until - one.since).max(0.1);
        let way = if index == 0 { 0.0 } else { (WAY_SHARE * time).min(WAY_SECONDS) };
        let hundredths = |seconds: f64| (seconds * 100.0).round() / 100.0;
        Step {
            // The user may have been away: the time is limited to that of the longest step.
            seconds: Some(hundredths(time - way).min(LONGEST_SECONDS)),
            transition_secs: hundredths(way),
            ..Step::new(one.state.clone(), "")
        }
    };
    kept.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::view::Command;
    use crate::view::timeline::Timeline;
    use std::sync::Arc;

    #[test]
    fn what_was_looked_at_is_a_step_and_what_was_passed_is_not() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Arc::new(Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap());
        let mut doc = Document::new(trace, &ViewState::default());
        let mut take = ViewRecorder::new(0.0);
        let mut see = |now: f64, opacity: f64| {
            doc.apply(&Command::SetOpacity(opacity)).unwrap();
            take.note(now, &doc);
        };
        see(0.0, 1.0);
        see(1.0, 1.0);
        see(2.0, 0.5);
        // A scrub: passed quickly.
        for step in 0..4 {
            see(4.0 + 0.05 * f64::from(step), 0.4 - 0.1 * f64::from(step));
        }
        assert!(ViewRecorder::new(0.0).finish(1.0).is_none());
        let (walkthrough, trace_set) = take.finish(6.0).unwrap();
        let opacities: Vec<f64> =
            walkthrough.steps.iter().map(|step| (step.state.opacity * 10.0).round()).collect();
        assert_eq!(opacities, [10.0, 5.0, 1.0]);
        let seconds = Timeline::new(&walkthrough).seconds();
        assert!((seconds - 6.0).abs() < 0.2, "as long as it took: {seconds}");
        let name = walkthrough.steps[0].state.trace.clone().unwrap();
        assert!(trace_set.traces.get(&name).is_some());
    }
}
