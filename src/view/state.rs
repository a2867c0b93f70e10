//! The one struct that says everything a frame shows.

use super::spec::{SecondRule, ViewKind};
use super::{AxisSet, Queries, ViewError};
use crate::analysis::methods::Method;
use crate::files;
use crate::trace::PatchRef;
use glam::DVec2;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the state's text; a reader refuses a larger one.
pub const STATE_VERSION: u32 = 1;

/// Everything a frame shows. Numbers are f64 so that 0.6 is written as 0.6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ViewState {
    /// Version of this text.
    pub version: u32,
    /// The trace, relative to the state's own file; `None` where the caller gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// Which view.
    pub view: ViewKind,
    /// BOS left out: key 0 dropped and each row renormalised to sum 1.
    pub remove_bos: bool,
    /// The colour map.
    pub colormap: ColorMap,
    /// How the map is laid on the picture.
    pub blend: Blend,
    /// How strong the map is, 0–1.
    pub opacity: f64,
    /// How the map is enlarged between patch centres.
    pub interpolation: Interpolation,
    /// The lines between patches.
    pub grid: PatchGrid,
    /// What the layer × head matrix shows.
    pub quantity: Quantity,
    /// How the heads view is sorted.
    pub head_order: HeadOrder,
    /// Whether the legend with the numeric range is drawn.
    pub legend: bool,
    /// Dark or light surroundings.
    pub theme: Theme,
    /// Multiplies every type size (presentations).
    pub text_scale: f64,
    /// The map that is shown.
    pub map: MapChoice,
    /// A second map and how both are mixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Second>,
    /// How numbers become 0–1.
    pub normalise: Normalise,
    /// Which picture lies beneath, and in which form.
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
}

impl Default for ViewState {
    fn default() -> Self {
        Self {
            version: STATE_VERSION,
            trace: None,
            view: ViewKind::default(),
            remove_bos: false,
            colormap: ColorMap::default(),
            blend: Blend::default(),
            opacity: 1.0,
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
        }
    }
}

named! {
    /// Colour maps. Their tables are baked by the renderer.
    ColorMap {
        /// Perceptual, black to yellow.
        #[default]
        Inferno = "inferno",
        /// Perceptual, black to pale pink.
        Magma = "magma",
        /// Perceptual, violet to yellow.
        Viridis = "viridis",
        /// MATLAB's rainbow, as LVLM-Interpret shows it.
        Jet = "jet",
        /// A rainbow without jet's false edges.
        Turbo = "turbo",
        /// Diverging, blue to red.
        Coolwarm = "coolwarm",
        /// Black to white.
        Grey = "grey",
    }
}

named! {
    /// How a map is laid on the picture.
    Blend {
        /// Opacity follows the value: unattended parts stay untouched.
        #[default]
        Glow = "glow",
        /// The same opacity everywhere.
        Flat = "flat",
        /// The picture times the colour.
        Multiply = "multiply",
        /// What is not attended is dimmed.
        Spotlight = "spotlight",
        /// Lines at quantiles of the map.
        Contours = "contours",
    }
}

named! {
    /// How a map is enlarged.
    Interpolation {
        /// Patches as squares.
        Nearest = "nearest",
        /// Linear between patch centres.
        Bilinear = "bilinear",
        /// Catmull-Rom between patch centres.
        #[default]
        Bicubic = "bicubic",
    }
}

named! {
    /// The lines between patches.
    PatchGrid {
        /// None.
        Off = "off",
        /// Hairlines that appear when patches are large enough on screen.
        #[default]
        Auto = "auto",
        /// Always.
        On = "on",
    }
}

named! {
    /// One number for each layer and head, averaged over the chosen queries.
    Quantity {
        /// Mean attention on a patch.
        #[default]
        ImageToAnswer = "image-to-answer",
        /// Mean attention on a question position.
        QuestionToAnswer = "question-to-answer",
        /// Sum of the attention on all patches.
        ImageShare = "image-share",
        /// Entropy in nats of the attention on the patches, normalised to sum 1.
        Entropy = "entropy",
    }
}

named! {
    /// How the heads view is sorted.
    HeadOrder {
        /// By number.
        #[default]
        Index = "index",
        /// Largest image share first.
        ImageShare = "image-share",
        /// Largest single patch first.
        Peak = "peak",
        /// Lowest entropy (the most focused) first.
        Entropy = "entropy",
    }
}

named! {
    /// Surroundings of the picture.
    Theme {
        /// Neutral dark.
        #[default]
        Dark = "dark",
        /// Neutral light, for print.
        Light = "light",
    }
}

named! {
    /// Which form of a picture lies beneath.
    ImageForm {
        /// What the model saw.
        #[default]
        Preprocessed = "preprocessed",
        /// The file as it was given.
        Original = "original",
    }
}

named! {
    /// From numbers to 0–1 along the range.
    Scale {
        /// Linear.
        #[default]
        Linear = "linear",
        /// Logarithmic over four decades below the upper end.
        Log = "log",
    }
}

/// What a source holds, which decides the views that can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Pages [rows, L, H, T]: every layer and head of a query row. Every view shows these.
    Pages,
    /// One number a patch and answer token, [G, N] or [G, T]: layers and heads are gone already,
    /// so that no view of them can show it.
    Numbers,
}

/// Where the numbers of a map come from: "attention", or a named map of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MapSource {
    /// Attention weights.
    #[default]
    Attention,
    /// `relevancy.llm`, `map.rollout`, …: one row an answer token.
    Named(String),
}

impl ColorMap {
    /// Whether the middle of the map is its neutral point: the map for differences.
    pub const fn is_diverging(self) -> bool {
        matches!(self, Self::Coolwarm)
    }
}

impl MapSource {
    /// The name in TOML and on the command line.
    pub fn name(&self) -> &str {
        match self {
            Self::Attention => "attention",
            Self::Named(name) => name,
        }
    }

    /// Whether its numbers have two signs about a 0 that means "nothing": what a part of the
    /// picture is worth.
    pub fn is_signed(&self) -> bool {
        match self {
            Self::Attention => false,
            Self::Named(name) => Method::of_tensor(name).is_some_and(|method| method.signed),
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

/// One map: a source and what is reduced. Named maps have no layers or heads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MapChoice {
    /// Attention or a named map.
    pub source: MapSource,
    /// Layers.
    pub layers: AxisSet,
    /// Heads.
    pub heads: AxisSet,
    /// Query rows.
    pub queries: Queries,
}

impl Default for MapChoice {
    fn default() -> Self {
        Self {
            source: MapSource::Attention,
            layers: AxisSet::MEAN,
            heads: AxisSet::MEAN,
            queries: Queries::answer(0),
        }
    }
}

/// A second map beside the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Second {
    /// Another trace; `None` is the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// The map.
    pub map: MapChoice,
    /// How both become one picture.
    pub mix: Mix,
}

/// How two maps are shown together. Each is normalised on its own, except for a difference.
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
        /// Where the line is, 0–1 of the stage's width.
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

/// How numbers become 0–1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Normalise {
    /// The numbers that become 0 and 1.
    pub range: Range,
    /// The way between them.
    pub scale: Scale,
}

/// The numbers that become 0 and 1.
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
        /// Becomes 0.
        min: f64,
        /// Becomes 1.
        max: f64,
    },
    /// Percentiles of each map; what lies outside is clipped.
    Percentile {
        /// Becomes 0, 0–100.
        low: f64,
        /// Becomes 1, 0–100.
        high: f64,
    },
}

/// Which picture lies beneath, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PictureChoice {
    /// Index of the picture in the trace.
    pub index: u32,
    /// The one view of it that is looked at, an index over all views of the trace; without it, the views of the canvas
    /// with most patches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<u32>,
    /// What the model saw, or the file as given.
    pub form: ImageForm,
}

/// Zoom and pan, in the stage's own units: independent of the size of the target.
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
    /// The middle stays near the content.
    const NEAR: [DVec2; 2] = [DVec2::splat(-0.5), DVec2::splat(1.5)];

    /// Moved by a part of the stage: the content follows the pointer.
    #[must_use]
    pub fn panned(self, by: [f64; 2]) -> Self {
        self.at(DVec2::from(self.centre) - DVec2::from(by) / self.zoom)
    }

    /// With another zoom, about a point of the content that stays where it is on the stage.
    #[must_use]
    pub fn zoomed(self, zoom: f64, about: [f64; 2]) -> Self {
        let about = DVec2::from(about);
        let centre = about + (DVec2::from(self.centre) - about) * (self.zoom / zoom);
        Self { zoom, ..self.at(centre) }
    }

    /// `part` (0–1) of the way of the centre to that of another camera.
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
    /// Whether it is drawn.
    pub show: bool,
    /// Replaces the text that says what is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Default for Caption {
    fn default() -> Self {
        Self { show: true, text: None }
    }
}

impl Blend {
    /// The strength that leaves the picture visible beneath.
    pub const fn default_opacity(self) -> f64 {
        match self {
            Self::Flat | Self::Multiply => 0.5,
            Self::Glow | Self::Spotlight | Self::Contours => 1.0,
        }
    }
}

impl ViewState {
    /// The second map and how it is mixed in; `None` where the view shows one map only. The diff
    /// view always subtracts.
    pub fn shown_second(&self) -> Option<(&Second, Mix)> {
        let second = self.second.as_ref()?;
        match self.view.spec().second {
            SecondRule::Mixed => Some((second, second.mix)),
            SecondRule::Subtracted => Some((second, Mix::Difference)),
            SecondRule::Hidden => None,
        }
    }

    /// Whether the first map minus the second is shown.
    pub fn is_difference(&self) -> bool {
        matches!(self.shown_second(), Some((_, Mix::Difference)))
    }

    /// Whether the numbers have two signs: a difference, or a map whose 0 means "nothing".
    pub fn is_diverging(&self) -> bool {
        let is_signed = match self.shown_second() {
            Some((second, _)) => self.map.source.is_signed() && second.map.source.is_signed(),
            None => self.map.source.is_signed() && self.view.spec().has_maps(),
        };
        self.is_difference() || is_signed
    }

    /// Whether the way between the ends is logarithmic; what has two signs never is.
    pub fn is_logarithmic(&self) -> bool {
        self.normalise.scale == Scale::Log && !self.is_diverging()
    }

    /// The colour map that is seen: two signs need a neutral middle.
    pub fn shown_colormap(&self) -> ColorMap {
        if self.is_diverging() && !self.colormap.is_diverging() {
            ColorMap::Coolwarm
        } else {
            self.colormap
        }
    }

    /// LVLM-Interpret's look: jet at 50 % over the preprocessed picture, each map on its own range.
    #[must_use]
    pub fn with_lvlm_interpret_look(mut self) -> Self {
        self.colormap = ColorMap::Jet;
        self.blend = Blend::Flat;
        self.opacity = 0.5;
        self.interpolation = Interpolation::Bicubic;
        self.normalise = Normalise::default();
        self.remove_bos = false;
        self.grid = PatchGrid::Off;
        self.picture.form = ImageForm::Preprocessed;
        self
    }

    /// Reads a state from TOML.
    ///
    /// # Errors
    /// Text that is not TOML, has unknown or ill-typed fields (named with their line), or is of a
    /// newer version.
    pub fn from_toml(text: &str) -> Result<Self, ViewError> {
        #[derive(Deserialize)]
        struct Said {
            version: Option<u32>,
            opacity: Option<f64>,
        }
        // Looked at first, so that a newer state is named as such rather than by an odd field.
        let said = toml::from_str::<Said>(text);
        if let Ok(Said { version: Some(found), .. }) = said
            && found > STATE_VERSION
        {
            return Err(ViewError::Newer { found, supported: STATE_VERSION });
        }
        let mut state: Self =
            toml::from_str(text).map_err(|error| ViewError::Parse { reason: error.to_string() })?;
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
