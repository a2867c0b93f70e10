//! The shown numbers of a table as CSV.

use super::names::condition_name;
use super::statistics::Numbers;
use super::{Axis, DataSetDoc};
use crate::table::statistics::Ranking;
use std::fmt::Write as _;

/// One row for each head: mean and spread, and the difference where there is a comparison.
pub fn matrix_csv(numbers: &Numbers) -> String {
    let mut text = String::from("column,layer,head,samples,mean,standard_deviation");
    if numbers.comparison.is_some() {
        text.push_str(",difference,low,high,p,p_corrected");
    }
    text.push('\n');
    for (cell, moment) in numbers.moments.cells.iter().enumerate() {
        let Some([layer, head]) = numbers.cube.head_of(cell) else { continue };
        let name = numbers.column.name();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{name},{layer},{head},{},{},{}",
            moment.n,
            field(moment.mean),
            field(moment.deviation)
        );
        if let Some(of) = numbers.comparison.as_ref().and_then(|all| all.cells.get(cell)) {
            for value in [of.difference, of.interval[0], of.interval[1], of.p, of.q] {
                let _ = write!(text, ",{}", field(value));
            }
        }
        text.push('\n');
    }
    text
}

/// One row for each head, the first one first.
pub fn ranking_csv(numbers: &Numbers, ranking: &Ranking) -> String {
    let value = if numbers.comparison.is_some() { "difference" } else { "mean" };
    let mut text = format!(
        "rank,column,layer,head,{value},share_of_resamples_among_first_{},rank_5_percent,rank_95_percent\n",
        ranking.options.first
    );
    for (rank, head) in ranking.heads.iter().enumerate() {
        let Some([layer, number]) = numbers.cube.head_of(head.cell) else { continue };
        let is_known = ranking.has_stability();
        let known = |value: f64| if is_known { field(value) } else { String::new() };
        let [low, high] = head.ranks.map(known);
        let _ = writeln!(
            text,
            "{},{},{layer},{number},{},{},{low},{high}",
            rank + 1,
            numbers.column.name(),
            head.value,
            known(head.stability)
        );
    }
    text
}

/// One row for each sample that is shown, in the shown order: the columns of the samples table, the number of the chosen heads,
/// and the conditions that chose it.
///
/// # Errors
/// If the rows cannot be put together.
pub fn samples_csv(doc: &DataSetDoc) -> std::io::Result<Vec<u8>> {
    let (samples, view) = (doc.samples(), doc.view());
    let mut conditions: Vec<String> = view.filter.conditions.iter().map(condition_name).collect();
    if doc.has_selection() {
        conditions.push("selected in the plot".into());
    }
    let conditions = conditions.join("; ");
    let heads: Vec<String> =
        view.heads.iter().map(|[layer, head]| format!("L{layer} H{head}")).collect();
    let value = match heads.is_empty() {
        true => format!("{} of all heads", doc.heads_column().name()),
        false => format!("{} of {}", doc.heads_column().name(), heads.join(" ")),
    };
    let values: Vec<String> = doc.values(&Axis::Heads).into_iter().map(field).collect();
    let conditions = vec![conditions; samples.len()];
    samples.csv(doc.order(), &[(&value, &values), ("conditions", &conditions)])
}

/// An empty field where there is no number.
fn field(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}
