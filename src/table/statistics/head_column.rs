//! The columns of the heads table that hold a number of each head.

use crate::view::Unit;
use serde::{Deserialize, Serialize};

/// A number of each head at each answer token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadColumn {
    /// Share of the attention on the picture × (1 − entropy / ln N).
    #[default]
    Focus,
    /// Sum of the attention on all patches.
    ImageShare,
    /// Entropy in nats of the attention on the patches.
    Entropy,
    /// Largest attention on a patch.
    Peak,
    /// Attention on the first position.
    SinkShare,
    /// Attention inside the object.
    Inside,
}

impl HeadColumn {
    /// All columns, in the order in which they are offered.
    pub const ALL: [Self; 6] =
        [Self::Focus, Self::ImageShare, Self::Entropy, Self::Peak, Self::SinkShare, Self::Inside];

    /// The name of the column in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Focus => "focus",
            Self::ImageShare => "image_share",
            Self::Entropy => "entropy",
            Self::Peak => "peak",
            Self::SinkShare => "sink_share",
            Self::Inside => "inside",
        }
    }

    /// The column of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// The name in figures and in the window.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Focus => "focus on the picture",
            Self::ImageShare => "attention to the picture",
            Self::Entropy => "entropy",
            Self::Peak => "strongest patch",
            Self::SinkShare => "attention to the first position",
            Self::Inside => "attention inside the object",
        }
    }

    /// The unit of its values.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Focus => Unit::One,
            Self::ImageShare | Self::Peak | Self::SinkShare | Self::Inside => Unit::Percent,
            Self::Entropy => Unit::Nats,
        }
    }

    /// The unit of differences of its values.
    pub const fn difference_unit(self) -> Unit {
        match self.unit() {
            Unit::Percent => Unit::Points,
            unit => unit,
        }
    }

    /// Whether a ranking begins with the smallest value: a low entropy means few patches.
    pub const fn is_low_first(self) -> bool {
        matches!(self, Self::Entropy)
    }
}
