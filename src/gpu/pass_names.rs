//! Names of the passes, apart from the passes themselves: the device finds the pass of an error by them.

/// Names of all passes, as they stand in labels, errors and timings.
pub const NAMES: &[&str] = &[
    "reduce",
    "difference",
    "normalise",
    "fill_atlas",
    "picture",
    "composite",
    "wall",
    "matrix",
    "token_matrix",
    "rects",
    "mip",
    "cross_fade",
    "text",
    "figure",
];
