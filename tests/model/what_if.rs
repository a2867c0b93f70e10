//! Tests of what-if questions: asking again from a trace, interventions against PyTorch hooks, differences.

use crate::support::{Fixture, MODELS, ask, numbers, parity, picture, request, text};
use serde_json::Value;
use vlmscope::analysis::diff::{Alignment, DiffError, difference};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskOptions, AskRequest, Effect, Engine, Intervention, Interventions, KnockFrom, ModelError,
    OCCLUSION_MAP, OcclusionOptions, Rerun, Rows, ablation_of_each_head, effects, occlusion,
};
use vlmscope::trace::{Head, Layer, Trace};

fn again(engine: &mut Engine, trace: &Trace, change: &Rerun) -> Trace {
    engine.again(trace, change, &CancelToken::new(), &mut |_| {}).unwrap()
}

fn largest(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn interventions(case: &Value) -> Interventions {
    let mut given = Interventions::default();
    if let Some(layers) = case.get("layers") {
        given.knock_layers = numbers(layers);
        let queries: Vec<u32> = numbers(&case["queries"]);
        given.knock_queries = std::iter::once(queries[0]..queries[1]).collect();
        given.knock_keys =
            numbers::<u32>(&case["keys"]).into_iter().map(|key| key..key + 1).collect();
    }
    given
}

fn heads_of(case: &Value) -> Vec<(Layer, Head)> {
    let pairs: Vec<[u32; 2]> = numbers(&case["heads"]);
    pairs.into_iter().map(|[layer, head]| (Layer(layer), Head(head))).collect()
}

#[test]
fn interventions_have_the_numbers_of_hooks_in_pytorch() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let path = parity().join(format!("interventions-{model}.json"));
        let content: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        // The f16 bundle computes in half precision; the others are held to the bar.
        let bound = if model.ends_with("f16") { fixture.logit_tolerance() } else { 1e-4 };
        let mut engine = fixture.engine();
        let asked =
            request(Some(picture(&text(&content["picture"]))), &[text(&content["question"])]);
        let plain = ask(&mut engine, &asked);
        let answer: Vec<u32> = numbers(&content["answer_ids"]);
        let own: Vec<u32> = plain.answer_ids().iter().map(|&id| id as u32).collect();
        assert_eq!(own[..answer.len()], answer[..], "{model}");
        let cases = content["cases"].as_array().unwrap();
        assert!(cases.len() >= 7, "{model}");
        let mut moved = 0.0_f32;
        for case in cases {
            let what = format!("{model}: {:?}", case.get("heads").or(case.get("layers")));
            let interventions = if case.get("heads").is_some() {
                Intervention::AblateHeads(heads_of(case)).on(plain.meta())
            } else {
                interventions(case)
            };
            let change = Rerun { answer: Some(answer.clone()), interventions, rows: Rows::Text };
            let scored = again(&mut engine, &plain, &change);
            let expected: Vec<f32> = numbers(&case["logprob"]);
            let error = largest(&scored.answer_logprobs(), &expected);
            assert!(error <= bound, "{what}: log-probabilities off by {error}");
            moved = moved.max(largest(&expected, &numbers::<f32>(&content["logprob"])));

            let generated = again(&mut engine, &plain, &Rerun { answer: None, ..change });
            let ids: Vec<u32> = generated.answer_ids().iter().map(|&id| id as u32).collect();
            let expected: Vec<u32> = numbers(&case["answer_ids"]);
            if bound <= 1e-4 {
                let common = ids.len().min(expected.len());
                assert_eq!(ids[..common], expected[..common], "{what}: the new answer");
            }
        }
        assert!(moved > 0.05, "{model}: no intervention does anything, the test proves nothing");
    }
}

#[test]
fn a_question_asked_again_from_its_trace_has_the_same_numbers() {
    for model in ["tiny", "gqa"] {
        let fixture = Fixture::of(model);
        let run = &fixture.list("runs")[0];
        let mut engine = fixture.engine();
        let asked =
            request(Some(picture(&text(&run["picture"]))), &numbers::<String>(&run["turns"]));
        let first = ask(&mut engine, &asked);
        engine.forget(&CancelToken::new()).unwrap();
        let second = again(&mut engine, &first, &Rerun::default());
        assert_eq!(second.meta().tokens, first.meta().tokens, "labels too");
        assert_eq!(second.meta().spans, first.meta().spans);
        assert_eq!(second.answer_logprobs(), first.answer_logprobs());
        for row in 0..first.rows().len() {
            assert_eq!(second.page_bytes(row), first.page_bytes(row));
        }
        assert_eq!(second.picture_original(0), first.picture_original(0));
        assert!(difference(&first, &second, false).unwrap().is_neutral());
    }
}

#[test]
fn a_trace_of_another_model_is_refused() {
    let (tiny, gqa) = (Fixture::of("tiny"), Fixture::of("gqa"));
    let asked = request(Some(picture("pictures/grey.png")), &["What is on the left?".into()]);
    let trace = ask(&mut tiny.engine(), &asked);
    let mut engine = gqa.engine();
    let error = engine
        .again(&trace, &Rerun::default(), &CancelToken::new(), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains("--model"), "{error}");
    let foreign = Rerun { answer: Some(vec![u32::MAX]), ..Rerun::default() };
    let own = ask(&mut engine, &asked);
    let error = engine.again(&own, &foreign, &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ModelError::Request { .. }), "{error}");
}

#[test]
fn the_difference_of_a_trace_with_itself_is_exactly_nothing() {
    let trace = ask(
        &mut Fixture::of("tiny").engine(),
        &request(Some(picture("scenes/scene0.png")), &["Describe the picture.".into()]),
    );
    let found = difference(&trace, &trace, false).unwrap();
    assert_eq!(found.alignment, Alignment::Same);
    assert!(found.is_neutral());
    assert!(found.heads.iter().all(|head| head.moved == 0.0));
    assert_eq!(found.heads.len(), trace.shape().layers * trace.shape().heads);
}

#[test]
fn different_answers_are_scored_or_only_shared_tokens_are_compared() {
    let mut engine = Fixture::of("tiny").engine();
    let question = ["Describe the picture.".to_owned()];
    let first = ask(&mut engine, &request(Some(picture("scenes/scene0.png")), &question));
    let second = ask(&mut engine, &request(Some(picture("scenes/scene1.png")), &question));
    assert_ne!(first.answer_ids(), second.answer_ids(), "the scenes were chosen to differ");
    let shared = difference(&first, &second, false).unwrap();
    assert_eq!(shared.alignment, Alignment::Shared);
    assert!(shared.tokens.len() < first.shape().generated);
    for &[a, b] in &shared.tokens {
        assert_eq!(first.answer_ids()[a as usize], second.answer_ids()[b as usize]);
    }
    let ids = first.answer_ids().iter().map(|&id| id as u32).collect();
    let scored = again(&mut engine, &second, &Rerun { answer: Some(ids), ..Rerun::default() });
    let found = difference(&first, &scored, true).unwrap();
    assert_eq!(found.alignment, Alignment::Scored);
    assert_eq!(found.tokens.len(), first.shape().generated);
    let total: f32 = found.delta_logprob.iter().sum();
    assert!(total < -1.0, "the first answer is unlikely on the second picture: {total}");
    let ranked = found.ranked();
    assert!(ranked[0].moved > ranked[ranked.len() - 1].moved && ranked[0].moved <= 1.0);
    assert!(!found.is_neutral());
}

#[test]
fn traces_of_another_geometry_are_refused_by_name() {
    let asked = request(Some(picture("pictures/grey.png")), &["What is on the left?".into()]);
    let first = ask(&mut Fixture::of("tiny").engine(), &asked);
    let second = ask(&mut Fixture::of("gqa").engine(), &asked);
    let error = difference(&first, &second, false).unwrap_err();
    assert!(matches!(error, DiffError::Geometry { .. }));
    assert!(error.to_string().contains("number of layers"), "{error}");
}

#[test]
fn interventions_mean_what_they_say() {
    let mut engine = Fixture::of("tiny").engine();
    let asked = request(Some(picture("scenes/scene0.png")), &["What is on the left?".into()]);
    let plain = ask(&mut engine, &asked);
    let meta = plain.meta();
    let patches: Vec<u32> = meta.spans[0].keys().map(|key| key as u32).collect();
    let own: Vec<u32> = plain.answer_ids().iter().map(|&id| id as u32).collect();
    let mut score = |intervention: &Intervention| -> Trace {
        let interventions = intervention.on(plain.meta());
        let change = Rerun { answer: Some(own.clone()), interventions, ..Rerun::default() };
        again(&mut engine, &plain, &change)
    };
    let blind = score(&Intervention::Knock {
        keys: patches.clone(),
        from: KnockFrom::Answer,
        layers: Vec::new(),
    });
    let shape = blind.shape();
    let row = blind.row_of_query(meta.query_of_answer(vlmscope::trace::AnswerIndex(1))).unwrap();
    for layer in 0..shape.layers {
        for head in 0..shape.heads {
            let weights = blind.weights(row, layer, head).unwrap();
            assert!(meta.spans[0].keys().all(|key| weights[key] == 0.0), "no attention is left");
        }
    }
    let total = |trace: &Trace| trace.answer_logprobs().iter().sum::<f32>();
    assert!(total(&blind) < total(&plain) - 0.5, "{} {}", total(&blind), total(&plain));
    let (from, layers) = (KnockFrom::Text, Vec::new());
    let all = score(&Intervention::KeepPatches { keys: patches, from, layers });
    assert!((total(&all) - total(&plain)).abs() < 1e-4, "keeping every patch changes nothing");
}

#[test]
fn an_occlusion_map_grows_coarse_first_and_ends_with_every_patch() {
    let mut engine = Fixture::of("tiny").engine();
    let asked = request(Some(picture("scenes/scene0.png")), &["Describe the picture.".into()]);
    let trace = ask(&mut engine, &asked);
    let (tokens, patches) = (trace.shape().generated, trace.meta().patches());
    let options = OcclusionOptions::default();
    let before = engine.counters().rescored;
    let mut steps = Vec::new();
    let cancel = CancelToken::new();
    let map = occlusion(&mut engine, &trace, &options, &cancel, &mut |progress| {
        steps.push((progress.done, progress.total, progress.map.clone()));
    })
    .unwrap();
    assert_eq!(map.len(), tokens * patches);
    assert_eq!(steps.len(), 36 + 144, "every window was told");
    assert!(steps.iter().enumerate().all(|(index, step)| step.0 == index as u32 + 1));
    assert!(steps.iter().all(|step| step.1 == 180));
    assert_eq!(engine.counters().rescored - before, 1 + 180, "and cost one forward each");
    assert_eq!(steps[179].2, map);
    // After the coarse round every patch of a window has the window's number.
    let coarse = &steps[35].2[..patches];
    assert_eq!((coarse[0], coarse[0]), (coarse[1], coarse[12]));
    let strongest = map.iter().copied().fold(0.0, f32::max);
    assert!(strongest > 0.1, "some patch matters: {strongest}");

    // The map equals scores of the answer on pictures that are blanked by hand.
    let row = 1;
    let best = (0..patches)
        .max_by(|&a, &b| map[row * patches + a].total_cmp(&map[row * patches + b]))
        .unwrap();
    let blanked = AskOptions {
        answer: Some(trace.meta().answer.clone()),
        blanked: vec![([best as u32 / 12, best as u32 % 12], [12, 12])],
        ..AskOptions::default()
    };
    let by_hand = ask(&mut engine, &AskRequest { options: blanked, ..asked });
    let drop = trace.answer_logprobs()[row] - by_hand.answer_logprobs()[row];
    assert!((drop - map[row * patches + best]).abs() < 2e-4, "{drop}");

    let stored = trace.with_map(OCCLUSION_MAP, &[tokens, patches], &map).unwrap();
    assert_eq!(stored.map_names(), [OCCLUSION_MAP]);
}

#[test]
fn occlusion_stops_when_it_is_cancelled_and_says_what_it_lacks() {
    let mut engine = Fixture::of("tiny").engine();
    let question = ["What is on the left?".to_owned()];
    let trace = ask(&mut engine, &request(Some(picture("scenes/scene0.png")), &question));
    let cancel = CancelToken::new();
    let mut told = 0;
    let result = occlusion(&mut engine, &trace, &OcclusionOptions::default(), &cancel, &mut |_| {
        told += 1;
        if told == 5 {
            cancel.cancel();
        }
    });
    assert!(matches!(result, Err(ModelError::Cancelled)));
    assert!(told < 20, "{told} windows were told after cancelling");
    let blind = ask(&mut engine, &request(None, &question));
    let options = OcclusionOptions::default();
    let error =
        occlusion(&mut engine, &blind, &options, &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("no picture"), "{error}");
}

#[test]
fn each_head_switched_off_has_the_effect_of_scoring_under_it() {
    let mut engine = Fixture::of("tiny").engine();
    let asked = request(Some(picture("scenes/scene0.png")), &["What is on the left?".into()]);
    let trace = ask(&mut engine, &asked);
    let changes = ablation_of_each_head(&trace);
    assert_eq!(changes.len(), trace.shape().layers * trace.shape().heads);
    let mut told = Vec::new();
    let cancel = CancelToken::new();
    let found = effects(&mut engine, &trace, &changes, &cancel, &mut |index, effect| {
        told.push((index, effect.clone()));
    })
    .unwrap();
    assert_eq!(told, found.iter().cloned().enumerate().collect::<Vec<_>>());
    let own: Vec<u32> = trace.answer_ids().iter().map(|&id| id as u32).collect();
    for index in [0, 17, 40] {
        let interventions = changes[index].on(trace.meta());
        let change = Rerun { answer: Some(own.clone()), interventions, ..Rerun::default() };
        let scored = again(&mut engine, &trace, &change);
        let expected: Vec<f32> = scored
            .answer_logprobs()
            .iter()
            .zip(trace.answer_logprobs().iter())
            .map(|(after, before)| after - before)
            .collect();
        assert!(largest(&found[index].delta_logprob, &expected) < 2e-4);
        let generated = again(&mut engine, &trace, &Rerun { answer: None, ..change });
        let differs = generated.meta().answer != trace.meta().answer;
        assert_eq!(found[index].changes_answer, differs, "head {index}");
    }
    let strongest = found.iter().map(Effect::total).fold(0.0, f32::min);
    assert!(strongest < -0.01, "some head matters: {strongest}");
}
