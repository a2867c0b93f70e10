//! The bare picture: the yardstick of every other pass, and what lies where no patch is.

use super::super::context::{Context, layout, texture};
use super::super::{GpuError, shader};
use super::{Corners, Drawing};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;

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

/// The pipelines.
#[derive(Debug)]
pub(in crate::gpu) struct Picture {
    /// Of a group that holds one picture.
    pub layout: wgpu::BindGroupLayout,
    pipelines: HashMap<(wgpu::TextureFormat, bool), wgpu::RenderPipeline>,
}

impl Picture {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let layout = context.gpu.scoped("picture", |device| {
            layout(device, "picture", &[(wgpu::ShaderStages::FRAGMENT, texture(true))])
        })?;
        Ok(Self { layout, pipelines: HashMap::new() })
    }

    /// The pipeline for a target's format; made on first use.
    pub fn pipeline(
        &mut self,
        context: &Context,
        format: wgpu::TextureFormat,
        minified: bool,
    ) -> Result<wgpu::RenderPipeline, GpuError> {
        if let Some(found) = self.pipelines.get(&(format, minified)) {
            return Ok(found.clone());
        }
        let made = super::drawing(
            context,
            &Drawing {
                source: &shader::PICTURE,
                layouts: &[&self.layout],
                stride: size_of::<Instance>(),
                attributes: &ATTRIBUTES,
                constants: &[("minified", f64::from(u8::from(minified)))],
                format,
                blend: None,
            },
        )?;
        self.pipelines.insert((format, minified), made.clone());
        Ok(made)
    }
}
