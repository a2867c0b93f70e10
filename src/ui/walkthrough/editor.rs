//! The walkthrough that is being edited: its history, the selected stop, the play head.

use super::preview::{Preview, Seen};
use super::trace_set::TraceSet;
use crate::gpu::Gpu;
use crate::record::Unpacked;
use crate::ui::document::Document;
use crate::ui::session::{Versions, WalkthroughRecord};
use crate::ui::window_painter::WindowPainter;
use crate::view::timeline::{Card, Edit, Moment, Step, Timeline, Walkthrough};
use crate::view::{Undo, ViewState};
use egui::{Rect, TextureId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The type scale of steps that are made in the window, if no other step gives one.
pub const TEXT_SCALE: f64 = 1.25;

/// A stop that can be selected: the fields of the panel belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The card before the first step.
    Title,
    /// A step, counted from 0.
    Step(usize),
    /// The card after the last step.
    End,
}

/// Walkthrough commands with arguments; those without are [`crate::ui::shortcuts::UiCommand`]s.
#[derive(Clone, Debug, PartialEq)]
pub enum WalkthroughCommand {
    /// A change.
    Edit(Edit),
    /// Sets the seconds that a stop is held for.
    Hold(Stop, f64),
    /// A gesture ended: the next change is an undo step of its own.
    Settle,
    /// Selects a stop and moves the play head to the end of the transition to it.
    Select(Stop),
    /// Goes to a time.
    Seek(f64),
    /// Scales the timeline relative to its usual scale.
    Zoom(f32),
    /// Brings a step's view to the stage, to be changed there.
    ShowView(usize),
    /// Packs it with the traces that lie outside the folder of its file.
    PackOutside,
    /// Undoes the last change of the walkthrough.
    Undo,
    /// Redoes it.
    Redo,
}

/// A walkthrough to be edited.
#[derive(Debug)]
pub struct NewWalkthrough {
    /// Its steps.
    pub walkthrough: Walkthrough,
    /// Its traces.
    pub trace_set: TraceSet,
    /// Whether it was read from a file.
    pub is_of_file: bool,
    /// The file that it is saved to.
    pub path: Option<PathBuf>,
    /// Traces that the file names and that lie outside its folder.
    pub outside: BTreeSet<PathBuf>,
    /// Folder of an opened pack; removed when it is dropped.
    pub unpacked: Option<Unpacked>,
}

impl NewWalkthrough {
    /// A walkthrough without a file.
    pub const fn unsaved(walkthrough: Walkthrough, trace_set: TraceSet) -> Self {
        let outside = BTreeSet::new();
        Self { walkthrough, trace_set, is_of_file: false, path: None, outside, unpacked: None }
    }
}

/// A walkthrough that is being made.
pub struct Editor {
    /// Distinguishes editors.
    id: u64,
    draft: Undo<Walkthrough>,
    /// Content of the file; `None` before it was saved.
    saved: Option<Walkthrough>,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Its traces.
    pub trace_set: TraceSet,
    /// Traces outside the folder of its file that nobody has allowed to be packed.
    outside: BTreeSet<PathBuf>,
    /// Folder of an opened pack; removed when it is dropped.
    _unpacked: Option<Unpacked>,
    selected: Stop,
    /// Time of the play head.
    at_secs: f64,
    /// Time of the clock at which the play head was at 0; `None` while it stands.
    plays_since: Option<f64>,
    /// Whether the stage shows the walkthrough, not the view.
    pub is_previewing: bool,
    /// Scale of the timeline relative to the usual.
    pub zoom: f32,
    preview: Preview,
}

impl Editor {
    /// Starts editing a walkthrough; `painter` draws the window on the device.
    pub fn new(new: NewWalkthrough, gpu: Arc<Gpu>, painter: WindowPainter) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let NewWalkthrough { walkthrough, trace_set, is_of_file, path, outside, unpacked } = new;
        // A walkthrough that was read from a file counts as saved, even if it will not be written there (a pack).
        let saved = is_of_file.then(|| walkthrough.clone());
        let mut editor = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            draft: Undo::new(walkthrough),
            saved,
            path,
            trace_set,
            outside,
            _unpacked: unpacked,
            selected: Stop::Step(0),
            at_secs: 0.0,
            plays_since: None,
            is_previewing: true,
            zoom: 1.0,
            preview: Preview::new(gpu, painter),
        };
        editor.select(Stop::Step(0));
        editor
    }

    /// Distinguishes editors.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The walkthrough.
    pub const fn walkthrough(&self) -> &Walkthrough {
        self.draft.present()
    }

    /// A number that changes whenever the walkthrough does.
    pub const fn revision(&self) -> u64 {
        self.draft.revision()
    }

    /// Its file and its state, for the session; without traces.
    pub fn record(&self) -> WalkthroughRecord {
        WalkthroughRecord {
            path: self.path.clone(),
            is_saved: !self.is_unsaved(),
            is_previewing: self.is_previewing,
            has_versions: false,
            outside: self.outside.iter().cloned().collect(),
            traces: Vec::new(),
        }
    }

    /// The traces that steps show, that the file named, and that lie outside its folder: whoever wrote
    /// the file may have meant the private ones of whoever opens it.
    pub fn outside(&self) -> Vec<&Path> {
        let is_shown = |path: &&PathBuf| {
            let mut steps = self.walkthrough().steps.iter().map(|step| &step.state);
            let is_it = |other: Option<&PathBuf>| other == Some(*path);
            steps.any(|state| {
                let second = state.second.as_ref().and_then(|second| second.trace.as_ref());
                is_it(state.trace.as_ref()) || is_it(second)
            })
        };
        self.outside.iter().filter(is_shown).map(PathBuf::as_path).collect()
    }

    /// They may be packed.
    pub fn allow_outside(&mut self) {
        self.outside.clear();
    }

    /// Whether the file holds something else, or there is none.
    pub fn is_unsaved(&self) -> bool {
        self.saved.as_ref() != Some(self.walkthrough())
    }

    /// Steps of the walkthrough and of its earlier and undone versions together.
    pub fn number_of_kept_steps(&self) -> usize {
        let versions = self.draft.past().iter().chain(self.draft.future());
        versions.chain([self.walkthrough()]).map(|version| version.steps.len()).sum()
    }

    /// The nearest versions before and after this one, for the session.
    pub fn versions(&self) -> Versions {
        Versions::nearest(self.draft.past(), self.draft.future())
    }

    /// Brings undo steps of a session back.
    pub fn restore_versions(&mut self, versions: Versions) {
        let Versions { past, future } = versions;
        self.draft = Undo::restored(past, self.walkthrough().clone(), future);
    }

    /// Whether it can be undone and redone.
    pub const fn can_undo_redo(&self) -> [bool; 2] {
        [self.draft.can_undo(), self.draft.can_redo()]
    }

    /// The selected stop.
    pub const fn selected(&self) -> Stop {
        self.selected
    }

    /// Number of the selected stop in the timeline.
    pub fn selected_number(&self) -> usize {
        stop_number(&Timeline::new(self.walkthrough()), self.selected)
    }

    /// The number and the step that are selected.
    pub fn selected_step(&self) -> Option<(usize, &Step)> {
        let Stop::Step(at) = self.selected else { return None };
        Some((at, self.walkthrough().steps.get(at)?))
    }

    /// Time of the play head in seconds.
    pub const fn at_secs(&self) -> f64 {
        self.at_secs
    }

    /// Whether it plays.
    pub const fn is_playing(&self) -> bool {
        self.plays_since.is_some()
    }

    /// File name of the walkthrough, or a name for one without a file.
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
        self.draft.keep_last(undo_steps(self.walkthrough().steps.len()));
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

    /// Marks a written walkthrough as saved in a file.
    pub fn saved_as(&mut self, walkthrough: Walkthrough, path: PathBuf) {
        self.saved = Some(walkthrough);
        self.path = Some(path);
    }

    /// A gesture ended: the next change is an undo step of its own.
    pub fn settle(&mut self) {
        self.draft.settle();
    }

    /// Undoes the last change.
    pub fn undo(&mut self) {
        self.step_history(Undo::undo);
    }

    /// Redoes the last change.
    pub fn redo(&mut self) {
        self.step_history(Undo::redo);
    }

    /// Steps back or forward in the history.
    fn step_history(&mut self, step: impl FnOnce(&mut Undo<Walkthrough>) -> bool) {
        self.plays_since = None;
        if step(&mut self.draft) {
            self.select(self.selected);
        }
    }

    /// Selects a stop, or the nearest that exists, and moves the play head to the end of the transition to it.
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

    /// Moves the play head to a time and selects the stop there.
    pub fn seek(&mut self, seconds: f64) {
        let timeline = Timeline::new(self.walkthrough());
        let at = seconds.clamp(0.0, timeline.seconds());
        let selected = stop_of_number(&timeline, timeline.stop_at(at));
        (self.at_secs, self.selected, self.plays_since) = (at, selected, None);
    }

    /// Moves to the next stop (or the previous one, if `by` is negative).
    pub fn step(&mut self, by: isize) {
        let timeline = Timeline::new(self.walkthrough());
        let here = stop_number(&timeline, self.selected);
        let last = timeline.stops().saturating_sub(1);
        let next = stop_of_number(&timeline, here.saturating_add_signed(by).min(last));
        self.select(next);
    }

    /// Plays from the play head, from the start where that is at the end; or stops.
    pub fn toggle_play(&mut self, now: f64) {
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

    /// Stops playing; false where nothing plays.
    pub fn stop_playing(&mut self) -> bool {
        self.plays_since.take().is_some()
    }

    /// Removes the selected step or card.
    pub fn remove_selected(&mut self) {
        self.edit(&match self.selected {
            Stop::Title => Edit::Title(None),
            Stop::End => Edit::End(None),
            Stop::Step(at) => Edit::Remove(at),
        });
    }

    /// Duplicates the selected step.
    pub fn duplicate_selected(&mut self) {
        if let Stop::Step(at) = self.selected {
            self.edit(&Edit::Duplicate(at));
        }
    }

    /// Moves the selected step earlier (negative) or later.
    pub fn move_selected(&mut self, by: isize) {
        if let Stop::Step(at) = self.selected {
            self.edit(&Edit::Move(at, at.saturating_add_signed(by)));
        }
    }

    /// Begins with a title card that names the walkthrough.
    pub fn add_title(&mut self) {
        let text = self.name().trim_end_matches(".toml").to_owned();
        self.edit(&Edit::Title(Some(Card { text, subtitle: String::new(), seconds: 2.5 })));
    }

    /// Ends with a card.
    pub fn add_end(&mut self) {
        let text = "The end".into();
        self.edit(&Edit::End(Some(Card { text, subtitle: String::new(), seconds: 2.5 })));
    }

    /// Sets the seconds that a stop is held for.
    pub fn hold(&mut self, stop: Stop, seconds: f64) {
        let longer = |card: &Option<Card>| card.clone().map(|card| Card { seconds, ..card });
        let edit = match stop {
            Stop::Step(at) => Edit::Hold(at, Some(seconds)),
            Stop::Title => Edit::Title(longer(&self.walkthrough().title)),
            Stop::End => Edit::End(longer(&self.walkthrough().end)),
        };
        self.edit(&edit);
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

    /// Index at which a new step is inserted: after the selected one.
    pub fn after_selected(&self) -> usize {
        match self.selected {
            Stop::Title => 0,
            Stop::Step(at) => at + 1,
            Stop::End => self.walkthrough().steps.len(),
        }
    }

    /// Inserts steps with traces of their own after the selected one, as one change. Returns their number and the
    /// index of the first one.
    pub fn add(&mut self, mut steps: Vec<Step>, trace_set: TraceSet) -> (usize, usize) {
        let names = self.trace_set.absorb(trace_set);
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

    /// A view of the stage as the view of a step, with the theme and type scale of the film.
    pub fn view_of(&mut self, doc: &Document, like: Option<&ViewState>) -> ViewState {
        let mut state = doc.state().clone();
        state.trace = Some(self.trace_set.name_of(doc));
        state.hovered = None;
        let like = like.or_else(|| self.walkthrough().steps.first().map(|step| &step.state));
        state.text_scale = like.map_or(TEXT_SCALE, |like| like.text_scale);
        state.theme = like.map_or(state.theme, |like| like.theme);
        state
    }
}

/// Drawing.
impl Editor {
    /// Sets the size of the film and the size of the preview on screen, in pixels.
    pub fn place_preview(&mut self, film: [u32; 2], on_screen: [u32; 2]) {
        self.preview.place(film, on_screen);
    }

    /// Texture of the preview; `None` before the first drawing.
    pub fn preview_texture(&self) -> Option<TextureId> {
        self.preview.texture()
    }

    /// The small picture of a step, the part of it to show, and the ratio of width to height of that part.
    pub fn small_picture(&self, step: usize) -> Option<(TextureId, Rect, f32)> {
        self.preview.small_picture(step)
    }

    /// Content of the walkthrough at the play head.
    pub fn moment(&self) -> Option<Moment> {
        Timeline::new(self.walkthrough()).at(self.at_secs())
    }

    /// Draws what changed. Returns whether more is to be drawn, and an error text.
    pub fn draw(&mut self) -> (bool, Option<String>) {
        let seen = Seen {
            is_previewing: self.is_previewing,
            is_playing: self.is_playing(),
            at_secs: self.at_secs,
        };
        self.preview.draw(&self.draft, &self.trace_set.traces, seen)
    }

    /// Says which characters of the preview no font has.
    pub fn missing_glyphs(&self) -> Option<String> {
        self.preview.missing_glyphs()
    }

    /// Reads the preview back, for tests.
    ///
    /// # Errors
    /// If nothing was drawn, or the copy fails.
    #[cfg(feature = "testing")]
    pub fn read_preview(&self) -> anyhow::Result<image::RgbaImage> {
        self.preview.read()
    }

    /// Drops all textures and starts again, on a device that may be another one.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>, painter: WindowPainter) {
        self.preview.rebuild(gpu, painter);
    }
}

/// Steps of a walkthrough in all of its earlier versions together, of about 1 KB each.
const MOST_KEPT_STEPS: usize = 20_000;
const LEAST_UNDO_STEPS: usize = 20;

/// Number of earlier versions that are kept of a walkthrough: each is a copy of all steps.
fn undo_steps(steps: usize) -> usize {
    (MOST_KEPT_STEPS / steps.max(1)).max(LEAST_UNDO_STEPS)
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

#[cfg(test)]
mod tests {
    use super::undo_steps;

    #[test]
    fn long_walkthroughs_keep_fewer_versions() {
        assert_eq!([0, 40, 281, 10_000].map(undo_steps), [20_000, 500, 71, 20]);
    }
}
