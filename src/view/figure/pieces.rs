//! Shapes of a view that is more than one map: collected at zoom 1, and then moved to where the camera shows them.

use super::super::Backdrop;
use super::sizes::LEGEND;
use super::{
    Align, CAP_HEIGHT, Crop, Figure, Fill, Ink, Label, PixelRect, Stroke, TextRun, fitted,
    text_width,
};

/// Type size and line height of the key.
pub(super) const KEY: f32 = 14.0;
pub(super) const KEY_LINE: f32 = 22.0;

/// Everything that is drawn at zoom 1.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) strokes: Vec<Stroke>,
    pub(super) crops: Vec<Crop>,
    /// Cells of a table: cut at the edge of the stage.
    pub(super) cells: Vec<Fill>,
    /// Rectangles and text that are left out together where one is not on the stage.
    pub(super) plates: Vec<(PixelRect, Vec<Fill>, Vec<Label>)>,
    pub(super) nodes: Vec<(u32, PixelRect)>,
    pub(super) picture: Option<PixelRect>,
}

impl Pieces {
    /// A picture, dimmed or not.
    pub(super) fn add_backdrop(&mut self, backdrop: Backdrop, rect: PixelRect, is_dimmed: bool) {
        const WHOLE: [f32; 4] = [0.0, 0.0, 1.0, 1.0];
        self.picture = Some(rect);
        self.crops.push(Crop {
            rect,
            frame: backdrop.frame,
            uv: WHOLE,
            lit: if is_dimmed { [0.0; 4] } else { WHOLE },
            border: Ink::Hairline,
            border_px: 0.0,
        });
    }

    /// A part of the picture on `rect` that is not dimmed: left, upper, right and lower edge, 0–1. The border has a colour
    /// and a width in pixels.
    pub(super) fn add_lit(
        &mut self,
        backdrop: Backdrop,
        rect: PixelRect,
        uv: [f32; 4],
        (border, border_px): (Ink, f32),
    ) {
        let ([x0, y0], [x1, y1]) = (rect.at([uv[0], uv[1]]), rect.at([uv[2], uv[3]]));
        let rect = PixelRect::from_edges(x0, y0, x1, y1);
        self.crops.push(Crop { rect, frame: backdrop.frame, uv, lit: uv, border, border_px });
    }

    /// The reason why there is nothing to show, in lines.
    pub(super) fn add_reason(&mut self, reason: &str, area: PixelRect, s: f32) {
        let columns = (area.width / (LEGEND * s)).clamp(8.0, 34.0);
        let mut lines: Vec<String> = Vec::new();
        for word in reason.split_whitespace() {
            match lines.last_mut() {
                Some(line) if text_width(line, false) + text_width(word, false) < columns => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        let [x, y] = area.centre();
        let top = y - KEY_LINE * s * lines.len() as f32 / 2.0;
        for (index, line) in lines.into_iter().enumerate() {
            let label = Label {
                runs: vec![TextRun::plain(fitted(&line, false, columns))],
                baseline: [x, top + KEY_LINE * s * (index as f32 + 0.7)],
                align: Align::Centre,
                size_px: LEGEND * s,
                ink: Ink::Muted,
                emphasis: None,
            };
            self.plates.push((label.bounds(), Vec::new(), vec![label]));
        }
    }

    /// A line of small text; returns its right end.
    pub(super) fn add_note(&mut self, text: &str, [left, middle]: [f32; 2], s: f32) -> f32 {
        let size_px = KEY * s;
        let label = Label {
            runs: vec![TextRun::plain(text)],
            baseline: [left, middle + CAP_HEIGHT * size_px / 2.0],
            align: Align::Start,
            size_px,
            ink: Ink::Muted,
            emphasis: None,
        };
        let bounds = label.bounds();
        self.plates.push((bounds, Vec::new(), vec![label]));
        bounds.right()
    }

    /// Moves everything to where the camera shows it; `fit` is the stage at zoom 1.
    pub(super) fn put_on(self, figure: &mut Figure, fit: PixelRect) {
        let content = figure.content;
        let zoom = content.width / fit.width.max(1.0);
        let point =
            |[x, y]: [f32; 2]| [content.x + (x - fit.x) * zoom, content.y + (y - fit.y) * zoom];
        let moved = |rect: PixelRect| {
            let [x, y] = point([rect.x, rect.y]);
            PixelRect { x, y, width: rect.width * zoom, height: rect.height * zoom }
        };
        let stage = figure.stage;
        figure.tiles.extend(self.picture.map(|rect| (0, moved(rect))));
        let strokes = self.strokes.into_iter().map(|stroke| Stroke {
            from: point(stroke.from),
            to: point(stroke.to),
            width: stroke.width * zoom,
            ..stroke
        });
        figure.strokes.extend(strokes.filter(|stroke| {
            let (from, to, half) = (stroke.from, stroke.to, stroke.width / 2.0);
            PixelRect::from_edges(
                from[0].min(to[0]) - half,
                from[1].min(to[1]) - half,
                from[0].max(to[0]) + half,
                from[1].max(to[1]) + half,
            )
            .overlaps(&stage)
        }));
        let crops = self.crops.into_iter().map(|crop| Crop {
            rect: moved(crop.rect),
            border_px: crop.border_px * zoom.min(2.0),
            ..crop
        });
        figure.crops.extend(crops.filter(|crop| crop.rect.overlaps(&stage)));
        let cells = self.cells.into_iter().map(|cell| Fill { rect: moved(cell.rect), ..cell });
        let cells = cells.map(|cell| Fill { rect: cell.rect.intersection(&stage), ..cell });
        figure.fills.extend(cells.filter(|cell| cell.rect.width > 0.0 && cell.rect.height > 0.0));
        figure.nodes.extend(self.nodes.into_iter().map(|(at, rect)| (at, moved(rect))));
        // Text and plates are not cut at the edge of the stage.
        let edge = PixelRect::from_edges(
            stage.x - 1.0,
            stage.y - 1.0,
            stage.right() + 1.0,
            stage.bottom() + 1.0,
        );
        for (around, fills, labels) in self.plates {
            if !edge.contains(&moved(around)) {
                continue;
            }
            let fills = fills.into_iter().map(|fill| Fill { rect: moved(fill.rect), ..fill });
            figure.fills.extend(fills);
            figure.labels.extend(labels.into_iter().map(|label| Label {
                baseline: point(label.baseline),
                size_px: label.size_px * zoom,
                ..label
            }));
        }
    }
}

/// A rectangle of a size in the middle of another.
pub(super) fn centred(area: PixelRect, width: f32, height: f32) -> PixelRect {
    let [x, y] = area.centre();
    PixelRect { x: x - width / 2.0, y: y - height / 2.0, width, height }
}
