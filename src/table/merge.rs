//! Putting tables together: parts of an interrupted run, shards of several machines.

use super::file::{GROUP_ROWS, TableReader, TableWriter, samples_path};
use super::row_check::{HeadRow, Heads, RowCheck};
use super::samples::{SampleRow, read_samples, samples_batch};
use super::schema::TableKind;
use super::{ModelSizes, Result, TableError};
use crate::job::CancelToken;
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt32Type;
use arrow_array::{BooleanArray, RecordBatch, StringArray, UInt32Array};
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
    /// The last source counts: it was written last. Rows of heads without a sample are left out: a run was stopped between both.
    Last,
    /// They are refused.
    Refuse,
}

/// Rows of one batch of the samples table.
const SAMPLE_ROWS: usize = 4096;

/// Puts sources together into one table of heads and one of samples. `update` may bring the rows of samples up to date. Returns
/// the number of rows of both. Inside of a row group, heads are sorted by layer, head, sample and token, so that a reader skips
/// the pages of other heads.
///
/// # Errors
/// A damaged or foreign source, a sample that is there twice, a row of heads that is there twice or (unless
/// [`Duplicates::Last`] says so) of no sample, a full disk, or [`TableError::Cancelled`]; older tables are then still there.
pub fn merge(
    sources: &[Source],
    out: &Source,
    duplicates: Duplicates,
    update: &dyn Fn(SampleRow) -> SampleRow,
    cancel: &CancelToken,
) -> Result<[usize; 2]> {
    let rows = samples_of(sources, duplicates, update)?;
    let mut belonging = Belonging::new(&rows, duplicates);
    let mut writer = TableWriter::begin(&out.heads, TableKind::Heads)?;
    let mut groups = Groups::default();
    for (number, source) in sources.iter().enumerate() {
        log::info!("adding the rows of {}", source.heads.display());
        let mut before = 0;
        for batch in TableReader::open_kind(&source.heads, TableKind::Heads)?.batches()? {
            if cancel.is_cancelled() {
                return Err(TableError::Cancelled);
            }
            let batch = batch?;
            let mask = belonging.of_source(&batch, (number, source), before)?;
            before += batch.num_rows() as u64;
            let kept = filter_record_batch(&batch, &mask)
                .map_err(|error| unsound(&source.heads, &error))?;
            groups.add(kept, &mut writer, &out.heads)?;
        }
    }
    groups.write(&mut writer, &out.heads)?;
    let mut samples = TableWriter::begin(&out.samples, TableKind::Samples)?;
    let rows: Vec<SampleRow> = rows.into_iter().map(|(_, row)| row).collect();
    for part in rows.chunks(SAMPLE_ROWS) {
        samples.write(&samples_batch(part)?)?;
    }
    TableWriter::finish_together([writer, samples])
}

/// The samples of all sources with the number of their source, in the order of the table.
fn samples_of(
    sources: &[Source],
    duplicates: Duplicates,
    update: &dyn Fn(SampleRow) -> SampleRow,
) -> Result<Vec<(usize, SampleRow)>> {
    let mut found: HashMap<String, (usize, SampleRow)> = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        for row in read_samples(&source.samples)? {
            let sample = row.sample.clone();
            let before = found.insert(row.sample.clone(), (number, update(row)));
            match before.filter(|_| duplicates == Duplicates::Refuse) {
                Some((before, _)) if before == number => {
                    let reason = format!("names the sample `{sample}` twice");
                    return Err(TableError::column(&source.samples, "sample", reason));
                }
                Some((before, _)) => {
                    return Err(TableError::Twice {
                        sample,
                        first: sources[before].samples.clone(),
                        second: source.samples.clone(),
                    });
                }
                None => {}
            }
        }
    }
    let mut rows: Vec<(usize, SampleRow)> = found.into_values().collect();
    rows.sort_by(|(_, a), (_, b)| (a.index, &a.sample).cmp(&(b.index, &b.sample)));
    check_sizes(&rows, sources)?;
    Ok(rows)
}

/// Checks that answers of one model have the same layers and heads in all sources.
fn check_sizes(rows: &[(usize, SampleRow)], sources: &[Source]) -> Result<()> {
    let mut sizes = ModelSizes::default();
    for (source, row) in rows {
        sizes.add(&row.model, row.sizes(), *source as u64).map_err(|other| TableError::Foreign {
            path: sources[*source].samples.clone(),
            reason: format!(
                "has {} in the column `{}` for the sample `{}` of the model `{}`, and {} has {}: put only tables of the same model together",
                other.number,
                other.column,
                row.sample,
                row.model,
                sources[other.place as usize].samples.display(),
                other.before
            ),
        })?;
    }
    Ok(())
}

/// Decides which rows of heads belong to the samples of the table.
struct Belonging<'a> {
    /// The source of each sample and its place, by name.
    places: HashMap<&'a str, (usize, u32)>,
    check: RowCheck,
    duplicates: Duplicates,
}

impl<'a> Belonging<'a> {
    fn new(rows: &'a [(usize, SampleRow)], duplicates: Duplicates) -> Self {
        let places = (0_u32..).zip(rows);
        let places =
            places.map(|(place, (source, row))| (row.sample.as_str(), (*source, place))).collect();
        let heads = rows.iter().map(|(_, row)| Heads::of(row)).collect();
        Self { places, check: RowCheck::new(heads), duplicates }
    }

    /// The rows of a batch that belong to samples of this source; `before` is the number of rows before it.
    fn of_source(
        &mut self,
        batch: &RecordBatch,
        (number, source): (usize, &Source),
        before: u64,
    ) -> Result<BooleanArray> {
        let wrong =
            |column: &str, reason: String| TableError::column(&source.heads, column, reason);
        let missing = |column: &str| wrong(column, "is missing".into());
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let samples: &StringArray = column("sample")?.as_string();
        let numbers =
            |name: &str| -> Result<&UInt32Array> { Ok(column(name)?.as_primitive::<UInt32Type>()) };
        let [tokens, layers, heads] = [numbers("token")?, numbers("layer")?, numbers("head")?];
        // Rows of one sample follow each other: one look-up serves them.
        let mut last: Option<(&str, Option<(usize, u32)>)> = None;
        let mut belongs = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let sample = samples.value(row);
            let place = match last.filter(|(known, _)| *known == sample) {
                Some((_, place)) => place,
                None => self.places.get(sample).copied(),
            };
            last = Some((sample, place));
            let place_of_row = before + row as u64 + 1;
            let own = place.filter(|(source, _)| *source == number);
            if own.is_none() && self.duplicates == Duplicates::Refuse {
                let lacks = source.samples.display();
                let reason = format!(
                    "names the sample `{sample}` in row {place_of_row}, which {lacks} lacks"
                );
                return Err(wrong("sample", reason));
            }
            if let Some((_, place)) = own {
                let found = HeadRow {
                    sample: place,
                    token: tokens.value(row),
                    layer: layers.value(row),
                    head: heads.value(row),
                    row: place_of_row,
                };
                let name = || sample;
                self.check.add(found, name).map_err(|(column, reason)| wrong(column, reason))?;
            }
            belongs.push(own.is_some());
        }
        Ok(belongs.into())
    }
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
