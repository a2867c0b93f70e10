//! The traces of the open walkthrough, and the names under which its steps refer to them.
//!
//! A step names its trace by a path. An answer without a file has such a name, too: it is written beside the
//! walkthrough when that is saved, and from then on the name stands for that file. Undo can therefore never
//! bring back a name of a file that does not exist.

use crate::record::{OpenTraces, refuse_input};
use crate::trace::{Trace, TraceId};
use crate::ui::document::{Document, DocumentId};
use crate::view::timeline::Walkthrough;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A trace that was written to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Name of the trace in steps.
    name: PathBuf,
    file: PathBuf,
    id: TraceId,
}

/// Traces under their names in steps.
#[derive(Clone, Debug, Default)]
pub struct TraceSet {
    /// Every trace, open.
    pub traces: OpenTraces,
    /// The file of a name, and the identity of the trace in it; a trace without a file is written when the
    /// walkthrough is saved.
    files: BTreeMap<PathBuf, (PathBuf, TraceId)>,
    /// Document and name of each trace that a document shows.
    documents: Vec<(DocumentId, PathBuf)>,
}

impl TraceSet {
    /// Traces of files; `is_kept` tells whether a file outlives the window.
    pub fn of_files(traces: OpenTraces, is_kept: impl Fn(&Path) -> bool) -> Self {
        let files = traces.iter().filter(|(path, _)| is_kept(path));
        let file =
            |(path, trace): (&Path, &Trace)| (path.to_owned(), (path.to_owned(), trace.id()));
        let files = files.map(file).collect();
        Self { traces, files, documents: Vec::new() }
    }

    /// The name of a document's trace. Takes over the document's present trace, with maps that were added.
    pub fn name_of(&mut self, doc: &Document) -> PathBuf {
        let known = self.documents.iter().find(|(id, _)| *id == doc.id).map(|(_, name)| name);
        let name = match (known, &doc.path) {
            (Some(name), _) => name.clone(),
            (None, Some(path)) => path.clone(),
            (None, None) => PathBuf::from(format!("answer-{}.vlmtrace", doc.id.number())),
        };
        if known.is_none() {
            self.documents.push((doc.id, name.clone()));
        }
        if let (Some(path), Some(id)) = (&doc.path, doc.in_file) {
            self.files.insert(name.clone(), (path.clone(), id));
        }
        if self.traces.get(&name).map(Trace::id) != Some(doc.trace.id()) {
            self.traces.insert(name.clone(), (*doc.trace).clone());
        }
        name
    }

    /// The name of a trace that no document shows.
    pub fn name_of_trace(&mut self, trace: &Trace) -> PathBuf {
        let known = self.traces.iter().find(|(_, own)| own.id() == trace.id());
        if let Some((name, _)) = known {
            return name.to_owned();
        }
        let names = (1_u32..).map(|number| PathBuf::from(format!("compared-{number}.vlmtrace")));
        let free = names.into_iter().find(|name| self.traces.get(name).is_none());
        let name = free.unwrap_or_default();
        self.traces.insert(name.clone(), trace.clone());
        name
    }

    /// Traces that were read again: names that are files of the user, and the names of documents.
    pub fn restored(
        traces: OpenTraces,
        of_user: &[PathBuf],
        documents: Vec<(DocumentId, PathBuf)>,
    ) -> Self {
        Self { documents, ..Self::of_files(traces, |path| of_user.iter().any(|own| own == path)) }
    }

    /// The trace of a name, the file that holds it, and the document that shows it.
    pub fn entry(&self, name: &Path) -> (Option<&Trace>, Option<&Path>, Option<DocumentId>) {
        (self.traces.get(name), self.file_of(name), self.document_of(name))
    }

    /// Whether a trace of this document is among them.
    pub fn shows(&self, id: DocumentId) -> bool {
        self.documents.iter().any(|(known, _)| *known == id)
    }

    /// The document that shows the trace of a name.
    pub fn document_of(&self, name: &Path) -> Option<DocumentId> {
        self.documents.iter().find(|(_, other)| other == name).map(|(id, _)| *id)
    }

    /// A document shows the trace of a name from now on.
    pub fn shown_by(&mut self, name: &Path, id: DocumentId) {
        self.documents.retain(|(_, other)| other != name);
        self.documents.push((id, name.to_owned()));
    }

    /// The file of a name, if it still exists and holds the present trace.
    fn file_of(&self, name: &Path) -> Option<&Path> {
        let (path, id) = self.files.get(name)?;
        (self.traces.get(name)?.id() == *id && path.exists()).then_some(path)
    }

    /// Adds the traces of another set. Returns the names in this set by the names in the other.
    pub fn absorb(&mut self, other: Self) -> BTreeMap<PathBuf, PathBuf> {
        let mut names = BTreeMap::new();
        for (name, trace) in other.traces.iter() {
            let document = other.documents.iter().find(|(_, own)| own == name).map(|(id, _)| *id);
            let of_document = self.documents.iter().find(|(id, _)| Some(*id) == document);
            let same = || self.traces.iter().find(|(_, own)| own.id() == trace.id());
            let known = of_document.map(|(_, own)| own.clone());
            let known = known.or_else(|| same().map(|(own, _)| own.to_owned()));
            let here = known.unwrap_or_else(|| {
                let is_free = |path: &PathBuf| self.traces.get(path).is_none();
                let numbered =
                    (2_u32..).map(|number| name.with_extension(format!("{number}.vlmtrace")));
                std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
            });
            // Of two traces of one answer, the one with more maps holds everything of the other.
            let maps = |trace: &Trace| trace.map_names().len() + trace.page_names().len();
            if self.traces.get(&here).is_none_or(|own| maps(own) < maps(trace)) {
                self.traces.insert(here.clone(), trace.clone());
                if let Some(file) = other.files.get(name) {
                    self.files.insert(here.clone(), file.clone());
                }
            }
            if let Some(id) = document.filter(|_| of_document.is_none()) {
                self.documents.push((id, here.clone()));
            }
            names.insert(name.to_owned(), here);
        }
        names
    }

    /// Stores the files that were written.
    pub fn remember(&mut self, written: Vec<Written>) {
        let file = |Written { name, file, id }| (name, (file, id));
        self.files.extend(written.into_iter().map(file));
    }

    /// Writes a walkthrough, and beside it those traces of its steps that are in no file yet. Returns
    /// those traces.
    ///
    /// # Errors
    /// If a file cannot be written; an older walkthrough is then still there.
    pub fn save(&self, walkthrough: &Walkthrough, out: &Path) -> anyhow::Result<Vec<Written>> {
        refuse_input(out, self.files.values().map(|(path, _)| path.as_path()))?;
        let mut walkthrough = walkthrough.clone();
        let mut written: Vec<Written> = Vec::new();
        for name in walkthrough.trace_paths_mut() {
            let new = || written.iter().find(|new| new.name == *name).map(|new| &*new.file);
            let file = match self.file_of(name).or_else(new) {
                Some(file) => file.to_owned(),
                None => {
                    let trace = self.traces.get(name);
                    let trace = trace.with_context(|| format!("{} is not open", name.display()))?;
                    let file = free_name(out)?;
                    trace.write(&file)?;
                    written.push(Written {
                        name: name.clone(),
                        file: file.clone(),
                        id: trace.id(),
                    });
                    file
                }
            };
            *name = file;
        }
        walkthrough.save(out)?;
        Ok(written)
    }
}

/// An unused file name for a trace beside a walkthrough.
fn free_name(out: &Path) -> anyhow::Result<PathBuf> {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let names =
        (1_u32..10_000).map(|number| out.with_file_name(format!("{stem}-{number}.vlmtrace")));
    let free = names.into_iter().find(|name| !name.exists());
    free.with_context(|| format!("too many traces beside {}", out.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::view::ViewState;
    use crate::view::timeline::Step;
    use std::sync::Arc;

    #[test]
    fn casts_are_joined_and_no_name_means_two_traces() {
        let geometry = Geometry::named("small").unwrap();
        let trace = |seed| {
            Arc::new(
                Synthetic::new(geometry.clone(), RowsKept::Text, seed).unwrap().trace().unwrap(),
            )
        };
        let docs = [1, 2].map(|seed| Document::new(trace(seed), &ViewState::default()));
        let (mut first, mut second) = (TraceSet::default(), TraceSet::default());
        let shared = first.name_of(&docs[0]);
        assert_eq!(second.name_of(&docs[0]), shared);
        let own = second.name_of(&docs[1]);
        // A trace of another answer has the name that the second set brings.
        first.traces.insert(own.clone(), (*trace(3)).clone());
        let names = first.absorb(second);
        assert_eq!(names[&shared], shared);
        assert_ne!(names[&own], own);
        assert_eq!(first.traces.get(&names[&own]).unwrap().id(), docs[1].trace.id());
        assert_eq!(first.document_of(&names[&own]), Some(docs[1].id));
        assert_eq!(first.traces.iter().count(), 3);
    }

    #[test]
    fn an_answer_in_no_file_is_written_once_and_beside_the_walkthrough() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Arc::new(Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap());
        let doc = Document::new(trace, &ViewState::default());
        let mut trace_set = TraceSet::default();
        let name = trace_set.name_of(&doc);
        assert_eq!(
            (trace_set.name_of(&doc), trace_set.document_of(&name)),
            (name.clone(), Some(doc.id))
        );
        let step = || {
            let state = ViewState { trace: Some(name.clone()), ..ViewState::default() };
            Step::new(state, "words")
        };
        let walkthrough = Walkthrough { title: None, steps: vec![step(), step()], end: None };
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("tour.toml");
        // A file of that name belongs to someone else.
        std::fs::write(folder.path().join("tour-1.vlmtrace"), "mine").unwrap();
        let written = trace_set.save(&walkthrough, &out).unwrap();
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].file, folder.path().join("tour-2.vlmtrace"));
        trace_set.remember(written);
        assert_eq!(trace_set.save(&walkthrough, &out).unwrap(), [], "the second time it is there");
        let mut back = Walkthrough::open(&out).unwrap();
        let traces: Vec<PathBuf> = back.trace_paths_mut().map(|path| path.clone()).collect();
        assert_eq!(traces, vec![folder.path().join("tour-2.vlmtrace"); 2]);
        assert_eq!(std::fs::read(folder.path().join("tour-1.vlmtrace")).unwrap(), b"mine");
    }
}
