//! The session: everything returns after the window has ended, however it ended.

use crate::support::{Window, empty_window, open_with, settle, trace, until, window};
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vlmscope::analysis::score::Fit;
use vlmscope::edit::{Area, Edits, Fill, Step};
use vlmscope::model::{BlankFill, Curve, Curves, MapCurves, Picture, Turn};
use vlmscope::settings::Settings;
use vlmscope::trace::{Rect, Trace};
use vlmscope::ui::document::Document;
use vlmscope::ui::intent::{BookmarkCommand, Intent};
use vlmscope::ui::score::{Line, Scores};
use vlmscope::ui::session::{RECORD_FILE, Record, find, find_or_wait, is_opening, mark_opening};
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::what_if::session::Session;
use vlmscope::ui::what_if::{Comparison, HeadEffects};
use vlmscope::ui::{HeadlessOptions, Start};
use vlmscope::view::{Command, ViewState};

/// Names the folder for [`the_window_that_is_killed`].
const FOLDER: &str = "VLMSCOPE_TEST_SESSION";

fn start(root: &Path, settings: &Path) -> Window {
    let (read, _) = Settings::load(settings);
    let options = HeadlessOptions {
        start: Start::Empty,
        settings: Settings { advice_seen: true, animate: false, ..read },
        settings_path: Some(settings.to_owned()),
        sessions: Some(root.join("sessions")),
        remote: None,
    };
    open_with([1280.0, 720.0], 1.0, options, None)
}

fn map(trace: &Trace, name: &str) -> Arc<Trace> {
    let shape = [trace.shape().generated, trace.meta().patches()];
    let values = vec![0.25; shape[0] * shape[1]];
    Arc::new(trace.with_map(name, &shape, &values).unwrap())
}

/// Fills a window with everything that a session holds: an answer in no file with a computed map, one of a file, edits
/// of a picture, a comparison, effects of heads, a walkthrough, a bookmark, a conversation, a typed question.
fn fill(window: &mut Window, root: &Path) {
    let file = root.join("saved.vlmtrace");
    trace().write(&file).unwrap();
    let of_file = Document::new(Arc::new(Trace::open(&file).unwrap()), &ViewState::default());
    let unsaved = Document::new(map(&trace(), "map.mine"), &ViewState::default());
    let (first, second) = (unsaved.id, of_file.id);
    let app = window.state_mut();
    app.add_document(unsaved);
    app.add_document(of_file);
    app.show_document(first);
    let turn = Turn { question: "What is it?".into(), answer: "A fox.".into() };
    app.turns.insert(first, vec![turn]);
    let size = trace().meta().preprocess[0].original_size;
    let pixels = image::RgbImage::new(size[0], size[1]);
    let mut edit = Session::new(first, size, pixels, "fox.png".into());
    let area = Area::rectangle(Rect { x: 0.0, y: 0.0, width: 8.0, height: 8.0 });
    let fill = Step::Fill { area, with: Fill::Color { color: [255, 0, 0] } };
    edit.edits.push(fill.clone()).unwrap();
    edit.edits.push(fill).unwrap();
    edit.edits.undo();
    edit.edited = Some(second);
    app.what_if.session = Some(edit);
    let scored = map(&trace(), "map.scored");
    let difference = vlmscope::analysis::diff::difference(&trace(), &scored, false).unwrap();
    app.what_if.comparison =
        Some(Comparison { first, second, scored, words: Vec::new(), difference });
    app.what_if.heads = Some(HeadEffects {
        on: first,
        totals: vec![None, Some(-0.5), None],
        changed: vec![false, true, false],
    });
    let curve = |points: [(usize, f64); 2]| Curve { points: points.into() };
    let curves = MapCurves {
        map: 0,
        fill: BlankFill::Mean,
        deletion: curve([(0, 0.9), (4, 0.1)]),
        insertion: curve([(0, 0.1), (4, 0.9)]),
    };
    let fit = Fit { hit: true, energy: f64::NAN, chance: 0.25 };
    app.scores = Some(Scores {
        on: first,
        text: "fox".into(),
        lines: vec![Line { title: "shown".into(), source: None, fit: Some(fit) }],
        curves: Curves { curves: vec![curves], done: 2, total: 2 },
    });
    app.intents.act(UiCommand::EditWalkthrough);
    app.intents.act(UiCommand::DuplicateStep);
    app.intents.act(UiCommand::Bookmark);
    app.chat.question = "And the cat?".into();
    settle(window);
    window.state_mut().show_view();
    for _ in 0..2 {
        window.state().intents.command(Command::StepLayer(1));
        window.state().intents.send(Intent::Settle);
        settle(window);
    }
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(window);
}

/// Closes a window, and waits until its session can be found: its last save may still be running.
fn close(window: Window, root: &Path) {
    drop(window);
    let begin = Instant::now();
    while find(&root.join("sessions")).0.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Steps until the session on disk holds `answers`.
fn until_kept(window: &mut Window, root: &Path, answers: usize) -> Record {
    let begin = Instant::now();
    loop {
        window.step();
        let folder = window.state().keeper.as_ref().unwrap().folder();
        let text = folder.and_then(|folder| std::fs::read_to_string(folder.join(RECORD_FILE)).ok());
        if let Some(record) = text.map(|text| Record::parse(&text).unwrap())
            && record.answers.len() == answers
        {
            return record;
        }
        let notices = &window.state().notices;
        assert!(begin.elapsed() < Duration::from_secs(60), "{}: {notices:?}", root.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opens the session that is offered, and checks that it is the one of [`fill`].
fn check_restored(root: &Path, settings: &Path) -> Window {
    let mut window = start(root, settings);
    assert!(window.state().notices[0].text.contains("2 answers, a walkthrough"));
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 2 && app.editor.is_some());
    let app = window.state();
    let doc = app.doc().unwrap();
    assert!(doc.trace.map_names().contains(&"map.mine") && doc.path.is_none());
    assert_eq!(doc.state().map.layers.only(), Some(0), "the view");
    assert_eq!(app.turns[&doc.id][0].answer, "A fox.");
    let saved = &app.docs[1];
    assert_eq!(saved.path.as_deref(), Some(&*root.join("saved.vlmtrace")));
    assert_eq!(saved.in_file, Some(saved.trace.id()), "an answer of a file counts as saved");
    let edit = app.what_if.session.as_ref().unwrap();
    assert_eq!((edit.edits.steps().len(), edit.original, edit.edited), (1, doc.id, Some(saved.id)));
    let both = app.what_if.comparison.as_ref().unwrap();
    assert!((both.first, both.second) == (doc.id, saved.id));
    assert!(both.scored.map_names().contains(&"map.scored"));
    let heads = app.what_if.heads.as_ref().unwrap();
    assert_eq!((heads.totals[1], heads.changed[1], heads.totals.len()), (Some(-0.5), true, 3));
    let editor = app.editor.as_ref().unwrap();
    assert!(editor.is_unsaved() && editor.walkthrough().steps.len() > 1);
    assert!(editor.trace_set.shows(doc.id), "its steps show the answer that is open");
    assert_eq!(editor.can_undo_redo(), [true, false], "the duplicated step can be undone");
    let before = &editor.versions().past[0];
    assert_eq!(before.steps.len() + 1, editor.walkthrough().steps.len());
    assert!(before.steps.iter().all(|step| editor.walkthrough().steps.contains(step)));
    assert_eq!(app.settings.bookmarks.len(), 1);
    assert!(doc.is_of(&app.settings.bookmarks[0]), "the bookmark finds its answer");
    assert_eq!(app.chat.question, "And the cat?");
    assert_eq!((edit.edits.undone().len(), edit.edits.can_redo()), (1, true));
    let scores = app.scores.as_ref().expect("the curves");
    assert_eq!((scores.on, &*scores.text, scores.is_complete()), (doc.id, "fox", true));
    assert_eq!(scores.curves.curves[0].deletion.points, [(0, 0.9), (4, 0.1)]);
    assert!(scores.lines[0].fit.is_some_and(|fit| fit.energy.is_nan() && fit.chance == 0.25));
    // The view can be undone and redone as before.
    let layer = |doc: &Document| doc.state().map.layers.only();
    let mut doc = doc.clone();
    assert!(doc.redo() && layer(&doc) == Some(1));
    assert!(doc.undo() && layer(&doc) == Some(0));
    assert!(doc.undo() && layer(&doc) != Some(0) && doc.history.can_redo());
    window
}

#[test]
fn everything_returns_after_the_window_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let mut window = start(root, &settings);
    fill(&mut window, root);
    until_kept(&mut window, root, 2);
    window.state_mut().keep_settings(true);
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    drop(window);
    let mut window = check_restored(root, &settings);

    // The restored answer has no file of the user: maps that are computed now are kept, too.
    let doc = window.state_mut().doc_mut().unwrap();
    let more = map(&doc.trace, "map.later");
    doc.replace(more, false);
    settle(&mut window);
    assert_eq!(find(&root.join("sessions")).0.len(), 0, "the folder belongs to the open window");
    let folder = window.state().keeper.as_ref().unwrap().folder().unwrap();
    let keeps_the_map = || {
        let text = std::fs::read_to_string(folder.join(RECORD_FILE)).unwrap();
        let file = folder.join(&Record::parse(&text).unwrap().answers[0].trace);
        Trace::open(&file).is_ok_and(|trace| trace.map_names().contains(&"map.later"))
    };
    let begin = Instant::now();
    while !keeps_the_map() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the new map is not kept");
        window.step();
        std::thread::sleep(Duration::from_millis(20));
    }
    close(window, root);
    let restored = find(&root.join("sessions")).0.remove(0).load();
    assert!(restored.problems.is_empty(), "{:?}", restored.problems);
    assert!(restored.answers[0].trace.map_names().contains(&"map.later"));
    drop(restored);

    // Start fresh, with an undo; then nothing is left for the next start.
    let mut window = check_restored(root, &settings);
    window.state().intents.send(Intent::StartFresh);
    settle(&mut window);
    window.get_by_label("Discard").click();
    settle(&mut window);
    assert!(window.state().docs.is_empty() && window.state().editor.is_none());
    window.get_by_label("Undo").click();
    settle(&mut window);
    assert!(window.state().docs.len() == 2 && window.state().editor.is_some());
    window.state().intents.send(Intent::StartFresh);
    settle(&mut window);
    window.get_by_label("Discard").click();
    settle(&mut window);
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    drop(window);
    assert!(start(root, &settings).state().waiting.is_empty());
}

/// The other process of [`everything_returns_after_a_kill`].
#[test]
fn the_window_that_is_killed() {
    let Some(root) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut window = start(&root, &root.join("settings.toml"));
    fill(&mut window, &root);
    until_kept(&mut window, &root, 2);
    // The last change is saved, too.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        window.step();
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(root.join("ready"), "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
#[cfg(unix)]
fn everything_returns_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "session::the_window_that_is_killed", "--nocapture"])
        .env(FOLDER, root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !root.join("ready").exists() {
        assert!(begin.elapsed() < Duration::from_secs(120));
        assert!(child.try_wait().unwrap().is_none(), "the window ended by itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(find(&root.join("sessions")).0.is_empty(), "another process holds the session");
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    check_restored(root, &root.join("settings.toml"));
}

#[test]
fn a_damaged_session_is_named_and_never_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let mut window = start(root, &settings);
    fill(&mut window, root);
    until_kept(&mut window, root, 2);
    let kept = window.state().keeper.as_ref().unwrap().folder().unwrap();
    close(window, root);
    let record = kept.join(RECORD_FILE);
    let whole = std::fs::read_to_string(&record).unwrap();

    // A trace that is damaged: the other answer returns.
    let trace = std::fs::read_dir(&kept).unwrap().flatten().map(|entry| entry.path());
    let traces: Vec<PathBuf> =
        trace.filter(|path| path.extension().is_some_and(|end| end == "vlmtrace")).collect();
    for path in &traces {
        std::fs::write(path, "not a trace").unwrap();
    }
    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 1);
    let texts: Vec<String> = window.state().notices.iter().map(|one| one.text.clone()).collect();
    assert!(
        texts.iter().any(|text| text.contains("An answer of the last session is left out")),
        "{texts:?}"
    );
    drop(window);

    for text in [&whole[..whole.len() / 2], "\u{0}\u{1}", "", "version = 99\n"] {
        let damaged = root.join("sessions/session-1-1-0");
        std::fs::create_dir_all(&damaged).unwrap();
        std::fs::write(damaged.join(RECORD_FILE), text).unwrap();
        let window = start(root, &settings);
        let texts: Vec<String> =
            window.state().notices.iter().map(|one| one.text.clone()).collect();
        let told = texts.iter().find(|text| text.contains("cannot be read"));
        let told = told.unwrap_or_else(|| panic!("{text:?}: {texts:?}"));
        assert!(told.contains("damaged-1-1-0"), "{told}");
        assert!(!damaged.exists());
        std::fs::remove_dir_all(root.join("sessions/damaged-1-1-0")).unwrap();
    }
}

#[test]
fn what_a_session_says_is_checked_and_what_cannot_be_read_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let mut window = start(root, &settings);
    fill(&mut window, root);
    let mut record = until_kept(&mut window, root, 2);
    let kept = window.state().keeper.as_ref().unwrap().folder().unwrap();
    close(window, root);
    record.heads.as_mut().unwrap().count = usize::MAX >> 8;
    record.edit.as_mut().unwrap().edits = Edits::new([0, 0]);
    record.scores.as_mut().unwrap().curves.curves[0].map = usize::MAX >> 8;
    let steps = record.answers.iter().find_map(|answer| answer.steps.clone()).unwrap();
    std::fs::write(kept.join(&steps), "[[past]]\nzoom = {").unwrap();
    let damaged = record.answers[0].trace.clone();
    let lost = "is_edited = false\npicture = { name = 'x.png', file = 'picture-lost' }\n";
    let text = toml::to_string(&record).unwrap().replacen("is_edited = false\n", lost, 1);
    std::fs::write(kept.join(RECORD_FILE), text).unwrap();
    std::fs::write(kept.join("notes.txt"), "of the user").unwrap();

    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 2);
    let app = window.state();
    let shape = trace().shape();
    let heads = app.what_if.heads.as_ref().unwrap();
    assert_eq!((heads.totals.len(), heads.totals[1]), (shape.layers * shape.heads, Some(-0.5)));
    assert!(app.what_if.session.is_none(), "edits of a picture without pixels");
    let texts: Vec<String> = app.notices.iter().map(|one| one.text.clone()).collect();
    assert!(app.scores.is_none(), "curves of no map");
    assert!(app.docs.iter().all(|doc| !doc.history.can_undo()), "steps that cannot be read");
    for part in [
        "The edited picture of the last session is left out",
        "The picture of an answer",
        "The undo steps of an answer are left out",
        "The Faithfulness curves of the last session are left out: there is no map",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:?}");
    }
    until_kept(&mut window, root, 2);
    close(window, root);

    std::fs::write(kept.join(&damaged), "not a trace").unwrap();
    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 1);
    until_kept(&mut window, root, 1);
    let name = kept.file_name().unwrap().to_str().unwrap().replace("session-", "damaged-");
    let sessions = root.join("sessions");
    assert_eq!(
        std::fs::read(sessions.join(&name).join(&steps)).unwrap(),
        b"[[past]]\nzoom = {",
        "the undo steps that could not be read before"
    );
    let aside = sessions.join(format!("{name}-1")).join(&damaged);
    assert_eq!(std::fs::read(&aside).unwrap(), b"not a trace");
    assert!(aside.with_file_name("walkthrough.toml").is_file(), "its steps show that trace");
    let texts: Vec<String> = window.state().notices.iter().map(|one| one.text.clone()).collect();
    assert!(texts.iter().any(|text| text.contains("are kept in")), "{texts:?}");
    assert_eq!(std::fs::read(kept.join("notes.txt")).unwrap(), b"of the user");
}

#[test]
fn a_session_that_ended_the_window_while_it_was_opened_is_only_offered() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let mut window = start(root, &settings);
    fill(&mut window, root);
    until_kept(&mut window, root, 2);
    drop(window);
    // A window that is gone may still be reading: its lock lasts until then.
    let last = || {
        let begin = Instant::now();
        loop {
            if let Some(found) = find(&root.join("sessions")).0.pop() {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert!(!last().ended_while_opening());
    let kept = last().folder().to_owned();
    // The window that opens it ends before it could show it.
    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    window.step();
    assert!(is_opening(&kept));
    drop(window);
    let found = last();
    mark_opening(&kept);
    drop(found);
    assert!(last().ended_while_opening());
    // Shown and saved once, it is a session like any other.
    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 2);
    let begin = Instant::now();
    while is_opening(&kept) {
        assert!(begin.elapsed() < Duration::from_secs(60));
        window.step();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(window);
    assert!(!last().ended_while_opening());
}

#[test]
fn two_windows_keep_a_session_each() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let one = || {
        let mut window = start(root, &settings);
        assert!(window.state().waiting.is_empty(), "the session of an open window is not offered");
        window.state_mut().add_document(Document::new(trace(), &ViewState::default()));
        until_kept(&mut window, root, 1);
        window
    };
    let (first, second) = (one(), one());
    drop((first, second));
    let mut window = start(root, &settings);
    assert_eq!(window.state().waiting.len(), 2);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 2);
    until_kept(&mut window, root, 2);
    drop(window);
    let (found, problems) = find(&root.join("sessions"));
    assert_eq!((found.len(), problems.len()), (1, 0), "both are one session now");
    assert_eq!(found[0].record.answers.len(), 2);
}

#[test]
fn a_session_stays_below_its_limit_and_says_what_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let bytes = trace().data_bytes();
    let mut window = start(root, &settings);
    // Room for one of the two answers.
    window.state_mut().settings.session_limit_mb = (bytes * 3 / 2).div_ceil(1_000_000);
    let most = window.state().settings.session_limit_mb * 1_000_000;
    let count = (most / bytes) as usize;
    for _ in 0..count + 2 {
        let copy = map(&trace(), "map.mine");
        window.state_mut().add_document(Document::new(copy, &ViewState::default()));
    }
    until(&mut window, |app| {
        app.notices.iter().any(|notice| notice.text.contains("The session is full"))
    });
    let kept = window.state().keeper.as_ref().unwrap().folder().unwrap();
    let size: u64 = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size < most + 1_000_000, "{size} of {most}");
    let record = Record::parse(&std::fs::read_to_string(kept.join(RECORD_FILE)).unwrap()).unwrap();
    assert!(!record.answers.is_empty() && record.answers.len() < count + 2);
    let current = window.state().current.unwrap().number();
    assert_eq!(record.current, Some(current), "the answer that is looked at is kept first");
}

#[test]
fn the_answer_of_the_first_start_is_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = start(folder.path(), &folder.path().join("settings.toml"));
    for _ in 0..80 {
        window.step();
    }
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    assert!(!folder.path().join("sessions").exists());
}

#[test]
fn a_typed_question_is_kept_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let mut window = start(root, &settings);
    window.state_mut().chat.question = "Where is the second fox?".into();
    settle(&mut window);
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    close(window, root);
    let mut window = start(root, &settings);
    assert!(window.state().notices[0].text.contains("a question"), "{:?}", window.state().notices);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.chat.question == "Where is the second fox?");
}

#[test]
fn an_answer_whose_file_was_replaced_says_so() {
    for is_replaced in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
        let file = root.join("saved.vlmtrace");
        trace().write(&file).unwrap();
        let mut window = start(root, &settings);
        let of_file = Arc::new(Trace::open(&file).unwrap());
        window.state_mut().add_document(Document::new(of_file, &ViewState::default()));
        settle(&mut window);
        vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
        close(window, root);
        if is_replaced {
            map(&trace(), "map.other").write(&file).unwrap();
        }
        let mut window = start(root, &settings);
        window.get_by_label("Open").click();
        until(&mut window, |app| !app.docs.is_empty());
        let changed = "saved.vlmtrace was changed after the last session";
        let says_so = window.state().notices.iter().any(|notice| notice.text.contains(changed));
        assert_eq!(says_so, is_replaced, "{:?}", window.state().notices);
    }
}

#[test]
fn a_closed_answer_comes_back_in_its_place() {
    let mut window = window();
    let first = window.state().current.unwrap();
    window.state_mut().add_document(Document::new(trace(), &ViewState::default()));
    let ids = |window: &Window| window.state().docs.iter().map(|doc| doc.id).collect::<Vec<_>>();
    let before = ids(&window);
    window.state().intents.send(Intent::Close(first));
    settle(&mut window);
    assert_eq!(window.state().docs.len(), 1);
    window.get_by_label("Undo").click();
    settle(&mut window);
    assert_eq!((ids(&window), window.state().current), (before.clone(), Some(first)));
    assert!(window.state().notices.is_empty());

    // The key undoes the closing where that was the last action, else the view's last change.
    window.state().intents.send(Intent::Close(first));
    settle(&mut window);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(ids(&window), before);
    window.state().intents.send(Intent::Close(first));
    settle(&mut window);
    window.state().intents.command(Command::StepLayer(1));
    settle(&mut window);
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(window.state().docs.len(), 1, "the view was undone");
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::T);
    settle(&mut window);
    assert_eq!(ids(&window), before);
}

#[test]
fn a_deleted_bookmark_comes_back_and_shows_its_own_answer_only() {
    let mut window = window();
    for _ in 0..2 {
        window.state().intents.act(UiCommand::Bookmark);
        window.state().intents.command(Command::StepLayer(1));
        settle(&mut window);
    }
    let before = window.state().settings.bookmarks.clone();
    window.state().intents.send(Intent::Bookmark(BookmarkCommand::Remove(0)));
    settle(&mut window);
    assert_eq!(window.state().settings.bookmarks.len(), 1);
    window.get_by_label("Undo").click();
    settle(&mut window);
    assert_eq!(window.state().settings.bookmarks, before);

    let bookmarks = before;
    let mut other = empty_window();
    other.state_mut().settings.bookmarks = bookmarks;
    other.state_mut().add_document(Document::new(trace(), &ViewState::default()));
    let view = other.state().doc().unwrap().state().clone();
    other.state().intents.send(Intent::Bookmark(BookmarkCommand::GoTo(1)));
    settle(&mut other);
    assert_eq!(*other.state().doc().unwrap().state(), view);
    assert!(other.state().notices[0].text.contains("was closed and is in no file"));
}

#[test]
#[cfg(target_os = "linux")]
fn the_session_of_a_window_that_is_ending_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let session = root.path().join("session-1-1-0");
    std::fs::create_dir(&session).unwrap();
    let path = root.path().join(".vlmscope-session-1-1-0.lock");
    let hold = |pid: u32| {
        std::fs::write(&path, format!("{{\"pid\":{pid},\"host\":\"h\"}}\n")).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        file.lock().unwrap();
        file
    };
    let held = hold(std::process::id());
    // The window of a process that lives is not waited for; the wait would be longer than any test.
    find_or_wait(root.path(), Duration::MAX);
    assert!(session.exists());
    drop(held);
    let mut child = Process::new("true").spawn().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let begin = Instant::now();
    while !state().contains(") Z ") {
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", state());
        std::thread::sleep(Duration::from_millis(5));
    }
    let held = hold(child.id());
    find_or_wait(root.path(), Duration::ZERO);
    assert!(session.exists(), "not longer than the limit");
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
    });
    // It holds nothing, so it is removed as soon as it is free.
    find_or_wait(root.path(), Duration::from_secs(60));
    assert!(!session.exists());
    release.join().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_answer_whose_file_is_missing_stays_in_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let (root, settings) = (folder.path(), folder.path().join("settings.toml"));
    let mut window = start(root, &settings);
    fill(&mut window, root);
    let id = window.state().docs[1].id;
    window.state_mut().show_document(id);
    settle(&mut window);
    for layer in [1, 2] {
        window.state().intents.command(Command::SetLayerHead(layer, 0));
        window.state().intents.send(Intent::Settle);
        settle(&mut window);
    }
    let given = Picture { name: "given.png".into(), bytes: vec![7; 9].into() };
    window.state_mut().pictures.insert(id, given);
    settle(&mut window);
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    close(window, root);

    let (file, away) = (root.join("saved.vlmtrace"), root.join("away.vlmtrace"));
    std::fs::rename(&file, &away).unwrap();
    let is_told = |window: &Window| {
        let name = file.display().to_string();
        let notices = &window.state().notices;
        notices.iter().any(|notice| notice.text.contains(&format!("{name} is missing")))
    };
    // Each start keeps it, also one that saves again.
    for question in ["first", "second"] {
        let mut window = start(root, &settings);
        window.get_by_label("Open").click();
        until(&mut window, |app| app.docs.len() == 1);
        assert!(is_told(&window), "{:?}", window.state().notices);
        window.state_mut().chat.question = question.into();
        vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
        let record = until_kept(&mut window, root, 2);
        assert_eq!(record.question, question);
        let kept = record.answers.iter().find(|answer| answer.trace == file).unwrap();
        let own = window.state().keeper.as_ref().unwrap().folder().unwrap();
        assert!(own.join(kept.steps.as_ref().unwrap()).is_file());
        assert_eq!(std::fs::read(own.join(&kept.picture.as_ref().unwrap().file)).unwrap(), [7; 9]);
        close(window, root);
    }

    // The file is back: so is everything of the answer.
    std::fs::rename(&away, &file).unwrap();
    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 2);
    assert!(!is_told(&window) && window.state().missing.is_empty());
    let app = window.state();
    let mut doc = app.docs.get(id).unwrap().clone();
    assert_eq!(app.pictures[&id].name, "given.png");
    assert_eq!(doc.state().map.layers.only(), Some(2));
    assert!(doc.undo() && doc.state().map.layers.only() == Some(1));
    close(window, root);

    // Forgetting it is on purpose.
    std::fs::rename(&file, &away).unwrap();
    let mut window = start(root, &settings);
    window.get_by_label("Open").click();
    until(&mut window, |app| app.docs.len() == 1);
    until_kept(&mut window, root, 2);
    window.get_by_label("Forget it").click();
    settle(&mut window);
    until_kept(&mut window, root, 1);
}
