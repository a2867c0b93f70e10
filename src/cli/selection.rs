//! Which layers, heads and queries a command means: the flags shared by `export` and friends.

use super::common::usage;
use crate::trace::{AnswerIndex, Query, Trace};
use std::str::FromStr;

/// One index, or all of an axis under an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// A single layer or head.
    One(u32),
    /// The mean over the axis.
    Mean,
    /// The maximum over the axis.
    Max,
    /// Every index on its own: the axis stays in the result.
    All,
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mean" => Ok(Self::Mean),
            "max" => Ok(Self::Max),
            "all" => Ok(Self::All),
            _ => text
                .parse()
                .map(Self::One)
                .map_err(|_| format!("`{text}` is neither a number from 0 nor mean, max or all")),
        }
    }
}

impl Axis {
    /// The indices that take part.
    pub fn indices(self, what: &str, len: usize) -> anyhow::Result<Vec<usize>> {
        match self {
            Self::One(index) if (index as usize) < len => Ok(vec![index as usize]),
            Self::One(index) => Err(usage(format!(
                "{what} {index} does not exist: this model has {what}s 0 to {}",
                len.saturating_sub(1)
            ))),
            Self::Mean | Self::Max | Self::All => Ok((0..len).collect()),
        }
    }
}

/// The rows of the trace that the flags `--token` and `--query` mean: answer tokens, positions,
/// or (with neither) every answer token except a closing control token.
pub(crate) fn rows(trace: &Trace, tokens: &[u32], queries: &[u32]) -> anyhow::Result<Vec<usize>> {
    let meta = trace.meta();
    if !queries.is_empty() {
        return queries
            .iter()
            .map(|&query| {
                trace.row_of_query(Query(query)).ok_or_else(|| {
                    usage(format!(
                        "position {query} was not kept in this trace: it has {}; `vlmscope ask --rows all` keeps every position",
                        kept(trace.rows())
                    ))
                })
            })
            .collect();
    }
    let generated = trace.shape().generated as u32;
    let answers: Vec<u32> = if tokens.is_empty() { spoken_answers(trace) } else { tokens.to_vec() };
    answers
        .into_iter()
        .map(|token| {
            if token >= generated {
                return Err(usage(format!(
                    "answer token {token} does not exist: the answer has tokens 0 to {}",
                    generated - 1
                )));
            }
            trace.row_of_answer(AnswerIndex(token)).ok_or_else(|| {
                usage(format!(
                    "the row of answer token {token} (position {}) was not kept in this trace",
                    meta.query_of_answer(AnswerIndex(token))
                ))
            })
        })
        .collect()
}

/// Answer tokens that carry text, or all of them where none does.
pub(crate) fn spoken_answers(trace: &Trace) -> Vec<u32> {
    let tokens = trace.meta().answer_tokens();
    let spoken: Vec<u32> = (0u32..)
        .zip(tokens)
        .filter(|(_, token)| token.kind != crate::trace::TokenKind::Special)
        .map(|(index, _)| index)
        .collect();
    if spoken.is_empty() { (0..tokens.len() as u32).collect() } else { spoken }
}

/// Positions as ranges: "4–17, 20".
pub(crate) fn kept(rows: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = rows;
    while let Some(&first) = rest.first() {
        let run = (first..).zip(rest).take_while(|(expected, row)| expected == *row).count();
        let last = rest[run - 1];
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&if run == 1 { first.to_string() } else { format!("{first}–{last}") });
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_listed_as_ranges() {
        assert_eq!(kept(&[4, 5, 6, 9, 11, 12]), "4–6, 9, 11–12");
        assert_eq!(kept(&[]), "");
    }

    #[test]
    fn an_axis_is_a_number_or_a_word() {
        assert_eq!("3".parse(), Ok(Axis::One(3)));
        assert_eq!("mean".parse(), Ok(Axis::Mean));
        assert!("-1".parse::<Axis>().is_err());
        assert!(Axis::One(4).indices("head", 4).is_err());
    }
}
