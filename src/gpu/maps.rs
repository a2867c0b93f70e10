//! From a choice of weights to a texture: pages → planes → ranges → atlas. Each step runs only if its inputs
//! changed.
//!
//! Pages are folded one by one, so a selection may span more pages than the pool holds or than a
//! frame may upload: the atlas keeps the old map until the new one is complete.

use super::atlas::{self, AtlasKey, Tile};
use super::context::CachedBuffer;
use super::pages::PageKey;
use super::passes::{Passes, density, difference, fill_atlas, normalise, reduce};
use super::work::Work;
use super::{Gpu, GpuError};
use crate::analysis::density::{Density, Part};
use crate::analysis::reduce::{Keep, Reduction};
use crate::logging::bug;
use crate::trace::{Trace, TraceId};
use crate::view::{Numbers, NumbersKey, Reads, Shown};
use std::sync::Arc;
use wgpu::util::DeviceExt as _;

/// One map (or many at once), on its way from pages to textures.
#[derive(Debug)]
pub(super) struct MapSlot {
    wanted: Option<NumbersKey>,
    /// Pages folded so far.
    folded: usize,
    /// The map that was subtracted from the planes.
    subtracted: Option<NumbersKey>,
    keys: CachedBuffer,
    axes: CachedBuffer,
    planes: Option<wgpu::Buffer>,
    ranges: Option<wgpu::Buffer>,
    patches: usize,
    /// The weights of patches in cells, if a density is drawn.
    spread: Option<Spread>,
    /// Numbers, subtracted numbers and parameters that the tiles were drawn for.
    shown: Option<(NumbersKey, Option<NumbersKey>, AtlasKey)>,
    tiles: Arc<Vec<Tile>>,
}

const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE;

impl MapSlot {
    pub fn new() -> Self {
        Self {
            wanted: None,
            folded: 0,
            subtracted: None,
            keys: CachedBuffer::new("reduce.keys", STORAGE),
            axes: CachedBuffer::new("reduce.axes", STORAGE),
            planes: None,
            ranges: None,
            patches: 0,
            spread: None,
            shown: None,
            tiles: Arc::new(Vec::new()),
        }
    }

    /// The textures.
    pub fn tiles(&self) -> Arc<Vec<Tile>> {
        Arc::clone(&self.tiles)
    }

    /// The planes over patches [planes, N] and the ranges, for tests and read-back.
    #[cfg(feature = "testing")]
    pub fn buffers(&self) -> Option<(&wgpu::Buffer, &wgpu::Buffer)> {
        self.planes.as_ref().zip(self.ranges.as_ref())
    }

    /// The planes over the cells of a density, for tests.
    #[cfg(feature = "testing")]
    pub fn cells(&self) -> Option<&wgpu::Buffer> {
        self.spread.as_ref().map(|spread| &spread.cells)
    }

    /// The numbers that are drawn, and how many of them a map has.
    fn drawn(&self) -> Option<(&wgpu::Buffer, usize)> {
        match &self.spread {
            Some(spread) => Some((&spread.cells, spread.count)),
            None => self.planes.as_ref().map(|planes| (planes, self.patches)),
        }
    }

    fn rows(&self) -> usize {
        match self.wanted.as_ref().map(|key| &key.reads) {
            Some(Reads::Pages(reduction)) => reduction.rows.len(),
            Some(Reads::Map { .. }) => 1,
            None => 0,
        }
    }

    fn is_folded(&self) -> bool {
        self.wanted.is_some() && self.folded == self.rows()
    }

    /// Folds pages of `numbers` into the planes within the frame's budget. Returns whether the planes are complete.
    pub fn fold(
        &mut self,
        work: &mut Work<'_>,
        passes: &mut Passes,
        numbers: &Numbers<'_>,
        subtracted: Option<&NumbersKey>,
    ) -> Result<bool, GpuError> {
        let (trace, key) = (numbers.trace(), numbers.key());
        let same = self.wanted.as_ref() == Some(key)
            && (self.subtracted.is_none() || self.subtracted.as_ref() == subtracted);
        if !same {
            self.start(work, numbers)?;
        }
        match &key.reads {
            Reads::Pages(reduction) if !self.is_folded() => {
                self.fold_pages(work, passes, trace, reduction)?;
            }
            Reads::Map { .. } if !self.is_folded() => {
                let values = numbers.of_patches();
                if let Some(planes) = &self.planes {
                    work.gpu.queue.write_buffer(planes, 0, bytemuck::cast_slice(&values));
                    work.stats.map_bytes += values.len() as u64 * 4;
                }
                self.folded = 1;
            }
            Reads::Pages(_) | Reads::Map { .. } => {}
        }
        work.stats.pending_pages += (self.rows() - self.folded) as u32;
        Ok(self.is_folded())
    }

    fn start(&mut self, work: &mut Work<'_>, numbers: &Numbers<'_>) -> Result<(), GpuError> {
        let (keys, key) = (numbers.keys(), numbers.key());
        if keys.is_empty() {
            return Err(GpuError::Missing { reason: "it has no picture".into() });
        }
        let planes = key.reads.planes();
        let bytes = (planes * keys.len() * 4) as u64;
        let limits = work.gpu.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes > limit {
            return Err(GpuError::TooLarge {
                what: format!("{planes} maps of {} patches", keys.len()),
                needed: bytes,
                limit,
                adapter: work.gpu.info().name.clone(),
                advice: advice(&key.reads),
            });
        }
        self.keys.set(work.gpu, &keys)?;
        if let Reads::Pages(reduction) = &key.reads {
            let axes: Vec<u32> = reduction.layers.iter().chain(&reduction.heads).copied().collect();
            self.axes.set(work.gpu, &axes)?;
        }
        let ranges_bytes = (normalise::range_pairs(planes) * 8) as u64;
        grow(work.gpu, &mut self.planes, "reduce.planes", bytes)?;
        grow(work.gpu, &mut self.ranges, "normalise.ranges", ranges_bytes)?;
        let wanted = key.spread.as_ref().map(|shown| (key.trace, shown, planes));
        let kept = self
            .spread
            .as_ref()
            .map(|Spread { of: (trace, shown, planes), .. }| (*trace, shown, *planes));
        if wanted != kept {
            self.spread = match numbers.density() {
                Some(density) => Some(Spread::new(work.gpu, &density, numbers)?),
                None => None,
            };
        }
        self.patches = keys.len();
        self.folded = 0;
        self.subtracted = None;
        self.wanted = Some(key.clone());
        Ok(())
    }

    fn fold_pages(
        &mut self,
        work: &mut Work<'_>,
        passes: &mut Passes,
        trace: &Trace,
        reduction: &Reduction,
    ) -> Result<(), GpuError> {
        let pipeline = passes.reduce.pipeline(work.gpu, reduction.remove_bos)?;
        let (Some(planes), Some(keys), Some(axes)) =
            (&self.planes, self.keys.get(), self.axes.get())
        else {
            return Ok(());
        };
        let shape = trace.shape();
        work.pool.fit(shape)?;
        let page_bytes = shape.page_bytes() as u64;
        let maps = trace.has_holes().then(|| reduction.maps(shape.heads));
        if let Some(maps) = &maps {
            work.stats.waiting_pages += waiting(trace, &reduction.rows[self.folded..], maps)?;
            if work.stats.waiting_pages > 0 {
                return Ok(());
            }
        }
        while let Some(&row) = reduction.rows.get(self.folded) {
            let page = match &maps {
                Some(maps) => PageKey::of_maps(trace.id(), row, maps),
                None => PageKey::whole(trace.id(), row),
            };
            work.reserve(1);
            let place = match work.pool.get(page) {
                Some(place) => place,
                None => {
                    if work.stats.page_uploads > 0 && work.upload_budget < page_bytes {
                        return Ok(());
                    }
                    let mut uploaded = work.pool.upload(page, trace, maps.as_deref())?;
                    if uploaded.is_none() {
                        work.submit();
                        uploaded = work.pool.upload(page, trace, maps.as_deref())?;
                    }
                    let Some(place) = uploaded else {
                        bug!(
                            "every slot of the page pool is pinned, although all work was submitted"
                        );
                        return Ok(());
                    };
                    work.upload_budget = work.upload_budget.saturating_sub(page_bytes);
                    work.stats.page_uploads += 1;
                    work.stats.page_bytes += page_bytes;
                    place
                }
            };
            let params = reduce::Params::new(
                reduction,
                shape,
                self.patches,
                trace.meta().attention_scale,
                self.folded,
            );
            let uniforms = work.ring.push(&params);
            let buffers = reduce::Buffers {
                uniforms: &work.ring.buffer,
                pages: work.pool.chunk(place.chunk),
                page_bytes: work.pool.slot_bytes(),
                keys,
                axes,
                planes,
            };
            let mut pass = work.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("reduce"),
                timestamp_writes: work.timer.compute("reduce"),
            });
            passes.reduce.encode(
                work.gpu,
                &mut pass,
                &pipeline,
                &buffers,
                [uniforms, place.offset],
                (self.patches as u32, reduction.kept()),
            );
            drop(pass);
            work.stats.ran("reduce");
            self.folded += 1;
        }
        Ok(())
    }

    /// Subtracts the planes of `second` from these, once. Both must be complete.
    pub fn subtract(
        &mut self,
        work: &mut Work<'_>,
        passes: &mut Passes,
        second: &Self,
    ) -> Result<(), GpuError> {
        if self.subtracted == second.wanted {
            return Ok(());
        }
        let (Some(planes), Some(other)) = (&self.planes, &second.planes) else {
            bug!("maps are subtracted before they are complete");
            return Ok(());
        };
        let numbers =
            |slot: &Self| slot.wanted.as_ref().map_or(0, |key| key.reads.planes()) * slot.patches;
        if numbers(self) != numbers(second) {
            return Err(GpuError::Missing {
                reason: format!(
                    "the maps have {} and {} numbers, so they cannot be subtracted; both must come from the same model and picture size",
                    numbers(self),
                    numbers(second)
                ),
            });
        }
        let pipeline = passes.difference.pipeline(work.gpu)?;
        work.reserve(1);
        let params = difference::Params::new(numbers(self));
        let offset = work.ring.push(&params);
        let mut pass = work.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("difference"),
            timestamp_writes: work.timer.compute("difference"),
        });
        passes.difference.encode(
            work.gpu,
            &mut pass,
            &pipeline,
            (&work.ring.buffer, offset),
            &params,
            [planes, other],
        );
        drop(pass);
        work.stats.ran("difference");
        self.subtracted = second.wanted.clone();
        Ok(())
    }

    /// Spreads complete planes over the cells of a density, where there is one.
    fn spread(
        &self,
        work: &mut Work<'_>,
        passes: &mut Passes,
        planes: u32,
    ) -> Result<(), GpuError> {
        let (Some(spread), Some(read)) = (&self.spread, &self.planes) else { return Ok(()) };
        let pipeline = passes.density.pipeline(work.gpu)?;
        work.reserve(1);
        let (cells, patches) = (spread.count as u32, self.patches as u32);
        let params = density::Params { cells, patches, planes, padding: 0 };
        let offset = work.ring.push(&params);
        let buffers = density::Buffers {
            uniforms: &work.ring.buffer,
            planes: read,
            starts: &spread.starts,
            parts: &spread.parts,
            cells: &spread.cells,
        };
        let mut pass = work.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("density"),
            timestamp_writes: work.timer.compute("density"),
        });
        passes.density.encode(work.gpu, &mut pass, &pipeline, &buffers, offset, &params);
        drop(pass);
        work.stats.ran("density");
        Ok(())
    }

    /// Updates the textures from complete planes.
    pub fn draw(
        &mut self,
        work: &mut Work<'_>,
        passes: &mut Passes,
        key: &AtlasKey,
    ) -> Result<(), GpuError> {
        let Some(wanted) = self.wanted.clone() else { return Ok(()) };
        let shown = (wanted, self.subtracted.clone(), key.clone());
        if self.shown.as_ref() == Some(&shown) || !self.is_folded() {
            return Ok(());
        }
        let count = shown.0.reads.planes();
        self.spread(work, passes, count as u32)?;
        let (Some((planes, places)), Some(ranges)) = (self.drawn(), &self.ranges) else {
            bug!("a map is complete, but it has no buffers");
            return Ok(());
        };
        let tiles = atlas::tiles(work.gpu, key, (ranges, count), &self.tiles)?;
        let params = normalise::Params::new(&key.scaling, places, count);
        let steps = passes.normalise.steps(work.gpu, &params, key.levels)?;
        work.reserve(1);
        let offset = work.ring.push(&params);
        let mut pass = work.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("normalise"),
            timestamp_writes: work.timer.compute("normalise"),
        });
        passes.normalise.encode(
            work.gpu,
            &mut pass,
            &steps,
            (&work.ring.buffer, offset),
            [planes, ranges],
        );
        drop(pass);
        work.stats.ran("normalise");
        for tile in &tiles {
            let params = fill_atlas::Params {
                cells: key.cells,
                first_cell: tile.first_cell,
                grid: tile.grid,
                texels: tile.texels,
                patches: places as u32,
                first_patch: tile.first_patch,
                planes: count as u32,
                flags: params.flags >> 2 & 1,
                padding: 0,
            };
            let mode = fill_atlas::Mode {
                bicubic: tile.texels > 1,
                logarithmic: key.scaling.is_logarithmic(),
            };
            let pipeline = passes.fill_atlas.pipeline(work.gpu, mode)?;
            work.reserve(1);
            let offset = work.ring.push(&params);
            let mut pass = work.encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("fill_atlas"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &tile.view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                timestamp_writes: work.timer.render("fill_atlas"),
                ..Default::default()
            });
            passes.fill_atlas.encode(
                work.gpu,
                &mut pass,
                &pipeline,
                (&work.ring.buffer, offset),
                planes,
                ranges,
            );
            drop(pass);
            work.stats.ran("fill_atlas");
        }
        self.tiles = Arc::new(tiles);
        self.shown = Some(shown);
        Ok(())
    }
}

/// The weights of patches in the cells of a density, on the device.
#[derive(Debug)]
struct Spread {
    /// The key: trace, grids, number of planes.
    of: (TraceId, Shown, usize),
    /// Cells in a map.
    count: usize,
    starts: wgpu::Buffer,
    parts: wgpu::Buffer,
    /// [planes, count].
    cells: wgpu::Buffer,
}

impl Spread {
    fn new(gpu: &Gpu, density: &Density, numbers: &Numbers<'_>) -> Result<Self, GpuError> {
        let (count, planes, key) = (density.cells(), numbers.planes(), numbers.key());
        let of = (key.trace, key.spread.clone().unwrap_or_default(), planes);
        let cells_bytes = (planes * count * 4) as u64;
        let limits = gpu.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let most =
            cells_bytes.max(density.parts().len() as u64 * size_of::<density::Part>() as u64);
        if most > limit {
            return Err(GpuError::TooLarge {
                what: format!("{planes} maps of {count} cells"),
                needed: most,
                limit,
                adapter: gpu.info().name.clone(),
                advice: advice(&key.reads),
            });
        }
        let part = |part: &Part| density::Part { patch_index: part.patch, share: part.share };
        let mut parts: Vec<density::Part> = density.parts().iter().map(part).collect();
        if parts.is_empty() {
            // No buffer may be empty.
            parts.push(density::Part { patch_index: 0, share: 0.0 });
        }
        let mut cells = None;
        grow(gpu, &mut cells, "density.cells", cells_bytes)?;
        let (starts, parts) = gpu.scoped("density", |device| {
            let buffer = |label, contents: &[u8]| {
                let descriptor = wgpu::util::BufferInitDescriptor {
                    label: Some(label),
                    contents,
                    usage: STORAGE,
                };
                device.create_buffer_init(&descriptor)
            };
            (
                buffer("density.starts", bytemuck::cast_slice(density.starts())),
                buffer("density.parts", bytemuck::cast_slice(&parts)),
            )
        })?;
        let Some(cells) = cells else {
            return Err(GpuError::Missing { reason: "it has no picture".into() });
        };
        Ok(Self { of, count, starts, parts, cells })
    }
}

/// A storage buffer of at least `bytes`.
fn grow(
    gpu: &Gpu,
    buffer: &mut Option<wgpu::Buffer>,
    label: &'static str,
    bytes: u64,
) -> Result<(), GpuError> {
    if buffer.as_ref().is_none_or(|buffer| buffer.size() < bytes) {
        *buffer = Some(gpu.scoped(label, |device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes.next_multiple_of(16),
                usage: STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        })?);
    }
    Ok(())
}

/// Advice that makes the maps of a view fewer or smaller.
fn advice(reads: &Reads) -> &'static str {
    match reads {
        Reads::Pages(reduction) if reduction.keep == Keep::LayersHeads => {
            "Choose one view of the picture (--span), or the heads view of one layer."
        }
        _ => "Choose one view of the picture (--span), or one head.",
    }
}

/// Number of rows whose maps have not arrived from another machine; they are fetched next.
fn waiting(trace: &Trace, rows: &[u32], maps: &[usize]) -> Result<u32, GpuError> {
    let missing = |row: &&u32| trace.page_with_maps(**row as usize, maps).is_none();
    let count = rows.iter().filter(missing).count() as u32;
    if count > 0 {
        trace.check()?;
    }
    Ok(count)
}
