//! One selection, one set of numbers: what `export` writes, what a hover reads, what the device folds
//! and what the legend says.

use crate::common::{Random, SCALE, Shape, draw, gradient, plain_state, renderer};
use half::f16;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestError, TestRunner};
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use vlmscope::trace::Trace;
use vlmscope::ui::document::Document;
use vlmscope::ui::value_cache::ValueCache;
use vlmscope::view::{
    Aggregate, AxisSet, MapChoice, MapSource, Mix, Queries, QueryKind, Second, ViewState,
};

/// A trace, as far as a selection can notice.
#[derive(Clone, Debug)]
struct Case {
    shape: Shape,
    seed: u64,
    /// Heads whose weights are all NaN, as [layer, head].
    damaged: Vec<[u32; 2]>,
    /// Answer tokens that `map.test` was not computed for.
    not_computed: Vec<u32>,
    map: MapChoice,
    second: Option<MapChoice>,
    remove_bos: bool,
}

/// A set along an axis of `len` places.
fn axis_set(len: u32) -> impl Strategy<Value = AxisSet> {
    let aggregate = select(vec![Aggregate::Mean, Aggregate::Max]);
    (aggregate, btree_set(0..len, 0..=len as usize))
        .prop_map(|(aggregate, members)| AxisSet::new(aggregate, members.into_iter().collect()))
}

fn queries(shape: &Shape) -> impl Strategy<Value = Queries> + use<> {
    let first = shape.prompt() - 1;
    let kinds = select(vec![QueryKind::Answer, QueryKind::Position]);
    (kinds, axis_set(shape.answer)).prop_map(move |(kind, set)| {
        // The kept rows are those of the answer tokens.
        let shift = if kind == QueryKind::Position { first } else { 0 };
        let members = set.named().unwrap_or_default().iter().map(|at| at + shift).collect();
        Queries { kind, set: AxisSet::new(set.aggregate(), members) }
    })
}

fn choice(shape: &Shape) -> impl Strategy<Value = MapChoice> + use<> {
    let sources = ["attention", "attention", "map.test", "relevancy.llm"];
    let source = select(sources.map(|name| MapSource::from(name.to_owned())).to_vec());
    (source, axis_set(shape.layers), axis_set(shape.heads), queries(shape)).prop_map(
        |(source, layers, heads, queries)| MapChoice {
            source,
            layers,
            heads,
            head_set: None,
            queries,
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let grids = vec([1..6_u32, 1..6_u32], 1..4);
    (1..4_u32, 1..5_u32, 0..4_u32, grids, 1..5_u32).prop_map(
        |(layers, heads, before, grids, answer)| {
            // Without text before the picture, key 0 is a patch and not BOS.
            Shape { layers, heads, before, grids, answer, ..Shape::default() }
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    shape().prop_flat_map(|shape| {
        let (layers, heads, answers) = (shape.layers, shape.heads, shape.answer);
        let damaged = vec((any::<Index>(), any::<Index>()), 0..3).prop_map(move |heads_of| {
            let at = |index: Index, len: u32| index.index(len as usize) as u32;
            heads_of.into_iter().map(|(l, h)| [at(l, layers), at(h, heads)]).collect()
        });
        // Token 0 always is, so that every map has something to show.
        let not_computed = btree_set(1..answers.max(2), 0..=answers as usize / 2)
            .prop_map(|tokens| tokens.into_iter().collect::<Vec<_>>());
        let second = proptest::option::of(choice(&shape));
        let first = choice(&shape);
        (Just(shape), any::<u64>(), damaged, not_computed, first, second, any::<bool>()).prop_map(
            |(shape, seed, damaged, not_computed, map, second, remove_bos)| Case {
                shape,
                seed,
                damaged,
                not_computed,
                map,
                second,
                remove_bos,
            },
        )
    })
}

impl Case {
    fn trace(&self) -> Trace {
        let Shape { answer, .. } = self.shape;
        let mut random = Random(self.seed | 1);
        let trace = self.shape.trace_of(
            |_, layer, head, key| match self.damaged.contains(&[layer, head]) {
                true => f16::NAN,
                false => {
                    let share = if key == 0 { 0.4 } else { random.unit().powi(4) * 0.05 };
                    f16::from_f32(share * SCALE)
                }
            },
            gradient,
        );
        let mut numbers = |columns: u32| -> Vec<f32> {
            let value = |at: u32| match self.not_computed.contains(&(at / columns)) {
                true => f32::NAN,
                false => random.unit() - 0.3,
            };
            (0..answer * columns).map(value).collect()
        };
        let (patches, positions) = (self.shape.patches(), self.shape.positions());
        let shape = |columns: u32| [answer as usize, columns as usize];
        let (of_patches, of_positions) = (numbers(patches), numbers(positions));
        let trace = trace.with_map("map.test", &shape(patches), &of_patches).unwrap();
        trace.with_map("relevancy.llm", &shape(positions), &of_positions).unwrap()
    }

    fn state(&self) -> ViewState {
        let second = self.second.clone();
        ViewState {
            map: self.map.clone(),
            second: second.map(|map| Second { trace: None, map, mix: Mix::Difference }),
            remove_bos: self.remove_bos,
            ..plain_state()
        }
    }

    /// The flags of `export` for this selection.
    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = Vec::new();
        let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
        let is_attention = |map: &MapChoice| map.source == MapSource::Attention;
        flag("--map", self.map.source.name().to_owned());
        let set = self.map.queries.set.to_string();
        match self.map.queries.kind {
            QueryKind::Answer => flag("--token", set),
            QueryKind::Position => flag("--query", set),
        }
        if is_attention(&self.map) {
            flag("--layer", self.map.layers.to_string());
            flag("--head", self.map.heads.to_string());
        }
        if let Some(second) = &self.second {
            flag("--second-map", second.source.name().to_owned());
            flag("--second-token", second.queries.set.to_string());
            if is_attention(second) {
                flag("--second-layer", second.layers.to_string());
                flag("--second-head", second.heads.to_string());
            }
        }
        // The flag is refused if no map has rows that could be renormalised.
        if self.remove_bos && (is_attention(&self.map) || self.second.iter().any(is_attention)) {
            flags.push("--remove-bos".into());
        }
        flags
    }
}

/// Values that `vlmscope export` writes, or its error message.
fn export(path: &Path, flags: &[String]) -> Result<Vec<f32>, String> {
    let out = path.with_extension("json");
    let output = Command::new(env!("CARGO_BIN_EXE_vlmscope"))
        .arg("export")
        .arg(path)
        .args(flags)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    Ok(serde_json::from_value(json["values"].clone()).unwrap())
}

/// The ends of the values; about 0 where they have two signs.
fn ends(values: &[f32], is_diverging: bool) -> [f64; 2] {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let reach = low.abs().max(high.abs());
    if is_diverging { [-reach, reach] } else { [low, high] }.map(f64::from)
}

#[test]
fn export_hover_figure_and_legend_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.vlmtrace");
    let renderer = RefCell::new(renderer());
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let mut seen = [0_u32; 4];
    let seen = RefCell::new(&mut seen);
    let outcome = TestRunner::new(config).run(&case(), |mut case| {
        // A second position is not a flag: it is as in the first map, or an answer token.
        if let Some(second) = &mut case.second
            && second.queries.kind == QueryKind::Position
        {
            second.queries = Queries { kind: QueryKind::Answer, set: AxisSet::MAX };
        }
        let (trace, state) = (case.trace(), case.state());
        trace.write(&path).unwrap();
        let exported = export(&path, &case.flags());

        let twin = state.values(&trace, None);
        let doc = Document::new(Arc::new(trace.clone()), &state);
        let hovered = ValueCache::default().map(&doc, &state, None);
        let (exported, twin) = match (exported, twin) {
            (Ok(exported), Ok(twin)) => (exported, twin),
            // The selection was not computed for this trace: all sources must say so.
            (Err(said), Err(error)) => {
                prop_assert!(said.contains(&error.to_string()), "{said} is not {error}");
                prop_assert!(error.to_string().contains("was not computed"), "{error}");
                prop_assert!(hovered.is_empty());
                seen.borrow_mut()[3] += 1;
                return Ok(());
            }
            (exported, twin) => {
                return Err(TestCaseError::fail(format!("{exported:?} but {twin:?}")));
            }
        };
        prop_assert!(twin.iter().all(|value| value.is_finite()));
        prop_assert_eq!(&exported, &twin, "export");
        let patches = state.patch_values(&trace, None).unwrap();
        prop_assert_eq!(&*hovered, &patches, "hover");

        let (_, stats) = draw(&mut renderer.borrow_mut(), &state, &trace, [48, 32]);
        let planes = renderer.borrow().read_planes().unwrap().unwrap();
        let scale = patches.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (device, here) in planes.iter().zip(&patches) {
            let close = (device - here).abs() <= 1e-5 * here.abs().max(scale.max(0.01));
            prop_assert!(close, "{device} on the device, {here} here");
        }
        let legend = stats.range.unwrap();
        for (legend, end) in legend.iter().zip(ends(&twin, state.is_diverging())) {
            let rounding = end.abs() * f64::from(f32::EPSILON.max(f16::EPSILON.to_f32()));
            prop_assert!((legend - end).abs() <= rounding.max(1e-7), "{legend} is not {end}");
        }
        let mut seen = seen.borrow_mut();
        seen[0] += u32::from(state.is_difference());
        seen[1] += u32::from(case.shape.before == 0 && case.remove_bos);
        seen[2] += u32::from(!case.damaged.is_empty());
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:#?}"),
        Err(error) => panic!("{error}"),
    }
    // The cases that used to differ did occur.
    assert!(seen.borrow()[..3].iter().all(|&count| count > 0), "{seen:?}");
}

/// Heads, then layers, then tokens: with another order the largest number is another one.
#[test]
fn heads_are_reduced_before_layers_and_layers_before_tokens() {
    let shape = Shape { layers: 2, heads: 2, answer: 2, grids: vec![[1, 1]], ..Shape::default() };
    // Of token 0, one head has 0.5; of token 1, another: maxima 0.5 each, whose mean is 0.5.
    let trace = shape.trace_of(
        |query, layer, head, _| {
            let token = query + 1 - shape.prompt();
            let one = token == layer && token == head;
            f16::from_f32(if one { 0.5 * SCALE } else { 0.0 })
        },
        gradient,
    );
    let mut state = plain_state();
    state.map.layers = AxisSet::MAX;
    state.map.heads = AxisSet::MAX;
    state.map.queries = Queries::parse("answer mean:0-1").unwrap();
    // Tokens first would give the maximum of means, 0.25.
    assert_eq!(state.values(&trace, None).unwrap(), [0.5]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("order.vlmtrace");
    trace.write(&path).unwrap();
    let flags = ["--token", "0-1", "--layer", "max", "--head", "max"].map(str::to_owned);
    assert_eq!(export(&path, &flags).unwrap(), [0.5]);
}

/// A map of a foreign writer that is neither over patches nor over positions.
#[test]
fn a_map_of_another_width_is_refused() {
    let shape = Shape::default();
    let trace = shape.random_trace(3);
    let [rows, positions] = [trace.shape().generated, trace.shape().positions];
    let values = vec![0.5; rows * positions];
    let trace = trace.with_map("relevancy.x", &[rows, positions], &values).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.vlmtrace");
    trace.write(&path).unwrap();
    // Our own writer refuses such a map, so the shape is changed in the header: as many bytes, as many values.
    let mut bytes = std::fs::read(&path).unwrap();
    let find = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|at| at == text);
    let name = find(&bytes, b"\"relevancy.x\"").unwrap();
    let at = name + find(&bytes[name..], b"[4,27]").unwrap();
    bytes[at..at + 6].copy_from_slice(b"[12,9]");
    std::fs::write(&path, &bytes).unwrap();
    let said = export(&path, &["--map".into(), "relevancy.x".into()]).unwrap_err();
    for part in ["odd.vlmtrace", "relevancy.x", "[12, 9]", "16 patches", "positions"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}
