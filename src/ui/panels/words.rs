//! Tokens as the chips of the strip: words, the system prompt, and one chip for each picture.

use crate::trace::{ImageSpan, TokenInfo, TokenKind, TraceMeta};
use crate::view::figure::token_text;
use crate::view::{picture_name, pictures};
use std::ops::Range;

/// Neighbouring tokens that are shown as one chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Positions over prompt and answer.
    pub positions: Range<u32>,
    /// Text of the word.
    pub text: String,
    /// Part of the sequence: system prompt, picture, question, answer, …
    pub kind: TokenKind,
    /// Index of the question-answer turn.
    pub turn: u32,
    /// Index of the picture, for patches that have a place in one.
    pub picture: Option<u32>,
    /// Positions whose maps stand for the word, see [`crate::trace::Word::map_tokens`].
    pub map_positions: Vec<u32>,
}

/// Groups tokens into words; the system prompt and the patches of each picture become one each, with the separators
/// between them. Other separators that follow each other, such as the time of a frame, are one, too.
pub fn words(meta: &TraceMeta) -> Vec<Word> {
    let tokens = &meta.tokens;
    let is_one = pictures(meta).len() < 2;
    let mut words: Vec<Word> = Vec::new();
    let parts = crate::trace::words(tokens).into_iter().flat_map(|word| by_picture(meta, word));
    for word in parts {
        let positions = word.tokens.start as u32..word.tokens.end as u32;
        let picture = (word.kind == TokenKind::Image).then(|| picture_at(meta, word.tokens.start));
        let picture = picture.flatten();
        let before = words.iter().rposition(|word| word.kind != TokenKind::Separator);
        match before.and_then(|at| words.get_mut(at)) {
            Some(first) if picture.is_some() && first.picture == picture => {
                first.positions.end = positions.end;
                words.truncate(before.map_or(0, |at| at + 1));
                continue;
            }
            _ => {}
        }
        if let Some(last) = words
            .last_mut()
            .filter(|last| word.kind == TokenKind::Separator && last.kind == TokenKind::Separator)
        {
            last.positions.end = positions.end;
            last.text = separators(&tokens[last.positions.start as usize..word.tokens.end]);
            continue;
        }
        let text = match (word.kind, picture) {
            (TokenKind::Image, Some(picture)) if !is_one => picture_name(meta, picture),
            (TokenKind::Image, _) => "picture".into(),
            (TokenKind::System, _) => "system prompt".into(),
            _ => token_text(&word.text),
        };
        let map_positions = word.map_tokens.iter().map(|&token| token as u32).collect();
        words.push(Word {
            positions,
            text,
            kind: word.kind,
            turn: word.turn,
            picture,
            map_positions,
        });
    }
    words
}

/// Patches that follow each other without a separator, such as the frames of a video, as one word for each picture.
fn by_picture(meta: &TraceMeta, word: crate::trace::Word) -> Vec<crate::trace::Word> {
    let tokens = word.tokens.clone();
    if word.kind != TokenKind::Image {
        return vec![word];
    }
    let begins = |span: &&ImageSpan| {
        let first = span.first as usize;
        tokens.start < first
            && first < tokens.end
            && picture_at(meta, first - 1).is_some_and(|picture| picture != span.picture)
    };
    let mut cuts: Vec<usize> =
        meta.spans.iter().filter(begins).map(|span| span.first as usize).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.insert(0, tokens.start);
    cuts.push(tokens.end);
    let part = |ends: &[usize]| {
        let [start, end] = [ends[0], ends[1]];
        let map_tokens =
            word.map_tokens.iter().copied().filter(|token| (start..end).contains(token)).collect();
        crate::trace::Word { tokens: start..end, map_tokens, ..word.clone() }
    };
    cuts.windows(2).map(part).collect()
}

/// The picture that a position shows a patch of.
fn picture_at(meta: &TraceMeta, position: usize) -> Option<u32> {
    meta.spans.iter().find(|span| span.extent().contains(&position)).map(|span| span.picture)
}

/// Separators as one short text.
fn separators(tokens: &[TokenInfo]) -> String {
    /// Longer texts say nothing more.
    const MOST_CHARACTERS: usize = 20;
    let piece = |token: &TokenInfo| token.text.replace(['▁', 'Ġ'], " ");
    let text: String = tokens.iter().map(piece).collect();
    let text = text.trim();
    if text.chars().count() <= MOST_CHARACTERS {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(MOST_CHARACTERS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, kind: TokenKind, word: Option<u32>) -> TokenInfo {
        TokenInfo { id: 0, text: text.into(), kind, turn: 0, word }
    }

    #[test]
    fn pieces_become_words_and_patches_one_picture() {
        let tokens = [
            token("<s>", TokenKind::Special, None),
            token("▁A", TokenKind::System, Some(0)),
            token("▁chat", TokenKind::System, Some(1)),
            token("<image>", TokenKind::Image, None),
            token("<image>", TokenKind::Image, None),
            token("▁what", TokenKind::Question, Some(2)),
            token("▁pen", TokenKind::Answer, Some(3)),
            token("gu", TokenKind::Answer, Some(3)),
            token("in", TokenKind::Answer, Some(3)),
            token("▁", TokenKind::Answer, None),
            token("</s>", TokenKind::Special, None),
        ];
        let words = words(&TraceMeta { tokens: tokens.into(), ..TraceMeta::default() });
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["<s>", "system prompt", "picture", "what", "penguin", "space", "</s>"]);
        assert_eq!(words[4].positions, 6..9);
        assert_eq!(words.last().map(|word| word.positions.end), Some(11));
    }

    #[test]
    fn a_picture_with_row_ends_is_one_chip_and_its_neighbour_another() {
        let image = || token("<image>", TokenKind::Image, None);
        let end = |text: &str| token(text, TokenKind::Separator, None);
        let tokens = [
            [image(), image(), end("<row>"), image(), image(), end("<row>")].as_slice(),
            &[
                end("▁2"),
                end(".5"),
                end("▁seconds"),
                image(),
                token("▁what", TokenKind::Question, Some(0)),
            ],
        ]
        .concat();
        let span = |picture, first, rows, columns| ImageSpan {
            picture,
            first,
            rows,
            columns,
            row_stride: 3,
            ..ImageSpan::default()
        };
        let spans = vec![span(0, 0, 2, 2), span(1, 9, 1, 1)];
        let words = words(&TraceMeta { tokens, spans, ..TraceMeta::default() });
        let told: Vec<_> =
            words.iter().map(|word| (word.text.as_str(), word.positions.clone())).collect();
        let expected = [
            ("picture 0", 0..5),
            ("<row> 2.5 seconds", 5..9),
            ("picture 1", 9..10),
            ("what", 10..11),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn frames_without_separators_are_a_chip_each() {
        let tokens = vec![token("<video>", TokenKind::Image, None); 6];
        let span = |picture| ImageSpan {
            picture,
            first: picture * 2,
            rows: 1,
            columns: 2,
            ..ImageSpan::default()
        };
        let spans = vec![span(0), span(1), span(2)];
        let words = words(&TraceMeta { tokens, spans, ..TraceMeta::default() });
        let told: Vec<_> = words
            .iter()
            .map(|word| (word.picture, word.positions.clone(), word.map_positions.len()))
            .collect();
        assert_eq!(told, [(Some(0), 0..2, 2), (Some(1), 2..4, 2), (Some(2), 4..6, 2)]);
    }
}
