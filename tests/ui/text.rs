//! Text and layout: tabs, the lines of the token strip, jumps of the palette, whole pixels.

use crate::support::{Window, settle, window, window_with};
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use vlmscope::ui::layout::Pane;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::view::{ColorMap, Command, ViewState};

fn state(window: &Window) -> ViewState {
    window.state().doc().expect("a document").state().clone()
}

fn type_into_palette(window: &mut Window, text: &str) {
    window.key_press_modifiers(Modifiers::COMMAND, Key::P);
    settle(window);
    window.event(egui::Event::Text(text.into()));
    settle(window);
    window.key_press(Key::Enter);
    settle(window);
    assert!(!window.state().palette_open, "{text}");
}

#[test]
fn every_tab_is_in_sight_and_one_click_away() {
    const BARE: [Pane; 3] = [Pane::Chat, Pane::Stage, Pane::Tokens];
    let sizes = [
        ([1280.0, 720.0], 1.0),
        ([1280.0, 600.0], 1.0),
        ([1000.0, 700.0], 1.5),
        ([1600.0, 1200.0], 1.0),
    ];
    for (size, scale) in sizes {
        let mut window = window_with(size, scale);
        let place = |window: &Window, pane: Pane| {
            let rect = window.get_by_label(pane.title()).rect();
            let is_in_sight = rect.min.x >= 0.0
                && rect.max.x <= size[0]
                && rect.min.y >= 0.0
                && rect.max.y <= size[1]
                && rect.width() > 20.0;
            assert!(is_in_sight, "{pane:?} at {size:?}: {rect}");
            rect
        };
        for &pane in Pane::ALL.iter().filter(|pane| !BARE.contains(pane)) {
            let before = place(&window, pane);
            window.get_by_label(pane.title()).click();
            settle(&mut window);
            let after = place(&window, pane);
            // On a low window, the row of the chosen tab takes the room of the others.
            let has_room = size[1] / scale >= 1000.0;
            let moved = (after.min - before.min).length();
            assert!(!has_room || moved < 1.0, "{pane:?} at {size:?} has moved by {moved}");
            window.get_by_label(pane.title()).click();
            settle(&mut window);
            let again = (place(&window, pane).min - after.min).length();
            assert!(again < 1.0, "{pane:?} at {size:?} moves with every click, by {again}");
        }
    }
}

#[test]
fn a_long_prompt_leaves_the_answer_in_sight() {
    let mut window = window_with([960.0, 540.0], 1.0);
    let answer = |window: &Window| {
        let words = window.get_all_by_label_contains("Answer word");
        words.map(|word| word.rect()).reduce(egui::Rect::union).expect("an answer")
    };
    let folded = answer(&window);
    assert!(folded.max.y < 540.0 - 34.0, "above the transport: {folded}");
    window.get_by_label("Show the whole prompt").click();
    settle(&mut window);
    assert!(window.state().settings.prompt_open);
    let open = answer(&window);
    assert!(open.max.y < 540.0 - 34.0 && open.min.y > 540.0 / 2.0, "{open}");
    window.get_by_label("Fold the prompt").click();
    settle(&mut window);
    assert_eq!(answer(&window), folded);
}

#[test]
fn the_palette_jumps_to_heads_words_and_looks() {
    let mut window = window();
    for (text, layer, head) in [("L1 H2", 1, 2), ("2.0", 2, 0)] {
        type_into_palette(&mut window, text);
        let map = state(&window).map;
        assert_eq!((map.layers.only(), map.heads.only()), (Some(layer), Some(head)), "{text}");
    }
    type_into_palette(&mut window, "colour map: magma");
    assert_eq!(state(&window).colormap, ColorMap::Magma);
    let before = state(&window).map.queries;
    let name = window.get_all_by_label_contains("Answer word").last().expect("a word");
    let name = egui_kittest::kittest::NodeT::accesskit_node(&name).label().unwrap();
    type_into_palette(&mut window, &name.replace("Answer word", "word:"));
    assert_ne!(state(&window).map.queries, before, "{name}");
}

#[test]
fn a_head_that_the_model_lacks_is_said() {
    let mut window = window();
    window.key_press_modifiers(Modifiers::COMMAND, Key::P);
    settle(&mut window);
    window.event(egui::Event::Text("L99 H0".into()));
    settle(&mut window);
    assert!(window.query_by_label_contains("This model has layers 0–").is_some());
}

#[test]
fn the_stage_lies_on_whole_pixels() {
    for scale in [1.0, 1.25, 1.5, 2.25] {
        let mut window = window_with([1283.0, 721.0], scale);
        window.state().intents.act(UiCommand::ShowHeads);
        settle(&mut window);
        let rect = window.state().stage_rect;
        for edge in [rect.left(), rect.top(), rect.right(), rect.bottom()] {
            let pixels = edge * scale;
            assert!((pixels - pixels.round()).abs() < 0.01, "{edge} at {scale}");
        }
    }
}

#[test]
fn places_are_counted_from_one() {
    let mut window = window();
    window.state().intents.command(Command::SetQueries(vlmscope::view::Queries::answer(3)));
    settle(&mut window);
    let doc = window.state().doc().unwrap();
    let text = window.state().transport.axis.place_text(doc);
    assert_eq!(text, format!("4 of {}", doc.extent.answers));
}

#[test]
fn bookmarks_say_what_tells_them_apart_and_show_it() {
    let mut window = window();
    window.state().intents.send(vlmscope::ui::intent::Intent::ShowPanel(Pane::Bookmarks));
    for head in [1, 3] {
        window.state().intents.command(Command::SetLayerHead(2, head));
        settle(&mut window);
        window.state().intents.act(UiCommand::Bookmark);
        settle(&mut window);
    }
    for name in ["Show bookmark 1: L2 H1", "Show bookmark 2: L2 H3"] {
        assert!(window.query_by_label(name).is_some(), "{name}");
    }
    crate::support::until(&mut window, |app| {
        app.thumbnails.len() == 2 && app.thumbnails.iter().all(|own| own.texture.is_some())
    });
}

#[test]
fn a_pasted_question_scrolls_in_its_field_and_its_error_is_in_sight() {
    let mut window = window();
    let short = window.get_by_label("Question").rect().height();
    let lines = "a line that is long enough to be wrapped in the panel\n".repeat(40);
    window.state_mut().chat.question = lines;
    window.state_mut().chat.error = Some("The question is too long.".into());
    settle(&mut window);
    let error = window.get_by_label_contains("The question is too long").rect();
    assert!(error.max.y < 420.0, "{error}, below a field of {short} points");
    assert!(window.get_by_label("Ask").rect().max.y < error.min.y);
}
