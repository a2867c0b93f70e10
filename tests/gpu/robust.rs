//! Conditions that must not cause a panic: lost devices, full pools, empty targets, growing traces.

use crate::common::{SCALE, Shape, draw, gpu, gradient, plain_state, renderer};
use half::f16;
use vlmscope::analysis::reduce::{Fold, Keep, Reduction, patch_keys, reduce};
use vlmscope::gpu::{Gpu, GpuError, GpuOptions, Renderer, RendererOptions, Scene, Target};
use vlmscope::view::{AxisSet, ImageForm, Queries, ViewKind};

#[test]
fn an_unknown_adapter_is_named_with_what_there_is() {
    let options = GpuOptions { adapter: Some("voodoo 2".into()), ..GpuOptions::default() };
    let error = Gpu::open(&options).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, GpuError::NoAdapter { .. }));
    assert!(text.contains("voodoo 2") && text.contains("mesa-vulkan-drivers"), "{text}");
    assert!(text.contains(&gpu().info().name), "{text}");
}

#[test]
fn part_of_a_name_chooses_an_adapter() {
    let name = gpu().info().name.to_uppercase();
    let part = name.split_whitespace().next().unwrap().to_owned();
    let options = GpuOptions { adapter: Some(part), ..GpuOptions::default() };
    assert_eq!(Gpu::open(&options).unwrap().info().name, gpu().info().name);
}

#[test]
fn an_empty_target_draws_nothing() {
    let trace = Shape::default().random_trace(1);
    let mut renderer = renderer();
    for size in [[0, 0], [0, 64], [64, 0]] {
        let target = Target::offscreen(renderer.gpu(), size).unwrap();
        let stats = renderer.frame(&Scene::new(&plain_state(), &trace), &target).unwrap();
        assert!(stats.passes.is_empty());
        assert_eq!(target.read(renderer.gpu()).unwrap().dimensions(), (size[0], size[1]));
    }
    // One pixel is a picture.
    let (drawn, _) = draw(&mut renderer, &plain_state(), &trace, [1, 1]);
    assert_eq!(drawn.dimensions(), (1, 1));
}

#[test]
fn renderers_of_one_device_share_their_pipelines() {
    let trace = Shape::default().random_trace(1);
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    let frame = || {
        let mut renderer = Renderer::new(gpu.clone(), RendererOptions::offscreen()).unwrap();
        draw(&mut renderer, &plain_state(), &trace, [96, 96]);
        gpu.compiled_pipelines()
    };
    let first = frame();
    assert!(first > 0);
    assert_eq!([frame(), frame()], [first; 2]);
}

#[test]
fn a_target_beyond_the_device_is_an_error() {
    let error = Target::offscreen(&gpu(), [8193, 16]).unwrap_err();
    assert!(matches!(error, GpuError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("8193") && error.to_string().contains("8192"), "{error}");
}

#[test]
fn a_lost_device_is_opened_again_and_the_view_stays() {
    let trace = Shape::default().random_trace(2);
    let state = plain_state();
    let gpu = Gpu::open(&GpuOptions { baseline: true, ..GpuOptions::default() }).unwrap();
    let mut renderer = Renderer::new(gpu, RendererOptions::interactive()).unwrap();
    let (before, _) = draw(&mut renderer, &state, &trace, [160, 120]);

    let old = Target::offscreen(renderer.gpu(), [160, 120]).unwrap();
    renderer.gpu().simulate_loss();
    let error = renderer.frame(&Scene::new(&state, &trace), &old).unwrap_err();
    assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    assert!(old.read(renderer.gpu()).is_err());
    assert!(Target::offscreen(renderer.gpu(), [16, 16]).is_err());

    let fresh = renderer.gpu().reopen().unwrap();
    renderer.rebuild(fresh).unwrap();
    let (again, stats) = draw(&mut renderer, &state, &trace, [160, 120]);
    assert_eq!(stats.page_uploads, 1, "the page comes from the trace again");
    assert!(before == again, "the view is the same as before the loss");
}

#[test]
fn a_device_lost_in_mid_frame_is_an_error_and_nothing_is_taken_for_drawn() {
    let trace = Shape { answer: 3, ..Shape::default() }.random_trace(21);
    let gpu = Gpu::open(&GpuOptions { baseline: true, ..GpuOptions::default() }).unwrap();
    let mut renderer = Renderer::new(gpu, RendererOptions::interactive()).unwrap();
    let mut state = plain_state();
    draw(&mut renderer, &state, &trace, [96, 80]);
    for view in [ViewKind::Overlay, ViewKind::Heads, ViewKind::Wall, ViewKind::TokenMatrix] {
        // Another map: its commands are recorded, and the device goes before they are handed over.
        state.view = view;
        state.map.queries = Queries::answer(2);
        let target = Target::offscreen(renderer.gpu(), [96, 80]).unwrap();
        renderer.gpu().simulate_loss_in_mid_frame();
        let error = renderer.frame(&Scene::new(&state, &trace), &target).unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{view}: {error}");
        let again = renderer.frame(&Scene::new(&state, &trace), &target).unwrap_err();
        assert!(matches!(again, GpuError::Lost { .. }), "{view}: {again}");

        let fresh = renderer.gpu().reopen().unwrap();
        renderer.rebuild(fresh).unwrap();
        let (recovered, _) = draw(&mut renderer, &state, &trace, [96, 80]);
        let (expected, _) = draw(&mut self::renderer(), &state, &trace, [96, 80]);
        assert!(recovered == expected, "{view} after the loss");
    }
}

/// A trace of more rows than the pool has pages, scrubbed there and back.
#[test]
fn a_trace_larger_than_the_pool_is_scrubbed() {
    let trace = Shape { answer: 12, ..Shape::default() }.random_trace(22);
    let options = RendererOptions { pool_bytes: Some(1), ..RendererOptions::offscreen() };
    let mut small = Renderer::new(gpu(), options).unwrap();
    let mut large = renderer();
    let mut state = plain_state();
    for answer in (0..12).chain((0..12).rev()) {
        state.map.queries = Queries::answer(answer);
        let (with_small, stats) = draw(&mut small, &state, &trace, [64, 64]);
        let (with_large, _) = draw(&mut large, &state, &trace, [64, 64]);
        assert!(with_small == with_large, "answer token {answer}");
        assert!(stats.page_uploads <= 1);
    }
    let pool = small.pool();
    assert_eq!(pool.resident_pages, 2);
    assert!(pool.evictions >= 19, "{pool:?}");
}

/// The mean over all rows, on a pool that holds two pages.
#[test]
fn a_selection_larger_than_the_pool_is_folded_in_turns() {
    let shape = Shape { answer: 9, ..Shape::default() };
    let trace = shape.random_trace(3);
    let options = RendererOptions { pool_bytes: Some(1), ..RendererOptions::offscreen() };
    let mut renderer = Renderer::new(gpu(), options).unwrap();
    let mut state = plain_state();
    state.map.queries = Queries::parse("answer mean").unwrap();
    draw(&mut renderer, &state, &trace, [64, 64]);
    let pool = renderer.pool();
    assert_eq!((pool.resident_pages, pool.uploads, pool.evictions), (2, 9, 7));
    let reduction = Reduction {
        rows: (0..9).collect(),
        layers: vec![1],
        heads: vec![2],
        row_fold: Fold::Mean,
        layer_fold: Fold::Mean,
        head_fold: Fold::Mean,
        keep: Keep::One,
        pairs: false,
        remove_bos: false,
    };
    let cpu = reduce(&trace, &reduction, &patch_keys(&trace)).unwrap();
    let gpu = renderer.read_planes().unwrap().unwrap();
    for (g, c) in gpu.iter().zip(&cpu) {
        assert!((g - c).abs() <= 1e-6, "{g} on the device, {c} here");
    }
}

#[test]
fn a_budget_keeps_the_old_map_until_the_new_one_is_complete() {
    let shape = Shape { answer: 6, ..Shape::default() };
    let trace = shape.random_trace(4);
    let options = RendererOptions {
        upload_bytes_per_frame: Some(1),
        prefetch: false,
        ..RendererOptions::interactive()
    };
    let mut renderer = Renderer::new(gpu(), options).unwrap();
    let mut state = plain_state();
    let (old, _) = draw(&mut renderer, &state, &trace, [64, 64]);
    state.map.queries = Queries::parse("answer mean:1-5").unwrap();
    let target = Target::offscreen(renderer.gpu(), [64, 64]).unwrap();
    let scene = Scene::new(&state, &trace);
    for pending in (0..5).rev() {
        let stats = renderer.frame(&scene, &target).unwrap();
        assert_eq!((stats.page_uploads, stats.pending_pages), (1, pending));
        let shown = target.read(renderer.gpu()).unwrap();
        assert_eq!(shown == old, pending > 0, "{pending} pages pending");
    }
}

#[test]
fn scrubbing_fetches_the_next_page_ahead() {
    let shape = Shape { answer: 8, ..Shape::default() };
    let trace = shape.random_trace(5);
    let mut renderer = Renderer::new(gpu(), RendererOptions::interactive()).unwrap();
    let mut state = plain_state();
    let mut step = |answer| {
        state.map.queries = Queries::answer(answer);
        let (_, stats) = draw(&mut renderer, &state, &trace, [64, 64]);
        (stats.page_uploads, stats.prefetched)
    };
    assert_eq!(step(0), (1, 0), "no direction yet");
    assert_eq!(step(1), (1, 1), "the next one comes along");
    assert_eq!(step(2), (0, 1), "and is there when it is needed");
    assert_eq!(step(3), (0, 1));
    assert_eq!(step(2), (0, 0), "all neighbours on the way back are there");
}

/// A window and its presentation on another screen, and a recorder with a renderer of its own: all
/// on one device, each frame as if it were alone.
#[test]
fn several_targets_share_a_device() {
    let trace = Shape { answer: 4, ..Shape::default() }.random_trace(6);
    let lent = |size: [u32; 2]| {
        Target::from_texture(gpu().device.create_texture(&wgpu::TextureDescriptor {
            label: Some("lent"),
            size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Bgra8UnormSrgb,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        }))
    };
    let targets = || {
        [
            Target::offscreen(&gpu(), [96, 64]).unwrap(),
            lent([96, 64]),
            Target::offscreen(&gpu(), [41, 77]).unwrap(),
        ]
    };
    let (shared, own) = (targets(), targets());
    let mut sharing = [renderer(), renderer()];
    let mut alone = [renderer(), renderer(), renderer()];
    let mut state = plain_state();
    let views = [ViewKind::Overlay, ViewKind::Wall, ViewKind::Heads, ViewKind::LayerHead];
    for turn in 0..8 {
        state.view = views[turn / 2];
        state.map.queries = Queries::answer(turn as u32 % 4);
        let scene = Scene::new(&state, &trace);
        let drawn = [0, 1, 2].map(|at: usize| {
            assert!(sharing[(turn + at) % 2].frame(&scene, &shared[at]).unwrap().is_complete());
            alone[at].frame(&scene, &own[at]).unwrap();
            let [together, expected] = [&shared[at], &own[at]].map(|t| t.read(&gpu()).unwrap());
            assert!(together == expected, "turn {turn}, target {at}");
            together
        });
        // Labels are blended in gamma where the target allows it, so that only pictures are equal.
        if state.view == ViewKind::Overlay {
            assert!(drawn[0] == drawn[1], "turn {turn}: only the order of channels differs");
        }
    }
}

#[test]
fn a_live_trace_grows_under_the_same_view() {
    let shape = Shape { answer: 5, ..Shape::default() };
    let weight = |query: u32, _, _, key: u32| {
        f16::from_f32((query * 31 + key * 17) as f32 % 19.0 / 400.0 * SCALE)
    };
    let mut renderer = renderer();
    let mut state = plain_state();
    let first = shape.builder(2, weight, gradient).snapshot("a").unwrap();
    let (before, _) = draw(&mut renderer, &state, &first, [96, 96]);
    let pool = renderer.pool().allocated_bytes;
    for generated in 3..=5 {
        let trace = shape.builder(generated, weight, gradient).snapshot("an answer").unwrap();
        assert!(trace.shape().positions > first.shape().positions);
        state.map.queries = Queries::answer(0);
        let (same, stats) = draw(&mut renderer, &state, &trace, [96, 96]);
        assert!(same == before, "the first token's map changed when the answer grew");
        assert_eq!(stats.page_uploads, 1);
        state.map.queries = Queries::answer(generated - 1);
        draw(&mut renderer, &state, &trace, [96, 96]);
        assert_eq!(renderer.pool().allocated_bytes, pool, "the pool was built again");
    }
}

#[test]
fn a_state_that_does_not_fit_is_an_error() {
    let trace = Shape::default().random_trace(6);
    let mut renderer = renderer();
    let target = Target::offscreen(renderer.gpu(), [32, 32]).unwrap();
    let mut state = plain_state();
    state.map.layers = AxisSet::single(40);
    let error = renderer.frame(&Scene::new(&state, &trace), &target).unwrap_err();
    assert!(matches!(error, GpuError::View(_)) && error.to_string().contains("40"), "{error}");
    state.map.layers = AxisSet::single(0);
    state.view = ViewKind::Diff;
    assert!(renderer.frame(&Scene::new(&state, &trace), &target).is_err());
    // And the next good state draws.
    draw(&mut renderer, &plain_state(), &trace, [32, 32]);
}

#[test]
fn a_wall_wider_than_a_texture_is_tiled() {
    // 40 heads of 256 columns are 10240 texels: two tiles under WebGPU's 8192.
    let shape =
        Shape { layers: 1, heads: 40, grids: vec![[1, 256]], answer: 1, ..Shape::default() };
    let trace = shape.trace_of(
        |_, _, head, key| {
            let hot = shape.before + head * 6;
            f16::from_f32(if key == hot { 0.5 * SCALE } else { 0.0 })
        },
        gradient,
    );
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::Wall;
    state.map.layers = AxisSet::MEAN;
    state.map.heads = AxisSet::single(39);
    // Close enough that one patch is wider than a pixel.
    state.camera.zoom = 8.0;
    for head in [0_u32, 20, 39] {
        state.camera.centre = [(f64::from(head) + 0.5) / 40.0, 0.5];
        let (drawn, _) = draw(&mut renderer, &state, &trace, [2048, 160]);
        let content = renderer.figure().unwrap().content;
        let cell = content.cell(0, head, 1, 40);
        let x = cell.x + cell.width * (head as f32 * 6.0 + 0.5) / 256.0;
        let y = cell.y + cell.height / 2.0;
        let light = |x: f32| {
            drawn.get_pixel(x as u32, y as u32).0[..3].iter().map(|&c| u32::from(c)).sum::<u32>()
        };
        assert!(light(x) > light(x + cell.width * 0.1) + 200, "head {head}");
    }
}

/// The limits of a device are an error that says what fits: fault 13 of captured traces.
#[test]
fn a_wall_beyond_the_device_says_what_fits() {
    let shape =
        Shape { layers: 80, heads: 64, grids: vec![[82, 80]], answer: 1, ..Shape::default() };
    let trace = shape.trace_of(|_, _, _, _| f16::ZERO, gradient);
    let mut renderer = renderer();
    let mut state = plain_state();
    state.view = ViewKind::Wall;
    let target = Target::offscreen(renderer.gpu(), [64, 48]).unwrap();
    let needed = u64::from(shape.layers * shape.heads * shape.patches()) * 4;
    let drawn = renderer.frame(&Scene::new(&state, &trace), &target);
    if renderer.gpu().limits().max_storage_buffer_binding_size < needed {
        let error = drawn.unwrap_err().to_string();
        let parts = ["5120 maps of 6560 patches", "--span", "heads view of one layer"];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    } else {
        drawn.unwrap();
    }
    // The view that the advice names works.
    state.view = ViewKind::Heads;
    assert!(renderer.frame(&Scene::new(&state, &trace), &target).unwrap().is_complete());
}

#[test]
fn a_frame_that_failed_leaves_nothing_behind() {
    let shape = Shape { answer: 3, ..Shape::default() };
    let weight = |query: u32, layer: u32, head: u32, key: u32| {
        f16::from_f32((query * 7 + layer * 5 + head * 3 + key * 11) as f32 % 23.0 / 500.0 * SCALE)
    };
    let mut builder = shape.builder(3, weight, gradient);
    let rgb = vec![90; (shape.side[0] * shape.side[1] * 3) as usize];
    builder.add_picture(0, b"no picture at all", shape.side, &rgb).unwrap();
    let trace = builder.snapshot("an answer").unwrap();
    let mut state = plain_state();
    let mut renderer = renderer();
    draw(&mut renderer, &state, &trace, [96, 96]);

    // Another map, recorded before the picture turns out to be unreadable.
    state.map.layers = AxisSet::single(2);
    state.map.queries = Queries::answer(2);
    state.picture.form = ImageForm::Original;
    let target = Target::offscreen(renderer.gpu(), [96, 96]).unwrap();
    let error = renderer.frame(&Scene::new(&state, &trace), &target).unwrap_err();
    assert!(matches!(error, GpuError::Picture { .. }), "{error}");
    assert!(error.to_string().contains("preprocessed"), "{error}");

    state.picture.form = ImageForm::Preprocessed;
    let (after, _) = draw(&mut renderer, &state, &trace, [96, 96]);
    let (fresh, _) = draw(&mut self::renderer(), &state, &trace, [96, 96]);
    assert!(after == fresh, "the map of the failed frame was taken for drawn");
}
