//! The marks that the separating sets force: R0, then R1–R4, then R8–R10 (Zhang 2008; R5–R7 concern
//! selection bias, which is taken to be absent).
//!
//! The rules go through nodes in ascending order, each until nothing changes: where separating sets
//! contradict each other, the first rule that applies decides.

use super::graph::{Graph, Mark};
use super::node_set::NodeSet;

/// The set that separated each pair of nodes; empty for pairs that nothing separated.
#[derive(Clone, Debug)]
pub struct SeparatingSets {
    nodes: usize,
    /// [n, n], symmetric.
    sets: Vec<NodeSet>,
}

impl SeparatingSets {
    /// Empty ones.
    pub fn new(nodes: usize) -> Self {
        Self { nodes, sets: vec![NodeSet::EMPTY; nodes * nodes] }
    }

    /// The set that separated two nodes.
    pub fn of(&self, a: usize, b: usize) -> NodeSet {
        self.sets[a * self.nodes + b]
    }

    /// Sets what separates two nodes.
    pub fn set(&mut self, a: usize, b: usize, by: NodeSet) {
        self.sets[a * self.nodes + b] = by;
        self.sets[b * self.nodes + a] = by;
    }

    /// The same with node i called `names[i]`.
    #[must_use]
    pub fn renamed(&self, names: &[usize]) -> Self {
        let mut renamed = Self::new(self.nodes);
        for a in 0..self.nodes {
            for b in 0..a {
                let set = self.of(a, b).iter().map(|node| names[node]).collect();
                renamed.set(names[a], names[b], set);
            }
        }
        renamed
    }
}

/// Marks what holds whatever further tests find: R0 to R4. `earlier` holds, for each node, those
/// before it in the causal order.
pub fn orient(graph: &mut Graph, separating: &SeparatingSets, earlier: &[NodeSet]) {
    graph.reset_marks(earlier);
    rule_0(graph, separating);
    let rules = [rule_1, rule_2, rule_3];
    loop {
        let mut has_changed = rules.iter().fold(false, |changed, rule| rule(graph) | changed);
        has_changed |= rule_4(graph, separating);
        if !has_changed {
            break;
        }
    }
}

/// Marks the tails that a finished skeleton allows: R8 to R10.
pub fn orient_tails(graph: &mut Graph) {
    while rule_8(graph) | rule_9(graph) | rule_10(graph) {}
}

/// X *–* Z *–* Y, X and Y not adjacent, not separated by Z: X *→ Z ←* Y.
fn rule_0(graph: &mut Graph, separating: &SeparatingSets) {
    for z in 0..graph.nodes() {
        let around = graph.adjacent(z);
        for x in around.iter() {
            let apart = around - graph.adjacent(x) - NodeSet::first(x + 1);
            for y in apart.iter().filter(|&y| !separating.of(x, y).contains(z)) {
                graph.set_mark(z, x, Mark::Head);
                graph.set_mark(z, y, Mark::Head);
            }
        }
    }
}

/// A *→ B o–* C, A and C not adjacent: B → C.
fn rule_1(graph: &mut Graph) -> bool {
    let mut has_changed = false;
    for b in 0..graph.nodes() {
        for c in graph.circles_at(b).iter() {
            if !(graph.heads_at(b) - graph.adjacent(c)).is_empty() {
                graph.set_mark(b, c, Mark::Tail);
                graph.set_mark(c, b, Mark::Head);
                has_changed = true;
            }
        }
    }
    has_changed
}

/// A *→ B → C or A → B *→ C, and A *–o C: A *→ C.
fn rule_2(graph: &mut Graph) -> bool {
    let mut has_changed = false;
    for b in 0..graph.nodes() {
        for c in graph.tails_at(b).iter() {
            if !graph.heads_at(c).contains(b) {
                continue;
            }
            for a in (graph.heads_at(b) & graph.circles_at(c)).iter() {
                graph.set_mark(c, a, Mark::Head);
                has_changed = true;
            }
        }
    }
    for c in 0..graph.nodes() {
        for b in graph.heads_at(c).iter() {
            for a in (graph.parents(b) & graph.circles_at(c)).iter() {
                graph.set_mark(c, a, Mark::Head);
                has_changed = true;
            }
        }
    }
    has_changed
}

/// A *→ B ←* C, A *–o D o–* C, A and C not adjacent, D *–o B: D *→ B.
fn rule_3(graph: &mut Graph) -> bool {
    let mut has_changed = false;
    for b in 0..graph.nodes() {
        for d in graph.circles_at(b).iter() {
            let both = graph.heads_at(b) & graph.circles_at(d);
            if both.iter().any(|a| !(both.without(a) - graph.adjacent(a)).is_empty()) {
                graph.set_mark(b, d, Mark::Head);
                has_changed = true;
            }
        }
    }
    has_changed
}

/// A path D … A, B, C that discriminates B, and B o–* C: B → C where B separates D and C, else
/// A ↔ B ↔ C.
fn rule_4(graph: &mut Graph, separating: &SeparatingSets) -> bool {
    let mut has_changed = false;
    for b in 0..graph.nodes() {
        for c in graph.circles_at(b).iter() {
            for a in graph.parents(c).iter() {
                if !graph.heads_at(a).contains(b) {
                    continue;
                }
                let Some(d) = discriminating_start(graph, a, b, c) else { continue };
                graph.set_mark(c, b, Mark::Head);
                if separating.of(d, c).contains(b) {
                    graph.set_mark(b, c, Mark::Tail);
                } else {
                    graph.set_mark(a, b, Mark::Head);
                    graph.set_mark(b, a, Mark::Head);
                    graph.set_mark(b, c, Mark::Head);
                }
                has_changed = true;
            }
        }
    }
    has_changed
}

/// The D of the shortest path D *→ … ↔ A ←* B *–* C whose inner nodes before B are colliders and
/// parents of C, while D and C are not adjacent.
fn discriminating_start(graph: &Graph, a: usize, b: usize, c: usize) -> Option<usize> {
    let mut seen = NodeSet::from_iter([a, b, c]);
    let mut frontier = NodeSet::from_iter([a]);
    let parents = graph.parents(c);
    while !frontier.is_empty() {
        let mut next = NodeSet::EMPTY;
        for collider in frontier.iter() {
            let into = graph.heads_at(collider).without(b).without(c);
            if let Some(d) = (into - graph.adjacent(c)).iter().next() {
                return Some(d);
            }
            let further = (into & parents) - seen;
            next =
                next | further.iter().filter(|&d| graph.heads_at(d).contains(collider)).collect();
        }
        seen = seen | next;
        frontier = next;
    }
    None
}

/// A → B → C or A –o B → C, and A o→ C: A → C.
fn rule_8(graph: &mut Graph) -> bool {
    let mut has_changed = false;
    for b in 0..graph.nodes() {
        let into = graph.heads_at(b) | graph.circles_at(b);
        let before: NodeSet = into.iter().filter(|&a| graph.tails_at(a).contains(b)).collect();
        let after: NodeSet =
            graph.tails_at(b).iter().filter(|&c| graph.heads_at(c).contains(b)).collect();
        for a in before.iter() {
            for c in (after & graph.circles_at(a)).iter() {
                if graph.heads_at(c).contains(a) {
                    graph.set_mark(a, c, Mark::Tail);
                    has_changed = true;
                }
            }
        }
    }
    has_changed
}

/// A o→ C and an uncovered, possibly directed path A, B, …, C with B and C not adjacent: A → C.
fn rule_9(graph: &mut Graph) -> bool {
    for a in 0..graph.nodes() {
        for c in half_directed(graph, a).iter() {
            let first = graph.possible_children(a).without(c) - graph.adjacent(c);
            if first.iter().any(|b| uncovered_reach(graph, a, b).contains(c)) {
                graph.set_mark(a, c, Mark::Tail);
                return true;
            }
        }
    }
    false
}

/// A o→ C, B → C ← D, and uncovered, possibly directed paths from A to B and to D whose first nodes
/// E and F differ and are not adjacent: A → C.
fn rule_10(graph: &mut Graph) -> bool {
    for a in 0..graph.nodes() {
        let open = half_directed(graph, a);
        if open.is_empty() {
            continue;
        }
        let children = graph.possible_children(a);
        let reach: Vec<(usize, NodeSet)> =
            children.iter().map(|first| (first, uncovered_reach(graph, a, first))).collect();
        for c in open.iter() {
            let parents = graph.parents(c);
            let is_forced = reach.iter().any(|(e, from_e)| {
                let apart = |f: usize| f > *e && !graph.are_adjacent(*e, f);
                let ends = reach.iter().filter(|(f, _)| *e != c && *f != c && apart(*f));
                ends.into_iter()
                    .any(|(_, from_f)| are_distinct(*from_e & parents, *from_f & parents))
            });
            if is_forced {
                graph.set_mark(a, c, Mark::Tail);
                return true;
            }
        }
    }
    false
}

/// Whether two different nodes can be taken, one from each set.
fn are_distinct(one: NodeSet, other: NodeSet) -> bool {
    !one.is_empty() && !other.is_empty() && (one | other).len() > 1
}

/// The nodes C with `a` o→ C.
fn half_directed(graph: &Graph, a: usize) -> NodeSet {
    graph.circles_at(a).iter().filter(|&c| graph.heads_at(c).contains(a)).collect()
}

/// The ends of uncovered, possibly directed paths `start`, `first`, …: of every three nodes in a
/// row, the outer two are not adjacent. Such a path follows the causal order, so that it cannot
/// cross itself.
fn uncovered_reach(graph: &Graph, start: usize, first: usize) -> NodeSet {
    // The nodes that a path came to from each node.
    let mut seen = vec![NodeSet::EMPTY; graph.nodes()];
    seen[start].insert(first);
    let mut reach = NodeSet::EMPTY.with(first);
    let mut open = vec![(start, first)];
    while let Some((before, at)) = open.pop() {
        let uncovered = graph.possible_children(at).without(before) - graph.adjacent(before);
        let next = uncovered - seen[at];
        seen[at] = seen[at] | next;
        reach = reach | next;
        open.extend(next.iter().map(|next| (at, next)));
    }
    reach
}
