//! The numbers behind a frame, on the CPU: for the legend, the caption and the value of a hovered patch.
//!
//! The CPU twins compute them, so that a frame never waits for a read-back; they are computed when the choice of
//! weights changes, not in every frame.

use super::{Context, GpuError, Scene};
use crate::analysis::causal::{CausalError, CausalResult};
use crate::analysis::gather::{Members, QueryKey, query_key};
use crate::analysis::normalise::{
    CONTOUR_PERCENTILES, RangeRule, Scaling, beyond_rounding, percentile,
};
use crate::analysis::patching::Site;
use crate::analysis::reduce::has_bos;
use crate::trace::{AnswerIndex, TraceId};
use crate::view::{Bounds, CausalTree, HeadNumbersKey, Numbers, NumbersKey, PatchTable, Queries};
use half::f16;
use wgpu::util::DeviceExt as _;

/// The maps that were computed most recently.
#[derive(Debug, Default)]
pub(super) struct ComputedMaps {
    key: Option<(NumbersKey, Option<NumbersKey>)>,
    values: Vec<f32>,
    patches: usize,
    /// The sum of each map over its patches, padding included; none for a difference.
    sums: Vec<f32>,
    /// The part of the sum of one map that no cell of a density has.
    outside: Option<f32>,
    /// Ranges of all maps for recent scalings; a frame needs two scalings at most.
    ranges: Vec<(Scaling, Vec<[f32; 2]>)>,
}

impl ComputedMaps {
    /// Computes the planes of `numbers` (minus those of `minus`), [planes, N], if the choice changed.
    pub fn update(
        &mut self,
        numbers: &Numbers<'_>,
        minus: Option<&Numbers<'_>>,
    ) -> Result<(), GpuError> {
        let wanted = (numbers.key().clone(), minus.map(|minus| minus.key().clone()));
        if self.key.as_ref() != Some(&wanted) {
            (self.values, self.sums) = match minus {
                Some(minus) => (numbers.minus(minus)?, Vec::new()),
                None => {
                    let patches = numbers.of_patches();
                    let maps = patches.chunks(numbers.patches().max(1));
                    let sums = maps.map(|map| map.iter().sum()).collect();
                    (numbers.spread(patches), sums)
                }
            };
            self.patches = numbers.places();
            let is_density = numbers.key().spread.is_some();
            let inside = || self.values.iter().sum::<f32>();
            self.outside = self.sum().filter(|_| is_density).map(|sum| sum - inside());
            self.ranges.clear();
            self.key = Some(wanted);
        }
        Ok(())
    }

    /// The part of the sum of one map that lies on padding; `None` where each patch is a cell.
    pub fn outside(&self) -> Option<f32> {
        self.outside
    }

    /// The sum of one map that was computed; `None` for several maps and differences, and for numbers that have not
    /// arrived from another machine.
    pub fn sum(&self) -> Option<f32> {
        match self.sums[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The sum of each map over its patches, padding included; none for a difference.
    pub fn sums(&self) -> &[f32] {
        &self.sums
    }

    /// [planes, places]; empty where nothing was computed.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Drops the maps: the view needs no numbers.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The range of every map.
    pub fn ranges(&mut self, scaling: &Scaling) -> Vec<[f32; 2]> {
        if let Some((_, found)) = self.ranges.iter().find(|(of, _)| of == scaling) {
            return found.clone();
        }
        let found = scaling.ranges(&self.values, self.patches);
        self.ranges.truncate(1);
        self.ranges.insert(0, (*scaling, found.clone()));
        found
    }

    /// The values of the contour lines, if exactly one map was computed.
    pub fn contours(&self) -> Option<[f64; 4]> {
        let one = !self.values.is_empty() && self.values.len() == self.patches;
        one.then(|| CONTOUR_PERCENTILES.map(|p| f64::from(percentile(&self.values, p))))
    }
}

/// The numbers of the layer × head matrix.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    key: Option<HeadNumbersKey>,
    values: Vec<f32>,
}

impl Matrix {
    /// Computes the numbers if the choice changed.
    pub fn update(&mut self, scene: &Scene<'_>) -> Result<(), GpuError> {
        let second = scene.second_trace();
        let numbers = scene.state.resolve_heads(scene.trace, Some(second))?;
        if self.key.as_ref() != Some(numbers.key()) {
            self.values = numbers.values();
            self.key = Some(numbers.key().clone());
        }
        Ok(())
    }

    /// [L, H].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The range of the colour map: the numbers that are normalised to 0 and 1.
    pub fn range(&self, scaling: &Scaling) -> [f64; 2] {
        let ranges = scaling.ranges(&self.values, self.values.len());
        let ends = ranges.first().copied().unwrap_or([0.0, 0.0]);
        let is_own = matches!(scaling.rule, RangeRule::PerMap | RangeRule::Shared);
        if is_own { beyond_rounding(ends) } else { ends }.map(f64::from)
    }
}

/// The causal graphs of the answer token that was shown last, as the trace holds them.
#[derive(Debug, Default)]
pub(super) struct Causal {
    read: Option<((TraceId, AnswerIndex), Result<CausalResult, CausalError>)>,
}

impl Causal {
    /// The tree of a scene.
    ///
    /// # Errors
    /// A token without a graph in the trace, or as [`CausalTree::new`].
    pub fn tree(&mut self, scene: &Scene<'_>) -> Result<CausalTree, CausalError> {
        let (state, trace) = (scene.state, scene.trace);
        let answer = Bounds::from_trace(trace).causal_answer(&state.map.queries);
        let answer = answer.map_err(|error| CausalError::Stored(error.to_string()))?;
        let key = (trace.id(), answer);
        if self.read.as_ref().is_none_or(|(of, _)| *of != key) {
            let missing = CausalError::NotLearned { token: answer.0 };
            let found = CausalResult::stored(trace, answer).and_then(|found| found.ok_or(missing));
            self.read = Some((key, found));
        }
        match &self.read {
            Some((_, Ok(result))) => CausalTree::new(state, trace, result),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(CausalError::NotLearned { token: answer.0 }),
        }
    }
}

/// The inputs that a table of activation patching depends on.
type PatchKey = (TraceId, Queries, Option<Site>);

/// The table of activation patching that was shown last, as the trace holds it.
#[derive(Debug, Default)]
pub(super) struct Patching {
    read: Option<(PatchKey, Result<PatchTable, String>)>,
}

impl Patching {
    /// The table of a scene.
    ///
    /// # Errors
    /// The reason why there is none, in a few words.
    pub fn table(&mut self, scene: &Scene<'_>) -> Result<PatchTable, String> {
        let (state, trace) = (scene.state, scene.trace);
        let key = (trace.id(), state.map.queries.clone(), state.site);
        if let Some((of, found)) = &self.read
            && *of == key
        {
            return found.clone();
        }
        let found = PatchTable::of_trace(state, trace).map_err(|error| error.in_short());
        self.read = Some((key, found.clone()));
        found
    }
}

/// The query × key matrix as numbers and as a texture.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    key: Option<(TraceId, Members, bool)>,
    gathered: Option<QueryKey>,
    /// The texture of `gathered`, and the number of positions in a texel.
    texture: Option<(wgpu::TextureView, usize)>,
}

impl Tokens {
    /// Gathers the matrix if the choice changed.
    pub fn gather(&mut self, scene: &Scene<'_>) -> Result<(), GpuError> {
        let members = scene.state.map.members(scene.trace);
        let every_patch = scene.state.every_patch;
        let key = (scene.trace.id(), members, every_patch);
        if self.key.as_ref() != Some(&key) {
            let gathered = query_key(scene.trace, &key.1).ok_or_else(|| GpuError::Missing {
                reason: "it kept no row of attention".into(),
            })?;
            let columns = scene.trace.meta().key_columns(gathered.keys, every_patch);
            let is_folded = columns.len() < gathered.keys;
            self.gathered = Some(if is_folded { gathered.folded(&columns) } else { gathered });
            self.texture = None;
            self.key = Some(key);
        }
        Ok(())
    }

    pub fn gathered(&self) -> Option<&QueryKey> {
        self.gathered.as_ref()
    }

    /// The range of the colour map: the numbers that are normalised to 0 and 1.
    pub fn range(&self, scene: &Scene<'_>) -> [f64; 2] {
        let scaling = scene.scaling();
        // Every row puts much on the first key, which carries no meaning: it would darken all others.
        let remove_bos = has_bos(scene.trace);
        let range = match (scaling.rule, &self.gathered) {
            (RangeRule::Fixed { low, high }, _) => [low, high],
            (_, None) => [0.0, 0.0],
            (RangeRule::PerMap | RangeRule::Shared, Some(matrix)) => matrix.range(remove_bos),
            (RangeRule::Percentile { .. }, Some(matrix)) => {
                let seen: Vec<f32> = matrix.seen(remove_bos).collect();
                scaling.ranges(&seen, seen.len()).first().copied().unwrap_or([0.0, 0.0])
            }
        };
        range.map(f64::from)
    }

    /// The texture, made and uploaded on first use: its view, positions a texel, bytes uploaded.
    pub fn texture(
        &mut self,
        context: &Context,
        scene: &Scene<'_>,
    ) -> Result<Option<(wgpu::TextureView, usize, u64)>, GpuError> {
        if let Some((view, pooled)) = &self.texture {
            return Ok(Some((view.clone(), *pooled, 0)));
        }
        let Some(matrix) = &self.gathered else { return Ok(None) };
        let limit = context.gpu.limits().max_texture_dimension_2d as usize;
        let pooled = matrix.keys.max(matrix.queries).div_ceil(limit).max(1);
        let (columns, rows, weights) = matrix.pooled(pooled);
        // Stored with the trace's scale factor: small weights would fall below f16's range.
        let scale = scene.trace.meta().attention_scale;
        let texels: Vec<f16> = weights
            .iter()
            .map(|&weight| f16::from_f32(if weight < 0.0 { weight } else { weight * scale }))
            .collect();
        let view = context.gpu.scoped("token_matrix", |device| {
            let texture = device.create_texture_with_data(
                &context.gpu.queue,
                &wgpu::TextureDescriptor {
                    label: Some("token_matrix"),
                    size: wgpu::Extent3d {
                        width: columns as u32,
                        height: rows as u32,
                        depth_or_array_layers: 1,
                    },
                    mip_level_count: 1,
                    sample_count: 1,
                    dimension: wgpu::TextureDimension::D2,
                    format: wgpu::TextureFormat::R16Float,
                    usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                    view_formats: &[],
                },
                wgpu::util::TextureDataOrder::LayerMajor,
                bytemuck::cast_slice(&texels),
            );
            texture.create_view(&wgpu::TextureViewDescriptor::default())
        })?;
        self.texture = Some((view.clone(), pooled));
        Ok(Some((view, pooled, texels.len() as u64 * 2)))
    }
}
