//! Traces of other models in the window: several pictures, video frames, several views, layers without attention.

use crate::support::{Window, click, open, settle, shoot, until};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vlmscope::analysis::methods::Method;
use vlmscope::trace::Trace;
use vlmscope::ui::Start;
use vlmscope::ui::intent::{Intent, TransportCommand};
use vlmscope::ui::layout::Pane;
use vlmscope::ui::notices::Notice;
use vlmscope::ui::shortcuts::UiCommand;
use vlmscope::ui::transport::PlayAxis;
use vlmscope::view::{Command, Quantity, ViewKind, ViewState};

fn window(name: &str) -> Window {
    window_of(name, [1280.0, 720.0])
}

fn window_of(name: &str, size: [f32; 2]) -> Window {
    let path = format!("{}/tests/fixtures/traces2/{name}.vlmtrace", env!("CARGO_MANIFEST_DIR"));
    let trace = Trace::open(Path::new(&path)).unwrap();
    open(size, 1.0, Start::Empty, Some(Arc::new(trace)))
}

fn state(window: &Window) -> ViewState {
    window.state().doc().unwrap().state().clone()
}

fn act(window: &mut Window, act: UiCommand) {
    window.state().intents.act(act);
    settle(window);
}

#[test]
fn several_pictures_open_side_by_side_and_a_click_chooses_one() {
    let mut window = window("two_pictures");
    assert_eq!(state(&window).view, ViewKind::Pictures);
    assert!(window.query_by_label("Pictures").is_some(), "a tab stands for the view");
    let stage = window.state().stage_rect;
    let figure = window.state().stage.figure().unwrap().clone();
    assert_eq!(figure.tiles.len(), 2);
    shoot(&mut window, "two_pictures");
    let [x, y] = figure.tiles[1].1.centre();
    click(&mut window, stage.min + egui::vec2(x, y), Modifiers::NONE);
    assert_eq!(state(&window).picture.index, 1);
    let named = window.state().chat.picture.as_ref().unwrap().name.clone();
    assert_eq!(named, "picture 1", "the next question is about the second picture");
    assert_eq!(state(&window).selected[0].span, 1, "the patch of the second picture");
    act(&mut window, UiCommand::ShowStage);
    assert_eq!((state(&window).view, state(&window).picture.index), (ViewKind::Overlay, 1));
    assert!(window.state().stage.caption().contains("picture 1 only"));
    window.key_press_modifiers(Modifiers::SHIFT, Key::ArrowLeft);
    settle(&mut window);
    assert_eq!(state(&window).picture.index, 0);
    // Each picture has a chip with its share, which hovering explains.
    let chip = window.get_by_label("Choose picture 1").rect();
    window.hover_at(chip.center());
    settle(&mut window);
    window.step();
    shoot(&mut window, "chip");
    assert!(window.query_by_label("Its share of the map; click to choose it").is_some());
    assert_eq!(state(&window).picture.index, 0, "hovering chooses nothing");
    click(&mut window, chip.center(), Modifiers::NONE);
    assert_eq!(state(&window).picture.index, 1);
    shoot(&mut window, "second");
}

/// The names of the cells of the strip below the stage, from left to right.
fn strip(window: &Window) -> Vec<String> {
    let cells = window.query_all_by_label_contains("% of the attention");
    cells.map(|cell| cell.accesskit_node().label().unwrap_or_default()).collect()
}

#[test]
fn the_strip_below_the_stage_shows_the_share_of_every_frame_and_chooses_one() {
    let mut window = window("frames");
    assert!(strip(&window).is_empty(), "the view of all pictures shows their shares itself");
    act(&mut window, UiCommand::ShowStage);
    until(&mut window, |app| {
        let of = app.doc().unwrap().id;
        app.picture_strips.get(of).is_some_and(|pictures| pictures.len() == 3)
    });
    settle(&mut window);
    let stage = window.state().stage_rect;
    assert!(stage.bottom() < 640.0, "the strip takes room from the stage: {stage}");
    let names = strip(&window);
    assert_eq!(names.len(), 3);
    assert!(names[2].starts_with("Choose frame 2 at 4.5 s, "), "{names:?}");
    // The shares are those of `inspect` where the selection is the same.
    let doc = window.state().doc().unwrap();
    let map = vlmscope::view::MapChoice { ..doc.state().map.clone() };
    let values = map.resolve(&doc.trace, vlmscope::analysis::reduce::Keep::One, false).unwrap();
    let shares = doc.meta().view_sums(&values.values());
    for (name, share) in names.iter().zip(shares) {
        let text = vlmscope::view::figure::percent(f64::from(share), 1);
        assert!(name.contains(&format!(", {text} of the attention")), "{name}: {text}");
    }
    shoot(&mut window, "strip_frames");
    let third = window.get_by_label(&names[2]).rect();
    click(&mut window, third.center(), Modifiers::NONE);
    assert_eq!(state(&window).picture.index, 2);
    window.key_press_modifiers(Modifiers::SHIFT, Key::ArrowLeft);
    settle(&mut window);
    assert_eq!(state(&window).picture.index, 1);
    // Another head: other shares.
    let before = strip(&window);
    act(&mut window, UiCommand::NextHead);
    assert_ne!(strip(&window), before);
    // A map that is no attention has no share of it.
    act(&mut window, UiCommand::ShowWall);
    shoot(&mut window, "strip_wall");
    let one = self::window("dynamic_grid");
    assert!(strip(&one).is_empty(), "one picture needs no strip");
}

#[test]
fn the_strip_fits_small_and_large_windows() {
    for (name, size) in
        [("small", [900.0, 560.0]), ("large", [1920.0, 1080.0]), ("low", [1280.0, 420.0])]
    {
        for trace in ["frames", "two_pictures"] {
            let mut window = window_of(trace, size);
            act(&mut window, UiCommand::ShowStage);
            until(&mut window, |app| {
                let of = app.doc().unwrap().id;
                name == "low"
                    || app.picture_strips.get(of).is_some_and(|pictures| pictures.len() > 1)
            });
            settle(&mut window);
            shoot(&mut window, &format!("strip_{name}_{trace}"));
            assert!(window.state().stage_rect.height() > 120.0, "{name}");
        }
    }
}

#[test]
fn a_folder_of_captured_traces_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("{}/tests/fixtures/traces2", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(folder.path().join("cut.vlmtrace"), [7_u8; 40]).unwrap();
    // An answer of bytes that are no text: missing glyphs are allowed then.
    let mut window = window("two_pictures");
    window.input_mut().dropped_files.push(Arc::new(crate::window::Dropped(folder.path().into())));
    until(&mut window, |app| app.docs.len() == 11);
    settle(&mut window);
    let said: Vec<&str> = window.state().notices.iter().map(|one| one.text.as_str()).collect();
    assert!(said.contains(&"Opened 10 traces."), "{said:?}");
    assert!(said.iter().any(|text| text.contains("cut.vlmtrace")), "{said:?}");
    shoot(&mut window, "folder");
}

#[test]
fn a_video_is_scrubbed_and_played_through_its_frames() {
    let mut window = window("frames");
    window.state().intents.send(Intent::Transport(TransportCommand::Axis(PlayAxis::Frames)));
    act(&mut window, UiCommand::ShowStage);
    let bar = window.get_by_label("Scrub bar").rect();
    click(&mut window, bar.right_center() - egui::vec2(7.0, 0.0), Modifiers::NONE);
    assert_eq!(state(&window).picture.index, 2);
    assert!(window.state().stage.caption().contains("frame 2 at 4.5 s only"));
    click(&mut window, bar.left_center() + egui::vec2(7.0, 0.0), Modifiers::NONE);
    assert_eq!(state(&window).picture.index, 0);
    act(&mut window, UiCommand::NextFrame);
    assert_eq!(state(&window).picture.index, 1);
    shoot(&mut window, "frame");
    act(&mut window, UiCommand::PlayFrames);
    assert!(window.state().transport.playing);
    assert_eq!(window.state().transport.axis, PlayAxis::Frames);
}

#[test]
fn views_of_a_picture_are_chosen_above_the_stage() {
    let mut window = window("tiles");
    assert!(window.state().stage.caption().contains("3 views added"));
    assert!(window.query_by_label("Views of the picture").is_some());
    window.hover_at(window.state().stage_rect.center());
    settle(&mut window);
    shoot(&mut window, "tiles");
    window.state().intents.command(Command::SetPictureView(Some(2)));
    settle(&mut window);
    assert!(window.state().stage.caption().contains("thumbnail only"));
    // Pictures that the model saw once leave no bar.
    let one = self::window("dynamic_grid");
    assert!(one.query_by_label("Views of the picture").is_none());
    assert!(one.query_by_label("Pictures").is_none(), "there is nothing to put side by side");
}

#[test]
fn on_picture_has_one_meaning_where_views_have_padding() {
    let mut window = window("stride");
    window.state().intents.command(Command::SetLayerHead(0, 1));
    window.state().intents.command(Command::SetQuantity(Quantity::ImageShare));
    settle(&mut window);
    let app = window.state();
    let (doc, state) = (app.doc().unwrap(), state(&window));
    let cache = &app.value_cache;
    let ranking = cache.ranking(doc, &state);
    let share = ranking.iter().find(|one| (one.layer, one.head) == (0, 1)).unwrap().image_share;
    let matrix = cache.matrix(doc, &state, None).at(0, 1).unwrap();
    let bar = cache.strip(doc, &state, &[])[1];
    let patches: f32 = cache.map(doc, &state, None).iter().sum();
    for (other, name) in [(matrix, "matrix"), (bar, "bars"), (patches, "values")] {
        assert!((other - share).abs() < 1e-4, "{name}: {other} is not {share}");
    }
    // The caption says the same number, and names the part of it on padding.
    let caption = app.stage.caption();
    let wanted = format!("{:.1} % on the picture (padding ", share * 100.0);
    assert!(caption.contains(&wanted), "{caption} has no {wanted}");
    let padding = caption.split("(padding ").nth(1).unwrap().split(' ').next().unwrap();
    let padding: f32 = padding.parse().unwrap();
    assert!(padding > 0.05 && padding < share * 100.0, "{caption}");
}

#[test]
fn layers_are_named_as_the_model_numbers_them() {
    let mut window = window("hybrid");
    for (label, is_there) in [("Layer 1", true), ("Layer 3", true), ("Layer 0", false)] {
        assert_eq!(window.query_by_label(label).is_some(), is_there, "{label}");
    }
    let header = window.get_by_label("Layer 3").rect();
    click(&mut window, header.center(), Modifiers::NONE);
    assert_eq!(state(&window).map.layers.only(), Some(3));
    assert!(window.state().stage.caption().contains("layer 3"));
    // Steps go over the layers without attention.
    act(&mut window, UiCommand::PreviousLayer);
    assert_eq!(state(&window).map.layers.only(), Some(1));
    act(&mut window, UiCommand::NextLayer);
    assert_eq!(state(&window).map.layers.only(), Some(3));
    act(&mut window, UiCommand::BestHead);
    shoot(&mut window, "hybrid");
    let layer = state(&window).map.layers.only();
    assert!(matches!(layer, Some(1 | 3)), "{layer:?}");
}

#[test]
fn a_trace_without_places_opens_in_its_tokens() {
    let mut window = window("unplaced");
    shoot(&mut window, "unplaced");
    assert_eq!(state(&window).view, ViewKind::TokenMatrix);
    assert!(window.state().stage.figure().is_some(), "it is drawn");
}

#[test]
fn what_needs_the_model_of_a_captured_trace_offers_the_python_line() {
    let mut window = window("dynamic_grid");
    window.state().intents.send(Intent::ComputeRelevancy(vec![Method::LLM], Vec::new()));
    settle(&mut window);
    assert!(window.state().tasks.running().is_empty());
    let notice = window.state().notices.last().unwrap().clone();
    let line = "trace = vlmscope.capture(model, processor, images=[\"picture-1.png\"], question=\"Is it a fox?\", \
        max_new_tokens=3, relevancy=(\"llm\",))";
    assert!(notice.text.contains("Qwen2_5_VLForConditionalGeneration"), "{}", notice.text);
    assert!(notice.text.ends_with(line), "{}", notice.text);
    shoot(&mut window, "python_line");
    window.get_by_label("Copy the line").click();
    settle(&mut window);
    let copied = |notice: &Notice| notice.text == "The Python line copied.";
    assert!(window.state().notices.iter().any(copied), "{:?}", window.state().notices);
    // The package cannot cover parts of the picture, but it masks all of it.
    window.state().intents.send(Intent::TestMaps);
    settle(&mut window);
    let said = window.state().notices.last().unwrap();
    assert!(
        said.text.ends_with(", blank=True)") && said.text.contains(", answer=\""),
        "{}",
        said.text
    );
    assert_eq!(said.offers.len(), 1);
    // If the package cannot compute anything of it, the notice says so and offers no line.
    act(&mut window, UiCommand::EachHeadOff);
    let said = window.state().notices.last().unwrap();
    assert!(said.text.contains("cannot compute this either") && said.offers.is_empty());
    // No other model goes on with the conversation, whichever is open.
    window.state_mut().chat.follow_up = true;
    window.state().intents.send(Intent::Ask("Is it red?".into()));
    settle(&mut window);
    let said = window.state().notices.last().unwrap();
    assert!(said.text.contains("A follow-up question to this answer"), "{}", said.text);
    assert!(said.text.contains(", messages=[") && said.text.contains("Is it red?"));
    assert_eq!(said.offers.len(), 1);
    assert!(window.state().chat.asking.is_none() && window.state().docs.len() == 1);
    assert!(window.state().tasks.running().is_empty() && window.state().scores.is_none());
}

/// The file of a fixture whose answer was given and scored on a picture of one colour, with log p of −2 for each token.
/// Each pair of `replaced` is two texts of the metadata of equal length.
fn scored_on_a_blank_picture(folder: &Path, name: &str, replaced: &[(&str, &str)]) -> PathBuf {
    let path = format!("{}/tests/fixtures/traces2/{name}.vlmtrace", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    let tensors: serde_json::Value = serde_json::from_str(&header).unwrap();
    let mut fill = |name: &str, value: &[u8]| {
        let ends = &tensors[name]["data_offsets"];
        let [from, to] = [0, 1].map(|end| ends[end].as_u64().unwrap() as usize);
        data[from..to].chunks_mut(value.len()).for_each(|chunk| chunk.copy_from_slice(value));
    };
    fill("picture.0.preprocessed", &[90]);
    fill("answer.logprob", &(-2.0_f32).to_le_bytes());
    let forced = [(r#"\"forced\": false"#, r#"\"forced\": true "#)];
    for (from, to) in forced.iter().chain(replaced) {
        assert!(header.contains(from) && from.len() == to.len(), "{from}");
        header = header.replace(from, to);
    }
    let path = folder.join("blank.vlmtrace");
    let file = [&(length as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn a_trace_of_a_blank_picture_is_joined_to_the_answer_that_it_measures() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = window("dynamic_grid");
    let answer = window.state().current.unwrap();
    act(&mut window, UiCommand::CheckWords);
    let notice = window.state().notices.last().unwrap().clone();
    assert!(notice.text.contains(", blank=True)"), "{}", notice.text);
    assert!(notice.text.contains("relevancy=(\"llm\",)"), "it lacks relevancy: {}", notice.text);
    shoot(&mut window, "blank_lines");
    // A trace of another question is refused, with the reason.
    let text = |window: &Window| window.state().notices.last().unwrap().text.clone();
    let other = [("Is it a fox?", "Is it a dog?")];
    let path = scored_on_a_blank_picture(folder.path(), "dynamic_grid", &other);
    window.state().intents.send(Intent::Open(path.clone()));
    until(&mut window, |app| app.docs.len() == 2);
    settle(&mut window);
    let said = text(&window);
    assert!(said.contains("“Is it a dog?”, not “Is it a fox?”"), "{said}");
    assert!(window.state().docs.iter().all(|doc| !doc.trace.has_blank_logprobs()));
    shoot(&mut window, "blank_refused");
    // That of the same question is joined.
    scored_on_a_blank_picture(folder.path(), "dynamic_grid", &[]);
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| app.docs.len() == 3);
    settle(&mut window);
    let doc = window.state().docs.get(answer).unwrap();
    let count = doc.trace.answer_ids().len();
    assert_eq!(doc.trace.blank_logprobs(), Some(vec![-2.0; count]));
    let evidence = window.state().value_cache.evidence(doc, doc.state());
    let p = evidence[0].evidence.blank_probability.unwrap();
    let of_word = evidence[0].tokens.len() as i32;
    assert!((p - (-2.0_f32).exp().powi(of_word)).abs() < 1e-6, "{p}");
    assert!(text(&window).contains("A verdict also needs relevancy"), "{}", text(&window));
    shoot(&mut window, "blank_joined");
    window.get_by_label("Show the answer").click();
    settle(&mut window);
    assert_eq!(window.state().current, Some(answer));
}

#[test]
fn an_answer_is_joined_to_the_blank_picture_that_was_opened_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = scored_on_a_blank_picture(folder.path(), "dynamic_grid", &[]);
    let mut window = window("two_pictures");
    window.state().intents.send(Intent::Open(path));
    until(&mut window, |app| app.docs.len() == 2);
    settle(&mut window);
    let said = window.state().notices.last().unwrap().text.clone();
    assert!(said.contains("is not joined to two_pictures.vlmtrace: the model is"), "{said}");
    let answer =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/traces2/dynamic_grid.vlmtrace");
    window.state().intents.send(Intent::Open(answer.into()));
    until(&mut window, |app| app.docs.len() == 3);
    settle(&mut window);
    assert!(window.state().doc().unwrap().trace.has_blank_logprobs());
}

#[test]
fn alternatives_of_a_captured_answer_have_their_text() {
    let path =
        format!("{}/tests/fixtures/traces2/dynamic_grid.vlmtrace", env!("CARGO_MANIFEST_DIR"));
    let trace = Trace::open(Path::new(&path)).unwrap();
    let (ids, ..) = trace.answer_topk();
    let is_known = |id: u32| trace.meta().tokens.iter().any(|token| token.id == id);
    let unknown: Vec<u32> = ids.iter().map(|&id| id as u32).filter(|&id| !is_known(id)).collect();
    assert!(unknown.len() > 2, "{ids:?}");
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let shown = |name: &str, pieces: Option<serde_json::Value>| {
        let file = folder.path().join(name);
        std::fs::write(&file, with_pieces(&bytes, pieces)).unwrap();
        // They outlast another save.
        let again = folder.path().join(format!("again-{name}"));
        Trace::open(&file).unwrap().write(&again).unwrap();
        let trace = Arc::new(Trace::open(&again).unwrap());
        let mut window = open([1280.0, 720.0], 1.0, Start::Empty, Some(trace));
        csv_of_alternatives(&mut window)
    };
    // An older file has no text for them, and says so.
    let said = shown("older.vlmtrace", None);
    assert!(said.contains("\"token ") && !said.contains("\"id "), "{said}");
    let pieces = unknown.iter().map(|id| (id.to_string(), format!("▁piece{id}").into()));
    let pieces = serde_json::Value::Object(pieces.collect());
    let said = shown("newer.vlmtrace", Some(pieces));
    assert!(!said.contains("\"token ") && said.contains("piece"), "{said}");
}

/// A trace file with other texts of alternatives.
fn with_pieces(bytes: &[u8], pieces: Option<serde_json::Value>) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut meta: serde_json::Value =
        serde_json::from_str(header["__metadata__"]["vlmtrace"].as_str().unwrap()).unwrap();
    let meta_fields = meta.as_object_mut().unwrap();
    meta_fields.remove("pieces");
    meta_fields.extend(pieces.map(|pieces| ("pieces".to_owned(), pieces)));
    header["__metadata__"]["vlmtrace"] = meta.to_string().into();
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text);
    file.extend(&bytes[8 + length..]);
    file
}

/// The alternatives of the first answer token, as they are copied.
fn csv_of_alternatives(window: &mut Window) -> String {
    let queries = vlmscope::view::Queries::answer(0);
    window.state().intents.command(Command::SetQueries(queries));
    act(window, UiCommand::ShowStage);
    window.state().intents.send(Intent::ShowPanel(Pane::Numbers));
    settle(window);
    window.get_by_label("Alternatives");
    window.get_all_by_label("Copy CSV").last().unwrap().click_accesskit();
    crate::support::copied(window)
}
