//! The stage before the first answer: the picture, or instructions.

use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::widgets::{hairline, ink, muted, primary_button};
use egui::{Color32, Rect, Ui, pos2, vec2};

/// Draws the picture that is asked about, or instructions.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect) {
    let ink = ink(ui);
    if let Some((texture, size)) = cx.stage.picture() {
        let room = rect.shrink2(vec2(24.0, 56.0));
        let scale = (room.width() / size.x).min(room.height() / size.y);
        let shown = Rect::from_center_size(room.center(), size * scale);
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(texture, shown, uv, Color32::WHITE);
        let text = match &cx.chat.asking {
            Some(asking) => format!("{} …", asking.line(cx.chat.host())),
            None => "Ask something about this picture: press / and type.".into(),
        };
        let at = pos2(rect.center().x, rect.bottom() - 28.0);
        ui.painter().text(
            at,
            egui::Align2::CENTER_CENTER,
            text,
            theme::plain(theme::BODY),
            ink.muted,
        );
        return;
    }
    if let Some(asking) = &cx.chat.asking {
        let text = format!("{} …", asking.line(cx.chat.host()));
        ui.painter().text(
            rect.center(),
            egui::Align2::CENTER_CENTER,
            text,
            theme::plain(theme::LARGE),
            ink.muted,
        );
        return;
    }
    let centre =
        Rect::from_center_size(rect.center(), vec2((rect.width() - 48.0).min(520.0), 260.0));
    let layout = egui::Layout::top_down(egui::Align::Center);
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(centre).layout(layout));
    ui.label(theme::strong_text("Drop a picture, a trace or a table here", theme::DISPLAY));
    ui.add_space(8.0);
    muted(
        &mut ui,
        "A picture to ask about (PNG, JPEG, WebP, …), a .vlmtrace file or a folder of them, a table of many answers (.parquet), a walkthrough, or a model folder.",
    );
    ui.add_space(16.0);
    if primary_button(&mut ui, "Open…", true).clicked() {
        cx.intents.act(UiCommand::OpenFile);
    }
    if let Some(error) = cx.chat.error.clone() {
        ui.add_space(16.0);
        hairline(&mut ui);
        ui.label(egui::RichText::new(&error).color(ink.error));
        if ui.button("Copy").clicked() {
            cx.intents.send(Intent::Copy(error, "Message"));
        }
    }
}
