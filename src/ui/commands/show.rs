//! Actions that show an answer to others: present it, record it, note what is done.

use crate::gpu::GpuOptions;
use crate::record::OpenTraces;
use crate::ui::app::App;
use crate::ui::film::{self, FilmDialog, FilmOptions};
use crate::ui::present::PresentOptions;
use crate::ui::shortcuts::UiCommand;
use crate::ui::view_recorder::ViewRecorder;
use crate::ui::walkthrough;
use crate::view::timeline::{Timeline, Walkthrough};

const NOTHING: &str = "Ask a question first: its answer is what is shown.";

/// What an action does.
pub fn run(app: &mut App, act: UiCommand) {
    match act {
        UiCommand::RecordTake => toggle_take(app),
        UiCommand::Present => present(app),
        UiCommand::RecordFilm => match shown(app) {
            Some((walkthrough, _)) => {
                let name = app.editor.as_ref().map(walkthrough::Editor::name);
                app.film_dialog = Some(FilmDialog {
                    name: name.unwrap_or_else(|| "a tour of this answer".into()),
                    seconds: Timeline::new(&walkthrough).seconds(),
                    options: app.film_options.clone(),
                });
            }
            None => app.notify(NOTHING, false),
        },
        _ => {}
    }
}

/// What is shown to others: the walkthrough that is being made, else the tour of the answer.
fn shown(app: &App) -> Option<(Walkthrough, OpenTraces)> {
    match &app.editor {
        Some(editor) => Some((editor.walkthrough().clone(), editor.cast.traces.clone())),
        None => walkthrough::tour_of_answer(app).map(|(tour, cast)| (tour, cast.traces)),
    }
}

fn present(app: &mut App) {
    let Some((walkthrough, traces)) = shown(app) else {
        app.notify(NOTHING, false);
        return;
    };
    app.presents = Some(Box::new(PresentOptions {
        walkthrough,
        traces,
        first: app.editor.as_ref().map_or(0, walkthrough::Editor::selected_number),
        display: None,
        loops: false,
        presenter: false,
        gpu: GpuOptions::default(),
    }));
}

/// Records what is shown; the options are those of the next film, too.
pub fn record(app: &mut App, options: FilmOptions) {
    app.film_dialog = None;
    app.film_options = options.clone();
    if let Some((walkthrough, traces)) = shown(app) {
        film::record(app, walkthrough, traces, options);
    }
}

/// Notes what is seen, while that is wanted.
pub fn note(app: &mut App) {
    let now = app.now();
    // What is previewed is not the view.
    if app.editor.as_ref().is_some_and(|editor| editor.is_previewing) {
        return;
    }
    let Some(mut take) = app.take.take() else { return };
    if let Some(doc) = app.doc() {
        take.note(now, doc);
    }
    app.take = Some(take);
}

/// Begins to note what is done; the second time, opens it as a walkthrough.
fn toggle_take(app: &mut App) {
    let now = app.now();
    let Some(take) = app.take.take() else {
        if app.doc().is_none() {
            app.notify(NOTHING, false);
            return;
        }
        app.take = Some(ViewRecorder::new(now));
        if let Some(editor) = &mut app.editor {
            editor.is_previewing = false;
        }
        app.notify("What you look at is noted. The same command ends it.", false);
        return;
    };
    match take.finish(now) {
        Some((walkthrough, cast)) => walkthrough::from_take(app, walkthrough, cast),
        None => app.notify("Nothing was looked at meanwhile.", false),
    }
}
