//! `vlmscope score`: tests maps by asking the model again.

mod outcome;
mod report;

use super::common::{
    RuntimeFlags, cancel_on_interrupt, load_engine, note, print_json, progress_bar, show_progress,
    trace_file, usage,
};
use super::places::{boxes_of_object, known_boxes};
use crate::analysis::boxes::{answer_words, boxes_of_word};
use crate::analysis::methods::{Computation, Method, compute_mean, sinks};
use crate::analysis::reduce::Keep;
use crate::analysis::score::{BoxPx, MAX_STEPS, fit, region_of_boxes};
use crate::job::CancelToken;
use crate::model::{BlankFill, Curves, Engine, ScoreRequest, only_view, with_trace_method};
use crate::terminal;
use crate::trace::{AnswerIndex, Trace};
use crate::view::{MapChoice, MapSource, Queries};
use outcome::{ScoreOutcome, Scored};
use std::path::PathBuf;
use std::time::Instant;

/// Score maps: blank patches in the order of each map and score the answer again.
///
/// Deletion blanks the patches with the highest values first: the faster the answer becomes
/// improbable, the better the map (a small area under the curve). Insertion reveals them first on a
/// blank picture (a large area is better). If the object that a word names has a box, the pointing
/// game tests whether the map's peak lies in it, and the energy is the share of the map inside it.
/// Random maps are scored as a control. Traces that were captured in Python have no model here: their maps are compared
/// with boxes alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope score fox.vlmtrace --word fox
  vlmscope score fox.vlmtrace --method attention,rollout,relevancy-llm --token 3 --fill both --json
  vlmscope score cat.vlmtrace --word cat --boxes cat.json
      cat.json: [{\"noun\": \"cat\", \"box\": [left, top, right, bottom]}], in pixels of the picture")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace.
    #[arg(value_parser = trace_file())]
    trace: PathBuf,
    /// Methods, or names of maps in the trace, separated by commas [default: the maps in the trace
    /// and all methods that need no gradients].
    #[arg(long = "method", alias = "methods", value_name = "METHOD", value_delimiter = ',')]
    methods: Vec<String>,
    /// Answer tokens, from 0, separated by commas [default: all that carry text].
    #[arg(long, value_delimiter = ',', value_name = "I")]
    token: Vec<usize>,
    /// A word of the answer instead of tokens.
    #[arg(long, value_name = "WORD", conflicts_with = "token")]
    word: Option<String>,
    /// Fill of blanked patches.
    #[arg(long, value_enum, default_value_t = FillFlag::Mean)]
    fill: FillFlag,
    /// Steps per curve.
    #[arg(long, default_value_t = MAX_STEPS as u64, value_parser = clap::value_parser!(u64).range(1..=MAX_STEPS as u64))]
    steps: u64,
    /// Boxes of objects: a JSON file (the built-in samples have their own).
    #[arg(long, value_name = "FILE.json")]
    boxes: Option<PathBuf>,
    /// Object for the pointing game [default: the one that the word names].
    #[arg(long, value_name = "NOUN")]
    object: Option<String>,
    /// Number of random maps to score as a control; their mean is reported.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=20))]
    controls: u64,
    /// Seed of the random maps.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Bundle that made the trace [default: the built-in model].
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FillFlag {
    /// The mean colour of the picture.
    Mean,
    /// The picture, blurred.
    Blur,
    /// Both, one after the other.
    Both,
}

impl FillFlag {
    fn fills(self) -> Vec<BlankFill> {
        match self {
            Self::Mean => vec![BlankFill::Mean],
            Self::Blur => vec![BlankFill::Blur],
            Self::Both => vec![BlankFill::Mean, BlankFill::Blur],
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let is_captured = trace.meta().model.is_captured() && trace.meta().patches() > 0;
    // Said before the model is loaded.
    if !is_captured {
        only_view(&trace, "blanked")
            .map_err(|error| usage(format!("{}: {error}", args.trace.display())))?;
    }
    let (tokens, text) = chosen_tokens(&trace, args)?;
    let object = object(&trace, args, &text)?;
    if is_captured && object.is_none() {
        return Err(needs_object(&trace, args));
    }
    let names = names(&trace, &args.methods)?;
    let cancel = cancel_on_interrupt();
    let start = Instant::now();
    let bar = progress_bar();
    let mut engine = match is_captured {
        true => None,
        false => {
            let mut tell = |progress| show_progress(&bar, progress);
            Some(load_engine(args.model.as_deref(), &args.runtime, &mut tell)?)
        }
    };
    let mut maps = Vec::new();
    for name in names {
        // Names of maps come from the trace.
        bar.set_message(format!("computing {}", terminal::plain(&name)));
        let found = chosen_map(engine.as_mut(), &trace, name.clone(), &tokens, &cancel);
        let (name, title, map) = match found {
            // Maps that were not asked for are left out where the trace lacks what they read.
            Err(error) if is_captured && args.methods.is_empty() => {
                bar.suspend(|| note(&format!("left out {}: {error}", terminal::plain(&name))));
                continue;
            }
            found => found?,
        };
        maps.push(Scored { name, title, map, fit: None });
    }
    for control in 0..args.controls {
        let seed = args.seed.wrapping_add(control);
        let map = compute_mean(&trace, Method::RANDOM, seed, &tokens)?;
        let (name, title) = (Method::RANDOM.name.to_owned(), Method::RANDOM.title.to_owned());
        maps.push(Scored { name, title, map, fit: None });
    }
    if let Some((_, boxes)) = &object {
        let region = region_of_boxes(boxes);
        for scored in &mut maps {
            scored.fit = Some(fit(&scored.map, &trace.meta().spans, None, &region));
        }
    }
    let (fills, curves) = match &mut engine {
        None => {
            bar.suspend(|| note(NO_CURVES));
            (Vec::new(), Ok(Curves::default()))
        }
        Some(engine) => {
            let request = ScoreRequest {
                maps: maps.iter().map(|scored| (scored.name.clone(), scored.map.clone())).collect(),
                tokens: tokens.clone(),
                fills: args.fill.fills(),
                steps: args.steps as usize,
            };
            bar.set_message("scoring the answer");
            let curves = engine.score_maps(&trace, &request, &cancel, &mut |curves: &Curves| {
                bar.set_length(curves.total as u64);
                bar.set_position(curves.done as u64);
            });
            (request.fills, curves)
        }
    };
    bar.finish_and_clear();
    let removed = maps.iter().any(|scored| scored.name == Method::NO_SINKS.name);
    let sinks = if removed { sinks(&trace).unwrap_or_default() } else { Vec::new() };
    let outcome = ScoreOutcome {
        tokens,
        text,
        object,
        maps,
        controls: args.controls as usize,
        curves: curves?,
        fills,
        sinks,
        seconds: start.elapsed().as_secs_f64(),
    };
    if args.json {
        print_json(&report::as_json(&trace, &args.trace, &outcome))
    } else {
        report::as_text(&trace, &outcome)
    }
}

/// The requirement that a captured trace does not meet.
const NO_CURVES: &str = "the trace was captured in Python: deletion and insertion ask the model again, which needs a \
    bundle of it; only pointing and energy are measured";

/// The way out for a captured trace without an object.
fn needs_object(trace: &Trace, args: &Args) -> anyhow::Error {
    usage(format!(
        "{}: the trace was captured in Python from {}. Deletion and insertion blank patches and ask the model again, \
        which needs a bundle of it. Without the model, maps can be compared with an object: give --word WORD (or \
        --object NOUN) and --boxes FILE.json. The whole picture is masked by \
        vlmscope.capture(…, answer=…, blank=True).",
        args.trace.display(),
        trace.meta().model.model_class
    ))
}

/// Token indices and the text that they spell.
fn chosen_tokens(trace: &Trace, args: &Args) -> anyhow::Result<(Vec<usize>, String)> {
    let words = answer_words(trace);
    if let Some(wanted) = &args.word {
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(wanted.trim()));
        let (word, tokens) = found.cloned().ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
            usage(format!("the answer has no word `{wanted}`; its words are {}", known.join(", ")))
        })?;
        return Ok((tokens, word));
    }
    let generated = trace.shape().generated;
    if let Some(token) = args.token.iter().find(|&&token| token >= generated) {
        return Err(usage(format!(
            "answer token {token} does not exist: the answer has tokens 0 to {}",
            generated.saturating_sub(1)
        )));
    }
    let mut tokens = args.token.clone();
    tokens.sort_unstable();
    tokens.dedup();
    if tokens.is_empty() {
        let spoken = trace.meta().spoken_answers();
        return Ok((
            spoken.into_iter().map(AnswerIndex::index).collect(),
            trace.meta().answer.clone(),
        ));
    }
    // A token inside a word stands for itself, but the whole word names the object.
    let text = words
        .iter()
        .filter(|(_, of_word)| of_word.iter().any(|token| tokens.contains(token)))
        .map(|(word, _)| word.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    Ok((tokens, text))
}

/// The object of the pointing game, with its boxes.
fn object(trace: &Trace, args: &Args, text: &str) -> anyhow::Result<Option<(String, Vec<BoxPx>)>> {
    let known = known_boxes(args.boxes.as_deref(), trace)?;
    if let Some(object) = &args.object {
        return Ok(Some((object.clone(), boxes_of_object(&known, object)?)));
    }
    let boxes = boxes_of_word(&known, text);
    Ok((!boxes.is_empty()).then(|| (text.to_owned(), boxes)))
}

/// Names of the maps to score: the requested ones, else those that need no gradients or are in the trace.
fn names(trace: &Trace, asked: &[String]) -> anyhow::Result<Vec<String>> {
    let stored = trace.map_names();
    if asked.is_empty() {
        let cheap = |method: &&Method| {
            let is_stored = stored.contains(&method.tensor);
            match method.run {
                _ if **method == Method::RANDOM => false,
                Computation::Trace(_) | Computation::Forward(_) => true,
                Computation::AnswerGradients(_)
                | Computation::OwnGradients(_)
                | Computation::TowerGradients(_)
                | Computation::GradientPages
                | Computation::FromGradientPages(_)
                | Computation::Command(_) => is_stored,
            }
        };
        let mut names: Vec<String> =
            Method::ALL.iter().filter(cheap).map(|method| method.name.to_owned()).collect();
        let is_method = |name: &str| Method::of_tensor(name).is_some();
        names.extend(stored.iter().filter(|name| !is_method(name)).map(|&name| name.to_owned()));
        return Ok(names);
    }
    let mut names = Vec::new();
    for name in asked.iter().map(|name| name.trim()) {
        let known = match name.parse::<Method>() {
            // Random maps are scored in any case.
            Ok(method) if method == Method::RANDOM => continue,
            // Only a single map can be scored.
            Ok(method) => method.as_map().name.to_owned(),
            Err(_) if stored.contains(&name) => name.to_owned(),
            Err(reason) => {
                let stored = if stored.is_empty() {
                    String::new()
                } else {
                    format!("; the trace holds {}", stored.join(", "))
                };
                return Err(usage(format!("{reason}{stored}")));
            }
        };
        if !names.contains(&known) {
            names.push(known);
        }
    }
    Ok(names)
}

/// Name, title and values `[N]` of a map at the chosen tokens; without an engine, of one that needs no model.
fn chosen_map(
    engine: Option<&mut Engine>,
    trace: &Trace,
    name: String,
    tokens: &[usize],
    cancel: &CancelToken,
) -> anyhow::Result<(String, String, Vec<f32>)> {
    let answers: Vec<AnswerIndex> = tokens.iter().map(|&token| AnswerIndex(token as u32)).collect();
    let (tensor, title, with_map) = match name.parse::<Method>() {
        Ok(method) => {
            let with_map = match engine {
                Some(engine) => engine.with_method(trace, method, &answers, 0, cancel)?,
                None => with_trace_method(trace, method, &answers, 0)?,
            };
            (method.tensor.to_owned(), method.title.to_owned(), with_map)
        }
        Err(_) => (name.clone(), name.clone(), trace.clone()),
    };
    let choice = MapChoice {
        source: MapSource::Named(tensor),
        queries: Queries::answers(&answers),
        ..MapChoice::default()
    };
    let map = choice.resolve(&with_map, Keep::One, false)?.values();
    Ok((name, title, map))
}
