//! A few large controls over the stage: enough to answer a question from the audience.

use super::theatre::{Ask, Theatre};
use crate::ui::theme;
use crate::view::{AxisSet, Command, Theme, ViewKind, ViewState};
use egui::{Align2, Rect, RichText, Ui, vec2};

/// Height of a control in shares of the stage's smaller side: read and hit from two steps away.
const HEIGHT: f32 = 0.06;

/// Draws the controls; what they ask for is done at once.
pub fn show(theatre: &mut Theatre, ui: &Ui, whole: Rect, now: f64) {
    let Some(state) = theatre.explored().cloned() else { return };
    let height = whole.width().min(whole.height()) * HEIGHT;
    let ink = theme::ink(Theme::Dark);
    let mut commands = Vec::new();
    let mut is_over = false;
    egui::Area::new(egui::Id::unique("explore"))
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -0.4 * height))
        .show(ui.ctx(), |ui| {
            egui::Frame::new()
                .fill(ink.panel)
                .corner_radius(0.2 * height)
                .inner_margin(0.2 * height)
                .show(ui, |ui| {
                    ui.horizontal_wrapped(|ui| {
                        ui.spacing_mut().item_spacing = vec2(0.15 * height, 0.15 * height);
                        for (text, is_on, command) in offered(&state) {
                            if button(ui, &text, is_on, height) {
                                commands.push(command);
                            }
                        }
                        is_over = button(ui, "Return", false, height);
                    });
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
