//! Changing the selection must not leak memory.
//!
//! lavapipe (Mesa 22.3) compiles a shader that branches on uniforms alone again for every dispatch or draw, and keeps
//! the code and a copy of the shader until the pipeline is dropped: a long film would then grow by a quarter of a
//! megabyte with every selection. Each compilation maps a page of code or more, which can be counted.

use crate::common::{Shape, gpu, plain_state};
use std::process::Command;
use std::sync::Arc;
use vlmscope::gpu::{Gpu, GpuOptions, Renderer, RendererOptions, Scene, Target};
use vlmscope::trace::Trace;
use vlmscope::view::{
    AxisSet, Blend, Interpolation, MapChoice, Mix, Normalise, Queries, Range, Scale, Second,
    ViewKind, ViewState,
};

/// Set in the child process that counts: code of other tests in the same process would be counted, too.
const ALONE: &str = "VLMSCOPE_TEST_ALONE";
const NAME: &str = "memory::selections_leave_no_machine_code_behind";

#[test]
fn selections_leave_no_machine_code_behind() {
    if std::env::var_os(ALONE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    // No renderer is dropped in the loop: memory that it frees would hide memory that another one takes.
    let mut renderers = Vec::new();
    // Whether the driver compiles again depends on the number of patches.
    for side in [4, 8, 9, 24] {
        let grids = vec![[side, side]];
        let trace = Shape { layers: 6, heads: 6, answer: 6, grids, ..Shape::default() };
        let trace = trace.random_trace(3);
        for (name, look) in looks() {
            // The driver decides at the first use of a pipeline, so each look comes first in a renderer of its own.
            let options =
                RendererOptions { pool_bytes: Some(1 << 20), ..RendererOptions::offscreen() };
            let mut renderer = Renderer::new(gpu(), options).unwrap();
            let target = Target::offscreen(renderer.gpu(), [96, 64]).unwrap();
            let mut visit = |selections| visit(&mut renderer, &trace, &target, &look, selections);
            visit(0..2);
            let before = bytes_of_code();
            visit(2..6);
            assert_eq!(bytes_of_code(), before, "code after {name}, {side} patches wide");
            renderers.push(renderer);
        }
    }
}

#[test]
fn answers_about_the_same_picture_share_its_texture() {
    // A device of its own: its textures are counted.
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    let mut renderer = Renderer::new(Arc::clone(&gpu), RendererOptions::offscreen()).unwrap();
    let target = Target::offscreen(&gpu, [96, 64]).unwrap();
    let shape = Shape { layers: 6, heads: 6, answer: 6, grids: vec![[8, 8]], ..Shape::default() };
    let mut textures = |trace: &Trace| {
        renderer.frame(&Scene::new(&plain_state(), trace), &target).unwrap();
        gpu.wait().unwrap();
        gpu.instance.generate_report().unwrap().hub_report().textures.num_allocated
    };
    let first = shape.random_trace(3);
    let before = textures(&first);
    for _ in 0..4 {
        assert_eq!(textures(&shape.random_trace(3)), before, "an equal picture");
    }
    let other = Shape { side: [72, 72], ..shape };
    assert_eq!(textures(&other.random_trace(3)), before + 1, "another picture");
}

/// Draws a look at several layers, heads and tokens.
fn visit(
    renderer: &mut Renderer,
    trace: &Trace,
    target: &Target,
    look: &ViewState,
    selections: std::ops::Range<u32>,
) {
    for at in selections {
        let mut state = look.clone();
        state.map.queries = Queries::answer(at);
        if look.map == plain_state().map {
            state.map.layers = AxisSet::single(at);
            state.map.heads = AxisSet::single(at);
        }
        if let Some(second) = &mut state.second {
            second.map.layers = AxisSet::single(5 - at);
        }
        renderer.frame(&Scene::new(&state, trace), target).unwrap();
        renderer.gpu().wait().unwrap();
    }
}

/// Every pass in every mode.
fn looks() -> Vec<(&'static str, ViewState)> {
    let mut list = Vec::new();
    let mut look = |name, change: &dyn Fn(&mut ViewState)| {
        let mut state = plain_state();
        change(&mut state);
        list.push((name, state));
    };
    let ranged = |range| Normalise { range, scale: Scale::Linear };
    let log = Normalise { range: Range::PerMap, scale: Scale::Log };
    let second = |mix| Some(Second { trace: None, map: plain_state().map, mix });

    look("overlay", &|_| {});
    look("mean of all", &|state| state.map = MapChoice::default());
    look("without BOS", &|state| state.remove_bos = true);
    look("nearest", &|state| state.interpolation = Interpolation::Nearest);
    look("percentiles", &|state| {
        state.normalise = ranged(Range::Percentile { low: 5.0, high: 95.0 });
    });
    look("fixed range", &|state| {
        state.normalise = ranged(Range::Fixed { min: 0.0, max: 0.1 });
    });
    look("logarithmic", &|state| state.normalise = log);
    look("contours", &|state| state.blend = Blend::Contours);
    look("logarithmic contours", &|state| {
        state.blend = Blend::Contours;
        state.normalise = log;
    });
    look("cross-fade", &|state| state.second = second(Mix::CrossFade { amount: 0.5 }));
    look("swipe", &|state| state.second = second(Mix::Swipe { position: 0.5 }));
    look("difference", &|state| state.second = second(Mix::Difference));
    look("heads", &|state| state.view = ViewKind::Heads);
    look("heads of one range", &|state| {
        state.view = ViewKind::Heads;
        state.normalise = ranged(Range::Shared);
    });
    look("wall", &|state| state.view = ViewKind::Wall);
    look("layers and heads", &|state| state.view = ViewKind::LayerHead);
    look("tokens", &|state| state.view = ViewKind::TokenMatrix);
    look("tokens without BOS", &|state| {
        state.view = ViewKind::TokenMatrix;
        state.remove_bos = true;
    });
    list
}

/// Bytes of this process that are code and come from no file.
fn bytes_of_code() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let address = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let bytes = |line: &str| {
        // Addresses, rights, offset, device, inode; then the file or a name in brackets.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (from, to) = fields[0].split_once('-').unwrap();
        let is_code = fields[1].contains('x') && fields.len() == 5;
        if is_code { address(to) - address(from) } else { 0 }
    };
    maps.lines().map(bytes).sum()
}
