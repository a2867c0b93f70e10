//! Traces, the engine and its methods, against fixtures from PyTorch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod causal;
#[path = "../shared/data_set.rs"]
mod data_set;
mod dataset_fuzz;
mod edit;
mod engine;
mod freed_memory;
mod methods;
mod parity;
mod patch_map;
mod patching;
mod relevancy;
mod remote;
#[cfg(unix)]
mod remote_checks;
mod rescore;
mod support;
mod trace_file;
mod trace_format_2;
mod trace_fuzz;
#[cfg(target_os = "linux")]
#[path = "../shared/trap_library.rs"]
mod trap_library;
mod untrusted;
mod what_if;
