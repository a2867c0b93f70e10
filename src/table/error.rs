//! Faults of tables.

use crate::files::{self, LockError};
use parquet::errors::ParquetError;
use std::io;
use std::path::{Path, PathBuf};

/// A table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}. {}", path.display(), files::write_hint(source, None))]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is damaged or no Parquet file.
    #[error("{} cannot be read as Parquet: {reason}; write the table again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The message of the reader.
        reason: String,
    },
    /// A Parquet file that is no table of this program, or of another kind or version.
    #[error("{} {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The difference.
        reason: String,
    },
    /// A column is missing, has another type, or holds what it must not hold. Rows are counted from 1.
    #[error("{}: the column `{column}` {reason}; write the table again with this version of vlmscope", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The difference.
        reason: String,
    },
    /// A sample is in two tables that are put together.
    #[error(
        "the sample `{sample}` is in {} and in {}: tables that are put together must have different samples",
        first.display(), second.display()
    )]
    Twice {
        /// The sample's name.
        sample: String,
        /// One table.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Answers of several models: no number of heads may mix them.
    #[error(
        "{} has answers of {} models ({}), and a head of one has no counterpart in another: choose one model by the filter `model = {}`",
        path.display(), models.len(), models.join(", "), models.first().map_or("", String::as_str)
    )]
    SeveralModels {
        /// The file.
        path: PathBuf,
        /// Their names, ascending; at least two.
        models: Vec<String>,
    },
    /// No row has a number in a column.
    #[error("{} has no number in the column `{column}`: {reason}; choose another column", path.display())]
    NoNumbers {
        /// The heads table.
        path: PathBuf,
        /// The column.
        column: String,
        /// The contents of the column.
        reason: String,
    },
    /// A condition cannot be read, or does not fit the table.
    #[error("the condition `{condition}` cannot be used: {reason}")]
    Condition {
        /// The condition.
        condition: String,
        /// The cause.
        reason: String,
    },
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Another process writes the table.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A number of a trace cannot be read.
    #[error("the trace {reason}")]
    Trace {
        /// The missing part.
        reason: String,
    },
}

impl TableError {
    /// The fault of a column.
    pub(super) fn column(path: &Path, column: &str, reason: String) -> Self {
        Self::Column { path: path.to_owned(), column: column.into(), reason }
    }

    /// The fault of reading a Parquet file.
    pub(super) fn reading(path: &Path, error: ParquetError) -> Self {
        let path = path.to_owned();
        match io_of(error) {
            Ok(source) => Self::Read { path, source },
            Err(reason) => Self::Damaged { path, reason },
        }
    }

    /// The fault of writing a Parquet file.
    pub(super) fn writing(path: &Path, error: ParquetError) -> Self {
        let source = io_of(error).unwrap_or_else(io::Error::other);
        Self::Write { path: path.to_owned(), source }
    }

    /// Whether the disk is full: nothing more can be written.
    pub fn is_full_disk(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Write { source, .. } if full.contains(&source.kind()))
    }
}

/// The system's error behind a fault of Parquet, or else the fault's text.
fn io_of(error: ParquetError) -> Result<io::Error, String> {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => Ok(*error),
            Err(error) => Err(error.to_string()),
        },
        error => Err(error.to_string()),
    }
}
