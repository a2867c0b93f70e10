//! The texts of a figure: the caption below it, cards before and after.
//!
//! Sizes are for viewing on a screen, not for a page. On a stage, the height of a capital letter in a caption is 1/26
//! of the screen's smaller side: 46 mm on a screen of 1.2 metres. At ten metres this is 16 minutes of arc, the minimum
//! for legible text in ISO 9241-303. A film is viewed from a smaller distance, relative to its size. (Type on a stage
//! is slightly larger than that, because controls may cover a strip of it.)

use super::line_breaks::may_break;
use super::sizes::scale_of;
use super::text::directed;
use super::{
    Align, CAP_HEIGHT, Figure, Fill, Ink, Label, PixelRect, TextRun, ThemeColors, contrast, mixed,
    reads_right_to_left, text_of, text_width,
};

/// Type size of captions in a film, in design units.
pub const FILM_UNITS: f32 = 42.0;
/// Type size of captions on a stage, in design units.
pub const STAGE_UNITS: f32 = 63.0;
/// Distance between lines as a share of the type size.
const LINE: f32 = 1.28;
/// Distance between the foot of the figure and the caption, and below the caption.
const BAND_PADDING: f32 = 26.0;
const SIDE_UNITS: f32 = 64.0;
/// Largest share of the frame's height for a band.
const MOST_OF_HEIGHT: f32 = 1.0 / 3.0;
/// Frames with fewer lines count as small.
const SMALL_FRAME: u32 = 540;
/// Smallest type size.
const LEAST_UNITS: f32 = 8.0;
/// Largest type size of the large line of a card.
pub const CARD_UNITS: f32 = 84.0;
/// The small line of a card.
pub const SUBTITLE_UNITS: f32 = 36.0;
const MOST_CARD_LINES: usize = 3;
/// Minimum contrast of text for viewing at a distance (WCAG 2.2, level AAA).
pub const MIN_CONTRAST: f32 = 7.0;

/// Shapes and texts around and over a figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// Height in pixels that the figure leaves free at the bottom of the target.
    pub reserved_px: u32,
    /// Width in pixels that the figure leaves free at the right of the target.
    pub reserved_right_px: u32,
    /// The figure is a slide: the picture takes the margin too, and the legend has words for an audience.
    pub is_slide: bool,
    /// The figure is in transition to another map: its caption names only the nearer map.
    pub is_passing: bool,
    /// Rectangles.
    pub fills: Vec<Fill>,
    /// Text.
    pub labels: Vec<Label>,
}

impl Figure {
    /// A figure that consists only of annotations.
    pub fn of_dress(dress: &Annotations, size: [u32; 2]) -> Self {
        Self {
            fills: dress.fills.clone(),
            labels: dress.labels.clone(),
            ..Self::empty(size, scale_of(size, 1.0))
        }
    }
}

/// The strip for captions, below the picture or at its right: it fits the longest of them, so that the picture does not
/// move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    size: [u32; 2],
    scale: f32,
    type_units: f32,
    lines: usize,
    /// Width of a strip at the right; 0 for one below.
    column_px: u32,
}

/// Space around the picture of a slide, in design units.
pub(super) const SLIDE_MARGIN: f32 = 6.0;
/// Space around the text in a column, in design units.
const COLUMN_MARGIN: f32 = 28.0;
/// Least and largest width of a column beside the picture, as a share of the target's width.
const COLUMN: [f32; 2] = [0.27, 0.45];

impl Band {
    /// A band for a target and all its captions; without captions there is no band.
    pub fn new(
        size: [u32; 2],
        type_units: f32,
        captions: impl IntoIterator<Item = Vec<TextRun>>,
    ) -> Self {
        let scale = scale_of(size, 1.0);
        let mut band = Self { size, scale, type_units, lines: 0, column_px: 0 };
        let lines = |runs: Vec<TextRun>| wrapped(&runs, band.columns(type_units)).len();
        band.lines = captions.into_iter().map(lines).max().unwrap_or(0);
        band
    }

    /// A band for slides, at the side of the target that leaves the larger picture: `aspect` is its width / height.
    pub fn of_slides(
        size: [u32; 2],
        type_units: f32,
        captions: impl IntoIterator<Item = Vec<TextRun>>,
        aspect: f32,
    ) -> Self {
        let below = Self::new(size, type_units, captions);
        if below.lines == 0 {
            return below;
        }
        let [width, height] = size.map(|side| side as f32);
        let [least, most] = COLUMN.map(|share| share * width);
        let column = (width - height * aspect).clamp(least, most).round();
        let picture = |width: f32, height: f32| height.min(width / aspect.max(0.01));
        let beside = picture(width - column, height);
        if beside <= picture(width, height - below.height_px() as f32) {
            return below;
        }
        Self { column_px: column as u32, ..below }
    }

    /// The space that the band takes from the figure, without a caption.
    pub fn space(&self) -> Annotations {
        Annotations {
            reserved_px: self.height_px(),
            reserved_right_px: self.column_px,
            ..Annotations::default()
        }
    }

    /// Height of the band below the picture, limited so that most of the frame is left for the picture.
    pub fn height_px(&self) -> u32 {
        if self.lines == 0 || self.column_px > 0 {
            return 0;
        }
        let height = height_of(self.lines, self.type_units) * self.scale;
        // On a small frame type is relatively large and needs more height.
        let is_small = self.size[0].min(self.size[1]) < SMALL_FRAME;
        let most = if is_small { 0.5 } else { MOST_OF_HEIGHT };
        height.round().min(self.size[1] as f32 * most) as u32
    }

    /// The lines of a caption and their type size: if a caption is too long for the band, its type becomes smaller; it
    /// is not cut.
    fn set(&self, runs: &[TextRun]) -> (Vec<Vec<TextRun>>, f32) {
        let room = match self.column_px {
            0 => self.height_px() as f32 / self.scale + 0.5,
            _ => self.size[1] as f32 / self.scale * 0.9,
        };
        let mut type_units = self.type_units;
        loop {
            let lines = wrapped(runs, self.columns(type_units));
            // In a column, type also becomes smaller for a word that is wider.
            let is_whole = self.column_px == 0
                || words(runs).iter().all(|word| word.width() <= self.columns(type_units));
            let fits = height_of(lines.len(), type_units) <= room && is_whole;
            if fits || type_units < LEAST_UNITS {
                return (lines, type_units);
            }
            type_units *= 0.94;
        }
    }

    /// Width of a line, as a multiple of the type size.
    fn columns(&self, type_units: f32) -> f32 {
        let (width, side) = match self.column_px {
            0 => (self.size[0], SIDE_UNITS),
            column => (column, COLUMN_MARGIN),
        };
        (width as f32 / self.scale - 2.0 * side).max(120.0) / type_units
    }

    /// A caption in the band with opacity `strength`, 0–1.
    pub fn dress(&self, runs: &[TextRun], strength: f64, palette: ThemeColors) -> Annotations {
        let height = self.height_px();
        let mut dress = self.space();
        if strength <= 0.0 {
            return dress;
        }
        let s = self.scale;
        let (lines, type_units) = self.set(runs);
        let line_units = LINE * type_units;
        let top = match self.column_px {
            0 => self.size[1] as f32 - height as f32 + BAND_PADDING * 0.5 * s,
            _ => (self.size[1] as f32 - line_units * s * lines.len() as f32) / 2.0,
        };
        let ink = |color| Ink::Fixed(mixed(palette.background, color, strength));
        let is_turned = reads_right_to_left(text_of(runs).chars());
        for (index, line) in lines.into_iter().enumerate() {
            let middle = top + line_units * s * (index as f32 + 0.5);
            let baseline = middle + CAP_HEIGHT * type_units * s / 2.0;
            let (align, x) = match self.column_px {
                0 => (Align::Centre, self.size[0] as f32 / 2.0),
                _ if is_turned => (Align::End, self.size[0] as f32 - COLUMN_MARGIN * s),
                column => (Align::Start, (self.size[0] - column) as f32 + COLUMN_MARGIN * s),
            };
            dress.labels.push(Label {
                runs: line,
                baseline: [x, baseline],
                align,
                size_px: type_units * s,
                ink: ink(palette.text),
                emphasis: Some(ink(emphasis(palette))),
            });
        }
        dress
    }
}

/// Height of a band of `lines` lines, in design units.
fn height_of(lines: usize, type_units: f32) -> f32 {
    LINE * type_units * lines as f32 + 1.5 * BAND_PADDING
}

/// A card: a large line and a small one, in the middle of the target.
pub fn card(size: [u32; 2], text: &str, subtitle: &str, palette: ThemeColors) -> Annotations {
    let scale = scale_of(size, 1.0);
    let band = Band { size, scale, type_units: CARD_UNITS, lines: 0, column_px: 0 };
    let runs = [TextRun::strong(text)];
    let mut type_units = CARD_UNITS;
    let lines = loop {
        let lines = wrapped(&runs, band.columns(type_units));
        if lines.len() <= MOST_CARD_LINES || type_units <= FILM_UNITS {
            break lines;
        }
        type_units *= 0.85;
    };
    let below = if subtitle.is_empty() {
        Vec::new()
    } else {
        wrapped(&[TextRun::plain(subtitle)], band.columns(SUBTITLE_UNITS))
    };
    let (line, small) = (type_units * 1.2 * scale, SUBTITLE_UNITS * 1.35 * scale);
    let gap = if below.is_empty() { 0.0 } else { 34.0 * scale };
    let total = line * lines.len() as f32 + gap + small * below.len() as f32;
    let mut y = (size[1] as f32 - total) / 2.0;
    let mut dress = Annotations::default();
    for words in lines {
        let baseline = y + line / 2.0 + CAP_HEIGHT * type_units * scale / 2.0;
        let ink = Ink::Fixed(palette.text);
        dress.labels.push(centred(words, size[0], baseline, type_units * scale, ink));
        y += line;
    }
    y += gap;
    for words in below {
        let baseline = y + small / 2.0 + CAP_HEIGHT * SUBTITLE_UNITS * scale / 2.0;
        let quiet = if contrast(palette.muted, palette.background) >= MIN_CONTRAST {
            palette.muted
        } else {
            palette.text
        };
        let ink = Ink::Fixed(quiet);
        dress.labels.push(centred(words, size[0], baseline, SUBTITLE_UNITS * scale, ink));
        y += small;
    }
    let bar = [72.0 * scale, 3.0 * scale];
    let rect = PixelRect {
        x: (size[0] as f32 - bar[0]) / 2.0,
        y: (size[1] as f32 - total) / 2.0 - 40.0 * scale,
        width: bar[0],
        height: bar[1],
    };
    dress.fills.push(Fill { rect, ink: Ink::Accent, alpha: 1.0 });
    dress
}

/// The colour of marked words: the accent if its contrast is sufficient at a distance.
pub fn emphasis(palette: ThemeColors) -> [u8; 3] {
    if contrast(palette.accent, palette.background) >= MIN_CONTRAST {
        palette.accent
    } else {
        palette.text
    }
}

/// A centred line of text.
fn centred(runs: Vec<TextRun>, width_px: u32, baseline: f32, size_px: f32, ink: Ink) -> Label {
    let baseline = [width_px as f32 / 2.0, baseline];
    Label { runs, baseline, align: Align::Centre, size_px, ink, emphasis: None }
}

/// Breaks text into lines no wider than `columns` (multiples of the type size) and of about equal length.
fn wrapped(runs: &[TextRun], columns: f32) -> Vec<Vec<TextRun>> {
    let words = words(runs);
    let fewest = broken(&words, columns, usize::MAX).len();
    // The narrowest width that needs the same number of lines, so that no line has only one word.
    let (mut low, mut high) = (columns / 3.0, columns);
    for _ in 0..12 {
        let middle = (low + high) / 2.0;
        if broken(&words, middle, usize::MAX).len() > fewest { low = middle } else { high = middle }
    }
    broken(&words, high, usize::MAX)
}

/// Breaks text into lines no wider than `columns` (multiples of the type size), each as long as it can be. The last of
/// `most` lines has all of the rest.
pub(super) fn greedy_lines(runs: &[TextRun], columns: f32, most: usize) -> Vec<Vec<TextRun>> {
    broken(&words(runs), columns, most)
}

/// Runs that no line break may separate.
struct Word {
    /// A space comes before it, unless a line begins with it.
    is_spaced: bool,
    runs: Vec<TextRun>,
}

impl Word {
    /// Width as a multiple of the type size.
    fn width(&self) -> f32 {
        self.runs.iter().map(|run| text_width(&run.text, run.strong)).sum()
    }

    /// Appends a character.
    fn push(&mut self, character: char, strong: bool) {
        match self.runs.last_mut() {
            Some(run) if run.strong == strong => run.text.push(character),
            _ => self.runs.push(TextRun { text: character.into(), strong }),
        }
    }
}

fn words(runs: &[TextRun]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    // The character before, none after a space.
    let mut before = None;
    for run in runs {
        for character in run.text.chars() {
            if character.is_whitespace() && character != '\u{a0}' {
                before = None;
                continue;
            }
            // A no-break space does not allow a line break; it is drawn as a space.
            let drawn = if character == '\u{a0}' { ' ' } else { character };
            match words.last_mut() {
                Some(word) if before.is_some_and(|before| !may_break(before, character)) => {
                    word.push(drawn, run.strong);
                }
                _ => {
                    let run = TextRun { text: drawn.into(), strong: run.strong };
                    words.push(Word { is_spaced: before.is_none(), runs: vec![run] });
                }
            }
            before = Some(character);
        }
    }
    words
}

fn broken(words: &[Word], columns: f32, most: usize) -> Vec<Vec<TextRun>> {
    let mut lines: Vec<Vec<TextRun>> = Vec::new();
    // Of the last line.
    let mut width = 0.0;
    for word in words {
        let own = word.width();
        let space = if word.is_spaced { text_width(" ", false) } else { 0.0 };
        let is_last = lines.len() == most;
        match lines.last_mut() {
            Some(line) if is_last || width + space + own <= columns => {
                if word.is_spaced {
                    line.push(TextRun::plain(" "));
                }
                line.extend(word.runs.iter().cloned());
                width += space + own;
            }
            _ => {
                lines.extend(if own > columns {
                    cut(&word.runs, columns)
                } else {
                    vec![word.runs.clone()]
                });
                if lines.len() > most {
                    let rest = lines.split_off(most.max(1) - 1).concat();
                    lines.push(rest);
                }
                let line = lines.last().map(Vec::as_slice).unwrap_or_default();
                width = line.iter().map(|run| text_width(&run.text, run.strong)).sum();
            }
        }
    }
    let letters = words.iter().flat_map(|word| &word.runs).flat_map(|run| run.text.chars());
    let is_turned = reads_right_to_left(letters);
    lines.into_iter().map(|line| directed(joined(line), is_turned)).collect()
}

/// Splits a word that is wider than a line at the ends of lines.
fn cut(word: &[TextRun], columns: f32) -> Vec<Vec<TextRun>> {
    let mut lines: Vec<Vec<TextRun>> = vec![Vec::new()];
    let mut width = 0.0;
    for run in word {
        for letter in run.text.chars() {
            let text = letter.to_string();
            let own = text_width(&text, run.strong);
            if width > 0.0 && width + own > columns {
                lines.push(Vec::new());
                width = 0.0;
            }
            width += own;
            if let Some(line) = lines.last_mut() {
                line.push(TextRun { text, strong: run.strong });
            }
        }
    }
    lines
}

/// Joins adjacent runs of the same weight.
fn joined(line: Vec<TextRun>) -> Vec<TextRun> {
    let mut out: Vec<TextRun> = Vec::new();
    for run in line {
        match out.last_mut() {
            Some(last) if last.strong == run.strong => last.text.push_str(&run.text),
            _ => out.push(run),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Theme;

    fn text(lines: &[Vec<TextRun>]) -> Vec<String> {
        lines.iter().map(|line| text_of(line)).collect()
    }

    #[test]
    fn no_line_breaks_within_what_belongs_together() {
        let lines = text(&wrapped(&[TextRun::plain("layer\u{a0}3, head\u{a0}0")], 4.5));
        assert_eq!(lines, ["layer 3,", "head 0"]);
    }

    #[test]
    fn lines_break_at_spaces_and_are_about_equally_long() {
        let runs = [
            TextRun::plain("at "),
            TextRun::strong("fox"),
            TextRun::plain(", layer 4 looks at it most"),
        ];
        assert_eq!(text(&wrapped(&runs, 100.0)), ["at fox, layer 4 looks at it most"]);
        let two = text(&wrapped(&runs, 12.0));
        assert_eq!(two.len(), 2);
        assert!(two[0].len().abs_diff(two[1].len()) < 8, "{two:?}");
        assert!(two[0].starts_with("at fox, "), "no space before the comma: {two:?}");
    }

    #[test]
    fn text_without_spaces_breaks_between_its_characters() {
        let caption = "狐狸在左边吗？ 🦊 这是一个很长的中文标题，用来检查字幕是否会换行并且不会被截断，观众坐在最后一排也能看清楚每一个字";
        let runs = vec![TextRun::plain("第"), TextRun::strong("狐狸"), TextRun::plain("，最多 看")];
        assert_eq!(text(&broken(&words(&runs), 3.0, usize::MAX)), ["第狐", "狸，最", "多 看"]);
        assert_eq!(text(&broken(&words(&runs), 3.0, 2)), ["第狐", "狸，最多 看"]);
        for size in [[1280, 720], [1920, 1080], [3840, 2160]] {
            let runs = [TextRun::plain(caption)];
            let band = Band::of_slides(size, STAGE_UNITS, [runs.to_vec()], 1.0);
            let labels = band.dress(&runs, 1.0, Theme::Dark.palette()).labels;
            assert_eq!(labels[0].size_px, STAGE_UNITS * scale_of(size, 1.0), "{size:?}");
            assert!(labels.len() > 3, "{labels:?}");
            for label in labels {
                assert!(label.bounds().right() <= size[0] as f32, "{size:?}: {label:?}");
            }
        }
    }

    #[test]
    fn every_line_keeps_the_direction_of_its_caption() {
        let labels = |caption: &[TextRun]| {
            let band = Band::of_slides([1920, 1080], STAGE_UNITS, [caption.to_vec()], 1.0);
            band.dress(caption, 1.0, Theme::Dark.palette()).labels
        };
        let arabic = [
            TextRun::plain("أين الثعلب الأحمر؟ LLaVA-1.5-7B "),
            TextRun::strong("Donaudampfschiff"),
            TextRun::plain(" إنه على اليسار"),
        ];
        let lines = labels(&arabic);
        assert!(lines.iter().any(|line| line.text().starts_with('\u{200f}')), "{lines:?}");
        for line in lines {
            assert!(reads_right_to_left(line.text().chars()), "{line:?}");
            assert_eq!((line.align, line.baseline[0]), (Align::End, 1920.0 - COLUMN_MARGIN));
        }
        let english =
            [TextRun::plain("It says here: "), TextRun::strong("الثعلب الأحمر إنه على اليسار")];
        let lines = labels(&english);
        assert!(lines.iter().any(|line| line.text().starts_with('\u{200e}')), "{lines:?}");
        for line in lines {
            assert!(!reads_right_to_left(line.text().chars()), "{line:?}");
            assert_eq!(line.align, Align::Start);
        }
    }

    #[test]
    fn captions_are_large_and_lie_within_their_band() {
        let sizes = [[1280, 720], [1920, 1080], [3840, 2160], [1080, 1920], [1080, 1080]];
        let runs = vec![
            TextRun::plain("At "),
            TextRun::strong("balloon"),
            TextRun::plain(", layer 3 looks at the picture most: 43 % of its attention goes to it"),
        ];
        let kinds = [(FILM_UNITS, 36.0), (STAGE_UNITS, 26.0)];
        for (size, (units, share)) in sizes.into_iter().flat_map(|s| kinds.map(|kind| (s, kind))) {
            let band = Band::new(size, units, [runs.clone()]);
            let palette = Theme::Dark.palette();
            let dress = band.dress(&runs, 1.0, palette);
            let smaller = size[0].min(size[1]) as f32;
            let whole = PixelRect {
                x: 0.0,
                y: (size[1] - band.height_px()) as f32,
                width: size[0] as f32,
                height: band.height_px() as f32,
            };
            for label in &dress.labels {
                assert!(CAP_HEIGHT * label.size_px >= smaller / share, "{size:?}: too small");
                assert!(whole.contains(&label.bounds()), "{size:?}: {label:?} leaves the band");
            }
            assert_eq!(dress.reserved_px, band.height_px());
        }
    }

    #[test]
    fn a_slide_gives_its_picture_nine_tenths_of_the_height() {
        let runs = vec![
            TextRun::plain("When it says "),
            TextRun::strong("butterfly"),
            TextRun::plain(", layer 4 puts 99 % of its attention on the picture"),
        ];
        for size in [[1280, 720], [1920, 1080], [3840, 2160]] {
            let band = Band::of_slides(size, STAGE_UNITS, [runs.clone()], 1.0);
            let dress = band.dress(&runs, 1.0, Theme::Dark.palette());
            assert_eq!(dress.reserved_px, 0, "{size:?}: beside");
            assert!(size[0] - dress.reserved_right_px >= size[1], "{size:?}");
            let column = PixelRect::from_edges(
                (size[0] - dress.reserved_right_px) as f32,
                0.0,
                size[0] as f32,
                size[1] as f32,
            );
            assert!(dress.labels.iter().all(|label| column.contains(&label.bounds())), "{size:?}");
        }
        // A portrait screen and a wide picture have the caption below.
        for (size, aspect) in [([1080, 1920], 1.0), ([1920, 1080], 2.2)] {
            let dress = Band::of_slides(size, STAGE_UNITS, [runs.clone()], aspect).space();
            assert!(dress.reserved_px > 0 && dress.reserved_right_px == 0, "{size:?}");
        }
        let silent = Band::of_slides([1920, 1080], STAGE_UNITS, [], 1.0).space();
        assert_eq!((silent.reserved_px, silent.reserved_right_px), (0, 0));
    }

    #[test]
    fn whatever_is_written_stays_within_the_band() {
        let long = "a caption that nobody wanted to shorten, ".repeat(40);
        let word = "Donaudampfschifffahrtsgesellschaft".repeat(12);
        for text in [long.as_str(), word.as_str(), "two\nlines\r\nand\ta tab"] {
            for size in [[1280, 720], [1920, 1080], [1080, 1920], [1080, 1080]] {
                let runs = vec![TextRun::plain(text)];
                let band =
                    Band::new(size, STAGE_UNITS, [runs.clone(), vec![TextRun::plain("short")]]);
                let dress = band.dress(&runs, 1.0, Theme::Dark.palette());
                let height = band.height_px() as f32;
                assert!(height <= size[1] as f32 / 3.0 + 1.0, "{size:?}: {height}");
                let whole = PixelRect {
                    x: 0.0,
                    y: size[1] as f32 - height - 1.0,
                    width: size[0] as f32,
                    height: height + 1.0,
                };
                let said: String = dress.labels.iter().map(|label| text_of(&label.runs)).collect();
                let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
                assert_eq!(letters(&said), letters(text), "{size:?}: words are missing");
                for label in &dress.labels {
                    assert!(whole.contains(&label.bounds()), "{size:?}: {label:?}");
                    assert!(!label.runs.iter().any(|run| run.text.contains('\n')));
                }
                let short = band.dress(&[TextRun::plain("short")], 1.0, Theme::Dark.palette());
                let size_px = short.labels[0].size_px;
                assert_eq!(size_px, STAGE_UNITS * scale_of(size, 1.0), "others keep their size");
            }
        }
    }

    #[test]
    fn everything_said_has_enough_contrast() {
        for theme in Theme::ALL {
            let palette = theme.palette();
            let runs = [TextRun::plain("a "), TextRun::strong("b")];
            let band = Band::new([1920, 1080], FILM_UNITS, [runs.to_vec()]);
            let card = card([1920, 1080], "Title", "subtitle", palette);
            for label in band.dress(&runs, 1.0, palette).labels.iter().chain(&card.labels) {
                for ink in [Some(label.ink), label.emphasis].into_iter().flatten() {
                    let Ink::Fixed(ink) = ink else { unreachable!("{label:?}") };
                    let contrast = contrast(ink, palette.background);
                    assert!(contrast >= MIN_CONTRAST, "{theme}: {label:?}");
                }
            }
        }
    }
}
