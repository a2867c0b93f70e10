//! The inputs of the model when a trace was made, so that the model can run on them again.
//!
//! A trace holds all inputs: the ids of prompt and answer, and the picture that the model saw (after resizing and
//! cropping, before normalisation). Nothing has to be tokenised or resampled again, and the model gives the same
//! numbers.

use super::bundle::Bundle;
use super::error::{ModelError, Result};
use super::preprocess::pixel_values;
use crate::trace::Trace;
use std::sync::Arc;

/// Number of characters of a hash that distinguish two bundles in a message.
const SHORT_HASH: usize = 12;

/// The inputs of an answered question.
#[derive(Clone, Debug)]
pub struct TraceInputs {
    /// Ids of the P prompt positions (the image token repeated for each feature), then the G generated ids, including
    /// the stop id.
    pub ids: Vec<u32>,
    /// P, the number of prompt positions.
    pub prompt_len: usize,
    /// Position of the first image token; `None` without a picture.
    pub first_image: Option<usize>,
    /// RGB bytes [height, width, 3] that the model saw; `None` without a picture.
    pub rgb: Option<Arc<[u8]>>,
}

impl TraceInputs {
    /// Reads the inputs of `trace` for the model of `bundle`.
    ///
    /// # Errors
    /// [`ModelError::Captured`] if no bundle made the trace, [`ModelError::OtherModel`] if another one did, and
    /// [`ModelError::Request`] if its ids or its picture do not fit the model (a damaged file).
    pub fn from_trace(trace: &Trace, bundle: &Bundle) -> Result<Self> {
        let (meta, manifest) = (trace.meta(), bundle.manifest());
        if meta.model.bundle_sha.is_empty() {
            return Err(ModelError::Captured { name: meta.model.name.clone() });
        }
        if meta.model.bundle_sha != bundle.sha256() {
            let short = |hash: &str| hash.chars().take(SHORT_HASH).collect::<String>();
            return Err(ModelError::OtherModel {
                name: meta.model.name.clone(),
                made_with: short(&meta.model.bundle_sha),
                open: format!("{} ({})", manifest.name, short(bundle.sha256())),
            });
        }
        let bad = |reason: String| ModelError::Request { what: "the trace".into(), reason };
        let ids: Vec<u32> = meta.tokens.iter().map(|token| token.id).collect();
        if let Some(id) = ids.iter().find(|&&id| id as usize >= manifest.text.vocab) {
            let vocab = manifest.text.vocab;
            return Err(bad(format!("has the token id {id}; this model knows ids below {vocab}.")));
        }
        let prompt_len = meta.prompt_len();
        let image = |id: &u32| bundle.tokenizer().is_image(*id);
        let places = ids[..prompt_len].iter().filter(|id| image(id)).count();
        let pictures = places / manifest.vision.features.max(1);
        if pictures > 1 || places != pictures * manifest.vision.features {
            return Err(bad(format!(
                "has {places} image positions; one picture has {}.",
                manifest.vision.features
            )));
        }
        let mut rgb = None;
        if pictures == 1 {
            let side = manifest.vision.image_size as u32;
            let seen = trace.canvas(0);
            let seen = seen.filter(|seen| [seen.width, seen.height] == [side; 2]);
            let seen =
                seen.ok_or_else(|| bad(format!("lacks the picture of {side} × {side} pixels.")))?;
            rgb = Some(Arc::from(seen.rgb));
        }
        let first_image = ids.iter().position(image).filter(|_| pictures == 1);
        // A class token that is kept as a feature comes before the patches.
        let first_patch =
            first_image.map(|first| first + manifest.vision.features - manifest.vision.patches);
        let spans: Vec<_> = meta
            .spans
            .iter()
            .map(|span| {
                ([span.rows, span.columns].map(|count| count as usize), span.extent().start)
            })
            .collect();
        let expected: Vec<_> =
            first_patch.iter().map(|&first| (manifest.vision.grid, first)).collect();
        if spans != expected {
            return Err(bad(format!(
                "has image spans (rows × columns, first position) {spans:?}; with this model they are {expected:?}."
            )));
        }
        Ok(Self { ids, prompt_len, first_image, rgb })
    }

    /// The G answer ids, including the stop id.
    pub fn answer_ids(&self) -> &[u32] {
        &self.ids[self.prompt_len..]
    }

    /// The T = P + G − 1 ids that the model reads: the last id is never fed back.
    pub fn fed_ids(&self) -> &[u32] {
        &self.ids[..self.ids.len() - 1]
    }
}

/// Pixel values [1, 3, height, width] of a picture that was already resized and cropped.
pub(super) fn normalised(rgb: &[u8], bundle: &Bundle) -> Vec<f32> {
    pixel_values(rgb, &bundle.manifest().preprocess)
}
