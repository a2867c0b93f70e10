//! `vlmscope export`: the numbers behind a figure, as NumPy, CSV or JSON.

use super::common::{replace, trace_file, usage};
use super::selection::{AxisFlag, Selection, kept, refused};
use crate::analysis::diff::check_geometry;
use crate::analysis::reduce::Keep;
use crate::terminal;
use crate::trace::Trace;
use crate::view::{
    AxisSet, Bounds, MapChoice, Numbers, Quantity, Shown, SourceKind, ViewError, ViewState,
    pictures,
};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write the numbers behind a figure.
///
/// The flags have the same meaning as in `render`, and the numbers are those of its figure. Heads
/// are reduced first, then layers, then answer tokens. `--layer all` and `--head all` keep the axis
/// in the result. With a second map, the result is the first minus the second, as `render --mix
/// difference` draws it. The last two axes
/// are the rows and columns of the picture's patches. Where the model saw the picture several times
/// (tiles and a thumbnail), they are the cells of one grid over all views; --span chooses one view.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope export cat.vlmtrace --token 3 --layer 14 --out map.csv
  vlmscope export cat.vlmtrace --token max:1-4 --layer max:8-15 --head max --out map.npy
  vlmscope export cat.vlmtrace --token 3,4 --layer all --head all --out every_head.npy
  vlmscope export cat.vlmtrace --token 3 --keys all --layer 2 --head 5 --out row.json
  vlmscope export cat.vlmtrace --token 3 --layer 2 --second-layer 5 --out difference.npy
  vlmscope export tiles.vlmtrace --token 3 --span 2 --out thumbnail.npy
  vlmscope export video.vlmtrace --token 3 --frame 5 --out frame.npy
  vlmscope export cat.vlmtrace --token 3 --quantity focus --out heads.csv
  vlmscope export cat.vlmtrace --token 3 --quantity inside --box 40,20,200,160 --out object.csv
  vlmscope export cat.vlmtrace --token 3 --head-set 4.1,7.0 --out mean.npy
  vlmscope export cat.vlmtrace --map relevancy.llm --token 3 --out relevancy.npy
  vlmscope export cat.vlmtrace --map gradient_attention --token 3 --head all --out gradients.npy")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace.
    #[arg(value_parser = trace_file())]
    trace: PathBuf,
    /// A view state, as the window saves it; flags take precedence.
    #[arg(long, value_name = "FILE.toml")]
    state: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// Keys to export.
    #[arg(long, value_enum, default_value_t = Keys::Image)]
    keys: Keys,
    /// Export one number for each layer and head instead of a map: what `render --view layer-head` draws.
    #[arg(long, value_enum, conflicts_with_all = ["keys", "layer", "head", "head_set"])]
    quantity: Option<Quantity>,
    /// FILE.npy, FILE.csv or FILE.json; - for CSV on standard output.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Keys {
    /// The grid of one picture.
    Image,
    /// Every patch of every view, one after another.
    Patches,
    /// Every position.
    All,
}

/// Numbers with named axes, outermost first.
struct Array {
    axes: Vec<(&'static str, usize)>,
    /// The model's own numbers along the axis "layer".
    layers: Vec<u32>,
    values: Vec<f32>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let trace = Trace::open(&args.trace)?;
    let mut state = match &args.state {
        Some(path) => ViewState::open(path)?,
        None => ViewState::default(),
    };
    args.selection
        .apply(&mut state, &trace, args.state.is_some())
        .map_err(|error| refused(&args.trace, &error))?;
    let other = match &args.selection.second_trace {
        Some(path) => Some(Trace::open(path)?),
        None => None,
    };
    if let Some(quantity) = args.quantity {
        state.quantity = quantity;
        let array = of_heads(args, &state, &trace, other.as_ref())?;
        trace.check()?;
        other.as_ref().map_or(Ok(()), Trace::check)?;
        return write(&array, &args.out);
    }
    check_flags(args, &state, &trace, other.as_ref())?;
    Bounds::from_trace(&trace)
        .check_picture(state.picture)
        .map_err(|error| refused(&args.trace, &error))?;
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
    let has_rows = has_layers(&first, &state.map) || second.as_ref().is_some_and(|(_, has)| *has);
    if flags.remove_bos && !has_rows {
        let name = state.map.source.name();
        return Err(usage(format!(
            "--remove-bos does not apply to `{name}`: it has no rows of attention that could be renormalised. Leave out --remove-bos, or export the attention (--map attention)."
        )));
    }
    if args.keys != Keys::Image && flags.picture.are_given() {
        return Err(usage(
            "--picture, --frame and --span choose the grid of one picture; leave them out, or leave out --keys",
        ));
    }
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

/// One number for each layer and head: [layer, head].
fn of_heads(
    args: &Args,
    state: &ViewState,
    trace: &Trace,
    other: Option<&Trace>,
) -> anyhow::Result<Array> {
    let numbers =
        state.resolve_heads(trace, other).map_err(|error| refused(&args.trace, &error))?;
    let shape = trace.shape();
    Ok(Array {
        axes: vec![("layer", shape.layers), ("head", shape.heads)],
        layers: trace.meta().model.layer_numbers(),
        values: numbers.values(),
    })
}

fn array(
    args: &Args,
    state: &ViewState,
    trace: &Trace,
    other: Option<&Trace>,
) -> anyhow::Result<Array> {
    let shape = trace.shape();
    // An axis that is kept is exported as one selection for each index.
    let members = |axis: &Option<AxisFlag>, numbers: &[u32]| match axis {
        Some(AxisFlag::All) => numbers.iter().map(|&at| Some(AxisSet::single(at))).collect(),
        _ => vec![None],
    };
    let flags = &args.selection;
    let numbers_of_layers = trace.meta().model.layer_numbers();
    let layers = members(&flags.layer, &numbers_of_layers);
    let heads = members(&flags.head, &(0..shape.heads as u32).collect::<Vec<_>>());
    let mut axes = Vec::new();
    if flags.layer == Some(AxisFlag::All) {
        axes.push(("layer", layers.len()));
    }
    if flags.head == Some(AxisFlag::All) {
        axes.push(("head", heads.len()));
    }
    axes.extend(key_axes(args, state, trace)?);
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
        let mut map = at_keys(first, args.keys, state)?;
        if let Some(second) = &state.second {
            let path = flags.second_trace.as_ref().unwrap_or(&args.trace);
            let choice =
                chosen(&second.map, flags.second_layer.is_none(), flags.second_head.is_none());
            let second = numbers(&choice, other.unwrap_or(trace), state.remove_bos)
                .map_err(|error| refused(path, &error))?;
            let second = at_keys(second, args.keys, state)?;
            if map.len() != second.len() {
                return Err(usage(format!(
                    "{} and {} have {} and {} positions, so they cannot be subtracted; leave out --keys all",
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
    Ok(Array { axes, layers: numbers_of_layers, values })
}

fn numbers<'a>(
    choice: &MapChoice,
    trace: &'a Trace,
    remove_bos: bool,
) -> Result<Numbers<'a>, ViewError> {
    choice.resolve(trace, Keep::One, remove_bos)
}

fn at_keys(numbers: Numbers<'_>, keys: Keys, state: &ViewState) -> anyhow::Result<Vec<f32>> {
    match keys {
        Keys::Image => {
            let shown = Shown::new(state, numbers.trace());
            Ok(numbers.as_shown(&shown).values())
        }
        Keys::Patches => Ok(numbers.values()),
        Keys::All => numbers.at_positions().ok_or_else(|| {
            usage("this map has numbers for the patches only; leave out --keys all")
        }),
    }
}

/// [row, column] of the grid of one picture, `[patch]` for every patch, `[key]` for every position.
fn key_axes(
    args: &Args,
    state: &ViewState,
    trace: &Trace,
) -> anyhow::Result<Vec<(&'static str, usize)>> {
    let meta = trace.meta();
    match args.keys {
        Keys::All => return Ok(vec![("key", trace.shape().positions)]),
        Keys::Image | Keys::Patches if meta.spans.is_empty() => {
            let what = match &meta.unplaced {
                Some(why) => format!("no patches with a place in a picture: {why}"),
                None => "no picture".to_owned(),
            };
            return Err(usage(format!("this trace has {what}; use --keys all")));
        }
        Keys::Patches => return Ok(vec![("patch", meta.patches())]),
        Keys::Image => {}
    }
    let pictures = pictures(meta);
    if pictures.len() > 1 && !args.selection.picture.are_given() {
        let has_frames = meta.spans.iter().any(|span| span.frame.is_some());
        return Err(usage(format!(
            "this trace has {} pictures ({}); choose one with --picture{}, or write all their patches with --keys patches",
            pictures.len(),
            kept(&pictures),
            if has_frames { " or --frame" } else { "" }
        )));
    }
    let shown = Shown::new(state, trace);
    let grid = shown.grids.first().ok_or_else(|| {
        usage(format!(
            "picture {} has no patches; choose another with --picture",
            state.picture.index
        ))
    })?;
    Ok(vec![("row", grid.rows as usize), ("column", grid.columns as usize)])
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
        for (name, at) in names.iter().zip(place.iter().rev()) {
            match array.layers.get(*at).filter(|_| *name == "layer") {
                Some(number) => write!(out, "{number},")?,
                None => write!(out, "{at},")?,
            }
        }
        writeln!(out, "{value}")?;
    }
    Ok(())
}

fn json(array: &Array, out: &mut dyn Write) -> anyhow::Result<()> {
    let names: Vec<&str> = array.axes.iter().map(|(name, _)| *name).collect();
    let shape: Vec<usize> = array.axes.iter().map(|(_, len)| *len).collect();
    let mut object = json!({"axes": names, "shape": shape, "values": array.values});
    if names.contains(&"layer") {
        object["layers"] = json!(array.layers);
    }
    serde_json::to_writer(&mut *out, &object)?;
    writeln!(out)?;
    Ok(())
}
