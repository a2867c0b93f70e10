//! The numbers of a report: report.json, and what its page and its figures show.

use super::super::common::{command_line, usage};
use super::super::table::table_path;
use super::args::Args;
use super::comparison::{Compared, answers, comparison};
use crate::job::CancelToken;
use crate::table::statistics::{
    Auc, Condition, Counted, Cube, DataSet, Filter, HeadColumn, Mask, Moment, Moments, RankedHead,
    Ranking, RankingOptions, SampleColumns, auc_interval, roc,
};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Resamples of an interval of an AUC.
const AUC_RESAMPLES: usize = 1000;
/// Shares in a ROC curve have six decimals.
const ROC_DIGITS: f64 = 1e6;
/// Kinds of question that are listed.
const MOST_CATEGORIES: usize = 40;

/// The columns that may find wrong answers: the name, and whether a low number is suspicious.
const FINDERS: [(&str, bool); 7] = [
    ("logprob", true),
    ("logprob / tokens", true),
    ("relevancy_share", true),
    ("relevancy_inside", true),
    ("image_share", true),
    ("blank_probability", false),
    ("kept", false),
];

/// All numbers of a report.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    pub vlmscope: &'static str,
    pub command: String,
    pub table: PathBuf,
    pub against: Option<PathBuf>,
    pub models: Vec<String>,
    pub filter: Vec<String>,
    pub quantity: &'static str,
    /// Samples in the table, and those that the filter keeps.
    pub all_samples: usize,
    pub samples: usize,
    /// Samples that have a number of the quantity.
    pub counted: Counted,
    /// Different pictures of the samples.
    pub pictures: usize,
    pub expected: usize,
    pub wrong: usize,
    pub categories: Vec<Category>,
    pub layers: Vec<u32>,
    pub heads: usize,
    /// Layer after layer.
    pub means: Vec<HeadMean>,
    pub ranking: Vec<Ranked>,
    pub ranking_first: usize,
    pub resamples: usize,
    pub seed: u64,
    pub comparison: Option<Compared>,
    pub finders: Vec<Finder>,
    pub distribution: Option<Distribution>,
    /// The samples that are likely wrong: the rows of the table, the most suspicious one first.
    pub suspicious: Vec<Suspicious>,
    /// The column by which they are sorted.
    pub suspicious_by: &'static str,
}

impl Numbers {
    /// Whether there are enough samples for the stability of the ranking.
    pub fn has_stability(&self) -> bool {
        self.ranking.iter().all(|head| head.stability.is_some())
    }
}

/// A kind of question.
#[derive(Debug, Serialize)]
pub(super) struct Category {
    pub category: String,
    pub samples: usize,
    pub correct: usize,
    /// The 95 % interval of the share of correct answers (Wilson).
    pub interval: [f64; 2],
}

#[derive(Debug, Serialize)]
pub(super) struct HeadMean {
    pub layer: u32,
    pub head: u32,
    pub mean: f64,
    pub deviation: f64,
    pub samples: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Ranked {
    pub layer: u32,
    pub head: u32,
    pub mean: f64,
    /// The 95 % interval of the mean over the samples.
    pub interval: [f64; 2],
    /// `None` for too few samples.
    pub stability: Option<f64>,
    pub ranks: Option<[f64; 2]>,
}

/// A number that may find wrong answers.
#[derive(Debug, Serialize)]
pub(super) struct Finder {
    pub column: String,
    /// Whether a low number is suspicious.
    pub low: bool,
    pub auc: f64,
    pub interval: [f64; 2],
    pub wrong: usize,
    pub right: usize,
    /// Share of the right answers and share of the wrong answers that are called wrong, from no answer to all: the corners
    /// of the curve.
    pub roc: Vec<[f64; 2]>,
}

/// The numbers of the first head for right and for wrong answers.
#[derive(Debug, Serialize)]
pub(super) struct Distribution {
    pub layer: u32,
    pub head: u32,
    pub right: Vec<f32>,
    pub wrong: Vec<f32>,
}

/// A sample of the contact sheet.
#[derive(Debug, Serialize)]
pub(super) struct Suspicious {
    pub sample: String,
    pub question: String,
    pub answer: String,
    pub expected: Option<String>,
    pub correct: Option<bool>,
    pub score: f64,
    pub trace: Option<PathBuf>,
}

/// Reads the table and computes everything.
pub(super) fn numbers(args: &Args, progress: &dyn Fn(u64, u64)) -> anyhow::Result<Numbers> {
    let set = DataSet::open(&table_path(&args.table)?)?;
    let samples = set.samples();
    let filter = Filter { conditions: args.filter.clone() };
    let kept = filter.mask(samples)?;
    if kept.count() == 0 {
        bail!(usage(match args.filter.is_empty() {
            true => format!("{} has no samples", args.table.display()),
            false => format!("no sample of {} fulfils the filter", args.table.display()),
        }));
    }
    set.check_one_model(&kept).map_err(|error| usage(error.to_string()))?;
    let column = args.quantity;
    log::info!("reading {}", args.table.display());
    // Nothing cancels a report: a signal ends the program.
    let never = CancelToken::new();
    let cube = Cube::load(&set, column, progress, &never)?;
    let moments = cube.moments(&kept);
    if moments.range().is_none() {
        bail!(usage(format!(
            "no sample that fulfils the filter has a number in the column `{}`: choose another --filter or --quantity",
            column.name()
        )));
    }
    log::info!("ranking heads");
    let options = RankingOptions { low_first: column.is_low_first(), ..RankingOptions::default() };
    let ranking = Ranking::of_group(&cube, &kept, options, &never).context("cancelled")?;
    let comparison = comparison(args, &cube, samples, &kept, progress)?;
    let best = ranking.heads.first().map(|head| head.cell);
    let wrong = answers(samples, &kept, false);
    let finders = finders(samples, &kept, &cube, column, best);
    let (suspicious, suspicious_by) = suspicious(&set, &kept, args.samples);
    Ok(Numbers {
        vlmscope: env!("CARGO_PKG_VERSION"),
        command: command_line(),
        table: args.table.clone(),
        against: args.against.clone(),
        models: set.models(&kept),
        filter: args.filter.iter().map(Condition::to_string).collect(),
        quantity: column.name(),
        all_samples: samples.len(),
        samples: kept.count(),
        counted: moments.counted(),
        pictures: texts(samples, &kept, "picture").collect::<BTreeSet<_>>().len(),
        expected: answers(samples, &kept, true).count() + wrong.count(),
        wrong: wrong.count(),
        categories: categories(samples, &kept),
        layers: cube.layers().to_vec(),
        heads: cube.heads(),
        means: means(&cube, &moments),
        ranking: ranked(&cube, &moments, &ranking, args.heads),
        ranking_first: options.first.min(cube.cells()),
        resamples: options.resamples,
        seed: options.seed,
        comparison,
        finders,
        distribution: best.and_then(|best| distribution(&cube, samples, &kept, best)),
        suspicious,
        suspicious_by,
    })
}

fn texts<'a>(
    samples: &'a SampleColumns,
    kept: &'a Mask,
    column: &'a str,
) -> impl Iterator<Item = &'a str> {
    kept.rows().into_iter().filter_map(move |row| samples.text(column, row))
}

/// Right answers by kind of question, the most frequent kinds first; none where answers have no kind.
fn categories(samples: &SampleColumns, kept: &Mask) -> Vec<Category> {
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for row in kept.rows() {
        if let (Some(category), Some(correct)) =
            (samples.text("category", row), samples.correct(row))
        {
            let [all, right] = counts.entry(category).or_default();
            (*all, *right) = (*all + 1, *right + usize::from(correct));
        }
    }
    let mut found: Vec<Category> = counts
        .into_iter()
        .map(|(category, [samples, correct])| Category {
            category: category.to_owned(),
            samples,
            correct,
            interval: wilson(correct, samples),
        })
        .collect();
    found.sort_by_key(|category| std::cmp::Reverse(category.samples));
    found.truncate(MOST_CATEGORIES);
    found
}

/// The 95 % interval of a share by Wilson's score.
pub(super) fn wilson(hits: usize, of: usize) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return [f64::NAN; 2];
    }
    let (n, share) = (of as f64, hits as f64 / of as f64);
    let centre = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [-1.0, 1.0].map(|sign| (centre + sign * half) / (1.0 + Z * Z / n))
}

fn means(cube: &Cube, moments: &Moments) -> Vec<HeadMean> {
    let one = |(cell, moment): (usize, &Moment)| {
        let [layer, head] = cube.head_of(cell).unwrap_or_default();
        HeadMean { layer, head, mean: moment.mean, deviation: moment.deviation, samples: moment.n }
    };
    moments.cells.iter().enumerate().map(one).collect()
}

fn ranked(cube: &Cube, moments: &Moments, ranking: &Ranking, most: usize) -> Vec<Ranked> {
    let one = |head: &RankedHead| {
        let [layer, number] = cube.head_of(head.cell)?;
        Some(Ranked {
            layer,
            head: number,
            mean: head.value,
            interval: moments.cells.get(head.cell)?.interval(),
            stability: ranking.has_stability().then_some(head.stability),
            ranks: ranking.has_stability().then_some(head.ranks),
        })
    };
    ranking.heads.iter().take(most).filter_map(one).collect()
}

/// The AUC of each number for wrong answers, largest first.
fn finders(
    samples: &SampleColumns,
    kept: &Mask,
    cube: &Cube,
    column: HeadColumn,
    best: Option<usize>,
) -> Vec<Finder> {
    let rows: Vec<usize> =
        kept.rows().into_iter().filter(|&row| samples.correct(row).is_some()).collect();
    let is_wrong: Vec<bool> = rows.iter().map(|&row| samples.correct(row) == Some(false)).collect();
    let of_column = |name: &str, row: usize| match name {
        "logprob / tokens" => samples.number("logprob", row) / samples.number("tokens", row),
        name => samples.number(name, row),
    };
    let mut found: Vec<Finder> = FINDERS
        .iter()
        .filter_map(|&(name, low)| {
            let values = rows.iter().map(|&row| of_column(name, row));
            finder(name.to_owned(), low, values, &is_wrong)
        })
        .collect();
    if let Some((best, [layer, head])) = best.and_then(|best| Some((best, cube.head_of(best)?))) {
        let name = format!("{} of layer {layer}, head {head}", column.name());
        let values = cube.mean_of(&[best]);
        let scores = rows.iter().map(|&row| values[row]);
        found.extend(finder(name, !column.is_low_first(), scores, &is_wrong));
    }
    found.sort_by(|a, b| b.auc.total_cmp(&a.auc));
    found
}

fn finder(
    column: String,
    low: bool,
    values: impl Iterator<Item = f64>,
    is_wrong: &[bool],
) -> Option<Finder> {
    log::info!("resampling {column}");
    let score = |value: f64| match value.is_finite() {
        true if low => -value,
        true => value,
        false => f64::NAN,
    };
    let score: Vec<f64> = values.map(score).collect();
    let Auc { auc, interval, positive, negative } =
        auc_interval(&score, is_wrong, AUC_RESAMPLES, 0)?;
    let rounded = |share: f64| (share * ROC_DIGITS).round() / ROC_DIGITS;
    let roc = roc(&score, is_wrong)?.into_iter().map(|corner| corner.map(rounded)).collect();
    Some(Finder { column, low, auc, interval, wrong: positive, right: negative, roc })
}

fn distribution(
    cube: &Cube,
    samples: &SampleColumns,
    kept: &Mask,
    best: usize,
) -> Option<Distribution> {
    let [layer, head] = cube.head_of(best)?;
    let values = cube.mean_of(&[best]);
    let of = |correct: bool| -> Vec<f32> {
        let rows = answers(samples, kept, correct).rows().into_iter();
        // The number of one head is an f32.
        rows.map(|row| values[row] as f32).filter(|value| value.is_finite()).collect()
    };
    let (right, wrong) = (of(true), of(false));
    (!right.is_empty() && !wrong.is_empty()).then_some(Distribution { layer, head, right, wrong })
}

/// The samples with the lowest log-probability of the answer, or else with the least attention on the picture.
fn suspicious(set: &DataSet, kept: &Mask, most: usize) -> (Vec<Suspicious>, &'static str) {
    let samples = set.samples();
    let has =
        |column: &&str| kept.rows().iter().any(|&row| samples.number(column, row).is_finite());
    let by = ["logprob", "image_share"].into_iter().find(has).unwrap_or("index");
    let mut rows = kept.rows();
    rows.retain(|&row| samples.number(by, row).is_finite());
    rows.sort_by(|&a, &b| samples.number(by, a).total_cmp(&samples.number(by, b)));
    let text = |column: &str, row: usize| samples.text(column, row).map(str::to_owned);
    let one = |row: usize| Suspicious {
        sample: samples.name(row).to_owned(),
        question: text("question", row).unwrap_or_default(),
        answer: text("answer", row).unwrap_or_default(),
        expected: text("expected", row),
        correct: samples.correct(row),
        score: samples.number(by, row),
        trace: samples.text("trace", row).map(|path| set.file(path)),
    };
    (rows.into_iter().take(most).map(one).collect(), by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_a_textbook() {
        // Newcombe 1998, table I: 81 of 263.
        let [low, high] = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        let [low, high] = wilson(0, 20);
        assert!(low.abs() < 1e-12 && (high - 0.1611).abs() < 5e-5, "{high}");
        assert!(wilson(0, 0)[0].is_nan());
    }
}
