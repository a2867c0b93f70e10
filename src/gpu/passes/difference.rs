//! First planes minus second planes. Twin: [`crate::analysis::reduce::difference`].

use super::super::context::Context;
use super::super::pipeline::{Access, Kernels, dispatch};
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
pub(in crate::gpu) struct Difference(Kernels);

impl Difference {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        Kernels::plain::<Params>(context, SOURCE, &[Access::Read, Access::Write]).map(Self)
    }

    /// The pipeline; built on first use.
    pub fn pipeline(&mut self, gpu: &Gpu) -> Result<wgpu::ComputePipeline, GpuError> {
        self.0.pipeline(gpu, ())
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
        let resources = [second, planes].map(wgpu::Buffer::as_entire_binding);
        let bound = self.0.bind(gpu, uniforms.0, &resources);
        let groups = params.count.div_ceil(LANES);
        let groups = [params.row, groups.div_ceil(params.row.max(1)), 1];
        dispatch(pass, pipeline, &bound, &[uniforms.1], groups);
    }
}
