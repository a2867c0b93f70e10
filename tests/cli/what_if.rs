//! `vlmscope edit`, `ask --edit`, `diff`, `ablate` and `occlusion` as a user runs them.

use crate::support::{Folder, stderr, write_trace};
use serde_json::Value;
use vlmscope::trace::Trace;

/// The red balloon of the first sample, turned blue.
const BLUE: &str = r#"
version = 1
size = [640, 480]
[[step]]
tool = "adjust"
by = { hue = 240.0 }
[step.area]
outline = { shape = "rectangle", rect = { x = 370.0, y = 16.0, width = 142.0, height = 204.0 } }
like = { color = [222, 36, 40], tolerance = 30.0 }
"#;

/// Asks about the first sample; returns the answer.
fn ask(folder: &Folder, question: &str, out: &str, more: &[&str]) -> String {
    let fixed = ["ask", "sample:1", question, "--no-overlay", "--out", out];
    folder.prints(&[&fixed[..], more].concat())
}

#[test]
fn a_recoloured_object_gets_another_answer_and_the_difference_says_so() {
    let folder = Folder::new();
    folder.write("blue.toml", BLUE);
    let question = "What colour is the balloon?";
    let before = ask(&folder, question, "before.vlmtrace", &[]);
    let after = ask(&folder, question, "after.vlmtrace", &["--edit", "blue.toml"]);
    assert_eq!(before.trim(), "The balloon is red.");
    assert_eq!(after.trim(), "The balloon is blue.");

    folder.prints(&["edit", "sample:1", "blue.toml", "--out", "blue.png"]);
    let edited = image::open(folder.path("blue.png")).unwrap().to_rgb8();
    let [red, _, blue] = edited.get_pixel(440, 100).0;
    assert!(blue > red, "the balloon is blue in the file too");

    let found = folder.json(&[
        "diff",
        "before.vlmtrace",
        "after.vlmtrace",
        "--json",
        "--out",
        "scored.vlmtrace",
    ]);
    assert_eq!(found["alignment"], "scored");
    assert_eq!(found["is_neutral"], false);
    assert!(found["delta_logprob"].as_f64().unwrap() < -1.0, "{found}");
    assert_eq!(found["heads"].as_array().unwrap().len(), 6 * 8);
    let removed: Vec<&Value> = found["words"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["change"] == "removed")
        .collect();
    assert_eq!(removed.len(), 1);
    assert!(removed[0]["text"].as_str().unwrap().contains("red"));
    let scored = Trace::open(&folder.path("scored.vlmtrace")).unwrap();
    assert!(scored.meta().sampling.forced && scored.meta().answer == "The balloon is red.");
    let table = folder.prints(&["diff", "before.vlmtrace", "after.vlmtrace"]);
    assert!(table.contains("[-red") && table.contains("scored with the first answer"));
    folder.prints(&[
        "render",
        "before.vlmtrace",
        "--view",
        "diff",
        "--second-trace",
        "scored.vlmtrace",
        "--size",
        "320x240",
        "--out",
        "diff.png",
    ]);
    assert!(folder.path("diff.png").exists());

    // Drawn without scoring, the figure comes with a word about it; another geometry is refused.
    let unscored = folder.run(&[
        "render",
        "before.vlmtrace",
        "--view",
        "diff",
        "--second-trace",
        "after.vlmtrace",
        "--size",
        "320x240",
        "--out",
        "unscored.png",
    ]);
    assert!(unscored.status.success());
    assert!(stderr(&unscored).contains("predict different tokens"));
    write_trace(&folder.path("other.vlmtrace"));
    let diff = ["diff", "before.vlmtrace", "other.vlmtrace"];
    folder.refused(&diff, 2, &["cannot be compared"]);
    folder.refused(
        &[
            "render",
            "before.vlmtrace",
            "--view",
            "diff",
            "--second-trace",
            "other.vlmtrace",
            "--out",
            "x.png",
        ],
        2,
        &["cannot be compared"],
    );
}

#[test]
fn a_trace_does_not_differ_from_itself() {
    let folder = Folder::new();
    ask(&folder, "What is on the left?", "a.vlmtrace", &[]);
    let found = folder.json(&["diff", "a.vlmtrace", "a.vlmtrace", "--json"]);
    assert_eq!(found["is_neutral"], true);
    assert_eq!(found["delta_logprob"], 0.0);
    let table = folder.prints(&["diff", "a.vlmtrace", "a.vlmtrace"]);
    assert!(table.contains("no difference"), "{table}");
}

#[test]
fn heads_and_patches_are_taken_from_the_model() {
    let folder = Folder::new();
    ask(&folder, "What is on the left?", "a.vlmtrace", &[]);
    let found = folder.json(&["ablate", "a.vlmtrace", "--json"]);
    let rows = found["delta_logprob"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0].as_array().unwrap().len()), (6, 8));
    let strongest = &found["heads"][0];
    let head = format!("{}.{}", strongest["layer"], strongest["head"]);
    let one = folder.json(&["ablate", "a.vlmtrace", "--head", &head, "--json"]);
    let (one, all) =
        (one["delta_logprob"].as_f64().unwrap(), strongest["delta_logprob"].as_f64().unwrap());
    assert!((one - all).abs() < 1e-3, "{one} {all}");
    // Kept in the trace, the effects are a quantity of the matrix.
    folder.prints(&["ablate", "a.vlmtrace", "--save"]);
    let answer = ["--token", "0-8", "--quantity", "effect", "--out", "e.json"];
    folder.ok(&[&["export", "a.vlmtrace"][..], &answer].concat());
    let kept: Value = serde_json::from_slice(&folder.read("e.json")).unwrap();
    let strongest_kept = kept["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
    assert!((strongest_kept.unwrap() - all).abs() < 1e-3, "{strongest_kept:?} {all}");
    let all_patches = ["ablate", "a.vlmtrace", "--knock-patches", "0-11,0-11", "--from", "text"];
    let blind = folder.json(&[&all_patches[..], &["--json", "--out", "blind.vlmtrace"]].concat());
    assert!(blind["delta_logprob"].as_f64().unwrap() < -1.0, "{blind}");
    assert!(Trace::open(&folder.path("blind.vlmtrace")).is_ok());
    let keep = ["ablate", "a.vlmtrace", "--keep-patches", "0-11,0-11", "--json"];
    let same = folder.json(&keep);
    assert!(same["delta_logprob"].as_f64().unwrap().abs() < 1e-3);
    assert_eq!(same["answer"], same["new_answer"]);
    folder.prints(&["ablate", "a.vlmtrace", "--knock-words", "left", "--layers", "0-2"]);

    for (arguments, named) in [
        (&["--head", "9.9"][..], "layers 0 to 5"),
        (&["--knock-patches", "12,0"], "rows 0 to 11"),
        (&["--knock-words", "giraffe"], "no word `giraffe`"),
        (&["--layers", "0-2"], "--knock-patches"),
    ] {
        folder.refused(&[&["ablate", "a.vlmtrace"], arguments].concat(), 2, &[named]);
    }
}

#[test]
fn an_occlusion_map_becomes_part_of_the_trace() {
    let folder = Folder::new();
    ask(&folder, "What is on the left?", "a.vlmtrace", &[]);
    let before = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    let arguments = ["occlusion", "a.vlmtrace", "--windows", "6", "--fill", "blur", "--json"];
    let found = folder.json(&arguments);
    assert_eq!(found["windows"], 36);
    let after = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    assert_eq!(after.map_names(), ["map.occlusion"]);
    assert_eq!(before.answer_ids(), after.answer_ids(), "the old file's map stays valid");
    folder.prints(&[
        "render",
        "a.vlmtrace",
        "--map",
        "map.occlusion",
        "--size",
        "320x240",
        "--out",
        "o.png",
    ]);
    folder.prints(&["export", "a.vlmtrace", "--map", "map.occlusion", "--out", "o.csv"]);
}

#[test]
fn bad_input_says_what_to_do() {
    let folder = Folder::new();
    folder.write("bad.toml", "version = 1\nsize = [5, 5]\n[[step]]\ntool = \"brush\"");
    folder.write("other.toml", BLUE.replace("[640, 480]", "[640, 300]"));
    let bad = ["edit", "sample:1", "bad.toml", "--out", "x.png"];
    folder.refused(&bad, 1, &["bad.toml"]);
    let other = ["edit", "sample:1", "other.toml", "--out", "x.png"];
    folder.refused(&other, 1, &["640 × 300", "640 × 480"]);
    folder.refused(&["edit", "sample:1", "bad.toml", "--out", "x.jpg"], 2, &[".png"]);
    folder.refused(&["edit", "sample:1", "none.toml", "--out", "x.png"], 1, &["none"]);
    assert!(!folder.path("x.png").exists());
    ask(&folder, "What is on the left?", "a.vlmtrace", &[]);
    folder.write("b.vlmtrace", "no trace");
    folder.refused(&["diff", "a.vlmtrace", "b.vlmtrace"], 1, &["b.vlmtrace"]);
    folder.refused(&["occlusion", "b.vlmtrace"], 1, &["b.vlmtrace"]);
}
