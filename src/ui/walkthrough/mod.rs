//! The walkthrough editor: a walkthrough is recorded, made of bookmarks or of an answer, or opened; then trimmed,
//! re-timed, captioned, previewed, saved.
//!
//! The edited object is the same [`crate::view::timeline::Walkthrough`] that files hold and films are made of;
//! every change is an [`crate::view::timeline::Edit`] in a history of its own.
//! While the preview is seen, keys (space, arrows, undo, save) mean the walkthrough; on the stage
//! they mean the view.

pub mod confirm;
pub mod editor;
pub mod make;
mod preview;
pub mod trace_set;
