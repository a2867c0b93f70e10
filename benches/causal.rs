//! Cost of causal graphs: process CPU seconds for all heads of a layer, as JSON.
//!
//!     cargo bench --bench causal
//!
//! The geometry is that of LLaVA-1.5-7B: 32 heads, T = 640, 50 patches and the words that are attended
//! to as nodes, conditioning sets of up to 3 nodes. `random`: rows are the softmax of uniform logits, as
//! the check values are, from rows to explanations on one thread. `structured`: a synthetic trace with
//! sinks, local attention and objects, through [`explain`] with a thread for each core.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

use anyhow::Context as _;
use cpu_time::ProcessTime;
use serde_json::{Value, json};
use vlmscope::analysis::causal::{
    CausalRequest, Correlations, HeadGraph, HeadNodes, Parameters, explain, graph_of,
};
use vlmscope::trace::AnswerIndex;
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};

const HEADS: usize = 32;
const POSITIONS: usize = 640;
const NODES: usize = 56;
const ROUNDS: usize = 5;

fn parameters() -> Parameters {
    Parameters { max_condition: Some(3), ..Parameters::default() }
}

/// One row of attention over `keys` keys, from a linear congruential generator.
fn row(keys: usize, scale: f64, state: &mut u64) -> Vec<f64> {
    let mut row = vec![0.0; POSITIONS];
    for value in &mut row[..keys] {
        *state = (1_103_515_245 * *state + 12_345) % (1 << 31);
        *value = (scale * *state as f64 / f64::from(1_u32 << 31)).exp();
    }
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
    row
}

/// The rows of the nodes of one head, spread over the sequence: [n, T].
fn head(seed: usize, scale: f64) -> (Vec<u32>, Vec<f64>) {
    let mut state = seed as u64 + 1;
    let positions: Vec<u32> =
        (0..NODES).map(|node| (POSITIONS - 1 - (NODES - 1 - node) * 10) as u32).collect();
    let rows = positions.iter().flat_map(|&at| row(at as usize + 1, scale, &mut state)).collect();
    (positions, rows)
}

fn random(scale: f64) -> anyhow::Result<Value> {
    let heads: Vec<(Vec<u32>, Vec<f64>)> = (0..HEADS).map(|seed| head(seed, scale)).collect();
    let mut times = Vec::new();
    let mut graphs = Vec::new();
    for _ in 0..ROUNDS {
        let start = ProcessTime::now();
        graphs.clear();
        for (positions, rows) in &heads {
            let nodes = HeadNodes {
                positions: positions.clone(),
                attention: vec![0.0; positions.len()],
                correlations: Correlations::from_rows(rows, POSITIONS)?,
            };
            graphs.push(graph_of(&nodes, &parameters(), None, &|| false)?.0);
        }
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(summary(times, &graphs))
}

fn structured() -> anyhow::Result<Value> {
    let geometry = Geometry::named("llava-1.5-7b").context("no such geometry")?;
    // The last of 32 layers alone would need no less than all of them.
    let geometry = Geometry { layers: 2, ..geometry };
    let trace = Synthetic::new(geometry, RowsKept::All, 1)?.trace()?;
    let threads = std::thread::available_parallelism()?.get();
    let request = CausalRequest {
        answer: AnswerIndex(4),
        heads: Vec::new(),
        // So low that every head has 50 patches and some words.
        parameters: Parameters { attention_threshold: 0.001, ..parameters() },
        stability: None,
        threads,
    };
    let mut times = Vec::new();
    let mut graphs = Vec::new();
    for _ in 0..ROUNDS {
        let start = ProcessTime::now();
        let found = explain(&trace, &request, &|| false, &|_| {})?;
        times.push(start.elapsed().as_secs_f64());
        graphs = found.heads.into_iter().filter_map(|head| head.graph).collect();
    }
    Ok(summary(times, &graphs))
}

fn summary(mut times: Vec<f64>, graphs: &[HeadGraph]) -> Value {
    times.sort_by(f64::total_cmp);
    let range = |of: &dyn Fn(&HeadGraph) -> u64| {
        let values = graphs.iter().map(of);
        [values.clone().min().unwrap_or(0), values.max().unwrap_or(0)]
    };
    json!({
        "heads": graphs.len(),
        "cpu_s": times[times.len() / 2],
        "cpu_s_least": times[0],
        "nodes": range(&|graph| graph.nodes.len() as u64),
        "edges": range(&|graph| graph.edges.len() as u64),
        "tests": range(&|graph| graph.tests),
        "exhaustive": graphs.iter().filter(|graph| graph.is_exhaustive).count(),
    })
}

fn main() -> anyhow::Result<()> {
    let result = json!({
        "random_softmax_4u": random(4.0)?,
        "random_softmax_8u": random(8.0)?,
        "structured": structured()?,
    });
    println!("{result:#}");
    Ok(())
}
