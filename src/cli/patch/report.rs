//! The output of `vlmscope patch`.

use super::super::common::print_json;
use super::super::trace_model::answer_token_texts;
use crate::analysis::patching::{PatchResult, Site};
use crate::terminal;
use crate::trace::Trace;
use crate::view::figure::decimal;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Widest name of a group in the table.
const NAME_WIDTH: usize = 16;
/// A smaller difference between the log-probabilities makes the shares uncertain.
const SMALL_DIFFERENCE: f32 = 0.1;
/// Layers side by side in one block of the table.
const COLUMNS: u32 = 16;

/// `--json`.
pub(super) fn as_json(
    trace: &Trace,
    out: &Path,
    result: &PatchResult,
    seconds: Option<f64>,
) -> anyhow::Result<()> {
    let cells = 0..result.patched.len();
    let numbers = |of: &dyn Fn(usize) -> Option<f32>| -> Value { cells.clone().map(of).collect() };
    let mut value = serde_json::to_value(result)?;
    value["trace"] = json!(out);
    value["question"] = json!(trace.meta().question);
    value["answer"] = json!(trace.meta().answer);
    value["word"] = json!(word(trace, result));
    value["restored"] = numbers(&|cell| result.restored(cell));
    value["estimated"] = numbers(&|cell| result.estimated(cell));
    value["correlation"] = json!(result.correlation());
    value["complete"] = json!(result.is_complete());
    value["seconds"] = json!(seconds);
    print_json(&value)
}

fn word(trace: &Trace, result: &PatchResult) -> String {
    answer_token_texts(trace).get(result.token as usize).cloned().unwrap_or_default()
}

/// The table for a reader.
pub(super) fn as_text(trace: &Trace, result: &PatchResult, top: usize) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    let site = match result.site {
        Site::Residual => "residual stream at a layer's input",
        Site::Heads => "output of a head",
        Site::Mlp => "output of an MLP",
    };
    writeln!(out, "{}  →  {}", trace.meta().question, trace.meta().answer)?;
    writeln!(
        out,
        "token {} `{}`: log p {} with picture A, {} with picture B ({})",
        result.token,
        word(trace, result).trim(),
        decimal(f64::from(result.logprob_a), 3),
        decimal(f64::from(result.logprob_b), 3),
        result.other
    )?;
    if (result.logprob_a - result.logprob_b).abs() < SMALL_DIFFERENCE {
        writeln!(
            out,
            "picture B hardly changes this token, so that the shares below are uncertain"
        )?;
    }
    let is_exact = result.done() > 0;
    let kind = if is_exact { "" } else { ", first-order estimate" };
    writeln!(out, "share of A's answer that returns, {site} copied from A{kind}")?;
    let shown = |cell: usize| if is_exact { result.restored(cell) } else { result.estimated(cell) };
    if result.site != Site::Heads {
        table(&mut out, result, &shown)?;
    }
    if is_exact && !result.is_complete() {
        let (done, all) = (result.done(), result.patched.len());
        writeln!(out, "incomplete: {done} of {all} places were computed")?;
    }
    strongest(&mut out, result, &shown, top)?;
    if let Some(correlation) = result.correlation() {
        writeln!(
            out,
            "correlation of the first-order estimate with these values: {correlation:.2}"
        )?;
    }
    Ok(())
}

/// Groups × layers.
fn table(
    out: &mut impl Write,
    result: &PatchResult,
    shown: &dyn Fn(usize) -> Option<f32>,
) -> anyhow::Result<()> {
    for first in (0..result.layers).step_by(COLUMNS as usize) {
        let layers = first..(first + COLUMNS).min(result.layers);
        write!(out, "\n  {:<NAME_WIDTH$}", "layer")?;
        for layer in layers.clone() {
            write!(out, " {layer:>6}")?;
        }
        writeln!(out)?;
        for (index, group) in result.groups.iter().enumerate() {
            let name: String = group.name.chars().take(NAME_WIDTH).collect();
            write!(out, "  {name:<NAME_WIDTH$}")?;
            for layer in layers.clone() {
                let value = result.cell(index, layer, 0).and_then(shown);
                match value {
                    Some(value) => write!(out, " {:>6}", decimal(f64::from(value), 2))?,
                    None => write!(out, " {:>6}", "–")?,
                }
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// The places with the largest values.
fn strongest(
    out: &mut impl Write,
    result: &PatchResult,
    shown: &dyn Fn(usize) -> Option<f32>,
    top: usize,
) -> anyhow::Result<()> {
    let mut ranked: Vec<(usize, f32)> =
        (0..result.patched.len()).filter_map(|cell| Some((cell, shown(cell)?))).collect();
    ranked.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    if ranked.is_empty() || top == 0 {
        return Ok(());
    }
    writeln!(out, "\nstrongest places")?;
    for (cell, value) in ranked.into_iter().take(top) {
        let (group, layer, head) = result.place(cell);
        let name = result.groups.get(group).map_or("", |group| group.name.as_str());
        let head =
            if result.site == Site::Heads { format!(" · head {head}") } else { String::new() };
        let value = decimal(f64::from(value), 2);
        writeln!(out, "  {:<32} {value:>6}", format!("layer {layer}{head} · {name}"))?;
    }
    Ok(())
}
