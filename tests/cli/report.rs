//! `vlmscope report`: figures and a page about a table.

use crate::render::texts;
use crate::support::{Folder, names, stdout};
use crate::table::heads;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vlmscope::table::{read_samples, samples_path};

const FIGURES: [&str; 7] = [
    "heads_mean",
    "heads_spread",
    "ranking",
    "difference",
    "wrong_answers",
    "distribution",
    "samples",
];

/// A table of eight answers, of which those to even samples are called wrong.
pub fn with_table() -> Folder {
    let folder = Folder::new();
    let row = |at: usize| {
        let question = ["What is this?", "Is there a fox?"][at % 2];
        let category = ["names", "exists", "a|b"][at % 3];
        json!({
            "picture": format!("sample:{}", at / 2 + 1), "question": question, "id": format!("s{at}"),
            "expected": if at.is_multiple_of(4) { "no such answer" } else { "" },
            "category": category, "object": "fox",
        })
    };
    let mut rows: Vec<Value> = (0..8).map(row).collect();
    // The first run tells the answers, which are then the expected ones.
    let write = |rows: &[Value]| {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        folder.write("q.jsonl", lines.join("\n"));
    };
    let batch = [
        "ask",
        "--batch",
        "q.jsonl",
        "--table",
        "t.parquet",
        "--no-overlay",
        "--out",
        "o",
        "--keep",
        "2",
    ];
    write(&rows);
    folder.ok(&batch);
    for sample in read_samples(&samples_path(&folder.path("t.parquet"))).unwrap() {
        let row = &mut rows[sample.index as usize];
        if row["expected"] == "" {
            row["expected"] = sample.answer.into();
        }
    }
    write(&rows);
    folder.ok(&batch);
    folder
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn a_report_has_the_numbers_of_its_table() {
    let folder = with_table();
    let said = stdout(&folder.ok("report t.parquet --out r --heads 5 --samples 3"));
    assert_eq!(said.trim(), "r/report.md");
    let found: Value = serde_json::from_slice(&folder.read("r/report.json")).unwrap();
    assert_eq!(
        (found["samples"].as_u64(), found["wrong"].as_u64(), found["pictures"].as_u64()),
        (Some(8), Some(2), Some(4))
    );
    // Means over samples of the means over tokens.
    let mut tokens: BTreeMap<(u32, u32), BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    for ((sample, _, layer, head), numbers) in heads(&folder.path("t.parquet")) {
        let of = tokens.entry((layer, head)).or_default().entry(sample).or_default();
        of.push(f64::from(numbers[2].unwrap()));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut means: Vec<(f64, (u32, u32))> = Vec::new();
    for (place, samples) in tokens {
        let values: Vec<f64> = samples.values().map(|values| mean(values)).collect();
        means.push((mean(&values), place));
    }
    for (of, (expected, place)) in found["means"].as_array().unwrap().iter().zip(&means) {
        assert_eq!(
            (of["layer"].as_u64(), of["head"].as_u64()),
            (Some(place.0.into()), Some(place.1.into()))
        );
        assert!((number(&of["mean"]) - expected).abs() < 1e-6, "{of}");
    }
    means.sort_by(|a, b| b.0.total_cmp(&a.0));
    let first = &found["ranking"][0];
    assert_eq!(
        (first["layer"].as_u64(), first["head"].as_u64()),
        (Some(means[0].1.0.into()), Some(means[0].1.1.into()))
    );
    assert_eq!(found["ranking"].as_array().unwrap().len(), 5);
    // Pairs of a wrong and a right answer, of which the wrong one has the smaller log-probability.
    let samples = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    let of = |correct: bool| samples.iter().filter(move |sample| sample.correct == Some(correct));
    let pairs: Vec<f64> = of(false)
        .flat_map(|wrong| {
            of(true).map(move |right| f64::from(u8::from(wrong.logprob < right.logprob)))
        })
        .collect();
    let finders = found["finders"].as_array().unwrap();
    let finder = finders.iter().find(|finder| finder["column"] == "logprob").unwrap();
    assert!((number(&finder["auc"]) - mean(&pairs)).abs() < 1e-9, "{finder}");
    assert!(
        finders.iter().all(|finder| finder["column"] != "kept"),
        "nothing was measured with a blank picture"
    );
    let least = samples.iter().min_by(|a, b| a.logprob.unwrap().total_cmp(&b.logprob.unwrap()));
    assert_eq!(found["suspicious"][0]["sample"], json!(least.unwrap().sample));
}

#[test]
fn the_page_shows_every_figure_and_says_how_it_was_made() {
    let folder = with_table();
    folder.ok("report t.parquet --out r --samples 8");
    let page = String::from_utf8(folder.read("r/report.md")).unwrap();
    let command = "vlmscope report t.parquet --out r --samples 8";
    assert!(
        page.contains(command) && page.contains(concat!("vlmscope ", env!("CARGO_PKG_VERSION")))
    );
    let mut expected = vec!["report.json".to_owned(), "report.md".to_owned()];
    for name in FIGURES {
        assert!(
            page.contains(&format!("]({name}.png)")) && page.contains(&format!("({name}.svg)")),
            "{name}"
        );
        let path = folder.path(format!("r/{name}.png"));
        let picture = image::open(&path).unwrap().into_rgb8();
        let background = *picture.get_pixel(0, 0);
        let drawn = picture.pixels().filter(|pixel| **pixel != background).count();
        assert!(picture.width() >= 800 && drawn > 2000, "{name}: {drawn}");
        assert!(texts(&path).contains(&("vlmscope command".into(), command.into())), "{name}");
        let svg = String::from_utf8(folder.read(&format!("r/{name}.svg"))).unwrap();
        assert!(
            svg.starts_with("<svg")
                && svg.contains("</svg>")
                && !svg.contains("\"NaN")
                && !svg.contains(">NaN"),
            "{name}"
        );
        expected.extend([format!("{name}.png"), format!("{name}.svg")]);
    }
    expected.sort();
    assert_eq!(names(&folder.path("r")), expected);
    let sheet = String::from_utf8(folder.read("r/samples.svg")).unwrap();
    assert_eq!(sheet.matches("<image").count(), 2, "the traces that were kept");
    assert_eq!(sheet.matches("no trace was kept").count(), 6);
    assert!(page.contains(r"a\|b"), "a category must not end a cell");
    assert!(page.contains("Several samples share a picture"));
}

#[test]
fn groups_are_chosen_by_a_column_a_condition_or_another_table() {
    let folder = with_table();
    let compared = |arguments: &str| {
        folder.ok(&format!("report t.parquet --out r --samples 0 {arguments}"));
        let found: Value = serde_json::from_slice(&folder.read("r/report.json")).unwrap();
        (found["comparison"]["groups"].clone(), found["comparison"]["samples"].clone(), found)
    };
    let (groups, samples, found) = compared("--quantity inside");
    assert_eq!((groups, samples), (json!(["right answers", "wrong answers"]), json!([6, 2])));
    assert_eq!(found["quantity"], "inside");
    // Captions say how many samples have a number: those whose picture shows the object.
    let inside = heads(&folder.path("t.parquet")).into_iter();
    let having: BTreeSet<String> = inside
        .filter(|(_, numbers)| numbers[5].is_some())
        .map(|((sample, ..), _)| sample)
        .collect();
    assert!((1..8).contains(&having.len()), "the test needs samples without a number");
    let counted = format!("{} of 8 samples", having.len());
    let page = String::from_utf8(folder.read("r/report.md")).unwrap();
    for figure in ["heads_mean", "heads_spread", "ranking"] {
        let line = page.lines().find(|line| line.contains(&format!("]({figure}.png)"))).unwrap();
        assert!(line.contains(&counted), "{line}");
        let svg = String::from_utf8(folder.read(&format!("r/{figure}.svg"))).unwrap();
        assert!(svg.contains(&counted), "{figure}");
    }
    assert_eq!(found["counted"]["most"], json!(having.len()));
    let (groups, samples, _) = compared("--compare question");
    assert_eq!(groups, json!(["question = Is there a fox?", "question = What is this?"]));
    assert_eq!(samples, json!([4, 4]));
    let (groups, samples, _) = compared("--compare index<3 --filter index<7");
    assert_eq!((groups, samples), (json!(["index < 3", "not index < 3"]), json!([3, 4])));
    // The same samples with other questions.
    let text = String::from_utf8(folder.read("q.jsonl")).unwrap();
    folder.write("p.jsonl", text.replace("What is this?", "Where is the fox?"));
    folder.ok("ask --batch p.jsonl --table u.parquet");
    let (groups, samples, found) = compared("--against u.parquet --filter index<6");
    assert_eq!((groups, samples), (json!(["t.parquet", "u.parquet"]), json!([6, 6])));
    assert_eq!(found["comparison"]["is_paired"], true);
    assert_eq!(found["comparison"]["asked_otherwise"], 3);
    let page = String::from_utf8(folder.read("r/report.md")).unwrap();
    assert!(page.contains("**3 of these samples have another question in u.parquet**"), "{page}");
    assert!(!folder.path("r/samples.png").exists(), "the earlier report is gone");
}

#[test]
fn what_cannot_be_reported_is_said_and_nothing_is_written() {
    let folder = with_table();
    let says = |arguments: &str, words: &[&str]| {
        folder.refused(&format!("report {arguments}"), 2, words);
    };
    says("t.parquet --out r --quantity speed", &["speed", "focus, image_share"]);
    says("t.parquet --out r --filter speed", &["a condition is"]);
    says("t.parquet --out r --filter index<0", &["no sample", "fulfils the filter"]);
    says("t.parquet --out r --compare category", &["3 different texts", "category = a|b"]);
    says("t.parquet --out r --compare logprob", &["holds numbers", "logprob < 0.5"]);
    says("t.parquet --out r --compare speed=1", &["no column `speed`"]);
    says("t.parquet --out r --compare index<1", &["has 1 samples"]);
    folder.refused("report t.parquet --out r --filter speed=1", 1, &["no column `speed`"]);
    folder.refused("report none.parquet --out r", 1, &["none.parquet"]);
    assert!(!folder.path("r").exists());
    std::fs::create_dir(folder.path("mine")).unwrap();
    folder.write("mine/thesis.tex", "x");
    says("t.parquet --out mine", &["mine holds thesis.tex", "another folder"]);
    folder.write("mine/report.md", "x");
    folder.write("mine/report.json", "x");
    says("t.parquet --out mine", &["thesis.tex"]);
    says("t.parquet --out q.jsonl", &["q.jsonl is no folder"]);
    assert_eq!(folder.read("mine/thesis.tex"), b"x");
    let left = folder.names();
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}
