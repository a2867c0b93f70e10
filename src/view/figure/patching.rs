//! The patch view: a table of activation patching, and the picture whose patches are copied.

use super::super::{Backdrop, PatchTable, ViewState};
use super::axes::{labelled, step_for};
use super::pieces::{KEY, KEY_LINE, Pieces, centred};
use super::rect::seen;
use super::sizes::{LEGEND, TICK};
use super::{
    Align, CAP_HEIGHT, Figure, Fill, Ink, Label, PixelRect, TextRun, decimal, fitted, text_width,
};
use crate::analysis::patching::Site;

/// Largest width and height of a cell, in design units.
const CELL: [f32; 2] = [92.0, 46.0];
/// Space above the cells for the numbers of the columns and the titles.
const HEAD: f32 = 40.0;
/// Distance between names and cells.
const NAME_GAP: f32 = 8.0;
/// The part of the table that the names of its rows take at most.
const NAMES: f32 = 0.3;
/// The part of a wide stage that the picture takes at most, and of a tall one.
const PICTURE_WIDTH: f32 = 0.34;
const PICTURE_HEIGHT: f32 = 0.36;
const GAP: f32 = 36.0;
/// Space above the key.
const KEY_GAP: f32 = 14.0;
/// Lines between cells.
const LINE: f32 = 1.0;

/// Places the picture and the table on the stage of a figure.
pub(super) fn place(
    figure: &mut Figure,
    state: &ViewState,
    picture: Option<(Backdrop, &[[f32; 4]])>,
    table: &Result<Box<PatchTable>, String>,
) {
    let s = figure.scale;
    let whole = figure.stage;
    let mut pieces = Pieces::default();
    let mut grid = None;
    match table {
        Ok(table) => {
            let key = if state.legend { key_lines(table) } else { Vec::new() };
            let places =
                Places::new(whole, picture.map(|(one, _)| one.aspect), table, key.len(), s);
            if let (Some((backdrop, lit)), Some(rect)) = (picture, places.picture) {
                pieces.add_backdrop(backdrop, rect, !lit.is_empty());
                for &uv in lit {
                    pieces.add_lit(backdrop, rect, uv, (Ink::Hairline, 0.0));
                }
            }
            pieces.add_table(table, &places, s);
            for (index, line) in key.iter().enumerate() {
                let [left, top] = places.key;
                let text = fitted(line, false, (places.key_right - left) / (KEY * s));
                pieces.add_note(&text, [left, top + KEY_LINE * s * (index as f32 + 0.5)], s);
            }
            grid = Some((places.cells, [table.rows.len() as u32, table.columns]));
        }
        Err(reason) => pieces.add_reason(reason, whole, s),
    }
    figure.content = seen(&whole, whole, state.camera);
    let (content, zoom) = (figure.content, figure.content.width / whole.width.max(1.0));
    pieces.put_on(figure, whole);
    figure.table = grid.map(|(cells, size)| {
        let x = content.x + (cells.x - whole.x) * zoom;
        let y = content.y + (cells.y - whole.y) * zoom;
        (PixelRect { x, y, width: cells.width * zoom, height: cells.height * zoom }, size)
    });
}

fn key_lines(table: &PatchTable) -> Vec<String> {
    let [own, other] = table.logprobs.map(|logprob| decimal(f64::from(logprob), 2));
    vec![
        format!("0: as with {}, log p {other}", table.other),
        format!("1: as with this picture, log p {own}"),
    ]
}

/// The rectangles of the parts.
struct Places {
    picture: Option<PixelRect>,
    cells: PixelRect,
    /// Width of the names of the rows.
    names: f32,
    /// Upper left corner of the key, and its right edge.
    key: [f32; 2],
    key_right: f32,
}

impl Places {
    /// Beside each other on a wide stage, below each other on a tall one; centred as one group.
    fn new(
        stage: PixelRect,
        aspect: Option<f32>,
        table: &PatchTable,
        key_lines: usize,
        s: f32,
    ) -> Self {
        let key = if key_lines > 0 { (KEY_LINE * key_lines as f32 + KEY_GAP) * s } else { 0.0 };
        let Some(aspect) = aspect else {
            let room = PixelRect { height: (stage.height - key).max(1.0), ..stage };
            let (names, cells) = table_in(room, table, s);
            let at = [cells.x - names, cells.bottom() + KEY_GAP * s];
            return Self { picture: None, cells, names, key: at, key_right: stage.right() };
        };
        let gap = GAP * s;
        if stage.width >= 1.2 * stage.height {
            let width = (stage.width * PICTURE_WIDTH).min((stage.height - key) * aspect).max(1.0);
            let room = PixelRect {
                x: stage.x + width + gap,
                width: (stage.width - width - gap).max(1.0),
                ..stage
            };
            let (names, cells) = table_in(room, table, s);
            let spare = (room.width - names - cells.width).max(0.0) / 2.0;
            let height = width / aspect;
            let top = stage.y + (stage.height - height - key).max(0.0) / 2.0;
            let picture = PixelRect { x: stage.x + spare, y: top, width, height };
            let x = picture.right() + gap + names;
            let key = [picture.x, picture.bottom() + KEY_GAP * s];
            let cells = PixelRect { x, ..cells };
            return Self {
                picture: Some(picture),
                cells,
                names,
                key,
                key_right: x - names - gap / 2.0,
            };
        }
        let height = (stage.height * PICTURE_HEIGHT).min(stage.width / aspect).max(1.0);
        let picture = centred(PixelRect { height, ..stage }, height * aspect, height);
        let room = PixelRect::from_edges(
            stage.x,
            picture.bottom() + gap / 2.0,
            stage.right(),
            stage.bottom() - key,
        );
        let (names, cells) = table_in(room, table, s);
        let at = [cells.x - names, cells.bottom() + KEY_GAP * s];
        Self { picture: Some(picture), cells, names, key: at, key_right: stage.right() }
    }
}

/// The width of the names and the rectangle of the cells of a table that is centred in a room.
fn table_in(room: PixelRect, table: &PatchTable, s: f32) -> (f32, PixelRect) {
    let size = name_size(table);
    let widest = table.rows.iter().map(|row| text_width(&row.name, false)).fold(0.0, f32::max);
    let title = text_width(&titles(table)[0], false) * TICK;
    let names = ((widest * size).max(title) + NAME_GAP) * s;
    let names = names.min(room.width * NAMES);
    let head = HEAD * s;
    let columns = table.columns.max(1) as f32;
    let rows = table.rows.len().max(1) as f32;
    let width = ((room.width - names) / columns).min(CELL[0] * s).max(1.0) * columns;
    let height = ((room.height - head) / rows).min(CELL[1] * s).max(1.0) * rows;
    let all = centred(room, names + width, head + height);
    (names, PixelRect { x: all.x + names, y: all.y + head, width, height })
}

fn name_size(table: &PatchTable) -> f32 {
    if table.site == Site::Heads { TICK } else { LEGEND }
}

fn titles(table: &PatchTable) -> [String; 2] {
    let [rows, columns] = table.axes();
    [format!("{rows} ↓"), format!("{columns} →")]
}

impl Pieces {
    fn add_table(&mut self, table: &PatchTable, places: &Places, s: f32) {
        let (rows, columns) = (table.rows.len() as u32, table.columns);
        if rows == 0 || columns == 0 {
            return;
        }
        let cells = places.cells;
        let one = cells.cell(0, 0, rows, columns);
        let has_lines = one.width.min(one.height) >= 8.0 * s;
        let inset = if has_lines { (LINE * s).max(1.0) / 2.0 } else { 0.0 };
        let prints = text_width("−0.00", true) * TICK * s <= one.width - 8.0 * s
            && one.height >= 2.0 * TICK * s;
        for row in 0..rows {
            for column in 0..columns {
                let rect = cells.cell(row, column, rows, columns);
                let inner = PixelRect::from_edges(
                    rect.x + inset,
                    rect.y + inset,
                    rect.right() - inset,
                    rect.bottom() - inset,
                );
                let Some(value) = table.value(row as usize, column) else {
                    self.cells.push(Fill { rect: inner, ink: Ink::Hairline, alpha: 0.5 });
                    if prints {
                        let [x, y] = rect.centre();
                        let at = [x, y + CAP_HEIGHT * TICK * s / 2.0];
                        self.add_text("–".into(), at, Align::Centre, TICK * s, Ink::Muted);
                    }
                    continue;
                };
                let shade = PatchTable::shade(value);
                self.cells.push(Fill { rect: inner, ink: Ink::Map(shade), alpha: 1.0 });
                if prints {
                    let text = decimal(f64::from(value), 2);
                    let [x, y] = rect.centre();
                    let at = [x, y + CAP_HEIGHT * TICK * s / 2.0];
                    self.add_text(text, at, Align::Centre, TICK * s, Ink::OnMap(shade));
                }
            }
        }
        self.add_axes(table, places, one, s);
    }

    fn add_axes(&mut self, table: &PatchTable, places: &Places, one: PixelRect, s: f32) {
        let cells = places.cells;
        let (rows, columns) = (table.rows.len() as u32, table.columns);
        let size = name_size(table);
        let ink = if table.site == Site::Heads { Ink::Muted } else { Ink::Text };
        let right = cells.x - NAME_GAP * s;
        for row in labelled(rows, &[], step_for(one.height, size * 1.3 * s)) {
            let y = cells.cell(row, 0, rows, columns).centre()[1] + CAP_HEIGHT * size * s / 2.0;
            let name = table.rows.get(row as usize).map_or("", |row| row.name.as_str());
            let text = fitted(name, false, (places.names - NAME_GAP * s) / (size * s));
            self.add_text(text, [right, y], Align::End, size * s, ink);
        }
        let widest = text_width(&columns.saturating_sub(1).to_string(), true) * TICK * s;
        let y = cells.y - NAME_GAP * s;
        for column in labelled(columns, &[], step_for(one.width, widest + 6.0 * s)) {
            let x = cells.cell(0, column, rows, columns).centre()[0];
            self.add_text(column.to_string(), [x, y], Align::Centre, TICK * s, Ink::Muted);
        }
        let y = y - (TICK + 5.0) * s;
        let [of_rows, of_columns] = titles(table);
        self.add_text(of_columns, [cells.x, y], Align::Start, TICK * s, Ink::Muted);
        self.add_text(of_rows, [right, y], Align::End, TICK * s, Ink::Muted);
    }

    fn add_text(&mut self, text: String, baseline: [f32; 2], align: Align, size_px: f32, ink: Ink) {
        // Digits on a bright cell need the heavier weight.
        let runs = vec![TextRun { strong: matches!(ink, Ink::OnMap(_)), text }];
        let label = Label { runs, baseline, align, size_px, ink, emphasis: None };
        self.plates.push((label.bounds(), Vec::new(), vec![label]));
    }
}
