//! The columns of the tables, and their version in the metadata of the files.

use super::{Result, TableError};
use arrow_array::{Array as _, RecordBatch};
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
}

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
    Column { name, of, nullable: false }
}

const fn optional(name: &'static str, of: Type) -> Column {
    Column { name, of, nullable: true }
}

const HEADS: &[Column] = &[
    column("sample", Type::Text),
    column("index", Type::Number),
    column("token", Type::Number),
    column("token_text", Type::Text),
    column("layer", Type::Number),
    column("head", Type::Number),
    column("image_share", Type::Float),
    column("entropy", Type::Float),
    column("focus", Type::Float),
    column("peak", Type::Float),
    optional("peak_view", Type::Number),
    optional("peak_row", Type::Number),
    optional("peak_column", Type::Number),
    optional("sink_share", Type::Float),
    optional("inside", Type::Float),
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
    optional("image_share", Type::Float),
    optional("relevancy_share", Type::Float),
    optional("relevancy_inside", Type::Float),
    optional("blank_probability", Type::Float),
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
];

/// Columns that tables of earlier programs lack.
const LATER: &[&str] = &["turns"];

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

    /// Checks that no row of a batch lacks a value that every row must have; `before` is the number of rows before it.
    ///
    /// # Errors
    /// The first column and row that lack one.
    pub(super) fn check_values(self, path: &Path, batch: &RecordBatch, before: u64) -> Result<()> {
        for column in self.columns().iter().filter(|column| !column.nullable) {
            let values = batch.column_by_name(column.name).filter(|values| values.null_count() > 0);
            let Some(values) = values else { continue };
            if let Some(row) = (0..batch.num_rows()).find(|&row| values.is_null(row)) {
                let reason = format!("has no value in row {}", before + row as u64 + 1);
                return Err(TableError::column(path, column.name, reason));
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
        TableKind::Samples.check(path, &without("turns")).unwrap();
        let error = TableKind::Samples.check(path, &without("request")).unwrap_err();
        assert!(error.to_string().contains("`request`"), "{error}");
    }
}
