//! The choice of the matrix's quantity, and what to do where it is not there yet.

use crate::ui::document::Document;
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::widgets::{muted, primary_button};
use crate::view::{Command, Quantity, ViewState};
use egui::{Role, Ui, WidgetInfo};

/// The name of a quantity, and what it means.
const fn name_and_hint(quantity: Quantity) -> (&'static str, &'static str) {
    match quantity {
        Quantity::Focus => (
            "Focus on the picture",
            "Share of the attention on the picture × (1 − entropy / ln N): high for a head that \
            looks at few patches of the picture",
        ),
        Quantity::ImageShare => {
            ("Attention to picture", "Share of the attention on all patches, in percent")
        }
        Quantity::Peak => ("Strongest patch", "Largest attention on a single patch, in percent"),
        Quantity::Entropy => {
            ("Entropy", "Entropy of the attention over the patches, in nats: 0 for a single patch")
        }
        Quantity::Inside => {
            ("Inside the object", "Share of the attention inside the marked object, in percent")
        }
        Quantity::QuestionShare => {
            ("Attention to question", "Share of the attention on the question, in percent")
        }
        Quantity::Change => (
            "Change between two answers",
            "Attention to the picture in the first answer (or map) minus that in the second, in \
            percentage points",
        ),
        Quantity::Effect => (
            "Effect of switching off",
            "Change of the log-probability of the chosen words when the head is switched off; \
            negative: the words need the head",
        ),
        Quantity::ImageToAnswer => {
            ("Image-to-Answer", "As LVLM-Interpret defines it: mean attention on a patch")
        }
        Quantity::QuestionToAnswer => (
            "Question-to-Answer",
            "As LVLM-Interpret defines it: mean attention on a token of the question",
        ),
    }
}

/// The name of a quantity.
pub const fn title(quantity: Quantity) -> &'static str {
    name_and_hint(quantity).0
}

/// The name of a quantity; of the share inside an object, with the object's name.
pub fn name(quantity: Quantity, state: &ViewState) -> String {
    match state.chosen_object() {
        Some(object) if quantity == Quantity::Inside => format!("Inside “{}”", object.name),
        _ => title(quantity).to_owned(),
    }
}

/// The list of quantities, at most `room` points wide.
pub fn choose(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState, room: f32) {
    let width = ui.available_width().min(room).min(210.0);
    egui::ComboBox::from_id_salt("quantity")
        .width(width)
        .height(420.0)
        .selected_text(name(state.quantity, state))
        .show_ui(ui, |ui| {
            for &quantity in Quantity::ALL {
                if quantity == Quantity::ImageToAnswer {
                    ui.separator();
                    muted(ui, "LVLM-Interpret");
                }
                let on = quantity == state.quantity;
                let item = ui.selectable_label(on, name(quantity, state));
                if item.on_hover_text(name_and_hint(quantity).1).clicked() {
                    cx.intents.command(Command::SetQuantity(quantity));
                }
            }
        })
        .response
        .on_hover_text(name_and_hint(state.quantity).1)
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Quantity"));
}

/// Advice for a quantity that cannot be shown.
pub fn missing(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, quantity: Quantity) {
    let (text, act) = match quantity {
        Quantity::Inside => (
            "Mark an object in the picture to see which head looks at it.",
            Some((UiCommand::MarkObject, "Mark an object")),
        ),
        Quantity::Effect => (
            "The effect of each head was not measured yet: every head is switched off in turn, \
            and the answer is scored again.",
            Some((UiCommand::EachHeadOff, "Measure it")),
        ),
        Quantity::Change => (
            "Compare this answer with another one (What if), or pin a map (X) and choose other \
            words.",
            None,
        ),
        Quantity::QuestionShare | Quantity::QuestionToAnswer => {
            ("The trace has no attention to the question.", None)
        }
        Quantity::Focus
        | Quantity::ImageShare
        | Quantity::Peak
        | Quantity::Entropy
        | Quantity::ImageToAnswer => ("This trace has no picture.", None),
    };
    muted(ui, text);
    if let Some((act, label)) = act
        && primary_button(ui, label, !doc.live).on_hover_text(act.hint()).clicked()
    {
        cx.intents.act(act);
    }
}
