//! Marked objects on the stage: their outlines and names, at every place where their picture is drawn.

use super::Scene;
use super::context::linear_color;
use super::passes::lines;
use super::places::places;
use crate::analysis::density::Frame as PictureFrame;
use crate::analysis::outline::{region_bounds, segments};
use crate::trace::{Affine, TraceMeta};
use crate::view::MarkedObject;
use crate::view::figure::{
    Align, CAP_HEIGHT, Figure, Fill, Ink, Label, PixelRect, TextRun, fitted, text_width,
};

/// Type size of a name, in design units.
const NAME: f32 = 15.0;
const PADDING: f32 = 4.0;

/// An object at one place of the target.
struct Placed<'a> {
    object: &'a MarkedObject,
    is_chosen: bool,
    /// From pixels of the original to pixels of the target.
    target_from_original: Affine,
}

/// The objects at all places where their picture is drawn.
fn placed<'a>(scene: &Scene<'a>, figure: &Figure) -> Vec<Placed<'a>> {
    let state = scene.state;
    if state.objects.is_empty() || !state.view.spec().over_picture {
        return Vec::new();
    }
    let shown = scene.shown();
    let mut found = Vec::new();
    for place in places(scene, figure) {
        let Some(grid) = shown.grids.get(place.grid) else { continue };
        let Some(map) = on_target(scene.trace.meta(), grid.frame, &place.rect) else { continue };
        for (index, object) in (0_u32..).zip(&state.objects) {
            if object.picture == grid.picture {
                let is_chosen = state.object == Some(index);
                found.push(Placed { object, is_chosen, target_from_original: map });
            }
        }
    }
    // The chosen one is drawn over the others.
    found.sort_by_key(|placed| placed.is_chosen);
    found
}

/// From pixels of the original to the rectangle on which its frame is drawn.
fn on_target(meta: &TraceMeta, frame: PictureFrame, rect: &PixelRect) -> Option<Affine> {
    let [width, height] = frame.size(meta);
    let scale = [f64::from(rect.width) / width, f64::from(rect.height) / height];
    let offset = [f64::from(rect.x), f64::from(rect.y)];
    let target_from_frame = Affine::scale_offset(scale, offset);
    Some(target_from_frame.after(&frame.from_original(meta)?))
}

/// The outlines of the objects, all casings first.
pub(super) fn outlines(scene: &Scene<'_>, figure: &Figure) -> Vec<lines::Instance> {
    let palette = scene.state.theme.palette();
    let (mut casings, mut inner) = (Vec::new(), Vec::new());
    for placed in placed(scene, figure) {
        let color = if placed.is_chosen { palette.accent } else { palette.hover };
        for ends in segments(&placed.object.parts) {
            let [from, to] = ends.map(|end| placed.target_from_original.apply(end));
            let ends = [from[0], from[1], to[0], to[1]].map(|edge| edge as f32);
            let line = |(width, color): (f32, [u8; 3])| lines::Instance {
                ends,
                color: linear_color(color, 1.0),
                half_width: width / 2.0,
            };
            let [casing, own] = palette.outline(color, figure.scale).map(line);
            casings.push(casing);
            inner.push(own);
        }
    }
    casings.extend(inner);
    casings
}

/// Adds the names of the objects to a figure: above their upper left corner, on the stage.
pub(super) fn add_names(scene: &Scene<'_>, figure: &mut Figure) {
    // In small tiles, names would hide the picture.
    if scene.state.view.spec().has_tiles() {
        return;
    }
    let s = figure.scale;
    for placed in placed(scene, figure) {
        let Some(around) = region_bounds(&placed.object.parts) else { continue };
        let around = placed.target_from_original.apply_rect(around);
        let (x, y) = (around.x as f32, around.y as f32);
        let stage = figure.visible();
        let size_px = NAME * s;
        let room = (stage.width - 2.0 * PADDING * s) / size_px;
        let name = fitted(&placed.object.name, true, room);
        let width = text_width(&name, true) * size_px + 2.0 * PADDING * s;
        let height = size_px + 2.0 * PADDING * s;
        let is_seen = x < stage.right()
            && x + around.width as f32 > stage.x
            && y < stage.bottom()
            && y + around.height as f32 > stage.y;
        if !is_seen || name.is_empty() {
            continue;
        }
        let plate = PixelRect {
            x: x.min(stage.right() - width).max(stage.x),
            y: (y - height - 2.0 * s).max(stage.y),
            width,
            height,
        };
        figure.fills.push(Fill { rect: plate, ink: Ink::Background, alpha: 0.85 });
        figure.labels.push(Label {
            runs: vec![TextRun::strong(name)],
            baseline: [
                plate.x + PADDING * s,
                plate.y + plate.height / 2.0 + CAP_HEIGHT * size_px / 2.0,
            ],
            align: Align::Start,
            size_px,
            ink: if placed.is_chosen { Ink::Accent } else { Ink::Text },
            emphasis: None,
        });
    }
}
