//! A model in another process, by `vlmscope serve`: the same numbers as here, and every way in which a connection fails.

use crate::support::{Fixture, ask, ask_with_events, engine, picture, request};
use serde_json::{Value, json};
use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vlmscope::analysis::causal::{CausalRequest, Parameters, explain};
use vlmscope::analysis::methods::Method;
use vlmscope::analysis::patching::{PositionGroup, Site};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskEvent, AskRequest, BlankFill, Curves, Device, Engine, EngineOptions, Frame, Intervention,
    Interventions, KnockFrom, Mask, MaskRequest, ModelError, Occluder, OcclusionOptions,
    PatchRequest, RelevancyRequest, RemoteOptions, Rerun, Rescorer, Rows, ScoreRequest, Stage,
    Variant, ablation_of_each_head, blank_logprobs, effects, hex, mask_test, occlusion, patch,
    read_frame, write_frame,
};
use vlmscope::trace::{AnswerIndex, Trace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vlmscope");

fn options(bundle: &Path) -> EngineOptions {
    EngineOptions {
        bundle: bundle.to_owned(),
        runtime: None,
        device: Device::Cpu,
        threads: Some(1),
    }
}

fn connect_by(address: &str, stage: Option<Arc<Stage>>) -> Result<Engine, ModelError> {
    let address = address.parse().unwrap();
    let bundle = Fixture::of("tiny").bundle();
    Engine::connect(&RemoteOptions { address, stage }, &options(&bundle), &never(), &mut |_| {})
}

fn connected() -> Engine {
    connect_by(&format!("exec:'{PROGRAM}'"), None).unwrap()
}

fn question() -> AskRequest {
    request(Some(picture("scenes/scene0.png")), &["What is on the left?".into()])
}

fn never() -> CancelToken {
    CancelToken::new()
}

/// All that an answer consists of, but its times.
fn assert_same(there: &Trace, here: &Trace) {
    let names = |trace: &Trace| -> Vec<String> {
        trace.tensors().map(|(name, ..)| name.to_owned()).collect()
    };
    assert_eq!(names(there), names(here));
    for name in names(here) {
        let [there, here] = [there, here].map(|trace| trace.tensor(&name).unwrap());
        assert_eq!((there.dtype, there.shape), (here.dtype, here.shape), "{name}");
        assert!(there.bytes == here.bytes, "{name} differs");
    }
    let [there, here] = [there.meta(), here.meta()];
    assert_eq!((&there.tokens, &there.answer), (&here.tokens, &here.answer));
    assert_eq!(there.model, here.model);
    assert_eq!(there.spans.len(), here.spans.len());
    assert_eq!(there.provenance.request, here.provenance.request);
    assert_eq!(there.provenance.model_changed, here.provenance.model_changed);
}

#[test]
fn an_answer_from_another_process_is_the_same_bit_for_bit() {
    let (mut here, mut there) = (engine(&Fixture::of("tiny").bundle()), connected());
    assert_eq!(there.info().model, here.info().model);
    assert_eq!(there.manifest().text.vocab, here.manifest().text.vocab);
    let [ours, theirs] = [&mut here, &mut there].map(|engine| engine.bundle(&never()).unwrap());
    assert_eq!(ours.sha256(), theirs.sha256());
    assert_eq!(ours.tokenizer().piece(17), theirs.tokenizer().piece(17));

    let (expected, local) = ask_with_events(&mut here, &question());
    let (found, remote) = ask_with_events(&mut there, &question());
    assert_same(&found, &expected);
    let kinds = |events: &[AskEvent]| -> Vec<String> {
        let kind = |event: &AskEvent| match event {
            AskEvent::Progress(progress) => format!("{progress:?}"),
            AskEvent::Notice(notice) => format!("{notice:?}"),
            AskEvent::Prompt(builder) => format!("{:?}", builder.meta().tokens),
            AskEvent::Token(token) => format!("{} {:?} {}", token.index, token.token, token.text),
            AskEvent::Page(page) => format!("page {}", page.query),
        };
        events.iter().map(kind).collect()
    };
    assert_eq!(kinds(&remote), kinds(&local));

    // Every option of a question arrives.
    let mut other = question();
    other.options.rows = Rows::All;
    other.options.vision_attention = true;
    other.options.topk = 3;
    other.options.answer = Some("a red ball".into());
    other.options.blanked = vec![([1, 2], [12, 12])];
    other.options.interventions = Interventions {
        knock_layers: vec![1],
        knock_queries: vec![5..9, 11..12],
        knock_keys: vec![1..4, 6..7],
        ..Interventions::default()
    };
    let expected = ask(&mut here, &other);
    assert_same(&ask(&mut there, &other), &expected);
    assert!(expected.vision_attention(vlmscope::trace::Layer(0)).is_some());
    // The picture went over once.
    let size = other.picture.as_ref().unwrap().bytes.len() as u64;
    let sent = |engine: &mut Engine| engine.there().unwrap().traffic_bytes()[0];
    let before = sent(&mut there);
    ask(&mut there, &question());
    assert!(sent(&mut there) - before < size.min(2000), "{size}");
}

#[test]
fn every_experiment_gives_the_same_numbers_there() {
    let (mut here, mut there) = (engine(&Fixture::of("tiny").bundle()), connected());
    let trace = ask(&mut here, &question());
    // A trace that the other process never saw, and one that it made.
    let own = ask(&mut there, &question());

    let gradients: Vec<Method> =
        Method::ALL.iter().copied().filter(|method| method.is_from_backward_pass()).collect();
    assert!(gradients.len() > 2);
    let mut of_token = RelevancyRequest::new(gradients.clone());
    of_token.tokens = vec![AnswerIndex(0)];
    let mut next = of_token.clone();
    next.tokens = vec![AnswerIndex(1)];
    let mut found = Vec::new();
    for (is_here, trace) in [(true, &trace), (false, &trace), (false, &own)] {
        let engine = if is_here { &mut here } else { &mut there };
        let mut steps = 0;
        let mut tell = |_| steps += 1;
        let (first, _) = engine.relevancy(trace, &of_token, &never(), &mut tell).unwrap();
        // Rows of other tokens that were computed before stay.
        let (second, timings) = engine.relevancy(&first, &next, &never(), &mut tell).unwrap();
        assert!(steps > 2 && timings.total_s > 0.0);
        let memory = engine.relevancy_memory(trace, &next, &never()).unwrap();
        let other = engine.with_method(&second, Method::RELATIVE, &[], 0, &never()).unwrap();
        found.push((other, memory));
    }
    assert_same(&found[1].0, &found[0].0);
    assert_same(&found[2].0, &found[0].0);
    assert_eq!(found[1].1, found[0].1);

    let map: Vec<f32> = (0..trace.meta().patches()).map(|patch| (patch * 7 % 11) as f32).collect();
    let curves = ScoreRequest {
        maps: vec![("a".into(), map)],
        tokens: vec![0, 1],
        fills: vec![BlankFill::Mean, BlankFill::Blur],
        steps: 4,
    };
    let windows = OcclusionOptions { rounds: vec![2, 3], fill: BlankFill::Blur };
    let heads = ablation_of_each_head(&trace);
    let causal = CausalRequest {
        answer: AnswerIndex(1),
        heads: Vec::new(),
        parameters: Parameters::default(),
        stability: None,
        threads: 1,
    };
    let graphs = explain(&trace, &causal, &|| false, &|_| {}).unwrap();
    let graph = graphs.heads.iter().find(|head| head.graph.is_some()).unwrap();
    let seen = trace.canvas(0).unwrap().rgb.to_vec();
    let darker: Vec<u8> = seen.iter().map(|value| value / 2).collect();
    let grey = Occluder::new(&trace.canvas(0).unwrap(), BlankFill::Mean).unwrap().blank();
    // The word that depends most on the picture.
    let scores = blank_logprobs(&mut here, &trace, &never()).unwrap();
    let lost = |at: &usize| trace.answer_logprobs()[*at] - scores[*at];
    let word = (0..scores.len()).max_by(|a, b| lost(a).total_cmp(&lost(b))).unwrap();
    let numbers = |engine: &mut Engine| {
        let mut steps: Vec<usize> = Vec::new();
        let mut count = |done: usize| steps.push(done);
        let scored = engine
            .score_maps(&trace, &curves, &never(), &mut |curves: &Curves| count(curves.done))
            .unwrap();
        let map = occlusion(engine, &trace, &windows, &never(), &mut |progress| {
            count(progress.done as usize);
        });
        let effects =
            effects(engine, &trace, &heads, &never(), &mut |index, _| count(index)).unwrap();
        let blank = blank_logprobs(engine, &trace, &never()).unwrap();
        let masks = [Mask::Knock(KnockFrom::Text), Mask::Blank(BlankFill::Mean)].map(|mask| {
            let request = MaskRequest { mask, draws: 1, max_sets: 5, seed: 1 };
            mask_test(engine, &trace, AnswerIndex(1), graph, &request, &never(), &mut |_| {})
                .unwrap()
        });
        let mut rescorer = Rescorer::new(engine, &trace).unwrap();
        let variants = [Variant::default(), Variant::of_picture(darker.clone())];
        let rescored =
            rescorer.score(engine, variants, &never(), &mut |index, _| count(index)).unwrap();
        let change = Rerun {
            answer: Some(trace.answer_ids().iter().map(|&id| id as u32).collect()),
            interventions: Intervention::Knock {
                keys: vec![3, 4],
                from: KnockFrom::Answer,
                layers: vec![0],
            }
            .on(trace.meta()),
            rows: Rows::Text,
        };
        let again = engine.again(&trace, &change, &never(), &mut |_| {}).unwrap();
        let request = PatchRequest {
            answer: AnswerIndex(word as u32),
            site: Site::Residual,
            groups: vec![PositionGroup { name: "end".into(), positions: vec![9, 10] }],
            other: Arc::clone(&grey),
            name: "blank".into(),
            estimates: true,
            exact: true,
            earlier: None,
        };
        let mut tables = Vec::new();
        let patched = patch(engine, &trace, request, &never(), &mut |table| {
            tables.push(table.done());
        })
        .unwrap();
        assert!(tables.is_sorted() && tables.first() == Some(&0));
        let masks = masks.map(|masks| serde_json::to_value(&masks).unwrap());
        let json = json!({
            "scored": scored, "map": map.unwrap(), "blank": blank, "masks": masks,
            "patched": patched,
        });
        (json, effects, rescored, steps, again)
    };
    let (expected, found) = (numbers(&mut here), numbers(&mut there));
    assert_eq!(found.0, expected.0);
    assert_eq!(found.1, expected.1);
    assert_eq!(found.2, expected.2);
    assert_eq!(found.3, expected.3, "results arrive one by one");
    assert_same(&found.4, &expected.4);
    // Only this engine scored the answer with a blank picture before.
    assert_eq!(there.counters().rescored + 1, here.counters().rescored);

    // Errors are those of the other side.
    let wrong = Rerun { answer: Some(vec![u32::MAX]), ..Rerun::default() };
    let error = there.again(&trace, &wrong, &never(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("the id 4294967295"), "{error}");
    let small = [Variant::of_picture(vec![0; 12])];
    let mut rescorer = Rescorer::new(&there, &trace).unwrap();
    let error = rescorer.score(&mut there, small, &never(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("12 bytes"), "{error}");
}

#[test]
fn a_cancelled_question_ends_there_and_the_next_is_answered() {
    let mut there = connected();
    let expected = ask(&mut there, &question());
    let process = there.there().unwrap().process_id();
    let cancel = never();
    let mut long = question();
    long.question = "What is on the right?".into();
    let outcome = there.ask(&long, &cancel, &mut |event| {
        if matches!(event, AskEvent::Prompt(_)) {
            cancel.cancel();
        }
    });
    assert!(matches!(outcome, Err(ModelError::Cancelled)), "{outcome:?}");
    assert_same(&ask(&mut there, &question()), &expected);
    assert_eq!(there.there().unwrap().process_id(), process, "the connection was kept");
}

#[test]
#[cfg(unix)]
fn a_server_that_is_killed_is_reported_and_asking_again_starts_a_new_one() {
    let mut there = connected();
    let process = there.there().unwrap().process_id();
    let kill = || {
        Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    };
    let outcome = there.ask(&question(), &never(), &mut |event| {
        if matches!(event, AskEvent::Prompt(_)) {
            kill();
        }
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error, ModelError::ConnectionLost { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("was lost") && text.contains("signal: 9"), "{text}");
    let found = ask(&mut there, &question());
    assert_same(&found, &ask(&mut engine(&Fixture::of("tiny").bundle()), &question()));
    // The same while nothing runs.
    let process = there.there().unwrap().process_id();
    Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    let mut explain =
        || there.relevancy(&found, &RelevancyRequest::new([Method::LLM]), &never(), &mut |_| {});
    // The first request may be the one that notices the loss; the next one connects again.
    let steps = explain().or_else(|error| match error {
        ModelError::ConnectionLost { .. } => explain(),
        other => Err(other),
    });
    assert!(steps.is_ok(), "{:?}", steps.err());
}

#[test]
#[cfg(unix)]
fn what_is_not_a_server_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        format!("exec:'{}'", path.display())
    };
    let refused = |address: &str, words: &[&str]| {
        let error = connect_by(address, None).map(|_| ()).unwrap_err();
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{address}: {text}");
        }
        assert!(matches!(error, ModelError::Unreachable { .. } | ModelError::Elsewhere { .. }));
    };
    let profile =
        script("profile", &format!("echo 'Welcome to the box!'\nexec '{PROGRAM}' \"$@\""));
    refused(&profile, &["Welcome to the box!", "shell profile"]);
    let short = script("short", &format!("echo hi\nexec '{PROGRAM}' \"$@\""));
    refused(&short, &["hi\\n", "shell profile"]);
    let ends = script("ends", "echo 'no such host' >&2; exit 7");
    refused(&ends, &["exit status: 7", "no such host"]);
    refused("exec:/no/such/program", &["/no/such/program", "cannot be started"]);
    refused(
        &script("bundle", &format!("exec '{PROGRAM}' serve --stdio --model /no/bundle")),
        &["/no/bundle"],
    );
}

/// A server to which frames are written by hand.
struct Raw {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Raw {
    fn start() -> Self {
        let bundle = Fixture::of("tiny").bundle();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--stdio", "--device", "cpu", "--threads", "1", "--model"])
            .arg(bundle)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn greeted() -> Self {
        let mut raw = Self::start();
        raw.send(&json!({"type": "hello", "id": 0, "protocol": 1}), b"");
        raw.until(0, "hello");
        raw
    }

    /// Sends a message as it is: its `id` is in `message`.
    fn send(&mut self, message: &Value, payload: &[u8]) {
        let header = serde_json::to_vec(message).unwrap();
        let lengths = [header.len() as u32, payload.len() as u32].map(u32::to_le_bytes).concat();
        self.write(&[&lengths, header.as_slice(), payload].concat());
    }

    fn write(&mut self, bytes: &[u8]) {
        // A server that refuses what came before may be gone.
        let _ = self.input.as_mut().unwrap().write_all(bytes);
    }

    fn next(&mut self) -> Option<(Value, Frame)> {
        let frame = read_frame(&mut self.output).unwrap()?;
        Some((serde_json::from_slice(&frame.header).unwrap(), frame))
    }

    /// The next message of this type for this request.
    fn until(&mut self, id: u64, kind: &str) -> (Value, Vec<u8>) {
        loop {
            let (header, frame) = self.next().unwrap_or_else(|| panic!("no {kind} came"));
            if frame.envelope.id == id && frame.envelope.kind == kind {
                let mut payload = frame.payload;
                let mut more = frame.envelope.more;
                while more {
                    let (_, next) = self.next().unwrap();
                    payload.extend(next.payload);
                    more = next.envelope.more;
                }
                return (header, payload);
            }
            assert!(frame.envelope.kind != "error" || kind == "error", "{header}");
        }
    }

    /// Waits for the end; returns the exit code and stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (status.code(), text)
    }
}

#[test]
fn a_program_can_follow_the_documentation() {
    let mut raw = Raw::greeted();
    let scene = picture("scenes/scene0.png");
    let sha256 = hex(&sha(&scene.bytes));
    let asked = json!({
        "type": "ask", "id": 4,
        "request": {"picture": {"sha256": sha256, "name": "a.png"}, "question": "What is on the left?"},
        "pages": "all",
    });
    // Not sent yet.
    raw.send(&asked, b"");
    assert_eq!(raw.until(4, "error").0["kind"], "missing_picture");
    // In two frames.
    let (first, rest) = scene.bytes.split_at(1000);
    raw.send(
        &json!({"type": "picture", "id": 5, "sha256": sha256, "name": "a.png", "more": true}),
        first,
    );
    raw.send(&json!({"type": "picture", "id": 5}), rest);
    raw.send(&asked, b"");
    let (prompt, payload) = raw.until(4, "prompt");
    let meta = prompt["meta_bytes"].as_u64().unwrap() as usize;
    let meta: Value = serde_json::from_slice(&payload[..meta]).unwrap();
    assert_eq!(meta["question"], "What is on the left?");
    let (token, payload) = raw.until(4, "token");
    let [layers, heads] = ["layers", "heads"].map(|axis| meta["model"][axis].as_u64().unwrap());
    let keys = token["keys"].as_u64().unwrap();
    assert_eq!(token["maps"], "all");
    assert_eq!(payload.len() as u64, layers * heads * (5 * 4 + keys * 2));
    let (done, payload) = raw.until(4, "done");
    let size = done["file_bytes"].as_u64().unwrap() as usize;
    let mut file = vec![0; size];
    let mut rest = payload.as_slice();
    for range in done["ranges"].as_array().unwrap() {
        let [start, length] = [0, 1].map(|at| range[at].as_u64().unwrap() as usize);
        file[start..start + length].copy_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    raw.send(
        &json!({"type": "read", "id": 6, "trace": done["trace"], "start": 0, "length": size}),
        b"",
    );
    let (_, whole) = raw.until(6, "data");
    assert_eq!(whole.len(), size);
    for range in done["ranges"].as_array().unwrap() {
        let [start, length] = [0, 1].map(|at| range[at].as_u64().unwrap() as usize);
        assert_eq!(file[start..start + length], whole[start..start + length]);
    }
    let trace = Trace::from_file_bytes(Path::new("a"), whole).unwrap();
    let expected = ask(&mut engine(&Fixture::of("tiny").bundle()), &{
        let mut asked = question();
        asked.picture.as_mut().unwrap().name = "a.png".into();
        asked
    });
    assert_same(&trace, &expected);

    // Requests that cannot be carried out are answered, and the server goes on.
    let mut id = 10;
    let mut refused = |message: Value, payload: &[u8], kind: &str, word: &str| {
        let mut message = message;
        message["id"] = json!(id);
        raw.send(&message, payload);
        let (error, _) = raw.until(id, "error");
        assert_eq!(error["kind"], kind, "{error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
        id += 1;
    };
    let of = |fields: Value| {
        let mut message = json!({"trace": done["trace"]});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        message
    };
    refused(json!({"type": "dance"}), b"", "request", "dance");
    refused(
        json!({"type": "ask", "request": {"question": "a", "options": {"x": 1}}}),
        b"",
        "request",
        "`x`",
    );
    refused(json!({"type": "ask", "request": {"question": " "}}), b"", "request", "empty");
    let blanked = json!({"question": "a", "options": {"blanked": [[[1, 2], [12, 12]]]}});
    refused(json!({"type": "ask", "request": blanked}), b"", "request", "needs a picture");
    refused(json!({"type": "again", "trace": 999}), b"", "missing_trace", "999");
    refused(of(json!({"type": "read", "start": 5, "length": size})), b"", "request", "bytes");
    refused(of(json!({"type": "read", "start": u64::MAX, "length": 2})), b"", "request", "bytes");
    refused(of(json!({"type": "relevancy", "methods": ["magic"]})), b"", "request", "magic");
    refused(
        of(json!({"type": "relevancy", "methods": ["llm"], "tokens": [999]})),
        b"",
        "request",
        "999",
    );
    refused(
        of(json!({"type": "relevancy", "methods": ["llm"], "memory_budget": 1})),
        b"",
        "memory",
        "memory",
    );
    refused(of(json!({"type": "rescore", "variants_bytes": 99})), b"[]", "request", "payload");
    refused(
        of(json!({"type": "rescore", "variants_bytes": 18})),
        br#"[{"picture": true}]"#,
        "request",
        "variants",
    );
    refused(
        of(json!({"type": "rescore", "variants_bytes": 19})),
        br#"[{"picture": true}]"#,
        "request",
        "payload",
    );
    // One variant more than a request may have, and millions of them: they are counted while they are read.
    for count in [97, 4_000_000] {
        let variants = format!("[{}{{}}]", "{},".repeat(count - 1));
        let message = json!({"type": "rescore", "variants_bytes": variants.len()});
        refused(of(message), variants.as_bytes(), "request", "more than 96 entries");
    }
    refused(
        of(json!({"type": "rescore", "variants_bytes": 54})),
        br#"[{"blank": {"fill": "mean", "patches": [[9999, 0]]}}]  "#,
        "request",
        "9999",
    );
    refused(json!({"type": "trace"}), b"not a trace", "request", "not a complete vlmscope trace");
    refused(json!({"type": "picture", "sha256": "00", "name": "b.png"}), b"x", "request", "b.png");
    // A request that waits behind another is cancelled before it begins.
    raw.send(&json!({"type": "ask", "id": 90, "request": {"question": "Why?"}}), b"");
    raw.send(&json!({"type": "ask", "id": 91, "request": {"question": "Why?"}}), b"");
    raw.send(&json!({"type": "cancel", "id": 92, "request": 91}), b"");
    assert_eq!(raw.until(91, "error").0["kind"], "cancelled");
    raw.send(&json!({"type": "bye"}), b"");
    let (code, text) = raw.end();
    assert_eq!((code, text.as_str()), (Some(0), ""));
}

fn sha(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

#[test]
fn a_client_that_breaks_the_protocol_is_told_and_left() {
    let ended = |raw: Raw, word: &str| {
        let (code, text) = raw.end();
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(word) && !text.contains("panicked"), "{text}");
    };
    let mut raw = Raw::start();
    raw.send(&json!({"type": "hello", "protocol": 9, "client": "future 9"}), b"");
    let (error, _) = raw.until(0, "error");
    let text = error["message"].as_str().unwrap().to_owned();
    assert!(
        text.contains("future 9") && text.contains("update the server, which is older"),
        "{text}"
    );
    ended(raw, "protocol 9");

    let mut raw = Raw::start();
    raw.send(&json!({"type": "hello", "protocol": 0}), b"");
    let (error, _) = raw.until(0, "error");
    assert!(error["message"].as_str().unwrap().contains("update the client"), "{error}");
    ended(raw, "protocol 0");

    let mut raw = Raw::start();
    raw.send(&json!({"type": "hello", "protocol": -1, "compression": "zstd"}), b"");
    assert!(raw.until(0, "error").0["message"].as_str().unwrap().contains("update the client"));
    ended(raw, "protocol -1");

    let mut raw = Raw::start();
    raw.send(&json!({"type": "hello", "protocol": 1, "compression": "zstd"}), b"");
    assert!(
        raw.until(0, "error").0["message"].as_str().unwrap().contains("`hello` cannot be read")
    );
    ended(raw, "`hello` cannot be read");

    let mut raw = Raw::start();
    raw.send(&json!({"type": "ask", "request": {"question": "a"}}), b"");
    assert!(raw.until(0, "error").0["message"].as_str().unwrap().contains("`ask`, not a `hello`"));
    ended(raw, "`ask`, not a `hello`");

    let mut raw = Raw::start();
    raw.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw.until(0, "error");
    ended(raw, "GET / HTTP/1.1");

    for bytes in [
        [u32::MAX.to_le_bytes(), 0_u32.to_le_bytes()].concat(),
        [2_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat(),
        [&4_u32.to_le_bytes()[..], &0_u32.to_le_bytes(), b"[1,2"].concat(),
    ] {
        let mut raw = Raw::greeted();
        raw.write(&bytes);
        assert_eq!(raw.until(0, "error").0["kind"], "protocol");
        ended(raw, "docs/serve.md");
    }
    // More than a message may have, without its end; nothing is kept of it.
    let mut raw = Raw::greeted();
    raw.input.take();
    assert_eq!(raw.end().0, Some(0), "the end of the input is the end of the server");
}

#[test]
fn a_server_ends_with_its_input_also_while_it_answers() {
    let mut raw = Raw::greeted();
    for id in 1..40 {
        let asked = json!({"type": "ask", "id": id, "request": {"question": format!("Why {id}?"),
            "options": {"sampling": {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 200, "seed": 0}}}});
        raw.send(&asked, b"");
    }
    raw.until(1, "prompt");
    raw.input.take();
    let (code, text) = raw.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_server_whose_output_is_not_read_ends_with_its_input() {
    let mut raw = Raw::greeted();
    // The pixels of a BMP, which go back with each prompt: more than may wait in the server and in the pipe.
    let (width, height) = (1024_u32, 1024_u32);
    let mut bmp = b"BM".to_vec();
    for number in
        [54 + 3 * width * height, 0, 54, 40, width, height, (24 << 16) + 1, 0, 0, 0, 0, 0, 0]
    {
        bmp.extend(number.to_le_bytes());
    }
    let mut seed = 1_u32;
    bmp.extend((0..3 * width * height).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    }));
    let sha256 = hex(&sha(&bmp));
    raw.send(&json!({"type": "picture", "id": 1, "sha256": sha256, "name": "a.bmp"}), &bmp);
    for id in 2..10 {
        let asked = json!({"picture": {"sha256": sha256, "name": "a.bmp"}, "question": "Why?"});
        raw.send(&json!({"type": "ask", "id": id, "request": asked}), b"");
    }
    let (_, payload) = raw.until(2, "prompt");
    assert!(payload.len() > 2 << 20, "{}", payload.len());
    // From here on nothing is read; the output stays open.
    raw.input.take();
    let (code, text) = raw.end();
    assert!(code.is_some() && !text.contains("panicked"), "{code:?} {text}");
}

#[test]
fn frames_of_this_crate_are_what_the_server_reads() {
    let mut bytes = Vec::new();
    write_frame(
        &mut bytes,
        (0, false),
        &json!({"type": "hello", "protocol": 1, "compression": ["zstd"]}),
        &[0; 4096],
        true,
    )
    .unwrap();
    assert!(bytes.len() < 400, "zeros are compressed");
    let mut raw = Raw::start();
    raw.write(&bytes);
    let (hello, manifest) = raw.until(0, "hello");
    assert_eq!((hello["protocol"].as_u64(), &hello["compression"]), (Some(1), &json!(["zstd"])));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert!(manifest["text"]["layers"].as_u64().is_some());
}
