//! The chat with the real built-in model: it answers, streams, stops, scores, and its traces are
//! one click away.

use crate::support::{Window, open, settle, until};
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use vlmscope::model::{
    AskEvent, AskOptions, AskRequest, Device, EngineOptions, ModelEvent, ModelWorker,
};
use vlmscope::ui::Start;
use vlmscope::ui::commands::tasks;
use vlmscope::ui::document::Document;
use vlmscope::ui::intent::Intent;
use vlmscope::ui::model_feed::Feed;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::task_result::TaskResult;
use vlmscope::view::{ViewKind, ViewState};

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
    assert!(app.chat.model.is_some());
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
fn a_panorama_of_which_most_is_cut_away_is_told_in_the_words_of_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pan.png");
    image::RgbImage::from_fn(4000, 100, |x, _| image::Rgb([(x % 251) as u8; 3]))
        .save(&path)
        .unwrap();
    let mut window = first_start();
    let before = window.state().docs.len();
    let of_sample = window.state().chat.suggestions.clone();
    window.state_mut().chat.question.clone_from(&of_sample[0]);
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| {
        app.chat.picture.as_ref().is_some_and(|picture| picture.name == "pan.png")
    });
    // Questions to try are about the picture that is shown.
    let general = window.state().chat.suggestions.clone();
    assert!(!general.contains(&of_sample[0]), "{general:?}");
    assert!(window.state().chat.question.is_empty());
    window.state().intents.send(Intent::Ask("What is this?".into()));
    until(&mut window, |app| app.docs.len() == before + 1 && app.chat.asking.is_none());
    let told = window.state().chat.notices.join(" ");
    assert!(told.contains("only the middle 2.5 % of this picture"), "{told}");
    assert!(told.contains("\"pad to a square\"") && !told.contains("--"), "{told}");
    assert!(window.query_by_label_contains("only the middle 2.5 %").is_some(), "it is in sight");
    window.state().intents.act(UiCommand::PreviousAnswer);
    settle(&mut window);
    assert_eq!(window.state().chat.suggestions, of_sample, "back at the sample");
}

/// Events of the built-in model for one answer, recorded to be replayed one by one.
fn recorded(window: &Window) -> Vec<ModelEvent> {
    let picture = window.state().chat.picture.clone();
    let worker = ModelWorker::spawn(
        EngineOptions {
            bundle: vlmscope::model::builtin::bundle_folder().unwrap(),
            runtime: None,
            device: Device::Auto,
            threads: Some(1),
        },
        None,
    )
    .unwrap();
    let question = window.state().chat.suggestions.last().unwrap().clone();
    let options = AskOptions::default();
    worker.ask(AskRequest { picture, turns: Vec::new(), question, options });
    let mut events = Vec::new();
    for event in worker.events() {
        let ends = matches!(event, ModelEvent::Done { .. } | ModelEvent::Failed { .. });
        events.push(event);
        if ends {
            break;
        }
    }
    events
}

#[test]
fn attention_grows_on_the_stage_with_every_token() {
    let mut window = first_start();
    let events = recorded(&window);
    let tokens =
        |event: &ModelEvent| matches!(event, ModelEvent::Ask { event: AskEvent::Token(_), .. });
    let count = events.iter().filter(|event| tokens(event)).count();
    assert!(count > 4, "the answer is long enough to grow");
    let (send, receive) = crossbeam_channel::unbounded();
    let feed = Feed::recorded("recorded".into(), receive, std::sync::Arc::new(|| ())).unwrap();
    window.state_mut().chat.feed = Some(feed);
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state().intents.send(Intent::Ask(question));
    window.step();
    let docs = window.state().docs.len();
    let (mut lengths, mut texts, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let is_token = tokens(&event);
        let (version, draws) = {
            let app = window.state();
            (app.doc().map(|doc| (doc.id, doc.version)), app.counters.stage_draws)
        };
        send.send(event).unwrap();
        if !is_token {
            continue;
        }
        until(&mut window, |app| app.doc().map(|doc| (doc.id, doc.version)) != version);
        let app = window.state();
        let doc = app.doc().unwrap();
        assert!(doc.live, "the answer is not complete yet");
        assert!(app.counters.stage_draws > draws, "its attention is drawn with the token");
        lengths.push(doc.extent.answers);
        texts.push(doc.meta().answer.clone());
        assert_eq!(doc.state().map.queries.set.only(), Some(doc.extent.answers - 1));
        frames.push(app.stage.read().unwrap().into_raw());
    }
    assert_eq!(lengths, (1..=count as u32).collect::<Vec<_>>(), "one token after the other");
    assert!(texts.windows(2).all(|pair| pair[1].starts_with(&pair[0])), "{texts:?}");
    let changed = frames.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changed + 1 >= count, "every token brings its own map: {changed} of {count}");
    until(&mut window, |app| app.chat.asking.is_none());
    assert_eq!(window.state().docs.len(), docs + 1);
    assert!(!window.state().doc().unwrap().live);
}

#[test]
fn a_stop_in_mid_answer_keeps_what_was_said() {
    let mut window = first_start();
    let events = recorded(&window);
    let (send, receive) = crossbeam_channel::unbounded();
    let feed = Feed::recorded("recorded".into(), receive, std::sync::Arc::new(|| ())).unwrap();
    window.state_mut().chat.feed = Some(feed);
    window.state().intents.send(Intent::Ask("Describe the picture.".into()));
    window.step();
    let before = window.state().docs.len();
    let mut rest = events.into_iter();
    let mut tokens = 0;
    while tokens < 3 {
        let event = rest.next().expect("a longer answer");
        tokens += u32::from(matches!(event, ModelEvent::Ask { event: AskEvent::Token(_), .. }));
        send.send(event).unwrap();
    }
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.live && doc.extent.answers == 3));
    window.get_by_label("Stop").click();
    window.step();
    window.step();
    assert!(window.state().chat.asking.is_none());
    for event in rest {
        send.send(event).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    settle(&mut window);
    let doc = window.state().doc().unwrap();
    assert_eq!((doc.extent.answers, doc.live), (3, false), "what came late is dropped");
    assert_eq!(window.state().docs.len(), before + 1);
}

#[test]
fn a_sample_picture_is_one_click_and_answers() {
    let mut window = first_start();
    until(&mut window, |app| app.samples.is_some());
    assert!(window.query_all_by_label_contains("Sample: ").count() > 3);
    window.state().intents.send(Intent::UseSample(1));
    until(&mut window, |app| app.docs.len() == 2 && app.chat.asking.is_none());
    let names: Vec<String> =
        window.state().docs.iter().map(|doc| doc.meta().preprocess[0].file_name.clone()).collect();
    assert_ne!(names[0], names[1]);
    assert!(window.query_all_by_label(&names[0]).count() > 0, "the history names the pictures");
}

#[test]
fn captured_samples_are_one_click_and_open_as_captured() {
    let mut window = first_start();
    until(&mut window, |app| !app.captured_samples.is_empty());
    let mut shown = Vec::new();
    for sample in vlmscope::model::builtin::captured().unwrap() {
        let before = window.state().docs.len();
        window.get_by_label(&format!("Captured: {}", sample.title)).click_accesskit();
        until(&mut window, |app| app.docs.len() == before + 1);
        let doc = window.state().doc().unwrap();
        assert_eq!(doc.meta().model.name, "vlmscope-tiny-qwen3-vl");
        shown.push((doc.meta().spans.len(), doc.state().view));
    }
    assert!(shown.contains(&(1, ViewKind::Overlay)), "{shown:?}");
    assert!(shown.contains(&(2, ViewKind::Pictures)), "pictures are compared: {shown:?}");
}

#[test]
fn a_follow_up_keeps_the_conversation() {
    let mut window = first_start();
    window.get_by_label("follow-up").click();
    settle(&mut window);
    window.state().intents.send(Intent::Ask("What colour is the balloon?".into()));
    until(&mut window, |app| app.docs.len() == 2 && app.chat.asking.is_none());
    let app = window.state();
    let doc = app.doc().unwrap();
    assert_eq!(app.turns[&doc.id].len(), 1, "the question before is part of it");
    let turns: std::collections::BTreeSet<u32> =
        doc.meta().tokens.iter().map(|token| token.turn).collect();
    assert!(turns.len() > 1, "both turns stand in the trace: {turns:?}");
}

#[test]
fn no_model_continues_the_conversation_of_another() {
    let mut window = first_start();
    let picture = window.state().chat.picture.clone();
    let other = Document::new(crate::support::trace(), &ViewState::default());
    let app = window.state_mut();
    app.add_document(other);
    app.chat.set_picture(picture);
    app.chat.use_bundle(vlmscope::model::builtin::bundle_folder().unwrap()).unwrap();
    app.chat.follow_up = true;
    // The model is not loaded yet, and then it is.
    for _ in 0..2 {
        window.state_mut().chat.error = None;
        window.state().intents.send(Intent::Ask("Is it red?".into()));
        until(&mut window, |app| app.chat.error.is_some());
        let app = window.state();
        let told = app.chat.error.as_ref().unwrap();
        assert!(told.contains("The conversation is one with") && told.contains("Ctrl+M"), "{told}");
        assert!(app.chat.asking.is_none() && app.docs.len() == 2);
        assert!(app.chat.model.is_some());
    }
    window.state_mut().chat.follow_up = false;
    window.state().intents.send(Intent::Ask("Is it red?".into()));
    until(&mut window, |app| app.docs.len() == 3 && app.chat.asking.is_none());
    assert!(!window.state().turns.contains_key(&window.state().doc().unwrap().id));
}

#[test]
fn a_task_with_the_model_runs_on_its_thread() {
    let mut window = first_start();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    tasks::start_on_model(window.state_mut(), "Looking", move |engine, report, _| {
        report.progress(1, 1);
        let name = engine.info().model.name;
        sender.send(name).unwrap();
        Ok(TaskResult::Nothing)
    });
    until(&mut window, |app| app.tasks.running().is_empty());
    assert_eq!(
        Some(receiver.try_recv().unwrap()),
        window.state().chat.model_name().map(str::to_owned)
    );
}

#[test]
fn a_stopped_answer_stops_at_once_and_the_next_one_works() {
    let mut window = first_start();
    let question = window.state().chat.suggestions.last().unwrap().clone();
    window.state().intents.send(Intent::Ask(question.clone()));
    window.step();
    window.key_press(Key::Escape);
    window.step();
    assert!(window.state().chat.asking.is_none(), "it stops in the frame in which one asks");
    assert!(window.state().docs.iter().all(|doc| !doc.live));
    let before = window.state().docs.len();
    window.state().intents.send(Intent::Ask(question));
    until(&mut window, |app| app.docs.len() > before && app.chat.asking.is_none());
    assert!(window.state().chat.error.is_none());
}

#[test]
fn another_answer_is_scored_below_the_models_own() {
    let mut window = first_start();
    let own = window.state().doc().unwrap().clone();
    window.state().intents.send(Intent::Score("purple nonsense".into()));
    until(&mut window, |app| app.chat.asking.is_none() && app.docs.len() > 1);
    let app = window.state();
    assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
    let scored = app.doc().unwrap();
    assert!(scored.meta().sampling.forced);
    let logprob = |doc: &Document| vlmscope::ui::chat::answer_logprob(&doc.trace);
    assert!(logprob(scored) < logprob(&own), "{} < {}", logprob(scored), logprob(&own));
}

#[test]
fn a_greedy_answer_again_is_the_same_answer() {
    let mut window = first_start();
    let first = window.state().doc().unwrap().meta().answer.clone();
    window.state().intents.act(UiCommand::Regenerate);
    until(&mut window, |app| app.docs.len() == 2 && app.chat.asking.is_none());
    assert_eq!(window.state().doc().unwrap().meta().answer, first);
}

#[test]
fn a_folder_that_is_no_model_says_what_to_do() {
    let mut window = first_start();
    let folder = tempfile::tempdir().unwrap();
    window.state().intents.send(Intent::Open(folder.path().to_owned()));
    until(&mut window, |app| app.notices.iter().any(|notice| notice.is_error));
    let text = window.state().notices.iter().find(|n| n.is_error).unwrap().text.clone();
    assert!(text.contains("manifest.json"), "{text}");
    std::fs::write(folder.path().join("manifest.json"), "{}").unwrap();
    window.state().intents.send(Intent::UseBundle(folder.path().to_owned()));
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
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| app.docs.len() == 2);
    let app = window.state();
    assert_eq!(app.docs[0].meta().answer, app.docs[1].meta().answer);
    window.key_press_modifiers(Modifiers::COMMAND, Key::D);
    settle(&mut window);
    assert!(window.state().settings.bookmarks[0].trace.is_some(), "a bookmark knows its file");
}

#[test]
fn an_answer_that_is_no_plain_answer_of_the_open_model_says_so() {
    use vlmscope::ui::badges::{Badge, badges};
    let mut window = first_start();
    let of = |window: &Window| {
        let app = window.state();
        let (doc, open) = (app.doc().unwrap(), app.chat.vocabulary.as_ref());
        badges(doc.meta(), doc.is_edited, open.map(|open| open.sha256()))
    };
    assert_eq!(of(&window), []);
    window.state().intents.send(Intent::Score("There is a cat.".into()));
    until(&mut window, |app| app.docs.len() == 2 && app.chat.asking.is_none());
    assert_eq!(of(&window), [Badge::Scored]);
    // Beside the answer, and in the list.
    assert!(window.query_by_label("scored").is_some());
    assert!(window.query_by_label_contains("There is a cat., scored").is_some());
    let first = window.state().docs[0].id;
    window.state().intents.send(Intent::Show(first));
    window.state_mut().chat.follow_up = true;
    window.state().intents.send(Intent::Ask("Where is the balloon?".into()));
    until(&mut window, |app| app.docs.len() == 3 && app.chat.asking.is_none());
    assert_eq!(of(&window), [Badge::FollowUp]);
    // An answer of another model, of which heads were off, about an edited picture.
    let mut meta = window.state().doc().unwrap().meta().clone();
    let open = meta.model.bundle_sha.clone();
    meta.model.bundle_sha = "another".into();
    meta.provenance.model_changed = true;
    let all = [Badge::Edited, Badge::Ablated, Badge::FollowUp, Badge::OtherModel];
    assert_eq!(badges(&meta, true, Some(&open)), all);
    assert!(!badges(&meta, true, None).contains(&Badge::OtherModel), "no model is open yet");
}

#[test]
fn the_frame_of_a_long_question_stays_when_it_scrolls() {
    let mut window = first_start();
    let whole = window.get_by_label("Question").rect();
    window.state_mut().chat.question = "What is on the left, and what is above it?\n".repeat(20);
    window.state_mut().chat.focus_question = true;
    settle(&mut window);
    window.hover_at(whole.center());
    settle(&mut window);
    window.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Point,
        source: egui::MouseWheelSource::Wheel,
        delta: egui::vec2(0.0, -300.0),
        phase: egui::TouchPhase::Move,
        modifiers: Modifiers::NONE,
    });
    settle(&mut window);
    let scrolled = window.get_by_label("Question").rect();
    assert!(scrolled.top() < whole.top() - 100.0, "{scrolled}");
    crate::support::shoot(&mut window, "long question");
    // In the margin left of the text, the border differs from what it encloses.
    let image = crate::support::rendered(&mut window);
    let pixel = |y: f32| *image.get_pixel((whole.left() + 6.0) as u32, y as u32);
    let inside = pixel(whole.top() + 12.0);
    assert_ne!(pixel(whole.top()), inside, "the upper border is there");
    assert_eq!(pixel(whole.top() + 6.0), inside);
}
