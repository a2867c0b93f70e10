//! Renders templates in this process.

use crate::job;
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::io::Write;

/// Limit on the steps of a template: thousands of times the usual number.
const FUEL: u64 = 2_000_000;
/// A prompt of a megabyte is longer than the context of any model.
const MAX_RENDERED_BYTES: usize = 1 << 20;
/// Deeply nested values are printed and dropped by recursion.
const STACK_BYTES: usize = 64 << 20;

/// A template and its variables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Jinja.
    pub template: String,
    /// The variables of the template, one entry for each rendering.
    pub contexts: Vec<serde_json::Value>,
}

/// Renders every context of a job.
///
/// # Errors
/// The template engine's message.
pub fn render(job: &Job) -> Result<Vec<String>, String> {
    let run = || {
        let render = || job.contexts.iter().map(|context| render_one(&job.template, context));
        render().collect::<Result<Vec<String>, Error>>().map_err(|error| explain(&error))
    };
    let failed = |reason: String| format!("the template engine failed ({reason})");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("template".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || job::contain(run));
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        match thread.join() {
            Ok(Ok(rendered)) => rendered,
            Ok(Err(panic)) => Err(failed(panic)),
            Err(payload) => Err(failed(job::message_of(&*payload))),
        }
    })
}

fn render_one(template: &str, context: &serde_json::Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_syntax(
        minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?,
    );
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    let mut out = Capped { bytes: Vec::new() };
    environment
        .template_from_str(template)?
        .render_captured_to(minijinja::value::Serde(context), &mut out)?;
    String::from_utf8(out.bytes)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// A buffer with a size limit far above any usual prompt.
struct Capped {
    bytes: Vec<u8>,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_RENDERED_BYTES {
            return Err(std::io::Error::other("its output is longer than a megabyte"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The message of a template error with its causes.
fn explain(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("it needs more than {FUEL} steps");
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
