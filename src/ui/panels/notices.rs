//! Messages in the lower middle of the window: what was done, and what went wrong with what to do.

use crate::ui::app::{App, Intent, Notice};
use crate::ui::widgets::{Icon, icon_button, ink};
use egui::{Align2, Frame, Ui, vec2};

/// Draws them.
pub fn show(app: &mut App, ui: &Ui) {
    if app.notices.is_empty() {
        return;
    }
    let ink = ink(ui);
    let width = (ui.ctx().content_rect().width() - 32.0).min(560.0);
    let shown: Vec<Notice> = app.notices.iter().rev().take(3).rev().cloned().collect();
    egui::Area::new(egui::Id::unique("notices"))
        .order(egui::Order::Foreground)
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -24.0))
        .show(ui.ctx(), |ui| {
            for notice in shown {
                let color = if notice.is_error { ink.error } else { ink.hairline };
                Frame::popup(ui.style())
                    .fill(ink.panel)
                    .stroke(egui::Stroke::new(1.0, color))
                    .inner_margin(12)
                    .show(ui, |ui| {
                        ui.set_max_width(width);
                        one(app, ui, &notice);
                    });
            }
        });
}

fn one(app: &mut App, ui: &mut Ui, notice: &Notice) {
    ui.horizontal_top(|ui| {
        let room = ui.available_width() - if notice.is_error { 104.0 } else { 0.0 };
        ui.vertical(|ui| {
            ui.set_max_width(room);
            ui.add(egui::Label::new(&notice.text).wrap());
        });
        if notice.is_error {
            if ui.button("Copy").clicked() {
                app.send(Intent::Copy(notice.text.clone(), "Message"));
            }
            if icon_button(ui, Icon::Close, "Dismiss", false).clicked() {
                app.send(Intent::Dismiss(notice.id));
            }
        }
    });
}
