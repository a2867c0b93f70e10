//! Costs of what-if questions in units of one plain forward pass: process CPU seconds, as JSON.
//!
//!     cargo bench --bench what_if                              the built-in model
//!     cargo bench --bench what_if -- --bundle out/geometry --rounds 1
//!     cargo bench --bench what_if -- --bundle out/geometry --rounds 1 --only patching
//!
//! The unit is one plain forward: the same graphs and the same T, vision included, no attention
//! outputs ([`Rescorer::plain`]). Activation patching is compared with as many plain forwards of the
//! positions that each patch changes ([`Patcher::plain`]): every layer, eight groups of positions, both
//! runs whose activations are read included. One thread; rounds interleave what is compared, so that a busy
//! machine hits both alike; medians, and ratios within a round.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

use anyhow::{Context as _, bail, ensure};
use cpu_time::ProcessTime;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use vlmscope::analysis::patching::{PositionGroup, Site, position_groups};
use vlmscope::edit::{Brush, Edits, Step, png};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskOptions, AskRequest, BlankFill, Device, Engine, EngineOptions, Intervention, KnockFrom,
    Occluder, OcclusionOptions, PatchRequest, Patcher, Picture, Rerun, Rescorer, Variant,
    ablation_of_each_head, builtin, effects, occlusion, upright,
};
use vlmscope::trace::{AnswerIndex, Head, Layer, Trace};

const QUESTION: &str = "What colour is the balloon?";
const FORWARDS: usize = 5;
/// Groups of positions that are patched.
const GROUPS: usize = 8;

struct Bench {
    engine: Engine,
    trace: Trace,
    picture: Picture,
    cancel: CancelToken,
}

fn main() -> anyhow::Result<()> {
    let Options { bundle, rounds, only_patching } = parse()?;
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
    let patching = bench.patching(rounds)?;
    if only_patching {
        println!("{:#}", json!({ "bundle": options.bundle, "patching": patching }));
        return Ok(());
    }
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
            "patching": patching,
        })
    );
    Ok(())
}

struct Options {
    bundle: PathBuf,
    rounds: usize,
    only_patching: bool,
}

fn parse() -> anyhow::Result<Options> {
    let mut bundle = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/tiny"));
    let (mut rounds, mut only_patching) = (5, false);
    let mut given = std::env::args().skip(1).filter(|name| name != "--bench");
    while let Some(name) = given.next() {
        let value = given.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--bundle" => bundle = value.into(),
            "--rounds" => rounds = value.parse()?,
            "--only" => {
                ensure!(value == "patching", "--only knows `patching`, not `{value}`");
                only_patching = true;
            }
            _ => bail!("unknown option {name}"),
        }
    }
    ensure!(rounds > 0, "--rounds must be at least 1");
    Ok(Options { bundle, rounds, only_patching })
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
            engine.forget(&CancelToken::new())?;
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

    /// The residual stream of every layer at eight groups of positions, picture B blank.
    fn patching(&mut self, rounds: usize) -> anyhow::Result<serde_json::Value> {
        let seen = self.trace.canvas(0).context("no picture")?;
        let other = Occluder::new(&seen, BlankFill::Mean)?.blank();
        let logprobs =
            vlmscope::model::blank_logprobs(&mut self.engine, &self.trace, &self.cancel)?;
        let own = self.trace.answer_logprobs();
        let lost = own.iter().zip(&logprobs).map(|(own, blank)| (own - blank).abs());
        let token =
            lost.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(token, _)| token);
        let answer = AnswerIndex(token as u32);
        let request = PatchRequest {
            answer,
            site: Site::Residual,
            groups: eight_groups(&self.trace, answer)?,
            other,
            name: "blank".into(),
            estimates: false,
            exact: true,
            earlier: None,
        };
        let Self { engine, trace, cancel, .. } = self;
        let engine = engine.here().context("the model is in this process")?;
        let mut run = |plain: bool| {
            let mut places = 0;
            let spent = seconds(|| {
                let patcher = Patcher::new(engine, trace, request.clone(), cancel)?;
                let mut patcher = if plain { patcher.plain() } else { patcher };
                patcher.run(engine, cancel, &mut |_| {})?;
                places = patcher.result().done();
                Ok(())
            });
            spent.map(|spent| (spent, places))
        };
        let (mut patched, mut ratios, mut places) = (Vec::new(), Vec::new(), 0);
        for _ in 0..rounds {
            let (spent, count) = run(false)?;
            let (plain, _) = run(true)?;
            places = count;
            patched.push(spent);
            ratios.push(spent / plain);
        }
        let median = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Ok(json!({
            "places": places,
            "cpu_s": median(patched),
            "to_plain_forwards_of_the_suffix": median(ratios),
        }))
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

/// The patches of the middle rows as an object, the other patches, five words and the last position.
fn eight_groups(trace: &Trace, answer: AnswerIndex) -> anyhow::Result<Vec<PositionGroup>> {
    let patches = trace.meta().patches();
    let middle = patches / 3..2 * patches / 3;
    let inside: Vec<f32> =
        (0..patches).map(|patch| f32::from(u8::from(middle.contains(&patch)))).collect();
    let mut groups = position_groups(trace, answer, &[("object", &inside)]);
    let last = groups.pop().context("no group")?;
    groups.truncate(GROUPS - 1);
    groups.push(last);
    ensure!(groups.len() == GROUPS, "the question is too short for {GROUPS} groups");
    Ok(groups)
}
