//! The differences between two traces: which answer tokens correspond, which words changed, and which heads attend to
//! other patches.
//!
//! The decision here: rows are compared only where they predict the *same* token. Where the answers
//! differ, the second question is first scored with the first trace's answer (the caller does that, because it needs
//! the model); without a model, only the tokens that both answers share are compared, and [`Alignment`] says which of
//! the two was done.

use super::reduce::sound;
use crate::trace::{AnswerIndex, Trace, TraceMeta};
use half::f16;
use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag, TextDiff, capture_diff_slices};

/// The reason why two traces cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The models or the pictures do not have the same shape.
    #[error(
        "the traces cannot be compared: {what} is {first} in the first and {second} in the \
        second. Both models must have the same number of layers and heads, and both pictures the \
        same grid of patches."
    )]
    Geometry {
        /// The property that differs, such as "the number of layers".
        what: &'static str,
        /// Its value in the first trace.
        first: String,
        /// Its value in the second trace.
        second: String,
    },
    /// The answers have no token in common.
    #[error(
        "the answers \"{first}\" and \"{second}\" have no token in common, so no rows can be \
        compared. Score the second question with the first answer (name the model with --model)."
    )]
    NothingShared {
        /// The first answer.
        first: String,
        /// The second answer.
        second: String,
    },
    /// A trace holds no attention row for an answer token that is to be compared.
    #[error("the attention of answer token {token} was not kept in the {which} trace; ask again.")]
    RowMissing {
        /// Index of the answer token, from 0.
        token: u32,
        /// The trace without the row: "first" or "second".
        which: &'static str,
    },
}

/// The rule that paired the tokens of two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// Both answers are the same tokens.
    Same,
    /// The second question was scored with the first one's answer.
    Scored,
    /// Only the tokens that both answers share are compared.
    Shared,
}

/// A run of words with the same [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The change of these words.
    pub change: Change,
    /// The text, with its spaces.
    pub text: String,
}

/// Presence of words in the two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// In both answers.
    Same,
    /// Only in the first.
    Removed,
    /// Only in the second.
    Added,
}

/// The difference of one head's attention on the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadDifference {
    /// The layer.
    pub layer: u32,
    /// The head.
    pub head: u32,
    /// ½ Σ over patches of |first − second|, mean over the compared tokens: the attention that
    /// moved, 0–1 (total variation).
    pub moved: f32,
    /// Attention on all patches in the first, mean over the compared tokens.
    pub image_share_first: f32,
    /// Attention on all patches in the second, mean over the compared tokens.
    pub image_share_second: f32,
}

/// The differences between two traces.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceDifference {
    /// The rule that paired the tokens.
    pub alignment: Alignment,
    /// Index of each compared answer token in the first and in the second trace.
    pub tokens: Vec<[u32; 2]>,
    /// Log-probability of each compared token in the second minus that in the first.
    pub delta_logprob: Vec<f32>,
    /// Every head, [L, H] row by row.
    pub heads: Vec<HeadDifference>,
}

impl TraceDifference {
    /// The heads, largest change first.
    pub fn ranked(&self) -> Vec<HeadDifference> {
        let mut ranked = self.heads.clone();
        ranked.sort_by(|a, b| b.moved.total_cmp(&a.moved));
        ranked
    }

    /// Whether nothing at all differs.
    pub fn is_neutral(&self) -> bool {
        let same = |head: &HeadDifference| {
            head.moved == 0.0 && head.image_share_first == head.image_share_second
        };
        self.delta_logprob.iter().all(|&delta| delta == 0.0) && self.heads.iter().all(same)
    }
}

/// Whether two traces can be compared patch by patch and head by head.
///
/// # Errors
/// The first thing that differs.
pub fn check_geometry(first: &TraceMeta, second: &TraceMeta) -> Result<(), DiffError> {
    let same = |what, first: String, second: String| {
        if first == second { Ok(()) } else { Err(DiffError::Geometry { what, first, second }) }
    };
    let number =
        |what, of: fn(&TraceMeta) -> u32| same(what, of(first).to_string(), of(second).to_string());
    number("the number of layers", |meta| meta.model.layers)?;
    number("the number of heads", |meta| meta.model.heads)?;
    let grids = |meta: &TraceMeta| -> String {
        let grids: Vec<String> =
            meta.spans.iter().map(|span| format!("{} × {}", span.rows, span.columns)).collect();
        if grids.is_empty() { "none".into() } else { grids.join(", ") }
    };
    same("the grid of patches", grids(first), grids(second))
}

/// The differences between two traces. `scored`: the second trace holds the first one's answer because that answer was
/// scored under the second question.
///
/// # Errors
/// Traces of different geometry, or answers that have no token in common.
pub fn difference(
    first: &Trace,
    second: &Trace,
    scored: bool,
) -> Result<TraceDifference, DiffError> {
    check_geometry(first.meta(), second.meta())?;
    let (tokens, alignment) = align(first, second, scored)?;
    let (first_logprobs, second_logprobs) = (first.answer_logprobs(), second.answer_logprobs());
    let logprob = |all: &[f32], index: u32| all.get(index as usize).copied().unwrap_or(f32::NAN);
    let delta_logprob = tokens
        .iter()
        .map(|&[a, b]| logprob(&second_logprobs, b) - logprob(&first_logprobs, a))
        .collect();
    Ok(TraceDifference { alignment, delta_logprob, heads: heads(first, second, &tokens)?, tokens })
}

/// The differences between two answers to the same question about the same picture, each as it was given: scored with
/// the other's answer, both would be the same. Answers without a common token have no numbers.
///
/// # Errors
/// Traces of different geometry, or a row that was not kept.
pub fn of_answers(first: &Trace, second: &Trace) -> Result<TraceDifference, DiffError> {
    match difference(first, second, false) {
        Err(DiffError::NothingShared { .. }) => Ok(TraceDifference {
            alignment: Alignment::Shared,
            tokens: Vec::new(),
            delta_logprob: Vec::new(),
            heads: Vec::new(),
        }),
        found => found,
    }
}

/// Indices of the entries of each list that the other does not have, in a shortest edit from one to the other.
pub fn changed(first: &[&str], second: &[&str]) -> [Vec<usize>; 2] {
    let mut changed = [Vec::new(), Vec::new()];
    for op in capture_diff_slices(Algorithm::Myers, first, second) {
        if op.tag() != similar::DiffTag::Equal {
            changed[0].extend(op.old_range());
            changed[1].extend(op.new_range());
        }
    }
    changed
}

fn align(
    first: &Trace,
    second: &Trace,
    scored: bool,
) -> Result<(Vec<[u32; 2]>, Alignment), DiffError> {
    let (a, b) = (first.answer_ids(), second.answer_ids());
    if a == b {
        let alignment = if scored { Alignment::Scored } else { Alignment::Same };
        return Ok(((0..a.len() as u32).map(|index| [index, index]).collect(), alignment));
    }
    let shared: Vec<[u32; 2]> = capture_diff_slices(Algorithm::Myers, &a, &b)
        .iter()
        .filter(|op| op.tag() == similar::DiffTag::Equal)
        .flat_map(|op| op.old_range().zip(op.new_range()))
        .map(|(old, new)| [old as u32, new as u32])
        .collect();
    if shared.is_empty() {
        return Err(DiffError::NothingShared {
            first: first.meta().answer.clone(),
            second: second.meta().answer.clone(),
        });
    }
    Ok((shared, Alignment::Shared))
}

fn heads(
    first: &Trace,
    second: &Trace,
    tokens: &[[u32; 2]],
) -> Result<Vec<HeadDifference>, DiffError> {
    let shape = first.shape();
    let count = shape.layers * shape.heads;
    let mut sums = vec![[0.0_f64; 3]; count];
    for &[a, b] in tokens {
        let page = |trace: &Trace, token, which| {
            let missing = DiffError::RowMissing { token, which };
            let row = trace.row_of_answer(AnswerIndex(token));
            row.and_then(|row| trace.page(row).map(|page| page.into_owned())).ok_or(missing)
        };
        let (a, b) = (page(first, a, "first")?, page(second, b, "second")?);
        let positions = [first.shape().positions, second.shape().positions];
        let heads = a.chunks_exact(positions[0]).zip(b.chunks_exact(positions[1]));
        for (sums, (a, b)) in sums.iter_mut().zip(heads) {
            let [moved, share_a, share_b] = on_patches(first.meta(), second.meta(), a, b);
            sums[0] += moved;
            sums[1] += share_a;
            sums[2] += share_b;
        }
    }
    let scales =
        [f64::from(first.meta().attention_scale), f64::from(second.meta().attention_scale)];
    let tokens = tokens.len().max(1) as f64;
    let heads = sums.iter().enumerate().map(|(index, [moved, share_a, share_b])| HeadDifference {
        layer: first.meta().model.layer_number((index / shape.heads) as u32),
        head: (index % shape.heads) as u32,
        moved: (moved / tokens) as f32,
        image_share_first: (share_a / tokens / scales[0]) as f32,
        image_share_second: (share_b / tokens / scales[1]) as f32,
    });
    Ok(heads.collect())
}

/// For one head over all patches: ½ Σ |first − second| of unscaled attention, then the sums of the stored weights `a`
/// and `b`.
fn on_patches(first: &TraceMeta, second: &TraceMeta, a: &[f16], b: &[f16]) -> [f64; 3] {
    let scales = [1.0 / first.attention_scale, 1.0 / second.attention_scale];
    let mut sums = [0.0_f64; 3];
    for (span_a, span_b) in first.spans.iter().zip(&second.spans) {
        for (a, b) in span_a.values_of(a).zip(span_b.values_of(b)) {
            let (a, b) = (sound(a.to_f32()), sound(b.to_f32()));
            sums[0] += f64::from((a * scales[0] - b * scales[1]).abs()) / 2.0;
            sums[1] += f64::from(a);
            sums[2] += f64::from(b);
        }
    }
    sums
}

/// The words of both answers, in runs that are the same, removed or added.
pub fn words(first: &str, second: &str) -> Vec<Words> {
    let mut runs: Vec<Words> = Vec::new();
    for change in TextDiff::from_words(first, second).iter_all_changes() {
        let tag = match change.tag() {
            ChangeTag::Equal => Change::Same,
            ChangeTag::Delete => Change::Removed,
            ChangeTag::Insert => Change::Added,
        };
        match runs.last_mut() {
            Some(run) if run.change == tag => run.text.push_str(change.value()),
            _ => runs.push(Words { change: tag, text: change.value().to_owned() }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_changed_are_told_from_words_that_stayed() {
        let runs = words("The balloon is red.", "The balloon is blue.");
        let told: Vec<_> = runs.iter().map(|run| (run.change, run.text.as_str())).collect();
        let expected = [
            (Change::Same, "The balloon is "),
            (Change::Removed, "red."),
            (Change::Added, "blue."),
        ];
        assert_eq!(told, expected);
        let indices = changed(&["The", "fox", "sits."], &["The", "red", "cat", "sits."]);
        assert_eq!(indices, [vec![1], vec![1, 2]]);
        assert_eq!(words("Yes.", "Yes.").len(), 1);
        assert!(words("", "").is_empty());
    }
}
