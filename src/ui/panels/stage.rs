//! The stage: the rendered view and its pointer input.
//!
//! The renderer draws the picture into a texture; this panel places it and maps pixels back to patches, heads and
//! tokens with the figure layout of that picture.

use super::{causes, compare_stage, edit_stage, empty_stage, mark_stage, patching, picture_strip};
use crate::analysis::reduce::Keep;
use crate::trace::PatchRef;
use crate::ui::document::Document;
use crate::ui::head_choice;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::value_cache::index_of;
use crate::ui::widgets::{Mark, frame_over_data, ink, on_pixels, progress_line};
use crate::view::figure::{Figure, PixelRect, head_name, number, percent, token_name};
use crate::view::{
    AxisSet, CausalTree, Command, MapChoice, Parts, PatchTable, PictureRule, Queries, QueryKind,
    Shown, ShownGrid, ViewKind, patch_name,
};
use egui::{CursorIcon, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

/// The rendered view and its pointer input.
#[derive(Default)]
pub struct StagePane;

impl PaneUi for StagePane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let rect = ui.max_rect();
        cx.output.stage_rect.set(Some(rect));
        if super::walkthrough::stage(cx, ui, rect) {
            busy_line(cx, ui, rect);
            return;
        }
        let Some(doc) = cx.current else {
            empty_stage::show(cx, ui, rect);
            busy_line(cx, ui, rect);
            return;
        };
        let state = doc.state().clone();
        let rect = super::view_bar::show(cx, ui, rect, &state);
        let rect = edit_stage::bar(cx, ui, rect);
        let rect = mark_stage::bar(cx, ui, rect, doc);
        let rect = picture_strip::show(cx, ui, rect, doc);
        let rect = on_pixels(ui, rect);
        cx.output.stage_rect.set(Some(rect));
        let response = ui.interact(rect, ui.scope_id().with("stage"), Sense::click_and_drag());
        let caption = cx.stage.caption().to_owned();
        response
            .widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Stage: {caption}")));
        let places = compare_stage::paint(cx, ui, rect);
        // The pointer is on one of two stages that show one view.
        let on_second = places.second.filter(|place| {
            response
                .hover_pos()
                .or(response.interact_pointer_pos())
                .is_some_and(|at| place.contains(at))
        });
        let figure = match on_second {
            Some(_) => cx.what_if.second_stage.as_ref().and_then(|stage| stage.figure().cloned()),
            None => cx.stage.figure().cloned(),
        };
        if let Some(figure) = figure {
            let rect = on_second.unwrap_or(places.first);
            let at = response.hover_pos();
            let second = at.and_then(|at| compare_stage::second_at(cx, doc, places.first, at));
            let numbers = second.as_ref().unwrap_or(doc);
            let scale = ui.ctx().pixels_per_point();
            let on_stage = OnStage { rect, scale, figure, doc, numbers };
            on_stage.camera(cx, ui, &response);
            match doc.state().view.spec().parts {
                Parts::Patches => on_stage.patches(cx, ui, &response),
                Parts::Heads => on_stage.heads(cx, ui, &response),
                Parts::LayersHeads => on_stage.layers_heads(cx, ui, &response),
                Parts::QueriesKeys => on_stage.token_matrix(cx, ui, &response),
                Parts::Places => on_stage.places(cx, ui, &response),
            }
        }
        mark_stage::readout(cx, ui, &places, doc);
        compare_stage::line(cx, ui, rect);
        menu(cx, &response, doc);
        busy_line(cx, ui, rect);
    }
}

/// Menu of the chosen patches, on the secondary button.
fn menu(cx: &PaneContext<'_>, response: &Response, doc: &Document) {
    if doc.state().view.spec().parts != Parts::Patches {
        return;
    }
    response.context_menu(|ui| {
        let chosen = !doc.state().selected.is_empty();
        for act in [UiCommand::KnockOutPatches, UiCommand::KeepOnlyPatches] {
            let button = ui.add_enabled(chosen, egui::Button::new(act.name()));
            if button.on_disabled_hover_text("Choose patches first").clicked() {
                cx.intents.act(act);
                ui.close();
            }
        }
        ui.separator();
        for act in [UiCommand::MarkObject, UiCommand::EditPicture, UiCommand::OcclusionMap] {
            if ui.button(act.name()).clicked() {
                cx.intents.act(act);
                ui.close();
            }
        }
    });
}

/// A thin line at the top while work is running.
fn busy_line(cx: &PaneContext<'_>, ui: &Ui, rect: Rect) {
    let line = Rect::from_min_size(rect.min, vec2(rect.width(), 2.0));
    if let Some(asking) = &cx.chat.asking {
        progress_line(ui, line, asking.share());
    } else if cx.is_busy || cx.stage.is_waiting() {
        progress_line(ui, line, None);
    }
    if cx.stage.is_waiting() {
        let text = "waiting for attention from the other machine …";
        // Above the picture's margin.
        let at = rect.center_top() + vec2(0.0, 11.0);
        let (font, color) = (theme::plain(theme::SMALL), ink(ui).muted);
        ui.painter().text(at, egui::Align2::CENTER_CENTER, text, font, color);
    }
}

/// A figure on screen, which maps the pointer to patches, heads and tokens.
struct OnStage<'a> {
    /// Rectangle in points.
    rect: Rect,
    /// Pixels a point.
    scale: f32,
    figure: Figure,
    doc: &'a Document,
    /// The document whose numbers are under the pointer: of two answers on one stage, perhaps the second.
    numbers: &'a Document,
}

impl OnStage<'_> {
    fn on_screen(&self, rect: PixelRect) -> Rect {
        let min = self.rect.min + vec2(rect.x, rect.y) / self.scale;
        Rect::from_min_size(min, vec2(rect.width, rect.height) / self.scale)
    }

    /// A point in pixels of the target.
    fn on_target(&self, at: egui::Pos2) -> [f32; 2] {
        ((at - self.rect.min) * self.scale).into()
    }

    /// A point of the content's unit square.
    fn unit(&self, at: egui::Pos2, place: PixelRect) -> [f64; 2] {
        let place = self.on_screen(place);
        let share = (at - place.min) / place.size();
        [f64::from(share.x), f64::from(share.y)]
    }

    /// Wheel zooms, middle drag (or space-less right drag) pans.
    fn camera(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response) {
        let pans = response.dragged_by(egui::PointerButton::Middle)
            || response.dragged_by(egui::PointerButton::Secondary);
        if pans {
            let size = self.on_screen(self.figure.content).size();
            let zoom = self.doc.state().camera.zoom as f32;
            let by = response.drag_delta() / size * zoom;
            cx.intents.send(Intent::Scrub(Command::PanBy([f64::from(by.x), f64::from(by.y)])));
        }
        let Some(at) = response.hover_pos() else { return };
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = f64::from((scroll / 240.0).exp()) * f64::from(pinch);
        if (factor - 1.0).abs() > 1e-4 {
            let about = self.unit(at, self.figure.content);
            cx.intents.send(Intent::Scrub(Command::ZoomBy { factor, about }));
        }
        if response.double_clicked_by(egui::PointerButton::Middle) {
            cx.intents.command(Command::SetCamera(Default::default()));
        }
    }

    /// The rectangle of the picture under a point, and its grid.
    fn picture_at(&self, at: egui::Pos2, shown: &Shown) -> Option<(PixelRect, ShownGrid)> {
        let spec = self.doc.state().view.spec();
        let (index, place) = match spec.has_tiles() {
            false => (0, self.figure.content),
            true => {
                let under = |(_, rect): &&(u32, PixelRect)| self.on_screen(*rect).contains(at);
                self.figure
                    .tiles
                    .iter()
                    .find(under)
                    .map(|(index, rect)| (*index as usize, *rect))?
            }
        };
        Some((place, *shown.grids.get(index)?))
    }

    /// The picture nearest to a point, and its grid.
    fn nearest_picture(&self, at: egui::Pos2, shown: &Shown) -> Option<(PixelRect, ShownGrid)> {
        if !self.doc.state().view.spec().has_tiles() {
            return self.picture_at(at, shown);
        }
        let distance = |rect: PixelRect| self.on_screen(rect).distance_to_pos(at);
        let tiles = self.figure.tiles.iter();
        let near = tiles.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
        let &(index, place) = near?;
        Some((place, *shown.grids.get(index as usize)?))
    }

    /// The patch under a point of a picture that is laid on `place`: of several views that lie there, the finest.
    fn patch_at(
        &self,
        at: egui::Pos2,
        place: PixelRect,
        grid: &ShownGrid,
        shown: &Shown,
    ) -> Option<PatchRef> {
        let meta = self.doc.meta();
        let [width, height] = grid.frame.size(meta);
        let [u, v] = self.unit(at, place);
        let point = [u * width, v * height];
        let found = shown.views.iter().filter_map(|&view| {
            let span = meta.spans.get(view).filter(|span| span.picture == grid.picture)?;
            let point = grid.frame.from_view(meta, span).inverse()?.apply(point);
            let (row, column) = span.patch_from_preprocessed(point)?;
            let cell = grid.frame.rect(meta, span, span.preprocessed_from_patch(row, column));
            Some((cell.width * cell.height, PatchRef { span: view as u32, row, column }))
        });
        found.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, patch)| patch)
    }

    /// Hover shows a patch's number, a click or brush chooses patches.
    fn patches(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response) {
        let shown = Shown::new(self.doc.state(), &self.doc.trace);
        let at = response.hover_pos().or(response.interact_pointer_pos());
        let patch = at.and_then(|at| self.under(at, &shown));
        if cx.what_if.tool.is_some() {
            self.edit(cx, ui, response, &shown);
            return;
        }
        if cx.marking.tool.is_some() {
            self.mark(cx, ui, response, &shown);
            return;
        }
        if self.doc.state().hovered != patch {
            cx.intents.command(Command::Hover(patch));
        }
        if !self.figure.nodes.is_empty() {
            self.node_beside_pointer(cx, ui, response, patch);
        }
        self.brush(cx, ui, response, &shown);
        let Some(patch) = patch else { return };
        let picture = self.doc.meta().spans.get(patch.span as usize).map(|span| span.picture);
        if let Some(picture) = picture.filter(|&one| one != self.doc.state().picture.index)
            && response.clicked()
        {
            cx.intents.command(Command::SetPicture(picture));
        }
        let is_tile = self.doc.state().view.spec().pictures == PictureRule::All;
        if is_tile && response.double_clicked() {
            cx.intents.command(Command::SetView(ViewKind::Overlay));
            return;
        }
        ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
        if self.figure.nodes.is_empty() {
            self.value_beside_pointer(cx, ui, response, patch);
        }
    }

    /// The patch or the patch's node under a point.
    fn under(&self, at: egui::Pos2, shown: &Shown) -> Option<PatchRef> {
        if !self.on_screen(self.figure.visible()).contains(at) {
            return None;
        }
        if let Some(position) = self.node_at(at) {
            return self.doc.meta().patch_of_key(position);
        }
        let (place, grid) = self.picture_at(at, shown)?;
        self.patch_at(at, place, &grid, shown)
    }

    /// The patches that the pressed pointer passed since the last frame: a fast stroke has no gaps.
    fn passed(&self, ui: &Ui, response: &Response, shown: &Shown) -> Vec<PatchRef> {
        /// Distance between two points that are looked up, in points on screen.
        const STEP: f32 = 2.0;
        let Some(last) = response.interact_pointer_pos() else { return Vec::new() };
        let (origin, delta, moves) = ui.input(|input| {
            let moved = input.events.iter().filter_map(|event| match event {
                egui::Event::PointerMoved(at) => Some(*at),
                _ => None,
            });
            (input.pointer.press_origin(), input.pointer.delta(), moved.collect::<Vec<_>>())
        });
        let starts = response.drag_started_by(egui::PointerButton::Primary);
        let way: Vec<egui::Pos2> = if response.clicked() {
            vec![last; 2]
        } else if starts {
            vec![origin.unwrap_or(last), last]
        } else {
            [vec![last - delta], moves, vec![last]].concat()
        };
        let mut patches = Vec::new();
        for pair in way.windows(2) {
            let steps = (pair[0].distance(pair[1]) / STEP).ceil().max(1.0) as u32;
            for step in 0..=steps {
                let at = pair[0].lerp(pair[1], step as f32 / steps as f32);
                let patch = self.under(at, shown).filter(|patch| !patches.contains(patch));
                patches.extend(patch);
            }
        }
        patches
    }

    /// A click or a stroke chooses patches.
    fn brush(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response, shown: &Shown) {
        let (shift, alt) = ui.input(|input| (input.modifiers.shift, input.modifiers.alt));
        let brush = response.dragged_by(egui::PointerButton::Primary);
        let starts = response.drag_started_by(egui::PointerButton::Primary) || response.clicked();
        let patches = if starts || brush { self.passed(ui, response, shown) } else { Vec::new() };
        if !patches.is_empty() {
            let command = if alt {
                Command::RemovePatches(patches)
            } else if shift || (brush && !starts) {
                Command::AddPatches(patches)
            } else if response.clicked() && self.doc.state().selected == patches {
                Command::SelectPatches(Vec::new())
            } else {
                Command::SelectPatches(patches)
            };
            cx.intents.send(Intent::Scrub(command));
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    }

    /// The position of the node under a point.
    fn node_at(&self, at: egui::Pos2) -> Option<u32> {
        let under = |(_, rect): &&(u32, PixelRect)| self.on_screen(*rect).contains(at);
        self.figure.nodes.iter().rev().find(under).map(|(position, _)| *position)
    }

    /// Name and numbers of the node under the pointer, or of the patch's node.
    fn node_beside_pointer(
        &self,
        cx: &PaneContext<'_>,
        ui: &Ui,
        response: &Response,
        patch: Option<PatchRef>,
    ) {
        let Some(at) = response.hover_pos() else { return };
        let Some(result) = cx.values.causal(self.doc, cx.shown) else { return };
        let Ok(tree) = CausalTree::new(cx.shown, &self.doc.trace, &result) else { return };
        let node = match self.node_at(at) {
            Some(position) => tree.node_at(position),
            None => patch.and_then(|patch| tree.node_of(patch)),
        };
        let Some(node) = node else { return };
        let name = causes::node_name(self.doc.meta(), node);
        if node.depth == 0 {
            beside(ui, self.rect, at, &name, "the token that is explained");
        } else {
            let text = format!("distance {} · {}", node.depth, causes::facts(node));
            beside(ui, self.rect, at, &name, &text);
        }
    }

    /// While a tool is in use the pointer marks objects.
    fn mark(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response, shown: &Shown) {
        if self.doc.state().hovered.is_some() {
            cx.intents.command(Command::Hover(None));
        }
        let pointer = response.interact_pointer_pos().or(response.hover_pos());
        // A gesture belongs to the picture that it began on.
        let begun = cx.marking.gesture.as_ref().map(|gesture| gesture.before.picture);
        let found = match (begun, pointer) {
            (Some(picture), _) => {
                let at = shown.grids.iter().position(|grid| grid.picture == picture);
                at.and_then(|at| {
                    let place = match self.doc.state().view.spec().has_tiles() {
                        false => self.figure.content,
                        true => self.figure.tiles.get(at)?.1,
                    };
                    Some((place, *shown.grids.get(at)?))
                })
            }
            // A gesture may begin beside the picture, at whose edge the object then begins.
            (None, Some(at)) => self.nearest_picture(at, shown),
            (None, None) => None,
        };
        let Some((place, grid)) = found else { return };
        let content = self.on_screen(place);
        let Some(mapping) = edit_stage::Mapping::of_frame(self.doc, grid.frame, content) else {
            return;
        };
        let visible = self.on_screen(self.figure.visible()).intersect(content);
        if !visible.is_positive() {
            return;
        }
        let picture = (grid.picture, &mapping);
        mark_stage::pointer(cx, ui, response, visible, picture, self.doc);
    }

    /// While a tool is in use the pointer edits.
    fn edit(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response, shown: &Shown) {
        let content = self.on_screen(self.figure.content);
        let visible = self.on_screen(self.figure.visible());
        let Some(mapping) = edit_stage::Mapping::new(cx, self.doc, content) else { return };
        edit_stage::preview(cx, ui, visible, &mapping);
        let passed = || self.passed(ui, response, shown);
        edit_stage::pointer(cx, ui, response, visible, &mapping, passed, self.doc);
    }

    /// The number of the hovered patch, beside the pointer.
    fn value_beside_pointer(
        &self,
        cx: &PaneContext<'_>,
        ui: &Ui,
        response: &Response,
        patch: PatchRef,
    ) {
        let Some(at) = response.hover_pos() else { return };
        let values = cx.map(self.numbers);
        let Some(&value) = index_of(&self.doc.trace, patch).and_then(|index| values.get(index))
        else {
            return;
        };
        let meta = self.doc.meta();
        let picture = meta.spans.get(patch.span as usize).map(|span| span.picture);
        let total =
            picture.and_then(|picture| meta.picture_sums(&values).remove(&picture)).unwrap_or(0.0);
        let high = values.iter().copied().fold(0.0, f32::max);
        let mut text = number(f64::from(value), f64::from(high));
        // Numbers of two signs have no shares.
        let is_signed = cx.shown.is_diverging() || values.iter().any(|value| *value < 0.0);
        if total > 0.0 && !is_signed {
            let share = percent(f64::from(value / total), 1);
            text = format!("{text}  ·  {share} of the picture");
        }
        let place = patch_name(meta, patch);
        beside(ui, self.rect, at, &text, &place);
    }

    /// Small multiples: hover names a head, a click shows it on the stage.
    fn heads(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response) {
        let Some(at) = response.hover_pos() else { return };
        let tile = self.figure.tiles.iter().find(|(_, rect)| self.on_screen(*rect).contains(at));
        let Some(&(head, place)) = tile else { return };
        let rect = self.on_screen(place);
        frame_over_data(ui, rect, Mark::Hovered);
        ui.ctx().set_cursor_icon(CursorIcon::PointingHand);
        let shown = Shown::new(self.doc.state(), &self.doc.trace);
        let grid = shown.grids.first();
        let patch = grid.and_then(|grid| self.patch_at(at, place, grid, &shown));
        if self.doc.state().hovered != patch {
            cx.intents.command(Command::Hover(patch));
        }
        if response.double_clicked() {
            cx.intents.command(Command::SetView(ViewKind::Overlay));
        } else if response.clicked() {
            let (state, model) = (self.doc.state(), &self.doc.meta().model);
            cx.intents.command(head_choice::click_in_layers(ui, state, model, head));
        }
    }

    /// Wall and matrix: hover names layer and head, a click chooses, a double click goes there.
    fn layers_heads(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response) {
        let Some(at) = response.hover_pos().or(response.interact_pointer_pos()) else { return };
        let Some(cell_of @ [layer, head]) = self.figure.head_at(self.on_target(at)) else { return };
        let Some(cell) = self.figure.head_cell(cell_of) else { return };
        let cell = self.on_screen(cell);
        frame_over_data(ui, cell, Mark::Hovered);
        let named = self.doc.meta().model.layer_number(layer);
        let command = Command::SetLayerHead(named, head);
        if response.double_clicked() {
            cx.intents.command(command);
            cx.intents.command(Command::SetView(ViewKind::Overlay));
        } else if response.clicked() {
            let numbers = self.doc.meta().model.layer_numbers();
            let range = |anchor| head_choice::rectangle(&numbers, anchor, [named, head]);
            let command = head_choice::click(ui, self.doc.state(), [named, head], range);
            cx.intents.command(command);
        } else if response.dragged_by(egui::PointerButton::Primary) && !head_choice::adds(ui) {
            cx.intents.send(Intent::Scrub(command));
        } else if response.hovered() {
            let state = self.doc.state();
            let matrix = cx.matrix(self.numbers, state);
            let value = matrix.at(layer, head);
            let value = value.map(|value| state.quantity.text(value, matrix.range[1]));
            let what = super::quantity::name(state.quantity, state).to_lowercase();
            let text = format!("{what} {}", value.unwrap_or_default());
            beside(ui, self.rect, at, &head_name(named, head), &text);
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    }

    /// A table of activation patching: hover reads a cell and marks its positions, a click shows its layer.
    fn places(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response) {
        let Some(at) = response.hover_pos() else { return };
        let (Some([row, column]), Some((cells, [rows, columns]))) =
            (self.figure.table_cell_at(self.on_target(at)), self.figure.table)
        else {
            return;
        };
        let Ok(table) = PatchTable::of_trace(self.doc.state(), &self.doc.trace) else { return };
        frame_over_data(ui, self.on_screen(cells.cell(row, column, rows, columns)), Mark::Hovered);
        let (place, value) = patching::cell_text(&table, row as usize, column);
        beside(ui, self.rect, at, &place, &value);
        patching::point(cx, self.doc, &table, (row as usize, column), response.clicked());
    }

    /// Query × key: hover reads the weight, a click chooses the row.
    fn token_matrix(&self, cx: &PaneContext<'_>, ui: &Ui, response: &Response) {
        let Some(at) = response.hover_pos() else { return };
        if !self.on_screen(self.figure.visible()).contains(at) {
            return;
        }
        let [u, v] = self.unit(at, self.figure.content);
        let shape = self.doc.trace.shape();
        let rows = self.doc.trace.rows();
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return };
        let count = f64::from(last - first + 1);
        let query = first + ((v * count).max(0.0) as u32).min(last - first);
        let meta = self.doc.meta();
        let columns = meta.key_columns(shape.positions, self.doc.state().every_patch);
        let column = ((u * columns.len() as f64).max(0.0) as usize).min(columns.len().max(1) - 1);
        let Some(keys) = columns.get(column).cloned() else { return };
        let name = |position: usize| {
            meta.tokens.get(position).map(|token| match token.kind {
                crate::trace::TokenKind::Image => format!("patch at {position}"),
                _ => {
                    let name = token_name(&meta.tokens, position);
                    format!("{position} {}", name.unwrap_or_default())
                }
            })
        };
        let key = match keys.len() {
            1 => name(keys.start).unwrap_or_default(),
            count => format!("picture, {count} keys from {}", keys.start),
        };
        let line = format!("{} → {key}", name(query as usize).unwrap_or_default());
        let value = self.weight(query, &keys);
        let text = value.map_or_else(
            || "this position was not kept".into(),
            |value| format!("attention {}", number(f64::from(value), f64::from(value.max(1e-3)))),
        );
        beside(ui, self.rect, at, &text, &line);
        if response.clicked() && rows.binary_search(&query).is_ok() {
            let prompt = meta.prompt_len;
            let queries = match (query + 1).checked_sub(prompt) {
                Some(answer) if answer < self.doc.extent.answers => Queries::answer(answer),
                _ => Queries { kind: QueryKind::Position, set: AxisSet::single(query) },
            };
            cx.intents.command(Command::SetQueries(queries));
        }
    }

    /// The weight of one column, over the chosen layers and heads.
    fn weight(&self, query: u32, keys: &std::ops::Range<usize>) -> Option<f32> {
        let state = self.doc.state();
        let choice = MapChoice { queries: Queries::position(query), ..state.map.clone() };
        let trace = &self.numbers.trace;
        let numbers = choice.resolve(trace, Keep::One, state.remove_bos).ok()?;
        let keys: Vec<u32> = keys.clone().map(|key| key as u32).collect();
        Some(numbers.at(&keys)?.iter().sum())
    }
}

/// Two lines beside the pointer, kept within `room`.
fn beside(ui: &Ui, room: Rect, at: egui::Pos2, first: &str, second: &str) {
    // The text would lie over a menu that is open.
    if egui::Popup::is_any_open(ui.ctx()) {
        return;
    }
    let ink = ink(ui);
    let painter = ui
        .ctx()
        .layer_painter(egui::LayerId::new(egui::Order::Tooltip, egui::Id::unique("beside")));
    let first = painter.layout_no_wrap(first.to_owned(), theme::strong(theme::BODY), ink.text);
    let second = painter.layout_no_wrap(second.to_owned(), theme::plain(theme::SMALL), ink.muted);
    let size =
        vec2(first.size().x.max(second.size().x) + 16.0, first.size().y + second.size().y + 14.0);
    let mut min = at + vec2(16.0, 16.0);
    if min.x + size.x > room.right() - 4.0 {
        min.x = at.x - 12.0 - size.x;
    }
    if min.y + size.y > room.bottom() - 4.0 {
        min.y = at.y - 12.0 - size.y;
    }
    let rect = Rect::from_min_size(min, size);
    painter.rect_filled(rect, 4.0, ink.panel.gamma_multiply(0.96));
    painter.rect_stroke(rect, 4.0, Stroke::new(1.0, ink.hairline), StrokeKind::Inside);
    let below = first.size().y + 2.0;
    painter.galley(rect.min + vec2(8.0, 6.0), first, ink.text);
    painter.galley(rect.min + vec2(8.0, 6.0 + below), second, ink.muted);
}
