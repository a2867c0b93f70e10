//! A window for tests: the real app over a synthetic trace, on whatever adapter there is.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use egui_kittest::Harness;
use egui_kittest::wgpu::WgpuTestRenderer;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use vlmscope::gpu::{Gpu, GpuOptions};
use vlmscope::settings::Settings;
use vlmscope::trace::Trace;
use vlmscope::ui::document::Document;
use vlmscope::ui::headless::{HeadlessOptions, new_app, prepare};
use vlmscope::ui::intent::{Intent, PathCommand};
use vlmscope::ui::panels::Panes;
use vlmscope::ui::window_painter::WindowPainter;
use vlmscope::ui::{App, Start, frame, theme};
use vlmscope::view::ViewState;

/// The app with its panels, without a window.
pub struct Screen {
    app: App,
    panes: Panes,
}

impl std::ops::Deref for Screen {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl std::ops::DerefMut for Screen {
    fn deref_mut(&mut self) -> &mut App {
        &mut self.app
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The device of all tests is never closed: what it still draws when the process ends is drawn into memory that is gone.
        let _ = gpu().wait();
    }
}

pub type Window = Harness<'static, Screen>;

/// One device for all tests: opening one takes longer than most of them.
pub fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    let open = || {
        let gpu = Gpu::open(&GpuOptions::default())
            .expect("a graphics adapter (on Debian: apt install mesa-vulkan-drivers)");
        eprintln!("adapter: {}", gpu.info().name);
        gpu
    };
    Arc::clone(GPU.get_or_init(open))
}

/// A painter of egui on a device, and a harness's renderer that draws with it.
pub fn offscreen(gpu: &Gpu) -> (WindowPainter, WgpuTestRenderer) {
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let painter = WindowPainter::new(gpu, format);
    let renderer = WgpuTestRenderer::from_render_state(egui_wgpu::RenderState {
        adapter: gpu.adapter.clone(),
        available_adapters: vec![gpu.adapter.clone()],
        instance: gpu.instance.clone(),
        device: gpu.device.clone(),
        queue: gpu.queue.clone(),
        target_format: format,
        renderer: painter.renderer(),
    });
    (painter, renderer)
}

/// An app that shows nothing yet.
pub fn empty_window() -> Window {
    open([1280.0, 720.0], 1.0, Start::Empty, None)
}

/// An app with a synthetic trace.
pub fn window() -> Window {
    window_with([1280.0, 720.0], 1.0)
}

/// The same, of a size in points and a density.
pub fn window_with(size: [f32; 2], pixels_per_point: f32) -> Window {
    open(size, pixels_per_point, Start::Empty, Some(trace()))
}

pub fn open(size: [f32; 2], scale: f32, start: Start, trace: Option<Arc<Trace>>) -> Window {
    let settings = Settings { advice_seen: true, animate: false, ..Settings::default() };
    let options = HeadlessOptions { start, settings, ..HeadlessOptions::default() };
    open_with(size, scale, options, trace)
}

/// The same with any options.
pub fn open_with(
    size: [f32; 2],
    scale: f32,
    options: HeadlessOptions,
    trace: Option<Arc<Trace>>,
) -> Window {
    let gpu = gpu();
    let (painter, renderer) = offscreen(&gpu);
    // The app is woken through egui's context, which the harness makes: it polls instead.
    let waker = egui::Context::default();
    let prepared = prepare(&waker, &options);
    let mut app = new_app(&waker, prepared, gpu, painter, options).unwrap();
    // The answer of a model may hold any character; the words of the program must all be drawn.
    let is_plain = trace.as_ref().is_none_or(|trace| trace.meta().answer.is_ascii());
    if let Some(trace) = trace {
        let look = ViewState::default();
        app.add_document(Document::new(trace, &look));
    }
    let builder = Harness::builder();
    let builder = if is_plain { builder } else { builder.allow_missing_glyphs() };
    let mut window = builder
        .with_size(size)
        .with_pixels_per_point(scale)
        .with_max_steps(40)
        .with_context_setup(theme::install)
        .renderer(renderer)
        .build_ui_state(
            |ui, screen: &mut Screen| frame::pass(&mut screen.app, &mut screen.panes, ui),
            Screen { app, panes: Panes::default() },
        );
    settle(&mut window);
    window
}

/// Runs until nothing asks for another frame (or something always does).
pub fn settle(window: &mut Window) {
    let _ = window.try_run();
}

/// The window's pixels. A busy software adapter may take longer than the harness waits.
pub fn rendered<State>(window: &mut Harness<'_, State>) -> image::RgbaImage {
    let mut left = 12;
    loop {
        match window.render() {
            Err(error) if error.contains("timed out") && left > 0 => left -= 1,
            outcome => return outcome.unwrap(),
        }
    }
}

/// Runs until something is so, for at most five minutes.
pub fn until(window: &mut Window, so: impl Fn(&App) -> bool) {
    let start = Instant::now();
    while !so(window.state()) {
        let notices = &window.state().notices;
        assert!(start.elapsed() < Duration::from_secs(300), "it never came to be: {notices:?}");
        std::thread::sleep(Duration::from_millis(5));
        window.step();
    }
    settle(window);
}

/// Types the path of a file into the question for it, and waits until the file is there.
pub fn save_to(window: &mut Window, path: &Path) -> Vec<u8> {
    window.state().intents.send(Intent::Path(PathCommand::Type(path.display().to_string())));
    settle(window);
    window.state().intents.send(Intent::Path(PathCommand::Accept));
    until(window, |_| path.exists());
    std::fs::read(path).unwrap()
}

/// A small synthetic trace, made once.
pub fn trace() -> Arc<Trace> {
    use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
    static TRACE: OnceLock<Arc<Trace>> = OnceLock::new();
    let make = || {
        let geometry = Geometry::named("small").unwrap();
        Arc::new(Synthetic::new(geometry, RowsKept::Text, 7).unwrap().trace().unwrap())
    };
    Arc::clone(TRACE.get_or_init(make))
}

/// The texts that the last frame painted.
pub fn painted(window: &Window) -> Vec<String> {
    fn collect(shape: &egui::Shape, into: &mut Vec<String>) {
        match shape {
            egui::Shape::Text(text) => into.push(text.galley.text().to_owned()),
            egui::Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, into)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    window.output().shapes.iter().for_each(|clipped| collect(&clipped.shape, &mut texts));
    texts
}

/// A click with the primary button.
pub fn click(window: &mut Window, at: egui::Pos2, modifiers: egui::Modifiers) {
    window.event_modifiers(egui::Event::PointerMoved(at), modifiers);
    for pressed in [true, false] {
        let button = egui::PointerButton::Primary;
        window.event_modifiers(
            egui::Event::PointerButton { pos: at, button, pressed, modifiers },
            modifiers,
        );
    }
    settle(window);
}

/// A drag with the primary button.
pub fn drag(window: &mut Window, from: egui::Pos2, to: egui::Pos2) {
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: egui::Modifiers::NONE,
    };
    window.event(egui::Event::PointerMoved(from));
    window.event(button(from, true));
    settle(window);
    for step in 1..=8 {
        window.event(egui::Event::PointerMoved(from.lerp(to, step as f32 / 8.0)));
        settle(window);
    }
    window.event(button(to, false));
    settle(window);
}

/// Steps until a text is put on the clipboard.
pub fn copied(window: &mut Window) -> String {
    let start = Instant::now();
    loop {
        window.step();
        let commands = &window.output().platform_output.commands;
        let text = commands.iter().find_map(|command| match command {
            egui::OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        });
        if let Some(text) = text {
            return text;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was copied");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A picture of the window, to be looked at: in the folder that an environment variable names.
pub fn shoot(window: &mut Window, name: &str) {
    if let Some(folder) = std::env::var_os("VLMSCOPE_SHOTS") {
        let image = rendered(window);
        image.save(Path::new(&folder).join(format!("{name}.png"))).unwrap();
    }
}
