//! Methods on a trace, on the CPU: reductions, recursions over rows, statistics.
//!
//! What the GPU also computes has its twin here, written so that its loops mirror the shader's: the
//! twin is what captions and exports print and what the shader is tested against.

pub mod boxes;
pub mod diff;
pub mod gather;
pub mod methods;
pub mod normalise;
pub mod overview;
pub mod reduce;
pub mod relevancy;
pub mod score;
