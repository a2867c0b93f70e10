//! Turns a picture into pixel values exactly as transformers' image processor does. Every step is recorded as an affine
//! map, so that the position of a patch in the original can be computed.
//!
//! The decision here: resampling happens on bytes with Pillow's filters (cubic with a = −0.5,
//! widened when shrinking), because the model was trained on such pictures; a resize on floats or without antialiasing
//! shifts every overlay.

mod decode;
mod resize;

pub use decode::MAX_MEGAPIXELS;

use super::error::{ModelError, Result};
use super::event::AskNotice;
use super::manifest::{Manifest, Preprocess, Resample, Resize};
use super::occluder::{BlankFill, Occluder};
use super::request::Picture;
use crate::trace::{Affine, ImageSpan, PictureView, PreprocessInfo, PreprocessMode, Rect};
use decode::Decoded;
use resize::Rgb;

/// LVLM-Interpret first reduces pictures whose long edge is longer than this.
const REDUCED_LONG_EDGE: u32 = 1344;
/// LLaVA's colour for the bars of [`PreprocessMode::Pad`]: CLIP's mean in bytes.
const PAD_COLOUR: [u8; 3] = [122, 116, 104];

/// The preprocessed picture and its position in the original.
#[derive(Clone, Debug)]
pub struct Preprocessed {
    /// [1, 3, height, width] for the vision tower.
    pub pixel_values: Vec<f32>,
    /// [height, width, 3] bytes: the same picture before rescaling and normalisation.
    pub rgb: Vec<u8>,
    /// Width and height of the canvas that the model sees.
    pub size: [u32; 2],
    /// The given picture, upright and encoded again: it contains no EXIF, XMP or GPS data.
    pub original: Vec<u8>,
    /// From pixels of `rgb` to pixels of `original`.
    pub original_from_preprocessed: Affine,
    /// The description of the preprocessing for the trace.
    pub info: PreprocessInfo,
    /// Notices for the user.
    pub notices: Vec<AskNotice>,
}

impl Preprocessed {
    /// The span of this picture, whose first patch is at position `first`.
    pub fn span(&self, picture: u32, first: u32, manifest: &Manifest) -> ImageSpan {
        let [rows, columns] = manifest.vision.grid;
        let patch = manifest.vision.patch_size as f64;
        ImageSpan {
            picture,
            canvas: picture,
            first,
            rows: rows as u32,
            columns: columns as u32,
            // If the patches do not fill the picture, a convolution drops the remainder.
            preprocessed_rect: Rect {
                x: 0.0,
                y: 0.0,
                width: columns as f64 * patch,
                height: rows as f64 * patch,
            },
            original_from_preprocessed: self.original_from_preprocessed,
            ..ImageSpan::default()
        }
    }
}

impl Preprocessed {
    /// Paints patches with the picture's mean colour, exactly at their edges. Each patch comes with the rows and
    /// columns of its grid.
    ///
    /// # Errors
    /// If a grid is not the model's.
    pub fn blank(&mut self, patches: &[([u32; 2], [u32; 2])], manifest: &Manifest) -> Result<()> {
        if patches.is_empty() {
            return Ok(());
        }
        let [rows, columns] = manifest.vision.grid.map(|side| side as u32);
        let fits = |([row, column], grid): &([u32; 2], [u32; 2])| {
            *grid == [rows, columns] && *row < rows && *column < columns
        };
        if let Some((_, [other_rows, other_columns])) = patches.iter().find(|patch| !fits(patch)) {
            return Err(ModelError::Request {
                what: "the list of patches to blank".into(),
                reason: format!(
                    "is counted on a grid of {other_rows} × {other_columns}; this model sees {rows} × {columns} patches."
                ),
            });
        }
        let [width, height] = self.size;
        let picture = PictureView { width, height, rgb: &self.rgb };
        let patches: Vec<[u32; 2]> = patches.iter().map(|(patch, _)| *patch).collect();
        let blanked =
            Occluder::new(&picture, BlankFill::Mean)?.without(&self.span(0, 0, manifest), &patches);
        self.rgb = blanked.to_vec();
        self.pixel_values = pixel_values(&self.rgb, &manifest.preprocess);
        Ok(())
    }
}

/// A picture between two steps, with the map from its pixels to the original.
struct Step {
    picture: Rgb,
    original_from_current: Affine,
}

impl Step {
    fn resized(self, width: u32, height: u32, filter: Resample) -> Self {
        let [old_width, old_height] = self.picture.size;
        if [old_width, old_height] == [width, height] {
            return self;
        }
        let scale =
            [f64::from(old_width) / f64::from(width), f64::from(old_height) / f64::from(height)];
        let picture = self.picture.resized(width, height, filter);
        let map = self.original_from_current.after(&Affine::scale_offset(scale, [0.0, 0.0]));
        Self { picture, original_from_current: map }
    }

    /// The rectangle at (`left`, `top`); parts outside the picture are filled with `fill`.
    fn window(self, [left, top]: [i64; 2], size: [u32; 2], fill: [u8; 3]) -> Self {
        let offset = Affine::scale_offset([1.0, 1.0], [left as f64, top as f64]);
        Self {
            picture: self.picture.window([left, top], size, fill),
            original_from_current: self.original_from_current.after(&offset),
        }
    }
}

/// Decodes a picture and prepares it for the vision tower of `manifest`.
///
/// # Errors
/// If the file is not a picture, or has too many pixels (checked before any pixel is decoded).
pub fn preprocess(
    picture: &Picture,
    mode: PreprocessMode,
    manifest: &Manifest,
) -> Result<Preprocessed> {
    let decoded = decode::decode(&picture.name, &picture.bytes)?;
    let Decoded { upright, lossy } = decoded;
    let rgb = decode::to_rgb(&upright);
    let dark = decode::dark_notice(&upright).map(AskNotice::Text);
    let stored = decode::encode_original(&picture.name, upright, &rgb, lossy)?;
    let stored_from_upright = [
        f64::from(stored.size[0]) / f64::from(rgb.size[0]),
        f64::from(stored.size[1]) / f64::from(rgb.size[1]),
    ];
    let start = Affine::scale_offset(stored_from_upright, [0.0, 0.0]);
    let step = Step { picture: rgb, original_from_current: start };
    let Step { picture: seen, original_from_current } = fit(step, mode, &manifest.preprocess);
    let cropped = crop_notice(&original_from_current, seen.size, stored.size);
    let info = PreprocessInfo {
        picture: 0,
        mode: mode.into(),
        original_size: stored.size,
        preprocessed_size: seen.size,
        original_from_preprocessed: original_from_current,
        file_name: picture.name.clone(),
    };
    Ok(Preprocessed {
        pixel_values: pixel_values(&seen.bytes, &manifest.preprocess),
        size: seen.size,
        rgb: seen.bytes,
        original: stored.bytes,
        original_from_preprocessed: original_from_current,
        info,
        notices: dark.into_iter().chain(cropped).collect(),
    })
}

/// The user is told if less than this share of the picture is seen: a crop of 16:9 to a square keeps 0.56.
const SEEN_SHARE: f64 = 0.5;

/// A notice where most of the picture is cropped away.
fn crop_notice(
    original_from_seen: &Affine,
    seen: [u32; 2],
    original: [u32; 2],
) -> Option<AskNotice> {
    let [left, top] = original_from_seen.apply([0.0, 0.0]);
    let [right, bottom] = original_from_seen.apply(seen.map(f64::from));
    let covered = |from: f64, to: f64, length: u32| {
        let length = f64::from(length);
        (to.min(length) - from.max(0.0)).max(0.0) / length
    };
    let share = covered(left, right, original[0]) * covered(top, bottom, original[1]);
    (share < SEEN_SHARE).then_some(AskNotice::Cropped(share))
}

/// The upright picture in the colours from which [`preprocess`] starts: edits are made on it.
///
/// # Errors
/// As [`preprocess`].
pub fn upright(picture: &Picture) -> Result<image::RgbImage> {
    let decoded = decode::decode(&picture.name, &picture.bytes)?;
    let Rgb { bytes, size: [width, height] } = decode::to_rgb(&decoded.upright);
    image::RgbImage::from_raw(width, height, bytes).ok_or_else(|| ModelError::Picture {
        name: picture.name.clone(),
        reason: "its pixels do not fill its size".into(),
    })
}

/// Applies the mode, then the processor's own resize and crop.
fn fit(step: Step, mode: PreprocessMode, rules: &Preprocess) -> Step {
    let [width, height] = step.picture.size;
    let mut step = match reduced_size([width, height]) {
        Some([width, height]) => step.resized(width, height, Resample::Bicubic),
        None => step,
    };
    let [crop_height, crop_width] = if rules.do_center_crop {
        rules.crop
    } else {
        resize_target(rules.resize, step.picture.size)
    };
    match mode {
        PreprocessMode::Default => {}
        PreprocessMode::Resize => {
            step = step.resized(crop_width, crop_height, Resample::Bicubic);
        }
        PreprocessMode::Pad => {
            let [width, height] = step.picture.size;
            let side = width.max(height);
            let left = -i64::from((side - width) / 2);
            let top = -i64::from((side - height) / 2);
            step = step.window([left, top], [side, side], PAD_COLOUR);
        }
    }
    if rules.do_resize {
        let [height, width] = resize_target(rules.resize, step.picture.size);
        step = step.resized(width, height, rules.resample);
    }
    if rules.do_center_crop {
        let [width, height] = step.picture.size;
        let left = centre_offset(width, crop_width);
        let top = centre_offset(height, crop_height);
        step = step.window([left, top], [crop_width, crop_height], [0; 3]);
    }
    step
}

/// The reduced size of a picture whose long edge is too long, with the same proportions; `None` for smaller pictures.
fn reduced_size([width, height]: [u32; 2]) -> Option<[u32; 2]> {
    let long = width.max(height);
    if long <= REDUCED_LONG_EDGE {
        return None;
    }
    let shrink = |edge: u32| {
        let edge = u64::from(edge) * u64::from(REDUCED_LONG_EDGE) / u64::from(long);
        (edge as u32).max(1)
    };
    Some([shrink(width), shrink(height)])
}

/// Height and width that the processor resizes to (`get_resize_output_image_size` of transformers: the long edge is
/// truncated to an integer, not rounded).
fn resize_target(resize: Resize, [width, height]: [u32; 2]) -> [u32; 2] {
    match resize {
        Resize::Exact { height, width } => [height, width],
        Resize::ShortestEdge { shortest_edge } => {
            let (short, long) = (width.min(height), width.max(height));
            // In this order and in f64, as Python does: int(size * long / short).
            let other = f64::from(shortest_edge) * f64::from(long) / f64::from(short);
            let other = other as u32;
            if width <= height { [other, shortest_edge] } else { [shortest_edge, other] }
        }
    }
}

/// Left or upper edge of the centre in the picture (`center_crop` of transformers: rounded down;
/// a picture that is too small gets the larger half of the black bars on the left or top).
fn centre_offset(have: u32, want: u32) -> i64 {
    (i64::from(have) - i64::from(want)).div_euclid(2)
}

/// RGB bytes [height, width, 3] → [3, height, width] floats.
pub(super) fn pixel_values(rgb: &[u8], rules: &Preprocess) -> Vec<f32> {
    // 256 values a channel: a table gives the same numbers as transformers' arithmetic on floats.
    let mut values = Vec::with_capacity(rgb.len());
    for (channel, (mean, std)) in rules.mean.iter().zip(&rules.std).enumerate() {
        let table: Vec<f32> = (0..=u8::MAX)
            .map(|byte| {
                let mut value = f64::from(byte);
                if rules.do_rescale {
                    value *= rules.rescale_factor;
                }
                let value = value as f32;
                if rules.do_normalize { (value - mean) / std } else { value }
            })
            .collect();
        let bytes = rgb.iter().skip(channel).step_by(3);
        values.extend(bytes.map(|&byte| table[usize::from(byte)]));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(crop: [u32; 2], resize: Resize) -> Preprocess {
        Preprocess {
            do_resize: true,
            resize,
            resample: Resample::Bicubic,
            do_center_crop: true,
            crop,
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }

    fn plain(width: u32, height: u32) -> Step {
        let bytes = vec![200; (width * height * 3) as usize];
        Step {
            picture: Rgb { bytes, size: [width, height] },
            original_from_current: Affine::IDENTITY,
        }
    }

    fn close(found: [f64; 2], expected: [f64; 2]) -> bool {
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn the_map_of_a_crop_knows_its_offset_and_the_cut_off_part_of_a_pixel() {
        let rules = rules([56, 56], Resize::ShortestEdge { shortest_edge: 56 });
        // 101 × 67 → 84 × 56 (84.4 cut to 84) → crop at x = 14.
        let step = fit(plain(101, 67), PreprocessMode::Default, &rules);
        assert_eq!(step.picture.size, [56, 56]);
        let map = step.original_from_current;
        assert!(close(map.apply([0.0, 0.0]), [14.0 * 101.0 / 84.0, 0.0]));
        assert!(close(map.apply([56.0, 56.0]), [70.0 * 101.0 / 84.0, 67.0]));
    }

    #[test]
    fn stretching_maps_corners_to_corners() {
        let rules = rules([56, 56], Resize::ShortestEdge { shortest_edge: 56 });
        let step = fit(plain(101, 67), PreprocessMode::Resize, &rules);
        assert!(close(step.original_from_current.apply([56.0, 56.0]), [101.0, 67.0]));
    }

    #[test]
    fn padding_puts_the_bars_outside_of_the_original() {
        let rules = rules([56, 56], Resize::ShortestEdge { shortest_edge: 56 });
        let step = fit(plain(100, 67), PreprocessMode::Pad, &rules);
        // (100 − 67) / 2 rounded down is above, the rest below.
        assert!(close(step.original_from_current.apply([0.0, 0.0]), [0.0, -16.0]));
        assert!(close(step.original_from_current.apply([56.0, 56.0]), [100.0, 84.0]));
        assert_eq!(step.picture.bytes[..3], PAD_COLOUR);
        let middle = (28 * 56 + 28) * 3;
        assert_eq!(step.picture.bytes[middle..middle + 3], [200; 3]);
    }

    #[test]
    fn a_crop_that_takes_most_of_the_picture_is_told() {
        let rules = rules([56, 56], Resize::ShortestEdge { shortest_edge: 56 });
        let notice = |width, height, mode| {
            let Step { picture, original_from_current } = fit(plain(width, height), mode, &rules);
            let notice = crop_notice(&original_from_current, picture.size, [width, height]);
            notice.map(|notice| notice.text("pad it"))
        };
        let text = notice(800, 20, PreprocessMode::Default).unwrap_or_default();
        assert!(text.contains("the middle 2.5 %") && text.ends_with("pad it"), "{text}");
        let text = notice(60, 180, PreprocessMode::Default).unwrap_or_default();
        assert!(text.contains("the middle 33 %"), "{text}");
        assert_eq!(notice(160, 90, PreprocessMode::Default), None);
        assert_eq!(notice(800, 20, PreprocessMode::Pad), None);
        assert_eq!(notice(800, 20, PreprocessMode::Resize), None);
    }

    #[test]
    fn a_long_picture_is_reduced_before_anything_else() {
        assert_eq!(reduced_size([1344, 1000]), None);
        assert_eq!(reduced_size([2688, 1001]), Some([1344, 500]));
        assert_eq!(reduced_size([1, 100_000]), Some([1, 1344]));
        let rules = rules([56, 56], Resize::ShortestEdge { shortest_edge: 56 });
        let step = fit(plain(2688, 1344), PreprocessMode::Resize, &rules);
        assert!(close(step.original_from_current.apply([56.0, 56.0]), [2688.0, 1344.0]));
    }

    #[test]
    fn a_crop_larger_than_the_picture_gets_black_bars_like_transformers() {
        let rules = rules([9, 9], Resize::Exact { height: 6, width: 12 });
        let step = fit(plain(12, 6), PreprocessMode::Default, &rules);
        // Rows: 6 − 9 = −3, halved and rounded down is −2: two black rows above, one below.
        let row = |y: usize| step.picture.bytes[y * 27];
        assert_eq!([row(0), row(1), row(2), row(7), row(8)], [0, 0, 200, 200, 0]);
        assert!(close(step.original_from_current.apply([0.0, 0.0]), [1.0, -2.0]));
    }

    #[test]
    fn bytes_become_normalised_channels() {
        let rules = rules([1, 1], Resize::Exact { height: 1, width: 1 });
        let expected = [-1.0, 1.0, -0.6];
        for (found, expected) in pixel_values(&[0, 255, 51], &rules).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
