//! Stability of a graph: its dependence on three choices that have no known right value. They are the order in which
//! nodes are visited, α, and the number of records that the independence test assumes.

use super::correlation::Correlations;
use super::error::CausalError;
use super::node_set::NodeSet;
use super::parameters::Parameters;
use super::pds_tree::PdsTree;
use super::search::{Learned, learn_visiting};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;

/// Other values of α, as factors: a decade up and down.
const ALPHAS: [f64; 2] = [10.0, 0.1];
/// Other numbers of records, as factors. A bootstrap sample holds 63 % of the records; the others lie
/// between it and the same distance above.
const RECORDS: [f64; 4] = [0.632, 0.8, 1.25, 1.582];

/// The additional graphs that are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StabilityOptions {
    /// Orders of visiting, beside the ascending one.
    pub orders: usize,
    /// Seed of these orders.
    pub seed: u64,
}

impl Default for StabilityOptions {
    fn default() -> Self {
        Self { orders: 8, seed: 0 }
    }
}

impl StabilityOptions {
    /// Runs in all, the one with the given parameters included.
    pub fn runs(&self, parameters: &Parameters) -> u32 {
        (1 + self.orders + others(parameters).len()) as u32
    }
}

/// In how many of the runs edges and members of the explanation occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stability {
    /// Runs, the one with the given parameters included.
    pub runs: u32,
    nodes: usize,
    /// [n, n], a < b.
    edges: Vec<u32>,
    /// Runs in whose explanation a node is.
    members: Vec<u32>,
}

impl Stability {
    /// Learns the other graphs. `learned` is the graph with the given parameters.
    ///
    /// # Errors
    /// [`CausalError::Stopped`].
    pub fn of(
        learned: &Learned,
        correlations: &Correlations,
        parameters: &Parameters,
        options: StabilityOptions,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, CausalError> {
        let nodes = correlations.nodes();
        let mut counts =
            Self { runs: 0, nodes, edges: vec![0; nodes * nodes], members: vec![0; nodes] };
        counts.add(learned, parameters.range);
        let ascending: Vec<usize> = (0..nodes).collect();
        let mut random = ChaCha12Rng::seed_from_u64(options.seed);
        for _ in 0..options.orders {
            let mut visiting = ascending.clone();
            visiting.shuffle(&mut random);
            let found = learn_visiting(correlations, &visiting, parameters, stop)?;
            counts.add(&found, parameters.range);
        }
        for other in others(parameters) {
            let found = learn_visiting(correlations, &ascending, &other, stop)?;
            counts.add(&found, parameters.range);
        }
        Ok(counts)
    }

    fn add(&mut self, learned: &Learned, range: usize) {
        self.runs += 1;
        for edge in learned.graph.edges() {
            self.edges[edge.a * self.nodes + edge.b] += 1;
        }
        let target = self.nodes - 1;
        let tree = PdsTree::new(&learned.graph, target, NodeSet::first(self.nodes), range);
        tree.within(range).iter().for_each(|node| self.members[node] += 1);
    }

    /// Share of the runs that have an edge between a < b.
    pub fn edge(&self, a: usize, b: usize) -> f32 {
        self.edges[a * self.nodes + b] as f32 / self.runs as f32
    }

    /// Share of the runs in which a node is in the explanation of the last node.
    pub fn member(&self, node: usize) -> f32 {
        self.members[node] as f32 / self.runs as f32
    }
}

/// The parameters of the runs that change α or the number of records.
fn others(parameters: &Parameters) -> Vec<Parameters> {
    let alphas = ALPHAS
        .iter()
        .map(|factor| Parameters { alpha: parameters.alpha * factor, ..parameters.clone() });
    let records = RECORDS.iter().map(|factor| Parameters {
        records: (parameters.records as f64 * factor).round() as usize,
        ..parameters.clone()
    });
    alphas.chain(records).filter(|other| other.check().is_ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::search::learn;
    use super::*;

    #[test]
    fn runs_vary_one_thing_at_a_time() {
        let base = Parameters::default();
        let found = others(&base);
        let alphas: Vec<f64> = found.iter().map(|other| other.alpha).collect();
        assert!((alphas[0] / 1e-4 - 1.0).abs() < 1e-12 && (alphas[1] / 1e-6 - 1.0).abs() < 1e-12);
        let records: Vec<usize> = found.iter().map(|other| other.records).collect();
        assert_eq!(records, [128, 128, 81, 102, 160, 202]);
        // A tenfold α above 1 is no level.
        assert_eq!(others(&Parameters { alpha: 0.2, ..base }).len(), 5);
    }

    /// 0 – 1 is far from every threshold; 1 – 2 passes at α only.
    #[test]
    fn a_clear_edge_is_in_all_runs_and_a_narrow_one_is_not() {
        let narrow = 0.386; // p = 5·10⁻⁶ with 128 records
        let values = vec![1.0, 0.9, 0.0, 0.9, 1.0, narrow, 0.0, narrow, 1.0];
        let correlations = Correlations::from_values(3, values).unwrap();
        let parameters = Parameters::default();
        let learned = learn(&correlations, &parameters, &|| false).unwrap();
        let options = StabilityOptions { orders: 3, seed: 1 };
        let found =
            Stability::of(&learned, &correlations, &parameters, options, &|| false).unwrap();
        assert_eq!((found.runs, options.runs(&parameters)), (10, 10));
        assert_eq!(found.edge(0, 1), 1.0);
        // Not with α = 10⁻⁶, nor with 81 and 102 records.
        assert_eq!(found.edge(1, 2), 0.7);
        assert_eq!((found.edge(0, 2), found.member(1)), (0.0, 0.7));
        let again = Stability::of(&learned, &correlations, &parameters, options, &|| false);
        assert_eq!(again.unwrap(), found);
        let stopped = Stability::of(&learned, &correlations, &parameters, options, &|| true);
        assert!(stopped.is_ok(), "small graphs end before the first look");
    }
}
