//! Figures and numbers of the view on the stage, made on any thread.
//!
//! Figures have a renderer of their own: the window's goes on meanwhile, and a saved figure equals the one of
//! `vlmscope render`. All figures of a window share it: a new renderer compiles its pipelines anew, and a software adapter
//! keeps the old ones.

use super::dialogs::Filters;
use super::value_cache::ValueCache;
use crate::analysis::gather::query_key;
use crate::gpu::{Gpu, Renderer, RendererOptions, Scene, Target};
use crate::record::{DrawnFrame, Provenance, figure_svg, png_bytes, shell_quoted};
use crate::trace::Trace;
use crate::view::chart::Chart;
use crate::view::figure::{Readout, caption, text_of};
use crate::view::{
    CausalTree, Drawing, NodeFace, Parts, PatchCrop, PatchTable, Theme, TreeNode, ViewState,
};
use anyhow::Context as _;
use image::RgbaImage;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A kind of file that shows a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// A picture.
    Png,
    /// A drawing.
    Svg,
    /// Its numbers.
    Csv,
}

impl FigureKind {
    /// Name and ending of the kind in a file dialog.
    pub const fn filters(self) -> Filters {
        match self {
            Self::Png => &[("PNG picture", &["png"])],
            Self::Svg => &[("SVG drawing", &["svg"])],
            Self::Csv => &[("Numbers as CSV", &["csv"])],
        }
    }
}

/// A figure to be made.
#[derive(Debug)]
pub struct FigureJob {
    /// The device.
    pub gpu: Arc<Gpu>,
    /// View to draw.
    pub state: ViewState,
    /// Trace of the view.
    pub trace: Arc<Trace>,
    /// Trace of the second map, if it is another one.
    pub second: Option<Arc<Trace>>,
    /// File of the trace; `None` if it was not saved.
    pub path: Option<PathBuf>,
    /// Width and height in pixels.
    pub size: [u32; 2],
}

impl FigureJob {
    fn scene(&self) -> Scene<'_> {
        Scene { second: self.second.as_deref(), ..Scene::new(&self.state, &self.trace) }
    }

    /// The caption of the figure; without the numeric range as long as that is unknown.
    fn caption(&self, readout: impl Into<Readout>) -> String {
        let second = self.second.as_ref().map(|trace| trace.meta());
        text_of(&caption(&self.state, self.trace.meta(), second, readout))
    }
}

/// The renderer of all figures, made for the first one. It draws one figure at a time.
#[derive(Clone, Default)]
pub struct FigureRenderer(Arc<Mutex<Option<Renderer>>>);

impl FigureRenderer {
    fn render(&self, job: &FigureJob) -> anyhow::Result<DrawnFrame> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that failed, or that belongs to a lost device, is not used again.
        let mut renderer = match kept.take().filter(|kept| Arc::ptr_eq(kept.gpu(), &job.gpu)) {
            Some(renderer) => renderer,
            None => Renderer::new(Arc::clone(&job.gpu), RendererOptions::offscreen())?,
        };
        let target = Target::offscreen(&job.gpu, job.size)?;
        let stats = renderer.frame(&job.scene(), &target)?;
        let figure = renderer.figure().cloned().context("no frame was drawn")?;
        let pixels = target.read(&job.gpu)?;
        *kept = Some(renderer);
        Ok(DrawnFrame { pixels, figure, readout: stats.readout })
    }
}

impl FigureRenderer {
    /// Draws a chart.
    ///
    /// # Errors
    /// If the device fails.
    pub fn chart(&self, gpu: &Arc<Gpu>, chart: &Chart, theme: Theme) -> anyhow::Result<RgbaImage> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut renderer = match kept.take().filter(|kept| Arc::ptr_eq(kept.gpu(), gpu)) {
            Some(renderer) => renderer,
            None => Renderer::new(Arc::clone(gpu), RendererOptions::offscreen())?,
        };
        let target = Target::offscreen(gpu, chart.figure.size)?;
        renderer.chart(&chart.figure, chart.map, theme, &target)?;
        let pixels = target.read(gpu)?;
        *kept = Some(renderer);
        Ok(pixels)
    }
}

/// Draws a figure.
///
/// # Errors
/// If the device fails.
pub fn draw(job: &FigureJob, renderer: &FigureRenderer) -> anyhow::Result<RgbaImage> {
    Ok(renderer.render(job)?.pixels)
}

fn provenance(job: &FigureJob, readout: Readout) -> anyhow::Result<Provenance> {
    let state = job.state.to_toml()?;
    let shares = readout.shares_as_lines();
    Ok(Provenance { command: command_line(job)?, state, caption: job.caption(readout), shares })
}

/// A figure as a PNG file that says where it came from.
///
/// # Errors
/// As [`draw`].
pub fn png(job: &FigureJob, renderer: &FigureRenderer) -> anyhow::Result<Vec<u8>> {
    let drawn = renderer.render(job)?;
    Ok(png_bytes(&drawn.pixels, &provenance(job, drawn.readout)?)?)
}

/// A figure as SVG: text, lines and the cells of matrices as vectors, pictures and larger matrices
/// embedded.
///
/// # Errors
/// As [`draw`].
pub fn svg(job: &FigureJob, renderer: &FigureRenderer) -> anyhow::Result<String> {
    let draw = || renderer.render(job);
    figure_svg(&job.scene(), job.size, draw, |readout| provenance(job, readout))
}

/// The numbers of a figure as CSV: patches, nodes of the causal graph, cells of the matrix, places of
/// activation patching, or weights of the token matrix.
///
/// # Errors
/// If the view has no numbers.
pub fn numbers_csv(job: &FigureJob) -> anyhow::Result<String> {
    let FigureJob { state, trace, .. } = job;
    let mut text = format!("# {}\n", job.caption(None).replace(['\n', '\r'], " "));
    if state.view.spec().drawing == Drawing::Tree {
        nodes(&mut text, state, trace)?;
        return Ok(text);
    }
    match state.view.spec().parts {
        Parts::QueriesKeys => token_matrix(&mut text, state, trace)?,
        Parts::LayersHeads => matrix(&mut text, job)?,
        Parts::Places => places(&mut text, state, trace)?,
        Parts::Patches | Parts::Heads => patches(&mut text, job)?,
    }
    Ok(text)
}

fn document(state: &ViewState, trace: &Arc<Trace>) -> super::document::Document {
    super::document::Document::new(Arc::clone(trace), state)
}

fn patches(text: &mut String, job: &FigureJob) -> anyhow::Result<()> {
    let FigureJob { state, trace, second, .. } = job;
    let values = ValueCache::default().map(&document(state, trace), state, second.as_deref());
    anyhow::ensure!(!values.is_empty(), "this view has no patches to write");
    text.push_str("span,row,column,value\n");
    for (index, value) in values.iter().enumerate() {
        let patch = trace.meta().patch_at(index).context("a patch outside its span")?;
        writeln!(text, "{},{},{},{value}", patch.span, patch.row, patch.column)?;
    }
    Ok(())
}

/// The nodes of a causal graph with their distance from the token.
fn nodes(text: &mut String, state: &ViewState, trace: &Trace) -> anyhow::Result<()> {
    let tree = CausalTree::of_trace(state, trace)?;
    text.push_str("position,span,row,column,word,distance,attention,share\n");
    for TreeNode { position, depth, attention, share, face, .. } in &tree.nodes {
        let place = match face {
            NodeFace::Patch(PatchCrop { patch, .. }) => {
                format!("{},{},{},", patch.span, patch.row, patch.column)
            }
            NodeFace::Word(word) => format!(",,,\"{}\"", word.replace('"', "\"\"")),
        };
        let share = share.map_or_else(String::new, |share| share.to_string());
        writeln!(text, "{position},{place},{depth},{attention},{share}")?;
    }
    Ok(())
}

/// The cells of a table of activation patching that were computed.
fn places(text: &mut String, state: &ViewState, trace: &Trace) -> anyhow::Result<()> {
    let table = PatchTable::of_trace(state, trace)?;
    let [rows, columns] = table.axes();
    writeln!(text, "{rows},{columns},{}", if table.is_estimate { "estimate" } else { "restored" })?;
    for (index, row) in table.rows.iter().enumerate() {
        for column in 0..table.columns {
            if let Some(value) = table.value(index, column) {
                writeln!(text, "\"{}\",{column},{value}", row.name.replace('"', "\"\""))?;
            }
        }
    }
    Ok(())
}

fn matrix(text: &mut String, job: &FigureJob) -> anyhow::Result<()> {
    let FigureJob { state, trace, second, .. } = job;
    let doc = document(state, trace);
    let matrix = ValueCache::default().matrix(&doc, state, second.as_deref());
    if let Some(reason) = &matrix.lacks {
        anyhow::bail!("{reason}");
    }
    writeln!(text, "layer,head,{}", state.quantity.name())?;
    for (index, value) in matrix.values.iter().enumerate() {
        let layer = matrix.layer((index / matrix.heads) as u32);
        writeln!(text, "{layer},{},{value}", index % matrix.heads)?;
    }
    Ok(())
}

fn token_matrix(text: &mut String, state: &ViewState, trace: &Trace) -> anyhow::Result<()> {
    let members = state.map.members(trace);
    let matrix = query_key(trace, &members).context("the trace kept no row of attention")?;
    text.push_str("query,key,value\n");
    for &query in trace.rows() {
        let row = query as usize - matrix.first_query;
        let weights = &matrix.weights[row * matrix.keys..][..matrix.seen_keys(row)];
        for (key, value) in weights.iter().enumerate() {
            writeln!(text, "{query},{key},{value}")?;
        }
    }
    Ok(())
}

/// The command line that draws this figure: it holds the whole state. A trace that was not saved is TRACE.vlmtrace, the
/// trace of the second map SECOND.vlmtrace.
///
/// # Errors
/// If the state holds a path that is not Unicode.
pub fn command_line(job: &FigureJob) -> anyhow::Result<String> {
    let [width, height] = job.size;
    let trace = match &job.path {
        Some(path) => shell_quoted(&path.to_string_lossy()),
        None => "TRACE.vlmtrace".into(),
    };
    let mut state = ViewState { trace: None, hovered: None, ..job.state.clone() };
    if let (Some(second), Some(_)) = (&mut state.second, &job.second) {
        second.trace = Some("SECOND.vlmtrace".into());
    }
    let state = state.to_toml()?;
    Ok(format!(
        "vlmscope render {trace} --state /dev/stdin --size {width}x{height} --out figure.png <<'EOF'\n{state}EOF\n"
    ))
}
