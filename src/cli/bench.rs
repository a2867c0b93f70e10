//! `vlmscope bench`: costs of frames, as multiples of the bare picture in the same run.
//!
//! CPU time of the whole process (user and system, with the threads of a software renderer) is the steady figure on a
//! shared machine; wall time is given beside it. Traces are synthetic, with the geometry of a real model.

mod data_set;
mod large;
mod meter;
mod record;
mod table;
mod window;

use super::common::{print_json, size, usage};
use crate::gpu::{Gpu, GpuOptions, Renderer, RendererOptions, Scene, Target};
use crate::terminal;
use crate::trace::Trace;
use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
use crate::view::{AxisSet, Camera, ColorMap, Queries, Range, ViewKind, ViewState};
use meter::{Cost, Meter, note, rounded};
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Measure the renderer at a model's geometry.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope bench --size 3840x2160
  vlmscope bench --geometry llava-1.5-13b --json
  vlmscope bench --large                          also traces of 0.84 GB and 32 GiB (sparse)")]
pub(crate) struct Args {
    /// llava-1.5-7b, llava-1.5-13b, long-context or small.
    #[arg(long, default_value = "llava-1.5-7b")]
    geometry: String,
    /// Width × height in pixels.
    #[arg(long, default_value = "1920x1080", value_parser = size)]
    size: [u32; 2],
    /// Frames per measurement.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..))]
    frames: u32,
    /// Graphics adapter: part of its name (see `vlmscope doctor`).
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Only write the synthetic trace that is measured, for inspection.
    #[arg(long, value_name = "FILE", conflicts_with = "large")]
    write_trace: Option<PathBuf>,
    /// Also open a 0.84 GB trace and scrub a sparse one of 32 GiB.
    #[arg(long)]
    large: bool,
    /// Measure input events through the real window, offscreen, instead of single frames.
    #[arg(long, conflicts_with = "large")]
    window: bool,
    /// Measure the cost of a film frame: the recorder compared with drawing and encoding alone.
    #[arg(long, conflicts_with_all = ["large", "window"])]
    record: bool,
    /// Measure a table of this many rows: writing, opening, and reading one head of it.
    #[arg(long, value_name = "ROWS", conflicts_with_all = ["large", "window", "record"])]
    table: Option<usize>,
    /// Measure the window over a table of this many samples: reading, filtering, comparing and ranking heads, and frames.
    #[arg(long, value_name = "SAMPLES", conflicts_with_all = ["large", "window", "record", "table"])]
    data_set: Option<usize>,
    /// Record this many minutes instead, and report resident memory during the recording.
    #[arg(long, value_name = "MINUTES", requires = "record")]
    minutes: Option<f64>,
    /// Folder for the large traces.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Inputs of all measurements.
struct Bench {
    gpu: Arc<Gpu>,
    trace: Trace,
    size: [u32; 2],
    frames: u32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let geometry = Geometry::named(&args.geometry).ok_or_else(|| {
        usage(format!(
            "unknown geometry `{}`; the geometries are {}",
            args.geometry,
            Geometry::NAMES.join(", ")
        ))
    })?;
    let synthetic = Synthetic::new(geometry.clone(), RowsKept::Text, 1)?;
    if let Some(path) = &args.write_trace {
        synthetic.write(path)?;
        return note(&format!("wrote {}", path.display()));
    }
    if let Some(rows) = args.table {
        let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
        return print_json(&table::run(&synthetic.trace()?, &scratch, rows)?);
    }
    let options = GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() };
    let gpu = Gpu::open(&options)?;
    if let Some(samples) = args.data_set {
        let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
        return print_json(&data_set::run(&gpu, geometry, &scratch, samples, args.size)?);
    }
    note(&format!("{}: making a trace", gpu.info().name))?;
    let trace = synthetic.trace()?;
    if args.window {
        return window::run(&gpu, trace, args.size, args.json);
    }
    if args.record {
        return record::run(&gpu, trace, args.size, args.minutes);
    }
    let bench = Bench { gpu, trace, size: args.size, frames: args.frames };
    let mut report = bench.run()?;
    if args.large {
        note("writing the large traces")?;
        let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
        report.insert("large".into(), large::run(&bench.gpu, &scratch, args.size)?);
    }
    if args.json { print_json(&Value::Object(report)) } else { print_text(&report) }
}

impl Bench {
    fn run(&self) -> anyhow::Result<Map<String, Value>> {
        let offscreen = RendererOptions::offscreen();
        let mut costs: Vec<(&'static str, Cost)> = Vec::new();
        // The baseline is measured before and after everything else, to show a drift of the machine's speed.
        let before = self.baseline()?;
        costs.push(("scrub_layer_head", self.scrub("layer-head", offscreen, layer_head)?));
        costs.push(("scrub_layer_mean", self.scrub("layer-mean", offscreen, layer_mean)?));
        costs.push(("scrub_token", self.scrub_token()?));
        costs.push(("opacity", self.scrub("opacity", offscreen, opacity)?));
        costs.push(("colormap", self.scrub("colormap", offscreen, colormap)?));
        costs.push(("pan_zoom", self.scrub("pan-zoom", offscreen, pan_zoom)?));
        costs.push(("heads_layer", self.scrub("heads", offscreen, heads)?));
        costs.push(("wall", self.scrub("wall", offscreen, wall)?));
        costs.push(("wall_token", self.scrub("wall-token", offscreen, wall_token)?));
        costs.push(("layer_head_matrix", self.scrub("matrix", offscreen, matrix)?));
        costs.push(("token_matrix", self.scrub("tokens", offscreen, token_matrix)?));
        let after = self.baseline()?;
        let baseline = (before.cpu_ms + after.cpu_ms) / 2.0;
        let one_head = self.reduction("one-head", |state| {
            state.map.layers = layer(&self.trace, 0);
            state.map.heads = AxisSet::single(0);
        })?;
        let all_heads = self.reduction("all-heads", |_| {})?;
        let lvlm = self.lvlm_layer_change()?;

        let ratios: Map<String, Value> = costs
            .iter()
            .map(|(name, cost)| ((*name).to_owned(), rounded(cost.cpu_ms / baseline, 2)))
            .collect();
        let mut frames: Map<String, Value> =
            costs.into_iter().map(|(name, cost)| (name.to_owned(), cost.json())).collect();
        frames.insert("tiny_one_head".into(), one_head.json());
        frames.insert("tiny_all_heads".into(), all_heads.json());
        frames.insert("lvlm_interpret_layer_change".into(), lvlm.json());
        let shape = self.trace.shape();
        let mut report = Map::new();
        report.insert("adapter".into(), json!(self.gpu.info().name));
        report.insert("software".into(), json!(self.gpu.is_software()));
        report.insert("model".into(), json!(self.trace.meta().model.name));
        report.insert("positions".into(), json!(shape.positions));
        report.insert("page_bytes".into(), json!(shape.page_bytes()));
        report.insert("size".into(), json!(self.size));
        report.insert("baseline_ms".into(), rounded(baseline, 3));
        report.insert("baseline".into(), json!({ "before": before.json(), "after": after.json() }));
        let reduction = rounded(all_heads.cpu_ms - one_head.cpu_ms, 3);
        report.insert("reduce_all_heads_ms".into(), reduction);
        report.insert("frames".into(), Value::Object(frames));
        report.insert("ratios".into(), Value::Object(ratios));
        Ok(report)
    }

    fn meter(&self, name: &'static str) -> Meter<'_> {
        Meter::new(&self.gpu, name, self.frames)
    }

    /// The picture alone, one bilinear sample a pixel.
    fn baseline(&self) -> anyhow::Result<Cost> {
        let mut renderer = Renderer::new(Arc::clone(&self.gpu), RendererOptions::offscreen())?;
        let target = Target::offscreen(&self.gpu, self.size)?;
        let state = start();
        let scene = Scene::new(&state, &self.trace);
        self.meter("baseline").run(|_| Ok(renderer.bare_picture(&scene, &target)?))
    }

    /// Draws a frame for each state that `change` makes.
    fn scrub(
        &self,
        name: &'static str,
        options: RendererOptions,
        change: impl Fn(&mut ViewState, &Trace, u32),
    ) -> anyhow::Result<Cost> {
        let mut renderer = Renderer::new(Arc::clone(&self.gpu), options)?;
        let target = Target::offscreen(&self.gpu, self.size)?;
        self.meter(name).run(|index| {
            let mut state = start();
            change(&mut state, &self.trace, index);
            Ok(renderer.frame(&Scene::new(&state, &self.trace), &target)?)
        })
    }

    /// Scrubs with a pool of two pages, so that every frame has to upload one.
    fn scrub_token(&self) -> anyhow::Result<Cost> {
        let pool_bytes = Some(2 * self.trace.shape().page_bytes() as u64);
        let options = RendererOptions { pool_bytes, ..RendererOptions::offscreen() };
        self.scrub("token", options, |state, trace, index| {
            state.map.queries = query(trace, index);
            state.map.layers = layer(trace, trace.shape().layers as u32 / 2);
            state.map.heads = AxisSet::single(1);
        })
    }

    /// A small target with a fixed range, so that no number is read on the CPU: the remaining cost is folding resident
    /// pages, and the overhead of a frame.
    fn reduction(
        &self,
        name: &'static str,
        choose: impl Fn(&mut ViewState),
    ) -> anyhow::Result<Cost> {
        let mut renderer = Renderer::new(Arc::clone(&self.gpu), RendererOptions::offscreen())?;
        let target = Target::offscreen(&self.gpu, [16, 16])?;
        self.meter(name).run(|index| {
            let mut state = start();
            state.map.queries = query(&self.trace, index);
            state.normalise.range = Range::Fixed { min: 0.0, max: 0.01 };
            choose(&mut state);
            Ok(renderer.frame(&Scene::new(&state, &self.trace), &target)?)
        })
    }

    /// The output of LVLM-Interpret for a change of the layer: every head's overlay of 336² (jet at 50 %, bicubic) and
    /// the strip of per-head means, as one matrix.
    fn lvlm_layer_change(&self) -> anyhow::Result<Cost> {
        const TILE: u32 = 336;
        let heads_count = self.trace.shape().heads as u32;
        let columns = heads_count.isqrt().next_power_of_two().max(1);
        let rows = heads_count.div_ceil(columns);
        let size = [columns * (TILE + 16) + 64, rows * (TILE + 48) + 160];
        let mut renderer = Renderer::new(Arc::clone(&self.gpu), RendererOptions::offscreen())?;
        let overlays = Target::offscreen(&self.gpu, size)?;
        let strip = Target::offscreen(&self.gpu, [1024, 256])?;
        self.meter("lvlm").run(|index| {
            let mut state = start().with_lvlm_interpret_look();
            heads(&mut state, &self.trace, index);
            let stats = renderer.frame(&Scene::new(&state, &self.trace), &overlays)?;
            state.view = ViewKind::LayerHead;
            renderer.frame(&Scene::new(&state, &self.trace), &strip)?;
            Ok(stats)
        })
    }
}

/// One answer token, mean over all layers and heads.
fn start() -> ViewState {
    let mut state = ViewState::default();
    state.map.queries = Queries::answer(1);
    state
}

/// One of a few kept rows: after the first frames all of them are resident in any pool but that of
/// `scrub_token`.
fn query(trace: &Trace, index: u32) -> Queries {
    let rows = trace.rows();
    Queries::position(rows[index as usize % rows.len().min(meter::WARM_UP as usize)])
}

/// One of the layers that have attention.
fn layer(trace: &Trace, index: u32) -> AxisSet {
    AxisSet::single(trace.meta().model.layer_number(index))
}

fn layer_head(state: &mut ViewState, trace: &Trace, index: u32) {
    let shape = trace.shape();
    // Steps that are coprime to the sizes visit every layer and head.
    state.map.layers = layer(trace, index * 7 % shape.layers as u32);
    state.map.heads = AxisSet::single(index * 5 % shape.heads as u32);
}

fn layer_mean(state: &mut ViewState, trace: &Trace, index: u32) {
    state.map.layers = layer(trace, index * 7 % trace.shape().layers as u32);
}

fn opacity(state: &mut ViewState, _: &Trace, index: u32) {
    state.opacity = 0.2 + f64::from(index % 50) / 100.0;
}

fn colormap(state: &mut ViewState, _: &Trace, index: u32) {
    state.colormap = ColorMap::ALL[index as usize % ColorMap::ALL.len()];
}

fn pan_zoom(state: &mut ViewState, _: &Trace, index: u32) {
    let turn = f64::from(index % 40) / 40.0;
    state.camera = Camera { centre: [0.4 + 0.2 * turn, 0.5], zoom: 1.0 + turn };
}

fn heads(state: &mut ViewState, trace: &Trace, index: u32) {
    state.view = ViewKind::Heads;
    layer_mean(state, trace, index);
}

fn wall(state: &mut ViewState, trace: &Trace, index: u32) {
    state.view = ViewKind::Wall;
    layer_head(state, trace, index);
}

fn wall_token(state: &mut ViewState, trace: &Trace, index: u32) {
    wall(state, trace, index);
    state.map.queries = query(trace, index);
}

fn matrix(state: &mut ViewState, trace: &Trace, index: u32) {
    state.view = ViewKind::LayerHead;
    layer_head(state, trace, index);
    state.map.queries = query(trace, index);
}

fn token_matrix(state: &mut ViewState, trace: &Trace, index: u32) {
    state.view = ViewKind::TokenMatrix;
    layer_head(state, trace, index);
}

fn print_text(report: &Map<String, Value>) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    let text = |key: &str| report.get(key).map_or_else(String::new, Value::to_string);
    writeln!(out, "adapter      {}", text("adapter"))?;
    writeln!(out, "model        {}, {} positions", text("model"), text("positions"))?;
    writeln!(out, "size         {}", text("size"))?;
    writeln!(out, "baseline     {} ms CPU a frame (the bare picture)", text("baseline_ms"))?;
    writeln!(out, "reduction    {} ms CPU for every layer and head", text("reduce_all_heads_ms"))?;
    writeln!(out)?;
    writeln!(
        out,
        "{:<30}{:>10}{:>10}{:>10}{:>10}{:>9}",
        "", "CPU ms", "wall p50", "wall p99", "ratio", "pages"
    )?;
    let frames = report.get("frames").and_then(Value::as_object);
    for (name, cost) in frames.into_iter().flatten() {
        let number = |key: &str| cost.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let ratio = report.get("ratios").and_then(|ratios| ratios.get(name));
        let ratio = ratio.and_then(Value::as_f64).map_or("".into(), |r| format!("{r:.2} ×"));
        writeln!(
            out,
            "{name:<30}{:>10.2}{:>10.2}{:>10.2}{ratio:>10}{:>9.2}",
            number("cpu_ms"),
            number("wall_p50_ms"),
            number("wall_p99_ms"),
            number("page_uploads"),
        )?;
    }
    if let Some(large) = report.get("large") {
        writeln!(out, "\nlarge traces\n{}", serde_json::to_string_pretty(large)?)?;
    }
    Ok(())
}
