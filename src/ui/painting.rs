//! From egui's output to pixels: contexts, painters, frames.

use super::stage::Painter;
use super::{system_fonts, theme};
use crate::gpu::Gpu;
use egui::mutex::RwLock;
use egui::{Context, FullOutput, TexturesDelta};
use egui_wgpu::ScreenDescriptor;
use std::sync::Arc;

/// A frame that waits to be painted.
pub struct Frame {
    /// Cursor, clipboard, accessibility.
    pub platform: egui::PlatformOutput,
    jobs: Vec<egui::ClippedPrimitive>,
    scale: f32,
    textures: TexturesDelta,
}

impl Frame {
    /// The frame of a finished run of a context, tessellated.
    pub(super) fn new(ctx: &Context, output: FullOutput) -> Self {
        let FullOutput { platform_output, textures_delta, shapes, pixels_per_point, .. } = output;
        let jobs = ctx.tessellate(shapes, pixels_per_point);
        Self { platform: platform_output, jobs, scale: pixels_per_point, textures: textures_delta }
    }
}

/// A painter of a device, for targets of a format without sRGB encoding.
pub fn painter(gpu: &Gpu, format: wgpu::TextureFormat) -> Painter {
    let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
    Arc::new(RwLock::new(egui_wgpu::Renderer::new(&gpu.device, format, options)))
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
    system_fonts::install(&ctx);
    ctx
}
