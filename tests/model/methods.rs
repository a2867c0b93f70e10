//! Methods on traces small enough to compute by hand.

use half::f16;
use std::sync::Arc;
use vlmscope::analysis::boxes::{NamedBox, answer_words, boxes_of_word, parse_boxes};
use vlmscope::analysis::methods::{
    Method, MethodError, MethodInfo, Needs, SINK_FACTOR, chosen_heads, compute, compute_mean,
    rollout_rows, sinks, spatial_entropy,
};
use vlmscope::analysis::score::{
    BoxPx, area, counts, fit, importance_order, probability, region_of_boxes,
};
use vlmscope::trace::{
    Affine, AnswerIndex, AnswerToken, ImageAttention, ImageSpan, ModelInfo, PreprocessInfo,
    PreprocessMode, Provenance, Query, Rect, RowStats, Sampling, Timings, TokenInfo, TokenKind,
    Trace, TraceBuilder, TraceMeta,
};

const SCALE: f32 = 4096.0;

fn span(rows: u32, columns: u32) -> ImageSpan {
    let (width, height) = (f64::from(columns) * 2.0, f64::from(rows) * 2.0);
    ImageSpan {
        picture: 0,
        first: 1,
        rows,
        columns,
        preprocessed_rect: Rect { x: 0.0, y: 0.0, width, height },
        // The original is ten times as large and begins 5 pixels to the left.
        original_from_preprocessed: Affine::scale_offset([10.0, 10.0], [5.0, 0.0]),
        ..ImageSpan::default()
    }
}

fn token(text: &str, kind: TokenKind, word: Option<u32>) -> TokenInfo {
    TokenInfo { id: 0, text: text.into(), kind, turn: 0, word }
}

/// BOS, the patches, "what", then `answer`: attention[layer][head] is a full [T, T] matrix.
fn trace(span: ImageSpan, answer: &[TokenInfo], attention: &[Vec<Vec<f32>>]) -> Trace {
    trace_of(ImageAttention::Causal, span, answer, attention)
}

fn trace_of(
    image_attention: ImageAttention,
    span: ImageSpan,
    answer: &[TokenInfo],
    attention: &[Vec<Vec<f32>>],
) -> Trace {
    let model = ModelInfo { image_attention, ..ModelInfo::default() };
    build(model, span, answer, attention, 0, 0)
}

/// The first `virtual_len` positions are keys of cross-attention. Rows are kept from `first_row` on, and their means over
/// heads where this is 0.
fn build(
    model: ModelInfo,
    span: ImageSpan,
    answer: &[TokenInfo],
    attention: &[Vec<Vec<f32>>],
    virtual_len: u32,
    first_row: usize,
) -> Trace {
    let patches = span.patches();
    let mut tokens = vec![token("<s>", TokenKind::Special, None)];
    tokens.extend((0..patches).map(|_| token("<image>", TokenKind::Image, None)));
    tokens.push(token("▁what", TokenKind::Question, Some(0)));
    let (layers, heads) = (attention.len(), attention[0].len());
    let (width, height) = (span.columns * 2, span.rows * 2);
    let meta = TraceMeta {
        format_version: "1.0".into(),
        model: ModelInfo { layers: layers as u32, heads: heads as u32, ..model },
        virtual_len,
        question: String::new(),
        answer: String::new(),
        sampling: Sampling::default(),
        prompt_len: tokens.len() as u32,
        tokens,
        spans: vec![span],
        preprocess: vec![PreprocessInfo {
            mode: PreprocessMode::Default.into(),
            original_size: [width * 10, height * 10],
            preprocessed_size: [width, height],
            ..PreprocessInfo::default()
        }],
        attention_scale: SCALE,
        timings: Timings::default(),
        ..TraceMeta::default()
    };
    let positions = meta.prompt_len() + answer.len() - 1;
    let stats_of = RowStats::new(&meta.spans, meta.question_keys(), SCALE);
    let rgb: Vec<u8> = (0..width * height).flat_map(|pixel| [pixel as u8, 100, 200]).collect();
    let mut builder = TraceBuilder::new(meta);
    builder.add_picture(0, &[1], [width, height], &rgb).unwrap();
    for query in first_row..positions {
        let row = |map: &Vec<f32>| -> Vec<f16> {
            let row = &map[query * positions..(query + 1) * positions];
            row.iter().map(|weight| f16::from_f32(weight * SCALE)).collect()
        };
        let of_layer = |layer: &Vec<Vec<f32>>| -> Vec<f16> {
            let maps: Vec<Vec<f16>> = layer.iter().map(row).collect();
            (0..positions)
                .map(|key| {
                    let sum: f32 = maps.iter().map(|map| map[key].to_f32()).sum();
                    f16::from_f32(sum / maps.len() as f32)
                })
                .collect()
        };
        let page: Vec<f16> = attention.iter().flatten().flat_map(row).collect();
        let stats: Vec<f32> =
            page.chunks_exact(positions).flat_map(|row| stats_of.measure(row)).collect();
        let mean: Vec<f16> = attention.iter().flat_map(of_layer).collect();
        let position = Query(query as u32);
        builder.push_page(position, positions, page.into(), stats.into()).unwrap();
        if first_row == 0 {
            builder.push_head_mean(position, positions, Arc::from(mean)).unwrap();
        }
    }
    for answer in answer {
        builder.push_token(AnswerToken { token: answer.clone(), logprob: 0.0, topk: vec![] });
    }
    builder.finish("fox", Timings::default(), Provenance::default()).unwrap()
}

fn one_word() -> Vec<TokenInfo> {
    vec![token("▁fox", TokenKind::Answer, Some(1))]
}

/// T = 4: BOS, two patches, the question.
#[rustfmt::skip]
fn two_layers() -> Vec<Vec<Vec<f32>>> {
    let first = vec![
        1.0, 0.0, 0.0, 0.0,
        0.5, 0.5, 0.0, 0.0,
        0.5, 0.25, 0.25, 0.0,
        0.25, 0.5, 0.25, 0.0,
    ];
    let second = vec![
        1.0, 0.0, 0.0, 0.0,
        0.0, 1.0, 0.0, 0.0,
        0.0, 0.5, 0.5, 0.0,
        0.5, 0.0, 0.5, 0.0,
    ];
    vec![vec![first], vec![second]]
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{what}: {found} instead of {expected}");
    }
}

#[test]
fn rollout_is_the_product_of_the_layers_with_their_residuals() {
    let trace = trace(span(1, 2), &one_word(), &two_layers());
    // Row 3 of Â_2 = (A_2 + I) / 2 is [1/4, 0, 1/4, 1/2]; times Â_1, row by row:
    //   1/4 · [1, 0, 0, 0] + 1/4 · [1/4, 1/8, 5/8, 0] + 1/2 · [1/8, 1/4, 1/8, 1/2]
    let expected = [0.375, 0.15625, 0.21875, 0.25];
    let row = rollout_rows(&trace, &[3]).unwrap();
    assert_close(&row, &expected, "rollout");
    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "a row of rollout sums to 1");
    let map = compute(&trace, Method::ROLLOUT, 0).unwrap();
    assert_close(&map, &expected[1..3], "its patches");
    // The first position sees itself only.
    assert_close(&rollout_rows(&trace, &[0]).unwrap(), &[1.0, 0.0, 0.0, 0.0], "position 0");
    assert_eq!(rollout_rows(&trace, &[4]), None, "no such position");
}

#[test]
fn rollout_counts_the_later_keys_that_patches_see() {
    #[rustfmt::skip]
    let attention = vec![
        1.0, 0.0, 0.0, 0.0,
        0.5, 0.25, 0.25, 0.0,
        0.5, 0.25, 0.25, 0.0,
        0.0, 1.0, 0.0, 0.0,
    ];
    let layers = [vec![attention.clone()], vec![attention]];
    let rollout = |image_attention| {
        let trace = trace_of(image_attention, span(1, 2), &one_word(), &layers);
        rollout_rows(&trace, &[3]).unwrap()
    };
    // Row 3 of Â is [0, 1/2, 0, 1/2]; times Â: 1/2 · [1/4, 5/8, 1/8, 0] + 1/2 · [0, 1/2, 0, 1/2].
    let both_ways = rollout(ImageAttention::Bidirectional);
    assert_close(&both_ways, &[0.125, 0.5625, 0.0625, 0.25], "both ways");
    assert_eq!(rollout(ImageAttention::Causal)[2], 0.0, "a causal row ends at its own key");
}

#[test]
fn rows_of_all_positions_that_ask_are_enough_for_rollout() {
    let expected = rollout_rows(&trace(span(1, 2), &one_word(), &two_layers()), &[3]).unwrap();
    let from_rows = |virtual_len| {
        let model = ModelInfo::default();
        build(model, span(1, 2), &one_word(), &two_layers(), virtual_len, 1)
    };
    // Keys of cross-attention never ask, so that they have no row; position 0 attends to nothing but itself here.
    assert_close(&rollout_rows(&from_rows(1), &[3]).unwrap(), &expected, "without a virtual row");
    assert_eq!(rollout_rows(&from_rows(0), &[3]), None, "the row of position 0 is missing");
}

#[test]
fn attention_is_averaged_and_bos_taken_out_row_by_row() {
    let trace = trace(span(1, 2), &one_word(), &two_layers());
    let mean = compute(&trace, Method::ATTENTION, 0).unwrap();
    assert_close(&mean, &[0.25, 0.375], "(0.5 + 0) / 2, (0.25 + 0.5) / 2");
    // Layer 0 without its 0.25 for BOS, layer 1 without its 0.5.
    let without = [0.5 / 0.75 / 2.0, (0.25 / 0.75 + 0.5 / 0.5) / 2.0];
    assert_close(&compute(&trace, Method::NO_BOS, 0).unwrap(), &without, "without BOS");
    // No patch is a sink here, so that only BOS goes.
    assert_close(&compute(&trace, Method::NO_SINKS, 0).unwrap(), &without, "without sinks");
    assert_eq!(sinks(&trace).unwrap().len(), 1, "BOS is always named");
}

/// T = 3 + `patches`: every query gives patch 0 most of its attention, the question alone patch 5.
fn with_a_sink(patches: usize) -> Vec<Vec<Vec<f32>>> {
    let positions = patches + 2;
    let mut map = vec![0.0; positions * positions];
    for query in 0..positions {
        let row = &mut map[query * positions..(query + 1) * positions];
        if query < 2 {
            row[query] = 1.0;
        } else {
            let asks = query == positions - 1;
            row[1] = if asks { 0.5 } else { 0.75 };
            row[6.min(query)] += if asks { 0.5 } else { 0.0 };
            row[query] += if asks { 0.0 } else { 0.25 };
        }
    }
    vec![vec![map]]
}

#[test]
fn a_sink_is_what_most_queries_look_at_and_not_what_one_looks_at() {
    let side = 6;
    let trace = trace(span(side, side), &one_word(), &with_a_sink(36));
    let found = sinks(&trace).unwrap();
    let patches: Vec<Option<u32>> = found.iter().map(|sink| sink.patch).collect();
    assert_eq!(patches, [None, Some(0)], "BOS, then patch 0; patch 5 is what was asked about");
    assert!(found[1].received >= SINK_FACTOR && found[0].received < 1.0, "{found:?}");
    // Queries 2 … 37 see it: 0.75 × 3, 0.75 × 4, …; the middle one (of 36) is query 20.
    assert!((found[1].received - 0.75 * 21.0).abs() < 0.1, "{found:?}");
    let map = compute(&trace, Method::NO_SINKS, 0).unwrap();
    let mut expected = vec![0.0; 36];
    expected[5] = 1.0;
    assert_close(&map, &expected, "all that is left after the sink is the object");
}

#[test]
fn heads_are_chosen_by_share_and_spatial_entropy() {
    let (rows, columns) = (2, 3);
    let span = span(rows, columns);
    // One patch; two patches apart; two patches that touch; nothing above the mean.
    let one = [0.0, 0.0, 0.0, 0.0, 0.9, 0.0];
    let apart = [0.4, 0.0, 0.4, 0.0, 0.0, 0.0];
    let touching = [0.4, 0.4, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(spatial_entropy(&one, &span), 0.0);
    assert!((spatial_entropy(&apart, &span) - 2.0_f32.ln()).abs() < 1e-6);
    assert!(spatial_entropy(&touching, &span).abs() < 1e-6);
    assert_eq!(spatial_entropy(&[0.1; 6], &span), f32::INFINITY, "an even map says nothing");
    // The end of one row does not touch the beginning of the next.
    let ends = [0.0, 0.0, 0.4, 0.4, 0.0, 0.0];
    assert!((spatial_entropy(&ends, &span) - 2.0_f32.ln()).abs() < 1e-6);

    let positions = 8;
    let head = |map: &[f32; 6]| {
        let mut full = vec![0.0; positions * positions];
        (0..positions).for_each(|query| full[query * positions] = 1.0);
        let last = (positions - 1) * positions;
        full[last] = 1.0 - map.iter().sum::<f32>();
        full[last + 1..last + 7].copy_from_slice(map);
        full
    };
    let blind = [0.001, 0.0, 0.0, 0.0, 0.0, 0.0];
    let attention = vec![vec![head(&apart), head(&blind)], vec![head(&one), head(&touching)]];
    let trace = trace(span, &one_word(), &attention);
    let chosen = chosen_heads(&trace, AnswerIndex(0)).unwrap();
    let names: Vec<[u32; 2]> = chosen.iter().map(|head| [head.layer, head.head]).collect();
    assert_eq!(names, [[1, 0], [1, 1], [0, 0]], "sharp first, of equals the larger share");
    let map = compute(&trace, Method::HEADS, 0).unwrap();
    let third = |values: [f32; 6]| values.map(|value| value / 3.0);
    let expected = third([0.8, 0.4, 0.4, 0.0, 0.9, 0.0]);
    for (found, expected) in map.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-3, "{map:?}");
    }
}

#[test]
fn random_maps_depend_on_their_seed_alone() {
    let trace = trace(span(1, 2), &one_word(), &two_layers());
    let map = |seed| compute(&trace, Method::RANDOM, seed).unwrap();
    assert_eq!(map(1), map(1));
    assert_ne!(map(1), map(2));
    assert!(map(3).iter().all(|value| (0.0..1.0).contains(value)));
}

#[test]
fn methods_are_known_by_their_names_and_say_what_they_need() {
    for &method in Method::ALL {
        assert_eq!(method.name.parse(), Ok(method));
        assert_eq!(method.tensor.parse(), Ok(method));
    }
    assert_eq!("relevancy-llm".parse(), Ok(Method::LLM));
    assert_eq!("llm_own".parse(), Ok(Method::LLM_OWN));
    // Spellings with - and _ name the same method; a method of pages also serves as a map, by its mean.
    assert_eq!("gradient_attention".parse(), Ok(Method::GRADIENT_ATTENTION));
    assert_eq!("gradient-attention".parse(), Ok(Method::GRADIENT_ATTENTION));
    assert_eq!("grad-attention".parse(), Ok(Method::GRAD_ATTENTION));
    assert_eq!(Method::GRADIENT_ATTENTION.as_map(), Method::GRAD_ATTENTION);
    let error = "saliency".parse::<Method>().unwrap_err();
    assert!(error.contains("saliency") && error.contains("rollout"), "{error}");
    let trace = trace(span(1, 2), &one_word(), &two_layers());
    let method = Method::ALL_LAYERS;
    assert_eq!(
        compute(&trace, method, 0),
        Err(MethodError::NeedsModel { method, command: "relevancy" })
    );
}

#[test]
fn names_tensors_and_spellings_are_each_of_one_method() {
    let mut spellings = std::collections::BTreeMap::new();
    for method in Method::ALL {
        let own = [method.name, method.tensor];
        for spelling in own.into_iter().chain(method.aliases.iter().copied()) {
            let other = spellings.insert(spelling.replace('_', "-"), method.name);
            assert!(other.is_none_or(|other| other == method.name), "{spelling}");
            assert_eq!(spelling.parse::<Method>().map(|found| found.name), Ok(method.name));
        }
        assert!(!method.title.is_empty() && !method.summary.contains('\n'), "{method}");
    }
}

/// The table of docs/methods.md, from the table of methods.
fn methods_in_markdown() -> String {
    let mut text = "| name | takes | what it is | source |\n| --- | --- | --- | --- |\n".to_owned();
    for method in Method::ALL {
        let takes = match method.needs() {
            Needs::Trace if *method == Method::RANDOM => "a seed",
            Needs::Trace => "the trace",
            Needs::Forward => "a forward",
            Needs::Gradients => "gradients",
        };
        let MethodInfo { name, definition, source, .. } = **method;
        text.push_str(&format!("| `{name}` | {takes} | {definition} | {source} |\n"));
    }
    text
}

#[test]
fn the_table_of_methods_is_in_the_docs() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/methods.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find("<!-- methods:").unwrap();
    let start = start + text[start..].find('\n').unwrap() + 1;
    let end = text.find("<!-- end of methods -->").unwrap();
    let table = methods_in_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, [&text[..start], &table, &text[end..]].concat()).unwrap();
        return;
    }
    assert_eq!(&text[start..end], table, "run this test with UPDATE_DOCS=1 to write the table");
}

#[test]
fn a_map_at_some_tokens_is_the_mean_of_their_rows() {
    use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
    let small = Geometry::named("small").unwrap();
    let trace = Synthetic::new(small, RowsKept::Text, 1).unwrap().trace().unwrap();
    let patches = trace.meta().patches();
    let all = compute(&trace, Method::RANDOM, 7).unwrap();
    let row = |token: usize| &all[token * patches..][..patches];
    assert_eq!(compute_mean(&trace, Method::RANDOM, 7, &[2]).unwrap(), row(2));
    let mean = compute_mean(&trace, Method::RANDOM, 7, &[1, 3]).unwrap();
    assert_eq!(mean.len(), patches);
    for (patch, value) in mean.iter().enumerate() {
        let expected = (row(1)[patch] + row(3)[patch]) / 2.0;
        assert!((value - expected).abs() < 1e-6, "patch {patch}: {value}, {expected}");
    }
}

#[test]
fn importance_is_ordered_with_ties_where_they_stand() {
    assert_eq!(importance_order(&[0.1, 0.5, 0.5, f32::NAN, 0.2]), [1, 2, 4, 0, 3]);
    assert_eq!(counts(144, 24), (0..=24).map(|step| step * 6).collect::<Vec<_>>());
    assert_eq!(counts(10, 4), [0, 3, 5, 8, 10]);
    assert_eq!(counts(3, 24), [0, 1, 2, 3], "no more steps than patches");
    assert_eq!(counts(1000, 99).len(), 25, "never more than 24 steps");
}

#[test]
fn areas_and_probabilities_are_as_by_hand() {
    // (0.9 + 0.5) / 2 · 1/4 + (0.5 + 0.1) / 2 · 3/4
    let area_by_hand = 0.7 * 0.25 + 0.3 * 0.75;
    assert!((area(&[(0, 0.9), (1, 0.5), (4, 0.1)]) - area_by_hand).abs() < 1e-12);
    assert_eq!(area(&[(0, 1.0), (4, 1.0)]), 1.0);
    let logprobs = [0.25_f32.ln(), 0.0, 0.5_f32.ln()];
    assert!((probability(&logprobs, &[0]) - 0.25).abs() < 1e-6);
    let geometric = (0.25_f64 * 0.5).sqrt();
    assert!((probability(&logprobs, &[0, 2]) - geometric).abs() < 1e-6);
}

#[test]
fn pointing_and_energy_know_the_boxes_in_the_original() {
    let fit = |map: &[f32], spans: &[ImageSpan], boxes: &[BoxPx]| {
        fit(map, spans, None, &region_of_boxes(boxes))
    };
    // Four patches of 2 × 2 pixels; in the original 20 × 20 each, from x = 5.
    let spans = [span(2, 2)];
    let map = [0.0, 3.0, 1.0, -2.0];
    let upper_right = [25.0, 0.0, 45.0, 20.0];
    let found = fit(&map, &spans, &[upper_right]);
    assert!(found.hit);
    assert!((found.energy - 0.75).abs() < 1e-9 && (found.chance - 0.25).abs() < 1e-9, "{found:?}");
    // Half of the upper left patch and the whole lower left one; negative values have no mass.
    let left = [[5.0, 0.0, 15.0, 20.0], [5.0, 20.0, 25.0, 40.0]];
    let found = fit(&map, &spans, &left);
    assert!(!found.hit);
    assert!((found.energy - 0.25).abs() < 1e-9 && (found.chance - 0.375).abs() < 1e-9, "{found:?}");
    // Boxes that overlap do not count twice.
    assert!((fit(&map, &spans, &[upper_right; 2]).energy - 0.75).abs() < 1e-9);
    assert!(fit(&[0.0; 4], &spans, &[upper_right]).energy.is_nan(), "no mass, no share");
}

fn full_bos(positions: usize) -> Vec<Vec<Vec<f32>>> {
    let mut map = vec![0.0; positions * positions];
    (0..positions).for_each(|query| map[query * positions] = 1.0);
    vec![vec![map]]
}

#[test]
fn words_find_their_boxes() {
    let answer = [
        token("▁two", TokenKind::Answer, Some(1)),
        token("▁butter", TokenKind::Answer, Some(2)),
        token("flies", TokenKind::Answer, Some(2)),
        token(".", TokenKind::Answer, None),
        token("</s>", TokenKind::Special, None),
    ];
    let trace = trace(span(1, 2), &answer, &full_bos(8));
    let words = answer_words(&trace);
    assert_eq!(words, [("two".to_owned(), vec![0]), ("butterflies".to_owned(), vec![1, 2])]);
    let named = |noun: &str, left: f64| NamedBox { noun: noun.into(), rect: [left, 0.0, 9.0, 9.0] };
    let boxes = [named("butterfly", 1.0), named("fox", 2.0), named("butterfly", 3.0)];
    assert_eq!(boxes_of_word(&boxes, "Butterflies").len(), 2);
    assert_eq!(boxes_of_word(&boxes, "foxes"), [[2.0, 0.0, 9.0, 9.0]]);
    assert!(boxes_of_word(&boxes, "two").is_empty());

    // The trace's picture is 40 × 20.
    let read = |text: &str| parse_boxes(text, &trace);
    let plain = read(r#"[{"noun": "fox", "box": [1, 2, 3, 4]}]"#).unwrap();
    assert_eq!(plain, [NamedBox { noun: "fox".into(), rect: [1.0, 2.0, 3.0, 4.0] }]);
    let scaled =
        read(r#"{"width": 80, "height": 20, "boxes": [{"label": "fox", "box": [2, 2, 8, 4]}]}"#);
    assert_eq!(scaled.unwrap()[0].rect, [1.0, 2.0, 4.0, 4.0]);
    for (text, word) in [
        ("7", "noun"),
        (r#"[{"box": [1, 2, 3, 4]}]"#, "no `noun`"),
        (r#"[{"noun": "fox", "box": [3, 2, 1, 4]}]"#, "no area"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
