//! Causal graphs of real answers: which positions are nodes, what the trace keeps, and what masking
//! does in the model.

use crate::support::{Fixture, ask, picture, request};
use vlmscope::analysis::causal::{
    CausalError, CausalRequest, CausalResult, HeadGraph, HeadResult, MaskedSet, Parameters,
    SetKind, StabilityOptions, explain, nodes_of_head,
};
use vlmscope::analysis::methods::Method;
use vlmscope::job::CancelToken;
use vlmscope::model::{
    BlankFill, Engine, Intervention, KnockFrom, Mask, MaskRequest, ModelError, RelevancyRequest,
    Rerun, Rows, mask_test,
};
use vlmscope::trace::{AnswerIndex, Head, Query, Trace};

fn answered(engine: &mut Engine) -> Trace {
    ask(engine, &request(Some(picture("scenes/scene0.png")), &["What is on the left?".into()]))
}

fn asked(answer: u32) -> CausalRequest {
    CausalRequest {
        answer: AnswerIndex(answer),
        heads: Vec::new(),
        parameters: Parameters::default(),
        stability: None,
        threads: 2,
    }
}

fn explained(trace: &Trace, request: &CausalRequest) -> CausalResult {
    explain(trace, request, &|| false, &|_| {}).unwrap()
}

#[test]
fn nodes_are_the_patches_and_words_that_are_attended_to() {
    let trace = answered(&mut Fixture::of("tiny").engine());
    let (answer, parameters) = (AnswerIndex(1), Parameters::default());
    let meta = trace.meta();
    let target = meta.query_of_answer(answer).0;
    let patches: Vec<u32> = meta.spans[0].keys().map(|key| key as u32).collect();
    for head in 0..8 {
        let nodes = nodes_of_head(&trace, answer, head, &parameters).unwrap();
        let row = trace.last_layer_row(Head(head), Query(target)).unwrap();
        let last = trace.weights(trace.row_of_query(Query(target)).unwrap(), 5, head as usize);
        assert_eq!(last.unwrap(), row, "both tensors hold the last layer");
        assert_eq!(nodes.positions.last(), Some(&target));
        assert!(nodes.positions.windows(2).all(|pair| pair[0] < pair[1]));
        for (&position, &attention) in nodes.positions.iter().zip(&nodes.attention) {
            assert_eq!(attention, row[position as usize]);
        }
        let above = row.iter().filter(|&&weight| weight > 0.005).count().clamp(2, 50);
        let chosen = |position: &u32| nodes.positions.contains(position);
        assert_eq!(patches.iter().filter(|&position| chosen(position)).count(), above);
        let least = patches.iter().filter(|&position| chosen(position));
        let least = least.map(|&position| row[position as usize]).fold(1.0, f32::min);
        let most = patches.iter().filter(|&position| !chosen(position));
        let most = most.map(|&position| row[position as usize]).fold(0.0, f32::max);
        assert!(least >= most, "head {head}: {least} {most}");
        for position in meta.question_range().start as u32..target {
            assert_eq!(chosen(&position), row[position as usize] > 0.005, "word at {position}");
        }
    }
}

#[test]
fn every_head_has_a_graph_and_the_trace_keeps_them() {
    let trace = answered(&mut Fixture::of("tiny").engine());
    let request =
        CausalRequest { stability: Some(StabilityOptions { orders: 2, seed: 1 }), ..asked(1) };
    let told = std::sync::Mutex::new(Vec::new());
    let found =
        explain(&trace, &request, &|| false, &|done| told.lock().unwrap().push(done)).unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort_unstable();
    assert_eq!(told, (1..=8).collect::<Vec<_>>());
    assert_eq!((found.layer, found.runs, found.heads.len()), (5, 1 + 2 + 6, 8));
    assert!(found.heads.iter().all(|head| head.graph.is_some() && head.importance.is_some()));
    assert!(
        found.heads.iter().any(|head| {
            head.graph.as_ref().is_some_and(|graph| !graph.explanation(3).is_empty())
        })
    );
    assert_eq!(found, explained(&trace, &CausalRequest { threads: 1, ..request.clone() }));

    let answer = AnswerIndex(1);
    assert_eq!(CausalResult::stored(&trace, answer), Ok(None));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace.write(&path).unwrap();
    let base = Trace::open(&path).unwrap();
    let json = serde_json::to_vec(&found).unwrap();
    base.with_causal(answer, &json).write_maps(&base, &path).unwrap();
    let read = Trace::open(&path).unwrap();
    // The result as JSON holds it: the last digit of a number may differ.
    let expected: CausalResult = serde_json::from_slice(&json).unwrap();
    assert_eq!(CausalResult::stored(&read, answer), Ok(Some(expected)));
    assert_eq!(CausalResult::stored(&read, AnswerIndex(0)), Ok(None));
    assert_eq!(read.answer_ids(), trace.answer_ids());

    // Anything else under the name is refused.
    let spoiled = |change: &dyn Fn(&mut CausalResult)| {
        let mut spoiled = found.clone();
        change(&mut spoiled);
        let json = serde_json::to_vec(&spoiled).unwrap();
        CausalResult::stored(&trace.with_causal(answer, &json), answer).unwrap_err()
    };
    let explains = |head: &HeadResult| head.graph.as_ref().is_some_and(|graph| graph.deepest() > 0);
    let at = found.heads.iter().position(explains).unwrap();
    let graph = |found: &mut CausalResult| found.heads[at].graph.take().unwrap();
    let with = |found: &mut CausalResult, graph: HeadGraph| found.heads[at].graph = Some(graph);
    for error in [
        spoiled(&|found| found.token = 0),
        spoiled(&|found| {
            let mut changed = graph(found);
            changed.nodes.reverse();
            with(found, changed);
        }),
        spoiled(&|found| {
            let mut changed = graph(found);
            changed.tree[1].parent = 7;
            with(found, changed);
        }),
        spoiled(&|found| {
            let mut changed = graph(found);
            changed.edges[0].a = 0;
            with(found, changed);
        }),
        CausalResult::stored(&trace.with_causal(answer, b"{"), answer).unwrap_err(),
    ] {
        assert!(matches!(error, CausalError::Stored(_)), "{error}");
    }
}

#[test]
fn what_does_not_fit_is_named_and_stopping_stops() {
    let trace = answered(&mut Fixture::of("tiny").engine());
    let fails = |request: &CausalRequest| {
        explain(&trace, request, &|| false, &|_| {}).unwrap_err().to_string()
    };
    assert!(fails(&asked(99)).contains("answer token 99"));
    assert!(fails(&CausalRequest { heads: vec![8], ..asked(0) }).contains("heads 0 to 7"));
    let parameters = Parameters { alpha: 2.0, ..Parameters::default() };
    assert!(fails(&CausalRequest { parameters, ..asked(0) }).contains("alpha"));
    let stopped = explain(&trace, &asked(1), &|| true, &|_| {});
    assert_eq!(stopped, Err(CausalError::Stopped));
    // Without the last layer's square and the patches' rows no head has a graph: the reason is given once.
    let text_only = vlmscope::trace::synthetic::Synthetic::new(
        vlmscope::trace::synthetic::Geometry::named("small").unwrap(),
        vlmscope::trace::synthetic::RowsKept::Text,
        1,
    );
    let text_only = text_only.unwrap().trace().unwrap();
    let lacking = explain(&text_only, &asked(1), &|| false, &|_| {}).unwrap_err();
    assert!(matches!(lacking, CausalError::MissingRow { .. }), "{lacking}");
    assert!(lacking.to_string().contains("--rows all"), "{lacking}");
}

fn masked(
    engine: &mut Engine,
    trace: &Trace,
    answer: AnswerIndex,
    head: &HeadResult,
    mask: Mask,
) -> Vec<MaskedSet> {
    let request = MaskRequest { mask, draws: 2, max_sets: 40, seed: 3 };
    let cancel = CancelToken::new();
    let found = mask_test(engine, trace, answer, head, &request, &cancel, &mut |_| {}).unwrap();
    assert_eq!(found.mask, mask.name());
    assert!((found.logprob - trace.answer_logprobs()[answer.index()]).abs() < 2e-4);
    found.sets
}

/// The numbers are those of asking again with the same positions knocked out; controls have the size
/// of the explanation, and the smallest parts really change the token.
#[test]
fn masking_has_the_effect_of_knocking_the_same_positions_out() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = answered(&mut engine);
    let relevancy = RelevancyRequest::new([Method::LLM]);
    let cancel = CancelToken::new();
    let (trace, _) = engine.relevancy(&trace, &relevancy, &cancel, &mut |_| {}).unwrap();
    // The noun of "The … is on the left."
    let answer = AnswerIndex(1);
    let found = explained(&trace, &asked(answer.0));
    let head = found.most_important().unwrap();
    let graph = head.graph.as_ref().unwrap();
    let own: Vec<u32> = trace.answer_ids().iter().map(|&id| id as u32).collect();
    for (mask, from) in [
        (Mask::Knock(KnockFrom::Text), KnockFrom::Text),
        (Mask::Knock(KnockFrom::Answer), KnockFrom::Answer),
    ] {
        let sets = masked(&mut engine, &trace, answer, head, mask);
        let deepest = sets.iter().filter_map(|set| set.depth).max().unwrap();
        for depth in 1..=deepest {
            let of = |kind: SetKind| -> Vec<&MaskedSet> {
                sets.iter().filter(|set| set.kind == kind && set.depth == Some(depth)).collect()
            };
            let explanation = of(SetKind::Explanation)[0];
            assert_eq!(explanation.positions, graph.explanation(depth));
            for (kind, count) in [
                (SetKind::TopAttention, 1),
                (SetKind::TopRelevancy, 1),
                (SetKind::EqualAttention, 2),
                (SetKind::Random, 2),
            ] {
                assert_eq!(of(kind).len(), count);
                for set in of(kind) {
                    assert_eq!(set.positions.len(), explanation.positions.len(), "{kind:?}");
                }
            }
            assert!(of(SetKind::TopAttention)[0].attention >= explanation.attention - 1e-6);
        }
        let whole = sets.iter().rfind(|set| set.kind == SetKind::Explanation).unwrap();
        let knock = Intervention::Knock { keys: whole.positions.clone(), from, layers: Vec::new() };
        let interventions = knock.on(trace.meta());
        let change = Rerun { answer: Some(own.clone()), interventions, rows: Rows::Text };
        let scored = engine.again(&trace, &change, &cancel, &mut |_| {}).unwrap();
        let expected =
            scored.answer_logprobs()[answer.index()] - trace.answer_logprobs()[answer.index()];
        assert!((whole.delta_logprob - expected).abs() < 2e-4, "{mask:?}: {expected}");
        for smallest in sets.iter().filter(|set| set.kind == SetKind::Smallest) {
            assert!(smallest.changes_token);
            assert!(smallest.positions.iter().all(|at| graph.explanation(3).contains(at)));
        }
    }
    let blanked = masked(&mut engine, &trace, answer, head, Mask::Blank(BlankFill::Mean));
    let knocked = masked(&mut engine, &trace, answer, head, Mask::Knock(KnockFrom::Text));
    assert!(blanked.iter().zip(&knocked).any(|(one, other)| {
        one.positions == other.positions && (one.delta_logprob - other.delta_logprob).abs() > 1e-3
    }));
}

#[test]
fn a_masking_test_is_cancelled_and_needs_a_graph() {
    let mut engine = Fixture::of("tiny").engine();
    let trace = answered(&mut engine);
    let found = explained(&trace, &asked(1));
    let head = found.most_important().unwrap();
    let mask = Mask::Knock(KnockFrom::Text);
    let request = MaskRequest { mask, draws: 1, max_sets: 10, seed: 0 };
    let cancel = CancelToken::new();
    cancel.cancel();
    let result =
        mask_test(&mut engine, &trace, AnswerIndex(1), head, &request, &cancel, &mut |_| {});
    assert!(matches!(result, Err(ModelError::Cancelled)));
    let without = HeadResult { graph: None, ..head.clone() };
    let cancel = CancelToken::new();
    let result =
        mask_test(&mut engine, &trace, AnswerIndex(1), &without, &request, &cancel, &mut |_| {});
    assert!(result.unwrap_err().to_string().contains("no causal graph"));
}
