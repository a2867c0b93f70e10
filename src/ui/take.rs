//! What a user does in the window, as a walkthrough.
//!
//! Views are noted with their time as they are seen, not as the commands that led there: the file
//! then says what to show, and a step can be dropped, moved or said something about by hand.

use super::document::DocumentId;
use crate::trace::Trace;
use crate::view::ViewState;
use crate::view::timeline::{Step, Walkthrough};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A view that is left sooner was passed, not looked at.
const REST_SECONDS: f64 = 0.3;
/// Of views that are passed without a rest, one is kept so often.
const PASS_SECONDS: f64 = 0.7;
/// The way to a view takes a part of its time, and not longer than this.
const WAY_SHARE: f64 = 0.6;
const WAY_SECONDS: f64 = 0.5;

/// A view and since when it was seen.
#[derive(Clone, Debug)]
struct Seen {
    since: f64,
    document: DocumentId,
    state: ViewState,
}

/// A recording of what is done, under way.
#[derive(Clone, Debug, Default)]
pub struct Take {
    seen: Vec<Seen>,
    traces: Vec<(DocumentId, Arc<Trace>, Option<PathBuf>)>,
}

impl Take {
    /// Notes what is seen at `now`, if it is not what was seen before.
    pub fn note(
        &mut self,
        now: f64,
        document: DocumentId,
        (trace, path): (&Arc<Trace>, Option<&Path>),
        state: &ViewState,
    ) {
        let state = ViewState { hovered: None, ..state.clone() };
        let same = |seen: &Seen| seen.document == document && seen.state == state;
        if self.seen.last().is_some_and(same) {
            return;
        }
        self.seen.push(Seen { since: now, document, state });
        match self.traces.iter_mut().find(|(id, ..)| *id == document) {
            // An answer that grew: the last trace has all of it.
            Some(known) => known.1 = Arc::clone(trace),
            None => self.traces.push((document, Arc::clone(trace), path.map(Path::to_owned))),
        }
    }

    /// Writes the walkthrough, with the traces that are in no file yet beside it.
    ///
    /// # Errors
    /// If nothing was seen, or a file cannot be written.
    pub fn save(&self, end: f64, out: &Path) -> anyhow::Result<usize> {
        let folder = out.parent().unwrap_or_else(|| Path::new(""));
        let mut named: Vec<(DocumentId, PathBuf)> = Vec::new();
        for (number, (id, trace, path)) in (1..).zip(&self.traces) {
            let path = match path {
                Some(path) => path.clone(),
                None => {
                    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
                    let path = folder.join(format!("{stem}-{number}.vlmtrace"));
                    trace.write(&path)?;
                    path
                }
            };
            let path = path.strip_prefix(folder).map_or_else(|_| path.clone(), Path::to_owned);
            named.push((*id, path));
        }
        let mut steps = steps(&self.seen, end);
        for (step, document) in &mut steps {
            let path = named.iter().find(|(id, _)| id == document).map(|(_, path)| path.clone());
            step.state.trace = path;
        }
        let steps: Vec<Step> = steps.into_iter().map(|(step, _)| step).collect();
        let count = steps.len();
        anyhow::ensure!(count > 0, "nothing was seen while it ran");
        let text = Walkthrough { title: None, steps, end: None }.to_toml()?;
        let cannot = || format!("cannot write {}; choose another place", out.display());
        let part = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
        std::fs::write(part.path(), text).with_context(cannot)?;
        part.persist(out).with_context(cannot)?;
        Ok(count)
    }
}

/// What was looked at, with as much time as it was looked at.
fn steps(seen: &[Seen], end: f64) -> Vec<(Step, DocumentId)> {
    let mut kept: Vec<&Seen> = Vec::new();
    // When the last one that was kept was left.
    let mut left = f64::NEG_INFINITY;
    for (index, one) in seen.iter().enumerate() {
        let until = seen.get(index + 1).map_or(end, |next| next.since);
        let is_last = index + 1 == seen.len();
        if until - one.since >= REST_SECONDS || until - left >= PASS_SECONDS || is_last {
            kept.push(one);
            left = until;
        }
    }
    let step = |(index, one): (usize, &&Seen)| {
        let until = kept.get(index + 1).map_or(end, |next| next.since);
        let time = (until - one.since).max(0.1);
        let way = if index == 0 { 0.0 } else { (WAY_SHARE * time).min(WAY_SECONDS) };
        let hundredths = |seconds: f64| (seconds * 100.0).round() / 100.0;
        let step = Step {
            seconds: Some(hundredths(time - way)),
            transition_secs: hundredths(way),
            ..Step::new(one.state.clone(), "")
        };
        (step, one.document)
    };
    kept.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::ui::document::Document;
    use crate::view::timeline::Timeline;

    #[test]
    fn what_was_looked_at_is_a_step_and_what_was_passed_is_not() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Arc::new(Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap());
        let doc = Document::new(Arc::clone(&trace), &ViewState::default());
        let mut take = Take::default();
        let mut see = |now: f64, opacity: f64| {
            let state = ViewState { opacity, ..ViewState::default() };
            take.note(now, doc.id, (&trace, None), &state);
        };
        see(0.0, 1.0);
        see(1.0, 1.0);
        see(2.0, 0.5);
        // A scrub: passed quickly.
        for step in 0..4 {
            see(4.0 + 0.05 * f64::from(step), 0.4 - 0.1 * f64::from(step));
        }
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("take.toml");
        assert_eq!(take.save(6.0, &out).unwrap(), 3);
        let walkthrough = Walkthrough::open(&out).unwrap();
        let opacities: Vec<f64> =
            walkthrough.steps.iter().map(|step| (step.state.opacity * 10.0).round()).collect();
        assert_eq!(opacities, [10.0, 5.0, 1.0]);
        let seconds = Timeline::new(&walkthrough).seconds();
        assert!((seconds - 6.0).abs() < 0.2, "as long as it took: {seconds}");
        let beside = walkthrough.steps[0].state.trace.clone().unwrap();
        assert_eq!(Trace::open(&beside).unwrap().rows(), trace.rows());
    }
}
