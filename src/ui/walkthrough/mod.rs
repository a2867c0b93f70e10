//! The walkthrough that is being made: noted from what is done, made of bookmarks, of an answer, or
//! opened; then trimmed, re-timed, captioned, previewed, saved.
//!
//! The decision here: what is edited is the same [`Walkthrough`] that files hold and films are made
//! of, and every change of it is an [`Edit`] in a history of its own. While the preview is seen, keys
//! (space, arrows, undo, save) mean the walkthrough; on the stage they mean the view.

mod make;
mod preview;
mod save;
mod trace_set;

pub use make::{from_bookmarks, from_take, of_answer, open, tour_of_answer};
pub use save::{Answer, Confirm, Lost, answer, save, unless_recording, unless_unsaved};
pub use trace_set::TraceSet;

use super::app::{App, Intent};
use super::document::Document;
use super::shortcuts::UiCommand;
use super::what_if::Compare;
use crate::record::Unpacked;
use crate::view::timeline::{Card, Edit, Step, Timeline, Walkthrough};
use crate::view::{Command, Mix, Second, Undo, ViewState};
use preview::Preview;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The type scale of steps that are made in the window, where no other step says it.
const TEXT_SCALE: f64 = 1.25;

/// What is selected: what the fields are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The card before the first step.
    Title,
    /// A step, counted from 0.
    Step(usize),
    /// The card after the last step.
    End,
}

/// What is asked for with arguments; the rest are [`UiCommand`]s.
#[derive(Clone, Debug, PartialEq)]
pub enum WalkthroughCommand {
    /// A change.
    Edit(Edit),
    /// A stop stays for so many seconds.
    Hold(Stop, f64),
    /// A gesture ended: the next change is an undo step of its own.
    Settle,
    /// Selects a stop and goes to where it has arrived.
    Select(Stop),
    /// Goes to a time.
    Seek(f64),
    /// Shows time larger or smaller than usual.
    Zoom(f32),
    /// Brings a step's view to the stage, to be changed there.
    ShowView(usize),
    /// Undoes or redoes the last change of the walkthrough.
    Undo,
    Redo,
}

/// A walkthrough that is being made.
pub struct Editor {
    /// Tells it from the ones before and after it.
    id: u64,
    draft: Undo<Walkthrough>,
    /// What the file holds; `None` before it was saved.
    saved: Option<Walkthrough>,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Its traces.
    pub cast: TraceSet,
    /// Where an opened pack was unpacked.
    _unpacked: Option<Unpacked>,
    selected: Stop,
    /// Where the play head is.
    at_secs: f64,
    /// When the play head would have been at 0, while it runs.
    plays_since: Option<f64>,
    /// Whether the stage shows the walkthrough, not the view.
    pub is_previewing: bool,
    /// Points a second, relative to the usual.
    pub zoom: f32,
    preview: Preview,
}

impl Editor {
    /// Begins with a walkthrough, which stands in a file or not.
    pub fn new(app: &App, walkthrough: Walkthrough, cast: TraceSet, is_of_file: bool) -> Self {
        // What was read from a file is in it, even where that is not written to.
        let saved = is_of_file.then(|| walkthrough.clone());
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut editor = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            draft: Undo::new(walkthrough),
            saved,
            path: None,
            cast,
            _unpacked: None,
            selected: Stop::Step(0),
            at_secs: 0.0,
            plays_since: None,
            is_previewing: true,
            zoom: 1.0,
            preview: Preview::new(app),
        };
        editor.select(Stop::Step(0));
        editor
    }

    /// The walkthrough.
    pub const fn walkthrough(&self) -> &Walkthrough {
        self.draft.present()
    }

    /// Whether the file holds something else, or there is none.
    pub fn is_unsaved(&self) -> bool {
        self.saved.as_ref() != Some(self.walkthrough())
    }

    /// Whether it can be undone and redone.
    pub const fn can_undo_redo(&self) -> [bool; 2] {
        [self.draft.can_undo(), self.draft.can_redo()]
    }

    /// What is selected.
    pub const fn selected(&self) -> Stop {
        self.selected
    }

    /// The number of what is selected in the timeline.
    pub fn selected_number(&self) -> usize {
        stop_number(&Timeline::new(self.walkthrough()), self.selected)
    }

    /// The number and the step that are selected.
    pub fn selected_step(&self) -> Option<(usize, &Step)> {
        let Stop::Step(at) = self.selected else { return None };
        Some((at, self.walkthrough().steps.get(at)?))
    }

    /// Where the play head is, in seconds.
    pub const fn at_secs(&self) -> f64 {
        self.at_secs
    }

    /// Whether it plays.
    pub const fn is_playing(&self) -> bool {
        self.plays_since.is_some()
    }

    /// What it is called.
    pub fn name(&self) -> String {
        let name = self.path.as_ref().and_then(|path| path.file_name());
        name.map_or_else(|| "untitled walkthrough".into(), |name| name.to_string_lossy().into())
    }

    /// Applies a change.
    pub fn edit(&mut self, edit: &Edit) {
        let next = self.walkthrough().edited(edit);
        if next == *self.walkthrough() {
            return;
        }
        self.plays_since = None;
        self.draft.put(next, edit.merges_as());
        let selected = match *edit {
            Edit::Add(at, _) => Stop::Step(at),
            Edit::Duplicate(at) => Stop::Step(at + 1),
            Edit::Move(_, to) => Stop::Step(to),
            Edit::Title(Some(_)) => Stop::Title,
            Edit::End(Some(_)) => Stop::End,
            Edit::Trim(_) => Stop::Step(0),
            _ => self.selected,
        };
        self.select(selected);
    }

    /// The stage shows the view, not the walkthrough.
    pub const fn show_view(&mut self) {
        self.is_previewing = false;
        self.plays_since = None;
    }

    /// Steps back or forward in the history.
    fn step_history(&mut self, step: impl FnOnce(&mut Undo<Walkthrough>) -> bool) {
        self.plays_since = None;
        if step(&mut self.draft) {
            self.select(self.selected);
        }
    }

    /// Selects a stop, or the nearest that there is, and goes to where it has arrived.
    pub fn select(&mut self, stop: Stop) {
        let steps = self.walkthrough().steps.len();
        let step = |at: usize| Stop::Step(at.min(steps.saturating_sub(1)));
        self.selected = match stop {
            Stop::Title if self.walkthrough().title.is_none() => step(0),
            Stop::End if self.walkthrough().end.is_none() => step(steps),
            Stop::Step(at) => step(at),
            stop => stop,
        };
        let timeline = Timeline::new(self.walkthrough());
        let stop = stop_number(&timeline, self.selected);
        self.at_secs = timeline.start_secs(stop) + timeline.transition_secs(stop);
        self.plays_since = None;
    }

    /// Goes to a time; what is shown then is selected.
    pub fn seek(&mut self, seconds: f64) {
        let timeline = Timeline::new(self.walkthrough());
        let at = seconds.clamp(0.0, timeline.seconds());
        let selected = stop_of_number(&timeline, timeline.stop_at(at));
        (self.at_secs, self.selected, self.plays_since) = (at, selected, None);
    }

    /// Goes on, or back, by a stop.
    fn step(&mut self, by: isize) {
        let timeline = Timeline::new(self.walkthrough());
        let here = stop_number(&timeline, self.selected);
        let last = timeline.stops().saturating_sub(1);
        let next = stop_of_number(&timeline, here.saturating_add_signed(by).min(last));
        self.select(next);
    }

    /// Plays from the play head, from the start where that is at the end; or stops.
    fn toggle_play(&mut self, now: f64) {
        self.plays_since = match self.plays_since {
            Some(_) => None,
            None => {
                let seconds = Timeline::new(self.walkthrough()).seconds();
                if self.at_secs >= seconds - 0.01 {
                    self.at_secs = 0.0;
                }
                self.is_previewing = true;
                Some(now - self.at_secs)
            }
        };
    }

    /// Moves the play head on while it plays.
    pub fn tick(&mut self, now: f64) {
        let Some(since) = self.plays_since else { return };
        let timeline = Timeline::new(self.walkthrough());
        let seconds = timeline.seconds();
        let at = (now - since).clamp(0.0, seconds);
        self.selected = stop_of_number(&timeline, timeline.stop_at(at));
        self.at_secs = at;
        if at >= seconds {
            self.plays_since = None;
        }
    }

    /// Where a new step goes: after the selected one.
    fn after_selected(&self) -> usize {
        match self.selected {
            Stop::Title => 0,
            Stop::Step(at) => at + 1,
            Stop::End => self.walkthrough().steps.len(),
        }
    }

    /// Adds steps with traces of their own after the selected one, as one change; how many there are
    /// and where the first one is.
    fn add(&mut self, mut steps: Vec<Step>, cast: TraceSet) -> (usize, usize) {
        let names = self.cast.absorb(cast);
        let at = self.after_selected();
        for step in &mut steps {
            let trace = step.state.trace.take();
            step.state.trace = trace.map(|name| names.get(&name).cloned().unwrap_or(name));
        }
        let count = steps.len();
        self.edit(&Edit::Add(at, steps));
        self.is_previewing = true;
        (count, at)
    }

    /// A view of the stage as the view of a step: it keeps the type of the film.
    fn view_of(&mut self, doc: &Document, like: Option<&ViewState>) -> ViewState {
        let mut state = doc.state().clone();
        state.trace = Some(self.cast.name_of(doc));
        state.hovered = None;
        let like = like.or_else(|| self.walkthrough().steps.first().map(|step| &step.state));
        state.text_scale = like.map_or(TEXT_SCALE, |like| like.text_scale);
        state.theme = like.map_or(state.theme, |like| like.theme);
        state
    }
}

/// The number of a stop in the timeline.
pub fn stop_number(timeline: &Timeline<'_>, stop: Stop) -> usize {
    match stop {
        Stop::Title => 0,
        Stop::Step(at) => timeline.stop_of_step(at).unwrap_or(0),
        Stop::End => timeline.stops().saturating_sub(1),
    }
}

/// The stop of a number in the timeline.
pub fn stop_of_number(timeline: &Timeline<'_>, number: usize) -> Stop {
    match timeline.step_of(number) {
        Some(step) => Stop::Step(step),
        None if number == 0 => Stop::Title,
        None => Stop::End,
    }
}

/// Does what is asked for.
pub fn apply(app: &mut App, command: WalkthroughCommand) {
    if let WalkthroughCommand::ShowView(step) = command {
        return show_view(app, step);
    }
    let Some(editor) = &mut app.editor else { return };
    match command {
        WalkthroughCommand::Edit(edit) => editor.edit(&edit),
        WalkthroughCommand::Hold(stop, seconds) => {
            let longer = |card: &Option<Card>| card.clone().map(|card| Card { seconds, ..card });
            let walkthrough = editor.walkthrough();
            let edit = match stop {
                Stop::Step(at) => Edit::Hold(at, Some(seconds)),
                Stop::Title => Edit::Title(longer(&walkthrough.title)),
                Stop::End => Edit::End(longer(&walkthrough.end)),
            };
            editor.edit(&edit);
        }
        WalkthroughCommand::Settle => editor.draft.settle(),
        WalkthroughCommand::Select(stop) => editor.select(stop),
        WalkthroughCommand::Seek(seconds) => editor.seek(seconds),
        WalkthroughCommand::Zoom(zoom) => editor.zoom = zoom.clamp(0.01, 40.0),
        WalkthroughCommand::Undo => editor.step_history(Undo::undo),
        WalkthroughCommand::Redo => editor.step_history(Undo::redo),
        WalkthroughCommand::ShowView(_) => {}
    }
}

/// What an action does to the walkthrough; false where it is about something else.
pub fn run(app: &mut App, act: UiCommand) -> bool {
    match act {
        UiCommand::EditWalkthrough => {
            // Of the answer that it is about already, the walkthrough is shown.
            let is_of_it =
                app.editor.as_ref().zip(app.doc()).is_some_and(|(editor, doc)| {
                    editor.cast.shows(doc.id) && !editor.is_previewing
                });
            match app.editor.as_mut().filter(|_| is_of_it) {
                Some(editor) => editor.is_previewing = true,
                None => of_answer(app),
            }
            return true;
        }
        UiCommand::WalkthroughOfBookmarks => {
            from_bookmarks(app);
            return true;
        }
        _ => {}
    }
    let now = app.now();
    let is_walkthroughs = act.is_of_the_editor();
    let Some(editor) = &mut app.editor else {
        if is_walkthroughs {
            app.notify("No walkthrough is open: make one of this answer first.", false);
        }
        return is_walkthroughs;
    };
    if !is_walkthroughs && !editor.is_previewing {
        return false;
    }
    // What becomes of the walkthrough is seen, and the usual key undoes it.
    editor.is_previewing |= matches!(
        act,
        UiCommand::RemoveStep
            | UiCommand::DuplicateStep
            | UiCommand::EarlierStep
            | UiCommand::LaterStep
            | UiCommand::TrimBefore
            | UiCommand::TrimAfter
            | UiCommand::AddTitle
            | UiCommand::AddEnd
    );
    match act {
        UiCommand::PreviewWalkthrough => {
            editor.plays_since = None;
            let step = editor.selected_step().map_or(0, |(at, _)| at);
            editor.is_previewing ^= true;
            app.transport.stop();
            if app.doc().is_none() && app.chat.picture.is_none() {
                show_view(app, step);
            }
        }
        UiCommand::AddView => add_view(app),
        UiCommand::UseView => use_view(app),
        UiCommand::RemoveStep => match editor.selected {
            Stop::Title => editor.edit(&Edit::Title(None)),
            Stop::End => editor.edit(&Edit::End(None)),
            Stop::Step(at) => editor.edit(&Edit::Remove(at)),
        },
        UiCommand::DuplicateStep => {
            if let Stop::Step(at) = editor.selected {
                editor.edit(&Edit::Duplicate(at));
            }
        }
        UiCommand::EarlierStep | UiCommand::LaterStep => {
            if let Stop::Step(at) = editor.selected {
                let by = if act == UiCommand::EarlierStep { -1 } else { 1 };
                editor.edit(&Edit::Move(at, at.saturating_add_signed(by)));
            }
        }
        UiCommand::TrimBefore => editor.edit(&Edit::Trim([editor.at_secs, f64::MAX])),
        UiCommand::TrimAfter => editor.edit(&Edit::Trim([0.0, editor.at_secs])),
        UiCommand::AddTitle => {
            let text = editor.name().trim_end_matches(".toml").to_owned();
            let card = Card { text, subtitle: String::new(), seconds: 2.5 };
            editor.edit(&Edit::Title(Some(card)));
        }
        UiCommand::AddEnd => {
            let card = Card { text: "The end".into(), subtitle: String::new(), seconds: 2.5 };
            editor.edit(&Edit::End(Some(card)));
        }
        UiCommand::SaveWalkthrough | UiCommand::SaveTrace => save(app, None),
        UiCommand::SaveWalkthroughAs => save::save_as(app, None),
        UiCommand::PackWalkthrough => save::pack(app),
        UiCommand::CloseWalkthrough => {
            unless_unsaved(app, |app| app.editor = None);
        }
        // While the preview is seen, the keys of the stage mean the walkthrough.
        UiCommand::Play => editor.toggle_play(now),
        UiCommand::NextToken | UiCommand::NextLayer => editor.step(1),
        UiCommand::PreviousToken | UiCommand::PreviousLayer => editor.step(-1),
        UiCommand::FirstToken => editor.seek(0.0),
        UiCommand::LastToken => editor.seek(f64::MAX),
        UiCommand::Undo => editor.step_history(Undo::undo),
        UiCommand::Redo => editor.step_history(Undo::redo),
        // What would change the view shows it.
        _ if act.changes_the_view() => {
            editor.show_view();
            return false;
        }
        _ => return false,
    }
    true
}

/// Escape: stops playing, then shows the view; false where there is nothing of the kind.
pub fn put_down(app: &mut App) -> bool {
    let Some(editor) = app.editor.as_mut().filter(|editor| editor.is_previewing) else {
        return false;
    };
    if editor.plays_since.take().is_none() {
        editor.is_previewing = false;
    }
    true
}

fn add_view(app: &mut App) {
    let doc = app.doc().filter(|doc| !doc.live).cloned();
    let (Some(editor), Some(doc)) = (&mut app.editor, doc) else { return };
    let like = editor.selected_step().map(|(_, step)| step.state.clone());
    let mut state = editor.view_of(&doc, like.as_ref());
    let compares = compare(editor, &app.what_if, &doc, &mut state);
    let at = editor.after_selected();
    editor.edit(&Edit::Add(at, vec![Step::new(state, "")]));
    app.notify(format!("Step {} is this view{compares}.", at + 1), false);
}

/// Two answers that are seen together are compared in the step, too; in words, if as something else.
fn compare(
    editor: &mut Editor,
    what_if: &super::what_if::WhatIf,
    doc: &Document,
    state: &mut ViewState,
) -> &'static str {
    let Some(both) = what_if.seen_together(Some(doc.id)) else { return "" };
    let (mix, said) = match what_if.compare {
        Compare::Difference => (Mix::Difference, ""),
        Compare::Swipe => (Mix::Swipe { position: what_if.swipe.into() }, ""),
        _ => (Mix::Swipe { position: 0.5 }, ", with one answer beside the other in one picture"),
    };
    let trace = Some(editor.cast.name_of_trace(&both.scored));
    state.second = Some(Second { trace, map: state.map.clone(), mix });
    said
}

fn use_view(app: &mut App) {
    let doc = app.doc().filter(|doc| !doc.live).cloned();
    let (Some(editor), Some(doc)) = (&mut app.editor, doc) else { return };
    let Some((at, step)) = editor.selected_step() else { return };
    let like = step.state.clone();
    let mut state = editor.view_of(&doc, Some(&like));
    let compares = compare(editor, &app.what_if, &doc, &mut state);
    editor.edit(&Edit::View(at, Box::new(state)));
    app.notify(format!("Step {} shows this view now{compares}.", at + 1), false);
}

/// Brings a step's view to the stage.
fn show_view(app: &mut App, at: usize) {
    let Some(editor) = &mut app.editor else { return };
    let Some(step) = editor.walkthrough().steps.get(at) else { return };
    let state = step.state.clone();
    if state.second.as_ref().is_some_and(|second| second.trace.is_some()) {
        app.notify("This step compares two answers: change its view in the file.", false);
        return;
    }
    let Some(name) = state.trace.clone() else { return };
    let open = editor.cast.document_of(&name);
    let open = open.filter(|id| app.docs.iter().any(|doc| doc.id == *id));
    let same_file =
        || app.docs.iter().find(|doc| doc.path.as_ref() == Some(&name)).map(|doc| doc.id);
    let id = match open.or_else(same_file) {
        Some(id) => {
            app.show_document(id);
            id
        }
        None => {
            let Some(trace) = editor.cast.traces.get(&name).cloned() else { return };
            app.add_document(Document::new(Arc::new(trace), &app.look.clone()))
        }
    };
    if let Some(editor) = &mut app.editor {
        editor.select(Stop::Step(at));
        editor.show_view();
        editor.cast.shown_by(&name, id);
    }
    let state =
        ViewState { trace: None, text_scale: app.look.text_scale, theme: app.look.theme, ..state };
    app.send(Intent::Command(Command::Replace(Box::new(state))));
}

/// Puts an editor in the window, unless there is one with changes that nobody has saved.
fn begin(app: &mut App, make: impl FnOnce(&App) -> Editor + Send + 'static) {
    unless_unsaved(app, |app| {
        let editor = make(app);
        app.editor = Some(editor);
        app.transport.stop();
        // On a narrow window the panel would hide what is previewed.
        if !app.is_narrow {
            app.send(Intent::ShowPanel(super::layout::Pane::Walkthrough));
        }
    });
}
