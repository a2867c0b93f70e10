//! Flags that change a view state.

use super::job::does_not_fit;
use crate::analysis::methods::Method;
use crate::cli::common::{SiteFlag, usage};
use crate::cli::selection::{Selection, set};
use crate::trace::Trace;
use crate::view::{
    Blend, Camera, ColorMap, HeadOrder, ImageForm, Interpolation, MapSource, Mix, PatchGrid,
    Quantity, Range, Scale, SecondRule, SourceRule, Theme, ViewKind, ViewState,
};

/// View and look of the figure.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// View to draw.
    #[arg(long, value_enum)]
    view: Option<ViewKind>,
    #[command(flatten)]
    selection: Selection,

    /// How both maps are shown: cross-fade[:0-1], swipe[:0-1] or difference (first − second).
    #[arg(long, value_parser = mix, help_heading = "Two maps")]
    mix: Option<Mix>,

    /// Colour map.
    #[arg(long, value_enum, help_heading = "Look")]
    colormap: Option<ColorMap>,
    /// How the map is blended with the picture.
    #[arg(long, value_enum, help_heading = "Look")]
    blend: Option<Blend>,
    /// Opacity of the map, 0–1 [default: 1; 0.5 for flat and multiply].
    #[arg(long, help_heading = "Look")]
    opacity: Option<f64>,
    /// Share of the attention on the picture, 0–1, below which the glow and the cells of the wall fade; 0: never
    /// [default: 0.01; 0 with --lvlm-interpret].
    #[arg(long, value_name = "SHARE", help_heading = "Look")]
    fade_below: Option<f64>,
    /// How the map is interpolated between patches.
    #[arg(long, value_enum, help_heading = "Look")]
    interpolation: Option<Interpolation>,
    /// Draw lines between patches.
    #[arg(long, value_enum, help_heading = "Look")]
    grid: Option<PatchGrid>,
    /// Colour range: per-map, shared, LOW..HIGH (numbers), or pLOW..pHIGH (percentiles).
    #[arg(long, value_parser = range, allow_hyphen_values = true, help_heading = "Look")]
    normalise: Option<Range>,
    /// Logarithmic colour scale over four decades.
    #[arg(long, help_heading = "Look")]
    log: bool,
    /// Quantity that the layer × head matrix shows.
    #[arg(long, value_enum, help_heading = "Look")]
    quantity: Option<Quantity>,
    /// Largest distance from the token that the causal view shows [default: all that its graph has].
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Look")]
    radius: Option<u32>,
    /// Copied activations that the patch view shows [default: the first table that the trace holds].
    #[arg(long, value_enum, help_heading = "Look")]
    what: Option<SiteFlag>,
    /// Order of the heads in the heads view and, within each layer, on the wall.
    #[arg(long, value_enum, help_heading = "Look")]
    sort: Option<HeadOrder>,
    /// Show the original picture instead of the preprocessed one.
    #[arg(long, help_heading = "Look")]
    original: bool,
    /// Enlarge the content; 1 fits it.
    #[arg(long, help_heading = "Look")]
    zoom: Option<f64>,
    /// Point of the content at the centre of the view: X,Y, each 0–1.
    #[arg(long, value_name = "X,Y", value_parser = point, help_heading = "Look")]
    centre: Option<[f64; 2]>,
    /// Dark, or light for print.
    #[arg(long, value_enum, help_heading = "Look")]
    theme: Option<Theme>,
    /// Scale factor of all text.
    #[arg(long, help_heading = "Look")]
    text_scale: Option<f64>,
    /// Replace the caption.
    #[arg(long, conflicts_with = "no_caption", help_heading = "Look")]
    caption: Option<String>,
    /// Leave out the caption.
    #[arg(long, help_heading = "Look")]
    no_caption: bool,
    /// Leave out the legend.
    #[arg(long, help_heading = "Look")]
    no_legend: bool,
    /// LVLM-Interpret's look: jet at 50 % over the preprocessed picture.
    #[arg(long, help_heading = "Look")]
    lvlm_interpret: bool,
}

impl Flags {
    /// Applies the flags to a state. `from_file`: the state came from a file, so that fields without a flag keep their
    /// values.
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
        let applied = self.selection.apply(state, trace, from_file);
        applied.map_err(|error| does_not_fit(state, &error))?;
        if let Some(mix) = self.mix {
            let second = state.second.as_mut().ok_or_else(|| {
                usage("--mix needs a second map: add --second-trace, --second-map, --second-token, --second-layer or --second-head")
            })?;
            second.mix = mix;
        }
        self.apply_look(state);
        if trace.meta().spans.is_empty() && self.quantity.is_none() && !from_file {
            state.quantity = Quantity::QuestionShare;
        }
        let spec = state.view.spec();
        let is_relevancy = spec.source == SourceRule::Relevancy;
        if self.view.is_some() && is_relevancy && self.selection.map.is_none() {
            choose_relevancy(state, trace);
        }
        if spec.second == SecondRule::Subtracted && self.colormap.is_none() && !from_file {
            state.colormap = ColorMap::Coolwarm;
        }
        Ok(())
    }

    fn apply_look(&self, state: &mut ViewState) {
        set(&mut state.colormap, self.colormap);
        if let Some(blend) = self.blend {
            // An opacity that nobody chose becomes the default of the blend mode.
            if state.opacity == state.blend.default_opacity() {
                state.opacity = blend.default_opacity();
            }
            state.blend = blend;
        }
        set(&mut state.opacity, self.opacity);
        set(&mut state.fade_below, self.fade_below);
        set(&mut state.interpolation, self.interpolation);
        set(&mut state.grid, self.grid);
        set(&mut state.normalise.range, self.normalise);
        set(&mut state.quantity, self.quantity);
        set(&mut state.head_order, self.sort);
        if self.radius.is_some() {
            state.radius = self.radius;
        }
        if let Some(what) = self.what {
            state.site = Some(what.into());
        }
        set(&mut state.theme, self.theme);
        set(&mut state.text_scale, self.text_scale);
        if self.log {
            state.normalise.scale = Scale::Log;
        }
        if self.original {
            state.picture.form = ImageForm::Original;
        }
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

/// The best relevancy map that the trace has.
fn choose_relevancy(state: &mut ViewState, trace: &Trace) {
    if let Some(method) = Method::best_relevancy(trace)
        && state.map.source == MapSource::Attention
    {
        state.map.source = MapSource::Named(method.tensor.to_owned());
    }
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
        _ => Err(format!("`{name}` is not cross-fade, swipe or difference")),
    }
}

fn range(text: &str) -> Result<Range, String> {
    match text {
        "per-map" => return Ok(Range::PerMap),
        "shared" => return Ok(Range::Shared),
        _ => {}
    }
    let wrong = || {
        format!(
            "`{text}` is not a range; write per-map, shared, numbers (0..0.2) or \
        percentiles (p1..p99)"
        )
    };
    let (low, high) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
    match (low.strip_prefix('p'), high.strip_prefix('p')) {
        (Some(low), Some(high)) => Ok(Range::Percentile { low: number(low)?, high: number(high)? }),
        (None, None) => Ok(Range::Fixed { min: number(low)?, max: number(high)? }),
        _ => Err(wrong()),
    }
}
