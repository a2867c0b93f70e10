//! Chat templates: programs in Jinja that come with a bundle, run within limits.
//!
//! The template engine counts steps, but not the bytes of a string or the depth of a value, and a
//! comparison of nested lists is one step however long it takes. So the program renders in a
//! process of its own ([`process`]), whose memory and time are limited from outside the engine; a
//! library that uses this crate renders in its own process until it calls [`set_program`].

mod process;
mod render;

pub use process::{MEMORY_LIMIT_BYTES, serve, set_program};

use serde::{Deserialize, Serialize};

/// A template and what it is rendered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// Jinja.
    pub template: String,
    /// One rendering each: the variables of the template.
    pub contexts: Vec<serde_json::Value>,
}

/// Renders a template with each of the job's contexts.
///
/// # Errors
/// What the template engine said, or which limit was reached.
pub(super) fn render(job: &Job) -> Result<Vec<String>, String> {
    process::render(job)
}
