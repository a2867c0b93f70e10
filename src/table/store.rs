//! A table that grows while questions are answered, and survives being stopped at any moment.
//!
//! Answers are written in parts, files beside the table: first the heads of a part, then its samples, which makes the
//! part count. When all questions are answered the parts become the table, and only then they are removed. A run that
//! was stopped goes on with the samples that no part has.

use super::file::{TableWriter, samples_path};
use super::heads::HeadsBuilder;
use super::merge::{Duplicates, Source, merge};
use super::samples::{Given, SampleRow, read_samples, samples_batch};
use super::schema::TableKind;
use super::{Result, TableError};
use crate::analysis::inside::Inside;
use crate::files::FileLock;
use crate::job::CancelToken;
use crate::trace::{AnswerIndex, Trace};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A part is written after so many samples, rows of heads, or so much time.
const PART_SAMPLES: usize = 256;
const PART_ROWS: usize = 1 << 18;
const PART_TIME: Duration = Duration::from_secs(10);

/// A table in the making.
pub struct TableStore {
    out: Source,
    /// The folder of the parts.
    folder: PathBuf,
    /// The table of an earlier run and the parts, the oldest first.
    sources: Vec<Source>,
    next_part: u64,
    known: HashMap<String, SampleRow>,
    heads: HeadsBuilder,
    samples: Vec<SampleRow>,
    since: Instant,
    _lock: FileLock,
}

impl TableStore {
    /// Opens the table `out` with the samples that earlier runs have answered.
    ///
    /// # Errors
    /// If another process writes this table, or if a table of this name is damaged or none of ours.
    pub fn open(out: &Path) -> Result<Self> {
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source| TableError::Write { path, source }
        };
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let folder = out.with_file_name(format!("{name}.parts"));
        let lock = FileLock::acquire(out)?;
        std::fs::create_dir_all(&folder).map_err(write(&folder))?;
        let out = Source::of(out);
        let mut sources = Vec::new();
        if out.samples.exists() && out.heads.exists() {
            sources.push(out.clone());
        }
        let entries = std::fs::read_dir(&folder)
            .map_err(|source| TableError::Read { path: folder.clone(), source })?;
        let mut numbers: Vec<u64> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                name.strip_suffix(".samples.parquet")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        sources.extend(numbers.iter().map(|&number| part(&folder, number)));
        let mut known = HashMap::new();
        for source in &sources {
            let rows = read_samples(&source.samples)?;
            known.extend(rows.into_iter().map(|row| (row.sample.clone(), row)));
        }
        Ok(Self {
            out,
            folder,
            sources,
            next_part: numbers.last().map_or(0, |last| last + 1),
            known,
            heads: HeadsBuilder::default(),
            samples: Vec::new(),
            since: Instant::now(),
            _lock: lock,
        })
    }

    /// The row of a sample that an earlier run has answered.
    pub fn known(&self, sample: &str) -> Option<&SampleRow> {
        self.known.get(sample)
    }

    /// Adds an answered sample, in place of an older row of the same name; returns its row.
    ///
    /// # Errors
    /// If the trace's numbers cannot be read, or a full disk.
    pub fn add(
        &mut self,
        trace: &Trace,
        given: &Given,
        inside: &dyn Fn(AnswerIndex) -> Option<Inside>,
    ) -> Result<SampleRow> {
        self.heads.append((&given.sample, given.index), trace, inside)?;
        let row = SampleRow::new(trace, given);
        self.samples.push(row.clone());
        let is_full = self.samples.len() >= PART_SAMPLES || self.heads.rows() >= PART_ROWS;
        if is_full || self.since.elapsed() >= PART_TIME {
            self.flush()?;
        }
        Ok(row)
    }

    /// Writes what was added since the last part.
    ///
    /// # Errors
    /// A full disk; what was written before is still there.
    pub fn flush(&mut self) -> Result<()> {
        self.since = Instant::now();
        if self.samples.is_empty() {
            return Ok(());
        }
        let source = part(&self.folder, self.next_part);
        let mut writer = TableWriter::begin(&source.heads, TableKind::Heads)?;
        writer.write(&self.heads.take()?)?;
        writer.finish()?;
        let mut writer = TableWriter::begin(&source.samples, TableKind::Samples)?;
        writer.write(&samples_batch(&self.samples)?)?;
        writer.finish()?;
        self.samples.clear();
        self.sources.push(source);
        self.next_part += 1;
        Ok(())
    }

    /// Makes the parts one table and removes them. `update` may bring the rows of samples up to date. Returns the number of
    /// rows of heads and of samples.
    ///
    /// # Errors
    /// A full disk, or [`TableError::Cancelled`]; the parts are then still there.
    pub fn finish(
        mut self,
        update: &dyn Fn(SampleRow) -> SampleRow,
        cancel: &CancelToken,
    ) -> Result<[usize; 2]> {
        self.flush()?;
        log::info!("putting {} parts together", self.sources.len());
        let rows = merge(&self.sources, &self.out, Duplicates::Last, update, cancel)?;
        let failed = |source| TableError::Write { path: self.folder.clone(), source };
        std::fs::remove_dir_all(&self.folder).map_err(failed)?;
        Ok(rows)
    }
}

impl Drop for TableStore {
    fn drop(&mut self) {
        // Only a folder without parts goes.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn part(folder: &Path, number: u64) -> Source {
    let heads = folder.join(format!("{number:06}.parquet"));
    let samples = samples_path(&heads);
    Source { heads, samples }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::file::TableReader;
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use arrow_array::cast::AsArray as _;
    use std::collections::BTreeMap;

    fn trace(seed: u64) -> Trace {
        let geometry = Geometry::named("small").unwrap();
        Synthetic::new(geometry, RowsKept::Text, seed).unwrap().trace().unwrap()
    }

    fn add(store: &mut TableStore, sample: &str, index: u32, trace: &Trace) {
        let request = format!("request of {sample}");
        let given = Given { sample: sample.into(), index, request, ..Given::default() };
        store.add(trace, &given, &|_| None).unwrap();
    }

    /// Number of rows of heads of each sample.
    fn rows(heads: &Path) -> BTreeMap<String, usize> {
        let mut rows = BTreeMap::new();
        for batch in TableReader::open_kind(heads, TableKind::Heads).unwrap().batches().unwrap() {
            let batch = batch.unwrap();
            for sample in batch.column_by_name("sample").unwrap().as_string::<i32>() {
                *rows.entry(sample.unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        rows
    }

    #[test]
    fn a_run_that_is_killed_loses_and_doubles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("t.parquet");
        let one = trace(1);
        let mut store = TableStore::open(&out).unwrap();
        add(&mut store, "a", 0, &one);
        add(&mut store, "b", 1, &one);
        store.flush().unwrap();
        add(&mut store, "c", 2, &one);
        // Killed: c was in memory only, and heads of a part were written without its samples.
        drop(store);
        let orphan = part(&folder.path().join("t.parquet.parts"), 1);
        std::fs::copy(part(&folder.path().join("t.parquet.parts"), 0).heads, &orphan.heads)
            .unwrap();
        assert!(!out.exists());
        let mut store = TableStore::open(&out).unwrap();
        assert_eq!(store.known("a").unwrap().request, "request of a");
        assert!(store.known("c").is_none());
        add(&mut store, "c", 2, &one);
        // A changed sample is answered again: the newer rows count.
        add(&mut store, "a", 0, &trace(2));
        let each = one.meta().spoken_answers().len() * one.shape().layers * one.shape().heads;
        assert_eq!(store.finish(&|row| row, &CancelToken::new()).unwrap(), [3 * each, 3]);
        let expected = ["a", "b", "c"].map(|name| (name.to_owned(), each));
        assert_eq!(rows(&out), BTreeMap::from(expected));
        assert!(!folder.path().join("t.parquet.parts").exists());
        // The next run finds them in the table, and stops after the heads were replaced, before the samples were.
        let mut store = TableStore::open(&out).unwrap();
        add(&mut store, "d", 3, &one);
        store.flush().unwrap();
        let samples = std::fs::read(samples_path(&out)).unwrap();
        let parts = folder.path().join("kept");
        std::fs::rename(folder.path().join("t.parquet.parts"), &parts).unwrap();
        std::fs::create_dir(folder.path().join("t.parquet.parts")).unwrap();
        for entry in std::fs::read_dir(&parts).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            std::fs::copy(&path, folder.path().join("t.parquet.parts").join(name)).unwrap();
        }
        assert_eq!(store.finish(&|row| row, &CancelToken::new()).unwrap(), [4 * each, 4]);
        std::fs::rename(&parts, folder.path().join("t.parquet.parts")).unwrap();
        std::fs::write(samples_path(&out), samples).unwrap();
        let store = TableStore::open(&out).unwrap();
        assert_eq!(store.finish(&|row| row, &CancelToken::new()).unwrap(), [4 * each, 4]);
        assert_eq!(rows(&out).values().copied().collect::<Vec<_>>(), [each; 4]);
        // The lock keeps other writers away meanwhile.
        let _held = TableStore::open(&out).unwrap();
        assert!(TableStore::open(&out).is_err());
    }
}
