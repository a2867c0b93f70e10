//! Properties of every picture of attention, on any device.

use crate::common::{SCALE, Shape, draw, gradient, plain_state, renderer};
use half::f16;
use image::RgbaImage;
use vlmscope::analysis::outline::{Outline, RegionPart};
use vlmscope::gpu::{Gpu, Renderer, Scene, Target, colormap};
use vlmscope::trace::{PatchRef, PreprocessMode, Rect, Trace};
use vlmscope::view::figure::{Label, contrast};
use vlmscope::view::{
    AxisSet, Blend, ColorMap, HeadOrder, ImageForm, Interpolation, MapChoice, MarkedObject, Mix,
    Normalise, PatchGrid, Quantity, Queries, Range, Scale, Second, ViewKind, ViewState,
};

fn black(_: u32, _: u32) -> [u8; 3] {
    [0, 0, 0]
}

/// Attention on one patch only, in every layer and head.
fn one_hot(shape: &Shape, row: u32, column: u32, picture: fn(u32, u32) -> [u8; 3]) -> Trace {
    let hot = shape.before + row * shape.grids[0][1] + column;
    let weight = |key| f16::from_f32(if key == hot { SCALE * 0.5 } else { 0.0 });
    shape.trace_of(|_, _, _, key| weight(key), picture)
}

fn light(pixel: &image::Rgba<u8>) -> u32 {
    pixel.0[..3].iter().map(|&c| u32::from(c)).sum()
}

/// The middle of the brightest pixels.
fn brightest(picture: &RgbaImage) -> [f64; 2] {
    let most = picture.pixels().map(light).max().unwrap();
    assert!(most > 0, "nothing is drawn");
    let found: Vec<_> =
        picture.enumerate_pixels().filter(|(_, _, pixel)| light(pixel) == most).collect();
    let mean = |of: &dyn Fn(&(u32, u32, &image::Rgba<u8>)) -> u32| {
        found.iter().map(|pixel| f64::from(of(pixel)) + 0.5).sum::<f64>() / found.len() as f64
    };
    [mean(&|pixel| pixel.0), mean(&|pixel| pixel.1)]
}

/// Position on the target of a point of the preprocessed picture.
fn on_target(renderer: &Renderer, shape: &Shape, form: ImageForm, point: [f64; 2]) -> [f64; 2] {
    let (point, size) = match form {
        ImageForm::Preprocessed => (point, shape.side),
        ImageForm::Original => (shape.affine().apply(point), shape.original),
    };
    let uv = [point[0] / f64::from(size[0]), point[1] / f64::from(size[1])];
    renderer.figure().unwrap().content.at(uv.map(|v| v as f32)).map(f64::from)
}

#[test]
fn a_one_hot_map_is_brightest_at_its_patch() {
    let mut renderer = renderer();
    let modes = [PreprocessMode::Default, PreprocessMode::Resize, PreprocessMode::Pad];
    let (mut seen, mut hidden) = (0, 0);
    for mode in modes {
        for original in [[64, 64], [101, 67], [53, 131]] {
            for (row, column) in [(0, 0), (2, 5), (5, 1)] {
                let grids = vec![[6, 6]];
                let shape = Shape { mode, original, side: [84, 84], grids, ..Shape::default() };
                let trace = one_hot(&shape, row, column, black);
                for form in [ImageForm::Preprocessed, ImageForm::Original] {
                    for interpolation in Interpolation::ALL {
                        let mut state = plain_state();
                        state.picture.form = form;
                        state.interpolation = *interpolation;
                        let (drawn, _) = draw(&mut renderer, &state, &trace, [420, 360]);
                        let rect = trace.meta().spans[0].preprocessed_from_patch(row, column);
                        let content = renderer.figure().unwrap().content;
                        let at = |point| on_target(&renderer, &shape, form, point);
                        let low = at([rect.x, rect.y]);
                        let high = at([rect.x + rect.width, rect.y + rect.height]);
                        // Padding does not exist on the original picture.
                        let low = [low[0].max(content.x.into()), low[1].max(content.y.into())];
                        let high = [
                            high[0].min(content.right().into()),
                            high[1].min(content.bottom().into()),
                        ];
                        if low[0] + 2.0 > high[0] || low[1] + 2.0 > high[1] {
                            hidden += 1;
                            continue;
                        }
                        let found = brightest(&drawn);
                        for axis in 0..2 {
                            assert!(
                                (low[axis] - 0.5..=high[axis] + 0.5).contains(&found[axis]),
                                "{mode:?} {original:?} {form} {interpolation} patch {row},{column}: \
                                 brightest at {found:?}, patch from {low:?} to {high:?}"
                            );
                        }
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 70 && hidden > 0, "{seen} seen, {hidden} in the padding");
}

#[test]
fn a_patch_inside_is_met_exactly() {
    // Away from every edge the middle of the brightest pixels is the middle of the patch.
    let mut renderer = renderer();
    for mode in [PreprocessMode::Default, PreprocessMode::Resize, PreprocessMode::Pad] {
        let shape = Shape {
            mode,
            original: [110, 90],
            side: [84, 84],
            grids: vec![[7, 7]],
            ..Shape::default()
        };
        let trace = one_hot(&shape, 3, 2, black);
        for form in [ImageForm::Preprocessed, ImageForm::Original] {
            for interpolation in Interpolation::ALL {
                let mut state = plain_state();
                state.picture.form = form;
                state.interpolation = *interpolation;
                let (drawn, _) = draw(&mut renderer, &state, &trace, [441, 378]);
                let rect = trace.meta().spans[0].preprocessed_from_patch(3, 2);
                let centre = [rect.x + rect.width / 2.0, rect.y + rect.height / 2.0];
                let expected = on_target(&renderer, &shape, form, centre);
                let found = brightest(&drawn);
                for axis in 0..2 {
                    assert!(
                        (found[axis] - expected[axis]).abs() <= 1.0,
                        "{mode:?} {form} {interpolation}: brightest at {found:?}, patch at {expected:?}"
                    );
                }
            }
        }
    }
}

fn bare(renderer: &mut Renderer, state: &ViewState, trace: &Trace, size: [u32; 2]) -> RgbaImage {
    let target = Target::offscreen(renderer.gpu(), size).unwrap();
    renderer.bare_picture(&Scene::new(state, trace), &target).unwrap();
    target.read(renderer.gpu()).unwrap()
}

#[test]
fn without_opacity_the_picture_comes_back() {
    let shape = Shape { original: [90, 70], ..Shape::default() };
    let trace = shape.random_trace(3);
    let mut renderer = renderer();
    let mut state = plain_state();
    state.opacity = 0.0;
    for form in [ImageForm::Preprocessed, ImageForm::Original] {
        for blend in Blend::ALL {
            state.picture.form = form;
            state.blend = *blend;
            let (drawn, _) = draw(&mut renderer, &state, &trace, [201, 163]);
            assert!(drawn == bare(&mut renderer, &state, &trace, [201, 163]), "{form} {blend}");
        }
    }
    // At its own size the stored pixels come back.
    state.picture.form = ImageForm::Preprocessed;
    let (drawn, _) = draw(&mut renderer, &state, &trace, shape.side);
    for (x, y, pixel) in drawn.enumerate_pixels() {
        assert_eq!(pixel.0[..3], gradient(x, y), "pixel {x}, {y}");
    }
}

#[test]
fn a_glow_leaves_unattended_pixels_alone() {
    // Here the composite really runs: opacity is 1 and the map is 0 away from the patch.
    let shape = Shape { grids: vec![[8, 8]], ..Shape::default() };
    let trace = one_hot(&shape, 6, 6, gradient);
    let mut renderer = renderer();
    let state = plain_state();
    let size = [256, 256];
    let (drawn, stats) = draw(&mut renderer, &state, &trace, size);
    assert!(stats.passes.contains(&"composite"));
    let picture = bare(&mut renderer, &state, &trace, size);
    let mut changed = 0;
    for (x, y, pixel) in drawn.enumerate_pixels() {
        let far = x < 128 || y < 128;
        if far {
            assert_eq!(pixel, picture.get_pixel(x, y), "pixel {x}, {y}");
        } else if pixel != picture.get_pixel(x, y) {
            changed += 1;
        }
    }
    assert!(changed > 500, "only {changed} pixels glow");
}

#[test]
fn the_ends_of_every_color_map_are_exact() {
    let shape = Shape { grids: vec![[2, 2]], ..Shape::default() };
    let trace = one_hot(&shape, 0, 0, gradient);
    let mut renderer = renderer();
    let mut state = plain_state();
    state.blend = Blend::Flat;
    state.interpolation = Interpolation::Nearest;
    for map in ColorMap::ALL {
        state.colormap = *map;
        let (drawn, _) = draw(&mut renderer, &state, &trace, [64, 64]);
        let at = |x, y| <[u8; 3]>::try_from(&drawn.get_pixel(x, y).0[..3]).unwrap();
        assert_eq!(at(10, 10), colormap::color(*map, 1.0), "upper end of {map}");
        assert_eq!(at(50, 10), colormap::color(*map, 0.0), "lower end of {map}");
        assert_eq!(at(50, 50), colormap::color(*map, 0.0), "lower end of {map}");
    }
}

#[test]
fn a_frame_is_the_same_every_time() {
    let shape = Shape { grids: vec![[5, 7]], original: [80, 60], ..Shape::default() };
    let trace = shape.random_trace(8);
    let mut renderers = [renderer(), renderer()];
    for view in ViewKind::ALL {
        for blend in Blend::ALL {
            let mut state = plain_state();
            state.view = *view;
            state.blend = *blend;
            state.legend = true;
            state.caption.show = true;
            state.normalise.scale = Scale::Log;
            if *view == ViewKind::Diff {
                let map = MapChoice { heads: AxisSet::single(0), ..state.map.clone() };
                state.second = Some(Second { trace: None, map, mix: Mix::Difference });
            }
            if *view == ViewKind::Relevancy {
                continue;
            }
            let drawn = renderers.each_mut().map(|r| draw(r, &state, &trace, [320, 240]).0);
            assert!(drawn[0] == drawn[1], "{view} {blend} differs between two renderers");
            let again = draw(&mut renderers[0], &state, &trace, [320, 240]).0;
            assert!(drawn[0] == again, "{view} {blend} differs between two frames");
        }
    }
}

/// Passes and bytes of a frame after `change`.
fn after(
    renderer: &mut Renderer,
    state: &mut ViewState,
    trace: &Trace,
    change: impl FnOnce(&mut ViewState),
) -> vlmscope::gpu::FrameStats {
    draw(renderer, state, trace, [128, 128]);
    change(state);
    draw(renderer, state, trace, [128, 128]).1
}

#[test]
fn only_what_changed_runs_again() {
    let shape = Shape { layers: 4, ..Shape::default() };
    let trace = shape.random_trace(4);
    let mut renderer = renderer();
    let mut state = plain_state();
    let stats = after(&mut renderer, &mut state, &trace, |_| {});
    assert_eq!((stats.passes.as_slice(), stats.page_bytes), (&["composite"][..], 0));

    let stats = after(&mut renderer, &mut state, &trace, |state| state.opacity = 0.4);
    assert_eq!((stats.passes.as_slice(), stats.page_bytes), (&["composite"][..], 0));
    let stats =
        after(&mut renderer, &mut state, &trace, |state| state.colormap = ColorMap::Viridis);
    assert_eq!((stats.passes.as_slice(), stats.page_bytes), (&["composite"][..], 0));
    let stats = after(&mut renderer, &mut state, &trace, |state| state.blend = Blend::Multiply);
    assert_eq!((stats.passes.as_slice(), stats.page_bytes), (&["composite"][..], 0));

    let map_again = &["reduce", "normalise", "fill_atlas", "composite"][..];
    let stats =
        after(&mut renderer, &mut state, &trace, |state| state.map.layers = AxisSet::single(3));
    assert_eq!((stats.passes.as_slice(), stats.page_bytes, stats.map_bytes), (map_again, 0, 0));
    let stats = after(&mut renderer, &mut state, &trace, |state| state.map.heads = AxisSet::MEAN);
    assert_eq!((stats.passes.as_slice(), stats.page_bytes, stats.map_bytes), (map_again, 0, 0));

    let stats = after(&mut renderer, &mut state, &trace, |state| {
        state.normalise.range = Range::Percentile { low: 1.0, high: 99.0 };
    });
    assert_eq!(stats.passes, ["normalise", "fill_atlas", "composite"]);
    assert_eq!(stats.page_bytes, 0);

    let page = trace.shape().page_bytes() as u64;
    let stats =
        after(&mut renderer, &mut state, &trace, |state| state.map.queries = Queries::answer(2));
    assert_eq!((stats.page_uploads, stats.prefetched, stats.page_bytes), (1, 0, page));
    let stats =
        after(&mut renderer, &mut state, &trace, |state| state.map.queries = Queries::answer(0));
    assert_eq!(stats.page_uploads, 0, "the page is still resident");
}

#[test]
fn the_wall_shows_every_head_in_its_place() {
    let shape = Shape { layers: 3, heads: 5, grids: vec![[4, 4]], ..Shape::default() };
    // Layer l, head h look at patch (l, h mod 4).
    let trace = shape.trace_of(
        |_, layer, head, key| {
            let hot = shape.before + layer * 4 + head % 4;
            f16::from_f32(if key == hot { 0.3 * SCALE } else { 0.0 })
        },
        gradient,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::Wall;
    state.interpolation = Interpolation::Nearest;
    let (drawn, stats) = draw(&mut renderer, &state, &trace, [740, 480]);
    assert!(stats.passes.contains(&"wall"));
    let content = renderer.figure().unwrap().content;
    for layer in 0..3 {
        for head in 0..5 {
            let cell = content.cell(layer, head, 3, 5);
            for row in 0..4 {
                for column in 0..4 {
                    let patch = cell.cell(row, column, 4, 4).centre();
                    let pixel = drawn.get_pixel(patch[0] as u32, patch[1] as u32);
                    let hot = row == layer && column == head % 4;
                    let expected = colormap::color(state.colormap, if hot { 1.0 } else { 0.0 });
                    let same = pixel.0.iter().zip(expected).all(|(&a, b)| a == b);
                    assert!(same, "layer {layer} head {head} patch {row},{column}: {pixel:?}");
                }
            }
        }
    }
}

#[test]
fn the_wall_shows_sorted_heads_where_it_says() {
    let shape = Shape { layers: 2, heads: 6, grids: vec![[3, 3]], ..Shape::default() };
    // In the even layer, the share of the attention rises with the head, in the odd one it falls.
    let trace = shape.trace_of(
        |_, layer, head, key| {
            let rank = if layer == 0 { head } else { 5 - head };
            let hot = shape.before + head;
            f16::from_f32(if key == hot { (0.1 + rank as f32 * 0.05) * SCALE } else { 0.0 })
        },
        black,
    );
    let mut renderer = renderer();
    for order in HeadOrder::ALL {
        let mut state = plain_state();
        state.view = ViewKind::Wall;
        state.head_order = *order;
        state.interpolation = Interpolation::Nearest;
        // The object is the third patch, which head 2 looks at.
        let [width, height] = shape.original.map(|side| f64::from(side) / 3.0);
        let rect = Rect { x: 2.0 * width, y: 0.0, width, height };
        let part = RegionPart::new(Outline::Rectangle { rect });
        state.objects =
            vec![MarkedObject { name: "the fox".into(), picture: 0, parts: vec![part] }];
        state.object = Some(0);
        state.caption.show = true;
        let (drawn, _) = draw(&mut renderer, &state, &trace, [900, 420]);
        let figure = renderer.figure().unwrap().clone();
        let heads_of = |row| -> Vec<u32> {
            let y = figure.head_cell([row, 0]).unwrap().centre()[1];
            (0..6)
                .map(|column| {
                    let x = figure.content.x + (column as f32 + 0.5) * figure.content.width / 6.0;
                    figure.head_at([x, y]).unwrap()[1]
                })
                .collect()
        };
        for row in 0..2 {
            for head in 0..6 {
                let cell = figure.head_cell([row, head]).unwrap();
                assert_eq!(figure.head_at(cell.centre()), Some([row, head]));
                let lightest = (0..9_u32)
                    .max_by_key(|patch| {
                        let [x, y] = cell.cell(patch / 3, patch % 3, 3, 3).centre();
                        light(drawn.get_pixel(x as u32, y as u32))
                    })
                    .unwrap();
                assert_eq!(lightest, head, "order {order}: row {row}");
            }
        }
        let titles: Vec<String> = figure.labels.iter().map(Label::text).collect();
        let titled = |text: &str| titles.iter().any(|title| title == text);
        match order {
            HeadOrder::Index => {
                assert_eq!(heads_of(0), [0, 1, 2, 3, 4, 5]);
                assert!(titled("head →") && titled("0") && !titled("H0"));
            }
            HeadOrder::ImageShare | HeadOrder::Peak => {
                assert_eq!(heads_of(0), [5, 4, 3, 2, 1, 0]);
                assert_eq!(heads_of(1), [0, 1, 2, 3, 4, 5]);
            }
            HeadOrder::Entropy => assert!(titled("heads sorted by focus →"), "{titles:?}"),
            HeadOrder::Inside => {
                assert_eq!((heads_of(0)[0], heads_of(1)[0]), (2, 2));
                assert!(titled("heads sorted by attention inside “the fox” →"), "{titles:?}");
                assert!(titled("1") && titled("H2"), "{titles:?}");
            }
        }
    }
}

#[test]
fn the_wall_shows_every_span_in_its_place() {
    // 40 layers × 40 heads as in a 13B model, grids that are not square, two tiles side by side.
    let shape = Shape {
        layers: 40,
        heads: 40,
        grids: vec![[4, 2], [4, 2]],
        side: [96, 64],
        original: [96, 64],
        answer: 1,
        ..Shape::default()
    };
    // Layer l, head h look at patch (l + h) mod 16 of both tiles.
    let hot = |layer: u32, head: u32| (layer + head) % shape.patches();
    let trace = shape.trace_of(
        |_, layer, head, key| {
            let is_hot = key == shape.before + hot(layer, head);
            f16::from_f32(if is_hot { 0.3 * SCALE } else { 0.0 })
        },
        gradient,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::Wall;
    state.map.layers = AxisSet::MEAN;
    state.map.heads = AxisSet::MEAN;
    state.interpolation = Interpolation::Nearest;
    let (drawn, _) = draw(&mut renderer, &state, &trace, [2100, 1480]);
    let content = renderer.figure().unwrap().content;
    assert!((content.width / content.height - 1.5).abs() < 0.01, "a map is as wide as its picture");
    for (layer, head) in [(0, 0), (0, 39), (39, 0), (39, 39), (17, 23), (5, 9), (20, 2)] {
        let cell = content.cell(layer, head, 40, 40);
        let halves = [cell.cell(0, 0, 1, 2), cell.cell(0, 1, 1, 2)];
        for patch in 0..16 {
            let place = halves[patch as usize / 8].cell(patch % 8 / 2, patch % 2, 4, 2);
            let [x, y] = place.centre();
            let pixel = drawn.get_pixel(x as u32, y as u32);
            let value = if patch == hot(layer, head) { 1.0 } else { 0.0 };
            let expected = colormap::color(state.colormap, value);
            let same = pixel.0.iter().zip(expected).all(|(&a, b)| a == b);
            assert!(same, "layer {layer} head {head} patch {patch}: {pixel:?}");
        }
    }
}

#[test]
fn a_wall_cross_fades_and_swipes() {
    let shape = Shape { layers: 1, heads: 2, grids: vec![[2, 2]], answer: 2, ..Shape::default() };
    let first = shape.prompt() - 1;
    // The first answer token looks at patch 0, the second at patch 3.
    let trace = shape.trace_of(
        |query, _, _, key| {
            let hot = shape.before + if query == first { 0 } else { 3 };
            f16::from_f32(if key == hot { 0.5 * SCALE } else { 0.0 })
        },
        black,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::Wall;
    state.map.layers = AxisSet::MEAN;
    state.map.heads = AxisSet::MEAN;
    state.interpolation = Interpolation::Nearest;
    state.colormap = ColorMap::Grey;
    let other = MapChoice { queries: Queries::answer(1), ..state.map.clone() };
    let mut at = |mix, renderer: &mut Renderer| {
        state.second = Some(Second { trace: None, map: other.clone(), mix });
        let drawn = draw(renderer, &state, &trace, [400, 260]).0;
        let content = renderer.figure().unwrap().content;
        [0, 1].map(|head| {
            let cell = content.cell(0, head, 1, 2);
            [cell.cell(0, 0, 2, 2), cell.cell(1, 1, 2, 2)].map(|patch| {
                let [x, y] = patch.centre();
                drawn.get_pixel(x as u32, y as u32).0[0]
            })
        })
    };
    let (one, two) = ([255, 0], [0, 255]);
    assert_eq!(at(Mix::CrossFade { amount: 0.0 }, &mut renderer), [one, one]);
    assert_eq!(at(Mix::CrossFade { amount: 1.0 }, &mut renderer), [two, two]);
    assert_eq!(at(Mix::Swipe { position: 0.5 }, &mut renderer), [one, two]);
    assert_eq!(at(Mix::Swipe { position: 1.0 }, &mut renderer), [one, one]);
}

#[test]
fn contours_are_read_on_light_and_dark_pictures() {
    let shape = Shape { grids: vec![[8, 8]], ..Shape::default() };
    let weight = |key: u32| {
        let at = key.saturating_sub(shape.before);
        let [x, y] = [at % 8, at / 8].map(|side| f64::from(side) - 3.4);
        f16::from_f32((-(x * x + y * y) / 8.0).exp() as f32 * 0.02 * SCALE)
    };
    let mut renderer = renderer();
    for shade in [0_u8, 128, 255] {
        let trace = shape.trace_of(|_, _, _, key| weight(key), |_, _| [shade; 3]);
        for map in ColorMap::ALL {
            let mut state = plain_state();
            state.blend = Blend::Contours;
            state.colormap = *map;
            let (drawn, _) = draw(&mut renderer, &state, &trace, [480, 480]);
            // From the middle to the left edge every line is crossed once.
            let row: Vec<[u8; 3]> =
                (0..234).map(|x| drawn.get_pixel(x, 234).0[..3].try_into().unwrap()).collect();
            let mut lines = 0;
            let mut inside = false;
            for pixel in &row {
                let stands_out = contrast(*pixel, [shade; 3]) >= 3.0;
                lines += usize::from(stands_out && !inside);
                inside = stands_out;
            }
            assert!(lines >= 4, "{lines} lines of {map} stand out from {shade}");
        }
    }
}

#[test]
fn heads_keep_their_numbers_in_any_order() {
    let shape = Shape { layers: 2, heads: 6, grids: vec![[3, 3]], ..Shape::default() };
    let trace = shape.trace_of(
        |_, _, head, key| {
            let hot = shape.before + head;
            f16::from_f32(if key == hot { (0.1 + head as f32 * 0.05) * SCALE } else { 0.0 })
        },
        black,
    );
    let mut renderer = renderer();
    for order in HeadOrder::ALL {
        let mut state = plain_state();
        state.view = ViewKind::Heads;
        state.head_order = *order;
        let (drawn, _) = draw(&mut renderer, &state, &trace, [600, 420]);
        let tiles = renderer.figure().unwrap().tiles.clone();
        assert_eq!(tiles.len(), 6);
        for (head, place) in tiles {
            let lightest = (0..9_u32)
                .max_by_key(|patch| {
                    let [x, y] = place.cell(patch / 3, patch % 3, 3, 3).centre();
                    light(drawn.get_pixel(x as u32, y as u32))
                })
                .unwrap();
            assert_eq!(lightest, head, "order {order}: head {head} at {place:?}");
        }
    }
}

#[test]
fn a_matrix_shows_its_numbers() {
    let shape = Shape { layers: 2, heads: 3, ..Shape::default() };
    let trace = shape.trace_of(
        |_, layer, head, key| {
            let image = key >= shape.before && key < shape.before + shape.patches();
            let share = (layer * 3 + head) as f32 / 5.0 / shape.patches() as f32;
            f16::from_f32(if image { share * SCALE } else { 0.0 })
        },
        black,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::LayerHead;
    state.quantity = Quantity::ImageShare;
    state.map.layers = AxisSet::MEAN;
    state.map.heads = AxisSet::MEAN;
    state.colormap = ColorMap::Grey;
    let (drawn, stats) = draw(&mut renderer, &state, &trace, [400, 300]);
    let range = stats.range.unwrap();
    assert!(range[0].abs() < 1e-6 && (range[1] - 1.0).abs() < 1e-3, "{range:?}");
    let content = renderer.figure().unwrap().content;
    for at in 0..6_u32 {
        let cell = content.cell(at / 3, at % 3, 2, 3);
        // Beside the printed number.
        let pixel = drawn
            .get_pixel((cell.x + cell.width * 0.15) as u32, (cell.y + cell.height * 0.15) as u32);
        let expected = (f64::from(at) / 5.0 * 255.0).round();
        assert!((f64::from(pixel.0[0]) - expected).abs() <= 2.0, "cell {at}: {pixel:?}");
    }
}

/// Weights are kept as half floats: what differs by their rounding is drawn as equal.
#[test]
fn a_matrix_of_equal_numbers_has_one_color() {
    let shape = Shape { layers: 2, heads: 3, ..Shape::default() };
    let trace = shape.trace_of(
        |_, layer, head, key| {
            let is_last = (layer, head, key) == (1, 2, shape.before);
            f16::from_bits(f16::from_f32(0.01 * SCALE).to_bits() + u16::from(is_last))
        },
        black,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::LayerHead;
    state.quantity = Quantity::ImageToAnswer;
    state.colormap = ColorMap::Grey;
    let (drawn, stats) = draw(&mut renderer, &state, &trace, [400, 300]);
    let [low, high] = stats.range.unwrap();
    assert_eq!(low, high);
    let content = renderer.figure().unwrap().content;
    for at in 0..6_u32 {
        let cell = content.cell(at / 3, at % 3, 2, 3);
        let pixel = drawn
            .get_pixel((cell.x + cell.width * 0.15) as u32, (cell.y + cell.height * 0.15) as u32);
        assert_eq!(pixel.0[..3], [0; 3], "cell {at}");
    }
}

#[test]
fn the_token_matrix_shows_gaps_and_what_cannot_be_seen() {
    let shape = Shape { layers: 2, heads: 2, grids: vec![[2, 2]], answer: 5, ..Shape::default() };
    let (prompt, positions) = (shape.prompt(), shape.positions());
    let mut builder = shape.builder(
        5,
        |query, _, _, key| f16::from_f32(if key == query { 0.5 * SCALE } else { 0.1 * SCALE }),
        black,
    );
    // A row far before the others: the rows between were not kept.
    let early = prompt - 4;
    let keys = early as usize + 1;
    let page = vec![f16::from_f32(0.1 * SCALE); 4 * keys];
    builder
        .push_page(vlmscope::trace::Query(early), keys, page.into(), vec![0.0; 4 * 5].into())
        .unwrap();
    let trace = builder.snapshot("an answer").unwrap();
    let mut state = plain_state();
    state.view = ViewKind::TokenMatrix;
    state.map.heads = AxisSet::single(1);
    state.colormap = ColorMap::Grey;
    state.normalise.range = Range::Fixed { min: 0.0, max: 0.5 };
    let mut renderer = renderer();
    let rows = prompt - 1 + 5 - early;
    for every_patch in [true, false] {
        state.every_patch = every_patch;
        let (drawn, _) = draw(&mut renderer, &state, &trace, [900, 700]);
        let content = renderer.figure().unwrap().content;
        let palette = state.theme.palette();
        let columns = trace.meta().key_columns(positions as usize, every_patch);
        // The four patches are one column, whose weight is their sum.
        assert_eq!(columns.len() as u32, positions - if every_patch { 0 } else { 3 });
        let count = columns.len() as u32;
        for (row, (column, keys)) in
            (0..rows).flat_map(|row| (0..count).zip(&columns).map(move |cell| (row, cell)))
        {
            let [x, y] = content.cell(row, column, rows, count).centre();
            let pixel = drawn.get_pixel(x as u32, y as u32);
            let query = early + row;
            let kept = query == early || query >= prompt - 1;
            let weight = |key: u32| if key == query && query != early { 0.5 } else { 0.1 };
            let seen = keys.clone().map(|key| key as u32).filter(|key| *key <= query);
            let sum: f32 = seen.clone().map(weight).sum();
            let expected = if !kept {
                palette.hairline
            } else if seen.count() == 0 {
                palette.background
            } else {
                colormap::color(ColorMap::Grey, (sum / 0.5).min(1.0))
            };
            let near = pixel.0.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 1);
            assert!(near, "query {query} keys {keys:?}: {pixel:?}, not {expected:?}");
        }
    }
}

#[test]
fn a_cross_fade_and_a_swipe_reach_both_maps() {
    let shape = Shape { heads: 2, grids: vec![[2, 2]], ..Shape::default() };
    let trace = shape.trace_of(
        |_, _, head, key| {
            let hot = shape.before + if head == 0 { 0 } else { 3 };
            f16::from_f32(if key == hot { 0.5 * SCALE } else { 0.0 })
        },
        black,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.map.heads = AxisSet::single(0);
    state.blend = Blend::Flat;
    state.interpolation = Interpolation::Nearest;
    state.colormap = ColorMap::Grey;
    let other = MapChoice { heads: AxisSet::single(1), ..state.map.clone() };
    let mut at = |mix, renderer: &mut Renderer| {
        state.second = Some(Second { trace: None, map: other.clone(), mix });
        let drawn = draw(renderer, &state, &trace, [64, 64]).0;
        [drawn.get_pixel(10, 10).0[0], drawn.get_pixel(54, 54).0[0]]
    };
    assert_eq!(at(Mix::CrossFade { amount: 0.0 }, &mut renderer), [255, 0]);
    assert_eq!(at(Mix::CrossFade { amount: 1.0 }, &mut renderer), [0, 255]);
    assert_eq!(at(Mix::Swipe { position: 0.5 }, &mut renderer), [255, 255]);
    assert_eq!(at(Mix::Swipe { position: 1.0 }, &mut renderer), [255, 0]);
}

#[test]
fn a_difference_of_equals_is_neutral() {
    let shape = Shape::default();
    let trace = shape.random_trace(6);
    let mut state = plain_state();
    state.view = ViewKind::Diff;
    state.second = Some(Second { trace: None, map: state.map.clone(), mix: Mix::Difference });
    let mut renderer = renderer();
    // Opacity follows the distance from 0: nothing is laid on the picture.
    let (drawn, _) = draw(&mut renderer, &state, &trace, [100, 100]);
    let picture = bare(&mut renderer, &state, &trace, [100, 100]);
    let off = drawn
        .pixels()
        .zip(picture.pixels())
        .any(|(a, b)| a.0.iter().zip(b.0).any(|(&a, b)| a.abs_diff(b) > 1));
    assert!(!off, "a difference of equals changes the picture");
}

#[test]
fn the_selection_is_outlined_as_one_shape() {
    let shape = Shape { grids: vec![[4, 4]], ..Shape::default() };
    let trace = one_hot(&shape, 0, 0, black);
    let mut state = plain_state();
    state.opacity = 0.0;
    let patch = |row, column| PatchRef { span: 0, row, column };
    state.selected = vec![patch(1, 1), patch(1, 2)];
    let mut renderer = renderer();
    let (drawn, _) = draw(&mut renderer, &state, &trace, [400, 400]);
    let lit = |x, y| light(drawn.get_pixel(x, y)) > 100;
    assert!(lit(100, 150) && lit(300, 150) && lit(150, 100) && lit(250, 200), "an edge is missing");
    assert!(!lit(200, 150), "an inner edge is drawn");
    assert!(!lit(50, 150) && !lit(150, 250), "something else is drawn");
    // Hairlines stand between all patches.
    state.selected.clear();
    state.grid = PatchGrid::On;
    let (drawn, _) = draw(&mut renderer, &state, &trace, [400, 400]);
    let lit = |x, y| light(drawn.get_pixel(x, y)) > 20;
    assert!(lit(200, 150) && lit(50, 100) && !lit(50, 50));
}

#[test]
fn several_spans_lie_side_by_side() {
    let shape = Shape {
        grids: vec![[2, 2], [3, 3]],
        side: [96, 64],
        original: [96, 64],
        ..Shape::default()
    };
    let second = shape.before + 4;
    // The middle of the second span.
    let trace = shape.trace_of(
        |_, _, _, key| f16::from_f32(if key == second + 4 { 0.4 * SCALE } else { 0.0 }),
        black,
    );
    let mut renderer = renderer();
    let (drawn, _) = draw(&mut renderer, &plain_state(), &trace, [384, 256]);
    let found = brightest(&drawn);
    let expected = on_target(&renderer, &shape, ImageForm::Preprocessed, [72.0, 32.0]);
    assert!(
        (found[0] - expected[0]).abs() < 1.5 && (found[1] - expected[1]).abs() < 1.5,
        "{found:?} {expected:?}"
    );
}

/// Tiles are one map: what is drawn of them is what is drawn of one grid, to the last pixel at their border.
#[test]
fn tiles_have_no_seam() {
    let whole =
        Shape { grids: vec![[4, 8]], side: [128, 64], original: [128, 64], ..Shape::default() };
    let tiles = Shape { grids: vec![[4, 4], [4, 4]], ..whole.clone() };
    // A slope in both directions, so that a border would be seen wherever it lies.
    let weight = |row: u32, column: u32| {
        f16::from_f32((0.002 + 0.004 * column as f32 + 0.003 * row as f32) * SCALE)
    };
    let of_key = |shape: &Shape, key: u32, wide: u32| {
        let patch = key.checked_sub(shape.before).filter(|&patch| patch < 32)?;
        let (tile, patch) = (patch / (4 * wide), patch % (4 * wide));
        Some((patch / wide, tile * wide + patch % wide))
    };
    let trace = |shape: &Shape, wide: u32| {
        let value = |key| of_key(shape, key, wide).map_or(f16::ZERO, |(row, at)| weight(row, at));
        shape.trace_of(|_, _, _, key| value(key), black)
    };
    let mut renderer = renderer();
    for interpolation in [Interpolation::Bicubic, Interpolation::Bilinear, Interpolation::Nearest] {
        for form in [ImageForm::Preprocessed, ImageForm::Original] {
            let mut state = plain_state();
            state.interpolation = interpolation;
            state.blend = Blend::Flat;
            state.picture.form = form;
            let (one, _) = draw(&mut renderer, &state, &trace(&whole, 8), [384, 192]);
            let (tiled, _) = draw(&mut renderer, &state, &trace(&tiles, 4), [384, 192]);
            let pairs = one.pixels().zip(tiled.pixels());
            let most =
                pairs.flat_map(|(a, b)| a.0.into_iter().zip(b.0).map(|(a, b)| a.abs_diff(b)));
            let most = most.max().unwrap();
            assert!(most <= 1, "{interpolation} {form}: {most}");
        }
    }
}

#[test]
fn fixed_ranges_clip_and_percentiles_do_too() {
    let shape = Shape { grids: vec![[2, 2]], ..Shape::default() };
    let first = shape.before;
    let trace = shape.trace_of(
        |_, _, _, key| {
            let step = key.saturating_sub(first).min(4) as f32;
            f16::from_f32(if key < first { 0.0 } else { step * 0.1 * SCALE })
        },
        black,
    );
    let mut state = plain_state();
    state.blend = Blend::Flat;
    state.interpolation = Interpolation::Nearest;
    state.colormap = ColorMap::Grey;
    state.normalise =
        Normalise { range: Range::Fixed { min: 0.1, max: 0.2 }, ..Normalise::default() };
    let mut renderer = renderer();
    let at = |drawn: &RgbaImage| {
        [(10, 10), (50, 10), (10, 50), (50, 50)].map(|(x, y)| drawn.get_pixel(x, y).0[0])
    };
    let (drawn, _) = draw(&mut renderer, &state, &trace, [64, 64]);
    assert_eq!(at(&drawn), [0, 0, 255, 255]);
    state.normalise.range = Range::Percentile { low: 34.0, high: 66.0 };
    let (drawn, _) = draw(&mut renderer, &state, &trace, [64, 64]);
    assert_eq!(at(&drawn), [0, 0, 255, 255]);
}

#[test]
fn opening_names_the_adapter() {
    let adapters = Gpu::adapters();
    assert!(adapters.first().is_some_and(|(_, is_usable)| *is_usable));
}

/// A map with 0.05 % of its attention on the picture looked like one with 50 %.
#[test]
fn the_glow_fades_with_the_share_that_the_caption_names() {
    let shape = Shape { grids: vec![[6, 6]], ..Shape::default() };
    let of_weight = |weight: f32| {
        let hot = shape.before + 2 * 6 + 3;
        let at = move |key| f16::from_f32(if key == hot { SCALE * weight } else { 0.0 });
        shape.trace_of(|_, _, _, key| at(key), black)
    };
    let (strong, weak) = (of_weight(0.5), of_weight(0.0005));
    let mut renderer = renderer();
    let mut brightness = |state: &ViewState, trace: &Trace| {
        let (drawn, stats) = draw(&mut renderer, state, trace, [240, 240]);
        (drawn.pixels().map(|pixel| f64::from(light(pixel))).sum::<f64>(), stats.readout)
    };
    for view in [ViewKind::Overlay, ViewKind::Wall] {
        let state = |fade_below| ViewState {
            view,
            fade_below,
            interpolation: Interpolation::Nearest,
            ..plain_state()
        };
        let (all, readout) = brightness(&state(0.0), &strong);
        assert_eq!(brightness(&state(0.0), &weak).0, all, "{view:?}: nothing fades");
        assert_eq!(brightness(&state(0.01), &strong).0, all, "{view:?}: above the threshold");
        let (faint, weak_readout) = brightness(&state(0.01), &weak);
        // Labels and outlines stay.
        let none = brightness(&state(1.0), &weak).0;
        assert!(faint - none < 0.5 * (all - none), "{view:?}: {faint} of {all}, {none} without");
        if view == ViewKind::Overlay {
            assert!((readout.shares[0].unwrap() - 0.5).abs() < 1e-3);
            let share = weak_readout.shares[0].unwrap();
            assert!((share - 0.0005).abs() < 1e-5, "{share}");
            // The strength on the device is the named share over the threshold: below it, the same picture.
            let same = state(f64::from(share) / 0.5);
            let half = brightness(&ViewState { fade_below: 1.0, ..state(0.0) }, &strong).0;
            let other = brightness(&same, &weak).0;
            assert!((half - other).abs() < 0.02 * half, "{half} {other}");
        }
        // The ends are given: the colour itself says how strong the map is.
        let mut fixed = state(0.01);
        fixed.normalise.range = Range::Fixed { min: 0.0, max: 0.0005 };
        assert_eq!(brightness(&fixed, &weak).0, all, "{view:?}");
    }
    let most = ViewState { fade_below: 0.01, ..plain_state() };
    let mut max = most.clone();
    max.map.heads = AxisSet::MAX;
    assert_eq!(brightness(&max, &weak).1.shares, [None; 2], "a maximum is no share");
    // The wall keeps every head: what the other views reduce does not matter there.
    let wall = ViewState { view: ViewKind::Wall, ..max };
    let unfaded = ViewState { fade_below: 0.0, ..wall.clone() };
    assert!(brightness(&wall, &weak).0 < brightness(&unfaded, &weak).0);
}

/// The outline of an object is as wide at any zoom, and lies where the object does.
#[test]
fn an_object_has_a_crisp_outline_at_every_zoom() {
    let shape = Shape::default();
    let trace = shape.trace_of(|_, _, _, _| f16::ZERO, |_, _| [90, 90, 90]);
    let mut renderer = renderer();
    let meta = trace.meta();
    let [width, height] = meta.preprocess[0].original_size.map(f64::from);
    let rect = Rect { x: width * 0.25, y: height * 0.25, width: width * 0.5, height: height * 0.5 };
    let part = RegionPart::new(Outline::Rectangle { rect });
    let mut state = plain_state();
    let plain = state.clone();
    state.objects = vec![MarkedObject { name: String::new(), picture: 0, parts: vec![part] }];
    state.object = Some(0);
    for zoom in [1.0, 3.0] {
        state.camera.zoom = zoom;
        // The upper left corner stays in sight.
        state.camera.centre = if zoom > 1.0 { [0.25, 0.25] } else { [0.5, 0.5] };
        let (drawn, _) = draw(&mut renderer, &state, &trace, [400, 400]);
        let (bare, _) = draw(
            &mut renderer,
            &ViewState { camera: state.camera, ..plain.clone() },
            &trace,
            [400, 400],
        );
        // The accent is much more blue than red, also where it is smoothed; picture and edge are grey.
        let is_accent =
            |pixel: &image::Rgba<u8>| i32::from(pixel.0[2]) > i32::from(pixel.0[0]) + 60;
        let content = renderer.figure().unwrap().content;
        let left = content.x + 0.25 * content.width;
        // Across the left edge, well below the corner: one run of the accent, about as wide as the line.
        let y = (content.y + 0.4 * content.height) as u32;
        let hits: Vec<u32> = (0..400)
            .filter(|&x| is_accent(drawn.get_pixel(x, y)))
            .filter(|&x| (x as f32) < left + 40.0)
            .collect();
        assert!((1..=4).contains(&hits.len()), "zoom {zoom}: {hits:?}");
        assert!((hits[0] as f32 - left).abs() < 3.0, "zoom {zoom}: {hits:?} {left}");
        // Inside nothing is tinted.
        let inside = [(left + 30.0) as u32, y];
        assert_eq!(drawn.get_pixel(inside[0], inside[1]), bare.get_pixel(inside[0], inside[1]));
    }
}
