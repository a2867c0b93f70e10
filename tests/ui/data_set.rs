//! Tables over many answers in the window.

use crate::support::{
    Window, click, drag, empty_window, open_with, painted, save_to, settle, shoot, trace, until,
};
use crate::table_damage::change_last_row;
use egui::{Key, Modifiers, pos2, vec2};
use egui_kittest::kittest::Queryable as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vlmscope::analysis::outline::{Outline, RegionPart};
use vlmscope::settings::Settings;
use vlmscope::table::statistics::{Condition, DataSet, HeadColumn};
use vlmscope::table::{
    Given, HeadsBuilder, SampleRow, Source, TableKind, TableWriter, samples_batch, samples_path,
};
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
use vlmscope::ui::data_set::{Axis, Brush, Compared, DataSetDoc, DataSetView};
use vlmscope::ui::headless::HeadlessOptions;
use vlmscope::ui::intent::{DataSetCommand, Intent};
use vlmscope::ui::model_feed::Wake;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::{App, Start};
use vlmscope::view::{Command, MarkedObject, Queries};

/// Samples of a test's table.
const SAMPLES: u32 = 60;

/// Writes a table of `count` samples: every fifth answer is wrong, the first traces are kept as files.
fn write_table(folder: &Path, name: &str, count: u32) -> PathBuf {
    let source = Source::of(&folder.join(name));
    let (mut heads, mut samples) = (HeadsBuilder::default(), Vec::new());
    let made: Vec<_> = (0..4)
        .map(|seed| {
            let synthetic = Synthetic::new(Geometry::named("small").unwrap(), RowsKept::Text, seed);
            let synthetic = synthetic.unwrap();
            let path = folder.join(format!("{seed}.vlmtrace"));
            synthetic.write(&path).unwrap();
            (synthetic.trace().unwrap(), path)
        })
        .collect();
    for index in 0..count {
        // Wrong answers are those of one trace, so that some heads differ.
        let is_wrong = index % 5 == 0;
        let (trace, path) = &made[if is_wrong { 3 } else { index as usize % 3 }];
        let sample = format!("s{index:03}");
        heads.append((&sample, index), trace, &|_| None).unwrap();
        let kept = match index {
            0..4 => Some(path.display().to_string()),
            4 => Some("moved.vlmtrace".into()),
            _ => None,
        };
        // One question goes on with a conversation.
        let turns = match index {
            6 => vec![("What is this?".to_owned(), "A picture.".to_owned())],
            _ => Vec::new(),
        };
        let given = Given { sample, index, trace: kept, turns, ..Given::default() };
        samples.push(SampleRow {
            picture: if index == 6 { "sample:1".into() } else { String::new() },
            question: format!("What is in picture {index}?"),
            answer: format!("answer {index}"),
            expected: Some("a fox".into()),
            correct: Some(!is_wrong),
            category: Some(["count", "color"][index as usize % 2].into()),
            logprob: Some(-(index as f32) / 10.0),
            ..SampleRow::new(trace, &given)
        });
    }
    let mut writer = TableWriter::begin(&source.heads, TableKind::Heads).unwrap();
    writer.write(&heads.take().unwrap()).unwrap();
    writer.finish().unwrap();
    let mut writer = TableWriter::begin(&source.samples, TableKind::Samples).unwrap();
    writer.write(&samples_batch(&samples).unwrap()).unwrap();
    writer.finish().unwrap();
    source.heads
}

fn doc(app: &App) -> &DataSetDoc {
    app.data_sets.current().unwrap()
}

fn is_ready(app: &App) -> bool {
    let current = app.data_sets.current();
    current.is_some_and(|doc| doc.ranking().is_some() && doc.progress().is_none())
}

/// A window that shows a table.
fn window_of(path: &Path, size: [f32; 2]) -> Window {
    let settings = Settings { advice_seen: true, animate: false, ..Settings::default() };
    let options = HeadlessOptions { start: Start::Empty, settings, ..HeadlessOptions::default() };
    let mut window = open_with(size, 1.0, options, None);
    window.state().intents.send(Intent::Open(path.to_owned()));
    until(&mut window, is_ready);
    window
}

fn table() -> (tempfile::TempDir, Window) {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", SAMPLES);
    let window = window_of(&path, [1280.0, 720.0]);
    (folder, window)
}

fn act(window: &mut Window, act: UiCommand) {
    window.state().intents.act(act);
    settle(window);
}

fn send(window: &mut Window, command: DataSetCommand) {
    window.state().intents.send(Intent::DataSet(command));
    settle(window);
}

/// Changes what is shown of the table, and waits for the numbers.
fn change(window: &mut Window, change: impl FnOnce(&mut DataSetView)) {
    let mut view = doc(window.state()).view().clone();
    change(&mut view);
    send(window, DataSetCommand::View(Box::new(view)));
    until(window, is_ready);
}

#[test]
fn a_table_opens_in_place_of_an_answer_and_shows_its_numbers() {
    let (_folder, mut window) = table();
    let app = window.state();
    assert!(app.data_sets.is_shown && app.notices.is_empty(), "{:?}", app.notices);
    assert_eq!(app.settings.recent_files.len(), 1);
    let numbers = doc(app).numbers().unwrap();
    assert_eq!((numbers.cube.samples(), numbers.cube.layers().len()), (60, trace().shape().layers));
    assert!(numbers.comparison.is_none());
    assert_eq!(
        doc(app).view().heads.len(),
        1,
        "the best head is chosen, so that samples have maps"
    );
    assert!(window.query_by_label("60 samples · 12 wrong").is_some());
    // The most improbable answer comes first.
    assert_eq!(doc(window.state()).order()[0], 59);
    assert!(window.query_by_label("Sample s059: answer 59").is_some());
    let texts = painted(&window);
    assert!(texts.iter().any(|text| text == "expected: a fox"), "below a wrong answer: {texts:?}");
    assert!(
        window.query_by_label("Sample s000: answer 0").is_none(),
        "only what is in sight is drawn"
    );
    shoot(&mut window, "data_set");
    // The tab and the key lead to the answer and back.
    act(&mut window, UiCommand::ShowDataSet);
    assert!(!window.state().data_sets.is_shown);
    window.get_by_label("Data set").click();
    settle(&mut window);
    assert!(window.state().data_sets.is_shown);
    window.get_by_label("Close this table").click();
    settle(&mut window);
    assert!(window.state().data_sets.is_empty() && !window.state().data_sets.is_shown);
    act(&mut window, UiCommand::ShowDataSet);
    assert!(window.state().notices[0].text.starts_with("No table is open"));
}

#[test]
fn conditions_choose_the_samples_that_count() {
    let (_folder, mut window) = table();
    let before = doc(window.state()).numbers().unwrap().moments.clone();
    window.key_press(Key::Slash);
    settle(&mut window);
    window.event(egui::Event::Text("category = count".into()));
    window.key_press(Key::Enter);
    until(&mut window, |app| doc(app).filtered().count() == 30);
    until(&mut window, is_ready);
    let numbers = Arc::clone(doc(window.state()).numbers().unwrap());
    assert_eq!(numbers.moments.samples, 30);
    assert_ne!(numbers.moments.cells, before.cells);
    assert!(window.query_by_label("30 of 60 samples · 6 wrong").is_some());
    assert!(doc(window.state()).order().iter().all(|row| row % 2 == 0));
    // A click on its text types it again.
    let chip = window.get_by_label("category: count").rect().center();
    click(&mut window, chip, Modifiers::NONE);
    until(&mut window, |app| doc(app).filtered().count() == 60);
    window.key_press(Key::Enter);
    until(&mut window, |app| doc(app).filtered().count() == 30);
    until(&mut window, is_ready);
    // A condition that does not fit says why, and changes nothing.
    window.get_by_label("Condition").focus();
    settle(&mut window);
    window.key_press(Key::Slash);
    settle(&mut window);
    window.event(egui::Event::Text("colour = red".into()));
    window.key_press(Key::Enter);
    settle(&mut window);
    assert_eq!(doc(window.state()).view().filter.conditions.len(), 1);
    shoot(&mut window, "data_set_filter");
    let error = "colour = red".parse::<Condition>().unwrap();
    let error = error.mask(doc(window.state()).samples()).unwrap_err().to_string();
    let label = window.get_by_label_contains("the table has no column `colour`");
    assert!(error.contains("colour") && label.rect().right() < 1280.0, "the whole text is seen");
    window.get_by_label("Remove category: count").click();
    settle(&mut window);
    until(&mut window, is_ready);
    assert_eq!(doc(window.state()).numbers().unwrap().moments.cells, before.cells);
}

#[test]
fn a_comparison_shows_differences_and_says_how_many_would_differ_by_chance() {
    let (folder, mut window) = table();
    change(&mut window, |view| {
        view.compared = Compared::Condition(Condition::correct(false));
    });
    let numbers = Arc::clone(doc(window.state()).numbers().unwrap());
    let found = numbers.comparison.as_ref().unwrap();
    assert_eq!(found.samples, [12, 48]);
    assert!(found.significant() > 0, "the wrong answers are those of another trace");
    let [low, high] = numbers.matrix.range;
    assert_eq!(low, -high, "0 is in the middle of the colours");
    let direction = "Wrong answers (12) minus right answers (48).";
    let sentence = format!("{direction} {} Dots mark the heads that differ.", found.sentence());
    assert!(window.query_by_label(&sentence).is_some());
    shoot(&mut window, "data_set_comparison");
    // The same samples in another table: every head is the same.
    let again = write_table(folder.path(), "again.parquet", SAMPLES);
    change(&mut window, |view| view.compared = Compared::Table(again));
    let numbers = Arc::clone(doc(window.state()).numbers().unwrap());
    let found = numbers.comparison.as_ref().unwrap();
    assert_eq!(found.samples, [60, 60]);
    assert!(found.cells.iter().all(|cell| cell.difference == 0.0));
    assert_eq!(found.tested(), 0, "differences without a spread cannot be tested");
    let [low, high] = numbers.matrix.range;
    assert!(low < 0.0 && low == -high, "no difference has the colour of the middle");
    // A group without a sample is named.
    change(&mut window, |view| {
        view.compared = Compared::Condition(Condition::correct(false));
        view.filter.conditions = vec![Condition::correct(true)];
    });
    let lacks = doc(window.state()).numbers().unwrap().matrix.lacks.clone().unwrap();
    assert!(lacks.contains("48 samples") && lacks.contains("“wrong answers”"), "{lacks}");
    // A table that is not there.
    let mut view = doc(window.state()).view().clone();
    view.compared = Compared::Table(folder.path().join("none.parquet"));
    send(&mut window, DataSetCommand::View(Box::new(view)));
    until(&mut window, |app| doc(app).failed().is_some());
    let failed = doc(window.state());
    assert!(failed.failed().unwrap().contains("none.parquet"));
    assert!(failed.numbers().is_none() && failed.ranking().is_none(), "they are of another view");
    let values = failed.values(&Axis::Heads);
    assert!(values.iter().any(|value| value.is_finite()), "the plot needs no comparison");
}

#[test]
fn cells_and_rows_choose_heads_and_keys_step_through_them() {
    let (_folder, mut window) = table();
    let best = doc(window.state()).view().heads.clone();
    window.key_press(Key::N);
    settle(&mut window);
    let second = doc(window.state()).view().heads.clone();
    assert_ne!(second, best);
    window.key_press(Key::B);
    settle(&mut window);
    let heads = {
        let doc = doc(window.state());
        let ranked = &doc.ranking().unwrap().heads;
        let cube = &doc.numbers().unwrap().cube;
        [0, 1].map(|rank: usize| cube.head_of(ranked[rank].cell).unwrap())
    };
    assert_eq!(doc(window.state()).view().heads, [heads[0]]);
    assert_eq!(second, [heads[1]]);
    window.key_press(Key::CloseBracket);
    settle(&mut window);
    let [layer, head] = doc(window.state()).view().heads[0];
    let count = doc(window.state()).numbers().unwrap().cube.heads() as u32;
    assert_eq!([layer, head], [heads[0][0], (heads[0][1] + 1) % count]);
    // A click on a row of the ranking, and one with Ctrl on another.
    let row = |window: &Window, rank: usize| {
        let name = vlmscope::view::figure::head_name(heads[rank][0], heads[rank][1]);
        window.get_by_label(&format!("Rank {}: {name}", rank + 1)).rect().center()
    };
    let (first, other) = (row(&window, 0), row(&window, 1));
    click(&mut window, first, Modifiers::NONE);
    assert_eq!(doc(window.state()).view().heads, [heads[0]]);
    click(&mut window, other, Modifiers::COMMAND);
    let mut both = heads.to_vec();
    both.sort_unstable();
    assert_eq!(doc(window.state()).view().heads, both);
    // A click on a cell.
    let name = "Heads of the table: click to choose, Ctrl or Shift to choose several";
    let cells = window.get_by_label(name).rect();
    click(&mut window, cells.min + vec2(3.0, 3.0), Modifiers::NONE);
    let first = doc(window.state()).numbers().unwrap().cube.head_of(0).unwrap();
    assert_eq!(doc(window.state()).view().heads, [first]);
    // The key for the next quantity.
    window.key_press(Key::Q);
    settle(&mut window);
    until(&mut window, is_ready);
    assert_eq!(doc(window.state()).view().column, HeadColumn::ImageShare);
    assert_eq!(doc(window.state()).numbers().unwrap().column, HeadColumn::ImageShare);
}

#[test]
fn a_rectangle_in_the_plot_selects_samples_and_escape_gives_it_up() {
    let (_folder, mut window) = table();
    change(&mut window, |view| view.axes = [Axis::column("index"), Axis::column("logprob")]);
    let name = "Plot of the samples: drag a rectangle to select samples, click a point to open it";
    let plot = window.get_by_label(name).rect();
    // The line falls from the upper left to the lower right: its left half.
    drag(&mut window, plot.min + vec2(1.0, 1.0), pos2(plot.center().x, plot.bottom() - 1.0));
    let app = window.state();
    assert_eq!(doc(app).selected().count(), 30);
    assert!(doc(app).order().iter().all(|row| *row < 30));
    assert_eq!(doc(app).numbers().unwrap().moments.samples, 60, "the matrix counts all samples");
    assert!(window.query_by_label("30 selected in the plot").is_some());
    shoot(&mut window, "data_set_brush");
    send(&mut window, DataSetCommand::CountBrush(true));
    until(&mut window, is_ready);
    assert_eq!(doc(window.state()).numbers().unwrap().moments.samples, 30);
    // Other heads, axes and quantities are of the same samples.
    let rows = doc(window.state()).selected().rows();
    assert!(doc(window.state()).outline().is_some());
    window.key_press(Key::CloseBracket);
    settle(&mut window);
    change(&mut window, |view| {
        view.axes = [Axis::column("logprob"), Axis::Heads];
        view.column = HeadColumn::Entropy;
    });
    let of_rows = doc(window.state());
    assert_eq!(of_rows.selected().rows(), rows);
    assert_eq!(of_rows.numbers().unwrap().moments.samples, 30);
    assert!(of_rows.outline().is_none(), "the rectangle was of other numbers");
    window.key_press(Key::Escape);
    settle(&mut window);
    until(&mut window, is_ready);
    assert_eq!(doc(window.state()).selected().count(), 60);
    assert_eq!(doc(window.state()).numbers().unwrap().moments.samples, 60);
    assert!(window.state().data_sets.is_shown, "the first Escape only ends the selection");
    // A point that is not selected opens, too.
    let axes = [Axis::column("index"), Axis::column("logprob")];
    let right = Brush { axes, ranges: [[29.5, 60.0], [-10.0, 1.0]] };
    send(&mut window, DataSetCommand::Brush(Some(right)));
    assert!(!doc(window.state()).order().contains(&0));
    send(&mut window, DataSetCommand::Open(0));
    until(&mut window, |app| app.doc().is_some());
}

#[test]
fn a_sample_opens_its_trace_and_escape_returns_to_the_same_place() {
    let (_folder, mut window) = table();
    change(&mut window, |view| view.descending = true);
    assert_eq!(doc(window.state()).order()[..3], [0, 1, 2]);
    until(&mut window, |app| (0..7).all(|row| doc(app).tiles.get(row).is_some()));
    // A kept trace shows the map of the head.
    until(&mut window, |app| doc(app).tiles.get(0).is_some_and(|tile| tile.map.is_some()));
    let tiles = &doc(window.state()).tiles;
    assert!(tiles.get(6).unwrap().picture.is_some() && tiles.get(6).unwrap().map.is_none());
    assert!(
        tiles.get(5).unwrap().picture.is_none(),
        "neither trace nor picture: the question is shown"
    );
    let note = tiles.get(4).unwrap().note.clone().unwrap();
    assert!(note.contains("no longer at") && note.contains("moved.vlmtrace"), "{note}");
    shoot(&mut window, "data_set_sheet");
    // Keys move and open.
    for key in [Key::ArrowRight, Key::ArrowRight, Key::ArrowLeft] {
        window.key_press(key);
        settle(&mut window);
    }
    assert_eq!(doc(window.state()).cursor(), 1);
    window.key_press(Key::Enter);
    until(&mut window, |app| app.doc().is_some());
    let app = window.state();
    assert!(!app.data_sets.is_shown);
    let heads = app.doc().unwrap().state().map.chosen_heads();
    assert_eq!(heads, doc(app).view().heads, "the stage shows the chosen head");
    let spoken = app.doc().unwrap().trace.meta().spoken_answers();
    let queries = app.doc().unwrap().state().map.queries.clone();
    assert_eq!(queries, Queries::answers(&spoken), "the tokens of the table's numbers");
    window.key_press(Key::Escape);
    settle(&mut window);
    assert!(window.state().data_sets.is_shown);
    assert_eq!(doc(window.state()).cursor(), 1);
    // A click on the same tile shows the answer that is open already, under the head that is chosen now.
    let [layer, head] = doc(window.state()).view().heads[0];
    let other = [layer, if head == 0 { 1 } else { 0 }];
    change(&mut window, |view| view.heads = vec![other]);
    window.get_by_label("Sample s001: answer 1").click();
    settle(&mut window);
    until(&mut window, |app| !app.data_sets.is_shown);
    assert_eq!(window.state().docs.len(), 1);
    assert_eq!(window.state().doc().unwrap().state().map.chosen_heads(), [other]);
    window.key_press(Key::Escape);
    settle(&mut window);
    // Of a trace that is gone, the whole path is named.
    window.get_by_label("Sample s004: answer 4").click();
    settle(&mut window);
    let moved = doc(window.state()).data().source().heads.with_file_name("moved.vlmtrace");
    let notice = window.state_mut().notices.pop().unwrap();
    assert!(notice.text.contains(&moved.display().to_string()), "{}", notice.text);
    // Without a trace, the question can be asked again.
    window.get_by_label("Sample s006: answer 6").click();
    settle(&mut window);
    let notice = &window.state().notices[0];
    assert!(notice.text.contains("keeps no trace"), "{}", notice.text);
    assert_eq!(notice.offers[0].0, "Ask it again");
    send(&mut window, DataSetCommand::AskAgain(6));
    until(&mut window, |app| !app.data_sets.is_shown);
    let sample = &vlmscope::model::builtin::samples().unwrap()[0];
    assert_eq!(window.state().chat.picture.as_ref().unwrap().name, sample.file);
}

#[test]
fn keys_step_through_the_samples_while_one_is_open() {
    let (_folder, mut window) = table();
    change(&mut window, |view| view.descending = true);
    window.key_press(Key::Enter);
    until(&mut window, |app| app.doc().is_some());
    assert!(window.query_by_label_contains("Sample 1 of 60").is_some());
    shoot(&mut window, "data_set_sample");
    let step = |window: &mut Window, key: Key, place: usize| {
        window.key_press_modifiers(Modifiers::SHIFT, key);
        until(window, |app| {
            let shown = app.current.and_then(|id| app.data_sets.sample_of(id));
            shown.is_some_and(|(_, row)| row == place)
        });
        assert_eq!(doc(window.state()).cursor(), place);
        let heads = window.state().doc().unwrap().state().map.chosen_heads();
        assert_eq!(heads, doc(window.state()).view().heads);
    };
    step(&mut window, Key::PageDown, 1);
    step(&mut window, Key::PageDown, 2);
    step(&mut window, Key::PageUp, 1);
    assert_eq!(window.state().docs.len(), 3, "an answer that is open is shown again");
    window.get_by_label("Next sample of the data set (Shift+PageDown)").click();
    settle(&mut window);
    assert!(window.query_by_label_contains("Sample 3 of 60").is_some());
    // The last trace that was kept is gone: the message says so. Beyond it, none was kept.
    step(&mut window, Key::PageDown, 3);
    for text in ["no longer at", "No later sample"] {
        window.key_press_modifiers(Modifiers::SHIFT, Key::PageDown);
        settle(&mut window);
        let notices = &window.state().notices;
        assert!(notices.iter().any(|notice| notice.text.contains(text)), "{notices:?}");
    }
    window.state_mut().notices.clear();
    window.get_by_label("Data set (Esc)").click();
    settle(&mut window);
    assert!(window.state().data_sets.is_shown);
    assert_eq!(doc(window.state()).cursor(), 4);
}

#[test]
fn a_sample_is_asked_again_after_its_turns_and_its_answer_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", 8);
    let settings = Settings { advice_seen: true, animate: false, ..Settings::default() };
    let start = Start::Files(vec![path]);
    let options = HeadlessOptions { start, settings, ..HeadlessOptions::default() };
    let mut window = open_with([1280.0, 720.0], 1.0, options, None);
    until(&mut window, is_ready);
    let heads = doc(window.state()).view().heads.clone();
    send(&mut window, DataSetCommand::AskAgain(6));
    until(&mut window, |app| {
        app.chat.asking.as_ref().is_some_and(|asking| asking.sample.is_some())
    });
    let turns = window.state().chat.asking.as_ref().unwrap().turns.clone();
    assert_eq!((turns.len(), turns[0].question.as_str()), (1, "What is this?"));
    until(&mut window, |app| app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live));
    let app = window.state();
    let answer = app.doc().unwrap();
    assert_eq!(answer.meta().question, "What is in picture 6?");
    assert_eq!(answer.state().map.chosen_heads(), heads, "under the head that is chosen");
    let id = answer.id;
    window.key_press(Key::Escape);
    settle(&mut window);
    assert!(window.state().data_sets.is_shown);
    window.state_mut().notices.clear();
    window.get_by_label("Sample s006: answer 6").click();
    settle(&mut window);
    assert_eq!(window.state().current, Some(id));
    assert!(!window.state().data_sets.is_shown && window.state().notices.is_empty());
}

#[test]
fn a_filter_without_a_sample_is_named_in_every_part() {
    let (_folder, mut window) = table();
    change(&mut window, |view| {
        view.filter.conditions = vec![Condition::correct(false), Condition::correct(true)];
    });
    // The matrix, the ranking, and the plot with the sheet.
    for (text, count) in [
        ("There is nothing to show: no sample fits the filter.", 1),
        ("No head has a number to rank it by.", 1),
        ("No sample fits the filter.", 2),
    ] {
        assert_eq!(window.query_all_by_label(text).count(), count, "{text}");
    }
    shoot(&mut window, "data_set_no_sample");
    window.get_by_label("Remove all").click();
    settle(&mut window);
    until(&mut window, is_ready);
    assert_eq!(doc(window.state()).filtered().count(), 60);
    assert!(window.query_by_label("Remove all").is_none());
    // The order of entropy is another one.
    change(&mut window, |view| view.column = HeadColumn::Entropy);
    let titles = "Columns: head, mean, lowest first, in first 12, rank";
    assert!(window.query_by_label(titles).is_some());
}

#[test]
fn a_table_is_opened_by_the_command_line_and_by_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", 8);
    let settings = Settings { advice_seen: true, animate: false, ..Settings::default() };
    let start = Start::Files(vec![path.clone()]);
    let options = HeadlessOptions { start, settings, ..HeadlessOptions::default() };
    let mut window = open_with([1280.0, 720.0], 1.0, options, None);
    until(&mut window, is_ready);
    assert!(window.state().data_sets.is_shown && window.state().docs.is_empty());
    assert_eq!(doc(window.state()).samples().len(), 8);
    drop(window);
    // Also where an answer is shown, and by the name of the samples table.
    let mut window = crate::support::window();
    for name in ["answers.samples.parquet", "answers.parquet"] {
        let path = folder.path().join(name);
        window.input_mut().dropped_files.push(Arc::new(crate::window::Dropped(path)));
        window.step();
        window.input_mut().dropped_files.clear();
        until(&mut window, is_ready);
        assert!(window.state().data_sets.is_shown);
    }
    assert_eq!(window.state().data_sets.all().len(), 1, "both are names of one table");
    assert_eq!(doc(window.state()).path(), path);
}

#[test]
fn arrows_move_by_rows_and_the_sheet_follows() {
    let (_folder, mut window) = table();
    let columns = window.state().sheet_columns;
    assert!(columns > 2);
    for _ in 0..4 {
        window.key_press(Key::ArrowDown);
        settle(&mut window);
    }
    assert_eq!(doc(window.state()).cursor(), 4 * columns);
    let row = doc(window.state()).order()[4 * columns];
    assert!(
        window.query_by_label(&format!("Sample s{row:03}: answer {row}")).is_some(),
        "it is in sight"
    );
    window.key_press(Key::Home);
    settle(&mut window);
    assert_eq!(doc(window.state()).cursor(), 0);
    window.key_press(Key::End);
    settle(&mut window);
    assert_eq!(doc(window.state()).cursor(), 59);
    // Order by a text, by right and wrong, and by the chosen head.
    assert!(window.query_by_label("Smallest first").is_some());
    change(&mut window, |view| view.sort = Axis::column("correct"));
    assert!(window.query_by_label("Wrong first").is_some());
    assert!(doc(window.state()).order()[..12].iter().all(|row| row % 5 == 0));
    change(&mut window, |view| view.sort = Axis::column("category"));
    assert!(window.query_by_label("A to Z").is_some());
    assert_eq!(doc(window.state()).order()[0] % 2, 1, "color comes before count");
    change(&mut window, |view| view.sort = Axis::Heads);
    let doc = doc(window.state());
    let values = doc.values(&Axis::Heads);
    assert!(doc.order().is_sorted_by(|a, b| values[*a] <= values[*b]));
}

/// Options of a window that keeps its sessions in a folder.
fn with_sessions(folder: &Path) -> HeadlessOptions {
    HeadlessOptions {
        start: Start::Empty,
        settings: Settings { advice_seen: true, animate: false, ..Settings::default() },
        sessions: Some(folder.join("sessions")),
        ..HeadlessOptions::default()
    }
}

#[test]
fn a_session_brings_the_table_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", SAMPLES);
    let options = || with_sessions(folder.path());
    let mut window = open_with([1280.0, 720.0], 1.0, options(), None);
    window.state().intents.send(Intent::Open(path.clone()));
    until(&mut window, is_ready);
    change(&mut window, |view| {
        view.column = HeadColumn::Entropy;
        view.sort = Axis::column("seconds");
        view.filter.conditions.push("logprob < -1".parse().unwrap());
        view.compared = Compared::Condition(Condition::correct(false));
    });
    let view = doc(window.state()).view().clone();
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    drop(window);
    let mut window = open_with([1280.0, 720.0], 1.0, options(), None);
    assert!(window.state().notices.iter().any(|notice| notice.text.contains("1 table")));
    window.state().intents.send(Intent::OpenSessions);
    until(&mut window, is_ready);
    assert!(window.state().data_sets.is_shown);
    assert_eq!(*doc(window.state()).view(), view);
    // A table that is gone is named.
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    drop(window);
    std::fs::remove_file(&path).unwrap();
    let mut window = open_with([1280.0, 720.0], 1.0, options(), None);
    window.state().intents.send(Intent::OpenSessions);
    let says = |app: &App| app.notices.iter().any(|notice| notice.text.contains("answers.parquet"));
    until(&mut window, says);
    assert!(window.state().data_sets.is_empty());
}

#[test]
fn an_answer_of_a_session_goes_back_to_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", SAMPLES);
    let options = || with_sessions(folder.path());
    let mut window = open_with([1280.0, 720.0], 1.0, options(), None);
    window.state().intents.send(Intent::Open(path));
    until(&mut window, is_ready);
    for row in [0, 2] {
        send(&mut window, DataSetCommand::Open(row));
        until(&mut window, |app| app.data_sets.awaited.is_none() && !app.data_sets.is_shown);
    }
    assert_eq!(window.state().docs.len(), 2);
    vlmscope::ui::commands::keep_session_now(window.state_mut()).unwrap();
    drop(window);
    let mut window = open_with([1280.0, 720.0], 1.0, options(), None);
    window.state().intents.send(Intent::OpenSessions);
    until(&mut window, is_ready);
    assert!(!window.state().data_sets.is_shown, "the answer was in front");
    let samples: Vec<usize> = window
        .state()
        .docs
        .iter()
        .map(|answer| window.state().data_sets.sample_of(answer.id).expect("a sample").1)
        .collect();
    assert_eq!(samples, [0, 2]);
    let table = doc(window.state());
    assert_eq!(table.order()[table.cursor()], 2, "the keys go on from this sample");
    window.get_by_label("Data set (Esc)").click();
    settle(&mut window);
    assert!(window.state().data_sets.is_shown);
    // The key does the same, also from another of its answers.
    send(&mut window, DataSetCommand::Open(0));
    assert!(!window.state().data_sets.is_shown);
    assert_eq!(window.state().docs.len(), 2, "the answer that is open is shown");
    // The message about the session would be closed first.
    window.state_mut().notices.clear();
    window.key_press(Key::Escape);
    settle(&mut window);
    assert!(window.state().data_sets.is_shown);
}

#[test]
fn the_window_says_that_the_numbers_of_a_table_are_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", SAMPLES);
    let mut window = empty_window();
    // The thread waits in its first call, before it has the numbers, until the sender is dropped.
    let (go, wait) = crossbeam_channel::bounded::<()>(0);
    let wake: Wake = Arc::new(move || {
        let _ = wait.recv_timeout(std::time::Duration::from_secs(60));
    });
    let data = Arc::new(DataSet::open(&path).unwrap());
    let id = window.state_mut().data_sets.next_id();
    let table = DataSetDoc::new(id, data, DataSetView::default(), &wake).unwrap();
    window.state_mut().data_sets.add(table);
    until(&mut window, |app| doc(app).progress().is_some());
    let said = ["rows of heads …", "The numbers of the heads are being read …"];
    for text in said {
        assert!(window.query_by_label_contains(text).is_some(), "{text}");
    }
    drop(go);
    until(&mut window, is_ready);
    for text in said {
        assert!(window.query_by_label_contains(text).is_none(), "{text}");
    }
}

#[test]
fn damaged_and_foreign_tables_are_refused_with_their_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", 3);
    let mut window = empty_window();
    let mut says = |path: PathBuf, wanted: &str| {
        window.state_mut().notices.clear();
        window.state().intents.send(Intent::Open(path));
        until(&mut window, |app| !app.notices.is_empty());
        let text = window.state().notices[0].text.clone();
        assert!(text.contains(wanted), "{text}");
        assert!(window.state().data_sets.is_empty());
    };
    let damaged = folder.path().join("damaged.parquet");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    says(damaged, "cannot be read as Parquet");
    let alone = folder.path().join("alone.parquet");
    std::fs::copy(&path, &alone).unwrap();
    says(alone.clone(), "alone.samples.parquet is missing");
    // Heads beside heads.
    std::fs::copy(&path, folder.path().join("alone.samples.parquet")).unwrap();
    says(alone, "is a table of heads, not of samples");
    // Answers of one model with different sizes.
    let sizes = write_table(folder.path(), "sizes.parquet", 3);
    let layers = trace().shape().layers as u32;
    change_last_row(&samples_path(&sizes), TableKind::Samples, "layers", layers - 1);
    says(sizes, &format!("`layers` holds {} in row 3 and {layers} in row 1", layers - 1));
}

#[test]
fn a_layer_that_the_model_lacks_is_refused_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", 3);
    let row = change_last_row(&path, TableKind::Heads, "layer", u32::MAX);
    let mut window = empty_window();
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| app.data_sets.current().is_some_and(|doc| doc.failed().is_some()));
    let failed = doc(window.state()).failed().unwrap();
    let wanted = format!("`layer` names the layer 4294967295 in row {row},");
    assert!(failed.contains("answers.parquet") && failed.contains(&wanted), "{failed}");
    settle(&mut window);
}

#[test]
fn a_heads_table_without_rows_shows_its_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", 3);
    TableWriter::begin(&path, TableKind::Heads).unwrap().finish().unwrap();
    let mut window = empty_window();
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| app.data_sets.current().is_some_and(|doc| doc.failed().is_some()));
    let doc = doc(window.state());
    assert!(doc.values(&Axis::Heads).iter().all(|value| value.is_nan()));
    assert_eq!(doc.values(&Axis::Heads).len(), 3);
    let failed = doc.failed().unwrap();
    assert!(failed.contains("`focus`") && failed.contains("no rows"), "{failed}");
    assert!(window.query_by_label("Sample s000: answer 0").is_some());
    settle(&mut window);
}

#[test]
fn a_table_that_is_open_keeps_its_view_and_one_that_was_written_again_is_read_again() {
    let (folder, mut window) = table();
    change(&mut window, |view| view.filter.conditions = vec![Condition::correct(false)]);
    let (id, path) = (doc(window.state()).id, doc(window.state()).path().to_owned());
    window.state_mut().data_sets.is_shown = false;
    window.state().intents.send(Intent::Open(path.clone()));
    until(&mut window, |app| app.data_sets.is_shown);
    assert_eq!((doc(window.state()).id, doc(window.state()).filtered().count()), (id, 12));
    // Numbers of two files are not mixed.
    write_table(folder.path(), "answers.parquet", 30);
    let mut view = doc(window.state()).view().clone();
    view.column = HeadColumn::Entropy;
    send(&mut window, DataSetCommand::View(Box::new(view)));
    until(&mut window, |app| doc(app).failed().is_some());
    let failed = doc(window.state()).failed().unwrap();
    assert!(failed.contains("answers.parquet has changed since it was opened"), "{failed}");
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| doc(app).id != id);
    until(&mut window, is_ready);
    let again = doc(window.state());
    assert_eq!((again.samples().len(), again.filtered().count()), (30, 6));
    assert_eq!(again.numbers().unwrap().column, HeadColumn::Entropy);
}

#[test]
fn matrix_and_ranking_are_saved_as_figures_and_numbers() {
    let (folder, mut window) = table();
    window.state_mut().asks_in_window = true;
    change(&mut window, |view| view.compared = Compared::Condition(Condition::correct(false)));
    let cells = doc(window.state()).numbers().unwrap().cube.cells();
    let numbers = [
        (
            UiCommand::SaveNumbers,
            "m.csv",
            "column,layer,head,samples,mean,standard_deviation,difference,low,high,p,p_corrected",
        ),
        (
            UiCommand::SaveTableRanking,
            "r.csv",
            "rank,column,layer,head,difference,share_of_resamples_among_first_12,rank_5_percent,rank_95_percent",
        ),
    ];
    for (command, name, wanted) in numbers {
        act(&mut window, command);
        let text = String::from_utf8(save_to(&mut window, &folder.path().join(name))).unwrap();
        assert_eq!(text.lines().next().unwrap(), wanted);
        assert_eq!(text.lines().count(), cells + 1);
    }
    for (command, name) in [(UiCommand::SaveSvg, "m.svg"), (UiCommand::SaveTableRanking, "r.svg")] {
        act(&mut window, command);
        let text = String::from_utf8(save_to(&mut window, &folder.path().join(name))).unwrap();
        assert!(
            text.contains("answers.parquet · 60 samples · Wrong against right answers · Wrong answers (12) minus right answers (48)."),
            "{text}"
        );
    }
    change(&mut window, |view| {
        view.filter.conditions = vec![Condition::correct(false)];
        view.compared = Compared::Spread;
    });
    let spread = Arc::clone(doc(window.state()).numbers().unwrap());
    let deviations = spread.moments.cells.iter().map(|cell| cell.deviation as f32);
    assert!(spread.matrix.values.iter().copied().eq(deviations) && spread.shows_spread);
    act(&mut window, UiCommand::SaveTableSamples);
    let text = String::from_utf8(save_to(&mut window, &folder.path().join("s.csv"))).unwrap();
    assert_eq!(text.lines().count(), 13);
    assert!(text.lines().next().unwrap().ends_with(",conditions"), "{text}");
    assert!(text.lines().skip(1).all(|line| line.ends_with(",wrong answers")), "{text}");
    assert!(text.lines().nth(1).unwrap().contains("s055"), "the shown order: {text}");
    act(&mut window, UiCommand::SavePng);
    let bytes = save_to(&mut window, &folder.path().join("m.png"));
    let picture = image::load_from_memory(&bytes).unwrap();
    assert!(picture.width() > 1000);
    if let Some(shots) = std::env::var_os("VLMSCOPE_SHOTS") {
        picture.save(Path::new(&shots).join("data_set_figure.png")).unwrap();
    }
    act(&mut window, UiCommand::CopyNumbers);
    act(&mut window, UiCommand::SaveTrace);
    let notices = &window.state().notices;
    assert!(
        notices.iter().any(|notice| notice.text.contains("open a sample first")),
        "{notices:?}"
    );
}

#[test]
fn a_folder_of_traces_becomes_a_table_and_one_with_tables_opens_them() {
    let folder = tempfile::tempdir().unwrap();
    let traces = folder.path().join("traces");
    std::fs::create_dir(&traces).unwrap();
    for seed in 0..3 {
        let geometry = Geometry::named("small").unwrap();
        let synthetic = Synthetic::new(geometry, RowsKept::Text, seed).unwrap();
        synthetic.write(&traces.join(format!("t{seed}.vlmtrace"))).unwrap();
    }
    std::fs::write(traces.join("z.vlmtrace"), "no trace").unwrap();
    let mut window = empty_window();
    // Few traces are opened, and the table is offered.
    window.state().intents.send(Intent::Open(traces.clone()));
    until(&mut window, |app| app.docs.len() == 3);
    let offers = window.state().notices.iter().flat_map(|notice| &notice.offers);
    assert!(offers.clone().any(|(name, _)| *name == "Show as a data set"));
    send(&mut window, DataSetCommand::OfFolder(traces.clone()));
    until(&mut window, is_ready);
    let app = window.state();
    assert_eq!((doc(app).path(), doc(app).samples().len()), (traces.as_path(), 3));
    let damaged = app.notices.iter().any(|notice| notice.text.contains("z.vlmtrace"));
    assert!(damaged, "a trace that cannot be read is named");
    until(&mut window, |app| (0..3).all(|row| doc(app).tiles.get(row).is_some()));
    until(&mut window, |app| doc(app).tiles.get(0).is_some_and(|tile| tile.map.is_some()));
    // No object is marked: the reason says what is needed.
    let mut view = doc(window.state()).view().clone();
    view.column = HeadColumn::Inside;
    send(&mut window, DataSetCommand::View(Box::new(view)));
    until(&mut window, |app| doc(app).failed().is_some());
    let failed = doc(window.state()).failed().unwrap();
    assert!(failed.contains("an object that is marked (Y)"), "{failed}");
    // An object that is marked in one of the open answers.
    let id = window.state().docs.iter().find(|doc| doc.path == Some(traces.join("t1.vlmtrace")));
    let id = id.unwrap().id;
    window.state().intents.send(Intent::Show(id));
    settle(&mut window);
    let part = RegionPart::new(Outline::All);
    let object = MarkedObject { name: "square".into(), picture: 0, parts: vec![part] };
    window.state().intents.command(Command::SetObject(0, Box::new(object)));
    settle(&mut window);
    let table = doc(window.state()).id;
    act(&mut window, UiCommand::FolderDataSet);
    until(&mut window, |app| doc(app).id != table);
    until(&mut window, is_ready);
    assert_eq!(doc(window.state()).samples().text("object", 1), Some("square"));
    change(&mut window, |view| view.column = HeadColumn::Inside);
    let numbers = doc(window.state()).numbers().unwrap();
    assert!(numbers.matrix.lacks.is_none() && numbers.moments.cells.iter().all(|cell| cell.n == 1));
    // Many traces become a table at once.
    for copy in 0..40 {
        let path = traces.join(format!("copy{copy:02}.vlmtrace"));
        std::fs::copy(traces.join("t0.vlmtrace"), path).unwrap();
    }
    let mut window = empty_window();
    window.state().intents.send(Intent::Open(traces));
    until(&mut window, is_ready);
    assert_eq!((window.state().docs.len(), doc(window.state()).samples().len()), (0, 43));
    // Samples of other names.
    write_table(folder.path(), "a.parquet", 5);
    let other = folder.path().join("a.parquet");
    change(&mut window, |view| view.compared = Compared::Table(other));
    let lacks = doc(window.state()).numbers().unwrap().matrix.lacks.clone().unwrap();
    assert_eq!(lacks, "0 of the 43 samples are in a.parquet (column `sample`)");
    // A folder with tables.
    write_table(folder.path(), "b.parquet", 5);
    let mut window = empty_window();
    window.state().intents.send(Intent::Open(folder.path().to_owned()));
    until(&mut window, |app| app.data_sets.all().len() == 2);
    until(&mut window, is_ready);
    assert!(window.query_by_label("Table").is_some(), "a list chooses among several tables");
}

#[test]
fn narrow_and_large_windows_show_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_table(folder.path(), "answers.parquet", SAMPLES);
    let mut window = window_of(&path, [700.0, 720.0]);
    for part in ["Heads", "Ranking", "Plot", "Samples"] {
        window.get_by_label(part).click();
        settle(&mut window);
        shoot(&mut window, &format!("data_set_narrow_{part}"));
    }
    assert!(window.query_by_label("Sample s059: answer 59").is_some());
    drop(window);
    // The list of columns stays inside of a low window, and its last column can be reached.
    let mut window = window_of(&path, [700.0, 300.0]);
    window.get_by_label("Order of the samples").click();
    settle(&mut window);
    shoot(&mut window, "data_set_low_columns");
    let middle = window.get_by_label("Expected").rect().center();
    assert!(window.get_by_label("Trace").rect().top() > 300.0, "it is further down");
    window.event(egui::Event::PointerMoved(middle));
    window.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Point,
        source: egui::MouseWheelSource::Wheel,
        delta: vec2(0.0, -5000.0),
        phase: egui::TouchPhase::Move,
        modifiers: Modifiers::NONE,
    });
    settle(&mut window);
    let last = window.get_by_label("Trace").rect();
    assert!(last.top() > 0.0 && last.bottom() <= 300.0, "{last:?}");
    drop(window);
    let mut window = window_of(&path, [1920.0, 1080.0]);
    shoot(&mut window, "data_set_1920");
}
