//! Background work: named threads, a request slot in which the latest request wins, and cancelling.
//!
//! The decision here: a new request *cancels* the running one instead of waiting for it. A user who scrubs or asks
//! again wants the newest answer, so at most one request runs and at most one waits.
//! A request that panics is reported, and the next one is handled with fresh state.

mod cancel;
mod freed_memory;
mod guard;
mod worker;

pub use cancel::{CancelGuard, CancelToken};
pub use freed_memory::{ReuseFreedMemory, return_freed_memory};
pub use guard::{Panicked, contain, guard, is_contained, message_of, note, unwinding};
pub use worker::Worker;
