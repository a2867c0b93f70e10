//! The view of causes and its panel, with the real built-in model: graphs are learned, shown, hovered, tested and kept.

use crate::support::{Window, click, copied, open, settle, until, window};
use egui::{Event, Key, Modifiers, Pos2};
use egui_kittest::kittest::Queryable as _;
use vlmscope::analysis::causal::CausalResult;
use vlmscope::trace::{AnswerIndex, PatchRef, Trace};
use vlmscope::ui::causes::CausesCommand;
use vlmscope::ui::intent::Intent;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::{App, Start};
use vlmscope::view::figure::PixelRect;
use vlmscope::view::{Command, Queries, ViewKind, ViewState};

/// The window with the first question answered.
fn answered(size: [f32; 2]) -> Window {
    let mut window = open(size, 1.0, Start::BuiltIn, None);
    until(&mut window, |app| {
        assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live)
    });
    window
}

fn state(window: &Window) -> ViewState {
    window.state().doc().expect("a document").state().clone()
}

/// The graphs of the chosen token, which the trace holds.
fn stored(app: &App) -> Option<CausalResult> {
    let doc = app.doc()?;
    let answer = doc.extent.causal_answer(&doc.state().map.queries).unwrap();
    CausalResult::stored(&doc.trace, answer).unwrap()
}

fn learned(window: &mut Window) -> CausalResult {
    until(window, |app| {
        app.notices.iter().for_each(|notice| assert!(!notice.is_error, "{}", notice.text));
        stored(app).is_some()
    });
    stored(window.state()).unwrap()
}

/// A head whose explanation has patches.
fn head_with_patches(window: &Window, result: &CausalResult) -> u32 {
    let meta = window.state().doc().unwrap().meta();
    let has = |position: &u32| meta.patch_of_key(*position).is_some();
    let explained = result.heads.iter().filter_map(|head| {
        let explanation = head.graph.as_ref()?.explanation(3);
        explanation.iter().any(has).then_some((explanation.len(), head.head))
    });
    // A short explanation has few parts to mask.
    explained.min().expect("a head that is explained by patches").1
}

fn on_screen(window: &Window, rect: PixelRect) -> Pos2 {
    let stage = window.get_by_label_contains("Stage:").rect();
    let [x, y] = rect.centre();
    stage.min + egui::vec2(x, y) / window.ctx.pixels_per_point()
}

fn save(window: &mut Window, name: &str) {
    if let Ok(folder) = std::env::var("VLMSCOPE_TEST_PICTURES") {
        crate::support::rendered(window).save(std::path::Path::new(&folder).join(name)).unwrap();
    }
}

/// The nodes on the stage that are patches.
fn patch_nodes(window: &Window) -> Vec<(PatchRef, PixelRect)> {
    let meta = window.state().doc().unwrap().meta();
    let figure = window.state().stage.figure().unwrap();
    let nodes = figure.nodes.iter();
    nodes.filter_map(|(position, rect)| Some((meta.patch_of_key(*position)?, *rect))).collect()
}

#[test]
fn one_click_learns_the_graphs_and_the_mouse_joins_tree_and_picture() {
    let mut window = answered([1280.0, 720.0]);
    window.get_by_label("Graph").click();
    settle(&mut window);
    assert_eq!(state(&window).view, ViewKind::Causal);
    let result = learned(&mut window);
    assert_eq!((result.heads.len(), result.runs), (8, 15));
    let head = head_with_patches(&window, &result);

    // A click on a bar chooses its head.
    let bars = window.get_by_label_contains("Importance of the heads: click").rect();
    let width = bars.width() / result.heads.len() as f32;
    let at = Pos2::new(bars.left() + (head as f32 + 0.5) * width, bars.top() + 30.0);
    click(&mut window, at, Modifiers::NONE);
    assert_eq!(state(&window).map.heads.only(), Some(head));
    assert!(window.state().stage.caption().contains(&format!(" H{head} ")));

    // Hovering a node marks its patch, hovering the patch marks its node.
    let nodes = patch_nodes(&window);
    assert!(!nodes.is_empty());
    let (patch, node) = nodes[0];
    let at = on_screen(&window, node);
    window.event(Event::PointerMoved(at));
    settle(&mut window);
    assert_eq!(state(&window).hovered, Some(patch));
    let figure = window.state().stage.figure().unwrap().clone();
    let (_, picture) = figure.tiles[0];
    let of_patch = |crop: &&vlmscope::view::figure::Crop| {
        picture.contains(&crop.rect) && crop.border == vlmscope::view::figure::Ink::Hover
    };
    let marked = figure.crops.iter().find(of_patch).expect("the patch on the picture is marked");
    let on_picture = on_screen(&window, marked.rect);
    window.event(Event::PointerMoved(Pos2::new(2.0, 300.0)));
    settle(&mut window);
    assert_eq!(state(&window).hovered, None);
    window.event(Event::PointerMoved(on_picture));
    settle(&mut window);
    assert_eq!(state(&window).hovered, Some(patch));
    let figure = window.state().stage.figure().unwrap();
    let crop = figure.crops.iter().find(|crop| crop.rect == node).unwrap();
    assert_eq!(crop.border, vlmscope::view::figure::Ink::Hover, "the node of the patch is marked");
    save(&mut window, "causes.png");
    click(&mut window, at, Modifiers::NONE);
    assert_eq!(state(&window).selected, [patch]);

    // Fewer nodes within a smaller distance; the caption says so, undo brings them back.
    let deepest = result.heads[head as usize].graph.as_ref().unwrap().deepest();
    let all = window.state().stage.figure().unwrap().nodes.len();
    window.state().intents.command(Command::SetRadius(Some(1)));
    settle(&mut window);
    let near = window.state().stage.figure().unwrap().nodes.len();
    assert!(near < all || deepest == 1, "{near} of {all}");
    assert!(window.state().stage.caption().contains("within distance 1"));
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(window.state().stage.figure().unwrap().nodes.len(), all);

    // The numbers of the view are its nodes.
    window.state().intents.act(UiCommand::CopyNumbers);
    let csv = copied(&mut window);
    let lines: Vec<&str> = csv.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "position,span,row,column,word,distance,attention,share");
    assert_eq!(lines.len(), 1 + all);
    let place = format!(",{},{},{},,", patch.span, patch.row, patch.column);
    assert!(lines.iter().any(|line| line.contains(&place)), "{csv}");

    // Another token is learned as soon as it is shown.
    let next = if state(&window).map.queries == Queries::answer(1) { 2 } else { 1 };
    window.state().intents.command(Command::SetQueries(Queries::answer(next)));
    settle(&mut window);
    assert_eq!(learned(&mut window).token, next);
}

#[test]
fn the_test_masks_the_explanation_and_the_file_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    let mut window = answered([1600.0, 1800.0]);
    window.state().doc().unwrap().trace.write(&path).unwrap();
    window.state().intents.send(Intent::Open(path.clone()));
    until(&mut window, |app| app.doc().is_some_and(|doc| doc.path.is_some()));
    window.key_press_modifiers(Modifiers::SHIFT, Key::C);
    settle(&mut window);
    let result = learned(&mut window);
    let head = head_with_patches(&window, &result);
    window.state().intents.command(Command::SetHeads(vlmscope::view::AxisSet::single(head)));
    settle(&mut window);
    save(&mut window, "causes_unmasked.png");
    window.get_by_label("Mask and score").click();
    until(&mut window, |app| {
        app.notices.iter().for_each(|notice| assert!(!notice.is_error, "{}", notice.text));
        stored(app).is_some_and(|found| found.heads.iter().any(|head| head.masking.is_some()))
    });
    for text in ["random, nearest: ", "explanation: "] {
        assert!(window.query_by_label_contains(text).is_some(), "{text}");
    }
    save(&mut window, "causes_masked.png");
    let token = AnswerIndex(result.token);
    let kept = CausalResult::stored(&Trace::open(&path).unwrap(), token).unwrap().unwrap();
    assert_eq!(Some(&kept), stored(window.state()).as_ref());
    let masking = kept.heads[head as usize].masking.as_ref().unwrap();
    assert_eq!(masking.mask, "knock-text");
    // A map that is computed meanwhile is not lost.
    let doc = window.state().doc().unwrap();
    assert_eq!((doc.path.as_deref(), doc.in_file), (Some(path.as_path()), Some(doc.trace.id())));
}

#[test]
fn a_trace_without_the_rows_says_so_in_the_words_of_the_window() {
    let mut window = window();
    window.key_press_modifiers(Modifiers::SHIFT, Key::C);
    settle(&mut window);
    until(&mut window, |app| app.notices.iter().any(|notice| notice.is_error));
    let reason = window.state().notices.first().unwrap().text.clone();
    assert!(reason.contains("ask the question again, or capture it again"), "{reason}");
    assert!(!reason.contains("--rows"), "{reason}");
    // Nothing is kept, and a failed task is not started again by itself.
    settle(&mut window);
    assert_eq!(stored(window.state()), None);
    assert_eq!(window.state().tasks.running().len(), 0);
    window.state_mut().notices.clear();
    window.state().intents.send(Intent::Causes(CausesCommand::Learn));
    window.step();
    until(&mut window, |app| app.notices.iter().any(|notice| notice.is_error));
}

/// Graphs of one head, as `vlmscope causal --head 5` leaves them.
#[test]
fn the_graph_learns_the_heads_that_are_missing() {
    let mut window = answered([1280.0, 720.0]);
    window.get_by_label("Graph").click();
    settle(&mut window);
    let all = learned(&mut window);
    let answer = AnswerIndex(all.token);
    let one = CausalResult {
        heads: all.heads.iter().filter(|head| head.head == 5).cloned().collect(),
        ..all.clone()
    };
    let json = serde_json::to_vec(&one).unwrap();
    let app = window.state_mut();
    let trace = app.doc().unwrap().trace.with_causal(answer, &json);
    app.doc_mut().unwrap().replace(std::sync::Arc::new(trace), false);
    app.causes.asked.clear();
    window.step();
    until(&mut window, |app| stored(app).is_some_and(|found| found.heads.len() == 8));
    let found = stored(window.state()).unwrap();
    for (found, head) in found.heads.iter().zip(&all.heads) {
        let [tree, before] = [found, head].map(|head| head.graph.as_ref().map(|one| &one.tree));
        assert_eq!((found.head, tree), (head.head, before));
    }
}
