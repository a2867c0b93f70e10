//! The window without a window: panels are clicked by their accessible names on a software
//! adapter, and the view state, the counters and the pixels are looked at.

use crate::support::{Window, click, settle, window, window_with};
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use vlmscope::ui::intent::{BookmarkCommand, Intent};
use vlmscope::view::{AxisSet, Command, Quantity, ViewKind};

#[derive(Debug)]
pub struct Dropped(pub std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

fn state(window: &Window) -> vlmscope::view::ViewState {
    window.state().doc().expect("a document").state().clone()
}

#[test]
fn keys_change_the_view_and_undo_brings_it_back() {
    let mut window = window();
    let first = state(&window);
    for (key, view) in [
        (Key::H, ViewKind::Heads),
        (Key::W, ViewKind::Wall),
        (Key::L, ViewKind::LayerHead),
        (Key::T, ViewKind::TokenMatrix),
        (Key::S, ViewKind::Overlay),
    ] {
        window.key_press(key);
        settle(&mut window);
        assert_eq!(state(&window).view, view);
    }
    for _ in 0..5 {
        window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
        settle(&mut window);
    }
    assert_eq!(state(&window), first);
}

#[test]
fn arrows_scrub_tokens_and_layers_and_brackets_heads() {
    let mut window = window();
    window.key_press(Key::Home);
    settle(&mut window);
    window.key_press(Key::ArrowRight);
    window.key_press(Key::ArrowDown);
    window.key_press(Key::CloseBracket);
    settle(&mut window);
    let map = state(&window).map;
    assert_eq!(map.queries.set.only(), Some(1));
    assert_eq!((map.layers.only(), map.heads.only()), (Some(0), Some(0)));
    window.key_press(Key::M);
    settle(&mut window);
    let map = state(&window).map;
    assert_eq!((map.layers, map.heads), (AxisSet::MEAN, AxisSet::MEAN));
}

#[test]
fn the_tabs_of_the_title_bar_choose_the_view() {
    let mut window = window();
    for (name, view) in
        [("Wall", ViewKind::Wall), ("Heads", ViewKind::Heads), ("Stage", ViewKind::Overlay)]
    {
        window.get_by_label(name).click();
        settle(&mut window);
        assert_eq!(state(&window).view, view);
    }
}

#[test]
fn a_header_of_the_matrix_shows_the_mean_of_its_layer() {
    let mut window = window();
    window.get_by_label("Layer 1").click();
    settle(&mut window);
    let map = state(&window).map;
    assert_eq!((map.layers.only(), map.heads), (Some(1), AxisSet::MEAN));
    window.get_by_label("All layers and heads").click();
    settle(&mut window);
    assert_eq!(state(&window).map.layers, AxisSet::MEAN);
}

#[test]
fn a_hovered_word_is_a_preview_and_goes_away() {
    let mut window = window();
    let before = state(&window);
    let word = window.get_all_by_label_contains("Answer word").next().expect("an answer").rect();
    window.hover_at(word.center());
    settle(&mut window);
    assert_eq!(state(&window), before, "a hover changes nothing");
    let shown = window.state().shown.map.queries.clone();
    assert_eq!(shown.set.only(), Some(0), "but it is seen");
    window.hover_at(egui::pos2(640.0, 8.0));
    settle(&mut window);
    assert_eq!(window.state().shown.map.queries, before.map.queries);
}

#[test]
fn a_clicked_word_is_chosen_and_shift_adds_another() {
    let mut window = window();
    let words: Vec<egui::Rect> =
        window.get_all_by_label_contains("Answer word").map(|node| node.rect()).collect();
    assert!(words.len() > 1, "the answer has several words");
    click(&mut window, words[0].center(), Modifiers::NONE);
    assert_eq!(state(&window).map.queries.set.only(), Some(0));
    click(&mut window, words[1].center(), Modifiers::SHIFT);
    assert_eq!(state(&window).map.queries.set.named(), Some(&[0, 1][..]));
}

#[test]
fn a_click_on_the_stage_chooses_the_patch_under_it() {
    let mut window = window();
    let stage = window.get_by_label_contains("Stage:").rect();
    click(&mut window, stage.center(), Modifiers::NONE);
    assert_eq!(state(&window).selected.len(), 1);
    let patch = state(&window).selected[0];
    assert!(patch.row > 0 && patch.column > 0, "the middle of the picture is no corner");
    window.key_press(Key::R);
    settle(&mut window);
    assert!(state(&window).selected.is_empty());
}

#[test]
fn a_scrub_uploads_one_page_and_draws_once() {
    let mut window = window();
    settle(&mut window);
    window.key_press(Key::Home);
    settle(&mut window);
    let before = window.state().counters;
    window.key_press(Key::ArrowDown);
    settle(&mut window);
    let layer = window.state().counters;
    assert_eq!(layer.page_uploads, before.page_uploads, "a layer uploads nothing");
    assert_eq!(layer.stage_draws, before.stage_draws + 1, "and draws once");
    window.key_press(Key::ArrowRight);
    settle(&mut window);
    let token = window.state().counters;
    assert!(token.page_uploads <= layer.page_uploads + 1, "a token uploads at most one page");
    assert_eq!(token.stage_draws, layer.stage_draws + 1);
}

#[test]
fn a_held_key_leaves_no_backlog() {
    let mut window = window();
    window.key_press(Key::Home);
    settle(&mut window);
    let before = window.state().counters;
    // Events that wait when a frame begins, as after a stall of the machine.
    let press = egui::Event::Key {
        key: Key::ArrowDown,
        physical_key: None,
        pressed: true,
        repeat: true,
        modifiers: Modifiers::NONE,
    };
    window.input_mut().events.extend(std::iter::repeat_n(press, 150));
    settle(&mut window);
    let after = window.state().counters;
    assert_eq!(after.stage_draws, before.stage_draws + 1, "150 presses that wait are one frame");
    let layers = window.state().doc().unwrap().extent.layers;
    assert_eq!(state(&window).map.layers.only(), Some(layers - 1));
}

#[test]
fn nothing_happens_while_nothing_happens() {
    let mut window = window();
    settle(&mut window);
    let before = window.state().counters;
    window.run_steps(5);
    assert_eq!(
        window.state().counters.stage_draws,
        before.stage_draws,
        "an idle frame draws no stage"
    );
}

#[test]
fn the_palette_runs_what_is_typed() {
    let mut window = window();
    window.key_press_modifiers(Modifiers::COMMAND, Key::P);
    settle(&mut window);
    window.event(egui::Event::Text("wall".into()));
    settle(&mut window);
    window.key_press(Key::Enter);
    settle(&mut window);
    assert_eq!(state(&window).view, ViewKind::Wall);
    assert!(!window.state().palette_open);
}

#[test]
fn help_lists_the_keys() {
    let mut window = window();
    window.key_press(Key::F1);
    settle(&mut window);
    assert!(window.state().help_open);
    window.key_press(Key::Escape);
    settle(&mut window);
    assert!(!window.state().help_open);
}

#[test]
fn a_dropped_file_that_is_no_picture_says_what_to_do() {
    let mut window = window();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.png");
    std::fs::write(&path, "no picture").unwrap();
    window.input_mut().dropped_files.push(std::sync::Arc::new(Dropped(path)));
    crate::support::until(&mut window, |app| !app.notices.is_empty());
    let text = window.state().notices[0].text.clone();
    assert!(text.contains("notes.png") && text.contains("PNG"), "{text}");
    assert!(window.state().doc().is_some(), "what was seen stays");
    assert!(window.query_by_label("Copy").is_some(), "the message can be copied");
}

#[test]
fn a_damaged_trace_says_what_to_do() {
    let mut window = window();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.vlmtrace");
    std::fs::write(&path, [7_u8; 40]).unwrap();
    window.state().intents.send(Intent::Open(path));
    crate::support::until(&mut window, |app| !app.notices.is_empty());
    assert!(window.state().notices[0].text.contains("cut.vlmtrace"));
}

#[test]
fn a_best_head_is_one_the_matrix_has() {
    let mut window = window();
    window.key_press(Key::B);
    settle(&mut window);
    let best = state(&window).map;
    window.key_press(Key::N);
    settle(&mut window);
    let next = state(&window).map;
    assert!(best.layers.only().is_some() && best.heads.only().is_some());
    assert_ne!((best.layers, best.heads), (next.layers, next.heads));
}

#[test]
fn a_bookmark_brings_the_view_back() {
    let mut window = window();
    window.key_press(Key::B);
    settle(&mut window);
    let kept = state(&window);
    window.key_press_modifiers(Modifiers::COMMAND, Key::D);
    settle(&mut window);
    window.key_press(Key::M);
    window.key_press(Key::W);
    settle(&mut window);
    assert_ne!(state(&window), kept);
    window.state().intents.send(Intent::Bookmark(BookmarkCommand::GoTo(0)));
    settle(&mut window);
    assert_eq!(state(&window), kept);
}

#[test]
fn every_quantity_and_every_look_draws() {
    let mut window = window();
    for &quantity in Quantity::ALL {
        window.state().intents.command(Command::SetQuantity(quantity));
        settle(&mut window);
    }
    for key in [Key::C, Key::V, Key::I, Key::K, Key::G, Key::O, Key::P, Key::E] {
        for _ in 0..3 {
            window.key_press(key);
            settle(&mut window);
        }
    }
    let errors: Vec<_> = window.state().notices.iter().filter(|notice| notice.is_error).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_film_plays_and_stops() {
    let mut window = window();
    window.key_press(Key::Home);
    settle(&mut window);
    window.key_press(Key::Space);
    window.run_steps(2);
    assert!(window.state().transport.playing);
    window.run_steps(8);
    let at = state(&window).map.queries.set.only().unwrap();
    assert!(at > 0, "the film went on");
    window.key_press(Key::Space);
    window.run_steps(2);
    assert!(!window.state().transport.playing);
}

#[test]
fn a_narrow_window_keeps_its_stage() {
    let mut window = window_with([760.0, 620.0], 1.0);
    let stage = window.get_by_label_contains("Stage:").rect();
    assert!(stage.width() > 700.0, "{stage:?}");
    window.get_by_label("Inspector").click();
    settle(&mut window);
    assert!(window.query_by_label("Layer 0").is_some(), "the inspector stands over the stage");
    window.key_press(Key::Escape);
    settle(&mut window);
    assert!(window.query_by_label("Layer 0").is_none());
}

#[test]
fn both_themes_and_two_densities_draw() {
    for (size, scale) in [([1280.0, 720.0], 1.0), ([960.0, 540.0], 2.0)] {
        let mut window = window_with(size, scale);
        for _ in 0..2 {
            window.state().intents.act(vlmscope::ui::shortcuts::UiCommand::ToggleTheme);
            settle(&mut window);
            let image = crate::support::rendered(&mut window);
            let mean = image.pixels().map(|p| u64::from(p.0[0])).sum::<u64>()
                / u64::from(image.width() * image.height());
            let light = window.state().settings.theme == Some(vlmscope::view::Theme::Light);
            assert_eq!(light, mean > 128, "mean {mean}");
        }
    }
}

#[test]
fn without_a_trace_the_stage_says_what_to_do() {
    let mut window = crate::support::empty_window();
    settle(&mut window);
    assert!(window.query_by_label_contains("Drop a picture, a trace or a table here").is_some());
    for key in [Key::W, Key::ArrowRight, Key::B, Key::Space, Key::M, Key::R, Key::Num0] {
        window.key_press(key);
        settle(&mut window);
    }
    assert!(window.state().doc().is_none());
}

#[test]
fn keys_of_one_frame_build_on_each_other() {
    let mut window = window();
    // As after a stall: the best head, pinned, then the mean to compare with it.
    for key in [Key::B, Key::X, Key::M] {
        window.key_press(key);
    }
    settle(&mut window);
    let state = state(&window);
    let pinned = state.second.expect("the best head is pinned").map;
    assert!(pinned.layers.only().is_some() && pinned.heads.only().is_some());
    assert_eq!((state.map.layers, state.map.heads), (AxisSet::MEAN, AxisSet::MEAN));
}
