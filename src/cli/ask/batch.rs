//! `vlmscope ask --batch`: many pictures and questions, resumable.
//!
//! A finished trace is its own record: a line whose trace exists and asks the same question of the
//! same model is skipped, so an interrupted run goes on where it stopped.

use super::args::{Args, options};
use super::view::{View, as_json, write_overlay};
use crate::cli::common::usage;
use crate::job::CancelToken;
use crate::model::{AskRequest, Engine, Picture, Turn};
use crate::trace::Trace;
use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One line of the batch file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// A picture, relative to the batch file.
    picture: PathBuf,
    question: String,
    /// Score this answer instead of generating one.
    #[serde(default)]
    answer: Option<String>,
    /// Name of the trace (default: line number and picture).
    #[serde(default)]
    id: Option<String>,
    /// Turns before the question, as [question, answer] pairs.
    #[serde(default)]
    turns: Vec<(String, String)>,
}

/// What became of a line.
enum Outcome {
    Answered,
    Kept,
}

pub(super) fn run(args: &Args, batch: &Path, cancel: &CancelToken) -> anyhow::Result<()> {
    let lines = read(batch)?;
    let out = args.out.as_deref().ok_or_else(|| usage("--batch needs --out DIR"))?;
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot make the folder {}", out.display()))?;
    let base = batch.parent().unwrap_or_else(|| Path::new(""));
    let mut view = View::new(true);
    let mut engine = view.load(args)?;
    let (mut answered, mut kept, mut failed) = (0_usize, 0_usize, 0_usize);
    for (number, (name, line)) in lines.iter().enumerate() {
        if cancel.is_cancelled() {
            bail!(
                "cancelled after {number} of {} lines; run the same command again to go on",
                lines.len()
            );
        }
        match one(args, &mut view, &mut engine, base, &out.join(name), line, cancel) {
            Ok(Outcome::Answered) => answered += 1,
            Ok(Outcome::Kept) => kept += 1,
            Err(error) if cancel.is_cancelled() => return Err(error),
            Err(error) => {
                failed += 1;
                let _ =
                    writeln!(std::io::stderr(), "{name}: {}", crate::ui::tasks::error_text(&error));
            }
        }
        let _ = writeln!(std::io::stderr(), "{} of {} · {name}", number + 1, lines.len());
    }
    let summary = format!(
        "{answered} answered, {kept} already there, {failed} failed; traces in {}",
        out.display()
    );
    if failed > 0 {
        bail!("{summary}");
    }
    let _ = writeln!(std::io::stderr(), "{summary}");
    Ok(())
}

/// The lines with the file names of their traces, all checked before anything runs.
fn read(batch: &Path) -> anyhow::Result<Vec<(String, Line)>> {
    let text = std::fs::read_to_string(batch)
        .with_context(|| format!("cannot read {}", batch.display()))?;
    let mut names = HashSet::new();
    let mut lines = Vec::new();
    for (number, text) in (1_usize..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty())
    {
        let line: Line = serde_json::from_str(text).with_context(|| {
            format!("{} line {number} is not {{\"picture\": …, \"question\": …}}", batch.display())
        })?;
        let stem = line
            .picture
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = format!(
            "{}.vlmtrace",
            line.id.clone().unwrap_or_else(|| format!("{number:04}-{stem}"))
        );
        if name.contains(['/', '\\']) {
            return Err(usage(format!(
                "{} line {number}: the id {name:?} must not name a folder",
                batch.display()
            )));
        }
        if !names.insert(name.clone()) {
            return Err(usage(format!(
                "{} line {number}: the id {name:?} stands there twice",
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
) -> anyhow::Result<Outcome> {
    let options = options(args, line.answer.clone());
    let done = Trace::open(path).ok().filter(|trace| {
        let meta = trace.meta();
        meta.question == line.question
            && meta.sampling == options.sampling
            && meta.model.bundle_sha == engine.info().model.bundle_sha
            && line.answer.as_ref().is_none_or(|answer| *answer == meta.answer)
    });
    let outcome = if done.is_some() { Outcome::Kept } else { Outcome::Answered };
    let trace = match done {
        Some(trace) => trace,
        None => {
            let request = AskRequest {
                picture: Some(Picture::read(&base.join(&line.picture))?),
                turns: line
                    .turns
                    .iter()
                    .map(|(question, answer)| Turn {
                        question: question.clone(),
                        answer: answer.clone(),
                    })
                    .collect(),
                question: line.question.clone(),
                options,
            };
            let trace = view.ask(engine, &request, cancel)?;
            trace.write(path)?;
            if !args.no_overlay {
                write_overlay(&trace, path)?;
            }
            trace
        }
    };
    let trace = view.add_relevancy(engine, trace, path, args, cancel)?;
    let mut stdout = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut stdout, &as_json(&trace, path))?;
        writeln!(stdout)?;
    } else {
        writeln!(stdout, "{}\t{}\t{}", path.display(), line.question, trace.meta().answer)?;
    }
    Ok(outcome)
}
