//! Small multiples: heads of a layer and pictures side by side.

use super::super::Camera;
use super::axes::mark;
use super::content::{HeadTile, PictureTile};
use super::pieces::centred;
use super::rect::seen;
use super::sizes::TICK;
use super::{
    Align, Figure, Fill, Ink, Label, PixelRect, TextRun, fitted, number, percent, text_width,
};

/// Distance between small multiples, and height of the line above each.
const TILE_GAP: f32 = 16.0;
const TILE_LABEL: f32 = 22.0;
/// The bar below each of several pictures.
const SHARE_BAR: f32 = 5.0;
/// Tiles of at least this width have labels with words.
const ROOMY_TILE: f32 = 130.0;

impl Figure {
    pub(super) fn place_tiles(
        &mut self,
        aspect: f32,
        tiles: &[HeadTile],
        marked: &[u32],
        camera: Camera,
    ) {
        let s = self.scale;
        let (gap, label) = (TILE_GAP * s, TILE_LABEL * s);
        let count = tiles.len().max(1);
        let Grid { columns, rows, width } =
            best_grid(count, aspect, [self.stage.width, self.stage.height], gap, label);
        let height = width / aspect;
        let total =
            [columns as f32 * (width + gap) - gap, rows as f32 * (height + label + gap) - gap];
        let fit = centred(self.stage, total[0], total[1]);
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
    pub(super) fn place_pictures(
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
        let fit = centred(self.stage, size[0], size[1]);
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
                emphasis: None,
            });
        }
        if !sum.is_empty() && width(&sum, true) <= rect.width {
            self.labels.push(Label {
                runs: vec![TextRun::strong(sum)],
                baseline: [rect.right(), y],
                align: Align::End,
                size_px,
                ink: Ink::Text,
                emphasis: None,
            });
        }
    }

    fn label_tile(&mut self, tile: &HeadTile, rect: PixelRect, selected: bool) {
        let s = self.scale;
        let y = rect.y - 6.0 * s;
        let own = TextRun::strong(tile.head.to_string());
        let share = percent(f64::from(tile.image_share), 0);
        let size_px = TICK * s;
        // Words if they fit, otherwise only the numbers.
        let roomy = rect.width >= ROOMY_TILE * s;
        let head = if roomy { vec![TextRun::plain("head "), own] } else { vec![own] };
        let head_width: f32 =
            head.iter().map(|run| text_width(&run.text, run.strong)).sum::<f32>() * size_px;
        let room = rect.width - head_width - 4.0 * s;
        let peak = tile.range.map(|[_, high]| number(f64::from(high), f64::from(high)));
        let share = match peak {
            // The upper end of the colours has priority; the share is also in the matrix.
            Some(peak) => [format!("max {peak} · picture {share}"), format!("max {peak}"), peak]
                .into_iter()
                .find(|text| text_width(text, false) * size_px <= room - 8.0 * s)
                .unwrap_or_default(),
            None if roomy => format!("picture {share}"),
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
            emphasis: None,
        });
        if text_width(&share, false) * size_px <= room && inside(rect.right()) {
            self.labels.push(Label {
                runs: vec![TextRun::plain(share)],
                baseline: [rect.right(), y],
                align: Align::End,
                size_px,
                ink: Ink::Muted,
                emphasis: None,
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
