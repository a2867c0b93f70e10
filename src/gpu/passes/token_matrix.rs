//! Query × key of one head, from a texture that is gathered over all pages.

use super::super::context::{Context, layout, texture, uniform};
use super::super::{GpuError, shader};
use super::{Corners, Drawing};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;

/// `Style` of token_matrix.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Style {
    /// The numbers that become 0 and 1.
    pub range: [f32; 2],
    /// Row of the colour map.
    pub lut_row: u32,
    /// 1: key 0 is left out.
    pub flags: u32,
    /// Shown where a row was not kept; linear.
    pub gap: [f32; 4],
    /// Shown where a query cannot see; linear.
    pub unseen: [f32; 4],
    /// First key and first query of the texture.
    pub first: [f32; 2],
    /// Positions a texel.
    pub pooled: f32,
    /// Unused.
    pub padding: f32,
}

/// A quad of token_matrix.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// Keys and queries, in texels.
    pub texels: Corners,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 2] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4];

/// The pipelines.
#[derive(Debug)]
pub(in crate::gpu) struct TokenMatrix {
    /// Of a group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    /// Of a group with the gathered weights.
    pub weights_layout: wgpu::BindGroupLayout,
    pipelines: HashMap<(wgpu::TextureFormat, bool), wgpu::RenderPipeline>,
}

impl TokenMatrix {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::FRAGMENT;
        let (style_layout, weights_layout) = context.gpu.scoped("token_matrix", |device| {
            (
                layout(device, "token_matrix", &[(stage, uniform::<Style>(true))]),
                layout(device, "token_matrix", &[(stage, texture(false))]),
            )
        })?;
        Ok(Self { style_layout, weights_layout, pipelines: HashMap::new() })
    }

    /// The pipeline for a target's format; made on first use.
    pub fn pipeline(
        &mut self,
        context: &Context,
        format: wgpu::TextureFormat,
        logarithmic: bool,
    ) -> Result<wgpu::RenderPipeline, GpuError> {
        if let Some(found) = self.pipelines.get(&(format, logarithmic)) {
            return Ok(found.clone());
        }
        let made = super::drawing(
            context,
            &Drawing {
                source: &shader::TOKEN_MATRIX,
                layouts: &[&self.style_layout, &self.weights_layout],
                stride: size_of::<Instance>(),
                attributes: &ATTRIBUTES,
                constants: &[("logarithmic", f64::from(u8::from(logarithmic)))],
                format,
                blend: None,
            },
        )?;
        self.pipelines.insert((format, logarithmic), made.clone());
        Ok(made)
    }
}
