//! One figure or many: {token}, {layer} and {head} in the name of the file.

use super::job::Job;
use crate::cli::common::{bar, usage};
use crate::trace::Trace;
use crate::view::{AxisSet, Bounds, Queries, QueryKind, SourceKind, ViewState};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};

/// A larger number of figures is taken for a mistake.
const MOST_FIGURES: usize = 100_000;

/// The figures of a pattern: one for each chosen (or each existing) token, layer, head.
pub(super) fn jobs(state: &ViewState, trace: &Trace, out: &Path) -> anyhow::Result<Vec<Job>> {
    let pattern = out.to_str().ok_or_else(|| usage("--out is not Unicode text"))?;
    check_pattern(pattern, state, trace)?;
    let shape = trace.shape();
    let mut jobs = vec![(state.clone(), pattern.to_owned())];
    if pattern.contains("{token}") {
        let tokens = match state.map.queries.kind {
            QueryKind::Answer => state.map.queries.set.members(shape.generated as u32),
            QueryKind::Position => match state.map.queries.set.named() {
                Some(named) => named.to_vec(),
                None => trace.rows().to_vec(),
            },
        };
        let kind = state.map.queries.kind;
        jobs = each(jobs, "{token}", &tokens, |state, index| {
            state.map.queries = Queries { kind, set: AxisSet::single(index) };
        })?;
    }
    if pattern.contains("{layer}") {
        let numbers = trace.meta().model.layer_numbers();
        let layers = state.map.layers.named().map_or(numbers, <[u32]>::to_vec);
        jobs = each(jobs, "{layer}", &layers, |state, index| {
            state.map.layers = AxisSet::single(index);
        })?;
    }
    if pattern.contains("{head}") {
        let heads = state.map.heads.members(shape.heads as u32);
        jobs = each(jobs, "{head}", &heads, |state, index| {
            state.map.heads = AxisSet::single(index);
        })?;
    }
    Ok(jobs.into_iter().map(|(state, out)| Job { state, out: PathBuf::from(out) }).collect())
}

/// Names that are allowed in braces.
const FIELDS: [&str; 3] = ["token", "layer", "head"];

/// Checks that names in braces are known, and make a difference in the view.
fn check_pattern(pattern: &str, state: &ViewState, trace: &Trace) -> anyhow::Result<()> {
    let named = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    for (field, _) in named {
        if !FIELDS.contains(&field) {
            return Err(usage(format!(
                "--out has `{{{field}}}`, which is none of {{token}}, {{layer}} and {{head}}"
            )));
        }
        let view = state.view;
        let every = view.spec().every;
        let all_at_once = match field {
            "token" => every.tokens,
            "layer" => every.layers,
            _ => every.heads,
        };
        if all_at_once {
            return Err(usage(format!(
                "the {view} view shows every {field} at once, so all figures for `{{{field}}}` \
                would be the same; leave it out of --out"
            )));
        }
        let kind = Bounds::from_trace(trace).source_kind(&state.map.source);
        if field != "token" && kind == Some(SourceKind::Numbers) {
            return Err(usage(format!(
                "`{}` has no layers and heads, so all figures for `{{{field}}}` would be the \
                same; leave it out of --out",
                state.map.source.name()
            )));
        }
    }
    Ok(())
}

fn each(
    jobs: Vec<(ViewState, String)>,
    placeholder: &str,
    indices: &[u32],
    choose: impl Fn(&mut ViewState, u32),
) -> anyhow::Result<Vec<(ViewState, String)>> {
    if jobs.len().saturating_mul(indices.len()) > MOST_FIGURES {
        return Err(usage(format!(
            "{} × {} figures are more than {MOST_FIGURES}; name fewer tokens, layers or heads",
            jobs.len(),
            indices.len()
        )));
    }
    // Numbers of equal length, so that files are sorted in the order of the figures.
    let digits = indices.iter().max().map_or(1, |last| last.to_string().len());
    let one = |(state, out): (ViewState, String)| {
        let choose = &choose;
        indices.iter().map(move |&index| {
            let mut state = state.clone();
            choose(&mut state, index);
            (state, out.replace(placeholder, &format!("{index:0digits$}")))
        })
    };
    Ok(jobs.into_iter().flat_map(one).collect())
}

/// A progress bar on stderr, if there are several figures and a terminal.
pub(super) fn progress(count: usize) -> ProgressBar {
    if count < 2 {
        return ProgressBar::hidden();
    }
    bar("{bar:32} {pos}/{len} figures, {eta} left", count as u64)
}
