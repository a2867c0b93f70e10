//! The samples as points over two numbers; a rectangle that is drawn around some selects them.

use super::common::{axes, axis_name, change, description, send};
use crate::table::statistics::{Mask, Values};
use crate::ui::data_set::{Axis, Brush, Counts, DataSetDoc, DataSetId};
use crate::ui::intent::DataSetCommand;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::widgets::{ink, muted, text_in, thousands};
use crate::view::figure::Ticks;
use egui::{
    Align2, Color32, CursorIcon, Mesh, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui,
    WidgetInfo, pos2, vec2,
};
use std::sync::Arc;

const LEFT: f32 = 54.0;
const BOTTOM: f32 = 18.0;
/// Distance to a point at which the pointer is on it.
const NEAR: f32 = 8.0;

/// The plot.
#[derive(Default)]
pub struct Plot {
    drawn: Option<Drawn>,
    /// The start of a drag.
    from: Option<Pos2>,
}

#[derive(Clone, Copy, PartialEq)]
struct Key {
    of: DataSetId,
    revision: u64,
    frame: Rect,
    is_dark: bool,
}

/// The points, as they were drawn last.
struct Drawn {
    key: Key,
    /// Place of each sample; `None` without a number.
    places: Vec<Option<Pos2>>,
    ranges: [[f64; 2]; 2],
    mesh: Arc<Mesh>,
    missing: usize,
    /// Whether no sample has a place: there are no ranges then.
    is_empty: bool,
}

impl Plot {
    /// Draws the plot.
    pub fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
        let drawn = self.drawn.as_ref().filter(|drawn| !drawn.is_empty);
        top_line(cx, ui, doc, drawn.map_or(0, |drawn| drawn.missing));
        let whole = Rect::from_min_size(ui.cursor().min, ui.available_size());
        let frame = Rect::from_min_max(whole.min + vec2(LEFT, 6.0), whole.max - vec2(6.0, BOTTOM));
        if frame.width() < 40.0 || frame.height() < 30.0 {
            return;
        }
        let key =
            Key { of: doc.id, revision: doc.revision(), frame, is_dark: ui.visuals().dark_mode };
        if self.drawn.as_ref().is_none_or(|drawn| drawn.key != key) {
            self.drawn = Some(draw(ui, doc, key));
        }
        let Some(drawn) = &self.drawn else { return };
        if drawn.is_empty {
            self.from = None;
            let font = theme::plain(theme::BODY);
            let text = nothing(doc);
            text_in(ui, frame, Align2::CENTER_CENTER, text, font, ink(ui).muted);
            let response = ui.interact(frame, ui.scope_id().with("no points"), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
            return;
        }
        scales(ui, drawn);
        ui.painter().with_clip_rect(frame.expand(3.0)).add(Shape::mesh(Arc::clone(&drawn.mesh)));
        if let Some(brush) = doc.outline() {
            outline(ui, drawn, brush);
        }
        let response = ui.interact(frame, ui.scope_id().with("plot"), Sense::click_and_drag());
        response.widget_info(|| {
            WidgetInfo::labeled(
                Role::Unknown,
                true,
                "Plot of the samples: drag a rectangle to select samples, click a point to open it",
            )
        });
        if response.hovered() {
            ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
        }
        if response.drag_started() {
            self.from = ui.input(|input| input.pointer.press_origin());
        }
        if let (Some(from), Some(to)) = (self.from, response.interact_pointer_pos()) {
            let dragged = Rect::from_two_pos(from, to).intersect(frame);
            ui.painter().rect_stroke(
                dragged,
                0.0,
                Stroke::new(1.0, ink(ui).accent),
                StrokeKind::Inside,
            );
            if response.drag_stopped() {
                self.from = None;
                let is_large = dragged.width() > 3.0 && dragged.height() > 3.0;
                let brush = is_large.then(|| brush_of(drawn, dragged, doc));
                send(cx, DataSetCommand::Brush(brush));
            }
            return;
        }
        let near = response.hover_pos().and_then(|point| nearest(drawn, point));
        if let Some((row, place)) = near {
            ui.painter().circle_stroke(place, 5.0, Stroke::new(1.5, ink(ui).hover));
            if response.clicked() {
                send(cx, DataSetCommand::Open(row));
            }
            response.on_hover_text(description(doc, row));
        } else if response.clicked() && doc.has_selection() {
            send(cx, DataSetCommand::Brush(None));
        }
    }
}

/// The reason why there are no points.
fn nothing(doc: &DataSetDoc) -> &'static str {
    let is_read = doc.progress().is_some() && doc.view().axes.contains(&Axis::Heads);
    if doc.filtered().count() == 0 {
        "No sample fits the filter."
    } else if is_read {
        "The numbers of the heads are being read …"
    } else {
        "No sample has a number on both axes."
    }
}

/// The axes, the meaning of the colours, and how many samples have no number.
fn top_line(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc, missing: usize) {
    ui.horizontal(|ui| {
        axis(cx, ui, doc, 1, "Up");
        muted(ui, "over");
        axis(cx, ui, doc, 0, "To the right");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let [right, wrong, unknown] = colors(ui);
            let Counts { samples, known, wrong: wrong_count } = doc.counts(false);
            let key = |ui: &mut Ui, color: Color32, text: &str| {
                muted(ui, text);
                let (rect, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 3.5, color);
            };
            if known < samples {
                key(ui, unknown, "no expected answer");
            }
            if known > wrong_count {
                key(ui, right, "right");
            }
            if wrong_count > 0 {
                key(ui, wrong, "wrong");
            }
            if missing > 0 {
                muted(ui, "·");
                muted(ui, format!("{} without a number", thousands(missing)));
            }
        });
    });
}

fn axis(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc, which: usize, name: &'static str) {
    let current = &doc.view().axes[which];
    egui::ComboBox::from_id_salt(name)
        .width((ui.max_rect().width() * 0.26).clamp(110.0, 230.0))
        .truncate()
        .height(420.0)
        .selected_text(axis_name(current, doc))
        .show_ui(ui, |ui| {
            let columns = doc.samples().numeric().map(Axis::column);
            let offered = std::iter::once(Axis::Heads).chain(columns).collect();
            if let Some(chosen) = axes(ui, doc, current, offered) {
                change(cx, doc, |view| view.axes[which] = chosen);
            }
        })
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, name));
}

/// The colours of right answers, wrong ones, and those without an expected answer.
fn colors(ui: &Ui) -> [Color32; 3] {
    let ink = ink(ui);
    [ink.accent, ink.error, ink.muted]
}

fn draw(ui: &Ui, doc: &DataSetDoc, key: Key) -> Drawn {
    let axes = &doc.view().axes;
    let values = [doc.values(&axes[0]), doc.values(&axes[1])];
    let counted = doc.filtered();
    let ranges = [0, 1].map(|axis| range_of(&values[axis], counted));
    let mut places = vec![None; counted.len()];
    let mut missing = 0;
    for (row, place) in places.iter_mut().enumerate().filter(|(row, _)| counted.has(*row)) {
        let [x, y] = [values[0][row], values[1][row]];
        match x.is_finite() && y.is_finite() {
            true => *place = Some(place_of(key.frame, ranges, [x, y])),
            false => missing += 1,
        }
    }
    // Wrong answers are few, and lie above the others.
    let correct = match doc.samples().column("correct") {
        Some(Values::Bool(bools)) => bools.as_slice(),
        _ => &[],
    };
    let of_kind = |kind: usize, row: usize| match correct.get(row).copied().flatten() {
        None => kind == 0,
        Some(true) => kind == 1,
        Some(false) => kind == 2,
    };
    let [right, wrong, unknown] = colors(ui);
    let radius = match doc.counts(false).samples {
        0..=50 => 4.0,
        51..=3000 => 2.4,
        _ => 1.6,
    };
    let mut mesh = Mesh::default();
    for (kind, color) in [unknown, right, wrong].into_iter().enumerate() {
        for (row, place) in places.iter().enumerate() {
            let Some(place) = place.filter(|_| of_kind(kind, row)) else { continue };
            let is_selected = doc.selected().has(row);
            let color =
                if is_selected { color.gamma_multiply(0.8) } else { color.gamma_multiply(0.15) };
            point(&mut mesh, place, radius, color);
        }
    }
    let is_empty = places.iter().all(Option::is_none);
    Drawn { key, places, ranges, mesh: Arc::new(mesh), missing, is_empty }
}

/// Adds an octagon, which looks like a disc at this size.
fn point(mesh: &mut Mesh, centre: Pos2, radius: f32, color: Color32) {
    const CORNERS: u32 = 8;
    let first = mesh.vertices.len() as u32;
    for corner in 0..CORNERS {
        let angle = (corner as f32 + 0.5) / CORNERS as f32 * std::f32::consts::TAU;
        mesh.colored_vertex(centre + radius * vec2(angle.cos(), angle.sin()), color);
    }
    for corner in 1..CORNERS - 1 {
        mesh.add_triangle(first, first + corner, first + corner + 1);
    }
}

/// The range of the numbers of the samples that count, with a margin.
fn range_of(values: &[f64], counted: &Mask) -> [f64; 2] {
    let known =
        values.iter().enumerate().filter(|(row, value)| counted.has(*row) && value.is_finite());
    let [low, high] = known.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], (_, &value)| {
        [low.min(value), high.max(value)]
    });
    if low > high {
        return [0.0, 1.0];
    }
    let margin = if high > low { 0.03 * (high - low) } else { low.abs().max(1.0) * 0.5 };
    [low - margin, high + margin]
}

fn place_of(frame: Rect, ranges: [[f64; 2]; 2], [x, y]: [f64; 2]) -> Pos2 {
    let share = |value: f64, [low, high]: [f64; 2]| ((value - low) / (high - low)) as f32;
    pos2(
        frame.left() + share(x, ranges[0]) * frame.width(),
        frame.bottom() - share(y, ranges[1]) * frame.height(),
    )
}

/// The numbers at a place.
fn values_at(drawn: &Drawn, at: Pos2) -> [f64; 2] {
    let frame = drawn.key.frame;
    let value = |share: f32, [low, high]: [f64; 2]| low + f64::from(share) * (high - low);
    [
        value((at.x - frame.left()) / frame.width(), drawn.ranges[0]),
        value((frame.bottom() - at.y) / frame.height(), drawn.ranges[1]),
    ]
}

fn brush_of(drawn: &Drawn, dragged: Rect, doc: &DataSetDoc) -> Brush {
    let [left, low] = values_at(drawn, dragged.left_bottom());
    let [right, high] = values_at(drawn, dragged.right_top());
    Brush { axes: doc.view().axes.clone(), ranges: [[left, right], [low, high]] }
}

fn outline(ui: &Ui, drawn: &Drawn, brush: &Brush) {
    let [[left, right], [low, high]] = brush.ranges;
    let at = |x: f64, y: f64| place_of(drawn.key.frame, drawn.ranges, [x, y]);
    let rect = Rect::from_two_pos(at(left, low), at(right, high)).intersect(drawn.key.frame);
    let accent = ink(ui).accent;
    ui.painter().rect_filled(rect, 0.0, accent.gamma_multiply(0.08));
    ui.painter().rect_stroke(rect, 0.0, Stroke::new(1.0, accent), StrokeKind::Inside);
}

fn nearest(drawn: &Drawn, point: Pos2) -> Option<(usize, Pos2)> {
    let places = drawn.places.iter().enumerate();
    places
        .filter_map(|(row, place)| Some((row, (*place)?)))
        .filter(|(_, place)| place.distance_sq(point) < NEAR * NEAR)
        .min_by(|a, b| a.1.distance_sq(point).total_cmp(&b.1.distance_sq(point)))
}

/// Lines and numbers at round values.
fn scales(ui: &Ui, drawn: &Drawn) {
    let (frame, ink) = (drawn.key.frame, ink(ui));
    let font = || theme::plain(11.0);
    let line = Stroke::new(1.0, ink.hairline);
    let ticks = Ticks::new(drawn.ranges[0], (frame.width() / 90.0).max(2.0) as usize);
    for &tick in &ticks.values {
        let x = place_of(frame, drawn.ranges, [tick, drawn.ranges[1][0]]).x;
        ui.painter().vline(x, frame.y_range(), line);
        let place = Rect::from_center_size(pos2(x, frame.bottom() + 10.0), vec2(80.0, 14.0));
        text_in(ui, place, Align2::CENTER_CENTER, &ticks.text(tick), font(), ink.muted);
    }
    let ticks = Ticks::new(drawn.ranges[1], (frame.height() / 24.0).max(2.0) as usize);
    for &tick in &ticks.values {
        let y = place_of(frame, drawn.ranges, [drawn.ranges[0][0], tick]).y;
        ui.painter().hline(frame.x_range(), y, line);
        let place = Rect::from_min_max(
            pos2(frame.left() - LEFT, y - 7.0),
            pos2(frame.left() - 6.0, y + 7.0),
        );
        text_in(ui, place, Align2::RIGHT_CENTER, &ticks.text(tick), font(), ink.muted);
    }
}
