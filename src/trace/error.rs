//! Errors of reading and writing traces. Each names the file, the cause and what to do.

use std::io::ErrorKind;
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
    #[error("cannot write the trace {path}: {source}. Nothing was left behind. {hint}", path = path.display(), hint = write_hint(source, Some(*needed_bytes)))]
    Write {
        /// Where it should have gone.
        path: PathBuf,
        /// How large the file is.
        needed_bytes: u64,
        /// What the system said.
        source: std::io::Error,
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

/// What helps when a file cannot be written.
pub(crate) fn write_hint(error: &std::io::Error, needed_bytes: Option<u64>) -> String {
    match error.kind() {
        ErrorKind::NotFound => "Make the folder first, or choose another place.".into(),
        ErrorKind::NotADirectory => "A part of the path is a file: choose another place.".into(),
        ErrorKind::IsADirectory => "A folder has this name: choose another name.".into(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "You may not write there: choose another place.".into()
        }
        _ => {
            let needed = needed_bytes
                .map_or_else(String::new, |bytes| format!("{bytes} bytes are needed there: "));
            let hint = format!("{needed}free some space, or choose another place.");
            hint[..1].to_uppercase() + &hint[1..]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_fits_the_cause() {
        for (kind, words) in [
            (ErrorKind::NotFound, "Make the folder"),
            (ErrorKind::PermissionDenied, "You may not write"),
            (ErrorKind::StorageFull, "70 bytes are needed there: free some space"),
        ] {
            let hint = write_hint(&kind.into(), Some(70));
            assert!(hint.contains(words), "{hint}");
        }
        assert!(write_hint(&ErrorKind::StorageFull.into(), None).starts_with("Free some space"));
    }
}
