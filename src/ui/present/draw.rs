//! Drawing the two windows of a presentation.

use super::playback::{POINTER_SECONDS, Playback, PlaybackCommand, command_of, explored_by};
use super::presentation::PresenterCommand;
use super::{controls, presenter};
use crate::ui::theme;
use crate::view::figure::PixelRect;
use crate::view::timeline::Timeline;
use crate::view::{Command, Theme};
use egui::{Color32, Pos2, Rect, Stroke, StrokeKind, Ui, pos2, vec2};
use std::time::Duration;

/// Radius of the spotlight in shares of the smaller side.
const SPOTLIGHT: f32 = 0.16;
const SPOTLIGHT_DARK: f32 = 0.78;

/// The two windows of a presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The window that the audience sees.
    Stage,
    /// The window that the presenter sees.
    Presenter,
}

/// Draws one of the windows of `pixels` at `now`: seconds since the presentation began, the same
/// clock for both.
pub fn draw(playback: &mut Playback, view: View, ui: &mut Ui, pixels: [u32; 2], now: f64) {
    for asked in commands(ui, playback.explored().is_some()) {
        match asked {
            Asked::Playback(ask) => playback.ask(ask, now),
            Asked::Look(command) => playback.explore(&command),
        }
    }
    playback.tick(now);
    match view {
        View::Stage => stage(playback, ui, pixels, now),
        View::Presenter => presenter::show(playback, ui, now),
    }
    let timeline = Timeline::new(&playback.walkthrough);
    if let Some(rest) = playback.presentation().rests_secs(&timeline, now) {
        ui.ctx().request_repaint_after(Duration::from_secs_f64(rest));
    }
}

fn stage(playback: &mut Playback, ui: &mut Ui, pixels: [u32; 2], now: f64) {
    let whole = ui.ctx().content_rect();
    let painter = ui.ctx().layer_painter(egui::LayerId::background());
    painter.rect_filled(whole, 0.0, Color32::BLACK);
    let here = ui.input(|input| input.pointer.latest_pos());
    // A window that opened under the pointer and was then moved reports the old position, which may lie outside.
    let here = here.filter(|&at| whole.contains(at));
    let hides = playback.pointer_at(here, now) + POINTER_SECONDS - now;
    if hides > 0.0 {
        ui.ctx().request_repaint_after(Duration::from_secs_f64(hides));
    }
    if playback.presentation().is_blank {
        return;
    }
    // The controls stand below the picture, not on it.
    let strip = playback.explored().map_or(0.0, |state| controls::height(state, whole));
    let share = 1.0 - strip / whole.height().max(1.0);
    let pixels = [pixels[0], (pixels[1] as f32 * share).round() as u32];
    if let Some(texture) = playback.paint(pixels, now) {
        let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        let place = Rect::from_min_max(whole.min, pos2(whole.right(), whole.bottom() - strip));
        painter.image(texture, place, uv, Color32::WHITE);
        // On a slide, the loupe belongs to the pointer and is hidden with it.
        let here = here.filter(|_| playback.explored().is_some() || playback.shows_pointer(now));
        loupe(playback, &painter, place, here, pixels);
    }
    if playback.presentation().has_spotlight
        && let Some(at) = here
    {
        painter.add(spotlight(whole, at));
    }
    if playback.explored().is_some() {
        controls::show(playback, ui, whole, now);
    }
}

/// A head of the wall, enlarged beside its cell: the one under the pointer, or, while the wall is explored, the chosen
/// one.
fn loupe(
    playback: &mut Playback,
    painter: &egui::Painter,
    place: Rect,
    here: Option<Pos2>,
    pixels: [u32; 2],
) {
    /// Height of the loupe in shares of the smaller side.
    const SIDE: f32 = 0.34;
    /// Height of a large cell in shares of the loupe.
    const LARGE_CELL: f32 = 0.25;
    let scale = pixels[0] as f32 / place.width().max(1.0);
    let point = here.filter(|at| place.contains(*at)).map(|at| (at - place.min) * scale);
    let Some(head) = playback.head_at(point.map(|point| [point.x, point.y])) else { return };
    let side = place.width().min(place.height()) * SIDE;
    // Cells that are large enough to be read need none.
    let is_small = |cell: &PixelRect| cell.height < LARGE_CELL * side * scale;
    let Some(cell) = playback.cell_of(head).filter(is_small) else { return };
    let Some((texture, aspect, name)) = playback.magnified(head, (side * scale).round() as u32)
    else {
        return;
    };
    let ink = theme::ink(Theme::Dark);
    let on_screen = |x: f32, y: f32| place.min + vec2(x, y) / scale;
    let cell =
        Rect::from_min_max(on_screen(cell.x, cell.y), on_screen(cell.right(), cell.bottom()));
    let galley = painter.layout_no_wrap(name, theme::strong(side * 0.1), ink.text);
    let size =
        vec2((side * aspect).max(galley.size().x), side + galley.size().y) + vec2(16.0, 20.0);
    // Beside the cell, on the side with more room.
    let left = if cell.center().x < place.center().x {
        cell.right() + 12.0
    } else {
        cell.left() - 12.0 - size.x
    };
    // The caption below the wall stays free.
    let bottom = playback.wall_bottom().map_or(place.bottom(), |y| on_screen(0.0, y).y);
    let top =
        (cell.center().y - size.y / 2.0).clamp(place.top(), (bottom - size.y).max(place.top()));
    let left = left.clamp(place.left(), (place.right() - size.x).max(place.left()));
    let frame = Rect::from_min_size(pos2(left, top), size);
    painter.rect_filled(frame, 6.0, ink.panel);
    painter.rect_stroke(frame, 6.0, Stroke::new(2.0, ink.accent), StrokeKind::Outside);
    painter.rect_stroke(cell, 0.0, Stroke::new(2.0, ink.accent), StrokeKind::Outside);
    let map = Rect::from_min_size(frame.min + vec2(8.0, 8.0), vec2(side * aspect, side));
    let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
    painter.image(texture, map, uv, Color32::WHITE);
    painter.galley(pos2(map.left(), map.bottom() + 4.0), galley, ink.text);
}

/// The action of a key.
enum Asked {
    Playback(PlaybackCommand),
    /// A change of the explored view.
    Look(Command),
}

/// Commands of the keys of a frame. Clickers send page keys, F5, B or a full stop.
fn commands(ui: &Ui, explores: bool) -> Vec<Asked> {
    ui.input(|input| {
        let pressed = input.events.iter().filter_map(|event| match event {
            egui::Event::Key { key, pressed: true, modifiers, repeat, .. }
                if modifiers.is_none() =>
            {
                Some((*key, *repeat))
            }
            _ => None,
        });
        let asked = pressed.filter_map(|(key, repeat)| {
            let look = explored_by(key).filter(|_| explores);
            let asked = look.map(Asked::Look).or_else(|| command_of(key).map(Asked::Playback));
            Some((asked?, repeat))
        });
        // A held key must not leave twice (Escape) or flicker (B).
        let may_repeat = |asked: &Asked| {
            matches!(
                asked,
                Asked::Look(_)
                    | Asked::Playback(PlaybackCommand::Present(
                        PresenterCommand::Next | PresenterCommand::Previous
                    ))
            )
        };
        asked.filter(|(ask, repeat)| !repeat || may_repeat(ask)).map(|(ask, _)| ask).collect()
    })
}

/// Everything but a disc around the pointer is darkened, with a soft edge.
fn spotlight(whole: Rect, at: Pos2) -> egui::Shape {
    const SEGMENTS: u32 = 96;
    let radius = whole.width().min(whole.height()) * SPOTLIGHT;
    let far = whole.width() + whole.height();
    let dark = Color32::from_black_alpha((SPOTLIGHT_DARK * 255.0) as u8);
    let rings = [(radius, Color32::TRANSPARENT), (radius * 1.12, dark), (far, dark)];
    let mut mesh = egui::Mesh::default();
    for segment in 0..=SEGMENTS {
        let angle = std::f32::consts::TAU * segment as f32 / SEGMENTS as f32;
        for (radius, color) in rings {
            mesh.colored_vertex(at + radius * egui::Vec2::angled(angle), color);
        }
    }
    for segment in 0..SEGMENTS {
        for ring in 0..2 {
            let a = segment * 3 + ring;
            mesh.add_triangle(a, a + 1, a + 3);
            mesh.add_triangle(a + 1, a + 4, a + 3);
        }
    }
    egui::Shape::mesh(mesh)
}
