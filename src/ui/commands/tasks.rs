//! Starting long work.

use crate::job::CancelToken;
use crate::model::Engine;
use crate::ui::app::App;
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
