//! Bad bundles, runtimes, pictures and questions: one paragraph that names the file, the cause and
//! the fix; never a panic.

use crate::support::{BundleCopy, Fixture, explains, request};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskRequest, Bundle, Engine, EngineOptions, ModelError, Picture, Rows, build_prompt,
};

#[test]
fn an_intact_copy_opens_and_verifies() {
    let copy = BundleCopy::new();
    let bundle = copy.open().unwrap();
    let mut last = (0, 1);
    bundle.verify(&mut |done, total| last = (done, total)).unwrap();
    assert_eq!(last.0, last.1, "every byte was hashed");
    copy.load().unwrap();
}

#[test]
fn missing_files_are_named() {
    explains(Bundle::open(Path::new("/no/such/bundle")), &["/no/such/bundle", "no such folder"]);
    let empty = tempfile::tempdir().unwrap();
    explains(Bundle::open(empty.path()), &["not a vlmscope bundle", "manifest.json", "export.py"]);
    let copy = BundleCopy::new();
    explains(Bundle::open(&copy.path("manifest.json")), &["it is a file"]);
    for name in ["decoder.onnx", "decoder.data", "tokenizer.json"] {
        let copy = BundleCopy::new();
        std::fs::remove_file(copy.path(name)).unwrap();
        explains(copy.open(), &[name, "cannot read", "export.py"]);
    }
}

#[test]
fn cut_and_changed_files_are_named() {
    for name in ["decoder.onnx", "vision.data", "tokenizer.json"] {
        let copy = BundleCopy::new();
        let bytes = std::fs::read(copy.path(name)).unwrap();
        std::fs::write(copy.path(name), &bytes[..bytes.len() / 2]).unwrap();
        explains(copy.open(), &[name, "bytes", "cut"]);
    }
    let flip = |copy: &BundleCopy, name: &str| {
        let mut bytes = std::fs::read(copy.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(copy.path(name), bytes).unwrap();
    };
    for name in ["embed.onnx", "tokenizer.json"] {
        let copy = BundleCopy::new();
        flip(&copy, name);
        explains(copy.open(), &[name, "has changed", "SHA-256"]);
    }
    // Weights are hashed before the graphs that read them are loaded.
    for name in ["decoder.data", "vision.data", "embed.data"] {
        let copy = BundleCopy::new();
        flip(&copy, name);
        explains(copy.open().unwrap().verify(&mut |_, _| {}), &[name, "has changed"]);
        explains(copy.load(), &[name, "has changed"]);
    }
}

#[test]
fn graphs_and_tokenizers_that_are_too_large_are_refused_before_they_are_read() {
    // Sparse files: their size costs nothing.
    for (name, bytes) in [("decoder.onnx", 6_u64 << 30), ("tokenizer.json", 65 << 20)] {
        let copy =
            BundleCopy::new().edit(|manifest| manifest["files"][name]["bytes"] = json!(bytes));
        let file = std::fs::File::options().write(true).open(copy.path(name)).unwrap();
        file.set_len(bytes).unwrap();
        explains(copy.open(), &[name, &bytes.to_string(), "a file of its kind has at most"]);
    }
}

#[test]
fn weights_of_a_large_model_are_hashed_once_and_again_when_they_change() {
    // Further weights of 70 MB.
    const BYTES: usize = 70 << 20;
    let copy = BundleCopy::new().replace("more.data", &vec![0; BYTES]).edit(|manifest| {
        manifest["files"]["more.data"]["role"] = json!("weights");
    });
    let bundle = copy.open().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let hashed = || {
        let mut bytes = 0;
        let verified = bundle.verify_weights(Some(cache.path()), &mut |done, _| bytes = done);
        verified.map(|()| bytes)
    };
    assert!(hashed().unwrap() > BYTES as u64);
    assert_eq!(hashed().unwrap(), 0);
    let mut bytes = vec![0; BYTES];
    bytes[BYTES / 2] = 1;
    std::fs::write(copy.path("more.data"), bytes).unwrap();
    explains(hashed(), &["more.data", "has changed"]);
    explains(hashed(), &["more.data", "has changed"]);
    std::fs::write(copy.path("more.data"), vec![0; BYTES]).unwrap();
    assert_eq!(hashed().unwrap(), BYTES as u64, "the other weights are as they were");
}

#[test]
fn a_graph_that_is_no_graph_or_another_graph_is_named() {
    let copy = BundleCopy::new().replace("decoder.onnx", b"this is not a graph");
    explains(copy.load(), &["decoder.onnx", "is not an ONNX graph"]);
    // A good graph with other inputs and outputs.
    let other = std::fs::read(Fixture::of("gqa").bundle().join("embed.onnx")).unwrap();
    let copy = BundleCopy::new().replace("vision.onnx", &other).edit(|manifest| {
        manifest["graphs"]["vision"]["data"] = json!(["embed.data"]);
    });
    explains(copy.load(), &["vision.onnx", "pixel_values", "manifest"]);
    // The manifest's own numbers disagree with the graph, and are made to agree among themselves.
    let copy = BundleCopy::new().edit(|manifest| {
        manifest["text"]["vocab"] = json!(1_000_000);
        for output in manifest["graphs"]["decoder"]["outputs"].as_array_mut().unwrap() {
            if output["name"] == "logits" {
                output["shape"][2] = json!(1_000_000);
            }
        }
    });
    explains(copy.load(), &["decoder.onnx", "output `logits`", "1000000"]);
}

#[test]
fn manifests_that_make_no_sense_are_refused_by_field() {
    let cases: &[(&str, Value, &[&str])] = &[
        ("/format", json!("something else"), &["format", "another kind of file"]),
        ("/format_version", json!("2.0"), &["2.0", "1.0", "Update vlmscope"]),
        ("/format_version", json!("one"), &["format_version", "is \"one\""]),
        ("/format_version", json!(99), &["format_version", "is 99,"]),
        ("/text/layers", json!(0), &["text.layers"]),
        ("/text/layers", json!(1_u64 << 24), &["text.layers", "more than"]),
        ("/vision/layers_with_gradient", json!(1_u64 << 40), &["vision.layers_with_gradient"]),
        ("/text/layers", json!(-1), &["manifest.json", "1.0"]),
        ("/text/heads", json!(9), &["text.kv_heads", "does not divide"]),
        ("/text/hidden", json!(65), &["image_features", "65"]),
        ("/text/eos_ids", json!([]), &["text.eos_ids", "ever end"]),
        ("/text/eos_ids", json!([u32::MAX]), &["text.eos_ids"]),
        ("/text/max_positions", json!(1_u64 << 40), &["text.max_positions"]),
        ("/vision/grid", json!([4, 5]), &["vision.grid", "patches of"]),
        ("/vision/patch_size", json!(8), &["vision.grid", "patches of 8"]),
        ("/vision/patches", json!(7), &["vision.patches"]),
        ("/vision/features", json!(99), &["vision.features"]),
        ("/vision/image_size", json!(112), &["vision.grid", "112 pixels"]),
        ("/preprocess/resize", json!({"height": 112, "width": 112}), &["preprocess", "112"]),
        ("/attention/scale", json!(1000.0), &["attention.scale", "power of two"]),
        ("/preprocess/std", json!([1.0, 0.0, 1.0]), &["preprocess"]),
        ("/preprocess/resize", json!({"height": 0, "width": 0}), &["preprocess.resize"]),
        ("/graphs/decoder/outputs/0/name", json!("lugits"), &["logits", "missing"]),
        ("/graphs/decoder/inputs/0/dtype", json!("f16"), &["inputs_embeds"]),
        ("/files/tokenizer.json/role", json!("weights"), &["tokenizer"]),
        ("/files/tokenizer.json/sha256", json!("beef"), &["SHA-256"]),
        ("/prompt/image_token", json!(""), &["prompt.image_token"]),
    ];
    for (pointer, value, words) in cases {
        let copy = BundleCopy::new().edit(|manifest| {
            *manifest.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) =
                value.clone();
        });
        explains(copy.open(), words);
    }
    for text in ["", "{", "[]", "null", "{\"format\": 3}"] {
        let copy = BundleCopy::new();
        std::fs::write(copy.path("manifest.json"), text).unwrap();
        explains(copy.open(), &["manifest.json"]);
    }
}

#[test]
fn attention_that_does_not_add_up_is_refused_before_it_is_kept() {
    for scale in [2048.0, 8192.0] {
        let copy = BundleCopy::new().edit(|manifest| manifest["attention"]["scale"] = json!(scale));
        let asked =
            request(Some(crate::support::picture("pictures/rgba.png")), &["What?".to_owned()]);
        let result = copy.load().unwrap().ask(&asked, &CancelToken::new(), &mut |_| {});
        explains(result, &["manifest.json", "attention.scale", "adds up to", "export.py"]);
    }
}

#[test]
fn no_path_leaves_the_folder() {
    for name in ["../decoder.onnx", "/etc/passwd", "sub/decoder.onnx", "C:\\decoder.onnx", "..", ""]
    {
        let copy =
            BundleCopy::new().edit(|manifest| manifest["graphs"]["decoder"]["file"] = json!(name));
        let error = explains(copy.open(), &["manifest.json", "graphs.decoder.file"]);
        assert!(matches!(error, ModelError::OutsideBundle { .. }), "{error}");
        let copy = BundleCopy::new().edit(|manifest| {
            let entry = manifest["files"]["decoder.onnx"].clone();
            manifest["files"].as_object_mut().unwrap().insert(name.to_owned(), entry);
        });
        explains(copy.open(), &["manifest.json", "its own folder"]);
    }
    #[cfg(unix)]
    {
        let copy = BundleCopy::new();
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("decoder.onnx");
        std::fs::rename(copy.path("decoder.onnx"), &target).unwrap();
        std::os::unix::fs::symlink(&target, copy.path("decoder.onnx")).unwrap();
        explains(copy.open(), &["is a link to", "its own folder"]);
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let tokenizer = std::fs::read(Fixture::of("gqa").bundle().join("tokenizer.json")).unwrap();
    let tokenizer: Value = serde_json::from_slice(&tokenizer).unwrap();
    let copy = BundleCopy::new().replace("tokenizer.json", b"{}");
    explains(copy.open(), &["tokenizer.json", "not a tokenizer.json"]);

    let mut renamed = tokenizer.clone();
    for token in renamed["added_tokens"].as_array_mut().unwrap() {
        if token["content"] == "<image>" {
            token["content"] = json!("<picture>");
        }
    }
    let text = renamed.to_string().replace("\"<image>\"", "\"<picture>\"");
    let copy = BundleCopy::new().replace("tokenizer.json", text.as_bytes());
    explains(copy.open(), &["tokenizer.json", "<image>", "another model"]);

    let mut longer = tokenizer;
    longer["model"]["vocab"].as_object_mut().unwrap().insert("unheard-of".into(), json!(999_999));
    let copy = BundleCopy::new().replace("tokenizer.json", longer.to_string().as_bytes());
    explains(copy.open(), &["tokenizer.json", "999999", "vocabulary ends"]);
}

#[test]
fn a_broken_chat_template_is_named() {
    let cases: &[(&str, &[&str])] = &[
        ("{% for %}", &["chat template", "prompt.chat_template"]),
        ("{{ raise_exception('no pictures here') }}", &["no pictures here"]),
        ("{% for i in range(1000000000) %}{{ i }}{% endfor %}", &["chat template"]),
        ("{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", &["chat template"]),
        ("{{ messages[0]['role'] }}", &["0 places for 1 pictures", "<image>"]),
        ("<image> <image> {{ messages[0]['content'] }}", &["3 places for 1 pictures"]),
    ];
    for (template, words) in cases {
        let copy = BundleCopy::new()
            .edit(|manifest| manifest["prompt"]["chat_template"] = json!(template));
        let bundle = copy.open().unwrap();
        explains(build_prompt(&bundle, &[], "What is this?", 1), words);
    }
}

#[test]
fn a_runtime_that_cannot_be_used_is_named_with_the_command_that_helps() {
    // A process loads one runtime; each case gets its own.
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "hello").unwrap();
    let other = std::env::current_exe().unwrap();
    let bundle = Fixture::of("gqa").bundle();
    // A good library that was cut would end the process in the loader.
    let cut = folder.path().join("libonnxruntime.so.cut");
    let good = vlmscope::model::runtime_candidates(None);
    let good = good.iter().find(|candidate| candidate.version.is_ok()).unwrap();
    let bytes = std::fs::read(&good.path).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    for (path, words) in [
        (cut, ["libonnxruntime.so.cut", "is cut"]),
        (folder.path().join("missing.so"), ["missing.so", "no such file"]),
        (text, ["libonnxruntime.so", "is not the ONNX Runtime library"]),
        (other, ["is not the ONNX Runtime library", "pip download"]),
    ] {
        let options = EngineOptions {
            bundle: bundle.clone(),
            runtime: Some(path.clone()),
            ..EngineOptions::default()
        };
        // Another test of this process may have loaded the good one already: then it is used.
        if let Err(error) = Engine::load(&options, &mut |_| {}).map(|_| ()) {
            explains::<()>(Err(error), &[words[0], words[1], "pip download", "scripts/run"]);
        }
        let found = vlmscope::model::runtime_candidates(Some(&path));
        assert!(found[0].version.is_err(), "{found:?}");
    }
}

#[test]
fn pictures_that_are_none_are_named() {
    explains(Picture::read(Path::new("/no/picture.png")), &["/no/picture.png", "cannot read"]);
    explains(Picture::read(Path::new("/")), &["it is a folder"]);
    #[cfg(unix)]
    explains(Picture::read(Path::new("/dev/zero")), &["/dev/zero", "it is a device"]);
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(vlmscope::model::MAX_PICTURE_BYTES + 1).unwrap();
    explains(Picture::read(large.path()), &["512 MB", "limit"]);
    let fixture = Fixture::of("gqa");
    let mut engine = fixture.engine();
    // Pillow refuses a truncated JPEG too; other decoders fill the missing part with grey.
    let mut jpeg = Vec::new();
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 3, y as u8 * 3, 7]))
        .write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg))
        .unwrap();
    jpeg.truncate(jpeg.len() * 2 / 3);
    let mut huge = Vec::new();
    huge.extend_from_slice(b"P6\n40000 40000\n255\n");
    for (bytes, words) in [
        (Vec::new(), ["nothing.png", "the file is empty"]),
        (b"hello".to_vec(), ["nothing.png", "PNG, JPEG"]),
        (jpeg, ["nothing.png", "the file is truncated"]),
        (huge_bmp(), ["40000 × 40000", "megapixels"]),
        (huge, ["nothing.png", "is not a picture"]),
    ] {
        let picture = Picture { name: "nothing.png".into(), bytes: Arc::from(bytes) };
        let asked = request(Some(picture), &["What is this?".to_owned()]);
        explains(engine.ask(&asked, &CancelToken::new(), &mut |_| {}), &words);
    }
}

/// The header of a bitmap of 40,000 × 40,000 pixels, and nothing behind it.
fn huge_bmp() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend_from_slice(&[0; 8]);
    for value in [54_u32, 40, 40_000, 40_000] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&[1, 0, 24, 0]);
    bytes.extend_from_slice(&[0; 24]);
    bytes
}

#[test]
fn questions_and_options_that_cannot_be_used_are_named() {
    let fixture = Fixture::of("gqa");
    let mut engine = fixture.engine();
    let mut ask = |asked: &AskRequest| {
        let mut notices = Vec::new();
        let result = engine.ask(asked, &CancelToken::new(), &mut |event| {
            if let vlmscope::model::AskEvent::Notice(notice) = event {
                notices.push(notice.text("pad it"));
            }
        });
        (result, notices)
    };
    let picture = || Some(crate::support::picture("pictures/rgba.png"));
    let of = |question: &str| request(picture(), &[question.to_owned()]);
    explains(ask(&of(" \n ")).0, &["question is empty"]);

    // The positions are those of the whole question.
    let (result, _) = ask(&of(&"why ".repeat(25_000)));
    let error = explains(result, &["positions", "256", "for the picture"]);
    let ModelError::PromptTooLong { positions, max_positions: 256, .. } = error else {
        panic!("{error}")
    };
    assert!(positions > 25_000, "{positions}");
    let (result, _) = ask(&of(&"a".repeat(100_001)));
    explains(result, &["100001 characters", "at most 100000", "Shorten"]);
    // Nothing is cut off: a long question is asked as it is if its words fit.
    let bundle = Bundle::open(&Fixture::of("tiny").bundle()).unwrap();
    let long = "a".repeat(2_000);
    assert_eq!(build_prompt(&bundle, &[], &long, 1).unwrap().question, long);

    for (change, words) in [
        (
            Box::new(|a: &mut AskRequest| a.options.sampling.temperature = -1.0)
                as Box<dyn Fn(&mut AskRequest)>,
            ["temperature", "-1"],
        ),
        (
            Box::new(|a: &mut AskRequest| a.options.sampling.temperature = f32::NAN),
            ["temperature", "NaN"],
        ),
        (Box::new(|a: &mut AskRequest| a.options.sampling.top_p = 0.0), ["top-p", "0"]),
        (
            Box::new(|a: &mut AskRequest| a.options.sampling.max_new_tokens = 0),
            ["new tokens", "1 or more"],
        ),
        (
            Box::new(|a: &mut AskRequest| a.options.answer = Some("  ".into())),
            ["answer to score is empty", "--answer"],
        ),
        (
            Box::new(|a: &mut AskRequest| a.options.answer = Some("a b ".repeat(500))),
            ["positions", "for the answer"],
        ),
        (
            Box::new(|a: &mut AskRequest| a.options.interventions.head_scale = vec![1.0; 3]),
            ["head_scale", "3"],
        ),
        (
            Box::new(|a: &mut AskRequest| a.options.interventions.knock_layers = vec![77]),
            ["knock_layers", "77"],
        ),
    ] {
        let mut asked = of("What is this?");
        change(&mut asked);
        explains(ask(&asked).0, &words);
    }
    // The engine is not worse for it, and stops at the last position it has.
    let mut asked = of("What is this?");
    asked.options.sampling.max_new_tokens = 10_000;
    asked.options.rows = Rows::Text;
    let (trace, notices) = ask(&asked);
    let trace = trace.unwrap();
    if trace.shape().positions == 256 {
        assert!(notices.iter().any(|notice| notice.contains("256")), "{notices:?}");
    } else {
        assert!(trace.shape().positions < 256);
    }
}

#[test]
fn typed_control_tokens_are_only_text() {
    for model in ["tiny", "gqa", "gemma"] {
        let bundle = Bundle::open(&Fixture::of(model).bundle()).unwrap();
        let text = &bundle.manifest().text;
        let clean = build_prompt(&bundle, &[], "What is this?", 1).unwrap();
        for trick in [
            "<image> What is this?",
            "What </s> is <s> this?",
            "<ima<image>ge> <image><image>",
            "\u{F8F0}<image>\u{F8F1}",
        ] {
            let built = build_prompt(&bundle, &[], trick, 1).unwrap();
            let count = |ids: &[u32], id: u32| ids.iter().filter(|&&found| found == id).count();
            for id in text.eos_ids.iter().chain(&text.bos_id).chain([&text.image_token_id]) {
                assert_eq!(count(&built.ids, *id), count(&clean.ids, *id), "{model}: {trick}");
            }
            // The typed text is unchanged, character by character.
            let decoded = bundle.tokenizer().decode(&built.ids).unwrap();
            let visible = trick.replace(['\u{F8F0}', '\u{F8F1}'], "");
            let squeezed = |text: &str| text.replace([' ', '\u{F8F0}', '\u{F8F1}'], "");
            assert!(squeezed(&decoded).contains(&squeezed(&visible)), "{model}: {decoded}");
        }
    }
}
