//! `vlmscope pack`: a walkthrough with its traces in one file.

use super::common::{Show, human_bytes, trace_file, usage};
use crate::record;
use crate::terminal;
use std::io::Write as _;
use std::path::PathBuf;

/// Pack a walkthrough and its traces into one file, for sharing.
///
/// Rows of attention that no step shows are left out. `present` and `record` open packs directly. A
/// walkthrough can name any trace on this machine; traces outside the walkthrough's own folder are
/// packed only with --allow-outside.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  vlmscope pack tour.toml --out tour.zip && vlmscope record tour.zip --out tour.mp4")]
pub(crate) struct Args {
    /// A walkthrough, or a trace (captured:N for a sample trace) to pack its tour.
    #[arg(value_parser = trace_file())]
    walkthrough: PathBuf,
    /// ZIP file to write.
    #[arg(long, value_name = "FILE.zip")]
    out: PathBuf,
    /// Also pack traces that lie outside the walkthrough's folder.
    #[arg(long)]
    allow_outside: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|end| end != "zip") {
        return Err(usage(format!(
            "--out {} does not end in .zip, as a pack must",
            args.out.display()
        )));
    }
    record::refuse_input(&args.out, [args.walkthrough.as_path()])?;
    let show = Show::open(&args.walkthrough)?;
    let outside = show.traces_outside();
    if !outside.is_empty() && !args.allow_outside {
        let names: Vec<String> = outside.iter().map(|path| path.display().to_string()).collect();
        return Err(usage(format!(
            "{} shows traces that lie outside its folder: {}. Add --allow-outside to pack them",
            args.walkthrough.display(),
            names.join(", ")
        )));
    }
    let packed = record::pack(&show.walkthrough, &show.traces, &args.out)?;
    writeln!(
        terminal::stderr(),
        "traces: {}, {} of {} rows, {} (the traces are {})",
        packed.traces,
        packed.rows_kept,
        packed.rows,
        human_bytes(packed.bytes),
        human_bytes(packed.trace_bytes),
    )?;
    writeln!(terminal::stdout(), "{}", args.out.display())?;
    Ok(())
}
