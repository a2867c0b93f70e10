//! Where the graphs of a bundle run.

use crate::model::request::Device;

/// How the sessions of a bundle are opened.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Where to run.
    pub device: Device,
    /// Threads for one operator; `None` uses all cores.
    pub threads: Option<usize>,
    /// Whether ONNX Runtime may repack the weights: faster, for another copy of them in memory.
    pub prepack: bool,
}

/// The execution provider that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The CPU.
    Cpu,
    /// NVIDIA CUDA.
    Cuda,
}

impl Provider {
    /// ONNX Runtime's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
        }
    }
}
