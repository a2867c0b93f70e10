//! Newtypes for the axes of attention, so that the compiler rejects a layer where a head is expected, and their sizes.

use serde::{Deserialize, Serialize};

macro_rules! axis {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The axis value as an index into an array.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

axis!(
    /// A decoder layer, counted from 0.
    Layer
);
axis!(
    /// An attention head within a layer, counted from 0.
    Head
);
axis!(
    /// A query position over the expanded prompt and answer, counted from 0.
    Query
);
axis!(
    /// A key position over the expanded prompt and answer, counted from 0.
    Key
);
axis!(
    /// An answer token, counted from 0. Its attention is the row of query `P − 1 + i`.
    AnswerIndex
);

/// Sizes of the axes of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// R: query rows that were kept.
    pub rows: usize,
    /// L: decoder layers that have attention.
    pub layers: usize,
    /// H: query heads.
    pub heads: usize,
    /// T = P + G − 1: attention positions.
    pub positions: usize,
    /// G: generated ids, the stop id included.
    pub generated: usize,
}

impl Shape {
    /// Weights in one page ([L, H, T]).
    pub const fn page_len(&self) -> usize {
        self.layers * self.heads * self.positions
    }

    /// Bytes of one page as f16.
    pub const fn page_bytes(&self) -> usize {
        self.page_len() * 2
    }
}
