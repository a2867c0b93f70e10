//! The trace file: a written trace is read back unchanged, errors name the damage, versions are honoured.

use half::f16;
use std::path::Path;
use std::sync::Arc;
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
use vlmscope::trace::*;

const LAYERS: usize = 2;
const HEADS: usize = 3;
const PROMPT: usize = 8;
const SCALE: f32 = 4096.0;

fn token(id: u32, kind: TokenKind) -> TokenInfo {
    TokenInfo { id, text: format!("▁{id}"), kind, turn: 0, word: Some(id) }
}

fn meta() -> TraceMeta {
    TraceMeta {
        format_version: FORMAT_OF_ONE_CANVAS.to_owned(),
        model: ModelInfo {
            name: "test".into(),
            layers: LAYERS as u32,
            heads: HEADS as u32,
            kv_heads: 3,
            ..ModelInfo::default()
        },
        question: "what?".into(),
        answer: String::new(),
        sampling: Sampling::default(),
        tokens: (0..PROMPT as u32)
            .map(|id| {
                token(id, if (1..5).contains(&id) { TokenKind::Image } else { TokenKind::Question })
            })
            .collect(),
        prompt_len: PROMPT as u32,
        spans: vec![ImageSpan {
            picture: 0,
            first: 1,
            rows: 2,
            columns: 2,
            preprocessed_rect: Rect { x: 0.0, y: 0.0, width: 4.0, height: 4.0 },
            original_from_preprocessed: Affine::IDENTITY,
            ..ImageSpan::default()
        }],
        preprocess: Vec::new(),
        attention_scale: SCALE,
        timings: Timings::default(),
        provenance: Provenance::default(),
        ..TraceMeta::default()
    }
}

/// Weight of (query, layer, head, key): distinct and exact in f16.
fn weight(query: usize, map: usize, key: usize) -> f16 {
    f16::from_f32((query * 64 + map * 8 + key) as f32)
}

fn row(query: usize, maps: usize, keys: usize) -> Arc<[f16]> {
    (0..maps)
        .flat_map(|map| {
            (0..keys).map(move |key| if key <= query { weight(query, map, key) } else { f16::ZERO })
        })
        .collect()
}

/// A prompt of 8 and three generated ids: T = 10, rows 5.. kept.
fn trace() -> Trace {
    let maps = LAYERS * HEADS;
    let mut builder = TraceBuilder::new(meta());
    builder.add_picture(0, b"png", [4, 4], &[7; 48]).unwrap();
    for query in 5..10 {
        let keys = PROMPT.max(query + 1);
        let stats: Arc<[f32]> = (0..maps * STAT_COUNT).map(|i| (query * 100 + i) as f32).collect();
        builder.push_page(Query(query as u32), keys, row(query, maps, keys), stats).unwrap();
    }
    for query in 0..10 {
        let keys = PROMPT.max(query + 1);
        builder.push_head_mean(Query(query as u32), keys, row(query, LAYERS, keys)).unwrap();
        builder.push_last_layer(Query(query as u32), keys, row(query, HEADS, keys)).unwrap();
    }
    for id in 0..3 {
        let topk = vec![(id, -0.5), (id + 1, -1.5)];
        builder.push_token(AnswerToken {
            token: token(id, TokenKind::Answer),
            logprob: -0.5,
            topk,
        });
    }
    builder.finish("0 1 2", Timings::default(), Provenance::default()).unwrap()
}

fn check(trace: &Trace) {
    assert_eq!(
        trace.shape(),
        Shape { rows: 5, layers: LAYERS, heads: HEADS, positions: 10, generated: 3 }
    );
    assert_eq!(trace.rows(), [5, 6, 7, 8, 9]);
    assert_eq!(trace.row_of_answer(AnswerIndex(0)), Some(2));
    assert_eq!(trace.row_of_query(Query(4)), None);
    for (row, query) in (5..10).enumerate() {
        for layer in 0..LAYERS {
            for head in 0..HEADS {
                let weights = trace.weights(row, layer, head).unwrap();
                for (key, found) in weights.iter().enumerate() {
                    let expected = if key <= query {
                        weight(query, layer * HEADS + head, key).to_f32() / SCALE
                    } else {
                        0.0
                    };
                    assert_eq!(*found, expected, "row {row} layer {layer} head {head} key {key}");
                }
            }
        }
        assert_eq!(trace.stats(row).unwrap()[3], (query * 100 + 3) as f32);
    }
    let mean = trace.head_mean(Layer(1)).unwrap();
    assert_eq!(mean[9 * 10 + 4], weight(9, 1, 4));
    assert_eq!(mean[2 * 10 + 3], f16::ZERO);
    assert_eq!(trace.last_layer(Head(2)).unwrap()[9 * 10 + 9], weight(9, 2, 9));
    assert_eq!(trace.answer_ids()[..], [0, 1, 2]);
    let (ids, logprobs, k) = trace.answer_topk();
    assert_eq!((ids[3], logprobs[3], k), (2, -1.5, 2));
    assert_eq!(trace.canvas(0).unwrap().rgb, [7; 48]);
    assert_eq!(trace.picture_original(0).unwrap(), b"png");
    assert_eq!(trace.meta().answer, "0 1 2");
}

#[test]
fn what_is_written_is_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    let in_memory = trace();
    check(&in_memory);
    in_memory.write(&path).unwrap();
    let opened = Trace::open(&path).unwrap();
    check(&opened);
    assert_eq!(opened.meta(), in_memory.meta());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn a_map_is_added_while_the_old_file_is_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace().write(&path).unwrap();
    let old = Trace::open(&path).unwrap();
    let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
    old.with_map("map.random", &[3, 4], &values).unwrap().write(&path).unwrap();
    check(&old);
    let new = Trace::open(&path).unwrap();
    check(&new);
    assert_eq!(new.map_names(), ["map.random"]);
    assert_eq!(new.map_row("map.random", AnswerIndex(2)).unwrap()[..], [8.0, 9.0, 10.0, 11.0]);
    assert!(old.with_map("attention.weights", &[3, 4], &values).is_err());
    assert!(old.with_map("map.random", &[2, 6], &values).is_err());
}

/// A map that a trace accepts in memory can be written and opened; one that opening refuses is refused at once.
#[test]
fn a_map_is_accepted_as_it_is_when_the_file_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    let trace = trace();
    let (answers, patches, positions) = (3, 4, 10);
    for (name, widths) in [
        ("map.random", &[patches][..]),
        ("relevancy.llm", &[positions]),
        ("relevancy.llm_own", &[positions]),
        ("relevancy.vit", &[patches]),
        ("relevancy.all", &[patches]),
        ("relevancy.other", &[patches, positions]),
    ] {
        for width in [1, patches, positions, positions + 1] {
            let values = vec![0.5; answers * width];
            let found = trace.with_map(name, &[answers, width], &values);
            assert_eq!(found.is_ok(), widths.contains(&width), "{name} [{answers}, {width}]");
            match found {
                Ok(found) => {
                    found.write(&path).unwrap();
                    assert!(Trace::open(&path).unwrap().map_keys(name).is_some());
                }
                Err(error) => {
                    let said = error.to_string();
                    let shape = format!("[{answers}, {width}]");
                    assert!(said.contains(name) && said.contains(&shape), "{said}");
                }
            }
        }
        let width = widths[0];
        assert!(trace.with_map(name, &[answers, width], &[0.5]).is_err(), "too few values");
        let one_too_many = vec![0.5; (answers + 1) * width];
        assert!(trace.with_map(name, &[answers + 1, width], &one_too_many).is_err());
    }
}

#[test]
fn a_cut_file_is_named_as_damaged_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace().write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let message = Trace::open(&path).unwrap_err().to_string();
        assert!(message.contains("a.vlmtrace"), "{message}");
    }
}

#[test]
fn a_newer_major_version_is_refused_and_a_newer_minor_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace().write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let version = |text: &str| {
        let from = br#"format_version\":\"1.0"#;
        let at = whole.windows(from.len()).position(|part| part == from).unwrap() + from.len() - 3;
        let mut changed = whole.clone();
        changed[at..at + 3].copy_from_slice(text.as_bytes());
        std::fs::write(&path, changed).unwrap();
        Trace::open(&path)
    };
    assert!(matches!(version("3.0"), Err(TraceError::Newer { .. })));
    assert!(version("1.9").is_ok());
    assert!(matches!(version("x.y"), Err(TraceError::Damaged { .. })));
}

#[test]
fn a_folder_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let message = trace().write(&folder.path().join("missing/a.vlmtrace")).unwrap_err().to_string();
    assert!(message.contains("missing") && message.contains("Create the folder"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Written by version 0.1.0 and never again: every later reader must open it.
#[test]
fn format_1_0_stays_readable() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces/format-1.0.vlmtrace");
    let trace = Trace::open(&path).unwrap();
    let meta = trace.meta();
    assert_eq!(meta.format_version, "1.0");
    assert_eq!(meta.question, "What is blue?");
    assert_eq!(trace.shape(), Shape { rows: 10, layers: 3, heads: 8, positions: 30, generated: 4 });
    assert_eq!(meta.spans[0].extent(), 4..20);
    assert_eq!(meta.tokens[30].text, "▁pain");
    assert_eq!(trace.canvas(0).unwrap().width, 56);
    let row = trace.row_of_answer(AnswerIndex(1)).unwrap();
    let on_picture: f32 = trace.weights(row, 2, 5).unwrap()[4..20].iter().sum();
    assert!((on_picture - 0.965).abs() < 1e-3, "{on_picture}");
    let stats = trace.stats(row).unwrap();
    let kept = stats[(2 * 8 + 5) * STAT_COUNT + Stat::ImageSum as usize];
    assert!((kept - on_picture).abs() < 2e-3, "{kept} against {on_picture}");
    assert_eq!(trace.answer_topk().2, 10);
}

#[test]
fn a_new_file_never_replaces_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace().write_new(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = trace().write_new(&path).unwrap_err();
    assert!(error.is_taken(), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was left behind");
}

/// Cuts a file in place, as `cp` of a smaller one over it does.
fn cut_in_place(path: &Path, length: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[test]
fn a_trace_that_was_read_ahead_outlives_what_happens_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open.vlmtrace");
    trace().write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let open = Trace::open(&path).unwrap();
    assert_eq!(open.stamp(), FileStamp::read(&path));
    let late = Trace::open(&path).unwrap();
    open.read_ahead().unwrap();
    cut_in_place(&path, 10);
    check(&open);
    open.check().unwrap();
    assert_ne!(open.stamp(), FileStamp::read(&path));
    let copy = folder.path().join("copy.vlmtrace");
    open.write(&copy).unwrap();
    assert!(std::fs::read(&copy).unwrap() == whole);

    let error = late.read_ahead().unwrap_err();
    assert!(matches!(error, TraceError::ChangedOnDisk { .. }), "{error}");
    assert_eq!(late.page_bytes(0), None);
}

#[test]
fn a_large_trace_that_is_cut_or_overwritten_is_an_error_and_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.vlmtrace");
    let geometry = Geometry::named("llava-1.5-7b").unwrap();
    let synthetic = Synthetic::new(geometry, RowsKept::All, 1).unwrap();
    for damage in ["cut", "overwrite"] {
        synthetic.write_sparse(&path).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length > 500_000_000, "it must be larger than what is read ahead");
        let open = Trace::open(&path).unwrap();
        open.read_ahead().unwrap();
        let last = open.shape().rows - 1;
        let first = open.page_bytes(0).map(|bytes| bytes.len());
        assert_eq!(first, Some(open.shape().page_bytes()));
        let weights = open.weights(last, 1, 2).unwrap();
        assert_eq!(open.page(last).unwrap().len(), open.shape().page_len());
        assert!(weights.iter().any(|&weight| weight > 0.0));
        open.check().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        if damage == "cut" {
            cut_in_place(&path, length / 2);
        } else {
            let mut file = std::fs::File::options().write(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, &[0; 4096]).unwrap();
        }
        assert_eq!(open.page_bytes(last), None, "{damage}");
        let error = open.check().unwrap_err();
        assert!(matches!(error, TraceError::ChangedOnDisk { .. }), "{error}");
        assert!(error.to_string().contains("large.vlmtrace was changed or cut"), "{error}");
        // Pictures and answers were read when it was opened.
        assert!(open.picture_original(0).is_some() && !open.answer_ids().is_empty());
        let out = folder.path().join("out.vlmtrace");
        assert!(matches!(open.write(&out), Err(TraceError::ChangedOnDisk { .. })));
        assert!(!out.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
    }
}
