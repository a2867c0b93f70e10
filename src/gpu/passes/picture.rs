//! The bare picture: the baseline of `bench`, and the background of picture areas without patches.

use super::super::GpuError;
use super::super::context::{Context, layout, texture};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/picture.wgsl`.
pub const SOURCE: Source = source!("picture", GLOBALS);

/// A quad of picture.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// On the picture, 0–1.
    pub uv: Corners,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 2] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4];

/// The pass; its mode is whether the picture is drawn at less than its own size.
#[derive(Debug)]
pub(in crate::gpu) struct Picture {
    /// Layout of the group with the picture.
    pub layout: wgpu::BindGroupLayout,
    pub quads: Quads<bool>,
}

impl Picture {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let layout = context.gpu.scoped("picture", |device| {
            layout(device, "picture", &[(wgpu::ShaderStages::FRAGMENT, texture(true))])
        })?;
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        let quads = Quads::new(shape, &[&layout], |minified| {
            vec![("minified", f64::from(u8::from(minified)))]
        });
        Ok(Self { layout, quads })
    }
}
