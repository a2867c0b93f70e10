//! The drawn part of a trace's pictures: for each picture a grid of numbers and the frame beneath it.
//!
//! A picture that the model saw once has the grid of its patches. One that it saw several times (tiles and a
//! thumbnail), or whose patches are no equal parts, has a density: all views together on one grid, about as fine as the
//! finest of them.

use super::{ImageForm, PictureChoice, PictureRule, ViewState};
use crate::analysis::density::{Density, DensityBuilder, Frame};
use crate::trace::{ImageSpan, PatchRef, Rect, Trace, TraceMeta, ViewOf};

/// The numbers over one picture: a grid of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShownGrid {
    /// Index of the picture.
    pub picture: u32,
    /// The pixels beneath the grid.
    pub frame: Frame,
    /// The view whose patches are the cells; `None`: a density over the whole frame.
    pub view: Option<usize>,
    /// Cells in a row.
    pub columns: u32,
    /// Cells in a column.
    pub rows: u32,
}

impl ShownGrid {
    /// Number of cells.
    pub const fn cells(&self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// The rectangle that the cells cover, in pixels of the frame.
    pub fn rect(&self, meta: &TraceMeta) -> Rect {
        match self.view.and_then(|view| meta.spans.get(view)) {
            Some(span) => self.frame.rect(meta, span, span.preprocessed_rect),
            None => {
                let [width, height] = self.frame.size(meta);
                Rect { x: 0.0, y: 0.0, width, height }
            }
        }
    }
}

/// The grids and views of a trace that a state draws.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shown {
    /// One a picture, pictures in ascending order.
    pub grids: Vec<ShownGrid>,
    /// The views that are read, in the order of the trace, picture by picture.
    pub views: Vec<usize>,
}

/// More cells along a side are no density, but noise.
const MOST_CELLS: u32 = 512;

impl Shown {
    /// The grids and views of a trace that a state draws.
    pub fn new(state: &ViewState, trace: &Trace) -> Self {
        let meta = trace.meta();
        let mut shown = Self::default();
        for choice in state.shown_pictures(meta) {
            let views = choice.views(meta);
            if let Some(grid) = grid(choice, trace, &views) {
                shown.grids.push(grid);
                shown.views.extend(views);
            }
        }
        shown
    }

    /// Whether cells are no patches of a view.
    pub fn is_density(&self) -> bool {
        self.grids.iter().any(|grid| grid.view.is_none())
    }

    /// Number of cells of all grids.
    pub fn cells(&self) -> usize {
        self.grids.iter().map(ShownGrid::cells).sum()
    }

    /// The numbers of the cells from a row over all positions, or over all patches of the trace.
    pub fn values_of(&self, trace: &Trace, row: &[f32]) -> Vec<f32> {
        let meta = trace.meta();
        let is_positions = row.len() == trace.shape().positions;
        let mut firsts = vec![0];
        firsts.extend(meta.spans.iter().scan(0, |end, span| {
            *end += span.patches();
            Some(*end)
        }));
        let of_view = |&view: &usize| -> Vec<f32> {
            let Some(span) = meta.spans.get(view) else { return Vec::new() };
            if is_positions {
                span.values_of(row).collect()
            } else {
                row.get(firsts[view]..firsts[view + 1]).unwrap_or_default().to_vec()
            }
        };
        let patches: Vec<f32> = self.views.iter().flat_map(of_view).collect();
        match self.density(meta).filter(|density| density.patches() == patches.len()) {
            Some(density) => density.apply(&patches),
            None => patches,
        }
    }

    /// The weights of the patches in the cells of a density; `None` if each patch is a cell.
    pub fn density(&self, meta: &TraceMeta) -> Option<Density> {
        if !self.is_density() {
            return None;
        }
        let mut builder = DensityBuilder::default();
        let mut first = 0;
        let mut spans = self.views.iter().filter_map(|&view| meta.spans.get(view)).peekable();
        for grid in &self.grids {
            let mut placed = Vec::new();
            while let Some(span) = spans.next_if(|span| span.picture == grid.picture) {
                placed.push((first, span));
                first += span.patches();
            }
            match (grid.view, placed.as_slice()) {
                (Some(_), &[(first, span)]) => builder.add_patches(first, span.patches()),
                _ => builder.add(meta, grid.frame, [grid.columns, grid.rows], placed),
            }
        }
        Some(builder.finish(first))
    }
}

impl ViewState {
    /// The pictures that are drawn: the chosen one, or all of them side by side.
    pub fn shown_pictures(&self, meta: &TraceMeta) -> Vec<PictureChoice> {
        if self.view.spec().pictures == PictureRule::Chosen {
            return vec![self.picture];
        }
        pictures(meta)
            .into_iter()
            .map(|index| PictureChoice { index, view: None, form: self.picture.form })
            .collect()
    }
}

/// The pictures that have patches, ascending.
pub fn pictures(meta: &TraceMeta) -> Vec<u32> {
    let mut pictures: Vec<u32> = meta.spans.iter().map(|span| span.picture).collect();
    pictures.sort_unstable();
    pictures.dedup();
    pictures
}

/// The name of a picture: "picture 1", "frame 3 at 2.5 s".
pub fn picture_name(meta: &TraceMeta, picture: u32) -> String {
    match meta.spans.iter().find(|span| span.picture == picture) {
        Some(span) if span.frame.is_some() => span.name(),
        _ => format!("picture {picture}"),
    }
}

/// The name of a patch: "row 2, column 3", after the view or the picture where there are several.
pub fn patch_name(meta: &TraceMeta, patch: PatchRef) -> String {
    let place = format!("row {}, column {}", patch.row, patch.column);
    match meta.spans.get(patch.span as usize).filter(|_| meta.spans.len() > 1) {
        Some(span) if span.kind == ViewOf::Whole => {
            format!("{} · {place}", picture_name(meta, span.picture))
        }
        Some(span) => format!("{} · {place}", span.name()),
        None => place,
    }
}

impl PictureChoice {
    /// The views that are drawn, as indices of `meta.spans`: the chosen one, or all of the picture.
    pub fn views(&self, meta: &TraceMeta) -> Vec<usize> {
        match self.view {
            Some(view) => (view as usize..meta.spans.len()).take(1).collect(),
            None => {
                (0..meta.spans.len()).filter(|&at| meta.spans[at].picture == self.index).collect()
            }
        }
    }

    /// Whether all views are put together on one grid.
    pub fn is_density(&self, meta: &TraceMeta) -> bool {
        match self.views(meta).as_slice() {
            [] => false,
            &[one] => meta.spans[one].cells.is_some(),
            _ => true,
        }
    }

    /// The picture beneath the map. Several views share the original. If the trace does not hold the chosen form of the
    /// picture, the other form is used.
    pub fn frame(&self, trace: &Trace) -> Frame {
        let meta = trace.meta();
        let views = self.views(meta);
        let mut canvases: Vec<u32> = views.iter().map(|&view| meta.spans[view].canvas).collect();
        canvases.sort_unstable();
        canvases.dedup();
        let canvas = match canvases.as_slice() {
            [] => meta
                .preprocess
                .iter()
                .position(|info| info.picture == self.index)
                .map(|at| at as u32),
            &[one] => Some(one),
            several => several.iter().copied().max_by_key(|&canvas| {
                let of_canvas = views.iter().map(|&view| &meta.spans[view]);
                let patches =
                    of_canvas.filter(|span| span.canvas == canvas).map(ImageSpan::patches);
                // The first of equals.
                (patches.sum::<usize>(), std::cmp::Reverse(canvas))
            }),
        };
        let picture = match views.first() {
            Some(&view) => meta.spans[view].picture,
            None => self.index,
        };
        let (original, canvas) =
            (Frame::Original(picture), canvas.map_or(Frame::Original(picture), Frame::Canvas));
        let has_original = trace.picture_original(picture as usize).is_some();
        match self.form {
            ImageForm::Original => original,
            // Views are put together on the picture itself, without the padding around it.
            ImageForm::Preprocessed if has_original && self.is_density(meta) => original,
            ImageForm::Preprocessed => match canvas {
                Frame::Canvas(index) if has_original && trace.canvas(index as usize).is_none() => {
                    original
                }
                _ => canvas,
            },
        }
    }

    /// The drawn part of a trace with several pictures or views, for the caption; `None` if the trace has one view of
    /// one picture.
    pub fn part(&self, meta: &TraceMeta) -> Option<String> {
        let views = self.views(meta);
        let first = meta.spans.get(*views.first()?)?;
        let mut parts = Vec::new();
        if first.frame.is_none() && pictures(meta).len() > 1 {
            parts.push(format!("picture {} only", first.picture));
        }
        let all = meta.spans.iter().filter(|span| span.picture == first.picture).count();
        if views.len() > 1 {
            parts.push(format!("{} views added", views.len()));
        } else if all > 1 || first.frame.is_some() {
            parts.push(format!("{} only", first.name()));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn grid(choice: PictureChoice, trace: &Trace, views: &[usize]) -> Option<ShownGrid> {
    let meta = trace.meta();
    let spans = || views.iter().map(|&view| &meta.spans[view]);
    let picture = spans().next()?.picture;
    let frame = choice.frame(trace);
    if !choice.is_density(meta) {
        let (view, span) = (*views.first()?, spans().next()?);
        let ImageSpan { rows, columns, .. } = *span;
        return Some(ShownGrid { picture, frame, view: Some(view), columns, rows });
    }
    // As fine as the finest patch.
    let finest = spans()
        .map(|span| {
            let cells = span.cells.as_deref().unwrap_or_default().iter().copied();
            let first = span.preprocessed_from_patch(0, 0);
            let area = |rect: &Rect| rect.width * rect.height;
            let smallest = cells.min_by(|a, b| area(a).total_cmp(&area(b))).unwrap_or(first);
            frame.rect(meta, span, smallest)
        })
        .reduce(|a, b| if b.width * b.height < a.width * a.height { b } else { a })?;
    let [width, height] = frame.size(meta);
    let count = |whole: f64, cell: f64| ((whole / cell).round().max(1.0) as u32).min(MOST_CELLS);
    let (columns, rows) = (count(width, finest.width), count(height, finest.height));
    Some(ShownGrid { picture, frame, view: None, columns, rows })
}
