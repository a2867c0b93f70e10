//! Which word of an answer to look at first.

use crate::trace::{AnswerIndex, TokenKind, Trace};

/// Words that no object is called: articles, verbs of being, places in the picture.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "are", "at", "behind", "below", "above", "beside", "bottom", "by", "can",
    "centre", "center", "color", "colour", "contains", "describe", "down", "for", "from", "has",
    "have", "her", "his", "image", "in", "is", "it", "its", "left", "lower", "middle", "near",
    "next", "no", "not", "of", "on", "one", "or", "photo", "picture", "right", "see", "shows",
    "side", "some", "that", "the", "their", "there", "these", "they", "this", "those", "to", "top",
    "under", "up", "upper", "was", "were", "what", "which", "with", "yes", "you",
];

/// The answer token to look at first: the first piece of the word that names something. That is the
/// last content word that the question has not said already, else the last content word, else the
/// last word. The first piece decides which word it will be; later ones only spell it.
pub fn salient_token(trace: &Trace) -> u32 {
    let meta = trace.meta();
    let mut words: Vec<(u32, String)> = Vec::new();
    let mut last_word = None;
    for (index, token) in (0_u32..).zip(meta.answer_tokens()) {
        let kept = trace.row_of_answer(AnswerIndex(index)).is_some();
        if token.kind != TokenKind::Answer || !kept {
            continue;
        }
        let letters: String = token.text.chars().filter(|c| c.is_alphabetic()).collect();
        let letters = letters.to_lowercase();
        match words.last_mut() {
            Some((_, text)) if token.word.is_some() && token.word == last_word => {
                text.push_str(&letters);
            }
            _ => words.push((index, letters)),
        }
        last_word = token.word;
    }
    let asked = meta.question.to_lowercase();
    let asked: Vec<&str> = asked.split(|c: char| !c.is_alphabetic()).collect();
    let is_content = |word: &&(u32, String)| {
        word.1.chars().count() > 1 && !FUNCTION_WORDS.contains(&word.1.as_str())
    };
    let is_new = |word: &&(u32, String)| !asked.contains(&word.1.as_str());
    let content = || words.iter().rev().filter(is_content);
    content()
        .find(is_new)
        .or_else(|| content().next())
        .or_else(|| words.iter().rev().find(|word| !word.1.is_empty()))
        .map_or(0, |word| word.0)
}
