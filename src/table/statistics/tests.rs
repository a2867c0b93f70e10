//! Statistics against numpy, pandas and SciPy (scripts/make_statistics_fixture.py), and against slow code that follows the definition.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::super::schema::{KIND_KEY, TableKind, VERSION_KEY};
use super::super::{
    Duplicates, SampleRow, Source, TableError, TableReader, TableWriter, merge, read_samples,
    samples_batch,
};
use super::compare::LEVEL;
use super::*;
use crate::job::CancelToken;
use arrow_array::cast::AsArray as _;
use arrow_array::{
    Array as _, ArrayRef, Float32Array, LargeStringArray, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow_select::concat::{concat, concat_batches};
use arrow_select::take::take;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Deserialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Rows {
    sample: Vec<u32>,
    token: Vec<u32>,
    layer: Vec<u32>,
    head: Vec<u32>,
    value: Vec<Option<f32>>,
}

#[derive(Deserialize)]
struct Fixture {
    samples: u32,
    layers: Vec<u32>,
    heads: u32,
    rows: Rows,
    means: Vec<Option<f64>>,
    first: Vec<bool>,
    group_n: Vec<u32>,
    group_mean: Vec<Option<f64>>,
    group_deviation: Vec<Option<f64>>,
    welch_p: Vec<Option<f64>>,
    welch_low: Vec<Option<f64>>,
    welch_high: Vec<Option<f64>>,
    other: Vec<Option<f64>>,
    pairs_p: Vec<Option<f64>>,
    pairs_low: Vec<Option<f64>>,
    pairs_high: Vec<Option<f64>>,
    score: Vec<Option<f64>>,
    auc: f64,
    p: Vec<f64>,
    corrected: Vec<f64>,
    student: Vec<[f64; 4]>,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/statistics.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Writes the rows of the fixture as a table; `index` gives each sample its number.
fn write(fixture: &Fixture, index: impl Fn(u32) -> u32) -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::of(&folder.path().join("t.parquet"));
    let rows = &fixture.rows;
    let numbers = |values: Vec<u32>| -> ArrayRef { Arc::new(UInt32Array::from(values)) };
    let columns: Vec<ArrayRef> = TableKind::Heads
        .columns()
        .iter()
        .map(|column| -> ArrayRef {
            match column.name {
                "sample" => {
                    let names = rows.sample.iter().map(|sample| format!("s{sample}"));
                    Arc::new(StringArray::from_iter_values(names))
                }
                "index" => numbers(rows.sample.iter().map(|sample| index(*sample)).collect()),
                "token" => numbers(rows.token.clone()),
                "token_text" => Arc::new(StringArray::from(vec!["a"; rows.sample.len()])),
                "layer" => numbers(rows.layer.clone()),
                "head" => numbers(rows.head.clone()),
                "inside" => Arc::new(Float32Array::from(rows.value.clone())),
                name if name.starts_with("peak_") => {
                    Arc::new(UInt32Array::from(vec![None; rows.sample.len()]))
                }
                _ => Arc::new(Float32Array::from(vec![0.5; rows.sample.len()])),
            }
        })
        .collect();
    let batch = RecordBatch::try_new(TableKind::Heads.schema(), columns).unwrap();
    let mut writer = TableWriter::begin(&source.heads, TableKind::Heads).unwrap();
    // Several row groups, which split samples.
    for from in (0..batch.num_rows()).step_by(101) {
        writer.write(&batch.slice(from, 101.min(batch.num_rows() - from))).unwrap();
        writer.end_group().unwrap();
    }
    writer.finish().unwrap();
    let sample = |sample: u32| SampleRow {
        sample: format!("s{sample}"),
        index: index(sample),
        answer: if sample.is_multiple_of(2) { "Yes, a fox.".into() } else { "No.".into() },
        correct: (sample != 9).then_some(!sample.is_multiple_of(4)),
        category: Some(["count", "color"][sample as usize % 2].into()),
        logprob: Some(-(sample as f32) / 10.0),
        layers: fixture.layers.len() as u32,
        heads: fixture.heads,
        model_layers: Some(8),
        ..SampleRow::default()
    };
    let samples: Vec<SampleRow> = (0..fixture.samples).map(sample).collect();
    let mut writer = TableWriter::begin(&source.samples, TableKind::Samples).unwrap();
    writer.write(&samples_batch(&samples).unwrap()).unwrap();
    writer.finish().unwrap();
    (folder, source)
}

fn near(found: f64, wanted: Option<f64>, tolerance: f64) {
    match wanted {
        None => assert!(found.is_nan(), "{found} is not missing"),
        Some(wanted) => {
            assert!(
                (found - wanted).abs() <= tolerance * wanted.abs().max(1e-3),
                "{found} is not {wanted}"
            );
        }
    }
}

fn load(source: &Source, column: HeadColumn) -> Result<Cube, TableError> {
    Cube::load(&DataSet::open(&source.heads)?, column, &|_, _| (), &CancelToken::new())
}

fn cube_of(fixture: &Fixture, values: &[Option<f64>]) -> Cube {
    let values = values.iter().map(|value| value.map_or(f32::NAN, |value| value as f32)).collect();
    Cube::new(fixture.layers.clone(), fixture.heads as usize, values).unwrap()
}

#[test]
fn means_over_tokens_are_those_of_pandas() {
    let fixture = fixture();
    // Names tell samples apart, whether their numbers do or not.
    for index in [|sample: u32| 1000 + sample, |sample: u32| sample % 7] {
        let (_folder, source) = write(&fixture, index);
        let data_set = DataSet::open(&source.samples).unwrap();
        let by_heads = DataSet::open(&source.heads).unwrap();
        assert_eq!(data_set.source(), by_heads.source(), "either file may be named");
        let seen = AtomicU64::new(0);
        let progress = |done, all| {
            assert!(done <= all && all == data_set.head_rows());
            seen.store(done, Ordering::Relaxed);
        };
        let cube =
            Cube::load(&data_set, HeadColumn::Inside, &progress, &CancelToken::new()).unwrap();
        assert_eq!(seen.into_inner(), data_set.head_rows());
        assert_eq!((cube.layers(), cube.heads()), (&fixture.layers[..], fixture.heads as usize));
        assert_eq!(cube.samples(), fixture.samples as usize);
        for (sample, means) in fixture.means.chunks(cube.cells()).enumerate() {
            for (found, wanted) in cube.sample(sample).iter().zip(means) {
                near(f64::from(*found), *wanted, 1e-6);
            }
        }
        assert_eq!(cube.head_of(5), Some([7, 1]));
        assert_eq!(cube.cell(7, 1), Some(5));
        assert_eq!((cube.cell(4, 1), cube.cell(7, 4)), (None, None));
        let mean = cube.mean_of(&[0, 5]);
        let both = [0, 5].map(|cell| f64::from(cube.sample(0)[cell]));
        near(mean[0], Some(both.iter().sum::<f64>() / 2.0), 1e-12);
        assert!(mean[5].is_finite(), "sample 5 has no value of head 1, but one of head 0");
    }
}

#[test]
fn a_cube_that_is_cancelled_or_does_not_fit_its_samples_is_refused() {
    let fixture = fixture();
    let (folder, source) = write(&fixture, |sample| sample);
    let cancel = CancelToken::new();
    cancel.cancel();
    let data_set = DataSet::open(&source.heads).unwrap();
    let cancelled = Cube::load(&data_set, HeadColumn::Focus, &|_, _| (), &cancel);
    assert!(matches!(cancelled, Err(TableError::Cancelled)));
    // Samples of another table beside the heads.
    for (change, wanted) in [
        (
            SampleRow { sample: "x".into(), layers: 2, heads: 4, ..SampleRow::default() },
            "`sample` names the sample `s",
        ),
        (SampleRow { layers: 2, heads: 2, ..SampleRow::default() }, "`head` names the head "),
        (SampleRow { layers: 1, heads: 4, ..SampleRow::default() }, "`layer` names the layer "),
        (SampleRow { layers: u32::MAX, heads: u32::MAX, ..SampleRow::default() }, "`heads` makes"),
    ] {
        let mut writer = TableWriter::begin(&source.samples, TableKind::Samples).unwrap();
        // Threads read the row groups: only if every row has the fault, the error is the same each time.
        let name = if change.sample.is_empty() { "s" } else { "x" };
        let rows = (0..40).map(|row| SampleRow {
            sample: format!("{name}{row}"),
            index: row,
            ..change.clone()
        });
        writer.write(&samples_batch(&rows.collect::<Vec<_>>()).unwrap()).unwrap();
        writer.finish().unwrap();
        let error = load(&source, HeadColumn::Focus).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    std::fs::remove_file(&source.samples).unwrap();
    let error = DataSet::open(&source.heads).unwrap_err().to_string();
    assert!(error.contains("t.samples.parquet is missing"), "{error}");
    drop(folder);
}

#[test]
fn moments_and_welch_are_those_of_scipy() {
    let fixture = fixture();
    let cube = cube_of(&fixture, &fixture.means);
    let first = Mask::new(fixture.first.clone());
    let group = cube.moments(&first);
    assert_eq!(group.samples, first.count());
    for (at, cell) in group.cells.iter().enumerate() {
        assert_eq!(cell.n, fixture.group_n[at]);
        near(cell.mean, fixture.group_mean[at], 1e-6);
        near(cell.deviation, fixture.group_deviation[at], 1e-6);
    }
    let found = compare_groups(&group, &cube.moments(&first.inverse()));
    for (at, cell) in found.cells.iter().enumerate() {
        near(cell.p, fixture.welch_p[at], 1e-5);
        near(cell.interval[0], fixture.welch_low[at], 1e-5);
        near(cell.interval[1], fixture.welch_high[at], 1e-5);
    }
    assert_eq!((found.tested(), found.by_chance()), (8, 8.0 * LEVEL));
    // The two heads that differ between the groups, one in each layer.
    let different: Vec<usize> = (0..8).filter(|&cell| found.cells[cell].is_significant()).collect();
    assert_eq!(different, [2, 6]);
    assert!(found.sentence().starts_with("2 of 8 heads differ"), "{}", found.sentence());
    let nobody = compare_groups(&group, &cube.moments(&Mask::new(vec![false; 40])));
    assert!(nobody.sentence().starts_with("No head can be tested"));
}

#[test]
fn pairs_are_tested_as_scipy_does() {
    let fixture = fixture();
    let (one, other) = (cube_of(&fixture, &fixture.means), cube_of(&fixture, &fixture.other));
    let pairs: Vec<[usize; 2]> = (0..40).map(|row| [row, row]).collect();
    let found = compare_paired(&one, &other, &pairs).unwrap();
    for (at, cell) in found.cells.iter().enumerate() {
        near(cell.p, fixture.pairs_p[at], 2e-3);
        near(cell.interval[0], fixture.pairs_low[at], 1e-4);
        near(cell.interval[1], fixture.pairs_high[at], 1e-4);
    }
    let narrow = Cube::new(vec![3], 4, vec![0.0; 160]).unwrap();
    assert!(compare_paired(&one, &narrow, &pairs).is_none());
}

#[test]
fn student_and_the_correction_are_those_of_scipy() {
    let fixture = fixture();
    for [t, freedom, p, half] in fixture.student {
        let found =
            statrs::function::beta::beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t));
        assert!((found - p).abs() <= 1e-9 * p, "p of t = {t}, {freedom}: {found}, not {p}");
        let quantile = StudentsT::new(0.0, 1.0, freedom).unwrap().inverse_cdf(0.975);
        assert!((quantile - half).abs() <= 1e-6 * half, "{freedom}: {quantile}, not {half}");
    }
    let corrected = benjamini_hochberg(&fixture.p);
    for (found, wanted) in corrected.iter().zip(fixture.corrected) {
        near(*found, Some(wanted), 1e-12);
    }
    let some = benjamini_hochberg(&[0.01, f64::NAN, 0.02]);
    assert_eq!((some[0], some[2]), (0.02, 0.02));
    assert!(some[1].is_nan(), "a head that cannot be tested is no test");
}

#[test]
fn the_area_is_that_of_scipy_and_its_interval_follows_the_seed() {
    let fixture = fixture();
    let score: Vec<f64> = fixture.score.iter().map(|score| score.unwrap_or(f64::NAN)).collect();
    near(auc(&score, &fixture.first).unwrap(), Some(fixture.auc), 1e-12);
    let found = auc_interval(&score, &fixture.first, 1000, 1).unwrap();
    assert_eq!(found.auc, fixture.auc);
    assert_eq!(found.positive + found.negative, 39);
    assert!(found.interval[0] < found.auc && found.auc < found.interval[1]);
    assert_eq!(auc_interval(&score, &fixture.first, 1000, 1), Some(found));
    // Of few samples the interval is wide; of the same samples ten times over, narrow by about √10.
    let width = |of: &Auc| of.interval[1] - of.interval[0];
    let ten = |values: &[f64]| values.repeat(10);
    let many = auc_interval(&ten(&score), &fixture.first.repeat(10), 1000, 1).unwrap();
    let ratio = width(&found) / width(&many);
    assert!((2.5..4.0).contains(&ratio), "{ratio}");
    assert_eq!(auc(&score, &[true; 40]), None);
    assert_eq!(auc(&[0.0, -0.0], &[true, false]), Some(0.5));
}

/// Samples whose head 1 is high, heads 0 and 2 are alike, and head 3 has no value.
fn ranked_cube(samples: usize) -> Cube {
    let values = (0..samples).flat_map(|sample| {
        let wave = (sample as f32 * 1.7).sin();
        [wave, 5.0 + wave, (sample as f32 * 2.9).cos(), f32::NAN]
    });
    Cube::new(vec![0], 4, values.collect()).unwrap()
}

#[test]
fn a_ranking_knows_what_would_change_with_other_samples() {
    let cube = ranked_cube(600);
    let all = Mask::all(600);
    let options = RankingOptions { first: 2, resamples: 200, seed: 3, ..RankingOptions::default() };
    let cancel = CancelToken::new();
    let found = Ranking::of_group(&cube, &all, options, &cancel).unwrap();
    assert_eq!(found.heads.len(), 3, "a head without a value has no rank");
    assert_eq!(
        (found.heads[0].cell, found.heads[0].stability, found.heads[0].ranks),
        (1, 1.0, [1.0, 1.0])
    );
    for head in &found.heads[1..] {
        assert!((0.1..0.9).contains(&head.stability), "{head:?}");
        assert_eq!(head.ranks, [2.0, 3.0]);
    }
    let shared: f64 = found.heads.iter().map(|head| head.stability).sum();
    assert!((shared - 2.0).abs() < 1e-9, "two places are shared out: {shared}");
    assert_eq!(Ranking::of_group(&cube, &all, options, &cancel), Some(found));
    let low = RankingOptions { low_first: true, ..options };
    let low = Ranking::of_group(&cube, &all, low, &cancel).unwrap();
    assert_eq!(low.heads[2].cell, 1);
    cancel.cancel();
    assert_eq!(Ranking::of_group(&cube, &all, options, &cancel), None);
}

#[test]
fn resampled_means_spread_as_their_standard_error_says() {
    // The spread of ranks cannot be checked by hand; the spread of the means behind it can. With the groups, the difference of
    // head 0 between samples below and above 300 is near 0, that of head 1 after a shift is 5.
    let values = (0..600).flat_map(|sample| {
        let wave = (sample as f32 * 1.7).sin();
        [
            wave,
            if sample < 300 { wave } else { wave - 5.0 },
            if sample % 2 == 0 { f32::NAN } else { wave },
        ]
    });
    let cube = Cube::new(vec![0], 3, values.collect()).unwrap();
    let below = Mask::new((0..600).map(|sample| sample < 300).collect());
    let options = RankingOptions { first: 1, by_size: true, ..RankingOptions::default() };
    let found =
        Ranking::of_difference(&cube, [&below, &below.inverse()], options, &CancelToken::new());
    let found = found.unwrap();
    assert_eq!((found.heads[0].cell, found.heads[0].stability), (1, 1.0));
    assert!((found.heads[0].value - 5.0).abs() < 0.1, "{:?}", found.heads[0]);
    assert!(found.has_stability() && found.samples == 300);
    let few = Mask::new((0..600).map(|sample| sample < 9).collect());
    let found = Ranking::of_group(&cube, &few, options, &CancelToken::new()).unwrap();
    assert!(!found.has_stability(), "nine samples are too few");
}

#[test]
fn conditions_are_read_written_and_hold_where_they_should() {
    let (_folder, source) = write(&fixture(), |sample| sample);
    let samples = DataSet::open(&source.heads).unwrap().samples().clone();
    let count = |text: &str| text.parse::<Condition>().unwrap().mask(&samples).unwrap().count();
    assert_eq!(count("wrong"), 10);
    assert_eq!(count("correct"), 29, "a sample without an expected answer is neither");
    assert_eq!(count("category = color"), 20);
    assert_eq!(count("answer ~ FOX"), 20);
    assert_eq!(count("logprob=-1.0..-0.5"), 6);
    assert_eq!(count("logprob = -0.3"), 1, "the f32 nearest to −0.3");
    assert_eq!(count("index >= 30"), 10);
    assert_eq!(count("index<30"), 30);
    for text in [
        "wrong",
        "correct",
        "category = color",
        "answer ~ fox",
        "logprob = -1..-0.5",
        "index >= 30",
        "index < 30",
    ] {
        let condition: Condition = text.parse().unwrap();
        assert_eq!(condition.to_string(), text);
        let stored = serde_json::to_string(&condition).unwrap();
        assert_eq!(serde_json::from_str::<Condition>(&stored).unwrap(), condition);
    }
    let both = ["wrong", "index < 20"].map(|text| text.parse().unwrap());
    let filter = Filter { conditions: both.to_vec() };
    assert_eq!(filter.mask(&samples).unwrap().rows(), [0, 4, 8, 12, 16]);
    assert_eq!(Filter::default().mask(&samples).unwrap().count(), 40);
    for (text, wanted) in [
        ("fast", "a condition is"),
        ("= 3", "names no column"),
        ("index < many", "`many` is no number"),
        ("logprob < -1e999", "`-1e999` is larger than any number of a table"),
        ("logprob > nan", "`nan` is no number"),
        ("logprob = 3..-1", "the range ends before it begins"),
    ] {
        let error = text.parse::<Condition>().unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    for (text, wanted) in [
        ("color = red", "no column `color`; it has sample, index"),
        ("answer < 3", "the column holds texts"),
        ("index ~ 3", "the column holds numbers"),
        ("index = inf", "the column holds numbers, and `inf` is no number"),
        ("index = 1e999", "`1e999` is larger than any number"),
        ("correct ~ 3", "the column holds true or false"),
        ("correct = 3", "the column holds true or false"),
    ] {
        let error = text.parse::<Condition>().unwrap().mask(&samples).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn samples_of_two_tables_are_joined_by_name() {
    let (_folder, source) = write(&fixture(), |sample| sample);
    let first = SampleColumns::read(&source.samples).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.samples.parquet");
    let row = |name: &str| SampleRow { sample: name.into(), ..SampleRow::default() };
    let write = |rows: &[SampleRow]| {
        let mut writer = TableWriter::begin(&path, TableKind::Samples).unwrap();
        writer.write(&samples_batch(rows).unwrap()).unwrap();
        writer.finish().unwrap();
        SampleColumns::read(&path).unwrap()
    };
    let second = write(&[row("s7"), row("other"), row("s2")]);
    assert_eq!(join(&first, &second).unwrap(), [[2, 2], [7, 0]]);
    let asks = SampleRow { question: "Where is the other?".into(), ..row("s7") };
    let second = write(&[asks, row("s2")]);
    let pairs = join(&first, &second).unwrap();
    assert_eq!((pairs.len(), asked_otherwise(&first, &second, &pairs)), (2, 1));
    let shows = SampleRow { picture: "b/cat.png".into(), ..row("s7") };
    let error = join(&first, &write(&[shows])).unwrap_err().to_string();
    assert!(error.contains("has the picture `b/cat.png` for the sample `s7`"), "{error}");
    let twice = write(&[row("s7"), row("s7")]);
    let error = join(&first, &twice).unwrap_err().to_string();
    assert!(error.contains("`sample` names the sample `s7` in the rows 1 and 2"), "{error}");
}

#[test]
fn a_curve_goes_from_the_largest_score_down_and_its_area_is_the_auc() {
    let score = [0.9, 0.8, 0.8, 0.3, f64::NAN, 0.1];
    let positive = [true, true, false, true, true, false];
    let curve = roc(&score, &positive).unwrap();
    let third = 1.0 / 3.0;
    assert_eq!(curve, [[0.0, 0.0], [0.0, third], [0.5, 2.0 / 3.0], [0.5, 1.0], [1.0, 1.0]]);
    let trapezoid = |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]) * (pair[1][1] + pair[0][1]) / 2.0;
    let area: f64 = curve.windows(2).map(trapezoid).sum();
    assert!((area - auc(&score, &positive).unwrap()).abs() < 1e-12);
    assert_eq!(roc(&score, &[true; 6]), None);
}

#[test]
fn the_interval_of_a_mean_is_students() {
    let moment = |n, mean, deviation| Moment { n, mean, deviation };
    // scipy.stats.t.interval(0.95, 9, loc=2, scale=0.5 / 10 ** 0.5)
    let [low, high] = moment(10, 2.0, 0.5).interval();
    assert!((low - 1.642_321_5).abs() < 1e-6 && (high - 2.357_678_5).abs() < 1e-6, "{low} {high}");
    assert!(moment(1, 2.0, f64::NAN).interval()[0].is_nan());
}

#[test]
fn a_curve_has_its_corners_and_at_most_a_thousand() {
    // Two steps in one direction are one.
    let curve = roc(&[5.0, 4.0, 3.0, 2.0, 1.0], &[true, true, false, false, true]).unwrap();
    let two = 2.0 / 3.0;
    assert_eq!(curve, [[0.0, 0.0], [0.0, two], [1.0, two], [1.0, 1.0]]);
    // Steps by turns: as many corners as samples.
    let positive: Vec<bool> = (0..40_000).map(|at| at % 3 == 0).collect();
    let score: Vec<f64> = (0..40_000).map(f64::from).collect();
    let curve = roc(&score, &positive).unwrap();
    assert!((900..=MOST_CORNERS).contains(&curve.len()), "{}", curve.len());
    assert_eq!((curve.first(), curve.last()), (Some(&[0.0; 2]), Some(&[1.0; 2])));
    let trapezoid = |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]) * (pair[1][1] + pair[0][1]) / 2.0;
    let area: f64 = curve.windows(2).map(trapezoid).sum();
    assert!((area - auc(&score, &positive).unwrap()).abs() < 1e-3, "{area}");
}

/// The rows of a table, written again after a change; every column may then lack values.
fn rewrite(path: &Path, change: Change<'_>) {
    let kind = TableReader::open(path).unwrap().kind();
    let batches: Vec<RecordBatch> =
        TableReader::open(path).unwrap().batches().unwrap().map(Result::unwrap).collect();
    let whole = concat_batches(&kind.schema(), &batches).unwrap();
    let columns: Vec<(&str, ArrayRef)> = kind
        .columns()
        .iter()
        .map(|column| {
            (column.name, change(column.name, whole.column_by_name(column.name).unwrap().clone()))
        })
        .collect();
    let changed =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap();
    let entries = [(KIND_KEY, kind.name().to_owned()), (VERSION_KEY, "1".to_owned())];
    let entries = entries.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(entries))
        .set_max_row_group_row_count(Some(100))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, changed.schema(), Some(properties)).unwrap();
    writer.write(&changed).unwrap();
    writer.close().unwrap();
}

/// A column without the value of one row.
fn without(column: &ArrayRef, row: usize) -> ArrayRef {
    let rows = (0..column.len() as u32).map(|own| (own as usize != row).then_some(own));
    take(column, &rows.collect::<UInt32Array>(), None).unwrap()
}

/// A column of u32 with another number in one row.
fn changed(column: &ArrayRef, row: usize, number: u32) -> ArrayRef {
    let numbers = column.as_primitive::<arrow_array::types::UInt32Type>().iter().enumerate();
    Arc::new(
        numbers
            .map(|(own, value)| if own == row { Some(number) } else { value })
            .collect::<UInt32Array>(),
    )
}

type Change<'a> = &'a dyn Fn(&str, ArrayRef) -> ArrayRef;

/// A change of one column.
fn only<'a>(name: &'a str, change: Change<'a>) -> impl Fn(&str, ArrayRef) -> ArrayRef + 'a {
    move |own, column| if own == name { change(own, column) } else { column }
}

#[test]
fn damaged_tables_are_refused_with_the_column_and_the_row() {
    let fixture = fixture();
    let rows = fixture.rows.sample.len();
    let none = |_: &str, column: ArrayRef| new_null_array(column.data_type(), column.len());
    let last = |_: &str, column: ArrayRef| without(&column, rows - 1);
    let twice = |_: &str, column: ArrayRef| concat(&[&*column, &*column]).unwrap();
    let again = |_: &str, column: ArrayRef| concat(&[&*column, &*column.slice(7, 1)]).unwrap();
    let foreign = |_: &str, column: ArrayRef| -> ArrayRef {
        let names = column.as_string::<i32>().iter().enumerate();
        let named = names.map(|(row, name)| if row == 150 { Some("zzz") } else { name });
        Arc::new(named.collect::<StringArray>())
    };
    let far = |_: &str, column: ArrayRef| changed(&column, 150, u32::MAX);
    let beyond = |_: &str, column: ArrayRef| changed(&column, 150, 8);
    let damages: [(Change<'_>, &[&str]); 10] = [
        (&only("layer", &far), &["`layer` names the layer 4294967295 in row 151,", "at most 8"]),
        (&only("layer", &beyond), &["`layer` names the layer 8 in row 151,"]),
        (&only("head", &far), &["`head` names the head 4294967295 in row 151,", "at most 4"]),
        (&only("layer", &none), &["`layer` has no value in row 1;"]),
        (&only("head", &none), &["`head` has no value in row 1;"]),
        (&only("token", &last), &[&format!("`token` has no value in row {rows};")]),
        (&only("sample", &last), &[&format!("`sample` has no value in row {rows};")]),
        (
            &only("sample", &foreign),
            &["names the sample `zzz` in row 151, which", "t.samples.parquet lacks"],
        ),
        (&twice, &["`token` has the token", "more than once for the same head, in row"]),
        (&again, &["`token` has the token", &format!("in row {} at the latest", rows + 1)]),
    ];
    for (change, words) in damages {
        let (folder, source) = write(&fixture, |sample| sample);
        rewrite(&source.heads, change);
        let loaded = load(&source, HeadColumn::Inside).map(|_| ());
        let out = Source::of(&folder.path().join("out.parquet"));
        let never = CancelToken::new();
        let merged = merge(&[source], &out, Duplicates::Refuse, &|row| row, &never).map(|_| ());
        assert!(!out.heads.exists() && !out.samples.exists());
        for error in [loaded, merged] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("t.parquet"), "{error}");
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        }
    }
    // All rows are of one layer that the model has.
    let (_folder, source) = write(&fixture, |sample| sample);
    let one = |_: &str, column: ArrayRef| -> ArrayRef {
        Arc::new(UInt32Array::from(vec![3; column.len()]))
    };
    rewrite(&source.heads, &only("layer", &one));
    let error = load(&source, HeadColumn::Focus).unwrap_err().to_string();
    assert!(error.contains("`layer` has") && error.contains("rows of layer 3, head 0"), "{error}");
    // Other programs write large texts.
    let (_folder, source) = write(&fixture, |sample| sample);
    let large = |_: &str, column: ArrayRef| -> ArrayRef {
        Arc::new(column.as_string::<i32>().iter().collect::<LargeStringArray>())
    };
    for path in [&source.heads, &source.samples] {
        rewrite(path, &only("sample", &large));
    }
    assert_eq!(load(&source, HeadColumn::Inside).unwrap().samples(), 40);
    rewrite(&source.samples, &only("layers", &none));
    let error = load(&source, HeadColumn::Inside).unwrap_err().to_string();
    assert!(error.contains("`layers` has no value in row 1"), "{error}");
}

#[test]
fn a_number_outside_of_its_range_is_refused_with_its_row() {
    let fixture = fixture();
    let values = [5e36, -0.02, 1.02, 0.995, 1.005, 0.0];
    for (name, column) in [("focus", HeadColumn::Focus), ("inside", HeadColumn::Inside)] {
        for value in values {
            let (folder, source) = write(&fixture, |sample| sample);
            let one = |_: &str, column: ArrayRef| -> ArrayRef {
                let values = column.as_primitive::<arrow_array::types::Float32Type>();
                let values = values.iter().enumerate();
                let changed = values.map(|(row, own)| if row == 120 { Some(value) } else { own });
                Arc::new(changed.collect::<Float32Array>())
            };
            rewrite(&source.heads, &only(name, &one));
            let loaded = load(&source, column).map(|_| ());
            assert!(load(&source, HeadColumn::Entropy).is_ok(), "another column is not read");
            let out = Source::of(&folder.path().join("out.parquet"));
            let never = CancelToken::new();
            let merged = merge(&[source], &out, Duplicates::Refuse, &|row| row, &never).map(|_| ());
            for found in [loaded, merged] {
                // Sums of f16 are rounded.
                if (-0.01..=1.01).contains(&value) {
                    found.unwrap();
                    continue;
                }
                let error = found.unwrap_err().to_string();
                let wanted = format!("t.parquet: the column `{name}` holds {value:e}, outside of");
                assert!(error.contains(&wanted) && error.contains("in row 121"), "{error}");
            }
        }
    }
}

#[test]
fn answers_of_one_model_have_the_same_layers_and_heads() {
    let fixture = fixture();
    let never = CancelToken::new();
    for (name, number, before) in [("layers", 6, 2), ("heads", 8, 4), ("model_layers", 12, 8)] {
        let (folder, source) = write(&fixture, |sample| sample);
        let one = |_: &str, column: ArrayRef| changed(&column, 3, number);
        rewrite(&source.samples, &only(name, &one));
        let opened = DataSet::open(&source.heads).map(|_| ());
        let out = Source::of(&folder.path().join("out.parquet"));
        let merged = merge(&[source], &out, Duplicates::Refuse, &|row| row, &never).map(|_| ());
        for error in [opened, merged] {
            let error = error.unwrap_err().to_string();
            let wanted = format!(
                "t.samples.parquet: the column `{name}` holds {number} in row 4 and {before} in row 1 for the same model"
            );
            assert!(error.contains(&wanted), "{error}");
        }
    }
    // More layers with attention than layers.
    let (_folder, source) = write(&fixture, |sample| sample);
    let few = |_: &str, column: ArrayRef| changed(&column, 0, 1);
    rewrite(&source.samples, &only("model_layers", &few));
    let error = DataSet::open(&source.heads).unwrap_err().to_string();
    assert!(error.contains("`layers` holds 2 in row 1, more than the 1 layers"), "{error}");
    // Two tables.
    let (folder, source) = write(&fixture, |sample| sample);
    let other = Source::of(&folder.path().join("other.parquet"));
    std::fs::copy(&source.heads, &other.heads).unwrap();
    let rows = read_samples(&source.samples).unwrap().into_iter();
    let rows = rows.map(|row| SampleRow { sample: format!("t{}", row.sample), layers: 3, ..row });
    let mut writer = TableWriter::begin(&other.samples, TableKind::Samples).unwrap();
    writer.write(&samples_batch(&rows.collect::<Vec<_>>()).unwrap()).unwrap();
    writer.finish().unwrap();
    let out = Source::of(&folder.path().join("out.parquet"));
    let error = merge(&[source, other], &out, Duplicates::Refuse, &|row| row, &never);
    let error = error.unwrap_err().to_string();
    for part in ["other.samples.parquet has 3 in the column `layers`", "t.samples.parquet has 2"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_table_of_an_earlier_program_lacks_the_number_of_all_layers() {
    let fixture = fixture();
    let (_folder, source) = write(&fixture, |sample| sample);
    let none = |_: &str, column: ArrayRef| new_null_array(column.data_type(), column.len());
    rewrite(&source.samples, &only("model_layers", &none));
    assert!(load(&source, HeadColumn::Focus).is_ok());
    let far = |_: &str, column: ArrayRef| changed(&column, 150, u32::MAX);
    rewrite(&source.heads, &only("layer", &far));
    let error = load(&source, HeadColumn::Focus).unwrap_err().to_string();
    assert!(error.contains("`layer` names the layer 4294967295 in row 151"), "{error}");
}

#[test]
fn a_column_without_numbers_says_why() {
    let fixture = fixture();
    let rows = fixture.rows.sample.len();
    let fill = |value: Option<f32>| -> ArrayRef { Arc::new(Float32Array::from(vec![value; rows])) };
    let says = |column: ArrayRef, words: &str| {
        let (_folder, source) = write(&fixture, |sample| sample);
        rewrite(&source.heads, &only("inside", &|_, _| column.clone()));
        let error = load(&source, HeadColumn::Inside).unwrap_err().to_string();
        assert!(
            error.contains("no number in the column `inside`") && error.contains(words),
            "{error}"
        );
        assert!(load(&source, HeadColumn::Focus).is_ok());
    };
    says(fill(None), &format!("it is missing in all {rows} rows"));
    says(fill(Some(f32::NAN)), &format!("it is NaN or infinite in all {rows} rows"));
    let mixed = (0..rows).map(|row| (row > 0).then_some(f32::INFINITY));
    let words = format!("missing in 1 rows and NaN or infinite in the other {}", rows - 1);
    says(Arc::new(mixed.collect::<Float32Array>()), &words);
    let (_folder, source) = write(&fixture, |sample| sample);
    rewrite(&source.heads, &|_, column| column.slice(0, 0));
    let error = load(&source, HeadColumn::Focus).unwrap_err().to_string();
    assert!(error.contains("the table has no rows"), "{error}");
}
