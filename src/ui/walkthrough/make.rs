//! Sources of walkthroughs: the present answer, bookmarks, a file.

use super::editor::{NewWalkthrough, TEXT_SCALE};
use super::trace_set::TraceSet;
use crate::record::{OpenTraces, unpack};
use crate::settings::Bookmark;
use crate::trace::Trace;
use crate::ui::document::Document;
use crate::view::Theme;
use crate::view::timeline::{Step, Walkthrough, tour};
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// The tour of an answer, in the look of its view.
pub fn tour_of(doc: &Document) -> (Walkthrough, TraceSet) {
    let mut trace_set = TraceSet::default();
    let name = trace_set.name_of(doc);
    let mut walkthrough = tour(&doc.trace, &name);
    let look = doc.state();
    for step in &mut walkthrough.steps {
        step.state.colormap = look.colormap;
        step.state.interpolation = look.interpolation;
        step.state.theme = Theme::Dark;
    }
    (walkthrough, trace_set)
}

/// Bookmarks as steps with their notes as captions; and reasons for those that were left out.
pub fn of_bookmarks(
    bookmarks: &[Bookmark],
    docs: &[Document],
) -> (Walkthrough, TraceSet, Vec<String>) {
    let mut trace_set = TraceSet::default();
    let mut opened: Vec<(PathBuf, Document)> = Vec::new();
    let (mut steps, mut left_out) = (Vec::new(), Vec::new());
    for (number, bookmark) in (1..).zip(bookmarks) {
        let known = || {
            let path = bookmark.trace.as_ref()?;
            opened.iter().find(|(other, _)| other == path).map(|(_, doc)| doc)
        };
        let found =
            match (docs.iter().find(|doc| doc.is_of(bookmark)).or_else(known), &bookmark.trace) {
                (Some(doc), _) => Ok(doc.clone()),
                (None, Some(path)) => Trace::open(path)
                    .map(|trace| Document::new(std::sync::Arc::new(trace), &bookmark.state))
                    .inspect(|doc| opened.push((path.clone(), doc.clone())))
                    .map_err(|error| error.to_string()),
                (None, None) => Err("its answer was never saved and is gone".to_owned()),
            };
        let fits = found.and_then(|doc| match doc.extent.check(&bookmark.state, None) {
            Ok(()) => Ok(doc),
            Err(error) => Err(error.to_string()),
        });
        match fits {
            Ok(doc) => {
                let mut state = bookmark.state.clone();
                state.trace = Some(trace_set.name_of(&doc));
                (state.text_scale, state.theme) = (TEXT_SCALE, Theme::Dark);
                // An automatic note equals the figure's own caption, so the step needs none.
                let automatic = doc.automatic_note(&bookmark.state);
                let is_own = bookmark.note != automatic;
                steps.push(Step::new(state, if is_own { &*bookmark.note } else { "" }));
            }
            Err(reason) => left_out.push(format!("Bookmark {number} is left out: {reason}.")),
        }
    }
    (Walkthrough { title: None, steps, end: None }, trace_set, left_out)
}

/// Reads a walkthrough or a pack.
///
/// # Errors
/// If the file or one of its traces cannot be read.
pub fn read(path: &Path) -> anyhow::Result<NewWalkthrough> {
    let is_pack = path.extension().is_some_and(|end| end == "zip");
    let unpacked = if is_pack { Some(unpack(path)?) } else { None };
    let file = unpacked.as_ref().map_or(path, |unpacked| &unpacked.walkthrough);
    let mut walkthrough = Walkthrough::open(file)?;
    let folder = file.parent().context("a walkthrough lies in a folder")?;
    // Absolute paths: neither the working directory nor the place of the saved walkthrough may change their meaning.
    for trace in walkthrough.trace_paths_mut() {
        *trace = std::path::absolute(&*trace)?;
    }
    let traces = OpenTraces::open(&walkthrough, &path.display().to_string())?;
    let outside = traces.outside(folder).into_iter().map(Path::to_owned).collect();
    walkthrough.steps.iter_mut().for_each(|step| step.line = None);
    // Traces of a pack are deleted with its temporary folder, so they do not count as saved.
    let trace_set = TraceSet::of_files(traces, |trace| !is_pack || !trace.starts_with(folder));
    let own = (!is_pack).then(|| path.to_owned());
    Ok(NewWalkthrough { walkthrough, trace_set, is_of_file: true, path: own, outside, unpacked })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::view::{AxisSet, ViewState};
    use std::sync::Arc;

    #[test]
    fn bookmarks_are_steps_and_those_that_cannot_be_shown_are_named() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.vlmtrace");
        trace.write(&file).unwrap();
        let doc = Document::new(Arc::new(trace), &ViewState::default());
        let mut misfit = ViewState::default();
        misfit.map.layers = AxisSet::single(9999);
        let bookmark = |trace: Option<&Path>, document: Option<u64>, state: &ViewState| Bookmark {
            note: "look".into(),
            trace: trace.map(Path::to_owned),
            state: state.clone(),
            document,
        };
        let plain = ViewState::default();
        let list = [
            bookmark(None, Some(doc.id.number()), &plain),
            bookmark(Some(&file), None, &plain),
            bookmark(None, None, &plain),
            bookmark(Some(&folder.path().join("gone.vlmtrace")), None, &plain),
            bookmark(Some(&file), None, &misfit),
        ];
        let (walkthrough, trace_set, left_out) = of_bookmarks(&list, std::slice::from_ref(&doc));
        assert_eq!(walkthrough.steps.len(), 2);
        assert!(walkthrough.steps.iter().all(|step| step.caption == "look"));
        let name = |at: usize| walkthrough.steps[at].state.trace.clone().unwrap();
        assert_eq!((name(1), trace_set.document_of(&name(0))), (file, Some(doc.id)));
        assert_eq!(left_out.len(), 3);
        assert!(left_out[0].starts_with("Bookmark 3") && left_out[0].contains("never saved"));
        assert!(left_out[1].contains("gone.vlmtrace") && left_out[2].starts_with("Bookmark 5"));
    }
}
