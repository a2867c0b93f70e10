//! Device resources that all passes share, and limits for memory and uploads.

use super::context::{Context, Ring};
use super::pages::{PagePool, default_budget};
use super::pictures::Pictures;
use super::timing::Timer;
use super::{Gpu, GpuError};
use std::sync::Arc;

/// Limits for memory and uploads of a renderer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RendererOptions {
    /// Bytes of the page pool; `None` takes a share that fits the kind of adapter.
    pub pool_bytes: Option<u64>,
    /// Bytes of pages that a frame may upload before it shows the old map once more; `None` always
    /// completes the frame.
    pub upload_bytes_per_frame: Option<u64>,
    /// Fetch the next page in the direction of scrubbing.
    pub prefetch: bool,
    /// Keep the place of the picture while layers, heads and tokens change, whatever the length of the caption.
    pub is_steady: bool,
}

impl RendererOptions {
    /// For a window: a frame never waits for more than a few pages.
    pub const fn interactive() -> Self {
        Self {
            pool_bytes: None,
            upload_bytes_per_frame: Some(8 << 20),
            prefetch: true,
            is_steady: true,
        }
    }

    /// For figures and videos: every frame is complete.
    pub const fn offscreen() -> Self {
        Self { pool_bytes: None, upload_bytes_per_frame: None, prefetch: false, is_steady: false }
    }
}

/// Resources that all passes share: uniforms, pages, pictures, timestamps.
#[derive(Debug)]
pub(super) struct Resources {
    pub gpu: Arc<Gpu>,
    pub options: RendererOptions,
    pub context: Context,
    pub ring: Ring,
    pub timer: Timer,
    pub pool: PagePool,
    pub pictures: Pictures,
}

impl Resources {
    pub fn new(gpu: Arc<Gpu>, options: RendererOptions) -> Result<Self, GpuError> {
        let budget = options.pool_bytes.unwrap_or_else(|| default_budget(&gpu));
        Ok(Self {
            context: Context::new(Arc::clone(&gpu))?,
            ring: Ring::new(&gpu)?,
            timer: Timer::new(&gpu)?,
            pool: PagePool::new(Arc::clone(&gpu), budget),
            pictures: Pictures::default(),
            gpu,
            options,
        })
    }
}
