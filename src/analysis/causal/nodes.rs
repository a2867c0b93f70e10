//! The nodes of one head's graph: the patches and words that an answer token attends to, and the
//! token itself.

use super::correlation::Correlations;
use super::error::CausalError;
use super::node_set::MAX_NODES;
use super::parameters::Parameters;
use crate::analysis::reduce::{patch_keys, sound};
use crate::trace::{AnswerIndex, Head, Layer, Query, TokenKind, Trace};

/// The nodes of one head's graph, the target row's attention to them, and the correlations of their rows.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadNodes {
    /// Position of each node in the sequence, ascending; the last is the row that predicts the
    /// token.
    pub positions: Vec<u32>,
    /// The attention of that row to each node.
    pub attention: Vec<f32>,
    /// The correlations of their rows.
    pub correlations: Correlations,
}

/// Heads of the last layer that has attention.
pub fn head_count(trace: &Trace) -> u32 {
    let model = &trace.meta().model;
    model.heads_of_layer.last().copied().unwrap_or(model.heads)
}

/// The row that predicts an answer token: attention in the last layer to all T positions.
///
/// # Errors
/// A token or head that does not exist, or a row that the trace lacks.
pub fn target_row(trace: &Trace, answer: AnswerIndex, head: u32) -> Result<Vec<f32>, CausalError> {
    let last = (trace.shape().generated as u32).saturating_sub(1);
    if answer.0 > last {
        return Err(CausalError::NoToken { token: answer.0, last });
    }
    let last = head_count(trace).saturating_sub(1);
    if head > last {
        return Err(CausalError::NoHead { head, last });
    }
    attention_row(trace, head, trace.meta().query_of_answer(answer).0)
}

fn attention_row(trace: &Trace, head: u32, position: u32) -> Result<Vec<f32>, CausalError> {
    let query = Query(position);
    let stored = trace.last_layer_row(Head(head), query).or_else(|| {
        let layer = Layer((trace.shape().layers as u32).checked_sub(1)?);
        trace.weights(trace.row_of_query(query)?, layer.index(), head as usize)
    });
    let row = stored.ok_or(CausalError::MissingRow { position })?;
    Ok(row.into_iter().map(sound).collect())
}

/// The positions behind the last picture that are text and stand before `target`: the question
/// without separators, then the answer.
pub fn text_before(trace: &Trace, target: u32) -> Vec<u32> {
    let meta = trace.meta();
    let is_text = |&position: &u32| {
        let token = meta.tokens.get(position as usize);
        token.is_some_and(|token| token.kind != TokenKind::Separator)
    };
    let first = meta.question_range().start as u32;
    (first..target).filter(is_text).collect()
}

/// Largest attention on a patch over the largest on the text behind the picture; 0 without attention on patches, `None`
/// (infinite) where only patches have attention.
pub fn importance(trace: &Trace, row: &[f32]) -> Option<f64> {
    let largest = |keys: &mut dyn Iterator<Item = u32>| {
        keys.filter_map(|key| row.get(key as usize)).copied().fold(0.0, f32::max)
    };
    let patches = largest(&mut patch_keys(trace).into_iter());
    let text = largest(&mut text_before(trace, row.len() as u32).into_iter());
    match (patches > 0.0, text > 0.0) {
        (false, _) => Some(0.0),
        (true, false) => None,
        (true, true) => Some(f64::from(patches) / f64::from(text)),
    }
}

/// The nodes for an answer token in one head of the last layer. With w the attention of the row that
/// predicts the token: the k patches of largest w, k being the number of keys with w above the
/// threshold, but at least 2 and at most [`Parameters::image_nodes`]; the text behind the pictures
/// with w above the threshold; and the row's own position. What stands before the picture never is
/// a node.
///
/// # Errors
/// As [`target_row`], a number of nodes that no graph can have, or a row without a direction.
pub fn nodes_of_head(
    trace: &Trace,
    answer: AnswerIndex,
    head: u32,
    parameters: &Parameters,
) -> Result<HeadNodes, CausalError> {
    let row = target_row(trace, answer, head)?;
    let target = trace.meta().query_of_answer(answer).0;
    let attention = |position: u32| row.get(position as usize).copied().unwrap_or(0.0);
    let above = row.iter().filter(|&&weight| weight > parameters.attention_threshold).count();
    // The cap may be below 2.
    let most = above.max(2).min(parameters.image_nodes);
    let mut patches = patch_keys(trace);
    patches.sort_by(|&a, &b| attention(b).total_cmp(&attention(a)).then(a.cmp(&b)));
    patches.truncate(most);
    let text = text_before(trace, target);
    let text = text.into_iter().filter(|&key| attention(key) > parameters.attention_threshold);
    let mut positions: Vec<u32> =
        patches.into_iter().filter(|&key| key < target).chain(text).collect();
    positions.sort_unstable();
    positions.push(target);
    if positions.len() > MAX_NODES {
        return Err(CausalError::NodeCount { nodes: positions.len() });
    }
    let mut rows = Vec::with_capacity(positions.len() * row.len());
    for &position in &positions {
        rows.extend(attention_row(trace, head, position)?.into_iter().map(f64::from));
    }
    let correlations = Correlations::from_rows(&rows, row.len()).map_err(|error| match error {
        CausalError::EmptyRow { row } => CausalError::EmptyRow { row: positions[row] as usize },
        other => other,
    })?;
    let attention = positions.iter().map(|&position| attention(position)).collect();
    Ok(HeadNodes { positions, attention, correlations })
}
