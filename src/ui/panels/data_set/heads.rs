//! The layer × head matrix of a table: means over samples, or differences of means.

use super::common::change;
use crate::table::statistics::Comparison;
use crate::ui::data_set::DataSetDoc;
use crate::ui::data_set::statistics::Numbers;
use crate::ui::head_choice::{chosen_after_click, rectangle};
use crate::ui::pane::PaneContext;
use crate::ui::panels::color_bar::{self, Change};
use crate::ui::panels::matrix::{CellColors, LEFT, TOP, at, cell, cells_rect_of};
use crate::ui::theme;
use crate::ui::value_cache::Matrix;
use crate::ui::widgets::{Mark, frame_over_data, ink, muted, progress_line, text_in, thousands};
use crate::ui::wording::in_window;
use crate::view::figure::{head_name, labelled, number, step_for};
use crate::view::{ColorMap, LayerHead};
use egui::{Align2, Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Room for the sentence about the number of tests.
const SENTENCE: f32 = 52.0;
/// The largest side of a cell: few heads fill a large display.
const MOST_SIDE: f32 = 120.0;
/// A side of a cell that is large enough for a mark.
const LEAST_MARKED: f32 = 5.0;

/// Height that the matrix of a table takes with its colours at most.
pub fn wanted_height(doc: &DataSetDoc) -> f32 {
    let Some(numbers) = doc.numbers() else { return f32::INFINITY };
    let sentence = if numbers.comparison.is_some() { SENTENCE } else { 0.0 };
    let rows = numbers.matrix.layers as f32 * MOST_SIDE;
    rows + TOP + color_bar::HEIGHT + sentence + 60.0
}

/// The matrix.
#[derive(Default)]
pub struct Heads {
    colors: CellColors,
}

impl Heads {
    /// Drops the texture of a device that was lost.
    pub fn forget_texture(&mut self) {
        self.colors = CellColors::default();
    }

    /// Draws the matrix.
    pub fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        if let Some(text) = doc.failed() {
            ui.colored_label(ink(ui).error, in_window(text).0);
            return;
        }
        if let Some(share) = doc.progress() {
            let line = Rect::from_min_size(
                ui.max_rect().min - vec2(0.0, 6.0),
                vec2(ui.available_width(), 2.0),
            );
            progress_line(ui, line, Some(share));
        }
        let Some(numbers) = doc.numbers() else {
            muted(
                ui,
                format!("Reading {} rows of heads …", thousands(doc.data().head_rows() as usize)),
            );
            return;
        };
        let matrix = &numbers.matrix;
        let (reading, hover) =
            ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
        if let Some(lacks) = &matrix.lacks {
            muted(ui, format!("There is nothing to show: {lacks}."));
            return;
        }
        let sentence = if numbers.comparison.is_some() { SENTENCE } else { 0.0 };
        let room = ui.available_size() - vec2(0.0, color_bar::HEIGHT + theme::GRID + sentence);
        if room.x < 60.0 || room.y < 40.0 {
            return;
        }
        let place = Rect::from_min_size(ui.cursor().min, room);
        let cells = cells_rect_of(place, matrix, MOST_SIDE);
        ui.allocate_exact_size(
            vec2(room.x, cells.bottom() - place.top() + theme::GRID),
            Sense::hover(),
        );
        missing(ui, cells, matrix);
        let (map, range) = colors_of(cx, doc, numbers);
        let texture = self.colors.texture(ui, matrix, map, range, 0);
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        // Numbers of the view before are pale while those of this one are computed.
        let is_stale = doc.progress().is_some();
        let tint = if is_stale { Color32::from_white_alpha(90) } else { Color32::WHITE };
        ui.painter().image(texture, cells, uv, tint);
        axes(ui, cells, matrix, &doc.view().heads);
        if let Some(comparison) = &numbers.comparison {
            marks(ui, cells, matrix, comparison, map);
        }
        let hovered = body(cx, ui, doc, cells, matrix);
        let shown = hovered.or_else(|| doc.view().heads.first().copied());
        let text = shown.map(|head| describe(numbers, head)).unwrap_or_default();
        text_in(ui, reading, Align2::LEFT_CENTER, &text, theme::plain(theme::SMALL), ink(ui).text);
        hover.on_hover_text(hint(numbers, shown));
        bar(cx, ui, doc, numbers, (map, range), cells.x_range());
        if let Some(comparison) = &numbers.comparison {
            let marked = match comparison.significant() {
                0 => "",
                _ => " Dots mark the heads that differ.",
            };
            let direction = numbers.direction.as_deref().unwrap_or_default();
            let text = format!("{direction} {}{marked}", comparison.sentence());
            muted(ui, text).on_hover_text(
                "On average, at most 5 % of the heads that survive the correction differ by chance alone. A difference between groups is no cause: \
                groups may differ in the kind of question, too.",
            );
        }
    }
}

/// The colours, and the values at their ends.
fn colors_of(cx: &PaneContext<'_>, doc: &DataSetDoc, numbers: &Numbers) -> (ColorMap, [f32; 2]) {
    let own = cx.look.colormap;
    let map = match numbers.comparison.is_some() {
        true if !own.is_diverging() => ColorMap::Coolwarm,
        false if own.is_diverging() => ColorMap::Inferno,
        _ => own,
    };
    let set = doc.view().range.map(|range| range.map(|end| end as f32));
    (map, set.unwrap_or(numbers.matrix.range))
}

fn bar(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &DataSetDoc,
    numbers: &Numbers,
    (colormap, range): (ColorMap, [f32; 2]),
    cells: egui::Rangef,
) {
    let is_signed = numbers.comparison.is_some();
    let unit = match is_signed {
        true => numbers.column.difference_unit(),
        false => numbers.column.unit(),
    };
    let bar = color_bar::Bar { range, full: numbers.matrix.range, colormap, unit, is_signed };
    for one in bar.show(ui, cells) {
        if let Change::Range(range) = one {
            change(cx, doc, |view| view.range = range);
        }
    }
}

/// Diagonals in the cells of heads without a value, which no colour of the map stands for.
fn missing(ui: &Ui, cells: Rect, matrix: &Matrix) {
    let stroke = egui::Stroke::new(1.0, ink(ui).muted.gamma_multiply(0.6));
    for (place, _) in matrix.values.iter().enumerate().filter(|(_, value)| value.is_nan()) {
        let (row, head) = (place / matrix.heads, place % matrix.heads);
        let cell = cell(cells, matrix, row as u32, head as u32).shrink(1.0);
        ui.painter().rect_filled(cell, 0.0, ink(ui).raised);
        ui.painter().line_segment([cell.left_bottom(), cell.right_top()], stroke);
    }
}

/// The numbers of layers and heads.
fn axes(ui: &Ui, cells: Rect, matrix: &Matrix, chosen: &[LayerHead]) {
    let (font, ink) = (theme::plain(11.0), ink(ui));
    let size = cell(cells, matrix, 0, 0).size();
    let ascending = |mut marked: Vec<u32>| {
        marked.sort_unstable();
        marked.dedup();
        marked
    };
    let marked = ascending(chosen.iter().filter_map(|[layer, _]| matrix.row(*layer)).collect());
    for row in labelled(matrix.layers as u32, &marked, step_for(size.y, 13.0)) {
        let of = cell(cells, matrix, row, 0);
        let rect = Rect::from_min_max(
            pos2(cells.left() - LEFT, of.top()),
            pos2(cells.left() - 6.0, of.bottom()),
        );
        let color = if marked.contains(&row) { ink.accent } else { ink.muted };
        text_in(
            ui,
            rect,
            Align2::RIGHT_CENTER,
            &matrix.layer(row).to_string(),
            font.clone(),
            color,
        );
    }
    let marked = ascending(chosen.iter().map(|[_, head]| *head).collect());
    for head in labelled(matrix.heads as u32, &marked, step_for(size.x, 18.0)) {
        let of = cell(cells, matrix, 0, head);
        let rect = Rect::from_min_max(
            pos2(of.left() - 12.0, cells.top() - TOP),
            pos2(of.right() + 12.0, cells.top() - 2.0),
        );
        let color = if marked.contains(&head) { ink.accent } else { ink.muted };
        text_in(ui, rect, Align2::CENTER_CENTER, &head.to_string(), font.clone(), color);
    }
}

/// A dot in the cells whose difference survives the correction.
fn marks(ui: &Ui, cells: Rect, matrix: &Matrix, comparison: &Comparison, map: ColorMap) {
    let size = cell(cells, matrix, 0, 0).size();
    if size.min_elem() < LEAST_MARKED {
        return;
    }
    let radius = (size.min_elem() * 0.14).clamp(1.0, 3.5);
    // Diverging maps are pale in the middle, others dark at the lower end.
    let color = if map.is_diverging() { Color32::from_gray(20) } else { Color32::WHITE };
    for (at, difference) in comparison.cells.iter().enumerate() {
        if difference.is_significant() {
            let (row, head) = (at / matrix.heads, at % matrix.heads);
            let centre = cell(cells, matrix, row as u32, head as u32).center();
            ui.painter().circle_filled(centre, radius, color);
        }
    }
}

/// The cells' clicks and frames; the head under the pointer.
fn body(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &DataSetDoc,
    cells: Rect,
    matrix: &Matrix,
) -> Option<LayerHead> {
    let response = ui.interact(cells, ui.scope_id().with("data set cells"), Sense::click());
    response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Unknown,
            true,
            "Heads of the table: click to choose, Ctrl or Shift to choose several",
        )
    });
    for [layer, head] in &doc.view().heads {
        if let Some(row) = matrix.row(*layer) {
            frame_over_data(ui, cell(cells, matrix, row, *head), Mark::Chosen);
        }
    }
    let point = response.interact_pointer_pos().or(response.hover_pos())?;
    let (row, head) = at(cells, matrix, point);
    let this = [matrix.layer(row), head];
    if response.clicked() {
        let chosen = doc.view().heads.clone();
        let range = |anchor| rectangle(&matrix.numbers, anchor, this);
        let mut heads = chosen_after_click(ui, chosen, this, range);
        heads.sort_unstable();
        heads.dedup();
        change(cx, doc, |view| view.heads = heads);
    }
    frame_over_data(ui, cell(cells, matrix, row, head), Mark::Hovered);
    Some(this)
}

/// "L3 H2 · 12.3 % ± 4.5 % (n = 1,945)", or the difference with its interval and p-values.
fn describe(numbers: &Numbers, [layer, head]: LayerHead) -> String {
    let name = head_name(layer, head);
    let Some(place) = numbers.cube.cell(layer, head) else { return name };
    if let Some(of) = numbers.comparison.as_ref().and_then(|all| all.cells.get(place)) {
        if of.p.is_nan() {
            return format!("{name} · cannot be tested");
        }
        let unit = numbers.column.difference_unit();
        let largest = of.interval[0].abs().max(of.interval[1].abs()) * unit.factor();
        let [difference, low, high] = [of.difference, of.interval[0], of.interval[1]]
            .map(|value| number(value * unit.factor(), largest));
        let [n, m] = numbers.group_sizes.get(place).copied().unwrap_or_default();
        return format!(
            "{name} · {difference} ({low} to {high}){} · p = {} · n = {}, {}",
            unit.suffix(),
            p_text(of.q),
            thousands(n as usize),
            thousands(m as usize),
        );
    }
    let Some(moment) = numbers.moments.cells.get(place).filter(|moment| moment.n > 0) else {
        return format!("{name} · no value");
    };
    let unit = numbers.column.unit();
    let [mean, deviation] =
        [moment.mean, moment.deviation].map(|value| unit.text(value, moment.mean.abs()));
    let spread = if moment.n > 1 { format!(" ± {deviation}") } else { String::new() };
    format!("{name} · {mean}{spread} (n = {})", thousands(moment.n as usize))
}

/// The meaning of the line above the matrix.
fn hint(numbers: &Numbers, shown: Option<LayerHead>) -> String {
    let Some(comparison) = &numbers.comparison else {
        return "Mean ± standard deviation over the n samples that have a value".into();
    };
    let place = shown.and_then(|[layer, head]| numbers.cube.cell(layer, head));
    let alone = place.and_then(|place| comparison.cells.get(place)).map(|of| p_text(of.p));
    format!(
        "Difference of means (95 % confidence interval) · p-value after the correction for all heads; {} without it · samples of both groups",
        alone.unwrap_or_default()
    )
}

fn p_text(p: f64) -> String {
    if p < 1e-4 { format!("{p:.0e}").replace('-', "−") } else { format!("{p:.4}") }
}
