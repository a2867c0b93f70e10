//! Attention rollout: attention as a flow through the layers (Abnar and Zuidema, arXiv 2005.00928).
//!
//! Â_l = rownorm(mean_h A_l + I) and R = Â_L … Â_1. Only the rows of answer tokens are needed, and a row satisfies r ←
//! r Â_l from the last layer to the first, so no two matrices are multiplied.

use super::super::reduce::patch_keys;
use super::inputs::Missing;
use super::rows::{head_mean, no_head_mean};
use crate::trace::{AnswerIndex, Trace};

/// The rows of R at `queries`: [queries, T], each of sum 1. `None` if the trace has neither
/// `attention.head_mean` nor all rows, or a query is outside of it.
pub fn rollout_rows(trace: &Trace, queries: &[usize]) -> Option<Vec<f32>> {
    let positions = trace.shape().positions;
    let mut rows = vec![0.0; queries.len() * positions];
    for (row, &query) in rows.chunks_exact_mut(positions).zip(queries) {
        *row.get_mut(query)? = 1.0;
    }
    let is_causal = trace.meta().model.image_attention.is_causal();
    let mut attention = vec![0.0; positions];
    for layer in (0..trace.shape().layers).rev() {
        let mean = head_mean(trace, layer)?;
        // Stored weights are scaled by `attention_scale`; dividing by the row's sum removes the scale.
        let one = trace.meta().attention_scale;
        let mut next = vec![0.0; rows.len()];
        for query in 0..positions {
            let seen = if is_causal { query + 1 } else { positions };
            attention[..seen].copy_from_slice(&mean[query * positions..query * positions + seen]);
            for weight in &mut attention[..seen] {
                *weight = if weight.is_finite() { *weight } else { 0.0 };
            }
            attention[query] += one;
            let sum: f32 = attention[..seen].iter().sum();
            let pairs = rows.chunks_exact(positions).zip(next.chunks_exact_mut(positions));
            for (row, next) in pairs.filter(|(row, _)| row[query] != 0.0) {
                let flow = row[query] / sum;
                for (next, weight) in next[..seen].iter_mut().zip(&attention[..seen]) {
                    *next += flow * weight;
                }
            }
        }
        rows = next;
    }
    Some(rows)
}

/// The rows of R of all answer tokens at the patches: [G, N].
pub(super) fn map(trace: &Trace, _seed: u64) -> Result<Vec<f32>, Missing> {
    let keys = patch_keys(trace);
    let answers = (0..trace.shape().generated as u32).map(AnswerIndex);
    let queries: Vec<usize> =
        answers.map(|answer| trace.meta().query_of_answer(answer).index()).collect();
    let rows = rollout_rows(trace, &queries).ok_or_else(no_head_mean)?;
    let rows = rows.chunks_exact(trace.shape().positions);
    Ok(rows.flat_map(|row| keys.iter().map(|&key| row[key as usize])).collect())
}
