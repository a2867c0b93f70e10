//! The rows of answer tokens, for methods that read the attention of a trace.

use super::inputs::Missing;
use crate::trace::{AnswerIndex, Trace};

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

/// A tensor that the trace lacks.
pub(super) fn tensor(name: &str) -> Missing {
    Missing(name.to_owned())
}
