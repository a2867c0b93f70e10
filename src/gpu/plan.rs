//! From a view state to the computations of a frame: numbers, cells, scale.

use super::GpuError;
use super::atlas::AtlasKey;
use crate::analysis::normalise::{RangeRule, Scaling};
use crate::analysis::reduce::Keep;
use crate::trace::Trace;
use crate::view::figure::Readout;
use crate::view::{
    Blend, Bounds, ColorMap, Drawing, Interpolation, Mix, Numbers, Range, Scale, Shown, ViewState,
};

/// Input of a frame: a view state and the traces that it shows.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// View state.
    pub state: &'a ViewState,
    /// The trace of the first map.
    pub trace: &'a Trace,
    /// The trace of the second map, if that differs from the first.
    pub second: Option<&'a Trace>,
    /// The numbers of another frame that is seen together with this one: legend and caption name both.
    pub beside: Option<Beside>,
}

/// The numbers of the other one of two frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beside {
    /// The other frame is the first of the two.
    First(Readout),
    /// The other frame is the second of the two.
    Second(Readout),
}

impl<'a> Scene<'a> {
    /// A state over one trace.
    pub const fn new(state: &'a ViewState, trace: &'a Trace) -> Self {
        Self { state, trace, second: None, beside: None }
    }

    /// The trace that the second map comes from.
    pub fn second_trace(&self) -> &'a Trace {
        self.state.second.as_ref().and(self.second).unwrap_or(self.trace)
    }

    /// The same scene over traces whose attention is replaced by the pages that its sources name (gradient × attention
    /// and others).
    pub fn with_pages(&self) -> Self {
        if matches!(self.state.view.spec().drawing, Drawing::Tree | Drawing::Table) {
            // Pages beside the attention have no causal graphs and no tables.
            return *self;
        }
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

    /// Mix of the first and the second map; the diff view always subtracts.
    pub fn mix(&self) -> Option<Mix> {
        self.state.shown_second().map(|(_, mix)| mix)
    }

    /// Whether the first map minus the second is shown.
    pub fn is_difference(&self) -> bool {
        self.state.is_difference()
    }

    /// Whether the view draws maps over patches.
    pub fn has_maps(&self) -> bool {
        self.state.view.spec().has_maps()
    }

    /// The colour map: a difference needs a neutral middle.
    pub fn colormap(&self) -> ColorMap {
        self.state.shown_colormap()
    }

    /// Rule for normalising numbers to 0–1.
    pub fn scaling(&self) -> Scaling {
        let number = |value: f64| value as f32;
        let matrix_range =
            self.state.matrix_range.filter(|_| self.state.view.spec().drawing == Drawing::Matrix);
        let range = match matrix_range {
            Some([min, max]) => Range::Fixed { min, max },
            None => self.state.normalise.range,
        };
        let rule = match range {
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

    /// The grids and views of the trace's pictures that are drawn.
    pub fn shown(&self) -> Shown {
        Shown::new(self.state, self.trace)
    }

    /// Checks that the state fits the traces.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let second = self.second.map(Bounds::from_trace);
        Bounds::from_trace(self.trace).check(self.state, second.as_ref())?;
        Ok(())
    }

    /// The numbers of the first map.
    pub(super) fn first(&self) -> Result<Numbers<'a>, GpuError> {
        Ok(self.state.resolve(self.trace)?.as_shown(&self.shown()))
    }

    /// The numbers of the second map, if the view shows one.
    pub(super) fn second_numbers(&self) -> Result<Option<Numbers<'a>>, GpuError> {
        let trace = self.second_trace();
        let numbers = self.state.resolve_second(trace)?;
        Ok(numbers.map(|numbers| numbers.as_shown(&Shown::new(self.state, trace))))
    }

    /// The atlas of maps: cells, grids and how they are enlarged.
    pub(super) fn atlas(&self, numbers: &Numbers<'_>) -> AtlasKey {
        let planes = numbers.planes() as u32;
        let shape = self.trace.shape();
        let cells = match self.state.view.spec().keep {
            Some(Keep::LayersHeads) => [shape.heads as u32, shape.layers as u32],
            Some(Keep::Heads) => {
                let columns = atlas_columns(planes);
                [columns, planes.div_ceil(columns)]
            }
            Some(Keep::One) | None => [1, 1],
        };
        AtlasKey {
            scaling: self.scaling(),
            cells,
            grids: self.shown().grids.iter().map(|grid| [grid.columns, grid.rows]).collect(),
            bicubic: self.state.shown_interpolation() == Interpolation::Bicubic,
            levels: self.state.blend == Blend::Contours,
        }
    }
}

/// Columns of the atlas of so many heads: nearly square, so that it fits into a texture.
pub(super) fn atlas_columns(planes: u32) -> u32 {
    planes.isqrt().max(1)
}
