//! The arguments of `vlmscope report`.

use crate::table::statistics::{Condition, HeadColumn};
use crate::view::Theme;
use clap::builder::TypedValueParser as _;
use std::path::PathBuf;

/// Write a report on a table: figures and a Markdown page with the numbers.
///
/// DIR gets report.md, report.json with the same numbers, and every figure as PNG and SVG: mean and
/// spread of every head, the first heads with their stability, the difference between right and
/// wrong answers, how well each number finds wrong answers, and the most suspicious samples.
/// docs/tables.md describes the methods.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope report answers.parquet --out report
  vlmscope report answers.parquet --out report --quantity inside --filter \"category = color\"
  vlmscope report answers.parquet --out report --compare \"logprob < -1\"
  vlmscope report a.parquet --against b.parquet --out report     two models, the same samples")]
pub(crate) struct Args {
    /// Heads table, with its samples table beside it.
    #[arg(value_name = "TABLE.parquet")]
    pub(super) table: PathBuf,
    /// Folder for the report. An earlier report in it is replaced.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Number of each head: focus, image_share, entropy, peak, sink_share or inside.
    #[arg(long, value_name = "NAME", default_value = "focus", value_parser = quantity)]
    pub(super) quantity: HeadColumn,
    /// Only samples for which this holds, such as "wrong", "category = color" or "logprob < -1"; may
    /// be given several times.
    #[arg(long, value_name = "CONDITION", value_parser = condition)]
    pub(super) filter: Vec<Condition>,
    /// Compare two groups of samples: a column of two values, or a condition against its opposite
    /// [default: right against wrong answers].
    #[arg(long, value_name = "COLUMN")]
    pub(super) compare: Option<String>,
    /// Compare with the same samples in another table, such as that of another model.
    #[arg(long, value_name = "OTHER.parquet", conflicts_with = "compare")]
    pub(super) against: Option<PathBuf>,
    /// Number of heads in the ranking.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=100).map(usize::from))]
    pub(super) heads: usize,
    /// Number of samples on the contact sheet; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(0..=100).map(usize::from))]
    pub(super) samples: usize,
    /// Surroundings of the figures.
    #[arg(long, default_value_t = Theme::Light)]
    pub(super) theme: Theme,
    /// GPU adapter whose name contains this text.
    #[arg(long, value_name = "NAME")]
    pub(super) adapter: Option<String>,
    /// Print the numbers as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn quantity(text: &str) -> Result<HeadColumn, String> {
    let name = text.replace('-', "_");
    HeadColumn::named(&name).ok_or_else(|| {
        format!(
            "there is no number `{text}`; there are {}",
            HeadColumn::ALL.map(HeadColumn::name).join(", ")
        )
    })
}

fn condition(text: &str) -> Result<Condition, String> {
    text.parse().map_err(|error: crate::table::TableError| error.to_string())
}
