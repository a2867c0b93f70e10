//! The axes and maps of a trace: the bounds against which a view state is checked and within which it is stepped.

use super::axis_set::ranges;
use super::{
    AxisSet, Camera, Drawing, HeadSet, MapChoice, MapSource, Mix, PictureChoice, Quantity, Queries,
    QueryKind, Range, SecondRule, SourceKind, SourceRule, ViewError, ViewKind, ViewState,
};
use crate::trace::{AnswerIndex, ModelInfo, PatchRef, Query, Trace};

/// Rows and columns of one span's patches, and the index of its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Index of the picture.
    pub picture: u32,
    /// Rows of patches.
    pub rows: u32,
    /// Columns of patches.
    pub columns: u32,
}

/// The bounds of a trace, as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Decoder layers that have pages.
    pub layers: u32,
    /// The model, which numbers its layers.
    pub model: ModelInfo,
    /// Number of query heads.
    pub heads: u32,
    /// P: positions of the prompt.
    pub prompt_len: u32,
    /// G: answer tokens, the stop token included.
    pub answers: u32,
    /// Kept query positions, ascending.
    pub rows: Vec<u32>,
    /// One grid per span.
    pub grids: Vec<Grid>,
    /// The reason why image tokens have no place in a picture.
    pub unplaced: Option<String>,
    /// Names of the maps.
    pub maps: Vec<String>,
    /// Names of pages beside the attention.
    pub pages: Vec<String>,
    /// Whether the effect of each head was measured.
    pub has_head_effects: bool,
}

impl Bounds {
    /// The bounds of a trace.
    pub fn from_trace(trace: &Trace) -> Self {
        let (meta, shape) = (trace.meta(), trace.shape());
        let grid = |span: &crate::trace::ImageSpan| Grid {
            picture: span.picture,
            rows: span.rows,
            columns: span.columns,
        };
        Self {
            layers: shape.layers as u32,
            model: meta.model.clone(),
            heads: shape.heads as u32,
            prompt_len: meta.prompt_len,
            answers: shape.generated as u32,
            rows: trace.rows().to_vec(),
            grids: meta.spans.iter().map(grid).collect(),
            unplaced: meta.unplaced.clone(),
            maps: trace.map_names().into_iter().map(str::to_owned).collect(),
            pages: trace.page_names().into_iter().map(str::to_owned).collect(),
            has_head_effects: trace.has_head_effects(),
        }
    }

    /// The views of a picture as indices over all views of the trace: "0–3, 8".
    fn views(&self, picture: u32) -> String {
        let views = (0_u32..).zip(&self.grids).filter(|(_, grid)| grid.picture == picture);
        ranges(&views.map(|(view, _)| view).collect::<Vec<_>>())
    }

    /// The pictures that have patches, ascending.
    pub fn picture_numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.grids.iter().map(|grid| grid.picture).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Number of pictures.
    pub fn pictures(&self) -> u32 {
        self.grids.iter().map(|grid| grid.picture + 1).max().unwrap_or(0)
    }

    /// The kept query positions of a set of queries, ascending.
    ///
    /// # Errors
    /// If a position does not exist or was not kept.
    pub fn query_rows(&self, queries: &Queries) -> Result<Vec<Query>, ViewError> {
        let positions: Vec<u32> = match queries.kind {
            QueryKind::Answer => {
                check(&queries.set, "answer token", "the answer", self.answers)?;
                let members = queries.set.members(self.answers);
                members.iter().map(|i| (self.prompt_len + i).saturating_sub(1)).collect()
            }
            QueryKind::Position => match queries.set.named() {
                Some(named) => named.to_vec(),
                None => self.rows.clone(),
            },
        };
        let missing = positions.iter().find(|query| self.rows.binary_search(query).is_err());
        match missing {
            Some(&query) => Err(ViewError::RowNotKept { query, kept: ranges(&self.rows) }),
            None => Ok(positions.into_iter().map(Query).collect()),
        }
    }

    /// The answer tokens of a set of queries, for named maps (one row per answer token).
    ///
    /// # Errors
    /// If a position predicts no answer token.
    pub fn query_answers(&self, queries: &Queries) -> Result<Vec<AnswerIndex>, ViewError> {
        if queries.kind == QueryKind::Answer {
            check(&queries.set, "answer token", "the answer", self.answers)?;
            return Ok(queries.set.members(self.answers).into_iter().map(AnswerIndex).collect());
        }
        let first = self.prompt_len.saturating_sub(1);
        let answer = |query: u32| {
            query.checked_sub(first).filter(|i| *i < self.answers).map(AnswerIndex).ok_or_else(
                || ViewError::Combination {
                    reason: format!(
                        "position {query} predicts no answer token (these are {first} to {}), and maps \
                         other than attention have one row for each answer token; choose --token.",
                        first + self.answers.saturating_sub(1)
                    ),
                },
            )
        };
        queries.set.named().map_or_else(
            || Ok((0..self.answers).map(AnswerIndex).collect()),
            |named| named.iter().map(|&query| answer(query)).collect(),
        )
    }

    /// The answer token whose causal graph or copied activations are shown: the first of the chosen ones.
    ///
    /// # Errors
    /// A position that predicts no answer token, or a token that does not exist.
    pub fn causal_answer(&self, queries: &Queries) -> Result<AnswerIndex, ViewError> {
        let answers = self.query_answers(queries)?;
        answers.first().copied().ok_or(ViewError::NoRows)
    }

    /// Checks that a state can be shown with this trace. `second` is the bounds of the second map's trace, `None` if
    /// both maps come from the same trace.
    ///
    /// # Errors
    /// The first part that does not fit, and the values that are available instead.
    pub fn check(&self, state: &ViewState, second: Option<&Self>) -> Result<(), ViewError> {
        check_numbers(state)?;
        let spec = state.view.spec();
        self.check_map(state.view, &state.map)?;
        if let Some(other) = &state.second {
            // A second map that the view does not show must still be valid.
            let view = state.shown_second().map_or(ViewKind::Overlay, |_| state.view);
            second
                .unwrap_or(self)
                .check_map(view, &other.map)
                .map_err(|error| ViewError::SecondMap { source: Box::new(error) })?;
        }
        if self.grids.is_empty() && spec.has_maps() {
            return Err(ViewError::NoPicture {
                view: state.view.name(),
                reason: self.unplaced.as_ref().map_or_else(String::new, |why| format!(": {why}")),
            });
        }
        // The second map of a change may be that of a comparison, which the state does not name.
        if spec.drawing == Drawing::Matrix
            && state.quantity != Quantity::Change
            && let Some(reason) = self.lacks(state, state.quantity)
        {
            return Err(ViewError::Combination { reason });
        }
        if matches!(spec.drawing, Drawing::Tree | Drawing::Table) {
            self.causal_answer(&state.map.queries)?;
        }
        state.check_objects()?;
        self.check_picture(state.picture)?;
        state
            .hovered
            .iter()
            .chain(&state.selected)
            .try_for_each(|patch| self.check_patch(*patch))?;
        if spec.second == SecondRule::Subtracted && state.second.is_none() {
            return Err(ViewError::Combination {
                reason: "the diff view needs a second map: name what differs with --second-trace, --second-map, --second-token, --second-layer or --second-head (in a state file: a [second] table).".into(),
            });
        }
        if spec.source == SourceRule::Relevancy && state.map.source == MapSource::Attention {
            if let Some(found) = self.maps.iter().find(|name| name.starts_with("relevancy.")) {
                return Err(ViewError::Combination {
                    reason: format!(
                        "the relevancy view shows a relevancy map, and the source is attention; choose --map {found}."
                    ),
                });
            }
            return Err(self.no_map("relevancy.llm"));
        }
        Ok(())
    }

    /// The reason why a quantity of layers and heads cannot be shown; `None` if it can.
    pub fn lacks(&self, state: &ViewState, quantity: Quantity) -> Option<String> {
        let name = quantity.name();
        if self.grids.is_empty() && quantity.needs_patches() {
            return Some(format!(
                "`{name}` is a number of patches, and this trace has none; choose --quantity question-share."
            ));
        }
        match quantity {
            Quantity::Inside if state.chosen_object().is_none() => Some(format!(
                "`{name}` needs an object: mark one in the picture (Y), or name a box with --box LEFT,TOP,RIGHT,BOTTOM."
            )),
            Quantity::Change if state.second.is_none() => Some(format!(
                "`{name}` needs a second map: compare two answers or pin a map (X), or name what differs with --second-trace, --second-token, --second-layer or --second-head."
            )),
            Quantity::Effect if !self.has_head_effects => Some(format!(
                "`{name}` was not measured yet: switch each head off in turn (What if), or run `vlmscope ablate TRACE --save`."
            )),
            _ => None,
        }
    }

    /// The quantities that can be shown.
    pub fn quantities(&self, state: &ViewState) -> Vec<Quantity> {
        let all = Quantity::ALL.iter().copied();
        all.filter(|quantity| self.lacks(state, *quantity).is_none()).collect()
    }

    /// The kind of a source; `None` if the trace has no such map.
    ///
    /// A source of kind [`SourceKind::Pages`] can be shown in the wall, heads and matrix views.
    pub fn source_kind(&self, source: &MapSource) -> Option<SourceKind> {
        match source {
            MapSource::Attention => Some(SourceKind::Pages),
            MapSource::Named(name) if self.pages.contains(name) => Some(SourceKind::Pages),
            MapSource::Named(name) => self.maps.contains(name).then_some(SourceKind::Numbers),
        }
    }

    /// Whether a picture and a view of it exist.
    ///
    /// # Errors
    /// If one does not, and what there is instead.
    pub fn check_picture(
        &self,
        PictureChoice { index, view, .. }: PictureChoice,
    ) -> Result<(), ViewError> {
        if !self.grids.is_empty() && !self.picture_numbers().contains(&index) {
            let (what, holder, count) = ("picture", "the trace", self.pictures());
            return Err(ViewError::OutOfRange { what, index, holder, count });
        }
        let on_picture = |grid: &Grid| grid.picture == index;
        match view {
            Some(view) if !self.grids.get(view as usize).is_some_and(on_picture) => {
                Err(ViewError::NoSuchView { view, picture: index, views: self.views(index) })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the layers and heads of a map exist.
    pub(super) fn check_axes(&self, map: &MapChoice) -> Result<(), ViewError> {
        self.check_layers(&map.layers)?;
        check(&map.heads, "head", "the model", self.heads)?;
        for &[layer, head] in map.head_set.iter().flat_map(HeadSet::heads) {
            self.check_layers(&AxisSet::single(layer))?;
            check(&AxisSet::single(head), "head", "the model", self.heads)?;
        }
        Ok(())
    }

    fn check_layers(&self, layers: &AxisSet) -> Result<(), ViewError> {
        let model = &self.model;
        check(layers, "layer", "the model", model.layers)?;
        let without = |layer: &&u32| model.layer_index(**layer).is_none();
        match layers.named().and_then(|named| named.iter().find(without)) {
            Some(&layer) => {
                let kind = model.layer_kinds.get(layer as usize);
                Err(ViewError::NoAttention {
                    layer,
                    kind: kind.map_or_else(String::new, |kind| format!(" ({})", kind.name())),
                    layers: ranges(&model.layer_numbers()),
                })
            }
            None => Ok(()),
        }
    }

    fn check_map(&self, view: ViewKind, map: &MapChoice) -> Result<(), ViewError> {
        self.check_axes(map)?;
        let name = map.source.name();
        match self.source_kind(&map.source) {
            None => Err(self.no_map(name)),
            Some(SourceKind::Pages) => self.query_rows(&map.queries).map(|_| ()),
            Some(SourceKind::Numbers) if view.spec().needs_pages() => {
                Err(ViewError::NoPages { view: view.name(), name: name.to_owned() })
            }
            Some(SourceKind::Numbers) => self.query_answers(&map.queries).map(|_| ()),
        }
    }

    pub(super) fn no_map(&self, name: &str) -> ViewError {
        let advice = if name.starts_with("relevancy.") {
            "`vlmscope relevancy TRACE` adds relevancy maps to a trace."
        } else if self.maps.is_empty() && self.pages.is_empty() {
            "Choose the attention (--map attention), or add maps with `vlmscope relevancy TRACE`."
        } else {
            "Choose one of these with --map, or the attention (--map attention)."
        };
        ViewError::NoMap { name: name.to_owned(), available: self.map_list(), advice }
    }

    /// Checks that a patch exists.
    ///
    /// # Errors
    /// If it does not exist; the error names the grids.
    pub fn check_patch(&self, patch: PatchRef) -> Result<(), ViewError> {
        let PatchRef { span, row, column } = patch;
        let inside = self
            .grids
            .get(span as usize)
            .is_some_and(|grid| row < grid.rows && column < grid.columns);
        if inside {
            return Ok(());
        }
        let grids: Vec<String> = self
            .grids
            .iter()
            .enumerate()
            .map(|(span, grid)| format!("span {span} has {} × {} patches", grid.rows, grid.columns))
            .collect();
        Err(ViewError::NoPatch { span, row, column, grids: grids.join(", ") })
    }

    fn map_list(&self) -> String {
        let names = [&self.maps[..], &self.pages[..]].concat();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}

fn check(
    set: &AxisSet,
    what: &'static str,
    holder: &'static str,
    count: u32,
) -> Result<(), ViewError> {
    match set.named().and_then(|named| named.iter().find(|&&index| index >= count)) {
        Some(&index) => Err(ViewError::OutOfRange { what, index, holder, count }),
        None => Ok(()),
    }
}

/// Checks the numbers whose limits do not depend on a trace.
fn check_numbers(state: &ViewState) -> Result<(), ViewError> {
    let within = |field, value: f64, low: f64, high: f64, bounds| {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(ViewError::Value { field, value, bounds })
        }
    };
    within("opacity", state.opacity, 0.0, 1.0, "between 0 and 1")?;
    within("fade-below", state.fade_below, 0.0, 1.0, "a share between 0 and 1")?;
    within("text-scale", state.text_scale, 0.25, 8.0, "between 0.25 and 8")?;
    let Camera { centre: [x, y], zoom } = state.camera;
    within("camera.zoom", zoom, 0.05, 1000.0, "between 0.05 and 1000")?;
    within("camera.centre", x, -10.0, 11.0, "between -10 and 11 (the content is 0 to 1)")?;
    within("camera.centre", y, -10.0, 11.0, "between -10 and 11 (the content is 0 to 1)")?;
    if let Some(radius) = state.radius {
        within("radius", f64::from(radius), 1.0, f64::from(u32::MAX), "a distance from 1")?;
    }
    if let Some([low, high]) = state.matrix_range {
        for value in [low, high] {
            within("matrix-range", value, f64::MIN, f64::MAX, "a finite number")?;
        }
        if low >= high {
            let bounds = "larger than its lower end";
            return Err(ViewError::Value { field: "matrix-range", value: high, bounds });
        }
    }
    match state.normalise.range {
        Range::PerMap | Range::Shared => {}
        Range::Fixed { min, max } => {
            for value in [min, max] {
                within("normalise.range", value, f64::MIN, f64::MAX, "a finite number")?;
            }
            if min >= max {
                let bounds = "larger than its min";
                return Err(ViewError::Value { field: "normalise.range.max", value: max, bounds });
            }
        }
        Range::Percentile { low, high } => {
            within("normalise.range.low", low, 0.0, 100.0, "between 0 and 100")?;
            within("normalise.range.high", high, 0.0, 100.0, "between 0 and 100")?;
            if low >= high {
                let bounds = "larger than its low";
                return Err(ViewError::Value {
                    field: "normalise.range.high",
                    value: high,
                    bounds,
                });
            }
        }
    }
    match state.second.as_ref().map(|second| second.mix) {
        Some(Mix::CrossFade { amount }) => {
            within("second.mix.amount", amount, 0.0, 1.0, "between 0 and 1")
        }
        Some(Mix::Swipe { position }) => {
            within("second.mix.position", position, 0.0, 1.0, "between 0 and 1")
        }
        Some(Mix::Difference) | None => Ok(()),
    }
}
