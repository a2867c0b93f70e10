//! Code that several commands share: flags, files, progress, output of results.

mod files;
mod interrupt;
mod memory;
mod output;
mod picture;
mod progress;
mod runtime;
mod show;
mod sinks;
mod site;
mod size;
mod trace_file;
mod usage;

pub(crate) use files::{check_writable, replace, with_trace_extension};
pub(crate) use interrupt::{
    cancel_on_interrupt, end_if_interrupted, listen_for_signals, until_interrupted,
};
pub(crate) use memory::MemoryFlag;
pub(crate) use output::{command_line, human_bytes, note, print_json};
pub(crate) use picture::{WHOLE_PICTURE, edited, read_picture};
pub(crate) use progress::{bar, progress_bar, show_progress};
pub(crate) use runtime::{RuntimeFlags, engine_options, load_engine};
pub(crate) use show::Show;
pub(crate) use sinks::{sink_json, sinks_text};
pub(crate) use site::SiteFlag;
pub(crate) use size::size;
pub(crate) use trace_file::{check_changeable, file_to_change, trace_file};
pub(crate) use usage::{UsageError, usage};
