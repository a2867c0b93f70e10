//! One line above an answer that was opened from a table: its place among the samples, and the way to its neighbours and back.

use crate::ui::data_set::DataSetDoc;
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::widgets::{Icon, hairline_below, icon_button, ink, muted, thousands};
use egui::{Align, Layout, Rect, Ui, UiBuilder, vec2};

const HEIGHT: f32 = 36.0;

/// Draws the line along the upper edge of `rect`, where the answer is that of a sample; returns the rest of `rect`.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect) -> Rect {
    let Some((table, row)) = cx.current.and_then(|doc| cx.data_sets.sample_of(doc.id)) else {
        return rect;
    };
    let (bar, rest) = rect.split_top_bottom_at_y(rect.top() + HEIGHT);
    ui.painter().rect_filled(bar, 0.0, ink(ui).stage);
    let inner = bar.shrink2(vec2(12.0, 0.0));
    let layout = Layout::left_to_right(Align::Center);
    let mut child = ui.new_child(UiBuilder::new().max_rect(inner).layout(layout));
    child.set_clip_rect(bar);
    let ui = &mut child;
    for (icon, act) in
        [(Icon::Previous, UiCommand::PreviousSample), (Icon::Next, UiCommand::NextSample)]
    {
        if icon_button(ui, icon, &act.hint(), false).clicked() {
            cx.intents.act(act);
        }
    }
    ui.add_space(4.0);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let back = ui.button("Data set (Esc)");
        if back.on_hover_text(UiCommand::ShowDataSet.hint()).clicked() {
            cx.intents.act(UiCommand::ShowDataSet);
        }
        if ui.available_width() > 520.0 {
            let keys = [UiCommand::PreviousSample, UiCommand::NextSample].map(UiCommand::keys_text);
            muted(ui, keys.join(", "));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| name(ui, table, row));
    });
    hairline_below(ui, bar);
    rest
}

/// "Sample 12 of 5,966 · s012 · wrong, expected: a fox".
fn name(ui: &mut Ui, table: &DataSetDoc, row: usize) {
    let (order, samples) = (table.order(), table.samples());
    let place = order.iter().position(|own| *own == row);
    let first = match place {
        Some(place) => format!("Sample {} of {}", thousands(place + 1), thousands(order.len())),
        None => "A sample that the filter leaves out".to_owned(),
    };
    let verdict = match (samples.correct(row), samples.text("expected", row)) {
        (Some(true), _) => Some("right".to_owned()),
        (Some(false), Some(expected)) => Some(format!("wrong, expected: {expected}")),
        (Some(false), None) => Some("wrong".to_owned()),
        (None, _) => None,
    };
    let mut rest = vec![samples.name(row).to_owned()];
    rest.extend(verdict);
    let mut job = egui::text::LayoutJob::default();
    let colors = ink(ui);
    let mut add = |text: &str, font, color| {
        job.append(text, 0.0, egui::TextFormat::simple(font, color));
    };
    add(&first, theme::strong(theme::BODY), colors.text);
    add(&format!("  ·  {}", rest.join("  ·  ")), theme::plain(theme::BODY), colors.muted);
    let hint = super::data_set::description(table, row);
    ui.add(egui::Label::new(job).selectable(false).truncate()).on_hover_text(hint);
}
