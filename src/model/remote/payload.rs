//! The payloads of messages that wait to be sent; those of a trace are read when their turn comes.

use crate::model::event::Page;
use crate::trace::TraceInFile;
use half::f16;
use std::ops::Range;
use std::sync::Arc;

/// The payload of a message that waits.
pub enum Payload {
    Bytes(Arc<[u8]>),
    /// Bytes of a trace's file, read when their turn comes.
    File(Arc<TraceInFile>, Range<u64>),
    /// The weights of some maps of a page that the answer holds anyway.
    Maps(Page, Vec<usize>),
}

impl Payload {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(_, range) => (range.end - range.start) as usize,
            Self::Maps(page, maps) => maps.len() * page.keys * size_of::<f16>(),
        }
    }

    /// Bytes that wait in memory for this message alone.
    pub fn held(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(..) => 0,
            Self::Maps(_, maps) => size_of_val(maps.as_slice()),
        }
    }

    /// Some of its bytes.
    ///
    /// # Errors
    /// If they cannot be read from the file.
    pub fn part(&self, part: Range<usize>) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes[part].to_vec()),
            Self::File(file, range) => {
                file.read(range.start + part.start as u64..range.start + part.end as u64)
            }
            Self::Maps(page, maps) => {
                let length = page.keys * size_of::<f16>();
                let mut bytes = Vec::with_capacity(part.len());
                let mut at = part.start;
                while at < part.end {
                    let (map, within) = (maps[at / length], at % length);
                    let weights = &page.weights[map * page.keys..(map + 1) * page.keys];
                    let end = length.min(within + part.end - at);
                    bytes.extend_from_slice(&bytemuck::cast_slice::<f16, u8>(weights)[within..end]);
                    at += end - within;
                }
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::Query;

    #[test]
    fn maps_of_a_page_are_cut_anywhere() {
        let page = Page {
            query: Query(2),
            keys: 3,
            weights: (0..12).map(|at| f16::from_f32(at as f32)).collect(),
            stats: Vec::new().into(),
            there: None,
        };
        let maps = Payload::Maps(page, vec![3, 0]);
        let whole: Vec<u8> = [9, 10, 11, 0, 1, 2]
            .iter()
            .flat_map(|&at| f16::from_f32(at as f32).to_le_bytes())
            .collect();
        assert_eq!(maps.len(), whole.len());
        for start in 0..whole.len() {
            for end in start..=whole.len() {
                assert_eq!(maps.part(start..end).unwrap(), whole[start..end]);
            }
        }
    }
}
