//! Costs of relevancy: process CPU seconds and peak memory above the loaded model, as JSON.
//!
//!     cargo bench --bench relevancy
//!     cargo bench --bench relevancy -- --bundle out/geometry --checkpoint out/geometry-torch \
//!         --python .venv/bin/python --rounds 3
//!
//! One thread on both sides, one fresh process a measurement, rounds interleaved with LVLM-Interpret's
//! procedure in torch (benches/python/relevancy.py) so that a busy machine hits both alike; medians,
//! and ratios within this run. Linux only: memory and CPU time are read from /proc.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common;

use anyhow::{Context as _, bail, ensure};
use common::{cpu_seconds, medians, noise, run, status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use vlmscope::analysis::methods::Method;
use vlmscope::analysis::relevancy::{AbarRows, Mask, Start, propagate};
use vlmscope::job::CancelToken;
use vlmscope::model::{
    AskRequest, AskStage, Device, Engine, EngineOptions, Progress, RelevancyRequest,
};

const QUESTION: &str = "What is on the left of the picture, and what is on its right?";
const NEW_TOKENS: u32 = 16;
/// The recursion that has a bar: tokens, layers, positions.
const RECURSION: [usize; 3] = [40, 32, 660];

struct Arguments {
    bundle: PathBuf,
    checkpoint: Option<PathBuf>,
    python: String,
    rounds: usize,
    part: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = parse()?;
    if let Some(part) = &arguments.part {
        println!("{}", measure(part, &arguments.bundle)?);
        return Ok(());
    }
    let mut runs: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let parts = ["llm after the question", "llm from a trace", "llm, vit and all", "recursion"];
    for _ in 0..arguments.rounds {
        for part in parts {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--part", part, "--bundle"]).arg(&arguments.bundle);
            runs.entry(part).or_default().push(run(command, part)?);
        }
        if let Some(checkpoint) = &arguments.checkpoint {
            let positions = runs["llm after the question"][0]["prompt_len"].to_string();
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/relevancy.py");
            let mut command = Command::new(&arguments.python);
            command.args([script, "--part", "torch", "--positions", &positions, "--bundle"]);
            command.arg(&arguments.bundle).arg("--checkpoint").arg(checkpoint);
            command.env("OMP_NUM_THREADS", "1").env("MKL_NUM_THREADS", "1");
            runs.entry("torch").or_default().push(run(command, "torch")?);
        }
    }
    let medians: BTreeMap<&str, Value> =
        runs.iter().map(|(part, rounds)| (*part, medians(rounds))).collect();
    let number = |part: &str, field: &str| medians.get(part)?.get(field)?.as_f64();
    let ratio = |over: Option<f64>, under: Option<f64>| Some(over? / under?);
    let ours = "llm after the question";
    let alone = "llm from a trace";
    let forward = number(alone, "forward_cpu_s");
    let further = number(alone, "rows_cpu_s").map(|rows| rows / f64::from(NEW_TOKENS));
    let report = json!({
        "bundle": arguments.bundle,
        "rounds": arguments.rounds,
        "results": medians,
        "ratios": {
            "all llm maps, CPU, of torch": ratio(number(ours, "cpu_s"), number("torch", "cpu_s")),
            "all llm maps, memory, of torch":
                ratio(number(ours, "peak_bytes"), number("torch", "peak_bytes")),
            "the same from a trace alone, CPU, of torch":
                ratio(number(alone, "cpu_s"), number("torch", "cpu_s")),
            "first map, of a plain forward": ratio(number(alone, "prompt_cpu_s"), forward),
            "each further map, of a plain forward": ratio(further, forward),
        },
    });
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
            "--part" => arguments.part = Some(value),
            _ => bail!("unknown option {name}"),
        }
    }
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    Ok(arguments)
}

/// One measurement in this process. Graphs are opened, and everything was run once, before.
fn measure(part: &str, bundle: &Path) -> anyhow::Result<Value> {
    if part == "recursion" {
        return recursion();
    }
    let options = EngineOptions {
        bundle: bundle.to_owned(),
        device: Device::Cpu,
        threads: Some(1),
        ..EngineOptions::default()
    };
    let mut engine = Engine::load(&options, &mut |_| {})?;
    let side = engine.manifest().vision.image_size as u32;
    let request = match part {
        "llm, vit and all" => RelevancyRequest::new([Method::LLM, Method::VIT, Method::ALL_LAYERS]),
        _ => RelevancyRequest::new([Method::LLM]),
    };
    let mut none = |_| {};
    // Warm up with a question without a picture.
    let mut short = AskRequest { question: "What?".to_owned(), ..AskRequest::default() };
    short.options.sampling.max_new_tokens = 2;
    let warm = engine.ask(&short, &CancelToken::new(), &mut |_| {})?;
    engine.relevancy(
        &warm,
        &RelevancyRequest::new([Method::LLM]),
        &CancelToken::new(),
        &mut none,
    )?;

    let mut asked = AskRequest {
        picture: Some(noise(side)?),
        question: QUESTION.to_owned(),
        ..AskRequest::default()
    };
    asked.options.sampling.max_new_tokens = NEW_TOKENS;
    let trace = engine.ask(&asked, &CancelToken::new(), &mut |_| {})?;
    if part == "llm from a trace" {
        engine.ask(&short, &CancelToken::new(), &mut |_| {})?;
    }
    let estimate = engine.relevancy_memory(&trace, &request, &CancelToken::new())?;
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (before, cpu) = (status("VmRSS")?, cpu_seconds()?);
    // Process CPU time at every step, because the clock says little on a busy machine.
    let mut steps = Vec::new();
    let mut note = |progress: Progress| {
        if progress.stage == AskStage::Relevancy {
            steps.push(cpu_seconds().unwrap_or(f64::NAN));
        }
    };
    let (_, timings) = engine.relevancy(&trace, &request, &CancelToken::new(), &mut note)?;
    let mut result = serde_json::to_value(timings)?;
    result["cpu_s"] = json!(cpu_seconds()? - cpu);
    result["peak_bytes"] = json!(status("VmHWM")?.saturating_sub(before));
    result["estimated_bytes"] = json!(estimate.working_bytes);
    // The first steps: begun, prompt backward, keys and values, rows backward.
    if let [begun, prompt, forward, rows, ..] = steps[..] {
        result["prompt_cpu_s"] = json!(prompt - begun);
        result["forward_cpu_s"] = json!(forward - prompt);
        result["rows_cpu_s"] = json!(rows - forward);
    }
    result["prompt_len"] = json!(trace.meta().prompt_len);
    result["generated"] = json!(trace.shape().generated);
    Ok(result)
}

/// The row recursion alone, one thread.
fn recursion() -> anyhow::Result<Value> {
    const REPEATS: usize = 10;
    let [tokens, layers, positions] = RECURSION;
    let values: Vec<Vec<f32>> = (0..layers)
        .map(|layer| {
            let entry = |i: usize| {
                let (row, column) = (i / positions, i % positions);
                let wave = ((i * 31 + layer * 17) % 97) as f32 / 97.0;
                if column > row { 0.0 } else { wave / positions as f32 }
            };
            (0..positions * positions).map(entry).collect()
        })
        .collect();
    let abar: Vec<Vec<AbarRows<'_>>> = values
        .iter()
        .map(|values| vec![AbarRows { first: 0, columns: positions, values }])
        .collect();
    let starts: Vec<f32> = (positions - tokens..positions)
        .flat_map(|position| Start::Position(position).row(positions))
        .collect();
    let cpu = cpu_seconds()?;
    let mut checksum = 0.0;
    for _ in 0..REPEATS {
        let rows = propagate(&abar, Mask::Causal, &starts, positions, 1);
        checksum += rows.iter().sum::<f32>();
    }
    let each = (cpu_seconds()? - cpu) / REPEATS as f64;
    Ok(
        json!({ "cpu_s": each, "tokens": tokens, "layers": layers, "positions": positions, "checksum": checksum }),
    )
}
