//! A walkthrough: an ordered list of steps, and what is to be seen at each moment of it.
//!
//! Plain data and arithmetic: recorder, presentation and window ask the same [`Timeline`] what to
//! show at a time in seconds, so that a film is what was rehearsed. The decision here: **a step
//! says everything that it shows** (over one look that all steps share), never what it changes, so
//! that steps can be moved, dropped and jumped to.

mod caption;
mod document;
mod edit;
mod error;
mod schedule;
mod tour;

pub use caption::{caption_runs, caption_text};
pub use document::{Card, LONGEST_SECONDS, Step, WALKTHROUGH_VERSION, Walkthrough};
pub use edit::{Edit, SHORTEST_HOLD_SECONDS};
pub use error::WalkthroughError;
pub use schedule::{Moment, MomentContent, Said, Shot, Timeline};
pub use tour::{sentence, tour};
