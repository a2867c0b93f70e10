//! Files: open, save, copy.

use super::{data_set, dialogs, grounding, walkthrough_files};
use crate::trace::{FileStamp, Trace};
use crate::ui::app::App;
use crate::ui::dialogs::{Dialog, Filters, TRACES, Want, path_from_text};
use crate::ui::document::{Document, DocumentId};
use crate::ui::figures::{FigureJob, FigureKind, command_line};
use crate::ui::intent::{DataSetCommand, Intent};
use crate::ui::session::{picture_at, picture_of};
use crate::ui::task_result::{PathPurpose, TaskResult};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Kinds of files that can be opened.
const OPENED: Filters = &[
    (
        "Pictures, traces, tables and walkthroughs",
        &[
            "png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "vlmtrace", "parquet",
            "toml", "zip",
        ],
    ),
    ("All files", &["*"]),
];

/// Asks for files to open.
pub fn ask_what_to_open(app: &mut App) {
    let title = "Open a picture, one or more traces, a table, or a walkthrough";
    dialogs::ask(app, Dialog { title, want: Want::Files, filters: OPENED }, PathPurpose::Open);
}

/// Saves the trace where the user says.
pub fn save_trace(app: &mut App) {
    let Some(doc) = app.doc() else { return };
    let dialog = Dialog::to_save("Save the trace", &file_stem(doc), TRACES);
    let (id, mut trace) = (doc.id, Arc::clone(&doc.trace));
    // The connection to the machine with the model was lost: what has arrived is not lost with it.
    if trace.is_broken()
        || (!doc.live && trace.has_holes() && trace.places_in_file().next().is_none())
    {
        match trace.as_received() {
            Ok((received, left_out)) => {
                let all = trace.rows().len();
                trace = Arc::new(received);
                let text = format!(
                    "{left_out} of {all} rows of the attention did not arrive from the other machine: the file is written without them."
                );
                app.notify(text, false);
            }
            Err(error) => return app.notify(error.to_string(), true),
        }
    }
    dialogs::ask(app, dialog, PathPurpose::SaveTrace(id, trace));
}

/// Copies what is seen as an image.
pub fn copy_image(app: &mut App, ctx: &egui::Context) {
    if let Some(job) = job(app, ctx) {
        app.exports.copy_image(job);
    }
}

/// Copies the numbers of what is seen.
pub fn copy_numbers(app: &mut App, ctx: &egui::Context) {
    if let Some(job) = job(app, ctx) {
        app.exports.copy_numbers(job);
    }
}

/// Copies the command line that draws what is seen.
pub fn copy_command_line(app: &mut App, ctx: &egui::Context) {
    let Some(job) = job(app, ctx) else { return };
    match command_line(&job) {
        Ok(text) => {
            app.intents.send(Intent::Copy(text, "Command line"));
            if job.path.is_none() {
                let text = "Save the trace (Ctrl+S) and put its file in place of TRACE.vlmtrace.";
                app.notify(text, false);
            }
            if job.second.is_some() {
                let text = "SECOND.vlmtrace is the second answer's picture, scored with the first answer: save both traces, and `vlmscope diff FIRST OTHER --out SECOND.vlmtrace` writes it.";
                app.notify(text, false);
            }
        }
        Err(error) => app.notify(format!("{error:#}"), true),
    }
}

/// The figure of what is seen, at the stage's shape and at least 1080 lines.
fn job(app: &App, ctx: &egui::Context) -> Option<FigureJob> {
    let doc = app.doc()?;
    let mut state = doc.state().clone();
    state.hovered = None;
    state.theme = if ctx.theme() == egui::Theme::Dark {
        crate::view::Theme::Dark
    } else {
        crate::view::Theme::Light
    };
    let second = app.what_if.second_of_figure(app.current, &mut state);
    Some(FigureJob {
        gpu: app.stage.gpu(),
        state,
        trace: Arc::clone(&doc.trace),
        second,
        path: doc.path.clone(),
        size: app.stage.figure_size(),
    })
}

/// Saves what is seen where the user says.
pub fn save(app: &mut App, ctx: &egui::Context, kind: FigureKind) {
    let Some(job) = job(app, ctx) else { return };
    let Some(name) = app.doc().map(file_stem) else { return };
    let dialog = Dialog::to_save("Save this view", &name, kind.filters());
    dialogs::ask(app, dialog, PathPurpose::SaveFigure(kind, Box::new(job)));
}

/// A file name for what is looked at: "fox_what-is-this".
fn file_stem(doc: &Document) -> String {
    let meta = doc.meta();
    let picture = meta.preprocess.first().map(|info| info.file_name.as_str()).unwrap_or_default();
    let stem = Path::new(picture).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let words: String = meta
        .question
        .chars()
        .map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(32)
        .collect();
    let words = words.trim_matches('-').to_owned();
    match stem.filter(|stem| !stem.is_empty()) {
        Some(stem) if words.is_empty() => stem,
        Some(stem) => format!("{stem}_{words}"),
        None if words.is_empty() => "view".into(),
        None => words,
    }
}

/// Opens a model folder, a trace, a walkthrough or a picture; content and name decide which one it is.
pub fn open(app: &mut App, path: &Path) {
    if path.is_dir() {
        if path.join(crate::model::MANIFEST_FILE).is_file() {
            app.intents.send(Intent::UseBundle(path.to_owned()));
        } else {
            data_set::open_folder(app, path);
        }
        return;
    }
    if path.extension().is_some_and(|end| end == "toml" || end == "zip") {
        return walkthrough_files::open(app, path);
    }
    if path.extension().is_some_and(|end| end == "parquet") {
        return data_set::open(app, path);
    }
    let is_trace = path.extension().is_some_and(|end| end == "vlmtrace" || end == "safetensors");
    if is_trace {
        app.exports.open_trace(path, None);
    } else {
        app.exports.open_picture(path);
    }
}

/// Files that were dropped on the window.
pub fn read_drops(app: &mut App, ctx: &egui::Context) {
    let dropped = ctx.input(|input| input.raw.dropped_files.clone());
    for file in dropped {
        app.intents.send(Intent::Open(file.path().to_owned()));
    }
}

/// Takes pasted content if no text field has the focus: a picture, or the path of a file.
pub fn read_pastes(app: &mut App, ctx: &egui::Context) {
    if ctx.text_edit_focused() {
        return;
    }
    for event in ctx.input(|input| input.events.clone()) {
        match event {
            egui::Event::PasteImage(pixels) => app.exports.read_pixels((*pixels).clone()),
            egui::Event::Paste(text) => {
                let path = path_from_text(&text);
                if path.exists() {
                    app.intents.send(Intent::Open(path));
                } else {
                    app.notify("The clipboard contains neither a picture nor a file.", false);
                }
            }
            _ => {}
        }
    }
}

/// Shows a trace, and lets the next question be about its picture.
pub fn show_trace(app: &mut App, trace: Arc<Trace>) {
    read_ahead(app, &trace);
    add_trace(app, trace);
}

/// Bytes of the traces of one folder that are read into memory: of the first ones.
const MOST_FOLDER_BYTES: u64 = 1 << 30;

/// Shows the traces of a folder, the last one on the stage.
pub fn show_folder(app: &mut App, folder: &Path, traces: Vec<(Arc<Trace>, PathBuf)>) {
    let count = traces.len();
    let mut bytes = 0;
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let first: Vec<Arc<Trace>> = traces
        .iter()
        .take_while(|(_, path)| {
            bytes += size(path);
            bytes <= MOST_FOLDER_BYTES
        })
        .map(|(trace, _)| Arc::clone(trace))
        .collect();
    // One after another: a thread for each would compete for the disk.
    app.exports.run("read", move || {
        first.iter().try_for_each(|trace| trace.read_ahead())?;
        Ok(TaskResult::Nothing)
    });
    for (trace, path) in traces {
        app.settings.remember_file(&path);
        add_trace(app, trace);
    }
    let text = format!("Opened {count} {}.", if count == 1 { "trace" } else { "traces" });
    if count == 1 {
        return app.notify(text, false);
    }
    let table = Intent::DataSet(DataSetCommand::OfFolder(folder.to_owned()));
    app.offer_briefly(text, vec![("Show as a data set", table)]);
}

fn add_trace(app: &mut App, trace: Arc<Trace>) {
    let picture = picture_of(&trace);
    let doc = Document::new(trace, &app.look);
    if let Some(picture) = picture {
        app.pictures.insert(doc.id, picture);
    }
    let id = app.add_document(doc);
    grounding::join_blank(app, id);
}

/// Lets the next question be about the chosen one of several pictures.
pub fn follow_picture(app: &mut App) {
    let Some(doc) = app.doc().filter(|doc| doc.extent.picture_numbers().len() > 1) else { return };
    let chosen = (doc.id, doc.state().picture.index);
    if app.followed_picture == Some(chosen) {
        return;
    }
    let picture = picture_at(&doc.trace, chosen.1);
    app.followed_picture = Some(chosen);
    if picture.is_some() {
        app.chat.set_picture(picture);
    }
}

/// Seconds between two checks of the files of shown documents. They are made only while frames are drawn, so that an
/// idle window stays idle.
const LOOK_SECONDS: f64 = 2.0;

/// Offers to read a file again that another program has changed since it was opened or saved.
pub fn look_for_changes(app: &mut App) {
    let clock = app.now();
    if clock - app.looked_at_files < LOOK_SECONDS {
        return;
    }
    app.looked_at_files = clock;
    let Some(doc) = app.doc_mut() else { return };
    let Some(path) = doc.path.clone() else { return };
    // A file that is missing, perhaps for a moment, is no changed file.
    let Some(now) = FileStamp::read(&path) else { return };
    if doc.stamp.is_none() || doc.stamp.replace(now) == Some(now) {
        return;
    }
    let (id, has_more) = (doc.id, doc.in_file != Some(doc.trace.id()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lost =
        if has_more { " Reloading discards what was computed here and not saved." } else { "" };
    app.offer(format!("{name} was changed on disk.{lost}"), vec![("Reload", Intent::Reload(id))]);
}

/// Reads a trace of moderate size into memory soon after it is shown, so that nothing is lost if its file is.
fn read_ahead(app: &mut App, trace: &Arc<Trace>) {
    let trace = Arc::clone(trace);
    app.exports.run("read", move || {
        trace.read_ahead()?;
        Ok(TaskResult::Nothing)
    });
}

/// Reads the file of a document again.
pub fn reload(app: &mut App, id: DocumentId) {
    let path = app.docs.get(id).and_then(|doc| doc.path.clone());
    if let Some(path) = path {
        app.exports
            .run("open", move || Ok(TaskResult::Reloaded(id, Arc::new(Trace::open(&path)?))));
    }
}

/// Puts a trace that was read again in place of the old one; the view stays.
pub fn show_reloaded(app: &mut App, id: DocumentId, trace: Arc<Trace>) {
    read_ahead(app, &trace);
    if let Some(doc) = app.docs.get_mut(id) {
        doc.in_file = Some(trace.id());
        doc.stamp = trace.stamp();
        doc.replace(trace, false);
    }
    app.picture_strips.forget(id);
}
