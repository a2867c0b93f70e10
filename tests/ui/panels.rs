//! Every panel of the window: brought to the front, clicked by accessible names, and the view state
//! looked at.

use crate::support::{Window, click, copied, drag, settle, until, window, window_with};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use std::sync::Arc;
use vlmscope::ui::commands::tasks;
use vlmscope::ui::figures::{FigureJob, FigureKind};
use vlmscope::ui::intent::Intent;
use vlmscope::ui::layout::{Overlay, Pane};
use vlmscope::ui::pane::active_patches;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::task_result::TaskResult;
use vlmscope::view::figure::head_name;
use vlmscope::view::{AxisSet, Command, HeadOrder, Mix, Quantity, Queries, ViewKind, ViewState};

fn state(window: &Window) -> ViewState {
    window.state().doc().expect("a document").state().clone()
}

fn show(window: &mut Window, pane: Pane) {
    window.state().intents.send(Intent::ShowPanel(pane));
    settle(window);
}

#[test]
fn every_panel_comes_to_the_front_and_draws() {
    let mut window = window_with([1600.0, 1000.0], 1.0);
    let seen = [
        (Pane::Chat, "Question"),
        (Pane::Stage, "Stage:"),
        (Pane::Tokens, "Scrub bar"),
        (Pane::Matrix, "Layer 0"),
        (Pane::Ranking, "Best head"),
        (Pane::HeadStrip, "Heads of the layer: click"),
        (Pane::Numbers, "Strongest patches"),
        (Pane::Look, "Opacity"),
        (Pane::Bookmarks, "Bookmark this view"),
    ];
    for (pane, label) in seen {
        show(&mut window, pane);
        let found = window.query_all_by_label_contains(label).count();
        assert!(found > 0, "{pane:?} shows nothing called {label}");
    }
    for &pane in Pane::ALL {
        show(&mut window, pane);
    }
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}

#[test]
fn a_hidden_side_opens_for_its_panel() {
    let mut window = window();
    window.state().intents.act(UiCommand::ToggleInspector);
    settle(&mut window);
    assert!(window.query_by_label("Layer 0").is_none());
    show(&mut window, Pane::Matrix);
    assert!(window.query_by_label("Layer 0").is_some());
}

#[test]
fn the_heads_view_is_sorted_from_its_own_line() {
    let mut window = window();
    window.key_press(Key::H);
    settle(&mut window);
    window.get_by_label("Focus").click();
    settle(&mut window);
    assert_eq!(state(&window).head_order, HeadOrder::Entropy);
    let figure = window.state().stage.figure().expect("a figure").clone();
    let order: Vec<u32> = figure.tiles.iter().map(|(head, _)| *head).collect();
    assert!(!order.is_sorted(), "the focused heads come first: {order:?}");
    window.get_by_label("Number").click();
    settle(&mut window);
    let figure = window.state().stage.figure().expect("a figure").clone();
    assert!(figure.tiles.iter().map(|(head, _)| *head).is_sorted());
}

#[test]
fn the_wall_is_sorted_from_its_own_line_and_a_click_chooses_the_head_under_it() {
    let mut window = window();
    window.key_press(Key::W);
    settle(&mut window);
    window.get_by_label("Attention to picture").click();
    settle(&mut window);
    assert_eq!(state(&window).head_order, HeadOrder::ImageShare);
    let figure = window.state().stage.figure().expect("a figure").clone();
    let grid = figure.grid.clone().expect("a grid of heads");
    assert!(grid.sorted.is_some());
    let stage = window.get_by_label_contains("Stage:").rect();
    let scale = window.ctx.pixels_per_point();
    let row = 1;
    let shares: Vec<f32> = {
        let doc = window.state().doc().unwrap();
        let state = ViewState { quantity: Quantity::ImageShare, ..state(&window) };
        let matrix = window.state().value_cache.matrix(doc, &state, None);
        (0..grid.heads).map(|column| matrix.at(row, grid.head(row, column)).unwrap()).collect()
    };
    assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]), "{shares:?}");
    let moved = (0..grid.heads).find(|&column| grid.head(row, column) != column);
    let column = moved.expect("a head whose place has changed");
    let head = grid.head(row, column);
    let [x, y] = figure.head_cell([row, head]).unwrap().centre();
    click(&mut window, stage.min + egui::vec2(x, y) / scale, Modifiers::NONE);
    let map = state(&window).map;
    assert_eq!((map.layers.only(), map.heads.only()), (Some(row), Some(head)));
    // Without an object, nothing is sorted by it.
    assert!(window.query_by_label("Object").is_none());
}

#[test]
fn the_matrix_view_has_its_quantities_in_its_own_line() {
    let mut window = window();
    window.key_press(Key::L);
    settle(&mut window);
    window.get_all_by_label("Quantity").last().unwrap().click();
    settle(&mut window);
    window.get_by_label("Attention to picture").click();
    settle(&mut window);
    assert_eq!(state(&window).quantity, Quantity::ImageShare);
}

#[test]
fn a_hovered_cell_of_the_matrix_is_a_preview_and_a_click_stays() {
    let mut window = window();
    let before = state(&window);
    let cells = window.get_by_label_contains("Layer and head: click").rect();
    let first = cells.min + egui::vec2(3.0, 3.0);
    window.hover_at(first);
    settle(&mut window);
    let shown = window.state().shown.map.clone();
    assert_eq!((shown.layers.only(), shown.heads.only()), (Some(0), Some(0)));
    assert_eq!(state(&window), before);
    click(&mut window, first, Modifiers::NONE);
    assert_eq!(state(&window).map.layers, AxisSet::single(0));
}

/// The pointer rests on a cell, a word or a row: what a key changes was hidden behind the preview.
#[test]
fn a_key_ends_the_preview_until_the_pointer_moves() {
    let mut window = window_with([1600.0, 1000.0], 1.0);
    show(&mut window, Pane::Ranking);
    show(&mut window, Pane::Matrix);
    let word = window.state().doc().unwrap().meta().answer_tokens()[0].text.clone();
    let word = word.trim_start_matches('▁').to_owned();
    let places: Vec<egui::Pos2> = vec![
        window.get_by_label_contains("Layer and head: click").rect().max - egui::vec2(5.0, 5.0),
        window.query_all_by_label_contains(&word).last().unwrap().rect().center(),
    ];
    for place in places {
        for key in [Key::ArrowDown, Key::CloseBracket, Key::B, Key::N] {
            window.hover_at(place + egui::vec2(1.0, 0.0));
            settle(&mut window);
            assert_ne!(window.state().shown.map, state(&window).map, "{place:?}: a preview");
            let before = state(&window);
            window.key_press(key);
            settle(&mut window);
            let now = state(&window);
            assert!(now.map != before.map || key == Key::B, "{key:?} changes the view");
            assert_eq!(window.state().shown.map, now.map, "{key:?} at {place:?} is seen");
            for _ in 0..5 {
                window.step();
            }
            assert_eq!(window.state().shown.map, now.map, "it stays while the pointer rests");
            window.hover_at(place);
            settle(&mut window);
            assert_ne!(window.state().shown.map, now.map, "the pointer moved: a preview again");
        }
    }
}

#[test]
fn a_drag_over_the_matrix_scrubs_and_is_one_step() {
    let mut window = window();
    let before = state(&window);
    let cells = window.get_by_label_contains("Layer and head: click").rect();
    drag(&mut window, cells.min + egui::vec2(2.0, 2.0), cells.max - egui::vec2(2.0, 2.0));
    let doc = window.state().doc().unwrap();
    let last = (doc.extent.layers - 1, doc.extent.heads - 1);
    let map = state(&window).map;
    assert_eq!((map.layers.only(), map.heads.only()), (Some(last.0), Some(last.1)));
    window.state().intents.act(UiCommand::Undo);
    settle(&mut window);
    assert_eq!(state(&window).map, before.map, "a drag is one step of undo");
}

#[test]
fn a_brush_on_the_stage_selects_and_the_strip_turns_around() {
    let mut window = window();
    assert!(window.query_by_label_contains("words → picture").is_some());
    let stage = window.get_by_label_contains("Stage:").rect();
    let figure = window.state().stage.figure().expect("a figure").clone();
    let visible = figure.visible();
    let at = |u: f32, v: f32| {
        stage.min + egui::vec2(visible.x + u * visible.width, visible.y + v * visible.height)
    };
    drag(&mut window, at(0.3, 0.5), at(0.7, 0.5));
    let selected = state(&window).selected.len();
    assert!(selected > 1, "a brush selects what it passes: {selected}");
    assert!(window.query_by_label_contains("patches → answer").is_some());
    // Alt takes away, Shift adds.
    let patch = state(&window).selected[0];
    click(&mut window, at(0.5, 0.2), Modifiers::SHIFT);
    assert_eq!(state(&window).selected.len(), selected + 1);
    click(&mut window, at(0.5, 0.2), Modifiers::ALT);
    assert_eq!(state(&window).selected.len(), selected);
    assert!(state(&window).selected.contains(&patch));
    window.key_press(Key::R);
    settle(&mut window);
    assert!(state(&window).selected.is_empty());
}

#[test]
fn a_fast_stroke_has_no_gaps() {
    let mut window = window();
    let stage = window.get_by_label_contains("Stage:").rect();
    let visible = window.state().stage.figure().expect("a figure").visible();
    let at = |u: f32, v: f32| {
        stage.min + egui::vec2(visible.x + u * visible.width, visible.y + v * visible.height)
    };
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    let (from, to) = (at(0.02, 0.4), at(0.98, 0.4));
    window.event(egui::Event::PointerMoved(from));
    window.event(button(from, true));
    settle(&mut window);
    // The pointer is seen at three points only.
    for at in [from.lerp(to, 0.1), from.lerp(to, 0.5), to] {
        window.event(egui::Event::PointerMoved(at));
        settle(&mut window);
    }
    window.event(button(to, false));
    settle(&mut window);
    let columns: Vec<u32> = state(&window).selected.iter().map(|patch| patch.column).collect();
    let count = window.state().doc().unwrap().meta().spans[0].columns;
    assert_eq!(columns, (0..count).collect::<Vec<_>>(), "one row of patches without a gap");
}

#[test]
fn keys_open_the_side_panels_over_a_narrow_window() {
    let mut window = window_with([640.0, 480.0], 1.0);
    for (key, overlay) in [(Key::B, Overlay::Chat), (Key::I, Overlay::Inspector)] {
        window.key_press_modifiers(Modifiers::COMMAND, key);
        settle(&mut window);
        assert_eq!(window.state().overlay, Some(overlay));
        window.key_press_modifiers(Modifiers::COMMAND, key);
        settle(&mut window);
        assert_eq!(window.state().overlay, None);
    }
    window.key_press(Key::Slash);
    settle(&mut window);
    assert_eq!(window.state().overlay, Some(Overlay::Chat), "the question is in the chat");
}

#[test]
fn a_hovered_patch_colours_the_answer_words() {
    let mut window = window();
    let stage = window.get_by_label_contains("Stage:").rect();
    window.hover_at(stage.center());
    settle(&mut window);
    assert!(state(&window).hovered.is_some());
    assert_eq!(active_patches(&window.state().shown).len(), 1);
    window.hover_at(egui::pos2(4.0, 4.0));
    settle(&mut window);
    assert!(active_patches(&window.state().shown).is_empty(), "leave is back");
}

#[test]
fn a_row_of_the_ranking_jumps_to_its_head() {
    let mut window = window();
    show(&mut window, Pane::Ranking);
    let row = window.get_all_by_label_contains(" H").next().expect("a ranking");
    let name = row.accesskit_node().label().unwrap();
    row.click();
    settle(&mut window);
    let map = state(&window).map;
    let chosen = head_name(map.layers.only().unwrap(), map.heads.only().unwrap());
    assert_eq!(chosen, name);
}

#[test]
fn a_ranking_over_several_answers_is_their_mean() {
    let mut window = window();
    show(&mut window, Pane::Ranking);
    let trace = Arc::clone(&window.state().doc().unwrap().trace);
    let doc = vlmscope::ui::document::Document::new(Arc::clone(&trace), &ViewState::default());
    window.state_mut().add_document(doc);
    settle(&mut window);
    window.get_by_label("over 2 answers").click();
    settle(&mut window);
    assert!(window.state().rank_over_all);
    let value_cache = &mut window.state_mut().value_cache;
    let (once, twice) = (
        value_cache.ranking_over(&[(Arc::clone(&trace), None)]),
        value_cache.ranking_over(&[(Arc::clone(&trace), None), (trace, None)]),
    );
    assert_eq!(once.len(), twice.len());
    assert!(once.iter().zip(twice.iter()).all(|(a, b)| (a.score - b.score).abs() < 1e-6));
}

#[test]
fn numbers_are_copied_as_csv() {
    let mut window = window();
    show(&mut window, Pane::Numbers);
    window.get_all_by_label("Copy CSV").next().unwrap().click();
    let text = copied(&mut window);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("# attention"), "{text}");
    assert_eq!(lines.next(), Some("span,row,column,value"));
    let patches = window.state().doc().unwrap().meta().patches();
    assert_eq!(lines.count(), patches);
    // A value is the one that the panel reads.
    let doc = window.state().doc().unwrap().clone();
    let values = window.state_mut().value_cache.map(&doc, doc.state(), None);
    let last: f32 = text.lines().last().unwrap().rsplit(',').next().unwrap().parse().unwrap();
    assert_eq!(last, *values.last().unwrap());
}

#[test]
fn a_strong_patch_of_the_list_is_selected_by_a_click() {
    let mut window = window_with([1600.0, 1000.0], 1.0);
    show(&mut window, Pane::Numbers);
    window.get_all_by_label_contains("row ").next().expect("a list").click();
    settle(&mut window);
    assert_eq!(state(&window).selected.len(), 1);
}

#[test]
fn a_pinned_map_is_compared_and_unpinned() {
    let mut window = window();
    window.key_press(Key::B);
    settle(&mut window);
    window.key_press(Key::X);
    settle(&mut window);
    let pinned = state(&window).second.expect("a pinned map");
    assert_eq!(pinned.map, state(&window).map);
    window.key_press(Key::M);
    settle(&mut window);
    for (name, is) in [
        ("Difference", (|mix| mix == Mix::Difference) as fn(Mix) -> bool),
        ("Cross-fade", |mix| matches!(mix, Mix::CrossFade { .. })),
        ("Swipe", |mix| matches!(mix, Mix::Swipe { .. })),
    ] {
        window.get_by_label(name).click();
        settle(&mut window);
        assert!(is(state(&window).second.unwrap().mix), "{name}");
    }
    window.get_by_label("Unpin").click();
    settle(&mut window);
    assert!(state(&window).second.is_none());
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}

#[test]
fn a_bookmark_keeps_a_note_and_its_place_in_the_list() {
    let mut window = window();
    show(&mut window, Pane::Bookmarks);
    window.get_by_label("Bookmark this view").click();
    settle(&mut window);
    window.key_press(Key::W);
    settle(&mut window);
    window.get_by_label("Bookmark this view").click();
    settle(&mut window);
    let note = window.get_by_label("Note of bookmark 1").rect();
    click(&mut window, note.center(), Modifiers::NONE);
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.event(egui::Event::Text("the fox".into()));
    settle(&mut window);
    assert_eq!(window.state().settings.bookmarks[0].note, "the fox");
    assert_eq!(state(&window).view, ViewKind::Wall, "typing is no command");
}

#[test]
fn the_film_is_scrubbed_by_its_bar() {
    let mut window = window();
    let bar = window.get_by_label("Scrub bar").rect();
    click(&mut window, bar.right_center() - egui::vec2(7.0, 0.0), Modifiers::NONE);
    let answers = window.state().doc().unwrap().extent.answers;
    assert_eq!(state(&window).map.queries.set.only(), Some(answers - 1));
    click(&mut window, bar.left_center() + egui::vec2(7.0, 0.0), Modifiers::NONE);
    assert_eq!(state(&window).map.queries.set.only(), Some(0));
}

#[test]
fn the_copied_command_line_renders_the_same_figure() {
    let mut window = window();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a trace.vlmtrace");
    window.state().doc().unwrap().trace.write(&path).unwrap();
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| app.docs.len() == 2);
    for command in [
        Command::SetQueries(Queries::answer(1)),
        Command::SetLayerHead(1, 2),
        Command::SetOpacity(0.7),
        Command::SetColormap(vlmscope::view::ColorMap::Viridis),
        Command::ZoomBy { factor: 1.5, about: [0.3, 0.6] },
    ] {
        window.state().intents.command(command);
        settle(&mut window);
    }
    window.state().intents.act(UiCommand::CopyCommandLine);
    let line = copied(&mut window);
    assert!(line.starts_with("vlmscope render '"), "{line}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_vlmscope")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(program.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &line])
        .current_dir(folder.path())
        .env("PATH", path.unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let app = window.state_mut();
    let doc = app.doc().unwrap().clone();
    let job = FigureJob {
        gpu: app.stage.gpu(),
        state: ViewState { hovered: None, ..doc.state().clone() },
        trace: Arc::clone(&doc.trace),
        second: None,
        path: doc.path.clone(),
        size: app.stage.figure_size(),
    };
    let saved = folder.path().join("saved.png");
    app.exports.write_figure(FigureKind::Png, job, saved.clone());
    until(&mut window, |app| app.notices.iter().any(|notice| notice.text.starts_with("Saved")));
    let picture = |path: &std::path::Path| image::open(path).unwrap().to_rgba8();
    let (rendered, saved) = (picture(&folder.path().join("figure.png")), picture(&saved));
    assert_eq!(rendered.dimensions(), saved.dimensions());
    assert!(rendered == saved, "the command line renders what the window saves");
}

#[test]
fn a_folder_of_traces_opens_them_all() {
    let mut window = window();
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.vlmtrace", "b.vlmtrace"] {
        window.state().doc().unwrap().trace.write(&folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("c.vlmtrace"), "damaged").unwrap();
    window.state().intents.send(Intent::Open(folder.path().to_owned()));
    until(&mut window, |app| app.docs.len() == 3);
    let errors: Vec<_> = window.state().notices.iter().filter(|notice| notice.is_error).collect();
    assert!(errors.len() == 1 && errors[0].text.contains("c.vlmtrace"), "{errors:?}");
}

#[test]
fn a_task_shows_its_progress_and_what_it_found() {
    let mut window = window();
    let (go, wait) = crossbeam_channel::bounded::<()>(0);
    tasks::start(window.state_mut(), "Counting sheep", move |report, _| {
        report.progress(1, 4);
        report.say("the first fence");
        wait.recv()?;
        Ok(TaskResult::Said("4 sheep.".into()))
    });
    until(&mut window, |app| app.tasks.running().iter().any(|task| !task.line.is_empty()));
    assert_eq!(window.state().tasks.running()[0].share, Some(0.25));
    assert!(window.query_by_label("Counting sheep").is_some());
    go.send(()).unwrap();
    until(&mut window, |app| app.tasks.running().is_empty());
    settle(&mut window);
    assert_eq!(window.state().notices[0].text, "4 sheep.");
}

#[test]
fn a_task_is_cancelled_by_its_button_and_by_escape_at_once() {
    let mut window = window();
    for press in [false, true] {
        let (stopped, has_stopped) = crossbeam_channel::bounded(1);
        tasks::start(window.state_mut(), "Waiting", move |_, cancel| {
            while !cancel.is_cancelled() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            stopped.send(()).unwrap();
            anyhow::bail!("cancelled")
        });
        window.run_steps(3);
        if press {
            window.key_press(Key::Escape);
        } else {
            window.get_by_label("Cancel").click();
        }
        window.step();
        window.step();
        assert!(window.state().tasks.running().is_empty());
        has_stopped.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        settle(&mut window);
        assert!(!window.state().notices.iter().any(|notice| notice.is_error));
    }
}

#[test]
fn a_failed_task_says_why() {
    let mut window = window();
    tasks::start(window.state_mut(), "Trying", |_, _| anyhow::bail!("the well is dry"));
    until(&mut window, |app| !app.notices.is_empty());
    assert_eq!(window.state().notices[0].text, "Trying: the well is dry.");
    assert!(window.state().notices[0].is_error);
}

/// A press and a release, seen by one frame: a slow machine draws no frame between them.
fn click_in_one_frame(window: &mut Window, at: egui::Pos2) {
    let button = |pressed| egui::Event::PointerButton {
        pos: at,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    window.input_mut().events.push(egui::Event::PointerMoved(at));
    window.step();
    window.input_mut().events.extend([button(true), button(false)]);
    window.step();
    settle(window);
}

/// The second time, the list of sizes opened behind the dialog.
#[test]
fn the_sizes_of_a_film_can_be_chosen_each_time_the_dialog_is_open() {
    let mut window = window();
    window.state().intents.act(UiCommand::EditWalkthrough);
    settle(&mut window);
    let chosen = [("3840 × 2160  4K", [3840, 2160]), ("1280 × 720  720p", [1280, 720])];
    for (name, size) in chosen.into_iter().chain(chosen) {
        window.state().intents.act(UiCommand::RecordFilm);
        settle(&mut window);
        let list = window.query_all_by_label("Size").last().expect("a list of sizes");
        let place = list.rect().center();
        click_in_one_frame(&mut window, place);
        let item = window.query_all_by_label(name).last().expect("the list is open");
        let place = item.rect().center();
        click_in_one_frame(&mut window, place);
        let dialog = window.state().film_dialog.as_ref().expect("the dialog is open");
        assert_eq!(dialog.options.size, size);
        window.key_press(Key::Escape);
        settle(&mut window);
        assert!(window.state().film_dialog.is_none());
    }
}

#[test]
fn a_fourth_error_leaves_the_first_in_reach() {
    let mut window = window();
    for number in 1..=5 {
        window.state_mut().notify(format!("Error number {number}."), true);
    }
    settle(&mut window);
    assert!(window.query_by_label("Error number 1.").is_none());
    assert!(window.query_by_label("Error number 5.").is_some());
    assert!(window.query_by_label("2 earlier messages, 2 of them errors").is_some());
    window.get_by_label("Show all").click();
    settle(&mut window);
    for number in 1..=5 {
        assert!(window.query_by_label(&format!("Error number {number}.")).is_some(), "{number}");
    }
    window.get_by_label("Dismiss all").click();
    settle(&mut window);
    assert!(window.state().notices.is_empty());
}

/// The text beside the pointer lay over the context menu.
#[test]
fn a_menu_hides_the_number_beside_the_pointer() {
    let mut window = window();
    let stage = window.get_by_label_contains("Stage:").rect();
    window.hover_at(stage.center());
    settle(&mut window);
    let layer = egui::LayerId::new(egui::Order::Tooltip, egui::Id::unique("beside"));
    let is_drawn = |window: &Window| {
        let shapes = &window.output().shapes;
        shapes.iter().any(|shape| matches!(&shape.shape, egui::Shape::Text(text) if text.galley.text().contains("of the picture")))
    };
    assert!(is_drawn(&window), "{layer:?}");
    let modifiers = Modifiers::NONE;
    for pressed in [true, false] {
        let button = egui::PointerButton::Secondary;
        let pos = stage.center();
        window.event(egui::Event::PointerButton { pos, button, pressed, modifiers });
    }
    settle(&mut window);
    assert!(window.query_by_label_contains("Block attention to the selected").is_some());
    assert!(!is_drawn(&window), "the menu is not covered");
}
