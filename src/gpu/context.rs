//! Resources that all passes use: group 0, the ring of uniforms, and helpers for layouts and groups.
//!
//! Uniforms of a frame go into one ring and are bound by dynamic offset, so that a frame writes one
//! buffer however many dispatches it has.

use super::{Gpu, GpuError, colormap};
use crate::logging::bug;
use crate::view::ColorMap;
use bytemuck::{Pod, Zeroable};
use std::num::NonZeroU64;
use std::sync::Arc;
use wgpu::util::DeviceExt as _;

/// `Globals` of shared/globals.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Globals {
    /// Width and height of the target in pixels.
    pub target_px: [f32; 2],
    /// Unused.
    pub padding: [f32; 2],
}

/// Resources that all passes use.
#[derive(Debug)]
pub(super) struct Context {
    pub gpu: Arc<Gpu>,
    pub globals_layout: wgpu::BindGroupLayout,
    pub globals_group: wgpu::BindGroup,
    pub linear: wgpu::Sampler,
    globals: wgpu::Buffer,
    written: Option<Globals>,
}

impl Context {
    pub fn new(gpu: Arc<Gpu>) -> Result<Self, GpuError> {
        let parts = gpu.scoped("globals", |device| {
            let both = wgpu::ShaderStages::VERTEX_FRAGMENT;
            let layout = layout(
                device,
                "globals",
                &[
                    (both, uniform::<Globals>(false)),
                    (both, texture(false)),
                    (wgpu::ShaderStages::FRAGMENT, sampler(true)),
                    (wgpu::ShaderStages::FRAGMENT, sampler(false)),
                ],
            );
            let globals = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("globals"),
                size: size_of::<Globals>() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let lut = lut(&gpu);
            let [linear, nearest] =
                [wgpu::FilterMode::Linear, wgpu::FilterMode::Nearest].map(|filter| {
                    device.create_sampler(&wgpu::SamplerDescriptor {
                        label: Some("globals"),
                        mag_filter: filter,
                        min_filter: filter,
                        mipmap_filter: match filter {
                            wgpu::FilterMode::Linear => wgpu::MipmapFilterMode::Linear,
                            wgpu::FilterMode::Nearest => wgpu::MipmapFilterMode::Nearest,
                        },
                        ..Default::default()
                    })
                });
            let group = group(
                device,
                "globals",
                &layout,
                &[
                    globals.as_entire_binding(),
                    wgpu::BindingResource::TextureView(&lut),
                    wgpu::BindingResource::Sampler(&linear),
                    wgpu::BindingResource::Sampler(&nearest),
                ],
            );
            (layout, group, globals, linear)
        })?;
        let (globals_layout, globals_group, globals, linear) = parts;
        Ok(Self { gpu, globals_layout, globals_group, linear, globals, written: None })
    }

    /// Writes the globals if they changed.
    pub fn set_target(&mut self, [width, height]: [u32; 2]) {
        let now = Globals { target_px: [width as f32, height as f32], padding: [0.0; 2] };
        if self.written != Some(now) {
            self.gpu.queue.write_buffer(&self.globals, 0, bytemuck::bytes_of(&now));
            self.written = Some(now);
        }
    }
}

/// The row of a colour map in the look-up texture.
pub(super) fn lut_row(map: ColorMap) -> u32 {
    let row = ColorMap::ALL.iter().position(|&other| other == map);
    row.unwrap_or_else(|| {
        bug!("the colour map {map:?} is not in ColorMap::ALL");
        0
    }) as u32
}

/// All colour maps as linear f32: exact, and nothing to decode for each pixel.
fn lut(gpu: &Gpu) -> wgpu::TextureView {
    let texels: Vec<[f32; 4]> = ColorMap::ALL
        .iter()
        .flat_map(|&map| colormap::rgba(map).chunks_exact(4).map(linear_rgba).collect::<Vec<_>>())
        .collect();
    let texture = gpu.device.create_texture_with_data(
        &gpu.queue,
        &wgpu::TextureDescriptor {
            label: Some("globals.lut"),
            size: wgpu::Extent3d {
                width: colormap::ENTRIES as u32,
                height: ColorMap::ALL.len() as u32,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        },
        wgpu::util::TextureDataOrder::LayerMajor,
        bytemuck::cast_slice(&texels),
    );
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

fn linear_rgba(srgb: &[u8]) -> [f32; 4] {
    let channel = |at: usize| linear_from_srgb(f32::from(srgb[at]) / 255.0);
    [channel(0), channel(1), channel(2), 1.0]
}

/// The sRGB transfer function (IEC 61966-2-1), from stored to linear.
pub fn linear_from_srgb(stored: f32) -> f32 {
    if stored <= 0.04045 { stored / 12.92 } else { ((stored + 0.055) / 1.055).powf(2.4) }
}

/// A linear colour from 8-bit sRGB with an alpha of 0–1.
pub fn linear_color([r, g, b]: [u8; 3], alpha: f32) -> [f32; 4] {
    let channel = |value: u8| linear_from_srgb(f32::from(value) / 255.0);
    [channel(r), channel(g), channel(b), alpha]
}

pub(super) fn uniform<T>(dynamic: bool) -> wgpu::BindingType {
    wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Uniform,
        has_dynamic_offset: dynamic,
        min_binding_size: NonZeroU64::new(size_of::<T>() as u64),
    }
}

/// The parameters of a compute pass, in the ring of uniforms but bound as storage: lavapipe compiles a
/// shader whose branches depend on uniforms alone anew for every dispatch, and keeps all of it.
pub(super) fn parameters<T>() -> wgpu::BindingType {
    wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only: true },
        has_dynamic_offset: true,
        min_binding_size: NonZeroU64::new(size_of::<T>() as u64),
    }
}

pub(super) fn storage(read_only: bool, dynamic: bool) -> wgpu::BindingType {
    wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only },
        has_dynamic_offset: dynamic,
        min_binding_size: None,
    }
}

pub(super) fn texture(filterable: bool) -> wgpu::BindingType {
    wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable },
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    }
}

pub(super) fn sampler(filtering: bool) -> wgpu::BindingType {
    wgpu::BindingType::Sampler(if filtering {
        wgpu::SamplerBindingType::Filtering
    } else {
        wgpu::SamplerBindingType::NonFiltering
    })
}

/// A layout whose bindings are numbered in order.
pub(super) fn layout(
    device: &wgpu::Device,
    label: &str,
    bindings: &[(wgpu::ShaderStages, wgpu::BindingType)],
) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = bindings
        .iter()
        .zip(0..)
        .map(|(&(visibility, ty), binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility,
            ty,
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &entries,
    })
}

/// A group whose bindings are numbered in order.
pub(super) fn group(
    device: &wgpu::Device,
    label: &str,
    layout: &wgpu::BindGroupLayout,
    resources: &[wgpu::BindingResource<'_>],
) -> wgpu::BindGroup {
    let entries: Vec<_> = resources
        .iter()
        .zip(0..)
        .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource: resource.clone() })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(label),
        layout,
        entries: &entries,
    })
}

/// `size` bytes of a buffer from its start, moved by a dynamic offset.
pub(super) fn window(buffer: &wgpu::Buffer, size: u64) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer,
        offset: 0,
        size: NonZeroU64::new(size),
    })
}

/// Uniforms of one submission, bound by dynamic offset.
#[derive(Debug)]
pub(super) struct Ring {
    pub buffer: wgpu::Buffer,
    bytes: Vec<u8>,
    stride: usize,
}

/// Uniform structs a submission may hold; more are submitted in several.
const RING_SLOTS: usize = 256;
/// Largest uniform struct of any pass.
const RING_SLOT_BYTES: usize = 256;

impl Ring {
    pub fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let limits = gpu.limits();
        let align = limits
            .min_uniform_buffer_offset_alignment
            .max(limits.min_storage_buffer_offset_alignment);
        let stride = RING_SLOT_BYTES.next_multiple_of(align.max(1) as usize);
        let buffer = gpu.scoped("uniforms", |device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("uniforms"),
                size: (stride * RING_SLOTS) as u64,
                usage: wgpu::BufferUsages::UNIFORM
                    | wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        Ok(Self { buffer, bytes: Vec::new(), stride })
    }

    /// Whether at least `count` more structs fit before the next [`Self::flush`].
    pub fn has_room(&self, count: usize) -> bool {
        self.bytes.len() / self.stride + count <= RING_SLOTS
    }

    /// Adds a struct and returns the offset that binds it.
    pub fn push<T: Pod>(&mut self, value: &T) -> u32 {
        const { assert!(size_of::<T>() <= RING_SLOT_BYTES, "raise RING_SLOT_BYTES") };
        debug_assert!(self.has_room(1), "flush before pushing more");
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(bytemuck::bytes_of(value));
        self.bytes.resize(offset + self.stride, 0);
        offset as u32
    }

    /// Drops structs that were added but not submitted.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Writes the added structs; to be called right before the submission that reads them.
    pub fn flush(&mut self, queue: &wgpu::Queue) {
        if !self.bytes.is_empty() {
            queue.write_buffer(&self.buffer, 0, &self.bytes);
            self.bytes.clear();
        }
    }
}

/// A buffer that is written only when its content changes, and grows.
#[derive(Debug)]
pub(super) struct CachedBuffer {
    label: &'static str,
    usage: wgpu::BufferUsages,
    buffer: Option<wgpu::Buffer>,
    bytes: Vec<u8>,
}

impl CachedBuffer {
    pub const fn new(label: &'static str, usage: wgpu::BufferUsages) -> Self {
        Self { label, usage, buffer: None, bytes: Vec::new() }
    }

    /// Sets the content. Returns whether the buffer itself was replaced.
    pub fn set<T: Pod>(&mut self, gpu: &Gpu, values: &[T]) -> Result<bool, GpuError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let needed = (bytes.len() as u64).next_multiple_of(4).max(16);
        let fits = self.buffer.as_ref().is_some_and(|buffer| buffer.size() >= needed);
        if fits && self.bytes == bytes {
            return Ok(false);
        }
        if !fits {
            let size = needed.next_power_of_two().min(gpu.limits().max_buffer_size).max(needed);
            self.buffer = Some(gpu.scoped(self.label, |device| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(self.label),
                    size,
                    usage: self.usage | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            })?);
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        if let Some(buffer) = &self.buffer {
            gpu.queue.write_buffer(buffer, 0, &self.bytes);
        }
        Ok(!fits)
    }

    /// The buffer, once something was set.
    pub fn get(&self) -> Option<&wgpu::Buffer> {
        self.buffer.as_ref()
    }
}
