//! Putting tables together: parts of an interrupted run, shards of several machines.

use super::file::{GROUP_ROWS, TableReader, TableWriter, samples_path};
use super::samples::{SampleRow, read_samples, samples_batch};
use super::schema::TableKind;
use super::{Result, TableError};
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Two tables of the same samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The heads table.
    pub heads: PathBuf,
    /// The samples table.
    pub samples: PathBuf,
}

impl Source {
    /// A heads table and the samples table beside it.
    pub fn of(heads: &Path) -> Self {
        Self { heads: heads.to_owned(), samples: samples_path(heads) }
    }
}

/// The rule for a sample that is in several sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The last source counts: it was written last.
    Last,
    /// They are refused.
    Refuse,
}

/// Rows of one batch of the samples table.
const SAMPLE_ROWS: usize = 4096;

/// Puts sources together into one table of heads and one of samples. `keep` says which samples stay, and may bring their
/// rows up to date. Returns the number of rows of both. Inside of a row group, heads are sorted by layer, head, sample and token, so that a reader skips the
/// pages of other heads.
///
/// # Errors
/// A damaged or foreign source, a sample that is there twice, or a full disk; older tables are then still there.
pub fn merge(
    sources: &[Source],
    out: &Source,
    duplicates: Duplicates,
    keep: &dyn Fn(SampleRow) -> Option<SampleRow>,
) -> Result<[usize; 2]> {
    let (mut rows, mut source_of) = (HashMap::new(), HashMap::new());
    for (number, source) in sources.iter().enumerate() {
        for row in read_samples(&source.samples)?.into_iter().filter_map(keep) {
            let before = source_of.insert(row.sample.clone(), number);
            if let Some(before) = before.filter(|_| duplicates == Duplicates::Refuse) {
                return Err(TableError::Twice {
                    sample: row.sample,
                    first: sources[before].samples.clone(),
                    second: source.samples.clone(),
                });
            }
            rows.insert(row.sample.clone(), row);
        }
    }
    let mut rows: Vec<SampleRow> = rows.into_values().collect();
    rows.sort_by(|a, b| (a.index, &a.sample).cmp(&(b.index, &b.sample)));
    let mut writer = TableWriter::begin(&out.heads, TableKind::Heads)?;
    let mut groups = Groups::default();
    for (number, source) in sources.iter().enumerate() {
        for batch in TableReader::open_kind(&source.heads, TableKind::Heads)?.batches()? {
            let batch = batch?;
            let mask = of_source(&batch, number, &source_of);
            let kept = filter_record_batch(&batch, &mask)
                .map_err(|error| unsound(&source.heads, &error))?;
            groups.add(kept, &mut writer, &out.heads)?;
        }
    }
    groups.write(&mut writer, &out.heads)?;
    let heads = writer.finish()?;
    let mut writer = TableWriter::begin(&out.samples, TableKind::Samples)?;
    for part in rows.chunks(SAMPLE_ROWS) {
        writer.write(&samples_batch(part)?)?;
    }
    Ok([heads, writer.finish()?])
}

/// The rows of a batch that belong to samples whose last source is `number`.
fn of_source(
    batch: &RecordBatch,
    number: usize,
    source_of: &HashMap<String, usize>,
) -> BooleanArray {
    let Some(samples) = batch.column_by_name("sample") else {
        return BooleanArray::from(vec![false; batch.num_rows()]);
    };
    let samples = samples.as_string::<i32>();
    // Rows of one sample follow each other: one look-up serves them.
    let mut last: Option<(&str, bool)> = None;
    let belongs = |sample| {
        let sample: &str = sample?;
        if let Some((_, known)) = last.filter(|(known, _)| *known == sample) {
            return Some(known);
        }
        let found = source_of.get(sample) == Some(&number);
        last = Some((sample, found));
        Some(found)
    };
    samples.iter().map(belongs).collect()
}

fn unsound(path: &Path, error: &arrow_schema::ArrowError) -> TableError {
    TableError::Damaged { path: path.to_owned(), reason: error.to_string() }
}

/// Rows that wait until they fill a row group.
#[derive(Default)]
struct Groups {
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Groups {
    fn add(&mut self, batch: RecordBatch, writer: &mut TableWriter, path: &Path) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.rows + batch.num_rows() > GROUP_ROWS {
            self.write(writer, path)?;
        }
        self.rows += batch.num_rows();
        self.batches.push(batch);
        Ok(())
    }

    fn write(&mut self, writer: &mut TableWriter, path: &Path) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let batches = std::mem::take(&mut self.batches);
        let failed = |error: arrow_schema::ArrowError| unsound(path, &error);
        let whole = concat_batches(&TableKind::Heads.schema(), &batches).map_err(failed)?;
        drop(batches);
        let sorted = take_record_batch(&whole, &order(&whole)).map_err(failed)?;
        writer.write(&sorted)?;
        writer.end_group()
    }
}

/// The order of rows by layer, head, sample and token.
fn order(batch: &RecordBatch) -> UInt32Array {
    let mut keys = vec![(0_u128, 0_u32); batch.num_rows()];
    for (row, key) in (0..).zip(&mut keys) {
        key.1 = row;
    }
    for name in ["layer", "head", "index", "token"] {
        let column = batch.column_by_name(name).map(|column| column.as_primitive::<UInt32Type>());
        let values = column.map(|column| column.values().as_ref()).unwrap_or_default();
        for ((key, _), value) in keys.iter_mut().zip(values) {
            *key = *key << u32::BITS | u128::from(*value);
        }
    }
    keys.sort_unstable();
    keys.into_iter().map(|(_, row)| row).collect::<Vec<u32>>().into()
}
