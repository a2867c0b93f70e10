//! The output of `vlmscope causal`.

use super::super::common::print_json;
use super::super::trace_model::{answer_token_texts, shown};
use crate::analysis::causal::{
    CausalResult, HeadGraph, HeadResult, MaskedSet, MaskingResult, Parameters, Separated, SetKind,
};
use crate::terminal;
use crate::trace::{TokenKind, Trace, TraceMeta};
use crate::view::figure::{number, signed, token_name, token_text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Nodes named in one line of the table.
const NAMED: usize = 6;

/// `--json` for a matrix.
pub(super) fn matrix_json(
    path: &Path,
    parameters: &Parameters,
    graph: &HeadGraph,
    separated: &[Separated],
) -> anyhow::Result<()> {
    let mut value = json!({
        "matrix": path,
        "parameters": parameters,
        "graph": with_explanation(graph, parameters.range)?,
        "separated": separated,
    });
    shorten(&mut value);
    print_json(&value)
}

/// Edges, separations, explanation and tree of a matrix.
pub(super) fn matrix_text(
    graph: &HeadGraph,
    separated: &[Separated],
    range: usize,
) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    let name = |row: u32| row.to_string();
    if !graph.is_exhaustive {
        let size = graph.searched_to;
        writeln!(out, "conditioning sets of up to {size} nodes (stopped there: too many sets)\n")?;
    }
    edges(&mut out, graph, &name)?;
    writeln!(out, "\nindependent")?;
    for pair in separated {
        let given: Vec<String> = pair.given.iter().map(u32::to_string).collect();
        let given =
            if given.is_empty() { String::new() } else { format!(" given {}", given.join(", ")) };
        writeln!(out, "  {} and {}{given}   p = {:.3e}", pair.a, pair.b, pair.p)?;
    }
    writeln!(out)?;
    let Some(target) = graph.target() else { return Ok(()) };
    explanation(&mut out, graph, range, &name, &name(target))
}

/// `--json` for a trace.
pub(super) fn trace_json(
    trace: &Trace,
    out: &Path,
    result: &CausalResult,
    seconds: Option<f64>,
) -> anyhow::Result<()> {
    let mut value = serde_json::to_value(result)?;
    let mut names = BTreeMap::new();
    for (head, entry) in
        result.heads.iter().zip(value["heads"].as_array_mut().into_iter().flatten())
    {
        let Some(graph) = &head.graph else { continue };
        entry["graph"] = with_explanation(graph, result.parameters.range)?;
        let positions = graph.nodes.iter().map(|node| node.position);
        names.extend(positions.map(|position| (position, node_name(trace.meta(), position))));
        let masked = head.masking.iter().flat_map(|masking| &masking.sets);
        let positions = masked.flat_map(|set| &set.positions);
        names.extend(positions.map(|&position| (position, node_name(trace.meta(), position))));
    }
    shorten(&mut value);
    value["trace"] = json!(out);
    value["question"] = json!(trace.meta().question);
    value["answer"] = json!(trace.meta().answer);
    value["word"] = json!(word(trace, result.token));
    value["names"] = json!(names);
    value["seconds"] = json!(seconds);
    print_json(&value)
}

/// Writes single-precision numbers with their own digits: 0.005 in place of 0.004999999888241291.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Number(number) if number.is_f64() => {
            let single = number.as_f64().map(|number| (number, number as f32));
            if let Some((double, single)) = single
                && f64::from(single) == double
                && let Ok(short) = single.to_string().parse::<f64>()
            {
                *value = json!(short);
            }
        }
        _ => {}
    }
}

/// A graph with its explanation at each depth up to the range.
fn with_explanation(graph: &HeadGraph, range: usize) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(graph)?;
    let depths: Vec<Vec<u32>> = (1..=range).map(|depth| graph.explanation(depth)).collect();
    value["explanation"] = json!(depths);
    Ok(value)
}

/// A line for each head; edges and tree if there is one.
pub(super) fn trace_text(
    trace: &Trace,
    path: &Path,
    result: &CausalResult,
    seconds: Option<f64>,
) -> anyhow::Result<()> {
    if let [HeadResult { head, graph: None, error, .. }] = &result.heads[..] {
        anyhow::bail!("head {head}: {}", error.as_deref().unwrap_or_default());
    }
    let mut out = terminal::stdout();
    let meta = trace.meta();
    let name = |position: u32| node_name(meta, position);
    writeln!(
        out,
        "{}  →  {}\nanswer token {} `{}`, layer {} · {}",
        meta.question,
        meta.answer,
        result.token,
        token_text(word(trace, result.token).trim_matches(' ')),
        result.layer,
        searched(&result.parameters)
    )?;
    match &result.heads[..] {
        [head] => {
            let about = format!("`{}`", token_text(word(trace, result.token).trim_matches(' ')));
            one_head(&mut out, head, result, &name, &about)?;
        }
        heads => {
            writeln!(
                out,
                "head  importance  nodes  edges  stable  explanation within {}",
                result.parameters.range
            )?;
            for head in heads {
                line(&mut out, head, result, &name)?;
            }
        }
    }
    for head in &result.heads {
        if let Some(masking) = &head.masking {
            masked(&mut out, head.head, masking, &name)?;
        }
    }
    let runs =
        if result.runs > 0 { format!(", {} graphs each", result.runs) } else { String::new() };
    let Some(seconds) = seconds else { return Ok(()) };
    let _ = writeln!(
        terminal::stderr(),
        "{}{runs} in {seconds:.2} s · causal.{} is in {}",
        if let [_] = result.heads[..] {
            "1 head".to_owned()
        } else {
            format!("{} heads", result.heads.len())
        },
        result.token,
        shown(path)
    );
    Ok(())
}

/// The parameters of a search that change its graphs most.
fn searched(parameters: &Parameters) -> String {
    let Parameters { alpha, records, attention_threshold, range, .. } = parameters;
    format!("α {alpha:e}, {records} records, attention above {attention_threshold}, range {range}")
}

fn line(
    out: &mut impl Write,
    head: &HeadResult,
    result: &CausalResult,
    name: &dyn Fn(u32) -> String,
) -> anyhow::Result<()> {
    let Some(graph) = &head.graph else {
        let error = head.error.as_deref().unwrap_or_default();
        writeln!(out, "{:>4}  {:>10}  {error}", head.head, importance(head))?;
        return Ok(());
    };
    let found = graph.explanation(result.parameters.range);
    let mut names: Vec<String> = found.iter().take(NAMED).map(|&position| name(position)).collect();
    if found.len() > NAMED {
        names.push(format!("and {} more", found.len() - NAMED));
    }
    if found.is_empty() {
        names.push("nothing explains the token".to_owned());
    }
    let always = graph.edges.iter().filter(|edge| edge.share == Some(1.0)).count();
    let stable = if result.runs > 0 { always.to_string() } else { "–".to_owned() };
    writeln!(
        out,
        "{:>4}  {:>10}  {:>5}  {:>5}  {stable:>6}  {}",
        head.head,
        importance(head),
        graph.nodes.len().saturating_sub(1),
        graph.edges.len(),
        names.join(" · ")
    )?;
    Ok(())
}

fn importance(head: &HeadResult) -> String {
    head.importance.map_or_else(|| "∞".to_owned(), |importance| number(importance, importance))
}

fn one_head(
    out: &mut impl Write,
    head: &HeadResult,
    result: &CausalResult,
    name: &dyn Fn(u32) -> String,
    about: &str,
) -> anyhow::Result<()> {
    let Some(graph) = &head.graph else { return Ok(()) };
    writeln!(
        out,
        "head {}, image importance {}, {} nodes, {} tests with conditions of up to {} nodes{}\n",
        head.head,
        importance(head),
        graph.nodes.len().saturating_sub(1),
        graph.tests,
        graph.searched_to,
        if graph.is_exhaustive { "" } else { " (stopped there: too many sets)" }
    )?;
    edges(out, graph, name)?;
    writeln!(out)?;
    explanation(out, graph, result.parameters.range, name, about)
}

fn edges(
    out: &mut impl Write,
    graph: &HeadGraph,
    name: &dyn Fn(u32) -> String,
) -> anyhow::Result<()> {
    let mut edges = graph.edges.clone();
    edges.sort_by_key(|edge| (edge.a, edge.b));
    writeln!(out, "edges")?;
    for edge in &edges {
        let drawn = format!("{} {} {}", name(edge.a), edge.arrow(), name(edge.b));
        let share = edge
            .share
            .map_or_else(String::new, |share| format!("   in {:.0} % of runs", share * 100.0));
        writeln!(out, "  {drawn:<44} p = {:.3e}{share}", edge.p)?;
    }
    Ok(())
}

/// The explanation at each depth, and the tree.
fn explanation(
    out: &mut impl Write,
    graph: &HeadGraph,
    range: usize,
    name: &dyn Fn(u32) -> String,
    about: &str,
) -> anyhow::Result<()> {
    if graph.deepest() == 0 {
        writeln!(out, "nothing explains {about}")?;
        return Ok(());
    }
    writeln!(out, "explanation of {about}")?;
    for depth in 1..=range.min(graph.deepest()) {
        let names: Vec<String> = graph.explanation(depth).into_iter().map(name).collect();
        writeln!(out, "  within {depth}: {}", names.join(" · "))?;
    }
    writeln!(out, "\ntree")?;
    // Depth first, as it is read.
    let mut open = vec![0];
    while let Some(index) = open.pop() {
        let place = graph.tree[index];
        let text = if index == 0 { about.to_owned() } else { name(place.position) };
        writeln!(out, "  {}{text}", "  ".repeat(place.depth))?;
        let children = (1..graph.tree.len()).filter(|&child| graph.tree[child].parent == index);
        open.extend(children.collect::<Vec<_>>().into_iter().rev());
    }
    Ok(())
}

/// Prints the masking test: a line for each depth and kind of set, then the smallest parts that change the token.
fn masked(
    out: &mut impl Write,
    head: u32,
    masking: &MaskingResult,
    name: &dyn Fn(u32) -> String,
) -> anyhow::Result<()> {
    writeln!(
        out,
        "\nmasked ({}), head {head}: log p of the token is {:.3} with nothing masked",
        masking.mask, masking.logprob
    )?;
    writeln!(out, "within  set               tokens  attention   Δ log p  token changes")?;
    let deepest = masking.sets.iter().filter_map(|set| set.depth).max().unwrap_or(0);
    for depth in 1..=deepest {
        for (kind, title) in [
            (SetKind::Explanation, "explanation"),
            (SetKind::TopAttention, "top attention"),
            (SetKind::TopRelevancy, "top relevancy"),
            (SetKind::EqualAttention, "equal attention"),
            (SetKind::Random, "random"),
        ] {
            let of_kind = |set: &&MaskedSet| set.kind == kind && set.depth == Some(depth);
            let sets: Vec<&MaskedSet> = masking.sets.iter().filter(of_kind).collect();
            let Some(first) = sets.first() else { continue };
            let mean = |value: &dyn Fn(&MaskedSet) -> f32| {
                sets.iter().map(|set| value(set)).sum::<f32>() / sets.len() as f32
            };
            let changed = sets.iter().filter(|set| set.changes_token).count();
            writeln!(
                out,
                "{depth:>6}  {title:<16}  {:>6}  {:>9.3}  {:>+8.3}  {}",
                first.positions.len(),
                mean(&|set| set.attention),
                mean(&|set| set.delta_logprob),
                if sets.len() == 1 {
                    if changed == 1 { "yes" } else { "no" }.to_owned()
                } else {
                    format!("{changed} of {}", sets.len())
                }
            )?;
        }
    }
    let smallest: Vec<&MaskedSet> =
        masking.sets.iter().filter(|set| set.kind == SetKind::Smallest).collect();
    let limit = if masking.is_complete { "" } else { " (not all could be tried)" };
    let Some(first) = smallest.first() else {
        writeln!(
            out,
            "no part of the explanation changes the token; {} tried{limit}",
            masking.tried
        )?;
        return Ok(());
    };
    writeln!(
        out,
        "smallest parts that change the token: {} of size {}, {} tried{limit}",
        smallest.len(),
        first.positions.len(),
        masking.tried
    )?;
    for set in smallest {
        let names: Vec<String> = set.positions.iter().map(|&position| name(position)).collect();
        writeln!(out, "  {}   {}", names.join(" · "), signed(f64::from(set.delta_logprob), 3))?;
    }
    Ok(())
}

fn word(trace: &Trace, token: u32) -> String {
    answer_token_texts(trace).get(token as usize).cloned().unwrap_or_default()
}

/// A position as a reader knows it: a patch by row and column, a word by its text.
fn node_name(meta: &TraceMeta, position: u32) -> String {
    if let Some(patch) = meta.patch_of_key(position) {
        let view =
            if meta.spans.len() > 1 { format!("view {} ", patch.span) } else { String::new() };
        return format!("{view}patch {},{}", patch.row, patch.column);
    }
    match meta.tokens.get(position as usize) {
        Some(token) if token.kind == TokenKind::Special => format!("{} @{position}", token.text),
        Some(_) => {
            let name = token_name(&meta.tokens, position as usize);
            format!("`{}` @{position}", name.unwrap_or_default())
        }
        None => format!("@{position}"),
    }
}
