//! Actions on files: open, save, copy.

use crate::model::Picture;
use crate::ui::app::{App, Intent};
use crate::ui::dialogs::{self, Dialog, Want};
use crate::ui::document::Document;
use crate::ui::exports::{Finished, Kind};
use crate::ui::figures::FigureJob;
use crate::ui::shortcuts::UiCommand;
use std::path::Path;
use std::sync::Arc;

/// What can be opened.
const OPENED: &[(&str, &[&str])] = &[
    (
        "Pictures, traces and walkthroughs",
        &["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "vlmtrace", "toml", "zip"],
    ),
    ("All files", &["*"]),
];

/// What an action on files does.
pub fn run(app: &mut App, ctx: &egui::Context, act: UiCommand) {
    match act {
        UiCommand::OpenFile => {
            let dialog = Dialog {
                title: "Open a picture, one or more traces, or a walkthrough",
                want: Want::Files,
                filters: OPENED,
            };
            dialogs::ask(app, dialog, |app, paths| {
                app.out.extend(paths.into_iter().map(Intent::Open));
            });
        }
        UiCommand::Paste => super::ask::paste(app),
        UiCommand::SaveTrace => {
            let Some(doc) = app.doc() else { return };
            let (id, trace, name) = (doc.id, Arc::clone(&doc.trace), file_stem(doc));
            dialogs::ask_place(
                app,
                Kind::Trace.dialog("Save the trace", &name),
                move |app, path| {
                    app.exports.write_trace(id, trace, path);
                },
            );
        }
        UiCommand::SavePng => save(app, ctx, Kind::Png),
        UiCommand::SaveSvg => save(app, ctx, Kind::Svg),
        UiCommand::SaveNumbers => save(app, ctx, Kind::Csv),
        UiCommand::CopyImage => {
            if let Some(job) = job(app, ctx) {
                app.exports.copy_image(job);
            }
        }
        UiCommand::CopyNumbers => {
            if let Some(job) = job(app, ctx) {
                app.exports.copy_numbers(job);
            }
        }
        UiCommand::CopyCommandLine => {
            if let Some(job) = job(app, ctx) {
                match crate::ui::figures::command_line(&job) {
                    Ok(text) => {
                        app.send(Intent::Copy(text, "Command line"));
                        if job.path.is_none() {
                            app.notify("Save the trace (Ctrl+S) and put its file in place of TRACE.vlmtrace.", false);
                        }
                    }
                    Err(error) => app.notify(format!("{error:#}"), true),
                }
            }
        }
        UiCommand::Bookmark => super::view::add_bookmark(app),
        _ => {}
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
    Some(FigureJob {
        gpu: app.stage.gpu(),
        state,
        trace: Arc::clone(&doc.trace),
        path: doc.path.clone(),
        size: app.stage.figure_size(),
    })
}

fn save(app: &mut App, ctx: &egui::Context, kind: Kind) {
    let Some(job) = job(app, ctx) else { return };
    let Some(name) = app.doc().map(file_stem) else { return };
    dialogs::ask_place(app, kind.dialog("Save this view", &name), move |app, path| {
        app.exports.write_figure(kind, job, path);
    });
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

/// Opens a model folder, a trace or a picture: what it is shows by its content and name.
pub fn open(app: &mut App, path: &Path) {
    if path.is_dir() {
        if path.join(crate::model::MANIFEST_FILE).is_file() {
            app.send(Intent::UseBundle(path.to_owned()));
        } else {
            app.exports.open_folder(path);
        }
        return;
    }
    if path.extension().is_some_and(|end| end == "toml" || end == "zip") {
        return crate::ui::walkthrough::open(app, path);
    }
    let is_trace = path.extension().is_some_and(|end| end == "vlmtrace" || end == "safetensors");
    if is_trace {
        app.exports.open_trace(path);
    } else {
        app.exports.open_picture(path);
    }
}

/// Opens a picture that is in memory.
pub fn open_picture(app: &mut App, name: String, bytes: Arc<[u8]>) {
    app.exports.read_bytes(name, bytes);
}

/// Files that were dropped on the window.
pub fn read_drops(app: &mut App, ctx: &egui::Context) {
    let dropped = ctx.input(|input| input.raw.dropped_files.clone());
    for file in dropped {
        app.send(Intent::Open(file.path().to_owned()));
    }
}

/// What was pasted where nobody is typing: a picture, or the path of a file.
pub fn read_pastes(app: &mut App, ctx: &egui::Context) {
    if ctx.text_edit_focused() {
        return;
    }
    for event in ctx.input(|input| input.events.clone()) {
        match event {
            egui::Event::PasteImage(pixels) => app.exports.read_pixels((*pixels).clone()),
            egui::Event::Paste(text) => {
                let path = Path::new(text.trim().trim_start_matches("file://")).to_owned();
                if path.exists() {
                    app.send(Intent::Open(path));
                } else {
                    app.notify("What is on the clipboard is neither a picture nor a file.", false);
                }
            }
            _ => {}
        }
    }
}

/// What came of the jobs that ended since the last frame.
pub fn read_exports(app: &mut App, ctx: &egui::Context) {
    for finished in app.exports.take() {
        match finished {
            Finished::Change(change) => change(app),
            Finished::Trace(trace, path) => {
                app.settings.remember_file(&path);
                show_trace(app, trace);
            }
            Finished::Traces(traces, failed) => {
                for (trace, path) in traces {
                    app.settings.remember_file(&path);
                    show_trace(app, trace);
                }
                for text in failed.into_iter().take(3) {
                    app.notify(text, true);
                }
            }
            Finished::Samples(samples) => {
                let load = |(sample, pixels): (crate::ui::samples::Sample, egui::ColorImage)| {
                    let options = egui::TextureOptions::LINEAR;
                    (ctx.load_texture(&sample.file, pixels, options), sample)
                };
                app.samples = Some(samples.into_iter().map(load).collect());
            }
            Finished::Picture { picture, preview, path } => {
                if let Some(path) = path {
                    app.settings.remember_file(&path);
                }
                super::ask::stop(app);
                app.chat.suggestions = crate::ui::samples::general_questions();
                app.chat.picture = Some(picture);
                app.stage.show_picture(preview);
                app.show_view();
                app.current = None;
                app.chat.focus_question = true;
                super::ask::load_model(app);
            }
            Finished::Preview(preview) => app.stage.show_picture(preview),
            Finished::Saved(path) => app.notify(format!("Saved {}.", path.display()), false),
            Finished::TraceSaved(path, document, contents) => {
                app.settings.remember_file(&path);
                if let Some(doc) = app.docs.iter_mut().find(|doc| doc.id == document) {
                    (doc.path, doc.in_file) = (Some(path.clone()), Some(contents));
                }
                app.notify(format!("Saved {}.", path.display()), false);
            }
            Finished::Image(image) => {
                ctx.copy_image(image);
                app.notify("Image copied.", false);
            }
            Finished::Text(text, what) => app.send(Intent::Copy(text, what)),
            Finished::Failed(text) if text.is_empty() => {}
            Finished::Failed(text) => app.notify(text, true),
        }
    }
}

/// Shows a trace, and lets the next question be about its picture.
pub fn show_trace(app: &mut App, trace: Arc<crate::trace::Trace>) {
    let picture = trace.picture_original(0).map(|bytes| Picture {
        name: trace
            .meta()
            .preprocess
            .first()
            .map(|info| info.file_name.clone())
            .unwrap_or_default(),
        bytes: bytes.into(),
    });
    let doc = Document::new(trace, &app.look);
    if let Some(picture) = picture {
        app.pictures.insert(doc.id, picture);
    }
    app.add_document(doc);
}
