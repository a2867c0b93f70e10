//! `vlmscope diff`: differences between two traces.
//!
//! If the answers differ, the second question is scored with the first answer, so that all compared rows predict the
//! same token. --out keeps that scored trace, and `render --view diff` draws it against the first.

use super::common::{
    cancel_on_interrupt, check_writable, print_json, trace_file, usage, with_trace_extension,
};
use super::trace_model::{Meter, ModelFlags, answer_token_texts, shown};
use crate::analysis::diff::{
    Alignment, Change, TraceDifference, Words, check_geometry, difference, words,
};
use crate::model::{Engine, Rerun};
use crate::terminal;
use crate::trace::Trace;
use crate::view::figure::{head_name, signed};
use anyhow::Context as _;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// Compare two traces: answers, log-probabilities, and attention head by head.
///
/// Compare an edited picture with the original, one question with another, or one model with
/// another of the same geometry. Where the answers differ, the second question is scored with the
/// first answer, which needs the model that made the second trace (`--model`).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope diff before.vlmtrace after.vlmtrace
  vlmscope diff before.vlmtrace after.vlmtrace --out after-scored.vlmtrace
  vlmscope render before.vlmtrace --view diff --second-trace after-scored.vlmtrace --out diff.png
  vlmscope diff a.vlmtrace b.vlmtrace --align shared --json     without a model: only shared tokens")]
pub(crate) struct Args {
    /// The first trace, or captured:N for a sample trace.
    #[arg(value_parser = trace_file())]
    first: PathBuf,
    /// The second trace; changes are second minus first.
    #[arg(value_parser = trace_file())]
    second: PathBuf,
    /// How tokens are aligned where the answers differ.
    #[arg(long, value_enum, default_value_t = AlignFlag::Scored)]
    align: AlignFlag,
    /// Write the second trace, scored with the first answer.
    #[arg(long, value_name = "FILE", conflicts_with = "align")]
    out: Option<PathBuf>,
    /// Number of heads to list, the largest change first.
    #[arg(long, default_value_t = 8)]
    top: usize,
    /// Print one JSON object, with every head.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AlignFlag {
    /// Score the second question with the first answer.
    Scored,
    /// Compare only the tokens that both answers share; needs no model.
    Shared,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let first = Trace::open(&args.first)?;
    let second = Trace::open(&args.second)?;
    check_geometry(first.meta(), second.meta()).map_err(|error| usage(error.to_string()))?;
    let out = args.out.as_deref().map(with_trace_extension).transpose()?;
    if let Some(out) = &out {
        check_writable(out)?;
    }
    let differ = first.answer_ids() != second.answer_ids();
    let scored = if differ && args.align == AlignFlag::Scored {
        let meter = Meter::new();
        let scored = score(&first, &second, args, &meter);
        meter.finish();
        Some(scored?)
    } else {
        None
    };
    let compared = scored.as_ref().unwrap_or(&second);
    let found = difference(&first, compared, scored.is_some())?;
    first.check()?;
    compared.check()?;
    if let Some(out) = &out {
        match &scored {
            Some(scored) => scored.write(out)?,
            None => second.write_maps(&second, out)?,
        }
        let _ = writeln!(terminal::stderr(), "wrote {}", shown(out));
    }
    let words = words(&first.meta().answer, &second.meta().answer);
    if args.json {
        return print_json(&json!({
            "first": about(&first, &args.first),
            "second": about(&second, &args.second),
            "words": words,
            "tokens": tokens(&first, &found),
            "delta_logprob": found.delta_logprob.iter().sum::<f32>(),
            "is_neutral": found.is_neutral(),
            "alignment": found.alignment,
            "heads": found.ranked(),
        }));
    }
    print(&first, &second, &words, &found, args.top)
}

/// The trace of the second question scored with the first answer.
fn score(first: &Trace, second: &Trace, args: &Args, meter: &Meter) -> anyhow::Result<Trace> {
    let cancel = cancel_on_interrupt();
    let mut engine: Engine = meter.load(&args.model)?;
    let answer = first.answer_ids().iter().map(|&id| id as u32).collect();
    let again = Rerun { answer: Some(answer), ..Rerun::default() };
    engine.again(second, &again, &cancel, &mut |event| meter.event(&event)).with_context(|| {
        format!(
            "the answers differ, and {} cannot be scored with the first answer; `--align shared` \
            compares only the tokens that both answers share, without a model",
            shown(&args.second)
        )
    })
}

fn about(trace: &Trace, path: &std::path::Path) -> serde_json::Value {
    let meta = trace.meta();
    json!({
        "trace": path,
        "model": meta.model.name,
        "question": meta.question,
        "answer": meta.answer,
        "logprob": trace.answer_logprobs().iter().sum::<f32>(),
    })
}

fn tokens(first: &Trace, found: &TraceDifference) -> Vec<serde_json::Value> {
    let words = answer_token_texts(first);
    let logprobs = first.answer_logprobs();
    let told = found.tokens.iter().zip(&found.delta_logprob).map(|(&[a, b], delta)| {
        json!({
            "first": a,
            "second": b,
            "text": words.get(a as usize),
            "logprob_first": logprobs.get(a as usize),
            "delta_logprob": delta,
        })
    });
    told.collect()
}

fn print(
    first: &Trace,
    second: &Trace,
    words: &[Words],
    found: &TraceDifference,
    top: usize,
) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    for (name, trace) in [("first ", first), ("second", second)] {
        writeln!(out, "{name}  {}  →  {}", trace.meta().question, trace.meta().answer)?;
    }
    if words.iter().any(|run| run.change != Change::Same) {
        writeln!(out, "words   {}", marked(words))?;
    }
    let aligned = match found.alignment {
        Alignment::Same => "the same answer, token by token",
        Alignment::Scored => "the second question scored with the first answer",
        Alignment::Shared => "only the tokens that both answers share",
    };
    writeln!(out, "compared: {aligned}")?;
    if found.is_neutral() {
        writeln!(out, "no difference: every log-probability and every head is the same")?;
        return Ok(());
    }
    let total: f32 = found.delta_logprob.iter().sum();
    writeln!(out, "Δ log-probability of the first answer: {}", signed(f64::from(total), 3))?;
    let text = answer_token_texts(first);
    for (&[a, _], delta) in found.tokens.iter().zip(&found.delta_logprob) {
        let word = text.get(a as usize).map(String::as_str).unwrap_or_default();
        writeln!(out, "  {a:>3} {word:<16} {delta:+8.3}")?;
    }
    writeln!(
        out,
        "\nheads whose attention on the picture changed most (0–1), and their image share"
    )?;
    for head in found.ranked().iter().take(top) {
        writeln!(
            out,
            "  {:<20} {:.3}   {:.3} → {:.3}",
            head_name(head.layer, head.head),
            head.moved,
            head.image_share_first,
            head.image_share_second
        )?;
    }
    Ok(())
}

/// "The balloon is [-red.-]{+blue.+}", in the notation of `git diff --word-diff`.
fn marked(words: &[Words]) -> String {
    words
        .iter()
        .map(|run| match run.change {
            Change::Same => run.text.clone(),
            Change::Removed => format!("[-{}-]", run.text),
            Change::Added => format!("{{+{}+}}", run.text),
        })
        .collect()
}
