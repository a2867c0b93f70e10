//! The answer token that a new view shows first.

use crate::trace::{AnswerIndex, TokenKind, Trace, Word};

/// Words that are not names of objects: articles, forms of "be", positions in the picture.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "are", "at", "behind", "below", "above", "beside", "bottom", "by", "can",
    "centre", "center", "color", "colour", "contains", "describe", "down", "for", "from", "has",
    "have", "her", "his", "image", "in", "is", "it", "its", "left", "lower", "middle", "near",
    "next", "no", "not", "of", "on", "one", "or", "photo", "picture", "right", "see", "shows",
    "side", "some", "that", "the", "their", "there", "these", "they", "this", "those", "to", "top",
    "under", "up", "upper", "was", "were", "what", "which", "with", "yes", "you",
];

/// The answer token to show first: the first token of the word that names an object. This is the last content word that
/// is not in the question, otherwise the last content word, otherwise the last word. The first token of a word
/// determines the word; later tokens only complete its spelling.
pub fn salient_token(trace: &Trace) -> u32 {
    let meta = trace.meta();
    let tokens = meta.answer_tokens();
    let kept = |index: &u32| trace.row_of_answer(AnswerIndex(*index)).is_some();
    let letters = |index: &u32| tokens[*index as usize].text.chars().filter(|c| c.is_alphabetic());
    let first_and_letters = |word: Word| {
        let kept: Vec<u32> = word.tokens.map(|token| token as u32).filter(kept).collect();
        let text: String = kept.iter().flat_map(letters).collect();
        Some((*kept.first()?, text.to_lowercase()))
    };
    let words = meta.answer_words().into_iter().filter(|word| word.kind == TokenKind::Answer);
    let words: Vec<(u32, String)> = words.filter_map(first_and_letters).collect();
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
