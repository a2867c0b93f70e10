//! The renderer against its CPU twins and against what a picture of attention must look like.
//!
//! Everything runs on a device with WebGPU's default limits and no optional feature. Without an
//! adapter the tests fail: they must not pass by not running.
#![allow(clippy::type_complexity, reason = "tables of closures read best in place")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;
mod drawing;
mod figure_layout;
mod golden_figures;
#[cfg(target_os = "linux")]
mod memory;
mod robust;
mod selections;
mod shaders;
mod twins;
mod view_state;
