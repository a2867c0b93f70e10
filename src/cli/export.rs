//! `vlmscope export`: the numbers behind a figure, as NumPy, CSV or JSON.

use super::common::{replace, usage};
use super::selection::{AxisFlag, Selection, refused};
use crate::analysis::diff::check_geometry;
use crate::analysis::reduce::Keep;
use crate::terminal;
use crate::trace::Trace;
use crate::view::{AxisSet, Bounds, MapChoice, Numbers, SourceKind, ViewError, ViewState};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write the numbers behind a figure.
///
/// The flags have the same meaning as in `render`, and the numbers are those of its figure. Heads
/// are reduced first, then layers, then answer tokens. `--layer all` and `--head all` keep the axis
/// in the result. With a second map, the result is the first minus the second. The last two axes
/// are the rows and columns of the picture's patches.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope export cat.vlmtrace --token 3 --layer 14 --out map.csv
  vlmscope export cat.vlmtrace --token max:1-4 --layer max:8-15 --head max --out map.npy
  vlmscope export cat.vlmtrace --token 3,4 --layer all --head all --out every_head.npy
  vlmscope export cat.vlmtrace --token 3 --keys all --layer 2 --head 5 --out row.json
  vlmscope export cat.vlmtrace --token 3 --layer 2 --second-layer 5 --out difference.npy
  vlmscope export cat.vlmtrace --map relevancy.llm --token 3 --out relevancy.npy
  vlmscope export cat.vlmtrace --map gradient_attention --token 3 --head all --out gradients.npy")]
pub(crate) struct Args {
    /// The trace.
    trace: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Keys to export: the patches only, or every position.
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
    let mut state = ViewState::default();
    args.selection
        .apply(&mut state, &trace, false)
        .map_err(|error| refused(&args.trace, &error))?;
    let other = match &args.selection.second_trace {
        Some(path) => Some(Trace::open(path)?),
        None => None,
    };
    check_flags(args, &state, &trace, other.as_ref())?;
    if let Some(other) = &other {
        check_geometry(trace.meta(), other.meta()).map_err(|error| usage(error.to_string()))?;
    }
    let array = array(args, &state, &trace, other.as_ref())?;
    // Pages that could not be read must not be exported as numbers.
    trace.check()?;
    other.as_ref().map_or(Ok(()), Trace::check)?;
    write(&array, &args.out)
}

/// Refuses flags that do not affect the exported numbers.
fn check_flags(
    args: &Args,
    state: &ViewState,
    trace: &Trace,
    other: Option<&Trace>,
) -> anyhow::Result<()> {
    let flags = &args.selection;
    let first = Bounds::from_trace(trace);
    let has_layers = |bounds: &Bounds, map: &MapChoice| {
        bounds.source_kind(&map.source) != Some(SourceKind::Numbers)
    };
    let refuse = |flag: &str, map: &MapChoice| {
        let name = map.source.name();
        Err(usage(format!(
            "{flag} does not apply to `{name}`: it is one map for each answer token, without layers and heads. Leave out {flag}, or export the attention (--map attention)."
        )))
    };
    let second = state.second.as_ref().map(|second| {
        (second, has_layers(&other.map_or_else(|| first.clone(), Bounds::from_trace), &second.map))
    });
    for (flag, own, seconds) in
        [("layer", &flags.layer, &flags.second_layer), ("head", &flags.head, &flags.second_head)]
    {
        let inherited = seconds.is_none() && second.as_ref().is_some_and(|(_, has)| *has);
        if own.is_some() && !has_layers(&first, &state.map) && !inherited {
            return refuse(&format!("--{flag}"), &state.map);
        }
        let Some((second, has)) = &second else { continue };
        if seconds.is_some() && !has {
            return refuse(&format!("--second-{flag}"), &second.map);
        }
        if *seconds == Some(AxisFlag::All) {
            return Err(usage(format!(
                "--second-{flag} all has no meaning here: write mean, or keep the axis of both maps with --{flag} all"
            )));
        }
    }
    Ok(())
}

fn array(
    args: &Args,
    state: &ViewState,
    trace: &Trace,
    other: Option<&Trace>,
) -> anyhow::Result<Array> {
    let shape = trace.shape();
    // An axis that is kept is exported as one selection for each index.
    let kept = |axis: &Option<AxisFlag>, len: usize| match axis {
        Some(AxisFlag::All) => (0..len as u32).map(|at| Some(AxisSet::single(at))).collect(),
        _ => vec![None],
    };
    let flags = &args.selection;
    let layers = kept(&flags.layer, shape.layers);
    let heads = kept(&flags.head, shape.heads);
    let mut axes = Vec::new();
    if flags.layer == Some(AxisFlag::All) {
        axes.push(("layer", layers.len()));
    }
    if flags.head == Some(AxisFlag::All) {
        axes.push(("head", heads.len()));
    }
    axes.extend(key_axes(trace, args.keys)?);
    let mut values = Vec::new();
    for (layer, head) in layers.iter().flat_map(|layer| heads.iter().map(move |head| (layer, head)))
    {
        let chosen = |map: &MapChoice, of_layer: bool, of_head: bool| {
            let mut map = map.clone();
            super::selection::set(&mut map.layers, layer.clone().filter(|_| of_layer));
            super::selection::set(&mut map.heads, head.clone().filter(|_| of_head));
            map
        };
        let first = numbers(&chosen(&state.map, true, true), trace, state.remove_bos)
            .map_err(|error| refused(&args.trace, &error))?;
        let mut map = at_keys(&first, args.keys)?;
        if let Some(second) = &state.second {
            let path = flags.second_trace.as_ref().unwrap_or(&args.trace);
            let choice =
                chosen(&second.map, flags.second_layer.is_none(), flags.second_head.is_none());
            let second = numbers(&choice, other.unwrap_or(trace), state.remove_bos)
                .map_err(|error| refused(path, &error))?;
            let second = at_keys(&second, args.keys)?;
            if map.len() != second.len() {
                return Err(usage(format!(
                    "{} and {} have {} and {} positions, so that they cannot be subtracted; leave out --keys all",
                    args.trace.display(),
                    path.display(),
                    map.len(),
                    second.len()
                )));
            }
            crate::analysis::reduce::difference(&mut map, &second);
        }
        values.extend(map);
    }
    Ok(Array { axes, values })
}

fn numbers<'a>(
    choice: &MapChoice,
    trace: &'a Trace,
    remove_bos: bool,
) -> Result<Numbers<'a>, ViewError> {
    choice.resolve(trace, Keep::One, remove_bos)
}

fn at_keys(numbers: &Numbers<'_>, keys: Keys) -> anyhow::Result<Vec<f32>> {
    match keys {
        Keys::Image => Ok(numbers.values()),
        Keys::All => numbers.at_positions().ok_or_else(|| {
            usage("this map has numbers for the patches only; leave out --keys all")
        }),
    }
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
        return csv(array, &mut terminal::stdout());
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
    replace(path, |out| format(array, out))
}

fn npy(array: &Array, out: &mut dyn Write) -> anyhow::Result<()> {
    let shape: Vec<usize> = array.axes.iter().map(|(_, len)| *len).collect();
    super::npy::write(out, &shape, &array.values)
}

/// One line a value, with a column for each axis: a table that any program can load.
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
