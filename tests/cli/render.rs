//! `vlmscope render` and `bench` as a user runs them, good input and bad.

use crate::support::{Folder, stderr};
use std::path::Path;
use vlmscope::view::ViewState;

/// Draws figures of a.vlmtrace.
fn draw(folder: &Folder, arguments: &str) {
    folder.ok(&format!("render a.vlmtrace {arguments}"));
}

fn pixels(path: &Path) -> image::RgbImage {
    image::open(path).unwrap().into_rgb8()
}

/// The text chunks of a PNG.
pub(crate) fn texts(path: &Path) -> Vec<(String, String)> {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut buffer).unwrap();
    let chunks = &reader.info().utf8_text;
    chunks.iter().map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap())).collect()
}

#[test]
fn bad_input_is_named_with_what_to_do() {
    let folder = Folder::with_trace();
    let says = |arguments: &str, code: i32, parts: &[&str]| {
        folder.refused(&format!("render a.vlmtrace {arguments}"), code, parts);
        assert!(!folder.path("o.png").exists(), "{arguments} left a file");
    };
    says("--layer 40 --out o.png", 2, &["a.vlmtrace: layer 40", "numbered 0 to 3"]);
    says("--second-layer 40 --out o.png", 2, &["a.vlmtrace: the second map: layer 40"]);
    says("--head 6 --out o.png", 2, &["head 6", "numbered 0 to 5"]);
    says("--token 9 --out o.png", 2, &["answer token 9"]);
    says("--query 0 --out o.png", 2, &["position 0 was not kept", "--rows all"]);
    says("--layer three --out o.png", 2, &["`three`", "mean:0-7,12"]);
    says("--map map.none --out o.png", 2, &["map.none", "relevancy.llm"]);
    says("--opacity 2 --out o.png", 2, &["opacity", "between 0 and 1"]);
    says("--normalise 3..1 --out o.png", 2, &["larger than its min"]);
    says("--view diff --out o.png", 2, &["second map", "--second-layer"]);
    for view in ["wall", "heads", "layer-head", "token-matrix"] {
        let arguments = format!("--view {view} --map relevancy.llm --out o.png");
        says(&arguments, 2, &[view, "`relevancy.llm`", "overlay"]);
    }
    says("--out {foo}.png", 2, &["{foo}", "{token}"]);
    says("--view layer-head --out {head}.png", 2, &["every head at once", "{head}"]);
    says("--map relevancy.llm --out {layer}.png", 2, &["no layers and heads"]);
    says("--mix swipe --out o.png", 2, &["--second-trace"]);
    says("--size 0x10 --out o.png", 2, &["0x10"]);
    says("--size big --out o.png", 2, &["1920x1080"]);
    says("--out o.jpg", 2, &["o.jpg", ".png", ".svg"]);
    says("--svg --out o.png", 2, &["--svg"]);
    says("--state none.toml --out o.png", 1, &["none.toml"]);
    says("--second-trace none.vlmtrace --out o.png", 1, &["none.vlmtrace"]);
    folder.write("bad.toml", "view = \"wall\"\nopcity = 1\n");
    says("--state bad.toml --out o.png", 1, &["bad.toml", "line 2", "opcity"]);
    folder.write("set.toml", "map = { layers = -1 }\n");
    says("--state set.toml --out o.png", 1, &["set.toml", "line 1", "such as \"mean\""]);
    folder.write("new.toml", "version = 7\n");
    says("--state new.toml --out o.png", 1, &["new.toml", "newer than this reader"]);
    says("--adapter nosuchgpu --out o.png", 1, &["nosuchgpu", "mesa-vulkan-drivers"]);
    says("--out missing/folder/o.png --size 64x64", 1, &["missing/folder/o.png"]);
}

/// The legend's upper end was 0.540 and the exported maximum 0.319: tokens were reduced before heads.
#[test]
fn the_exported_maximum_is_the_upper_end_of_the_legend() {
    let folder = Folder::with_trace();
    folder.ok(&[
        "ask",
        "sample:1",
        "What is on the left?",
        "--no-overlay",
        "--out",
        "left.vlmtrace",
    ]);
    let selection = ["--token", "1-4", "--layer", "max", "--head", "max"];
    folder.ok(&[&["export", "left.vlmtrace", "--out", "o.json"][..], &selection].concat());
    folder.ok(&[
        &["render", "left.vlmtrace", "--size", "320x240", "--out", "o.png"][..],
        &selection,
    ]
    .concat());
    let json = folder.read("o.json");
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let exported: Vec<f32> = serde_json::from_value(json["values"].clone()).unwrap();
    let largest = exported.iter().copied().fold(0.0, f32::max);
    assert!((largest - 0.540).abs() < 0.0005, "{largest}");
    let caption = texts(&folder.path("o.png"));
    let says = |(_, text): &(String, String)| text.contains("–0.540");
    assert!(caption.iter().any(says), "{caption:?}");
}

#[test]
fn export_takes_the_selections_of_render_and_refuses_what_says_nothing() {
    let folder = Folder::with_trace();
    let export = |arguments: &str| {
        let output = folder.run(&format!("export a.vlmtrace --out o.json {arguments}"));
        let values = std::fs::read(folder.path("o.json")).ok().map(|json| {
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            serde_json::from_value::<Vec<f32>>(json["values"].clone()).unwrap()
        });
        let _ = std::fs::remove_file(folder.path("o.json"));
        (values, output.status.code().unwrap(), stderr(&output))
    };
    let values = |arguments: &str| {
        let (values, code, said) = export(arguments);
        assert_eq!(code, 0, "{arguments}: {said}");
        values.unwrap()
    };
    assert_eq!(values("--token 1-2"), values("--token 1,2"));
    // A flag that is given twice names the members of both, as in earlier versions.
    assert_eq!(values("--token 1 --token 2"), values("--token 1,2"));
    assert_eq!(values("--query 70 --query 71"), values("--query 70,71"));
    assert_ne!(values("--query 70 --query 71"), values("--query 71"));
    assert_eq!(values("--layer 3"), values("--layer last"));
    assert_ne!(values("--token max:1-2 --layer max:0-2 --head 1,3"), values("--token 1-2"));
    assert_ne!(values("--remove-bos"), values(""));
    // A kept axis is one map after another.
    let each: Vec<f32> = (0..4).flat_map(|layer| values(&format!("--layer {layer}"))).collect();
    assert_eq!(values("--layer all"), each);
    let [first, second, minus] =
        ["--layer 0", "--layer 2", "--layer 0 --second-layer 2"].map(values);
    let expected: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a - b).collect();
    assert_eq!(minus, expected);
    for (arguments, parts) in [
        ("--map relevancy.llm --layer 1", ["--layer does not apply", "without layers and heads"]),
        ("--map relevancy.llm --head max", ["--head does not apply", "relevancy.llm"]),
        ("--second-map relevancy.llm --second-head 1", ["--second-head does not", "relevancy.llm"]),
        ("--layer 1 --second-layer all", ["--second-layer all", "write mean"]),
        ("--map relevancy.llm --remove-bos", ["--remove-bos does not apply", "relevancy.llm"]),
        ("--keys all --span 0", ["--span", "leave out --keys"]),
        ("--picture 3", ["picture 3 does not exist", "numbered 0 to 0"]),
        ("--second-token -1", ["--second-token", "`-1` is not a set"]),
        ("--layer max:1-", ["--layer", "max:1-"]),
        ("--token 9", ["a.vlmtrace", "answer token 9"]),
        ("--token 1 --token max:2", ["`1,max:2`", "not a set of answer tokens"]),
    ] {
        let (values, code, said) = export(arguments);
        assert_eq!(code, 2, "{arguments}: {said}");
        assert!(values.is_none(), "{arguments} left a file");
        assert!(parts.iter().all(|part| said.contains(part)), "{arguments}: {said}");
    }
}

/// `render --view layer-head` and `export --quantity` have one source, and so have boxes and objects of a state file.
#[test]
fn quantities_objects_and_sets_are_drawn_and_exported_alike() {
    let folder = Folder::with_trace();
    let export = |arguments: &str| {
        folder.ok(&format!("export a.vlmtrace --token 1 --out o.json {arguments}"));
        let json: serde_json::Value = serde_json::from_slice(&folder.read("o.json")).unwrap();
        serde_json::from_value::<Vec<f32>>(json["values"].clone()).unwrap()
    };
    let [share, entropy, focus] =
        ["image-share", "entropy", "focus"].map(|name| export(&format!("--quantity {name}")));
    assert_eq!(share.len(), 4 * 6);
    let most = 64.0_f32.ln();
    for ((share, entropy), focus) in share.iter().zip(&entropy).zip(&focus) {
        assert!((focus - share * (1.0 - entropy / most)).abs() < 1e-5);
    }
    let largest = focus.iter().copied().fold(0.0, f32::max);
    draw(&folder, "--view layer-head --token 1 --out focus.png");
    let caption = texts(&folder.path("focus.png"));
    let end = vlmscope::view::figure::number(f64::from(largest), f64::from(largest));
    assert!(caption.iter().any(|(_, text)| text.contains(&format!("–{end}"))), "{caption:?}");
    // A box is an object; the same object of a state file has the same numbers.
    let inside = export("--quantity inside --box 10,10,60,50");
    assert!(inside.iter().zip(&share).all(|(inside, share)| *inside <= share + 1e-6));
    assert!(inside.iter().sum::<f32>() > 0.0);
    let state = "quantity = \"inside\"\nview = \"layer-head\"\n[[objects]]\nname = \"it\"\n\
        parts = [{ outline = { shape = \"rectangle\", rect = { x = 10.0, y = 10.0, width = 50.0, height = 40.0 } } }]\n";
    folder.write("state.toml", state);
    draw(&folder, "--state state.toml --object it --token 1 --out inside.png");
    let caption = texts(&folder.path("inside.png"));
    let largest = f64::from(inside.iter().copied().fold(0.0, f32::max)) * 100.0;
    let end = vlmscope::view::figure::number(largest, largest);
    assert!(caption.iter().any(|(_, text)| text.contains(&format!("–{end} %"))), "{caption:?}");
    assert!(caption.iter().any(|(_, text)| text.contains("inside it")), "{caption:?}");
    // The mean of single heads.
    let [set, first, second] =
        ["--head-set 2.1,0.3", "--layer 2 --head 1", "--layer 0 --head 3"].map(export);
    for ((mean, first), second) in set.iter().zip(&first).zip(&second) {
        assert!((mean - (first + second) / 2.0).abs() < 1e-6);
    }
    for (arguments, parts) in [
        ("export a.vlmtrace --quantity inside --out x.csv", ["needs an object", "--box"]),
        ("export a.vlmtrace --quantity effect --out x.csv", ["not measured", "--save"]),
        ("export a.vlmtrace --quantity change --out x.csv", ["second map", "--second-token"]),
        ("export a.vlmtrace --box 10,10,5,50 --out x.csv", ["no area", "RIGHT must exceed LEFT"]),
        ("export a.vlmtrace --head-set 2 --out x.csv", ["--head-set", "LAYER.HEAD"]),
        ("export a.vlmtrace --head-set 2.9 --out x.csv", ["head 9", "numbered 0 to 5"]),
        ("render a.vlmtrace --object fox --out x.png", ["no object is named `fox`", "none"]),
    ] {
        folder.refused(arguments, 2, &parts);
    }
}

#[test]
fn a_trace_that_is_missing_or_cut_is_named() {
    let folder = Folder::with_trace();
    let output = folder.run("render none.vlmtrace --out o.png");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none.vlmtrace"), "{}", stderr(&output));
    let whole = folder.read("a.vlmtrace");
    folder.write("cut.vlmtrace", &whole[..whole.len() / 2]);
    let output = folder.run("render cut.vlmtrace --out o.png");
    assert!(stderr(&output).contains("cut.vlmtrace"), "{}", stderr(&output));
    let output = folder.run("render --out o.png");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_figure_holds_what_it_takes_to_make_it_again() {
    let folder = Folder::with_trace();
    draw(&folder, "--token 2 --layer 2 --head 3 --colormap viridis --size 400x300 --out a.png");
    let texts = texts(&folder.path("a.png"));
    let text = |key: &str| texts.iter().find(|(k, _)| k == key).map(|(_, text)| text.as_str());
    let command = text("vlmscope command").unwrap();
    assert!(command.starts_with("vlmscope render a.vlmtrace --token 2"), "{command}");
    let caption = text("Description").unwrap();
    assert!(caption.starts_with("attention · answer token 2 triangle · L2 H3, "), "{caption}");
    assert!(caption.contains(" on the picture"), "{caption}");
    let state = text("vlmscope state").unwrap();
    ViewState::from_toml(state).unwrap();
    folder.write("again.toml", state);
    let output = folder.run("render --state again.toml --size 400x300 --out b.png");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(pixels(&folder.path("a.png")), pixels(&folder.path("b.png")));
}

#[test]
fn every_view_is_drawn_at_the_size_that_was_asked_for() {
    let folder = Folder::with_trace();
    for (view, extra) in [
        ("overlay", "--blend contours"),
        ("heads", "--sort entropy"),
        ("wall", "--theme light"),
        ("layer-head", "--quantity entropy"),
        ("token-matrix", "--remove-bos"),
        ("relevancy", "--original"),
        ("diff", "--second-head 2"),
    ] {
        draw(&folder, &format!("--view {view} {extra} --token 1 --size 500x400 --out {view}.png"));
        let picture = pixels(&folder.path(format!("{view}.png")));
        assert_eq!(picture.dimensions(), (500, 400));
        let first = picture.get_pixel(0, 0);
        let drawn = picture.pixels().filter(|pixel| *pixel != first).count();
        assert!(drawn > 500 * 400 / 8, "{view}: only {drawn} pixels differ from the background");
    }
}

#[test]
fn a_pattern_draws_one_figure_for_each_token_layer_and_head() {
    let folder = Folder::with_trace();
    draw(&folder, "--token 1-2 --layer 3 --head max --size 64x64 --out t{token}-l{layer}.png");
    for name in ["t1-l3.png", "t2-l3.png"] {
        assert!(folder.path(name).exists(), "{name}");
    }
    assert_ne!(pixels(&folder.path("t1-l3.png")), pixels(&folder.path("t2-l3.png")));
    draw(&folder, "--token 1 --layer 0 --size 64x64 --out h{head}.png");
    assert_eq!((0..6).filter(|h| folder.path(format!("h{h}.png")).exists()).count(), 6);
}

#[test]
fn matrices_are_vectors_and_pictures_are_embedded() {
    let folder = Folder::with_trace();
    let svg = |arguments: &str, name: &str| {
        draw(&folder, &format!("{arguments} --token 1 --size 800x600 --out {name}"));
        std::fs::read_to_string(folder.path(name)).unwrap()
    };
    let matrix = svg("--view layer-head", "m.svg");
    assert_eq!(matrix.matches("<title>").count(), 1 + 4 * 6);
    assert!(!matrix.contains("<image"), "a matrix needs no pixels");
    assert!(matrix.contains(">head →</text>") && matrix.contains("linearGradient"));
    let overlay = svg("--view overlay", "o.svg");
    assert_eq!(overlay.matches("data:image/png;base64,").count(), 1);
    assert!(overlay.contains("answer token 1"));
    let heads = svg("--view heads --layer 1", "h.svg");
    assert_eq!(heads.matches("<image").count(), 6);
    // Text is escaped: the stop token's name is markup otherwise.
    draw(&folder, "--view layer-head --token 4 --size 800x600 --out stop.svg");
    let stop = std::fs::read_to_string(folder.path("stop.svg")).unwrap();
    assert!(stop.contains("&lt;/s&gt;") && !stop.contains("</s>"));
}

#[test]
fn the_bench_reports_numbers_and_ratios() {
    let folder = Folder::with_trace();
    let output = folder.run("bench --geometry small --size 160x120 --frames 5 --json");
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["baseline_ms"].as_f64().unwrap() > 0.0);
    assert!(!report["adapter"].as_str().unwrap().is_empty());
    for name in ["scrub_layer_head", "scrub_token", "wall"] {
        assert!(report["ratios"][name].as_f64().unwrap() > 0.0, "{name}");
        assert!(report["frames"][name]["cpu_ms"].as_f64().unwrap() > 0.0, "{name}");
    }
    assert_eq!(report["frames"]["scrub_layer_head"]["page_uploads"], 0.0);
    assert_eq!(report["frames"]["scrub_token"]["page_uploads"], 1.0);
    let output = folder.run("bench --geometry none");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("llava-1.5-7b"));
}

/// The traces of format 2.0 in a folder of their own.
fn captured() -> Folder {
    let folder = Folder::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces2");
    for name in ["tiles", "frames", "hybrid", "unplaced"] {
        let name = format!("{name}.vlmtrace");
        std::fs::copy(from.join(&name), folder.path(&name)).unwrap();
    }
    folder
}

#[test]
fn one_view_a_later_picture_and_a_layer_by_its_number_are_drawn() {
    let folder = captured();
    folder.ok("render tiles.vlmtrace --out tiles.png");
    folder.ok("render tiles.vlmtrace --span 2 --out thumbnail.png");
    folder.ok("render frames.vlmtrace --out first.png");
    folder.ok("render frames.vlmtrace --picture 2 --out third.png");
    folder.ok("render hybrid.vlmtrace --layer 3 --out layer.png");
    let differ = |one: &str, other: &str| {
        assert_ne!(pixels(&folder.path(one)), pixels(&folder.path(other)), "{one}, {other}");
    };
    differ("tiles.png", "thumbnail.png");
    differ("first.png", "third.png");
    for (arguments, expected) in [
        (
            "render tiles.vlmtrace --span 7",
            "view 7 does not belong to picture 0, which has the views 0-2",
        ),
        ("render frames.vlmtrace --picture 3", "picture 3 does not exist"),
        ("render hybrid.vlmtrace --layer 2", "layer 2 of this model has no attention (linear)"),
        ("render hybrid.vlmtrace --layer 4", "layer 4 does not exist"),
        ("export hybrid.vlmtrace --layer 2", "Layers with attention: 1,3"),
        ("render unplaced.vlmtrace", "latents of a resampler"),
    ] {
        let output = folder.run(&format!("{arguments} --out no.png"));
        let error = stderr(&output);
        assert!(!output.status.success() && error.contains(expected), "{arguments}: {error}");
    }
}

#[test]
fn methods_that_need_no_model_work_on_traces_of_other_models() {
    let folder = captured();
    for name in ["tiles", "hybrid"] {
        let trace = folder.path(format!("{name}.vlmtrace"));
        let output = folder
            .run(&format!("relevancy {} --methods attention,no-bos,heads,random", trace.display()));
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let maps = vlmscope::trace::Trace::open(&trace).unwrap();
        assert_eq!(maps.map_names().len(), 4, "{:?}", maps.map_names());
    }
}
