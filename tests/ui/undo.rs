//! Whatever is done to a view can be undone to the start, and done again.

use crate::support::{Window, settle, window};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use vlmscope::ui::intent::Intent;
use vlmscope::ui::shortcuts::{ENTRIES, Section, UiCommand};
use vlmscope::view::ViewState;

/// Every action that changes the view.
fn acts() -> Vec<UiCommand> {
    ENTRIES
        .iter()
        .filter(|entry| {
            matches!(entry.section, Section::Views | Section::Scrub | Section::Look)
                && !matches!(entry.act, UiCommand::Undo | UiCommand::Redo)
        })
        .map(|entry| entry.act)
        .collect()
}

fn state(window: &Window) -> ViewState {
    window.state().doc().unwrap().state().clone()
}

fn perform(window: &mut Window, act: UiCommand) {
    window.state().intents.act(act);
    window.state().intents.send(Intent::Settle);
    window.step();
}

#[test]
fn any_sequence_of_actions_is_undone_and_redone() {
    let window = std::cell::RefCell::new(window());
    let acts = acts();
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let sequences = prop::collection::vec(prop::sample::select(acts), 1..25);
    TestRunner::new(config)
        .run(&sequences, |sequence| {
            let mut window = window.borrow_mut();
            while window.state().doc().unwrap().history.can_undo() {
                perform(&mut window, UiCommand::Undo);
            }
            let start = state(&window);
            for &act in &sequence {
                perform(&mut window, act);
            }
            let end = state(&window);
            let mut steps = 0;
            while window.state().doc().unwrap().history.can_undo() {
                perform(&mut window, UiCommand::Undo);
                steps += 1;
                prop_assert!(steps <= sequence.len(), "an action is at most one step");
            }
            prop_assert_eq!(&state(&window), &start);
            for _ in 0..steps {
                perform(&mut window, UiCommand::Redo);
            }
            prop_assert_eq!(&state(&window), &end);
            Ok(())
        })
        .unwrap();
    settle(&mut window.into_inner());
}

#[test]
fn a_drag_is_one_step() {
    let mut window = window();
    let start = state(&window);
    for step in 0..10 {
        let opacity = 0.9 - 0.05 * f64::from(step);
        window.state().intents.command(vlmscope::view::Command::SetOpacity(opacity));
        window.step();
    }
    window.state().intents.send(Intent::Settle);
    window.step();
    assert_ne!(state(&window), start);
    perform(&mut window, UiCommand::Undo);
    assert_eq!(state(&window), start);
}
