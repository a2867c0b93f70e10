//! The answer without the picture: every patch is replaced by the picture's mean colour, and the same answer is scored
//! again.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::occluder::{BlankFill, Occluder};
use super::occlusion::only_view;
use super::rescore::{Rescorer, Variant};
use crate::job::CancelToken;
use crate::trace::Trace;

/// The log-probability of each answer token without the picture: `[G]`. One run of the model serves all words.
///
/// # Errors
/// A trace of another model, without a picture or with several views of it, a failure of ONNX Runtime, or
/// [`ModelError::Cancelled`].
pub fn blank_logprobs(
    engine: &mut Engine,
    trace: &Trace,
    cancel: &CancelToken,
) -> Result<Vec<f32>> {
    let span = only_view(trace, "blanked")?;
    let seen = trace.canvas(span.canvas as usize).ok_or_else(|| ModelError::Request {
        what: "this trace".into(),
        reason: "lacks the picture that the model saw.".into(),
    })?;
    let blank = Occluder::new(&seen, BlankFill::Mean)?.blank();
    let mut scorer = Rescorer::new(engine, trace)?;
    let scored = scorer.score(engine, [Variant::of_picture(blank)], cancel, &mut |_, _| {})?;
    scored.into_iter().next().map(|scored| scored.logprobs).ok_or_else(|| ModelError::Request {
        what: "this trace".into(),
        reason: "has no answer to score.".into(),
    })
}
