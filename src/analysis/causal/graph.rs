//! A partial ancestral graph: edges with a mark at each end.
//!
//! A head at B of the edge A–B says that B is no cause of A, a tail that it is one, a circle that
//! both are possible. A ↔ B stands for a common cause that is no node.

use super::node_set::NodeSet;
use serde::{Deserialize, Serialize};

/// The mark at one end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// `o`: not decided.
    Circle,
    /// `>`: this node is no cause of the other.
    Head,
    /// `-`: this node is a cause of the other.
    Tail,
}

/// An edge between two nodes, `a` before `b` in the causal order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The earlier node.
    pub a: usize,
    /// The later node.
    pub b: usize,
    /// The mark at `a`.
    pub mark_a: Mark,
    /// The mark at `b`.
    pub mark_b: Mark,
}

/// A graph over the nodes 0 … n − 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Of each node, the neighbours whose edges have this mark at the node itself.
    circles: Vec<NodeSet>,
    heads: Vec<NodeSet>,
    tails: Vec<NodeSet>,
}

impl Graph {
    /// The complete graph with circles at every end.
    pub fn complete(nodes: usize) -> Self {
        let all = NodeSet::first(nodes);
        Self {
            circles: (0..nodes).map(|node| all.without(node)).collect(),
            heads: vec![NodeSet::EMPTY; nodes],
            tails: vec![NodeSet::EMPTY; nodes],
        }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.circles.len()
    }

    /// The neighbours of a node.
    pub fn adjacent(&self, node: usize) -> NodeSet {
        self.circles[node] | self.heads[node] | self.tails[node]
    }

    /// Whether an edge joins two nodes.
    pub fn are_adjacent(&self, a: usize, b: usize) -> bool {
        self.adjacent(a).contains(b)
    }

    /// The neighbours of a node whose edges have a circle at the node.
    pub fn circles_at(&self, node: usize) -> NodeSet {
        self.circles[node]
    }

    /// The neighbours of a node whose edges have a head at the node.
    pub fn heads_at(&self, node: usize) -> NodeSet {
        self.heads[node]
    }

    /// The neighbours of a node whose edges have a tail at the node.
    pub fn tails_at(&self, node: usize) -> NodeSet {
        self.tails[node]
    }

    /// The mark at `at` of its edge to `other`.
    pub fn mark(&self, at: usize, other: usize) -> Option<Mark> {
        let sets =
            [(Mark::Circle, &self.circles), (Mark::Head, &self.heads), (Mark::Tail, &self.tails)];
        sets.into_iter().find_map(|(mark, sets)| sets[at].contains(other).then_some(mark))
    }

    /// Puts a mark at `at` of its edge to `other`.
    pub fn set_mark(&mut self, at: usize, other: usize, mark: Mark) {
        self.clear(at, other);
        match mark {
            Mark::Circle => self.circles[at].insert(other),
            Mark::Head => self.heads[at].insert(other),
            Mark::Tail => self.tails[at].insert(other),
        }
    }

    /// Takes an edge away.
    pub fn remove(&mut self, a: usize, b: usize) {
        self.clear(a, b);
        self.clear(b, a);
    }

    fn clear(&mut self, at: usize, other: usize) {
        self.circles[at].remove(other);
        self.heads[at].remove(other);
        self.tails[at].remove(other);
    }

    /// Whether the edges of `x` and `y` to `middle` both have a head there.
    pub fn is_collider(&self, x: usize, middle: usize, y: usize) -> bool {
        self.heads[middle].contains(x) && self.heads[middle].contains(y)
    }

    /// The nodes A with A → `node`.
    pub fn parents(&self, node: usize) -> NodeSet {
        self.heads[node].iter().filter(|&a| self.tails[a].contains(node)).collect()
    }

    /// Whether `parent` may be a cause of `child`: an edge without a head at `parent` and without a
    /// tail at `child`.
    fn is_possible_parent(&self, parent: usize, child: usize) -> bool {
        (self.circles[parent] | self.tails[parent]).contains(child)
            && !self.tails[child].contains(parent)
    }

    /// The nodes that may be caused by a node, one edge away.
    pub fn possible_children(&self, node: usize) -> NodeSet {
        let edges = self.circles[node] | self.tails[node];
        edges.iter().filter(|&child| self.is_possible_parent(node, child)).collect()
    }

    /// The nodes from which possibly directed edges lead to `node`.
    pub fn possible_ancestors(&self, node: usize) -> NodeSet {
        let (mut found, mut open) = (NodeSet::EMPTY, vec![node]);
        while let Some(child) = open.pop() {
            let parents = (self.circles[child] | self.heads[child]) - found;
            for parent in parents.iter().filter(|&parent| self.is_possible_parent(parent, child)) {
                found.insert(parent);
                open.push(parent);
            }
        }
        found
    }

    /// Replaces all marks by what the causal order alone says: no later node causes an earlier one.
    /// `earlier` holds, for each node, those before it.
    pub fn reset_marks(&mut self, earlier: &[NodeSet]) {
        for (node, &earlier) in earlier.iter().enumerate() {
            let adjacent = self.adjacent(node);
            self.heads[node] = adjacent & earlier;
            self.circles[node] = adjacent - earlier;
            self.tails[node] = NodeSet::EMPTY;
        }
    }

    /// The edges between a < b, by b and then by a.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        (0..self.nodes()).flat_map(move |b| {
            let earlier = self.adjacent(b) & NodeSet::first(b);
            earlier.iter().filter_map(move |a| {
                Some(Edge { a, b, mark_a: self.mark(a, b)?, mark_b: self.mark(b, a)? })
            })
        })
    }

    /// The same graph with node i called `names[i]`.
    #[must_use]
    pub fn renamed(&self, names: &[usize]) -> Self {
        let sets = |of: &[NodeSet]| {
            let mut renamed = vec![NodeSet::EMPTY; of.len()];
            for (node, set) in of.iter().enumerate() {
                renamed[names[node]] = set.iter().map(|other| names[other]).collect();
            }
            renamed
        };
        Self { circles: sets(&self.circles), heads: sets(&self.heads), tails: sets(&self.tails) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_belong_to_ends_and_directions_follow_from_them() {
        let mut graph = Graph::complete(4);
        graph.remove(0, 3);
        let order: Vec<NodeSet> = (0..4).map(NodeSet::first).collect();
        graph.reset_marks(&order);
        assert_eq!((graph.mark(0, 1), graph.mark(1, 0)), (Some(Mark::Circle), Some(Mark::Head)));
        assert_eq!(graph.mark(0, 3), None);
        assert_eq!(graph.possible_ancestors(3).iter().collect::<Vec<_>>(), [0, 1, 2]);
        graph.set_mark(1, 2, Mark::Head);
        graph.set_mark(2, 3, Mark::Tail);
        assert!(graph.is_collider(0, 1, 2) && !graph.is_collider(0, 2, 3));
        assert_eq!(graph.parents(3).iter().collect::<Vec<_>>(), [2]);
        assert_eq!(graph.possible_children(1).iter().collect::<Vec<_>>(), [3]);
        // 0 o→ 2 and 0 o→ 1 o→ 3 are left.
        assert_eq!(graph.possible_ancestors(3).iter().collect::<Vec<_>>(), [0, 1, 2]);
        graph.set_mark(0, 1, Mark::Head);
        graph.set_mark(0, 2, Mark::Head);
        assert_eq!(graph.possible_ancestors(3).iter().collect::<Vec<_>>(), [1, 2]);
        let edges: Vec<(usize, usize)> = graph.edges().map(|edge| (edge.a, edge.b)).collect();
        assert_eq!(edges, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]);
    }

    #[test]
    fn a_renamed_graph_has_the_same_edges_under_other_names() {
        let mut graph = Graph::complete(3);
        graph.set_mark(2, 0, Mark::Head);
        graph.remove(0, 1);
        let renamed = graph.renamed(&[2, 0, 1]);
        assert_eq!(renamed.mark(1, 2), Some(Mark::Head));
        assert!(!renamed.are_adjacent(2, 0));
        assert_eq!(renamed.renamed(&[1, 2, 0]), graph);
    }
}
