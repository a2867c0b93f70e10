//! Picture and map in one draw: overlay, heads and differences.
//!
//! One pipeline for each mode: pipeline constants replace branches in every pixel.

use super::super::GpuError;
use super::super::context::{Context, layout, storage, texture, uniform};
use super::super::pipeline::{Corners, QuadShape, Quads};
use super::super::shader::{Source, source};
use crate::view::figure::CONTOURS;
use bytemuck::{Pod, Zeroable};

/// `shaders/composite.wgsl`.
pub const SOURCE: Source = source!("composite", GLOBALS);

/// `Style` of composite.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Style {
    /// 0–1.
    pub opacity: f32,
    /// Cross-fade: share of the second map; swipe: x in pixels where it begins.
    pub mix_at: f32,
    /// Row of the colour map.
    pub lut_row: u32,
    /// 1 where 0.5 is the neutral value.
    pub diverging: u32,
    /// Width of contour lines in pixels.
    pub line_px: f32,
    /// Index of the first contour level among the first map's ranges.
    pub first_level: u32,
    /// Index of the first contour level among the second map's ranges.
    pub second_first_level: u32,
    /// Unused.
    pub padding: f32,
    /// Colours of the contour lines, linear.
    pub line_colors: [[f32; 4]; CONTOURS],
}

/// A quad of composite.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Instance {
    /// On the target, in pixels.
    pub rect: Corners,
    /// On the picture, 0–1.
    pub picture_uv: Corners,
    /// On the atlas, 0–1.
    pub map_uv: Corners,
    /// Rectangle in which the map may be sampled: half a texel inside its cell.
    pub map_bounds: Corners,
    /// Index of the plane.
    pub plane: u32,
    /// Strength of the glow of the first and of the second map, 0–1.
    pub strength: [f32; 2],
}

const ATTRIBUTES: [wgpu::VertexAttribute; 6] = wgpu::vertex_attr_array![
    0 => Float32x4, 1 => Float32x4, 2 => Float32x4, 3 => Float32x4, 4 => Uint32, 5 => Float32x2
];

/// Mix of the first and the second map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecondMap {
    /// Only the first map.
    None = 0,
    /// A weighted sum of both.
    CrossFade = 1,
    /// The first map on the left, the second on the right.
    Swipe = 2,
}

/// Constants of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Index of the blend mode: glow, flat, multiply, spotlight, contours.
    pub blend: u8,
    /// The second map.
    pub second: SecondMap,
    /// The picture is made smaller.
    pub minified: bool,
    /// Patches as squares.
    pub nearest: bool,
}

/// The pass.
#[derive(Debug)]
pub(in crate::gpu) struct Composite {
    /// Layout of the group with the style.
    pub style_layout: wgpu::BindGroupLayout,
    /// Layout of the group with both pictures.
    pub picture_layout: wgpu::BindGroupLayout,
    /// Layout of the group with both maps and their contour levels.
    pub map_layout: wgpu::BindGroupLayout,
    pub quads: Quads<Mode>,
}

impl Composite {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::FRAGMENT;
        let (style_layout, picture_layout, map_layout) =
            context.gpu.scoped("composite", |device| {
                let both = [(stage, texture(true)), (stage, texture(true))];
                let levels = (stage, storage(true, false));
                let maps = [both[0], both[1], levels, levels];
                (
                    layout(device, "composite", &[(stage, uniform::<Style>(true))]),
                    layout(device, "composite", &both),
                    layout(device, "composite", &maps),
                )
            })?;
        let shape = QuadShape {
            source: SOURCE,
            stride: size_of::<Instance>(),
            attributes: &ATTRIBUTES,
            blend: None,
        };
        let layouts = [&style_layout, &picture_layout, &map_layout];
        let quads = Quads::new(shape, &layouts, |mode: Mode| {
            let flag = |on: bool| f64::from(u8::from(on));
            vec![
                ("blend", f64::from(mode.blend)),
                ("second", f64::from(mode.second as u8)),
                ("minified", flag(mode.minified)),
                ("nearest", flag(mode.nearest)),
            ]
        });
        Ok(Self { style_layout, picture_layout, map_layout, quads })
    }
}
