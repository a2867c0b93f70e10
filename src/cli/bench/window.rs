//! `vlmscope bench --window`: the cost of an input event in the real window.

use crate::cli::common::print_json;
use crate::gpu::Gpu;
use crate::terminal;
use crate::trace::Trace;
use crate::ui::window_bench::{Percentiles, WindowBench, replay};
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Arc;

/// Replayed events: five seconds of input at 60 events a second.
const EVENTS: usize = 300;

pub(super) fn run(
    gpu: &Arc<Gpu>,
    trace: Trace,
    size: [u32; 2],
    as_json: bool,
) -> anyhow::Result<()> {
    let model = trace.meta().model.name.clone();
    let replay = replay(gpu, Arc::new(trace), size, EVENTS)?;
    if as_json {
        return print_json(&report(gpu, &model, size, &replay));
    }
    let mut out = terminal::stdout();
    writeln!(
        out,
        "{} · {model} · {} × {} · {} events",
        gpu.info().name,
        size[0],
        size[1],
        replay.events
    )?;
    writeln!(out, "{:<28}{:>9}{:>9}{:>9}", "CPU ms a frame", "p50", "p95", "p99")?;
    for (name, Percentiles { p50, p95, p99 }) in rows(&replay) {
        writeln!(out, "{name:<28}{p50:>9.2}{p95:>9.2}{p99:>9.2}")?;
    }
    writeln!(
        out,
        "most expensive event: {} page uploads, {} draws of the stage",
        replay.max_page_uploads, replay.max_stage_draws
    )?;
    Ok(())
}

fn rows(replay: &WindowBench) -> [(&'static str, Percentiles); 6] {
    [
        ("panels", replay.ui_ms),
        ("renderer (stage)", replay.stage_ms),
        ("renderer (stage and window)", replay.renderer_ms),
        ("frame", replay.frame_ms),
        ("frame, marking an object", replay.mark_ms),
        ("heads inside an object", replay.inside_ms),
    ]
}

fn report(gpu: &Gpu, model: &str, size: [u32; 2], replay: &WindowBench) -> Value {
    let three = |p: Percentiles| json!({ "p50": p.p50, "p95": p.p95, "p99": p.p99 });
    json!({
        "adapter": gpu.info().name,
        "model": model,
        "size": size,
        "events": replay.events,
        "cpu_ms": {
            "ui": three(replay.ui_ms),
            "stage": three(replay.stage_ms),
            "renderer": three(replay.renderer_ms),
            "frame": three(replay.frame_ms),
            "mark": three(replay.mark_ms),
            "inside": three(replay.inside_ms),
        },
        "max_page_uploads_an_event": replay.max_page_uploads,
        "max_stage_draws_an_event": replay.max_stage_draws,
    })
}
