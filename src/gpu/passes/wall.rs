//! Every layer and head at once, a quad a cell.

use super::super::context::{Context, layout, texture, uniform};
use super::super::{GpuError, shader};
use super::{Corners, Drawing};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;

/// `Style` of wall.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Style {
    /// Row of the colour map.
    pub lut_row: u32,
    /// Unused.
    pub unused: u32,
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
    /// Where the atlas may be sampled: half a texel inside the cell.
    pub bounds: Corners,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4, 2 => Float32x4];

/// The pipelines and layouts.
#[derive(Debug)]
pub(in crate::gpu) struct Wall {
    /// Of a group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    /// Of a group with an atlas tile.
    pub atlas_layout: wgpu::BindGroupLayout,
    pipelines: HashMap<(wgpu::TextureFormat, u32, bool), wgpu::RenderPipeline>,
}

/// Samples a pixel and side at most: 16 patches of a cell on one pixel.
pub(in crate::gpu) const MOST_TAPS: u32 = 8;

impl Wall {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::FRAGMENT;
        let (style_layout, atlas_layout) = context.gpu.scoped("wall", |device| {
            (
                layout(device, "wall", &[(stage, uniform::<Style>(true))]),
                layout(device, "wall", &[(stage, texture(true))]),
            )
        })?;
        Ok(Self { style_layout, atlas_layout, pipelines: HashMap::new() })
    }

    /// The pipeline for so many samples a pixel and side, of squares or of a smooth map; made on
    /// first use.
    pub fn pipeline(
        &mut self,
        context: &Context,
        format: wgpu::TextureFormat,
        taps: u32,
        nearest: bool,
    ) -> Result<wgpu::RenderPipeline, GpuError> {
        if let Some(found) = self.pipelines.get(&(format, taps, nearest)) {
            return Ok(found.clone());
        }
        let made = super::drawing(
            context,
            &Drawing {
                source: &shader::WALL,
                layouts: &[&self.style_layout, &self.atlas_layout],
                stride: size_of::<Instance>(),
                attributes: &ATTRIBUTES,
                constants: &[("taps", f64::from(taps)), ("nearest", f64::from(u8::from(nearest)))],
                format,
                blend: None,
            },
        )?;
        self.pipelines.insert((format, taps, nearest), made.clone());
        Ok(made)
    }
}
