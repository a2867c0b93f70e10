//! Compute passes against their CPU twins.
//!
//! Both fold in the same order, so that they differ only where the device contracts a
//! multiplication and an addition or divides less exactly: a few units in the last place of each
//! of up to a thousand terms, 1e-5 relative.

use crate::common::{Random, SCALE, Shape, draw, gradient, plain_state, renderer};
use half::f16;
use vlmscope::analysis::normalise::{CONTOUR_PERCENTILES, RangeRule, Scaling, percentile};
use vlmscope::analysis::reduce::{Fold, Keep, Reduction, difference, patch_keys, reduce};
use vlmscope::gpu::Renderer;
use vlmscope::trace::Trace;
use vlmscope::view::{
    Aggregate, AxisSet, Blend, ImageForm, Interpolation, MapChoice, MapSource, Mix, Normalise,
    Queries, QueryKind, Range, Scale, Second, Shown, ViewKind, ViewState,
};

const RELATIVE: f32 = 1e-5;

#[track_caller]
fn assert_close(gpu: &[f32], cpu: &[f32], what: &str) {
    assert!(gpu.len() >= cpu.len(), "{what}: {} numbers for {}", gpu.len(), cpu.len());
    let scale = cpu.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    for (at, (g, c)) in gpu.iter().zip(cpu).enumerate() {
        let close = (g - c).abs() <= RELATIVE * c.abs().max(scale * 1e-3);
        assert!(g.is_finite() && close, "{what}: number {at} is {g} on the device, {c} here");
    }
}

fn set(fold: Fold, members: &[u32]) -> AxisSet {
    let aggregate = if fold == Fold::Max { Aggregate::Max } else { Aggregate::Mean };
    AxisSet::new(aggregate, members.to_vec())
}

/// Draws one state and compares planes and ranges with the twins.
#[track_caller]
fn check(
    renderer: &mut Renderer,
    trace: &Trace,
    state: &ViewState,
    reduction: &Reduction,
    what: &str,
) {
    draw(renderer, state, trace, [64, 48]);
    let keys = patch_keys(trace);
    let cpu = reduce(trace, reduction, &keys).unwrap();
    assert_close(&renderer.read_planes().unwrap().unwrap(), &cpu, what);
    let shown = Shown::new(state, trace);
    let (cpu, places) = match shown.density(trace.meta()) {
        None => (cpu, keys.len()),
        Some(density) => {
            let cells = density.apply(&cpu);
            assert_close(&renderer.read_cells().unwrap().unwrap(), &cells, what);
            (cells, density.cells())
        }
    };

    let scaling = scaling_of(state);
    let own = Scaling {
        rule: if scaling.rule == RangeRule::Shared { RangeRule::PerMap } else { scaling.rule },
        ..scaling
    };
    let ranges = renderer.read_ranges().unwrap().unwrap();
    let planes = reduction.planes();
    let flat = |ranges: &[[f32; 2]]| ranges.iter().flatten().copied().collect::<Vec<_>>();
    assert_close(&flat(&ranges), &flat(&own.ranges(&cpu, places)), what);
    if scaling.rule == RangeRule::Shared {
        let shared = scaling.ranges(&cpu, places)[0];
        assert_close(&ranges[planes], &shared, what);
    }
}

fn scaling_of(state: &ViewState) -> Scaling {
    let rule = match state.normalise.range {
        Range::PerMap => RangeRule::PerMap,
        Range::Shared => RangeRule::Shared,
        Range::Fixed { min, max } => RangeRule::Fixed { low: min as f32, high: max as f32 },
        Range::Percentile { low, high } => {
            RangeRule::Percentile { low: low as f32, high: high as f32 }
        }
    };
    let logarithmic = state.normalise.scale == Scale::Log;
    Scaling { rule, logarithmic, symmetric: false }
}

/// Every way to fold, keep and normalise, over one trace.
fn check_all(renderer: &mut Renderer, shape: &Shape, trace: &Trace) {
    let all = |len: u32| (0..len).collect::<Vec<_>>();
    let some = |len: u32| (0..len).step_by(2).collect::<Vec<_>>();
    let ranges = [
        Range::PerMap,
        Range::Shared,
        Range::Fixed { min: 0.001, max: 0.02 },
        Range::Percentile { low: 10.0, high: 95.0 },
    ];
    let folds = [Fold::Mean, Fold::Max];
    for (at, view) in [ViewKind::Overlay, ViewKind::Heads, ViewKind::Wall].into_iter().enumerate() {
        for (number, fold) in folds.into_iter().enumerate() {
            let keep = [Keep::One, Keep::Heads, Keep::LayersHeads][at];
            let reduction = Reduction {
                rows: all(shape.answer),
                layers: if keep == Keep::LayersHeads {
                    all(shape.layers)
                } else {
                    some(shape.layers)
                },
                heads: if keep == Keep::One { some(shape.heads) } else { all(shape.heads) },
                row_fold: if shape.answer == 1 { Fold::Mean } else { folds[1 - number] },
                layer_fold: fold,
                head_fold: folds[1 - number],
                keep,
                pairs: false,
                remove_bos: number == 1,
            };
            let mut state = plain_state();
            state.view = view;
            state.remove_bos = reduction.remove_bos;
            state.map.layers = set(reduction.layer_fold, &reduction.layers);
            state.map.heads = set(reduction.head_fold, &reduction.heads);
            state.map.queries =
                Queries { kind: QueryKind::Answer, set: set(reduction.row_fold, &reduction.rows) };
            let reduction = Reduction {
                // A set of one has no fold.
                layer_fold: fold_of(&state.map.layers),
                head_fold: fold_of(&state.map.heads),
                ..reduction
            };
            for range in ranges {
                state.normalise = Normalise { range, ..Normalise::default() };
                let what = format!("{shape:?} {view} {fold:?} {range:?}");
                check(renderer, trace, &state, &reduction, &what);
            }
        }
    }
}

fn fold_of(set: &AxisSet) -> Fold {
    if set.aggregate() == Aggregate::Max { Fold::Max } else { Fold::Mean }
}

#[test]
fn random_attention_of_an_odd_offset() {
    // 3 positions before the picture and 37 in all: f16 pairs are cut both ways.
    let shape = Shape { grids: vec![[5, 5]], ..Shape::default() };
    assert_eq!((shape.before % 2, shape.positions() % 2), (1, 0));
    check_all(&mut renderer(), &shape, &shape.random_trace(11));
    let shape = Shape { before: 2, after: 4, ..shape };
    check_all(&mut renderer(), &shape, &shape.random_trace(12));
}

#[test]
fn one_patch_and_one_head() {
    let shape = Shape {
        layers: 1,
        heads: 1,
        before: 1,
        grids: vec![[1, 1]],
        after: 1,
        answer: 1,
        ..Shape::default()
    };
    // An odd number of weights in the whole page: the last word is half a pair.
    assert_eq!(shape.positions() % 2, 1);
    check_all(&mut renderer(), &shape, &shape.random_trace(13));
}

#[test]
fn a_set_of_single_heads() {
    let shape = Shape { grids: vec![[5, 7]], ..Shape::default() };
    let trace = shape.random_trace(17);
    let mut renderer = renderer();
    for remove_bos in [false, true] {
        let mut state = plain_state();
        state.remove_bos = remove_bos;
        state.map.choose_heads(vec![[0, 1], [1, 0], [1, 3], [2, 2]]);
        let reduction = Reduction {
            layers: vec![0, 1, 1, 2],
            heads: vec![1, 0, 3, 2],
            pairs: true,
            ..single(remove_bos)
        };
        check(&mut renderer, &trace, &state, &reduction, "a set");
        // By hand: the mean over the four heads.
        let weights = |layer: usize, head: usize| trace.weights(0, layer, head).unwrap();
        let heads = [weights(0, 1), weights(1, 0), weights(1, 3), weights(2, 2)];
        let rest = |row: &[f32]| if remove_bos { 1.0 - row[0] } else { 1.0 };
        let values = state.values(&trace, None).unwrap();
        for (patch, value) in values.iter().enumerate() {
            let key = shape.before as usize + patch;
            let mean: f32 = heads.iter().map(|row| row[key] / rest(row)).sum::<f32>() / 4.0;
            assert!((value - mean).abs() < 1e-6, "patch {patch}: {value} {mean}");
        }
    }
}

#[test]
fn a_grid_that_is_not_square() {
    let shape = Shape { layers: 2, heads: 3, grids: vec![[40, 56]], ..Shape::default() };
    check_all(&mut renderer(), &shape, &shape.random_trace(14));
}

#[test]
fn several_spans() {
    let shape = Shape { grids: vec![[4, 6], [1, 1], [7, 2]], ..Shape::default() };
    check_all(&mut renderer(), &shape, &shape.random_trace(15));
}

#[test]
fn views_that_overlap_are_spread_over_cells() {
    // A coarse view and tiles, padding at the edge, a grid with separators, tiles of cross-attention.
    for name in ["tiles", "stride", "cross"] {
        let path = format!("{}/tests/fixtures/traces2/{name}.vlmtrace", env!("CARGO_MANIFEST_DIR"));
        let trace = Trace::open(path.as_ref()).unwrap();
        let mut renderer = renderer();
        for view in [ViewKind::Overlay, ViewKind::Heads, ViewKind::Wall, ViewKind::Pictures] {
            for form in [ImageForm::Preprocessed, ImageForm::Original] {
                let mut state = ViewState { view, ..plain_state() };
                state.picture.form = form;
                (state.map.layers, state.map.heads) = (AxisSet::MEAN, AxisSet::MAX);
                draw(&mut renderer, &state, &trace, [64, 48]);
                let cells = renderer.read_cells().unwrap().expect("a density");
                let twin = state.values(&trace, None).unwrap();
                assert_close(&cells, &twin, &format!("{name} {view}"));
                let shown = Shown::new(&state, &trace);
                assert_eq!(twin.len() % shown.cells(), 0);
                // The cells hold the part of the patches' sum that lies on the picture.
                let patches = state.patch_values(&trace, None).unwrap();
                let (sum, whole) = (twin.iter().sum::<f32>(), patches.iter().sum::<f32>());
                // The canvas of `cross` is padded by more than half; `tiles` has no padding.
                let least = if name == "tiles" { 0.9999 } else { 0.4 };
                let fits = sum <= whole * 1.0001 && sum > whole * least;
                assert!(fits, "{name} {view}: {sum} of {whole}");
            }
        }
    }
}

#[test]
fn no_text_before_the_picture() {
    let shape = Shape { before: 0, ..Shape::default() };
    let trace = shape.random_trace(16);
    // Key 0 is a patch: there is no BOS to leave out.
    let mut state = plain_state();
    state.remove_bos = true;
    let reduction = single(false);
    check(&mut renderer(), &trace, &state, &reduction, "no BOS");
}

fn single(remove_bos: bool) -> Reduction {
    Reduction {
        rows: vec![0],
        layers: vec![1],
        heads: vec![2],
        row_fold: Fold::Mean,
        layer_fold: Fold::Mean,
        head_fold: Fold::Mean,
        keep: Keep::One,
        pairs: false,
        remove_bos,
    }
}

#[test]
fn adversarial_rows() {
    let mut renderer = renderer();
    let shape = Shape::default();
    let first = shape.before;
    let extremes =
        [f16::MAX, f16::MIN_POSITIVE, f16::from_bits(1), f16::ZERO, f16::from_f32(SCALE)];
    let cases: [(&str, Box<dyn Fn(u32) -> f16>); 6] = [
        ("one hot", Box::new(move |key| f16::from_f32(if key == first + 5 { SCALE } else { 0.0 }))),
        ("all equal", Box::new(|_| f16::from_f32(0.125 * SCALE))),
        ("zeros", Box::new(|_| f16::ZERO)),
        ("extremes", Box::new(move |key| extremes[key as usize % 5])),
        ("all on BOS", Box::new(|key| f16::from_f32(if key == 0 { SCALE } else { 0.0 }))),
        (
            "damage",
            Box::new(|key| match key % 3 {
                0 => f16::NAN,
                1 => f16::INFINITY,
                _ => f16::from_f32(0.01 * SCALE),
            }),
        ),
    ];
    for (what, weight) in cases {
        let trace = shape.trace_of(|_, _, _, key| weight(key), gradient);
        for remove_bos in [false, true] {
            let mut state = plain_state();
            state.remove_bos = remove_bos;
            check(&mut renderer, &trace, &state, &single(remove_bos), what);
        }
        check_all(&mut renderer, &shape, &trace);
    }
}

#[test]
fn a_difference_is_taken_once() {
    let shape = Shape { grids: vec![[6, 6]], ..Shape::default() };
    let trace = shape.random_trace(17);
    let mut state = plain_state();
    state.view = ViewKind::Diff;
    let other = MapChoice { heads: AxisSet::single(0), ..state.map.clone() };
    state.second = Some(Second { trace: None, map: other, mix: Mix::Difference });
    let keys = patch_keys(&trace);
    let mut expected = reduce(&trace, &single(false), &keys).unwrap();
    let second = Reduction { heads: vec![0], ..single(false) };
    difference(&mut expected, &reduce(&trace, &second, &keys).unwrap());
    let mut renderer = renderer();
    // Drawn twice, then with another opacity: the second map must not be taken away again.
    for opacity in [1.0, 1.0, 0.5] {
        state.opacity = opacity;
        let (_, stats) = draw(&mut renderer, &state, &trace, [64, 64]);
        assert_close(&renderer.read_planes().unwrap().unwrap(), &expected, "difference");
        let reach = expected.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        assert_close(&renderer.read_ranges().unwrap().unwrap()[0], &[-reach, reach], "range");
        let range = stats.range.unwrap();
        assert!((range[1] - f64::from(reach)).abs() < 1e-7 && range[0] == -range[1]);
    }
    // Without the difference the first map is itself again.
    state.view = ViewKind::Overlay;
    state.second = None;
    draw(&mut renderer, &state, &trace, [64, 64]);
    let first = reduce(&trace, &single(false), &keys).unwrap();
    assert_close(&renderer.read_planes().unwrap().unwrap(), &first, "first again");
}

#[test]
fn a_named_map_takes_the_same_path() {
    let shape = Shape::default();
    let mut random = Random(5);
    let (patches, positions) = (shape.patches() as usize, shape.positions() as usize);
    let g = shape.answer as usize;
    let per_patch: Vec<f32> = (0..g * patches).map(|_| random.unit() - 0.5).collect();
    let per_position: Vec<f32> = (0..g * positions).map(|_| random.unit()).collect();
    let trace = shape
        .random_trace(18)
        .with_map("map.test", &[g, patches], &per_patch)
        .unwrap()
        .with_map("relevancy.llm", &[g, positions], &per_position)
        .unwrap();
    let mut renderer = renderer();
    let mut state = plain_state();
    state.map.queries = Queries::parse("answer mean:1-2").unwrap();
    state.map.source = MapSource::Named("map.test".into());
    draw(&mut renderer, &state, &trace, [64, 64]);
    let mean = |row: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..patches).map(|at| (row(1, at) + row(2, at)) / 2.0).collect()
    };
    let expected = mean(&|i, at| per_patch[i * patches + at]);
    assert_close(&renderer.read_planes().unwrap().unwrap(), &expected, "map.test");
    state.view = ViewKind::Relevancy;
    state.map.source = MapSource::Named("relevancy.llm".into());
    draw(&mut renderer, &state, &trace, [64, 64]);
    let before = shape.before as usize;
    let expected = mean(&|i, at| per_position[i * positions + before + at]);
    assert_close(&renderer.read_planes().unwrap().unwrap(), &expected, "relevancy.llm");
}

/// The atlas holds the twin's numbers, normalised along the twin's range, on either scale and in every view.
#[test]
fn the_atlas_holds_the_twins_numbers_on_either_scale() {
    // f16 texels between 0 and 1, a logarithm of the device's.
    const TOLERANCE: f32 = 2e-3;
    let shape = Shape { layers: 5, heads: 6, grids: vec![[5, 7]], ..Shape::default() };
    let trace = shape.random_trace(31);
    let keys = patch_keys(&trace);
    let mut renderer = renderer();
    let heads: Vec<u32> = (0..shape.heads).collect();
    let kept = [
        (ViewKind::Overlay, Keep::One, 1),
        (ViewKind::Heads, Keep::Heads, 2),
        (ViewKind::Wall, Keep::LayersHeads, shape.heads as usize),
    ];
    for (view, keep, columns) in kept {
        let mut reduction = Reduction { keep, ..single(false) };
        if keep != Keep::One {
            reduction.heads.clone_from(&heads);
        }
        if keep == Keep::LayersHeads {
            reduction.layers = (0..shape.layers).collect();
        }
        let maps = reduce(&trace, &reduction, &keys).unwrap();
        let ranges = [
            Range::PerMap,
            Range::Shared,
            Range::Fixed { min: 0.0, max: 0.03 },
            Range::Fixed { min: 0.002, max: 0.02 },
            Range::Percentile { low: 10.0, high: 90.0 },
        ];
        for (range, scale) in
            ranges.into_iter().flat_map(|range| [(range, Scale::Linear), (range, Scale::Log)])
        {
            let mut state = plain_state();
            state.view = view;
            state.interpolation = Interpolation::Nearest;
            state.normalise = Normalise { range, scale };
            draw(&mut renderer, &state, &trace, [64, 48]);
            let ([width, _], atlas) = renderer.read_atlas().unwrap().unwrap();
            let scaling = scaling_of(&state);
            let ends = scaling.ranges(&maps, keys.len());
            let mut between = 0;
            for (plane, map) in maps.chunks_exact(keys.len()).enumerate() {
                for (patch, &value) in map.iter().enumerate() {
                    let x = plane % columns * 7 + patch % 7;
                    let y = plane / columns * 5 + patch / 7;
                    let found = atlas[y * width as usize + x];
                    let expected = scaling.apply(value, ends[plane]);
                    assert!(
                        (found - expected).abs() <= TOLERANCE,
                        "{view} {range:?} {scale:?}, plane {plane}, patch {patch}: \
                         {found} on the device, {expected} here"
                    );
                    between += usize::from(expected > 0.05 && expected < 0.95);
                }
            }
            // ColorLimits alone would not tell one scale from the other.
            assert!(between > maps.len() / 10, "{view} {range:?} {scale:?}: {between}");
        }
    }
}

#[test]
fn contour_levels_are_percentiles_of_each_map() {
    let shape = Shape { grids: vec![[9, 7]], ..Shape::default() };
    let trace = shape.random_trace(19);
    let keys = patch_keys(&trace);
    let mut renderer = renderer();
    let scales = [Scale::Linear, Scale::Log];
    for (view, scale) in
        scales.into_iter().flat_map(|s| [(ViewKind::Overlay, s), (ViewKind::Heads, s)])
    {
        let mut state = plain_state();
        state.blend = Blend::Contours;
        state.view = view;
        state.normalise.scale = scale;
        draw(&mut renderer, &state, &trace, [64, 64]);
        let reduction = match view {
            ViewKind::Heads => {
                Reduction { heads: vec![0, 1, 2, 3], keep: Keep::Heads, ..single(false) }
            }
            _ => single(false),
        };
        let maps = reduce(&trace, &reduction, &keys).unwrap();
        let scaling = scaling_of(&state);
        let ranges = renderer.read_ranges().unwrap().unwrap();
        let planes = reduction.planes();
        for (plane, map) in maps.chunks_exact(keys.len()).enumerate() {
            let range = scaling.ranges(map, keys.len())[0];
            let expected = CONTOUR_PERCENTILES.map(|p| scaling.apply(percentile(map, p), range));
            let found = &ranges[planes + 1 + plane * 2..][..2];
            assert_close(&found.concat(), &expected, "levels");
        }
    }
}
