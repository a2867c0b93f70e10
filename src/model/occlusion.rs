//! Occlusion: cover a part of the picture, score the answer again, and record the difference.
//!
//! Sliding-window occlusion (Zeiler and Fergus 2014, arXiv 1311.2901) with windows on the grid of
//! patches: value = log p(answer token | picture) − log p(answer token | picture with the window
//! blanked). A positive value means that the window supports the token. A coarse round comes first, so that a whole map
//! exists after a few dozen forward passes; the fine round overwrites it window by window, and a finished map holds
//! only numbers of one round.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::occluder::BlankFill;
use super::rescore::Variant;
use super::rescorer::Rescorer;
use crate::analysis::methods::Method;
use crate::job::CancelToken;
use crate::logging::bug;
use crate::trace::{ImageSpan, Trace};

/// The map's name in the trace.
pub const OCCLUSION_MAP: &str = Method::OCCLUSION.info().tensor;
/// Windows along an edge in the first round.
pub const COARSE_WINDOWS: u32 = 6;
/// Default limit of windows along an edge in the last round: one for each patch of the built-in model, a few hundred
/// forward passes at most for others.
pub const FINE_WINDOWS: u32 = 12;

/// The windows and the fill of an occlusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcclusionOptions {
    /// Windows along an edge in each round, ascending; if there are more windows than patches, each window is one
    /// patch.
    pub rounds: Vec<u32>,
    /// The fill of covered patches.
    pub fill: BlankFill,
}

impl Default for OcclusionOptions {
    fn default() -> Self {
        Self { rounds: vec![COARSE_WINDOWS, FINE_WINDOWS], fill: BlankFill::Mean }
    }
}

/// Progress of an occlusion, with the map so far.
#[derive(Clone, Debug)]
pub struct OcclusionProgress {
    /// Windows scored.
    pub done: u32,
    /// Windows in all rounds.
    pub total: u32,
    /// The map so far: [G, N].
    pub map: Vec<f32>,
}

/// One window: its patches as row and column.
type Window = Vec<[u32; 2]>;

/// Computes the occlusion map of a trace: [G, N], one row per answer token (including the stop id).
/// `each` receives the map after every window.
///
/// # Errors
/// A trace without a picture or of another model, a failure of ONNX Runtime, or
/// [`ModelError::Cancelled`].
pub fn occlusion(
    engine: &mut Engine,
    trace: &Trace,
    options: &OcclusionOptions,
    cancel: &CancelToken,
    each: &mut dyn FnMut(OcclusionProgress),
) -> Result<Vec<f32>> {
    let span = only_view(trace, "covered")?;
    let rounds: Vec<Vec<Window>> =
        options.rounds.iter().map(|&windows| windows_of(span, windows)).collect();
    let total = rounds.iter().map(Vec::len).sum::<usize>() as u32;
    let mut scorer = Rescorer::new(engine, trace)?;
    // Scored in the same way as the variants, so that a window without effect gets exactly 0.
    let base = scorer.score(engine, [Variant::default()], cancel, &mut |_, _| {})?;
    let base = base.first().map(|scored| scored.logprobs.clone()).unwrap_or_else(|| {
        bug!("one variant was scored, but no result came");
        Vec::new()
    });
    let patches = trace.meta().patches();
    let mut map = vec![0.0_f32; base.len() * patches];
    let mut done = 0;
    for windows in &rounds {
        let variants =
            windows.iter().map(|window| Variant::blanked(options.fill, Some(window.clone())));
        scorer.score(engine, variants, cancel, &mut |index, scored| {
            for (token, (before, after)) in base.iter().zip(&scored.logprobs).enumerate() {
                for &[row, column] in windows.get(index).into_iter().flatten() {
                    let patch = (row * span.columns + column) as usize;
                    map[token * patches + patch] = before - after;
                }
            }
            done += 1;
            each(OcclusionProgress { done, total, map: map.clone() });
        })?;
    }
    Ok(map)
}

/// The one view of the one picture of a trace. Patches are covered in the pixels that the model saw, and the model is
/// run again on those: that is possible where they are one rectangle.
///
/// # Errors
/// [`ModelError::Request`] for a trace without a picture, with several, or with several views.
pub fn only_view<'a>(trace: &'a Trace, what: &str) -> Result<&'a ImageSpan> {
    let refused = |reason: String| Err(ModelError::Request { what: "the trace".into(), reason });
    match trace.meta().spans.as_slice() {
        [span] => Ok(span),
        [] => refused(format!("{}, so nothing can be {what}.", trace.meta().why_no_patches())),
        several => refused(format!(
            "has {} views of its pictures; patches can be {what} only where the model saw one picture in one view.",
            several.len()
        )),
    }
}

/// Number of windows in all rounds together.
pub fn window_count(span: &ImageSpan, rounds: &[u32]) -> usize {
    rounds.iter().map(|&windows| windows_of(span, windows).len()).sum()
}

/// The grid divided into `windows` × `windows` parts whose sizes differ by at most one patch.
fn windows_of(span: &ImageSpan, windows: u32) -> Vec<Window> {
    let parts = |patches: u32| {
        let count = windows.clamp(1, patches);
        (0..count).map(move |part| part * patches / count..(part + 1) * patches / count)
    };
    parts(span.rows)
        .flat_map(|rows| parts(span.columns).map(move |columns| (rows.clone(), columns)))
        .map(|(rows, columns)| {
            rows.flat_map(|row| columns.clone().map(move |column| [row, column])).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Affine, Rect};

    #[test]
    fn windows_cover_every_patch_once() {
        let span = ImageSpan {
            picture: 0,
            first: 0,
            rows: 13,
            columns: 8,
            preprocessed_rect: Rect { x: 0.0, y: 0.0, width: 80.0, height: 130.0 },
            original_from_preprocessed: Affine::IDENTITY,
            ..ImageSpan::default()
        };
        for (windows, expected) in [(6, 36), (12, 12 * 8), (100, 13 * 8), (1, 1)] {
            let cut = windows_of(&span, windows);
            assert_eq!(cut.len(), expected);
            let mut all: Vec<[u32; 2]> = cut.into_iter().flatten().collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 13 * 8);
        }
    }
}
