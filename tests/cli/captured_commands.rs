//! The commands that read a trace, on the traces that the Python package wrote, one for each kind of layout.

use crate::support::{Folder, stderr};
use std::path::Path;
use vlmscope::model::builtin;
use vlmscope::table::{read_samples, samples_path};
use vlmscope::trace::{TokenKind, Trace};

/// The name of the trace that each test copies into its folder.
const TRACE: &str = "a.vlmtrace";

/// A folder with one trace of tests/fixtures/traces2, and what expected.json says of it.
fn captured(name: &str) -> (Folder, serde_json::Value) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces2");
    let folder = Folder::new();
    std::fs::copy(from.join(format!("{name}.vlmtrace")), folder.path(TRACE)).unwrap();
    let expected = std::fs::read_to_string(from.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    (folder, expected[name].clone())
}

fn inspected(folder: &Folder, expected: &serde_json::Value) {
    let found = folder.json(&format!("inspect {TRACE} --json"));
    assert_eq!(found["positions"], expected["positions"], "{found}");
}

fn figure(folder: &Folder, name: &str, arguments: &str) {
    folder.ok(&format!("render {TRACE} --size 320x180 --token 1 {arguments} --out {name}.png"));
}

/// `inspect`, every view of `render`, a method that needs no model, a tour and its film.
fn every_command_works_on(name: &str) {
    let (folder, expected) = captured(name);
    inspected(&folder, &expected);
    let views = ["overlay", "heads", "wall", "layer-head", "token-matrix"];
    for view in views {
        figure(&folder, view, &format!("--view {view}"));
    }
    let several = ["frames", "two_pictures"].contains(&name);
    let several = if several { vec!["pictures"] } else { vec![] };
    for view in &several {
        figure(&folder, view, &format!("--view {view}"));
    }
    figure(&folder, "diff", "--view diff --second-token 0");
    folder.ok(&format!("relevancy {TRACE} --methods heads,random"));
    figure(&folder, "relevancy", "--view relevancy --map map.random");
    let mut drawn: Vec<Vec<u8>> = views
        .iter()
        .chain(&["diff", "relevancy"])
        .chain(&several)
        .map(|view| image::open(folder.path(format!("{view}.png"))).unwrap().into_bytes())
        .collect();
    drawn.sort();
    drawn.dedup();
    let figures = views.len() + 2 + several.len();
    assert_eq!(drawn.len(), figures, "two views of {name} are the same figure");
    film(&folder);
}

/// The list of the sample traces, with what each should hold.
fn listed_samples() -> Vec<serde_json::Value> {
    let list =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/tiny-qwen3-vl/samples/samples.json");
    serde_json::from_str(&std::fs::read_to_string(list).unwrap()).unwrap()
}

/// Rows and columns of the views.
fn grids(trace: &Trace) -> Vec<[u32; 2]> {
    trace.meta().spans.iter().map(|span| [span.rows, span.columns]).collect()
}

#[test]
fn sample_traces_open_by_their_number() {
    let folder = Folder::new();
    let listed = listed_samples();
    let mut shapes = Vec::new();
    for (number, expected) in (1..).zip(&listed) {
        let name = format!("captured:{number}");
        let found = folder.json(&format!("inspect {name} --json"));
        assert_eq!(found["answer"], expected["answer"], "{found}");
        let path = builtin::captured_file(expected["file"].as_str().unwrap()).unwrap();
        let trace = Trace::open(&path).unwrap();
        trace.check().unwrap();
        assert_eq!(serde_json::json!(grids(&trace)), expected["grids"]);
        // Patches stand between the marks of their picture.
        for span in &trace.meta().spans {
            let (first, count) = (span.first as usize, (span.rows * span.columns) as usize);
            let kinds: Vec<TokenKind> =
                trace.meta().tokens[first - 1..=first + count].iter().map(|one| one.kind).collect();
            assert!(kinds[1..=count].iter().all(|&kind| kind == TokenKind::Image), "{kinds:?}");
            assert_ne!(kinds[0], TokenKind::Image);
            assert_ne!(kinds[count + 1], TokenKind::Image);
        }
        folder.ok(&format!("render {name} --size 320x180 --out {number}.png"));
        shapes.push(grids(&trace));
    }
    assert!(shapes.iter().any(|grids| grids.len() == 1 && grids[0][1] > 2 * grids[0][0]), "wide");
    assert!(shapes.iter().any(|grids| grids.len() == 1 && grids[0][0] > 2 * grids[0][1]), "tall");
    assert!(shapes.iter().any(|grids| grids.len() == 2), "two pictures");
    let last = format!("captured:1 to captured:{}", listed.len());
    folder.refused("inspect captured:0", 2, &["there is no captured:0", &last]);
    folder.refused("render captured:x --out x.png", 2, &["there is no captured:x", &last]);
}

#[test]
fn every_command_that_reads_a_trace_takes_a_sample_trace() {
    let folder = Folder::new();
    folder.ok("table captured:1 captured:3 --out t.parquet");
    let samples = read_samples(&samples_path(&folder.path("t.parquet"))).unwrap();
    let listed = listed_samples();
    let answers: Vec<&str> = samples.iter().map(|row| row.answer.as_str()).collect();
    let wanted = [0, 2].map(|at| listed[at]["answer"].as_str().unwrap());
    assert_eq!(answers, wanted);
    assert!(Trace::open(Path::new(samples[0].trace.as_ref().unwrap())).is_ok());
    let all = samples[0].model_layers.unwrap();
    assert!((1..=all).contains(&samples[0].layers));
    // A command that adds to a trace writes another file.
    let path = builtin::captured_file(listed[0]["file"].as_str().unwrap()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let never = ["a sample trace of this program is never changed", "--out"];
    for arguments in [
        "relevancy captured:1 --methods random",
        "occlusion captured:1",
        "causal captured:1 --token 0",
        "walkthrough new captured:1",
        "patch captured:1 --blank mean --token 0",
    ] {
        folder.refused(arguments, 2, &never);
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    folder.ok("relevancy captured:1 --methods random --out r");
    assert!(Trace::open(&folder.path("r.vlmtrace")).unwrap().map_names().contains(&"map.random"));
    folder.ok("walkthrough new captured:1 --out tour.toml");
    folder.ok("walkthrough check captured:1");
    folder.ok("record captured:2 --size 160x90 --fps 1 --out film");
    folder.ok("pack captured:2 --out two.zip");
    // These need the model.
    for arguments in [
        "score captured:1",
        "occlusion captured:1 --out o",
        "ablate captured:1",
        "steer captured:1 --words picture",
    ] {
        let said = folder.fails(arguments);
        assert!(said.contains("captured in Python"), "{arguments}: {said}");
    }
}

#[test]
fn a_pattern_without_a_file_and_a_missing_file_are_named_as_they_were_typed() {
    let folder = Folder::new();
    folder.write("odd[1].vlmtrace", "no trace");
    for (arguments, word) in [
        ("table nothing*.parquet --out t.parquet", "nothing*.parquet"),
        ("table nothing-?.vlmtrace --out t.parquet", "nothing-?.vlmtrace"),
        ("inspect [ab].vlmtrace", "[ab].vlmtrace"),
    ] {
        folder.refused(arguments, 2, &["the pattern", word, "matches no file"]);
    }
    let said = folder.refused("table gone.parquet --out t.parquet", 1, &["gone.parquet"]);
    assert!(!said.contains("samples"), "{said}");
    let said = folder.fails("inspect odd[1].vlmtrace");
    assert!(!said.contains("pattern"), "a file may have such a name: {said}");
}

#[test]
fn times_that_were_not_measured_are_no_zeros() {
    let folder = Folder::new();
    let text = folder.prints("inspect captured:1");
    let line = text.lines().find(|line| line.starts_with("timings")).unwrap();
    assert!(line.contains("prefill – · decode –") && !line.contains("0.000"), "{line}");
}

#[test]
fn a_damaged_copy_of_a_sample_trace_is_unpacked_anew() {
    let folder = Folder::new();
    let cache = folder.path("cache");
    let inspect = || {
        let mut command = folder.command("inspect captured:1");
        let output = command.env("XDG_CACHE_HOME", &cache).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    inspect();
    let unpacked = cache.join("vlmscope").read_dir().unwrap().next().unwrap().unwrap().path();
    let path = unpacked.read_dir().unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, damaged).unwrap();
    inspect();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

fn film(folder: &Folder) {
    folder.ok(&format!("walkthrough new {TRACE} --out tour.toml"));
    folder.ok("walkthrough check tour.toml");
    folder.ok("record tour.toml --size 160x90 --fps 1 --out film");
    assert!(folder.path("film").read_dir().unwrap().count() > 5);
}

macro_rules! every_command {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            every_command_works_on(stringify!($name));
        })*

        #[test]
        fn every_kind_has_its_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces2");
            let mut named = vec![$(stringify!($name)),*, "unplaced"];
            let mut there: Vec<String> = crate::support::names(&folder)
                .iter()
                .filter_map(|name| Some(name.strip_suffix(".vlmtrace")?.to_owned()))
                .collect();
            named.sort_unstable();
            there.sort_unstable();
            assert_eq!(there, named);
        }
    };
}

every_command!(crops, cross, dynamic_grid, frames, hybrid, row_breaks, stride, tiles, two_pictures);

#[test]
fn a_trace_without_places_has_numbers_words_and_a_film_but_no_map() {
    let (folder, expected) = captured("unplaced");
    inspected(&folder, &expected);
    figure(&folder, "token-matrix", "--view token-matrix");
    for view in ["overlay", "heads", "wall"] {
        let drawn = folder.run(&format!("render {TRACE} --view {view} --token 1 --out no.png"));
        let error = stderr(&drawn);
        assert!(!drawn.status.success() && error.contains("latents of a resampler"), "{error}");
    }
    film(&folder);
}
