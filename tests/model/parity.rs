//! The same numbers as transformers, from the picture's bytes to the last log-probability.
//!
//! Tolerances: both sides compute in f32 with other orders of addition, which moves logits by some
//! 1e-6 (bound 1e-4) and attention by some 1e-7; attention is then stored as f16 × 4096, whose
//! spacing is 2⁻¹¹ of the value (bound 3e-6 + 1e-3·b). The f16 bundle computes in half precision
//! and has its own bounds in its fixture.

use crate::support::{Fixture, MODELS, ask, excess, mode, numbers, picture, request, text};
use vlmscope::model::{AskOptions, Bundle, Rows, build_prompt, nucleus, preprocess};
use vlmscope::trace::{Head, Layer, Query, Trace};

/// Bars of the preprocessing, in steps of 8 bits.
const MEAN_ERROR: f64 = 0.5;
const LARGEST_ERROR: u8 = 3;

#[test]
fn the_model_sees_the_same_pixels() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let bundle = Bundle::open(&fixture.bundle()).unwrap();
        let cases = fixture.list("preprocess");
        assert!(cases.len() >= 8, "{model}");
        for case in cases {
            let name = text(&case["picture"]);
            let what = format!("{model}, {name}, {}", case["mode"]);
            let source = picture(&format!("pictures/{name}"));
            let seen = preprocess(&source, mode(&case["mode"]), bundle.manifest()).unwrap();
            let expected =
                image::open(crate::support::parity().join(text(&case["seen"]))).unwrap().to_rgb8();
            assert_eq!(seen.size, [expected.width(), expected.height()], "{what}");
            let errors: Vec<u8> =
                seen.rgb.iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = errors.iter().map(|&e| f64::from(e)).sum::<f64>() / errors.len() as f64;
            let largest = *errors.iter().max().unwrap();
            assert!(
                mean <= MEAN_ERROR && largest <= LARGEST_ERROR,
                "{what}: mean {mean}, {largest}"
            );

            // pixel_values are those bytes, normalised.
            let rules = &bundle.manifest().preprocess;
            let [width, height] = seen.size.map(|edge| edge as usize);
            for (index, &value) in seen.pixel_values.iter().enumerate() {
                let (channel, pixel) = (index / (width * height), index % (width * height));
                let byte = f32::from(seen.rgb[pixel * 3 + channel]);
                let expected =
                    (byte * rules.rescale_factor as f32 - rules.mean[channel]) / rules.std[channel];
                assert!((value - expected).abs() < 1e-5, "{what}");
            }
        }
    }
}

#[test]
fn texts_and_conversations_have_the_same_ids() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let bundle = Bundle::open(&fixture.bundle()).unwrap();
        let tokenizer = bundle.tokenizer();
        for case in fixture.content["prompts"]["texts"].as_array().unwrap() {
            let encoded =
                tokenizer.encode(&text(&case["text"]), case["add_special_tokens"] == true).unwrap();
            let ids: Vec<u32> = encoded.iter().map(|token| token.id).collect();
            assert_eq!(ids, numbers::<u32>(&case["ids"]), "{model}: {}", case["text"]);
        }
        for case in fixture.content["prompts"]["decoded"].as_array().unwrap() {
            let decoded = tokenizer.decode(&numbers::<u32>(&case["ids"])).unwrap();
            assert_eq!(decoded, text(&case["text"]), "{model}");
        }
        let conversations = fixture.content["prompts"]["conversations"].as_array().unwrap().clone();
        assert!(conversations.len() >= 4, "{model}");
        for case in conversations {
            let asked = request(None, &numbers::<String>(&case["turns"]));
            let pictures = usize::from(case["picture"] == true);
            let built = build_prompt(&bundle, &asked.turns, &asked.question, pictures).unwrap();
            assert_eq!(built.text, text(&case["rendered"]), "{model}");
            assert_eq!(built.ids, numbers::<u32>(&case["ids"]), "{model}: {}", built.text);
        }
    }
}

#[test]
fn whole_runs_have_the_same_numbers() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        for run in fixture.list("runs") {
            let what = format!("{model}, {}", run["name"]);
            let vocabulary = engine.manifest().text.vocab;
            let mut asked =
                request(Some(picture(&text(&run["picture"]))), &numbers::<String>(&run["turns"]));
            asked.options = AskOptions {
                rows: Rows::All,
                preprocess: mode(&run["mode"]),
                // All log-probabilities: logits up to the constant that softmax removes.
                topk: vocabulary,
                ..AskOptions::default()
            };
            asked.options.sampling.max_new_tokens = 16;
            let trace = ask(&mut engine, &asked);
            let ids: Vec<u32> = trace.meta().tokens.iter().map(|token| token.id).collect();
            let (prompt, answer) = ids.split_at(trace.meta().prompt_len());
            assert_eq!(prompt, numbers::<u32>(&run["prompt_ids"]), "{what}");
            assert_eq!(answer, numbers::<u32>(&run["answer_ids"]), "{what}");
            assert_eq!(trace.meta().answer, text(&run["answer"]).trim(), "{what}");
            compare_run(&fixture, &text(&run["name"]), &run, &trace, &what);
        }
    }
}

fn compare_run(fixture: &Fixture, name: &str, run: &serde_json::Value, trace: &Trace, what: &str) {
    let bound = fixture.logit_tolerance();
    let (shape, logits) = fixture.tensor(&format!("{name}.logits"));
    let (ids, logprobs, k) = trace.answer_topk();
    assert_eq!([trace.shape().generated, k], shape[..], "{what}");
    for (index, logits) in logits.chunks_exact(k).enumerate() {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
        let normaliser = f64::from(largest) + sum.ln();
        for (id, logprob) in ids[index * k..].iter().zip(&logprobs[index * k..]).take(k) {
            let expected = (f64::from(logits[*id as usize]) - normaliser) as f32;
            assert!((logprob - expected).abs() <= bound, "{what}: {logprob} for {expected}");
        }
    }
    let error =
        excess(&trace.answer_logprobs(), &numbers::<f32>(&run["answer_logprob"]), [bound, 0.0]);
    assert!(error <= 1.0, "{what}: log-probabilities at {error} of their bound");

    let bounds = fixture.attention_tolerance();
    let scale = trace.meta().attention_scale;
    let plain = |weights: &[half::f16]| -> Vec<f32> {
        weights.iter().map(|weight| weight.to_f32() / scale).collect()
    };
    let shape = trace.shape();
    let (_, expected) = fixture.tensor(&format!("{name}.attention"));
    for (query, expected) in
        numbers::<u32>(&run["attention_rows"]).iter().zip(expected.chunks_exact(shape.page_len()))
    {
        let row = trace.row_of_query(Query(*query)).unwrap();
        let error = excess(&plain(&trace.page(row).unwrap()), expected, bounds);
        assert!(error <= 1.0, "{what}, row {query}: attention at {error} of its bound");
    }
    let positions = shape.positions;
    for (kind, maps) in [("head_mean", shape.layers), ("last_layer", shape.heads)] {
        let (_, expected) = fixture.tensor(&format!("{name}.{kind}"));
        let rows = numbers::<usize>(&run["few_rows"]);
        for (query, expected) in rows.iter().zip(expected.chunks_exact(maps * positions)) {
            for (map, expected) in expected.chunks_exact(positions).enumerate() {
                let found = match kind {
                    "head_mean" => trace.head_mean(Layer(map as u32)).unwrap(),
                    _ => trace.last_layer(Head(map as u32)).unwrap(),
                };
                let found = plain(&found[query * positions..(query + 1) * positions]);
                let error = excess(&found, expected, bounds);
                assert!(error <= 1.0, "{what}, {kind}, map {map}, row {query}: {error}");
            }
        }
    }
}

#[test]
fn given_answers_have_the_same_log_probabilities() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        for case in fixture.list("scored") {
            let mut asked =
                request(Some(picture(&text(&case["picture"]))), &numbers::<String>(&case["turns"]));
            asked.options.answer = Some(text(&case["answer"]));
            let trace = ask(&mut engine, &asked);
            let ids: Vec<u32> = trace.answer_ids().iter().map(|&id| id as u32).collect();
            assert_eq!(ids, numbers::<u32>(&case["ids"]), "{model}: {}", case["answer"]);
            let expected = numbers::<f32>(&case["logprob"]);
            let error =
                excess(&trace.answer_logprobs(), &expected, [fixture.logit_tolerance(), 0.0]);
            assert!(error <= 1.0, "{model}: {error} of the bound");
            assert!(trace.meta().sampling.forced);
        }
    }
}

#[test]
fn the_vision_tower_attends_the_same() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        let case = &fixture.content["vision"];
        let mut asked =
            request(Some(picture(&text(&case["picture"]))), &["What is this?".to_owned()]);
        asked.options.vision_attention = true;
        asked.options.sampling.max_new_tokens = 1;
        let trace = ask(&mut engine, &asked);
        let (shape, expected) = fixture.tensor("vision.vision_attention");
        let [layers, heads, rows, tokens] = shape[..] else { panic!("{shape:?}") };
        let queries = numbers::<usize>(&case["rows"]);
        assert_eq!(queries.len(), rows);
        for layer in 0..layers {
            let found = trace.vision_attention(Layer(layer as u32)).unwrap();
            for head in 0..heads {
                for (index, query) in queries.iter().enumerate() {
                    let at = (head * tokens + query) * tokens;
                    let found: Vec<f32> = found[at..at + tokens]
                        .iter()
                        .map(|weight| weight.to_f32() / trace.meta().attention_scale)
                        .collect();
                    let at = ((layer * heads + head) * rows + index) * tokens;
                    let error =
                        excess(&found, &expected[at..at + tokens], fixture.attention_tolerance());
                    assert!(error <= 1.0, "{model}, layer {layer}, head {head}: {error}");
                }
            }
        }
    }
}

#[test]
fn the_built_in_model_answers_fifty_questions_the_same() {
    let fixture = Fixture::of("tiny");
    let mut engine = fixture.engine();
    let scenes = fixture.list("scenes");
    assert_eq!(scenes.len(), 50);
    for scene in &scenes {
        let question = text(&scene["question"]);
        let trace =
            ask(&mut engine, &request(Some(picture(&text(&scene["picture"]))), &[question]));
        let what = format!("{}: {}", scene["picture"], scene["question"]);
        let ids: Vec<u32> = trace.answer_ids().iter().map(|&id| id as u32).collect();
        assert_eq!(ids, numbers::<u32>(&scene["answer_ids"]), "{what}");
        assert_eq!(trace.meta().answer, text(&scene["answer"]), "{what}");
    }
    // Ten pictures, each asked five questions in a row: the tower ran once for each.
    assert_eq!(engine.counters().vision_runs, 10);
}

#[test]
fn tokens_are_drawn_from_the_same_distribution() {
    let fixture = Fixture::of("tiny");
    let (_, logits) = fixture.tensor("sampling.logits");
    for case in fixture.list("sampling") {
        let number = |name: &str| case[name].as_f64().unwrap() as f32;
        let (_, expected) = fixture.tensor(&text(&case["tensor"]));
        let mut found = vec![0.0; expected.len()];
        for (id, probability) in nucleus(&logits, number("temperature"), number("top_p")) {
            found[id as usize] = probability as f32;
        }
        // Their sums run in f32: the last digits differ, the set of tokens does not.
        let error = excess(&found, &expected, [1e-6, 1e-4]);
        assert!(error <= 1.0, "{case}: {error}");
        let kept = |values: &[f32]| values.iter().filter(|value| **value > 0.0).count();
        assert_eq!(kept(&found), kept(&expected), "{case}");
    }
}
