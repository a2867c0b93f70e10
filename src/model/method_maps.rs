//! The map of any method, whatever it takes: from the trace, by a forward, or by gradients.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::relevancy::{GRADIENT_ATTENTION, RelevancyMethod, RelevancyRequest};
use crate::analysis::methods::{Method, compute};
use crate::analysis::reduce::patch_keys;
use crate::job::CancelToken;
use crate::trace::{AnswerIndex, Trace};

impl Engine {
    /// The trace with the map of `method` under [`Method::tensor`], at least for `tokens` (empty: all);
    /// the trace itself where it has that already. `seed` is for [`Method::Random`].
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
        if method != Method::Random && has_map(trace, method, tokens) {
            return Ok(trace.clone());
        }
        let relevancy = match method {
            Method::RelevancyLlm => Some(RelevancyMethod::Llm),
            Method::RelevancyLlmOwn => Some(RelevancyMethod::LlmOwn),
            Method::RelevancyVit => Some(RelevancyMethod::Vit),
            Method::RelevancyAll => Some(RelevancyMethod::All),
            Method::GradAttention => Some(RelevancyMethod::GradientAttention),
            _ => None,
        };
        let mut found = trace.clone();
        if let Some(relevancy) = relevancy
            && !(method == Method::GradAttention
                && trace.pages_as_attention(GRADIENT_ATTENTION).is_some())
        {
            let mut request = RelevancyRequest::of([relevancy]);
            request.tokens = tokens.to_vec();
            found = self.relevancy(trace, &request, cancel, &mut |_| {})?.0;
        }
        let map = match method {
            Method::GradAttention => gradient_map(&found)?,
            Method::Relative => self.relative_attention(trace, cancel)?,
            _ if relevancy.is_some() => return Ok(found),
            _ => compute(trace, method, seed)
                .map_err(|error| request("a map", &format!("cannot be computed: {error}.")))?,
        };
        let shape = [trace.shape().generated, trace.meta().patches()];
        Ok(found.with_map(method.tensor(), &shape, &map)?)
    }
}

/// Whether the map was computed for all these tokens.
fn has_map(trace: &Trace, method: Method, tokens: &[AnswerIndex]) -> bool {
    let all = (0..trace.shape().generated as u32).map(AnswerIndex).collect::<Vec<_>>();
    let tokens = if tokens.is_empty() { &all } else { tokens };
    tokens.iter().all(|&token| trace.has_map_row(method.tensor(), token))
}

/// Mean over layers and heads of the gradient × attention pages at the patches: [G, N].
fn gradient_map(trace: &Trace) -> Result<Vec<f32>> {
    let lacks = || request("this trace", "lacks the pages of gradient × attention.");
    let pages = trace.pages_as_attention(GRADIENT_ATTENTION).ok_or_else(lacks)?;
    let (shape, keys) = (pages.shape(), patch_keys(pages));
    let factor = 1.0 / (pages.meta().attention_scale * (shape.layers * shape.heads) as f32);
    let mut map = Vec::with_capacity(shape.generated * keys.len());
    for answer in 0..shape.generated as u32 {
        let row = pages.row_of_answer(AnswerIndex(answer)).ok_or_else(lacks)?;
        let page = pages.page(row).ok_or_else(lacks)?;
        map.extend(keys.iter().map(|&key| {
            let heads = page.iter().skip(key as usize).step_by(shape.positions);
            heads.map(|weight| weight.to_f32()).sum::<f32>() * factor
        }));
    }
    Ok(map)
}

fn request(what: &str, reason: &str) -> ModelError {
    ModelError::Request { what: what.to_owned(), reason: reason.to_owned() }
}
