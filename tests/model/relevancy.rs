//! Relevancy against torch autograd of the same definitions, and the engine's guarantees around it.
//!
//! Tolerances are those of the project: relative to the largest entry of a row, 1e-4 where the model
//! computes in f32 and 1 % in f16. Fixtures hold rows of R − I; a trace keeps them divided by
//! their sum.

use crate::support::{Fixture, MODELS, ask, mode, numbers, picture, request, text};
use serde_json::Value;
use vlmscope::analysis::methods::Method;
use vlmscope::analysis::relevancy::mean_row;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskStage, Engine, GRADIENT_ATTENTION, ModelError, RelevancyRequest, RelevancyTimings,
};
use vlmscope::trace::{AnswerIndex, Trace};

fn bound(model: &str) -> f32 {
    if model.ends_with("f16") { 1e-2 } else { 1e-4 }
}

fn ask_run(engine: &mut Engine, run: &Value) -> Trace {
    let mut asked =
        request(Some(picture(&text(&run["picture"]))), &numbers::<String>(&run["turns"]));
    asked.options.preprocess = mode(&run["mode"]);
    asked.options.sampling.max_new_tokens = 16;
    let trace = ask(engine, &asked);
    let ids: Vec<u32> = trace.answer_ids().iter().map(|&id| id as u32).collect();
    assert_eq!(ids, numbers::<u32>(&run["answer_ids"]), "{}", run["name"]);
    trace
}

fn relevancy(engine: &mut Engine, trace: &Trace, methods: &[Method]) -> Trace {
    relevancy_of(engine, trace, &RelevancyRequest::new(methods.iter().copied())).unwrap().0
}

fn relevancy_of(
    engine: &mut Engine,
    trace: &Trace,
    request: &RelevancyRequest,
) -> Result<(Trace, RelevancyTimings), ModelError> {
    engine.relevancy(trace, request, &CancelToken::new(), &mut |_| {})
}

/// A row of R − I as it is kept.
fn kept(row: &[f32]) -> Vec<f32> {
    let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
    let share = |&value: &f32| if sum > 0.0 { (f64::from(value) / sum) as f32 } else { 0.0 };
    row.iter().map(share).collect()
}

/// The largest difference relative to the largest entry.
fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.0, "an empty map proves nothing");
    error / largest
}

#[test]
fn maps_are_those_of_autograd() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        for run in fixture.list("runs") {
            let name = text(&run["name"]);
            let answered = ask_run(&mut engine, &run);
            let trace = relevancy(
                &mut engine,
                &answered,
                &[Method::LLM, Method::LLM_OWN, Method::VIT, Method::ALL_LAYERS],
            );
            let layers = engine.manifest().vision.layers_with_gradient;
            let (positions, patches) = (trace.shape().positions, trace.meta().patches());
            for method in [Method::LLM, Method::LLM_OWN] {
                let (_, expected) =
                    fixture.tensor(&format!("{name}.{}", method.tensor.replace('.', "_")));
                for (answer, expected) in (0..).zip(expected.chunks_exact(positions)) {
                    let found = trace.map_row(method.tensor, AnswerIndex(answer)).unwrap();
                    let expected = kept(expected);
                    let error = relative_error(&found, &expected);
                    let what = format!("{model}, {name}, {method}, token {answer}");
                    assert!(error <= bound(model), "{what}: {error}");
                    // LVLM-Interpret's map: the picture's part of the row.
                    let image = trace.meta().spans[0].extent();
                    let error = relative_error(&found[image.clone()], &expected[image]);
                    assert!(error <= bound(model), "{what}, picture alone: {error}");
                }
            }
            for method in [Method::VIT, Method::ALL_LAYERS] {
                let (shape, expected) =
                    fixture.tensor(&format!("{name}.{}", method.tensor.replace('.', "_")));
                for (answer, expected) in (0..).zip(expected.chunks_exact(shape[1])) {
                    let found = trace.map_row(method.tensor, AnswerIndex(answer)).unwrap();
                    let expected = &kept(expected)[shape[1] - patches..];
                    let what = format!("{model}, {name}, {method}, token {answer}");
                    if layers == 1 {
                        // The class token goes nowhere from the only layer: its row gets nothing.
                        assert!(found.iter().chain(expected).all(|&value| value == 0.0), "{what}");
                        continue;
                    }
                    let error = relative_error(&found, expected);
                    assert!(error <= bound(model), "{what}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_trace_alone_gives_the_same_as_right_after_the_question() {
    let methods = [Method::LLM, Method::VIT, Method::ALL_LAYERS, Method::GRADIENT_ATTENTION];
    for model in ["tiny", "gqa"] {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        let run = &fixture.list("runs")[0];
        let answered = ask_run(&mut engine, run);
        let runs = engine.counters().vision_runs;
        let after = relevancy(&mut engine, &answered, &methods);
        assert_eq!(engine.counters().vision_runs, runs, "the picture was just seen");
        assert!(after.meta().timings.relevancy > 0.0);
        assert!(answered.map_names().is_empty(), "the trace that was given stays as it was");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        answered.write(&path).unwrap();
        let mut other = fixture.engine();
        let opened = Trace::open(&path).unwrap();
        let alone = relevancy(&mut other, &opened, &methods);
        alone.write(&path).unwrap();
        // The map of the old file is still good, and the new file has everything.
        assert_eq!(opened.page_bytes(0), answered.page_bytes(0));
        let alone = Trace::open(&path).unwrap();
        for method in [Method::LLM, Method::VIT, Method::ALL_LAYERS] {
            for answer in 0..alone.shape().generated as u32 {
                let row = |trace: &Trace| {
                    trace.map_row(method.tensor, AnswerIndex(answer)).unwrap().into_owned()
                };
                let error = relative_error(&row(&alone), &row(&after));
                assert!(error <= 1e-4, "{model}, {method}, token {answer}: {error}");
            }
        }
        assert_eq!(alone.page_names(), [GRADIENT_ATTENTION]);
        let (left, right) = (pages(&alone), pages(&after));
        assert_eq!(left.shape(), right.shape());
    }
}

fn pages(trace: &Trace) -> &Trace {
    trace.pages_as_attention(GRADIENT_ATTENTION).unwrap()
}

/// The mean over heads of the pages is Ā itself; the row that predicts the last token is the start of `llm`.
#[test]
fn gradient_attention_pages_fold_to_the_rows_of_rule_5() {
    for model in MODELS {
        let fixture = Fixture::of(model);
        let mut engine = fixture.engine();
        let run = &fixture.list("runs")[0];
        let answered = ask_run(&mut engine, run);
        let trace = relevancy(&mut engine, &answered, &[Method::GRADIENT_ATTENTION]);
        let shape = trace.shape();
        let gradient = pages(&trace);
        assert_eq!(gradient.rows().len(), shape.generated);
        assert!(gradient.meta().attention_scale.log2().fract() == 0.0);
        let mut seen = 0.0_f32;
        for answer in 0..shape.generated as u32 {
            let row = gradient.row_of_answer(AnswerIndex(answer)).unwrap();
            let query = gradient.rows()[row] as usize;
            for layer in 0..shape.layers {
                for head in 0..shape.heads {
                    let weights = gradient.weights(row, layer, head).unwrap();
                    assert!(weights.iter().all(|&weight| weight >= 0.0));
                    assert!(weights[query + 1..].iter().all(|&weight| weight == 0.0));
                    seen = seen.max(weights.iter().copied().fold(0.0, f32::max));
                }
            }
            assert!(gradient.stats(row).is_some());
        }
        assert!(seen > 0.0, "{model}: nothing positive anywhere");
    }
}

#[test]
fn single_tokens_are_added_to_what_was_computed_before() {
    let fixture = Fixture::of("tiny");
    let mut engine = fixture.engine();
    let answered = ask_run(&mut engine, &fixture.list("runs")[0]);
    let of = |tokens: &[u32]| RelevancyRequest {
        methods: vec![Method::VIT],
        tokens: tokens.iter().map(|&token| AnswerIndex(token)).collect(),
        memory_budget: None,
    };
    let row = |trace: &Trace, token: u32| {
        trace.map_row("relevancy.vit", AnswerIndex(token)).unwrap().into_owned()
    };
    let (one, _) = relevancy_of(&mut engine, &answered, &of(&[2])).unwrap();
    assert!(row(&one, 0).iter().all(|value| value.is_nan()), "not computed");
    assert!(one.has_map_row("relevancy.vit", AnswerIndex(2)));
    assert!(!one.has_map_row("relevancy.vit", AnswerIndex(0)));
    assert_eq!(mean_row(&one, "relevancy.vit", &[AnswerIndex(0)]), None);
    let (two, _) = relevancy_of(&mut engine, &one, &of(&[0])).unwrap();
    assert_eq!(row(&two, 2), row(&one, 2));
    let all = relevancy(&mut engine, &answered, &[Method::VIT]);
    for token in [0, 2] {
        assert_eq!(row(&two, token), row(&all, token));
        let sum: f32 = row(&two, token).iter().sum();
        assert!(sum > 0.5 && sum <= 1.0 + 1e-5, "shares of the tower's positions: {sum}");
    }
    let error = relevancy_of(&mut engine, &answered, &of(&[99])).unwrap_err();
    assert!(error.to_string().contains("answer token 99 does not exist"), "{error}");
}

#[test]
fn progress_comes_in_steps_and_cancelling_stops() {
    let fixture = Fixture::of("tiny");
    let mut engine = fixture.engine();
    let answered = ask_run(&mut engine, &fixture.list("runs")[0]);
    let request = RelevancyRequest::new([Method::LLM, Method::ALL_LAYERS]);
    let mut steps = Vec::new();
    let mut note = |progress: vlmscope::model::Progress| {
        if progress.stage == AskStage::Relevancy {
            steps.push((progress.done, progress.total));
        }
    };
    engine.relevancy(&answered, &request, &CancelToken::new(), &mut note).unwrap();
    let total = steps[0].1;
    assert_eq!(steps, (0..=total).map(|done| (done, total)).collect::<Vec<_>>());

    let cancel = CancelToken::new();
    let token = cancel.clone();
    let result = engine.relevancy(&answered, &request, &cancel, &mut |progress| {
        if progress.stage == AskStage::Relevancy && progress.done == 2 {
            token.cancel();
        }
    });
    assert!(matches!(result, Err(ModelError::Cancelled)));
    // The engine is as good as before.
    relevancy(&mut engine, &answered, &[Method::LLM]);
}

#[test]
fn what_cannot_be_computed_is_said_before_anything_runs() {
    let fixture = Fixture::of("tiny");
    let mut engine = fixture.engine();
    let answered = ask_run(&mut engine, &fixture.list("runs")[0]);
    let mut small = RelevancyRequest::new([Method::LLM]);
    small.memory_budget = Some(1000);
    let error = relevancy_of(&mut engine, &answered, &small).unwrap_err();
    assert!(matches!(error, ModelError::Memory { budget_bytes: 1000, .. }));
    assert!(error.to_string().contains("--memory"), "{error}");

    let without = ask(&mut engine, &request(None, &["What is a cat?".to_owned()]));
    let error =
        relevancy_of(&mut engine, &without, &RelevancyRequest::new([Method::VIT])).unwrap_err();
    assert!(error.to_string().contains("needs a picture"), "{error}");
    let trace = relevancy(&mut engine, &without, &[Method::LLM]);
    assert_eq!(trace.map_names(), ["relevancy.llm"]);

    // The unchanged model would be asked about an answer that it did not give.
    let mut asked = request(None, &["What is a cat?".to_owned()]);
    asked.options.interventions.head_scale =
        vec![0.5; without.shape().layers * without.shape().heads];
    let changed = ask(&mut engine, &asked);
    let error =
        relevancy_of(&mut engine, &changed, &RelevancyRequest::new([Method::LLM])).unwrap_err();
    assert!(error.to_string().contains("unchanged model"), "{error}");

    let mut other = Fixture::of("gqa").engine();
    let error =
        relevancy_of(&mut other, &answered, &RelevancyRequest::new([Method::LLM])).unwrap_err();
    assert!(matches!(error, ModelError::OtherModel { .. }));
}

#[test]
fn a_temperature_scales_the_score_and_leaves_the_shares() {
    // The score is the processed logit: all of R − I changes, but to first order by one factor.
    let fixture = Fixture::of("tiny");
    let mut engine = fixture.engine();
    let run = &fixture.list("runs")[0];
    let mut asked =
        request(Some(picture(&text(&run["picture"]))), &numbers::<String>(&run["turns"]));
    asked.options.sampling.temperature = 0.05;
    let warm = ask(&mut engine, &asked);
    let warm = relevancy(&mut engine, &warm, &[Method::LLM]);
    let cold = ask_run(&mut engine, run);
    let cold = relevancy(&mut engine, &cold, &[Method::LLM]);
    assert_eq!(warm.answer_ids(), cold.answer_ids(), "so cold that it is greedy");
    let row = |trace: &Trace| trace.map_row("relevancy.llm", AnswerIndex(0)).unwrap().into_owned();
    let (warm, cold) = (row(&warm), row(&cold));
    assert_ne!(warm, cold, "1 / temperature must reach the gradient");
    assert!((warm.iter().sum::<f32>() - 1.0).abs() < 1e-4);
}
