//! A frame that is being recorded: compute passes and uploads first, then one pass onto the target.
//!
//! Every draw is prepared (pipelines, buffers, groups) before the pass onto the target begins, so
//! that the target is cleared and drawn once, whatever the view.

use super::context::{Context, linear_color, lut_row};
use super::geometry::{grid_lines, outline};
use super::maps::MapSlot;
use super::numbers::{Causal, Matrix, Patching, Tokens};
use super::objects::outlines;
use super::pages::PageKey;
use super::passes::{Passes, lines, rects, text};
use super::pictures::Pictures;
use super::pipeline::{Corners, Draw};
use super::places::places;
use super::resources::Resources;
use super::work::Work;
use super::{FrameStats, GpuError, Scene, Target};
use crate::trace::TraceId;
use crate::view::figure::{Figure, PixelRect, Stroke, ThemeColors, mixed};
use crate::view::{ColorMap, Numbers, PatchGrid, Reads, ShownGrid};

/// Patches smaller than this have no hairlines; from `GRID_FULL` on they are at full strength.
const GRID_FROM: f32 = 20.0;
const GRID_FULL: f32 = 56.0;
const GRID_ALPHA: f32 = 0.09;

/// Data of the shown view: both maps on the device and the numbers of the matrices.
#[derive(Debug)]
pub(super) struct Maps {
    pub first: MapSlot,
    pub second: MapSlot,
    pub head_numbers: Matrix,
    pub tokens: Tokens,
    pub causal: Causal,
    pub patching: Patching,
    /// The row that was shown last, and the step towards it.
    scrub: Option<(TraceId, u32, i64)>,
}

impl Maps {
    pub fn new() -> Self {
        Self {
            first: MapSlot::new(),
            second: MapSlot::new(),
            head_numbers: Matrix::default(),
            tokens: Tokens::default(),
            causal: Causal::default(),
            patching: Patching::default(),
            scrub: None,
        }
    }
}

/// A frame that is being recorded.
pub(super) struct Frame<'a> {
    pub format: wgpu::TextureFormat,
    pub context: &'a Context,
    pub pictures: &'a mut Pictures,
    pub work: Work<'a>,
    pub passes: &'a mut Passes,
    pub maps: &'a mut Maps,
    prefetch: bool,
}

impl<'a> Frame<'a> {
    pub fn begin(
        resources: &'a mut Resources,
        passes: &'a mut Passes,
        maps: &'a mut Maps,
        target: &Target,
    ) -> Self {
        resources.context.set_target(target.size());
        let prefetch = resources.options.prefetch;
        let (work, context, pictures) = Work::begin(resources);
        Self { format: target.format(), context, pictures, work, passes, maps, prefetch }
    }

    /// Brings both maps up to date, as far as the frame's budget reaches.
    pub fn update_maps(&mut self, scene: &Scene<'_>) -> Result<(), GpuError> {
        let first = scene.first()?;
        let second = scene.second_numbers()?;
        let minus = second.as_ref().filter(|_| scene.is_difference()).map(Numbers::key);
        let (passes, maps) = (&mut *self.passes, &mut *self.maps);
        let mut complete = maps.first.fold(&mut self.work, passes, &first, minus)?;
        if let Some(second) = &second {
            complete &= maps.second.fold(&mut self.work, passes, second, None)?;
            if complete && minus.is_some() {
                maps.first.subtract(&mut self.work, passes, &maps.second)?;
            }
        }
        if complete {
            let atlas = scene.atlas(&first);
            maps.first.draw(&mut self.work, passes, &atlas)?;
            if second.is_some() && minus.is_none() {
                maps.second.draw(&mut self.work, passes, &atlas)?;
            }
            self.prefetch(&first)?;
        }
        Ok(())
    }

    /// Fetches the neighbour of a single row in the direction of the last step.
    fn prefetch(&mut self, numbers: &Numbers<'_>) -> Result<(), GpuError> {
        let (trace, key) = (numbers.trace(), numbers.key());
        let Reads::Pages(reduction) = &key.reads else { return Ok(()) };
        let &[row] = reduction.rows.as_slice() else { return Ok(()) };
        let step = match self.maps.scrub {
            Some((of, last, step)) if of == key.trace && last == row => step,
            Some((of, last, _)) if of == key.trace => i64::from(row) - i64::from(last),
            _ => 0,
        };
        self.maps.scrub = Some((key.trace, row, step));
        let next = u32::try_from(i64::from(row) + step.signum());
        let (true, Ok(next)) = (self.prefetch && step != 0, next) else { return Ok(()) };
        if trace.has_holes() {
            // A neighbour that has not arrived is fetched.
            let _ = trace.page_with_maps(next as usize, &reduction.maps(trace.shape().heads));
            return Ok(());
        }
        let page = PageKey::whole(key.trace, next);
        let bytes = trace.shape().page_bytes() as u64;
        let kept = trace.rows().len() > next as usize;
        if kept
            && !self.work.pool.contains(page)
            && self.work.pool.capacity() > 2
            && self.work.upload_budget >= bytes
            && self.work.pool.upload(page, trace, None)?.is_some()
        {
            self.work.stats.prefetched += 1;
            self.work.stats.page_bytes += bytes;
        }
        Ok(())
    }

    /// Hairlines between patches and outlines of the selection, then the rectangles around the stage. Returns the
    /// number of those that are cut to the stage (they come first), and all of them.
    fn rects(scene: &Scene<'_>, figure: &Figure) -> (u32, Vec<rects::Instance>) {
        let state = scene.state;
        let palette = state.theme.palette();
        let mut list = Vec::new();
        if state.view.spec().over_picture {
            let shown = scene.shown();
            for place in places(scene, figure) {
                let Some(grid) = shown.grids.get(place.grid) else { continue };
                hairlines(scene, figure, grid, &place.rect, &mut list);
                let mut mark = |patches: &[_], color: [u8; 3]| {
                    for (width, color) in palette.outline(color, figure.scale) {
                        let lines = outline(scene.trace.meta(), grid, patches, &place.rect, width);
                        let color = linear_color(color, 1.0);
                        list.extend(lines.into_iter().map(|l| rects::Instance::plain(l, color)));
                    }
                };
                mark(&state.selected, palette.accent);
                mark(state.hovered.as_slice(), palette.hover);
            }
        }
        let on_stage = list.len() as u32;
        let map = scene.colormap();
        list.extend(fills(figure, palette, map));
        (on_stage, list)
    }

    /// Draws the lines of a figure.
    pub fn lines(
        &mut self,
        figure: &Figure,
        palette: ThemeColors,
        map: ColorMap,
    ) -> Result<Vec<Draw>, GpuError> {
        let lines = strokes(figure, palette, map);
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let quads = &mut self.passes.lines.quads;
        quads.set(self.work.gpu, &lines)?;
        let all = 0..lines.len() as u32;
        Ok(vec![quads.part(self.context, (self.format, ()), Vec::new(), all)?])
    }

    /// Draws everything onto the target and submits the frame.
    pub fn finish(
        self,
        scene: &Scene<'_>,
        target: &Target,
        figure: &Figure,
        mut draws: Vec<Draw>,
    ) -> Result<FrameStats, GpuError> {
        let rects = Self::rects(scene, figure);
        let look = (scene.state.theme.palette(), scene.colormap());
        let mut lines = strokes(figure, look.0, look.1);
        let below = lines.len() as u32;
        lines.extend(outlines(scene, figure));
        if !lines.is_empty() {
            let quads = &mut self.passes.lines.quads;
            quads.set(self.work.gpu, &lines)?;
            let mut part = |range| quads.part(self.context, (self.format, ()), Vec::new(), range);
            let all = lines.len() as u32;
            draws.insert(0, part(0..below)?);
            draws.push(part(below..all)?);
        }
        self.finish_with(target, figure, draws, rects, look)
    }

    /// As [`Self::finish`], without a scene: rectangles (those cut to the stage come first),
    /// colours and colour map are given.
    pub fn finish_with(
        mut self,
        target: &Target,
        figure: &Figure,
        mut draws: Vec<Draw>,
        (on_stage, list): (u32, Vec<rects::Instance>),
        (palette, map): (ThemeColors, ColorMap),
    ) -> Result<FrameStats, GpuError> {
        let Some((view, (text_view, text_format))) = target.view().zip(target.text_view()) else {
            return Ok(self.work.stats);
        };
        if !list.is_empty() {
            let quads = &mut self.passes.rects.quads;
            quads.set(self.work.gpu, &list)?;
            let mut part = |range, on_stage| -> Result<Draw, GpuError> {
                let draw = quads.part(self.context, (self.format, ()), Vec::new(), range)?;
                Ok(Draw { on_stage, ..draw })
            };
            draws.extend([part(0..on_stage, true)?, part(on_stage..list.len() as u32, false)?]);
        }
        let gpu = self.work.gpu;
        let failed = |error: text::TextError| GpuError::Pass {
            pass: "text".into(),
            adapter: gpu.info().name.clone(),
            reason: error.to_string(),
        };
        self.passes
            .text
            .prepare(&gpu.device, &gpu.queue, text_format, figure, palette, map)
            .map_err(failed)?;
        let background = linear_color(palette.background, 1.0).map(f64::from);
        self.encode(target, view, figure, &draws, background);
        if !figure.labels.is_empty() {
            let attachment = attachment(text_view, wgpu::LoadOp::Load);
            let mut pass = self.work.encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("text"),
                color_attachments: &[Some(attachment)],
                timestamp_writes: self.work.timer.render("text"),
                ..Default::default()
            });
            self.passes.text.draw(&mut pass).map_err(failed)?;
            self.work.stats.ran("text");
        }
        self.work.timer.resolve(&mut self.work.encoder);
        self.work.submit();
        Ok(self.work.stats)
    }
}

impl Frame<'_> {
    /// Draws onto the target in one pass; where passes are timed, each draw is a pass of its own.
    fn encode(
        &mut self,
        target: &Target,
        view: &wgpu::TextureView,
        figure: &Figure,
        draws: &[Draw],
        background: [f64; 4],
    ) {
        let draws: Vec<&Draw> = draws.iter().filter(|draw| !draw.range.is_empty()).collect();
        let timed = self.work.gpu.has_timestamps();
        let mut parts: Vec<&[&Draw]> =
            draws.chunks(if timed { 1 } else { draws.len().max(1) }).collect();
        if parts.is_empty() {
            // The background is drawn even if there is nothing else.
            parts.push(&[]);
        }
        let mut load = wgpu::LoadOp::Clear(color(background));
        for part in parts {
            let label = match part {
                [one] if timed => one.name,
                _ => "figure",
            };
            let mut pass = self.work.encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some(label),
                color_attachments: &[Some(attachment(view, load))],
                timestamp_writes: self.work.timer.render(label),
                ..Default::default()
            });
            load = wgpu::LoadOp::Load;
            for draw in part {
                if draw_one(&mut pass, self.context, draw, figure, target) {
                    self.work.stats.ran(draw.name);
                }
            }
        }
    }
}

const fn attachment(
    view: &wgpu::TextureView,
    load: wgpu::LoadOp<wgpu::Color>,
) -> wgpu::RenderPassColorAttachment<'_> {
    let ops = wgpu::Operations { load, store: wgpu::StoreOp::Store };
    wgpu::RenderPassColorAttachment { view, depth_slice: None, resolve_target: None, ops }
}

const fn color([r, g, b, a]: [f64; 4]) -> wgpu::Color {
    wgpu::Color { r, g, b, a }
}

/// Whether any part of the draw is on the target.
fn draw_one(
    pass: &mut wgpu::RenderPass<'_>,
    context: &Context,
    draw: &Draw,
    figure: &Figure,
    target: &Target,
) -> bool {
    let whole = [0, 0, target.size()[0], target.size()[1]];
    let part = if draw.on_stage { scissor(&figure.stage, target.size()) } else { Some(whole) };
    let Some([x, y, width, height]) = part else { return false };
    pass.push_debug_group(draw.name);
    pass.set_scissor_rect(x, y, width, height);
    pass.set_pipeline(&draw.pipeline);
    pass.set_bind_group(0, &context.globals_group, &[]);
    for (number, (group, offset)) in (1..).zip(&draw.groups) {
        pass.set_bind_group(number, group, offset.as_slice());
    }
    if let Some(instances) = &draw.instances {
        pass.set_vertex_buffer(0, instances.slice(..));
    }
    pass.draw(0..4, draw.range.clone());
    pass.pop_debug_group();
    true
}

/// The rectangles of a figure, and the ramp of its legend.
pub(super) fn fills(
    figure: &Figure,
    palette: ThemeColors,
    map: ColorMap,
) -> impl Iterator<Item = rects::Instance> {
    let plain = figure.fills.iter().map(move |fill| {
        let color = palette.color(fill.ink, |at| super::colormap::color(map, at));
        rects::Instance::plain(corners(&fill.rect), linear_color(color, fill.alpha))
    });
    plain.chain(figure.legend.iter().map(|legend| rects::Instance {
        rect: corners(&legend.bar),
        color: [0.0, 0.0, 0.0, 1.0],
        ramp: [lut_row(legend.map) as i32, 0],
    }))
}

/// The lines of a figure, opaque.
fn strokes(figure: &Figure, palette: ThemeColors, map: ColorMap) -> Vec<lines::Instance> {
    let line = |stroke: &Stroke| {
        let color = palette.color(stroke.ink, |at| super::colormap::color(map, at));
        let color = mixed(palette.background, color, f64::from(stroke.alpha));
        let ([x0, y0], [x1, y1]) = (stroke.from, stroke.to);
        lines::Instance {
            ends: [x0, y0, x1, y1],
            color: linear_color(color, 1.0),
            half_width: stroke.width / 2.0,
        }
    };
    figure.strokes.iter().map(line).collect()
}

/// Hairlines between patches; they fade in with the size of a patch.
fn hairlines(
    scene: &Scene<'_>,
    figure: &Figure,
    grid: &ShownGrid,
    place: &PixelRect,
    list: &mut Vec<rects::Instance>,
) {
    let state = scene.state;
    if state.grid == PatchGrid::Off {
        return;
    }
    let palette = state.theme.palette();
    let width = figure.scale.max(1.0);
    let (lines, cell) = grid_lines(scene.trace.meta(), grid, place, width);
    let size = cell / figure.scale;
    let strength = match state.grid {
        PatchGrid::On => 1.0,
        _ => ((size - GRID_FROM) / (GRID_FULL - GRID_FROM)).clamp(0.0, 1.0),
    };
    if strength > 0.0 {
        let color = linear_color(palette.hover, GRID_ALPHA * strength);
        list.extend(lines.into_iter().map(|line| rects::Instance::plain(line, color)));
    }
}

pub(super) fn corners(rect: &PixelRect) -> Corners {
    [rect.x, rect.y, rect.right(), rect.bottom()]
}

/// The pixels that the stage touches; `None` if there are none.
fn scissor(stage: &PixelRect, [width, height]: [u32; 2]) -> Option<[u32; 4]> {
    let clip = |value: f32, most: u32| (value.max(0.0) as u32).min(most);
    let (x0, y0) = (clip(stage.x.floor(), width), clip(stage.y.floor(), height));
    let (x1, y1) = (clip(stage.right().ceil(), width), clip(stage.bottom().ceil(), height));
    (x1 > x0 && y1 > y0).then(|| [x0, y0, x1 - x0, y1 - y0])
}
