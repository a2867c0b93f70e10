//! Costs of what-if questions in units of one plain forward pass: process CPU seconds, as JSON.
//!
//!     cargo bench --bench what_if                              the built-in model
//!     cargo bench --bench what_if -- --bundle out/geometry --rounds 1
//!
//! The unit is one plain forward: the same graphs and the same T, vision included, no attention
//! outputs ([`Rescorer::plain`]). One thread; rounds interleave what is compared, so that a busy
//! machine hits both alike; medians, and ratios within a round.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

use anyhow::{Context as _, bail, ensure};
use cpu_time::ProcessTime;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use vlmscope::edit::{Brush, Edits, Step, png};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskOptions, AskRequest, Device, Engine, EngineOptions, Intervention, KnockFrom,
    OcclusionOptions, Picture, Rerun, Rescorer, Variant, ablation_of_each_head, builtin, effects,
    occlusion, upright,
};
use vlmscope::trace::{Head, Layer, Trace};

const QUESTION: &str = "What colour is the balloon?";
const FORWARDS: usize = 5;

struct Bench {
    engine: Engine,
    trace: Trace,
    picture: Picture,
    cancel: CancelToken,
}

fn main() -> anyhow::Result<()> {
    let (bundle, rounds) = parse()?;
    let options =
        EngineOptions { bundle, device: Device::Cpu, threads: Some(1), ..EngineOptions::default() };
    let mut engine = Engine::load(&options, &mut |_| {})?;
    let sample = builtin::samples()?.into_iter().next().context("there are no samples")?;
    let bytes = builtin::sample_picture(&sample.file).context("the sample is missing")?;
    let picture = Picture { name: sample.file, bytes: bytes.into() };
    let cancel = CancelToken::new();
    let trace = engine.ask(&request(&picture), &cancel, &mut |_| {})?;
    let mut bench = Bench { engine, trace, picture, cancel };
    bench.forward()?;
    let mut found: [Vec<f64>; 8] = Default::default();
    for _ in 0..rounds {
        let forward = bench.forward()?;
        let scored = bench.scored(None)?;
        let ablated = bench.scored(Some(Intervention::AblateHeads(vec![(Layer(1), Head(0))])))?;
        let keys = bench.trace.meta().spans[0].keys().map(|key| key as u32).step_by(2).collect();
        let knock = Intervention::Knock { keys, from: KnockFrom::Answer, layers: Vec::new() };
        let knocked = bench.scored(Some(knock))?;
        let coarse = bench.occlusion(6)?;
        let fine = bench.occlusion(12)?;
        let heads = bench.heads()?;
        let edit = bench.edit()?;
        let numbers = [
            forward,
            coarse / forward,
            fine / forward,
            ablated / scored,
            knocked / scored,
            heads / forward,
            edit,
            edit / forward,
        ];
        found.iter_mut().zip(numbers).for_each(|(all, number)| all.push(number));
    }
    let heads = bench.trace.shape().layers * bench.trace.shape().heads;
    let [forward, coarse, fine, ablated, knocked, all_heads, edit, edit_ratio] =
        found.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
    println!(
        "{:#}",
        json!({
            "bundle": options.bundle,
            "rounds": rounds,
            "positions": bench.trace.shape().positions,
            "forward_cpu_ms": forward * 1e3,
            "occlusion_coarse_36_in_forwards": coarse,
            "occlusion_fine_144_in_forwards": fine,
            "one_head_ablated_to_plain": ablated,
            "attention_knocked_out_to_plain": knocked,
            "every_head_in_forwards": { "heads": heads, "forwards": all_heads },
            "stroke_to_answer_cpu_ms": edit * 1e3,
            "stroke_to_answer_in_forwards": edit_ratio,
        })
    );
    Ok(())
}

fn parse() -> anyhow::Result<(PathBuf, usize)> {
    let mut bundle = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/tiny"));
    let mut rounds = 5;
    let mut given = std::env::args().skip(1).filter(|name| name != "--bench");
    while let Some(name) = given.next() {
        let value = given.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--bundle" => bundle = value.into(),
            "--rounds" => rounds = value.parse()?,
            _ => bail!("unknown option {name}"),
        }
    }
    ensure!(rounds > 0, "--rounds must be at least 1");
    Ok((bundle, rounds))
}

fn request(picture: &Picture) -> AskRequest {
    let mut options = AskOptions::default();
    options.sampling.max_new_tokens = 16;
    AskRequest {
        picture: Some(picture.clone()),
        turns: Vec::new(),
        question: QUESTION.into(),
        options,
    }
}

/// CPU seconds of this process.
fn seconds<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let start = ProcessTime::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

impl Bench {
    /// One forward of prompt and answer, vision included, nothing shared, no attention.
    fn forward(&mut self) -> anyhow::Result<f64> {
        let Self { engine, trace, cancel, .. } = self;
        let rgb: Arc<[u8]> = trace.canvas(0).context("no picture")?.rgb.into();
        let mut scorer = Rescorer::new(engine, trace)?.plain();
        let variants = || (0..FORWARDS).map(|_| Variant::of_picture(Arc::clone(&rgb)));
        let spent = seconds(|| Ok(scorer.score(engine, variants(), cancel, &mut |_, _| {})?))?;
        Ok(spent / FORWARDS as f64)
    }

    /// The answer scored with its attention, as a trace, under a change.
    fn scored(&mut self, change: Option<Intervention>) -> anyhow::Result<f64> {
        let Self { engine, trace, cancel, .. } = self;
        let answer = trace.answer_ids().iter().map(|&id| id as u32).collect();
        let interventions = change.map(|change| change.on(trace.meta())).unwrap_or_default();
        let change = Rerun { answer: Some(answer), interventions, ..Rerun::default() };
        let mut spent = 0.0;
        for _ in 0..FORWARDS {
            engine.forget();
            spent += seconds(|| Ok(engine.again(trace, &change, cancel, &mut |_| {})?))?;
        }
        Ok(spent / FORWARDS as f64)
    }

    fn occlusion(&mut self, windows: u32) -> anyhow::Result<f64> {
        let options = OcclusionOptions { rounds: vec![windows], ..OcclusionOptions::default() };
        let Self { engine, trace, cancel, .. } = self;
        seconds(|| Ok(occlusion(engine, trace, &options, cancel, &mut |_| {})?))
    }

    fn heads(&mut self) -> anyhow::Result<f64> {
        let changes = ablation_of_each_head(&self.trace);
        let Self { engine, trace, cancel, .. } = self;
        seconds(|| Ok(effects(engine, trace, &changes, cancel, &mut |_, _| {})?))
    }

    /// From the end of a stroke to a new answer with its attention, and the old answer scored.
    fn edit(&mut self) -> anyhow::Result<f64> {
        let original = Arc::new(upright(&self.picture)?);
        let mut edits = Edits::new([original.width(), original.height()]);
        let points = vec![[400.0, 60.0], [470.0, 120.0], [430.0, 200.0]];
        let brush = Brush { size: 60.0, hardness: 0.8 };
        edits.push(Step::Stroke { points, brush, color: [30, 90, 220] })?;
        let Self { engine, trace, cancel, picture } = self;
        seconds(|| {
            let flat = edits.flatten(&original)?;
            let edited = Picture { name: picture.name.clone(), bytes: png(&flat)?.into() };
            let answered = engine.ask(&request(&edited), cancel, &mut |_| {})?;
            let answer = trace.answer_ids().iter().map(|&id| id as u32).collect();
            let change = Rerun { answer: Some(answer), ..Rerun::default() };
            Ok(engine.again(&answered, &change, cancel, &mut |_| {})?)
        })
    }
}
