//! The title bar: the present document and view, and buttons for everything else.

use crate::ui::document::Document;
use crate::ui::film::duration;
use crate::ui::intent::Intent;
use crate::ui::layout::{NARROW, Overlay};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::system_fonts::readable;
use crate::ui::theme;
use crate::ui::widgets::{
    ICON_BUTTON, Icon, icon_button, ink, paint_icon, segments, sign_button, sign_button_width,
    text_in,
};
use crate::view::ViewKind;
use egui::{Align, Align2, Layout, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Least width of the button that opens the palette, with its text.
const LEAST_SEARCH: f32 = 108.0;

/// The title bar.
#[derive(Default)]
pub struct Title;

impl PaneUi for Title {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let whole = ui.max_rect();
        let narrow = whole.width() < NARROW - 24.0;
        let views =
            view_tabs_width(narrow, cx.current.is_some_and(has_pictures), !cx.data_sets.is_empty());
        let middle = Rect::from_center_size(whole.center(), vec2(views, whole.height()));
        let left = Rect::from_min_max(whole.min, pos2(middle.left() - 8.0, whole.bottom()));
        let right = Rect::from_min_max(pos2(middle.right() + 8.0, whole.top()), whole.max);
        part(ui, left, Layout::left_to_right(Align::Center), |ui| what(cx, ui, narrow));
        part(ui, middle, Layout::left_to_right(Align::Center), |ui| view_tabs(cx, ui, narrow));
        part(ui, right, Layout::right_to_left(Align::Center), |ui| tools(cx, ui, narrow));
    }
}

fn part(ui: &mut Ui, rect: Rect, layout: Layout, add: impl FnOnce(&mut Ui)) {
    // A part of a button would be a line without meaning.
    if rect.width() < ICON_BUTTON {
        return;
    }
    let mut child = ui.new_child(egui::UiBuilder::new().max_rect(rect).layout(layout));
    child.set_clip_rect(rect);
    add(&mut child);
}

/// Picture · question · model.
fn what(cx: &PaneContext<'_>, ui: &mut Ui, narrow: bool) {
    if let Some(table) = cx.data_set() {
        let name = theme::strong_text(table.name(), theme::BODY);
        let path = table.path().display().to_string();
        ui.add(egui::Label::new(name).selectable(false).truncate()).on_hover_text(path);
        return;
    }
    if narrow {
        let on = cx.overlay == Some(Overlay::Chat);
        if icon_button(ui, Icon::Sidebar, "Ask", on).clicked() {
            cx.intents.send(Intent::ShowOverlay((!on).then_some(Overlay::Chat)));
        }
        return;
    }
    let on = cx.settings.show_chat;
    if icon_button(ui, Icon::Sidebar, &UiCommand::ToggleChat.hint(), on).clicked() {
        cx.intents.act(UiCommand::ToggleChat);
    }
    let ink = ink(ui);
    let Some(doc) = cx.current else {
        ui.label(theme::strong_text("vlmscope", theme::BODY));
        return;
    };
    let meta = doc.meta();
    let chosen = doc.state().picture.index;
    let picture = meta.preprocess.iter().find(|info| info.picture == chosen);
    let picture = picture.map(|info| info.file_name.clone()).unwrap_or_default();
    let mut job = egui::text::LayoutJob::default();
    let mut add = |text: &str, font: egui::FontId, color: egui::Color32| {
        job.append(text, 0.0, egui::TextFormat::simple(font, color));
    };
    let separator = "  ·  ";
    if !picture.is_empty() {
        add(&picture, theme::plain(theme::BODY), ink.muted);
        add(separator, theme::plain(theme::BODY), ink.muted);
    }
    let font = theme::strong(theme::BODY);
    add(&readable(&meta.question, &font), font, ink.text);
    add(separator, theme::plain(theme::BODY), ink.muted);
    add(&meta.model.name, theme::plain(theme::BODY), ink.muted);
    ui.add(egui::Label::new(job).selectable(false).truncate());
}

const VIEWS: [(ViewKind, &str, UiCommand); 7] = [
    (ViewKind::Overlay, "Stage", UiCommand::ShowStage),
    (ViewKind::Pictures, "Pictures", UiCommand::ShowPictures),
    (ViewKind::Heads, "Heads", UiCommand::ShowHeads),
    (ViewKind::Wall, "Wall", UiCommand::ShowWall),
    (ViewKind::LayerHead, "Matrix", UiCommand::ShowMatrix),
    (ViewKind::TokenMatrix, "Tokens", UiCommand::ShowTokenMatrix),
    (ViewKind::Causal, "Graph", UiCommand::ShowCauses),
];

/// The name of the tab of a view.
pub fn tab_name(view: ViewKind) -> &'static str {
    let tab = view.spec().tab;
    let own = VIEWS.iter().find(|(other, ..)| *other == view);
    own.or_else(|| VIEWS.iter().find(|(other, ..)| *other == tab)).map_or("", |(_, name, _)| *name)
}

fn view_tabs_width(narrow: bool, pictures: bool, data_set: bool) -> f32 {
    let tab = if pictures { 76.0 } else { 0.0 } + if data_set { 84.0 } else { 0.0 };
    tab + if narrow { 368.0 } else { 416.0 }
}

/// Whether there are several pictures to show side by side.
fn has_pictures(doc: &Document) -> bool {
    doc.extent.picture_numbers().len() > 1
}

fn view_tabs(cx: &PaneContext<'_>, ui: &mut Ui, _narrow: bool) {
    let current = cx.current.map(|doc| doc.state().view.spec().tab);
    let offered = VIEWS.iter().filter(|(view, ..)| {
        cx.current.is_some_and(|doc| *view != ViewKind::Pictures || has_pictures(doc))
    });
    let mut choices: Vec<(Option<ViewKind>, &str, String)> =
        offered.map(|(view, name, act)| (Some(*view), *name, act.hint())).collect();
    if !cx.data_sets.is_empty() {
        choices.insert(0, (None, "Data set", UiCommand::ShowDataSet.hint()));
    }
    let on = if cx.data_set().is_some() { None } else { current };
    // Without an answer and without a table, nothing is shown that could be on.
    if choices.is_empty() {
        return;
    }
    match segments(ui, on, &choices) {
        Some(None) if cx.data_set().is_none() => cx.intents.act(UiCommand::ShowDataSet),
        Some(Some(view)) => {
            if let Some((_, _, act)) = VIEWS.iter().find(|(other, ..)| *other == view) {
                cx.intents.act(*act);
            }
        }
        _ => {}
    }
}

fn tools(cx: &PaneContext<'_>, ui: &mut Ui, narrow: bool) {
    if cx.data_set().is_some() {
        menu(cx, ui);
        search(cx, ui, narrow);
        return;
    }
    if narrow {
        let on = cx.overlay == Some(Overlay::Inspector);
        if icon_button(ui, Icon::Panel, "Inspector", on).clicked() {
            cx.intents.send(Intent::ShowOverlay((!on).then_some(Overlay::Inspector)));
        }
    } else {
        let on = cx.settings.show_inspector;
        if icon_button(ui, Icon::Panel, &UiCommand::ToggleInspector.hint(), on).clicked() {
            cx.intents.act(UiCommand::ToggleInspector);
        }
    }
    menu(cx, ui);
    let is_compact = narrow || ui.available_width() < wide_tools(cx, ui);
    show_others(cx, ui, is_compact);
    search(cx, ui, is_compact);
}

/// Whether there is room for one more button without text.
fn has_room(ui: &Ui) -> bool {
    ui.available_width() >= ICON_BUTTON
}

/// The text of the button that records.
fn record_text(cx: &PaneContext<'_>, is_compact: bool) -> String {
    let Some(take) = cx.recorder else { return "Record".into() };
    let seconds = duration(cx.now - take.began);
    if is_compact {
        return seconds;
    }
    let views = take.views();
    format!("Stop · {seconds} · {views} {}", if views == 1 { "view" } else { "views" })
}

/// Width of the buttons right of the menu, with their texts.
fn wide_tools(cx: &PaneContext<'_>, ui: &Ui) -> f32 {
    let texts = [record_text(cx, false), "Present".into()];
    let buttons: f32 = texts.iter().map(|text| sign_button_width(ui, text)).sum();
    buttons + ICON_BUTTON + 2.0 * ui.spacing().item_spacing.x
}

/// Buttons for showing the answer to others: present, record a film, record the user's views.
fn show_others(cx: &PaneContext<'_>, ui: &mut Ui, narrow: bool) {
    let ink = ink(ui);
    if !has_room(ui) {
        return;
    }
    if cx.recorder.is_some() {
        // The user must see that recording is on, and how to stop it.
        let text = record_text(cx, narrow);
        let response = match ui.available_width() < sign_button_width(ui, &text) {
            true => icon_button(ui, Icon::Record, &text, true),
            false => sign_button(ui, Icon::Record, &text, ink.error),
        };
        if response.on_hover_text("End the recording and open it as a walkthrough").clicked() {
            cx.intents.act(UiCommand::RecordTake);
        }
        ui.ctx().request_repaint_after(std::time::Duration::from_secs(1));
    } else {
        let response = if narrow {
            icon_button(ui, Icon::Record, "Record", false)
        } else {
            sign_button(ui, Icon::Record, "Record", ink.error)
        };
        record_menu(cx, &response);
    }
    if !has_room(ui) {
        return;
    }
    let hint = UiCommand::Present.hint();
    let response = if narrow {
        icon_button(ui, Icon::Present, &hint, false)
    } else {
        sign_button(ui, Icon::Present, "Present", ink.text).on_hover_text(hint)
    };
    if response.clicked() {
        cx.intents.act(UiCommand::Present);
    }
}

fn record_menu(cx: &PaneContext<'_>, response: &Response) {
    egui::Popup::menu(response).width(376.0).show(|ui| {
        let acts = [
            UiCommand::RecordFilm,
            UiCommand::RecordTake,
            UiCommand::EditWalkthrough,
            UiCommand::WalkthroughOfBookmarks,
        ];
        for act in acts {
            let button = egui::Button::new(act.name()).shortcut_text(act.keys_text());
            if ui.add(button).clicked() {
                cx.intents.act(act);
                ui.close();
            }
        }
    });
}

fn menu(cx: &PaneContext<'_>, ui: &mut Ui) {
    if !has_room(ui) {
        return;
    }
    let response = icon_button(ui, Icon::Menu, "Menu", false);
    egui::Popup::menu(&response).width(376.0).show(|ui| {
        let groups: [&[UiCommand]; 4] = [
            &[UiCommand::OpenFile, UiCommand::OpenModel, UiCommand::Paste],
            &[UiCommand::SaveTrace, UiCommand::SavePng, UiCommand::SaveSvg, UiCommand::CopyImage],
            &[
                UiCommand::SaveNumbers,
                UiCommand::CopyNumbers,
                UiCommand::CopyCommandLine,
                UiCommand::Bookmark,
            ],
            &[
                UiCommand::ToggleTheme,
                UiCommand::LargerType,
                UiCommand::SmallerType,
                UiCommand::DefaultType,
                UiCommand::ResetLayout,
                UiCommand::Help,
                UiCommand::Quit,
            ],
        ];
        for (index, group) in groups.iter().enumerate() {
            if index > 0 {
                ui.separator();
            }
            for &act in *group {
                let button = egui::Button::new(act.name()).shortcut_text(act.keys_text());
                if ui.add(button).clicked() {
                    cx.intents.act(act);
                    ui.close();
                }
            }
        }
    });
}

/// Button that opens the palette.
fn search(cx: &PaneContext<'_>, ui: &mut Ui, narrow: bool) {
    if !has_room(ui) {
        return;
    }
    if narrow || ui.available_width() < LEAST_SEARCH {
        if icon_button(ui, Icon::Search, &UiCommand::Palette.hint(), false).clicked() {
            cx.intents.act(UiCommand::Palette);
        }
        return;
    }
    let ink = ink(ui);
    let width = ui.available_width().clamp(LEAST_SEARCH, 196.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 28.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Commands"));
    let fill = if response.hovered() { ink.raised_hover } else { ink.raised };
    ui.painter().rect_filled(rect, 4.0, fill);
    let icon = Rect::from_center_size(pos2(rect.left() + 16.0, rect.center().y), vec2(12.0, 12.0));
    paint_icon(ui, Icon::Search, icon, ink.muted);
    let inner = Rect::from_min_max(pos2(rect.left() + 30.0, rect.top()), rect.max - vec2(8.0, 0.0));
    text_in(ui, inner, Align2::LEFT_CENTER, "Commands", theme::plain(theme::BODY), ink.muted);
    let keys = UiCommand::Palette.keys_text();
    if width < 150.0 {
        if response.clicked() {
            cx.intents.act(UiCommand::Palette);
        }
        return;
    }
    text_in(ui, inner, Align2::RIGHT_CENTER, &keys, theme::plain(theme::SMALL), ink.muted);
    if response.clicked() {
        cx.intents.act(UiCommand::Palette);
    }
}
