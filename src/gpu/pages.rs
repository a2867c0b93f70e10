//! The page pool: rows of attention in device memory, byte for byte as in the file.
//!
//! All slots have one size, so that a page can replace any other; the size leaves room for a
//! growing answer, so that a live trace does not rebuild the pool with every token.

use super::{Gpu, GpuError};
use crate::trace::{Shape, Trace, TraceId};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// A row of attention in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub trace: TraceId,
    /// Index of the kept row.
    pub row: u32,
    /// The maps that the page has, as a hash, where others may not have arrived from another machine; 0: all.
    pub part: u64,
}

impl PageKey {
    /// A whole page.
    pub const fn whole(trace: TraceId, row: u32) -> Self {
        Self { trace, row, part: 0 }
    }

    /// A page of which only these maps are read.
    pub fn of_maps(trace: TraceId, row: u32, maps: &[usize]) -> Self {
        let mut hasher = DefaultHasher::new();
        maps.hash(&mut hasher);
        Self { trace, row, part: hasher.finish().max(1) }
    }
}

/// Chunk and offset of a page in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLocation {
    pub chunk: usize,
    pub offset: u32,
}

/// Size and counters of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes that the pool may hold.
    pub budget_bytes: u64,
    /// Bytes of the slots that exist.
    pub allocated_bytes: u64,
    /// Pages in those slots.
    pub resident_pages: usize,
    /// Pages uploaded since the pool was made.
    pub uploads: u64,
    /// Pages that were replaced by others.
    pub evictions: u64,
}

#[derive(Debug)]
struct Slot {
    key: Option<PageKey>,
    /// Time of the last use; the page that was used least recently is replaced first.
    used: u64,
    pinned: bool,
}

/// Pages in storage buffers of equal slots.
#[derive(Debug)]
pub(super) struct PagePool {
    gpu: Arc<Gpu>,
    budget: u64,
    slot_bytes: u64,
    slots_per_chunk: usize,
    most_slots: usize,
    chunks: Vec<wgpu::Buffer>,
    slots: Vec<Slot>,
    places: HashMap<PageKey, usize>,
    clock: u64,
    stats: PoolStats,
}

/// Positions are rounded up to this many, so that an answer can grow within its slots.
const POSITION_STEP: usize = 64;
/// A chunk is at most about this large, and has at most so many pages: a small trace takes no more than it needs.
const CHUNK_BYTES: u64 = 32 << 20;
const CHUNK_PAGES: u64 = 64;

/// The default size of a pool in bytes: a share that leaves memory for everything else.
pub(super) fn default_budget(gpu: &Gpu) -> u64 {
    match gpu.info().device_type {
        wgpu::DeviceType::DiscreteGpu => 1 << 30,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::VirtualGpu => 512 << 20,
        wgpu::DeviceType::Cpu | wgpu::DeviceType::Other => 256 << 20,
    }
}

impl PagePool {
    pub fn new(gpu: Arc<Gpu>, budget: u64) -> Self {
        Self {
            gpu,
            budget,
            slot_bytes: 0,
            slots_per_chunk: 0,
            most_slots: 0,
            chunks: Vec::new(),
            slots: Vec::new(),
            places: HashMap::new(),
            clock: 0,
            stats: PoolStats { budget_bytes: budget, ..PoolStats::default() },
        }
    }

    pub fn stats(&self) -> PoolStats {
        PoolStats {
            allocated_bytes: self.slots.len() as u64 * self.slot_bytes,
            resident_pages: self.places.len(),
            ..self.stats
        }
    }

    /// Bytes of a slot: what a binding covers.
    pub fn slot_bytes(&self) -> u64 {
        self.slot_bytes
    }

    pub fn chunk(&self, chunk: usize) -> &wgpu::Buffer {
        &self.chunks[chunk]
    }

    /// Pages that the pool can hold at once.
    pub fn capacity(&self) -> usize {
        self.most_slots
    }

    /// Makes slots large enough for the pages of a trace. Enlarging them drops the pages.
    pub fn fit(&mut self, shape: Shape) -> Result<(), GpuError> {
        let limits = self.gpu.limits();
        let align = u64::from(limits.min_storage_buffer_offset_alignment);
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let rounded = Shape { positions: shape.positions.next_multiple_of(POSITION_STEP), ..shape };
        let exact = (shape.page_bytes() as u64).max(4).next_multiple_of(align);
        let roomy = (rounded.page_bytes() as u64).next_multiple_of(align);
        let needed = if roomy <= limit { roomy } else { exact };
        if exact > limit {
            return Err(GpuError::TooLarge {
                what: format!(
                    "one row of attention ({} layers × {} heads × {} positions)",
                    shape.layers, shape.heads, shape.positions
                ),
                needed: exact,
                limit,
                adapter: self.gpu.info().name.clone(),
                advice: "Use an adapter with larger storage bindings, or a shorter prompt.",
            });
        }
        if exact <= self.slot_bytes {
            return Ok(());
        }
        self.slot_bytes = needed;
        let most = CHUNK_BYTES.min(CHUNK_PAGES.saturating_mul(needed));
        let chunk = most.min(self.budget).max(needed).min(limit);
        self.slots_per_chunk = (chunk / needed) as usize;
        // Two at least, so that a neighbour can be fetched while a page is shown.
        self.most_slots = ((self.budget / needed) as usize).max(2);
        self.chunks.clear();
        self.slots.clear();
        self.places.clear();
        Ok(())
    }

    /// The page, if it is resident; counts as a use and pins it.
    pub fn get(&mut self, key: PageKey) -> Option<PageLocation> {
        let slot = *self.places.get(&key)?;
        self.clock += 1;
        self.slots[slot].used = self.clock;
        self.slots[slot].pinned = true;
        Some(self.place(slot))
    }

    pub fn contains(&self, key: PageKey) -> bool {
        self.places.contains_key(&key)
    }

    /// Uploads a page (`maps`: with at least these maps) and pins it. `None` if every slot is pinned: submit, unpin and
    /// try again.
    pub fn upload(
        &mut self,
        key: PageKey,
        trace: &Trace,
        maps: Option<&[usize]>,
    ) -> Result<Option<PageLocation>, GpuError> {
        let row = key.row as usize;
        let bytes =
            maps.map_or_else(|| trace.page_bytes(row), |maps| trace.page_with_maps(row, maps));
        let Some(bytes) = bytes else {
            trace.check()?;
            let reason = format!("it has no attention for row {}", key.row);
            return Err(GpuError::Missing { reason });
        };
        let Some(slot) = self.free_slot()? else { return Ok(None) };
        if let Some(old) = self.slots[slot].key.replace(key) {
            self.places.remove(&old);
            self.stats.evictions += 1;
        }
        self.places.insert(key, slot);
        self.clock += 1;
        self.slots[slot].used = self.clock;
        self.slots[slot].pinned = true;
        self.stats.uploads += 1;
        let place = self.place(slot);
        let (buffer, offset) = (&self.chunks[place.chunk], u64::from(place.offset));
        let whole = bytes.len() & !3;
        self.gpu.queue.write_buffer(buffer, offset, &bytes[..whole]);
        if let &[low, high] = &bytes[whole..] {
            // An odd number of weights: the last word is half a pair.
            self.gpu.queue.write_buffer(buffer, offset + whole as u64, &[low, high, 0, 0]);
        }
        Ok(Some(place))
    }

    /// Unpins all pages: no submitted work reads them any more.
    pub fn unpin(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.pinned = false);
    }

    fn place(&self, slot: usize) -> PageLocation {
        let within = (slot % self.slots_per_chunk) as u64 * self.slot_bytes;
        PageLocation { chunk: slot / self.slots_per_chunk, offset: within as u32 }
    }

    fn free_slot(&mut self) -> Result<Option<usize>, GpuError> {
        let empty = self.slots.iter().position(|slot| slot.key.is_none());
        if empty.is_some() {
            return Ok(empty);
        }
        if self.slots.len() < self.most_slots {
            let first = self.slots.len();
            let count = self.slots_per_chunk.min(self.most_slots - first);
            let size = count as u64 * self.slot_bytes;
            let chunk = self.gpu.scoped("pages", |device| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("pages"),
                    size,
                    usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            })?;
            self.chunks.push(chunk);
            let slots = (0..count).map(|_| Slot { key: None, used: 0, pinned: false });
            self.slots.extend(slots);
            return Ok(Some(first));
        }
        let oldest = self.slots.iter().enumerate().filter(|(_, slot)| !slot.pinned);
        Ok(oldest.min_by_key(|(_, slot)| slot.used).map(|(at, _)| at))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    #[test]
    fn a_pinned_page_stays_until_it_was_submitted() {
        let gpu = Gpu::open(&GpuOptions { baseline: true, ..GpuOptions::default() }).unwrap();
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let [a, b, c] = [0, 1, 2].map(|row| PageKey::whole(trace.id(), row));
        let mut pool = PagePool::new(gpu, 1);
        pool.fit(trace.shape()).unwrap();
        assert_eq!(pool.capacity(), 2, "two at least, whatever the budget");
        let upload = |pool: &mut PagePool, key| pool.upload(key, &trace, None).unwrap();

        let (place_a, place_b) = (upload(&mut pool, a).unwrap(), upload(&mut pool, b).unwrap());
        assert_ne!(place_a, place_b);
        assert_eq!(upload(&mut pool, c), None, "what is read in this frame gives way to nothing");
        assert!(pool.contains(a) && pool.contains(b) && !pool.contains(c));

        pool.unpin();
        // The page used longest ago would be `a`; using it once more keeps it.
        assert_eq!(pool.get(a), Some(place_a));
        assert_eq!(upload(&mut pool, c), Some(place_b));
        assert!(pool.contains(a) && !pool.contains(b));
        assert_eq!(upload(&mut pool, b), None, "`get` pins as well");
        let stats = pool.stats();
        assert_eq!((stats.uploads, stats.evictions, stats.resident_pages), (3, 1, 2));
    }
}
