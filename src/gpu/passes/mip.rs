//! Mip levels of a picture, so that it does not flicker when it is drawn smaller.

use super::super::context::{Context, group, layout, sampler, texture};
use super::super::shader::{Source, source};
use super::super::shared_pipelines::PipelineKey;
use super::super::{Gpu, GpuError};

/// `shaders/mip.wgsl`.
pub const SOURCE: Source = source!("mip");

/// Fills the levels of `picture` below the first.
pub(in crate::gpu) fn fill(context: &Context, picture: &wgpu::Texture) -> Result<(), GpuError> {
    let gpu = &context.gpu;
    let layout = gpu.scoped("mip", |device| {
        let stage = wgpu::ShaderStages::FRAGMENT;
        layout(device, "mip", &[(stage, texture(true)), (stage, sampler(true))])
    })?;
    let format = picture.format();
    let key = PipelineKey::new(SOURCE.name, "fs", Some(format), &[]);
    let pipeline = gpu.pipelines.drawing(key, || build(gpu, &layout, format))?;
    gpu.scoped("mip", |device| {
        let level = |level| {
            picture.create_view(&wgpu::TextureViewDescriptor {
                label: Some("mip"),
                base_mip_level: level,
                mip_level_count: Some(1),
                ..Default::default()
            })
        };
        let mut encoder =
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("mip") });
        for at in 1..picture.mip_level_count() {
            let above = level(at - 1);
            let resources = [
                wgpu::BindingResource::TextureView(&above),
                wgpu::BindingResource::Sampler(&context.linear),
            ];
            let bound = group(device, "mip", &layout, &resources);
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("mip"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &level(at),
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                ..Default::default()
            });
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bound, &[]);
            pass.draw(0..3, 0..1);
        }
        gpu.queue.submit([encoder.finish()]);
    })
}

fn build(
    gpu: &Gpu,
    layout: &wgpu::BindGroupLayout,
    format: wgpu::TextureFormat,
) -> Result<wgpu::RenderPipeline, GpuError> {
    let module = SOURCE.module(gpu)?;
    gpu.scoped("mip", |device| {
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("mip"),
            bind_group_layouts: &[Some(layout)],
            immediate_size: 0,
        });
        device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("mip"),
            layout: Some(&pipeline_layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vs"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fs"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        })
    })
}
