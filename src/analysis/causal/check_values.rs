//! The whole search against values from the authors' implementation, and on graphs whose separations
//! are known.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

/// Attention from a linear congruential generator: row i is the softmax of 4 u over i + 1 keys.
fn attention(rows: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut values = vec![0.0; rows * rows];
    for i in 0..rows {
        let row = &mut values[i * rows..i * rows + i + 1];
        for value in row.iter_mut() {
            state = (1_103_515_245 * state + 12_345) % (1 << 31);
            *value = (4.0 * state as f64 / f64::from(1_u32 << 31)).exp();
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
    explain_matrix(&attention(rows, seed), rows, &Parameters::default(), None, &never).unwrap()
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

#[test]
fn p_values_are_the_reference_ones() {
    let values = attention(6, 7);
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
    // What was separated says by what, and how surely.
    let (_, separated) = explained(6, 7);
    let pair = separated.iter().find(|pair| (pair.a, pair.b) == (2, 4)).unwrap();
    assert_eq!(pair.given, [3]);
    assert!(close(pair.p, 0.008_263_327_209_933_502));
}
