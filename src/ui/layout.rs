//! The docked panels: their list, their places, and moving them.
//!
//! Shares of the docking library are relative; as long as nobody moved an edge they follow the
//! window's size, so that the side panels keep their width and the stage takes the rest.

use super::theme;
use egui::text::{LayoutJob, TextWrapping};
use egui::{
    Color32, FontId, Rect, Response, Role, Sense, Stroke, Ui, Visuals, WidgetInfo, WidgetText, vec2,
};
use egui_tiles::{
    Behavior, Container, EditAction, Linear, LinearDir, SimplificationOptions, TabState, Tabs,
    Tile, TileId, Tiles, Tree, UiResponse,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Initial place of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanePlacement {
    /// It fills a place of its own and has no tab.
    Bare,
    /// In the upper tabs of the inspector.
    Upper,
    /// In the middle tabs, which are the lowest while they show the bars of the heads.
    Middle,
    /// In the lower tabs.
    Lower,
}

/// Declares the panels: name, initial place, title of the tab. A new panel is one line here and one in
/// `panels/mod.rs`, which names its struct; a stored layout without the panel gains it at that place, and
/// the palette lists it as "Panel: title".
macro_rules! panes {
    ($($(#[$doc:meta])* $pane:ident $place:ident $title:literal),+ $(,)?) => {
        /// A panel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Pane {
            $($(#[$doc])* $pane),+
        }

        impl Pane {
            /// Every panel.
            pub const ALL: &[Self] = &[$(Self::$pane),+];

            /// The tab's title.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$pane => $title),+ }
            }

            /// Initial place of the panel.
            pub const fn place(self) -> PanePlacement {
                match self { $(Self::$pane => PanePlacement::$place),+ }
            }
        }
    };
}

panes! {
    /// Picture, questions, answers.
    Chat Bare "Ask",
    /// The view.
    Stage Bare "Stage",
    /// Tokens and transport.
    Tokens Bare "Tokens",
    /// Layer × head matrix.
    Matrix Upper "Layers × heads",
    /// Shares of picture, question and earlier answer in each word of the answer.
    Relevancy Upper "Relevancy",
    /// Fields of the selected step of the walkthrough.
    Walkthrough Upper "Walkthrough",
    /// Heads ranked by their attention on the picture.
    Ranking Upper "Best heads",
    /// Causal graphs of an answer token.
    Causes Upper "Causes",
    /// One bar for each head of the layer.
    HeadStrip Middle "Heads of the layer",
    /// Exact values.
    Numbers Lower "Values",
    /// Question words that an answer word depends on, and a map for each answer word.
    WhyWord Middle "What this word depends on",
    /// Controls for drawing the map.
    Look Lower "Display",
    /// Bookmarks.
    Bookmarks Lower "Bookmarks",
    /// Edits, comparisons, changes to the model.
    #[serde(alias = "Probe")]
    WhatIf Lower "What if",
    /// Deletion and insertion curves of the shown map.
    Score Lower "Faithfulness",
}

impl Pane {
    /// The panels of a place.
    fn at(place: PanePlacement) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|pane| pane.place() == place).collect()
    }

    const fn is_bare(self) -> bool {
        matches!(self.place(), PanePlacement::Bare)
    }
}

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
/// Height of the inspector under which three rows of panels are one too many.
const LEAST_HEIGHT: f32 = 440.0;
/// Height of the matrix's panel without its rows, and the least height of a row.
const MATRIX_FRAME: f32 = 176.0;
const MATRIX_ROW: f32 = 6.0;
/// Height of the fields of a walkthrough's step with their buttons.
const STEP_HEIGHT: f32 = 420.0;
/// Height of the inspector under which one row of panels is large and the others are small.
const LOW_HEIGHT: f32 = 600.0;
/// The part of the inspector's height that the panels below the matrix keep.
const LEAST_BELOW: f32 = 0.36;

/// The docked panels and whether anybody moved them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Layout {
    tree: Tree<Pane>,
    touched: bool,
    /// Whether the bars of the heads were in front when the preview of a walkthrough hid them.
    #[serde(skip)]
    had_bars: bool,
    /// The row of the inspector whose tab was chosen last: on a low window it takes most of the height.
    #[serde(skip)]
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
        let is_default = !self.touched && self.in_front() == Self::default().in_front();
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
        let wanted = match is_view {
            true => MATRIX_FRAME + MATRIX_ROW * seen.layers as f32,
            false => STEP_HEIGHT,
        };
        self.fit_inspector(ui.available_height() - tokens, wanted);
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
    fn fit_inspector(&mut self, height: f32, wanted: f32) {
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
        let shares = shares_of_inspector(height, wanted, shows_bars, self.used_row);
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

/// The shares of the upper, the middle and the lower row of panels in the height of the inspector; `wanted` is the height
/// that the upper panels want. On a low window, the row that was used last takes most of it.
fn shares_of_inspector(
    height: f32,
    wanted: f32,
    shows_bars: bool,
    used_row: Option<usize>,
) -> [f32; 3] {
    if let Some(row) = used_row.filter(|_| height < LOW_HEIGHT) {
        let mut shares = [LEAST_BELOW / 2.0; 3];
        if let Some(share) = shares.get_mut(row) {
            *share = 1.0 - LEAST_BELOW;
        }
        return shares;
    }
    let (upper, below): (f32, [f32; 2]) = match (height >= LEAST_HEIGHT, shows_bars) {
        (true, true) => (1.2, [0.65, 1.15]),
        (true, false) => (1.2, [1.1, 0.7]),
        (false, true) => (1.6, [0.25, 1.15]),
        (false, false) => (1.6, [0.8, 0.6]),
    };
    let [middle, lower] = below;
    let all = upper + middle + lower;
    let upper = (upper / all).max((wanted / height.max(1.0)).min(1.0 - LEAST_BELOW));
    let part = (1.0 - upper) / (middle + lower);
    [upper, middle * part, lower * part]
}

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
fn rows_of_tabs(tiles: &Tiles<Pane>) -> Vec<(Vec<TileId>, Vec<&'static str>, f32)> {
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

struct Dock<'a> {
    draw: &'a mut dyn FnMut(Pane, &mut Ui),
    edited: bool,
    /// The tab that was clicked.
    clicked: Option<TileId>,
    rows: Vec<(Vec<TileId>, Vec<&'static str>, f32)>,
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
            let ink = super::widgets::ink(ui);
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
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn only_the_longest_titles_are_cut() {
        assert_eq!(largest_width(&[40.0, 150.0, 60.0], 300.0), f32::INFINITY);
        assert_eq!(largest_width(&[40.0, 150.0, 60.0], 200.0), 100.0);
        assert_eq!(largest_width(&[40.0, 150.0, 60.0], 130.0), 45.0);
        assert_eq!(largest_width(&[40.0, 150.0], -10.0), 0.0);
        assert_eq!(largest_width(&[], 10.0), f32::INFINITY);
    }

    #[test]
    fn a_matrix_of_many_layers_takes_more_of_the_height() {
        for height in [300.0, 430.0, 900.0] {
            for bars in [true, false] {
                let few = shares_of_inspector(height, 200.0, bars, None);
                let many = shares_of_inspector(height, 370.0, bars, None);
                for shares in [few, many] {
                    assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{shares:?}");
                }
                assert!(many[0] >= few[0] && many[0] <= 1.0 - LEAST_BELOW + 1e-5);
                let other = shares_of_inspector(height, 370.0, !bars, None);
                assert_eq!(many[0], other[0], "the edge stays where it is when the tab changes");
            }
        }
        // Rows of the matrix that can be hit.
        let low = 430.0 * shares_of_inspector(430.0, 370.0, true, None)[0];
        assert!(low >= 0.6 * 430.0);
    }

    #[test]
    fn on_a_low_window_the_row_of_the_chosen_tab_is_large() {
        let mut layout = Layout::default();
        for (pane, row) in [(Pane::Ranking, 0), (Pane::WhyWord, 1), (Pane::WhatIf, 2)] {
            layout.bring_to_front(pane);
            assert_eq!(layout.used_row, Some(row));
            let low = shares_of_inspector(400.0, 200.0, true, layout.used_row);
            assert!(low[row] > 0.6 && low.iter().sum::<f32>() > 0.999, "{low:?}");
            let high = shares_of_inspector(900.0, 200.0, true, layout.used_row);
            assert_eq!(high, shares_of_inspector(900.0, 200.0, true, None));
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
