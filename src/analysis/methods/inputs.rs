//! The inputs of methods other than the trace, and the error for an input that the trace lacks.

use std::ops::Range;

/// The part that a trace lacks, mostly the name of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

/// Two backward passes for a whole answer. Ā is the mean over heads of (gradient ⊙ attention)⁺.
#[derive(Clone, Copy, Debug)]
pub struct AnswerGradients<'a> {
    /// P, the number of prompt positions.
    pub prompt_len: usize,
    /// T, the number of all positions.
    pub positions: usize,
    /// G, the number of answer tokens.
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
    /// The predicting position q = P − 1 + i of answer token i.
    pub query: usize,
    /// N, the number of patches.
    pub patches: usize,
    /// Positions of the image tokens; empty without a picture.
    pub image: Range<usize>,
    /// Ā of each layer: [q + 1, q + 1].
    pub abar: &'a [&'a [f32]],
}

/// A row of R through the vision tower's layers: `[tokens of the tower]`.
#[derive(Clone, Debug)]
pub struct Tower {
    /// The row before any layer: the class token's unit vector, or the mean of all unit vectors.
    pub start: Vec<f32>,
    /// The sum that the layers added to the row.
    pub added: Vec<f32>,
}
