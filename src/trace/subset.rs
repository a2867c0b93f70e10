//! A copy of a trace with fewer rows, to share with others.

use super::tensor::{Tensor, TensorBytes, owned};
use super::{Trace, TraceError};
use safetensors::Dtype;
use std::sync::Arc;

impl Trace {
    /// A copy of the trace with only the rows of the given query positions; everything else (pictures, words, maps)
    /// stays.
    ///
    /// # Errors
    /// If the trace has none of these rows.
    pub fn with_rows(&self, queries: &[u32]) -> Result<Self, TraceError> {
        let kept: Vec<usize> =
            (0..self.rows().len()).filter(|&row| queries.contains(&self.rows()[row])).collect();
        if kept.is_empty() {
            return Err(TraceError::Inconsistent {
                reason: "none of its rows was to be kept".into(),
            });
        }
        let rows: Vec<i32> = kept.iter().map(|&row| self.rows()[row] as i32).collect();
        let mut tensors = self.tensors.clone();
        for name in ["attention.weights", "attention.stats", "attention.span_stats"] {
            if let Some(tensor) = tensors.get_mut(name) {
                *tensor = cut(tensor, &kept);
            }
        }
        let rows = owned(Dtype::I32, &[rows.len()], bytemuck::cast_slice(&rows));
        tensors.insert("attention.rows".into(), rows);
        Self::assemble(self.path(), self.meta().clone(), tensors)
    }
}

/// Keeps the given rows of a tensor whose first axis is the rows.
fn cut(tensor: &Tensor, kept: &[usize]) -> Tensor {
    let parts: Vec<Arc<[u8]>> =
        kept.iter().filter_map(|&row| tensor.part(row)).map(|part| Arc::from(&*part)).collect();
    let mut shape = tensor.shape.clone();
    if let Some(first) = shape.first_mut() {
        *first = parts.len();
    }
    Tensor { dtype: tensor.dtype, shape, bytes: TensorBytes::Parts(parts) }
}
