//! What intents do, one file a family.

pub mod ask;
pub mod files;
pub mod show;
pub mod view;
pub mod window;

use super::app::{App, Intent};
use super::shortcuts::{Act, Section};
use super::{probe, walkthrough};
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
        Intent::Act(act) => perform(app, ctx, act),
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
        Intent::Probe(wish) => probe::apply(app, wish),
        Intent::Walkthrough(wish) => walkthrough::apply(app, wish),
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

fn perform(app: &mut App, ctx: &egui::Context, act: Act) {
    if act == Act::Stop {
        window::escape(app);
        return;
    }
    if walkthrough::perform(app, act) || probe::perform(app, act) {
        return;
    }
    match act {
        Act::ComputeRelevancy => return super::panels::relevancy::compute_missing(app, false),
        Act::ComputeEveryRelevancy => return super::panels::relevancy::compute_missing(app, true),
        Act::TestMap => return super::panels::score::start(app),
        _ => {}
    }
    match act.entry().map(|entry| entry.section) {
        Some(Section::Views | Section::Scrub | Section::Play | Section::Look) => {
            view::perform(app, act);
        }
        Some(Section::Ask) => ask::perform(app, act),
        Some(Section::Files) => files::perform(app, ctx, act),
        Some(Section::Show) => show::perform(app, act),
        Some(Section::Window) => window::perform(app, ctx, act),
        None => {}
    }
}
