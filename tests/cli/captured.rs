//! Traces of other models: what was once refused or drawn wrongly, one test a fault, by its number in the list.
//!
//! 3 (seams at tile borders) is `tiles_have_no_seam` of the GPU tests, 9 (later keys) is a unit test of
//! `analysis::gather`, 10 (modes and missing statistics) stands in `model/trace_format_2.rs`, 14 (numbers that are
//! equal) in `gpu/drawing.rs`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vlmscope::trace::{TokenKind, Trace};

struct Folder(tempfile::TempDir);

impl Folder {
    /// With a copy of every fixture.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces2");
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path(path.file_name().unwrap().to_str().unwrap())).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vlmscope"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, arguments: &str, parts: &[&str]) {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments} succeeded");
        assert!(!error.contains("panicked"), "{arguments}: {error}");
        for part in parts {
            assert!(error.contains(part), "{arguments} should say {part:?}: {error}");
        }
    }

    fn export(&self, arguments: &str) -> Value {
        self.ok(&format!("export {arguments} --out numbers.json"));
        serde_json::from_slice(&std::fs::read(self.path("numbers.json")).unwrap()).unwrap()
    }

    fn expected(&self, name: &str) -> Value {
        let text = std::fs::read(self.path("expected.json")).unwrap();
        let all: Value = serde_json::from_slice(&text).unwrap();
        all[name].clone()
    }

    fn pixels(&self, name: &str) -> image::RgbImage {
        image::open(self.path(name)).unwrap().into_rgb8()
    }
}

fn sum(values: &Value) -> f64 {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).sum()
}

/// The masses of all views of a picture.
fn mass(expected: &Value, picture: u64) -> f64 {
    let views = expected["views"].as_array().unwrap().iter();
    views.filter(|view| view["picture"] == picture).map(|view| view["mass"].as_f64().unwrap()).sum()
}

#[test]
fn fault_1_no_view_hides_another() {
    let folder = Folder::new();
    for (name, shape) in [("tiles", [4, 8]), ("stride", [5, 8]), ("cross", [4, 7])] {
        let expected = folder.expected(name);
        let map = folder.export(&format!("{name}.vlmtrace --token 1"));
        assert_eq!(map["axes"], serde_json::json!(["row", "column"]), "{name}");
        assert_eq!(map["shape"], serde_json::json!(shape), "{name}");
        // No cell of the picture holds the attention on padding.
        let on_picture = mass(&expected, 0) - expected["pictures"][0]["outside"].as_f64().unwrap();
        assert!((sum(&map["values"]) - on_picture).abs() < 1e-4, "{name}: {}", sum(&map["values"]));
        // Each view can still be looked at alone.
        for (view, facts) in expected["views"].as_array().unwrap().iter().enumerate() {
            let map = folder.export(&format!("{name}.vlmtrace --token 1 --span {view}"));
            let wanted = facts["mass"].as_f64().unwrap();
            assert!((sum(&map["values"]) - wanted).abs() < 1e-4, "{name}, view {view}");
        }
    }
}

#[test]
fn fault_2_separators_are_counted_nowhere() {
    let folder = Folder::new();
    let map = folder.export("row_breaks.vlmtrace --token 1");
    assert_eq!(map["shape"], serde_json::json!([10, 6]));
    assert!((sum(&map["values"]) - mass(&folder.expected("row_breaks"), 0)).abs() < 1e-4);
}

#[test]
fn fault_4_every_picture_and_frame_can_be_chosen() {
    let folder = Folder::new();
    folder.ok("render two_pictures.vlmtrace --picture 1 --write-state one.toml --out flag.png");
    folder.ok("render --state one.toml --out state.png");
    assert_eq!(folder.pixels("flag.png"), folder.pixels("state.png"));
    folder.ok("render two_pictures.vlmtrace --out first.png");
    assert_ne!(folder.pixels("flag.png"), folder.pixels("first.png"));
    // The range of one picture is its own.
    let expected = folder.expected("two_pictures");
    let map = folder.export("two_pictures.vlmtrace --token 1 --picture 1");
    assert!((sum(&map["values"]) - mass(&expected, 1)).abs() < 1e-4);
    let frame = folder.export("frames.vlmtrace --token 1 --frame 2");
    assert!((sum(&frame["values"]) - mass(&folder.expected("frames"), 2)).abs() < 1e-4);
    folder.refuses(
        "export frames.vlmtrace --frame 7 --out no.json",
        &["frame 7 does not exist: the trace has frames 0–2"],
    );
    folder.refuses("render tiles.vlmtrace --frame 0 --out no.png", &["the trace has no frames"]);
    folder.ok("walkthrough new frames.vlmtrace --out tour.toml");
    folder.ok("record tour.toml --frame 1 --size 160x120 --fps 1 --out film.gif");
    folder.refuses("record tour.toml --frame 9 --out no.gif", &["frame 9 does not exist"]);
    for name in ["two_pictures", "frames"] {
        folder.ok(&format!("render {name}.vlmtrace --view pictures --out {name}.png"));
    }
}

#[test]
fn fault_5_a_state_finds_its_trace_again() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("s")).unwrap();
    std::fs::rename(folder.path("tiles.vlmtrace"), folder.path("s/tiles.vlmtrace")).unwrap();
    folder.ok("render s/tiles.vlmtrace --write-state s/x.toml --out a.png");
    let text = std::fs::read_to_string(folder.path("s/x.toml")).unwrap();
    assert!(text.contains("trace = \"tiles.vlmtrace\""), "{text}");
    folder.ok("render --state s/x.toml --out b.png");
    assert_eq!(folder.pixels("a.png"), folder.pixels("b.png"));
    // A trace elsewhere is named whole.
    folder.ok("render cross.vlmtrace --write-state s/y.toml --out c.png");
    folder.ok("render --state s/y.toml --out d.png");
}

#[test]
fn fault_6_methods_that_need_no_model_need_none() {
    let folder = Folder::new();
    folder.ok("relevancy stride.vlmtrace --methods attention,heads,no-bos,random");
    folder.ok("render stride.vlmtrace --map map.random --out random.png");
    folder.refuses(
        "relevancy stride.vlmtrace --methods rollout",
        &["the mean over heads of every position", "head_mean=True"],
    );
}

#[test]
fn what_needs_the_model_of_a_captured_trace_says_how_to_get_it() {
    let folder = Folder::new();
    for arguments in
        ["relevancy hybrid.vlmtrace", "occlusion hybrid.vlmtrace", "ablate hybrid.vlmtrace"]
    {
        folder.refuses(
            arguments,
            &["captured in Python from random qwen3_5", "relevancy=(\"llm\",)", "rollout, heads"],
        );
    }
    // Rows that are missing are kept in Python by another keyword.
    folder.refuses(
        "causal hybrid.vlmtrace --token 1",
        &["hybrid.vlmtrace", "or capture it again with rows=\"all\" in Python"],
    );
}

#[test]
fn commands_say_why_tokens_of_a_resampler_have_no_map() {
    let folder = Folder::new();
    for arguments in [
        "relevancy unplaced.vlmtrace --methods heads",
        "occlusion unplaced.vlmtrace",
        "score unplaced.vlmtrace",
        "ablate unplaced.vlmtrace --knock-patches 0,0",
        "render unplaced.vlmtrace --out no.png",
    ] {
        folder.refuses(arguments, &["with a place in a picture", "latents of a resampler"]);
    }
}

#[test]
fn fault_7_no_command_reads_the_first_view_alone() {
    let folder = Folder::new();
    for (arguments, parts) in [
        ("score tiles.vlmtrace", ["captured in Python", "--boxes FILE.json"]),
        ("occlusion tiles.vlmtrace", ["3 views", "covered only where"]),
        ("ablate tiles.vlmtrace --knock-patches 0,0", ["3 views", "--span 0 to 2"]),
        ("ablate tiles.vlmtrace --span 9 --knock-patches 0,0", ["view 9", "views 0 to 2"]),
        ("ablate hybrid.vlmtrace --head 0.1", ["layer 0", "layers with attention: 1, 3"]),
        ("export frames.vlmtrace --out no.npy", ["3 pictures (0–2)", "--picture or --frame"]),
        ("export two_pictures.vlmtrace --out no.npy", ["2 pictures (0–1)", "--keys patches"]),
    ] {
        folder.refuses(arguments, &parts);
    }
    let all = folder.export("two_pictures.vlmtrace --token 1 --keys patches");
    let expected = folder.expected("two_pictures");
    assert!((sum(&all["values"]) - mass(&expected, 0) - mass(&expected, 1)).abs() < 1e-4);
    for name in ["tiles", "two_pictures", "frames", "cross", "hybrid"] {
        folder.ok(&format!("walkthrough new {name}.vlmtrace --out {name}.toml"));
        folder.ok(&format!("walkthrough check {name}.toml"));
    }
    let steps = std::fs::read_to_string(folder.path("frames.toml")).unwrap();
    assert!(steps.contains("frame 2 at 4.5 s"), "a film steps through the frames: {steps}");
}

#[test]
fn figures_hold_the_shares_of_picture_and_padding() {
    let folder = Folder::new();
    let expected = folder.expected("stride");
    folder.ok("render stride.vlmtrace --token 1 --out a.png");
    folder.ok("render stride.vlmtrace --token 1 --out a.svg");
    let texts = crate::render::texts(&folder.path("a.png"));
    let shares = &texts.iter().find(|(key, _)| key == "vlmscope shares").unwrap().1;
    let share = |name: &str| -> f64 {
        let line = shares.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("{name} in {shares}")).parse().unwrap()
    };
    let outside = expected["pictures"][0]["outside"].as_f64().unwrap();
    assert!((share("padding_share") - outside).abs() < 2e-4, "{shares}");
    let on_patches = mass(&expected, 0) + mass(&expected, 1);
    // One meaning everywhere: the share on the picture counts its padding, as the numbers of the heads do.
    assert!((share("picture_share") - on_patches).abs() < 2e-4, "{shares}");
    let svg = std::fs::read_to_string(folder.path("a.svg")).unwrap();
    let metadata = svg.split("<metadata>").nth(1).unwrap().split("</metadata>").next().unwrap();
    assert!(metadata.contains(shares.trim_end()), "{metadata}");
}

#[test]
fn captured_maps_are_compared_with_boxes_over_all_views() {
    let folder = Folder::new();
    let boxes =
        r#"[{"noun": "left", "box": [0, 0, 84, 84]}, {"noun": "all", "box": [0, 0, 168, 84]}]"#;
    std::fs::write(folder.path("boxes.json"), boxes).unwrap();
    let score = |object: &str| -> Value {
        let line = format!(
            "score tiles.vlmtrace --boxes boxes.json --object {object} --token 1 --controls 0 --method attention --json"
        );
        serde_json::from_str(&folder.ok(&line)).unwrap()
    };
    let (left, all) = (score("left"), score("all"));
    let pointing = |found: &Value, what: &str| found["methods"][0]["pointing"][what].clone();
    assert_eq!(pointing(&all, "energy_in_box"), 1.0);
    assert_eq!(pointing(&all, "hit"), true);
    // The left half: tile 0 wholly, tile 1 not at all, the left half of the thumbnail.
    let [chance, energy] =
        ["chance", "energy_in_box"].map(|what| pointing(&left, what).as_f64().unwrap());
    assert!((chance - 0.5).abs() < 1e-6 && energy > 0.2 && energy < 0.8, "{energy}");
    let views = folder.expected("tiles")["views"].as_array().unwrap().clone();
    let mass = |view: usize| views[view]["mass"].as_f64().unwrap();
    let total: f64 = (0..3).map(mass).sum();
    assert!(energy * total >= mass(0) && energy * total <= mass(0) + mass(2), "{energy}");
    assert!(
        left["p"].as_f64().unwrap() > 0.0 && left["methods"][0]["curves"] == serde_json::json!([])
    );
}

#[test]
fn fault_8_views_are_numbered_as_views() {
    let folder = Folder::new();
    let text = folder.ok("inspect tiles.vlmtrace");
    for (view, name) in ["tile 0,0", "tile 0,1", "thumbnail"].iter().enumerate() {
        assert!(text.contains(&format!("picture 0  view {view} ({name}): 4 × 4")), "{text}");
    }
    let json: Value = serde_json::from_str(&folder.ok("inspect tiles.vlmtrace --json")).unwrap();
    assert_eq!(json["span_shares"].as_array().unwrap().len(), 3);
    assert!(text.contains("% of the answer's attention"), "{text}");
}

#[test]
fn fault_11_the_picture_that_is_there_is_used() {
    let folder = Folder::new();
    let rename = |name: &str, from: &str, to: &str| {
        let path = folder.path(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, bytes).unwrap();
    };
    // Without what the model saw, the original lies beneath.
    rename("hybrid.vlmtrace", "canvas.0.pixels", "unused.0.pixels");
    folder.ok("render hybrid.vlmtrace --out beneath.png");
    folder.ok("render hybrid.vlmtrace --original --out original.png");
    assert_eq!(folder.pixels("beneath.png"), folder.pixels("original.png"));
    // Without the original, what the model saw most closely; what is not there is named.
    rename("stride.vlmtrace", "picture.0.original", "nothing.0.original");
    folder.ok("render stride.vlmtrace --out canvas.png");
    folder.refuses("render stride.vlmtrace --original --out no.png", &["original", "without"]);
}

#[test]
fn fault_12_rows_of_the_text_are_no_patches() {
    let folder = Folder::new();
    for name in ["tiles", "stride", "crops", "frames", "two_pictures", "row_breaks"] {
        let trace = Trace::open(&folder.path(&format!("{name}.vlmtrace"))).unwrap();
        let tokens = &trace.meta().tokens;
        let patches =
            trace.rows().iter().filter(|&&row| tokens[row as usize].kind == TokenKind::Image);
        assert_eq!(patches.count(), 0, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn fault_15_files_can_be_read_by_those_who_may() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    std::fs::write(folder.path("plain"), "").unwrap();
    folder.ok("relevancy tiles.vlmtrace --methods random --out again.vlmtrace");
    let mode = |name: &str| std::fs::metadata(folder.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("again.vlmtrace") & 0o777, mode("plain") & 0o777);
}

#[test]
fn layers_have_the_models_own_numbers_everywhere() {
    let folder = Folder::new();
    let every = folder.export("hybrid.vlmtrace --token 1 --layer all");
    assert_eq!(every["layers"], serde_json::json!([1, 3]));
    let rows = |arguments: &str| folder.ok(&format!("export {arguments} --out -"));
    let csv = rows("hybrid.vlmtrace --token 1 --layer all");
    let layers: std::collections::BTreeSet<&str> =
        csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(layers, ["1", "3"].into());
    // A flag, a state and the file that it is written to mean the same layer.
    folder.ok("render hybrid.vlmtrace --layer 3 --write-state three.toml --out flag.png");
    let state = std::fs::read_to_string(folder.path("three.toml")).unwrap();
    assert!(state.contains("layers = \"3\""), "{state}");
    folder.ok("render --state three.toml --out state.png");
    assert_eq!(folder.pixels("flag.png"), folder.pixels("state.png"));
    folder.ok("render hybrid.vlmtrace --layer last --out last.png");
    assert_eq!(folder.pixels("flag.png"), folder.pixels("last.png"));
    // As many figures as layers that have attention, named by their numbers.
    folder.ok("render hybrid.vlmtrace --out layer-{layer}.png");
    assert!(folder.path("layer-1.png").is_file() && folder.path("layer-3.png").is_file());
    assert!(!folder.path("layer-0.png").exists());
    // Titles over the cells of a vector figure.
    folder.ok("render hybrid.vlmtrace --view layer-head --out matrix.svg");
    let svg = std::fs::read_to_string(folder.path("matrix.svg")).unwrap();
    assert!(svg.contains("L3 H0: ") && !svg.contains("L0 H"), "no such layer");
    folder.ok("walkthrough new hybrid.vlmtrace --out tour.toml");
    let tour = std::fs::read_to_string(folder.path("tour.toml")).unwrap();
    assert!(!tour.contains("layers = \"0\"") && !tour.contains("layers = \"2\""), "{tour}");
    std::fs::write(folder.path("wrong.toml"), state.replace("layers = \"3\"", "layers = \"2\""))
        .unwrap();
    folder.refuses(
        "render --state wrong.toml --out no.png",
        &["layer 2 of this model has no attention (linear)", "Layers with attention: 1,3"],
    );
}
