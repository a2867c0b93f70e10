//! Heads, patches, objects, words and positions as commands name them.

use super::common::usage;
use crate::analysis::boxes::{NamedBox, boxes_of_word, parse_boxes};
use crate::analysis::score::BoxPx;
use crate::files;
use crate::model::builtin;
use crate::trace::{ImageSpan, TokenKind, Trace, TraceMeta, words as words_of};
use anyhow::Context as _;
use std::path::Path;

/// "4.1".
pub(super) fn head(text: &str) -> Result<[u32; 2], String> {
    let numbers = text
        .split_once('.')
        .and_then(|(layer, head)| Some([layer.trim().parse().ok()?, head.trim().parse().ok()?]));
    numbers.ok_or_else(|| format!("`{text}` is not LAYER.HEAD, such as 4.1"))
}

/// "3" or "2-5" or "2-5,9", all below `count`.
pub(super) fn numbers(text: &str, what: &str, count: u32) -> anyhow::Result<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let parsed = first.trim().parse::<u32>().ok().zip(last.trim().parse::<u32>().ok());
        let (first, last) = parsed
            .filter(|(first, last)| first <= last)
            .ok_or_else(|| usage(format!("`{part}` is not a {what} or a range such as 2-5")))?;
        if last >= count {
            return Err(usage(format!(
                "{what} {last} does not exist: there are {what}s 0 to {}",
                count.saturating_sub(1)
            )));
        }
        all.extend(first..=last);
    }
    Ok(all)
}

/// The view that patches are counted in.
pub(super) fn view(wanted: Option<u32>, meta: &TraceMeta) -> anyhow::Result<&ImageSpan> {
    let views = meta.spans.len();
    match (wanted, meta.spans.as_slice()) {
        (_, []) => {
            Err(usage(format!("this trace {}, so no patch can be named", meta.why_no_patches())))
        }
        (None, [span]) => Ok(span),
        (None, _) => Err(usage(format!(
            "this trace has {views} views, each with patches of its own; choose one with --span 0 to {}",
            views - 1
        ))),
        (Some(view), spans) => spans.get(view as usize).ok_or_else(|| {
            usage(format!("view {view} does not exist: there are views 0 to {}", views - 1))
        }),
    }
}

/// Key positions of "ROWS,COLUMNS;ROWS,COLUMNS" in a view.
pub(super) fn patch_keys(text: &str, span: &ImageSpan) -> anyhow::Result<Vec<u32>> {
    let mut keys = Vec::new();
    for part in text.split(';') {
        let (rows, columns) = part.split_once(',').ok_or_else(|| {
            usage(format!("`{part}` is not ROWS,COLUMNS, such as 3,4 or 2-4,3-6"))
        })?;
        for row in numbers(rows, "row", span.rows)? {
            for column in numbers(columns, "column", span.columns)? {
                keys.extend(span.key(row, column).map(|key| key.0));
            }
        }
    }
    Ok(keys)
}

/// Key positions of words of the question, whatever their case and punctuation.
pub(super) fn word_keys(wanted: &[String], meta: &TraceMeta) -> anyhow::Result<Vec<u32>> {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let question = meta.question_range();
    let words: Vec<(String, Vec<u32>)> = words_of(&meta.tokens[question.clone()])
        .into_iter()
        .filter(|word| word.kind == TokenKind::Question && word.is_numbered)
        .map(|word| {
            let keys = word.tokens.map(|token| (question.start + token) as u32).collect();
            (plain(&word.text), keys)
        })
        .collect();
    let mut keys = Vec::new();
    for word in wanted {
        let found = words.iter().filter(|(text, _)| *text == plain(word));
        let before = keys.len();
        keys.extend(found.flat_map(|(_, keys)| keys));
        if keys.len() == before {
            let known: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
            return Err(usage(format!(
                "the question has no word `{word}`; its words are {}",
                known.join(", ")
            )));
        }
    }
    Ok(keys)
}

/// The boxes of objects in pictures: those of a file, or those that built-in samples have.
pub(super) struct KnownBoxes<'a> {
    file: Option<(&'a Path, String)>,
}

impl<'a> KnownBoxes<'a> {
    /// Reads the file, if there is one.
    pub fn read(path: Option<&'a Path>) -> anyhow::Result<Self> {
        let read = |path: &'a Path| {
            let text = files::read_text(path)
                .with_context(|| format!("cannot read the boxes in {}", path.display()))?;
            anyhow::Ok((path, text))
        };
        Ok(Self { file: path.map(read).transpose()? })
    }

    /// The boxes in the picture of a trace.
    pub fn of(&self, trace: &Trace) -> anyhow::Result<Vec<NamedBox>> {
        let Some((path, text)) = &self.file else { return Ok(builtin::boxes_of(trace)) };
        parse_boxes(text, trace)
            .map_err(|reason| anyhow::anyhow!("cannot use {}: {reason}", path.display()))
    }
}

/// The boxes of a file, or those that a built-in sample has.
pub(super) fn known_boxes(path: Option<&Path>, trace: &Trace) -> anyhow::Result<Vec<NamedBox>> {
    KnownBoxes::read(path)?.of(trace)
}

/// The boxes of an object.
pub(super) fn boxes_of_object(known: &[NamedBox], object: &str) -> anyhow::Result<Vec<BoxPx>> {
    let boxes = boxes_of_word(known, object);
    if !boxes.is_empty() {
        return Ok(boxes);
    }
    let nouns: Vec<&str> = known.iter().map(|known| known.noun.as_str()).collect();
    let nouns = match nouns.as_slice() {
        [] => "none; give --boxes FILE.json".to_owned(),
        nouns => nouns.join(", "),
    };
    Err(usage(format!("no box is named `{object}`; there are {nouns}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn ranges_and_heads_are_read_or_refused() {
        assert_eq!(numbers("2-4,7", "layer", 8).unwrap(), [2, 3, 4, 7]);
        assert!(numbers("4-2", "layer", 8).is_err() && numbers("8", "layer", 8).is_err());
        assert_eq!(head("4.1"), Ok([4, 1]));
        assert!(head("4").is_err() && head("a.b").is_err());
    }
}
