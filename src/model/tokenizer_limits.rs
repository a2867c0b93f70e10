//! Limits on a tokenizer.json: no step may make a short text very long, and none may exceed what the library can
//! handle.
//!
//! A tokenizer is a pipeline that is fully described in its file, so its worst case can be computed before any text
//! goes through it: the growth factors of its parts are multiplied along the pipeline. (A chat template is a program;
//! its worst case cannot be computed.)

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;

/// Largest factor by which normalizers, or decoders, may lengthen a text. The tokenizers of the models that can be
/// exported reach 3: a space becomes `▁`.
const MAX_GROWTH: f64 = 64.0;
/// Limit on the characters that are added before or after a text or a token.
const MAX_AFFIX_CHARACTERS: usize = 1024;
/// Limits on the parts of a pipeline and on their nesting.
const MAX_PARTS: usize = 256;
const MAX_DEPTH: usize = 16;
/// Limit on the positions that a decoder may cut from each end of a token.
const MAX_CUT: u64 = 64;

/// The active parts of tokenizer.json; the vocabulary is skipped.
#[derive(Deserialize)]
struct Pipeline {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    post_processor: Value,
}

/// Checks a tokenizer.json before it is loaded.
///
/// # Errors
/// The part that is refused, and the reason.
pub(super) fn check(json: &str) -> Result<(), String> {
    let pipeline: Pipeline = serde_json::from_str(json).map_err(|error| error.to_string())?;
    for (name, part) in [
        ("normalizer", &pipeline.normalizer),
        ("pre_tokenizer", &pipeline.pre_tokenizer),
        ("decoder", &pipeline.decoder),
        ("post_processor", &pipeline.post_processor),
    ] {
        let mut walk = Walk { parts: 0 };
        let growth = walk.growth(part, 0).map_err(|reason| format!("its {name} {reason}"))?;
        if growth > MAX_GROWTH {
            return Err(format!(
                "its {name} can make a text {growth:.0} times longer; at most {MAX_GROWTH} times is allowed"
            ));
        }
    }
    Ok(())
}

struct Walk {
    parts: usize,
}

impl Walk {
    /// The largest factor by which a part can lengthen a text.
    fn growth(&mut self, part: &Value, depth: usize) -> Result<f64, String> {
        self.parts += 1;
        if self.parts > MAX_PARTS || depth > MAX_DEPTH {
            return Err(format!(
                "has more than {MAX_PARTS} parts or is nested deeper than {MAX_DEPTH}"
            ));
        }
        let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default();
        let count = |name: &str| part.get(name).and_then(Value::as_u64);
        match text("type") {
            "Sequence" => {
                let lists = ["normalizers", "pretokenizers", "decoders", "processors"];
                let lists = lists.iter().filter_map(|name| part.get(*name)?.as_array());
                let mut growth = 1.0;
                for part in lists.flatten() {
                    growth *= self.growth(part, depth + 1)?;
                }
                Ok(growth)
            }
            "Replace" => {
                let pattern = part.get("pattern");
                let literal = pattern.and_then(|pattern| pattern.get("String")?.as_str());
                let content = text("content").len() as f64;
                // A regular expression can match between any two characters.
                Ok(match literal {
                    Some(literal) if !literal.is_empty() => {
                        (content / literal.len() as f64).max(1.0)
                    }
                    _ => 1.0 + content,
                })
            }
            "Prepend" => affix("prepend", text("prepend")).map(|()| 1.0),
            "WordPiece" => affix("prefix", text("prefix")).map(|()| 1.0),
            "Precompiled" => precompiled(text("precompiled_charsmap")),
            "FixedLength" if count("length") == Some(0) => {
                Err("cuts a text into pieces of length 0".to_owned())
            }
            "Strip" => {
                let most = count("start").max(count("stop")).unwrap_or(0);
                if most > MAX_CUT {
                    return Err(format!("cuts {most} characters off a token; at most {MAX_CUT}"));
                }
                Ok(1.0)
            }
            _ => Ok(1.0),
        }
    }
}

fn affix(what: &str, text: &str) -> Result<(), String> {
    let characters = text.chars().count();
    if characters <= MAX_AFFIX_CHARACTERS {
        return Ok(());
    }
    Err(format!("has a {what} of {characters} characters; at most {MAX_AFFIX_CHARACTERS}"))
}

/// SentencePiece's table of replacements: the length of a trie in bytes, the trie, and the texts that it refers to,
/// which end with NUL.
fn precompiled(base64: &str) -> Result<f64, String> {
    const DAMAGED: &str = "holds a damaged precompiled_charsmap";
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .map_err(|error| format!("{DAMAGED} ({error})"))?;
    let damaged = |reason: &str| Err(format!("{DAMAGED} ({reason})"));
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return damaged("it has no length");
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || !length.is_multiple_of(4) || length > rest.len() {
        return damaged("its length is wrong");
    }
    let (trie, texts) = rest.split_at(length);
    let Ok(texts) = std::str::from_utf8(texts) else { return damaged("its texts are not UTF-8") };
    let units = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit));
    let units: Vec<u32> = units.collect();
    if let Some(reason) = damage_of_trie(&units, texts) {
        return damaged(reason);
    }
    let longest = texts.split('\0').map(str::len).max().unwrap_or(0);
    if longest > MAX_AFFIX_CHARACTERS {
        return Err(format!("replaces a character by {longest} bytes"));
    }
    // Measured against the bytes of a text in which every character has the longest replacement. Real tables contain a
    // few long ones (one Arabic ligature becomes 18 letters), which must not be refused.
    Ok((longest as f64 / 33.0).max(1.0))
}

/// Visits the whole double array as a search could, so that no text can lead to an index outside it.
fn damage_of_trie(units: &[u32], texts: &str) -> Option<&'static str> {
    const OUT: &str = "its trie points out of itself";
    let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
    let mut seen = vec![false; units.len()];
    let mut waiting = vec![offset(*units.first()?)];
    while let Some(node) = waiting.pop() {
        for byte in 1..=u8::MAX {
            let child = node ^ usize::from(byte);
            let Some(&unit) = units.get(child) else { return Some(OUT) };
            if unit & ((1 << 31) | 0xFF) != u32::from(byte)
                || std::mem::replace(&mut seen[child], true)
            {
                continue;
            }
            let next = child ^ offset(unit);
            if (unit >> 8) & 1 == 1 {
                let Some(leaf) = units.get(next) else { return Some(OUT) };
                let at = (leaf & ((1 << 31) - 1)) as usize;
                if at > texts.len() || !texts.is_char_boundary(at) {
                    return Some("its trie points out of its texts");
                }
            }
            waiting.push(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use serde_json::json;

    fn refused(part: &str, value: Value) -> String {
        check(&json!({ part: value }).to_string()).unwrap_err()
    }

    #[test]
    fn what_makes_a_text_long_is_refused() {
        let replace = |content: &str| json!({ "type": "Replace", "pattern": { "String": "a" }, "content": content });
        let many = json!({ "type": "Sequence", "normalizers": vec![replace("aaaaaaaaaa"); 3] });
        assert!(refused("normalizer", many).contains("1000 times longer"));
        let regex =
            json!({ "type": "Replace", "pattern": { "Regex": "" }, "content": "x".repeat(70) });
        assert!(refused("decoder", regex).contains("71 times longer"));
        let prepend = json!({ "type": "Prepend", "prepend": "x".repeat(2000) });
        assert!(refused("normalizer", prepend).contains("2000 characters"));
        let mut nested = json!({ "type": "NFC" });
        for _ in 0..20 {
            nested = json!({ "type": "Sequence", "normalizers": [nested] });
        }
        assert!(refused("normalizer", nested).contains("nested"));
    }

    #[test]
    fn what_the_library_cannot_take_is_refused() {
        let charsmap = |bytes: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            json!({ "type": "Precompiled", "precompiled_charsmap": text })
        };
        for bytes in
            [&b""[..], b"\0\0\0", b"\x04\0\0\0abcd", b"\xff\xff\xff\xffabcd", b"\x05\0\0\0abcde"]
        {
            assert!(refused("normalizer", charsmap(bytes)).contains("damaged"), "{bytes:?}");
        }
        let length = json!({ "type": "FixedLength", "length": 0 });
        assert!(refused("pre_tokenizer", length).contains("length 0"));
        let strip = json!({ "type": "Strip", "content": "x", "start": 0, "stop": u64::MAX });
        assert!(refused("decoder", strip).contains("cuts"));
    }

    #[test]
    fn a_whole_trie_is_walked_and_accepted() {
        // "a" → text 0. Root offset 0x100, so that "a" is at 0x161; its leaf at 0x161 ^ 0x200.
        let mut units = vec![0_u32; 0x400];
        units[0] = 0x100 << 10;
        units[0x161] = (0x200 << 10) | (1 << 8) | 0x61;
        units[0x161 ^ 0x200] = 1 << 31;
        let table = |units: &[u32], texts: &[u8]| {
            let trie: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let bytes = [&(trie.len() as u32).to_le_bytes()[..], &trie, texts].concat();
            base64::engine::general_purpose::STANDARD.encode(bytes)
        };
        assert_eq!(precompiled(&table(&units, b"b\0")), Ok(1.0));
        units[0x161 ^ 0x200] = (1 << 31) | 7;
        assert!(precompiled(&table(&units, b"b\0")).unwrap_err().contains("texts"));
        units[0x161] = (0x3_0000 << 10) | (1 << 8) | 0x61;
        assert!(precompiled(&table(&units, b"b\0")).unwrap_err().contains("points out"));
    }
}
