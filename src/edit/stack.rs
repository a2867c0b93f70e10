//! The stack: push, undo, redo, flatten, and its text.

use super::EditError;
use super::step::{Step, crop_pixels};
use crate::files;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Version of the text; a reader refuses a larger one.
pub const EDIT_VERSION: u32 = 1;
/// Steps of a stack.
const MOST_STEPS: usize = 10_000;
/// Pixels that all steps may look at: two dozen adjustments of a picture of 100 megapixels, thirty
/// thousand dabs of a brush of 300 pixels.
const MOST_WORK: f64 = 3e9;
/// How much the proportions of a picture may differ from those that the edits name.
const PROPORTION_TOLERANCE: f64 = 0.01;

/// Edits of one picture, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Edits {
    version: u32,
    /// Width and height of the picture that positions refer to.
    size: [u32; 2],
    #[serde(default, rename = "step")]
    steps: Vec<Step>,
    /// Steps that were taken back, the next to be done again last.
    #[serde(skip)]
    undone: Vec<Step>,
    #[serde(skip)]
    flattened: Flattened,
}

/// Cached result of the last flattening, so that a new step is applied alone.
#[derive(Clone, Debug, Default)]
struct Flattened {
    kept: Option<FlattenedSteps>,
}

#[derive(Clone, Debug)]
struct FlattenedSteps {
    /// What the steps were carried out on.
    original: Arc<RgbImage>,
    steps: Vec<Step>,
    /// The picture after them, before any crop.
    picture: Arc<RgbImage>,
}

/// A cache is no part of what a stack is.
impl PartialEq for Flattened {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Edits {
    /// No edits of a picture of this width and height.
    pub fn new(size: [u32; 2]) -> Self {
        Self { version: EDIT_VERSION, size, ..Self::default() }
    }

    /// Width and height of the picture that positions refer to.
    pub const fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the picture is untouched.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds a step; what was undone before is gone.
    ///
    /// # Errors
    /// A step with a number that makes no sense; the stack is then as it was.
    pub fn push(&mut self, step: Step) -> Result<(), EditError> {
        step.check(self.steps.len())?;
        check_work(self.steps.iter().chain([&step]), self.size)?;
        self.steps.push(step);
        self.undone.clear();
        Ok(())
    }

    /// Takes the last step back. Says whether there was one.
    pub fn undo(&mut self) -> bool {
        let step = self.steps.pop();
        let had = step.is_some();
        self.undone.extend(step);
        had
    }

    /// Does the step again that was taken back last. Says whether there was one.
    pub fn redo(&mut self) -> bool {
        let step = self.undone.pop();
        let had = step.is_some();
        self.steps.extend(step);
        had
    }

    /// Whether [`Self::redo`] would do something.
    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// The rectangle that is left of the picture: x, y, width and height in its pixels.
    pub fn crop(&self) -> Option<[u32; 4]> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Crop { rect } => crop_pixels(rect, self.size),
            _ => None,
        })
    }

    /// Row and column of the patches to blank, with the grid that they are counted in.
    pub fn blanked(&self) -> impl Iterator<Item = ([u32; 2], [u32; 2])> {
        self.steps
            .iter()
            .filter_map(|step| match step {
                Step::Blank { patches, grid, .. } => Some((patches, *grid)),
                _ => None,
            })
            .flat_map(|(patches, grid)| patches.iter().map(move |&patch| (patch, grid)))
    }

    /// The edited picture. `original` may be larger or smaller than the picture that the edits
    /// were made on, in the same proportions.
    ///
    /// # Errors
    /// A picture of other proportions, or a step that touches nothing of it.
    pub fn flatten(&mut self, original: &Arc<RgbImage>) -> Result<Arc<RgbImage>, EditError> {
        let whole = self.before_crop(original)?;
        let size = [original.width(), original.height()];
        let crop = self.scaled_steps(size)?.into_iter().rev().find_map(|step| match step {
            Step::Crop { rect } => crop_pixels(&rect, size),
            _ => None,
        });
        Ok(match crop {
            Some([left, top, width, height]) => {
                Arc::new(imageops::crop_imm(&*whole, left, top, width, height).to_image())
            }
            None => whole,
        })
    }

    /// The edited picture with nothing cut off.
    ///
    /// # Errors
    /// As [`Self::flatten`].
    pub fn before_crop(&mut self, original: &Arc<RgbImage>) -> Result<Arc<RgbImage>, EditError> {
        let steps = self.scaled_steps([original.width(), original.height()])?;
        let kept = self.flattened.kept.take();
        let usable = kept
            .filter(|kept| Arc::ptr_eq(&kept.original, original) && steps.starts_with(&kept.steps));
        let (done, mut picture) = usable
            .map_or_else(|| (0, Arc::clone(original)), |kept| (kept.steps.len(), kept.picture));
        for (index, step) in steps.iter().enumerate().skip(done) {
            step.apply(Arc::make_mut(&mut picture), original)
                .map_err(|reason| EditError::Empty { index, tool: step.tool(), reason })?;
        }
        let kept =
            FlattenedSteps { original: Arc::clone(original), steps, picture: Arc::clone(&picture) };
        self.flattened.kept = Some(kept);
        Ok(picture)
    }

    /// The steps in pixels of a picture of this size.
    fn scaled_steps(&self, [width, height]: [u32; 2]) -> Result<Vec<Step>, EditError> {
        let [made_for_width, made_for_height] = self.size;
        if [width, height] == self.size {
            return Ok(self.steps.clone());
        }
        let scale = [
            f64::from(width) / f64::from(made_for_width),
            f64::from(height) / f64::from(made_for_height),
        ];
        if (scale[0] / scale[1] - 1.0).abs() > PROPORTION_TOLERANCE {
            return Err(EditError::OtherPicture { made_for_width, made_for_height, width, height });
        }
        let steps: Vec<Step> = self.steps.iter().map(|step| step.scaled(scale)).collect();
        check_work(steps.iter(), [width, height])?;
        Ok(steps)
    }

    /// Reads edits from TOML.
    ///
    /// # Errors
    /// Text that is not TOML, has unknown or senseless fields, or is of a newer version.
    pub fn from_toml(text: &str) -> Result<Self, EditError> {
        Self::parse(text, "")
    }

    fn parse(text: &str, file: &str) -> Result<Self, EditError> {
        #[derive(Deserialize)]
        struct Version {
            version: Option<u32>,
        }
        // Looked at first, so that a newer file is named as such rather than by an odd field.
        if let Ok(Version { version: Some(found) }) = toml::from_str(text)
            && found > EDIT_VERSION
        {
            return Err(EditError::Newer { found, supported: EDIT_VERSION });
        }
        let edits: Self = toml::from_str(text).map_err(|error| EditError::Parse {
            file: file.to_owned(),
            reason: error.to_string(),
        })?;
        if edits.size.contains(&0) {
            let reason = "`size` is the width and height of the picture, neither of them 0".into();
            return Err(EditError::Parse { file: file.to_owned(), reason });
        }
        edits.steps.iter().enumerate().try_for_each(|(index, step)| step.check(index))?;
        check_work(edits.steps.iter(), edits.size)?;
        Ok(edits)
    }

    /// The edits as TOML; [`Self::from_toml`] reads them back unchanged.
    ///
    /// # Errors
    /// None that a stack made by [`Self::push`] can cause.
    pub fn to_toml(&self) -> Result<String, EditError> {
        toml::to_string(self)
            .map_err(|error| EditError::Parse { file: String::new(), reason: error.to_string() })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Self::from_toml`], or a file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        let text = files::read_text(path)
            .map_err(|source| EditError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, &format!(" in {}", path.display()))
    }
}

/// Refuses steps that would take minutes in a picture of this size.
fn check_work<'a>(steps: impl Iterator<Item = &'a Step>, size: [u32; 2]) -> Result<(), EditError> {
    let mut work = 0.0;
    for (index, step) in steps.enumerate() {
        work += step.work(size);
        if work > MOST_WORK || index >= MOST_STEPS {
            let tool = step.tool();
            return Err(EditError::TooMuch { index, tool, steps: MOST_STEPS, pixels: MOST_WORK });
        }
    }
    Ok(())
}

/// A picture as a PNG file: nothing is lost, and encoding is quick rather than small.
///
/// # Errors
/// If the encoder fails, which it does for pictures without pixels alone.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>, EditError> {
    let mut bytes = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    picture.write_with_encoder(encoder).map_err(|source| EditError::Encode { source })?;
    Ok(bytes)
}
