//! `vlmscope ablate`: interventions in the model, and their effect on the answer.
//!
//! Without an intervention every head is switched off in turn; with one, the answer is scored and generated again
//! under it.

use super::common::{
    cancel_on_interrupt, check_writable, print_json, trace_file, usage, with_trace_extension,
};
use super::places::{head, numbers, patch_keys, view, word_keys};
use super::selection::kept;
use super::trace_model::{FromFlag, Meter, ModelFlags, answer_token_texts, shown};
use crate::analysis::diff::words;
use crate::job::CancelToken;
use crate::model::{
    Effect, Engine, Intervention, KnockFrom, Rerun, Rows, ablation_of_each_head, effects,
    effects_of_tokens,
};
use crate::terminal;
use crate::trace::{Head, Layer, Trace, TraceMeta};
use crate::view::figure::{head_name, signed};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;

/// Switch off heads or block attention, and score the answer again.
///
/// Without an option that changes the model, every head is switched off in turn, which gives a
/// matrix of effects on the answer's log-probability. With such an option, the command prints its
/// effect and the answer that the changed model gives.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope ablate fox.vlmtrace                          each head in turn, the strongest effect first
  vlmscope ablate fox.vlmtrace --save                   … and keep the effects in the trace
  vlmscope ablate fox.vlmtrace --head 4.1               layer 4, head 1 (repeat for more)
  vlmscope ablate fox.vlmtrace --knock-patches 2-4,3-6  block patches: rows 2-4, columns 3-6
  vlmscope ablate fox.vlmtrace --keep-patches 2-4,3-6 --from text
  vlmscope ablate fox.vlmtrace --knock-words left --layers 2-5 --json")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace.
    #[arg(value_parser = trace_file())]
    trace: PathBuf,
    /// Switch off this head: LAYER.HEAD, both counted from 0 (may be repeated).
    #[arg(long, value_name = "L.H", value_parser = head, group = "change")]
    head: Vec<[u32; 2]>,
    /// Block attention to these patches: ROW,COLUMN or ranges of both, several separated by `;`.
    #[arg(long, value_name = "ROWS,COLUMNS", group = "change")]
    knock_patches: Option<String>,
    /// View that the patches are counted in, as `vlmscope inspect` numbers them; needed where there are several.
    #[arg(long, value_name = "N")]
    span: Option<u32>,
    /// Block attention to all patches except these.
    #[arg(long, value_name = "ROWS,COLUMNS", group = "change")]
    keep_patches: Option<String>,
    /// Block attention to these words of the question, separated by commas.
    #[arg(long, value_name = "WORD[,WORD]", group = "change", value_delimiter = ',')]
    knock_words: Vec<String>,
    /// Block attention to these key positions, counted from 0.
    #[arg(long, value_name = "POS[-POS]", group = "change")]
    knock_positions: Option<String>,
    /// Query rows whose attention is blocked.
    #[arg(long, value_enum, default_value_t = FromFlag::Answer)]
    from: FromFlag,
    /// Block attention in these layers only [default: all].
    #[arg(long, value_name = "L[-L]")]
    layers: Option<String>,
    /// Write a trace of the answer that the changed model gives.
    #[arg(long, value_name = "FILE", requires = "change")]
    out: Option<PathBuf>,
    /// Add the effect of each head to the trace, as the quantity `effect` of `render` and `export` shows it.
    #[arg(long, conflicts_with = "change")]
    save: bool,
    /// Number of heads to list.
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelFlags,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let change = change(args, trace.meta())?;
    if args.save {
        check_writable(&args.trace)?;
    }
    let out = args.out.as_deref().map(with_trace_extension).transpose()?;
    if let Some(out) = &out {
        check_writable(out)?;
    }
    let cancel = cancel_on_interrupt();
    let meter = Meter::new();
    let mut engine = meter.load(&args.model)?;
    match change {
        Some(change) => {
            let outcome = one(&mut engine, &trace, change, &cancel, &meter);
            meter.finish();
            let (effect, again) = outcome?;
            if let Some(out) = &out {
                again.write(out)?;
                let _ = writeln!(terminal::stderr(), "wrote {}", shown(out));
            }
            print_one(&trace, &effect, &again, args.json)
        }
        None => {
            let changes = ablation_of_each_head(&trace);
            let total = changes.len() as u64;
            let found = effects(&mut engine, &trace, &changes, &cancel, &mut |index, _| {
                meter.step("switching heads off", index as u64 + 1, total);
            });
            meter.finish();
            let found = found?;
            if args.save {
                let with = trace.with_head_effects(&effects_of_tokens(&trace, &found))?;
                with.write_maps(&trace, &args.trace)?;
                let _ = writeln!(terminal::stderr(), "added to {}", shown(&args.trace));
            }
            print_matrix(&trace, &found, args)
        }
    }
}

/// The effect on the trace's own answer, and the answer that the changed model gives.
fn one(
    engine: &mut Engine,
    trace: &Trace,
    change: Intervention,
    cancel: &CancelToken,
    meter: &Meter,
) -> anyhow::Result<(Effect, Trace)> {
    let interventions = change.on(trace.meta());
    let found = effects(engine, trace, &[change], cancel, &mut |_, _| {})?;
    let effect = found.into_iter().next().ok_or_else(|| usage("the trace has no answer"))?;
    let again = Rerun { answer: None, interventions, rows: Rows::Text };
    let trace = engine.again(trace, &again, cancel, &mut |event| meter.event(&event))?;
    Ok((effect, trace))
}

fn change(args: &Args, meta: &TraceMeta) -> anyhow::Result<Option<Intervention>> {
    let from = match args.from {
        FromFlag::Answer => KnockFrom::Answer,
        FromFlag::Text => KnockFrom::Text,
    };
    let layers = match &args.layers {
        Some(text) => numbers(text, "layer", meta.model.layers)?,
        None => Vec::new(),
    };
    let heads_of = args.head.iter().map(|&[layer, _]| layer).filter(|&at| at < meta.model.layers);
    layers.iter().copied().chain(heads_of).try_for_each(|layer| has_attention(layer, meta))?;
    let knock = |keys: Vec<u32>| Intervention::Knock { keys, from, layers: layers.clone() };
    if !args.head.is_empty() {
        for &[layer, head] in &args.head {
            if layer >= meta.model.layers || head >= meta.model.heads {
                return Err(usage(format!(
                    "head {layer}.{head} does not exist: this model has layers 0 to {} and heads 0 to {}",
                    meta.model.layers.saturating_sub(1),
                    meta.model.heads.saturating_sub(1)
                )));
            }
        }
        let heads = args.head.iter().map(|&[layer, head]| (Layer(layer), Head(head))).collect();
        return Ok(Some(Intervention::AblateHeads(heads)));
    }
    if let Some(text) = &args.knock_patches {
        return Ok(Some(knock(patch_keys(text, view(args.span, meta)?)?)));
    }
    if let Some(text) = &args.keep_patches {
        let keys = patch_keys(text, view(args.span, meta)?)?;
        return Ok(Some(Intervention::KeepPatches { keys, from, layers }));
    }
    if !args.knock_words.is_empty() {
        return Ok(Some(knock(word_keys(&args.knock_words, meta)?)));
    }
    if let Some(text) = &args.knock_positions {
        return Ok(Some(knock(numbers(text, "position", meta.positions() as u32)?)));
    }
    if args.layers.is_some() || args.from != FromFlag::Answer {
        return Err(usage(
            "--from and --layers limit where attention is blocked; add --knock-patches, \
            --keep-patches, --knock-words or --knock-positions",
        ));
    }
    Ok(None)
}

/// Refuses a layer without attention, in which there is nothing to change.
fn has_attention(layer: u32, meta: &TraceMeta) -> anyhow::Result<()> {
    if meta.model.layer_index(layer).is_some() {
        return Ok(());
    }
    Err(usage(format!(
        "layer {layer} of this model has no attention; layers with attention: {}",
        kept(&meta.model.layer_numbers())
    )))
}

fn print_one(trace: &Trace, effect: &Effect, again: &Trace, as_json: bool) -> anyhow::Result<()> {
    let (before, after) = (&trace.meta().answer, &again.meta().answer);
    if as_json {
        return print_json(&json!({
            "question": trace.meta().question,
            "answer": before,
            "new_answer": after,
            "words": words(before, after),
            "delta_logprob": effect.total(),
            "tokens": tokens(trace, effect),
        }));
    }
    let mut out = terminal::stdout();
    writeln!(out, "before  {before}\nafter   {after}")?;
    writeln!(
        out,
        "Δ log-probability of the original answer: {}",
        signed(f64::from(effect.total()), 3)
    )?;
    for (index, (word, delta)) in
        answer_token_texts(trace).iter().zip(&effect.delta_logprob).enumerate()
    {
        writeln!(out, "  {index:>3} {word:<16} {delta:+8.3}")?;
    }
    Ok(())
}

fn tokens(trace: &Trace, effect: &Effect) -> Vec<Value> {
    let told = answer_token_texts(trace).into_iter().zip(&effect.delta_logprob);
    told.map(|(text, delta)| json!({"text": text, "delta_logprob": delta})).collect()
}

fn print_matrix(trace: &Trace, effects: &[Effect], args: &Args) -> anyhow::Result<()> {
    let heads = trace.meta().model.heads.max(1);
    let mut ranked: Vec<(u32, u32, &Effect)> = (0_u32..)
        .zip(effects)
        .map(|(index, effect)| {
            (trace.meta().model.layer_number(index / heads), index % heads, effect)
        })
        .collect();
    ranked.sort_by(|a, b| b.2.total().abs().total_cmp(&a.2.total().abs()));
    if args.json {
        let rows: Vec<Vec<f32>> = effects
            .chunks(heads as usize)
            .map(|row| row.iter().map(Effect::total).collect())
            .collect();
        let heads: Vec<Value> = ranked
            .iter()
            .map(|(layer, head, effect)| {
                json!({
                    "layer": layer,
                    "head": head,
                    "delta_logprob": effect.total(),
                    "changes_answer": effect.changes_answer,
                })
            })
            .collect();
        return print_json(&json!({
            "question": trace.meta().question,
            "answer": trace.meta().answer,
            "delta_logprob": rows,
            "heads": heads,
        }));
    }
    let mut out = terminal::stdout();
    writeln!(out, "{}  →  {}", trace.meta().question, trace.meta().answer)?;
    writeln!(
        out,
        "Δ log-probability of the answer with one head switched off, strongest effect \
        first"
    )?;
    for (layer, head, effect) in ranked.iter().take(args.top) {
        let changed = if effect.changes_answer { "   another answer" } else { "" };
        writeln!(out, "  {:<20} {:+8.3}{changed}", head_name(*layer, *head), effect.total())?;
    }
    let flips = effects.iter().filter(|effect| effect.changes_answer).count();
    writeln!(out, "{flips} of {} heads change the answer when switched off", effects.len())?;
    Ok(())
}
