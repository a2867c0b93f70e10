//! Boxes of named objects in the picture, and the boxes that a word of the answer names.
//!
//! Boxes come from a file or from the built-in samples, always in pixels of the original picture:
//! left, top, right, bottom.

use super::score::BoxPx;
use crate::trace::{TokenKind, Trace};
use serde::Deserialize;

/// An object in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedBox {
    /// The noun that names the object, such as "fox".
    pub noun: String,
    /// Left, top, right, bottom in pixels of the original picture.
    pub rect: BoxPx,
}

/// The two forms of a boxes file: a list of boxes, or an object with the boxes and the size of the picture that they
/// are measured in.
#[derive(Deserialize)]
#[serde(untagged)]
enum BoxFile {
    Boxes(Vec<Loose>),
    Scene { boxes: Vec<Loose>, width: Option<f64>, height: Option<f64> },
}

/// A box whose name may stand in any of several fields, as in the samples' list.
#[derive(Deserialize)]
struct Loose {
    noun: Option<String>,
    label: Option<String>,
    name: Option<String>,
    #[serde(rename = "box", alias = "rect")]
    rect: BoxPx,
}

/// Reads boxes from JSON: `[{"noun": "fox", "box": [left, top, right, bottom]}, …]`, or an object with
/// `boxes` and, where the boxes lie in a picture of another size than the trace's, `width` and
/// `height`.
///
/// # Errors
/// A description of the fault in the text, without the file's name.
pub fn parse_boxes(text: &str, trace: &Trace) -> Result<Vec<NamedBox>, String> {
    boxes_of_text(text, trace.meta().preprocess.first().map(|info| info.original_size))
}

/// Checks that [`parse_boxes`] can read a text, whatever the picture.
///
/// # Errors
/// As [`parse_boxes`].
pub fn check_boxes(text: &str) -> Result<(), String> {
    boxes_of_text(text, Some([1, 1])).map(drop)
}

/// The boxes in a picture of some size.
fn boxes_of_text(text: &str, own: Option<[u32; 2]>) -> Result<Vec<NamedBox>, String> {
    let file: BoxFile = serde_json::from_str(text).map_err(|error| {
        format!(
            "expected a list of {{\"noun\": \"fox\", \"box\": [left, top, right, bottom]}}, or an \
            object with such a list as `boxes` ({error})"
        )
    })?;
    let (boxes, size) = match file {
        BoxFile::Boxes(boxes) => (boxes, None),
        BoxFile::Scene { boxes, width, height } => (boxes, width.zip(height)),
    };
    let scale = match (size, own) {
        (Some((width, height)), Some([own_width, own_height])) => {
            [f64::from(own_width) / width, f64::from(own_height) / height]
        }
        _ => [1.0; 2],
    };
    boxes
        .into_iter()
        .map(|Loose { noun, label, name, rect: [left, top, right, bottom] }| {
            let noun = noun.or(label).or(name).ok_or("a box has no `noun`")?;
            let rect = [left * scale[0], top * scale[1], right * scale[0], bottom * scale[1]];
            let has_area = rect[0] < rect[2] && rect[1] < rect[3];
            if !has_area || rect.iter().any(|edge| !edge.is_finite()) {
                return Err(format!(
                    "the box of `{noun}` has no area: it must be left, top, right, bottom in pixels"
                ));
            }
            Ok(NamedBox { noun, rect })
        })
        .collect()
}

/// The answer tokens of each word, in order, with the word as written but without punctuation.
/// Control tokens belong to no word.
pub fn answer_words(trace: &Trace) -> Vec<(String, Vec<usize>)> {
    let plain = |text: &str| text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let words = trace.meta().answer_words().into_iter();
    words
        .filter(|word| word.kind != TokenKind::Special)
        .map(|word| (plain(&word.plain()), word.tokens.collect()))
        .filter(|(word, _): &(String, Vec<usize>)| !word.is_empty())
        .collect()
}

/// Whether a word names the objects of a noun: "fox", "Foxes", "butterflies".
pub fn is_named(noun: &str, word: &str) -> bool {
    let (noun, word) = (noun.to_lowercase(), word.to_lowercase());
    let stem = noun.strip_suffix('y').map(|stem| format!("{stem}ies"));
    word == noun
        || word.strip_prefix(noun.as_str()).is_some_and(|end| end == "s" || end == "es")
        || stem.as_ref() == Some(&word)
}

/// The boxes that a word names.
pub fn boxes_of_word(boxes: &[NamedBox], word: &str) -> Vec<BoxPx> {
    boxes.iter().filter(|known| is_named(&known.noun, word)).map(|known| known.rect).collect()
}
