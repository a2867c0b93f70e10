//! A cancellation flag, with hooks for work that cannot poll a flag.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Hook = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    next_hook: AtomicU64,
    hooks: Mutex<Vec<(u64, Hook)>>,
}

impl Shared {
    fn hooks(&self) -> MutexGuard<'_, Vec<(u64, Hook)>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks running work to stop. Clones share the flag, and it is never reset.
#[derive(Clone, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop and runs the hooks.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        for (_, hook) in self.shared.hooks().iter() {
            hook();
        }
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Runs `hook` when the token is cancelled (at once if it already is), until the guard is
    /// dropped. The hook may run more than once and must not touch the token.
    #[must_use = "the hook is removed when the guard is dropped"]
    pub fn on_cancel(&self, hook: impl Fn() + Send + 'static) -> CancelGuard {
        let id = self.shared.next_hook.fetch_add(1, Ordering::Relaxed);
        let mut hooks = self.shared.hooks();
        if self.is_cancelled() {
            hook();
        }
        hooks.push((id, Box::new(hook)));
        drop(hooks);
        CancelGuard { shared: Arc::clone(&self.shared), id }
    }
}

/// Keeps a hook of a [`CancelToken`] registered.
pub struct CancelGuard {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.shared.hooks().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_hook_runs_on_cancel_and_not_after_its_guard() {
        let (kept, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let token = CancelToken::new();
        let count = |counter: &Arc<AtomicUsize>| {
            let counter = Arc::clone(counter);
            move || {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        };
        let guard = token.on_cancel(count(&kept));
        drop(token.on_cancel(count(&dropped)));
        token.clone().cancel();
        assert!(token.is_cancelled());
        assert_eq!((kept.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (1, 0));
        drop(guard);
        let late = token.on_cancel(count(&dropped));
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "a cancelled token runs a hook at once");
        drop(late);
    }
}
