//! One figure as SVG: matrices as cells without a device, all other content as embedded pixels.

use super::svg::{Cells, Raster, svg};
use super::{Provenance, StillError, png_bytes};
use crate::gpu::{GpuError, MatrixCells, Scene};
use crate::view::figure::{Figure, PixelRect, Readout, head_name, number};
use image::RgbaImage;

/// Largest number of cells that are drawn as vectors; more are embedded as pixels.
const MOST_CELLS: usize = 60_000;

/// A frame that was drawn.
#[derive(Clone, Debug)]
pub struct DrawnFrame {
    /// Its pixels.
    pub pixels: RgbaImage,
    /// Its layout.
    pub figure: Figure,
    /// The numbers of its legend and caption.
    pub readout: Readout,
}

/// The SVG document of a figure of `size`. `draw` is called only where pixels are needed.
///
/// # Errors
/// Any error of `draw` and `provenance`, or a state that does not fit the trace.
pub fn figure_svg<E: From<GpuError> + From<StillError>>(
    scene: &Scene<'_>,
    size: [u32; 2],
    draw: impl FnOnce() -> Result<DrawnFrame, E>,
    provenance: impl FnOnce(Readout) -> Result<Provenance, E>,
) -> Result<String, E> {
    let palette = scene.state.theme.palette();
    let map = scene.colormap();
    if let Some(matrix) = MatrixCells::new(scene, size, MOST_CELLS)? {
        let cells = cells(&matrix);
        let provenance = provenance(matrix.ends.into())?;
        return Ok(svg(&matrix.figure, palette, map, &[], Some(&cells), &provenance));
    }
    let DrawnFrame { pixels, figure, readout } = draw()?;
    let rasters = rasters(&figure, &pixels)?;
    Ok(svg(&figure, palette, map, &rasters, None, &provenance(readout)?))
}

fn cells(matrix: &MatrixCells) -> Cells {
    let largest = matrix.numbers.iter().flatten().fold(0.0_f32, |most, n| most.max(n.abs()));
    let title = |(index, value): (usize, &Option<f32>)| {
        let (row, column) = (index as u32 / matrix.columns, index as u32 % matrix.columns);
        let value = value.map_or("not kept".into(), |v| number(f64::from(v), f64::from(largest)));
        let row = matrix.row_numbers.get(row as usize).copied().unwrap_or(row);
        match matrix.axes {
            ["layer", "head"] => format!("{}: {value}", head_name(row, column)),
            [row_name, column_name] => format!("{row_name} {row}, {column_name} {column}: {value}"),
        }
    };
    Cells {
        rect: matrix.figure.content,
        rows: matrix.rows,
        columns: matrix.columns,
        titles: matrix.numbers.iter().enumerate().map(title).collect(),
        values: matrix.shades.clone(),
    }
}

/// The pixels of the data: every tile of the heads view, the picture and the nodes of the causal view, the picture of the patch view,
/// or the stage.
fn rasters(figure: &Figure, frame: &RgbaImage) -> Result<Vec<Raster>, StillError> {
    let nodes = figure.nodes.iter().map(|(_, rect)| *rect);
    let is_crop = |rect: &PixelRect| figure.crops.iter().any(|crop| crop.rect == *rect);
    let tiles = figure.tiles.iter().map(|(_, rect)| *rect).chain(nodes.filter(is_crop));
    let tiles: Vec<PixelRect> = tiles.map(|rect| rect.intersection(&figure.stage)).collect();
    let places: Vec<PixelRect> =
        match tiles.is_empty() && figure.nodes.is_empty() && figure.table.is_none() {
            true => vec![figure.visible()],
            false => tiles,
        };
    let mut rasters = Vec::new();
    for place in places {
        let edge = |value: f32, most: u32| (value.round().max(0.0) as u32).min(most);
        let (left, right) = (edge(place.x, frame.width()), edge(place.right(), frame.width()));
        let (top, bottom) = (edge(place.y, frame.height()), edge(place.bottom(), frame.height()));
        if right <= left || bottom <= top {
            continue;
        }
        let crop =
            image::imageops::crop_imm(frame, left, top, right - left, bottom - top).to_image();
        rasters.push(Raster {
            rect: PixelRect::from_edges(left as f32, top as f32, right as f32, bottom as f32),
            png: png_bytes(&crop, &Provenance::default())?,
            pixelated: false,
        });
    }
    Ok(rasters)
}
