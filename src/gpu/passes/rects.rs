//! Lines, outlines, panels and the legend's ramp.

use super::super::GpuError;
use super::super::context::Context;
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/rects.wgsl`.
pub const SOURCE: Source = source!("rects", GLOBALS);

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

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct Rects {
    pub quads: Quads,
}

impl Rects {
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
