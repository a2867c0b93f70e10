//! Query × key of one head, from a texture that is gathered over all pages.

use super::super::GpuError;
use super::super::context::{Context, layout, texture, uniform};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use bytemuck::{Pod, Zeroable};

/// `shaders/token_matrix.wgsl`.
pub const SOURCE: Source = source!("token_matrix", GLOBALS, NORMALISED);

/// `Style` of token_matrix.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Style {
    /// Range of the colour map: the numbers that are normalised to 0 and 1.
    pub range: [f32; 2],
    /// Row of the colour map.
    pub lut_row: u32,
    /// 1: key 0 is left out; 2: queries see later keys; 4: a column may be the sum over several keys.
    pub flags: u32,
    /// Colour of rows that were not stored; linear.
    pub gap: [f32; 4],
    /// Colour of keys that a query cannot see; linear.
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

/// The pass; its mode is whether the scale is logarithmic.
#[derive(Debug)]
pub(in crate::gpu) struct TokenMatrix {
    /// Layout of the group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    /// Layout of the group with the gathered weights.
    pub weights_layout: wgpu::BindGroupLayout,
    pub quads: Quads<bool>,
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
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        let quads = Quads::new(shape, &[&style_layout, &weights_layout], |logarithmic| {
            vec![("logarithmic", f64::from(u8::from(logarithmic)))]
        });
        Ok(Self { style_layout, weights_layout, quads })
    }
}
