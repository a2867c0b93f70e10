//! The stack: push, undo, redo, flatten, and its text.

use super::EditError;
use super::step::{MOST_BLURRED_PIXELS, Step, crop_pixels};
use crate::files;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Version of the text; a reader refuses a larger one.
pub const EDIT_VERSION: u32 = 1;
/// Limit on the number of steps in a stack.
const MOST_STEPS: usize = 10_000;
/// Limit on the pixels that all steps visit together: two dozen adjustments of a picture of 100 megapixels, or thirty
/// thousand dabs of a brush of 300 pixels.
const MOST_WORK: f64 = 3e9;
/// Largest relative difference between the proportions of a picture and of the size that the edits name.
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
    /// Undone steps; the last one is the next to redo.
    #[serde(skip)]
    undone: Vec<Step>,
    #[serde(skip)]
    flattened: Flattened,
    #[serde(skip)]
    revision: Revision,
}

/// Counts the changes of a stack; it does not count in a comparison of two.
#[derive(Clone, Copy, Debug, Default)]
struct Revision(u64);

impl PartialEq for Revision {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Cached result of the last flattening, so that only a new step has to be applied.
#[derive(Clone, Debug, Default)]
struct Flattened {
    kept: Option<FlattenedSteps>,
}

#[derive(Clone, Debug)]
struct FlattenedSteps {
    /// The picture that the steps were applied to.
    original: Arc<RgbImage>,
    steps: Vec<Step>,
    /// The picture after these steps, before any crop.
    picture: Arc<RgbImage>,
}

/// The cache does not count in a comparison of two stacks.
impl PartialEq for Flattened {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Edits {
    /// An empty stack for a picture of this width and height.
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

    /// Whether the stack has no steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds a step and discards the undone steps.
    ///
    /// # Errors
    /// A step with an invalid number; the stack is then unchanged.
    pub fn push(&mut self, step: Step) -> Result<(), EditError> {
        step.check(self.steps.len())?;
        check_work(self.steps.iter().chain([&step]), self.size)?;
        self.steps.push(step);
        self.undone.clear();
        self.revision.0 += 1;
        Ok(())
    }

    /// Undoes the last step. Returns whether there was one.
    pub fn undo(&mut self) -> bool {
        let step = self.steps.pop();
        let had = step.is_some();
        self.undone.extend(step);
        self.revision.0 += u64::from(had);
        had
    }

    /// Redoes the step that was undone last. Returns whether there was one.
    pub fn redo(&mut self) -> bool {
        let step = self.undone.pop();
        let had = step.is_some();
        self.steps.extend(step);
        self.revision.0 += u64::from(had);
        had
    }

    /// Undone steps; the last one is the next to redo.
    pub fn undone(&self) -> &[Step] {
        &self.undone
    }

    /// The same stack with these undone steps.
    ///
    /// # Errors
    /// Steps that cannot be redone: an invalid number, or too much work together with the steps.
    pub fn with_undone(mut self, undone: Vec<Step>) -> Result<Self, EditError> {
        let count = self.steps.len();
        undone.iter().enumerate().try_for_each(|(index, step)| step.check(count + index))?;
        check_work(self.steps.iter().chain(&undone), self.size)?;
        self.undone = undone;
        Ok(self)
    }

    /// A number that differs after every change of the steps.
    pub const fn revision(&self) -> u64 {
        self.revision.0
    }

    /// Whether there is a step to redo.
    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// The part of the picture that remains after cropping: x, y, width and height in pixels of the picture.
    pub fn crop(&self) -> Option<[u32; 4]> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Crop { rect } => crop_pixels(rect, self.size),
            _ => None,
        })
    }

    /// Row and column of each blanked patch, with the rows and columns of its grid.
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
    /// A picture of other proportions, or a step that changes none of its pixels.
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

    /// The edited picture without cropping.
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
    /// Text that is not TOML, has unknown or invalid fields, or is of a newer version.
    pub fn from_toml(text: &str) -> Result<Self, EditError> {
        Self::parse(text, "")
    }

    fn parse(text: &str, file: &str) -> Result<Self, EditError> {
        #[derive(Deserialize)]
        struct Version {
            version: Option<u32>,
        }
        // The version is checked first, so that the error for a newer file names the version, not an unknown field.
        if let Ok(Version { version: Some(found) }) = toml::from_str(text)
            && found > EDIT_VERSION
        {
            return Err(EditError::Newer { found, supported: EDIT_VERSION });
        }
        let edits: Self = toml::from_str(text).map_err(|error| EditError::Parse {
            file: file.to_owned(),
            reason: files::without_type_names(&error.to_string()),
        })?;
        edits.check(file)?;
        Ok(edits)
    }

    /// Checks edits that were read as part of another text; `file` is its description in errors, or empty.
    ///
    /// # Errors
    /// A size of 0, a step with an invalid number, or steps that would take too long.
    pub fn check(&self, file: &str) -> Result<(), EditError> {
        if self.size.contains(&0) {
            let reason = "`size` is the width and height of the picture, neither of them 0".into();
            return Err(EditError::Parse { file: file.to_owned(), reason });
        }
        self.steps.iter().enumerate().try_for_each(|(index, step)| step.check(index))?;
        check_work(self.steps.iter(), self.size)
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
            let (steps, pixels, blurred) = (MOST_STEPS, MOST_WORK, MOST_BLURRED_PIXELS);
            return Err(EditError::TooMuch { index, tool, steps, pixels, blurred });
        }
    }
    Ok(())
}

/// A picture as a PNG file: lossless, with fast rather than strong compression.
///
/// # Errors
/// If the encoder fails, which it does only for pictures without pixels.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>, EditError> {
    let mut bytes = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    picture.write_with_encoder(encoder).map_err(|source| EditError::Encode { source })?;
    Ok(bytes)
}
