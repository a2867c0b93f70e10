//! One figure: drawn on the device, read back, written.

use super::{Args, Job, Traces};
use crate::analysis::gather::{Members, query_key};
use crate::analysis::overview::{HeadNumber, layer_head};
use crate::analysis::reduce::{Fold, has_bos};
use crate::gpu::{FrameStats, Gpu, GpuOptions, PassTime, Renderer, RendererOptions, Scene, Target};
use crate::record::{Cells, Provenance, Raster, png_bytes, svg};
use crate::trace::Trace;
use crate::view::figure::{Content, Figure, PixelRect, caption, number, text_of};
use crate::view::{Aggregate, Extent, Quantity, ViewKind};
use image::RgbaImage;
use std::io::Write as _;
use std::sync::Arc;

/// Cells of a token matrix that are still drawn as vectors; more are embedded as pixels.
const MOST_VECTOR_CELLS: usize = 60_000;

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
}

impl<'a> Drawing<'a> {
    pub fn new(args: &'a Args, is_svg: bool) -> Self {
        Self { args, is_svg, device: None }
    }

    /// Draws and writes one figure.
    pub fn draw(&mut self, traces: &Traces, job: &Job) -> anyhow::Result<()> {
        let scene =
            Scene { state: &job.state, trace: &traces.first, second: traces.second.as_ref() };
        let bytes = if self.is_svg {
            self.svg(&scene)?.into_bytes()
        } else {
            let (frame, stats) = self.frame(&scene)?;
            png_bytes(&frame, &provenance(&scene, stats.range)?)?
        };
        super::super::write_atomically(&job.out, |out| Ok(out.write_all(&bytes)?))
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
        let (figure, range, rasters, cells) = match self.vector_cells(scene)? {
            Some((figure, range, cells)) => (figure, Some(range), Vec::new(), Some(cells)),
            None => {
                let (frame, stats) = self.frame(scene)?;
                let figure = self.device.as_ref().and_then(|device| device.renderer.figure());
                let figure =
                    figure.cloned().ok_or_else(|| anyhow::anyhow!("no frame was drawn"))?;
                let rasters = rasters(&figure, &frame)?;
                (figure, stats.range, rasters, None)
            }
        };
        let palette = scene.state.theme.palette();
        let provenance = provenance(scene, range)?;
        Ok(svg(&figure, palette, scene.colormap(), &rasters, cells.as_ref(), &provenance))
    }

    /// A matrix needs no device: its cells, and the figure around them.
    fn vector_cells(&self, scene: &Scene<'_>) -> anyhow::Result<Option<(Figure, [f64; 2], Cells)>> {
        let numbers = match scene.state.view {
            ViewKind::LayerHead => Some(layer_head_numbers(scene)?),
            ViewKind::TokenMatrix => token_numbers(scene),
            _ => None,
        };
        let Some(Numbers { rows, columns, values }) = numbers else { return Ok(None) };
        let known: Vec<f32> = values.iter().flatten().copied().collect();
        let scaling = scene.scaling();
        let range = scaling.ranges(&known, known.len()).first().copied().unwrap_or([0.0, 0.0]);
        let ends = range.map(f64::from);
        let mut content = Content::of(scene.state, scene.trace);
        if let Content::Matrix { values: printed, .. } = &mut content {
            *printed = Some(known);
        }
        let meta = scene.trace.meta();
        let line = caption(scene.state, meta, scene.second.map(Trace::meta), Some(ends));
        let figure = Figure::layout(scene.state, self.args.size, &content, &line, Some(ends));
        let largest = f64::from(range[0].abs().max(range[1].abs()));
        let title = |index: usize, value: Option<f32>| {
            let (row, column) = (index as u32 / columns, index as u32 % columns);
            let value = value.map_or("not kept".into(), |v| number(f64::from(v), largest));
            format!("{row}, {column}: {value}")
        };
        let cells = Cells {
            rect: figure.content,
            rows,
            columns,
            titles: values.iter().enumerate().map(|(index, v)| title(index, *v)).collect(),
            values: values.iter().map(|v| v.map(|v| scaling.apply(v, range))).collect(),
        };
        Ok(Some((figure, ends, cells)))
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
    let mut out = std::io::stderr().lock();
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

/// Numbers of a matrix row by row, `None` for a gap.
struct Numbers {
    rows: u32,
    columns: u32,
    values: Vec<Option<f32>>,
}

const fn fold(aggregate: Aggregate) -> Fold {
    match aggregate {
        Aggregate::Single | Aggregate::Mean => Fold::Mean,
        Aggregate::Max => Fold::Max,
    }
}

fn layer_head_numbers(scene: &Scene<'_>) -> anyhow::Result<Numbers> {
    let (state, trace) = (scene.state, scene.trace);
    let number = match state.quantity {
        Quantity::ImageToAnswer => HeadNumber::ImageMean,
        Quantity::QuestionToAnswer => HeadNumber::QuestionMean,
        Quantity::ImageShare => HeadNumber::ImageShare,
        Quantity::Entropy => HeadNumber::ImageEntropy,
    };
    let rows: Vec<u32> = Extent::of(trace)
        .query_rows(&state.map.queries)?
        .into_iter()
        .filter_map(|query| trace.row_of_query(query))
        .map(|row| row as u32)
        .collect();
    let fold = fold(state.map.queries.set.aggregate());
    let remove_bos = state.remove_bos && has_bos(trace);
    let values = layer_head(trace, number, &rows, fold, remove_bos)
        .ok_or_else(|| anyhow::anyhow!("the trace has no overview numbers"))?;
    let shape = trace.shape();
    Ok(Numbers {
        rows: shape.layers as u32,
        columns: shape.heads as u32,
        values: values.into_iter().map(Some).collect(),
    })
}

/// `None` where there are too many cells for vectors.
fn token_numbers(scene: &Scene<'_>) -> Option<Numbers> {
    let (map, shape) = (&scene.state.map, scene.trace.shape());
    let (first, last) = (scene.trace.rows().first()?, scene.trace.rows().last()?);
    // BOS changes each row's sum; the device's pass knows how.
    let plain = !(scene.state.remove_bos && has_bos(scene.trace));
    if !plain || (last - first + 1) as usize * shape.positions > MOST_VECTOR_CELLS {
        return None;
    }
    let members = Members {
        layers: map.layers.members(shape.layers as u32),
        heads: map.heads.members(shape.heads as u32),
        layer_fold: fold(map.layers.aggregate()),
        head_fold: fold(map.heads.aggregate()),
    };
    let matrix = query_key(scene.trace, &members)?;
    let gap = |value: f32| (value >= 0.0).then_some(value);
    Some(Numbers {
        rows: matrix.queries as u32,
        columns: matrix.keys as u32,
        values: matrix.weights.into_iter().map(gap).collect(),
    })
}

/// The pixels of a frame's data, to be embedded: every tile of the heads view, or the stage.
fn rasters(figure: &Figure, frame: &RgbaImage) -> anyhow::Result<Vec<Raster>> {
    let places: Vec<PixelRect> = if figure.tiles.is_empty() {
        vec![figure.visible()]
    } else {
        figure.tiles.iter().map(|(_, rect)| rect.intersection(&figure.stage)).collect()
    };
    let mut rasters = Vec::new();
    for place in places {
        let edge = |value: f32, most: u32| (value.round().max(0.0) as u32).min(most);
        let (left, right) = (edge(place.x, frame.width()), edge(place.right(), frame.width()));
        let (top, bottom) = (edge(place.y, frame.height()), edge(place.bottom(), frame.height()));
        if right <= left || bottom <= top {
            continue;
        }
        let crop =
            image::imageops::crop_imm(frame, left, top, right - left, bottom - top).to_image();
        rasters.push(Raster {
            rect: PixelRect::from_edges(left as f32, top as f32, right as f32, bottom as f32),
            png: png_bytes(&crop, &Provenance::default())?,
            pixelated: false,
        });
    }
    Ok(rasters)
}

/// Where a figure came from.
fn provenance(scene: &Scene<'_>, range: Option<[f64; 2]>) -> anyhow::Result<Provenance> {
    let meta = scene.trace.meta();
    let line = caption(scene.state, meta, scene.second.map(Trace::meta), range);
    Ok(Provenance {
        command: command_line(),
        state: scene.state.to_toml()?,
        caption: text_of(&line),
    })
}

/// The command that is running, as it may be pasted into a shell.
fn command_line() -> String {
    let quoted = |text: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let arguments = std::env::args_os().skip(1).map(|arg| quoted(arg.to_string_lossy().into()));
    std::iter::once("vlmscope".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}
