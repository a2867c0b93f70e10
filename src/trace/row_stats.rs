//! Overview numbers of one attention row: matrices and charts need these, not the page.

use super::ImageSpan;
use half::f16;
use std::ops::Range;
use std::sync::LazyLock;

/// Value and value · ln(value) of every non-negative f16, indexed by its bits: without the table, the entropy of every
/// head and row would take a tenth of the model's own time.
static TABLE: LazyLock<Vec<[f32; 2]>> = LazyLock::new(|| {
    (0..f16::INFINITY.to_bits())
        .map(|bits| {
            let value = f16::from_bits(bits).to_f32();
            let product = if value > 0.0 { f64::from(value) * f64::from(value).ln() } else { 0.0 };
            [value, product as f32]
        })
        .collect()
});

/// Largest difference from 1 of the attention's sum over a row. Every row is the output of a softmax; its rounding to f16
/// changes the sum by up to 1e-3.
pub const ROW_SUM_TOLERANCE: f32 = 1e-2;

/// The overview numbers that are kept for each row, layer and head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stat {
    /// Sum of the attention on all patches.
    ImageSum = 0,
    /// Sum of the attention on the question positions.
    QuestionSum = 1,
    /// Largest attention on a patch.
    ImageMax = 2,
    /// Entropy, in nats, of the attention on the patches normalised to sum 1.
    ImageEntropy = 3,
    /// Index over all spans of the patch with the maximum.
    ImageArgmax = 4,
}

/// Length of the last axis of `attention.stats`.
pub const STAT_COUNT: usize = 5;

/// The keys of the patches and of the question in a row, for [`Self::measure`].
#[derive(Clone, Debug)]
pub struct RowStats {
    images: Vec<Range<usize>>,
    question: Vec<Range<usize>>,
    scale: f32,
}

impl RowStats {
    /// For rows with patches at the keys of `spans` and the question at the keys `question`; weights are attention ×
    /// `scale`.
    pub fn new(spans: &[ImageSpan], question: impl IntoIterator<Item = usize>, scale: f32) -> Self {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for key in question {
            match runs.last_mut() {
                Some(run) if run.end == key => run.end += 1,
                _ => runs.push(key..key + 1),
            }
        }
        Self { images: spans.iter().flat_map(ImageSpan::runs).collect(), question: runs, scale }
    }

    /// The factor: weights are attention × this.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The numbers of one row of weights, in the order of [`crate::trace::Stat`]: image sum, question sum, image
    /// maximum, image entropy in nats (of the attention on the patches scaled to sum 1; 0 if there is no such
    /// attention) and the index over all spans of the patch with the maximum. Keys past the end of the row are 0.
    pub fn measure(&self, weights: &[f16]) -> [f32; STAT_COUNT] {
        let table = TABLE.as_slice();
        let clip = |range: &Range<usize>| {
            &weights[range.start.min(weights.len())..range.end.min(weights.len())]
        };
        let (mut sum, mut products) = (0.0_f64, 0.0_f64);
        let (mut best, mut best_patch, mut first_patch) = (f16::ZERO.to_bits(), 0, 0);
        for range in &self.images {
            let row = clip(range);
            // Blocks in f32, their sums in f64: fast, and exact to the last digits.
            for (block_index, block) in row.chunks(BLOCK).enumerate() {
                let mut block_sums = [0.0_f32; 2];
                for (index, weight) in block.iter().enumerate() {
                    let bits = weight.to_bits();
                    if let Some([value, product]) = table.get(usize::from(bits)) {
                        block_sums[0] += value;
                        block_sums[1] += product;
                        // Non-negative f16 values have the same order as their bits.
                        if bits > best {
                            best = bits;
                            best_patch = first_patch + block_index * BLOCK + index;
                        }
                    }
                }
                sum += f64::from(block_sums[0]);
                products += f64::from(block_sums[1]);
            }
            first_patch += range.len();
        }
        // −Σ (w/s) ln(w/s) = ln s − Σ w ln w / s.
        let entropy = if sum > 0.0 { (sum.ln() - products / sum).max(0.0) } else { 0.0 };
        let question = self.question.iter().flat_map(|run| clip(run).chunks(BLOCK));
        let question: f64 = question
            .map(|block| f64::from(block.iter().map(|weight| weight.to_f32()).sum::<f32>()))
            .sum();
        let scale = f64::from(self.scale);
        [
            (sum / scale) as f32,
            (question / scale) as f32,
            f16::from_bits(best).to_f32() / self.scale,
            entropy as f32,
            best_patch as f32,
        ]
    }
}

const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn span(first: u32, rows: u32, columns: u32) -> ImageSpan {
        ImageSpan { first, rows, columns, ..ImageSpan::default() }
    }

    #[test]
    fn a_uniform_row_has_the_entropy_of_its_patches() {
        let stats = RowStats::new(&[span(1, 2, 4)], 9..11, 4096.0);
        let row: Vec<f16> = [0.0].into_iter().chain([409.6; 10]).map(f16::from_f32).collect();
        let [image, question, largest, entropy, argmax] = stats.measure(&row);
        assert!((image - 0.8).abs() < 1e-3 && (question - 0.2).abs() < 1e-3);
        assert!((largest - 0.1).abs() < 1e-4 && (entropy - 8.0_f32.ln()).abs() < 1e-5);
        assert_eq!(argmax, 0.0);
    }

    #[test]
    fn a_row_that_ends_before_the_picture_has_nothing() {
        let stats = RowStats::new(&[span(4, 2, 2)], 8..9, 4096.0);
        assert_eq!(stats.measure(&[f16::ONE; 3]), [0.0; 5]);
    }

    proptest! {
        #[test]
        fn numbers_agree_with_their_definitions(
            weights in proptest::collection::vec(0.0_f32..4096.0, 30..200),
        ) {
            let stats = RowStats::new(&[span(2, 2, 5), span(14, 3, 3)], 23..28, 4096.0);
            let row: Vec<f16> = weights.iter().map(|&weight| f16::from_f32(weight)).collect();
            let exact: Vec<f64> = row.iter().map(|weight| weight.to_f64() / 4096.0).collect();
            let patches: Vec<f64> = exact[2..12].iter().chain(&exact[14..23]).copied().collect();
            let sum: f64 = patches.iter().sum();
            let entropy: f64 =
                patches.iter().map(|p| p / sum).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
            let largest = patches.iter().copied().fold(0.0, f64::max);
            let argmax = patches.iter().position(|p| *p == largest).unwrap();
            let question: f64 = exact[23..28].iter().sum();
            let found = stats.measure(&row);
            for (found, expected) in found.iter().zip([sum, question, largest, entropy]) {
                prop_assert!((f64::from(*found) - expected).abs() <= 2e-5 * expected.max(1.0));
            }
            prop_assert_eq!(found[4], argmax as f32);
        }
    }
}
