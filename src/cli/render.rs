//! `vlmscope render`: any view as PNG or SVG, up to 8K, one figure or many.
//!
//! Flags change a view state. That state is checked against the trace, and is written into the figure.

mod args;
mod batch;
mod causal;
mod draw;
mod flags;
mod job;

pub(crate) use args::Args;

use super::common::{replace, usage};
use crate::trace::Trace;
use crate::view::ViewState;
use job::Traces;
use std::path::Path;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut state = match &args.state {
        Some(path) => ViewState::open(path)?,
        None => ViewState::default(),
    };
    let path = args.trace.clone().or_else(|| state.trace.clone()).ok_or_else(|| {
        usage("no trace is given: name a FILE.vlmtrace, or a --state file whose `trace` names one.")
    })?;
    let first = Trace::open(&path)?;
    state.trace = Some(path);
    args.flags.apply(&mut state, &first, args.state.is_some())?;
    let second = match state.second.as_ref().and_then(|second| second.trace.as_ref()) {
        Some(path) => Some(Trace::open(path)?),
        None => None,
    };
    let mut traces = Traces { first, second };
    let is_svg = is_svg(args)?;
    // All input errors are found before the first figure is drawn.
    let jobs = batch::jobs(&state, &traces.first, &args.out)?;
    for job in &jobs {
        traces.check(&job.state)?;
    }
    causal::learn_missing(&mut traces.first, &jobs)?;
    traces.note(&state);
    if let Some(path) = &args.write_state {
        let text = state.named_from(path)?.to_toml()?;
        replace(path, |out| Ok(out.write_all(text.as_bytes())?))?;
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
            Err(usage("--svg needs an --out that ends in .svg (or leave out --svg)"))
        }
        Some("png") => Ok(false),
        _ if args.svg => Ok(true),
        _ => Err(usage(format!(
            "--out {} ends in neither .png nor .svg: the ending chooses the format",
            Path::display(&args.out)
        ))),
    }
}
