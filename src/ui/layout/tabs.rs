//! Tabs and lines between the docked panels.

use super::panes::Pane;
use crate::ui::theme;
use egui::text::{LayoutJob, TextWrapping};
use egui::{
    Color32, FontId, Rect, Response, Role, Sense, Stroke, Ui, Visuals, WidgetInfo, WidgetText, vec2,
};
use egui_tiles::{
    Behavior, Container, EditAction, SimplificationOptions, TabState, Tabs, Tile, TileId, Tiles,
    UiResponse,
};

/// Type size, margin and largest width of the titles in a row of tabs.
struct TabFit {
    size: f32,
    margin: f32,
    most: f32,
}

impl TabFit {
    const ROOMY: Self = Self { size: theme::BODY, margin: 8.0, most: f32::INFINITY };
    const SMALL: Self = Self { size: theme::SMALL, margin: 5.0, ..Self::ROOMY };
    const TIGHT: Self = Self { size: 11.0, margin: 3.0, ..Self::ROOMY };

    /// For titles in a row of `width` points.
    fn new(ui: &Ui, titles: &[&str], width: f32) -> Self {
        let widths = |size: f32| -> Vec<f32> {
            let width = |title: &&str| {
                let font = FontId::proportional(size);
                ui.painter().layout_no_wrap((*title).to_owned(), font, Color32::WHITE).size().x
            };
            titles.iter().map(width).collect()
        };
        let room = |margin: f32| width - 2.0 * margin * titles.len() as f32 - 2.0;
        for fit in [Self::ROOMY, Self::SMALL] {
            if widths(fit.size).iter().sum::<f32>() <= room(fit.margin) {
                return fit;
            }
        }
        let most = largest_width(&widths(Self::TIGHT.size), room(Self::TIGHT.margin));
        Self { most, ..Self::TIGHT }
    }
}

/// The titles in each row of tabs and its width in the last pass. The docking library takes a container out of its list
/// while it draws it, so that a tab cannot ask for them.
pub(super) fn rows_of_tabs(tiles: &Tiles<Pane>) -> Vec<(Vec<TileId>, Vec<&'static str>, f32)> {
    let tabs = tiles.iter().filter_map(|(id, tile)| match tile {
        Tile::Container(container @ Container::Tabs(_)) => Some((*id, container)),
        _ => None,
    });
    tabs.map(|(id, container)| {
        let children = container.children().filter(|&&child| tiles.is_visible_in_layout(child));
        let panes = children.filter_map(|&child| Some((child, tiles.get_pane(&child)?.title())));
        let (ids, titles) = panes.unzip();
        (ids, titles, tiles.rect(id).map_or(f32::INFINITY, |rect| rect.width()))
    })
    .collect()
}

/// The width to which the longest of several widths must be cut for their sum to fit into `room`.
fn largest_width(widths: &[f32], room: f32) -> f32 {
    let mut sorted = widths.to_vec();
    sorted.sort_by(f32::total_cmp);
    let mut left = room;
    for (index, width) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - index) as f32;
        if share < *width {
            return share.max(0.0);
        }
        left -= width;
    }
    f32::INFINITY
}

/// The docking library's view of the panels: their contents, tabs and lines.
pub(super) struct Dock<'a> {
    pub draw: &'a mut dyn FnMut(Pane, &mut Ui),
    /// Whether an edge or a tab was moved.
    pub edited: bool,
    /// The tab that was clicked.
    pub clicked: Option<TileId>,
    /// See [`rows_of_tabs`].
    pub rows: Vec<(Vec<TileId>, Vec<&'static str>, f32)>,
}

impl Behavior<Pane> for Dock<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Pane) -> UiResponse {
        (self.draw)(*pane, ui);
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        pane.title().into()
    }

    fn is_tab_bar_visible(&self, _tile: TileId, _tabs: &Tabs) -> bool {
        true
    }

    fn tab_bar_height(&self, _style: &egui::Style) -> f32 {
        30.0
    }

    /// A tab that is never out of sight: where the titles do not fit side by side, all are smaller, and the longest are
    /// cut.
    fn tab_ui(
        &mut self,
        tiles: &mut Tiles<Pane>,
        ui: &mut Ui,
        id: egui::Id,
        tile_id: TileId,
        state: &TabState,
    ) -> Response {
        let title = tiles.get_pane(&tile_id).map_or("Panels", |pane| pane.title());
        let row = self.rows.iter().find(|(tabs, ..)| tabs.contains(&tile_id));
        let mut fit =
            row.map_or(TabFit::ROOMY, |(_, titles, width)| TabFit::new(ui, titles, *width));
        // Rows above each other have one type size.
        let sizes = self.rows.iter().map(|(_, titles, width)| TabFit::new(ui, titles, *width).size);
        fit.size = sizes.fold(fit.size, f32::min);
        let color = self.tab_text_color(ui.visuals(), tiles, tile_id, state);
        let font = FontId::proportional(fit.size);
        let mut job = LayoutJob::simple_singleline(title.to_owned(), font, color);
        job.wrap = TextWrapping::truncate_at_width(fit.most + 0.5);
        let galley = ui.painter().layout_job(job);
        let size = vec2(galley.size().x + 2.0 * fit.margin, ui.available_height());
        let (_, rect) = ui.allocate_space(size);
        let is_draggable = self.is_tile_draggable(tiles, tile_id);
        let sense = if is_draggable { Sense::click_and_drag() } else { Sense::click() };
        let response = ui.interact(rect, id, sense);
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, state.active, title));
        if !state.is_being_dragged {
            let ink = crate::ui::widgets::ink(ui);
            if state.active {
                let line = Rect::from_x_y_ranges(
                    rect.left() + fit.margin..=rect.right() - fit.margin,
                    rect.bottom() - 2.0..=rect.bottom(),
                );
                ui.painter().rect_filled(line, 1.0, ink.accent);
            }
            let color = if response.hovered() { ink.text } else { color };
            let at = rect.center() - galley.size() / 2.0;
            ui.painter().galley_with_override_text_color(at, galley.clone(), color);
        }
        if response.clicked() {
            self.clicked = Some(tile_id);
        }
        let response = if galley.elided { response.on_hover_text(title) } else { response };
        self.on_tab_button(tiles, tile_id, response)
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        1.0
    }

    fn min_size(&self) -> f32 {
        64.0
    }

    fn simplification_options(&self) -> SimplificationOptions {
        // The three bare panels have no tabs; the others keep theirs, as handles for dragging.
        SimplificationOptions {
            prune_single_child_tabs: false,
            all_panes_must_have_tabs: false,
            ..SimplificationOptions::default()
        }
    }

    fn resize_stroke(&self, style: &egui::Style, state: egui_tiles::ResizeState) -> Stroke {
        let hairline = style.visuals.widgets.noninteractive.bg_stroke.color;
        match state {
            egui_tiles::ResizeState::Idle => Stroke::new(1.0, hairline),
            egui_tiles::ResizeState::Hovering | egui_tiles::ResizeState::Dragging => {
                Stroke::new(2.0, style.visuals.hyperlink_color)
            }
        }
    }

    fn tab_bar_color(&self, visuals: &Visuals) -> Color32 {
        visuals.panel_fill
    }

    fn tab_bg_color(
        &self,
        visuals: &Visuals,
        _tiles: &Tiles<Pane>,
        _tile: TileId,
        _state: &TabState,
    ) -> Color32 {
        visuals.panel_fill
    }

    fn tab_outline_stroke(
        &self,
        _visuals: &Visuals,
        _tiles: &Tiles<Pane>,
        _tile: TileId,
        _state: &TabState,
    ) -> Stroke {
        Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, visuals: &Visuals) -> Stroke {
        visuals.widgets.noninteractive.bg_stroke
    }

    fn tab_text_color(
        &self,
        visuals: &Visuals,
        _tiles: &Tiles<Pane>,
        _tile: TileId,
        state: &TabState,
    ) -> Color32 {
        if state.active {
            visuals.widgets.noninteractive.fg_stroke.color
        } else {
            visuals.weak_text_color.unwrap_or(visuals.widgets.noninteractive.fg_stroke.color)
        }
    }

    fn is_tile_draggable(&self, tiles: &Tiles<Pane>, tile: TileId) -> bool {
        !tiles.get_pane(&tile).is_some_and(|pane| pane.is_bare())
    }

    fn on_edit(&mut self, action: EditAction) {
        self.edited |= matches!(action, EditAction::TileResized | EditAction::TileDropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_longest_titles_are_cut() {
        assert_eq!(largest_width(&[40.0, 150.0, 60.0], 300.0), f32::INFINITY);
        assert_eq!(largest_width(&[40.0, 150.0, 60.0], 200.0), 100.0);
        assert_eq!(largest_width(&[40.0, 150.0, 60.0], 130.0), 45.0);
        assert_eq!(largest_width(&[40.0, 150.0], -10.0), 0.0);
        assert_eq!(largest_width(&[], 10.0), f32::INFINITY);
    }
}
