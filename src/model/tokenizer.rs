//! The tokenizer of a bundle: text ↔ ids, and the text of a growing answer.
//!
//! User input can never become a control token: if it contains the text of one (a literal `<image>`, `</s>`, …), an
//! invisible character prevents the tokenizer from recognising it, and the tokens of that character are then dropped.

use super::error::{ModelError, Result};
use super::manifest::Manifest;
use super::tokenizer_limits;
use crate::job;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::DecoderWrapper;

/// Word joiner: it is in no vocabulary, and it is invisible if it does get through.
const BREAK: char = '\u{2060}';
/// The tokenizer's output for bytes that are not yet a complete character.
const INCOMPLETE: char = '\u{FFFD}';

/// One token of an encoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Vocabulary id.
    pub id: u32,
    /// First byte of its range in the text; the range is empty if the tokenizer added the token.
    pub start: usize,
    /// End of this range.
    pub end: usize,
}

/// A tokenizer that fits its model.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: Arc<tokenizers::Tokenizer>,
    /// Text of the control tokens by id, including the image token.
    special: Arc<BTreeMap<u32, String>>,
    image_token_id: u32,
    byte_level: bool,
}

impl Tokenizer {
    /// Parses tokenizer.json and checks it against the manifest; `path` names it in errors.
    ///
    /// # Errors
    /// If the file is not a tokenizer, or belongs to another model.
    pub fn from_bytes(path: &Path, bytes: &[u8], manifest: &Manifest) -> Result<Self> {
        let error = |reason: String| ModelError::Tokenizer { path: path.to_owned(), reason };
        let json = std::str::from_utf8(bytes)
            .map_err(|cause| error(format!("it is not a tokenizer.json ({cause})")))?;
        tokenizer_limits::check(json).map_err(&error)?;
        // Parsed through `FromStr`, because that is compiled in the library, not here.
        let parse = || json.parse().map_err(|cause| format!("{cause}"));
        let mut inner: tokenizers::Tokenizer = contained(parse)
            .map_err(|cause| error(format!("it is not a tokenizer.json ({cause})")))?;
        // A prompt is neither padded nor truncated, whatever the file's settings are.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|cause| error(cause.to_string()))?;
        let (text, image_token) = (&manifest.text, &manifest.prompt.image_token);
        let found = inner.token_to_id(image_token);
        if found != Some(text.image_token_id) {
            let found = found.map_or_else(|| "unknown to it".to_owned(), |id| format!("id {id}"));
            return Err(error(format!(
                "the image token {image_token:?} is {found}, but the model expects id {}: the tokenizer belongs to another model",
                text.image_token_id
            )));
        }
        let vocabulary = inner.get_vocab(true);
        let largest = vocabulary.iter().filter(|&(_, &id)| id != text.image_token_id);
        if let Some((token, id)) = largest.max_by_key(|&(_, &id)| id)
            && *id as usize >= text.vocab
        {
            return Err(error(format!(
                "its token {token:?} has id {id}, but the model's vocabulary ends at {}: the tokenizer belongs to another model",
                text.vocab - 1
            )));
        }
        for &id in text.eos_ids.iter().chain(&text.bos_id) {
            if inner.id_to_token(id).is_none() {
                return Err(error(format!(
                    "it has no token {id}, which the model uses to begin or end a text: the tokenizer belongs to another model"
                )));
            }
        }
        let mut special: BTreeMap<u32, String> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (id, token.content))
            .collect();
        for &id in &text.eos_ids {
            special.extend(inner.id_to_token(id).map(|token| (id, token)));
        }
        special.insert(text.image_token_id, image_token.clone());
        if let Some(token) = special.values().find(|token| token.contains(BREAK)) {
            return Err(error(format!("its control token {token:?} has a word joiner in it")));
        }
        let byte_level = inner.get_decoder().is_some_and(is_byte_level);
        Ok(Self {
            path: path.to_owned(),
            inner: Arc::new(inner),
            special: Arc::new(special),
            image_token_id: text.image_token_id,
            byte_level,
        })
    }

    /// Changes `text` so that it contains no control token; unchanged if it contains none.
    pub fn neutralise(&self, text: &str) -> String {
        let mut safe = text.to_owned();
        for token in self.special.values() {
            let mut characters = token.chars();
            if let Some(first) = characters.next()
                && !characters.as_str().is_empty()
                && safe.contains(token.as_str())
            {
                safe =
                    safe.replace(token.as_str(), &format!("{first}{BREAK}{}", characters.as_str()));
            }
        }
        safe
    }

    /// Encodes a text in which user input was [neutralised](Self::neutralise).
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<Encoded>> {
        let encode =
            || self.inner.encode(text, add_special_tokens).map_err(|cause| format!("{cause}"));
        let encoding = contained(encode).map_err(|cause| {
            let reason = format!("encoding a text failed ({cause})");
            ModelError::Tokenizer { path: self.path.clone(), reason }
        })?;
        let mut buffer = [0; 4];
        let joiner: &str = BREAK.encode_utf8(&mut buffer);
        Ok(encoding
            .get_ids()
            .iter()
            .zip(encoding.get_offsets())
            .map(|(&id, &(start, end))| Encoded { id, start, end })
            .filter(|token| text.get(token.start..token.end) != Some(joiner))
            .collect())
    }

    /// The text of ids, without control tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, true).map_err(|cause| ModelError::Tokenizer {
            path: self.path.clone(),
            reason: format!("decoding ids failed ({cause})"),
        })
    }

    fn decoded(&self, ids: &[u32], without_special: bool) -> std::result::Result<String, String> {
        contained(|| self.inner.decode(ids, without_special).map_err(|cause| format!("{cause}")))
    }

    /// The vocabulary's piece, `▁` marking a word start. Bytes that are not a whole character are `<0xE7>`, in
    /// vocabularies of every kind.
    pub fn piece(&self, id: u32) -> String {
        let piece = self.inner.id_to_token(id);
        if self.byte_level
            && !self.special.contains_key(&id)
            && let Ok(text) = self.decoded(&[id], false)
        {
            let bytes =
                piece.as_deref().filter(|_| text.contains(INCOMPLETE)).and_then(piece_bytes);
            let text = bytes.map_or(text, |bytes| marked_bytes(&bytes));
            return text.strip_prefix(' ').map_or(text.clone(), |rest| format!("▁{rest}"));
        }
        piece.unwrap_or_else(|| format!("<{id}>"))
    }

    /// Whether an id is a control token (the image token is one).
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains_key(&id)
    }

    /// Whether an id is the image token.
    pub fn is_image(&self, id: u32) -> bool {
        id == self.image_token_id
    }

    /// Whether a token separates words: it has no visible character.
    pub fn is_separator(&self, id: u32) -> bool {
        match self.decoded(&[id], true) {
            Ok(text) => {
                text.chars().all(|character| character.is_whitespace() || character == BREAK)
            }
            Err(_) => false,
        }
    }
}

/// Runs the library's code on a file that may be damaged in ways that the library does not handle.
fn contained<T>(
    run: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    job::contain(run).unwrap_or_else(|panic| Err(format!("the tokenizer is damaged: {panic}")))
}

/// The bytes of a piece of a byte-level vocabulary, which writes each byte as one printable character: those that are
/// printable in Latin-1 as themselves, the others as U+0100 and the following. `None` for any other character.
fn piece_bytes(piece: &str) -> Option<Vec<u8>> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let shifted: Vec<u8> = (0..=u8::MAX).filter(|&byte| !is_printable(byte)).collect();
    let byte = |character: char| match u8::try_from(character) {
        Ok(byte) => is_printable(byte).then_some(byte),
        Err(_) => shifted.get(u32::from(character) as usize - 0x100).copied(),
    };
    piece.chars().map(byte).collect()
}

/// Text whose bytes that form no character are written as `<0xE7>`.
fn marked_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("<0x{byte:02X}>")));
    }
    text
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

/// The text of an answer that grows one id at a time.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    ids: Vec<u32>,
    text: String,
}

impl StreamDecoder {
    /// Adds an id and returns the text so far. An incomplete character is held back, so that the text grows only by
    /// whole characters.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<&str> {
        self.ids.push(id);
        let text = tokenizer.decode(&self.ids)?;
        if !text.ends_with(INCOMPLETE) {
            self.text = text;
        }
        Ok(&self.text)
    }

    /// The ids so far.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The whole answer without surrounding space; bytes that form no character are shown as �.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn finish(self, tokenizer: &Tokenizer) -> Result<String> {
        Ok(tokenizer.decode(&self.ids)?.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_byte_level_vocabularies_name_their_bytes() {
        // "狐" is E7 8B 90; the two last bytes are not printable in Latin-1.
        assert_eq!(piece_bytes("çĭĲ"), Some("狐".as_bytes().to_vec()));
        assert_eq!(piece_bytes("Ġa"), Some(b" a".to_vec()));
        assert_eq!(piece_bytes("狐"), None);
        assert_eq!(marked_bytes(b" the\xe7"), " the<0xE7>");
        assert_eq!(marked_bytes("狐".as_bytes()), "狐");
    }
}
