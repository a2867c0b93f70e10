//! What intents do, one file a family.

pub mod ask;
pub mod files;
pub mod show;
pub mod view;
pub mod window;

use super::app::{App, Intent};
use super::shortcuts::{Section, UiCommand};
use super::{walkthrough, what_if};
use crate::view::Command;

/// Applies one intent.
pub fn apply(app: &mut App, ctx: &egui::Context, intent: Intent) {
    match intent {
        Intent::Command(command) => changes_view(app, &command),
        Intent::Scrub(command) => {
            changes_view(app, &command);
            app.fade = None;
        }
        Intent::Settle => {
            if let Some(doc) = app.doc_mut() {
                doc.settle();
            }
        }
        Intent::Ui(act) => run(app, ctx, act),
        Intent::Open(path) => files::open(app, &path),
        Intent::OpenPicture(name, bytes) => files::open_picture(app, name, bytes),
        Intent::Ask(question) => ask::ask(app, question, None),
        Intent::Score(answer) => ask::score(app, answer),
        Intent::UseSample(index) => ask::use_sample(app, index),
        Intent::LoadModel => ask::load_model(app),
        Intent::Show(id) => app.show_document(id),
        Intent::Close(id) => ask::close(app, id),
        Intent::UseBundle(bundle) => ask::use_bundle(app, bundle),
        Intent::GoToBookmark(index) => view::go_to_bookmark(app, index),
        Intent::RemoveBookmark(index) => {
            if index < app.settings.bookmarks.len() {
                app.settings.bookmarks.remove(index);
            }
        }
        Intent::CancelTask(id) => app.tasks.cancel(id),
        Intent::TestMaps => super::panels::score::start(app),
        Intent::WhatIf(command) => what_if::apply(app, command),
        Intent::Walkthrough(command) => walkthrough::apply(app, command),
        Intent::Film(options) => show::record(app, *options),
        Intent::Confirm(answer) => walkthrough::answer(app, answer),
        Intent::AcceptPath => super::dialogs::accept(app),
        Intent::ShowPanel(pane) => window::show_panel(app, pane),
        Intent::Dismiss(id) => app.notices.retain(|notice| notice.id != id),
        Intent::Copy(text, what) => {
            ctx.copy_text(text);
            app.notify(format!("{what} copied."), false);
        }
    }
}

/// What is changed is seen, whatever the stage showed before.
fn changes_view(app: &mut App, command: &Command) {
    if !command.is_transient() {
        app.show_view();
    }
    view::command(app, command);
}

fn run(app: &mut App, ctx: &egui::Context, act: UiCommand) {
    if act == UiCommand::Stop {
        window::escape(app);
        return;
    }
    if walkthrough::run(app, act) || what_if::run(app, act) {
        return;
    }
    match act {
        UiCommand::ComputeRelevancy => {
            return super::panels::relevancy::compute_missing(app, false);
        }
        UiCommand::ComputeEveryRelevancy => {
            return super::panels::relevancy::compute_missing(app, true);
        }
        UiCommand::TestMap => return super::panels::score::start(app),
        _ => {}
    }
    match act.entry().map(|entry| entry.section) {
        Some(Section::Views | Section::Scrub | Section::Play | Section::Look) => {
            view::run(app, act);
        }
        Some(Section::Ask) => ask::run(app, act),
        Some(Section::Files) => files::run(app, ctx, act),
        Some(Section::Show) => show::run(app, act),
        Some(Section::Window) => window::run(app, ctx, act),
        None => {}
    }
}
