//! The deletion and insertion test of a map: its curves beside those of the trace's other maps and of a random one,
//! drawn while the model runs.
//!
//! The test scores the present view: the chosen tokens, and the map with its layers and heads. The panel names that
//! choice; the curves do not follow later changes of the view.

use crate::model::Curve;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::score::{Scores, TASK, chosen};
use crate::ui::theme;
use crate::ui::widgets::{ink, muted, primary_button, text_in};
use crate::view::Command;
use egui::{Align2, Color32, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

const CHART_HEIGHT: f32 = 120.0;
const ROW: f32 = 24.0;

/// The deletion and insertion curves.
#[derive(Default)]
pub struct Score;

impl PaneUi for Score {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        if let Some(several) = cx.current.map(|doc| doc.meta().spans.len()).filter(|&n| n > 1) {
            muted(
                ui,
                format!(
                    "The model saw {several} views of the pictures. Patches can be blanked only \
                    where it saw one picture in one view."
                ),
            );
            return;
        }
        let Some(doc) = cx.current.filter(|doc| !doc.live && doc.meta().spans.len() == 1) else {
            muted(ui, "Ask about a picture first, then test its maps here.");
            return;
        };
        let (_, text) = chosen(&doc.trace, doc.state());
        let running = cx.tasks.iter().any(|task| task.title == TASK);
        let asked = ui
            .horizontal(|ui| {
                let title = if running { "Testing…" } else { "Test this map" };
                let clicked = primary_button(ui, title, !running).clicked();
                muted(ui, format!("for “{text}”"));
                clicked
            })
            .inner;
        if asked {
            cx.intents.send(Intent::TestMaps);
        }
        let Some(scores) = cx.scores.filter(|scores| scores.on == doc.id) else {
            muted(
                ui,
                "Patches are blanked in the order of the map and the answer is scored again. With \
                a good map, its probability falls early (deletion) and rises early (insertion). \
                A random map is tested as a control.",
            );
            return;
        };
        egui::ScrollArea::vertical().id_salt("scores").show(ui, |ui| {
            if let Some(meaning) = scores.meaning() {
                ui.add(egui::Label::new(theme::strong_text(&meaning, theme::SMALL)).wrap());
                ui.add_space(theme::GRID);
            }
            charts(ui, scores);
            muted(
                ui,
                format!(
                    "p(“{}”) against the share of patches that are blanked, or shown on a blank picture",
                    scores.text
                ),
            );
            ui.spacing_mut().item_spacing.y = 0.0;
            head(ui, scores);
            for index in 0..scores.lines.len() {
                row(cx, ui, scores, index);
            }
        });
    }
}

/// The colour of a line: the first is the tested map, the last the control.
fn color(ui: &Ui, index: usize, count: usize) -> Color32 {
    let ink = ink(ui);
    if index == 0 {
        ink.accent
    } else if index + 1 == count {
        ink.muted
    } else {
        ink.text.gamma_multiply(0.45)
    }
}

/// Both charts, side by side.
fn charts(ui: &mut Ui, scores: &Scores) {
    let size = vec2(ui.available_width(), CHART_HEIGHT);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let name = format!("Deletion and insertion curves of {} maps", scores.lines.len());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let half = (rect.width() - 12.0) / 2.0;
    for (at, title) in ["Deletion", "Insertion"].into_iter().enumerate() {
        let left = rect.left() + at as f32 * (half + 12.0);
        let area = Rect::from_min_size(pos2(left, rect.top()), vec2(half, rect.height()));
        let curve = |map: usize| -> Option<&Curve> {
            let curves = scores.curves.curves.iter().find(|curves| curves.map == map)?;
            Some(if at == 0 { &curves.deletion } else { &curves.insertion })
        };
        chart(ui, area, title, scores.lines.len(), &curve);
    }
}

fn chart<'a>(
    ui: &Ui,
    area: Rect,
    title: &str,
    count: usize,
    curve: &dyn Fn(usize) -> Option<&'a Curve>,
) {
    let ink = ink(ui);
    let font = || theme::plain(theme::SMALL);
    let label = Rect::from_min_size(area.min, vec2(area.width(), 18.0));
    text_in(ui, label, Align2::LEFT_CENTER, title, font(), ink.text);
    let plot = Rect::from_min_max(area.min + vec2(0.0, 22.0), area.max - vec2(0.0, 16.0));
    for y in [plot.top(), plot.bottom()] {
        ui.painter().hline(plot.x_range(), y, Stroke::new(1.0, ink.hairline));
    }
    let all =
        (0..count).filter_map(curve).flat_map(|curve| curve.points.last()).map(|point| point.0);
    let all = all.max().unwrap_or(1).max(1) as f32;
    // The shown map is drawn last, over the others.
    for index in (0..count).rev() {
        let Some(curve) = curve(index) else { continue };
        let points: Vec<_> = curve
            .points
            .iter()
            .map(|&(patches, p)| {
                let x = plot.left() + patches as f32 / all * plot.width();
                pos2(x, plot.bottom() - p.clamp(0.0, 1.0) as f32 * plot.height())
            })
            .collect();
        let stroke = Stroke::new(if index == 0 { 2.0 } else { 1.25 }, color(ui, index, count));
        if index + 1 == count {
            ui.painter().extend(Shape::dashed_line(&points, stroke, 4.0, 3.0));
        } else {
            ui.painter().line(points, stroke);
        }
    }
    let axis = Rect::from_min_max(pos2(area.left(), plot.bottom()), area.max);
    text_in(ui, axis, Align2::LEFT_CENTER, "0 %", font(), ink.muted);
    text_in(ui, axis, Align2::RIGHT_CENTER, "100 %", font(), ink.muted);
    text_in(ui, label, Align2::RIGHT_CENTER, "p from 0 to 1", font(), ink.muted);
}

fn columns(rect: Rect) -> [Rect; 4] {
    let x = |share: f32| rect.left() + share * rect.width();
    let of = |from: f32, to: f32| {
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    [of(0.06, 0.52), of(0.53, 0.67), of(0.68, 0.82), of(0.83, 1.0)]
}

fn head(ui: &mut Ui, scores: &Scores) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let [_, deletion, insertion, boxed] = columns(rect);
    let muted = ink(ui).muted;
    let has_boxes = scores.lines.iter().any(|line| line.fit.is_some());
    let heads = [
        (deletion, "del. ↓"),
        (insertion, "ins. ↑"),
        (boxed, if has_boxes { "in box" } else { "" }),
    ];
    for (rect, text) in heads {
        text_in(ui, rect, Align2::RIGHT_CENTER, text, theme::plain(theme::SMALL), muted);
    }
}

/// A row for a map: its areas, and whether its peak lies on the object. A click shows the map.
fn row(cx: &PaneContext<'_>, ui: &mut Ui, scores: &Scores, index: usize) {
    let line = &scores.lines[index];
    let ink = ink(ui);
    let sense = if line.source.is_some() { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), sense);
    let found = scores.curves.curves.iter().find(|curves| curves.map == index);
    let finished = scores.curves.done == scores.curves.total;
    let area = |curve: Option<&Curve>| match curve {
        Some(curve) if finished => format!("{:.2}", curve.area()),
        _ => "…".to_owned(),
    };
    let deletion = area(found.map(|curves| &curves.deletion));
    let insertion = area(found.map(|curves| &curves.insertion));
    let name = format!("{}: deletion {deletion}, insertion {insertion}", line.title);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, line.source.is_some(), &name));
    if response.hovered() && line.source.is_some() {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let color = color(ui, index, scores.lines.len());
    let mark = [2.0, 14.0].map(|x| pos2(rect.left() + x, rect.center().y));
    let stroke = Stroke::new(2.0, color);
    // As in the charts, the random map is dashed.
    if index + 1 == scores.lines.len() {
        ui.painter().extend(Shape::dashed_line(&mark, stroke, 4.0, 3.0));
    } else {
        ui.painter().line_segment(mark, stroke);
    }
    let [title, left, middle, right] = columns(rect);
    let font = || theme::plain(theme::SMALL);
    text_in(ui, title, Align2::LEFT_CENTER, &line.title, font(), ink.text);
    text_in(ui, left, Align2::RIGHT_CENTER, &deletion, font(), ink.text);
    text_in(ui, middle, Align2::RIGHT_CENTER, &insertion, font(), ink.text);
    if let Some(fit) = line.fit {
        let hit = if fit.hit { "●" } else { "○" };
        let text = format!("{hit} {:.0} %", fit.energy * 100.0);
        text_in(ui, right, Align2::RIGHT_CENTER, &text, font(), ink.text);
    }
    if let Some(source) = line.source.clone()
        && response
            .on_hover_text(
                "● the peak of the map lies in the box; %: share of the map inside it. \
                Click a map to show it.",
            )
            .clicked()
    {
        cx.intents.command(Command::SetSource(source));
    }
}
