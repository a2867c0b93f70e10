//! Decides when the session is saved, and saves it on a thread of its own.
//!
//! A save starts when something has changed and nothing has been saved for a while; the wait grows with the time that
//! the last save took, so that large traces do not keep the disk busy.

use super::load::Found;
use super::store::{Saved, Snapshot, Store};
use crate::job;
use crate::trace::TraceId;
use crate::ui::error_text::error_text;
use crate::ui::model_feed::Wake;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Seconds from a change to its save.
const DELAY_SECONDS: f64 = 1.0;
/// The wait between two saves, in durations of the last save.
const REST: f64 = 10.0;

type Outcome = (Result<Saved, String>, Duration);

/// A message of the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A save failed.
    Error(String),
    /// Something that the user should know.
    Note(String),
}

/// A session is being read. It is dropped when the session is shown, and also when reading it fails or panics.
#[derive(Debug)]
pub struct Restoring(Arc<AtomicUsize>);

impl Drop for Restoring {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The autosave of one window.
pub struct Keeper {
    store: Arc<Mutex<Store>>,
    sender: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    wake: Wake,
    is_saving: bool,
    /// Sessions that are being read: nothing is saved until they are shown.
    restoring: Arc<AtomicUsize>,
    /// The fingerprint of what was saved last.
    saved: Option<u64>,
    /// When the window was first seen to hold something else, in seconds of the program's clock.
    changed_secs: Option<f64>,
    /// No save begins before this time.
    rest_until_secs: f64,
    /// The last messages, which are not repeated.
    told: Vec<Told>,
}

impl Keeper {
    /// Keeps a session in `root`; `wake` asks for a frame from another thread.
    pub fn new(root: PathBuf, wake: Wake) -> Self {
        let (sender, outcomes) = unbounded();
        Self {
            store: Arc::new(Mutex::new(Store::new(root))),
            sender,
            outcomes,
            wake,
            is_saving: false,
            restoring: Arc::default(),
            saved: None,
            changed_secs: None,
            rest_until_secs: 0.0,
            told: Vec::new(),
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is saved while the result exists: for the time in which a session is read and shown.
    pub fn restoring(&self) -> Restoring {
        self.restoring.fetch_add(1, Ordering::Relaxed);
        Restoring(Arc::clone(&self.restoring))
    }

    fn is_restoring(&self) -> bool {
        self.restoring.load(Ordering::Relaxed) > 0
    }

    /// Continues a restored session, see [`Store::take_over`].
    pub fn take_over(&mut self, found: Found, traces: BTreeMap<TraceId, PathBuf>) {
        self.store().take_over(found, traces);
    }

    /// The folder of the session; `None` before the first save.
    pub fn folder(&self) -> Option<PathBuf> {
        self.store().folder().map(std::path::Path::to_owned)
    }

    /// Messages about saves that ended.
    pub fn news(&mut self, now_secs: f64) -> Vec<Told> {
        let mut news = Vec::new();
        for (outcome, took) in self.outcomes.try_iter() {
            self.is_saving = false;
            self.rest_until_secs = now_secs + REST * took.as_secs_f64();
            match outcome {
                Ok(saved) => news.extend(messages(&saved)),
                Err(error) => news.push(Told::Error(error)),
            }
        }
        news.retain(|one| !self.told.contains(one));
        self.told.extend(news.iter().cloned());
        news
    }

    /// Begins a save if it is time for one; `fingerprint` differs whenever something else is to be saved. Returns the
    /// seconds after which it must be called again.
    pub fn tick(
        &mut self,
        now_secs: f64,
        fingerprint: u64,
        snapshot: impl FnOnce() -> Snapshot,
    ) -> Option<f64> {
        if self.saved == Some(fingerprint) {
            self.changed_secs = None;
            return None;
        }
        let changed = *self.changed_secs.get_or_insert(now_secs);
        // The end of the running save asks for a frame.
        if self.is_saving || self.is_restoring() {
            return None;
        }
        let due = (changed + DELAY_SECONDS).max(self.rest_until_secs);
        if now_secs < due {
            return Some(due - now_secs);
        }
        let (store, sender, wake) =
            (Arc::clone(&self.store), self.sender.clone(), Arc::clone(&self.wake));
        let snapshot = snapshot();
        let work = move || {
            let start = Instant::now();
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = save(&mut store, &snapshot);
            drop(store);
            // A window that is gone needs no message.
            let _ = sender.send((outcome, start.elapsed()));
            wake();
        };
        // Without a thread the next change tries again; the end of the window saves on its own thread.
        self.is_saving = std::thread::Builder::new().name("session".into()).spawn(work).is_ok();
        self.saved = Some(fingerprint);
        self.changed_secs = None;
        None
    }

    /// Saves at once, after a save that runs: for the end of the window.
    ///
    /// # Errors
    /// A sentence, if the session cannot be saved.
    pub fn save_now(&mut self, snapshot: &Snapshot) -> Result<Saved, String> {
        if self.is_restoring() {
            // Answers that were not shown yet are still in their folder.
            return Ok(Saved::default());
        }
        save(&mut self.store(), snapshot)
    }
}

fn save(store: &mut Store, snapshot: &Snapshot) -> Result<Saved, String> {
    match job::guard(|| store.save(snapshot)) {
        Ok(Ok(saved)) => Ok(saved),
        Ok(Err(error)) => Err(format!(
            "{}. Save answers yourself (Ctrl+S).",
            error_text(&error).trim_end_matches('.')
        )),
        Err(panicked) => Err(panicked.to_string()),
    }
}

fn messages(saved: &Saved) -> Vec<Told> {
    let mut told: Vec<Told> = saved
        .failed
        .iter()
        .map(|error| {
            Told::Error(format!("Part of the session is not kept for the next start: {error}"))
        })
        .collect();
    if saved.left_out > 0 {
        let older = match saved.left_out {
            1 => "the oldest answer is".to_owned(),
            many => format!("the {many} oldest answers are"),
        };
        told.push(Told::Note(format!(
            "The session is full: {older} not kept for the next start. Save what you need (Ctrl+S), or raise the limit (session_limit_mb in the settings)."
        )));
    }
    told
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_session_that_cannot_be_read_does_not_end_saving() {
        let mut keeper = Keeper::new("nowhere".into(), Arc::new(|| {}));
        let (first, second) = (keeper.restoring(), keeper.restoring());
        drop(first);
        assert_eq!(keeper.tick(0.0, 1, Snapshot::default), None, "the other one is being read");
        let _ = job::guard(move || {
            let _second = second;
            panic!("it cannot be read")
        });
        assert!(keeper.tick(0.0, 1, Snapshot::default).is_some(), "a save is due");
    }
}
