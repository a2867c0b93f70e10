//! From a view state to what must be computed: which numbers, which cells, which scale.

use super::GpuError;
use super::maps::{AtlasKey, Numbers, PlanesKey};
use crate::analysis::normalise::{RangeRule, Scaling};
use crate::analysis::overview::HeadNumber;
use crate::analysis::reduce::{Fold, Keep, Reduction, has_bos};
use crate::trace::Trace;
use crate::view::{
    Aggregate, AxisSet, Blend, Bounds, ColorMap, Interpolation, MapChoice, Mix, Quantity, Queries,
    QueryKind, Range, Scale, SourceKind, ViewError, ViewKind, ViewState,
};

/// What a frame is made of: a state and the traces that it shows.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// What is looked at.
    pub state: &'a ViewState,
    /// The trace of the first map.
    pub trace: &'a Trace,
    /// The trace of the second map, where it is another one.
    pub second: Option<&'a Trace>,
}

impl<'a> Scene<'a> {
    /// A state over one trace.
    pub const fn new(state: &'a ViewState, trace: &'a Trace) -> Self {
        Self { state, trace, second: None }
    }

    /// The trace that the second map comes from.
    pub fn second_trace(&self) -> &'a Trace {
        self.state.second.as_ref().and(self.second).unwrap_or(self.trace)
    }

    /// The same scene over the traces whose attention its sources are: gradient × attention and the
    /// like are looked at as the attention of a trace of their own.
    pub fn with_pages(&self) -> Self {
        let trace = self.trace.shown_by(self.state.map.source.name());
        let second = match &self.state.second {
            Some(second) => {
                let shown = self.second_trace().shown_by(second.map.source.name());
                (self.second.is_some() || !std::ptr::eq(shown, trace)).then_some(shown)
            }
            None => self.second,
        };
        Self { trace, second, ..*self }
    }

    /// How the second map is mixed in; the diff view always subtracts.
    pub fn mix(&self) -> Option<Mix> {
        self.state.shown_second().map(|(_, mix)| mix)
    }

    /// Whether the first map minus the second is shown.
    pub fn is_difference(&self) -> bool {
        self.state.is_difference()
    }

    /// Whether the view draws maps over patches.
    pub fn has_maps(&self) -> bool {
        self.state.view.has_maps()
    }

    /// The colour map: a difference needs a neutral middle.
    pub fn colormap(&self) -> ColorMap {
        self.state.shown_colormap()
    }

    /// How numbers become 0–1.
    pub fn scaling(&self) -> Scaling {
        let number = |value: f64| value as f32;
        let rule = match self.state.normalise.range {
            Range::PerMap => RangeRule::PerMap,
            Range::Shared => RangeRule::Shared,
            Range::Fixed { min, max } => RangeRule::Fixed { low: number(min), high: number(max) },
            Range::Percentile { low, high } => {
                RangeRule::Percentile { low: number(low), high: number(high) }
            }
        };
        Scaling {
            rule,
            logarithmic: self.state.normalise.scale == Scale::Log,
            symmetric: self.state.is_diverging(),
        }
    }

    /// The spans on the picture that is shown.
    pub fn spans(&self) -> Vec<usize> {
        let spans = &self.trace.meta().spans;
        let on_picture = |at: &usize| spans[*at].picture == self.state.picture.index;
        (0..spans.len()).filter(on_picture).collect()
    }

    /// Checks that the state fits the traces.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let second = self.second.map(Bounds::of);
        Bounds::of(self.trace).check(self.state, second.as_ref())?;
        Ok(())
    }

    /// The numbers of the first map.
    pub(super) fn first(&self) -> Result<PlanesKey, GpuError> {
        self.planes(self.trace, &self.state.map)
    }

    /// The numbers of the second map, if the view shows one.
    pub(super) fn second_planes(&self) -> Result<Option<PlanesKey>, GpuError> {
        match self.state.shown_second() {
            Some((second, _)) => self.planes(self.second_trace(), &second.map).map(Some),
            None => Ok(None),
        }
    }

    fn planes(&self, trace: &Trace, map: &MapChoice) -> Result<PlanesKey, GpuError> {
        let keep = match self.state.view {
            ViewKind::Wall => Keep::LayersHeads,
            ViewKind::Heads => Keep::Heads,
            _ => Keep::One,
        };
        let extent = Bounds::of(trace);
        let numbers = match extent.source_kind(&map.source) {
            None | Some(SourceKind::Numbers) => {
                // A map without layers and heads never stands in for one that has them.
                if keep != Keep::One {
                    let (view, name) = (self.state.view.name(), map.source.name().to_owned());
                    return Err(ViewError::NoPages { view, name }.into());
                }
                let answers = extent.query_answers(&map.queries)?;
                Numbers::Named {
                    name: map.source.name().to_owned(),
                    answers: answers.into_iter().map(|answer| answer.0).collect(),
                    fold: fold(map.queries.set.aggregate()),
                }
            }
            Some(SourceKind::Pages) => {
                let shape = trace.shape();
                let all = |len: usize| (0..len as u32).collect::<Vec<_>>();
                let members = |set: &AxisSet, len: usize| set.members(len as u32);
                Numbers::Attention(Reduction {
                    rows: rows(trace, &map.queries)?,
                    layers: match keep {
                        Keep::LayersHeads => all(shape.layers),
                        _ => members(&map.layers, shape.layers),
                    },
                    heads: match keep {
                        Keep::One => members(&map.heads, shape.heads),
                        _ => all(shape.heads),
                    },
                    row_fold: fold(map.queries.set.aggregate()),
                    layer_fold: fold(map.layers.aggregate()),
                    head_fold: fold(map.heads.aggregate()),
                    keep,
                    remove_bos: self.state.remove_bos && has_bos(trace),
                })
            }
        };
        Ok(PlanesKey { trace: trace.id(), numbers })
    }

    /// The atlas of maps: cells, spans and how they are enlarged.
    pub(super) fn atlas(&self, key: &PlanesKey) -> AtlasKey {
        let planes = key.numbers.planes() as u32;
        let shape = self.trace.shape();
        let cells = match self.state.view {
            ViewKind::Wall => [shape.heads as u32, shape.layers as u32],
            ViewKind::Heads => {
                let columns = atlas_columns(planes);
                [columns, planes.div_ceil(columns)]
            }
            _ => [1, 1],
        };
        AtlasKey {
            scaling: self.scaling(),
            cells,
            spans: self.spans(),
            bicubic: self.state.interpolation == Interpolation::Bicubic,
            levels: self.state.blend == Blend::Contours,
        }
    }

    /// The number of the layer × head matrix.
    pub(super) fn head_number(&self) -> HeadNumber {
        match self.state.quantity {
            Quantity::ImageToAnswer => HeadNumber::ImageMean,
            Quantity::QuestionToAnswer => HeadNumber::QuestionMean,
            Quantity::ImageShare => HeadNumber::ImageShare,
            Quantity::Entropy => HeadNumber::ImageEntropy,
        }
    }
}

/// Indices of the kept rows of a set of queries.
pub(super) fn rows(trace: &Trace, queries: &Queries) -> Result<Vec<u32>, GpuError> {
    let positions = Bounds::of(trace).query_rows(queries)?;
    let rows: Vec<u32> = positions
        .into_iter()
        .filter_map(|query| trace.row_of_query(query))
        .map(|row| row as u32)
        .collect();
    if rows.is_empty() {
        let what = match queries.kind {
            QueryKind::Answer => "it has no answer token with attention",
            QueryKind::Position => "it kept no position",
        };
        return Err(GpuError::Missing { reason: what.into() });
    }
    Ok(rows)
}

/// How a set is folded; one member is its own mean.
pub(super) const fn fold(aggregate: Aggregate) -> Fold {
    match aggregate {
        Aggregate::Single | Aggregate::Mean => Fold::Mean,
        Aggregate::Max => Fold::Max,
    }
}

/// Columns of the atlas of so many heads: nearly square, so that it fits into a texture.
pub(super) fn atlas_columns(planes: u32) -> u32 {
    planes.isqrt().max(1)
}
