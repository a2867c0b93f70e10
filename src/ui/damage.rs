//! The parts of a window that a frame changes, compared with the frame before.
//!
//! Two frames are lists of shapes in painting order. A shape that both have, at the same place in the order, leaves its
//! pixels as they are; every other shape damages the rectangle that it covers. Rectangles are in whole pixels.

use egui::emath::TSTransform;
use egui::epaint::{ClippedShape, TextShape};
use egui::{Color32, Pos2, Rect, Shape, TextureId, pos2, vec2};
use similar::{Algorithm, DiffOp};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem::discriminant;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rectangles that are painted separately; more are merged.
const MOST_AREAS: usize = 8;
/// Share of the window above which all of it is painted.
const MOST_SHARE: f32 = 0.8;
/// Pixels around a shape that antialiasing and the alignment of text can touch.
const MARGIN: f32 = 3.0;
/// Longest miter that is counted: beyond every window.
const FARTHEST: f32 = 1e5;
/// Pixels by which the place of a copied picture may differ from whole ones.
const ALIGNED: f32 = 0.02;
/// Longest time for the comparison of two frames; what is left by then counts as changed.
const LONGEST: Duration = Duration::from_millis(4);

/// A shape of a frame, with the pixels that it can touch.
pub(super) struct PlacedShape {
    pub(super) clipped: ClippedShape,
    /// In pixels of the window; empty where the shape is outside its clip rectangle.
    area: Rect,
    /// The pixels and the texture of a picture that is shown pixel by pixel: its bytes are copied.
    pub(super) copied: Option<(Rect, TextureId)>,
    /// Equal shapes have equal keys.
    key: u64,
}

impl PlacedShape {
    /// A shape in a window of `size` pixels, `scale` pixels for each point. `opaque` has the sizes in pixels of textures
    /// that can be copied.
    pub(super) fn new(
        clipped: ClippedShape,
        scale: f32,
        size: [u32; 2],
        opaque: &HashMap<TextureId, [u32; 2]>,
    ) -> Self {
        let area = touched(&clipped, scale, size);
        let copied = copied(&clipped, scale, size, opaque);
        let mut hasher = DefaultHasher::new();
        discriminant(&clipped.shape).hash(&mut hasher);
        for value in [area.min.x, area.min.y, area.max.x, area.max.y] {
            value.to_bits().hash(&mut hasher);
        }
        Self { clipped, area, copied, key: hasher.finish() }
    }

    /// Whether the shape touches no pixel outside of a rectangle.
    pub(super) fn is_within(&self, area: Rect) -> bool {
        area.contains_rect(self.area)
    }

    /// The shape without what is far outside of a rectangle of pixels; `None` where it touches none of them. Its triangles
    /// are still to be clipped to the rectangle: epaint leaves out a shape whose smoothed edge alone is inside of the clip
    /// rectangle.
    pub(super) fn within(&self, area: Rect, scale: f32) -> Option<ClippedShape> {
        let near = in_points(area.expand(MARGIN), scale);
        overlaps(self.area, area).then(|| ClippedShape {
            clip_rect: self.clipped.clip_rect.intersect(near),
            ..self.clipped.clone()
        })
    }
}

/// A rectangle of pixels in points.
pub(super) fn in_points(area: Rect, scale: f32) -> Rect {
    Rect::from_min_max(area.min / scale, area.max / scale)
}

/// The difference between two frames.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Damage {
    /// So much that the whole window is to be painted.
    Everything,
    /// Rectangles of pixels, and copied pictures (places in the list of shapes) with nothing new but their content.
    Parts {
        /// In pixels; no two of them overlap, nor do they overlap the pictures.
        areas: Vec<Rect>,
        /// Ascending; the pictures do not overlap.
        copies: Vec<usize>,
    },
}

/// The difference between two frames of a window of `size` pixels. `redrawn` names textures whose content is new.
pub(super) fn damage(
    old: &[PlacedShape],
    new: &[PlacedShape],
    redrawn: &HashSet<TextureId>,
    size: [u32; 2],
) -> Damage {
    let mut areas = Areas::default();
    let mut copies = Vec::new();
    for (index, shape) in new.iter().enumerate() {
        match shape.copied {
            Some((_, texture)) if redrawn.contains(&texture) => copies.push(index),
            None if uses(&shape.clipped.shape, redrawn) => areas.add(shape.area),
            _ => {}
        }
    }
    let keys = |shapes: &[PlacedShape]| shapes.iter().map(|shape| shape.key).collect::<Vec<_>>();
    let deadline = Some(Instant::now() + LONGEST);
    let steps =
        similar::capture_diff_slices_deadline(Algorithm::Myers, &keys(old), &keys(new), deadline);
    for step in steps {
        let (before, after) = (step.old_range(), step.new_range());
        let (before, after) = (&old[before], &new[after]);
        if matches!(step, DiffOp::Equal { .. }) {
            let pairs = before.iter().zip(after);
            for (a, b) in pairs.filter(|(a, b)| !is_same(&a.clipped, &b.clipped)) {
                areas.add(a.area);
                areas.add(b.area);
            }
        } else {
            before.iter().chain(after).for_each(|shape| areas.add(shape.area));
        }
    }
    let pictures: Vec<_> =
        copies.iter().filter_map(|index| Some(new.get(*index)?.copied?.0)).collect();
    let overlap = |(at, a): (usize, &Rect)| pictures[at + 1..].iter().any(|b| overlaps(*a, *b));
    if pictures.iter().enumerate().any(overlap) {
        pictures.iter().for_each(|picture| areas.add(*picture));
        return areas.finish(size, Vec::new(), &[]);
    }
    areas.finish(size, copies, &pictures)
}

/// Rectangles that are collected.
#[derive(Default)]
struct Areas(Vec<Rect>);

impl Areas {
    /// Adds a rectangle; merges it with another one where the union is not larger than the two.
    fn add(&mut self, mut area: Rect) {
        if !area.is_positive() {
            return;
        }
        // A merged rectangle may reach another one.
        while let Some(at) = self.0.iter().position(|other| waste(*other, area) <= 0.0) {
            area |= self.0.swap_remove(at);
        }
        self.0.push(area);
    }

    /// Rectangles that overlap neither each other nor the pictures that are copied.
    fn finish(
        mut self,
        [width, height]: [u32; 2],
        copies: Vec<usize>,
        pictures: &[Rect],
    ) -> Damage {
        while self.0.len() > MOST_AREAS {
            let mut best = (f32::INFINITY, 0, 1);
            for (i, a) in self.0.iter().enumerate() {
                for (j, b) in self.0.iter().enumerate().skip(i + 1) {
                    let cost = waste(*a, *b);
                    if cost < best.0 {
                        best = (cost, i, j);
                    }
                }
            }
            let second = self.0.swap_remove(best.2);
            let first = self.0.swap_remove(best.1);
            self.add(first.union(second));
        }
        let mut areas: Vec<Rect> = Vec::new();
        for area in self.0 {
            let taken = pictures.iter().chain(&areas);
            let rest = taken.fold(vec![area], |rest, hole| {
                rest.into_iter().flat_map(|part| outside(part, *hole)).collect()
            });
            areas.extend(rest);
        }
        let covered: f32 = areas.iter().map(Rect::area).sum();
        match covered <= MOST_SHARE * width as f32 * height as f32 {
            true => Damage::Parts { areas, copies },
            false => Damage::Everything,
        }
    }
}

/// Pixels that are painted in excess if two rectangles become one.
fn waste(a: Rect, b: Rect) -> f32 {
    a.union(b).area() - a.area() - b.area()
}

/// The parts of a rectangle above, left, right and below of a hole.
fn outside(area: Rect, hole: Rect) -> Vec<Rect> {
    let hole = area.intersect(hole);
    if !hole.is_positive() {
        return vec![area];
    }
    let parts = [
        Rect::from_min_max(area.min, pos2(area.max.x, hole.min.y)),
        Rect::from_min_max(pos2(area.min.x, hole.min.y), pos2(hole.min.x, hole.max.y)),
        Rect::from_min_max(pos2(hole.max.x, hole.min.y), pos2(area.max.x, hole.max.y)),
        Rect::from_min_max(pos2(area.min.x, hole.max.y), area.max),
    ];
    parts.into_iter().filter(Rect::is_positive).collect()
}

fn overlaps(a: Rect, b: Rect) -> bool {
    a.intersect(b).is_positive()
}

/// The largest distance from a corner of a path to the corner of its outline, for an outline at a distance of 1: epaint
/// joins edges by miters without a limit.
fn miter(points: &[Pos2], closed: bool) -> f32 {
    let count = points.len();
    let edge = |from: usize| (points[(from + 1) % count] - points[from]).normalized();
    let corners = if closed { 0..count } else { 1..count.saturating_sub(1) };
    let longest = corners
        .map(|corner| (edge((corner + count - 1) % count), edge(corner)))
        .filter(|(before, after)| before.length_sq() > 0.0 && after.length_sq() > 0.0)
        .map(|(before, after)| 2.0 / (before + after).length().max(1e-6))
        .fold(1.0, f32::max);
    longest.min(FARTHEST)
}

/// The pixels that a shape can touch.
fn touched(clipped: &ClippedShape, scale: f32, [width, height]: [u32; 2]) -> Rect {
    let shape = &clipped.shape;
    let bounds = clipped.transform_after_tessellation * shape.visual_bounding_rect();
    // Corners of a path reach farther than half the stroke and the smoothed edge.
    let corners = match shape {
        Shape::Path(path) => {
            (path.stroke.width * scale / 2.0 + 0.5) * miter(&path.points, path.closed)
        }
        _ => 0.0,
    };
    let pixels = |rect: Rect, margin: f32| {
        let min = rect.min * scale - egui::Vec2::splat(margin);
        let max = rect.max * scale + egui::Vec2::splat(margin);
        let (width, height) = (width as f32, height as f32);
        let side =
            |value: f32, most: f32| if value.is_nan() { 0.0 } else { value.clamp(0.0, most) };
        Rect::from_min_max(
            pos2(side(min.x.floor(), width), side(min.y.floor(), height)),
            pos2(side(max.x.ceil(), width), side(max.y.ceil(), height)),
        )
    };
    if bounds.is_negative() {
        return Rect::NOTHING;
    }
    pixels(bounds, MARGIN + corners).intersect(pixels(clipped.clip_rect, 1.0))
}

/// The pixels of a picture that can be copied from its texture: all of it, unscaled, on whole pixels, inside its clip
/// rectangle and the window.
fn copied(
    clipped: &ClippedShape,
    scale: f32,
    [width, height]: [u32; 2],
    opaque: &HashMap<TextureId, [u32; 2]>,
) -> Option<(Rect, TextureId)> {
    let Shape::Mesh(mesh) = &clipped.shape else { return None };
    let size = opaque.get(&mesh.texture_id)?;
    let is_plain = mesh.vertices.len() == 4
        && mesh.vertices.iter().all(|vertex| vertex.color == Color32::WHITE)
        && clipped.transform_after_tessellation == TSTransform::IDENTITY;
    let texels =
        Rect::from_points(&mesh.vertices.iter().map(|vertex| vertex.uv).collect::<Vec<_>>());
    let bounds = mesh.calc_bounds();
    let exact = Rect::from_min_max(bounds.min * scale, bounds.max * scale);
    let area = Rect::from_min_max(exact.min.round(), exact.max.round());
    let is_aligned = (exact.min - area.min).abs().max_elem() < ALIGNED
        && (exact.max - area.max).abs().max_elem() < ALIGNED;
    let window = Rect::from_min_max(Pos2::ZERO, pos2(width as f32, height as f32));
    // The painter rounds clip rectangles to pixels, too.
    let clip = clipped.clip_rect;
    let clip = Rect::from_min_max((clip.min * scale).round(), (clip.max * scale).round());
    let fits = area.size() == vec2(size[0] as f32, size[1] as f32)
        && window.contains_rect(area)
        && clip.contains_rect(area);
    let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
    (is_plain && texels == whole && is_aligned && fits).then_some((area, mesh.texture_id))
}

/// Whether a shape shows one of these textures.
fn uses(shape: &Shape, textures: &HashSet<TextureId>) -> bool {
    match shape {
        Shape::Vec(shapes) => shapes.iter().any(|shape| uses(shape, textures)),
        Shape::Mesh(_) | Shape::Rect(_) => textures.contains(&shape.texture_id()),
        _ => false,
    }
}

/// Whether two shapes are drawn alike.
fn is_same(a: &ClippedShape, b: &ClippedShape) -> bool {
    // egui keeps the layout of an unchanged text: comparing glyph by glyph is the exception.
    if let (Shape::Text(first), Shape::Text(second)) = (&a.shape, &b.shape)
        && Arc::ptr_eq(&first.galley, &second.galley)
    {
        let TextShape {
            pos,
            galley: _,
            underline,
            fallback_color,
            override_text_color,
            opacity_factor,
            angle,
        } = first;
        return a.clip_rect == b.clip_rect
            && a.transform_after_tessellation == b.transform_after_tessellation
            && *pos == second.pos
            && *underline == second.underline
            && *fallback_color == second.fallback_color
            && *override_text_color == second.override_text_color
            && *opacity_factor == second.opacity_factor
            && *angle == second.angle;
    }
    a == b
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    const SIZE: [u32; 2] = [400, 300];
    /// A texture of 100 × 50 pixels.
    const OPAQUE: TextureId = TextureId::User(7);

    fn square(x: f32, y: f32, color: Color32) -> PlacedShape {
        let rect = Rect::from_min_size(pos2(x, y), vec2(10.0, 10.0));
        clipped(Shape::rect_filled(rect, 0.0, color), Rect::EVERYTHING)
    }

    fn clipped(shape: Shape, clip_rect: Rect) -> PlacedShape {
        let clipped =
            ClippedShape { clip_rect, shape, transform_after_tessellation: TSTransform::IDENTITY };
        PlacedShape::new(clipped, 1.0, SIZE, &HashMap::from([(OPAQUE, [100, 50])]))
    }

    fn of(old: &[PlacedShape], new: &[PlacedShape]) -> Vec<Rect> {
        with(old, new, None).0
    }

    /// Rectangles and copied pictures, with a texture that has new content.
    fn with(
        old: &[PlacedShape],
        new: &[PlacedShape],
        redrawn: Option<TextureId>,
    ) -> (Vec<Rect>, Vec<usize>) {
        match damage(old, new, &redrawn.into_iter().collect(), SIZE) {
            Damage::Parts { areas, copies } => (areas, copies),
            Damage::Everything => panic!("everything is painted"),
        }
    }

    fn covers(areas: &[Rect], x: f32, y: f32) -> bool {
        areas.iter().any(|area| area.contains(pos2(x, y)))
    }

    #[test]
    fn equal_frames_have_no_damage() {
        let frame = || [square(10.0, 10.0, Color32::RED), square(50.0, 50.0, Color32::BLUE)];
        assert!(of(&frame(), &frame()).is_empty());
    }

    #[test]
    fn a_new_a_lost_a_moved_and_a_recoloured_shape_damage_their_places_only() {
        let red = || square(10.0, 10.0, Color32::RED);
        let old = [red(), square(100.0, 10.0, Color32::BLUE), square(200.0, 10.0, Color32::BLUE)];
        let new = [red(), square(100.0, 10.0, Color32::GREEN), square(200.0, 200.0, Color32::BLUE)];
        let areas = of(&old, &new);
        assert!(covers(&areas, 105.0, 15.0) && covers(&areas, 205.0, 15.0));
        assert!(covers(&areas, 205.0, 205.0) && !covers(&areas, 15.0, 15.0));
        assert!(!covers(&areas, 300.0, 100.0), "{areas:?}");
    }

    #[test]
    fn shapes_that_change_their_order_damage_what_they_cover() {
        let (a, b) = (|| square(10.0, 10.0, Color32::RED), || square(15.0, 15.0, Color32::BLUE));
        let areas = of(&[a(), b()], &[b(), a()]);
        assert!(covers(&areas, 17.0, 17.0), "{areas:?}");
    }

    fn picture(texture: TextureId, place: Rect, clip: Rect) -> PlacedShape {
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        clipped(Shape::image(texture, place, uv, Color32::WHITE), clip)
    }

    #[test]
    fn a_texture_with_new_content_damages_the_shapes_that_show_it() {
        let texture = TextureId::User(3);
        let place = Rect::from_min_size(pos2(20.0, 30.0), vec2(100.0, 50.0));
        let shown =
            || [square(200.0, 200.0, Color32::RED), picture(texture, place, Rect::EVERYTHING)];
        let (areas, copies) = with(&shown(), &shown(), Some(texture));
        assert!(covers(&areas, 21.0, 31.0) && covers(&areas, 119.0, 79.0));
        assert!(!covers(&areas, 205.0, 205.0) && copies.is_empty());
        assert!(of(&shown(), &shown()).is_empty());
    }

    #[test]
    fn an_opaque_picture_on_whole_pixels_is_copied() {
        let place = Rect::from_min_size(pos2(20.0, 30.0), vec2(100.0, 50.0));
        let everywhere = Rect::EVERYTHING;
        let shown = || [square(200.0, 200.0, Color32::RED), picture(OPAQUE, place, everywhere)];
        assert_eq!(with(&shown(), &shown(), Some(OPAQUE)), (Vec::new(), vec![1]));
        let scaled = Rect::from_min_size(place.min, vec2(90.0, 50.0));
        for (place, clip) in [
            (place.translate(vec2(0.5, 0.0)), everywhere),
            (place.translate(vec2(300.0, 0.0)), everywhere),
            (scaled, everywhere),
            (place, place.translate(vec2(1.0, 0.0))),
        ] {
            let shown = || [picture(OPAQUE, place, clip)];
            let (areas, copies) = with(&shown(), &shown(), Some(OPAQUE));
            assert!(copies.is_empty() && !areas.is_empty(), "{place:?} in {clip:?}");
        }
    }

    #[test]
    fn rectangles_overlap_neither_each_other_nor_copied_pictures() {
        let place = Rect::from_min_size(pos2(20.0, 30.0), vec2(100.0, 50.0));
        let frame = |x: f32, color| {
            let mut shapes = vec![picture(OPAQUE, place, Rect::EVERYTHING)];
            let at = [(x, 40.0), (x + 6.0, 45.0), (110.0, 70.0), (15.0, 25.0), (300.0, 200.0)];
            shapes.extend(at.map(|(x, y)| square(x, y, color)));
            shapes
        };
        let (old, new) = (frame(60.0, Color32::RED), frame(64.0, Color32::BLUE));
        let (areas, copies) = with(&old, &new, Some(OPAQUE));
        assert_eq!(copies, [0]);
        let all: Vec<_> = areas.iter().chain([&place]).collect();
        for (at, a) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|b| !overlaps(**a, **b)), "{all:?}");
        }
        for (x, y) in [(122.0, 75.0), (16.0, 26.0), (305.0, 205.0)] {
            assert!(covers(&areas, x, y), "{x}, {y} in {areas:?}");
        }
        // Without new content of the picture, its own pixels are painted where they changed.
        assert!(covers(&of(&old, &new), 69.0, 45.0));
    }

    #[test]
    fn clipped_shapes_and_shapes_outside_the_window_touch_only_pixels_of_it() {
        let far = Rect::from_min_max(pos2(-1e9, -1e9), pos2(1e9, 20.0));
        let clip = Rect::from_min_max(pos2(0.0, 0.0), pos2(50.0, 50.0));
        let shape = clipped(Shape::rect_filled(far, 0.0, Color32::RED), clip);
        assert_eq!(shape.area, Rect::from_min_max(pos2(0.0, 0.0), pos2(51.0, 23.0)));
        let outside = clipped(Shape::rect_filled(far, 0.0, Color32::RED), Rect::NOTHING);
        assert!(!outside.area.is_positive());
        let nothing = clipped(Shape::Noop, Rect::EVERYTHING);
        assert!(!nothing.area.is_positive());
    }

    #[test]
    fn the_long_corners_of_a_thin_shape_are_within_its_area() {
        let ctx = egui::Context::default();
        let _ = ctx.run_ui(egui::RawInput::default(), |_| ());
        let points =
            |width: f32| vec![pos2(30.0, 90.0), pos2(30.0 + width, 60.0), pos2(30.0 + width, 90.0)];
        for width in [20.0, 2.0, 0.5, 0.06, 0.003] {
            for stroke in [0.0, 1.5] {
                let stroke = egui::Stroke::new(stroke, Color32::WHITE);
                let shape = Shape::convex_polygon(points(width), Color32::RED, stroke);
                let shape = clipped(shape, Rect::EVERYTHING);
                let primitives = ctx.tessellate(vec![shape.clipped.clone()], 1.0);
                for primitive in primitives {
                    let egui::epaint::Primitive::Mesh(mesh) = primitive.primitive else { continue };
                    let window = Rect::from_min_size(pos2(0.0, 0.0), vec2(400.0, 300.0));
                    let inside = mesh.vertices.iter().filter(|vertex| window.contains(vertex.pos));
                    for vertex in inside {
                        assert!(shape.area.contains(vertex.pos), "{width}: {:?}", vertex.pos);
                    }
                }
            }
        }
    }

    #[test]
    fn many_small_changes_become_few_rectangles_and_a_changed_window_none() {
        let frame = |color| {
            (0..30)
                .map(|i| square((i * 13) as f32, ((i * 97) % 120) as f32, color))
                .collect::<Vec<_>>()
        };
        let areas = of(&frame(Color32::RED), &frame(Color32::BLUE));
        assert!(areas.len() <= 2 * MOST_AREAS, "{areas:?}");
        for i in 0..30 {
            assert!(covers(&areas, (i * 13) as f32 + 5.0, ((i * 97) % 120) as f32 + 5.0));
        }
        let whole = Rect::from_min_size(pos2(0.0, 0.0), vec2(400.0, 300.0));
        let filled = |color| [clipped(Shape::rect_filled(whole, 0.0, color), Rect::EVERYTHING)];
        let all = damage(&filled(Color32::RED), &filled(Color32::BLUE), &HashSet::new(), SIZE);
        assert_eq!(all, Damage::Everything);
    }

    #[test]
    fn a_part_with_nothing_but_the_smoothed_edge_of_a_line_has_its_triangles() {
        let line = Shape::hline(10.0..=60.0, 9.9, egui::Stroke::new(2.0, Color32::RED));
        let clipped = ClippedShape {
            clip_rect: Rect::EVERYTHING,
            shape: line,
            transform_after_tessellation: TSTransform::IDENTITY,
        };
        let shape = PlacedShape::new(clipped, 1.0, SIZE, &HashMap::new());
        // The line ends at 10.9, its smoothed edge at 11.4.
        let below = Rect::from_min_max(pos2(0.0, 11.0), pos2(400.0, 20.0));
        let ctx = egui::Context::default();
        let _ = ctx.run_ui(egui::RawInput::default(), |_| {});
        let triangles = ctx.tessellate(vec![shape.within(below, 1.0).unwrap()], 1.0);
        let lowest = triangles.iter().filter_map(|triangles| match &triangles.primitive {
            egui::epaint::Primitive::Mesh(mesh) => Some(mesh.calc_bounds().max.y),
            egui::epaint::Primitive::Callback(_) => None,
        });
        assert!(lowest.fold(0.0, f32::max) > below.min.y);
    }

    #[test]
    fn a_part_of_a_shape_is_clipped_near_the_part() {
        let rect = Rect::from_min_size(pos2(10.0, 10.0), vec2(50.0, 50.0));
        let scale = 1.25;
        let clipped = ClippedShape {
            clip_rect: Rect::EVERYTHING,
            shape: Shape::rect_filled(rect, 0.0, Color32::RED),
            transform_after_tessellation: TSTransform::IDENTITY,
        };
        let shape = PlacedShape::new(clipped, scale, SIZE, &HashMap::new());
        let area = Rect::from_min_max(pos2(17.0, 19.0), pos2(33.0, 31.0));
        let part = shape.within(area, scale).unwrap();
        let pixels = part.clip_rect * scale;
        let near = area.expand(MARGIN);
        for (is, wanted) in [(pixels.min, near.min), (pixels.max, near.max)] {
            assert_eq!((is.x.round(), is.y.round()), (wanted.x, wanted.y));
        }
        assert!(
            shape.within(Rect::from_min_max(pos2(200.0, 0.0), pos2(300.0, 9.0)), scale).is_none()
        );
    }
}
