//! Textures of maps: one cell for each plane, cut into tiles where a texture would be too large.

use super::passes::fill_atlas;
use super::{Gpu, GpuError};
use crate::analysis::normalise::Scaling;
#[cfg(feature = "testing")]
use half::f16;

/// Parameters of the textures of an atlas.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AtlasKey {
    pub scaling: Scaling,
    /// Columns and rows of cells.
    pub cells: [u32; 2],
    /// Columns and rows of each grid of numbers, every one an atlas of its own.
    pub grids: Vec<[u32; 2]>,
    pub bicubic: bool,
    /// Contour levels are wanted.
    pub levels: bool,
}

/// Width × height, and the number of every texel, row by row.
#[cfg(feature = "testing")]
pub type Texels = ([u32; 2], Vec<f32>);

/// A texture of an atlas.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    /// Index of the grid in [`crate::view::Shown`].
    pub grid_index: usize,
    pub first_cell: [u32; 2],
    pub cells: [u32; 2],
    /// Columns and rows of patches in a cell.
    pub grid: [u32; 2],
    /// Texels a patch and side.
    pub texels: u32,
    pub view: wgpu::TextureView,
    /// Ranges, then contour levels.
    pub ranges: wgpu::Buffer,
    /// Index in `ranges` of the first contour level.
    pub first_level: u32,
    texture: wgpu::Texture,
    /// Index of the first number of the grid in a map.
    pub first_patch: u32,
}

impl Tile {
    /// Rectangle of a cell of the whole atlas on this tile (0–1), and the same less half a texel at each side.
    pub fn cell(&self, [x, y]: [u32; 2]) -> Option<([f32; 4], [f32; 4])> {
        let [x, y] = [x.checked_sub(self.first_cell[0])?, y.checked_sub(self.first_cell[1])?];
        if x >= self.cells[0] || y >= self.cells[1] {
            return None;
        }
        let [width, height] = self.grid.map(|side| side * self.texels);
        let size = [self.texture.width() as f32, self.texture.height() as f32];
        let (x0, y0) = ((x * width) as f32, (y * height) as f32);
        let (x1, y1) = (x0 + width as f32, y0 + height as f32);
        let scaled = |inset: f32| {
            [
                (x0 + inset) / size[0],
                (y0 + inset) / size[1],
                (x1 - inset) / size[0],
                (y1 - inset) / size[1],
            ]
        };
        Some((scaled(0.0), scaled(0.5)))
    }

    /// Width and height, and every texel.
    #[cfg(feature = "testing")]
    pub fn read(&self, gpu: &Gpu) -> Result<Texels, GpuError> {
        let size = [self.texture.width(), self.texture.height()];
        let row = size[0] as usize * size_of::<f16>();
        let stride = (row as u32).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let bytes = super::readback::read_texture(gpu, &self.texture, stride)?;
        let texels = bytes.chunks_exact(stride as usize).flat_map(|line| {
            bytemuck::pod_collect_to_vec::<u8, f16>(&line[..row]).into_iter().map(f16::to_f32)
        });
        Ok((size, texels.collect()))
    }
}

/// The tiles of an atlas of so many planes; textures of `old` tiles that have the right size are reused.
pub(super) fn tiles(
    gpu: &Gpu,
    key: &AtlasKey,
    (ranges, planes): (&wgpu::Buffer, usize),
    old: &[Tile],
) -> Result<Vec<Tile>, GpuError> {
    let limit = gpu.limits().max_texture_dimension_2d;
    let mut tiles = Vec::new();
    let mut next_patch = 0;
    for (grid_index, &grid) in key.grids.iter().enumerate() {
        let first_patch = next_patch;
        next_patch += grid[0] * grid[1];
        let texels = if key.bicubic { bicubic_texels(grid, key.cells, limit) } else { 1 };
        let most = grid.map(|side| (limit / (side * texels).max(1)).max(1));
        for y in (0..key.cells[1]).step_by(most[1] as usize) {
            for x in (0..key.cells[0]).step_by(most[0] as usize) {
                let cells = [most[0].min(key.cells[0] - x), most[1].min(key.cells[1] - y)];
                let size = [cells[0] * grid[0] * texels, cells[1] * grid[1] * texels];
                let reused = old
                    .get(tiles.len())
                    .filter(|old| [old.texture.width(), old.texture.height()] == size)
                    .map(|old| old.texture.clone());
                let texture = match reused {
                    Some(texture) => texture,
                    None => texture(gpu, size)?,
                };
                tiles.push(Tile {
                    grid_index,
                    first_cell: [x, y],
                    cells,
                    grid,
                    texels,
                    view: texture.create_view(&wgpu::TextureViewDescriptor::default()),
                    ranges: ranges.clone(),
                    first_level: planes as u32 + 1,
                    texture,
                    first_patch,
                });
            }
        }
    }
    Ok(tiles)
}

/// Texels a patch and side: enough that linear steps between them are not visible, and no more, because each takes
/// sixteen reads. Many maps share the budget; 1 leaves the enlarging to the sampler.
fn bicubic_texels(grid: [u32; 2], cells: [u32; 2], limit: u32) -> u32 {
    /// Texels a patch and side for few maps.
    const MOST: u32 = 8;
    /// Texels of a whole atlas.
    const BUDGET: u64 = 1 << 19;
    let side = |axis: usize| u64::from(grid[axis]) * u64::from(cells[axis]);
    let by_area = (BUDGET / (side(0) * side(1)).max(1)).isqrt();
    let by_side = u64::from(limit) / side(0).max(side(1)).max(1);
    (by_area.min(by_side) as u32).clamp(1, MOST)
}

fn texture(gpu: &Gpu, [width, height]: [u32; 2]) -> Result<wgpu::Texture, GpuError> {
    gpu.scoped("fill_atlas", |device| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: Some("fill_atlas"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: fill_atlas::FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        })
    })
}
