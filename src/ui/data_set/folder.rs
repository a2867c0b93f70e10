//! A table of the traces in a folder, for as long as the window shows it.

use crate::job::CancelToken;
use crate::table::statistics::DataSet;
use crate::table::{
    Given, HeadsBuilder, ModelSizes, SampleRow, Source, TableKind, TableWriter, samples_batch,
};
use crate::trace::Trace;
use crate::ui::error_text::error_text;
use crate::view::MarkedObject;
use anyhow::Context as _;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A table of traces.
#[derive(Debug)]
pub struct FolderTable {
    /// The folder of the traces.
    pub folder: PathBuf,
    /// The table, in a temporary folder.
    pub data: DataSet,
    /// Removed with the table.
    pub temporary: TempDir,
    /// Errors of traces that were left out.
    pub problems: Vec<String>,
}

/// The traces of a folder in the order of their names.
///
/// # Errors
/// If the folder cannot be read.
pub fn traces_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "vlmtrace"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Makes a table of the traces in a folder. `objects` are those that are marked in the pictures of some of them: the
/// attention inside is computed for these.
///
/// # Errors
/// If there is none that can be read, or the disk is full.
pub fn table_of(
    folder: &Path,
    objects: &HashMap<PathBuf, MarkedObject>,
    progress: &dyn Fn(usize, usize),
    cancel: &CancelToken,
) -> anyhow::Result<FolderTable> {
    let paths = traces_of(folder)?;
    let temporary = tempfile::tempdir().context("cannot make a temporary folder for the table")?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let out = Source::of(&temporary.path().join(format!("{name}.parquet")));
    let mut heads = TableWriter::begin(&out.heads, TableKind::Heads)?;
    let (mut builder, mut samples, mut problems) =
        (HeadsBuilder::default(), Vec::new(), Vec::new());
    let mut models = ModelSizes::default();
    for (index, path) in paths.iter().enumerate() {
        anyhow::ensure!(!cancel.is_cancelled(), "cancelled");
        progress(index, paths.len());
        let added = (|| -> anyhow::Result<SampleRow> {
            let trace = Trace::open(path)?;
            let sample = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let picture = trace.meta().preprocess.first().map(|info| info.file_name.clone());
            let object =
                objects.get(path).map(|object| (object.name.clone(), object.inside(&trace)));
            let inside = object.as_ref().map(|(_, inside)| inside.clone());
            let given = Given {
                object,
                sample: sample.clone(),
                index: index as u32,
                picture: picture.unwrap_or_default(),
                trace: Some(path.display().to_string()),
                ..Given::default()
            };
            builder.append((&sample, index as u32), &trace, &|_| inside.clone())?;
            trace.check()?;
            let row = SampleRow::new(&trace, &given);
            models.add_answer(&row).with_context(|| path.display().to_string())?;
            Ok(row)
        })();
        match added {
            Ok(row) => {
                samples.push(row);
                heads.write(&builder.take()?)?;
            }
            Err(error) => {
                problems.push(error_text(&error));
                builder = HeadsBuilder::default();
            }
        }
    }
    anyhow::ensure!(!samples.is_empty(), "no trace in {} can be read", folder.display());
    let mut writer = TableWriter::begin(&out.samples, TableKind::Samples)?;
    writer.write(&samples_batch(&samples)?)?;
    TableWriter::finish_together([heads, writer])?;
    let data = DataSet::open(&out.heads)?;
    Ok(FolderTable { folder: folder.to_owned(), data, temporary, problems })
}
