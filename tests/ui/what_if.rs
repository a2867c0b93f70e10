//! Tests of what-if questions in the window with the built-in model: edit, ask again, compare, cover, cut.

use crate::support::{Window, copied, open, settle, until};
use egui::{Key, Modifiers, PointerButton, Pos2};
use egui_kittest::kittest::Queryable as _;
use vlmscope::edit::{Adjust, Area, LikeColor, Outline, Step};
use vlmscope::trace::{AnswerIndex, PatchRef, Rect, Trace};
use vlmscope::ui::app::App;
use vlmscope::ui::intent::Intent;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::stage::StageRenderer;
use vlmscope::ui::task_result::TaskResult;
use vlmscope::ui::what_if::{Compare, Tool, WhatIfCommand};
use vlmscope::ui::{Start, layout::Pane};
use vlmscope::view::figure::number;
use vlmscope::view::{Command, MapSource, Queries};

const QUESTION: &str = "What colour is the balloon?";

/// The window with a question about the red balloon answered.
fn answered() -> Window {
    answered_in([1280.0, 800.0])
}

fn answered_in(size: [f32; 2]) -> Window {
    let mut window = open(size, 1.0, Start::BuiltIn, None);
    until(&mut window, |app| app.chat.asking.is_none() && app.doc().is_some());
    window.state().intents.send(Intent::Ask(QUESTION.into()));
    until(&mut window, |app| {
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| doc.meta().question == QUESTION)
    });
    assert_eq!(answer(window.state()), "The balloon is red.");
    window
}

fn answer(app: &App) -> &str {
    &app.doc().unwrap().meta().answer
}

fn idle(app: &App) -> bool {
    assert!(app.notices.iter().all(|notice| !notice.is_error), "{:?}", app.notices);
    app.tasks.running().is_empty() && app.chat.asking.is_none()
}

/// The red balloon turned by some degrees of hue.
fn turned(hue: f64) -> Step {
    turned_from([222, 36, 40], hue)
}

/// The area around the balloon with about this colour, turned by some degrees of hue.
fn turned_from(color: [u8; 3], hue: f64) -> Step {
    let rect = Rect { x: 370.0, y: 16.0, width: 142.0, height: 204.0 };
    let like = Some(LikeColor { color, tolerance: 25.0 });
    let area = Area { outline: Outline::Rectangle { rect }, like };
    Step::Adjust { area, by: Adjust { hue, ..Adjust::default() } }
}

/// Keeps a picture of the window where the environment names a folder for it.
fn save(window: &mut Window, name: &str) {
    if let Ok(folder) = std::env::var("VLMSCOPE_TEST_PICTURES") {
        crate::support::rendered(window).save(std::path::Path::new(&folder).join(name)).unwrap();
    }
}

/// Presses a button of a panel that may have to be scrolled to.
fn press(window: &mut Window, label: &str) {
    window.get_by_label(label).scroll_to_me();
    settle(window);
    window.get_by_label(label).click();
    settle(window);
}

fn send(window: &mut Window, command: WhatIfCommand) {
    window.state().intents.send(Intent::WhatIf(command));
    window.step();
    until(window, idle);
}

fn drag(window: &mut Window, from: Pos2, to: Pos2) {
    let modifiers = Modifiers::NONE;
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers,
    };
    window.event(egui::Event::PointerMoved(from));
    window.event(button(from, true));
    window.step();
    for share in 1..=6 {
        window.event(egui::Event::PointerMoved(from + (to - from) * (share as f32 / 6.0)));
        window.step();
    }
    window.event(button(to, false));
    window.step();
}

#[test]
fn an_edit_is_asked_about_at_once_and_undo_brings_the_first_answer_back() {
    let mut window = answered();
    let original = window.state().current;
    window.key_press(Key::D);
    settle(&mut window);
    assert_eq!(window.state().what_if.tool, Some(Tool::Brush));
    send(&mut window, WhatIfCommand::Step(turned(240.0)));
    let app = window.state();
    assert_eq!(answer(app), "The balloon is blue.");
    assert_ne!(app.current, original, "the first answer stays where it was");
    let both = app.what_if.comparison.as_ref().unwrap();
    assert!(both.difference.delta_logprob.iter().sum::<f32>() < -1.0);
    assert!(both.words.iter().any(|run| run.text.contains("blue")));
    assert!(!app.what_if.session.as_ref().unwrap().stale);
    window.state().intents.send(Intent::ShowPanel(Pane::WhatIf));
    settle(&mut window);
    window.get_by_label_contains("not red");

    // A second edit replaces the answer of the first; undo asks again, and again.
    send(&mut window, WhatIfCommand::Step(turned(120.0)));
    let documents = window.state().docs.len();
    window.state().intents.act(UiCommand::Undo);
    window.step();
    until(&mut window, idle);
    assert_eq!(answer(window.state()), "The balloon is blue.");
    assert_eq!(window.state().docs.len(), documents, "one document for all edits");
    window.state().intents.act(UiCommand::Undo);
    window.step();
    until(&mut window, idle);
    assert_eq!(window.state().current, original);
    assert_eq!(answer(window.state()), "The balloon is red.");
    assert!(window.state().what_if.comparison.is_none());
    window.state().intents.act(UiCommand::Redo);
    window.step();
    until(&mut window, idle);
    assert_eq!(answer(window.state()), "The balloon is blue.");
}

#[test]
fn of_edits_in_a_row_the_last_is_answered() {
    let mut window = answered();
    window.state().intents.send(Intent::WhatIf(WhatIfCommand::Tool(Some(Tool::Colors))));
    let (yellow, green) = ([222, 222, 40], [40, 222, 40]);
    for step in [turned(60.0), turned_from(yellow, 60.0), turned_from(green, 120.0)] {
        window.state().intents.send(Intent::WhatIf(WhatIfCommand::Step(step)));
        window.step();
    }
    until(&mut window, idle);
    assert_eq!(answer(window.state()), "The balloon is blue.");
    assert!(window.state().notices.iter().all(|notice| !notice.text.contains("stopped")));
}

#[test]
fn every_tool_works_under_the_pointer_and_each_stroke_is_a_step() {
    let mut window = answered();
    window.state_mut().what_if.live = false;
    settle(&mut window);
    let mut steps = 0;
    for (tool, name, _) in Tool::ALL {
        window.state().intents.send(Intent::WhatIf(WhatIfCommand::Tool(Some(tool))));
        settle(&mut window);
        let stage = window.state().stage_rect;
        let middle = stage.center();
        drag(&mut window, middle - egui::vec2(60.0, 40.0), middle + egui::vec2(50.0, 40.0));
        settle(&mut window);
        steps += 1;
        let session = window.state().what_if.session.as_ref().unwrap();
        assert_eq!(session.edits.steps().len(), steps, "{name}");
        assert!(session.stale, "{name}: not asked yet");
    }
    let tools: Vec<&str> = {
        let session = window.state().what_if.session.as_ref().unwrap();
        session.edits.steps().iter().map(Step::tool).collect()
    };
    assert_eq!(tools, ["stroke", "erase", "fill", "adjust", "blank", "crop"]);
    window.get_by_label("Ask again").click();
    window.step();
    until(&mut window, idle);
    assert!(!window.state().what_if.session.as_ref().unwrap().stale);
    // On the cut picture the pointer still means pixels of the original.
    for left in (0..steps).rev() {
        window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
        settle(&mut window);
        let session = window.state().what_if.session.as_ref().unwrap();
        assert_eq!(session.edits.steps().len(), left);
    }
}

#[test]
fn two_answers_are_seen_together_under_one_view() {
    let mut window = answered();
    window.state().intents.send(Intent::WhatIf(WhatIfCommand::Tool(Some(Tool::Brush))));
    send(&mut window, WhatIfCommand::Step(turned(240.0)));
    let first = window.state().what_if.comparison.as_ref().unwrap().first;
    for how in [Compare::SideBySide, Compare::Swipe, Compare::Flicker, Compare::Difference] {
        window.state().intents.send(Intent::WhatIf(WhatIfCommand::Compare(how)));
        for _ in 0..6 {
            window.step();
        }
        let app = window.state();
        assert_eq!((app.what_if.compare, app.current), (how, Some(first)));
        assert!(app.notices.iter().all(|notice| !notice.is_error), "{how:?}: {:?}", app.notices);
        if how == Compare::Difference {
            let caption = app.stage.caption();
            assert!(caption.contains('−') || caption.contains("minus"), "{caption}");
        } else {
            let own = app.stage.read().unwrap();
            let other = app.what_if.second_stage.as_ref().unwrap().read().unwrap();
            assert_eq!(own.dimensions(), other.dimensions(), "{how:?}");
            assert_ne!(own, other, "{how:?}: the edited picture lies beneath the second");
            let second = app.what_if.second_stage.as_ref().unwrap();
            let ends = |stage: &StageRenderer| stage.figure().unwrap().legend.clone().unwrap().ends;
            let (first_ends, second_ends) = (ends(&app.stage), ends(second));
            if how == Compare::SideBySide {
                assert_ne!(first_ends, second_ends, "each has its own legend");
            } else {
                // One legend that names both maps: the line of the swipe may cut it anywhere.
                assert_eq!(first_ends, second_ends, "{how:?}");
                assert!(first_ends[1].contains(" | "), "{how:?}: {first_ends:?}");
                assert_eq!(app.stage.caption(), second.caption());
                let caption = app.stage.caption();
                assert_eq!(caption.matches(" | ").count(), 2, "range and share: {caption}");
                assert!(caption.contains("% on the picture"), "{caption}");
            }
        }
    }
    window.state().intents.send(Intent::WhatIf(WhatIfCommand::Compare(Compare::Off)));
    settle(&mut window);
    assert!(window.state().what_if.seen_together(window.state().current).is_none());
}

/// The numbers of the hovered patch and of the exported table were those of the first answer alone.
#[test]
fn a_difference_is_hovered_and_exported_as_it_is_drawn() {
    let mut window = answered();
    send(&mut window, WhatIfCommand::Tool(Some(Tool::Brush)));
    send(&mut window, WhatIfCommand::Step(turned(240.0)));
    send(&mut window, WhatIfCommand::Tool(None));
    send(&mut window, WhatIfCommand::Compare(Compare::Difference));
    window.state().intents.send(Intent::ShowPanel(Pane::Numbers));
    window.state().intents.command(Command::SetQueries(Queries::answer(3)));
    window.state().intents.command(Command::SetLayerHead(4, 2));
    settle(&mut window);
    let app = window.state();
    let (first, both) = (&app.doc().unwrap().trace, app.what_if.comparison.as_ref().unwrap());
    let weights = |trace: &Trace| {
        let row = trace.row_of_answer(AnswerIndex(3)).unwrap();
        trace.weights(row, 4, 2).unwrap()[trace.meta().spans[0].extent()].to_vec()
    };
    let [first, second] = [weights(first), weights(&both.scored)];
    let expected: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a - b).collect();
    let [high, largest] = [
        expected.iter().copied().fold(0.0, f32::max),
        expected.iter().map(|value| value.abs()).fold(0.0, f32::max),
    ]
    .map(f64::from);
    assert!(largest > 1e-3, "the answers look at the same patches: {largest}");
    let caption = app.stage.caption();
    assert!(caption.contains(&number(largest, largest)), "{largest} is not in: {caption}");

    // The pointer over the patch that lost most: its number is negative, and in no list of the strongest.
    let least = (0..expected.len()).min_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
    let (row, column) = (least as u32 / 12, least as u32 % 12);
    let content = app.stage.figure().unwrap().content;
    let share = |index: u32| (index as f32 + 0.5) / 12.0;
    let inside = egui::vec2(
        content.x + share(column) * content.width,
        content.y + share(row) * content.height,
    );
    window.hover_at(window.state().stage_rect.min + inside);
    settle(&mut window);
    let patch = window.state().shown.hovered.expect("a patch under the pointer");
    assert_eq!((patch.row, patch.column), (row, column));
    let shown = number(f64::from(expected[least]), high);
    assert!(shown.starts_with('−'), "{shown}");
    // It is also the strongest of those that are listed, although it is negative.
    let label = format!("row {row}, column {column}: {shown}");
    assert!(window.query_all_by_label(&label).count() >= 1);

    window.state().intents.act(UiCommand::CopyNumbers);
    let text = copied(&mut window);
    let exported: Vec<f32> = text
        .lines()
        .skip(2)
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(exported, expected, "{text}");
    assert!(text.starts_with("# ") && text.contains("the second"), "{text}");
    window.state().intents.act(UiCommand::CopyCommandLine);
    let line = copied(&mut window);
    assert!(line.contains("trace = \"SECOND.vlmtrace\""), "{line}");
}

#[test]
fn an_answer_held_against_itself_shows_no_difference() {
    let mut window = answered();
    window.state().intents.send(Intent::Ask(QUESTION.into()));
    let before = window.state().docs.len();
    until(&mut window, |app| app.docs.len() > before && app.chat.asking.is_none());
    let other = window.state().docs[before - 1].id;
    send(&mut window, WhatIfCommand::CompareWith(other));
    let both = window.state().what_if.comparison.as_ref().unwrap();
    assert!(both.difference.is_neutral());
    window.state().intents.send(Intent::ShowPanel(Pane::WhatIf));
    settle(&mut window);
    window.get_by_label_contains("No difference");
}

#[test]
fn an_occlusion_map_grows_on_the_stage() {
    let mut window = answered();
    let draws = window.state().counters.stage_draws;
    window.state().intents.act(UiCommand::OcclusionMap);
    window.step();
    let mut shares = Vec::new();
    let start = std::time::Instant::now();
    while !window.state().tasks.running().is_empty() {
        shares.extend(window.state().tasks.running()[0].share);
        window.step();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(start.elapsed().as_secs() < 60);
    }
    settle(&mut window);
    let app = window.state();
    let doc = app.doc().unwrap();
    assert_eq!(doc.trace.map_names(), ["map.occlusion"]);
    assert_eq!(doc.state().map.source, MapSource::Named("map.occlusion".into()));
    assert!(app.shown.is_diverging(), "its 0 is neutral");
    assert!(app.counters.stage_draws > draws + 2, "it was seen while it grew");
    assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]) && shares.len() > 2);
}

#[test]
fn heads_and_patches_are_switched_off_from_the_window() {
    let mut window = answered();
    window.state().intents.act(UiCommand::EachHeadOff);
    window.step();
    until(&mut window, idle);
    let heads = window.state().what_if.heads.as_ref().unwrap();
    assert!(heads.totals.iter().all(Option::is_some) && heads.totals.len() == 48);
    let strongest = (0..48)
        .max_by(|&a, &b| heads.totals[a].unwrap().abs().total_cmp(&heads.totals[b].unwrap().abs()))
        .unwrap();
    let expected = heads.totals[strongest].unwrap();
    let (layer, head) = (strongest as u32 / 8, strongest as u32 % 8);
    window.state().intents.command(Command::SetLayerHead(layer, head));
    window.state().intents.act(UiCommand::HeadOff);
    window.step();
    until(&mut window, idle);
    let done = window.state().what_if.intervened.as_ref().unwrap();
    assert!((done.effect.total() - expected).abs() < 1e-3);

    window.state().intents.act(UiCommand::KnockOutPatches);
    settle(&mut window);
    assert!(window.state().notices.iter().any(|notice| notice.text.contains("Choose patches")));
    let all: Vec<PatchRef> =
        (0..144).map(|index| PatchRef { span: 0, row: index / 12, column: index % 12 }).collect();
    window.state().intents.command(Command::SelectPatches(all));
    window.state_mut().what_if.from = vlmscope::model::KnockFrom::Text;
    window.state().intents.act(UiCommand::KnockOutPatches);
    window.step();
    until(&mut window, |app| app.tasks.running().is_empty());
    let done = window.state().what_if.intervened.as_ref().unwrap();
    assert!(done.what.contains("144 patches") && done.effect.total() < -0.5, "{}", done.what);
}

#[test]
fn steering_follows_the_slider_and_only_the_latest_strength_is_answered() {
    let mut window = answered();
    let steer = |window: &mut Window, strength| {
        window.state().intents.send(Intent::WhatIf(WhatIfCommand::Steer(strength)));
        window.step();
    };
    steer(&mut window, 2.0);
    settle(&mut window);
    assert!(window.state().notices.iter().any(|notice| notice.text.contains("Choose patches")));
    assert!(window.state().what_if.steering.is_none());

    let fox: Vec<PatchRef> = (0..16)
        .map(|index| PatchRef { span: 0, row: 7 + index / 4, column: 1 + index % 4 })
        .collect();
    window.state_mut().what_if.from = vlmscope::model::KnockFrom::Text;
    window.state().intents.command(Command::SelectPatches(fox));
    window.step();
    for strength in [1.0, 3.0, 8.0] {
        steer(&mut window, strength);
    }
    assert_eq!(window.state().tasks.running().len(), 1, "the latest strength replaces the others");
    until(&mut window, |app| app.tasks.running().is_empty());
    let done = window.state().what_if.intervened.as_ref().unwrap();
    assert!(
        done.is_steered && done.what.contains("16 patches, strength +8.0, all heads"),
        "{}",
        done.what
    );
    assert!(done.effect.total() < -1.0 && done.effect.changes_answer, "{}", done.effect.total());
    settle(&mut window);
    window.get_by_label("Strength of steering");

    steer(&mut window, 0.0);
    settle(&mut window);
    assert!(window.state().what_if.intervened.is_none(), "0 is the answer as it was");
    assert_eq!(window.state().what_if.steering.map(|(_, strength)| strength), Some(0.0));
}

#[test]
fn the_menus_offer_what_can_be_done_here() {
    let mut window = answered();
    let stage = window.state().stage_rect.center();
    window.event(egui::Event::PointerMoved(stage));
    for pressed in [true, false] {
        window.event(egui::Event::PointerButton {
            pos: stage,
            button: PointerButton::Secondary,
            pressed,
            modifiers: Modifiers::NONE,
        });
        window.step();
    }
    settle(&mut window);
    window.get_by_label(UiCommand::KnockOutPatches.name());
    window.get_by_label(UiCommand::OcclusionMap.name()).click();
    window.step();
    until(&mut window, idle);
    assert_eq!(window.state().doc().unwrap().trace.map_names(), ["map.occlusion"]);
}

/// An occlusion map that was asked for while the difference was shown was an error about a map that the other lacks.
#[test]
fn a_map_that_only_one_answer_has_ends_the_comparison() {
    let mut window = answered();
    send(&mut window, WhatIfCommand::Tool(Some(Tool::Brush)));
    send(&mut window, WhatIfCommand::Step(turned(240.0)));
    send(&mut window, WhatIfCommand::Tool(None));
    for how in [Compare::Difference, Compare::Swipe] {
        send(&mut window, WhatIfCommand::Compare(how));
        let trace = std::sync::Arc::clone(&window.state().doc().unwrap().trace);
        let shape = [trace.shape().generated, trace.meta().patches()];
        let values = vec![0.5; shape[0] * shape[1]];
        let found = std::sync::Arc::new(trace.with_map("map.occlusion", &shape, &values).unwrap());
        let id = window.state().current.unwrap();
        let tasks = &mut window.state_mut().tasks;
        tasks.start("Covering", move |_, _| Ok(TaskResult::Occlusion(id, found))).unwrap();
        until(&mut window, |app| app.doc().unwrap().trace.map_names().contains(&"map.occlusion"));
        window
            .state()
            .intents
            .command(Command::SetSource(MapSource::Named("map.occlusion".into())));
        settle(&mut window);
        let app = window.state();
        assert_eq!(app.what_if.compare, Compare::Off, "{how:?}");
        assert!(app.notices.iter().all(|notice| !notice.is_error), "{how:?}: {:?}", app.notices);
        assert!(
            app.notices.iter().any(|notice| notice.text.contains("has no map `map.occlusion`"))
        );
        assert_eq!(app.doc().unwrap().state().map.source.name(), "map.occlusion");
        assert!(app.stage.caption().contains("occlusion"), "{}", app.stage.caption());
        // To compare again is to compare what both have.
        send(&mut window, WhatIfCommand::Compare(how));
        settle(&mut window);
        let app = window.state();
        assert_eq!(app.what_if.compare, how);
        assert_eq!(app.doc().unwrap().state().map.source, MapSource::Attention);
        assert!(app.notices.iter().all(|notice| !notice.is_error), "{:?}", app.notices);
        window.state_mut().notices.clear();
    }
}

#[test]
fn copied_activations_fill_a_table_and_show_their_layer_on_the_stage() {
    use vlmscope::analysis::patching::{PatchResult, Site};
    use vlmscope::model::BlankFill;
    use vlmscope::ui::what_if::patching::{OtherPicture, PatchAsk};

    // The whole panel is in sight.
    let mut window = answered_in([1280.0, 3200.0]);
    let doc = window.state().doc().unwrap();
    let tokens = doc.meta().answer_tokens();
    let red = tokens.iter().position(|token| token.text.contains("red")).unwrap() as u32;
    window.state().intents.command(Command::SetQueries(Queries::answer(red)));
    window.state().intents.send(Intent::ShowPanel(Pane::WhatIf));
    settle(&mut window);
    let blank = OtherPicture::Blank(BlankFill::Mean);
    for site in [Site::Residual, Site::Heads] {
        send(&mut window, WhatIfCommand::Patch(PatchAsk { site, other: blank, is_preview: false }));
        until(&mut window, |app| {
            app.notices.iter().for_each(|notice| assert!(!notice.is_error, "{}", notice.text));
            let trace = &app.doc().unwrap().trace;
            PatchResult::stored(trace, AnswerIndex(red), site).unwrap().is_some()
        });
    }
    let trace = std::sync::Arc::clone(&window.state().doc().unwrap().trace);
    let stored = |site| PatchResult::stored(&trace, AnswerIndex(red), site).unwrap().unwrap();
    let (residual, heads) = (stored(Site::Residual), stored(Site::Heads));
    assert_eq!(residual.done(), residual.patched.len());
    assert_eq!((heads.groups.len(), heads.heads, heads.done()), (1, 8, 48));
    let name = |group: usize| residual.groups[group].name.as_str();
    let balloon =
        (0..residual.groups.len()).find(|&group| name(group) == "balloon").expect("a balloon");
    let cell = residual.cell(balloon, 0, 0).unwrap();
    let restored = residual.restored(cell).unwrap();
    assert!(restored > 0.5, "the balloon's patches carry its colour: {restored}");

    // A layer of the table as a map over the picture: the patches of a group have its number.
    send(&mut window, WhatIfCommand::ShowPatched(Site::Residual, 0));
    settle(&mut window);
    let doc = window.state().doc().unwrap();
    let source = doc.state().map.source.clone();
    assert_eq!(source, MapSource::Named("map.residual_patched_at_layer_0".into()));
    let row = doc.trace.map_row(source.name(), AnswerIndex(red)).unwrap();
    let first = doc.meta().spans[0].first;
    for &key in &residual.groups[balloon].positions {
        assert_eq!(row[(key - first) as usize], restored);
    }
    assert!(window.state().stage.read().is_ok());
    // The panel draws the table that the trace holds.
    let table = window.get_by_label("Copied activations: position × layer").rect();
    if let Ok(folder) = std::env::var("VLMSCOPE_TEST_PICTURES") {
        crate::support::rendered(&mut window)
            .save(std::path::Path::new(&folder).join("patching.png"))
            .unwrap();
    }
    assert!(table.height() > 6.0 * 18.0, "a row for each group: {table}");
}

#[test]
fn copied_activations_are_previewed_stopped_continued_and_marked() {
    use vlmscope::analysis::patching::{PatchResult, Site};
    use vlmscope::model::BlankFill;
    use vlmscope::ui::what_if::patching::{OtherPicture, PatchAsk};
    use vlmscope::view::ViewKind;

    let mut window = answered_in([1600.0, 1000.0]);
    let doc = window.state().doc().unwrap();
    let tokens = doc.meta().answer_tokens();
    let red = tokens.iter().position(|token| token.text.contains("red")).unwrap() as u32;
    window.state().intents.command(Command::SetQueries(Queries::answer(red)));
    window.state().intents.send(Intent::ShowPanel(Pane::WhatIf));
    settle(&mut window);
    let other = OtherPicture::Blank(BlankFill::Mean);
    let site = Site::Residual;
    let held =
        |app: &App| PatchResult::stored(&app.doc().unwrap().trace, AnswerIndex(red), site).unwrap();
    let ask = |is_preview| WhatIfCommand::Patch(PatchAsk { site, other, is_preview });

    // A preview estimates every place; how good it is, nobody knows yet.
    send(&mut window, ask(true));
    until(&mut window, |app| held(app).is_some());
    let preview = held(window.state()).unwrap();
    assert_eq!((preview.done(), preview.estimates.len()), (0, preview.patched.len()));
    assert!(window.query_by_label_contains("correlates with the exact").is_none());

    // A run that is stopped keeps its places.
    window.state().intents.send(Intent::WhatIf(ask(false)));
    window.step();
    until(&mut window, |app| {
        app.what_if.patching.as_ref().is_some_and(|table| table.result.done() > 0)
    });
    let task = window.state().tasks.running().first().map(|task| task.id);
    window.state().intents.send(Intent::CancelTask(task.expect("it runs")));
    until(&mut window, |app| held(app).is_some_and(|table| table.done() > 0));
    let partial = held(window.state()).unwrap();
    assert!(!partial.is_complete(), "{} of {}", partial.done(), partial.patched.len());
    settle(&mut window);
    window.get_by_label_contains(&format!(
        "{} of {} places",
        partial.done(),
        partial.patched.len()
    ));
    save(&mut window, "patch-partial.png");
    press(&mut window, "Continue");
    until(&mut window, |app| held(app).is_some_and(|table| table.is_complete()));
    let whole = held(window.state()).unwrap();
    for (cell, value) in partial.patched.iter().enumerate() {
        assert!(value.is_none() || *value == whole.patched[cell], "{cell}: computed again");
    }
    let correlation = number(whole.correlation().unwrap(), 1.0);
    let agreement = window.get_by_label_contains("correlates with the exact").rect();
    window.get_by_label_contains(&format!("exact values: {}", &correlation[..4]));
    assert!(agreement.width() > 0.0);
    press(&mut window, "Estimate");
    save(&mut window, "patch-estimate.png");

    // A cell under the pointer marks its positions: patches on the stage, words in the strip.
    window.get_by_label("Copied activations: position × layer").scroll_to_me();
    settle(&mut window);
    let table = window.get_by_label("Copied activations: position × layer").rect();
    let row_of = |name: &str| whole.groups.iter().position(|group| group.name == name).unwrap();
    let over = |window: &mut Window, row: usize| {
        let y = table.top() + 18.0 + 20.0 * (row as f32 + 0.5);
        window.event(egui::Event::PointerMoved(Pos2::new(table.right() - 12.0, y)));
        settle(window);
    };
    let balloon = row_of("balloon");
    over(&mut window, balloon);
    let meta = window.state().doc().unwrap().meta();
    let patches: Vec<PatchRef> = whole.groups[balloon]
        .positions
        .iter()
        .map(|&key| meta.patch_of_key(key).unwrap())
        .collect();
    assert!(!patches.is_empty());
    assert_eq!(window.state().shown.selected, patches, "the stage outlines them");
    assert_eq!(window.state().marked, whole.groups[balloon].positions);
    let word = row_of("colour");
    over(&mut window, word);
    assert_eq!(window.state().marked, whole.groups[word].positions);
    assert!(window.state().shown.selected.is_empty());
    window.event(egui::Event::PointerMoved(Pos2::new(2.0, 300.0)));
    settle(&mut window);
    assert!(window.state().marked.is_empty() && window.state().shown.selected.is_empty());

    // The table on the stage marks them, too.
    press(&mut window, "Show on the stage");
    assert_eq!(window.state().doc().unwrap().state().view, ViewKind::Patch);
    let caption = window.state().stage.caption().to_owned();
    assert!(caption.contains("residual stream copied") && caption.contains("red"), "{caption}");
    let stage = window.get_by_label_contains("Stage:").rect();
    let figure = window.state().stage.figure().unwrap().clone();
    let (cells, [rows, columns]) = figure.table.unwrap();
    assert_eq!([rows as usize, columns as usize], [whole.groups.len(), 6]);
    let [x, y] = cells.cell(balloon as u32, 3, rows, columns).centre();
    let at = stage.min + egui::vec2(x, y) / window.ctx.pixels_per_point();
    window.event(egui::Event::PointerMoved(at));
    settle(&mut window);
    assert_eq!(window.state().shown.selected, patches);
    save(&mut window, "patch-stage.png");
}
