//! The causal graphs of a figure: those that the trace lacks are learned before it is drawn.

use super::job::{Job, does_not_fit};
use crate::analysis::causal::{
    CausalError, CausalRequest, CausalResult, Parameters, StabilityOptions, explain,
};
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
        let found = match CausalResult::stored(trace, answer).map_err(failed)? {
            Some(found) => found,
            None => {
                let cancel = cancel_on_interrupt();
                let defaults = Parameters::default();
                let range = defaults.range.max(state.radius.unwrap_or(0) as usize);
                let request = CausalRequest {
                    answer,
                    heads: Vec::new(),
                    parameters: Parameters { range, ..defaults },
                    stability: Some(StabilityOptions::default()),
                    threads: std::thread::available_parallelism().map_or(1, usize::from),
                };
                let found = explain(trace, &request, &|| cancel.is_cancelled(), &|_| {});
                let found = found.map_err(failed)?;
                *trace = found.clone().kept_in(trace)?;
                found
            }
        };
        CausalTree::new(state, trace, &found).map_err(failed)?;
    }
    Ok(())
}
