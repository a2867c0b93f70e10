//! `vlmscope patch` and `vlmscope steer` as a user runs them.

use crate::support::{Folder, stderr};
use serde_json::Value;
use vlmscope::analysis::patching::{PatchResult, Site};
use vlmscope::trace::{AnswerIndex, Trace};

fn ask(folder: &Folder, picture: &str, out: &str) {
    folder.prints(&["ask", picture, "What is on the left?", "--no-overlay", "--out", out]);
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn names(found: &Value) -> Vec<&str> {
    found["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_answer_to_a_returns_where_its_object_is_copied_and_the_result_is_kept() {
    let folder = Folder::new();
    ask(&folder, "sample:1", "a.vlmtrace");
    ask(&folder, "sample:2", "b.vlmtrace");
    let found = folder.json(&[
        "patch",
        "a.vlmtrace",
        "b.vlmtrace",
        "--token",
        "3",
        "--object",
        "fox",
        "--json",
    ]);
    let restored = floats(&found["restored"]);
    let groups = names(&found);
    assert_eq!(groups[..2], ["fox", "other patches"]);
    assert_eq!(groups.last(), Some(&"last position"));
    assert_eq!(restored.len(), groups.len() * 6);
    assert!(restored[0] > 0.5, "the fox's patches at the first layer bring the fox back: {found}");
    // The input of the first layer at the last position is the same word in both runs.
    let last = (groups.len() - 1) * 6;
    assert!(restored[last].abs() < 1e-3, "{found}");
    assert!(found["correlation"].as_f64().unwrap().abs() <= 1.0);

    let kept = folder.json(&["patch", "a.vlmtrace", "--token", "3", "--stored", "--json"]);
    assert_eq!(kept["restored"], found["restored"]);
    let trace = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    let result = PatchResult::stored(&trace, AnswerIndex(3), Site::Residual).unwrap().unwrap();
    assert_eq!(result.done(), restored.len());
    assert_eq!(PatchResult::stored(&trace, AnswerIndex(3), Site::Mlp), Ok(None));

    let table = folder.prints(&["patch", "a.vlmtrace", "--token", "3", "--stored"]);
    assert!(table.contains("other patches") && table.contains("correlation"), "{table}");
}

#[test]
fn an_incomplete_table_is_continued_and_a_figure_shows_it() {
    let folder = Folder::new();
    ask(&folder, "sample:1", "a.vlmtrace");
    let patch = "patch a.vlmtrace sample:2 --token 3 --object fox";
    folder.refused(
        "render a.vlmtrace --view patch --token 3 --out p.png",
        1,
        &["a.vlmtrace", "no copied activations of answer token 3", "vlmscope patch"],
    );
    let whole = folder.json(&format!("{patch} --json"));
    assert_eq!(whole["complete"], true);

    // As a run leaves it that Ctrl-C stopped.
    let path = folder.path("a.vlmtrace");
    let trace = Trace::open(&path).unwrap();
    let mut table = PatchResult::stored(&trace, AnswerIndex(3), Site::Residual).unwrap().unwrap();
    let all = table.patched.len();
    table.patched.iter_mut().skip(5).for_each(|value| *value = None);
    let json = serde_json::to_vec(&table).unwrap();
    trace.with_patching("residual", AnswerIndex(3), &json).write_maps(&trace, &path).unwrap();
    let text = folder.prints("patch a.vlmtrace --token 3 --stored");
    assert!(text.contains(&format!("incomplete: 5 of {all} places")), "{text}");
    let render = "render a.vlmtrace --view patch --token 3 --size 800x500";
    folder.ok(&format!("{render} --out partial.svg"));
    let partial = String::from_utf8(folder.read("partial.svg")).unwrap();
    assert!(
        partial.contains(&format!("5 of {all} places")),
        "the caption says that it is incomplete"
    );

    let again = folder.json(&format!("{patch} --json"));
    assert_eq!(again["complete"], true);
    for (again, whole) in floats(&again["restored"]).iter().zip(floats(&whole["restored"])) {
        assert!((again - whole).abs() < 1e-3);
    }
    // A preview keeps the exact values, and so does a part of the table.
    let preview = folder.json(&format!("{patch} --preview --json"));
    assert_eq!(preview["complete"], true);
    let part = folder.json(&format!("{patch} --at left? --json"));
    assert_eq!(names(&part), ["left?"]);
    let stored = || folder.json("patch a.vlmtrace --token 3 --stored --json");
    assert_eq!(names(&stored()), names(&whole));
    assert_eq!(stored()["complete"], true);
    let before = folder.read("a.vlmtrace");
    let output = folder.ok("patch a.vlmtrace --blank mean --token 3 --at left?");
    assert!(stderr(&output).contains("replaces the table about"), "{}", stderr(&output));
    assert_eq!(names(&stored()), ["left?"], "places of two pairs are not mixed");
    std::fs::write(folder.path("a.vlmtrace"), before).unwrap();

    folder.ok(&format!("{render} --out p.png"));
    folder.ok(&format!("{render} --out p.svg --write-state p.toml"));
    let svg = String::from_utf8(folder.read("p.svg")).unwrap();
    let caption = "residual stream copied · answer token 3 ";
    assert!(svg.contains(caption) && svg.contains("share of the answer that returns"));
    for text in ["position ↓", "layer →", "other patches", "last position", "0: as with "] {
        assert!(svg.contains(text), "{text}");
    }
    // Cells are vectors; only the picture and the ramp are embedded.
    assert!(svg.matches("<image").count() <= 2, "{}", svg.matches("<image").count());
    assert!(svg.matches("<rect").count() > all, "a rectangle for each place");
    let state = String::from_utf8(folder.read("p.toml")).unwrap();
    assert!(state.contains("view = \"patch\""), "{state}");
    folder.refused(
        &format!("{render} --what heads --out h.png"),
        1,
        &["a.vlmtrace", "(--what heads)"],
    );
    folder.prints("patch a.vlmtrace sample:2 --token 3 --what heads --no-estimates");
    folder.ok(&format!("{render} --what heads --theme light --out h.svg"));
    let svg = String::from_utf8(folder.read("h.svg")).unwrap();
    assert!(svg.contains("outputs of heads copied") && svg.contains("head →"));
    folder.refused(
        "render a.vlmtrace --view patch --token 40 --out p.png",
        2,
        &["answer token 40"],
    );
    // A film shows the table that its trace holds.
    let step = "[[step]]\nseconds = 0.2\nview = { view = \"patch\", site = \"heads\", map.queries = \"answer 3\" }\n";
    folder.write("tour.toml", format!("trace = \"a.vlmtrace\"\n{step}"));
    folder.ok("record tour.toml --size 320x240 --fps 5 --out tour.gif");
    folder.write("other.toml", format!("trace = \"a.vlmtrace\"\n{}", step.replace("heads", "mlp")));
    folder.refused(
        "record other.toml --size 320x240 --fps 5 --out other.gif",
        1,
        &["other.toml", "no copied activations", "(--what mlp)"],
    );
}

#[test]
fn a_blank_an_edit_and_a_picture_are_other_pictures_too() {
    let folder = Folder::new();
    ask(&folder, "sample:1", "a.vlmtrace");
    folder.write(
        "white.toml",
        "version = 1\nsize = [640, 480]\n[[step]]\ntool = \"fill\"\nwith = { kind = \"mean\" }\n\
        area = { outline = { shape = \"rectangle\", rect = { x = 0.0, y = 0.0, width = 360.0, height = 480.0 } } }\n",
    );
    let ways: [&[&str]; 4] =
        [&["sample:2"], &["--blank", "mean"], &["--blank", "blur"], &["--edit", "white.toml"]];
    let mut others = Vec::new();
    for way in ways {
        let fixed = [
            "patch",
            "a.vlmtrace",
            "--token",
            "3",
            "--what",
            "mlp",
            "--at",
            "last position",
            "--json",
        ];
        let found = folder.json(&[&fixed[..], way].concat());
        assert_eq!(names(&found), ["last position"]);
        assert_eq!(floats(&found["restored"]).len(), 6);
        assert!(found["logprob_a"].as_f64() > found["logprob_b"].as_f64(), "{found}");
        others.push(found["other"].as_str().unwrap().to_owned());
    }
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 4, "{others:?}");

    let heads = folder.json(&[
        "patch",
        "a.vlmtrace",
        "sample:2",
        "--token",
        "3",
        "--what",
        "heads",
        "--preview",
        "--json",
    ]);
    assert_eq!(heads["estimates"].as_array().unwrap().len(), 6 * 8);
    assert!(heads["patched"].as_array().unwrap().iter().all(Value::is_null));
    assert!(heads["correlation"].is_null());
}

#[test]
fn what_cannot_be_patched_says_what_to_do() {
    let folder = Folder::new();
    ask(&folder, "sample:1", "a.vlmtrace");
    folder.prints(&[
        "ask",
        "sample:2",
        "Describe the picture.",
        "--no-overlay",
        "--out",
        "d.vlmtrace",
    ]);
    let patch = |more: &[&str], code, words: &[&str]| {
        folder.refused(&[&["patch", "a.vlmtrace"][..], more].concat(), code, words);
    };
    patch(&["--token", "3"], 2, &["picture B", "--blank", "--edit"]);
    patch(&["d.vlmtrace", "--token", "3"], 2, &["d.vlmtrace", "Describe the picture."]);
    patch(&["sample:2", "--token", "99"], 2, &["answer token 99"]);
    patch(&["sample:2", "--token", "3", "--at", "nose"], 2, &["nose", "last position"]);
    patch(&["sample:2", "--token", "3", "--object", "submarine"], 2, &["submarine", "fox"]);
    patch(&["sample:2", "--token", "3", "--question", "Why?"], 2, &["--question"]);
    patch(&["--token", "3", "--stored"], 2, &["no activation patching"]);
    patch(&["a.vlmtrace", "--token", "3"], 1, &["picture B", "nothing is lost"]);
    folder.refused(&["patch", "sample:1", "sample:2", "--token", "3"], 2, &["--question"]);
}

#[test]
fn steering_changes_the_answer_and_writes_it() {
    let folder = Folder::new();
    ask(&folder, "sample:1", "a.vlmtrace");
    let found =
        folder.json(&["steer", "a.vlmtrace", "--object", "balloon", "--strength=-2,8", "--json"]);
    let strengths = found["strengths"].as_array().unwrap();
    assert_eq!(strengths.len(), 2);
    let strong = &strengths[1];
    assert!(strong["delta_logprob"].as_f64().unwrap() < -0.5, "{found}");
    assert_ne!(strong["new_answer"], found["answer"]);
    assert!(!found["keys"].as_array().unwrap().is_empty());

    let fixed = ["steer", "a.vlmtrace", "--object", "balloon"];
    let out = ["--strength", "8", "--out", "steered.vlmtrace"];
    folder.prints(&[&fixed[..], &out[..]].concat());
    let steered = Trace::open(&folder.path("steered.vlmtrace")).unwrap();
    assert_eq!(steered.meta().answer, strong["new_answer"]);
    assert!(steered.meta().provenance.model_changed);

    folder.refused(&["steer", "a.vlmtrace"], 2, &["--box"]);
    folder.refused(&[&fixed[..], &["--out", "x.vlmtrace"]].concat(), 2, &["single --strength"]);
    folder.refused(&[&fixed[..], &["--strength", "99"]].concat(), 2, &["99"]);
    folder.refused(&[&fixed[..], &["--head", "9.9"]].concat(), 1, &["head 9.9"]);
}
