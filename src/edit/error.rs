//! Errors of edits.

use std::path::PathBuf;

/// Why edits cannot be read or carried out.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file could not be read.
    #[error("cannot read the edits in {path}: {source}. Check the path given to --edit.", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not a stack of edits.
    #[error("the edits{file} are not valid TOML for this version: {reason}")]
    Parse {
        /// " in FILE", or nothing.
        file: String,
        /// Where and why, with the line.
        reason: String,
    },
    /// The text was written by a newer version.
    #[error(
        "the edits have version {found}, which is newer than this reader (it reads up to {supported}). Update vlmscope."
    )]
    Newer {
        /// The version in the text.
        found: u32,
        /// The newest version that this reader knows.
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
        /// Its height.
        made_for_height: u32,
        /// Width of the picture at hand.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The steps would take too long.
    #[error(
        "the edits are too expensive at step {index} ({tool}): at most {steps} steps can be \
        applied, over {:.0} million pixels in all. Use fewer points, a smaller brush or a \
        smaller picture.", pixels / 1e6
    )]
    TooMuch {
        /// The first step that is too much, from 0.
        index: usize,
        /// Its tool.
        tool: &'static str,
        /// The limit of steps.
        steps: usize,
        /// The limit of pixels that they look at.
        pixels: f64,
    },
    /// A number is outside what it can be.
    #[error("step {index} ({tool}): {field} is {value}; it must be {bounds}.")]
    Value {
        /// Which step, from 0.
        index: usize,
        /// Its tool.
        tool: &'static str,
        /// The field in the TOML.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What it may be.
        bounds: &'static str,
    },
    /// A step touches nothing of the picture.
    #[error("step {index} ({tool}) {reason}")]
    Empty {
        /// Which step, from 0.
        index: usize,
        /// Its tool.
        tool: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The edited picture could not be encoded.
    #[error("the edited picture cannot be written as PNG: {source}")]
    Encode {
        /// What the encoder said.
        source: image::ImageError,
    },
}
