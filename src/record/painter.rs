//! Draws a moment of a walkthrough onto a target: for films, presentations and previews.

use crate::gpu::{Gpu, GpuError, Renderer, RendererOptions, Scene, Target};
use crate::trace::{Trace, TraceError};
use crate::view::figure::annotations::{Annotations, Band, FILM_UNITS, STAGE_UNITS, card};
use crate::view::figure::{Figure, PixelRect, content_aspect};
use crate::view::timeline::{
    Moment, MomentContent, Said, Shot, Walkthrough, WalkthroughError, caption_runs,
};
use crate::view::{Bounds, CausalTree, Drawing, PatchTable, Theme, ViewState};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Traces that a walkthrough may show: each is an open file, of which a process may have a thousand.
const MOST_TRACES: usize = 500;

/// The traces of a walkthrough.
#[derive(Clone, Debug, Default)]
pub struct OpenTraces {
    traces: BTreeMap<PathBuf, Trace>,
}

/// A trace is missing, or a step does not fit it.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A trace cannot be opened.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A step shows what its trace does not have.
    #[error(transparent)]
    Walkthrough(#[from] WalkthroughError),
}

impl OpenTraces {
    /// Opens every trace that a walkthrough names and checks every step against it; `name` is the walkthrough's name in
    /// errors.
    ///
    /// # Errors
    /// The first step that cannot be shown, with its line.
    pub fn open(walkthrough: &Walkthrough, name: &str) -> Result<Self, StepError> {
        let mut open = Self::default();
        for (index, step) in walkthrough.steps.iter().enumerate() {
            let at = |reason: String| {
                let reason = format!("step {}: {reason}", index + 1);
                let line = step.line.unwrap_or(0);
                match step.line {
                    Some(_) => WalkthroughError::Line { file: name.to_owned(), line, reason },
                    None => WalkthroughError::Write { reason },
                }
            };
            for path in paths(&step.state) {
                if !open.traces.contains_key(path) {
                    if open.traces.len() == MOST_TRACES {
                        let reason = format!("at most {MOST_TRACES} traces can be shown");
                        return Err(at(format!("{reason}. Split the walkthrough")).into());
                    }
                    let trace = Trace::open(path).map_err(|error| at(error.to_string()))?;
                    open.traces.insert(path.to_owned(), trace);
                }
            }
            open.check(&step.state).map_err(&at)?;
        }
        Ok(open)
    }

    /// The traces that lie neither in `folder` (empty: the current one) nor below it, links followed.
    pub fn outside(&self, folder: &Path) -> Vec<&Path> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = folder.canonicalize().ok();
        let is_inside = |path: &Path| {
            let real = folder.as_deref().zip(path.canonicalize().ok());
            real.is_some_and(|(folder, path)| path.starts_with(folder))
        };
        self.traces.keys().map(PathBuf::as_path).filter(|path| !is_inside(path)).collect()
    }

    /// Adds a trace that is open already.
    pub fn insert(&mut self, path: PathBuf, trace: Trace) {
        self.traces.insert(path, trace);
    }

    /// The trace of a path.
    pub fn get(&self, path: &Path) -> Option<&Trace> {
        self.traces.get(path)
    }

    /// All of them with their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Trace)> {
        self.traces.iter().map(|(path, trace)| (path.as_path(), trace))
    }

    /// The scene of a state; `None` if one of its traces is not open.
    pub fn scene<'a>(&'a self, state: &'a ViewState) -> Option<Scene<'a>> {
        let trace = self.traces.get(state.trace.as_ref()?)?;
        let second = match state.second.as_ref().and_then(|second| second.trace.as_ref()) {
            Some(path) => Some(self.traces.get(path)?),
            None => None,
        };
        Some(Scene { second, ..Scene::new(state, trace) })
    }

    /// Mean width / height of what the steps of a walkthrough show; 1 without a picture.
    pub fn aspect(&self, walkthrough: &Walkthrough) -> f32 {
        let aspects: Vec<f32> = walkthrough
            .steps
            .iter()
            .filter_map(|step| content_aspect(&step.state, self.scene(&step.state)?.trace))
            .collect();
        if aspects.is_empty() { 1.0 } else { aspects.iter().sum::<f32>() / aspects.len() as f32 }
    }

    /// Whether a step's view fits the traces.
    ///
    /// # Errors
    /// The reason why it cannot be shown.
    pub fn check(&self, state: &ViewState) -> Result<(), String> {
        let scene = self.scene(state).ok_or("it names no trace")?;
        let second = scene.second.map(Bounds::from_trace);
        Bounds::from_trace(scene.trace)
            .check(state, second.as_ref())
            .map_err(|error| error.to_string())?;
        if state.view.spec().drawing == Drawing::Tree {
            CausalTree::of_trace(state, scene.trace).map_err(|error| error.to_string())?;
        }
        if state.view.spec().drawing == Drawing::Table {
            PatchTable::of_trace(state, scene.trace).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn paths(state: &ViewState) -> impl Iterator<Item = &Path> {
    let second = state.second.as_ref().and_then(|second| second.trace.as_deref());
    state.trace.as_deref().into_iter().chain(second)
}

/// A target that is kept between moments, with the shot that was drawn into it.
struct Layer {
    target: Target,
    drawn: Option<Shot>,
}

/// Draws moments.
pub struct Painter {
    renderer: Renderer,
    /// The two frames of a cross-fade; made for the first one.
    layers: Option<[Layer; 2]>,
    size: [u32; 2],
    theme: Theme,
    band: Band,
    /// The captions that the band was laid out for.
    words: Vec<String>,
    /// Width / height of the pictures that the band was laid out for.
    aspect: f32,
    captions: Captions,
}

/// Place of the captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captions {
    /// Beside the film, as subtitles.
    Beside,
    /// Below the figures of a film.
    Film,
    /// Below the figures on a stage: larger.
    Stage,
}

impl Captions {
    /// The band that fits all captions of a walkthrough.
    /// `aspect` is width / height of the pictures.
    fn band(self, size: [u32; 2], walkthrough: &Walkthrough, aspect: f32) -> Band {
        let said = walkthrough.steps.iter().filter(|_| self != Self::Beside);
        let said = said.map(|step| caption_runs(&step.caption));
        match self {
            Self::Stage => Band::of_slides(size, STAGE_UNITS, said, aspect),
            Self::Film | Self::Beside => Band::new(size, FILM_UNITS, said),
        }
    }
}

/// A view as it is drawn on a slide: without the line below the figure.
fn slide_of(state: &ViewState) -> ViewState {
    let mut slide = state.clone();
    slide.caption.show = false;
    slide
}

fn words_of(walkthrough: &Walkthrough) -> Vec<String> {
    walkthrough.steps.iter().map(|step| step.caption.clone()).collect()
}

fn theme_of(walkthrough: &Walkthrough) -> Theme {
    walkthrough.steps.first().map(|step| step.state.theme).unwrap_or_default()
}

impl Painter {
    /// For frames of one size.
    ///
    /// # Errors
    /// If a pass cannot be built on the device.
    pub fn new(
        gpu: &Arc<Gpu>,
        size: [u32; 2],
        walkthrough: &Walkthrough,
        captions: Captions,
    ) -> Result<Self, GpuError> {
        Ok(Self {
            renderer: Renderer::new(Arc::clone(gpu), RendererOptions::offscreen())?,
            layers: None,
            size,
            theme: theme_of(walkthrough),
            band: captions.band(size, walkthrough, 1.0),
            aspect: 1.0,
            words: words_of(walkthrough),
            captions,
        })
    }

    /// As [`Renderer::missing_glyphs`].
    pub fn missing_glyphs(&self) -> Option<String> {
        self.renderer.missing_glyphs()
    }

    /// Rectangle of the data of the last view on the target, without legend and axes.
    pub fn content(&self) -> Option<PixelRect> {
        self.renderer.figure().map(Figure::visible)
    }

    /// The layout of the last view.
    pub fn figure(&self) -> Option<&Figure> {
        self.renderer.figure()
    }

    /// Adapts to frames of another size, or to a walkthrough that was edited. Returns whether earlier pictures are
    /// out of date.
    pub fn follow(
        &mut self,
        size: [u32; 2],
        walkthrough: &Walkthrough,
        traces: &OpenTraces,
    ) -> bool {
        let theme = theme_of(walkthrough);
        let aspect = match self.captions {
            Captions::Stage => traces.aspect(walkthrough),
            Captions::Film | Captions::Beside => 1.0,
        };
        let same = (size, theme, aspect) == (self.size, self.theme, self.aspect);
        // Line breaks are computed again only for changed captions: this runs in every frame.
        let words = walkthrough.steps.iter().map(|step| &step.caption);
        if same && words.eq(&self.words) {
            return false;
        }
        let band = self.captions.band(size, walkthrough, aspect);
        self.words = words_of(walkthrough);
        self.aspect = aspect;
        if same && band == self.band {
            return false;
        }
        (self.size, self.theme, self.band) = (size, theme, band);
        self.layers = None;
        true
    }

    /// Draws a moment onto a target of the painter's size.
    ///
    /// # Errors
    /// If a state does not fit its trace, or the device fails.
    pub fn paint(
        &mut self,
        moment: &Moment,
        traces: &OpenTraces,
        target: &Target,
    ) -> Result<(), GpuError> {
        let mut dress = self.dress(&moment.said);
        match &moment.shown {
            MomentContent::One(shot) => {
                dress.is_passing = moment.is_passing;
                self.shot(shot, traces, &dress, target)
            }
            MomentContent::Two { from, to, mix } => {
                let mut layers = match self.layers.take() {
                    Some(layers) => layers,
                    None => [self.layer()?, self.layer()?],
                };
                // The second frame of a cross-fade is often the first one of the next.
                if layers[1].drawn.as_ref() == Some(from) {
                    layers.swap(0, 1);
                }
                let silent = self.framed(self.band.space());
                for (layer, shot) in layers.iter_mut().zip([from, to]) {
                    if layer.drawn.as_ref() != Some(shot) {
                        layer.drawn = None;
                        self.shot(shot, traces, &silent, &layer.target)?;
                        layer.drawn = Some(shot.clone());
                    }
                }
                let both = [&layers[0].target, &layers[1].target];
                let faded = self.renderer.cross_fade(both, *mix as f32, &dress, self.theme, target);
                self.layers = Some(layers);
                faded.map(|_| ())
            }
        }
    }

    fn layer(&self) -> Result<Layer, GpuError> {
        Ok(Layer { target: Target::offscreen(self.renderer.gpu(), self.size)?, drawn: None })
    }

    fn dress(&self, said: &Said) -> Annotations {
        if self.captions == Captions::Beside {
            return Annotations::default();
        }
        let runs = caption_runs(&said.caption);
        self.framed(self.band.dress(&runs, said.strength, self.theme.palette()))
    }

    fn framed(&self, dress: Annotations) -> Annotations {
        Annotations { is_slide: self.captions == Captions::Stage, ..dress }
    }

    fn shot(
        &mut self,
        shot: &Shot,
        traces: &OpenTraces,
        dress: &Annotations,
        target: &Target,
    ) -> Result<(), GpuError> {
        match shot {
            Shot::Card(words) => {
                let palette = self.theme.palette();
                let mut card = card(target.size(), &words.text, &words.subtitle, palette);
                card.labels.extend_from_slice(&dress.labels);
                self.renderer.card(&card, self.theme, target).map(|_| ())
            }
            Shot::Blank => self.renderer.card(dress, self.theme, target).map(|_| ()),
            Shot::View(state) => {
                let slide;
                let state = if self.captions == Captions::Stage {
                    // The small line below the figure cannot be read from afar; the caption says what is shown.
                    slide = slide_of(state);
                    &slide
                } else {
                    state
                };
                let scene = traces.scene(state).ok_or_else(|| GpuError::Missing {
                    reason: "one of its traces is not open".into(),
                })?;
                self.renderer.dressed_frame(&scene, dress, target).map(|_| ())
            }
        }
    }
}
