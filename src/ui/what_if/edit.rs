//! The picture that is edited: steps, what they look like, and asking about it.

use super::{Compare, Comparison, Tool};
use crate::analysis::diff::{difference, words};
use crate::edit::{Edits, Step, png};
use crate::job::CancelToken;
use crate::model::{AskOptions, AskRequest, Engine, Picture, Rerun, upright};
use crate::trace::{Sampling, Trace};
use crate::ui::app::{App, Intent};
use crate::ui::dialogs::{self, Dialog};
use crate::ui::document::{Document, DocumentId};
use crate::ui::exports::Kind;
use crate::ui::layout::Pane;
use crate::ui::tasks;
use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;
use std::sync::Arc;

/// Larger than this, the preview of the edited picture is drawn smaller.
const PREVIEW_EDGE: u32 = 1024;

/// A picture and its edits.
pub struct Session {
    /// The document whose picture it is.
    pub original: DocumentId,
    /// The document of the edited picture, once it was asked about.
    pub edited: Option<DocumentId>,
    /// The steps; positions are pixels of the original as the trace keeps it.
    pub edits: Edits,
    /// The untouched picture.
    picture: Arc<RgbImage>,
    name: String,
    /// Whether the answer is older than the last step.
    pub stale: bool,
    preview: Option<TextureHandle>,
    drawn_steps: Option<Vec<Step>>,
    /// Left and upper edge of the crop that the edited document was asked with.
    pub asked_crop: [u32; 2],
}

impl Session {
    /// The edited picture, nothing cut off; drawn anew when a step changed.
    pub fn preview(&mut self, ctx: &Context) -> Option<TextureHandle> {
        if self.drawn_steps.as_deref() != Some(self.edits.steps()) {
            let flat = self.edits.before_crop(&self.picture).ok()?;
            let (width, height) = flat.dimensions();
            let small;
            let shown: &RgbImage = if width.max(height) > PREVIEW_EDGE {
                let scale = f64::from(PREVIEW_EDGE) / f64::from(width.max(height));
                let side = |edge: u32| ((f64::from(edge) * scale) as u32).max(1);
                small = image::imageops::thumbnail(&*flat, side(width), side(height));
                &small
            } else {
                &flat
            };
            let size = [shown.width() as usize, shown.height() as usize];
            let image = ColorImage::from_rgb(size, shown.as_raw());
            match &mut self.preview {
                Some(handle) => handle.set(image, TextureOptions::LINEAR),
                None => {
                    let handle = ctx.load_texture("edited", image, TextureOptions::LINEAR);
                    self.preview = Some(handle);
                }
            }
            self.drawn_steps = Some(self.edits.steps().to_vec());
        }
        self.preview.clone()
    }

    /// Lets go of the texture, whose device was lost.
    pub fn forget_texture(&mut self) {
        self.preview = None;
        self.drawn_steps = None;
    }

    /// The colour of the untouched picture at a point in pixels that the edits count in.
    pub fn colour_at(&self, [x, y]: [f64; 2]) -> [u8; 3] {
        let [width, height] = self.edits.size().map(f64::from);
        let (columns, rows) = self.picture.dimensions();
        let pixel = |at: f64, size: f64, count: u32| {
            ((at / size * f64::from(count)).max(0.0) as u32).min(count.saturating_sub(1))
        };
        self.picture.get_pixel(pixel(x, width, columns), pixel(y, height, rows)).0
    }
}

/// Takes a tool up; the first opens the picture of the answer that is seen.
pub fn take_up(app: &mut App, tool: Option<Tool>) {
    app.what_if.gesture.clear();
    if tool.is_none() {
        app.what_if.tool = None;
        return;
    }
    let current = app.current;
    let has_session = app.what_if.session.as_ref().is_some_and(|session| {
        Some(session.original) == current || session.edited.is_some() && session.edited == current
    });
    if !has_session && !open(app) {
        return;
    }
    app.what_if.compare = Compare::Off;
    // The settings of a tool stand in the panel; on a narrow window it would hide the stage.
    if app.what_if.tool.is_none() && !app.is_narrow {
        app.send(Intent::ShowPanel(Pane::WhatIf));
    }
    app.what_if.tool = tool;
    // What is edited further is the edited picture.
    let edited = app.what_if.session.as_ref().and_then(|session| session.edited);
    if let Some(edited) = edited.filter(|_| app.what_if.comparison.is_some()) {
        app.show_document(edited);
    }
}

fn open(app: &mut App) -> bool {
    let Some(doc) = app.doc() else {
        app.notify("Ask about a picture first; then it can be edited.", false);
        return false;
    };
    let (id, meta) = (doc.id, doc.meta());
    let Some(size) = meta.preprocess.first().map(|info| info.original_size) else {
        app.notify("This question was asked without a picture.", false);
        return false;
    };
    let kept = doc.trace.picture_original(0).map(|bytes| Picture {
        name: meta.preprocess.first().map(|info| info.file_name.clone()).unwrap_or_default(),
        bytes: bytes.into(),
    });
    // The file as it was given is better than the copy in the trace, where it is at hand.
    let Some(picture) = app.pictures.get(&id).cloned().or(kept) else {
        app.notify("The trace does not hold its picture.", true);
        return false;
    };
    match upright(&picture) {
        Ok(upright) => {
            app.what_if.session = Some(Session {
                original: id,
                edited: None,
                edits: Edits::new(size),
                picture: Arc::new(upright),
                name: picture.name,
                stale: false,
                preview: None,
                drawn_steps: None,
                asked_crop: [0, 0],
            });
            true
        }
        Err(error) => {
            app.notify(error.to_string(), true);
            false
        }
    }
}

/// Does a step.
pub fn step(app: &mut App, step: Step) {
    let Some(session) = &mut app.what_if.session else { return };
    let result = session.edits.push(step).and_then(|()| {
        // A step that touches nothing is no step.
        session.edits.before_crop(&session.picture).inspect_err(|_| {
            session.edits.undo();
        })?;
        Ok(())
    });
    match result {
        Ok(()) => stepped(app),
        Err(error) => app.notify(error.to_string(), false),
    }
}

/// Changes the stack; `change` says whether it did anything.
pub fn change(app: &mut App, change: impl FnOnce(&mut Edits) -> bool) {
    if app.what_if.session.as_mut().is_some_and(|session| change(&mut session.edits)) {
        stepped(app);
    }
}

/// After a step: ask, or wait to be asked.
fn stepped(app: &mut App) {
    let Some(session) = &mut app.what_if.session else { return };
    session.stale = true;
    if session.edits.is_empty() {
        // The untouched picture has its answer already.
        session.stale = false;
        let original = session.original;
        cancel(app);
        app.what_if.comparison = None;
        app.show_document(original);
    } else if app.what_if.live {
        ask_again(app);
    }
}

fn cancel(app: &mut App) {
    if let Some(task) = app.what_if.task.take() {
        app.tasks.cancel(task);
    }
}

/// What comes back from the model.
struct Answered {
    trace: Arc<Trace>,
    picture: Picture,
    comparison: (Arc<Trace>, crate::analysis::diff::TraceDifference),
    steps: Vec<Step>,
    crop: [u32; 2],
}

/// Asks about the edited picture; a question about an earlier step is given up.
pub fn ask_again(app: &mut App) {
    cancel(app);
    let Some(session) = &app.what_if.session else { return };
    let Some(original) = app.docs.iter().find(|doc| doc.id == session.original) else { return };
    let (first, mut edits) = (Arc::clone(&original.trace), session.edits.clone());
    let (picture, name) = (Arc::clone(&session.picture), session.name.clone());
    let turns = app.turns.get(&session.original).cloned().unwrap_or_default();
    let before = app.tasks.running().last().map(|task| task.id);
    tasks::start_on_model(app, "Asking about the edited picture", move |engine, _, cancel| {
        let flat = edits.flatten(&picture)?;
        let picture = Picture { name, bytes: png(&flat)?.into() };
        let mut options = AskOptions {
            sampling: Sampling { forced: false, ..first.meta().sampling },
            blanked: edits.blanked().collect(),
            ..AskOptions::default()
        };
        if let Some(info) = first.meta().preprocess.first() {
            options.preprocess = info.mode;
        }
        let question = first.meta().question.clone();
        let request = AskRequest { picture: Some(picture.clone()), turns, question, options };
        let trace = engine.ask(&request, cancel, &mut |_| {})?;
        let comparison = held_against(engine, &first, &trace, cancel)?;
        let [left, top, ..] = edits.crop().unwrap_or_default();
        let answered = Answered {
            trace: Arc::new(trace),
            picture,
            comparison,
            steps: edits.steps().to_vec(),
            crop: [left, top],
        };
        Ok(Box::new(move |app: &mut App| show(app, answered)))
    });
    // It may have been refused: then the last task is somebody else's.
    let newest = app.tasks.running().last().map(|task| task.id);
    app.what_if.task = newest.filter(|id| Some(*id) != before);
}

/// The second trace with the first answer, and what differs.
pub(super) fn held_against(
    engine: &mut Engine,
    first: &Trace,
    second: &Trace,
    cancel: &CancelToken,
) -> anyhow::Result<(Arc<Trace>, crate::analysis::diff::TraceDifference)> {
    let differ = first.answer_ids() != second.answer_ids();
    let scored = if differ {
        let answer = first.answer_ids().iter().map(|&id| id as u32).collect();
        let again = Rerun { answer: Some(answer), ..Rerun::default() };
        engine.again(second, &again, cancel, &mut |_| {})?
    } else {
        second.clone()
    };
    let found = difference(first, &scored, differ)?;
    Ok((Arc::new(scored), found))
}

fn show(app: &mut App, answered: Answered) {
    app.what_if.task = None;
    let Some(session) = &mut app.what_if.session else { return };
    let first = session.original;
    let look = app
        .docs
        .iter()
        .find(|doc| doc.id == first)
        .map_or_else(|| app.look.clone(), |doc| doc.state().clone());
    session.stale = session.edits.steps() != answered.steps;
    session.asked_crop = answered.crop;
    let known = session.edited;
    let before = app.docs.iter().find(|doc| doc.id == first).map(|doc| doc.meta().answer.clone());
    let words = words(&before.unwrap_or_default(), &answered.trace.meta().answer);
    let second = match app.docs.iter_mut().find(|doc| Some(doc.id) == known) {
        Some(doc) => {
            doc.replace(answered.trace, false);
            doc.id
        }
        None => {
            let doc = Document::new(answered.trace, &look);
            let id = doc.id;
            app.docs.push(doc);
            if let Some(turns) = app.turns.get(&first).cloned() {
                app.turns.insert(id, turns);
            }
            id
        }
    };
    if let Some(session) = &mut app.what_if.session {
        session.edited = Some(second);
    }
    app.pictures.insert(second, answered.picture);
    let (scored, difference) = answered.comparison;
    app.what_if.comparison = Some(Comparison { first, second, scored, words, difference });
    // Whoever looks at both keeps looking at both; whoever went elsewhere stays there.
    let elsewhere = app.current != Some(first) && app.current != known;
    if app.what_if.compare == Compare::Off && !elsewhere {
        app.show_document(second);
    }
}

/// Saves the edited picture where the user says.
pub fn save_picture(app: &mut App) {
    let Some(session) = &mut app.what_if.session else { return };
    let result = session.edits.flatten(&session.picture).and_then(|flat| png(&flat));
    let name = format!("{}-edited", stem(&session.name));
    match result {
        Ok(bytes) => save(app, Kind::Png.dialog("Save the edited picture", &name), bytes),
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Saves the steps where the user says.
pub fn save_steps(app: &mut App) {
    let Some(session) = &app.what_if.session else { return };
    let name = format!("{}-edits", stem(&session.name));
    match session.edits.to_toml() {
        Ok(text) => save(app, Kind::Toml.dialog("Save the edits", &name), text.into_bytes()),
        Err(error) => app.notify(error.to_string(), true),
    }
}

fn save(app: &mut App, dialog: Dialog, bytes: Vec<u8>) {
    dialogs::ask_place(app, dialog, |app, path| app.exports.write_bytes(bytes, path));
}

fn stem(name: &str) -> String {
    let stem = std::path::Path::new(name).file_stem();
    stem.map_or_else(|| "picture".into(), |stem| stem.to_string_lossy().into_owned())
}
