//! The map of any method: from the trace, by a forward pass, or by gradients.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::relevancy::RelevancyRequest;
use crate::analysis::methods::{Computation, Layout, Method, MethodError, Missing, compute};
use crate::job::CancelToken;
use crate::trace::{AnswerIndex, Trace};

impl Engine {
    /// A copy of the trace with the map of `method` under its tensor's name, at least for `tokens` (empty: all); the
    /// trace itself if it already has that map. `seed` is for [`Method::RANDOM`].
    ///
    /// # Errors
    /// A trace of another model or without a picture, one that lacks what the method reads, a
    /// failure of ONNX Runtime, or [`ModelError::Cancelled`].
    pub fn with_method(
        &mut self,
        trace: &Trace,
        method: Method,
        tokens: &[AnswerIndex],
        seed: u64,
        cancel: &CancelToken,
    ) -> Result<Trace> {
        if method != Method::RANDOM && has_map(trace, method, tokens) {
            return Ok(trace.clone());
        }
        let mut found = trace.clone();
        let map = match method.run {
            Computation::Trace(_) | Computation::Command(_) => {
                return with_trace_method(trace, method, tokens, seed);
            }
            Computation::Forward(forward) => {
                let attention = self.other_question(trace, method, cancel)?;
                (forward.map)(trace, &attention).map_err(lacks(method))?
            }
            Computation::AnswerGradients(_)
            | Computation::OwnGradients(_)
            | Computation::TowerGradients(_)
            | Computation::GradientPages => {
                let mut request = RelevancyRequest::new([method]);
                request.tokens = tokens.to_vec();
                return Ok(self.relevancy(trace, &request, cancel, &mut |_| {})?.0);
            }
            Computation::FromGradientPages(map) => {
                let pages = Method::GRADIENT_ATTENTION;
                found = self.with_method(trace, pages, tokens, seed, cancel)?;
                map(found.shown_by(pages.tensor)).map_err(lacks(method))?
            }
        };
        let shape = [trace.shape().generated, method.columns(trace)];
        Ok(found.with_map(method.tensor, &shape, &map)?)
    }
}

/// As [`Engine::with_method`] for a method that needs only the trace, which may come from any model.
///
/// # Errors
/// A trace without a picture, one that lacks what the method reads, or a method that needs the model.
pub fn with_trace_method(
    trace: &Trace,
    method: Method,
    tokens: &[AnswerIndex],
    seed: u64,
) -> Result<Trace> {
    if method != Method::RANDOM && has_map(trace, method, tokens) {
        return Ok(trace.clone());
    }
    let map = compute(trace, method, seed).map_err(|error| cannot_compute(&error))?;
    let shape = [trace.shape().generated, method.columns(trace)];
    Ok(trace.with_map(method.tensor, &shape, &map)?)
}

/// Whether the map was computed for all these tokens.
fn has_map(trace: &Trace, method: Method, tokens: &[AnswerIndex]) -> bool {
    if let Layout::Pages { .. } = method.layout {
        return trace.pages_as_attention(method.tensor).is_some();
    }
    let all = (0..trace.shape().generated as u32).map(AnswerIndex).collect::<Vec<_>>();
    let tokens = if tokens.is_empty() { &all } else { tokens };
    tokens.iter().all(|&token| trace.has_map_row(method.tensor, token))
}

fn lacks(method: Method) -> impl Fn(Missing) -> ModelError {
    move |Missing(what)| cannot_compute(&MethodError::Missing { method, what })
}

fn cannot_compute(error: &MethodError) -> ModelError {
    ModelError::Request { what: "a map".into(), reason: format!("cannot be computed: {error}.") }
}
