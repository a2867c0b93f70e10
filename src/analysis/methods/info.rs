//! The description of a method: a row of the table with its names, the inputs it needs and its computation.

use super::inputs::{AnswerGradients, Missing, OwnGradients, Tower};
use crate::trace::Trace;
use std::fmt;
use std::ops::Deref;

/// A method: a row of the table in `table.rs`. Two methods are equal if their names are.
#[derive(Clone, Copy)]
pub struct Method(pub(super) &'static MethodInfo);

/// Everything about a method. A new method is a new row and a function that computes it.
///
/// Shapes: attention is A [layer, head, query, key]; the query of answer token i is q = P − 1 + i;
/// "patches" are the keys of the image tokens.
#[derive(Debug)]
pub struct MethodInfo {
    /// The name on the command line and in reports, with hyphens. Underscores are accepted.
    pub name: &'static str,
    /// Other spellings that are accepted.
    pub aliases: &'static [&'static str],
    /// The tensor (or the pages) in a trace.
    pub tensor: &'static str,
    /// The name in figures, tables and panels.
    pub title: &'static str,
    /// One line for `--help`.
    pub summary: &'static str,
    /// The definition, in Markdown, for docs/methods.md.
    pub definition: &'static str,
    /// The publication; empty for our own methods.
    pub source: &'static str,
    /// The shape of its values.
    pub layout: Layout,
    /// Whether its values have two signs about a 0 that means "no effect".
    pub signed: bool,
    /// The computation.
    pub run: Computation,
}

/// The shape of a method's values; G answer tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// One number a patch: [G, N].
    Patches,
    /// One number a position: [G, T].
    Positions,
    /// One number a layer, head and position: pages [G, L, H, T].
    Pages {
        /// The method that folds layers and heads into one map.
        mean: Method,
    },
}

/// The input that a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The trace alone.
    Trace,
    /// The model, forwards.
    Forward,
    /// The model, backwards too.
    Gradients,
}

/// The computation of a method. The functions return [G, N] unless the variant says otherwise.
#[derive(Clone, Copy, Debug)]
pub enum Computation {
    /// From the trace; the second argument is a seed.
    Trace(fn(&Trace, u64) -> Result<Vec<f32>, Missing>),
    /// From the trace and the attention under another question.
    Forward(Forward),
    /// From one backward pass through the prompt and one through the answer's rows, for all tokens
    /// at once: [G, N] or [G, T], as the layout says.
    AnswerGradients(fn(&AnswerGradients<'_>) -> Vec<f32>),
    /// From a backward pass for each token through the language model: one row of the map. A row
    /// that is shorter than the layout ends in zeros.
    OwnGradients(fn(&OwnGradients<'_>) -> Vec<f32>),
    /// As `OwnGradients`, with the backward pass continued through the vision tower.
    TowerGradients(fn(&OwnGradients<'_>, &Tower) -> Vec<f32>),
    /// Pages that the backward pass through the answer's rows returns as they are.
    GradientPages,
    /// From the pages of gradient × attention, given as the attention of a trace.
    FromGradientPages(fn(&Trace) -> Result<Vec<f32>, Missing>),
    /// A subcommand of `vlmscope` computes it, because it has options of its own.
    Command(&'static str),
}

/// A forward pass of the trace's picture with another question.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    /// The other question.
    pub question: &'static str,
    /// The index of the layer that is read, from the number of layers.
    pub layer: fn(usize) -> usize,
    /// The map `[N]`, from the trace and the attention `[N]` of the other question's last position on the patches at
    /// that layer, mean over heads.
    pub map: fn(&Trace, &[f32]) -> Result<Vec<f32>, Missing>,
}

/// The reason why a map cannot be computed from a trace.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MethodError {
    /// The trace has no patches to map; the text says why.
    #[error("this trace {0}, so no map can be drawn on it")]
    NoPatches(String),
    /// The trace lacks a tensor that the method reads.
    #[error(
        "the trace lacks {what}, which the method `{method}` needs; ask the question again to get it"
    )]
    Missing {
        /// The method.
        method: Method,
        /// The missing part of the trace.
        what: String,
    },
    /// The method needs the model, not only the trace.
    #[error("the method `{method}` needs the model; `vlmscope {command}` computes it")]
    NeedsModel {
        /// The method.
        method: Method,
        /// The subcommand that computes it.
        command: &'static str,
    },
}

impl MethodInfo {
    /// The input that the method needs.
    pub const fn needs(&self) -> Needs {
        match self.run {
            Computation::Trace(_) => Needs::Trace,
            Computation::Forward(_) | Computation::Command(_) => Needs::Forward,
            Computation::AnswerGradients(_)
            | Computation::OwnGradients(_)
            | Computation::TowerGradients(_)
            | Computation::GradientPages
            | Computation::FromGradientPages(_) => Needs::Gradients,
        }
    }

    /// Whether a backward pass gives the map directly, without a later step. Such methods share their passes when they
    /// are asked for together.
    pub const fn is_from_backward_pass(&self) -> bool {
        match self.run {
            Computation::AnswerGradients(_)
            | Computation::OwnGradients(_)
            | Computation::TowerGradients(_)
            | Computation::GradientPages => true,
            Computation::Trace(_)
            | Computation::Forward(_)
            | Computation::FromGradientPages(_)
            | Computation::Command(_) => false,
        }
    }

    /// Whether each token takes a backward pass of its own.
    pub const fn is_own(&self) -> bool {
        matches!(self.run, Computation::OwnGradients(_) | Computation::TowerGradients(_))
    }

    /// Number of values in a row of the method's map.
    pub fn columns(&self, trace: &Trace) -> usize {
        match self.layout {
            Layout::Patches => trace.meta().patches(),
            Layout::Positions => trace.shape().positions,
            Layout::Pages { .. } => trace.shape().page_len(),
        }
    }
}

impl Method {
    /// The method's row of the table; for constants, which cannot dereference.
    pub const fn info(self) -> &'static MethodInfo {
        self.0
    }

    /// The method itself, or the one that folds its pages into one map.
    #[must_use]
    pub const fn as_map(self) -> Self {
        match self.0.layout {
            Layout::Pages { mean } => mean,
            Layout::Patches | Layout::Positions => self,
        }
    }
}

impl Deref for Method {
    type Target = MethodInfo;

    fn deref(&self) -> &MethodInfo {
        self.0
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Method {}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}
