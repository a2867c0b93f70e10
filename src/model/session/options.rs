//! Options of the sessions in ONNX Runtime, and the execution provider.

use crate::model::request::Device;

/// Options for opening the sessions of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// The device.
    pub device: Device,
    /// Threads for one operator; `None` uses all cores.
    pub threads: Option<usize>,
    /// Whether ONNX Runtime may repack the weights: this is faster, but needs another copy of them in memory.
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
