//! A frame that is being recorded: what runs before the target is touched, then one pass onto it.
//!
//! Every draw is prepared (pipelines, buffers, groups) before the pass onto the target begins, so
//! that the target is cleared and drawn once, whatever the view.

use super::context::{Context, Kept, group, linear_color, lut_row, window};
use super::geometry::{OnPicture, grid, outline, span_on_picture};
use super::maps::{MapPasses, MapSlot, Numbers, PlanesKey, Tile, Work};
use super::numbers::{Matrix, Tokens};
use super::pages::PageKey;
use super::passes::{Corners, composite, matrix, picture, rects, text, token_matrix, wall};
use super::pictures::{Loaded, Pictures};
use super::plan::atlas_columns;
use super::renderer::{Instances, Renderer, RendererOptions};
use super::{FrameStats, GpuError, Scene, Target};
use crate::analysis::reduce::has_bos;
use crate::trace::TraceId;
use crate::view::figure::{Figure, PixelRect};
use crate::view::{Blend, Interpolation, Mix, PatchGrid, ViewKind};

/// Groups from number 1 on, each with its dynamic offset if it has one.
type Groups = Vec<(wgpu::BindGroup, Option<u32>)>;

/// A draw call onto the target.
pub(super) struct Draw {
    name: &'static str,
    pipeline: wgpu::RenderPipeline,
    groups: Groups,
    instances: Option<wgpu::Buffer>,
    range: std::ops::Range<u32>,
    /// Cut to the stage.
    on_stage: bool,
}

/// Outlines of patches, in design units.
const OUTLINE: f32 = 1.5;
/// Patches smaller than this have no hairlines; from `GRID_FULL` on they are at full strength.
const GRID_FROM: f32 = 20.0;
const GRID_FULL: f32 = 56.0;
const GRID_ALPHA: f32 = 0.16;
/// Contour lines, in design units.
const CONTOUR: f32 = 2.0;

/// A frame that is being recorded.
pub(super) struct Frame<'a> {
    format: wgpu::TextureFormat,
    context: &'a Context,
    pub work: Work<'a>,
    options: RendererOptions,
    pictures: &'a mut Pictures,
    map_passes: &'a mut MapPasses,
    first: &'a mut MapSlot,
    second: &'a mut MapSlot,
    picture: &'a mut picture::Picture,
    composite: &'a mut composite::Composite,
    wall: &'a mut wall::Wall,
    matrix: &'a mut matrix::Matrix,
    token_matrix: &'a mut token_matrix::TokenMatrix,
    rects: &'a mut rects::Rects,
    text: &'a mut text::Text,
    instances: &'a mut Instances,
    head_numbers: &'a Matrix,
    tokens: &'a mut Tokens,
    scrub: &'a mut Option<(TraceId, u32, i64)>,
}

impl<'a> Frame<'a> {
    pub fn begin(renderer: &'a mut Renderer, target: &Target) -> Self {
        renderer.context.set_target(target.size());
        let gpu = &renderer.gpu;
        Self {
            format: target.format(),
            context: &renderer.context,
            work: Work {
                gpu,
                ring: &mut renderer.ring,
                pool: &mut renderer.pool,
                timer: &renderer.timer,
                encoder: Work::new_encoder(gpu),
                stats: FrameStats::default(),
                upload_budget: renderer.options.upload_bytes_per_frame.unwrap_or(u64::MAX),
            },
            options: renderer.options,
            pictures: &mut renderer.pictures,
            map_passes: &mut renderer.map_passes,
            first: &mut renderer.first,
            second: &mut renderer.second,
            picture: &mut renderer.picture,
            composite: &mut renderer.composite,
            wall: &mut renderer.wall,
            matrix: &mut renderer.matrix,
            token_matrix: &mut renderer.token_matrix,
            rects: &mut renderer.rects,
            text: &mut renderer.text,
            instances: &mut renderer.instances,
            head_numbers: &renderer.head_numbers,
            tokens: &mut renderer.tokens,
            scrub: &mut renderer.scrub,
        }
    }

    /// Brings both maps up to date, as far as the frame's budget reaches.
    pub fn maps(&mut self, scene: &Scene<'_>) -> Result<(), GpuError> {
        let first = scene.first()?;
        let second = scene.second_planes()?;
        let minus = second.as_ref().filter(|_| scene.is_difference());
        let passes = &mut *self.map_passes;
        let mut complete = self.first.fold(&mut self.work, passes, scene.trace, &first, minus)?;
        if let Some(key) = &second {
            let trace = scene.second_trace();
            complete &= self.second.fold(&mut self.work, passes, trace, key, None)?;
            if complete && minus.is_some() {
                self.first.subtract(&mut self.work, passes, self.second)?;
            }
        }
        if complete {
            let atlas = scene.atlas(&first);
            self.first.draw(&mut self.work, passes, scene.trace, &atlas)?;
            if second.is_some() && minus.is_none() {
                self.second.draw(&mut self.work, passes, scene.second_trace(), &atlas)?;
            }
            self.prefetch(scene, &first)?;
        }
        Ok(())
    }

    /// Fetches the neighbour of a single row in the direction of the last step.
    fn prefetch(&mut self, scene: &Scene<'_>, key: &PlanesKey) -> Result<(), GpuError> {
        let Numbers::Attention(reduction) = &key.numbers else { return Ok(()) };
        let &[row] = reduction.rows.as_slice() else { return Ok(()) };
        let step = match *self.scrub {
            Some((trace, last, step)) if trace == key.trace && last == row => step,
            Some((trace, last, _)) if trace == key.trace => i64::from(row) - i64::from(last),
            _ => 0,
        };
        *self.scrub = Some((key.trace, row, step));
        let next = u32::try_from(i64::from(row) + step.signum());
        let (true, Ok(next)) = (self.options.prefetch && step != 0, next) else { return Ok(()) };
        let page = PageKey { trace: key.trace, row: next };
        let bytes = scene.trace.shape().page_bytes() as u64;
        let kept = scene.trace.rows().len() > next as usize;
        if kept
            && !self.work.pool.contains(page)
            && self.work.pool.capacity() > 2
            && self.work.upload_budget >= bytes
            && self.work.pool.upload(page, scene.trace)?.is_some()
        {
            self.work.stats.prefetched += 1;
            self.work.stats.page_bytes += bytes;
        }
        Ok(())
    }

    fn load(&mut self, scene: &Scene<'_>, second: bool) -> Result<Loaded, GpuError> {
        let trace = if second { scene.second_trace() } else { scene.trace };
        let choice = scene.state.picture;
        self.pictures.get(self.context, trace, choice.index, choice.form)
    }

    /// Where the whole picture lies: the content, or every tile of the heads view with its place
    /// in the atlas.
    fn places(scene: &Scene<'_>, figure: &Figure) -> Vec<(u32, PixelRect)> {
        if scene.state.view == ViewKind::Heads {
            figure.tiles.clone()
        } else {
            vec![(0, figure.content)]
        }
    }

    /// The picture alone, wherever the view shows it.
    pub fn bare_picture(
        &mut self,
        scene: &Scene<'_>,
        figure: &Figure,
    ) -> Result<Vec<Draw>, GpuError> {
        let loaded = self.load(scene, false)?;
        let places = Self::places(scene, figure);
        let minified = is_minified(&places, &loaded);
        let instances: Vec<_> = places
            .iter()
            .map(|(_, rect)| picture::Instance {
                rect: corners(rect),
                uv: OnPicture::WHOLE.corners(),
            })
            .collect();
        let pipeline = self.picture.pipeline(self.context, self.format, minified)?;
        let bound = group(
            &self.work.gpu.device,
            "picture",
            &self.picture.layout,
            &[wgpu::BindingResource::TextureView(&loaded.view)],
        );
        let draw = self.draw("picture", pipeline, vec![(bound, None)], &instances)?;
        Ok(vec![draw])
    }

    /// Picture and map: overlay, relevancy, difference, heads.
    pub fn overlays(&mut self, scene: &Scene<'_>, figure: &Figure) -> Result<Vec<Draw>, GpuError> {
        let state = scene.state;
        let tiles = self.first.tiles();
        let spans: Vec<OnPicture> = scene
            .trace
            .meta()
            .spans
            .iter()
            .map(|span| span_on_picture(scene.trace, state, span))
            .collect();
        let drawn = state.opacity > 0.0 && !tiles.is_empty();
        let covered =
            drawn && tiles.iter().any(|t| spans.get(t.span).is_some_and(OnPicture::covers_all));
        let mut draws = if covered { Vec::new() } else { self.bare_picture(scene, figure)? };
        if drawn {
            let places = Self::places(scene, figure);
            let style = self.composite_style(scene, figure);
            let mut instances = Vec::new();
            let mut parts = Vec::new();
            for (at, tile) in tiles.iter().enumerate() {
                let Some(span) = spans.get(tile.span) else { continue };
                let from = instances.len() as u32;
                instances.extend(quads(scene, &places, tile, span));
                if instances.len() as u32 > from {
                    let (pipeline, groups) = self.composite(scene, &places, (at, tile), style)?;
                    parts.push((from..instances.len() as u32, pipeline, groups));
                }
            }
            self.instances.composite.set(self.work.gpu, &instances)?;
            draws.extend(parts.into_iter().map(|(range, pipeline, groups)| Draw {
                name: "composite",
                pipeline,
                groups,
                instances: self.instances.composite.get().cloned(),
                range,
                on_stage: true,
            }));
        }
        Ok(draws)
    }

    fn composite_style(&mut self, scene: &Scene<'_>, figure: &Figure) -> u32 {
        let visible = figure.visible();
        let mix_at = match scene.mix() {
            Some(Mix::CrossFade { amount }) => amount as f32,
            Some(Mix::Swipe { position }) => visible.x + position as f32 * visible.width,
            Some(Mix::Difference) | None => 0.0,
        };
        self.work.reserve(1);
        self.work.ring.push(&composite::Style {
            opacity: scene.state.opacity as f32,
            mix_at,
            lut_row: lut_row(scene.colormap()),
            diverging: u32::from(scene.is_difference()),
            line_px: (CONTOUR * figure.scale).max(1.0),
            unused: 0.0,
            padding: [0.0; 2],
        })
    }

    /// Pipeline and groups of one tile of the atlas.
    fn composite(
        &mut self,
        scene: &Scene<'_>,
        places: &[(u32, PixelRect)],
        (at, tile): (usize, &Tile),
        style: u32,
    ) -> Result<(wgpu::RenderPipeline, Groups), GpuError> {
        let base = self.load(scene, false)?;
        let second_tiles = self.second.tiles();
        // Until the second map has arrived the first is shown alone.
        let second_tile = second_tiles.get(at).filter(|second| second.cells == tile.cells);
        let mixed = match (scene.mix(), second_tile) {
            (Some(Mix::CrossFade { .. }), Some(_)) => composite::SecondMap::CrossFade,
            (Some(Mix::Swipe { .. }), Some(_)) => composite::SecondMap::Swipe,
            _ => composite::SecondMap::None,
        };
        let over = match mixed {
            composite::SecondMap::None => base.clone(),
            _ => self.load(scene, true)?,
        };
        let mode = composite::Mode {
            blend: match scene.state.blend {
                Blend::Glow => 0,
                Blend::Flat => 1,
                Blend::Multiply => 2,
                Blend::Spotlight => 3,
                Blend::Contours => 4,
            },
            second: mixed,
            minified: is_minified(places, &base),
            nearest: scene.state.interpolation == Interpolation::Nearest,
        };
        let pipeline = self.composite.pipeline(self.context, self.format, mode)?;
        Ok((pipeline, self.composite_groups(style, [&base, &over], tile, second_tile)))
    }

    fn composite_groups(
        &self,
        style: u32,
        [base, over]: [&Loaded; 2],
        tile: &Tile,
        second: Option<&Tile>,
    ) -> Groups {
        let device = &self.work.gpu.device;
        let view = wgpu::BindingResource::TextureView;
        let style_group = group(
            device,
            "composite",
            &self.composite.style_layout,
            &[window(&self.work.ring.buffer, size_of::<composite::Style>() as u64)],
        );
        let pictures = group(
            device,
            "composite",
            &self.composite.picture_layout,
            &[view(&base.view), view(&over.view)],
        );
        let maps = group(
            device,
            "composite",
            &self.composite.map_layout,
            &[
                view(&tile.view),
                view(&second.unwrap_or(tile).view),
                tile.ranges.as_entire_binding(),
            ],
        );
        vec![(style_group, Some(style)), (pictures, None), (maps, None)]
    }

    /// Every layer and head.
    pub fn wall(&mut self, scene: &Scene<'_>, figure: &Figure) -> Result<Vec<Draw>, GpuError> {
        let shape = scene.trace.shape();
        let (layers, heads) = (shape.layers as u32, shape.heads as u32);
        let tiles = self.first.tiles();
        let mut instances = Vec::new();
        let mut parts = Vec::new();
        let mut densest = 1.0_f32;
        for tile in tiles.iter() {
            let from = instances.len() as u32;
            for layer in 0..layers {
                for head in 0..heads {
                    let place = figure.content.cell(layer, head, layers, heads);
                    let Some((uv, bounds)) = tile.cell([head, layer]) else { continue };
                    if !place.overlaps(&figure.stage) {
                        continue;
                    }
                    let texels = (tile.grid[0] * tile.texels) as f32;
                    densest = densest.max(texels / place.width.max(1.0));
                    instances.push(wall::Instance { rect: corners(&place), uv, bounds });
                }
            }
            parts.push((from..instances.len() as u32, tile.view.clone()));
        }
        if instances.is_empty() {
            return Ok(Vec::new());
        }
        // A little minification is left to the bilinear filter.
        let taps = (densest * 0.75).ceil() as u32;
        let taps = taps.next_power_of_two().clamp(1, wall::MOST_TAPS);
        let nearest = scene.state.interpolation == Interpolation::Nearest;
        let pipeline = self.wall.pipeline(self.context, self.format, taps, nearest)?;
        self.work.reserve(1);
        let style = self.work.ring.push(&wall::Style {
            lut_row: lut_row(scene.colormap()),
            unused: 0,
            padding: [0; 2],
        });
        let device = &self.work.gpu.device;
        self.instances.wall.set(self.work.gpu, &instances)?;
        let style_group = group(
            device,
            "wall",
            &self.wall.style_layout,
            &[window(&self.work.ring.buffer, size_of::<wall::Style>() as u64)],
        );
        let draws = parts.into_iter().map(|(range, view)| {
            let resources = [wgpu::BindingResource::TextureView(&view)];
            let atlas = group(device, "wall", &self.wall.atlas_layout, &resources);
            Draw {
                name: "wall",
                pipeline: pipeline.clone(),
                groups: vec![(style_group.clone(), Some(style)), (atlas, None)],
                instances: self.instances.wall.get().cloned(),
                range,
                on_stage: true,
            }
        });
        Ok(draws.collect())
    }

    /// One number a layer and head.
    pub fn matrix(&mut self, scene: &Scene<'_>, figure: &Figure) -> Result<Vec<Draw>, GpuError> {
        let shape = scene.trace.shape();
        let (layers, heads) = (shape.layers as u32, shape.heads as u32);
        let scaling = scene.scaling();
        let range = self.head_numbers.range(&scaling).map(|end| end as f32);
        let instances: Vec<matrix::Instance> = self
            .head_numbers
            .values()
            .iter()
            .enumerate()
            .map(|(at, &value)| {
                let (layer, head) = (at as u32 / heads, at as u32 % heads);
                matrix::Instance {
                    rect: corners(&figure.content.cell(layer, head, layers, heads)),
                    value: scaling.apply(value, range),
                }
            })
            .collect();
        let pipeline = self.matrix.pipeline(self.context, self.format)?;
        let palette = scene.state.theme.palette();
        self.work.reserve(1);
        let style = self.work.ring.push(&matrix::Style {
            lut_row: lut_row(scene.colormap()),
            unused: 0,
            padding: [0; 2],
            gap: linear_color(palette.hairline, 1.0),
        });
        let bound = group(
            &self.work.gpu.device,
            "matrix",
            &self.matrix.style_layout,
            &[window(&self.work.ring.buffer, size_of::<matrix::Style>() as u64)],
        );
        Ok(vec![self.draw("matrix", pipeline, vec![(bound, Some(style))], &instances)?])
    }

    /// Query × key.
    pub fn token_matrix(
        &mut self,
        scene: &Scene<'_>,
        figure: &Figure,
    ) -> Result<Vec<Draw>, GpuError> {
        let Some((view, pooled, bytes)) = self.tokens.texture(self.context, scene)? else {
            return Ok(Vec::new());
        };
        self.work.stats.map_bytes += bytes;
        let Some(gathered) = self.tokens.gathered() else { return Ok(Vec::new()) };
        let remove_bos = scene.state.remove_bos && has_bos(scene.trace);
        let scale = scene.trace.meta().attention_scale;
        let palette = scene.state.theme.palette();
        let range = self.tokens.range(scene).map(|end| end as f32 * scale);
        self.work.reserve(1);
        let style = self.work.ring.push(&token_matrix::Style {
            range,
            lut_row: lut_row(scene.colormap()),
            flags: u32::from(remove_bos),
            gap: linear_color(palette.hairline, 1.0),
            unseen: linear_color(palette.background, 1.0),
            first: [0.0, gathered.first_query as f32 / pooled as f32],
            pooled: pooled as f32,
            padding: 0.0,
        });
        let texels = |count: usize| count as f32 / pooled as f32;
        let instance = token_matrix::Instance {
            rect: corners(&figure.content),
            texels: [0.0, 0.0, texels(gathered.keys), texels(gathered.queries)],
        };
        let pipeline = self.token_matrix.pipeline(
            self.context,
            self.format,
            scene.scaling().is_logarithmic(),
        )?;
        let device = &self.work.gpu.device;
        let style_group = group(
            device,
            "token_matrix",
            &self.token_matrix.style_layout,
            &[window(&self.work.ring.buffer, size_of::<token_matrix::Style>() as u64)],
        );
        let weights = group(
            device,
            "token_matrix",
            &self.token_matrix.weights_layout,
            &[wgpu::BindingResource::TextureView(&view)],
        );
        let groups = vec![(style_group, Some(style)), (weights, None)];
        Ok(vec![self.draw("token_matrix", pipeline, groups, &[instance])?])
    }

    /// A draw of all `instances` in the buffer of its pass: to be called once a pass and frame.
    fn draw<T: bytemuck::Pod>(
        &mut self,
        name: &'static str,
        pipeline: wgpu::RenderPipeline,
        groups: Groups,
        instances: &[T],
    ) -> Result<Draw, GpuError> {
        let kept = self.instances.of(name);
        kept.set(self.work.gpu, instances)?;
        Ok(Draw {
            name,
            pipeline,
            groups,
            instances: kept.get().cloned(),
            range: 0..instances.len() as u32,
            on_stage: true,
        })
    }

    /// Hairlines between patches, outlines of the selection; then what stands around the stage.
    /// The number of those that are cut to the stage comes first.
    fn rects(scene: &Scene<'_>, figure: &Figure) -> (u32, Vec<rects::Instance>) {
        let state = scene.state;
        let palette = state.theme.palette();
        let mut list = Vec::new();
        let pictured =
            !matches!(state.view, ViewKind::Wall | ViewKind::LayerHead | ViewKind::TokenMatrix);
        if pictured {
            for (_, place) in Self::places(scene, figure) {
                hairlines(scene, figure, &place, &mut list);
                let width = (OUTLINE * figure.scale).max(1.0);
                let mut mark = |patches: &[_], color: [u8; 3]| {
                    let lines = outline(scene.trace, state, patches, &place, width);
                    let color = linear_color(color, 1.0);
                    list.extend(lines.into_iter().map(|l| rects::Instance::plain(l, color)));
                };
                mark(&state.selected, palette.accent);
                mark(state.hovered.as_slice(), palette.hover);
            }
        }
        let on_stage = list.len() as u32;
        let map = scene.colormap();
        for fill in &figure.fills {
            let color = palette.color(fill.ink, |at| super::colormap::color(map, at));
            let color = linear_color(color, fill.alpha);
            list.push(rects::Instance::plain(corners(&fill.rect), color));
        }
        if let Some(legend) = &figure.legend {
            list.push(rects::Instance {
                rect: corners(&legend.bar),
                color: [0.0, 0.0, 0.0, 1.0],
                ramp: [lut_row(map) as i32, 0],
            });
        }
        (on_stage, list)
    }

    /// Draws everything onto the target and hands the frame over.
    pub fn finish(
        mut self,
        scene: &Scene<'_>,
        target: &Target,
        figure: &Figure,
        mut draws: Vec<Draw>,
    ) -> Result<FrameStats, GpuError> {
        let Some((view, (text_view, text_format))) = target.view().zip(target.text_view()) else {
            return Ok(self.work.stats);
        };
        let (on_stage, list) = Self::rects(scene, figure);
        if !list.is_empty() {
            let pipeline = self.rects.pipeline(self.context, self.format)?;
            let whole = self.draw("rects", pipeline, Vec::new(), &list)?;
            let part = |range: std::ops::Range<u32>, on_stage| Draw {
                name: "rects",
                pipeline: whole.pipeline.clone(),
                groups: Vec::new(),
                instances: whole.instances.clone(),
                range,
                on_stage,
            };
            draws.extend([part(0..on_stage, true), part(on_stage..list.len() as u32, false)]);
        }
        let palette = scene.state.theme.palette();
        let gpu = self.work.gpu;
        let failed = |error: text::TextError| GpuError::Pass {
            pass: "text".into(),
            adapter: gpu.info().name.clone(),
            reason: error.to_string(),
        };
        self.text
            .prepare(&gpu.device, &gpu.queue, text_format, figure, palette, scene.colormap())
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
            self.text.draw(&mut pass).map_err(failed)?;
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
            // The background is drawn even where nothing else is.
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

/// Whether anything of the draw is on the target.
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

impl Instances {
    fn of(&mut self, name: &str) -> &mut Kept {
        match name {
            "picture" => &mut self.picture,
            "composite" => &mut self.composite,
            "wall" => &mut self.wall,
            "matrix" => &mut self.matrix,
            "token_matrix" => &mut self.token_matrix,
            _ => &mut self.rects,
        }
    }
}

/// Hairlines between patches; they fade in with the size of a patch.
fn hairlines(
    scene: &Scene<'_>,
    figure: &Figure,
    place: &PixelRect,
    list: &mut Vec<rects::Instance>,
) {
    let state = scene.state;
    if state.grid == PatchGrid::Off {
        return;
    }
    let palette = state.theme.palette();
    for at in scene.spans() {
        let span = &scene.trace.meta().spans[at];
        let width = figure.scale.max(1.0);
        let (lines, patch) = grid(scene.trace, state, span, place, width);
        let size = patch / figure.scale;
        let strength = match state.grid {
            PatchGrid::On => 1.0,
            _ => ((size - GRID_FROM) / (GRID_FULL - GRID_FROM)).clamp(0.0, 1.0),
        };
        if strength > 0.0 {
            let color = linear_color(palette.hover, GRID_ALPHA * strength);
            list.extend(lines.into_iter().map(|line| rects::Instance::plain(line, color)));
        }
    }
}

fn corners(rect: &PixelRect) -> Corners {
    [rect.x, rect.y, rect.right(), rect.bottom()]
}

/// One tile of the atlas over one span of the picture, at every place.
fn quads(
    scene: &Scene<'_>,
    places: &[(u32, PixelRect)],
    tile: &Tile,
    span: &OnPicture,
) -> Vec<composite::Instance> {
    let clipped = span.clipped();
    if clipped.is_empty() {
        return Vec::new();
    }
    let columns = match scene.state.view {
        ViewKind::Heads => atlas_columns(scene.trace.shape().heads as u32),
        _ => 1,
    };
    let inner = span.share(&clipped);
    let quad = |(plane, place): &(u32, PixelRect)| {
        let (cell, bounds) = tile.cell([plane % columns, plane / columns])?;
        let within = |low: f32, high: f32, share: f64| low + (high - low) * share as f32;
        Some(composite::Instance {
            rect: clipped.on(place),
            picture_uv: clipped.corners(),
            map_uv: [
                within(cell[0], cell[2], inner.x0),
                within(cell[1], cell[3], inner.y0),
                within(cell[0], cell[2], inner.x1),
                within(cell[1], cell[3], inner.y1),
            ],
            map_bounds: bounds,
        })
    };
    places.iter().filter_map(quad).collect()
}

/// Whether the picture is drawn smaller than it is.
fn is_minified(places: &[(u32, PixelRect)], picture: &Loaded) -> bool {
    let narrowest = places.iter().map(|(_, place)| place.width).fold(f32::INFINITY, f32::min);
    narrowest < picture.texture_width as f32 * 0.95
}

/// The pixels that the stage touches; `None` if there are none.
fn scissor(stage: &PixelRect, [width, height]: [u32; 2]) -> Option<[u32; 4]> {
    let clip = |value: f32, most: u32| (value.max(0.0) as u32).min(most);
    let (x0, y0) = (clip(stage.x.floor(), width), clip(stage.y.floor(), height));
    let (x1, y1) = (clip(stage.right().ceil(), width), clip(stage.bottom().ceil(), height));
    (x1 > x0 && y1 > y0).then(|| [x0, y0, x1 - x0, y1 - y0])
}
