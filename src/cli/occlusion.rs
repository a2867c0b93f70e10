//! `vlmscope occlusion`: covers the picture part by part, and measures the effect of each part on the answer.

use super::common::{
    cancel_on_interrupt, check_writable, file_to_change, print_json, trace_file, usage,
};
use super::trace_model::{Meter, ModelFlags, answer_token_texts, shown};
use crate::model::{
    BlankFill, FINE_WINDOWS, OCCLUSION_MAP, OcclusionOptions, occlusion, only_view,
};
use crate::terminal;
use crate::trace::Trace;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

/// Add an occlusion map to a trace: the drop in log-probability when part of the picture is
/// covered.
///
/// The picture is covered window by window, coarse first, and the answer is scored again each time.
/// The map is stored as map.occlusion, one row per answer token; positive numbers mark patches that
/// support the token.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope occlusion fox.vlmtrace
  vlmscope occlusion fox.vlmtrace --fill blur --out fox-blur.vlmtrace
  vlmscope render fox.vlmtrace --map map.occlusion --token 3 --out occlusion.png")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace; the map is added to this file unless --out names
    /// another.
    #[arg(value_parser = trace_file())]
    trace: PathBuf,
    /// Windows along each edge of the picture; with as many as patches, each window covers one patch.
    #[arg(long, value_name = "N", default_value_t = FINE_WINDOWS, value_parser = clap::value_parser!(u32).range(1..=256))]
    windows: u32,
    /// Fill of covered windows.
    #[arg(long, value_enum, default_value_t = FillFlag::Mean)]
    fill: FillFlag,
    /// Trace file to write [default: replace the trace].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object, with the map.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FillFlag {
    /// The mean colour of the picture.
    Mean,
    /// The picture, blurred.
    Blur,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let span = only_view(&trace, "covered")
        .map_err(|error| usage(format!("{}: {error}", shown(&args.trace))))?;
    let out = file_to_change(&args.trace, args.out.as_deref())?;
    check_writable(&out)?;
    let options = OcclusionOptions {
        // The map is printed when it is finished; only the window shows the coarse round.
        rounds: vec![args.windows],
        fill: match args.fill {
            FillFlag::Mean => BlankFill::Mean,
            FillFlag::Blur => BlankFill::Blur,
        },
    };
    let cancel = cancel_on_interrupt();
    let meter = Meter::new();
    let mut engine = meter.load(&args.model)?;
    let start = Instant::now();
    let found = occlusion(&mut engine, &trace, &options, &cancel, &mut |progress| {
        meter.step("covering the picture", progress.done.into(), progress.total.into());
    });
    meter.finish();
    let map = found?;
    let seconds = start.elapsed().as_secs_f64();
    let patches = trace.meta().patches();
    let tokens = trace.shape().generated;
    trace.with_map(OCCLUSION_MAP, &[tokens, patches], &map)?.write_maps(&trace, &out)?;
    let windows = crate::model::window_count(span, &options.rounds);
    if args.json {
        let rows: Vec<&[f32]> = map.chunks_exact(patches).collect();
        return print_json(&json!({
            "trace": out,
            "map": OCCLUSION_MAP,
            "windows": windows,
            "grid": [span.rows, span.columns],
            "tokens": answer_token_texts(&trace),
            "values": rows,
            "seconds": seconds,
        }));
    }
    let mut stdout = terminal::stdout();
    writeln!(stdout, "drop in log-probability when the strongest patch is covered")?;
    for (word, row) in answer_token_texts(&trace).iter().zip(map.chunks_exact(patches)) {
        let best = (0..patches).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        let (r, c) = (best as u32 / span.columns, best as u32 % span.columns);
        writeln!(stdout, "  {word:<16} {:+8.3}  at row {r}, column {c}", row[best])?;
    }
    let _ = writeln!(
        terminal::stderr(),
        "{windows} windows in {seconds:.2} s · {OCCLUSION_MAP} is in {}",
        shown(&out)
    );
    Ok(())
}
