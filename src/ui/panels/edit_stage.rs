//! Editing on the stage: the tool bar above it, and the pointer while a tool is in use.
//!
//! All coordinates are pixels of the original, so that a step means the same at any zoom and in both forms of the
//! picture (as given, as preprocessed).

use crate::analysis::density::Frame;
use crate::edit::{Area, LikeColor, Outline, Step};
use crate::trace::{Affine, PatchRef, Rect as PictureRect};
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::what_if::{Tool, WhatIfCommand};
use crate::ui::widgets::{Mark, frame_over_data, hairline_below, ink, primary_button, segments};
use crate::view::Command;
use egui::{
    Align, Color32, CursorIcon, Layout, Pos2, Rect, Response, Stroke, Ui, UiBuilder, pos2, vec2,
};

const HEIGHT: f32 = 36.0;
/// Shorter drags count as accidental, in points.
const SLIP: f32 = 3.0;
/// Hues within this distance of the middle's hue belong to the object, in degrees.
const TOLERANCE: f64 = 30.0;

/// Draws the tools along the upper edge of `rect`, and returns what is left for the stage.
pub fn bar(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect) -> Rect {
    let Some(tool) = cx.what_if.tool else { return rect };
    let (bar, rest) = rect.split_top_bottom_at_y(rect.top() + HEIGHT);
    let inner = bar.shrink2(vec2(12.0, 0.0));
    let builder = UiBuilder::new().max_rect(inner).layout(Layout::left_to_right(Align::Center));
    let mut ui_bar = ui.new_child(builder);
    ui_bar.set_clip_rect(bar);
    let ui_bar = &mut ui_bar;
    let choices = Tool::ALL.map(|(tool, name, hint)| (tool, name, hint.to_owned()));
    if let Some(tool) = segments(ui_bar, tool, &choices) {
        cx.intents.send(Intent::WhatIf(WhatIfCommand::Tool(Some(tool))));
    }
    ui_bar.spacing_mut().item_spacing.x = 6.0;
    let (can_undo, can_redo, stale) =
        cx.what_if.session.as_ref().map_or((false, false, false), |session| {
            let edits = &session.edits;
            (!edits.is_empty(), edits.can_redo(), session.stale)
        });
    ui_bar.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        if ui.button("Done").on_hover_text(UiCommand::EditPicture.hint()).clicked() {
            cx.intents.send(Intent::WhatIf(WhatIfCommand::Tool(None)));
        }
        if !cx.what_if.live {
            let ask = primary_button(ui, "Ask again", stale);
            if ask.on_hover_text(UiCommand::AskEdited.hint()).clicked() {
                cx.intents.send(Intent::WhatIf(WhatIfCommand::AskAgain));
            }
        }
        for (name, enabled, hint, command) in [
            ("Redo", can_redo, UiCommand::Redo.hint(), WhatIfCommand::RedoStep),
            ("Undo", can_undo, UiCommand::Undo.hint(), WhatIfCommand::UndoStep),
        ] {
            let button = ui.add_enabled(enabled, egui::Button::new(name));
            if button.on_hover_text(hint).clicked() {
                cx.intents.send(Intent::WhatIf(command));
            }
        }
    });
    hairline_below(ui, bar);
    rest
}

/// Maps points on screen to pixels of the original, and back.
pub struct Mapping {
    content: Rect,
    /// From the unit square of the content to pixels of the original.
    original_from_unit: Affine,
}

impl Mapping {
    /// For a frame of a picture that lies on `content`.
    pub fn of_frame(doc: &Document, frame: Frame, content: Rect) -> Option<Self> {
        let meta = doc.meta();
        let pixels = Affine::scale_offset(frame.size(meta), [0.0, 0.0]);
        let original_from_unit = frame.from_original(meta)?.inverse()?.after(&pixels);
        Some(Self { content, original_from_unit })
    }

    /// For a document whose picture lies on `content` and is being edited.
    pub fn new(cx: &PaneContext<'_>, doc: &Document, content: Rect) -> Option<Self> {
        let frame = doc.state().picture.frame(&doc.trace);
        let plain = Self::of_frame(doc, frame, content)?;
        // A cropped picture starts at the crop's corner in the original.
        let session = cx.what_if.session.as_ref()?;
        let crop = if session.edited == Some(doc.id) { session.asked_crop } else { [0, 0] };
        let shift = Affine::scale_offset([1.0, 1.0], crop.map(f64::from));
        Some(Self { content, original_from_unit: shift.after(&plain.original_from_unit) })
    }

    /// Pixels of the original under a point on screen.
    pub fn original(&self, at: Pos2) -> [f64; 2] {
        let share = (at - self.content.min) / self.content.size();
        self.original_from_unit.apply([f64::from(share.x), f64::from(share.y)])
    }

    /// Point on screen of a pixel of the original.
    pub fn screen(&self, point: [f64; 2]) -> Pos2 {
        let unit = self.original_from_unit.inverse().map_or([0.0; 2], |map| map.apply(point));
        self.content.min + vec2(unit[0] as f32, unit[1] as f32) * self.content.size()
    }

    /// Points on screen for a pixel of the original.
    pub fn scale(&self) -> f32 {
        let (left, right) = (self.screen([0.0, 0.0]), self.screen([1.0, 0.0]));
        (right.x - left.x).abs()
    }
}

/// The edited picture in place of the one that was asked about, until the new answer arrives.
pub fn preview(cx: &PaneContext<'_>, ui: &Ui, visible: Rect, mapping: &Mapping) {
    let session = cx.what_if.session.as_ref().filter(|session| session.stale);
    let Some((session, texture)) = session.and_then(|s| Some((s, s.preview()?))) else { return };
    let [width, height] = session.edits.size().map(f64::from);
    let corner = |at: Pos2| {
        let [x, y] = mapping.original(at);
        pos2((x / width) as f32, (y / height) as f32)
    };
    // Bars around a padded picture are not part of the original.
    let place = Rect::from_two_pos(mapping.screen([0.0, 0.0]), mapping.screen([width, height]));
    let shown = visible.intersect(mapping.content).intersect(place);
    let uv = Rect::from_min_max(corner(shown.min), corner(shown.max));
    ui.painter().image(texture, shown, uv, Color32::WHITE);
}

/// Handles the pointer with the tool in use; `passed` are the patches that it passed since the last frame.
pub fn pointer(
    cx: &PaneContext<'_>,
    ui: &Ui,
    response: &Response,
    visible: Rect,
    mapping: &Mapping,
    passed: impl FnOnce() -> Vec<PatchRef>,
    doc: &Document,
) {
    let Some(tool) = cx.what_if.tool else { return };
    let Some(at) = response.interact_pointer_pos().or(response.hover_pos()) else { return };
    let inside = visible.contains(at);
    if inside {
        ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
    }
    match tool {
        Tool::Patches => patches(cx, response, passed, doc),
        Tool::Brush | Tool::Eraser => stroke(cx, ui, response, mapping, at, inside, tool),
        Tool::Fill | Tool::Colors | Tool::Crop => {
            area(cx, ui, response, mapping, visible, at, tool);
        }
    }
}

fn send_gesture(cx: &PaneContext<'_>, points: Vec<[f64; 2]>) {
    cx.intents.send(Intent::WhatIf(WhatIfCommand::Gesture(points)));
}

fn primary_drag(response: &Response) -> bool {
    response.dragged_by(egui::PointerButton::Primary)
}

fn stroke(
    cx: &PaneContext<'_>,
    ui: &Ui,
    response: &Response,
    mapping: &Mapping,
    at: Pos2,
    inside: bool,
    tool: Tool,
) {
    let brush = cx.what_if.settings.brush;
    let radius = brush.size as f32 * mapping.scale() / 2.0;
    let [red, green, blue] = cx.what_if.settings.color;
    let paint = match tool {
        Tool::Brush => Color32::from_rgb(red, green, blue),
        _ => ink(ui).muted.gamma_multiply(0.6),
    };
    let mut gesture = cx.what_if.gesture.clone();
    if (primary_drag(response) || response.clicked()) && (inside || !gesture.is_empty()) {
        let point = mapping.original(at);
        let far = gesture
            .last()
            .is_none_or(|last| (last[0] - point[0]).hypot(last[1] - point[1]) > brush.size * 0.05);
        if far {
            gesture.push(point);
            send_gesture(cx, gesture.clone());
        }
    }
    // Preview of the stroke before it is part of the picture.
    let line: Vec<Pos2> = gesture.iter().map(|&point| mapping.screen(point)).collect();
    if let [first, ..] = line[..] {
        ui.painter().circle_filled(first, radius, paint);
        for pair in line.windows(2) {
            ui.painter().line_segment([pair[0], pair[1]], Stroke::new(radius * 2.0, paint));
            ui.painter().circle_filled(pair[1], radius, paint);
        }
    }
    if inside {
        let ring = Color32::from_black_alpha(160);
        ui.painter().circle_stroke(at, radius + 1.0, Stroke::new(1.0, ring));
        ui.painter().circle_stroke(at, radius, Stroke::new(1.0, Color32::WHITE));
    }
    if (response.drag_stopped() || response.clicked()) && !gesture.is_empty() {
        let points = gesture;
        send_gesture(cx, Vec::new());
        let step = match tool {
            Tool::Brush => Step::Stroke { points, brush, color: cx.what_if.settings.color },
            _ => Step::Erase { points, brush },
        };
        cx.intents.send(Intent::WhatIf(WhatIfCommand::Step(step)));
    }
}

fn area(
    cx: &PaneContext<'_>,
    ui: &Ui,
    response: &Response,
    mapping: &Mapping,
    visible: Rect,
    at: Pos2,
    tool: Tool,
) {
    let mut gesture = cx.what_if.gesture.clone();
    // A rectangle that begins or ends beside the picture has an edge of the picture there.
    let at = visible.clamp(at);
    if response.drag_started_by(egui::PointerButton::Primary) {
        let from = ui.input(|input| input.pointer.press_origin());
        let from = from.map_or(at, |from| visible.clamp(from));
        gesture = vec![mapping.original(from)];
        send_gesture(cx, gesture.clone());
    }
    let Some(&first) = gesture.first() else { return };
    let place = Rect::from_two_pos(mapping.screen(first), at);
    frame_over_data(ui, place, Mark::Chosen);
    if !response.drag_stopped() {
        return;
    }
    send_gesture(cx, Vec::new());
    if place.width() < SLIP || place.height() < SLIP {
        return;
    }
    let [x, y] = mapping.original(place.min);
    let [right, bottom] = mapping.original(place.max);
    let rect = PictureRect { x, y, width: right - x, height: bottom - y };
    let settings = cx.what_if.settings;
    let step = match tool {
        Tool::Fill => Step::Fill { area: Area::rectangle(rect), with: settings.fill },
        Tool::Crop => Step::Crop { rect },
        _ => {
            let middle = [x + rect.width / 2.0, y + rect.height / 2.0];
            let color = cx.what_if.session.as_ref().map(|session| session.color_at(middle));
            let like = color
                .filter(|_| settings.only_like_middle)
                .map(|color| LikeColor { color, tolerance: TOLERANCE });
            let area = Area { outline: Outline::Rectangle { rect }, like };
            Step::Adjust { area, by: settings.adjust }
        }
    };
    cx.intents.send(Intent::WhatIf(WhatIfCommand::Step(step)));
}

/// Selects patches while the pointer is dragged, and blanks them when it is released.
fn patches(
    cx: &PaneContext<'_>,
    response: &Response,
    passed: impl FnOnce() -> Vec<PatchRef>,
    doc: &Document,
) {
    // Edits blank patches in the pixels that the model saw: of one picture, in one view.
    let [span] = doc.meta().spans.as_slice() else { return };
    let mut gesture = cx.what_if.gesture.clone();
    if primary_drag(response) || response.clicked() {
        for patch in passed() {
            let key = [f64::from(patch.row), f64::from(patch.column)];
            if !gesture.contains(&key) {
                gesture.push(key);
            }
        }
        send_gesture(cx, gesture.clone());
        let chosen = gesture.iter().map(|&[row, column]| PatchRef {
            span: 0,
            row: row as u32,
            column: column as u32,
        });
        cx.intents.send(Intent::Scrub(Command::SelectPatches(chosen.collect())));
    }
    if (response.drag_stopped() || response.clicked()) && !gesture.is_empty() {
        let patches: Vec<[u32; 2]> =
            gesture.into_iter().map(|[row, column]| [row as u32, column as u32]).collect();
        send_gesture(cx, Vec::new());
        let crop = cx
            .what_if
            .session
            .as_ref()
            .filter(|session| session.edited == Some(doc.id))
            .map_or([0, 0], |session| session.asked_crop)
            .map(f64::from);
        let rects = patches
            .iter()
            .map(|&[row, column]| {
                let seen = span.preprocessed_from_patch(row, column);
                let [x, y] = span.original_from_preprocessed([seen.x, seen.y]);
                let end = [seen.x + seen.width, seen.y + seen.height];
                let [right, bottom] = span.original_from_preprocessed(end);
                let (x, y) = (x + crop[0], y + crop[1]);
                PictureRect { x, y, width: right + crop[0] - x, height: bottom + crop[1] - y }
            })
            .collect();
        cx.intents.send(Intent::Scrub(Command::SelectPatches(Vec::new())));
        let grid = [span.rows, span.columns];
        cx.intents.send(Intent::WhatIf(WhatIfCommand::Step(Step::Blank { patches, grid, rects })));
    }
}
