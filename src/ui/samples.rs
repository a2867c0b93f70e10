//! Questions to try.

use crate::model::{Picture, builtin};
use std::path::PathBuf;

/// Questions that fit any picture.
const GENERAL: [&str; 3] = ["What is this?", "What colour is it?", "Describe the picture."];

/// Questions to try about a picture: of a sample its own, else questions that fit any picture.
pub fn questions_about(picture: &Picture) -> Vec<String> {
    let samples = builtin::samples().unwrap_or_default();
    let is_it = |sample: &builtin::Sample| {
        builtin::sample_picture(&sample.file).is_some_and(|bytes| {
            *bytes == *picture.bytes
                || sample.file == picture.name && has_same_pixels(bytes, &picture.bytes)
        })
    };
    match samples.into_iter().find(is_it) {
        Some(sample) => sample.questions.into_iter().map(|question| question.text).collect(),
        None => GENERAL.map(str::to_owned).into(),
    }
}

/// Whether two files show the same picture: a trace encodes its picture anew.
fn has_same_pixels(sample: &[u8], other: &[u8]) -> bool {
    let reader = |bytes| image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format();
    let size = |bytes| reader(bytes).ok()?.into_dimensions().ok();
    let pixels = |bytes| Some(reader(bytes).ok()?.decode().ok()?.into_rgb8());
    // A picture of another size may be large.
    size(sample).is_some() && size(sample) == size(other) && pixels(sample) == pixels(other)
}

/// A sample of the built-in model: its picture and what may be asked about it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The picture's file name.
    pub file: String,
    /// The encoded picture.
    pub bytes: Vec<u8>,
    /// Title of the picture.
    pub title: String,
    /// Questions, the one to start with first.
    pub questions: Vec<String>,
}

/// A trace that was captured from another model.
#[derive(Clone, Debug)]
pub struct CapturedSample {
    /// Its file.
    pub path: PathBuf,
    /// Title of its pictures.
    pub title: String,
}

/// The captured sample traces, unpacked; none if this program was built without them.
///
/// # Errors
/// If the disk is full.
pub fn captured_samples() -> anyhow::Result<Vec<CapturedSample>> {
    let unpacked = |sample: builtin::Captured| {
        let path = builtin::captured_file(&sample.file)?;
        Ok(CapturedSample { path, title: sample.title })
    };
    match builtin::captured() {
        Err(builtin::BuiltinError::NoCaptured) => Ok(Vec::new()),
        samples => samples?.into_iter().map(unpacked).collect(),
    }
}

/// The samples of the built-in model.
///
/// # Errors
/// If this program was built without them.
pub fn samples() -> anyhow::Result<Vec<Sample>> {
    let samples = builtin::samples()?;
    let sample = |sample: &builtin::Sample| {
        let bytes = builtin::sample_picture(&sample.file)?.to_vec();
        let questions = sample.questions.iter().map(|question| question.text.clone()).collect();
        let (file, title) = (sample.file.clone(), sample.title.clone());
        Some(Sample { file, title, bytes, questions })
    };
    Ok(samples.iter().filter_map(sample).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_sample_keeps_its_questions_in_a_trace_that_encoded_it_anew() {
        let sample = builtin::samples().unwrap().remove(0);
        let bytes = builtin::sample_picture(&sample.file).unwrap();
        let pixels = image::load_from_memory(bytes).unwrap().into_rgb8();
        let encoded = |pixels: &image::RgbImage| {
            let mut file = std::io::Cursor::new(Vec::new());
            pixels.write_to(&mut file, image::ImageFormat::Bmp).unwrap();
            Picture { name: sample.file.clone(), bytes: file.into_inner().into() }
        };
        let own: Vec<String> = sample.questions.iter().map(|one| one.text.clone()).collect();
        assert_eq!(questions_about(&encoded(&pixels)), own);
        let mut edited = pixels;
        edited.put_pixel(3, 3, image::Rgb([1, 2, 3]));
        assert_eq!(questions_about(&encoded(&edited)), GENERAL);
    }
}
