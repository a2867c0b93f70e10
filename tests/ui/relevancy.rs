//! The relevancy panel with the real built-in model: maps are computed, shown, scrubbed and clicked.

use crate::support::{Window, open, settle, until};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use vlmscope::trace::AnswerIndex;
use vlmscope::ui::Start;
use vlmscope::ui::intent::Intent;
use vlmscope::ui::layout::Pane;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::view::{Command, MapSource, QueryKind, ViewKind};

/// The window as it starts for the first time, with its question answered and the panel open.
fn with_panel(size: [f32; 2]) -> Window {
    let mut window = open(size, 1.0, Start::BuiltIn, None);
    until(&mut window, |app| {
        assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live)
    });
    window.state().intents.send(Intent::ShowPanel(Pane::Relevancy));
    settle(&mut window);
    window
}

fn source(window: &Window) -> MapSource {
    window.state().doc().unwrap().state().map.source.clone()
}

fn compute(window: &mut Window, button: &str, map: &str) {
    window.get_by_label(button).click();
    until(window, |app| {
        app.notices.iter().for_each(|notice| assert!(!notice.is_error, "{}", notice.text));
        app.doc().is_some_and(|doc| doc.trace.map_names().contains(&map))
    });
}

#[test]
fn maps_are_computed_shown_and_a_click_on_a_bar_chooses_its_word() {
    let mut window = with_panel([1600.0, 1800.0]);
    compute(&mut window, "Compute relevancy", "relevancy.llm");
    assert_eq!(source(&window), MapSource::Named("relevancy.llm".into()));
    let words = vlmscope::analysis::relevancy::answer_words(&window.state().doc().unwrap().trace);
    let fox = words.iter().find(|(text, _)| text.contains("fox")).expect("a fox in the answer");
    let first = &words[0];
    for (word, tokens) in [first, fox] {
        let name = format!("Relevancy of {}", vlmscope::view::figure::token_text(word));
        window.get_by_label(&name).click();
        settle(&mut window);
        let queries = window.state().doc().unwrap().state().map.queries.clone();
        let chosen: Vec<AnswerIndex> =
            queries.set.named().unwrap().iter().copied().map(AnswerIndex).collect();
        assert_eq!((&chosen, queries.kind), (tokens, QueryKind::Answer));
        // The source stays: scrubbing words scrubs relevancy.
        assert_eq!(source(&window), MapSource::Named("relevancy.llm".into()));
        assert!(window.state().stage.read().is_ok());
    }
    // A head belongs to attention: choosing one ends the map of relevancy.
    let relevancy = window.state().doc().unwrap().state().clone();
    for key in [Key::B, Key::ArrowDown, Key::CloseBracket] {
        window.key_press(key);
        settle(&mut window);
        let state = window.state().doc().unwrap().state().clone();
        assert_eq!((state.map.source, state.view), (MapSource::Attention, ViewKind::Overlay));
        let back = Command::Replace(Box::new(relevancy.clone()));
        window.state().intents.command(back);
        settle(&mut window);
    }
    // The other maps, and every head.
    window.get_by_label("Compute").click();
    settle(&mut window);
    compute(&mut window, "Compute all words", "relevancy.all");
    let trace = std::sync::Arc::clone(&window.state().doc().unwrap().trace);
    assert!(trace.map_row("relevancy.vit", AnswerIndex(0)).unwrap().iter().any(|&v| v > 0.0));
    window.get_by_label("Map of fox").click();
    settle(&mut window);
    if let Ok(folder) = std::env::var("VLMSCOPE_TEST_PICTURES") {
        crate::support::rendered(&mut window)
            .save(std::path::Path::new(&folder).join("relevancy.png"))
            .unwrap();
    }
    // A click on a question word shows the attention of that word.
    // Sums come first, and the words add up to the question's share.
    let share = |window: &Window, part: &str| -> f64 {
        let node = window.query_all_by_label_contains(part).next().unwrap();
        // The text of a label is its value.
        let node = node.accesskit_node();
        let label = node.label().or_else(|| node.value()).unwrap();
        let text = label.rsplit(": ").next().unwrap().trim_start_matches("< ").to_owned();
        text.trim_end_matches(" %").parse().unwrap()
    };
    let parts = ["picture as a whole", "question", "answer before", "template"];
    let sums: Vec<f64> =
        parts.iter().map(|part| share(&window, &format!("Share of relevancy, {part}"))).collect();
    assert!((sums.iter().sum::<f64>() - 100.0).abs() < 2.0, "{sums:?}");
    assert!(share(&window, "strongest patch") <= sums[0] + 0.5);
    assert!(share(&window, "Relevancy of question word left") <= sums[1] + 0.5);
    window.get_by_label_contains("Relevancy of question word left").click();
    settle(&mut window);
    let state = window.state().doc().unwrap().state().clone();
    assert_eq!(
        (state.map.source, state.map.queries.kind),
        (MapSource::Attention, QueryKind::Position)
    );
    assert_eq!(state.view, ViewKind::Overlay);
}

#[test]
fn the_trace_file_gets_the_maps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    let mut window = with_panel([1600.0, 900.0]);
    window.state().doc().unwrap().trace.write(&path).unwrap();
    window.state().intents.send(Intent::Open(path.clone()));
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.path.is_some()));
    compute(&mut window, "Compute relevancy", "relevancy.llm");
    let saved = vlmscope::trace::Trace::open(&path).unwrap();
    assert_eq!(saved.map_names(), ["relevancy.llm"]);
    assert_eq!(window.state().doc().unwrap().path.as_deref(), Some(path.as_path()));
}

#[test]
fn maps_of_a_file_that_cannot_be_written_are_shown_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.vlmtrace");
    let mut window = with_panel([1600.0, 900.0]);
    window.state().doc().unwrap().trace.write(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let mut rights = std::fs::metadata(&path).unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(&path, rights).unwrap();
    window.state().intents.send(Intent::Open(path.clone()));
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.path.is_some()));
    window.get_by_label("Compute relevancy").click();
    until(&mut window, |app| {
        app.doc().is_some_and(|doc| doc.trace.map_names().contains(&"relevancy.llm"))
    });
    let doc = window.state().doc().unwrap();
    assert_ne!(doc.in_file, Some(doc.trace.id()), "the session keeps the maps");
    let texts: Vec<_> = window.state().notices.iter().map(|notice| &notice.text).collect();
    let is_told = |text: &&String| text.contains("not in the file") && text.contains("shared.vlm");
    assert!(texts.iter().any(is_told), "{texts:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn the_palette_computes_what_is_missing_once() {
    let mut window = with_panel([1280.0, 720.0]);
    window.state().intents.act(UiCommand::ComputeEveryRelevancy);
    until(&mut window, |app| {
        app.doc().is_some_and(|doc| doc.trace.map_names().contains(&"relevancy.all"))
    });
    let names = window.state().doc().unwrap().trace.map_names().len();
    window.state().intents.act(UiCommand::ComputeRelevancy);
    settle(&mut window);
    assert_eq!(window.state().doc().unwrap().trace.map_names().len(), names);
    assert!(window.state().notices.iter().any(|notice| notice.text.contains("already")));
}

#[test]
fn the_key_of_the_relevancy_view_computes_what_it_shows() {
    let mut window = with_panel([1280.0, 720.0]);
    window.key_press_modifiers(Modifiers::SHIFT, Key::R);
    settle(&mut window);
    until(&mut window, |app| {
        app.notices.iter().for_each(|notice| assert!(!notice.is_error, "{}", notice.text));
        app.doc().is_some_and(|doc| doc.state().view == ViewKind::Relevancy)
    });
    assert_eq!(source(&window), MapSource::Named("relevancy.llm".into()));
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
    // From a map that is none of relevancy, too.
    let doc = window.state().doc().unwrap();
    let shape = [doc.trace.shape().generated, doc.trace.meta().patches()];
    let values = vec![0.5; shape[0] * shape[1]];
    let other = doc.trace.with_map("map.other", &shape, &values).unwrap();
    window.state_mut().doc_mut().unwrap().replace(std::sync::Arc::new(other), false);
    window.state().intents.command(Command::SetView(ViewKind::Overlay));
    window.state().intents.command(Command::SetSource(MapSource::Named("map.other".into())));
    settle(&mut window);
    window.key_press_modifiers(Modifiers::SHIFT, Key::R);
    settle(&mut window);
    assert_eq!(source(&window), MapSource::Named("relevancy.llm".into()));
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}
