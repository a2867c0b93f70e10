//! Frames: a JSON header and a payload behind their lengths, see docs/serve.md.
//!
//! Lengths come from the other side. They are compared with the limits before anything is allocated, and memory grows
//! with the bytes that arrive.

use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, ErrorKind, Read, Write};

/// Longest header.
pub const MAX_HEADER_BYTES: usize = 1 << 20;
/// Longest payload of one frame, also after it was unpacked.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;
/// Longest payload of a message of several frames.
pub const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// Shorter payloads are not compressed.
const LEAST_COMPRESSED_BYTES: usize = 512;
/// Level of zstd: faster than any network that is worth compressing for.
const LEVEL: i32 = 1;
/// Bytes of something that is not a frame that a message shows.
const SHOWN_BYTES: usize = 120;

/// The reason why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Cut,
    /// The stream could not be read or written.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// A length is above its limit: the bytes are no frame, or one that is too long.
    #[error("{what} of {bytes} bytes was announced; at most {most} are possible")]
    TooLong {
        /// The part of the frame.
        what: &'static str,
        /// Its announced length.
        bytes: u64,
        /// The limit.
        most: usize,
        /// The first bytes of the frame.
        first: Vec<u8>,
    },
    /// The header is not the JSON object that it should be.
    #[error("its header cannot be read: {reason}")]
    Header {
        /// The parser's message.
        reason: String,
        /// The first bytes of the frame.
        first: Vec<u8>,
    },
    /// The payload does not fit its header.
    #[error("its payload cannot be read: {0}")]
    Payload(String),
}

impl FrameError {
    /// The bytes that came in place of a frame, for a reader; `None` where they are not known.
    pub fn shown(&self) -> Option<String> {
        match self {
            Self::TooLong { first, .. } | Self::Header { first, .. } => {
                let text: String = String::from_utf8_lossy(first).escape_debug().collect();
                Some(text.chars().take(SHOWN_BYTES).collect())
            }
            Self::Cut | Self::Stream(_) | Self::Payload(_) => None,
        }
    }
}

/// The encoding of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// One zstd frame.
    Zstd,
}

/// The fields that every header has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Envelope {
    /// The type of the message.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request that the message belongs to.
    #[serde(default)]
    pub id: u64,
    /// Whether the payload goes on in the next frame of this type and request.
    #[serde(default)]
    pub more: bool,
    #[serde(default)]
    encoding: Option<Encoding>,
}

/// A frame as it was read.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The common fields of the header.
    pub envelope: Envelope,
    /// The whole header.
    pub header: Vec<u8>,
    /// The payload, unpacked.
    pub payload: Vec<u8>,
}

/// Reads a frame; `None` at the end of the stream.
///
/// # Errors
/// Bytes that are no frame, or a stream that cannot be read.
pub fn read_frame<R: Read>(input: &mut BufReader<R>) -> Result<Option<Frame>, FrameError> {
    let mut lengths = [0; 8];
    match read_some(input, &mut lengths)? {
        0 => return Ok(None),
        8 => {}
        count => {
            let first = lengths[..count].to_vec();
            return Err(FrameError::Header { reason: "the stream ended".into(), first });
        }
    }
    let word = |at: usize| {
        u32::from_le_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]])
    };
    let (header_bytes, payload_bytes) = (word(0) as usize, word(4) as usize);
    for (what, bytes, most) in [
        ("a header", header_bytes, MAX_HEADER_BYTES),
        ("a payload", payload_bytes, MAX_PAYLOAD_BYTES),
    ] {
        if bytes > most {
            let first = first_bytes(&lengths, input);
            return Err(FrameError::TooLong { what, bytes: bytes as u64, most, first });
        }
    }
    let header = read_exact(input, header_bytes)?;
    let envelope: Envelope = serde_json::from_slice(&header).map_err(|error| {
        let first = [&lengths[..], &header].concat();
        FrameError::Header { reason: error.to_string(), first }
    })?;
    let payload = read_exact(input, payload_bytes)?;
    let payload = match envelope.encoding {
        None => payload,
        Some(Encoding::Zstd) => unpacked(&payload)?,
    };
    Ok(Some(Frame { envelope, header, payload }))
}

/// Reads until `bytes` is full or the stream ends.
fn read_some(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match input.read(&mut bytes[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn read_exact(input: &mut impl Read, length: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    input.by_ref().take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(FrameError::Cut) }
}

/// The first bytes that were sent in place of a frame, as far as they have arrived: the other side may send no more.
fn first_bytes<R: Read>(start: &[u8], input: &BufReader<R>) -> Vec<u8> {
    let rest = input.buffer();
    [start, &rest[..rest.len().min(SHOWN_BYTES)]].concat()
}

fn unpacked(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let wrong = |reason: &str| FrameError::Payload(reason.to_owned());
    let bytes = zstd::zstd_safe::get_frame_content_size(payload)
        .map_err(|_| wrong("it is no zstd frame"))?
        .ok_or_else(|| wrong("the zstd frame does not say its size"))?;
    if bytes > MAX_PAYLOAD_BYTES as u64 {
        return Err(FrameError::TooLong {
            what: "a payload",
            bytes,
            most: MAX_PAYLOAD_BYTES,
            first: Vec::new(),
        });
    }
    let unpacked = zstd::bulk::decompress(payload, bytes as usize);
    unpacked.map_err(|error| FrameError::Payload(error.to_string()))
}

/// The header of a frame that is written.
#[derive(Serialize)]
struct Header<'a, M> {
    id: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    #[serde(flatten)]
    message: &'a M,
}

/// The bytes of a frame; a payload is compressed if `compress` is true and it becomes a tenth smaller.
///
/// # Errors
/// If a part is longer than its limit.
pub fn frame_bytes(
    (id, more): (u64, bool),
    message: &impl Serialize,
    payload: &[u8],
    compress: bool,
) -> Result<Vec<u8>, FrameError> {
    let packed = (compress && payload.len() >= LEAST_COMPRESSED_BYTES)
        .then(|| zstd::bulk::compress(payload, LEVEL).ok())
        .flatten()
        .filter(|packed| packed.len() <= payload.len() / 10 * 9);
    let encoding = packed.as_ref().map(|_| Encoding::Zstd);
    let body = packed.as_deref().unwrap_or(payload);
    let header = serde_json::to_vec(&Header { id, more, encoding, message })
        .map_err(|error| FrameError::Header { reason: error.to_string(), first: Vec::new() })?;
    for (what, bytes, most) in [
        ("a header", header.len(), MAX_HEADER_BYTES),
        ("a payload", payload.len(), MAX_PAYLOAD_BYTES),
    ] {
        if bytes > most {
            let (bytes, first) = (bytes as u64, Vec::new());
            return Err(FrameError::TooLong { what, bytes, most, first });
        }
    }
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    frame.extend((header.len() as u32).to_le_bytes());
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(header);
    frame.extend(body);
    Ok(frame)
}

/// Writes a frame.
///
/// # Errors
/// A frame that is too large, or a stream that cannot be written.
pub fn write_frame(
    out: &mut impl Write,
    of: (u64, bool),
    message: &impl Serialize,
    payload: &[u8],
    compress: bool,
) -> Result<(), FrameError> {
    out.write_all(&frame_bytes(of, message, payload, compress)?)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        read_frame(&mut BufReader::new(bytes))
    }

    fn bytes(payload: &[u8], compress: bool) -> Vec<u8> {
        frame_bytes((7, false), &json!({"type": "data"}), payload, compress).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let payloads: [&[u8]; 4] = [b"", b"short", &[7; 100_000], &[0; 511]];
        for payload in payloads {
            for compress in [false, true] {
                let frame = bytes(payload, compress);
                assert_eq!(frame.len() < payload.len(), compress && payload.len() > 1000);
                let found = read(&frame).unwrap().unwrap();
                assert_eq!(found.payload, payload);
                assert_eq!((found.envelope.kind.as_str(), found.envelope.id), ("data", 7));
            }
        }
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn text_in_place_of_a_frame_is_shown() {
        for text in ["Welcome to gpu-box!\nLast login: today", "hi\n"] {
            let error = read(text.as_bytes()).unwrap_err();
            let shown = error.shown().unwrap();
            assert!(shown.starts_with(&text.replace('\n', "\\n")[..3]), "{shown}");
        }
        let mut after = b"hi\n".to_vec();
        after.extend(bytes(b"", false));
        let shown = read(&after).unwrap_err().shown().unwrap();
        assert!(shown.starts_with("hi\\n"), "{shown}");
    }

    #[test]
    fn lengths_beyond_the_limits_allocate_nothing() {
        let long =
            |header: u32, payload: u32| [header.to_le_bytes(), payload.to_le_bytes()].concat();
        for lengths in [long(u32::MAX, 0), long(2, u32::MAX), long((1 << 20) + 1, 0)] {
            let error = read(&lengths).unwrap_err();
            assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
        }
        // A frame of zstd that unpacks to more than a payload may have.
        let bomb = zstd::bulk::compress(&vec![0; MAX_PAYLOAD_BYTES + 1], 1).unwrap();
        let header = br#"{"type":"data","id":1,"encoding":"zstd"}"#;
        let mut frame = long(header.len() as u32, bomb.len() as u32);
        frame.extend(header);
        frame.extend(bomb);
        let error = read(&frame).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
            let mut bytes = bytes;
            if small && bytes.len() >= 8 {
                bytes[1..4].fill(0);
                bytes[5..8].fill(0);
            }
            let _ = read(&bytes);
        }

        #[test]
        fn a_cut_frame_is_an_error(cut in 1_usize..60) {
            let frame = bytes(b"payload", false);
            let end = frame.len().saturating_sub(cut).max(1);
            prop_assert!(read(&frame[..end]).is_err());
        }
    }
}
