//! Fallback fonts of the window: scripts and emoji that the bundled typeface lacks come from the system's fonts.
//!
//! egui asks for a font when it first meets a character that no loaded font has. It shapes each run of one font, so
//! that Arabic and Devanagari letters join, but it places runs from left to right: [`readable`] puts the words of
//! right-to-left text in visual order before egui sees them. Text in a field is not reordered while it is typed.

use super::theme;
use crate::gpu::system_fonts::{FoundFont, SystemFonts};
use crate::view::figure::is_right_to_left;
use egui::epaint::text::{
    FallbackRequest, FontInsert, FontPriority, GlyphBitmap, GlyphRasterizer,
    GlyphRasterizerRequest, InsertFontFamily, RasterizedGlyph, has_emoji_presentation,
};
use egui::{ColorImage, Context, FontData, FontId, Ui, vec2};
use std::borrow::Cow;
use std::sync::Arc;

/// Lets a context ask for fonts of the system.
pub fn install(ctx: &Context) {
    ctx.add_font_provider(Arc::new(font_for));
    // Emoji are drawn in colour where the system has them, even if a loaded font has an outline.
    let emoji = GlyphRasterizer::new("vlmscope emoji", |request: &GlyphRasterizerRequest<'_>| {
        has_emoji_presentation(request.cluster).then(|| color_glyph(request)).flatten()
    });
    ctx.add_glyph_rasterizer(emoji.with_priority(FontPriority::Highest));
    ctx.add_glyph_rasterizer(GlyphRasterizer::new("vlmscope colour glyphs", color_glyph));
}

fn font_for(request: &FallbackRequest<'_>) -> Option<FontInsert> {
    let strong = *request.family == theme::strong_family();
    let FoundFont { name, bytes, index } =
        SystemFonts::shared().outline_font(request.cluster, strong)?;
    let family =
        InsertFontFamily { family: request.family.clone(), priority: FontPriority::Lowest };
    Some(FontInsert::new(&name, FontData::from_blob(bytes, index), vec![family]))
}

fn color_glyph(request: &GlyphRasterizerRequest<'_>) -> Option<RasterizedGlyph> {
    let glyph = SystemFonts::shared().color_glyph(request.cluster, request.font_size_px)?;
    let [x, y] = glyph.offset_px;
    Some(RasterizedGlyph {
        bitmap: GlyphBitmap {
            image: ColorImage::from_rgba_unmultiplied(glyph.size, &glyph.rgba),
            offset_px: vec2(x, y),
            is_color: true,
        },
        advance_px: glyph.advance_px,
    })
}

/// One line of text in the order in which it is drawn: unchanged unless it has right-to-left words.
pub fn readable<'a>(text: &'a str, font: &FontId) -> Cow<'a, str> {
    if !text.chars().any(is_right_to_left) {
        return Cow::Borrowed(text);
    }
    let strong = font.family == theme::strong_family();
    Cow::Owned(SystemFonts::shared().visual_lines(text, strong, font.size, None).join(" "))
}

/// Text that is wrapped at the width that is left, with right-to-left words in visual order.
pub fn wrapped_text(ui: &Ui, text: &str, font: &FontId) -> String {
    /// The toolkit's own widths differ by less.
    const ROUNDING: f32 = 0.98;
    if !text.chars().any(is_right_to_left) {
        return text.to_owned();
    }
    let strong = font.family == theme::strong_family();
    let width = Some(ui.available_width() * ROUNDING);
    SystemFonts::shared().visual_lines(text, strong, font.size, width).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::painting::new_context;
    use egui::{Event, FontFamily, Key, Modifiers, RawInput};

    const SAMPLES: [&str; 6] =
        ["狐は左", "여우", "أين البالون؟", "यह क्या है?", "🎈 👨\u{200d}👩", "שלום (12)"];

    #[test]
    fn the_window_has_every_character_that_the_system_has() {
        let ctx = new_context();
        let _ = ctx.run_ui(RawInput::default(), |_| ());
        for character in SAMPLES.concat().chars().filter(|c| c.is_alphabetic()) {
            let has = SystemFonts::shared().outline_font(&character.to_string(), false).is_some();
            let font = FontId::new(14.0, FontFamily::Proportional);
            assert_eq!(
                ctx.fonts_mut(|fonts| fonts.has_glyph(&font, character)),
                has,
                "{character}"
            );
        }
    }

    #[test]
    fn any_script_can_be_typed_selected_and_deleted() {
        for sample in SAMPLES {
            let ctx = new_context();
            let mut text = String::new();
            let key = |key, modifiers| Event::Key {
                key,
                physical_key: None,
                pressed: true,
                repeat: false,
                modifiers,
            };
            let mut events = vec![vec![], vec![Event::Text(sample.into())]];
            for moved in [Key::ArrowLeft, Key::ArrowLeft, Key::Home, Key::ArrowRight, Key::End] {
                events.push(vec![key(moved, Modifiers::NONE), key(moved, Modifiers::SHIFT)]);
            }
            events.push(vec![Event::Text("x".into()), key(Key::Backspace, Modifiers::NONE)]);
            events.push(vec![key(Key::A, Modifiers::COMMAND), key(Key::Delete, Modifiers::NONE)]);
            for (at, events) in events.into_iter().enumerate() {
                let input = RawInput { events, ..RawInput::default() };
                let output = ctx.run_ui(input, |ui| {
                    ui.text_edit_multiline(&mut text).request_focus();
                    ui.label(wrapped_text(ui, sample, &FontId::proportional(14.0)));
                });
                let _ = ctx.tessellate(output.shapes, output.pixels_per_point);
                if at == 1 {
                    assert_eq!(text, sample);
                }
            }
            assert_eq!(text, "", "{sample}");
        }
    }

    #[test]
    fn text_without_right_to_left_words_is_left_alone() {
        let font = FontId::proportional(14.0);
        assert!(matches!(readable("Where is 狐 (1)?", &font), Cow::Borrowed(_)));
        assert_eq!(readable("אחת שתיים", &font), "שתיים אחת");
    }
}
