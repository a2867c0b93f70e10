//! Coverage masks: the pixels that a step touches, and how strongly.

use super::color::hue_and_saturation;
pub use crate::analysis::outline::Outline;
use crate::analysis::outline::{bounds, crossings};
use crate::trace::Rect;
use image::{GrayImage, Luma, RgbImage};
use serde::{Deserialize, Serialize};

/// Pixels with less saturation than this have no hue worth comparing.
const LEAST_SATURATION: f32 = 0.12;

/// A round brush.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Brush {
    /// Diameter in pixels of the picture.
    pub size: f64,
    /// At 1 the edge is sharp (one pixel wide), at 0 the brush fades from the middle outwards.
    #[serde(default = "one")]
    pub hardness: f64,
}

fn one() -> f64 {
    1.0
}

/// Keeps only pixels whose hue is near the hue of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LikeColor {
    /// Red, green, blue, 0–255.
    #[serde(alias = "colour")]
    pub color: [u8; 3],
    /// Largest difference of hue, in degrees.
    pub tolerance: f64,
}

/// A selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Area {
    /// Its outline.
    pub outline: Outline,
    /// Keeps only pixels of about this hue, to select an object within a rectangle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<LikeColor>,
}

impl Area {
    /// Everything inside an outline.
    pub const fn new(outline: Outline) -> Self {
        Self { outline, like: None }
    }

    /// A rectangle.
    pub const fn rectangle(rect: Rect) -> Self {
        Self::new(Outline::Rectangle { rect })
    }
}

/// The coverage of each pixel in a part of the picture, 0–255.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    /// Column and row of its first pixel in the picture.
    pub origin: [u32; 2],
    /// The coverage.
    pub coverage: GrayImage,
}

impl Mask {
    /// A mask over the pixels that overlap `rect`; `coverage` returns 0–1 for the centre of a pixel. `None` if no pixel
    /// of the picture overlaps `rect`.
    fn fill(rect: Rect, size: [u32; 2], mut coverage: impl FnMut([f64; 2]) -> f64) -> Option<Self> {
        let edge = |value: f64, limit: u32| value.clamp(0.0, f64::from(limit)) as u32;
        let origin = [edge(rect.x.floor(), size[0]), edge(rect.y.floor(), size[1])];
        let end = [
            edge((rect.x + rect.width).ceil(), size[0]),
            edge((rect.y + rect.height).ceil(), size[1]),
        ];
        if end[0] <= origin[0] || end[1] <= origin[1] {
            return None;
        }
        let coverage = GrayImage::from_fn(end[0] - origin[0], end[1] - origin[1], |x, y| {
            let centre = [f64::from(origin[0] + x) + 0.5, f64::from(origin[1] + y) + 0.5];
            Luma([(coverage(centre).clamp(0.0, 1.0) * 255.0).round() as u8])
        });
        Some(Self { origin, coverage })
    }

    /// The mask of a selection; `like` compares with the pixels of `picture`.
    pub fn of_area(area: &Area, picture: &RgbImage) -> Option<Self> {
        let size = [picture.width(), picture.height()];
        let mut mask = match &area.outline {
            Outline::All => {
                let [width, height] = size.map(f64::from);
                Self::fill(Rect { x: 0.0, y: 0.0, width, height }, size, |_| 1.0)
            }
            Outline::Rectangle { rect } => Self::fill(*rect, size, |centre| overlap(rect, centre)),
            Outline::Ellipse { rect } => Self::fill(*rect, size, |centre| in_ellipse(rect, centre)),
            Outline::Lasso { points } => {
                let mut crossings = Crossings::new(points);
                Self::fill(bounds(points, 0.0)?, size, |centre| crossings.inside(centre))
            }
            Outline::Stroke { points, size: brush } => {
                Self::of_stroke(points, &Brush { size: *brush, hardness: 1.0 }, size)
            }
        }?;
        if let Some(like) = &area.like {
            mask.keep_like(like, picture);
        }
        Some(mask)
    }

    fn keep_like(&mut self, like: &LikeColor, picture: &RgbImage) {
        let (wanted, _) = hue_and_saturation(like.color);
        let [left, top] = self.origin;
        for (x, y, coverage) in self.coverage.enumerate_pixels_mut() {
            let (hue, saturation) = hue_and_saturation(picture.get_pixel(left + x, top + y).0);
            let apart = (hue - wanted).rem_euclid(360.0);
            let apart = f64::from(apart.min(360.0 - apart));
            if saturation < LEAST_SATURATION || apart > like.tolerance {
                coverage.0 = [0];
            }
        }
    }

    /// The mask of a brush drawn along a line.
    pub fn of_stroke(points: &[[f64; 2]], brush: &Brush, size: [u32; 2]) -> Option<Self> {
        let radius = brush.size / 2.0;
        let mut whole = Self::fill(bounds(points, radius + 1.0)?, size, |_| 0.0)?;
        let first = points.first().copied().into_iter().map(|point| (point, point));
        let segments = first.chain(points.iter().copied().zip(points.iter().skip(1).copied()));
        for (from, to) in segments {
            whole.draw_segment([from, to], radius, brush.hardness);
        }
        Some(whole)
    }

    /// Adds the coverage of a brush along a segment. A pixel keeps the larger of its old and its new coverage, so that
    /// a stroke that crosses itself does not become darker.
    fn draw_segment(&mut self, segment: [[f64; 2]; 2], radius: f64, hardness: f64) {
        let [from, to] = segment;
        let reach = radius + 1.0;
        let [width, height] = [self.coverage.width(), self.coverage.height()];
        let inside = |low: f64, high: f64, origin: u32, length: u32| {
            let edge =
                |value: f64| (value - f64::from(origin)).clamp(0.0, f64::from(length)) as u32;
            edge(low.floor())..edge(high.ceil())
        };
        let rows =
            inside(from[1].min(to[1]) - reach, from[1].max(to[1]) + reach, self.origin[1], height);
        for row in rows {
            let y = f64::from(self.origin[1] + row) + 0.5;
            let [low, high] = columns_near(segment, y, reach);
            for column in inside(low, high, self.origin[0], width) {
                let coverage = &mut self.coverage.get_pixel_mut(column, row).0[0];
                if *coverage == u8::MAX {
                    continue;
                }
                let centre = [f64::from(self.origin[0] + column) + 0.5, y];
                let found = fall_off(distance_to_segment(centre, from, to), radius, hardness);
                *coverage = (*coverage).max((found.clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
    }

    /// Column, row and coverage (0–1) of the pixels with a coverage above 0.
    pub fn pixels(&self) -> impl Iterator<Item = (u32, u32, f32)> {
        let [left, top] = self.origin;
        self.coverage
            .enumerate_pixels()
            .filter(|(_, _, value)| value.0[0] > 0)
            .map(move |(x, y, value)| (left + x, top + y, f32::from(value.0[0]) / 255.0))
    }
}

/// Approximate number of pixels that a mask of `area` visits in a picture of this size.
pub(super) fn area_work(area: &Area, size: [u32; 2]) -> f64 {
    match &area.outline {
        Outline::All => f64::from(size[0]) * f64::from(size[1]),
        Outline::Rectangle { rect } | Outline::Ellipse { rect } => rect_work(rect, size),
        // Each row visits every point once.
        Outline::Lasso { points } => bounds(points, 0.0).map_or(0.0, |rect| {
            rect_work(&rect, size) + points.len() as f64 * rect.height.min(f64::from(size[1]))
        }),
        Outline::Stroke { points, size: brush } => {
            stroke_work(points, &Brush { size: *brush, hardness: 1.0 }, size)
        }
    }
}

/// As [`area_work`], for a rectangle.
pub(super) fn rect_work(rect: &Rect, size: [u32; 2]) -> f64 {
    rect.width.min(f64::from(size[0])) * rect.height.min(f64::from(size[1]))
}

/// As [`area_work`], for a brush along a line.
pub(super) fn stroke_work(points: &[[f64; 2]], brush: &Brush, size: [u32; 2]) -> f64 {
    let [width, height] = size.map(f64::from);
    let reach = brush.size + 2.0;
    let segment = |pair: &[[f64; 2]]| {
        let along = [pair[0][0] - pair[1][0], pair[0][1] - pair[1][1]].map(f64::abs);
        let rows = (along[1] + reach).min(height);
        // In each row, the pixels that the brush covers while it crosses the row.
        let slope = if along[1] > 0.0 { along[0] / along[1] } else { f64::INFINITY };
        rows * (along[0].min(slope * reach) + reach).min(width)
    };
    let whole = bounds(points, reach / 2.0).map_or(0.0, |rect| rect_work(&rect, size));
    whole + points.windows(2).map(segment).sum::<f64>()
}

/// The area of the part of a pixel that is inside a rectangle, 0–1.
fn overlap(rect: &Rect, [x, y]: [f64; 2]) -> f64 {
    let along = |centre: f64, start: f64, length: f64| {
        ((centre + 0.5).min(start + length) - (centre - 0.5).max(start)).max(0.0)
    };
    along(x, rect.x, rect.width) * along(y, rect.y, rect.height)
}

/// 1 inside the ellipse, 0 outside, with an edge one pixel wide.
fn in_ellipse(rect: &Rect, [x, y]: [f64; 2]) -> f64 {
    let radii = [rect.width / 2.0, rect.height / 2.0];
    let offset = [
        (x - rect.x - radii[0]) / radii[0].max(1e-9),
        (y - rect.y - radii[1]) / radii[1].max(1e-9),
    ];
    let from_middle = offset[0].hypot(offset[1]);
    (1.0 - from_middle) * radii[0].min(radii[1]) + 0.5
}

/// The columns where a closed polyline crosses the current row of pixels.
struct Crossings<'a> {
    points: &'a [[f64; 2]],
    row: f64,
    /// Ascending.
    columns: Vec<f64>,
}

impl<'a> Crossings<'a> {
    fn new(points: &'a [[f64; 2]]) -> Self {
        Self { points, row: f64::NAN, columns: Vec::new() }
    }

    /// 1 inside the polyline by the even-odd rule, 0 outside. Fast if the points come row by row.
    fn inside(&mut self, [x, y]: [f64; 2]) -> f64 {
        if y != self.row {
            self.columns = crossings(self.points, y);
            self.row = y;
        }
        let right_of_x = self.columns.len() - self.columns.partition_point(|&column| column <= x);
        (right_of_x % 2) as f64
    }
}

/// The first and last column at which a point of the row can be closer than `reach` to a segment: the part of the
/// segment within `reach` of the row, extended by `reach` on both sides.
fn columns_near([from, to]: [[f64; 2]; 2], y: f64, reach: f64) -> [f64; 2] {
    let rise = to[1] - from[1];
    let at = |row: f64| ((row - from[1]) / rise).clamp(0.0, 1.0);
    let ends = if rise == 0.0 { [0.0, 1.0] } else { [at(y - reach), at(y + reach)] };
    let columns = ends.map(|share| from[0] + share * (to[0] - from[0]));
    [columns[0].min(columns[1]) - reach, columns[0].max(columns[1]) + reach]
}

fn distance_to_segment(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let t = if length > 0.0 {
        ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (offset[0] - t * along[0]).hypot(offset[1] - t * along[1])
}

/// Coverage at a distance from the middle of a brush: 1 within hardness × radius, then a smooth step to 0 at the
/// radius. The step is at least a pixel wide.
fn fall_off(distance: f64, radius: f64, hardness: f64) -> f64 {
    let start = (radius * hardness).min(radius - 0.5);
    let end = (radius + 0.5).min(start + (radius - start).max(0.5) + 0.5);
    let t = ((distance - start) / (end - start).max(1e-9)).clamp(0.0, 1.0);
    1.0 - t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    const SIZE: [u32; 2] = [20, 10];

    fn at(mask: &Mask, x: u32, y: u32) -> f32 {
        mask.pixels().find(|pixel| (pixel.0, pixel.1) == (x, y)).map_or(0.0, |pixel| pixel.2)
    }

    #[test]
    fn a_rectangle_covers_its_pixels_and_parts_of_those_at_its_edge() {
        let picture = RgbImage::new(SIZE[0], SIZE[1]);
        let area = Area::rectangle(Rect { x: 2.0, y: 3.5, width: 4.0, height: 2.0 });
        let mask = Mask::of_area(&area, &picture).unwrap();
        assert!((at(&mask, 2, 4) - 1.0).abs() < 1e-3);
        assert!((at(&mask, 2, 3) - 0.5).abs() < 3e-3 && (at(&mask, 5, 5) - 0.5).abs() < 3e-3);
        assert!(at(&mask, 1, 4) < 1e-3 && at(&mask, 6, 4) < 1e-3);
        let outside = Area::rectangle(Rect { x: 30.0, y: 0.0, width: 4.0, height: 2.0 });
        assert!(Mask::of_area(&outside, &picture).is_none());
    }

    #[test]
    fn a_hard_brush_has_a_sharp_edge_and_a_soft_one_fades() {
        let line = [[5.0, 5.0], [15.0, 5.0]];
        let hard = Mask::of_stroke(&line, &Brush { size: 6.0, hardness: 1.0 }, SIZE).unwrap();
        let soft = Mask::of_stroke(&line, &Brush { size: 6.0, hardness: 0.0 }, SIZE).unwrap();
        assert!((at(&hard, 10, 4) - 1.0).abs() < 1e-3, "half a pixel from the line");
        assert!((at(&hard, 10, 6) - 1.0).abs() < 1e-3 && at(&hard, 10, 9) < 1e-3);
        let middle = at(&soft, 10, 4);
        assert!(middle > at(&soft, 10, 3) && at(&soft, 10, 3) > at(&soft, 10, 2));
        assert!(at(&soft, 10, 2) > 0.0 && middle < 1.0);
    }

    #[test]
    fn a_stroke_and_a_lasso_are_what_every_pixel_says_for_itself() {
        let points: Vec<[f64; 2]> = (0..40)
            .map(|at| f64::from(at) * 1.7)
            .map(|t| [100.0 + 90.0 * (t * 1.3).sin(), 60.0 + 70.0 * (t * 0.7).cos()])
            .collect();
        let size = [200, 120];
        let near = |point: [f64; 2], from: [f64; 2], to: [f64; 2], brush: &Brush| {
            let distance = distance_to_segment(point, from, to);
            (fall_off(distance, brush.size / 2.0, brush.hardness).clamp(0.0, 1.0) * 255.0).round()
        };
        for brush in [Brush { size: 1.0, hardness: 1.0 }, Brush { size: 31.0, hardness: 0.2 }] {
            let mask = Mask::of_stroke(&points, &brush, size).unwrap();
            for (x, y, found) in mask.coverage.enumerate_pixels() {
                let centre =
                    [f64::from(mask.origin[0] + x) + 0.5, f64::from(mask.origin[1] + y) + 0.5];
                let pairs = points.windows(2).map(|pair| near(centre, pair[0], pair[1], &brush));
                assert_eq!(f64::from(found.0[0]), pairs.fold(0.0, f64::max), "{x} {y}");
            }
        }
        let crossings = |[x, y]: [f64; 2]| {
            let ends = points.iter().cycle().skip(1);
            let crossed = points.iter().zip(ends).filter(|(a, b)| {
                (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]
            });
            crossed.count() % 2 == 1
        };
        let picture = RgbImage::new(size[0], size[1]);
        let lasso = Area::new(Outline::Lasso { points: points.clone() });
        let mask = Mask::of_area(&lasso, &picture).unwrap();
        for (x, y, found) in mask.coverage.enumerate_pixels() {
            let centre = [f64::from(mask.origin[0] + x) + 0.5, f64::from(mask.origin[1] + y) + 0.5];
            assert_eq!(found.0[0] == 255, crossings(centre), "{x} {y}");
        }
    }

    #[test]
    fn an_ellipse_and_a_lasso_leave_the_corners() {
        let picture = RgbImage::new(SIZE[0], SIZE[1]);
        let rect = Rect { x: 0.0, y: 0.0, width: 20.0, height: 10.0 };
        let mask = Mask::of_area(&Area::new(Outline::Ellipse { rect }), &picture).unwrap();
        assert!(at(&mask, 10, 5) > 0.99 && at(&mask, 0, 0) < 1e-3);
        let points = vec![[0.0, 0.0], [20.0, 0.0], [0.0, 10.0]];
        let mask = Mask::of_area(&Area::new(Outline::Lasso { points }), &picture).unwrap();
        assert!(at(&mask, 1, 1) > 0.99 && at(&mask, 18, 8) < 1e-3);
    }

    #[test]
    fn only_the_wanted_hue_is_kept() {
        let picture = RgbImage::from_fn(3, 1, |x, _| match x {
            0 => image::Rgb([200, 20, 20]),
            1 => image::Rgb([20, 20, 200]),
            _ => image::Rgb([120, 118, 119]),
        });
        let like = Some(LikeColor { color: [255, 0, 40], tolerance: 30.0 });
        let mask = Mask::of_area(&Area { outline: Outline::All, like }, &picture).unwrap();
        let touched: Vec<_> = mask.pixels().map(|(x, _, _)| x).collect();
        assert_eq!(touched, [0], "the blue and the grey pixel stay");
    }
}
