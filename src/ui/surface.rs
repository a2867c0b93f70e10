//! Configuration of a window's surface.

use crate::gpu::Gpu;
use anyhow::Context as _;
use winit::window::Window;

/// The configuration of a window's surface: bytes as egui blends them, at most one queued frame.
///
/// # Errors
/// If the adapter cannot draw to the window.
pub(super) fn configuration(
    gpu: &Gpu,
    surface: &wgpu::Surface<'_>,
    window: &Window,
) -> anyhow::Result<wgpu::SurfaceConfiguration> {
    let size = window.inner_size();
    let mut config = surface
        .get_default_config(&gpu.adapter, size.width.max(1), size.height.max(1))
        .context("the adapter cannot draw to this window; choose another with --adapter")?;
    // egui blends in gamma space: the surface must store the bytes as they are.
    let capabilities = surface.get_capabilities(&gpu.adapter);
    let plain = capabilities.formats.iter().copied().find(|format| {
        matches!(format, wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Rgba8Unorm)
    });
    config.format = plain.unwrap_or(config.format);
    // Copying the retained picture costs less than drawing it, where the surface allows it.
    config.usage |= capabilities.usages & wgpu::TextureUsages::COPY_DST;
    config.present_mode = wgpu::PresentMode::AutoVsync;
    config.desired_maximum_frame_latency = 1;
    Ok(config)
}
