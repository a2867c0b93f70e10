//! Comparison of two groups of samples, head by head.

use super::{Counted, Cube, Mask, Moment, Moments};
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::function::beta::beta_reg;

/// The level of the tests and of the intervals' complement.
pub const LEVEL: f64 = 0.05;

/// The difference of one head between two groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Mean of the first group minus mean of the second one.
    pub difference: f64,
    /// The ends of its 95 % confidence interval; NaN where no head can be tested.
    pub interval: [f64; 2],
    /// The p-value of no difference, of two sides; NaN for fewer than two values in a group, or values that are all equal.
    pub p: f64,
    /// The p-value after the correction of Benjamini and Hochberg over all heads.
    pub q: f64,
}

impl Difference {
    /// Whether the difference survives the correction at 5 %: on average, at most 5 % of the heads that do differ by chance alone.
    pub fn is_significant(&self) -> bool {
        self.q < LEVEL
    }
}

/// The differences of all heads between two groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// \[layers × heads\], layer after layer.
    pub cells: Vec<Difference>,
    /// Number of samples of both groups; of pairs, the number of pairs twice.
    pub samples: [usize; 2],
    /// Samples of both groups that have a value; of pairs, the pairs with two values.
    pub counted: [Counted; 2],
}

impl Comparison {
    /// Number of heads that could be tested.
    pub fn tested(&self) -> usize {
        self.cells.iter().filter(|cell| !cell.p.is_nan()).count()
    }

    /// Number of heads that a test of 5 % without a correction calls different.
    pub fn uncorrected(&self) -> usize {
        self.cells.iter().filter(|cell| cell.p < LEVEL).count()
    }

    /// Number of heads that a test of 5 % calls different by chance, where no head differs.
    pub fn by_chance(&self) -> f64 {
        LEVEL * self.tested() as f64
    }

    /// Number of heads that survive the correction.
    pub fn significant(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_significant()).count()
    }

    /// One sentence about the number of tests.
    pub fn sentence(&self) -> String {
        let (tested, chance) = (self.tested(), self.by_chance());
        if tested == 0 {
            return "No head can be tested: each group needs at least two samples with a value."
                .into();
        }
        format!(
            "{} of {tested} heads differ after the correction for {tested} tests (Benjamini–Hochberg, 5 %); without it {} would, and about {} by chance alone.",
            self.significant(),
            self.uncorrected(),
            if chance < 10.0 { format!("{chance:.1}") } else { format!("{chance:.0}") },
        )
    }

    fn of(mut cells: Vec<Difference>, counted: [Counted; 2]) -> Self {
        let p: Vec<f64> = cells.iter().map(|cell| cell.p).collect();
        for (cell, q) in cells.iter_mut().zip(benjamini_hochberg(&p)) {
            cell.q = q;
        }
        Self { cells, samples: counted.map(|group| group.samples), counted }
    }
}

/// Compares two groups of different samples by Welch's t-test.
pub fn compare_groups(first: &Moments, second: &Moments) -> Comparison {
    let cells = first.cells.iter().zip(&second.cells).map(|(first, second)| welch(first, second));
    Comparison::of(cells.collect(), [first.counted(), second.counted()])
}

/// Compares the same samples in two tables, such as the answers of two models, by the t-test of pairs. Both cubes have the
/// same heads; `None` otherwise.
pub fn compare_paired(first: &Cube, second: &Cube, pairs: &[[usize; 2]]) -> Option<Comparison> {
    Some(test_differences(&first.paired(second, pairs)?))
}

/// Tests whether the differences of samples ([`Cube::paired`]) are 0 in the mean.
pub fn test_differences(differences: &Cube) -> Comparison {
    let moments = differences.moments(&Mask::all(differences.samples()));
    let one = |cell: &Moment| {
        let n = f64::from(cell.n);
        t_test(cell.mean, cell.deviation / n.sqrt(), n - 1.0)
    };
    Comparison::of(moments.cells.iter().map(one).collect(), [moments.counted(); 2])
}

impl Moment {
    /// The ends of the 95 % confidence interval of the mean; NaN for fewer than two values, or values that are all equal.
    pub fn interval(&self) -> [f64; 2] {
        let n = f64::from(self.n);
        t_test(self.mean, self.deviation / n.sqrt(), n - 1.0).interval
    }
}

fn welch(first: &Moment, second: &Moment) -> Difference {
    let variance = |cell: &Moment| cell.deviation * cell.deviation / f64::from(cell.n);
    let (a, b) = (variance(first), variance(second));
    let freedom = (a + b).powi(2)
        / (a * a / (f64::from(first.n) - 1.0) + b * b / (f64::from(second.n) - 1.0));
    t_test(first.mean - second.mean, (a + b).sqrt(), freedom)
}

/// A test of a difference with its standard error and its degrees of freedom.
fn t_test(difference: f64, error: f64, freedom: f64) -> Difference {
    let untested = Difference { difference, interval: [f64::NAN; 2], p: f64::NAN, q: f64::NAN };
    if error.is_nan() || error <= 0.0 || !freedom.is_finite() || freedom <= 0.0 {
        return untested;
    }
    let Ok(student) = StudentsT::new(0.0, 1.0, freedom) else { return untested };
    let t = difference / error;
    // The two tails together, which keeps the digits of small p-values.
    let p = beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    let half = student.inverse_cdf(1.0 - LEVEL / 2.0) * error;
    Difference { p, interval: [difference - half, difference + half], ..untested }
}

/// The p-values after the correction of Benjamini and Hochberg. NaN stays, and is not counted as a test.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&at| !p[at].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let tests = order.len() as f64;
    let (mut corrected, mut least) = (vec![f64::NAN; p.len()], 1.0_f64);
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(p[at] * tests / (rank + 1) as f64);
        corrected[at] = least;
    }
    corrected
}
