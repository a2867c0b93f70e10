//! The undo steps of a walkthrough, in a file beside it: the versions before and after the present one.

use crate::files;
use crate::view::timeline::{Walkthrough, WalkthroughError};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Versions that are kept before and after the present one.
pub const MOST_VERSIONS: usize = 20;
/// Limit on the bytes of all of them.
const MOST_BYTES: usize = 1 << 20;

/// The versions of a walkthrough before and after the present one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Versions {
    /// Earlier versions, the oldest first.
    pub past: Vec<Walkthrough>,
    /// Undone versions; the last is the next to redo.
    pub future: Vec<Walkthrough>,
}

/// The file: each version as the text of its own file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Texts {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    past: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    future: Vec<String>,
}

impl Versions {
    /// The nearest versions.
    pub fn nearest(past: &[Walkthrough], future: &[Walkthrough]) -> Self {
        let nearest = |all: &[Walkthrough]| all[all.len().saturating_sub(MOST_VERSIONS)..].to_vec();
        Self { past: nearest(past), future: nearest(future) }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.past.is_empty() && self.future.is_empty()
    }

    /// Names the traces anew; the first version with a trace that cannot be named ends the list, and those further away
    /// are left out.
    pub fn rename(&mut self, mut rename: impl FnMut(&mut Walkthrough) -> bool) {
        for all in [&mut self.past, &mut self.future] {
            let bad = all.iter_mut().rposition(|version| !rename(version));
            all.drain(..bad.map_or(0, |at| at + 1));
        }
    }

    /// Writes the file; the versions that are furthest away are left out of a long one.
    ///
    /// # Errors
    /// If a path in them is not Unicode, or the file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let failed =
            || format!("the undo steps of the walkthrough cannot be saved to {}", path.display());
        let mut room = MOST_BYTES;
        let mut texts = |all: &[Walkthrough]| -> Result<Vec<String>, WalkthroughError> {
            let mut texts = Vec::new();
            for version in all.iter().rev() {
                let mut version = version.clone();
                for trace in version.trace_paths_mut() {
                    // Relative to the file, as in that of the walkthrough.
                    *trace = files::name_from(path, trace).map_err(|source| {
                        WalkthroughError::Save { path: path.to_owned(), source }
                    })?;
                }
                let text = version.to_toml()?;
                let Some(rest) = room.checked_sub(text.len()) else { break };
                room = rest;
                texts.push(text);
            }
            texts.reverse();
            Ok(texts)
        };
        let past = texts(&self.past).with_context(failed)?;
        let future = texts(&self.future).with_context(failed)?;
        let text = toml::to_string(&Texts { past, future }).with_context(failed)?;
        files::replace_bytes(path, text.as_bytes()).with_context(failed)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or a version in it cannot.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let failed = || format!("{name} cannot be read");
        let text = files::read_text(path).with_context(failed)?;
        let Texts { past, future } = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}", error.message().replace('\n', " ")))
            .with_context(failed)?;
        let read = |texts: &[String]| -> Result<Vec<Walkthrough>, WalkthroughError> {
            texts.iter().map(|text| Walkthrough::from_toml(&name, text)).collect()
        };
        let mut versions = Self::nearest(&read(&past)?, &read(&future)?);
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        versions.rename(|version| {
            version.trace_paths_mut().for_each(|trace| *trace = folder.join(&*trace));
            true
        });
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::view::ViewState;
    use crate::view::timeline::Step;

    /// A walkthrough of ten steps with captions of so many characters.
    fn version(number: usize, length: usize) -> Walkthrough {
        let state = ViewState { trace: Some("/a.vlmtrace".into()), ..ViewState::default() };
        let step = Step::new(state, format!("{number} {}", "x".repeat(length)));
        Walkthrough { steps: vec![step; 10], ..Walkthrough::default() }
    }

    fn captions(all: &[Walkthrough]) -> Vec<String> {
        all.iter().map(|one| one.steps[0].caption.clone()).collect()
    }

    #[test]
    fn the_nearest_versions_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("versions.toml");
        let all: Vec<Walkthrough> = (0..50).map(|number| version(number, 3)).collect();
        let versions = Versions::nearest(&all, &all[..2]);
        assert_eq!((versions.past.len(), versions.future.len()), (MOST_VERSIONS, 2));
        versions.save(&path).unwrap();
        let read = Versions::open(&path).unwrap();
        assert_eq!(captions(&read.past), captions(&all[30..]));
        assert_eq!(captions(&read.future), captions(&all[..2]));
        // Long ones are fewer.
        let long: Vec<Walkthrough> = (0..15).map(|number| version(number, 9_000)).collect();
        Versions::nearest(&long, &[]).save(&path).unwrap();
        let read = Versions::open(&path).unwrap();
        assert!((1..15).contains(&read.past.len()), "{}", read.past.len());
        assert_eq!(captions(&read.past).last(), captions(&long).last());
        std::fs::write(&path, "past = [\"steps = 3\"]").unwrap();
        assert!(format!("{:#}", Versions::open(&path).unwrap_err()).contains("versions.toml"));
    }

    #[test]
    fn a_version_whose_trace_is_gone_ends_the_list() {
        let all: Vec<Walkthrough> = (0..5).map(|number| version(number, 1)).collect();
        let mut versions = Versions::nearest(&all, &all);
        versions.rename(|version| version.steps[0].caption != "2 x");
        assert_eq!(captions(&versions.past), ["3 x", "4 x"]);
        assert_eq!(captions(&versions.future), ["3 x", "4 x"]);
    }
}
