//! The test of conditional independence: partial correlation, Fisher's z, a normal distribution.

use super::correlation::Correlations;
use super::parameters::Parameters;
use std::f64::consts::SQRT_2;

/// |r| this close to the critical one is decided by its p-value, as all others could be.
const MARGIN: f64 = 1e-9;
/// A node that the others of a conditioning set determine to this share has no variance left.
const LEAST_VARIANCE: f64 = 1e-13;

/// Tests pairs of nodes of one matrix of correlations.
#[derive(Clone, Debug)]
pub struct IndependenceTest<'a> {
    correlations: &'a Correlations,
    records: usize,
    alpha: f64,
    negative_is_independent: bool,
    /// |r| at which p = α, by the size of the conditioning set.
    critical: Vec<f64>,
    /// The correlations of one conditioning set and of the pair, row by row.
    matrix: Vec<f64>,
    /// Tests so far.
    pub tests: u64,
}

impl<'a> IndependenceTest<'a> {
    /// Prepares the tests.
    pub fn new(correlations: &'a Correlations, parameters: &Parameters) -> Self {
        Self {
            correlations,
            records: parameters.records,
            alpha: parameters.alpha,
            negative_is_independent: parameters.negative_is_independent,
            critical: Vec::new(),
            matrix: Vec::new(),
            tests: 0,
        }
    }

    /// The probability of a partial correlation of `x` and `y` given `given` that is at least as far
    /// from 0, if they are independent. 0 where the partial correlation is not defined: one of the
    /// pair, or of the conditioning set, is determined by the others.
    pub fn p_value(&mut self, x: usize, y: usize, given: &[usize]) -> f64 {
        self.partial_correlation(x, y, given).map_or(0.0, |r| self.p_of(r, given.len()))
    }

    /// Whether [`Self::p_value`] is above α.
    pub fn is_independent(&mut self, x: usize, y: usize, given: &[usize]) -> bool {
        self.tests += 1;
        let Some(r) = self.partial_correlation(x, y, given) else { return false };
        if self.negative_is_independent && r <= 0.0 {
            return true;
        }
        let critical = self.critical(given.len());
        if (r.abs() - critical).abs() <= MARGIN * critical {
            return self.p_of(r, given.len()) > self.alpha;
        }
        r.abs() < critical
    }

    /// p of a partial correlation given `given` nodes.
    fn p_of(&self, r: f64, given: usize) -> f64 {
        if self.negative_is_independent && r <= 0.0 {
            return 1.0;
        }
        if r.abs() >= 1.0 {
            return 0.0;
        }
        let z = 0.5 * (2.0 * r / (1.0 - r)).ln_1p();
        // 2 (1 − Φ(s)) = erfc(s / √2), which keeps its digits where Φ is nearly 1.
        libm::erfc((self.freedom(given) - 1.0).sqrt() * z.abs() / SQRT_2)
    }

    fn freedom(&self, given: usize) -> f64 {
        self.records as f64 - given as f64 - 2.0
    }

    /// The |r| at which p = α, by bisection: p falls as |r| grows.
    fn critical(&mut self, given: usize) -> f64 {
        while self.critical.len() <= given {
            let (mut low, mut high) = (0.0, 1.0);
            loop {
                let middle = f64::midpoint(low, high);
                if middle <= low || middle >= high {
                    break;
                }
                let p = self.p_of(middle, self.critical.len());
                if p > self.alpha { low = middle } else { high = middle }
            }
            self.critical.push(high);
        }
        self.critical[given]
    }

    /// `None` where it is not defined.
    fn partial_correlation(&mut self, x: usize, y: usize, given: &[usize]) -> Option<f64> {
        let rho = self.correlations;
        let r = match *given {
            [] => rho.of(x, y),
            [z] => {
                let (xz, yz) = (rho.of(x, z), rho.of(y, z));
                if xz >= 1.0 || yz >= 1.0 {
                    return None;
                }
                (rho.of(x, y) - xz * yz) / ((1.0 - xz * xz) * (1.0 - yz * yz)).sqrt()
            }
            _ => self.by_elimination(x, y, given)?,
        };
        r.is_finite().then_some(r)
    }

    /// Takes the conditioning set out of the correlations by Gaussian elimination: what is left of
    /// the pair, S, is the inverse of their block in the inverse matrix, so that
    /// −M₀₁ / √(M₀₀ M₁₁) = S₀₁ / √(S₀₀ S₁₁).
    fn by_elimination(&mut self, x: usize, y: usize, given: &[usize]) -> Option<f64> {
        let (rho, count) = (self.correlations, given.len() + 2);
        let node = |index: usize| match index.checked_sub(given.len()) {
            None => given[index],
            Some(0) => x,
            Some(_) => y,
        };
        let m = &mut self.matrix;
        m.clear();
        for row in 0..count {
            // The matrix stays symmetric: the upper triangle is enough.
            m.extend(
                (0..count).map(
                    |column| {
                        if column < row { 0.0 } else { rho.of(node(row), node(column)) }
                    },
                ),
            );
        }
        for pivot in 0..given.len() {
            let variance = m[pivot * count + pivot];
            if variance.is_nan() || variance <= LEAST_VARIANCE {
                return None;
            }
            for row in pivot + 1..count {
                let factor = m[pivot * count + row] / variance;
                for column in row..count {
                    m[row * count + column] -= factor * m[pivot * count + column];
                }
            }
        }
        let [first, second] = [count - 2, count - 1];
        let (own, other) = (m[first * count + first], m[second * count + second]);
        if own <= LEAST_VARIANCE || other <= LEAST_VARIANCE {
            return None;
        }
        Some(m[first * count + second] / (own * other).sqrt())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn correlations(nodes: usize, pairs: &[(usize, usize, f64)]) -> Correlations {
        let mut values = vec![0.0; nodes * nodes];
        (0..nodes).for_each(|node| values[node * nodes + node] = 1.0);
        for &(a, b, value) in pairs {
            values[a * nodes + b] = value;
            values[b * nodes + a] = value;
        }
        Correlations::from_values(nodes, values).unwrap()
    }

    /// erfc at 0.5, 2 and 5, from SciPy.
    #[test]
    fn the_error_function_keeps_its_relative_accuracy_in_the_tail() {
        for (x, expected) in [
            (0.5, 0.479_500_122_186_953_5),
            (2.0, 4.677_734_981_047_266e-3),
            (5.0, 1.537_459_794_428_034_7e-12),
        ] {
            let found = libm::erfc(x);
            assert!((found / expected - 1.0).abs() < 1e-14, "{x}: {found}");
        }
    }

    /// r = 0.5 with N = 100: 2 (1 − Φ(√97 · atanh 0.5)), from SciPy's survival function.
    #[test]
    fn one_p_value_by_hand() {
        let rho = correlations(2, &[(0, 1, 0.5)]);
        let parameters = Parameters { records: 100, ..Parameters::default() };
        let mut test = IndependenceTest::new(&rho, &parameters);
        let found = test.p_value(0, 1, &[]);
        assert!((found / 6.301_134_015_835_398e-8 - 1.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn elimination_and_the_formula_for_one_node_agree() {
        let rho = correlations(3, &[(0, 1, 0.6), (0, 2, 0.5), (1, 2, -0.3)]);
        let mut test = IndependenceTest::new(&rho, &Parameters::default());
        let formula = test.partial_correlation(0, 1, &[2]).unwrap();
        let eliminated = test.by_elimination(0, 1, &[2]).unwrap();
        assert!((formula - eliminated).abs() < 1e-15);
    }

    /// A chain 0 → 1 → 2 → 3 with equal steps: ρ of distance d is ρ^d, and any node between two
    /// separates them.
    #[test]
    fn what_lies_between_separates_a_chain() {
        let mut pairs = Vec::new();
        for b in 0..4_usize {
            pairs.extend((0..b).map(|a| (a, b, 0.8_f64.powi((b - a) as i32))));
        }
        let rho = correlations(4, &pairs);
        let mut test = IndependenceTest::new(&rho, &Parameters::default());
        assert!(!test.is_independent(0, 3, &[]));
        assert!(test.is_independent(0, 3, &[1]) && test.is_independent(0, 3, &[1, 2]));
        assert!((test.p_value(0, 3, &[1, 2]) - 1.0).abs() < 1e-12);
        assert!(!test.is_independent(0, 1, &[2, 3]));
        assert_eq!(test.tests, 4);
    }

    #[test]
    fn what_is_determined_is_dependent() {
        // 0 and 1 are the same; 2 is another.
        let rho = correlations(4, &[(0, 1, 1.0), (0, 2, 0.4), (1, 2, 0.4), (2, 3, 0.2)]);
        let mut test = IndependenceTest::new(&rho, &Parameters::default());
        for (x, y, given) in [(0, 1, &[][..]), (0, 2, &[1]), (0, 2, &[1, 3]), (2, 3, &[0, 1])] {
            assert_eq!(test.p_value(x, y, given), 0.0, "{x} {y} {given:?}");
            assert!(!test.is_independent(x, y, given));
        }
    }

    #[test]
    fn the_quick_decision_is_that_of_the_p_value() {
        let parameters = Parameters::default();
        for step in 0..2000 {
            let r = f64::from(step - 1000) / 1001.0;
            let rho = correlations(2, &[(0, 1, r)]);
            let mut test = IndependenceTest::new(&rho, &parameters);
            let is_independent = test.p_value(0, 1, &[]) > parameters.alpha;
            assert_eq!(test.is_independent(0, 1, &[]), is_independent, "{r}");
        }
        // Next to the critical value the p-value itself decides.
        let zero = correlations(2, &[]);
        let critical = IndependenceTest::new(&zero, &parameters).critical(0);
        for r in [critical * (1.0 - 1e-12), critical, critical * (1.0 + 1e-12)] {
            let rho = correlations(2, &[(0, 1, r)]);
            let mut test = IndependenceTest::new(&rho, &parameters);
            let is_independent = test.p_value(0, 1, &[]) > parameters.alpha;
            assert_eq!(test.is_independent(0, 1, &[]), is_independent);
        }
    }

    #[test]
    fn the_variant_of_2024_takes_negative_correlations_for_none() {
        let rho = correlations(2, &[(0, 1, -0.9)]);
        let mut test = IndependenceTest::new(&rho, &Parameters::default());
        assert!(!test.is_independent(0, 1, &[]));
        let parameters = Parameters { negative_is_independent: true, ..Parameters::default() };
        let mut test = IndependenceTest::new(&rho, &parameters);
        assert!(test.is_independent(0, 1, &[]));
        assert_eq!(test.p_value(0, 1, &[]), 1.0);
    }
}
