//! Sets of single heads in several layers: "4.1,7.0" is layer 4, head 1 and layer 7, head 0.

use super::ViewError;
use super::figure::head_name;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A layer (in the model's own numbers) and a head of it.
pub type LayerHead = [u32; 2];

/// Several heads that are averaged: ascending, without repeats, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeadSet(Vec<LayerHead>);

/// More heads than any model has: a guard against files that fill the memory.
const MOST_HEADS: usize = 1 << 16;

impl HeadSet {
    /// A set of these heads; `None` for no head.
    pub fn new(mut heads: Vec<LayerHead>) -> Option<Self> {
        heads.sort_unstable();
        heads.dedup();
        (!heads.is_empty()).then_some(Self(heads))
    }

    /// The heads, ascending.
    pub fn heads(&self) -> &[LayerHead] {
        &self.0
    }

    /// Whether a head belongs to the set.
    pub fn contains(&self, layer: u32, head: u32) -> bool {
        self.0.binary_search(&[layer, head]).is_ok()
    }

    /// Reads "4.1,7.0".
    ///
    /// # Errors
    /// If the text is no such list.
    pub fn parse(text: &str) -> Result<Self, ViewError> {
        let bad = |reason: String| ViewError::HeadSet { text: text.to_owned(), reason };
        let mut heads = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let number = |text: &str| text.trim().parse::<u32>().ok();
            let pair = part.split_once('.');
            let head = pair.and_then(|(layer, head)| Some([number(layer)?, number(head)?]));
            heads.push(head.ok_or_else(|| bad(format!("`{part}` is not LAYER.HEAD")))?);
            if heads.len() > MOST_HEADS {
                return Err(bad(format!("it has more than {MOST_HEADS} heads")));
            }
        }
        Self::new(heads).ok_or_else(|| bad("it names no head".into()))
    }

    /// The heads as text for people: "L4 H1, L7 H0".
    pub fn names(&self) -> String {
        let name = |&[layer, head]: &LayerHead| head_name(layer, head);
        self.0.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for HeadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> =
            self.0.iter().map(|[layer, head]| format!("{layer}.{head}")).collect();
        f.write_str(&texts.join(","))
    }
}

impl TryFrom<String> for HeadSet {
    type Error = ViewError;

    fn try_from(text: String) -> Result<Self, ViewError> {
        Self::parse(&text)
    }
}

impl From<HeadSet> for String {
    fn from(set: HeadSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_set_is_text_in_ascending_order() {
        let set = HeadSet::parse("7.0, 4.1,7.0").unwrap();
        assert_eq!(set.to_string(), "4.1,7.0");
        assert_eq!(set.names(), "L4 H1, L7 H0");
        assert!(set.contains(7, 0) && !set.contains(0, 7));
        for text in ["", "4", "4.x", "4.1;7.0", "-1.2"] {
            let error = HeadSet::parse(text).unwrap_err().to_string();
            assert!(error.contains("LAYER.HEAD"), "{error}");
        }
    }
}
