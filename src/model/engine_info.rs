//! Description of a loaded model: its architecture, device and runtime.

use crate::trace::ModelInfo;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A loaded model and the device that it runs on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineInfo {
    /// The model.
    pub model: ModelInfo,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The execution provider that is in use.
    pub provider: String,
    /// Version of ONNX Runtime.
    pub runtime_version: String,
    /// Path of ONNX Runtime's library.
    pub runtime_path: PathBuf,
    /// Notes for the user, as sentences (for example, the reason why CUDA is not used).
    pub notes: Vec<String>,
}
