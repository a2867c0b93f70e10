//! 8-bit RGB pictures and Pillow's resampling.

use crate::model::manifest::Resample;
use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::U8x3;

/// A picture of 8 bits a channel.
#[derive(Clone, Debug)]
pub(super) struct Rgb {
    /// [height, width, 3].
    pub bytes: Vec<u8>,
    /// Width and height.
    pub size: [u32; 2],
}

impl Rgb {
    /// The picture in another size. fast_image_resize's convolution is modelled on Pillow: the
    /// same kernels, widened when shrinking, on bytes; it differs by at most one step.
    pub fn resized(&self, width: u32, height: u32, filter: Resample) -> Result<Self, String> {
        let [old_width, old_height] = self.size;
        // Typed images: the untyped interface would compile every pixel type there is.
        let source = TypedImageRef::<U8x3>::from_buffer(old_width, old_height, &self.bytes)
            .map_err(|error| error.to_string())?;
        let mut bytes = vec![0; width as usize * height as usize * 3];
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut bytes)
            .map_err(|error| error.to_string())?;
        let algorithm = match filter {
            Resample::Nearest => fir::ResizeAlg::Nearest,
            Resample::Box => fir::ResizeAlg::Convolution(fir::FilterType::Box),
            Resample::Bilinear => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
            Resample::Hamming => fir::ResizeAlg::Convolution(fir::FilterType::Hamming),
            Resample::Bicubic => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
            Resample::Lanczos => fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3),
        };
        let options = fir::ResizeOptions::new().resize_alg(algorithm);
        fir::Resizer::new()
            .resize_typed(&source, &mut target, &options)
            .map_err(|error| error.to_string())?;
        Ok(Self { bytes, size: [width, height] })
    }

    /// The rectangle at (left, top); what lies outside of the picture is `fill`.
    pub fn window(&self, [left, top]: [i64; 2], [width, height]: [u32; 2], fill: [u8; 3]) -> Self {
        let [old_width, old_height] = self.size.map(i64::from);
        let mut bytes = fill.repeat(width as usize * height as usize);
        // Columns of the window that lie inside of the picture.
        let first = (-left).clamp(0, i64::from(width));
        let last = (old_width - left).clamp(first, i64::from(width));
        for row in 0..i64::from(height) {
            let source_row = row + top;
            if !(0..old_height).contains(&source_row) {
                continue;
            }
            let from = ((source_row * old_width + first + left) * 3) as usize;
            let to = ((row * i64::from(width) + first) * 3) as usize;
            let length = ((last - first) * 3) as usize;
            bytes[to..to + length].copy_from_slice(&self.bytes[from..from + length]);
        }
        Self { bytes, size: [width, height] }
    }
}
