//! Files of the user: never lost, never half-written, never opened where they are none.

use crate::support::{Folder, PROGRAM, names, stderr, stdout, write_trace};
use serde_json::Value;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vlmscope::model::builtin;
use vlmscope::trace::Trace;

/// A folder with a sample picture as a.png.
struct Fixture(Folder);

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self(Folder::new());
        fixture.picture("a.png", 0);
        fixture
    }

    fn picture(&self, name: &str, sample: usize) {
        let sample = &builtin::samples().unwrap()[sample];
        self.write(name, builtin::sample_picture(&sample.file).unwrap());
    }

    fn bad(&self, args: &[&str], words: &[&str]) {
        let text = self.fails(args);
        for word in words {
            assert!(text.contains(word), "{args:?}: {word:?} is not in: {text}");
        }
    }

    /// Asks about a.png and writes s.vlmtrace.
    fn ask(&self) {
        self.ok(&["ask", "a.png", "Where is the balloon?", "--out", "s", "--no-overlay"]);
    }
}

#[test]
fn commands_that_add_maps_to_one_trace_at_once_all_succeed() {
    let fixture = Fixture::new();
    fixture.ask();
    let methods = ["rollout", "heads", "relative", "no-bos"];
    let children: Vec<_> = methods
        .iter()
        .map(|method| fixture.command(&["relevancy", "s.vlmtrace", "--methods", method]))
        .chain([fixture.command(&["occlusion", "s.vlmtrace", "--windows", "2"])])
        .map(|mut command| command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let trace = Trace::open(&fixture.path("s.vlmtrace")).unwrap();
    assert_eq!(trace.map_names().len(), methods.len() + 1, "{:?}", trace.map_names());
    assert_eq!(fixture.names(), ["a.png", "s.vlmtrace"]);
}

#[cfg(unix)]
#[test]
fn permissions_links_and_protection_are_respected() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let fixture = Fixture::new();
    let mode = |name: &str| fixture.path(name).metadata().unwrap().permissions().mode() & 0o777;
    let script = "umask 077; exec \"$0\" ask a.png 'Where is the balloon?' --out s";
    let asked = Command::new("bash")
        .args(["-c", script, PROGRAM])
        .current_dir(fixture.root())
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", stderr(&asked));
    assert_eq!([mode("s.vlmtrace"), mode("s.overlay.png")], [0o600; 2]);
    symlink("s.vlmtrace", fixture.path("link.vlmtrace")).unwrap();
    fixture.ok(&["relevancy", "link.vlmtrace", "--methods", "rollout"]);
    assert!(fixture.path("link.vlmtrace").is_symlink());
    assert_eq!(mode("s.vlmtrace"), 0o600);
    let trace = Trace::open(&fixture.path("s.vlmtrace")).unwrap();
    assert_eq!(trace.map_names().len(), 1);
    std::fs::set_permissions(fixture.path("s.vlmtrace"), PermissionsExt::from_mode(0o444)).unwrap();
    fixture.bad(&["relevancy", "s.vlmtrace", "--methods", "heads"], &["s.vlmtrace", "read-only"]);
}

#[test]
fn a_batch_answers_again_what_has_changed() {
    let fixture = Fixture::new();
    let line = |extra: &str| {
        format!(r#"{{"picture": "a.png", "question": "Where is the balloon?", "id": "a"{extra}}}"#)
    };
    fixture.write("q.jsonl", line(""));
    let base = ["ask", "--batch", "q.jsonl", "--out", "t"];
    let run = |extra: &[&str]| stderr(&fixture.ok(&[&base, extra].concat()));
    let answered = |said: String, why: &str| {
        assert!(said.contains("1 answered, 0 already there"), "{said}");
        assert!(said.contains(why), "{why}: {said}");
    };
    answered(run(&[]), "");
    assert!(run(&[]).contains("0 answered, 1 already there"));
    fixture.picture("a.png", 1);
    answered(run(&[]), "the picture changed");
    answered(run(&["--rows", "all"]), "--rows changed");
    answered(run(&[]), "--rows changed");
    answered(run(&["--preprocess", "pad"]), "--preprocess changed");
    answered(run(&["--vision-attention"]), "--vision-attention");
    answered(run(&["--seed", "5"]), "the sampling");
    fixture.write("q.jsonl", line(r#", "turns": [["What is this?", "A picture."]]"#));
    answered(run(&[]), "the earlier turns");
    fixture.write("q.jsonl", line(r#", "answer": "It is left.""#));
    answered(run(&[]), "the given answer");
    assert!(run(&[]).contains("1 already there"));
    // A trace that was cut, or has lost its overlay.
    std::fs::remove_file(fixture.path("t/a.overlay.png")).unwrap();
    run(&[]);
    assert_eq!(names(&fixture.path("t")), ["a.overlay.png", "a.vlmtrace"]);
    fixture.write("t/a.vlmtrace", "cut");
    answered(run(&[]), "not a complete");
}

#[test]
fn batches_from_windows_and_from_pope_and_llava_are_read() {
    let fixture = Fixture::new();
    let lines = [
        r#"{"question_id": 7, "image": "a.png", "text": "Is there a fox?", "label": "no"}"#,
        r#"{"question_id": "x", "image": "a.png", "text": "Is there a cat?", "category": "conv"}"#,
        r#"{"picture": "a.png", "question": "What is this?\tA\nline"}"#,
    ];
    fixture.write("q.jsonl", format!("\u{feff}{}\r\n", lines.join("\r\n")));
    let output = fixture.ok(&["ask", "--batch", "q.jsonl", "--out", "t", "--no-overlay"]);
    assert_eq!(names(&fixture.path("t")), ["0003-a.vlmtrace", "7.vlmtrace", "x.vlmtrace"]);
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().all(|line| line.split('\t').count() == 3), "{text}");
    fixture.write("q.jsonl", r#"{"image": "a.png", "prompt": "x"}"#);
    fixture.bad(&["ask", "--batch", "q.jsonl", "--out", "t"], &["q.jsonl line 1", "prompt"]);
}

#[test]
fn a_batch_takes_sample_pictures() {
    let fixture = Fixture::new();
    fixture.write("q.jsonl", r#"{"picture": "sample:7", "question": "What is this?"}"#);
    fixture.ok(&["ask", "--batch", "q.jsonl", "--out", "t", "--no-overlay"]);
    let meta = Trace::open(&fixture.path("t/0001-sample-7.vlmtrace")).unwrap().meta().clone();
    assert_eq!(meta.question, "What is this?");
    fixture.write("q.jsonl", r#"{"picture": "sample:700", "question": "What is this?"}"#);
    fixture.bad(&["ask", "--batch", "q.jsonl", "--out", "t"], &["sample:700", "failed"]);
}

#[test]
fn the_window_takes_several_files_and_names_the_one_that_is_missing() {
    let fixture = Fixture::new();
    fixture.bad(&["a.png", "b.vlmtrace"], &["b.vlmtrace is neither a file nor a command"]);
    fixture.bad(&["--adapter", "lava", "inspect", "x"], &["inspect is a command", "comes first"]);
}

#[test]
fn a_batch_folder_has_one_writer() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("t")).unwrap();
    fixture.write("q.jsonl", r#"{"picture": "a.png", "question": "x?"}"#);
    let _held = vlmscope::files::FileLock::acquire(&fixture.path("t/batch")).unwrap();
    let process = format!("process {}", std::process::id());
    fixture.bad(&["ask", "--batch", "q.jsonl", "--out", "t"], &[&process]);
}

/// A hostile trace: control sequences wherever a text is.
fn hostile(fixture: &Fixture) {
    const TEXT: &str = "\u{1b}[31mred\u{9b}2J\u{7}";
    let path = fixture.path("h.vlmtrace");
    write_trace(&path);
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let text = header["__metadata__"]["vlmtrace"].as_str().unwrap();
    let mut meta: Value = serde_json::from_str(text).unwrap();
    for field in ["question", "answer"] {
        meta[field] = TEXT.into();
    }
    meta["model"]["name"] = TEXT.into();
    meta["provenance"]["provider"] = TEXT.into();
    meta["provenance"]["writer"] = TEXT.into();
    meta["preprocess"][0]["file_name"] = TEXT.into();
    for token in meta["tokens"].as_array_mut().unwrap() {
        if token["kind"] == "answer" || token["kind"] == "question" {
            token["text"] = TEXT.into();
        }
    }
    header["__metadata__"]["vlmtrace"] = meta.to_string().into();
    let map = header.as_object_mut().unwrap().remove("map.synthetic").unwrap();
    header[format!("map.{TEXT}")] = map;
    let mut head = serde_json::to_vec(&header).unwrap();
    head.resize(head.len().next_multiple_of(8), b' ');
    let rest = &bytes[8 + length..];
    std::fs::write(&path, [&(head.len() as u64).to_le_bytes(), &head[..], rest].concat()).unwrap();
}

#[test]
fn no_control_character_of_a_trace_reaches_the_terminal() {
    let fixture = Fixture::new();
    hostile(&fixture);
    fixture.write(
        "h.toml",
        "trace = \"h.vlmtrace\"\n[[step]]\ncaption = \"a\\u001b[31m\\u009bb\"\nseconds = 1\n",
    );
    let commands: [&[&str]; 9] = [
        &["inspect", "h.vlmtrace"],
        &["inspect", "h.vlmtrace", "--json"],
        &["diff", "h.vlmtrace", "h.vlmtrace"],
        &["diff", "h.vlmtrace", "h.vlmtrace", "--json"],
        &["walkthrough", "check", "h.toml"],
        &["walkthrough", "check", "h.vlmtrace"],
        &["export", "h.vlmtrace", "--map", "map.none", "--out", "x.npy"],
        &["render", "h.vlmtrace", "--map", "map.none", "--out", "x.png"],
        &["relevancy", "h.vlmtrace"],
    ];
    for command in commands {
        let output = fixture.run(command);
        let said = stdout(&output) + &stderr(&output);
        let control = said.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(control, None, "{command:?}: {said:?}");
        if command.contains(&"--json") {
            serde_json::from_slice::<Value>(&output.stdout).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    let fixture = Fixture::new();
    fixture.ask();
    fixture.write("q.jsonl", r#"{"picture": "a.png", "question": "What?"}"#);
    let commands: [&[&str]; 10] = [
        &["ask", "a.png", "What?", "--json", "--no-overlay", "--out", "w"],
        &["occlusion", "s.vlmtrace", "--windows", "2", "--json"],
        &["score", "s.vlmtrace", "--method", "rollout", "--steps", "2", "--json"],
        &["export", "s.vlmtrace", "--out", "-"],
        &["inspect", "s.vlmtrace", "--json"],
        &["inspect", "s.vlmtrace"],
        &["diff", "s.vlmtrace", "s.vlmtrace", "--json"],
        &["relevancy", "s.vlmtrace", "--methods", "rollout", "--json"],
        &["doctor", "--json"],
        &["ask", "--batch", "q.jsonl", "--out", "t", "--no-overlay"],
    ];
    for command in commands {
        // A pipe without a reader: `head -c 0` has ended before the first byte is written.
        let script = "set -o pipefail; \"$@\" | head -c 0";
        let output = Command::new("bash")
            .args(["-c", script, "bash", PROGRAM])
            .args(command)
            .current_dir(fixture.root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    }
    assert_eq!(names(&fixture.path("t")), ["0001-a.vlmtrace"]);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_opened() {
    let fixture = Fixture::new();
    fixture.ask();
    let made = Command::new("mkfifo").arg(fixture.path("pipe")).status().unwrap();
    assert!(made.success());
    for name in ["pipe.vlmtrace", "pipe.toml", "pipe.zip", "pipe.jsonl", "pipe.png"] {
        std::os::unix::fs::symlink("pipe", fixture.path(name)).unwrap();
    }
    let commands: [&[&str]; 8] = [
        &["inspect", "pipe.vlmtrace"],
        &["ask", "pipe.png", "What?"],
        &["ask", "a.png", "What?", "--edit", "pipe.toml"],
        &["ask", "--batch", "pipe.jsonl", "--out", "t"],
        &["render", "s.vlmtrace", "--state", "pipe.toml", "--out", "x.png"],
        &["walkthrough", "check", "pipe.toml"],
        &["walkthrough", "check", "pipe.zip"],
        &["score", "s.vlmtrace", "--boxes", "pipe.toml"],
    ];
    for command in commands {
        let text = is_refused_soon(&fixture, command);
        assert!(text.contains("pipe") && text.contains("not a file"), "{command:?}: {text}");
    }
}

/// The error of a command, which must come within 30 seconds.
#[cfg(unix)]
fn is_refused_soon(fixture: &Fixture, command: &[&str]) -> String {
    let mut child =
        fixture.command(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("{command:?} waits for ever");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{command:?}");
    stderr(&output)
}

#[cfg(unix)]
#[test]
fn a_file_of_a_bundle_that_is_a_pipe_is_not_opened() {
    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let gqa = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundles/gqa");
    let fixture = Fixture::new();
    for name in ["manifest.json", "tokenizer.json", "decoder.onnx", "decoder.data"] {
        let bundle = fixture.path("bundle");
        std::fs::create_dir(&bundle).unwrap();
        for file in names(&gqa).iter().filter(|file| *file != name) {
            std::fs::copy(gqa.join(file), bundle.join(file)).unwrap();
        }
        // A pipe has 0 bytes, as its manifest may well say.
        let manifest = bundle.join("manifest.json");
        if name != "manifest.json" {
            let mut fields: Value =
                serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
            fields["files"][name]["bytes"] = 0.into();
            fields["files"][name]["sha256"] = EMPTY_SHA256.into();
            std::fs::write(&manifest, fields.to_string()).unwrap();
        }
        assert!(Command::new("mkfifo").arg(bundle.join(name)).status().unwrap().success());
        let ask = ["ask", "a.png", "What?", "--model", "bundle", "--out", "x"];
        let text = is_refused_soon(&fixture, &ask);
        assert!(text.contains(name) && text.contains("not a file"), "{name}: {text}");
        std::fs::remove_dir_all(&bundle).unwrap();
    }
}

#[test]
fn an_answer_may_begin_with_a_minus_and_threads_end_at_the_cores() {
    let fixture = Fixture::new();
    fixture.ok(&["ask", "a.png", "How many?", "--answer", "-5", "--threads", "1024", "--out", "m"]);
    let trace = Trace::open(&fixture.path("m.vlmtrace")).unwrap();
    assert!(trace.meta().answer.contains('5'), "{}", trace.meta().answer);
}
