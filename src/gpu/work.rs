//! The commands of one frame on their way to the device, and the statistics of what they did.

use super::Gpu;
use super::context::{Context, Ring};
use super::pages::PagePool;
use super::pictures::Pictures;
use super::resources::Resources;
use super::timing::Timer;
use crate::view::figure::Readout;

/// Counters and results of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameStats {
    /// Passes that ran, in order; a pass that ran for several pages or tiles stands once.
    pub passes: Vec<&'static str>,
    /// Pages uploaded because they were needed.
    pub page_uploads: u32,
    /// Pages uploaded ahead of need.
    pub prefetched: u32,
    /// Bytes of all pages uploaded.
    pub page_bytes: u64,
    /// Bytes of maps and matrices that were gathered on the CPU and uploaded.
    pub map_bytes: u64,
    /// Pages that still have to be folded; the frame shows the map before.
    pub pending_pages: u32,
    /// Pages that have not arrived from another machine; the frame shows the map before.
    pub waiting_pages: u32,
    /// Limits of the colour map, if one pair holds for the whole view.
    pub range: Option<[f64; 2]>,
    /// The numbers that legend and caption show.
    pub readout: Readout,
    /// Time on the device of every pass (only with timestamps).
    pub times: Vec<super::PassTime>,
}

impl FrameStats {
    /// Whether the frame shows the complete map of the state.
    pub const fn is_complete(&self) -> bool {
        self.pending_pages == 0
    }

    pub(super) fn ran(&mut self, pass: &'static str) {
        if self.passes.last() != Some(&pass) {
            self.passes.push(pass);
        }
    }
}

/// The commands of a frame that is being recorded.
pub(super) struct Work<'a> {
    pub gpu: &'a Gpu,
    pub ring: &'a mut Ring,
    pub pool: &'a mut PagePool,
    pub timer: &'a Timer,
    pub encoder: wgpu::CommandEncoder,
    pub stats: FrameStats,
    /// Bytes of pages that this frame may still upload; at least one page always may.
    pub upload_budget: u64,
}

impl<'a> Work<'a> {
    /// Begins the commands of a frame on these resources; also returns the other resources of its draws.
    pub fn begin(resources: &'a mut Resources) -> (Self, &'a Context, &'a mut Pictures) {
        let Resources { gpu, options, context, ring, timer, pool, pictures } = resources;
        let work = Self {
            gpu,
            ring,
            pool,
            timer,
            encoder: Self::new_encoder(gpu),
            stats: FrameStats::default(),
            upload_budget: options.upload_bytes_per_frame.unwrap_or(u64::MAX),
        };
        (work, context, pictures)
    }

    fn new_encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
        gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") })
    }

    /// Submits the recorded commands, so that pages and uniforms may be replaced.
    pub fn submit(&mut self) {
        self.ring.flush(&self.gpu.queue);
        let encoder = std::mem::replace(&mut self.encoder, Self::new_encoder(self.gpu));
        self.gpu.submit(encoder.finish());
        self.pool.unpin();
    }

    /// Makes space for `count` more uniform structs.
    pub fn reserve(&mut self, count: usize) {
        if !self.ring.has_room(count) {
            self.submit();
        }
    }
}
