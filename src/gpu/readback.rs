//! Copies from the device to memory. Every copy waits: callers are tests, `render` and the
//! recorder; the window never reads back.

use super::{Gpu, GpuError};
use std::{sync::mpsc, time::Duration};

/// Interval between checks for a lost device, while another thread may be the one to run the callback of a copy.
const CALLBACK_POLL: Duration = Duration::from_millis(50);

/// Rows of `stride` bytes of the base level.
pub(super) fn read_texture(
    gpu: &Gpu,
    texture: &wgpu::Texture,
    stride: u32,
) -> Result<Vec<u8>, GpuError> {
    let size = u64::from(stride) * u64::from(texture.height());
    let copy = |encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer| {
        encoder.copy_texture_to_buffer(
            texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: to,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(stride),
                    rows_per_image: None,
                },
            },
            texture.size(),
        );
    };
    read(gpu, size, copy)
}

/// A range of a buffer that has COPY_SRC.
pub(super) fn read_buffer(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    offset: u64,
    size: u64,
) -> Result<Vec<u8>, GpuError> {
    read(gpu, size, |encoder, to| encoder.copy_buffer_to_buffer(buffer, offset, to, 0, size))
}

fn read(
    gpu: &Gpu,
    size: u64,
    copy: impl FnOnce(&mut wgpu::CommandEncoder, &wgpu::Buffer),
) -> Result<Vec<u8>, GpuError> {
    let failed = |reason: String| GpuError::ReadBack { adapter: gpu.info().name.clone(), reason };
    if size > gpu.limits().max_buffer_size {
        return Err(failed(format!(
            "{size} bytes are more than a buffer may hold ({})",
            gpu.limits().max_buffer_size
        )));
    }
    gpu.check()?;
    let buffer = gpu.scoped("readback", |device| {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
        copy(&mut encoder, &buffer);
        gpu.queue.submit([encoder.finish()]);
        buffer
    })?;
    let (send, receive) = mpsc::channel();
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        // The receiver is gone only if this function returned early.
        let _ = send.send(result);
    });
    // Another thread that polls the same device may run our callback after our own poll has returned: wait for the
    // callback itself.
    let mapped = loop {
        gpu.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|error| failed(error.to_string()))?;
        match receive.recv_timeout(CALLBACK_POLL) {
            Ok(mapped) => break mapped,
            Err(mpsc::RecvTimeoutError::Timeout) => gpu.check()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                gpu.check()?;
                return Err(failed("the device dropped the copy".into()));
            }
        }
    };
    mapped.map_err(|error| failed(error.to_string()))?;
    let view = buffer.get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
    Ok(view.to_vec())
}
