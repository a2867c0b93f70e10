//! The views, and what each is: one row a view, which layout, renderer, captions, commands and window ask.

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
    }
}

/// What a view shows and needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// What draws the stage.
    pub drawing: Drawing,
    /// What the stage is divided into: what the pointer hits, and the rows of a CSV file.
    pub parts: Parts,
    /// Which axes keep a map each, where the view draws maps over patches; `None`: it draws numbers.
    pub keep: Option<Keep>,
    /// Whether maps lie on the picture, so that blend mode, patch grid and selection are seen.
    pub over_picture: bool,
    /// Which axes are shown member by member.
    pub every: Every,
    /// What happens with a second map.
    pub second: SecondRule,
    /// Which sources fill it.
    pub source: SourceRule,
    /// The controls above the stage.
    pub controls: Controls,
    /// The tab of the window that stands for it.
    pub tab: ViewKind,
    /// Whether a trace with a picture may open in it.
    pub can_open: bool,
}

/// What draws the stage of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Maps over the picture, once or in tiles.
    Overlays,
    /// Maps without the picture, one a layer and head.
    Wall,
    /// A cell for each layer and head.
    Matrix,
    /// Query × key.
    TokenMatrix,
}

/// What the stage is divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Patches of one picture.
    Patches,
    /// Tiles of heads, each with the patches of the picture.
    Heads,
    /// Cells: a layer a row, a head a column.
    LayersHeads,
    /// Cells: a query a row, a key a column.
    QueriesKeys,
}

impl Parts {
    /// The names of rows and columns of cells; `None` where there are patches.
    pub const fn axes(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Patches | Self::Heads => None,
            Self::LayersHeads => Some(["layer", "head"]),
            Self::QueriesKeys => Some(["query", "key"]),
        }
    }
}

/// The axes that are shown member by member: choosing one member changes nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// Every query position.
    pub tokens: bool,
    /// Every layer.
    pub layers: bool,
    /// Every head.
    pub heads: bool,
}

/// What a view does with a second map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondRule {
    /// It is mixed in as the state says.
    Mixed,
    /// There must be one, and it is subtracted.
    Subtracted,
    /// It is not shown.
    Hidden,
}

/// Which sources fill a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRule {
    /// Attention, pages and, where layers and heads are folded, named maps.
    Any,
    /// A relevancy map.
    Relevancy,
}

/// The controls above the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controls {
    /// None.
    None,
    /// How two maps are mixed, where there are two.
    Mix,
    /// How heads are sorted.
    HeadOrder,
    /// Which number is shown.
    Quantity,
}

impl ViewSpec {
    /// Whether the view shows layers, heads or keys one by one, so that only pages can fill it.
    pub const fn needs_pages(&self) -> bool {
        self.every.tokens || self.every.layers || self.every.heads
    }

    /// The axes that keep a map each; a view of numbers reduces all.
    pub const fn kept(&self) -> Keep {
        match self.keep {
            Some(keep) => keep,
            None => Keep::One,
        }
    }

    /// Whether the view draws maps over patches, so that the trace needs a picture.
    pub const fn has_maps(&self) -> bool {
        self.keep.is_some()
    }
}

const NONE: Every = Every { tokens: false, layers: false, heads: false };

/// The view of one map over the picture: what others differ from.
const OVERLAY: ViewSpec = ViewSpec {
    drawing: Drawing::Overlays,
    parts: Parts::Patches,
    keep: Some(Keep::One),
    over_picture: true,
    every: NONE,
    second: SecondRule::Mixed,
    source: SourceRule::Any,
    controls: Controls::Mix,
    tab: ViewKind::Overlay,
    can_open: true,
};

impl ViewKind {
    /// What the view shows and needs.
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
                controls: Controls::None,
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
                controls: Controls::None,
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
            Self::Diff => ViewSpec {
                second: SecondRule::Subtracted,
                controls: Controls::None,
                can_open: false,
                ..OVERLAY
            },
        }
    }
}
