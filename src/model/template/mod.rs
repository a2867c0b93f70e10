//! Chat templates: programs in Jinja that come with a bundle, run within limits.
//!
//! The template engine counts steps, but not the bytes of a string or the depth of a value, and a comparison of nested
//! lists counts as one step, however long it takes. So the program renders in a separate process ([`process`]), whose
//! memory and time are limited from outside the engine. A library that uses this crate renders in its own process until
//! it calls [`set_program`].

mod process;
mod render;

pub(super) use process::render;
pub use process::{Answer, MEMORY_LIMIT_BYTES, answer, set_program, watch_time};
pub(super) use render::Job;
