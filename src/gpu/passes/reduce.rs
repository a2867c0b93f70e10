//! Pages → planes, one dispatch a page. Twin: [`crate::analysis::reduce`].

use super::super::context::{Context, window};
use super::super::pipeline::{Access, Kernels, dispatch};
use super::super::shader::{Source, source};
use super::super::{Gpu, GpuError};
use crate::analysis::reduce::{Fold, Reduction};
use crate::trace::Shape;
use bytemuck::{Pod, Zeroable};

/// `shaders/reduce.wgsl`.
pub const SOURCE: Source = source!("reduce");

/// `Reduce` of reduce.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Params {
    /// N.
    pub patches: u32,
    /// T.
    pub positions: u32,
    /// H.
    pub heads: u32,
    /// Members of the layer set.
    pub layer_count: u32,
    /// Members of the head set.
    pub head_count: u32,
    /// Axes that are kept: 0 none, 1 heads, 2 layers and heads.
    pub keep: u32,
    /// Bits: 0 heads, 1 layers, 2 queries by maximum.
    pub maxima: u32,
    /// Bits: 0 first page, 1 last page.
    pub flags: u32,
    /// Pages in all.
    pub query_count: u32,
    /// 1 / attention_scale.
    pub scale: f32,
    /// 1: the head at index i belongs to the layer at index i.
    pub pairs: u32,
    /// Unused.
    pub padding: u32,
}

impl Params {
    /// The parameters of page `page` of a reduction.
    pub fn new(
        reduction: &Reduction,
        shape: Shape,
        patches: usize,
        attention_scale: f32,
        page: usize,
    ) -> Self {
        let bit = |fold: Fold, bit: u32| u32::from(fold == Fold::Max) << bit;
        let pages = reduction.rows.len();
        Self {
            patches: patches as u32,
            positions: shape.positions as u32,
            heads: shape.heads as u32,
            layer_count: reduction.layers.len() as u32,
            head_count: reduction.heads.len() as u32,
            keep: reduction.keep as u32,
            maxima: bit(reduction.head_fold, 0)
                | bit(reduction.layer_fold, 1)
                | bit(reduction.row_fold, 2),
            flags: u32::from(page == 0) | u32::from(page + 1 == pages) << 1,
            query_count: pages as u32,
            scale: 1.0 / attention_scale,
            pairs: u32::from(reduction.pairs),
            padding: 0,
        }
    }
}

const LANES: u32 = 64;

/// The pipelines, with BOS and without; each made on first use.
#[derive(Debug)]
pub(in crate::gpu) struct Reduce(Kernels<bool>);

/// Buffers that a dispatch reads and writes.
pub(in crate::gpu) struct Buffers<'a> {
    pub uniforms: &'a wgpu::Buffer,
    pub pages: &'a wgpu::Buffer,
    pub page_bytes: u64,
    pub keys: &'a wgpu::Buffer,
    pub axes: &'a wgpu::Buffer,
    pub planes: &'a wgpu::Buffer,
}

impl Reduce {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let buffers = [Access::ReadAt, Access::Read, Access::Read, Access::Write];
        let entry = |without_bos| {
            let constants = vec![("without_bos", f64::from(u8::from(without_bos)))];
            ("main", constants)
        };
        Kernels::new::<Params>(context, SOURCE, &buffers, entry).map(Self)
    }

    /// The pipeline that leaves key 0 out, or the one that does not.
    pub fn pipeline(
        &mut self,
        gpu: &Gpu,
        without_bos: bool,
    ) -> Result<wgpu::ComputePipeline, GpuError> {
        self.0.pipeline(gpu, without_bos)
    }

    /// Folds one page into the planes. `offsets`: of the uniforms, then of the page; then the number of patches, and
    /// the planes as heads × layers.
    pub fn encode(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        pipeline: &wgpu::ComputePipeline,
        buffers: &Buffers<'_>,
        offsets: [u32; 2],
        (patches, [heads, layers]): (u32, [u32; 2]),
    ) {
        let resources = [
            window(buffers.pages, buffers.page_bytes),
            buffers.keys.as_entire_binding(),
            buffers.axes.as_entire_binding(),
            buffers.planes.as_entire_binding(),
        ];
        let bound = self.0.bind(gpu, buffers.uniforms, &resources);
        dispatch(pass, pipeline, &bound, &offsets, [patches.div_ceil(LANES), heads, layers]);
    }
}
