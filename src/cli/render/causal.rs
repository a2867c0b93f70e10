//! The causal graphs of a figure: those that the trace lacks are learned before it is drawn.

use super::job::{Job, does_not_fit};
use crate::analysis::causal::{CausalError, CausalRequest, CausalResult, explain};
use crate::cli::common::{cancel_on_interrupt, usage};
use crate::cli::trace_model::shown;
use crate::trace::Trace;
use crate::view::{Bounds, CausalTree, Drawing};

/// Learns the graphs of all tokens that the figures show, with the parameters of `vlmscope causal`. The trace's file is
/// not changed.
///
/// # Errors
/// A trace without the needed rows, or a head or distance that has no graph.
pub(super) fn learn_missing(trace: &mut Trace, jobs: &[Job]) -> anyhow::Result<()> {
    for Job { state, .. } in jobs {
        if state.view.spec().drawing != Drawing::Tree {
            continue;
        }
        let answer = Bounds::from_trace(trace).causal_answer(&state.map.queries);
        let answer = answer.map_err(|error| does_not_fit(state, &error))?;
        let path = state.trace.clone().unwrap_or_default();
        let failed = |error: CausalError| match error {
            CausalError::NoHead { .. } | CausalError::Radius { .. } => usage(error.to_string()),
            other => anyhow::anyhow!("{}: {other}", shown(&path)),
        };
        let known = CausalResult::stored(trace, answer).map_err(failed)?;
        // The most important head is known only when all heads were learned.
        let chooses = state.map.heads.only().is_none() || state.map.head_set.is_some();
        let is_enough =
            known.as_ref().is_some_and(|known| !chooses || known.missing_heads(trace).is_empty());
        let found = match known.filter(|_| is_enough) {
            Some(found) => found,
            None => {
                let known = CausalResult::stored(trace, answer).map_err(failed)?;
                let cancel = cancel_on_interrupt();
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let mut request = CausalRequest::beside(known.as_ref(), trace, answer, threads);
                if known.is_none() {
                    let range = request.parameters.range.max(state.radius.unwrap_or(0) as usize);
                    request.parameters.range = range;
                }
                let learned = explain(trace, &request, &|| cancel.is_cancelled(), &|_| {});
                *trace = learned.map_err(failed)?.kept_in(trace)?;
                let all = CausalResult::stored(trace, answer).map_err(failed)?;
                all.ok_or(CausalError::NotLearned { token: answer.0 })?
            }
        };
        CausalTree::new(state, trace, &found).map_err(failed)?;
    }
    Ok(())
}
