//! Causes of an answer token: what the panel asks for, and the tokens whose graphs were asked for already.

use super::document::{DocumentId, InFile};
use crate::analysis::causal::CausalResult;
use crate::model::Mask;
use crate::trace::AnswerIndex;
use std::collections::HashSet;

/// Titles of the tasks.
pub const LEARNING: &str = "Learning causal graphs";
/// Title of the masking test.
pub const TESTING: &str = "Masking test";

/// Commands for causal graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CausesCommand {
    /// Learns the graphs of the chosen answer token.
    Learn,
    /// Masks the explanation of the head that is shown.
    Test(Mask),
}

/// The state of causal graphs in the window.
#[derive(Debug, Default)]
pub struct Causes {
    /// Tokens whose graphs were asked for: the view of causes asks once for each token that it shows.
    pub asked: HashSet<(DocumentId, AnswerIndex)>,
}

/// Causal graphs that were learned or tested.
#[derive(Debug)]
pub struct FoundCauses {
    /// The graphs.
    pub result: CausalResult,
    /// Whether the user's file has them.
    pub in_file: InFile,
}
