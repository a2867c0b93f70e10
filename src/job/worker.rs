//! A named thread that works on the latest request.

use super::{CancelToken, Panicked, guard};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

struct State<R> {
    pending: Option<(R, CancelToken)>,
    running: Option<CancelToken>,
    closed: bool,
}

struct Slot<R> {
    state: Mutex<State<R>>,
    wake: Condvar,
}

impl<R> Slot<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next request; `None` when the worker is dropped.
    fn next(&self) -> Option<(R, CancelToken)> {
        let mut state = self.state();
        state.running = None;
        loop {
            if state.closed {
                return None;
            }
            if let Some((request, token)) = state.pending.take() {
                state.running = Some(token.clone());
                return Some((request, token));
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread with a queue of one request. Dropping it cancels the running request and joins the thread.
pub struct Worker<R> {
    slot: Arc<Slot<R>>,
    thread: Option<JoinHandle<()>>,
}

impl<R: Send + 'static> Worker<R> {
    /// Starts the thread `name`. `start` creates the handler of requests, with its state; after a panic, `failed` is
    /// called and `start` creates the handler again.
    ///
    /// # Errors
    /// If the system cannot start another thread.
    pub fn spawn<H: FnMut(R, &CancelToken)>(
        name: &str,
        mut start: impl FnMut() -> H + Send + 'static,
        mut failed: impl FnMut(Panicked, &CancelToken) + Send + 'static,
    ) -> io::Result<Self> {
        let slot = Arc::new(Slot {
            state: Mutex::new(State { pending: None, running: None, closed: false }),
            wake: Condvar::new(),
        });
        let inner = Arc::clone(&slot);
        let name = name.to_owned();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let mut handle = start();
            while let Some((request, token)) = inner.next() {
                if let Err(panicked) = guard(|| handle(request, &token)) {
                    log::error!("the {name} thread starts anew: {panicked}");
                    let broken = std::mem::replace(&mut handle, start());
                    // Dropping half-changed state may panic again.
                    let _ = guard(|| drop(broken));
                    failed(panicked, &token);
                }
            }
        })?;
        Ok(Self { slot, thread: Some(thread) })
    }

    /// Makes `request` the next one: it replaces the waiting request and cancels the running one.
    pub fn submit(&self, request: R) -> CancelToken {
        let token = CancelToken::new();
        let mut state = self.slot.state();
        let running = state.running.clone();
        let replaced = state.pending.replace((request, token.clone()));
        drop(state);
        self.slot.wake.notify_one();
        for old in running.into_iter().chain(replaced.map(|(_, token)| token)) {
            old.cancel();
        }
        token
    }

    /// Cancels the running request and discards the waiting one.
    pub fn cancel(&self) {
        let mut state = self.slot.state();
        let running = state.running.clone();
        let waiting = state.pending.take();
        drop(state);
        for old in running.into_iter().chain(waiting.map(|(_, token)| token)) {
            old.cancel();
        }
    }

    /// Whether a request runs or waits.
    pub fn is_busy(&self) -> bool {
        let state = self.slot.state();
        state.running.is_some() || state.pending.is_some()
    }
}

impl<R> Drop for Worker<R> {
    fn drop(&mut self) {
        let mut state = self.slot.state();
        state.closed = true;
        let running = state.running.clone();
        drop(state);
        if let Some(token) = running {
            token.cancel();
        }
        self.slot.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // If `failed` itself panicked, there is no receiver left for the error.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
    use super::*;
    use crossbeam_channel::bounded;

    fn never(panicked: Panicked, _: &CancelToken) {
        panic!("{panicked}");
    }

    #[test]
    fn the_latest_request_wins_and_cancels_the_running_one() {
        let (started, has_started) = bounded(8);
        let (done, is_done) = bounded(8);
        let start = move || {
            let (started, done) = (started.clone(), done.clone());
            move |request: u32, cancel: &CancelToken| {
                started.send(request).unwrap();
                while request == 0 && !cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                done.send((request, cancel.is_cancelled())).unwrap();
            }
        };
        let worker = Worker::spawn("test", start, never).unwrap();
        worker.submit(0);
        assert_eq!(has_started.recv().unwrap(), 0);
        let replaced = worker.submit(1);
        let finished = is_done.recv().unwrap();
        assert_eq!(finished, (0, true), "the running request is cancelled");
        // Request 1 may have started already; in either case request 2 is the last to run.
        worker.submit(2);
        let last = is_done.iter().find(|&(request, _)| request == 2).unwrap();
        assert_eq!(last, (2, false));
        drop(worker);
        drop(replaced);
    }

    #[test]
    fn dropping_the_worker_cancels_what_runs() {
        let (started, has_started) = bounded(1);
        let start = move || {
            let started = started.clone();
            move |(): (), cancel: &CancelToken| {
                started.send(()).unwrap();
                while !cancel.is_cancelled() {
                    std::thread::yield_now();
                }
            }
        };
        let worker = Worker::spawn("test", start, never).unwrap();
        let token = worker.submit(());
        has_started.recv().unwrap();
        assert!(worker.is_busy());
        drop(worker);
        assert!(token.is_cancelled());
    }

    #[test]
    fn a_panic_is_reported_and_the_next_request_finds_fresh_state() {
        /// State whose drop panics once it is broken.
        struct State {
            handled: u32,
        }
        impl Drop for State {
            fn drop(&mut self) {
                assert!(self.handled != 2, "broken");
            }
        }
        let (done, is_done) = bounded(8);
        let (failed, has_failed) = bounded(8);
        let start = move || {
            let done = done.clone();
            let mut state = State { handled: 0 };
            move |request: &'static str, _: &CancelToken| {
                state.handled += 1;
                assert!(request != "bad", "bad request");
                done.send(state.handled).unwrap();
            }
        };
        let tell = move |panicked: Panicked, _: &CancelToken| {
            failed.send(panicked.message).unwrap();
        };
        let worker = Worker::spawn("test", start, tell).unwrap();
        for _ in 0..2 {
            worker.submit("good");
            assert_eq!(is_done.recv().unwrap(), 1);
            worker.submit("bad");
            assert_eq!(has_failed.recv().unwrap(), "bad request");
        }
        worker.submit("good");
        assert_eq!(is_done.recv().unwrap(), 1);
    }
}
