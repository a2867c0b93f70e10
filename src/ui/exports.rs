//! Everything that touches files: opening, saving. On threads of its own, so that a slow disk or an
//! open dialog never stops the window.

use super::data_set::figure::TableFigure;
use super::data_set::folder::traces_of;
use super::document::DocumentId;
use super::error_text::error_text;
use super::figures::{self, FigureJob, FigureKind, FigureRenderer};
use super::model_feed::Wake;
use super::picture_strip::{side_by_side, small_pictures};
use super::samples;
use super::task_result::TaskResult;
use crate::files;
use crate::job::guard;
use crate::model::{Picture, upright};
use crate::settings::Bookmark;
use crate::trace::Trace;
use crate::view::ViewState;
use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pictures are shown at most this large before they are asked about.
const PREVIEW_SIDE: u32 = 1536;

/// The name of jobs that write files, and are waited for at the end.
pub const WRITES: &str = "save";

/// The running file jobs and the results of those that ended.
pub struct Exports {
    sender: Sender<TaskResult>,
    finished: Receiver<TaskResult>,
    wake: Wake,
    running: usize,
    /// Jobs that write files.
    writing: Vec<JoinHandle<()>>,
    renderer: FigureRenderer,
}

impl Exports {
    /// No jobs.
    pub fn new(wake: Wake) -> Self {
        let (sender, finished) = unbounded();
        let (writing, renderer) = (Vec::new(), FigureRenderer::default());
        Self { sender, finished, wake, running: 0, writing, renderer }
    }

    /// Whether something is being read or written.
    pub fn is_busy(&self) -> bool {
        self.running > 0
    }

    /// Waits until everything is written, at most for `patience`.
    pub fn end(&self, patience: Duration) {
        let end = Instant::now() + patience;
        while self.writing.iter().any(|thread| !thread.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Results of jobs that ended since the last call.
    pub fn take(&mut self) -> Vec<TaskResult> {
        let finished: Vec<TaskResult> = self.finished.try_iter().collect();
        self.running = self.running.saturating_sub(finished.len());
        finished
    }

    /// Runs a job on a thread of its own.
    pub fn run(
        &mut self,
        name: &str,
        job: impl FnOnce() -> anyhow::Result<TaskResult> + Send + 'static,
    ) {
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        let work = move || {
            let result = guard(job)
                .map_err(anyhow::Error::from)
                .flatten()
                .unwrap_or_else(|error| TaskResult::Failed(error_text(&error)));
            // A window that is gone needs no results.
            let _ = sender.send(result);
            wake();
        };
        match std::thread::Builder::new().name(name.to_owned()).spawn(work) {
            Ok(thread) => {
                self.running += 1;
                self.writing.retain(|thread| !thread.is_finished());
                if name == WRITES {
                    self.writing.push(thread);
                }
            }
            Err(error) => {
                let _ = self
                    .sender
                    .send(TaskResult::Failed(format!("no thread could be started: {error}")));
            }
        }
    }

    /// Opens a trace, under a view if one is given.
    pub fn open_trace(&mut self, path: &Path, view: Option<Box<ViewState>>) {
        let path = path.to_owned();
        self.run("open", move || {
            let trace = Trace::open(&path)?;
            Ok(TaskResult::Opened(Arc::new(trace), path, view))
        });
    }

    /// Opens every trace of a folder: one sample proves little.
    pub fn open_folder(&mut self, folder: &Path) {
        let folder = folder.to_owned();
        self.run("open", move || {
            let paths = traces_of(&folder)?;
            anyhow::ensure!(
                !paths.is_empty(),
                "{} is a folder that contains neither {} (a model) nor a .vlmtrace file; open a \
                model folder, a folder of traces, a picture or a trace.",
                folder.display(),
                crate::model::MANIFEST_FILE
            );
            let (mut traces, mut failed) = (Vec::new(), Vec::new());
            for path in paths {
                match Trace::open(&path) {
                    Ok(trace) => traces.push((Arc::new(trace), path)),
                    Err(error) => failed.push(error.to_string()),
                }
            }
            Ok(TaskResult::OpenedFolder(folder, traces, failed))
        });
    }

    /// Makes small pictures of the samples.
    pub fn draw_samples(&mut self) {
        self.run("samples", move || {
            let small = |sample: samples::Sample| {
                let decoded = image::load_from_memory(&sample.bytes).ok()?;
                let (side, square) = (128, decoded.width().min(decoded.height()));
                let (left, top) = ((decoded.width() - square) / 2, (decoded.height() - square) / 2);
                let small = decoded
                    .crop_imm(left, top, square, square)
                    .thumbnail_exact(side, side)
                    .to_rgba8();
                let size = [side as usize; 2];
                Some((sample, egui::ColorImage::from_rgba_unmultiplied(size, small.as_raw())))
            };
            Ok(TaskResult::Samples(samples::samples()?.into_iter().filter_map(small).collect()))
        });
        self.run("captured samples", move || {
            let small = |sample: samples::CapturedSample| {
                let pixels = side_by_side(&Trace::open(&sample.path)?);
                anyhow::Ok(pixels.map(|pixels| (sample, pixels)))
            };
            let drawn = samples::captured_samples()?.into_iter().map(small);
            let drawn: Vec<_> = drawn.collect::<anyhow::Result<_>>()?;
            Ok(TaskResult::CapturedSamples(drawn.into_iter().flatten().collect()))
        });
    }

    /// Draws the small pictures of the strip below the stage.
    pub fn draw_picture_strip(&mut self, of: DocumentId, trace: Arc<Trace>, numbers: Vec<u32>) {
        self.run("picture strip", move || {
            Ok(TaskResult::PictureStrip(of, small_pictures(&trace, &numbers)))
        });
    }

    /// Draws the small picture of a bookmark.
    pub fn draw_thumbnail(&mut self, job: FigureJob, bookmark: Bookmark) {
        let renderer = self.renderer.clone();
        self.run("thumbnail", move || {
            let pixels = figures::draw(&job, &renderer)?;
            let size = job.size.map(|side| side as usize);
            let image = egui::ColorImage::from_rgba_unmultiplied(size, pixels.as_raw());
            Ok(TaskResult::Thumbnail(Box::new(bookmark), image))
        });
    }

    /// Reads a picture.
    pub fn open_picture(&mut self, path: &Path) {
        let path = path.to_owned();
        self.run("open", move || {
            let picture = Picture::read(&path)?;
            read_picture(picture, Some(path))
        });
    }

    /// Shows a picture that the next question is about already.
    pub fn preview(&mut self, picture: Picture) {
        self.run("open", move || {
            Ok(match read_picture(picture, None)? {
                TaskResult::Picture { preview, .. } => TaskResult::Preview(preview),
                other => other,
            })
        });
    }

    /// Encodes pixels (of the clipboard) and reads them as a picture.
    pub fn read_pixels(&mut self, pixels: egui::ColorImage) {
        self.run("paste", move || {
            let [width, height] = pixels.size.map(|side| side as u32);
            let bytes: Vec<u8> =
                pixels.pixels.iter().flat_map(|pixel| pixel.to_srgba_unmultiplied()).collect();
            let image = image::RgbaImage::from_raw(width, height, bytes)
                .context("the picture on the clipboard is damaged")?;
            let mut png = std::io::Cursor::new(Vec::new());
            image.write_to(&mut png, image::ImageFormat::Png)?;
            let picture = Picture { name: "pasted.png".into(), bytes: png.into_inner().into() };
            read_picture(picture, None)
        });
    }

    /// Saves the trace.
    pub fn write_trace(&mut self, document: DocumentId, trace: Arc<Trace>, path: PathBuf) {
        self.run(WRITES, move || {
            trace.write(&path)?;
            Ok(TaskResult::TraceSaved(path, document, trace.id()))
        });
    }

    /// Saves a figure or its numbers.
    pub fn write_figure(&mut self, kind: FigureKind, job: FigureJob, path: PathBuf) {
        let renderer = self.renderer.clone();
        self.run(WRITES, move || {
            write_figure(kind, &job, &renderer, &path)?;
            Ok(TaskResult::Saved(path))
        });
    }

    /// Saves a figure of a table, or its numbers: as the ending of the file says.
    pub fn write_table_figure(&mut self, figure: TableFigure, path: PathBuf) {
        let renderer = self.renderer.clone();
        self.run(WRITES, move || {
            write_bytes(&figure.bytes(&path, &renderer)?, &path)?;
            Ok(TaskResult::Saved(path))
        });
    }

    /// Draws a figure of a table for the clipboard.
    pub fn copy_table_figure(&mut self, figure: TableFigure) {
        let renderer = self.renderer.clone();
        self.run("copy", move || {
            let image = figure.draw(&renderer)?;
            let size = [image.width() as usize, image.height() as usize];
            let pixels = egui::ColorImage::from_rgba_unmultiplied(size, image.as_raw());
            Ok(TaskResult::Image(pixels))
        });
    }

    /// Saves bytes that are at hand.
    pub fn write_bytes(&mut self, bytes: Vec<u8>, path: PathBuf) {
        self.run(WRITES, move || {
            write_bytes(&bytes, &path)?;
            Ok(TaskResult::Saved(path))
        });
    }

    /// Draws a figure for the clipboard.
    pub fn copy_image(&mut self, job: FigureJob) {
        let renderer = self.renderer.clone();
        self.run("copy", move || {
            let image = figures::draw(&job, &renderer)?;
            let size = [image.width() as usize, image.height() as usize];
            let pixels = egui::ColorImage::from_rgba_unmultiplied(size, image.as_raw());
            Ok(TaskResult::Image(pixels))
        });
    }

    /// Gathers the numbers for the clipboard.
    pub fn copy_numbers(&mut self, job: FigureJob) {
        self.run("copy", move || Ok(TaskResult::Text(figures::numbers_csv(&job)?, "Numbers")));
    }
}

fn write_figure(
    kind: FigureKind,
    job: &FigureJob,
    renderer: &FigureRenderer,
    path: &Path,
) -> anyhow::Result<()> {
    let bytes = match kind {
        FigureKind::Png => figures::png(job, renderer)?,
        FigureKind::Svg => figures::svg(job, renderer)?.into_bytes(),
        FigureKind::Csv => figures::numbers_csv(job)?.into_bytes(),
    };
    write_bytes(&bytes, path)
}

/// Writes a file in place of an older one.
pub(super) fn write_bytes(bytes: &[u8], path: &Path) -> anyhow::Result<()> {
    files::replace_bytes(path, bytes).map_err(|error| {
        let hint = files::write_hint(&error, None);
        anyhow::anyhow!("cannot write {}: {error}. {hint}", path.display())
    })
}

/// A picture that is shown until there is an answer. It is decoded as the model's input is: upright, in the same colours.
///
/// # Errors
/// If the picture cannot be decoded.
pub(super) fn preview_of(picture: &Picture) -> anyhow::Result<egui::ColorImage> {
    let decoded = image::DynamicImage::from(upright(picture)?);
    let is_large = decoded.width().max(decoded.height()) > PREVIEW_SIDE;
    let shown = if is_large { decoded.thumbnail(PREVIEW_SIDE, PREVIEW_SIDE) } else { decoded };
    let rgb = shown.to_rgb8();
    let size = [rgb.width() as usize, rgb.height() as usize];
    Ok(egui::ColorImage::from_rgb(size, rgb.as_raw()))
}

fn read_picture(picture: Picture, path: Option<PathBuf>) -> anyhow::Result<TaskResult> {
    let preview = preview_of(&picture)?;
    Ok(TaskResult::Picture { picture, preview, path })
}
