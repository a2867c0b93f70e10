//! Pages to pixels.

pub mod colormap;
