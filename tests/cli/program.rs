//! The program as a user runs it: the built-in model answers, files are written, errors name the remedy.

use crate::support::{Folder, PROGRAM, stderr, stdout};
use serde_json::Value;
use std::process::Command;
use vlmscope::model::builtin;
use vlmscope::trace::{AnswerIndex, Trace};

/// Runs in a folder of damaged files and expects an exit code and words of the message; no file may be left.
fn bad(args: &[&str], code: i32, words: &[&str]) {
    let folder = Folder::new();
    folder.write("note.txt", "not a picture");
    folder.write("empty.jsonl", "");
    folder.write("broken.jsonl", "{\"question\": 1}\n");
    folder.write("cut.vlmtrace", [8, 0, 0, 0]);
    let before = folder.names();
    folder.refused(args, code, words);
    assert_eq!(folder.names(), before, "{args:?} left a file");
}

/// Shape and numbers of a .npy file, read by the format's description.
fn read_npy(bytes: &[u8]) -> (Vec<usize>, Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(start % 64, 0, "numbers are aligned");
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': ("), "{header}");
    let axes = header.split(['(', ')']).nth(1).unwrap();
    let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let axes: Vec<usize> = axes.map(|axis| axis.parse().unwrap()).collect();
    let numbers = bytes[start..].chunks_exact(4);
    let values: Vec<f32> = numbers.map(|n| f32::from_le_bytes(n.try_into().unwrap())).collect();
    assert_eq!(axes.iter().product::<usize>(), values.len());
    (axes, values)
}

/// The first suggested question of the first sample, and its answer.
fn first_question() -> (String, String) {
    let samples = builtin::samples().unwrap();
    let question = &samples[0].questions[0];
    (question.text.clone(), question.answer.clone())
}

#[test]
fn every_suggested_question_is_answered_as_promised() {
    let folder = Folder::new();
    let samples = builtin::samples().unwrap();
    assert!(samples.len() >= 8, "there are only {} sample pictures", samples.len());
    let mut lines = String::new();
    let mut expected = Vec::new();
    for sample in &samples {
        let bytes = builtin::sample_picture(&sample.file).unwrap();
        std::fs::write(folder.path(&sample.file), bytes).unwrap();
        for question in &sample.questions {
            let id = format!("q{}", expected.len());
            lines +=
                &serde_json::json!({"picture": sample.file, "question": question.text, "id": id})
                    .to_string();
            lines.push('\n');
            expected.push((id, question.text.clone(), question.answer.clone()));
        }
    }
    folder.write("all.jsonl", lines);
    folder.prints(&["ask", "--batch", "all.jsonl", "--out", "traces", "--no-overlay"]);
    for (id, question, answer) in expected {
        let trace = Trace::open(&folder.path(format!("traces/{id}.vlmtrace"))).unwrap();
        assert_eq!(trace.meta().answer, answer, "{question}");
    }
}

#[test]
fn a_question_leaves_answer_trace_and_overlay() {
    let folder = Folder::new();
    let (question, answer) = first_question();
    let printed = folder.prints(&["ask", "sample:1", &question]);
    assert_eq!(printed.trim_end(), answer);
    let files = folder.names();
    assert_eq!(files.len(), 2, "{files:?}");
    let trace_name = files.iter().find(|name| name.ends_with(".vlmtrace")).unwrap();
    let overlay = folder.path(trace_name).with_extension("overlay.png");
    let overlay = image::open(overlay).unwrap();
    assert_eq!(overlay.width().max(overlay.height()), 896);
    // Asked again without --out, the first answer stays.
    folder.prints(&["ask", "sample:1", &question, "--no-overlay"]);
    assert_eq!(folder.names().len(), 3);

    let info: Value = folder.json(&["inspect", trace_name, "--json"]);
    assert_eq!(info["answer"], answer);
    assert!(folder.prints(&["inspect", trace_name]).contains("most on the picture"));
}

#[cfg(unix)]
#[test]
fn a_library_may_be_named_from_where_one_stands() {
    let folder = Folder::new();
    let found = vlmscope::model::runtime_candidates(None);
    let good_one = found.iter().find(|candidate| candidate.version.is_ok()).unwrap();
    std::os::unix::fs::symlink(&good_one.path, folder.path("libgood.so")).unwrap();
    let (question, answer) = first_question();
    let args = ["ask", "sample:1", &question, "--no-overlay", "--ort-lib", "libgood.so"];
    assert_eq!(folder.prints(&args).trim_end(), answer);
}

#[test]
fn questions_asked_at_the_same_time_keep_all_their_answers() {
    let folder = Folder::new();
    let (question, _) = first_question();
    let running: Vec<_> = (0..4)
        .map(|_| {
            Command::new(PROGRAM)
                .current_dir(folder.root())
                .args(["ask", "sample:1", &question, "--no-overlay", "--threads", "1"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let files = folder.names();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        Trace::open(&folder.path(file)).unwrap();
    }
}

#[test]
fn a_picture_is_never_written_over() {
    let folder = Folder::new();
    let sample = &builtin::samples().unwrap()[0];
    let bytes = builtin::sample_picture(&sample.file).unwrap();
    folder.write("a.png", bytes);
    folder.prints(&["ask", "a.png", &sample.questions[0].text]);
    assert_eq!(folder.read("a.png"), bytes);
    assert_eq!(folder.names(), ["a.overlay.png", "a.png", "a.vlmtrace"]);
}

#[test]
fn json_names_every_token_and_a_scored_answer_has_the_same_log_probabilities() {
    let folder = Folder::new();
    let (question, answer) = first_question();
    let ask = |out: &str, extra: &[&str]| -> Value {
        let mut args = vec!["ask", "sample:1", &question, "--json", "--no-overlay", "--out", out];
        args.extend(extra);
        folder.json(&args)
    };
    let generated = ask("a.vlmtrace", &[]);
    let scored = ask("b.vlmtrace", &["--answer", &answer]);
    for field in ["answer", "tokens", "prompt_tokens", "spans", "trace", "timings_s", "provider"] {
        assert!(!generated[field].is_null(), "{field} is missing");
    }
    let logprobs = |value: &Value| -> Vec<f64> {
        value["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["logprob"].as_f64().unwrap())
            .collect()
    };
    let (left, right) = (logprobs(&generated), logprobs(&scored));
    assert_eq!(left.len(), right.len());
    // One forward of the whole answer against token by token: f32 rounding only.
    for (left, right) in left.iter().zip(&right) {
        assert!((left - right).abs() < 1e-4, "{left} against {right}");
    }
    let wrong = ask("c.vlmtrace", &["--answer", "There is no such thing."]);
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    assert!(sum(&logprobs(&wrong)) < sum(&left) - 1.0, "a wrong answer must score lower");
}

#[test]
fn relevancy_is_added_to_a_trace_printed_drawn_and_exported() {
    let folder = Folder::new();
    let (question, answer) = first_question();
    let run = |args: &[&str]| folder.prints(args);
    run(&["ask", "sample:1", &question, "--no-overlay", "--out", "a"]);
    run(&[
        "ask",
        "sample:1",
        &question,
        "--no-overlay",
        "--out",
        "b",
        "--relevancy",
        "llm,vit,all",
    ]);
    let printed = run(&["relevancy", "a.vlmtrace"]);
    assert!(printed.starts_with("word"), "{printed}");
    let json: Value = serde_json::from_str(&run(&[
        "relevancy",
        "a.vlmtrace",
        "--methods",
        "vit,all,gradient_attention,llm",
        "--json",
    ]))
    .unwrap();
    let maps = serde_json::json!(["relevancy.all", "relevancy.llm", "relevancy.vit"]);
    assert_eq!(json["maps"], maps);
    let words = json["words"].as_array().unwrap();
    let spoken: Vec<&str> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
    assert!(answer.starts_with(spoken[0]), "{spoken:?} of {answer}");
    for word in words {
        let shares = word["reliance"].as_object().unwrap();
        let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{word}");
    }
    for field in ["open_s", "prompt_s", "rows_s", "vision_s", "recursion_s", "total_s"] {
        assert!(json["timings_s"][field].as_f64().unwrap() > 0.0, "{field}");
    }
    // Right after the question or from the file: the same maps.
    let (a, b) = (folder.path("a.vlmtrace"), folder.path("b.vlmtrace"));
    let (a, b) = (Trace::open(&a).unwrap(), Trace::open(&b).unwrap());
    for map in ["relevancy.llm", "relevancy.vit", "relevancy.all"] {
        let (left, right) =
            (a.map_row(map, AnswerIndex(1)).unwrap(), b.map_row(map, AnswerIndex(1)).unwrap());
        for (left, right) in left.iter().zip(right.iter()) {
            assert!((left - right).abs() < 1e-5, "{map}: {left} against {right}");
        }
    }
    run(&["render", "a.vlmtrace", "--view", "relevancy", "--token", "1", "--out", "r.png"]);
    run(&["export", "a.vlmtrace", "--map", "relevancy.all", "--token", "1", "--out", "m.csv"]);

    let every = ["--token", "1", "--layer", "all", "--head", "all", "--out", "g.npy"];
    run(&[&["export", "a.vlmtrace", "--map", "gradient_attention"][..], &every].concat());
    let bytes = folder.read("g.npy");
    let (axes_read, values) = read_npy(&bytes);
    let (shape, span) = (a.shape(), a.meta().spans[0].clone());
    let axes = [shape.layers, shape.heads, span.rows as usize, span.columns as usize];
    assert_eq!(axes_read, axes);
    let gradients = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    let gradients = gradients.pages_as_attention("gradient_attention").unwrap();
    let row = gradients.row_of_answer(AnswerIndex(1)).unwrap();
    let last = gradients.weights(row, shape.layers - 1, shape.heads - 1).unwrap();
    assert_eq!(values[values.len() - span.patches()..], last[span.extent()]);

    // Gradient × attention has layers and heads: every view of attention shows it.
    for view in ["wall", "heads", "layer-head", "token-matrix", "overlay"] {
        let draw = |map: &str, out: &str| {
            run(&[
                "render",
                "a.vlmtrace",
                "--view",
                view,
                "--map",
                map,
                "--token",
                "1",
                "--out",
                out,
            ]);
            image::open(folder.path(out)).unwrap().to_rgb8()
        };
        let (gradient, attention) =
            (draw("gradient_attention", "g.png"), draw("attention", "h.png"));
        assert!(gradient != attention, "{view}");
    }

    let old = folder.read("b.vlmtrace");
    let refused = folder.run(&["relevancy", "b.vlmtrace", "--memory", "0.000001"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("needs about"), "{}", stderr(&refused));
    let refused = folder.run(&["relevancy", "b.vlmtrace", "--token", "77"]);
    assert_eq!(refused.status.code(), Some(2));
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bundles/gqa");
    let refused = folder.run(&["relevancy", "b.vlmtrace", "--model", other]);
    assert!(stderr(&refused).contains("was made with the model"), "{}", stderr(&refused));
    assert!(folder.read("b.vlmtrace") == old, "the file stays");
}

#[test]
fn exported_numbers_are_those_of_the_trace() {
    let folder = Folder::new();
    let (question, _) = first_question();
    folder.prints(&["ask", "sample:1", &question, "--no-overlay", "--out", "a"]);
    let export = |extra: &[&str]| {
        let mut args = vec!["export", "a.vlmtrace", "--token", "2"];
        args.extend(extra);
        folder.prints(&args)
    };
    export(&["--layer", "1", "--head", "3", "--out", "one.json"]);
    export(&["--layer", "all", "--head", "all", "--keys", "all", "--out", "all.npy"]);
    let csv = export(&["--layer", "1", "--head", "3", "--out", "-"]);

    let trace = Trace::open(&folder.path("a.vlmtrace")).unwrap();
    let row = trace.row_of_answer(AnswerIndex(2)).unwrap();
    let span = &trace.meta().spans[0];
    let weights = trace.weights(row, 1, 3).unwrap();
    let json: Value = serde_json::from_slice(&folder.read("one.json")).unwrap();
    let exported: Vec<f32> = serde_json::from_value(json["values"].clone()).unwrap();
    assert_eq!(exported, weights[span.extent()]);
    assert_eq!(json["shape"], serde_json::json!([span.rows, span.columns]));
    let last: f32 = csv.lines().last().unwrap().rsplit(',').next().unwrap().parse().unwrap();
    assert_eq!(last, weights[span.extent().end - 1]);
    assert_eq!(csv.lines().count(), span.patches() + 1);

    // An object of a state file, and the same box as a flag.
    folder.write("fox.toml", "object = 0\n[[objects]]\nname = \"fox\"\npicture = 0\n[[objects.parts]]\noutline = { shape = \"rectangle\", rect = { x = 20.0, y = 30.0, width = 60.0, height = 50.0 } }\n");
    let quantity = ["--quantity", "inside", "--out", "-"];
    let by_name = export(&[&["--state", "fox.toml", "--object", "fox"][..], &quantity].concat());
    let by_box = export(&[&["--box", "20,30,80,80"][..], &quantity].concat());
    assert_eq!(by_name, by_box);
    assert!(by_name.lines().count() > 8);

    let bytes = folder.read("all.npy");
    let (axes_read, values) = read_npy(&bytes);
    let shape = trace.shape();
    assert_eq!(axes_read, [shape.layers, shape.heads, shape.positions]);
    let start = (shape.heads + 3) * shape.positions;
    assert_eq!(values[start..start + shape.positions], weights);
}

#[test]
fn a_batch_goes_on_where_it_stopped_and_names_what_failed() {
    let folder = Folder::new();
    let (question, answer) = first_question();
    let sample = &builtin::samples().unwrap()[0];
    folder.write("a.png", builtin::sample_picture(&sample.file).unwrap());
    folder.write("bad.png", "not a picture");
    let line = |id: &str, picture: &str| {
        serde_json::json!({"picture": picture, "question": question, "id": id}).to_string()
    };
    let batch = [line("one", "a.png"), line("broken", "bad.png"), line("two", "a.png")].join("\n");
    folder.write("q.jsonl", batch);
    let args = ["ask", "--batch", "q.jsonl", "--out", "t", "--json", "--no-overlay"];
    let first = folder.run(&args);
    assert_eq!(first.status.code(), Some(1));
    assert!(
        stderr(&first).contains("bad.png")
            && stderr(&first).contains("2 answered, 0 already there, 1 failed"),
        "{}",
        stderr(&first)
    );
    let answers: Vec<Value> =
        stdout(&first).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A line for each row, in the order of the data set; the one that failed says why.
    assert_eq!(answers.len(), 3);
    assert!([0, 2].iter().all(|&row: &usize| answers[row]["answer"] == answer));
    assert!(answers[1]["error"].as_str().is_some_and(|error| error.contains("bad.png")));
    std::fs::remove_file(folder.path("t/two.vlmtrace")).unwrap();
    let again = folder.run(&args);
    assert!(stderr(&again).contains("1 answered, 1 already there, 1 failed"), "{}", stderr(&again));
}

#[test]
fn wrong_usage_is_code_2_and_failure_code_1() {
    bad(&["ask", "sample:1"], 2, &["QUESTION"]);
    bad(&["ask", "sample:99", "What?"], 2, &["sample:99", "sample:1"]);
    bad(&["ask", "sample:1", "What?", "--temperature", "3"], 2, &["between 0 and 1"]);
    bad(&["ask", "sample:1", "What?", "--top-p", "0"], 2, &["--top-p", "more than 0"]);
    bad(&["ask", "sample:1", "What?", "--top-p", "-1"], 2, &["between 0 and 1"]);
    bad(&["ask", "sample:1", "What?", "--max-new-tokens", "-1"], 2, &["--max-new-tokens", "-1"]);
    bad(&["ask", "sample:1", "What?", "--threads", "0"], 2, &["from 1 to"]);
    bad(&["export", "a.vlmtrace", "--out", "a.npy", "--token", "-1"], 2, &["--token", "-1"]);
    bad(&["export", "a.vlmtrace", "--out", "a.npy", "--layer", "-1"], 2, &["--layer", "-1"]);
    bad(&["ask", "sample:1", "What?", "--out", "a.png"], 2, &[".vlmtrace"]);
    bad(
        &["ask", "--batch", "empty.jsonl", "--out", "t"],
        2,
        &["empty.jsonl", "no rows with questions"],
    );
    bad(&["ask", "--batch", "broken.jsonl", "--out", "t"], 1, &["broken.jsonl line 1"]);
    bad(&["ask", "missing.png", "What?"], 1, &["missing.png"]);
    bad(&["ask", "note.txt", "What?"], 1, &["note.txt"]);
    bad(&["ask", "sample:1", ""], 1, &["question"]);
    bad(&["ask", "sample:1", "What?", "--model", "nowhere"], 1, &["nowhere"]);
    bad(
        &["ask", "sample:1", "What?", "--out", "no/such/folder.vlmtrace"],
        1,
        &["no/such", "Create the folder"],
    );
    bad(&["ask", "sample:1", "What?", "--ort-lib", "note.txt"], 1, &["note.txt"]);
    bad(&["inspect", "missing.vlmtrace"], 1, &["missing.vlmtrace"]);
    bad(&["inspect", "cut.vlmtrace"], 1, &["cut.vlmtrace"]);
    bad(&["inspect", "note.txt"], 1, &["note.txt"]);
    bad(&["inspect", "."], 1, &["manifest.json"]);
    bad(&["export", "cut.vlmtrace", "--out", "a.npy"], 1, &["cut.vlmtrace"]);
}

#[test]
fn export_names_what_does_not_exist() {
    let folder = Folder::new();
    folder.prints(&["ask", "sample:1", &first_question().0, "--no-overlay", "--out", "a"]);
    let fails = |extra: &[&str], words: &[&str]| {
        let mut args = vec!["export", "a.vlmtrace"];
        args.extend(extra);
        let output = folder.run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(
            words.iter().all(|word| stderr(&output).contains(word)),
            "{args:?}: {}",
            stderr(&output)
        );
    };
    fails(&["--layer", "40", "--out", "a.npy"], &["layer 40", "0 to"]);
    fails(&["--head", "best", "--out", "a.npy"], &["best"]);
    fails(&["--token", "400", "--out", "a.npy"], &["answer token 400"]);
    fails(&["--query", "0", "--out", "a.npy"], &["position 0 was not kept", "--rows all"]);
    fails(&["--map", "relevancy.llm", "--out", "a.npy"], &["a.vlmtrace", "no map `relevancy.llm`"]);
    fails(&["--out", "a.xyz"], &["a.xyz", ".npy"]);
    assert_eq!(folder.names(), ["a.vlmtrace"]);
}

/// A full disk: the limit on a file's size lets the write fail half-way, as a full disk does.
#[cfg(unix)]
#[test]
fn a_write_that_fails_half_way_leaves_the_old_trace() {
    let folder = Folder::new();
    let (question, _) = first_question();
    folder.prints(&["ask", "sample:1", &question, "--no-overlay", "--out", "a"]);
    let before = folder.read("a.vlmtrace");
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" ask sample:1 \"$1\" --no-overlay --rows all --out a";
    let output = Command::new("bash")
        .current_dir(folder.root())
        .args(["-c", script, PROGRAM, &question])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(
        message.contains("cannot write the trace a.vlmtrace")
            && message.contains("bytes are needed"),
        "{message}"
    );
    assert_eq!(folder.names(), ["a.vlmtrace"]);
    assert_eq!(folder.read("a.vlmtrace"), before);
}

#[test]
fn doctor_finds_what_the_other_tests_need() {
    let folder = Folder::new();
    let report = folder.json(&["doctor", "--json"]);
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.len() >= 4 && findings.iter().all(|finding| finding["ok"] == true),
        "{findings:?}"
    );
}
