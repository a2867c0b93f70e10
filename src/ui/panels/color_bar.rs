//! The colours of the layer × head matrix with ticks; its ends can be dragged.

use super::colors::{color_of, ramp};
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::value_cache::Matrix;
use crate::ui::widgets::{ink, text_in};
use crate::view::figure::Ticks;
use crate::view::{ColorMap, Command, Unit, ViewState};
use egui::{Align2, CursorIcon, Id, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Height of the bar with its ticks.
pub const HEIGHT: f32 = 34.0;
const RAMP: f32 = 8.0;
const MOST_TICKS: usize = 5;
/// Least length of the bar, for its numbers.
const LEAST_LENGTH: f32 = 150.0;

/// The values at the ends of the colours: those that were set, or the smallest and the largest.
pub fn range_in_use(state: &ViewState, matrix: &Matrix) -> [f32; 2] {
    state.matrix_range.map_or(matrix.range, |range| range.map(|end| end as f32))
}

/// The colour map in use: numbers of two signs need a neutral middle.
pub fn colormap(state: &ViewState) -> ColorMap {
    match state.quantity.is_signed() && !state.colormap.is_diverging() {
        true => ColorMap::Coolwarm,
        false => state.colormap,
    }
}

/// A colour bar: values of `full` in the colours of `range`.
pub struct Bar {
    /// The values at the ends of the colours.
    pub range: [f32; 2],
    /// The smallest and the largest value.
    pub full: [f32; 2],
    /// The colours.
    pub colormap: ColorMap,
    /// The unit of the values.
    pub unit: Unit,
    /// Whether 0 stays in the middle of the colours.
    pub is_signed: bool,
}

/// A change of the range of the colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Another range; `None` is the whole range of the values.
    Range(Option<[f64; 2]>),
    /// An end that was dragged was let go.
    Settled,
}

/// Draws the bar of the view's matrix below its cells; a drag moves the nearer end, a double click resets both.
pub fn show(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    state: &ViewState,
    matrix: &Matrix,
    cells: egui::Rangef,
) {
    let bar = Bar {
        range: range_in_use(state, matrix),
        full: matrix.range,
        colormap: colormap(state),
        unit: state.quantity.unit(),
        is_signed: state.quantity.is_signed(),
    };
    for change in bar.show(ui, cells) {
        match change {
            Change::Range(None) => cx.intents.command(Command::SetMatrixRange(None)),
            Change::Range(range) => cx.intents.send(Intent::Scrub(Command::SetMatrixRange(range))),
            Change::Settled => cx.intents.send(Intent::Settle),
        }
    }
}

impl Bar {
    /// Draws the bar along the cells whose colours it explains; a drag moves the nearer end, a double click resets both.
    pub fn show(&self, ui: &mut Ui, cells: egui::Rangef) -> Vec<Change> {
        let (whole, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::click_and_drag());
        let (range, unit) = (self.range, self.unit);
        response.widget_info(|| {
            let [low, high] = range.map(|end| unit.text(f64::from(end), f64::from(range[1])));
            let name = format!("Colours from {low} to {high}: drag an end, double-click to reset");
            WidgetInfo::labeled(Role::Slider, true, name)
        });
        let most = (whole.right() - cells.min).max(8.0);
        let track = Rect::from_min_size(
            pos2(cells.min, whole.top() + 6.0),
            vec2(cells.span().max(LEAST_LENGTH).min(most), RAMP),
        );
        let (low, high) = (range[0].min(self.full[0]), range[1].max(self.full[1]));
        let scale = Axis { track, low, high };
        self.paint(ui, &scale, whole, response.hovered() || response.dragged());
        self.changes(ui, &response, &scale)
    }
}

/// Values along the bar.
struct Axis {
    track: Rect,
    low: f32,
    high: f32,
}

impl Axis {
    fn x(&self, value: f32) -> f32 {
        let share = (value - self.low) / (self.high - self.low).max(f32::MIN_POSITIVE);
        self.track.left() + share.clamp(0.0, 1.0) * self.track.width()
    }

    fn value(&self, x: f32) -> f32 {
        let share = ((x - self.track.left()) / self.track.width()).clamp(0.0, 1.0);
        self.low + share * (self.high - self.low)
    }
}

impl Bar {
    fn paint(&self, ui: &Ui, axis: &Axis, whole: Rect, hot: bool) {
        let ink = ink(ui);
        let (map, [low, high]) = (self.colormap, self.range);
        let (left, right) = (axis.x(low), axis.x(high));
        let part = |from: f32, to: f32| Rect::from_x_y_ranges(from..=to, axis.track.y_range());
        ui.painter().rect_filled(part(axis.track.left(), left), 0.0, color_of(map, 0.0));
        ui.painter().rect_filled(part(right, axis.track.right()), 0.0, color_of(map, 1.0));
        ramp(ui, map, part(left, right));
        let color = if hot { ink.hover } else { ink.muted };
        for x in [left, right] {
            let top = axis.track.top() - 1.0;
            let corners = vec![pos2(x - 4.0, top - 5.0), pos2(x + 4.0, top - 5.0), pos2(x, top)];
            ui.painter().add(Shape::convex_polygon(corners, color, Stroke::NONE));
            ui.painter().vline(x, axis.track.y_range(), Stroke::new(1.0, color));
        }
        let unit = self.unit;
        let shown = [axis.low, axis.high].map(|end| f64::from(end) * unit.factor());
        let mut ticks = Ticks::new(shown, MOST_TICKS);
        if ticks.values.is_empty() {
            ticks.values.push(shown[0]);
        }
        let last = ticks.values.len() - 1;
        for (index, &tick) in ticks.values.iter().enumerate() {
            let x = axis.x((tick / unit.factor()) as f32);
            ui.painter().vline(
                x,
                axis.track.bottom()..=axis.track.bottom() + 3.0,
                Stroke::new(1.0, ink.muted),
            );
            let mut text = short(ticks.text(tick));
            if index == last {
                text.push_str(unit.suffix());
            }
            let font = theme::plain(11.0);
            let width = ui.painter().layout_no_wrap(text.clone(), font.clone(), ink.muted).size().x;
            // The last number must not leave the panel.
            let x = x.min(whole.right() - width / 2.0);
            let place = Rect::from_center_size(
                pos2(x, axis.track.bottom() + 11.0),
                vec2(width + 1.0, 14.0),
            );
            text_in(ui, place, Align2::CENTER_CENTER, &text, font, ink.muted);
        }
    }
}

/// A number without zeros that say nothing: "0.100" is "0.1".
fn short(text: String) -> String {
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Bar {
    fn changes(&self, ui: &Ui, response: &egui::Response, axis: &Axis) -> Vec<Change> {
        let ([low, high], mut changes) = (self.range, Vec::new());
        let end_id = Id::unique("end of the colour bar");
        if response.hovered() || response.dragged() {
            ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
        }
        if response.double_clicked() {
            return vec![Change::Range(None)];
        }
        if response.drag_started() {
            let from = ui.input(|input| input.pointer.press_origin()).map_or(0.0, |at| at.x);
            let is_high = (from - axis.x(high)).abs() <= (from - axis.x(low)).abs();
            ui.data_mut(|data| data.insert_temp(end_id, is_high));
        }
        if let Some(at) = response.interact_pointer_pos().filter(|_| response.dragged()) {
            let is_high = ui.data(|data| data.get_temp::<bool>(end_id)).unwrap_or(true);
            let value = axis.value(at.x);
            let least = (axis.high - axis.low) * 1e-3;
            let range = match (self.is_signed, is_high) {
                // 0 stays in the middle of the colours.
                (true, _) => {
                    let most = value.abs().max(least);
                    [-most, most]
                }
                (false, true) => [low, value.max(low + least)],
                (false, false) => [value.min(high - least), high],
            };
            if range[0] < range[1] {
                changes.push(Change::Range(Some(range.map(f64::from))));
            }
        }
        if response.drag_stopped() {
            changes.push(Change::Settled);
        }
        let text = "Drag an end to change the range of the colours; double-click to reset it.";
        response.clone().on_hover_text(text);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_that_say_nothing_are_left_out() {
        assert_eq!(short("0.500".into()), "0.5");
        assert_eq!(short("100".into()), "100");
    }
}
