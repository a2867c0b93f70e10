//! Parquet files, and the Arrow files of Hugging Face `datasets`.

use super::error::InputError;
use super::fields::{Fields, Give, twice};
use super::masks::bytes_as_text;
use crate::files::{open_regular, read_text};
use crate::job::contain;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, RecordBatchReader, StructArray};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, DataType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::Value;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Rows that are in memory together: they may hold pictures.
const BATCH_ROWS: usize = 32;

pub(super) fn parquet<E: From<InputError>>(path: &Path, give: Give<'_, E>) -> Result<(), E> {
    let damaged = |error: &dyn std::fmt::Display| {
        InputError::unusable(path, format!("cannot be read as Parquet: {error}"))
    };
    let file = open_regular(path).map_err(InputError::read(path))?;
    let reader = contain(|| {
        ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build()
    });
    let reader = reader.map_err(|panic| damaged(&panic))?.map_err(|error| damaged(&error))?;
    rows(path, reader, give)
}

/// A file of `datasets`: an Arrow stream.
pub(super) fn stream<E: From<InputError>>(path: &Path, give: Give<'_, E>) -> Result<(), E> {
    let file = open_regular(path).map_err(InputError::read(path))?;
    let damaged = |error: &dyn std::fmt::Display| {
        InputError::unusable(
            path,
            format!("cannot be read as an Arrow stream, which `datasets` writes: {error}"),
        )
    };
    let reader = contain(|| StreamReader::try_new(BufReader::new(file), None));
    let reader = reader.map_err(|panic| damaged(&panic))?.map_err(|error| damaged(&error))?;
    rows(path, reader, give)
}

/// The files of a folder that `Dataset.save_to_disk` wrote.
pub(super) fn files_of_state(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    #[derive(Deserialize)]
    struct State {
        #[serde(rename = "_data_files")]
        files: Vec<DataFile>,
        #[serde(rename = "_indices_files", default)]
        indices: Option<Vec<DataFile>>,
    }
    #[derive(Deserialize)]
    struct DataFile {
        filename: String,
    }
    let path = folder.join("state.json");
    let text = read_text(&path).map_err(InputError::read(&path))?;
    let state: State = serde_json::from_str(&text).map_err(|error| {
        InputError::unusable(&path, format!("is not the state of a data set: {error}"))
    })?;
    if state.indices.is_some_and(|indices| !indices.is_empty()) {
        let reason =
            "was saved with a selection of rows: call flatten_indices() before save_to_disk()";
        return Err(InputError::unusable(folder, reason));
    }
    if state.files.iter().any(|file| file.filename.contains(['/', '\\'])) {
        return Err(InputError::unusable(&path, "names files outside of its folder"));
    }
    Ok(state.files.into_iter().map(|file| folder.join(file.filename)).collect())
}

fn rows<E: From<InputError>>(
    path: &Path,
    mut batches: impl RecordBatchReader,
    give: Give<'_, E>,
) -> Result<(), E> {
    let schema = batches.schema();
    if let Some(name) = twice(schema.fields().iter().map(|field| field.name().as_str())) {
        let reason = format!("has the column `{name}` twice: rename one of them");
        return Err(InputError::unusable(path, reason).into());
    }
    let mut number = 0;
    loop {
        let damaged = |error: &dyn std::fmt::Display| {
            InputError::unusable(path, format!("is damaged after row {number}: {error}"))
        };
        // The readers panic on some damaged files.
        let next = contain(|| batches.next()).map_err(|panic| damaged(&panic))?;
        let Some(batch) = next else { return Ok(()) };
        let batch: RecordBatch = batch.map_err(|error: ArrowError| damaged(&error))?;
        for row in 0..batch.num_rows() {
            number += 1;
            give(number, fields(&batch, row))?;
        }
    }
}

fn fields(batch: &RecordBatch, row: usize) -> Result<Fields, String> {
    let mut found = Fields::default();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = field.name();
        if column.is_null(row) {
            found.values.insert(name.clone(), Value::Null);
        } else if let Some(bytes) = bytes(column.as_ref(), row) {
            found.pictures.insert(name.clone(), (format!("{name}-{row}"), bytes.into()));
        } else if let Some((path, bytes)) = column.as_struct_opt().and_then(|of| picture(of, row)) {
            match bytes {
                Some(bytes) => {
                    let path = path.unwrap_or_else(|| name.clone());
                    found.pictures.insert(name.clone(), (path, bytes.into()));
                }
                None => _ = found.values.insert(name.clone(), path.into()),
            }
        } else {
            let value = value(column.as_ref(), row);
            found.values.insert(name.clone(), value);
        }
    }
    Ok(found)
}

/// Bytes of a binary column.
fn bytes(column: &dyn Array, row: usize) -> Option<&[u8]> {
    let small = column.as_binary_opt::<i32>().map(|array| array.value(row));
    let large = || column.as_binary_opt::<i64>().map(|array| array.value(row));
    small.or_else(large).or_else(|| Some(column.as_binary_view_opt()?.value(row)))
}

/// The path and the bytes of a picture as `datasets` stores it: {bytes, path}.
fn picture(of: &StructArray, row: usize) -> Option<(Option<String>, Option<&[u8]>)> {
    let (data, path) = (of.column_by_name("bytes")?, of.column_by_name("path")?);
    let data = (!data.is_null(row)).then(|| bytes(data.as_ref(), row)).flatten();
    let path = match value(path.as_ref(), row) {
        Value::String(path) => Some(path),
        _ => None,
    };
    Some((path, data))
}

/// A value as JSON; types that a question cannot have become null.
fn value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    macro_rules! number {
        ($type:ty) => {
            Value::from(column.as_primitive::<$type>().value(row))
        };
    }
    let list = |values: arrow_array::ArrayRef| -> Value {
        (0..values.len()).map(|at| value(values.as_ref(), at)).collect()
    };
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        DataType::List(_) => list(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row)),
        DataType::Struct(fields) => {
            let of = column.as_struct();
            let pairs = fields.iter().zip(of.columns());
            pairs
                .map(|(field, column)| (field.name().clone(), value(column.as_ref(), row)))
                .collect()
        }
        _ => bytes(column, row).map(bytes_as_text).map_or(Value::Null, Value::from),
    }
}
