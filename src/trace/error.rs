//! Errors of reading and writing traces. Each names the file, the cause and what to do.

use std::path::PathBuf;

/// Why a trace could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file could not be opened or mapped.
    #[error("cannot read the trace {path}: {source}. Check that the file exists and that you may read it.", path = path.display())]
    Read {
        /// The trace file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a complete vlmscope trace.
    #[error("{path} is not a complete vlmscope trace: {reason}. It was cut or changed after it was written, or is another kind of file; write it again with `vlmscope ask`.", path = path.display())]
    Damaged {
        /// The trace file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The trace has a newer major version than this reader.
    #[error("{path} has trace format {found}, which is newer than this reader (it reads up to {supported}). Update vlmscope.", path = path.display())]
    Newer {
        /// The trace file.
        path: PathBuf,
        /// The version in the file.
        found: String,
        /// The newest version that this reader knows.
        supported: String,
    },
    /// A tensor is missing, or has another shape or type than the metadata promises.
    #[error("{path}: the tensor `{tensor}` {reason}. The trace does not fit its own metadata; write it again with `vlmscope ask`.", path = path.display())]
    Tensor {
        /// The trace file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The trace could not be written; the old file, if any, is untouched.
    #[error("cannot write the trace {path}: {source}. Nothing was left behind; {needed_bytes} bytes are needed there. Free some space or choose another place with --out.", path = path.display())]
    Write {
        /// Where it should have gone.
        path: PathBuf,
        /// How large the file is.
        needed_bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was put into a trace under construction does not fit together.
    #[error("the trace is inconsistent: {reason}")]
    Inconsistent {
        /// Which parts disagree.
        reason: String,
    },
}
