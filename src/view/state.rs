//! The struct that describes everything in a frame.

use super::look::{Blend, ColorMap, HeadOrder, ImageForm, Interpolation, PatchGrid, Scale, Theme};
use super::spec::{Drawing, SecondRule, SourceRule, ViewKind};
use super::{Aggregate, AxisSet, HeadSet, MarkedObject, Quantity, Queries, ViewError};
use crate::analysis::methods::Method;
use crate::analysis::patching::{Site, of_layer_map};
use crate::analysis::reduce::Keep;
use crate::files;
use crate::trace::PatchRef;
use glam::DVec2;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the state's text; a reader refuses a newer one.
pub const STATE_VERSION: u32 = 1;
/// Default of [`ViewState::fade_below`].
pub const FADE_BELOW: f64 = 0.01;

/// The description of everything in a frame. Numbers are f64, so that 0.6 is written as 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ViewState {
    /// Version of this text.
    pub version: u32,
    /// The trace, relative to the state's own file; `None` if the caller provides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// The view.
    pub view: ViewKind,
    /// Whether BOS is left out: key 0 is dropped and each row renormalised to sum 1.
    pub remove_bos: bool,
    /// Whether the token matrix has a column for every patch; if not, one for each picture.
    pub every_patch: bool,
    /// The colour map.
    pub colormap: ColorMap,
    /// The blend of the map with the picture.
    pub blend: Blend,
    /// Opacity of the map, 0–1.
    pub opacity: f64,
    /// The share of the attention on the picture below which its glow fades, 0–1; 0 fades none.
    pub fade_below: f64,
    /// The interpolation of the map between patch centres.
    pub interpolation: Interpolation,
    /// The lines between patches.
    pub grid: PatchGrid,
    /// The quantity in the layer × head matrix.
    pub quantity: Quantity,
    /// The order of heads in the heads view and, within each layer, on the wall.
    pub head_order: HeadOrder,
    /// Whether the legend with the numeric range is drawn.
    pub legend: bool,
    /// Dark or light surroundings.
    pub theme: Theme,
    /// Multiplies every type size (presentations).
    pub text_scale: f64,
    /// The map that is shown.
    pub map: MapChoice,
    /// A second map and its mix with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Second>,
    /// The mapping of numbers to 0–1.
    pub normalise: Normalise,
    /// The picture beneath the map, and its form.
    pub picture: PictureChoice,
    /// Zoom and pan.
    pub camera: Camera,
    /// The line below the figure.
    pub caption: Caption,
    /// The patch under the pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hovered: Option<PatchRef>,
    /// The chosen patches, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<PatchRef>,
    /// The chosen one of the marked objects, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<u32>,
    /// The values at the ends of the colours of the layer × head matrix; `None`: its smallest and largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix_range: Option<[f64; 2]>,
    /// Marked objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<MarkedObject>,
    /// The largest distance from the answer token that the causal view shows, from 1; `None`: all that the graph has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius: Option<u32>,
    /// The copied activations that the patch view shows; `None`: the first table that the trace holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
}

impl Default for ViewState {
    fn default() -> Self {
        Self {
            version: STATE_VERSION,
            trace: None,
            view: ViewKind::default(),
            remove_bos: false,
            every_patch: false,
            colormap: ColorMap::default(),
            blend: Blend::default(),
            opacity: 1.0,
            fade_below: FADE_BELOW,
            interpolation: Interpolation::default(),
            grid: PatchGrid::default(),
            quantity: Quantity::default(),
            head_order: HeadOrder::default(),
            legend: true,
            theme: Theme::default(),
            text_scale: 1.0,
            map: MapChoice::default(),
            second: None,
            normalise: Normalise::default(),
            picture: PictureChoice::default(),
            camera: Camera::default(),
            caption: Caption::default(),
            hovered: None,
            selected: Vec::new(),
            object: None,
            matrix_range: None,
            objects: Vec::new(),
            radius: None,
            site: None,
        }
    }
}

/// The kind of a source, which determines the views that can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Pages [rows, L, H, T]: every layer and head of a query row. Every view can show these.
    Pages,
    /// One number per patch or position and answer token, [G, N] or [G, T]: layers and heads are already folded, so
    /// views of layers or heads cannot show it.
    Numbers,
}

/// The source of a map's numbers: "attention", or a named map of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MapSource {
    /// Attention weights.
    #[default]
    Attention,
    /// `relevancy.llm`, `map.rollout`, …: one row per answer token.
    Named(String),
}

impl MapSource {
    /// The name in TOML and on the command line.
    pub fn name(&self) -> &str {
        match self {
            Self::Attention => "attention",
            Self::Named(name) => name,
        }
    }

    /// Whether its numbers have two signs about a 0 that means "no effect".
    pub fn is_signed(&self) -> bool {
        match self {
            Self::Attention => false,
            Self::Named(name) => {
                Method::of_tensor(name).is_some_and(|method| method.signed)
                    || of_layer_map(name).is_some()
            }
        }
    }
}

impl From<String> for MapSource {
    fn from(name: String) -> Self {
        if name == "attention" { Self::Attention } else { Self::Named(name) }
    }
}

impl From<MapSource> for String {
    fn from(source: MapSource) -> Self {
        source.name().to_owned()
    }
}

/// One map: a source and its reductions. Named maps have no layers or heads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MapChoice {
    /// Attention or a named map.
    pub source: MapSource,
    /// Layers.
    pub layers: AxisSet,
    /// Heads.
    pub heads: AxisSet,
    /// Single heads of several layers, whose mean is shown in place of `layers` and `heads` by views of one map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_set: Option<HeadSet>,
    /// Query rows.
    pub queries: Queries,
}

impl Default for MapChoice {
    fn default() -> Self {
        Self {
            source: MapSource::Attention,
            layers: AxisSet::MEAN,
            heads: AxisSet::MEAN,
            head_set: None,
            queries: Queries::answer(0),
        }
    }
}

/// A second map beside the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Second {
    /// Another trace; `None` is the trace of the first map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// The map.
    pub map: MapChoice,
    /// The mix of both maps.
    pub mix: Mix,
}

/// The mix of two maps. Each map is normalised by itself, except for a difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Mix {
    /// (1 − amount) × first + amount × second.
    CrossFade {
        /// 0 shows the first, 1 the second.
        amount: f64,
    },
    /// The first left of a line, the second right of it.
    Swipe {
        /// Position of the line, 0–1 of the stage's width.
        position: f64,
    },
    /// First − second, of the raw numbers, on a range symmetric about 0.
    Difference,
}

impl Default for Mix {
    fn default() -> Self {
        Self::CrossFade { amount: 0.5 }
    }
}

/// The mapping of numbers to 0–1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Normalise {
    /// The values that become 0 and 1.
    pub range: Range,
    /// The scale between them.
    pub scale: Scale,
}

/// The values that become 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Range {
    /// Smallest and largest value of each map.
    #[default]
    PerMap,
    /// Smallest and largest value over every map in the view.
    Shared,
    /// Given numbers.
    Fixed {
        /// The value that becomes 0.
        min: f64,
        /// The value that becomes 1.
        max: f64,
    },
    /// Percentiles of each map; values outside are clipped.
    Percentile {
        /// The percentile that becomes 0, 0–100.
        low: f64,
        /// The percentile that becomes 1, 0–100.
        high: f64,
    },
}

/// The picture beneath the map, and its form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PictureChoice {
    /// Index of the picture in the trace.
    pub index: u32,
    /// The chosen view, an index over all views of the trace; `None`: all views of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<u32>,
    /// The pixels that the model saw, or the original file.
    pub form: ImageForm,
}

/// Zoom and pan, in units of the stage: independent of the size of the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Camera {
    /// The point of the content ([0, 1]²: picture, wall or matrix) in the middle of the stage.
    pub centre: [f64; 2],
    /// 1 fits the content into the stage; 2 shows half of it.
    pub zoom: f64,
}

impl Default for Camera {
    fn default() -> Self {
        Self { centre: [0.5, 0.5], zoom: 1.0 }
    }
}

impl Camera {
    /// Limits of the centre, so that it stays near the content.
    const NEAR: [DVec2; 2] = [DVec2::splat(-0.5), DVec2::splat(1.5)];

    /// Moves the camera by a part of the stage: the content follows the pointer.
    #[must_use]
    pub fn panned(self, by: [f64; 2]) -> Self {
        self.at(DVec2::from(self.centre) - DVec2::from(by) / self.zoom)
    }

    /// Changes the zoom; the content's point `about` keeps its position on the stage.
    #[must_use]
    pub fn zoomed(self, zoom: f64, about: [f64; 2]) -> Self {
        let about = DVec2::from(about);
        let centre = about + (DVec2::from(self.centre) - about) * (self.zoom / zoom);
        Self { zoom, ..self.at(centre) }
    }

    /// The centre moved by the share `part` (0–1) towards the centre of another camera.
    pub(super) fn centre_towards(self, to: Self, part: f64) -> [f64; 2] {
        DVec2::from(self.centre).lerp(to.centre.into(), part).into()
    }

    fn at(self, centre: DVec2) -> Self {
        let [least, most] = Self::NEAR;
        Self { centre: centre.clamp(least, most).into(), ..self }
    }
}

/// The line below the figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Caption {
    /// Whether the caption is drawn.
    pub show: bool,
    /// A text that replaces the description of the view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Default for Caption {
    fn default() -> Self {
        Self { show: true, text: None }
    }
}

impl ViewState {
    /// Shows attention in place of another map; the view of relevancy becomes that of one map.
    pub fn show_attention(&mut self) {
        self.map.source = MapSource::Attention;
        if self.view.spec().source == SourceRule::Relevancy {
            (self.view, self.camera) = (ViewKind::Overlay, Camera::default());
        }
    }

    /// Whether the numbers of each map that the view draws are shares of the attention: weights, of which no maximum was
    /// taken. Axes that the view keeps are not reduced.
    pub fn has_shares(&self, map: &MapChoice) -> bool {
        let is_max = |set: &AxisSet| set.aggregate() == Aggregate::Max;
        let is_reduced_to_max = match self.view.spec().keep {
            Some(Keep::LayersHeads) => false,
            Some(Keep::Heads) => is_max(&map.layers),
            Some(Keep::One) | None => {
                map.head_set.is_none() && (is_max(&map.layers) || is_max(&map.heads))
            }
        };
        map.source == MapSource::Attention && !is_reduced_to_max && !is_max(&map.queries.set)
    }

    /// The strength of the glow of a map that puts `share` of its attention on the picture, 0–1. Given ends of the colour
    /// map already show how strong a map is.
    pub fn glow_strength(&self, map: &MapChoice, share: f32) -> f32 {
        let fades = self.fade_below > 0.0
            && self.has_shares(map)
            && !matches!(self.normalise.range, Range::Fixed { .. });
        if fades { (share / self.fade_below as f32).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// The second map and its mix; `None` if the view shows only one map. The diff view always subtracts.
    pub fn shown_second(&self) -> Option<(&Second, Mix)> {
        let second = self.second.as_ref()?;
        match self.view.spec().second {
            SecondRule::Mixed => Some((second, second.mix)),
            SecondRule::Subtracted => Some((second, Mix::Difference)),
            SecondRule::Hidden => None,
        }
    }

    /// Whether the view shows the first map minus the second.
    pub fn is_difference(&self) -> bool {
        matches!(self.shown_second(), Some((_, Mix::Difference)))
    }

    /// Whether the numbers have two signs: a difference, or a map whose 0 means "no effect".
    pub fn is_diverging(&self) -> bool {
        if self.view.spec().drawing == Drawing::Matrix {
            return self.quantity.is_signed();
        }
        if self.view.spec().drawing == Drawing::Table {
            return true;
        }
        let is_signed = match self.shown_second() {
            Some((second, _)) => self.map.source.is_signed() && second.map.source.is_signed(),
            None => self.map.source.is_signed() && self.view.spec().has_maps(),
        };
        self.is_difference() || is_signed
    }

    /// Whether the scale between the ends is logarithmic; it never is for numbers of two signs.
    pub fn is_logarithmic(&self) -> bool {
        self.normalise.scale == Scale::Log && !self.is_diverging()
    }

    /// The interpolation in use: the patches of a group that was copied together have one value, without a gradient.
    pub fn shown_interpolation(&self) -> Interpolation {
        match of_layer_map(self.map.source.name()) {
            Some(_) => Interpolation::Nearest,
            None => self.interpolation,
        }
    }

    /// The colour map in use: numbers of two signs need a neutral middle.
    pub fn shown_colormap(&self) -> ColorMap {
        if self.is_diverging() && !self.colormap.is_diverging() {
            ColorMap::Coolwarm
        } else {
            self.colormap
        }
    }

    /// Sets LVLM-Interpret's look: jet at 50 % over the preprocessed picture, each map with its own range.
    #[must_use]
    pub fn with_lvlm_interpret_look(mut self) -> Self {
        self.colormap = ColorMap::Jet;
        self.blend = Blend::Flat;
        self.opacity = 0.5;
        self.fade_below = 0.0;
        self.interpolation = Interpolation::Bicubic;
        self.normalise = Normalise::default();
        self.remove_bos = false;
        self.grid = PatchGrid::Off;
        self.picture.form = ImageForm::Preprocessed;
        self.set_quantity(Quantity::ImageToAnswer);
        self
    }

    /// Chooses the quantity of the matrix. Another quantity has another range.
    pub fn set_quantity(&mut self, quantity: Quantity) {
        if self.quantity != quantity {
            self.quantity = quantity;
            self.matrix_range = None;
        }
    }

    /// Reads a state from TOML.
    ///
    /// # Errors
    /// Text that is not TOML, has unknown or wrongly typed fields (named with their line), or is of a newer version.
    pub fn from_toml(text: &str) -> Result<Self, ViewError> {
        #[derive(Deserialize)]
        struct Said {
            version: Option<u32>,
            opacity: Option<f64>,
        }
        // The version is checked first, so that the error for a newer state names the version, not an unknown field.
        let said = toml::from_str::<Said>(text);
        if let Ok(Said { version: Some(found), .. }) = said
            && found > STATE_VERSION
        {
            return Err(ViewError::Newer { found, supported: STATE_VERSION });
        }
        let mut state: Self = toml::from_str(text).map_err(|error| ViewError::Parse {
            reason: files::without_type_names(&error.to_string()),
        })?;
        if !said.is_ok_and(|said| said.opacity.is_some()) {
            state.opacity = state.blend.default_opacity();
        }
        Ok(Self { version: STATE_VERSION, ..state })
    }

    /// The state as TOML; [`Self::from_toml`] reads it back unchanged.
    ///
    /// # Errors
    /// If a path in it is not Unicode.
    pub fn to_toml(&self) -> Result<String, ViewError> {
        toml::to_string(self).map_err(|error| ViewError::Parse { reason: error.to_string() })
    }

    /// The state as `path` is to hold it: its traces named as that file finds them again.
    ///
    /// # Errors
    /// If the current folder is needed and cannot be found.
    pub fn named_from(&self, path: &Path) -> std::io::Result<Self> {
        let mut state = self.clone();
        let second = state.second.as_mut().and_then(|second| second.trace.as_mut());
        for trace in state.trace.iter_mut().chain(second) {
            *trace = files::name_from(path, trace)?;
        }
        Ok(state)
    }

    /// Reads a state from a file; the traces in it are relative to the file's folder.
    ///
    /// # Errors
    /// As [`Self::from_toml`], or a file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, ViewError> {
        let text = files::read_text(path)
            .map_err(|source| ViewError::Read { path: path.to_owned(), source })?;
        let mut state = Self::from_toml(&text).map_err(|error| ViewError::InFile {
            path: path.to_owned(),
            source: Box::new(error),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let second = state.second.as_mut().and_then(|second| second.trace.as_mut());
        for trace in state.trace.iter_mut().chain(second) {
            *trace = folder.join(&*trace);
        }
        Ok(state)
    }
}
