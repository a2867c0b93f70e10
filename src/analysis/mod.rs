//! Methods on a trace, on the CPU: reductions, recursions over rows, statistics.
//!
//! What the GPU also computes has its twin here, written so that its loops mirror the shader's.

mod stats;

pub use stats::RowStats;
