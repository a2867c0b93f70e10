//! Answers that were not saved when an internal error closed the window: they are kept in a folder, and offered at the
//! next start.

use super::document::Document;
use crate::job;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Prefixes of folders of answers: not opened yet, and opened.
const WAITING: &str = "unsaved-";
const OPENED: &str = "opened-";

/// The folder of recovered answers; `None` if the system has no data folder.
pub fn folder() -> Option<PathBuf> {
    Some(dirs::data_dir()?.join("vlmscope").join("recovered"))
}

/// Answers that were saved when the window ended unexpectedly.
#[derive(Debug, Default)]
pub struct RecoveredAnswers {
    /// Number of answers that were written.
    pub answers: usize,
    /// Errors of the answers that could not be written.
    pub failed: Vec<String>,
}

/// Whether a document holds more than its file.
fn is_unsaved(doc: &Document) -> bool {
    doc.in_file != Some(doc.trace.id())
}

/// Writes unsaved answers into a new folder in `root`.
///
/// # Errors
/// If the folder cannot be made.
pub fn keep(docs: &[Document], root: &Path) -> io::Result<RecoveredAnswers> {
    let mut kept = RecoveredAnswers::default();
    let unsaved: Vec<&Document> = docs.iter().filter(|doc| is_unsaved(doc)).collect();
    if unsaved.is_empty() {
        return Ok(kept);
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let folder = root.join(format!("{WAITING}{seconds}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for (index, doc) in unsaved.into_iter().enumerate() {
        let path = folder.join(format!("answer-{}.vlmtrace", index + 1));
        // A damaged document must not keep the others from being saved.
        match job::guard(|| doc.trace.write(&path)) {
            Ok(Ok(())) => kept.answers += 1,
            Ok(Err(error)) => kept.failed.push(error.to_string()),
            Err(panicked) => kept.failed.push(panicked.message),
        }
    }
    Ok(kept)
}

/// The recovered answers in `root` that were not opened yet.
pub fn waiting(root: &Path) -> Vec<PathBuf> {
    waiting_folders(root).iter().flat_map(|folder| traces_in(folder)).collect()
}

/// The same answers, to be opened: their files stay in `root`, but are not offered again.
///
/// # Errors
/// If a folder cannot be renamed.
pub fn take(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut traces = Vec::new();
    for folder in waiting_folders(root) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let opened = root.join(name.replacen(WAITING, OPENED, 1));
        std::fs::rename(&folder, &opened)?;
        traces.extend(traces_in(&opened));
    }
    Ok(traces)
}

/// Deletes the recovered answers in `root` that were not opened yet.
///
/// # Errors
/// If a folder cannot be removed.
pub fn discard(root: &Path) -> io::Result<()> {
    waiting_folders(root).iter().try_for_each(std::fs::remove_dir_all)
}

fn waiting_folders(root: &Path) -> Vec<PathBuf> {
    let is_waiting = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WAITING))
    };
    sorted(root, is_waiting)
}

fn traces_in(folder: &Path) -> Vec<PathBuf> {
    sorted(folder, |path| path.extension().is_some_and(|end| end == "vlmtrace"))
}

/// Sorted paths in a folder; empty if the folder does not exist.
fn sorted(folder: &Path, is_wanted: impl Fn(&PathBuf) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_wanted).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::Trace;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::view::ViewState;
    use std::sync::Arc;

    #[test]
    fn what_is_in_no_file_is_kept_offered_once_and_opened_or_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("recovered");
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let path = folder.path().join("saved.vlmtrace");
        trace.write(&path).unwrap();
        let document = |trace: Trace| Document::new(Arc::new(trace), &ViewState::default());
        let saved = document(Trace::open(&path).unwrap());
        assert!(waiting(&root).is_empty(), "there is no folder yet");
        assert_eq!(keep(std::slice::from_ref(&saved), &root).unwrap().answers, 0);
        assert!(!root.exists());

        let docs = [saved, document(trace.clone()), document(trace)];
        let kept = keep(&docs, &root).unwrap();
        assert_eq!((kept.answers, kept.failed.len()), (2, 0));
        assert_eq!(waiting(&root).len(), 2);
        let taken = take(&root).unwrap();
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().all(|path| Trace::open(path).is_ok()));
        assert!(waiting(&root).is_empty() && take(&root).unwrap().is_empty());

        keep(&docs, &root).unwrap();
        discard(&root).unwrap();
        assert!(waiting(&root).is_empty());
        assert!(taken.iter().all(|path| path.exists()), "what was opened stays");
    }
}
