//! The frame around the panels: title bar, docked panels (or overlays on a narrow window), help,
//! palette, messages.

use super::{film, film_strip, help, notices, path_prompt, title};
use crate::ui::app::{App, NARROW, Overlay};
use crate::ui::layout::Pane;
use crate::ui::{palette, widgets};
use egui::{Frame, Margin, Rect, Ui, pos2, vec2};

const TITLE_HEIGHT: f32 = 44.0;
const NARROW_TOKENS: f32 = 116.0;

/// Draws everything.
pub fn show(app: &mut App, ui: &mut Ui) {
    let ink = widgets::ink(ui);
    egui::Panel::top("title")
        .exact_size(TITLE_HEIGHT)
        .frame(Frame::new().fill(ink.panel).inner_margin(Margin::symmetric(12, 6)))
        .show(ui, |ui| title::show(app, ui));
    if app.editor.is_some() {
        egui::Panel::bottom("film strip")
            .exact_size(film_strip::HEIGHT)
            .frame(Frame::new().fill(ink.panel).inner_margin(Margin::symmetric(12, 4)))
            .show(ui, |ui| film_strip::show(app, ui));
    }
    let narrow = ui.ctx().content_rect().width() < NARROW;
    app.is_narrow = narrow;
    // The lines between panels are the colour that the window was cleared with: a fill of the whole
    // window costs a software renderer a third of a frame.
    egui::CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
        ui.spacing_mut().item_spacing = egui::Vec2::ZERO;
        if narrow {
            narrow_panels(app, ui);
        } else {
            app.overlay = None;
            let mut layout = app.layout.take().unwrap_or_default();
            layout.show(app, ui);
            if ui.input(|input| input.pointer.any_released()) {
                app.settings.layout = layout.to_text();
            }
            // Resetting the layout puts another one in its place meanwhile.
            app.layout.get_or_insert(layout);
        }
    });
    if let Some(overlay) = app.overlay {
        show_overlay(app, ui, overlay);
    }
    drop_hint(ui);
    notices::show(app, ui);
    help::show(app, ui);
    film::show(app, ui);
    path_prompt::show(app, ui);
    palette::show(app, ui);
}

/// Files hang over the window: they may be dropped anywhere.
fn drop_hint(ui: &Ui) {
    if ui.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let ink = widgets::ink(ui);
    let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint"));
    let painter = ui.ctx().layer_painter(layer);
    let rect = ui.ctx().content_rect();
    painter.rect_filled(rect, 0.0, ink.stage.gamma_multiply(0.85));
    painter.rect_stroke(
        rect.shrink(16.0),
        8.0,
        egui::Stroke::new(2.0, ink.accent),
        egui::StrokeKind::Inside,
    );
    let font = crate::ui::theme::strong(crate::ui::theme::TITLE);
    let text = "Drop to open: a picture, a trace, a walkthrough or a model folder";
    painter.text(rect.center(), egui::Align2::CENTER_CENTER, text, font, ink.text);
}

/// A narrow window: the stage with the token strip below it.
fn narrow_panels(app: &mut App, ui: &mut Ui) {
    let whole = ui.max_rect();
    let is_view = app.editor.as_ref().is_none_or(|editor| !editor.is_previewing);
    let shows_tokens = app.settings.show_tokens && is_view;
    let tokens = if shows_tokens { NARROW_TOKENS.min(whole.height() * 0.4) } else { 0.0 };
    let split = whole.bottom() - tokens;
    let parts = [
        (Pane::Stage, Rect::from_min_max(whole.min, pos2(whole.right(), split - 1.0)), 0.0),
        (Pane::Tokens, Rect::from_min_max(pos2(whole.left(), split), whole.max), 8.0),
    ];
    for (pane, rect, margin) in parts {
        if rect.height() < 8.0 {
            continue;
        }
        pane.fill(app, ui, rect);
        let layout = egui::Layout::top_down(egui::Align::Min);
        let builder = egui::UiBuilder::new().max_rect(rect.shrink(margin)).layout(layout);
        let mut child = ui.new_child(builder);
        child.spacing_mut().item_spacing = vec2(8.0, 4.0);
        child.set_clip_rect(rect);
        pane.show(app, &mut child);
    }
}

/// A side panel that stands over the stage.
fn show_overlay(app: &mut App, ui: &Ui, overlay: Overlay) {
    let ink = widgets::ink(ui);
    let screen = ui.ctx().content_rect();
    let width = (screen.width() - 48.0).min(360.0);
    let top = screen.top() + TITLE_HEIGHT;
    let height = screen.bottom() - top;
    let left = match overlay {
        Overlay::Chat => screen.left(),
        Overlay::Inspector => screen.right() - width,
    };
    egui::Area::new(egui::Id::unique("overlay"))
        .order(egui::Order::Middle)
        .fixed_pos(pos2(left, top))
        .show(ui.ctx(), |ui| {
            let frame = Frame::new()
                .fill(ink.panel)
                .stroke(egui::Stroke::new(1.0, ink.hairline))
                .shadow(ui.visuals().popup_shadow)
                .inner_margin(12);
            frame.show(ui, |ui| {
                ui.set_min_size(vec2(width - 26.0, height - 26.0));
                ui.set_max_size(vec2(width - 26.0, height - 26.0));
                match overlay {
                    Overlay::Chat => Pane::Chat.show(app, ui),
                    Overlay::Inspector => {
                        egui::ScrollArea::vertical().id_salt("inspector").show(ui, |ui| {
                            let docked =
                                |pane: &&Pane| pane.place() != crate::ui::layout::Place::Bare;
                            for &pane in Pane::ALL.iter().filter(docked) {
                                widgets::heading(ui, pane.title(), |_| ());
                                ui.scope(|ui| {
                                    ui.set_max_height(320.0);
                                    pane.show(app, ui);
                                });
                                widgets::hairline(ui);
                            }
                        });
                    }
                }
            });
        });
}
