//! The window without a window: egui, the app and its painter on one device.
//!
//! The real window, the tests and `bench` drive the same [`Headless`]; only where the input comes from
//! and where the pixels go differs.

use super::app::{App, Start};
use super::model_feed::Wake;
use super::stage::{Painter, Stage};
use super::start::{self, Prepared};
use super::{panels, theme};
use crate::gpu::Gpu;
use crate::settings::Settings;
use crate::view::Theme;
use egui::mutex::RwLock;
use egui::{Context, FullOutput, RawInput, TexturesDelta};
use egui_wgpu::ScreenDescriptor;
use std::path::PathBuf;
use std::sync::Arc;

/// How a host starts.
#[derive(Clone, Debug, Default)]
pub struct HeadlessOptions {
    /// What is shown first.
    pub start: Start,
    /// What is remembered.
    pub settings: Settings,
    /// Where it is kept; `None` keeps nothing.
    pub settings_path: Option<PathBuf>,
}

/// egui, the app and the painter.
pub struct Headless {
    /// egui.
    pub ctx: Context,
    /// The app.
    pub app: App,
    gpu: Arc<Gpu>,
    painter: Painter,
    format: wgpu::TextureFormat,
    /// Largest side of egui's own textures.
    texture_side: usize,
}

/// A frame that waits to be painted.
pub struct Frame {
    /// Cursor, clipboard, accessibility.
    pub platform: egui::PlatformOutput,
    jobs: Vec<egui::ClippedPrimitive>,
    scale: f32,
    textures: TexturesDelta,
}

impl Frame {
    /// What a run of a context wants painted.
    pub(super) fn new(ctx: &Context, output: FullOutput) -> Self {
        let FullOutput { platform_output, textures_delta, shapes, pixels_per_point, .. } = output;
        let jobs = ctx.tessellate(shapes, pixels_per_point);
        Self { platform: platform_output, jobs, scale: pixels_per_point, textures: textures_delta }
    }
}

/// What lies between the panels: the colour of hairlines. The format stores bytes as they are, so it
/// is not decoded.
fn clear_color(ctx: &Context) -> wgpu::Color {
    let dark = ctx.theme() == egui::Theme::Dark;
    let hairline = theme::ink(if dark { Theme::Dark } else { Theme::Light }).hairline;
    let [r, g, b] = [hairline.r(), hairline.g(), hairline.b()].map(|c| f64::from(c) / 255.0);
    wgpu::Color { r, g, b, a: 1.0 }
}

/// A painter of a device, for targets of a format without sRGB encoding.
pub fn painter(gpu: &Gpu, format: wgpu::TextureFormat) -> Painter {
    let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
    Arc::new(RwLock::new(egui_wgpu::Renderer::new(&gpu.device, format, options)))
}

impl Headless {
    /// A host whose painter draws to targets of `format` (without sRGB encoding).
    ///
    /// # Errors
    /// If the renderer cannot be built.
    pub fn new(
        gpu: Arc<Gpu>,
        format: wgpu::TextureFormat,
        options: HeadlessOptions,
    ) -> anyhow::Result<Self> {
        let ctx = new_context();
        let prepared = prepare(&ctx, &options);
        Self::with(ctx, prepared, gpu, format, options)
    }

    /// The same with a context and a model that were started before the device.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        ctx: Context,
        prepared: Prepared,
        gpu: Arc<Gpu>,
        format: wgpu::TextureFormat,
        options: HeadlessOptions,
    ) -> anyhow::Result<Self> {
        let painter = painter(&gpu, format);
        let app = new_app(&ctx, prepared, Arc::clone(&gpu), Arc::clone(&painter), options)?;
        let texture_side = gpu.limits().max_texture_dimension_2d as usize;
        Ok(Self { ctx, app, gpu, painter, format, texture_side })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Runs the app for one frame.
    pub fn frame(&mut self, mut input: RawInput) -> Frame {
        input.max_texture_side = Some(self.texture_side);
        let app = &mut self.app;
        let output = self.ctx.run_ui(input, |ui| app.frame(ui));
        Frame::new(&self.ctx, output)
    }

    /// Paints a frame.
    pub fn paint(&self, frame: Frame, view: &wgpu::TextureView, size: [u32; 2]) {
        paint(&self.gpu, &self.painter, frame, view, size, clear_color(&self.ctx));
    }

    /// Takes a frame that is not painted: its textures are kept for the next one.
    pub fn skip(&self, frame: Frame) {
        skip(&self.gpu, &self.painter, frame);
    }

    /// Goes on with another device, after this one was lost; everything that is seen stays.
    ///
    /// egui's own textures lived on the old device. Its context must stay, as the window, the
    /// model's thread and assistive technology hold on to it; another limit for the side of
    /// textures makes it draw every glyph anew.
    ///
    /// # Errors
    /// If the renderer cannot be built on the new device.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>) -> anyhow::Result<()> {
        let painter = painter(&gpu, self.format);
        self.app.stage.rebuild(Arc::clone(&gpu), Arc::clone(&painter))?;
        panels::matrix::forget_colors(&self.ctx);
        self.app.forget_textures();
        self.app.what_if.forget_device();
        if let Some(editor) = &mut self.app.editor {
            editor.rebuild(Arc::clone(&gpu), Arc::clone(&painter));
        }
        let most = gpu.limits().max_texture_dimension_2d as usize;
        self.texture_side = if self.texture_side == most { most / 2 } else { most };
        (self.gpu, self.painter) = (gpu, painter);
        self.ctx.request_repaint();
        Ok(())
    }
}

/// Paints a frame with the painter of its window.
pub(super) fn paint(
    gpu: &Gpu,
    painter: &Painter,
    mut frame: Frame,
    view: &wgpu::TextureView,
    size: [u32; 2],
    clear: wgpu::Color,
) {
    let mut painter = painter.write();
    let (device, queue) = (&gpu.device, &gpu.queue);
    for (id, images) in frame.textures.set.drain() {
        for image in images {
            painter.update_texture(device, queue, id, &image);
        }
    }
    let screen = ScreenDescriptor { size_in_pixels: size, pixels_per_point: frame.scale };
    let mut encoder =
        device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("window") });
    let buffers = painter.update_buffers(device, queue, &mut encoder, &frame.jobs, &screen);
    let mut pass = encoder
        .begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("window"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(clear),
                    store: wgpu::StoreOp::Store,
                },
            })],
            ..Default::default()
        })
        .forget_lifetime();
    painter.render(&mut pass, &frame.jobs, &screen);
    drop(pass);
    queue.submit(buffers.into_iter().chain([encoder.finish()]));
    for id in frame.textures.free.drain() {
        painter.free_texture(&id);
    }
}

/// Keeps the textures of a frame that is not painted.
pub(super) fn skip(gpu: &Gpu, painter: &Painter, mut frame: Frame) {
    let mut painter = painter.write();
    for (id, images) in frame.textures.set.drain() {
        for image in images {
            painter.update_texture(&gpu.device, &gpu.queue, id, &image);
        }
    }
    for id in frame.textures.free.drain() {
        painter.free_texture(&id);
    }
}

/// A context in the window's type and colours.
pub fn new_context() -> Context {
    let ctx = Context::default();
    theme::install(&ctx);
    ctx
}

/// Starts what needs no device: the model, and the first question.
pub fn prepare(ctx: &Context, options: &HeadlessOptions) -> Prepared {
    start::prepare(&options.start, &options.settings, wake(ctx))
}

fn wake(ctx: &Context) -> Wake {
    let ctx = ctx.clone();
    Arc::new(move || ctx.request_repaint())
}

/// The app of a context.
///
/// # Errors
/// If the renderer cannot be built.
pub fn new_app(
    ctx: &Context,
    prepared: Prepared,
    gpu: Arc<Gpu>,
    painter: Painter,
    options: HeadlessOptions,
) -> anyhow::Result<App> {
    let stage = Stage::new(gpu, painter)?;
    let HeadlessOptions { settings, settings_path, .. } = options;
    let Prepared { chat, intents, preview } = prepared;
    let mut app = App::new(stage, chat, settings, settings_path, wake(ctx));
    app.out = intents;
    app.asks_in_window = std::env::var_os("VLMSCOPE_DIALOGS").is_some_and(|how| how == "window");
    if let Some(picture) = preview {
        app.exports.preview(picture);
    }
    Ok(app)
}
