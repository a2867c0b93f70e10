//! Presentation: a walkthrough on a large screen, with the presenter's own window beside it.
//!
//! The decision here: nothing but the show is ever on the stage. Errors, notes and the clock are
//! the presenter's; the stage keeps its last good picture. What moves is drawn by the recorder's
//! painter, so that a talk and its film look the same.

mod awake;
mod controls;
mod displays;
mod presenter;
mod talk;
pub mod theatre;
mod window;

pub use awake::Awake;
pub use talk::{Talk, TalkAct};
pub use theatre::{Theatre, View};
pub use window::{PresentOptions, Presentation, run};
