//! The whole search against values from the authors' implementation, and on graphs whose separations
//! are known.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Attention from a linear congruential generator: row i is the softmax of `scale` · u over i + 1
/// keys.
fn attention(rows: usize, seed: u64, scale: f64) -> Vec<f64> {
    let mut state = seed;
    let mut values = vec![0.0; rows * rows];
    for i in 0..rows {
        let row = &mut values[i * rows..i * rows + i + 1];
        for value in row.iter_mut() {
            state = (1_103_515_245 * state + 12_345) % (1 << 31);
            *value = (scale * state as f64 / f64::from(1_u32 << 31)).exp();
        }
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    values
}

fn never() -> bool {
    false
}

fn explained(rows: usize, seed: u64) -> (HeadGraph, Vec<Separated>) {
    explain_matrix(&attention(rows, seed, 4.0), rows, &Parameters::default(), None, &never).unwrap()
}

/// "0o→1 1↔2", by the earlier node and then by the later one.
fn edges(graph: &HeadGraph) -> String {
    let mut edges = graph.edges.clone();
    edges.sort_by_key(|edge| (edge.a, edge.b));
    let text: Vec<String> =
        edges.iter().map(|edge| format!("{}{}{}", edge.a, edge.arrow(), edge.b)).collect();
    text.join(" ")
}

#[test]
fn three_small_graphs_have_the_reference_edges_and_explanations() {
    let expected = [
        (6, 7, "0o→1 0o→3 1↔2 2→3 3↔4 4↔5", &[0, 2, 3, 4][..]),
        (8, 1, "0o→1 0o→3 1↔2 2→5 4o→5 4o→6 5↔6 5↔7", &[2, 4, 5, 6]),
        (8, 3, "0o→1 0o→6 1↔2 2↔3 2→4 2→5 3↔4 3↔5 4o→5 5↔7 6↔7", &[0, 2, 3, 4, 5, 6]),
    ];
    for (rows, seed, drawn, explanation) in expected {
        let (graph, _) = explained(rows, seed);
        assert_eq!(edges(&graph), drawn, "{rows} rows, seed {seed}");
        assert_eq!(graph.explanation(3), explanation);
        assert!(graph.is_exhaustive);
    }
    let (graph, _) = explained(6, 7);
    let tree: Vec<(u32, usize)> =
        graph.tree.iter().map(|place| (place.position, place.parent)).collect();
    assert_eq!(tree, [(5, 0), (4, 0), (3, 1), (0, 2), (2, 2)]);
    assert_eq!((graph.explanation(1), graph.explanation(2)), (vec![4], vec![3, 4]));
}

/// Values of the authors' implementation with every set iterated in ascending order; as published it
/// iterates larger nodes in another one.
#[test]
fn larger_graphs_have_the_reference_edges_in_ascending_order() {
    let cases = [
        (
            (14, 6, 2.0, 1e-5, None),
            "0o→1 1↔2 1→3 1↔4 2↔3 3→4 3↔5 4↔5 4↔7 4↔8 4↔12 5↔6 5↔7 5↔10 6→11 7↔8 8↔9 9↔10 9→11 9→13 \
            10↔11 11↔12 12↔13",
            &[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12][..],
        ),
        (
            (20, 1, 8.0, 1e-2, Some(4)),
            "0→1 0↔3 0↔19 1↔2 1↔19 2↔5 2→13 2↔16 3→9 3→17 4o→5 4o→6 4o→11 5↔6 5↔7 5↔9 5↔13 5↔15 6↔13 \
            6→18 7↔8 7↔10 7↔19 8o→10 9↔15 9↔17 10↔12 10↔19 12↔13 12↔14 13↔16 14↔19 17↔19",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17],
        ),
    ];
    for ((rows, seed, scale, alpha, max_condition), drawn, explanation) in cases {
        let parameters = Parameters { alpha, max_condition, ..Parameters::default() };
        let values = attention(rows, seed, scale);
        let (graph, _) = explain_matrix(&values, rows, &parameters, None, &never).unwrap();
        assert_eq!(edges(&graph), drawn, "{rows} rows, seed {seed}");
        assert_eq!(graph.explanation(3), explanation);
    }
}

#[test]
fn p_values_are_the_reference_ones() {
    let values = attention(6, 7, 4.0);
    let close = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-12;
    assert!(close(values[6], 0.467_635_473_153) && close(values[7], 0.532_364_526_847));
    let correlations = Correlations::from_rows(&values, 6).unwrap();
    let mut test = IndependenceTest::new(&correlations, &Parameters::default());
    for (x, y, given, expected) in [
        (0, 5, &[][..], 0.591_245_002_876_948_5),
        (0, 5, &[3], 0.012_944_681_448_419_981),
        (2, 4, &[3], 0.008_263_327_209_933_502),
    ] {
        let found = test.p_value(x, y, given);
        assert!(close(found, expected), "p({x}, {y} | {given:?}) = {found}");
    }
    // Every separated pair names its separating set and the p-value of the test.
    let (_, separated) = explained(6, 7);
    let pair = separated.iter().find(|pair| (pair.a, pair.b) == (2, 4)).unwrap();
    assert_eq!(pair.given, [3]);
    assert!(close(pair.p, 0.008_263_327_209_933_502));
}

/// Correlations of a linear model with independent noise of variance 1: `causes` holds (cause,
/// effect, weight) in causal order, and `seen` the variables that are nodes.
fn linear_model(variables: usize, causes: &[(usize, usize, f64)], seen: &[usize]) -> Correlations {
    // Row i: what each noise contributes to variable i, so that rows have the covariances as dots.
    let mut mixing = vec![0.0; variables * variables];
    for variable in 0..variables {
        mixing[variable * variables + variable] = 1.0;
        for &(cause, _, weight) in causes.iter().filter(|(_, effect, _)| *effect == variable) {
            for noise in 0..variables {
                mixing[variable * variables + noise] += weight * mixing[cause * variables + noise];
            }
        }
    }
    let rows: Vec<f64> =
        seen.iter().flat_map(|&i| mixing[i * variables..(i + 1) * variables].to_vec()).collect();
    Correlations::from_rows(&rows, variables).unwrap()
}

/// So many records that what is not 0 is far from it.
fn sure() -> Parameters {
    Parameters { records: 1_000_000_000_000, ..Parameters::default() }
}

fn drawn(correlations: &Correlations) -> String {
    let nodes = HeadNodes {
        positions: (0..correlations.nodes() as u32).collect(),
        attention: vec![0.0; correlations.nodes()],
        correlations: correlations.clone(),
    };
    edges(&graph_of(&nodes, &sure(), None, &never).unwrap().0)
}

#[test]
fn chain_fork_collider_and_a_hidden_cause_are_told_apart() {
    let three = [0, 1, 2];
    let chain = linear_model(3, &[(0, 1, 0.8), (1, 2, 0.8)], &three);
    assert_eq!(drawn(&chain), "0o→1 1→2");
    let separated = learn(&chain, &sure(), &never).unwrap().separating.of(0, 2);
    assert_eq!(separated.iter().collect::<Vec<_>>(), [1]);
    let fork = linear_model(3, &[(0, 1, 0.8), (0, 2, 0.8)], &three);
    assert_eq!(drawn(&fork), "0o→1 0o→2");
    let collider = linear_model(3, &[(0, 2, 0.8), (1, 2, 0.8)], &three);
    assert_eq!(drawn(&collider), "0o→2 1o→2");
    // 0 and 1 are causes of 3 and 4, which share the hidden 2.
    let causes = [(0, 3, 0.8), (1, 4, 0.8), (2, 3, 0.9), (2, 4, 0.9)];
    let hidden = linear_model(5, &causes, &[0, 1, 3, 4]);
    assert_eq!(drawn(&hidden), "0o→2 1o→3 2↔3");
}

/// A random model over `nodes` variables in causal order: every pair with probability 0.4.
fn random_model(nodes: usize, random: &mut ChaCha12Rng) -> Vec<(usize, usize, f64)> {
    let mut causes = Vec::new();
    for effect in 1..nodes {
        for cause in 0..effect {
            if random.random::<f64>() < 0.4 {
                causes.push((cause, effect, 0.4 + 0.8 * random.random::<f64>()));
            }
        }
    }
    causes
}

#[test]
fn without_hidden_causes_the_skeleton_is_that_of_the_model_in_every_order_of_visiting() {
    let mut random = ChaCha12Rng::seed_from_u64(11);
    let all: Vec<usize> = (0..8).collect();
    for _ in 0..60 {
        let causes = random_model(8, &mut random);
        let correlations = linear_model(8, &causes, &all);
        let found = learn(&correlations, &sure(), &never).unwrap();
        let mut expected: Vec<(usize, usize)> = causes.iter().map(|&(a, b, _)| (a, b)).collect();
        expected.sort_by_key(|&(a, b)| (b, a));
        let skeleton: Vec<(usize, usize)> =
            found.graph.edges().map(|edge| (edge.a, edge.b)).collect();
        assert_eq!(skeleton, expected);
        // No mark contradicts the model: without hidden causes no edge has two heads.
        assert!(found.graph.edges().all(|edge| edge.mark_a != Mark::Head));
        let mut visiting = all.clone();
        visiting.shuffle(&mut random);
        let again = learn_visiting(&correlations, &visiting, &sure(), &never).unwrap();
        assert_eq!(again.graph, found.graph);
    }
}

/// Names of nodes do not matter, and neither does the order in which a matrix lists them, as long as
/// the causal order is the same.
#[test]
fn relabelled_nodes_have_the_same_graph() {
    let values = attention(20, 1, 8.0);
    let correlations = Correlations::from_rows(&values, 20).unwrap();
    let plain: Vec<u32> = (0..20).collect();
    let named: Vec<u32> = plain.iter().map(|node| 600 - 7 * (20 - node)).collect();
    let parameters = Parameters { alpha: 1e-2, max_condition: Some(4), ..Parameters::default() };
    let of = |positions: &[u32]| {
        let (positions, attention) = (positions.to_vec(), vec![0.0; 20]);
        let nodes = HeadNodes { positions, attention, correlations: correlations.clone() };
        graph_of(&nodes, &parameters, None, &never).unwrap()
    };
    let ((graph, separated), (other, others)) = (of(&plain), of(&named));
    let name = |node: u32| named[node as usize];
    assert!(graph.edges.len() > 20);
    for (edge, renamed) in graph.edges.iter().zip(&other.edges) {
        let expected = EdgeResult { a: name(edge.a), b: name(edge.b), ..*edge };
        assert_eq!(*renamed, expected);
    }
    assert_eq!((graph.edges.len(), separated.len()), (other.edges.len(), others.len()));
    let explained: Vec<u32> = graph.explanation(3).into_iter().map(name).collect();
    assert_eq!(other.explanation(3), explained);
    let ascending: Vec<usize> = (0..20).collect();
    let visited = learn_visiting(&correlations, &ascending, &parameters, &never).unwrap();
    assert_eq!(visited.graph, learn(&correlations, &parameters, &never).unwrap().graph);
}

/// Another order of visiting gives another graph if several sets separate a pair. Stability measures this.
#[test]
fn the_order_of_visiting_matters_where_several_sets_separate() {
    let values = attention(20, 1, 8.0);
    let parameters = Parameters { alpha: 1e-2, max_condition: Some(4), ..Parameters::default() };
    let stability = Some(StabilityOptions { orders: 6, seed: 2 });
    let (graph, _) = explain_matrix(&values, 20, &parameters, stability, &never).unwrap();
    let shares: Vec<f32> = graph.edges.iter().filter_map(|edge| edge.share).collect();
    assert_eq!(shares.len(), graph.edges.len());
    assert!(shares.iter().all(|&share| share > 0.0 && share <= 1.0));
    assert!(shares.contains(&1.0) && shares.iter().any(|&share| share < 1.0));
    assert!(graph.other_edges.iter().all(|&(a, b, share)| {
        share < 1.0 && !graph.edges.iter().any(|edge| (edge.a, edge.b) == (a, b))
    }));
    assert!(graph.nodes.iter().all(|node| node.share.is_some()));
}

#[test]
fn equal_rows_stay_joined_and_empty_rows_are_refused() {
    let mut values = attention(8, 1, 4.0);
    // Row 7 is row 6 again.
    let row = values[48..56].to_vec();
    values[56..64].copy_from_slice(&row);
    let (graph, _) = explain_matrix(&values, 8, &Parameters::default(), None, &never).unwrap();
    let joined = graph.edges.iter().find(|edge| (edge.a, edge.b) == (6, 7)).unwrap();
    assert_eq!(joined.p, 0.0);
    values[8..16].fill(0.0);
    let empty = explain_matrix(&values, 8, &Parameters::default(), None, &never);
    assert_eq!(empty.unwrap_err(), CausalError::EmptyRow { row: 1 });
    let wide = explain_matrix(&values, 16, &Parameters::default(), None, &never);
    assert!(matches!(wide, Err(CausalError::Rows { nodes: 16, .. })));
}

/// The search of a dense graph takes years without a limit, because every subset of its nodes is tried.
#[test]
fn a_dense_graph_is_searched_as_far_as_it_is_asked_for_or_stopped() {
    let nodes = 24;
    let pairs = (1..nodes).flat_map(|effect| (0..effect).map(move |cause| (cause, effect, 0.7)));
    let causes: Vec<(usize, usize, f64)> = pairs.collect();
    let all: Vec<usize> = (0..nodes).collect();
    let correlations = linear_model(nodes, &causes, &all);
    let capped = Parameters { max_condition: Some(2), ..Parameters::default() };
    let found = learn(&correlations, &capped, &never).unwrap();
    assert!(found.is_exhaustive && found.searched_to == 2);
    let stopped = learn(&correlations, &Parameters::default(), &|| true);
    assert_eq!(stopped.err(), Some(CausalError::Stopped));
}
