//! Every layer and head at once, a quad a cell.

use super::super::GpuError;
use super::super::context::{Context, layout, texture, uniform};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use super::composite::SecondMap;
use bytemuck::{Pod, Zeroable};

/// `shaders/wall.wgsl`.
pub const SOURCE: Source = source!("wall", GLOBALS);

/// `Style` of wall.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Style {
    /// Row of the colour map.
    pub lut_row: u32,
    /// Cross-fade: share of the second map; swipe: x in pixels where it begins.
    pub mix_at: f32,
    /// Unused.
    pub padding: [u32; 2],
}

/// A quad of wall.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// On the atlas, 0–1.
    pub uv: Corners,
    /// Rectangle in which the atlas may be sampled: half a texel inside the cell.
    pub bounds: Corners,
    /// Strength of the first and of the second map, 0–1.
    pub strength: [f32; 2],
}

const ATTRIBUTES: [wgpu::VertexAttribute; 4] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4, 2 => Float32x4, 3 => Float32x2];

/// Constants of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Samples a pixel and side.
    pub taps: u32,
    /// Patches as squares.
    pub nearest: bool,
    /// Mix of the first and the second map.
    pub second: SecondMap,
}

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct Wall {
    /// Layout of the group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    /// Layout of the group with an atlas tile of each map.
    pub atlas_layout: wgpu::BindGroupLayout,
    pub quads: Quads<Mode>,
}

/// Samples a pixel and side at most: 16 patches of a cell on one pixel.
pub(in crate::gpu) const MOST_TAPS: u32 = 8;

impl Wall {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::FRAGMENT;
        let (style_layout, atlas_layout) = context.gpu.scoped("wall", |device| {
            (
                layout(device, "wall", &[(stage, uniform::<Style>(true))]),
                layout(device, "wall", &[(stage, texture(true)), (stage, texture(true))]),
            )
        })?;
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        let quads = Quads::new(shape, &[&style_layout, &atlas_layout], |mode: Mode| {
            vec![
                ("taps", f64::from(mode.taps)),
                ("nearest", f64::from(u8::from(mode.nearest))),
                ("second", f64::from(mode.second as u8)),
            ]
        });
        Ok(Self { style_layout, atlas_layout, quads })
    }
}
