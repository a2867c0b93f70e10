//! One number of every head for every sample, read from a heads table.

use super::super::file::TableReader;
use super::super::row_check::{Fault, HeadRow, Heads, RowCheck};
use super::super::schema::TableKind;
use super::super::{Result, TableError};
use super::{DataSet, HeadColumn};
use crate::job::CancelToken;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{Array as _, RecordBatch, StringArray, UInt32Array};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Samples × layers × heads that are read at most: 4 GiB.
const MOST_CELLS: usize = 1 << 30;
/// Threads that read row groups.
const MOST_THREADS: usize = 8;
/// Batches that wait to be added.
const WAITING: usize = 16;

/// One number of every head for every sample: the mean over the answer tokens that have a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cube {
    layers: Vec<u32>,
    heads: usize,
    /// Number of samples, also where no layer has a row.
    samples: usize,
    /// \[samples, layers, heads\]; NaN where a sample has no value.
    values: Vec<f32>,
}

impl Cube {
    /// A cube of `values` `[samples, layers, heads]`; `layers` are the model's own numbers. `None` if the sizes do not fit.
    pub fn new(layers: Vec<u32>, heads: usize, values: Vec<f32>) -> Option<Self> {
        let cells = layers.len() * heads;
        let fits = if cells == 0 { values.is_empty() } else { values.len().is_multiple_of(cells) };
        let samples = values.len().checked_div(cells).unwrap_or(0);
        fits.then_some(Self { layers, heads, samples, values })
    }

    /// Reads one column of a heads table with several threads; the numbers follow the samples of `of`. `progress` receives the
    /// number of rows that are read and of all rows.
    ///
    /// # Errors
    /// A damaged table, one that has changed since it was opened, one whose rows do not belong to its samples or are there twice,
    /// a column without any number, or [`TableError::Cancelled`].
    pub fn load(
        of: &DataSet,
        column: HeadColumn,
        progress: &dyn Fn(u64, u64),
        cancel: &CancelToken,
    ) -> Result<Self> {
        Loading::new(of, column)?.run(progress, cancel)
    }

    /// The numbers of the layers.
    pub fn layers(&self) -> &[u32] {
        &self.layers
    }

    /// Number of heads of a layer.
    pub const fn heads(&self) -> usize {
        self.heads
    }

    /// Number of layers × heads.
    pub const fn cells(&self) -> usize {
        self.layers.len() * self.heads
    }

    /// Number of samples.
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// The numbers of a sample: \[layers × heads\], NaN where there is none.
    pub fn sample(&self, row: usize) -> &[f32] {
        let cells = self.cells();
        self.values.get(row * cells..(row + 1) * cells).unwrap_or_default()
    }

    /// Layer and head of a cell, in the model's own numbers.
    pub fn head_of(&self, cell: usize) -> Option<[u32; 2]> {
        let layer = self.layers.get(cell.checked_div(self.heads)?)?;
        Some([*layer, (cell % self.heads) as u32])
    }

    /// The cell of a layer, in the model's own numbers, and a head.
    pub fn cell(&self, layer: u32, head: u32) -> Option<usize> {
        let row = self.layers.iter().position(|own| *own == layer)?;
        ((head as usize) < self.heads).then_some(row * self.heads + head as usize)
    }

    /// The mean of some cells for every sample; NaN where a sample has no value of them.
    pub fn mean_of(&self, cells: &[usize]) -> Vec<f64> {
        let mean = |row: usize| {
            let values = self.sample(row);
            let of =
                cells.iter().filter_map(|&cell| values.get(cell)).filter(|value| !value.is_nan());
            let (sum, n) =
                of.fold((0.0, 0.0), |(sum, n), value| (sum + f64::from(*value), n + 1.0));
            sum / n
        };
        (0..self.samples()).map(mean).collect()
    }
}

/// The rows of a batch that are ready to be added.
struct Rows {
    /// Number of rows of the table before them.
    before: u64,
    /// Rows of the samples.
    samples: Vec<u32>,
    tokens: UInt32Array,
    layers: UInt32Array,
    heads: UInt32Array,
    values: arrow_array::Float32Array,
    rows: usize,
}

/// The samples that the rows name, by `find`; rows that follow one of the same sample are not looked up again. Fails with the
/// first row whose sample is not found.
fn samples_of(
    names: &StringArray,
    find: impl Fn(&str) -> Option<u32>,
) -> std::result::Result<Vec<u32>, usize> {
    let mut last: Option<(&str, u32)> = None;
    let sample = |row: usize| {
        let name = names.value(row);
        match last {
            Some((before, sample)) if before == name => Ok(sample),
            _ => {
                let sample = find(name).ok_or(row)?;
                last = Some((name, sample));
                Ok(sample)
            }
        }
    };
    (0..names.len()).map(sample).collect()
}

/// Sums of one layer over the tokens of every sample: \[samples, heads\].
struct Layer {
    sums: Vec<f32>,
    counts: Vec<u32>,
}

/// Everything that was added.
#[derive(Default)]
struct Sums {
    layers: BTreeMap<u32, Layer>,
    check: RowCheck,
    rows: u64,
    /// Rows without a value, and with one that is NaN or infinite.
    missing: u64,
    not_finite: u64,
}

impl Sums {
    /// Why there is no number at all, if there is none.
    fn why_empty(&self) -> Option<String> {
        let Self { rows, missing, not_finite, .. } = self;
        if rows > &(missing + not_finite) {
            return None;
        }
        Some(match (missing, not_finite) {
            (0, 0) => "the table has no rows".into(),
            (_, 0) => format!("it is missing in all {rows} rows"),
            (0, _) => format!("it is NaN or infinite in all {rows} rows"),
            _ => format!(
                "it is missing in {missing} rows and NaN or infinite in the other {not_finite}"
            ),
        })
    }
}

struct Loading<'a> {
    of: &'a DataSet,
    column: HeadColumn,
    /// Rows of the samples by name.
    names: HashMap<&'a str, usize>,
    heads: usize,
    most_layers: usize,
    groups: usize,
}

impl<'a> Loading<'a> {
    fn new(of: &'a DataSet, column: HeadColumn) -> Result<Self> {
        let samples = of.samples();
        let most = |name: &str| {
            (0..samples.len()).map(|row| samples.number(name, row) as usize).max().unwrap_or(0)
        };
        of.check_unchanged()?;
        let (most_layers, heads) = (most("layers"), most("heads"));
        let cells = most_layers.saturating_mul(heads).saturating_mul(samples.len());
        if cells > MOST_CELLS {
            let reason = format!(
                "makes {cells} numbers of {most_layers} layers × {heads} heads for {} samples, of which at most {MOST_CELLS} are read",
                samples.len()
            );
            return Err(samples.wrong("heads", reason));
        }
        let reader = TableReader::open_kind(&of.source().heads, TableKind::Heads)?;
        let groups = reader.groups();
        Ok(Self { of, column, names: samples.by_name()?, heads, most_layers, groups })
    }

    fn run(self, progress: &dyn Fn(u64, u64), cancel: &CancelToken) -> Result<Cube> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MOST_THREADS).min(self.groups.max(1));
        let layers = match self.read(threads, progress, cancel) {
            // Threads meet faults in any order; one alone names the first.
            Err(error) if threads > 1 && !matches!(error, TableError::Cancelled) => {
                self.read(1, progress, cancel)
            }
            outcome => outcome,
        }?;
        self.of.check_unchanged()?;
        Ok(self.cube(layers))
    }

    fn read(
        &self,
        threads: usize,
        progress: &dyn Fn(u64, u64),
        cancel: &CancelToken,
    ) -> Result<BTreeMap<u32, Layer>> {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = bounded(WAITING);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.read_groups(next, &sender, cancel));
            }
            drop(sender);
            // Ends the readers, whose channel closes, also on an error.
            let receiver = receiver;
            self.add_all(&receiver, progress, cancel)
        })
    }

    /// Reads row groups until all are taken, or the receiver is gone.
    fn read_groups(&self, next: &AtomicUsize, to: &Sender<Result<Rows>>, cancel: &CancelToken) {
        loop {
            let group = next.fetch_add(1, Ordering::Relaxed);
            if group >= self.groups || cancel.is_cancelled() {
                return;
            }
            if let Err(error) = self.read_group(group, to, cancel) {
                // A closed channel means that another error was met.
                let _ = to.send(Err(error));
                return;
            }
        }
    }

    fn read_group(
        &self,
        group: usize,
        to: &Sender<Result<Rows>>,
        cancel: &CancelToken,
    ) -> Result<()> {
        self.of.check_unchanged()?;
        let reader = TableReader::open_kind(&self.of.source().heads, TableKind::Heads)?;
        let columns = ["sample", "token", "layer", "head", self.column.name()];
        let mut before = reader.rows_before(group);
        for batch in reader.columns_of_group(group, &columns)? {
            let rows = self.rows(&batch?, before)?;
            before += rows.rows as u64;
            if cancel.is_cancelled() || to.send(Ok(rows)).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn rows(&self, batch: &RecordBatch, before: u64) -> Result<Rows> {
        let missing = |column: &str| self.wrong(column, "is missing".into());
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let number = |name: &str| -> Result<UInt32Array> {
            Ok(column(name)?.as_primitive::<UInt32Type>().clone())
        };
        let names: &StringArray = column("sample")?.as_string();
        let find = |name: &str| Some(*self.names.get(name)? as u32);
        let samples = samples_of(names, find).map_err(|row| {
            let (name, row) = (names.value(row), before + row as u64 + 1);
            let samples = self.of.samples().path().display();
            self.wrong(
                "sample",
                format!("names the sample `{name}` in row {row}, which {samples} lacks"),
            )
        })?;
        Ok(Rows {
            before,
            samples,
            tokens: number("token")?,
            layers: number("layer")?,
            heads: number("head")?,
            values: column(self.column.name())?.as_primitive::<Float32Type>().clone(),
            rows: batch.num_rows(),
        })
    }

    fn add_all(
        &self,
        from: &Receiver<Result<Rows>>,
        progress: &dyn Fn(u64, u64),
        cancel: &CancelToken,
    ) -> Result<BTreeMap<u32, Layer>> {
        let samples = self.of.samples();
        let heads = |row: usize| {
            let number = |name: &str| samples.number(name, row);
            let all = Some(number("model_layers")).filter(|all| !all.is_nan());
            Heads::new(number("layers") as u32, number("heads") as u32, all.map(|all| all as u32))
        };
        let mut sums = Sums {
            check: RowCheck::new((0..samples.len()).map(heads).collect()),
            ..Sums::default()
        };
        for rows in from {
            let rows = rows?;
            self.add(&mut sums, &rows)?;
            progress(sums.rows, self.of.head_rows());
        }
        if cancel.is_cancelled() {
            return Err(TableError::Cancelled);
        }
        self.check_tokens(&sums)?;
        match sums.why_empty() {
            Some(reason) => Err(TableError::NoNumbers {
                path: self.of.source().heads.clone(),
                column: self.column.name().into(),
                reason,
            }),
            None => Ok(sums.layers),
        }
    }

    /// Checks that no head has more values of a sample than it has tokens: some rows then name another layer or head than they
    /// are of.
    fn check_tokens(&self, sums: &Sums) -> Result<()> {
        let tokens = sums.check.tokens();
        for (number, layer) in &sums.layers {
            for (sample, (counts, &most)) in
                layer.counts.chunks(self.heads.max(1)).zip(&tokens).enumerate()
            {
                if let Some(head) = counts.iter().position(|&count| count > most) {
                    let reason = format!(
                        "has {} rows of layer {number}, head {head} of the sample `{}`, which has {most} tokens",
                        counts[head],
                        self.of.samples().name(sample)
                    );
                    return Err(self.wrong("layer", reason));
                }
            }
        }
        Ok(())
    }

    fn add(&self, sums: &mut Sums, rows: &Rows) -> Result<()> {
        let cells = self.of.samples().len() * self.heads;
        let (numbers, heads, values) =
            (rows.layers.values(), rows.heads.values(), rows.values.values());
        let mut at = 0;
        while at < rows.rows {
            let number = numbers[at];
            let run = numbers[at..].iter().take_while(|own| **own == number).count();
            let (first, name) = self.row(rows, at);
            sums.check.check_head(first, name).map_err(|fault| self.fault(fault))?;
            if !sums.layers.contains_key(&number) && sums.layers.len() == self.most_layers {
                let reason = format!(
                    "names the layer {number} in row {}, one more than the {} layers of the samples table",
                    rows.before + at as u64 + 1,
                    self.most_layers
                );
                return Err(self.wrong("layer", reason));
            }
            let layer = sums
                .layers
                .entry(number)
                .or_insert_with(|| Layer { sums: vec![0.0; cells], counts: vec![0; cells] });
            for row in at..at + run {
                let (of, name) = self.row(rows, row);
                sums.check.add(of, name).map_err(|fault| self.fault(fault))?;
                let value = values[row];
                if rows.values.is_null(row) {
                    sums.missing += 1;
                } else if value.is_finite() {
                    let cell = rows.samples[row] as usize * self.heads + heads[row] as usize;
                    layer.sums[cell] += value;
                    layer.counts[cell] += 1;
                } else {
                    sums.not_finite += 1;
                }
            }
            at += run;
        }
        sums.rows += rows.rows as u64;
        Ok(())
    }

    /// A row, and the name of its sample.
    fn row(&self, rows: &Rows, row: usize) -> (HeadRow, impl Fn() -> &'a str) {
        let (of, sample) = (self.of, rows.samples[row]);
        let found = HeadRow {
            sample,
            token: rows.tokens.value(row),
            layer: rows.layers.value(row),
            head: rows.heads.value(row),
            row: rows.before + row as u64 + 1,
        };
        (found, move || of.samples().name(sample as usize))
    }

    fn fault(&self, (column, reason): Fault) -> TableError {
        self.wrong(column, reason)
    }

    fn cube(&self, layers: BTreeMap<u32, Layer>) -> Cube {
        let (numbers, samples) =
            (layers.keys().copied().collect::<Vec<u32>>(), self.of.samples().len());
        let cells = numbers.len() * self.heads;
        let mut values = vec![f32::NAN; samples * cells];
        for (row, (_, layer)) in layers.into_iter().enumerate() {
            let of_sample =
                layer.sums.chunks(self.heads.max(1)).zip(layer.counts.chunks(self.heads.max(1)));
            for (sample, (sums, counts)) in of_sample.enumerate() {
                let from = sample * cells + row * self.heads;
                let place = values[from..from + self.heads].iter_mut();
                for (value, (sum, count)) in place.zip(sums.iter().zip(counts)) {
                    *value = if *count == 0 { f32::NAN } else { sum / *count as f32 };
                }
            }
        }
        Cube { layers: numbers, heads: self.heads, samples, values }
    }

    fn wrong(&self, column: &str, reason: String) -> TableError {
        TableError::column(&self.of.source().heads, column, reason)
    }
}
