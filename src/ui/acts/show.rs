//! Actions that show an answer to others: present it, record it.

use crate::gpu::{Gpu, GpuOptions};
use crate::record::encoder::{Container, FilmFormat, Quality, VideoEncoder};
use crate::record::{Film, OpenTraces, Progress};
use crate::ui::app::App;
use crate::ui::present::PresentOptions;
use crate::ui::shortcuts::Act;
use crate::ui::take::Take;
use crate::ui::tasks;
use crate::view::Theme;
use crate::view::timeline::{Timeline, Walkthrough, tour};
use std::path::{Path, PathBuf};

const FPS: u32 = 30;
const SIZE: [u32; 2] = [1920, 1080];

/// What an action does.
pub fn perform(app: &mut App, act: Act) {
    if act == Act::RecordTake {
        return toggle_take(app);
    }
    let Some((walkthrough, traces)) = show(app) else {
        app.notify("Ask a question first: its answer is what is shown.", false);
        return;
    };
    if act == Act::RecordFilm {
        return record(app, walkthrough, traces);
    }
    app.presents = Some(Box::new(PresentOptions {
        walkthrough,
        traces,
        display: None,
        loops: false,
        presenter: false,
        gpu: GpuOptions::default(),
    }));
}

/// The tour of the answer that is looked at, in the window's look.
fn show(app: &App) -> Option<(Walkthrough, OpenTraces)> {
    let doc = app.doc().filter(|doc| !doc.live)?;
    let path = doc.path.clone().unwrap_or_else(|| PathBuf::from("answer.vlmtrace"));
    let mut walkthrough = tour(&doc.trace, &path);
    let look = doc.state();
    for step in &mut walkthrough.steps {
        step.state.colormap = look.colormap;
        step.state.interpolation = look.interpolation;
        step.state.theme = Theme::Dark;
    }
    let mut traces = OpenTraces::default();
    traces.insert(path, (*doc.trace).clone());
    Some((walkthrough, traces))
}

/// Notes what is seen, while that is wanted.
pub fn note(app: &mut App) {
    let Some(mut take) = app.take.take() else { return };
    if let Some(doc) = app.doc() {
        take.note(app.now(), doc.id, (&doc.trace, doc.path.as_deref()), doc.state());
    }
    app.take = Some(take);
}

fn toggle_take(app: &mut App) {
    let Some(take) = app.take.take() else {
        app.take = Some(Take::default());
        app.notify("What you do is noted. The same command stops and saves it.", false);
        return;
    };
    let end = app.now();
    let dialog = rfd::AsyncFileDialog::new()
        .set_file_name("walkthrough.toml")
        .add_filter("walkthrough", &["toml"])
        .save_file();
    tasks::start(app, "Save the walkthrough", move |_, _| {
        let Some(file) = pollster::block_on(dialog) else {
            // Not lost: it goes on.
            return Ok(Box::new(move |app: &mut App| {
                app.take.get_or_insert(take);
                app.notify("Not saved: what you do is still noted.", false);
            }));
        };
        let out = file.path().with_extension("toml");
        let steps = take.save(end, &out)?;
        let text = format!("{steps} steps in {}.", out.display());
        Ok(Box::new(move |app: &mut App| app.notify(text, false)))
    });
}

fn record(app: &mut App, walkthrough: Walkthrough, traces: OpenTraces) {
    let dialog = rfd::AsyncFileDialog::new()
        .set_file_name("tour.mp4")
        .add_filter("film", &["mp4", "gif"])
        .save_file();
    tasks::start(app, "Record a film", move |reporter, cancel| {
        let Some(file) = pollster::block_on(dialog) else {
            return Ok(Box::new(|_: &mut App| {}));
        };
        let out = film_path(file.path());
        // A device of its own: the window stays as quick as it was.
        let gpu = Gpu::open(&GpuOptions::default())?;
        let frames = Timeline::new(&walkthrough).frames(FPS);
        let (quality, encoder) = (Quality::default(), VideoEncoder::default());
        let format = FilmFormat { size: SIZE, fps: FPS, frames, quality, encoder };
        let encoder = format.open(&out)?;
        let film = Film {
            walkthrough: &walkthrough,
            traces: &traces,
            size: SIZE,
            fps: FPS,
            captions: true,
        };
        film.record(&gpu, encoder, cancel, &mut |Progress { done, frames }| {
            reporter.progress(done as usize, frames as usize);
        })?;
        let text = format!("Recorded {}.", out.display());
        Ok(Box::new(move |app: &mut App| app.notify(text, false)))
    });
}

/// What has no ending that is a film's becomes an MP4.
fn film_path(path: &Path) -> PathBuf {
    match Container::of(path) {
        Ok(Container::Mp4 | Container::Gif) => path.to_owned(),
        _ => path.with_extension("mp4"),
    }
}
