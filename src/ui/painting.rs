//! From egui's output to pixels: contexts, frames, and the retained picture of a window.
//!
//! A window keeps what it painted last and paints only the rectangles in which a frame differs (`damage.rs`): on a
//! software adapter, painting a whole window costs several times as much as everything else in a frame.

use super::damage::{self, Damage, PlacedShape};
use super::window_painter::WindowPainter;
use super::{system_fonts, theme};
use crate::gpu::Gpu;
use egui::epaint::{ClippedPrimitive, ClippedShape, emath::TSTransform};
use egui::{Color32, Context, FullOutput, Pos2, Rect, Shape, TextureId, TexturesDelta, pos2};
use egui_wgpu::ScreenDescriptor;
use std::collections::{HashMap, HashSet};

/// A frame that waits to be painted.
pub struct Frame {
    /// Cursor, clipboard, accessibility.
    pub platform: egui::PlatformOutput,
    ctx: Context,
    shapes: Vec<ClippedShape>,
    scale: f32,
    textures: TexturesDelta,
}

impl Frame {
    /// The frame of a finished run of a context.
    pub(super) fn new(ctx: &Context, output: FullOutput) -> Self {
        let FullOutput { platform_output, textures_delta, shapes, pixels_per_point, .. } = output;
        Self {
            platform: platform_output,
            ctx: ctx.clone(),
            shapes,
            scale: pixels_per_point,
            textures: textures_delta,
        }
    }
}

/// Bytes of a glyph atlas that starts over, unless a single frame needs half as many.
const MOST_ATLAS_BYTES: usize = 12 << 20;

/// Bounds the glyph atlas of a context. egui starts over only when four fifths of a square with the longest side of a
/// texture are full, which is hundreds of megabytes, and every change of the text's size adds all glyphs again.
#[derive(Debug)]
pub(super) struct AtlasLimit {
    /// Longest side of a texture of the device, in pixels.
    device_side: usize,
    /// True for a side that is one pixel shorter: egui starts its atlas over when the side changes.
    is_shorter: bool,
    /// Bytes after the first frame of this atlas; `None` before it.
    needed: Option<usize>,
}

impl AtlasLimit {
    pub(super) fn new(gpu: &Gpu) -> Self {
        let device_side = gpu.limits().max_texture_dimension_2d as usize;
        Self { device_side, is_shorter: false, needed: None }
    }

    /// The longest side of a texture that egui is told before each frame, in pixels.
    pub(super) const fn texture_side(&self) -> usize {
        self.device_side - self.is_shorter as usize
    }

    /// Makes egui draw and upload its glyphs again, on `gpu`.
    pub(super) fn start_over(&mut self, gpu: &Gpu) {
        let is_shorter = !self.is_shorter;
        *self = Self { is_shorter, ..Self::new(gpu) };
    }

    /// Looks at the atlas after a frame of `ctx`, and makes a large one start over with the next frame.
    pub(super) fn check(&mut self, ctx: &Context) {
        let [width, height] = ctx.fonts(|fonts| fonts.font_image_size());
        let bytes = width * height * size_of::<Color32>();
        let needed = *self.needed.get_or_insert(bytes);
        if bytes > MOST_ATLAS_BYTES.max(2 * needed) {
            self.is_shorter = !self.is_shorter;
            self.needed = None;
        }
    }
}

/// The picture of a window: its pixels, and the shapes that they were painted from.
#[derive(Default)]
pub struct Canvas {
    painted: Option<Painted>,
    /// Textures with new content that no paint has shown yet.
    redrawn: HashSet<TextureId>,
    /// Share of the window that the last frame painted, from 0 to 1; copied pictures count as nothing.
    share: f32,
}

struct Painted {
    texture: wgpu::Texture,
    view: wgpu::TextureView,
    blitter: wgpu::util::TextureBlitter,
    ctx: Context,
    shapes: Vec<PlacedShape>,
    scale: f32,
    clear: Color32,
    /// False if the pixels are not those of the shapes: all of it is painted next time.
    is_valid: bool,
}

impl Canvas {
    /// Paints a frame over the last one and copies it to `view`, which has `size` pixels and no sRGB encoding. `clear` is
    /// the opaque colour behind everything.
    pub(super) fn paint(
        &mut self,
        gpu: &Gpu,
        painter: &WindowPainter,
        frame: Frame,
        view: &wgpu::TextureView,
        size: [u32; 2],
        clear: Color32,
    ) {
        self.load(gpu, painter, &frame.textures);
        let Frame { ctx, shapes, scale, textures, .. } = frame;
        let sources = painter.shown();
        let format = stored(view);
        let opaque = sources
            .iter()
            .filter(|(_, texture)| texture.format().remove_srgb_suffix() == format)
            .map(|(id, texture)| (*id, [texture.width(), texture.height()]))
            .collect();
        let place = |shape| PlacedShape::new(shape, scale, size, &opaque);
        let shapes: Vec<_> = shapes.into_iter().map(place).collect();
        let redrawn = std::mem::take(&mut self.redrawn);
        let kept = self.painted.take().filter(|painted| {
            let texture = &painted.texture;
            [texture.width(), texture.height()] == size && texture.format() == format
        });
        let (mut painted, damage) = match kept {
            Some(old) => {
                let is_comparable = old.is_valid && old.scale == scale && old.clear == clear;
                let damage = match is_comparable {
                    true => damage::damage(&old.shapes, &shapes, &redrawn, size),
                    false => Damage::Everything,
                };
                (Painted { ctx, shapes, scale, clear, ..old }, damage)
            }
            None => {
                (Painted::new(gpu, format, size, ctx, shapes, scale, clear), Damage::Everything)
            }
        };
        self.share = painted.paint(gpu, painter, &sources, &damage, view);
        painted.is_valid = true;
        self.painted = Some(painted);
        let mut renderer = painter.write();
        for id in &textures.free {
            renderer.free_texture(id);
        }
    }

    /// Paints all of the last frame again, without use of what was painted before.
    pub(super) fn paint_again(
        &mut self,
        gpu: &Gpu,
        painter: &WindowPainter,
        view: &wgpu::TextureView,
    ) {
        if let Some(painted) = &mut self.painted {
            painted.paint(gpu, painter, &painter.shown(), &Damage::Everything, view);
        }
    }

    /// Share of the window that the last frame painted, from 0 to 1.
    pub(super) const fn share(&self) -> f32 {
        self.share
    }

    /// Keeps the textures of a frame that is not painted.
    pub(super) fn skip(&mut self, gpu: &Gpu, painter: &WindowPainter, frame: Frame) {
        self.load(gpu, painter, &frame.textures);
        let mut renderer = painter.write();
        for id in &frame.textures.free {
            renderer.free_texture(id);
        }
    }

    /// Forgets the pixels, after the device was lost.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Uploads egui's own textures.
    fn load(&mut self, gpu: &Gpu, painter: &WindowPainter, textures: &TexturesDelta) {
        let mut renderer = painter.write();
        for (&id, images) in &textures.set {
            for image in images {
                renderer.update_texture(&gpu.device, &gpu.queue, id, image);
            }
            if id != TextureId::default() {
                self.redrawn.insert(id);
            } else if images.iter().any(|image| image.is_whole())
                && let Some(painted) = &mut self.painted
            {
                // Glyphs have new places. A part of the atlas is only ever added.
                painted.is_valid = false;
            }
        }
        self.redrawn.extend(painter.take_redrawn());
    }
}

impl Painted {
    fn new(
        gpu: &Gpu,
        format: wgpu::TextureFormat,
        [width, height]: [u32; 2],
        ctx: Context,
        shapes: Vec<PlacedShape>,
        scale: f32,
        clear: Color32,
    ) -> Self {
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("retained window"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let blitter = wgpu::util::TextureBlitter::new(&gpu.device, format);
        Self { texture, view, blitter, ctx, shapes, scale, clear, is_valid: false }
    }

    /// Paints what differs and copies all pixels to `target`; returns the share of the window that was painted.
    fn paint(
        &self,
        gpu: &Gpu,
        painter: &WindowPainter,
        sources: &HashMap<TextureId, wgpu::Texture>,
        damage: &Damage,
        target: &wgpu::TextureView,
    ) -> f32 {
        let encoder = || {
            let label = Some("window");
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label })
        };
        let size = [self.texture.width(), self.texture.height()];
        let screen = ScreenDescriptor { size_in_pixels: size, pixels_per_point: self.scale };
        let mut clear = (*damage == Damage::Everything).then(|| clear_value(self.clear));
        let parts = self.parts(damage);
        for layer in self.layers(&parts) {
            let mut encoder = encoder();
            let mut buffers = Vec::new();
            if !layer.shapes.is_empty() || clear.is_some() {
                let load = clear.take().map_or(wgpu::LoadOp::Load, wgpu::LoadOp::Clear);
                let jobs: Vec<_> =
                    layer.shapes.into_iter().flat_map(|part| self.triangles(part)).collect();
                let mut renderer = painter.write();
                buffers =
                    renderer.update_buffers(&gpu.device, &gpu.queue, &mut encoder, &jobs, &screen);
                renderer.render(&mut self.begin(&mut encoder, load), &jobs, &screen);
            }
            for (place, part, texture) in layer.copies {
                if let Some(source) = sources.get(&texture) {
                    self.copy_picture(&mut encoder, source, place, part);
                }
            }
            // The buffers of egui's renderer are those of one pass.
            gpu.queue.submit(buffers.into_iter().chain([encoder.finish()]));
        }
        let mut encoder = encoder();
        self.copy(gpu, &mut encoder, target);
        gpu.queue.submit([encoder.finish()]);
        let painted: f32 = parts.iter().filter(|p| p.from == 0).map(|p| p.area.area()).sum();
        painted / (size[0] as f32 * size[1] as f32).max(1.0)
    }

    /// The triangles of the shapes of a part.
    fn triangles(&self, (area, shapes): (Rect, Vec<ClippedShape>)) -> Vec<ClippedPrimitive> {
        let area = damage::in_points(area, self.scale);
        let mut triangles = self.ctx.tessellate(shapes, self.scale);
        for triangles in &mut triangles {
            triangles.clip_rect = triangles.clip_rect.intersect(area);
        }
        triangles
    }

    fn begin(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        load: wgpu::LoadOp<wgpu::Color>,
    ) -> wgpu::RenderPass<'static> {
        let ops = wgpu::Operations { load, store: wgpu::StoreOp::Store };
        let (view, depth_slice, resolve_target) = (&self.view, None, None);
        let attachment = wgpu::RenderPassColorAttachment { view, depth_slice, resolve_target, ops };
        encoder
            .begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("window"),
                color_attachments: &[Some(attachment)],
                ..Default::default()
            })
            .forget_lifetime()
    }

    /// The rectangles to paint.
    fn parts(&self, damage: &Damage) -> Vec<Part> {
        let [width, height] = [self.texture.width() as f32, self.texture.height() as f32];
        match damage {
            Damage::Everything => {
                let area = Rect::from_min_max(Pos2::ZERO, pos2(width, height));
                vec![Part { area, from: 0, has_background: true }]
            }
            Damage::Parts { areas, copies } => {
                let areas = areas.iter().map(|&area| Part { area, from: 0, has_background: false });
                let copied = self.shapes.iter().enumerate();
                let copied = copied.filter_map(|(index, shape)| Some((index, shape.copied?.0)));
                let pictures = copied
                    .enumerate()
                    .filter(|(_, (index, _))| copies.contains(index))
                    .map(|(rank, (_, area))| Part { area, from: rank + 1, has_background: true });
                areas.chain(pictures).collect()
            }
        }
    }

    /// Shapes and pictures of the parts in painting order. A copy cannot stand in a render pass: each ends a layer.
    fn layers(&self, parts: &[Part]) -> Vec<Layer> {
        let pictures: Vec<_> = self.shapes.iter().filter_map(|shape| shape.copied).collect();
        let mut layers: Vec<Layer> = (0..=pictures.len()).map(|_| Layer::default()).collect();
        for part in parts {
            let mut rank = 0;
            let mut shapes: Vec<Vec<ClippedShape>> = vec![Vec::new(); layers.len()];
            if !part.has_background {
                shapes[0].push(self.background(part.area));
            }
            for shape in &self.shapes {
                if shape.copied.is_some() {
                    rank += 1;
                    continue;
                }
                // A picture that comes later hides what lies within it.
                let is_hidden =
                    || pictures[rank..].iter().any(|(place, _)| shape.is_within(*place));
                if rank >= part.from && !is_hidden() {
                    shapes[rank].extend(shape.within(part.area, self.scale));
                }
            }
            for (layer, shapes) in layers.iter_mut().zip(shapes) {
                if !shapes.is_empty() {
                    layer.shapes.push((part.area, shapes));
                }
            }
            // The part of a picture with new content begins with its copy.
            for (rank, &(place, texture)) in pictures.iter().enumerate() {
                let area = place.intersect(part.area);
                if rank + 1 >= part.from && area.is_positive() {
                    layers[rank].copies.push((place, area, texture));
                }
            }
        }
        layers.retain(|layer| !layer.shapes.is_empty() || !layer.copies.is_empty());
        layers
    }

    /// The colour behind everything, for a rectangle of pixels.
    fn background(&self, area: Rect) -> ClippedShape {
        let clip_rect = damage::in_points(area, self.scale);
        let mut mesh = egui::Mesh::default();
        // Wider than its clip rectangle, whose corners in points are not exact.
        mesh.add_colored_rect(clip_rect.expand(2.0), self.clear);
        let transform_after_tessellation = TSTransform::IDENTITY;
        ClippedShape { clip_rect, shape: Shape::mesh(mesh), transform_after_tessellation }
    }

    /// Copies the pixels of `part` of a picture that stands at `place`.
    fn copy_picture(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Texture,
        place: Rect,
        part: Rect,
    ) {
        let origin = |at: Pos2| wgpu::Origin3d { x: at.x as u32, y: at.y as u32, z: 0 };
        let from = wgpu::TexelCopyTextureInfo {
            origin: origin((part.min - place.min).to_pos2()),
            ..source.as_image_copy()
        };
        let to =
            wgpu::TexelCopyTextureInfo { origin: origin(part.min), ..self.texture.as_image_copy() };
        let size = wgpu::Extent3d {
            width: part.width() as u32,
            height: part.height() as u32,
            depth_or_array_layers: 1,
        };
        encoder.copy_texture_to_texture(from, to, size);
    }

    fn copy(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, target: &wgpu::TextureView) {
        let texture = target.texture();
        if texture.usage().contains(wgpu::TextureUsages::COPY_DST) {
            let (from, to) = (self.texture.as_image_copy(), texture.as_image_copy());
            encoder.copy_texture_to_texture(from, to, self.texture.size());
        } else {
            self.blitter.copy(&gpu.device, encoder, &self.view, target);
        }
    }
}

/// The format of a target, as bytes without sRGB encoding.
fn stored(view: &wgpu::TextureView) -> wgpu::TextureFormat {
    view.texture().format().remove_srgb_suffix()
}

/// A rectangle of pixels to paint.
struct Part {
    area: Rect,
    /// The number of copied pictures below what is painted: everything before is hidden or unchanged.
    from: usize,
    /// Whether the pixels behind the shapes are there already.
    has_background: bool,
}

/// Shapes that are drawn in one pass, and pictures that are copied over them.
#[derive(Default)]
struct Layer {
    /// The rectangle of pixels of each part, and the shapes that touch it.
    shapes: Vec<(Rect, Vec<ClippedShape>)>,
    /// Place of the picture and the part of it that is copied, in pixels, and its texture.
    copies: Vec<(Rect, Rect, TextureId)>,
}

/// The colour as the target stores it: bytes without sRGB encoding.
fn clear_value(color: Color32) -> wgpu::Color {
    let [r, g, b, a] = color.to_array().map(|byte| f64::from(byte) / 255.0);
    wgpu::Color { r, g, b, a }
}

/// A context in the window's type and colours.
pub fn new_context() -> Context {
    let ctx = Context::default();
    theme::install(&ctx);
    system_fonts::install(&ctx);
    ctx
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> AtlasLimit {
        AtlasLimit { device_side: 16_384, is_shorter: false, needed: None }
    }

    /// Shows the letters in these sizes; returns how often the atlas was uploaded as a whole.
    fn show(ctx: &Context, limit: &mut AtlasLimit, sizes: impl Iterator<Item = f32>) -> usize {
        let letters: String = ('!'..='~').collect();
        let side = Some(limit.texture_side());
        let input = egui::RawInput { max_texture_side: side, ..egui::RawInput::default() };
        let mut sizes: Vec<f32> = sizes.collect();
        let output = ctx.run_ui(input, |ui| {
            for size in sizes.drain(..) {
                ui.label(egui::RichText::new(&letters).size(size));
            }
        });
        limit.check(ctx);
        let images = output.textures_delta.set.values().flatten();
        images.filter(|image| image.is_whole()).count()
    }

    fn bytes(ctx: &Context) -> usize {
        let [width, height] = ctx.fonts(|fonts| fonts.font_image_size());
        width * height * size_of::<Color32>()
    }

    #[test]
    fn an_atlas_starts_over_when_it_is_large() {
        let (ctx, mut limit) = (new_context(), limit());
        let (mut most, mut whole) = (0, 0);
        for step in 0..300 {
            whole += show(&ctx, &mut limit, std::iter::once(14.0 + 0.1 * step as f32));
            most = most.max(bytes(&ctx));
        }
        // egui doubles the height; the frame that does so is the last one of an atlas.
        assert!((MOST_ATLAS_BYTES..=2 * MOST_ATLAS_BYTES).contains(&most), "{most} bytes");
        assert!((4..100).contains(&whole), "uploaded {whole} times");
    }

    #[test]
    fn an_atlas_that_one_frame_fills_does_not_start_over_with_each_frame() {
        let (ctx, mut limit) = (new_context(), limit());
        let mut frame = || show(&ctx, &mut limit, (0..60).map(|size| 80.0 + size as f32));
        let whole: usize = (0..20).map(|_| frame()).sum();
        assert!(bytes(&ctx) > MOST_ATLAS_BYTES, "{} bytes", bytes(&ctx));
        assert!(whole <= 3, "uploaded {whole} times");
    }
}
