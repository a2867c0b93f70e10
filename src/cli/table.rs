//! `vlmscope table`: one table over many traces, or over the tables of several machines.

use super::common::{note, print_json, trace_file, usage};
use super::objects::{Objects, masks_of};
use super::places::KnownBoxes;
use crate::job::CancelToken;
use crate::table::input::{InputError, InputRow, Names, read_rows};
use crate::table::{
    Duplicates, Given, HeadsBuilder, ModelSizes, Rule, SampleRow, Source, TableKind, TableWriter,
    merge, samples_batch,
};
use crate::terminal;
use crate::trace::Trace;
use anyhow::{Context as _, anyhow, bail};
use serde_json::json;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Missing shards that are named.
const MOST_MISSING: usize = 8;

/// Write a table over many answers: share, entropy, focus and peak of every head at every answer
/// token, and one row for each answer.
///
/// FILE.parquet gets one row for each answer, answer token, layer and head, FILE.samples.parquet one
/// for each answer. Any reader of Parquet opens them; docs/tables.md describes the columns.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope table traces/ --out answers.parquet          all traces of a folder
  vlmscope table fox.vlmtrace cat.vlmtrace --out two.parquet
  vlmscope table traces/ --data pope.jsonl --out answers.parquet
                                                        with the expected answers of a data set
  vlmscope table answers-*-of-00016.parquet --out answers.parquet
                                                        the tables of 16 machines as one")]
pub(crate) struct Args {
    /// Traces (captured:N for a sample trace), folders of traces, or heads tables to put together.
    #[arg(required = true, value_name = "TRACE", value_parser = trace_file())]
    inputs: Vec<PathBuf>,
    /// The heads table to write; the samples table gets a name beside it.
    #[arg(long, value_name = "FILE.parquet")]
    out: PathBuf,
    /// Data set that the traces answer, for expected answers, categories and objects: a trace belongs
    /// to the row whose id is its name without .vlmtrace (see vlmscope ask --batch).
    #[arg(long, value_name = "DATA", conflicts_with_all = ["boxes", "object"])]
    data: Option<PathBuf>,
    /// Name of a field in the data set, such as expected=answer; may be given several times.
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', requires = "data")]
    columns: Vec<String>,
    /// Comparison with the expected answer: exact, yes-no or contains [default: yes-no where yes or
    /// no is expected, else contains].
    #[arg(long, value_name = "RULE", requires = "data")]
    rule: Option<Rule>,
    /// Boxes of objects in all pictures: a JSON file (the built-in samples have their own).
    #[arg(long, value_name = "FILE.json")]
    boxes: Option<PathBuf>,
    /// Object that all answers are about [default: the one that each word names].
    #[arg(long, value_name = "NOUN")]
    object: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let out = Source::of(&table_path(&args.out)?);
    // No work here polls a token: a signal removes the temporary files and ends the program.
    let (tables, traces) = inputs(&args.inputs)?;
    let (rows, failed) = match (tables.is_empty(), traces.is_empty()) {
        (false, true) => {
            if args.boxes.is_some() || args.object.is_some() || args.data.is_some() {
                return Err(usage("--boxes, --object and --data are for traces, not for tables"));
            }
            note_missing(&missing_shards(&tables));
            let sources: Vec<Source> = tables.iter().map(|path| Source::of(path)).collect();
            (merge(&sources, &out, Duplicates::Refuse, &|row| row, &CancelToken::new())?, 0)
        }
        (true, false) => of_traces(args, &traces, &out)?,
        (true, true) => return Err(usage("there are no traces and no tables to read")),
        (false, false) => {
            return Err(usage(
                "give traces or tables, not both: write a table of the traces first",
            ));
        }
    };
    report(args, &out, rows, failed)
}

/// A path that ends in .parquet.
pub(super) fn table_path(path: &Path) -> anyhow::Result<PathBuf> {
    match path.extension() {
        Some(end) if end == "parquet" => Ok(path.to_owned()),
        None => Ok(path.with_extension("parquet")),
        Some(_) => Err(usage(format!("{}: a table ends in .parquet", path.display()))),
    }
}

/// FILE-00003-of-00016.parquet for the shard 3 of 16 of a table.
pub(super) fn shard_name(stem: &str, index: u64, count: u64) -> String {
    format!("{stem}-{index:05}-of-{count:05}.parquet")
}

/// The stem, the index and the count of a name that [`shard_name`] made.
fn shard_of(name: &str) -> Option<(&str, u64, u64)> {
    let (rest, count) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
    let (stem, index) = rest.rsplit_once('-')?;
    let (index, count) = (index.parse().ok()?, count.parse().ok()?);
    (shard_name(stem, index, count) == name).then_some((stem, index, count))
}

/// Shards of the given tables that are not among them.
fn missing_shards(tables: &[PathBuf]) -> Vec<PathBuf> {
    let mut given: BTreeMap<(&Path, &str, u64), BTreeSet<u64>> = BTreeMap::new();
    for path in tables {
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some((stem, index, count)) = name.and_then(shard_of) {
            let folder = path.parent().unwrap_or(Path::new(""));
            given.entry((folder, stem, count)).or_default().insert(index);
        }
    }
    let missing = given.iter().flat_map(|((folder, stem, count), own)| {
        let others = (1..=*count).filter(|index| !own.contains(index));
        others.map(|index| folder.join(shard_name(stem, index, *count)))
    });
    missing.take(MOST_MISSING).collect()
}

fn note_missing(missing: &[PathBuf]) {
    if missing.is_empty() {
        return;
    }
    let names: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
    let more = if missing.len() == MOST_MISSING { " and perhaps more" } else { "" };
    note(&format!(
        "not all shards are there; the table lacks the samples of {}{more}",
        names.join(", ")
    ));
}

/// The tables and the traces among the inputs.
fn inputs(given: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut tables, mut traces) = (Vec::new(), Vec::new());
    for path in given {
        if path.is_dir() {
            let mut found: Vec<PathBuf> = std::fs::read_dir(path)
                .with_context(|| format!("cannot read the folder {}", path.display()))?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|end| end == "vlmtrace"))
                .collect();
            if found.is_empty() {
                return Err(usage(format!("{}: the folder has no .vlmtrace file", path.display())));
            }
            found.sort();
            traces.extend(found);
        } else if path.extension().is_some_and(|end| end == "parquet") {
            // The samples table is read with its heads table, and before it.
            std::fs::metadata(path)
                .with_context(|| format!("cannot read the table {}", path.display()))?;
            if !path.to_string_lossy().ends_with(".samples.parquet") {
                tables.push(path.clone());
            }
        } else {
            traces.push(path.clone());
        }
    }
    Ok((tables, traces))
}

fn of_traces(args: &Args, traces: &[PathBuf], out: &Source) -> anyhow::Result<([usize; 2], usize)> {
    let mut facts = Facts::read(args)?;
    let mut heads = TableWriter::begin(&out.heads, TableKind::Heads)?;
    let (mut builder, mut samples) = (HeadsBuilder::default(), Vec::new());
    let (mut names, mut models, mut failed) = (HashSet::new(), ModelSizes::default(), 0);
    for (index, path) in (0_u32..).zip(traces) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !names.insert(name.clone()) {
            return Err(usage(format!(
                "two traces are called `{name}`, and samples are told apart by this name: rename {}",
                path.display()
            )));
        }
        let added = (|| -> anyhow::Result<SampleRow> {
            let trace = Trace::open(path)?;
            let (given, objects) = facts.of(&trace, &name, index, path)?;
            builder.append((&name, given.index), &trace, &|token| objects.inside(&trace, token))?;
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
                failed += 1;
                builder = HeadsBuilder::default();
                note(&format!("left out: {}", crate::ui::error_text::error_text(&error)));
            }
        }
    }
    if samples.is_empty() {
        bail!("none of the {failed} traces could be read: no table was written");
    }
    let mut writer = TableWriter::begin(&out.samples, TableKind::Samples)?;
    writer.write(&samples_batch(&samples)?)?;
    Ok((TableWriter::finish_together([heads, writer])?, failed))
}

/// Facts about the answers that the traces do not hold.
struct Facts<'a> {
    args: &'a Args,
    boxes: KnownBoxes<'a>,
    rows: Option<HashMap<String, (u64, InputRow)>>,
}

impl<'a> Facts<'a> {
    fn read(args: &'a Args) -> anyhow::Result<Self> {
        let boxes = KnownBoxes::read(args.boxes.as_deref())?;
        let rows = args.data.as_deref().map(|path| rows_by_sample(path, args)).transpose()?;
        Ok(Self { args, boxes, rows })
    }

    /// Those of one trace, the `index`-th, and the objects in its picture.
    fn of(
        &mut self,
        trace: &Trace,
        name: &str,
        index: u32,
        path: &Path,
    ) -> anyhow::Result<(Given, Objects)> {
        let sample = name.to_owned();
        let place = Some(path.display().to_string());
        let Some(rows) = &mut self.rows else {
            let objects = Objects::new(self.boxes.of(trace)?, Vec::new(), self.args.object.clone());
            // Captured pictures may have no name; each trace then counts as another picture.
            let picture = Some(file_name(trace)).filter(|picture| !picture.is_empty());
            let picture = picture.unwrap_or_else(|| name.to_owned());
            let object = objects.of_sample(trace);
            let given = Given { sample, index, picture, object, trace: place, ..Given::default() };
            return Ok((given, objects));
        };
        let (number, row) = rows.remove(name).ok_or_else(|| {
            anyhow!("{}: the data set has no row with the id {name:?}", path.display())
        })?;
        let objects = Objects::of_row(trace, &row, masks_of(&row)?)?;
        let given = Given {
            sample,
            index: u32::try_from(number - 1).context("there are too many rows for a table")?,
            picture: row.picture_name,
            expected: row.expected,
            category: row.category,
            object: objects.of_sample(trace),
            trace: place,
            ..Given::default()
        };
        Ok((given, objects))
    }
}

/// The rows of a data set with their numbers, by the name of the sample.
fn rows_by_sample(path: &Path, args: &Args) -> anyhow::Result<HashMap<String, (u64, InputRow)>> {
    let names = Names::new(&args.columns, args.rule).map_err(usage)?;
    let mut rows = HashMap::new();
    read_rows(path, &names, None, &mut |read| -> Result<(), InputError> {
        match read.row {
            Ok(row) => match rows.entry(row.sample(read.number)) {
                Entry::Occupied(first) => note(&format!(
                    "{}: the id {:?} is used twice; the first row counts",
                    read.place,
                    first.key()
                )),
                Entry::Vacant(place) => _ = place.insert((read.number, row)),
            },
            Err(reason) => note(&format!("{} {reason}", read.place)),
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The name of the picture's file.
fn file_name(trace: &Trace) -> String {
    let info = trace.meta().preprocess.first();
    info.map(|info| info.file_name.clone()).unwrap_or_default()
}

fn report(
    args: &Args,
    out: &Source,
    [heads, samples]: [usize; 2],
    failed: usize,
) -> anyhow::Result<()> {
    if args.json {
        print_json(&json!({
            "heads": out.heads, "heads_rows": heads,
            "samples": out.samples, "samples_rows": samples,
            "failed": failed,
        }))?;
    } else {
        writeln!(terminal::stdout(), "{heads} rows in {}", out.heads.display())?;
        writeln!(terminal::stdout(), "{samples} rows in {}", out.samples.display())?;
    }
    if failed > 0 {
        bail!("{failed} traces could not be read; the table has the others");
    }
    Ok(())
}
