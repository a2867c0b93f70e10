//! One figure: drawn on the device, read back, written.

use super::args::Args;
use super::job::{Job, Traces};
use crate::cli::common::{command_line, note, replace};
use crate::gpu::{FrameStats, Gpu, GpuOptions, PassTime, Renderer, RendererOptions, Scene, Target};
use crate::record::{DrawnFrame, Provenance, figure_svg, png_bytes};
use crate::terminal;
use crate::trace::Trace;
use crate::view::figure::{Readout, caption, text_of};
use anyhow::Context as _;
use image::RgbaImage;
use std::io::Write as _;
use std::sync::Arc;

/// The device, opened for the first figure that needs one.
struct Device {
    gpu: Arc<Gpu>,
    renderer: Renderer,
    target: Target,
}

/// Draws figures one after another on one device.
pub(super) struct Drawing<'a> {
    args: &'a Args,
    is_svg: bool,
    device: Option<Device>,
    /// Last message about characters that no font has.
    noted: Option<String>,
}

impl<'a> Drawing<'a> {
    pub fn new(args: &'a Args, is_svg: bool) -> Self {
        Self { args, is_svg, device: None, noted: None }
    }

    /// Draws and writes one figure.
    pub fn draw(&mut self, traces: &Traces, job: &Job) -> anyhow::Result<()> {
        let scene =
            Scene { second: traces.second.as_ref(), ..Scene::new(&job.state, &traces.first) };
        let scene = scene.with_pages();
        let bytes = if self.is_svg {
            self.svg(&scene)?.into_bytes()
        } else {
            let (frame, stats) = self.frame(&scene)?;
            png_bytes(&frame, &provenance(&scene, stats.readout)?)?
        };
        for trace in std::iter::once(&traces.first).chain(&traces.second) {
            trace.check()?;
        }
        replace(&job.out, |out| Ok(out.write_all(&bytes)?))?;
        self.note_missing_glyphs();
        Ok(())
    }

    /// Not for SVG, which keeps text as text: the viewer chooses its font.
    fn note_missing_glyphs(&mut self) {
        let device = self.device.as_ref().filter(|_| !self.is_svg);
        let missing = device.and_then(|device| device.renderer.missing_glyphs());
        if missing != self.noted {
            missing.as_deref().into_iter().for_each(note);
            self.noted = missing;
        }
    }

    fn frame(&mut self, scene: &Scene<'_>) -> anyhow::Result<(RgbaImage, FrameStats)> {
        let device = match &mut self.device {
            Some(device) => device,
            empty => empty.insert(open(self.args)?),
        };
        let stats = device.renderer.frame(scene, &device.target)?;
        if self.args.trace_gpu {
            print_times(&device.gpu, &stats.times)?;
        }
        Ok((device.target.read(&device.gpu)?, stats))
    }

    fn svg(&mut self, scene: &Scene<'_>) -> anyhow::Result<String> {
        let size = self.args.size;
        let draw = || -> anyhow::Result<DrawnFrame> {
            let (pixels, stats) = self.frame(scene)?;
            let figure = self.device.as_ref().and_then(|device| device.renderer.figure());
            let figure = figure.cloned().context("no frame was drawn")?;
            Ok(DrawnFrame { pixels, figure, readout: stats.readout })
        };
        figure_svg(scene, size, draw, |readout| provenance(scene, readout))
    }
}

fn open(args: &Args) -> anyhow::Result<Device> {
    let options = GpuOptions {
        adapter: args.adapter.clone(),
        timestamps: args.trace_gpu,
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(&options)?;
    let target = Target::offscreen(&gpu, args.size)?;
    let renderer = Renderer::new(Arc::clone(&gpu), RendererOptions::offscreen())?;
    Ok(Device { gpu, renderer, target })
}

fn print_times(gpu: &Gpu, times: &[PassTime]) -> anyhow::Result<()> {
    let mut out = terminal::stderr();
    if times.is_empty() {
        writeln!(out, "{} has no timestamps: no pass can be timed", gpu.info().name)?;
        return Ok(());
    }
    writeln!(out, "{}", gpu.info().name)?;
    for PassTime { pass, seconds } in times {
        writeln!(out, "  {pass:<12} {:>9.3} ms", seconds * 1e3)?;
    }
    Ok(())
}

/// Provenance of a figure.
fn provenance(scene: &Scene<'_>, readout: Readout) -> anyhow::Result<Provenance> {
    let meta = scene.trace.meta();
    let line = caption(scene.state, meta, scene.second.map(Trace::meta), readout);
    Ok(Provenance {
        command: command_line(),
        state: scene.state.to_toml()?,
        caption: text_of(&line),
        shares: readout.shares_as_lines(),
    })
}
