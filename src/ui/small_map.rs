//! Small maps over small pictures: textures of one texel a patch, which the painter enlarges.

use super::theme;
use crate::analysis::density::Frame;
use crate::gpu::colormap;
use crate::trace::Trace;
use crate::view::{ColorMap, Shown, ShownGrid};
use egui::{Color32, ColorImage, Context, Rect, TextureHandle, TextureOptions, Ui, pos2};

/// Longest side of the small picture.
const PICTURE_PX: usize = 192;

/// The pixels of a small picture, and the place of the patches on it.
#[derive(Clone)]
pub struct SmallImage {
    /// The pixels.
    pub pixels: ColorImage,
    /// Width / height of the picture.
    pub aspect: f32,
    /// Rectangle of the patches on the picture, 0–1.
    place: Rect,
}

impl SmallImage {
    /// The picture of a grid of numbers.
    pub fn new(trace: &Trace, grid: &ShownGrid) -> Option<Self> {
        let pixels = small_picture(trace, grid.frame)?;
        let (rect, whole) = (grid.rect(trace.meta()), grid.frame.size(trace.meta()));
        let at = |x: f64, y: f64| pos2((x / whole[0]) as f32, (y / whole[1]) as f32);
        let place =
            Rect::from_min_max(at(rect.x, rect.y), at(rect.x + rect.width, rect.y + rect.height));
        Some(Self { pixels, aspect: (whole[0] / whole[1]) as f32, place })
    }

    /// A picture without a trace.
    pub fn of_picture(picture: &image::RgbImage) -> Option<Self> {
        let size = [picture.width(), picture.height()];
        let pixels = reduced(size, picture.as_raw())?;
        let aspect = size[0] as f32 / size[1].max(1) as f32;
        let place = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        Some(Self { pixels, aspect, place })
    }
}

/// The picture beneath maps, and the place of their patches on it.
pub struct SmallPicture {
    texture: TextureHandle,
    /// Width / height of the picture.
    pub aspect: f32,
    place: Rect,
}

impl SmallPicture {
    /// The picture of a grid of numbers.
    pub fn new(ctx: &Context, trace: &Trace, grid: &ShownGrid) -> Option<Self> {
        Some(Self::load(ctx, SmallImage::new(trace, grid)?))
    }

    /// The texture of a picture.
    pub fn load(ctx: &Context, image: SmallImage) -> Self {
        let SmallImage { pixels, aspect, place } = image;
        let texture = ctx.load_texture("small picture", pixels, TextureOptions::LINEAR);
        Self { texture, aspect, place }
    }

    /// Paints the picture into `rect`, and a map over it; without a map the picture is dimmed.
    pub fn paint(&self, ui: &Ui, rect: Rect, map: Option<&TextureHandle>) {
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let dim = Color32::from_gray(if map.is_some() { 255 } else { 90 });
        self.paint_tinted(ui, rect, dim);
        if let Some(map) = map {
            let at = |point: egui::Pos2| rect.min + point.to_vec2() * rect.size();
            let patches = Rect::from_min_max(at(self.place.min), at(self.place.max));
            ui.painter().image(map.id(), patches, whole, Color32::WHITE);
        }
    }

    /// Paints the picture alone; white leaves its colours as they are.
    pub fn paint_tinted(&self, ui: &Ui, rect: Rect, tint: Color32) {
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(self.texture.id(), rect, whole, tint);
    }
}

/// The texture of a map over all positions or patches of a trace, on the first grid that is shown; `None` if it has no
/// positive value.
pub fn map_texture(
    ctx: &Context,
    trace: &Trace,
    shown: &Shown,
    row: &[f32],
    colormap: ColorMap,
) -> Option<TextureHandle> {
    let image = map_image(trace, shown, row, colormap)?;
    Some(ctx.load_texture("small map", image, TextureOptions::LINEAR))
}

/// The pixels of such a map, one a patch.
pub fn map_image(
    trace: &Trace,
    shown: &Shown,
    row: &[f32],
    colormap: ColorMap,
) -> Option<ColorImage> {
    let grid = shown.grids.first()?;
    let mut values = shown.values_of(trace, row);
    // Grids of further pictures follow.
    values.truncate(grid.cells());
    glow(&values, [grid.columns, grid.rows], colormap)
}

/// The picture beneath a map, reduced to every few pixels.
fn small_picture(trace: &Trace, frame: Frame) -> Option<ColorImage> {
    let original;
    let (size, rgb): ([u32; 2], &[u8]) = match frame {
        Frame::Canvas(canvas) => {
            let view = trace.canvas(canvas as usize)?;
            ([view.width, view.height], view.rgb)
        }
        Frame::Original(picture) => {
            let bytes = trace.picture_original(picture as usize)?;
            original = image::load_from_memory(bytes).ok()?.into_rgb8();
            ([original.width(), original.height()], original.as_raw())
        }
    };
    reduced(size, rgb)
}

/// Every few pixels of an RGB picture.
fn reduced(size: [u32; 2], rgb: &[u8]) -> Option<ColorImage> {
    let [width, height] = size.map(|side| side as usize);
    let step = width.max(height).div_ceil(PICTURE_PX).max(1);
    let mut pixels = Vec::new();
    for y in (0..height).step_by(step) {
        for x in (0..width).step_by(step) {
            pixels.extend_from_slice(rgb.get((y * width + x) * 3..)?.get(..3)?);
        }
    }
    Some(ColorImage::from_rgb([width.div_ceil(step), height.div_ceil(step)], &pixels))
}

/// A map whose opacity follows its value; `None` if it has no positive value.
fn glow(values: &[f32], [columns, rows]: [u32; 2], map: ColorMap) -> Option<ColorImage> {
    let largest = values.iter().copied().fold(0.0, f32::max);
    if largest <= 0.0 || values.len() != columns as usize * rows as usize {
        return None;
    }
    let pixels = values
        .iter()
        .map(|value| {
            let share = (value / largest).clamp(0.0, 1.0);
            theme::color(colormap::color(map, share)).gamma_multiply(share)
        })
        .collect();
    Some(ColorImage::new([columns as usize, rows as usize], pixels))
}
