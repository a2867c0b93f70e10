//! `vlmscope relevancy` and `vlmscope score` as a user runs them, with the built-in model.

use crate::support::Folder;
use serde_json::Value;
use vlmscope::trace::{AnswerIndex, Trace};

/// A folder with an answered question as fox.vlmtrace.
fn asked() -> Folder {
    let folder = Folder::new();
    folder.ok(&["ask", "sample:1", "What is on the left?", "--out", "fox", "--no-overlay"]);
    folder
}

#[test]
fn good_maps_are_told_from_random_ones() {
    let folder = asked();
    let methods = "attention,heads,rollout,relative,random,attention";
    let printed = folder.prints(&[
        "score",
        "fox.vlmtrace",
        "--method",
        methods,
        "--word",
        "fox",
        "--controls",
        "3",
        "--fill",
        "both",
        "--steps",
        "12",
        "--json",
    ]);
    let scores: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(scores["tokens"], serde_json::json!([3]));
    let methods = scores["methods"].as_array().unwrap();
    let names: Vec<&str> = methods.iter().map(|entry| entry["method"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["attention", "heads", "rollout", "relative", "random", "random", "random"],
        "each once, the controls last"
    );
    // Two ends of the deletion curves a fill, 11 points between them for both curves of each map.
    assert_eq!(scores["forwards"], 1 + 2 + 7 * 2 * 2 * 11);
    let area = |entry: &Value, fill: usize, curve: &str| {
        let points = entry["curves"][fill][curve]["points"].as_array().unwrap();
        assert_eq!(points.len(), 13);
        assert_eq!(points[12][0], 144, "a curve ends with all patches");
        entry["curves"][fill][curve]["auc"].as_f64().unwrap()
    };
    let control = |fill: usize, curve: &str| -> f64 {
        methods[4..].iter().map(|entry| area(entry, fill, curve)).sum::<f64>() / 3.0
    };
    for (fill, name) in ["mean", "blur"].into_iter().enumerate() {
        let attention = &methods[0];
        assert_eq!(attention["curves"][fill]["fill"], name);
        assert!(area(attention, fill, "deletion") < control(fill, "deletion"), "{name}");
        assert!(area(attention, fill, "insertion") > control(fill, "insertion"), "{name}");
        let start = attention["curves"][fill]["deletion"]["points"][0][1].as_f64().unwrap();
        let end = attention["curves"][fill]["insertion"]["points"][12][1].as_f64().unwrap();
        assert_eq!(start, end, "both meet at the whole picture");
        assert!((start - scores["p"].as_f64().unwrap()).abs() < 1e-12);
    }
    assert_eq!(methods[0]["pointing"]["hit"], true, "attention looks at the fox");
    let energy = |entry: &Value| entry["pointing"]["energy_in_box"].as_f64().unwrap();
    assert!(energy(&methods[0]) > 2.0 * energy(&methods[4]));
}

#[test]
fn a_table_names_the_word_the_methods_and_the_control() {
    let folder = asked();
    let printed = folder.prints(&[
        "score",
        "fox.vlmtrace",
        "--word",
        "fox",
        "--steps",
        "2",
        "--method",
        "attention,no-sinks",
    ]);
    for word in [
        "“fox”",
        "token 3",
        "deletion",
        "attention, mean",
        "random control",
        "hit",
        "removed as sinks: <s>",
    ] {
        assert!(printed.contains(word), "{word} is not in\n{printed}");
    }
    // The whole answer names no single thing: no pointing.
    let whole = folder.prints(&[
        "score",
        "fox.vlmtrace",
        "--steps",
        "1",
        "--method",
        "attention",
        "--controls",
        "0",
    ]);
    assert!(!whole.contains("pointing") && !whole.contains("random"), "{whole}");
}

#[test]
fn maps_are_added_to_the_trace_and_scored_from_there() {
    let folder = asked();
    let before = folder.read("fox.vlmtrace");
    let printed = folder.prints(&[
        "relevancy",
        "fox.vlmtrace",
        "--methods",
        "rollout,relative,no-sinks,random",
        "--seed",
        "7",
        "--out",
        "maps.vlmtrace",
        "--json",
    ]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["maps"][2], "map.relative");
    assert_eq!(printed["sinks"][0]["position"], 0);
    assert_eq!(folder.read("fox.vlmtrace"), before);
    let trace = Trace::open(&folder.path("maps.vlmtrace")).unwrap();
    let names = ["map.no-sinks", "map.random", "map.relative", "map.rollout"];
    assert_eq!(trace.map_names(), names);
    for name in names {
        let row = trace.map_row(name, AnswerIndex(3)).unwrap();
        assert!(row.len() == 144 && row.iter().all(|value| value.is_finite()), "{name}");
        assert!(row.iter().any(|value| *value != row[0]), "{name} is not even");
    }
    let scores: Value = serde_json::from_str(&folder.prints(&[
        "score",
        "maps.vlmtrace",
        "--method",
        "map.rollout",
        "--token",
        "3",
        "--steps",
        "2",
        "--json",
    ]))
    .unwrap();
    assert_eq!(scores["methods"][0]["method"], "rollout");
    let exported = folder.prints(&[
        "export",
        "maps.vlmtrace",
        "--map",
        "map.rollout",
        "--token",
        "3",
        "--out",
        "-",
    ]);
    assert_eq!(exported.lines().count(), 145);
    // In place, too, and beside relevancy.
    let methods = "heads,llm,grad-attention";
    folder.prints(&["relevancy", "fox.vlmtrace", "--methods", methods]);
    let trace = Trace::open(&folder.path("fox.vlmtrace")).unwrap();
    assert_eq!(trace.map_names(), ["map.grad-attention", "map.heads", "relevancy.llm"]);
    let pages = trace.pages_as_attention("gradient_attention").unwrap();
    let row = pages.row_of_answer(AnswerIndex(3)).unwrap();
    let first = trace.meta().spans[0].first as usize;
    let by_hand: f32 = (0..48)
        .map(|head| pages.weights(row, head / 8, head % 8).unwrap()[first + 40] / 48.0)
        .sum();
    let found = trace.map_row("map.grad-attention", AnswerIndex(3)).unwrap()[40];
    assert!((found - by_hand).abs() <= 1e-5 * by_hand.abs() + 1e-9, "{found} and {by_hand}");
}

#[test]
fn bad_requests_say_what_would_be_right() {
    let folder = asked();
    folder.write("bad.json", "7");
    let trace = "fox.vlmtrace";
    for (args, code, words) in [
        (vec!["score", trace, "--method", "saliency"], 2, vec!["saliency", "rollout"]),
        (vec!["score", trace, "--word", "cat"], 2, vec!["`cat`", "fox"]),
        (vec!["score", trace, "--token", "99"], 2, vec!["99", "0 to 8"]),
        (vec!["score", trace, "--word", "fox", "--object", "cat"], 2, vec!["`cat`", "balloon"]),
        (vec!["score", trace, "--boxes", "bad.json"], 1, vec!["bad.json", "noun"]),
        (vec!["score", trace, "--boxes", "none.json"], 1, vec!["none.json"]),
        (vec!["score", trace, "--steps", "25"], 2, vec!["24"]),
        (vec!["score", "none.vlmtrace"], 1, vec!["none.vlmtrace"]),
        (vec!["relevancy", trace, "--methods", "saliency"], 2, vec!["saliency", "rollout"]),
    ] {
        folder.refused(&args, code, &words);
    }
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bundles/gqa");
    folder.refused(
        &["score", trace, "--model", other, "--method", "attention"],
        1,
        &["--model", "was made with"],
    );
}
