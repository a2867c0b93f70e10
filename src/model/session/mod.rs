//! The graphs of a bundle, running in ONNX Runtime. The only module that uses `ort`.
//!
//! Keys and values of a step are passed to the next step as the values that ONNX Runtime returned, without a copy.
//! Attention is returned one layer at a time, and each output is freed before the next is read, so that a prefill holds
//! its attention only once.

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
pub use values::{Bias, Call, DecoderPart, KvCache, Patches};
