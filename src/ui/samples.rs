//! Questions to try.

use crate::model::builtin;

/// Questions that fit any picture.
pub fn general_questions() -> Vec<String> {
    ["What is this?", "What color is it?", "Describe the picture."].map(str::to_owned).into()
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
