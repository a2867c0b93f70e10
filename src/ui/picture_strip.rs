//! Small pictures of all pictures or video frames of an answer, for the strip below the stage.

use super::document::{Document, DocumentId};
use crate::analysis::density::Frame;
use crate::trace::Trace;
use crate::view::{ImageForm, PictureChoice, pictures};
use egui::{Color32, ColorImage, Context, TextureHandle, TextureOptions};
use image::{DynamicImage, RgbImage};
use std::collections::BTreeMap;

/// Largest width and height of a small picture in pixels: sharp on a screen with two pixels a point.
const SIDE: [u32; 2] = [256, 112];
/// Pixels between small pictures that are joined.
const GAP: usize = 8;

/// The small pictures of one answer by their number; empty until they are drawn.
pub type SmallPictures = BTreeMap<u32, TextureHandle>;

/// The small pictures of the open answers that have several pictures.
#[derive(Default)]
pub struct PictureStrips {
    strips: BTreeMap<DocumentId, SmallPictures>,
}

impl PictureStrips {
    /// The small pictures of an answer, once they were asked for.
    pub fn get(&self, of: DocumentId) -> Option<&SmallPictures> {
        self.strips.get(&of)
    }

    /// Notes that the small pictures of an answer are being drawn, and forgets those of answers that are closed; false if
    /// they were asked for already.
    pub fn begin(&mut self, of: DocumentId, docs: &[Document]) -> bool {
        self.strips.retain(|id, _| docs.iter().any(|doc| doc.id == *id));
        let is_new = !self.strips.contains_key(&of);
        self.strips.entry(of).or_default();
        is_new
    }

    /// Keeps small pictures that were drawn; those of an answer that was closed meanwhile are dropped.
    pub fn keep(&mut self, ctx: &Context, of: DocumentId, drawn: Vec<(u32, ColorImage)>) {
        let Some(strip) = self.strips.get_mut(&of) else { return };
        for (number, pixels) in drawn {
            let name = format!("picture {number}");
            strip.insert(number, ctx.load_texture(name, pixels, TextureOptions::LINEAR));
        }
    }

    /// Forgets the small pictures of an answer whose file was read again.
    pub fn forget(&mut self, of: DocumentId) {
        self.strips.remove(&of);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.strips.clear();
    }
}

/// Draws the small picture of each picture of a trace, in the aspect of the original. A picture that the trace does not
/// hold, or that cannot be decoded, is left out.
pub fn small_pictures(trace: &Trace, numbers: &[u32]) -> Vec<(u32, ColorImage)> {
    let small = |&number: &u32| Some((number, small_picture(trace, number)?));
    numbers.iter().filter_map(small).collect()
}

/// Small pictures of all pictures of a trace beside each other; `None` if it has none that can be decoded.
pub fn side_by_side(trace: &Trace) -> Option<ColorImage> {
    let numbers = pictures(trace.meta());
    let small: Vec<ColorImage> =
        small_pictures(trace, &numbers).into_iter().map(|(_, pixels)| pixels).collect();
    let height = small.iter().map(ColorImage::height).max()?;
    let gaps = GAP * (small.len() - 1);
    let width = small.iter().map(ColorImage::width).sum::<usize>() + gaps;
    let mut joined = ColorImage::filled([width, height], Color32::TRANSPARENT);
    let mut left = 0;
    for picture in &small {
        let top = (height - picture.height()) / 2;
        for (y, row) in picture.pixels.chunks_exact(picture.width()).enumerate() {
            let start = (top + y) * width + left;
            joined.pixels[start..start + row.len()].copy_from_slice(row);
        }
        left += picture.width() + GAP;
    }
    Some(joined)
}

fn small_picture(trace: &Trace, number: u32) -> Option<ColorImage> {
    let original = trace.picture_original(number as usize);
    let decoded = original.and_then(|bytes| image::load_from_memory(bytes).ok());
    let (picture, [width, height]) = match decoded {
        Some(picture) => {
            let size = [f64::from(picture.width()), f64::from(picture.height())];
            (picture, size)
        }
        None => {
            let choice = PictureChoice { index: number, view: None, form: ImageForm::Preprocessed };
            let frame = choice.frame(trace);
            let Frame::Canvas(canvas) = frame else { return None };
            let seen = trace.canvas(canvas as usize)?;
            let pixels = RgbImage::from_raw(seen.width, seen.height, seen.rgb.to_vec())?;
            (DynamicImage::from(pixels), frame.size(trace.meta()))
        }
    };
    let scale = (f64::from(SIDE[0]) / width).min(f64::from(SIDE[1]) / height).min(1.0);
    let [width, height] = [width, height].map(|side| ((side * scale).round() as u32).max(1));
    let small = picture.thumbnail_exact(width, height).into_rgb8();
    Some(ColorImage::from_rgb([width as usize, height as usize], small.as_raw()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn open(name: &str) -> Trace {
        let path = format!("{}/tests/fixtures/traces2/{name}.vlmtrace", env!("CARGO_MANIFEST_DIR"));
        Trace::open(std::path::Path::new(&path)).unwrap()
    }

    #[test]
    fn every_picture_has_a_small_one_in_its_own_aspect() {
        let small = small_pictures(&open("two_pictures"), &[0, 1]);
        let sizes: Vec<_> = small.iter().map(|(number, pixels)| (*number, pixels.size)).collect();
        assert_eq!(sizes, [(0, [168, 112]), (1, [67, 112])]);
        assert_eq!(small_pictures(&open("frames"), &[0, 1, 2]).len(), 3);
        assert!(small_pictures(&open("frames"), &[9]).is_empty(), "there is no such picture");
    }

    #[test]
    fn pictures_stand_beside_each_other() {
        let trace = open("two_pictures");
        let joined = side_by_side(&trace).unwrap();
        assert_eq!(joined.size, [168 + GAP + 67, 112]);
        let small = small_pictures(&trace, &[1]);
        assert_eq!(joined[(168 + GAP + 5, 9)], small[0].1[(5, 9)]);
        assert_eq!(joined[(168 + 1, 50)], Color32::TRANSPARENT);
    }
}
