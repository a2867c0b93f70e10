//! A cell a number: the layer × head matrix and the strip of one layer.

use super::super::context::{Context, layout, uniform};
use super::super::{GpuError, shader};
use super::{Corners, Drawing};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;

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
    /// Shown where there is no number; linear.
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

/// The pipelines.
#[derive(Debug)]
pub(in crate::gpu) struct Matrix {
    /// Of a group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    pipelines: HashMap<wgpu::TextureFormat, wgpu::RenderPipeline>,
}

impl Matrix {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let style_layout = context.gpu.scoped("matrix", |device| {
            layout(device, "matrix", &[(wgpu::ShaderStages::VERTEX, uniform::<Style>(true))])
        })?;
        Ok(Self { style_layout, pipelines: HashMap::new() })
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
                source: &shader::MATRIX,
                layouts: &[&self.style_layout],
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
}
