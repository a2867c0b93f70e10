//! Errors of reading and writing traces. Each names the file, the cause and what to do.

use crate::files::write_hint;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Why a trace could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file could not be opened or read.
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
    #[error("cannot write the trace {path}: {source}. Nothing was left behind. {hint}", path = path.display(), hint = write_hint(source, Some(*needed_bytes)))]
    Write {
        /// Where it should have gone.
        path: PathBuf,
        /// How large the file is.
        needed_bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The lock of the trace's file could not be had.
    #[error("cannot write the trace {path}: {source}. {hint}", path = path.display(), hint = write_hint(source, None))]
    Lock {
        /// The trace file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds another answer than when it was opened.
    #[error("{path} was replaced by another answer in the meantime, which the new maps do not belong to. Nothing was written; run the command again, or name another file with --out.", path = path.display())]
    Replaced {
        /// The trace file.
        path: PathBuf,
    },
    /// The file was changed in place while it was looked at.
    #[error("{path} was changed or cut by another program while it was open. Nothing was written from it; open it again, or write it again with `vlmscope ask`.", path = path.display())]
    ChangedOnDisk {
        /// The trace file.
        path: PathBuf,
    },
    /// What was put into a trace under construction does not fit together.
    #[error("the trace is inconsistent: {reason}")]
    Inconsistent {
        /// Which parts disagree.
        reason: String,
    },
}

impl TraceError {
    /// Whether a file of this name was there already.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == ErrorKind::AlreadyExists)
    }
}
