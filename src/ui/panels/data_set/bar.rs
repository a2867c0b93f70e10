//! The bar above the table's view: open tables, the quantity, the comparison, the conditions.

use super::common::{change, send};
use crate::table::statistics::{Condition, HeadColumn, SampleColumns, Test, Values};
use crate::ui::data_set::{Compared, Counts, DataSetDoc, compared_name, condition_name};
use crate::ui::intent::DataSetCommand;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::widgets::{Icon, capital, icon_button, ink, muted, thousands};
use egui::{Align, Layout, Role, TextEdit, Ui, WidgetInfo};
use std::collections::BTreeSet;

/// Height of both lines with their margins.
pub const HEIGHT: f32 = 88.0;
/// Least room for the numbers of samples.
const COUNTS: f32 = 200.0;
/// Values of a column that are offered.
const MOST_VALUES: usize = 24;
const FIELD: &str = "Filter: wrong · category = count · logprob < -2 · answer ~ red";

/// The bar above a table.
#[derive(Default)]
pub struct Bar {
    typed: String,
    error: Option<String>,
}

impl Bar {
    /// Draws the bar.
    pub fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        ui.horizontal(|ui| {
            ui.set_height(28.0);
            tables(cx, ui);
            columns(cx, ui, doc);
            compared(cx, ui, doc);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if icon_button(ui, Icon::Close, "Close this table", false).clicked() {
                    send(cx, DataSetCommand::Close(doc.id));
                }
                if ui.available_width() > COUNTS {
                    counts(ui, doc);
                }
            });
        });
        ui.horizontal(|ui| {
            ui.set_height(28.0);
            self.conditions(cx, ui, doc);
        });
    }

    fn conditions(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        offered(cx, ui, doc);
        // The field stays in its place; the chips of many conditions can be scrolled.
        let width = (ui.available_width() * 0.45).clamp(120.0, 420.0);
        let field = TextEdit::singleline(&mut self.typed).hint_text(FIELD).desired_width(width);
        let response = ui.add(field);
        response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Condition"));
        if cx.data_sets.focus_filter {
            response.request_focus();
            send(cx, DataSetCommand::FilterFocused);
        }
        if response.changed() {
            self.error = None;
        }
        if response.lost_focus() {
            if ui.input(|input| input.key_pressed(egui::Key::Enter)) {
                self.add(cx, doc, false);
            } else if ui.input(|input| input.key_pressed(egui::Key::Escape)) {
                self.typed.clear();
                self.error = None;
            }
        }
        if !self.typed.trim().is_empty() {
            let hint = "Compare the samples for which this condition holds with the others";
            if ui.button("Compare").on_hover_text(hint).clicked() {
                self.add(cx, doc, true);
            }
        }
        if let Some(error) = &self.error {
            let text = egui::RichText::new(error).size(theme::SMALL).color(ink(ui).error);
            let has_chips = doc.has_selection() || !doc.view().filter.conditions.is_empty();
            let share = if has_chips { 0.6 } else { 1.0 };
            let width = ui.available_width() * share;
            ui.scope(|ui| {
                ui.set_max_width(width);
                ui.add(egui::Label::new(text).truncate()).on_hover_text(error);
            });
        }
        let scroll = egui::ScrollArea::horizontal().id_salt(("conditions", doc.id));
        scroll.show(ui, |ui| ui.horizontal(|ui| chips(cx, ui, doc)));
    }

    /// Adds the typed condition to the filter or compares by it, or says what is wrong with it.
    fn add(&mut self, cx: &PaneContext<'_>, doc: &DataSetDoc, compares: bool) {
        if self.typed.trim().is_empty() {
            return;
        }
        let condition = self.typed.parse::<Condition>();
        let checked = condition.and_then(|condition| {
            condition.mask(doc.samples())?;
            Ok(condition)
        });
        match checked {
            Ok(condition) => {
                self.typed.clear();
                self.error = None;
                change(cx, doc, |view| match compares {
                    true => {
                        (view.compared, view.range) = (Compared::Condition(condition), None);
                    }
                    false => view.filter.conditions.push(condition),
                });
            }
            Err(error) => self.error = Some(error.to_string()),
        }
    }
}

/// The conditions and the selection, each with a button that removes it.
fn chips(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    for (index, condition) in doc.view().filter.conditions.iter().enumerate() {
        if chip(ui, &condition_name(condition)) {
            change(cx, doc, |view| {
                view.filter.conditions.remove(index);
            });
        }
    }
    if doc.has_selection() {
        let count = thousands(doc.counts(true).samples);
        if chip(ui, &format!("{count} selected in the plot")) {
            send(cx, DataSetCommand::Brush(None));
        }
        let mut counts = doc.brush_counts();
        let hint = "The matrix and the ranking count the selected samples only";
        if ui.checkbox(&mut counts, "Heads of the selection").on_hover_text(hint).changed() {
            send(cx, DataSetCommand::CountBrush(counts));
        }
    }
}

/// The open tables, where there are several.
fn tables(cx: &PaneContext<'_>, ui: &mut Ui) {
    let all = cx.data_sets.all();
    let Some(current) = cx.data_set() else { return };
    if all.len() > 1 {
        list(ui, "Table", current.name(), 180.0, |ui| {
            for table in all {
                if ui.selectable_label(table.id == current.id, table.name()).clicked() {
                    send(cx, DataSetCommand::Show(table.id));
                }
            }
        });
    }
}

fn columns(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    let current = doc.view().column;
    list(ui, "Number of each head", capital(current.title()), 230.0, |ui| {
        for column in HeadColumn::ALL {
            if ui.selectable_label(column == current, capital(column.title())).clicked() {
                change(cx, doc, |view| (view.column, view.range) = (column, None));
            }
        }
    });
}

fn compared(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    let current = &doc.view().compared;
    list(ui, "Comparison", compared_name(current), 260.0, |ui| {
        let offer = |ui: &mut Ui, compared: Compared| {
            if ui.selectable_label(compared == *current, compared_name(&compared)).clicked() {
                change(cx, doc, |view| (view.compared, view.range) = (compared, None));
            }
        };
        offer(ui, Compared::Nothing);
        offer(ui, Compared::Spread);
        let samples = doc.samples();
        if has_both(samples) {
            offer(ui, Compared::Condition(Condition::correct(false)));
        }
        for other in cx.data_sets.all().iter().filter(|other| other.id != doc.id) {
            offer(ui, Compared::Table(other.path().to_owned()));
        }
        if ui.selectable_label(false, "The same samples in another table…").clicked() {
            send(cx, DataSetCommand::CompareTable);
        }
        ui.separator();
        for value in values_of(samples, "category") {
            offer(ui, Compared::Condition(equals("category", value)));
        }
        let verdicts = values_of(samples, "verdict");
        if verdicts.len() > 1 {
            for value in verdicts {
                offer(ui, Compared::Condition(equals("verdict", value)));
            }
        }
    });
}

/// Conditions that a click adds.
fn offered(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    let response = ui.button("Filter");
    egui::Popup::menu(&response).width(260.0).show(|ui| {
        let samples = doc.samples();
        let mut conditions = Vec::new();
        if has_both(samples) {
            conditions.extend([Condition::correct(false), Condition::correct(true)]);
        }
        for column in ["category", "verdict", "object", "model"] {
            let values = values_of(samples, column);
            if values.len() > 1 {
                conditions.extend(values.into_iter().map(|value| equals(column, value)));
            }
        }
        if conditions.is_empty() {
            muted(ui, "Type a condition on a column: logprob < -2");
        }
        egui::ScrollArea::vertical().max_height(420.0).show(ui, |ui| {
            for condition in conditions {
                let is_on = doc.view().filter.conditions.contains(&condition);
                if ui.selectable_label(is_on, capital(&condition_name(&condition))).clicked() {
                    change(cx, doc, |view| {
                        let all = &mut view.filter.conditions;
                        // One column has one value.
                        all.retain(|own| own.column != condition.column);
                        if !is_on {
                            all.push(condition);
                        }
                    });
                }
            }
        });
    });
}

/// "1,945 of 2,000 samples count · 55 wrong".
fn counts(ui: &mut Ui, doc: &DataSetDoc) {
    let Counts { samples: count, known, wrong } = doc.counts(doc.brush_counts());
    let all = doc.samples().len();
    let samples = match count == all {
        true => format!("{} samples", thousands(all)),
        false => format!("{} of {} samples", thousands(count), thousands(all)),
    };
    let text = match known {
        0 => samples,
        known if known == count => format!("{samples} · {} wrong", thousands(wrong)),
        known => format!("{samples} · {} of {} wrong", thousands(wrong), thousands(known)),
    };
    let hint =
        "Samples that the filter chooses; wrong are those whose answer is not the expected one";
    ui.label(theme::strong_text(text, theme::BODY)).on_hover_text(hint);
}

/// A condition with a button that removes it; `true` if it was pressed.
fn chip(ui: &mut Ui, text: &str) -> bool {
    let frame = egui::Frame::new()
        .fill(ink(ui).raised)
        .corner_radius(4)
        .inner_margin(egui::Margin { left: 8, right: 0, top: 0, bottom: 0 });
    let shown = frame.show(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.label(text);
        icon_button(ui, Icon::Close, &format!("Remove {text}"), false).clicked()
    });
    shown.inner
}

fn list(
    ui: &mut Ui,
    name: &'static str,
    selected: String,
    width: f32,
    items: impl FnOnce(&mut Ui),
) {
    // A narrow window has room for three lists.
    let width = width.min(ui.max_rect().width() * 0.24);
    egui::ComboBox::from_id_salt(name)
        .width(width)
        .truncate()
        .height(420.0)
        .selected_text(selected)
        .show_ui(ui, items)
        .response
        .on_hover_text(name)
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, name));
}

fn equals(column: &str, value: String) -> Condition {
    Condition { column: column.into(), test: Test::Equals(value) }
}

/// Whether there are right and wrong answers.
fn has_both(samples: &SampleColumns) -> bool {
    match samples.column("correct") {
        Some(Values::Bool(bools)) => {
            [true, false].iter().all(|wanted| bools.contains(&Some(*wanted)))
        }
        _ => false,
    }
}

/// The values of a column of few texts.
fn values_of(samples: &SampleColumns, name: &str) -> Vec<String> {
    let Some(Values::Text(texts)) = samples.column(name) else { return Vec::new() };
    let mut values = BTreeSet::new();
    for text in texts.iter().flatten() {
        values.insert(text.as_str());
        if values.len() > MOST_VALUES {
            return Vec::new();
        }
    }
    values.into_iter().map(str::to_owned).collect()
}
