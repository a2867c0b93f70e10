//! Edits of a picture: a stack of steps that is applied to the original.
//!
//! The decision here: nothing is ever painted into the picture. A stack is a list of steps in the
//! picture's own pixels, flattening replays it on the untouched original, and undo takes the last
//! step off. So an eraser can bring the original back, a stack is a small text file that repeats an
//! experiment, and steps that name patches can be carried out exactly at the patches' edges, on
//! what the model sees, where resampling would smear them.

mod area;
mod color;
mod error;
mod stack;
mod step;

pub use area::{Area, Brush, LikeColor, Outline};
pub use error::EditError;
pub use stack::{EDIT_VERSION, Edits, png};
pub use step::{Adjust, Fill, Step};
