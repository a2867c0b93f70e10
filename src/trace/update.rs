//! Adding maps to a trace file that other processes may be adding maps to at the same time.
//!
//! New maps are added to the content of the file at the time of writing, not at the time when the work began; a lock
//! prevents two writers from doing this at once.

use super::tensor::Tensor;
use super::{Trace, TraceError, TraceMeta, format};
use crate::files::FileLock;
use std::io;
use std::path::Path;

/// Tensors that identify an answer; its weights are then the same, too.
const IDENTITY: [&str; 4] = ["answer.ids", "answer.logprob", "attention.rows", "attention.stats"];

impl Trace {
    /// Writes this trace, which is `base` with new maps. If `path` is the file of `base`, the new maps are added to the
    /// file's present content; otherwise the whole trace is written.
    ///
    /// # Errors
    /// [`TraceError::Replaced`] if the file now holds another answer; else as [`Self::write`].
    pub fn write_maps(&self, base: &Self, path: &Path) -> Result<(), TraceError> {
        let is_in_place = base.path().is_some_and(|file| is_same_file(file, path));
        if is_in_place { self.add_maps(base, path) } else { self.write(path) }
    }

    /// Adds the maps that this trace has and `base` lacks to the file at `path`, which `base` was read from or written
    /// to.
    ///
    /// # Errors
    /// As [`Self::write_maps`].
    pub fn add_maps(&self, base: &Self, path: &Path) -> Result<(), TraceError> {
        let _lock = lock(path)?;
        let current = Self::open(path)?;
        let read = |source| TraceError::Read { path: path.to_owned(), source };
        if !current.has_same_answer(base).map_err(read)? {
            return Err(TraceError::Replaced { path: path.to_owned() });
        }
        let mut tensors = current.tensors.clone();
        for (name, tensor) in &self.tensors {
            let is_old = match base.tensors.get(name) {
                Some(old) => is_equal(old, tensor).map_err(read)?,
                None => false,
            };
            if !is_old {
                tensors.insert(name.clone(), tensor.clone());
            }
        }
        let mut meta = current.meta.clone();
        meta.timings.relevancy += self.meta.timings.relevancy - base.meta.timings.relevancy;
        Self::assemble(Some(path), meta, tensors)?.write_unlocked(path)
    }

    /// Whether both hold the same answer to the same question; their maps may differ.
    fn has_same_answer(&self, other: &Self) -> io::Result<bool> {
        let ours = &self.meta;
        let is_same = |theirs: &TraceMeta| {
            ours.model == theirs.model
                && ours.question == theirs.question
                && ours.tokens == theirs.tokens
                && ours.spans == theirs.spans
                && ours.preprocess == theirs.preprocess
        };
        if !is_same(&other.meta) && !as_read(&other.meta).is_some_and(|theirs| is_same(&theirs)) {
            return Ok(false);
        }
        let pictures = self.tensors.keys().map(String::as_str);
        let pictures =
            pictures.filter(|name| name.starts_with("picture.") || name.starts_with("canvas."));
        for name in IDENTITY.into_iter().chain(pictures) {
            let is_same = match (self.tensors.get(name), other.tensors.get(name)) {
                (Some(ours), Some(theirs)) => is_equal(ours, theirs)?,
                (None, None) => true,
                _ => false,
            };
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The metadata as it is read from a file: on this way the last digit of a number may change.
fn as_read(meta: &TraceMeta) -> Option<TraceMeta> {
    let text = format::write(meta).ok()?;
    format::read(serde_json::from_str(&text).ok()?, format::major(meta)).ok()
}

/// The lock of a trace's file, held while it is replaced.
pub(super) fn lock(path: &Path) -> Result<FileLock, TraceError> {
    FileLock::wait(path).map_err(|source| TraceError::Lock { path: path.to_owned(), source })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn is_equal(one: &Tensor, other: &Tensor) -> io::Result<bool> {
    if one.dtype != other.dtype || one.shape != other.shape {
        return Ok(false);
    }
    if one.is_shared_with(other) {
        return Ok(true);
    }
    Ok(one.byte_len() == other.byte_len() && one.read()? == other.read()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    fn written(path: &Path, seed: u64) -> Trace {
        let geometry = Geometry::named("small").unwrap();
        Synthetic::new(geometry, RowsKept::Text, seed).unwrap().write(path).unwrap();
        Trace::open(path).unwrap()
    }

    fn with(trace: &Trace, name: &str, value: f32) -> Trace {
        let shape = [trace.shape().generated, trace.meta().patches()];
        trace.with_map(name, &shape, &vec![value; shape[0] * shape[1]]).unwrap()
    }

    #[test]
    fn eight_writers_of_fifty_maps_each_lose_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        written(&path, 1);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..50 {
                        let base = Trace::open(path).unwrap();
                        let found = with(&base, &format!("map.w{writer}_r{round}"), 1.0);
                        found.write_maps(&base, path).unwrap();
                    }
                });
            }
        });
        let names = Trace::open(&path).unwrap();
        let count = names.map_names().iter().filter(|name| name.starts_with("map.w")).count();
        assert_eq!(count, 8 * 50);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_map_that_was_computed_again_replaces_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        let base = written(&path, 1);
        with(&base, "map.one", 1.0).write_maps(&base, &path).unwrap();
        // The file is newer than `base` by now.
        with(&base, "map.two", 2.0).write_maps(&base, &path).unwrap();
        let first = Trace::open(&path).unwrap();
        with(&first, "map.one", 3.0).write_maps(&first, &path).unwrap();
        let found = Trace::open(&path).unwrap();
        for (name, value) in [("map.one", 3.0), ("map.two", 2.0)] {
            assert_eq!(found.map_row(name, crate::trace::AnswerIndex(0)).unwrap()[0], value);
        }
    }

    #[test]
    fn maps_of_one_answer_are_not_put_into_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        let base = written(&path, 1);
        written(&path, 2);
        let before = std::fs::read(&path).unwrap();
        let error = with(&base, "map.one", 1.0).write_maps(&base, &path).unwrap_err();
        assert!(matches!(error, TraceError::Replaced { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn another_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.vlmtrace"), folder.path().join("b.vlmtrace"));
        let base = written(&path, 1);
        written(&other, 2);
        with(&base, "map.one", 1.0).write_maps(&base, &other).unwrap();
        assert!(Trace::open(&other).unwrap().map_names().contains(&"map.one"));
        assert!(!Trace::open(&path).unwrap().map_names().contains(&"map.one"));
    }

    #[test]
    #[cfg(unix)]
    fn through_a_link_the_linked_file_gets_the_map() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.vlmtrace"), folder.path().join("l.vlmtrace"));
        written(&path, 1);
        std::os::unix::fs::symlink("a.vlmtrace", &link).unwrap();
        let base = Trace::open(&link).unwrap();
        with(&base, "map.one", 1.0).write_maps(&base, &link).unwrap();
        assert!(link.is_symlink());
        assert!(Trace::open(&path).unwrap().map_names().contains(&"map.one"));
    }
}
