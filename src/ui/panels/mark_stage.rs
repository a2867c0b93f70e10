//! Marking objects on the stage: the bar above it, the pointer while a tool is in use, and the head that looks at the
//! chosen object.
//!
//! Outlines are in pixels of the original, so that an object means the same in every view of its picture.

use super::compare_stage::Places;
use super::edit_stage::Mapping;
use crate::analysis::outline::{contains, region_bounds};
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::marking::{MarkAction, MarkCommand, MarkGesture, MarkTool};
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::widgets::{hairline_below, ink, muted, name_field, segments};
use crate::view::figure::{PixelRect, fitted, head_name};
use crate::view::{Command, MarkedObject, Parts, ViewState};
use egui::{
    Align, Align2, Color32, CursorIcon, Key, Layout, PointerButton, Pos2, Rect, Response, Role,
    Sense, Slider, Stroke, Ui, UiBuilder, Vec2, WidgetInfo, vec2,
};

const HEIGHT: f32 = 36.0;
/// Shorter drags count as clicks, in points.
const SLIP: f32 = 4.0;
/// Points of a gesture are at least this far apart, in points on screen.
const STEP: f32 = 2.0;
/// Distance of the readout from the edges of the stage and of the picture, in points.
const MARGIN: f32 = 10.0;
/// Largest width of the object's name in it, a multiple of the type size.
const NAME_WIDTH: f32 = 12.0;

/// Whether the view shows pictures that can be marked.
fn can_mark(state: &ViewState) -> bool {
    state.view.spec().parts == Parts::Patches
}

/// Diameter of the brush in pixels of the original.
fn brush_of(cx: &PaneContext<'_>, doc: &Document) -> f64 {
    let side = doc.meta().preprocess.iter().flat_map(|info| info.original_size).max();
    cx.marking.brush.unwrap_or_else(|| (f64::from(side.unwrap_or(512)) / 12.0).max(2.0))
}

/// Draws the tools and the objects along the upper edge of `rect`, and returns what is left for the stage.
pub fn bar(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect, doc: &Document) -> Rect {
    let Some(tool) = cx.marking.tool else { return rect };
    let (bar, rest) = rect.split_top_bottom_at_y(rect.top() + HEIGHT);
    ui.painter().rect_filled(bar, 0.0, ink(ui).stage);
    let inner = bar.shrink2(vec2(12.0, 0.0));
    let builder = UiBuilder::new().max_rect(inner).layout(Layout::right_to_left(Align::Center));
    let mut child = ui.new_child(builder);
    child.set_clip_rect(bar);
    let ui = &mut child;
    ui.spacing_mut().item_spacing.x = 6.0;
    let send = |command| cx.intents.send(Intent::Mark(command));
    let state = doc.state();
    if ui.button("Done").on_hover_text(UiCommand::MarkObject.hint()).clicked() {
        send(MarkCommand::Tool(None));
    }
    if state.object.is_some() {
        if ui.button("Delete").on_hover_text("Delete the chosen object").clicked() {
            cx.intents.act(UiCommand::DeleteObject);
        }
        if cx.marking.renaming.is_none()
            && ui.button("Rename").on_hover_text("Rename the chosen object").clicked()
        {
            cx.intents.act(UiCommand::RenameObject);
        }
    }
    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let choices = MarkTool::ALL.map(|(tool, name, hint)| (tool, name, hint.to_owned()));
        if let Some(tool) = segments(ui, tool, &choices) {
            send(MarkCommand::Tool(Some(tool)));
        }
        ui.spacing_mut().item_spacing.x = 6.0;
        if tool == MarkTool::Brush {
            let mut brush = brush_of(cx, doc);
            let slider = Slider::new(&mut brush, 2.0..=400.0).show_value(false).logarithmic(true);
            if ui.add(slider).accessible_name("Brush, pixels").changed() {
                send(MarkCommand::Brush(brush));
            }
        }
        ui.add_space(6.0);
        objects(cx, ui, state);
    });
    hairline_below(ui, bar);
    rest
}

/// The objects as chips, or as a list where the chips do not fit; the chosen one may be renamed in place.
fn objects(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    if state.objects.is_empty() {
        muted(ui, "Shift adds to an object, Alt cuts from it");
        return;
    }
    let widths = state.objects.iter().map(|object| {
        let font = theme::plain(theme::BODY);
        let galley = ui.painter().layout_no_wrap(object.name.clone(), font, Color32::WHITE);
        galley.size().x + 2.0 * ui.spacing().button_padding.x + ui.spacing().item_spacing.x
    });
    let wanted: f32 = widths.sum();
    let renamed = state.object.filter(|_| cx.marking.renaming.is_some());
    if wanted > ui.available_width() {
        match renamed {
            Some(index) => rename(cx, ui, state, index),
            None => list(cx, ui, state),
        }
        return;
    }
    for (index, object) in (0_u32..).zip(&state.objects) {
        let on = state.object == Some(index);
        if renamed == Some(index) {
            rename(cx, ui, state, index);
            continue;
        }
        let label = ui.selectable_label(on, &object.name);
        let hint = "Click to choose it, or to choose none; double-click to rename it";
        let label = label.on_hover_text(hint);
        if label.double_clicked() {
            cx.intents.command(Command::ChooseObject(Some(index)));
            let name = Some(object.name.clone());
            cx.intents.send(Intent::Mark(MarkCommand::Rename(name)));
        } else if label.clicked() {
            cx.intents.command(Command::ChooseObject((!on).then_some(index)));
        }
    }
}

/// The objects as a list to choose from.
fn list(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    let count = state.objects.len();
    let chosen = state.chosen_object().map_or("None chosen", |object| object.name.as_str());
    let text = format!("{chosen} ({count} objects)");
    let width = ui.available_width().clamp(60.0, 220.0);
    let list = egui::ComboBox::from_id_salt("objects").width(width).truncate();
    let list = list.selected_text(text).show_ui(ui, |ui| {
        let choices = (0_u32..).zip(&state.objects).map(|(index, one)| (Some(index), &*one.name));
        for (index, name) in choices.chain([(None, "None")]) {
            if ui.selectable_label(state.object == index, name).clicked() {
                cx.intents.command(Command::ChooseObject(index));
            }
        }
    });
    list.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Objects"));
}

fn rename(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState, index: u32) {
    let Some(mut name) = cx.marking.renaming.clone() else { return };
    let response = name_field(ui, &mut name, "Name of the object");
    let enter = ui.input(|input| input.key_pressed(Key::Enter));
    if response.lost_focus() {
        let typed = name.trim();
        if let Some(object) = state.objects.get(index as usize)
            && (enter || typed != object.name)
            && !typed.is_empty()
        {
            let mut object = object.clone();
            object.name = typed.to_owned();
            cx.intents.command(Command::SetObject(index, Box::new(object)));
        }
        cx.intents.send(Intent::Settle);
        cx.intents.send(Intent::Mark(MarkCommand::Rename(None)));
        return;
    }
    if response.changed() {
        cx.intents.send(Intent::Mark(MarkCommand::Rename(Some(name))));
    }
}

/// Handles the pointer with the tool in use; `picture` lies under the pointer with this mapping.
pub fn pointer(
    cx: &PaneContext<'_>,
    ui: &Ui,
    response: &Response,
    visible: Rect,
    (picture, mapping): (u32, &Mapping),
    doc: &Document,
) {
    let Some(tool) = cx.marking.tool.filter(|_| can_mark(doc.state())) else { return };
    let Some(at) = response.interact_pointer_pos().or(response.hover_pos()) else { return };
    let inside = visible.contains(at);
    let (shift, alt) = ui.input(|input| (input.modifiers.shift, input.modifiers.alt));
    if inside || tool != MarkTool::Brush {
        ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
    }
    let brush = brush_of(cx, doc);
    if inside && tool == MarkTool::Brush {
        ring(ui, at, brush as f32 * mapping.scale() / 2.0);
    }
    let action = match (shift, alt) {
        (_, true) => MarkAction::Cut,
        (true, false) => MarkAction::Add,
        (false, false) => MarkAction::New,
    };
    let primary = PointerButton::Primary;
    let mut gesture = cx.marking.gesture.clone();
    let starts = response.drag_started_by(primary)
        || (tool == MarkTool::Brush && response.clicked_by(primary));
    // A point beside the picture counts as its edge: an object at the edge is enclosed from outside.
    let on_edge = visible.clamp(at);
    if starts && (inside || tool != MarkTool::Brush) {
        let from = ui.input(|input| input.pointer.press_origin());
        let from = from.map_or(on_edge, |from| visible.clamp(from));
        // The brush goes on with the chosen object; a new one begins outside of all objects.
        let action = match (tool, action, doc.state().object) {
            (MarkTool::Brush, MarkAction::New, Some(_)) => MarkAction::Add,
            _ => action,
        };
        let from = on_picture(doc, picture, mapping.original(from));
        gesture = Some(MarkGesture::new(doc.state(), picture, action, from));
    } else if response.clicked_by(primary) {
        choose_at(cx, mapping.original(at), picture, doc.state());
        return;
    }
    let Some(mut gesture) = gesture else { return };
    let far = |last: &[f64; 2]| (mapping.screen(*last) - on_edge).length() >= STEP;
    if gesture.points.last().is_none_or(far) {
        gesture.points.push(on_picture(doc, picture, mapping.original(on_edge)));
    }
    let least = f64::from(SLIP / mapping.scale().max(1e-6));
    if let Some(command) = gesture.command(tool, brush, least) {
        cx.intents.send(Intent::Scrub(command));
    }
    let ends = response.drag_stopped() || response.clicked_by(primary);
    if ends {
        cx.intents.send(Intent::Settle);
    }
    cx.intents.send(Intent::Mark(MarkCommand::Gesture((!ends).then_some(gesture))));
}

/// The nearest point of the picture: an object ends where its picture does.
fn on_picture(doc: &Document, picture: u32, [x, y]: [f64; 2]) -> [f64; 2] {
    let info = doc.meta().preprocess.iter().find(|info| info.picture == picture);
    let Some([width, height]) = info.map(|info| info.original_size.map(f64::from)) else {
        return [x, y];
    };
    [x.clamp(0.0, width.max(1.0)), y.clamp(0.0, height.max(1.0))]
}

/// A click chooses the object under the pointer, the last one first, or none.
fn choose_at(cx: &PaneContext<'_>, point: [f64; 2], picture: u32, state: &ViewState) {
    let found = (0_u32..)
        .zip(&state.objects)
        .filter(|(_, object)| object.picture == picture && contains(&object.parts, point))
        .map(|(index, _)| index)
        .last();
    if found != state.object {
        cx.intents.command(Command::ChooseObject(found));
    }
}

fn ring(ui: &Ui, at: Pos2, radius: f32) {
    let dark = Color32::from_black_alpha(160);
    ui.painter().circle_stroke(at, radius + 1.0, Stroke::new(1.0, dark));
    ui.painter().circle_stroke(at, radius, Stroke::new(1.0, Color32::WHITE));
}

/// The answer to "which head looks at this?" on the stage of the first answer: beside the picture if there is room, else
/// in the corner of the picture that hides least of the labels and the objects.
pub fn readout(cx: &PaneContext<'_>, ui: &Ui, places: &Places, doc: &Document) {
    let Some(object) = cx.shown.chosen_object().filter(|_| can_mark(cx.shown)) else { return };
    let ranking = cx.ranking(doc);
    let Some(best) = ranking.first() else { return };
    let (Some(inside), color) = (best.inside, ink(ui)) else { return };
    let chance = object.inside(&doc.trace).chance();
    let line = format!(
        "“{}”: {} looks at it most, {:.1} %",
        fitted(&object.name, true, NAME_WIDTH),
        head_name(best.layer, best.head),
        inside * 100.0
    );
    let of = format!("{:.1} % of the patches · B shows the head", chance * 100.0);
    let painter = ui.painter();
    let width = (places.first.width() - 2.0 * MARGIN - 16.0).clamp(80.0, 360.0);
    let spoken = format!("{line}, {of}");
    let line = painter.layout(line, theme::strong(theme::SMALL), color.text, width);
    let of = painter.layout(of, theme::plain(theme::SMALL), color.muted, width);
    let size = vec2(line.size().x.max(of.size().x) + 16.0, line.size().y + of.size().y + 12.0);
    let place = place_of_readout(cx, places, size, doc);
    let response = ui.interact(place, ui.scope_id().with("head of the object"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    painter.rect_filled(place, 4.0, color.panel.gamma_multiply(0.94));
    let below = line.size().y + 2.0;
    painter.galley(place.min + vec2(8.0, 5.0), line, color.text);
    painter.galley(place.min + vec2(8.0, 5.0 + below), of, color.muted);
}

/// A place of `size` on the stage of the first answer for the readout.
fn place_of_readout(cx: &PaneContext<'_>, places: &Places, size: Vec2, doc: &Document) -> Rect {
    let stage = places.first;
    let room = stage.shrink(MARGIN);
    let [left, right] = [Align2::LEFT_TOP, Align2::RIGHT_TOP]
        .map(|corner| corner.align_size_within_rect(size, room));
    let is_free = |place: &Rect| !places.labels.iter().any(|label| label.intersects(*place));
    let Some(figure) = cx.stage.figure() else { return left };
    let scale = stage.width() / (figure.size[0] as f32).max(1.0);
    let on_screen = |rect: PixelRect| {
        let min = stage.min + vec2(rect.x, rect.y) * scale;
        Rect::from_min_size(min, vec2(rect.width, rect.height) * scale)
    };
    let picture = on_screen(figure.visible());
    // Below a label of the same corner there may be room as well.
    let below = |place: Rect| {
        let over = places.labels.iter().filter(|label| label.intersects(place));
        let lowest = over.map(|label| label.bottom() + MARGIN / 2.0).fold(place.top(), f32::max);
        place.translate(vec2(0.0, lowest - place.top()))
    };
    let beside = [left, right, below(left), below(right)];
    let free = beside.into_iter().find(|place| is_free(place) && !place.intersects(picture));
    if let Some(place) = free {
        return place;
    }
    let content = on_screen(figure.content);
    let objects = objects_on_screen(cx.shown, doc, content);
    let hidden = |place: &Rect, of: &[Rect]| -> f32 {
        let areas = of.iter().map(|one| one.intersect(*place));
        areas.filter(|area| area.is_positive()).map(|area| area.area()).sum()
    };
    // Below the picture are caption and legend.
    let upper = [picture.left_top(), picture.right_top()];
    let lower = [picture.left_bottom(), picture.right_bottom()];
    let inside = [
        Rect::from_min_size(upper[0] + vec2(MARGIN, MARGIN), size),
        Rect::from_min_size(upper[1] + vec2(-MARGIN - size.x, MARGIN), size),
        Rect::from_min_size(lower[0] + vec2(MARGIN, -MARGIN - size.y), size),
        Rect::from_min_size(lower[1] + vec2(-MARGIN - size.x, -MARGIN - size.y), size),
    ];
    // A label names what is seen: it is never covered where another place is left.
    let cost = |place: &Rect| (hidden(place, &places.labels), hidden(place, &objects));
    // Near the edge of the stage, a picture may be narrower than the text.
    let within = |place: Rect| {
        let least = room.min - place.min;
        let most = room.max - place.max;
        place.translate(Vec2::ZERO.max(least).min(most.max(least)))
    };
    let inside = inside.into_iter().map(within).flat_map(|place| [place, below(place)]);
    let best = inside.min_by(|a, b| {
        let ([labels, own], [others, other]) = (cost(a).into(), cost(b).into());
        f32::total_cmp(&labels, &others).then(f32::total_cmp(&own, &other))
    });
    best.unwrap_or(left)
}

/// The rectangles around the objects, where one picture fills the stage.
fn objects_on_screen(state: &ViewState, doc: &Document, content: Rect) -> Vec<Rect> {
    if state.view.spec().has_tiles() {
        return Vec::new();
    }
    let frame = state.picture.frame(&doc.trace);
    let Some(mapping) = Mapping::of_frame(doc, frame, content) else { return Vec::new() };
    let around = |object: &MarkedObject| {
        let bounds = region_bounds(&object.parts)?;
        let [left, top] = [bounds.x, bounds.y];
        let (right, bottom) = (left + bounds.width, top + bounds.height);
        Some(Rect::from_two_pos(mapping.screen([left, top]), mapping.screen([right, bottom])))
    };
    state.objects.iter().filter_map(around).collect()
}
