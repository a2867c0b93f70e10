//! `vlmscope report`: figures and a page about a table.

mod args;
mod comparison;
mod figures;
mod folder;
mod numbers;
mod page;

pub(crate) use args::Args;

use super::common::{bar, print_json};
use crate::terminal;
use serde_json::json;
use std::io::Write as _;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = folder::Folder::begin(&args.out)?;
    let reading = bar("reading {bar:24} {pos}/{len}", 1);
    let progress = |done: u64, all: u64| {
        reading.set_length(all);
        reading.set_position(done);
    };
    let found = numbers::numbers(args, &progress)?;
    reading.finish_and_clear();
    let drawn = figures::draw(args, &found, &folder)?;
    folder.write("report.json", &serde_json::to_vec(&found)?)?;
    folder.write("report.md", page::page(args, &found, &drawn).as_bytes())?;
    folder.keep()?;
    let page = args.out.join("report.md");
    if args.json {
        return print_json(&json!({"page": page, "numbers": found}));
    }
    writeln!(terminal::stdout(), "{}", page.display())?;
    Ok(())
}
