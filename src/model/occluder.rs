//! Hiding parts of a picture: patches are painted over, exactly at their edges.
//!
//! The choice of the fill changes the result: the mean colour removes all information but adds edges, a blur keeps the
//! coarse colours and adds no edges. So the replacement picture is computed once, and blanking copies pixels from it.

use super::error::{ModelError, Result};
use crate::analysis::blank::mean_color;
use crate::trace::{ImageSpan, PictureView};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Standard deviation of the blur, as a share of the picture's long edge: details smaller than a fifth of the picture
/// can no longer be recognised.
const BLUR: f32 = 0.07;

/// The fill of a blanked patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlankFill {
    /// The mean colour of the picture.
    #[default]
    Mean,
    /// The picture, blurred until nothing can be recognised.
    Blur,
}

/// A picture and the replacement of its pixels.
#[derive(Clone, Debug)]
pub struct Occluder {
    /// [height, width, 3].
    rgb: Arc<[u8]>,
    /// The replacement of every pixel, [height, width, 3].
    filled: Vec<u8>,
    width: usize,
}

impl Occluder {
    /// Prepares the replacement for a picture that the model saw.
    ///
    /// # Errors
    /// A picture whose number of bytes does not fit its size.
    pub fn new(picture: &PictureView<'_>, fill: BlankFill) -> Result<Self> {
        let width = picture.width as usize;
        let filled = match fill {
            BlankFill::Mean => mean_color(picture.rgb).repeat(width * picture.height as usize),
            BlankFill::Blur => {
                let (w, h) = (picture.width, picture.height);
                let whole = RgbImage::from_raw(w, h, picture.rgb.to_vec());
                let whole = whole.ok_or_else(|| ModelError::Request {
                    what: "the picture in the trace".into(),
                    reason: format!("does not fill {w} × {h} pixels."),
                })?;
                image::imageops::fast_blur(&whole, BLUR * w.max(h) as f32).into_raw()
            }
        };
        Ok(Self { rgb: Arc::from(picture.rgb), filled, width })
    }

    /// The whole picture replaced: RGB bytes [height, width, 3].
    pub fn blank(&self) -> Arc<[u8]> {
        self.filled.as_slice().into()
    }

    /// The picture with these patches (row, column) of a span replaced: RGB bytes [height, width, 3].
    pub fn without(&self, span: &ImageSpan, patches: &[[u32; 2]]) -> Arc<[u8]> {
        let mut rgb = self.rgb.to_vec();
        for &[row, column] in patches {
            let rect = span.preprocessed_from_patch(row, column);
            let columns = rect.x as usize..(rect.x + rect.width) as usize;
            for y in rect.y as usize..(rect.y + rect.height) as usize {
                let line = (y * self.width + columns.start) * 3..(y * self.width + columns.end) * 3;
                if let (Some(to), Some(from)) = (rgb.get_mut(line.clone()), self.filled.get(line)) {
                    to.copy_from_slice(from);
                }
            }
        }
        rgb.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::{Affine, Rect};

    fn span() -> ImageSpan {
        ImageSpan {
            picture: 0,
            first: 0,
            rows: 2,
            columns: 2,
            preprocessed_rect: Rect { x: 0.0, y: 0.0, width: 8.0, height: 8.0 },
            original_from_preprocessed: Affine::IDENTITY,
            ..ImageSpan::default()
        }
    }

    #[test]
    fn only_the_patch_is_replaced_and_all_of_it() {
        let rgb: Vec<u8> = (0..8 * 8 * 3).map(|value| value as u8).collect();
        let picture = PictureView { width: 8, height: 8, rgb: &rgb };
        for fill in [BlankFill::Mean, BlankFill::Blur] {
            let blanker = Occluder::new(&picture, fill).unwrap();
            let blanked = blanker.without(&span(), &[[1, 0]]);
            for (index, (new, old)) in blanked.iter().zip(&rgb).enumerate() {
                let (x, y) = (index / 3 % 8, index / 3 / 8);
                if x >= 4 || y < 4 {
                    assert_eq!(new, old, "{x}, {y}");
                } else if fill == BlankFill::Mean {
                    assert_eq!(*new, mean_color(&rgb)[index % 3]);
                }
            }
            assert_ne!(&*blanked, &rgb[..]);
        }
    }
}
