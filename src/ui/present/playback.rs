//! The state of a presentation: where it is, what is explored, and the keys that both windows
//! understand.

use super::presentation::{Presentation, PresenterCommand};
use crate::gpu::{Gpu, GpuError};
use crate::record::{Captions, OpenTraces};
use crate::ui::preview_texture::PreviewTexture;
use crate::ui::window_painter::WindowPainter;
use crate::ui::wording::in_window;
use crate::view::timeline::{
    Moment, MomentContent, Said, Shot, Step, Timeline, Walkthrough, sentence,
};
use crate::view::{Bounds, Command, QueryKind, ViewState};
use egui::{Key, Pos2, TextureId};
use std::sync::Arc;

/// The least type scale of figures on a stage: their smallest text is read from far away.
const MIN_TEXT_SCALE: f64 = 1.75;
/// Seconds without movement after which the pointer is hidden.
pub const POINTER_SECONDS: f64 = 2.0;

/// Commands of keys and buttons during a presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackCommand {
    /// A command of the presentation.
    Present(PresenterCommand),
    /// Into the picture with large controls, and back.
    Explore,
    /// Back from exploring, else out of the presentation.
    Leave,
}

/// A walkthrough that is being presented.
pub struct Playback {
    pub(super) walkthrough: Walkthrough,
    traces: OpenTraces,
    presentation: Presentation,
    gpu: Arc<Gpu>,
    canvas: PreviewTexture,
    /// The view that is being explored.
    explored: Option<Box<ViewState>>,
    /// Text of the last error; the presenter sees it.
    pub error: Option<String>,
    /// The presentation is over.
    pub is_over: bool,
    pointer: (Option<Pos2>, f64),
    /// The display of the stage, as text for the presenter.
    pub display: String,
    asked: usize,
}

impl Playback {
    /// Begins a presentation. `egui` draws the stage's window.
    pub fn new(
        mut walkthrough: Walkthrough,
        traces: OpenTraces,
        gpu: Arc<Gpu>,
        egui: WindowPainter,
        loops: bool,
    ) -> Self {
        for step in &mut walkthrough.steps {
            step.state.text_scale = step.state.text_scale.max(MIN_TEXT_SCALE);
            // A step without a caption gets the selected answer words: the audience can read those from afar.
            if step.caption.is_empty() {
                step.caption = words_of(&step.state, &traces);
            }
        }
        let presentation = Presentation::new(&Timeline::new(&walkthrough), loops, 0.0);
        let canvas =
            PreviewTexture::new(Arc::clone(&gpu), egui, Captions::Stage, wgpu::FilterMode::Nearest);
        Self {
            walkthrough,
            traces,
            presentation,
            gpu,
            canvas,
            explored: None,
            error: None,
            is_over: false,
            pointer: (None, 0.0),
            display: String::new(),
            asked: 0,
        }
    }

    /// Draws with another device, after the old one was lost.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>, egui: WindowPainter) {
        self.canvas =
            PreviewTexture::new(Arc::clone(&gpu), egui, Captions::Stage, wgpu::FilterMode::Nearest);
        self.gpu = gpu;
    }

    /// Begins with another stop than the first.
    pub fn begin_at(&mut self, stop: usize) {
        self.presentation.begin_at(stop);
    }

    /// The presentation.
    pub const fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// Number of commands so far: a change tells the other window to draw.
    pub const fn asked(&self) -> usize {
        self.asked
    }

    /// The view that is being explored.
    pub fn explored(&self) -> Option<&ViewState> {
        self.explored.as_deref()
    }

    /// Whether the pointer may be seen on the stage.
    pub fn shows_pointer(&self, now: f64) -> bool {
        !self.presentation.has_spotlight
            && (self.explored.is_some() || now - self.pointer.1 < POINTER_SECONDS)
    }

    /// Carries out the command of a key or a button.
    pub fn ask(&mut self, ask: PlaybackCommand, now: f64) {
        self.asked += 1;
        match ask {
            PlaybackCommand::Present(act) => {
                if matches!(
                    act,
                    PresenterCommand::Next | PresenterCommand::Previous | PresenterCommand::Jump
                ) {
                    self.explored = None;
                }
                self.presentation.act(act, &Timeline::new(&self.walkthrough), now);
            }
            PlaybackCommand::Explore => {
                self.explored = if self.explored.is_some() { None } else { self.here() };
            }
            PlaybackCommand::Leave if self.explored.is_some() => self.explored = None,
            PlaybackCommand::Leave => self.is_over = true,
        }
    }

    /// Changes the view that is being explored.
    pub fn explore(&mut self, command: &Command) {
        let Some(state) = &mut self.explored else { return };
        let trace = state.trace.as_ref().and_then(|path| self.traces.get(path));
        let Some(trace) = trace else { return };
        match command.apply(state, &Bounds::from_trace(trace)) {
            Ok(next) => **state = next,
            Err(error) => self.error = Some(in_window(&error.to_string()).0),
        }
    }

    /// The view of the step that is shown; on a card that of the step beside it.
    fn here(&self) -> Option<Box<ViewState>> {
        let timeline = Timeline::new(&self.walkthrough);
        let at = self.presentation.at();
        let beside = [Some(at), at.checked_add(1), at.checked_sub(1)];
        let step = beside.into_iter().flatten().find_map(|stop| timeline.step_of(stop))?;
        let mut state = self.walkthrough.steps.get(step)?.state.clone();
        // Without a text of its own the caption is generated from the view, and follows every change of it.
        state.caption.text = None;
        Some(Box::new(state))
    }

    fn moment(&self, now: f64) -> Option<Moment> {
        if let Some(state) = &self.explored {
            let shown = MomentContent::One(Shot::View(state.clone()));
            let said = Said { caption: words_of(state, &self.traces), strength: 1.0 };
            return Some(Moment { shown, said, step: None, is_passing: false });
        }
        self.presentation.moment(&Timeline::new(&self.walkthrough), now)
    }

    /// The device.
    pub const fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Goes on where steps follow each other.
    pub fn tick(&mut self, now: f64) {
        self.presentation.tick(&Timeline::new(&self.walkthrough), now);
    }

    /// Sets the position of the pointer on the stage; returns the time of its last movement.
    pub fn pointer_at(&mut self, here: Option<Pos2>, now: f64) -> f64 {
        if here != self.pointer.0 {
            self.pointer = (here, now);
        }
        self.pointer.1
    }

    /// Draws the picture of the time `now` and returns its texture; the old picture stays if that fails.
    pub fn paint(&mut self, pixels: [u32; 2], now: f64) -> Option<TextureId> {
        if let Some(moment) = self.moment(now)
            && let Err(error) = self.paint_moment(moment, pixels)
        {
            self.error = Some(in_window(&error.to_string()).0);
        }
        self.canvas.texture()
    }

    fn paint_moment(&mut self, moment: Moment, pixels: [u32; 2]) -> Result<(), GpuError> {
        let explored = self.explored.as_ref().map(|state| {
            // The explored view becomes a step with its own caption, so that the figure leaves space for it.
            let step = Step::new((**state).clone(), moment.said.caption.clone());
            Walkthrough { title: None, steps: vec![step], end: None }
        });
        let walkthrough = explored.as_ref().unwrap_or(&self.walkthrough);
        self.canvas.paint(moment, walkthrough, &self.traces, pixels).map(|_| ())
    }
}

/// The words of the answer that a view selects.
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

/// The command of a key.
pub fn command_of(key: Key) -> Option<PlaybackCommand> {
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
        return Some(PlaybackCommand::Present(PresenterCommand::Digit(digit as u32)));
    }
    Some(match key {
        Key::ArrowRight | Key::ArrowDown | Key::PageDown | Key::Space => {
            PlaybackCommand::Present(PresenterCommand::Next)
        }
        Key::ArrowLeft | Key::ArrowUp | Key::PageUp | Key::Backspace => {
            PlaybackCommand::Present(PresenterCommand::Previous)
        }
        Key::Home => PlaybackCommand::Present(PresenterCommand::First),
        Key::End => PlaybackCommand::Present(PresenterCommand::Last),
        Key::Enter => PlaybackCommand::Present(PresenterCommand::Jump),
        Key::B | Key::Period => PlaybackCommand::Present(PresenterCommand::Blank),
        Key::S => PlaybackCommand::Present(PresenterCommand::Spotlight),
        Key::P => PlaybackCommand::Present(PresenterCommand::Run),
        Key::T => PlaybackCommand::Present(PresenterCommand::ResetClock),
        Key::E => PlaybackCommand::Explore,
        Key::Escape | Key::F5 => PlaybackCommand::Leave,
        _ => return None,
    })
}
