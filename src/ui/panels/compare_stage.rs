//! Two answers on one stage: side by side, in turn, or left and right of a line.
//!
//! Both are complete pictures of two renderers under one view, so that the pictures below the maps (one is edited)
//! are compared as well.

use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::what_if::{Compare, Comparison, WhatIfCommand};
use crate::ui::widgets::{capital, ink};
use crate::view::History;
use egui::text::{LayoutJob, TextWrapping};
use egui::{
    Align2, Color32, CursorIcon, Pos2, Rangef, Rect, Role, Sense, Stroke, TextureId, Ui, Vec2,
    WidgetInfo, pos2, vec2,
};
use std::sync::Arc;
use std::time::Duration;

/// Time that each answer is shown for in flicker mode.
const FLICKER: Duration = Duration::from_millis(500);
/// Half the width of the area that catches the line of a swipe, in points.
const CATCH: f32 = 6.0;
/// Distance of a label from the edges of its answer, and the space around its text on both sides together.
const LABEL_MARGIN: f32 = 10.0;
const LABEL_PADDING: Vec2 = vec2(12.0, 6.0);

/// Rectangles of the two answers on screen, in points.
pub struct Places {
    /// Rectangle of the first answer.
    pub first: Rect,
    /// Rectangle of the second answer, if it differs from the first and the pointer can be on it.
    pub second: Option<Rect>,
    /// Rectangles of the labels that name the answers.
    pub labels: Vec<Rect>,
}

/// Places both stages in `rect` and paints them.
pub fn paint(cx: &PaneContext<'_>, ui: &Ui, rect: Rect) -> Places {
    let seen = cx.what_if.seen_together(cx.current.map(|doc| doc.id)).is_some();
    let names = cx.what_if.names();
    let short = names.short;
    let how = if seen { cx.what_if.compare } else { Compare::Off };
    let (first, second) = match how {
        Compare::SideBySide => {
            // Both are equally wide, in whole pixels, with a gap of two points between them.
            let scale = ui.ctx().pixels_per_point();
            let width = ((rect.width() / 2.0 - 1.0) * scale).floor() / scale;
            let left = rect.with_max_x(rect.left() + width);
            (left, Some(rect.with_min_x(rect.right() - width)))
        }
        _ => (rect, None),
    };
    cx.output.first_stage.set(Some(first));
    let (mut other, mut labels) = (None, Vec::new());
    if matches!(how, Compare::SideBySide | Compare::Flicker | Compare::Swipe)
        && let Some(stage) = &cx.what_if.second_stage
    {
        cx.output.second_stage.set(Some(second.unwrap_or(rect)));
        other = stage.texture();
    }
    let own = cx.stage.texture();
    match (how, other) {
        (Compare::SideBySide, Some(other)) => {
            draw(ui, own, first);
            draw(ui, Some(other), second.unwrap_or(rect));
        }
        (Compare::Flicker, Some(other)) => {
            let is_second = is_second_turn(ui.input(|input| input.time));
            draw(ui, if is_second { Some(other) } else { own }, rect);
            let name = if is_second { short[1] } else { short[0] };
            labels.push(label(ui, rect, name, Align2::LEFT_TOP, rect.width()));
            ui.request_repaint_after(FLICKER);
        }
        (Compare::Swipe, Some(other)) => {
            let share = cx.what_if.swipe;
            let x = rect.left() + share * rect.width();
            draw_within(ui, own, rect, rect.with_max_x(x));
            draw_within(ui, Some(other), rect, rect.with_min_x(x));
        }
        _ => draw(ui, own, first),
    }
    if matches!(how, Compare::SideBySide | Compare::Swipe) {
        let width = first.width() * if second.is_some() { 1.0 } else { 0.5 };
        labels.push(label(ui, first, short[0], Align2::LEFT_TOP, width));
        let place = second.unwrap_or(rect);
        let corner = if second.is_some() { Align2::LEFT_TOP } else { Align2::RIGHT_TOP };
        let is_of_answers = cx.what_if.comparison.as_ref().is_some_and(Comparison::is_of_answers);
        let text = match is_of_answers {
            true => short[1].to_owned(),
            false => format!("{}, scored with {}", capital(names.scored), names.in_text[0]),
        };
        labels.push(label(ui, place, &text, corner, width));
    }
    Places { first, second, labels }
}

fn draw(ui: &Ui, texture: Option<TextureId>, place: Rect) {
    draw_within(ui, texture, place, place);
}

/// Draws the part of a stage that lies in `part`; the whole stage fills `place`.
fn draw_within(ui: &Ui, texture: Option<TextureId>, place: Rect, part: Rect) {
    if let Some(texture) = texture {
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let painter = ui.painter().with_clip_rect(part.intersect(ui.clip_rect()));
        painter.image(texture, place, uv, Color32::WHITE);
    }
}

/// A text in a corner of `place`, cut with "…" to `width`. Returns its rectangle.
fn label(ui: &Ui, place: Rect, text: &str, corner: Align2, width: f32) -> Rect {
    let ink = ink(ui);
    let font = theme::plain(theme::SMALL);
    let mut job = LayoutJob::simple_singleline(text.to_owned(), font, ink.muted);
    job.wrap = TextWrapping::truncate_at_width(width - 2.0 * LABEL_MARGIN - LABEL_PADDING.x);
    let galley = ui.painter().layout_job(job);
    let room = place.shrink(LABEL_MARGIN);
    let rect = corner.align_size_within_rect(galley.size() + LABEL_PADDING, room);
    let id = ui.scope_id().with(("name of an answer", text));
    let response = ui.interact(rect, id, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    ui.painter().rect_filled(rect, 4.0, ink.panel.gamma_multiply(0.85));
    ui.painter().galley(rect.min + LABEL_PADDING / 2.0, galley, ink.muted);
    rect
}

/// The second answer of a document's comparison, where that is under the pointer; `first` is the place of the first
/// answer.
pub fn second_at(cx: &PaneContext<'_>, doc: &Document, first: Rect, at: Pos2) -> Option<Document> {
    let both = cx.what_if.seen_together(cx.current.map(|doc| doc.id))?;
    let is_second = match cx.what_if.compare {
        Compare::Swipe => at.x >= first.left() + cx.what_if.swipe * first.width(),
        Compare::SideBySide => at.x > first.right(),
        Compare::Flicker => is_second_turn(cx.now),
        Compare::Off | Compare::Difference => false,
    };
    // Both have the same geometry.
    is_second.then(|| Document {
        trace: Arc::clone(&both.scored),
        history: Arc::new(History::new(both.view_of_second(doc.state()))),
        ..doc.clone()
    })
}

/// Whether flicker mode shows the second answer at a time in seconds.
fn is_second_turn(now_secs: f64) -> bool {
    (now_secs / FLICKER.as_secs_f64()) as u64 % 2 == 1
}

/// The line of a swipe, to be dragged. Above everything else on the stage.
pub fn line(cx: &PaneContext<'_>, ui: &Ui, rect: Rect) {
    let both = cx.what_if.seen_together(cx.current.map(|doc| doc.id)).is_some();
    if !both || cx.what_if.compare != Compare::Swipe {
        return;
    }
    let x = rect.left() + cx.what_if.swipe * rect.width();
    // Only over the picture: caption and legend belong to both answers.
    let scale = ui.ctx().pixels_per_point();
    let rows = cx.stage.figure().map_or(rect.y_range(), |figure| {
        let visible = figure.visible();
        let on_screen = |y: f32| rect.top() + y / scale;
        Rangef::new(on_screen(visible.y), on_screen(visible.bottom()))
    });
    let caught = Rect::from_x_y_ranges(x - CATCH..=x + CATCH, rows);
    let response = ui.interact(caught, ui.scope_id().with("swipe line"), Sense::drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Slider, true, "Line of the swipe"));
    if response.hovered() || response.dragged() {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
    if let Some(at) = response.interact_pointer_pos().filter(|_| response.dragged()) {
        let share = ((at.x - rect.left()) / rect.width()).clamp(0.0, 1.0);
        cx.intents.send(Intent::WhatIf(WhatIfCommand::Swipe(share)));
    }
    let color = if response.dragged() { ink(ui).accent } else { Color32::WHITE };
    ui.painter().vline(x, rows, Stroke::new(3.0, Color32::from_black_alpha(140)));
    ui.painter().vline(x, rows, Stroke::new(1.5, color));
}
