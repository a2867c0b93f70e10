//! Limits of the parts of a payload, compared before memory is allocated for them.

use serde::Deserializer;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Variants of one `rescore` request: a multiple of the batches that the model runs.
pub const MAX_VARIANTS: usize = 96;
/// JSON in a payload: variants, tables, metadata, a manifest. In memory it may take ten times as much.
pub const MAX_JSON_BYTES: usize = 64 << 20;

/// The JSON of a payload as a value; the error is the reason, a clause.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    if text.len() > MAX_JSON_BYTES {
        return Err(format!("it has {} bytes, at most {MAX_JSON_BYTES} are possible", text.len()));
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// A JSON list of at most `most` entries; the list is not read beyond them.
pub fn json_list<T: DeserializeOwned>(text: &[u8], most: usize) -> Result<Vec<T>, String> {
    if text.len() > MAX_JSON_BYTES {
        return Err(format!(
            "they have {} bytes, at most {MAX_JSON_BYTES} are possible",
            text.len()
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let list = reader.deserialize_seq(AtMost { most, kind: PhantomData });
    let list = list.and_then(|list| reader.end().map(|()| list));
    list.map_err(|error| error.to_string())
}

/// Reads a list of at most `most` entries.
struct AtMost<T> {
    most: usize,
    kind: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for AtMost<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} entries", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == self.most {
                return Err(A::Error::custom(format!("it has more than {} entries", self.most)));
            }
            list.push(entry);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_list_is_read_up_to_its_limit() {
        assert_eq!(json_list::<u32>(b"[1, 2, 3]", 3).unwrap(), [1, 2, 3]);
        assert!(json_list::<u32>(b"[1, 2, 3, 4]", 3).unwrap_err().contains("more than 3 entries"));
        // The rest is not read: it is not JSON.
        let error = json_list::<u32>(b"[1, 2, 3, 4, oh no", 3).unwrap_err();
        assert!(error.contains("more than 3 entries"), "{error}");
        for text in ["[1, 2", "[1] 2", "{}", "7", "[true]"] {
            assert!(json_list::<u32>(text.as_bytes(), 3).is_err(), "{text}");
        }
        let long = vec![b' '; MAX_JSON_BYTES + 1];
        assert!(json_list::<u32>(&long, 3).unwrap_err().contains("bytes"));
        assert!(json::<Vec<u32>>(&long).unwrap_err().contains("bytes"));
        assert_eq!(json::<Vec<u32>>(b"[4]").unwrap(), [4]);
    }
}
