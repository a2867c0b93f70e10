//! Correlation of attention rows: ρ = C_ij / √(C_ii C_jj) with C = A Aᵀ. The rows are not centred, so ρ is the
//! cosine of two rows.

use super::error::CausalError;
use super::node_set::MAX_NODES;

/// A shorter row has no direction.
const LEAST_NORM: f64 = 1e-8;
/// Sums that are kept beside each other, so that they fill vector registers.
const LANES: usize = 8;

/// The correlations of n nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlations {
    nodes: usize,
    /// [n, n], symmetric.
    values: Vec<f64>,
}

impl Correlations {
    /// From one row of attention for each node, in the causal order: [n, `keys`].
    ///
    /// # Errors
    /// Fewer than two nodes or more than [`MAX_NODES`], rows that do not fill the matrix, numbers
    /// that are not finite, or a row whose norm is below 10⁻⁸.
    pub fn from_rows(rows: &[f64], keys: usize) -> Result<Self, CausalError> {
        let nodes = rows.len().checked_div(keys).unwrap_or(0);
        check_count(nodes)?;
        if rows.len() != nodes * keys {
            return Err(CausalError::Rows { values: rows.len(), nodes, keys });
        }
        let rows: Vec<&[f64]> = rows.chunks_exact(keys).collect();
        let mut inverse_norms = Vec::with_capacity(nodes);
        for (row, values) in rows.iter().enumerate() {
            if values.iter().any(|value| !value.is_finite()) {
                return Err(CausalError::BadValue { row });
            }
            let norm = dot(values, values).sqrt();
            // Squares of large numbers may overflow.
            if !norm.is_finite() {
                return Err(CausalError::BadValue { row });
            }
            if norm < LEAST_NORM {
                return Err(CausalError::EmptyRow { row });
            }
            inverse_norms.push(1.0 / norm);
        }
        let mut values = vec![1.0; nodes * nodes];
        for b in 1..nodes {
            for a in 0..b {
                let value = dot(rows[a], rows[b]) * inverse_norms[a] * inverse_norms[b];
                values[a * nodes + b] = value;
                values[b * nodes + a] = value;
            }
        }
        Ok(Self { nodes, values })
    }

    /// For tests, from given correlations: [n, n], in the causal order.
    ///
    /// # Errors
    /// Fewer than two nodes or more than [`MAX_NODES`], or values that are no correlations.
    #[cfg(test)]
    pub fn from_values(nodes: usize, values: Vec<f64>) -> Result<Self, CausalError> {
        check_count(nodes)?;
        if values.len() != nodes * nodes {
            return Err(CausalError::Rows { values: values.len(), nodes, keys: nodes });
        }
        for a in 0..nodes {
            for b in 0..nodes {
                let value = values[a * nodes + b];
                let is_mirrored = value == values[b * nodes + a];
                if !value.is_finite() || !is_mirrored || (a == b && value != 1.0) {
                    return Err(CausalError::BadValue { row: a });
                }
            }
        }
        Ok(Self { nodes, values })
    }

    /// n.
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// ρ of two nodes.
    pub fn of(&self, a: usize, b: usize) -> f64 {
        self.values[a * self.nodes + b]
    }

    /// The same with the nodes in another order: node i is what was node `order[i]`.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let pairs = order.iter().flat_map(|&a| order.iter().map(move |&b| (a, b)));
        Self { nodes: order.len(), values: pairs.map(|(a, b)| self.of(a, b)).collect() }
    }
}

const fn check_count(nodes: usize) -> Result<(), CausalError> {
    if nodes < 2 || nodes > MAX_NODES { Err(CausalError::NodeCount { nodes }) } else { Ok(()) }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    let (mut sums, len) = ([0.0; LANES], one.len().min(other.len()));
    let (ones, others) = (one[..len].chunks_exact(LANES), other[..len].chunks_exact(LANES));
    let rest: f64 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (ones, others) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += ones[lane] * others[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_correlation_is_the_cosine_of_two_rows() {
        let rows = [3.0, 4.0, 0.0, 0.0, 5.0, 12.0, 1.0, 0.0, 0.0];
        let found = Correlations::from_rows(&rows, 3).unwrap();
        assert_eq!(found.nodes(), 3);
        assert!((found.of(0, 1) - 20.0 / (5.0 * 13.0)).abs() < 1e-15);
        assert!((found.of(2, 0) - 0.6).abs() < 1e-15);
        assert_eq!((found.of(1, 1), found.of(1, 2)), (1.0, 0.0));
        let turned = found.reordered(&[2, 0, 1]);
        assert_eq!((turned.of(0, 1), turned.of(2, 1)), (found.of(2, 0), found.of(1, 0)));
    }

    #[test]
    fn long_rows_are_summed_over_all_keys() {
        let row: Vec<f64> = (0..37).map(f64::from).collect();
        assert_eq!(dot(&row, &row), (0..37).map(|i| f64::from(i * i)).sum::<f64>());
    }

    #[test]
    fn rows_without_a_direction_and_wrong_sizes_are_named() {
        let empty = Correlations::from_rows(&[1.0, 0.0, 1e-9, 0.0], 2);
        assert_eq!(empty, Err(CausalError::EmptyRow { row: 1 }));
        let infinite = Correlations::from_rows(&[1.0, f64::INFINITY, 1.0, 0.0], 2);
        assert_eq!(infinite, Err(CausalError::BadValue { row: 0 }));
        let huge = Correlations::from_rows(&[1.0, 0.0, 1e200, 1.0], 2);
        assert_eq!(huge, Err(CausalError::BadValue { row: 1 }));
        let one = Correlations::from_rows(&[1.0, 0.0], 2);
        assert_eq!(one, Err(CausalError::NodeCount { nodes: 1 }));
        let many = Correlations::from_rows(&vec![1.0; MAX_NODES + 1], 1);
        assert_eq!(many, Err(CausalError::NodeCount { nodes: MAX_NODES + 1 }));
        assert!(Correlations::from_rows(&[1.0; 5], 2).is_err());
        assert!(Correlations::from_values(2, vec![1.0, 0.5, 0.4, 1.0]).is_err());
    }
}
