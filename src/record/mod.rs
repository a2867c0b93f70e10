//! Frames to files.
//!
//! A saved figure says where it came from: the command line, the view state and the caption stand
//! in its metadata, so that any figure can be made again.

mod still;
mod svg;
mod vector;

pub use still::{Provenance, StillError, png_bytes};
pub use vector::{DrawnFrame, figure_svg};
