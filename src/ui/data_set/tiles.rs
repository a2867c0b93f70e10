//! The small pictures of samples, made by a thread when they come into sight; those that were seen last are kept.

use crate::job::{CancelToken, Worker};
use crate::model::builtin;
use crate::model::{Picture, upright};
use crate::table::statistics::DataSet;
use crate::trace::{AnswerIndex, Trace};
use crate::ui::error_text::error_text;
use crate::ui::model_feed::Wake;
use crate::ui::small_map::{SmallImage, SmallPicture, map_image};
use crate::view::{ColorMap, LayerHead, Queries, Shown, ViewState};
use crossbeam_channel::{Receiver, Sender, unbounded};
use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of textures that are kept.
const KEPT_BYTES: usize = 96 << 20;

/// The heads whose maps the tiles show, and the colours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapsOf {
    /// The heads; `None` until they are known: the tiles show pictures without maps.
    heads: Option<Vec<LayerHead>>,
    /// The colours.
    colormap: ColorMap,
}

impl MapsOf {
    /// The maps of heads; a diverging colour map gives way to another one.
    pub fn new(heads: Option<Vec<LayerHead>>, colormap: ColorMap) -> Self {
        let colormap = if colormap.is_diverging() { ColorMap::Inferno } else { colormap };
        Self { heads, colormap }
    }
}

/// The small picture of a sample.
pub struct Tile {
    /// The picture; `None` where there is none.
    pub picture: Option<SmallPicture>,
    /// The map of the chosen heads.
    pub map: Option<TextureHandle>,
    /// Why there is no map: the trace has moved, or cannot be read.
    pub note: Option<String>,
    /// Whether there is a trace that cannot be read.
    pub is_damaged: bool,
    of: Arc<MapsOf>,
    bytes: usize,
    seen: u64,
}

/// The small pictures of samples.
pub struct Tiles {
    made: HashMap<usize, Tile>,
    of: Arc<MapsOf>,
    /// The samples that were asked for last.
    asked: Vec<usize>,
    worker: Worker<Request>,
    news: Receiver<Made>,
    clock: u64,
}

struct Request {
    data: Arc<DataSet>,
    rows: Vec<usize>,
    of: Arc<MapsOf>,
}

struct Made {
    row: usize,
    of: Arc<MapsOf>,
    picture: Option<SmallImage>,
    map: Option<ColorImage>,
    note: Option<String>,
    is_damaged: bool,
}

impl Tiles {
    /// Starts the thread; `wake` asks for a frame when a picture is made.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn start(wake: Wake) -> std::io::Result<Self> {
        let (sender, news) = unbounded();
        let start = move || {
            let (sender, wake): (Sender<Made>, Wake) = (sender.clone(), Arc::clone(&wake));
            move |request: Request, cancel: &CancelToken| {
                for &row in &request.rows {
                    if cancel.is_cancelled() {
                        return;
                    }
                    // A table that was closed needs no pictures.
                    if sender.send(make(&request.data, row, &request.of)).is_err() {
                        return;
                    }
                    wake();
                }
            }
        };
        let worker = Worker::spawn("tiles", start, |panicked, _| {
            log::error!("small pictures of samples: {panicked}");
        })?;
        let (made, of, asked) = (HashMap::new(), Arc::default(), Vec::new());
        Ok(Self { made, of, asked, worker, news, clock: 0 })
    }

    /// The picture of a sample; perhaps with a map of other heads, until that of the chosen ones is made.
    pub fn get(&self, row: usize) -> Option<&Tile> {
        self.made.get(&row)
    }

    /// The samples among these whose pictures are not made yet, unless they were asked for already.
    pub fn missing(&self, rows: &[usize], of: &MapsOf) -> Vec<usize> {
        let is_made = |row: &usize| self.made.get(row).is_some_and(|tile| *tile.of == *of);
        let missing: Vec<usize> = rows.iter().copied().filter(|row| !is_made(row)).collect();
        let is_asked = *self.of == *of && missing.iter().all(|row| self.asked.contains(row));
        if is_asked { Vec::new() } else { missing }
    }

    /// Makes the pictures of samples, in place of those that were asked for before.
    pub fn ask(&mut self, data: &Arc<DataSet>, rows: Vec<usize>, of: MapsOf) {
        if *self.of != of {
            self.of = Arc::new(of);
        }
        self.asked.clone_from(&rows);
        self.worker.submit(Request { data: Arc::clone(data), rows, of: Arc::clone(&self.of) });
    }

    /// Loads what was made since the last call; `true` if there is something.
    pub fn read(&mut self, ctx: &Context) -> bool {
        let mut changed = false;
        let news: Vec<Made> = self.news.try_iter().collect();
        for Made { row, of, picture, map, note, is_damaged } in news {
            let bytes = |image: &ColorImage| image.pixels.len() * size_of::<egui::Color32>();
            let size = picture.as_ref().map_or(0, |picture| bytes(&picture.pixels))
                + map.as_ref().map_or(0, bytes);
            let picture = picture.map(|image| SmallPicture::load(ctx, image));
            let map = map.map(|image| ctx.load_texture("small map", image, TextureOptions::LINEAR));
            self.clock += 1;
            let tile = Tile { picture, map, note, is_damaged, of, bytes: size, seen: self.clock };
            self.made.insert(row, tile);
            changed = true;
        }
        if changed {
            self.forget_old();
        }
        changed
    }

    /// Forgets the pictures that were made first, but none that was asked for last.
    fn forget_old(&mut self) {
        let mut bytes: usize = self.made.values().map(|tile| tile.bytes).sum();
        if bytes <= KEPT_BYTES {
            return;
        }
        let mut old: Vec<(u64, usize)> =
            self.made.iter().map(|(row, tile)| (tile.seen, *row)).collect();
        old.sort_unstable();
        for (_, row) in old {
            if bytes <= KEPT_BYTES {
                break;
            }
            if !self.asked.contains(&row)
                && let Some(tile) = self.made.remove(&row)
            {
                bytes -= tile.bytes;
            }
        }
    }

    /// Number of pictures that are kept.
    pub fn len(&self) -> usize {
        self.made.len()
    }

    /// Whether no picture is kept.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.made.clear();
        self.asked.clear();
    }
}

/// The trace of a sample: its file, and whether it is there; `None` if none was kept.
pub fn trace_of(data: &DataSet, row: usize) -> Option<(PathBuf, bool)> {
    let named = data.samples().text("trace", row)?;
    let path = data.file(named);
    let is_there = path.is_file();
    Some((path, is_there))
}

/// The picture of a sample, as the data set names it.
///
/// # Errors
/// If it is not there or cannot be read.
pub fn picture_of(data: &DataSet, row: usize) -> anyhow::Result<Picture> {
    let named = data.samples().text("picture", row).unwrap_or_default();
    if let Some(number) = named.strip_prefix("sample:") {
        let samples = builtin::samples()?;
        let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let sample = place.and_then(|place| samples.get(place));
        let found =
            sample.and_then(|sample| Some((sample, builtin::sample_picture(&sample.file)?)));
        let Some((sample, bytes)) = found else {
            anyhow::bail!("there is no sample picture `{named}`");
        };
        return Ok(Picture { name: sample.file.clone(), bytes: bytes.to_vec().into() });
    }
    anyhow::ensure!(!named.is_empty(), "the table names no picture for this sample");
    Ok(Picture::read(&data.file(named))?)
}

fn make(data: &DataSet, row: usize, of: &Arc<MapsOf>) -> Made {
    let of = Arc::clone(of);
    let mut made = Made { row, of, picture: None, map: None, note: None, is_damaged: false };
    match trace_of(data, row) {
        Some((path, true)) => match Trace::open(&path) {
            Ok(trace) => (made.picture, made.map) = of_trace(&trace, &made.of),
            Err(error) => {
                made.note = Some(error_text(&anyhow::Error::from(error)));
                made.is_damaged = true;
            }
        },
        Some((path, false)) => {
            made.note = Some(format!("the trace is no longer at {}", path.display()));
        }
        None => {}
    }
    if made.picture.is_none() {
        match picture_of(data, row).and_then(|picture| Ok(upright(&picture)?)) {
            Ok(picture) => made.picture = SmallImage::of_picture(&picture),
            // The tile shows the text of the sample then.
            Err(error) => log::debug!("sample {row}: {error:#}"),
        }
    }
    made
}

/// The answer tokens over which a table takes its means: those that are spoken and whose row of attention was kept.
pub fn queries_of(trace: &Trace) -> Queries {
    let spoken = trace.meta().spoken_answers().into_iter();
    let kept: Vec<AnswerIndex> =
        spoken.filter(|answer| trace.row_of_answer(*answer).is_some()).collect();
    Queries::answers(&kept)
}

/// The picture of a trace, and the map of heads over it: the mean over the answer tokens of the table's numbers.
fn of_trace(trace: &Trace, of: &MapsOf) -> (Option<SmallImage>, Option<ColorImage>) {
    let mut view = ViewState::default();
    view.map.queries = queries_of(trace);
    if let Some(heads) = &of.heads {
        view.map.choose_heads(heads.clone());
    }
    let shown = Shown::new(&view, trace);
    let picture = shown.grids.first().and_then(|grid| SmallImage::new(trace, grid));
    if of.heads.is_none() {
        return (picture, None);
    }
    let values = view.resolve(trace).map(|numbers| numbers.of_patches());
    let map = match values {
        Ok(values) => map_image(trace, &shown, &values, of.colormap),
        Err(error) => {
            log::debug!("a small map: {error}");
            None
        }
    };
    (picture, map)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    #[test]
    fn pictures_need_no_head() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let of = |heads| of_trace(&trace, &MapsOf::new(heads, ColorMap::Coolwarm));
        let (picture, map) = of(None);
        assert!(picture.is_some() && map.is_none(), "the head is not known yet");
        let (picture, map) = of(Some(vec![[2, 2]]));
        assert!(picture.is_some() && map.is_some());
    }
}
