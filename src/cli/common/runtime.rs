//! Execution of a model: flags and the options of the engine.

use super::{cancel_on_interrupt, note, until_interrupted};
use crate::job::ReuseFreedMemory;
use crate::model::{
    Address, AskStage, Device, Engine, EngineOptions, Progress, RemoteOptions, builtin,
};
use std::path::{Path, PathBuf};

/// Device and library on which a model runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Runtime")]
pub(crate) struct RuntimeFlags {
    /// Execution provider; auto uses CUDA where it works.
    #[arg(long, value_enum, default_value_t = DeviceFlag::Auto)]
    pub device: DeviceFlag,
    /// Shared library of ONNX Runtime [default: search the usual places].
    #[arg(long, value_name = "PATH")]
    pub ort_lib: Option<PathBuf>,
    /// Use the model of another machine: ssh://USER@HOST:PORT/PATH/TO/vlmscope (only HOST is needed), or exec:PROGRAM
    /// (docs/serve.md). The other flags of the model then mean that machine.
    #[arg(long, value_name = "ADDRESS")]
    pub remote: Option<Address>,
    /// Threads per operator, at most one per core [default: all cores].
    #[arg(long, value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<usize>,
}

/// [`Device`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DeviceFlag {
    /// CUDA where it works, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA or an error.
    Cuda,
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err(format!("`{text}` is not a number from 1 to 1024")),
    }
}

impl RuntimeFlags {
    /// Threads for work outside of the model.
    pub(crate) fn worker_threads(&self) -> usize {
        self.threads.unwrap_or(usize::MAX).min(cores())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Loads the model of the flags, here or on the machine that `--remote` names.
pub(crate) fn load_engine(
    model: Option<&Path>,
    flags: &RuntimeFlags,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<Engine> {
    let Some(address) = &flags.remote else {
        let options = engine_options(model, flags)?;
        log::info!("loading {}", options.bundle.display());
        ReuseFreedMemory::until_exit();
        return Ok(until_interrupted(
            "model",
            move |tell| Engine::load(&options, tell),
            progress,
        )??);
    };
    let options = EngineOptions {
        bundle: model.unwrap_or(Path::new("")).to_owned(),
        threads: flags.threads,
        ..options_of(flags)
    };
    let remote = RemoteOptions { address: address.clone(), stage: None };
    let mut tell = |reported: Progress| match reported.stage {
        // A bar has no place for a host, and is not drawn where stderr is no terminal.
        AskStage::Connect => note(&format!("{} …", reported.line(Some(address.host())))),
        _ => progress(reported),
    };
    Ok(Engine::connect(&remote, &options, &cancel_on_interrupt(), &mut tell)?)
}

/// The options of an engine in this process, with the built-in model unless another is given.
pub(crate) fn engine_options(
    model: Option<&Path>,
    flags: &RuntimeFlags,
) -> anyhow::Result<EngineOptions> {
    let bundle = match model {
        Some(model) => model.to_owned(),
        None => builtin::bundle_folder()?,
    };
    Ok(EngineOptions {
        bundle,
        // More threads than cores are not faster, and each takes memory.
        threads: flags.threads.map(|threads| threads.min(cores())),
        ..options_of(flags)
    })
}

fn options_of(flags: &RuntimeFlags) -> EngineOptions {
    EngineOptions {
        runtime: flags.ort_lib.clone(),
        device: match flags.device {
            DeviceFlag::Auto => Device::Auto,
            DeviceFlag::Cpu => Device::Cpu,
            DeviceFlag::Cuda => Device::Cuda,
        },
        ..EngineOptions::default()
    }
}
