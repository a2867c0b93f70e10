//! The panel that puts a map to the test, with the real built-in model.

use crate::support::{Window, open, settle, until};
use egui_kittest::kittest::Queryable as _;
use vlmscope::ui::Start;
use vlmscope::ui::intent::Intent;
use vlmscope::ui::layout::Pane;

fn answered() -> Window {
    let mut window = open([1600.0, 1000.0], 1.0, Start::BuiltIn, None);
    until(&mut window, |app| app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live));
    window.state().intents.send(Intent::ShowPanel(Pane::Score));
    settle(&mut window);
    window
}

#[test]
fn a_map_is_tested_beside_a_random_one() {
    let mut window = answered();
    window.get_by_label("Test this map").click();
    settle(&mut window);
    let mut grew = false;
    until(&mut window, |app| {
        let curves = &app.scores.as_ref().expect("it began").curves;
        curves.total > 1 && curves.done == curves.total
    });
    grew |= window.state().scores.as_ref().unwrap().curves.curves.len() >= 2;
    assert!(grew, "the shown map and the control have curves");
    until(&mut window, |app| app.tasks.running().is_empty());
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
    let curves = &window.state().scores.as_ref().unwrap().curves.curves;
    let (shown, control) = (&curves[0], curves.last().unwrap());
    assert!(shown.deletion.area() < control.deletion.area());
    assert!(shown.insertion.area() > control.insertion.area());
    let text =
        format!("deletion {:.2}, insertion {:.2}", shown.deletion.area(), shown.insertion.area());
    assert!(window.query_all_by_label_contains(&text).count() > 0, "{text} is shown");
    assert!(window.query_all_by_label_contains("random control").count() > 0);
    settle(&mut window);
    let meaning = window.state().scores.as_ref().unwrap().meaning().unwrap();
    assert!(meaning.contains("the answer depends on what this map shows"), "{meaning}");
    assert!(window.query_by_label(&meaning).is_some(), "{meaning}");
    if let Ok(folder) = std::env::var("VLMSCOPE_SHOTS") {
        crate::support::rendered(&mut window).save(format!("{folder}/score.png")).unwrap();
    }
}

#[test]
fn a_test_can_be_stopped() {
    let mut window = answered();
    window.get_by_label("Test this map").click();
    window.step();
    until(&mut window, |app| !app.tasks.running().is_empty());
    let id = window.state().tasks.running()[0].id;
    window.state().intents.send(Intent::CancelTask(id));
    until(&mut window, |app| app.tasks.running().is_empty());
    settle(&mut window);
    assert!(window.query_by_label("Test this map").is_some(), "it can be started again");
}
