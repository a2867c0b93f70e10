//! Mixes two finished frames: in the transition between two views, or from a card to the first step.

use super::super::GpuError;
use super::super::context::{Context, group, layout, texture};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/cross_fade.wgsl`.
pub const SOURCE: Source = source!("cross_fade", GLOBALS);

/// A quad of cross_fade.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// 0 shows the first frame, 1 the second.
    pub mix: f32,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 2] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32];

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct CrossFade {
    layout: wgpu::BindGroupLayout,
    pub quads: Quads,
}

impl CrossFade {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let fragment = wgpu::ShaderStages::FRAGMENT;
        let layout = context.gpu.scoped("cross_fade", |device| {
            let both = [(fragment, texture(true)), (fragment, texture(true))];
            layout(device, "cross_fade", &both)
        })?;
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        let quads = Quads::plain(shape, &[&layout]);
        Ok(Self { layout, quads })
    }

    /// The group that holds both frames.
    pub fn group(
        &self,
        device: &wgpu::Device,
        (from, to): (&wgpu::TextureView, &wgpu::TextureView),
    ) -> wgpu::BindGroup {
        let both =
            [wgpu::BindingResource::TextureView(from), wgpu::BindingResource::TextureView(to)];
        group(device, "cross_fade", &self.layout, &both)
    }
}
