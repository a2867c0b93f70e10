//! The program as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod captured;
mod captured_commands;
mod causal;
mod faults;
mod files;
#[cfg(target_os = "linux")]
mod installed;
#[cfg(unix)]
mod interrupt;
mod logging;
mod masks;
mod patch;
mod program;
mod record;
#[cfg(target_os = "linux")]
mod remote;
mod render;
mod report;
mod score;
#[cfg(unix)]
mod ssh;
mod support;
mod table;
#[path = "../shared/table_damage.rs"]
mod table_damage;
#[cfg(target_os = "linux")]
#[path = "../shared/trap_library.rs"]
mod trap_library;
mod untrusted;
mod what_if;
