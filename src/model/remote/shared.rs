//! State that both threads of a server use: pictures and traces of the client, and errors for it.

use super::answering::Answering;
use super::message::{ClientMessage, ErrorKind, ServerMessage};
use super::outbox::{Closed, Outbox};
use super::said::shown;
use super::store::Store;
use crate::job::CancelToken;
use crate::model::error::{ModelError, Result};
use crate::model::request::Picture;
use crate::trace::TraceInFile;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const KEPT_PICTURES: usize = 256;
const KEPT_PICTURE_BYTES: u64 = 1 << 30;
const KEPT_TRACES: usize = 64;
const KEPT_TRACE_BYTES: u64 = 4 << 30;

/// A request for the thread with the model.
pub struct Job {
    pub id: u64,
    pub message: ClientMessage,
    pub payload: Vec<u8>,
    pub cancel: CancelToken,
}

/// State that both threads use.
pub struct Shared {
    pub outbox: Outbox,
    pub pictures: Mutex<Store<String, Picture>>,
    pub traces: Mutex<Store<u64, TraceInFile>>,
    next_trace: AtomicU64,
    /// The cancel tokens of the requests that wait or run.
    pub requests: Mutex<HashMap<u64, CancelToken>>,
    pub answering: Mutex<Answering>,
    /// Payloads of the requests that wait.
    pub waiting_bytes: AtomicU64,
    pub has_ended: AtomicBool,
}

/// The value of a mutex, also after a panic.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nothing kept so far.
    pub fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            pictures: Mutex::new(Store::new(KEPT_PICTURES, KEPT_PICTURE_BYTES)),
            traces: Mutex::new(Store::new(KEPT_TRACES, KEPT_TRACE_BYTES)),
            next_trace: AtomicU64::new(1),
            requests: Mutex::default(),
            answering: Mutex::default(),
            waiting_bytes: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Tells the client an error.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn fail(&self, id: u64, kind: ErrorKind, message: &str) -> Result<(), Closed> {
        self.outbox.reply(id, &ServerMessage::Error { kind, message: shown(message) }, [])
    }

    /// Keeps a trace; returns its number.
    pub fn keep(&self, trace: Arc<TraceInFile>) -> u64 {
        let number = self.next_trace.fetch_add(1, Ordering::Relaxed);
        let bytes = trace.file_bytes();
        locked(&self.traces).insert(number, trace, bytes);
        number
    }

    /// A trace by its number.
    ///
    /// # Errors
    /// [`ErrorKind::MissingTrace`].
    pub fn trace(&self, number: u64) -> Result<Arc<TraceInFile>, Failure> {
        let found = locked(&self.traces).get(&number);
        found.ok_or_else(|| Failure(ErrorKind::MissingTrace, missing_trace(number)))
    }
}

/// The text of [`ErrorKind::MissingTrace`].
pub fn missing_trace(number: u64) -> String {
    format!("the server no longer has the trace {number}.")
}

/// An error for the client.
pub struct Failure(pub ErrorKind, pub String);

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self(kind(&error), error.to_string())
    }
}

impl From<crate::trace::TraceError> for Failure {
    fn from(error: crate::trace::TraceError) -> Self {
        Self(ErrorKind::Failed, error.to_string())
    }
}

impl From<Closed> for Failure {
    fn from(Closed(reason): Closed) -> Self {
        Self(ErrorKind::Failed, reason)
    }
}

/// The kind of an error.
pub fn kind(error: &ModelError) -> ErrorKind {
    match error {
        ModelError::Cancelled => ErrorKind::Cancelled,
        ModelError::Memory { .. } => ErrorKind::Memory,
        ModelError::Runtime { .. }
        | ModelError::Panicked(_)
        | ModelError::Trace(_)
        | ModelError::BundleFile { .. } => ErrorKind::Failed,
        _ => ErrorKind::Request,
    }
}

/// A request that cannot be carried out as it is.
pub fn bad(what: impl Into<String>) -> Failure {
    Failure(ErrorKind::Request, what.into())
}
