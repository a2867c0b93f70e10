//! The window's host without a window: a device that is lost in the middle, and settings that are kept between two
//! sessions.

use egui::{Event, Key, Modifiers, Pos2, RawInput, Rect, vec2};
use image::RgbaImage;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use vlmscope::gpu::{Gpu, GpuOptions, Target};
use vlmscope::settings::Settings;
use vlmscope::ui::document::Document;
use vlmscope::ui::headless::{Headless, HeadlessOptions};
use vlmscope::ui::layout::Pane;
use vlmscope::ui::{Start, intent::Intent};
use vlmscope::view::{ViewKind, ViewState};

const SIZE: [u32; 2] = [1280, 720];

struct Screen {
    host: Headless,
    target: Target,
    time: f64,
}

impl Screen {
    fn open(gpu: Arc<Gpu>, settings_path: Option<std::path::PathBuf>) -> Self {
        let settings = settings_path.as_deref().map_or_else(Settings::default, |path| {
            let (settings, problem) = Settings::load(path);
            assert!(problem.is_none(), "{problem:?}");
            settings
        });
        let settings = Settings { advice_seen: true, animate: false, ..settings };
        let options = HeadlessOptions {
            start: Start::Empty,
            settings,
            settings_path,
            ..HeadlessOptions::default()
        };
        let target = Target::offscreen(&gpu, SIZE).unwrap();
        let format = wgpu::TextureFormat::Rgba8Unorm;
        let mut host = Headless::new(gpu, format, options).unwrap();
        host.app.add_document(Document::new(crate::support::trace(), &ViewState::default()));
        Self { host, target, time: 0.0 }
    }

    fn frame(&mut self, events: Vec<Event>) {
        self.time += 0.1;
        let [width, height] = SIZE.map(|side| side as f32);
        let frame = self.host.frame(RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(width, height))),
            time: Some(self.time),
            focused: true,
            events,
            ..RawInput::default()
        });
        let view = self.target.gamma_view().expect("a view for egui");
        self.host.paint(frame, &view, SIZE);
    }

    fn settle(&mut self) -> RgbaImage {
        for _ in 0..6 {
            self.frame(Vec::new());
        }
        self.target.read(self.host.gpu()).unwrap()
    }

    fn press(&mut self, key: Key) {
        let event = |pressed| Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: Modifiers::NONE,
        };
        self.frame(vec![event(true), event(false)]);
    }
}

#[test]
fn a_lost_device_is_replaced_and_every_pixel_comes_back() {
    // A device of its own: the other tests go on with theirs.
    let gpu = Gpu::open(&GpuOptions::default()).expect("a graphics adapter");
    let mut screen = Screen::open(gpu, None);
    screen.press(Key::B);
    let before = screen.settle();
    let state = screen.host.app.doc().unwrap().state().clone();
    screen.host.gpu().device.destroy();
    for _ in 0..100 {
        if screen.host.gpu().is_lost() {
            break;
        }
        // The driver tells about it when it is polled.
        let _ = screen.host.gpu().device.poll(wgpu::PollType::Poll);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(screen.host.gpu().is_lost());
    let gpu = screen.host.gpu().reopen().unwrap();
    screen.target = Target::offscreen(&gpu, SIZE).unwrap();
    screen.host.rebuild(gpu).unwrap();
    let after = screen.settle();
    assert_eq!(screen.host.app.doc().unwrap().state(), &state);
    let differing = before.pixels().zip(after.pixels()).filter(|(a, b)| a != b).count();
    assert!(differing * 1000 < before.pixels().len(), "{differing} pixels differ");
    // The window goes on working on the new device.
    screen.press(Key::W);
    assert_ne!(screen.settle(), after);
    assert_eq!(screen.host.app.doc().unwrap().state().view, ViewKind::Wall);
}

/// One event of a session: keys, the pointer anywhere, buttons, the wheel.
fn random_event(random: &mut rand_chacha::ChaCha8Rng) -> Vec<Event> {
    const KEYS: [Key; 18] = [
        Key::ArrowDown,
        Key::ArrowUp,
        Key::ArrowLeft,
        Key::ArrowRight,
        Key::OpenBracket,
        Key::CloseBracket,
        Key::B,
        Key::C,
        Key::M,
        Key::N,
        Key::S,
        Key::W,
        Key::H,
        Key::T,
        Key::D,
        Key::G,
        Key::P,
        Key::Escape,
    ];
    let [width, height] = SIZE.map(|side| side as f32);
    let pos = egui::pos2(random.random_range(0.0..width), random.random_range(0.0..height));
    let modifiers = Modifiers::NONE;
    match random.random_range(0..10) {
        0..=4 => {
            let key = KEYS[random.random_range(0..KEYS.len())];
            let event =
                |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
            vec![event(true), event(false)]
        }
        5..=7 => vec![Event::PointerMoved(pos)],
        8 => {
            let button = |pressed| Event::PointerButton {
                pos,
                button: egui::PointerButton::Primary,
                pressed,
                modifiers,
            };
            vec![Event::PointerMoved(pos), button(true), button(false)]
        }
        _ => vec![
            Event::PointerMoved(pos),
            Event::MouseWheel {
                unit: egui::MouseWheelUnit::Line,
                source: egui::MouseWheelSource::Wheel,
                delta: vec2(0.0, if random.random() { 1.0 } else { -1.0 }),
                phase: egui::TouchPhase::Move,
                modifiers,
            },
        ],
    }
}

#[test]
fn painting_what_changed_gives_the_pixels_of_painting_everything() {
    let gpu = crate::support::gpu();
    for font_scale in [1.0, 1.25] {
        let mut screen = Screen::open(Arc::clone(&gpu), None);
        screen.host.app.settings.font_scale = font_scale;
        let whole = Target::offscreen(&gpu, SIZE).unwrap();
        let view = whole.gamma_view().unwrap();
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let mut partial = 0;
        for step in 0..60 {
            let events = random_event(&mut random);
            let said = format!("{events:?}");
            screen.frame(events);
            let share = screen.host.painted_share();
            partial += usize::from(share < 0.9);
            let painted = screen.target.read(&gpu).unwrap();
            screen.host.paint_again(&view);
            let again = whole.read(&gpu).unwrap();
            let differing =
                painted.enumerate_pixels().zip(again.pixels()).find(|((_, _, a), b)| a != b);
            assert!(differing.is_none(), "step {step}, {said}, {share} painted: {differing:?}");
        }
        assert!(partial > 20, "only {partial} frames painted a part of the window");
    }
}

#[test]
fn layout_size_of_type_and_bookmarks_outlive_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    let mut screen = Screen::open(crate::support::gpu(), Some(path.clone()));
    screen.settle();
    screen.host.app.intents.act(vlmscope::ui::shortcuts::UiCommand::LargerType);
    screen.host.app.intents.act(vlmscope::ui::shortcuts::UiCommand::Bookmark);
    screen.host.app.intents.send(Intent::ShowPanel(Pane::Bookmarks));
    screen.settle();
    // An edge between two panels is dragged.
    let edge = screen.host.app.stage_rect.left_center() - vec2(0.5, 0.0);
    let width = screen.host.app.stage_rect.width();
    let button = |pos, pressed| Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    screen.frame(vec![Event::PointerMoved(edge)]);
    screen.frame(vec![button(edge, true)]);
    for step in 1..=6 {
        screen.frame(vec![Event::PointerMoved(edge + vec2(10.0 * step as f32, 0.0))]);
    }
    screen.frame(vec![button(edge + vec2(60.0, 0.0), false)]);
    screen.settle();
    let moved = screen.host.app.stage_rect.width();
    assert!(moved < width - 30.0, "the edge follows the hand: {width} to {moved}");
    screen.host.app.keep_settings(true);
    drop(screen);

    let mut screen = Screen::open(crate::support::gpu(), Some(path));
    screen.settle();
    let app = &screen.host.app;
    assert!((app.stage_rect.width() - moved).abs() < 2.0, "{:?}", app.stage_rect);
    assert!((app.settings.font_scale - 1.1).abs() < 1e-3);
    assert_eq!(app.settings.bookmarks.len(), 1);
}

#[test]
fn characters_that_arrive_in_one_frame_are_laid_out_together() {
    let mut screen = Screen::open(crate::support::gpu(), None);
    screen.settle();
    screen.host.app.chat.focus_question = true;
    screen.settle();
    let galleys = |screen: &Screen| screen.host.ctx.fonts(|fonts| fonts.num_galleys_in_cache());
    let before = galleys(&screen);
    let key = |pressed| Event::Key {
        key: Key::A,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers: Modifiers::NONE,
    };
    let typed = (0..2_000).flat_map(|_| [key(true), Event::Text("a".into()), key(false)]);
    screen.frame(typed.collect());
    let made = galleys(&screen) - before.min(galleys(&screen));
    eprintln!("{made} more galleys for 2,000 characters");
    assert!(made < 100, "{made} texts were laid out");
    screen.settle();
    assert_eq!(screen.host.app.chat.question, "a".repeat(2_000));
    screen.frame(vec![Event::Paste("b".repeat(200_000))]);
    screen.settle();
    let most = vlmscope::model::MAX_QUESTION_CHARACTERS;
    assert_eq!(screen.host.app.chat.question.chars().count(), most);
}
