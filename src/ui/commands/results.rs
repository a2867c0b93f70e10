//! Applies the results of background work to the window.

use super::{
    ask, causes, data_set, dialogs, edit_picture, files, grounding, interventions, patching,
    relevancy, samples, score, session, show, walkthrough_files,
};
use crate::model::Picture;
use crate::trace::FileStamp;
use crate::ui::app::App;
use crate::ui::data_set::DataSetView;
use crate::ui::intent::Intent;
use crate::ui::task_result::{PathPurpose, TaskResult};
use crate::ui::tasks::TaskNews;
use crate::view::Command;
use std::path::PathBuf;

/// Number of errors that are shown if files of a folder could not be opened.
const MOST_REASONS: usize = 3;

/// Reads news of tasks and exports since the last frame.
pub fn read(app: &mut App, ctx: &egui::Context) {
    for result in app.exports.take() {
        apply(app, ctx, result);
    }
    while let Some(news) = app.tasks.next_news() {
        match news {
            TaskNews::Found(found) => apply(app, ctx, found),
            TaskNews::Failed(text) => app.notify(text, true),
            TaskNews::Stopped(text) => app.notify(text, false),
        }
    }
}

fn apply(app: &mut App, ctx: &egui::Context, result: TaskResult) {
    match result {
        TaskResult::Nothing => {}
        TaskResult::Session(restored, restoring) => {
            session::show(app, *restored);
            drop(restoring);
        }
        TaskResult::Said(text) => app.notify(text, false),
        TaskResult::Failed(text) => app.notify(text, true),
        TaskResult::Opened(trace, path, view) => {
            app.settings.remember_file(&path);
            files::show_trace(app, trace);
            if let Some(view) = view {
                app.intents.command(Command::Replace(view));
            }
        }
        TaskResult::OpenedTable(data) => data_set::show_table(app, data, DataSetView::default()),
        TaskResult::TableOfFolder(made, view) => {
            let problems = data_set::show_folder(app, *made, *view);
            say_reasons(app, problems);
        }
        TaskResult::RestoredTables { tables, shows, problems } => {
            data_set::show_again(app, tables, shows);
            say_reasons(app, problems);
        }
        TaskResult::SamplePicture { picture, preview, question, turns, sample } => {
            show_picture(app, picture, preview);
            ask::ask_sample(app, question, turns, sample);
        }
        TaskResult::OpenedSample(trace, view, sample) => {
            samples::show(app, trace, view, sample);
        }
        TaskResult::Reloaded(id, trace) => files::show_reloaded(app, id, trace),
        TaskResult::OpenedFolder(folder, traces, failed) => {
            if !traces.is_empty() {
                files::show_folder(app, &folder, traces);
            }
            say_reasons(app, failed);
        }
        TaskResult::Samples(samples) => {
            let load = |(sample, pixels): (crate::ui::samples::Sample, egui::ColorImage)| {
                let options = egui::TextureOptions::LINEAR;
                (ctx.load_texture(&sample.file, pixels, options), sample)
            };
            app.samples = Some(samples.into_iter().map(load).collect());
        }
        TaskResult::CapturedSamples(samples) => {
            let load =
                |(sample, pixels): (crate::ui::samples::CapturedSample, egui::ColorImage)| {
                    let options = egui::TextureOptions::LINEAR;
                    (ctx.load_texture(&sample.title, pixels, options), sample)
                };
            app.captured_samples = samples.into_iter().map(load).collect();
        }
        TaskResult::PictureStrip(of, drawn) => app.picture_strips.keep(ctx, of, drawn),
        TaskResult::Thumbnail(bookmark, pixels) => {
            let texture = ctx.load_texture("thumbnail", pixels, egui::TextureOptions::LINEAR);
            if let Some(own) = app.thumbnails.iter_mut().find(|own| own.is_of(&bookmark)) {
                own.texture = Some(texture);
            }
        }
        TaskResult::Picture { picture, preview, path } => {
            if let Some(path) = path {
                app.settings.remember_file(&path);
            }
            show_picture(app, picture, preview);
            app.chat.focus_question = true;
            ask::load_model(app);
        }
        TaskResult::Preview(preview) => app.stage.show_picture(preview),
        TaskResult::Saved(path) => app.notify(format!("Saved {}.", path.display()), false),
        TaskResult::TraceSaved(path, document, contents) => {
            app.settings.remember_file(&path);
            if let Some(doc) = app.docs.get_mut(document) {
                (doc.path, doc.in_file) = (Some(path.clone()), Some(contents));
                doc.stamp = FileStamp::read(&path);
            }
            app.notify(format!("Saved {}.", path.display()), false);
        }
        TaskResult::Image(image) => {
            ctx.copy_image(image);
            app.notify("Image copied.", false);
        }
        TaskResult::Text(text, name) => app.intents.send(Intent::Copy(text, name)),
        TaskResult::Measured { of, found } => grounding::show(app, of, found),
        TaskResult::HeadEffects { of, found } => interventions::keep_effects(app, of, found),
        TaskResult::Relevancy { of, found, methods, opens } => {
            relevancy::show(app, of, found, &methods, opens);
        }
        TaskResult::Causes { of, found } => causes::keep(app, of, *found),
        TaskResult::Patching(found) => patching::show(app, *found),
        TaskResult::Occlusion(of, trace) => interventions::show_map(app, of, trace),
        TaskResult::Curves(of, curves) => score::grow(app, of, curves),
        TaskResult::HeadEffect { of, index, total, changes_answer } => {
            interventions::show_head_effect(app, of, index, total, changes_answer);
        }
        TaskResult::Compared(found) => app.what_if.comparison = Some(*found),
        TaskResult::Intervened(done) => interventions::show_effect(app, *done),
        TaskResult::EditAnswered(answered) => edit_picture::show(app, *answered),
        TaskResult::Walkthrough { new, from, left_out } => {
            if let Some(path) = from {
                app.settings.remember_file(&path);
            }
            say_reasons(app, left_out);
            walkthrough_files::begin(app, new);
        }
        TaskResult::WalkthroughSaved(saved) => walkthrough_files::saved(app, *saved),
        TaskResult::Paths(purpose, paths) => chosen(app, *purpose, paths),
        TaskResult::AskInWindow(question) => dialogs::ask_in_window(app, *question),
    }
}

/// Shows a picture that the next question is about.
fn show_picture(app: &mut App, picture: Picture, preview: egui::ColorImage) {
    ask::stop(app);
    app.chat.set_picture(Some(picture));
    app.stage.show_picture(preview);
    app.show_view();
    app.data_sets.is_shown = false;
    app.current = None;
}

fn say_reasons(app: &mut App, reasons: Vec<String>) {
    for text in reasons.into_iter().take(MOST_REASONS) {
        app.notify(text, true);
    }
}

/// Takes the path that was typed.
pub fn accept_path(app: &mut App) {
    if let Some((purpose, path)) = dialogs::accept(app) {
        chosen(app, purpose, vec![path]);
    }
}

/// Carries out the purpose of the chosen paths.
fn chosen(app: &mut App, purpose: PathPurpose, paths: Vec<PathBuf>) {
    if matches!(purpose, PathPurpose::Open) {
        return paths.into_iter().for_each(|path| app.intents.send(Intent::Open(path)));
    }
    let Some(path) = paths.into_iter().next() else { return };
    match purpose {
        PathPurpose::Open => {}
        PathPurpose::SaveTableFigure(figure) => app.exports.write_table_figure(*figure, path),
        PathPurpose::CompareTable => data_set::compare_with(app, path),
        PathPurpose::UseBundle => app.intents.send(Intent::UseBundle(path)),
        PathPurpose::SaveTrace(document, trace) => app.exports.write_trace(document, trace, path),
        PathPurpose::SaveFigure(kind, job) => app.exports.write_figure(kind, *job, path),
        PathPurpose::SaveBytes(bytes) => app.exports.write_bytes(bytes, path),
        PathPurpose::RecordFilm { walkthrough, traces, options } => {
            show::record_to(app, walkthrough, traces, options, &path);
        }
        PathPurpose::SaveWalkthrough { editor, then } => {
            walkthrough_files::save_to(app, editor, path, then);
        }
        PathPurpose::PackWalkthrough { walkthrough, traces } => {
            walkthrough_files::pack_to(app, walkthrough, traces, path);
        }
    }
}
