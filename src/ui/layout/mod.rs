//! The docked panels: their list, their places, and moving them.
//!
//! Shares of the docking library are relative; as long as nobody moved an edge they follow the
//! window's size, so that the side panels keep their width and the stage takes the rest.

mod heights;
mod panes;
mod tabs;

pub use panes::{Pane, PanePlacement};

use egui::Ui;
use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};
use heights::{UpperHeight, shares_of_inspector};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tabs::{Dock, rows_of_tabs};

/// Under this width, in points, the side panels become overlays.
pub const NARROW: f32 = 900.0;

/// Panels that stand over the stage on a narrow window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The chat.
    Chat,
    /// The panels of the inspector.
    Inspector,
}

/// The visible parts of the layout.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The chat.
    pub chat: bool,
    /// The panels of the inspector.
    pub inspector: bool,
    /// The token strip.
    pub tokens: bool,
    /// Height that the token strip needs, in points.
    pub tokens_height: f32,
    /// Whether the stage shows the view, not the preview of a walkthrough.
    pub is_view: bool,
    /// Layers of the shown trace: the rows of the matrix.
    pub layers: usize,
}

/// Widths of the side panels: the first where the window is narrow, the second where it is wide.
const CHAT_WIDTH: [f32; 2] = [256.0, 320.0];
const INSPECTOR_WIDTH: [f32; 2] = [348.0, 364.0];
/// Least height of the token strip.
const TOKENS_HEIGHT: f32 = 112.0;

/// The docked panels and whether anybody moved them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Layout {
    tree: Tree<Pane>,
    touched: bool,
    /// Whether the bars of the heads were in front when the preview of a walkthrough hid them.
    #[serde(skip)]
    had_bars: bool,
    /// The row of the inspector whose tab was chosen last: on a low window it takes most of the height.
    #[serde(default)]
    used_row: Option<usize>,
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
        let upper = tabs(&Pane::at(PanePlacement::Upper));
        let middle = tabs(&Pane::at(PanePlacement::Middle));
        let lower = tabs(&Pane::at(PanePlacement::Lower));
        let mut side = Linear::new(LinearDir::Vertical, vec![upper, middle, lower]);
        side.shares.set_share(upper, 1.2);
        side.shares.set_share(middle, 0.65);
        side.shares.set_share(lower, 1.15);
        let inspector = tiles.insert_container(Container::Linear(side));
        let columns = tiles.insert_horizontal_tile(vec![chat, stage, inspector]);
        let root = tiles.insert_vertical_tile(vec![columns, tokens]);
        let tree = Tree::new(egui::Id::unique("layout"), root, tiles);
        Self {
            tree,
            touched: false,
            had_bars: false,
            used_row: None,
            columns,
            inspector,
            chat,
            stage,
            tokens,
            root,
        }
    }
}

impl Layout {
    /// Reads a layout; a damaged one becomes the default.
    pub fn from_text(text: Option<&str>) -> Self {
        let mut layout: Self =
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        layout.add_missing();
        layout
    }

    /// Adds panels that a stored layout of an earlier version lacks, beside their neighbours.
    fn add_missing(&mut self) {
        for &pane in Pane::ALL {
            if self.tree.tiles.find_pane(&pane).is_some() {
                continue;
            }
            let neighbour = Pane::at(pane.place())
                .into_iter()
                .filter_map(|other| self.tree.tiles.find_pane(&other))
                .find_map(|tile| self.tree.tiles.parent_of(tile));
            let tile = self.tree.tiles.insert_pane(pane);
            if let Some(parent) = neighbour.or(self.tree.root())
                && let Some(Tile::Container(container)) = self.tree.tiles.get_mut(parent)
            {
                container.add_child(tile);
            }
        }
    }

    /// Shows the tab of a panel.
    pub fn bring_to_front(&mut self, pane: Pane) {
        self.tree.make_active(|_, tile| matches!(tile, Tile::Pane(other) if *other == pane));
        if let Some(tile) = self.tree.tiles.find_pane(&pane) {
            self.used_row = self.row_of(tile).or(self.used_row);
        }
    }

    /// The row of the inspector that holds a panel, counted from above.
    fn row_of(&self, pane: TileId) -> Option<usize> {
        let tabs = self.tree.tiles.parent_of(pane)?;
        match self.tree.tiles.get(self.inspector)? {
            Tile::Container(Container::Linear(side)) => {
                side.children.iter().position(|row| *row == tabs)
            }
            _ => None,
        }
    }

    /// The layout as text; `None` while edges, tabs and chosen tabs are those of the default.
    pub fn to_text(&self) -> Option<String> {
        let is_default = !self.touched
            && self.used_row.is_none()
            && self.in_front() == Self::default().in_front();
        if is_default { None } else { serde_json::to_string(self).ok() }
    }

    /// The panels whose tabs are chosen.
    fn in_front(&self) -> BTreeSet<&'static str> {
        let tiles = &self.tree.tiles;
        let chosen = tiles.tiles().filter_map(|tile| match tile {
            Tile::Container(Container::Tabs(tabs)) => tiles.get_pane(&tabs.active?),
            _ => None,
        });
        chosen.map(|pane| pane.title()).collect()
    }

    /// Shows the bars of the heads, or hides them during the preview of a walkthrough. Afterwards the tab that was chosen
    /// is chosen again.
    fn show_bars(&mut self, is_view: bool) {
        let Some(heads) = self.tree.tiles.find_pane(&Pane::HeadStrip) else { return };
        let was_view = self.tree.is_visible(heads);
        if was_view && !is_view {
            self.had_bars = self.in_front().contains(Pane::HeadStrip.title());
        }
        self.tree.set_visible(heads, is_view);
        if is_view && !was_view && std::mem::take(&mut self.had_bars) {
            self.tree.make_active(|tile, _| tile == heads);
        }
    }

    /// Draws the panels that are seen; `draw` draws one into its tile.
    pub fn show(&mut self, ui: &mut Ui, seen: Seen, draw: &mut dyn FnMut(Pane, &mut Ui)) {
        let tokens_height = seen.tokens_height.max(TOKENS_HEIGHT);
        self.fit(ui.available_size(), tokens_height);
        self.tree.set_visible(self.chat, seen.chat);
        self.tree.set_visible(self.inspector, seen.inspector);
        // The token strip and the heads' bars belong to the view, not to the walkthrough.
        let is_view = seen.is_view;
        self.tree.set_visible(self.tokens, seen.tokens && is_view);
        self.show_bars(is_view);
        let tokens = if seen.tokens && is_view { tokens_height } else { 0.0 };
        let upper = match is_view {
            true => UpperHeight::of_matrix(seen.layers),
            false => UpperHeight::OF_STEP,
        };
        self.fit_inspector(ui.available_height() - tokens, upper);
        let rows = rows_of_tabs(&self.tree.tiles);
        let mut dock = Dock { draw, edited: false, clicked: None, rows };
        self.tree.ui(&mut dock, ui);
        self.touched |= dock.edited;
        let used_row = dock.clicked.and_then(|tab| self.row_of(tab));
        if used_row.is_some() && used_row != self.used_row {
            self.used_row = used_row;
            ui.ctx().request_discard("a row of panels has another height");
        }
        if dock.rows != rows_of_tabs(&self.tree.tiles) {
            ui.ctx().request_discard("rows of tabs have another width");
        }
    }

    /// Shares the height of the inspector out while nobody moved an edge: the bars of the heads need little, the list of
    /// words beside them more, and on a low window the bars give their height to the matrix. The upper panels
    /// take the height that they want, as far as the others can spare it.
    fn fit_inspector(&mut self, height: f32, upper: UpperHeight) {
        let tiles = &self.tree.tiles;
        let Some(heads) = tiles.find_pane(&Pane::HeadStrip).filter(|_| !self.touched) else {
            return;
        };
        let Some(middle) = tiles.parent_of(heads) else { return };
        let shows_bars = match tiles.get(middle) {
            Some(Tile::Container(Container::Tabs(tabs))) => tabs.next_active(tiles) == Some(heads),
            _ => return,
        };
        // The upper edge of the tabs does not depend on which of them is shown.
        let shares = shares_of_inspector(height, upper, shows_bars, self.used_row);
        let Some(Tile::Container(Container::Linear(side))) =
            self.tree.tiles.get_mut(self.inspector)
        else {
            return;
        };
        let rows: Vec<TileId> = side.children.clone();
        if rows.len() == shares.len() && rows[1] == middle {
            rows.into_iter().zip(shares).for_each(|(row, share)| side.shares.set_share(row, share));
        }
    }

    /// Keeps the side panels at their width while nobody moved an edge.
    fn fit(&mut self, size: egui::Vec2, tokens_height: f32) {
        if self.touched {
            return;
        }
        let room = ((size.x - 1200.0) / 400.0).clamp(0.0, 1.0);
        let [chat, inspector] =
            [CHAT_WIDTH, INSPECTOR_WIDTH].map(|[low, high]| low + room * (high - low));
        let widths = [
            (self.chat, chat),
            (self.stage, (size.x - chat - inspector).max(200.0)),
            (self.inspector, inspector),
        ];
        let heights =
            [(self.columns, (size.y - tokens_height).max(100.0)), (self.tokens, tokens_height)];
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_row_of_a_chosen_tab_is_known() {
        let mut layout = Layout::default();
        for (pane, row) in [(Pane::Ranking, 0), (Pane::WhyWord, 1), (Pane::WhatIf, 2)] {
            layout.bring_to_front(pane);
            assert_eq!(layout.used_row, Some(row));
            let again = Layout::from_text(layout.to_text().as_deref());
            assert_eq!(again.used_row, Some(row), "after the next start");
        }
    }

    #[test]
    fn chosen_tabs_are_kept_and_come_back_after_a_walkthrough() {
        let mut layout = Layout::default();
        assert!(layout.to_text().is_none());
        layout.bring_to_front(Pane::Relevancy);
        let text = layout.to_text().unwrap();
        let again = Layout::from_text(Some(&text));
        assert!(again.in_front().contains("Relevancy") && !again.touched);
        assert!(layout.in_front().contains("Heads of the layer"));
        layout.show_bars(false);
        // The docking library chooses another tab where the chosen one is hidden.
        layout.bring_to_front(Pane::WhyWord);
        layout.show_bars(true);
        assert!(layout.in_front().contains("Heads of the layer"));
    }

    #[test]
    fn a_layout_survives_its_text_and_damage_gives_the_default() {
        let layout = Layout { touched: true, ..Layout::default() };
        let text = layout.to_text().unwrap();
        let again = Layout::from_text(Some(&text));
        assert!(again.touched && again.tree == layout.tree);
        assert!(Layout::from_text(Some("{}")).to_text().is_none());
        assert!(Layout::from_text(None).to_text().is_none());
    }

    #[test]
    fn a_layout_from_before_a_panel_gains_it_beside_its_neighbours() {
        let mut old = Layout { touched: true, ..Layout::default() };
        let look = old.tree.tiles.find_pane(&Pane::Look).unwrap();
        old.tree.remove_recursively(look);
        assert!(old.tree.tiles.find_pane(&Pane::Look).is_none());
        let new = Layout::from_text(old.to_text().as_deref());
        let parent = |pane| new.tree.tiles.parent_of(new.tree.tiles.find_pane(&pane).unwrap());
        assert!(parent(Pane::Look).is_some());
        assert_eq!(parent(Pane::Look), parent(Pane::Numbers));
    }
}
