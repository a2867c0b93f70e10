//! Localisation heads: the few heads that attend to the picture, and to one place in it (Kang et al., arXiv
//! 2503.06287).
//!
//! A head qualifies by its share of attention on the picture and is ranked by the spatial entropy of
//! its map. The paper chooses heads once over a thousand pictures and cuts the share at the bend of
//! its sorted curve; one trace has one picture, so heads are chosen for each answer token anew and
//! the cut is the mean share over all heads.

use super::super::reduce::patch_keys;
use super::inputs::Missing;
use super::rows::{each_answer, tensor};
use crate::trace::{AnswerIndex, ImageSpan, STAT_COUNT, Stat, Trace};

/// The paper finds that three heads suffice.
const CHOSEN: usize = 3;

/// A chosen head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadChoice {
    /// Its layer.
    pub layer: u32,
    /// Its number in the layer.
    pub head: u32,
    /// Its attention on the picture, 0–1.
    pub image_share: f32,
    /// Spatial entropy of its map in nats.
    pub entropy: f32,
}

/// The (up to) three heads of lowest spatial entropy among those whose attention on the picture is above the average;
/// the larger share wins a tie. `None` if the token's row was not kept.
pub fn chosen_heads(trace: &Trace, answer: AnswerIndex) -> Option<Vec<HeadChoice>> {
    let row = trace.row_of_answer(answer)?;
    let stats = trace.stats(row)?;
    let shares: Vec<f32> =
        stats.chunks_exact(STAT_COUNT).map(|stats| stats[Stat::ImageSum as usize]).collect();
    let cut = shares.iter().sum::<f32>() / shares.len().max(1) as f32;
    let heads = trace.shape().heads;
    let mut choices = Vec::new();
    for (index, &image_share) in shares.iter().enumerate().filter(|(_, share)| **share >= cut) {
        let (layer, head) = (index / heads, index % heads);
        let weights = trace.weights(row, layer, head)?;
        // Spans do not touch each other: their components are counted together.
        let masses: Vec<f32> = trace
            .meta()
            .spans
            .iter()
            .flat_map(|span| components(&span.values_of(&weights).collect::<Vec<_>>(), span))
            .collect();
        let entropy = entropy_of(&masses);
        choices.push(HeadChoice { layer: layer as u32, head: head as u32, image_share, entropy });
    }
    choices.sort_by(|left, right| {
        let by_entropy = left.entropy.total_cmp(&right.entropy);
        by_entropy.then(right.image_share.total_cmp(&left.image_share))
    });
    choices.truncate(CHOSEN);
    Some(choices)
}

/// Mean of the chosen heads' attention on the patches: [G, N].
pub(super) fn map(trace: &Trace, _seed: u64) -> Result<Vec<f32>, Missing> {
    let keys = patch_keys(trace);
    each_answer(trace, |answer, row| {
        of_answer(trace, answer, row, &keys).ok_or_else(|| tensor("attention.weights"))
    })
}

fn of_answer(trace: &Trace, answer: AnswerIndex, row: usize, keys: &[u32]) -> Option<Vec<f32>> {
    let choices = chosen_heads(trace, answer)?;
    let mut map = vec![0.0; keys.len()];
    for choice in &choices {
        let weights = trace.weights(row, choice.layer as usize, choice.head as usize)?;
        for (sum, &key) in map.iter_mut().zip(keys) {
            *sum += weights[key as usize] / choices.len() as f32;
        }
    }
    Some(map)
}

/// H = −Σ P(C) log P(C) in nats over the connected components C of the patches above the map's mean,
/// P(C) being a component's share of their attention (4-neighbours, arXiv 2503.06287, equation 3).
pub fn spatial_entropy(map: &[f32], span: &ImageSpan) -> f32 {
    entropy_of(&components(map, span))
}

fn entropy_of(masses: &[f32]) -> f32 {
    let total: f32 = masses.iter().sum();
    let part = |mass: &f32| {
        let share = mass / total;
        if share > 0.0 { -share * share.ln() } else { 0.0 }
    };
    if total > 0.0 { masses.iter().map(part).sum() } else { f32::INFINITY }
}

/// The mass of each connected component of the patches above the mean.
fn components(map: &[f32], span: &ImageSpan) -> Vec<f32> {
    let columns = span.columns as usize;
    let mean = map.iter().sum::<f32>() / map.len().max(1) as f32;
    let mut open: Vec<bool> = map.iter().map(|&value| value > mean).collect();
    let mut masses = Vec::new();
    for start in 0..map.len() {
        if !open[start] {
            continue;
        }
        open[start] = false;
        let (mut mass, mut edge) = (0.0, vec![start]);
        while let Some(at) = edge.pop() {
            mass += map[at];
            let column = at % columns;
            let neighbours = [
                at.checked_sub(columns),
                Some(at + columns),
                (column > 0).then(|| at - 1),
                (column + 1 < columns).then_some(at + 1),
            ];
            for next in neighbours.into_iter().flatten() {
                if open.get(next) == Some(&true) {
                    open[next] = false;
                    edge.push(next);
                }
            }
        }
        masses.push(mass);
    }
    masses
}
