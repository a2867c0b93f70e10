//! The draw calls of each view on the stage: quads with their pipelines and groups.

use super::atlas::Tile;
use super::context::{group, linear_color, lut_row, window};
use super::frame::{Frame, corners};
use super::geometry::{OnPicture, grid_on_picture};
use super::passes::{composite, crop, matrix, picture, token_matrix, wall};
use super::pictures::Loaded;
use super::pipeline::{Draw, Groups};
use super::places::{Place, places};
use super::plan::atlas_columns;
use super::{GpuError, Scene, colormap};
use crate::analysis::reduce::Keep;
use crate::logging::bug;
use crate::view::figure::{Crop, Figure, contour_color};
use crate::view::{Blend, Interpolation, Mix, Shown};

/// The share of the background in dimmed parts of a picture, in linear light.
const DIMMED: f32 = 0.72;

/// Contour lines, in design units.
const CONTOUR: f32 = 2.5;

/// The strength of the glow of each map, 0–1; a map that is not listed has 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Strengths {
    /// Of the first maps.
    pub first: Vec<f32>,
    /// Of the second maps.
    pub second: Vec<f32>,
}

impl Strengths {
    fn of(&self, plane: u32) -> [f32; 2] {
        [&self.first, &self.second].map(|all| all.get(plane as usize).copied().unwrap_or(1.0))
    }
}

impl Frame<'_> {
    /// The picture beneath a grid; without patches, the chosen picture.
    fn load(&mut self, scene: &Scene<'_>, grid: usize, second: bool) -> Result<Loaded, GpuError> {
        let trace = if second { scene.second_trace() } else { scene.trace };
        let shown = Shown::new(scene.state, trace);
        let frame = match shown.grids.get(grid) {
            Some(grid) => grid.frame,
            None => scene.state.picture.frame(trace),
        };
        self.pictures.get(self.context, trace, frame)
    }

    /// The picture alone, at its places in the view.
    pub fn bare_picture(
        &mut self,
        scene: &Scene<'_>,
        figure: &Figure,
    ) -> Result<Vec<Draw>, GpuError> {
        let mut places = places(scene, figure);
        places.sort_by_key(|place| place.grid);
        let instance = |place: &Place| picture::Instance {
            rect: corners(&place.rect),
            uv: OnPicture::WHOLE.corners(),
        };
        let instances: Vec<_> = places.iter().map(instance).collect();
        self.passes.picture.quads.set(self.work.gpu, &instances)?;
        let mut draws = Vec::new();
        let mut from = 0;
        for places in places.chunk_by(|a, b| a.grid == b.grid) {
            let loaded = self.load(scene, places[0].grid, false)?;
            let pass = &mut self.passes.picture;
            let bound = group(
                &self.work.gpu.device,
                "picture",
                &pass.layout,
                &[wgpu::BindingResource::TextureView(&loaded.view)],
            );
            let mode = (self.format, is_minified(places, &loaded));
            let range = from..from + places.len() as u32;
            from = range.end;
            draws.push(pass.quads.part(self.context, mode, vec![(bound, None)], range)?);
        }
        Ok(draws)
    }

    /// Picture and map: overlay, relevancy, difference, heads, pictures side by side.
    pub fn overlays(
        &mut self,
        scene: &Scene<'_>,
        figure: &Figure,
        strengths: &Strengths,
    ) -> Result<Vec<Draw>, GpuError> {
        let state = scene.state;
        let tiles = self.maps.first.tiles();
        let shown = scene.shown();
        let grid = |grid| grid_on_picture(scene.trace.meta(), grid);
        let grids: Vec<OnPicture> = shown.grids.iter().map(grid).collect();
        let drawn = state.opacity > 0.0 && !tiles.is_empty();
        let covered = drawn && !grids.is_empty() && grids.iter().all(OnPicture::covers_all);
        let mut draws = if covered { Vec::new() } else { self.bare_picture(scene, figure)? };
        if drawn {
            let places = places(scene, figure);
            let style = self.composite_style(scene, figure);
            let mut instances = Vec::new();
            let mut parts = Vec::new();
            for (at, tile) in tiles.iter().enumerate() {
                let Some(grid) = grids.get(tile.grid_index) else { continue };
                let of_tile = |place: &&Place| place.grid == tile.grid_index;
                let places: Vec<Place> = places.iter().filter(of_tile).copied().collect();
                let from = instances.len() as u32;
                instances.extend(quads(scene, &places, (tile, grid), strengths));
                if instances.len() as u32 > from {
                    let (mode, groups) = self.composite(scene, &places, (at, tile), style)?;
                    parts.push((from..instances.len() as u32, mode, groups));
                }
            }
            let quads = &mut self.passes.composite.quads;
            quads.set(self.work.gpu, &instances)?;
            for (range, mode, groups) in parts {
                draws.push(quads.part(self.context, (self.format, mode), groups, range)?);
            }
        }
        Ok(draws)
    }

    fn composite_style(&mut self, scene: &Scene<'_>, figure: &Figure) -> u32 {
        let map = scene.colormap();
        let line = |rank| contour_color(|at| colormap::color(map, at), rank);
        let first_level =
            |slot: &super::maps::MapSlot| slot.tiles().first().map_or(0, |tile| tile.first_level);
        let (first, second) = (first_level(&self.maps.first), first_level(&self.maps.second));
        self.work.reserve(1);
        self.work.ring.push(&composite::Style {
            opacity: scene.state.opacity as f32,
            mix_at: mix_at(scene, figure),
            lut_row: lut_row(map),
            diverging: u32::from(scene.state.is_diverging()),
            line_px: (CONTOUR * figure.scale).max(1.0),
            first_level: first,
            second_first_level: second,
            padding: 0.0,
            line_colors: std::array::from_fn(|rank| linear_color(line(rank), 1.0)),
        })
    }

    /// Mode and groups of one tile of the atlas.
    fn composite(
        &mut self,
        scene: &Scene<'_>,
        places: &[Place],
        (at, tile): (usize, &Tile),
        style: u32,
    ) -> Result<(composite::Mode, Groups), GpuError> {
        let base = self.load(scene, tile.grid_index, false)?;
        let second_tiles = self.maps.second.tiles();
        let (mixed, second_tile) = second_of(scene, &second_tiles, (at, tile));
        let over = match mixed {
            composite::SecondMap::None => base.clone(),
            _ => self.load(scene, tile.grid_index, true)?,
        };
        let mode = composite::Mode {
            blend: match scene.state.blend {
                Blend::Glow => 0,
                Blend::Flat => 1,
                Blend::Multiply => 2,
                Blend::Spotlight => 3,
                Blend::Contours => 4,
            },
            second: mixed,
            minified: is_minified(places, &base),
            nearest: scene.state.shown_interpolation() == Interpolation::Nearest,
        };
        Ok((mode, self.composite_groups(style, [&base, &over], tile, second_tile)))
    }

    fn composite_groups(
        &self,
        style: u32,
        [base, over]: [&Loaded; 2],
        tile: &Tile,
        second: Option<&Tile>,
    ) -> Groups {
        let device = &self.work.gpu.device;
        let view = wgpu::BindingResource::TextureView;
        let style_group = group(
            device,
            "composite",
            &self.passes.composite.style_layout,
            &[window(&self.work.ring.buffer, size_of::<composite::Style>() as u64)],
        );
        let pictures = group(
            device,
            "composite",
            &self.passes.composite.picture_layout,
            &[view(&base.view), view(&over.view)],
        );
        let maps = group(
            device,
            "composite",
            &self.passes.composite.map_layout,
            &[
                view(&tile.view),
                view(&second.unwrap_or(tile).view),
                tile.ranges.as_entire_binding(),
                second.unwrap_or(tile).ranges.as_entire_binding(),
            ],
        );
        vec![(style_group, Some(style)), (pictures, None), (maps, None)]
    }

    /// Parts of pictures with borders, in the order of the figure.
    pub fn crops(&mut self, scene: &Scene<'_>, figure: &Figure) -> Result<Vec<Draw>, GpuError> {
        let (palette, map) = (scene.state.theme.palette(), scene.colormap());
        let [dim_r, dim_g, dim_b, _] = linear_color(palette.background, 1.0);
        let instance = |one: &Crop| {
            let border = palette.color(one.border, |at| colormap::color(map, at));
            let [r, g, b, _] = linear_color(border, 1.0);
            crop::Instance {
                rect: corners(&one.rect),
                uv: one.uv,
                lit: one.lit,
                border: [r, g, b, one.border_px],
                dim: [dim_r, dim_g, dim_b, DIMMED],
            }
        };
        let instances: Vec<_> = figure.crops.iter().map(instance).collect();
        self.passes.crop.quads.set(self.work.gpu, &instances)?;
        let mut draws = Vec::new();
        let mut from = 0;
        for crops in figure.crops.chunk_by(|a, b| a.frame == b.frame) {
            let loaded = self.pictures.get(self.context, scene.trace, crops[0].frame)?;
            let pass = &mut self.passes.crop;
            let bound = group(
                &self.work.gpu.device,
                "crop",
                &pass.layout,
                &[wgpu::BindingResource::TextureView(&loaded.view)],
            );
            let range = from..from + crops.len() as u32;
            from = range.end;
            let groups = vec![(bound, None)];
            draws.push(pass.quads.part(self.context, (self.format, ()), groups, range)?);
        }
        Ok(draws)
    }

    /// Maps of every layer and head.
    pub fn wall(
        &mut self,
        scene: &Scene<'_>,
        figure: &Figure,
        strengths: &Strengths,
    ) -> Result<Vec<Draw>, GpuError> {
        let shape = scene.trace.shape();
        let (layers, heads) = (shape.layers as u32, shape.heads as u32);
        let tiles = self.maps.first.tiles();
        let mut instances = Vec::new();
        let mut parts = Vec::new();
        let mut densest = 1.0_f32;
        let second_tiles = self.maps.second.tiles();
        for (at, tile) in tiles.iter().enumerate() {
            let from = instances.len() as u32;
            for layer in 0..layers {
                for head in 0..heads {
                    let Some(cell) = figure.head_cell([layer, head]) else { continue };
                    let Some((uv, bounds)) = tile.cell([head, layer]) else { continue };
                    if !cell.overlaps(&figure.stage) {
                        continue;
                    }
                    let texels = (tile.grid[0] * tile.texels) as f32;
                    densest = densest.max(texels / cell.width.max(1.0));
                    let strength = strengths.of(layer * heads + head);
                    instances.push(wall::Instance { rect: corners(&cell), uv, bounds, strength });
                }
            }
            let (mixed, second) = second_of(scene, &second_tiles, (at, tile));
            let views = [tile.view.clone(), second.unwrap_or(tile).view.clone()];
            parts.push((from..instances.len() as u32, mixed, views));
        }
        if instances.is_empty() {
            return Ok(Vec::new());
        }
        // Bilinear filtering alone handles a slight minification.
        let taps = (densest * 0.75).ceil() as u32;
        let taps = taps.next_power_of_two().clamp(1, wall::MOST_TAPS);
        let nearest = scene.state.shown_interpolation() == Interpolation::Nearest;
        self.work.reserve(1);
        let style = self.work.ring.push(&wall::Style {
            lut_row: lut_row(scene.colormap()),
            mix_at: mix_at(scene, figure),
            padding: [0; 2],
        });
        let device = &self.work.gpu.device;
        let pass = &mut self.passes.wall;
        pass.quads.set(self.work.gpu, &instances)?;
        let style_group = group(
            device,
            "wall",
            &pass.style_layout,
            &[window(&self.work.ring.buffer, size_of::<wall::Style>() as u64)],
        );
        let mut draws = Vec::new();
        for (range, second, views) in parts {
            let mode = wall::Mode { taps, nearest, second };
            let resources = views.each_ref().map(wgpu::BindingResource::TextureView);
            let atlas = group(device, "wall", &pass.atlas_layout, &resources);
            let groups = vec![(style_group.clone(), Some(style)), (atlas, None)];
            draws.push(pass.quads.part(self.context, (self.format, mode), groups, range)?);
        }
        Ok(draws)
    }

    /// Cells of the layer × head matrix.
    pub fn matrix(&mut self, scene: &Scene<'_>, figure: &Figure) -> Result<Vec<Draw>, GpuError> {
        let heads = scene.trace.shape().heads.max(1) as u32;
        let scaling = scene.scaling();
        let range = self.maps.head_numbers.range(&scaling).map(|end| end as f32);
        let instances: Vec<matrix::Instance> = self
            .maps
            .head_numbers
            .values()
            .iter()
            .enumerate()
            .filter_map(|(at, &value)| {
                let cell = figure.head_cell([at as u32 / heads, at as u32 % heads])?;
                Some(matrix::Instance { rect: corners(&cell), value: scaling.apply(value, range) })
            })
            .collect();
        let pass = &mut self.passes.matrix;
        let palette = scene.state.theme.palette();
        self.work.reserve(1);
        let style = self.work.ring.push(&matrix::Style {
            lut_row: lut_row(scene.colormap()),
            unused: 0,
            padding: [0; 2],
            gap: linear_color(palette.hairline, 1.0),
        });
        let bound = group(
            &self.work.gpu.device,
            "matrix",
            &pass.style_layout,
            &[window(&self.work.ring.buffer, size_of::<matrix::Style>() as u64)],
        );
        let groups = vec![(bound, Some(style))];
        Ok(vec![pass.quads.draw(self.context, (self.format, ()), groups, &instances)?])
    }

    /// Query × key.
    pub fn token_matrix(
        &mut self,
        scene: &Scene<'_>,
        figure: &Figure,
    ) -> Result<Vec<Draw>, GpuError> {
        let Some((view, pooled, bytes)) = self.maps.tokens.texture(self.context, scene)? else {
            return Ok(Vec::new());
        };
        self.work.stats.map_bytes += bytes;
        let Some(gathered) = self.maps.tokens.gathered() else {
            bug!("the token matrix has a texture, but no numbers");
            return Ok(Vec::new());
        };
        let remove_bos = scene.state.removes_bos(scene.trace);
        let sees_later = !scene.trace.meta().model.image_attention.is_causal();
        let scale = scene.trace.meta().attention_scale;
        let palette = scene.state.theme.palette();
        let range = self.maps.tokens.range(scene).map(|end| end as f32 * scale);
        self.work.reserve(1);
        let style = self.work.ring.push(&token_matrix::Style {
            range,
            lut_row: lut_row(scene.colormap()),
            flags: u32::from(remove_bos)
                | u32::from(sees_later) << 1
                | u32::from(!gathered.folded.is_empty()) << 2,
            gap: linear_color(palette.hairline, 1.0),
            unseen: linear_color(palette.background, 1.0),
            first: [0.0, gathered.first_query as f32 / pooled as f32],
            pooled: pooled as f32,
            padding: 0.0,
        });
        let texels = |count: usize| count as f32 / pooled as f32;
        let instance = token_matrix::Instance {
            rect: corners(&figure.content),
            texels: [0.0, 0.0, texels(gathered.keys), texels(gathered.queries)],
        };
        let pass = &mut self.passes.token_matrix;
        let device = &self.work.gpu.device;
        let style_group = group(
            device,
            "token_matrix",
            &pass.style_layout,
            &[window(&self.work.ring.buffer, size_of::<token_matrix::Style>() as u64)],
        );
        let weights = group(
            device,
            "token_matrix",
            &pass.weights_layout,
            &[wgpu::BindingResource::TextureView(&view)],
        );
        let groups = vec![(style_group, Some(style)), (weights, None)];
        let mode = (self.format, scene.scaling().is_logarithmic());
        Ok(vec![pass.quads.draw(self.context, mode, groups, &[instance])?])
    }
}

/// Share of the second map in a cross-fade, or the x in pixels at which it begins in a swipe.
fn mix_at(scene: &Scene<'_>, figure: &Figure) -> f32 {
    let visible = figure.visible();
    match scene.mix() {
        Some(Mix::CrossFade { amount }) => amount as f32,
        Some(Mix::Swipe { position }) => visible.x + position as f32 * visible.width,
        Some(Mix::Difference) | None => 0.0,
    }
}

/// The tile of the second map that belongs to a tile of the first. While it is missing, or if the maps' grids differ,
/// the first is shown alone.
fn second_of<'a>(
    scene: &Scene<'_>,
    tiles: &'a [Tile],
    (at, tile): (usize, &Tile),
) -> (composite::SecondMap, Option<&'a Tile>) {
    let second = tiles.get(at).filter(|second| second.cells == tile.cells);
    match (scene.mix(), second) {
        (Some(Mix::CrossFade { .. }), Some(_)) => (composite::SecondMap::CrossFade, second),
        (Some(Mix::Swipe { .. }), Some(_)) => (composite::SecondMap::Swipe, second),
        _ => (composite::SecondMap::None, second),
    }
}

/// One tile of the atlas over one grid on its picture, at every place.
fn quads(
    scene: &Scene<'_>,
    places: &[Place],
    (tile, grid): (&Tile, &OnPicture),
    strengths: &Strengths,
) -> Vec<composite::Instance> {
    let clipped = grid.clipped();
    if clipped.is_empty() {
        return Vec::new();
    }
    let columns = match scene.state.view.spec().keep {
        Some(Keep::Heads) => atlas_columns(scene.trace.shape().heads as u32),
        Some(Keep::One | Keep::LayersHeads) | None => 1,
    };
    let inner = grid.share(&clipped);
    let quad = |Place { plane, rect, .. }: &Place| {
        let (cell, bounds) = tile.cell([plane % columns, plane / columns])?;
        let within = |low: f32, high: f32, share: f64| low + (high - low) * share as f32;
        Some(composite::Instance {
            rect: clipped.on(rect),
            picture_uv: clipped.corners(),
            map_uv: [
                within(cell[0], cell[2], inner.min.x),
                within(cell[1], cell[3], inner.min.y),
                within(cell[0], cell[2], inner.max.x),
                within(cell[1], cell[3], inner.max.y),
            ],
            map_bounds: bounds,
            plane: *plane,
            strength: strengths.of(*plane),
        })
    };
    places.iter().filter_map(quad).collect()
}

/// Whether the picture is drawn at less than its own size.
fn is_minified(places: &[Place], picture: &Loaded) -> bool {
    let narrowest = places.iter().map(|place| place.rect.width).fold(f32::INFINITY, f32::min);
    narrowest < picture.texture_width as f32 * 0.95
}
