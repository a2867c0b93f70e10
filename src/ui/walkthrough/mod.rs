//! The walkthrough that is being made: noted from what is done, made of bookmarks, of an answer, or
//! opened; then trimmed, re-timed, captioned, previewed, saved.
//!
//! What is edited is the same [`crate::view::timeline::Walkthrough`] that files hold and films are
//! made of, and every change of it is an [`crate::view::timeline::Edit`] in a history of its own.
//! While the preview is seen, keys (space, arrows, undo, save) mean the walkthrough; on the stage
//! they mean the view.

pub mod confirm;
pub mod editor;
pub mod make;
mod preview;
pub mod trace_set;
