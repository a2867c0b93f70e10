//! Synthetic attention with the structure of trained models, computed without a model.

use super::super::STAT_COUNT;
use super::geometry::{Geometry, SCALE};
use super::scene::{CIRCLE, OBJECTS, TRIANGLE};
use half::f16;
use half::slice::HalfFloatSliceExt as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The preferences of one head, as shares of a row's mass.
struct Head {
    /// Share on BOS.
    sink: f32,
    /// Share on the patches.
    image: f32,
    /// Share on the latest text tokens.
    local: f32,
    /// Decay length of the `local` share, in tokens before the query.
    reach: f32,
    /// Distributions over the patches, one for each object, each of sum 1: [objects, N].
    maps: Vec<f32>,
}

/// All heads of a synthetic model.
pub(super) struct Model {
    geometry: Geometry,
    /// Layer-major.
    heads: Vec<Head>,
}

/// Number of waves in the noise pattern of a head.
const NOISE_WAVES: usize = 4;

impl Model {
    pub fn new(geometry: &Geometry, seed: u64) -> Self {
        // One patch attracts attention in every head, whatever it shows (a register).
        let register = (geometry.patches() as usize * 5 / 7).saturating_sub(1);
        let heads = (0..geometry.layers * geometry.heads)
            .map(|index| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (u64::from(index) << 20));
                let depth = (index / geometry.heads) as f32 / geometry.layers.max(2) as f32;
                Head::new(geometry, depth, register, &mut rng)
            })
            .collect();
        Self { geometry: geometry.clone(), heads }
    }

    /// One page ([L, H, T], scaled f16) and its stats ([L, H, 5]).
    pub fn page(&self, query: u32) -> (Vec<f16>, Vec<f32>) {
        let positions = self.geometry.positions() as usize;
        let mut page = vec![f16::ZERO; self.heads.len() * positions];
        let mut stats = Vec::with_capacity(self.heads.len() * STAT_COUNT);
        let mut row = vec![0.0; positions];
        for (index, out) in page.chunks_exact_mut(positions).enumerate() {
            self.row(index, query, &mut row);
            stats.extend(self.stats(&row));
            row.iter_mut().for_each(|weight| *weight *= SCALE);
            out.convert_from_f32_slice(&row);
        }
        (page, stats)
    }

    /// The object that a query is about: the answer's words name a triangle, then a circle.
    fn object(&self, query: u32) -> usize {
        match (query + 1).checked_sub(self.geometry.prompt_len()) {
            Some(0..=2) => TRIANGLE,
            Some(5..=7) => CIRCLE,
            _ => query as usize % OBJECTS.len(),
        }
    }

    /// One row of one head, summing to 1: `[T]`.
    fn row(&self, head: usize, query: u32, row: &mut [f32]) {
        let g = &self.geometry;
        let (first, patches) = (g.system_len as usize, g.patches() as usize);
        let query_at = query as usize;
        let look = &self.heads[head];
        row.fill(0.0);
        // A small variation between queries.
        let pulse = 1.0 + 0.25 * (query as f32 * 1.7 + head as f32 * 0.61).sin();
        let (image, rest) = (look.image * pulse, (1.0 - look.sink - look.image).max(0.01));
        row[0] += look.sink;
        let map = &look.maps[self.object(query) * patches..][..patches];
        for (weight, share) in row[first..].iter_mut().zip(map) {
            *weight += image * share;
        }
        let is_text = |key: usize| key < first || key >= first + patches;
        let spread = rest * (1.0 - look.local) / (query_at + 1) as f32;
        // Beyond eight times the reach the exponential is negligible.
        let near = query_at.saturating_sub((look.reach * 8.0) as usize);
        for (key, weight) in row.iter_mut().enumerate().take(query_at + 1) {
            if is_text(key) {
                *weight += spread;
                if key >= near {
                    let back = (query_at - key) as f32 / look.reach;
                    *weight += rest * look.local / look.reach * (-back).exp();
                }
            }
        }
        row[query_at + 1..].fill(0.0);
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|weight| *weight /= sum);
    }

    /// The five overview numbers of a row, by their definitions.
    fn stats(&self, row: &[f32]) -> [f32; STAT_COUNT] {
        let g = &self.geometry;
        let first = g.system_len as usize;
        let image = &row[first..first + g.patches() as usize];
        let question = first + image.len()..g.prompt_len() as usize;
        let sum: f32 = image.iter().sum();
        let (argmax, max) = image
            .iter()
            .enumerate()
            .fold((0, 0.0_f32), |best, (at, &w)| if w > best.1 { (at, w) } else { best });
        let entropy: f32 = image
            .iter()
            .filter(|&&weight| weight > 0.0)
            .map(|&weight| {
                let p = weight / sum;
                -p * p.ln()
            })
            .sum();
        [sum, row[question].iter().sum(), max, entropy, argmax as f32]
    }

    /// A relevancy of every position for a query: `[T]`.
    pub fn relevancy(&self, query: u32) -> Vec<f32> {
        let mut mean = vec![0.0; self.geometry.positions() as usize];
        let mut row = mean.clone();
        let step = (self.heads.len() / 16).max(1);
        let chosen: Vec<usize> = (0..self.heads.len()).step_by(step).collect();
        for &head in &chosen {
            self.row(head, query, &mut row);
            mean.iter_mut().zip(&row).for_each(|(mean, weight)| *mean += weight);
        }
        mean.iter_mut().for_each(|mean| *mean /= chosen.len() as f32);
        // BOS is not a word: its attention sink is removed from relevancy.
        mean[0] = 0.0;
        mean
    }

    /// A map of the patches for a query: `[N]`.
    pub fn image_map(&self, query: u32) -> Vec<f32> {
        let first = self.geometry.system_len as usize;
        self.relevancy(query)[first..first + self.geometry.patches() as usize].to_vec()
    }
}

impl Head {
    fn new(g: &Geometry, depth: f32, register: usize, rng: &mut ChaCha8Rng) -> Self {
        // Image attention peaks in the middle layers, the BOS sink after the first few.
        let hump = (-((depth - 0.42) / 0.22).powi(2)).exp();
        let looks = rng.random::<f32>() < 0.12 + 0.25 * hump;
        let image = if looks {
            0.25 + 0.45 * rng.random::<f32>() * (0.4 + hump)
        } else {
            0.03 + 0.10 * rng.random::<f32>()
        };
        let early = (-depth * 14.0).exp();
        let sink = (0.85 - 0.7 * early) * (1.0 - image) * (0.6 + 0.4 * rng.random::<f32>());
        let sigma = if looks { 0.05 + 0.07 * rng.random::<f32>() } else { 0.35 };
        let maps = Self::maps(g, looks, sigma, register, rng);
        Self {
            sink,
            image,
            local: 0.2 + 0.7 * rng.random::<f32>(),
            reach: 1.0 + 9.0 * rng.random::<f32>(),
            maps,
        }
    }

    fn maps(
        g: &Geometry,
        looks: bool,
        sigma: f32,
        register: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let wave = |rng: &mut ChaCha8Rng| {
            [
                (rng.random::<f32>() - 0.5) * 26.0,
                (rng.random::<f32>() - 0.5) * 26.0,
                rng.random::<f32>() * std::f32::consts::TAU,
            ]
        };
        let waves: [[f32; 3]; NOISE_WAVES] = std::array::from_fn(|_| wave(rng));
        let drift = [(rng.random::<f32>() - 0.5) * 0.08, (rng.random::<f32>() - 0.5) * 0.08];
        let at_register = (if looks { 0.002 } else { 0.01 }) * (1.0 + 2.0 * rng.random::<f32>());
        let floor = if looks { 0.04 } else { 0.5 };
        let patches = g.patches() as usize;
        let mut maps = Vec::with_capacity(OBJECTS.len() * patches);
        for object in OBJECTS {
            let start = maps.len();
            for patch in 0..g.patches() {
                let u = ((patch % g.columns) as f32 + 0.5) / g.columns as f32;
                let v = ((patch / g.columns) as f32 + 0.5) / g.rows as f32;
                let [x, y] = [u - object[0] - drift[0], v - object[1] - drift[1]];
                let blob = (-(x * x + y * y) / (2.0 * sigma * sigma)).exp();
                let noise: f32 =
                    waves.iter().map(|[fx, fy, at]| (fx * u + fy * v + at).sin()).sum();
                let noise = 0.5 + 0.5 * noise / NOISE_WAVES as f32;
                maps.push(blob + floor * noise * noise);
            }
            let sum: f32 = maps[start..].iter().sum();
            maps[start..].iter_mut().for_each(|share| *share *= (1.0 - at_register) / sum);
            maps[start + register] += at_register;
        }
        maps
    }
}
