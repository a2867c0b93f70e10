//! Mean and spread of every head over a group of samples.

use super::{Cube, Mask};
use serde::Serialize;

/// Mean and spread of one head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Number of samples that have a value.
    pub n: u32,
    /// Their mean; NaN without a value.
    pub mean: f64,
    /// Their sample standard deviation; NaN for fewer than two values.
    pub deviation: f64,
}

/// Mean and spread of every head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// \[layers × heads\], layer after layer.
    pub cells: Vec<Moment>,
    /// Number of samples in the group.
    pub samples: usize,
}

/// Samples of a group that have a value. Heads may differ in it; heads without any value do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Samples with a value, of the head that has the fewest.
    pub least: usize,
    /// Samples with a value, of the head that has the most.
    pub most: usize,
    /// All samples of the group.
    pub samples: usize,
}

impl Moments {
    /// Samples that have a value.
    pub fn counted(&self) -> Counted {
        let counts = || self.cells.iter().map(|cell| cell.n as usize).filter(|&n| n > 0);
        let [least, most] = [counts().min(), counts().max()].map(Option::unwrap_or_default);
        Counted { least, most, samples: self.samples }
    }

    /// The smallest and the largest mean; `None` where no head has a value.
    pub fn range(&self) -> Option<[f64; 2]> {
        let means = self.cells.iter().map(|cell| cell.mean).filter(|mean| mean.is_finite());
        means.fold(None, |range, mean| {
            let [low, high] = range.unwrap_or([mean, mean]);
            Some([low.min(mean), high.max(mean)])
        })
    }
}

impl Cube {
    /// Mean and spread of every head over the chosen samples, in one pass. A sample counts where it has a value.
    pub fn moments(&self, mask: &Mask) -> Moments {
        let rows = mask.rows();
        let mut sums = Sums::new(self.cells());
        for &row in &rows {
            sums.add(self.sample(row));
        }
        Moments { cells: sums.cells(), samples: rows.len() }
    }

    /// The differences of samples: those of this cube minus those of another one. `None` if the other one has other heads.
    pub fn paired(&self, other: &Self, pairs: &[[usize; 2]]) -> Option<Self> {
        if self.layers() != other.layers() || self.heads() != other.heads() {
            return None;
        }
        let mut values = Vec::with_capacity(pairs.len() * self.cells());
        for &[own, of_other] in pairs {
            let both = self.sample(own).iter().zip(other.sample(of_other));
            values.extend(both.map(|(own, other)| own - other));
        }
        Self::new(self.layers().to_vec(), self.heads(), values)
    }
}

/// Sums of values and of their squares about a value near the mean, which keeps the digits of a small spread.
struct Sums {
    n: Vec<u32>,
    about: Vec<f32>,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn new(cells: usize) -> Self {
        Self {
            n: vec![0; cells],
            about: vec![f32::NAN; cells],
            sum: vec![0.0; cells],
            squares: vec![0.0; cells],
        }
    }

    fn add(&mut self, values: &[f32]) {
        let sums = self.sum.iter_mut().zip(&mut self.squares);
        let places = self.n.iter_mut().zip(&mut self.about).zip(sums);
        for (((n, about), (sum, squares)), &value) in places.zip(values) {
            let has = !value.is_nan();
            *about = if about.is_nan() { value } else { *about };
            let distance = if has { f64::from(value) - f64::from(*about) } else { 0.0 };
            *n += u32::from(has);
            *sum += distance;
            *squares += distance * distance;
        }
    }

    fn cells(&self) -> Vec<Moment> {
        let cell = |at: usize| {
            let n = self.n[at];
            let (count, sum) = (f64::from(n), self.sum[at]);
            let mean = match n {
                0 => f64::NAN,
                _ => f64::from(self.about[at]) + sum / count,
            };
            let deviation = match n {
                0 | 1 => f64::NAN,
                _ => ((self.squares[at] - sum * sum / count).max(0.0) / (count - 1.0)).sqrt(),
            };
            Moment { n, mean, deviation }
        };
        (0..self.n.len()).map(cell).collect()
    }
}
