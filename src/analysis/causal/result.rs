//! The causal results of one answer token, as they are printed and stored in the trace.

use super::error::CausalError;
use super::graph::Mark;
use super::node_set::MAX_NODES;
use super::nodes::head_count;
use super::parameters::Parameters;
use super::pds_tree::PdsTree;
use crate::trace::{AnswerIndex, Trace};
use serde::{Deserialize, Serialize};

/// Names of the masks that [`MaskingResult::mask`] may have.
const MASKS: [&str; 4] = ["knock-answer", "knock-text", "blank-mean", "blank-blur"];

/// The causal graphs of one answer token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CausalResult {
    /// The answer token.
    pub token: u32,
    /// The decoder layer whose attention was used.
    pub layer: u32,
    /// Parameters of the search.
    pub parameters: Parameters,
    /// Runs that the shares of edges and nodes are taken over; 0 where stability was not tested.
    pub runs: u32,
    /// One entry for each head that was looked at.
    pub heads: Vec<HeadResult>,
}

/// One head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadResult {
    /// Its number in the layer.
    pub head: u32,
    /// Largest attention on a patch over the largest on the text behind the picture; `None` (infinite) where only patches
    /// have attention.
    pub importance: Option<f64>,
    /// Its graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<HeadGraph>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The effect on the answer of masking the explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masking: Option<MaskingResult>,
}

/// The explanation, its parts and its controls masked in the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskingResult {
    /// Name of the mask: `knock-answer`, `knock-text`, `blank-mean`, `blank-blur`.
    pub mask: String,
    /// log p of the answer token with nothing masked.
    pub logprob: f32,
    /// The masked sets.
    pub sets: Vec<MaskedSet>,
    /// Parts of the explanation that were tried.
    pub tried: usize,
    /// Whether all parts up to the size of the smallest were tried.
    pub is_complete: bool,
}

/// One masked set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskedSet {
    /// Origin of the set.
    pub kind: SetKind,
    /// Depth of the explanation that has its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Positions in the sequence.
    pub positions: Vec<u32>,
    /// The target's attention to all of them.
    pub attention: f32,
    /// log p of the answer token with the set masked − without.
    pub delta_logprob: f32,
    /// Whether another token is the most likely one then.
    pub changes_token: bool,
}

/// The origin of a masked set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetKind {
    /// The explanation up to a depth.
    Explanation,
    /// Those of the target's largest attention in this head.
    TopAttention,
    /// Those of the token's largest relevancy.
    TopRelevancy,
    /// Random ones of about equal attention.
    EqualAttention,
    /// Random ones.
    Random,
    /// The smallest parts of the explanation that change the token.
    Smallest,
}

/// The causal graph of one head, and the explanation of its last node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadGraph {
    /// The nodes, in causal order; the last is the target.
    pub nodes: Vec<NodeResult>,
    /// The edges.
    pub edges: Vec<EdgeResult>,
    /// Edges that only other runs have: positions and share of runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_edges: Vec<(u32, u32, f32)>,
    /// The tree of possible d-separators around the target, root first: the explanation by depth.
    pub tree: Vec<TreePlace>,
    /// Size of the largest conditioning sets that were all tried.
    pub searched_to: usize,
    /// Whether no larger one was left.
    pub is_exhaustive: bool,
    /// Independence tests.
    pub tests: u64,
}

/// One node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeResult {
    /// Position in the sequence.
    pub position: u32,
    /// The target's attention to it.
    pub attention: f32,
    /// Share of runs in whose explanation it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
}

/// One edge; `a` stands before `b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeResult {
    /// Position of the earlier node.
    pub a: u32,
    /// Position of the later node.
    pub b: u32,
    /// Mark at `a`.
    pub mark_a: Mark,
    /// Mark at `b`.
    pub mark_b: Mark,
    /// p of the pair without a condition.
    pub p: f64,
    /// Share of runs that have this edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
}

impl EdgeResult {
    /// As it is written: `3 o→ 7`, `3 → 7`, `3 ↔ 7`.
    pub fn arrow(&self) -> &'static str {
        match (self.mark_a, self.mark_b) {
            (Mark::Circle, Mark::Head) => "o→",
            (Mark::Tail, Mark::Head) => "→",
            (Mark::Head, Mark::Head) => "↔",
            (Mark::Circle, Mark::Circle) => "o–o",
            (Mark::Circle, Mark::Tail) => "o–",
            (Mark::Tail, Mark::Circle) => "–o",
            (Mark::Head, Mark::Circle) => "←o",
            (Mark::Head, Mark::Tail) => "←",
            (Mark::Tail, Mark::Tail) => "–",
        }
    }
}

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreePlace {
    /// Position in the sequence.
    pub position: u32,
    /// Index of the place above; the root's is 0.
    pub parent: usize,
    /// Distance from the target.
    pub depth: usize,
}

/// A pair of nodes that a test found independent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Separated {
    /// Position of the earlier node.
    pub a: u32,
    /// Position of the later node.
    pub b: u32,
    /// Positions of the conditioning set.
    pub given: Vec<u32>,
    /// p of the test.
    pub p: f64,
}

impl HeadGraph {
    /// The target's position.
    pub fn target(&self) -> Option<u32> {
        self.nodes.last().map(|node| node.position)
    }

    /// The largest distance of the explanation from the target; 0 where nothing explains it.
    pub fn deepest(&self) -> usize {
        self.tree.iter().map(|place| place.depth).max().unwrap_or(0)
    }

    /// The explanation up to a depth: positions, ascending.
    pub fn explanation(&self, depth: usize) -> Vec<u32> {
        let near = self.tree.iter().filter(|place| (1..=depth).contains(&place.depth));
        let mut positions: Vec<u32> = near.map(|place| place.position).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The parts of the explanation of `size` nodes that hang together with the target, the nearest
    /// first. `None` if there are more than [`super::MAX_SUBSETS`].
    pub fn explanation_sets(&self, size: usize) -> Option<Vec<Vec<u32>>> {
        let node = |position: u32| self.nodes.iter().position(|node| node.position == position);
        let places: Option<Vec<(usize, usize)>> =
            self.tree.iter().map(|place| Some((node(place.position)?, place.parent))).collect();
        let sets = PdsTree::from_places(&places?).legal_subsets(size)?;
        let positions =
            |set: super::NodeSet| set.iter().map(|node| self.nodes[node].position).collect();
        Some(sets.into_iter().map(positions).collect())
    }

    /// Whether another graph of the same head has the same nodes, edges and explanation.
    fn explains_as(&self, other: &Self) -> bool {
        let nodes =
            |graph: &Self| -> Vec<u32> { graph.nodes.iter().map(|node| node.position).collect() };
        let edges = |graph: &Self| -> Vec<_> {
            let edge = |edge: &EdgeResult| (edge.a, edge.b, edge.mark_a, edge.mark_b);
            graph.edges.iter().map(edge).collect()
        };
        self.tree == other.tree && nodes(self) == nodes(other) && edges(self) == edges(other)
    }

    /// The reason why it cannot be one that [`super::explain()`] made.
    fn fault(&self, positions: usize) -> Option<&'static str> {
        let is_node = |position: u32| self.nodes.iter().any(|node| node.position == position);
        let ascending = self.nodes.windows(2).all(|pair| pair[0].position < pair[1].position);
        let target = self.nodes.last().map_or(0, |node| node.position as usize);
        if !(2..=MAX_NODES).contains(&self.nodes.len()) || !ascending || target >= positions {
            return Some("its nodes are not 2 to 256 ascending positions of the trace");
        }
        let joins = |edge: &EdgeResult| edge.a < edge.b && is_node(edge.a) && is_node(edge.b);
        if !self.edges.iter().all(joins) {
            return Some("an edge does not join two nodes");
        }
        let hangs = |(index, place): (usize, &TreePlace)| match index {
            0 => place.parent == 0 && place.depth == 0 && Some(place.position) == self.target(),
            _ => {
                place.parent < index
                    && is_node(place.position)
                    && place.depth == self.tree[place.parent].depth + 1
            }
        };
        if self.tree.is_empty() || !self.tree.iter().enumerate().all(hangs) {
            return Some("its tree does not hang together");
        }
        let shares = self.nodes.iter().filter_map(|node| node.share);
        let shares = shares.chain(self.edges.iter().filter_map(|edge| edge.share));
        let others = self.other_edges.iter();
        if !others.clone().all(|&(a, b, _)| is_node(a) && is_node(b)) {
            return Some("an edge of other graphs does not join two nodes");
        }
        let is_share = |share: f32| (0.0..=1.0).contains(&share);
        if !shares.chain(others.map(|&(_, _, share)| share)).all(is_share) {
            return Some("a share is not from 0 to 1");
        }
        None
    }
}

impl HeadResult {
    /// The reason why it cannot be one that [`super::explain()`] and the masking test made.
    fn fault(&self, trace: &Trace) -> Option<&'static str> {
        let positions = trace.shape().positions;
        if self.importance.is_some_and(|value| !value.is_finite() || value < 0.0) {
            return Some("its importance is not a number from 0");
        }
        if self.graph.is_none() && self.error.is_none() {
            return Some("it has neither a graph nor a reason why not");
        }
        let graph = self.graph.as_ref();
        let deepest = graph.map_or(0, HeadGraph::deepest);
        let masking = self.masking.as_ref();
        if masking.is_some_and(|masking| !MASKS.contains(&masking.mask.as_str())) {
            return Some("its masking test names no known mask");
        }
        let is_wrong = |set: &MaskedSet| {
            set.depth.is_some_and(|depth| !(1..=deepest).contains(&depth))
                || set.positions.iter().any(|&position| position as usize >= positions)
        };
        if masking.is_some_and(|masking| masking.sets.iter().any(is_wrong)) {
            return Some(
                "a set of its masking test has a distance or position that does not exist",
            );
        }
        graph.and_then(|graph| graph.fault(positions))
    }
}

impl CausalResult {
    /// Of the heads that have an explanation, the one whose attention is most on the picture, by
    /// [`HeadResult::importance`]; of equals the first.
    pub fn most_important(&self) -> Option<&HeadResult> {
        let explains = |graph: &HeadGraph| graph.deepest() > 0;
        let explained = self.heads.iter().filter(|head| head.graph.as_ref().is_some_and(explains));
        let value = |head: &HeadResult| head.importance.unwrap_or(f64::INFINITY);
        explained.reduce(|best, head| if value(head) > value(best) { head } else { best })
    }

    /// Whether an older result was learned in the same way, so that heads of both may stand beside each other.
    pub fn is_alike(&self, older: &Self) -> bool {
        (self.token, self.layer, self.runs) == (older.token, older.layer, older.runs)
            && self.parameters == older.parameters
    }

    /// Heads of the trace's last layer without an entry here.
    pub fn missing_heads(&self, trace: &Trace) -> Vec<u32> {
        let is_missing = |head: &u32| self.heads.iter().all(|own| own.head != *head);
        (0..head_count(trace)).filter(is_missing).collect()
    }

    /// With the heads that only `older` has, if it was learned in the same way, and with its masking tests of graphs that
    /// are the same.
    #[must_use]
    pub fn over(mut self, older: Self) -> Self {
        for head in self.heads.iter_mut().filter(|head| head.masking.is_none()) {
            let known = older.heads.iter().find(|known| known.head == head.head);
            if let Some(known) = known
                && let (Some(graph), Some(before)) = (&head.graph, &known.graph)
                && graph.explains_as(before)
            {
                head.masking.clone_from(&known.masking);
            }
        }
        if self.is_alike(&older) {
            let is_new = |head: &HeadResult| self.heads.iter().any(|own| own.head == head.head);
            let kept: Vec<HeadResult> =
                older.heads.into_iter().filter(|head| !is_new(head)).collect();
            self.heads.extend(kept);
            self.heads.sort_by_key(|head| head.head);
        }
        self
    }

    /// The same trace with this result, which takes the place of stored heads that were learned again.
    ///
    /// # Errors
    /// [`CausalError::Stored`] if it cannot be written as JSON.
    pub fn kept_in(self, trace: &Trace) -> Result<Trace, CausalError> {
        let answer = AnswerIndex(self.token);
        // A stored result that cannot be read is replaced.
        let kept = Self::stored(trace, answer).ok().flatten();
        let all = kept.map_or_else(|| self.clone(), |older| self.clone().over(older));
        let json = serde_json::to_vec(&all);
        let json = json.map_err(|error| CausalError::Stored(error.to_string()))?;
        Ok(trace.with_causal(answer, &json))
    }

    /// The result that the trace holds for a token; `None` if nothing was computed.
    ///
    /// # Errors
    /// [`CausalError::Stored`] for anything that [`super::explain()`] cannot have made.
    pub fn stored(trace: &Trace, answer: AnswerIndex) -> Result<Option<Self>, CausalError> {
        let Some(json) = trace.causal(answer) else { return Ok(None) };
        let bad = |reason: String| CausalError::Stored(reason);
        let found: Self = serde_json::from_slice(&json).map_err(|error| bad(error.to_string()))?;
        if found.token != answer.0 {
            return Err(bad(format!("it is about answer token {}", found.token)));
        }
        found.parameters.check().map_err(|error| bad(error.to_string()))?;
        let is_ascending = found.heads.windows(2).all(|pair| pair[0].head < pair[1].head);
        let last = found.heads.last().map_or(0, |head| head.head);
        if found.heads.is_empty() || !is_ascending || last >= head_count(trace) {
            return Err(bad("its heads are not ascending heads of the last layer".into()));
        }
        for head in &found.heads {
            if let Some(fault) = head.fault(trace) {
                return Err(bad(format!("head {}: {fault}", head.head)));
            }
        }
        Ok(Some(found))
    }
}
