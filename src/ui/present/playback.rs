//! The state of a presentation: where it is, what is explored, and the keys that both windows
//! understand.

use super::presentation::{Presentation, PresenterCommand};
use crate::gpu::{Gpu, GpuError};
use crate::record::{Captions, OpenTraces};
use crate::ui::preview_texture::PreviewTexture;
use crate::ui::window_painter::WindowPainter;
use crate::ui::wording::in_window;
use crate::view::figure::{Figure, head_name, percent};
use crate::view::timeline::{
    Moment, MomentContent, Said, Shot, Step, Timeline, Walkthrough, image_share, spoken,
};
use crate::view::{AxisSet, Bounds, Camera, Command, Queries, QueryKind, ViewKind, ViewState};
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
    /// The head under the loupe on the wall.
    loupe: PreviewTexture,
    /// The view that is being explored.
    explored: Option<Box<ViewState>>,
    /// The wall that was drawn last, explored or on a slide.
    wall: Option<Box<ViewState>>,
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
        let canvas = PreviewTexture::new(
            Arc::clone(&gpu),
            egui.clone(),
            Captions::Stage,
            wgpu::FilterMode::Nearest,
        );
        let loupe = loupe(&gpu, egui);
        Self {
            walkthrough,
            traces,
            presentation,
            gpu,
            canvas,
            loupe,
            explored: None,
            wall: None,
            error: None,
            is_over: false,
            pointer: (None, 0.0),
            display: String::new(),
            asked: 0,
        }
    }

    /// Draws with another device, after the old one was lost.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>, egui: WindowPainter) {
        self.canvas = PreviewTexture::new(
            Arc::clone(&gpu),
            egui.clone(),
            Captions::Stage,
            wgpu::FilterMode::Nearest,
        );
        self.loupe = loupe(&gpu, egui);
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
        // A step that shows the picture alone has a map, too, which the caption is about.
        if state.opacity <= 0.0 {
            state.opacity = ViewState::default().opacity;
        }
        Some(Box::new(state))
    }

    /// The caption of the view that is being explored.
    pub fn explored_caption(&self) -> Option<String> {
        self.explored.as_ref().map(|state| words_of(state, &self.traces))
    }

    fn moment(&self, now: f64) -> Option<Moment> {
        if let Some((state, caption)) = self.explored.as_ref().zip(self.explored_caption()) {
            let shown = MomentContent::One(Shot::View(state.clone()));
            let said = Said { caption, strength: 1.0 };
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
        if let Some(moment) = self.moment(now) {
            self.wall = match &moment.shown {
                MomentContent::One(Shot::View(state)) if state.view == ViewKind::Wall => {
                    Some(state.clone())
                }
                _ => None,
            };
            if let Err(error) = self.paint_moment(moment, pixels) {
                self.error = Some(in_window(&error.to_string()).0);
            }
        }
        self.canvas.texture()
    }

    /// The layout of the picture that was drawn last.
    pub fn figure(&self) -> Option<&Figure> {
        self.canvas.figure()
    }

    /// The layer (by number) and head of the wall under a point of the picture in pixels; while it is explored, else the
    /// chosen ones.
    pub fn head_at(&self, point_px: Option<[f32; 2]>) -> Option<(u32, u32)> {
        let state = self.wall.as_ref()?;
        let trace = self.traces.get(state.trace.as_ref()?)?;
        let model = &trace.meta().model;
        let under = point_px.and_then(|point| self.figure()?.head_at(point));
        let under = under.map(|[row, head]| (model.layer_number(row), head));
        let chosen = || state.map.layers.only().zip(state.map.heads.only());
        under.or_else(|| chosen().filter(|_| self.explored.is_some()))
    }

    /// Place of a head on the wall, in pixels of the picture.
    pub fn cell_of(&self, (layer, head): (u32, u32)) -> Option<crate::view::figure::PixelRect> {
        let trace = self.traces.get(self.wall.as_ref()?.trace.as_ref()?)?;
        let row = trace.meta().model.layer_index(layer)?;
        self.figure()?.head_cell([row, head])
    }

    /// The lower edge of the wall, in pixels of the picture.
    pub fn wall_bottom(&self) -> Option<f32> {
        let trace = self.traces.get(self.wall.as_ref()?.trace.as_ref()?)?;
        let last = (trace.meta().model.layer_numbers().len() as u32).checked_sub(1)?;
        Some(self.figure()?.head_cell([last, 0])?.bottom())
    }

    /// Draws the map of one head of the wall, `side` pixels high: its texture, its width / height and its name
    /// with its share.
    pub fn magnified(
        &mut self,
        (layer, head): (u32, u32),
        side: u32,
    ) -> Option<(TextureId, f32, String)> {
        let mut state = self.wall.as_deref()?.clone();
        state.view = ViewKind::Overlay;
        state.map.layers = AxisSet::single(layer);
        state.map.heads = AxisSet::single(head);
        state.camera = Camera::default();
        (state.legend, state.caption.show) = (false, false);
        let trace = self.traces.get(state.trace.as_ref()?)?;
        let share = image_share(&state, trace);
        let step = Step::new(state.clone(), String::new());
        let walkthrough = Walkthrough { title: None, steps: vec![step], end: None };
        let aspect = self.traces.aspect(&walkthrough);
        let size = [(side as f32 * aspect).round().max(1.0) as u32, side];
        let shown = MomentContent::One(Shot::View(Box::new(state)));
        let moment = Moment { shown, said: Said::default(), step: None, is_passing: false };
        if let Err(error) = self.loupe.paint(moment, &walkthrough, &self.traces, size) {
            self.error = Some(in_window(&error.to_string()).0);
        }
        let name = head_name(layer, head);
        let share = share.map(|share| format!(" · {}", percent(f64::from(share), 0)));
        Some((self.loupe.texture()?, aspect, format!("{name}{}", share.unwrap_or_default())))
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

fn loupe(gpu: &Arc<Gpu>, egui: WindowPainter) -> PreviewTexture {
    PreviewTexture::new(Arc::clone(gpu), egui, Captions::Beside, wgpu::FilterMode::Linear)
}

/// The content of a view, in words for the audience.
fn words_of(state: &ViewState, traces: &OpenTraces) -> String {
    let trace = state.trace.as_ref().and_then(|path| traces.get(path));
    trace.map_or_else(String::new, |trace| spoken(state, trace))
}

/// The change of the explored view that a key makes: the keys of the window.
pub fn explored_by(key: Key) -> Option<Command> {
    Some(match key {
        Key::ArrowRight => Command::StepQuery(1),
        Key::ArrowLeft => Command::StepQuery(-1),
        Key::ArrowDown => Command::StepLayer(1),
        Key::ArrowUp => Command::StepLayer(-1),
        Key::CloseBracket => Command::StepHead(1),
        Key::OpenBracket => Command::StepHead(-1),
        Key::A => Command::SetQueries(Queries { kind: QueryKind::Answer, set: AxisSet::MEAN }),
        Key::L => Command::SetLayers(AxisSet::MEAN),
        Key::M => Command::SetHeads(AxisSet::MEAN),
        Key::S => Command::SetView(ViewKind::Overlay),
        Key::H => Command::SetView(ViewKind::Heads),
        Key::W => Command::SetView(ViewKind::Wall),
        Key::Num0 => Command::SetCamera(Camera::default()),
        Key::Plus | Key::Equals => Command::ZoomBy { factor: 1.25, about: [0.5, 0.5] },
        Key::Minus => Command::ZoomBy { factor: 0.8, about: [0.5, 0.5] },
        _ => return None,
    })
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
