//! A table of millions of rows: writing, putting together, opening, and reading one head of it.

use super::meter::{Resident, note, rounded};
use crate::job::CancelToken;
use crate::table::{
    Duplicates, Given, HeadsBuilder, SampleRow, Source, TableKind, TableReader, TableWriter, merge,
    samples_batch,
};
use crate::trace::Trace;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Rows that are put together before they are written.
const BATCH_ROWS: usize = 1 << 18;
/// Runs of each measurement; the fastest counts.
const RUNS: usize = 5;

/// Measures a table of at least `rows` rows, which repeats one trace; the files are removed afterwards.
pub(super) fn run(trace: &Trace, scratch: &Path, rows: usize) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir_in(scratch)
        .with_context(|| format!("cannot write to {}; choose --scratch", scratch.display()))?;
    let source = Source::of(&folder.path().join("parts.parquet"));
    note("table: writing")?;
    let before = Resident::now();
    let start = Instant::now();
    let mut writer = TableWriter::begin(&source.heads, TableKind::Heads)?;
    let (mut heads, mut samples, mut written) = (HeadsBuilder::default(), Vec::new(), 0);
    while written + heads.rows() < rows {
        let index = samples.len() as u32;
        let sample = format!("sample-{index:06}");
        heads.append((&sample, index), trace, &|_| None)?;
        samples.push(SampleRow::new(trace, &Given { sample, index, ..Given::default() }));
        if heads.rows() >= BATCH_ROWS {
            written += heads.rows();
            writer.write(&heads.take()?)?;
        }
    }
    writer.write(&heads.take()?)?;
    let rows = writer.finish()?;
    let write_s = start.elapsed().as_secs_f64();
    let mut writer = TableWriter::begin(&source.samples, TableKind::Samples)?;
    writer.write(&samples_batch(&samples)?)?;
    writer.finish()?;
    note("table: putting together")?;
    let start = Instant::now();
    let merged = Source::of(&folder.path().join("merged.parquet"));
    merge(&[source], &merged, Duplicates::Refuse, &|row| row, &CancelToken::new())?;
    let merge_s = start.elapsed().as_secs_f64();
    let own = |resident: Option<Resident>| resident.map(|resident| resident.own_bytes);
    let growth_bytes =
        own(Resident::now()).zip(own(before)).map(|(after, before)| after.saturating_sub(before));
    note("table: opening and filtering")?;
    let (mut open_ms, mut filter_ms, mut found) = (f64::INFINITY, f64::INFINITY, 0);
    for _ in 0..RUNS {
        let start = Instant::now();
        let reader = TableReader::open(&merged.heads)?;
        open_ms = open_ms.min(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let wanted = [("layer", trace.meta().model.layer_number(1)), ("head", 1)];
        let batches = reader.rows_where(&wanted, &["index", "token", "image_share", "focus"])?;
        filter_ms = filter_ms.min(start.elapsed().as_secs_f64() * 1e3);
        found = batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
    }
    Ok(json!({
        "rows": rows,
        "samples": samples.len(),
        "bytes": std::fs::metadata(&merged.heads)?.len(),
        "write_s": rounded(write_s, 1),
        "merge_s": rounded(merge_s, 1),
        "resident_growth_bytes": growth_bytes,
        "open_ms": rounded(open_ms, 1),
        "one_head_ms": rounded(filter_ms, 1),
        "one_head_rows": found,
    }))
}
