//! The causal graph of an answer token as a tree around it: the nodes of the explanation within a distance, and the
//! edges between them.

use super::figure::{CausalNumbers, token_name};
use super::{Bounds, Shown, ViewState};
use crate::analysis::causal::{CausalError, CausalResult, HeadGraph, HeadResult, Mark};
use crate::analysis::density::Frame;
use crate::trace::{AnswerIndex, ImageSpan, PatchRef, Rect, Trace, TraceMeta};
use std::collections::HashMap;

/// Width and height of a crop around a patch, in patches.
const CROP_PATCHES: f64 = 4.0;

/// The explanation of an answer token in one head.
#[derive(Clone, Debug, PartialEq)]
pub struct CausalTree {
    /// The layer in the model's own numbers.
    pub layer: u32,
    /// The head.
    pub head: u32,
    /// Whether the head was chosen because its importance is the highest.
    pub is_most_important: bool,
    /// The largest distance that is shown; no node may be so far.
    pub radius: usize,
    /// The largest distance of a node of the explanation; 0 if nothing explains the token.
    pub deepest: usize,
    /// Nodes of the whole graph.
    pub graph_nodes: usize,
    /// Edges of the whole graph.
    pub graph_edges: usize,
    /// Graphs that the shares of edges and nodes are taken over; 0 if stability was not tested.
    pub runs: u32,
    /// The token itself, then the nodes of its explanation by distance.
    pub nodes: Vec<TreeNode>,
    /// The edges of the graph between them.
    pub edges: Vec<TreeEdge>,
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeNode {
    /// Position in the sequence.
    pub position: u32,
    /// Distance from the answer token.
    pub depth: usize,
    /// Index of the node above; 0 for the token itself.
    pub parent: usize,
    /// The token's attention to it.
    pub attention: f32,
    /// The share of the graphs in whose explanation it is.
    pub share: Option<f32>,
    /// The way it is drawn.
    pub face: NodeFace,
}

/// The drawing of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeFace {
    /// A patch with its surroundings.
    Patch(PatchCrop),
    /// A word.
    Word(String),
}

/// A part of a picture around a patch. Rectangles are left, upper, right and lower edge, 0–1 of their picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchCrop {
    /// The patch.
    pub patch: PatchRef,
    /// The picture that the crop is cut from.
    pub frame: Frame,
    /// The crop.
    pub around: [f32; 4],
    /// The patch in that picture.
    pub lit: [f32; 4],
    /// The patch in the picture that the view shows; `None` if it is not part of that picture.
    pub on_picture: Option<[f32; 4]>,
}

/// An edge between two nodes of the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreeEdge {
    /// Indices of the nodes: the earlier position first.
    pub ends: [usize; 2],
    /// The marks at them.
    pub marks: [Mark; 2],
    /// The share of the graphs that have it.
    pub share: Option<f32>,
    /// Whether it joins a node and the node above it.
    pub is_branch: bool,
}

/// The picture beside the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backdrop {
    /// Its pixels.
    pub frame: Frame,
    /// Width / height.
    pub aspect: f32,
}

impl ViewState {
    /// The head that the causal view shows: the chosen one, or the one with the highest importance.
    ///
    /// # Errors
    /// A head that was not computed, or no head with an explanation.
    pub fn causal_head<'a>(&self, result: &'a CausalResult) -> Result<&'a HeadResult, CausalError> {
        let chosen = self.map.heads.only().filter(|_| self.map.head_set.is_none());
        let Some(head) = chosen else {
            let first = result.heads.first();
            return result.most_important().or(first).ok_or(CausalError::NoGraph);
        };
        let found = result.heads.iter().find(|entry| entry.head == head);
        found.ok_or(CausalError::HeadNotLearned { head, token: result.token })
    }

    /// The picture beside the tree; `None` without patches.
    pub fn backdrop(&self, trace: &Trace) -> Option<Backdrop> {
        let frame = Shown::new(self, trace).grids.first()?.frame;
        let [width, height] = frame.size(trace.meta());
        Some(Backdrop { frame, aspect: (width / height) as f32 })
    }
}

impl CausalTree {
    /// The tree of a state, from the result about an answer token of the trace.
    ///
    /// # Errors
    /// As [`ViewState::causal_head`]; a head without a graph, or a distance that its graph was not learned for.
    pub fn new(
        state: &ViewState,
        trace: &Trace,
        result: &CausalResult,
    ) -> Result<Self, CausalError> {
        let head = state.causal_head(result)?;
        let graph = head.graph.as_ref().ok_or_else(|| CausalError::NoGraphOfHead {
            head: head.head,
            reason: head.error.clone().unwrap_or_default(),
        })?;
        let range = result.parameters.range;
        let radius = state.radius.map_or(range, |radius| radius as usize);
        if radius > range {
            return Err(CausalError::Radius { radius, range });
        }
        let (nodes, index_of) = nodes(state, trace, graph, AnswerIndex(result.token), radius);
        let deepest = graph.deepest();
        Ok(Self {
            layer: result.layer,
            head: head.head,
            is_most_important: state.map.heads.only().is_none() || state.map.head_set.is_some(),
            radius,
            deepest,
            graph_nodes: graph.nodes.len(),
            graph_edges: graph.edges.len(),
            runs: result.runs,
            edges: edges(graph, &nodes, &index_of),
            nodes,
        })
    }

    /// The tree of a state, from the graphs that the trace holds.
    ///
    /// # Errors
    /// A token without graphs in the trace, or as [`Self::new`].
    pub fn of_trace(state: &ViewState, trace: &Trace) -> Result<Self, CausalError> {
        let answer = Bounds::from_trace(trace).causal_answer(&state.map.queries);
        let answer = answer.map_err(|error| CausalError::Stored(error.to_string()))?;
        let found = CausalResult::stored(trace, answer)?;
        Self::new(state, trace, &found.ok_or(CausalError::NotLearned { token: answer.0 })?)
    }

    /// The numbers of its caption.
    pub fn numbers(&self) -> CausalNumbers {
        CausalNumbers {
            layer: self.layer,
            head: self.head,
            shown: self.nodes.len().saturating_sub(1),
            nodes: self.graph_nodes.saturating_sub(1),
            radius: self.radius,
        }
    }

    /// The node at a position.
    pub fn node_at(&self, position: u32) -> Option<&TreeNode> {
        self.nodes.iter().find(|node| node.position == position)
    }

    /// The node of a patch.
    pub fn node_of(&self, patch: PatchRef) -> Option<&TreeNode> {
        self.nodes.iter().find(|node| node.face.patch() == Some(patch))
    }
}

impl NodeFace {
    /// The patch; `None` for a word.
    pub const fn patch(&self) -> Option<PatchRef> {
        match self {
            Self::Patch(crop) => Some(crop.patch),
            Self::Word(_) => None,
        }
    }
}

/// The nodes within a radius, each at its least distance, and the index of each position.
fn nodes(
    state: &ViewState,
    trace: &Trace,
    graph: &HeadGraph,
    answer: AnswerIndex,
    radius: usize,
) -> (Vec<TreeNode>, HashMap<u32, usize>) {
    let meta = trace.meta();
    let mut nodes: Vec<TreeNode> = Vec::new();
    let mut index_of = HashMap::new();
    // The places are in order of their distance.
    for place in graph.tree.iter().filter(|place| place.depth <= radius) {
        if index_of.contains_key(&place.position) {
            continue;
        }
        let Some(node) = graph.nodes.iter().find(|node| node.position == place.position) else {
            continue;
        };
        let parent = graph
            .tree
            .get(place.parent)
            .map_or(0, |above| index_of.get(&above.position).copied().unwrap_or(0));
        let face = match crop(state, trace, place.position).filter(|_| place.depth > 0) {
            Some(crop) => NodeFace::Patch(crop),
            // The row of the root predicts the answer token, which is what the tree explains.
            None if place.depth == 0 => NodeFace::Word(answer_text(meta, answer)),
            None => NodeFace::Word(word_at(meta, place.position)),
        };
        index_of.insert(place.position, nodes.len());
        nodes.push(TreeNode {
            position: place.position,
            depth: place.depth,
            parent,
            attention: node.attention,
            share: node.share,
            face,
        });
    }
    (nodes, index_of)
}

/// The edges between the nodes that are shown.
fn edges(graph: &HeadGraph, nodes: &[TreeNode], index_of: &HashMap<u32, usize>) -> Vec<TreeEdge> {
    let is_below = |node: usize, above: usize| {
        nodes.get(node).is_some_and(|node| node.depth > 0 && node.parent == above)
    };
    let shown = |edge: &crate::analysis::causal::EdgeResult| {
        let [a, b] = [*index_of.get(&edge.a)?, *index_of.get(&edge.b)?];
        Some(TreeEdge {
            ends: [a, b],
            marks: [edge.mark_a, edge.mark_b],
            share: edge.share,
            is_branch: is_below(a, b) || is_below(b, a),
        })
    };
    graph.edges.iter().filter_map(shown).collect()
}

fn answer_text(meta: &TraceMeta, answer: AnswerIndex) -> String {
    word_at(meta, meta.prompt_len.saturating_add(answer.0))
}

fn word_at(meta: &TraceMeta, position: u32) -> String {
    token_name(&meta.tokens, position as usize).unwrap_or_else(|| format!("@{position}"))
}

/// The crop of a position; `None` for a word.
fn crop(state: &ViewState, trace: &Trace, position: u32) -> Option<PatchCrop> {
    let meta = trace.meta();
    let patch = meta.patch_of_key(position)?;
    let span = meta.spans.get(patch.span as usize)?;
    let own = super::PictureChoice {
        index: span.picture,
        view: Some(patch.span),
        form: state.picture.form,
    };
    let frame = own.frame(trace);
    let rect = patch_rect(meta, frame, span, patch);
    let [width, height] = frame.size(meta);
    let around = surroundings(rect, [width, height]);
    Some(PatchCrop {
        patch,
        frame,
        around: shares(around, [width, height]),
        lit: shares(rect, [width, height]),
        on_picture: on_picture(state, trace, patch),
    })
}

/// The rectangle of a patch on the picture that a view shows, 0–1; `None` if it is not part of that picture.
pub(super) fn on_picture(state: &ViewState, trace: &Trace, patch: PatchRef) -> Option<[f32; 4]> {
    let meta = trace.meta();
    let span = meta.spans.get(patch.span as usize)?;
    let shown = Shown::new(state, trace);
    let grid = shown.grids.first()?;
    let is_there = span.picture == grid.picture
        && (matches!(grid.frame, Frame::Original(_)) || grid.frame == Frame::Canvas(span.canvas));
    let rect = patch_rect(meta, grid.frame, span, patch);
    is_there.then(|| shares(rect, grid.frame.size(meta)))
}

fn patch_rect(meta: &TraceMeta, frame: Frame, span: &ImageSpan, patch: PatchRef) -> Rect {
    frame.rect(meta, span, span.preprocessed_from_patch(patch.row, patch.column))
}

/// The rectangle of some patches around one, moved so that it lies on the picture.
fn surroundings(patch: Rect, [width, height]: [f64; 2]) -> Rect {
    let side = |patch: f64, whole: f64| (patch * CROP_PATCHES).min(whole);
    let size = [side(patch.width, width), side(patch.height, height)];
    let start = |first: f64, own: f64, size: f64, whole: f64| {
        (first + own / 2.0 - size / 2.0).clamp(0.0, (whole - size).max(0.0))
    };
    Rect {
        x: start(patch.x, patch.width, size[0], width),
        y: start(patch.y, patch.height, size[1], height),
        width: size[0],
        height: size[1],
    }
}

fn shares(rect: Rect, [width, height]: [f64; 2]) -> [f32; 4] {
    [
        rect.x / width,
        rect.y / height,
        (rect.x + rect.width) / width,
        (rect.y + rect.height) / height,
    ]
    .map(|edge| edge as f32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::{AxisSet, Queries, ViewKind};
    use super::*;
    use crate::analysis::causal::{EdgeResult, NodeResult, Parameters, TreePlace};
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    fn trace() -> Trace {
        let geometry = Geometry::named("small").unwrap();
        Synthetic::new(geometry, RowsKept::Text, 3).unwrap().trace().unwrap()
    }

    /// The target, a patch and a word near it, a patch behind both; that patch stands twice in the tree.
    fn result(trace: &Trace) -> (CausalResult, [u32; 4]) {
        let meta = trace.meta();
        let patch = |row, column| meta.key_of_patch(PatchRef { span: 0, row, column }).unwrap().0;
        let target = meta.query_of_answer(AnswerIndex(1)).0;
        let word = meta.question_keys()[0] as u32;
        let [near, far] = [patch(2, 3), patch(0, 0)];
        let edge = |a: u32, b: u32, share| EdgeResult {
            a: a.min(b),
            b: a.max(b),
            mark_a: Mark::Tail,
            mark_b: Mark::Head,
            p: 0.0,
            share: Some(share),
        };
        let place = |position, parent, depth| TreePlace { position, parent, depth };
        let node = |position| NodeResult { position, attention: 0.2, share: None };
        let mut positions = [near, far, word, target];
        positions.sort_unstable();
        let graph = HeadGraph {
            nodes: positions.map(node).to_vec(),
            edges: vec![
                edge(near, target, 1.0),
                edge(word, target, 0.5),
                edge(far, near, 0.8),
                edge(far, word, 0.2),
                edge(near, word, 0.1),
            ],
            other_edges: Vec::new(),
            tree: vec![
                place(target, 0, 0),
                place(near, 0, 1),
                place(word, 0, 1),
                place(far, 1, 2),
                place(far, 2, 2),
            ],
            searched_to: 1,
            is_exhaustive: true,
            tests: 9,
        };
        let head = |head, importance, graph, error: Option<&str>| HeadResult {
            head,
            importance: Some(importance),
            graph,
            error: error.map(str::to_owned),
            masking: None,
        };
        let heads = vec![
            head(0, 9.0, None, Some("a row is empty")),
            head(1, 2.0, Some(graph.clone()), None),
            head(2, 1.0, Some(graph), None),
        ];
        let parameters = Parameters::default();
        let result = CausalResult { token: 1, layer: 3, parameters, runs: 15, heads };
        (result, [target, near, word, far])
    }

    fn state(head: Option<u32>, radius: Option<u32>) -> ViewState {
        let mut state = ViewState { view: ViewKind::Causal, radius, ..ViewState::default() };
        state.map.queries = Queries::answer(1);
        state.map.heads = head.map_or(AxisSet::MEAN, AxisSet::single);
        state
    }

    #[test]
    fn nodes_stand_once_at_their_least_distance_and_edges_know_their_branch() {
        let trace = trace();
        let (result, [target, near, word, far]) = result(&trace);
        let tree = CausalTree::new(&state(None, None), &trace, &result).unwrap();
        assert!(tree.is_most_important && tree.head == 1, "head 0 has no graph");
        let found: Vec<_> =
            tree.nodes.iter().map(|node| (node.position, node.depth, node.parent)).collect();
        assert_eq!(found, [(target, 0, 0), (near, 1, 0), (word, 1, 0), (far, 2, 1)]);
        let branches: Vec<bool> = tree.edges.iter().map(|edge| edge.is_branch).collect();
        assert_eq!(
            branches,
            [true, true, true, false, false],
            "the far node stands below the near one"
        );
        assert!(tree.edges.iter().all(|edge| {
            let [a, b] = edge.ends.map(|end| tree.nodes[end].position);
            a < b && edge.marks == [Mark::Tail, Mark::Head]
        }));
        // The root is drawn as the token that its row predicts, not as the token in its row.
        let predicted = token_name(&trace.meta().tokens, target as usize + 1).unwrap();
        assert_eq!(tree.nodes[0].face, NodeFace::Word(predicted));
        let NodeFace::Patch(crop) = &tree.nodes[3].face else { unreachable!("a patch") };
        assert_eq!(crop.patch, PatchRef { span: 0, row: 0, column: 0 });
        assert_eq!(crop.on_picture, Some(crop.lit), "the picture is the patch's own");
        assert_eq!(crop.around[..2], [0.0, 0.0], "moved onto the picture");
        let width = |edges: [f32; 4]| edges[2] - edges[0];
        assert!((width(crop.around) / width(crop.lit) - CROP_PATCHES as f32).abs() < 1e-3);
        assert_eq!(tree.node_of(crop.patch).map(|node| node.position), Some(far));
        let numbers = tree.numbers();
        assert_eq!((numbers.shown, numbers.nodes, numbers.radius), (3, 3, 3));
    }

    #[test]
    fn a_radius_cuts_the_tree_and_a_head_is_the_chosen_one() {
        let trace = trace();
        let (result, _) = result(&trace);
        let near = CausalTree::new(&state(Some(2), Some(1)), &trace, &result).unwrap();
        assert_eq!((near.head, near.nodes.len(), near.edges.len()), (2, 3, 3));
        assert!(!near.is_most_important && near.deepest == 2 && near.radius == 1);
        let error = |head, radius| {
            CausalTree::new(&state(head, radius), &trace, &result).unwrap_err().to_string()
        };
        assert!(error(Some(0), None).contains("head 0") && error(Some(0), None).contains("empty"));
        assert!(error(Some(7), None).contains("no causal graph of head 7"));
        assert!(error(None, Some(4)).contains("reaches distance 3, not 4"));
    }
}
