//! Requests for relevancy maps.

use crate::analysis::methods::{Computation, Method};
use crate::model::error::{ModelError, Result};
use crate::model::session::BackwardGraph;
use crate::trace::{AnswerIndex, Trace};

/// The methods, the tokens and the memory limit of a request for relevancy.
#[derive(Clone, Debug, Default)]
pub struct RelevancyRequest {
    /// Methods that backward passes compute ([`MethodInfo::is_from_backward_pass`]).
    ///
    /// [`MethodInfo::is_from_backward_pass`]: crate::analysis::methods::MethodInfo::is_from_backward_pass
    pub methods: Vec<Method>,
    /// Tokens for the methods that need a pass per token; empty means all. The other methods always compute all tokens.
    pub tokens: Vec<AnswerIndex>,
    /// Limit of memory in bytes; `None`: the system's free memory.
    pub memory_budget: Option<u64>,
}

impl RelevancyRequest {
    /// A request for all tokens.
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        Self { methods: methods.into_iter().collect(), ..Self::default() }
    }

    fn any(&self, is_wanted: impl Fn(&Computation) -> bool) -> bool {
        self.methods.iter().any(|method| is_wanted(&method.run))
    }

    /// Whether the pages of gradient × attention are requested.
    pub(super) fn needs_pages(&self) -> bool {
        self.any(|run| matches!(run, Computation::GradientPages))
    }

    pub(super) fn needs_rows(&self) -> bool {
        self.any(|run| matches!(run, Computation::AnswerGradients(_) | Computation::GradientPages))
    }

    pub(super) fn needs_own(&self) -> bool {
        self.methods.iter().any(|method| method.is_own())
    }

    pub(super) fn needs_picture(&self) -> bool {
        self.any(|run| matches!(run, Computation::TowerGradients(_)))
    }

    pub(super) fn graphs(&self) -> Vec<BackwardGraph> {
        let mut graphs = vec![BackwardGraph::Prompt];
        graphs.extend(self.needs_rows().then_some(BackwardGraph::Rows));
        graphs.extend(self.needs_picture().then_some(BackwardGraph::Vision));
        graphs
    }

    /// The tokens that get a pass of their own, ascending.
    pub(in crate::model) fn answers(&self, trace: &Trace) -> Result<Vec<usize>> {
        let generated = trace.shape().generated;
        if self.tokens.is_empty() {
            return Ok((0..generated).collect());
        }
        let mut answers: Vec<usize> = self.tokens.iter().map(|token| token.index()).collect();
        answers.sort_unstable();
        answers.dedup();
        match answers.last() {
            Some(&last) if last >= generated => Err(ModelError::Request {
                what: format!("answer token {last}"),
                reason: format!(
                    "does not exist: the answer has tokens 0 to {}.",
                    generated.saturating_sub(1)
                ),
            }),
            _ => Ok(answers),
        }
    }

    /// Number of long graph runs, for progress.
    pub(super) fn steps(&self, answers: &[usize]) -> u32 {
        let rows = if self.needs_rows() { 3 } else { 0 };
        // The first token's pass is also the prompt's pass.
        let shared = usize::from(self.needs_rows() && answers.first() == Some(&0));
        let own = if self.needs_own() { answers.len() - shared } else { 0 };
        let vision = if self.needs_picture() { answers.len() } else { 0 };
        (rows + own + vision) as u32
    }
}

/// Wall-clock seconds of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RelevancyTimings {
    /// Opening the backward graphs (once per model).
    pub open_s: f64,
    /// Picture features and embeddings.
    pub inputs_s: f64,
    /// Keys and values of the prompt, if the question was not the last one answered.
    pub forward_s: f64,
    /// Backward passes through the prompt.
    pub prompt_s: f64,
    /// The backward pass through the answer's rows.
    pub rows_s: f64,
    /// Backward passes through the vision tower.
    pub vision_s: f64,
    /// Row recursions.
    pub recursion_s: f64,
    /// The whole request.
    pub total_s: f64,
}

impl RelevancyTimings {
    /// All of them, in the order of the fields.
    pub(in crate::model) const fn all_s(&self) -> [f64; 8] {
        let Self { open_s, inputs_s, forward_s, prompt_s, rows_s, vision_s, recursion_s, total_s } =
            *self;
        [open_s, inputs_s, forward_s, prompt_s, rows_s, vision_s, recursion_s, total_s]
    }
}
