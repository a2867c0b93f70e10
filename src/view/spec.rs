//! The views and their properties: one row per view, which layout, renderer, captions, commands and window read.

use crate::analysis::reduce::Keep;

named! {
    /// The views.
    ViewKind {
        /// One map over the picture.
        #[default]
        Overlay = "overlay",
        /// All heads of the chosen layer as small multiples over the picture.
        Heads = "heads",
        /// All layers × heads at once.
        Wall = "wall",
        /// One number for each layer and head.
        LayerHead = "layer-head",
        /// Query × key of one head.
        TokenMatrix = "token-matrix",
        /// A relevancy map over the picture, with the most relevant words beside it.
        Relevancy = "relevancy",
        /// The first map minus the second over the picture.
        Diff = "diff",
        /// The map over every picture or video frame, side by side, with its share.
        Pictures = "pictures",
        /// The causal graph of an answer token: a tree around it, and its patches on the picture.
        Causal = "causal",
        /// A table: the share of an answer that returns when activations are copied into the run on another picture.
        Patch = "patch",
    }
}

/// The properties of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// The drawing on the stage.
    pub drawing: Drawing,
    /// The parts of the stage: targets of the pointer, and rows of a CSV file.
    pub parts: Parts,
    /// The axes that are not reduced, if the view draws maps over patches; `None`: it draws numbers.
    pub keep: Option<Keep>,
    /// Whether maps are drawn over the picture, so that blend mode, patch grid and selection are visible.
    pub over_picture: bool,
    /// The pictures that are shown.
    pub pictures: PictureRule,
    /// The axes of which all members are shown.
    pub every: Every,
    /// The treatment of a second map.
    pub second: SecondRule,
    /// The sources that the view can show.
    pub source: SourceRule,
    /// The controls above the stage.
    pub controls: Controls,
    /// The view whose tab in the window also stands for this view.
    pub tab: ViewKind,
    /// Whether a new trace with a picture may open in this view.
    pub can_open: bool,
}

/// The drawing on the stage of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Maps over the picture, once or in tiles.
    Overlays,
    /// Maps without the picture, one per layer and head.
    Wall,
    /// One cell per layer and head.
    Matrix,
    /// Query × key.
    TokenMatrix,
    /// Nodes and edges beside the picture.
    Tree,
    /// One cell for each place of activation patching, beside the picture.
    Table,
}

/// The parts of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Patches of pictures.
    Patches,
    /// Tiles of heads, each with the patches of the picture.
    Heads,
    /// Cells: one row per layer, one column per head.
    LayersHeads,
    /// Cells: one row per query, one column per key.
    QueriesKeys,
    /// Cells: one for each place of activation patching.
    Places,
}

impl Parts {
    /// The names of the rows and columns of cells; `None` if the parts are patches.
    pub const fn axes(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Patches | Self::Heads | Self::Places => None,
            Self::LayersHeads => Some(["layer", "head"]),
            Self::QueriesKeys => Some(["query", "key"]),
        }
    }
}

/// The axes of which all members are shown: on these, the choice of one member changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// Every query position.
    pub tokens: bool,
    /// Every layer.
    pub layers: bool,
    /// Every head.
    pub heads: bool,
}

/// The pictures that a view shows if there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureRule {
    /// The chosen one.
    Chosen,
    /// All of them, side by side.
    All,
}

/// The treatment of a second map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondRule {
    /// The second map is mixed in with [`super::Mix`].
    Mixed,
    /// A second map is required and is subtracted.
    Subtracted,
    /// The second map is not shown.
    Hidden,
}

/// The sources that a view can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRule {
    /// Attention, pages and, if layers and heads are folded, named maps.
    Any,
    /// A relevancy map.
    Relevancy,
}

/// The controls above the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controls {
    /// None.
    None,
    /// The mix of two maps, if there are two.
    Mix,
    /// The order of heads.
    HeadOrder,
    /// The quantity that is shown.
    Quantity,
    /// The columns of pictures in the token matrix.
    Columns,
    /// Head and distance of the causal graph.
    Causal,
    /// The copied activations.
    Site,
}

impl ViewSpec {
    /// Whether the view shows individual layers, heads or keys, so that only pages can be its source.
    pub const fn needs_pages(&self) -> bool {
        self.every.tokens || self.every.layers || self.every.heads
    }

    /// The axes that are not reduced; a view of numbers reduces all.
    pub const fn kept(&self) -> Keep {
        match self.keep {
            Some(keep) => keep,
            None => Keep::One,
        }
    }

    /// Whether pictures are drawn in tiles of the stage, and not on all of it.
    pub const fn has_tiles(&self) -> bool {
        matches!(self.parts, Parts::Heads)
            || matches!(self.pictures, PictureRule::All)
            || matches!(self.drawing, Drawing::Tree | Drawing::Table)
    }

    /// Whether the view draws maps over patches, so that the trace needs a picture.
    pub const fn has_maps(&self) -> bool {
        self.keep.is_some()
    }
}

const NONE: Every = Every { tokens: false, layers: false, heads: false };

/// The view of one map over the picture; other views are defined by their differences from it.
const OVERLAY: ViewSpec = ViewSpec {
    drawing: Drawing::Overlays,
    parts: Parts::Patches,
    keep: Some(Keep::One),
    over_picture: true,
    pictures: PictureRule::Chosen,
    every: NONE,
    second: SecondRule::Mixed,
    source: SourceRule::Any,
    controls: Controls::Mix,
    tab: ViewKind::Overlay,
    can_open: true,
};

impl ViewKind {
    /// The properties of the view.
    pub const fn spec(self) -> ViewSpec {
        match self {
            Self::Overlay => OVERLAY,
            Self::Heads => ViewSpec {
                parts: Parts::Heads,
                keep: Some(Keep::Heads),
                every: Every { heads: true, ..NONE },
                controls: Controls::HeadOrder,
                tab: self,
                ..OVERLAY
            },
            Self::Wall => ViewSpec {
                drawing: Drawing::Wall,
                parts: Parts::LayersHeads,
                keep: Some(Keep::LayersHeads),
                over_picture: false,
                every: Every { layers: true, heads: true, ..NONE },
                controls: Controls::HeadOrder,
                tab: self,
                ..OVERLAY
            },
            Self::LayerHead => ViewSpec {
                drawing: Drawing::Matrix,
                parts: Parts::LayersHeads,
                keep: None,
                over_picture: false,
                every: Every { layers: true, heads: true, ..NONE },
                second: SecondRule::Hidden,
                controls: Controls::Quantity,
                tab: self,
                ..OVERLAY
            },
            Self::TokenMatrix => ViewSpec {
                drawing: Drawing::TokenMatrix,
                parts: Parts::QueriesKeys,
                keep: None,
                over_picture: false,
                every: Every { tokens: true, ..NONE },
                second: SecondRule::Hidden,
                controls: Controls::Columns,
                tab: self,
                can_open: false,
                ..OVERLAY
            },
            Self::Relevancy => ViewSpec {
                source: SourceRule::Relevancy,
                controls: Controls::None,
                can_open: false,
                ..OVERLAY
            },
            Self::Pictures => {
                ViewSpec { pictures: PictureRule::All, tab: self, can_open: false, ..OVERLAY }
            }
            Self::Causal => ViewSpec {
                drawing: Drawing::Tree,
                keep: None,
                second: SecondRule::Hidden,
                controls: Controls::Causal,
                tab: self,
                can_open: false,
                ..OVERLAY
            },
            Self::Patch => ViewSpec {
                drawing: Drawing::Table,
                parts: Parts::Places,
                keep: None,
                second: SecondRule::Hidden,
                controls: Controls::Site,
                can_open: false,
                ..OVERLAY
            },
            Self::Diff => ViewSpec {
                second: SecondRule::Subtracted,
                controls: Controls::None,
                can_open: false,
                ..OVERLAY
            },
        }
    }
}
