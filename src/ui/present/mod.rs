//! Presentation: a walkthrough on a large screen, with the presenter's own window beside it.
//!
//! The decision here: nothing but the show is ever on the stage. Errors, notes and the clock are
//! the presenter's; the stage keeps its last good picture. What moves is drawn by the recorder's
//! painter, so that a presentation and its film look the same.

mod controls;
mod displays;
pub mod playback;
mod presentation;
mod presenter;
mod sleep_inhibitor;
mod window;

pub use playback::{Playback, View};
pub use presentation::{Presentation, PresenterCommand};
pub use sleep_inhibitor::SleepInhibitor;
pub use window::{PresentOptions, PresentationWindows, run};
