//! Scoring an answer again: without changes it gives the trace's own numbers, sharing and batching change none, and
//! an intervention gives the same numbers as asking under that intervention.

#![allow(clippy::single_range_in_vec_init, reason = "an intervention is a list of ranges")]

use crate::support::{Fixture, MODELS, ask, picture, request};
use std::sync::Arc;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskRequest, Engine, Interventions, ModelError, Rescored, Rescorer, Variant, VariantPicture,
};
use vlmscope::trace::Trace;

const QUESTION: &str = "What is on the left?";

fn question() -> AskRequest {
    let mut asked = request(Some(picture("scenes/scene0.png")), &[QUESTION.to_owned()]);
    asked.options.sampling.max_new_tokens = 12;
    asked
}

fn score(engine: &mut Engine, rescorer: &mut Rescorer, variants: &[Variant]) -> Vec<Rescored> {
    let variants = variants.iter().cloned();
    rescorer.score(engine, variants, &CancelToken::new(), &mut |_, _| {}).unwrap()
}

/// Rounding of one forward in other parts and batches; f16 rounds at every step.
fn bound(model: &str) -> f32 {
    if model.ends_with("f16") { 2e-2 } else { 1e-4 }
}

fn assert_close(left: &[f32], right: &[f32], bound: f32, what: &str) {
    assert_eq!(left.len(), right.len(), "{what}");
    for (index, (left, right)) in left.iter().zip(right).enumerate() {
        assert!((left - right).abs() <= bound, "{what}, token {index}: {left} and {right}");
    }
}

fn seen(trace: &Trace) -> Arc<[u8]> {
    Arc::from(trace.canvas(0).unwrap().rgb)
}

/// The picture with one grey square in each of `count` places.
fn squares(trace: &Trace, count: usize) -> Vec<Variant> {
    let view = trace.canvas(0).unwrap();
    let (width, side) = (view.width as usize, view.width as usize / 4);
    (0..count)
        .map(|index| {
            let mut rgb = view.rgb.to_vec();
            for y in 0..side {
                let start = ((index % 4 * side + y) * width + index / 4 * side) * 3;
                rgb[start..start + side * 3].fill(128);
            }
            Variant::of_picture(rgb)
        })
        .collect()
}

#[test]
fn nothing_changed_gives_the_log_probabilities_of_the_trace() {
    for model in MODELS {
        let mut engine = Fixture::of(model).engine();
        let trace = ask(&mut engine, &question());
        let own = trace.answer_logprobs().to_vec();
        let same = [Variant::default(), Variant::of_picture(seen(&trace))];
        let mut shared = Rescorer::new(&engine, &trace).unwrap();
        let mut plain = Rescorer::new(&engine, &trace).unwrap().plain();
        for rescorer in [&mut shared, &mut plain] {
            for (scored, variant) in score(&mut engine, rescorer, &same).iter().zip(&same) {
                let what =
                    format!("{model}, new picture: {}", variant.picture != VariantPicture::Own);
                assert_close(&scored.logprobs, &own, bound(model), &what);
                let ids: Vec<i32> = scored.top_ids.iter().map(|&id| id as i32).collect();
                assert_eq!(ids, *trace.answer_ids(), "{what}: a greedy answer is its own best");
                assert!((scored.total() - own.iter().sum::<f32>() as f64).abs() < 0.2);
            }
        }
    }
}

#[test]
fn batches_parts_and_shared_positions_change_no_number() {
    for model in ["tiny", "gqa", "gemma"] {
        let mut engine = Fixture::of(model).engine();
        let trace = ask(&mut engine, &question());
        let variants = squares(&trace, 7);
        let mut plain = Rescorer::new(&engine, &trace).unwrap().plain();
        let expected = score(&mut engine, &mut plain, &variants);
        let changed = expected.iter().any(|scored| scored.logprobs != expected[0].logprobs);
        assert!(changed, "{model}: the squares matter");
        for batch in [1, 3, 4] {
            let mut rescorer = Rescorer::new(&engine, &trace).unwrap().with_batch(batch);
            let mut told = Vec::new();
            let found = rescorer
                .score(&mut engine, variants.clone(), &CancelToken::new(), &mut |index, scored| {
                    told.push((index, scored.clone()));
                })
                .unwrap();
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let what = format!("{model}, batch {batch}, variant {index}");
                assert_close(&found.logprobs, &expected.logprobs, 1e-4, &what);
            }
            let told_in_order: Vec<_> = found.into_iter().enumerate().collect();
            assert_eq!(told, told_in_order, "{model}: results come one by one, in order");
        }
    }
}

#[test]
fn an_answer_about_the_picture_is_less_likely_without_it() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = ask(&mut engine, &question());
    let grey = vec![128; seen(&trace).len()];
    let mut rescorer = Rescorer::new(&engine, &trace).unwrap();
    let variants = [Variant::default(), Variant::of_picture(grey)];
    let scored = score(&mut engine, &mut rescorer, &variants);
    assert!(scored[1].total() < scored[0].total() - 2.0, "{scored:?}");
    assert_ne!(scored[1].top_ids, scored[0].top_ids, "another answer would be given");
}

#[test]
fn an_intervention_scores_as_asking_under_it_does() {
    for model in ["tiny", "gqa", "gemma"] {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        let text = engine.manifest().text.clone();
        let mut asked = question();
        // Answers of the random models do not encode to the same tokens again: all models are given a sentence.
        asked.options.answer = Some("There is a fox on the left.".to_owned());
        let trace = ask(&mut engine, &asked);
        let meta = trace.meta();
        let (patches, prompt) = (meta.spans[0].extent(), meta.prompt_len);
        let patches = patches.start as u32..patches.end as u32;
        let mut head_scale = vec![1.0; text.layers * text.heads];
        head_scale[text.heads] = 0.0;
        let knock = |queries: std::ops::Range<u32>| Interventions {
            knock_layers: (0..text.layers as u32).collect(),
            knock_queries: vec![queries],
            knock_keys: vec![patches.clone()],
            ..Default::default()
        };
        let all = [
            Interventions { head_scale: head_scale.clone(), ..Default::default() },
            // From the answer only, from the question too, and from positions within the picture.
            knock(prompt - 1..u32::MAX),
            knock(patches.end..u32::MAX),
            knock(patches.start + 5..u32::MAX),
            Interventions { head_scale, ..knock(prompt - 1..u32::MAX) },
        ];
        let variants: Vec<Variant> = all.iter().cloned().map(Variant::of_model).collect();
        let mut rescorer = Rescorer::new(&engine, &trace).unwrap();
        let scored = score(&mut engine, &mut rescorer, &variants);
        for (index, (interventions, scored)) in all.into_iter().zip(scored).enumerate() {
            asked.options.interventions = interventions;
            engine.forget(&CancelToken::new()).unwrap();
            let expected = ask(&mut engine, &asked);
            let what = format!("{model}, intervention {index}");
            assert_close(&scored.logprobs, &expected.answer_logprobs(), 1e-4, &what);
            assert!(trace.answer_logprobs() != scored.logprobs, "{what} changes something");
        }
    }
}

#[test]
fn work_is_counted_and_shared() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = ask(&mut engine, &question());
    let before = engine.counters();
    let mut rescorer = Rescorer::new(&engine, &trace).unwrap();
    score(&mut engine, &mut rescorer, &squares(&trace, 6));
    let pictures = engine.counters();
    assert_eq!(pictures.rescored - before.rescored, 6);
    assert_eq!(pictures.vision_runs - before.vision_runs, 6, "no run but those of the pictures");
    let knock = Interventions {
        knock_layers: vec![0],
        knock_queries: vec![trace.meta().prompt_len - 1..u32::MAX],
        knock_keys: vec![5..9],
        ..Default::default()
    };
    let models = [Variant::of_model(knock), Variant::default(), Variant::default()];
    score(&mut engine, &mut rescorer, &models);
    score(&mut engine, &mut rescorer, &models);
    let done = engine.counters();
    assert_eq!(done.rescored - pictures.rescored, 6);
    assert_eq!(done.vision_runs - pictures.vision_runs, 1, "its own picture is looked at once");
    assert_eq!(done.prefill_positions, before.prefill_positions, "questions are counted apart");

    // Rescoring leaves the engine's state unchanged.
    let again = ask(&mut engine, &question());
    assert_eq!(again.answer_logprobs(), trace.answer_logprobs());
}

#[test]
fn cancelling_keeps_what_was_told() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = ask(&mut engine, &question());
    let cancel = CancelToken::new();
    let mut told = 0;
    let mut rescorer = Rescorer::new(&engine, &trace).unwrap().with_batch(2);
    let stopped = rescorer.score(&mut engine, squares(&trace, 8), &cancel, &mut |index, _| {
        told += 1;
        if index == 3 {
            cancel.cancel();
        }
    });
    assert!(matches!(stopped, Err(ModelError::Cancelled)));
    assert_eq!(told, 4, "two batches, then no more");
    let after = score(&mut engine, &mut rescorer, &squares(&trace, 1));
    assert_eq!(after.len(), 1, "it can be used again");
}

#[test]
fn a_text_only_trace_takes_interventions_but_no_picture() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = ask(&mut engine, &request(None, &[QUESTION.to_owned()]));
    let mut rescorer = Rescorer::new(&engine, &trace).unwrap();
    let scored = score(&mut engine, &mut rescorer, &[Variant::default()]);
    assert_close(&scored[0].logprobs, &trace.answer_logprobs(), 1e-4, "text only");
    let wrong = [Variant::of_picture(vec![0; 12])];
    let error = rescorer
        .score(&mut engine, wrong, &CancelToken::new(), &mut |_, _| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains("this trace has none"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = ask(&mut engine, &question());
    let other = Fixture::of("gqa").engine();
    let error = Rescorer::new(&other, &trace).unwrap_err().to_string();
    assert!(error.contains("--model") && error.contains(&trace.meta().model.name), "{error}");
    let mut rescorer = Rescorer::new(&engine, &trace).unwrap();
    let wrong_head = Interventions { head_scale: vec![1.0; 3], ..Default::default() };
    for (variant, word) in [
        (Variant::of_picture(vec![0; 12]), "12 bytes"),
        (Variant::of_model(wrong_head), "head_scale"),
    ] {
        let error = rescorer
            .score(&mut engine, [variant], &CancelToken::new(), &mut |_, _| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    }
}
