//! `vlmscope causal` as a user runs it.

use crate::support::{Folder, stderr};
use serde_json::Value;
use vlmscope::analysis::causal::{CausalResult, HeadResult};
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
    folder.refused("causal --matrix m.npy --range 1000000000", 2, &["range", "from 1 to 255"]);
    folder.refused("causal --matrix m.npy --image-nodes 9", 2, &["--image-nodes", "--matrix"]);
    folder.refused("causal a.vlmtrace --token 1 --draws 3", 2, &["--test"]);
    folder.refused("causal a.vlmtrace --token 1 --stored --alpha 0.5", 2, &["--alpha", "--stored"]);
    folder.refused("causal a.vlmtrace", 2, &["--token"]);
    folder.refused("causal a.vlmtrace --token 99", 2, &["answer token 99", "0 to 4"]);
    folder.refused("causal a.vlmtrace --token 1 --head 6", 2, &["head 6", "0 to 5"]);
    folder.refused("causal a.vlmtrace --token 1 --head x", 2, &["`x`", "`all`"]);
    // This trace has rows for text only.
    let before = folder.read("a.vlmtrace");
    for head in ["", " --head 0"] {
        let causal = format!("causal a.vlmtrace --token 1{head} --out b.vlmtrace");
        let text = folder.refused(&causal, 1, &["a.vlmtrace", "--rows all"]);
        assert_eq!(text.matches("--rows all").count(), 1, "the reason is given once: {text}");
    }
    assert!(!folder.names().contains(&"b.vlmtrace".to_owned()), "nothing is written");
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
    let explains = |head: &HeadResult| head.graph.as_ref().is_some_and(|one| one.deepest() > 0);
    let of = |explained: bool| {
        let head = stored.heads.iter().find(|head| explains(head) == explained);
        head.map(|head| format!("causal a.vlmtrace --token 1 --head {}", head.head))
    };
    let lone = folder.prints(&of(false).expect("a head without an explanation"));
    assert!(lone.contains("nothing explains `is`") && !lone.contains("within 1"), "{lone}");
    let command = of(true).expect("a head with an explanation");
    let one = folder.prints(&command);
    assert_eq!(folder.prints(&format!("{command} --stored")), one);
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

#[test]
fn a_causal_graph_is_drawn_from_a_trace_that_has_none_yet() {
    let folder = Folder::new();
    let ask = ["ask", "sample:1", "What is on the left?", "--no-overlay", "--out", "a.vlmtrace"];
    folder.prints(&ask);
    let before = folder.read("a.vlmtrace");
    folder.ok("render a.vlmtrace --view causal --token 1 --size 640x480 --out a.png");
    folder.ok("render a.vlmtrace --view causal --token 1 --size 640x480 --out a.svg");
    folder.ok("render a.vlmtrace --view causal --token 1 --size 640x480 --head 3 --radius 1 --theme light --out b.png");
    assert_eq!(folder.read("a.vlmtrace"), before, "a figure changes no trace");
    let svg = String::from_utf8(folder.read("a.svg")).unwrap();
    assert!(svg.contains("causal graph · answer token 1") && svg.contains("within distance"));
    // Edges and words are vectors, the picture and the crops are embedded.
    assert!(svg.contains("<line") && svg.matches("<image").count() > 1, "{}", svg.len());
    let size = |name: &str| image::load_from_memory(&folder.read(name)).unwrap().to_rgb8();
    assert_eq!(size("a.png").dimensions(), (640, 480));
    assert_ne!(size("a.png"), size("b.png"));

    // The stored graphs give the same figure, and a state file keeps head and distance.
    folder.prints("causal a.vlmtrace --token 1");
    folder.ok("render a.vlmtrace --view causal --token 1 --size 640x480 --out stored.png");
    assert_eq!(size("a.png"), size("stored.png"));
    folder.ok("render a.vlmtrace --view causal --token 1 --head 3 --radius 1 --theme light --size 640x480 --write-state s.toml --out c.png");
    folder.ok("render --state s.toml --size 640x480 --out d.png");
    assert_eq!(size("b.png"), size("d.png"));
    let text = String::from_utf8(folder.read("s.toml")).unwrap();
    assert!(text.contains("view = \"causal\"") && text.contains("radius = 1"), "{text}");

    let render = "render a.vlmtrace --view causal --size 640x480 --out e.png";
    folder.refused(&format!("{render} --token 1 --head 9"), 2, &["head 9"]);
    folder.refused(&format!("{render} --token 40"), 2, &["answer token 40"]);
    folder.refused(&format!("{render} --token 1 --radius 0"), 2, &["--radius", "0"]);
    folder.refused(
        &format!("{render} --token 1 --radius 5"),
        2,
        &["distance 3, not 5", "--range 5"],
    );
    folder.prints("causal a.vlmtrace --token 2 --head 1 --stability 0");
    folder.refused(
        &format!("{render} --token 2 --head 4"),
        1,
        &["a.vlmtrace", "no causal graph of head 4", "vlmscope causal"],
    );
    // A film shows the graphs that its trace holds.
    let step = "[[step]]\nseconds = 0.2\nview = { view = \"causal\", radius = 2, map.queries = \"answer 1\" }\n";
    folder.write("tour.toml", format!("trace = \"a.vlmtrace\"\n{step}"));
    folder.ok("record tour.toml --size 320x240 --fps 5 --out tour.gif");
    assert!(folder.read("tour.gif").len() > 1000);
    let other = step.replace("answer 1", "answer 3");
    folder.write("other.toml", format!("trace = \"a.vlmtrace\"\n{step}{other}"));
    folder.refused(
        "record other.toml --size 320x240 --fps 5 --out other.gif",
        1,
        &["other.toml, line 5: step 2", "no causal graph of answer token 3", "vlmscope causal"],
    );

    // This trace has rows for text only.
    let text = Folder::with_trace();
    text.refused(
        "render a.vlmtrace --view causal --token 1 --out e.png",
        1,
        &["a.vlmtrace", "lacks the attention row", "--rows all"],
    );
    assert!(!text.names().contains(&"e.png".to_owned()));
}

#[test]
fn a_masking_test_outlives_a_second_run_and_damaged_results_are_refused() {
    let folder = Folder::new();
    let ask = ["ask", "sample:1", "What is on the left?", "--no-overlay", "--out", "a.vlmtrace"];
    folder.prints(&ask);
    let masked = |found: &Value| -> Vec<u64> {
        let heads = found["heads"].as_array().unwrap().iter();
        let tested = heads.filter(|head| head.get("masking").is_some());
        tested.map(|head| head["head"].as_u64().unwrap()).collect()
    };
    let causal = "causal a.vlmtrace --token 3 --stability 0";
    let first = folder.json(&format!("{causal} --test --draws 1 --max-sets 5 --json"));
    let tested = masked(&first);
    assert_eq!(tested.len(), 1);
    assert_eq!(masked(&folder.json(&format!("{causal} --json"))), tested);
    let stored = || folder.json("causal a.vlmtrace --token 3 --stored --json");
    assert_eq!(masked(&stored()), tested);
    // Graphs of other parameters replace all, and the command says so.
    let output = folder.ok(&format!("{causal} --head 2 --alpha 0.2"));
    let note = stderr(&output);
    assert!(note.contains("replaces the graphs of 7 other heads"), "{note}");
    assert_eq!(stored()["heads"].as_array().unwrap().len(), 1);
    let text = folder.prints("causal a.vlmtrace --token 3 --stored");
    assert!(text.contains("α 2e-1, 128 records"), "{text}");

    folder.prints(causal);
    folder.prints(&format!("{causal} --test --draws 1 --max-sets 5"));
    let path = folder.path("a.vlmtrace");
    let trace = Trace::open(&path).unwrap();
    let good: Value = serde_json::from_slice(&trace.causal(AnswerIndex(3)).unwrap()).unwrap();
    let head = tested[0] as usize;
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let damages: [Damage<'_>; 8] = [
        ("range", &|found| found["parameters"]["range"] = 4_000_000_000_u64.into()),
        ("distance", &|found| {
            found["heads"][head]["masking"]["sets"][0]["depth"] = 1_000_000_000_000_u64.into();
        }),
        ("mask", &|found| found["heads"][head]["masking"]["mask"] = "tickle".into()),
        ("heads", &|found| found["heads"][7]["head"] = u32::MAX.into()),
        ("heads", &|found| found["heads"][1]["head"] = 0.into()),
        ("heads", &|found| found["heads"] = Value::Array(Vec::new())),
        ("importance", &|found| found["heads"][0]["importance"] = (-1.0).into()),
        ("share", &|found| found["heads"][0]["graph"]["nodes"][0]["share"] = 1e30.into()),
    ];
    for (word, damage) in damages {
        let mut found = good.clone();
        damage(&mut found);
        let json = serde_json::to_vec(&found).unwrap();
        trace.with_causal(AnswerIndex(3), &json).write_maps(&trace, &path).unwrap();
        folder.refused("causal a.vlmtrace --token 3 --stored", 1, &["cannot be read", word]);
    }
}
