//! Layout of a figure: from content to rectangles.

use super::super::{Mix, ViewState};
use super::annotations::SLIDE_MARGIN;
use super::axes::{label_tokens, mark_heads, print_heads, print_peaks, print_values, ruled_axes};
use super::content::{AxisMarks, Content};
use super::foot::{Foot, LINE, STAGE_GAP};
use super::rect::seen;
use super::sizes::scale_of;
use super::{
    Figure, Fill, HeadGrid, Ink, PixelRect, Readout, SortedHeads, TextRun, causal, patching,
    relevancy,
};

/// In a smaller target there is no space for text: the stage fills the target.
const MIN_CHROME_PX: f32 = 160.0;

/// Space around the figure.
const MARGIN: f32 = 24.0;
/// Space for the labels of layers and heads.
const AXIS_LEFT: f32 = 52.0;
const AXIS_TOP: f32 = 40.0;
/// Space for the labels of the token matrix.
const TOKENS_LEFT: f32 = 132.0;
const TOKENS_TOP: f32 = 58.0;

impl Figure {
    /// Lays out a frame. `readout` holds the numbers of the colour scale, once they are known.
    pub fn layout(
        state: &ViewState,
        size: [u32; 2],
        content: &Content,
        caption: &[TextRun],
        readout: impl Into<Readout>,
    ) -> Self {
        Self::laid_out(state, size, content, [caption, &[]], &readout.into(), false)
    }

    /// The same for a picture that keeps its place while the selection changes: below it there is room for the lines of
    /// `widest` too.
    pub fn layout_with_room(
        state: &ViewState,
        size: [u32; 2],
        content: &Content,
        [caption, widest]: [&[TextRun]; 2],
        readout: impl Into<Readout>,
    ) -> Self {
        Self::laid_out(state, size, content, [caption, widest], &readout.into(), false)
    }

    /// The same on a slide: the picture is larger, and the legend has words for an audience.
    pub fn layout_of_slide(
        state: &ViewState,
        size: [u32; 2],
        content: &Content,
        caption: &[TextRun],
        readout: impl Into<Readout>,
    ) -> Self {
        Self::laid_out(state, size, content, [caption, &[]], &readout.into(), true)
    }

    fn laid_out(
        state: &ViewState,
        size: [u32; 2],
        content: &Content,
        [caption, widest]: [&[TextRun]; 2],
        readout: &Readout,
        is_slide: bool,
    ) -> Self {
        let scale = scale_of(size, state.text_scale);
        let mut figure = Self::empty(size, scale);
        let whole = figure.stage;
        let has_room = whole.width.min(whole.height) >= MIN_CHROME_PX * state.text_scale as f32;
        let framed = has_room && (state.caption.show || state.legend);
        if framed {
            // The column of the foot depends on the content, and the height of the foot depends on the column's width:
            // two passes are enough.
            let mut foot = Foot::new(state, caption, readout, scale);
            let mut widest = Foot::new(state, widest, readout, scale);
            if is_slide && let Some(legend) = &mut foot.legend {
                legend.tell(&readout.ends);
            }
            let margin = if is_slide { SLIDE_MARGIN } else { MARGIN } * scale;
            let inner =
                PixelRect::from_edges(margin, margin, whole.width - margin, whole.height - margin);
            for legend in [&mut foot, &mut widest].into_iter().filter_map(|f| f.legend.as_mut()) {
                legend.fit(inner.width / scale);
            }
            let (mut lines, mut own) = (1, 1);
            let zoom = state.camera.zoom;
            for _ in 0..2 {
                let height = (STAGE_GAP + LINE * lines as f32) * scale;
                figure.stage = PixelRect { height: (inner.height - height).max(1.0), ..inner };
                figure.reset();
                figure.place(state, content, is_slide);
                own = own.max(foot.lines(figure.column(&inner, zoom, &foot)));
                lines = lines.max(own).max(widest.lines(figure.column(&inner, zoom, &widest)));
            }
            let column = figure.column(&inner, zoom, &foot);
            let below = figure.footing(zoom).bottom().max(figure.lowest());
            // Panned content must not overlap the foot.
            figure.stage.height = (below - figure.stage.y).clamp(0.0, figure.stage.height);
            foot.place(&mut figure, column, below, own);
        } else {
            figure.place(state, content, is_slide);
        }
        figure
    }

    /// The lower edge of the labels and bars beside or below the content.
    fn lowest(&self) -> f32 {
        let labels = self.labels.iter().map(|label| label.baseline[1]);
        let fills = self.fills.iter().map(|fill| fill.rect.bottom());
        labels.chain(fills).fold(0.0, f32::max)
    }

    fn reset(&mut self) {
        self.tiles.clear();
        self.fills.clear();
        self.labels.clear();
        self.strokes.clear();
        self.crops.clear();
        self.nodes.clear();
        self.table = None;
    }

    /// The rectangle of the content without panning: the foot is placed below it and does not move when the content is
    /// panned.
    fn footing(&self, zoom: f64) -> PixelRect {
        let zoom = zoom as f32;
        let centre = self.stage.centre();
        let size =
            [self.content.width, self.content.height].map(|side| side / zoom * zoom.max(1.0));
        let still = PixelRect {
            x: centre[0] - size[0] / 2.0,
            y: centre[1] - size[1] / 2.0,
            width: size[0],
            height: size[1],
        };
        still.intersection(&self.stage)
    }

    /// The horizontal extent of the foot: from the content's left edge, as wide as the content; wider if its text needs
    /// more width even on separate lines.
    fn column(&self, inner: &PixelRect, zoom: f64, foot: &Foot) -> [f32; 2] {
        let below = self.footing(zoom);
        let wanted = below.width.max(foot.widest()).min(inner.width);
        let rightmost = (inner.right() - wanted).max(inner.x);
        let left = below.x.clamp(inner.x, rightmost);
        [left, left + wanted]
    }

    fn place(&mut self, state: &ViewState, content: &Content, is_slide: bool) {
        let s = self.scale;
        match content {
            Content::Picture { aspect } => {
                self.content = seen(&self.stage, self.stage.fit(*aspect), state.camera);
            }
            Content::Relevancy { aspect, bars } => {
                let panel = relevancy::place(self, *aspect, bars);
                self.stage = panel;
                self.content = seen(&self.stage, self.stage.fit(*aspect), state.camera);
            }
            Content::Heads { aspect, tiles, marked } => {
                self.place_tiles(*aspect, tiles, marked, state.camera);
            }
            Content::Pictures { tiles, chosen, is_share } => {
                self.place_pictures(tiles, *chosen, *is_share, state.camera);
            }
            Content::Causal { picture, tree } => causal::place(self, state, *picture, tree),
            Content::Patching { picture, lit, table } => {
                let picture = picture.map(|backdrop| (backdrop, lit.as_slice()));
                patching::place(self, state, picture, table);
            }
            Content::Wall { aspect, layers, heads, ranges, sorted } => {
                let whole = *aspect * heads.count as f32 / layers.count.max(1) as f32;
                let grid = self.place_layers_heads(whole, [layers, heads], sorted.clone(), state);
                // On a slide, the largest patch of a head would be a number without a name.
                if !is_slide {
                    print_peaks(self, &grid, ranges);
                }
                print_heads(self, &grid);
                self.grid = Some(grid);
            }
            Content::Matrix { layers, heads, values } => {
                let whole = heads.count as f32 / layers.count.max(1) as f32;
                let grid = self.place_layers_heads(whole, [layers, heads], None, state);
                if let Some(values) = values {
                    print_values(self, state, &grid, values);
                }
                self.grid = Some(grid);
            }
            Content::TokenMatrix { first_query, queries, keys } => {
                self.stage = PixelRect::from_edges(
                    self.stage.x + TOKENS_LEFT * s,
                    self.stage.y + TOKENS_TOP * s,
                    self.stage.right(),
                    self.stage.bottom(),
                );
                self.content = seen(&self.stage, self.stage, state.camera);
                label_tokens(self, *first_query, queries, keys);
            }
        }
        if let Some((_, Mix::Swipe { position })) = state.shown_second() {
            let visible = self.visible();
            let x = visible.x + position as f32 * visible.width;
            let rect = PixelRect { x: x - s, width: 2.0 * s, ..visible };
            self.fills.push(Fill { rect, ink: Ink::Text, alpha: 0.9 });
        }
    }

    fn place_layers_heads(
        &mut self,
        aspect: f32,
        [layers, heads]: [&AxisMarks; 2],
        sorted: Option<SortedHeads>,
        state: &ViewState,
    ) -> HeadGrid {
        let grid = HeadGrid { layers: layers.count, heads: heads.count, sorted };
        let s = self.scale;
        self.stage = PixelRect::from_edges(
            self.stage.x + AXIS_LEFT * s,
            self.stage.y + AXIS_TOP * s,
            self.stage.right(),
            self.stage.bottom(),
        );
        self.content = seen(&self.stage, self.stage.fit(aspect), state.camera);
        ruled_axes(self, &grid, layers, heads);
        mark_heads(self, state.map.head_set.as_ref(), layers, &grid);
        grid
    }
}
