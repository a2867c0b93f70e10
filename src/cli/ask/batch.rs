//! `vlmscope ask --batch`: a data set of questions, resumable, as traces and as a table.
//!
//! Each answer is its own record: a row is skipped if its trace, or its row of the table, was made from the same
//! picture, question, options, model and version of this program. An interrupted run therefore goes on at the row where
//! it stopped, and changed rows are answered again.

use super::args::{Args, Keep, options};
use super::resume::{request_key, there_already};
use super::view::{View, as_json, overlay_path, write_overlay};
use crate::analysis::methods::Method;
use crate::cli::common::{note, read_picture, usage};
use crate::cli::objects::{Objects, check_objects, masks_of};
use crate::cli::table::{shard_name, table_path};
use crate::files::FileLock;
use crate::job::CancelToken;
use crate::model::{
    AskRequest, Engine, ModelError, Picture, RelevancyRequest, Turn, blank_logprobs,
};
use crate::table::input::{InputError, InputPicture, InputRow, Names, Read, read_rows};
use crate::table::{Expected, Given, SampleRow, TableError, TableStore};
use crate::terminal;
use crate::trace::Trace;
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Write as _};
#[cfg(unix)]
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Bytes of the name of a sample: it is part of the names of files, which have at most 255.
const MOST_NAME_BYTES: usize = 200;
/// Advice after a signal.
const RESUME: &str = "run the same command again to resume";
/// Missing pictures that are listed at the end.
const MOST_LISTED: usize = 20;

/// A constant: a run goes on where the process that started it is not known.
#[cfg(not(unix))]
const fn parent_id() -> u32 {
    0
}

/// Time between two looks at the process that started this one.
const PARENT_INTERVAL: Duration = Duration::from_millis(500);

/// Outcome of a row.
enum Outcome {
    Answered,
    Kept,
}

/// The folder for traces that this run made. It is removed at the end if no trace came to be.
struct NewFolder<'a>(Option<&'a Path>);

impl Drop for NewFolder<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            // A folder with files stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

pub(super) fn run(args: &Args, input: &Path, cancel: &CancelToken) -> anyhow::Result<()> {
    let mut engine = None;
    if input == Path::new("-") {
        return run_named(args, &mut engine, cancel);
    }
    run_one(args, input, args.data.table.as_deref(), &mut engine, cancel)
}

/// Answers the data sets whose names come on standard input, one a line, with one engine. Each gets its table beside it,
/// and a line of JSON on standard output when it is done.
fn run_named(args: &Args, engine: &mut Option<Engine>, cancel: &CancelToken) -> anyhow::Result<()> {
    if args.data.table.is_some() || args.out.is_some() || args.data.shard.is_some() {
        return Err(usage(
            "with --batch -, each data set gets a table of its own: leave out --table, --out and --shard",
        ));
    }
    let mut failed = 0;
    for line in names_from_stdin(cancel).context("cannot start a thread")? {
        let line = line.context("cannot read the names of data sets from standard input")?;
        if line.is_empty() {
            continue;
        }
        let data = Path::new(&line);
        let table = data.with_extension("answers.parquet");
        let done = run_one(args, data, Some(&table), engine, cancel);
        if cancel.is_cancelled() {
            return done;
        }
        failed += usize::from(done.is_err());
        let error = done.err().map(|error| crate::ui::error_text::error_text(&error));
        let table = table.exists().then_some(&table);
        print_line(&json!({"data": data, "table": table, "error": error}))?;
    }
    if failed > 0 {
        bail!("{failed} data sets have rows that failed, or could not be used");
    }
    Ok(())
}

/// The lines of standard input, read by a thread. When the input has ended and the process that started this one is gone,
/// no answer is awaited any longer: the run is cancelled, so that the memory of the model is free for the next one.
fn names_from_stdin(cancel: &CancelToken) -> io::Result<Receiver<io::Result<String>>> {
    let (sender, names) = channel();
    let (cancel, parent) = (cancel.clone(), parent_id());
    let read = move || {
        for line in io::stdin().lines() {
            let is_last = line.is_err();
            if sender.send(line).is_err() || is_last {
                return;
            }
        }
        drop(sender);
        while parent_id() == parent {
            std::thread::sleep(PARENT_INTERVAL);
        }
        cancel.cancel();
    };
    std::thread::Builder::new().name("names in".into()).spawn(read)?;
    Ok(names)
}

fn run_one(
    args: &Args,
    input: &Path,
    table: Option<&Path>,
    engine: &mut Option<Engine>,
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let names = Names::new(&args.data.columns, args.data.rule).map_err(usage)?;
    let keep = match (args.data.keep, &args.out) {
        (Some(Keep::None), _) | (None, None) => Keep::None,
        (Some(_), None) => return Err(usage("--keep needs --out DIR for the traces")),
        (keep, Some(_)) => keep.unwrap_or(Keep::All),
    };
    if args.out.is_none() && table.is_none() {
        return Err(usage("--batch needs --table FILE.parquet, --out DIR for the traces, or both"));
    }
    // Dropped after the locks, whose files lie in the folder.
    let _new_folder = NewFolder(args.out.as_deref().filter(|out| !out.exists()));
    let mut locks = Vec::new();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out)
            .with_context(|| format!("cannot make the folder {}", out.display()))?;
        locks.push(FileLock::acquire(&out.join("batch"))?);
    }
    let store = match table {
        Some(table) => Some(TableStore::open(&shard_path(&table_path(table)?, args))?),
        None => None,
    };
    let mut batch = Batch {
        args,
        keep,
        cancel,
        view: View::new(true),
        engine,
        store,
        seen: HashMap::new(),
        rows: 0,
        counts: [0; 3],
        missing: Vec::new(),
    };
    let unread = read_rows(input, &names, args.data.pictures.as_deref(), &mut |read| {
        batch.row(read).map_err(Stopped)
    });
    match unread {
        Ok(unread) if !unread.is_empty() => {
            note(&format!(
                "fields of {} that are not read: {}",
                input.display(),
                unread.join(", ")
            ));
        }
        Ok(_) => {}
        Err(Stopped(error)) => {
            // Finished answers stay, for any end of the run.
            batch.keep_what_is_there();
            return Err(error);
        }
    }
    if batch.rows == 0 {
        return Err(usage(format!("{} has no rows with questions", input.display())));
    }
    batch.finish()
}

/// Prints one line of JSON.
fn print_line(value: &Value) -> anyhow::Result<()> {
    Ok(writeln!(terminal::stdout(), "{}", terminal::json(value, false)?)?)
}

/// The end of a run before its last row.
struct Stopped(anyhow::Error);

impl From<InputError> for Stopped {
    fn from(error: InputError) -> Self {
        Self(error.into())
    }
}

/// FILE-00003-of-00016.parquet for the shard 3 of 16.
fn shard_path(table: &Path, args: &Args) -> PathBuf {
    let Some(shard) = &args.data.shard else { return table.to_owned() };
    let stem = table.file_stem().unwrap_or_default().to_string_lossy();
    table.with_file_name(shard_name(&stem, shard.index, shard.count))
}

/// A run over a data set.
struct Batch<'a> {
    args: &'a Args,
    keep: Keep,
    cancel: &'a CancelToken,
    view: View,
    /// Loaded for the first question.
    engine: &'a mut Option<Engine>,
    store: Option<TableStore>,
    /// The samples of the input with what their rows of the table say beside the answer.
    seen: HashMap<String, (Option<Expected>, Option<String>)>,
    rows: u64,
    /// Rows that were answered, that were there already, and that failed.
    counts: [u64; 3],
    missing: Vec<String>,
}

impl Batch<'_> {
    /// One row of the input.
    fn row(&mut self, Read { number, place, row }: Read) -> anyhow::Result<()> {
        if self.cancel.is_cancelled() {
            bail!("cancelled at {place}; {RESUME}");
        }
        self.rows += 1;
        if self.args.data.shard.as_ref().is_some_and(|shard| !shard.has(number)) {
            return Ok(());
        }
        let done = row.map_err(|reason| anyhow!("{place} {reason}")).and_then(|row| {
            let name = self.name(&row, number).map_err(|reason| anyhow!("{place}: {reason}"))?;
            let done = self.one(&name, number, &row);
            if let InputPicture::File(path) = &row.picture
                && done.is_err()
                && !path.exists()
                && !row.picture_name.starts_with("sample:")
            {
                self.missing.push(path.display().to_string());
            }
            Ok((done.with_context(|| name.clone())?, name))
        });
        match done {
            Ok((outcome, name)) => {
                self.counts[usize::from(matches!(outcome, Outcome::Kept))] += 1;
                let _ = writeln!(terminal::stderr(), "{} · {name}", self.rows);
            }
            Err(_) if self.cancel.is_cancelled() => bail!("cancelled at {place}; {RESUME}"),
            Err(error) if is_full_disk(&error) || is_unreachable(&error) => return Err(error),
            Err(error) => {
                self.counts[2] += 1;
                let said = crate::ui::error_text::error_text(&error);
                let _ = writeln!(terminal::stderr(), "{said}");
                if self.args.json {
                    print_line(&json!({"index": number - 1, "error": said}))?;
                }
            }
        }
        Ok(())
    }

    /// The name of a sample, the same in every run.
    fn name(&mut self, row: &InputRow, number: u64) -> Result<String, String> {
        let name = row.sample(number);
        if name.len() > MOST_NAME_BYTES {
            let start: String = name.chars().take(20).collect();
            return Err(format!(
                "the id \"{start}…\" has {} bytes; it names files and may have {MOST_NAME_BYTES}: give the row a shorter `id`",
                name.len()
            ));
        }
        if name.contains(['/', '\\']) {
            return Err(format!("the id {name:?} must not name a folder"));
        }
        if name.contains(char::is_control) {
            return Err(format!("the id {name:?} must not have control characters"));
        }
        if self.seen.insert(name.clone(), (row.expected.clone(), row.category.clone())).is_some() {
            return Err(format!("the id {name:?} is used twice"));
        }
        Ok(name)
    }

    /// Answers one row, or finds its answer.
    fn one(&mut self, name: &str, number: u64, row: &InputRow) -> anyhow::Result<Outcome> {
        let request = request(row, self.args)?;
        let engine = match &mut *self.engine {
            Some(engine) => engine,
            empty => empty.insert(self.view.load(self.args)?),
        };
        let masks = masks_of(row)?;
        let key = request_key(&request, row, &masks, engine, self.args)?;
        let is_kept = |answer: &str| self.keep.keeps(number, row.expected.as_ref(), answer);
        let path = self.args.out.as_ref().map(|out| out.join(format!("{name}.vlmtrace")));
        let known = self.store.as_ref().and_then(|store| store.known(name));
        let known = known.filter(|known| {
            let has_trace = path.as_ref().is_some_and(|path| path.exists());
            known.request == key && (has_trace || !is_kept(&known.answer))
        });
        if let Some(known) = known {
            self.print(name, row, &known.answer, known.trace.as_deref(), json!({}))?;
            return Ok(Outcome::Kept);
        }
        // A fault of the row is found before the model works on it.
        let index = u32::try_from(number - 1).context("there are too many rows for a table")?;
        if self.store.is_some() {
            check_objects(row, &masks, request.picture.as_ref())?;
        }
        let done = path.as_deref().and_then(|path| there_already(path, &request, engine));
        let trace = match &done {
            Some(trace) => trace.clone(),
            None => self.view.ask(engine, &request, self.cancel)?,
        };
        let path = path.filter(|_| is_kept(&trace.meta().answer));
        if let Some(path) = &path {
            write(&trace, path, done.is_none(), self.args)?;
        }
        let measured = measured(engine, &trace, self.args, self.cancel)?;
        if let Some(path) = path.as_ref().filter(|_| measured.id() != trace.id()) {
            measured.add_maps(&trace, path)?;
        }
        let place = path.as_ref().map(|path| path.display().to_string());
        if let Some(store) = &mut self.store {
            let objects = Objects::of_row(&measured, row, masks)?;
            let given = Given {
                sample: name.to_owned(),
                index,
                picture: row.picture_name.clone(),
                expected: row.expected.clone(),
                category: row.category.clone(),
                object: objects.of_sample(&measured),
                trace: place.clone(),
                request: key,
                turns: row.turns.clone(),
            };
            store.add(&measured, &given, &|token| objects.inside(&measured, token))?;
        }
        let details = as_json(&measured, path.as_deref().unwrap_or(Path::new("")));
        self.print(name, row, &measured.meta().answer, place.as_deref(), details)?;
        Ok(if done.is_some() { Outcome::Kept } else { Outcome::Answered })
    }

    /// One line on standard output; with `--json` an object of `details` and what is known of the row.
    fn print(
        &self,
        name: &str,
        row: &InputRow,
        answer: &str,
        trace: Option<&str>,
        mut details: Value,
    ) -> anyhow::Result<()> {
        let line = if self.args.json {
            details["answer"] = json!(answer);
            details["trace"] = json!(trace);
            details["sample"] = json!(name);
            details["correct"] = json!(row.expected.as_ref().map(|one| one.accepts(answer)));
            terminal::json(&details, false)?
        } else {
            [trace.unwrap_or(name), &row.question, answer].map(terminal::field).join("\t")
        };
        Ok(writeln!(terminal::stdout(), "{line}")?)
    }

    /// Writes the answers that no part of the table has yet, after an error that is reported already.
    fn keep_what_is_there(&mut self) {
        if let Some(Err(error)) = self.store.as_mut().map(TableStore::flush) {
            note(&format!("the last answers are not in the table: {error}"));
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let mut table = String::new();
        if let Some(store) = self.store.take() {
            let seen = &self.seen;
            let done = store.finish(&|row| up_to_date(row, seen), self.cancel);
            let [heads, samples] = match done {
                Err(TableError::Cancelled) => {
                    bail!("cancelled while the table was put together; {RESUME}")
                }
                done => done?,
            };
            if samples > seen.len() {
                note(&format!(
                    "{} samples of the table are not in the input; they stay",
                    samples - seen.len()
                ));
            }
            table = format!("; {samples} samples and {heads} rows of heads in the table");
        }
        if !self.missing.is_empty() {
            let _ = writeln!(terminal::stderr(), "missing pictures:");
            for path in self.missing.iter().take(MOST_LISTED) {
                let _ = writeln!(terminal::stderr(), "  {path}");
            }
            let more = self.missing.len().saturating_sub(MOST_LISTED);
            if more > 0 {
                let _ = writeln!(terminal::stderr(), "  and {more} more");
            }
        }
        let [answered, kept, failed] = self.counts;
        let place = match &self.args.out {
            Some(out) => format!("; traces in {}", out.display()),
            None => String::new(),
        };
        let summary =
            format!("{answered} answered, {kept} already there, {failed} failed{place}{table}");
        if failed > 0 {
            bail!("{summary}");
        }
        let _ = writeln!(terminal::stderr(), "{summary}");
        Ok(())
    }
}

/// The question of a row.
fn request(row: &InputRow, args: &Args) -> anyhow::Result<AskRequest> {
    let picture = match &row.picture {
        InputPicture::File(path) => read_picture(path)?,
        InputPicture::Bytes { name, bytes } => Picture { name: name.clone(), bytes: bytes.clone() },
    };
    let turn = |(question, answer): &(String, String)| Turn {
        question: question.clone(),
        answer: answer.clone(),
    };
    Ok(AskRequest {
        picture: Some(picture),
        turns: row.turns.iter().map(turn).collect(),
        question: row.question.clone(),
        options: options(args, row.answer.clone()),
    })
}

/// A row of an earlier run with the expected answer and the category that the input has now.
fn up_to_date(
    row: SampleRow,
    seen: &HashMap<String, (Option<Expected>, Option<String>)>,
) -> SampleRow {
    let Some((expected, category)) = seen.get(&row.sample) else { return row };
    SampleRow {
        expected: expected.as_ref().map(Expected::text),
        rule: expected.as_ref().map(|one| one.rule().to_string()),
        correct: expected.as_ref().map(|one| one.accepts(&row.answer)),
        category: category.clone(),
        ..row
    }
}

/// Adds the relevancy maps and the measurements of the verdict that a trace lacks.
fn measured(
    engine: &mut Engine,
    trace: &Trace,
    args: &Args,
    cancel: &CancelToken,
) -> anyhow::Result<Trace> {
    let known = [trace.map_names(), trace.page_names()].concat();
    let mut wanted = args.relevancy.clone();
    if args.data.verdict && !wanted.contains(&Method::LLM) {
        wanted.push(Method::LLM);
    }
    wanted.retain(|method| !known.contains(&method.tensor));
    let mut found = trace.clone();
    if !wanted.is_empty() {
        let request: RelevancyRequest = args.memory.request(&wanted);
        found = engine.relevancy(&found, &request, cancel, &mut |_| {})?.0;
    }
    if args.data.verdict && !found.has_blank_logprobs() {
        let blank = blank_logprobs(engine, &found, cancel)?;
        found = found.with_blank_logprobs(&blank)?;
    }
    Ok(found)
}

/// Writes a new trace, and its overlay.
fn write(trace: &Trace, path: &Path, is_new: bool, args: &Args) -> anyhow::Result<()> {
    let overlay = overlay_path(path);
    if is_new {
        // The overlay of an older trace must never lie beside a new one, even if the program is killed.
        remove(&overlay)?;
        trace.write(path)?;
    }
    if !args.no_overlay && !overlay.exists() {
        write_overlay(trace, path)?;
    }
    Ok(())
}

/// Whether an error says that the disk is full, so that every later row would fail as well.
fn is_full_disk(error: &anyhow::Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    error.chain().any(|cause| {
        cause.downcast_ref::<TableError>().is_some_and(TableError::is_full_disk)
            || cause.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind()))
    })
}

/// Whether the machine with the model cannot be reached: then no other row can be answered either.
fn is_unreachable(error: &anyhow::Error) -> bool {
    let is_cause = |cause: &ModelError| matches!(cause, ModelError::Unreachable { .. });
    error.chain().any(|cause| cause.downcast_ref::<ModelError>().is_some_and(is_cause))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace {}", path.display()))
        }
        _ => Ok(()),
    }
}
