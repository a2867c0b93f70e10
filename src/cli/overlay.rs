//! The picture of attention that `ask` writes beside the trace.
//!
//! Drawn on the CPU, so that it needs no graphics adapter: the mean over heads of the layer that
//! attends to the picture most, averaged over the spoken answer tokens.

use super::common::replace;
use crate::analysis::density::Frame;
use crate::analysis::overview::HeadNumber;
use crate::gpu::colormap;
use crate::trace::Trace;
use crate::view::{AxisSet, ColorMap, MapChoice, Queries, Shown, ShownGrid, ViewKind, ViewState};
use anyhow::Context as _;
use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{Rgb, RgbImage};
use palette::encoding::{FromLinear, IntoLinear, Srgb};
use std::path::Path;

/// The longer side of the picture.
const LONG_SIDE_PIXELS: u32 = 896;

/// An overlay and the numbers of its map.
pub(crate) struct Overlay {
    /// The picture.
    pub image: RgbImage,
    /// The layer that it shows, in the model's own numbers.
    pub layer: u32,
    /// Mean share of that layer's attention on the picture.
    pub image_share: f32,
}

/// Draws the overlay, or returns `None` for a trace without a picture. Several pictures stand side by side.
pub(crate) fn draw(trace: &Trace) -> anyhow::Result<Option<Overlay>> {
    let answers = trace.meta().spoken_answers();
    let mut state = ViewState { view: ViewKind::Pictures, ..ViewState::default() };
    state.map.queries = Queries::answers(&answers);
    let shown = Shown::new(&state, trace);
    if shown.grids.is_empty() {
        return Ok(None);
    }
    let (layer, image_share) = most_attending_layer(trace, &state.map)?;
    let layer = trace.meta().model.layer_number(layer);
    state.map.layers = AxisSet::single(layer);
    let image = draw_map(trace, &state, &shown, LONG_SIDE_PIXELS)?;
    Ok(image.map(|image| Overlay { image, layer, image_share }))
}

/// Draws the attention of one head, by layer in the model's own numbers, as [`draw`] draws that of a layer; the longer side of
/// a picture has `pixels`. `None` for a trace without a picture.
pub(crate) fn draw_head(
    trace: &Trace,
    [layer, head]: [u32; 2],
    pixels: u32,
) -> anyhow::Result<Option<RgbImage>> {
    let mut state = ViewState { view: ViewKind::Pictures, ..ViewState::default() };
    state.map.queries = Queries::answers(&trace.meta().spoken_answers());
    state.map.layers = AxisSet::single(layer);
    state.map.heads = AxisSet::single(head);
    draw_map(trace, &state, &Shown::new(&state, trace), pixels)
}

/// The pictures of a trace side by side with the map of a state over them.
fn draw_map(
    trace: &Trace,
    state: &ViewState,
    shown: &Shown,
    long_side: u32,
) -> anyhow::Result<Option<RgbImage>> {
    if shown.grids.is_empty() {
        return Ok(None);
    }
    let map = stretched(&state.values(trace, None)?);
    let mut images = Vec::new();
    let mut rest = map.as_slice();
    for grid in &shown.grids {
        let own = rest.get(..grid.cells()).context("the map is smaller than the picture")?;
        rest = &rest[grid.cells()..];
        let Some(picture) = pixels(trace, grid.frame)? else { return Ok(None) };
        images.push(over(&picture, own, grid, trace, long_side)?);
    }
    Ok(Some(side_by_side(&images)))
}

/// The picture beneath a map; `None` if the trace does not hold it.
fn pixels(trace: &Trace, frame: Frame) -> anyhow::Result<Option<RgbImage>> {
    match frame {
        Frame::Canvas(canvas) => Ok(trace.canvas(canvas as usize).and_then(|canvas| {
            RgbImage::from_raw(canvas.width, canvas.height, canvas.rgb.to_vec())
        })),
        Frame::Original(picture) => match trace.picture_original(picture as usize) {
            Some(bytes) => Ok(Some(image::load_from_memory(bytes)?.into_rgb8())),
            None => Ok(None),
        },
    }
}

/// A map of 0–1 over its picture, enlarged.
fn over(
    picture: &RgbImage,
    map: &[f32],
    grid: &ShownGrid,
    trace: &Trace,
    long_side: u32,
) -> anyhow::Result<RgbImage> {
    let (rect, frame) = (grid.rect(trace.meta()), grid.frame.size(trace.meta()));
    let scale = f64::from(long_side) / frame[0].max(frame[1]);
    let size = frame.map(|side| ((side * scale).round() as u32).max(1));
    let bytes = picture.as_raw().clone();
    let base = Image::from_vec_u8(picture.width(), picture.height(), bytes, PixelType::U8x3)?;
    let base = resize(&base, size, PixelType::U8x3)?;
    let bytes: Vec<u8> = map.iter().flat_map(|value| value.to_le_bytes()).collect();
    let map = Image::from_vec_u8(grid.columns, grid.rows, bytes, PixelType::F32)?;
    let scale = [f64::from(size[0]) / frame[0], f64::from(size[1]) / frame[1]];
    let side = |side: f64, scale: f64| ((side * scale).round() as u32).max(1);
    let covered = [side(rect.width, scale[0]), side(rect.height, scale[1])];
    let map = resize(&map, covered, PixelType::F32)?;
    let origin = [rect.x * scale[0], rect.y * scale[1]].map(|edge| edge.round() as i64);
    let mut image = RgbImage::from_raw(size[0], size[1], base.into_vec())
        .context("the resized picture has another size")?;
    glow(&mut image, &map, origin);
    Ok(image)
}

/// Pictures in one row, with a gap between them.
fn side_by_side(images: &[RgbImage]) -> RgbImage {
    const GAP_PIXELS: u32 = 16;
    let gaps = GAP_PIXELS * (images.len() as u32).saturating_sub(1);
    let width = images.iter().map(RgbImage::width).sum::<u32>() + gaps;
    let height = images.iter().map(RgbImage::height).max().unwrap_or(0);
    let mut row = RgbImage::new(width, height);
    let mut left = 0;
    for image in images {
        let top = (height - image.height()) / 2;
        image::imageops::replace(&mut row, image, left.into(), top.into());
        left += image.width() + GAP_PIXELS;
    }
    row
}

/// Writes the overlay as PNG.
pub(crate) fn write(overlay: &Overlay, path: &Path) -> anyhow::Result<()> {
    replace(path, |out| {
        let encoder = image::codecs::png::PngEncoder::new(out);
        Ok(overlay.image.write_with_encoder(encoder)?)
    })
}

/// The layer with the largest mean share of attention on the picture, and that share.
fn most_attending_layer(trace: &Trace, choice: &MapChoice) -> anyhow::Result<(u32, f32)> {
    let heads = trace.shape().heads.max(1);
    let shares = choice.resolve_heads(trace, HeadNumber::ImageShare, false)?.values();
    Ok((0_u32..)
        .zip(shares.chunks_exact(heads).map(|layer| layer.iter().sum::<f32>() / heads as f32))
        .max_by(|left, right| left.1.total_cmp(&right.1))
        .unwrap_or((0, 0.0)))
}

/// Stretched to 0–1.
fn stretched(map: &[f32]) -> Vec<f32> {
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = (high - low).max(f32::MIN_POSITIVE);
    map.iter().map(|value| (value - low) / range).collect()
}

fn resize(
    from: &Image<'_>,
    [width, height]: [u32; 2],
    pixel: PixelType,
) -> anyhow::Result<Image<'static>> {
    let mut to = Image::new(width, height, pixel);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(from, &mut to, &options)?;
    Ok(to)
}

/// Blends the colour over the picture in linear light, as opaque as the value is large.
fn glow(image: &mut RgbImage, map: &Image<'_>, [left, top]: [i64; 2]) {
    let values = map
        .buffer()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    for (index, value) in (0u32..).zip(values) {
        let at = [left + i64::from(index % map.width()), top + i64::from(index / map.width())];
        // A grid may stick out of its picture.
        let [Ok(x), Ok(y)] = at.map(u32::try_from) else { continue };
        if let Some(Rgb(pixel)) = image.get_pixel_mut_checked(x, y) {
            let value = value.clamp(0.0, 1.0);
            let color = colormap::color(ColorMap::Inferno, value);
            for (channel, color) in pixel.iter_mut().zip(color) {
                let blended = linear(*channel) * (1.0 - value) + linear(color) * value;
                *channel = encoded(blended);
            }
        }
    }
}

/// sRGB byte → linear light (IEC 61966-2-1), from a table.
fn linear(byte: u8) -> f32 {
    Srgb::into_linear(byte)
}

/// Linear light → the nearest sRGB byte, from a table.
fn encoded(value: f32) -> u8 {
    Srgb::from_linear(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_linear_light() {
        assert!((0..=255).all(|byte| encoded(linear(byte)) == byte));
        // The formula of IEC 61966-2-1.
        for byte in 0..=255_u8 {
            let value = f32::from(byte) / 255.0;
            let exact =
                if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
            assert!((linear(byte) - exact).abs() < 1e-6, "{byte}");
        }
    }
}
