//! One pass, one file here and one `shaders/*.wgsl` of the same stem.
//!
//! In each file: the structs of the shader, the pipeline, the data of a frame, the commands.

pub mod composite;
pub mod cross_fade;
pub mod difference;
pub mod fill_atlas;
pub mod matrix;
pub(super) mod mip;
pub mod normalise;
pub mod picture;
pub mod rects;
pub mod reduce;
pub mod text;
pub mod token_matrix;
pub mod wall;

pub use super::pass_names::NAMES;

use super::context::Context;
use super::shader::Source;
use super::{Gpu, GpuError};

/// A corner rectangle: x0, y0, x1, y1.
pub type Corners = [f32; 4];

/// How a drawing pipeline differs from the common shape.
struct Drawing<'a> {
    source: &'a Source,
    layouts: &'a [&'a wgpu::BindGroupLayout],
    /// Byte size of an instance and its attributes.
    stride: usize,
    attributes: &'a [wgpu::VertexAttribute],
    constants: &'a [(&'a str, f64)],
    format: wgpu::TextureFormat,
    blend: Option<wgpu::BlendState>,
}

/// Quads, one an instance, with group 0 = the frame's globals and `layouts` after it.
fn drawing(context: &Context, drawing: &Drawing<'_>) -> Result<wgpu::RenderPipeline, GpuError> {
    let name = drawing.source.name;
    let module = drawing.source.module(&context.gpu)?;
    let layouts: Vec<_> = std::iter::once(&context.globals_layout)
        .chain(drawing.layouts.iter().copied())
        .map(Some)
        .collect();
    context.gpu.scoped(name, |device| {
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &layouts,
            immediate_size: 0,
        });
        let options =
            wgpu::PipelineCompilationOptions { constants: drawing.constants, ..Default::default() };
        device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vs"),
                compilation_options: options.clone(),
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: drawing.stride as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: drawing.attributes,
                })],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..Default::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fs"),
                compilation_options: options,
                targets: &[Some(wgpu::ColorTargetState {
                    format: drawing.format,
                    blend: drawing.blend,
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            multiview_mask: None,
            cache: None,
        })
    })
}

/// A compute pipeline with one group of its own (number 1).
fn compute(
    gpu: &Gpu,
    source: &Source,
    entry: &str,
    layout: &wgpu::BindGroupLayout,
    constants: &[(&str, f64)],
) -> Result<wgpu::ComputePipeline, GpuError> {
    let module = source.module(gpu)?;
    gpu.scoped(source.name, |device| {
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(source.name),
            bind_group_layouts: &[None, Some(layout)],
            immediate_size: 0,
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(source.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..Default::default()
            },
            cache: None,
        })
    })
}
