//! Play, speed, loop and the scrub bar.

use crate::ui::app::{App, Intent};
use crate::ui::commands::view::{film, film_command};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::transport::{Axis, SPEEDS};
use crate::ui::widgets::{Icon, icon_button, ink, text_in};
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Draws it in one line.
pub fn show(app: &mut App, ui: &mut Ui) {
    let (previous, next) = match app.transport.axis {
        Axis::Tokens => (UiCommand::PreviousToken, UiCommand::NextToken),
        Axis::Layers => (UiCommand::PreviousLayer, UiCommand::NextLayer),
        Axis::Heads => (UiCommand::PreviousHead, UiCommand::NextHead),
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if icon_button(ui, Icon::Previous, &previous.hint(), false).clicked() {
            app.act(previous);
        }
        let playing = app.transport.playing;
        let icon = if playing { Icon::Pause } else { Icon::Play };
        if icon_button(ui, icon, &UiCommand::Play.hint(), playing).clicked() {
            app.act(UiCommand::Play);
        }
        if icon_button(ui, Icon::Next, &next.hint(), false).clicked() {
            app.act(next);
        }
        if icon_button(ui, Icon::Loop, &UiCommand::ToggleLoop.hint(), app.transport.repeat)
            .clicked()
        {
            app.act(UiCommand::ToggleLoop);
        }
        ui.spacing_mut().item_spacing.x = 8.0;
        axis(app, ui);
        speed(app, ui);
        bar(app, ui);
    });
}

fn axis(app: &mut App, ui: &mut Ui) {
    egui::ComboBox::from_id_salt("film")
        .width(72.0)
        .selected_text(app.transport.axis.name())
        .show_ui(ui, |ui| {
            for axis in Axis::ALL {
                ui.selectable_value(&mut app.transport.axis, axis, axis.name());
            }
        })
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Play through"));
}

fn speed(app: &mut App, ui: &mut Ui) {
    egui::ComboBox::from_id_salt("speed")
        .width(56.0)
        .selected_text(format!("{} / s", app.transport.speed))
        .show_ui(ui, |ui| {
            for speed in SPEEDS {
                ui.selectable_value(&mut app.transport.speed, speed, format!("{speed} / s"));
            }
        })
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Speed"));
}

/// The scrub bar: one notch a step.
fn bar(app: &mut App, ui: &mut Ui) {
    let (at, len) = film(app);
    let ink = ink(ui);
    let width = (ui.available_width() - 72.0).max(40.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 28.0), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::slider(true, f64::from(at), "Scrub bar"));
    let track = Rect::from_center_size(rect.center(), vec2(rect.width() - 12.0, 4.0));
    ui.painter().rect_filled(track, 2.0, ink.hairline);
    let last = len.saturating_sub(1).max(1) as f32;
    let x = |index: f32| track.left() + index / last * track.width();
    if len > 1 && track.width() / last > 5.0 {
        for index in 0..len {
            let notch =
                Rect::from_center_size(pos2(x(index as f32), track.center().y), vec2(1.0, 8.0));
            ui.painter().rect_filled(notch, 0.0, ink.hairline);
        }
    }
    if len > 0 {
        let done = Rect::from_min_max(track.min, pos2(x(at as f32), track.bottom()));
        ui.painter().rect_filled(done, 2.0, ink.accent);
        let hot = response.hovered() || response.dragged() || response.has_focus();
        let radius = if hot { 7.0 } else { 6.0 };
        ui.painter().circle_filled(pos2(x(at as f32), track.center().y), radius, ink.accent);
    }
    if let Some(point) = response.interact_pointer_pos().filter(|_| len > 0) {
        let share = ((point.x - track.left()) / track.width().max(1.0)).clamp(0.0, 1.0);
        let to = (share * last).round() as u32;
        app.send(Intent::Scrub(film_command(app.transport.axis, to.min(len - 1))));
    }
    if response.drag_stopped() {
        app.send(Intent::Settle);
    }
    let (label, _) = ui.allocate_exact_size(vec2(60.0, 28.0), Sense::hover());
    let text = if len == 0 { String::new() } else { format!("{at} / {}", len - 1) };
    text_in(ui, label, Align2::LEFT_CENTER, &text, theme::plain(theme::SMALL), ink.muted);
}
