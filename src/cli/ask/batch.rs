//! `vlmscope ask --batch`: many pictures and questions, resumable.
//!
//! A finished trace is its own record: a line is skipped if its trace was made from the same picture, question,
//! options, model and version of this program. An interrupted run therefore goes on at the line where it stopped, and
//! changed lines are answered again.

use super::args::{Args, options};
use super::view::{View, as_json, overlay_path, write_overlay};
use crate::cli::common::{read_picture_beside, usage};
use crate::files::{self, FileLock};
use crate::job::CancelToken;
use crate::model::{AskRequest, Engine, Turn, WRITER};
use crate::terminal;
use crate::trace::Trace;
use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashSet;
use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// One line of the batch file. The question files of POPE and LLaVA have other names for the same fields, and further
/// fields, which are ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// A picture, relative to the batch file, or `sample:N`.
    #[serde(alias = "image")]
    picture: PathBuf,
    #[serde(alias = "text")]
    question: String,
    /// Score this answer instead of generating one.
    #[serde(default)]
    answer: Option<String>,
    /// Name of the trace (default: line number and picture).
    #[serde(default, alias = "question_id")]
    id: Option<Id>,
    /// Turns before the question, as [question, answer] pairs.
    #[serde(default)]
    turns: Vec<(String, String)>,
    /// The right answer in POPE's files.
    #[serde(default, rename = "label")]
    _label: IgnoredAny,
    /// The kind of question in LLaVA's files.
    #[serde(default, rename = "category")]
    _category: IgnoredAny,
}

/// A text, or a number as in POPE's and LLaVA's files.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Outcome of a line.
enum LineOutcome {
    Answered,
    Kept,
}

pub(super) fn run(args: &Args, batch: &Path, cancel: &CancelToken) -> anyhow::Result<()> {
    let lines = read(batch)?;
    let out = args.out.as_deref().ok_or_else(|| usage("--batch needs --out DIR"))?;
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot make the folder {}", out.display()))?;
    let _lock = FileLock::acquire(&out.join("batch"))?;
    let base = batch.parent().unwrap_or_else(|| Path::new(""));
    let mut view = View::new(true);
    let mut engine = view.load(args)?;
    let (mut answered, mut kept, mut failed) = (0_usize, 0_usize, 0_usize);
    for (number, (name, line)) in lines.iter().enumerate() {
        if cancel.is_cancelled() {
            bail!(
                "cancelled after {number} of {} lines; run the same command again to resume",
                lines.len()
            );
        }
        match one(args, &mut view, &mut engine, base, &out.join(name), line, cancel) {
            Ok(LineOutcome::Answered) => answered += 1,
            Ok(LineOutcome::Kept) => kept += 1,
            Err(error) if cancel.is_cancelled() => return Err(error),
            Err(error) => {
                failed += 1;
                let _ = writeln!(
                    terminal::stderr(),
                    "{name}: {}",
                    crate::ui::error_text::error_text(&error)
                );
            }
        }
        let _ = writeln!(terminal::stderr(), "{} of {} · {name}", number + 1, lines.len());
    }
    let summary = format!(
        "{answered} answered, {kept} already there, {failed} failed; traces in {}",
        out.display()
    );
    if failed > 0 {
        bail!("{summary}");
    }
    let _ = writeln!(terminal::stderr(), "{summary}");
    Ok(())
}

/// The lines with the file names of their traces, all checked before anything runs.
fn read(batch: &Path) -> anyhow::Result<Vec<(String, Line)>> {
    let text =
        files::read_text(batch).with_context(|| format!("cannot read {}", batch.display()))?;
    let mut names = HashSet::new();
    let mut lines = Vec::new();
    for (number, text) in (1_usize..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty())
    {
        let line: Line = serde_json::from_str(text).with_context(|| {
            format!(
                "{} line {number} is not {{\"picture\": …, \"question\": …}} (or, as in POPE and LLaVA, {{\"image\": …, \"text\": …}})",
                batch.display()
            )
        })?;
        let stem = line
            .picture
            .file_stem()
            .map(|stem| stem.to_string_lossy().replace(':', "-"))
            .unwrap_or_default();
        let name = format!(
            "{}.vlmtrace",
            line.id.as_ref().map_or_else(|| format!("{number:04}-{stem}"), Id::to_string)
        );
        if name.contains(['/', '\\']) {
            return Err(usage(format!(
                "{} line {number}: the id {name:?} must not name a folder",
                batch.display()
            )));
        }
        if !names.insert(name.clone()) {
            return Err(usage(format!(
                "{} line {number}: the id {name:?} is used twice",
                batch.display()
            )));
        }
        lines.push((name, line));
    }
    if lines.is_empty() {
        return Err(usage(format!("{} has no lines", batch.display())));
    }
    Ok(lines)
}

fn one(
    args: &Args,
    view: &mut View,
    engine: &mut Engine,
    base: &Path,
    path: &Path,
    line: &Line,
    cancel: &CancelToken,
) -> anyhow::Result<LineOutcome> {
    let request = AskRequest {
        picture: Some(read_picture_beside(base, &line.picture)?),
        turns: line
            .turns
            .iter()
            .map(|(question, answer)| Turn { question: question.clone(), answer: answer.clone() })
            .collect(),
        question: line.question.clone(),
        options: options(args, line.answer.clone()),
    };
    let done = there_already(path, &request, engine);
    let outcome = if done.is_some() { LineOutcome::Kept } else { LineOutcome::Answered };
    let overlay = overlay_path(path);
    let trace = match done {
        Some(trace) => trace,
        None => {
            let trace = view.ask(engine, &request, cancel)?;
            // The overlay of an older trace must never lie beside a new one, even if the program is killed.
            remove(&overlay)?;
            trace.write(path)?;
            trace
        }
    };
    if !args.no_overlay && !overlay.exists() {
        write_overlay(&trace, path)?;
    }
    let trace = view.add_relevancy(engine, trace, path, args, cancel)?;
    let line = if args.json {
        terminal::json(&as_json(&trace, path), false)?
    } else {
        let [path, question, answer] =
            [&path.display().to_string(), &line.question, &trace.meta().answer]
                .map(|text| terminal::field(text));
        format!("{path}\t{question}\t{answer}")
    };
    writeln!(terminal::stdout(), "{line}")?;
    Ok(outcome)
}

/// The trace at `path`, if it answers this request; else prints the reason why not.
fn there_already(path: &Path, request: &AskRequest, engine: &Engine) -> Option<Trace> {
    if !path.exists() {
        return None;
    }
    let stale = match Trace::open(path) {
        Ok(trace) => {
            let stale = stale(&trace, request, &engine.info().model.bundle_sha);
            if stale.is_empty() {
                return Some(trace);
            }
            format!("{} changed", stale.join(", "))
        }
        Err(error) => error.to_string(),
    };
    let _ = writeln!(terminal::stderr(), "answering {} again: {stale}", path.display());
    None
}

/// Inputs of the answer that differ between the request and the trace.
fn stale(trace: &Trace, request: &AskRequest, bundle_sha: &str) -> Vec<&'static str> {
    let meta = trace.meta();
    let wanted = request.info();
    let Some(found) = &meta.provenance.request else {
        return vec!["the version of vlmscope"];
    };
    let mut changed = vec![
        ("the picture", found.picture_sha256 != wanted.picture_sha256),
        ("the question", meta.question != request.question),
        ("the earlier turns", found.turns != wanted.turns),
        ("the given answer", found.answer != wanted.answer),
        ("the sampling", meta.sampling != request.options.sampling),
        ("--preprocess", found.preprocess != wanted.preprocess),
        ("--rows", found.all_rows != wanted.all_rows),
        ("--vision-attention", found.vision_attention != wanted.vision_attention),
        ("the model", meta.model.bundle_sha != bundle_sha),
        ("the version of vlmscope", meta.provenance.writer != WRITER),
    ];
    let rest = found.topk != wanted.topk || found.is_altered != wanted.is_altered;
    changed.push(("an edit of the picture or the model", rest));
    changed.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace {}", path.display()))
        }
        _ => Ok(()),
    }
}
