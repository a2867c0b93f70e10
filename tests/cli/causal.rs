//! `vlmscope causal` as a user runs it.

use crate::support::Folder;
use serde_json::Value;
use vlmscope::analysis::causal::CausalResult;
use vlmscope::trace::{AnswerIndex, Trace};

/// Attention from a linear congruential generator, row i the softmax of 4 u over i + 1 keys, as
/// NumPy saves f64.
fn matrix(rows: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut numbers = vec![0.0_f64; rows * rows];
    for i in 0..rows {
        let row = &mut numbers[i * rows..i * rows + i + 1];
        for value in row.iter_mut() {
            state = (1_103_515_245 * state + 12_345) % (1 << 31);
            *value = (4.0 * state as f64 / f64::from(1_u32 << 31)).exp();
        }
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    npy(&format!("({rows}, {rows})"), "<f8", numbers.into_iter().flat_map(f64::to_le_bytes))
}

fn npy(shape: &str, dtype: &str, numbers: impl Iterator<Item = u8>) -> Vec<u8> {
    let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(numbers);
    bytes
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

#[test]
fn a_matrix_gives_the_reference_edges_p_values_explanation_and_tree() {
    let folder = Folder::new();
    folder.write("m.npy", matrix(6, 7));
    let found = folder.json("causal --matrix m.npy --json --stability 0");
    let graph = &found["graph"];
    let edges: Vec<String> = graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            let mark = |end: &str| edge[end].as_str().unwrap().chars().next().unwrap();
            format!("{}{}{}{}", edge["a"], mark("mark_a"), mark("mark_b"), edge["b"])
        })
        .collect();
    assert_eq!(edges, ["0ch1", "1hh2", "0ch3", "2th3", "3hh4", "4hh5"]);
    assert_eq!(numbers(&graph["explanation"][2]), [0, 2, 3, 4]);
    assert_eq!(numbers(&graph["explanation"][0]), [4]);
    let tree: Vec<(u64, u64)> = graph["tree"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| (place["position"].as_u64().unwrap(), place["parent"].as_u64().unwrap()))
        .collect();
    assert_eq!(tree, [(5, 0), (4, 0), (3, 1), (0, 2), (2, 2)]);
    let separated = found["separated"].as_array().unwrap();
    let p = |a: u64, b: u64| {
        let pair = separated.iter().find(|pair| pair["a"] == a && pair["b"] == b).unwrap();
        (numbers(&pair["given"]), pair["p"].as_f64().unwrap())
    };
    let (given, found) = p(0, 5);
    assert_eq!(given, Vec::<u64>::new());
    assert!((found / 0.591_245_002_876_948_5 - 1.0).abs() < 1e-12, "{found}");
    let (given, found) = p(2, 4);
    assert_eq!(given, [3]);
    assert!((found / 0.008_263_327_209_933_502 - 1.0).abs() < 1e-12, "{found}");

    let text = folder.prints("causal --matrix m.npy");
    for line in ["2 → 3", "3 ↔ 4", "% of runs", "2 and 4 given 3", "within 3: 0 · 2 · 3 · 4"]
    {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    // Fewer records: nothing is sure any more.
    let few = folder.json("causal --matrix m.npy --json --stability 0 --records 5");
    assert_eq!(few["graph"]["edges"].as_array().unwrap().len(), 0);
}

#[test]
fn what_cannot_be_explained_is_named() {
    let folder = Folder::with_trace();
    folder.write("wide.npy", npy("(1, 2)", "<f4", [0; 8].into_iter()));
    folder.write("empty.npy", npy("(2, 2)", "<f4", [0; 16].into_iter()));
    folder.write("text.npy", "no numbers");
    folder.write("m.npy", matrix(6, 7));
    folder.refused("causal --matrix wide.npy", 2, &["wide.npy", "1 rows and 2 columns"]);
    folder.refused("causal --matrix empty.npy", 1, &["empty.npy", "row 0", "empty"]);
    folder.refused("causal --matrix text.npy", 1, &["text.npy", "numpy.save"]);
    folder.refused("causal --matrix none.npy", 1, &["none.npy"]);
    folder.refused("causal --matrix m.npy --alpha 2", 2, &["alpha", "between 0 and 1"]);
    folder.refused("causal a.vlmtrace", 2, &["--token"]);
    folder.refused("causal a.vlmtrace --token 99", 2, &["answer token 99", "0 to 4"]);
    folder.refused("causal a.vlmtrace --token 1 --head 6", 2, &["head 6", "0 to 5"]);
    folder.refused("causal a.vlmtrace --token 1 --head x", 2, &["`x`", "`all`"]);
    // This trace has rows for text only.
    let before = folder.read("a.vlmtrace");
    let text = folder.prints("causal a.vlmtrace --token 1 --out b.vlmtrace");
    assert!(text.contains("--rows all"), "{text}");
    folder.refused("causal a.vlmtrace --token 1 --head 0 --out b.vlmtrace", 1, &["--rows all"]);
    assert_eq!(folder.read("a.vlmtrace"), before);
}

#[test]
fn heads_are_explained_tested_and_kept_in_the_trace() {
    let folder = Folder::new();
    folder.prints(&[
        "ask",
        "sample:1",
        "What is on the left?",
        "--no-overlay",
        "--out",
        "a.vlmtrace",
    ]);
    let found = folder.json("causal a.vlmtrace --token 1 --stability 2 --json");
    assert_eq!((found["heads"].as_array().unwrap().len(), &found["runs"]), (8, &Value::from(9)));
    let stored =
        CausalResult::stored(&Trace::open(&folder.path("a.vlmtrace")).unwrap(), AnswerIndex(1));
    let stored = stored.unwrap().unwrap();
    let graph = stored.heads[3].graph.as_ref().unwrap();
    assert_eq!(found["heads"][3]["graph"]["edges"].as_array().unwrap().len(), graph.edges.len());
    let target = graph.target().unwrap();
    assert!(found["names"][target.to_string()].as_str().unwrap().contains(&format!("@{target}")));
    let table = folder.prints("causal a.vlmtrace --token 1");
    assert!(table.contains("importance") && table.contains("patch "), "{table}");
    assert_eq!(folder.prints("causal a.vlmtrace --token 1 --stored"), table);
    folder.refused(
        "causal a.vlmtrace --token 0 --stored",
        2,
        &["no causal graph of answer token 0"],
    );
    let one = folder.prints("causal a.vlmtrace --token 1 --head 3");
    assert_eq!(folder.prints("causal a.vlmtrace --token 1 --head 3 --stored"), one);
    assert_eq!(folder.prints("causal a.vlmtrace --token 1 --stored"), table, "other heads stay");
    assert!(one.contains("edges") && one.contains("tree") && one.contains("% of runs"), "{one}");

    let flags = "causal a.vlmtrace --token 1 --test=knock-answer --draws 2 --max-sets 20";
    let tested = folder.json(&format!("{flags} --stability 0 --json --out b.vlmtrace"));
    let masked: Vec<&Value> =
        tested["heads"].as_array().unwrap().iter().filter_map(|head| head.get("masking")).collect();
    assert_eq!(masked.len(), 1, "the most important head alone");
    assert_eq!(masked[0]["mask"], "knock-answer");
    assert!(masked[0]["tried"].as_u64().unwrap() <= 20);
    let text = folder.prints(&format!("{flags} --stability 0 --out b.vlmtrace"));
    assert!(
        text.contains("equal attention") && text.contains("2 of 2") | text.contains("of 2"),
        "{text}"
    );
    let other =
        CausalResult::stored(&Trace::open(&folder.path("b.vlmtrace")).unwrap(), AnswerIndex(1));
    assert!(other.unwrap().unwrap().heads.iter().any(|head| head.masking.is_some()));
    // The graphs of another token stand beside them.
    folder.prints("causal a.vlmtrace --token 0 --head 0 --stability 0");
    folder.refused("causal a.vlmtrace --token 0 --head 4 --stored", 2, &["head 4"]);
    let both = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    assert!(both.causal(AnswerIndex(0)).is_some() && both.causal(AnswerIndex(1)).is_some());
}
