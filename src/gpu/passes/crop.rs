//! Parts of pictures, dimmed but for a rectangle, with a border: nodes of the causal view and its picture.

use super::super::GpuError;
use super::super::context::{Context, layout, texture};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/crop.wgsl`.
pub const SOURCE: Source = source!("crop", GLOBALS);

/// A quad of crop.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// On the picture, 0–1.
    pub uv: Corners,
    /// The part of the picture that is not dimmed, 0–1.
    pub lit: Corners,
    /// Colour of the border, linear; the width of the border in pixels.
    pub border: [f32; 4],
    /// The colour that dimmed parts are mixed with, linear; the share of it.
    pub dim: [f32; 4],
}

const ATTRIBUTES: [wgpu::VertexAttribute; 5] = wgpu::vertex_attr_array![
    0 => Float32x4, 1 => Float32x4, 2 => Float32x4, 3 => Float32x4, 4 => Float32x4
];

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct Crop {
    /// Layout of the group with the picture.
    pub layout: wgpu::BindGroupLayout,
    pub quads: Quads,
}

impl Crop {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let layout = context.gpu.scoped("crop", |device| {
            layout(device, "crop", &[(wgpu::ShaderStages::FRAGMENT, texture(true))])
        })?;
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        Ok(Self { quads: Quads::plain(shape, &[&layout]), layout })
    }
}
