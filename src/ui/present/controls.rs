//! A few large controls over the stage: enough to answer a question from the audience.

use super::playback::{Playback, PlaybackCommand};
use crate::ui::theme;
use crate::view::{AxisSet, Command, Theme, ViewKind, ViewState};
use egui::{Rect, RichText, Ui, pos2, vec2};

/// Height of a control in shares of the stage's smaller side: read and hit from two steps away.
const HEIGHT: f32 = 0.055;
/// Mean width of a control with its gap, in shares of its height.
const MEAN_WIDTH: f32 = 2.4;

/// Height of a control.
fn control(whole: Rect) -> f32 {
    whole.width().min(whole.height()) * HEIGHT
}

/// Height of all rows of controls. It must not depend on the actual widths of the labels, so that controls do not
/// move away from the pointer.
pub fn height(state: &ViewState, whole: Rect) -> f32 {
    let height = control(whole);
    let count = offered(state).len() + 1;
    let rows = (count as f32 * MEAN_WIDTH * height / whole.width()).ceil();
    (1.2 * rows + 0.4) * height
}

/// Draws the controls; a click takes effect at once.
pub fn show(playback: &mut Playback, ui: &mut Ui, whole: Rect, now: f64) {
    let Some(state) = playback.explored().cloned() else { return };
    let ink = theme::ink(Theme::Dark);
    let offered = offered(&state);
    let (strip, height) = (height(&state, whole), control(whole));
    let strip = Rect::from_min_max(pos2(whole.left(), whole.bottom() - strip), whole.max);
    ui.painter().rect_filled(strip, 0.0, ink.panel);
    let mut commands = Vec::new();
    let mut is_over = false;
    let inside = strip.shrink(0.25 * height);
    ui.scope_builder(egui::UiBuilder::new().max_rect(inside), |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(0.15 * height, 0.15 * height);
            ui.spacing_mut().button_padding = vec2(0.18 * height, 0.05 * height);
            for (text, is_on, command) in offered {
                if button(ui, &text, is_on, height) {
                    commands.push(command);
                }
            }
            // Apart from the controls of the view.
            ui.add_space(0.5 * height);
            is_over = button(ui, "Return", false, height);
        });
    });
    for command in &commands {
        playback.explore(command);
    }
    if is_over {
        playback.ask(PlaybackCommand::Explore, now);
    }
    if is_over || !commands.is_empty() {
        ui.ctx().request_repaint();
    }
}

fn button(ui: &mut Ui, text: &str, is_on: bool, height: f32) -> bool {
    let text = RichText::new(text).font(theme::plain(0.5 * height));
    // Keys belong to the view: a focused button would take Space and the arrows.
    let button = egui::Button::new(text).selected(is_on).min_size(vec2(height, height));
    let response = ui.add(button);
    response.surrender_focus();
    response.clicked()
}

/// The offered commands: label, whether the view is in that state already, and the command.
fn offered(state: &ViewState) -> Vec<(String, bool, Command)> {
    let step = |text: &str, command| (text.to_owned(), false, command);
    let mut list = vec![
        step("← word", Command::StepQuery(-1)),
        step("word →", Command::StepQuery(1)),
        step("↑ layer", Command::StepLayer(-1)),
        step("layer ↓", Command::StepLayer(1)),
        ("all layers".into(), state.map.layers == AxisSet::MEAN, Command::SetLayers(AxisSet::MEAN)),
        step("[ head", Command::StepHead(-1)),
        step("head ]", Command::StepHead(1)),
        ("all heads".into(), state.map.heads == AxisSet::MEAN, Command::SetHeads(AxisSet::MEAN)),
    ];
    for (text, view) in
        [("picture", ViewKind::Overlay), ("heads", ViewKind::Heads), ("wall", ViewKind::Wall)]
    {
        list.push((text.into(), state.view == view, Command::SetView(view)));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::figure::annotations::STAGE_UNITS;
    use crate::view::figure::{CAP_HEIGHT, scale_of};

    #[test]
    fn words_above_the_controls_are_read_from_ten_metres_and_controls_from_two_steps_away() {
        for size in [[1280, 720], [1920, 1080], [3840, 2160], [7680, 4320], [1080, 1920]] {
            let [width, height_px] = size.map(|side| side as f32);
            let whole = Rect::from_min_size(pos2(0.0, 0.0), vec2(width, height_px));
            let strip = height(&ViewState::default(), whole);
            let above = [size[0], (height_px - strip) as u32];
            let capital = CAP_HEIGHT * STAGE_UNITS * scale_of(above, 1.0);
            let smaller = width.min(height_px);
            // 16 minutes of arc at ten metres on a screen of 1.2 metres; see the figure's dress.
            assert!(capital >= smaller / 26.0, "{size:?}: {capital}");
            assert!(control(whole) * 0.5 >= smaller / 40.0, "{size:?}");
            assert!(strip < height_px / 4.0, "{size:?}: {strip}");
        }
    }
}
