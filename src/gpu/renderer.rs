//! One frame: from a scene to pixels on a target.
//!
//! The window, `render`, the recorder and the tests call [`Renderer::frame`] and nothing else. What
//! a frame needs is compared with what is there, and only what differs runs again.

use super::context::{Context, Kept, Ring};
use super::frame::{Draw, Frame, fills};
use super::maps::{MapPasses, MapSlot, Texels};
use super::numbers::{Matrix, Shown, Tokens};
use super::pages::{PagePool, default_budget};
use super::passes::{composite, cross_fade, matrix, picture, rects, text, token_matrix, wall};
use super::pictures::Pictures;
use super::timing::Timer;
use super::{FrameStats, Gpu, GpuError, PoolStats, Scene, Target};
use crate::analysis::normalise::{RangeRule, Scaling};
use crate::trace::TraceId;
use crate::view::figure::annotations::Annotations;
use crate::view::figure::{ColorLimits, Content, Figure, Readout, caption};
use crate::view::{Blend, ColorMap, Mix, Theme, ViewKind, ViewState};
use std::sync::Arc;

/// How a renderer spends memory and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RendererOptions {
    /// Bytes of the page pool; `None` takes a share that fits the kind of adapter.
    pub pool_bytes: Option<u64>,
    /// Bytes of pages that a frame may upload before it shows the old map once more; `None` always
    /// completes the frame.
    pub upload_bytes_per_frame: Option<u64>,
    /// Fetch the next page in the direction of scrubbing.
    pub prefetch: bool,
}

impl RendererOptions {
    /// For a window: a frame never waits for more than a few pages.
    pub const fn interactive() -> Self {
        Self { pool_bytes: None, upload_bytes_per_frame: Some(8 << 20), prefetch: true }
    }

    /// For figures and videos: every frame is complete.
    pub const fn offscreen() -> Self {
        Self { pool_bytes: None, upload_bytes_per_frame: None, prefetch: false }
    }
}

/// Everything on the device that outlives a frame.
#[derive(Debug)]
pub struct Renderer {
    pub(super) gpu: Arc<Gpu>,
    pub(super) options: RendererOptions,
    pub(super) context: Context,
    pub(super) ring: Ring,
    pub(super) timer: Timer,
    pub(super) pool: PagePool,
    pub(super) pictures: Pictures,
    pub(super) map_passes: MapPasses,
    pub(super) first: MapSlot,
    pub(super) second: MapSlot,
    pub(super) picture: picture::Picture,
    pub(super) composite: composite::Composite,
    pub(super) wall: wall::Wall,
    pub(super) matrix: matrix::Matrix,
    pub(super) token_matrix: token_matrix::TokenMatrix,
    pub(super) rects: rects::Rects,
    pub(super) cross_fade: cross_fade::CrossFade,
    pub(super) text: text::Text,
    pub(super) instances: Instances,
    pub(super) shown: Shown,
    pub(super) shown_second: Shown,
    pub(super) head_numbers: Matrix,
    pub(super) tokens: Tokens,
    /// The row that was shown last, and the step towards it.
    pub(super) scrub: Option<(TraceId, u32, i64)>,
    pub(super) figure: Option<Figure>,
}

/// Instance buffers, one a pass.
#[derive(Debug)]
pub(super) struct Instances {
    pub picture: Kept,
    pub composite: Kept,
    pub wall: Kept,
    pub matrix: Kept,
    pub token_matrix: Kept,
    pub rects: Kept,
    pub cross_fade: Kept,
}

impl Instances {
    const fn new() -> Self {
        const VERTEX: wgpu::BufferUsages = wgpu::BufferUsages::VERTEX;
        Self {
            picture: Kept::new("picture", VERTEX),
            composite: Kept::new("composite", VERTEX),
            wall: Kept::new("wall", VERTEX),
            matrix: Kept::new("matrix", VERTEX),
            token_matrix: Kept::new("token_matrix", VERTEX),
            rects: Kept::new("rects", VERTEX),
            cross_fade: Kept::new("cross_fade", VERTEX),
        }
    }
}

impl Renderer {
    /// Says which characters of the labels so far no font has, and how to get one; `None` where all
    /// were drawn.
    pub fn missing_glyphs(&self) -> Option<String> {
        text::missing_glyphs(self.text.missing_characters())
    }

    /// Builds the passes that every view needs; the others are built on first use.
    ///
    /// # Errors
    /// If a pass cannot be built on this device.
    pub fn new(gpu: Arc<Gpu>, options: RendererOptions) -> Result<Self, GpuError> {
        gpu.check()?;
        let context = Context::new(Arc::clone(&gpu))?;
        let budget = options.pool_bytes.unwrap_or_else(|| default_budget(&gpu));
        Ok(Self {
            ring: Ring::new(&gpu)?,
            timer: Timer::new(&gpu)?,
            pool: PagePool::new(Arc::clone(&gpu), budget),
            pictures: Pictures::default(),
            map_passes: MapPasses::new(&gpu)?,
            first: MapSlot::new(),
            second: MapSlot::new(),
            picture: picture::Picture::new(&context)?,
            composite: composite::Composite::new(&context)?,
            wall: wall::Wall::new(&context)?,
            matrix: matrix::Matrix::new(&context)?,
            token_matrix: token_matrix::TokenMatrix::new(&context)?,
            rects: rects::Rects::default(),
            cross_fade: cross_fade::CrossFade::new(&context)?,
            text: text::Text::new(&gpu.device),
            instances: Instances::new(),
            shown: Shown::default(),
            shown_second: Shown::default(),
            head_numbers: Matrix::default(),
            tokens: Tokens::default(),
            scrub: None,
            figure: None,
            context,
            gpu,
            options,
        })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// What the page pool holds and did.
    pub fn pool(&self) -> PoolStats {
        self.pool.stats()
    }

    /// The layout of the last frame: where the stage, the content and its parts lie.
    pub fn figure(&self) -> Option<&Figure> {
        self.figure.as_ref()
    }

    /// Starts again on another device, after the old one was lost. The next frame uploads what it
    /// needs from the trace; the view is the caller's and stays.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn rebuild(&mut self, gpu: Arc<Gpu>) -> Result<(), GpuError> {
        *self = Self::new(gpu, self.options)?;
        Ok(())
    }

    /// Draws a frame. An empty target is left alone.
    ///
    /// # Errors
    /// If the state does not fit the trace, the device is lost, or a pass fails.
    pub fn frame(&mut self, scene: &Scene<'_>, target: &Target) -> Result<FrameStats, GpuError> {
        self.dressed_frame(scene, &Annotations::default(), target)
    }

    /// As [`Self::frame`], with a caption and the like: the figure leaves room for them.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn dressed_frame(
        &mut self,
        scene: &Scene<'_>,
        dress: &Annotations,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.gpu.check()?;
        if target.view().is_none() {
            return Ok(FrameStats::default());
        }
        let scene = &scene.with_pages();
        scene.check()?;
        let gpu = Arc::clone(&self.gpu);
        let drawn = gpu.scoped("frame", |_| self.draw(scene, dress, target)).flatten();
        let mut stats = match drawn {
            Ok(stats) => stats,
            Err(error) => {
                self.forget_unsubmitted();
                return Err(error);
            }
        };
        stats.times = self.timer.take(&gpu)?;
        Ok(stats)
    }

    /// Draws only the picture, where [`Self::frame`] would draw it: the yardstick of `bench`.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn bare_picture(
        &mut self,
        scene: &Scene<'_>,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.gpu.check()?;
        let gpu = Arc::clone(&self.gpu);
        gpu.scoped("frame", |_| {
            let content = Content::of(scene.state, scene.trace);
            let mut figure = lay_out(scene, target.size(), &content, Readout::default());
            figure.fills.clear();
            figure.labels.clear();
            figure.legend = None;
            let mut frame = Frame::begin(self, target);
            let draws = frame.bare_picture(scene, &figure)?;
            frame.finish(scene, target, &figure, draws)
        })?
    }

    /// Draws nothing but a dress, on the background: a card.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn card(
        &mut self,
        dress: &Annotations,
        theme: Theme,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.without_scene(dress, theme, target, |_| Ok(Vec::new()))
    }

    /// Cross-fades two frames of the target's size: (1 − mix) × from + mix × to in linear light,
    /// with a dress over both.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn cross_fade(
        &mut self,
        [from, to]: [&Target; 2],
        mix: f32,
        dress: &Annotations,
        theme: Theme,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        let Some(views) = from.view().zip(to.view()) else { return Ok(FrameStats::default()) };
        self.without_scene(dress, theme, target, |frame| {
            let pipeline = frame.cross_fade.pipeline(frame.context, frame.format)?;
            let group = frame.cross_fade.group(&frame.work.gpu.device, views);
            let [width, height] = target.size().map(|side| side as f32);
            let whole = cross_fade::Instance { rect: [0.0, 0.0, width, height], mix };
            let groups = vec![(group, None)];
            Ok(vec![frame.draw("cross_fade", pipeline, groups, &[whole])?])
        })
    }

    fn without_scene(
        &mut self,
        dress: &Annotations,
        theme: Theme,
        target: &Target,
        draws: impl FnOnce(&mut Frame<'_>) -> Result<Vec<Draw>, GpuError>,
    ) -> Result<FrameStats, GpuError> {
        self.gpu.check()?;
        if target.view().is_none() {
            return Ok(FrameStats::default());
        }
        let figure = Figure::of_dress(dress, target.size());
        let (palette, map) = (theme.palette(), ColorMap::default());
        let gpu = Arc::clone(&self.gpu);
        gpu.scoped("frame", |_| {
            let mut frame = Frame::begin(self, target);
            let draws = draws(&mut frame)?;
            let list = fills(&figure, palette, map).collect();
            frame.finish_with(target, &figure, draws, (0, list), (palette, map))
        })
        .flatten()
    }

    /// After a frame that failed: what it recorded never ran, so that nothing may count on it.
    fn forget_unsubmitted(&mut self) {
        self.first = MapSlot::new();
        self.second = MapSlot::new();
        self.ring.clear();
        self.pool.unpin();
    }

    fn draw(
        &mut self,
        scene: &Scene<'_>,
        dress: &Annotations,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.context.set_target(target.size());
        let readout = self.readout(scene)?;
        let content = self.content(scene);
        let [width, height] = target.size();
        let room = [width, height.saturating_sub(dress.reserved_px).max(1)];
        let nearer = dress.is_passing.then(|| nearer_alone(scene.state));
        let laid_out = Scene { state: nearer.as_ref().unwrap_or(scene.state), ..*scene };
        let said = if dress.is_passing { readout.of_first() } else { readout };
        let mut figure = lay_out(&laid_out, room, &content, said);
        figure.size = target.size();
        figure.fills.extend_from_slice(&dress.fills);
        figure.labels.extend_from_slice(&dress.labels);
        let mut frame = Frame::begin(self, target);
        frame.work.stats.range = readout.ends.one();
        frame.work.stats.ends = readout.ends;
        let draws = match scene.state.view {
            ViewKind::Overlay | ViewKind::Relevancy | ViewKind::Diff | ViewKind::Heads => {
                frame.maps(scene)?;
                frame.overlays(scene, &figure)?
            }
            ViewKind::Wall => {
                frame.maps(scene)?;
                frame.wall(scene, &figure)?
            }
            ViewKind::LayerHead => frame.matrix(scene, &figure)?,
            ViewKind::TokenMatrix => frame.token_matrix(scene, &figure)?,
        };
        let stats = frame.finish(scene, target, &figure, draws)?;
        self.figure = Some(figure);
        Ok(stats)
    }

    /// What the colours of the view stand for.
    fn readout(&mut self, scene: &Scene<'_>) -> Result<Readout, GpuError> {
        let scaling = scene.scaling();
        if !scene.has_maps() {
            let range = self.numbers_of_matrix(scene)?;
            return Ok(match scaling.rule {
                RangeRule::Fixed { low, high } => Some([f64::from(low), f64::from(high)]),
                _ => range,
            }
            .into());
        }
        let contours = scene.state.blend == Blend::Contours && scene.state.view.has_blend();
        if let (RangeRule::Fixed { low, high }, false) = (scaling.rule, contours) {
            // Nothing has to be looked up.
            self.shown.clear();
            return Ok(ColorLimits::One([f64::from(low), f64::from(high)]).into());
        }
        let first = scene.first()?;
        let other = scene.second_numbers()?;
        let is_difference = scene.is_difference();
        self.shown.update(&first, other.as_ref().filter(|_| is_difference))?;
        let ranges = self.shown.ranges(&scaling);
        let mut readout = Readout {
            ends: ColorLimits::of_each(&ranges),
            contours: [self.shown.contours().filter(|_| contours), None],
        };
        if let Some(other) = other.filter(|_| !is_difference) {
            self.shown_second.update(&other, None)?;
            let others = self.shown_second.ranges(&scaling);
            readout.contours[1] = self.shown_second.contours().filter(|_| contours);
            readout.ends = match (readout.ends, ColorLimits::of_each(&others)) {
                (first, second) if first == second => first,
                (ColorLimits::One(first), ColorLimits::One(second)) => {
                    ColorLimits::Two([first, second])
                }
                _ => ColorLimits::of_each(&[ranges.as_slice(), others.as_slice()].concat()),
            };
        }
        Ok(readout)
    }

    fn numbers_of_matrix(&mut self, scene: &Scene<'_>) -> Result<Option<[f64; 2]>, GpuError> {
        if scene.state.view == ViewKind::LayerHead {
            self.head_numbers.update(scene)?;
            return Ok(Some(self.head_numbers.range(&scene.scaling())));
        }
        self.tokens.gather(scene)?;
        Ok(Some(self.tokens.range(scene)))
    }

    /// What is laid out, with the numbers that are printed in it.
    fn content(&mut self, scene: &Scene<'_>) -> Content {
        let mut content = Content::of(scene.state, scene.trace);
        let own = Scaling { rule: RangeRule::PerMap, ..scene.scaling() };
        match &mut content {
            Content::Matrix { values, .. } => *values = Some(self.head_numbers.values().to_vec()),
            Content::Wall { ranges, .. } => *ranges = self.shown.ranges(&own),
            Content::Heads { tiles, .. } => {
                let ranges = self.shown.ranges(&own);
                for tile in tiles {
                    tile.range = ranges.get(tile.head as usize).copied();
                }
            }
            _ => {}
        }
        content
    }

    /// The values of the map that the last frame showed, for a hovered patch: index over all
    /// patches of the trace. Only views of one map have them.
    pub fn patch_value(&self, patch: usize) -> Option<f32> {
        self.shown.single(patch)
    }

    /// Reads the folded numbers back from the device: [planes, N], for tests and exports.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn read_planes(&self) -> Result<Option<Vec<f32>>, GpuError> {
        let Some((planes, _)) = self.first.buffers() else { return Ok(None) };
        let bytes = super::readback::read_buffer(&self.gpu, planes, 0, planes.size())?;
        Ok(Some(bytemuck::pod_collect_to_vec(&bytes)))
    }

    /// Reads the first texture of the atlas back: width × height in texels, and the numbers (0–1)
    /// that colours are looked up with, row by row. For tests.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn read_atlas(&self) -> Result<Option<Texels>, GpuError> {
        let tiles = self.first.tiles();
        tiles.first().map(|tile| tile.read(&self.gpu)).transpose()
    }

    /// Reads the ranges back: one pair a plane, the shared pair, two pairs of contour levels a plane.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn read_ranges(&self) -> Result<Option<Vec<[f32; 2]>>, GpuError> {
        let Some((_, ranges)) = self.first.buffers() else { return Ok(None) };
        let bytes = super::readback::read_buffer(&self.gpu, ranges, 0, ranges.size())?;
        Ok(Some(bytemuck::pod_collect_to_vec(&bytes)))
    }
}

/// A state on its way from one map to another, as if the first were there already.
fn nearer_alone(state: &ViewState) -> ViewState {
    let mut alone = state.clone();
    alone.second.take_if(|second| matches!(second.mix, Mix::CrossFade { .. }));
    alone
}

/// The layout of a frame.
pub(super) fn lay_out(
    scene: &Scene<'_>,
    size: [u32; 2],
    content: &Content,
    readout: Readout,
) -> Figure {
    let second = scene.second.map(|trace| trace.meta());
    let line = if scene.state.caption.show {
        caption(scene.state, scene.trace.meta(), second, readout.ends)
    } else {
        Vec::new()
    };
    Figure::layout(scene.state, size, content, &line, readout)
}
