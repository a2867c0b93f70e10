//! Options of a presentation.

use crate::gpu::GpuOptions;
use crate::record::OpenTraces;
use crate::view::timeline::Walkthrough;

/// The walkthrough to present, and the displays to use.
pub struct PresentOptions {
    /// The walkthrough.
    pub walkthrough: Walkthrough,
    /// Its traces, open.
    pub traces: OpenTraces,
    /// The stop to begin with: a card or step, counted from 0.
    pub first: usize,
    /// The display of the stage, counted from 0; `None` takes the last that is not the main one.
    pub display: Option<usize>,
    /// Steps follow each other, over and over.
    pub loops: bool,
    /// Whether the presenter has a window even where there is one display only.
    pub presenter: bool,
    /// The graphics adapter.
    pub gpu: GpuOptions,
}
