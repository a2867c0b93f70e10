//! Tests of activation patching and steering against PyTorch hooks.

use crate::support::{
    Fixture, MODELS, ask, engine, explains, numbers, parity, picture, repository, request, text,
};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use vlmscope::analysis::patching::{LAST, PatchResult, PositionGroup, Site, position_groups};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    Engine, Interventions, KnockFrom, ModelError, PatchRequest, Patcher, Rerun, Rows, Steer,
    Steering, patch, preprocess,
};
use vlmscope::trace::{AnswerIndex, Head, Layer, PreprocessMode, Trace};

/// A pair of pictures with the numbers of PyTorch.
struct Pair {
    content: Value,
    engine: Engine,
    trace: Trace,
    other: Arc<[u8]>,
    bound: f32,
}

impl Pair {
    fn of(model: &str) -> Self {
        let fixture = Fixture::of(model);
        let path = parity().join(format!("patching-{model}.json"));
        let content: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut engine = fixture.engine();
        let names: Vec<String> = numbers(&content["pictures"]);
        let asked = request(Some(picture(&names[0])), &[text(&content["question"])]);
        let trace = ask(&mut engine, &asked);
        let answer: Vec<u32> = numbers(&content["answer_ids"]);
        let own: Vec<u32> = trace.answer_ids().iter().map(|&id| id as u32).collect();
        assert_eq!(own[..answer.len()], answer[..], "{model}");
        let manifest = engine.manifest();
        let seen = preprocess(&picture(&names[1]), PreprocessMode::Default, manifest).unwrap();
        // The f16 bundle computes in half precision; the others are held to the bar.
        let bound = if model.ends_with("f16") { fixture.logit_tolerance() } else { 1e-4 };
        Self { content, engine, trace, other: seen.rgb.into(), bound }
    }

    fn request(&self, site: Site, groups: Vec<PositionGroup>) -> PatchRequest {
        PatchRequest {
            answer: AnswerIndex(numbers_of(&self.content["token"])),
            site,
            groups,
            other: Arc::clone(&self.other),
            name: "B".into(),
            estimates: true,
            exact: true,
            earlier: None,
        }
    }

    fn groups(&self) -> Vec<PositionGroup> {
        let group = |(name, positions): (&String, &Value)| PositionGroup {
            name: name.clone(),
            positions: numbers(positions),
        };
        self.content["groups"].as_object().unwrap().iter().map(group).collect()
    }

    fn patch(&mut self, request: PatchRequest) -> Result<PatchResult, ModelError> {
        patch(&mut self.engine, &self.trace, request, &CancelToken::new(), &mut |_| {})
    }
}

fn numbers_of<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn close(what: &str, found: f32, expected: f32, bound: f32) {
    assert!((found - expected).abs() <= bound, "{what}: {found} instead of {expected}");
}

#[test]
fn patched_activations_have_the_numbers_of_hooks_in_pytorch() {
    for model in MODELS {
        let mut pair = Pair::of(model);
        let bound = pair.bound;
        for site in Site::ALL {
            let mut groups = pair.groups();
            if site == Site::Heads {
                groups.retain(|group| group.name == "last");
            }
            let wanted = pair.request(site, groups);
            let mut told = Vec::new();
            let found = patch(
                &mut pair.engine,
                &pair.trace,
                wanted,
                &CancelToken::new(),
                &mut |table: &PatchResult| told.push(table.done()),
            )
            .unwrap();
            assert_eq!(told.last(), Some(&found.patched.len()), "{model}: the table is complete");
            assert!(told.is_sorted() && told[0] == 0, "{model}: it fills in while it runs");
            close("log p of A", found.logprob_a, numbers_of(&pair.content["logprob_a"]), bound);
            close("log p of B", found.logprob_b, numbers_of(&pair.content["logprob_b"]), bound);
            let mut moved = 0.0_f32;
            for cell in 0..found.patched.len() {
                let (group, layer, head) = found.place(cell);
                assert_eq!(found.cell(group, layer, head), Some(cell));
                let name = &found.groups[group].name;
                let of = |kind: &str| -> f32 {
                    match site {
                        Site::Heads => {
                            numbers_of(&pair.content["heads"][kind][layer as usize][head as usize])
                        }
                        _ => numbers_of(&pair.content[site.name()][name][kind][layer as usize]),
                    }
                };
                let what = format!("{model}: {} {name} layer {layer} head {head}", site.name());
                let patched = found.patched[cell].unwrap();
                close(&what, patched, of("logprob"), bound);
                moved = moved.max((patched - found.logprob_b).abs());
                close(&format!("{what}, estimate"), found.estimates[cell], of("estimate"), bound);
            }
            assert!(moved > 0.05, "{model}: no patch does anything, the test proves nothing");
        }
    }
}

#[test]
fn all_patches_of_a_at_the_first_layer_give_the_answer_of_a() {
    let mut pair = Pair::of("tiny");
    let token = AnswerIndex(numbers_of(&pair.content["token"]));
    let groups = position_groups(&pair.trace, token, &[]);
    assert_eq!(groups[0].name, "all patches");
    assert_eq!(groups[0].positions.len(), pair.trace.meta().patches());
    assert_eq!(groups.last().map(|group| &*group.name), Some(LAST));
    let mut all: Vec<u32> = groups.iter().flat_map(|group| group.positions.clone()).collect();
    let first = groups[0].positions[0];
    let last = pair.trace.meta().query_of_answer(token).0;
    all.sort_unstable();
    assert_eq!(all, (first..=last).collect::<Vec<u32>>(), "each position is in one group");

    let found = pair.patch(pair.request(Site::Residual, groups)).unwrap();
    let whole = found.restored(found.cell(0, 0, 0).unwrap()).unwrap();
    close("all patches at layer 0", whole, 1.0, 1e-4);
    let word = found.restored(found.cell(1, 0, 0).unwrap()).unwrap();
    close("a word at layer 0, the same in A and B", word, 0.0, 1e-4);
}

#[test]
fn patches_in_one_part_of_the_prompt_leave_the_other_parts_alone() {
    let mut pair = Pair::of("tiny");
    let first = pair.trace.meta().spans[0].keys().next().unwrap() as u32;
    let corner = PositionGroup { name: "corner".into(), positions: vec![first, first + 1] };
    let found = pair.patch(pair.request(Site::Residual, vec![corner])).unwrap();
    assert!(found.patched.iter().all(|patched| patched.is_some_and(f32::is_finite)));
    let changes = |cell: &Option<f32>| (cell.unwrap() - found.logprob_b).abs() > 1e-4;
    assert!(found.patched.iter().any(changes), "{:?}", found.patched);
}

#[test]
fn objects_take_the_patches_that_lie_inside_and_the_first_wins() {
    let pair = Pair::of("tiny");
    let patches = pair.trace.meta().patches();
    let inside = |wanted: &[usize]| -> Vec<f32> {
        (0..patches).map(|patch| if wanted.contains(&patch) { 0.6 } else { 0.4 }).collect()
    };
    let (fox, cat) = (inside(&[3, 4]), inside(&[4, 7]));
    let groups = position_groups(&pair.trace, AnswerIndex(0), &[("fox", &fox), ("cat", &cat)]);
    let first = pair.trace.meta().spans[0].keys().next().unwrap() as u32;
    assert_eq!(
        groups[0],
        PositionGroup { name: "fox".into(), positions: vec![first + 3, first + 4] }
    );
    assert_eq!(groups[1], PositionGroup { name: "cat".into(), positions: vec![first + 7] });
    assert_eq!((&*groups[2].name, groups[2].positions.len()), ("other patches", patches - 3));
}

#[test]
fn forwards_without_patches_give_the_numbers_of_b() {
    let mut pair = Pair::of("gqa");
    let wanted = pair.request(Site::Residual, pair.groups());
    let cancel = CancelToken::new();
    let patcher = Patcher::new(pair.engine.here().unwrap(), &pair.trace, wanted, &cancel).unwrap();
    let mut plain = patcher.plain();
    plain.run(pair.engine.here().unwrap(), &cancel, &mut |_| {}).unwrap();
    let found = plain.result();
    for patched in &found.patched {
        close("B again", patched.unwrap(), found.logprob_b, 1e-4);
    }
}

#[test]
fn a_stopped_run_keeps_its_places_and_is_continued() {
    let mut pair = Pair::of("gqa");
    let groups = pair.groups();
    let wanted = PatchRequest { estimates: false, ..pair.request(Site::Residual, groups) };
    let whole = pair.patch(wanted.clone()).unwrap();
    let cancel = CancelToken::new();
    let mut stop = |table: &PatchResult| {
        if table.done() > 0 {
            cancel.cancel();
        }
    };
    let partial = patch(&mut pair.engine, &pair.trace, wanted.clone(), &cancel, &mut stop).unwrap();
    let done = partial.done();
    assert!(done > 0 && !partial.is_complete(), "{done} of {}", partial.patched.len());
    for (cell, value) in partial.patched.iter().enumerate() {
        assert!(value.is_none() || *value == whole.patched[cell]);
    }

    let before = pair.engine.counters().rescored;
    let again = PatchRequest { earlier: Some(partial.clone()), ..wanted.clone() };
    let found = pair.patch(again).unwrap();
    let computed = (pair.engine.counters().rescored - before) as usize;
    assert_eq!(computed, whole.patched.len() - done, "only what was missing is computed");
    for (found, whole) in found.patched.iter().zip(&whole.patched) {
        close("continued", found.unwrap(), whole.unwrap(), pair.bound);
    }
    // Another picture, or another group, is not the same table.
    let other = PatchResult { other: "C".into(), ..partial.clone() };
    let mut fresh = PatchResult { patched: vec![None; whole.patched.len()], ..whole.clone() };
    fresh.continue_from(&other);
    assert_eq!(fresh.done(), 0);
    fresh.groups[0].name.push('x');
    fresh.continue_from(&whole);
    let of_group = whole.patched.len() / whole.groups.len();
    assert_eq!(fresh.done(), whole.patched.len() - of_group);
    // A preview adds estimates to what is known.
    let preview =
        PatchRequest { estimates: true, exact: false, earlier: Some(whole.clone()), ..wanted };
    let both = pair.patch(preview).unwrap();
    assert_eq!(both.patched, whole.patched);
    assert!(both.correlation().is_some());
}

#[test]
fn what_cannot_be_patched_is_refused() {
    let mut pair = Pair::of("gqa");
    let groups = pair.groups();
    let wanted = pair.request(Site::Mlp, groups.clone());
    let same = pair.trace.canvas(0).unwrap().rgb.to_vec();
    let alike = PatchRequest { other: same.into(), ..wanted.clone() };
    explains(pair.patch(alike), &["picture B", "nothing is lost"]);
    let small = PatchRequest { other: vec![0; 12].into(), ..wanted.clone() };
    explains(pair.patch(small), &["picture B", "12 bytes"]);
    let late = PatchRequest { answer: AnswerIndex(10_000), ..wanted.clone() };
    explains(pair.patch(late), &["answer token 10000"]);
    let past = PositionGroup { name: "past".into(), positions: vec![100_000] };
    let outside = PatchRequest { groups: vec![past], ..wanted.clone() };
    explains(pair.patch(outside), &["`past`"]);
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let found = patch(&mut pair.engine, &pair.trace, wanted, &cancelled, &mut |_| {});
    assert!(matches!(found, Err(ModelError::Cancelled)));
}

/// A copy of a bundle as an earlier exporter wrote it: without the capabilities.
fn earlier_bundle(folder: &Path) {
    let source = repository().join("tests/fixtures/bundles/gqa");
    for file in std::fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let capabilities = manifest["capabilities"].as_array_mut().unwrap();
    capabilities.retain(|name| name != "patching" && name != "steering");
    std::fs::write(path, manifest.to_string()).unwrap();
}

#[test]
fn a_bundle_of_an_earlier_exporter_still_answers_and_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    earlier_bundle(folder.path());
    let mut pair = Pair::of("gqa");
    pair.engine = engine(folder.path());
    let asked = request(Some(picture("pictures/grey.png")), &["What is on the left?".into()]);
    pair.trace = ask(&mut pair.engine, &asked);
    let wanted = pair.request(Site::Mlp, pair.groups());
    explains(pair.patch(wanted), &["activation patching", "Export the model again"]);
    let interventions = steering(1.0).on(pair.trace.meta());
    let change = Rerun { interventions, ..Rerun::default() };
    let found = pair.engine.again(&pair.trace, &change, &CancelToken::new(), &mut |_| {});
    explains(found, &["steering", "Export the model again"]);
}

fn steering(strength: f32) -> Steer {
    Steer { keys: vec![3, 4], heads: vec![(Layer(1), Head(0))], strength, from: KnockFrom::Text }
}

#[test]
fn steered_attention_has_the_numbers_of_hooks_in_pytorch() {
    for model in MODELS {
        let mut pair = Pair::of(model);
        let case = pair.content["steering"].clone();
        let heads: Vec<[u32; 2]> = numbers(&case["heads"]);
        let steer = Steer {
            keys: numbers(&case["keys"]),
            heads: heads.into_iter().map(|[layer, head]| (Layer(layer), Head(head))).collect(),
            strength: numbers_of(&case["strength"]),
            from: KnockFrom::Text,
        };
        let interventions = steer.on(pair.trace.meta());
        let first: u32 = numbers_of(&case["first_query"]);
        assert_eq!(interventions.steering.as_ref().unwrap().queries[0].start, first);
        let answer: Vec<u32> = numbers(&pair.content["answer_ids"]);
        let change = Rerun { answer: Some(answer), interventions, rows: Rows::Text };
        let cancel = CancelToken::new();
        let scored = pair.engine.again(&pair.trace, &change, &cancel, &mut |_| {}).unwrap();
        let provenance = &scored.meta().provenance;
        assert!(provenance.model_changed && provenance.steered);
        let expected: Vec<f32> = numbers(&case["logprob"]);
        let found = scored.answer_logprobs();
        let mut moved = 0.0_f32;
        for ((found, expected), plain) in
            found.iter().zip(&expected).zip(pair.trace.answer_logprobs().iter())
        {
            close(&format!("{model}: steered"), *found, *expected, pair.bound);
            moved = moved.max((found - plain).abs());
        }
        assert!(moved > 0.05, "{model}: steering does nothing, the test proves nothing");
    }
}

#[test]
fn a_strength_of_zero_changes_no_bit_and_a_bad_one_is_refused() {
    let mut pair = Pair::of("gqa");
    let answer: Vec<u32> = pair.trace.answer_ids().iter().map(|&id| id as u32).collect();
    let mut with = |interventions: Interventions| {
        pair.engine.forget(&CancelToken::new()).unwrap();
        let change = Rerun { answer: Some(answer.clone()), interventions, rows: Rows::All };
        pair.engine.again(&pair.trace, &change, &CancelToken::new(), &mut |_| {})
    };
    let plain = with(Interventions::default()).unwrap();
    let meta = plain.meta().clone();
    let neutral = with(steering(0.0).on(&meta)).unwrap();
    assert!(!neutral.meta().provenance.model_changed);
    let one = |range: std::ops::Range<u32>| std::iter::once(range).collect();
    // The bias is an input of the graph here, but adds zeros: the steered queries come after the sequence.
    let late =
        Steering { strength: 2.0, queries: one(5000..5001), keys: one(1..9), heads: Vec::new() };
    let late = with(Interventions { steering: Some(late), ..Interventions::default() }).unwrap();
    for other in [&neutral, &late] {
        assert_eq!(other.answer_logprobs(), plain.answer_logprobs());
        for row in 0..plain.rows().len() {
            assert_eq!(other.page_bytes(row), plain.page_bytes(row));
        }
    }
    let cases = [(f32::NAN, "strength"), (f32::INFINITY, "strength"), (61.0, "strength")];
    for (strength, word) in cases {
        explains(with(steering(strength).on(&meta)), &[word]);
    }
    let unknown = Steer { heads: vec![(Layer(0), Head(99))], ..steering(1.0) };
    explains(with(unknown.on(&meta)), &["head 0.99"]);
}
