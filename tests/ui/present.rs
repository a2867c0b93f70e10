//! A presentation on an offscreen stage: commands of keys and clickers, and the audience's picture.
//!
//! VLMSCOPE_SHOTS=FOLDER keeps the frames, to be looked at.

use egui::Key;
use egui_kittest::Harness;
use std::path::Path;
use std::sync::Arc;
use vlmscope::record::OpenTraces;
use vlmscope::trace::Trace;
use vlmscope::ui::present::draw::{View, draw};
use vlmscope::ui::present::playback::Playback;
use vlmscope::ui::theme;
use vlmscope::ui::window_painter::WindowPainter;
use vlmscope::view::timeline::tour;
use vlmscope::view::{AxisSet, ViewKind};

struct Show {
    playback: Playback,
    view: View,
    pixels: [u32; 2],
    now: f64,
    egui: WindowPainter,
}

type Window = Harness<'static, Show>;

/// A stage (or the presenter's window) of a size, over the tour of a synthetic trace.
fn open(pixels: [u32; 2], view: View, loops: bool) -> Window {
    show(pixels, view, loops, None)
}

/// The same with notes of all steps.
fn show(pixels: [u32; 2], view: View, loops: bool, notes: Option<&str>) -> Window {
    show_of(&crate::support::trace(), pixels, view, loops, notes)
}

/// The same over the tour of another trace.
fn show_of(
    trace: &Trace,
    pixels: [u32; 2],
    view: View,
    loops: bool,
    notes: Option<&str>,
) -> Window {
    let gpu = crate::support::gpu();
    let (egui, renderer) = crate::support::offscreen(&gpu);
    let path = Path::new("a.vlmtrace");
    let mut traces = OpenTraces::default();
    traces.insert(path.to_owned(), trace.clone());
    let mut tour = tour(trace, path);
    for step in &mut tour.steps {
        step.notes = notes.map_or_else(|| step.notes.clone(), str::to_owned);
    }
    let playback = Playback::new(tour, traces, gpu, egui.clone(), loops);
    Harness::builder()
        .with_size(pixels.map(|side| side as f32))
        .with_max_steps(4)
        .with_context_setup(theme::install)
        .renderer(renderer)
        .build_ui_state(
            |ui, show: &mut Show| draw(&mut show.playback, show.view, ui, show.pixels, show.now),
            Show { playback, view, pixels, now: 0.0, egui },
        )
}

/// Lets time pass.
fn wait(window: &mut Window, seconds: f64) {
    window.state_mut().now += seconds;
    window.step();
    window.step();
}

fn press(window: &mut Window, key: Key) {
    window.key_press(key);
    window.step();
    window.step();
}

fn shot(window: &mut Window, name: &str) -> image::RgbaImage {
    let image = crate::support::rendered(window);
    if let Ok(folder) = std::env::var("VLMSCOPE_SHOTS") {
        image.save(Path::new(&folder).join(format!("{name}.png"))).unwrap();
    }
    image
}

fn at(window: &Window) -> usize {
    window.state().playback.presentation().at()
}

#[test]
fn clicker_keys_numbers_and_the_blank_key() {
    let mut window = open([640, 360], View::Stage, false);
    wait(&mut window, 0.1);
    assert_eq!(at(&window), 0);
    press(&mut window, Key::PageDown);
    press(&mut window, Key::ArrowRight);
    assert_eq!(at(&window), 2);
    press(&mut window, Key::PageUp);
    assert_eq!(at(&window), 1);
    press(&mut window, Key::Num4);
    press(&mut window, Key::Enter);
    assert_eq!(at(&window), 4, "stop 0 is the title");
    wait(&mut window, 2.0);
    let lit = |image: &image::RgbaImage| image.pixels().any(|pixel| pixel.0[0] > 40);
    assert!(lit(&shot(&mut window, "step")));
    press(&mut window, Key::B);
    assert!(!lit(&shot(&mut window, "blank")), "a blank stage is black");
    press(&mut window, Key::Period);
    assert!(lit(&shot(&mut window, "again")));
    press(&mut window, Key::Escape);
    assert!(window.state().playback.is_over);
}

#[test]
fn a_key_held_too_long_blanks_or_leaves_once() {
    let mut window = open([640, 360], View::Stage, false);
    press(&mut window, Key::PageDown);
    // egui tells by itself which of these are repeats.
    let hold = |window: &mut Window, key| {
        for _ in 0..4 {
            window.key_down(key);
            window.step();
        }
        window.key_up(key);
        window.step();
    };
    hold(&mut window, Key::B);
    assert!(window.state().playback.presentation().is_blank);
    hold(&mut window, Key::B);
    hold(&mut window, Key::E);
    assert!(window.state().playback.explored().is_some());
    hold(&mut window, Key::Escape);
    assert!(!window.state().playback.is_over);
    let before = at(&window);
    hold(&mut window, Key::ArrowRight);
    assert_eq!(at(&window), before + 4, "on it goes as long as it is held");
}

#[test]
fn exploring_changes_the_view_and_returns_to_the_tour() {
    let mut window = open([1280, 720], View::Stage, false);
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    wait(&mut window, 3.0);
    let before = shot(&mut window, "tour");
    press(&mut window, Key::E);
    let explored = window.state().playback.explored().unwrap().clone();
    use egui_kittest::kittest::Queryable as _;
    window.get_by_label("layer ↓").click();
    window.step();
    window.step();
    let changed = window.state().playback.explored().unwrap().clone();
    assert_ne!(changed.map.layers, explored.map.layers);
    window.get_by_label("wall").click();
    window.step();
    window.get_by_label("all heads").click();
    window.step();
    window.step();
    let changed = window.state().playback.explored().unwrap().clone();
    assert_eq!((changed.view, changed.map.heads), (ViewKind::Wall, AxisSet::MEAN));
    shot(&mut window, "explore");
    press(&mut window, Key::Escape);
    assert!(window.state().playback.explored().is_none() && !window.state().playback.is_over);
    // On a card, exploring opens the view of the next step.
    press(&mut window, Key::Home);
    press(&mut window, Key::E);
    assert!(window.state().playback.explored().is_some());
    press(&mut window, Key::E);
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    wait(&mut window, 3.0);
    let back = shot(&mut window, "back");
    // The harness draws its pointer where it clicked.
    let other = back.pixels().zip(before.pixels()).filter(|(a, b)| a != b).count();
    assert!(other * 500 < before.pixels().len(), "the tour is where it was: {other} pixels differ");
    assert_eq!(window.state().playback.error, None);
}

#[test]
fn another_device_shows_the_same() {
    let mut window = open([640, 360], View::Stage, false);
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    wait(&mut window, 3.0);
    let before = shot(&mut window, "before");
    let gpu = Arc::clone(window.state().playback.gpu());
    let egui = window.state().egui.clone();
    window.state_mut().playback.rebuild(gpu, egui);
    wait(&mut window, 0.1);
    assert!(shot(&mut window, "after") == before);
    assert_eq!(at(&window), 3);
}

#[test]
fn a_loop_goes_on_by_itself() {
    let mut window = open([320, 180], View::Stage, true);
    for _ in 0..20 {
        wait(&mut window, 9.0);
    }
    assert!(window.state().playback.presentation().runs);
    let before = at(&window);
    wait(&mut window, 9.0);
    assert_ne!(at(&window), before);
}

#[test]
fn an_error_is_the_presenters_alone() {
    use egui_kittest::kittest::Queryable as _;
    let words = "the wall fell down";
    for (view, is_seen) in [(View::Stage, false), (View::Presenter, true)] {
        let mut window = open([960, 640], view, false);
        window.state_mut().playback.error = Some(words.into());
        wait(&mut window, 0.1);
        assert_eq!(window.query_by_label(words).is_some(), is_seen, "{view:?}");
    }
}

#[test]
fn the_presenter_sees_notes_clock_and_what_comes_next() {
    use egui_kittest::kittest::Queryable as _;
    let mut window = open([960, 640], View::Presenter, false);
    press(&mut window, Key::Num2);
    press(&mut window, Key::Enter);
    wait(&mut window, 65.0);
    assert!(window.query_by_label("1:05").is_some(), "the clock");
    assert!(window.query_by_label_contains("2 of ").is_some(), "where it is");
    assert!(window.query_by_label("Up next").is_some(), "the next step");
    assert!(window.query_by_label_contains("mean over the heads").is_some(), "the notes");
    shot(&mut window, "presenter");
    window.get_by_label("Next").click();
    window.step();
    window.step();
    assert_eq!(at(&window), 3);
}

#[test]
fn long_notes_leave_the_buttons_where_they_are() {
    use egui_kittest::kittest::Queryable as _;
    let top = |notes: &str| {
        let mut window = show([960, 640], View::Presenter, false, Some(notes));
        press(&mut window, Key::Num2);
        press(&mut window, Key::Enter);
        window.get_by_label("Blank").rect()
    };
    let short = top("Pause.");
    assert_eq!(top(&"Let them find it for themselves first. ".repeat(60)), short);
    assert!(short.bottom() < 640.0);
}

#[test]
fn the_pointer_hides_though_it_never_moved() {
    let mut window = open([640, 360], View::Stage, false);
    wait(&mut window, 0.1);
    assert!(window.state().playback.shows_pointer(window.state().now));
    wait(&mut window, 2.1);
    assert!(!window.state().playback.shows_pointer(window.state().now));
}

#[test]
fn a_pointer_on_another_display_lights_nothing() {
    let mut window = open([640, 360], View::Stage, false);
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    wait(&mut window, 3.0);
    let before = shot(&mut window, "no spotlight");
    press(&mut window, Key::S);
    window.hover_at(egui::pos2(-500.0, 200.0));
    wait(&mut window, 0.1);
    assert!(before == shot(&mut window, "spotlight elsewhere"));
}

#[test]
fn every_size_of_stage_is_filled() {
    for (name, size) in [("1080p", [1920, 1080]), ("4k", [3840, 2160]), ("portrait", [1080, 1920])]
    {
        let mut window = open(size, View::Stage, false);
        press(&mut window, Key::Num3);
        press(&mut window, Key::Enter);
        wait(&mut window, 3.0);
        if name == "1080p" {
            press(&mut window, Key::S);
            window.hover_at(egui::pos2(1100.0, 400.0));
            wait(&mut window, 0.1);
        }
        let image = shot(&mut window, name);
        assert_eq!([image.width(), image.height()], size);
        // The picture is more than a quarter of the stage; so is nothing else.
        let background = *image.get_pixel(2, 2);
        let drawn = image.pixels().filter(|pixel| **pixel != background).count();
        assert!(drawn * 4 > image.pixels().len(), "{name}: {drawn}");
        assert_eq!(window.state().playback.error, None);
    }
}

#[test]
fn keys_explore_without_the_pointer() {
    let mut window = open([1280, 720], View::Stage, false);
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    press(&mut window, Key::E);
    let start = window.state().playback.explored().unwrap().clone();
    let explored = |window: &Window| window.state().playback.explored().unwrap().clone();
    press(&mut window, Key::ArrowRight);
    assert_ne!(explored(&window).map.queries, start.map.queries, "the next word");
    press(&mut window, Key::ArrowDown);
    let layer = explored(&window).map.layers.only().expect("one layer");
    press(&mut window, Key::ArrowUp);
    assert_ne!(explored(&window).map.layers.only(), Some(layer));
    press(&mut window, Key::CloseBracket);
    assert!(explored(&window).map.heads.only().is_some());
    press(&mut window, Key::M);
    assert_eq!(explored(&window).map.heads, AxisSet::MEAN);
    for (key, view) in
        [(Key::W, ViewKind::Wall), (Key::H, ViewKind::Heads), (Key::S, ViewKind::Overlay)]
    {
        press(&mut window, key);
        assert_eq!(explored(&window).view, view);
    }
    // A clicker still leaves to the next step, and the arrows belong to the tour again.
    let before = at(&window);
    press(&mut window, Key::PageDown);
    assert!(window.state().playback.explored().is_none());
    assert_eq!(at(&window), before + 1);
    press(&mut window, Key::ArrowRight);
    assert_eq!(at(&window), before + 2);
}

#[test]
fn a_slide_shows_its_picture_on_nine_tenths_of_the_height() {
    for pixels in [[1280, 720], [1920, 1080]] {
        let mut window = open(pixels, View::Stage, false);
        press(&mut window, Key::Num3);
        press(&mut window, Key::Enter);
        wait(&mut window, 5.0);
        let content = window.state().playback.figure().expect("a figure").content;
        let share = content.height / pixels[1] as f32;
        assert!(share >= 0.9, "{pixels:?}: {share:.3}");
    }
}

/// The tour ends with a slide of the wall.
#[test]
fn the_loupe_follows_the_pointer_on_a_slide_of_the_wall() {
    let mut window = open([1280, 720], View::Stage, false);
    let steps = tour(&crate::support::trace(), Path::new("a.vlmtrace")).steps;
    let wall = steps.iter().position(|step| step.state.view == ViewKind::Wall);
    let stop = wall.expect("a slide of the wall") + 1;
    for digit in stop.to_string().chars() {
        press(&mut window, Key::from_name(&digit.to_string()).unwrap());
    }
    press(&mut window, Key::Enter);
    // Until the transition to it is over.
    for _ in 0..20 {
        if window.state().playback.cell_of((1, 2)).is_some() {
            break;
        }
        wait(&mut window, 0.25);
    }
    let playback = &window.state().playback;
    assert!(playback.explored().is_none());
    let cell = playback.cell_of((1, 2)).expect("a wall on the slide");
    assert_eq!(playback.head_at(Some(cell.centre())), Some((1, 2)));
    assert_eq!(playback.head_at(None), None, "nothing is chosen on a slide");
    let playback = &mut window.state_mut().playback;
    let (_, _, name) = playback.magnified((1, 2), 120).expect("a picture");
    assert!(name.starts_with("L1 H2"), "{name}");
    // On a slide of one map there is no loupe.
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    wait(&mut window, 5.0);
    let playback = &window.state().playback;
    assert!(playback.cell_of((1, 2)).is_none() && playback.head_at(Some([600.0, 300.0])).is_none());
}

#[test]
fn the_loupe_shows_the_head_of_the_keys_and_of_the_pointer() {
    let mut window = open([1280, 720], View::Stage, false);
    press(&mut window, Key::Num3);
    press(&mut window, Key::Enter);
    for key in [Key::E, Key::W, Key::ArrowDown, Key::CloseBracket] {
        press(&mut window, key);
    }
    let map = window.state().playback.explored().unwrap().map.clone();
    let chosen = (map.layers.only().unwrap(), map.heads.only().unwrap());
    let playback = &mut window.state_mut().playback;
    assert_eq!(playback.head_at(None), Some(chosen));
    let cell = playback.cell_of((1, 2)).unwrap();
    assert_eq!(playback.head_at(Some(cell.centre())), Some((1, 2)));
    assert_eq!(playback.head_at(Some([-5.0, -5.0])), Some(chosen), "outside");
    let (_, aspect, name) = playback.magnified((1, 2), 120).expect("a picture");
    assert!(name.starts_with("L1 H2 · ") && aspect > 0.0, "{name}");
    assert!(playback.error.is_none(), "{:?}", playback.error);
}

/// A trace of 32 layers of 32 heads over few patches.
fn large_trace() -> Arc<Trace> {
    use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};
    let small = Geometry::named("small").unwrap();
    let geometry = Geometry { layers: 32, heads: 32, ..small };
    Arc::new(Synthetic::new(geometry, RowsKept::Text, 7).unwrap().trace().unwrap())
}

/// The smallest rectangle around the pixels that differ.
fn difference(one: &image::RgbaImage, other: &image::RgbaImage) -> Option<[u32; 4]> {
    let pairs = one.enumerate_pixels().zip(other.pixels());
    let differing = pairs.filter(|((_, _, a), b)| a != b).map(|((x, y, _), _)| [x, y]);
    differing.fold(None, |found, [x, y]| {
        let [left, top, right, bottom] = found.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    })
}

#[test]
fn the_loupe_enlarges_every_part_of_a_wall_of_1024_heads() {
    for pixels in [[1280, 720], [1920, 1080]] {
        let mut window = show_of(&large_trace(), pixels, View::Stage, false, None);
        press(&mut window, Key::Num3);
        press(&mut window, Key::Enter);
        for key in [Key::E, Key::W] {
            press(&mut window, key);
        }
        wait(&mut window, 1.0);
        let plain = shot(&mut window, "wall_1024");
        // The corners, where a loupe could leave the window, and the middle.
        for head in [(0, 0), (0, 31), (31, 0), (31, 31), (16, 15)] {
            let playback = &mut window.state_mut().playback;
            let cell = playback.cell_of(head).expect("a wall");
            assert!(cell.height < 30.0, "a cell too small to be read: {cell:?}");
            assert_eq!(playback.head_at(Some(cell.centre())), Some(head));
            let (_, _, name) = playback.magnified(head, 120).expect("a picture");
            assert!(name.starts_with(&format!("L{} H{} · ", head.0, head.1)), "{name}");
            window.hover_at(cell.centre().into());
            window.step();
            window.step();
            let image = shot(&mut window, &format!("loupe_{}_{}_{}", pixels[0], head.0, head.1));
            let [left, top, right, bottom] = difference(&plain, &image).expect("a loupe");
            let side = pixels[0].min(pixels[1]) / 3;
            assert!(right - left >= side && bottom - top >= side, "{head:?}: {left}–{right}");
            // The legend below the wall stays as it was; the pointer of the harness may lie above it.
            let wall = window.state().playback.wall_bottom().expect("a wall");
            assert!((bottom as f32) <= wall + 10.0, "{head:?}: {bottom} is below {wall}");
        }
        assert!(window.state().playback.error.is_none());
    }
}

#[test]
fn explore_on_a_card_shows_the_step_beside_it_at_once() {
    let mut window = open([1280, 720], View::Stage, false);
    wait(&mut window, 0.1);
    let card = shot(&mut window, "card");
    press(&mut window, Key::E);
    let explored = shot(&mut window, "card_explored");
    assert!(window.state().playback.explored().unwrap().opacity > 0.0, "the map is seen");
    press(&mut window, Key::E);
    assert_eq!(shot(&mut window, "card_again"), card);
    // The same as from the step itself.
    press(&mut window, Key::PageDown);
    wait(&mut window, 3.0);
    press(&mut window, Key::E);
    assert_eq!(shot(&mut window, "step_explored"), explored);
}
