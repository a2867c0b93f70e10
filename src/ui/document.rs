//! A trace that is looked at, with its view and the view's history.
//!
//! A question that is being answered is a document too: its trace is replaced by a longer one with
//! every token, and the view follows the newest token until the user takes over.

use crate::settings::Bookmark;
use crate::trace::{FileStamp, Trace, TraceId, TraceMeta};
use crate::view::figure::{caption, text_of};
use crate::view::{AxisSet, Bounds, Command, History, Queries, ViewKind, ViewState, salient_token};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Distinguishes documents, also those of other windows and of earlier sessions: bookmarks and sessions name an answer
/// without a file by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(u64);

impl DocumentId {
    /// Numbers are shortened so that TOML, whose integers have a sign, can hold them.
    const BITS: u32 = 48;

    fn fresh() -> Self {
        // Each `RandomState` has its own keys, from the system's random numbers.
        Self(RandomState::new().hash_one(()) >> (u64::BITS - Self::BITS))
    }

    /// The identity of a number that [`Self::number`] returned.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// As a number, for modules that may not use documents.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A trace that is looked at.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its identity.
    pub id: DocumentId,
    /// Counts the replacements of the trace while it grows.
    pub version: u64,
    /// The trace.
    pub trace: Arc<Trace>,
    /// Dimensions of the trace.
    pub extent: Arc<Bounds>,
    /// The view and what came before it; shared, so that a document is cheap to clone.
    pub history: Arc<History>,
    /// File that the trace was read from or saved to.
    pub path: Option<PathBuf>,
    /// Identity of the trace in that file; differs from `trace` if a map was added since.
    pub in_file: Option<TraceId>,
    /// Stamp of that file when it was last read, written or checked for changes.
    pub stamp: Option<FileStamp>,
    /// Whether tokens are still arriving.
    pub live: bool,
    /// Whether the view follows the newest token.
    pub follow: bool,
    /// Whether the picture was edited in the window before the question was asked.
    pub is_edited: bool,
    /// Whether parts of its attention had not arrived from another machine when the trace was set.
    pub is_incomplete: bool,
    /// Whether it was said that the rest of its attention will not arrive.
    pub is_told_lost: bool,
}

/// Whether computed maps were added to the file of their answer.
#[derive(Clone, Debug, Default)]
pub enum InFile {
    /// The answer has no file.
    #[default]
    NoFile,
    /// The stamp of the file after it was written; `None` if it is gone since.
    Written(Option<FileStamp>),
    /// The file could not be written; the error.
    Failed(String),
}

impl Document {
    /// A finished trace under its first view.
    pub fn new(trace: Arc<Trace>, look: &ViewState) -> Self {
        let extent = Arc::new(Bounds::from_trace(&trace));
        let state = first_view(&trace, &extent, look);
        Self {
            id: DocumentId::fresh(),
            version: 0,
            path: trace.path().map(std::path::Path::to_owned),
            in_file: trace.path().map(|_| trace.id()),
            stamp: trace.stamp(),
            is_incomplete: trace.has_holes(),
            is_told_lost: false,
            trace,
            extent,
            history: Arc::new(History::new(state)),
            live: false,
            follow: false,
            is_edited: false,
        }
    }

    /// A trace whose answer is still being generated.
    pub fn live(trace: Arc<Trace>, look: &ViewState) -> Self {
        Self { live: true, follow: true, ..Self::new(trace, look) }
    }

    /// Whether a bookmark is a view of this trace.
    pub fn is_of(&self, bookmark: &Bookmark) -> bool {
        bookmark.document == Some(self.id.number())
            || (bookmark.trace.is_some() && self.path == bookmark.trace)
    }

    /// The view.
    pub fn state(&self) -> &ViewState {
        self.history.state()
    }

    /// The text by which sets of heads find their model.
    pub fn model_key(&self) -> String {
        let sha = &self.meta().model.bundle_sha;
        if sha.is_empty() { self.model_name().to_owned() } else { sha.clone() }
    }

    /// The model's name, or its class if it has none.
    pub fn model_name(&self) -> &str {
        let model = &self.meta().model;
        if model.name.is_empty() { &model.model_class } else { &model.name }
    }

    /// The file name of the picture; that of the trace if pictures came without names.
    pub fn picture_name(&self) -> String {
        let Some(picture) = self.meta().preprocess.first() else { return "no picture".into() };
        let of_trace = self.path.as_deref().and_then(std::path::Path::file_name);
        match (picture.file_name.as_str(), of_trace) {
            ("", Some(name)) => name.to_string_lossy().into_owned(),
            ("", None) => "unnamed picture".into(),
            (name, _) => name.to_owned(),
        }
    }

    /// Whether both are about the same pictures.
    pub fn has_same_picture(&self, other: &Self) -> bool {
        let first = self.trace.picture_original(0);
        let is_same = first.is_some() && first == other.trace.picture_original(0);
        is_same && self.extent.pictures() == other.extent.pictures()
    }

    /// Whether both answer the same question about the same pictures.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let prompt = |doc: &Self| doc.meta().prompt_len();
        let tokens = |doc: &Self| doc.meta().tokens.get(..prompt(doc)).map(<[_]>::to_vec);
        self.has_same_picture(other) && tokens(self) == tokens(other)
    }

    /// Marks the objects of another view, without an undo step.
    pub fn mark_objects_of(&mut self, other: &ViewState) {
        if other.objects.is_empty() {
            return;
        }
        let mut state = self.state().clone();
        (state.objects, state.object) = (other.objects.clone(), other.object);
        if other.object.is_some() {
            state.set_quantity(other.quantity);
        }
        if self.extent.check(&state, None).is_ok() {
            self.history = Arc::new(History::new(state));
        }
    }

    /// The ids of template, picture and question.
    pub fn prompt_ids(&self) -> Vec<u32> {
        let tokens = self.meta().tokens.get(..self.meta().prompt_len()).unwrap_or_default();
        tokens.iter().map(|token| token.id).collect()
    }

    /// The metadata.
    pub fn meta(&self) -> &TraceMeta {
        self.trace.meta()
    }

    /// Default note of a view: its caption.
    pub fn automatic_note(&self, state: &ViewState) -> String {
        text_of(&caption(state, self.meta(), None, None))
    }

    /// Shows a view of an earlier session with its undo steps, if it fits the trace. A step that does not fit is left
    /// out with all that are further away.
    pub fn restore(&mut self, state: ViewState, past: Vec<ViewState>, future: Vec<ViewState>) {
        let fits = |state: &ViewState| self.extent.check(state, None).is_ok();
        if !fits(&state) {
            return;
        }
        let near = |mut steps: Vec<ViewState>| {
            let unfit = steps.iter().rposition(|step| !fits(step));
            steps.split_off(unfit.map_or(0, |at| at + 1))
        };
        self.history = Arc::new(History::restored(near(past), state, near(future)));
    }

    /// Replaces the trace by a longer one of the same answer; the view stays, or follows the newest token.
    pub fn replace(&mut self, trace: Arc<Trace>, live: bool) {
        self.extent = Arc::new(Bounds::from_trace(&trace));
        self.is_incomplete = trace.has_holes();
        self.trace = trace;
        self.live = live;
        self.version += 1;
        if self.follow {
            let answer = if live {
                self.extent.answers.saturating_sub(1)
            } else {
                salient_token(&self.trace)
            };
            let mut state = self.state().clone();
            state.map.queries = Queries::answer(answer);
            // Following the answer is no action of the user: it leaves no undo step.
            if self.extent.check(&state, None).is_ok() {
                self.history = Arc::new(History::new(state));
            }
        }
        self.follow &= live;
        if self.extent.check(self.state(), None).is_err() {
            let state = first_view(&self.trace, &self.extent, self.state());
            self.history = Arc::new(History::new(state));
        }
    }

    /// Applies a command; true if the view changed. A failed command says why.
    pub fn apply(&mut self, command: &Command) -> Result<bool, crate::view::ViewError> {
        let chooses_queries =
            matches!(command, Command::SetQueries(_) | Command::StepQuery(_) | Command::Replace(_));
        self.follow &= !chooses_queries;
        Arc::make_mut(&mut self.history).apply(command, &self.extent)
    }

    /// Steps back; false at the start.
    pub fn undo(&mut self) -> bool {
        self.follow = false;
        Arc::make_mut(&mut self.history).undo()
    }

    /// Steps forward again; false at the end.
    pub fn redo(&mut self) -> bool {
        self.follow = false;
        Arc::make_mut(&mut self.history).redo()
    }

    /// The next command is a step of its own.
    pub fn settle(&mut self) {
        Arc::make_mut(&mut self.history).settle();
    }

    /// The state that a command would lead to; the present one where it does not fit.
    pub fn preview(&self, command: &Command) -> ViewState {
        command.apply(self.state(), &self.extent).unwrap_or_else(|_| self.state().clone())
    }
}

/// The first view of a trace: the given look for the answer token that `salient_token` chooses.
/// Layers or heads that the trace lacks become the mean of all.
fn first_view(trace: &Trace, extent: &Bounds, look: &ViewState) -> ViewState {
    let mut state = look.clone();
    state.trace = None;
    state.second = None;
    state.hovered = None;
    state.selected.clear();
    state.objects.clear();
    state.object = None;
    state.matrix_range = None;
    state.radius = None;
    state.map.head_set = state.map.head_set.filter(|set| {
        set.heads()
            .iter()
            .all(|&[layer, head]| extent.model.layer_index(layer).is_some() && head < extent.heads)
    });
    if extent.lacks(&state, state.quantity).is_some() {
        let shown = extent.quantities(&state).first().copied();
        state.set_quantity(shown.unwrap_or_default());
    }
    state.camera = crate::view::Camera::default();
    state.caption.text = None;
    let first = extent.picture_numbers().first().copied().unwrap_or(0);
    (state.picture.index, state.picture.view) = (first, None);
    state.map.source = crate::view::MapSource::Attention;
    state.map.queries = Queries::answer(salient_token(trace));
    let fits = |set: &AxisSet, has: &dyn Fn(u32) -> bool| {
        set.named().is_none_or(|named| named.iter().all(|&number| has(number)))
    };
    let has_layer = |layer: u32| extent.model.layer_index(layer).is_some();
    let has_head = |head: u32| head < extent.heads;
    if !fits(&state.map.layers, &has_layer) || !fits(&state.map.heads, &has_head) {
        (state.map.layers, state.map.heads) = (AxisSet::MEAN, AxisSet::MEAN);
    }
    if extent.grids.is_empty() {
        state.view = ViewKind::TokenMatrix;
    } else if extent.picture_numbers().len() > 1
        && matches!(state.view, ViewKind::Overlay | ViewKind::Pictures)
    {
        state.view = ViewKind::Pictures;
    } else if !state.view.spec().can_open {
        state.view = ViewKind::Overlay;
    }
    state
}
