//! First planes minus second planes. Twin: [`crate::analysis::reduce::difference`].

use super::super::context::{Context, group, layout, parameters, storage, window};
use super::super::pipeline::{PipelineCache, compute};
use super::super::shader::{Source, source};
use super::super::{Gpu, GpuError};
use bytemuck::{Pod, Zeroable};

/// `shaders/difference.wgsl`.
pub const SOURCE: Source = source!("difference");

/// `Difference` of difference.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Params {
    /// Numbers in the planes.
    pub count: u32,
    /// Workgroups in x.
    pub row: u32,
    /// Unused.
    pub padding: [u32; 2],
}

const LANES: u32 = 64;
/// WebGPU's default for workgroups in one dimension.
const MOST_GROUPS: u32 = 65_535;

impl Params {
    /// For so many numbers.
    pub fn new(count: usize) -> Self {
        let groups = (count as u32).div_ceil(LANES);
        Self { count: count as u32, row: groups.min(MOST_GROUPS), padding: [0; 2] }
    }
}

/// The pipeline.
#[derive(Debug)]
pub(in crate::gpu) struct Difference {
    layout: wgpu::BindGroupLayout,
    pipeline: PipelineCache<(), wgpu::ComputePipeline>,
}

impl Difference {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let stage = wgpu::ShaderStages::COMPUTE;
        let layout = context.gpu.scoped("difference", |device| {
            layout(
                device,
                "difference",
                &[
                    (stage, parameters::<Params>()),
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

    /// Subtracts the second buffer from the first, in place.
    pub fn encode(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        pipeline: &wgpu::ComputePipeline,
        uniforms: (&wgpu::Buffer, u32),
        params: &Params,
        [planes, second]: [&wgpu::Buffer; 2],
    ) {
        let bound = group(
            &gpu.device,
            "difference",
            &self.layout,
            &[
                window(uniforms.0, size_of::<Params>() as u64),
                second.as_entire_binding(),
                planes.as_entire_binding(),
            ],
        );
        pass.set_pipeline(pipeline);
        pass.set_bind_group(1, &bound, &[uniforms.1]);
        let groups = params.count.div_ceil(LANES);
        pass.dispatch_workgroups(params.row, groups.div_ceil(params.row.max(1)), 1);
    }
}
