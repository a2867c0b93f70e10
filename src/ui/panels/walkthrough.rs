//! Fields of the selected stop of the walkthrough: text and times; and the stage during a preview.

use super::film_strip;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::walkthrough::editor::{Editor, Stop, WalkthroughCommand};
use crate::ui::widgets::{hairline, ink, muted, on_pixels};
use crate::view::timeline::{Card, Edit, SHORTEST_HOLD_SECONDS, Step, Timeline};
use crate::view::{Command, Easing};
use egui::{Color32, DragValue, Rect, Role, Sense, TextEdit, Ui, WidgetInfo, pos2, vec2};

const LABEL: f32 = 64.0;
/// Longest total, in seconds: a day. It may exceed the longest step.
const LONGEST_WHOLE_SECONDS: f64 = 86_400.0;

/// The fields of the selected stop.
#[derive(Default)]
pub struct WalkthroughPane;

impl PaneUi for WalkthroughPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(editor) = cx.editor else {
            film_strip::empty(cx, ui);
            return;
        };
        egui::ScrollArea::vertical().id_salt("walkthrough").show(ui, |ui| {
            ui.label(theme::strong_text(film_strip::selected_name(editor), theme::BODY));
            ui.add_space(4.0);
            match editor.selected() {
                Stop::Step(at) => {
                    if let Some(step) = editor.walkthrough().steps.get(at) {
                        step_fields(cx, ui, at, step);
                    }
                }
                stop @ Stop::Title => {
                    card(cx, ui, stop, editor.walkthrough().title.as_ref(), Edit::Title);
                }
                stop @ Stop::End => {
                    card(cx, ui, stop, editor.walkthrough().end.as_ref(), Edit::End)
                }
            }
            hairline(ui);
            whole(cx, ui, editor);
        });
    }
}

fn edit(cx: &PaneContext<'_>, edit: Edit) {
    cx.intents.send(Intent::Walkthrough(WalkthroughCommand::Edit(edit)));
}

/// A text of several lines. Every key makes a change; leaving the field ends the undo step.
fn text(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    (name, stop): (&str, Stop),
    hint: &str,
    now: &str,
    of: impl Fn(String) -> Edit,
) {
    muted(ui, name);
    let mut text = now.to_owned();
    let field = TextEdit::multiline(&mut text)
        // Each text has its own undo history.
        .id_salt((name, stop))
        .desired_rows(2)
        .desired_width(f32::INFINITY)
        .hint_text(hint);
    let response = ui.add(field).accessible_name(name);
    if response.changed() {
        edit(cx, of(text));
    }
    if response.lost_focus() {
        cx.intents.send(Intent::Walkthrough(WalkthroughCommand::Settle));
    }
    ui.add_space(4.0);
}

/// A number of seconds.
fn seconds(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    name: &str,
    now: f64,
    least: f64,
    of: impl Fn(f64) -> Edit,
) {
    let mut value = now;
    let drag = DragValue::new(&mut value)
        .speed(0.05)
        .range(least..=LONGEST_WHOLE_SECONDS)
        // A value outside the range stays until the user changes it.
        .clamp_existing_to_range(false)
        // The value is taken when the user has finished typing.
        .update_while_editing(false)
        .fixed_decimals(1)
        .suffix(" s");
    let response = ui.add(drag).accessible_name(name);
    // A field that loses the focus parses its own rounded text again.
    let tenths = |seconds: f64| (seconds * 10.0).round();
    if response.changed() && tenths(value) != tenths(now) {
        edit(cx, of(value));
    }
    if response.drag_stopped() || response.lost_focus() {
        cx.intents.send(Intent::Walkthrough(WalkthroughCommand::Settle));
    }
}

fn row(ui: &mut Ui, label: &str, add: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(LABEL, 24.0), Sense::hover());
        let font = theme::plain(theme::SMALL);
        let color = ink(ui).muted;
        crate::ui::widgets::text_in(ui, rect, egui::Align2::LEFT_CENTER, label, font, color);
        add(ui);
    });
}

fn step_fields(cx: &PaneContext<'_>, ui: &mut Ui, at: usize, step: &Step) {
    let hint = "The caption of this step; **two asterisks** highlight words";
    text(cx, ui, ("Caption", Stop::Step(at)), hint, &step.caption, |text| Edit::Caption(at, text));
    row(ui, "Duration", |ui| {
        let hold = step.hold_secs();
        seconds(cx, ui, "Duration in seconds", hold, SHORTEST_HOLD_SECONDS, |seconds| {
            Edit::Hold(at, Some(seconds))
        });
        let mut by_caption = step.seconds.is_none();
        let check = ui.checkbox(&mut by_caption, "reading time");
        let check = check.on_hover_text("The time that it takes to read the caption");
        if check.changed() {
            edit(cx, Edit::Hold(at, (!by_caption).then_some(hold)));
        }
    });
    row(ui, "Transition", |ui| {
        seconds(cx, ui, "Transition time in seconds", step.transition_secs, 0.0, |seconds| {
            Edit::Transition(at, seconds)
        });
        let names = [
            (Easing::InOut, "smooth"),
            (Easing::Out, "slows down"),
            (Easing::Linear, "constant speed"),
            (Easing::Cut, "cut"),
        ];
        let name = |easing| names.iter().find(|(one, _)| *one == easing).map_or("", |(_, n)| n);
        egui::ComboBox::from_id_salt("easing")
            .width(112.0)
            .selected_text(name(step.easing))
            .show_ui(ui, |ui| {
                for (easing, name) in names {
                    if ui.selectable_label(step.easing == easing, name).clicked() {
                        edit(cx, Edit::Easing(at, easing));
                    }
                }
            })
            .response
            .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Transition easing"));
    });
    ui.horizontal_wrapped(|ui| {
        let change = ui.button("Change view");
        let hint = "Shows the view of this step on the stage. Change it there, then press \
            \u{201c}Use view\u{201d} (U).";
        if change.on_hover_text(hint).clicked() {
            cx.intents.send(Intent::Walkthrough(WalkthroughCommand::ShowView(at)));
        }
        for (act, text) in
            [(UiCommand::DuplicateStep, "Duplicate"), (UiCommand::RemoveStep, "Remove")]
        {
            if ui.button(text).on_hover_text(act.hint()).clicked() {
                cx.intents.act(act);
            }
        }
    });
    ui.add_space(4.0);
    let hint = "Visible only to the presenter";
    text(cx, ui, ("Notes", Stop::Step(at)), hint, &step.notes, |text| Edit::Notes(at, text));
}

fn card(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    stop: Stop,
    card: Option<&Card>,
    of: impl Fn(Option<Card>) -> Edit,
) {
    let Some(card) = card else { return };
    text(cx, ui, ("Text", stop), "The large line", &card.text, |text| {
        of(Some(Card { text, ..card.clone() }))
    });
    text(cx, ui, ("Subtitle", stop), "The small line below", &card.subtitle, |subtitle| {
        of(Some(Card { subtitle, ..card.clone() }))
    });
    row(ui, "Duration", |ui| {
        seconds(cx, ui, "Duration in seconds", card.seconds, SHORTEST_HOLD_SECONDS, |seconds| {
            of(Some(Card { seconds, ..card.clone() }))
        });
    });
    if ui.button("Remove the card").clicked() {
        edit(cx, of(None));
    }
}

/// Fields for all steps together.
fn whole(cx: &PaneContext<'_>, ui: &mut Ui, editor: &Editor) {
    let total = Timeline::new(editor.walkthrough()).seconds();
    row(ui, "Total", |ui| {
        seconds(cx, ui, "Total time in seconds", total, 1.0, Edit::Stretch);
        muted(ui, "scales every step");
    });
    ui.horizontal_wrapped(|ui| {
        let walkthrough = editor.walkthrough();
        for (act, text, is_there) in [
            (UiCommand::AddTitle, "Title card", walkthrough.title.is_some()),
            (UiCommand::AddEnd, "End card", walkthrough.end.is_some()),
        ] {
            if !is_there && ui.button(text).on_hover_text(act.hint()).clicked() {
                cx.intents.act(act);
            }
        }
        for (act, text) in
            [(UiCommand::TrimBefore, "Trim before"), (UiCommand::TrimAfter, "Trim after")]
        {
            if ui.button(text).on_hover_text(act.hint()).clicked() {
                cx.intents.act(act);
            }
        }
    });
}

/// Draws the walkthrough onto the stage at the film's shape; false if it is not previewed.
pub fn stage(cx: &PaneContext<'_>, ui: &Ui, rect: Rect) -> bool {
    let Some(editor) = cx.editor.filter(|editor| editor.is_previewing) else { return false };
    // Nothing of the view is under the pointer.
    if cx.current.is_some_and(|doc| doc.state().hovered.is_some()) {
        cx.intents.command(Command::Hover(None));
    }
    let [width, height] = cx.film_options.size.map(|side| side as f32);
    let room = rect.shrink(12.0);
    let scale = (room.width() / width).min(room.height() / height);
    let place = Rect::from_center_size(room.center(), vec2(width, height) * scale);
    let place = on_pixels(ui, place);
    ui.painter().rect_filled(rect, 0.0, ink(ui).panel);
    let pixels = (place.size() * ui.ctx().pixels_per_point()).round();
    cx.output.walkthrough_preview.set(Some([pixels.x as u32, pixels.y as u32]));
    if let Some(texture) = editor.preview_texture() {
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(texture, place, uv, Color32::WHITE);
    }
    let response = ui.interact(place, ui.scope_id().with("preview"), Sense::click());
    let name = format!("Preview: {}", film_strip::selected_name(editor));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if response.clicked() {
        cx.intents.act(UiCommand::Play);
    }
    true
}
