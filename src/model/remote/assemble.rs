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
#[derive(Debug, Default)]
pub struct Assembler {
    under_way: HashMap<(u64, String), Message>,
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
        let Some(message) = self.under_way.get_mut(&key) else {
            let message = Message { id, header, payload };
            if !more {
                return Ok(Some(message));
            }
            if self.under_way.len() >= MAX_UNDER_WAY {
                let reason = format!("{MAX_UNDER_WAY} messages are unfinished");
                return Err(FrameError::Payload(reason));
            }
            self.under_way.insert(key, message);
            return Ok(None);
        };
        message.payload.extend_from_slice(&payload);
        let waiting: usize = self.under_way.values().map(|message| message.payload.len()).sum();
        if waiting > MAX_MESSAGE_BYTES {
            let (bytes, first) = (waiting as u64, Vec::new());
            return Err(FrameError::TooLong {
                what: "an unfinished message",
                bytes,
                most: MAX_MESSAGE_BYTES,
                first,
            });
        }
        Ok(if more { None } else { self.under_way.remove(&key) })
    }
}
