//! `vlmscope relevancy`: adds relevancy and other methods' maps to a trace, and prints shares of relevancy for each
//! word.

use super::common::{
    MemoryFlag, RuntimeFlags, cancel_on_interrupt, check_writable, file_to_change, human_bytes,
    load_engine, print_json, progress_bar, show_progress, sink_json, sinks_text, trace_file, usage,
};
use crate::analysis::methods::{Method, Needs, sinks};
use crate::analysis::relevancy::{Reliance, TextRelevancy, answer_words, mean_row};
use crate::model::{RelevancyTimings, with_trace_method};
use crate::terminal;
use crate::trace::{AnswerIndex, Trace};
use crate::view::figure::token_text;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// Add relevancy maps to a trace: what each word of the answer depends on.
///
/// The gradients of each word's score show on which patches and which words of the question it
/// depends (Chefer et al., rules 5 and 6, as applied in LVLM-Interpret). The maps are added to the
/// trace file, or written to another file with --out.
#[derive(Debug, clap::Args)]
#[command(after_help = methods_and_examples())]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace.
    #[arg(value_parser = trace_file())]
    trace: PathBuf,
    /// Methods, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "llm")]
    methods: Vec<Method>,
    /// Answer tokens for the methods that need one backward pass per word [default: all].
    #[arg(long, value_delimiter = ',', value_name = "I[,J]")]
    token: Vec<u32>,
    /// Bundle that made the trace [default: the built-in model].
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Trace file to write [default: replace the trace].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Seed of `random`.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    memory: MemoryFlag,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

/// The methods of the table, and examples.
fn methods_and_examples() -> String {
    format!(
        "\
Methods (docs/methods.md says how far to trust them):
{}
Examples:
  vlmscope relevancy cat.vlmtrace
  vlmscope relevancy cat.vlmtrace --methods llm,vit,all --json
  vlmscope relevancy cat.vlmtrace --methods all --token 3
  vlmscope relevancy cat.vlmtrace --methods rollout,relative,no-sinks
  vlmscope score cat.vlmtrace --word cat                             which map to believe
  vlmscope render cat.vlmtrace --view relevancy --token 3 --out why.png",
        Method::help()
    )
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let generated = trace.shape().generated as u32;
    if let Some(token) = args.token.iter().find(|&&token| token >= generated) {
        return Err(usage(format!(
            "answer token {token} does not exist: the answer has tokens 0 to {}",
            generated.saturating_sub(1)
        )));
    }
    let out = &file_to_change(&args.trace, args.out.as_deref())?;
    check_writable(out)?;
    let cancel = cancel_on_interrupt();
    let bar = progress_bar();
    let mut methods: Vec<Method> = Vec::new();
    for method in &args.methods {
        if !methods.contains(method) {
            methods.push(*method);
        }
    }
    // Methods of backward passes share those passes.
    let (relevancies, others): (Vec<Method>, Vec<Method>) =
        methods.into_iter().partition(|method| method.is_from_backward_pass());
    let mut request = args.memory.request(&relevancies);
    request.tokens = args.token.iter().map(|&token| AnswerIndex(token)).collect();
    // Methods that read only the trace work on any trace, even without its model.
    let needs_model = |method: &Method| !matches!(method.needs(), Needs::Trace);
    let mut engine = if !relevancies.is_empty() || others.iter().any(needs_model) {
        let mut tell = |progress| show_progress(&bar, progress);
        Some(load_engine(args.model.as_deref(), &args.runtime, &mut tell)?)
    } else {
        None
    };
    let estimate = match &mut engine {
        Some(engine) => Some(engine.relevancy_memory(&trace, &request, &cancel)?),
        None => None,
    };
    let (mut found, mut timings) = (trace.clone(), RelevancyTimings::default());
    if let Some(engine) = &mut engine
        && !relevancies.is_empty()
    {
        let with_relevancy = engine.relevancy(&found, &request, &cancel, &mut |progress| {
            show_progress(&bar, progress);
        });
        bar.finish_and_clear();
        (found, timings) = with_relevancy?;
    }
    for &method in &others {
        bar.set_message(format!("computing {method}"));
        found = match &mut engine {
            Some(engine) => {
                engine.with_method(&found, method, &request.tokens, args.seed, &cancel)?
            }
            None => with_trace_method(&found, method, &request.tokens, args.seed)?,
        };
    }
    bar.finish_and_clear();
    found.write_maps(&trace, out)?;
    let removed = others.contains(&Method::NO_SINKS).then(|| sinks(&found)).flatten();
    let removed = removed.unwrap_or_default();
    let methods: Vec<&str> = args.methods.iter().map(|method| method.name).collect();
    if args.json {
        let mut report = as_json(&found, &relevancies, &timings);
        report["methods"] = json!(methods);
        report["trace"] = json!(out);
        report["memory_estimate_bytes"] = json!(estimate.map(|estimate| estimate.working_bytes));
        report["sinks"] = removed.iter().map(|sink| sink_json(&found, sink)).collect();
        print_json(&report)
    } else {
        print_words(&found)?;
        if !removed.is_empty() {
            writeln!(terminal::stdout(), "removed as sinks: {}", sinks_text(&found, &removed))?;
        }
        writeln!(
            terminal::stderr(),
            "{} of {generated} tokens in {:.2} s · wrote {} ({})",
            methods.join(", "),
            timings.total_s,
            out.display(),
            human_bytes(found.data_bytes()),
        )?;
        Ok(())
    }
}

/// The JSON object of `--json`.
fn as_json(trace: &Trace, methods: &[Method], timings: &RelevancyTimings) -> serde_json::Value {
    let words: Vec<serde_json::Value> = answer_words(trace)
        .into_iter()
        .filter_map(|(text, tokens)| {
            let row = mean_row(trace, Method::LLM.tensor, &tokens)?;
            let reliance = Reliance::from_row(&row, trace);
            let text_relevancy = TextRelevancy::from_row(&row, trace);
            let question: Vec<serde_json::Value> = text_relevancy
                .words
                .iter()
                .map(|word| json!({"text": token_text(&word.text), "relevancy": word.value}))
                .collect();
            let Reliance { picture, question: asked, answer, other } = reliance;
            Some(json!({
                "text": token_text(&text),
                "tokens": tokens,
                "reliance": {"picture": picture, "question": asked, "answer": answer, "other": other},
                "patch_max": text_relevancy.patch_max,
                "patch_sum": text_relevancy.patch_sum,
                "question_words": question,
            }))
        })
        .collect();
    let methods: Vec<&str> = methods.iter().map(|method| method.name).collect();
    json!({
        "methods": methods,
        "maps": trace.map_names(),
        "words": words,
        "timings_s": timings,
    })
}

/// A line a word: its shares, and the question word with the highest relevancy for it.
fn print_words(trace: &Trace) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    let mut lines = Vec::new();
    for (text, tokens) in answer_words(trace) {
        let Some(row) = mean_row(trace, Method::LLM.tensor, &tokens) else { continue };
        let most = TextRelevancy::from_row(&row, trace)
            .words
            .into_iter()
            .max_by(|a, b| a.value.total_cmp(&b.value))
            .map_or_else(String::new, |word| token_text(&word.text));
        lines.push((token_text(&text), Reliance::from_row(&row, trace), most));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let longest = lines.iter().map(|(text, ..)| text.chars().count()).max().unwrap_or(0).max(4);
    writeln!(out, "{:longest$}  picture  question  answer  most relevant word", "word")?;
    for (text, reliance, most) in lines {
        let percent = |share: f32| format!("{:.0} %", share * 100.0);
        writeln!(
            out,
            "{text:longest$}  {:>7}  {:>8}  {:>6}  {most}",
            percent(reliance.picture),
            percent(reliance.question),
            percent(reliance.answer),
        )?;
    }
    Ok(())
}
