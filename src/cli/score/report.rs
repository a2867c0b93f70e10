//! The scores as a table and as JSON.

use super::outcome::{ScoreOutcome, Scored};
use crate::analysis::score::probability;
use crate::cli::common::{sink_json, sinks_text};
use crate::model::{BlankFill, MapCurves};
use crate::terminal;
use crate::trace::Trace;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;

/// A fill on the command line.
fn fill_name(fill: BlankFill) -> &'static str {
    match fill {
        BlankFill::Mean => "mean",
        BlankFill::Blur => "blur",
    }
}

/// Mean of the areas of deletion and insertion over the maps `members`, for one fill.
fn areas(outcome: &ScoreOutcome, members: std::ops::Range<usize>, fill: usize) -> Option<[f64; 2]> {
    let count = members.len();
    let of = |map: usize| -> Option<&MapCurves> {
        outcome
            .curves
            .curves
            .iter()
            .find(|curves| curves.map == map && Some(&curves.fill) == outcome.fills.get(fill))
    };
    let mut sums = [0.0; 2];
    for map in members {
        let curves = of(map)?;
        sums[0] += curves.deletion.area();
        sums[1] += curves.insertion.area();
    }
    (count > 0).then(|| sums.map(|sum| sum / count as f64))
}

/// The probability with nothing blanked, and with everything blanked under each fill.
fn ends(trace: &Trace, outcome: &ScoreOutcome) -> (f64, Vec<f64>) {
    let first = |curves: Option<&MapCurves>, at: usize| {
        let points = curves.map(|curves| curves.deletion.points.as_slice()).unwrap_or_default();
        let point = if at == 0 { points.first() } else { points.last() };
        point.map_or(f64::NAN, |&(_, p)| p)
    };
    if outcome.curves.curves.is_empty() {
        return (probability(&trace.answer_logprobs(), &outcome.tokens), Vec::new());
    }
    let blank = outcome
        .fills
        .iter()
        .map(|fill| first(outcome.curves.curves.iter().find(|curves| curves.fill == *fill), 1));
    (first(outcome.curves.curves.first(), 0), blank.collect())
}

pub(super) fn as_json(trace: &Trace, path: &Path, outcome: &ScoreOutcome) -> Value {
    let number = |value: f64| if value.is_finite() { json!(value) } else { Value::Null };
    let entry = |(index, scored): (usize, &Scored)| {
        let curves: Vec<Value> = outcome
            .curves
            .curves
            .iter()
            .filter(|curves| curves.map == index)
            .map(|curves| {
                json!({
                    "fill": fill_name(curves.fill),
                    "deletion": {"auc": curves.deletion.area(), "points": curves.deletion.points},
                    "insertion": {"auc": curves.insertion.area(), "points": curves.insertion.points},
                })
            })
            .collect();
        let pointing = scored.fit.map(|fit| {
            json!({"hit": fit.hit, "energy_in_box": number(fit.energy), "chance": fit.chance})
        });
        json!({
            "method": scored.name,
            "title": scored.title,
            "control": index >= outcome.maps.len() - outcome.controls,
            "curves": curves,
            "pointing": pointing,
        })
    };
    let (whole, blank) = ends(trace, outcome);
    let blank: Vec<Value> = outcome
        .fills
        .iter()
        .zip(blank)
        .map(|(fill, p)| json!({"fill": fill_name(*fill), "p": p}))
        .collect();
    json!({
        "trace": path,
        "answer": trace.meta().answer,
        "tokens": outcome.tokens,
        "text": outcome.text,
        "p": whole,
        "p_blank": blank,
        "patches": trace.meta().patches(),
        "object": outcome.object.as_ref().map(|(noun, boxes)| json!({"noun": noun, "boxes": boxes})),
        "methods": outcome.maps.iter().enumerate().map(entry).collect::<Vec<_>>(),
        "sinks": outcome.sinks.iter().map(|sink| sink_json(trace, sink)).collect::<Vec<_>>(),
        "forwards": outcome.curves.total,
        "seconds": outcome.seconds,
    })
}

pub(super) fn as_text(trace: &Trace, outcome: &ScoreOutcome) -> anyhow::Result<()> {
    let out = &mut terminal::stdout();
    let (whole, blank) = ends(trace, outcome);
    let numbers: Vec<String> = outcome.tokens.iter().map(usize::to_string).collect();
    let tokens = if numbers.len() == 1 { "token" } else { "tokens" };
    writeln!(out, "“{}” (answer {tokens} {}), p = {whole:.3}", outcome.text, numbers.join(", "))?;
    for (fill, p) in outcome.fills.iter().zip(&blank) {
        writeln!(out, "with every patch blanked ({}): p = {p:.3}", fill_name(*fill))?;
    }
    if let Some((noun, boxes)) = &outcome.object {
        let things = if boxes.len() == 1 { "box" } else { "boxes" };
        writeln!(out, "pointing at “{noun}” ({} {things})", boxes.len())?;
    }
    let mut head = format!("\n{:<28}", "method");
    for fill in &outcome.fills {
        head.push_str(&format!(
            "{:>18}{:>19}",
            format!("deletion ↓ {}", fill_name(*fill)),
            format!("insertion ↑ {}", fill_name(*fill))
        ));
    }
    if outcome.object.is_some() {
        head.push_str(&format!("{:>10}{:>15}", "pointing", "energy in box"));
    }
    writeln!(out, "{head}")?;
    let methods = outcome.maps.len() - outcome.controls;
    let rows = (0..methods)
        .map(|map| map..map + 1)
        .chain((outcome.controls > 0).then_some(methods..outcome.maps.len()));
    for members in rows {
        writeln!(out, "{}", row(outcome, members))?;
    }
    if !outcome.sinks.is_empty() {
        writeln!(out, "\nremoved as sinks: {}", sinks_text(trace, &outcome.sinks))?;
    }
    let _ = writeln!(
        terminal::stderr(),
        "{} forwards in {:.1} s",
        outcome.curves.total,
        outcome.seconds
    );
    Ok(())
}

fn row(outcome: &ScoreOutcome, members: std::ops::Range<usize>) -> String {
    let scored = &outcome.maps[members.start];
    let title = if members.len() > 1 {
        format!("{}, mean of {}", scored.title, members.len())
    } else {
        scored.title.clone()
    };
    let mut line = format!("{title:<28}");
    for fill in 0..outcome.fills.len() {
        let [deletion, insertion] = areas(outcome, members.clone(), fill).unwrap_or([f64::NAN; 2]);
        line.push_str(&format!("{deletion:>18.3}{insertion:>19.3}"));
    }
    let fits: Vec<_> = outcome.maps[members].iter().filter_map(|scored| scored.fit).collect();
    if !fits.is_empty() {
        let hits = fits.iter().filter(|fit| fit.hit).count();
        let pointing = match (fits.len(), hits) {
            (1, 1) => "hit".to_owned(),
            (1, _) => "miss".to_owned(),
            (all, hits) => format!("{hits} of {all}"),
        };
        let energy = fits.iter().map(|fit| fit.energy).sum::<f64>() / fits.len() as f64;
        let chance = fits[0].chance;
        line.push_str(&format!(
            "{pointing:>10}{:>15}",
            format!("{:.0} % ({:.0} %)", energy * 100.0, chance * 100.0)
        ));
    }
    line
}
