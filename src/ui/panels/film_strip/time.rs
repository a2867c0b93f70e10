//! The stops in time: blocks with ramps, draggable edges, the ruler and the play head.

use super::bar::send;
use crate::ui::film::{clock, duration};
use crate::ui::pane::PaneContext;
use crate::ui::theme::{self, Ink};
use crate::ui::walkthrough::editor::{
    Editor, Stop, WalkthroughCommand, stop_number, stop_of_number,
};
use crate::ui::widgets::{ink, text_in};
use crate::view::timeline::{Edit, Timeline, caption_text};
use egui::{
    Align2, Color32, CursorIcon, Id, Pos2, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui,
    Vec2, WidgetInfo, pos2, vec2,
};

const RULER: f32 = 20.0;
const BLOCK: f32 = 72.0;
/// Half the width of the area that catches an edge, in points.
const GRIP: f32 = 4.0;
/// Height of the lower end of a ramp and width of its upper end; narrower ramps are not drawn.
const THIN_RAMP: f32 = 1.0;
/// Least scale at which a step can be seen and dragged.
const LEAST_POINTS_A_SECOND: f32 = 8.0;

/// From seconds to points.
#[derive(Clone, Copy)]
struct Scale {
    left: f32,
    points_a_second: f32,
}

impl Scale {
    fn x(self, seconds: f64) -> f32 {
        self.left + seconds as f32 * self.points_a_second
    }

    fn seconds(self, x: f32) -> f64 {
        f64::from((x - self.left) / self.points_a_second)
    }
}

/// Draws the stops in time.
pub(super) fn time(cx: &PaneContext<'_>, ui: &mut Ui, editor: &Editor) {
    let timeline = Timeline::new(editor.walkthrough());
    let room = ui.available_width() - 2.0 * GRIP;
    let seconds = timeline.seconds().max(0.1) as f32;
    let fits = room / seconds;
    // While an edge is dragged the scale stays, so that the edge stays under the pointer.
    let frozen = Id::unique("film strip scale");
    let held: Option<f32> = ui.data(|data| data.get_temp(frozen));
    let points_a_second = held.unwrap_or((fits.max(LEAST_POINTS_A_SECOND) * editor.zoom).max(fits));
    let scroll = egui::ScrollArea::horizontal().id_salt("film strip").auto_shrink(false);
    scroll.show(ui, |ui| {
        let size = vec2(seconds * points_a_second + 2.0 * GRIP, RULER + BLOCK);
        let (whole, _) = ui.allocate_exact_size(size.max(vec2(room, 0.0)), Sense::hover());
        let scale = Scale { left: whole.left() + GRIP, points_a_second };
        let (ruler, blocks) = whole.split_top_bottom_at_y(whole.top() + RULER);
        ruler_marks(cx, ui, ruler, scale, &timeline);
        let mut dragged = None;
        for number in 0..timeline.stops() {
            if let Some(at) = block(cx, ui, blocks, scale, editor, &timeline, number) {
                dragged = Some((number, at));
            }
        }
        let mut is_held = false;
        for number in 0..timeline.stops() {
            is_held |= edges(cx, ui, blocks, scale, &timeline, number);
        }
        let is_down = ui.input(|input| input.pointer.any_down());
        ui.data_mut(|data| {
            if is_held {
                data.insert_temp(frozen, points_a_second);
            } else if !is_down {
                data.remove::<f32>(frozen);
            }
        });
        if let Some((number, at)) = dragged {
            drop_mark(cx, ui, blocks, scale, &timeline, (number, at));
        }
        play_head(ui, whole, scale, editor);
        follow_selection(ui, blocks, scale, editor, &timeline);
        if ui.rect_contains_pointer(whole) {
            let zoom = ui.input(|input| input.zoom_delta());
            if (zoom - 1.0).abs() > 1e-3 {
                send(cx, WalkthroughCommand::Zoom(editor.zoom * zoom));
            }
        }
    });
}

fn ruler_marks(cx: &PaneContext<'_>, ui: &Ui, ruler: Rect, scale: Scale, timeline: &Timeline<'_>) {
    let ink = ink(ui);
    let response = ui.interact(ruler, Id::unique("film strip ruler"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Slider, true, "Playhead"));
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];
    let step = steps.into_iter().find(|step| step * scale.points_a_second >= 56.0);
    let step = f64::from(step.unwrap_or(600.0));
    let count = (timeline.seconds() / step).floor() as u32;
    for number in 0..=count {
        let seconds = f64::from(number) * step;
        let x = scale.x(seconds);
        let stroke = Stroke::new(1.0, ink.hairline);
        ui.painter().vline(x, ruler.bottom() - 5.0..=ruler.bottom(), stroke);
        let text = if step < 1.0 { clock(seconds) } else { duration(seconds) };
        let at = Rect::from_min_max(pos2(x + 3.0, ruler.top()), pos2(x + 60.0, ruler.bottom()));
        text_in(ui, at, Align2::LEFT_CENTER, &text, theme::plain(theme::SMALL), ink.muted);
    }
    if let Some(at) = response.interact_pointer_pos() {
        send(cx, WalkthroughCommand::Seek(scale.seconds(at.x)));
    }
}

/// Name and text of a stop.
fn words(editor: &Editor, stop: Stop) -> (String, String) {
    let walkthrough = editor.walkthrough();
    let card = |card: Option<&crate::view::timeline::Card>| {
        card.map(|card| card.text.clone()).unwrap_or_default()
    };
    match stop {
        Stop::Title => ("Title".into(), card(walkthrough.title.as_ref())),
        Stop::End => ("End".into(), card(walkthrough.end.as_ref())),
        Stop::Step(at) => {
            let step = walkthrough.steps.get(at);
            let caption = step.map(|step| caption_text(&step.caption)).unwrap_or_default();
            (format!("{}", at + 1), caption)
        }
    }
}

/// Draws one stop; returns the pointer's position while the stop is dragged.
fn block(
    cx: &PaneContext<'_>,
    ui: &Ui,
    blocks: Rect,
    scale: Scale,
    editor: &Editor,
    timeline: &Timeline<'_>,
    number: usize,
) -> Option<Pos2> {
    let ink = ink(ui);
    let start = timeline.start_secs(number);
    let arrival = start + timeline.transition_secs(number);
    let end = arrival + timeline.hold_secs(number);
    let stop = stop_of_number(timeline, number);
    let (from, there, to) = (scale.x(start), scale.x(arrival), scale.x(end));
    let rect = Rect::from_min_max(pos2(from, blocks.top() + 2.0), pos2(to, blocks.bottom() - 2.0));
    let response = ui.interact(rect, Id::unique(("film strip", number)), Sense::click_and_drag());
    let (name, said) = words(editor, stop);
    let selected = editor.selected() == stop;
    let label = match stop {
        Stop::Step(_) => format!("Step {name}: {said}"),
        Stop::Title | Stop::End => format!("{name} card: {said}"),
    };
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, &label));
    if ui.is_rect_visible(rect) {
        let fill = if response.hovered() || selected { ink.raised_hover } else { ink.raised };
        paint_block(ui, rect, there, fill, ink);
        let inside = Rect::from_min_max(pos2(there, rect.top()), rect.max).shrink2(vec2(4.0, 2.0));
        contents(ui, inside, editor, stop, (&name, &said), ink);
        let stroke = if selected {
            Stroke::new(1.5, ink.accent)
        } else if response.hovered() || response.has_focus() {
            Stroke::new(1.0, ink.hover)
        } else {
            Stroke::NONE
        };
        let outline = Rect::from_min_max(rect.min, pos2(rect.max.x - 1.0, rect.max.y));
        ui.painter().rect_stroke(outline, 2.0, stroke, StrokeKind::Inside);
    }
    let hint = match stop {
        Stop::Step(_) => format!(
            "{said}\n{:.1} s, transition {:.1} s\nDouble-click to change its view; drag to move it",
            timeline.hold_secs(number),
            timeline.transition_secs(number)
        ),
        Stop::Title | Stop::End => format!("{name} card, {:.1} s", timeline.hold_secs(number)),
    };
    if response.double_clicked() {
        if let Stop::Step(at) = stop {
            send(cx, WalkthroughCommand::ShowView(at));
        }
    } else if response.clicked() {
        send(cx, WalkthroughCommand::Select(stop));
    }
    let is_step = matches!(stop, Stop::Step(_));
    let at = response.interact_pointer_pos();
    let released = response.drag_stopped();
    let dragged = is_step && (response.dragged() || released);
    if !dragged {
        response.on_hover_text(hint.trim_start());
    }
    at.filter(|_| dragged)
}

/// A transition is drawn as a rising ramp, then the stop at full height.
fn paint_block(ui: &Ui, rect: Rect, there: f32, fill: Color32, ink: Ink) {
    let gap = vec2(1.0, 0.0);
    let stands = Rect::from_min_max(pos2(there, rect.top()), rect.max - gap);
    let shade = fill.lerp_to_gamma(ink.panel, 0.45);
    ui.painter().extend(ramp(rect, there, shade));
    ui.painter().rect_filled(stands, 2.0, fill);
}

/// A ramp from the left edge of `rect` to `there`. Its ends are blunt: the smoothed edges of a thin, sharp triangle
/// reach far beyond its corners.
fn ramp(rect: Rect, there: f32, shade: Color32) -> Option<egui::Shape> {
    let width = there - rect.left();
    if width < THIN_RAMP {
        return None;
    }
    let corners = vec![
        pos2(rect.left(), rect.bottom()),
        pos2(rect.left(), rect.bottom() - THIN_RAMP),
        pos2(there - THIN_RAMP, rect.top()),
        pos2(there, rect.top()),
        pos2(there, rect.bottom()),
    ];
    Some(egui::Shape::convex_polygon(corners, shade, Stroke::NONE))
}

fn contents(
    ui: &Ui,
    inside: Rect,
    editor: &Editor,
    stop: Stop,
    (name, said): (&str, &str),
    ink: Ink,
) {
    if inside.width() < 6.0 {
        return;
    }
    let painter = ui.painter().with_clip_rect(inside.intersect(ui.clip_rect()));
    let head = Rect::from_min_size(inside.min, vec2(inside.width(), 18.0));
    let name = painter.layout_no_wrap(name.to_owned(), theme::strong(theme::SMALL), ink.text);
    let width = name.size().x;
    painter.galley(pos2(head.left(), head.center().y - name.size().y / 2.0), name, ink.text);
    let rest = Rect::from_min_max(pos2(head.left() + width + 6.0, head.top()), head.max);
    if rest.width() > 16.0 {
        text_in(ui, rest, Align2::LEFT_CENTER, said, theme::plain(theme::SMALL), ink.muted);
    }
    let below = Rect::from_min_max(pos2(inside.left(), head.bottom() + 2.0), inside.max);
    if let Stop::Step(at) = stop
        && let Some((texture, part, aspect)) = editor.small_picture(at)
    {
        let size = vec2(below.height() * aspect, below.height());
        let place = Rect::from_min_size(below.min, size);
        painter.image(texture, place, part, Color32::WHITE);
    }
}

/// Draggable edges of a stop: its end, and the end of the transition to it. Returns whether one is dragged.
fn edges(
    cx: &PaneContext<'_>,
    ui: &Ui,
    blocks: Rect,
    scale: Scale,
    timeline: &Timeline<'_>,
    number: usize,
) -> bool {
    let stop = stop_of_number(timeline, number);
    let start = timeline.start_secs(number);
    let arrival = start + timeline.transition_secs(number);
    let end = arrival + timeline.hold_secs(number);
    let mut held = false;
    let mut grip = |name: &str, seconds: f64| -> (Response, Option<f64>) {
        let x = scale.x(seconds);
        let rect =
            Rect::from_min_max(pos2(x - GRIP, blocks.top()), pos2(x + GRIP, blocks.bottom()));
        let response =
            ui.interact(rect, Id::unique(("film strip edge", name, number)), Sense::drag());
        if response.hovered() || response.dragged() {
            ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
            ui.painter().vline(x, blocks.y_range(), Stroke::new(2.0, ink(ui).hover));
        }
        held |= response.dragged();
        let to = response.dragged().then(|| response.interact_pointer_pos()).flatten();
        let to = to.map(|to| scale.seconds(to.x));
        (response, to)
    };
    // The first stop has no transition, and that to a card has a fixed length.
    if let Stop::Step(at) = stop
        && number > 0
    {
        let (response, to) = grip("way", arrival);
        if let Some(to) = to {
            send(cx, WalkthroughCommand::Edit(Edit::Transition(at, to - start)));
        }
        if response.drag_stopped() {
            send(cx, WalkthroughCommand::Settle);
        }
    }
    let (response, to) = grip("end", end);
    if let Some(to) = to {
        send(cx, WalkthroughCommand::Hold(stop, to - arrival));
    }
    if response.drag_stopped() {
        send(cx, WalkthroughCommand::Settle);
    }
    held
}

/// Marks the place that a dragged step would move to, and moves it when it is released.
fn drop_mark(
    cx: &PaneContext<'_>,
    ui: &Ui,
    blocks: Rect,
    scale: Scale,
    timeline: &Timeline<'_>,
    (number, at): (usize, Pos2),
) {
    let Some(from) = timeline.step_of(number) else { return };
    // The step is inserted before the first one whose middle lies to the right of the pointer.
    let steps: Vec<usize> =
        (0..timeline.stops()).filter(|&stop| timeline.step_of(stop).is_some()).collect();
    let middle = |stop: usize| {
        let start = timeline.start_secs(stop);
        scale.x(start + (timeline.transition_secs(stop) + timeline.hold_secs(stop)) / 2.0)
    };
    let before = steps.iter().position(|&stop| middle(stop) > at.x).unwrap_or(steps.len());
    let to = if before > from { before - 1 } else { before };
    let mark = match steps.get(before) {
        Some(&stop) => timeline.start_secs(stop),
        None => steps.last().map_or(0.0, |&stop| {
            timeline.start_secs(stop) + timeline.transition_secs(stop) + timeline.hold_secs(stop)
        }),
    };
    if to != from {
        let stroke = Stroke::new(3.0, ink(ui).accent);
        ui.painter().vline(scale.x(mark), blocks.y_range(), stroke);
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
        if ui.input(|input| input.pointer.any_released()) {
            send(cx, WalkthroughCommand::Edit(Edit::Move(from, to)));
        }
    }
}

/// Scrolls to the stop that was selected in another panel.
fn follow_selection(ui: &Ui, blocks: Rect, scale: Scale, editor: &Editor, timeline: &Timeline<'_>) {
    let number = stop_number(timeline, editor.selected());
    let id = Id::unique("film strip selection");
    let before: Option<usize> = ui.data(|data| data.get_temp(id));
    if before != Some(number) {
        ui.data_mut(|data| data.insert_temp(id, number));
        let start = timeline.start_secs(number);
        let end = start + timeline.transition_secs(number) + timeline.hold_secs(number);
        let x = scale.x(start)..=scale.x(end);
        ui.scroll_to_rect(Rect::from_x_y_ranges(x, blocks.y_range()), None);
    }
}

fn play_head(ui: &Ui, whole: Rect, scale: Scale, editor: &Editor) {
    let ink = ink(ui);
    let x = scale.x(editor.at_secs());
    let top = whole.top() + RULER - 7.0;
    ui.painter().vline(x, top..=whole.bottom(), Stroke::new(1.5, ink.accent));
    let flag = vec![pos2(x - 5.0, top - 5.0), pos2(x + 5.0, top - 5.0), pos2(x, top + 3.0)];
    ui.painter().add(egui::Shape::convex_polygon(flag, ink.accent, Stroke::NONE));
    if editor.is_playing() {
        let near = Rect::from_center_size(pos2(x, whole.center().y), Vec2::splat(48.0));
        ui.scroll_to_rect(near, None);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use egui::epaint::{ClippedShape, Primitive};

    /// Bounds of the triangles that a shape becomes.
    fn drawn(shape: egui::Shape) -> Rect {
        let ctx = egui::Context::default();
        let clip_rect = Rect::EVERYTHING;
        let _ = ctx.run_ui(egui::RawInput::default(), |_| ());
        let transform_after_tessellation = egui::emath::TSTransform::IDENTITY;
        let shape = ClippedShape { clip_rect, shape, transform_after_tessellation };
        let mut bounds = Rect::NOTHING;
        for primitive in ctx.tessellate(vec![shape], 1.0) {
            let Primitive::Mesh(mesh) = primitive.primitive else { continue };
            mesh.vertices.iter().for_each(|vertex| bounds.extend_with(vertex.pos));
        }
        bounds
    }

    #[test]
    fn a_ramp_of_any_width_stays_in_its_block() {
        let rect = Rect::from_min_size(pos2(10.37, 680.0), vec2(200.0, 30.0));
        for step in 0..2000 {
            let there = rect.left() + step as f32 * 0.099;
            let Some(shape) = ramp(rect, there, Color32::WHITE) else { continue };
            let bounds = drawn(shape);
            assert!(rect.expand(1.0).contains_rect(bounds), "{there}: {bounds:?}");
        }
    }
}
