//! Controls of an explanation: other sets with the same number of patches and words.

use super::error::CausalError;
use super::nodes::{target_row, text_before};
use crate::analysis::reduce::patch_keys;
use crate::trace::{AnswerIndex, Trace};
use rand::seq::IndexedRandom as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;

/// A control is drawn among this many whose attention is closest.
const CLOSEST: usize = 4;

/// The patches and words that an explanation of one head could name, with their attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// Position and attention, ascending by position.
    all: Vec<(u32, f32)>,
}

impl Candidates {
    /// All patches, and the text behind the pictures and before the row that predicts the token.
    ///
    /// # Errors
    /// A token, head or row that the trace does not have.
    pub fn of(trace: &Trace, answer: AnswerIndex, head: u32) -> Result<Self, CausalError> {
        let row = target_row(trace, answer, head)?;
        let target = trace.meta().query_of_answer(answer).0;
        let mut keys = patch_keys(trace);
        keys.retain(|&key| key < target);
        keys.extend(text_before(trace, target));
        keys.sort_unstable();
        let weight = |key: u32| row.get(key as usize).copied().unwrap_or(0.0);
        Ok(Self { all: keys.into_iter().map(|key| (key, weight(key))).collect() })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The sum of their attention over some positions.
    pub fn attention(&self, positions: &[u32]) -> f32 {
        let chosen = self.all.iter().filter(|(position, _)| positions.contains(position));
        chosen.map(|(_, attention)| attention).sum()
    }

    /// The `count` of largest attention; positions, ascending.
    pub fn top_attention(&self, count: usize) -> Vec<u32> {
        self.top(count, |_, attention| attention)
    }

    /// The `count` of largest value in a row over all T positions.
    pub fn top_of_row(&self, row: &[f32], count: usize) -> Vec<u32> {
        self.top(count, |position, _| row.get(position as usize).copied().unwrap_or(f32::MIN))
    }

    fn top(&self, count: usize, value: impl Fn(u32, f32) -> f32) -> Vec<u32> {
        let mut ranked: Vec<(u32, f32)> = self
            .all
            .iter()
            .map(|&(position, attention)| (position, value(position, attention)))
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ascending(ranked.into_iter().take(count).map(|(position, _)| position))
    }

    /// As many others as there are in `set`, at random. Fewer where the others do not suffice.
    pub fn random(&self, set: &[u32], random: &mut ChaCha12Rng) -> Vec<u32> {
        let others = self.all.iter().map(|&(position, _)| position);
        let others: Vec<u32> = others.filter(|position| !set.contains(position)).collect();
        ascending(others.sample(random, set.len()).copied())
    }

    /// As many others as there are in `set`, each drawn among those whose attention is closest to
    /// that of one of the set. Fewer where the others do not suffice.
    pub fn equal_attention(&self, set: &[u32], random: &mut ChaCha12Rng) -> Vec<u32> {
        let is_member = |(position, _): &&(u32, f32)| set.contains(position);
        let members = self.all.iter().filter(is_member);
        let mut wanted: Vec<f32> = members.map(|&(_, attention)| attention).collect();
        let mut others: Vec<(u32, f32)> =
            self.all.iter().filter(|candidate| !is_member(candidate)).copied().collect();
        // No member has the first choice in every draw.
        wanted.shuffle(random);
        let mut drawn = Vec::with_capacity(wanted.len());
        for attention in wanted {
            let distance = |other: &(u32, f32)| (other.1 - attention).abs();
            others.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.0.cmp(&b.0)));
            let closest: Vec<usize> = (0..others.len().min(CLOSEST)).collect();
            if let Some(&index) = closest.choose(random) {
                drawn.push(others.swap_remove(index).0);
            }
        }
        ascending(drawn.into_iter())
    }
}

fn ascending(positions: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut positions: Vec<u32> = positions.collect();
    positions.sort_unstable();
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn candidates() -> Candidates {
        let attention = |position: u32| (position % 10) as f32 / 100.0;
        Candidates { all: (5..45).map(|position| (position, attention(position))).collect() }
    }

    #[test]
    fn the_largest_are_taken_and_of_equals_the_first() {
        let found = candidates();
        assert_eq!(found.top_attention(3), [9, 19, 29]);
        let row: Vec<f32> = (0..50).map(|position| -(position as f32)).collect();
        assert_eq!(found.top_of_row(&row, 2), [5, 6]);
        assert!((found.attention(&[9, 15]) - 0.14).abs() < 1e-6);
    }

    #[test]
    fn controls_are_others_of_about_equal_attention() {
        let found = candidates();
        let set = [9, 11, 19];
        let mut random = ChaCha12Rng::seed_from_u64(3);
        let mut seen = Vec::new();
        for _ in 0..20 {
            let control = found.equal_attention(&set, &mut random);
            assert_eq!(control.len(), 3);
            assert!(control.iter().all(|position| !set.contains(position)));
            let gap = found.attention(&control) - found.attention(&set);
            assert!(gap.abs() <= 0.04 + 1e-6, "{control:?}");
            assert!(control.windows(2).all(|pair| pair[0] < pair[1]));
            seen.push(control);
            let drawn = found.random(&set, &mut random);
            assert!(drawn.len() == 3 && drawn.iter().all(|position| !set.contains(position)));
        }
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 3, "draws differ");
        let most: Vec<u32> = (5..44).collect();
        assert_eq!(found.equal_attention(&most, &mut random), [44]);
    }
}
