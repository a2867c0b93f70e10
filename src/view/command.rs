//! All changes of a view: one enum for buttons, keys, palette, walkthrough and undo.

use super::{
    AxisSet, Blend, Bounds, Camera, ColorMap, Drawing, HeadOrder, ImageForm, Interpolation,
    LayerHead, MapSource, MarkedObject, Mix, Normalise, PatchGrid, Quantity, Queries, QueryKind,
    Second, SourceKind, Theme, ViewError, ViewKind, ViewState,
};
use crate::analysis::patching::Site;
use crate::trace::PatchRef;
use std::path::PathBuf;

/// A change of the view.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Shows another trace.
    SetTrace(Option<PathBuf>),
    /// Shows another view.
    SetView(ViewKind),
    /// Moves the content by a share of the visible part (positive: right, down).
    PanBy([f64; 2]),
    /// Enlarges by a factor and keeps the content's point `about` ([0, 1]²) where it is.
    ZoomBy {
        /// More than 1 enlarges.
        factor: f64,
        /// The point whose position stays the same.
        about: [f64; 2],
    },
    /// Sets zoom and pan.
    SetCamera(Camera),
    /// Chooses layers.
    SetLayers(AxisSet),
    /// Chooses heads.
    SetHeads(AxisSet),
    /// Chooses one layer and one head (a click in the matrix or on the wall).
    SetLayerHead(u32, u32),
    /// Chooses single heads: none is the mean of all, one is a layer and a head, several are a set.
    SetHeadSet(Vec<LayerHead>),
    /// Chooses query rows.
    SetQueries(Queries),
    /// Steps to a later or earlier layer; from a set of layers, to its end in that direction.
    StepLayer(i32),
    /// Steps to a later or earlier head.
    StepHead(i32),
    /// Steps to a later or earlier answer token (or kept position).
    StepQuery(i32),
    /// Chooses attention or a named map.
    SetSource(MapSource),
    /// Chooses a second map, or none.
    SetSecond(Option<Box<Second>>),
    /// Chooses how both maps are mixed; without a second map nothing happens.
    SetMix(Mix),
    /// Chooses how numbers are mapped to 0–1.
    SetNormalise(Normalise),
    /// Leaves BOS out or keeps it.
    SetRemoveBos(bool),
    /// Gives every patch a column in the token matrix, or each picture one.
    SetEveryPatch(bool),
    /// Chooses the colour map.
    SetColormap(ColorMap),
    /// Chooses the blend mode.
    SetBlend(Blend),
    /// Chooses the map's opacity.
    SetOpacity(f64),
    /// Sets the share of the attention below which a glow fades.
    SetFadeBelow(f64),
    /// Chooses how the map is enlarged.
    SetInterpolation(Interpolation),
    /// Chooses the lines between patches.
    SetGrid(PatchGrid),
    /// Chooses the quantity in the layer × head matrix.
    SetQuantity(Quantity),
    /// Sets the values at the ends of the matrix's colours; `None`: its smallest and largest value.
    SetMatrixRange(Option<[f64; 2]>),
    /// Chooses the order of heads in the heads view.
    SetHeadOrder(HeadOrder),
    /// Chooses the picture beneath: preprocessed or original.
    SetImageForm(ImageForm),
    /// Chooses one of several pictures.
    SetPicture(u32),
    /// To the next or an earlier picture or video frame.
    StepPicture(i32),
    /// One view of the picture alone, an index over all views of the trace; `None`: all of them.
    SetPictureView(Option<u32>),
    /// Sets the patch under the pointer. Never an undo step.
    Hover(Option<PatchRef>),
    /// Replaces the chosen patches.
    SelectPatches(Vec<PatchRef>),
    /// Adds to the chosen patches.
    AddPatches(Vec<PatchRef>),
    /// Removes from the chosen patches.
    RemovePatches(Vec<PatchRef>),
    /// Marks an object or changes it, and chooses it; the first index after the last adds one.
    SetObject(u32, Box<MarkedObject>),
    /// Deletes an object.
    RemoveObject(u32),
    /// Chooses an object, or none.
    ChooseObject(Option<u32>),
    /// Shows or hides the caption.
    ShowCaption(bool),
    /// Replaces the caption's text; `None` restores the description of the view.
    SetCaptionText(Option<String>),
    /// Shows or hides the legend.
    ShowLegend(bool),
    /// Chooses dark or light.
    SetTheme(Theme),
    /// Sets the type size of the figure.
    SetTextScale(f64),
    /// Applies LVLM-Interpret's look.
    LvlmInterpretLook,
    /// Sets the largest distance that the causal view shows; `None`: all that the graph has.
    SetRadius(Option<u32>),
    /// Sets the copied activations that the patch view shows.
    SetSite(Site),
    /// Replaces the whole state (a bookmark, a walkthrough step).
    Replace(Box<ViewState>),
}

impl Command {
    /// Commands of one kind in close succession (a dragged slider, a held key) are one undo step; other commands are
    /// one step each. `None`: never merged.
    pub(super) fn merges_as(&self) -> Option<&'static str> {
        match self {
            Self::PanBy(_) | Self::ZoomBy { .. } | Self::SetCamera(_) => Some("camera"),
            Self::SetLayers(_)
            | Self::SetHeads(_)
            | Self::SetLayerHead(..)
            | Self::SetHeadSet(_)
            | Self::StepLayer(_)
            | Self::StepHead(_) => Some("layer-head"),
            Self::SetMatrixRange(_) => Some("matrix-range"),
            Self::SetObject(..) => Some("object"),
            Self::SetQueries(_) | Self::StepQuery(_) => Some("query"),
            Self::SetPicture(_) | Self::StepPicture(_) => Some("picture"),
            Self::SetMix(_) => Some("mix"),
            Self::SetNormalise(_) => Some("normalise"),
            Self::SetOpacity(_) => Some("opacity"),
            Self::SetFadeBelow(_) => Some("fade"),
            Self::SetTextScale(_) => Some("text-scale"),
            Self::AddPatches(_) | Self::RemovePatches(_) => Some("patches"),
            Self::SetCaptionText(_) => Some("caption"),
            Self::SetRadius(_) => Some("radius"),
            Self::SetTrace(_)
            | Self::SetView(_)
            | Self::SetSource(_)
            | Self::SetSecond(_)
            | Self::SetRemoveBos(_)
            | Self::SetEveryPatch(_)
            | Self::SetColormap(_)
            | Self::SetBlend(_)
            | Self::SetInterpolation(_)
            | Self::SetGrid(_)
            | Self::SetQuantity(_)
            | Self::SetHeadOrder(_)
            | Self::SetSite(_)
            | Self::SetImageForm(_)
            | Self::SetPictureView(_)
            | Self::Hover(_)
            | Self::SelectPatches(_)
            | Self::RemoveObject(_)
            | Self::ChooseObject(_)
            | Self::ShowCaption(_)
            | Self::ShowLegend(_)
            | Self::SetTheme(_)
            | Self::LvlmInterpretLook
            | Self::Replace(_) => None,
        }
    }

    /// Whether the command adds nothing to the history.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Hover(_))
    }

    /// The state after the command; `state` itself is not changed.
    ///
    /// # Errors
    /// If the result cannot be shown with this trace; see [`Bounds::check`].
    pub fn apply(&self, state: &ViewState, extent: &Bounds) -> Result<ViewState, ViewError> {
        let mut next = state.clone();
        self.change(&mut next, extent);
        if self.chooses_heads() {
            show_heads(&mut next, extent);
        }
        // Another trace has other bounds: the code that opens it checks the state, because only that code has the
        // bounds of a second trace.
        let own_bounds = next.trace == state.trace
            && next.second.as_ref().is_none_or(|second| second.trace.is_none());
        if own_bounds {
            extent.check(&next, None)?;
        }
        Ok(next)
    }

    /// Whether the command chooses layers or heads.
    const fn chooses_heads(&self) -> bool {
        matches!(
            self,
            Self::SetLayers(_)
                | Self::SetHeads(_)
                | Self::SetLayerHead(..)
                | Self::SetHeadSet(_)
                | Self::StepLayer(_)
                | Self::StepHead(_)
        )
    }

    fn change(&self, next: &mut ViewState, extent: &Bounds) {
        match self {
            Self::SetTrace(trace) => next.trace.clone_from(trace),
            Self::SetView(view) => {
                if next.view != *view {
                    // The camera's unit square means the picture in one view and the matrix in another.
                    next.camera = Camera::default();
                }
                next.view = *view;
                if view.spec().drawing == Drawing::Matrix
                    && extent.lacks(next, next.quantity).is_some()
                {
                    let shown = extent.quantities(next).first().copied();
                    next.set_quantity(shown.unwrap_or_default());
                }
                if matches!(view.spec().drawing, Drawing::Tree | Drawing::Table)
                    && extent.causal_answer(&next.map.queries).is_err()
                {
                    next.map.queries = Queries::answer(0);
                }
                // Layers and heads belong to attention, so a map without them is replaced by it.
                if view.spec().needs_pages() && !has_pages(&next.map.source, extent) {
                    next.map.source = MapSource::Attention;
                }
                let unfit = |second: &Second| !has_pages(&second.map.source, extent);
                if view.spec().needs_pages() && next.second.as_ref().is_some_and(unfit) {
                    next.second = None;
                }
            }
            Self::PanBy(by) => next.camera = next.camera.panned(*by),
            Self::ZoomBy { factor, about } => {
                let zoom = (next.camera.zoom * factor).clamp(MIN_ZOOM, MAX_ZOOM);
                next.camera = next.camera.zoomed(zoom, *about);
            }
            Self::SetCamera(camera) => next.camera = *camera,
            Self::SetLayers(layers) => {
                (next.map.layers, next.map.head_set) = (layers.clone(), None);
            }
            Self::SetHeads(heads) => (next.map.heads, next.map.head_set) = (heads.clone(), None),
            Self::SetLayerHead(layer, head) => next.map.choose_heads(vec![[*layer, *head]]),
            Self::SetHeadSet(heads) => next.map.choose_heads(heads.clone()),
            Self::SetQueries(queries) => next.map.queries = queries.clone(),
            Self::StepLayer(by) => {
                next.map.layers = step_layer(&next.map.layers, *by, extent);
                next.map.head_set = None;
            }
            Self::StepHead(by) => {
                next.map.heads = step(&next.map.heads, *by, extent.heads);
                next.map.head_set = None;
            }
            Self::StepQuery(by) => step_query(&mut next.map.queries, *by, extent),
            Self::StepPicture(by) => {
                let now = AxisSet::single(next.picture.index);
                if let Some(index) = step_among(&now, *by, &extent.picture_numbers()).only() {
                    (next.picture.index, next.picture.view) = (index, None);
                }
            }
            Self::SetSource(source) => {
                next.map.source = source.clone();
                if next.view.spec().needs_pages() && !has_pages(source, extent) {
                    next.view = ViewKind::Overlay;
                    next.camera = Camera::default();
                }
            }
            Self::SetSecond(second) => {
                next.second = second.as_deref().cloned();
                if next.second.is_none() && next.quantity == Quantity::Change {
                    next.set_quantity(Quantity::default());
                }
            }
            Self::SetMix(mix) => {
                if let Some(second) = &mut next.second {
                    second.mix = *mix;
                }
            }
            Self::SelectPatches(patches) => next.selected = set_of(patches.clone()),
            Self::AddPatches(patches) => {
                next.selected.extend(patches);
                next.selected = set_of(std::mem::take(&mut next.selected));
            }
            Self::RemovePatches(patches) => next.selected.retain(|patch| !patches.contains(patch)),
            Self::SetObject(index, object) => set_object(next, *index, object),
            Self::RemoveObject(index) => {
                if (*index as usize) < next.objects.len() {
                    next.objects.remove(*index as usize);
                    let chosen = next.object.filter(|chosen| chosen != index);
                    let moved = chosen.map(|chosen| chosen - u32::from(chosen > *index));
                    choose_object(next, moved);
                }
            }
            Self::ChooseObject(index) => choose_object(next, *index),
            Self::LvlmInterpretLook => *next = next.clone().with_lvlm_interpret_look(),
            Self::Replace(state) => next.clone_from(state),
            Self::SetNormalise(_)
            | Self::SetRemoveBos(_)
            | Self::SetEveryPatch(_)
            | Self::SetColormap(_)
            | Self::SetBlend(_)
            | Self::SetOpacity(_)
            | Self::SetFadeBelow(_)
            | Self::SetInterpolation(_)
            | Self::SetGrid(_)
            | Self::SetQuantity(_)
            | Self::SetMatrixRange(_)
            | Self::SetHeadOrder(_)
            | Self::SetImageForm(_)
            | Self::SetPicture(_)
            | Self::SetPictureView(_)
            | Self::Hover(_)
            | Self::ShowCaption(_)
            | Self::SetCaptionText(_)
            | Self::ShowLegend(_)
            | Self::SetTheme(_)
            | Self::SetTextScale(_)
            | Self::SetRadius(_)
            | Self::SetSite(_) => self.change_look(next),
        }
    }

    /// Commands that set one field, independent of the trace.
    fn change_look(&self, next: &mut ViewState) {
        match self {
            Self::SetNormalise(normalise) => next.normalise = *normalise,
            Self::SetRemoveBos(remove) => next.remove_bos = *remove,
            Self::SetEveryPatch(every) => next.every_patch = *every,
            Self::SetColormap(colormap) => next.colormap = *colormap,
            Self::SetBlend(blend) => {
                // If the opacity is the default of the old blend mode, it becomes the default of the new one.
                if next.opacity == next.blend.default_opacity() {
                    next.opacity = blend.default_opacity();
                }
                next.blend = *blend;
            }
            Self::SetOpacity(opacity) => next.opacity = *opacity,
            Self::SetFadeBelow(share) => next.fade_below = *share,
            Self::SetInterpolation(interpolation) => next.interpolation = *interpolation,
            Self::SetGrid(grid) => next.grid = *grid,
            Self::SetQuantity(quantity) => next.set_quantity(*quantity),
            Self::SetMatrixRange(range) => next.matrix_range = *range,
            Self::SetHeadOrder(order) => next.head_order = *order,
            Self::SetImageForm(form) => next.picture.form = *form,
            Self::SetPicture(index) => {
                (next.picture.index, next.picture.view) = (*index, None);
            }
            Self::SetPictureView(view) => next.picture.view = *view,
            Self::Hover(patch) => next.hovered = *patch,
            Self::ShowCaption(show) => next.caption.show = *show,
            Self::SetCaptionText(text) => next.caption.text.clone_from(text),
            Self::ShowLegend(show) => next.legend = *show,
            Self::SetTheme(theme) => next.theme = *theme,
            Self::SetTextScale(scale) => next.text_scale = *scale,
            Self::SetRadius(radius) => next.radius = *radius,
            Self::SetSite(site) => next.site = Some(*site),
            Self::SetTrace(_)
            | Self::SetView(_)
            | Self::PanBy(_)
            | Self::ZoomBy { .. }
            | Self::SetCamera(_)
            | Self::SetLayers(_)
            | Self::SetHeads(_)
            | Self::SetLayerHead(..)
            | Self::SetHeadSet(_)
            | Self::SetQueries(_)
            | Self::StepLayer(_)
            | Self::StepHead(_)
            | Self::StepQuery(_)
            | Self::StepPicture(_)
            | Self::SetSource(_)
            | Self::SetSecond(_)
            | Self::SetMix(_)
            | Self::SelectPatches(_)
            | Self::AddPatches(_)
            | Self::RemovePatches(_)
            | Self::SetObject(..)
            | Self::RemoveObject(_)
            | Self::ChooseObject(_)
            | Self::LvlmInterpretLook
            | Self::Replace(_) => {
                debug_assert!(false, "{self:?} is no command of the look");
            }
        }
    }
}

fn set_object(next: &mut ViewState, index: u32, object: &MarkedObject) {
    let is_chosen = next.object == Some(index);
    match next.objects.get_mut(index as usize) {
        Some(place) => place.clone_from(object),
        None => next.objects.push(object.clone()),
    }
    if !is_chosen {
        choose_object(next, Some(index.min(next.objects.len().saturating_sub(1) as u32)));
    }
}

/// The matrix shows what lies inside the object that is chosen.
fn choose_object(next: &mut ViewState, index: Option<u32>) {
    next.object = index;
    match index {
        Some(_) => next.set_quantity(Quantity::Inside),
        None if next.quantity == Quantity::Inside => next.set_quantity(Quantity::default()),
        None => {}
    }
    if index.is_none() && next.head_order == HeadOrder::Inside {
        next.head_order = HeadOrder::default();
    }
}

/// Layers and heads belong to attention: choosing them ends a map without them, as of relevancy or occlusion.
fn show_heads(next: &mut ViewState, extent: &Bounds) {
    if !has_pages(&next.map.source, extent) {
        next.show_attention();
    }
}

fn has_pages(source: &MapSource, extent: &Bounds) -> bool {
    // The check that follows reports an unknown map.
    extent.source_kind(source) != Some(SourceKind::Numbers)
}

const MIN_ZOOM: f64 = 0.5;
const MAX_ZOOM: f64 = 200.0;

/// One member further; a set of several first becomes its end in that direction.
fn step(set: &AxisSet, by: i32, len: u32) -> AxisSet {
    let last = len.saturating_sub(1);
    let at = match (set.only(), set.named(), by > 0) {
        (Some(one), ..) => one.saturating_add_signed(by).min(last),
        (None, Some(named), true) => named.last().copied().unwrap_or(last).min(last),
        (None, Some(named), false) => named.first().copied().unwrap_or(0),
        (None, None, true) => 0,
        (None, None, false) => last,
    };
    AxisSet::single(at)
}

fn step_query(queries: &mut Queries, by: i32, extent: &Bounds) {
    if queries.kind == QueryKind::Answer {
        queries.set = step(&queries.set, by, extent.answers);
        return;
    }
    // Positions step over rows that were not kept.
    queries.set = step_among(&queries.set, by, &extent.rows);
}

/// Layers step over those without attention.
fn step_layer(layers: &AxisSet, by: i32, extent: &Bounds) -> AxisSet {
    step_among(layers, by, &extent.model.layer_numbers())
}

/// As [`step`], along an axis whose places have these numbers, ascending.
fn step_among(set: &AxisSet, by: i32, numbers: &[u32]) -> AxisSet {
    let index_of = |number: u32| numbers.partition_point(|&other| other < number) as u32;
    let indices = set.named().map(|named| named.iter().map(|&at| index_of(at)).collect());
    let indices = indices.map_or(AxisSet::MEAN, |indices| AxisSet::new(set.aggregate(), indices));
    let at = step(&indices, by, numbers.len() as u32).only().unwrap_or(0);
    numbers.get(at as usize).map_or_else(|| set.clone(), |&number| AxisSet::single(number))
}

fn set_of(mut patches: Vec<PatchRef>) -> Vec<PatchRef> {
    patches.sort_unstable();
    patches.dedup();
    patches
}
