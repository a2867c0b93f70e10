//! A matrix view as numbers, without a device: the content of a vector figure.

use super::numbers::{Matrix, Tokens};
use super::renderer::{FootRoom, lay_out};
use super::{GpuError, Scene};
use crate::view::Parts;
use crate::view::figure::{ColorLimits, Content, Figure};

/// The cells of a matrix, row by row, and the figure around them.
#[derive(Clone, Debug)]
pub struct MatrixCells {
    /// The layout: the matrix fills `figure.content`.
    pub figure: Figure,
    /// Limits of the colour map.
    pub ends: ColorLimits,
    /// The names of rows and columns.
    pub axes: [&'static str; 2],
    /// Layers or queries.
    pub rows: u32,
    /// Heads or keys.
    pub columns: u32,
    /// The number beside each row: the layer in the model's own numbers, or the position.
    pub row_numbers: Vec<u32>,
    /// The numbers; `None` is a gap.
    pub numbers: Vec<Option<f32>>,
    /// The numbers normalised to 0–1, for the colour map.
    pub shades: Vec<Option<f32>>,
}

impl MatrixCells {
    /// The matrix of a view for a target of `size`; `None` for other views, for more than `most`
    /// cells, and for a token matrix without BOS, whose rows the device's pass renormalises.
    ///
    /// # Errors
    /// If the state does not fit the trace.
    pub fn new(scene: &Scene<'_>, size: [u32; 2], most: usize) -> Result<Option<Self>, GpuError> {
        scene.check()?;
        let (shape, spec) = (scene.trace.shape(), scene.state.view.spec());
        let Some(axes) = spec.parts.axes().filter(|_| !spec.has_maps()) else { return Ok(None) };
        let mut content = Content::new(scene.state, scene.trace);
        let (rows, columns, row_numbers, numbers, range): (_, _, _, Vec<Option<f32>>, _);
        match spec.parts {
            Parts::LayersHeads => {
                let mut matrix = Matrix::default();
                matrix.update(scene)?;
                if let Content::Matrix { values, .. } = &mut content {
                    *values = Some(matrix.values().to_vec());
                }
                (rows, columns) = (shape.layers, shape.heads);
                row_numbers = scene.trace.meta().model.layer_numbers();
                numbers = matrix.values().iter().copied().map(Some).collect();
                range = matrix.range(&scene.scaling());
            }
            Parts::QueriesKeys => {
                if scene.state.removes_bos(scene.trace) {
                    return Ok(None);
                }
                let kept = scene.trace.rows();
                let span =
                    kept.first().zip(kept.last()).map_or(0, |(first, last)| last - first + 1);
                if span as usize * shape.positions > most {
                    return Ok(None);
                }
                let mut tokens = Tokens::default();
                tokens.gather(scene)?;
                let Some(matrix) = tokens.gathered() else { return Ok(None) };
                (rows, columns) = (matrix.queries, matrix.keys);
                let first = matrix.first_query as u32;
                row_numbers = (first..).take(rows).collect();
                let weight = |&weight: &f32| (weight >= 0.0).then_some(weight);
                numbers = matrix.weights.iter().map(weight).collect();
                range = tokens.range(scene);
            }
            Parts::Patches | Parts::Heads | Parts::Places => return Ok(None),
        }
        if rows * columns > most {
            return Ok(None);
        }
        let (scaling, ends) = (scene.scaling(), ColorLimits::One(range));
        let shade =
            |number: &Option<f32>| number.map(|n| scaling.apply(n, range.map(|e| e as f32)));
        Ok(Some(Self {
            figure: lay_out(scene, size, &content, ends.into(), FootRoom::Own),
            ends,
            axes,
            rows: rows as u32,
            columns: columns as u32,
            row_numbers,
            shades: numbers.iter().map(shade).collect(),
            numbers,
        }))
    }
}
