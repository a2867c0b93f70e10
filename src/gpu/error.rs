//! Errors of the renderer. Each says what was being done and what to do about it.

use crate::view::ViewError;

/// Why something could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter fits.
    #[error(
        "no graphics adapter can be used: {reason}. Adapters found: {found}. Install a Vulkan driver for your GPU, or the software renderer (Debian and Ubuntu: mesa-vulkan-drivers), or leave out --adapter."
    )]
    NoAdapter {
        /// Reason why no adapter was chosen.
        reason: String,
        /// Names of the adapters that the system offers.
        found: String,
    },
    /// The adapter refused to open a device.
    #[error(
        "the adapter {adapter} could not be opened: {reason}. Update its driver, or choose another one with --adapter."
    )]
    Device {
        /// The adapter's name.
        adapter: String,
        /// Error text of the driver.
        reason: String,
    },
    /// The device is gone: driver reset, sleep, unplugged.
    #[error(
        "the adapter {adapter} stopped working: {reason}. The view is kept, and drawn again when \
        the device has been reopened."
    )]
    Lost {
        /// The adapter's name.
        adapter: String,
        /// Error text of the driver.
        reason: String,
    },
    /// A pass could not be built or run: a defect of vlmscope or of the driver.
    #[error(
        "the pass `{pass}` failed on {adapter}: {reason}. Please report this with the output of `vlmscope doctor`; another adapter may work (--adapter)."
    )]
    Pass {
        /// Name of the pass.
        pass: String,
        /// The adapter's name.
        adapter: String,
        /// Error text of the driver or the validation.
        reason: String,
    },
    /// The adapter's memory is full.
    #[error(
        "the memory of {adapter} is full in the pass `{pass}`: {reason}. Close other programs, or choose a smaller size."
    )]
    OutOfMemory {
        /// Name of the pass.
        pass: String,
        /// The adapter's name.
        adapter: String,
        /// Error text of the driver.
        reason: String,
    },
    /// Something is larger than the adapter can hold in one piece.
    #[error("{what} needs {needed}, but {adapter} allows {limit}. {advice}")]
    TooLarge {
        /// Name of the object that is too large.
        what: String,
        /// Its size, in bytes or pixels.
        needed: u64,
        /// The largest size that the adapter allows, in the same unit.
        limit: u64,
        /// The adapter's name.
        adapter: String,
        /// Remedy.
        advice: &'static str,
    },
    /// A picture of the trace cannot be shown.
    #[error("picture {picture} of the trace cannot be shown: {reason}. {advice}")]
    Picture {
        /// Index of the picture.
        picture: u32,
        /// Reason.
        reason: String,
        /// Remedy.
        advice: &'static str,
    },
    /// The trace lacks what the view needs.
    #[error("this view cannot be drawn from the trace: {reason}.")]
    Missing {
        /// Data that are missing, and the remedy.
        reason: String,
    },
    /// The trace's file was changed while it was drawn.
    #[error(transparent)]
    Trace(#[from] crate::trace::TraceError),
    /// A frame could not be copied back.
    #[error("the frame could not be read back from {adapter}: {reason}. Try a smaller size.")]
    ReadBack {
        /// The adapter's name.
        adapter: String,
        /// Error text of the driver.
        reason: String,
    },
    /// The view state does not fit the trace.
    #[error(transparent)]
    View(#[from] ViewError),
}
