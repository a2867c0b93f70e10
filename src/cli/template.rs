//! `vlmscope render-templates`: the process in which chat templates are rendered.
//!
//! Not for users: the program starts itself with this command. docs/security.md describes the limits of that process.

use super::memory_limit;
use crate::{model, terminal};
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

/// The command's name.
const COMMAND: &str = "render-templates";

/// Makes the model render its templates in a process of this program.
pub(super) fn use_own_process() {
    if let Some(program) = program() {
        model::set_template_program(program, COMMAND);
    }
}

/// Path of this program. On Linux it stays valid even if the file was replaced meanwhile.
fn program() -> Option<PathBuf> {
    let kept = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && kept.exists() {
        return Some(kept);
    }
    std::env::current_exe().ok()
}

pub(crate) fn run() -> anyhow::Result<()> {
    memory_limit::set(model::TEMPLATE_MEMORY_BYTES);
    model::watch_template_time()?;
    for job in std::io::stdin().lock().lines() {
        let answer = model::answer_template_job(&job?);
        let mut out = terminal::stdout();
        writeln!(out, "{}", terminal::json(&answer, false)?)?;
        out.flush()?;
    }
    Ok(())
}
