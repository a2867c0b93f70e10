//! A server whose answers do not fit: nothing of them is believed.

use crate::support::{Fixture, ask, engine, picture, request};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use vlmscope::analysis::methods::Method;
use vlmscope::analysis::patching::{PatchResult, PositionGroup, Site};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    Device, Engine, EngineOptions, Frame, ModelError, PatchRequest, RelevancyRequest,
    RemoteOptions, Rescorer, Variant, patch, read_frame, write_frame,
};
use vlmscope::trace::{AnswerIndex, Trace};

/// Reads requests without looking at them, and answers the n-th one with the content of the file n.
const SCRIPT: &str = r#"#!/bin/sh
frame() {
    while :; do
        set -- $(head -c 8 | od -An -tu4)
        [ $# = 2 ] || exit 0
        header=$(head -c "$1")
        head -c "$2" > /dev/null
        case $header in *'"more":true'*) ;; *) return ;; esac
    done
}
for file in "$(dirname "$0")"/[0-9]*; do
    frame
    cat "$file"
done
exec cat > /dev/null
"#;

/// The greeting of a real server.
fn greeting() -> &'static Frame {
    static GREETING: OnceLock<Frame> = OnceLock::new();
    GREETING.get_or_init(|| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vlmscope"))
            .args(["serve", "--stdio", "--device", "cpu", "--threads", "1", "--model"])
            .arg(Fixture::of("tiny").bundle())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let hello = json!({"type": "hello", "protocol": 1});
        let mut input = child.stdin.take().unwrap();
        write_frame(&mut input, (0, false), &hello, &[], false).unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let hello = loop {
            let frame = read_frame(&mut output).unwrap().unwrap();
            if frame.envelope.kind == "hello" {
                break frame;
            }
        };
        drop(input);
        child.wait().unwrap();
        hello
    })
}

/// The answers to one request.
type Answers = Vec<(Value, Vec<u8>)>;

fn connect(folder: &Path, answers: &[Answers]) -> Result<Engine, ModelError> {
    for (request, answers) in answers.iter().enumerate() {
        let mut bytes = Vec::new();
        for (message, payload) in answers {
            write_frame(&mut bytes, (request as u64, false), message, payload, false).unwrap();
        }
        std::fs::write(folder.join(request.to_string()), bytes).unwrap();
    }
    let path = folder.join("server");
    std::fs::write(&path, SCRIPT).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let address = format!("exec:sh '{}'", path.display()).parse().unwrap();
    let options = EngineOptions {
        bundle: Fixture::of("tiny").bundle(),
        runtime: None,
        device: Device::Cpu,
        threads: Some(1),
    };
    Engine::connect(
        &RemoteOptions { address, stage: None },
        &options,
        &CancelToken::new(),
        &mut |_| {},
    )
}

fn hello() -> (Value, Vec<u8>) {
    let frame = greeting();
    let mut message: Value = serde_json::from_slice(&frame.header).unwrap();
    message.as_object_mut().unwrap().remove("id");
    (message, frame.payload.clone())
}

/// The result of `work` if the server takes the trace, and then sends this answer.
fn answered<T>(
    answers: Answers,
    work: impl FnOnce(&mut Engine) -> Result<T, ModelError>,
) -> Result<T, String> {
    let folder = tempfile::tempdir().unwrap();
    let taken = vec![(json!({"type": "result", "trace": 1}), Vec::new())];
    let mut engine = connect(folder.path(), &[vec![hello()], taken, answers]).unwrap();
    work(&mut engine).map_err(|error| error.to_string())
}

fn trace() -> Trace {
    let question = request(Some(picture("scenes/scene0.png")), &["What is on the left?".into()]);
    ask(&mut engine(&Fixture::of("tiny").bundle()), &question)
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn end() -> (Value, Vec<u8>) {
    (json!({"type": "result"}), Vec::new())
}

#[test]
fn a_table_is_checked_against_the_request() {
    let trace = trace();
    let model = &trace.meta().model;
    let groups = vec![PositionGroup { name: "end".into(), positions: vec![9, 10] }];
    let place = (AnswerIndex(1), Site::Mlp);
    let size = [model.layers, model.heads];
    let table = PatchResult::new(place, "B".into(), [-1.0, -3.0], groups.clone(), size);
    let request = || PatchRequest {
        answer: AnswerIndex(1),
        site: Site::Mlp,
        groups: groups.clone(),
        other: trace.canvas(0).unwrap().rgb.to_vec().into(),
        name: "B".into(),
        estimates: false,
        exact: true,
        earlier: None,
    };
    let count = table.patched.len() as u32;
    let places = |cells: &[u32], logprobs: &[f32]| {
        let cells: Vec<u8> = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        (json!({"type": "patched"}), [cells, floats(logprobs)].concat())
    };
    let all: Vec<u32> = (0..count).collect();
    let whole = || places(&all, &vec![-2.0; all.len()]);
    let outcome = |change: &dyn Fn(&mut Value), more: Answers| {
        let mut json = serde_json::to_value(&table).unwrap();
        change(&mut json);
        let first = (json!({"type": "patching"}), serde_json::to_vec(&json).unwrap());
        let answers = [vec![first], more].concat();
        answered(answers, |engine| {
            patch(engine, &trace, request(), &CancelToken::new(), &mut |_| {})
        })
    };
    let found = outcome(&|_| {}, vec![whole(), end()]).unwrap();
    assert_eq!(found.done(), all.len());
    let group = json!({"name": "end", "positions": [9, 10]});
    for (field, value) in [
        ("layers", json!(u32::MAX)),
        ("heads", json!(3)),
        ("token", json!(0)),
        ("site", json!("residual")),
        ("other", json!("C")),
        ("groups", json!([])),
        ("groups", json!([group, group])),
        ("groups", json!([{"name": "end", "positions": [9, 11]}])),
        ("patched", json!([])),
        ("patched", json!(vec![-2.0; all.len()])),
        ("patched", json!(vec![Value::Null; all.len() * 1000])),
        ("estimates", json!([1.0])),
        ("estimates", json!(vec![1e39; all.len()])),
        ("logprob_b", json!(-1e39)),
    ] {
        let error = outcome(&|table| table[field] = value.clone(), vec![whole(), end()]);
        let error = error.expect_err(field);
        assert!(error.contains("does not fit"), "{field}: {error}");
    }
    for more in [
        vec![end()],
        vec![places(&all[1..], &vec![-2.0; all.len() - 1]), end()],
        vec![places(&[count], &[-2.0])],
        vec![places(&[0], &[f32::NAN])],
        vec![places(&[0, 0], &[-2.0, -1.0])],
        vec![places(&[0], &[])],
    ] {
        let error = outcome(&|_| {}, more).unwrap_err();
        assert!(error.contains("does not fit"), "{error}");
    }
}

#[test]
fn scores_and_maps_are_those_of_the_request_and_finite() {
    let trace = trace();
    let generated = trace.shape().generated;
    let scored = |index: u64, logprob: f32, id: u32| {
        let ids = vec![id; generated].into_iter().flat_map(u32::to_le_bytes);
        let payload = floats(&vec![logprob; generated]).into_iter().chain(ids).collect();
        (json!({"type": "scored", "index": index}), payload)
    };
    let score = |answers: Answers| {
        answered(answers, |engine| {
            let mut rescorer = Rescorer::new(engine, &trace)?;
            rescorer.score(engine, [Variant::default()], &CancelToken::new(), &mut |_, _| {})
        })
    };
    assert_eq!(score(vec![scored(0, -1.0, 3), end()]).unwrap().len(), 1);
    for answers in [
        vec![end()],
        vec![scored(1, -1.0, 3), end()],
        vec![scored(0, -1.0, 3), scored(1, -1.0, 3), end()],
        vec![scored(0, f32::NAN, 3), end()],
        vec![scored(0, -1.0, u32::MAX), end()],
    ] {
        let error = score(answers).unwrap_err();
        assert!(error.contains("does not fit"), "{error}");
    }

    let method = Method::LLM;
    let columns = method.columns(&trace);
    let map = |name: &str, number: f32, rows: usize, total_s: f64| {
        let tensor = json!({"name": name, "dtype": "F32", "shape": [rows, columns]});
        let timings = json!({"open_s": 0.0, "inputs_s": 0.0, "forward_s": 0.0, "prompt_s": 0.0,
            "rows_s": 0.0, "vision_s": 0.0, "recursion_s": 0.0, "total_s": total_s});
        let message = json!({"type": "result", "tensors": [tensor], "timings": timings});
        vec![(message, floats(&vec![number; rows * columns]))]
    };
    let compute = |answers: Answers| {
        answered(answers, |engine| {
            let request = RelevancyRequest::new([method]);
            engine.relevancy(&trace, &request, &CancelToken::new(), &mut |_| {})
        })
    };
    compute(map(method.tensor, 0.5, generated, 1.0)).unwrap();
    for answers in [
        map("../../\u{1b}[31mx", 0.5, generated, 1.0),
        map(method.tensor, f32::NAN, generated, 1.0),
        map(method.tensor, f32::INFINITY, generated, 1.0),
        map(method.tensor, 0.5, generated + 1, 1.0),
        map(method.tensor, 0.5, generated, 1e308),
        map(method.tensor, 0.5, generated, -1.0),
        vec![end()],
    ] {
        assert!(compute(answers).is_err());
    }
}

#[test]
fn the_protocol_is_compared_before_the_other_fields() {
    let folder = tempfile::tempdir().unwrap();
    for other in [json!(2), json!(-1), json!("two"), json!(1e300)] {
        let hello =
            json!({"type": "hello", "protocol": other, "version": "vlmscope 9", "info": {"x": 1}});
        let refused = connect(folder.path(), &[vec![(hello, Vec::new())]]).err().unwrap();
        let text = refused.to_string();
        assert!(text.contains("vlmscope 9") && text.contains("update the older one"), "{text}");
    }
}

#[test]
fn connecting_can_be_cancelled() {
    let options = EngineOptions {
        bundle: Fixture::of("tiny").bundle(),
        runtime: None,
        device: Device::Cpu,
        threads: Some(1),
    };
    // It neither greets nor reads.
    let address = "exec:sh -c 'exec sleep 600'".parse().unwrap();
    let cancel = CancelToken::new();
    let of_thread = cancel.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        of_thread.cancel();
    });
    let remote = RemoteOptions { address, stage: None };
    let outcome = Engine::connect(&remote, &options, &cancel, &mut |_| {});
    assert!(matches!(outcome.err(), Some(ModelError::Cancelled)));
    thread.join().unwrap();
}
