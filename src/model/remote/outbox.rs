//! The sending half of a connection: a thread that writes frames, those that somebody waits for before bulk data.
//!
//! Bulk data is produced one frame at a time when nothing else waits, so that an event never stands behind megabytes
//! of pages.

use super::frame::{FrameError, frame_bytes};
use super::payload::Payload;
use crate::model::event::Page;
use crate::trace::TraceInFile;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Payload of one frame of a long message: at 10 Mbit/s an event waits at most 50 ms for the frame before it.
const PART_BYTES: usize = 64 << 10;
/// A sender waits while so many bytes of events wait.
const WAITING_BYTES: usize = 8 << 20;
/// Bytes that may wait in all, with the replies of a sender that does not wait.
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Messages with bytes of files that may wait.
const MOST_BULK: usize = 1024;
/// Memory of a message beside its header and its payload, about.
const MESSAGE_BYTES: usize = 256;
/// The reason why nothing more is sent to a client that does not read.
const NOT_READ: &str = "it does not read what it is sent";

/// Why nothing more can be sent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Closed(pub String);

struct Item {
    id: u64,
    header: Value,
    payload: Payload,
    sent: usize,
    /// Bytes that wait in memory, with the header.
    held: usize,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Item>,
    bulk: VecDeque<Item>,
    /// Bytes in `urgent`.
    waiting_bytes: usize,
    compress: bool,
    sent_bytes: u64,
    /// An item is being written.
    is_busy: bool,
    is_closing: bool,
    /// The end of the time in which the other side reads what is left.
    deadline: Option<Instant>,
    has_ended: bool,
    closed: Option<Closed>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Something changed: an item came, or one was sent.
    changed: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending half of a connection. Dropping it sends what waits.
pub struct Outbox {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Outbox {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// If the system cannot start another thread.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = Arc::clone(&queue);
        let write = move || {
            let outcome = run(&of_thread, out);
            let mut state = of_thread.state();
            if let Err(error) = outcome {
                state.closed = Some(Closed(error.to_string()));
                state.urgent.clear();
                state.bulk.clear();
            }
            state.has_ended = true;
            of_thread.changed.notify_all();
        };
        let thread = std::thread::Builder::new().name("frames out".into()).spawn(write)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Compresses payloads from now on.
    pub fn compress(&self) {
        self.queue.state().compress = true;
    }

    /// Sends a message before all bulk data. Waits while too much waits.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn send(
        &self,
        id: u64,
        message: &impl Serialize,
        payload: impl Into<Arc<[u8]>>,
    ) -> Result<(), Closed> {
        let item = item(id, message, Payload::Bytes(payload.into()))?;
        let mut state = self.queue.state();
        while state.closed.is_none() && state.waiting_bytes > WAITING_BYTES {
            let left = state.deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if state.has_ended || left.is_some_and(|left| left.is_zero()) {
                return Err(Closed(NOT_READ.into()));
            }
            state = match left {
                None => self.queue.wait(state),
                Some(left) => {
                    let waited = self.queue.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        self.push(state, item)
    }

    /// As [`Self::send`], but does not wait: the other side is expected to read its answers while it sends.
    ///
    /// # Errors
    /// If the connection is closed, or very much waits.
    pub fn reply(
        &self,
        id: u64,
        message: &impl Serialize,
        payload: impl Into<Arc<[u8]>>,
    ) -> Result<(), Closed> {
        self.reply_with(item(id, message, Payload::Bytes(payload.into()))?)
    }

    /// As [`Self::reply`], with the weights of some maps of a page.
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub fn reply_maps(
        &self,
        id: u64,
        message: &impl Serialize,
        page: Page,
        maps: Vec<usize>,
    ) -> Result<(), Closed> {
        self.reply_with(item(id, message, Payload::Maps(page, maps))?)
    }

    fn reply_with(&self, item: Item) -> Result<(), Closed> {
        let state = self.queue.state();
        if state.waiting_bytes > MOST_WAITING_BYTES {
            return Err(Closed(NOT_READ.into()));
        }
        self.push(state, item)
    }

    /// Drops the pages of an answer that wait and of which nothing was sent.
    pub fn drop_maps(&self, id: u64) {
        let mut state = self.queue.state();
        let is_kept = |item: &Item| {
            item.id != id || item.sent > 0 || !matches!(item.payload, Payload::Maps(..))
        };
        let dropped: usize =
            state.urgent.iter().filter(|item| !is_kept(item)).map(|item| item.held).sum();
        state.urgent.retain(is_kept);
        state.waiting_bytes = state.waiting_bytes.saturating_sub(dropped);
    }

    /// As [`Self::send`], but never waits.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn send_at_once(
        &self,
        id: u64,
        message: &impl Serialize,
        payload: impl Into<Arc<[u8]>>,
    ) -> Result<(), Closed> {
        let item = item(id, message, Payload::Bytes(payload.into()))?;
        self.push(self.queue.state(), item)
    }

    fn push(&self, mut state: MutexGuard<'_, State>, item: Item) -> Result<(), Closed> {
        if let Some(closed) = &state.closed {
            return Err(closed.clone());
        }
        state.waiting_bytes += item.held;
        state.urgent.push_back(item);
        self.queue.changed.notify_all();
        Ok(())
    }

    /// Waits until everything is written, or cannot be, for at most `most`, or the rest of the time of
    /// [`Self::expire_after`].
    pub fn flush(&self, most: Duration) {
        let state = self.queue.state();
        let left = state.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let most = left.unwrap_or(most);
        let is_waiting = |state: &mut State| {
            let waits = state.is_busy || !state.urgent.is_empty() || !state.bulk.is_empty();
            waits && state.closed.is_none() && !state.has_ended
        };
        // After the time, what is left is lost.
        drop(self.queue.changed.wait_timeout_while(state, most, is_waiting));
    }

    /// Sends bytes of a trace's file when nothing else waits.
    ///
    /// # Errors
    /// If the connection is closed, or very much waits.
    pub fn send_file(
        &self,
        id: u64,
        message: &impl Serialize,
        file: Arc<TraceInFile>,
        range: Range<u64>,
    ) -> Result<(), Closed> {
        let item = item(id, message, Payload::File(file, range))?;
        let mut state = self.queue.state();
        if let Some(closed) = &state.closed {
            return Err(closed.clone());
        }
        if state.bulk.len() >= MOST_BULK {
            return Err(Closed(NOT_READ.into()));
        }
        state.bulk.push_back(item);
        self.queue.changed.notify_all();
        Ok(())
    }

    /// Drops the bulk data of a request that waits. Returns whether there was some.
    pub fn drop_bulk(&self, id: u64) -> bool {
        let mut state = self.queue.state();
        let before = state.bulk.len();
        state.bulk.retain(|item| item.id != id);
        before != state.bulk.len()
    }

    /// Bytes written so far.
    pub fn sent_bytes(&self) -> u64 {
        self.queue.state().sent_bytes
    }

    /// After `most`, nobody waits any more for the other side to read.
    pub fn expire_after(&self, most: Duration) {
        let mut state = self.queue.state();
        state.deadline = state.deadline.or(Some(Instant::now() + most));
        self.queue.changed.notify_all();
    }

    /// As [`Self::expire_after`]; the thread ends when what waits is sent.
    pub fn finish_within(&self, most: Duration) {
        self.expire_after(most);
        self.queue.state().is_closing = true;
        self.queue.changed.notify_all();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.is_closing = true;
        self.queue.changed.notify_all();
        let has_ended = match state.deadline {
            None => {
                drop(state);
                true
            }
            Some(end) => {
                let left = end.saturating_duration_since(Instant::now());
                let waits = |state: &mut State| !state.has_ended;
                let waited = self.queue.changed.wait_timeout_while(state, left, waits);
                waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
            }
        };
        // A thread whose stream takes nothing more is left behind; it ends with the stream.
        if let Some(thread) = self.thread.take().filter(|_| has_ended) {
            // The thread writes what it can and does not panic.
            let _ = thread.join();
        }
    }
}

fn item(id: u64, message: &impl Serialize, payload: Payload) -> Result<Item, Closed> {
    let header = serde_json::to_value(message).map_err(|error| Closed(error.to_string()))?;
    let header_bytes = serde_json::to_vec(&header).map_or(0, |header| header.len());
    let held = payload.held() + header_bytes + MESSAGE_BYTES;
    Ok(Item { id, header, payload, sent: 0, held })
}

fn run(queue: &Queue, mut out: impl Write) -> Result<(), FrameError> {
    loop {
        let mut state = queue.state();
        let (mut item, urgent) = loop {
            if let Some(item) = state.urgent.pop_front() {
                break (item, true);
            }
            if let Some(item) = state.bulk.pop_front() {
                break (item, false);
            }
            if state.is_closing {
                return Ok(());
            }
            state = queue.wait(state);
        };
        let compress = state.compress;
        state.is_busy = true;
        drop(state);
        let end = item.payload.len().min(item.sent + PART_BYTES);
        let more = end < item.payload.len();
        let part = item.payload.part(item.sent..end)?;
        let frame = frame_bytes((item.id, more), &item.header, &part, compress)?;
        out.write_all(&frame)?;
        out.flush()?;
        item.sent = end;
        let mut state = queue.state();
        state.is_busy = false;
        state.sent_bytes += frame.len() as u64;
        if more {
            item.header = continued(&item.header);
            let queue = if urgent { &mut state.urgent } else { &mut state.bulk };
            queue.push_front(item);
        } else if urgent {
            state.waiting_bytes = state.waiting_bytes.saturating_sub(item.held);
        }
        drop(state);
        queue.changed.notify_all();
    }
}

/// The header of the following frames of a message.
fn continued(header: &Value) -> Value {
    let kind = header.get("type").cloned().unwrap_or_default();
    Value::Object(Map::from_iter([("type".to_owned(), kind)]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::frame::{Frame, read_frame};
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use serde_json::json;
    use std::io::BufReader;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A stream that takes one write whenever it is allowed to.
    struct Slow {
        /// Tells that a write waits.
        waits: Sender<()>,
        allowed: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            if self.waits.send(()).is_err()
                || self.allowed.recv().is_err()
                || self.written.send(bytes.to_vec()).is_err()
            {
                return Err(gone);
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A stream that takes nothing until it is gone.
    struct Stuck(Sender<()>, Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_holds_nobody_up() {
        let ((waits, waiting), (gone, go)) = (channel(), channel());
        let outbox = Outbox::start(Stuck(waits, go)).unwrap();
        outbox.send(1, &json!({"type": "token"}), vec![0; WAITING_BYTES + 1]).unwrap();
        waiting.recv().unwrap();
        // A reply does not wait for room; more than may wait in all is refused.
        let mut replies = 0;
        while outbox.reply(2, &json!({"type": "data"}), vec![0; 8 << 20]).is_ok() {
            replies += 1;
            assert!(replies < 100);
        }
        assert!(replies >= 6, "{replies}");
        outbox.finish_within(Duration::ZERO);
        // There is no room, and the time is over: the sender is told, and nobody waits for the thread.
        outbox.send(3, &json!({"type": "token"}), Vec::new()).unwrap_err();
        outbox.flush(Duration::from_secs(60));
        drop(outbox);
        drop(gone);
    }

    #[test]
    fn an_event_passes_bulk_data() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        // Large enough for several frames.
        let shape = [trace.shape().generated, trace.meta().patches()];
        let names = (0..).map(|number| format!("map.{number}"));
        let maps = 4 * PART_BYTES / (4 * shape[0] * shape[1]);
        let trace = names.take(maps).fold(trace, |trace, name| {
            trace.with_map(&name, &shape, &vec![1.0; shape[0] * shape[1]]).unwrap()
        });
        let file = Arc::new(TraceInFile::new(trace).unwrap());
        let whole = file.read(0..u64::MAX).unwrap();
        assert!(whole.len() > 2 * PART_BYTES);
        // Declared first, so that a failed test drops the channels before it joins the thread.
        let outbox;
        let ((waits, waiting), (go, allowed), (written, frames)) =
            (channel(), channel(), channel());
        outbox = Outbox::start(Slow { waits, allowed, written }).unwrap();
        outbox
            .send_file(1, &json!({"type": "data"}), Arc::clone(&file), 0..file.file_bytes())
            .unwrap();
        let mut read = Vec::new();
        let next = || {
            go.send(()).unwrap();
            let frame: Frame =
                read_frame(&mut BufReader::new(&frames.recv().unwrap()[..])).unwrap().unwrap();
            frame
        };
        read.extend(next().payload);
        // The second frame of the bulk data is being written.
        waiting.recv().unwrap();
        waiting.recv().unwrap();
        outbox.send(2, &json!({"type": "token", "index": 4}), vec![7; PART_BYTES + 1]).unwrap();
        // The frame that was being written, then the event in two frames.
        read.extend(next().payload);
        let (first, second) = (next(), next());
        assert_eq!((first.envelope.kind.as_str(), first.envelope.more), ("token", true));
        assert_eq!((second.envelope.id, second.envelope.more), (2, false));
        assert_eq!(first.payload.len() + second.payload.len(), PART_BYTES + 1);
        loop {
            let frame = next();
            read.extend(frame.payload);
            if !frame.envelope.more {
                break;
            }
        }
        assert_eq!(read, whole);
        drop(frames);
        go.send(()).unwrap();
        let mut left = 100;
        while outbox.send(3, &json!({"type": "token"}), Vec::new()).is_ok() && left > 0 {
            let _ = go.send(());
            std::thread::sleep(Duration::from_millis(5));
            left -= 1;
        }
        assert!(left > 0, "a stream that is gone is reported");
    }
}
