//! Progress on stderr.

use crate::model::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr that names the present step.
pub(crate) fn progress_bar() -> ProgressBar {
    bar("{msg} {bar:24} {pos}/{len}", 1)
}

/// A bar on stderr by a template of [`indicatif`], for `length` steps.
pub(crate) fn bar(template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Updates a bar.
pub(crate) fn show_progress(bar: &ProgressBar, progress: Progress) {
    bar.set_message(progress.stage.to_string());
    bar.set_length(u64::from(progress.total));
    bar.set_position(u64::from(progress.done));
}
