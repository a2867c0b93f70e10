//! The chat with the real built-in model: it answers, streams, stops, scores, and its traces are
//! one click away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ui_support;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use ui_support::{Window, open, settle, until};
use vlmscope::ui::Start;
use vlmscope::ui::app::Intent;
use vlmscope::ui::shortcuts::Act;

/// The window as it starts for the first time, with its question answered.
fn first_start() -> Window {
    let mut window = open([1280.0, 720.0], 1.0, Start::BuiltIn, None);
    until(&mut window, |app| {
        assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live)
    });
    window
}

#[test]
fn the_first_start_shows_an_answered_question_with_its_noun_chosen() {
    let mut window = first_start();
    let app = window.state();
    let doc = app.doc().unwrap();
    assert!(!doc.meta().answer.trim().is_empty());
    let chosen = doc.state().map.queries.set.only().expect("one token is chosen");
    let token = &doc.meta().answer_tokens()[chosen as usize];
    assert!(token.text.chars().any(char::is_alphabetic), "{token:?} is a word");
    assert!(!app.chat.suggestions.is_empty(), "there is something to ask next");
    assert!(app.chat.model_name.is_some());
    let stage = app.stage.read().unwrap();
    let distinct: std::collections::HashSet<[u8; 4]> = stage.pixels().map(|p| p.0).collect();
    assert!(distinct.len() > 100, "the stage shows a picture");
    settle(&mut window);
}

#[test]
fn a_typed_question_is_answered_and_kept() {
    let mut window = first_start();
    let before = window.state().docs.len();
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state_mut().chat.question.clone_from(&question);
    settle(&mut window);
    window.get_by_label("Ask").click();
    until(&mut window, |app| app.docs.len() == before + 1 && app.chat.asking.is_none());
    assert_eq!(window.state().doc().unwrap().meta().question, question);
    // The question before is one key away, and its view with it.
    window.key_press(Key::PageUp);
    settle(&mut window);
    assert_ne!(window.state().doc().unwrap().meta().question, "");
    assert_eq!(window.state().docs.len(), before + 1);
}

#[test]
fn attention_is_on_the_stage_while_tokens_are_generated() {
    let mut window = first_start();
    let draws = window.state().counters.stage_draws;
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state_mut().send(Intent::Ask(question));
    let mut live = false;
    let start = std::time::Instant::now();
    loop {
        window.step();
        let app = window.state();
        live |= app.doc().is_some_and(|doc| doc.live);
        if app.chat.asking.is_none() && start.elapsed().as_millis() > 20 {
            break;
        }
        assert!(start.elapsed().as_secs() < 60);
    }
    settle(&mut window);
    assert!(window.state().counters.stage_draws > draws);
    // A fast model may answer between two frames; where it did not, its tokens were seen.
    eprintln!("seen while it grew: {live}");
}

#[test]
fn a_stopped_answer_stops_at_once_and_the_next_one_works() {
    let mut window = first_start();
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state_mut().send(Intent::Ask(question.clone()));
    window.step();
    window.key_press(Key::Escape);
    window.step();
    assert!(window.state().chat.asking.is_none(), "it stops in the frame in which one asks");
    assert!(window.state().docs.iter().all(|doc| !doc.live));
    let before = window.state().docs.len();
    window.state_mut().send(Intent::Ask(question));
    until(&mut window, |app| app.docs.len() > before && app.chat.asking.is_none());
    assert!(window.state().chat.error.is_none());
}

#[test]
fn another_answer_is_scored_below_the_models_own() {
    let mut window = first_start();
    let own = window.state().doc().unwrap().clone();
    window.state_mut().send(Intent::Score("purple nonsense".into()));
    until(&mut window, |app| app.chat.asking.is_none() && app.docs.len() > 1);
    let app = window.state();
    assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
    let scored = app.doc().unwrap();
    assert!(scored.meta().sampling.forced);
    let logprob =
        |doc: &vlmscope::ui::document::Document| vlmscope::ui::chat::answer_logprob(&doc.trace);
    assert!(logprob(scored) < logprob(&own), "{} < {}", logprob(scored), logprob(&own));
}

#[test]
fn a_greedy_answer_again_is_the_same_answer() {
    let mut window = first_start();
    let first = window.state().doc().unwrap().meta().answer.clone();
    window.state_mut().act(Act::Regenerate);
    until(&mut window, |app| app.docs.len() == 2 && app.chat.asking.is_none());
    assert_eq!(window.state().doc().unwrap().meta().answer, first);
}

#[test]
fn a_folder_that_is_no_model_says_what_to_do() {
    let mut window = first_start();
    let folder = tempfile::tempdir().unwrap();
    window.state_mut().send(Intent::Open(folder.path().to_owned()));
    until(&mut window, |app| app.notices.iter().any(|notice| notice.is_error));
    let text = window.state().notices.iter().find(|n| n.is_error).unwrap().text.clone();
    assert!(text.contains("manifest.json"), "{text}");
    std::fs::write(folder.path().join("manifest.json"), "{}").unwrap();
    window.state_mut().send(Intent::UseBundle(folder.path().to_owned()));
    until(&mut window, |app| app.chat.error.is_some());
    assert!(window.state().doc().is_some(), "what was seen stays");
    assert!(window.query_all_by_label("Copy").count() > 0, "the message can be copied");
}

#[test]
fn a_saved_trace_opens_again() {
    let mut window = first_start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.vlmtrace");
    let trace = std::sync::Arc::clone(&window.state().doc().unwrap().trace);
    trace.write(&path).unwrap();
    window.state_mut().send(Intent::Open(path));
    until(&mut window, |app| app.docs.len() == 2);
    let app = window.state();
    assert_eq!(app.docs[0].meta().answer, app.docs[1].meta().answer);
    window.key_press_modifiers(Modifiers::COMMAND, Key::D);
    settle(&mut window);
    assert!(window.state().settings.bookmarks[0].trace.is_some(), "a bookmark knows its file");
}
