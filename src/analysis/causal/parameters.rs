//! Parameters of the search for a causal graph.

use super::error::CausalError;
use super::node_set::MAX_NODES;
use serde::{Deserialize, Serialize};

/// Parameters of CLEANN; the defaults are LVLM-Interpret's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Two nodes are independent if the test's p is above it.
    pub alpha: f64,
    /// Attention from which a text token is a node.
    pub attention_threshold: f32,
    /// Records that the correlations are taken to rest on.
    pub records: usize,
    /// Depth of the explanation: how far from the target it reaches.
    pub range: usize,
    /// Most patches that are nodes.
    pub image_nodes: usize,
    /// Nodes in the largest conditioning set; `None`: as many as there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_condition: Option<usize>,
    /// Whether a partial correlation of 0 or less counts as independence, as in the version of 2024.
    pub negative_is_independent: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            alpha: 1e-5,
            attention_threshold: 0.005,
            records: 128,
            range: 3,
            image_nodes: 50,
            max_condition: None,
            negative_is_independent: false,
        }
    }
}

/// With fewer records the test of two nodes alone has no degree of freedom left.
const LEAST_RECORDS: usize = 4;

impl Parameters {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first parameter that is outside of its range.
    pub fn check(&self) -> Result<(), CausalError> {
        let wrong = |name, range: &str| Err(CausalError::Parameter { name, range: range.into() });
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return wrong("alpha", "between 0 and 1");
        }
        if !(0.0..1.0).contains(&self.attention_threshold) {
            return wrong("attention threshold", "from 0 to below 1");
        }
        if self.records < LEAST_RECORDS {
            return wrong("number of records", "at least 4");
        }
        if !(1..MAX_NODES).contains(&self.range) {
            return wrong("range", "from 1 to 255");
        }
        if !(1..MAX_NODES).contains(&self.image_nodes) {
            return wrong("number of image nodes", "from 1 to 255");
        }
        Ok(())
    }

    /// Nodes in the largest conditioning set that `nodes` nodes and the records allow.
    pub fn largest_condition(&self, nodes: usize) -> usize {
        let by_nodes = nodes.saturating_sub(2);
        let by_records = self.records.saturating_sub(LEAST_RECORDS);
        by_nodes.min(by_records).min(self.max_condition.unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_outside_of_their_ranges_are_named() {
        assert_eq!(Parameters::default().check(), Ok(()));
        let cases = [
            (Parameters { alpha: 0.0, ..Parameters::default() }, "alpha"),
            (Parameters { alpha: f64::NAN, ..Parameters::default() }, "alpha"),
            (Parameters { attention_threshold: -0.1, ..Parameters::default() }, "attention"),
            (Parameters { records: 3, ..Parameters::default() }, "records"),
            (Parameters { range: 0, ..Parameters::default() }, "range"),
            (Parameters { range: 256, ..Parameters::default() }, "range"),
            (Parameters { image_nodes: 0, ..Parameters::default() }, "image nodes"),
        ];
        for (parameters, named) in cases {
            let error = parameters.check().map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|error| error.contains(named)), "{error:?}");
        }
    }

    #[test]
    fn conditioning_sets_are_bounded_by_nodes_records_and_the_cap() {
        let of =
            |records, max_condition| Parameters { records, max_condition, ..Parameters::default() };
        assert_eq!(of(128, None).largest_condition(10), 8);
        assert_eq!(of(6, None).largest_condition(10), 2);
        assert_eq!(of(128, Some(3)).largest_condition(10), 3);
        assert_eq!(of(128, None).largest_condition(2), 0);
    }
}
