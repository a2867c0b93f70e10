//! Play, speed, loop and the scrub bar.

use crate::ui::document::Document;
use crate::ui::intent::{Intent, TransportCommand};
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::transport::{PlayAxis, SPEEDS};
use crate::ui::widgets::{Icon, icon_button, ink, text_in};
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Draws the controls in one line.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui) {
    let (previous, next) = match cx.transport.axis {
        PlayAxis::Tokens => (UiCommand::PreviousToken, UiCommand::NextToken),
        PlayAxis::Layers => (UiCommand::PreviousLayer, UiCommand::NextLayer),
        PlayAxis::Heads => (UiCommand::PreviousHead, UiCommand::NextHead),
        PlayAxis::Frames => (UiCommand::PreviousFrame, UiCommand::NextFrame),
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if icon_button(ui, Icon::Previous, &previous.hint(), false).clicked() {
            cx.intents.act(previous);
        }
        let playing = cx.transport.playing;
        let icon = if playing { Icon::Pause } else { Icon::Play };
        if icon_button(ui, icon, &UiCommand::Play.hint(), playing).clicked() {
            cx.intents.act(UiCommand::Play);
        }
        if icon_button(ui, Icon::Next, &next.hint(), false).clicked() {
            cx.intents.act(next);
        }
        if icon_button(ui, Icon::Loop, &UiCommand::ToggleLoop.hint(), cx.transport.repeat).clicked()
        {
            cx.intents.act(UiCommand::ToggleLoop);
        }
        ui.spacing_mut().item_spacing.x = 8.0;
        axis(cx, ui);
        speed(cx, ui);
        bar(cx, ui);
    });
}

fn axis(cx: &PaneContext<'_>, ui: &mut Ui) {
    egui::ComboBox::from_id_salt("film")
        .width(72.0)
        .selected_text(cx.transport.axis.name())
        .show_ui(ui, |ui| {
            let several = |doc: &Document| doc.extent.picture_numbers().len() > 1;
            for axis in PlayAxis::ALL {
                if axis == PlayAxis::Frames && !cx.current.is_some_and(several) {
                    continue;
                }
                if ui.selectable_label(axis == cx.transport.axis, axis.name()).clicked() {
                    cx.intents.send(Intent::Transport(TransportCommand::Axis(axis)));
                }
            }
        })
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Play through"));
}

fn speed(cx: &PaneContext<'_>, ui: &mut Ui) {
    egui::ComboBox::from_id_salt("speed")
        .width(56.0)
        .selected_text(format!("{} / s", cx.transport.speed))
        .show_ui(ui, |ui| {
            for speed in SPEEDS {
                let on = speed == cx.transport.speed;
                if ui.selectable_label(on, format!("{speed} / s")).clicked() {
                    cx.intents.send(Intent::Transport(TransportCommand::Speed(speed)));
                }
            }
        })
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Speed"));
}

/// The scrub bar: one notch a step.
fn bar(cx: &PaneContext<'_>, ui: &mut Ui) {
    let axis = cx.transport.axis;
    let (at, len) = cx.current.map_or((0, 0), |doc| axis.position(doc));
    let ink = ink(ui);
    let width = (ui.available_width() - 108.0).max(40.0);
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
    if let Some((doc, point)) = cx.current.zip(response.interact_pointer_pos()).filter(|_| len > 0)
    {
        let share = ((point.x - track.left()) / track.width().max(1.0)).clamp(0.0, 1.0);
        let to = (share * last).round() as u32;
        cx.intents.send(Intent::Scrub(axis.command(doc, to.min(len - 1))));
    }
    if response.drag_stopped() {
        cx.intents.send(Intent::Settle);
    }
    let (label, _) = ui.allocate_exact_size(vec2(96.0, 28.0), Sense::hover());
    let text = cx.current.map_or_else(String::new, |doc| axis.place_text(doc));
    text_in(ui, label, Align2::LEFT_CENTER, &text, theme::plain(theme::SMALL), ink.muted);
}
