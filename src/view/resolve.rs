//! Computes the numbers of a selection. The figure, its legend and caption, hover values, panels, scores, `export` and
//! the overlay of `ask` all resolve a [`MapChoice`] here, so that they always agree.
//!
//! Heads are reduced first, then layers, then queries. BOS is left out only if key 0 is a token that is not a patch.
//! [`crate::analysis::reduce`] defines the treatment of damaged and missing numbers.

use super::{
    Aggregate, AxisSet, Bounds, LayerHead, MapChoice, Quantity, Queries, Shown, SourceKind,
    ViewError, ViewKind, ViewState,
};
use crate::analysis::density::Density;
use crate::analysis::gather::Members;
use crate::analysis::overview::{HeadNumber, layer_head};
use crate::analysis::reduce::{Fold, Keep, Reduction, difference, has_bos, named_map, reduce};
use crate::trace::{AnswerIndex, ImageSpan, MapKeys, Trace, TraceId};

/// The source of the numbers and their reduction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reads {
    /// Pages [L, H, T] of attention, or of values that are stored like attention.
    Pages(Reduction),
    /// Rows of a named map, [G, N] or [G, T].
    Map {
        /// The map's name.
        name: String,
        /// The answer tokens that are read and that the map was computed for.
        answers: Vec<u32>,
        /// The reduction over answer tokens.
        fold: Fold,
    },
}

impl Reads {
    /// Number of maps in the result.
    pub fn planes(&self) -> usize {
        match self {
            Self::Pages(reduction) => reduction.planes(),
            Self::Map { .. } => 1,
        }
    }
}

/// Everything that determines the numbers: equal keys give equal numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumbersKey {
    /// The trace that is read: the trace of the pages, if the source is pages beside the attention.
    pub trace: TraceId,
    /// The part that is read, with its reduction.
    pub reads: Reads,
    /// The views whose patches are read; `None`: all of them.
    pub spans: Option<Vec<usize>>,
    /// The grids of a density over which the patches are spread; `None`: each patch has its own number.
    pub spread: Option<Shown>,
}

/// A selection over a trace that was checked, so that its numbers can be computed.
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    trace: &'a Trace,
    key: NumbersKey,
}

impl<'a> Numbers<'a> {
    fn new(trace: &'a Trace, reads: Reads) -> Self {
        Self { trace, key: NumbersKey { trace: trace.id(), reads, spans: None, spread: None } }
    }

    /// The trace that is read.
    pub fn trace(&self) -> &'a Trace {
        self.trace
    }

    /// The key that determines the numbers.
    pub fn key(&self) -> &NumbersKey {
        &self.key
    }

    /// Number of maps.
    pub fn planes(&self) -> usize {
        self.key.reads.planes()
    }

    /// The same numbers, but only for the patches of some views.
    #[must_use]
    pub fn of_views(mut self, spans: Vec<usize>) -> Self {
        let all = 0..self.trace.meta().spans.len();
        self.key.spans = (!spans.iter().copied().eq(all)).then_some(spans);
        self
    }

    /// The same numbers, as they are drawn: of the views that are shown, and spread over the cells of a density where
    /// there is one.
    #[must_use]
    pub fn as_shown(self, shown: &Shown) -> Self {
        let mut numbers = self.of_views(shown.views.clone());
        numbers.key.spread = shown.is_density().then(|| shown.clone());
        numbers
    }

    /// The weights of the patches in the cells of a density; `None` if each patch has its own number.
    pub fn density(&self) -> Option<Density> {
        self.key.spread.as_ref()?.density(self.trace.meta())
    }

    /// The views whose patches are read.
    fn spans(&self) -> Vec<&'a ImageSpan> {
        let spans = &self.trace.meta().spans;
        match &self.key.spans {
            None => spans.iter().collect(),
            Some(chosen) => chosen.iter().filter_map(|&at| spans.get(at)).collect(),
        }
    }

    /// The key positions of the patches that are read, one view after another.
    pub fn keys(&self) -> Vec<u32> {
        self.spans().into_iter().flat_map(ImageSpan::keys).map(|key| key as u32).collect()
    }

    /// N: number of patches that are read.
    pub fn patches(&self) -> usize {
        self.spans().into_iter().map(ImageSpan::patches).sum()
    }

    /// Numbers in one map: patches that are read, or cells of a density.
    pub fn places(&self) -> usize {
        self.key.spread.as_ref().map_or_else(|| self.patches(), Shown::cells)
    }

    /// The maps over the patches or the cells: [planes, `places()`], views or grids one after another.
    pub fn values(&self) -> Vec<f32> {
        self.spread(self.of_patches())
    }

    /// Maps over the patches, [planes, N], as maps over the patches or the cells: [planes, `places()`].
    pub fn spread(&self, values: Vec<f32>) -> Vec<f32> {
        match self.density().filter(|_| !values.is_empty()) {
            Some(density) => density.apply(&values),
            None => values,
        }
    }

    /// The maps over the patches that are read, before they are spread over cells: [planes, N].
    pub fn of_patches(&self) -> Vec<f32> {
        // Asked first: the missing part may arrive in between.
        let has_holes = self.trace.has_holes();
        self.at(&self.keys()).unwrap_or_else(|| {
            if !has_holes {
                log::warn!("the numbers of a selection cannot be read");
            }
            Vec::new()
        })
    }

    /// The maps at some key positions: [planes, `keys.len()`]. `None` if the trace does not have a position, or if the
    /// map has numbers for patches only and a position is not a patch.
    pub fn at(&self, keys: &[u32]) -> Option<Vec<f32>> {
        match &self.key.reads {
            Reads::Pages(reduction) => reduce(self.trace, reduction, keys),
            Reads::Map { name, answers, fold } => named_map(self.trace, name, answers, *fold, keys),
        }
    }

    /// The maps at all T positions: [planes, T]. `None` if the map has numbers for patches only.
    pub fn at_positions(&self) -> Option<Vec<f32>> {
        let keys: Vec<u32> = (0..self.trace.shape().positions as u32).collect();
        match &self.key.reads {
            Reads::Map { name, .. } if self.trace.map_keys(name) != Some(MapKeys::Positions) => {
                None
            }
            _ => self.at(&keys),
        }
    }

    /// One selection per query row, instead of their reduction.
    pub fn each_row(&self) -> Vec<Self> {
        let reads: Vec<Reads> = match &self.key.reads {
            Reads::Pages(reduction) => reduction
                .rows
                .iter()
                .map(|&row| Reads::Pages(Reduction { rows: vec![row], ..reduction.clone() }))
                .collect(),
            Reads::Map { name, answers, fold } => answers
                .iter()
                .map(|&answer| Reads::Map {
                    name: name.clone(),
                    answers: vec![answer],
                    fold: *fold,
                })
                .collect(),
        };
        let of = |reads| Self { trace: self.trace, key: NumbersKey { reads, ..self.key.clone() } };
        reads.into_iter().map(of).collect()
    }

    /// These maps minus others: [planes, N].
    ///
    /// # Errors
    /// If the others have a different number of maps or patches.
    pub fn minus(&self, other: &Numbers<'_>) -> Result<Vec<f32>, ViewError> {
        let (mut values, others) = (self.values(), other.values());
        if values.len() != others.len() {
            return Err(ViewError::Combination {
                reason: format!(
                    "the maps have {} and {} numbers, so they cannot be subtracted; both must come from the same model and picture size.",
                    values.len(),
                    others.len()
                ),
            });
        }
        difference(&mut values, &others);
        Ok(values)
    }
}

/// One number per layer and head of a selection that was checked.
#[derive(Clone, Debug)]
pub struct HeadNumbers<'a> {
    trace: &'a Trace,
    second: Option<&'a Trace>,
    key: HeadNumbersKey,
}

/// Everything that determines the numbers of layers and heads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeadNumbersKey {
    trace: TraceId,
    number: HeadNumber,
    rows: Vec<u32>,
    fold: Fold,
    remove_bos: bool,
    /// The numbers that are subtracted.
    minus: Option<Box<Self>>,
}

impl HeadNumbers<'_> {
    /// The key that determines the numbers.
    pub fn key(&self) -> &HeadNumbersKey {
        &self.key
    }

    /// [L, H].
    pub fn values(&self) -> Vec<f32> {
        let mut values = self.key.values(self.trace);
        if let (Some(minus), Some(second)) = (&self.key.minus, self.second) {
            difference(&mut values, &minus.values(second));
        }
        values
    }
}

impl HeadNumbersKey {
    fn values(&self, trace: &Trace) -> Vec<f32> {
        let Self { number, rows, fold, remove_bos, .. } = self;
        let has_holes = trace.has_holes();
        layer_head(trace, number, rows, *fold, *remove_bos).unwrap_or_else(|| {
            if !has_holes {
                log::warn!("the numbers of layers and heads cannot be read");
            }
            Vec::new()
        })
    }
}

impl MapChoice {
    /// The numbers of this selection; `keep` names the axes that are not reduced.
    ///
    /// # Errors
    /// A map, layer, head or query row that the trace does not have; a map without layers and heads if these are to be
    /// kept; a map that was computed for none of the answer tokens.
    pub fn resolve<'a>(
        &self,
        trace: &'a Trace,
        keep: Keep,
        remove_bos: bool,
    ) -> Result<Numbers<'a>, ViewError> {
        let name = self.source.name();
        let bounds = Bounds::from_trace(trace);
        bounds.check_axes(self)?;
        match bounds.source_kind(&self.source) {
            None => Err(bounds.no_map(name)),
            Some(SourceKind::Pages) => {
                let trace = trace.shown_by(name);
                Ok(Numbers::new(trace, Reads::Pages(self.reduction(trace, keep, remove_bos)?)))
            }
            Some(SourceKind::Numbers) => {
                // A map without layers and heads never replaces one that has them.
                let view = match keep {
                    Keep::One => None,
                    Keep::Heads => Some(ViewKind::Heads),
                    Keep::LayersHeads => Some(ViewKind::Wall),
                };
                if let Some(view) = view {
                    return Err(ViewError::NoPages { view: view.name(), name: name.to_owned() });
                }
                let answers = bounds.query_answers(&self.queries)?;
                Ok(Numbers::new(trace, self.map_rows(trace, &answers)?))
            }
        }
    }

    fn reduction(
        &self,
        trace: &Trace,
        keep: Keep,
        remove_bos: bool,
    ) -> Result<Reduction, ViewError> {
        let shape = trace.shape();
        let kept_axes = keep != Keep::One;
        let Members { layers, heads, layer_fold, head_fold, pairs } =
            if kept_axes { self.axis_members(trace) } else { self.members(trace) };
        let all = |len: usize| (0..len as u32).collect::<Vec<_>>();
        Ok(Reduction {
            rows: self.queries.rows(trace)?,
            layers: if keep == Keep::LayersHeads { all(shape.layers) } else { layers },
            heads: if keep == Keep::One { heads } else { all(shape.heads) },
            row_fold: self.queries.set.fold(),
            layer_fold,
            head_fold,
            keep,
            pairs,
            remove_bos: remove_bos && has_bos(trace),
        })
    }

    fn map_rows(&self, trace: &Trace, answers: &[AnswerIndex]) -> Result<Reads, ViewError> {
        let name = self.source.name().to_owned();
        if trace.map_keys(&name).is_none() {
            let tensor = trace.tensor(&name);
            let shape = tensor.map_or_else(Vec::new, |tensor| tensor.shape.to_vec());
            return Err(ViewError::MapShape {
                name,
                shape,
                answers: trace.shape().generated,
                patches: trace.meta().patches(),
                positions: trace.shape().positions,
            });
        }
        let computed: Vec<u32> = answers
            .iter()
            .filter(|answer| trace.has_map_row(&name, **answer))
            .map(|answer| answer.0)
            .collect();
        if computed.is_empty() {
            let asked: Vec<String> = answers.iter().map(ToString::to_string).collect();
            return Err(ViewError::NotComputed { name, answers: asked.join(",") });
        }
        Ok(Reads::Map { name, answers: computed, fold: self.queries.set.fold() })
    }

    /// One number per layer and head, reduced over the queries.
    ///
    /// # Errors
    /// A source without pages, or a query row that the trace does not have.
    pub fn resolve_heads<'a>(
        &self,
        trace: &'a Trace,
        number: HeadNumber,
        remove_bos: bool,
    ) -> Result<HeadNumbers<'a>, ViewError> {
        let bounds = Bounds::from_trace(trace);
        let name = self.source.name();
        match bounds.source_kind(&self.source) {
            Some(SourceKind::Pages) => {}
            Some(SourceKind::Numbers) => {
                let view = ViewKind::LayerHead.name();
                return Err(ViewError::NoPages { view, name: name.to_owned() });
            }
            None => return Err(bounds.no_map(name)),
        }
        let trace = trace.shown_by(name);
        let key = HeadNumbersKey {
            trace: trace.id(),
            number,
            rows: self.queries.rows(trace)?,
            fold: self.queries.set.fold(),
            remove_bos: remove_bos && has_bos(trace),
            minus: None,
        };
        Ok(HeadNumbers { trace, second: None, key })
    }

    /// The layers and heads of this selection and their reductions.
    pub fn members(&self, trace: &Trace) -> Members {
        let Some(set) = &self.head_set else { return self.axis_members(trace) };
        let model = &trace.meta().model;
        let known = |[layer, head]: &LayerHead| Some([model.layer_index(*layer)?, *head]);
        let pairs: Vec<LayerHead> = set.heads().iter().filter_map(known).collect();
        Members {
            layers: pairs.iter().map(|[layer, _]| *layer).collect(),
            heads: pairs.iter().map(|[_, head]| *head).collect(),
            layer_fold: Fold::Mean,
            head_fold: Fold::Mean,
            pairs: true,
        }
    }

    /// As [`Self::members`], without regard to a set of single heads.
    fn axis_members(&self, trace: &Trace) -> Members {
        let shape = trace.shape();
        Members {
            layers: self.layers.layer_indices(&trace.meta().model),
            heads: self.heads.members(shape.heads as u32),
            layer_fold: self.layers.fold(),
            head_fold: self.heads.fold(),
            pairs: false,
        }
    }
}

impl ViewState {
    /// The numbers of the first map, with the axes that the view keeps.
    ///
    /// # Errors
    /// As [`MapChoice::resolve`].
    pub fn resolve<'a>(&self, trace: &'a Trace) -> Result<Numbers<'a>, ViewError> {
        self.map.resolve(trace, self.view.spec().kept(), self.remove_bos)
    }

    /// One number per layer and head: the state's quantity. `second` is the trace of the second map, if it is another
    /// one; only [`Quantity::Change`] reads it.
    ///
    /// # Errors
    /// As [`MapChoice::resolve_heads`]; a quantity that needs an object, a second map or a measurement that is missing;
    /// traces whose models differ.
    pub fn resolve_heads<'a>(
        &self,
        trace: &'a Trace,
        second: Option<&'a Trace>,
    ) -> Result<HeadNumbers<'a>, ViewError> {
        if let Some(reason) = Bounds::from_trace(trace).lacks(self, self.quantity) {
            return Err(ViewError::Combination { reason });
        }
        let number = match self.quantity {
            Quantity::Focus => HeadNumber::Focus,
            Quantity::ImageShare | Quantity::Change => HeadNumber::ImageShare,
            Quantity::Peak => HeadNumber::Peak,
            Quantity::Entropy => HeadNumber::ImageEntropy,
            Quantity::Inside => HeadNumber::Inside(self.inside(trace).unwrap_or_default()),
            Quantity::QuestionShare => HeadNumber::QuestionShare,
            Quantity::Effect => HeadNumber::Effect,
            Quantity::ImageToAnswer => HeadNumber::ImageMean,
            Quantity::QuestionToAnswer => HeadNumber::QuestionMean,
        };
        let first = self.map.resolve_heads(trace, number.clone(), self.remove_bos)?;
        let (Quantity::Change, Some(other)) = (self.quantity, &self.second) else {
            return Ok(first);
        };
        let subtracted =
            other.map.resolve_heads(second.unwrap_or(trace), number, self.remove_bos)?;
        let [own, others] = [first.trace, subtracted.trace].map(|trace| {
            let shape = trace.shape();
            [shape.layers, shape.heads]
        });
        if own != others {
            return Err(ViewError::Combination {
                reason: format!(
                    "the models have {} × {} and {} × {} layers and heads, so they cannot be compared head by head.",
                    own[0], own[1], others[0], others[1]
                ),
            });
        }
        let key = HeadNumbersKey { minus: Some(Box::new(subtracted.key)), ..first.key };
        Ok(HeadNumbers { trace: first.trace, second: Some(subtracted.trace), key })
    }

    /// The numbers of the second map, which is read from `trace`; `None` if the view shows one map.
    ///
    /// # Errors
    /// As [`MapChoice::resolve`].
    pub fn resolve_second<'a>(&self, trace: &'a Trace) -> Result<Option<Numbers<'a>>, ViewError> {
        let Some((second, _)) = self.shown_second() else { return Ok(None) };
        second.map.resolve(trace, self.view.spec().kept(), self.remove_bos).map(Some)
    }

    /// The maps as they are drawn, [planes, places]: the first, minus the second where a difference is shown, of the
    /// views that are shown, on the cells of a density where there is one. `second` is the trace of the second map,
    /// where it is another one.
    ///
    /// # Errors
    /// As [`MapChoice::resolve`], or maps that cannot be subtracted.
    pub fn values(&self, trace: &Trace, second: Option<&Trace>) -> Result<Vec<f32>, ViewError> {
        self.values_of(trace, second, |numbers, trace| numbers.as_shown(&Shown::new(self, trace)))
    }

    /// The maps at every patch of the trace, [planes, N], views one after another.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn patch_values(
        &self,
        trace: &Trace,
        second: Option<&Trace>,
    ) -> Result<Vec<f32>, ViewError> {
        self.values_of(trace, second, |numbers, _| numbers)
    }

    fn values_of<'a>(
        &self,
        trace: &'a Trace,
        second: Option<&'a Trace>,
        of: impl Fn(Numbers<'a>, &Trace) -> Numbers<'a>,
    ) -> Result<Vec<f32>, ViewError> {
        let first = of(self.resolve(trace)?, trace);
        if !self.is_difference() {
            return Ok(first.values());
        }
        let other = second.unwrap_or(trace);
        match self.resolve_second(other)? {
            Some(second) => first.minus(&of(second, other)),
            None => Ok(first.values()),
        }
    }

    /// Whether key 0 is left out: if the state asks for it and key 0 is not a patch.
    pub fn removes_bos(&self, trace: &Trace) -> bool {
        self.remove_bos && has_bos(trace)
    }
}

impl Queries {
    /// Indices of the kept query rows, ascending.
    ///
    /// # Errors
    /// If a row does not exist or was not kept, or if there are no rows.
    pub fn rows(&self, trace: &Trace) -> Result<Vec<u32>, ViewError> {
        let queries = Bounds::from_trace(trace).query_rows(self)?;
        let rows: Vec<u32> = queries
            .into_iter()
            .filter_map(|query| trace.row_of_query(query))
            .map(|row| row as u32)
            .collect();
        if rows.is_empty() { Err(ViewError::NoRows) } else { Ok(rows) }
    }

    /// The mean over answer tokens.
    pub fn answers(answers: &[AnswerIndex]) -> Self {
        let indices = answers.iter().map(|answer| answer.0).collect();
        Self { kind: super::QueryKind::Answer, set: AxisSet::new(Aggregate::Mean, indices) }
    }
}

impl AxisSet {
    /// The reduction of the members; the mean of one member is itself.
    pub const fn fold(&self) -> Fold {
        match self.aggregate() {
            Aggregate::Single | Aggregate::Mean => Fold::Mean,
            Aggregate::Max => Fold::Max,
        }
    }
}
