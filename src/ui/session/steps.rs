//! The undo steps of a view, in a file beside the session's record.

use crate::files;
use crate::view::{History, ViewState};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Steps of a view that are kept before and after the present one.
pub const MOST_STEPS: usize = 100;
/// Limit on the bytes of the steps of one answer: outlines of objects can have thousands of points.
const MOST_BYTES: usize = 1 << 20;

/// The views before and after the present one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewSteps {
    /// Earlier views, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<ViewState>,
    /// Undone views; the last is the next to redo.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub future: Vec<ViewState>,
}

impl ViewSteps {
    /// The nearest steps of a history.
    pub fn of(history: &History) -> Self {
        Self { past: nearest(history.past()), future: nearest(history.future()) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.past.is_empty() && self.future.is_empty()
    }

    /// The text; the steps that are furthest away are left out of a long one.
    ///
    /// # Errors
    /// If a path in them is not Unicode.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let text = toml::to_string(self)?;
        if text.len() <= MOST_BYTES || self.is_empty() {
            return Ok(text);
        }
        let half = |steps: &[ViewState]| steps[steps.len().div_ceil(2)..].to_vec();
        Self { past: half(&self.past), future: half(&self.future) }.to_text()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or holds no steps.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("{} cannot be read", path.display());
        let text = files::read_text(path).with_context(failed)?;
        let steps: Self = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}", error.message().replace('\n', " ")))
            .with_context(failed)?;
        Ok(Self { past: nearest(&steps.past), future: nearest(&steps.future) })
    }
}

fn nearest(steps: &[ViewState]) -> Vec<ViewState> {
    steps[steps.len().saturating_sub(MOST_STEPS)..].to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::analysis::outline::{Outline, RegionPart};
    use crate::view::MarkedObject;

    fn numbered(count: usize) -> Vec<ViewState> {
        let view = |at: usize| ViewState { text_scale: at as f64, ..ViewState::default() };
        (0..count).map(view).collect()
    }

    #[test]
    fn the_nearest_steps_are_kept() {
        let views = numbered(3 * MOST_STEPS);
        let history = History::restored(views.clone(), ViewState::default(), views[..2].to_vec());
        let steps = ViewSteps::of(&history);
        assert_eq!((steps.past.len(), steps.future.len()), (MOST_STEPS, 2));
        assert_eq!(steps.past.last(), views.last());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views-1.toml");
        std::fs::write(&path, steps.to_text().unwrap()).unwrap();
        assert_eq!(ViewSteps::open(&path).unwrap(), steps);
        // A file with more steps than this program writes.
        let more = ViewSteps { past: views.clone(), future: Vec::new() };
        std::fs::write(&path, toml::to_string(&more).unwrap()).unwrap();
        assert_eq!(ViewSteps::open(&path).unwrap().past, steps.past);
    }

    #[test]
    fn long_steps_are_fewer() {
        let points: Vec<[f64; 2]> = (0..5_000).map(|at| [f64::from(at) / 7.0, 1.0]).collect();
        let part = RegionPart::new(Outline::Lasso { points });
        let object = MarkedObject { name: "fox".into(), picture: 0, parts: vec![part] };
        let mut views = numbered(40);
        views.iter_mut().for_each(|view| view.objects = vec![object.clone()]);
        let steps = ViewSteps { past: views.clone(), future: Vec::new() };
        let text = steps.to_text().unwrap();
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        let read: ViewSteps = toml::from_str(&text).unwrap();
        assert!(!read.is_empty() && read.past.len() < 40);
        assert_eq!(read.past.last(), views.last());
    }
}
