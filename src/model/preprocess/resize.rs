//! 8-bit RGB pictures and Pillow's resampling, to the last bit.
//!
//! Libraries that imitate Pillow round its kernels to 16 bits. A difference of one grey level in a patch changes logits
//! in the third digit, and a deviation from transformers could then not be told from a mistake; so this is Pillow's own
//! arithmetic: kernels in f64, rounded to 22 bits, applied to bytes along rows, then along columns
//! (libImaging/Resample.c).

use crate::model::manifest::Resample;
use std::f64::consts::PI;

/// Fractional bits of a kernel's weights: 32, less 8 for the pixel and 2 against overflow.
const PRECISION_BITS: u32 = 22;
const CHANNELS: usize = 3;

/// A picture of 8 bits a channel.
#[derive(Clone, Debug)]
pub(super) struct Rgb {
    /// [height, width, 3].
    pub bytes: Vec<u8>,
    /// Width and height.
    pub size: [u32; 2],
}

impl Rgb {
    /// The picture in another size, antialiased when shrinking.
    pub fn resized(&self, width: u32, height: u32, filter: Resample) -> Self {
        let [old_width, old_height] = self.size;
        if filter == Resample::Nearest {
            return self.nearest(width, height);
        }
        let rows =
            (width != old_width).then(|| self.along_rows(&Kernels::new(old_width, width, filter)));
        let rows = rows.as_ref().unwrap_or(self);
        if height == old_height {
            return rows.clone();
        }
        rows.along_columns(&Kernels::new(old_height, height, filter))
    }

    fn row(&self, row: usize) -> &[u8] {
        let length = self.size[0] as usize * CHANNELS;
        &self.bytes[row * length..(row + 1) * length]
    }

    fn along_rows(&self, kernels: &Kernels) -> Self {
        let [_, height] = self.size;
        let width = kernels.windows.len();
        let mut bytes = Vec::with_capacity(width * height as usize * CHANNELS);
        for row in 0..height as usize {
            let source = self.row(row);
            for window in &kernels.windows {
                let mut sums = [1_i32 << (PRECISION_BITS - 1); CHANNELS];
                let pixels = source[window.first * CHANNELS..].chunks_exact(CHANNELS);
                for (pixel, weight) in pixels.zip(&window.weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(value) * weight;
                    }
                }
                bytes.extend(sums.map(to_byte));
            }
        }
        Self { bytes, size: [width as u32, height] }
    }

    fn along_columns(&self, kernels: &Kernels) -> Self {
        let [width, _] = self.size;
        let length = width as usize * CHANNELS;
        let mut bytes = Vec::with_capacity(kernels.windows.len() * length);
        let mut sums = vec![0_i32; length];
        for window in &kernels.windows {
            sums.fill(1 << (PRECISION_BITS - 1));
            for (offset, &weight) in window.weights.iter().enumerate() {
                for (sum, &value) in sums.iter_mut().zip(self.row(window.first + offset)) {
                    *sum += i32::from(value) * weight;
                }
            }
            bytes.extend(sums.iter().map(|&sum| to_byte(sum)));
        }
        Self { bytes, size: [width, kernels.windows.len() as u32] }
    }

    fn nearest(&self, width: u32, height: u32) -> Self {
        // Pillow accumulates the step, so that its rounding errors decide ties.
        let sources = |old: u32, new: u32| -> Vec<usize> {
            let step = f64::from(old) / f64::from(new);
            let centres = std::iter::successors(Some(step * 0.5), |centre| Some(centre + step));
            centres.take(new as usize).map(|centre| (centre as u32).min(old - 1) as usize).collect()
        };
        let columns = sources(self.size[0], width);
        let mut bytes = Vec::with_capacity(width as usize * height as usize * CHANNELS);
        for y in sources(self.size[1], height) {
            let row = self.row(y);
            for start in columns.iter().map(|x| x * CHANNELS) {
                bytes.extend_from_slice(&row[start..start + CHANNELS]);
            }
        }
        Self { bytes, size: [width, height] }
    }

    /// The rectangle at (left, top); parts outside the picture are filled with `fill`.
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

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The source pixels of one target pixel.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

/// One window for each target pixel of an axis.
struct Kernels {
    windows: Vec<Window>,
}

impl Kernels {
    fn new(old: u32, new: u32, filter: Resample) -> Self {
        let scale = f64::from(old) / f64::from(new);
        // Shrinking widens the kernel; enlarging interpolates.
        let stretch = scale.max(1.0);
        let support = support(filter) * stretch;
        let windows = (0..new).map(|index| {
            let centre = (f64::from(index) + 0.5) * scale;
            // Truncates towards zero first and then limits to the picture's edge, as in C.
            let first = ((centre - support + 0.5) as i64).max(0);
            let last = ((centre + support + 0.5) as i64).min(i64::from(old));
            let weights: Vec<f64> = (first..last)
                .map(|pixel| kernel(filter, (pixel as f64 - centre + 0.5) * (1.0 / stretch)))
                .collect();
            let total: f64 = weights.iter().sum();
            let total = if total == 0.0 { 1.0 } else { total };
            let fixed = |weight: &f64| {
                let scaled = weight / total * f64::from(1 << PRECISION_BITS);
                (scaled + 0.5_f64.copysign(scaled)) as i32
            };
            Window { first: first as usize, weights: weights.iter().map(fixed).collect() }
        });
        Self { windows: windows.collect() }
    }
}

/// Radius of a kernel in source pixels, before shrinking widens it.
fn support(filter: Resample) -> f64 {
    match filter {
        Resample::Nearest => 0.0,
        Resample::Box => 0.5,
        Resample::Bilinear | Resample::Hamming => 1.0,
        Resample::Bicubic => 2.0,
        Resample::Lanczos => 3.0,
    }
}

fn kernel(filter: Resample, x: f64) -> f64 {
    let distance = x.abs();
    match filter {
        Resample::Nearest => 0.0,
        Resample::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
        Resample::Bilinear => (1.0 - distance).max(0.0),
        Resample::Hamming => {
            if distance >= 1.0 {
                0.0
            } else {
                sinc(distance) * (0.54 + 0.46 * (distance * PI).cos())
            }
        }
        Resample::Bicubic => {
            const A: f64 = -0.5;
            if distance < 1.0 {
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            } else if distance < 2.0 {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
            } else {
                0.0
            }
        }
        Resample::Lanczos => {
            if (-3.0..3.0).contains(&x) {
                sinc(x) * sinc(x / 3.0)
            } else {
                0.0
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 × 4 pixels of a fixed pattern.
    fn pattern() -> Rgb {
        let bytes = (0..60_u32).map(|i| (i * 37 + i * i * 11) as u8).collect();
        Rgb { bytes, size: [5, 4] }
    }

    // Sums of bytes weighted by their position, from Pillow 13 on the same pattern: 3 × 2, 8 × 7.
    const NEAREST: [u64; 2] = [23476, 2_007_532];
    const BOX: [u64; 2] = [24278, 2_028_126];
    const BILINEAR: [u64; 2] = [24508, 2_038_351];
    const HAMMING: [u64; 2] = [24476, 2_031_578];
    const BICUBIC: [u64; 2] = [24543, 2_040_834];
    const LANCZOS: [u64; 2] = [24528, 2_052_909];

    #[test]
    fn every_filter_gives_pillows_bytes() {
        for (filter, expected) in [
            (Resample::Nearest, NEAREST),
            (Resample::Box, BOX),
            (Resample::Bilinear, BILINEAR),
            (Resample::Hamming, HAMMING),
            (Resample::Bicubic, BICUBIC),
            (Resample::Lanczos, LANCZOS),
        ] {
            for ([width, height], expected) in [[3, 2], [8, 7]].into_iter().zip(expected) {
                let resized = pattern().resized(width, height, filter);
                let sum: u64 = (1_u64..).zip(&resized.bytes).map(|(i, &b)| i * u64::from(b)).sum();
                assert_eq!(sum, expected, "{filter:?} to {width} × {height}");
            }
        }
    }
}
