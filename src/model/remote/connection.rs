//! The client's half of a connection: one child process, and the requests that wait for its answers.

use super::address::{Address, ServeFlags};
use super::assemble::{Assembler, Message};
use super::frame::{FrameError, read_frame};
use super::message::{ClientMessage, ErrorKind, PROTOCOL, ServerMessage, Spoken, ZSTD};
use super::outbox::Outbox;
use super::process::{FAREWELL, Process};
use super::said::shown;
use crate::job::CancelToken;
use crate::model::engine_info::EngineInfo;
use crate::model::error::{ModelError, Result};
use crate::model::event::{AskStage, Progress};
use crate::model::local_engine::WRITER;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Interval at which a waiting request looks at its cancel token.
const POLL: Duration = Duration::from_millis(20);
/// Time without a first answer after which the user is told what is waited for.
const SLOW: Duration = Duration::from_secs(1);
/// The reply of the server that refuses a greeting.
const ADVICE: &str =
    "A shell profile that prints text is the usual cause: let it print only in interactive shells.";

/// The status with which a shell ends that does not find a program.
const NOT_FOUND: &str = "exit status: 127";

/// A message of the server with its payload; for `data`, a part of it.
#[derive(Debug)]
pub struct Incoming {
    /// The message.
    pub message: ServerMessage,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether the payload goes on in the next message.
    pub more: bool,
    /// Its share of the bytes that wait.
    _held: Held,
}

/// Bytes of messages that nobody has taken yet, beyond which no more is read: the other side then waits.
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Memory of a message beside its header and its payload, about.
const MESSAGE_BYTES: usize = 256;

/// The requests that wait, and why the connection ended.
struct Waiting {
    requests: Mutex<HashMap<u64, Sender<Incoming>>>,
    lost: OnceLock<String>,
    received_bytes: AtomicU64,
    /// Bytes of the messages that nobody has taken yet.
    held_bytes: Mutex<usize>,
    most_held_bytes: usize,
    /// A message was taken.
    has_room: Condvar,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            requests: Mutex::default(),
            lost: OnceLock::new(),
            received_bytes: AtomicU64::new(0),
            held_bytes: Mutex::new(0),
            most_held_bytes: MOST_WAITING_BYTES,
            has_room: Condvar::new(),
        }
    }
}

impl Waiting {
    fn requests(&self) -> MutexGuard<'_, HashMap<u64, Sender<Incoming>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_bytes(&self) -> MutexGuard<'_, usize> {
        self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message as waiting, as soon as there is room. A request that is given up takes its messages with it.
    fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        let is_full = |held: &mut usize| *held > self.most_held_bytes;
        let held = self.has_room.wait_while(self.held_bytes(), is_full);
        *held.unwrap_or_else(PoisonError::into_inner) += bytes;
        Held { bytes, waiting: Arc::clone(self) }
    }
}

/// Bytes of a message that waits; until it is dropped.
struct Held {
    bytes: usize,
    waiting: Arc<Waiting>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.waiting.held_bytes() -= self.bytes;
        self.waiting.has_room.notify_all();
    }
}

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

/// Counts what is read.
struct Counted<R>(R, Arc<Waiting>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1.received_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Gives messages to the requests that wait for them, until the stream ends.
fn read_messages(output: impl Read, waiting: &Arc<Waiting>) {
    let mut output = BufReader::new(output);
    let mut is_first = true;
    let outcome = distribute(&mut output, waiting, &mut is_first);
    let reason = match outcome {
        // The process knows the reason.
        Ok(()) | Err(Ended::Frame(FrameError::Cut)) => String::new(),
        Err(Ended::Refused(reason)) => reason,
        Err(Ended::Frame(error)) => match error.shown() {
            Some(shown) if is_first => {
                format!("its first output is not a frame: \"{shown}\". {ADVICE}")
            }
            _ => format!("it sent something that cannot be read: {error}"),
        },
    };
    // Set once, here.
    let _ = waiting.lost.set(reason);
    waiting.requests().clear();
}

/// Why the reader ended before the stream.
enum Ended {
    Frame(FrameError),
    /// A greeting in another protocol, or the last word of the server.
    Refused(String),
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

fn distribute(
    output: &mut BufReader<impl Read>,
    waiting: &Arc<Waiting>,
    is_first: &mut bool,
) -> Result<(), Ended> {
    let mut assembler = Assembler::default();
    while let Some(frame) = read_frame(output)? {
        let (id, more) = (frame.envelope.id, frame.envelope.more);
        let kind = frame.envelope.kind.clone();
        let whole = if frame.envelope.kind == "data" {
            Some((Message { id, header: frame.header, payload: frame.payload }, more))
        } else {
            assembler.add(frame)?.map(|message| (message, false))
        };
        let Some((Message { id, header, payload }, more)) = whole else { continue };
        let spoken = Spoken::of(&kind, &header);
        if let Some(spoken) = spoken.filter(|spoken| !spoken.is_ours()) {
            return Err(Ended::Refused(format!(
                "it speaks protocol {} ({}), this is {WRITER} with protocol {PROTOCOL}: update the older one",
                spoken.protocol(),
                spoken.program()
            )));
        }
        let message = serde_json::from_slice(&header).map_err(|error| FrameError::Header {
            reason: error.to_string(),
            first: header.clone(),
        })?;
        *is_first = false;
        let held = waiting.hold(header.len() + payload.len() + MESSAGE_BYTES);
        let requests = waiting.requests();
        // An error without a request is the last word of the server.
        if let (ServerMessage::Error { kind: ErrorKind::Protocol, message }, None) =
            (&message, requests.get(&id))
        {
            return Err(Ended::Refused(shown(message).trim_end_matches('.').to_owned()));
        }
        if let Some(request) = requests.get(&id) {
            // A request that nobody reads any more is about to be removed.
            let _ = request.send(Incoming { message, payload, more, _held: held });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::frame::frame_bytes;
    use super::*;
    use serde_json::json;

    const PART: usize = 1000;
    const COUNT: usize = 500;

    /// The answers of a server that sends as much as it can.
    fn flood() -> Vec<u8> {
        let frame = frame_bytes((7, false), &json!({"type": "patched"}), &[1; PART], false);
        frame.unwrap().repeat(COUNT)
    }

    #[test]
    fn no_more_is_read_while_too_much_waits() {
        let most_held_bytes = 20 * PART;
        let waiting = Arc::new(Waiting { most_held_bytes, ..Waiting::default() });
        let (sender, messages) = unbounded();
        waiting.requests().insert(7, sender);
        let of_reader = Arc::clone(&waiting);
        let reader = std::thread::spawn(move || read_messages(&flood()[..], &of_reader));
        let mut taken = 0;
        while let Ok(message) = messages.recv() {
            let held = *waiting.held_bytes();
            assert!(held <= most_held_bytes + 2 * (PART + MESSAGE_BYTES), "{held}");
            assert_eq!(message.payload.len(), PART);
            taken += 1;
        }
        reader.join().unwrap();
        assert_eq!((taken, *waiting.held_bytes()), (COUNT, 0));
    }

    #[test]
    fn a_request_that_is_given_up_makes_room() {
        let waiting = Arc::new(Waiting { most_held_bytes: 5 * PART, ..Waiting::default() });
        let (sender, messages) = unbounded();
        waiting.requests().insert(7, sender);
        let of_reader = Arc::clone(&waiting);
        let reader = std::thread::spawn(move || read_messages(&flood()[..], &of_reader));
        drop(messages.recv().unwrap());
        drop(messages);
        reader.join().unwrap();
        assert_eq!(*waiting.held_bytes(), 0);
    }
}
