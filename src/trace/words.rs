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
    /// The vocabulary's pieces, joined, with bytes as the characters that they spell: marks such as `▁` still show the
    /// start of a word. Bytes that are no character stay as `<0xE7>`.
    pub text: String,
    /// The part of the prompt or answer that the word belongs to.
    pub kind: TokenKind,
    /// Index of the question-answer turn, from 0.
    pub turn: u32,
    /// Whether the tokens have a word number; separators and control tokens have none.
    pub is_numbered: bool,
    /// The tokens whose maps stand for the word: every token, but of several that spell one character only the last.
    pub map_tokens: Vec<usize>,
}

impl Word {
    /// The text without word marks.
    pub fn plain(&self) -> String {
        self.text.replace(WORD_MARKS, "")
    }
}

/// Groups tokens into words. Adjacent tokens of one kind and turn with the same word number are one word; adjacent
/// patches are one word, and so are adjacent tokens of the system prompt. Any other token is a word of its own. Tokens
/// that spell one character with bytes are never separated; in a script without spaces and among emoji, each group of
/// whole characters is a word.
pub fn words(tokens: &[TokenInfo]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for unit in characters(tokens) {
        let (Some(first), text) = (tokens.get(unit.start), spelled(&tokens[unit.clone()])) else {
            continue;
        };
        let last_token = unit.start.checked_sub(1).and_then(|last| tokens.get(last));
        let before = words.last_mut().filter(|word| {
            last_token.is_some_and(|last| joins(last, first)) && !is_word_end(&word.text, &text)
        });
        let maps = match first.kind {
            TokenKind::Question | TokenKind::Answer => unit.end - 1..unit.end,
            _ => unit.clone(),
        };
        match before {
            Some(word) => {
                word.tokens.end = unit.end;
                word.text.push_str(&text);
                word.map_tokens.extend(maps);
            }
            None => words.push(Word {
                tokens: unit,
                text,
                kind: first.kind,
                turn: first.turn,
                is_numbered: first.word.is_some(),
                map_tokens: maps.collect(),
            }),
        }
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

/// Runs of tokens that spell whole characters: one token each, but all tokens whose bytes form one character together.
pub fn characters(tokens: &[TokenInfo]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut next = 0;
    while let Some(first) = tokens.get(next) {
        let mut end = next + 1;
        let mut bytes = Vec::new();
        push_bytes(&first.text, &mut bytes);
        while let Some(token) = tokens
            .get(end)
            .filter(|token| is_cut(&bytes) && token.kind == first.kind && token.turn == first.turn)
        {
            push_bytes(&token.text, &mut bytes);
            end += 1;
        }
        // Bytes that never become a character are left as they are.
        if std::str::from_utf8(&bytes).is_err() {
            end = next + 1;
        }
        runs.push(next..end);
        next = end;
    }
    runs
}

/// Whether bytes end within a character that more bytes can complete.
fn is_cut(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// The bytes that a piece of a vocabulary stands for: `<0xE7>` is one byte.
fn push_bytes(piece: &str, bytes: &mut Vec<u8>) {
    let mut rest = piece;
    while let Some(at) = rest.find("<0x") {
        let (before, mark) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        match byte_mark(mark, before.is_empty() && rest.len() == piece.len()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &mark[MARK_LEN..];
            }
            None => {
                bytes.extend_from_slice(&mark.as_bytes()[..1]);
                rest = &mark[1..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
}

/// Length of the mark of a byte, `<0xE7>`.
const MARK_LEN: usize = 6;

/// The byte of a mark at the start of `text`. A byte below 0x80 is a character by itself: only a piece that is nothing
/// but its mark stands for it, so that such text in a vocabulary stays text.
fn byte_mark(text: &str, is_first: bool) -> Option<u8> {
    let hex = text.get(3..5).filter(|_| text.get(5..MARK_LEN) == Some(">"))?;
    let byte = u8::from_str_radix(hex, 16).ok()?;
    (byte >= 0x80 || (is_first && text.len() == MARK_LEN)).then_some(byte)
}

/// The text that tokens spell together, with the vocabulary's marks of word starts. Bytes that are no character stay as
/// `<0xE7>`.
pub fn spelled(tokens: &[TokenInfo]) -> String {
    let mut bytes = Vec::new();
    for token in tokens {
        push_bytes(&token.text, &mut bytes);
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("<0x{byte:02X}>")));
    }
    text
}

/// Whether a word ends between two texts because one of them is of a script that puts no spaces between words, or an
/// emoji.
fn is_word_end(before: &str, after: &str) -> bool {
    let (Some(last), Some(next)) = (before.chars().last(), after.chars().next()) else {
        return false;
    };
    // Marks, joiners and skin colours belong to the character before them, as does punctuation.
    let goes_on = |c: char| matches!(c, '\u{200d}' | '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    let stands_alone = |c: char| {
        matches!(
            c,
            '\u{e00}'..='\u{eff}'
                | '\u{1000}'..='\u{109f}'
                | '\u{1780}'..='\u{17ff}'
                | '\u{2e80}'..='\u{2fff}'
                | '\u{3040}'..='\u{31ff}'
                | '\u{3400}'..='\u{9fff}'
                | '\u{f900}'..='\u{faff}'
                | '\u{1f000}'..='\u{1faff}'
                | '\u{20000}'..='\u{3ffff}'
        )
    };
    let is_letter = |c: char| c.is_alphanumeric() || stands_alone(c);
    let joined = last == '\u{200d}' || goes_on(next) || WORD_MARKS.contains(&last);
    !joined && is_letter(next) && (stands_alone(next) || stands_alone(last))
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

    /// The columns of a query × key matrix over the first `positions` keys: one for each key, or with `every_patch` off
    /// one for all keys of a picture with the separators between them.
    pub fn key_columns(&self, positions: usize, every_patch: bool) -> Vec<Range<usize>> {
        let picture_of = |key: usize| {
            let span = self.spans.iter().find(|span| span.extent().contains(&key));
            span.filter(|_| !every_patch).map(|span| span.picture)
        };
        let mut columns: Vec<Range<usize>> = Vec::new();
        let mut open = None;
        for key in 0..positions {
            let picture = picture_of(key);
            match columns.last_mut().filter(|_| picture.is_some() && picture == open) {
                Some(column) => column.end = key + 1,
                None => columns.push(key..key + 1),
            }
            open = picture;
        }
        columns
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

    fn bytes(text: &str, word: u32) -> Vec<TokenInfo> {
        let mark = |byte: u8| token(&format!("<0x{byte:02X}>"), TokenKind::Answer, 0, Some(word));
        text.bytes().map(mark).collect()
    }

    fn told(tokens: &[TokenInfo]) -> Vec<(String, Range<usize>, Vec<usize>)> {
        let told = |word: Word| (word.plain(), word.tokens, word.map_tokens);
        words(tokens).into_iter().map(told).collect()
    }

    #[test]
    fn bytes_of_a_character_are_one_word_whose_map_is_that_of_the_last() {
        let mut tokens = bytes("狐は", 0);
        tokens.extend(bytes("🦊", 1));
        tokens.push(token("▁pi", TokenKind::Answer, 0, Some(2)));
        tokens.extend(bytes("ñ", 2));
        tokens.push(token("ata", TokenKind::Answer, 0, Some(2)));
        let expected = [
            ("狐", 0..3, vec![2]),
            ("は", 3..6, vec![5]),
            ("🦊", 6..10, vec![9]),
            ("piñata", 10..14, vec![10, 12, 13]),
        ];
        assert_eq!(told(&tokens), expected.map(|(text, at, maps)| (text.to_owned(), at, maps)));
    }

    #[test]
    fn pieces_of_byte_level_vocabularies_join_their_bytes_to_text() {
        let answer = |text: &str| token(text, TokenKind::Answer, 0, Some(0));
        let tokens = [answer("▁the<0xE7>"), answer("<0x8B><0x90>"), answer("!")];
        assert_eq!(told(&tokens), [("the狐!".to_owned(), 0..3, vec![1, 2])]);
    }

    #[test]
    fn bytes_that_are_no_character_stay_bytes() {
        let answer = |text: &str| token(text, TokenKind::Answer, 0, Some(0));
        let cut = [answer("<0xE7>"), answer("<0x8B>")];
        assert_eq!(told(&cut)[0].0, "<0xE7><0x8B>");
        let broken = [answer("<0xE7>"), answer("▁fox"), answer("<0x41>"), answer("a<0x41>")];
        assert_eq!(told(&broken)[0].0, "<0xE7>foxAa<0x41>");
        assert_eq!(spelled(&[answer("<0xZZ> <0x"), answer("€<0x9")]), "<0xZZ> <0x€<0x9");
    }

    #[test]
    fn emoji_keep_their_parts_and_punctuation_its_word() {
        let answer = |text: &str| token(text, TokenKind::Answer, 0, Some(0));
        let tokens = [
            answer("👨"),
            answer("\u{200d}"),
            answer("👩"),
            answer("🦊"),
            answer("狐"),
            answer("。"),
            answer("は"),
        ];
        let texts: Vec<String> = told(&tokens).into_iter().map(|(text, ..)| text).collect();
        assert_eq!(texts, ["👨\u{200d}👩", "🦊", "狐。", "は"]);
    }
}
