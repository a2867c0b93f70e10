//! Timestamps around every pass, for `--trace-gpu`. An adapter without timestamps times nothing.

use super::{Gpu, GpuError, readback};
use std::cell::RefCell;

/// Time of a pass on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct PassTime {
    /// The pass.
    pub pass: &'static str,
    /// Seconds between its first and its last command.
    pub seconds: f64,
}

/// Passes that one frame can time.
const MOST_PASSES: u32 = 512;

/// Collects the times of one frame.
#[derive(Debug)]
pub(super) struct Timer {
    inner: Option<Inner>,
}

#[derive(Debug)]
struct Inner {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    passes: RefCell<Vec<&'static str>>,
}

impl Timer {
    pub fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        if !gpu.has_timestamps() {
            return Ok(Self { inner: None });
        }
        let inner = gpu.scoped("timing", |device| Inner {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timing"),
                ty: wgpu::QueryType::Timestamp,
                count: MOST_PASSES * 2,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timing"),
                size: u64::from(MOST_PASSES) * 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            passes: RefCell::default(),
        })?;
        Ok(Self { inner: Some(inner) })
    }

    fn next(&self, pass: &'static str) -> Option<(&wgpu::QuerySet, u32)> {
        let inner = self.inner.as_ref()?;
        let mut passes = inner.passes.borrow_mut();
        let at = passes.len() as u32;
        (at < MOST_PASSES).then(|| {
            passes.push(pass);
            (&inner.queries, at * 2)
        })
    }

    pub fn render(&self, pass: &'static str) -> Option<wgpu::RenderPassTimestampWrites<'_>> {
        self.next(pass).map(|(query_set, at)| wgpu::RenderPassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    pub fn compute(&self, pass: &'static str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        self.next(pass).map(|(query_set, at)| wgpu::ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    /// To be called at the end of the frame's commands.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Some(inner) = &self.inner {
            let count = inner.passes.borrow().len() as u32 * 2;
            if count > 0 {
                encoder.resolve_query_set(&inner.queries, 0..count, &inner.resolved, 0);
            }
        }
    }

    /// Waits for the frame and takes its times, in the order of its passes.
    ///
    /// # Errors
    /// If they cannot be read back.
    pub fn take(&self, gpu: &Gpu) -> Result<Vec<PassTime>, GpuError> {
        let Some(inner) = &self.inner else { return Ok(Vec::new()) };
        let passes = inner.passes.take();
        if passes.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = readback::read_buffer(gpu, &inner.resolved, 0, passes.len() as u64 * 16)?;
        let tick = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, &b| sum << 8 | u64::from(b));
        Ok(passes
            .into_iter()
            .zip(bytes.chunks_exact(16))
            .map(|(pass, pair)| {
                let ticks = number(&pair[8..]).saturating_sub(number(&pair[..8]));
                PassTime { pass, seconds: ticks as f64 * tick }
            })
            .collect())
    }
}
