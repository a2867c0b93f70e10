//! Sets of members on an axis, and the rule that reduces them to one map.
//!
//! Written as short text ("4", "mean", "max:0-7,12") in TOML and on the command line, so that a state file and the
//! flags of `render` have the same notation.

use super::ViewError;
use crate::trace::ModelInfo;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The rule that reduces several maps to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Exactly one map.
    Single,
    /// The arithmetic mean.
    Mean,
    /// The largest value at each place.
    Max,
}

/// A set of layers, heads or tokens with its reduction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "SetText", into = "String")]
pub struct AxisSet {
    aggregate: Aggregate,
    /// Ascending, without repeats; `None` is the whole axis.
    indices: Option<Vec<u32>>,
}

/// TOML may contain `layers = 4` as well as `layers = "4"`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a set is one number (4) or a text such as \"mean\" or \"max:0-7,12\""
)]
enum SetText {
    Number(u32),
    Text(String),
}

impl AxisSet {
    /// The mean over the whole axis.
    pub const MEAN: Self = Self { aggregate: Aggregate::Mean, indices: None };
    /// The maximum over the whole axis.
    pub const MAX: Self = Self { aggregate: Aggregate::Max, indices: None };

    /// One member of the axis.
    pub fn single(index: u32) -> Self {
        Self { aggregate: Aggregate::Single, indices: Some(vec![index]) }
    }

    /// Some members with a reduction. A single index gives the same map with every aggregate, so it becomes `Single`;
    /// an empty list means the whole axis.
    pub fn new(aggregate: Aggregate, mut indices: Vec<u32>) -> Self {
        indices.sort_unstable();
        indices.dedup();
        match (aggregate, indices.as_slice()) {
            (_, &[one]) => Self::single(one),
            (Aggregate::Max, []) => Self::MAX,
            (_, []) => Self::MEAN,
            (Aggregate::Max, _) => Self { aggregate, indices: Some(indices) },
            _ => Self { aggregate: Aggregate::Mean, indices: Some(indices) },
        }
    }

    /// The reduction of the set.
    pub const fn aggregate(&self) -> Aggregate {
        self.aggregate
    }

    /// The only member, if there is exactly one.
    pub fn only(&self) -> Option<u32> {
        match self.indices.as_deref() {
            Some(&[one]) => Some(one),
            _ => None,
        }
    }

    /// The listed members; `None` is the whole axis.
    pub fn named(&self) -> Option<&[u32]> {
        self.indices.as_deref()
    }

    /// The members on an axis of length `len`.
    pub fn members(&self, len: u32) -> Vec<u32> {
        self.indices.clone().unwrap_or_else(|| (0..len).collect())
    }

    /// The indices along an axis L of a set of layers, which has the model's own numbers; layers without pages are
    /// left out.
    pub fn layer_indices(&self, model: &ModelInfo) -> Vec<u32> {
        match self.named() {
            Some(named) => named.iter().filter_map(|&layer| model.layer_index(layer)).collect(),
            None => (0..model.layer_numbers().len() as u32).collect(),
        }
    }

    /// About as many members as a text names, without making the set; for a text that is none, at most
    /// as many as it has commas and one.
    pub(super) fn count(text: &str) -> u64 {
        let list = text.rsplit(':').next().unwrap_or(text);
        let count = |part: &str| {
            let range = part.split_once('-').and_then(|(first, last)| {
                // Words may stand before the first number.
                let first = first.trim().rsplit(' ').next()?;
                Some((first.parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
            });
            range.map_or(1, |(first, last)| u64::from(last.saturating_sub(first)) + 1)
        };
        list.split(',').map(count).fold(0, u64::saturating_add)
    }

    /// Whether an index belongs to the set.
    pub fn contains(&self, index: u32) -> bool {
        self.indices.as_ref().is_none_or(|indices| indices.binary_search(&index).is_ok())
    }

    /// Reads "4", "mean", "max", "mean:0-7,12", "0-7,12" (a mean); `what` is the axis in error messages.
    ///
    /// # Errors
    /// If the text is none of these.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, ViewError> {
        let bad = |reason: &str| ViewError::Set {
            what,
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let trimmed = text.trim();
        let (aggregate, list) = match trimmed.split_once(':') {
            Some((name, list)) => (Some(name.trim()), list.trim()),
            None if matches!(trimmed, "mean" | "max" | "all") => (Some(trimmed), ""),
            None => (None, trimmed),
        };
        let aggregate = match aggregate {
            None | Some("mean" | "all") => Aggregate::Mean,
            Some("max") => Aggregate::Max,
            Some(other) => return Err(bad(&format!("`{other}` is neither mean nor max"))),
        };
        if list.is_empty() && trimmed.is_empty() {
            return Err(bad("it is empty"));
        }
        if list.is_empty() && trimmed.ends_with(':') {
            return Err(bad("nothing follows the colon"));
        }
        let mut indices = Vec::new();
        for part in list.split(',').map(str::trim).filter(|_| !list.is_empty()) {
            let number = |text: &str| {
                text.trim()
                    .parse::<u32>()
                    .map_err(|_| bad(&format!("`{part}` is not a number or a range")))
            };
            if let Some((first, last)) = part.split_once('-') {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(bad(&format!("`{part}` is not an ascending range")));
                }
                if indices.len() as u64 + u64::from(last - first) >= MOST_MEMBERS {
                    return Err(bad(&format!("it has more than {MOST_MEMBERS} members")));
                }
                indices.extend(first..=last);
            } else {
                indices.push(number(part)?);
            }
        }
        Ok(Self::new(aggregate, indices))
    }
}

/// More than any axis of a model has: a guard against a mistyped range filling the memory.
const MOST_MEMBERS: u64 = 1 << 20;

/// "0-3,7": ascending numbers as ranges.
pub(super) fn ranges(indices: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &index in indices {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => parts.push((index, index)),
        }
    }
    let text = |&(first, last): &(u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

impl fmt::Display for AxisSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.aggregate {
            Aggregate::Single => "",
            Aggregate::Mean => "mean",
            Aggregate::Max => "max",
        };
        match (&self.indices, name) {
            (None, _) => f.write_str(name),
            (Some(indices), "") => f.write_str(&ranges(indices)),
            (Some(indices), _) => write!(f, "{name}:{}", ranges(indices)),
        }
    }
}

impl TryFrom<SetText> for AxisSet {
    type Error = ViewError;

    fn try_from(text: SetText) -> Result<Self, ViewError> {
        match text {
            SetText::Number(index) => Ok(Self::single(index)),
            SetText::Text(text) => Self::parse("indices", &text),
        }
    }
}

impl From<AxisSet> for String {
    fn from(set: AxisSet) -> Self {
        set.to_string()
    }
}

/// The unit that a query index counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// Answer tokens: index i is the row q = P − 1 + i that predicts it.
    Answer,
    /// Positions over the expanded prompt and answer.
    Position,
}

/// The query rows: answer tokens or kept positions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "SetText", into = "String")]
pub struct Queries {
    /// The unit of the indices.
    pub kind: QueryKind,
    /// The indices and their reduction.
    pub set: AxisSet,
}

impl Queries {
    /// One answer token.
    pub fn answer(index: u32) -> Self {
        Self { kind: QueryKind::Answer, set: AxisSet::single(index) }
    }

    /// One kept position.
    pub fn position(query: u32) -> Self {
        Self { kind: QueryKind::Position, set: AxisSet::single(query) }
    }

    /// Reads "answer 3", "answer mean:2-4", "position 640"; a bare set counts answer tokens.
    ///
    /// # Errors
    /// If the text is none of these.
    pub fn parse(text: &str) -> Result<Self, ViewError> {
        let trimmed = text.trim();
        let (kind, set) = match trimmed.split_once(' ') {
            Some(("answer", set)) => (QueryKind::Answer, set),
            Some(("position", set)) => (QueryKind::Position, set),
            _ => (QueryKind::Answer, trimmed),
        };
        let what = match kind {
            QueryKind::Answer => "answer tokens",
            QueryKind::Position => "positions",
        };
        Ok(Self { kind, set: AxisSet::parse(what, set)? })
    }
}

impl fmt::Display for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            QueryKind::Answer => "answer",
            QueryKind::Position => "position",
        };
        write!(f, "{kind} {}", self.set)
    }
}

impl TryFrom<SetText> for Queries {
    type Error = ViewError;

    fn try_from(text: SetText) -> Result<Self, ViewError> {
        match text {
            SetText::Number(index) => Ok(Self::answer(index)),
            SetText::Text(text) => Self::parse(&text),
        }
    }
}

impl From<Queries> for String {
    fn from(queries: Queries) -> Self {
        queries.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_set_has_no_more_members_than_an_axis_can_have() {
        let members = |text: &str| AxisSet::parse("layers", text).map(|set| set.members(0).len());
        assert_eq!(members("0-1048575").unwrap(), 1 << 20);
        for text in ["0-1048576".to_owned(), "0-4294967295".into(), "0-1048570,".repeat(1000) + "7"]
        {
            let error = members(&text).unwrap_err().to_string();
            assert!(error.contains("more than 1048576 members"), "{error}");
        }
        for (text, count) in [
            ("position max: 0 - 7, 12", 9),
            ("4", 1),
            ("mean:0-7,12", 9),
            ("answer 0-99", 100),
            ("0-4294967295", 1 << 32),
            ("x, y", 2),
        ] {
            assert_eq!(AxisSet::count(text), count, "{text}");
        }
    }
}
