//! Faults of data sets.

use std::io;
use std::path::{Path, PathBuf};

/// A data set cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not what its name says.
    #[error("{} {reason}", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// The fault, and what to do.
        reason: String,
    },
}

impl InputError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(super) fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.into() }
    }
}
