//! `vlmscope doctor`: components on this machine, missing ones, and how to install them.

use super::common::{RuntimeFlags, bar, human_bytes, load_engine, print_json};
use crate::gpu::{Gpu, GpuOptions};
use crate::model::{Bundle, RuntimeCandidate, builtin, runtime_candidates};
use crate::record::encoder::ffmpeg_version;
use crate::terminal;
use anyhow::bail;
use serde::Serialize;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Check this machine: ONNX Runtime, graphics adapters, the built-in model.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope doctor
  vlmscope doctor --verify bundles/llava-7b       read every byte of a bundle and compare its hashes")]
pub(crate) struct Args {
    /// Also read every byte of this bundle and compare it with its manifest.
    #[arg(long, value_name = "BUNDLE")]
    verify: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    found: String,
    /// Instructions for a missing component.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), fix: None }
    }

    fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into()).filter(|fix: &String| !fix.is_empty());
        Self { what, ok: false, found: found.into(), fix }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut findings = vec![
        Finding::good(
            "vlmscope",
            concat!(env!("CARGO_PKG_VERSION"), " for ").to_owned() + std::env::consts::ARCH,
        ),
        runtime(args),
        model(args),
        adapters(),
        encoders(),
    ];
    if let Some(bundle) = &args.verify {
        findings.push(verify(bundle));
    }
    if args.json {
        print_json(
            &serde_json::json!({ "findings": findings, "runtime_candidates": candidates(args) }),
        )?;
    } else {
        print(&findings)?;
    }
    let missing = findings.iter().filter(|finding| !finding.ok).count();
    if missing > 0 {
        bail!("{missing} of {} checks failed; the lines above say how to fix each", findings.len());
    }
    Ok(())
}

fn print(findings: &[Finding]) -> anyhow::Result<()> {
    let mut out = terminal::stdout();
    for finding in findings {
        let mark = if finding.ok { "✓" } else { "✗" };
        writeln!(out, "{mark} {:<16} {}", finding.what, finding.found)?;
        if let Some(fix) = &finding.fix {
            writeln!(out, "  {:<16} → {fix}", "")?;
        }
    }
    Ok(())
}

fn candidates(args: &Args) -> Vec<serde_json::Value> {
    runtime_candidates(args.runtime.ort_lib.as_deref())
        .iter()
        .map(|RuntimeCandidate { source, path, version }| match version {
            Ok(version) => serde_json::json!({"source": source, "path": path, "version": version}),
            Err(problem) => serde_json::json!({"source": source, "path": path, "problem": problem}),
        })
        .collect()
}

/// The library that a question would use; no other is loaded.
fn runtime(args: &Args) -> Finding {
    const WHAT: &str = "ONNX Runtime";
    let named = args.runtime.ort_lib.as_deref();
    match crate::model::Runtime::load(named) {
        Ok(runtime) => {
            let candidates = runtime_candidates(named);
            let source = candidates.iter().find(|candidate| candidate.path == runtime.path);
            let source = source.map_or("--ort-lib", |candidate| candidate.source);
            let path = runtime.path.display();
            Finding::good(WHAT, format!("{} · {path} ({source})", runtime.version))
        }
        Err(error) => Finding::bad(WHAT, error.to_string(), ""),
    }
}

/// The built-in model and its provider, tested by loading the model.
fn model(args: &Args) -> Finding {
    const WHAT: &str = "built-in model";
    let load = || -> anyhow::Result<String> {
        let samples = builtin::samples()?.len();
        let engine = load_engine(None, &args.runtime, &mut |_| {})?;
        let info = engine.info();
        Ok(format!(
            "{} · {} layers × {} heads · {samples} sample pictures · runs on {}",
            info.model.name, info.model.layers, info.model.heads, info.provider
        ))
    };
    match load() {
        Ok(found) => Finding::good(WHAT, found),
        Err(error) => Finding::bad(WHAT, crate::ui::error_text::error_text(&error), ""),
    }
}

/// The adapters, tested by opening the best one.
fn adapters() -> Finding {
    const WHAT: &str = "graphics";
    const FIX: &str = "install your graphics driver with Vulkan, or the software one: apt-get install mesa-vulkan-drivers libvulkan1";
    let adapters = Gpu::adapters();
    let names: Vec<String> = adapters
        .iter()
        .map(|(adapter, is_usable)| {
            let kind = match adapter.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete",
                wgpu::DeviceType::IntegratedGpu => "integrated",
                wgpu::DeviceType::VirtualGpu => "virtual",
                wgpu::DeviceType::Cpu => "software",
                wgpu::DeviceType::Other => "other",
            };
            let lacks =
                if *is_usable { "" } else { ": not usable, it lacks basic WebGPU features" };
            format!("{} ({kind}, {}){lacks}", adapter.name, adapter.backend)
        })
        .collect();
    if names.is_empty() {
        return Finding::bad(WHAT, "no Vulkan or OpenGL adapter", FIX);
    }
    if !adapters.iter().any(|(_, is_usable)| *is_usable) {
        return Finding::bad(WHAT, names.join("; "), FIX);
    }
    match Gpu::open(&GpuOptions::default()) {
        Ok(_) => Finding::good(WHAT, names.join("; ")),
        Err(error) => Finding::bad(WHAT, error.to_string(), FIX),
    }
}

/// Encoders of films.
fn encoders() -> Finding {
    const WHAT: &str = "film encoders";
    let built_in = if cfg!(feature = "h264") { "MP4 by openh264 (built in), " } else { "" };
    match ffmpeg_version() {
        Some(version) => Finding::good(WHAT, format!("{built_in}MP4 by {version}, GIF, PNG")),
        None if built_in.is_empty() => Finding::bad(
            WHAT,
            "GIF and PNG only",
            "for MP4 install ffmpeg, or build with the cargo feature `h264`",
        ),
        None => Finding::good(
            WHAT,
            format!(
                "{built_in}GIF, PNG; ffmpeg is not installed \
            (optional)"
            ),
        ),
    }
}

fn verify(folder: &Path) -> Finding {
    const WHAT: &str = "bundle";
    let bar = bar("hashing {bar:24} {bytes}/{total_bytes}, {eta} left", 1);
    let verified = Bundle::open(folder).and_then(|bundle| {
        let mut total = 0;
        bundle.verify(&mut |done, all| {
            total = all;
            bar.set_length(all);
            bar.set_position(done);
        })?;
        Ok((bundle.model_info().name, total))
    });
    bar.finish_and_clear();
    match verified {
        Ok((name, bytes)) => {
            Finding::good(WHAT, format!("{name} · {} match the manifest", human_bytes(bytes)))
        }
        Err(error) => Finding::bad(WHAT, error.to_string(), ""),
    }
}
