//! The comparison of a report: two groups of samples, or the same samples of two tables, head by head.

use super::super::common::usage;
use super::super::table::table_path;
use super::args::Args;
use crate::job::CancelToken;
use crate::table::statistics::{
    Comparison, Condition, Counted, Cube, DataSet, Difference, Mask, SampleColumns, Values,
    asked_otherwise, compare_groups, compare_paired, join,
};
use anyhow::bail;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Fewest samples of a group that is compared.
const LEAST_SAMPLES: usize = 2;

/// Two groups of samples, head by head.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub groups: [String; 2],
    pub samples: [usize; 2],
    /// Samples that have a number.
    pub counted: [Counted; 2],
    pub is_paired: bool,
    /// Pairs whose questions differ.
    pub asked_otherwise: usize,
    pub tested: usize,
    pub uncorrected: usize,
    pub by_chance: f64,
    pub significant: usize,
    pub sentence: String,
    /// Layer after layer.
    pub heads: Vec<HeadDifference>,
}

#[derive(Debug, Serialize)]
pub(super) struct HeadDifference {
    pub layer: u32,
    pub head: u32,
    pub difference: f64,
    pub interval: [f64; 2],
    pub p: f64,
    pub q: f64,
    pub is_significant: bool,
}

/// The samples whose answer is an expected one, or is not.
pub(super) fn answers(samples: &SampleColumns, kept: &Mask, correct: bool) -> Mask {
    let is = |row: usize| kept.has(row) && samples.correct(row) == Some(correct);
    Mask::new((0..samples.len()).map(is).collect())
}

/// The comparison that was asked for, or else that of right and wrong answers if there are both.
pub(super) fn comparison(
    args: &Args,
    cube: &Cube,
    samples: &SampleColumns,
    kept: &Mask,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Option<Compared>> {
    if let Some(against) = &args.against {
        return paired(args, against, cube, samples, kept, progress).map(Some);
    }
    let (names, groups) = match &args.compare {
        Some(column) => groups(column, samples)?,
        None => (
            ["right answers", "wrong answers"].map(str::to_owned),
            [true, false].map(|correct| answers(samples, kept, correct)),
        ),
    };
    let groups = groups.map(|group| group.and(kept));
    if let Some(small) = (0..2).find(|&group| groups[group].count() < LEAST_SAMPLES) {
        if args.compare.is_none() {
            return Ok(None);
        }
        bail!(usage(format!(
            "--compare: the group `{}` has {} samples; at least {LEAST_SAMPLES} are needed",
            names[small],
            groups[small].count()
        )));
    }
    let found = compare_groups(&cube.moments(&groups[0]), &cube.moments(&groups[1]));
    Ok(Some(compared(cube, &found, names, false)))
}

/// Two groups by a column of true and false or of two texts, or by a condition and its opposite.
fn groups(text: &str, samples: &SampleColumns) -> anyhow::Result<([String; 2], [Mask; 2])> {
    let of = |values: [bool; 2], own: &[Option<bool>]| {
        values.map(|value| Mask::new(own.iter().map(|own| *own == Some(value)).collect()))
    };
    match samples.column(text) {
        Some(Values::Bool(bools)) => {
            let names = match text {
                "correct" => ["right answers".into(), "wrong answers".into()],
                _ => [text.to_owned(), format!("not {text}")],
            };
            Ok((names, of([true, false], bools)))
        }
        Some(Values::Text(texts)) => {
            let values: BTreeSet<&String> = texts.iter().flatten().collect();
            let [first, second]: [&String; 2] = values.iter().copied().collect::<Vec<_>>().try_into().map_err(|values: Vec<&String>| {
                usage(format!(
                    "--compare {text}: the column has {} different texts; name one of them, such as --compare \"{text} = {}\"",
                    values.len(),
                    values.first().map_or("fox", |value| value.as_str())
                ))
            })?;
            let is = |wanted: &String| {
                Mask::new(texts.iter().map(|own| own.as_ref() == Some(wanted)).collect())
            };
            Ok(([first, second].map(|value| format!("{text} = {value}")), [is(first), is(second)]))
        }
        Some(Values::Number(_)) => Err(usage(format!(
            "--compare {text}: the column holds numbers; name a limit, such as --compare \"{text} < 0.5\""
        ))),
        None => {
            let condition: Condition =
                text.parse().map_err(|error| usage(format!("--compare: {error}")))?;
            let mask =
                condition.mask(samples).map_err(|error| usage(format!("--compare: {error}")))?;
            let others = match samples.column(&condition.column) {
                Some(Values::Text(texts)) => Mask::new(texts.iter().map(Option::is_some).collect()),
                Some(Values::Bool(bools)) => Mask::new(bools.iter().map(Option::is_some).collect()),
                Some(Values::Number(numbers)) => {
                    Mask::new(numbers.iter().map(|number| !number.is_nan()).collect())
                }
                None => Mask::all(samples.len()),
            };
            let names = [condition.to_string(), format!("not {condition}")];
            Ok((names, [mask.clone(), mask.inverse().and(&others)]))
        }
    }
}

/// The samples that both tables have, head by head.
fn paired(
    args: &Args,
    against: &Path,
    cube: &Cube,
    samples: &SampleColumns,
    kept: &Mask,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Compared> {
    let other = DataSet::open(&table_path(against)?)?;
    let mut pairs = join(samples, other.samples())?;
    pairs.retain(|[own, _]| kept.has(*own));
    if pairs.len() < LEAST_SAMPLES {
        bail!(usage(format!(
            "{} and {} have {} samples in common; samples belong together by the column `sample`",
            args.table.display(),
            against.display(),
            pairs.len()
        )));
    }
    let otherwise = asked_otherwise(samples, other.samples(), &pairs);
    let second = Cube::load(&other, args.quantity, progress, &CancelToken::new())?;
    let Some(found) = compare_paired(cube, &second, &pairs) else {
        bail!(usage(format!(
            "{} has {} layers × {} heads and {} has {} × {}: heads of different models have no counterpart",
            args.table.display(),
            cube.layers().len(),
            cube.heads(),
            against.display(),
            second.layers().len(),
            second.heads()
        )));
    };
    let names = [&args.table, &against.to_owned()].map(|path| path.display().to_string());
    let found = compared(cube, &found, names, true);
    Ok(Compared { asked_otherwise: otherwise, ..found })
}

fn compared(cube: &Cube, found: &Comparison, groups: [String; 2], is_paired: bool) -> Compared {
    let one = |(cell, of): (usize, &Difference)| {
        let [layer, head] = cube.head_of(cell).unwrap_or_default();
        HeadDifference {
            layer,
            head,
            difference: of.difference,
            interval: of.interval,
            p: of.p,
            q: of.q,
            is_significant: of.is_significant(),
        }
    };
    Compared {
        groups,
        samples: found.samples,
        counted: found.counted,
        is_paired,
        asked_otherwise: 0,
        tested: found.tested(),
        uncorrected: found.uncorrected(),
        by_chance: found.by_chance(),
        significant: found.significant(),
        sentence: found.sentence(),
        heads: found.cells.iter().enumerate().map(one).collect(),
    }
}
