//! Copies of frames to memory, several at once.
//!
//! The copy of a frame starts right after drawing and is awaited only when other copies are under way, so that device
//! and encoder work at the same time. The receiver reads the pixels in the mapped buffer; when it drops them, the
//! buffer is used again. The number of buffers limits the memory, and makes the renderer wait if the encoder is slower.

use super::{Gpu, GpuError, Target};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(50);

/// Read-back buffers that are used in turn.
#[derive(Debug)]
pub struct ReadRing {
    gpu: Arc<Gpu>,
    size: [u32; 2],
    stride: u32,
    free: Receiver<wgpu::Buffer>,
    give_back: Sender<wgpu::Buffer>,
}

/// A copy under way.
#[derive(Debug)]
pub struct Pending {
    gpu: Arc<Gpu>,
    size: [u32; 2],
    stride: u32,
    buffer: Option<wgpu::Buffer>,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
    give_back: Sender<wgpu::Buffer>,
}

/// Pixels in memory, RGBA, 8 bits sRGB.
#[derive(Debug)]
pub struct Pixels {
    size: [u32; 2],
    stride: u32,
    adapter: String,
    buffer: Option<wgpu::Buffer>,
    give_back: Sender<wgpu::Buffer>,
}

impl ReadRing {
    /// `count` buffers for frames of a size.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn new(gpu: &Arc<Gpu>, size: [u32; 2], count: usize) -> Result<Self, GpuError> {
        let stride = (size[0] * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let (give_back, free) = channel();
        for _ in 0..count.max(1) {
            let buffer = gpu.scoped("readback", |device| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("readback"),
                    size: u64::from(stride) * u64::from(size[1]),
                    usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                    mapped_at_creation: false,
                })
            })?;
            // The receiver is owned by this function and open.
            let _ = give_back.send(buffer);
        }
        Ok(Self { gpu: Arc::clone(gpu), size, stride, free, give_back })
    }

    /// Starts the copy of a frame, if a buffer is free within `patience`.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn start(&self, target: &Target, patience: Duration) -> Result<Option<Pending>, GpuError> {
        let (Some(texture), true) = (target.texture(), target.size() == self.size) else {
            return Err(failed(&self.gpu.info().name, "the frame has another size"));
        };
        let buffer = match self.free.recv_timeout(patience) {
            Ok(buffer) => buffer,
            Err(_) => return Ok(None),
        };
        let submission = self.gpu.scoped("readback", |device| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("readback"),
            });
            encoder.copy_texture_to_buffer(
                texture.as_image_copy(),
                wgpu::TexelCopyBufferInfo {
                    buffer: &buffer,
                    layout: wgpu::TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(self.stride),
                        rows_per_image: None,
                    },
                },
                texture.size(),
            );
            self.gpu.queue.submit([encoder.finish()])
        })?;
        let (send, mapped) = channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only if the copy was given up.
            let _ = send.send(result);
        });
        Ok(Some(Pending {
            gpu: Arc::clone(&self.gpu),
            size: self.size,
            stride: self.stride,
            buffer: Some(buffer),
            submission,
            mapped,
            give_back: self.give_back.clone(),
        }))
    }
}

impl Pending {
    /// Waits for the copy.
    ///
    /// # Errors
    /// If the device is lost or the copy fails.
    pub fn wait(mut self) -> Result<Pixels, GpuError> {
        let name = &self.gpu.info().name;
        let mapped = loop {
            self.gpu
                .device
                .poll(wgpu::PollType::Wait {
                    submission_index: Some(self.submission.clone()),
                    timeout: None,
                })
                .map_err(|error| failed(name, &error.to_string()))?;
            // Another thread that polls may be running our callback.
            match self.mapped.recv_timeout(POLL) {
                Ok(mapped) => break mapped,
                Err(RecvTimeoutError::Timeout) => self.gpu.check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.gpu.check()?;
                    return Err(failed(name, "the device dropped the copy"));
                }
            }
        };
        mapped.map_err(|error| failed(name, &error.to_string()))?;
        Ok(Pixels {
            size: self.size,
            stride: self.stride,
            adapter: name.clone(),
            buffer: self.buffer.take(),
            give_back: self.give_back.clone(),
        })
    }
}

impl Pixels {
    /// Width and height.
    pub const fn size(&self) -> [u32; 2] {
        self.size
    }

    /// Calls `read` with the bytes, and with the number of bytes from one row to the next.
    ///
    /// # Errors
    /// If the device was lost meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&[u8], usize) -> T) -> Result<T, GpuError> {
        let Some(buffer) = &self.buffer else { return Err(failed(&self.adapter, "no buffer")) };
        let view = buffer
            .get_mapped_range(..)
            .map_err(|error| failed(&self.adapter, &error.to_string()))?;
        Ok(read(&view, self.stride as usize))
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            buffer.unmap();
            // The ring may have been dropped already.
            let _ = self.give_back.send(buffer);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // A copy that was given up: its buffer is still being mapped and cannot be used again.
        drop(self.buffer.take());
    }
}

fn failed(adapter: &str, reason: &str) -> GpuError {
    GpuError::ReadBack { adapter: adapter.to_owned(), reason: reason.to_owned() }
}
