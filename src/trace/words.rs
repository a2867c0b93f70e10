//! Tokens → words: the only grouping. Everything that shows, counts or picks words starts here.

use super::{AnswerIndex, TokenInfo, TokenKind, TraceMeta};
use std::ops::Range;

/// A run of tokens that spell one word, or that stand for one picture or system prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Which tokens, as indices into the list that was grouped.
    pub tokens: Range<usize>,
    /// The vocabulary's pieces, joined: `▁` and the like still mark where a word starts.
    pub text: String,
    /// What the word belongs to.
    pub kind: TokenKind,
    /// Which question-answer turn, from 0.
    pub turn: u32,
    /// Whether the tokens carry the number of a word: not so for separators and control tokens.
    pub is_numbered: bool,
}

impl Word {
    /// The text without word marks.
    pub fn plain(&self) -> String {
        self.text.replace(['▁', 'Ġ'], "")
    }
}

/// Groups tokens into words. Neighbours of one kind and turn that share a word's number are one word;
/// neighbouring patches are one word, and so are neighbours of the system prompt. Any other token
/// stands alone.
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

impl TraceMeta {
    /// The words of the answer; `tokens` are answer tokens.
    pub fn answer_words(&self) -> Vec<Word> {
        words(self.answer_tokens())
    }

    /// The answer tokens that carry text, ascending; all of them where none does.
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
