//! The renderer in the window: one renderer, one target, one texture that panels show.
//!
//! The texture keeps its identity while its contents change, so a panel can place it before the frame's final state
//! is known.

use super::window_painter::WindowPainter;
use crate::gpu::{Beside, Gpu, GpuError, Renderer, RendererOptions, Scene, Target};
use crate::trace::{Trace, TraceId};
use crate::view::ViewState;
use crate::view::figure::{Figure, Readout, caption, scale_of, text_of};
use egui::{ColorImage, Context, Rect, TextureHandle, TextureId, TextureOptions, Vec2};
use std::sync::Arc;

/// Figures are saved with at least this many lines.
const FIGURE_LINES: u32 = 1080;

/// The result of [`StageRenderer::draw`].
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// Whether anything was rendered.
    pub drew: bool,
    /// Token pages that had to be uploaded.
    pub page_uploads: u32,
    /// Whether pages are still missing: draw again.
    pub pending: bool,
    /// Whether pages have not arrived from another machine: the trace will be replaced when they have.
    pub waiting: bool,
    /// The error, reported once.
    pub error: Option<String>,
}

/// Traces and numbers that a stage shows beside its own trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageTraces<'a> {
    /// The trace of the second map, where it is another one.
    pub second: Option<&'a Arc<Trace>>,
    /// The numbers of another stage that is seen together with this one.
    pub beside: Option<Beside>,
}

/// The view that the texture shows.
#[derive(Clone, Debug, PartialEq)]
struct DrawnView {
    state: ViewState,
    trace: TraceId,
    second: Option<TraceId>,
    beside: Option<Beside>,
    size: [u32; 2],
}

/// The renderer and what it drew.
pub struct StageRenderer {
    gpu: Arc<Gpu>,
    renderer: Renderer,
    target: Target,
    painter: WindowPainter,
    texture: Option<TextureId>,
    wanted: [u32; 2],
    shown: Option<DrawnView>,
    waiting: bool,
    caption: String,
    picture: Option<Picture>,
    last_error: Option<String>,
    /// CPU milliseconds of the process while the stage was rendered, for `bench`.
    pub cpu_ms: f64,
    /// Wait for the device after rendering, so that its work is counted with the stage.
    pub wait_for_device: bool,
}

/// A picture without a question so far.
enum Picture {
    Waiting(ColorImage),
    Loaded(TextureHandle, ColorImage),
}

impl StageRenderer {
    /// A stage on a device; `painter` draws the window on the same device.
    ///
    /// # Errors
    /// If a pass cannot be built.
    pub fn new(gpu: Arc<Gpu>, painter: WindowPainter) -> Result<Self, GpuError> {
        let renderer = Renderer::new(Arc::clone(&gpu), RendererOptions::interactive())?;
        let target = Target::offscreen_in(&gpu, [0, 0], painter.target_format())?;
        Ok(Self {
            gpu,
            renderer,
            target,
            painter,
            texture: None,
            wanted: [0, 0],
            shown: None,
            waiting: false,
            caption: String::new(),
            picture: None,
            last_error: None,
            cpu_ms: 0.0,
            wait_for_device: false,
        })
    }

    /// Starts again on another device and painter, after the old device was lost.
    ///
    /// # Errors
    /// If a pass cannot be built.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>, painter: WindowPainter) -> Result<(), GpuError> {
        self.renderer.rebuild(Arc::clone(&gpu))?;
        self.target = Target::offscreen_in(&gpu, [0, 0], painter.target_format())?;
        (self.gpu, self.painter) = (gpu, painter);
        (self.texture, self.shown) = (None, None);
        if let Some(Picture::Loaded(_, pixels)) =
            self.picture.take_if(|p| matches!(p, Picture::Loaded(..)))
        {
            self.picture = Some(Picture::Waiting(pixels));
        }
        Ok(())
    }

    /// The device.
    pub fn gpu(&self) -> Arc<Gpu> {
        Arc::clone(&self.gpu)
    }

    /// The painter of the window.
    pub fn painter(&self) -> WindowPainter {
        self.painter.clone()
    }

    /// Another stage on the same device and painter.
    ///
    /// # Errors
    /// If a pass cannot be built.
    pub fn sibling(&self) -> Result<Self, GpuError> {
        Self::new(Arc::clone(&self.gpu), self.painter.clone())
    }

    /// The adapter's name.
    pub fn adapter(&self) -> &str {
        &self.gpu.info().name
    }

    /// Sets the rectangle of the stage on screen; the texture takes that size in pixels.
    pub fn place(&mut self, rect: Rect, pixels_per_point: f32) {
        let limit = self.gpu.limits().max_texture_dimension_2d;
        let side = |points: f32| ((points * pixels_per_point).round().max(0.0) as u32).min(limit);
        self.wanted = [side(rect.width()), side(rect.height())];
        if self.wanted.contains(&0) || self.target.size() == self.wanted {
            return;
        }
        match self.target.resize(&self.gpu, self.wanted) {
            Ok(()) => self.register(),
            Err(error) => self.last_error = Some(error.to_string()),
        }
    }

    fn register(&mut self) {
        self.shown = None;
        let filter = wgpu::FilterMode::Nearest;
        let shown = self.painter.show(&self.gpu, &self.target, filter, self.texture);
        self.texture = shown.or(self.texture);
    }

    /// Whether the picture is the one before, because attention has not arrived from another machine.
    pub const fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// The texture to show; `None` before the stage has a size.
    pub fn texture(&self) -> Option<TextureId> {
        self.texture
    }

    /// The layout of the last picture: rectangles in pixels and labels.
    pub fn figure(&self) -> Option<&Figure> {
        self.renderer.figure().filter(|_| self.shown.is_some())
    }

    /// Says which characters of the stage no font has; see [`Renderer::missing_glyphs`].
    pub fn missing_glyphs(&self) -> Option<String> {
        self.renderer.missing_glyphs()
    }

    /// The caption of the last picture.
    pub fn caption(&self) -> &str {
        &self.caption
    }

    /// Width and height of a saved figure: the stage's shape, at least 1080 lines.
    pub fn figure_size(&self) -> [u32; 2] {
        let [width, height] = self.wanted;
        if width == 0 || height == 0 {
            return [1920, FIGURE_LINES];
        }
        let factor = (FIGURE_LINES as f32 / height as f32).max(1.0);
        [width, height].map(|side| ((side as f32 * factor).round() as u32).min(7680))
    }

    /// The numbers of a view of one trace, without drawing it.
    ///
    /// # Errors
    /// If the view does not fit the trace.
    pub fn readout(&mut self, state: &ViewState, trace: &Trace) -> Result<Readout, GpuError> {
        self.renderer.readout(&Scene::new(state, trace))
    }

    /// Renders the view, unless the texture shows it already.
    pub fn draw(
        &mut self,
        state: &ViewState,
        trace: Option<&Arc<Trace>>,
        StageTraces { second, beside }: StageTraces<'_>,
        scale: f32,
    ) -> Drawn {
        let mut drawn = Drawn { error: self.last_error.take(), ..Drawn::default() };
        let Some(trace) = trace.filter(|_| !self.target.size().contains(&0)) else {
            if trace.is_none() {
                (self.shown, self.waiting) = (None, false);
            }
            return drawn;
        };
        let size = self.target.size();
        let mut state = state.clone();
        // One design unit of the figure is one point of the window.
        let text_scale = state.text_scale * f64::from(scale / scale_of(size, 1.0));
        state.text_scale = text_scale.clamp(0.25, 8.0);
        let second_id = second.map(|trace| trace.id());
        let now = DrawnView { state, trace: trace.id(), second: second_id, beside, size };
        if self.shown.as_ref() == Some(&now) {
            return drawn;
        }
        let start = cpu_time::ProcessTime::now();
        let second_trace = second.map(|trace| &**trace);
        let scene = Scene { second: second_trace, beside, ..Scene::new(&now.state, trace) };
        match self.renderer.frame(&scene, &self.target) {
            Ok(stats) => {
                drawn.drew = true;
                self.texture.iter().for_each(|texture| self.painter.redrawn(*texture));
                drawn.page_uploads = stats.page_uploads;
                drawn.waiting = stats.waiting_pages > 0;
                drawn.pending = !stats.is_complete() && !drawn.waiting;
                let second = second.map(|trace| trace.meta());
                self.caption = text_of(&caption(&now.state, trace.meta(), second, stats.readout));
                self.waiting = drawn.waiting;
                self.shown = (!drawn.pending).then_some(now);
            }
            Err(error) => {
                // The same state would fail again: the error is reported once.
                drawn.error = Some(error.to_string());
                self.shown = Some(now);
            }
        }
        if self.wait_for_device
            && let Err(error) = self.gpu.device.poll(wgpu::PollType::wait_indefinitely())
        {
            drawn.error = Some(error.to_string());
        }
        self.cpu_ms += start.elapsed().as_secs_f64() * 1e3;
        drawn
    }

    /// Reads the stage back, for tests.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn read(&self) -> Result<image::RgbaImage, GpuError> {
        self.target.read(&self.gpu)
    }

    /// Shows a picture that has no question so far.
    pub fn show_picture(&mut self, picture: ColorImage) {
        self.picture = Some(Picture::Waiting(picture));
    }

    /// Makes the texture of that picture, unless it exists.
    pub fn load_picture(&mut self, ctx: &Context) {
        if let Some(Picture::Waiting(pixels)) = &mut self.picture {
            let pixels = std::mem::take(pixels);
            let handle = ctx.load_texture("picture", pixels.clone(), TextureOptions::LINEAR);
            self.picture = Some(Picture::Loaded(handle, pixels));
        }
    }

    /// Texture and size of that picture; `None` without one.
    pub fn picture(&self) -> Option<(TextureId, Vec2)> {
        match &self.picture {
            Some(Picture::Loaded(handle, pixels)) => {
                let size = egui::vec2(pixels.width() as f32, pixels.height() as f32);
                Some((handle.id(), size))
            }
            _ => None,
        }
    }
}
