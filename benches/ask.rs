//! Costs of a question: process CPU seconds and peak memory above the loaded model, as JSON.
//!
//!     cargo bench --bench ask -- --bundle out/geometry
//!     cargo bench --bench ask -- --bundle out/geometry --checkpoint out/geometry-torch \
//!         --python .venv/bin/python --rounds 3 --only ask,eager
//!
//! One thread on both sides, one fresh process per measurement, rounds interleaved with the
//! baseline's (benches/python/baselines.py) so that a busy machine hits both alike; medians, and
//! ratios within this run. Linux only: memory is read from /proc.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common;

use anyhow::{Context as _, bail, ensure};
use common::{cpu_seconds, medians, noise, run, status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use vlmscope::job::CancelToken;
use vlmscope::model::{AskRequest, Device, Engine, EngineOptions, Rows};

/// The question of benches/python/baselines.py.
const QUESTION: &str = "What is on the left of the picture, and what is on its right?";
const NEW_TOKENS: u32 = 16;
const PARTS: [&str; 7] =
    ["ask", "ask_all_rows", "second_question", "score", "start", "cancel", "program"];
const BASELINES: [&str; 2] = ["eager", "eager_without_output"];
/// Time from the start of a question until it is cancelled.
const CANCELLED_AFTER: Duration = Duration::from_millis(500);

struct Arguments {
    bundle: PathBuf,
    checkpoint: Option<PathBuf>,
    python: String,
    rounds: usize,
    part: Option<String>,
    /// Only these measurements; empty: all.
    only: Vec<String>,
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = parse()?;
    if let Some(part) = &arguments.part {
        println!("{}", measure(part, &arguments.bundle)?);
        return Ok(());
    }
    let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for _ in 0..arguments.rounds {
        for part in PARTS.into_iter().filter(|part| arguments.wants(part)) {
            let result = child(&arguments, part)?;
            runs.entry(part.to_owned()).or_default().push(result);
        }
        if let Some(checkpoint) = &arguments.checkpoint {
            for kind in BASELINES.into_iter().filter(|kind| arguments.wants(kind)) {
                let result = baseline(&arguments, checkpoint, kind)?;
                runs.entry(format!("transformers {kind}")).or_default().push(result);
            }
        }
    }
    let medians: BTreeMap<&String, Value> =
        runs.iter().map(|(part, rounds)| (part, medians(rounds))).collect();
    let mut report =
        json!({ "bundle": arguments.bundle, "rounds": arguments.rounds, "results": medians });
    let number = |part: &str, field: &str| medians.get(&part.to_owned())?.get(field)?.as_f64();
    let ratio = |field: &str| Some(number("ask", field)? / number("transformers eager", field)?);
    if let (Some(cpu), Some(memory)) = (ratio("cpu_s"), ratio("peak_bytes")) {
        report["ratios"] = json!({ "cpu": cpu, "memory": memory });
    }
    println!("{report:#}");
    Ok(())
}

fn parse() -> anyhow::Result<Arguments> {
    let mut arguments = Arguments {
        bundle: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/tiny")),
        checkpoint: None,
        python: "python3".to_owned(),
        rounds: 3,
        part: None,
        only: Vec::new(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        // cargo bench passes this to every bench.
        if name == "--bench" {
            continue;
        }
        let value = given.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--bundle" => arguments.bundle = value.into(),
            "--checkpoint" => arguments.checkpoint = Some(value.into()),
            "--python" => arguments.python = value,
            "--rounds" => arguments.rounds = value.parse()?,
            "--only" => arguments.only = value.split(',').map(str::to_owned).collect(),
            "--part" => arguments.part = Some(value),
            _ => bail!("unknown option {name}"),
        }
    }
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    Ok(arguments)
}

/// One measurement in this process.
fn measure(part: &str, bundle: &std::path::Path) -> anyhow::Result<Value> {
    if part == "program" {
        return program(bundle);
    }
    let started = Instant::now();
    let options = EngineOptions {
        bundle: bundle.to_owned(),
        device: Device::Cpu,
        threads: Some(1),
        ..EngineOptions::default()
    };
    let mut engine = Engine::load(&options, &mut |_| {})?;
    let side = engine.manifest().vision.image_size as u32;
    let mut asked = AskRequest {
        picture: Some(noise(side)?),
        question: QUESTION.to_owned(),
        ..AskRequest::default()
    };
    asked.options.sampling.max_new_tokens = NEW_TOKENS;
    if part == "start" {
        // From the start of the process to the answer, loading included.
        let trace = ask(&mut engine, &asked)?;
        return Ok(json!({
            "cpu_s": cpu_seconds()?,
            "wall_s": started.elapsed().as_secs_f64(),
            "generated": trace.shape().generated,
        }));
    }
    // Warm up as the baseline does: a few tokens without a picture.
    let mut short = AskRequest { question: "What?".to_owned(), ..AskRequest::default() };
    short.options.sampling.max_new_tokens = 1;
    ask(&mut engine, &short)?;
    match part {
        "cancel" => return cancel(&mut engine, &asked),
        "ask" => {}
        "ask_all_rows" => asked.options.rows = Rows::All,
        "second_question" => {
            ask(&mut engine, &asked)?;
            "What is in the middle of it?".clone_into(&mut asked.question);
        }
        "score" => asked.options.answer = Some("a ".repeat(NEW_TOKENS as usize)),
        _ => bail!("unknown part {part}"),
    }
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (before, cpu, started) = (status("VmRSS")?, cpu_seconds()?, Instant::now());
    let counters = engine.counters();
    let trace = ask(&mut engine, &asked)?;
    let done = engine.counters();
    let timings = trace.meta().timings;
    Ok(json!({
        "cpu_s": cpu_seconds()? - cpu,
        "wall_s": started.elapsed().as_secs_f64(),
        "peak_bytes": status("VmHWM")?.saturating_sub(before),
        "kept_bytes": trace.data_bytes(),
        "positions": trace.shape().positions,
        "generated": trace.shape().generated,
        "vision_runs": done.vision_runs - counters.vision_runs,
        "prefill_positions": done.prefill_positions - counters.prefill_positions,
        "vision_s": timings.vision,
        "prefill_s": timings.prefill,
        "decode_s": timings.decode,
    }))
}

/// The program as a user runs it, with its default threads: from its start to the printed answer,
/// and to its end, when trace and overlay are written. The second of two runs: files are cached.
fn program(bundle: &std::path::Path) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let mut result = Value::Null;
    for name in ["first", "second"] {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vlmscope"))
            .args(["ask", "sample:1", QUESTION, "--model"])
            .arg(bundle)
            .arg("--out")
            .arg(folder.path().join(name))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        let mut answer = String::new();
        let out = child.stdout.take().context("no standard output")?;
        std::io::BufReader::new(out).read_line(&mut answer)?;
        let printed = started.elapsed().as_secs_f64();
        ensure!(child.wait()?.success() && answer.len() > 1, "the program gave no answer");
        let wall = started.elapsed().as_secs_f64();
        result = json!({ "answer_printed_s": printed, "wall_s": wall });
    }
    Ok(result)
}

/// Time from the cancellation of a question, in the middle of a graph, until the engine returns.
fn cancel(engine: &mut Engine, asked: &AskRequest) -> anyhow::Result<Value> {
    let token = CancelToken::new();
    let stop = token.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(CANCELLED_AFTER);
        stop.cancel();
        Instant::now()
    });
    let result = engine.ask(asked, &token, &mut |_| {});
    let returned = Instant::now();
    let cancelled = stopper.join().map_err(|_| anyhow::anyhow!("the stopping thread failed"))?;
    Ok(json!({
        "finished_before": f64::from(u8::from(result.is_ok())),
        "wall_s_after_cancel": returned.saturating_duration_since(cancelled).as_secs_f64(),
    }))
}

fn ask(engine: &mut Engine, asked: &AskRequest) -> anyhow::Result<vlmscope::trace::Trace> {
    Ok(engine.ask(asked, &CancelToken::new(), &mut |_| {})?)
}

fn child(arguments: &Arguments, part: &str) -> anyhow::Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--part").arg(part).arg("--bundle").arg(&arguments.bundle);
    run(command, part)
}

fn baseline(
    arguments: &Arguments,
    checkpoint: &std::path::Path,
    kind: &str,
) -> anyhow::Result<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/baselines.py");
    let mut command = Command::new(&arguments.python);
    command.args([script, "--part", "torch", "--kind", kind, "--repeats", "1", "--bundle"]);
    command.arg(&arguments.bundle).arg("--checkpoint").arg(checkpoint);
    for variable in ["OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, "1");
    }
    run(command, kind)
}
