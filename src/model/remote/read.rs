//! Reading ranges of a trace's file over a connection.

use super::connection::{Call, Connection};
use super::message::{ClientMessage, ServerMessage};
use super::receive::Incoming;
use super::said::shown;
use crate::job::CancelToken;
use crate::model::error::{ModelError, Result};
use std::ops::Range;

/// The request for a range of a trace's file.
pub fn read_message(trace: u64, range: &Range<u64>) -> ClientMessage {
    ClientMessage::Read { trace, start: range.start, length: range.end - range.start }
}

/// Takes the parts of a `read`, `length` bytes in all.
///
/// # Errors
/// As [`Call::next`].
pub fn read_into(
    connection: &Connection,
    call: &Call,
    length: u64,
    cancel: &CancelToken,
    take: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let mut left = length;
    loop {
        let Incoming { message, payload, more, .. } = call.next(cancel)?;
        if !matches!(message, ServerMessage::Data) {
            return Err(connection.unexpected(&message));
        }
        left = left.checked_sub(payload.len() as u64).unwrap_or(u64::MAX);
        if left > length || (!more && left > 0) {
            return Err(does_not_fit(connection, "a range has another length"));
        }
        take(&payload);
        if !more {
            return Ok(());
        }
    }
}

/// The error for an answer that contradicts itself.
pub fn does_not_fit(connection: &Connection, reason: &str) -> ModelError {
    let message = format!("it sent an answer that does not fit: {}.", shown(reason));
    ModelError::elsewhere(connection.host(), message)
}
