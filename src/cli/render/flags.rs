//! Flags as sugar for a view state.

use crate::cli::common::usage;
use crate::cli::selection::spoken_answers;
use crate::trace::Trace;
use crate::view::{
    Aggregate, AxisSet, Blend, Camera, ColorMap, HeadOrder, ImageForm, Interpolation, MapSource,
    Mix, PatchGrid, Quantity, Queries, QueryKind, Range, Scale, Second, Theme, ViewKind, ViewState,
};
use std::path::PathBuf;

/// What the figure shows and how.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Which view.
    #[arg(long, value_enum)]
    view: Option<ViewKind>,
    /// `attention`, or the name of a map in the trace (see `vlmscope inspect`).
    #[arg(long)]
    map: Option<String>,
    /// Answer tokens: 3; 2-4 or 2,5 (their mean); max:2-4; all [default: all that carry text]
    #[arg(long, value_name = "I[,J]", conflicts_with = "query", allow_negative_numbers = true)]
    token: Option<String>,
    /// Query positions instead of answer tokens.
    #[arg(long, value_name = "POS", allow_negative_numbers = true)]
    query: Option<String>,
    /// A layer from 0, `last`, mean, max, or a set such as max:8-15 [default: mean]
    #[arg(long, allow_negative_numbers = true)]
    layer: Option<String>,
    /// A head from 0, mean, max, or a set such as mean:0-7 [default: mean]
    #[arg(long, allow_negative_numbers = true)]
    head: Option<String>,

    /// Second map: another trace.
    #[arg(long, value_name = "TRACE", help_heading = "Two maps")]
    second_trace: Option<PathBuf>,
    /// Second map: its source (as --map).
    #[arg(long, value_name = "MAP", help_heading = "Two maps")]
    second_map: Option<String>,
    /// Second map: its answer tokens (as --token).
    #[arg(long, value_name = "I[,J]", help_heading = "Two maps")]
    second_token: Option<String>,
    /// Second map: its layers.
    #[arg(long, value_name = "LAYER", help_heading = "Two maps")]
    second_layer: Option<String>,
    /// Second map: its heads.
    #[arg(long, value_name = "HEAD", help_heading = "Two maps")]
    second_head: Option<String>,
    /// cross-fade[:0-1], swipe[:0-1] or difference (first − second).
    #[arg(long, value_parser = mix, help_heading = "Two maps")]
    mix: Option<Mix>,

    /// Colour map.
    #[arg(long, value_enum, help_heading = "Look")]
    colormap: Option<ColorMap>,
    /// How the map is laid on the picture.
    #[arg(long, value_enum, help_heading = "Look")]
    blend: Option<Blend>,
    /// Strength of the map, 0–1 [default: 1; 0.5 for flat and multiply].
    #[arg(long, help_heading = "Look")]
    opacity: Option<f64>,
    /// How the map is enlarged.
    #[arg(long, value_enum, help_heading = "Look")]
    interpolation: Option<Interpolation>,
    /// Lines between patches.
    #[arg(long, value_enum, help_heading = "Look")]
    grid: Option<PatchGrid>,
    /// per-map, shared, LOW..HIGH (numbers), or pLOW..pHIGH (percentiles).
    #[arg(long, value_parser = range, allow_hyphen_values = true, help_heading = "Look")]
    normalise: Option<Range>,
    /// Logarithmic scale over four decades.
    #[arg(long, help_heading = "Look")]
    log: bool,
    /// Leave BOS out and renormalise.
    #[arg(long, help_heading = "Look")]
    remove_bos: bool,
    /// What the layer × head matrix shows.
    #[arg(long, value_enum, help_heading = "Look")]
    quantity: Option<Quantity>,
    /// How the heads view is sorted.
    #[arg(long, value_enum, help_heading = "Look")]
    sort: Option<HeadOrder>,
    /// The picture as it was given instead of what the model saw.
    #[arg(long, help_heading = "Look")]
    original: bool,
    /// Which of several pictures, from 0.
    #[arg(long, help_heading = "Look")]
    picture: Option<u32>,
    /// Enlarge the content; 1 fits it.
    #[arg(long, help_heading = "Look")]
    zoom: Option<f64>,
    /// The point of the content (0–1, 0–1) in the middle.
    #[arg(long, value_name = "X,Y", value_parser = point, help_heading = "Look")]
    centre: Option<[f64; 2]>,
    /// Dark, or light for print.
    #[arg(long, value_enum, help_heading = "Look")]
    theme: Option<Theme>,
    /// Multiply every type size.
    #[arg(long, help_heading = "Look")]
    text_scale: Option<f64>,
    /// Replace the caption.
    #[arg(long, conflicts_with = "no_caption", help_heading = "Look")]
    caption: Option<String>,
    /// Without the caption.
    #[arg(long, help_heading = "Look")]
    no_caption: bool,
    /// Without the legend.
    #[arg(long, help_heading = "Look")]
    no_legend: bool,
    /// LVLM-Interpret's look: jet at 50 % over what the model saw.
    #[arg(long, help_heading = "Look")]
    lvlm_interpret: bool,
}

impl Flags {
    /// Lays the flags over a state. `from_file`: the state came from a file, so that what no flag
    /// says stays as it is there.
    pub(super) fn apply(
        &self,
        state: &mut ViewState,
        trace: &Trace,
        from_file: bool,
    ) -> anyhow::Result<()> {
        if self.lvlm_interpret {
            *state = std::mem::take(state).with_lvlm_interpret_look();
        }
        set(&mut state.view, self.view);
        self.apply_map(state, trace, from_file)?;
        self.apply_second(state, trace)?;
        self.apply_look(state);
        if self.view == Some(ViewKind::Relevancy) && self.map.is_none() {
            choose_relevancy(state, trace);
        }
        if state.view == ViewKind::Diff && self.colormap.is_none() && !from_file {
            state.colormap = ColorMap::Coolwarm;
        }
        Ok(())
    }

    fn apply_map(
        &self,
        state: &mut ViewState,
        trace: &Trace,
        from_file: bool,
    ) -> anyhow::Result<()> {
        set(&mut state.map.source, self.map.clone().map(MapSource::from));
        if let Some(text) = &self.layer {
            state.map.layers = layers(text, trace)?;
        }
        if let Some(text) = &self.head {
            state.map.heads = parsed(AxisSet::parse("heads", text))?;
        }
        if let Some(text) = &self.query {
            let set = parsed(AxisSet::parse("positions", text))?;
            state.map.queries = Queries { kind: QueryKind::Position, set };
        } else if let Some(text) = &self.token {
            state.map.queries = answers(text)?;
        } else if !from_file {
            let set = AxisSet::of(Aggregate::Mean, spoken_answers(trace));
            state.map.queries = Queries { kind: QueryKind::Answer, set };
        }
        Ok(())
    }

    fn apply_second(&self, state: &mut ViewState, trace: &Trace) -> anyhow::Result<()> {
        let flags = [&self.second_map, &self.second_token, &self.second_layer, &self.second_head];
        let named = self.second_trace.is_some() || flags.iter().any(|flag| flag.is_some());
        if !named {
            if let Some(mix) = self.mix {
                let second = state.second.as_mut().ok_or_else(|| {
                    usage("--mix needs a second map: add --second-trace, --second-map, --second-token, --second-layer or --second-head")
                })?;
                second.mix = mix;
            }
            return Ok(());
        }
        // What is not said of the second map is as in the first: flags name the difference.
        let mut second = state.second.take().unwrap_or_else(|| Second {
            trace: None,
            map: state.map.clone(),
            mix: if state.view == ViewKind::Diff { Mix::Difference } else { Mix::default() },
        });
        second.trace = self.second_trace.clone().or(second.trace);
        set(&mut second.map.source, self.second_map.clone().map(MapSource::from));
        if let Some(text) = &self.second_layer {
            second.map.layers = layers(text, trace)?;
        }
        if let Some(text) = &self.second_head {
            second.map.heads = parsed(AxisSet::parse("heads", text))?;
        }
        if let Some(text) = &self.second_token {
            second.map.queries = answers(text)?;
        }
        set(&mut second.mix, self.mix);
        state.second = Some(second);
        Ok(())
    }

    fn apply_look(&self, state: &mut ViewState) {
        set(&mut state.colormap, self.colormap);
        if let Some(blend) = self.blend {
            // A strength that nobody chose is the blend mode's own.
            if state.opacity == state.blend.default_opacity() {
                state.opacity = blend.default_opacity();
            }
            state.blend = blend;
        }
        set(&mut state.opacity, self.opacity);
        set(&mut state.interpolation, self.interpolation);
        set(&mut state.grid, self.grid);
        set(&mut state.normalise.range, self.normalise);
        set(&mut state.quantity, self.quantity);
        set(&mut state.head_order, self.sort);
        set(&mut state.picture.index, self.picture);
        set(&mut state.theme, self.theme);
        set(&mut state.text_scale, self.text_scale);
        if self.log {
            state.normalise.scale = Scale::Log;
        }
        if self.original {
            state.picture.form = ImageForm::Original;
        }
        state.remove_bos |= self.remove_bos;
        state.camera = Camera {
            zoom: self.zoom.unwrap_or(state.camera.zoom),
            centre: self.centre.unwrap_or(state.camera.centre),
        };
        if let Some(text) = &self.caption {
            state.caption.text = Some(text.clone());
        }
        state.caption.show &= !self.no_caption;
        state.legend &= !self.no_legend;
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The best relevancy map that the trace has.
fn choose_relevancy(state: &mut ViewState, trace: &Trace) {
    let names = trace.map_names();
    let best = ["relevancy.llm", "relevancy.all", "relevancy.vit"]
        .into_iter()
        .find(|name| names.contains(name));
    if let Some(name) = best
        && state.map.source == MapSource::Attention
    {
        state.map.source = MapSource::Named(name.to_owned());
    }
}

fn parsed<T>(result: Result<T, crate::view::ViewError>) -> anyhow::Result<T> {
    result.map_err(|error| usage(error.to_string()))
}

fn layers(text: &str, trace: &Trace) -> anyhow::Result<AxisSet> {
    if text == "last" {
        return Ok(AxisSet::single(trace.meta().model.layers.saturating_sub(1)));
    }
    parsed(AxisSet::parse("layers", text))
}

fn answers(text: &str) -> anyhow::Result<Queries> {
    let set = parsed(AxisSet::parse("answer tokens", text))?;
    Ok(Queries { kind: QueryKind::Answer, set })
}

fn point(text: &str) -> Result<[f64; 2], String> {
    let wrong = || format!("`{text}` is not X,Y, such as 0.5,0.5");
    let (x, y) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    Ok([number(x)?, number(y)?])
}

fn mix(text: &str) -> Result<Mix, String> {
    let (name, amount) = match text.split_once(':') {
        Some((name, amount)) => {
            let amount = amount.parse().map_err(|_| format!("`{amount}` is not a number"))?;
            (name, amount)
        }
        None => (text, 0.5),
    };
    match name {
        "cross-fade" => Ok(Mix::CrossFade { amount }),
        "swipe" => Ok(Mix::Swipe { position: amount }),
        "difference" => Ok(Mix::Difference),
        _ => Err(format!("`{name}` is none of cross-fade, swipe and difference")),
    }
}

fn range(text: &str) -> Result<Range, String> {
    match text {
        "per-map" => return Ok(Range::PerMap),
        "shared" => return Ok(Range::Shared),
        _ => {}
    }
    let wrong = || format!("`{text}` is none of per-map, shared, 0..0.2 and p1..p99");
    let (low, high) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
    match (low.strip_prefix('p'), high.strip_prefix('p')) {
        (Some(low), Some(high)) => Ok(Range::Percentile { low: number(low)?, high: number(high)? }),
        (None, None) => Ok(Range::Fixed { min: number(low)?, max: number(high)? }),
        _ => Err(wrong()),
    }
}
