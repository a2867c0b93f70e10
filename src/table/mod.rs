//! Tables over many answers: one row for each head at each answer token, and one row for each sample, as Parquet files
//! that DuckDB, pandas and any other reader of Parquet opens. docs/tables.md describes the columns.

mod error;
mod expected;
mod file;
mod heads;
pub mod input;
mod merge;
mod model_sizes;
mod row_check;
mod samples;
mod schema;
pub mod statistics;
mod store;

pub use error::TableError;
pub use expected::{Expected, Rule};
pub use file::{TableReader, TableWriter, samples_path};
pub use heads::HeadsBuilder;
pub use merge::{Duplicates, Source, merge};
pub use model_sizes::ModelSizes;
pub use samples::{Given, SampleRow, read_samples, samples_batch};
pub use schema::{Column, Range, TABLE_VERSION, TableKind, Type};
pub use store::TableStore;

type Result<T> = std::result::Result<T, TableError>;
