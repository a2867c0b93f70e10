//! The flags of `vlmscope ask`.

use crate::analysis::methods::Method;
use crate::cli::common::{MemoryFlag, RuntimeFlags};
use crate::model::{AskOptions, Rows};
use crate::table::{Expected, Rule};
use crate::trace::{PreprocessMode, Sampling};
use std::path::PathBuf;
use std::str::FromStr;

/// Ask a model about a picture: print the answer, write the trace and an attention overlay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope ask cat.jpg \"What is on the left?\"
  vlmscope ask cat.jpg \"Is there a fox?\" --answer \"No, there is no fox.\"   score this answer
  vlmscope ask cat.jpg \"Describe the picture.\" --model llava-7b --rows all --json
  vlmscope ask --batch questions.jsonl --out traces
      one line each: {\"picture\": \"cat.jpg\", \"question\": \"…\", \"answer\": \"… (optional)\", \"id\": \"… (optional)\"}
  vlmscope ask --batch pope.jsonl --pictures val2014 --table pope.parquet --verdict --out wrong --keep wrong
  vlmscope ask --batch pope.parquet --columns expected=answer --table pope.parquet --shard 3/16

A sample to try: vlmscope ask sample:1 \"Where is the balloon?\"")]
pub(crate) struct Args {
    /// A picture file (PNG, JPEG, GIF, WebP, BMP, TIFF), or sample:N for a built-in one.
    #[arg(required_unless_present = "batch")]
    pub(super) picture: Option<PathBuf>,
    /// The question.
    #[arg(required_unless_present = "batch")]
    pub(super) question: Option<String>,
    /// Answer a data set: JSON Lines, CSV, Parquet, WebDataset shards, or a folder of `datasets`.
    /// Give --table, --out (a folder for the traces), or both; run the same command again to
    /// resume. With -, names of data sets come on standard input, one a line, and each gets its table
    /// beside it (NAME.answers.parquet).
    #[arg(long, value_name = "DATA", conflicts_with_all = ["picture", "question", "answer"])]
    pub(super) batch: Option<PathBuf>,
    /// Model bundle written by onnx/export.py [default: the built-in model].
    #[arg(long, value_name = "DIR")]
    pub(super) model: Option<PathBuf>,
    /// Trace file to write [default: beside the picture, with a new name].
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Score this answer instead of generating one.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) answer: Option<String>,
    /// Edit the picture first with this file of edits (see vlmscope edit --help).
    #[arg(long, value_name = "EDITS.toml", conflicts_with = "batch")]
    pub(super) edit: Option<PathBuf>,
    /// Query rows to store: text and answer, or all positions.
    #[arg(long, value_enum, default_value_t = RowsFlag::Text)]
    pub(super) rows: RowsFlag,
    /// Also store the attention of the vision tower.
    #[arg(long)]
    pub(super) vision_attention: bool,
    /// Also compute relevancy maps: llm, vit, all … (see vlmscope relevancy --help)
    #[arg(long, value_name = "METHOD[,METHOD]", value_delimiter = ',', value_parser = backward_method)]
    pub(super) relevancy: Vec<Method>,
    #[command(flatten)]
    pub(super) memory: MemoryFlag,
    /// How a picture that is not square is fitted to the model's input.
    #[arg(long, value_enum, default_value_t = PreprocessFlag::Default)]
    pub(super) preprocess: PreprocessFlag,
    /// Do not write the overlay PNG.
    #[arg(long)]
    pub(super) no_overlay: bool,
    /// Print one JSON object (with --batch: one line for each row, also for those that fail).
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) data: DataFlags,
    #[command(flatten)]
    pub(super) sampling: SamplingFlags,
    #[command(flatten)]
    pub(super) runtime: RuntimeFlags,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --batch")]
pub(super) struct DataFlags {
    /// Write a table: FILE.parquet with a row for each head at each answer token,
    /// FILE.samples.parquet with a row for each sample (docs/tables.md).
    #[arg(long, value_name = "FILE.parquet", requires = "batch")]
    pub(super) table: Option<PathBuf>,
    /// Traces to keep in --out: all, wrong (answers that are not the expected one), none, or the
    /// first N [default: all].
    #[arg(long, value_name = "all|wrong|none|N", requires = "batch")]
    pub(super) keep: Option<Keep>,
    /// Answer only the rows of one shard, I of N (from 1); the table gets the shard's name.
    #[arg(long, value_name = "I/N", requires = "batch")]
    pub(super) shard: Option<Shard>,
    /// Name of a field in the data set, such as expected=answer; may be given several times.
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', requires = "batch")]
    pub(super) columns: Vec<String>,
    /// Comparison with the expected answer: exact, yes-no or contains [default: yes-no where yes or
    /// no is expected, else contains].
    #[arg(long, value_name = "RULE", requires = "batch")]
    pub(super) rule: Option<Rule>,
    /// Folder of the pictures that the data set names [default: the folder of the data set].
    #[arg(long, value_name = "DIR", requires = "batch")]
    pub(super) pictures: Option<PathBuf>,
    /// Also measure the verdict about each answer: share of its relevancy on the picture, and its
    /// probability with a blank picture (docs/grounding.md).
    #[arg(long, requires = "batch")]
    pub(super) verdict: bool,
}

/// The traces that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    Wrong,
    None,
    /// Those of the first rows of the data set.
    First(u64),
}

impl Keep {
    /// Whether the trace of a row stays, by its number from 1.
    pub(super) fn keeps(self, number: u64, expected: Option<&Expected>, answer: &str) -> bool {
        match self {
            Self::All => true,
            Self::Wrong => expected.is_some_and(|expected| !expected.accepts(answer)),
            Self::None => false,
            Self::First(count) => number <= count,
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "wrong" => Ok(Self::Wrong),
            "none" => Ok(Self::None),
            count => count
                .parse()
                .map(Self::First)
                .map_err(|_| format!("`{text}` is not all, wrong, none or a number")),
        }
    }
}

/// Names of shards have five digits.
const MOST_SHARDS: u64 = 99_999;

/// A part of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// From 1.
    pub(super) index: u64,
    pub(super) count: u64,
}

impl Shard {
    /// Whether a row belongs to the shard, by its number from 1.
    pub(super) const fn has(self, number: u64) -> bool {
        (number - 1) % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some(Self { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        numbers
            .filter(|shard| (1..=shard.count).contains(&shard.index) && shard.count <= MOST_SHARDS)
            .ok_or_else(|| {
                format!(
                    "`{text}` is not I/N with I from 1 to N and N up to {MOST_SHARDS}, such as 3/16"
                )
            })
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub(super) struct SamplingFlags {
    /// Sampling temperature; up to 0.001 is greedy.
    #[arg(long, default_value_t = 0.0, value_parser = unit_interval, allow_hyphen_values = true)]
    pub(super) temperature: f32,
    /// Sample from the smallest set of tokens whose total probability reaches this.
    #[arg(long, default_value_t = 1.0, value_parser = probability, allow_hyphen_values = true)]
    pub(super) top_p: f32,
    /// Stop after this many tokens.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096), allow_negative_numbers = true)]
    pub(super) max_new_tokens: u32,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(super) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RowsFlag {
    Text,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PreprocessFlag {
    /// The rule of the model's own preprocessor (resize the short edge, crop the centre).
    Default,
    /// Stretch to the model's input size.
    Resize,
    /// Pad to a square.
    Pad,
}

fn unit_interval(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{value} is not between 0 and 1"))
    }
}

/// A probability above 0.
fn probability(text: &str) -> Result<f32, String> {
    unit_interval(text).and_then(|value| {
        if value > 0.0 { Ok(value) } else { Err("0 keeps no token; use more than 0".into()) }
    })
}

/// The options of a question that these flags ask for.
pub(super) fn options(args: &Args, answer: Option<String>) -> AskOptions {
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

/// Parses a method that needs backward passes.
fn backward_method(text: &str) -> Result<Method, String> {
    let method: Method = text.parse()?;
    if method.is_from_backward_pass() {
        return Ok(method);
    }
    let known = Method::ALL.iter().filter(|method| method.is_from_backward_pass());
    let known: Vec<&str> = known.map(|method| method.name).collect();
    Err(format!(
        "`{method}` is not computed by backward passes, as {} are; add it to the trace with `vlmscope relevancy`",
        known.join(", ")
    ))
}
