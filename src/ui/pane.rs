//! The context that panels read, and the trait that draws them.
//!
//! A panel reads a [`PaneContext`] and sends intents; it changes nothing. State that belongs to one
//! panel alone (a text being typed, the open entry of a list) is a field of the panel.

use super::chat::Chat;
use super::data_set::{DataSetDoc, DataSets};
use super::dialogs::Prompt;
use super::document::Document;
use super::film::{FilmDialog, FilmOptions};
use super::intent::IntentSender;
use super::layout::Overlay;
use super::marking::Marking;
use super::notices::Notice;
use super::picture_strip::PictureStrips;
use super::ranking::Ranked;
use super::samples::{CapturedSample, Sample};
use super::score::Scores;
use super::stage::StageRenderer;
use super::tasks::Task;
use super::thumbnails::Thumbnail;
use super::transport::Transport;
use super::value_cache::{Matrix, ValueCache};
use super::view_recorder::ViewRecorder;
use super::walkthrough::confirm::Lost;
use super::walkthrough::editor::Editor;
use super::what_if::WhatIf;
use crate::analysis::verdict::Verdict;
use crate::settings::Settings;
use crate::trace::PatchRef;
use crate::view::{Command, MapSource, ViewState};
use egui::{Rect, Ui};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a panel may see.
pub struct PaneContext<'a> {
    /// The answered questions, the oldest first.
    pub docs: &'a [Document],
    /// The document that is looked at.
    pub current: Option<&'a Document>,
    /// The open tables over many answers.
    pub data_sets: &'a DataSets,
    /// The drawn view: the document's view with the preview applied.
    pub shown: &'a ViewState,
    /// The look that new documents start with.
    pub look: &'a ViewState,
    /// The numbers of the present view.
    pub values: &'a ValueCache,
    /// The chat and the model.
    pub chat: &'a Chat,
    /// Long work that runs.
    pub tasks: &'a [Task],
    /// Whether a file is being read or written.
    pub is_busy: bool,
    /// Settings that outlive the program.
    pub settings: &'a Settings,
    /// Playback through an axis: its state, axis and speed.
    pub transport: &'a Transport,
    /// Edits, comparisons, changes of the model.
    pub what_if: &'a WhatIf,
    /// The tool that marks objects.
    pub marking: &'a Marking,
    /// The walkthrough that is being made.
    pub editor: Option<&'a Editor>,
    /// The recorder of visited views, while it runs.
    pub recorder: Option<&'a ViewRecorder>,
    /// The deletion and insertion test.
    pub scores: Option<&'a Scores>,
    /// The samples with their small pictures, once they are drawn.
    pub samples: Option<&'a [(egui::TextureHandle, Sample)]>,
    /// The captured sample traces with a small picture each, once they are drawn.
    pub captured_samples: &'a [(egui::TextureHandle, CapturedSample)],
    /// The pictures of bookmarked views, those that were asked for.
    pub thumbnails: &'a [Thumbnail],
    /// The small pictures of answers with several pictures.
    pub picture_strips: &'a PictureStrips,
    /// The rendered view.
    pub stage: &'a StageRenderer,
    /// Rectangle of the stage in the last pass, in points.
    pub stage_rect: Rect,
    /// Messages.
    pub notices: &'a [Notice],
    /// The dialog of film options, while it is open.
    pub film_dialog: Option<&'a FilmDialog>,
    /// Options of the last film.
    pub film_options: &'a FilmOptions,
    /// The work that would be lost, while a question about it is open.
    pub confirm: Option<Lost>,
    /// The open question for a path.
    pub prompt: Option<&'a Prompt>,
    /// Whether the help is open.
    pub help_open: bool,
    /// Whether the palette is open.
    pub palette_open: bool,
    /// The panel that stands over the stage.
    pub overlay: Option<Overlay>,
    /// Positions of the sequence that a panel pointed at in the last pass, ascending: their words are marked.
    pub marked: &'a [u32],
    /// Whether heads are ranked over all open answers of the model.
    pub rank_over_all: bool,
    /// Whether the chosen head is shown in every open answer, in place of the ranking.
    pub shows_answers: bool,
    /// Seconds of the program's clock.
    pub now: f64,
    /// Receiver of the user's intents.
    pub intents: &'a IntentSender,
    /// Receiver of all other results of the pass.
    pub output: &'a PassOutput,
}

/// Results of one pass over the panels that are not intents of the user.
#[derive(Debug, Default)]
pub struct PassOutput {
    /// Change of view that a click at the pointer would make.
    preview: RefCell<Option<Command>>,
    /// Positions of the sequence that the pointer stands for.
    marked: RefCell<Vec<u32>>,
    /// Rectangle of the stage's panel, in points.
    pub stage_rect: Cell<Option<Rect>>,
    /// Samples in a row of the contact sheet.
    pub sheet_columns: Cell<Option<usize>>,
    /// Rectangle of the table over many answers, in points.
    pub data_set_rect: Cell<Option<Rect>>,
    /// Rectangle of the first answer, in points.
    pub first_stage: Cell<Option<Rect>>,
    /// Rectangle of the second answer, in points.
    pub second_stage: Cell<Option<Rect>>,
    /// Height that the token strip needs, in points.
    pub tokens_height: Cell<Option<f32>>,
    /// Size of the walkthrough's preview in pixels.
    pub walkthrough_preview: Cell<Option<[u32; 2]>>,
}

impl PassOutput {
    /// Change of view that a click at the pointer would make.
    pub fn preview(self) -> Option<Command> {
        self.preview.into_inner()
    }

    /// Positions of the sequence that the pointer stands for, ascending.
    pub fn marked(&self) -> Vec<u32> {
        self.marked.take()
    }
}

impl<'a> PaneContext<'a> {
    /// Previews a command while the pointer stays.
    pub fn preview(&self, command: Command) {
        self.output.preview.replace(Some(command));
    }

    /// Marks the words of some positions, ascending, while the pointer stays.
    pub fn mark_positions(&self, positions: &[u32]) {
        self.output.marked.replace(positions.to_vec());
    }

    /// The table that the window shows, in place of an answer.
    pub fn data_set(&self) -> Option<&'a DataSetDoc> {
        self.data_sets.shown()
    }

    /// Whether the stage shows the view, not the preview of a walkthrough.
    pub fn is_view(&self) -> bool {
        self.editor.is_none_or(|editor| !editor.is_previewing)
    }

    /// The numbers of the map on the stage, see [`ValueCache::map`]: in a comparison's difference, the first answer's minus
    /// the second's.
    pub fn map(&self, doc: &Document) -> Arc<Vec<f32>> {
        let mut drawn = self.shown.clone();
        let second = self.what_if.subtract_second(Some(doc.id), &mut drawn);
        self.values.map(doc, &drawn, second.as_deref())
    }

    /// The share of each picture in the attention on the stage; empty if there is one picture only, or another map.
    pub fn picture_shares(&self, doc: &Document) -> BTreeMap<u32, f32> {
        let is_attention =
            self.shown.map.source == MapSource::Attention && !self.shown.is_difference();
        if doc.extent.picture_numbers().len() < 2 || !is_attention {
            return BTreeMap::new();
        }
        doc.meta().picture_sums(&self.map(doc))
    }

    /// The patches whose attention colours the token strip.
    pub fn active_patches(&self) -> Vec<PatchRef> {
        active_patches(self.shown)
    }

    /// The ranking of heads that is in use.
    pub fn ranking(&self, doc: &Document) -> Arc<Vec<Ranked>> {
        self.values.ranking_in_use(self.docs, doc, self.shown, self.rank_over_all)
    }

    /// The verdict about the word of an answer token, once it was measured.
    pub fn verdict(&self, doc: &Document, token: u32) -> Option<Verdict> {
        if !doc.trace.has_blank_logprobs() {
            return None;
        }
        let words = self.values.evidence(doc, doc.state());
        let word = words.iter().find(|word| word.tokens.iter().any(|own| own.0 == token))?;
        word.evidence.verdict(&self.settings.verdict)
    }

    /// The layer × head matrix of a view of a document. The change of a comparison is measured against its second
    /// answer, unless another map is pinned.
    pub fn matrix(&self, doc: &Document, state: &ViewState) -> Arc<Matrix> {
        let mut state = state.clone();
        let second = self.what_if.second_of_matrix(doc.id, &mut state);
        self.values.matrix(doc, &state, second.as_deref())
    }
}

/// The patches whose attention the panels show: the hovered one, else the chosen ones.
pub fn active_patches(state: &ViewState) -> Vec<PatchRef> {
    match state.hovered {
        Some(patch) => vec![patch],
        None => state.selected.clone(),
    }
}

/// A panel.
pub trait PaneUi {
    /// Draws the panel.
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui);
}
