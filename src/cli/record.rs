//! `vlmscope record`: a walkthrough as a film.

use super::common::{
    Show, bar, cancel_on_interrupt, note, print_json, replace, size, trace_file, usage,
};
use super::selection::PictureFlags;
use crate::gpu::{Gpu, GpuOptions};
use crate::record::encoder::{FilmFormat, Quality, VideoEncoder};
use crate::record::{Film, OpenTraces, Progress, subtitles};
use crate::terminal;
use crate::view::timeline::{Timeline, Walkthrough};
use crate::view::{Bounds, PictureRule, ViewKind};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Record a walkthrough as a film, drawn offscreen: the same frames on any machine.
///
/// A trace is recorded as the tour that `vlmscope walkthrough new` would write. The ending of
/// --out chooses the format: .mp4, .gif, or none for a folder of PNG files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope record cat.vlmtrace --out cat.mp4
  vlmscope record tour.toml --size 3840x2160 --fps 60 --quality high --out tour.mp4
  vlmscope record tour.toml --size 1080x1920 --out portrait.mp4
  vlmscope record tour.toml --size 960x540 --fps 15 --out tour.gif
  vlmscope record tour.toml --srt --out tour.mp4          captions as tour.srt, not in the picture")]
pub(crate) struct Args {
    /// A trace (captured:N for a sample trace), a walkthrough or a pack.
    #[arg(value_parser = trace_file())]
    walkthrough: PathBuf,
    /// Width × height in pixels: 1920x1080, 3840x2160, 1080x1920, 1080x1080, …
    #[arg(long, default_value = "1920x1080", value_parser = size)]
    size: [u32; 2],
    /// Frames per second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Trade image quality against file size.
    #[arg(long, value_enum, default_value_t)]
    quality: Quality,
    /// Encoder of MP4 films.
    #[arg(long, value_enum, default_value_t)]
    encoder: VideoEncoder,
    /// Write captions to an .srt file beside the film instead of drawing them.
    #[arg(long)]
    srt: bool,
    #[command(flatten)]
    picture: PictureFlags,
    /// Graphics adapter: part of its name (see `vlmscope doctor`).
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Print one JSON object when done.
    #[arg(long)]
    json: bool,
    /// FILE.mp4, FILE.gif, or a folder for PNG files.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut show = Show::open(&args.walkthrough)?;
    choose_picture(&args.picture, &mut show.walkthrough, &show.traces)?;
    let Show { walkthrough, traces, .. } = &show;
    let timeline = Timeline::new(walkthrough);
    if args.size.iter().any(|&side| side < 64) {
        let [width, height] = args.size;
        return Err(usage(format!("{width} × {height} is too small for a film; use 64 or more")));
    }
    let format = FilmFormat {
        size: args.size,
        fps: args.fps,
        frames: timeline.frames(args.fps),
        quality: args.quality,
        encoder: args.encoder,
    };
    // Errors of --out are reported before any long work.
    let encoder = format.open(&args.out)?;
    let gpu = Gpu::open(&GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() })?;
    let cancel = cancel_on_interrupt();

    let film = Film { walkthrough, traces, size: args.size, fps: args.fps, captions: !args.srt };
    let bar = bar("{bar:32} {pos}/{len} frames, {per_sec}, {eta} left", format.frames);
    let summary = film.record(&gpu, encoder, &cancel, &mut |Progress { done, .. }| {
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let summary = summary?;
    summary.missing_glyphs.as_deref().into_iter().for_each(note);
    let srt = if args.srt { Some(write_subtitles(&args.out, &timeline)?) } else { None };
    if args.json {
        let bytes = std::fs::metadata(&args.out).ok().filter(std::fs::Metadata::is_file);
        return print_json(&json!({
            "out": args.out,
            "subtitles": srt,
            "frames": summary.frames,
            "drawn": summary.drawn,
            "seconds": summary.seconds,
            "size": args.size,
            "fps": args.fps,
            "bytes": bytes.map(|metadata| metadata.len()),
            "adapter": gpu.info().name,
        }));
    }
    let mut out = terminal::stdout();
    for path in std::iter::once(&args.out).chain(&srt) {
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

/// Shows the picture, frame or view of the flags in every step.
fn choose_picture(
    flags: &PictureFlags,
    walkthrough: &mut Walkthrough,
    traces: &OpenTraces,
) -> anyhow::Result<()> {
    if !flags.are_given() {
        return Ok(());
    }
    for step in &mut walkthrough.steps {
        let state = &mut step.state;
        let Some(trace) = state.trace.as_ref().and_then(|path| traces.get(path)) else { continue };
        // A view of all pictures would not show the chosen one alone.
        if state.view.spec().pictures == PictureRule::All {
            state.view = ViewKind::Overlay;
        }
        let chosen = flags.apply(&mut state.picture, trace);
        let checked = chosen.and_then(|()| Bounds::from_trace(trace).check_picture(state.picture));
        checked.map_err(|error| usage(error.to_string()))?;
    }
    Ok(())
}

fn write_subtitles(out: &Path, timeline: &Timeline<'_>) -> anyhow::Result<PathBuf> {
    let path = out.with_extension("srt");
    let text = subtitles(timeline);
    replace(&path, |file| Ok(file.write_all(text.as_bytes())?))?;
    Ok(path)
}
