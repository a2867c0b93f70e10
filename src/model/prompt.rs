//! Turns a conversation into ids and labels every position with its part of the prompt, its turn and its word.
//!
//! The whole text is encoded at once, because a tokenizer's choice depends on the text before and after; the labels are
//! then derived from the range of each message in the rendered text.

use super::bundle::Bundle;
use super::error::{ModelError, Result};
use super::manifest::{MessageContent, Prompt};
use super::request::Turn;
use super::template;
use super::tokenizer::{Encoded, Tokenizer};
use crate::trace::{TokenInfo, TokenKind, WORD_MARKS};
use serde_json::{Value, json};
use std::ops::Range;

/// Limit on the characters of a question, far above what a model takes: it bounds the work of template and tokenizer.
pub const MAX_QUESTION_CHARACTERS: usize = 100_000;
/// Private-use characters that mark where a message begins and ends.
const OPEN: char = '\u{F8F0}';
const CLOSE: char = '\u{F8F1}';

/// A prompt, ready for the model.
#[derive(Clone, Debug)]
pub struct BuiltPrompt {
    /// The text that was encoded.
    pub text: String,
    /// Ids of all positions; the image token is repeated for each feature of the picture.
    pub ids: Vec<u32>,
    /// As `ids`, with labels.
    pub tokens: Vec<TokenInfo>,
    /// Position of the first patch of each picture.
    pub first_patches: Vec<u32>,
    /// The question.
    pub question: String,
    /// Labels the tokens of the answer.
    pub labeller: Labeller,
}

/// Builds the prompt of `question` after `turns`, with `pictures` pictures in the first message.
///
/// # Errors
/// An empty question, one of more than [`MAX_QUESTION_CHARACTERS`], or a template that fails or has no place for the
/// picture.
pub fn build(
    bundle: &Bundle,
    turns: &[Turn],
    question: &str,
    pictures: usize,
) -> Result<BuiltPrompt> {
    if question.trim().is_empty() {
        return Err(ModelError::EmptyQuestion);
    }
    let characters = question.chars().count();
    if characters > MAX_QUESTION_CHARACTERS {
        return Err(ModelError::QuestionTooLong { characters, most: MAX_QUESTION_CHARACTERS });
    }
    let (manifest, tokenizer) = (bundle.manifest(), bundle.tokenizer());
    let mut messages = Vec::new();
    for turn in turns {
        messages.push((Author::User, tokenizer.neutralise(&turn.question)));
        messages.push((Author::Assistant, tokenizer.neutralise(&turn.answer)));
    }
    messages.push((Author::User, tokenizer.neutralise(question)));
    let rendered = match &manifest.prompt.chat_template {
        Some(template) => {
            let jinja = plain_jinja(template);
            let failed =
                |reason: String| ModelError::Template { path: bundle.manifest_path(), reason };
            let context = |open: &str, close: &str| {
                variables(&manifest.prompt, &messages, pictures, open, close)
            };
            let contexts = vec![context("", ""), context(&OPEN.to_string(), &CLOSE.to_string())];
            let rendered = template::render(&template::Job { template: jinja, contexts });
            let rendered: [String; 2] = rendered
                .and_then(|texts| texts.try_into().map_err(|_| "a text is missing".to_owned()))
                .map_err(failed)?;
            let [text, marked] = rendered;
            locate(text, &marked, &messages)
        }
        None => fallback(&manifest.prompt, &messages, pictures),
    };
    let encoded = tokenizer.encode(&rendered.text, manifest.prompt.add_special_tokens)?;
    let found = encoded.iter().filter(|token| tokenizer.is_image(token.id)).count();
    if found != pictures {
        return Err(ModelError::ImageSlots {
            path: bundle.manifest_path(),
            image_token: manifest.prompt.image_token.clone(),
            found,
            expected: pictures,
        });
    }
    let features = manifest.vision.features;
    let class_tokens = features - manifest.vision.patches;
    let mut built = expand(tokenizer, &rendered, &encoded, features, class_tokens);
    built.question = question.to_owned();
    Ok(built)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    User,
    Assistant,
}

/// A rendered text with the range of each message.
struct Rendered {
    text: String,
    messages: Vec<(Author, Range<usize>)>,
}

/// Finds the messages in `text`. `marked` is the same rendering with marks around each message; if a template changes
/// its input (trims it, for example), the marks change the rendering, and the messages are searched for one after the
/// other.
fn locate(text: String, marked: &str, messages: &[(Author, String)]) -> Rendered {
    let mut plain = String::with_capacity(text.len());
    let (mut ranges, mut open) = (Vec::new(), 0);
    for character in marked.chars() {
        match character {
            OPEN => open = plain.len(),
            CLOSE => ranges.push(open..plain.len()),
            other => plain.push(other),
        }
    }
    if plain != text || ranges.len() != messages.len() {
        let mut cursor = 0;
        ranges = messages
            .iter()
            .map(|(_, content)| {
                let content = content.trim();
                let found = text.get(cursor..).and_then(|rest| rest.find(content));
                let start = found.map_or(cursor, |found| cursor + found);
                cursor = found.map_or(cursor, |_| start + content.len());
                start..cursor
            })
            .collect();
    }
    let authors = messages.iter().map(|(author, _)| *author);
    Rendered { text, messages: authors.zip(ranges).collect() }
}

/// LLaVA-1.5's prompt, which LVLM-Interpret uses for models without a template.
fn fallback(prompt: &Prompt, messages: &[(Author, String)], pictures: usize) -> Rendered {
    let mut text = prompt.fallback_system.clone();
    let mut ranges = Vec::new();
    for (index, (author, content)) in messages.iter().enumerate() {
        match author {
            Author::User => {
                text.push_str("\nUSER: ");
                if index == 0 {
                    text.push_str(&format!("{}\n", prompt.image_token).repeat(pictures));
                }
            }
            Author::Assistant => text.push_str("\nASSISTANT: "),
        }
        let start = text.len();
        text.push_str(content);
        ranges.push((*author, start..text.len()));
        if *author == Author::Assistant {
            text.push_str(prompt.eos_token.as_deref().unwrap_or_default());
        }
    }
    text.push_str("\nASSISTANT:");
    Rendered { text, messages: ranges }
}

/// The variables of the chat template; `open` and `close` are inserted around each message's text.
fn variables(
    prompt: &Prompt,
    messages: &[(Author, String)],
    pictures: usize,
    open: &str,
    close: &str,
) -> Value {
    let messages: Vec<Value> = messages
        .iter()
        .enumerate()
        .map(|(index, (author, text))| {
            let text = format!("{open}{text}{close}");
            let pictures = if index == 0 { pictures } else { 0 };
            let content = match prompt.message_content {
                MessageContent::String => {
                    let images = format!("{}\n", prompt.image_token).repeat(pictures);
                    Value::from(format!("{images}{text}"))
                }
                MessageContent::Parts => {
                    let images = (0..pictures).map(|_| json!({ "type": "image" }));
                    images.chain([json!({ "type": "text", "text": text })]).collect()
                }
            };
            let role = match author {
                Author::User => "user",
                Author::Assistant => "assistant",
            };
            json!({ "role": role, "content": content })
        })
        .collect();
    let text_of = |token: &Option<String>| token.clone().unwrap_or_default();
    json!({
        "messages": messages,
        "add_generation_prompt": true,
        "bos_token": text_of(&prompt.bos_token),
        "eos_token": text_of(&prompt.eos_token),
        "pad_token": text_of(&prompt.pad_token),
        "unk_token": text_of(&prompt.unk_token),
    })
}

/// transformers marks the assistant's words with `{% generation %}`, a tag that other Jinja engines do not support; a
/// condition that is always true renders the same text.
fn plain_jinja(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let inside = &rest[start + 2..start + length];
        let words = inside.trim_matches(['-', '+']).trim();
        let replaced = match words {
            "generation" => inside.replace(words, " if true "),
            "endgeneration" => inside.replace(words, " endif "),
            _ => inside.to_owned(),
        };
        out.push_str(&rest[..start]);
        out.push_str("{%");
        out.push_str(&replaced);
        out.push_str("%}");
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

/// Repeats the image token for each feature and labels every position.
fn expand(
    tokenizer: &Tokenizer,
    rendered: &Rendered,
    encoded: &[Encoded],
    features: usize,
    class_tokens: usize,
) -> BuiltPrompt {
    let first_message = rendered.messages.first().map_or(0, |(_, range)| range.start);
    let has_picture = encoded.iter().any(|token| tokenizer.is_image(token.id));
    let mut seen_picture = false;
    let mut labeller = Labeller::default();
    let mut tokens = Vec::new();
    let mut first_patches = Vec::new();
    for token in encoded {
        // A token that the tokenizer itself adds (BOS) has no text and counts as part of the text at its place.
        let at = if token.end > token.start { token.start } else { 0 };
        let answers = rendered.messages.iter().filter(|(author, _)| *author == Author::Assistant);
        let turn =
            answers.clone().filter(|(_, range)| range.end <= at && !range.is_empty()).count();
        // The space before a message belongs to its first token.
        let in_answer = answers.clone().any(|(_, range)| at < range.end && token.end > range.start);
        let before = if has_picture { !seen_picture } else { token.end <= first_message };
        let kind = if tokenizer.is_image(token.id) {
            TokenKind::Image
        } else if tokenizer.is_special(token.id) {
            TokenKind::Special
        } else if in_answer {
            TokenKind::Answer
        } else if before {
            TokenKind::System
        } else {
            TokenKind::Question
        };
        let repeat = if kind == TokenKind::Image {
            seen_picture = true;
            first_patches.push((tokens.len() + class_tokens) as u32);
            features
        } else {
            1
        };
        let label = labeller.label(tokenizer, token.id, kind, turn as u32);
        tokens.extend(std::iter::repeat_n(label, repeat));
    }
    BuiltPrompt {
        text: rendered.text.clone(),
        ids: tokens.iter().map(|token| token.id).collect(),
        tokens,
        first_patches,
        question: String::new(),
        labeller,
    }
}

/// Numbers words: a token starts one if its piece begins with `▁`; separators, patches and control
/// tokens belong to none and end the word before them, as does a change of kind or turn.
#[derive(Clone, Debug, Default)]
pub struct Labeller {
    next_word: u32,
    open: Option<(u32, TokenKind, u32)>,
}

impl Labeller {
    /// A labeller that continues after tokens that were labelled before.
    pub fn after(tokens: &[TokenInfo]) -> Self {
        let words = tokens.iter().filter_map(|token| token.word);
        let last = tokens.last();
        Self {
            next_word: words.max().map_or(0, |word| word + 1),
            open: last.and_then(|token| Some((token.word?, token.kind, token.turn))),
        }
    }

    /// Labels the next token.
    pub fn label(
        &mut self,
        tokenizer: &Tokenizer,
        id: u32,
        kind: TokenKind,
        turn: u32,
    ) -> TokenInfo {
        let text = tokenizer.piece(id);
        let wordless = matches!(kind, TokenKind::Image | TokenKind::Special)
            || tokenizer.is_special(id)
            || tokenizer.is_separator(id);
        let word = if wordless {
            self.open = None;
            None
        } else {
            let goes_on = self
                .open
                .filter(|&(_, open_kind, open_turn)| open_kind == kind && open_turn == turn)
                .filter(|_| !text.starts_with(WORD_MARKS));
            let word = goes_on.map_or(self.next_word, |(word, ..)| word);
            self.next_word = self.next_word.max(word + 1);
            self.open = Some((word, kind, turn));
            Some(word)
        };
        TokenInfo { id, text, kind, turn, word }
    }

    /// Labels an answer token of the current turn; the stop id is a control token.
    pub fn label_answer(&mut self, tokenizer: &Tokenizer, id: u32, turn: u32) -> TokenInfo {
        let kind = if tokenizer.is_special(id) { TokenKind::Special } else { TokenKind::Answer };
        self.label(tokenizer, id, kind, turn)
    }
}

/// The ids of an answer as the model would have generated them after the prompt `text`.
///
/// # Errors
/// If the tokenizer fails.
pub fn answer_ids(bundle: &Bundle, text: &str, answer: &str) -> Result<Vec<u32>> {
    let (manifest, tokenizer) = (bundle.manifest(), bundle.tokenizer());
    let add = manifest.prompt.add_special_tokens;
    let ids = |text: &str| -> Result<Vec<u32>> {
        Ok(tokenizer.encode(text, add)?.iter().map(|token| token.id).collect())
    };
    let prompt = ids(text)?;
    let answer = tokenizer.neutralise(answer);
    // The template's text ends in "ASSISTANT:", followed by a space; after a line break or a space, none follows.
    let space = if text.ends_with(char::is_whitespace) { "" } else { " " };
    for space in [space, ""] {
        let whole = ids(&format!("{text}{space}{answer}"))?;
        if let Some(rest) = whole.strip_prefix(prompt.as_slice()) {
            return Ok(rest.to_vec());
        }
    }
    // If the end of the prompt and the start of the answer merge into one token, encode the answer by itself.
    Ok(tokenizer.encode(&answer, false)?.iter().map(|token| token.id).collect())
}
