//! Planes → atlas: normalised attention in a texture.
//!
//! R16Float can be filtered and rendered to on every WebGPU device but not stored to, so this is a
//! render pass. Nearest and bilinear maps keep one texel a patch; bicubic ones are enlarged here,
//! once, so that the output pixels need one linear sample.

use super::super::context::{Context, group, layout, storage, uniform, window};
use super::super::shader::{Source, source};
use super::super::shared_pipelines::PipelineKey;
use super::super::{Gpu, GpuError};
use bytemuck::{Pod, Zeroable};

/// `shaders/fill_atlas.wgsl`.
pub const SOURCE: Source = source!("fill_atlas", NORMALISED);

/// `FillAtlas` of fill_atlas.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Columns and rows of cells in the whole atlas.
    pub cells: [u32; 2],
    /// The first cell of this tile.
    pub first_cell: [u32; 2],
    /// Columns and rows of patches in a cell.
    pub grid: [u32; 2],
    /// Texels a patch and side.
    pub texels: u32,
    /// N.
    pub patches: u32,
    /// The first patch of this span.
    pub first_patch: u32,
    /// Number of planes.
    pub planes: u32,
    /// 1: one range for all planes.
    pub flags: u32,
    /// Unused.
    pub padding: u32,
}

/// The format of atlases.
pub(in crate::gpu) const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::R16Float;

/// Constants of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Several texels a patch.
    pub bicubic: bool,
    /// Values are normalised along a logarithmic scale.
    pub logarithmic: bool,
}

impl Mode {
    const fn entry(self) -> &'static str {
        if self.bicubic { "fs_bicubic" } else { "fs_patch" }
    }

    fn constants(self) -> [(&'static str, f64); 1] {
        [("logarithmic", f64::from(u8::from(self.logarithmic)))]
    }
}

/// The pipelines.
#[derive(Debug)]
pub(in crate::gpu) struct FillAtlas {
    layout: wgpu::BindGroupLayout,
}

impl FillAtlas {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::FRAGMENT;
        let layout = context.gpu.scoped("fill_atlas", |device| {
            layout(
                device,
                "fill_atlas",
                &[
                    (stage, uniform::<Params>(true)),
                    (stage, storage(true, false)),
                    (stage, storage(true, false)),
                ],
            )
        })?;
        Ok(Self { layout })
    }

    /// The pipeline of a mode; made on first use.
    pub fn pipeline(&mut self, gpu: &Gpu, mode: Mode) -> Result<wgpu::RenderPipeline, GpuError> {
        let key = PipelineKey::new(SOURCE.name, mode.entry(), Some(FORMAT), &mode.constants());
        gpu.pipelines.drawing(key, || build(gpu, &self.layout, mode))
    }

    pub fn encode(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::RenderPass<'_>,
        pipeline: &wgpu::RenderPipeline,
        uniforms: (&wgpu::Buffer, u32),
        planes: &wgpu::Buffer,
        ranges: &wgpu::Buffer,
    ) {
        let bound = group(
            &gpu.device,
            "fill_atlas",
            &self.layout,
            &[
                window(uniforms.0, size_of::<Params>() as u64),
                planes.as_entire_binding(),
                ranges.as_entire_binding(),
            ],
        );
        pass.set_pipeline(pipeline);
        pass.set_bind_group(1, &bound, &[uniforms.1]);
        pass.draw(0..3, 0..1);
    }
}

fn build(
    gpu: &Gpu,
    layout: &wgpu::BindGroupLayout,
    mode: Mode,
) -> Result<wgpu::RenderPipeline, GpuError> {
    let module = &SOURCE.module(gpu)?;
    let constants = mode.constants();
    let options = wgpu::PipelineCompilationOptions {
        constants: &constants,
        ..wgpu::PipelineCompilationOptions::default()
    };
    gpu.scoped("fill_atlas", |device| {
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("fill_atlas"),
            bind_group_layouts: &[None, Some(layout)],
            immediate_size: 0,
        });
        device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("fill_atlas"),
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module,
                entry_point: Some("vs"),
                compilation_options: options.clone(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module,
                entry_point: Some(mode.entry()),
                compilation_options: options,
                targets: &[Some(FORMAT.into())],
            }),
            multiview_mask: None,
            cache: None,
        })
    })
}
