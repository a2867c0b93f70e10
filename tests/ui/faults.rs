//! The window after failures that should not happen: a panic in a task, a file that another program changes.

use crate::support::{Window, empty_window, trace, until};
use egui_kittest::kittest::Queryable as _;
use std::path::Path;
use std::sync::Arc;
use vlmscope::trace::Trace;
use vlmscope::ui::document::Document;
use vlmscope::ui::task_result::TaskResult;
use vlmscope::view::{Command, ViewState};

fn until_said(window: &mut Window, part: &str) {
    until(window, |app| app.notices.iter().any(|notice| notice.text.contains(part)));
}

#[test]
fn a_task_that_panics_is_a_message_and_the_next_one_works() {
    let mut window = empty_window();
    let tasks = &mut window.state_mut().tasks;
    tasks.start("Counting", |_, _| panic!("one too many")).unwrap();
    until_said(&mut window, "Counting: an internal error stopped this task (one too many)");
    assert!(window.state().tasks.running().is_empty());
    window
        .state_mut()
        .tasks
        .start("Again", |_, _| Ok(TaskResult::Said("all counted".into())))
        .unwrap();
    until_said(&mut window, "All counted.");

    window.state_mut().exports.run("save", || panic!("no paper"));
    until_said(&mut window, "An internal error stopped this task (no paper)");
    until(&mut window, |app| !app.exports.is_busy());
}

#[test]
fn a_file_that_another_program_changes_is_read_again_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace().write(&path).unwrap();
    let mut window = empty_window();
    let opened = Arc::new(Trace::open(&path).unwrap());
    window.state_mut().add_document(Document::new(opened, &ViewState::default()));
    for _ in 0..40 {
        window.step();
    }
    assert!(window.state().notices.is_empty(), "nothing has changed");

    add_map(&path, "map.later");
    until_said(&mut window, "a.vlmtrace was changed on disk");
    window.get_by_label("Reload").click();
    until(&mut window, |app| {
        app.doc().is_some_and(|doc| doc.trace.map_names().contains(&"map.later"))
    });
    for _ in 0..40 {
        window.step();
    }
    assert!(window.state().notices.is_empty(), "it is offered once: {:?}", window.state().notices);
}

/// Adds a map to a file that is open in the window, as `vlmscope relevancy` does.
fn add_map(path: &Path, name: &str) {
    let trace = Trace::open(path).unwrap();
    let shape = [trace.shape().generated, trace.meta().patches()];
    let values = vec![0.5; shape[0] * shape[1]];
    trace.with_map(name, &shape, &values).unwrap().write(path).unwrap();
}

#[test]
fn characters_of_the_stage_that_no_font_has_are_named_once() {
    let mut window = empty_window();
    window.state_mut().add_document(Document::new(trace(), &ViewState::default()));
    let caption = Command::SetCaptionText(Some("a private character: \u{10fffd}".into()));
    window.state().intents.command(caption);
    until_said(&mut window, "no installed font has the characters U+10FFFD");
    assert!(window.query_by_label_contains("apt install").is_some(), "it is in sight");
    window.state_mut().notices.clear();
    for _ in 0..10 {
        window.step();
    }
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}
