//! Relevancy row by row: rules 5 and 6 of Chefer et al. (arXiv 2103.15679), computed only for the rows that are needed.
//!
//! Rule 6 multiplies matrices, R = (I + Ā_L) … (I + Ā_1) with Ā_l = mean over heads of
//! (gradient ⊙ attention)⁺, but a map is one row of R. That row satisfies r ← r + r Ā_l from the
//! *last* layer to the first, starting from the unit vector of its position: exact, and O(L·T²)
//! where the product costs O(L·T³). Rows of several answer tokens do not depend on each other, so
//! they are one matrix product a layer, divided among threads.

use super::reduce::{Fold, named_map, patch_keys};
use crate::trace::{AnswerIndex, MapKeys, TokenKind, Trace, Word, characters, spelled, words};
use std::ops::Range;

/// Consecutive rows of Ā of one layer, row-major.
#[derive(Clone, Copy, Debug)]
pub struct AbarRows<'a> {
    /// Position of the first row.
    pub first: usize,
    /// Length of each row; entries past it are 0.
    pub columns: usize,
    /// [rows, `columns`].
    pub values: &'a [f32],
}

/// The entries of Ā that can differ from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Only those up to the diagonal: a language model.
    Causal,
    /// All: a vision tower.
    Full,
}

/// Rows of Ā that are multiplied at once if the mask is causal: few enough to skip most of the zeros, many enough for a
/// fast matrix product.
const PANEL_ROWS: usize = 128;
/// Fewer rows of R than this are not worth a thread.
const ROWS_PER_THREAD: usize = 8;

/// Propagates rows of R from the last layer down to the first, r ← r + r Ā_l, and returns r minus its start.
///
/// `starts` is [n, `positions`]: unit vectors, or any combination of them. The starts are kept apart from the sums that
/// are added to them, because a small relevancy would lose its last digits beside a 1. `layers` holds each layer's rows
/// of Ā, first layer first, in ascending order of position; rows that no block covers are 0. The n rows are divided
/// among `threads`.
pub fn propagate(
    layers: &[Vec<AbarRows<'_>>],
    mask: Mask,
    starts: &[f32],
    positions: usize,
    threads: usize,
) -> Vec<f32> {
    let mut rows = vec![0.0; starts.len()];
    if positions == 0 || starts.is_empty() {
        return rows;
    }
    let count = starts.len() / positions;
    let threads = threads.clamp(1, count.div_ceil(ROWS_PER_THREAD));
    let share = count.div_ceil(threads) * positions;
    if threads == 1 {
        propagate_share(layers, mask, starts, &mut rows, positions);
        return rows;
    }
    std::thread::scope(|scope| {
        for (starts, rows) in starts.chunks(share).zip(rows.chunks_mut(share)) {
            scope.spawn(move || propagate_share(layers, mask, starts, rows, positions));
        }
    });
    rows
}

fn propagate_share(
    layers: &[Vec<AbarRows<'_>>],
    mask: Mask,
    starts: &[f32],
    rows: &mut [f32],
    positions: usize,
) {
    let mut whole = Vec::new();
    for blocks in layers.iter().rev() {
        if mask == Mask::Full {
            // Every row of Ā changes every entry, so all entries are read before any is written.
            entries(starts, rows, positions, 0..positions, &mut whole);
        }
        for block in blocks {
            let last = block.first + block.values.len() / block.columns.max(1);
            let step = if mask == Mask::Causal { PANEL_ROWS } else { positions };
            let mut panel = Vec::new();
            for first in (block.first..last).step_by(step) {
                let end = (first + step).min(last);
                // A causal row changes entries up to its own position only. Panels run in ascending order, so these
                // entries have been read already, except the panel's own, which `entries` copies.
                let (factors, columns) = match mask {
                    Mask::Causal => {
                        entries(starts, rows, positions, first..end, &mut panel);
                        (Factors { values: &panel, stride: end - first }, block.columns.min(end))
                    }
                    Mask::Full => {
                        let values = &whole[first..];
                        (Factors { values, stride: positions }, block.columns.min(positions))
                    }
                };
                let values = &block.values[(first - block.first) * block.columns..];
                let shape = [end - first, columns];
                add_product(factors, values, shape, block.columns, rows, positions);
            }
        }
    }
}

/// Columns of R: the sum of the starts and of the added rows.
fn entries(
    starts: &[f32],
    rows: &[f32],
    positions: usize,
    columns: Range<usize>,
    out: &mut Vec<f32>,
) {
    out.clear();
    for (start, row) in starts.chunks_exact(positions).zip(rows.chunks_exact(positions)) {
        let pairs = start[columns.clone()].iter().zip(&row[columns.clone()]);
        out.extend(pairs.map(|(start, added)| start + added));
    }
}

/// The entries of R that a product reads: [n, k] with `stride` between rows.
#[derive(Clone, Copy)]
struct Factors<'a> {
    values: &'a [f32],
    stride: usize,
}

/// rows[:, ..columns] += factors [n, k] × values [k, columns]; rows of `values` are `values_stride` apart.
fn add_product(
    factors: Factors<'_>,
    values: &[f32],
    [k, columns]: [usize; 2],
    values_stride: usize,
    rows: &mut [f32],
    positions: usize,
) {
    let n = rows.len() / positions;
    if n == 0 || k == 0 || columns == 0 {
        return;
    }
    let fits = columns <= positions
        && columns <= values_stride
        && k <= factors.stride
        && factors.values.len() >= (n - 1) * factors.stride + k
        && values.len() >= (k - 1) * values_stride + columns;
    assert!(fits, "rows of Ā end before the positions that they were given for");
    // SAFETY: the assertion above keeps every index inside its slice, `rows` is not shared, and the
    // pointers are aligned because they come from slices of f32.
    unsafe {
        matrixmultiply::sgemm(
            n,
            k,
            columns,
            1.0,
            factors.values.as_ptr(),
            factors.stride as isize,
            1,
            values.as_ptr(),
            values_stride as isize,
            1,
            1.0,
            rows.as_mut_ptr(),
            positions as isize,
            1,
        );
    }
}

/// The row of R that a map is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The row of one position: a predicting position, or a class token.
    Position(usize),
    /// The mean of all rows: a vision tower without a class token.
    Mean,
}

impl Start {
    /// The row of R before any layer.
    pub fn row(self, positions: usize) -> Vec<f32> {
        let mut row = vec![0.0; positions];
        match self {
            Self::Position(position) => row[position] = 1.0,
            Self::Mean => row.fill(1.0 / positions.max(1) as f32),
        }
        row
    }
}

/// Divides the added part of a row of R by its sum, as traces store it (equations 8 and 9 of the paper, which add the
/// residual back only for further products), so that an entry is a *share* of the token's relevancy. A row of zeros
/// stays 0.
pub fn normalise_row(row: &mut [f32]) {
    let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
    let factor = if sum > 0.0 { (1.0 / sum) as f32 } else { 0.0 };
    row.iter_mut().for_each(|value| *value *= factor);
}

/// Shares of an answer token's relevancy by source; they sum to 1 (or are all 0).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reliance {
    /// Share of the patches.
    pub picture: f32,
    /// Share of the words of the question.
    pub question: f32,
    /// Share of the answer before this token, and of the answers of earlier turns.
    pub answer: f32,
    /// Share of the system prompt, the template's own words and control tokens.
    pub other: f32,
}

impl Reliance {
    /// The shares with their names, in the order in which they are listed.
    pub const fn named(&self) -> [(&'static str, f32); 4] {
        [
            ("picture as a whole", self.picture),
            ("question", self.question),
            ("answer before", self.answer),
            ("template, system, BOS", self.other),
        ]
    }

    /// Computes the shares of one row of relevancy.llm, `[T]`.
    pub fn from_row(row: &[f32], trace: &Trace) -> Self {
        let mut shares = Self::default();
        let mut sum = 0.0;
        let asked = question_positions(trace);
        for (key, (value, token)) in row.iter().zip(&trace.meta().tokens).enumerate() {
            sum += value;
            *match token.kind {
                TokenKind::Image => &mut shares.picture,
                TokenKind::Question if asked.contains(&key) => &mut shares.question,
                TokenKind::Answer => &mut shares.answer,
                _ => &mut shares.other,
            } += value;
        }
        if sum > 0.0 {
            let Self { picture, question, answer, other } = &mut shares;
            [picture, question, answer, other].into_iter().for_each(|share| *share /= sum);
        }
        shares
    }
}

/// A word of the last question with its relevancy for some answer tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct WordRelevancy {
    /// The text of its tokens, joined.
    pub text: String,
    /// Positions of its tokens.
    pub keys: Vec<usize>,
    /// Mean relevancy of its tokens.
    pub value: f32,
}

/// The question's words and the picture in one relevancy row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextRelevancy {
    /// The words in the order of the question.
    pub words: Vec<WordRelevancy>,
    /// Largest relevancy of a patch (LVLM-Interpret's "max_img").
    pub patch_max: f32,
    /// Sum over all patches.
    pub patch_sum: f32,
    /// Sum over all positions.
    pub total: f32,
}

impl TextRelevancy {
    /// Computes it from one row over all positions, `[T]`: relevancy.llm of a token, or a mean of several.
    pub fn from_row(row: &[f32], trace: &Trace) -> Self {
        let meta = trace.meta();
        let range = question_positions(trace);
        let tokens = meta.tokens.get(range.clone()).unwrap_or_default();
        let question = words(tokens).into_iter();
        let typed = question.filter(|word| word.kind == TokenKind::Question && word.is_numbered);
        let relevancy = |word: Word| {
            let keys: Vec<usize> = word.tokens.map(|token| range.start + token).collect();
            let sum: f32 = keys.iter().filter_map(|&key| row.get(key)).sum();
            WordRelevancy { text: word.text, value: sum / keys.len() as f32, keys }
        };
        let patches = || meta.spans.iter().flat_map(|span| span.values_of(row));
        Self {
            words: typed.map(relevancy).collect(),
            patch_max: patches().fold(0.0, f32::max),
            patch_sum: patches().sum(),
            total: row.iter().sum(),
        }
    }

    /// A sum as a share of the whole row, as in [`Reliance`].
    pub fn share(&self, sum: f32) -> f32 {
        if self.total > 0.0 { sum / self.total } else { 0.0 }
    }

    /// Index and share of each word, largest first: the sum over its tokens, as the picture's share is that over its
    /// patches.
    pub fn words_by_share(&self) -> Vec<(usize, f32)> {
        let share = |word: &WordRelevancy| self.share(word.value * word.keys.len() as f32);
        let mut order: Vec<(usize, f32)> = self.words.iter().map(share).enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        order
    }
}

/// Positions of the question as it was typed, without the template's words around it. If the question cannot be found
/// among the tokens, all text after the picture.
pub fn question_positions(trace: &Trace) -> Range<usize> {
    let meta = trace.meta();
    let keys = meta.question_range();
    let letters = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
    let asked = letters(&meta.question);
    let mut text = String::new();
    let tokens = &meta.tokens[keys.clone()];
    let runs = characters(tokens);
    let ends: Vec<usize> = runs
        .iter()
        .map(|run| {
            text.push_str(&letters(&spelled(&tokens[run.clone()])));
            text.len()
        })
        .collect();
    let Some(start) = text.rfind(&asked).filter(|_| !asked.is_empty()) else { return keys };
    let first = ends.partition_point(|&end| end <= start);
    let last = ends.partition_point(|&end| end < start + asked.len());
    let (Some(first), Some(last)) = (runs.get(first), runs.get(last)) else { return keys };
    keys.start + first.start..keys.start + last.end
}

/// The words of the answer, each as its text and its tokens. A token that belongs to no word forms an entry alone.
pub fn answer_words(trace: &Trace) -> Vec<(String, Vec<AnswerIndex>)> {
    let tokens = |word: Word| {
        let tokens = word.tokens.map(|token| AnswerIndex(token as u32)).collect();
        (word.text, tokens)
    };
    trace.meta().answer_words().into_iter().map(tokens).collect()
}

/// The tokens of a word without those that are punctuation alone; all of them if there are no others.
pub fn without_punctuation(trace: &Trace, tokens: &[AnswerIndex]) -> Vec<AnswerIndex> {
    let answers = trace.meta().answer_tokens();
    let is_spoken = |token: &AnswerIndex| {
        let token = answers.get(token.index());
        token.is_some_and(|token| token.text.chars().any(char::is_alphanumeric))
    };
    let spoken: Vec<AnswerIndex> = tokens.iter().copied().filter(is_spoken).collect();
    if spoken.is_empty() { tokens.to_vec() } else { spoken }
}

/// Mean of a map's rows over answer tokens, as LVLM-Interpret goes from tokens to words: `[T]` or `[N]`, like the map.
/// Tokens without a computed row are left out. `None` if the trace has no such map, a token does not exist, or the map
/// was computed for none of them.
pub fn mean_row(trace: &Trace, map: &str, tokens: &[AnswerIndex]) -> Option<Vec<f32>> {
    let answers: Vec<u32> = tokens.iter().map(|token| token.0).collect();
    let keys = match trace.map_keys(map)? {
        MapKeys::Patches => patch_keys(trace),
        MapKeys::Positions => (0..trace.shape().positions as u32).collect(),
    };
    named_map(trace, map, &answers, Fold::Mean, &keys)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use rand::RngExt as _;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    fn a_trace() -> Trace {
        let geometry = Geometry::named("small").unwrap();
        Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap()
    }

    /// R by rule 6 as a matrix recursion, in f64: R ← R + Ā R from the first layer to the last.
    fn by_matrices(layers: &[Vec<f32>], side: usize) -> Vec<f64> {
        let mut relevance = vec![0.0_f64; side * side];
        (0..side).for_each(|i| relevance[i * side + i] = 1.0);
        for layer in layers {
            let mut next = relevance.clone();
            for i in 0..side {
                for k in 0..side {
                    let factor = f64::from(layer[i * side + k]);
                    for j in 0..side {
                        next[i * side + j] += factor * relevance[k * side + j];
                    }
                }
            }
            relevance = next;
        }
        relevance
    }

    /// Random Ā [layers][side, side] with zeros sprinkled in, as clamping leaves them.
    fn random(layers: usize, side: usize, mask: Mask) -> Vec<Vec<f32>> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut entry = |row: usize, column: usize| {
            let value: f32 = random.random::<f32>() - 0.3;
            if mask == Mask::Causal && column > row { 0.0 } else { value.max(0.0) / side as f32 }
        };
        (0..layers).map(|_| (0..side * side).map(|i| entry(i / side, i % side)).collect()).collect()
    }

    fn close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().copied().fold(0.0, f64::max);
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() <= 1e-6 * largest, "{found} {expected}");
        }
    }

    #[test]
    fn rows_are_those_of_the_matrices_of_rule_6() {
        // More positions than a panel has rows, and more rows than one thread takes.
        for (side, mask) in
            [(7, Mask::Causal), (300, Mask::Causal), (7, Mask::Full), (150, Mask::Full)]
        {
            let abar = random(3, side, mask);
            let relevance = by_matrices(&abar, side);
            let blocks = |split: usize| -> Vec<Vec<AbarRows<'_>>> {
                let block = |layer, first: usize, last: usize| {
                    let layer: &'_ Vec<f32> = layer;
                    let values = &layer[first * side..last * side];
                    AbarRows { first, columns: side, values }
                };
                abar.iter()
                    .map(|layer| vec![block(layer, 0, split), block(layer, split, side)])
                    .collect()
            };
            let minus = |rows: &[f64], starts: &[f32]| -> Vec<f64> {
                rows.iter().zip(starts).map(|(row, start)| row - f64::from(*start)).collect()
            };
            for threads in [1, 3] {
                let positions: Vec<usize> = (0..side).step_by(side.div_ceil(20)).collect();
                let starts: Vec<f32> =
                    positions.iter().flat_map(|&p| Start::Position(p).row(side)).collect();
                let rows = propagate(&blocks(side / 3), mask, &starts, side, threads);
                for ((row, &p), start) in
                    rows.chunks_exact(side).zip(&positions).zip(starts.chunks_exact(side))
                {
                    close(row, &minus(&relevance[p * side..(p + 1) * side], start));
                }
            }
            // The recursion is linear in its start.
            let start = Start::Mean.row(side);
            let mean = propagate(&blocks(1), mask, &start, side, 1);
            let expected: Vec<f64> = (0..side)
                .map(|j| (0..side).map(|i| relevance[i * side + j]).sum::<f64>() / side as f64)
                .collect();
            close(&mean, &minus(&expected, &start));
        }
    }

    #[test]
    fn shorter_rows_and_missing_rows_count_as_zeros() {
        let side = 6;
        let mut abar = random(2, side, Mask::Causal);
        // The prompt's rows end where the prompt does; row 4 is nowhere.
        let prompt = 4;
        for layer in &mut abar {
            layer[4 * side..5 * side].fill(0.0);
        }
        let cut: Vec<Vec<f32>> = abar
            .iter()
            .map(|layer| {
                let rows = layer.chunks_exact(side).take(prompt);
                rows.flat_map(|row| row[..prompt].to_vec()).collect()
            })
            .collect();
        let layers: Vec<Vec<AbarRows<'_>>> = abar
            .iter()
            .zip(&cut)
            .map(|(layer, cut)| {
                vec![
                    AbarRows { first: 0, columns: prompt, values: cut },
                    AbarRows { first: 5, columns: side, values: &layer[5 * side..] },
                ]
            })
            .collect();
        let start = Start::Position(5).row(side);
        let row = propagate(&layers, Mask::Causal, &start, side, 1);
        let mut expected = by_matrices(&abar, side)[5 * side..].to_vec();
        expected[5] -= 1.0;
        close(&row, &expected);
        assert!(propagate(&[], Mask::Causal, &start, side, 1).iter().all(|&value| value == 0.0));
        assert!(propagate(&layers, Mask::Causal, &[], side, 1).is_empty());
    }

    #[test]
    fn a_kept_row_holds_shares() {
        let mut row = [0.5, 0.0, 1.5];
        normalise_row(&mut row);
        assert_eq!(row, [0.25, 0.0, 0.75]);
        let mut empty = [0.0; 2];
        normalise_row(&mut empty);
        assert_eq!(empty, [0.0, 0.0]);
    }

    #[test]
    fn reliance_splits_a_row_by_what_its_positions_are() {
        let trace = a_trace();
        let positions = trace.shape().positions;
        let meta = trace.meta();
        let row = vec![1.0; positions];
        let shares = Reliance::from_row(&row, &trace);
        let total = shares.picture + shares.question + shares.answer + shares.other;
        assert!((total - 1.0).abs() < 1e-5);
        let expected = meta.patches() as f32 / positions as f32;
        assert!((shares.picture - expected).abs() < 1e-5);
        assert!(shares.question > 0.0 && shares.answer > 0.0);
        assert_eq!(Reliance::from_row(&vec![0.0; positions], &trace), Reliance::default());

        let asked = question_positions(&trace);
        assert!(
            asked.start >= meta.question_range().start && asked.end <= meta.question_range().end
        );
        let text = TextRelevancy::from_row(&row, &trace);
        assert!((text.patch_sum - meta.patches() as f32).abs() < 1e-3);
        assert_eq!(text.patch_max, 1.0);
        assert!(!text.words.is_empty());
        assert!(text.words.iter().all(|word| word.value == 1.0 && !word.keys.is_empty()));
    }

    #[test]
    fn every_answer_token_belongs_to_one_word() {
        let trace = a_trace();
        let words = answer_words(&trace);
        let tokens: Vec<u32> =
            words.iter().flat_map(|(_, tokens)| tokens.iter().map(|token| token.0)).collect();
        assert_eq!(tokens, (0..trace.shape().generated as u32).collect::<Vec<_>>());
        assert!(mean_row(&trace, "map.nowhere", &[AnswerIndex(0)]).is_none());
        assert!(mean_row(&trace, "relevancy.llm", &[]).is_none());
    }
}
