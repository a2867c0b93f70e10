//! A server whose answers do not fit: nothing of them is believed.

use crate::support::{Fixture, ask, engine, picture, request};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use vlmscope::analysis::methods::Method;
use vlmscope::analysis::patching::{PatchResult, PositionGroup, Site};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskOptions, Device, Engine, EngineOptions, Frame, ModelError, PatchRequest, RelevancyRequest,
    RemoteOptions, Rescorer, Rows, Stage, Variant, hex, patch, read_frame, write_frame,
};
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
use vlmscope::trace::{AnswerIndex, Trace, TraceInFile};

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
    connect_with(folder, answers, None)
}

fn connect_with(
    folder: &Path,
    answers: &[Answers],
    stage: Option<Arc<Stage>>,
) -> Result<Engine, ModelError> {
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
    Engine::connect(&RemoteOptions { address, stage }, &options, &CancelToken::new(), &mut |_| {})
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

/// A real answer as its messages, and its file.
#[derive(Clone)]
struct Recorded {
    events: Answers,
    file: Vec<u8>,
    /// The ranges that `done` does not hold.
    gaps: Vec<Range<usize>>,
}

const QUESTION: &str = "What is on the left?";

fn recorded() -> Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(record).clone()
}

fn record() -> Recorded {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vlmscope"))
        .args(["serve", "--stdio", "--device", "cpu", "--threads", "1", "--model"])
        .arg(Fixture::of("tiny").bundle())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let scene = picture("scenes/scene0.png");
    let sha256 = hex(&Sha256::digest(&scene.bytes));
    let asked = json!({"picture": {"sha256": sha256, "name": scene.name}, "question": QUESTION});
    for (id, message, payload) in [
        (0, json!({"type": "hello", "protocol": 1}), &[][..]),
        (1, json!({"type": "picture", "sha256": sha256, "name": scene.name}), &scene.bytes),
        (2, json!({"type": "ask", "request": asked, "pages": "all"}), &[]),
    ] {
        write_frame(&mut input, (id, false), &message, payload, false).unwrap();
    }
    let mut until = |id: u64, kind: &str| {
        let mut found = Answers::new();
        let mut more = false;
        loop {
            let frame = read_frame(&mut output).unwrap().expect("the server goes on");
            if frame.envelope.id != id {
                continue;
            }
            match found.last_mut().filter(|_| more) {
                Some((_, payload)) => payload.extend(frame.payload),
                None => {
                    let mut header: Value = serde_json::from_slice(&frame.header).unwrap();
                    for field in ["id", "more", "encoding"] {
                        header.as_object_mut().unwrap().remove(field);
                    }
                    found.push((header, frame.payload));
                }
            }
            more = frame.envelope.more;
            if frame.envelope.kind == kind && !more {
                return found;
            }
        }
    };
    let events = until(2, "done");
    let done = &events.last().unwrap().0;
    let size = done["file_bytes"].as_u64().unwrap() as usize;
    let (mut gaps, mut end) = (Vec::new(), 0);
    for range in done["ranges"].as_array().unwrap() {
        let [start, length] = [0, 1].map(|at| range[at].as_u64().unwrap() as usize);
        gaps.push(end..start);
        end = start + length;
    }
    gaps.push(end..size);
    gaps.retain(|gap| !gap.is_empty());
    let read = json!({"type": "read", "trace": done["trace"], "start": 0, "length": size});
    write_frame(&mut input, (3, false), &read, &[], false).unwrap();
    let file = until(3, "data").remove(0).1;
    drop(input);
    child.wait().unwrap();
    Recorded { events, file, gaps }
}

impl Recorded {
    fn event(&mut self, kind: &str) -> &mut (Value, Vec<u8>) {
        self.events.iter_mut().find(|(message, _)| message["type"] == kind).unwrap()
    }

    /// The answer ends with another trace.
    fn end_with(&mut self, trace: Trace) {
        let file = TraceInFile::new(trace).unwrap();
        let ranges = file.first_ranges();
        let lengths: Vec<[u64; 2]> =
            ranges.iter().map(|range| [range.start, range.end - range.start]).collect();
        let payload = ranges.into_iter().flat_map(|range| file.read(range).unwrap()).collect();
        let done = self.event("done");
        done.0["file_bytes"] = json!(file.file_bytes());
        done.0["ranges"] = json!(lengths);
        done.1 = payload;
    }

    fn trace(&self) -> Trace {
        Trace::from_file_bytes(Path::new("recorded"), self.file.clone()).unwrap()
    }
}

/// The outcome of a question if the server answers with a change of what a real one answers.
fn asked(
    stage: Option<Arc<Stage>>,
    options: &dyn Fn(&mut AskOptions),
    change: &dyn Fn(&mut Recorded),
) -> Result<Trace, String> {
    let mut answer = recorded();
    change(&mut answer);
    let folder = tempfile::tempdir().unwrap();
    // The greeting, the maps on the stage and the picture have no other answer.
    let mut answers = vec![vec![hello()]];
    answers.extend(stage.is_some().then(Vec::new));
    answers.push(Vec::new());
    answers.push(answer.events);
    for gap in answer.gaps {
        answers.push(vec![(json!({"type": "data"}), answer.file[gap].to_vec())]);
    }
    assert!(answers.len() <= 10, "the script answers in the order of the names");
    let mut engine = connect_with(folder.path(), &answers, stage).unwrap();
    let mut question = request(Some(picture("scenes/scene0.png")), &[QUESTION.into()]);
    options(&mut question.options);
    engine.ask(&question, &CancelToken::new(), &mut |_| {}).map_err(|error| error.to_string())
}

#[test]
fn an_answer_is_checked_against_its_prompt_and_its_request() {
    let ask_with = |change: &dyn Fn(&mut Recorded)| asked(None, &|_| {}, change);
    let found = ask_with(&|_| {}).unwrap();
    let expected = recorded().trace();
    for row in 0..expected.rows().len() {
        assert!(found.page(row) == expected.page(row), "row {row}");
    }
    let refused = |name: &str, word: &str, change: &dyn Fn(&mut Recorded)| {
        let error = ask_with(change).err().unwrap_or_else(|| panic!("{name} is accepted"));
        assert!(error.contains("does not fit") && error.contains(word), "{name}: {error}");
    };
    refused("no prompt", "without its prompt", &|answer| {
        answer.events.retain(|(message, _)| message["type"] != "prompt");
    });
    refused("index", "not the next", &|answer| answer.event("token").0["index"] = json!(1));
    refused("id", "the model lacks", &|answer| {
        answer.event("token").0["token"]["id"] = json!(u32::MAX);
    });
    refused("share", "from 0 to 1", &|answer| {
        let notice = json!({"type": "notice", "text": "", "cropped": 7.0});
        answer.events.insert(0, (notice, Vec::new()));
    });
    // The file: its size, its geometry and its tensors, before anything of it is fetched.
    let error = ask_with(&|answer| answer.event("done").0["file_bytes"] = json!(60_u64 << 30));
    assert!(error.map(drop).unwrap_err().contains("bytes of data"));
    let other = Synthetic::new(Geometry::named("small").unwrap(), RowsKept::Text, 1).unwrap();
    let other = other.trace().unwrap();
    refused("another trace", "not that of its prompt", &|answer| answer.end_with(other.clone()));
    refused("no rows", "other rows", &|answer| {
        answer.end_with(answer.trace().inputs_only().unwrap());
    });
    refused("a map", "was not asked for", &|answer| {
        let trace = answer.trace();
        let shape = [trace.shape().generated, trace.meta().patches()];
        let numbers = vec![0.5; shape[0] * shape[1]];
        answer.end_with(trace.with_map("map.new", &shape, &numbers).unwrap());
    });
    // Numbers that no model returns.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    std::fs::write(&path, &recorded().file).unwrap();
    let in_file = Trace::open(&path).unwrap();
    let row = in_file.rows().len() - 1;
    let weights = in_file.place_of_map(row, 0).unwrap();
    let stats = in_file.place_of_stats(row).unwrap();
    for (name, place, bytes) in [
        ("NaN", &weights, [0xff, 0xff]),
        ("above 1", &weights, [0x70, 0x70]),
        ("negative", &weights, [0x00, 0xac]),
        ("no statistics", &stats, [0xff, 0xff]),
    ] {
        // The upper half of a number: of the last f16 or f32 of the place.
        let end = place.end as usize;
        refused(name, "no model returns", &|answer| {
            answer.file[end - 2..end].copy_from_slice(&bytes);
        });
    }
    refused("no sum of 1", "sum is not 1", &|answer| {
        answer.file[weights.start as usize..weights.end as usize].fill(0);
    });
    // More than was asked for.
    let few = |options: &mut AskOptions| options.sampling.max_new_tokens = 1;
    assert!(asked(None, &few, &|_| {}).map(drop).unwrap_err().contains("one too many"));
    let none = |options: &mut AskOptions| options.topk = 0;
    assert!(asked(None, &none, &|_| {}).map(drop).unwrap_err().contains("alternatives"));
    let all = |options: &mut AskOptions| options.rows = Rows::All;
    assert!(asked(None, &all, &|_| {}).map(drop).unwrap_err().contains("other rows"));
}

#[test]
fn rows_for_the_stage_are_checked_when_they_come() {
    let stage = || Some(Arc::new(Stage::new(Box::new(|| {}))));
    let found = asked(stage(), &|_| {}, &|_| {}).unwrap();
    let expected = recorded().trace();
    // All rows came with the tokens.
    let row = expected.row_of_answer(AnswerIndex(0)).unwrap();
    assert!(found.page(row) == expected.page(row));
    let maps = expected.shape().layers * expected.shape().heads;
    let stats_bytes = maps * 5 * 4;
    type Change<'a> = dyn Fn(&mut (Value, Vec<u8>)) + 'a;
    let refused = |name: &str, word: &str, change: &Change<'_>| {
        let error = asked(stage(), &|_| {}, &|answer| change(answer.event("token")));
        let error = error.err().unwrap_or_else(|| panic!("{name} is accepted"));
        assert!(error.contains("does not fit") && error.contains(word), "{name}: {error}");
    };
    refused("statistics", "no model returns", &|token| token.1[..4].fill(0xff));
    refused("weights", "no model returns", &|token| token.1[stats_bytes..].fill(0xff));
    refused("no sum of 1", "sum is not 1", &|token| {
        let keys = token.0["keys"].as_u64().unwrap() as usize;
        token.1[stats_bytes..stats_bytes + 2 * keys].fill(0);
    });
    refused("cut", "fill their payload", &|token| token.1.truncate(token.1.len() - 1));
    refused("query", "is of position", &|token| token.0["query"] = json!(0));
    refused("keys", "keys", &|token| token.0["keys"] = json!(1 << 24));
    refused("no maps", "keys", &|token| {
        token.0["keys"] = json!(1 << 24);
        token.0["maps"] = json!([]);
        token.1.truncate(stats_bytes);
    });
}

#[test]
fn errors_name_the_machine_and_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (greeting, manifest) = hello();
    let changed = String::from_utf8(manifest).unwrap().replacen("\"format\"", "\"formal\"", 1);
    let error = connect(folder.path(), &[vec![(greeting, changed.into_bytes())]]).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("Export the model again"), "{text}");
    assert!(text.starts_with("sh") && text.contains("not on this machine"), "{text}");
    let said = format!("\u{1b}[31m{}", "so long ".repeat(50_000));
    let failed = json!({"type": "error", "kind": "failed", "message": said});
    let error = connect(folder.path(), &[vec![(failed, Vec::new())]]).err().unwrap();
    let text = error.to_string();
    assert!(text.len() < 2500 && text.contains("cut after 2000"), "{}", text.len());
    assert!(text.contains("so long") && !text.contains('\u{1b}'), "{text}");
}
