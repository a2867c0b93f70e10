//! A table that is open: its samples in memory, the numbers of its heads on demand.

use super::super::file::{TableReader, samples_path};
use super::super::merge::Source;
use super::super::schema::TableKind;
use super::super::{Result, TableError};
use super::{Mask, SampleColumns};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

/// Size in bytes and time of the last change of a file.
type Stamp = Option<(u64, Option<SystemTime>)>;

fn stamp_of(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

/// A table with its samples. The numbers of heads are read by [`super::Cube::load`].
#[derive(Clone, Debug)]
pub struct DataSet {
    source: Source,
    samples: SampleColumns,
    head_rows: u64,
    /// Of the heads and of the samples table, from before they were read.
    stamps: [Stamp; 2],
}

impl DataSet {
    /// Opens a heads table with the samples table beside it; either may be named. Of the heads table, only the metadata is read.
    ///
    /// # Errors
    /// A damaged or foreign file, with the column that is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = match name.strip_suffix(".samples.parquet") {
            Some(stem) => Source {
                heads: path.with_file_name(format!("{stem}.parquet")),
                samples: path.to_owned(),
            },
            None => Source { heads: path.to_owned(), samples: samples_path(path) },
        };
        let stamps = [stamp_of(&source.heads), stamp_of(&source.samples)];
        let heads = TableReader::open_kind(&source.heads, TableKind::Heads)?;
        let samples = SampleColumns::read(&source.samples).map_err(|error| match error {
            TableError::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                let reason = "is missing: the heads table needs the samples table beside it".into();
                TableError::Foreign { path, reason }
            }
            error => error,
        })?;
        Ok(Self { head_rows: heads.rows(), source, samples, stamps })
    }

    /// The models of some samples, ascending.
    pub fn models(&self, kept: &Mask) -> Vec<String> {
        let rows = kept.rows().into_iter();
        let models: BTreeSet<&str> =
            rows.filter_map(|row| self.samples.text("model", row)).collect();
        models.into_iter().map(str::to_owned).collect()
    }

    /// Checks that some samples are answers of one model: a head of one has no counterpart in another.
    ///
    /// # Errors
    /// [`TableError::SeveralModels`].
    pub fn check_one_model(&self, kept: &Mask) -> Result<()> {
        match self.models(kept) {
            models if models.len() > 1 => {
                Err(TableError::SeveralModels { path: self.source.samples.clone(), models })
            }
            _ => Ok(()),
        }
    }

    /// Whether another table was opened from the same files with the same contents.
    pub fn is_same(&self, other: &Self) -> bool {
        self.source.heads == other.source.heads && self.stamps == other.stamps
    }

    /// Checks that the files are still those that were opened.
    ///
    /// # Errors
    /// The file that was written again, or is gone.
    pub fn check_unchanged(&self) -> Result<()> {
        let files = [&self.source.heads, &self.source.samples];
        match files.into_iter().zip(&self.stamps).find(|(path, stamp)| stamp_of(path) != **stamp) {
            Some((path, _)) => Err(TableError::Foreign {
                path: path.clone(),
                reason: "has changed since it was opened: open the table again".into(),
            }),
            None => Ok(()),
        }
    }

    /// The files.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The samples.
    pub const fn samples(&self) -> &SampleColumns {
        &self.samples
    }

    /// Number of rows of the heads table.
    pub const fn head_rows(&self) -> u64 {
        self.head_rows
    }

    /// A file that a column of the samples table names: relative to the folder of the table, or as it is. Of a file that
    /// is in neither place, the path in the folder of the table.
    pub fn file(&self, named: &str) -> std::path::PathBuf {
        let beside = self.source.samples.with_file_name("").join(named);
        if beside.exists() || !Path::new(named).exists() { beside } else { named.into() }
    }
}
