//! `vlmscope bench --record`: the cost of a recorded frame beyond drawing and encoding it.
//!
//! One run measures the recorder as it is, then the same frames one after the other: each drawn
//! (and waited for), then copied and encoded. Run with LP_NUM_THREADS=1 to see on a software
//! adapter that both overlap: the recorder's wall time then comes near the larger of the two.

use super::meter::{Resident, note, rounded};
use crate::cli::common::{print_json, usage};
use crate::gpu::{Gpu, ReadRing, Target};
use crate::job::CancelToken;
use crate::record::encoder::{FilmFormat, Quality, VideoEncoder};
use crate::record::{Captions, Film, OpenTraces, Painter};
use crate::trace::Trace;
use crate::view::timeline::{Timeline, Walkthrough, tour};
use anyhow::Context as _;
use cpu_time::ProcessTime;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FPS: u32 = 30;
const SECONDS: f64 = 10.0;

/// CPU and wall seconds.
#[derive(Clone, Copy, Default)]
struct Spent {
    cpu: f64,
    wall: f64,
}

impl Spent {
    fn add<T>(&mut self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let (cpu, wall) = (ProcessTime::now(), Instant::now());
        let done = work()?;
        self.cpu += cpu.elapsed().as_secs_f64();
        self.wall += wall.elapsed().as_secs_f64();
        Ok(done)
    }

    fn json(self, frames: u64) -> Value {
        json!({
            "cpu_ms_a_frame": rounded(self.cpu * 1e3 / frames as f64, 3),
            "wall_ms_a_frame": rounded(self.wall * 1e3 / frames as f64, 3),
        })
    }
}

pub(super) fn run(
    gpu: &Arc<Gpu>,
    trace: Trace,
    size: [u32; 2],
    minutes: Option<f64>,
) -> anyhow::Result<()> {
    let path = Path::new("synthetic.vlmtrace");
    let mut walkthrough = tour(&trace, path);
    let model = trace.meta().model.name.clone();
    let mut traces = OpenTraces::default();
    traces.insert(path.to_owned(), trace);
    let folder = tempfile::tempdir().context("there is no temporary folder for the film")?;
    let bench = Bench { gpu, traces, size, out: folder.path().join("film.mp4") };
    let report = match minutes {
        Some(minutes) => {
            lengthen(&mut walkthrough, minutes * 60.0);
            bench.memory(&walkthrough)?
        }
        None => {
            shorten(&mut walkthrough)?;
            bench.cost(&walkthrough)?
        }
    };
    print_json(&json!({
        "adapter": gpu.info().name,
        "model": model,
        "size": size,
        "fps": FPS,
        "lp_num_threads": std::env::var("LP_NUM_THREADS").ok(),
        "record": report,
    }))
}

/// The first ten seconds of the tour, without its cards and long pauses.
fn shorten(walkthrough: &mut Walkthrough) -> anyhow::Result<()> {
    (walkthrough.title, walkthrough.end) = (None, None);
    let steps = walkthrough.steps.len().max(1) as f64;
    for step in &mut walkthrough.steps {
        // The first step has no transition.
        step.transition_secs = 0.8 * SECONDS / steps;
        step.seconds = Some(0.2 * SECONDS / steps);
    }
    let missing = SECONDS - Timeline::new(walkthrough).seconds();
    let last = walkthrough.steps.last_mut().ok_or_else(|| usage("the tour has no steps"))?;
    last.seconds = last.seconds.map(|seconds| seconds + missing);
    Ok(())
}

fn lengthen(walkthrough: &mut Walkthrough, seconds: f64) {
    let once = walkthrough.steps.clone();
    while Timeline::new(walkthrough).seconds() < seconds && !once.is_empty() {
        walkthrough.steps.extend(once.iter().cloned());
    }
}

struct Bench<'a> {
    gpu: &'a Arc<Gpu>,
    traces: OpenTraces,
    size: [u32; 2],
    out: std::path::PathBuf,
}

impl Bench<'_> {
    fn format(&self, frames: u64) -> FilmFormat {
        let (quality, encoder) = (Quality::default(), VideoEncoder::default());
        FilmFormat { size: self.size, fps: FPS, frames, quality, encoder }
    }

    fn film<'a>(&'a self, walkthrough: &'a Walkthrough) -> Film<'a> {
        let (traces, size) = (&self.traces, self.size);
        Film { walkthrough, traces, size, fps: FPS, captions: true }
    }

    fn cost(&self, walkthrough: &Walkthrough) -> anyhow::Result<Value> {
        let frames = Timeline::new(walkthrough).frames(FPS);
        note("one after the other")?;
        let (render, encode) = self.apart(walkthrough)?;
        note("the recorder")?;
        let mut whole = Spent::default();
        let summary = whole.add(|| {
            let encoder = self.format(frames).open(&self.out)?;
            Ok(self.film(walkthrough).record(
                self.gpu,
                encoder,
                &CancelToken::new(),
                &mut |_| {},
            )?)
        })?;
        note("one after the other, repeated to show drift of the machine")?;
        let again = self.apart(walkthrough)?;
        let mean = |a: Spent, b: Spent| Spent {
            cpu: (a.cpu + b.cpu) / 2.0,
            wall: (a.wall + b.wall) / 2.0,
        };
        let (render, encode) = (mean(render, again.0), mean(encode, again.1));
        let cpu_ratio = whole.cpu / (render.cpu + encode.cpu);
        let wall_ratio = whole.wall / render.wall.max(encode.wall);
        Ok(json!({
            "frames": frames,
            "frames_drawn": summary.drawn,
            "record": whole.json(frames),
            "render_alone": render.json(frames),
            "read_back_and_encode_alone": encode.json(frames),
            "cpu_ratio": rounded(cpu_ratio, 3),
            "wall_over_larger": rounded(wall_ratio, 3),
            "frames_a_cpu_second": rounded(frames as f64 / whole.cpu, 1),
        }))
    }

    /// The frames of the film, each drawn alone, then copied and encoded alone.
    fn apart(&self, walkthrough: &Walkthrough) -> anyhow::Result<(Spent, Spent)> {
        let timeline = Timeline::new(walkthrough);
        let frames = timeline.frames(FPS);
        let (mut render, mut encode) = (Spent::default(), Spent::default());
        let target = Target::offscreen(self.gpu, self.size)?;
        let ring = ReadRing::new(self.gpu, self.size, 1)?;
        let mut painter =
            render.add(|| Ok(Painter::new(self.gpu, self.size, walkthrough, Captions::Film)?))?;
        let mut encoder = encode.add(|| Ok(self.format(frames).open(&self.out)?))?;
        let mut before = None;
        for frame in 0..frames {
            let moment = timeline.at(frame as f64 / f64::from(FPS));
            let moment = moment.context("the tour has no steps")?;
            if before.as_ref() == Some(&moment) {
                encode.add(|| Ok(encoder.again()?))?;
                continue;
            }
            render.add(|| {
                painter.paint(&moment, &self.traces, &target)?;
                Ok(self.gpu.wait()?)
            })?;
            encode.add(|| {
                let copy = ring.start(&target, Duration::from_secs(10))?;
                let pixels = copy.context("the buffer was not given back")?.wait()?;
                Ok(pixels.read(|rgba, stride| encoder.frame(rgba, stride))??)
            })?;
            before = Some(moment);
        }
        encode.add(|| Ok(encoder.finish()?))?;
        Ok((render, encode))
    }

    /// Resident memory during a long recording: own and mapped, if the system reports it.
    fn memory(&self, walkthrough: &Walkthrough) -> anyhow::Result<Value> {
        let frames = Timeline::new(walkthrough).frames(FPS);
        let encoder = self.format(frames).open(&self.out)?;
        let mut resident: Vec<Value> = Vec::new();
        let mut every_tenth = |done: u64| {
            if done.is_multiple_of((frames / 10).max(1)) {
                let megabytes = |bytes: u64| rounded(bytes as f64 / 1e6, 1);
                let now = Resident::now();
                resident.push(json!({
                    "frame": done,
                    "own_mb": now.map(|now| megabytes(now.own_bytes)),
                    "mapped_mb": now.map(|now| megabytes(now.mapped_bytes)),
                }));
            }
        };
        self.film(walkthrough).record(self.gpu, encoder, &CancelToken::new(), &mut |progress| {
            every_tenth(progress.done);
        })?;
        let bytes = std::fs::metadata(&self.out)?.len();
        Ok(json!({ "frames": frames, "film_bytes": bytes, "resident": resident }))
    }
}
