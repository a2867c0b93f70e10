//! `vlmscope report`: figures and a page about a table.

mod figures;
mod folder;
mod numbers;
mod page;

use super::common::{bar, cancel_on_interrupt, print_json};
use crate::table::statistics::{Condition, HeadColumn};
use crate::terminal;
use crate::view::Theme;
use anyhow::bail;
use clap::builder::TypedValueParser as _;
use serde_json::json;
use std::io::Write as _;
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
    table: PathBuf,
    /// Folder for the report. An earlier report in it is replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of each head: focus, image_share, entropy, peak, sink_share or inside.
    #[arg(long, value_name = "NAME", default_value = "focus", value_parser = quantity)]
    quantity: HeadColumn,
    /// Only samples for which this holds, such as "wrong", "category = color" or "logprob < -1"; may
    /// be given several times.
    #[arg(long, value_name = "CONDITION", value_parser = condition)]
    filter: Vec<Condition>,
    /// Compare two groups of samples: a column of two values, or a condition against its opposite
    /// [default: right against wrong answers].
    #[arg(long, value_name = "COLUMN")]
    compare: Option<String>,
    /// Compare with the same samples in another table, such as that of another model.
    #[arg(long, value_name = "OTHER.parquet", conflicts_with = "compare")]
    against: Option<PathBuf>,
    /// Number of heads in the ranking.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=100).map(usize::from))]
    heads: usize,
    /// Number of samples on the contact sheet; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(0..=100).map(usize::from))]
    samples: usize,
    /// Surroundings of the figures.
    #[arg(long, default_value_t = Theme::Light)]
    theme: Theme,
    /// GPU adapter whose name contains this text.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Print the numbers as JSON.
    #[arg(long)]
    json: bool,
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

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = folder::Folder::begin(&args.out)?;
    let cancel = cancel_on_interrupt();
    let reading = bar("reading {bar:24} {pos}/{len}", 1);
    let progress = |done: u64, all: u64| {
        reading.set_length(all);
        reading.set_position(done);
    };
    let found = numbers::numbers(args, &progress, &cancel)?;
    reading.finish_and_clear();
    let drawn = figures::draw(args, &found, &folder, &cancel)?;
    folder.write("report.json", &serde_json::to_vec_pretty(&found)?)?;
    folder.write("report.md", page::page(args, &found, &drawn).as_bytes())?;
    if cancel.is_cancelled() {
        bail!("cancelled: nothing was written");
    }
    folder.keep()?;
    let page = args.out.join("report.md");
    if args.json {
        return print_json(&json!({"page": page, "numbers": found}));
    }
    writeln!(terminal::stdout(), "{}", page.display())?;
    Ok(())
}
