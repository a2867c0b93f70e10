//! A few large controls over the stage: enough to answer a question from the audience.

use super::theatre::{Ask, Theatre};
use crate::ui::theme;
use crate::view::{AxisSet, Command, Theme, ViewKind, ViewState};
use egui::{Rect, RichText, Ui, pos2, vec2};

/// Height of a control in shares of the stage's smaller side: read and hit from two steps away.
const HEIGHT: f32 = 0.055;
/// Width of a control with its gap in shares of its height, about.
const MEAN_WIDTH: f32 = 2.25;

/// Draws the controls; what they ask for is done at once.
pub fn show(theatre: &mut Theatre, ui: &mut Ui, whole: Rect, now: f64) {
    let Some(state) = theatre.explored().cloned() else { return };
    let height = whole.width().min(whole.height()) * HEIGHT;
    let ink = theme::ink(Theme::Dark);
    let offered = offered(&state);
    // Where they are must not depend on how wide they turned out: a hand is on its way to them.
    let rows = ((offered.len() + 1) as f32 * MEAN_WIDTH * height / whole.width()).ceil();
    let strip = (1.2 * rows + 0.4) * height;
    let strip = Rect::from_min_max(pos2(whole.left(), whole.bottom() - strip), whole.max);
    ui.painter().rect_filled(strip, 0.0, ink.panel);
    let mut commands = Vec::new();
    let mut is_over = false;
    let inside = strip.shrink(0.25 * height);
    ui.scope_builder(egui::UiBuilder::new().max_rect(inside), |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(0.15 * height, 0.15 * height);
            for (text, is_on, command) in offered {
                if button(ui, &text, is_on, height) {
                    commands.push(command);
                }
            }
            is_over = button(ui, "Return", false, height);
        });
    });
    for command in &commands {
        theatre.explore(command);
    }
    if is_over {
        theatre.ask(Ask::Explore, now);
    }
    if is_over || !commands.is_empty() {
        ui.ctx().request_repaint();
    }
}

fn button(ui: &mut Ui, text: &str, is_on: bool, height: f32) -> bool {
    let text = RichText::new(text).font(theme::plain(0.5 * height));
    ui.add(egui::Button::new(text).selected(is_on).min_size(vec2(height, height))).clicked()
}

/// What can be done: the label, whether it is so already, and the command.
fn offered(state: &ViewState) -> Vec<(String, bool, Command)> {
    let step = |text: &str, command| (text.to_owned(), false, command);
    let mut list = vec![
        step("‹ word", Command::StepQuery(-1)),
        step("word ›", Command::StepQuery(1)),
        step("‹ layer", Command::StepLayer(-1)),
        step("layer ›", Command::StepLayer(1)),
        ("all layers".into(), state.map.layers == AxisSet::MEAN, Command::SetLayers(AxisSet::MEAN)),
        step("‹ head", Command::StepHead(-1)),
        step("head ›", Command::StepHead(1)),
        ("all heads".into(), state.map.heads == AxisSet::MEAN, Command::SetHeads(AxisSet::MEAN)),
    ];
    for (text, view) in
        [("picture", ViewKind::Overlay), ("heads", ViewKind::Heads), ("wall", ViewKind::Wall)]
    {
        list.push((text.into(), state.view == view, Command::SetView(view)));
    }
    list
}
