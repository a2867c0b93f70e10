//! The window with a model in another process: attention grows on the stage, pages come when they are looked at, and a
//! lost connection can be repaired by asking again.

use crate::support::{Window, open_with, save_to, settle, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use vlmscope::job::CancelToken;
use vlmscope::model::{AskRequest, Device, Engine, EngineOptions, builtin};
use vlmscope::settings::Settings;
use vlmscope::trace::{Query, Trace};
use vlmscope::ui::intent::Intent;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::{App, Start, headless::HeadlessOptions};
use vlmscope::view::AxisSet;
use vlmscope::view::Command as ViewCommand;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vlmscope");

fn start(address: &str) -> Window {
    let settings = Settings { advice_seen: true, animate: false, ..Settings::default() };
    let remote = Some((address.parse().unwrap(), PathBuf::new()));
    let options =
        HeadlessOptions { start: Start::BuiltIn, settings, remote, ..HeadlessOptions::default() };
    let mut window = open_with([1280.0, 720.0], 1.0, options, None);
    until(&mut window, |app| app.chat.model.is_some() || !app.notices.is_empty());
    window
}

/// A program that starts the server, waits before each of its frames of bulk data, and notes its process in a file.
fn slow(folder: &Path) -> String {
    between(folder, "time.sleep(0.4)")
}

/// A program that starts the server and ends both at the frame of bulk data behind the `count`-th one.
fn lost_after(folder: &Path, count: usize) -> String {
    let text = format!("seen += 1; seen > {count} and (server.kill(), os._exit(1))");
    between(folder, &text)
}

/// A program that starts the server, notes its process in a file, and does something at each of its frames of bulk data.
fn between(folder: &Path, at_data: &str) -> String {
    let script = folder.join("slow.py");
    let text = r#"
import os, struct, subprocess, sys, threading, time
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
open(sys.argv[1], "w").write(str(server.pid))

def forward():
    while data := os.read(0, 65536):
        server.stdin.write(data)
        server.stdin.flush()
    server.stdin.close()

threading.Thread(target=forward, daemon=True).start()
seen = 0
while len(head := server.stdout.read(8)) == 8:
    header, payload = struct.unpack("<II", head)
    body = server.stdout.read(header + payload)
    if b'"data"' in body[:header]:
        AT_DATA
    sys.stdout.buffer.write(head + body)
    sys.stdout.buffer.flush()
sys.exit(server.wait())
"#;
    std::fs::write(&script, text.replace("AT_DATA", at_data)).unwrap();
    let pid = folder.join("pid");
    format!("exec:python3 '{}' '{}' '{PROGRAM}'", script.display(), pid.display())
}

fn answered(app: &App) -> bool {
    assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
    app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live)
}

/// The same answer by a model in this process.
fn expected(window: &Window, question: &str) -> Trace {
    let options = EngineOptions {
        bundle: builtin::bundle_folder().unwrap(),
        device: Device::Cpu,
        ..EngineOptions::default()
    };
    let mut engine = Engine::load(&options, &mut |_| {}).unwrap();
    let request = AskRequest {
        picture: window.state().chat.picture.clone(),
        question: question.into(),
        ..AskRequest::default()
    };
    engine.ask(&request, &CancelToken::new(), &mut |_| {}).unwrap()
}

#[test]
#[cfg(unix)]
fn what_is_shown_comes_first_and_the_rest_when_it_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = start(&slow(folder.path()));
    assert!(window.state().chat.error.is_none(), "{:?}", window.state().chat.error);
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state_mut().look.map.layers = AxisSet::single(4);
    window.state().intents.send(Intent::Ask(question.clone()));
    // While the answer grows, the stage shows the newest token although no page was fetched.
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.live && doc.extent.answers > 2));
    let app = window.state();
    let doc = app.doc().unwrap();
    assert!(app.stage.figure().is_some());
    let row = doc.trace.rows().len() - 1;
    assert!(doc.trace.stats(row).is_some(), "the overview needs no page");
    until(&mut window, answered);
    assert!(window.state().doc().unwrap().is_incomplete, "pages are on their way");
    // The maps on the stage arrive long before the whole trace.
    until(&mut window, |app| !app.stage.is_waiting());
    let doc = window.state().doc().unwrap();
    assert!(doc.is_incomplete && doc.trace.has_holes());
    // One head of another layer: fetched before the rest.
    let shape = doc.trace.shape();
    let look = ViewCommand::SetLayers(AxisSet::single(0));
    window.state_mut().doc_mut().unwrap().apply(&look).unwrap();
    window.step();
    until(&mut window, |app| !app.stage.is_waiting());
    // In the end everything is there, bit for bit.
    until(&mut window, |app| app.doc().is_some_and(|doc| !doc.is_incomplete));
    let doc = window.state().doc().unwrap();
    let expected = expected(&window, &question);
    assert_eq!(doc.meta().answer, expected.meta().answer);
    for row in 0..expected.rows().len() {
        assert!(doc.trace.page(row) == expected.page(row), "row {row}");
        assert!(doc.trace.stats(row) == expected.stats(row), "row {row}");
    }
    assert_eq!(doc.trace.shape(), shape);
    settle(&mut window);
}

#[test]
#[cfg(unix)]
fn a_lost_connection_is_told_and_the_question_can_be_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = start(&slow(folder.path()));
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    Command::new("kill").args(["-9", &pid]).status().unwrap();
    let question = window.state().chat.suggestions.last().unwrap().clone();
    ask_until_answered(&mut window, &question);
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    Command::new("kill").args(["-9", &pid]).status().unwrap();
    // Rows that had not arrived stay missing: the stage says so when they are selected, and the window goes on.
    until(&mut window, |app| {
        app.doc().is_some_and(|doc| !doc.trace.has_holes() || doc.trace.check().is_err())
    });
    if let Err(error) = window.state().doc().unwrap().trace.check() {
        assert!(error.to_string().contains("Ask the question again"), "{error}");
    }
    ask_until_answered(&mut window, &question);
}

/// The rows that arrived before the connection was lost are saved, and the window says how many did not.
#[test]
#[cfg(unix)]
fn an_incomplete_answer_is_saved_as_far_as_it_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = start(&lost_after(folder.path(), 1));
    window.state_mut().asks_in_window = true;
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state().intents.send(Intent::Ask(question.clone()));
    until(&mut window, answered);
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.trace.is_broken()));
    let received = folder.path().join("received.vlmtrace");
    window.state().intents.act(UiCommand::SaveTrace);
    settle(&mut window);
    let said: Vec<String> =
        window.state().notices.iter().map(|notice| notice.text.clone()).collect();
    save_to(&mut window, &received);
    let saved = Trace::open(&received).unwrap();
    saved.check().unwrap();
    let expected = expected(&window, &question);
    let all = expected.rows().len();
    let left_out = all - saved.rows().len();
    // The first frame holds a whole row or a part of one, as the window asked for it.
    assert!((1..=all).contains(&left_out), "{left_out} of {all}");
    let wanted = format!("{left_out} of {all} rows of the attention did not arrive");
    assert!(said.iter().any(|text| text.starts_with(&wanted)), "{wanted}: {said:?}");
    assert_eq!(saved.meta().answer, expected.meta().answer);
    for (row, &query) in saved.rows().iter().enumerate() {
        let other = expected.row_of_query(Query(query)).unwrap();
        assert!(saved.page(row) == expected.page(other), "position {query}");
        assert!(saved.stats(row) == expected.stats(other), "position {query}");
    }
}

/// Asks, and once more if only this question noticed that the server is gone: the engine then starts another one.
fn ask_until_answered(window: &mut Window, question: &str) {
    let docs = window.state().docs.len();
    let is_new = |app: &App| app.docs.len() > docs && app.doc().is_some_and(|doc| !doc.live);
    for _ in 0..2 {
        window.state().intents.send(Intent::Ask(question.to_owned()));
        until(window, |app| app.chat.asking.is_none() && (app.chat.error.is_some() || is_new(app)));
        match &window.state().chat.error {
            Some(error) => assert!(error.contains(" was lost"), "{error}"),
            None => return,
        }
    }
    panic!("the question was not answered: {:?}", window.state().chat.error);
}

#[test]
fn a_machine_that_cannot_be_reached_is_told_in_the_window() {
    let window = start("exec:/no/such/program");
    let error = window.state().notices.first().map(|notice| notice.text.clone()).unwrap();
    assert!(error.contains("/no/such/program") && error.contains("cannot be started"), "{error}");
}
