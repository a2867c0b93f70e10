//! vlmscope: a native microscope for vision-language models.
//!
//! Data flows one way: picture + question → model → trace → GPU pages → reduced map →
//! composited frame → window, file or video. The modules below are in dependency order; ARCHITECTURE.md lists the
//! allowed dependencies, and `scripts/check_arrows.py` checks them.

pub mod analysis;
pub mod cli;
pub mod crash;
pub mod edit;
pub mod files;
pub mod gpu;
pub mod job;
pub mod logging;
pub mod model;
pub mod record;
pub mod settings;
pub mod table;
pub mod terminal;
pub mod trace;
pub mod ui;
pub mod view;
