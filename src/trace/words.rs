//! Grouping of tokens into words, the only one: all code that shows, counts or picks words uses it.

use super::{AnswerIndex, TokenInfo, TokenKind, TraceMeta};
use std::ops::Range;

/// Marks of a word start in the pieces of a vocabulary: of SentencePiece and of byte-level BPE.
pub const WORD_MARKS: [char; 2] = ['▁', 'Ġ'];

/// A run of tokens that spell one word, or that belong to one picture or system prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The tokens, as indices into the grouped list.
    pub tokens: Range<usize>,
    /// The vocabulary's pieces, joined: marks such as `▁` still show the start of a word.
    pub text: String,
    /// The part of the prompt or answer that the word belongs to.
    pub kind: TokenKind,
    /// Index of the question-answer turn, from 0.
    pub turn: u32,
    /// Whether the tokens have a word number; separators and control tokens have none.
    pub is_numbered: bool,
}

impl Word {
    /// The text without word marks.
    pub fn plain(&self) -> String {
        self.text.replace(WORD_MARKS, "")
    }
}

/// Groups tokens into words. Adjacent tokens of one kind and turn with the same word number are one word; adjacent
/// patches are one word, and so are adjacent tokens of the system prompt. Any other token is a word of its own.
pub fn words(tokens: &[TokenInfo]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut last: Option<&TokenInfo> = None;
    for (index, token) in tokens.iter().enumerate() {
        match words.last_mut().filter(|_| last.is_some_and(|last| joins(last, token))) {
            Some(word) => {
                word.tokens.end = index + 1;
                word.text.push_str(&token.text);
            }
            None => words.push(Word {
                tokens: index..index + 1,
                text: token.text.clone(),
                kind: token.kind,
                turn: token.turn,
                is_numbered: token.word.is_some(),
            }),
        }
        last = Some(token);
    }
    words
}

fn joins(last: &TokenInfo, token: &TokenInfo) -> bool {
    last.kind == token.kind
        && last.turn == token.turn
        && match token.kind {
            TokenKind::Image | TokenKind::System => true,
            TokenKind::Special | TokenKind::Separator => false,
            TokenKind::Question | TokenKind::Answer => {
                token.word.is_some() && last.word == token.word
            }
        }
}

impl TokenInfo {
    /// Whether the token starts a word after a space.
    pub fn begins_word(&self) -> bool {
        self.text.starts_with(WORD_MARKS) || self.text.starts_with(' ')
    }
}

impl TraceMeta {
    /// The words of the answer; `tokens` are answer tokens.
    pub fn answer_words(&self) -> Vec<Word> {
        words(self.answer_tokens())
    }

    /// The answer tokens with text, ascending; if none has text, all answer tokens.
    pub fn spoken_answers(&self) -> Vec<AnswerIndex> {
        let tokens = self.answer_tokens();
        let all = || (0_u32..).map(AnswerIndex).zip(tokens);
        let spoken: Vec<AnswerIndex> = all()
            .filter(|(_, token)| !matches!(token.kind, TokenKind::Special | TokenKind::Separator))
            .map(|(index, _)| index)
            .collect();
        if spoken.is_empty() { all().map(|(index, _)| index).collect() } else { spoken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, kind: TokenKind, turn: u32, word: Option<u32>) -> TokenInfo {
        TokenInfo { id: 0, text: text.into(), kind, turn, word }
    }

    #[test]
    fn tokens_of_one_word_patches_and_the_system_prompt_are_grouped() {
        use TokenKind::{Answer, Image, Question, Special, System};
        let tokens = [
            token("<s>", Special, 0, None),
            token("▁You", System, 0, None),
            token("▁see", System, 0, Some(1)),
            token("<image>", Image, 0, None),
            token("<image>", Image, 0, None),
            token("▁bal", Question, 0, Some(2)),
            token("loon", Question, 0, Some(2)),
            token("?", Question, 0, None),
            token("?", Question, 0, None),
            token("▁red", Answer, 0, Some(2)),
            token("▁red", Answer, 1, Some(2)),
        ];
        let found: Vec<(String, Range<usize>)> =
            words(&tokens).into_iter().map(|word| (word.plain(), word.tokens)).collect();
        let expected = [
            ("<s>", 0..1),
            ("Yousee", 1..3),
            ("<image><image>", 3..5),
            ("balloon", 5..7),
            ("?", 7..8),
            ("?", 8..9),
            ("red", 9..10),
            ("red", 10..11),
        ];
        assert_eq!(found, expected.map(|(text, tokens)| (text.to_owned(), tokens)));
    }
}
