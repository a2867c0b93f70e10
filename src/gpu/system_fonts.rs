//! Fonts of the system for scripts that the bundled typeface lacks, for users of fonts other than the text pass.
//!
//! The window's toolkit shapes and draws outlines itself; it needs the font that has a character, bitmaps of colour
//! glyphs, and the visual order of right-to-left text. Fonts are looked for when the first such character is met, and
//! their files are mapped into memory, not read: a start without one costs nothing.

use super::passes::text::{FAMILY, database, weighted};
use crate::view::figure::is_right_to_left;
use glyphon::cosmic_text::{CacheKey, LayoutRun};
use glyphon::{
    Attrs, Buffer, Family, Font, FontSystem, LayoutGlyph, Metrics, Shaping, SwashCache,
    SwashContent, Wrap,
};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// A font file in memory.
pub type FontBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A face of a font file that has a wanted character.
#[derive(Clone)]
pub struct FoundFont {
    /// Name of the face; equal names are equal faces.
    pub name: String,
    /// The font file.
    pub bytes: FontBytes,
    /// Number of the face in the file.
    pub index: u32,
}

/// A coloured glyph, such as an emoji.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorGlyph {
    /// Width and height in pixels.
    pub size: [usize; 2],
    /// Red, green, blue and alpha of each pixel, row by row; alpha is not multiplied into the colours.
    pub rgba: Vec<u8>,
    /// From the start of the baseline to the upper left corner, in pixels; y points down.
    pub offset_px: [f32; 2],
    /// Distance to the next glyph, in pixels.
    pub advance_px: f32,
}

/// The system's fonts and the bundled typeface.
pub struct SystemFonts {
    fonts: FontSystem,
    swash: SwashCache,
}

struct Bytes(Arc<Font>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.data()
    }
}

impl SystemFonts {
    /// The fonts of this process; the first call looks for them, which takes some milliseconds.
    pub fn shared() -> MutexGuard<'static, Self> {
        static SHARED: LazyLock<Mutex<SystemFonts>> = LazyLock::new(|| {
            let mut db = database();
            db.load_system_fonts();
            log::info!("{} faces of system fonts", db.len());
            Mutex::new(SystemFonts {
                fonts: FontSystem::new_with_locale_and_db(locale(), db),
                swash: SwashCache::new(),
            })
        });
        SHARED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The font that draws the first character of `cluster` as an outline; `None` if no font has it, or only as a
    /// coloured bitmap.
    pub fn outline_font(&mut self, cluster: &str, strong: bool) -> Option<FoundFont> {
        let glyph = self.first_glyph(cluster, strong, 16.0)?;
        if self.color_image(glyph.physical((0.0, 0.0), 1.0).cache_key).is_some() {
            return None;
        }
        let face = self.fonts.db().face(glyph.font_id)?;
        let (name, index) = (format!("{} {}", face.post_script_name, face.id), face.index);
        let font = self.fonts.get_font(glyph.font_id, glyph.font_weight)?;
        Some(FoundFont { name, bytes: Arc::new(Bytes(font)), index })
    }

    /// The coloured glyph of a grapheme cluster; `None` if no font has it in colour.
    pub fn color_glyph(&mut self, cluster: &str, size_px: f32) -> Option<ColorGlyph> {
        let glyph = self.first_glyph(cluster, false, size_px)?;
        let (size, rgba, offset_px) =
            self.color_image(glyph.physical((0.0, 0.0), 1.0).cache_key)?;
        Some(ColorGlyph { size, rgba, offset_px, advance_px: glyph.w })
    }

    fn color_image(&mut self, key: CacheKey) -> Option<([usize; 2], Vec<u8>, [f32; 2])> {
        let image = self.swash.get_image_uncached(&mut self.fonts, key)?;
        let place = image.placement;
        (image.content == SwashContent::Color).then(|| {
            let size = [place.width as usize, place.height as usize];
            (size, image.data, [place.left as f32, -place.top as f32])
        })
    }

    fn first_glyph(&mut self, text: &str, strong: bool, size_px: f32) -> Option<LayoutGlyph> {
        let buffer = self.shape(text, strong, size_px, None);
        let glyph = buffer.layout_runs().next()?.glyphs.first()?.clone();
        (glyph.glyph_id != 0).then_some(glyph)
    }

    fn shape(&mut self, text: &str, strong: bool, size_px: f32, width_px: Option<f32>) -> Buffer {
        let size_px = size_px.max(1.0);
        let attrs = Attrs::new().family(Family::Name(FAMILY));
        let spans: Vec<_> = weighted(&mut self.fonts, text, strong)
            .into_iter()
            .map(|(piece, weight)| (piece, attrs.clone().weight(weight)))
            .collect();
        let mut buffer = Buffer::new(&mut self.fonts, Metrics::new(size_px, size_px * 1.25));
        buffer.set_wrap(if width_px.is_some() { Wrap::WordOrGlyph } else { Wrap::None });
        buffer.set_size(width_px, None);
        buffer.set_rich_text(spans, &attrs, Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut self.fonts, false);
        buffer
    }

    /// The lines of a text with right-to-left words, wrapped at `width_px`, each in the order in which its pieces are
    /// drawn from left to right. Within a word, letters keep their order: a shaper turns them round.
    pub fn visual_lines(
        &mut self,
        text: &str,
        strong: bool,
        size_px: f32,
        width_px: Option<f32>,
    ) -> Vec<String> {
        self.shape(text, strong, size_px, width_px).layout_runs().map(|run| visual(&run)).collect()
    }
}

/// One laid out line in visual order.
fn visual(run: &LayoutRun<'_>) -> String {
    let start = run.glyphs.iter().map(|glyph| glyph.start).min().unwrap_or(0);
    let end = run.glyphs.iter().map(|glyph| glyph.end).max().unwrap_or(0);
    let Some(text) = run.text.get(start..end) else { return String::new() };
    let base = u8::from(run.rtl);
    let mut levels = vec![None; text.len()];
    for glyph in run.glyphs {
        levels[glyph.start - start..glyph.end - start].fill(Some(glyph.level.number()));
    }
    // Runs of one embedding level, in the order in which they are read.
    let mut runs: Vec<(u8, String)> = Vec::new();
    for (at, character) in text.char_indices() {
        let level = levels[at].unwrap_or(base);
        match runs.last_mut() {
            Some((last, piece)) if *last == level => piece.push(character),
            _ => runs.push((level, character.to_string())),
        }
    }
    // Rule L2 of the Unicode bidirectional algorithm: from the deepest level to the first odd one, every sequence of
    // runs of at least that level is turned round.
    let deepest = runs.iter().map(|(level, _)| *level).max().unwrap_or(0);
    for least in (1..=deepest).rev() {
        for sequence in runs.chunk_by_mut(|(a, _), (b, _)| (*a >= least) == (*b >= least)) {
            if sequence.first().is_some_and(|(level, _)| *level >= least) {
                sequence.reverse();
            }
        }
    }
    let pieces = runs.into_iter().map(|(level, piece)| match level % 2 {
        0 => piece,
        _ => turned(&piece),
    });
    pieces.collect::<String>().trim_matches(' ').to_owned()
}

/// A piece of right-to-left text with its words in visual order.
fn turned(piece: &str) -> String {
    let mut parts: Vec<(bool, String)> = Vec::new();
    for character in piece.chars() {
        let is_word = is_right_to_left(character);
        match parts.last_mut() {
            Some((is_last_word, part)) if *is_last_word == is_word => part.push(character),
            _ => parts.push((is_word, character.to_string())),
        }
    }
    let turned = parts.into_iter().rev().map(|(is_word, part)| {
        if is_word { part } else { part.chars().rev().map(mirrored).collect() }
    });
    turned.collect()
}

/// The bracket that faces the other way.
const fn mirrored(character: char) -> char {
    match character {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '<' => '>',
        '>' => '<',
        '«' => '»',
        '»' => '«',
        other => other,
    }
}

/// The user's language, which decides between the Chinese, Japanese and Korean forms of a character.
fn locale() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let value = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let name = value.split(['.', '@']).next().unwrap_or_default().replace('_', "-");
    if matches!(name.as_str(), "" | "C" | "POSIX") { "en-US".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_right_to_left_text_are_put_in_visual_order() {
        let mut fonts = SystemFonts::shared();
        let mut lines = |text: &str| fonts.visual_lines(text, false, 14.0, None);
        assert_eq!(lines("Where is it?"), ["Where is it?"]);
        // Of one sentence, the first word is drawn at the right.
        assert_eq!(lines("אחת שתיים שלוש"), ["שלוש שתיים אחת"]);
        assert_eq!(lines("the אחת שתיים end"), ["the שתיים אחת end"]);
        assert_eq!(lines("אחת 12 (שתיים)"), ["(שתיים) 12 אחת"]);
        assert_eq!(lines("אחת\nשתיים שלוש"), ["אחת", "שלוש שתיים"]);
        assert_eq!(lines("אחת? 气球 🎈 यह क्या है?"), ["?气球 🎈 यह क्या है ?אחת"]);
    }

    #[test]
    fn a_character_that_no_font_has_is_not_found() {
        let mut fonts = SystemFonts::shared();
        assert!(fonts.outline_font("\u{10fffd}", false).is_none());
        assert!(fonts.color_glyph("\u{10fffd}", 16.0).is_none());
        let inter = fonts.outline_font("a", true);
        assert!(inter.is_some_and(|font| font.name.starts_with("Inter-SemiBold")));
    }
}
