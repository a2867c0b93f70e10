//! `vlmscope steer`: attention of chosen heads turned towards an area, and the answer that the model then gives.

use super::common::{
    cancel_on_interrupt, check_writable, print_json, trace_file, usage, with_trace_extension,
};
use super::places::{boxes_of_object, head, known_boxes, numbers, patch_keys, view, word_keys};
use super::trace_model::{FromFlag, Meter, ModelFlags, shown};
use crate::analysis::inside::Inside;
use crate::analysis::score::region_of_boxes;
use crate::job::CancelToken;
use crate::model::{
    Engine, KnockFrom, MAX_STRENGTH, Rerun, Rescored, Rescorer, Rows, Steer, Variant,
};
use crate::terminal;
use crate::trace::{Head, ImageSpan, Layer, Rect, Trace, TraceMeta};
use crate::view::figure::signed;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// Add a bias to the attention of heads towards an area, and answer again.
///
/// The bias is added to the attention scores of the area's patches (or words) before the softmax: a
/// strength of 1 multiplies their attention by e ≈ 2.7, before each row is scaled to sum 1 again;
/// negative strengths turn attention away. For each strength, the command prints how likely the
/// original answer is, and the answer that the steered model gives.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope steer fox.vlmtrace --object balloon                all heads, strengths −4 to 4
  vlmscope steer fox.vlmtrace --box 40,20,200,160 --strength 3 --head 4.1,4.6
  vlmscope steer fox.vlmtrace --patches 2-4,3-6 --strength=-6 --out steered.vlmtrace
  vlmscope steer fox.vlmtrace --words left --from answer --json")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace.
    #[arg(value_parser = trace_file())]
    trace: PathBuf,
    /// Area: a box in pixels of the original picture.
    #[arg(long = "box", value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = super::selection::box_of, allow_hyphen_values = true, group = "area")]
    corners: Option<Rect>,
    /// Area: an object that has a box, by name.
    #[arg(long, value_name = "NOUN", group = "area")]
    object: Option<String>,
    /// Boxes of objects: a JSON file as `vlmscope score` reads it (the built-in samples have their own).
    #[arg(long, value_name = "FILE.json", requires = "object")]
    boxes: Option<PathBuf>,
    /// Area: patches, as ROW,COLUMN or ranges of both, several separated by `;`.
    #[arg(long, value_name = "ROWS,COLUMNS", group = "area")]
    patches: Option<String>,
    /// Words of the question instead of an area, separated by commas.
    #[arg(long, value_name = "WORD[,WORD]", group = "area", value_delimiter = ',')]
    words: Vec<String>,
    /// Key positions instead of an area, counted from 0.
    #[arg(long, value_name = "POS[-POS]", group = "area")]
    positions: Option<String>,
    /// View that the patches are counted in, as `vlmscope inspect` numbers them; needed where there are several.
    #[arg(long, value_name = "N")]
    span: Option<u32>,
    /// Heads that are steered: LAYER.HEAD, separated by commas [default: all].
    #[arg(long, value_name = "L.H[,L.H]", value_delimiter = ',', value_parser = head)]
    head: Vec<[u32; 2]>,
    /// Layers whose heads are steered [default: all].
    #[arg(long, value_name = "L[-L]", conflicts_with = "head")]
    layers: Option<String>,
    /// Strengths, separated by commas.
    #[arg(long, value_name = "S[,S]", value_delimiter = ',', allow_hyphen_values = true, value_parser = strength,
        default_values_t = [-4.0, -2.0, -1.0, 1.0, 2.0, 4.0])]
    strength: Vec<f32>,
    /// Query rows that are steered.
    #[arg(long, value_enum, default_value_t = FromFlag::Text)]
    from: FromFlag,
    /// Write a trace of the steered answer; needs a single strength.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelFlags,
}

fn strength(text: &str) -> Result<f32, String> {
    let value: f32 = text.trim().parse().map_err(|_| format!("`{text}` is not a number"))?;
    let fits = (-MAX_STRENGTH..=MAX_STRENGTH).contains(&value);
    if fits {
        Ok(value)
    } else {
        Err(format!("{value} is not between −{MAX_STRENGTH} and {MAX_STRENGTH}"))
    }
}

/// The answer under one strength.
struct Steered {
    strength: f32,
    scored: Rescored,
    again: Trace,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let steer = steer(args, &trace)?;
    if args.out.is_some() && args.strength.len() != 1 {
        return Err(usage("--out writes one answer: name a single --strength"));
    }
    let out = args.out.as_deref().map(with_trace_extension).transpose()?;
    out.iter().try_for_each(|out| check_writable(out))?;
    let cancel = cancel_on_interrupt();
    let meter = Meter::new();
    let mut engine = meter.load(&args.model)?;
    let found = answers(&mut engine, &trace, &steer, &args.strength, &cancel, &meter);
    meter.finish();
    let (plain, found) = found?;
    trace.check()?;
    if let (Some(out), Some(steered)) = (&out, found.first()) {
        steered.again.write(out)?;
        let _ = writeln!(terminal::stderr(), "wrote {}", shown(out));
    }
    if args.json {
        return as_json(&trace, &steer, &plain, &found);
    }
    as_text(&trace, &steer, &plain, &found)
}

/// The original answer's score without steering, and both answers under each strength.
fn answers(
    engine: &mut Engine,
    trace: &Trace,
    steer: &Steer,
    strengths: &[f32],
    cancel: &CancelToken,
    meter: &Meter,
) -> anyhow::Result<(Rescored, Vec<Steered>)> {
    let mut scorer = Rescorer::new(engine, trace)?;
    let variant =
        |strength: f32| Variant::of_model(Steer { strength, ..steer.clone() }.on(trace.meta()));
    let variants = std::iter::once(Variant::default()).chain(strengths.iter().map(|&s| variant(s)));
    let mut scored = scorer.score(engine, variants, cancel, &mut |_, _| {})?.into_iter();
    let plain = scored.next().ok_or_else(|| usage("the trace has no answer"))?;
    let mut found = Vec::new();
    for (index, (&strength, scored)) in strengths.iter().zip(scored).enumerate() {
        meter.step("steering", index as u64, strengths.len() as u64);
        let interventions = variant(strength).interventions;
        let change = Rerun { answer: None, interventions, rows: Rows::Text };
        let again = engine.again(trace, &change, cancel, &mut |_| {})?;
        found.push(Steered { strength, scored, again });
    }
    Ok((plain, found))
}

fn steer(args: &Args, trace: &Trace) -> anyhow::Result<Steer> {
    let meta = trace.meta();
    let mut heads: Vec<(Layer, Head)> =
        args.head.iter().map(|&[layer, head]| (Layer(layer), Head(head))).collect();
    if let Some(layers) = &args.layers {
        for layer in numbers(layers, "layer", meta.model.layers)? {
            heads.extend((0..meta.model.heads).map(|head| (Layer(layer), Head(head))));
        }
    }
    let from = match args.from {
        FromFlag::Answer => KnockFrom::Answer,
        FromFlag::Text => KnockFrom::Text,
    };
    Ok(Steer { keys: keys(args, trace, meta)?, heads, strength: 0.0, from })
}

/// The key positions of the area.
fn keys(args: &Args, trace: &Trace, meta: &TraceMeta) -> anyhow::Result<Vec<u32>> {
    if let Some(text) = &args.patches {
        return patch_keys(text, view(args.span, meta)?);
    }
    if !args.words.is_empty() {
        return word_keys(&args.words, meta);
    }
    if let Some(text) = &args.positions {
        return numbers(text, "position", meta.positions() as u32);
    }
    let boxes = if let Some(Rect { x, y, width, height }) = args.corners {
        vec![[x, y, x + width, y + height]]
    } else if let Some(object) = &args.object {
        boxes_of_object(&known_boxes(args.boxes.as_deref(), trace)?, object)?
    } else {
        return Err(usage(
            "name an area with --box, --object, --patches, --words or --positions; see vlmscope steer --help",
        ));
    };
    let inside = Inside::new(&meta.spans, Some(0), &region_of_boxes(&boxes));
    let keys = meta.spans.iter().flat_map(ImageSpan::keys).zip(inside.parts());
    let keys: Vec<u32> =
        keys.filter(|(_, part)| **part >= 0.5).map(|(key, _)| key as u32).collect();
    if keys.is_empty() {
        return Err(usage("no patch lies at least half inside of the area; name a larger one"));
    }
    Ok(keys)
}

fn as_json(
    trace: &Trace,
    steer: &Steer,
    plain: &Rescored,
    found: &[Steered],
) -> anyhow::Result<()> {
    let strengths: Vec<_> = found
        .iter()
        .map(|steered| {
            json!({
                "strength": steered.strength,
                "logprob": steered.scored.total(),
                "delta_logprob": steered.scored.total() - plain.total(),
                "changes_answer": steered.scored.top_ids != plain.top_ids,
                "new_answer": steered.again.meta().answer,
            })
        })
        .collect();
    print_json(&json!({
        "question": trace.meta().question,
        "answer": trace.meta().answer,
        "logprob": plain.total(),
        "keys": steer.keys,
        "heads": steer.heads.iter().map(|(layer, head)| [layer.0, head.0]).collect::<Vec<_>>(),
        "strengths": strengths,
    }))
}

fn as_text(
    trace: &Trace,
    steer: &Steer,
    plain: &Rescored,
    found: &[Steered],
) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    let heads = match steer.heads.len() {
        0 => "all heads".to_owned(),
        1 => "1 head".to_owned(),
        count => format!("{count} heads"),
    };
    writeln!(out, "{}  →  {}", trace.meta().question, trace.meta().answer)?;
    writeln!(
        out,
        "{} keys, {heads}; log p of this answer without steering: {:.3}",
        steer.keys.len(),
        plain.total()
    )?;
    writeln!(out, "strength   Δ log p   steered answer")?;
    for steered in found {
        writeln!(
            out,
            "{:>8}  {:>8}   {}",
            signed(f64::from(steered.strength), 1),
            signed(steered.scored.total() - plain.total(), 3),
            steered.again.meta().answer
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strength_is_a_number_within_bounds() {
        assert_eq!(strength("-2.5"), Ok(-2.5));
        assert!(strength("61").is_err() && strength("nan").is_err() && strength("x").is_err());
    }
}
