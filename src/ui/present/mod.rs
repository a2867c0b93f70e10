//! Presentation: a walkthrough on a large screen, with the presenter's own window beside it.
//!
//! The stage shows nothing but the walkthrough. Errors, notes and the clock appear in the presenter's window; the
//! stage keeps its last good picture. The recorder's painter draws every picture, so that a presentation and its film
//! look alike.

mod controls;
mod displays;
pub mod draw;
pub mod options;
pub mod playback;
pub mod presentation;
mod presenter;
pub mod sleep_inhibitor;
pub mod window;
