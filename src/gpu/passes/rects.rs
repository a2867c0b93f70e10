//! Lines, outlines, panels and the legend's ramp.

use super::super::context::Context;
use super::super::{GpuError, shader};
use super::{Corners, Drawing};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;

/// A rectangle of rects.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels; edges are smoothed over one pixel.
    pub rect: Corners,
    /// Linear, not premultiplied.
    pub color: [f32; 4],
    /// Row of a colour map (−1: the plain colour), and 1 for a ramp from bottom to top.
    pub ramp: [i32; 2],
}

impl Instance {
    /// A plain rectangle.
    pub const fn plain(rect: Corners, color: [f32; 4]) -> Self {
        Self { rect, color, ramp: [-1, 0] }
    }
}

const ATTRIBUTES: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4, 2 => Sint32x2];

/// The pipelines.
#[derive(Debug, Default)]
pub(in crate::gpu) struct Rects {
    pipelines: HashMap<wgpu::TextureFormat, wgpu::RenderPipeline>,
}

impl Rects {
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
                source: &shader::RECTS,
                layouts: &[],
                stride: size_of::<Instance>(),
                attributes: &ATTRIBUTES,
                constants: &[],
                format,
                blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
            },
        )?;
        self.pipelines.insert(format, made.clone());
        Ok(made)
    }
}
