//! Messages of several frames.

use super::frame::{Frame, FrameError, MAX_MESSAGE_BYTES};
use std::collections::HashMap;

/// Messages that may be under way at the same time.
const MAX_UNDER_WAY: usize = 256;

/// A whole message.
#[derive(Debug)]
pub struct Message {
    /// The request that it belongs to.
    pub id: u64,
    /// The header of its first frame.
    pub header: Vec<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Puts the payloads of frames together.
#[derive(Debug)]
pub struct Assembler {
    under_way: HashMap<(u64, String), Message>,
    /// Bytes of the messages that are under way.
    waiting_bytes: usize,
    most_bytes: usize,
}

impl Default for Assembler {
    fn default() -> Self {
        Self { under_way: HashMap::new(), waiting_bytes: 0, most_bytes: MAX_MESSAGE_BYTES }
    }
}

impl Assembler {
    /// Adds a frame; returns the message that it completes.
    ///
    /// # Errors
    /// If too much is under way.
    pub fn add(&mut self, frame: Frame) -> Result<Option<Message>, FrameError> {
        let Frame { envelope, header, payload } = frame;
        let (id, more) = (envelope.id, envelope.more);
        let key = (id, envelope.kind);
        let is_known = self.under_way.contains_key(&key);
        if !is_known && !more {
            return Ok(Some(Message { id, header, payload }));
        }
        if !is_known && self.under_way.len() >= MAX_UNDER_WAY {
            let reason = format!("{MAX_UNDER_WAY} messages are unfinished");
            return Err(FrameError::Payload(reason));
        }
        self.waiting_bytes += payload.len() + if is_known { 0 } else { header.len() };
        if self.waiting_bytes > self.most_bytes {
            return Err(FrameError::TooLong {
                what: "unfinished messages",
                bytes: self.waiting_bytes as u64,
                most: self.most_bytes,
                first: Vec::new(),
            });
        }
        match self.under_way.get_mut(&key) {
            Some(message) => message.payload.extend_from_slice(&payload),
            None => drop(self.under_way.insert(key.clone(), Message { id, header, payload })),
        }
        if more {
            return Ok(None);
        }
        let message = self.under_way.remove(&key);
        if let Some(message) = &message {
            self.waiting_bytes -= message.payload.len() + message.header.len();
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::frame::{frame_bytes, read_frame};
    use super::*;
    use serde_json::json;
    use std::io::BufReader;

    fn frame(id: u64, more: bool, payload: &[u8]) -> Frame {
        let bytes = frame_bytes((id, more), &json!({"type": "trace"}), payload, false).unwrap();
        read_frame(&mut BufReader::new(&bytes[..])).unwrap().unwrap()
    }

    #[test]
    fn messages_that_alternate_are_put_together() {
        let mut assembler = Assembler::default();
        assert!(assembler.add(frame(1, true, b"ab")).unwrap().is_none());
        assert!(assembler.add(frame(2, true, b"x")).unwrap().is_none());
        assert_eq!(assembler.add(frame(3, false, b"whole")).unwrap().unwrap().payload, b"whole");
        assert_eq!(assembler.add(frame(1, false, b"c")).unwrap().unwrap().payload, b"abc");
        assert_eq!(assembler.add(frame(2, false, b"")).unwrap().unwrap().payload, b"x");
        assert_eq!(assembler.waiting_bytes, 0, "nothing waits any more");
    }

    #[test]
    fn all_unfinished_messages_together_have_one_limit() {
        let mut assembler = Assembler { most_bytes: 1000, ..Assembler::default() };
        // Each message has only one frame so far.
        let outcome = (0..20).map(|id| assembler.add(frame(id, true, &[0; 100])));
        let kept = outcome.take_while(Result::is_ok).count();
        assert!((5..10).contains(&kept), "{kept}");
        let mut assembler = Assembler::default();
        let kept = (0..).map(|id| assembler.add(frame(id, true, b""))).take_while(Result::is_ok);
        assert_eq!(kept.count(), MAX_UNDER_WAY);
    }
}
