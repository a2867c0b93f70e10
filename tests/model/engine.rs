//! Guarantees of the engine beyond single numbers: parts of a trace agree with each other, work is kept between
//! questions without changing any result, events stream, and cancelling works.

#![allow(clippy::single_range_in_vec_init, reason = "an intervention is a list of ranges")]

use crate::support::{Fixture, MODELS, ask, ask_with_events, picture, request};
use half::f16;
use std::time::Duration;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskEvent, AskRequest, AskStage, Device, Engine, EngineOptions, Interventions, ModelError,
    ModelEvent, ModelWorker, Picture, Rows, StreamDecoder, Turn, preprocess,
};
use vlmscope::trace::RowStats;
use vlmscope::trace::{AnswerIndex, Head, Layer, PreprocessMode, STAT_COUNT, TokenKind, Trace};

const QUESTION: &str = "What is on the left?";

fn a_picture() -> Picture {
    picture("scenes/scene0.png")
}

fn question(text: &str) -> AskRequest {
    request(Some(a_picture()), &[text.to_owned()])
}

/// The weights of all rows.
fn pages(trace: &Trace) -> Vec<Vec<f16>> {
    (0..trace.rows().len()).map(|row| trace.page(row).unwrap().into_owned()).collect()
}

/// All tensors with their bytes.
fn tensors(trace: &Trace) -> Vec<(String, Vec<u8>)> {
    let names: Vec<String> = trace.tensors().map(|(name, ..)| name.to_owned()).collect();
    names
        .into_iter()
        .map(|name| {
            let bytes = trace.tensor(&name).unwrap().bytes.into_owned();
            (name, bytes)
        })
        .collect()
}

fn assert_same_tensors(left: &Trace, right: &Trace, what: &str) {
    let (left, right) = (tensors(left), tensors(right));
    for ((name, left), (other, right)) in left.iter().zip(&right) {
        assert_eq!(name, other, "{what}");
        assert!(left == right, "{what}: {name} differs");
    }
    assert_eq!(left.len(), right.len(), "{what}");
}

/// Largest difference in steps of f16: neighbours have neighbouring bits.
fn largest_step(left: &[f16], right: &[f16]) -> u16 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| a.to_bits().abs_diff(b.to_bits())).max().unwrap_or(0)
}

#[test]
fn the_parts_of_a_trace_agree() {
    for model in MODELS {
        let mut engine = Fixture::of(model).engine();
        let mut asked = question(QUESTION);
        asked.options.rows = Rows::All;
        asked.options.sampling.max_new_tokens = 4;
        let trace = ask(&mut engine, &asked);
        let (meta, shape) = (trace.meta(), trace.shape());
        assert_eq!(trace.rows().len(), shape.positions, "{model}: all rows are kept");
        let stats_of = RowStats::new(&meta.spans, meta.question_keys(), meta.attention_scale);
        for (query, page) in pages(&trace).iter().enumerate() {
            let stats = trace.stats(query).unwrap();
            for (map, row) in page.chunks_exact(shape.positions).enumerate() {
                let what = format!("{model}, query {query}, map {map}");
                let sum: f32 = row.iter().map(|weight| weight.to_f32()).sum();
                assert!((sum / meta.attention_scale - 1.0).abs() <= 2e-3, "{what}: sum {sum}");
                assert!(row[query + 1..].iter().all(|weight| weight.to_bits() == 0), "{what}");
                let found = &stats[map * STAT_COUNT..(map + 1) * STAT_COUNT];
                // The sums of a row do not depend on how many zeros follow it.
                assert_eq!(found, stats_of.measure(row), "{what}");
            }
            let row = query * shape.positions..(query + 1) * shape.positions;
            for layer in 0..shape.layers {
                let mean = trace.head_mean(Layer(layer as u32)).unwrap();
                for (key, &mean) in mean[row.clone()].iter().enumerate() {
                    let exact: f32 = (0..shape.heads)
                        .map(|head| page[(layer * shape.heads + head) * shape.positions + key])
                        .map(f16::to_f32)
                        .sum::<f32>()
                        / shape.heads as f32;
                    // Half a step of f16 for each head's weight and for the mean.
                    let bound = 1e-3 * exact + 2.0 * f16::MIN_POSITIVE_SUBNORMAL.to_f32();
                    assert!((mean.to_f32() - exact).abs() <= bound, "{model}: {mean} for {exact}");
                }
            }
            for head in 0..shape.heads {
                let last = trace.last_layer(Head(head as u32)).unwrap();
                let map = (shape.layers - 1) * shape.heads + head;
                let page = &page[map * shape.positions..(map + 1) * shape.positions];
                assert_eq!(&last[row.clone()], page, "{model}, query {query}, head {head}");
            }
        }
    }
}

#[test]
fn text_rows_are_those_after_the_picture_and_the_same_as_among_all() {
    let mut engine = Fixture::of("tiny").engine();
    let text = ask(&mut engine, &question(QUESTION));
    engine.forget(&CancelToken::new()).unwrap();
    let mut asked = question(QUESTION);
    asked.options.rows = Rows::All;
    let all = ask(&mut engine, &asked);
    let first = text.meta().spans[0].extent().end as u32;
    let positions = text.shape().positions as u32;
    assert_eq!(text.rows(), (first..positions).collect::<Vec<_>>());
    for (row, &query) in text.rows().iter().enumerate() {
        assert!(text.page(row).unwrap() == all.page(query as usize).unwrap(), "query {query}");
    }
    let row = text.row_of_answer(AnswerIndex(0)).unwrap();
    assert_eq!(text.rows()[row], text.meta().prompt_len - 1);

    let without = ask(&mut engine, &request(None, &[QUESTION.to_owned()]));
    assert_eq!(without.rows().len(), without.shape().positions, "no picture: every row");
    assert!(without.meta().spans.is_empty());
}

#[test]
fn the_generated_answer_scores_as_it_was_generated() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        let mut asked = question(QUESTION);
        asked.options.sampling.max_new_tokens = 12;
        let generated = ask(&mut engine, &asked);
        // Only an answer whose text has these ids can be given back as text; the random models
        // may say something that encodes differently, and are then asked about a plain sentence.
        let sentence = generated.meta().answer.clone();
        asked.options.answer = Some(sentence);
        engine.forget(&CancelToken::new()).unwrap();
        let scored = ask(&mut engine, &asked);
        let ids = generated.answer_ids();
        if model == "tiny" {
            assert_eq!(
                ids,
                scored.answer_ids(),
                "the built-in model's answers encode to themselves"
            );
        }
        let same = ids.iter().zip(scored.answer_ids().iter()).take_while(|(a, b)| a == b).count();
        let (left, right) = (generated.answer_logprobs(), scored.answer_logprobs());
        for index in 0..same {
            let bound = if model.ends_with("f16") { 2e-2 } else { 1e-4 };
            assert!((left[index] - right[index]).abs() <= bound, "{model}, token {index}");
        }
        // The attention of both traces is the same, too.
        for index in 0..same.min(scored.shape().generated - 1) {
            let row = |trace: &Trace| trace.row_of_answer(AnswerIndex(index as u32)).unwrap();
            let (generated_row, scored_row) = (row(&generated), row(&scored));
            let left = generated.stats(generated_row).unwrap();
            let right = scored.stats(scored_row).unwrap();
            for (left, right) in left.chunks_exact(5).zip(right.chunks_exact(5)) {
                let bound = if model.ends_with("f16") { 2e-2 } else { 1e-3 };
                assert!((left[0] - right[0]).abs() <= bound, "{model}, token {index}");
            }
        }
    }
}

#[test]
fn neutral_interventions_change_no_bit_and_others_do_what_they_say() {
    for model in ["tiny", "gqa", "gemma"] {
        let mut engine = Fixture::of(model).engine();
        let mut asked = question(QUESTION);
        asked.options.sampling.max_new_tokens = 3;
        let plain = ask(&mut engine, &asked);
        let text = engine.manifest().text.clone();
        let everything = 0..u32::MAX;
        for neutral in [
            Interventions { head_scale: vec![1.0; text.layers * text.heads], ..Default::default() },
            Interventions {
                knock_layers: (0..text.layers as u32).collect(),
                knock_queries: vec![everything.clone()],
                ..Default::default()
            },
            Interventions {
                knock_layers: (0..text.layers as u32).collect(),
                knock_keys: vec![everything.clone()],
                ..Default::default()
            },
        ] {
            assert!(neutral.is_neutral());
            asked.options.interventions = neutral;
            assert_same_tensors(&plain, &ask(&mut engine, &asked), model);
        }

        // No answer position sees the picture in layer 0, and every one does in layer 1.
        let span = plain.meta().spans[0].extent();
        let knock = Interventions {
            knock_layers: vec![0],
            knock_queries: vec![plain.meta().prompt_len - 1..u32::MAX],
            knock_keys: vec![span.start as u32..span.end as u32],
            ..Default::default()
        };
        asked.options.interventions = knock;
        let knocked = ask(&mut engine, &asked);
        for index in 0..knocked.shape().generated {
            let row = knocked.row_of_answer(AnswerIndex(index as u32)).unwrap();
            for head in 0..text.heads {
                let sum = |layer: usize| -> f32 {
                    knocked.weights(row, layer, head).unwrap()[span.clone()].iter().sum()
                };
                assert_eq!(sum(0), 0.0, "{model}, token {index}, head {head}");
                assert!(sum(1) > 0.0, "{model}, token {index}, head {head}");
            }
        }
        // Without the last layer's heads the logits are others, the last layer's attention is not.
        let mut head_scale = vec![1.0; text.layers * text.heads];
        head_scale[(text.layers - 1) * text.heads..].fill(0.0);
        asked.options.interventions = Interventions { head_scale, ..Default::default() };
        let scaled = ask(&mut engine, &asked);
        assert_ne!(plain.answer_topk().1, scaled.answer_topk().1, "{model}");
        let row = |trace: &Trace| {
            trace.page(trace.row_of_answer(AnswerIndex(0)).unwrap()).unwrap().into_owned()
        };
        let (left, right) = (row(&plain), row(&scaled));
        let keys = plain.meta().prompt_len();
        for map in 0..text.layers * text.heads {
            let part = |page: &[f16], positions: usize| {
                page[map * positions..map * positions + keys].to_vec()
            };
            let left = part(&left, plain.shape().positions);
            assert_eq!(left, part(&right, scaled.shape().positions), "{model}, map {map}");
        }
    }
}

#[test]
fn a_second_question_reuses_the_prefix_and_its_trace_is_that_of_a_fresh_engine() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        let mut first = question("What is on the left?");
        first.options.sampling.max_new_tokens = 6;
        first.options.rows = Rows::All;
        let before = ask(&mut engine, &first);
        let start = engine.counters();
        assert_eq!(start.vision_runs, 1);
        assert_eq!(start.prefill_positions, u64::from(before.meta().prompt_len));

        // Another question, then a follow-up in the same conversation, then the first again.
        let mut other = question("Is there a cat?");
        other.options = first.options.clone();
        let mut follow_up = question("Where is it?");
        follow_up.options = first.options.clone();
        follow_up.turns =
            vec![Turn { question: other.question.clone(), answer: "There is a cat.".to_owned() }];
        for (asked, what) in [(&other, "other"), (&follow_up, "follow-up"), (&first, "again")] {
            let start = engine.counters();
            let reused = ask(&mut engine, asked);
            let done = engine.counters();
            let what = format!("{model}, {what}");
            assert_eq!(done.vision_runs, start.vision_runs, "{what}: the tower did not run");
            let kept = done.reused_positions - start.reused_positions;
            let computed = done.prefill_positions - start.prefill_positions;
            assert_eq!(kept + computed, u64::from(reused.meta().prompt_len), "{what}");
            assert!(kept >= reused.meta().spans[0].extent().end as u64, "{what}: {kept} were kept");

            let fresh = ask(&mut fixture.engine(), asked);
            assert_eq!(fresh.meta().tokens, reused.meta().tokens, "{what}");
            assert_eq!(fresh.meta().answer, reused.meta().answer, "{what}");
            assert_eq!(fresh.rows(), reused.rows(), "{what}");
            let bound = if model.ends_with("f16") { 1e-2 } else { 1e-5 };
            for (left, right) in fresh.answer_logprobs().iter().zip(&*reused.answer_logprobs()) {
                assert!((left - right).abs() <= bound, "{what}: {left} and {right}");
            }
            if !model.ends_with("f16") {
                // Measured as equal to the bit; other vector units may round a last digit the
                // other way.
                for (left, right) in pages(&fresh).iter().zip(&pages(&reused)) {
                    let steps = largest_step(left, right);
                    assert!(steps <= 1, "{what}: pages differ by {steps} steps of f16");
                }
                for layer in 0..fresh.shape().layers as u32 {
                    let (left, right) =
                        (fresh.head_mean(Layer(layer)), reused.head_mean(Layer(layer)));
                    assert!(largest_step(&left.unwrap(), &right.unwrap()) <= 1, "{what}");
                }
                for head in 0..fresh.shape().heads as u32 {
                    let (left, right) =
                        (fresh.last_layer(Head(head)), reused.last_layer(Head(head)));
                    assert!(largest_step(&left.unwrap(), &right.unwrap()) <= 1, "{what}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_not_reused() {
    let mut engine = Fixture::of("tiny").engine();
    let asked = question(QUESTION);
    ask(&mut engine, &asked);
    let reused = |engine: &mut Engine, asked: &AskRequest| {
        let start = engine.counters();
        ask(engine, asked);
        engine.counters().reused_positions - start.reused_positions
    };
    // Text rows only were kept, all rows are wanted.
    let mut all = asked.clone();
    all.options.rows = Rows::All;
    assert_eq!(reused(&mut engine, &all), 0);
    assert!(reused(&mut engine, &asked) > 0, "fewer rows than were kept are no obstacle");
    // Another model.
    let mut changed = asked.clone();
    let text = engine.manifest().text.clone();
    changed.options.interventions.head_scale = vec![0.5; text.layers * text.heads];
    assert_eq!(reused(&mut engine, &changed), 0);
    assert!(reused(&mut engine, &changed) > 0, "the same change again is the same model");
    // Another picture.
    let other = AskRequest { picture: Some(picture("scenes/scene1.png")), ..asked.clone() };
    assert_eq!(reused(&mut engine, &other), 0);
    // No picture.
    assert_eq!(reused(&mut engine, &AskRequest { picture: None, ..asked }), 0);
}

#[test]
fn events_stream_in_order_with_the_pages_of_the_trace() {
    let mut engine = Fixture::of("tiny").engine();
    let (trace, events) = ask_with_events(&mut engine, &question(QUESTION));
    let mut stages = Vec::new();
    let mut texts = vec![String::new()];
    let mut tokens = 0;
    let mut prompts = 0;
    for event in &events {
        match event {
            AskEvent::Progress(progress) if progress.done == 0 => stages.push(progress.stage),
            AskEvent::Prompt(builder) => {
                let meta = builder.meta();
                prompts += 1;
                assert_eq!(meta.spans, trace.meta().spans);
                assert_eq!(meta.tokens, trace.meta().tokens[..trace.meta().prompt_len()]);
            }
            AskEvent::Token(event) => {
                assert_eq!(prompts, 1, "the prompt comes first");
                assert_eq!(event.index as usize, tokens);
                let row = trace.row_of_answer(AnswerIndex(event.index)).unwrap();
                let page = trace.page(row).unwrap();
                let event_page = event.page.as_ref().unwrap();
                let (keys, positions) = (event_page.keys, trace.shape().positions);
                let maps = event_page.weights.chunks_exact(keys).zip(page.chunks_exact(positions));
                for (sent, kept) in maps {
                    assert_eq!(sent, &kept[..keys]);
                }
                assert_eq!(*event_page.stats, *trace.stats(row).unwrap());
                assert_eq!(event.token.token, trace.meta().answer_tokens()[tokens]);
                texts.push(event.text.clone());
                tokens += 1;
            }
            _ => {}
        }
    }
    assert_eq!(
        stages,
        [AskStage::Preprocess, AskStage::Vision, AskStage::Prefill, AskStage::Decode]
    );
    assert_eq!(tokens, trace.shape().generated);
    assert!(texts.windows(2).all(|pair| pair[1].starts_with(pair[0].as_str())), "{texts:?}");
    assert!(
        texts.last().unwrap().trim().starts_with(trace.meta().answer.trim_end_matches('\u{FFFD}'))
    );
}

#[test]
fn labels_say_what_each_position_is() {
    let mut engine = Fixture::of("tiny").engine();
    let mut asked = question("Where is the cat?");
    asked.turns =
        vec![Turn { question: "Is there a cat?".into(), answer: "There is a cat.".into() }];
    let trace = ask(&mut engine, &asked);
    let meta = trace.meta();
    let kinds = |turn: u32, kind: TokenKind| -> String {
        let tokens = meta.tokens[..meta.prompt_len()].iter();
        tokens
            .filter(|t| t.turn == turn && t.kind == kind)
            .map(|t| t.text.replace('▁', " "))
            .collect()
    };
    assert_eq!(meta.tokens[0].kind, TokenKind::Special, "BOS");
    assert!(kinds(0, TokenKind::System).contains("USER:"));
    assert!(kinds(0, TokenKind::Question).contains("Is there a cat?"));
    assert_eq!(kinds(0, TokenKind::Answer).trim(), "There is a cat.");
    assert!(kinds(1, TokenKind::Question).contains("Where is the cat?"));
    let span = meta.spans[0].extent();
    for (position, token) in meta.tokens.iter().enumerate() {
        assert_eq!(token.kind == TokenKind::Image, span.contains(&position), "{position}");
        assert!(token.kind != TokenKind::Image || token.word.is_none());
    }
    // The words of the question, put together from their tokens.
    let mut words: Vec<(u32, String)> = Vec::new();
    for token in meta.tokens.iter().filter(|t| t.turn == 1 && t.kind == TokenKind::Question) {
        let Some(word) = token.word else { continue };
        match words.last_mut().filter(|(last, _)| *last == word) {
            Some((_, text)) => text.push_str(&token.text),
            None => words.push((word, token.text.clone())),
        }
    }
    let words: Vec<&str> = words.iter().map(|(_, text)| text.trim_start_matches('▁')).collect();
    assert!(words.windows(4).any(|w| w == ["Where", "is", "the", "cat?"]), "{words:?}");
    assert!(meta.answer_tokens().iter().all(|token| token.turn == 1));
}

#[test]
fn a_seed_repeats_its_answer() {
    let mut engine = Fixture::of("tiny").engine();
    let mut asked = question("Describe the picture.");
    asked.options.sampling.temperature = 1.5;
    let mut answers = Vec::new();
    for seed in [1, 1, 2, 3, 4] {
        asked.options.sampling.seed = seed;
        engine.forget(&CancelToken::new()).unwrap();
        answers.push(ask(&mut engine, &asked).answer_ids().into_owned());
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[2..].iter().any(|answer| *answer != answers[0]), "another seed, another draw");
}

#[test]
fn cancelling_stops_between_tokens_and_keeps_the_prefix() {
    let mut engine = Fixture::of("tiny").engine();
    let cancel = CancelToken::new();
    let mut asked = question("Describe the picture.");
    asked.options.sampling.max_new_tokens = 64;
    let mut tokens = 0;
    let result = engine.ask(&asked, &cancel, &mut |event| {
        if matches!(event, AskEvent::Token(_)) {
            tokens += 1;
            cancel.cancel();
        }
    });
    assert!(matches!(result, Err(ModelError::Cancelled)));
    assert_eq!(tokens, 1);
    let start = engine.counters();
    let again = ask(&mut engine, &asked);
    let done = engine.counters();
    assert_eq!(done.vision_runs, start.vision_runs);
    assert!(done.prefill_positions - start.prefill_positions <= 2, "the prompt was kept");
    assert!(again.shape().generated > 1);
    let stopped = CancelToken::new();
    stopped.cancel();
    assert!(matches!(engine.ask(&asked, &stopped, &mut |_| {}), Err(ModelError::Cancelled)));
}

#[test]
fn the_worker_answers_the_latest_question() {
    let fixture = Fixture::of("tiny");
    let options = EngineOptions {
        bundle: fixture.bundle(),
        device: Device::Cpu,
        threads: Some(1),
        ..EngineOptions::default()
    };
    let worker = ModelWorker::spawn(options, None).unwrap();
    let first = worker.ask(question("Describe the picture."));
    let second = worker.ask(question(QUESTION));
    let mut loaded = 0;
    let trace = loop {
        match worker.events().recv_timeout(Duration::from_secs(120)).unwrap() {
            ModelEvent::Loaded { info, .. } => {
                loaded += 1;
                assert_eq!(info.provider, "CPUExecutionProvider");
            }
            ModelEvent::Done { request, trace } if request == second => break trace,
            ModelEvent::Failed { request, error } => {
                assert_eq!(request, first);
                assert!(matches!(error, ModelError::Cancelled), "{error}");
            }
            _ => {}
        }
    };
    assert!(loaded <= 1, "the model is loaded once");
    assert_eq!(trace.meta().question, QUESTION);
    let failing = worker.ask(AskRequest::default());
    let error = worker.events().iter().find_map(|event| match event {
        ModelEvent::Failed { request, error } if request == failing => Some(error),
        _ => None,
    });
    assert!(matches!(error, Some(ModelError::EmptyQuestion)));
}

#[test]
fn a_panic_in_the_engine_is_an_error_and_the_next_question_is_answered() {
    let options = EngineOptions {
        bundle: Fixture::of("tiny").bundle(),
        device: Device::Cpu,
        threads: Some(1),
        ..EngineOptions::default()
    };
    let worker = ModelWorker::spawn(options, None).unwrap();
    let told = |expected: u64| {
        loop {
            match worker.events().recv_timeout(Duration::from_secs(120)).unwrap() {
                ModelEvent::Failed { request, error } if request == expected => {
                    break Err(error);
                }
                ModelEvent::Done { request, trace } if request == expected => break Ok(trace),
                _ => {}
            }
        }
    };
    let mut next = 0;
    for _ in 0..2 {
        worker.run(Box::new(|engine, _| {
            assert!(engine.is_ok(), "the model is loaded");
            panic!("a fault in a task")
        }));
        match told(next).unwrap_err() {
            ModelError::Panicked(panicked) => assert_eq!(panicked.message, "a fault in a task"),
            other => panic!("{other}"),
        }
        let asked = worker.ask(question(QUESTION));
        assert_eq!(told(asked).unwrap().meta().question, QUESTION);
        next = asked + 1;
    }
}

/// A dark picture with one bright square, as PNG.
fn square_at([x, y]: [u32; 2], side: u32, [width, height]: [u32; 2]) -> Picture {
    let inside = |at: u32, start: u32| (start..start + side).contains(&at);
    let picture = image::RgbImage::from_fn(width, height, |column, row| {
        let lit = inside(column, x) && inside(row, y);
        image::Rgb(if lit { [255; 3] } else { [0; 3] })
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    Picture { name: "square.png".into(), bytes: bytes.into_inner().into() }
}

#[test]
fn a_spot_of_the_picture_is_found_again_through_its_patch_map() {
    let fixture = Fixture::of("tiny");
    let bundle = vlmscope::model::Bundle::open(&fixture.bundle()).unwrap();
    // Upright, lying, small, and so large that it is stored reduced.
    for (size, side) in [([401, 233], 24), ([160, 507], 24), ([37, 41], 6), ([2600, 1500], 160)] {
        for mode in [PreprocessMode::Default, PreprocessMode::Resize, PreprocessMode::Pad] {
            let corner = size.map(|edge| edge / 2 - side / 4);
            let picture = square_at(corner, side, size);
            let seen = preprocess(&picture, mode, bundle.manifest()).unwrap();
            let what = format!("{size:?}, {mode:?}");
            // The centre of light in the model's input picture; the bars of `pad` are not as bright.
            let mut light = [0.0_f64; 3];
            for (index, pixel) in seen.rgb.chunks_exact(3).enumerate() {
                let value = f64::from(pixel[0].saturating_sub(128));
                let [column, row] = [index as u32 % seen.size[0], index as u32 / seen.size[0]];
                light[0] += value * (f64::from(column) + 0.5);
                light[1] += value * (f64::from(row) + 0.5);
                light[2] += value;
            }
            let centre = [light[0] / light[2], light[1] / light[2]];
            let found = seen.original_from_preprocessed.apply(centre);
            // The stored picture may be smaller than the given one.
            let stored = seen.info.original_size;
            for axis in 0..2 {
                let scale = f64::from(stored[axis]) / f64::from(size[axis]);
                let expected = (f64::from(corner[axis]) + f64::from(side) / 2.0) * scale;
                let pixel = f64::from(size[0].max(size[1])) / f64::from(seen.size[0]) * scale;
                let error = (found[axis] - expected).abs();
                assert!(
                    error < 0.35 * pixel,
                    "{what}: {found:?}, axis {axis}, expected {expected}"
                );
            }
            let span = seen.span(0, 7, bundle.manifest());
            assert_eq!(span.extent().start, 7, "{what}");
            assert!(span.patch_from_preprocessed(centre).is_some(), "{what}");
            let original = image::load_from_memory(&seen.original).unwrap();
            assert_eq!([original.width(), original.height()], stored, "{what}");
        }
    }
}

#[test]
fn the_stored_original_is_upright_and_tells_nothing_about_its_owner() {
    let fixture = Fixture::of("tiny");
    let bundle = vlmscope::model::Bundle::open(&fixture.bundle()).unwrap();
    let picture = picture("pictures/exif.jpg");
    let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|found| found == text);
    assert!(has(&picture.bytes, b"Exif"), "the fixture has metadata");
    let seen = preprocess(&picture, PreprocessMode::Default, bundle.manifest()).unwrap();
    assert!(!has(&seen.original, b"Exif") && !has(&seen.original, b"http://ns.adobe.com"));
    let original = image::load_from_memory(&seen.original).unwrap();
    // 160 × 90, to be turned by a quarter.
    assert_eq!([original.width(), original.height()], [90, 160]);
    assert_eq!(seen.info.original_size, [90, 160]);
}

#[test]
fn streamed_text_grows_by_whole_characters() {
    let bundle = vlmscope::model::Bundle::open(&Fixture::of("tiny").bundle()).unwrap();
    let tokenizer = bundle.tokenizer();
    let text = "a 🚗 in 東京";
    let ids: Vec<u32> = tokenizer.encode(text, false).unwrap().iter().map(|t| t.id).collect();
    assert!(ids.len() > text.chars().count(), "some characters are several tokens");
    let mut stream = StreamDecoder::default();
    let mut held_back = 0;
    let mut before = String::new();
    for id in ids {
        let so_far = stream.push(tokenizer, id).unwrap().to_owned();
        assert!(text.starts_with(so_far.as_str()), "{so_far:?}");
        held_back += usize::from(so_far == before);
        before = so_far;
    }
    assert!(held_back >= 3, "bytes of a character wait for the last one");
    assert_eq!(stream.finish(tokenizer).unwrap(), text);
}
