//! Building blocks of passes: quads with their instances, and kernels.

use super::context::{CachedBuffer, Context, group, layout, parameters, storage, window};
use super::shader::Source;
use super::shared_pipelines::PipelineKey;
use super::{Gpu, GpuError};
use std::fmt;
use std::ops::Range;

/// A corner rectangle: x0, y0, x1, y1.
pub type Corners = [f32; 4];

/// Groups from number 1 on, each with its dynamic offset if it has one.
pub(super) type Groups = Vec<(wgpu::BindGroup, Option<u32>)>;

/// A draw call onto the target.
#[derive(Debug)]
pub(super) struct Draw {
    pub name: &'static str,
    pub pipeline: wgpu::RenderPipeline,
    pub groups: Groups,
    pub instances: Option<wgpu::Buffer>,
    pub range: Range<u32>,
    /// Whether the draw is cut to the stage.
    pub on_stage: bool,
}

/// Constants of a pass that draws quads.
#[derive(Debug)]
pub(super) struct QuadShape {
    pub source: Source,
    /// Byte size of an instance and its attributes.
    pub stride: usize,
    pub attributes: &'static [wgpu::VertexAttribute],
    pub blend: Option<wgpu::BlendState>,
}

/// Constants of a shader by name.
pub(super) type Constants = Vec<(&'static str, f64)>;

/// A pass that draws quads, one an instance: its instances and its pipelines, one for each format
/// of a target and mode.
pub(super) struct Quads<Mode = ()> {
    shape: QuadShape,
    layouts: Vec<wgpu::BindGroupLayout>,
    constants: fn(Mode) -> Constants,
    instances: CachedBuffer,
}

impl<Mode> fmt::Debug for Quads<Mode> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quads").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Quads {
    /// A pass whose shader has no constants.
    pub fn plain(shape: QuadShape, layouts: &[&wgpu::BindGroupLayout]) -> Self {
        Self::new(shape, layouts, |()| Vec::new())
    }
}

impl<Mode: Copy> Quads<Mode> {
    /// `layouts` are those of the groups from number 1 on; group 0 holds the frame's globals.
    pub fn new(
        shape: QuadShape,
        layouts: &[&wgpu::BindGroupLayout],
        constants: fn(Mode) -> Constants,
    ) -> Self {
        Self {
            instances: CachedBuffer::new(shape.source.name, wgpu::BufferUsages::VERTEX),
            layouts: layouts.iter().copied().cloned().collect(),
            constants,
            shape,
        }
    }

    /// Sets the instances of a frame; [`Self::part`] then draws some of them.
    pub fn set<T: bytemuck::Pod>(&mut self, gpu: &Gpu, instances: &[T]) -> Result<(), GpuError> {
        debug_assert_eq!(size_of::<T>(), self.shape.stride, "{}", self.shape.source.name);
        self.instances.set(gpu, instances).map(|_| ())
    }

    /// A draw of some of the instances, cut to the stage.
    pub fn part(
        &mut self,
        context: &Context,
        (format, mode): (wgpu::TextureFormat, Mode),
        groups: Groups,
        range: Range<u32>,
    ) -> Result<Draw, GpuError> {
        let (shape, layouts) = (&self.shape, &self.layouts);
        let constants = self.constants;
        let pipeline = drawing(context, shape, layouts, &constants(mode), format)?;
        let instances = self.instances.get().cloned();
        Ok(Draw { name: shape.source.name, pipeline, groups, instances, range, on_stage: true })
    }

    /// A draw of these instances, which are the only ones of the frame.
    pub fn draw<T: bytemuck::Pod>(
        &mut self,
        context: &Context,
        mode: (wgpu::TextureFormat, Mode),
        groups: Groups,
        instances: &[T],
    ) -> Result<Draw, GpuError> {
        self.set(&context.gpu, instances)?;
        self.part(context, mode, groups, 0..instances.len() as u32)
    }
}

/// Quads, one an instance, with group 0 = the frame's globals and `layouts` after it.
fn drawing(
    context: &Context,
    shape: &QuadShape,
    layouts: &[wgpu::BindGroupLayout],
    constants: &[(&'static str, f64)],
    format: wgpu::TextureFormat,
) -> Result<wgpu::RenderPipeline, GpuError> {
    let key = PipelineKey::new(shape.source.name, "fs", Some(format), constants);
    context.gpu.pipelines.drawing(key, || build_drawing(context, shape, layouts, constants, format))
}

fn build_drawing(
    context: &Context,
    shape: &QuadShape,
    layouts: &[wgpu::BindGroupLayout],
    constants: &[(&str, f64)],
    format: wgpu::TextureFormat,
) -> Result<wgpu::RenderPipeline, GpuError> {
    let name = shape.source.name;
    let module = shape.source.module(&context.gpu)?;
    let layouts: Vec<_> =
        std::iter::once(&context.globals_layout).chain(layouts).map(Some).collect();
    context.gpu.scoped(name, |device| {
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &layouts,
            immediate_size: 0,
        });
        let options = wgpu::PipelineCompilationOptions { constants, ..Default::default() };
        device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vs"),
                compilation_options: options.clone(),
                buffers: &[Some(wgpu::VertexBufferLayout {
                    array_stride: shape.stride as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: shape.attributes,
                })],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..Default::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fs"),
                compilation_options: options,
                targets: &[Some(wgpu::ColorTargetState {
                    format,
                    blend: shape.blend,
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            multiview_mask: None,
            cache: None,
        })
    })
}

/// A buffer that a compute pass reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Read at a dynamic offset.
    ReadAt,
    Write,
}

/// A compute pass: the layout of its group (number 1), and the entry points of its modes.
#[derive(Debug)]
pub(super) struct Kernels<Mode = ()> {
    source: Source,
    layout: wgpu::BindGroupLayout,
    /// Size of the parameters, which are binding 0.
    parameter_bytes: u64,
    /// Entry point and constants of a mode.
    entry: fn(Mode) -> (&'static str, Constants),
}

impl Kernels {
    /// A pass with one entry point and no constants.
    pub fn plain<Params>(
        context: &Context,
        source: Source,
        buffers: &[Access],
    ) -> Result<Self, GpuError> {
        Self::new::<Params>(context, source, buffers, |()| ("main", Vec::new()))
    }
}

impl<Mode> Kernels<Mode> {
    /// `Params` at a dynamic offset are binding 0, `buffers` the following ones.
    pub fn new<Params>(
        context: &Context,
        source: Source,
        buffers: &[Access],
        entry: fn(Mode) -> (&'static str, Constants),
    ) -> Result<Self, GpuError> {
        let buffers = buffers.iter().map(|access| match access {
            Access::Read => storage(true, false),
            Access::ReadAt => storage(true, true),
            Access::Write => storage(false, false),
        });
        let bindings: Vec<_> = std::iter::once(parameters::<Params>())
            .chain(buffers)
            .map(|binding| (wgpu::ShaderStages::COMPUTE, binding))
            .collect();
        let layout =
            context.gpu.scoped(source.name, |device| layout(device, source.name, &bindings))?;
        let parameter_bytes = size_of::<Params>() as u64;
        Ok(Self { source, layout, parameter_bytes, entry })
    }

    /// The pipeline of a mode; built on first use.
    pub fn pipeline(&self, gpu: &Gpu, mode: Mode) -> Result<wgpu::ComputePipeline, GpuError> {
        let (source, layout) = (self.source, &self.layout);
        let (entry, constants) = (self.entry)(mode);
        let key = PipelineKey::new(source.name, entry, None, &constants);
        gpu.pipelines.compute(key, || build_compute(gpu, source, entry, layout, &constants))
    }

    /// The group of the parameters' ring and these buffers.
    pub fn bind(
        &self,
        gpu: &Gpu,
        uniforms: &wgpu::Buffer,
        buffers: &[wgpu::BindingResource<'_>],
    ) -> wgpu::BindGroup {
        let resources: Vec<_> = std::iter::once(window(uniforms, self.parameter_bytes))
            .chain(buffers.iter().cloned())
            .collect();
        group(&gpu.device, self.source.name, &self.layout, &resources)
    }
}

/// Runs a kernel. `offsets`: of the parameters, then of each buffer that is read at an offset.
pub(super) fn dispatch(
    pass: &mut wgpu::ComputePass<'_>,
    pipeline: &wgpu::ComputePipeline,
    bound: &wgpu::BindGroup,
    offsets: &[u32],
    [x, y, z]: [u32; 3],
) {
    pass.set_pipeline(pipeline);
    pass.set_bind_group(1, bound, offsets);
    pass.dispatch_workgroups(x, y, z);
}

fn build_compute(
    gpu: &Gpu,
    source: Source,
    entry: &str,
    layout: &wgpu::BindGroupLayout,
    constants: &[(&str, f64)],
) -> Result<wgpu::ComputePipeline, GpuError> {
    let module = source.module(gpu)?;
    gpu.scoped(source.name, |device| {
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(source.name),
            bind_group_layouts: &[None, Some(layout)],
            immediate_size: 0,
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(source.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..Default::default()
            },
            cache: None,
        })
    })
}
