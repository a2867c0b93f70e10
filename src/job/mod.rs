//! Background work: named threads, a request slot in which the latest request wins, and cancelling.
//!
//! The decision here: a new request does not wait for the old one, it *cancels* it. Whoever scrubs
//! or asks again wants the newest answer, so at most one request runs and at most one waits.

mod cancel;
mod worker;

pub use cancel::{CancelGuard, CancelToken};
pub use worker::Worker;
