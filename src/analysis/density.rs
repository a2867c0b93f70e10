//! A map over all views of a picture as one grid: the CPU twin of `shaders/density.wgsl`.
//!
//! A model may see a picture several times: coarse as a whole and fine in tiles. Each patch spreads its weight evenly
//! over the area that it covers, and views add up, so that a cell holds the attention on its part of the picture: the
//! sum over the cells is the sum over the patches, less what lies outside of the frame (padding).

use crate::trace::{Affine, ImageSpan, Rect, TraceMeta};

/// The picture beneath a map, in whose pixels places are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// A picture as it was given, by its index.
    Original(u32),
    /// The preprocessed picture, by the index of its canvas. A canvas onto which the picture was squashed is stretched
    /// to the aspect of the original.
    Canvas(u32),
}

/// Canvases whose pixels are this close to squares on the original are not stretched: processors round sizes.
const SQUARE: f64 = 0.01;

/// Pixels of the frame for each pixel of a canvas, horizontally and vertically: at least 1, and 1 where the picture was
/// not squashed.
fn stretch(meta: &TraceMeta, canvas: u32) -> [f64; 2] {
    let info = meta.preprocess.get(canvas as usize);
    let scale = info.and_then(|info| info.original_from_preprocessed.scale());
    let aspect = scale.map_or(1.0, |[x, y]| (x / y).abs());
    let is_squashed = aspect.is_finite() && aspect > 0.0 && aspect.ln().abs() >= SQUARE;
    if is_squashed { [aspect.max(1.0), aspect.recip().max(1.0)] } else { [1.0; 2] }
}

impl Frame {
    /// Width and height in pixels; where the trace does not say, of what its views cover.
    pub fn size(self, meta: &TraceMeta) -> [f64; 2] {
        let info = match self {
            Self::Original(picture) => meta
                .preprocess
                .iter()
                .find(|info| info.picture == picture)
                .map(|info| info.original_size),
            Self::Canvas(canvas) => {
                meta.preprocess.get(canvas as usize).map(|info| info.preprocessed_size)
            }
        };
        if let Some(size) = info.filter(|size| !size.contains(&0)) {
            let [x, y] = self.stretch(meta);
            return [f64::from(size[0]) * x, f64::from(size[1]) * y];
        }
        let lies_here = |span: &&ImageSpan| match self {
            Self::Original(picture) => span.picture == picture,
            Self::Canvas(canvas) => span.canvas == canvas,
        };
        let rects = meta
            .spans
            .iter()
            .filter(lies_here)
            .map(|span| self.rect(meta, span, span.preprocessed_rect));
        rects.fold([1.0; 2], |[right, bottom], rect| {
            [right.max(rect.x + rect.width), bottom.max(rect.y + rect.height)]
        })
    }

    /// See [`stretch`]; 1 on an original.
    fn stretch(self, meta: &TraceMeta) -> [f64; 2] {
        match self {
            Self::Original(_) => [1.0; 2],
            Self::Canvas(canvas) => stretch(meta, canvas),
        }
    }

    /// From pixels of the original to pixels of the frame; `None` if the trace does not say where its canvas lies.
    pub fn from_original(self, meta: &TraceMeta) -> Option<Affine> {
        match self {
            Self::Original(_) => Some(Affine::IDENTITY),
            Self::Canvas(canvas) => {
                let info = meta.preprocess.get(canvas as usize)?;
                let back = info.original_from_preprocessed.inverse()?;
                Some(Affine::scale_offset(self.stretch(meta), [0.0; 2]).after(&back))
            }
        }
    }

    /// From pixels of a view's canvas to pixels of the frame.
    pub fn from_view(self, meta: &TraceMeta, span: &ImageSpan) -> Affine {
        match self {
            Self::Canvas(canvas) if canvas == span.canvas => {
                Affine::scale_offset(self.stretch(meta), [0.0; 2])
            }
            Self::Original(_) | Self::Canvas(_) => {
                let back = self.from_original(meta).unwrap_or_default();
                back.after(&span.original_from_preprocessed)
            }
        }
    }

    /// A rectangle of a view's canvas in pixels of the frame.
    pub fn rect(self, meta: &TraceMeta, span: &ImageSpan, rect: Rect) -> Rect {
        self.from_view(meta, span).apply_rect(rect)
    }
}

/// A share of a patch that lies on a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Index of the patch among those that are read.
    pub patch: u32,
    /// Part of the patch's area, 0–1.
    pub share: f32,
}

/// The weights with which the patches of some views are added to the cells of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    patches: usize,
    /// The index of the first part of each cell, then the number of all parts.
    starts: Vec<u32>,
    parts: Vec<Part>,
}

/// Shares that are nothing but rounding.
const ROUNDING: f64 = 1e-7;

/// A density that is being put together: grids one after another.
#[derive(Debug, Default)]
pub struct DensityBuilder {
    cells: Vec<Vec<Part>>,
}

impl DensityBuilder {
    /// Adds a grid of `columns` × `rows` cells over the whole `frame`, on which the views of `spans` lie; each comes
    /// with the index of its first patch among those that are read.
    pub fn add<'a>(
        &mut self,
        meta: &TraceMeta,
        frame: Frame,
        [columns, rows]: [u32; 2],
        spans: impl IntoIterator<Item = (usize, &'a ImageSpan)>,
    ) {
        let [width, height] = frame.size(meta);
        let cell = [width / f64::from(columns), height / f64::from(rows)];
        let first = self.cells.len();
        self.cells.resize_with(first + columns as usize * rows as usize, Vec::new);
        let cells = &mut self.cells[first..];
        for (first_patch, span) in spans {
            let map = frame.from_view(meta, span);
            for index in 0..span.patches() {
                let (row, column) = (index as u32 / span.columns, index as u32 % span.columns);
                let rect = map.apply_rect(span.preprocessed_from_patch(row, column));
                let x = overlaps(rect.x / cell[0], rect.width / cell[0], columns);
                for (at_y, share_y) in overlaps(rect.y / cell[1], rect.height / cell[1], rows) {
                    for (at_x, share_x) in x.clone() {
                        let share = share_x * share_y;
                        if share > ROUNDING {
                            let share = if share > 1.0 - ROUNDING { 1.0 } else { share };
                            let patch = (first_patch + index) as u32;
                            cells[at_y * columns as usize + at_x]
                                .push(Part { patch, share: share as f32 });
                        }
                    }
                }
            }
        }
    }

    /// Adds a grid whose cells are patches as they are, from the index of the first one on.
    pub fn add_patches(&mut self, first_patch: usize, count: usize) {
        let one = |patch: usize| vec![Part { patch: patch as u32, share: 1.0 }];
        self.cells.extend((first_patch..first_patch + count).map(one));
    }

    /// The density over all grids, of so many patches.
    pub fn finish(self, patches: usize) -> Density {
        let mut starts = Vec::with_capacity(self.cells.len() + 1);
        let mut parts = Vec::new();
        starts.push(0);
        for cell in self.cells {
            parts.extend(cell);
            starts.push(parts.len() as u32);
        }
        Density { patches, starts, parts }
    }
}

/// The share of [start, start + length) on each of the unit intervals 0 … `count` that it touches.
fn overlaps(start: f64, length: f64, count: u32) -> impl Iterator<Item = (usize, f64)> + Clone {
    let end = start + length;
    let first = start.floor().clamp(0.0, f64::from(count)) as u32;
    let last = end.ceil().clamp(0.0, f64::from(count)) as u32;
    (first..last).map(move |at| {
        let (low, high) = (f64::from(at), f64::from(at) + 1.0);
        (at as usize, (end.min(high) - start.max(low)).max(0.0) / length)
    })
}

impl Density {
    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of patches that are read.
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// The index of the first part of each cell, then the number of all parts: [cells + 1].
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The parts of all cells.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// From maps over patches [planes, N] to maps over cells [planes, cells].
    pub fn apply(&self, planes: &[f32]) -> Vec<f32> {
        let of_cell = |plane: &[f32], bounds: &[u32]| {
            let parts = &self.parts[bounds[0] as usize..bounds[1] as usize];
            parts.iter().map(|part| plane[part.patch as usize] * part.share).sum::<f32>()
        };
        let of_plane = |plane| self.starts.windows(2).map(move |bounds| of_cell(plane, bounds));
        planes.chunks_exact(self.patches.max(1)).flat_map(of_plane).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::PreprocessInfo;
    use proptest::prelude::*;

    fn meta(size: [u32; 2]) -> TraceMeta {
        TraceMeta {
            preprocess: vec![PreprocessInfo {
                original_size: size,
                preprocessed_size: size,
                ..PreprocessInfo::default()
            }],
            ..TraceMeta::default()
        }
    }

    fn view(rows: u32, columns: u32, [x, y, width, height]: [f64; 4]) -> ImageSpan {
        ImageSpan {
            rows,
            columns,
            preprocessed_rect: Rect { x, y, width, height },
            ..ImageSpan::default()
        }
    }

    fn density(size: [u32; 2], grid: [u32; 2], views: &[ImageSpan]) -> Density {
        let mut builder = DensityBuilder::default();
        let mut first = 0;
        let mut placed = Vec::new();
        for span in views {
            placed.push((first, span));
            first += span.patches();
        }
        builder.add(&meta(size), Frame::Canvas(0), grid, placed);
        builder.finish(first)
    }

    #[test]
    fn tiles_of_equal_patches_are_one_grid() {
        let views = [view(2, 2, [0.0, 0.0, 20.0, 20.0]), view(2, 2, [20.0, 0.0, 20.0, 20.0])];
        let weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let found = density([40, 20], [4, 2], &views).apply(&weights);
        assert_eq!(found, [1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0]);
    }

    #[test]
    fn a_squashed_canvas_has_the_aspect_of_the_original() {
        let mut meta = meta([90, 90]);
        meta.preprocess[0].original_size = [180, 60];
        meta.preprocess[0].original_from_preprocessed =
            Affine::scale_offset([2.0, 60.0 / 90.0], [0.0; 2]);
        let frame = Frame::Canvas(0);
        assert_eq!(frame.size(&meta), [270.0, 90.0]);
        let span = ImageSpan {
            original_from_preprocessed: meta.preprocess[0].original_from_preprocessed,
            ..view(3, 3, [0.0, 0.0, 90.0, 90.0])
        };
        let cell = span.preprocessed_from_patch(1, 2);
        let on_frame = frame.rect(&meta, &span, cell);
        assert_eq!([on_frame.x, on_frame.width, on_frame.y], [180.0, 90.0, 30.0]);
        // The same corner by way of the original.
        let original = span.original_from_preprocessed([cell.x, cell.y]);
        let [x, y] = frame.from_original(&meta).unwrap().apply(original);
        assert!((x - on_frame.x).abs() < 1e-9 && (y - on_frame.y).abs() < 1e-9, "{x} {y}");
        // Sizes that a processor rounded are left alone.
        meta.preprocess[0].original_from_preprocessed = Affine::scale_offset([2.0, 2.01], [0.0; 2]);
        assert_eq!(frame.size(&meta), [90.0, 90.0]);
    }

    #[test]
    fn a_coarse_view_spreads_and_padding_is_left_out() {
        let views = [view(1, 1, [0.0, 0.0, 40.0, 20.0]), view(1, 1, [30.0, 0.0, 20.0, 20.0])];
        let found = density([40, 20], [4, 1], &views).apply(&[4.0, 1.0]);
        assert_eq!(found, [1.0, 1.0, 1.0, 1.5]);
    }

    proptest! {
        #[test]
        fn masses_stay(
            (rows, columns, grid) in (1_u32..9, 1_u32..9, [1_u32..13, 1_u32..13]),
            (x, y, width, height) in (0.0_f64..30.0, 0.0_f64..30.0, 1.0_f64..30.0, 1.0_f64..30.0),
        ) {
            let views = [view(rows, columns, [x, y, width, height]), view(3, 2, [0.0, 0.0, 60.0, 60.0])];
            let count = views.iter().map(ImageSpan::patches).sum::<usize>();
            let weights: Vec<f32> = (0..count).map(|at| 1.0 + (at % 7) as f32).collect();
            let found = density([60, 60], grid, &views).apply(&weights);
            let (sum, whole) = (found.iter().sum::<f32>(), weights.iter().sum::<f32>());
            prop_assert!((sum - whole).abs() < 1e-3 * whole, "{sum} of {whole}");
        }
    }
}
