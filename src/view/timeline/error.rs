//! Errors of walkthroughs.

use std::path::PathBuf;

/// The reason why a walkthrough cannot be read or shown.
#[derive(Debug, thiserror::Error)]
pub enum WalkthroughError {
    /// The file could not be read.
    #[error("cannot read the walkthrough {path}: {source}. Check the path.", path = path.display())]
    Read {
        /// The walkthrough.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The text is not a walkthrough.
    #[error("{file}, line {line}: {reason}")]
    Line {
        /// The file's name, or "the walkthrough".
        file: String,
        /// Line number, from 1.
        line: usize,
        /// The fault, and the text to write instead.
        reason: String,
    },
    /// The walkthrough was written by a newer version.
    #[error(
        "{file} has version {found}, which is newer than this reader (it reads up to {supported}). Update vlmscope."
    )]
    Newer {
        /// The file's name.
        file: String,
        /// The version in the text.
        found: u32,
        /// The newest version that this reader supports.
        supported: u32,
    },
    /// The file could not be written.
    #[error("cannot write the walkthrough {path}: {source}. Check that its folder exists, is \
        writable and has free space.", path = path.display())]
    Save {
        /// The walkthrough.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The walkthrough cannot be written as TOML.
    #[error("the walkthrough cannot be written as TOML: {reason}")]
    Write {
        /// The reason.
        reason: String,
    },
}
