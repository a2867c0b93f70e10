//! Attention of a model behind a slow link: the time from a token to its attention, and the bytes.
//!
//! ```text
//! cargo bench --bench remote -- --bundle out/geometry [--megabits 10] [--tokens 24]
//! ```
//!
//! The server runs on this machine behind `scripts/slow_link`, so that both clocks are one. The stage shows one layer
//! (the mean over its heads), then one head, then the mean over all layers and heads, which needs whole pages. A
//! token counts as shown when the trace with its row can be drawn. Prints one JSON object.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskEvent, AskOptions, AskRequest, Device, Engine, EngineOptions, Page, Picture, RemoteOptions,
    Stage,
};
use vlmscope::trace::{Sampling, Trace, TraceBuilder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vlmscope");

struct Args {
    bundle: PathBuf,
    megabits: f64,
    tokens: u32,
}

fn args() -> anyhow::Result<Args> {
    let mut given = std::env::args().skip(1);
    let mut args = Args { bundle: PathBuf::from("out/geometry"), megabits: 10.0, tokens: 24 };
    while let Some(flag) = given.next() {
        let mut value = || given.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--bundle" => args.bundle = value()?.into(),
            "--megabits" => args.megabits = value()?.parse()?,
            "--tokens" => args.tokens = value()?.parse()?,
            // cargo adds it.
            "--bench" => {}
            other => anyhow::bail!("unknown flag {other}"),
        }
    }
    Ok(args)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn picture() -> anyhow::Result<Picture> {
    let drawn = image::RgbImage::from_fn(640, 480, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, ((x * y) % 256) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    drawn.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(Picture { name: "bench.png".into(), bytes: bytes.into_inner().into() })
}

/// The middle and the largest of some numbers.
fn spread(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share) as usize).copied();
    match values.is_empty() {
        true => Value::Null,
        false => json!({"median": at(0.5), "largest": at(1.0)}),
    }
}

/// Follows the answer as the window does.
struct Follower {
    builder: Option<TraceBuilder>,
    text: String,
    shown: Vec<usize>,
    /// Times at which the attention of each token could be drawn; by query.
    drawn: Vec<(u32, f64)>,
}

impl Follower {
    fn page(&mut self, page: Page) {
        let Some(builder) = &mut self.builder else { return };
        let query = page.query;
        let Page { keys, weights, stats, there, .. } = page;
        if builder.push_part_of_page(query, keys, weights, stats, there).is_err() {
            return;
        }
        let Ok(trace) = builder.snapshot(&self.text) else { return };
        let row = trace.row_of_query(query);
        let is_there = row.is_some_and(|row| trace.page_with_maps(row, &self.shown).is_some());
        if is_there && self.drawn.iter().all(|(known, _)| *known != query.0) {
            self.drawn.push((query.0, now()));
        }
    }

    fn event(&mut self, event: AskEvent) {
        match event {
            AskEvent::Prompt(builder) => self.builder = Some(*builder),
            AskEvent::Token(token) => {
                if let Some(builder) = &mut self.builder {
                    builder.push_token(token.token);
                }
                self.text = token.text;
                token.page.into_iter().for_each(|page| self.page(page));
            }
            AskEvent::Page(page) => self.page(*page),
            AskEvent::Progress(_) | AskEvent::Notice(_) => {}
        }
    }
}

/// One answer with some maps on the stage.
fn measure(
    args: &Args,
    name: &str,
    shown: &dyn Fn(usize, usize) -> Vec<[u32; 2]>,
) -> anyhow::Result<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = std::env::temp_dir().join(format!("slow-link-{}.txt", std::process::id()));
    let bits = args.megabits * 1e6;
    let link = root.join("scripts/slow_link");
    let address = format!(
        "exec:env 'SLOW_LINK_LOG={}' '{}' {bits} '{PROGRAM}'",
        log.display(),
        link.display()
    );
    let arrivals = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&arrivals);
    let stage = Arc::new(Stage::new(Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    })));
    let remote = RemoteOptions {
        address: address.parse().map_err(anyhow::Error::msg)?,
        stage: Some(Arc::clone(&stage)),
    };
    let options = EngineOptions {
        bundle: args.bundle.clone(),
        device: Device::Cpu,
        ..EngineOptions::default()
    };
    let mut engine = Engine::connect(&remote, &options, &CancelToken::new(), &mut |_| {})?;
    let model = engine.info().model;
    let (layers, heads) = (model.layers as usize, model.heads as usize);
    let maps = shown(layers, heads);
    stage.show(Some(maps.clone()));
    let request = AskRequest {
        picture: Some(picture()?),
        question: "What is in the middle of the picture?".into(),
        options: AskOptions {
            sampling: Sampling { max_new_tokens: args.tokens, ..Sampling::default() },
            ..AskOptions::default()
        },
        ..AskRequest::default()
    };
    let shown = maps.iter().map(|&[layer, head]| layer as usize * heads + head as usize).collect();
    let mut follower = Follower { builder: None, text: String::new(), shown, drawn: Vec::new() };
    let traffic = |engine: &mut Engine| engine.there().map_or(0, |there| there.traffic_bytes()[1]);
    let before = traffic(&mut engine);
    let start = Instant::now();
    let trace = engine.ask(&request, &CancelToken::new(), &mut |event| follower.event(event))?;
    let answer_s = start.elapsed().as_secs_f64();
    let answer_bytes = traffic(&mut engine) - before;
    let sent: Vec<(f64, u64)> = std::fs::read_to_string(&log)?
        .lines()
        .filter_map(|line| {
            let (time, bytes) = line.split_once(' ')?;
            Some((time.parse().ok()?, bytes.parse().ok()?))
        })
        .collect();
    ensure!(!sent.is_empty(), "the server sent no token");
    let delays = follower.drawn.iter().zip(&sent).map(|((_, drawn), (sent, _))| drawn - sent);
    let one_page = on_demand(&trace, &arrivals)?;
    let _ = std::fs::remove_file(&log);
    Ok(json!({
        "stage": name,
        "maps": maps.len(),
        "tokens": sent.len(),
        "token_to_attention_s": spread(delays.collect()),
        "token_bytes": spread(sent.iter().map(|(_, bytes)| *bytes as f64).collect()),
        "answer_s": answer_s,
        "answer_bytes": answer_bytes,
        "trace_bytes": trace.data_bytes(),
        "another_map_s": one_page,
    }))
}

/// Seconds until a map that was not shown has arrived, while the rest of the trace is fetched.
fn on_demand(trace: &Trace, arrivals: &AtomicU64) -> anyhow::Result<Option<f64>> {
    let shape = trace.shape();
    let row = shape.rows - 1;
    let start = Instant::now();
    // Asking for a map that is missing fetches it.
    let missing = |map: &usize| trace.page_with_maps(row, &[*map]).is_none();
    let Some(map) = (0..shape.layers * shape.heads).find(missing) else { return Ok(None) };
    while trace.page_with_maps(row, &[map]).is_none() {
        trace.check()?;
        ensure!(start.elapsed() < Duration::from_secs(60), "the map never came");
        let seen = arrivals.load(Ordering::SeqCst);
        while arrivals.load(Ordering::SeqCst) == seen && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(Some(start.elapsed().as_secs_f64()))
}

fn main() -> anyhow::Result<()> {
    let args = args()?;
    let all = |layers: usize, heads: usize| -> Vec<[u32; 2]> {
        (0..layers as u32)
            .flat_map(|layer| (0..heads as u32).map(move |head| [layer, head]))
            .collect()
    };
    let results = [
        measure(&args, "one layer", &|layers, heads| {
            (0..heads as u32).map(|head| [layers as u32 / 2, head]).collect()
        })?,
        measure(&args, "one head", &|layers, _| vec![[layers as u32 / 2, 3]])?,
        measure(&args, "all layers and heads", &all)?,
    ];
    let report = json!({"megabits_per_second": args.megabits, "results": results});
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
