//! The picture of a command's argument.

use super::usage::usage;
use crate::edit::Edits;
use crate::model::{Picture, builtin, upright};
use anyhow::Context as _;
use image::RgbImage;
use std::path::Path;
use std::sync::Arc;

/// Advice on the command line for showing the model the whole picture, see [`crate::model::AskNotice::text`].
pub(crate) const WHOLE_PICTURE: &str = "use --preprocess pad (or resize, which distorts it)";

/// Start of a sample's name.
const SAMPLE: &str = "sample:";

/// `sample:N` (from 1) or a file.
pub(crate) fn read_picture(path: &Path) -> anyhow::Result<Picture> {
    let Some(number) = path.to_str().and_then(|text| text.strip_prefix(SAMPLE)) else {
        return Ok(Picture::read(path)?);
    };
    let samples = builtin::samples()?;
    let sample =
        number.parse::<usize>().ok().and_then(|number| samples.get(number.checked_sub(1)?));
    let sample = sample.ok_or_else(|| {
        usage(format!(
            "there is no sample:{number}; there are sample:1 to sample:{}",
            samples.len()
        ))
    })?;
    let bytes = builtin::sample_picture(&sample.file)
        .context("the sample picture is missing from this program")?;
    Ok(Picture { name: sample.file.clone(), bytes: bytes.into() })
}

/// The edited picture as a file without loss.
pub(crate) fn edited(picture: &Picture, edits: &mut Edits) -> anyhow::Result<Picture> {
    let original: Arc<RgbImage> = Arc::new(upright(picture)?);
    let flat = edits.flatten(&original)?;
    let stem = Path::new(&picture.name).file_stem().unwrap_or_default().to_string_lossy();
    Ok(Picture { name: format!("{stem}-edited.png"), bytes: crate::edit::png(&flat)?.into() })
}
