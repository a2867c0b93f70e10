//! Traces of format 2.0, as the Python package writes them, against what Python says of them.

use serde_json::Value;
use std::path::PathBuf;
use vlmscope::analysis::density::{DensityBuilder, Frame};
use vlmscope::trace::{AnswerIndex, STAT_COUNT, Stat, TokenKind, Trace, TraceError};
use vlmscope::view::{PictureChoice, Queries, Shown, ViewKind, ViewState};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces2")
}

fn open(name: &str) -> Trace {
    Trace::open(&folder().join(format!("{name}.vlmtrace"))).unwrap()
}

fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

/// Mean over layers and heads of one number of the overview.
fn mean(stats: &[f32], stat: Stat) -> f64 {
    let of_heads = stats.chunks_exact(STAT_COUNT).map(|head| f64::from(head[stat as usize]));
    of_heads.sum::<f64>() / (stats.len() / STAT_COUNT) as f64
}

#[test]
fn every_kind_of_trace_is_read_as_python_wrote_it() {
    let expected = expected();
    assert_eq!(expected.len(), 10);
    for (name, what) in &expected {
        let trace = open(name);
        let meta = trace.meta();
        assert_eq!(meta.format_version, what["format_version"], "{name}");
        assert_eq!(trace.shape().positions as u64, what["positions"], "{name}");
        assert_eq!(meta.question_keys(), numbers(&what["question_keys"]), "{name}");
        let is_latent = |key: &usize| meta.tokens[*key].kind == TokenKind::Image;
        assert!(!meta.question_keys().iter().any(is_latent), "{name}: pictures are no question");
        let separators: Vec<usize> = (0..meta.tokens.len())
            .filter(|&at| meta.tokens[at].kind == TokenKind::Separator)
            .collect();
        assert_eq!(separators, numbers(&what["separators"]), "{name}");
        let layers: Vec<usize> =
            meta.model.layer_numbers().iter().map(|&layer| layer as usize).collect();
        assert_eq!(layers, numbers(&what["attention_layers"]), "{name}");
        let token = AnswerIndex(what["token"].as_u64().unwrap() as u32);
        let row = trace.row_of_answer(token).unwrap();
        let question = mean(&trace.stats(row).unwrap(), Stat::QuestionSum);
        assert!((question - what["question_mass"].as_f64().unwrap()).abs() < 1e-5, "{name}");
        let views = what["views"].as_array().unwrap();
        assert_eq!(views.len(), meta.spans.len(), "{name}");
        for (span, view) in meta.spans.iter().zip(views) {
            assert_eq!(u64::from(span.picture), view["picture"], "{name}");
            let [row, column] = numbers(&view["patch"])[..] else { panic!("{name}: {view}") };
            let (row, column) = (row as u32, column as u32);
            assert_eq!(u64::from(span.key(row, column).unwrap().0), view["key"], "{name}");
            let rect = span.preprocessed_from_patch(row, column);
            let [x, y] = span.original_from_preprocessed([rect.x, rect.y]);
            let end = [rect.x + rect.width, rect.y + rect.height];
            let [right, bottom] = span.original_from_preprocessed(end);
            for (found, wanted) in
                [x, y, right - x, bottom - y].iter().zip(view["original_rect"].as_array().unwrap())
            {
                assert!((found - wanted.as_f64().unwrap()).abs() < 1e-9, "{name}");
            }
        }
    }
}

#[test]
fn the_share_of_a_view_leaves_separators_out() {
    for (name, what) in &expected() {
        let trace = open(name);
        let token = AnswerIndex(what["token"].as_u64().unwrap() as u32);
        let row = trace.row_of_answer(token).unwrap();
        let shape = trace.shape();
        for (span, view) in trace.meta().spans.iter().zip(what["views"].as_array().unwrap()) {
            let mut sum = 0.0;
            for layer in 0..shape.layers {
                for head in 0..shape.heads {
                    let weights = trace.weights(row, layer, head).unwrap();
                    sum += span.values_of(&weights).map(f64::from).sum::<f64>();
                }
            }
            let share = sum / (shape.layers * shape.heads) as f64;
            assert!((share - view["mass"].as_f64().unwrap()).abs() < 1e-5, "{name}: {share}");
        }
    }
}

#[test]
fn stats_that_a_file_lacks_are_those_that_python_computed() {
    for name in expected().keys() {
        let trace = open(name);
        let of = trace.row_stats();
        for row in (0..trace.shape().rows).step_by(5) {
            let stored = trace.stats(row).unwrap();
            let page = trace.page(row).unwrap();
            let computed =
                page.chunks_exact(trace.shape().positions).flat_map(|row| of.measure(row));
            for (stat, (stored, computed)) in stored.iter().zip(computed).enumerate() {
                let which = stat % STAT_COUNT;
                if which == Stat::ImageArgmax as usize {
                    continue;
                }
                let close = (stored - computed).abs() <= 2e-4 * computed.abs().max(1.0);
                assert!(close, "{name} row {row}, number {which}: {stored} and {computed}");
            }
        }
    }
}

#[test]
fn a_trace_is_written_again_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for name in expected().keys() {
        let first = open(name);
        let path = folder.path().join(format!("{name}.vlmtrace"));
        first.write(&path).unwrap();
        let second = Trace::open(&path).unwrap();
        assert_eq!(first.meta(), second.meta(), "{name}");
        let tensors = |trace: &Trace| -> Vec<String> {
            trace
                .tensors()
                .map(|(name, dtype, shape, _)| format!("{name} {dtype:?} {shape:?}"))
                .collect()
        };
        assert_eq!(tensors(&first), tensors(&second), "{name}");
    }
}

/// The trace `name` with its metadata changed.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Result<Trace, TraceError> {
    let whole = std::fs::read(folder().join(format!("{name}.vlmtrace"))).unwrap();
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    let meta = &mut header["__metadata__"]["vlmtrace"];
    let mut fields: Value = serde_json::from_str(meta.as_str().unwrap()).unwrap();
    change(&mut fields);
    *meta = Value::String(fields.to_string());
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&whole[8 + length..]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.vlmtrace");
    std::fs::write(&path, bytes).unwrap();
    Trace::open(&path)
}

#[test]
fn an_unknown_mode_is_kept_as_text() {
    let trace = changed("tiles", |meta| meta["preprocess"][0]["mode"] = "origami".into()).unwrap();
    assert_eq!(trace.meta().preprocess[0].mode.name(), "origami");
}

#[test]
fn views_and_layers_that_do_not_fit_are_refused() {
    type Change = fn(&mut Value);
    let cases: &[(&str, &str, Change)] = &[
        ("tiles", "canvas 9", |meta| meta["spans"][0]["canvas"] = 9.into()),
        ("stride", "row_stride", |meta| meta["spans"][1]["row_stride"] = 3.into()),
        ("stride", "does not fit", |meta| meta["spans"][1]["row_stride"] = u32::MAX.into()),
        ("stride", "does not fit", |meta| meta["spans"][1]["rows"] = u32::MAX.into()),
        ("stride", "does not fit", |meta| meta["spans"][1]["first"] = u32::MAX.into()),
        ("tiles", "overlap", |meta| meta["spans"][1]["first"] = 8.into()),
        ("tiles", "`frame`", |meta| meta["spans"][0]["kind"] = "frame".into()),
        ("tiles", "cells", |meta| meta["spans"][0]["cells"] = serde_json::json!([[0, 0, 1, 1]])),
        ("tiles", "canvas 1", |meta| {
            meta["preprocess"][1]["preprocessed_size"] = serde_json::json!([0, 5])
        }),
        ("hybrid", "attention_layers", |meta| {
            meta["model"]["attention_layers"] = serde_json::json!([0, 3])
        }),
        ("hybrid", "attention_layers", |meta| {
            meta["model"]["attention_layers"] = serde_json::json!([3, 1])
        }),
        ("hybrid", "kind of 1", |meta| meta["model"]["layer_kinds"] = serde_json::json!(["full"])),
        ("hybrid", "heads_of_layer", |meta| {
            meta["model"]["heads_of_layer"] = serde_json::json!([4, 9])
        }),
        ("cross", "virtual", |meta| meta["virtual_len"] = 4000.into()),
    ];
    for (name, what, change) in cases {
        let error = changed(name, change).err().unwrap_or_else(|| panic!("{name}: {what} is read"));
        assert!(error.to_string().contains(what), "{name}: {what}: {error}");
    }
}

#[test]
fn all_views_of_a_picture_are_drawn_and_the_caption_says_so() {
    let one = |view| PictureChoice { view: Some(view), ..Default::default() };
    let frame = PictureChoice { index: 1, ..Default::default() };
    let cases: [(&str, PictureChoice, &[usize], Option<&str>); 8] = [
        ("dynamic_grid", PictureChoice::default(), &[0], None),
        ("tiles", PictureChoice::default(), &[0, 1, 2], Some("3 views added")),
        ("tiles", one(2), &[2], Some("thumbnail only")),
        ("stride", PictureChoice::default(), &[0, 1], Some("2 views added")),
        ("two_pictures", PictureChoice::default(), &[0], Some("picture 0 only")),
        ("cross", PictureChoice::default(), &[0, 1, 2, 3], Some("4 views added")),
        ("frames", frame, &[1], Some("frame 1 at 2.5 s only")),
        ("unplaced", PictureChoice::default(), &[], None),
    ];
    for (name, choice, views, part) in cases {
        let trace = open(name);
        assert_eq!(choice.views(trace.meta()), views, "{name}");
        assert_eq!(choice.part(trace.meta()).as_deref(), part, "{name}");
        let shown = Shown::new(&ViewState { picture: choice, ..ViewState::default() }, &trace);
        assert_eq!(shown.views, views, "{name}");
        assert_eq!(shown.is_density(), views.len() > 1, "{name}");
        let pictures = ViewState { view: ViewKind::Pictures, ..ViewState::default() };
        let all: Vec<usize> = (0..trace.meta().spans.len()).collect();
        assert_eq!(Shown::new(&pictures, &trace).views, all, "{name}");
    }
}

#[test]
fn a_density_is_the_one_that_python_computes() {
    let mut compared = 0;
    for (name, what) in &expected() {
        let trace = open(name);
        let meta = trace.meta();
        let mut state = ViewState::default();
        state.map.queries = Queries::answer(what["token"].as_u64().unwrap() as u32);
        let weights = state.patch_values(&trace, None).unwrap_or_default();
        for (picture, found) in (0_u32..).zip(what["pictures"].as_array().unwrap()) {
            let mut first = 0;
            let mut placed = Vec::new();
            for span in &meta.spans {
                placed.extend((span.picture == picture).then_some((first, span)));
                first += span.patches();
            }
            let mut builder = DensityBuilder::default();
            builder.add(meta, Frame::Original(picture), [12, 8], placed.clone());
            let cells = builder.finish(first).apply(&weights);
            let rows = found["density_12x8"].as_array().unwrap().iter();
            let wanted = rows.flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap());
            for (at, (cell, wanted)) in cells.iter().zip(wanted).enumerate() {
                let density = f64::from(*cell) * 96.0;
                let close = (density - wanted).abs() < 2e-5 * wanted.abs().max(1.0);
                assert!(close, "{name}, picture {picture}, cell {at}: {density}, not {wanted}");
                compared += 1;
            }
            let whole: f32 = placed
                .iter()
                .map(|(first, span)| weights[*first..][..span.patches()].iter().sum::<f32>())
                .sum();
            let outside = f64::from(whole - cells.iter().sum::<f32>());
            assert!(
                (outside - found["outside"].as_f64().unwrap()).abs() < 1e-5,
                "{name}: {outside}"
            );
        }
    }
    assert_eq!(compared, 96 * 12);
}

#[test]
fn numbers_of_some_views_are_those_of_their_patches() {
    let trace = open("tiles");
    let state = ViewState::default();
    let all = state.resolve(&trace).unwrap();
    let (whole, tiles) = (all.values(), all.clone().of_views(vec![0, 1]));
    assert_eq!(tiles.patches(), 32);
    assert_eq!(tiles.values(), whole[..32]);
    assert_eq!(all.of_views(vec![2]).values(), whole[32..]);
}
