//! The experiment without the picture, measured by a second trace: the same answer scored on a picture of one colour.

use crate::trace::{PictureView, PreprocessInfo, Rect, Trace};

/// Pixels at the edge of a picture that are not looked at: resizing mixes them with padding.
const EDGE: f64 = 2.0;
/// Largest difference between two values of one colour.
const SAME: u8 = 3;

/// Why a trace does not measure an answer without its picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtherAnswer {
    /// The models differ.
    #[error("the model is {found}, not {wanted}")]
    Model {
        /// The model of the answer.
        wanted: String,
        /// The model of the trace.
        found: String,
    },
    /// The questions differ.
    #[error("the question is “{found}”, not “{wanted}”")]
    Question {
        /// The question of the answer.
        wanted: String,
        /// The question of the trace.
        found: String,
    },
    /// The answers differ.
    #[error("the answer is “{found}”, not “{wanted}”")]
    Answer {
        /// The answer.
        wanted: String,
        /// The answer of the trace.
        found: String,
    },
    /// The answers are the same text in other tokens.
    #[error("the answer has other tokens")]
    Tokens,
    /// The pictures have other numbers of patches.
    #[error("the picture has {found} patches, not {wanted}")]
    Patches {
        /// Number of patches of the answer.
        wanted: usize,
        /// Number of patches of the trace.
        found: usize,
    },
}

impl OtherAnswer {
    /// The amount of difference, for a choice among several: 0 differs least.
    pub const fn rank(&self) -> u32 {
        match self {
            Self::Tokens => 0,
            Self::Patches { .. } => 1,
            Self::Answer { .. } => 2,
            Self::Question { .. } => 3,
            Self::Model { .. } => 4,
        }
    }
}

/// The mean colour of a picture, RGB bytes in any order of pixels.
pub fn mean_color(rgb: &[u8]) -> [u8; 3] {
    let mut sums = [0_u64; 3];
    for pixel in rgb.as_chunks::<3>().0 {
        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += u64::from(value));
    }
    let count = (rgb.len() as u64 / 3).max(1);
    sums.map(|sum| ((sum + count / 2) / count) as u8)
}

/// Whether every picture of a trace has one colour; padding does not count.
pub fn has_blank_pictures(trace: &Trace) -> bool {
    let canvases = &trace.meta().preprocess;
    let is_blank = |(index, info): (usize, &PreprocessInfo)| {
        trace.canvas(index).is_some_and(|canvas| is_one_color(&canvas, &content(info, &canvas)))
    };
    !canvases.is_empty() && canvases.iter().enumerate().all(is_blank)
}

/// The part of a canvas that shows the picture, in pixels.
fn content(info: &PreprocessInfo, canvas: &PictureView<'_>) -> Rect {
    let [width, height] = info.original_size.map(f64::from);
    let whole = Rect { x: 0.0, y: 0.0, width, height };
    let rect = match info.original_from_preprocessed.inverse() {
        Some(map) => map.apply_rect(whole),
        None => whole,
    };
    let [most_x, most_y] = [canvas.width, canvas.height].map(f64::from);
    let (left, top) = ((rect.x + EDGE).max(0.0), (rect.y + EDGE).max(0.0));
    let right = (rect.x + rect.width - EDGE).min(most_x);
    let bottom = (rect.y + rect.height - EDGE).min(most_y);
    Rect { x: left, y: top, width: (right - left).max(0.0), height: (bottom - top).max(0.0) }
}

fn is_one_color(canvas: &PictureView<'_>, part: &Rect) -> bool {
    let columns = part.x.ceil() as usize..(part.x + part.width).floor() as usize;
    let rows = part.y.ceil() as usize..(part.y + part.height).floor() as usize;
    let line = canvas.width as usize * 3;
    let mut first: Option<[u8; 3]> = None;
    for row in rows {
        let Some(pixels) =
            canvas.rgb.get(row * line + columns.start * 3..row * line + columns.end * 3)
        else {
            return false;
        };
        for pixel in pixels.as_chunks::<3>().0 {
            let first = first.get_or_insert(*pixel);
            if first.iter().zip(pixel).any(|(a, b)| a.abs_diff(*b) > SAME) {
                return false;
            }
        }
    }
    first.is_some()
}

/// The log-probability of each token of an answer without its picture, `[G]`, from a trace of the same answer on a
/// blank picture.
///
/// # Errors
/// If the trace has another model, question or answer, or its picture another number of patches.
pub fn blank_logprobs_of(answer: &Trace, blank: &Trace) -> Result<Vec<f32>, OtherAnswer> {
    let (wanted, found) = (answer.meta(), blank.meta());
    if wanted.model.name != found.model.name || wanted.model.model_class != found.model.model_class
    {
        return Err(OtherAnswer::Model {
            wanted: wanted.model.name.clone(),
            found: found.model.name.clone(),
        });
    }
    if wanted.question != found.question {
        return Err(OtherAnswer::Question {
            wanted: wanted.question.clone(),
            found: found.question.clone(),
        });
    }
    if wanted.answer.trim() != found.answer.trim() {
        return Err(OtherAnswer::Answer {
            wanted: wanted.answer.clone(),
            found: found.answer.clone(),
        });
    }
    if wanted.patches() != found.patches() {
        return Err(OtherAnswer::Patches { wanted: wanted.patches(), found: found.patches() });
    }
    // A scored answer ends with a stop id, which an answer that was cut off has not.
    let ids = answer.answer_ids();
    if !blank.answer_ids().starts_with(&ids[..]) {
        return Err(OtherAnswer::Tokens);
    }
    let mut logprobs = blank.answer_logprobs().into_owned();
    logprobs.truncate(ids.len());
    Ok(logprobs)
}
