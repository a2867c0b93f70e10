//! Presentation: a walkthrough on a large screen, with the presenter's own window beside it.
//!
//! The decision here: nothing but the show is ever on the stage. Errors, notes and the clock are
//! the presenter's; the stage keeps its last good picture. What moves is drawn by the recorder's
//! painter, so that a presentation and its film look the same.

mod controls;
mod displays;
pub mod draw;
pub mod options;
pub mod playback;
pub mod presentation;
mod presenter;
pub mod sleep_inhibitor;
pub mod window;
