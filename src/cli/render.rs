//! `vlmscope render`: any view as PNG or SVG, up to 8K, one figure or many.
//!
//! The flags are sugar for a view state; whatever they say ends up in one, is checked against the
//! trace, and is written into the figure.

mod batch;
mod draw;
mod flags;

pub(crate) use flags::size;

use super::usage;
use crate::analysis::diff::check_geometry;
use crate::trace::Trace;
use crate::view::{Bounds, Mix, ViewKind, ViewState};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Draw a view of a trace as a figure.
///
/// The view is given by flags, by a file (--state, as the window saves it), or by both: flags win.
/// With {token}, {layer} or {head} in --out, one figure is drawn for each of those that the flags
/// name (or for all of them).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope render cat.vlmtrace --token 3 --layer 14 --head 7 --out fig.png
  vlmscope render cat.vlmtrace --view wall --token 3 --size 3840x2160 --out wall.png
  vlmscope render cat.vlmtrace --view layer-head --quantity image-share --out matrix.svg
  vlmscope render cat.vlmtrace --layer 14 --out 'token-{token}.png'
  vlmscope render cat.vlmtrace --state view.toml --out fig.png")]
pub(crate) struct Args {
    /// The trace; may be left out if --state names one.
    trace: Option<PathBuf>,
    /// A view state as TOML.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    flags: flags::Flags,
    /// Width × height in pixels, up to 16384 on a side where the adapter allows it (8K: 7680x4320).
    #[arg(long, default_value = "1920x1080", value_parser = size)]
    size: [u32; 2],
    /// Vectors (also chosen by an --out that ends in .svg).
    #[arg(long)]
    svg: bool,
    /// Part of a graphics adapter's name (see `vlmscope doctor`).
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Print how long each pass took on the device.
    #[arg(long)]
    trace_gpu: bool,
    /// Also write the view state, to be changed by hand and given to --state.
    #[arg(long, value_name = "FILE")]
    write_state: Option<PathBuf>,
    /// FILE.png or FILE.svg; may contain {token}, {layer} and {head}.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// The traces that a figure needs.
struct Traces {
    first: Trace,
    second: Option<Trace>,
}

impl Traces {
    fn check(&self, state: &ViewState) -> anyhow::Result<()> {
        let second = self.second.as_ref().map(Bounds::of);
        Bounds::of(&self.first)
            .check(state, second.as_ref())
            .map_err(|error| usage(error.to_string()))?;
        if let Some(second) = self.second.as_ref().filter(|_| subtracts(state)) {
            check_geometry(self.first.meta(), second.meta())
                .map_err(|error| usage(error.to_string()))?;
        }
        Ok(())
    }

    /// A word where the rows of a difference predict different tokens.
    fn note(&self, state: &ViewState) {
        let Some(second) = self.second.as_ref().filter(|_| subtracts(state)) else { return };
        if second.answer_ids() != self.first.answer_ids() {
            let _ = writeln!(
                std::io::stderr(),
                "note: the answers differ (\"{}\" and \"{}\"), so the rows that are subtracted predict different tokens; `vlmscope diff A B --out SCORED.vlmtrace` scores the second with the first one's answer, and --second-trace SCORED.vlmtrace compares like with like.",
                self.first.meta().answer,
                second.meta().answer
            );
        }
    }
}

/// Whether the first map minus that of another trace is drawn.
fn subtracts(state: &ViewState) -> bool {
    state.second.as_ref().is_some_and(|second| {
        second.trace.is_some() && (state.view == ViewKind::Diff || second.mix == Mix::Difference)
    })
}

/// A figure to be drawn.
struct Job {
    state: ViewState,
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut state = match &args.state {
        Some(path) => ViewState::open(path)?,
        None => ViewState::default(),
    };
    let path = args.trace.clone().or_else(|| state.trace.clone()).ok_or_else(|| {
        usage("which trace? Give a FILE.vlmtrace, or a --state whose `trace` names one.")
    })?;
    let first = Trace::open(&path)?;
    state.trace = Some(path);
    args.flags.apply(&mut state, &first, args.state.is_some())?;
    let second = match state.second.as_ref().and_then(|second| second.trace.as_ref()) {
        Some(path) => Some(Trace::open(path)?),
        None => None,
    };
    let traces = Traces { first, second };
    let is_svg = is_svg(args)?;
    // Everything that can be wrong is found before the first figure is drawn.
    let jobs = batch::jobs(&state, &traces.first, &args.out)?;
    for job in &jobs {
        traces.check(&job.state)?;
    }
    traces.note(&state);
    if let Some(path) = &args.write_state {
        let text = state.to_toml()?;
        super::write_atomically(path, |out| Ok(out.write_all(text.as_bytes())?))?;
    }
    let mut drawing = draw::Drawing::new(args, is_svg);
    let progress = batch::progress(jobs.len());
    for job in &jobs {
        drawing.draw(&traces, job)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

fn is_svg(args: &Args) -> anyhow::Result<bool> {
    let extension = args.out.extension().and_then(|ext| ext.to_str()).map(str::to_lowercase);
    match extension.as_deref() {
        Some("svg") => Ok(true),
        Some("png") if args.svg => {
            Err(usage("--svg writes vectors; let --out end in .svg (or leave out --svg)"))
        }
        Some("png") => Ok(false),
        _ if args.svg => Ok(true),
        _ => Err(usage(format!(
            "--out {} ends in neither .png nor .svg: the ending chooses the format",
            Path::display(&args.out)
        ))),
    }
}
