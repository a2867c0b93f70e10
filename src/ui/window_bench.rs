//! The window as `bench` runs it: real input events through the real panels, painted offscreen.
//!
//! The events are those of a session: arrows, brackets, the pointer over words and cells, drags
//! over the matrix, views and looks. Costs are CPU time of the whole process, so that a software
//! adapter's threads count; the device is waited for, so that a frame's work ends in its frame.

use super::Start;
use super::document::Document;
use super::headless::{Headless, HeadlessOptions};
use super::intent::Intent;
use super::shortcuts::UiCommand;
use crate::gpu::Gpu;
use crate::settings::Settings;
use crate::trace::Trace;
use crate::view::{Command, Queries, ViewKind, ViewState};
use anyhow::Context as _;
use cpu_time::ProcessTime;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, pos2, vec2};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The format of the offscreen window.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
/// Seconds between two events.
const STEP: f64 = 1.0 / 60.0;

/// CPU milliseconds of the frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Percentiles {
    /// Half of the frames cost at most this.
    pub p50: f64,
    /// 95 in 100.
    pub p95: f64,
    /// 99 in 100.
    pub p99: f64,
}

impl Percentiles {
    fn from_values(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = ((values.len() as f64 - 1.0) * share).round().max(0.0) as usize;
            values.get(index).copied().unwrap_or(0.0)
        };
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

/// Costs of a replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct WindowBench {
    /// Input events, one a frame.
    pub events: usize,
    /// CPU time of panels, layout, tessellation.
    pub ui_ms: Percentiles,
    /// CPU time of the stage.
    pub stage_ms: Percentiles,
    /// CPU time of the stage and of painting the window.
    pub renderer_ms: Percentiles,
    /// CPU time of the whole frame.
    pub frame_ms: Percentiles,
    /// Page uploads of the most expensive event.
    pub max_page_uploads: u64,
    /// Stage draws of the most expensive event.
    pub max_stage_draws: u64,
    /// CPU time of a whole frame while a rectangle is dragged around an object: outline, matrix, bars and best head
    /// follow.
    pub mark_ms: Percentiles,
    /// CPU time of the numbers alone: the share of every head inside the object, for one answer token.
    pub inside_ms: Percentiles,
}

/// Replays `count` events over a trace in a window of `size` pixels.
///
/// # Errors
/// If the device fails.
pub fn replay(
    gpu: &Arc<Gpu>,
    trace: Arc<Trace>,
    size: [u32; 2],
    count: usize,
) -> anyhow::Result<WindowBench> {
    let mut bench = Bench::open(gpu, Some(trace), size)?;
    // Pipelines, glyphs and the first pages are a cost of the start, not of scrubbing.
    for _ in 0..8 {
        bench.frame(Vec::new())?;
    }
    let mut costs = Vec::with_capacity(count);
    let (mut uploads, mut draws) = (0, 0);
    let events = script(size, count);
    for events in events {
        let before = bench.host.app.counters;
        costs.push(bench.frame(events)?);
        let after = bench.host.app.counters;
        uploads = uploads.max(after.page_uploads - before.page_uploads);
        draws = draws.max(after.stage_draws - before.stage_draws);
    }
    let marking = bench.mark()?;
    let inside = bench.inside()?;
    let of = |pick: fn(&Cost) -> f64| Percentiles::from_values(costs.iter().map(pick).collect());
    Ok(WindowBench {
        events: costs.len(),
        ui_ms: of(|cost| cost.ui),
        stage_ms: of(|cost| cost.stage),
        renderer_ms: of(|cost| cost.stage + cost.paint),
        frame_ms: of(|cost| cost.ui + cost.stage + cost.paint),
        max_page_uploads: uploads,
        max_stage_draws: draws,
        mark_ms: Percentiles::from_values(marking),
        inside_ms: Percentiles::from_values(inside),
    })
}

/// Seconds until the numbers of a table must be there.
const PATIENCE: Duration = Duration::from_secs(120);
/// Frames of each kind of input over a table.
const TABLE_FRAMES: usize = 60;

/// CPU milliseconds of the panels and of the whole frame over a table in a window of `size` pixels, for each kind of input.
///
/// # Errors
/// If the table cannot be opened, or the device fails.
pub fn replay_table(
    gpu: &Arc<Gpu>,
    table: &Path,
    size: [u32; 2],
) -> anyhow::Result<Vec<(&'static str, [Percentiles; 2])>> {
    let mut bench = Bench::open(gpu, None, size)?;
    bench.host.app.intents.send(Intent::Open(table.to_owned()));
    let start = Instant::now();
    let is_ready = |bench: &Bench| {
        let doc = bench.host.app.data_sets.current();
        doc.is_some_and(|doc| doc.ranking().is_some() && doc.progress().is_none())
    };
    while !is_ready(&bench) {
        let notices = &bench.host.app.notices;
        anyhow::ensure!(notices.is_empty() && start.elapsed() < PATIENCE, "{notices:?}");
        std::thread::sleep(Duration::from_millis(5));
        bench.frame(Vec::new())?;
    }
    for _ in 0..8 {
        bench.frame(Vec::new())?;
    }
    let [width, height] = size.map(|side| side as f32);
    let sheet = pos2(width * 0.7, height * 0.75);
    let matrix = |t: f32| pos2(width * (0.05 + 0.2 * t), height * (0.25 + 0.2 * t));
    let plot = |t: f32| pos2(width * (0.45 + 0.4 * t), height * (0.2 + 0.12 * t));
    let wheel = || {
        vec![Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            source: egui::MouseWheelSource::Wheel,
            delta: vec2(0.0, -240.0),
            phase: egui::TouchPhase::Move,
            modifiers: Modifiers::NONE,
        }]
    };
    bench.frame(vec![Event::PointerMoved(sheet)])?;
    let mut costs = vec![("scroll", bench.each(|_| wheel())?)];
    costs.push(("keys", bench.each(|_| press(Key::ArrowDown))?));
    costs.push(("hover_matrix", bench.each(|t| vec![Event::PointerMoved(matrix(t))])?));
    costs.push(("hover_plot", bench.each(|t| vec![Event::PointerMoved(plot(t))])?));
    bench.frame(vec![Event::PointerMoved(plot(0.0)), button(plot(0.0), true)])?;
    costs.push(("drag_rectangle", bench.each(|t| vec![Event::PointerMoved(plot(t))])?));
    let selected = bench.each_of(1, |_| vec![button(plot(1.0), false)])?;
    costs.push(("select_samples", selected));
    costs.push(("choose_heads", bench.each(|_| press(Key::N))?));
    Ok(costs)
}

/// CPU milliseconds of one frame.
struct Cost {
    ui: f64,
    stage: f64,
    paint: f64,
}

struct Bench {
    host: Headless,
    target: wgpu::TextureView,
    size: [u32; 2],
    time: f64,
}

impl Bench {
    /// Frames of one kind of input, whose place is 0–1.
    fn each(&mut self, events: impl Fn(f32) -> Vec<Event>) -> anyhow::Result<[Percentiles; 2]> {
        self.each_of(TABLE_FRAMES, events)
    }

    fn each_of(
        &mut self,
        count: usize,
        events: impl Fn(f32) -> Vec<Event>,
    ) -> anyhow::Result<[Percentiles; 2]> {
        let (mut panels, mut frames) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for step in 1..=count {
            let cost = self.frame(events(step as f32 / count as f32))?;
            panels.push(cost.ui);
            frames.push(cost.ui + cost.stage + cost.paint);
        }
        Ok([panels, frames].map(Percentiles::from_values))
    }

    fn open(gpu: &Arc<Gpu>, trace: Option<Arc<Trace>>, size: [u32; 2]) -> anyhow::Result<Self> {
        let settings = Settings { advice_seen: true, ..Settings::default() };
        let options =
            HeadlessOptions { start: Start::Empty, settings, ..HeadlessOptions::default() };
        let mut host = Headless::new(Arc::clone(gpu), FORMAT, options)?;
        if let Some(trace) = trace {
            host.app.add_document(Document::new(trace, &ViewState::default()));
        }
        host.app.stage.wait_for_device = true;
        let [width, height] = size;
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("window"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let target = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(Self { host, target, size, time: 0.0 })
    }

    /// Drags a rectangle over the middle of the stage; the cost of each frame of the drag.
    fn mark(&mut self) -> anyhow::Result<Vec<f64>> {
        const FRAMES: usize = 60;
        self.host.app.intents.command(Command::SetView(ViewKind::Overlay));
        self.host.app.intents.act(UiCommand::MarkObject);
        for _ in 0..2 {
            self.frame(Vec::new())?;
        }
        let rect = self.host.app.stage_rect;
        let at = |t: f32| rect.lerp_inside(vec2(0.4 + 0.2 * t, 0.35 + 0.25 * t));
        self.frame(vec![Event::PointerMoved(at(0.0)), button(at(0.0), true)])?;
        let mut costs = Vec::with_capacity(FRAMES);
        for step in 1..=FRAMES {
            let to = at(step as f32 / FRAMES as f32);
            let cost = self.frame(vec![Event::PointerMoved(to)])?;
            costs.push(cost.ui + cost.stage + cost.paint);
        }
        self.frame(vec![button(at(1.0), false)])?;
        Ok(costs)
    }

    /// Computes the share of every head inside the marked object.
    fn inside(&self) -> anyhow::Result<Vec<f64>> {
        const ROUNDS: usize = 20;
        let doc = self.host.app.doc().context("no document is open")?;
        let mut state = doc.state().clone();
        anyhow::ensure!(state.chosen_object().is_some(), "the drag marked no object");
        state.map.queries = Queries::answer(0);
        let mut costs = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = ProcessTime::now();
            let values = state.resolve_heads(&doc.trace, None)?.values();
            costs.push(milliseconds(start));
            anyhow::ensure!(!values.is_empty(), "the heads have no numbers");
        }
        Ok(costs)
    }

    fn frame(&mut self, events: Vec<Event>) -> anyhow::Result<Cost> {
        self.time += STEP;
        let [width, height] = self.size;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(width as f32, height as f32))),
            time: Some(self.time),
            focused: true,
            events,
            ..RawInput::default()
        };
        self.host.app.stage.cpu_ms = 0.0;
        let start = ProcessTime::now();
        let frame = self.host.frame(input);
        let both = milliseconds(start);
        let stage = self.host.app.stage.cpu_ms;
        let start = ProcessTime::now();
        self.host.paint(frame, &self.target, self.size);
        self.host.gpu().device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(Cost { ui: (both - stage).max(0.0), stage, paint: milliseconds(start) })
    }
}

/// CPU milliseconds of the process since a moment.
pub fn milliseconds(since: ProcessTime) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn press(key: Key) -> Vec<Event> {
    let event = |pressed| Event::Key {
        key,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers: Modifiers::NONE,
    };
    vec![event(true), event(false)]
}

fn button(at: Pos2, pressed: bool) -> Event {
    let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
    Event::PointerButton { pos: at, button, pressed, modifiers }
}

/// Lists of events, one a frame: five seconds of typical input.
fn script([width, height]: [u32; 2], count: usize) -> Vec<Vec<Event>> {
    let (width, height) = (width as f32, height as f32);
    let matrix = |t: f32| pos2(width - 320.0 + 260.0 * t, 140.0 + 180.0 * t);
    let words = |t: f32| pos2(380.0 + 500.0 * t, height - 96.0);
    let stage = |t: f32| pos2(width * (0.35 + 0.2 * t), height * (0.3 + 0.2 * t));
    (0..count)
        .map(|frame| {
            let t = (frame % 30) as f32 / 30.0;
            match frame / 30 % 10 {
                0 => press(Key::ArrowDown),
                1 => press(Key::CloseBracket),
                2 => press(if frame % 2 == 0 { Key::ArrowRight } else { Key::ArrowLeft }),
                3 => vec![Event::PointerMoved(matrix(t))],
                4 if frame % 30 == 0 => {
                    vec![Event::PointerMoved(matrix(0.0)), button(matrix(0.0), true)]
                }
                4 if frame % 30 == 29 => vec![button(matrix(1.0), false)],
                4 => vec![Event::PointerMoved(matrix(t))],
                5 => vec![Event::PointerMoved(words(t))],
                6 => vec![Event::PointerMoved(stage(t))],
                7 if frame % 30 == 0 => press(Key::W),
                7 if frame % 30 == 29 => press(Key::S),
                7 => press(Key::ArrowDown),
                8 if frame % 30 == 0 => press(Key::H),
                8 if frame % 30 == 29 => press(Key::S),
                8 => press(Key::ArrowUp),
                _ => press(if frame % 3 == 0 { Key::C } else { Key::M }),
            }
        })
        .collect()
}
