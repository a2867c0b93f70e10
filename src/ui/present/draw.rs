//! Drawing the two windows of a presentation.

use super::playback::{POINTER_SECONDS, Playback, PlaybackCommand, command_of};
use super::presentation::PresenterCommand;
use super::{controls, presenter};
use crate::view::timeline::Timeline;
use egui::{Color32, Pos2, Rect, Ui, pos2};
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
    for ask in commands(ui) {
        playback.ask(ask, now);
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

/// Commands of the keys of a frame. Clickers send page keys, F5, B or a full stop.
fn commands(ui: &Ui) -> Vec<PlaybackCommand> {
    ui.input(|input| {
        let pressed = input.events.iter().filter_map(|event| match event {
            egui::Event::Key { key, pressed: true, modifiers, repeat, .. }
                if modifiers.is_none() =>
            {
                Some((*key, *repeat))
            }
            _ => None,
        });
        let asked = pressed.filter_map(|(key, repeat)| Some((command_of(key)?, repeat)));
        // A held key must not leave twice (Escape) or flicker (B).
        let may_repeat = |ask| {
            matches!(
                ask,
                PlaybackCommand::Present(PresenterCommand::Next | PresenterCommand::Previous)
            )
        };
        asked.filter(|(ask, repeat)| !repeat || may_repeat(*ask)).map(|(ask, _)| ask).collect()
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
