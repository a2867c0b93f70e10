//! Labels of a figure, drawn with glyphon over everything else.
//!
//! Only the bundled typeface is loaded, so that a frame looks the same on every machine; the
//! system's fonts join on the first character that it lacks (another script, an emoji). Glyphs are
//! blended in gamma space where the target allows it, as every desktop does: in linear light dark
//! text grows thin and light text fat.

use super::super::colormap;
use crate::logging::bug;
use crate::view::ColorMap;
use crate::view::figure::{Align, Figure, Label, TextRun, ThemeColors};
use glyphon::cosmic_text::{FeatureTag, FontFeatures};
use glyphon::{
    Attrs, Buffer, Cache, Color, ColorMode, Family, FontSystem, Metrics, Resolution, Shaping,
    SwashCache, TextArea, TextAtlas, TextBounds, TextRenderer, Viewport, Weight, Wrap, fontdb,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const INTER_REGULAR: &[u8] = include_bytes!("../../../assets/fonts/Inter-Regular.otf");
const INTER_SEMIBOLD: &[u8] = include_bytes!("../../../assets/fonts/Inter-SemiBold.otf");
/// Name of the bundled typeface.
pub const FAMILY: &str = "Inter";
/// Number of shaped labels that are cached; a full wall and its caption are about 100. Every map has new numbers in
/// its legend, and a shaped label takes about 10 kB, so this bounds the memory of a long film.
const MAX_SHAPED: usize = 512;

/// The text cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TextError {
    /// Error text of glyphon.
    pub reason: String,
}

/// A shaped label.
#[derive(Debug)]
struct Shaped {
    buffer: Buffer,
    width_px: f32,
    /// From the buffer's top to its baseline.
    baseline_px: f32,
    last_used: u64,
}

/// Key of a shaped label: equal keys give equal glyphs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ShapeKey {
    runs: Vec<(String, bool)>,
    size_bits: u32,
    /// Colour of the semi-bold runs, where they have their own.
    emphasis: Option<[u8; 3]>,
}

impl ShapeKey {
    fn from_label(label: &Label, emphasis: Option<[u8; 3]>) -> Self {
        let runs = label.runs.iter().map(|run| (run.text.clone(), run.strong)).collect();
        Self { runs, size_bits: label.size_px.to_bits(), emphasis }
    }
}

/// Fonts and shaped labels: the part of the text pass that needs no device.
struct Type {
    fonts: FontSystem,
    has_system_fonts: bool,
    /// Characters that no font has: they are drawn as boxes.
    missing: BTreeSet<char>,
    shaped: HashMap<ShapeKey, Shaped>,
    frame: u64,
}

/// The bundled typeface.
pub fn database() -> fontdb::Database {
    let mut db = fontdb::Database::new();
    for font in [INTER_REGULAR, INTER_SEMIBOLD] {
        db.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    db
}

impl Type {
    fn new() -> Self {
        Self {
            fonts: FontSystem::new_with_locale_and_db("en-US".into(), database()),
            has_system_fonts: false,
            missing: BTreeSet::new(),
            shaped: HashMap::new(),
            frame: 0,
        }
    }

    fn shape(&mut self, label: &Label, emphasis: Option<[u8; 3]>) -> ShapeKey {
        let key = ShapeKey::from_label(label, emphasis);
        if !self.shaped.contains_key(&key) {
            let mut shaped = shape(&mut self.fonts, label, emphasis);
            let mut missing = characters_without_glyph(&shaped.buffer);
            if !missing.is_empty() && !self.has_system_fonts {
                self.has_system_fonts = true;
                self.fonts.db_mut().load_system_fonts();
                shaped = shape(&mut self.fonts, label, emphasis);
                missing = characters_without_glyph(&shaped.buffer);
            }
            self.missing.append(&mut missing);
            self.shaped.insert(key.clone(), shaped);
        }
        if let Some(shaped) = self.shaped.get_mut(&key) {
            shaped.last_used = self.frame;
        }
        key
    }

    fn forget_old(&mut self) {
        if self.shaped.len() > MAX_SHAPED {
            let now = self.frame;
            self.shaped.retain(|_, shaped| shaped.last_used == now);
        }
    }
}

fn shape(fonts: &mut FontSystem, label: &Label, emphasis: Option<[u8; 3]>) -> Shaped {
    let size = label.size_px.max(1.0);
    let mut features = FontFeatures::new();
    features.enable(FeatureTag::new(b"tnum"));
    let plain = Attrs::new().family(Family::Name(FAMILY)).font_features(features);
    let mut spans = Vec::new();
    for TextRun { text, strong } in &label.runs {
        let color = emphasis.filter(|_| *strong).map(|[r, g, b]| Color::rgb(r, g, b));
        for (piece, weight) in weighted(fonts, text, *strong) {
            spans.push((piece, Attrs { color_opt: color, ..plain.clone().weight(weight) }));
        }
    }
    let mut buffer = Buffer::new(fonts, Metrics::new(size, (size * 1.25).ceil()));
    buffer.set_wrap(Wrap::None);
    buffer.set_rich_text(spans, &plain, Shaping::Advanced, None);
    buffer.shape_until_scroll(fonts, false);
    let (width_px, baseline_px) =
        buffer.layout_runs().next().map_or((0.0, size), |run| (run.line_w, run.line_y));
    Shaped { buffer, width_px, baseline_px, last_used: 0 }
}

/// The pieces of a text, each with its weight. Semi-bold text that the bundled typeface lacks is bold in the family that
/// regular text has; without a bold face there, it is regular.
pub fn weighted<'a>(fonts: &mut FontSystem, text: &'a str, strong: bool) -> Vec<(&'a str, Weight)> {
    if !strong || text.is_ascii() {
        let weight = if strong { Weight::SEMIBOLD } else { Weight::NORMAL };
        return vec![(text, weight)];
    }
    let query = fontdb::Query {
        families: &[Family::Name(FAMILY)],
        weight: Weight::SEMIBOLD,
        ..fontdb::Query::default()
    };
    let bundled = fonts.db().query(&query).and_then(|id| fonts.get_font(id, Weight::SEMIBOLD));
    let covers = |character: char| {
        bundled.as_ref().is_some_and(|font| font.as_swash().charmap().map(character) != 0)
    };
    // Marks and joiners stay with the character before them.
    let is_mark = |character| matches!(character, '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}');
    let mut pieces: Vec<(usize, bool)> = Vec::new();
    for (at, character) in text.char_indices() {
        let is_covered = covers(character);
        let continues =
            pieces.last().is_some_and(|&(_, last)| last == is_covered || is_mark(character));
        if !continues {
            pieces.push((at, is_covered));
        }
    }
    let ends = pieces.iter().skip(1).map(|&(at, _)| at).chain([text.len()]);
    let spans = pieces
        .iter()
        .zip(ends)
        .filter_map(|(&(at, is_covered), end)| text.get(at..end).map(|piece| (piece, is_covered)));
    spans
        .map(|(piece, is_covered)| match is_covered {
            true => (piece, Weight::SEMIBOLD),
            false => (piece, weight_of_fallback(fonts, piece)),
        })
        .collect()
}

/// Bold, if the family that regular text of these characters has is installed in bold.
fn weight_of_fallback(fonts: &mut FontSystem, piece: &str) -> Weight {
    let attrs = Attrs::new().family(Family::Name(FAMILY));
    let mut buffer = Buffer::new(fonts, Metrics::new(16.0, 20.0));
    buffer.set_wrap(Wrap::None);
    buffer.set_rich_text([(piece, attrs.clone())], &attrs, Shaping::Advanced, None);
    buffer.shape_until_scroll(fonts, false);
    let mut glyphs = buffer.layout_runs().flat_map(|run| run.glyphs.iter());
    let found = glyphs.find(|glyph| glyph.glyph_id != 0).map(|glyph| glyph.font_id);
    let db = fonts.db();
    let Some(face) = found.and_then(|id| db.face(id)) else { return Weight::NORMAL };
    let has_bold = db.faces().any(|bold| {
        bold.weight == Weight::BOLD
            && (bold.style, bold.stretch) == (face.style, face.stretch)
            && bold.families.first() == face.families.first()
    });
    if has_bold { Weight::BOLD } else { Weight::NORMAL }
}

/// The characters of a label that are drawn as boxes.
fn characters_without_glyph(buffer: &Buffer) -> BTreeSet<char> {
    let runs = buffer.layout_runs();
    runs.flat_map(|run| {
        let boxes = run.glyphs.iter().filter(|glyph| glyph.glyph_id == 0);
        boxes.flat_map(|glyph| run.text.get(glyph.start..glyph.end).unwrap_or_default().chars())
    })
    // Characters that are drawn as nothing anyway.
    .filter(|character| !character.is_whitespace() && !character.is_control())
    .collect()
}

/// Advice about characters that no font has; `None` without any.
pub fn missing_glyphs(characters: &BTreeSet<char>) -> Option<String> {
    const NAMED: usize = 12;
    let package = |character: char| match u32::from(character) {
        0x1100..=0x11ff
        | 0x2e80..=0x9fff
        | 0xac00..=0xd7ff
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xffef
        | 0x20000..=0x3ffff => "fonts-noto-cjk",
        0x2600..=0x27bf | 0x1f000..=0x1faff => "fonts-noto-color-emoji",
        _ => "fonts-noto-core",
    };
    let packages: BTreeSet<&str> = characters.iter().copied().map(package).collect();
    let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
    // By number: where this is read, they may be boxes as well.
    let number = |character: &char| format!("U+{:04X}", u32::from(*character));
    let named: Vec<String> = characters.iter().take(NAMED).map(number).collect();
    let more = match characters.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!characters.is_empty()).then(|| {
        format!(
            "no installed font has the characters {}{more}; they are drawn as boxes. Install a font that has them (Debian and Ubuntu: apt install {packages})",
            named.join(" ")
        )
    })
}

/// Glyph atlas and renderer for one target format.
struct Pipeline {
    atlas: TextAtlas,
    renderer: TextRenderer,
}

/// Inputs of the last preparation; equal inputs need no new one.
#[derive(PartialEq)]
struct Prepared {
    format: wgpu::TextureFormat,
    size: [u32; 2],
    labels: Vec<Label>,
    palette: ThemeColors,
    map: ColorMap,
}

/// The text pass.
pub struct Text {
    kind: Type,
    swash: SwashCache,
    cache: Cache,
    viewport: Viewport,
    pipelines: HashMap<wgpu::TextureFormat, Pipeline>,
    prepared: Option<Prepared>,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("shaped", &self.kind.shaped.len()).finish_non_exhaustive()
    }
}

impl Text {
    /// Loads the typeface; pipelines are made on first use.
    pub fn new(device: &wgpu::Device) -> Self {
        let cache = Cache::new(device);
        let viewport = Viewport::new(device, &cache);
        Self {
            kind: Type::new(),
            swash: SwashCache::new(),
            cache,
            viewport,
            pipelines: HashMap::new(),
            prepared: None,
        }
    }

    /// Shapes and rasterises what is new in the labels of a figure. Returns the bytes uploaded as
    /// glyph positions: 0 where nothing changed since the last call.
    ///
    /// # Errors
    /// If the glyphs do not fit into the largest texture of the device.
    pub fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        format: wgpu::TextureFormat,
        figure: &Figure,
        palette: ThemeColors,
        map: ColorMap,
    ) -> Result<bool, TextError> {
        let wanted =
            Prepared { format, size: figure.size, labels: figure.labels.clone(), palette, map };
        if self.prepared.as_ref() == Some(&wanted) {
            return Ok(false);
        }
        self.prepared = None;
        let [width, height] = figure.size;
        self.viewport.update(queue, Resolution { width, height });
        self.kind.frame += 1;
        let color = |ink| palette.color(ink, |value| colormap::color(map, value));
        let keys: Vec<ShapeKey> = figure
            .labels
            .iter()
            .map(|label| self.kind.shape(label, label.emphasis.map(color)))
            .collect();
        let pipeline = self.pipelines.entry(format).or_insert_with(|| {
            let mode = if format.is_srgb() { ColorMode::Accurate } else { ColorMode::Web };
            let mut atlas = TextAtlas::with_color_mode(device, queue, &self.cache, format, mode);
            let renderer =
                TextRenderer::new(&mut atlas, device, wgpu::MultisampleState::default(), None);
            Pipeline { atlas, renderer }
        });
        pipeline.atlas.trim();
        let shaped = &self.kind.shaped;
        let areas = figure.labels.iter().zip(&keys).filter_map(|(label, key)| {
            let [r, g, b] = color(label.ink);
            shaped.get(key).map(|shaped| area(label, shaped, Color::rgb(r, g, b)))
        });
        pipeline
            .renderer
            .prepare(
                device,
                queue,
                &mut self.kind.fonts,
                &mut pipeline.atlas,
                &self.viewport,
                areas,
                &mut self.swash,
            )
            .map_err(|error| TextError { reason: error.to_string() })?;
        self.kind.forget_old();
        self.prepared = Some(wanted);
        Ok(true)
    }

    /// Characters of all labels so far that no font has.
    pub fn missing_characters(&self) -> &BTreeSet<char> {
        &self.kind.missing
    }

    /// Draws what was prepared last.
    ///
    /// # Errors
    /// If the glyphs were evicted in between.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>) -> Result<(), TextError> {
        let Some(prepared) = self.prepared.as_ref().filter(|p| !p.labels.is_empty()) else {
            return Ok(());
        };
        let Some(pipeline) = self.pipelines.get(&prepared.format) else {
            bug!("text was prepared for {:?}, which has no pipeline", prepared.format);
            return Ok(());
        };
        pipeline
            .renderer
            .render(&pipeline.atlas, &self.viewport, pass)
            .map_err(|error| TextError { reason: error.to_string() })
    }
}

/// Position of a label's buffer on the target. Baselines lie on whole pixels, so that stems stay sharp.
fn area<'a>(label: &Label, shaped: &'a Shaped, color: Color) -> TextArea<'a> {
    let [x, y] = label.baseline;
    let left = match label.align {
        Align::Start => x,
        Align::Centre => x - shaped.width_px / 2.0,
        Align::End => x - shaped.width_px,
    };
    TextArea {
        buffer: &shaped.buffer,
        left,
        top: y.round() - shaped.baseline_px.round(),
        scale: 1.0,
        bounds: TextBounds::default(),
        default_color: color,
        custom_glyphs: &[],
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::view::figure::Ink;

    fn label(text: &str, strong: bool) -> Label {
        Label {
            runs: vec![TextRun { text: text.into(), strong }],
            baseline: [0.0, 0.0],
            align: Align::Start,
            size_px: 100.0,
            ink: Ink::Text,
            emphasis: None,
        }
    }

    #[test]
    fn the_layout_measures_what_the_typeface_really_covers() {
        let mut kind = Type::new();
        for text in [
            "attention · answer token 3 fox · L4 H1 · picture, 0.000–0.184",
            "The quick brown fox jumps over the lazy dog",
            "0123456789",
            "mean of 32 layers, −0.05 to 0.05 × … →",
        ] {
            for strong in [false, true] {
                let label = label(text, strong);
                let key = kind.shape(&label, None);
                let shaped = kind.shaped[&key].width_px;
                let measured = label.bounds().width;
                let off = (measured - shaped).abs() / shaped;
                assert!(off < 0.02, "{text:?}: measured {measured}, shaped {shaped}");
            }
        }
        assert!(!kind.has_system_fonts, "the bundled typeface covers the figure's own words");
    }

    /// The glyphs of a shaped line from left to right: the places of their characters in the text, and their families.
    fn shaped_line(kind: &mut Type, label: &Label) -> (Vec<usize>, Vec<String>) {
        let key = kind.shape(label, Some([1, 2, 3]));
        let run = kind.shaped[&key].buffer.layout_runs().next().unwrap();
        let db = kind.fonts.db();
        let family = |id| db.face(id).unwrap().families[0].0.clone();
        let mut glyphs: Vec<_> = run.glyphs.iter().collect();
        glyphs.sort_by(|a, b| a.x.total_cmp(&b.x));
        (
            glyphs.iter().map(|glyph| glyph.start).collect(),
            glyphs.iter().map(|glyph| family(glyph.font_id)).collect(),
        )
    }

    #[test]
    fn a_line_with_bold_words_keeps_its_reading_order_and_its_face() {
        let mut kind = Type::new();
        for (first, bold, last) in [("إنه على ", "اليسار", " في"), ("הוא ", "שמאל", " כאן")]
        {
            let runs = vec![TextRun::plain(first), TextRun::strong(bold), TextRun::plain(last)];
            let line = Label { runs, ..label("", false) };
            let plain = label(&line.text(), false);
            let (order, families) = shaped_line(&mut kind, &line);
            assert!(order.is_sorted_by(|a, b| a >= b), "right to left: {order:?}");
            let (_, regular) = shaped_line(&mut kind, &plain);
            let letters = |families: Vec<String>| -> BTreeSet<String> {
                families.into_iter().filter(|family| family != FAMILY).collect()
            };
            assert_eq!(letters(families), letters(regular), "{bold}");
            let key = kind.shape(&line, Some([1, 2, 3]));
            let run = kind.shaped[&key].buffer.layout_runs().next().unwrap();
            let words = first.len()..first.len() + bold.len();
            for glyph in run.glyphs {
                let color = words.contains(&glyph.start).then(|| Color::rgb(1, 2, 3));
                assert_eq!(glyph.color_opt, color, "{glyph:?}");
            }
        }
        let marked = label("\u{200f}fox", false);
        let key = kind.shape(&marked, None);
        assert!(kind.shaped[&key].buffer.layout_runs().all(|run| run.rtl));
        assert!(!kind.missing.contains(&'\u{200f}'));
    }

    #[test]
    fn numbers_that_are_no_longer_shown_are_forgotten() {
        let mut kind = Type::new();
        for number in 0..3 * MAX_SHAPED {
            kind.frame += 1;
            kind.shape(&label("always shown", true), None);
            kind.shape(&label(&number.to_string(), false), None);
            kind.forget_old();
            assert!(kind.shaped.len() <= MAX_SHAPED);
            assert!(
                kind.shaped.contains_key(&ShapeKey::from_label(&label("always shown", true), None))
            );
        }
    }

    #[test]
    fn characters_that_no_font_has_are_named_with_a_package() {
        let mut kind = Type::new();
        // Of a private plane: no font that is installed by a distribution has it.
        kind.shape(&label("fox \u{10fffd}", false), None);
        assert_eq!(kind.missing, BTreeSet::from(['\u{10fffd}']));
        let hint = |text: &str| missing_glyphs(&text.chars().collect());
        assert_eq!(hint(""), None);
        let text = hint("एक").unwrap_or_default();
        assert!(
            text.contains("characters U+090F U+0915;") && text.contains("fonts-noto-core"),
            "{text}"
        );
        let text = hint("气🎈").unwrap_or_default();
        assert!(text.contains("fonts-noto-cjk fonts-noto-color-emoji"), "{text}");
        let many: String = ('\u{0900}'..'\u{0920}').collect();
        assert!(hint(&many).is_some_and(|text| text.contains("and 20 more")));
    }

    /// Sum of the coverage of a glyph's pixels.
    fn coverage(kind: &mut Type, swash: &mut SwashCache, key: glyphon::CacheKey) -> f32 {
        let image = swash.get_image_uncached(&mut kind.fonts, key);
        image.map_or(0.0, |image| image.data.iter().map(|&byte| f32::from(byte) / 255.0).sum())
    }

    #[test]
    fn a_glyph_is_whole_at_every_position() {
        let (mut kind, mut swash) = (Type::new(), SwashCache::new());
        let text: String = ('!'..='~').chain("−–·…→↓×".chars()).collect();
        let mut cut = Vec::new();
        for (strong, size) in
            (20..70).flat_map(|size| [false, true].map(|strong| (strong, size as f32 * 0.537)))
        {
            let shaped = Label { size_px: size, ..label(&text, strong) };
            let key = kind.shape(&shaped, None);
            let runs = kind.shaped[&key].buffer.layout_runs();
            let glyphs: Vec<_> = runs.flat_map(|run| run.glyphs.to_vec()).collect();
            for glyph in glyphs {
                let areas = [0.0, 0.25, 0.5, 0.75].map(|x| {
                    let key = glyph.physical((x - glyph.x, 0.0), 1.0).cache_key;
                    coverage(&mut kind, &mut swash, key)
                });
                let least = areas.into_iter().fold(f32::INFINITY, f32::min);
                let most = areas.into_iter().fold(0.0, f32::max);
                if most - least > 0.03 * most + 0.1 {
                    cut.push((&text[glyph.start..glyph.end], strong, size, areas));
                }
            }
        }
        assert!(cut.is_empty(), "{} of {cut:?}", cut.len());
    }

    #[test]
    fn figures_of_numbers_are_tabular() {
        let mut kind = Type::new();
        let mut width = |text: &str| {
            let key = kind.shape(&label(text, false), None);
            kind.shaped[&key].width_px
        };
        assert!((width("0.111") - width("0.888")).abs() < 0.01);
    }
}
