//! Edits of a picture: a stack of steps that is applied to the original.
//!
//! The decision here: pixels of the original are never overwritten. A stack is a list of steps in the pixel coordinates
//! of the picture; flattening applies it to the original, and undo removes the last step. So an eraser can restore the
//! original, a stack is a small text file that repeats an experiment, and steps that name patches can be applied
//! exactly at the edges of the patches, to the pixels that the model sees, where resampling would blur them.

mod area;
mod color;
mod error;
mod stack;
mod step;

pub use area::{Area, Brush, LikeColor, Outline};
pub use error::EditError;
pub use stack::{EDIT_VERSION, Edits, png};
pub use step::{Adjust, Fill, Step};
