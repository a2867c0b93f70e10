//! Ranges of the colour map, and contour levels. Twin: [`crate::analysis::normalise`].

use super::super::context::Context;
use super::super::pipeline::{Access, Kernels, dispatch};
use super::super::shader::{Source, source};
use super::super::{Gpu, GpuError};
use crate::analysis::normalise::{CONTOUR_PERCENTILES, RangeRule, Scaling, rank_of_percentile};
use bytemuck::{Pod, Zeroable};

/// `shaders/normalise.wgsl`.
pub const SOURCE: Source = source!("normalise", NORMALISED);

/// `Normalise` of normalise.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Params {
    /// N.
    pub patches: u32,
    /// Number of planes.
    pub planes: u32,
    /// 0 smallest and largest, 1 as given, 2 percentiles.
    pub kind: u32,
    /// Bits: 0 symmetric, 1 logarithmic, 2 one range for all.
    pub flags: u32,
    /// The number or the rank of the lower end.
    pub low: f32,
    /// The number or the rank of the upper end.
    pub high: f32,
    /// Unused.
    pub padding: [u32; 2],
    /// Ranks of the contour levels.
    pub level_ranks: [u32; 4],
}

impl Params {
    /// The parameters for so many planes of so many patches.
    pub fn new(scaling: &Scaling, patches: usize, planes: usize) -> Self {
        let rank = |percentile| rank_of_percentile(patches, percentile);
        let (kind, low, high) = match scaling.rule {
            RangeRule::PerMap | RangeRule::Shared => (0, 0.0, 0.0),
            RangeRule::Fixed { low, high } => (1, low, high),
            RangeRule::Percentile { low, high } => (2, rank(low) as f32, rank(high) as f32),
        };
        Self {
            patches: patches as u32,
            planes: planes as u32,
            kind,
            flags: u32::from(scaling.symmetric)
                | u32::from(scaling.is_logarithmic()) << 1
                | u32::from(scaling.rule == RangeRule::Shared) << 2,
            low,
            high,
            padding: [0; 2],
            level_ranks: CONTOUR_PERCENTILES.map(rank),
        }
    }
}

/// Pairs in the ranges buffer: one a plane, the shared one, two of contour levels a plane.
pub(in crate::gpu) const fn range_pairs(planes: usize) -> usize {
    planes * 3 + 1
}

/// The pipelines; made on first use, because most views need only the first.
#[derive(Debug)]
pub(in crate::gpu) struct Normalise(Kernels<&'static str>);

impl Normalise {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let buffers = [Access::Read, Access::Write];
        Kernels::new::<Params>(context, SOURCE, &buffers, |entry| (entry, Vec::new())).map(Self)
    }

    /// The dispatches of these parameters, in order: pipeline and workgroups.
    pub fn steps(
        &mut self,
        gpu: &Gpu,
        params: &Params,
        contours: bool,
    ) -> Result<Vec<(wgpu::ComputePipeline, u32)>, GpuError> {
        let wanted = [
            (true, "plane_ranges", params.planes),
            (params.flags & 4 != 0, "shared_range", 1),
            (contours, "levels", params.planes),
        ];
        let mut steps = Vec::new();
        for (_, entry, groups) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
            steps.push((self.0.pipeline(gpu, entry)?, groups));
        }
        Ok(steps)
    }

    pub fn encode(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        steps: &[(wgpu::ComputePipeline, u32)],
        uniforms: (&wgpu::Buffer, u32),
        [planes, ranges]: [&wgpu::Buffer; 2],
    ) {
        let resources = [planes, ranges].map(wgpu::Buffer::as_entire_binding);
        let bound = self.0.bind(gpu, uniforms.0, &resources);
        for (pipeline, groups) in steps {
            dispatch(pass, pipeline, &bound, &[uniforms.1], [*groups, 1, 1]);
        }
    }
}
