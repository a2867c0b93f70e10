//! Areas of a picture: outlines that are drawn by hand, and regions that are put together from them.
//!
//! A region is read line by line: on each horizontal line it is a list of intervals. Edits, coverage of patches and the
//! outline on the stage all follow from these intervals.

use crate::trace::Rect;
use serde::{Deserialize, Serialize};

/// The outline of an area, in pixels of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Outline {
    /// Everything.
    All,
    /// A rectangle.
    Rectangle {
        /// The rectangle.
        rect: Rect,
    },
    /// The ellipse inside a rectangle.
    Ellipse {
        /// The enclosing rectangle.
        rect: Rect,
    },
    /// A closed polyline drawn by hand (even-odd rule).
    Lasso {
        /// Its corners.
        points: Vec<[f64; 2]>,
    },
    /// The path of a round brush.
    Stroke {
        /// The line along which the brush is drawn.
        points: Vec<[f64; 2]>,
        /// Diameter of the brush.
        size: f64,
    },
}

/// An outline that a region gains or loses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegionPart {
    /// The outline.
    pub outline: Outline,
    /// Whether the region loses what lies inside; otherwise it gains it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl RegionPart {
    /// A part that the region gains.
    pub const fn new(outline: Outline) -> Self {
        Self { outline, cut: false }
    }
}

/// Intervals of columns on one line: ascending, without overlap.
type Intervals = Vec<[f64; 2]>;

/// Cells along the longer side of a region, from which the outline of several parts is traced.
const TRACED_CELLS: f64 = 128.0;
/// Corners of the polygon that stands for an ellipse.
const ELLIPSE_CORNERS: u32 = 96;
/// Halvings that place the outline between two lines of cells.
const HALVINGS: u32 = 4;

impl Outline {
    /// The number that makes the outline unusable: its field (`rect`, `points` or `size`), the number and its bounds.
    /// `None` if all numbers are sound.
    pub fn fault(&self) -> Option<(&'static str, f64, &'static str)> {
        let not_finite = |points: &[[f64; 2]]| {
            points.as_flattened().iter().copied().find(|value| !value.is_finite())
        };
        match self {
            Self::All => None,
            Self::Rectangle { rect } | Self::Ellipse { rect } => {
                if let Some(value) = not_finite(&[[rect.x, rect.y]]) {
                    return Some(("rect", value, "a finite number"));
                }
                let side = rect.width.min(rect.height);
                (!(1e-6..=1e6).contains(&side)).then_some((
                    "rect",
                    side,
                    "larger than 0 on both sides",
                ))
            }
            Self::Lasso { points } => {
                not_finite(points).map(|value| ("points", value, "a finite number"))
            }
            Self::Stroke { points, size } => {
                if let Some(value) = not_finite(points) {
                    return Some(("points", value, "a finite number"));
                }
                let fits = (1.0..=4096.0).contains(size);
                (!fits).then_some(("size", *size, "between 1 and 4096 pixels"))
            }
        }
    }

    /// The smallest rectangle around the outline; `None` for everything and for an outline without points.
    pub fn bounds(&self) -> Option<Rect> {
        match self {
            Self::All => None,
            Self::Rectangle { rect } | Self::Ellipse { rect } => Some(*rect),
            Self::Lasso { points } => bounds(points, 0.0),
            Self::Stroke { points, size } => bounds(points, size / 2.0),
        }
    }

    /// The intervals of columns inside the outline on the line `y`.
    fn intervals(&self, y: f64) -> Intervals {
        let within = |rect: &Rect| (rect.y..rect.y + rect.height).contains(&y);
        match self {
            Self::All => vec![[f64::MIN, f64::MAX]],
            Self::Rectangle { rect } => {
                within(rect).then_some([rect.x, rect.x + rect.width]).into_iter().collect()
            }
            Self::Ellipse { rect } => {
                let [rx, ry] = [rect.width / 2.0, rect.height / 2.0];
                let up = (y - rect.y - ry) / ry.max(1e-9);
                let half = rx * (1.0 - up * up).max(0.0).sqrt();
                let middle = rect.x + rx;
                (half > 0.0).then_some([middle - half, middle + half]).into_iter().collect()
            }
            Self::Lasso { points } => {
                let columns = crossings(points, y);
                columns.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
            }
            Self::Stroke { points, size } => {
                let first = points.first().copied().into_iter().map(|point| (point, point));
                let pairs = points.iter().copied().zip(points.iter().skip(1).copied());
                let covered = |(from, to)| under_brush(from, to, size / 2.0, y);
                merged(first.chain(pairs).filter_map(covered).collect())
            }
        }
    }
}

/// The columns where a closed polyline crosses the line `y`, ascending; their number is even.
pub fn crossings(points: &[[f64; 2]], y: f64) -> Vec<f64> {
    let ends = points.iter().cycle().skip(1);
    let crossed = points.iter().zip(ends).filter(|(a, b)| (a[1] > y) != (b[1] > y));
    let column = |(a, b): (&[f64; 2], &[f64; 2])| (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0];
    let mut columns: Vec<f64> = crossed.map(column).collect();
    columns.sort_by(f64::total_cmp);
    columns
}

/// The smallest rectangle around points, extended by `margin` on each side; `None` without points.
pub fn bounds(points: &[[f64; 2]], margin: f64) -> Option<Rect> {
    let first = *points.first()?;
    let (mut low, mut high) = (first, first);
    for point in points {
        for axis in 0..2 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    Some(Rect {
        x: low[0] - margin,
        y: low[1] - margin,
        width: high[0] - low[0] + 2.0 * margin,
        height: high[1] - low[1] + 2.0 * margin,
    })
}

/// The interval that a round brush covers on the line `y` while it moves along a segment.
fn under_brush(from: [f64; 2], to: [f64; 2], radius: f64, y: f64) -> Option<[f64; 2]> {
    let mut covered: Option<[f64; 2]> = None;
    let mut add = |low: f64, high: f64| {
        let [left, right] = covered.unwrap_or([low, high]);
        covered = Some([left.min(low), right.max(high)]);
    };
    for [x, centre] in [from, to] {
        let half = radius * radius - (y - centre) * (y - centre);
        if half > 0.0 {
            add(x - half.sqrt(), x + half.sqrt());
        }
    }
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0].hypot(along[1]);
    if length > 0.0 {
        let side = [-along[1] / length * radius, along[0] / length * radius];
        let corners = [
            [from[0] + side[0], from[1] + side[1]],
            [to[0] + side[0], to[1] + side[1]],
            [to[0] - side[0], to[1] - side[1]],
            [from[0] - side[0], from[1] - side[1]],
        ];
        if let [low, .., high] = crossings(&corners, y)[..] {
            add(low, high);
        }
    }
    covered
}

/// Overlapping intervals joined.
pub fn merged(mut intervals: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    intervals.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let mut joined: Intervals = Vec::new();
    for [low, high] in intervals {
        match joined.last_mut() {
            Some(last) if low <= last[1] => last[1] = last[1].max(high),
            _ => joined.push([low, high]),
        }
    }
    joined
}

/// Intervals less others.
fn without(intervals: &[[f64; 2]], cut: &[[f64; 2]]) -> Intervals {
    let mut left = Vec::new();
    for &[low, high] in intervals {
        let mut start = low;
        for &[from, to] in cut.iter().filter(|[from, to]| *to > low && *from < high) {
            if from > start {
                left.push([start, from]);
            }
            start = start.max(to);
        }
        if start < high {
            left.push([start, high]);
        }
    }
    left
}

/// The intervals of columns inside a region on the line `y`: each part is added to, or cut from, those before it.
pub fn intervals(region: &[RegionPart], y: f64) -> Vec<[f64; 2]> {
    let mut inside = Intervals::new();
    for part in region {
        let own = part.outline.intervals(y);
        if part.cut {
            inside = without(&inside, &own);
        } else {
            inside.extend(own);
            inside = merged(inside);
        }
    }
    inside
}

/// Whether a point lies inside a region.
pub fn contains(region: &[RegionPart], [x, y]: [f64; 2]) -> bool {
    intervals(region, y).iter().any(|[low, high]| (*low..*high).contains(&x))
}

/// The smallest rectangle around all parts that a region gains; `None` if one of them is everything, or without parts.
pub fn region_bounds(region: &[RegionPart]) -> Option<Rect> {
    let mut corners = Vec::new();
    for part in region.iter().filter(|part| !part.cut) {
        let Rect { x, y, width, height } = match &part.outline {
            Outline::All => return None,
            outline => match outline.bounds() {
                Some(rect) => rect,
                None => continue,
            },
        };
        corners.extend([[x, y], [x + width, y + height]]);
    }
    bounds(&corners, 0.0)
}

/// A line between two points.
pub type Segment = [[f64; 2]; 2];

/// The lines around a region. One rectangle, ellipse or lasso has its own corners; an outline of several parts, or of a
/// brush, is traced.
pub fn segments(region: &[RegionPart]) -> Vec<Segment> {
    let closed = |points: &[[f64; 2]]| -> Vec<Segment> {
        let ends = points.iter().cycle().skip(1);
        points.iter().zip(ends).map(|(from, to)| [*from, *to]).collect()
    };
    if let [RegionPart { outline, cut: false }] = region {
        match outline {
            Outline::Rectangle { rect: Rect { x, y, width, height } } => {
                let (right, bottom) = (x + width, y + height);
                return closed(&[[*x, *y], [right, *y], [right, bottom], [*x, bottom]]);
            }
            Outline::Ellipse { rect } => {
                let corner = |at: u32| {
                    let angle = f64::from(at) / f64::from(ELLIPSE_CORNERS) * std::f64::consts::TAU;
                    let [rx, ry] = [rect.width / 2.0, rect.height / 2.0];
                    [rect.x + rx * (1.0 + angle.cos()), rect.y + ry * (1.0 + angle.sin())]
                };
                return closed(&(0..ELLIPSE_CORNERS).map(corner).collect::<Vec<_>>());
            }
            Outline::Lasso { points } => return closed(points),
            Outline::All | Outline::Stroke { .. } => {}
        }
    }
    traced(region)
}

/// Marching squares over a grid of cells; the crossings of its lines are those of the region.
fn traced(region: &[RegionPart]) -> Vec<Segment> {
    let Some(around) = region_bounds(region) else { return Vec::new() };
    let cell = around.width.max(around.height) / TRACED_CELLS;
    if cell <= 0.0 || !cell.is_finite() {
        return Vec::new();
    }
    let origin = [around.x - cell, around.y - cell];
    let count = |side: f64| (side / cell).ceil() as usize + 2;
    let (columns, rows) = (count(around.width), count(around.height));
    let x = |column: usize| origin[0] + column as f64 * cell;
    let y = |row: usize| origin[1] + row as f64 * cell;
    let is_in =
        |line: &Intervals, x: f64| line.iter().any(|[low, high]| (*low..*high).contains(&x));
    let lines: Vec<Intervals> = (0..=rows).map(|row| intervals(region, y(row))).collect();
    // Along a line of the grid: the end of an interval between two columns.
    let on_line = |row: usize, column: usize| {
        let (from, to) = (x(column), x(column + 1));
        let ends = lines[row].as_flattened().iter().copied();
        let at = ends.rev().find(|end| (from..=to).contains(end));
        [at.unwrap_or(f64::midpoint(from, to)), y(row)]
    };
    // Between two lines of the grid: found by halving.
    let between = |row: usize, column: usize| {
        let (mut above, mut below) = (y(row), y(row + 1));
        let is_above = is_in(&lines[row], x(column));
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(above, below);
            if is_in(&intervals(region, middle), x(column)) == is_above {
                above = middle;
            } else {
                below = middle;
            }
        }
        [x(column), f64::midpoint(above, below)]
    };
    let mut found = Vec::new();
    for row in 0..rows {
        if lines[row].is_empty() && lines[row + 1].is_empty() {
            continue;
        }
        for column in 0..columns {
            let corner = |down: usize, right: usize| is_in(&lines[row + down], x(column + right));
            let [a, b, c, d] = [corner(0, 0), corner(0, 1), corner(1, 1), corner(1, 0)];
            let mut ends: Vec<[f64; 2]> = Vec::new();
            if a != b {
                ends.push(on_line(row, column));
            }
            if b != c {
                ends.push(between(row, column + 1));
            }
            if c != d {
                ends.push(on_line(row + 1, column));
            }
            if d != a {
                ends.push(between(row, column));
            }
            match ends[..] {
                [from, to] => found.push([from, to]),
                // Two corners that face each other: the corner `a` and its opposite are cut off.
                [top, right, bottom, left] => found.extend([[left, top], [right, bottom]]),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn rectangle(x: f64, y: f64, width: f64, height: f64) -> RegionPart {
        RegionPart::new(Outline::Rectangle { rect: Rect { x, y, width, height } })
    }

    #[test]
    fn parts_are_added_and_cut_in_their_order() {
        let mut cut = rectangle(4.0, 0.0, 2.0, 10.0);
        cut.cut = true;
        let region = [rectangle(0.0, 0.0, 10.0, 10.0), cut, rectangle(4.5, 2.0, 0.5, 2.0)];
        assert_eq!(intervals(&region, 1.0), [[0.0, 4.0], [6.0, 10.0]]);
        assert_eq!(intervals(&region, 3.0), [[0.0, 4.0], [4.5, 5.0], [6.0, 10.0]]);
        assert!(intervals(&region, 11.0).is_empty());
        assert!(contains(&region, [1.0, 1.0]) && !contains(&region, [5.0, 1.0]));
    }

    #[test]
    fn every_outline_is_what_a_point_says_for_itself() {
        let points = vec![[1.0, 1.0], [9.0, 2.0], [8.0, 9.0], [5.0, 4.0], [2.0, 8.0]];
        let near = |point: [f64; 2], from: [f64; 2], to: [f64; 2]| {
            let along = [to[0] - from[0], to[1] - from[1]];
            let offset = [point[0] - from[0], point[1] - from[1]];
            let length = along[0] * along[0] + along[1] * along[1];
            let t = ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0);
            (offset[0] - t * along[0]).hypot(offset[1] - t * along[1])
        };
        let stroke = Outline::Stroke { points: points.clone(), size: 2.0 };
        let ellipse = Outline::Ellipse { rect: Rect { x: 1.0, y: 2.0, width: 6.0, height: 4.0 } };
        for row in 0..40 {
            for column in 0..40 {
                let point = [f64::from(column) * 0.25 + 0.1, f64::from(row) * 0.25 + 0.1];
                let is_near = points.windows(2).any(|pair| near(point, pair[0], pair[1]) < 1.0);
                assert_eq!(
                    contains(&[RegionPart::new(stroke.clone())], point),
                    is_near,
                    "{point:?}"
                );
                let [u, v] = [(point[0] - 4.0) / 3.0, (point[1] - 4.0) / 2.0];
                let inside = u * u + v * v < 1.0;
                assert_eq!(
                    contains(&[RegionPart::new(ellipse.clone())], point),
                    inside,
                    "{point:?}"
                );
            }
        }
    }

    #[test]
    fn a_traced_outline_lies_on_the_edge_and_is_closed() {
        let stroke = Outline::Stroke { points: vec![[10.0, 10.0], [60.0, 40.0]], size: 12.0 };
        let region = [RegionPart::new(stroke), rectangle(50.0, 30.0, 30.0, 20.0)];
        let lines = segments(&region);
        assert!(lines.len() > 100);
        // Each end of a line is the end of exactly one other line.
        let same = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-9;
        let ends: Vec<[f64; 2]> = lines.iter().flatten().copied().collect();
        for end in &ends {
            let partners = ends.iter().filter(|other| same(*end, **other)).count();
            assert_eq!(partners % 2, 0, "{end:?}");
        }
        // A step of a cell to either side leaves the region, or enters it.
        let cell = 80.0 / TRACED_CELLS;
        for [from, to] in lines {
            let middle = [f64::midpoint(from[0], to[0]), f64::midpoint(from[1], to[1])];
            let around = [[-cell, 0.0], [cell, 0.0], [0.0, -cell], [0.0, cell]];
            let inside = around.map(|[x, y]| contains(&region, [middle[0] + x, middle[1] + y]));
            assert!(inside.contains(&true) && inside.contains(&false), "{middle:?}");
        }
    }

    #[test]
    fn faults_are_named() {
        let zero = Outline::Rectangle { rect: Rect { x: 0.0, y: 0.0, width: 0.0, height: 2.0 } };
        assert_eq!(zero.fault().unwrap().0, "rect");
        let nan = Outline::Lasso { points: vec![[0.0, f64::NAN]] };
        assert_eq!(nan.fault().unwrap().0, "points");
        let huge = Outline::Stroke { points: vec![[0.0, 0.0]], size: 1e9 };
        assert_eq!(huge.fault().unwrap().0, "size");
        assert_eq!(Outline::All.fault(), None);
    }
}
