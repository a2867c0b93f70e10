//! A walkthrough as data, and how long its steps stay.

use super::caption::caption_text;
use crate::view::{Easing, ViewState};
use std::path::PathBuf;

/// Reading speed that determines the duration of a caption: subtitling guidelines allow 17 (Netflix) to 20 characters a
/// second for text alone; here the viewer also looks at a picture.
const CHARACTERS_PER_SECOND: f64 = 14.0;
/// Time to find the caption and to look at the picture again.
const LOOK_SECONDS: f64 = 1.2;
const SHORTEST_SECONDS: f64 = 2.0;
/// Duration of a view without a caption.
const SILENT_SECONDS: f64 = 2.5;
pub(super) const CARD_SECONDS: f64 = 2.5;
/// Duration of a transition, unless a step sets it.
pub(super) const TRANSITION_SECONDS: f64 = 0.8;
/// Longer than any talk; prevents a mistyped number from filling the disk.
pub const LONGEST_SECONDS: f64 = 3600.0;

/// An hour of steps of half a second; a longer file is not a talk and would take minutes to lay out.
pub const MOST_STEPS: usize = 10_000;
/// Limit on the characters of a caption, of a card and of its subtitle: more than fit in a frame.
pub const LONGEST_CAPTION: usize = 10_000;

/// Text on an otherwise empty frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The large line.
    pub text: String,
    /// The small line below it.
    pub subtitle: String,
    /// Duration in seconds.
    pub seconds: f64,
}

/// One step of a walkthrough.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The view; its `trace` is always set.
    pub state: ViewState,
    /// The caption; `**…**` marks words.
    pub caption: String,
    /// Notes that only the presenter sees.
    pub notes: String,
    /// Duration after the transition to it, in seconds; `None` derives it from the caption's length.
    pub seconds: Option<f64>,
    /// Duration of the transition to it, in seconds.
    pub transition_secs: f64,
    /// The easing of that transition.
    pub easing: Easing,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
}

impl Step {
    /// A step with the usual timing.
    pub fn new(state: ViewState, caption: impl Into<String>) -> Self {
        Self {
            state,
            caption: caption.into(),
            notes: String::new(),
            seconds: None,
            transition_secs: TRANSITION_SECONDS,
            easing: Easing::default(),
            line: None,
        }
    }

    /// Duration of the step after the transition to it, in seconds.
    pub fn hold_secs(&self) -> f64 {
        self.seconds.unwrap_or_else(|| {
            let characters = caption_text(&self.caption).chars().count();
            if characters == 0 {
                SILENT_SECONDS
            } else {
                let read = LOOK_SECONDS + characters as f64 / CHARACTERS_PER_SECOND;
                // The caption is already visible during the transition.
                (read - self.transition_secs).max(SHORTEST_SECONDS - self.transition_secs).max(0.4)
            }
        })
    }
}

/// An ordered list of steps, with a card before and after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walkthrough {
    /// The card before the first step.
    pub title: Option<Card>,
    /// The steps in order; never empty in a file.
    pub steps: Vec<Step>,
    /// The card after the last step.
    pub end: Option<Card>,
}

impl Walkthrough {
    /// The paths of all traces in the steps, including those of second maps.
    pub fn trace_paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.steps.iter_mut().flat_map(|step| {
            let second = step.state.second.as_mut().and_then(|second| second.trace.as_mut());
            step.state.trace.iter_mut().chain(second)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_stays_as_long_as_it_takes_to_read() {
        let step = |caption: &str| Step::new(ViewState::default(), caption);
        let short = step("A fox.").hold_secs();
        let long = step("A fox that looks at a balloon over green hills, far away.").hold_secs();
        assert!(long > short + 2.0, "{short} {long}");
        assert!(short + TRANSITION_SECONDS >= SHORTEST_SECONDS);
        assert_eq!(Step { seconds: Some(0.5), ..step("A fox.") }.hold_secs(), 0.5);
    }
}
