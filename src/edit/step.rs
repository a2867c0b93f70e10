//! One edit and its effect on pixels.

use super::EditError;
use super::area::{Area, Brush, Mask, Outline, area_work, rect_work, stroke_work};
use super::color::{spread, turned};
use crate::trace::Rect;
use image::{Rgb, RgbImage, imageops};
use serde::{Deserialize, Serialize};

/// Width of the ring whose mean colour fills an erased object, as a share of the area's long edge.
const RING: f64 = 0.12;

/// Number of times that a blur visits each pixel.
const BLUR_WORK: f64 = 6.0;
/// Largest picture that can be blurred: a blur takes three more copies of it.
pub(super) const MOST_BLURRED_PIXELS: f64 = 64e6;

/// The fill of an area.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Fill {
    /// One colour.
    #[serde(alias = "colour")]
    Color {
        /// Red, green, blue, 0–255.
        #[serde(alias = "colour")]
        color: [u8; 3],
    },
    /// The mean colour of the picture.
    Mean,
    /// The mean colour around the area: erases an object from a plain background.
    Surroundings,
    /// The picture itself, blurred.
    Blur {
        /// Standard deviation in pixels.
        sigma: f64,
    },
}

/// Changes of colour; the default changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Adjust {
    /// Turns the hue, in degrees.
    pub hue: f64,
    /// Factor on the saturation.
    pub saturation: f64,
    /// Added to each channel, as a share of the whole range, −1–1.
    pub brightness: f64,
    /// Contrast about middle grey: −1 makes everything grey, 1 doubles the contrast.
    pub contrast: f64,
}

impl Default for Adjust {
    fn default() -> Self {
        Self { hue: 0.0, saturation: 1.0, brightness: 0.0, contrast: 0.0 }
    }
}

/// One edit. Positions are pixels of the upright original; a pixel's centre is at .5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tool", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// Paint along a line.
    Stroke {
        /// The line; one point is a dab.
        points: Vec<[f64; 2]>,
        /// The brush.
        brush: Brush,
        /// Red, green, blue, 0–255.
        #[serde(alias = "colour")]
        color: [u8; 3],
    },
    /// Restore the original along a line.
    Erase {
        /// The line.
        points: Vec<[f64; 2]>,
        /// The brush.
        brush: Brush,
    },
    /// Fill an area.
    Fill {
        /// The area.
        area: Area,
        /// The fill.
        with: Fill,
    },
    /// Change the colours of an area.
    Adjust {
        /// The area.
        area: Area,
        /// The changes of colour.
        by: Adjust,
    },
    /// Blank patches of the pixels that the model sees, exactly at their edges. On the picture itself, the rectangles
    /// show their positions.
    Blank {
        /// Row and column of each patch.
        patches: Vec<[u32; 2]>,
        /// Rows and columns of the grid of these patches.
        grid: [u32; 2],
        /// The rectangle of each patch in pixels of the picture, in the order of `patches`.
        rects: Vec<Rect>,
    },
    /// Keep only a rectangle. The crop is applied after all other steps; if there are several crops, the last one
    /// counts.
    Crop {
        /// The rectangle that is kept.
        rect: Rect,
    },
}

impl Step {
    /// The tool's name in the TOML.
    pub const fn tool(&self) -> &'static str {
        match self {
            Self::Stroke { .. } => "stroke",
            Self::Erase { .. } => "erase",
            Self::Fill { .. } => "fill",
            Self::Adjust { .. } => "adjust",
            Self::Blank { .. } => "blank",
            Self::Crop { .. } => "crop",
        }
    }

    /// Applies the step to `picture`; an eraser restores pixels of `original`.
    pub(super) fn apply(
        &self,
        picture: &mut RgbImage,
        original: &RgbImage,
    ) -> Result<(), &'static str> {
        const OUTSIDE: &str = "touches no pixel of the picture.";
        let size = [picture.width(), picture.height()];
        match self {
            Self::Stroke { points, brush, color } => {
                let mask = Mask::of_stroke(points, brush, size).ok_or(OUTSIDE)?;
                let paint = color.map(f32::from);
                blend(picture, &mask, |_, _, _| paint);
            }
            Self::Erase { points, brush } => {
                let mask = Mask::of_stroke(points, brush, size).ok_or(OUTSIDE)?;
                blend(picture, &mask, |x, y, _| original.get_pixel(x, y).0.map(f32::from));
            }
            Self::Fill { area, with } => {
                let mask = Mask::of_area(area, picture).ok_or(OUTSIDE)?;
                fill(picture, &mask, *with);
            }
            Self::Adjust { area, by } => {
                let mask = Mask::of_area(area, picture).ok_or(OUTSIDE)?;
                blend(picture, &mask, |_, _, old| adjusted(old, by));
            }
            Self::Blank { rects, .. } => {
                let mean = mean_color(picture);
                for rect in rects {
                    let area = Area::rectangle(*rect);
                    if let Some(mask) = Mask::of_area(&area, picture) {
                        blend(picture, &mask, |_, _, _| mean);
                    }
                }
            }
            Self::Crop { rect } => {
                crop_pixels(rect, size).ok_or(OUTSIDE)?;
            }
        }
        Ok(())
    }

    /// The same step for a picture that is `scale` times as large.
    pub(super) fn scaled(&self, scale: [f64; 2]) -> Self {
        let line = |points: &[[f64; 2]]| -> Vec<[f64; 2]> {
            points.iter().map(|point| [point[0] * scale[0], point[1] * scale[1]]).collect()
        };
        let mean = (scale[0] * scale[1]).sqrt();
        let brush = |brush: &Brush| Brush { size: brush.size * mean, ..*brush };
        let area = |area: &Area| Area {
            outline: match &area.outline {
                Outline::All => Outline::All,
                Outline::Rectangle { rect } => Outline::Rectangle { rect: scaled(rect, scale) },
                Outline::Ellipse { rect } => Outline::Ellipse { rect: scaled(rect, scale) },
                Outline::Lasso { points } => Outline::Lasso { points: line(points) },
                Outline::Stroke { points, size } => {
                    Outline::Stroke { points: line(points), size: size * mean }
                }
            },
            like: area.like,
        };
        match self {
            Self::Stroke { points, brush: old, color } => {
                Self::Stroke { points: line(points), brush: brush(old), color: *color }
            }
            Self::Erase { points, brush: old } => {
                Self::Erase { points: line(points), brush: brush(old) }
            }
            Self::Fill { area: old, with } => Self::Fill {
                area: area(old),
                with: match with {
                    Fill::Blur { sigma } => Fill::Blur { sigma: sigma * mean },
                    other => *other,
                },
            },
            Self::Adjust { area: old, by } => Self::Adjust { area: area(old), by: *by },
            Self::Blank { patches, grid, rects } => Self::Blank {
                patches: patches.clone(),
                grid: *grid,
                rects: rects.iter().map(|rect| scaled(rect, scale)).collect(),
            },
            Self::Crop { rect } => Self::Crop { rect: scaled(rect, scale) },
        }
    }

    /// Approximate number of pixels that the step visits in a picture of this size.
    pub(super) fn work(&self, size: [u32; 2]) -> f64 {
        match self {
            Self::Stroke { points, brush, .. } | Self::Erase { points, brush } => {
                stroke_work(points, brush, size)
            }
            Self::Fill { area, with } => {
                let [width, height] = size.map(f64::from);
                area_work(area, size)
                    + match with {
                        Fill::Color { .. } => 0.0,
                        // The pixels around the area are visited, too.
                        Fill::Mean | Fill::Surroundings => width * height,
                        Fill::Blur { .. } if width * height > MOST_BLURRED_PIXELS => f64::INFINITY,
                        Fill::Blur { .. } => BLUR_WORK * width * height,
                    }
            }
            Self::Adjust { area, .. } => area_work(area, size),
            Self::Blank { rects, .. } => {
                let rects = rects.iter().map(|rect| rect_work(rect, size));
                rects.sum::<f64>() + f64::from(size[0]) * f64::from(size[1])
            }
            Self::Crop { .. } => 1.0,
        }
    }

    /// Checks the numbers of the step at `index`.
    pub(super) fn check(&self, index: usize) -> Result<(), EditError> {
        let tool = self.tool();
        let within = |field, value: f64, low: f64, high: f64, bounds| {
            if value >= low && value <= high {
                Ok(())
            } else {
                Err(EditError::Value { index, tool, field, value, bounds })
            }
        };
        let finite = |field, values: &[f64]| match values.iter().find(|value| !value.is_finite()) {
            Some(&value) => {
                Err(EditError::Value { index, tool, field, value, bounds: "a finite number" })
            }
            None => Ok(()),
        };
        let brush = |brush: &Brush| {
            within("brush.size", brush.size, 1.0, 4096.0, "between 1 and 4096 pixels")?;
            within("brush.hardness", brush.hardness, 0.0, 1.0, "between 0 and 1")
        };
        let rect = |field, rect: &Rect| {
            finite(field, &[rect.x, rect.y])?;
            within(field, rect.width.min(rect.height), 1e-6, 1e6, "larger than 0 on both sides")
        };
        let area = |area: &Area| {
            if let Some((what, value, bounds)) = area.outline.fault() {
                let field = match what {
                    "points" => "area.outline.points",
                    "size" => "area.outline.size",
                    _ => "area.outline.rect",
                };
                return Err(EditError::Value { index, tool, field, value, bounds });
            }
            area.like.map_or(Ok(()), |like| {
                within("area.like.tolerance", like.tolerance, 0.0, 180.0, "between 0 and 180")
            })
        };
        match self {
            Self::Stroke { points, brush: with, .. } | Self::Erase { points, brush: with } => {
                brush(with)?;
                finite("points", points.as_flattened())
            }
            Self::Fill { area: place, with } => {
                if let Fill::Blur { sigma } = with {
                    within("with.sigma", *sigma, 0.1, 1000.0, "between 0.1 and 1000 pixels")?;
                }
                area(place)
            }
            Self::Adjust { area: place, by } => {
                within("by.hue", by.hue, -360.0, 360.0, "between -360 and 360 degrees")?;
                within("by.saturation", by.saturation, 0.0, 10.0, "between 0 and 10")?;
                within("by.brightness", by.brightness, -1.0, 1.0, "between -1 and 1")?;
                within("by.contrast", by.contrast, -1.0, 10.0, "between -1 and 10")?;
                area(place)
            }
            Self::Blank { patches, grid, rects } => {
                let outside =
                    patches.iter().find(|patch| patch[0] >= grid[0] || patch[1] >= grid[1]);
                if let Some(patch) = outside {
                    let value = f64::from(patch[0].max(patch[1]));
                    let bounds = "a row and a column of the grid";
                    return Err(EditError::Value { index, tool, field: "patches", value, bounds });
                }
                if rects.len() != patches.len() {
                    let value = rects.len() as f64;
                    let bounds = "as long as patches";
                    return Err(EditError::Value { index, tool, field: "rects", value, bounds });
                }
                rects.iter().try_for_each(|sides| rect("rects", sides))
            }
            Self::Crop { rect: sides } => rect("rect", sides),
        }
    }
}

/// Whole pixels of a crop inside the picture: left, top, width, height.
pub(super) fn crop_pixels(rect: &Rect, size: [u32; 2]) -> Option<[u32; 4]> {
    let edge = |value: f64, limit: u32| value.round().clamp(0.0, f64::from(limit)) as u32;
    let (left, top) = (edge(rect.x, size[0]), edge(rect.y, size[1]));
    let right = edge(rect.x + rect.width, size[0]);
    let bottom = edge(rect.y + rect.height, size[1]);
    (right > left && bottom > top).then(|| [left, top, right - left, bottom - top])
}

fn scaled(rect: &Rect, scale: [f64; 2]) -> Rect {
    Rect {
        x: rect.x * scale[0],
        y: rect.y * scale[1],
        width: rect.width * scale[0],
        height: rect.height * scale[1],
    }
}

/// Replaces the colour of the masked pixels by `paint` (column, row, old colour → new colour), weighted by coverage.
fn blend(
    picture: &mut RgbImage,
    mask: &Mask,
    mut paint: impl FnMut(u32, u32, [f32; 3]) -> [f32; 3],
) {
    for (x, y, coverage) in mask.pixels() {
        let pixel = picture.get_pixel_mut(x, y);
        let old = pixel.0.map(f32::from);
        let new = paint(x, y, old);
        pixel.0 = std::array::from_fn(|channel| {
            let mixed = old[channel] + (new[channel] - old[channel]) * coverage;
            mixed.round().clamp(0.0, 255.0) as u8
        });
    }
}

fn fill(picture: &mut RgbImage, mask: &Mask, with: Fill) {
    match with {
        Fill::Color { color } => {
            let paint = color.map(f32::from);
            blend(picture, mask, |_, _, _| paint);
        }
        Fill::Mean => {
            let paint = mean_color(picture);
            blend(picture, mask, |_, _, _| paint);
        }
        Fill::Surroundings => {
            let paint = ring_color(picture, mask);
            blend(picture, mask, |_, _, _| paint);
        }
        Fill::Blur { sigma } => {
            // Only the part that can influence the mask is blurred.
            let margin = (3.0 * sigma).ceil() as u32;
            let [left, top] = mask.origin.map(|edge| edge.saturating_sub(margin));
            let right = (mask.origin[0] + mask.coverage.width() + margin).min(picture.width());
            let bottom = (mask.origin[1] + mask.coverage.height() + margin).min(picture.height());
            let part = imageops::crop_imm(picture, left, top, right - left, bottom - top);
            let blurred = imageops::fast_blur(&part.to_image(), sigma as f32);
            blend(picture, mask, |x, y, _| blurred.get_pixel(x - left, y - top).0.map(f32::from));
        }
    }
}

fn adjusted(old: [f32; 3], by: &Adjust) -> [f32; 3] {
    let mut new = old;
    if by.hue != 0.0 || (by.saturation - 1.0).abs() > f64::EPSILON {
        new = turned(new, by.hue as f32, by.saturation as f32);
    }
    new.map(|value| spread(value, by.brightness as f32, by.contrast as f32))
}

fn mean_of<'a>(pixels: impl Iterator<Item = &'a Rgb<u8>>) -> Option<[f32; 3]> {
    let (mut sums, mut count) = ([0_u64; 3], 0_u64);
    for pixel in pixels {
        sums.iter_mut().zip(pixel.0).for_each(|(sum, value)| *sum += u64::from(value));
        count += 1;
    }
    (count > 0).then(|| sums.map(|sum| (sum as f64 / count as f64) as f32))
}

/// Mean of the picture's bytes.
fn mean_color(picture: &RgbImage) -> [f32; 3] {
    mean_of(picture.pixels()).unwrap_or([127.5; 3])
}

/// Mean colour of the untouched pixels in a ring around the mask.
fn ring_color(picture: &RgbImage, mask: &Mask) -> [f32; 3] {
    let (width, height) = mask.coverage.dimensions();
    let ring = (f64::from(width.max(height)) * RING).ceil().max(2.0) as u32;
    let [left, top] = mask.origin;
    let columns = left.saturating_sub(ring)..(left + width + ring).min(picture.width());
    let rows = top.saturating_sub(ring)..(top + height + ring).min(picture.height());
    let untouched = |x: u32, y: u32| {
        let inside = x.checked_sub(left).zip(y.checked_sub(top));
        inside.is_none_or(|(x, y)| {
            x >= width || y >= height || mask.coverage.get_pixel(x, y).0[0] == 0
        })
    };
    let around = rows
        .flat_map(|y| columns.clone().map(move |x| (x, y)))
        .filter(|&(x, y)| untouched(x, y))
        .map(|(x, y)| picture.get_pixel(x, y));
    mean_of(around).unwrap_or_else(|| mean_color(picture))
}
