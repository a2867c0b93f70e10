//! The docked panels: which there are, where they stand, how they are dragged.
//!
//! Shares of the docking library are relative; as long as nobody moved an edge they follow the
//! window's size, so that the side panels keep their width and the stage takes the rest.

use super::app::App;
use super::{panels, theme, widgets};
use egui::{Color32, Stroke, Ui, Visuals, WidgetText};
use egui_tiles::{
    Behavior, Container, EditAction, Linear, LinearDir, SimplificationOptions, TabState, Tabs,
    Tile, TileId, Tiles, Tree, UiResponse,
};
use serde::{Deserialize, Serialize};

/// A panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pane {
    /// Picture, questions, answers.
    Chat,
    /// The view.
    Stage,
    /// Tokens and transport.
    Tokens,
    /// Layer × head matrix.
    Matrix,
    /// Which head should I look at?
    Ranking,
    /// One bar for each head of the layer.
    HeadStrip,
    /// Exact values.
    Numbers,
    /// How the map is drawn.
    Look,
    /// Kept views.
    Bookmarks,
}

impl Pane {
    /// The tab's title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Chat => "Ask",
            Self::Stage => "Stage",
            Self::Tokens => "Tokens",
            Self::Matrix => "Layers × heads",
            Self::Ranking => "Best heads",
            Self::HeadStrip => "Heads of the layer",
            Self::Numbers => "Numbers",
            Self::Look => "Look",
            Self::Bookmarks => "Bookmarks",
        }
    }

    /// Draws it.
    pub fn show(self, app: &mut App, ui: &mut Ui) {
        match self {
            Self::Chat => panels::chat::show(app, ui),
            Self::Stage => panels::stage::show(app, ui),
            Self::Tokens => panels::tokens::show(app, ui),
            Self::Matrix => panels::matrix::show(app, ui),
            Self::Ranking => panels::ranking::show(app, ui),
            Self::HeadStrip => panels::head_strip::show(app, ui),
            Self::Numbers => panels::numbers::show(app, ui),
            Self::Look => panels::look::show(app, ui),
            Self::Bookmarks => panels::bookmarks::show(app, ui),
        }
    }

    /// The three that fill their place and need no tab.
    const fn is_bare(self) -> bool {
        matches!(self, Self::Chat | Self::Stage | Self::Tokens)
    }
}

const CHAT_WIDTH: f32 = 320.0;
const INSPECTOR_WIDTH: f32 = 360.0;
const TOKENS_HEIGHT: f32 = 128.0;

/// The docked panels and whether anybody moved them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Layout {
    tree: Tree<Pane>,
    touched: bool,
    columns: TileId,
    inspector: TileId,
    /// Tiles of the three bare panels.
    chat: TileId,
    stage: TileId,
    tokens: TileId,
    root: TileId,
}

impl Default for Layout {
    fn default() -> Self {
        let mut tiles = Tiles::default();
        let chat = tiles.insert_pane(Pane::Chat);
        let stage = tiles.insert_pane(Pane::Stage);
        let tokens = tiles.insert_pane(Pane::Tokens);
        let mut tabs = |panes: &[Pane]| {
            let children: Vec<TileId> = panes.iter().map(|&pane| tiles.insert_pane(pane)).collect();
            tiles.insert_tab_tile(children)
        };
        let upper = tabs(&[Pane::Matrix, Pane::Ranking]);
        let middle = tabs(&[Pane::HeadStrip]);
        let lower = tabs(&[Pane::Numbers, Pane::Look, Pane::Bookmarks]);
        let mut side = Linear::new(LinearDir::Vertical, vec![upper, middle, lower]);
        side.shares.set_share(upper, 1.1);
        side.shares.set_share(middle, 0.72);
        side.shares.set_share(lower, 1.18);
        let inspector = tiles.insert_container(Container::Linear(side));
        let columns = tiles.insert_horizontal_tile(vec![chat, stage, inspector]);
        let root = tiles.insert_vertical_tile(vec![columns, tokens]);
        let tree = Tree::new(egui::Id::unique("layout"), root, tiles);
        Self { tree, touched: false, columns, inspector, chat, stage, tokens, root }
    }
}

impl Layout {
    /// Reads a layout; a damaged one becomes the default.
    pub fn from_text(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The layout as text; `None` while it is the default.
    pub fn to_text(&self) -> Option<String> {
        if self.touched { serde_json::to_string(self).ok() } else { None }
    }

    /// Draws the panels.
    pub fn show(&mut self, app: &mut App, ui: &mut Ui) {
        self.fit(ui.available_size());
        let settings = &app.settings;
        self.tree.set_visible(self.chat, settings.show_chat);
        self.tree.set_visible(self.inspector, settings.show_inspector);
        self.tree.set_visible(self.tokens, settings.show_tokens);
        let mut dock = Dock { app, edited: false };
        self.tree.ui(&mut dock, ui);
        self.touched |= dock.edited;
    }

    /// Keeps the side panels at their width while nobody moved an edge.
    fn fit(&mut self, size: egui::Vec2) {
        if self.touched {
            return;
        }
        let side = CHAT_WIDTH + INSPECTOR_WIDTH;
        let widths = [
            (self.chat, CHAT_WIDTH),
            (self.stage, (size.x - side).max(200.0)),
            (self.inspector, INSPECTOR_WIDTH),
        ];
        let heights =
            [(self.columns, (size.y - TOKENS_HEIGHT).max(100.0)), (self.tokens, TOKENS_HEIGHT)];
        for (parent, shares) in [(self.columns, &widths[..]), (self.root, &heights[..])] {
            if let Some(Tile::Container(Container::Linear(linear))) =
                self.tree.tiles.get_mut(parent)
            {
                for &(tile, share) in shares {
                    linear.shares.set_share(tile, share);
                }
            }
        }
    }
}

struct Dock<'a> {
    app: &'a mut App,
    edited: bool,
}

impl Behavior<Pane> for Dock<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Pane) -> UiResponse {
        let ink = widgets::ink(ui);
        let rect = ui.max_rect();
        let fill = if *pane == Pane::Stage { ink.stage } else { ink.panel };
        ui.painter().rect_filled(rect, 0.0, fill);
        let margin = if *pane == Pane::Stage { 0.0 } else { 3.0 * theme::GRID };
        let inner = rect.shrink(margin);
        let builder =
            egui::UiBuilder::new().max_rect(inner).layout(egui::Layout::top_down(egui::Align::Min));
        let mut child = ui.new_child(builder);
        child.set_clip_rect(rect.intersect(ui.clip_rect()));
        pane.show(self.app, &mut child);
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        pane.title().into()
    }

    fn is_tab_bar_visible(&self, _tile: TileId, _tabs: &Tabs) -> bool {
        true
    }

    fn tab_bar_height(&self, _style: &egui::Style) -> f32 {
        32.0
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        1.0
    }

    fn min_size(&self) -> f32 {
        64.0
    }

    fn simplification_options(&self) -> SimplificationOptions {
        // The three bare panels stand without tabs; the others keep theirs, to be dragged by.
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
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_layout_survives_its_text_and_damage_gives_the_default() {
        let layout = Layout { touched: true, ..Layout::default() };
        let text = layout.to_text().unwrap();
        let again = Layout::from_text(Some(&text));
        assert!(again.touched && again.tree == layout.tree);
        assert!(Layout::from_text(Some("{}")).to_text().is_none());
        assert!(Layout::from_text(None).to_text().is_none());
    }
}
