//! Marked objects, quantities of the matrix, sets of heads, verdicts, and one head over all answers.

use crate::support::{
    Window, click, copied, drag, open, settle, shoot, trace, until, window, window_with,
};
use egui::{Key, Modifiers, Pos2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use std::sync::Arc;
use vlmscope::analysis::outline::Outline;
use vlmscope::analysis::verdict::Verdict;
use vlmscope::settings::Settings;
use vlmscope::ui::Start;
use vlmscope::ui::document::Document;
use vlmscope::ui::intent::{HeadsCommand, Intent};
use vlmscope::ui::layout::Pane;
use vlmscope::ui::marking::MarkTool;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::what_if::{Compare, WhatIfCommand};
use vlmscope::view::{AxisSet, Command, Quantity, Queries, ViewKind, ViewState};

fn state(window: &Window) -> ViewState {
    window.state().doc().expect("a document").state().clone()
}

fn show(window: &mut Window, pane: Pane) {
    window.state().intents.send(Intent::ShowPanel(pane));
    settle(window);
}

fn act(window: &mut Window, command: UiCommand) {
    window.state().intents.act(command);
    settle(window);
}

/// A point of the picture on the stage; 0–1 on both axes.
fn on_picture(window: &Window, u: f32, v: f32) -> Pos2 {
    let stage = window.get_by_label_contains("Stage:").rect();
    let visible = window.state().stage.figure().expect("a figure").visible();
    let scale = window.ctx.pixels_per_point();
    let at = egui::vec2(visible.x + u * visible.width, visible.y + v * visible.height);
    stage.min + at / scale
}

fn drag_on_picture(window: &mut Window, from: [f32; 2], to: [f32; 2]) {
    let (from, to) = (on_picture(window, from[0], from[1]), on_picture(window, to[0], to[1]));
    drag(window, from, to);
}

fn marked(window: &mut Window) {
    window.key_press(Key::Y);
    settle(window);
    assert_eq!(window.state().marking.tool, Some(MarkTool::Rectangle));
    drag_on_picture(window, [0.2, 0.3], [0.6, 0.8]);
}

#[test]
fn one_drag_marks_an_object_and_says_which_head_looks_at_it() {
    let mut window = window();
    let before = state(&window);
    marked(&mut window);
    let now = state(&window);
    assert_eq!((now.objects.len(), now.object, now.quantity), (1, Some(0), Quantity::Inside));
    let object = &now.objects[0];
    let Outline::Rectangle { rect } = &object.parts[0].outline else { panic!("{object:?}") };
    let doc = window.state().doc().unwrap();
    let [width, height] = doc.meta().preprocess[0].original_size.map(f64::from);
    // The picture on the stage may be a crop of the original; the shares of its sides hold for a squared one.
    assert!(rect.width > 0.2 * width.min(height) && rect.height > 0.2 * width.min(height));
    // The matrix holds what lies inside, by the definition.
    let matrix = window.state().value_cache.matrix(doc, &now, None);
    let inside = object.inside(&doc.trace);
    let shape = doc.trace.shape();
    let row = now.map.queries.rows(&doc.trace).unwrap()[0] as usize;
    let keys: Vec<usize> = doc.meta().spans.iter().flat_map(|span| span.keys()).collect();
    let mut best = (0, 0.0_f32);
    for at in 0..shape.layers * shape.heads {
        let weights = doc.trace.weights(row, at / shape.heads, at % shape.heads).unwrap();
        let sum: f32 = inside.patches().map(|(patch, part)| weights[keys[patch]] * part).sum();
        assert!((matrix.values[at] - sum).abs() < 1e-5, "cell {at}");
        if sum > best.1 {
            best = (at, sum);
        }
    }
    // The best head is the first of the ranking, and the key goes there.
    let (layer, head) = ((best.0 / shape.heads) as u32, (best.0 % shape.heads) as u32);
    window.key_press(Key::B);
    settle(&mut window);
    let map = state(&window).map;
    assert_eq!((map.layers.only(), map.heads.only()), (Some(layer), Some(head)));
    // The heads of the layer are those of the object.
    assert!(window.query_by_label_contains("inside “object 1”").is_some());
    // Back: the head, then the object.
    for _ in 0..2 {
        window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
        settle(&mut window);
    }
    assert_eq!(state(&window).objects, before.objects);
    assert_eq!(state(&window).quantity, before.quantity);
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    settle(&mut window);
    assert_eq!(state(&window).objects, now.objects, "redo");
}

#[test]
fn an_object_may_begin_and_end_beside_the_picture_and_many_become_a_list() {
    let mut window = window();
    window.key_press(Key::Y);
    settle(&mut window);
    drag_on_picture(&mut window, [-0.05, 0.3], [0.4, 0.7]);
    let doc = window.state().doc().unwrap();
    let Outline::Rectangle { rect } = &doc.state().objects[0].parts[0].outline else {
        panic!("a rectangle")
    };
    let info = &doc.meta().preprocess[0];
    let size = info.original_size.map(f64::from);
    assert!(rect.x >= 0.0 && rect.x < 0.25 * size[0], "it begins at the edge: {rect:?}");
    let from_inside = on_picture(&window, 0.5, 0.5);
    let beside = on_picture(&window, 1.05, 1.02);
    drag(&mut window, from_inside, beside);
    let doc = window.state().doc().unwrap();
    let Outline::Rectangle { rect } = &doc.state().objects[1].parts[0].outline else {
        panic!("a rectangle")
    };
    assert!(rect.x + rect.width <= size[0] + 1e-6 && rect.y + rect.height <= size[1] + 1e-6);
    assert!(window.query_by_label("Objects").is_none(), "two fit side by side");
    for at in 0..8 {
        let left = 0.05 + 0.1 * at as f32;
        drag_on_picture(&mut window, [left, 0.1], [left + 0.08, 0.2]);
    }
    assert_eq!(state(&window).objects.len(), 10);
    let list = window.get_by_label("Objects").rect();
    let rename = window.get_by_label("Rename").rect();
    assert!(list.right() <= rename.left(), "{list} {rename}");
}

#[test]
fn shift_adds_alt_cuts_and_a_click_chooses() {
    let mut window = window();
    marked(&mut window);
    let drag_with = |window: &mut Window, modifiers: Modifiers, from: [f32; 2], to: [f32; 2]| {
        let ends = [from, to].map(|[u, v]| on_picture(window, u, v));
        let button = |pos, pressed| egui::Event::PointerButton {
            pos,
            button: egui::PointerButton::Primary,
            pressed,
            modifiers,
        };
        window.event_modifiers(egui::Event::PointerMoved(ends[0]), modifiers);
        window.event_modifiers(button(ends[0], true), modifiers);
        settle(window);
        for step in 1..=4 {
            let at = ends[0].lerp(ends[1], step as f32 / 4.0);
            window.event_modifiers(egui::Event::PointerMoved(at), modifiers);
            settle(window);
        }
        window.event_modifiers(button(ends[1], false), modifiers);
        settle(window);
    };
    let chance = |window: &Window| {
        let doc = window.state().doc().unwrap();
        doc.state().inside(&doc.trace).unwrap().chance()
    };
    let first = chance(&window);
    drag_with(&mut window, Modifiers::SHIFT, [0.7, 0.3], [0.9, 0.8]);
    assert_eq!(state(&window).objects[0].parts.len(), 2);
    let more = chance(&window);
    assert!(more > first, "{more} {first}");
    drag_with(&mut window, Modifiers::ALT, [0.2, 0.3], [0.4, 0.8]);
    assert!(chance(&window) < more);
    assert_eq!(state(&window).objects.len(), 1);
    // Without a key a drag marks another object.
    drag_with(&mut window, Modifiers::NONE, [0.1, 0.05], [0.4, 0.2]);
    assert_eq!((state(&window).objects.len(), state(&window).object), (2, Some(1)));
    let inside_first = on_picture(&window, 0.8, 0.5);
    click(&mut window, inside_first, Modifiers::NONE);
    assert_eq!(state(&window).object, Some(0));
    let outside = on_picture(&window, 0.95, 0.95);
    click(&mut window, outside, Modifiers::NONE);
    assert_eq!((state(&window).object, state(&window).quantity), (None, Quantity::Focus));
    // A name, which is selected when its field opens, and deleting.
    window.key_press_modifiers(Modifiers::SHIFT, Key::Y);
    settle(&mut window);
    assert_eq!(state(&window).object, Some(0));
    act(&mut window, UiCommand::RenameObject);
    let field = window.get_by_label("Name of the object");
    field.type_text("the fox");
    settle(&mut window);
    window.key_press(Key::Enter);
    settle(&mut window);
    assert_eq!(state(&window).objects[0].name, "the fox");
    act(&mut window, UiCommand::DeleteObject);
    assert_eq!((state(&window).objects.len(), state(&window).object), (1, None));
    window.key_press(Key::Escape);
    settle(&mut window);
    assert_eq!(window.state().marking.tool, None, "Escape puts the tool down");
}

#[test]
fn lasso_and_brush_mark_what_they_pass() {
    let mut window = window();
    window.key_press(Key::Y);
    settle(&mut window);
    window.get_by_label("Lasso").click();
    settle(&mut window);
    let corners = [[0.2, 0.2], [0.7, 0.25], [0.6, 0.7], [0.25, 0.6]];
    let points: Vec<Pos2> = corners.iter().map(|[u, v]| on_picture(&window, *u, *v)).collect();
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    window.event(egui::Event::PointerMoved(points[0]));
    window.event(button(points[0], true));
    settle(&mut window);
    for point in &points[1..] {
        window.event(egui::Event::PointerMoved(*point));
        settle(&mut window);
    }
    window.event(button(points[3], false));
    settle(&mut window);
    let outline = state(&window).objects[0].parts[0].outline.clone();
    assert!(matches!(&outline, Outline::Lasso { points } if points.len() >= 4), "{outline:?}");
    let outside = on_picture(&window, 0.95, 0.95);
    click(&mut window, outside, Modifiers::NONE);
    assert_eq!(state(&window).object, None);
    window.get_by_label("Brush").click();
    settle(&mut window);
    drag_on_picture(&mut window, [0.1, 0.9], [0.5, 0.9]);
    let objects = state(&window).objects;
    assert!(matches!(&objects[1].parts[0].outline, Outline::Stroke { .. }), "{objects:?}");
    // The brush goes on with the chosen object.
    drag_on_picture(&mut window, [0.5, 0.9], [0.5, 0.8]);
    assert_eq!(state(&window).objects[1].parts.len(), 2);
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}

#[test]
fn another_question_about_the_picture_asks_about_the_same_objects() {
    let mut window = window();
    marked(&mut window);
    let objects = state(&window).objects;
    let again = Document::new(trace(), &ViewState::default());
    window.state_mut().add_document(again);
    settle(&mut window);
    assert_eq!(state(&window).objects, objects);
    assert_eq!(state(&window).quantity, Quantity::Inside);
}

#[test]
fn the_ends_of_the_colours_can_be_dragged_and_reset() {
    let mut window = window();
    let bar = window.get_by_label_contains("Colours from").rect();
    let y = bar.top() + 10.0;
    let (right, middle) = (egui::pos2(bar.right() - 17.0, y), egui::pos2(bar.center().x, y));
    drag(&mut window, right, middle);
    let [low, high] = state(&window).matrix_range.expect("a range");
    let doc = window.state().doc().unwrap();
    let matrix = window.state().value_cache.matrix(doc, &state(&window), None);
    let middle_of = f64::from(matrix.range[0] + matrix.range[1]) / 2.0;
    assert!((high - middle_of).abs() < 0.05 * middle_of, "{high} {middle_of}");
    assert!((low - f64::from(matrix.range[0])).abs() < 1e-6);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(state(&window).matrix_range, None, "a drag is one step of undo");
    drag(&mut window, right, middle);
    window.ctx.options_mut(|options| options.input_options.max_double_click_delay = 10.0);
    click(&mut window, middle, Modifiers::NONE);
    click(&mut window, middle, Modifiers::NONE);
    assert_eq!(state(&window).matrix_range, None, "a double click resets");
}

#[test]
fn quantities_that_are_not_there_say_what_to_do() {
    let mut window = window();
    window.state().intents.command(Command::SetQuantity(Quantity::Inside));
    settle(&mut window);
    window.get_by_label("Mark an object").click();
    settle(&mut window);
    assert_eq!(window.state().marking.tool, Some(MarkTool::Rectangle));
    window.state().intents.command(Command::SetQuantity(Quantity::Effect));
    settle(&mut window);
    assert!(window.query_by_label("Measure it").is_some());
    // The key skips what cannot be shown.
    for _ in 0..Quantity::ALL.len() {
        window.key_press(Key::Q);
        settle(&mut window);
        let quantity = state(&window).quantity;
        assert!(!matches!(quantity, Quantity::Inside | Quantity::Effect | Quantity::Change));
    }
    // The matrix view shows something in any case.
    window.state().intents.command(Command::SetQuantity(Quantity::Effect));
    settle(&mut window);
    window.key_press(Key::L);
    settle(&mut window);
    assert_eq!(
        (state(&window).view, state(&window).quantity),
        (ViewKind::LayerHead, Quantity::Focus)
    );
}

#[test]
fn the_change_is_the_first_share_minus_the_second() {
    let mut window = window();
    window.state().intents.command(Command::SetQueries(Queries::answer(1)));
    act(&mut window, UiCommand::PinMap);
    window.state().intents.command(Command::SetQueries(Queries::answer(2)));
    window.state().intents.command(Command::SetQuantity(Quantity::Change));
    settle(&mut window);
    let now = state(&window);
    let doc = window.state().doc().unwrap();
    let of = |token: u32, quantity: Quantity| {
        let mut state = ViewState { quantity, ..now.clone() };
        state.map.queries = Queries::answer(token);
        window.state().value_cache.matrix(doc, &state, None)
    };
    let (first, second) = (of(2, Quantity::ImageShare), of(1, Quantity::ImageShare));
    let change = of(2, Quantity::Change);
    for ((change, first), second) in change.values.iter().zip(&first.values).zip(&second.values) {
        assert!((change - (first - second)).abs() < 1e-6);
    }
    assert_eq!(change.range[0], -change.range[1], "0 is in the middle of the colours");
    // The stage draws the same, and without the pinned map another quantity.
    window.key_press(Key::L);
    settle(&mut window);
    assert!(window.query_by_label_contains("first − second").is_some());
    act(&mut window, UiCommand::PinMap);
    assert_eq!((state(&window).second, state(&window).quantity), (None, Quantity::Focus));
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}

fn cell(window: &Window, layer: u32, head: u32) -> Pos2 {
    let cells = window.get_by_label_contains("Layer and head: click").rect();
    let doc = window.state().doc().unwrap();
    let size = cells.size() / egui::vec2(doc.extent.heads as f32, doc.extent.layers as f32);
    cells.min + size * egui::vec2(head as f32 + 0.5, layer as f32 + 0.5)
}

#[test]
fn heads_are_chosen_one_by_one_averaged_and_kept() {
    let mut window = window_with([1400.0, 900.0], 1.0);
    let click_head = |window: &mut Window, layer, head, modifiers| {
        let at = cell(window, layer, head);
        click(window, at, modifiers);
    };
    click_head(&mut window, 0, 1, Modifiers::NONE);
    click_head(&mut window, 1, 2, Modifiers::COMMAND);
    let map = state(&window).map;
    assert_eq!(map.chosen_heads(), [[0, 1], [1, 2]]);
    // The stage shows their mean.
    let doc = window.state().doc().unwrap();
    let values = state(&window).patch_values(&doc.trace, None).unwrap();
    let row = map.queries.rows(&doc.trace).unwrap()[0] as usize;
    let [a, b] = [(0, 1), (1, 2)].map(|(layer, head)| doc.trace.weights(row, layer, head).unwrap());
    let keys: Vec<usize> = doc.meta().spans.iter().flat_map(|span| span.keys()).collect();
    for (value, key) in values.iter().zip(keys) {
        assert!((value - (a[key] + b[key]) / 2.0).abs() < 1e-6);
    }
    // Shift adds a rectangle from the head that was clicked last.
    click_head(&mut window, 2, 3, Modifiers::SHIFT);
    assert_eq!(state(&window).map.chosen_heads(), [[0, 1], [1, 2], [1, 3], [2, 2], [2, 3]]);
    click_head(&mut window, 1, 3, Modifiers::COMMAND);
    assert_eq!(state(&window).map.chosen_heads(), [[0, 1], [1, 2], [2, 2], [2, 3]]);
    // Kept under a name, in the settings.
    act(&mut window, UiCommand::KeepHeads);
    assert_eq!(window.state().settings.head_sets.len(), 1);
    window.state().intents.send(Intent::Heads(HeadsCommand::Rename(0, "finders".into())));
    settle(&mut window);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    window.state().settings.save(&path).unwrap();
    assert_eq!(Settings::load(&path).0.head_sets, window.state().settings.head_sets);
    show(&mut window, Pane::Matrix);
    click_head(&mut window, 0, 0, Modifiers::NONE);
    assert_eq!(state(&window).map.chosen_heads(), [[0, 0]]);
    show(&mut window, Pane::Ranking);
    window.get_by_label("finders").click();
    settle(&mut window);
    assert_eq!(state(&window).map.chosen_heads().len(), 4);
    window.get_by_label("Delete this set").click();
    settle(&mut window);
    assert!(window.state().settings.head_sets.is_empty());
    // A step along an axis leaves the set.
    window.key_press(Key::M);
    settle(&mut window);
    assert_eq!(state(&window).map.head_set, None);
    assert_eq!(state(&window).map.layers, AxisSet::MEAN);
}

#[test]
fn best_heads_and_bars_add_heads_too() {
    let mut window = window_with([1400.0, 900.0], 1.0);
    show(&mut window, Pane::Ranking);
    let rows: Vec<egui::Rect> =
        window.get_all_by_label_contains(" H").map(|node| node.rect()).collect();
    click(&mut window, rows[0].center(), Modifiers::NONE);
    click(&mut window, rows[2].center(), Modifiers::SHIFT);
    let chosen = state(&window).map.chosen_heads();
    let ranking = {
        let doc = window.state().doc().unwrap();
        window.state().value_cache.ranking(doc, doc.state())
    };
    let mut first: Vec<[u32; 2]> =
        ranking.iter().take(3).map(|one| [one.layer, one.head]).collect();
    first.sort_unstable();
    assert_eq!(chosen, first);
    window.get_by_label("Clear").click();
    settle(&mut window);
    assert!(state(&window).map.chosen_heads().is_empty());
    window.state().intents.command(Command::SetLayerHead(1, 0));
    settle(&mut window);
    let bars = window.get_by_label_contains("Heads of the layer: click").rect();
    let heads = window.state().doc().unwrap().extent.heads;
    let bar = |head: u32| {
        egui::pos2(bars.left() + (head as f32 + 0.5) / heads as f32 * bars.width(), bars.center().y)
    };
    click(&mut window, bar(2), Modifiers::COMMAND);
    assert_eq!(state(&window).map.chosen_heads(), [[1, 0], [1, 2]]);
}

#[test]
fn one_head_over_all_answers_has_mean_and_spread() {
    let mut window = window_with([1400.0, 900.0], 1.0);
    let doc = Document::new(Arc::clone(&trace()), &ViewState::default());
    window.state_mut().add_document(doc);
    window.state().intents.command(Command::SetLayerHead(1, 2));
    act(&mut window, UiCommand::HeadInAnswers);
    assert!(window.query_by_label_contains("(2 answers)").is_some());
    window.get_all_by_label("Copy CSV").next().unwrap().click();
    let text = copied(&mut window);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "heads,tokens,question,answer,picture,image_share,focus,inside");
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("\"L1 H2\",mean of all answer tokens,"), "{text}");
    let share = |line: &str| line.rsplit(',').nth(2).unwrap().parse::<f32>().unwrap();
    assert_eq!(share(lines[1]), share(lines[2]));
    assert!(window.query_by_label("Over all words of each answer").is_some());
    // The other answer opens with the same head, and the panel keeps showing it.
    let first = window.state().docs[0].id;
    let tile = window.get_all_by_label_contains(" %: ").next();
    let at = tile.expect("the tile of the other answer").rect().center();
    click(&mut window, at, Modifiers::NONE);
    assert_eq!(window.state().current, Some(first));
    assert_eq!(state(&window).map.chosen_heads(), [[1, 2]]);
    assert!(window.query_by_label("L1 H2").is_some());
    let (mean, deviation) = vlmscope::ui::value_cache::mean_and_deviation(&[1.0, 2.0, 3.0]);
    assert_eq!((mean, deviation), (2.0, Some(1.0)));
    assert_eq!(vlmscope::ui::value_cache::mean_and_deviation(&[0.5]).1, None);
}

/// The window with a question to the built-in model answered.
fn answered() -> Window {
    answered_in([1400.0, 900.0])
}

fn answered_in(size: [f32; 2]) -> Window {
    let mut window = open(size, 1.0, Start::BuiltIn, None);
    until(&mut window, |app| app.chat.asking.is_none() && app.doc().is_some());
    window.state().intents.send(Intent::Ask("What colour is the balloon?".into()));
    until(&mut window, |app| {
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| doc.meta().answer.contains("red"))
    });
    window
}

fn idle(app: &vlmscope::ui::app::App) -> bool {
    assert!(app.notices.iter().all(|notice| !notice.is_error), "{:?}", app.notices);
    app.tasks.running().is_empty() && app.chat.asking.is_none()
}

#[test]
fn a_verdict_needs_both_measurements_and_shows_them() {
    let mut window = answered();
    show(&mut window, Pane::Relevancy);
    act(&mut window, UiCommand::CheckWords);
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.trace.blank_logprobs().is_some()));
    until(&mut window, idle);
    let doc = window.state().doc().unwrap();
    let words = window.state().value_cache.evidence(doc, doc.state());
    let limits = window.state().settings.verdict;
    let verdict = |text: &str| {
        let word = words.iter().find(|word| word.text.starts_with(text)).expect("a word");
        (word.evidence, word.evidence.verdict(&limits))
    };
    let (red, judged) = verdict("red");
    assert!(red.probability.unwrap() > 0.5, "{red:?}");
    assert!(red.blank_probability.unwrap() < 0.5 * red.probability.unwrap(), "{red:?}");
    assert_eq!(judged, Some(Verdict::Grounded), "{red:?}");
    // The second word repeats the question; the model says it without the picture, too.
    let (balloon, judged) = verdict("balloon");
    assert_eq!(judged, Some(Verdict::NotGrounded), "{balloon:?}");
    // The chosen word's sentence is in the panel.
    let token = words.iter().find(|word| word.text.starts_with("red")).unwrap().tokens[0].0;
    window.state().intents.command(Command::SetQueries(Queries::answer(token)));
    settle(&mut window);
    assert!(window.query_by_label_contains("→ grounded").is_some());
    // Other limits, other verdicts.
    let strict = vlmscope::analysis::verdict::Thresholds { picture_share: 1.0, ..limits };
    window
        .state()
        .intents
        .send(Intent::Settings(vlmscope::ui::intent::SettingsChange::Verdict(strict)));
    settle(&mut window);
    assert!(window.query_by_label_contains("→ partly grounded").is_some());
}

/// The better grounded of two answers is seen in one panel.
#[test]
fn verdicts_of_two_answers_to_one_question_are_side_by_side() {
    let mut window = answered_in([1600.0, 1800.0]);
    let own = window.state().current.unwrap();
    window.state().intents.send(Intent::Score("The balloon is blue.".into()));
    until(&mut window, |app| app.current != Some(own) && app.chat.asking.is_none());
    let other = window.state().current.unwrap();
    window.state().intents.send(Intent::Show(own));
    window.state().intents.send(Intent::WhatIf(WhatIfCommand::CompareWith(other)));
    settle(&mut window);
    // Each stays as it was given: nothing is scored again.
    let both = window.state().what_if.comparison.clone().expect("both answers");
    assert!(window.state().tasks.running().is_empty() && both.is_of_answers());
    assert_eq!(
        both.scored.answer_ids(),
        window.state().docs.get(other).unwrap().trace.answer_ids()
    );
    show(&mut window, Pane::WhatIf);
    window.get_by_label_contains("of this answer,");
    window.get_by_label("Check both answers").click();
    settle(&mut window);
    let is_checked = |app: &vlmscope::ui::app::App| {
        [own, other].iter().all(|id| app.docs.get(*id).unwrap().trace.has_blank_logprobs())
    };
    until(&mut window, is_checked);
    until(&mut window, idle);
    settle(&mut window);
    for (word, grounded) in [("“red.”: ", true), ("“blue.”: ", false)] {
        let line = window.get_by_label_contains(word);
        let node = line.accesskit_node();
        let text = node.label().or_else(|| node.value()).unwrap();
        assert_eq!(text.ends_with("→ grounded"), grounded, "{text}");
    }
    window.get_by_label_contains(" grounded · the other answer: ");
    shoot(&mut window, "both_answers");
    // The rows of the answers have the counts, too.
    let rows = window.query_all_by_label_contains(" of 4 grounded");
    assert_eq!(rows.filter(|row| row.rect().right() < 300.0).count(), 2);
    // A word of the first stands for that of the second.
    let word = window.state().docs.get(own).unwrap().trace.answer_ids().len() as u32 - 3;
    window.state().intents.command(Command::SetQueries(Queries::answer(word)));
    window.state().intents.send(Intent::WhatIf(WhatIfCommand::Compare(Compare::SideBySide)));
    until(&mut window, |app| app.what_if.second_stage.is_some());
    settle(&mut window);
    shoot(&mut window, "both_side_by_side");
    let [first, second] = [both.first, both.second].map(|id| {
        let doc = window.state().docs.get(id).unwrap();
        doc.trace.answer_ids().len() as u32
    });
    let mapped = both.map_of_second(&state(&window).map).queries.set.only().unwrap();
    assert!(mapped < second && word < first);
    assert!(window.state().notices.iter().all(|notice| !notice.is_error));
}

/// No line of the panel is wider than the panel, so that nothing is cut at its right edge.
#[test]
fn the_relevancy_panel_stays_within_its_width_and_shows_words() {
    for size in [[1280.0, 720.0], [1920.0, 1080.0]] {
        let mut window = open(size, 1.0, Start::BuiltIn, None);
        until(&mut window, |app| app.chat.asking.is_none() && app.doc().is_some());
        show(&mut window, Pane::Relevancy);
        let check = |window: &Window, label: &str| {
            for node in window.query_all_by_label_contains(label) {
                let rect = node.rect();
                assert!(rect.right() <= size[0], "{size:?}: {label} ends at {}", rect.right());
            }
        };
        check(&window, "Check every word");
        act(&mut window, UiCommand::ComputeRelevancy);
        until(&mut window, |app| app.doc().is_some_and(|doc| !doc.trace.map_names().is_empty()));
        until(&mut window, idle);
        show(&mut window, Pane::Relevancy);
        for label in ["Check every word", "Relevancy of ", "Compute", "Map on the stage"] {
            check(&window, label);
        }
        act(&mut window, UiCommand::CheckWords);
        until(&mut window, |app| app.doc().is_some_and(|doc| doc.trace.has_blank_logprobs()));
        until(&mut window, idle);
        settle(&mut window);
        for label in [" grounded", "Relevancy of ", "picture"] {
            check(&window, label);
        }
        shoot(&mut window, &format!("relevancy_{}", size[0]));
        let bottom = window.get_by_label("Heads of the layer").rect().top();
        let rows = window.query_all_by_label_contains("Relevancy of ");
        let seen = rows.filter(|row| row.rect().bottom() <= bottom).count();
        assert!(seen >= 3, "{size:?}: {seen} words are in sight");
    }
}

#[test]
fn the_effect_of_each_head_is_kept_and_a_set_is_switched_off() {
    let mut window = answered();
    act(&mut window, UiCommand::EachHeadOff);
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.trace.has_head_effects()));
    until(&mut window, idle);
    assert_eq!(state(&window).quantity, Quantity::Effect);
    let doc = window.state().doc().unwrap();
    let whole = ViewState {
        map: vlmscope::view::MapChoice {
            queries: Queries { kind: vlmscope::view::QueryKind::Answer, set: AxisSet::MEAN },
            ..state(&window).map
        },
        ..state(&window)
    };
    let matrix = window.state().value_cache.matrix(doc, &whole, None);
    let totals = &window.state().what_if.heads.as_ref().unwrap().totals;
    for (value, total) in matrix.values.iter().zip(totals) {
        assert!((value - total.unwrap()).abs() < 1e-4, "{value} {total:?}");
    }
    window.state().intents.command(Command::SetHeadSet(vec![[0, 0], [1, 1]]));
    settle(&mut window);
    act(&mut window, UiCommand::HeadOff);
    until(&mut window, |app| app.what_if.intervened.is_some());
    let done = window.state().what_if.intervened.as_ref().unwrap();
    assert_eq!(done.what, "L0 H0, L1 H1 off");
}
