//! One bar for each head of the layer: tokens → image, or the chosen patches → answer.

use crate::ui::head_choice;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::theme;
use crate::ui::value_cache::range_of;
use crate::ui::widgets::{ink, muted, muted_line, text_in};
use crate::view::figure::{labelled, number, step_for};
use crate::view::{AxisSet, Command, MapChoice};
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

const LABELS: f32 = 16.0;

/// One bar for each head of the layer.
#[derive(Default)]
pub struct HeadStrip;

impl PaneUi for HeadStrip {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(ui, "One bar for each head of the layer.");
            return;
        };
        let shown = cx.shown;
        let patches = cx.active_patches();
        let values = cx.values.strip(doc, shown, &patches);
        let [_, highest] = range_of(&values);
        // Shares are written in percent, the mean attention on patches is not.
        let factor = if patches.is_empty() { 100.0 } else { 1.0 };
        let unit = if patches.is_empty() { " %" } else { "" };
        let text = |value: f32| {
            let [value, highest] = [value, highest].map(|value| f64::from(value) * factor);
            format!("{}{unit}", number(value, highest))
        };
        let what = match (patches.is_empty(), shown.chosen_object()) {
            (true, Some(object)) => format!("words → inside “{}”", object.name),
            (true, None) => "words → picture".to_owned(),
            (false, _) => "patches → answer, mean of the tokens".to_owned(),
        };
        let line = vec2(ui.available_width(), ui.text_style_height(&egui::TextStyle::Small));
        let layout = egui::Layout::right_to_left(egui::Align::Center);
        ui.allocate_ui_with_layout(line, layout, |ui| {
            muted(ui, format!("0–{}", text(highest)));
            let layout = egui::Layout::left_to_right(egui::Align::Center);
            ui.with_layout(layout, |ui| muted_line(ui, what));
        });
        let size = ui.available_size();
        if size.y < LABELS + 12.0 || values.is_empty() {
            return;
        }
        let (whole, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        response.widget_info(|| {
            WidgetInfo::labeled(
                Role::Unknown,
                true,
                "Heads of the layer: click to choose, drag to scrub",
            )
        });
        let ink = ink(ui);
        let plot = Rect::from_min_max(whole.min, pos2(whole.right(), whole.bottom() - LABELS));
        let width = plot.width() / values.len() as f32;
        let hovered = response.hover_pos().or(response.interact_pointer_pos()).map(|point| {
            (((point.x - plot.left()) / width).max(0.0) as usize).min(values.len() - 1)
        });
        let marked = shown.map.heads.named().unwrap_or_default();
        let labelled = labelled(values.len() as u32, marked, step_for(width, 20.0));
        ui.painter().hline(plot.x_range(), plot.bottom(), egui::Stroke::new(1.0, ink.hairline));
        for (head, value) in values.iter().enumerate() {
            let share = if highest > 0.0 { value / highest } else { 0.0 };
            let left = plot.left() + head as f32 * width;
            let gap = if width > 4.0 { 1.0 } else { 0.0 };
            let bar = Rect::from_min_max(
                pos2(left + gap, plot.bottom() - share * plot.height()),
                pos2(left + width - gap, plot.bottom()),
            );
            let on = is_on(&shown.map, head as u32);
            let color = if hovered == Some(head) {
                ink.hover
            } else if on {
                ink.accent
            } else {
                ink.muted.gamma_multiply(0.7)
            };
            ui.painter().rect_filled(bar, 1.0, color);
            if labelled.contains(&(head as u32)) {
                let label = Rect::from_min_max(
                    pos2(left + width / 2.0 - 16.0, plot.bottom() + 2.0),
                    pos2(left + width / 2.0 + 16.0, whole.bottom()),
                );
                text_in(
                    ui,
                    label,
                    Align2::CENTER_CENTER,
                    &head.to_string(),
                    theme::plain(11.0),
                    if on { ink.accent } else { ink.muted },
                );
            }
        }
        let Some(head) = hovered else { return };
        let command = Command::SetHeads(AxisSet::single(head as u32));
        if response.clicked() {
            cx.intents.command(head_choice::click_in_layers(
                ui,
                doc.state(),
                &doc.meta().model,
                head as u32,
            ));
        } else if response.dragged() && !head_choice::adds(ui) {
            cx.intents.send(Intent::Scrub(command));
        } else if response.hovered() {
            cx.preview(command);
            let text = format!("head {head} · {}", text(values[head]));
            let at = Rect::from_min_size(plot.min, vec2(plot.width(), 16.0));
            text_in(ui, at, Align2::RIGHT_TOP, &text, theme::plain(theme::SMALL), ink.text);
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    }
}

/// Whether a head of the shown layers is chosen.
fn is_on(map: &MapChoice, head: u32) -> bool {
    match &map.head_set {
        Some(set) => set.heads().iter().any(|[_, of_set]| *of_set == head),
        None => map.heads.named().is_some_and(|set| set.contains(&head)),
    }
}
