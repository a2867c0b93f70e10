//! Labels along edges: layers and heads by number, tokens by text.

use super::super::{HeadSet, Range, ViewState};
use super::content::{AxisMarks, AxisToken};
use super::sizes::TICK;
use super::theme::outline_widths;
use super::{
    Align, CAP_HEIGHT, Figure, Fill, HeadGrid, Ink, Label, PixelRect, TextRun, fitted, number,
    text_width,
};
use crate::trace::TokenKind;

/// Distance between labels and the cells that they name.
const GAP: f32 = 8.0;

fn tick(text: String, baseline: [f32; 2], align: Align, ink: Ink, scale: f32) -> Label {
    // Dark digits on a bright cell need the heavier weight, and so do selected labels.
    let strong = matches!(ink, Ink::Accent | Ink::OnMap(_));
    let runs = vec![TextRun { strong, text }];
    Label { runs, baseline, align, size_px: TICK * scale, ink, emphasis: None }
}

/// An outline just around a rectangle, cut to the stage: as the window draws it, a line between two dark ones, one of which
/// is seen on any map.
pub(super) fn mark(figure: &mut Figure, rect: PixelRect) {
    let [casing, line] = outline_widths(figure.scale);
    let grown = |rect: &PixelRect, by: f32| {
        PixelRect::from_edges(rect.x - by, rect.y - by, rect.right() + by, rect.bottom() + by)
    };
    // The outline may lie in the gap beside the stage, but not far from it.
    let near = grown(&figure.stage, casing);
    for side in sides(&grown(&rect, casing), casing) {
        push(figure, &side.intersection(&near), Ink::Background);
    }
    for side in sides(&grown(&rect, (casing + line) / 2.0), line) {
        push(figure, &side.intersection(&near), Ink::Accent);
    }
}

fn push(figure: &mut Figure, rect: &PixelRect, ink: Ink) {
    if rect.width > 0.0 && rect.height > 0.0 {
        figure.fills.push(Fill { rect: *rect, ink, alpha: 1.0 });
    }
}

/// The four sides of a frame just inside a rectangle.
pub fn sides(rect: &PixelRect, t: f32) -> [PixelRect; 4] {
    let (l, r, top, bottom) = (rect.x, rect.right(), rect.y, rect.bottom());
    [
        PixelRect::from_edges(l, top, r, top + t),
        PixelRect::from_edges(l, bottom - t, r, bottom),
        PixelRect::from_edges(l, top + t, l + t, bottom - t),
        PixelRect::from_edges(r - t, top + t, r, bottom - t),
    ]
}

/// The smallest power of two whose multiples are at least `min_px` apart.
pub fn step_for(cell_px: f32, min_px: f32) -> u32 {
    let mut step = 1;
    while (step as f32) * cell_px < min_px && step < 1 << 20 {
        step *= 2;
    }
    step
}

/// The members of an axis of `count` that get a number, at least `step` apart: the marked ones (ascending) first, then
/// every `step`th.
pub fn labelled(count: u32, marked: &[u32], step: u32) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::new();
    for &index in marked.iter().filter(|&&index| index < count) {
        if chosen.last().is_none_or(|last| index - last >= step) {
            chosen.push(index);
        }
    }
    let marked = chosen.clone();
    let apart = |index: &u32| marked.iter().all(|other| other.abs_diff(*index) >= step);
    chosen.extend((0..count).step_by(step.max(1) as usize).filter(apart));
    chosen
}

/// Draws hairlines between cells, numbers along both edges, and the marks of the selection.
pub(super) fn ruled_axes(
    figure: &mut Figure,
    grid: &HeadGrid,
    layers: &AxisMarks,
    heads: &AxisMarks,
) {
    let s = figure.scale;
    let (stage, content) = (figure.stage, figure.content);
    let visible = figure.visible();
    let cell =
        [content.width / heads.count.max(1) as f32, content.height / layers.count.max(1) as f32];
    rule(figure, layers.count, heads.count, cell);

    let centred = CAP_HEIGHT * TICK * s / 2.0;
    let (left, top) = (visible.x - GAP * s, visible.y - GAP * s);
    let step = step_for(cell[1], TICK * 1.5 * s);
    for layer in labelled(layers.count, &layers.marked, step) {
        let y = content.y + (layer as f32 + 0.5) * cell[1];
        if y < stage.y || y > stage.bottom() {
            continue;
        }
        let ink = if layers.marked.contains(&layer) { Ink::Accent } else { Ink::Muted };
        figure.labels.push(tick(
            layers.number(layer).to_string(),
            [left, y + centred],
            Align::End,
            ink,
            s,
        ));
    }
    // A column of sorted heads is a rank, counted from 1; its heads differ from layer to layer.
    let first = u32::from(grid.sorted.is_some());
    let marked: &[u32] = if grid.sorted.is_some() { &[] } else { &heads.marked };
    let widest = text_width(&(heads.count + first).saturating_sub(1).to_string(), true) * TICK * s;
    let step = step_for(cell[0], widest + 6.0 * s);
    for column in labelled(heads.count, marked, step) {
        let x = content.x + (column as f32 + 0.5) * cell[0];
        if x < stage.x || x > stage.right() {
            continue;
        }
        let ink = if marked.contains(&column) { Ink::Accent } else { Ink::Muted };
        let text = (column + first).to_string();
        figure.labels.push(tick(text, [x, top], Align::Centre, ink, s));
    }
    let title_y = top - (TICK + 5.0) * s;
    let title = match &grid.sorted {
        Some(sorted) => {
            let title = format!("heads sorted by {} →", sorted.by);
            fitted(&title, false, (stage.right() - visible.x) / (TICK * s))
        }
        None => "head →".into(),
    };
    figure.labels.push(tick(title, [visible.x, title_y], Align::Start, Ink::Muted, s));
    figure.labels.push(tick("layer ↓".into(), [left, title_y], Align::End, Ink::Muted, s));

    mark_selection(figure, grid, layers, heads);
}

/// Draws hairlines if the cells are large enough.
fn rule(figure: &mut Figure, rows: u32, columns: u32, cell: [f32; 2]) {
    const MIN_CELL_PX: f32 = 12.0;
    if cell[0].min(cell[1]) < MIN_CELL_PX {
        return;
    }
    let visible = figure.visible();
    let content = figure.content;
    let thin = (figure.scale * 0.75).max(1.0).round();
    for row in 1..rows {
        let y = (content.y + row as f32 * cell[1] - thin / 2.0).round();
        let rect = PixelRect { y, height: thin, ..visible }.intersection(&visible);
        if rect.height > 0.0 {
            figure.fills.push(Fill { rect, ink: Ink::Background, alpha: 1.0 });
        }
    }
    for column in 1..columns {
        let x = (content.x + column as f32 * cell[0] - thin / 2.0).round();
        let rect = PixelRect { x, width: thin, ..visible }.intersection(&visible);
        if rect.width > 0.0 {
            figure.fills.push(Fill { rect, ink: Ink::Background, alpha: 1.0 });
        }
    }
}

/// Marks the selection: one cell, a row, a column or the cells of a set.
fn mark_selection(figure: &mut Figure, grid: &HeadGrid, layers: &AxisMarks, heads: &AxisMarks) {
    if layers.marked.is_empty() && heads.marked.is_empty() {
        return;
    }
    let content = figure.content;
    // Columns of sorted heads differ from row to row, so that rows cannot be joined.
    let is_sorted = grid.sorted.is_some() && !heads.marked.is_empty();
    let rows = match is_sorted {
        true if layers.marked.is_empty() => (0..layers.count).map(|row| (row, 1)).collect(),
        true => layers.marked.iter().map(|&row| (row, 1)).collect(),
        false => runs(layers.count, &layers.marked),
    };
    for (row, row_count) in rows {
        let mut columns: Vec<u32> =
            heads.marked.iter().map(|&head| grid.column(row, head)).collect();
        columns.sort_unstable();
        for (column, column_count) in runs(heads.count, &columns) {
            let first = content.cell(row, column, grid.layers, grid.heads);
            let (last_row, last_column) = (row + row_count - 1, column + column_count - 1);
            let last = content.cell(last_row, last_column, grid.layers, grid.heads);
            let rect = PixelRect::from_edges(first.x, first.y, last.right(), last.bottom());
            if rect.overlaps(&figure.stage) {
                mark(figure, rect);
            }
        }
    }
}

/// Adjacent members of an ascending list as (first, number); all `count` if the list is empty.
fn runs(count: u32, marked: &[u32]) -> Vec<(u32, u32)> {
    if marked.is_empty() {
        return vec![(0, count)];
    }
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &index in marked {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

/// Marks the cells of a set of single heads.
pub(super) fn mark_heads(
    figure: &mut Figure,
    set: Option<&HeadSet>,
    layers: &AxisMarks,
    grid: &HeadGrid,
) {
    for &[layer, head] in set.into_iter().flat_map(HeadSet::heads) {
        let Some(row) = (0..layers.count).find(|&row| layers.number(row) == layer) else {
            continue;
        };
        let rect = grid.cell(&figure.content, row, head);
        if rect.overlaps(&figure.stage) {
            mark(figure, rect);
        }
    }
}

/// Prints numbers in the cells of a matrix if they fit.
pub(super) fn print_values(
    figure: &mut Figure,
    state: &ViewState,
    grid: &HeadGrid,
    values: &[f32],
) {
    let s = figure.scale;
    let factor = state.quantity.unit().factor();
    let over = |start: f32, fold: fn(f32, f32) -> f32| values.iter().copied().fold(start, fold);
    let (smallest, biggest) = (over(f32::INFINITY, f32::min), over(f32::NEG_INFINITY, f32::max));
    let largest = f64::from(smallest.abs().max(biggest.abs())) * factor;
    let bound = smallest.abs().max(biggest.abs());
    let (low, high) = match (state.matrix_range, state.normalise.range) {
        (Some([low, high]), _) => (low as f32, high as f32),
        (None, Range::Fixed { min, max }) => (min as f32, max as f32),
        _ if state.quantity.is_signed() => (-bound, bound),
        _ => (smallest, biggest),
    };
    let cell = grid.cell(&figure.content, 0, 0);
    let sample = number(largest, largest);
    if text_width(&sample, false) * TICK * s > cell.width - 12.0 * s || cell.height < 24.0 * s {
        return;
    }
    for (index, &value) in values.iter().enumerate() {
        let rect = grid.cell(&figure.content, index as u32 / grid.heads, index as u32 % grid.heads);
        if !figure.stage.contains(&rect) {
            continue;
        }
        let at = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let [x, y] = rect.centre();
        let text = number(f64::from(value) * factor, largest);
        let y = y + CAP_HEIGHT * TICK * s / 2.0;
        figure.labels.push(tick(text, [x, y], Align::Centre, Ink::OnMap(at), s));
    }
}

/// Prints the upper end of each map's colour range in its corner of the wall: in every cell, or in none if one of the
/// numbers does not fit.
pub(super) fn print_peaks(figure: &mut Figure, grid: &HeadGrid, ranges: &[[f32; 2]]) {
    let s = figure.scale;
    let size = TICK * s;
    let (inset, pad) = (6.0 * s, 4.0 * s);
    let height = size + pad;
    let cell = grid.cell(&figure.content, 0, 0);
    if height * 5.0 > cell.height {
        return;
    }
    let width = |text: &str| text_width(text, false) * size + 2.0 * pad;
    // Never more than half of the map's width.
    let fit = |texts: &Vec<String>| texts.iter().all(|text| width(text) * 2.0 <= cell.width);
    let written = |write: fn(f64) -> String| -> Vec<String> {
        ranges.iter().map(|&[_, high]| write(f64::from(high))).collect()
    };
    let ways: [fn(f64) -> String; 3] =
        [|high| format!("max {}", number(high, high)), |high| number(high, high), two_digits];
    let Some(texts) = ways.into_iter().map(written).find(fit) else { return };
    for (index, text) in texts.into_iter().enumerate() {
        let cell = grid.cell(&figure.content, index as u32 / grid.heads, index as u32 % grid.heads);
        let width = width(&text);
        let (x, y) = (cell.right() - inset - width, cell.bottom() - inset - height);
        let plate = PixelRect { x, y, width, height };
        if !figure.stage.contains(&plate) {
            continue;
        }
        print_plate(figure, plate, text, pad);
    }
}

/// Prints the numbers of sorted heads in the upper left corner of their cells, if they fit into all.
pub(super) fn print_heads(figure: &mut Figure, grid: &HeadGrid) {
    if grid.sorted.is_none() {
        return;
    }
    let s = figure.scale;
    let (size, inset, pad) = (TICK * s, 2.0 * s, 3.0 * s);
    let height = size + pad;
    let cell = grid.cell(&figure.content, 0, 0);
    let width = |text: &str| text_width(text, false) * size + 2.0 * pad;
    let widest = width(&format!("H{}", grid.heads.saturating_sub(1)));
    if height * 2.0 > cell.height || widest + inset > cell.width {
        return;
    }
    for row in 0..grid.layers {
        for head in 0..grid.heads {
            let cell = grid.cell(&figure.content, row, head);
            let text = format!("H{head}");
            let (x, y) = (cell.x + inset, cell.y + inset);
            let plate = PixelRect { x, y, width: width(&text), height };
            if figure.stage.contains(&plate) {
                print_plate(figure, plate, text, pad);
            }
        }
    }
}

/// Prints a text on a plate that covers the map.
fn print_plate(figure: &mut Figure, plate: PixelRect, text: String, pad: f32) {
    let s = figure.scale;
    figure.fills.push(Fill { rect: plate, ink: Ink::Background, alpha: 0.8 });
    let y = plate.y + plate.height / 2.0 + CAP_HEIGHT * TICK * s / 2.0;
    figure.labels.push(tick(text, [plate.x + pad, y], Align::Start, Ink::Text, s));
}

/// A number between 0 and 1 in little space: ".28", ".004", "9e−5".
fn two_digits(value: f64) -> String {
    if value >= 0.001 {
        let decimals = if value >= 0.1 { 2 } else { 3 };
        let text = format!("{value:.decimals$}");
        return text.strip_prefix('0').map_or(text.clone(), str::to_owned);
    }
    if value > 0.0 { format!("{value:.0e}").replace('-', "−") } else { "0".into() }
}

/// The name for a range of positions.
const fn kind_name(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::System => "system",
        TokenKind::Image => "picture",
        TokenKind::Question => "question",
        TokenKind::Answer => "answer",
        TokenKind::Special | TokenKind::Separator => "",
    }
}

/// Labels query tokens along the left edge and ranges of keys along the top; also key tokens if a column is wide
/// enough.
pub(super) fn label_tokens(
    figure: &mut Figure,
    first_query: u32,
    queries: &[AxisToken],
    keys: &[AxisToken],
) {
    let s = figure.scale;
    let (stage, content) = (figure.stage, figure.content);
    let row_px = content.height / queries.len().max(1) as f32;
    let centred = CAP_HEIGHT * TICK * s / 2.0;
    let step = step_for(row_px, TICK * 1.4 * s);
    for (index, token) in queries.iter().enumerate().step_by(step as usize) {
        let y = content.y + (index as f32 + 0.5) * row_px;
        if y < stage.y || y > stage.bottom() {
            continue;
        }
        let position = (first_query as usize + index).to_string();
        let room = stage.x - GAP * s - text_width(&position, false) * TICK * s;
        let left = figure_left(figure);
        let text = fitted(&token.text, false, (room - left - 8.0 * s) / (TICK * s));
        let y = y + centred;
        figure.labels.push(tick(position, [stage.x - GAP * s, y], Align::End, Ink::Muted, s));
        if !text.is_empty() {
            figure.labels.push(tick(text, [room - 6.0 * s, y], Align::End, Ink::Text, s));
        }
    }
    let title_y = stage.y - (TICK * 2.0 + 20.0) * s;
    figure.labels.push(tick("key →".into(), [stage.x, title_y], Align::Start, Ink::Muted, s));
    figure.labels.push(tick(
        "query ↓".into(),
        [stage.x - GAP * s, title_y],
        Align::End,
        Ink::Muted,
        s,
    ));
    label_stretches(figure, keys);
    label_keys(figure, keys);
}

fn figure_left(figure: &Figure) -> f32 {
    // The stage's left gutter begins at the figure's margin.
    (figure.stage.x - 132.0 * figure.scale).max(0.0)
}

/// Draws a hairline and a name over each range of keys of one kind.
fn label_stretches(figure: &mut Figure, keys: &[AxisToken]) {
    let s = figure.scale;
    let (stage, content) = (figure.stage, figure.content);
    let column_px = content.width / keys.len().max(1) as f32;
    let mut start = 0;
    let mut names = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let is_picture = |key: &AxisToken| key.kind == TokenKind::Image && !key.text.is_empty();
        let ends = keys
            .get(index + 1)
            .is_none_or(|next| next.kind != key.kind || is_picture(next) || is_picture(key));
        if !ends {
            continue;
        }
        let left = (content.x + start as f32 * column_px).max(stage.x);
        let right = (content.x + (index + 1) as f32 * column_px).min(stage.right());
        start = index + 1;
        let name = kind_name(key.kind);
        // A picture in one column is named although it is narrow, in the line above.
        if key.kind == TokenKind::Image && !key.text.is_empty() && right > left {
            let y = stage.y - (TICK + 8.0) * s;
            let rect = PixelRect { x: left, y, width: right - left, height: 2.0 * s };
            figure.fills.push(Fill { rect, ink: Ink::Text, alpha: 1.0 });
            let title = text_width("key →", false) * TICK * s + 12.0 * s;
            names.push((left.max(stage.x + title), key.text.clone()));
            continue;
        }
        if right - left < 4.0 * s || name.is_empty() {
            continue;
        }
        let y = stage.y - (TICK + 8.0) * s;
        let rect = PixelRect { x: left, y, width: right - left - 2.0 * s, height: 2.0 * s };
        figure.fills.push(Fill { rect, ink: Ink::Hairline, alpha: 1.0 });
        if text_width(name, false) * TICK * s <= right - left - 4.0 * s {
            let at = [left, y - 5.0 * s];
            let first_title = figure.labels.iter().any(|label| {
                label.text() == "key →"
                    && (label.baseline[1] - at[1]).abs() < TICK * s
                    && label.bounds().right() + 6.0 * s > left
            });
            if !first_title {
                figure.labels.push(tick(name.into(), at, Align::Start, Ink::Text, s));
            }
        }
    }
    let y = stage.y - (2.0 * TICK + 14.0) * s;
    for (x, name) in joined_names(names, |text| text_width(text, false) * TICK * s + 8.0 * s) {
        figure.labels.push(tick(name, [x, y], Align::Start, Ink::Text, s));
    }
}

/// Joins the names of neighbouring pictures that would overlap: "frame 0 at 0.5 s – frame 3 at 2.0 s". Each name has the x
/// of its left edge; `width` measures a text.
fn joined_names(names: Vec<(f32, String)>, width: impl Fn(&str) -> f32) -> Vec<(f32, String)> {
    let mut joined: Vec<(f32, String, String)> = Vec::new();
    let text = |first: &str, last: &str| match first == last {
        true => first.to_owned(),
        false => format!("{first} – {last}"),
    };
    for (x, name) in names {
        joined.push((x, name.clone(), name));
        while let [.., before, last] = joined.as_mut_slice()
            && before.0 + width(&text(&before.1, &before.2)) > last.0
        {
            before.2 = std::mem::take(&mut last.2);
            joined.pop();
        }
    }
    joined.into_iter().map(|(x, first, last)| (x, text(&first, &last))).collect()
}

fn label_keys(figure: &mut Figure, keys: &[AxisToken]) {
    const MIN_COLUMN: f32 = 44.0;
    let s = figure.scale;
    let (stage, content) = (figure.stage, figure.content);
    let column_px = content.width / keys.len().max(1) as f32;
    let y = stage.y - 6.0 * s;
    if column_px < MIN_COLUMN * s {
        // Too narrow for names: prints positions at round numbers.
        let largest = keys.last().map_or(0, |key| key.position);
        let widest = text_width(&largest.to_string(), false) * TICK * s;
        let step = step_for(column_px, widest + 24.0 * s);
        for (index, key) in keys.iter().enumerate().step_by(step as usize) {
            let x = content.x + (index as f32 + 0.5) * column_px;
            if x >= stage.x && x <= stage.right() - widest {
                let at = [x, y];
                let text = key.position.to_string();
                figure.labels.push(tick(text, at, Align::Centre, Ink::Muted, s));
            }
        }
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        let x = content.x + (index as f32 + 0.5) * column_px;
        let text = if key.text.is_empty() { key.position.to_string() } else { key.text.clone() };
        let text = fitted(&text, false, (column_px - 6.0 * s) / (TICK * s));
        let half = text_width(&text, false) * TICK * s / 2.0;
        if x - half >= stage.x && x + half <= stage.right() && !text.is_empty() {
            figure.labels.push(tick(text, [x, y], Align::Centre, Ink::Text, s));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::joined_names;

    #[test]
    fn names_of_narrow_pictures_are_joined() {
        let name = |at: usize, x: f32| (x, format!("frame {at}"));
        let width = |text: &str| text.chars().count() as f32;
        let told = |names: Vec<(f32, String)>| -> Vec<String> {
            joined_names(names, width).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(told(vec![name(0, 0.0), name(1, 20.0)]), ["frame 0", "frame 1"]);
        let narrow = vec![name(0, 0.0), name(1, 3.0), name(2, 6.0), name(3, 40.0)];
        assert_eq!(told(narrow), ["frame 0 – frame 2", "frame 3"]);
        // A joined name is longer, so that it may reach the next one.
        let near = vec![name(0, 0.0), name(1, 3.0), name(2, 12.0)];
        assert_eq!(told(near), ["frame 0 – frame 2"]);
        assert!(told(Vec::new()).is_empty());
    }
}
