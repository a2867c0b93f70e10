//! Random maps: the baseline that every other method must beat.

use super::super::reduce::patch_keys;
use super::inputs::Missing;
use crate::trace::Trace;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Numbers in [0, 1) that depend on the seed alone.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every method that reads a trace")]
pub(super) fn map(trace: &Trace, seed: u64) -> Result<Vec<f32>, Missing> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let numbers = patch_keys(trace).len() * trace.shape().generated;
    // 24 random bits as a fraction of 1: f32 represents each of these values exactly.
    let unit = 1.0 / (1_u32 << 24) as f32;
    Ok((0..numbers).map(|_| (random.next_u32() >> 8) as f32 * unit).collect())
}
