//! Description of a loaded model: its architecture, device and runtime.

use crate::trace::ModelInfo;
use std::path::PathBuf;

/// A loaded model and the device that it runs on.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// The model.
    pub model: ModelInfo,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The execution provider that really runs.
    pub provider: String,
    /// Version of ONNX Runtime.
    pub runtime_version: String,
    /// Its library.
    pub runtime_path: PathBuf,
    /// What the user should know, as sentences (why CUDA is not used, say).
    pub notes: Vec<String>,
}
