//! Figures and numbers of what is on the stage, made on whichever thread wants them.
//!
//! A figure has a renderer of its own: the window's goes on meanwhile, and what is saved is what
//! `vlmscope render` draws.

use super::readings::{Readings, fold};
use crate::analysis::gather::{Members, query_key};
use crate::gpu::{Gpu, Renderer, RendererOptions, Scene, Target};
use crate::record::{self, Cells, Provenance, Raster, png_bytes};
use crate::trace::Trace;
use crate::view::figure::{Figure, PixelRect, caption, number, text_of};
use crate::view::{ViewKind, ViewState};
use anyhow::Context as _;
use image::RgbaImage;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// A figure to be made.
pub struct FigureJob {
    /// The device.
    pub gpu: Arc<Gpu>,
    /// What is seen.
    pub state: ViewState,
    /// Of which trace.
    pub trace: Arc<Trace>,
    /// Where the trace is kept.
    pub path: Option<PathBuf>,
    /// Width and height in pixels.
    pub size: [u32; 2],
}

/// A figure that was drawn.
struct Drawn {
    frame: RgbaImage,
    figure: Figure,
    range: Option<[f64; 2]>,
}

fn render(job: &FigureJob) -> anyhow::Result<Drawn> {
    let mut renderer = Renderer::new(Arc::clone(&job.gpu), RendererOptions::offscreen())?;
    let target = Target::offscreen(&job.gpu, job.size)?;
    let stats = renderer.frame(&Scene::new(&job.state, &job.trace), &target)?;
    let figure = renderer.figure().cloned().context("no frame was drawn")?;
    Ok(Drawn { frame: target.read(&job.gpu)?, figure, range: stats.range })
}

/// Draws a figure.
///
/// # Errors
/// If the device fails.
pub fn draw(job: &FigureJob) -> anyhow::Result<RgbaImage> {
    Ok(render(job)?.frame)
}

fn provenance(job: &FigureJob, range: Option<[f64; 2]>) -> anyhow::Result<Provenance> {
    let line = caption(&job.state, job.trace.meta(), None, range);
    let state = job.state.to_toml()?;
    Ok(Provenance { command: command_line(job)?, state, caption: text_of(&line) })
}

/// A figure as a PNG file that says where it came from.
///
/// # Errors
/// As [`draw`].
pub fn png(job: &FigureJob) -> anyhow::Result<Vec<u8>> {
    let drawn = render(job)?;
    Ok(png_bytes(&drawn.frame, &provenance(job, drawn.range)?)?)
}

/// A figure as SVG: text, lines and the cells of the layer × head matrix as vectors, pictures and
/// larger matrices embedded.
///
/// # Errors
/// As [`draw`].
pub fn svg(job: &FigureJob) -> anyhow::Result<String> {
    let drawn = render(job)?;
    let scene = Scene::new(&job.state, &job.trace);
    let cells = match job.state.view {
        ViewKind::LayerHead => Some(cells(job, &drawn)),
        _ => None,
    };
    let rasters = if cells.is_some() { Vec::new() } else { rasters(&drawn)? };
    let provenance = provenance(job, drawn.range)?;
    let palette = job.state.theme.palette();
    let map = scene.colormap();
    Ok(record::svg(&drawn.figure, palette, map, &rasters, cells.as_ref(), &provenance))
}

fn cells(job: &FigureJob, drawn: &Drawn) -> Cells {
    let doc = document(&job.state, &job.trace);
    let matrix = Readings::default().matrix(&doc, &job.state);
    let range = drawn.range.unwrap_or([0.0, 1.0]).map(|end| end as f32);
    let scaling = Scene::new(&job.state, &job.trace).scaling();
    let largest = f64::from(range[0].abs().max(range[1].abs()));
    let title = |(index, value): (usize, &f32)| {
        let (layer, head) = (index / matrix.heads, index % matrix.heads);
        format!("layer {layer}, head {head}: {}", number(f64::from(*value), largest))
    };
    Cells {
        rect: drawn.figure.content,
        rows: matrix.layers as u32,
        columns: matrix.heads as u32,
        values: matrix.values.iter().map(|value| Some(scaling.apply(*value, range))).collect(),
        titles: matrix.values.iter().enumerate().map(title).collect(),
    }
}

/// The pixels of the data: every tile of the heads view, or the stage.
fn rasters(drawn: &Drawn) -> anyhow::Result<Vec<Raster>> {
    let Drawn { frame, figure, .. } = drawn;
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
        let (width, height) = (right - left, bottom - top);
        let crop = image::imageops::crop_imm(frame, left, top, width, height).to_image();
        let rect = PixelRect::from_edges(left as f32, top as f32, right as f32, bottom as f32);
        let png = png_bytes(&crop, &Provenance::default())?;
        rasters.push(Raster { rect, png, pixelated: false });
    }
    Ok(rasters)
}

/// The numbers of a figure as CSV: patches, cells of the matrix, or weights of the token matrix.
///
/// # Errors
/// If the view has no numbers.
pub fn numbers_csv(job: &FigureJob) -> anyhow::Result<String> {
    let FigureJob { state, trace, .. } = job;
    let title = text_of(&caption(state, trace.meta(), None, None));
    let mut text = format!("# {}\n", title.replace(['\n', '\r'], " "));
    match state.view {
        ViewKind::TokenMatrix => token_matrix(&mut text, state, trace)?,
        ViewKind::LayerHead | ViewKind::Wall => matrix(&mut text, state, trace)?,
        _ => patches(&mut text, state, trace)?,
    }
    Ok(text)
}

fn document(state: &ViewState, trace: &Arc<Trace>) -> super::document::Document {
    super::document::Document::new(Arc::clone(trace), state)
}

fn patches(text: &mut String, state: &ViewState, trace: &Arc<Trace>) -> anyhow::Result<()> {
    let values = Readings::default().map(&document(state, trace), state);
    anyhow::ensure!(!values.is_empty(), "this view has no patches to write");
    text.push_str("span,row,column,value\n");
    for (index, value) in values.iter().enumerate() {
        let patch = super::readings::patch_at(trace, index).context("a patch outside its span")?;
        writeln!(text, "{},{},{},{value}", patch.span, patch.row, patch.column)?;
    }
    Ok(())
}

fn matrix(text: &mut String, state: &ViewState, trace: &Arc<Trace>) -> anyhow::Result<()> {
    let doc = document(state, trace);
    let matrix = Readings::default().matrix(&doc, state);
    writeln!(text, "layer,head,{}", state.quantity.name())?;
    for (index, value) in matrix.values.iter().enumerate() {
        writeln!(text, "{},{},{value}", index / matrix.heads, index % matrix.heads)?;
    }
    Ok(())
}

fn token_matrix(text: &mut String, state: &ViewState, trace: &Trace) -> anyhow::Result<()> {
    let shape = trace.shape();
    let members = Members {
        layers: state.map.layers.members(shape.layers as u32),
        heads: state.map.heads.members(shape.heads as u32),
        layer_fold: fold(&state.map.layers),
        head_fold: fold(&state.map.heads),
    };
    let matrix = query_key(trace, &members).context("the trace kept no row of attention")?;
    text.push_str("query,key,value\n");
    for &query in trace.rows() {
        let row = query as usize - matrix.first_query;
        let weights = &matrix.weights[row * matrix.keys..][..=query as usize];
        for (key, value) in weights.iter().enumerate() {
            writeln!(text, "{query},{key},{value}")?;
        }
    }
    Ok(())
}

/// The command line that draws this figure: the state stands in it, so that nothing is lost.
///
/// # Errors
/// If the state holds a path that is not Unicode.
pub fn command_line(job: &FigureJob) -> anyhow::Result<String> {
    let [width, height] = job.size;
    let trace = match &job.path {
        Some(path) => shell_quoted(&path.to_string_lossy()),
        None => "TRACE.vlmtrace".into(),
    };
    let state = ViewState { trace: None, hovered: None, ..job.state.clone() }.to_toml()?;
    Ok(format!(
        "vlmscope render {trace} --state /dev/stdin --size {width}x{height} --out figure.png <<'EOF'\n{state}EOF\n"
    ))
}

fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
