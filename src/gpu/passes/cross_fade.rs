//! Two finished frames, mixed: from one view to another, from a card to the first step.

use super::super::context::{Context, group, layout, texture};
use super::super::{GpuError, shader};
use super::{Corners, Drawing};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;

/// A quad of cross_fade.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// 0 shows the frame that leaves, 1 the one that comes.
    pub mix: f32,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 2] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32];

/// The pipelines.
#[derive(Debug)]
pub(in crate::gpu) struct CrossFade {
    layout: wgpu::BindGroupLayout,
    pipelines: HashMap<wgpu::TextureFormat, wgpu::RenderPipeline>,
}

impl CrossFade {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let fragment = wgpu::ShaderStages::FRAGMENT;
        let layout = context.gpu.scoped("cross_fade", |device| {
            let both = [(fragment, texture(true)), (fragment, texture(true))];
            layout(device, "cross_fade", &both)
        })?;
        Ok(Self { layout, pipelines: HashMap::new() })
    }

    /// The pipeline for a target's format; made on first use.
    pub fn pipeline(
        &mut self,
        context: &Context,
        format: wgpu::TextureFormat,
    ) -> Result<wgpu::RenderPipeline, GpuError> {
        if let Some(found) = self.pipelines.get(&format) {
            return Ok(found.clone());
        }
        let made = super::drawing(
            context,
            &Drawing {
                source: &shader::CROSS_FADE,
                layouts: &[&self.layout],
                stride: size_of::<Instance>(),
                attributes: &ATTRIBUTES,
                constants: &[],
                format,
                blend: None,
            },
        )?;
        self.pipelines.insert(format, made.clone());
        Ok(made)
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
