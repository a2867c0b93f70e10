//! From numbers to 0–1: the CPU twin of `shaders/normalise.wgsl` and `shared/normalised.wgsl`.

/// The values that are mapped to 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RangeRule {
    /// Smallest and largest value of each map.
    PerMap,
    /// Smallest and largest value over all maps.
    Shared,
    /// Given numbers.
    Fixed {
        /// The value that becomes 0.
        low: f32,
        /// The value that becomes 1.
        high: f32,
    },
    /// Percentiles of each map (0–100); values outside are clipped.
    Percentile {
        /// The percentile that becomes 0.
        low: f32,
        /// The percentile that becomes 1.
        high: f32,
    },
}

/// The mapping of numbers to 0–1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// The values that become 0 and 1.
    pub rule: RangeRule,
    /// Logarithmic over four decades below the upper end.
    pub logarithmic: bool,
    /// The range is made symmetric about 0 (differences); never logarithmic.
    pub symmetric: bool,
}

/// A logarithmic scale covers four decades below the upper end.
pub const LOG_FLOOR: f32 = 1e-4;

/// Contour lines are drawn at these percentiles of the map.
pub const CONTOUR_PERCENTILES: [f32; 4] = [50.0, 75.0, 90.0, 97.0];

impl Scaling {
    /// The range of every map in [maps, `patches`]; with a shared range, all are equal.
    pub fn ranges(&self, maps: &[f32], patches: usize) -> Vec<[f32; 2]> {
        let own: Vec<[f32; 2]> =
            maps.chunks_exact(patches.max(1)).map(|map| self.own_range(map)).collect();
        if self.rule != RangeRule::Shared {
            return own;
        }
        let whole = own
            .iter()
            .copied()
            .reduce(|[low, high], [other_low, other_high]| {
                [low.min(other_low), high.max(other_high)]
            })
            .unwrap_or([0.0, 0.0]);
        vec![whole; own.len()]
    }

    fn own_range(&self, map: &[f32]) -> [f32; 2] {
        let [low, high] = match self.rule {
            RangeRule::Fixed { low, high } => return [low, high],
            RangeRule::Percentile { low, high } => [percentile(map, low), percentile(map, high)],
            RangeRule::PerMap | RangeRule::Shared => extremes(map),
        };
        if self.symmetric {
            // Never empty, so that 0 is in the middle if the two maps are equal.
            let reach = low.abs().max(high.abs()).max(1e-30);
            [-reach, reach]
        } else {
            [low, high]
        }
    }

    /// A value as a fraction of the range, 0–1.
    pub fn apply(&self, value: f32, [low, high]: [f32; 2]) -> f32 {
        if self.is_logarithmic() {
            let low = low.max(high * LOG_FLOOR);
            if low <= 0.0 || high <= low {
                return 0.0;
            }
            return ((value.max(low) / low).ln() / (high / low).ln()).clamp(0.0, 1.0);
        }
        let span = high - low;
        if span > 0.0 { ((value - low) / span).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Whether the scale between the ends is logarithmic.
    pub const fn is_logarithmic(&self) -> bool {
        self.logarithmic && !self.symmetric
    }
}

/// The smallest and the largest value; [0, 0] for an empty map.
fn extremes(map: &[f32]) -> [f32; 2] {
    /// Independent minima and maxima, so that half a million numbers of a wall do not form one chain of dependent
    /// steps.
    const LANES: usize = 8;
    let first = map.first().copied().unwrap_or(0.0);
    let (mut lows, mut highs) = ([first; LANES], [first; LANES]);
    let chunks = map.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for ((low, high), &value) in lows.iter_mut().zip(&mut highs).zip(chunk) {
            *low = low.min(value);
            *high = high.max(value);
        }
    }
    let low = lows.iter().chain(rest).fold(first, |low, &value| low.min(value));
    let high = highs.iter().chain(rest).fold(first, |high, &value| high.max(value));
    [low, high]
}

/// A range of numbers that come from stored weights: a point if they differ by no more than half floats are rounded,
/// because such differences mean nothing.
pub fn beyond_rounding([low, high]: [f32; 2]) -> [f32; 2] {
    let rounding = half::f16::EPSILON.to_f32() * high.abs();
    if high - low <= rounding { [low, low] } else { [low, high] }
}

/// The rank (from 0) of a percentile among `count` values, rounded to the nearest.
pub fn rank_of_percentile(count: usize, percentile: f32) -> u32 {
    let last = count.saturating_sub(1) as f32;
    (percentile.clamp(0.0, 100.0) / 100.0 * last).round() as u32
}

/// The value at a percentile, by nearest rank.
pub fn percentile(map: &[f32], percentile: f32) -> f32 {
    let mut sorted = map.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted.get(rank_of_percentile(map.len(), percentile) as usize).copied().unwrap_or(0.0)
}
