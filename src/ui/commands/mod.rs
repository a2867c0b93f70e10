//! The functions that carry out intents, one file a subject. Only these files, and the frame that calls them,
//! change the [`App`].

mod ask;
mod bookmarks;
mod causes;
mod close;
mod data_set;
mod dialogs;
mod edit_picture;
mod files;
mod grounding;
mod heads;
mod interventions;
mod marking;
mod patching;
mod playing;
mod relevancy;
mod results;
mod samples;
mod score;
mod session;
mod settings;
mod show;
pub mod tasks;
mod undo;
mod view;
mod walkthrough;
mod walkthrough_files;
mod what_if;
mod window;

use super::app::{App, HostRequest};
use super::command_table::ui_commands;
use super::document::DocumentId;
use super::figures::FigureKind;
use super::intent::{ChatCommand, DataSetCommand, FilmCommand, Intent, PathCommand};
use super::shortcuts::UiCommand;
use super::transport::PlayAxis;
use super::view_changes::{next_of, with_axes};
use super::walkthrough::editor::Editor;
use crate::trace::Trace;
use crate::view::ViewState;
use crate::view::timeline::Edit;
use crate::view::{
    AxisSet, Blend, Camera, ColorMap, Command, ImageForm, Interpolation, PatchGrid, Queries,
    QueryKind, ViewKind,
};
use std::sync::Arc;

/// The function of a row of the command table.
type Body = fn(&mut App, &egui::Context);

macro_rules! bodies {
    ($($section:ident {
        $($act:ident $name:literal $([$mods:ident $key:ident])* => $run:expr),+ $(,)?
    })+) => {
        /// The function of a command.
        fn body(command: UiCommand) -> Body {
            match command { $($(UiCommand::$act => $run),+),+ }
        }
    };
}

ui_commands!(bodies);

/// Tells a model on another machine what the stage reads.
pub fn tell_shown(app: &App, state: &ViewState, trace: &Trace) {
    ask::tell_shown(app, state, trace);
}

/// Reads news of the model, files and tasks since the last pass.
pub fn read_news(app: &mut App, ctx: &egui::Context) {
    ask::read_news(app);
    data_set::read_news(app, ctx);
    results::read(app, ctx);
}

/// Takes files and pictures that were dropped or pasted.
pub fn read_input(app: &mut App, ctx: &egui::Context) {
    if !app.is_asked() {
        files::read_drops(app, ctx);
        files::read_pastes(app, ctx);
    }
}

/// Checks files of shown documents for changes, and advances playback of the view and of the walkthrough.
pub fn tick(app: &mut App, ctx: &egui::Context) {
    files::look_for_changes(app);
    files::follow_picture(app);
    playing::tick(app, ctx);
    causes::tick(app);
    walkthrough::tick(app, ctx);
}

/// Makes textures of pictures that changed.
pub fn draw_pictures(app: &mut App, ctx: &egui::Context) {
    edit_picture::draw_preview(app, ctx);
    app.stage.load_picture(ctx);
}

/// Draws the small pictures of a document's strip; once.
fn draw_picture_strip(app: &mut App, of: DocumentId) {
    if !app.picture_strips.begin(of, &app.docs) {
        return;
    }
    if let Some(doc) = app.docs.get(of) {
        let numbers = doc.extent.picture_numbers();
        app.exports.draw_picture_strip(of, Arc::clone(&doc.trace), numbers);
    }
}

/// Saves the session when it is time.
pub fn keep_session(app: &mut App, ctx: &egui::Context) {
    session::keep(app, ctx);
}

/// Saves the session at once, for the end of the window.
///
/// # Errors
/// A sentence, if it cannot be saved.
pub fn keep_session_now(app: &mut App) -> Result<super::session::Saved, String> {
    session::keep_now(app)
}

/// Opens the session that this window continues.
pub fn open_session(app: &mut App, found: super::session::Found) {
    session::open(app, found);
}

/// Records the present view, while recording is on.
pub fn note(app: &mut App) {
    show::note(app);
}

/// Carries out the collected intents, and those that are sent meanwhile.
pub fn apply_all(app: &mut App, ctx: &egui::Context) {
    while !app.intents.is_empty() {
        for intent in app.intents.take() {
            // A change of the view draws this pass again; any other change asks for another frame.
            let is_of_view = matches!(
                intent,
                Intent::Command(_)
                    | Intent::Scrub(_)
                    | Intent::Settle
                    | Intent::DrawSamples
                    | Intent::DrawPictureStrip(_)
                    | Intent::DataSet(DataSetCommand::Tiles(_))
            );
            if !is_of_view {
                ctx.request_repaint();
            }
            apply(app, ctx, intent);
        }
    }
}

/// Carries out one intent.
fn apply(app: &mut App, ctx: &egui::Context, intent: Intent) {
    match intent {
        Intent::Command(command) => changes_view(app, &command),
        Intent::Scrub(command) => {
            changes_view(app, &command);
            app.transition = None;
        }
        Intent::Settle => {
            if let Some(doc) = app.doc_mut() {
                doc.settle();
            }
        }
        Intent::Ui(command) => run(app, ctx, command),
        Intent::Open(path) => files::open(app, &path),
        Intent::Reload(id) => files::reload(app, id),
        Intent::OpenSessions => session::open_waiting(app),
        Intent::DiscardSessions => session::discard_waiting(app),
        Intent::ForgetMissing(numbers) => {
            app.missing.retain(|missing| !numbers.contains(&missing.record.id));
        }
        Intent::StartFresh => walkthrough_files::start_fresh(app),
        Intent::Reopen => close::reopen(app),
        Intent::Ask(question) => ask::ask(app, question, None),
        Intent::Score(answer) => ask::score(app, answer),
        Intent::Chat(command) => apply_chat(app, command),
        Intent::UseSample(index) => ask::use_sample(app, index),
        Intent::DrawSamples => ask::draw_samples(app),
        Intent::DrawPictureStrip(of) => draw_picture_strip(app, of),
        Intent::LoadModel => ask::load_model(app),
        Intent::Show(id) => app.show_document(id),
        Intent::Close(id) => close::answer(app, id),
        Intent::UseBundle(bundle) => ask::use_bundle(app, bundle),
        Intent::Bookmark(command) => bookmarks::apply(app, command),
        Intent::CancelTask(id) => app.tasks.cancel(id),
        Intent::TestMaps => score::start(app),
        Intent::DataSet(DataSetCommand::Open(row)) => samples::open(app, row),
        Intent::DataSet(DataSetCommand::AskAgain(row)) => samples::ask_again(app, row),
        Intent::DataSet(command) => data_set::apply(app, command),
        Intent::CheckWords(answers) => grounding::check_each(app, answers),
        Intent::ComputeRelevancy(methods, tokens) => relevancy::compute(app, methods, tokens),
        Intent::Causes(command) => causes::apply(app, command),
        Intent::WhatIf(command) => what_if::apply(app, command),
        Intent::Mark(command) => marking::apply(app, command),
        Intent::Walkthrough(command) => walkthrough::apply(app, command),
        Intent::Film(command) => apply_film(app, command),
        Intent::Confirm(answer) => walkthrough_files::answer(app, answer),
        Intent::Path(PathCommand::Type(text)) => dialogs::type_path(app, text),
        Intent::Path(PathCommand::Accept) => results::accept_path(app),
        Intent::Path(PathCommand::Cancel) => {
            dialogs::cancel(app);
        }
        Intent::Transport(command) => playing::apply(app, command),
        Intent::Settings(change) => settings::apply(app, change),
        Intent::RankOverAll(over_all) => app.rank_over_all = over_all,
        Intent::ShowAnswers(shows) => app.shows_answers = shows,
        Intent::Heads(command) => heads::apply(app, command),
        Intent::ShowPanel(pane) => window::show_panel(app, pane),
        Intent::ShowOverlay(overlay) => app.overlay = overlay,
        Intent::ShowPalette(open) => app.palette_open = open,
        Intent::CloseHelp => app.help_open = false,
        Intent::Dismiss(id) => app.notices.retain(|notice| notice.id != id),
        Intent::Copy(text, name) => {
            ctx.copy_text(text);
            app.notify(format!("{name} copied."), false);
        }
    }
}

fn apply_chat(app: &mut App, command: ChatCommand) {
    let chat = &mut app.chat;
    match command {
        ChatCommand::Question(text) => chat.question = text,
        ChatCommand::QuestionFocused => chat.focus_question = false,
        ChatCommand::FollowUp(follow_up) => chat.follow_up = follow_up,
        ChatCommand::DismissError => chat.error = None,
    }
}

fn apply_film(app: &mut App, command: FilmCommand) {
    match command {
        FilmCommand::Options(options) => {
            if let Some(dialog) = &mut app.film_dialog {
                dialog.options = options;
            }
        }
        FilmCommand::Cancel => app.film_dialog = None,
        FilmCommand::Record => show::record(app),
        FilmCommand::Size(size) => app.film_options.size = size,
    }
}

/// A change of the view brings the view back to the stage.
fn changes_view(app: &mut App, command: &Command) {
    if !command.is_transient() {
        app.show_view();
    }
    view::apply(app, command);
    what_if::leave_without_map(app);
}

fn run(app: &mut App, ctx: &egui::Context, command: UiCommand) {
    if data_set::takes(app, command) || walkthrough::takes(app, command) {
        return;
    }
    body(command)(app, ctx);
}
