//! The objects that answers are about: boxes and masks of a data set, and what lies inside of them.

use super::common::read_picture;
use crate::analysis::boxes::{
    NamedBox, answer_words, boxes_of_word, check_boxes, is_named, parse_boxes,
};
use crate::analysis::inside::Inside;
use crate::analysis::mask::{MaskShape, NamedMask, PixelMask};
use crate::analysis::outline::merged;
use crate::analysis::score::region_of_boxes;
use crate::model::{Picture, builtin, upright};
use crate::table::input::{InputMask, InputRow, MaskSource};
use crate::trace::{AnswerIndex, Trace};
use anyhow::{Context as _, anyhow};
use std::cell::RefCell;
use std::collections::HashMap;

/// The objects in a picture, and the one that the question is about, if it is named.
pub(super) struct Objects {
    boxes: Vec<NamedBox>,
    /// The boxes of an object with masks do not count.
    masks: Vec<NamedMask>,
    object: Option<String>,
    /// Coverage that was measured already, by name: it is needed for every token.
    measured: RefCell<HashMap<String, Option<Inside>>>,
}

impl Objects {
    pub fn new(boxes: Vec<NamedBox>, masks: Vec<NamedMask>, object: Option<String>) -> Self {
        Self { boxes, masks, object, measured: RefCell::default() }
    }

    /// The objects of a row of a data set: its own masks and boxes, or the boxes of a built-in sample.
    pub fn of_row(trace: &Trace, row: &InputRow, masks: Vec<NamedMask>) -> anyhow::Result<Self> {
        let boxes = match &row.boxes {
            Some(boxes) => parse_boxes(boxes, trace).map_err(unusable_boxes)?,
            None => builtin::boxes_of(trace),
        };
        if let Some(info) = trace.meta().preprocess.first() {
            check_masks(&masks, info.original_size)?;
        }
        Ok(Self::new(boxes, masks, row.object.clone()))
    }

    /// The object that a token is about: the one of the question, or else the one that the token's word names.
    pub fn inside(&self, trace: &Trace, token: AnswerIndex) -> Option<Inside> {
        let name = match &self.object {
            Some(object) => object.clone(),
            None => {
                let words = answer_words(trace);
                words.into_iter().find(|(_, tokens)| tokens.contains(&token.index()))?.0
            }
        };
        self.of_name(trace, &name)
    }

    /// The object of the whole answer: the one of the question, or else the first one that the answer names.
    pub fn of_sample(&self, trace: &Trace) -> Option<(String, Inside)> {
        let names: Vec<String> = match &self.object {
            Some(object) => vec![object.clone()],
            None => answer_words(trace).into_iter().map(|(word, _)| word).collect(),
        };
        names.into_iter().find_map(|name| {
            let inside = self.of_name(trace, &name)?;
            Some((name, inside))
        })
    }

    fn of_name(&self, trace: &Trace, name: &str) -> Option<Inside> {
        if let Some(known) = self.measured.borrow().get(name) {
            return known.clone();
        }
        let inside = self.measure(trace, name);
        self.measured.borrow_mut().insert(name.to_owned(), inside.clone());
        inside
    }

    fn measure(&self, trace: &Trace, name: &str) -> Option<Inside> {
        let spans = &trace.meta().spans;
        let masks: Vec<&NamedMask> =
            self.masks.iter().filter(|mask| is_named(&mask.noun, name)).collect();
        let size = trace.meta().preprocess.first().map(|info| info.original_size);
        if let Some(size) = size.filter(|_| !masks.is_empty()) {
            let line = |y: f64| {
                merged(masks.iter().flat_map(|mask| mask.shape.intervals(size, y)).collect())
            };
            return Some(Inside::from_lines(spans, None, &line));
        }
        let boxes = boxes_of_word(&self.boxes, name);
        (!boxes.is_empty()).then(|| Inside::new(spans, None, &region_of_boxes(&boxes)))
    }
}

/// Checks that the boxes and the masks of a row can be used, before its question is answered.
pub(super) fn check_objects(
    row: &InputRow,
    masks: &[NamedMask],
    picture: Option<&Picture>,
) -> anyhow::Result<()> {
    if let Some(boxes) = &row.boxes {
        check_boxes(boxes).map_err(unusable_boxes)?;
    }
    if let Some(picture) = picture.filter(|_| !masks.is_empty()) {
        let pixels = upright(picture)?;
        check_masks(masks, [pixels.width(), pixels.height()])?;
    }
    Ok(())
}

fn unusable_boxes(reason: String) -> anyhow::Error {
    anyhow!("the boxes cannot be used: {reason}")
}

fn check_masks(masks: &[NamedMask], size: [u32; 2]) -> anyhow::Result<()> {
    for NamedMask { noun, shape } in masks {
        shape.check(size).map_err(|reason| anyhow!("the mask of `{noun}` {reason}"))?;
    }
    Ok(())
}

/// The masks of a row with their pixels. One without any is left out: its object is not in the picture.
pub(super) fn masks_of(row: &InputRow) -> anyhow::Result<Vec<NamedMask>> {
    let mut found = Vec::new();
    for InputMask { noun, source } in &row.masks {
        let noun = noun.as_ref().or(row.object.as_ref()).cloned().unwrap_or_default();
        let of_noun = || format!("the mask of `{noun}` cannot be used");
        let picture = match source {
            MaskSource::Shape(shape) => {
                found.push(NamedMask { noun, shape: shape.clone() });
                continue;
            }
            MaskSource::File(path) => read_picture(path).with_context(of_noun)?,
            MaskSource::Bytes(bytes) => Picture { name: noun.clone(), bytes: bytes.clone() },
        };
        let pixels = upright(&picture).with_context(of_noun)?;
        let mask = PixelMask::from_pixels([pixels.width(), pixels.height()], |x, y| {
            pixels.get_pixel(x, y).0.iter().any(|value| *value > 0)
        });
        let mask = mask.map_err(|reason| anyhow!("the mask of `{noun}` {reason}"))?;
        found.push(NamedMask { noun, shape: MaskShape::Pixels(mask) });
    }
    found.retain(|mask| !mask.shape.is_empty());
    Ok(found)
}
