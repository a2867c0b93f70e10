//! Methods on a trace, on the CPU: reductions, recursions over rows, statistics.
//!
//! Each computation on the GPU has a CPU twin here, whose loops mirror the shader's: captions and exports print the
//! twin's numbers, and the shader is tested against it.

pub mod blank;
pub mod boxes;
pub mod causal;
pub mod density;
pub mod diff;
pub mod gather;
pub mod inside;
pub mod mask;
pub mod methods;
pub mod normalise;
pub mod outline;
pub mod overview;
pub mod patching;
pub mod reduce;
pub mod relevancy;
pub mod score;
pub mod verdict;
