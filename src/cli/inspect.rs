//! `vlmscope inspect`: the contents of a trace or a bundle, read without running a model.

use super::common::{human_bytes, print_json, trace_file};
use super::selection;
use crate::analysis::reduce::Keep;
use crate::files;
use crate::model::Bundle;
use crate::terminal;
use crate::trace::{ModelInfo, STAT_COUNT, Stat, Timings, TokenKind, Trace, ViewOf, WORD_MARKS};
use crate::view::figure::head_name;
use crate::view::{MapChoice, Queries};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Show what is in a trace (NAME.vlmtrace) or a bundle (a folder with a manifest.json).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope inspect cat.vlmtrace
  vlmscope inspect onnx/tiny
  vlmscope inspect cat.vlmtrace --json | jq .tokens")]
pub(crate) struct Args {
    /// A trace file, captured:N for a sample trace, or a bundle folder.
    #[arg(value_parser = trace_file())]
    path: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.path.is_dir() {
        return bundle(&args.path, args.json);
    }
    let trace = Trace::open(&args.path)?;
    if args.json { print_json(&as_json(&trace)) } else { as_text(&trace) }?;
    Ok(trace.check()?)
}

fn bundle(path: &Path, json: bool) -> anyhow::Result<()> {
    let bundle = Bundle::open(path)?;
    if json {
        let manifest: serde_json::Value =
            serde_json::from_slice(&files::read(&bundle.manifest_path(), files::MOST_TEXT_BYTES)?)?;
        return print_json(
            &json!({"kind": "bundle", "sha256": bundle.sha256(), "manifest": manifest}),
        );
    }
    let manifest = bundle.manifest();
    let (text, vision) = (&manifest.text, &manifest.vision);
    let out = &mut terminal::stdout();
    writeln!(
        out,
        "bundle     {} (format {}, {:?})",
        manifest.name, manifest.format_version, manifest.dtype
    )?;
    writeln!(
        out,
        "text       {} · {} layers × {} heads ({} key/value) of {} · hidden {} · vocabulary {} · up to {} positions",
        text.family,
        text.layers,
        text.heads,
        text.kv_heads,
        text.head_dim,
        text.hidden,
        text.vocab,
        text.max_positions
    )?;
    writeln!(
        out,
        "vision     {} · {} layers × {} heads · {} px in {} × {} patches of {} px · features of layer {} ({})",
        vision.family,
        vision.layers,
        vision.heads,
        vision.image_size,
        vision.grid[0],
        vision.grid[1],
        vision.patch_size,
        vision.feature_layer,
        vision.select
    )?;
    writeln!(out, "supports   {}", manifest.capabilities.join(", "))?;
    writeln!(out, "sha256     {} (of the manifest)\n\nfiles", bundle.sha256())?;
    for (name, file) in &manifest.files {
        let role = format!("{:?}", file.role).to_lowercase();
        writeln!(out, "  {name:<24} {role:<10} {:>10}", human_bytes(file.bytes))?;
    }
    Ok(())
}

fn as_json(trace: &Trace) -> serde_json::Value {
    let meta = trace.meta();
    let shape = trace.shape();
    let tensors: Vec<_> = trace
        .tensors()
        .map(|(name, dtype, shape, bytes)| json!({"name": name, "dtype": format!("{dtype:?}"), "shape": shape, "bytes": bytes}))
        .collect();
    json!({
        "kind": "trace",
        "format_version": meta.format_version,
        "model": meta.model,
        "question": meta.question,
        "answer": meta.answer,
        "sampling": meta.sampling,
        "prompt_tokens": meta.prompt_len,
        "generated_tokens": shape.generated,
        "positions": shape.positions,
        "rows": trace.rows(),
        "tokens": meta.tokens,
        "logprobs": &trace.answer_logprobs()[..],
        "spans": meta.spans,
        "span_shares": shares(trace),
        "preprocess": meta.preprocess,
        "attention_scale": meta.attention_scale,
        "maps": trace.map_names(),
        "tensors": tensors,
        "timings_s": meta.timings,
        "provenance": meta.provenance,
    })
}

/// The times that were measured; a dash stands for the others.
fn timings(of: &Timings) -> String {
    let steps = [
        ("preprocess", of.preprocess),
        ("vision", of.vision),
        ("prefill", of.prefill),
        ("decode", of.decode),
    ];
    let text = |(name, seconds): (&str, f64)| match seconds > 0.0 {
        true => format!("{name} {seconds:.3} s"),
        false => format!("{name} –"),
    };
    steps.map(text).join(" · ")
}

fn as_text(trace: &Trace) -> anyhow::Result<()> {
    let meta = trace.meta();
    let shape = trace.shape();
    let out = &mut terminal::stdout();
    writeln!(out, "question   {}", meta.question)?;
    writeln!(out, "answer     {}", meta.answer)?;
    writeln!(
        out,
        "model      {} · {} × {} heads ({} key/value) · vision {} × {}",
        meta.model.name,
        layers_text(&meta.model),
        shape.heads,
        meta.model.kv_heads,
        meta.model.vision_layers,
        meta.model.vision_heads
    )?;
    writeln!(
        out,
        "positions  {} prompt + {} generated; attention over {}; rows kept: {}",
        meta.prompt_len,
        shape.generated,
        shape.positions,
        selection::kept(trace.rows())
    )?;
    let shares = shares(trace);
    let has_views = (0..).zip(&meta.spans).any(|(at, span)| span.picture != at);
    for (view, span) in meta.spans.iter().enumerate() {
        let size = meta.preprocess.get(span.canvas as usize).map_or_else(String::new, |info| {
            let name = if info.file_name.is_empty() { "" } else { " " };
            format!(
                " ·{name}{} {} × {} → {} × {} ({})",
                info.file_name,
                info.original_size[0],
                info.original_size[1],
                info.preprocessed_size[0],
                info.preprocessed_size[1],
                info.mode.name()
            )
        });
        let name = if has_views || span.kind != ViewOf::Whole {
            format!("view {view} ({}): ", span.name())
        } else {
            String::new()
        };
        writeln!(
            out,
            "picture {}  {name}{} × {} patches at positions {}–{}{size}{}",
            span.picture,
            span.rows,
            span.columns,
            span.first,
            span.extent().end - 1,
            shares.get(view).map_or_else(String::new, |share| {
                format!(" · {:.1} % of the answer's attention", share * 100.0)
            })
        )?;
    }
    if let Some(found) = meta.provenance.position_check.as_ref().and_then(|check| check.summary()) {
        writeln!(out, "patches    {found}")?;
    }
    if let Some(reason) = &meta.unplaced {
        writeln!(out, "picture    its tokens have no place: {reason}")?;
    }
    let (timings, provenance) = (timings(&meta.timings), &meta.provenance);
    writeln!(out, "timings    {timings} · {} {}", provenance.provider, provenance.runtime)?;
    answer_table(out, trace)?;
    writeln!(out, "\ntensors")?;
    for (name, dtype, shape, bytes) in trace.tensors() {
        writeln!(
            out,
            "  {name:<24} {:<4} {:<24} {:>10}",
            format!("{dtype:?}"),
            format!("{shape:?}"),
            human_bytes(bytes as u64)
        )?;
    }
    Ok(())
}

/// The share of each view in the attention of the answer: mean over its tokens, all layers and heads. Empty where no
/// row of the answer was kept.
fn shares(trace: &Trace) -> Vec<f32> {
    let spoken = trace.meta().spoken_answers();
    if let [_] = trace.meta().spans.as_slice() {
        // The overview numbers of a row hold this share; its page is a hundred times as large.
        let rows = spoken.iter().map(|answer| trace.row_of_answer(*answer));
        let stats: Option<Vec<_>> = rows.map(|row| trace.stats(row?)).collect();
        let stats = stats.unwrap_or_default();
        let heads = || stats.iter().flat_map(|row| row.chunks_exact(STAT_COUNT));
        let sum: f32 = heads().map(|head| head[Stat::ImageSum as usize]).sum();
        return match heads().count() {
            0 => Vec::new(),
            count => vec![sum / count as f32],
        };
    }
    let choice = MapChoice { queries: Queries::answers(&spoken), ..MapChoice::default() };
    let Ok(numbers) = choice.resolve(trace, Keep::One, false) else { return Vec::new() };
    trace.meta().view_sums(&numbers.values())
}

/// "32 layers", or the layers that have attention.
fn layers_text(model: &ModelInfo) -> String {
    let numbers = model.layer_numbers();
    let layers = model.layers;
    if numbers.len() == layers as usize {
        return format!("{layers} layers");
    }
    format!("{} of {layers} layers have attention ({})", numbers.len(), selection::kept(&numbers))
}

/// Per answer token: probability, and the layer and head that attend most to the picture.
fn answer_table(out: &mut impl std::io::Write, trace: &Trace) -> anyhow::Result<()> {
    let shape = trace.shape();
    writeln!(
        out,
        "\ntoken            probability   most on the picture        share of attention"
    )?;
    let logprobs = trace.answer_logprobs();
    for (index, token) in trace.meta().answer_tokens().iter().enumerate() {
        let probability = logprobs.get(index).map_or(f32::NAN, |logprob| logprob.exp());
        write!(out, "{index:>3} {:<14} {probability:>9.4}", shown(&token.text))?;
        let row = trace.row_of_answer(crate::trace::AnswerIndex(index as u32));
        let best =
            row.and_then(|row| trace.stats(row)).and_then(|stats| most_image_attending(&stats));
        match best {
            Some((map, share)) if token.kind != TokenKind::Special => {
                let layer = trace.meta().model.layer_number((map / shape.heads) as u32);
                let name = head_name(layer, (map % shape.heads) as u32);
                writeln!(out, "     {name:<21}{share:>12.3}")?;
            }
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

/// (layer × heads + head, image sum) of the head that attends most to the picture.
fn most_image_attending(stats: &[f32]) -> Option<(usize, f32)> {
    stats
        .chunks_exact(STAT_COUNT)
        .map(|head| head[Stat::ImageSum as usize])
        .enumerate()
        .max_by(|left, right| left.1.total_cmp(&right.1))
}

/// A vocabulary piece with its word mark as a thin sign and control characters by name.
fn shown(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            letter if WORD_MARKS.contains(&letter) => "·".to_owned(),
            '\n' => "⏎".to_owned(),
            letter if letter.is_control() => format!("<{:02X}>", u32::from(letter)),
            letter => letter.to_string(),
        })
        .collect()
}
