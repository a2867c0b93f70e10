//! Starting long work.

use crate::job::CancelToken;
use crate::model::Engine;
use crate::trace::TraceMeta;
use crate::ui::app::App;
use crate::ui::intent::Intent;
use crate::ui::python_line::{python_line, quoted};
use crate::ui::task_result::TaskResult;
use crate::ui::tasks::Reporter;

/// Runs `work` on a thread of its own; returns its identity.
pub fn start(
    app: &mut App,
    title: &str,
    work: impl FnOnce(&Reporter, &CancelToken) -> anyhow::Result<TaskResult> + Send + 'static,
) -> Option<u64> {
    match app.tasks.start(title, work) {
        Ok(id) => Some(id),
        Err(error) => {
            app.notify(format!("{title}: no thread could be started: {error}."), true);
            None
        }
    }
}

/// Starts a task that writes a file of the user: no key stops it, and closing the window asks first.
/// `gerund` names the task in that question ("recording").
pub fn start_writing(
    app: &mut App,
    title: &str,
    gerund: &'static str,
    work: impl FnOnce(&Reporter, &CancelToken) -> anyhow::Result<TaskResult> + Send + 'static,
) {
    if let Some(id) = start(app, title, work) {
        app.tasks.mark_writing(id, gerund);
    }
}

/// Runs `work` with the loaded model, on the model's thread; returns its identity. A question that
/// is asked meanwhile ends it; while a question is being answered it is refused.
pub fn start_on_model(
    app: &mut App,
    title: &str,
    work: impl FnOnce(&mut Engine, &Reporter, &CancelToken) -> anyhow::Result<TaskResult>
    + Send
    + 'static,
) -> Option<u64> {
    if app.chat.asking.is_some() {
        app.notify(format!("{title}: wait for the answer, or stop it (Esc)."), false);
        return None;
    }
    let Some(feed) = &app.chat.feed else {
        app.notify(format!("{title} needs a model: open its folder (Ctrl+M)."), true);
        return None;
    };
    Some(app.tasks.start_on_model(feed, title, work))
}

/// Says that `title` needs the running model of a captured trace, and offers the Python line that computes it; the
/// keywords of `more` have Python source as values. False if one of our bundles made the trace: the task may start.
pub fn is_for_python(
    app: &mut App,
    title: &str,
    meta: &TraceMeta,
    more: Option<&[(&str, String)]>,
) -> bool {
    let Some(line) = python_line(meta, more.unwrap_or_default()) else { return false };
    if more.is_none() {
        let what = "The Python package cannot compute this either: it needs the model exported to ONNX, which onnx/export.py does for LLaVA-1.5 and its relatives.";
        refer_to_python(app, title, meta, what, None);
    } else {
        let what = "Run this line there and open the trace that it makes:";
        refer_to_python(app, title, meta, what, Some(("Copy the line", line)));
    }
    true
}

/// As [`is_for_python`] for what covers the picture in parts, which the Python package cannot do: offers the line that
/// scores the same answer with the whole picture masked.
pub fn is_for_python_masked(app: &mut App, title: &str, meta: &TraceMeta) -> bool {
    let masked = [("answer", quoted(&meta.answer)), ("blank", "True".to_owned())];
    let Some(line) = python_line(meta, &masked) else { return false };
    let what = "The Python package cannot cover parts of a picture, but this line scores the same answer with all of it masked:";
    refer_to_python(app, title, meta, what, Some(("Copy the line", line)));
    true
}

/// Says that `title` needs the running model of a captured trace, and what to do; `code` is the Python source that does
/// it, with the text of the button that copies it.
pub fn refer_to_python(
    app: &mut App,
    title: &str,
    meta: &TraceMeta,
    what: &str,
    code: Option<(&'static str, String)>,
) {
    let text = format!(
        "{title} needs the running model. This trace was captured in Python from {}, which the window cannot run. {what}",
        meta.model.model_class
    );
    let Some((button, code)) = code else { return app.notify(text, false) };
    let text = format!("{text}\n{code}");
    if !app.notices.iter().any(|notice| notice.text == text) {
        app.offer(text, vec![(button, Intent::Copy(code, "The Python line"))]);
    }
}
