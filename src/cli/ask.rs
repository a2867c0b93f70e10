//! `vlmscope ask`: a picture and a question become an answer, a trace and an overlay.

mod batch;

use super::relevancy::MemoryFlag;
use super::{overlay, print_json, usage};
use crate::edit::Edits;
use crate::job::CancelToken;
use crate::model::{
    AskEvent, AskOptions, AskRequest, Device, Engine, EngineOptions, Picture, Progress,
    RelevancyMethod, Rows, Stage, builtin,
};
use crate::trace::{PreprocessMode, Sampling, Trace};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// Ask a model about a picture: prints the answer, writes the trace and where it looked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope ask cat.jpg \"What is on the left?\"
  vlmscope ask cat.jpg \"Is there a fox?\" --answer \"No, there is no fox.\"   score this answer
  vlmscope ask cat.jpg \"Describe the picture.\" --model llava-7b --rows all --json
  vlmscope ask --batch questions.jsonl --out traces
      one line each: {\"picture\": \"cat.jpg\", \"question\": \"…\", \"answer\": \"… (optional)\", \"id\": \"… (optional)\"}

A sample to try: vlmscope ask sample:1 \"Where is the balloon?\"")]
pub(crate) struct Args {
    /// A picture file (PNG, JPEG, GIF, WebP, BMP, TIFF), or sample:N for a built-in one.
    #[arg(required_unless_present = "batch")]
    picture: Option<PathBuf>,
    /// The question.
    #[arg(required_unless_present = "batch")]
    question: Option<String>,
    /// Many questions: a JSON Lines file; --out then names a folder. Run again to go on.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["picture", "question", "answer"], requires = "out")]
    batch: Option<PathBuf>,
    /// A bundle made by onnx/export.py; without it the built-in model answers.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Where the trace goes (default: beside the picture, with a new name).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Score this answer instead of generating one.
    #[arg(long, value_name = "TEXT")]
    answer: Option<String>,
    /// Edit the picture first: a file as the window saves it (see vlmscope edit --help).
    #[arg(long, value_name = "EDITS.toml", conflicts_with = "batch")]
    edit: Option<PathBuf>,
    /// Which query rows are kept: text and answer, or all positions.
    #[arg(long, value_enum, default_value_t = RowsFlag::Text)]
    rows: RowsFlag,
    /// Also keep the attention of the vision tower.
    #[arg(long)]
    vision_attention: bool,
    /// Also compute relevancy maps: llm, vit, all … (see vlmscope relevancy --help)
    #[arg(long, value_name = "METHOD[,METHOD]", value_delimiter = ',')]
    relevancy: Vec<RelevancyMethod>,
    #[command(flatten)]
    memory: MemoryFlag,
    /// How a picture that is not square is made to fit.
    #[arg(long, value_enum, default_value_t = PreprocessFlag::Default)]
    preprocess: PreprocessFlag,
    /// Do not draw the overlay PNG.
    #[arg(long)]
    no_overlay: bool,
    /// Print one JSON object (with --batch: one line each).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampling: SamplingFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingFlags {
    /// Up to 0.001 is greedy.
    #[arg(long, default_value_t = 0.0, value_parser = unit_interval, allow_hyphen_values = true)]
    temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this.
    #[arg(long, default_value_t = 1.0, value_parser = probability, allow_hyphen_values = true)]
    top_p: f32,
    /// Stop after this many tokens.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096), allow_negative_numbers = true)]
    max_new_tokens: u32,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
}

/// Where and with which library a model runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Runtime")]
pub(crate) struct RuntimeFlags {
    /// The execution provider; auto takes CUDA where it works.
    #[arg(long, value_enum, default_value_t = DeviceFlag::Auto)]
    pub device: DeviceFlag,
    /// ONNX Runtime's shared library; without it the usual places are searched.
    #[arg(long, value_name = "PATH")]
    pub ort_lib: Option<PathBuf>,
    /// Threads for one operator (default: all cores).
    #[arg(long, value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RowsFlag {
    Text,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PreprocessFlag {
    /// The processor's own rule (resize the short edge, crop the centre).
    Default,
    /// Squash to the model's size.
    Resize,
    /// Expand to a square.
    Pad,
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

fn unit_interval(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{value} is not between 0 and 1"))
    }
}

/// A share that is not nothing.
fn probability(text: &str) -> Result<f32, String> {
    unit_interval(text).and_then(|value| {
        if value > 0.0 { Ok(value) } else { Err("0 keeps no token; use more than 0".into()) }
    })
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err(format!("`{text}` is not a number from 1 to 1024")),
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let cancel = cancel_on_interrupt()?;
    if let Some(batch) = &args.batch {
        return batch::run(args, batch, &cancel);
    }
    let (Some(picture), Some(question)) = (&args.picture, &args.question) else {
        return Err(usage("a picture and a question are needed; see vlmscope ask --help"));
    };
    let mut picture_data = read_picture(picture)?;
    let mut options = options(args, args.answer.clone());
    if let Some(path) = &args.edit {
        let mut edits = Edits::open(path)?;
        picture_data = super::edit::edited(&picture_data, &mut edits)?;
        options.blanked = edits.blanked().collect();
    }
    let out = match &args.out {
        Some(out) => with_trace_extension(out)?,
        None => unused_name(&default_out(picture, &picture_data.name)),
    };
    super::check_writable(&out)?;
    let mut view = View::new(args.json);
    let mut engine = view.load(args)?;
    let request = AskRequest {
        picture: Some(picture_data),
        turns: Vec::new(),
        question: question.clone(),
        options,
    };
    let trace = view.ask(&mut engine, &request, &cancel)?;
    view.answer(&trace)?;
    let out = if args.out.is_some() {
        trace.write(&out)?;
        out
    } else {
        write_unused(&trace, out)?
    };
    // The answer is safe before anything that takes long or may fail.
    let trace = view.add_relevancy(&mut engine, trace, &out, args, &cancel)?;
    let drawn = if args.no_overlay { None } else { write_overlay(&trace, &out)? };
    if args.json {
        print_json(&as_json(&trace, &out))?;
    } else {
        report(&trace, &out, drawn.as_deref());
    }
    Ok(())
}

fn options(args: &Args, answer: Option<String>) -> AskOptions {
    let SamplingFlags { temperature, top_p, max_new_tokens, seed } = args.sampling;
    AskOptions {
        sampling: Sampling { temperature, top_p, max_new_tokens, seed, forced: answer.is_some() },
        answer,
        rows: match args.rows {
            RowsFlag::Text => Rows::Text,
            RowsFlag::All => Rows::All,
        },
        vision_attention: args.vision_attention,
        preprocess: match args.preprocess {
            PreprocessFlag::Default => PreprocessMode::Default,
            PreprocessFlag::Resize => PreprocessMode::Resize,
            PreprocessFlag::Pad => PreprocessMode::Pad,
        },
        ..AskOptions::default()
    }
}

/// The engine's options, with the built-in model where no other is named.
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
        runtime: flags.ort_lib.clone(),
        device: match flags.device {
            DeviceFlag::Auto => Device::Auto,
            DeviceFlag::Cpu => Device::Cpu,
            DeviceFlag::Cuda => Device::Cuda,
        },
        threads: flags.threads,
    })
}

/// `sample:N` (from 1) or a file.
pub(crate) fn read_picture(path: &Path) -> anyhow::Result<Picture> {
    let Some(number) = path.to_str().and_then(|text| text.strip_prefix("sample:")) else {
        return Ok(Picture::read(path)?);
    };
    let samples = builtin::samples()?;
    let sample =
        number.parse::<usize>().ok().and_then(|number| samples.get(number.checked_sub(1)?));
    let sample = sample.ok_or_else(|| {
        usage(format!(
            "there is no sample:{number}; there are sample:1 to sample:{}",
            samples.len()
        ))
    })?;
    let bytes = builtin::sample_picture(&sample.file)
        .context("the sample picture is missing from this program")?;
    Ok(Picture { name: sample.file.clone(), bytes: bytes.into() })
}

/// Beside the picture; for a built-in sample, in the current folder.
fn default_out(picture: &Path, name: &str) -> PathBuf {
    let folder = if picture.exists() {
        picture.parent().unwrap_or_else(|| Path::new(""))
    } else {
        Path::new("")
    };
    folder.join(name).with_extension("vlmtrace")
}

/// The name itself, or name-2, name-3 … : a default must never overwrite an earlier answer.
fn unused_name(path: &Path) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    std::iter::once(path.to_owned())
        .chain((2..).map(|number: u32| path.with_file_name(format!("{stem}-{number}.vlmtrace"))))
        .find(|path| !path.exists() && !overlay_path(path).exists())
        .unwrap_or_else(|| path.to_owned())
}

/// Writes under the name, or under the next that is free: another question may have taken it while
/// this one was answered.
fn write_unused(trace: &Trace, mut path: PathBuf) -> anyhow::Result<PathBuf> {
    loop {
        match trace.write_new(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.is_taken() => path = unused_name(&path),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn with_trace_extension(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_dir() {
        return Err(usage(format!(
            "{} is a folder; --out names a file (with --batch a folder)",
            path.display()
        )));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("vlmtrace") => Ok(path.to_owned()),
        None => Ok(path.with_extension("vlmtrace")),
        Some(other) => Err(usage(format!(
            "--out {} ends in .{other}; a trace ends in .vlmtrace",
            path.display()
        ))),
    }
}

fn write_overlay(trace: &Trace, out: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(drawn) = overlay::draw(trace)? else { return Ok(None) };
    let path = overlay_path(out);
    overlay::write(&drawn, &path)?;
    let _ = writeln!(
        std::io::stderr(),
        "looked most at the picture in layer {} ({:.1} % of its attention)",
        drawn.layer,
        drawn.image_share * 100.0
    );
    Ok(Some(path))
}

/// NAME.overlay.png: a name that the picture itself does not have.
fn overlay_path(trace: &Path) -> PathBuf {
    trace.with_extension("overlay.png")
}

/// What `--json` prints, as the architecture names it.
fn as_json(trace: &Trace, out: &Path) -> serde_json::Value {
    let meta = trace.meta();
    let tokens: Vec<_> = meta
        .answer_tokens()
        .iter()
        .zip(trace.answer_logprobs().iter())
        .map(|(token, logprob)| json!({"id": token.id, "text": token.text, "logprob": logprob}))
        .collect();
    json!({
        "answer": meta.answer,
        "tokens": tokens,
        "prompt_tokens": meta.prompt_len,
        "spans": meta.spans,
        "trace": out,
        "timings_s": meta.timings,
        "provider": meta.provenance.provider,
    })
}

fn report(trace: &Trace, out: &Path, overlay: Option<&Path>) {
    let meta = trace.meta();
    let timings = meta.timings;
    let overlay = overlay.map_or_else(String::new, |path| format!(" and {}", path.display()));
    let _ = writeln!(
        std::io::stderr(),
        "{} tokens in {:.2} s on {} · wrote {} ({}){overlay}",
        trace.shape().generated,
        timings.vision + timings.prefill + timings.decode,
        meta.provenance.provider,
        out.display(),
        super::human_bytes(trace.data_bytes()),
    );
}

/// The first Ctrl-C cancels and leaves nothing half-written; the second ends the program.
pub(crate) fn cancel_on_interrupt() -> anyhow::Result<CancelToken> {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    ctrlc::set_handler(move || {
        if token.is_cancelled() {
            std::process::exit(130);
        }
        token.cancel();
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(cancel)
}

/// Progress on stderr, the answer on stdout as it comes where a person is reading.
struct View {
    bar: ProgressBar,
    prints: bool,
    streams: bool,
    printed: usize,
}

impl View {
    fn new(json: bool) -> Self {
        let bar = progress_bar();
        Self { bar, prints: !json, streams: !json && std::io::stdout().is_terminal(), printed: 0 }
    }

    fn load(&self, args: &Args) -> anyhow::Result<Engine> {
        let options = engine_options(args.model.as_deref(), &args.runtime)?;
        Ok(Engine::load(&options, &mut |progress| self.progress(progress))?)
    }

    fn ask(
        &mut self,
        engine: &mut Engine,
        request: &AskRequest,
        cancel: &CancelToken,
    ) -> anyhow::Result<Trace> {
        self.printed = 0;
        let answered = engine.ask(request, cancel, &mut |event| self.event(&event));
        self.bar.finish_and_clear();
        Ok(answered?)
    }

    fn event(&mut self, event: &AskEvent) {
        match event {
            AskEvent::Progress(progress) => self.progress(*progress),
            AskEvent::Notice(notice) => self.bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "note: {notice}");
            }),
            AskEvent::Prompt(_) => {}
            AskEvent::Token(token) if self.streams => {
                self.bar.finish_and_clear();
                let mut out = std::io::stdout().lock();
                let _ = write!(out, "{}", token.text.get(self.printed..).unwrap_or_default());
                let _ = out.flush();
                self.printed = token.text.len();
            }
            AskEvent::Token(_) => {}
        }
    }

    /// What of the answer has not been streamed, and the line end.
    fn answer(&self, trace: &Trace) -> anyhow::Result<()> {
        if self.prints {
            writeln!(
                std::io::stdout(),
                "{}",
                trace.meta().answer.get(self.printed..).unwrap_or_default()
            )?;
        }
        Ok(())
    }

    fn progress(&self, progress: Progress) {
        if self.streams && progress.stage == Stage::Decode {
            return;
        }
        show_progress(&self.bar, progress);
    }

    /// Adds the relevancy maps that are wanted and not there yet, and writes the trace again.
    fn add_relevancy(
        &self,
        engine: &mut Engine,
        trace: Trace,
        path: &Path,
        args: &Args,
        cancel: &CancelToken,
    ) -> anyhow::Result<Trace> {
        let known = [trace.map_names(), trace.page_names()].concat();
        let missing: Vec<RelevancyMethod> = args
            .relevancy
            .iter()
            .copied()
            .filter(|method| !known.contains(&method.map_name()))
            .collect();
        if missing.is_empty() {
            return Ok(trace);
        }
        let request = args.memory.request(&missing);
        let found =
            engine.relevancy(&trace, &request, cancel, &mut |progress| self.progress(progress));
        self.bar.finish_and_clear();
        let (found, _) = found
            .with_context(|| format!("the answer is in {}, without relevancy", path.display()))?;
        found.write(path)?;
        Ok(found)
    }
}

/// A bar on stderr.
pub(crate) fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:24} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

/// Moves a bar.
pub(crate) fn show_progress(bar: &ProgressBar, progress: Progress) {
    bar.set_message(progress.stage.to_string());
    bar.set_length(u64::from(progress.total));
    bar.set_position(u64::from(progress.done));
}
