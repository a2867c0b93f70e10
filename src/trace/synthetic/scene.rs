//! The picture of a synthetic trace: three shapes under a sky, as objects for the attention.

use super::super::{Affine, PreprocessMode, TraceError};
use image::{ImageFormat, RgbImage};
use std::io::Cursor;

/// Indices into [`OBJECTS`].
pub(super) const CIRCLE: usize = 0;
pub(super) const TRIANGLE: usize = 1;
/// Centres of the shapes as fractions of the picture: a circle, a triangle, a square.
pub(super) const OBJECTS: [[f32; 2]; 3] = [[0.68, 0.60], [0.27, 0.66], [0.48, 0.28]];

/// A picture and the pixels that the model saw of it.
#[derive(Clone, Debug)]
pub struct SyntheticPicture {
    /// The encoded file.
    pub original: Vec<u8>,
    /// Width and height of the original.
    pub original_size: [u32; 2],
    /// Width and height of `rgb`.
    pub size: [u32; 2],
    /// RGB, 8 bits per channel.
    pub rgb: Vec<u8>,
    /// From pixels of `rgb` to pixels of the original.
    pub original_from_preprocessed: Affine,
    /// The preprocessing rule from the original to `rgb`.
    pub mode: PreprocessMode,
}

pub(super) fn picture(size: [u32; 2]) -> Result<SyntheticPicture, TraceError> {
    let [width, height] = size;
    let rgb = RgbImage::from_fn(width, height, |x, y| {
        let at = [(x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32];
        image::Rgb(color(at))
    });
    let mut original = Vec::new();
    rgb.write_to(&mut Cursor::new(&mut original), ImageFormat::Png)
        .map_err(|error| TraceError::Inconsistent { reason: error.to_string() })?;
    Ok(SyntheticPicture {
        original,
        original_size: size,
        size,
        rgb: rgb.into_raw(),
        original_from_preprocessed: Affine::IDENTITY,
        mode: PreprocessMode::Default,
    })
}

/// Linear colours of the scene at a point of the unit square.
fn color([u, v]: [f32; 2]) -> [u8; 3] {
    let [circle, triangle, square] = OBJECTS;
    let inside_circle = (u - circle[0]).hypot(v - circle[1]) < 0.13;
    let (tx, ty) = ((u - triangle[0]).abs(), v - triangle[1] + 0.10);
    let inside_triangle = (0.0..0.24).contains(&ty) && tx < ty * 0.58;
    let inside_square = (u - square[0]).abs() < 0.085 && (v - square[1]).abs() < 0.085;
    // Grain distinguishes flat areas from gaps in the picture.
    let grain = ((u * 311.7).sin() * (v * 197.3).cos() * 4.0) as i16;
    let shade = |rgb: [u8; 3], light: f32| {
        rgb.map(|c| ((f32::from(c) * light) as i16 + grain).clamp(0, 255) as u8)
    };
    if inside_circle {
        let light = 1.0 - 0.9 * (u - circle[0] + 0.05).hypot(v - circle[1] + 0.05);
        shade([214, 66, 58], light)
    } else if inside_triangle {
        shade([236, 190, 70], 1.0 - 0.6 * tx)
    } else if inside_square {
        shade([70, 120, 190], 1.05 - 0.4 * (v - square[1]).abs())
    } else if v > 0.72 {
        shade([104, 128, 92], 1.15 - 0.5 * (v - 0.72))
    } else {
        shade([172, 192, 208], 0.82 + 0.30 * v)
    }
}
