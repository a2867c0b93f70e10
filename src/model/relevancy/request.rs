//! What relevancy is asked for.

use crate::model::error::{ModelError, Result};
use crate::model::session::BackwardGraph;
use crate::trace::{AnswerIndex, Trace};
use std::fmt;
use std::str::FromStr;

/// A way from gradients to a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelevancyMethod {
    /// Rules 5 and 6 through the language model (LVLM-Interpret's `llama`): for all positions, the
    /// prompt's rows of Ā from the first token's gradient, each later row from its own. [G, T].
    Llm,
    /// The same with the token's own gradient in every row: a backward pass a token. [G, T].
    LlmOwn,
    /// Through the vision tower alone, the token's own gradient. [G, N].
    Vit,
    /// The language model's relevancy carried on through the vision tower, own gradient. [G, N].
    All,
    /// Positive part of gradient ⊙ attention of every layer and head, as pages.
    GradientAttention,
}

impl RelevancyMethod {
    /// Every method.
    pub const EVERY: [Self; 5] =
        [Self::Llm, Self::LlmOwn, Self::Vit, Self::All, Self::GradientAttention];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::LlmOwn => "llm_own",
            Self::Vit => "vit",
            Self::All => "all",
            Self::GradientAttention => "gradient_attention",
        }
    }

    /// The map (or pages) in the trace.
    pub const fn map_name(self) -> &'static str {
        match self {
            Self::Llm => "relevancy.llm",
            Self::LlmOwn => "relevancy.llm_own",
            Self::Vit => "relevancy.vit",
            Self::All => "relevancy.all",
            Self::GradientAttention => super::GRADIENT_ATTENTION,
        }
    }

    /// Whether each token takes a backward pass of its own.
    pub const fn is_own(self) -> bool {
        matches!(self, Self::LlmOwn | Self::Vit | Self::All)
    }
}

impl fmt::Display for RelevancyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RelevancyMethod {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let name = text.trim().replace('-', "_");
        Self::EVERY.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::EVERY.iter().map(|method| method.name()).collect();
            format!("`{text}` is no relevancy; there are {}", names.join(", "))
        })
    }
}

/// Which maps, of which tokens, in how much memory.
#[derive(Clone, Debug, Default)]
pub struct RelevancyRequest {
    /// The methods.
    pub methods: Vec<RelevancyMethod>,
    /// Tokens for the methods that take a pass a token; empty means all. The others give all
    /// tokens in any case.
    pub tokens: Vec<AnswerIndex>,
    /// Bytes that may be used; `None`: what the system has free.
    pub memory_budget: Option<u64>,
}

impl RelevancyRequest {
    /// Methods for all tokens.
    pub fn of(methods: impl IntoIterator<Item = RelevancyMethod>) -> Self {
        Self { methods: methods.into_iter().collect(), ..Self::default() }
    }

    /// Whether a method is wanted.
    pub fn has(&self, method: RelevancyMethod) -> bool {
        self.methods.contains(&method)
    }

    pub(super) fn needs_rows(&self) -> bool {
        self.has(RelevancyMethod::Llm) || self.has(RelevancyMethod::GradientAttention)
    }

    pub(super) fn needs_own(&self) -> bool {
        self.methods.iter().any(|method| method.is_own())
    }

    pub(super) fn needs_picture(&self) -> bool {
        self.has(RelevancyMethod::Vit) || self.has(RelevancyMethod::All)
    }

    pub(super) fn graphs(&self) -> Vec<BackwardGraph> {
        let mut graphs = vec![BackwardGraph::Prompt];
        graphs.extend(self.needs_rows().then_some(BackwardGraph::Rows));
        graphs.extend(self.needs_picture().then_some(BackwardGraph::Vision));
        graphs
    }

    /// The tokens that get a pass of their own, ascending.
    pub(super) fn answers(&self, trace: &Trace) -> Result<Vec<usize>> {
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

    /// Graph runs that take long.
    pub(super) fn steps(&self, answers: &[usize]) -> u32 {
        let rows = if self.needs_rows() { 3 } else { 0 };
        // The first token's pass is the prompt's.
        let shared = usize::from(self.needs_rows() && answers.first() == Some(&0));
        let own = if self.needs_own() { answers.len() - shared } else { 0 };
        let vision = if self.needs_picture() { answers.len() } else { 0 };
        (rows + own + vision) as u32
    }
}

/// Where the time went, in seconds of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct RelevancyTimings {
    /// Opening the backward graphs (once a model).
    pub open_s: f64,
    /// Picture features and embeddings.
    pub inputs_s: f64,
    /// Keys and values of the prompt, where the question was not just answered.
    pub forward_s: f64,
    /// Backward passes through the prompt.
    pub prompt_s: f64,
    /// The backward pass through the answer's rows.
    pub rows_s: f64,
    /// Backward passes through the vision tower.
    pub vision_s: f64,
    /// Row recursions.
    pub recursion_s: f64,
    /// All of it.
    pub total_s: f64,
}
