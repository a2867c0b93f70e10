//! Frames to files: figures and films, without a window.
//!
//! The metadata of a saved figure hold its provenance: the command line, the view state and the caption, so that any
//! figure can be made again. A film is drawn at a fixed time step, however long a frame takes: the same walkthrough
//! always gives the same frames.

pub mod encoder;
mod film;
mod pack;
mod painter;
mod still;
mod subtitles;
mod svg;
mod vector;

pub use film::{Film, FilmError, Progress, Summary};
pub use pack::{PackError, Packed, Unpacked, pack, refuse_input, unpack};
pub use painter::{Captions, OpenTraces, Painter, StepError};
pub use still::{Provenance, StillError, png_bytes, shell_quoted};
pub use subtitles::subtitles;
pub use svg::{Raster, svg};
pub use vector::{DrawnFrame, figure_svg};
