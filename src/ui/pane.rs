//! The context that panels read, and the trait that draws them.
//!
//! A panel reads a [`PaneContext`] and sends intents; it changes nothing. State that belongs to one
//! panel alone (a text being typed, the open entry of a list) is a field of the panel.

use super::chat::Chat;
use super::dialogs::Prompt;
use super::document::Document;
use super::film::{FilmDialog, FilmOptions};
use super::intent::{Intent, IntentSender};
use super::layout::Overlay;
use super::notices::Notice;
use super::samples::Sample;
use super::score::Scores;
use super::shortcuts::UiCommand;
use super::stage::StageRenderer;
use super::tasks::Task;
use super::transport::Transport;
use super::value_cache::{Ranked, ValueCache};
use super::view_recorder::ViewRecorder;
use super::walkthrough::confirm::Lost;
use super::walkthrough::editor::Editor;
use super::what_if::WhatIf;
use crate::settings::Settings;
use crate::trace::PatchRef;
use crate::view::{Command, ViewState};
use egui::{Rect, Ui};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Everything that a panel may see.
pub struct PaneContext<'a> {
    /// The answered questions, the oldest first.
    pub docs: &'a [Document],
    /// The one that is looked at.
    pub current: Option<&'a Document>,
    /// What is seen: its view with the preview.
    pub shown: &'a ViewState,
    /// The look that new documents start with.
    pub look: &'a ViewState,
    /// Numbers of what is seen.
    pub values: &'a ValueCache,
    /// The chat and the model.
    pub chat: &'a Chat,
    /// Long work that runs.
    pub tasks: &'a [Task],
    /// Whether a file is being read or written.
    pub is_busy: bool,
    /// What is remembered.
    pub settings: &'a Settings,
    /// What is played, and how fast.
    pub transport: &'a Transport,
    /// Edits, comparisons, changes of the model.
    pub what_if: &'a WhatIf,
    /// The walkthrough that is being made.
    pub editor: Option<&'a Editor>,
    /// The recording of what is done.
    pub recorder: Option<&'a ViewRecorder>,
    /// The deletion and insertion test.
    pub scores: Option<&'a Scores>,
    /// The samples with their small pictures, once they are drawn.
    pub samples: Option<&'a [(egui::TextureHandle, Sample)]>,
    /// The rendered view.
    pub stage: &'a StageRenderer,
    /// Where the stage was in the last pass, in points.
    pub stage_rect: Rect,
    /// Messages.
    pub notices: &'a [Notice],
    /// How a film is to be recorded, while that is asked.
    pub film_dialog: Option<&'a FilmDialog>,
    /// How the last film was recorded.
    pub film_options: &'a FilmOptions,
    /// What would be lost, while that is asked.
    pub confirm: Option<Lost>,
    /// A path that is asked for in the window.
    pub prompt: Option<&'a Prompt>,
    /// Whether the help is open.
    pub help_open: bool,
    /// Whether the palette is open.
    pub palette_open: bool,
    /// The panel that stands over the stage.
    pub overlay: Option<Overlay>,
    /// Whether heads are ranked over all open answers of the model.
    pub rank_over_all: bool,
    /// Seconds of the program's clock.
    pub now: f64,
    /// Takes what the user asks for.
    pub intents: &'a IntentSender,
    /// Takes what a pass decides besides.
    pub output: &'a PassOutput,
}

/// Results of one pass over the panels that are not intents of the user.
#[derive(Debug, Default)]
pub struct PassOutput {
    /// What a click at the pointer would do.
    preview: RefCell<Option<Command>>,
    /// Where the stage's panel is.
    pub stage_rect: Cell<Option<Rect>>,
    /// Where the first answer is drawn.
    pub first_stage: Cell<Option<Rect>>,
    /// Where the second answer is drawn.
    pub second_stage: Cell<Option<Rect>>,
    /// How large the preview of a walkthrough is drawn, in pixels.
    pub walkthrough_preview: Cell<Option<[u32; 2]>>,
}

impl PassOutput {
    /// What a click at the pointer would do.
    pub fn preview(self) -> Option<Command> {
        self.preview.into_inner()
    }
}

impl<'a> PaneContext<'a> {
    /// Sends an intent.
    pub fn send(&self, intent: Intent) {
        self.intents.send(intent);
    }

    /// Sends a change of the view.
    pub fn command(&self, command: Command) {
        self.intents.send(Intent::Command(command));
    }

    /// Sends a command of the table.
    pub fn act(&self, act: UiCommand) {
        self.intents.send(Intent::Ui(act));
    }

    /// Shows what a command would do, while the pointer stays.
    pub fn preview(&self, command: Command) {
        self.output.preview.replace(Some(command));
    }

    /// Whether the stage shows the view, not the preview of a walkthrough.
    pub fn is_view(&self) -> bool {
        self.editor.is_none_or(|editor| !editor.is_previewing)
    }

    /// The patches whose attention colours the token strip.
    pub fn active_patches(&self) -> Vec<PatchRef> {
        active_patches(self.shown)
    }

    /// The ranking of heads that is in use.
    pub fn ranking(&self, doc: &Document) -> Arc<Vec<Ranked>> {
        self.values.ranking_in_use(self.docs, doc, self.rank_over_all)
    }
}

/// The patches that a view asks about: the hovered one, else the chosen ones.
pub fn active_patches(state: &ViewState) -> Vec<PatchRef> {
    match state.hovered {
        Some(patch) => vec![patch],
        None => state.selected.clone(),
    }
}

/// A panel.
pub trait PaneUi {
    /// Draws it.
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui);
}
