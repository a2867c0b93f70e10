//! Type, colour and spacing of the window.
//!
//! The colours are those of figures ([`crate::view::figure::ThemeColors`]), so that a saved figure and the window
//! around it are one design; nothing but the data, the selection and the hover is saturated.

use crate::view::Theme;
use crate::view::figure::ThemeColors;
use egui::epaint::text::{FontInsert, FontPriority, InsertFontFamily};
use egui::style::{ScrollStyle, WidgetVisuals};
use egui::{
    Color32, CornerRadius, FontData, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Visuals,
};
use std::collections::BTreeMap;

/// Type sizes in points.
pub const SMALL: f32 = 12.0;
/// Text.
pub const BODY: f32 = 14.0;
/// Headings of panels.
pub const LARGE: f32 = 16.0;
/// One per screen.
pub const TITLE: f32 = 20.0;
/// Empty states.
pub const DISPLAY: f32 = 28.0;
/// The grid that sizes and gaps are multiples of.
pub const GRID: f32 = 4.0;

/// The smallest window, in points, in which the stage shows its caption and every panel its controls.
const LEAST_WINDOW: egui::Vec2 = egui::vec2(800.0, 450.0);

const REGULAR: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.otf");
const SEMIBOLD: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.otf");

/// The colours of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ink {
    /// Behind the data.
    pub stage: Color32,
    /// Panels.
    pub panel: Color32,
    /// Inputs, chips, buttons at rest.
    pub raised: Color32,
    /// The same under the pointer.
    pub raised_hover: Color32,
    /// Separators.
    pub hairline: Color32,
    /// Text.
    pub text: Color32,
    /// Text of less importance.
    pub muted: Color32,
    /// Selected items.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// Items under the pointer.
    pub hover: Color32,
    /// Errors.
    pub error: Color32,
}

/// A colour of a figure.
pub const fn color([r, g, b]: [u8; 3]) -> Color32 {
    Color32::from_rgb(r, g, b)
}

/// The colours of a theme.
pub const fn ink(theme: Theme) -> Ink {
    let ThemeColors { background, hairline, text, muted, accent, hover } = theme.palette();
    let (panel, raised, raised_hover, on_accent, error) = match theme {
        Theme::Dark => (
            [0x1c, 0x1d, 0x20],
            [0x28, 0x2a, 0x2e],
            [0x34, 0x37, 0x3c],
            [0x08, 0x18, 0x20],
            [0xff, 0x8d, 0x7e],
        ),
        Theme::Light => (
            [0xf3, 0xf3, 0xf1],
            [0xe6, 0xe6, 0xe4],
            [0xd9, 0xda, 0xd9],
            [0xff, 0xff, 0xff],
            [0xb3, 0x26, 0x1e],
        ),
    };
    Ink {
        stage: color(background),
        panel: color(panel),
        raised: color(raised),
        raised_hover: color(raised_hover),
        hairline: color(hairline),
        text: color(text),
        muted: color(muted),
        accent: color(accent),
        on_accent: color(on_accent),
        hover: color(hover),
        error: color(error),
    }
}

/// The bold weight of the typeface.
pub fn strong_family() -> FontFamily {
    FontFamily::Name("strong".into())
}

/// Bold type of a size.
pub fn strong(size: f32) -> FontId {
    FontId::new(size, strong_family())
}

/// Plain type of a size.
pub const fn plain(size: f32) -> FontId {
    FontId::proportional(size)
}

/// Text in bold.
pub fn strong_text(text: impl Into<String>, size: f32) -> egui::RichText {
    egui::RichText::new(text).font(strong(size))
}

/// Loads the typeface and sets both themes.
pub fn install(ctx: &egui::Context) {
    // egui's own assertions are compiled out: debug builds of this crate warn about clashes of ids.
    ctx.options_mut(|options| options.warn_on_id_clash = cfg!(debug_assertions));
    let insert = |name: &str, data: &'static [u8], families: Vec<InsertFontFamily>| {
        ctx.add_font(FontInsert::new(name, FontData::from_static(data), families));
    };
    let family = |family, priority| InsertFontFamily { family, priority };
    insert(
        "Inter",
        REGULAR,
        vec![
            family(FontFamily::Proportional, FontPriority::Highest),
            family(strong_family(), FontPriority::Lowest),
        ],
    );
    // The commands of the window change the size of text, and keep it.
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
    insert("Inter SemiBold", SEMIBOLD, vec![family(strong_family(), FontPriority::Highest)]);
    for (theme, of) in [(egui::Theme::Dark, Theme::Dark), (egui::Theme::Light, Theme::Light)] {
        let ink = ink(of);
        ctx.style_mut_of(theme, |style| {
            style.text_styles = text_styles();
            style.visuals = visuals(theme, &ink);
            style.spacing.item_spacing = egui::vec2(2.0 * GRID, GRID);
            style.spacing.button_padding = egui::vec2(2.0 * GRID, GRID);
            style.spacing.interact_size = egui::vec2(8.0 * GRID, 6.0 * GRID);
            style.spacing.window_margin = Margin::same(12);
            style.spacing.menu_margin = Margin::same(4);
            style.spacing.slider_width = 120.0;
            style.spacing.combo_width = 120.0;
            style.spacing.scroll = ScrollStyle::floating();
            style.animation_time = 0.08;
        });
    }
}

/// On a screen of many pixels that the system does not scale itself, everything grows: a window
/// 2160 pixels high gets type twice as large as one of 1080.
pub fn screen_scale(ctx: &egui::Context) -> f32 {
    let native = ctx.native_pixels_per_point().unwrap_or(1.0);
    let height = ctx.viewport_rect().height() * ctx.pixels_per_point() / native;
    ((height / 1080.0 * 4.0 + 1e-3).floor() / 4.0).clamp(1.0, 4.0)
}

/// The share of the usual size at which text is drawn: `wanted`, but in a low or narrow window only so much that the
/// stage keeps its caption and the panels their controls.
pub fn text_scale(ctx: &egui::Context, wanted: f32) -> f32 {
    let window = ctx.viewport_rect().size() * ctx.zoom_factor() / screen_scale(ctx);
    wanted.min(largest_text_scale(window))
}

/// The largest scale of text in tenths, for a window of this size in points at the usual scale; never below 1.
fn largest_text_scale(window: egui::Vec2) -> f32 {
    let scale = (window / LEAST_WINDOW).min_elem();
    ((scale * 10.0 + 1e-3).floor() / 10.0).max(1.0)
}

fn text_styles() -> BTreeMap<TextStyle, FontId> {
    [
        (TextStyle::Small, plain(SMALL)),
        (TextStyle::Body, plain(BODY)),
        (TextStyle::Button, plain(BODY)),
        (TextStyle::Heading, strong(LARGE)),
        (TextStyle::Monospace, FontId::monospace(13.0)),
    ]
    .into()
}

fn visuals(theme: egui::Theme, ink: &Ink) -> Visuals {
    let mut visuals = match theme {
        egui::Theme::Dark => Visuals::dark(),
        egui::Theme::Light => Visuals::light(),
    };
    let radius = CornerRadius::same(4);
    let widget = |fill: Color32, text: Color32, stroke: Stroke| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: stroke,
        corner_radius: radius,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let hairline = Stroke::new(1.0, ink.hairline);
    visuals.widgets.noninteractive = widget(ink.panel, ink.text, hairline);
    visuals.widgets.inactive = widget(ink.raised, ink.text, Stroke::NONE);
    visuals.widgets.hovered = widget(ink.raised_hover, ink.text, Stroke::NONE);
    visuals.widgets.active = widget(ink.raised_hover, ink.text, Stroke::new(1.0, ink.accent));
    visuals.widgets.open = widget(ink.raised_hover, ink.text, Stroke::NONE);
    visuals.selection.bg_fill = ink.accent.gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(1.0, ink.text);
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(ink.muted);
    visuals.hyperlink_color = ink.accent;
    visuals.faint_bg_color = ink.raised;
    visuals.extreme_bg_color = ink.stage;
    visuals.text_edit_bg_color = Some(ink.stage);
    visuals.code_bg_color = ink.raised;
    visuals.error_fg_color = ink.error;
    visuals.warn_fg_color = ink.error;
    visuals.window_fill = ink.panel;
    visuals.window_stroke = hairline;
    visuals.window_corner_radius = CornerRadius::same(8);
    visuals.menu_corner_radius = radius;
    visuals.window_shadow =
        Shadow { offset: [0, 8], blur: 32, spread: 0, color: Color32::from_black_alpha(96) };
    visuals.popup_shadow =
        Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(80) };
    visuals.panel_fill = ink.panel;
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::figure::contrast;

    #[test]
    fn the_largest_text_fits_the_window() {
        let largest = |width, height| largest_text_scale(egui::vec2(width, height));
        for window in [[1280.0, 720.0], [1920.0, 1080.0], [1000.0, 1400.0]] {
            let scale = largest(window[0], window[1]);
            assert!(scale >= 1.2, "{window:?}: {scale}");
            let points = egui::Vec2::from(window) / scale + egui::Vec2::splat(1e-3);
            assert!(points.x >= LEAST_WINDOW.x && points.y >= LEAST_WINDOW.y, "{points}");
        }
        // A small window does not make text smaller than usual.
        assert!((largest(480.0, 360.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn text_is_legible_on_every_surface() {
        let rgb = |color: Color32| [color.r(), color.g(), color.b()];
        for theme in [Theme::Dark, Theme::Light] {
            let ink = ink(theme);
            for surface in [ink.stage, ink.panel, ink.raised] {
                for text in [ink.text, ink.muted, ink.error] {
                    let ratio = contrast(rgb(text), rgb(surface));
                    assert!(ratio >= 4.5, "{theme}: {text:?} on {surface:?} is {ratio:.2}");
                }
            }
            assert!(contrast(rgb(ink.on_accent), rgb(ink.accent)) >= 4.5);
        }
    }
}
