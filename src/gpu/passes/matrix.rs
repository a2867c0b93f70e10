//! The layer × head matrix and the strip of one layer: one cell a number.

use super::super::GpuError;
use super::super::context::{Context, layout, uniform};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/matrix.wgsl`.
pub const SOURCE: Source = source!("matrix", GLOBALS);

/// `Style` of matrix.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Style {
    /// Row of the colour map.
    pub lut_row: u32,
    /// Unused.
    pub unused: u32,
    /// Unused.
    pub padding: [u32; 2],
    /// Colour of gaps; linear.
    pub gap: [f32; 4],
}

/// A cell of matrix.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// 0–1, or below 0 for a gap.
    pub value: f32,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 2] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32];

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct Matrix {
    /// Layout of the group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    pub quads: Quads,
}

impl Matrix {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let style_layout = context.gpu.scoped("matrix", |device| {
            layout(device, "matrix", &[(wgpu::ShaderStages::VERTEX, uniform::<Style>(true))])
        })?;
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        let quads = Quads::plain(shape, &[&style_layout]);
        Ok(Self { style_layout, quads })
    }
}
