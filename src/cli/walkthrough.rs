//! `vlmscope walkthrough`: makes and checks tours as files.

use super::common::{Show, check_changeable, trace_file, usage};
use crate::terminal;
use crate::trace::Trace;
use crate::view::timeline::{Timeline, caption_text, tour};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Make and check walkthroughs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope walkthrough new cat.vlmtrace --out tour.toml    a tour to start from; edit it by hand
  vlmscope walkthrough check tour.toml                     its steps and their times")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write a tour of a trace: the answer token by token, the layers and heads that attend to the
    /// picture, all heads at once, and relevancy if the trace has it.
    New {
        /// The trace, or captured:N for a sample trace.
        #[arg(value_parser = trace_file())]
        trace: PathBuf,
        /// Walkthrough to write [default: the trace's name with .toml].
        #[arg(long, value_name = "FILE.toml")]
        out: Option<PathBuf>,
        /// Replace an existing walkthrough.
        #[arg(long)]
        force: bool,
    },
    /// Check every step against its trace, and list the times of the steps.
    Check {
        /// The walkthrough (or a trace, or a pack).
        #[arg(value_parser = trace_file())]
        walkthrough: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::New { trace, out, force } => new(trace, out.as_deref(), *force),
        Action::Check { walkthrough } => check(walkthrough),
    }
}

fn new(path: &Path, out: Option<&Path>, force: bool) -> anyhow::Result<()> {
    if out.is_none() {
        check_changeable(path)?;
    }
    let out = out.map_or_else(|| path.with_extension("toml"), Path::to_owned);
    if out.extension().is_none_or(|end| end != "toml") {
        return Err(usage(format!(
            "--out {} does not end in .toml, as a walkthrough must",
            out.display()
        )));
    }
    if out.exists() && !force {
        return Err(usage(format!(
            "{} already exists; add --force to replace it, or choose another name with --out",
            out.display()
        )));
    }
    let trace = Trace::open(path)?;
    tour(&trace, path).save(&out)?;
    writeln!(terminal::stdout(), "{}", out.display())?;
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    let Show { walkthrough, traces, .. } = Show::open(path)?;
    let timeline = Timeline::new(&walkthrough);
    let mut out = terminal::stdout();
    for (number, (step, [start, end])) in (1..).zip(timeline.captions()) {
        let view = step.state.view;
        let caption = caption_text(&step.caption);
        writeln!(out, "{number:>3}  {start:>6.1}–{end:<6.1} s  {view:<12}  {caption}")?;
    }
    let seconds = timeline.seconds();
    let traces = traces.iter().count();
    writeln!(out, "{} steps, {seconds:.1} s, traces: {traces}", walkthrough.steps.len())?;
    Ok(())
}
