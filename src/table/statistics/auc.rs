//! Area under the ROC curve: a measure of the separation of two kinds of samples by one number.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Corners of a ROC curve that is not thinned.
pub const MOST_CORNERS: usize = 1000;
/// Least distance between the corners of a ROC curve that is thinned: no more than [`MOST_CORNERS`] fit on the way from \[0, 0\] to
/// \[1, 1\].
pub const CORNER_DISTANCE: f64 = 0.0021;

/// Area under the ROC curve with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auc {
    /// The chance that a positive sample has a larger score than a negative one; ties count half.
    pub auc: f64,
    /// The ends of the 95 % interval by bootstrap over the samples.
    pub interval: [f64; 2],
    /// Number of positive samples that have a score.
    pub positive: usize,
    /// Number of negative samples that have a score.
    pub negative: usize,
}

/// Scores in ascending order, as groups of equal ones.
struct Sorted {
    /// The group of each sample.
    group: Vec<usize>,
    positive: Vec<bool>,
    groups: usize,
}

impl Sorted {
    fn new(samples: &[(f64, bool)]) -> Self {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|&a, &b| samples[a].0.total_cmp(&samples[b].0));
        let (mut group, mut groups) = (vec![0; samples.len()], 0);
        for (rank, &at) in order.iter().enumerate() {
            if rank > 0 && samples[order[rank - 1]].0 < samples[at].0 {
                groups += 1;
            }
            group[at] = groups;
        }
        let positive = samples.iter().map(|(_, positive)| *positive).collect();
        Self { group, positive, groups: groups + 1 }
    }

    /// The area, where each sample counts as often as it is drawn.
    fn auc(&self, drawn: impl Iterator<Item = usize>) -> Option<f64> {
        let mut counts = vec![[0_u32; 2]; self.groups];
        for at in drawn {
            counts[self.group[at]][usize::from(self.positive[at])] += 1;
        }
        let (mut below, mut positives, mut area) = (0.0, 0.0, 0.0);
        for [negative, positive] in counts {
            let [negative, positive] = [negative, positive].map(f64::from);
            area += positive * (below + negative / 2.0);
            below += negative;
            positives += positive;
        }
        (positives > 0.0 && below > 0.0).then(|| area / (positives * below))
    }
}

/// The samples that have a score.
fn scored(score: &[f64], positive: &[bool]) -> Vec<(f64, bool)> {
    let pairs = score.iter().copied().zip(positive.iter().copied());
    // −0 and 0 are one score.
    pairs
        .filter(|(score, _)| !score.is_nan())
        .map(|(score, positive)| (score + 0.0, positive))
        .collect()
}

/// Area under the ROC curve of a score; samples whose score is NaN are left out. `None` if one kind is missing.
pub fn auc(score: &[f64], positive: &[bool]) -> Option<f64> {
    let samples = scored(score, positive);
    Sorted::new(&samples).auc(0..samples.len())
}

/// The corners of the ROC curve of a score: for thresholds from the largest score to the smallest one, the shares of the negative
/// and of the positive samples whose score reaches it, from \[0, 0\] to \[1, 1\]. The curve is straight between them. Of more than
/// [`MOST_CORNERS`], only those are there that lie [`CORNER_DISTANCE`] or more after the one before, both shares added. `None` if
/// one kind is missing.
pub fn roc(score: &[f64], positive: &[bool]) -> Option<Vec<[f64; 2]>> {
    let samples = scored(score, positive);
    let sorted = Sorted::new(&samples);
    let mut counts = vec![[0_u64; 2]; sorted.groups];
    for (group, positive) in sorted.group.iter().zip(&sorted.positive) {
        counts[*group][usize::from(*positive)] += 1;
    }
    let mut reached = [0, 0];
    let mut corners = vec![reached];
    for step in counts.iter().rev().filter(|step| **step != [0, 0]) {
        if let [.., before, last] = corners.as_slice()
            && (last[0] - before[0]) * step[1] == (last[1] - before[1]) * step[0]
        {
            // The step goes on in the direction of the one before.
            corners.pop();
        }
        reached = [reached[0] + step[0], reached[1] + step[1]];
        corners.push(reached);
    }
    let shares = |corner: &[u64; 2]| [0, 1].map(|kind| corner[kind] as f64 / reached[kind] as f64);
    let curve = corners.iter().map(shares).collect();
    (reached[0] > 0 && reached[1] > 0).then(|| thinned(curve))
}

/// A curve with few corners as it is; of others, those with a distance from the one before.
fn thinned(curve: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if curve.len() <= MOST_CORNERS {
        return curve;
    }
    let last = curve.last().copied();
    let mut kept: Vec<[f64; 2]> = Vec::new();
    for corner in curve {
        let is_far = kept
            .last()
            .is_none_or(|before| corner[0] - before[0] + corner[1] - before[1] >= CORNER_DISTANCE);
        if is_far || Some(corner) == last {
            kept.push(corner);
        }
    }
    kept
}

/// The area with its 95 % interval over `resamples` samples of the samples, drawn with replacement by `seed`. `None` if one
/// kind is missing.
pub fn auc_interval(score: &[f64], positive: &[bool], resamples: usize, seed: u64) -> Option<Auc> {
    let samples = scored(score, positive);
    let sorted = Sorted::new(&samples);
    let auc = sorted.auc(0..samples.len())?;
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut drawn = Vec::new();
    for _ in 0..resamples {
        let draw = (0..samples.len()).map(|_| random.random_range(0..samples.len()));
        drawn.extend(sorted.auc(draw));
    }
    drawn.sort_by(f64::total_cmp);
    let positives = samples.iter().filter(|(_, positive)| *positive).count();
    Some(Auc {
        auc,
        interval: [quantile(&drawn, 0.025), quantile(&drawn, 0.975)],
        positive: positives,
        negative: samples.len() - positives,
    })
}

/// A quantile of ascending numbers, interpolated linearly between neighbours; NaN of none.
pub(super) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    ascending[low] + (place - low as f64) * (ascending[high] - ascending[low])
}
