//! Rankings of heads, and how much of them would stay with other samples.

use super::auc::quantile;
use super::{Cube, Mask};
use crate::job::CancelToken;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Samples whose numbers are multiplied at once.
const CHUNK: usize = 256;
/// Resamples of fewer samples say nothing about other samples.
pub const LEAST_SAMPLES: usize = 10;

/// Options of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankingOptions {
    /// The first places, whose stability is measured.
    pub first: usize,
    /// Number of resamples.
    pub resamples: usize,
    /// Seed of the resamples.
    pub seed: u64,
    /// Whether the smallest mean is first.
    pub low_first: bool,
    /// Whether the size of a number counts, not its sign.
    pub by_size: bool,
}

impl Default for RankingOptions {
    fn default() -> Self {
        Self { first: 12, resamples: 200, seed: 0, low_first: false, by_size: false }
    }
}

/// A head in a ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankedHead {
    /// The cell of the cube.
    pub cell: usize,
    /// The number by which it is ranked: the mean, or the difference of means.
    pub value: f64,
    /// Share of the resamples in which the head is among the first places, 0–1.
    pub stability: f64,
    /// The 5 % and 95 % quantiles of its rank over the resamples, counted from 1.
    pub ranks: [f64; 2],
}

/// Heads in their order; heads without a value are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The heads, the best one first.
    pub heads: Vec<RankedHead>,
    /// The options.
    pub options: RankingOptions,
    /// Number of samples that have a number, of two groups the smaller one.
    pub samples: usize,
}

impl Ranking {
    /// Whether there are enough samples for the stability and the ranges of ranks to mean something.
    pub const fn has_stability(&self) -> bool {
        self.samples >= LEAST_SAMPLES
    }

    /// Ranks heads by their mean over a group of samples.
    ///
    /// Resampling draws as many samples as the group has, with replacement. `None` if it was cancelled.
    pub fn of_group(
        cube: &Cube,
        mask: &Mask,
        options: RankingOptions,
        cancel: &CancelToken,
    ) -> Option<Self> {
        let group = mask.rows();
        let moments = cube.moments(mask);
        let value = moments.cells.iter().map(|cell| cell.mean).collect();
        let mut draws = Draws::new(options.seed);
        let drawn = draws.means(cube, &group, options.resamples, cancel)?;
        Some(Self::new(value, &drawn, options, moments.counted().most))
    }

    /// Ranks heads by the difference of their means between two groups; each group is resampled by itself.
    pub fn of_difference(
        cube: &Cube,
        groups: [&Mask; 2],
        options: RankingOptions,
        cancel: &CancelToken,
    ) -> Option<Self> {
        let mut draws = Draws::new(options.seed);
        let [first, second] = groups.map(|mask| cube.moments(mask));
        let value = first.cells.iter().zip(&second.cells).map(|(a, b)| a.mean - b.mean).collect();
        let mut drawn = draws.means(cube, &groups[0].rows(), options.resamples, cancel)?;
        let other = draws.means(cube, &groups[1].rows(), options.resamples, cancel)?;
        drawn.iter_mut().zip(&other).for_each(|(first, second)| *first -= second);
        let samples = first.counted().most.min(second.counted().most);
        Some(Self::new(value, &drawn, options, samples))
    }

    /// `drawn` is \[resamples, cells\].
    fn new(value: Vec<f64>, drawn: &[f64], options: RankingOptions, samples: usize) -> Self {
        let size = |value: f64| if options.by_size { value.abs() } else { value };
        let sign = if options.low_first { -1.0 } else { 1.0 };
        let cells = value.len();
        let order = |values: &[f64]| {
            let mut order: Vec<usize> = (0..cells).filter(|&cell| !values[cell].is_nan()).collect();
            order.sort_by(|&a, &b| {
                let [a, b] = [a, b].map(|cell| sign * size(values[cell]));
                b.total_cmp(&a)
            });
            order
        };
        let mut ranks: Vec<Vec<f64>> = vec![Vec::with_capacity(options.resamples); cells];
        for values in drawn.chunks_exact(cells.max(1)) {
            for (rank, cell) in order(values).into_iter().enumerate() {
                ranks[cell].push((rank + 1) as f64);
            }
        }
        let head = |cell: usize| {
            let mut own = std::mem::take(&mut ranks[cell]);
            own.sort_by(f64::total_cmp);
            let among = own.iter().filter(|rank| **rank <= options.first as f64).count();
            RankedHead {
                cell,
                value: value[cell],
                stability: among as f64 / options.resamples.max(1) as f64,
                ranks: [quantile(&own, 0.05), quantile(&own, 0.95)],
            }
        };
        let heads = order(&value).into_iter().map(head).collect();
        Self { heads, options, samples }
    }
}

/// Resamples of the samples.
struct Draws {
    random: ChaCha12Rng,
}

impl Draws {
    fn new(seed: u64) -> Self {
        Self { random: ChaCha12Rng::seed_from_u64(seed) }
    }

    /// The mean of every cell over resamples of a group: \[resamples, cells\], NaN where none has a value; `None` if it was
    /// cancelled.
    ///
    /// A resample is the number of times that each sample is drawn, so that the means of all resamples are a product of
    /// matrices.
    fn means(
        &mut self,
        cube: &Cube,
        group: &[usize],
        resamples: usize,
        cancel: &CancelToken,
    ) -> Option<Vec<f64>> {
        let (cells, n) = (cube.cells(), group.len());
        let mut sums = vec![0.0_f64; resamples * cells];
        let mut counts = vec![0.0_f64; resamples * cells];
        let mut times = vec![0.0_f32; resamples * n];
        if n > 0 {
            for of_resample in times.chunks_exact_mut(n) {
                for _ in 0..n {
                    of_resample[self.random.random_range(0..n)] += 1.0;
                }
            }
        }
        let (mut values, mut present) =
            (vec![0.0_f32; CHUNK * cells], vec![0.0_f32; CHUNK * cells]);
        let mut product = vec![0.0_f32; resamples * cells];
        for (chunk, rows) in group.chunks(CHUNK).enumerate() {
            if cancel.is_cancelled() {
                return None;
            }
            let mut misses = false;
            for (row, &sample) in rows.iter().enumerate() {
                let place = values[row * cells..][..cells]
                    .iter_mut()
                    .zip(&mut present[row * cells..][..cells]);
                for ((value, present), &own) in place.zip(cube.sample(sample)) {
                    let has = !own.is_nan();
                    misses |= !has;
                    *value = if has { own } else { 0.0 };
                    *present = f32::from(u8::from(has));
                }
            }
            let times = &times[chunk * CHUNK..];
            multiply(times, n, &values, [resamples, rows.len(), cells], &mut product);
            sums.iter_mut().zip(&product).for_each(|(sum, part)| *sum += f64::from(*part));
            if misses {
                multiply(times, n, &present, [resamples, rows.len(), cells], &mut product);
                counts
                    .iter_mut()
                    .zip(&product)
                    .for_each(|(count, part)| *count += f64::from(*part));
            } else {
                for (resample, counts) in counts.chunks_exact_mut(cells.max(1)).enumerate() {
                    let drawn: f32 = times[resample * n..][..rows.len()].iter().sum();
                    counts.iter_mut().for_each(|count| *count += f64::from(drawn));
                }
            }
        }
        let mean = |(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { f64::NAN };
        Some(sums.into_iter().zip(counts).map(mean).collect())
    }
}

/// `out` \[m, n\] = `left` \[m, k\], whose rows lie `stride` apart, × `right` \[k, n\].
fn multiply(left: &[f32], stride: usize, right: &[f32], [m, k, n]: [usize; 3], out: &mut [f32]) {
    if m == 0 || k == 0 || n == 0 {
        return out.fill(0.0);
    }
    let fits = left.len() >= (m - 1) * stride + k && right.len() >= k * n && out.len() >= m * n;
    assert!(fits, "the factors are smaller than the product needs");
    // SAFETY: the assertion above keeps every index inside its slice, `out` is not shared, and the pointers are aligned because
    // they come from slices of f32.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            left.as_ptr(),
            stride as isize,
            1,
            right.as_ptr(),
            n as isize,
            1,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}
