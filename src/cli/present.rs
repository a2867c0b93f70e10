//! `vlmscope present`: walkthroughs on a large screen.

use super::common::{Show, trace_file, usage};
use crate::gpu::GpuOptions;
use crate::record::OpenTraces;
use crate::ui::present::options::PresentOptions;
use crate::ui::present::window::run as present;
use crate::view::timeline::Walkthrough;
use std::path::PathBuf;

/// Present walkthroughs full screen, with notes and a clock in a window on another display.
///
/// →, space or Page down: next. ← or Page up: back. A number and Enter: that step. B: blank. S:
/// spotlight. E: explore with the keys of the window (arrows, [ ], A, L, M, S, H, W), and return. P: play
/// automatically. Escape: end.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope present tour.toml                  the stage on the second display, notes on the main one
  vlmscope present tour.zip --loop            repeat without end, for an exhibition
  vlmscope present cat.vlmtrace --display 0 --presenter")]
pub(crate) struct Args {
    /// Walkthroughs, packs or traces (captured:N for a sample trace), in order.
    #[arg(required = true, value_name = "FILE", value_parser = trace_file())]
    files: Vec<PathBuf>,
    /// Display of the stage, counted from 0 [default: the last one that is not the main display].
    #[arg(long, value_name = "N")]
    display: Option<usize>,
    /// Advance by the timing of the steps, and start again after the last one.
    #[arg(long = "loop")]
    loops: bool,
    /// Open the presenter's window even if there is only one display.
    #[arg(long)]
    presenter: bool,
    /// Graphics adapter: part of its name (see `vlmscope doctor`).
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let shows: Vec<Show> =
        args.files.iter().map(|file| Show::open(file)).collect::<anyhow::Result<_>>()?;
    let mut walkthrough = Walkthrough::default();
    let mut traces = OpenTraces::default();
    for show in &shows {
        let Show { walkthrough: part, traces: own, .. } = show;
        if walkthrough.steps.is_empty() {
            walkthrough.title.clone_from(&part.title);
        }
        walkthrough.steps.extend(part.steps.iter().cloned());
        walkthrough.end.clone_from(&part.end);
        for (path, trace) in own.iter() {
            traces.insert(path.to_owned(), trace.clone());
        }
    }
    if walkthrough.steps.is_empty() {
        return Err(usage("there is nothing to present"));
    }
    present(PresentOptions {
        walkthrough,
        traces,
        first: 0,
        display: args.display,
        loops: args.loops,
        presenter: args.presenter,
        gpu: GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() },
    })
}
