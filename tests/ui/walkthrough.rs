//! Making a walkthrough in the window: from an answer, from what is done, from bookmarks, from a
//! file; changed by keys, fields and edges; previewed, saved, recorded.
//!
//! VLMSCOPE_SHOTS=FOLDER keeps pictures of the window, to be looked at.

use crate::support::{Window, drag, empty_window, settle, until, window_with};
use egui::{Key, Modifiers, pos2};
use egui_kittest::kittest::Queryable as _;
use std::path::{Path, PathBuf};
use vlmscope::gpu::Target;
use vlmscope::record::encoder::Container;
use vlmscope::record::{Captions, Painter};
use vlmscope::trace::Trace;
use vlmscope::ui::app::HostRequest;
use vlmscope::ui::film::{CaptionPlace, FilmOptions};
use vlmscope::ui::intent::Intent;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::walkthrough::editor::{Editor, Stop, WalkthroughCommand};
use vlmscope::view::timeline::{Edit, Timeline, Walkthrough};
use vlmscope::view::{AxisSet, Command};

/// A window in which paths are typed.
fn window() -> Window {
    let mut window = window_with([1600.0, 900.0], 1.0);
    window.state_mut().asks_in_window = true;
    window
}

/// The same with the tour of its answer open.
fn editing() -> Window {
    let mut window = window();
    perform(&mut window, UiCommand::EditWalkthrough);
    window
}

fn perform(window: &mut Window, act: UiCommand) {
    window.state().intents.act(act);
    settle(window);
}

fn send(window: &mut Window, command: WalkthroughCommand) {
    window.state().intents.send(Intent::Walkthrough(command));
    settle(window);
}

fn press(window: &mut Window, key: Key) {
    window.key_press(key);
    settle(window);
}

fn editor(window: &Window) -> &Editor {
    window.state().editor.as_ref().expect("an editor")
}

fn walkthrough(window: &Window) -> Walkthrough {
    editor(window).walkthrough().clone()
}

fn notices(window: &Window) -> String {
    let texts = window.state().notices.iter().map(|notice| notice.text.clone());
    texts.collect::<Vec<_>>().join("\n")
}

fn shot(window: &mut Window, name: &str) {
    if let Ok(folder) = std::env::var("VLMSCOPE_SHOTS") {
        crate::support::rendered(window)
            .save(Path::new(&folder).join(format!("{name}.png")))
            .unwrap();
    }
}

/// Types a path into the question that is open and presses Enter.
fn answer_path(window: &mut Window, path: &Path) {
    window.state_mut().prompt.as_mut().expect("a question for a path").text =
        path.display().to_string();
    window.key_press(Key::Enter);
    settle(window);
}

#[test]
fn a_tour_of_the_answer_is_previewed_as_the_film_would_show_it() {
    let mut window = editing();
    assert!(editor(&window).is_previewing && editor(&window).is_unsaved());
    let steps = walkthrough(&window).steps.len();
    assert!(steps > 3);
    assert_eq!(editor(&window).selected(), Stop::Step(0));
    assert!(window.query_by_label_contains("Preview: Step 1 of").is_some());
    shot(&mut window, "editor");
    // While it is previewed, arrows go through steps, not through tokens.
    let before = window.state().doc().unwrap().state().clone();
    for _ in 0..3 {
        press(&mut window, Key::ArrowRight);
    }
    assert_eq!(editor(&window).selected(), Stop::Step(3));
    assert_eq!(*window.state().doc().unwrap().state(), before);
    for step in 0..steps {
        assert!(editor(&window).small_picture(step).is_some(), "step {step} has no small picture");
    }

    // The very pixels that the recorder's painter draws.
    let seen = editor(&window).read_preview().unwrap();
    let size = [seen.width(), seen.height()];
    let gpu = crate::support::gpu();
    let walkthrough = walkthrough(&window);
    let mut painter = Painter::new(&gpu, size, &walkthrough, Captions::Film).unwrap();
    let target = Target::offscreen(&gpu, size).unwrap();
    let moment = editor(&window).moment().unwrap();
    painter.paint(&moment, &editor(&window).trace_set.traces, &target).unwrap();
    assert!(target.read(&gpu).unwrap() == seen, "the preview is not the film");

    // A key that changes the view shows it.
    press(&mut window, Key::W);
    assert!(!editor(&window).is_previewing);
    assert_eq!(notices(&window), "");
}

#[test]
fn it_plays_stops_and_is_sought() {
    let mut window = editing();
    press(&mut window, Key::Home);
    assert_eq!(editor(&window).at_secs(), 0.0);
    assert_eq!(editor(&window).selected(), Stop::Title);
    window.key_press(Key::Space);
    for _ in 0..200 {
        window.step();
    }
    let at = editor(&window).at_secs();
    assert!(editor(&window).is_playing() && at > 1.0, "{at}");
    window.key_press(Key::Space);
    window.step();
    assert!(!editor(&window).is_playing());
    send(&mut window, WalkthroughCommand::Seek(1e9));
    let seconds = Timeline::new(&walkthrough(&window)).seconds();
    assert_eq!((editor(&window).at_secs(), editor(&window).selected()), (seconds, Stop::End));
    // From the end it starts again.
    window.key_press(Key::Space);
    window.step();
    window.step();
    assert!(editor(&window).at_secs() < 1.0);
    window.key_press(Key::Escape);
    window.step();
    assert!(!editor(&window).is_playing() && editor(&window).is_previewing);
    press(&mut window, Key::Escape);
    assert!(!editor(&window).is_previewing);
}

#[test]
fn captions_times_and_steps_are_changed_and_every_change_is_undone() {
    let mut window = editing();
    let start = walkthrough(&window);
    // Typing is one step of undo.
    window.get_by_role_and_label(egui::Role::MultilineTextInput, "Caption").click();
    settle(&mut window);
    for text in ["new ", "words "] {
        window.event(egui::Event::Text(text.into()));
        settle(&mut window);
    }
    let typed = walkthrough(&window).steps[0].caption.clone();
    assert!(typed.contains("new words"), "{typed}");
    window.get_by_label("Preview").click();
    settle(&mut window);
    if !editor(&window).is_previewing {
        perform(&mut window, UiCommand::PreviewWalkthrough);
    }
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(walkthrough(&window), start, "typing is one step of undo");

    window.get_by_label("reading time").click();
    settle(&mut window);
    assert!(walkthrough(&window).steps[0].seconds.is_some());
    let acts = [
        UiCommand::DuplicateStep,
        UiCommand::LaterStep,
        UiCommand::RemoveStep,
        UiCommand::TrimBefore,
    ];
    for act in acts {
        let before = walkthrough(&window);
        press(&mut window, Key::ArrowRight);
        perform(&mut window, act);
        assert_ne!(walkthrough(&window), before, "{act:?}");
    }
    assert_eq!(walkthrough(&window).title, None, "it was trimmed away");
    perform(&mut window, UiCommand::AddTitle);
    assert_eq!(editor(&window).selected(), Stop::Title);
    window.get_by_role_and_label(egui::Role::MultilineTextInput, "Subtitle").click();
    settle(&mut window);
    window.event(egui::Event::Text("below".into()));
    settle(&mut window);
    assert_eq!(walkthrough(&window).title.unwrap().subtitle, "below");
    send(&mut window, WalkthroughCommand::Edit(Edit::Stretch(20.0)));
    let seconds = Timeline::new(&walkthrough(&window)).seconds();
    assert!((seconds - 20.0).abs() < 0.2, "{seconds}");
    while editor(&window).can_undo_redo()[0] {
        send(&mut window, WalkthroughCommand::Undo);
    }
    assert_eq!(walkthrough(&window), start);
    send(&mut window, WalkthroughCommand::Redo);
    assert_ne!(walkthrough(&window), start);
}

#[test]
fn edges_are_dragged_and_steps_are_dragged_to_another_place() {
    let mut window = editing();
    let start = walkthrough(&window);
    let place = |window: &Window, name: &str| window.get_by_label_contains(name).rect();
    let first = place(&window, "Step 1: ");
    let end = first.right_center();
    let hold = start.steps[0].hold_secs();
    drag(&mut window, end, end + egui::vec2(40.0, 0.0));
    let longer = walkthrough(&window).steps[0].hold_secs();
    assert!(longer > hold + 0.3, "{hold} {longer}");
    send(&mut window, WalkthroughCommand::Undo);
    assert_eq!(walkthrough(&window), start, "a drag is one step of undo");

    // The third step is dragged before the first.
    let third = place(&window, "Step 3: ");
    drag(&mut window, third.center(), pos2(first.left() + 2.0, first.center().y));
    let captions = |walkthrough: &Walkthrough| -> Vec<String> {
        walkthrough.steps.iter().map(|step| step.caption.clone()).collect()
    };
    let (before, after) = (captions(&start), captions(&walkthrough(&window)));
    assert_eq!((&after[0], &after[1], &after[2]), (&before[2], &before[0], &before[1]));
    assert_eq!(editor(&window).selected(), Stop::Step(0));
    // The ruler moves the play head.
    let ruler = place(&window, "Playhead");
    drag(&mut window, ruler.left_center() + egui::vec2(8.0, 0.0), ruler.center());
    let seconds = Timeline::new(&walkthrough(&window)).seconds();
    let share = editor(&window).at_secs() / seconds;
    assert!((share - 0.5).abs() < 0.05, "{share}");
}

#[test]
fn a_step_is_brought_to_the_stage_changed_there_and_put_back() {
    let mut window = editing();
    send(&mut window, WalkthroughCommand::ShowView(2));
    assert!(!editor(&window).is_previewing);
    let step = walkthrough(&window).steps[2].state.clone();
    assert_eq!(window.state().doc().unwrap().state().map, step.map);
    window.state().intents.command(Command::SetLayers(AxisSet::single(3)));
    settle(&mut window);
    press(&mut window, Key::U);
    let now = walkthrough(&window).steps[2].state.clone();
    assert_eq!(now.map.layers, AxisSet::single(3));
    assert_eq!((now.trace, now.text_scale), (step.trace, step.text_scale));
    let count = walkthrough(&window).steps.len();
    press(&mut window, Key::H);
    press(&mut window, Key::Insert);
    let more = walkthrough(&window);
    assert_eq!((more.steps.len(), editor(&window).selected()), (count + 1, Stop::Step(3)));
    assert_eq!(more.steps[3].state.view, vlmscope::view::ViewKind::Heads);
    shot(&mut window, "editor-view");
    // A key that changes the walkthrough shows its preview, and the usual undo key reverts the change.
    press(&mut window, Key::Delete);
    assert!(editor(&window).is_previewing);
    assert_eq!(walkthrough(&window).steps.len(), count);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(walkthrough(&window), more);
}

#[test]
fn it_is_saved_with_its_answer_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tour.toml");
    let mut window = editing();
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    settle(&mut window);
    shot(&mut window, "editor-save");
    answer_path(&mut window, &folder.path().join("no/such/tour.toml"));
    assert!(window.state().prompt.is_some(), "a folder that is not there is not accepted");
    answer_path(&mut window, &folder.path().join("tour"));
    until(&mut window, |app| app.editor.as_ref().is_some_and(|editor| !editor.is_unsaved()));
    assert!(notices(&window).contains("with its answer beside it"), "{}", notices(&window));
    let beside = folder.path().join("tour-1.vlmtrace");
    assert_eq!(Trace::open(&beside).unwrap().rows(), crate::support::trace().rows());

    // Once more: to the same file, without asking; the answer is there already.
    send(&mut window, WalkthroughCommand::Edit(Edit::Caption(0, "said anew".into())));
    assert!(editor(&window).is_unsaved());
    perform(&mut window, UiCommand::SaveWalkthrough);
    until(&mut window, |app| app.editor.as_ref().is_some_and(|editor| !editor.is_unsaved()));
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "a walkthrough and one trace");

    let mut other = empty_window();
    other.state().intents.send(Intent::Open(out.clone()));
    until(&mut other, |app| app.editor.is_some());
    assert_eq!(walkthrough(&other).steps[0].caption, "said anew");
    assert_eq!(walkthrough(&other).steps.len(), walkthrough(&window).steps.len());
    assert!(!editor(&other).is_unsaved());
    // Its answer can be looked at.
    send(&mut other, WalkthroughCommand::ShowView(1));
    assert!(other.state().doc().is_some());
    assert_eq!(notices(&other), "");
}

#[test]
fn what_is_done_becomes_a_walkthrough() {
    let mut window = window();
    window.state().intents.act(UiCommand::RecordTake);
    // The harness' clock moves a quarter of a second a step.
    let rest = |window: &mut Window| {
        for _ in 0..8 {
            window.step();
        }
    };
    rest(&mut window);
    assert!(window.query_by_label_contains("Stop · 0:0").is_some(), "it is seen that it records");
    for key in [Key::W, Key::H, Key::S] {
        window.key_press(key);
        rest(&mut window);
    }
    window.state().intents.act(UiCommand::RecordTake);
    settle(&mut window);
    let steps = walkthrough(&window).steps;
    assert_eq!(steps.len(), 4, "the first view and three more");
    assert!(editor(&window).is_unsaved() && editor(&window).is_previewing);
    let times: Vec<f64> = steps.iter().map(|s| s.hold_secs() + s.transition_secs).collect();
    let even = times.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.3);
    assert!(even, "as long as each was looked at: {times:?}");

    // While a walkthrough is open, recorded views are added to it: neither is lost.
    window.state().intents.act(UiCommand::RecordTake);
    rest(&mut window);
    press(&mut window, Key::W);
    rest(&mut window);
    send(&mut window, WalkthroughCommand::Select(Stop::Step(1)));
    window.state().intents.act(UiCommand::RecordTake);
    settle(&mut window);
    assert!(window.state().confirm.is_none(), "nothing is to be given up");
    let more = walkthrough(&window).steps;
    assert_eq!((more.len(), &more[..2], &more[4..]), (6, &steps[..2], &steps[2..]));
    assert_eq!(more[3].state.view, vlmscope::view::ViewKind::Wall);
    send(&mut window, WalkthroughCommand::Undo);
    assert_eq!(walkthrough(&window).steps, steps, "it is one step of undo");
}

#[test]
fn bookmarks_become_a_walkthrough() {
    let mut window = window();
    perform(&mut window, UiCommand::WalkthroughOfBookmarks);
    assert!(notices(&window).contains("no bookmarks"), "{}", notices(&window));
    for key in [Key::W, Key::H] {
        press(&mut window, key);
        perform(&mut window, UiCommand::Bookmark);
    }
    window.state_mut().settings.bookmarks[1].note = "every head of a layer".into();
    perform(&mut window, UiCommand::WalkthroughOfBookmarks);
    until(&mut window, |app| app.editor.is_some());
    let steps = walkthrough(&window).steps;
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1].caption, "every head of a layer");
}

#[test]
fn what_is_not_saved_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = editing();
    perform(&mut window, UiCommand::Quit);
    assert!(window.state().host.is_empty(), "it does not quit at once");
    shot(&mut window, "editor-unsaved");
    window.get_by_label("Cancel").click();
    settle(&mut window);
    assert!(window.state().host.is_empty() && window.state().editor.is_some());
    // Another walkthrough would take its place.
    perform(&mut window, UiCommand::Bookmark);
    perform(&mut window, UiCommand::WalkthroughOfBookmarks);
    until(&mut window, |app| app.confirm.is_some());
    press(&mut window, Key::Escape);
    assert!(walkthrough(&window).steps.len() > 2, "the first one is still there");
    perform(&mut window, UiCommand::Quit);
    let save = window.get_all_by_label("Save").last().unwrap();
    save.click();
    settle(&mut window);
    answer_path(&mut window, &folder.path().join("kept.toml"));
    until(&mut window, |app| app.host.contains(&HostRequest::Quit));
    assert!(Walkthrough::open(&folder.path().join("kept.toml")).is_ok());
    // A saved walkthrough is closed without a question.
    perform(&mut window, UiCommand::CloseWalkthrough);
    assert!(window.state().editor.is_none() && window.state().confirm.is_none());
}

#[test]
fn a_broken_walkthrough_is_named_with_its_line_and_a_pack_opens() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut window = window();
    let trace = folder.path().join("a.vlmtrace");
    crate::support::trace().write(&trace).unwrap();
    for (name, text, says) in [
        ("bad.toml", "trace = \"a.vlmtrace\"\n[[step]]\nseconds = -2\n", "line 3"),
        ("none.toml", "trace = \"gone.vlmtrace\"\n[[step]]\n", "gone.vlmtrace"),
        (
            "misfit.toml",
            "trace = \"a.vlmtrace\"\n[[step]]\nview = { map = { layers = \"99\" } }\n",
            "line 2",
        ),
        ("not.zip", "no archive", "not.zip"),
    ] {
        let path = write(name, text);
        window.state().intents.send(Intent::Open(path));
        until(&mut window, |app| app.notices.iter().any(|notice| notice.text.contains(says)));
        assert!(window.state().editor.is_none());
        window.state_mut().notices.clear();
    }
    let good = write("good.toml", "trace = \"a.vlmtrace\"\n[[step]]\ncaption = \"one\"\n");
    let walkthrough_in = Walkthrough::open(&good).unwrap();
    let traces = vlmscope::record::OpenTraces::open(&walkthrough_in, "good").unwrap();
    let pack = folder.path().join("good.zip");
    vlmscope::record::pack(&walkthrough_in, &traces, &pack).unwrap();
    window.state().intents.send(Intent::Open(pack));
    until(&mut window, |app| app.editor.is_some());
    assert_eq!(walkthrough(&window).steps[0].caption, "one");
    // Nothing is written to a pack: a walkthrough from it is saved elsewhere, with its trace.
    let out = folder.path().join("copy/again.toml");
    std::fs::create_dir(folder.path().join("copy")).unwrap();
    perform(&mut window, UiCommand::SaveWalkthroughAs);
    answer_path(&mut window, &out);
    until(&mut window, |app| !app.exports.is_busy());
    assert_eq!(editor(&window).path, Some(out));
    assert!(folder.path().join("copy/again-1.vlmtrace").is_file());
}

#[test]
fn opening_and_looking_at_a_walkthrough_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("a.vlmtrace");
    crate::support::trace().write(&trace).unwrap();
    let steps = "[[step]]\nseconds = 3000\n\n[[step]]\nseconds = 0\n\n[[step]]\nseconds = 3000\n";
    let file = folder.path().join("long.toml");
    std::fs::write(&file, format!("trace = \"a.vlmtrace\"\n{steps}")).unwrap();
    let mut window = window();
    window.state().intents.send(Intent::Open(file.clone()));
    until(&mut window, |app| app.editor.is_some());
    for step in 0..3 {
        send(&mut window, WalkthroughCommand::Select(Stop::Step(step)));
    }
    assert!(!editor(&window).is_unsaved(), "nobody touched it");
    assert_eq!(editor(&window).path, Some(file.clone()));

    // Its trace is not written over, and one that is gone is written anew.
    perform(&mut window, UiCommand::SaveWalkthroughAs);
    answer_path(&mut window, &folder.path().join("a.vlmtrace"));
    assert!(window.state().prompt.is_none(), "it became a.vlmtrace.toml");
    until(&mut window, |app| !app.exports.is_busy());
    assert!(Trace::open(&trace).is_ok());
    std::fs::remove_file(&trace).unwrap();
    let other = folder.path().join("kept.toml");
    perform(&mut window, UiCommand::SaveWalkthroughAs);
    answer_path(&mut window, &other);
    until(&mut window, |app| !app.exports.is_busy());
    assert!(folder.path().join("kept-1.vlmtrace").is_file(), "{}", notices(&window));
    assert!(Walkthrough::open(&other).is_ok());
}

#[test]
fn what_was_added_to_a_saved_answer_is_saved_with_the_walkthrough() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.vlmtrace");
    crate::support::trace().write(&file).unwrap();
    let mut window = window();
    window.state().intents.send(Intent::Open(file.clone()));
    until(&mut window, |app| app.docs.len() == 2);
    let doc = window.state_mut().doc_mut().unwrap();
    let shape = [doc.trace.shape().generated, doc.trace.meta().patches()];
    let map = vec![0.5; shape[0] * shape[1]];
    let more = doc.trace.with_map("map.occlusion", &shape, &map).unwrap();
    doc.replace(std::sync::Arc::new(more), false);
    perform(&mut window, UiCommand::EditWalkthrough);
    perform(&mut window, UiCommand::SaveWalkthrough);
    answer_path(&mut window, &folder.path().join("tour.toml"));
    until(&mut window, |app| !app.exports.is_busy());
    let beside = Trace::open(&folder.path().join("tour-1.vlmtrace")).unwrap();
    assert!(
        beside.map_names().contains(&"map.occlusion"),
        "the file has it not, so it is no file of it"
    );
    assert!(!Trace::open(&file).unwrap().map_names().contains(&"map.occlusion"));
}

#[test]
fn fields_that_are_only_visited_change_nothing_and_have_an_undo_each() {
    let mut window = editing();
    send(&mut window, WalkthroughCommand::Edit(Edit::Hold(0, Some(1.23))));
    let start = walkthrough(&window);
    for name in ["Total time in seconds", "Duration in seconds", "Transition time in seconds"] {
        window.get_by_label(name).click();
        settle(&mut window);
        window.get_by_label_contains("Preview: ").click();
        settle(&mut window);
        assert_eq!(walkthrough(&window), start, "{name}");
    }
    let caption = |window: &mut Window| {
        window.get_by_role_and_label(egui::Role::MultilineTextInput, "Caption").click();
        settle(window);
    };
    caption(&mut window);
    window.event(egui::Event::Text("more ".into()));
    settle(&mut window);
    send(&mut window, WalkthroughCommand::Select(Stop::Step(1)));
    caption(&mut window);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(walkthrough(&window).steps[1].caption, start.steps[1].caption);
}

#[test]
fn keys_stay_before_a_question_and_escape_leaves_a_text_first() {
    let mut window = editing();
    let start = walkthrough(&window);
    perform(&mut window, UiCommand::Quit);
    for key in [Key::Delete, Key::W, Key::ArrowRight, Key::Slash, Key::Space] {
        press(&mut window, key);
    }
    assert!(window.state().confirm.is_some() && editor(&window).is_previewing);
    assert_eq!((walkthrough(&window), editor(&window).selected()), (start, Stop::Step(0)));
    press(&mut window, Key::Escape);
    assert!(window.state().confirm.is_none());
    window.get_by_role_and_label(egui::Role::MultilineTextInput, "Caption").click();
    settle(&mut window);
    press(&mut window, Key::Escape);
    assert!(editor(&window).is_previewing, "it left the text");
    press(&mut window, Key::Escape);
    assert!(!editor(&window).is_previewing);
    press(&mut window, Key::J);
    // Enter is the answer that is offered first.
    perform(&mut window, UiCommand::Quit);
    press(&mut window, Key::Enter);
    assert!(window.state().prompt.is_some() && window.state().confirm.is_none());
}

#[test]
fn a_film_under_way_is_not_lost_by_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = editing();
    let app = window.state_mut();
    app.film_options.container = Container::PngSequence;
    app.intents.act(UiCommand::RecordFilm);
    settle(&mut window);
    window.get_by_label("Record…").click();
    settle(&mut window);
    answer_path(&mut window, &folder.path().join("frames"));
    until(&mut window, |app| app.tasks.running().iter().any(|task| task.share > Some(0.0)));
    window.key_press(Key::Escape);
    window.step();
    assert_eq!(window.state().tasks.running().len(), 1, "Escape does not stop a film");
    window.state_mut().editor = None;
    window.state().intents.act(UiCommand::Quit);
    window.step();
    window.step();
    assert!(window.state().confirm.is_some() && window.state().host.is_empty());
    window.get_by_label("Stop recording").click();
    window.step();
    window.step();
    assert_eq!(window.state().host, [HostRequest::Quit]);
    window.state_mut().tasks.end(std::time::Duration::from_secs(20));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "half a film is left");
}

#[test]
fn what_is_changed_is_seen_and_a_pack_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = editing();
    // A click into the matrix changes the view, so the view is seen.
    window.state().intents.command(Command::SetLayerHead(1, 1));
    settle(&mut window);
    assert!(!editor(&window).is_previewing);
    perform(&mut window, UiCommand::PackWalkthrough);
    let pack = folder.path().join("tour.zip");
    answer_path(&mut window, &pack);
    until(&mut window, |app| app.notices.iter().any(|notice| notice.text.starts_with("Packed")));
    window.state().intents.send(Intent::Open(pack));
    until(&mut window, |app| app.confirm.is_some());
    window.get_by_label("Discard").click();
    settle(&mut window);
    assert_eq!(editor(&window).path, None, "a pack is not written to");
    assert_eq!(walkthrough(&window).steps.len(), 14);
}

#[test]
fn traces_outside_the_folder_of_a_walkthrough_are_packed_when_the_user_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("talk")).unwrap();
    crate::support::trace().write(&path("private.vlmtrace")).unwrap();
    std::fs::write(path("talk/tour.toml"), "trace = \"../private.vlmtrace\"\n[[step]]\n").unwrap();
    let mut window = window();
    window.state().intents.send(Intent::Open(path("talk/tour.toml")));
    until(&mut window, |app| app.editor.is_some());
    perform(&mut window, UiCommand::PackWalkthrough);
    assert!(window.state().prompt.is_none(), "it asks before it asks where");
    let told = window.state().notices.last().unwrap().text.clone();
    assert!(told.contains("private.vlmtrace") && told.contains("outside its folder"), "{told}");
    window.get_by_label("Pack them too").click();
    settle(&mut window);
    answer_path(&mut window, &path("talk/tour.zip"));
    until(&mut window, |app| app.notices.iter().any(|notice| notice.text.starts_with("Packed")));
    assert!(path("talk/tour.zip").is_file());
}

#[test]
fn a_film_is_recorded_beside_the_window_with_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tour.gif");
    let mut window = editing();
    send(&mut window, WalkthroughCommand::Edit(Edit::Stretch(3.0)));
    window.state_mut().film_options = FilmOptions {
        container: Container::Gif,
        size: [160, 90],
        fps: 5,
        captions: CaptionPlace::Beside,
        ..FilmOptions::default()
    };
    window.key_press_modifiers(Modifiers { shift: true, ..Modifiers::COMMAND }, Key::R);
    settle(&mut window);
    shot(&mut window, "editor-film");
    window.get_by_label("Record…").click();
    settle(&mut window);
    answer_path(&mut window, &out);
    until(&mut window, |app| app.tasks.running().is_empty());
    assert!(notices(&window).contains("tour.gif"), "{}", notices(&window));
    let reader = std::io::BufReader::new(std::fs::File::open(&out).unwrap());
    let decoder = image::codecs::gif::GifDecoder::new(reader).unwrap();
    let frames = image::AnimationDecoder::into_frames(decoder).collect_frames().unwrap();
    assert!(!frames.is_empty());
    assert_eq!(frames[0].buffer().dimensions(), (160, 90));
    let said = std::fs::read_to_string(folder.path().join("tour.srt")).unwrap();
    assert!(said.contains("-->"), "{said}");
    assert_eq!(window.state().film_options.fps, 5, "the next film has the same options");

    // A film that cannot be written says so, and leaves nothing.
    perform(&mut window, UiCommand::RecordFilm);
    window.state_mut().film_dialog.as_mut().unwrap().options.container = Container::Mp4;
    window.state_mut().film_dialog.as_mut().unwrap().options.size = [161, 91];
    settle(&mut window);
    window.get_by_label("Record…").click();
    settle(&mut window);
    answer_path(&mut window, &folder.path().join("odd.mp4"));
    until(&mut window, |app| app.tasks.running().is_empty());
    assert!(notices(&window).contains("even width and height"), "{}", notices(&window));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn presenting_begins_at_the_selected_step_and_needs_an_answer() {
    let mut window = editing();
    send(&mut window, WalkthroughCommand::Select(Stop::Step(2)));
    perform(&mut window, UiCommand::Present);
    let options = window.state_mut().presents.take().expect("a presentation");
    assert_eq!((options.first, options.walkthrough), (3, walkthrough(&window)));
    let mut empty = empty_window();
    for act in [
        UiCommand::Present,
        UiCommand::RecordFilm,
        UiCommand::EditWalkthrough,
        UiCommand::RecordTake,
    ] {
        perform(&mut empty, act);
        let app = empty.state();
        assert!(app.presents.is_none() && app.editor.is_none() && app.take.is_none());
        assert!(notices(&empty).contains("Ask a question first"), "{act:?}");
        empty.state_mut().notices.clear();
    }
    perform(&mut empty, UiCommand::AddView);
    assert!(notices(&empty).contains("No walkthrough is open"));
}

#[test]
fn a_lost_device_costs_nothing_of_the_walkthrough() {
    let mut window = editing();
    let before = walkthrough(&window);
    let (gpu, painter) = (window.state().stage.gpu(), window.state().stage.painter());
    window.state_mut().editor.as_mut().unwrap().rebuild(gpu, painter);
    settle(&mut window);
    assert_eq!(walkthrough(&window), before);
    assert!(editor(&window).read_preview().is_ok());
}

#[test]
fn the_undo_key_brings_back_an_answer_that_was_closed_during_the_preview() {
    let mut window = window();
    window.state().intents.act(UiCommand::EditWalkthrough);
    settle(&mut window);
    window.state_mut().editor.as_mut().unwrap().is_previewing = true;
    settle(&mut window);
    let id = window.state().doc().unwrap().id;
    window.state().intents.send(Intent::Close(id));
    settle(&mut window);
    assert!(window.state().docs.is_empty());
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(window.state().docs.len(), 1);
    assert!(window.state().editor.is_some());
}

/// Closes everything, without saving the walkthrough.
fn start_fresh(window: &mut Window) {
    window.state().intents.send(Intent::StartFresh);
    settle(window);
    assert!(window.state().editor.is_some(), "an unsaved walkthrough is asked about");
    window.get_by_label("Discard").click();
    settle(window);
}

#[test]
fn a_walkthrough_that_was_closed_with_everything_waits_while_another_one_is_open() {
    let mut window = editing();
    let first = walkthrough(&window);
    start_fresh(&mut window);
    assert!(window.state().editor.is_none());
    let said = notices(&window);
    assert!(said.contains("Closed 1 answer and the walkthrough."), "{said}");
    window.state().intents.send(Intent::Reopen);
    settle(&mut window);
    assert_eq!(walkthrough(&window), first);
    for step in 0..first.steps.len() {
        until(&mut window, |app| app.editor.as_ref().unwrap().small_picture(step).is_some());
    }

    start_fresh(&mut window);
    // Another walkthrough, of an answer that was added since.
    let look = vlmscope::view::ViewState::default();
    let doc = vlmscope::ui::document::Document::new(crate::support::trace(), &look);
    let id = window.state_mut().add_document(doc);
    window.state().intents.send(Intent::Show(id));
    settle(&mut window);
    perform(&mut window, UiCommand::EditWalkthrough);
    press(&mut window, Key::Delete);
    let second = walkthrough(&window);
    assert_ne!(second, first);
    window.state().intents.send(Intent::Reopen);
    settle(&mut window);
    assert_eq!(walkthrough(&window), second);
    assert!(notices(&window).contains("Another walkthrough is open"), "{}", notices(&window));
    window.state_mut().editor = None;
    window.state().intents.send(Intent::Reopen);
    settle(&mut window);
    assert_eq!(walkthrough(&window), first);
}
