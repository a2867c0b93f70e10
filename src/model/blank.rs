//! The answer without the picture: every patch is replaced by the picture's mean colour, and the same answer is scored
//! again.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::occluder::BlankFill;
use super::occlusion::only_view;
use super::rescore::Variant;
use super::rescorer::Rescorer;
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
    only_view(trace, "blanked")?;
    let mut scorer = Rescorer::new(engine, trace)?;
    let blank = Variant::blanked(BlankFill::Mean, None);
    let scored = scorer.score(engine, [blank], cancel, &mut |_, _| {})?;
    scored.into_iter().next().map(|scored| scored.logprobs).ok_or_else(|| ModelError::Request {
        what: "this trace".into(),
        reason: "has no answer to score.".into(),
    })
}
