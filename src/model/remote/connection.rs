//! The client's half of a connection: one child process, and the requests that wait for its answers.

use super::address::{Address, ServeFlags};
use super::message::{ClientMessage, ErrorKind, PROTOCOL, ServerMessage, ZSTD};
use super::outbox::Outbox;
use super::process::{FAREWELL, Process};
use super::receive::{Counted, Incoming, Waiting, read_messages};
use super::said::shown;
use crate::job::CancelToken;
use crate::model::engine_info::EngineInfo;
use crate::model::error::{ModelError, Result};
use crate::model::event::{AskStage, Progress};
use crate::model::local_engine::WRITER;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval at which a waiting request looks at its cancel token.
const POLL: Duration = Duration::from_millis(20);
/// Time without a first answer after which the user is told what is waited for.
const SLOW: Duration = Duration::from_secs(1);

/// The status with which a shell ends that does not find a program.
const NOT_FOUND: &str = "exit status: 127";

/// A connection to a server. Dropping it ends the server.
pub struct Connection {
    host: String,
    outbox: Option<Outbox>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
    is_greeted: AtomicBool,
    process: Mutex<Process>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The greeting of a server.
pub struct Greeting {
    /// The model and its device.
    pub info: EngineInfo,
    /// The bundle's manifest.
    pub manifest: Vec<u8>,
}

impl Connection {
    /// Starts the server of an address, and waits until its model is loaded.
    ///
    /// # Errors
    /// [`ModelError::Unreachable`] if it cannot be started, answers in another protocol, or ends;
    /// [`ModelError::Elsewhere`] if it cannot load its model.
    pub fn open(
        address: &Address,
        flags: &ServeFlags,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Arc<Self>, Greeting)> {
        let host = address.host().to_owned();
        let unreachable =
            |reason: String| ModelError::Unreachable { host: address.to_string(), reason };
        let (process, input, output) = Process::start(address, flags).map_err(|error| {
            let program = if address.is_ssh() { "ssh" } else { &host };
            unreachable(format!(
                "`{program}` cannot be started ({error}). Install it, or check its path."
            ))
        })?;
        let outbox = Outbox::start(input)
            .map_err(|error| unreachable(format!("a thread cannot be started ({error}).")))?;
        // Memory and pipes of this machine need no compression.
        let compression = if address.is_ssh() { vec![ZSTD.to_owned()] } else { Vec::new() };
        if address.is_ssh() {
            outbox.compress();
        }
        let waiting = Arc::new(Waiting::default());
        let of_reader = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("frames in".into())
            .spawn(move || read_messages(Counted(output, Arc::clone(&of_reader)), &of_reader))
            .map_err(|error| unreachable(format!("a thread cannot be started ({error}).")))?;
        let connection = Arc::new(Self {
            host,
            outbox: Some(outbox),
            waiting,
            next_id: AtomicU64::new(0),
            is_greeted: AtomicBool::new(false),
            process: Mutex::new(process),
        });
        let client = WRITER.to_owned();
        let hello = ClientMessage::Hello { protocol: PROTOCOL, client, compression };
        let failed = |error: ModelError| match error {
            ModelError::ConnectionLost { reason, .. } => {
                let advice = match address.is_ssh() && reason.contains(NOT_FOUND) {
                    true => {
                        " If its shell does not find vlmscope, give the path: ssh://HOST/PATH/TO/vlmscope."
                    }
                    false => "",
                };
                unreachable(format!("{}.{advice}", reason.trim_end_matches('.')))
            }
            error => error,
        };
        let call = connection.call(&hello, Vec::new()).map_err(failed)?;
        let (start, mut is_told) = (Instant::now(), false);
        loop {
            let Some(Incoming { message, payload, .. }) = call.poll(cancel).map_err(failed)? else {
                if !is_told && start.elapsed() >= SLOW {
                    progress(Progress { stage: AskStage::Connect, done: 0, total: 0 });
                    is_told = true;
                }
                continue;
            };
            is_told = true;
            match message {
                ServerMessage::Progress { stage, done, total } => {
                    progress(Progress { stage, done, total });
                }
                ServerMessage::Hello { info, .. } => {
                    call.complete();
                    connection.is_greeted.store(true, Ordering::Relaxed);
                    return Ok((connection, Greeting { info: *info, manifest: payload }));
                }
                other => return Err(connection.unexpected(&other)),
            }
        }
    }

    /// The machine or program, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Sends a request whose answers are read from the returned call.
    ///
    /// # Errors
    /// [`ModelError::ConnectionLost`].
    pub fn call(
        self: &Arc<Self>,
        message: &ClientMessage,
        payload: impl Into<Arc<[u8]>>,
    ) -> Result<Call> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = unbounded();
        self.waiting.requests().insert(id, sender);
        let call = Call { id, messages, connection: Arc::clone(self), is_complete: false };
        self.send_as(id, message, payload)?;
        // The reader may have ended before the request was there to be told.
        if self.waiting.lost.get().is_some() {
            self.waiting.requests().remove(&id);
        }
        Ok(call)
    }

    /// Sends a message that has no answer.
    ///
    /// # Errors
    /// [`ModelError::ConnectionLost`].
    pub fn tell(&self, message: &ClientMessage, payload: impl Into<Arc<[u8]>>) -> Result<()> {
        self.send_as(self.next_id.fetch_add(1, Ordering::Relaxed), message, payload)
    }

    fn send_as(
        &self,
        id: u64,
        message: &ClientMessage,
        payload: impl Into<Arc<[u8]>>,
    ) -> Result<()> {
        let outbox = self.outbox.as_ref();
        match outbox.map(|outbox| outbox.send_at_once(id, message, payload)) {
            Some(Ok(())) => Ok(()),
            _ => Err(self.lost()),
        }
    }

    /// Whether nothing more will come.
    pub fn is_lost(&self) -> bool {
        self.waiting.lost.get().is_some()
    }

    /// Why nothing more will come, as an error.
    pub fn lost(&self) -> ModelError {
        // A write may fail a moment before the reader sees the end.
        let wait = || std::thread::sleep(Duration::from_millis(10));
        (0..50).take_while(|_| !self.is_lost()).for_each(|_| wait());
        let reason = match self.waiting.lost.get() {
            Some(reason) if !reason.is_empty() => reason.clone(),
            _ => self.process.lock().unwrap_or_else(PoisonError::into_inner).why_it_ended(),
        };
        ModelError::ConnectionLost { host: self.host.clone(), reason }
    }

    /// The error for a message that is not an answer to the request.
    pub fn unexpected(&self, message: &ServerMessage) -> ModelError {
        let kind = serde_json::to_value(message).ok();
        let kind = kind.as_ref().and_then(|kind| kind.get("type")?.as_str()).unwrap_or("?");
        ModelError::Elsewhere {
            host: self.host.clone(),
            message: format!("it answered with `{kind}`, which does not fit the request."),
        }
    }

    /// Bytes sent and received so far.
    pub fn traffic_bytes(&self) -> [u64; 2] {
        let sent = self.outbox.as_ref().map_or(0, Outbox::sent_bytes);
        [sent, self.waiting.received_bytes.load(Ordering::Relaxed)]
    }

    /// The number of the child process.
    pub fn process_id(&self) -> u32 {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).id()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.tell(&ClientMessage::Bye, Vec::new());
        // Closes its standard input, at which it ends. A pipe that nobody reads is closed by the end of the process.
        if let Some(outbox) = &self.outbox {
            outbox.finish_within(FAREWELL);
        }
        // A server that has not answered yet holds nothing that it would have to put away.
        let patience = if *self.is_greeted.get_mut() { FAREWELL } else { Duration::ZERO };
        self.process.get_mut().unwrap_or_else(PoisonError::into_inner).end(patience);
        self.outbox = None;
    }
}

/// A request that was sent.
pub struct Call {
    id: u64,
    messages: Receiver<Incoming>,
    connection: Arc<Connection>,
    is_complete: bool,
}

impl Call {
    /// The next message. An `error` of the server becomes one of ours.
    ///
    /// # Errors
    /// [`ModelError::Cancelled`], [`ModelError::ConnectionLost`], or the server's error.
    pub fn next(&self, cancel: &CancelToken) -> Result<Incoming> {
        loop {
            if let Some(incoming) = self.poll(cancel)? {
                return Ok(incoming);
            }
        }
    }

    /// As [`Self::next`]; `None` if no message comes for a moment.
    fn poll(&self, cancel: &CancelToken) -> Result<Option<Incoming>> {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        match self.messages.recv_timeout(POLL) {
            Ok(Incoming { message: ServerMessage::Error { kind, message }, .. }) => {
                Err(error_of(self.connection.host(), kind, &message))
            }
            Ok(incoming) => Ok(Some(incoming)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.connection.lost()),
        }
    }

    /// The last answer has come: there is nothing to cancel.
    pub fn complete(mut self) {
        self.is_complete = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.connection.waiting.requests().remove(&self.id);
        if !self.is_complete && !self.connection.is_lost() {
            let _ = self.connection.tell(&ClientMessage::Cancel { request: self.id }, Vec::new());
        }
    }
}

fn error_of(host: &str, kind: ErrorKind, message: &str) -> ModelError {
    let missing = |what| ModelError::MissingThere { what, host: host.to_owned() };
    match kind {
        ErrorKind::Cancelled => ModelError::Cancelled,
        ErrorKind::MissingPicture => missing("the picture"),
        ErrorKind::MissingTrace => missing("the trace"),
        ErrorKind::Protocol | ErrorKind::Request | ErrorKind::Memory | ErrorKind::Failed => {
            ModelError::elsewhere(host, shown(message))
        }
    }
}
