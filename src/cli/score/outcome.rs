//! Maps and their scores.

use crate::analysis::methods::Sink;
use crate::analysis::score::{BoxPx, Fit};
use crate::model::{BlankFill, Curves};

/// A map that is scored.
pub(super) struct Scored {
    /// Name in the notation of `--method`.
    pub name: String,
    pub title: String,
    /// `[N]`, the mean over the chosen tokens.
    pub map: Vec<f32>,
    pub fit: Option<Fit>,
}

/// Result of the command.
pub(super) struct ScoreOutcome {
    pub tokens: Vec<usize>,
    pub text: String,
    /// Name of the object and its boxes.
    pub object: Option<(String, Vec<BoxPx>)>,
    pub maps: Vec<Scored>,
    /// Number of random maps, the last ones of `maps`.
    pub controls: usize,
    pub curves: Curves,
    pub fills: Vec<BlankFill>,
    pub sinks: Vec<Sink>,
    pub seconds: f64,
}
