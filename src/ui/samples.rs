//! Questions to try.

use crate::model::{Picture, builtin};

/// Questions that fit any picture.
const GENERAL: [&str; 3] = ["What is this?", "What colour is it?", "Describe the picture."];

/// Questions to try about a picture: of a sample its own, else questions that fit any picture.
pub fn questions_about(picture: &Picture) -> Vec<String> {
    let samples = builtin::samples().unwrap_or_default();
    let is_it = |sample: &builtin::Sample| {
        builtin::sample_picture(&sample.file).is_some_and(|bytes| *bytes == *picture.bytes)
    };
    match samples.into_iter().find(is_it) {
        Some(sample) => sample.questions.into_iter().map(|question| question.text).collect(),
        None => GENERAL.map(str::to_owned).into(),
    }
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
