//! The methods that turn an answered question into one map over the patches for each answer token.
//!
//! One list for all of them, whoever computes them: commands, files and figures know a method by its
//! name, and a trace keeps its map under its tensor name. Those that need no more than the trace are
//! computed here ([`compute`]); the others need the model, see [`Method::needs`].

mod heads;
mod rollout;
mod sinks;

pub use heads::{HeadChoice, chosen_heads, spatial_entropy};
pub use rollout::rollout_rows;
pub use sinks::{SINK_FACTOR, Sink, sinks};

use super::reduce::{Fold, Keep, Reduction, patch_keys, reduce};
use crate::trace::{AnswerIndex, Trace};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use std::fmt;
use std::str::FromStr;

/// A method. Shapes: attention is A [layer, head, query, key]; the query of answer token i is
/// q = P − 1 + i; "image" are the keys of the patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Mean over layers and heads of A[l, h, q, image].
    Attention,
    /// The same after key 0 was dropped and each row renormalised.
    NoBos,
    /// The same after BOS and every sink were dropped and each row renormalised, see [`sinks()`].
    NoSinks,
    /// Mean of the three heads that look most sharply at the picture, see [`chosen_heads`].
    Heads,
    /// Attention rollout, see [`rollout_rows`].
    Rollout,
    /// Attention divided by that under "Write a general description of the image."
    Relative,
    /// Mean over layers and heads of A ⊙ max(∇A, 0) at row q.
    GradAttention,
    /// Relevancy through the language model.
    RelevancyLlm,
    /// Relevancy through the language model, every row from the token's own gradient.
    RelevancyLlmOwn,
    /// Relevancy through the vision tower.
    RelevancyVit,
    /// Relevancy through both.
    RelevancyAll,
    /// Random numbers: what every other method must beat.
    Random,
}

/// What computing a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The trace alone.
    Trace,
    /// The model, forwards.
    Forward,
    /// The model, backwards too.
    Gradients,
}

impl Method {
    /// All of them, in the order in which they are listed for people.
    pub const ALL: [Self; 12] = [
        Self::Attention,
        Self::NoBos,
        Self::NoSinks,
        Self::Heads,
        Self::Rollout,
        Self::Relative,
        Self::GradAttention,
        Self::RelevancyLlm,
        Self::RelevancyLlmOwn,
        Self::RelevancyVit,
        Self::RelevancyAll,
        Self::Random,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::NoBos => "no-bos",
            Self::NoSinks => "no-sinks",
            Self::Heads => "heads",
            Self::Rollout => "rollout",
            Self::Relative => "relative",
            Self::GradAttention => "grad-attention",
            Self::RelevancyLlm => "llm",
            Self::RelevancyLlmOwn => "llm-own",
            Self::RelevancyVit => "vit",
            Self::RelevancyAll => "all",
            Self::Random => "random",
        }
    }

    /// The tensor that holds its map in a trace.
    pub const fn tensor(self) -> &'static str {
        match self {
            Self::Attention => "map.attention",
            Self::NoBos => "map.no-bos",
            Self::NoSinks => "map.no-sinks",
            Self::Heads => "map.heads",
            Self::Rollout => "map.rollout",
            Self::Relative => "map.relative",
            Self::GradAttention => "map.grad-attention",
            Self::RelevancyLlm => "relevancy.llm",
            Self::RelevancyLlmOwn => "relevancy.llm_own",
            Self::RelevancyVit => "relevancy.vit",
            Self::RelevancyAll => "relevancy.all",
            Self::Random => "map.random",
        }
    }

    /// What people read.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Attention => "attention, mean",
            Self::NoBos => "attention without BOS",
            Self::NoSinks => "attention without sinks",
            Self::Heads => "sharpest heads",
            Self::Rollout => "rollout",
            Self::Relative => "relative attention",
            Self::GradAttention => "gradient × attention",
            Self::RelevancyLlm => "relevancy, language model",
            Self::RelevancyLlmOwn => "relevancy, own gradients",
            Self::RelevancyVit => "relevancy, vision tower",
            Self::RelevancyAll => "relevancy, both",
            Self::Random => "random control",
        }
    }

    /// What computing it takes.
    pub const fn needs(self) -> Needs {
        match self {
            Self::Relative => Needs::Forward,
            Self::GradAttention
            | Self::RelevancyLlm
            | Self::RelevancyLlmOwn
            | Self::RelevancyVit
            | Self::RelevancyAll => Needs::Gradients,
            _ => Needs::Trace,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    /// Takes the name (with - or _), the tensor's name, "relevancy-llm" for "llm" and
    /// "gradient-attention" for "grad-attention".
    fn from_str(text: &str) -> Result<Self, String> {
        let spelled = text.trim().replace('_', "-");
        let plain = spelled.strip_prefix("relevancy-").unwrap_or(&spelled);
        let plain = if plain == "gradient-attention" { "grad-attention" } else { plain };
        Self::ALL
            .into_iter()
            .find(|method| method.name() == plain || method.tensor() == text)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|method| method.name()).collect();
                format!("`{text}` is no method; known are {}", known.join(", "))
            })
    }
}

/// Why a map cannot be computed from a trace.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MethodError {
    /// There is nothing to draw a map on.
    #[error("this trace has no picture, so there is nothing to lay a map on")]
    NoPicture,
    /// The trace lacks a tensor.
    #[error(
        "the trace lacks {what}, which the method `{method}` needs; ask the question again with this version to get it"
    )]
    Missing {
        /// The method.
        method: Method,
        /// What is missing.
        what: String,
    },
    /// It takes more than the trace.
    #[error("the method `{method}` needs the model; `vlmscope relevancy` computes it")]
    NeedsModel {
        /// The method.
        method: Method,
    },
}

/// The map of a method that needs no more than the trace: [G, N], not normalised. `seed` is for
/// [`Method::Random`] only.
///
/// # Errors
/// A trace without a picture, one that lacks what the method reads, or a method that needs the model.
pub fn compute(trace: &Trace, method: Method, seed: u64) -> Result<Vec<f32>, MethodError> {
    let keys = patch_keys(trace);
    if keys.is_empty() {
        return Err(MethodError::NoPicture);
    }
    let answers = || (0..trace.shape().generated as u32).map(AnswerIndex);
    match method {
        Method::Attention | Method::NoBos => {
            let each = answers().map(|answer| mean(trace, method, answer, &keys));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Method::NoSinks => {
            let sinks = sinks(trace).ok_or_else(|| missing(method, "attention.head_mean"))?;
            let removed: Vec<u32> = sinks.iter().map(|sink| sink.position).collect();
            let each = answers().map(|answer| {
                let row = row_of(trace, method, answer)?;
                sinks::mean_without(trace, row, &removed, &keys)
                    .ok_or_else(|| missing(method, "attention.weights"))
            });
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Method::Heads => {
            let each = answers().map(|answer| {
                row_of(trace, method, answer)?;
                heads::map(trace, answer, &keys).ok_or_else(|| missing(method, "attention.weights"))
            });
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Method::Rollout => {
            let queries: Vec<usize> =
                answers().map(|answer| trace.meta().query_of_answer(answer).index()).collect();
            let rows = rollout_rows(trace, &queries)
                .ok_or_else(|| missing(method, "attention.head_mean"))?;
            let rows = rows.chunks_exact(trace.shape().positions);
            Ok(rows.flat_map(|row| keys.iter().map(|&key| row[key as usize])).collect())
        }
        Method::Random => {
            let mut random = ChaCha12Rng::seed_from_u64(seed);
            let numbers = keys.len() * trace.shape().generated;
            // 24 bits, as a fraction of 1: all of them are f32.
            let unit = 1.0 / (1_u32 << 24) as f32;
            Ok((0..numbers).map(|_| (random.next_u32() >> 8) as f32 * unit).collect())
        }
        Method::Relative
        | Method::GradAttention
        | Method::RelevancyLlm
        | Method::RelevancyLlmOwn
        | Method::RelevancyVit
        | Method::RelevancyAll => Err(MethodError::NeedsModel { method }),
    }
}

fn missing(method: Method, what: &str) -> MethodError {
    MethodError::Missing { method, what: what.to_owned() }
}

fn row_of(trace: &Trace, method: Method, answer: AnswerIndex) -> Result<usize, MethodError> {
    let query = trace.meta().query_of_answer(answer);
    trace
        .row_of_answer(answer)
        .ok_or_else(|| missing(method, &format!("the attention of position {query}")))
}

/// Mean over all layers and heads at the patches: `[N]`.
fn mean(
    trace: &Trace,
    method: Method,
    answer: AnswerIndex,
    keys: &[u32],
) -> Result<Vec<f32>, MethodError> {
    let shape = trace.shape();
    let reduction = Reduction {
        rows: vec![row_of(trace, method, answer)? as u32],
        layers: (0..shape.layers as u32).collect(),
        heads: (0..shape.heads as u32).collect(),
        row_fold: Fold::Mean,
        layer_fold: Fold::Mean,
        head_fold: Fold::Mean,
        keep: Keep::One,
        remove_bos: method == Method::NoBos,
    };
    reduce(trace, &reduction, keys).ok_or_else(|| missing(method, "attention.weights"))
}
