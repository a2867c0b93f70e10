//! The receiving half of a connection: messages for the requests that wait for them, with a limit of their bytes.

use super::assemble::{Assembler, Message};
use super::frame::{FrameError, read_frame};
use super::message::{ErrorKind, PROTOCOL, ServerMessage, Spoken};
use super::said::shown;
use crate::model::local_engine::WRITER;
use crossbeam_channel::Sender;
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// The remedy for a first output that is no greeting.
const ADVICE: &str =
    "A shell profile that prints text is the usual cause: let it print only in interactive shells.";
/// Bytes of messages that nobody has taken yet, beyond which no more is read: the other side then waits.
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Memory of a message beside its header and its payload, about.
const MESSAGE_BYTES: usize = 256;

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

/// The requests that wait, and why the connection ended.
pub struct Waiting {
    requests: Mutex<HashMap<u64, Sender<Incoming>>>,
    /// Why nothing more will come; empty: the process knows.
    pub lost: OnceLock<String>,
    pub received_bytes: AtomicU64,
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
    /// The requests that wait, by their number.
    pub fn requests(&self) -> MutexGuard<'_, HashMap<u64, Sender<Incoming>>> {
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
pub struct Held {
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

/// Counts what is read.
pub struct Counted<R>(pub R, pub Arc<Waiting>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1.received_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Gives messages to the requests that wait for them, until the stream ends.
pub fn read_messages(output: impl Read, waiting: &Arc<Waiting>) {
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
    use crossbeam_channel::unbounded;
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
