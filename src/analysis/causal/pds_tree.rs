//! The tree of possible d-separators of a node: the paths from it whose inner nodes may be
//! colliders, and the sets of nodes that such paths hold together.

use super::graph::Graph;
use super::node_set::NodeSet;
use std::collections::VecDeque;

/// More sets than this are not listed for one node and size.
pub const MAX_SUBSETS: usize = 1 << 18;

/// A place in the tree. A node may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the node at this place.
    pub node: usize,
    /// Index of the place above; the root's is its own.
    pub parent: usize,
    /// Distance from the root.
    pub depth: usize,
    /// The nodes between the root and this place.
    between: NodeSet,
}

/// The tree, its root first, breadth first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdsTree {
    /// All places.
    pub places: Vec<Place>,
}

impl PdsTree {
    /// The tree around `root` over the nodes of `allowed`, to a depth.
    pub fn new(graph: &Graph, root: usize, allowed: NodeSet, max_depth: usize) -> Self {
        let mut left: Vec<NodeSet> =
            (0..graph.nodes()).map(|node| graph.adjacent(node) & allowed).collect();
        let mut places = vec![Place { node: root, parent: 0, depth: 0, between: NodeSet::EMPTY }];
        let mut open = VecDeque::new();
        for node in left[root].iter() {
            left[node].remove(root);
            open.push_back(places.len());
            places.push(Place { node, parent: 0, depth: 1, between: NodeSet::EMPTY });
        }
        left[root] = NodeSet::EMPTY;
        while let Some(place) = open.pop_front() {
            let Place { node, parent, depth, between } = places[place].clone();
            if depth >= max_depth {
                continue;
            }
            let before = places[parent].node;
            for next in left[node].without(before).iter() {
                if graph.are_adjacent(before, next) || graph.is_collider(before, node, next) {
                    left[node].remove(next);
                    left[next].remove(node);
                    open.push_back(places.len());
                    let between = between.with(node);
                    places.push(Place { node: next, parent: place, depth: depth + 1, between });
                }
            }
        }
        Self { places }
    }

    /// The tree of given places, root first: the node of each and the index of the place above, which
    /// is smaller than its own.
    pub fn from_places(given: &[(usize, usize)]) -> Self {
        let mut places: Vec<Place> = Vec::with_capacity(given.len());
        for &(node, parent) in given {
            let (depth, between) = match places.get(parent) {
                // The root stands between no two nodes.
                Some(_) if parent == 0 => (1, NodeSet::EMPTY),
                Some(above) => (above.depth + 1, above.between.with(above.node)),
                None => (0, NodeSet::EMPTY),
            };
            places.push(Place { node, parent, depth, between });
        }
        Self { places }
    }

    /// The nodes at most `depth` away from the root, without the root.
    pub fn within(&self, depth: usize) -> NodeSet {
        let near = self.places.iter().filter(|place| (1..=depth).contains(&place.depth));
        near.map(|place| place.node).collect()
    }

    /// The smallest depth of each node of the tree but its root: (node, depth), ascending by node.
    pub fn depths(&self) -> Vec<(usize, usize)> {
        let mut depths: Vec<(usize, usize)> =
            self.places.iter().skip(1).map(|place| (place.node, place.depth)).collect();
        depths.sort_unstable();
        depths.dedup_by_key(|(node, _)| *node);
        depths
    }

    /// The sets of `size` nodes of which each is reached from the root through nodes of the same set.
    /// By the sum of their smallest depths, of equals in ascending order of nodes. `None` if there
    /// are more than [`MAX_SUBSETS`].
    pub fn legal_subsets(&self, size: usize) -> Option<Vec<NodeSet>> {
        let members = self
            .depths()
            .into_iter()
            .map(|(node, depth)| {
                let places = self.places.iter().skip(1).filter(|place| place.node == node);
                Member { node, depth, ways: places.map(|place| place.between).collect() }
            })
            .collect();
        let mut listing = Listing { members, size, taken: Vec::new(), found: Vec::new() };
        let is_complete = listing.extend(0, NodeSet::EMPTY, 0);
        let Listing { mut found, .. } = listing;
        // Stable: of equals, the order of the listing stays.
        found.sort_by_key(|(sum, _)| *sum);
        is_complete.then(|| found.into_iter().map(|(_, set)| set).collect())
    }
}

/// A node that can be in a set.
struct Member {
    node: usize,
    depth: usize,
    /// For each of its places, what else must be in the set.
    ways: Vec<NodeSet>,
}

/// Lists sets in lexicographic order.
struct Listing {
    members: Vec<Member>,
    size: usize,
    /// Indices of the members in the set so far.
    taken: Vec<usize>,
    found: Vec<(usize, NodeSet)>,
}

impl Listing {
    /// Adds all sets that begin with those taken. Returns `false` if there are too many.
    fn extend(&mut self, from: usize, set: NodeSet, depths: usize) -> bool {
        let missing = self.size - self.taken.len();
        if missing == 0 {
            if self.found.len() == MAX_SUBSETS {
                return false;
            }
            self.found.push((depths, set));
            return true;
        }
        for index in from..=self.members.len().saturating_sub(missing) {
            let Some(member) = self.members.get(index) else { break };
            let (node, depth) = (member.node, member.depth);
            let set = set.with(node);
            self.taken.push(index);
            let goes_on = !self.can_be_legal(set, node, missing - 1)
                || self.extend(index + 1, set, depths + depth);
            self.taken.pop();
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Whether each node of `set` can be reached once `missing` more are added, all behind `last`.
    fn can_be_legal(&self, set: NodeSet, last: usize, missing: usize) -> bool {
        let passed = NodeSet::first(last + 1);
        self.taken.iter().all(|&index| {
            let member = &self.members[index];
            // A neighbour of the root needs no other.
            member.depth == 1
                || member.ways.iter().any(|way| {
                    let lacking = *way - set;
                    lacking.len() <= missing && (lacking & passed).is_empty()
                })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::graph::Mark;
    use super::*;

    fn listed(subsets: &[NodeSet]) -> Vec<Vec<usize>> {
        subsets.iter().map(|set| set.iter().collect()).collect()
    }

    /// 0 ↔ 1 ↔ 3 ← 2 in a row of colliders towards the root 3, and 2 alone.
    fn graph() -> Graph {
        let mut graph = Graph::complete(4);
        for (a, b) in [(0, 2), (0, 3), (1, 2)] {
            graph.remove(a, b);
        }
        for (at, other) in [(0, 1), (1, 0), (1, 3), (3, 1), (3, 2)] {
            graph.set_mark(at, other, Mark::Head);
        }
        graph
    }

    #[test]
    fn a_path_goes_on_through_colliders_and_triangles_only() {
        let tree = PdsTree::new(&graph(), 3, NodeSet::first(4), 3);
        let places: Vec<(usize, usize, usize)> =
            tree.places.iter().map(|place| (place.node, place.parent, place.depth)).collect();
        assert_eq!(places, [(3, 0, 0), (1, 0, 1), (2, 0, 1), (0, 1, 2)]);
        let given: Vec<(usize, usize)> =
            tree.places.iter().map(|place| (place.node, place.parent)).collect();
        assert_eq!(PdsTree::from_places(&given), tree);
        assert_eq!(tree.within(1).iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(tree.depths(), [(0, 2), (1, 1), (2, 1)]);
        let near = PdsTree::new(&graph(), 3, NodeSet::first(4), 1);
        assert_eq!(near.places.len(), 3);
        let mut without = graph();
        without.set_mark(1, 0, Mark::Tail);
        assert_eq!(PdsTree::new(&without, 3, NodeSet::first(4), 3).places.len(), 3);
    }

    #[test]
    fn legal_sets_hang_together_and_come_nearest_first() {
        let tree = PdsTree::new(&graph(), 3, NodeSet::first(4), 3);
        assert_eq!(listed(&tree.legal_subsets(1).unwrap()), [[1], [2]]);
        // {0, 2} lacks the 1 that leads to 0.
        assert_eq!(listed(&tree.legal_subsets(2).unwrap()), [[1, 2], [0, 1]]);
        assert_eq!(listed(&tree.legal_subsets(3).unwrap()), [[0, 1, 2]]);
        assert_eq!(listed(&tree.legal_subsets(4).unwrap()), Vec::<Vec<usize>>::new());
    }

    /// Against the definition, on a graph with triangles, where nodes have several places.
    #[test]
    fn the_listing_is_that_of_all_combinations() {
        let mut graph = Graph::complete(9);
        for (a, b) in [(0, 8), (1, 8), (0, 1), (2, 8), (2, 5), (3, 6), (4, 7), (0, 4), (1, 5)] {
            graph.remove(a, b);
        }
        let tree = PdsTree::new(&graph, 8, NodeSet::first(9), 3);
        assert!(tree.places.len() > 9, "some node has several places");
        let depths = tree.depths();
        for size in 1..=4 {
            let mut expected = Vec::new();
            for bits in 0_u32..1 << depths.len() {
                let chosen: Vec<usize> =
                    (0..depths.len()).filter(|index| bits >> index & 1 == 1).collect();
                if chosen.len() != size {
                    continue;
                }
                let set: NodeSet = chosen.iter().map(|&index| depths[index].0).collect();
                let is_reached = |node: usize| {
                    let mut places = tree.places.iter().skip(1);
                    places.any(|place| place.node == node && place.between.is_subset_of(&set))
                };
                if set.iter().all(is_reached) {
                    let sum: usize = chosen.iter().map(|&index| depths[index].1).sum();
                    expected.push((sum, set.iter().collect::<Vec<_>>()));
                }
            }
            expected.sort();
            let expected: Vec<Vec<usize>> = expected.into_iter().map(|(_, set)| set).collect();
            assert!(!expected.is_empty());
            assert_eq!(listed(&tree.legal_subsets(size).unwrap()), expected);
        }
    }
}
