//! The traces and the view state of one `render` command.

use crate::analysis::diff::check_geometry;
use crate::cli::common::usage;
use crate::cli::selection::refused;
use crate::cli::trace_model::shown;
use crate::terminal;
use crate::trace::Trace;
use crate::view::{
    Bounds, Drawing, Mix, PatchTable, PatchTableError, SecondRule, ViewError, ViewState,
};
use std::io::Write as _;
use std::path::PathBuf;

/// The traces of a figure.
pub(super) struct Traces {
    pub first: Trace,
    pub second: Option<Trace>,
}

impl Traces {
    pub fn check(&self, state: &ViewState) -> anyhow::Result<()> {
        let second = self.second.as_ref().map(Bounds::from_trace);
        Bounds::from_trace(&self.first)
            .check(state, second.as_ref())
            .map_err(|error| does_not_fit(state, &error))?;
        if state.view.spec().drawing == Drawing::Table {
            PatchTable::of_trace(state, &self.first).map_err(|error| match error {
                PatchTableError::Token(error) => does_not_fit(state, &error),
                other => {
                    let path = state.trace.clone().unwrap_or_default();
                    anyhow::anyhow!("{}: {other}", shown(&path))
                }
            })?;
        }
        if let Some(second) = self.second.as_ref().filter(|_| subtracts(state)) {
            check_geometry(self.first.meta(), second.meta())
                .map_err(|error| usage(error.to_string()))?;
        }
        Ok(())
    }

    /// Prints a note if the rows of a difference predict different tokens.
    pub fn note(&self, state: &ViewState) {
        let Some(second) = self.second.as_ref().filter(|_| subtracts(state)) else { return };
        if second.answer_ids() != self.first.answer_ids() {
            let _ = writeln!(
                terminal::stderr(),
                "note: the answers differ (\"{}\" and \"{}\"), so the rows that are subtracted \
                predict different tokens; `vlmscope diff A B --out SCORED.vlmtrace` scores the \
                second question with the first answer; use the result with --second-trace \
                SCORED.vlmtrace.",
                self.first.meta().answer,
                second.meta().answer
            );
        }
    }
}

/// An error of the command line; it names the trace, unless the state is wrong for every trace.
pub(super) fn does_not_fit(state: &ViewState, error: &ViewError) -> anyhow::Error {
    let second = state.second.as_ref().and_then(|second| second.trace.as_ref());
    let path = match error {
        ViewError::SecondMap { .. } => second.or(state.trace.as_ref()),
        _ => state.trace.as_ref(),
    };
    match (error, path) {
        (ViewError::Value { .. } | ViewError::Combination { .. }, _) | (_, None) => {
            usage(error.to_string())
        }
        (_, Some(path)) => refused(path, error),
    }
}

/// Whether the figure shows the first map minus a map of another trace.
fn subtracts(state: &ViewState) -> bool {
    let subtracts = state.view.spec().second == SecondRule::Subtracted;
    state.second.as_ref().is_some_and(|second| {
        second.trace.is_some() && (subtracts || second.mix == Mix::Difference)
    })
}

/// A figure to be drawn.
pub(super) struct Job {
    pub state: ViewState,
    pub out: PathBuf,
}
