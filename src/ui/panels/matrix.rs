//! The layer × head matrix: click jumps, hover previews, drag scrubs; headers choose means.

use super::colors::{color_of, within};
use super::{color_bar, quantity};
use crate::ui::head_choice;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::value_cache::Matrix;
use crate::ui::view_changes::with_axes;
use crate::ui::widgets::{Mark, frame_over_data, ink, muted, text_in};
use crate::view::figure::{head_name, labelled, step_for};
use crate::view::{AxisSet, ColorMap, Command, LayerHead, MapChoice, Quantity, ViewState};
use egui::{
    Align2, Color32, ColorImage, Rect, Role, Sense, TextureHandle, TextureId, TextureOptions, Ui,
    WidgetInfo, pos2, vec2,
};

/// Space for the numbers of layers and heads.
pub(super) const LEFT: f32 = 28.0;
pub(super) const TOP: f32 = 20.0;
/// Least width of the list of quantities beside the value of a cell.
const LEAST_LIST: f32 = 110.0;
/// The largest side of a cell, in points.
pub(super) const MOST_SIDE: f32 = 56.0;
/// A side of a cell that is large enough for the pointer, in points.
const LEAST_SIDE: f32 = 10.0;
/// Rows of such cells that come before the colour bar where the panel is low.
const ROWS_FIRST: usize = 8;

/// The layer × head matrix.
#[derive(Default)]
pub struct MatrixPane {
    colors: CellColors,
}

impl PaneUi for MatrixPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(ui, "Ask a question to see one cell for each head of each layer.");
            return;
        };
        let state = doc.state().clone();
        let matrix = cx.matrix(doc, cx.shown);
        top_line(cx, ui, &state, &matrix);
        if matrix.lacks.is_some() {
            quantity::missing(cx, ui, doc, state.quantity);
            return;
        }
        let mut available = ui.available_size();
        let without_bar = available.y - color_bar::HEIGHT - theme::GRID;
        let rows = matrix.layers.min(ROWS_FIRST) as f32;
        let shows_bar = without_bar >= TOP + LEAST_SIDE * rows;
        if shows_bar {
            available.y = without_bar;
        }
        if available.x < 60.0 || available.y < 60.0 || matrix.values.is_empty() {
            return;
        }
        let place = Rect::from_min_size(ui.cursor().min, available);
        let cells = cells_rect(place, &matrix);
        // The colours stand directly below the cells.
        ui.allocate_exact_size(
            vec2(available.x, cells.bottom() - place.top() + theme::GRID),
            Sense::hover(),
        );
        let (map, range) = (color_bar::colormap(&state), color_bar::range_in_use(&state, &matrix));
        let colors = self.colors.texture(ui, &matrix, map, range, doc.version);
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(colors, cells, uv, Color32::WHITE);
        headers(cx, ui, cells, &matrix, &state);
        body(cx, ui, cells, &matrix, &state);
        if shows_bar {
            color_bar::show(cx, ui, &state, &matrix, cells.x_range());
        }
    }
}

/// The quantity, and the exact value of the shown cell.
fn top_line(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState, matrix: &Matrix) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let text = reading(cx, matrix, state.quantity);
        let font = theme::plain(theme::SMALL);
        let galley = ui.painter().layout_no_wrap(text, font, ink(ui).muted);
        let room = ui.available_width() - galley.size().x - 10.0;
        let has_room = room > LEAST_LIST;
        quantity::choose(cx, ui, state, if has_room { room } else { f32::INFINITY });
        if has_room {
            let layout = egui::Layout::right_to_left(egui::Align::Center);
            ui.with_layout(layout, |ui| ui.label(galley));
        }
    });
    ui.add_space(theme::GRID);
}

/// The cells' place: as large as fits. Cells are at most two and a half times as wide as high, or as high as wide, unless
/// one side would be too small to be hit.
pub(super) fn cells_rect(whole: Rect, matrix: &Matrix) -> Rect {
    cells_rect_of(whole, matrix, MOST_SIDE)
}

/// The same with another largest side of a cell.
pub(super) fn cells_rect_of(whole: Rect, matrix: &Matrix, most_side: f32) -> Rect {
    let room = Rect::from_min_max(whole.min + vec2(LEFT, TOP), whole.max);
    let (heads, layers) = (matrix.heads.max(1) as f32, matrix.layers.max(1) as f32);
    let width = (room.width() / heads).min(most_side);
    let height = (room.height() / layers).min(most_side);
    let most = |other: f32| (other * 2.5).max(LEAST_SIDE);
    let (width, height) = (width.min(most(height)), height.min(most(width)));
    // Whole pixels, where the cells are large enough for it to be seen.
    let round = |side: f32| if side > 6.0 { side.floor() } else { side };
    Rect::from_min_size(room.min, vec2(round(width) * heads, round(height) * layers))
}

/// The texture of the cells.
struct Colors {
    values: Vec<f32>,
    range: [f32; 2],
    map: ColorMap,
    version: u64,
    texture: TextureHandle,
}

impl MatrixPane {
    /// Drops the texture of a device that was lost.
    pub fn forget_texture(&mut self) {
        self.colors = CellColors::default();
    }
}

/// A texture with one texel a cell, and the values that it was made from.
#[derive(Default)]
pub(super) struct CellColors(Option<Colors>);

impl CellColors {
    /// The texture, transparent where there is no value; it is made anew only when a value, a colour or `version` changes.
    pub(super) fn texture(
        &mut self,
        ui: &Ui,
        matrix: &Matrix,
        map: ColorMap,
        range: [f32; 2],
        version: u64,
    ) -> TextureId {
        if let Some(kept) = &self.0
            && kept.version == version
            && kept.map == map
            && kept.range == range
            && is_same(&kept.values, &matrix.values)
        {
            return kept.texture.id();
        }
        let color = |value: &f32| match value.is_nan() {
            true => Color32::TRANSPARENT,
            false => color_of(map, within(*value, range)),
        };
        let pixels: Vec<Color32> = matrix.values.iter().map(color).collect();
        let image = ColorImage::new([matrix.heads, matrix.layers], pixels);
        let texture = match self.0.take() {
            Some(Colors { mut texture, .. }) => {
                texture.set(image, TextureOptions::NEAREST);
                texture
            }
            None => ui.ctx().load_texture("matrix", image, TextureOptions::NEAREST),
        };
        let id = texture.id();
        let values = matrix.values.clone();
        self.0 = Some(Colors { values, range, map, version, texture });
        id
    }
}

/// Whether values are equal bit by bit, also where there are none.
fn is_same(some: &[f32], others: &[f32]) -> bool {
    let same = |(one, other): (&f32, &f32)| one.to_bits() == other.to_bits();
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// The place of a cell, by row and column.
pub(super) fn cell(cells: Rect, matrix: &Matrix, layer: u32, head: u32) -> Rect {
    let size = vec2(cells.width() / matrix.heads as f32, cells.height() / matrix.layers as f32);
    Rect::from_min_size(cells.min + size * vec2(head as f32, layer as f32), size)
}

/// Row and column of the cell at a point.
pub(super) fn at(cells: Rect, matrix: &Matrix, point: egui::Pos2) -> (u32, u32) {
    let share = (point - cells.min) / cells.size();
    let index = |share: f32, len: usize| {
        ((share * len as f32).floor().max(0.0) as u32).min(len.saturating_sub(1) as u32)
    };
    (index(share.y, matrix.layers), index(share.x, matrix.heads))
}

fn headers(cx: &PaneContext<'_>, ui: &mut Ui, cells: Rect, matrix: &Matrix, state: &ViewState) {
    let ink = ink(ui);
    let shift = ui.input(|input| input.modifiers.shift);
    let over = if shift { AxisSet::MAX } else { AxisSet::MEAN };
    let (font, how) = (theme::plain(11.0), if shift { "maximum" } else { "mean" });
    let chosen = chosen_axes(&state.map);
    let cell_size = cell(cells, matrix, 0, 0).size();
    let rows = |number: u32| matrix.row(number);
    let marked: Vec<u32> =
        state.map.layers.named().into_iter().flatten().filter_map(|&layer| rows(layer)).collect();
    let rows = labelled(matrix.layers as u32, &marked, step_for(cell_size.y, 13.0));
    let marked = state.map.heads.named().unwrap_or_default();
    let columns = labelled(matrix.heads as u32, marked, step_for(cell_size.x, 18.0));
    for layer in 0..matrix.layers {
        let row = cell(cells, matrix, layer as u32, 0);
        let rect = Rect::from_min_max(
            pos2(cells.left() - LEFT, row.top()),
            pos2(cells.left() - 2.0, row.bottom()),
        );
        let id = ui.scope_id().with(("layer", layer));
        let response = ui.interact(rect, id, Sense::click());
        let number = matrix.layer(layer as u32);
        let on = chosen.0.contains(&number);
        let name = || format!("Layer {number}");
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, name()));
        let color = if response.hovered() {
            ink.hover
        } else if on {
            ink.accent
        } else {
            ink.muted
        };
        if rows.contains(&(layer as u32)) {
            text_in(
                ui,
                rect.shrink2(vec2(4.0, 0.0)),
                Align2::RIGHT_CENTER,
                &number.to_string(),
                font.clone(),
                color,
            );
        }
        let command = with_axes(state, AxisSet::single(number), over.clone());
        header_response(
            cx,
            &response.on_hover_text(format!("Layer {number}, {how} of its heads (Shift: maximum)")),
            command,
        );
    }
    for head in 0..matrix.heads {
        let column = cell(cells, matrix, 0, head as u32);
        let rect = Rect::from_min_max(
            pos2(column.left(), cells.top() - TOP),
            pos2(column.right(), cells.top() - 2.0),
        );
        let id = ui.scope_id().with(("head", head));
        let response = ui.interact(rect, id, Sense::click());
        let on = chosen.1.contains(&(head as u32));
        response
            .widget_info(|| WidgetInfo::selected(Role::Button, true, on, format!("Head {head}")));
        let color = if response.hovered() {
            ink.hover
        } else if on {
            ink.accent
        } else {
            ink.muted
        };
        if columns.contains(&(head as u32)) {
            let wide = rect.expand2(vec2(12.0, 0.0));
            text_in(ui, wide, Align2::CENTER_CENTER, &head.to_string(), font.clone(), color);
        }
        let command = with_axes(state, over.clone(), AxisSet::single(head as u32));
        header_response(
            cx,
            &response.on_hover_text(format!("Head {head}, {how} of the layers (Shift: maximum)")),
            command,
        );
    }
    let corner = Rect::from_min_max(cells.min - vec2(LEFT, TOP), cells.min - vec2(2.0, 2.0));
    let response = ui.interact(corner, ui.scope_id().with("corner"), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "All layers and heads"));
    let color = if response.hovered() { ink.hover } else { ink.muted };
    text_in(ui, corner.shrink2(vec2(4.0, 0.0)), Align2::RIGHT_CENTER, "all", font, color);
    let command = with_axes(state, over.clone(), over);
    header_response(
        cx,
        &response.on_hover_text(format!("The {how} of all layers and heads")),
        command,
    );
}

fn header_response(cx: &PaneContext<'_>, response: &egui::Response, command: Command) {
    if response.clicked() {
        cx.intents.command(command);
    } else if response.hovered() {
        cx.preview(command);
    }
}

fn body(cx: &PaneContext<'_>, ui: &mut Ui, cells: Rect, matrix: &Matrix, state: &ViewState) {
    let response = ui.interact(cells, ui.scope_id().with("cells"), Sense::click_and_drag());
    response.widget_info(|| {
        let name = "Layer and head: click to choose, drag to scrub";
        WidgetInfo::labeled(Role::Unknown, true, name)
    });
    response.context_menu(|ui| {
        for act in [UiCommand::HeadOff, UiCommand::EachHeadOff, UiCommand::KeepHeads] {
            if ui.button(act.name()).clicked() {
                cx.intents.act(act);
                ui.close();
            }
        }
    });
    let map = &state.map;
    for marked in selected(cells, matrix, map) {
        frame_over_data(ui, marked, Mark::Chosen);
    }
    let Some(point) = response.interact_pointer_pos().or(response.hover_pos()) else { return };
    let (layer, head) = at(cells, matrix, point);
    let hovered = cell(cells, matrix, layer, head);
    let this = [matrix.layer(layer), head];
    let command = Command::SetLayerHead(this[0], this[1]);
    // The menu belongs to the head that it was opened on, or to the set that it is in.
    if response.secondary_clicked() {
        if !map.chosen_heads().contains(&this) {
            cx.intents.command(command);
        }
    } else if response.clicked() {
        let range = |anchor| head_choice::rectangle(&matrix.numbers, anchor, this);
        cx.intents.command(head_choice::click(ui, state, this, range));
    } else if response.dragged() && !head_choice::adds(ui) {
        cx.intents.send(Intent::Scrub(command));
    } else if response.hovered() {
        frame_over_data(ui, hovered, Mark::Hovered);
        cx.preview(command);
    }
    if response.drag_stopped() {
        cx.intents.send(Intent::Settle);
    }
}

/// The layers and heads whose numbers are marked: those of a set, or those that are chosen on each axis.
fn chosen_axes(map: &MapChoice) -> (Vec<u32>, Vec<u32>) {
    let named = |set: &AxisSet| set.named().unwrap_or_default().to_vec();
    match &map.head_set {
        Some(set) => set.heads().iter().map(|[layer, head]| (*layer, *head)).unzip(),
        None => (named(&map.layers), named(&map.heads)),
    }
}

/// The rectangles of the selection: the cells of a set; else a row, a column or one cell.
fn selected(cells: Rect, matrix: &Matrix, map: &MapChoice) -> Vec<Rect> {
    if let Some(set) = &map.head_set {
        let one = |[layer, head]: &LayerHead| Some(cell(cells, matrix, matrix.row(*layer)?, *head));
        return set.heads().iter().filter_map(one).collect();
    }
    let row = |layer: Option<&u32>| layer.and_then(|&layer| matrix.row(layer));
    let rows = map.layers.named().map(|set| (row(set.first()), row(set.last())));
    let columns = map.heads.named().map(|set| (set.first().copied(), set.last().copied()));
    let all = |len: usize| (0, len.saturating_sub(1) as u32);
    let span = |named: Option<(Option<u32>, Option<u32>)>, len: usize| match named {
        Some((Some(first), Some(last))) => (first, last),
        _ => all(len),
    };
    if rows.is_none() && columns.is_none() {
        return Vec::new();
    }
    let (first_layer, last_layer) = span(rows, matrix.layers);
    let (first_head, last_head) = span(columns, matrix.heads);
    let first = cell(cells, matrix, first_layer, first_head);
    vec![first.union(cell(cells, matrix, last_layer, last_head))]
}

/// The exact value of the shown cell.
fn reading(cx: &PaneContext<'_>, matrix: &Matrix, quantity: Quantity) -> String {
    let map = &cx.shown.map;
    let largest = matrix.range[1].abs().max(matrix.range[0].abs());
    let of = |[layer, head]: &LayerHead| matrix.row(*layer).and_then(|row| matrix.at(row, *head));
    let chosen = map.chosen_heads();
    let text = match chosen.as_slice() {
        [one] => of(one).map(|value| {
            let [layer, head] = one;
            format!("{} · {}", head_name(*layer, *head), quantity.text(value, largest))
        }),
        [] => Some(format!("{} × {} heads", matrix.layers, matrix.heads)),
        several => {
            let values: Vec<f32> = several.iter().filter_map(of).collect();
            let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
            Some(format!("{} heads · mean {}", several.len(), quantity.text(mean, largest)))
        }
    };
    text.unwrap_or_default()
}
