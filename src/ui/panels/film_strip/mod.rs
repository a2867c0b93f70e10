//! The timeline of the walkthrough, along the lower edge of the window: steps as wide as they are long, transitions
//! as ramps, draggable edges, a play head.

mod bar;
mod time;

use crate::ui::film::clock;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::walkthrough::editor::{Editor, Stop, stop_number};
use crate::ui::widgets::muted;
use crate::view::timeline::Timeline;
use egui::{Align, Layout, Ui, UiBuilder, vec2};

/// Height of the whole.
pub const HEIGHT: f32 = 148.0;
const BAR: f32 = 36.0;

/// The walkthrough in time.
#[derive(Default)]
pub struct FilmStrip;

impl PaneUi for FilmStrip {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(editor) = cx.editor else { return };
        let whole = ui.max_rect();
        let (upper, strip) = whole.split_top_bottom_at_y(whole.top() + BAR);
        bar::controls(cx, ui, upper, editor);
        let builder = UiBuilder::new().max_rect(strip).layout(Layout::top_down(Align::Min));
        time::time(cx, &mut ui.new_child(builder), editor);
    }
}

/// Name of the selected step, for the panel beside.
pub fn selected_name(editor: &Editor) -> String {
    let timeline = Timeline::new(editor.walkthrough());
    let count = editor.walkthrough().steps.len();
    match editor.selected() {
        Stop::Title => "Title card".into(),
        Stop::End => "End card".into(),
        stop @ Stop::Step(at) => {
            let number = stop_number(&timeline, stop);
            let start = clock(timeline.start_secs(number));
            format!("Step {} of {count} · at {start}", at + 1)
        }
    }
}

/// Hints while no walkthrough is open.
pub fn empty(cx: &PaneContext<'_>, ui: &mut Ui) {
    muted(
        ui,
        "A walkthrough is a list of views with captions that you can present, record as a film \
        and share.",
    );
    ui.add_space(8.0);
    for act in [
        UiCommand::EditWalkthrough,
        UiCommand::RecordTake,
        UiCommand::WalkthroughOfBookmarks,
        UiCommand::OpenFile,
    ] {
        let text = match act {
            UiCommand::EditWalkthrough => "Tour of this answer",
            UiCommand::RecordTake if cx.recorder.is_some() => "Stop recording my steps",
            UiCommand::RecordTake => "Record my steps",
            UiCommand::WalkthroughOfBookmarks => "From the bookmarks",
            _ => "Open a walkthrough…",
        };
        let button = egui::Button::new(text).min_size(vec2(200.0, 28.0));
        if ui.add(button).on_hover_text(act.hint()).clicked() {
            cx.intents.act(act);
        }
    }
}
