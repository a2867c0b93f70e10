//! The show: what the stage and the presenter's window draw, and the keys that both understand.

use super::controls;
use super::talk::{Talk, TalkAct, stop_name};
use crate::gpu::{Gpu, GpuError};
use crate::record::{Captions, OpenTraces};
use crate::ui::canvas::Canvas;
use crate::ui::stage;
use crate::ui::theme;
use crate::view::timeline::{Moment, Said, Shot, Shown, Step, Timeline, Walkthrough, sentence};
use crate::view::{Command, Extent, QueryKind, ViewState};
use egui::{Color32, Key, Pos2, Rect, RichText, Ui, pos2, vec2};
use std::sync::Arc;
use std::time::Duration;

/// The least type scale of figures on a stage: their small print is read from far away.
const MIN_TEXT_SCALE: f64 = 1.75;
/// The pointer hides after so long.
pub const POINTER_SECONDS: f64 = 2.0;
/// Radius of the spotlight in shares of the smaller side.
const SPOTLIGHT: f32 = 0.16;
const SPOTLIGHT_DARK: f32 = 0.78;

/// Which of the two windows is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What the audience sees.
    Stage,
    /// What the presenter sees.
    Presenter,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Something of the talk.
    Talk(TalkAct),
    /// Into the picture with large controls, and back.
    Explore,
    /// Back from exploring, else out of the presentation.
    Leave,
}

/// A walkthrough that is being presented.
pub struct Theatre {
    walkthrough: Walkthrough,
    traces: OpenTraces,
    talk: Talk,
    gpu: Arc<Gpu>,
    canvas: Canvas,
    /// The view that is being explored.
    explored: Option<Box<ViewState>>,
    /// What went wrong last; the presenter sees it.
    pub error: Option<String>,
    /// The presentation is over.
    pub is_over: bool,
    pointer: (Option<Pos2>, f64),
    /// Where the stage is, in words for the presenter.
    pub display: String,
}

impl Theatre {
    /// Begins a presentation. `egui` draws the stage's window.
    pub fn new(
        mut walkthrough: Walkthrough,
        traces: OpenTraces,
        gpu: Arc<Gpu>,
        egui: stage::Painter,
        loops: bool,
    ) -> Self {
        for step in &mut walkthrough.steps {
            step.state.text_scale = step.state.text_scale.max(MIN_TEXT_SCALE);
            // The words that a view is about are read from afar, whoever made the step.
            if step.caption.is_empty() {
                step.caption = words_of(&step.state, &traces);
            }
        }
        let talk = Talk::new(&Timeline::new(&walkthrough), loops, 0.0);
        let canvas = Canvas::new(Arc::clone(&gpu), egui, Captions::Stage);
        Self {
            walkthrough,
            traces,
            talk,
            gpu,
            canvas,
            explored: None,
            error: None,
            is_over: false,
            pointer: (None, 0.0),
            display: String::new(),
        }
    }

    /// Begins with another stop than the first.
    pub fn begin_at(&mut self, stop: usize) {
        self.talk.begin_at(stop);
    }

    /// Where the talk is.
    pub const fn talk(&self) -> &Talk {
        &self.talk
    }

    /// The view that is being explored.
    pub fn explored(&self) -> Option<&ViewState> {
        self.explored.as_deref()
    }

    /// Whether the pointer may be seen on the stage.
    pub fn shows_pointer(&self, now: f64) -> bool {
        !self.talk.has_spotlight
            && (self.explored.is_some() || now - self.pointer.1 < POINTER_SECONDS)
    }

    /// Does what a key or a button asks for.
    pub fn ask(&mut self, ask: Ask, now: f64) {
        match ask {
            Ask::Talk(act) => {
                if matches!(act, TalkAct::Next | TalkAct::Previous | TalkAct::Jump) {
                    self.explored = None;
                }
                self.talk.act(act, &Timeline::new(&self.walkthrough), now);
            }
            Ask::Explore => {
                self.explored = if self.explored.is_some() { None } else { self.here() };
            }
            Ask::Leave if self.explored.is_some() => self.explored = None,
            Ask::Leave => self.is_over = true,
        }
    }

    /// Changes the view that is being explored.
    pub fn explore(&mut self, command: &Command) {
        let Some(state) = &mut self.explored else { return };
        let trace = state.trace.as_ref().and_then(|path| self.traces.get(path));
        let Some(trace) = trace else { return };
        match command.apply(state, &Extent::of(trace)) {
            Ok(next) => **state = next,
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    /// The view of the step that is shown; on a card that of the step beside it.
    fn here(&self) -> Option<Box<ViewState>> {
        let timeline = Timeline::new(&self.walkthrough);
        let at = self.talk.at();
        let beside = [Some(at), at.checked_add(1), at.checked_sub(1)];
        let step = beside.into_iter().flatten().find_map(|stop| timeline.step_of(stop))?;
        let mut state = self.walkthrough.steps.get(step)?.state.clone();
        // Without words of its own the caption says what is seen, whatever that becomes.
        state.caption.text = None;
        Some(Box::new(state))
    }

    fn moment(&self, now: f64) -> Option<Moment> {
        if let Some(state) = &self.explored {
            let shown = Shown::One(Shot::View(state.clone()));
            let said = Said { caption: words_of(state, &self.traces), strength: 1.0 };
            return Some(Moment { shown, said, step: None, is_passing: false });
        }
        self.talk.moment(&Timeline::new(&self.walkthrough), now)
    }

    /// The device.
    pub const fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Draws one of the windows of `pixels` at `now`: seconds since the presentation began, the
    /// same clock for both.
    pub fn frame(&mut self, view: View, ui: &mut Ui, pixels: [u32; 2], now: f64) {
        for ask in asks(ui) {
            self.ask(ask, now);
        }
        self.talk.tick(&Timeline::new(&self.walkthrough), now);
        match view {
            View::Stage => self.stage(ui, pixels, now),
            View::Presenter => self.presenter(ui, now),
        }
        if let Some(rest) = self.talk.rests_secs(&Timeline::new(&self.walkthrough), now) {
            ui.ctx().request_repaint_after(Duration::from_secs_f64(rest));
        }
    }

    fn stage(&mut self, ui: &mut Ui, pixels: [u32; 2], now: f64) {
        let whole = ui.ctx().content_rect();
        let painter = ui.ctx().layer_painter(egui::LayerId::background());
        painter.rect_filled(whole, 0.0, Color32::BLACK);
        let here = ui.input(|input| input.pointer.latest_pos());
        if here != self.pointer.0 {
            self.pointer = (here, now);
            ui.ctx().request_repaint_after(Duration::from_secs_f64(POINTER_SECONDS));
        }
        if self.talk.is_blank {
            return;
        }
        // The controls stand below the picture, not on it.
        let strip = self.explored().map_or(0.0, |state| controls::height(state, whole));
        let share = 1.0 - strip / whole.height().max(1.0);
        let pixels = [pixels[0], (pixels[1] as f32 * share).round() as u32];
        if let Some(moment) = self.moment(now)
            && let Err(error) = self.paint(moment, pixels)
        {
            self.error = Some(error.to_string());
        }
        if let Some(texture) = self.canvas.texture() {
            let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
            let place = Rect::from_min_max(whole.min, pos2(whole.right(), whole.bottom() - strip));
            painter.image(texture, place, uv, Color32::WHITE);
        }
        if self.talk.has_spotlight
            && let Some(at) = here
        {
            painter.add(spotlight(whole, at));
        }
        if self.explored.is_some() {
            controls::show(self, ui, whole, now);
        }
    }

    /// Brings the canvas up to a moment; the old picture stays where that fails.
    fn paint(&mut self, moment: Moment, pixels: [u32; 2]) -> Result<(), GpuError> {
        let explored = self.explored.as_ref().map(|state| {
            // What is explored has a caption of its own, and the place that it needs.
            let step = Step::new((**state).clone(), moment.said.caption.clone());
            Walkthrough { title: None, steps: vec![step], end: None }
        });
        let walkthrough = explored.as_ref().unwrap_or(&self.walkthrough);
        self.canvas.paint(moment, walkthrough, &self.traces, pixels).map(|_| ())
    }

    fn presenter(&mut self, ui: &mut Ui, now: f64) {
        let ink = theme::ink(crate::view::Theme::Dark);
        let timeline = Timeline::new(&self.walkthrough);
        let name = |stop| stop_name(&self.walkthrough, &timeline, stop);
        let step = timeline.step_of(self.talk.at()).and_then(|at| self.walkthrough.steps.get(at));
        let notes = step.map_or("", |step| step.notes.as_str()).to_owned();
        let (here, next) = (name(self.talk.at()), self.talk.next().map(name));
        let clock = self.talk.clock_secs(now).max(0.0) as u64;
        let clock = format!("{}:{:02}", clock / 60, clock % 60);
        let large = |text: &str, size: f32| RichText::new(text).font(theme::plain(size));
        egui::Frame::new().fill(ink.panel).inner_margin(24.0).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            ui.horizontal(|ui| {
                ui.label(large(&clock, 44.0).color(ink.text));
                ui.add_space(16.0);
                ui.label(large(&self.display, 16.0).color(ink.muted));
                if !self.talk.typed().is_empty() {
                    let typed = format!("go to {} ⏎", self.talk.typed());
                    ui.label(large(&typed, 20.0).color(ink.accent));
                }
            });
            if let Some(error) = &self.error {
                ui.label(large(error, 16.0).color(ink.error));
            }
            ui.add_space(16.0);
            ui.label(theme::strong_text(here, 28.0).color(ink.text));
            ui.add_space(12.0);
            ui.label(large(&notes, 24.0).color(ink.text));
            ui.add_space(24.0);
            let next = next.unwrap_or_else(|| "the end".into());
            ui.label(large(&format!("next: {next}"), 20.0).color(ink.muted));
            ui.add_space(24.0);
            self.buttons(ui, now);
        });
        // The clock goes on.
        ui.ctx().request_repaint_after(Duration::from_millis(500));
    }

    fn buttons(&mut self, ui: &mut Ui, now: f64) {
        let runs = if self.talk.runs { "Hold" } else { "Run" };
        let blank = if self.talk.is_blank { "Show" } else { "Blank" };
        let explore = if self.explored.is_some() { "Return" } else { "Explore" };
        ui.horizontal_wrapped(|ui| {
            for (text, hint, ask) in [
                ("Back", "← or Page up", Ask::Talk(TalkAct::Previous)),
                ("Next", "→, space or Page down", Ask::Talk(TalkAct::Next)),
                (blank, "B", Ask::Talk(TalkAct::Blank)),
                ("Spotlight", "S", Ask::Talk(TalkAct::Spotlight)),
                (explore, "E", Ask::Explore),
                (runs, "P", Ask::Talk(TalkAct::Run)),
                ("Reset clock", "T", Ask::Talk(TalkAct::ResetClock)),
                ("End", "Escape", Ask::Leave),
            ] {
                let button = egui::Button::new(RichText::new(text).font(theme::plain(16.0)));
                if ui.add(button.min_size(vec2(0.0, 40.0))).on_hover_text(hint).clicked() {
                    self.ask(ask, now);
                }
            }
        });
        ui.add_space(8.0);
        let help = "A number and Enter go to that step.";
        ui.label(RichText::new(help).font(theme::plain(14.0)));
    }
}

/// The words of the answer that a view is about.
fn words_of(state: &ViewState, traces: &OpenTraces) -> String {
    let trace = state.trace.as_ref().and_then(|path| traces.get(path));
    let queries = &state.map.queries;
    match (trace, queries.kind) {
        (Some(trace), QueryKind::Answer) => {
            sentence(trace, queries.set.named().unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// What the keys of a frame ask for; clickers send page keys, F5, B or a full stop.
fn asks(ui: &Ui) -> Vec<Ask> {
    ui.input(|input| {
        let pressed = input.events.iter().filter_map(|event| match event {
            egui::Event::Key { key, pressed: true, modifiers, .. } if modifiers.is_none() => {
                Some(*key)
            }
            _ => None,
        });
        pressed.filter_map(ask_of).collect()
    })
}

/// What a key asks for.
pub fn ask_of(key: Key) -> Option<Ask> {
    let digits = [
        Key::Num0,
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
        Key::Num7,
        Key::Num8,
        Key::Num9,
    ];
    if let Some(digit) = digits.iter().position(|&other| other == key) {
        return Some(Ask::Talk(TalkAct::Digit(digit as u32)));
    }
    Some(match key {
        Key::ArrowRight | Key::ArrowDown | Key::PageDown | Key::Space => Ask::Talk(TalkAct::Next),
        Key::ArrowLeft | Key::ArrowUp | Key::PageUp | Key::Backspace => {
            Ask::Talk(TalkAct::Previous)
        }
        Key::Home => Ask::Talk(TalkAct::First),
        Key::End => Ask::Talk(TalkAct::Last),
        Key::Enter => Ask::Talk(TalkAct::Jump),
        Key::B | Key::Period => Ask::Talk(TalkAct::Blank),
        Key::S => Ask::Talk(TalkAct::Spotlight),
        Key::P => Ask::Talk(TalkAct::Run),
        Key::T => Ask::Talk(TalkAct::ResetClock),
        Key::E => Ask::Explore,
        Key::Escape | Key::F5 => Ask::Leave,
        _ => return None,
    })
}

/// Everything but a disc around the pointer is darkened, with a soft edge.
fn spotlight(whole: Rect, at: Pos2) -> egui::Shape {
    const SEGMENTS: u32 = 96;
    let radius = whole.width().min(whole.height()) * SPOTLIGHT;
    let far = whole.width() + whole.height();
    let dark = Color32::from_black_alpha((SPOTLIGHT_DARK * 255.0) as u8);
    let rings = [(radius, Color32::TRANSPARENT), (radius * 1.12, dark), (far, dark)];
    let mut mesh = egui::Mesh::default();
    for segment in 0..=SEGMENTS {
        let angle = std::f32::consts::TAU * segment as f32 / SEGMENTS as f32;
        for (radius, color) in rings {
            mesh.colored_vertex(at + radius * egui::Vec2::angled(angle), color);
        }
    }
    for segment in 0..SEGMENTS {
        for ring in 0..2 {
            let a = segment * 3 + ring;
            mesh.add_triangle(a, a + 1, a + 3);
            mesh.add_triangle(a + 1, a + 4, a + 3);
        }
    }
    egui::Shape::mesh(mesh)
}
