//! The columns of the tables, and their version in the metadata of the files.

use super::{Result, TableError};
use crate::trace::ROW_SUM_TOLERANCE;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float32Type;
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::path::Path;
use std::sync::Arc;

/// The version of the columns: larger ones are refused.
pub const TABLE_VERSION: u32 = 1;

/// The keys of the file's metadata.
pub(super) const KIND_KEY: &str = "vlmscope.table";
pub(super) const VERSION_KEY: &str = "vlmscope.table_version";

/// The two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// One row for each sample, answer token, layer and head.
    Heads,
    /// One row for each sample.
    Samples,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: &'static str,
    /// The type of its values.
    pub of: Type,
    /// Whether values may be missing.
    pub nullable: bool,
    /// The possible values.
    pub range: Range,
}

/// Possible values of a column, beside those that are missing, NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of the type.
    Any,
    /// 0–1.
    Share,
    /// 0 to the logarithm of the number of patches.
    Entropy,
}

impl Range {
    /// The ends.
    const fn ends(self) -> Option<[f32; 2]> {
        match self {
            Self::Any => None,
            // Weights are f16: their sum over a row may be more than 1.
            Self::Share => Some([-ROW_SUM_TOLERANCE, 1.0 + ROW_SUM_TOLERANCE]),
            Self::Entropy => Some([-ROW_SUM_TOLERANCE, MOST_NATS]),
        }
    }

    /// The fault of a value that is outside.
    pub(super) fn fault(self, value: f32) -> Option<String> {
        let [low, high] = self.ends()?;
        let is_outside = value.is_finite() && !(low..=high).contains(&value);
        is_outside.then(|| format!("holds {value:e}, outside of {low} to {high},"))
    }
}

/// ln N of a billion patches.
const MOST_NATS: f32 = 21.0;

/// Types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// UTF-8.
    Text,
    /// u32.
    Number,
    /// f32.
    Float,
    /// f64.
    Double,
    /// True or false.
    Bool,
}

impl Type {
    /// The type of Arrow.
    pub const fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Number => DataType::UInt32,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }
}

const fn column(name: &'static str, of: Type) -> Column {
    Column { name, of, nullable: false, range: Range::Any }
}

const fn optional(name: &'static str, of: Type) -> Column {
    Column { name, of, nullable: true, range: Range::Any }
}

impl Column {
    const fn within(self, range: Range) -> Self {
        Self { range, ..self }
    }

    /// The first row whose value is outside of the range, and the fault.
    pub(super) fn first_outside(&self, values: &ArrayRef) -> Option<(usize, String)> {
        self.range.ends()?;
        let numbers = values.as_primitive_opt::<Float32Type>()?;
        let of_row = |(row, value): (usize, &f32)| {
            self.range.fault(*value).filter(|_| numbers.is_valid(row)).map(|fault| (row, fault))
        };
        numbers.values().iter().enumerate().find_map(of_row)
    }
}

const HEADS: &[Column] = &[
    column("sample", Type::Text),
    column("index", Type::Number),
    column("token", Type::Number),
    column("token_text", Type::Text),
    column("layer", Type::Number),
    column("head", Type::Number),
    column("image_share", Type::Float).within(Range::Share),
    column("entropy", Type::Float).within(Range::Entropy),
    column("focus", Type::Float).within(Range::Share),
    column("peak", Type::Float).within(Range::Share),
    optional("peak_view", Type::Number),
    optional("peak_row", Type::Number),
    optional("peak_column", Type::Number),
    optional("sink_share", Type::Float).within(Range::Share),
    optional("inside", Type::Float).within(Range::Share),
];

const SAMPLES: &[Column] = &[
    column("sample", Type::Text),
    column("index", Type::Number),
    column("picture", Type::Text),
    column("question", Type::Text),
    column("answer", Type::Text),
    optional("expected", Type::Text),
    optional("rule", Type::Text),
    optional("correct", Type::Bool),
    optional("category", Type::Text),
    optional("object", Type::Text),
    column("tokens", Type::Number),
    optional("logprob", Type::Float),
    optional("image_share", Type::Float).within(Range::Share),
    optional("relevancy_share", Type::Float),
    optional("relevancy_inside", Type::Float),
    optional("blank_probability", Type::Float).within(Range::Share),
    optional("kept", Type::Float),
    optional("verdict", Type::Text),
    column("model", Type::Text),
    column("layers", Type::Number),
    column("heads", Type::Number),
    column("patches", Type::Number),
    column("seconds", Type::Double),
    optional("trace", Type::Text),
    column("request", Type::Text),
    optional("turns", Type::Text),
    optional("model_layers", Type::Number),
];

/// Columns that tables of earlier programs lack.
const LATER: &[&str] = &["turns", "model_layers"];

impl TableKind {
    /// The name in the file's metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Samples => "samples",
        }
    }

    /// The columns in their order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Heads => HEADS,
            Self::Samples => SAMPLES,
        }
    }

    /// A column by its name.
    pub fn column(self, name: &str) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.name == name)
    }

    /// The schema of Arrow.
    pub fn schema(self) -> SchemaRef {
        let field = |column: &Column| Field::new(column.name, column.of.arrow(), column.nullable);
        Arc::new(Schema::new(self.columns().iter().map(field).collect::<Vec<_>>()))
    }

    /// The kind that a file's metadata names.
    ///
    /// # Errors
    /// A file that is no table, or one of a later version.
    pub(super) fn of_metadata(path: &Path, find: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let foreign = |reason: String| TableError::Foreign { path: path.to_owned(), reason };
        let Some(name) = find(KIND_KEY) else {
            let reason = "is a Parquet file, but no table of vlmscope: its metadata lacks `vlmscope.table`, which a program that changes a table must keep (docs/tables.md)";
            return Err(foreign(reason.into()));
        };
        let kind = [Self::Heads, Self::Samples].into_iter().find(|kind| kind.name() == name);
        let kind =
            kind.ok_or_else(|| foreign(format!("is a table of the unknown kind `{name}`")))?;
        let version = find(VERSION_KEY).unwrap_or_default();
        match version.parse::<u32>() {
            Ok(version) if version <= TABLE_VERSION => Ok(kind),
            _ => Err(foreign(format!(
                "is a table of version `{version}`, newer than this program knows ({TABLE_VERSION}); update vlmscope"
            ))),
        }
    }

    /// Checks the columns of a file: all but those of later programs must be there, with their types. Others are allowed.
    ///
    /// # Errors
    /// The first column that is wrong.
    pub(super) fn check(self, path: &Path, found: &Schema) -> Result<()> {
        for column in self.columns() {
            let wrong = |reason: String| TableError::column(path, column.name, reason);
            let field = match found.field_with_name(column.name) {
                Ok(field) => field,
                Err(_) if LATER.contains(&column.name) => continue,
                Err(_) => return Err(wrong("is missing".into())),
            };
            let wanted = column.of.arrow();
            if *field.data_type() != wanted {
                return Err(wrong(format!("holds {}, not {wanted}", field.data_type())));
            }
        }
        Ok(())
    }

    /// Checks that no row of a batch lacks a value that every row must have, or has a number outside of its range; `before`
    /// is the number of rows before it.
    ///
    /// # Errors
    /// The first such column and its first such row.
    pub(super) fn check_values(self, path: &Path, batch: &RecordBatch, before: u64) -> Result<()> {
        for column in self.columns() {
            let Some(values) = batch.column_by_name(column.name) else { continue };
            let wrong = |row: usize, reason: String| {
                let row = before + row as u64 + 1;
                TableError::column(path, column.name, format!("{reason} in row {row}"))
            };
            if !column.nullable
                && values.null_count() > 0
                && let Some(row) = (0..batch.num_rows()).find(|&row| values.is_null(row))
            {
                return Err(wrong(row, "has no value".into()));
            }
            if let Some((row, fault)) = column.first_outside(values) {
                return Err(wrong(row, fault));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_table_of_an_earlier_program_lacks_later_columns_only() {
        let without = |name: &str| {
            let schema = TableKind::Samples.schema();
            let fields = schema.fields().iter().filter(|field| field.name() != name);
            Schema::new(fields.cloned().collect::<Vec<_>>())
        };
        let path = Path::new("a.samples.parquet");
        for later in LATER {
            TableKind::Samples.check(path, &without(later)).unwrap();
        }
        let error = TableKind::Samples.check(path, &without("request")).unwrap_err();
        assert!(error.to_string().contains("`request`"), "{error}");
    }
}
