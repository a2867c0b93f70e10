//! The rows of answer tokens, for methods that read the attention of a trace.

use super::super::reduce::sound;
use super::inputs::Missing;
use crate::trace::{AnswerIndex, Layer, Trace};
use half::slice::HalfFloatSliceExt as _;

/// The map [G, …] whose rows `of_row` computes from the index of an answer token's row.
pub(super) fn each_answer(
    trace: &Trace,
    mut of_row: impl FnMut(AnswerIndex, usize) -> Result<Vec<f32>, Missing>,
) -> Result<Vec<f32>, Missing> {
    let mut map = Vec::new();
    for answer in (0..trace.shape().generated as u32).map(AnswerIndex) {
        let row = trace.row_of_answer(answer).ok_or_else(|| {
            let query = trace.meta().query_of_answer(answer);
            Missing(format!("the attention of position {query}"))
        })?;
        map.extend(of_row(answer, row)?);
    }
    Ok(map)
}

/// The mean over heads of one layer, times the trace's scale: [T, T], query by key. `None` if the trace holds neither
/// `attention.head_mean` nor the rows of all positions, which give the same.
pub(super) fn head_mean(trace: &Trace, layer: usize) -> Option<Vec<f32>> {
    let positions = trace.shape().positions;
    if let Some(stored) = trace.head_mean(Layer(layer as u32)) {
        let mut mean = vec![0.0; stored.len()];
        stored.convert_to_f32_slice(&mut mean);
        return Some(mean);
    }
    // Virtual positions are keys only: no row of them exists.
    let first = trace.meta().virtual_len as usize;
    if first + trace.rows().len() != positions {
        return None;
    }
    let model = &trace.meta().model;
    let heads =
        model.heads_of_layer.get(layer).map_or(trace.shape().heads, |&heads| heads as usize);
    let scale = trace.meta().attention_scale / heads.max(1) as f32;
    let mut mean = vec![0.0; positions * positions];
    for (row, mean) in mean.chunks_exact_mut(positions.max(1)).skip(first).enumerate() {
        for head in 0..heads {
            let weights = trace.weights(row, layer, head)?;
            mean.iter_mut().zip(&weights).for_each(|(sum, &weight)| *sum += sound(weight) * scale);
        }
    }
    Some(mean)
}

/// The error for a trace without the rows that [`head_mean`] needs.
pub(super) fn no_head_mean() -> Missing {
    Missing(
        "the mean over heads of every position (capture with head_mean=True or rows=\"all\" in Python, `vlmscope ask \
         --rows all` otherwise)"
            .into(),
    )
}

/// A tensor that the trace lacks.
pub(super) fn tensor(name: &str) -> Missing {
    Missing(name.to_owned())
}
