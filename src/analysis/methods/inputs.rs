//! What methods are computed from, beside the trace, and what they say where something is missing.

use std::ops::Range;

/// What a trace lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

/// Two backward passes for a whole answer. Ā is the mean over heads of (gradient ⊙ attention)⁺.
#[derive(Clone, Copy, Debug)]
pub struct AnswerGradients<'a> {
    /// P.
    pub prompt_len: usize,
    /// T.
    pub positions: usize,
    /// G.
    pub answers: usize,
    /// Threads that may be used.
    pub threads: usize,
    /// Ā of the prompt's rows from the first token's score: [P, P] a layer.
    pub prompt: &'a [&'a [f32]],
    /// Ā of the answer's rows, each from its own token's score: [G, T] a layer.
    pub rows: &'a [&'a [f32]],
}

/// One backward pass through the language model from the score of one token.
#[derive(Clone, Debug)]
pub struct OwnGradients<'a> {
    /// q = P − 1 + i.
    pub query: usize,
    /// N.
    pub patches: usize,
    /// Positions of the image tokens; empty without a picture.
    pub image: Range<usize>,
    /// Ā of each layer: [q + 1, q + 1].
    pub abar: &'a [&'a [f32]],
}

/// A row of R through the vision tower's layers: `[tokens of the tower]`.
#[derive(Clone, Debug)]
pub struct Tower {
    /// What it started from: the class token's unit vector, or the mean of all.
    pub start: Vec<f32>,
    /// What the layers added.
    pub added: Vec<f32>,
}
