//! Maps over patches → maps over the cells of a picture. Twin: [`crate::analysis::density`].

use super::super::context::Context;
use super::super::pipeline::{Access, Kernels, dispatch};
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
pub(in crate::gpu) struct Density(Kernels);

impl Density {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let buffers = [Access::Read, Access::Read, Access::Read, Access::Write];
        Kernels::plain::<Params>(context, SOURCE, &buffers).map(Self)
    }

    /// The pipeline; built on first use.
    pub fn pipeline(&mut self, gpu: &Gpu) -> Result<wgpu::ComputePipeline, GpuError> {
        self.0.pipeline(gpu, ())
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
        let resources = [buffers.planes, buffers.starts, buffers.parts, buffers.cells]
            .map(wgpu::Buffer::as_entire_binding);
        let bound = self.0.bind(gpu, buffers.uniforms, &resources);
        let groups = [params.cells.div_ceil(LANES), params.planes, 1];
        dispatch(pass, pipeline, &bound, &[offset], groups);
    }
}
