//! The graphs of a bundle, running in ONNX Runtime. The only place that knows `ort`.
//!
//! Keys and values of a step are handed to the next step as the values that ONNX Runtime returned,
//! never copied by us; attention leaves one layer at a time, and each output is freed before the
//! next is looked at, so that a prefill holds its attention once.

mod elf;
mod graph;
mod options;
mod relevancy;
mod runtime;
mod sessions;
mod values;

pub use options::{Provider, SessionOptions};
pub use relevancy::{BackwardGraph, LayerOutputs, Seed};
pub use runtime::{Runtime, RuntimeCandidate, candidates};
pub use sessions::Sessions;
pub use values::{AttentionPart, Call, KvCache};
