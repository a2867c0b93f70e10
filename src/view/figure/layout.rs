//! Layout of a figure: from content to rectangles.

use super::super::{Blend, Camera, ColorMap, Drawing, Mix, ViewState};
use super::axes::{label_tokens, mark, mark_heads, ruled_axes};
use super::content::{AxisMarks, Content, HeadTile, PictureTile};
use super::rect::seen;
use super::sizes::{LEGEND, TICK, scale_of};
use super::{
    Align, CAP_HEIGHT, CONTOURS, Figure, Fill, Ink, Label, Legend, PixelRect, Readout, TextRun,
    causal, fitted, relevancy,
};
use super::{number, percent, text_width};
use crate::analysis::normalise::CONTOUR_PERCENTILES;

/// In a smaller target there is no space for text: the stage fills the target.
const MIN_CHROME_PX: f32 = 160.0;

/// Space around the figure.
const MARGIN: f32 = 24.0;
/// Distance between the stage and the text below it.
const STAGE_GAP: f32 = 14.0;
/// Type size of the caption.
const CAPTION: f32 = 16.0;
/// Height of one line of caption or legend.
const LINE: f32 = 24.0;
const LEGEND_BAR: [f32; 2] = [208.0, 10.0];
/// A shorter colour ramp would not show the colours.
const LEAST_BAR: f32 = 56.0;
const LEGEND_GAP: f32 = 8.0;
/// Size of a contour line in the legend, and the distance between two.
const LINE_MARK: [f32; 2] = [18.0, 3.0];
const LINE_GAP: f32 = 16.0;
/// Space for the labels of layers and heads.
const AXIS_LEFT: f32 = 52.0;
const AXIS_TOP: f32 = 40.0;
/// Space for the labels of the token matrix.
const TOKENS_LEFT: f32 = 132.0;
const TOKENS_TOP: f32 = 58.0;
/// Distance between small multiples, and height of the line above each.
const TILE_GAP: f32 = 16.0;
const TILE_LABEL: f32 = 22.0;
/// The bar below each of several pictures.
const SHARE_BAR: f32 = 5.0;
/// Tiles of at least this width have labels with words.
const ROOMY_TILE: f32 = 130.0;

impl Figure {
    /// Lays out a frame. `readout` holds the numbers of the colour scale, once they are known.
    pub fn layout(
        state: &ViewState,
        size: [u32; 2],
        content: &Content,
        caption: &[TextRun],
        readout: impl Into<Readout>,
    ) -> Self {
        Self::layout_within(state, size, content, caption, readout, MARGIN)
    }

    /// The same with another margin, in design units.
    pub fn layout_within(
        state: &ViewState,
        size: [u32; 2],
        content: &Content,
        caption: &[TextRun],
        readout: impl Into<Readout>,
        margin: f32,
    ) -> Self {
        let scale = scale_of(size, state.text_scale);
        let mut figure = Self::empty(size, scale);
        let whole = figure.stage;
        let has_room = whole.width.min(whole.height) >= MIN_CHROME_PX * state.text_scale as f32;
        let framed = has_room && (state.caption.show || state.legend);
        if framed {
            // The column of the foot depends on the content, and the height of the foot depends on the column's width:
            // two passes are enough.
            let mut foot = Foot::new(state, caption, &readout.into(), scale);
            let margin = margin * scale;
            let inner =
                PixelRect::from_edges(margin, margin, whole.width - margin, whole.height - margin);
            if let Some(legend) = &mut foot.legend {
                legend.fit(inner.width / scale);
            }
            let mut lines = 1;
            let zoom = state.camera.zoom;
            for _ in 0..2 {
                let height = (STAGE_GAP + LINE * lines as f32) * scale;
                figure.stage = PixelRect { height: (inner.height - height).max(1.0), ..inner };
                figure.reset();
                figure.place(state, content);
                lines = lines.max(foot.lines(figure.column(&inner, zoom, &foot)));
            }
            let column = figure.column(&inner, zoom, &foot);
            let below = figure.footing(zoom).bottom().max(figure.lowest());
            // Panned content must not overlap the foot.
            figure.stage.height = (below - figure.stage.y).clamp(0.0, figure.stage.height);
            foot.place(&mut figure, column, below, lines);
        } else {
            figure.place(state, content);
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

    fn place(&mut self, state: &ViewState, content: &Content) {
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
            Content::Wall { aspect, layers, heads, ranges } => {
                let whole = *aspect * heads.count as f32 / layers.count.max(1) as f32;
                self.place_layers_heads(whole, layers, heads, state);
                super::axes::print_peaks(self, layers, heads, ranges);
            }
            Content::Matrix { layers, heads, values } => {
                let whole = heads.count as f32 / layers.count.max(1) as f32;
                self.place_layers_heads(whole, layers, heads, state);
                if let Some(values) = values {
                    super::axes::print_values(self, state, layers, heads, values);
                }
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
        layers: &AxisMarks,
        heads: &AxisMarks,
        state: &ViewState,
    ) {
        let s = self.scale;
        self.stage = PixelRect::from_edges(
            self.stage.x + AXIS_LEFT * s,
            self.stage.y + AXIS_TOP * s,
            self.stage.right(),
            self.stage.bottom(),
        );
        self.content = seen(&self.stage, self.stage.fit(aspect), state.camera);
        ruled_axes(self, layers, heads);
        mark_heads(self, state.map.head_set.as_ref(), layers, heads);
    }

    fn place_tiles(&mut self, aspect: f32, tiles: &[HeadTile], marked: &[u32], camera: Camera) {
        let s = self.scale;
        let (gap, label) = (TILE_GAP * s, TILE_LABEL * s);
        let count = tiles.len().max(1);
        let Grid { columns, rows, width } =
            best_grid(count, aspect, [self.stage.width, self.stage.height], gap, label);
        let height = width / aspect;
        let total =
            [columns as f32 * (width + gap) - gap, rows as f32 * (height + label + gap) - gap];
        let [cx, cy] = self.stage.centre();
        let fit = PixelRect {
            x: cx - total[0] / 2.0,
            y: cy - total[1] / 2.0,
            width: total[0],
            height: total[1],
        };
        self.content = seen(&self.stage, fit, camera);
        let zoom = self.content.width / fit.width.max(1.0);
        for (index, tile) in tiles.iter().enumerate() {
            let (column, row) = ((index % columns) as f32, (index / columns) as f32);
            let rect = PixelRect {
                x: self.content.x + column * (width + gap) * zoom,
                y: self.content.y + (row * (height + label + gap) + label) * zoom,
                width: width * zoom,
                height: height * zoom,
            };
            self.tiles.push((tile.head, rect));
            let selected = marked.contains(&tile.head);
            if selected && rect.overlaps(&self.stage) {
                mark(self, rect);
            }
            self.label_tile(tile, rect, selected);
        }
    }

    /// Pictures side by side: above each what it is and how much of the map lies on it, below it the same as a bar.
    fn place_pictures(
        &mut self,
        tiles: &[PictureTile],
        chosen: Option<usize>,
        is_share: bool,
        camera: Camera,
    ) {
        let s = self.scale;
        // The bars compare pictures: one alone needs none.
        let bar = if tiles.len() > 1 { SHARE_BAR * s } else { 0.0 };
        let aspects: Vec<f32> = tiles.iter().map(|tile| tile.aspect).collect();
        let room = [self.stage.width, self.stage.height];
        let (size, places) = rows_of(&aspects, room, TILE_GAP * s, [TILE_LABEL * s, 2.0 * bar]);
        let [cx, cy] = self.stage.centre();
        let fit = PixelRect {
            x: cx - size[0] / 2.0,
            y: cy - size[1] / 2.0,
            width: size[0],
            height: size[1],
        };
        self.content = seen(&self.stage, fit, camera);
        let zoom = self.content.width / fit.width.max(1.0);
        let sums = || tiles.iter().filter_map(|tile| tile.sum);
        let most = sums().map(f32::abs).fold(0.0, f32::max);
        for (index, (tile, place)) in tiles.iter().zip(places).enumerate() {
            let rect = PixelRect {
                x: self.content.x + place.x * zoom,
                y: self.content.y + place.y * zoom,
                width: place.width * zoom,
                height: place.height * zoom,
            };
            self.tiles.push((index as u32, rect));
            if !rect.overlaps(&self.stage) {
                continue;
            }
            let is_chosen = tiles.len() > 1 && chosen == Some(index);
            if is_chosen {
                mark(self, rect);
            }
            self.label_picture(
                tile,
                rect,
                is_share,
                if is_chosen { Ink::Accent } else { Ink::Text },
            );
            if let Some(sum) = tile.sum.filter(|_| most > 0.0 && bar > 0.0) {
                let track = PixelRect { y: rect.bottom() + bar, height: bar, ..rect };
                let part = PixelRect { width: track.width * (sum.abs() / most), ..track };
                self.fills.push(Fill { rect: track, ink: Ink::Hairline, alpha: 1.0 });
                self.fills.push(Fill { rect: part, ink: Ink::Accent, alpha: 1.0 });
            }
        }
    }

    fn label_picture(&mut self, tile: &PictureTile, rect: PixelRect, is_share: bool, ink: Ink) {
        let s = self.scale;
        let (y, size_px) = (rect.y - 6.0 * s, TICK * s);
        if y - size_px < self.stage.y - s || y > self.stage.bottom() {
            return;
        }
        let sum = tile.sum.map(|sum| match is_share {
            true => percent(f64::from(sum), 1),
            false => number(f64::from(sum), f64::from(sum.abs())),
        });
        let sum = sum.unwrap_or_default();
        let width = |text: &str, strong| text_width(text, strong) * size_px;
        let room = rect.width - width(&sum, true) - 8.0 * s;
        // The number comes first where there is no room for both.
        let label = fitted(&tile.label, false, room.max(0.0) / size_px);
        if room > 2.0 * size_px {
            self.labels.push(Label {
                runs: vec![TextRun::plain(label)],
                baseline: [rect.x, y],
                align: Align::Start,
                size_px,
                ink,
            });
        }
        if !sum.is_empty() && width(&sum, true) <= rect.width {
            self.labels.push(Label {
                runs: vec![TextRun::strong(sum)],
                baseline: [rect.right(), y],
                align: Align::End,
                size_px,
                ink: Ink::Text,
            });
        }
    }

    fn label_tile(&mut self, tile: &HeadTile, rect: PixelRect, selected: bool) {
        let s = self.scale;
        let y = rect.y - 6.0 * s;
        let number = TextRun::strong(tile.head.to_string());
        let share = percent(f64::from(tile.image_share), 0);
        let size_px = TICK * s;
        // Words if they fit, otherwise only the numbers.
        let roomy = rect.width >= ROOMY_TILE * s;
        let head = if roomy { vec![TextRun::plain("head "), number] } else { vec![number] };
        let head_width: f32 =
            head.iter().map(|run| text_width(&run.text, run.strong)).sum::<f32>() * size_px;
        let room = rect.width - head_width - 4.0 * s;
        let peak = tile.range.map(|[_, high]| super::number(f64::from(high), f64::from(high)));
        let share = match peak {
            // The upper end of the colours has priority; the share is also in the matrix.
            Some(peak) => [format!("max {peak} · image {share}"), format!("max {peak}"), peak]
                .into_iter()
                .find(|text| text_width(text, false) * size_px <= room - 8.0 * s)
                .unwrap_or_default(),
            None if roomy => format!("image {share}"),
            None => share,
        };
        let ink = if selected { Ink::Accent } else { Ink::Text };
        let inside = |x: f32| x >= self.stage.x - s && x <= self.stage.right() + s;
        let shown = y - size_px >= self.stage.y - s
            && y <= self.stage.bottom()
            && inside(rect.x)
            && rect.width >= head_width;
        if !shown {
            return;
        }
        self.labels.push(Label {
            runs: head,
            baseline: [rect.x, y],
            align: Align::Start,
            size_px,
            ink,
        });
        if text_width(&share, false) * size_px <= room && inside(rect.right()) {
            self.labels.push(Label {
                runs: vec![TextRun::plain(share)],
                baseline: [rect.right(), y],
                align: Align::End,
                size_px,
                ink: Ink::Muted,
            });
        }
    }
}

/// Columns and rows of tiles, and the width of one tile.
struct Grid {
    columns: usize,
    rows: usize,
    width: f32,
}

/// The grid in which `count` tiles are largest.
fn best_grid(count: usize, aspect: f32, [width, height]: [f32; 2], gap: f32, label: f32) -> Grid {
    let mut best = Grid { columns: 1, rows: count, width: 0.0 };
    for columns in 1..=count {
        let rows = count.div_ceil(columns);
        let by_width = (width - gap * (columns - 1) as f32) / columns as f32;
        let by_height = (height - gap * (rows - 1) as f32) / rows as f32 - label;
        let tile = by_width.min(by_height * aspect);
        if tile > best.width {
            best = Grid { columns, rows, width: tile };
        }
    }
    Grid { width: best.width.max(1.0), ..best }
}

/// Rows of pictures of one height, as large as they fit into `room`, with space for `label` above and below each: the
/// size of all together, and where each lies in it.
fn rows_of(
    aspects: &[f32],
    room: [f32; 2],
    gap: f32,
    label: [f32; 2],
) -> ([f32; 2], Vec<PixelRect>) {
    let around: f32 = label.iter().sum();
    let mut best = (aspects.len().max(1), 0.0);
    for columns in 1..=aspects.len() {
        let rows = aspects.len().div_ceil(columns);
        let by_height = (room[1] - gap * (rows - 1) as f32) / rows as f32 - around;
        let by_width = aspects
            .chunks(columns)
            .map(|row| (room[0] - gap * (row.len() - 1) as f32) / row.iter().sum::<f32>());
        let height = by_width.fold(by_height, f32::min);
        if height > best.1 {
            best = (columns, height);
        }
    }
    let (columns, height) = (best.0, best.1.max(1.0));
    let mut size = [0.0_f32; 2];
    let mut places = Vec::new();
    for row in aspects.chunks(columns) {
        let y = if places.is_empty() { 0.0 } else { size[1] + gap };
        let mut x = 0.0;
        for aspect in row {
            let width = height * aspect;
            places.push(PixelRect { x, y: y + label[0], width, height });
            x += width + gap;
        }
        size = [size[0].max(x - gap), y + around + height];
    }
    (size, places)
}

/// The key to the colours.
enum Scale {
    /// A colour ramp between two numbers.
    Ramp { ends: [String; 2], map: ColorMap, bar: f32 },
    /// Contour lines, each with its colour and value.
    Lines([String; CONTOURS]),
}

impl Scale {
    fn from_state(state: &ViewState, readout: &Readout) -> Option<Self> {
        if state.view.spec().drawing == Drawing::Tree {
            return None;
        }
        if state.blend == Blend::Contours && state.view.spec().over_picture {
            return Some(Self::Lines(std::array::from_fn(|rank| {
                let percentile = CONTOUR_PERCENTILES[rank];
                let value = |levels: [f64; CONTOURS]| number(levels[rank], levels[CONTOURS - 1]);
                match readout.contours {
                    [Some(one), None] => format!("p{percentile} {}", value(one)),
                    [Some(a), Some(b)] => format!("p{percentile} {} | {}", value(a), value(b)),
                    _ => format!("p{percentile} of each"),
                }
            })));
        }
        let ends = readout.ends.legend(state)?;
        // A spotlight changes the picture's brightness; no colour map is visible.
        let is_light = state.blend == Blend::Spotlight && state.view.spec().over_picture;
        Some(if is_light && state.is_diverging() {
            let [_, high] = ends;
            let ends = ["0".into(), format!("± {high}")];
            Self::Ramp { ends, map: ColorMap::Grey, bar: LEGEND_BAR[0] }
        } else {
            let map = if is_light { ColorMap::Grey } else { state.shown_colormap() };
            Self::Ramp { ends, map, bar: LEGEND_BAR[0] }
        })
    }

    /// Reduces the key to a width in design units: first a shorter ramp, then fewer words.
    fn fit(&mut self, available: f32) {
        let excess = self.width() - available;
        if excess <= 0.0 {
            return;
        }
        if let Self::Ramp { bar, .. } = self {
            *bar = (*bar - excess).max(LEAST_BAR);
        }
        if self.width() > available + 0.5 {
            match self {
                Self::Ramp { ends, .. } => {
                    for end in ends {
                        if let Some((_, numbers)) = end.split_once(": ") {
                            *end = numbers.to_owned();
                        }
                    }
                }
                Self::Lines(texts) => {
                    for text in texts {
                        if let Some((percentile, _)) = text.split_once(' ') {
                            *text = percentile.to_owned();
                        }
                    }
                }
            }
        }
    }

    /// Width in design units.
    fn width(&self) -> f32 {
        match self {
            Self::Ramp { ends: [low, high], bar, .. } => {
                let text = text_width(low, false) + text_width(high, false);
                text * LEGEND + 2.0 * LEGEND_GAP + bar
            }
            Self::Lines(texts) => {
                let text: f32 = texts.iter().map(|text| text_width(text, false)).sum();
                let marks = LINE_MARK[0] + LEGEND_GAP;
                text * LEGEND + CONTOURS as f32 * marks + (CONTOURS - 1) as f32 * LINE_GAP
            }
        }
    }

    /// Draws the key from `left` on, vertically centred on `centre`.
    fn place(&self, figure: &mut Figure, left: f32, centre: f32) {
        let s = figure.scale;
        let baseline = centre + CAP_HEIGHT * LEGEND * s / 2.0;
        let label = |text: &str, x: f32| Label {
            runs: vec![TextRun::plain(text)],
            baseline: [x, baseline],
            align: Align::Start,
            size_px: LEGEND * s,
            ink: Ink::Muted,
        };
        match self {
            Self::Ramp { ends: [low, high], map, bar } => {
                let bar = PixelRect {
                    x: left + (text_width(low, false) * LEGEND + LEGEND_GAP) * s,
                    y: centre - LEGEND_BAR[1] * s / 2.0,
                    width: bar * s,
                    height: LEGEND_BAR[1] * s,
                };
                figure.labels.push(label(low, left));
                figure.labels.push(label(high, bar.right() + LEGEND_GAP * s));
                figure.legend = Some(Legend { bar, map: *map, ends: [low.clone(), high.clone()] });
            }
            Self::Lines(texts) => {
                let mut x = left;
                for (rank, text) in texts.iter().enumerate() {
                    let [width, height] = LINE_MARK.map(|side| side * s);
                    let rect = PixelRect { x, y: centre - height / 2.0, width, height };
                    figure.fills.push(Fill { rect, ink: Ink::Contour(rank), alpha: 1.0 });
                    x += width + LEGEND_GAP * s;
                    figure.labels.push(label(text, x));
                    x += text_width(text, false) * LEGEND * s + LINE_GAP * s;
                }
            }
        }
    }
}

/// Caption and legend below the stage.
struct Foot<'a> {
    caption: Option<&'a [TextRun]>,
    /// The caption without its closing numbers, which the legend also shows: a number must not be cut. A caption
    /// written by the user has no such part.
    short: &'a [TextRun],
    /// The caption also without its shares, which are then beside the legend.
    bare: &'a [TextRun],
    /// The shares.
    notes: String,
    legend: Option<Scale>,
    scale: f32,
}

impl<'a> Foot<'a> {
    fn new(state: &ViewState, caption: &'a [TextRun], readout: &Readout, scale: f32) -> Self {
        let notes = readout.notes();
        let without = |runs: &'a [TextRun], is_it: &dyn Fn(&str) -> bool| match runs.split_last() {
            Some((last, rest)) if state.caption.text.is_none() && is_it(&last.text) => rest,
            _ => runs,
        };
        let short = without(caption, &|text| text.starts_with(", ") && text != notes);
        let bare = without(short, &|text| text == notes && !notes.is_empty());
        Self {
            caption: (state.caption.show && !caption.is_empty()).then_some(caption),
            short,
            bare,
            notes,
            legend: Scale::from_state(state, readout).filter(|_| state.legend),
            scale,
        }
    }

    fn width_of(&self, runs: &[TextRun]) -> f32 {
        let width = |run: &TextRun| text_width(&run.text, run.strong);
        runs.iter().map(width).sum::<f32>() * CAPTION * self.scale
    }

    fn caption_width(&self) -> f32 {
        self.width_of(self.caption.unwrap_or_default())
    }

    fn legend_width(&self) -> f32 {
        self.legend.as_ref().map_or(0.0, |legend| legend.width() * self.scale)
    }

    fn one_line_width(&self) -> f32 {
        let gap = if self.caption.is_some() && self.legend.is_some() { 32.0 } else { 0.0 };
        self.caption_width() + gap * self.scale + self.legend_width()
    }

    /// The width of the widest line if caption and legend are on separate lines.
    fn widest(&self) -> f32 {
        self.caption_width().max(self.legend_width())
    }

    fn lines(&self, [left, right]: [f32; 2]) -> usize {
        let both = self.caption.is_some() && self.legend.is_some();
        if both && self.one_line_width() > right - left + 0.5 { 2 } else { 1 }
    }

    /// Places `lines` lines below the y coordinate `below`.
    fn place(&self, figure: &mut Figure, column: [f32; 2], below: f32, lines: usize) {
        let s = self.scale;
        let bottom = below + (STAGE_GAP + LINE * lines as f32) * s;
        let line = |from_below: usize| bottom - LINE * s * (from_below as f32 + 0.5);
        let mut beside_legend = "";
        if let Some(caption) = self.caption {
            let y = line(lines - 1) + CAP_HEIGHT * CAPTION * s / 2.0;
            let width = column[1] - column[0] + 0.5;
            let fits = |runs: &[TextRun]| self.width_of(runs) <= width;
            let shown = if self.legend.is_none() || fits(caption) {
                caption
            } else if fits(self.short) {
                self.short
            } else {
                self.bare
            };
            if shown.len() < self.short.len() {
                beside_legend = self.notes.trim_start_matches(", ");
            }
            figure.labels.push(Label {
                runs: fitted_runs(shown, width / (CAPTION * s)),
                baseline: [column[0], y],
                align: Align::Start,
                size_px: CAPTION * s,
                ink: Ink::Text,
            });
        }
        if let Some(legend) = &self.legend {
            let beside = lines == 1 && self.caption.is_some();
            let left = if beside { column[1] - self.legend_width() } else { column[0] };
            legend.place(figure, left, line(0));
            let end = left + self.legend_width() + 16.0 * s;
            if !beside_legend.is_empty() && end < column[1] {
                let room = (column[1] - end) / (TICK * s);
                // Where the words do not fit, the numbers stay whole.
                let numbers = beside_legend.rsplit_once(" %").map(|(text, _)| format!("{text} %"));
                let text = match numbers {
                    Some(numbers) if text_width(beside_legend, false) > room => numbers,
                    _ => beside_legend.to_owned(),
                };
                let text = fitted(&text, false, room);
                figure.labels.push(Label {
                    runs: vec![TextRun::plain(text)],
                    baseline: [end, line(0) + CAP_HEIGHT * TICK * s / 2.0],
                    align: Align::Start,
                    size_px: TICK * s,
                    ink: Ink::Muted,
                });
            }
        }
    }
}

/// Runs cut to a width given as a multiple of the type size.
fn fitted_runs(runs: &[TextRun], mut available: f32) -> Vec<TextRun> {
    let mut out = Vec::new();
    let rest = |from: usize| -> f32 {
        runs[from..].iter().map(|run| text_width(&run.text, run.strong)).sum()
    };
    for (index, run) in runs.iter().enumerate() {
        if rest(index) <= available {
            out.extend_from_slice(&runs[index..]);
            break;
        }
        let width = text_width(&run.text, run.strong);
        // Keeps space for the ellipsis that a later run may need.
        if width <= available - 1.0 {
            out.push(run.clone());
            available -= width;
        } else {
            out.push(TextRun {
                text: fitted(&run.text, run.strong, available),
                strong: run.strong,
            });
            break;
        }
    }
    out
}
