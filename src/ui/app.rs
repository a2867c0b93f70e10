//! The window's state and its frame: events in, commands applied, panels drawn, stage rendered.
//!
//! Panels never change anything; they send [`Intent`]s, which are applied when all panels are
//! drawn. Where that changes what is seen, the pass is discarded and drawn again at once, so that
//! every panel shows a change in the very frame in which it was made.

use super::chat::Chat;
use super::document::{Document, DocumentId};
use super::exports::Exports;
use super::layout::{Layout, Pane};
use super::model_feed::Wake;
use super::palette::Palette;
use super::samples::Sample;
use super::shortcuts::{self, Focus, UiCommand};
use super::stage::Stage;
use super::tasks::{self, Tasks};
use super::transport::Transport;
use super::value_cache::ValueCache;
use super::what_if::WhatIf;
use super::{commands, panels, theme};
use crate::model::{Picture, Turn};
use crate::settings::Settings;
use crate::trace::PatchRef;
use crate::view::{Command, Theme, ViewState};
use egui::Ui;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What a panel, a key or the palette asks for.
#[derive(Clone, Debug)]
pub enum Intent {
    /// A change of the view.
    Command(Command),
    /// The same under the hand: never faded.
    Scrub(Command),
    /// A gesture ended: the next change is an undo step of its own.
    Settle,
    /// An action without arguments.
    Ui(UiCommand),
    /// Opens a picture, a trace or a model folder.
    Open(PathBuf),
    /// Opens the encoded bytes of a picture.
    OpenPicture(String, Arc<[u8]>),
    /// Asks a question.
    Ask(String),
    /// Scores another answer to the question that is shown.
    Score(String),
    /// Opens a built-in picture and asks its first question.
    UseSample(usize),
    /// Loads the model, so that the first answer need not wait for it.
    LoadModel,
    /// Shows another answered question.
    Show(DocumentId),
    /// Forgets an answered question.
    Close(DocumentId),
    /// Uses a model.
    UseBundle(PathBuf),
    /// Shows a bookmark.
    GoToBookmark(usize),
    /// Forgets a bookmark.
    RemoveBookmark(usize),
    /// Stops a task.
    CancelTask(u64),
    /// Edits, compares, changes the model.
    WhatIf(super::what_if::WhatIfCommand),
    /// Changes the walkthrough that is being made.
    Walkthrough(super::walkthrough::WalkthroughCommand),
    /// Records a film.
    Film(Box<super::film::FilmOptions>),
    /// Answers whether the walkthrough is to be saved.
    Confirm(super::walkthrough::Answer),
    /// Takes the path that was typed.
    AcceptPath,
    /// Puts the map that is shown to the test.
    TestMaps,
    /// Brings a panel to the front.
    ShowPanel(Pane),
    /// Closes a message.
    Dismiss(u64),
    /// Puts a text on the clipboard and says so.
    Copy(String, &'static str),
}

/// What only the window itself can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRequest {
    /// Full screen, or back.
    ToggleFullScreen,
    /// ColorLimits the program.
    Quit,
    /// Reads a picture from the clipboard.
    PastePicture,
}

/// A message that waits for the user.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its identity.
    pub id: u64,
    /// What it says.
    pub text: String,
    /// Something went wrong; other messages go away by themselves.
    pub is_error: bool,
    /// When it came, in seconds of the program's clock.
    pub since: f64,
}

/// How the window starts.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// The built-in model, its first sample and question.
    #[default]
    BuiltIn,
    /// A trace, a picture or a model folder.
    File(PathBuf),
    /// Nothing: for tests of the empty state.
    Empty,
}

/// What the counters of the speed rules count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames in which the stage was drawn anew.
    pub stage_draws: u64,
    /// Token pages uploaded because they were needed.
    pub page_uploads: u64,
    /// Frames of the window.
    pub frames: u64,
}

/// Panels that stand over the stage on a narrow window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    Chat,
    Inspector,
}

/// Under this width the side panels become overlays.
pub const NARROW: f32 = 900.0;
const NOTICE_SECONDS: f64 = 4.0;

/// The window's state.
pub struct App {
    pub settings: Settings,
    pub settings_path: Option<PathBuf>,
    pub docs: Vec<Document>,
    /// The conversation before each document's question.
    pub turns: HashMap<DocumentId, Vec<Turn>>,
    /// The picture that each document's question was about.
    pub pictures: HashMap<DocumentId, Picture>,
    pub current: Option<DocumentId>,
    pub chat: Chat,
    pub stage: Stage,
    pub readings: ValueCache,
    pub transport: Transport,
    pub palette: Palette,
    pub exports: Exports,
    /// Long work that is no question.
    pub tasks: Tasks,
    /// What if.
    pub what_if: WhatIf,
    /// How maps did when the model was asked again.
    pub scores: Option<panels::score::Scores>,
    pub layout: Option<Layout>,
    pub help_open: bool,
    pub overlay: Option<Overlay>,
    /// Whether the side panels stand over the stage.
    pub is_narrow: bool,
    /// Where the stage is, in points.
    pub stage_rect: egui::Rect,
    pub notices: Vec<Notice>,
    /// The built-in pictures with a small copy each, once they are drawn.
    pub samples: Option<Vec<(egui::TextureHandle, Sample)>>,
    /// The look that new documents start with.
    pub look: ViewState,
    /// What panels asked for in this pass.
    pub out: Vec<Intent>,
    /// What the pointer would do, shown while it stays.
    pub preview: Option<Command>,
    /// What is seen: the view with the preview.
    pub shown: ViewState,
    /// Where the ranking is: the head that [`UiCommand::NextBestHead`] goes on from.
    pub rank: usize,
    /// Whether the ranking is over all open traces of the model.
    pub rank_over_all: bool,
    pub host: Vec<HostRequest>,
    /// What is done is being noted.
    pub take: Option<super::view_recorder::ViewRecorder>,
    /// The walkthrough that is being made.
    pub editor: Option<super::walkthrough::Editor>,
    /// How a film is to be recorded, while that is asked.
    pub film_dialog: Option<super::film::FilmDialog>,
    /// How the last film was recorded.
    pub film_options: super::film::FilmOptions,
    /// A question before something that would lose the walkthrough.
    pub confirm: Option<super::walkthrough::Confirm>,
    /// A path that is asked for in the window.
    pub prompt: Option<super::dialogs::Prompt>,
    /// Paths are asked for in the window, even where the desktop has dialogs.
    pub asks_in_window: bool,
    /// What the window is to present next.
    pub presents: Option<Box<super::present::PresentOptions>>,
    pub counters: Counters,
    pub(super) fade: Option<super::transition::Transition>,
    next_notice: u64,
    drawing_samples: bool,
    /// Whether a text was being typed in when the last pass ended.
    had_text_focus: bool,
    saved: Settings,
    clock: f64,
}

impl App {
    /// A window over a stage and a chat; `wake` asks for a frame from another thread.
    pub fn new(
        stage: Stage,
        chat: Chat,
        settings: Settings,
        settings_path: Option<PathBuf>,
        wake: Wake,
    ) -> Self {
        let layout = Layout::from_text(settings.layout.as_deref());
        Self {
            saved: settings.clone(),
            settings,
            settings_path,
            docs: Vec::new(),
            turns: HashMap::new(),
            pictures: HashMap::new(),
            current: None,
            exports: Exports::new(Arc::clone(&wake)),
            tasks: Tasks::new(wake),
            what_if: WhatIf::default(),
            scores: None,
            chat,
            stage,
            readings: ValueCache::default(),
            transport: Transport::default(),
            palette: Palette::default(),
            layout: Some(layout),
            help_open: false,
            overlay: None,
            is_narrow: false,
            stage_rect: egui::Rect::ZERO,
            notices: Vec::new(),
            samples: None,
            look: ViewState::default(),
            out: Vec::new(),
            preview: None,
            shown: ViewState::default(),
            rank: 0,
            rank_over_all: false,
            host: Vec::new(),
            take: None,
            editor: None,
            film_dialog: None,
            film_options: super::film::FilmOptions::default(),
            confirm: None,
            prompt: None,
            asks_in_window: false,
            presents: None,
            counters: Counters::default(),
            fade: None,
            next_notice: 0,
            drawing_samples: false,
            had_text_focus: false,
            clock: 0.0,
        }
    }

    /// The document that is looked at.
    pub fn doc(&self) -> Option<&Document> {
        let current = self.current?;
        self.docs.iter().find(|doc| doc.id == current)
    }

    /// The same, to be changed.
    pub fn doc_mut(&mut self) -> Option<&mut Document> {
        let current = self.current?;
        self.docs.iter_mut().find(|doc| doc.id == current)
    }

    /// Sends an intent.
    pub fn send(&mut self, intent: Intent) {
        self.out.push(intent);
    }

    /// Sends a change of the view.
    pub fn command(&mut self, command: Command) {
        self.out.push(Intent::Command(command));
    }

    /// Sends an action.
    pub fn act(&mut self, act: UiCommand) {
        self.out.push(Intent::Ui(act));
    }

    /// Tells the user something.
    pub fn notify(&mut self, text: impl Into<String>, is_error: bool) {
        let text = text.into();
        if self.notices.iter().any(|notice| notice.text == text) {
            return;
        }
        if is_error {
            log::error!("{text}");
        }
        self.next_notice += 1;
        self.notices.push(Notice { id: self.next_notice, text, is_error, since: self.clock });
    }

    /// The patches whose attention colours the token strip: the hovered one, else the chosen ones.
    pub fn active_patches(&self) -> Vec<PatchRef> {
        match self.shown.hovered {
            Some(patch) => vec![patch],
            None => self.shown.selected.clone(),
        }
    }

    /// One pass of one frame.
    pub fn frame(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        self.clock = ctx.input(|input| input.time);
        self.begin(&ctx);
        self.preview = None;
        panels::frame::show(self, ui);
        self.apply_all(&ctx);
        let seen = self.seen();
        if seen != self.shown {
            self.shown = seen;
            ctx.request_discard("the view changed");
        }
        self.had_text_focus = ctx.text_edit_focused();
        if !ctx.will_discard() {
            self.finish(&ctx);
            commands::show::note(self);
        }
    }

    /// What happened since the last frame: the model, the keys, the film.
    fn begin(&mut self, ctx: &egui::Context) {
        self.apply_theme(ctx);
        commands::ask::read_news(self);
        commands::files::read_exports(self, ctx);
        tasks::read_news(self);
        let focus = match (ctx.text_edit_focused(), ctx.egui_wants_keyboard_input()) {
            (true, _) => Focus::Text,
            (false, true) => Focus::Widget,
            (false, false) => Focus::None,
        };
        let pressed = ctx.input(|input| shortcuts::pressed(&input.events, focus));
        // The palette reads its own keys, a menu that is open closes by itself.
        if !self.palette.is_open() && !egui::Popup::is_any_open(ctx) {
            let meant = pressed.into_iter().filter(|act| self.is_meant(*act, focus));
            let meant: Vec<UiCommand> = meant.collect();
            self.out.extend(meant.into_iter().map(Intent::Ui));
        }
        let released = ctx.input(|input| {
            input.pointer.any_released()
                || input
                    .events
                    .iter()
                    .any(|event| matches!(event, egui::Event::Key { pressed: false, .. }))
        });
        if !self.is_asked() {
            commands::files::read_drops(self, ctx);
            commands::files::read_pastes(self, ctx);
        }
        commands::view::tick(self, ctx);
        if let Some(editor) = &mut self.editor {
            editor.tick(self.clock);
            if editor.is_playing() {
                ctx.request_repaint_after(std::time::Duration::from_millis(16));
            }
        }
        self.apply_all(ctx);
        if released && let Some(doc) = self.doc_mut() {
            doc.settle();
        }
        let clock = self.clock;
        self.notices.retain(|notice| notice.is_error || clock - notice.since < NOTICE_SECONDS);
        if self.notices.iter().any(|notice| !notice.is_error) {
            ctx.request_repaint_after(std::time::Duration::from_millis(500));
        }
        self.shown = self.seen();
    }

    /// Whether a question stands over the window.
    const fn is_asked(&self) -> bool {
        self.prompt.is_some() || self.confirm.is_some() || self.film_dialog.is_some()
    }

    /// Whether a key is for the window: not behind a question, and not where Escape only leaves a text.
    fn is_meant(&self, act: UiCommand, focus: Focus) -> bool {
        if self.is_asked() || self.help_open {
            return act == UiCommand::Stop || (act == UiCommand::Help && !self.is_asked());
        }
        // egui has taken the focus away by now.
        let leaves_text = focus == Focus::Text || self.had_text_focus;
        act != UiCommand::Stop || !leaves_text || self.chat.asking.is_some()
    }

    fn apply_theme(&mut self, ctx: &egui::Context) {
        let preference = match self.settings.theme {
            None => egui::ThemePreference::System,
            Some(Theme::Dark) => egui::ThemePreference::Dark,
            Some(Theme::Light) => egui::ThemePreference::Light,
        };
        if ctx.options(|options| options.theme_preference) != preference {
            ctx.set_theme(preference);
        }
        let zoom = self.settings.font_scale * theme::screen_scale(ctx);
        if (ctx.zoom_factor() - zoom).abs() > 0.01 {
            ctx.set_zoom_factor(zoom);
        }
    }

    /// Applies what panels asked for; what is asked for meanwhile is applied too.
    fn apply_all(&mut self, ctx: &egui::Context) {
        while !self.out.is_empty() {
            for intent in std::mem::take(&mut self.out) {
                commands::apply(self, ctx, intent);
            }
        }
    }

    /// The view with the preview, in the window's theme.
    fn seen(&self) -> ViewState {
        let mut state = match (self.doc(), &self.preview) {
            (Some(doc), Some(command)) => doc.preview(command),
            (Some(doc), None) => doc.state().clone(),
            (None, _) => self.look.clone(),
        };
        state.trace = None;
        state
    }

    /// The frame stands: the stage is rendered and settings are kept.
    fn finish(&mut self, ctx: &egui::Context) {
        self.counters.frames += 1;
        let dark = ctx.theme() == egui::Theme::Dark;
        let theme = if dark { Theme::Dark } else { Theme::Light };
        let mut state = ViewState { theme, ..self.shown.clone() };
        if let Some(fade) = &self.fade {
            match fade.at(self.clock) {
                Some(second) => {
                    state.second = Some(second);
                    ctx.request_repaint();
                }
                None => self.fade = None,
            }
        }
        if let Some(editor) = &mut self.editor {
            let (more, error) = editor.draw();
            if more {
                ctx.request_repaint();
            }
            if let Some(error) = error {
                self.notify(error, true);
            }
        }
        let trace = self.doc().map(|doc| Arc::clone(&doc.trace));
        let scale = ctx.pixels_per_point();
        let second = self.what_if.draw_second(self.current, &mut state, &self.stage, scale);
        let drawn = self.stage.draw(&state, trace.as_ref(), second.trace.as_ref(), scale);
        if second.pending {
            ctx.request_repaint();
        }
        if let Some(error) = second.error {
            self.notify(error, true);
        }
        self.counters.stage_draws += u64::from(drawn.drew);
        self.counters.page_uploads += u64::from(drawn.page_uploads);
        if drawn.pending {
            ctx.request_repaint();
        }
        if let Some(error) = drawn.error {
            self.notify(error, true);
        }
        self.keep_settings(false);
    }

    /// Writes the settings if they changed; at the end also the layout.
    pub fn keep_settings(&mut self, ending: bool) {
        if ending && let Some(layout) = &self.layout {
            self.settings.layout = layout.to_text();
        }
        if self.settings == self.saved {
            return;
        }
        self.saved = self.settings.clone();
        if let Some(path) = &self.settings_path
            && let Err(error) = self.settings.save(path)
        {
            self.notify(error.to_string(), true);
        }
    }

    /// Begins to make small pictures of the samples; once.
    pub fn draw_samples(&mut self) {
        if !std::mem::replace(&mut self.drawing_samples, true) {
            self.exports.draw_samples();
        }
    }

    /// Lets go of textures whose device was lost.
    pub fn forget_textures(&mut self) {
        self.samples = None;
        self.drawing_samples = false;
    }

    /// Seconds of the program's clock.
    pub fn now(&self) -> f64 {
        self.clock
    }

    /// The stage shows the view again, where it showed the preview of a walkthrough.
    pub fn show_view(&mut self) {
        if let Some(editor) = &mut self.editor {
            editor.show_view();
        }
    }

    /// Shows a document.
    pub fn show_document(&mut self, id: DocumentId) {
        self.show_view();
        if self.current != Some(id) {
            self.current = Some(id);
            self.rank = 0;
            self.transport.stop();
            self.fade = None;
            // The next question is about the picture that is seen.
            if let Some(picture) = self.pictures.get(&id) {
                self.chat.picture = Some(picture.clone());
            }
        }
    }

    /// Adds a document and shows it.
    pub fn add_document(&mut self, doc: Document) -> DocumentId {
        let id = doc.id;
        self.docs.push(doc);
        self.show_document(id);
        id
    }
}
