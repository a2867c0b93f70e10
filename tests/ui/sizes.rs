//! The window at small and large sizes: nothing folds to a line without contents, covers another text or jumps.

use crate::support::{Window, click, open, settle, shoot, until};
use egui::{Modifiers, Rect};
use egui_kittest::kittest::Queryable as _;
use vlmscope::analysis::outline::{Outline, RegionPart};
use vlmscope::trace;
use vlmscope::ui::Start;
use vlmscope::ui::intent::Intent;
use vlmscope::ui::layout::Pane;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::what_if::{Compare, WhatIfCommand};
use vlmscope::view::figure::text_of;
use vlmscope::view::{AxisSet, Command, MarkedObject, Queries, ViewState};

const SMALL: [f32; 2] = [1280.0, 720.0];
const LARGE: [f32; 2] = [1920.0, 1080.0];
const CELLS: &str = "Layer and head: click to choose, drag to scrub";
const BARS: &str = "Heads of the layer: click to choose, drag to scrub";

fn answered(size: [f32; 2]) -> Window {
    let mut window = open(size, 1.0, Start::BuiltIn, None);
    until(&mut window, |app| app.chat.asking.is_none() && app.doc().is_some());
    window
}

fn ask(window: &mut Window, question: &'static str) {
    window.state().intents.send(Intent::Ask(question.into()));
    until(window, |app| {
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| doc.meta().question == question)
    });
}

fn state(window: &Window) -> ViewState {
    window.state().doc().expect("a document").state().clone()
}

fn send(window: &mut Window, command: Command) {
    window.state().intents.command(command);
    settle(window);
}

fn show(window: &mut Window, pane: Pane) {
    window.state().intents.send(Intent::ShowPanel(pane));
    settle(window);
}

/// Marks a part of the picture, in shares of its sides.
fn mark(window: &mut Window, name: &str, [x, y, width, height]: [f64; 4]) {
    let size = window.state().doc().unwrap().meta().preprocess[0].original_size.map(f64::from);
    let rect = trace::Rect {
        x: x * size[0],
        y: y * size[1],
        width: width * size[0],
        height: height * size[1],
    };
    let outline = Outline::Rectangle { rect };
    let parts = vec![RegionPart { outline, cut: false }];
    let object = MarkedObject { name: name.to_owned(), picture: 0, parts };
    send(window, Command::SetObject(0, Box::new(object)));
    send(window, Command::ChooseObject(Some(0)));
}

#[test]
fn what_if_leaves_the_matrix_and_the_bars_legible_on_a_small_window() {
    let mut window = answered(SMALL);
    for pane in [Pane::WhatIf, Pane::WhyWord, Pane::HeadStrip, Pane::Matrix] {
        show(&mut window, pane);
        shoot(&mut window, &format!("small_{pane:?}"));
        let layers = window.state().doc().unwrap().extent.layers as f32;
        let heads = window.state().doc().unwrap().extent.heads as f32;
        let cells = window.get_by_label(CELLS).rect();
        assert!(cells.height() / layers >= 10.0, "{pane:?}: {cells:?}");
        assert!(cells.width() / heads >= 10.0, "{pane:?}: {cells:?}");
        let last = egui::pos2(
            cells.left() + (heads - 0.5) / heads * cells.width(),
            cells.top() + 0.5 / layers * cells.height(),
        );
        click(&mut window, last, Modifiers::NONE);
        let map = state(&window).map;
        assert_eq!((map.layers.only(), map.heads.only()), (Some(0), Some(heads as u32 - 1)));
        if pane == Pane::WhyWord {
            continue;
        }
        let bars = window.get_by_label(BARS).rect();
        assert!(bars.height() >= 40.0, "{pane:?}: {bars:?}");
        let first = bars.left_center() + egui::vec2(4.0, 0.0);
        click(&mut window, first, Modifiers::NONE);
        assert_eq!(state(&window).map.heads.only(), Some(0), "{pane:?}");
    }
    show(&mut window, Pane::WhatIf);
    // The lower panel scrolls: each button of What if can be reached.
    window.get_by_label("Occlusion map").scroll_to_me();
    settle(&mut window);
    let button = window.get_by_label("Occlusion map").rect();
    assert!(button.bottom() <= SMALL[1] && button.height() > 10.0, "{button:?}");
}

/// The rectangle of the picture on the stage, in pixels.
fn picture(window: &Window) -> Rect {
    let rect = window.state().stage.figure().expect("a figure").visible();
    Rect::from_min_size(egui::pos2(rect.x, rect.y), egui::vec2(rect.width, rect.height))
}

#[test]
fn the_picture_keeps_its_place_while_heads_and_words_are_scrubbed() {
    for size in [SMALL, LARGE] {
        let mut window = answered(size);
        let all = picture(&window);
        assert!(all.height() > 100.0);
        for (layer, head) in [(0, 0), (5, 7)] {
            send(&mut window, Command::SetLayerHead(layer, head));
            assert_eq!(picture(&window), all, "{size:?}: L{layer} H{head}");
        }
        send(&mut window, Command::SetLayers(AxisSet::MEAN));
        assert_eq!(picture(&window), all, "{size:?}: one head of all layers");
        send(&mut window, Command::SetHeads(AxisSet::MEAN));
        for answer in 0..window.state().doc().unwrap().extent.answers {
            send(&mut window, Command::SetQueries(Queries::answer(answer)));
            assert_eq!(picture(&window), all, "{size:?}: answer token {answer}");
        }
        // A hovered cell is shown at once.
        let cells = window.get_by_label(CELLS).rect();
        window.hover_at(cells.center());
        settle(&mut window);
        assert!(window.state().shown.map.layers.only().is_some());
        assert_eq!(picture(&window), all, "{size:?}: a hovered head");
        shoot(&mut window, &format!("steady_{}", size[0]));
    }
}

#[test]
fn the_head_of_an_object_covers_no_name_of_an_answer() {
    for size in [SMALL, LARGE] {
        let mut window = answered(size);
        let first = window.state().current.unwrap();
        ask(&mut window, "What colour is the balloon?");
        mark(&mut window, "object 1", [0.7, 0.05, 0.25, 0.4]);
        window.state().intents.send(Intent::WhatIf(WhatIfCommand::CompareWith(first)));
        until(&mut window, |app| app.what_if.comparison.is_some());
        for how in [Compare::SideBySide, Compare::Swipe] {
            window.state().intents.send(Intent::WhatIf(WhatIfCommand::Compare(how)));
            until(&mut window, |app| app.what_if.second_stage.is_some());
            settle(&mut window);
            shoot(&mut window, &format!("object_{how:?}_{}", size[0]));
            let stage = window.get_by_label_contains("Stage:").rect();
            let readout = window.get_by_label_contains("looks at it most").rect();
            let names: Vec<(&str, Rect)> = ["This answer", "The other question, scored"]
                .into_iter()
                .flat_map(|name| {
                    window.query_all_by_label_contains(name).map(move |node| (name, node.rect()))
                })
                .filter(|(_, rect)| stage.contains_rect(*rect))
                .collect();
            assert_eq!(names.len(), 2, "{how:?}: {names:?}");
            assert!(stage.contains_rect(readout), "{readout:?}");
            for (name, rect) in &names {
                assert!(!rect.intersects(readout), "{size:?} {how:?}: {name} is covered");
            }
            assert!(!names[0].1.intersects(names[1].1), "{how:?}: {names:?}");
            if how == Compare::SideBySide {
                assert!(readout.right() <= stage.center().x, "{readout:?}");
                assert!(names[0].1.right() <= stage.center().x, "{names:?}");
            }
        }
    }
}

#[test]
fn a_ranking_with_a_long_name_stays_within_its_panel() {
    let name = "the second balloon from the left, half behind the tree and its branches";
    for size in [SMALL, LARGE] {
        let mut window = answered(size);
        mark(&mut window, name, [0.7, 0.05, 0.25, 0.4]);
        ask(&mut window, "What colour is the balloon?");
        mark(&mut window, name, [0.7, 0.05, 0.25, 0.4]);
        show(&mut window, Pane::Ranking);
        shoot(&mut window, &format!("ranking_{}", size[0]));
        let over = window.get_by_label_contains("over 2 answers").rect();
        let columns = window.get_by_label("Columns: inside, on picture, of it").rect();
        let row = window.get_all_by_label_contains("L5 H").next().unwrap().rect();
        let strip = window.get_by_label(BARS).rect();
        let words = window.get_by_label_contains("words → inside").rect();
        for rect in [over, columns, row, strip, words] {
            assert!(rect.right() <= size[0] - 8.0, "{size:?}: {rect:?}");
        }
        let left = columns.left();
        assert!(size[0] - left < 400.0, "the panel keeps its width: {columns:?}");
        window.get_by_label_contains("over 2 answers").hover();
        settle(&mut window);
        let whole = format!("“{name}”: the mean over all open");
        assert!(window.query_by_label_contains(&whole).is_some(), "the tooltip has the name");
    }
}

/// Rectangle of the messages.
fn messages(window: &Window) -> Rect {
    let area = window.ctx.memory(|memory| memory.area_rect(egui::Id::unique("notices")));
    area.expect("messages are shown")
}

#[test]
fn messages_cover_neither_the_caption_nor_the_question() {
    for size in [SMALL, [960.0, 600.0], LARGE] {
        let mut window = answered(size);
        // Eight errors of several lines: the list scrolls.
        for number in 1..=8 {
            let cause = "the file was cut while it was copied, so that its index is missing. ";
            let text = format!("Error number {number}: {}", cause.repeat(4));
            window.state_mut().notify(text, true);
        }
        settle(&mut window);
        for is_listed in [false, true] {
            if is_listed {
                window.get_by_label("Show all").click();
                settle(&mut window);
            }
            shoot(&mut window, &format!("messages_{}_{is_listed}", size[0]));
            let stage = window.get_by_label_contains("Stage:").rect();
            let caption = picture(&window).bottom() + stage.top();
            let question = window.get_by_label("Question").rect();
            let area = messages(&window);
            assert!(area.height() > 100.0 && stage.contains_rect(area), "{size:?}: {area:?}");
            assert!(area.bottom() <= caption, "{size:?}: {area:?} covers {caption}");
            assert!(!area.intersects(question), "{size:?}: {area:?} covers {question:?}");
        }
    }
}

#[test]
fn messages_take_the_height_that_they_need() {
    let mut window = answered(SMALL);
    window.state_mut().notify("The file is saved.", false);
    settle(&mut window);
    let one = messages(&window).height();
    let cause = "the file was cut while it was copied, so that its index is missing. ";
    let error = format!("An answer is left out: {}", cause.repeat(4));
    window.state_mut().notify(error.clone(), true);
    settle(&mut window);
    shoot(&mut window, "messages_grow");
    let area = messages(&window);
    let text = window.get_by_label(&error).rect();
    assert!(area.height() > one + text.height(), "{area:?} after {one}");
    assert!(area.contains_rect(text), "{text:?} in {area:?}");
    assert!(area.contains_rect(window.get_by_label("The file is saved.").rect()));
    // Later messages do not take its place.
    for number in 1..=4 {
        window.state_mut().notify(format!("Message number {number}."), false);
    }
    settle(&mut window);
    shoot(&mut window, "messages_error_stays");
    let area = messages(&window);
    assert!(area.contains_rect(window.get_by_label(&error).rect()), "{area:?}");
    assert!(window.query_by_label("3 earlier messages").is_some());
}

/// Gives a window its points after a change of the scale, as a real one of `pixels` does.
fn fit_points(window: &mut Window, pixels: [f32; 2]) {
    for _ in 0..3 {
        let scale = window.ctx.zoom_factor();
        window.set_size(egui::Vec2::from(pixels) / scale);
        settle(window);
    }
}

#[test]
fn the_largest_text_leaves_caption_and_transport_in_sight() {
    for pixels in [SMALL, LARGE] {
        let mut window = answered(pixels);
        fit_points(&mut window, pixels);
        let usual = window.ctx.zoom_factor();
        for _ in 0..20 {
            window.key_press_modifiers(Modifiers::COMMAND, egui::Key::Plus);
            fit_points(&mut window, pixels);
        }
        shoot(&mut window, &format!("largest_text_{}", pixels[0]));
        let largest = window.ctx.zoom_factor();
        assert!(largest > 1.3 * usual, "{pixels:?}: {largest}");
        window.key_press_modifiers(Modifiers::COMMAND, egui::Key::Plus);
        // The message goes by itself.
        window.step();
        window.step();
        let told = "Larger text needs a larger window.";
        assert!(window.state().notices.iter().any(|notice| notice.text == told));
        let stage = window.get_by_label_contains("Stage:").rect();
        let figure = window.state().stage.figure().expect("a figure").clone();
        let shown = figure.visible();
        assert!(shown.height >= 0.4 * stage.height() * largest, "{pixels:?}: {shown:?}");
        let bottom = stage.height() * largest;
        let is_caption = |label: &vlmscope::view::figure::Label| {
            text_of(&label.runs).starts_with("attention") && label.baseline[1] < bottom
        };
        assert!(figure.labels.iter().any(is_caption), "{pixels:?}: no caption");
        let screen = window.ctx.content_rect();
        let play = window.get_by_label(&UiCommand::Play.hint()).rect();
        assert!(screen.contains_rect(play), "{pixels:?}: {play:?} in {screen:?}");
        window.key_press_modifiers(Modifiers::COMMAND, egui::Key::Minus);
        fit_points(&mut window, pixels);
        assert!(window.ctx.zoom_factor() < largest, "the next smaller size, at once");
        window.key_press_modifiers(Modifiers::COMMAND, egui::Key::Num0);
        fit_points(&mut window, pixels);
        assert!((window.ctx.zoom_factor() - usual).abs() < 1e-3, "{pixels:?}");
    }
}
