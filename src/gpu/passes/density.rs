//! Maps over patches → maps over the cells of a picture. Twin: [`crate::analysis::density`].

use super::super::context::{Context, group, layout, parameters, storage, window};
use super::super::pipeline::{PipelineCache, compute};
use super::super::shader::{Source, source};
use super::super::{Gpu, GpuError};
use bytemuck::{Pod, Zeroable};

/// `shaders/density.wgsl`.
pub const SOURCE: Source = source!("density");

/// `Density` of density.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Params {
    /// Cells of all grids.
    pub cells: u32,
    /// N.
    pub patches: u32,
    /// Number of planes.
    pub planes: u32,
    /// Unused.
    pub padding: u32,
}

/// `Part` of density.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Part {
    /// Index of the patch.
    pub patch_index: u32,
    /// Share of the patch in the cell, 0–1.
    pub share: f32,
}

const LANES: u32 = 64;

/// The buffers that the pass reads and writes.
#[derive(Debug)]
pub(in crate::gpu) struct Buffers<'a> {
    pub uniforms: &'a wgpu::Buffer,
    pub planes: &'a wgpu::Buffer,
    pub starts: &'a wgpu::Buffer,
    pub parts: &'a wgpu::Buffer,
    pub cells: &'a wgpu::Buffer,
}

/// The pipeline.
#[derive(Debug)]
pub(in crate::gpu) struct Density {
    layout: wgpu::BindGroupLayout,
    pipeline: PipelineCache<(), wgpu::ComputePipeline>,
}

impl Density {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::COMPUTE;
        let layout = context.gpu.scoped("density", |device| {
            layout(
                device,
                "density",
                &[
                    (stage, parameters::<Params>()),
                    (stage, storage(true, false)),
                    (stage, storage(true, false)),
                    (stage, storage(true, false)),
                    (stage, storage(false, false)),
                ],
            )
        })?;
        Ok(Self { layout, pipeline: PipelineCache::new() })
    }

    /// The pipeline; built on first use.
    pub fn pipeline(&mut self, gpu: &Gpu) -> Result<wgpu::ComputePipeline, GpuError> {
        let layout = &self.layout;
        self.pipeline.get((), || compute(gpu, SOURCE, "main", layout, &[]))
    }

    pub fn encode(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        pipeline: &wgpu::ComputePipeline,
        buffers: &Buffers<'_>,
        offset: u32,
        params: &Params,
    ) {
        let bound = group(
            &gpu.device,
            "density",
            &self.layout,
            &[
                window(buffers.uniforms, size_of::<Params>() as u64),
                buffers.planes.as_entire_binding(),
                buffers.starts.as_entire_binding(),
                buffers.parts.as_entire_binding(),
                buffers.cells.as_entire_binding(),
            ],
        );
        pass.set_pipeline(pipeline);
        pass.set_bind_group(1, &bound, &[offset]);
        pass.dispatch_workgroups(params.cells.div_ceil(LANES), params.planes, 1);
    }
}
