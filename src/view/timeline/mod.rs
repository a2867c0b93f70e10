//! A walkthrough: an ordered list of steps, and the content of the frame at each moment.
//!
//! Plain data and arithmetic: recorder, presentation and window all query the same [`Timeline`] for a time in seconds,
//! so that a film equals the rehearsal. The decision here: **a step contains everything that it shows** (on top of one
//! look that all steps share), never a change relative to another step, so that steps can be moved, removed and jumped
//! to.

mod caption;
mod cost;
mod document;
mod edit;
mod error;
mod schedule;
mod spoken;
mod tables;
mod tour;
mod walkthrough;
mod write;

pub use caption::{caption_runs, caption_text};
pub use document::WALKTHROUGH_VERSION;
pub use edit::{Edit, SHORTEST_HOLD_SECONDS};
pub use error::WalkthroughError;
pub use schedule::{Moment, MomentContent, Said, Shot, Timeline};
pub use spoken::{image_share, sentence, spoken};
pub use tour::tour;
pub use walkthrough::{Card, LONGEST_SECONDS, Step, Walkthrough};
