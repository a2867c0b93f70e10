//! Showing an answer to others: presenting and recording it, recording the user's views.

use super::dialogs;
use super::tasks::start_writing;
use super::walkthrough_files::{from_take, tour_of_answer};
use crate::gpu::GpuOptions;
use crate::record::encoder::FilmFormat;
use crate::record::{Film, OpenTraces, Progress, subtitles};
use crate::ui::app::App;
use crate::ui::exports::write_bytes;
use crate::ui::film::{CaptionPlace, FilmDialog, FilmOptions, duration};
use crate::ui::present::options::PresentOptions;
use crate::ui::shortcuts::UiCommand;
use crate::ui::task_result::{PathPurpose, TaskResult};
use crate::ui::view_recorder::ViewRecorder;
use crate::ui::walkthrough::editor::Editor;
use crate::view::timeline::{Timeline, Walkthrough};
use std::path::Path;
use std::time::Instant;

const NOTHING: &str = "Ask a question first: there is no answer to show yet.";

/// Asks how a film is to be recorded.
pub fn ask_for_film(app: &mut App) {
    let Some((walkthrough, _)) = shown(app) else { return app.notify(NOTHING, false) };
    let name = app.editor.as_ref().map(Editor::name);
    app.film_dialog = Some(FilmDialog {
        name: name.unwrap_or_else(|| "a tour of this answer".into()),
        seconds: Timeline::new(&walkthrough).seconds(),
        options: app.film_options.clone(),
    });
}

/// The walkthrough to show to others: the one that is open, else the tour of the answer.
fn shown(app: &App) -> Option<(Walkthrough, OpenTraces)> {
    match &app.editor {
        Some(editor) => Some((editor.walkthrough().clone(), editor.trace_set.traces.clone())),
        None => tour_of_answer(app).map(|(tour, trace_set)| (tour, trace_set.traces)),
    }
}

/// Presents that walkthrough.
pub fn present(app: &mut App) {
    let Some((walkthrough, traces)) = shown(app) else {
        app.notify(NOTHING, false);
        return;
    };
    app.presents = Some(Box::new(PresentOptions {
        walkthrough,
        traces,
        first: app.editor.as_ref().map_or(0, Editor::selected_number),
        display: None,
        loops: false,
        presenter: false,
        gpu: GpuOptions::default(),
    }));
}

/// Asks for a file, then records the film; its options become the defaults of the next one.
pub fn record(app: &mut App) {
    let Some(FilmDialog { options, .. }) = app.film_dialog.take() else { return };
    app.film_options = options.clone();
    let Some((walkthrough, traces)) = shown(app) else { return };
    let like = app.editor.as_ref().and_then(|editor| editor.path.clone());
    let dialog = options.dialog(like.as_deref());
    dialogs::ask(app, dialog, PathPurpose::RecordFilm { walkthrough, traces, options });
}

/// Records a film to a file or folder, beside the window.
pub fn record_to(
    app: &mut App,
    walkthrough: Walkthrough,
    traces: OpenTraces,
    options: FilmOptions,
    path: &Path,
) {
    let (gpu, out) = (app.stage.gpu(), options.place(path));
    start_writing(app, "Record a film", "recording", move |reporter, cancel| {
        let FilmOptions { size, fps, quality, encoder, captions, .. } = options;
        // A device of its own, so that the window stays as fast as before.
        let gpu = gpu.reopen()?;
        let timeline = Timeline::new(&walkthrough);
        let frames = timeline.frames(fps);
        let encoder = FilmFormat { size, fps, frames, quality, encoder }.open(&out)?;
        let captions_drawn = captions == CaptionPlace::Picture;
        let film = Film {
            walkthrough: &walkthrough,
            traces: &traces,
            size,
            fps,
            captions: captions_drawn,
        };
        let start = Instant::now();
        let mut told = 0;
        let summary = film.record(&gpu, encoder, cancel, &mut |Progress { done, frames }| {
            let seconds = start.elapsed().as_secs();
            reporter.progress(done as usize, frames as usize);
            // Once a second is often enough for a reader.
            if seconds > told {
                told = seconds;
                let left = start.elapsed().as_secs_f64() * (frames - done) as f64 / done as f64;
                reporter.say(format!("frame {done} of {frames} · {} left", duration(left)));
            }
        })?;
        let mut beside = String::new();
        if captions == CaptionPlace::Beside {
            let srt = out.with_extension("srt");
            write_bytes(subtitles(&timeline).as_bytes(), &srt)?;
            beside = format!(" and {}", srt.display());
        }
        let glyphs =
            summary.missing_glyphs.map_or_else(String::new, |text| format!(" Note: {text}."));
        Ok(TaskResult::Said(format!("Recorded {}{beside}.{glyphs}", out.display())))
    });
}

/// Records the present view, while recording is on.
pub fn note(app: &mut App) {
    let now = app.now();
    // The stage shows the preview of the walkthrough, not the view.
    if app.editor.as_ref().is_some_and(|editor| editor.is_previewing) {
        return;
    }
    let Some(mut take) = app.take.take() else { return };
    if let Some(doc) = app.doc() {
        take.note(now, doc);
    }
    app.take = Some(take);
}

/// Starts recording the user's views; the second call opens the recording as a walkthrough.
pub fn toggle_take(app: &mut App) {
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
        let keys = UiCommand::RecordTake.keys_text();
        app.notify(format!("Your actions are being recorded. Press {keys} or Stop to end."), false);
        return;
    };
    match take.finish(now) {
        Some((walkthrough, trace_set)) => from_take(app, walkthrough, trace_set),
        None => app.notify("No view was shown during the recording.", false),
    }
}
