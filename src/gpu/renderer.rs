//! One frame: from a scene to pixels on a target.
//!
//! The window, `render`, the recorder and the tests call [`Renderer::frame`] and nothing else. A frame compares its
//! inputs with those of the last one; only passes whose inputs changed run again.

#[cfg(feature = "testing")]
use super::atlas::Texels;
use super::frame::{Frame, Maps, fills};
use super::maps::MapSlot;
use super::numbers::ComputedMaps;
use super::objects::add_names;
use super::passes::{NAMES, Passes, cross_fade, text};
use super::pipeline::Draw;
use super::resources::{RendererOptions, Resources};
use super::views::Strengths;
use super::{Beside, FrameStats, Gpu, GpuError, PoolStats, Scene, Target};
use crate::analysis::normalise::{RangeRule, Scaling};
use crate::logging::bug;
use crate::view::figure::annotations::Annotations;
use crate::view::figure::{ColorLimits, Content, Figure, Readout, caption, widest_caption};
use crate::view::{Blend, ColorMap, Drawing, Mix, Parts, PictureRule, Theme, ViewState};
use std::sync::Arc;

/// Everything on the device that outlives a frame.
#[derive(Debug)]
pub struct Renderer {
    resources: Resources,
    passes: Passes,
    maps: Maps,
    shown: ComputedMaps,
    shown_second: ComputedMaps,
    figure: Option<Figure>,
}

impl Renderer {
    /// The characters of the labels so far that no font has, with advice on fonts; `None` if all were drawn.
    pub fn missing_glyphs(&self) -> Option<String> {
        text::missing_glyphs(self.passes.text.missing_characters())
    }

    /// Builds the layouts of all passes; pipelines are built on first use.
    ///
    /// # Errors
    /// If a pass cannot be built on this device.
    pub fn new(gpu: Arc<Gpu>, options: RendererOptions) -> Result<Self, GpuError> {
        gpu.check()?;
        gpu.name_passes(NAMES);
        let resources = Resources::new(gpu, options)?;
        Ok(Self {
            passes: Passes::new(&resources.context)?,
            resources,
            maps: Maps::new(),
            shown: ComputedMaps::default(),
            shown_second: ComputedMaps::default(),
            figure: None,
        })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.resources.gpu
    }

    /// Size and counters of the page pool.
    pub fn pool(&self) -> PoolStats {
        self.resources.pool.stats()
    }

    /// The layout of the last frame: rectangles of the stage, the content and its parts.
    pub fn figure(&self) -> Option<&Figure> {
        self.figure.as_ref()
    }

    /// Starts again on another device, after the old one was lost. The next frame uploads its data from the trace; the
    /// caller keeps the view state.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn rebuild(&mut self, gpu: Arc<Gpu>) -> Result<(), GpuError> {
        *self = Self::new(gpu, self.resources.options)?;
        Ok(())
    }

    /// Draws a frame. An empty target is left alone.
    ///
    /// # Errors
    /// If the state does not fit the trace, the device is lost, or a pass fails.
    pub fn frame(&mut self, scene: &Scene<'_>, target: &Target) -> Result<FrameStats, GpuError> {
        self.dressed_frame(scene, &Annotations::default(), target)
    }

    /// As [`Self::frame`], with annotations such as a caption: the figure leaves space for them.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn dressed_frame(
        &mut self,
        scene: &Scene<'_>,
        dress: &Annotations,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.resources.gpu.check()?;
        if target.view().is_none() {
            return Ok(FrameStats::default());
        }
        let scene = &scene.with_pages();
        scene.check()?;
        let gpu = Arc::clone(&self.resources.gpu);
        let drawn = in_frame(&gpu, || self.draw(scene, dress, target));
        let mut stats = match drawn {
            Ok(stats) => stats,
            Err(error) => {
                self.forget_unsubmitted();
                return Err(error);
            }
        };
        stats.times = self.resources.timer.take(&gpu)?;
        Ok(stats)
    }

    /// Draws only the picture, at its place in [`Self::frame`]: the baseline of `bench`.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn bare_picture(
        &mut self,
        scene: &Scene<'_>,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.resources.gpu.check()?;
        let gpu = Arc::clone(&self.resources.gpu);
        in_frame(&gpu, || {
            let content = Content::new(scene.state, scene.trace);
            let mut figure =
                lay_out(scene, target.size(), &content, Readout::default(), FootRoom::Own);
            figure.fills.clear();
            figure.labels.clear();
            figure.legend = None;
            let mut frame = self.begin(target);
            let draws = frame.bare_picture(scene, &figure)?;
            frame.finish(scene, target, &figure, draws)
        })
    }

    /// Draws only annotations on the background: a card.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn card(
        &mut self,
        dress: &Annotations,
        theme: Theme,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        let figure = Figure::of_dress(dress, target.size());
        self.without_scene(&figure, ColorMap::default(), theme, target, |_| Ok(Vec::new()))
    }

    /// Draws a figure that has no trace: a chart. `map` colours what is coloured by a value.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn chart(
        &mut self,
        figure: &Figure,
        map: ColorMap,
        theme: Theme,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        self.without_scene(figure, map, theme, target, |frame| {
            frame.lines(figure, theme.palette(), map)
        })
    }

    /// Cross-fades two frames of the target's size: (1 − mix) × from + mix × to in linear light, with annotations over
    /// both.
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
        let Some(views) = from.view().zip(to.view()) else {
            bug!("a target of a cross-fade has no texture");
            return Ok(FrameStats::default());
        };
        let figure = Figure::of_dress(dress, target.size());
        self.without_scene(&figure, ColorMap::default(), theme, target, |frame| {
            let pass = &mut frame.passes.cross_fade;
            let groups = vec![(pass.group(&frame.work.gpu.device, views), None)];
            let [width, height] = target.size().map(|side| side as f32);
            let whole = cross_fade::Instance { rect: [0.0, 0.0, width, height], mix };
            Ok(vec![pass.quads.draw(frame.context, (frame.format, ()), groups, &[whole])?])
        })
    }

    fn begin(&mut self, target: &Target) -> Frame<'_> {
        Frame::begin(&mut self.resources, &mut self.passes, &mut self.maps, target)
    }

    fn without_scene(
        &mut self,
        figure: &Figure,
        map: ColorMap,
        theme: Theme,
        target: &Target,
        draws: impl FnOnce(&mut Frame<'_>) -> Result<Vec<Draw>, GpuError>,
    ) -> Result<FrameStats, GpuError> {
        self.resources.gpu.check()?;
        if target.view().is_none() {
            return Ok(FrameStats::default());
        }
        let palette = theme.palette();
        let gpu = Arc::clone(&self.resources.gpu);
        in_frame(&gpu, || {
            let mut frame = self.begin(target);
            let draws = draws(&mut frame)?;
            let list = fills(figure, palette, map).collect();
            frame.finish_with(target, figure, draws, (0, list), (palette, map))
        })
    }

    /// After a failed frame: its recorded commands never ran, so that cached state must not count them.
    fn forget_unsubmitted(&mut self) {
        self.maps.first = MapSlot::new();
        self.maps.second = MapSlot::new();
        self.resources.ring.clear();
        self.resources.pool.unpin();
    }

    fn draw(
        &mut self,
        scene: &Scene<'_>,
        dress: &Annotations,
        target: &Target,
    ) -> Result<FrameStats, GpuError> {
        let own = self.readout_of(scene)?;
        let readout = match scene.beside {
            None => own,
            Some(Beside::First(first)) => first.with_second(own),
            Some(Beside::Second(second)) => own.with_second(second),
        };
        let strengths = self.strengths(scene);
        let content = self.content(scene);
        let [width, height] = target.size();
        let room = [
            width.saturating_sub(dress.reserved_right_px).max(1),
            height.saturating_sub(dress.reserved_px).max(1),
        ];
        let nearer = dress.is_passing.then(|| nearer_alone(scene.state));
        let laid_out = Scene { state: nearer.as_ref().unwrap_or(scene.state), ..*scene };
        let said = if dress.is_passing { readout.of_first() } else { readout };
        let foot = match (dress.is_slide, self.resources.options.is_steady) {
            (true, _) => FootRoom::Slide,
            (false, true) => FootRoom::Widest,
            (false, false) => FootRoom::Own,
        };
        let mut figure = lay_out(&laid_out, room, &content, said, foot);
        figure.size = target.size();
        add_names(&laid_out, &mut figure);
        figure.fills.extend_from_slice(&dress.fills);
        figure.labels.extend_from_slice(&dress.labels);
        let mut frame = self.begin(target);
        frame.work.stats.range = own.ends.one();
        frame.work.stats.readout = readout;
        if scene.has_maps() {
            frame.update_maps(scene)?;
        }
        let draws = match scene.state.view.spec().drawing {
            Drawing::Overlays => frame.overlays(scene, &figure, &strengths)?,
            Drawing::Wall => frame.wall(scene, &figure, &strengths)?,
            Drawing::Matrix => frame.matrix(scene, &figure)?,
            Drawing::TokenMatrix => frame.token_matrix(scene, &figure)?,
            Drawing::Tree | Drawing::Table => frame.crops(scene, &figure)?,
        };
        let stats = frame.finish(scene, target, &figure, draws)?;
        self.figure = Some(figure);
        Ok(stats)
    }

    /// The numbers of the colour scale and the shares of a view, without drawing it.
    ///
    /// # Errors
    /// If the state does not fit the trace.
    pub fn readout(&mut self, scene: &Scene<'_>) -> Result<Readout, GpuError> {
        let scene = &scene.with_pages();
        scene.check()?;
        self.readout_of(scene)
    }

    /// The strength of the glow of each map, from the same sums that the caption names.
    fn strengths(&self, scene: &Scene<'_>) -> Strengths {
        let state = scene.state;
        if !scene.has_maps() || scene.is_difference() {
            return Strengths::default();
        }
        let of = |map, sums: &[f32]| -> Vec<f32> {
            sums.iter().map(|&sum| state.glow_strength(map, sum)).collect()
        };
        let second = state.shown_second().map(|(second, _)| &second.map);
        Strengths {
            first: of(&state.map, self.shown.sums()),
            second: second.map_or_else(Vec::new, |map| of(map, self.shown_second.sums())),
        }
    }

    fn readout_of(&mut self, scene: &Scene<'_>) -> Result<Readout, GpuError> {
        let scaling = scene.scaling();
        if scene.state.view.spec().drawing == Drawing::Tree {
            let causal = self.maps.causal.tree(scene).ok().map(|tree| tree.numbers());
            return Ok(Readout { causal, ..Readout::default() });
        }
        if scene.state.view.spec().drawing == Drawing::Table {
            let patching = self.maps.patching.table(scene).ok().map(|table| table.numbers());
            return Ok(Readout { patching, ..Readout::default() });
        }
        if !scene.has_maps() {
            let range = self.numbers_of_matrix(scene)?;
            return Ok(match scaling.rule {
                RangeRule::Fixed { low, high } => Some([f64::from(low), f64::from(high)]),
                _ => range,
            }
            .into());
        }
        let contours = scene.state.blend == Blend::Contours && scene.state.view.spec().over_picture;
        let sums = scene.state.view.spec().pictures == PictureRule::All;
        let first = scene.first()?;
        let of_one_map = first.planes() == 1;
        if let (RangeRule::Fixed { low, high }, false) =
            (scaling.rule, contours || sums || of_one_map)
        {
            // The limits are given, and a caption names no share of many maps: no numbers have to be read.
            self.shown.clear();
            return Ok(ColorLimits::One([f64::from(low), f64::from(high)]).into());
        }
        let other = scene.second_numbers()?;
        let is_difference = scene.is_difference();
        self.shown.update(&first, other.as_ref().filter(|_| is_difference))?;
        let ranges = self.shown.ranges(&scaling);
        let has_shares = scene.state.has_shares(&scene.state.map);
        let mut readout = Readout {
            outside: [self.shown.outside().filter(|_| has_shares), None],
            shares: [self.shown.sum().filter(|_| has_shares), None],
            ends: ColorLimits::of_each(&ranges),
            contours: [self.shown.contours().filter(|_| contours), None],
            causal: None,
            patching: None,
        };
        if let Some(other) = other.filter(|_| !is_difference) {
            self.shown_second.update(&other, None)?;
            let others = self.shown_second.ranges(&scaling);
            let second = scene.state.shown_second().map(|(second, _)| &second.map);
            let has_shares = second.is_some_and(|map| scene.state.has_shares(map));
            readout.contours[1] = self.shown_second.contours().filter(|_| contours);
            readout.shares[1] = self.shown_second.sum().filter(|_| has_shares);
            readout.outside[1] = self.shown_second.outside().filter(|_| has_shares);
            readout.ends = readout.ends.with_second(ColorLimits::of_each(&others));
        }
        Ok(readout)
    }

    fn numbers_of_matrix(&mut self, scene: &Scene<'_>) -> Result<Option<[f64; 2]>, GpuError> {
        if scene.state.view.spec().parts == Parts::LayersHeads {
            self.maps.head_numbers.update(scene)?;
            return Ok(Some(self.maps.head_numbers.range(&scene.scaling())));
        }
        self.maps.tokens.gather(scene)?;
        Ok(Some(self.maps.tokens.range(scene)))
    }

    /// The content to lay out, with the numbers that are printed in it.
    fn content(&mut self, scene: &Scene<'_>) -> Content {
        let mut content = Content::new(scene.state, scene.trace);
        let own = Scaling { rule: RangeRule::PerMap, ..scene.scaling() };
        match &mut content {
            Content::Matrix { values, .. } => {
                *values = Some(self.maps.head_numbers.values().to_vec())
            }
            Content::Wall { ranges, .. } => *ranges = self.shown.ranges(&own),
            Content::Heads { tiles, .. } => {
                let ranges = self.shown.ranges(&own);
                for tile in tiles {
                    tile.range = ranges.get(tile.head as usize).copied();
                }
            }
            Content::Pictures { tiles, .. } => {
                let mut rest = self.shown.values();
                for (tile, grid) in tiles.iter_mut().zip(&scene.shown().grids) {
                    let (own, others) = rest.split_at(grid.cells().min(rest.len()));
                    tile.sum = (!own.is_empty()).then(|| own.iter().sum());
                    rest = others;
                }
            }
            Content::Causal { tree, .. } => {
                let found = self.maps.causal.tree(scene).map(Box::new);
                *tree = found.map_err(|error| error.in_short());
            }
            Content::Patching { picture, lit, table } => {
                *table = self.maps.patching.table(scene).map(Box::new);
                if let Ok(table) = table
                    && table.has_patches(scene.trace.meta())
                {
                    *picture = scene.state.backdrop(scene.trace);
                    *lit = table.lit(scene.state, scene.trace);
                }
            }
            Content::Picture { .. } | Content::TokenMatrix { .. } | Content::Relevancy { .. } => {}
        }
        content
    }

    /// Reads the folded numbers back from the device: [planes, N], for tests and exports.
    ///
    /// # Errors
    /// If the copy fails.
    #[cfg(feature = "testing")]
    pub fn read_planes(&self) -> Result<Option<Vec<f32>>, GpuError> {
        let Some((planes, _)) = self.maps.first.buffers() else { return Ok(None) };
        let bytes = super::readback::read_buffer(&self.resources.gpu, planes, 0, planes.size())?;
        Ok(Some(bytemuck::pod_collect_to_vec(&bytes)))
    }

    /// Reads the cells of a density back: [planes, cells], for tests; `None` where each patch is a cell.
    ///
    /// # Errors
    /// If the copy fails.
    #[cfg(feature = "testing")]
    pub fn read_cells(&self) -> Result<Option<Vec<f32>>, GpuError> {
        let Some(cells) = self.maps.first.cells() else { return Ok(None) };
        let bytes = super::readback::read_buffer(&self.resources.gpu, cells, 0, cells.size())?;
        Ok(Some(bytemuck::pod_collect_to_vec(&bytes)))
    }

    /// Reads the first texture of the atlas back: width × height in texels, and the numbers (0–1)
    /// that colours are looked up with, row by row. For tests.
    ///
    /// # Errors
    /// If the copy fails.
    #[cfg(feature = "testing")]
    pub fn read_atlas(&self) -> Result<Option<Texels>, GpuError> {
        let tiles = self.maps.first.tiles();
        tiles.first().map(|tile| tile.read(&self.resources.gpu)).transpose()
    }

    /// Reads the ranges back: one pair a plane, the shared pair, two pairs of contour levels a plane.
    ///
    /// # Errors
    /// If the copy fails.
    #[cfg(feature = "testing")]
    pub fn read_ranges(&self) -> Result<Option<Vec<[f32; 2]>>, GpuError> {
        let Some((_, ranges)) = self.maps.first.buffers() else { return Ok(None) };
        let bytes = super::readback::read_buffer(&self.resources.gpu, ranges, 0, ranges.size())?;
        Ok(Some(bytemuck::pod_collect_to_vec(&bytes)))
    }
}

/// Runs the drawing of a frame, in an error scope of its own.
fn in_frame<T>(gpu: &Gpu, draw: impl FnOnce() -> Result<T, GpuError>) -> Result<T, GpuError> {
    gpu.scoped("frame", |_| draw()).flatten()
}

/// The state without the second map of a cross-fade: the layout of a transition belongs to the first map alone.
fn nearer_alone(state: &ViewState) -> ViewState {
    let mut alone = state.clone();
    alone.second.take_if(|second| matches!(second.mix, Mix::CrossFade { .. }));
    alone
}

/// The room below the picture of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FootRoom {
    /// For its own caption and legend.
    Own,
    /// Also for the widest caption of a similar selection.
    Widest,
    /// As on a slide.
    Slide,
}

/// The layout of a frame.
pub(super) fn lay_out(
    scene: &Scene<'_>,
    size: [u32; 2],
    content: &Content,
    readout: Readout,
    foot: FootRoom,
) -> Figure {
    let second = scene.second.map(|trace| trace.meta());
    let line = if scene.state.caption.show {
        caption(scene.state, scene.trace.meta(), second, readout)
    } else {
        Vec::new()
    };
    match foot {
        FootRoom::Slide => Figure::layout_of_slide(scene.state, size, content, &line, readout),
        FootRoom::Widest if !line.is_empty() => {
            let widest = widest_caption(scene.state, scene.trace.meta(), second, readout);
            Figure::layout_with_room(scene.state, size, content, [&line, &widest], readout)
        }
        FootRoom::Widest | FootRoom::Own => {
            Figure::layout(scene.state, size, content, &line, readout)
        }
    }
}
