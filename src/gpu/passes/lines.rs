//! Straight lines of any direction: outlines of marked objects, edges of graphs.

use super::super::GpuError;
use super::super::context::Context;
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/lines.wgsl`.
pub const SOURCE: Source = source!("lines", GLOBALS);

/// A line of lines.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// Both ends on the target, in pixels: x, y, x, y.
    pub ends: Corners,
    /// Linear, not premultiplied.
    pub color: [f32; 4],
    /// Half of the width in pixels; edges are smoothed over one pixel.
    pub half_width: f32,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4, 2 => Float32];

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct Lines {
    pub quads: Quads,
}

impl Lines {
    #[expect(clippy::unnecessary_wraps, reason = "the signature of every pass")]
    pub fn new(_context: &Context) -> Result<Self, GpuError> {
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
        };
        Ok(Self { quads: Quads::plain(shape, &[]) })
    }
}
