//! The program as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod faults;
mod files;
mod logging;
mod program;
mod record;
mod render;
mod score;
mod untrusted;
mod what_if;
