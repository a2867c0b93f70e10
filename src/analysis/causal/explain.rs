//! From attention to explanations, head by head, on several threads.

use super::correlation::Correlations;
use super::error::CausalError;
use super::independence::IndependenceTest;
use super::node_set::NodeSet;
use super::nodes::{HeadNodes, head_count, importance, nodes_of_head, target_row};
use super::parameters::Parameters;
use super::pds_tree::PdsTree;
use super::result::{
    CausalResult, EdgeResult, HeadGraph, HeadResult, NodeResult, Separated, TreePlace,
};
use super::search::{Learned, learn};
use super::stability::{Stability, StabilityOptions};
use crate::trace::{AnswerIndex, Trace};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A request for the causal graphs of one answer token.
#[derive(Clone, Debug, PartialEq)]
pub struct CausalRequest {
    /// The answer token.
    pub answer: AnswerIndex,
    /// Heads of the last layer; empty: all.
    pub heads: Vec<u32>,
    /// Parameters of the search.
    pub parameters: Parameters,
    /// The additional runs that measure how stable the edges are; `None` for no such runs.
    pub stability: Option<StabilityOptions>,
    /// Threads that share the heads out.
    pub threads: usize,
}

impl CausalRequest {
    /// The heads that a known result lacks, learned in the same way. All heads where nothing is known, or where the known
    /// graphs were learned with another number of other orders than the default.
    pub fn beside(
        known: Option<&CausalResult>,
        trace: &Trace,
        answer: AnswerIndex,
        threads: usize,
    ) -> Self {
        let parameters = known.map(|known| known.parameters.clone()).unwrap_or_default();
        let stability = known.is_none_or(|known| known.runs > 0).then(StabilityOptions::default);
        let runs = stability.map_or(0, |options| options.runs(&parameters));
        let known = known.filter(|known| known.runs == runs);
        let heads = known.map_or_else(Vec::new, |known| known.missing_heads(trace));
        Self { answer, heads, parameters, stability, threads }
    }
}

/// Learns the graphs of the heads. `stop` is asked now and then; `progress` gets the number of heads
/// that are done. A head without a graph says why; the others have theirs.
///
/// # Errors
/// A parameter, token or head that does not fit, the reason of the first head if none has a graph, or
/// [`CausalError::Stopped`].
pub fn explain(
    trace: &Trace,
    request: &CausalRequest,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(usize) + Sync),
) -> Result<CausalResult, CausalError> {
    request.parameters.check()?;
    let heads: Vec<u32> = match request.heads.is_empty() {
        true => (0..head_count(trace)).collect(),
        false => request.heads.clone(),
    };
    // An error of the request is reported once, before the heads are shared out.
    for &head in &heads {
        target_row(trace, request.answer, head)?;
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found: Mutex<Vec<(usize, Learning)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..request.threads.clamp(1, heads.len().max(1)) {
            scope.spawn(|| {
                while let Some(&head) = heads.get(next.fetch_add(1, Ordering::Relaxed))
                    && !stop()
                {
                    let result = one_head(trace, request, head, &|| stop());
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    found.push((head as usize, result));
                    drop(found);
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if found.len() < heads.len() {
        return Err(CausalError::Stopped);
    }
    found.sort_by_key(|(head, _)| *head);
    let has_graph = found.iter().any(|(_, result)| result.is_ok());
    let mut heads = Vec::with_capacity(found.len());
    for (head, result) in found {
        heads.push(match result {
            Ok(learned) => learned,
            Err((_, error)) if error == CausalError::Stopped || !has_graph => return Err(error),
            Err((importance, error)) => HeadResult {
                head: head as u32,
                importance,
                graph: None,
                error: Some(error.to_string()),
                masking: None,
            },
        });
    }
    let model = &trace.meta().model;
    Ok(CausalResult {
        token: request.answer.0,
        layer: model.layer_number((trace.shape().layers as u32).saturating_sub(1)),
        parameters: request.parameters.clone(),
        runs: request.stability.map_or(0, |options| options.runs(&request.parameters)),
        heads,
    })
}

/// A head with its graph, or its importance and the reason why it has none.
type Learning = Result<HeadResult, (Option<f64>, CausalError)>;

fn one_head(
    trace: &Trace,
    request: &CausalRequest,
    head: u32,
    stop: &dyn Fn() -> bool,
) -> Learning {
    let row = target_row(trace, request.answer, head).map_err(|error| (Some(0.0), error))?;
    let importance = importance(trace, &row);
    let graph = nodes_of_head(trace, request.answer, head, &request.parameters)
        .and_then(|nodes| Ok(graph_of(&nodes, &request.parameters, request.stability, stop)?.0));
    let graph = Some(graph.map_err(|error| (importance, error))?);
    Ok(HeadResult { head, importance, graph, error: None, masking: None })
}

/// The graph of a whole matrix of attention, row i over n keys, with every row a node; the last row
/// is the target. Positions are rows.
///
/// # Errors
/// As [`explain`]; values that are no n × n attention.
pub fn explain_matrix(
    values: &[f64],
    rows: usize,
    parameters: &Parameters,
    stability: Option<StabilityOptions>,
    stop: &dyn Fn() -> bool,
) -> Result<(HeadGraph, Vec<Separated>), CausalError> {
    parameters.check()?;
    let correlations = Correlations::from_rows(values, rows)?;
    if correlations.nodes() != rows {
        return Err(CausalError::Rows { values: values.len(), nodes: rows, keys: rows });
    }
    let last = values.len() - rows;
    let nodes = HeadNodes {
        positions: (0..rows as u32).collect(),
        attention: values[last..].iter().map(|&weight| weight as f32).collect(),
        correlations,
    };
    graph_of(&nodes, parameters, stability, stop)
}

/// Learns one graph, and lists what separated the pairs without an edge.
///
/// # Errors
/// [`CausalError::Stopped`].
pub fn graph_of(
    nodes: &HeadNodes,
    parameters: &Parameters,
    stability: Option<StabilityOptions>,
    stop: &dyn Fn() -> bool,
) -> Result<(HeadGraph, Vec<Separated>), CausalError> {
    let HeadNodes { positions, attention, correlations } = nodes;
    let learned = learn(correlations, parameters, stop)?;
    let stability = stability
        .map(|options| Stability::of(&learned, correlations, parameters, options, stop))
        .transpose()?;
    let share = |a: usize, b: usize| stability.as_ref().map(|runs| runs.edge(a, b));
    let mut test = IndependenceTest::new(correlations, parameters);
    let (mut edges, mut other_edges, mut separated) = (Vec::new(), Vec::new(), Vec::new());
    let Learned { graph, separating, .. } = &learned;
    for edge in graph.edges() {
        edges.push(EdgeResult {
            a: positions[edge.a],
            b: positions[edge.b],
            mark_a: edge.mark_a,
            mark_b: edge.mark_b,
            p: test.p_value(edge.a, edge.b, &[]),
            share: share(edge.a, edge.b),
        });
    }
    for b in 0..positions.len() {
        for a in (NodeSet::first(b) - graph.adjacent(b)).iter() {
            let given: Vec<usize> = separating.of(a, b).iter().collect();
            separated.push(Separated {
                a: positions[a],
                b: positions[b],
                p: test.p_value(a, b, &given),
                given: given.into_iter().map(|node| positions[node]).collect(),
            });
            let in_others = share(a, b).filter(|&share| share > 0.0);
            other_edges.extend(in_others.map(|share| (positions[a], positions[b], share)));
        }
    }
    let target = positions.len() - 1;
    let all = NodeSet::first(positions.len());
    let tree = PdsTree::new(graph, target, all, parameters.range);
    let place = |place: &super::pds_tree::Place| TreePlace {
        position: positions[place.node],
        parent: place.parent,
        depth: place.depth,
    };
    let node = |(node, (&position, &attention)): (usize, (&u32, &f32))| NodeResult {
        position,
        attention,
        share: stability.as_ref().map(|runs| runs.member(node)),
    };
    let graph = HeadGraph {
        nodes: positions.iter().zip(attention).enumerate().map(node).collect(),
        edges,
        other_edges,
        tree: tree.places.iter().map(place).collect(),
        searched_to: learned.searched_to,
        is_exhaustive: learned.is_exhaustive,
        tests: learned.tests,
    };
    Ok((graph, separated))
}
