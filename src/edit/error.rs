//! Errors of edits.

use std::path::PathBuf;

/// The reason why edits cannot be read or applied.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file could not be read.
    #[error("cannot read the edits in {path}: {source}. Check the path given to --edit.", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The text is not a stack of edits.
    #[error("the edits{file} are not valid TOML for this version: {reason}")]
    Parse {
        /// " in FILE", or nothing.
        file: String,
        /// The parser's message, with the line.
        reason: String,
    },
    /// The text was written by a newer version.
    #[error(
        "the edits have version {found}, which is newer than this reader (it reads up to {supported}). Update vlmscope."
    )]
    Newer {
        /// The version in the text.
        found: u32,
        /// The newest version that this reader supports.
        supported: u32,
    },
    /// The edits were made for a picture of other proportions.
    #[error(
        "the edits were made for a picture of {made_for_width} × {made_for_height} pixels; this \
        one has {width} × {height}, which are other proportions. Use the picture that they were \
        made for, or change `size` and the positions in the file."
    )]
    OtherPicture {
        /// Width of the picture that the edits name.
        made_for_width: u32,
        /// Height of the picture that the edits name.
        made_for_height: u32,
        /// Width of the picture at hand.
        width: u32,
        /// Height of the picture at hand.
        height: u32,
    },
    /// The steps would take too long.
    #[error(
        "the edits are too expensive at step {index} ({tool}): at most {steps} steps can be \
        applied, over {:.0} million pixels in all. Use fewer points, a smaller brush or a \
        smaller picture; a picture of more than {:.0} million pixels cannot be blurred.", pixels / 1e6, blurred / 1e6
    )]
    TooMuch {
        /// Index, from 0, of the first step that exceeds a limit.
        index: usize,
        /// Name of the step's tool.
        tool: &'static str,
        /// The limit on the number of steps.
        steps: usize,
        /// The limit on the pixels that all steps visit together.
        pixels: f64,
        /// The limit on the pixels of a picture that is blurred.
        blurred: f64,
    },
    /// A number is out of bounds.
    #[error("step {index} ({tool}): {field} is {value}; it must be {bounds}.")]
    Value {
        /// Index of the step, from 0.
        index: usize,
        /// Name of the step's tool.
        tool: &'static str,
        /// The field in the TOML.
        field: &'static str,
        /// The value that was given.
        value: f64,
        /// The permitted values, in words.
        bounds: &'static str,
    },
    /// A step changes no pixel of the picture.
    #[error("step {index} ({tool}) {reason}")]
    Empty {
        /// Index of the step, from 0.
        index: usize,
        /// Name of the step's tool.
        tool: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// The edited picture could not be encoded.
    #[error("the edited picture cannot be written as PNG: {source}")]
    Encode {
        /// The encoder's error.
        source: image::ImageError,
    },
}
