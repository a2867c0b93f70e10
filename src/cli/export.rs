//! `vlmscope export`: the numbers behind a figure, as NumPy, CSV or JSON.

use super::common::{usage, write_atomically};
use super::selection::{Axis, rows};
use crate::trace::{AnswerIndex, Trace};
use anyhow::Context as _;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write the numbers behind a figure.
///
/// Attention (or gradient × attention) is averaged over the chosen answer tokens; layers and heads are one, mean, max, or
/// all of them as axes of the result. The last two axes are the rows and columns of the picture's
/// patches.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope export cat.vlmtrace --token 3 --layer 14 --out map.csv
  vlmscope export cat.vlmtrace --token 3,4 --layer all --head all --out every_head.npy
  vlmscope export cat.vlmtrace --token 3 --keys all --layer 2 --head 5 --out row.json
  vlmscope export cat.vlmtrace --map relevancy.llm --token 3 --out relevancy.npy
  vlmscope export cat.vlmtrace --map gradient_attention --token 3 --head all --out gradients.npy")]
pub(crate) struct Args {
    /// The trace.
    trace: PathBuf,
    /// `attention`, or the name of a map or of pages (such as `gradient_attention`) in the trace; see `vlmscope inspect`.
    #[arg(long, default_value = "attention")]
    map: String,
    /// Answer tokens, from 0, separated by commas (default: all that carry text).
    #[arg(long, value_delimiter = ',', conflicts_with = "query", allow_negative_numbers = true)]
    token: Vec<u32>,
    /// Query positions instead of answer tokens.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    query: Vec<u32>,
    /// A layer from 0, or mean, max, all.
    #[arg(long, default_value = "mean", allow_negative_numbers = true)]
    layer: Axis,
    /// A head from 0, or mean, max, all.
    #[arg(long, default_value = "mean", allow_negative_numbers = true)]
    head: Axis,
    /// Attention on the patches only, or on every position.
    #[arg(long, value_enum, default_value_t = Keys::Image)]
    keys: Keys,
    /// FILE.npy, FILE.csv or FILE.json; - for CSV on standard output.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Keys {
    Image,
    All,
}

/// Numbers with named axes, outermost first.
struct Array {
    axes: Vec<(&'static str, usize)>,
    values: Vec<f32>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let array = match trace.pages_as_attention(&args.map) {
        Some(pages) => attention(pages, args)?,
        None if args.map == "attention" => attention(&trace, args)?,
        None => named_map(&trace, args)?,
    };
    write(&array, &args.out)
}

fn attention(trace: &Trace, args: &Args) -> anyhow::Result<Array> {
    let shape = trace.shape();
    let rows = rows(trace, &args.token, &args.query)?;
    let layers = args.layer.indices("layer", shape.layers)?;
    let heads = args.head.indices("head", shape.heads)?;
    let key_axes = key_axes(trace, args.keys)?;
    let keys: Vec<usize> = match args.keys {
        Keys::All => (0..shape.positions).collect(),
        Keys::Image => trace.meta().spans.iter().flat_map(|span| span.keys()).collect(),
    };
    let mut values = Vec::new();
    let mut per_layer = Vec::with_capacity(layers.len());
    for &layer in &layers {
        let mut per_head = Vec::with_capacity(heads.len());
        for &head in &heads {
            let mut mean = vec![0.0_f32; keys.len()];
            for &row in &rows {
                let weights =
                    trace.weights(row, layer, head).context("the trace has no such row")?;
                for (sum, &key) in mean.iter_mut().zip(&keys) {
                    *sum += weights[key] / rows.len() as f32;
                }
            }
            per_head.push(mean);
        }
        per_layer.push(fold(args.head, per_head));
    }
    for layer in fold_layers(args.layer, per_layer) {
        values.extend(layer.into_iter().flatten());
    }
    let mut axes = Vec::new();
    if args.layer == Axis::All {
        axes.push(("layer", layers.len()));
    }
    if args.head == Axis::All {
        axes.push(("head", heads.len()));
    }
    axes.extend(key_axes);
    Ok(Array { axes, values })
}

/// Element-wise mean or maximum; the maps themselves where the axis is kept.
fn fold(axis: Axis, maps: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let count = maps.len() as f32;
    let join = |combine: fn(f32, f32) -> f32| {
        maps.iter()
            .cloned()
            .reduce(|left, right| left.into_iter().zip(right).map(|(a, b)| combine(a, b)).collect())
            .into_iter()
    };
    match axis {
        Axis::Max => join(f32::max).collect(),
        Axis::Mean => join(|a, b| a + b)
            .map(|sum| sum.into_iter().map(|value| value / count).collect())
            .collect(),
        Axis::One(_) | Axis::All => maps,
    }
}

/// `[layer][head]` maps → the layer axis folded.
fn fold_layers(axis: Axis, layers: Vec<Vec<Vec<f32>>>) -> Vec<Vec<Vec<f32>>> {
    let heads = layers.first().map_or(0, Vec::len);
    match axis {
        Axis::One(_) | Axis::All => layers,
        Axis::Mean | Axis::Max => {
            let folded = (0..heads)
                .flat_map(|head| {
                    fold(axis, layers.iter().map(|layer| layer[head].clone()).collect())
                })
                .collect();
            vec![folded]
        }
    }
}

fn named_map(trace: &Trace, args: &Args) -> anyhow::Result<Array> {
    let names = [trace.map_names(), trace.page_names()].concat();
    if !names.contains(&args.map.as_str()) {
        let known = if names.is_empty() {
            "it holds no maps yet".to_owned()
        } else {
            format!("it holds {}", names.join(", "))
        };
        return Err(usage(format!(
            "{} has no map `{}`: {known}; `attention` always works",
            args.trace.display(),
            args.map
        )));
    }
    if !args.query.is_empty() {
        return Err(usage(
            "--query goes with --map attention; maps belong to answer tokens (--token)",
        ));
    }
    let generated = trace.shape().generated as u32;
    let tokens = if args.token.is_empty() {
        super::selection::spoken_answers(trace)
    } else {
        args.token.clone()
    };
    let mut mean: Vec<f32> = Vec::new();
    for &token in &tokens {
        let row = trace.map_row(&args.map, AnswerIndex(token)).with_context(|| {
            format!(
                "answer token {token} does not exist: the answer has tokens 0 to {}",
                generated.saturating_sub(1)
            )
        })?;
        mean.resize(row.len(), 0.0);
        for (sum, value) in mean.iter_mut().zip(row.iter()) {
            *sum += value / tokens.len() as f32;
        }
    }
    let patches = trace.meta().patches();
    if mean.len() != patches && args.keys == Keys::Image {
        mean = trace.meta().spans.iter().flat_map(|span| mean[span.keys()].to_vec()).collect();
    }
    let axes = if mean.len() == patches {
        key_axes(trace, Keys::Image)?
    } else {
        vec![("key", mean.len())]
    };
    Ok(Array { axes, values: mean })
}

/// [row, column] for one picture, `[patch]` for several, `[key]` for every position.
fn key_axes(trace: &Trace, keys: Keys) -> anyhow::Result<Vec<(&'static str, usize)>> {
    match (keys, trace.meta().spans.as_slice()) {
        (Keys::All, _) => Ok(vec![("key", trace.shape().positions)]),
        (Keys::Image, []) => Err(usage("this trace has no picture; use --keys all")),
        (Keys::Image, [span]) => {
            Ok(vec![("row", span.rows as usize), ("column", span.columns as usize)])
        }
        (Keys::Image, _) => Ok(vec![("patch", trace.meta().patches())]),
    }
}

fn write(array: &Array, path: &Path) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        return csv(array, &mut std::io::stdout().lock());
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format: fn(&Array, &mut dyn Write) -> anyhow::Result<()> = match extension {
        "npy" => npy,
        "csv" => csv,
        "json" => json,
        _ => {
            return Err(usage(format!(
                "{} has no known format: use .npy, .csv or .json",
                path.display()
            )));
        }
    };
    write_atomically(path, |out| format(array, out))
}

fn npy(array: &Array, out: &mut dyn Write) -> anyhow::Result<()> {
    use npyz::WriterBuilder as _;
    let shape: Vec<u64> = array.axes.iter().map(|(_, len)| *len as u64).collect();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(out).begin_nd()?;
    writer.extend(&array.values)?;
    writer.finish()?;
    Ok(())
}

/// One line a value, with a column for each axis: it loads into anything.
fn csv(array: &Array, out: &mut dyn Write) -> anyhow::Result<()> {
    let names: Vec<&str> = array.axes.iter().map(|(name, _)| *name).collect();
    writeln!(out, "{},value", names.join(","))?;
    for (index, value) in array.values.iter().enumerate() {
        let mut rest = index;
        let mut place: Vec<usize> = Vec::with_capacity(names.len());
        for (_, len) in array.axes.iter().rev() {
            place.push(rest % len);
            rest /= len;
        }
        for axis in place.iter().rev() {
            write!(out, "{axis},")?;
        }
        writeln!(out, "{value}")?;
    }
    Ok(())
}

fn json(array: &Array, out: &mut dyn Write) -> anyhow::Result<()> {
    let names: Vec<&str> = array.axes.iter().map(|(name, _)| *name).collect();
    let shape: Vec<usize> = array.axes.iter().map(|(_, len)| *len).collect();
    serde_json::to_writer(
        &mut *out,
        &json!({"axes": names, "shape": shape, "values": array.values}),
    )?;
    writeln!(out)?;
    Ok(())
}
