//! Tables with a number that no program of ours writes.

use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use std::path::Path;
use std::sync::Arc;
use vlmscope::table::{TableKind, TableReader, TableWriter};

/// Writes another number into the last row of a column of u32. Returns the number of that row, from 1.
pub fn change_last_row(path: &Path, kind: TableKind, column: &str, number: u32) -> usize {
    let reader = TableReader::open_kind(path, kind).unwrap();
    let batches: Vec<RecordBatch> = reader.batches().unwrap().map(Result::unwrap).collect();
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut writer = TableWriter::begin(path, kind).unwrap();
    for (at, batch) in batches.iter().enumerate() {
        let place = batch.schema().index_of(column).unwrap();
        let mut columns = batch.columns().to_vec();
        let mut numbers = columns[place].as_primitive::<UInt32Type>().values().to_vec();
        if at + 1 == batches.len() {
            *numbers.last_mut().unwrap() = number;
        }
        columns[place] = Arc::new(UInt32Array::from(numbers)) as ArrayRef;
        writer.write(&RecordBatch::try_new(kind.schema(), columns).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    rows
}
