//! The renderer: from pages of attention to pixels.
//!
//! The decision that shapes the rest: **scrubbing changes a uniform.** An uploaded page of attention holds every layer
//! and head of its query. A small compute pass chooses among them, and colours are looked up per output pixel, so that
//! a change of opacity or colour map runs one pass only.

mod atlas;
mod cells;
pub mod colormap;
mod context;
mod device;
mod error;
mod frame;
mod geometry;
mod maps;
mod numbers;
mod objects;
mod pages;
pub mod passes;
mod pictures;
mod pipeline;
mod places;
mod plan;
mod read_ring;
mod readback;
mod renderer;
mod resources;
pub mod shader;
mod shared_pipelines;
pub mod system_fonts;
mod target;
mod timing;
mod views;
mod work;

pub use cells::MatrixCells;
use context::Context;
pub use context::{Globals, linear_color, linear_from_srgb};
pub use device::{Gpu, GpuOptions, opened_adapter};
pub use error::GpuError;
pub use pages::PoolStats;
pub use plan::{Beside, Scene};
pub use read_ring::{Pending, Pixels, ReadRing};
pub use renderer::Renderer;
pub use resources::RendererOptions;
pub use target::{FORMAT, Target};
pub use timing::PassTime;
pub use work::FrameStats;
