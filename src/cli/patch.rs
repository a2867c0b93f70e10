//! `vlmscope patch`: activations of one picture's run copied into the run on another picture, one place at a time.

mod report;

use super::common::{
    SiteFlag, cancel_on_interrupt, check_writable, edited, file_to_change, read_picture,
    trace_file, usage,
};
use super::places::{boxes_of_object, known_boxes};
use super::trace_model::{Meter, ModelFlags, shown};
use crate::analysis::inside::Inside;
use crate::analysis::patching::{LAST, PatchResult, PositionGroup, Site, position_groups};
use crate::analysis::score::{BoxPx, region_of_boxes};
use crate::edit::Edits;
use crate::job::CancelToken;
use crate::model::{
    AskOptions, AskRequest, BlankFill, Engine, Occluder, PatchRequest, Picture, TraceInputs,
    only_view, patch, preprocess,
};
use crate::terminal;
use crate::trace::{AnswerIndex, Trace};
use anyhow::Context as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Copy activations from the run on picture A into the run on picture B, and measure how much of
/// A's answer returns.
///
/// Both runs read the same question and A's answer up to the token. One place at a time is copied:
/// the residual stream at a layer's input, a head's output or an MLP's output, at one group of
/// positions (an object's patches, the other patches, each word, the last position). 0 means that
/// the token is as likely as with picture B, 1 as with picture A. A first-order estimate of all
/// places comes first; its correlation with the exact values is printed. The result is stored in
/// the trace. Ctrl-C keeps what was computed; the same command then computes the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope patch fox.vlmtrace cat.jpg --token 3                 residual stream, every layer and group
  vlmscope patch fox.vlmtrace other.vlmtrace --token 3 --what heads   every head, at the last position
  vlmscope patch fox.vlmtrace --blank mean --token 3 --what mlp --object fox
  vlmscope patch fox.vlmtrace --edit edits.toml --token 3 --json
  vlmscope patch fox.vlmtrace --blank blur --token 3 --preview  only the estimate, from one backward pass
  vlmscope patch fox.vlmtrace --token 3 --stored                what the trace holds
  vlmscope patch fox.jpg cat.jpg --question \"What is on the left?\" --token 3 --out fox.vlmtrace")]
pub(crate) struct Args {
    /// Run A: a trace (or captured:N for a sample trace), or a picture with --question. The result is
    /// added to the trace unless --out names another file.
    #[arg(value_parser = trace_file())]
    first: PathBuf,
    /// Picture B: a picture file, sample:N, or a trace of the same question.
    #[arg(value_parser = trace_file())]
    second: Option<PathBuf>,
    /// Picture B is picture A, blanked.
    #[arg(long, value_enum, value_name = "FILL", conflicts_with_all = ["second", "edit"])]
    blank: Option<FillFlag>,
    /// Picture B is picture A with the edits of this file.
    #[arg(long, value_name = "EDITS.toml", conflicts_with = "second")]
    edit: Option<PathBuf>,
    /// Question about picture A, where it is no trace.
    #[arg(long, value_name = "TEXT")]
    question: Option<String>,
    /// Answer token of A, counted from 0.
    #[arg(long, value_name = "I")]
    token: u32,
    /// Activations to copy.
    #[arg(long, value_enum, default_value_t = SiteFlag::Residual)]
    what: SiteFlag,
    /// Groups of positions, separated by commas, as the table names them [default: all; with --what
    /// heads `last position`].
    #[arg(long, value_name = "GROUP[,GROUP]", value_delimiter = ',')]
    at: Vec<String>,
    /// Objects whose patches are a group each, by name [default: all that have a box].
    #[arg(long, value_name = "NOUN[,NOUN]", value_delimiter = ',')]
    object: Vec<String>,
    /// Boxes of objects: a JSON file as `vlmscope score` reads it (the built-in samples have their own).
    #[arg(long, value_name = "FILE.json")]
    boxes: Option<PathBuf>,
    /// Only the first-order estimate.
    #[arg(long, conflicts_with = "no_estimates")]
    preview: bool,
    /// Leave the first-order estimate out; it needs memory for a backward pass.
    #[arg(long)]
    no_estimates: bool,
    /// Print what the trace holds, without computing anything.
    #[arg(long, conflicts_with_all = ["second", "blank", "edit", "question", "preview", "out"])]
    stored: bool,
    /// Trace file to write [default: replace the trace].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Number of places to list, the strongest first.
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FillFlag {
    /// The mean colour of the picture.
    Mean,
    /// The picture, blurred.
    Blur,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (answer, site) = (AnswerIndex(args.token), Site::from(args.what));
    if args.stored {
        return stored(args, answer, site);
    }
    if args.second.is_none() && args.blank.is_none() && args.edit.is_none() {
        return Err(usage(
            "name picture B: a picture file, sample:N or a trace behind A, or --blank mean, --blank blur or --edit EDITS.toml",
        ));
    }
    let is_trace = is_trace(&args.first);
    if args.question.is_some() == is_trace {
        return Err(usage(match is_trace {
            true => "a trace has its question; leave --question out".to_owned(),
            false => format!("{} is no trace; add --question", shown(&args.first)),
        }));
    }
    if !is_trace && args.out.is_none() {
        return Err(usage("name the trace to write with --out, where A is a picture"));
    }
    let out = file_to_change(&args.first, args.out.as_deref())?;
    check_writable(&out)?;
    // A trace is read before the model is loaded, so that a wrong file is named at once.
    let opened = if is_trace { Some(Trace::open(&args.first)?) } else { None };
    let cancel = cancel_on_interrupt();
    let meter = Meter::new();
    let start = Instant::now();
    let outcome = compute(args, opened, (answer, site), &cancel, &meter);
    meter.finish();
    let (trace, result) = outcome?;
    trace.check()?;
    let earlier = PatchResult::stored(&trace, answer, site).ok().flatten();
    let mut stored = result.clone();
    if let Some(earlier) = &earlier {
        stored = stored.over(earlier);
        if !result.is_same_pair(earlier) {
            meter.note(&format!(
                "this replaces the table about {} ({} places)",
                earlier.other,
                earlier.done()
            ));
        }
    }
    let json = serde_json::to_vec(&stored)?;
    let with = trace.with_patching(site.name(), answer, &json);
    match is_trace {
        true => with.write_maps(&trace, &out)?,
        false => with.write(&out)?,
    }
    let seconds = start.elapsed().as_secs_f64();
    match args.json {
        true => report::as_json(&trace, &out, &result, Some(seconds))?,
        false => report::as_text(&trace, &result, args.top)?,
    }
    if !args.preview && !result.is_complete() {
        anyhow::bail!(
            "stopped: {} holds {} of {} places; the same command computes the others",
            shown(&out),
            result.done(),
            result.patched.len()
        );
    }
    if !args.json {
        let _ = writeln!(
            terminal::stderr(),
            "{} places in {seconds:.2} s · patch.{}.{answer} is in {}",
            result.done(),
            site.name(),
            shown(&out)
        );
    }
    Ok(())
}

fn is_trace(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vlmtrace"))
}

/// Prints the result that an earlier run stored in the trace.
fn stored(args: &Args, answer: AnswerIndex, site: Site) -> anyhow::Result<()> {
    let trace = Trace::open(&args.first)?;
    let found = PatchResult::stored(&trace, answer, site)
        .map_err(|error| anyhow::anyhow!("{}: {error}", shown(&args.first)))?;
    let result = found.ok_or_else(|| {
        usage(format!(
            "{} holds no activation patching (--what {}) of answer token {answer}; leave --stored out to compute it",
            shown(&args.first),
            site.name()
        ))
    })?;
    trace.check()?;
    match args.json {
        true => report::as_json(&trace, &args.first, &result, None),
        false => report::as_text(&trace, &result, args.top),
    }
}

fn compute(
    args: &Args,
    opened: Option<Trace>,
    (answer, site): (AnswerIndex, Site),
    cancel: &CancelToken,
    meter: &Meter,
) -> anyhow::Result<(Trace, PatchResult)> {
    let mut engine = meter.load(&args.model)?;
    let trace = match opened {
        Some(trace) => trace,
        None => {
            let request = AskRequest {
                picture: Some(read_picture(&args.first)?),
                turns: Vec::new(),
                question: args.question.clone().unwrap_or_default(),
                options: AskOptions::default(),
            };
            engine.ask(&request, cancel, &mut |event| meter.event(&event))?
        }
    };
    let generated = trace.shape().generated;
    if answer.index() >= generated {
        return Err(usage(format!(
            "answer token {answer} does not exist: the answer has tokens 0 to {}",
            generated.saturating_sub(1)
        )));
    }
    let (name, other) = picture_b(args, &trace, &mut engine)?;
    let request = PatchRequest {
        answer,
        site,
        groups: groups(args, &trace, answer, site)?,
        other,
        name,
        estimates: !args.no_estimates,
        exact: !args.preview,
        earlier: PatchResult::stored(&trace, answer, site).ok().flatten(),
    };
    let result = patch(&mut engine, &trace, request, cancel, &mut |table| {
        meter.step("copying activations", table.done() as u64, table.patched.len() as u64);
    })?;
    Ok((trace, result))
}

/// Name of picture B, and its RGB bytes in the size that the model sees.
fn picture_b(
    args: &Args,
    trace: &Trace,
    engine: &mut Engine,
) -> anyhow::Result<(String, Arc<[u8]>)> {
    let manifest = engine.manifest().clone();
    let meta = trace.meta();
    let mode = meta.preprocess.first().and_then(|info| info.mode.rule()).unwrap_or_default();
    let prepared = |picture: &Picture| preprocess(picture, mode, &manifest);
    if let Some(fill) = args.blank {
        only_view(trace, "blanked")
            .map_err(|error| usage(format!("{}: {error}", shown(&args.first))))?;
        let seen = trace.canvas(0).context("the trace lacks the picture that the model saw")?;
        let (name, fill) = match fill {
            FillFlag::Mean => ("blank (mean colour)", BlankFill::Mean),
            FillFlag::Blur => ("blank (blurred)", BlankFill::Blur),
        };
        return Ok((name.to_owned(), Occluder::new(&seen, fill)?.blank()));
    }
    if let Some(path) = &args.edit {
        let mut edits = Edits::open(path)?;
        let bytes = trace.picture_original(0);
        let bytes = bytes.context("the trace lacks its picture, which could be edited")?;
        let own = Picture { name: picture_name(trace), bytes: bytes.into() };
        let picture = edited(&own, &mut edits)?;
        let mut seen = prepared(&picture)?;
        let blanked: Vec<_> = edits.blanked().collect();
        seen.blank(&blanked, &manifest)?;
        return Ok((picture.name, seen.rgb.into()));
    }
    let path = args.second.as_ref().context("picture B is missing")?;
    if !is_trace(path) {
        let picture = read_picture(path)?;
        return Ok((picture.name.clone(), prepared(&picture)?.rgb.into()));
    }
    let second = Trace::open(path)?;
    let bundle = engine.bundle(&cancel_on_interrupt())?;
    let [own, other] = [trace, &second].map(|trace| TraceInputs::from_trace(trace, &bundle));
    let (own, other) = (own?, other?);
    if own.ids.get(..own.prompt_len) != other.ids.get(..other.prompt_len) {
        return Err(usage(format!(
            "{} asks \"{}\", but {} asks \"{}\"; activations can be copied only between runs of one question",
            shown(path),
            second.meta().question,
            shown(&args.first),
            meta.question
        )));
    }
    let rgb = other.rgb.with_context(|| format!("{} has no picture", shown(path)))?;
    second.check()?;
    Ok((picture_name(&second), rgb))
}

/// The file name of a trace's picture.
fn picture_name(trace: &Trace) -> String {
    trace.meta().preprocess.first().map(|info| info.file_name.clone()).unwrap_or_default()
}

/// The groups of positions that are copied.
fn groups(
    args: &Args,
    trace: &Trace,
    answer: AnswerIndex,
    site: Site,
) -> anyhow::Result<Vec<PositionGroup>> {
    let objects = objects(args, trace)?;
    let spans = &trace.meta().spans;
    let inside: Vec<(String, Inside)> = objects
        .into_iter()
        .map(|(name, boxes)| (name, Inside::new(spans, Some(0), &region_of_boxes(&boxes))))
        .collect();
    let parts: Vec<(&str, &[f32])> =
        inside.iter().map(|(name, inside)| (name.as_str(), inside.parts())).collect();
    let all = position_groups(trace, answer, &parts);
    let wanted: Vec<String> = match (args.at.as_slice(), site) {
        ([], Site::Heads) => vec![LAST.to_owned()],
        ([], _) => return Ok(all),
        (named, _) => named.to_vec(),
    };
    let known: Vec<&str> = all.iter().map(|group| group.name.as_str()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(usage(format!("there is no group `{unknown}`; there are {known}")));
    }
    Ok(all.into_iter().filter(|group| wanted.contains(&group.name)).collect())
}

/// The objects with their boxes.
fn objects(args: &Args, trace: &Trace) -> anyhow::Result<Vec<(String, Vec<BoxPx>)>> {
    let known = known_boxes(args.boxes.as_deref(), trace)?;
    let mut objects = args.object.clone();
    if objects.is_empty() {
        objects = known.iter().map(|known| known.noun.clone()).collect();
        objects.dedup();
    }
    objects
        .into_iter()
        .map(|object| {
            let boxes = boxes_of_object(&known, &object)?;
            Ok((object, boxes))
        })
        .collect()
}
