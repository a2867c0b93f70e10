//! Errors of reading and writing traces. Each message names the file, the cause and the remedy.

use crate::files::write_hint;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The reason why a trace could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file could not be opened or read.
    #[error("cannot read the trace {path}: {source}. Check that the file exists and that you may read it.", path = path.display())]
    Read {
        /// The trace file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is not a complete vlmscope trace.
    #[error("{path} is not a complete vlmscope trace: {reason}. It was cut or changed after it was written, or is another kind of file; write it again with `vlmscope ask`.", path = path.display())]
    Damaged {
        /// The trace file.
        path: PathBuf,
        /// The fault that was found.
        reason: String,
    },
    /// The trace has a newer major version than this reader.
    #[error("{path} has trace format {found}, which is newer than this reader (it reads up to {supported}). Update vlmscope.", path = path.display())]
    Newer {
        /// The trace file.
        path: PathBuf,
        /// The version in the file.
        found: String,
        /// The newest version that this reader supports.
        supported: String,
    },
    /// A tensor is missing, or has another shape or type than the metadata states.
    #[error("{path}: the tensor `{tensor}` {reason}. The trace does not fit its own metadata; write it again with `vlmscope ask`.", path = path.display())]
    Tensor {
        /// The trace file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The fault that was found.
        reason: String,
    },
    /// The trace could not be written; the old file, if any, is untouched.
    #[error("cannot write the trace {path}: {source}. Nothing was left behind. {hint}", path = path.display(), hint = write_hint(source, Some(*needed_bytes)))]
    Write {
        /// The destination path.
        path: PathBuf,
        /// Size of the trace file in bytes.
        needed_bytes: u64,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The lock of the trace's file could not be taken.
    #[error("cannot write the trace {path}: {source}. {hint}", path = path.display(), hint = write_hint(source, None))]
    Lock {
        /// The trace file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file holds another answer than when it was opened.
    #[error("{path} was replaced by another answer in the meantime, which the new maps do not belong to. Nothing was written; run the command again, or name another file with --out.", path = path.display())]
    Replaced {
        /// The trace file.
        path: PathBuf,
    },
    /// The file was changed in place while the trace was open.
    #[error("{path} was changed or cut by another program while it was open. Nothing was written from it; open it again, or write it again with `vlmscope ask`.", path = path.display())]
    ChangedOnDisk {
        /// The trace file.
        path: PathBuf,
    },
    /// The rest of a trace on another machine will not arrive.
    #[error("{path} is not complete: {reason}. Ask the question again.", path = path.display())]
    Lost {
        /// A name of the trace.
        path: PathBuf,
        /// The reason, a clause without a full stop.
        reason: String,
    },
    /// Parts of the attention have not arrived from another machine.
    #[error(
        "the answer is not complete: parts of its attention have not arrived from the other machine. Wait until they have; if the connection was lost, ask the question again."
    )]
    Incomplete,
    /// Parts of a trace under construction do not fit together.
    #[error("the trace is inconsistent: {reason}")]
    Inconsistent {
        /// The parts that do not fit together.
        reason: String,
    },
}

impl TraceError {
    /// Whether the error is that a file of this name already exists.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == ErrorKind::AlreadyExists)
    }
}
