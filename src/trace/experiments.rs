//! Results of experiments on an answer that are stored beside its maps: the effect of each head, and the answer's
//! probability without the picture.

use super::tensor::{cast, owned};
use super::tensor_rules::{BLANK_LOGPROBS, HEAD_EFFECTS};
use super::{Dtype, Trace, TraceError, TraceId};

impl Trace {
    /// A copy of the trace with the effect of each head: [G, L, H], Δ log p of each answer token with the head
    /// switched off.
    ///
    /// # Errors
    /// If the number of values does not fit.
    pub fn with_head_effects(&self, values: &[f32]) -> Result<Self, TraceError> {
        let shape = self.shape();
        self.with_numbers(HEAD_EFFECTS, &[shape.generated, shape.layers, shape.heads], values)
    }

    /// A copy of the trace with the log-probability of each answer token without the picture: `[G]`.
    ///
    /// # Errors
    /// If the number of values does not fit.
    pub fn with_blank_logprobs(&self, values: &[f32]) -> Result<Self, TraceError> {
        self.with_numbers(BLANK_LOGPROBS, &[self.shape().generated], values)
    }

    fn with_numbers(
        &self,
        name: &str,
        shape: &[usize],
        values: &[f32],
    ) -> Result<Self, TraceError> {
        if shape.iter().product::<usize>() != values.len() {
            let reason = format!("`{name}` has {} values for shape {shape:?}", values.len());
            return Err(TraceError::Inconsistent { reason });
        }
        let mut trace = self.clone();
        trace.id = TraceId::next();
        let tensor = owned(Dtype::F32, shape, bytemuck::cast_slice(values));
        trace.tensors.insert(name.to_owned(), tensor);
        trace.find_pages(self.path().map(std::path::Path::to_owned).as_deref())?;
        Ok(trace)
    }

    /// The effect of each head, see [`Self::with_head_effects`]; `None` before it was measured.
    pub fn head_effects(&self) -> Option<Vec<f32>> {
        self.numbers_of(HEAD_EFFECTS)
    }

    /// Whether the effect of each head was measured.
    pub fn has_head_effects(&self) -> bool {
        self.tensor(HEAD_EFFECTS).is_some()
    }

    /// Whether the answer was scored without the picture.
    pub fn has_blank_logprobs(&self) -> bool {
        self.tensor(BLANK_LOGPROBS).is_some()
    }

    /// The log-probability of each answer token without the picture; `None` before it was measured.
    pub fn blank_logprobs(&self) -> Option<Vec<f32>> {
        self.numbers_of(BLANK_LOGPROBS)
    }

    fn numbers_of(&self, name: &str) -> Option<Vec<f32>> {
        let bytes = self.tensors.get(name)?.read().ok()?;
        Some(cast::<f32>(&bytes).to_vec())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    #[test]
    fn experiments_are_written_with_the_trace_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let shape = trace.shape();
        assert!(!trace.has_head_effects() && trace.blank_logprobs().is_none());
        let effects: Vec<f32> =
            (0..shape.generated * shape.layers * shape.heads).map(|at| at as f32).collect();
        let blank: Vec<f32> = (0..shape.generated).map(|at| -(at as f32)).collect();
        let with = trace.with_head_effects(&effects).unwrap().with_blank_logprobs(&blank).unwrap();
        with.write(&path).unwrap();
        let read = Trace::open(&path).unwrap();
        assert_eq!(read.head_effects(), Some(effects));
        assert_eq!(read.blank_logprobs(), Some(blank));
        assert!(trace.with_blank_logprobs(&[0.0]).is_err());
    }
}
