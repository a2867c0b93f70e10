//! The contact sheet: the samples as small pictures with the map of the chosen heads, in the order of any column.

use super::common::{axes, axis_name, change, description, send};
use crate::table::statistics::{Values, column_title};
use crate::ui::data_set::tiles::Tile;
use crate::ui::data_set::{Axis, DataSetDoc, DataSetId};
use crate::ui::intent::DataSetCommand;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::widgets::{Mark, frame_in_data, ink, muted, text_in};
use crate::view::figure::number;
use egui::{Align2, Color32, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Least width of a tile, and the height below its picture.
const TILE: f32 = 132.0;
const MOST_TILE: f32 = 320.0;
const LABEL: f32 = 36.0;
const GAP: f32 = 8.0;

/// The contact sheet.
#[derive(Default)]
pub struct Sheet {
    /// The place that the keys moved to last, in which order.
    cursor: Option<(DataSetId, usize, Axis, bool)>,
}

impl Sheet {
    /// Draws the sheet.
    pub fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        top_line(cx, ui, doc);
        let order = doc.order();
        if order.is_empty() {
            empty(cx, ui, doc);
            return;
        }
        let width = ui.available_width();
        // About twelve in a row on a large display.
        let least = (width / 12.0).clamp(TILE, MOST_TILE);
        let columns = (((width + GAP) / (least + GAP)).floor() as usize).max(1);
        cx.output.sheet_columns.set(Some(columns));
        let side = (width + GAP) / columns as f32 - GAP;
        let height = side * 0.75 + LABEL;
        let rows = order.len().div_ceil(columns);
        let view = doc.view();
        let at = Some((doc.id, doc.cursor(), view.sort.clone(), view.descending));
        let moved = self.cursor.is_some() && self.cursor != at;
        self.cursor = at;
        let scroll =
            egui::ScrollArea::vertical().id_salt(("contact sheet", doc.id)).auto_shrink(false);
        scroll.show_viewport(ui, |ui, viewport| {
            let step = height + GAP;
            ui.set_height(rows as f32 * step);
            let origin = ui.min_rect().min;
            let place = |index: usize| {
                let (row, column) = (index / columns, index % columns);
                let at = origin + vec2(column as f32 * (side + GAP), row as f32 * step);
                Rect::from_min_size(at, vec2(side, height))
            };
            if moved {
                ui.scroll_to_rect(place(doc.cursor()), None);
            }
            let first = (viewport.top() / step).floor().max(0.0) as usize;
            let last = (viewport.bottom() / step).ceil().max(0.0) as usize;
            let seen = first * columns..(last * columns).min(order.len());
            // One row more, so that a slow scroll finds its pictures made.
            let made = first * columns..((last + 1) * columns).min(order.len());
            let of = doc.maps(cx.look.colormap);
            let missing = doc.tiles.missing(&order[made], &of);
            if !missing.is_empty() {
                send(cx, DataSetCommand::Tiles(missing));
            }
            for index in seen {
                tile(cx, ui, doc, index, place(index));
            }
        });
    }
}

/// No sample, and the way out.
fn empty(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    if doc.has_selection() {
        muted(ui, "No selected sample fits the filter.");
        if ui.button("End the selection").clicked() {
            send(cx, DataSetCommand::Brush(None));
        }
    } else {
        muted(ui, "No sample fits the filter.");
    }
    if !doc.view().filter.conditions.is_empty() && ui.button("Remove the filter").clicked() {
        change(cx, doc, |view| view.filter.conditions.clear());
    }
}

/// The order.
fn top_line(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    ui.horizontal(|ui| {
        muted(ui, "Sorted by");
        let view = doc.view();
        egui::ComboBox::from_id_salt("order of the samples")
            .width(210.0)
            .truncate()
            .height(420.0)
            .selected_text(axis_name(&view.sort, doc))
            .show_ui(ui, |ui| {
                let is_sortable = |name: &&String| match doc.samples().column(name) {
                    Some(Values::Number(_)) => doc.samples().numeric().any(|own| own == *name),
                    Some(Values::Text(_)) => !matches!(name.as_str(), "request" | "turns"),
                    _ => true,
                };
                let columns =
                    doc.samples().names().iter().filter(is_sortable).map(|name| Axis::column(name));
                let offered = std::iter::once(Axis::Heads).chain(columns).collect();
                if let Some(sort) = axes(ui, doc, &view.sort, offered) {
                    change(cx, doc, |view| view.sort = sort);
                }
            })
            .response
            .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Order of the samples"));
        let text = order_name(doc);
        let hint = match &view.sort {
            Axis::Column(name) if name == "logprob" && !view.descending => {
                "Improbable answers come first: they are the ones that are most often wrong"
            }
            _ => "Turn the order round",
        };
        if ui.button(text).on_hover_text(hint).clicked() {
            change(cx, doc, |view| view.descending ^= true);
        }
    });
}

/// The order in words.
fn order_name(doc: &DataSetDoc) -> &'static str {
    let view = doc.view();
    let values = match &view.sort {
        Axis::Column(name) => doc.samples().column(name),
        Axis::Heads => None,
    };
    match (values, view.descending) {
        (Some(Values::Text(_)), false) => "A to Z",
        (Some(Values::Text(_)), true) => "Z to A",
        (Some(Values::Bool(_)), false) => "Wrong first",
        (Some(Values::Bool(_)), true) => "Right first",
        (_, false) => "Smallest first",
        (_, true) => "Largest first",
    }
}

fn tile(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc, index: usize, rect: Rect) {
    let row = doc.order()[index];
    let (samples, colors) = (doc.samples(), ink(ui));
    let answer = samples.text("answer", row).unwrap_or_default().trim();
    let response = ui.interact(rect, ui.scope_id().with(("sample", row)), Sense::click());
    let is_at = doc.cursor() == index;
    response.widget_info(|| {
        let name = format!("Sample {}: {answer}", samples.name(row));
        WidgetInfo::selected(Role::Button, true, is_at, name)
    });
    let frame = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - LABEL));
    ui.painter().rect_filled(frame, 2.0, colors.stage);
    let made = doc.tiles.get(row);
    match made {
        Some(Tile { picture: Some(picture), map, .. }) => {
            let size = fitted(frame, picture.aspect);
            if let Some(map) = map {
                picture.paint(ui, size, Some(map));
            } else {
                picture.paint_tinted(ui, size, Color32::WHITE);
            }
        }
        Some(_) => question(ui, frame, samples.text("question", row).unwrap_or_default()),
        // It is being made.
        None => {
            let font = theme::plain(theme::BODY);
            text_in(ui, frame, Align2::CENTER_CENTER, "…", font, colors.muted);
        }
    }
    if let Some(tile) = made.filter(|tile| tile.note.is_some()) {
        let strip = Rect::from_min_max(pos2(frame.left(), frame.bottom() - 18.0), frame.max);
        ui.painter().rect_filled(strip, 0.0, colors.panel.gamma_multiply(0.85));
        let text = if tile.is_damaged { "trace damaged" } else { "trace not found" };
        text_in(ui, strip, Align2::CENTER_CENTER, text, theme::plain(11.0), colors.error);
    }
    if let Some(mark) = Mark::of(is_at, &response) {
        frame_in_data(ui, frame, mark);
    }
    label(ui, doc, row, answer, Rect::from_min_max(pos2(rect.left(), frame.bottom()), rect.max));
    // The text of 10,000 samples is put together only where the pointer is.
    let response = match response.hovered() {
        true => response.on_hover_text(description(doc, row)),
        false => response,
    };
    if response.clicked() {
        send(cx, DataSetCommand::Open(row));
    }
}

/// Two lines below a picture: a sign with the answer, and the expected answer or the number of the order.
fn label(ui: &Ui, doc: &DataSetDoc, row: usize, answer: &str, rect: Rect) {
    let (samples, colors) = (doc.samples(), ink(ui));
    let correct = samples.correct(row);
    let line = |top: f32, left: f32| {
        let top = rect.top() + 3.0 + top;
        Rect::from_min_max(pos2(rect.left() + left, top), pos2(rect.right(), top + 15.0))
    };
    if let Some(correct) = correct {
        sign(ui, pos2(rect.left() + 6.0, line(0.0, 0.0).center().y), correct);
    }
    let left = if correct.is_some() { 15.0 } else { 0.0 };
    text_in(
        ui,
        line(0.0, left),
        Align2::LEFT_CENTER,
        answer,
        theme::strong(theme::SMALL),
        colors.text,
    );
    let expected = samples.text("expected", row).filter(|_| correct == Some(false));
    let text = match (expected, &doc.view().sort) {
        (Some(expected), _) => format!("expected: {expected}"),
        (None, Axis::Column(name)) => {
            let value = samples.number(name, row);
            if value.is_finite() {
                format!("{} {}", column_title(name), number(value, value.abs()))
            } else {
                String::new()
            }
        }
        (None, Axis::Heads) => String::new(),
    };
    text_in(ui, line(15.0, 0.0), Align2::LEFT_CENTER, &text, theme::plain(11.0), colors.muted);
}

/// A tick or a cross.
fn sign(ui: &Ui, centre: egui::Pos2, correct: bool) {
    let colors = ink(ui);
    let at = |x: f32, y: f32| centre + vec2(x, y);
    let (lines, color) = match correct {
        true => ([[at(-3.5, 0.5), at(-1.0, 3.0)], [at(-1.0, 3.0), at(4.0, -3.0)]], colors.accent),
        false => ([[at(-3.0, -3.0), at(3.0, 3.0)], [at(-3.0, 3.0), at(3.0, -3.0)]], colors.error),
    };
    for line in lines {
        ui.painter().line_segment(line, Stroke::new(1.6, color));
    }
}

/// The largest rectangle of an aspect in the middle of another one.
fn fitted(frame: Rect, aspect: f32) -> Rect {
    let width = frame.width().min(frame.height() * aspect);
    Rect::from_center_size(frame.center(), vec2(width, width / aspect.max(0.01)))
}

/// The question, where there is no picture.
fn question(ui: &Ui, frame: Rect, text: &str) {
    let colors = ink(ui);
    let inner = frame.shrink(8.0);
    let font = theme::plain(theme::SMALL);
    let text = crate::ui::system_fonts::readable(text, &font).into_owned();
    let galley = ui.painter().layout(text, font, colors.muted, inner.width());
    ui.painter().with_clip_rect(frame).galley(inner.min, galley, colors.muted);
}
