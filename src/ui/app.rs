//! The window's state, and the few changes that all commands share. [`super::frame`] decides what is drawn
//! and when; [`super::commands`] carries out commands.

use super::causes::Causes;
use super::chat::Chat;
use super::closed::Closed;
use super::data_set::{DataSets, SampleId};
use super::dialogs::Prompt;
use super::document::{Document, DocumentId};
use super::documents::Documents;
use super::exports::Exports;
use super::film::{FilmDialog, FilmOptions};
use super::intent::{Intent, IntentSender};
use super::layout::{Layout, Overlay};
use super::marking::Marking;
use super::model_feed::Wake;
use super::notices::Notice;
use super::picture_strip::PictureStrips;
use super::present::options::PresentOptions;
use super::samples::{CapturedSample, Sample};
use super::score::Scores;
use super::session::{Found, Keeper, MissingAnswer};
use super::stage::StageRenderer;
use super::task_result::PathPurpose;
use super::tasks::Tasks;
use super::thumbnails::Thumbnail;
use super::transition::Transition;
use super::transport::Transport;
use super::value_cache::ValueCache;
use super::view_recorder::ViewRecorder;
use super::walkthrough::confirm::Confirm;
use super::walkthrough::editor::Editor;
use super::what_if::WhatIf;
use super::wording::in_window;
use crate::model::{Picture, Turn};
use crate::settings::Settings;
use crate::view::{Command, ViewState};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Seconds that a message without buttons is shown.
const NOTICE_SECONDS: f64 = 4.0;
/// Seconds that an offer to undo something is shown.
const OFFER_SECONDS: f64 = 12.0;

/// Requests that only the host window can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRequest {
    /// Full screen, or back.
    ToggleFullScreen,
    /// Ends the program.
    Quit,
    /// Reads a picture from the clipboard.
    PastePicture,
}

/// Counters that the tests of performance rules read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames in which the stage was drawn anew.
    pub stage_draws: u64,
    /// Token pages uploaded because they were needed.
    pub page_uploads: u64,
    /// Frames of the window.
    pub frames: u64,
}

/// The window's state.
pub struct App {
    /// Settings that outlive the program.
    pub settings: Settings,
    /// File of the settings; `None` writes none.
    pub settings_path: Option<PathBuf>,
    /// The answered questions, the oldest first.
    pub docs: Documents,
    /// The open tables over many answers.
    pub data_sets: DataSets,
    /// The conversation before each document's question.
    pub turns: HashMap<DocumentId, Vec<Turn>>,
    /// The picture that each document's question was about.
    pub pictures: HashMap<DocumentId, Picture>,
    /// The document that is looked at.
    pub current: Option<DocumentId>,
    /// The chat and the model.
    pub chat: Chat,
    /// The rendered view.
    pub stage: StageRenderer,
    /// The numbers of the present view.
    pub value_cache: ValueCache,
    /// Playback through an axis: its state, axis and speed.
    pub transport: Transport,
    /// Whether the palette is open.
    pub palette_open: bool,
    /// Files that are being opened and saved.
    pub exports: Exports,
    /// Long work that is no question.
    pub tasks: Tasks,
    /// Edits, comparisons and interventions.
    pub what_if: WhatIf,
    /// The tool that marks objects.
    pub marking: Marking,
    /// Curves of the deletion and insertion test.
    pub scores: Option<Scores>,
    /// Causal graphs that were asked for.
    pub causes: Causes,
    /// The docked panels; `None` only while they are drawn.
    pub layout: Option<Layout>,
    /// Whether the help is open.
    pub help_open: bool,
    /// The panel that stands over the stage.
    pub overlay: Option<Overlay>,
    /// Whether the side panels stand over the stage.
    pub is_narrow: bool,
    /// Rectangle of the stage in points.
    pub stage_rect: egui::Rect,
    /// Samples in a row of the contact sheet.
    pub sheet_columns: usize,
    /// Rectangle of the table over many answers in points.
    pub data_set_rect: egui::Rect,
    /// Height that the token strip needs, in points.
    pub tokens_height: f32,
    /// Messages.
    pub notices: Vec<Notice>,
    /// The built-in pictures with a small copy each, once they are drawn.
    pub samples: Option<Vec<(egui::TextureHandle, Sample)>>,
    /// The captured sample traces with a small picture each, once they are drawn.
    pub captured_samples: Vec<(egui::TextureHandle, CapturedSample)>,
    /// The pictures of bookmarked views, those that were asked for.
    pub thumbnails: Vec<Thumbnail>,
    /// The small pictures of answers with several pictures.
    pub picture_strips: PictureStrips,
    /// The look that new documents start with.
    pub look: ViewState,
    /// Intents that are not carried out yet.
    pub intents: IntentSender,
    /// Change of view that a click at the pointer would make, previewed while the pointer stays.
    pub preview: Option<Command>,
    /// Positions of the sequence whose words are marked while the pointer stays, ascending.
    pub marked: Vec<u32>,
    /// Whether a key was pressed since the pointer moved last: until it moves again, nothing is previewed.
    pub(super) is_preview_over: bool,
    /// The drawn view: the document's view with the preview applied.
    pub shown: ViewState,
    /// Position in the ranking from which [`NextBestHead`](super::shortcuts::UiCommand::NextBestHead) goes on.
    pub rank: usize,
    /// Whether heads are ranked over all open traces of the model.
    pub rank_over_all: bool,
    /// Whether the chosen head is shown in every open answer, in place of the ranking.
    pub shows_answers: bool,
    /// Requests to the host window.
    pub host: Vec<HostRequest>,
    /// The recorder of visited views, while it runs.
    pub take: Option<ViewRecorder>,
    /// The walkthrough that is being made.
    pub editor: Option<Editor>,
    /// The dialog of film options, while it is open.
    pub film_dialog: Option<FilmDialog>,
    /// Options of the last film.
    pub film_options: FilmOptions,
    /// The open question before a command that would lose the walkthrough.
    pub confirm: Option<Confirm>,
    /// The open question for a path.
    pub prompt: Option<Prompt>,
    /// Purpose of that path.
    pub prompt_purpose: Option<PathPurpose>,
    /// Asks for paths in the window, even if the desktop has file dialogs.
    pub asks_in_window: bool,
    /// The next presentation for the window to open.
    pub presents: Option<Box<PresentOptions>>,
    /// The autosave of the session; `None` keeps none.
    pub keeper: Option<Keeper>,
    /// Sessions of windows that have ended, which the user may still open.
    pub waiting: Vec<Found>,
    /// Answers of the session whose trace files are missing.
    pub missing: Vec<MissingAnswer>,
    /// Closed items that can be brought back, the latest last.
    pub closed: Vec<Closed>,
    /// Whether the last action closed something: undo then brings it back.
    pub(super) closed_last: bool,
    /// The answer to the question that the program asked by itself.
    pub(super) automatic: Option<DocumentId>,
    /// When files of documents were last looked at, in seconds of the program's clock.
    pub(super) looked_at_files: f64,
    /// The document and the one of its pictures that the next question is about.
    pub(super) followed_picture: Option<(DocumentId, u32)>,
    /// Counters that tests of performance rules read.
    pub counters: Counters,
    pub(super) transition: Option<Transition>,
    next_notice: u64,
    /// Messages about characters that no font has; each is told once.
    pub(super) told_glyphs: Vec<String>,
    pub(super) drawing_samples: bool,
    /// Whether a text was being typed in when the last pass ended.
    pub(super) had_text_focus: bool,
    saved: Settings,
    /// Seconds of the program's clock.
    pub(super) clock: f64,
}

impl App {
    /// A window over a stage and a chat; `wake` asks for a frame from another thread.
    pub fn new(
        stage: StageRenderer,
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
            docs: Documents::default(),
            data_sets: DataSets::new(Arc::clone(&wake)),
            turns: HashMap::new(),
            pictures: HashMap::new(),
            current: None,
            exports: Exports::new(Arc::clone(&wake)),
            tasks: Tasks::new(wake),
            what_if: WhatIf::default(),
            marking: Marking::default(),
            scores: None,
            causes: Causes::default(),
            chat,
            stage,
            value_cache: ValueCache::default(),
            transport: Transport::default(),
            palette_open: false,
            layout: Some(layout),
            help_open: false,
            overlay: None,
            is_narrow: false,
            stage_rect: egui::Rect::ZERO,
            sheet_columns: 1,
            data_set_rect: egui::Rect::ZERO,
            tokens_height: 0.0,
            notices: Vec::new(),
            samples: None,
            captured_samples: Vec::new(),
            thumbnails: Vec::new(),
            picture_strips: PictureStrips::default(),
            look: ViewState::default(),
            intents: IntentSender::default(),
            preview: None,
            marked: Vec::new(),
            is_preview_over: false,
            shown: ViewState::default(),
            rank: 0,
            rank_over_all: false,
            shows_answers: false,
            host: Vec::new(),
            take: None,
            editor: None,
            film_dialog: None,
            film_options: FilmOptions::default(),
            confirm: None,
            prompt: None,
            prompt_purpose: None,
            asks_in_window: false,
            presents: None,
            keeper: None,
            waiting: Vec::new(),
            missing: Vec::new(),
            closed: Vec::new(),
            closed_last: false,
            automatic: None,
            looked_at_files: 0.0,
            followed_picture: None,
            counters: Counters::default(),
            transition: None,
            next_notice: 0,
            told_glyphs: Vec::new(),
            drawing_samples: false,
            had_text_focus: false,
            clock: 0.0,
        }
    }

    /// The document that is looked at.
    pub fn doc(&self) -> Option<&Document> {
        self.docs.get(self.current?)
    }

    /// The document that is looked at, mutable.
    pub fn doc_mut(&mut self) -> Option<&mut Document> {
        self.docs.get_mut(self.current?)
    }

    /// Shows a message, in the words of the window and with its buttons, see [`in_window`].
    pub fn notify(&mut self, text: impl Into<String>, is_error: bool) {
        let (text, offers) = in_window(&text.into());
        if self.notices.iter().any(|notice| notice.text == text) {
            return;
        }
        if is_error {
            log::error!("{text}");
        }
        let seconds = (!is_error && offers.is_empty()).then_some(NOTICE_SECONDS);
        self.add_notice(text, is_error, offers, seconds);
    }

    /// Shows a message with buttons.
    pub fn offer(&mut self, text: String, offers: Vec<(&'static str, Intent)>) {
        self.add_notice(text, false, offers, None);
    }

    /// Shows a message with buttons for a while.
    pub fn offer_briefly(&mut self, text: String, offers: Vec<(&'static str, Intent)>) {
        self.add_notice(text, false, offers, Some(OFFER_SECONDS));
    }

    fn add_notice(
        &mut self,
        text: String,
        is_error: bool,
        offers: Vec<(&'static str, Intent)>,
        seconds: Option<f64>,
    ) {
        self.next_notice += 1;
        let (id, since) = (self.next_notice, self.clock);
        self.notices.push(Notice { id, text, is_error, offers, since, seconds });
    }

    /// Whether an open question covers the window.
    pub const fn is_asked(&self) -> bool {
        self.prompt.is_some() || self.confirm.is_some() || self.film_dialog.is_some()
    }

    /// The view with the preview, whatever trace it names.
    pub fn seen(&self) -> ViewState {
        let mut state = match (self.doc(), &self.preview) {
            (Some(doc), Some(command)) => doc.preview(command),
            (Some(doc), None) => doc.state().clone(),
            (None, _) => self.look.clone(),
        };
        state.trace = None;
        state
    }

    /// Writes the settings if they changed; at the end also the layout.
    pub fn keep_settings(&mut self, ending: bool) {
        if ending && let Some(layout) = &self.layout {
            self.settings.layout = layout.to_text();
        }
        if self.settings == self.saved {
            return;
        }
        if let Some(path) = self.settings_path.clone()
            && let Err(error) = self.settings.save_changes(&self.saved, &path)
        {
            self.notify(error.to_string(), true);
        }
        self.saved = self.settings.clone();
    }

    /// Drops textures of a device that was lost.
    pub fn forget_textures(&mut self) {
        self.samples = None;
        self.captured_samples.clear();
        self.thumbnails.clear();
        self.picture_strips.clear();
        self.data_sets.forget_textures();
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
        self.data_sets.is_shown = false;
        if self.current != Some(id) {
            self.current = Some(id);
            self.rank = 0;
            self.transport.stop();
            self.transition = None;
            // The next question is about the shown picture.
            if let Some(picture) = self.pictures.get(&id).cloned() {
                match self.docs.get(id).is_some_and(|doc| doc.is_edited) {
                    // The suggested questions about a picture stay for its edited form.
                    true => self.chat.picture = Some(picture),
                    false => self.chat.set_picture(Some(picture)),
                }
            }
        }
    }

    /// Shows an answer as that of a sample, under the heads that are chosen in its table.
    pub fn show_answer_of(&mut self, id: DocumentId, sample: SampleId) {
        self.data_sets.came_from = true;
        self.data_sets.link(id, sample);
        self.show_document(id);
        let heads = self.data_sets.sample_of(id).map(|(table, _)| table.view().heads.clone());
        if let (Some(doc), Some(heads)) =
            (self.docs.get_mut(id), heads.filter(|all| !all.is_empty()))
            && let Err(error) = doc.apply(&Command::SetHeadSet(heads))
        {
            // A sample that is asked again may be answered by a model with fewer heads.
            log::debug!("the heads of the table: {error}");
        }
    }

    /// Shows the chat: on a narrow window it stands over the stage.
    pub fn show_chat(&mut self) {
        match self.is_narrow {
            true => self.overlay = Some(Overlay::Chat),
            false => self.settings.show_chat = true,
        }
    }

    /// Adds a document and shows it.
    pub fn add_document(&mut self, mut doc: Document) -> DocumentId {
        // Objects stay with their picture: another question about it asks about the same objects.
        if let Some(shown) = self.doc().filter(|shown| shown.has_same_picture(&doc)) {
            doc.mark_objects_of(shown.state());
        }
        let id = self.docs.add(doc);
        self.show_document(id);
        id
    }
}
