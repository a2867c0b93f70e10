//! The bar above the table's view: open tables, the quantity, the comparison, the conditions.

use super::common::{change, send};
use crate::table::statistics::{Condition, HeadColumn, SampleColumns, Test, Values};
use crate::ui::data_set::{Compared, Counts, DataSetDoc, compared_name, condition_name};
use crate::ui::intent::DataSetCommand;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::widgets::{Icon, capital, icon_button, ink, muted, thousands};
use crate::ui::wording::in_window;
use egui::{Align, Layout, Role, TextEdit, Ui, WidgetInfo, vec2};
use std::collections::BTreeSet;

/// Height of both lines with their margins.
const HEIGHT: f32 = 88.0;
/// Margins of a line with an error, above and below.
const ERROR_MARGIN: f32 = 6.0;
/// Height of a line.
const LINE: f32 = 28.0;
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
    /// Whether the field of conditions is to get the focus.
    edits: bool,
}

/// The click on a condition.
enum Clicked {
    /// It is taken away.
    Remove,
    /// It is typed again.
    Edit,
}

impl Bar {
    /// The height that the bar takes at a width, with the whole text of an error.
    pub fn height(&self, ui: &Ui, width: f32) -> f32 {
        let Some(error) = &self.error else { return HEIGHT };
        let font = theme::plain(theme::SMALL);
        let galley = ui.painter().layout(error.clone(), font, ink(ui).error, width);
        HEIGHT + galley.size().y + ERROR_MARGIN
    }

    /// Draws the bar.
    pub fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        ui.horizontal(|ui| {
            ui.set_height(LINE);
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
            ui.set_height(LINE);
            self.conditions(cx, ui, doc);
        });
        if let Some(error) = &self.error {
            let text = egui::RichText::new(error).size(theme::SMALL).color(ink(ui).error);
            ui.add(egui::Label::new(text).wrap());
        }
    }

    fn conditions(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        offered(cx, ui, doc);
        // The field stays in its place; the chips of many conditions can be scrolled.
        let width = (ui.available_width() * 0.45).clamp(120.0, 420.0);
        let field = TextEdit::singleline(&mut self.typed).hint_text(FIELD).desired_width(width);
        let response = ui.add(field);
        response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Condition"));
        if cx.data_sets.focus_filter || std::mem::take(&mut self.edits) {
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
        let scroll = egui::ScrollArea::horizontal().id_salt(("conditions", doc.id));
        let edited = scroll.show(ui, |ui| {
            let layout = Layout::left_to_right(Align::Center);
            ui.allocate_ui_with_layout(vec2(0.0, LINE), layout, |ui| chips(cx, ui, doc)).inner
        });
        let edited = edited.inner;
        if let Some(condition) = edited {
            (self.typed, self.error, self.edits) = (condition, None, true);
        }
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
            Err(error) => self.error = Some(in_window(&error.to_string()).0),
        }
    }
}

/// The conditions and the selection, each with a button that removes it; returns the text of a condition to be edited.
fn chips(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) -> Option<String> {
    let mut edited = None;
    let conditions = &doc.view().filter.conditions;
    for (index, condition) in conditions.iter().enumerate() {
        let hint = "Click to edit this condition";
        let Some(clicked) = chip(ui, &condition_name(condition), Some(hint)) else { continue };
        if matches!(clicked, Clicked::Edit) {
            edited = Some(condition.to_string());
        }
        change(cx, doc, |view| {
            view.filter.conditions.remove(index);
        });
    }
    if doc.has_selection() {
        let count = thousands(doc.counts(true).samples);
        if chip(ui, &format!("{count} selected in the plot"), None).is_some() {
            send(cx, DataSetCommand::Brush(None));
        }
        let mut counts = doc.brush_counts();
        let hint = "The matrix and the ranking count the selected samples only";
        if ui.checkbox(&mut counts, "Heads of the selection").on_hover_text(hint).changed() {
            send(cx, DataSetCommand::CountBrush(counts));
        }
    }
    let count = conditions.len() + usize::from(doc.has_selection());
    if count > 1 && ui.button("Remove all").clicked() {
        send(cx, DataSetCommand::Brush(None));
        change(cx, doc, |view| view.filter.conditions.clear());
    }
    edited
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

/// A condition with a button that removes it. With a hint, a click on its text is told, too.
fn chip(ui: &mut Ui, text: &str, hint: Option<&str>) -> Option<Clicked> {
    let frame = egui::Frame::new()
        .fill(ink(ui).raised)
        .corner_radius(4)
        .inner_margin(egui::Margin { left: 8, right: 0, top: 0, bottom: 0 });
    let shown = frame.show(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        let mut label = egui::Label::new(text).selectable(false);
        if hint.is_some() {
            label = label.sense(egui::Sense::click());
        }
        let mut response = ui.add(label);
        if let Some(hint) = hint {
            response = response.on_hover_text(hint).on_hover_cursor(egui::CursorIcon::PointingHand);
        }
        let removes = icon_button(ui, Icon::Close, &format!("Remove {text}"), false).clicked();
        removes.then_some(Clicked::Remove).or(response.clicked().then_some(Clicked::Edit))
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
