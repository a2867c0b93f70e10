//! Choice of the next token: greedy, or drawn with temperature and top-p from a seeded generator.
//!
//! The order is the same as in transformers: temperature first, then the nucleus. Log-probabilities are always those of
//! the model itself, before temperature.

use crate::logging::bug;
use crate::trace::Sampling;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Chooses tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha12Rng,
}

impl Sampler {
    /// A sampler with its own random numbers: the same seed draws the same tokens.
    pub fn new(sampling: Sampling) -> Self {
        Self { sampling, random: ChaCha12Rng::seed_from_u64(sampling.seed) }
    }

    /// The next id for `logits` `[V]`.
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        if self.sampling.is_greedy() {
            return argmax(logits);
        }
        let candidates = nucleus(logits, self.sampling.temperature, self.sampling.top_p);
        // 53 random bits as a fraction of 1.
        let mut left = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        for &(id, probability) in &candidates {
            left -= probability;
            if left < 0.0 {
                return id;
            }
        }
        // If rounding leaves a remainder, the most likely token is chosen.
        candidates.first().map_or_else(|| argmax(logits), |&(id, _)| id)
    }
}

/// The index of the largest logit; the first one if several are equal, as in torch.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best as u32
}

/// The ids that may be drawn with their probabilities, most likely first: softmax(logits / τ), restricted to the
/// smallest set whose probability reaches `top_p`, and scaled to sum 1 (`TemperatureLogitsWarper`, then
/// `TopPLogitsWarper` of transformers; Holtzman et al. 2019).
pub fn nucleus(logits: &[f32], temperature: f32, top_p: f32) -> Vec<(u32, f64)> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let temperature = f64::from(temperature.max(f32::MIN_POSITIVE));
    let mut candidates: Vec<(u32, f64)> = logits
        .iter()
        .enumerate()
        .map(|(id, &logit)| (id as u32, ((f64::from(logit) - largest) / temperature).exp()))
        .filter(|&(_, weight)| weight > 0.0)
        .collect();
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    candidates.sort_by(|(left_id, left), (right_id, right)| {
        right.total_cmp(left).then(left_id.cmp(right_id))
    });
    if top_p < 1.0 {
        // A token stays as long as the tokens before it have not reached top_p; the first always stays.
        let mut before = 0.0;
        let kept = candidates.iter().take_while(|(_, weight)| {
            let stays = before < f64::from(top_p);
            before += weight / total;
            stays
        });
        let kept = kept.count().max(1);
        candidates.truncate(kept);
    }
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut candidates {
        *weight /= total;
    }
    candidates
}

/// Natural logarithm of softmax(logits) for one id.
pub fn log_probability(logits: &[f32], id: u32) -> f32 {
    let Some(&logit) = logits.get(id as usize) else {
        bug!("token {id} is outside of {} logits", logits.len());
        return f32::NEG_INFINITY;
    };
    (f64::from(logit) - log_sum_exp(logits)) as f32
}

/// The `count` most likely ids with their log-probabilities, best first, smaller id first among
/// equals.
pub fn top(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let count = count.min(logits.len());
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |left: &u32, right: &u32| {
        let (left_logit, right_logit) = (logits[*left as usize], logits[*right as usize]);
        right_logit.total_cmp(&left_logit).then(left.cmp(right))
    };
    if count > 0 && count < ids.len() {
        ids.select_nth_unstable_by(count - 1, order);
    }
    ids.truncate(count);
    ids.sort_unstable_by(order);
    let normaliser = log_sum_exp(logits);
    ids.into_iter().map(|id| (id, (f64::from(logits[id as usize]) - normaliser) as f32)).collect()
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    largest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, -1.0, 3.0];

    #[test]
    fn greedy_takes_the_first_of_equals() {
        let mut sampler = Sampler::new(Sampling { temperature: 0.001, ..Sampling::default() });
        assert_eq!(sampler.next(&LOGITS), 1);
    }

    #[test]
    fn the_nucleus_is_the_smallest_set_that_reaches_top_p() {
        let all = nucleus(&LOGITS, 1.0, 1.0);
        let ids: Vec<u32> = all.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 4, 2, 0, 3]);
        // 0.40, 0.40, 0.15, …: 0.5 needs two, 0.85 three, nothing at all still one.
        for (top_p, expected) in [(0.5, 2), (0.85, 3), (0.0, 1)] {
            let kept = nucleus(&LOGITS, 1.0, top_p);
            assert_eq!(kept.len(), expected, "top_p {top_p}");
            let sum: f64 = kept.iter().map(|(_, probability)| probability).sum();
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn draws_follow_the_probabilities_and_repeat_with_the_seed() {
        let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: 7, ..Sampling::default() };
        let expected = nucleus(&LOGITS, sampling.temperature, sampling.top_p);
        let draw = || {
            let mut sampler = Sampler::new(sampling);
            (0..20_000).map(|_| sampler.next(&LOGITS)).collect::<Vec<u32>>()
        };
        let drawn = draw();
        for (id, probability) in expected {
            let share = drawn.iter().filter(|&&found| found == id).count() as f64 / 20_000.0;
            // Five standard deviations of a binomial share.
            let tolerance = 5.0 * (probability * (1.0 - probability) / 20_000.0).sqrt();
            assert!((share - probability).abs() < tolerance, "{id}: {share} for {probability}");
        }
        assert_eq!(drawn, draw());
        let other = Sampling { seed: 8, ..sampling };
        let mut sampler = Sampler::new(other);
        assert_ne!(drawn, (0..20_000).map(|_| sampler.next(&LOGITS)).collect::<Vec<u32>>());
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let sum: f32 = (0..5).map(|id| log_probability(&LOGITS, id).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        let best = top(&LOGITS, 3);
        assert_eq!(best.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 4, 2]);
        assert!((best[0].1 - log_probability(&LOGITS, 1)).abs() < 1e-7);
        assert_eq!(top(&LOGITS, 99).len(), 5);
    }
}
