//! `vlmscope causal`: which patches and words explain an answer token by a causal graph over
//! attention, how stable that is, and whether masking them changes the answer.

mod report;

use super::common::{cancel_on_interrupt, check_writable, file_to_change, trace_file, usage};
use super::npy;
use super::trace_model::{Meter, ModelFlags, shown};
use crate::analysis::causal::{
    CausalError, CausalRequest, CausalResult, HeadResult, MAX_NODES, Parameters, StabilityOptions,
    explain, explain_matrix,
};
use crate::job::CancelToken;
use crate::model::{BlankFill, KnockFrom, Mask, MaskRequest, mask_test};
use crate::trace::{AnswerIndex, Trace};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Explain an answer token by causal graphs over the last layer's attention.
///
/// For each head, a graph is learned over the patches and words that the token attends to (CLEANN
/// with ordered ICD, arXiv 2310.20307). The nodes around the token explain it. The graph is learned
/// again under other choices; the share of the runs that have an edge says how stable it is. With
/// --test, the explanation is masked in the model to see whether the answer changes. The graphs are
/// stored in the trace.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope causal fox.vlmtrace --token 3                  all heads, a line each
  vlmscope causal fox.vlmtrace --token 3 --head 5         edges and tree of one head
  vlmscope causal fox.vlmtrace --token 3 --test           mask the explanation of the head that looks
                                                          at the picture most
  vlmscope causal fox.vlmtrace --token 3 --head 5 --test=blank-mean --json
  vlmscope causal fox.vlmtrace --token 3 --stored         what the trace holds
  vlmscope causal --matrix attention.npy                  rows of one attention matrix, the last explained")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace; the graphs are added to this file unless --out
    /// names another.
    #[arg(required_unless_present = "matrix", value_parser = trace_file())]
    trace: Option<PathBuf>,
    /// Answer token to explain, counted from 0.
    #[arg(long, value_name = "I", required_unless_present = "matrix")]
    token: Option<u32>,
    /// Head of the last layer, counted from 0, or `all`.
    #[arg(long, value_name = "H|all", default_value = "all", value_parser = head)]
    head: HeadFlag,
    /// Explain the last row of a square attention matrix (NumPy, float32 or float64) instead; every
    /// row is a node.
    #[arg(long, value_name = "FILE.npy", conflicts_with_all = ["trace", "token", "head", "test", "out", "draws", "max_sets", "attention_threshold", "image_nodes"])]
    matrix: Option<PathBuf>,
    /// Print the graphs that the trace holds, without computing anything.
    #[arg(long, conflicts_with_all = [
        "matrix", "test", "out", "alpha", "attention_threshold", "records", "range", "image_nodes",
        "max_condition", "negative_is_independent", "stability", "seed",
    ])]
    stored: bool,
    #[command(flatten)]
    search: SearchFlags,
    /// Orders of visiting the nodes in which the graph is learned again, beside other values of
    /// alpha and of the records; 0: no other graphs.
    #[arg(long, value_name = "N", default_value_t = StabilityOptions::default().orders as u64, value_parser = clap::value_parser!(u64).range(0..=1000))]
    stability: u64,
    /// Seed of the orders and of the random sets.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    masking: MaskingFlags,
    /// Trace file to write [default: replace the trace].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelFlags,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Search (the defaults are LVLM-Interpret's)")]
struct SearchFlags {
    /// Two nodes are independent where the test's p is above it.
    #[arg(long, default_value_t = Parameters::default().alpha)]
    alpha: f64,
    /// Attention above which a word is a node.
    #[arg(long, value_name = "W", default_value_t = Parameters::default().attention_threshold)]
    attention_threshold: f32,
    /// Records that the correlations are taken to rest on.
    #[arg(long, value_name = "N", default_value_t = Parameters::default().records)]
    records: usize,
    /// Largest distance of the explanation from the token in the graph.
    #[arg(long, value_name = "D", default_value_t = Parameters::default().range)]
    range: usize,
    /// Most patches that are nodes.
    #[arg(long, value_name = "N", default_value_t = Parameters::default().image_nodes)]
    image_nodes: usize,
    /// Most nodes in a conditioning set [default: as many as there are].
    #[arg(long, value_name = "N")]
    max_condition: Option<usize>,
    /// Take partial correlations of 0 and less for independence, as the version of 2024 did.
    #[arg(long)]
    negative_is_independent: bool,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Masking")]
struct MaskingFlags {
    /// Mask the explanation and its controls in the model and score the token again. With `--head
    /// all`, that of the head with the highest image importance among those that have one.
    #[arg(long, value_name = "MASK", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "knock-text")]
    test: Option<MaskFlag>,
    /// Random sets of each kind and size.
    #[arg(long, value_name = "N", requires = "test", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1000))]
    draws: u64,
    /// Parts of the explanation that are tried to find the smallest that change the answer.
    #[arg(long, value_name = "N", requires = "test", default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    max_sets: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum MaskFlag {
    /// No position after the picture attends to them.
    KnockText,
    /// The rows that predict the answer do not attend to them.
    KnockAnswer,
    /// Patches get the picture's mean colour; words are knocked out.
    BlankMean,
    /// Patches are blurred; words are knocked out.
    BlankBlur,
}

impl From<MaskFlag> for Mask {
    fn from(flag: MaskFlag) -> Self {
        match flag {
            MaskFlag::KnockText => Self::Knock(KnockFrom::Text),
            MaskFlag::KnockAnswer => Self::Knock(KnockFrom::Answer),
            MaskFlag::BlankMean => Self::Blank(BlankFill::Mean),
            MaskFlag::BlankBlur => Self::Blank(BlankFill::Blur),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadFlag {
    All,
    One(u32),
}

fn head(text: &str) -> Result<HeadFlag, String> {
    if text == "all" {
        return Ok(HeadFlag::All);
    }
    let number = text.parse().map(HeadFlag::One);
    number.map_err(|_| format!("`{text}` is neither a head, such as 5, nor `all`"))
}

impl SearchFlags {
    fn parameters(&self) -> Parameters {
        Parameters {
            alpha: self.alpha,
            attention_threshold: self.attention_threshold,
            records: self.records,
            range: self.range,
            image_nodes: self.image_nodes,
            max_condition: self.max_condition,
            negative_is_independent: self.negative_is_independent,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let orders = args.stability as usize;
    let stability = (orders > 0).then_some(StabilityOptions { orders, seed: args.seed });
    let cancel = cancel_on_interrupt();
    if let Some(path) = &args.matrix {
        return of_matrix(args, path, stability, &cancel);
    }
    let (Some(path), Some(token)) = (&args.trace, args.token) else {
        return Err(usage("name a trace and an answer token, or a matrix"));
    };
    if args.stored {
        return of_stored(args, path, AnswerIndex(token));
    }
    of_trace(args, path, AnswerIndex(token), stability, &cancel)
}

/// Prints the result that an earlier run stored in the trace.
fn of_stored(args: &Args, path: &Path, answer: AnswerIndex) -> anyhow::Result<()> {
    let trace = Trace::open(path)?;
    let found = CausalResult::stored(&trace, answer)
        .map_err(|error| anyhow::anyhow!("{}: {error}", shown(path)))?;
    let mut result = found.ok_or_else(|| {
        usage(format!(
            "{} holds no causal graph of answer token {answer}; leave --stored out to learn it",
            shown(path)
        ))
    })?;
    if let HeadFlag::One(head) = args.head {
        result.heads.retain(|entry| entry.head == head);
        if result.heads.is_empty() {
            return Err(usage(format!("{} holds no causal graph of head {head}", shown(path))));
        }
    }
    trace.check()?;
    if args.json {
        report::trace_json(&trace, path, &result, None)
    } else {
        report::trace_text(&trace, path, &result, None)
    }
}

fn of_matrix(
    args: &Args,
    path: &Path,
    stability: Option<StabilityOptions>,
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let matrix = npy::read_matrix(path)?;
    if matrix.rows != matrix.columns {
        return Err(usage(format!(
            "{} has {} rows and {} columns; attention of a sequence to itself is square",
            shown(path),
            matrix.rows,
            matrix.columns
        )));
    }
    let parameters = args.search.parameters();
    let stop = || cancel.is_cancelled();
    let meter = Meter::new();
    meter.step("learning the graph", 0, 1);
    let found = explain_matrix(&matrix.values, matrix.rows, &parameters, stability, &stop);
    meter.finish();
    let (graph, separated) = found.map_err(|error| match error {
        CausalError::Parameter { .. } => usage(error.to_string()),
        CausalError::NodeCount { nodes } => anyhow::anyhow!(
            "{}: it has {nodes} rows; a causal graph has 2 to {MAX_NODES} nodes",
            shown(path)
        ),
        other => anyhow::anyhow!("{}: {other}", shown(path)),
    })?;
    if args.json {
        report::matrix_json(path, &parameters, &graph, &separated)
    } else {
        report::matrix_text(&graph, &separated, parameters.range)
    }
}

fn of_trace(
    args: &Args,
    path: &Path,
    answer: AnswerIndex,
    stability: Option<StabilityOptions>,
    cancel: &CancelToken,
) -> anyhow::Result<()> {
    let trace = Trace::open(path)?;
    let out = file_to_change(path, args.out.as_deref())?;
    check_writable(&out)?;
    let request = CausalRequest {
        answer,
        heads: match args.head {
            HeadFlag::All => Vec::new(),
            HeadFlag::One(head) => vec![head],
        },
        parameters: args.search.parameters(),
        stability,
        threads: args.model.runtime.worker_threads(),
    };
    let meter = Meter::new();
    let start = Instant::now();
    let heads = match args.head {
        HeadFlag::All => crate::analysis::causal::head_count(&trace),
        HeadFlag::One(_) => 1,
    };
    let found = explain(&trace, &request, &|| cancel.is_cancelled(), &|done| {
        meter.step("learning graphs", done as u64, u64::from(heads));
    });
    let mut result = found.map_err(|error| {
        meter.finish();
        match error {
            CausalError::Parameter { .. }
            | CausalError::NoToken { .. }
            | CausalError::NoHead { .. } => usage(error.to_string()),
            other => anyhow::anyhow!("{}: {other}", shown(path)),
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    trace.check()?;
    if let Some(mask) = args.masking.test {
        let tested = test(args, &trace, answer, &mut result, mask.into(), cancel, &meter);
        meter.finish();
        tested?;
    }
    if let Ok(Some(older)) = CausalResult::stored(&trace, answer)
        && !result.is_alike(&older)
    {
        let is_lost = |known: &&HeadResult| result.heads.iter().all(|own| own.head != known.head);
        let lost = older.heads.iter().filter(is_lost).count();
        if lost > 0 {
            let (graphs, were) = if lost == 1 { ("graph", "was") } else { ("graphs", "were") };
            meter.note(&format!(
                "this replaces the {graphs} of {lost} other heads, which {were} learned with other parameters"
            ));
        }
    }
    meter.finish();
    let kept = result.clone().kept_in(&trace)?;
    kept.write_maps(&trace, &out)?;
    // A masking test of an earlier run is still about the same graph.
    if let Some(all) = CausalResult::stored(&kept, answer)? {
        let asked: Vec<u32> = result.heads.iter().map(|head| head.head).collect();
        result.heads = all.heads.into_iter().filter(|head| asked.contains(&head.head)).collect();
    }
    if args.json {
        report::trace_json(&trace, &out, &result, Some(seconds))
    } else {
        report::trace_text(&trace, &out, &result, Some(seconds))
    }
}

/// Masks the explanation of the most important head among those that were asked for.
fn test(
    args: &Args,
    trace: &Trace,
    answer: AnswerIndex,
    result: &mut CausalResult,
    mask: Mask,
    cancel: &CancelToken,
    meter: &Meter,
) -> anyhow::Result<()> {
    let Some(head) = result.most_important().map(|head| head.head) else {
        meter.note(match args.head {
            HeadFlag::All => "no head has an explanation, so that there is nothing to mask",
            HeadFlag::One(_) => "this head has no explanation, so that there is nothing to mask",
        });
        return Ok(());
    };
    let mut engine = meter.load(&args.model)?;
    let request = MaskRequest {
        mask,
        draws: args.masking.draws as usize,
        max_sets: args.masking.max_sets as usize,
        seed: args.seed,
    };
    for tested in result.heads.iter_mut().filter(|tested| tested.head == head) {
        let found = mask_test(&mut engine, trace, answer, tested, &request, cancel, &mut |done| {
            meter.step("masking sets", done as u64, done as u64);
        })?;
        tested.masking = Some(found);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_number_or_all() {
        assert_eq!(head("all"), Ok(HeadFlag::All));
        assert_eq!(head("5"), Ok(HeadFlag::One(5)));
        assert!(head("-1").is_err() && head("max").is_err());
    }
}
