//! Ordered iterative causal discovery (ICD): from the complete graph, edges are removed by tests of
//! conditional independence with conditioning sets of 0, 1, 2, … nodes, and the marks that follow
//! decide which sets are tried next.
//!
//! Rohekar et al., "Iterative Causal Discovery in the Possible Presence of Latent Confounders and
//! Selection Bias" (NeurIPS 2021), with a known causal order as in "Causal Interpretation of
//! Self-Attention in Pre-Trained Transformers" (NeurIPS 2023, arXiv 2310.20307).
//!
//! If several sets separate two nodes, the first one found is kept, so that the result depends on
//! the order in which nodes are visited. It is ascending here; [`learn_visiting`] takes another one,
//! with the causal order as it was, to show which edges depend on it.

use super::correlation::Correlations;
use super::error::CausalError;
use super::graph::Graph;
use super::independence::IndependenceTest;
use super::node_set::NodeSet;
use super::orient::{SeparatingSets, orient, orient_tails};
use super::parameters::Parameters;
use super::pds_tree::PdsTree;

/// Tests for one graph: seconds.
const MAX_TESTS: u64 = 20_000_000;
/// Tests between two looks at whether to stop.
const TESTS_PER_LOOK: u64 = 1 << 10;

/// A graph that was learned. Nodes are numbered in the causal order.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The graph.
    pub graph: Graph,
    /// The separating sets of the pairs that are not adjacent.
    pub separating: SeparatingSets,
    /// Size of the largest conditioning sets that were all tried.
    pub searched_to: usize,
    /// Whether the search came to its end. If not, there were too many sets; edges that larger ones
    /// would remove are still there.
    pub is_exhaustive: bool,
    /// Tests done.
    pub tests: u64,
}

/// Learns the graph over nodes in their causal order. `stop` is asked now and then.
///
/// # Errors
/// [`CausalError::Stopped`].
pub fn learn(
    correlations: &Correlations,
    parameters: &Parameters,
    stop: &dyn Fn() -> bool,
) -> Result<Learned, CausalError> {
    let order: Vec<usize> = (0..correlations.nodes()).collect();
    Search::new(correlations, &order, parameters, stop).run()
}

/// As [`learn`], but nodes are visited in the order `visiting`, a permutation of all nodes. The causal
/// order stays: no node is a cause of an earlier one.
///
/// # Errors
/// [`CausalError::Stopped`].
pub fn learn_visiting(
    correlations: &Correlations,
    visiting: &[usize],
    parameters: &Parameters,
    stop: &dyn Fn() -> bool,
) -> Result<Learned, CausalError> {
    // Node i of the search is the i-th that is visited.
    let mut causal_order = vec![0; visiting.len()];
    for (label, &node) in visiting.iter().enumerate() {
        causal_order[node] = label;
    }
    let reordered = correlations.reordered(visiting);
    let found = Search::new(&reordered, &causal_order, parameters, stop).run()?;
    Ok(Learned {
        graph: found.graph.renamed(visiting),
        separating: found.separating.renamed(visiting),
        ..found
    })
}

/// Why an iteration ended early.
enum Halt {
    Stopped,
    TooMany,
}

struct Search<'a> {
    graph: Graph,
    separating: SeparatingSets,
    test: IndependenceTest<'a>,
    /// Nodes from causes to effects.
    order: &'a [usize],
    /// Of each node, those before it in the causal order.
    earlier: Vec<NodeSet>,
    /// Of each node, the earlier ones whose edge needs no further test.
    done: Vec<NodeSet>,
    largest_condition: usize,
    next_look: u64,
    max_tests: u64,
    stop: &'a dyn Fn() -> bool,
    /// The nodes of one conditioning set.
    given: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(
        correlations: &'a Correlations,
        order: &'a [usize],
        parameters: &Parameters,
        stop: &'a dyn Fn() -> bool,
    ) -> Self {
        let nodes = order.len();
        let mut earlier = vec![NodeSet::EMPTY; nodes];
        let mut before = NodeSet::EMPTY;
        for &node in order {
            earlier[node] = before;
            before.insert(node);
        }
        Self {
            graph: Graph::complete(nodes),
            separating: SeparatingSets::new(nodes),
            test: IndependenceTest::new(correlations, parameters),
            order,
            earlier,
            done: vec![NodeSet::EMPTY; nodes],
            largest_condition: parameters.largest_condition(nodes),
            next_look: TESTS_PER_LOOK,
            max_tests: MAX_TESTS,
            stop,
            given: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Learned, CausalError> {
        let (mut searched_to, mut is_exhaustive) = (0, true);
        for size in 0..=self.largest_condition {
            let halted = self.iteration(size).err();
            orient(&mut self.graph, &self.separating, &self.earlier);
            match halted {
                Some(Halt::Stopped) => return Err(CausalError::Stopped),
                Some(Halt::TooMany) => {
                    is_exhaustive = false;
                    break;
                }
                None => searched_to = size,
            }
        }
        orient_tails(&mut self.graph);
        let Self { graph, separating, test, .. } = self;
        Ok(Learned { graph, separating, searched_to, is_exhaustive, tests: test.tests })
    }

    /// All tests with conditioning sets of one size, for each node and those before it.
    fn iteration(&mut self, size: usize) -> Result<(), Halt> {
        let order = self.order;
        for &b in &order[size + 1..] {
            match size {
                0 => self.without_condition(b)?,
                1 => self.given_a_neighbour(b)?,
                _ => self.given_separators(b, size)?,
            }
        }
        Ok(())
    }

    fn without_condition(&mut self, b: usize) -> Result<(), Halt> {
        for a in self.earlier[b].iter() {
            self.separates(a, b, NodeSet::EMPTY)?;
        }
        Ok(())
    }

    fn given_a_neighbour(&mut self, b: usize) -> Result<(), Halt> {
        let earlier = self.earlier[b];
        for a in (earlier - self.done[b]).iter() {
            // Not those of the beginning: an edge that was removed since does not count.
            let neighbours = (self.graph.adjacent(b) & earlier).without(a);
            for z in neighbours.iter() {
                if self.separates(a, b, NodeSet::EMPTY.with(z))? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn given_separators(&mut self, b: usize, size: usize) -> Result<(), Halt> {
        let earlier = self.earlier[b];
        if earlier.is_subset_of(&self.done[b]) {
            return Ok(());
        }
        let tree = PdsTree::new(&self.graph, b, earlier.with(b), size);
        let sets = tree.legal_subsets(size).ok_or(Halt::TooMany)?;
        let order = self.order;
        for &a in order.iter().take_while(|&&a| a != b) {
            if self.done[b].contains(a) {
                continue;
            }
            // Stays so if no set can be tried.
            self.done[b].insert(a);
            if !self.graph.are_adjacent(a, b) {
                continue;
            }
            let causes = self.graph.possible_ancestors(a) | self.graph.possible_ancestors(b);
            let allowed = causes.without(a);
            for &set in sets.iter().filter(|set| set.is_subset_of(&allowed)) {
                if self.separates(a, b, set)? {
                    break;
                }
                self.done[b].remove(a);
            }
        }
        Ok(())
    }

    /// Tests a pair; if it is independent, its edge goes.
    fn separates(&mut self, a: usize, b: usize, by: NodeSet) -> Result<bool, Halt> {
        if self.test.tests >= self.next_look {
            self.next_look = self.test.tests + TESTS_PER_LOOK;
            if (self.stop)() {
                return Err(Halt::Stopped);
            }
            if self.test.tests >= self.max_tests {
                return Err(Halt::TooMany);
            }
        }
        self.given.clear();
        self.given.extend(by.iter());
        let is_independent = self.test.is_independent(a, b, &self.given);
        if is_independent {
            self.graph.remove(a, b);
            self.separating.set(a, b, by);
            self.done[b].insert(a);
        }
        Ok(is_independent)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    /// All pairs of 20 nodes depend on each other, given any others.
    #[test]
    fn a_search_with_too_many_tests_ends_with_the_edges_that_are_left() {
        let nodes = 20;
        let mut rows = vec![0.0; nodes * nodes];
        for row in 0..nodes {
            for column in 0..=row {
                rows[row * nodes + column] = 1.0 + (row + 1 - column) as f64;
            }
        }
        let correlations = Correlations::from_rows(&rows, nodes).unwrap();
        let order: Vec<usize> = (0..nodes).collect();
        let parameters = Parameters { records: 1_000_000_000, ..Parameters::default() };
        let mut search = Search::new(&correlations, &order, &parameters, &|| false);
        search.max_tests = 2_000;
        let found = search.run().unwrap();
        assert!(!found.is_exhaustive, "{} tests", found.tests);
        assert!(found.tests < 2_000 + TESTS_PER_LOOK + 1);
        assert!(found.searched_to < nodes - 2 && found.graph.edges().count() > nodes);
    }
}
