//! Small widgets that panels share.

pub use crate::view::figure::{capital, thousands};

use super::system_fonts::readable;
use super::theme::{self, Ink};
use crate::view::Theme;
use crate::view::figure::ThemeColors;
use egui::emath::GuiRounding as _;
use egui::text::{CCursor, CCursorRange};
use egui::{
    Align2, Color32, CornerRadius, FontId, Rect, Response, Role, Sense, Stroke, StrokeKind,
    TextEdit, Ui, Vec2, WidgetInfo, pos2, vec2,
};

/// The theme that is in use.
fn theme_of(ui: &Ui) -> Theme {
    if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light }
}

/// The colours that are in use.
pub fn ink(ui: &Ui) -> Ink {
    theme::ink(theme_of(ui))
}

/// The colours of figures that are in use.
fn palette(ui: &Ui) -> ThemeColors {
    theme_of(ui).palette()
}

/// The look of a chip.
#[derive(Clone, Debug)]
pub struct Chip<'a> {
    /// Text of the chip.
    pub text: &'a str,
    /// Its name for assistive technology; the text where empty.
    pub name: &'a str,
    /// Outlined in the accent.
    pub selected: bool,
    /// Its surface; `None` for none.
    pub fill: Option<Color32>,
    /// Its text; `None` for the usual.
    pub color: Option<Color32>,
    /// A line along the lower edge, 0–1 of the width.
    pub meter: Option<f32>,
    /// The colour of the line; `None` for the usual.
    pub meter_color: Option<Color32>,
    /// Outlined as under the pointer.
    pub hot: bool,
}

impl<'a> Chip<'a> {
    /// A plain chip.
    pub const fn new(text: &'a str) -> Self {
        Self {
            text,
            name: "",
            selected: false,
            fill: None,
            color: None,
            meter: None,
            meter_color: None,
            hot: false,
        }
    }

    /// Draws it.
    pub fn show(self, ui: &mut Ui) -> Response {
        let ink = ink(ui);
        let font = FontId::proportional(theme::BODY);
        let color = self.color.unwrap_or(ink.text);
        let galley = ui.painter().layout_no_wrap(self.text.to_owned(), font, color);
        let size = vec2((galley.size().x + 12.0).max(20.0), 26.0);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        let name = if self.name.is_empty() { self.text } else { self.name };
        let selected = self.selected;
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, name));
        if !ui.is_rect_visible(rect) {
            return response;
        }
        let fill = self.fill.or_else(|| response.hovered().then_some(ink.raised_hover));
        let radius = CornerRadius::same(4);
        if let Some(fill) = fill {
            ui.painter().rect_filled(rect, radius, fill);
        }
        if let Some(meter) = self.meter {
            let track = Rect::from_min_max(
                pos2(rect.left() + 5.0, rect.bottom() - 4.0),
                pos2(rect.right() - 5.0, rect.bottom() - 2.0),
            );
            ui.painter().rect_filled(track, 1.0, ink.hairline);
            let filled = Rect::from_min_size(
                track.min,
                vec2(track.width() * meter.clamp(0.0, 1.0), track.height()),
            );
            ui.painter().rect_filled(filled, 1.0, self.meter_color.unwrap_or(ink.muted));
        }
        let stroke = if self.selected {
            Stroke::new(1.5, ink.accent)
        } else if self.hot || response.hovered() || response.has_focus() {
            Stroke::new(1.0, ink.hover)
        } else {
            Stroke::NONE
        };
        ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
        let up = if self.meter.is_some() { 1.5 } else { 0.0 };
        let at = rect.center() - galley.size() / 2.0 - vec2(0.0, up);
        ui.painter().galley(at, galley, color);
        response
    }
}

/// A heading above a group, with room for something at its right end.
pub fn heading<R>(ui: &mut Ui, text: &str, right: impl FnOnce(&mut Ui) -> R) -> R {
    ui.horizontal(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let shown = right(ui);
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                let text = readable(text, &theme::strong(theme::BODY)).into_owned();
                let label = egui::Label::new(theme::strong_text(text, theme::BODY));
                ui.add(label.truncate());
            });
            shown
        })
        .inner
    })
    .inner
}

/// Height of a badge.
const BADGE_HEIGHT: f32 = 16.0;

/// Size of a badge.
pub fn badge_size(ui: &Ui, text: &str) -> Vec2 {
    let font = theme::plain(11.0);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, ink(ui).muted);
    vec2(galley.size().x + 10.0, BADGE_HEIGHT)
}

/// Draws a badge.
pub fn paint_badge(ui: &Ui, rect: Rect, text: &str) {
    let ink = ink(ui);
    let stroke = Stroke::new(1.0, ink.hairline);
    ui.painter().rect(rect, 8.0, ink.raised, stroke, StrokeKind::Inside);
    text_in(ui, rect, Align2::CENTER_CENTER, text, theme::plain(11.0), ink.muted);
}

/// Text of less importance.
pub fn muted(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = ink(ui).muted;
    ui.label(egui::RichText::new(text).size(theme::SMALL).color(color))
}

/// The same on one line, cut with "…" to the width that is left; a tooltip has the whole text.
pub fn muted_line(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = ink(ui).muted;
    ui.add(egui::Label::new(egui::RichText::new(text).size(theme::SMALL).color(color)).truncate())
}

/// A hairline with air around it.
pub fn hairline(ui: &mut Ui) {
    ui.add_space(theme::GRID);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(rect, 0.0, ink(ui).hairline);
    ui.add_space(theme::GRID);
}

/// A hairline along the lower edge of a rectangle.
pub fn hairline_below(ui: &Ui, rect: Rect) {
    let stroke = Stroke::new(1.0, ink(ui).hairline);
    ui.painter().hline(rect.x_range(), rect.bottom() - 0.5, stroke);
}

/// Icons that are drawn, so that they look the same with any font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Play,
    Pause,
    Previous,
    Next,
    Loop,
    Search,
    Close,
    Menu,
    Sidebar,
    Panel,
    Present,
    Record,
    /// A triangle to the right: more can be shown.
    Folded,
    /// A triangle down: more is shown.
    Unfolded,
}

/// Side of a button with a sign and without text.
pub const ICON_BUTTON: f32 = 28.0;

/// A square button with a sign.
pub fn icon_button(ui: &mut Ui, icon: Icon, name: &str, on: bool) -> Response {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(ICON_BUTTON), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, name));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 4.0, ink.raised_hover);
    }
    let color = if on { ink.accent } else { ink.text };
    paint_icon(ui, icon, rect.shrink(8.0), color);
    response.on_hover_text(name)
}

/// Draws a sign into a square.
pub fn paint_icon(ui: &Ui, icon: Icon, rect: Rect, color: Color32) {
    let painter = ui.painter();
    let stroke = Stroke::new(1.5, color);
    let triangle = |from: f32, to: f32| {
        let x = |t: f32| rect.left() + t * rect.width();
        egui::Shape::convex_polygon(
            vec![
                pos2(x(from), rect.top()),
                pos2(x(to), rect.center().y),
                pos2(x(from), rect.bottom()),
            ],
            color,
            Stroke::NONE,
        )
    };
    let bar = |from: f32, to: f32| {
        let x = |t: f32| rect.left() + t * rect.width();
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    match icon {
        Icon::Play => {
            painter.add(triangle(0.1, 1.0));
        }
        Icon::Pause => {
            painter.rect_filled(bar(0.1, 0.38), 1.0, color);
            painter.rect_filled(bar(0.62, 0.9), 1.0, color);
        }
        Icon::Previous => {
            painter.add(triangle(0.95, 0.15));
            painter.rect_filled(bar(0.0, 0.14), 0.0, color);
        }
        Icon::Next => {
            painter.add(triangle(0.05, 0.85));
            painter.rect_filled(bar(0.86, 1.0), 0.0, color);
        }
        Icon::Loop => {
            painter.rect_stroke(rect.shrink2(vec2(0.0, 2.0)), 4.0, stroke, StrokeKind::Middle);
            let tip = pos2(rect.center().x + 2.0, rect.top() + 2.0);
            painter.add(egui::Shape::convex_polygon(
                vec![tip + vec2(-4.0, -3.5), tip + vec2(2.0, 0.0), tip + vec2(-4.0, 3.5)],
                color,
                Stroke::NONE,
            ));
        }
        Icon::Search => {
            let centre = rect.center() - vec2(1.5, 1.5);
            painter.circle_stroke(centre, rect.width() * 0.36, stroke);
            let from = centre + Vec2::splat(rect.width() * 0.27);
            painter.line_segment([from, rect.right_bottom()], stroke);
        }
        Icon::Close => {
            painter.line_segment([rect.left_top(), rect.right_bottom()], stroke);
            painter.line_segment([rect.right_top(), rect.left_bottom()], stroke);
        }
        Icon::Menu => {
            for t in [0.15, 0.5, 0.85] {
                painter.hline(rect.x_range(), rect.top() + t * rect.height(), stroke);
            }
        }
        Icon::Sidebar => {
            painter.rect_stroke(rect, 2.0, stroke, StrokeKind::Middle);
            painter.vline(rect.left() + rect.width() * 0.36, rect.y_range(), stroke);
        }
        Icon::Present => {
            let screen = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - 3.0));
            painter.rect_stroke(screen, 1.0, stroke, StrokeKind::Middle);
            painter.hline(rect.left() + 3.0..=rect.right() - 3.0, rect.bottom(), stroke);
        }
        Icon::Folded | Icon::Unfolded => {
            let half = rect.width() * 0.3;
            let [tip, side] = match icon {
                Icon::Folded => [vec2(half, 0.0), vec2(0.0, half)],
                _ => [vec2(0.0, half), vec2(half, 0.0)],
            };
            let (centre, base) = (rect.center(), rect.center() - tip * 0.7);
            painter.add(egui::Shape::convex_polygon(
                vec![centre + tip, base + side, base - side],
                color,
                Stroke::NONE,
            ));
        }
        Icon::Record => {
            painter.circle_filled(rect.center(), rect.width() * 0.42, color);
        }
        Icon::Panel => {
            painter.rect_stroke(rect, 2.0, stroke, StrokeKind::Middle);
            painter.vline(rect.right() - rect.width() * 0.36, rect.y_range(), stroke);
        }
    }
}

/// Width of a button with a sign, besides its text.
const SIGN_MARGINS: f32 = 36.0;

/// The width of [`sign_button`].
pub fn sign_button_width(ui: &Ui, text: &str) -> f32 {
    let font = theme::plain(theme::BODY);
    ui.painter().layout_no_wrap(text.to_owned(), font, Color32::PLACEHOLDER).size().x + SIGN_MARGINS
}

/// A button with a sign and a word, without a frame: for bars.
pub fn sign_button(ui: &mut Ui, icon: Icon, text: &str, sign: Color32) -> Response {
    let ink = ink(ui);
    let font = theme::plain(theme::BODY);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, ink.text);
    let size = vec2(galley.size().x + SIGN_MARGINS, ICON_BUTTON);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, text));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 4.0, ink.raised_hover);
    }
    let square =
        Rect::from_center_size(pos2(rect.left() + 14.0, rect.center().y), Vec2::splat(12.0));
    paint_icon(ui, icon, square, sign);
    let at = pos2(rect.left() + 28.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, ink.text);
    response
}

/// A row of choices of which one is on.
pub fn segments<T: Copy + PartialEq>(
    ui: &mut Ui,
    current: T,
    choices: &[(T, &str, String)],
) -> Option<T> {
    let ink = ink(ui);
    let mut chosen = None;
    ui.spacing_mut().item_spacing.x = 2.0;
    for (value, text, hint) in choices {
        let on = *value == current;
        let font = if on { theme::strong(theme::BODY) } else { theme::plain(theme::BODY) };
        let color = if on { ink.text } else { ink.muted };
        let galley = ui.painter().layout_no_wrap((*text).to_owned(), font, color);
        // The bold text is wider: reserve its room, so that nothing moves when the choice does.
        let widest = ui
            .painter()
            .layout_no_wrap((*text).to_owned(), theme::strong(theme::BODY), color)
            .size()
            .x;
        let (rect, response) = ui.allocate_exact_size(vec2(widest + 20.0, 28.0), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, *text));
        if response.hovered() || response.has_focus() {
            ui.painter().rect_filled(rect, 4.0, ink.raised);
        }
        if on {
            let line = Rect::from_min_max(
                pos2(rect.left() + 8.0, rect.bottom() - 2.0),
                pos2(rect.right() - 8.0, rect.bottom()),
            );
            ui.painter().rect_filled(line, 1.0, ink.accent);
        }
        ui.painter().galley(rect.center() - galley.size() / 2.0, galley, color);
        if response.on_hover_text(hint).clicked() {
            chosen = Some(*value);
        }
    }
    chosen
}

/// A question over the window, which waits for its answer.
pub fn question(
    ui: &Ui,
    name: &'static str,
    width: f32,
    add: impl FnOnce(&mut Ui),
) -> egui::ModalResponse<()> {
    let frame = egui::Frame::popup(ui.style()).inner_margin(20).fill(ink(ui).panel);
    let width = width.min(ui.ctx().content_rect().width() - 64.0);
    egui::Modal::new(egui::Id::unique(name)).frame(frame).show(ui.ctx(), |ui| {
        ui.set_width(width);
        add(ui);
    })
}

/// A list to choose from in a [`question`]. A press on the dialog and the opening of the list may fall into one frame,
/// after which egui keeps the older order of both: the list is bound to lie above its dialog.
pub fn list_in_question(
    ui: &mut Ui,
    name: &'static str,
    width: f32,
    selected: String,
    items: impl FnOnce(&mut Ui),
) {
    let id = ui.make_persistent_id(egui::IdSalt::new(name));
    let list =
        egui::ComboBox::from_id_salt(name).width(width).selected_text(selected).show_ui(ui, items);
    list.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, name));
    if egui::ComboBox::is_open(ui.ctx(), id) {
        let layer = egui::LayerId::new(egui::Order::Foreground, id.with("popup"));
        ui.ctx().set_sublayer(ui.layer_id(), layer);
    }
}

/// A button in the accent: the one thing to do next.
pub fn primary_button(ui: &mut Ui, text: &str, enabled: bool) -> Response {
    let ink = ink(ui);
    let (fill, color) = if enabled { (ink.accent, ink.on_accent) } else { (ink.raised, ink.muted) };
    let label = egui::RichText::new(text).font(theme::strong(theme::BODY)).color(color);
    ui.add_enabled(enabled, egui::Button::new(label).fill(fill).min_size(vec2(64.0, 28.0)))
}

/// A thin bar that says how far something is; moves where that is not known.
pub fn progress_line(ui: &Ui, rect: Rect, share: Option<f32>) {
    let ink = ink(ui);
    ui.painter().rect_filled(rect, 0.0, ink.hairline);
    let (from, to) = match share {
        Some(share) => (0.0, share.clamp(0.0, 1.0)),
        None => {
            ui.request_repaint_after(std::time::Duration::from_millis(33));
            let t = (ui.input(|input| input.time) * 0.6).fract() as f32;
            ((t * 1.3 - 0.3).max(0.0), (t * 1.3).min(1.0))
        }
    };
    let x = |t: f32| rect.left() + t * rect.width();
    let filled = Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()));
    ui.painter().rect_filled(filled, 0.0, ink.accent);
}

/// A rectangle whose edges lie on whole pixels: a texture of its size loses no row or column there.
pub fn on_pixels(ui: &Ui, rect: Rect) -> Rect {
    rect.round_to_pixels(ui.ctx().pixels_per_point())
}

/// A frame around a rectangle, as on the stage: it is seen on pale and on dark colours of data.
pub fn frame_over_data(ui: &Ui, rect: Rect, mark: Mark) {
    let palette = palette(ui);
    let [(casing, below), (line, color)] = palette.outline(mark.color(&palette), 1.0);
    let casing_rect = rect.shrink((casing - line) / 2.0);
    let stroke = Stroke::new(casing, theme::color(below));
    ui.painter().rect_stroke(casing_rect, 1.0, stroke, StrokeKind::Outside);
    let stroke = Stroke::new(line, theme::color(color));
    ui.painter().rect_stroke(rect, 1.0, stroke, StrokeKind::Outside);
}

/// The same just inside a rectangle, for pictures that touch others.
pub fn frame_in_data(ui: &Ui, rect: Rect, mark: Mark) {
    frame_over_data(ui, rect.shrink(2.5), mark);
}

/// The reason for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is chosen.
    Chosen,
    /// The pointer is on it.
    Hovered,
}

impl Mark {
    /// The frame of an item; `None` for none.
    pub fn of(is_chosen: bool, response: &Response) -> Option<Self> {
        let is_hovered = response.hovered() || response.has_focus();
        is_chosen.then_some(Self::Chosen).or(is_hovered.then_some(Self::Hovered))
    }

    const fn color(self, palette: &ThemeColors) -> [u8; 3] {
        match self {
            Self::Chosen => palette.accent,
            Self::Hovered => palette.hover,
        }
    }
}

/// One line of text in a rectangle, cut with an ellipsis.
pub fn text_in(ui: &Ui, rect: Rect, align: Align2, text: &str, font: FontId, color: Color32) {
    let galley = ui.painter().layout_job(line_of(text, rect.width(), font, color));
    let at = align.align_size_within_rect(galley.size(), rect).min;
    ui.painter().galley(at, galley, color);
}

/// A text as one line that is cut at `width`; a line break in it is a space.
fn line_of(text: &str, width: f32, font: FontId, color: Color32) -> egui::text::LayoutJob {
    let line = text.split(['\r', '\n', '\t']).filter(|part| !part.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    let text = readable(&line, &font).into_owned();
    let mut job = egui::text::LayoutJob::simple_singleline(text, font, color);
    job.wrap.max_width = width;
    job.wrap.max_rows = 1;
    job.wrap.break_anywhere = true;
    job
}

/// A field for a name, as wide as the name. When it appears, it has the focus, and the whole name is selected.
pub fn name_field(ui: &mut Ui, name: &mut String, label: &str) -> Response {
    const WIDTH: [f32; 2] = [110.0, 260.0];
    let font = theme::plain(theme::BODY);
    let text = ui.painter().layout_no_wrap(name.clone(), font, ink(ui).text);
    let width = (text.size().x + 24.0).clamp(WIDTH[0], WIDTH[1]);
    let edit = TextEdit::singleline(name).desired_width(width).char_limit(60);
    let response = ui.add(edit).accessible_name(label);
    if !response.has_focus() && !response.lost_focus() {
        response.request_focus();
        if let Some(mut state) = TextEdit::load_state(ui.ctx(), response.id) {
            let all = [CCursor::new(0), CCursor::new(name.chars().count())];
            state.cursor.set_char_range(Some(CCursorRange::two(all[0], all[1])));
            state.store(ui.ctx(), response.id);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_line_is_a_space() {
        let line =
            |text: &str| line_of(text, 100.0, theme::plain(theme::SMALL), Color32::WHITE).text;
        assert_eq!(line("line one\nline two"), "line one line two");
        assert_eq!(line("one\r\ntwo\t3\n"), "one two 3");
        assert_eq!(line("one  two"), "one  two");
    }
}
