//! The colours around the data: neutral surfaces, one accent for selection, one for hover.

use super::super::Theme;

/// The role of a colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ink {
    /// The surface behind everything.
    Background,
    /// Separators and empty tracks.
    Hairline,
    /// Text.
    Text,
    /// Less prominent text: axis titles, ticks.
    Muted,
    /// The selection.
    Accent,
    /// The element under the pointer.
    Hover,
    /// Text on the colour map at this value (0–1): dark or light, whichever has more contrast.
    OnMap(f32),
    /// The colour map at this value (0–1).
    Map(f32),
    /// The contour line of this rank (0 the lowest).
    Contour(usize),
    /// An explicit colour, for text that fades.
    Fixed([u8; 3]),
}

/// Number of contour lines of a map.
pub const CONTOURS: usize = 4;

/// The colour of a contour line: by rank, not by level, because most values of a map are low and dark lines are hard to
/// see. The colours are light enough to contrast with black; a dark casing separates them from white.
pub fn contour_color(map: impl Fn(f32) -> [u8; 3], rank: usize) -> [u8; 3] {
    const LEAST: f32 = 4.5;
    let color = map(0.4 + 0.18 * rank as f32);
    let lifted = |by: f32| color.map(|c| (f32::from(c) + (255.0 - f32::from(c)) * by) as u8);
    let steps = (0..=20).map(|step| lifted(step as f32 / 20.0));
    steps.into_iter().find(|c| contrast(*c, [0; 3]) >= LEAST).unwrap_or([255; 3])
}

/// sRGB colours of a theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThemeColors {
    /// The surface behind everything.
    pub background: [u8; 3],
    /// Separators and empty tracks.
    pub hairline: [u8; 3],
    /// Text.
    pub text: [u8; 3],
    /// Less prominent text.
    pub muted: [u8; 3],
    /// The selection.
    pub accent: [u8; 3],
    /// The element under the pointer.
    pub hover: [u8; 3],
}

const DARK: ThemeColors = ThemeColors {
    background: [0x16, 0x17, 0x19],
    hairline: [0x35, 0x37, 0x3b],
    text: [0xec, 0xed, 0xee],
    muted: [0xa6, 0xa9, 0xae],
    accent: [0x4c, 0xd3, 0xff],
    hover: [0xff, 0xff, 0xff],
};

const LIGHT: ThemeColors = ThemeColors {
    background: [0xfb, 0xfb, 0xfa],
    hairline: [0xd6, 0xd7, 0xda],
    text: [0x1b, 0x1c, 0x1e],
    muted: [0x57, 0x5a, 0x60],
    accent: [0x00, 0x72, 0xb8],
    hover: [0x1b, 0x1c, 0x1e],
};

impl Theme {
    /// The theme's colours.
    pub const fn palette(self) -> ThemeColors {
        match self {
            Self::Dark => DARK,
            Self::Light => LIGHT,
        }
    }
}

/// A colour between two sRGB colours: at `share` 0 the first, at 1 the second.
pub fn mixed(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    let share = share.clamp(0.0, 1.0);
    [0, 1, 2].map(|at| {
        let [from, to] = [f64::from(from[at]), f64::from(to[at])];
        (from + (to - from) * share).round() as u8
    })
}

/// Relative luminance of an sRGB colour, 0–1 (WCAG 2.2).
pub fn luminance(rgb: [u8; 3]) -> f32 {
    let linear = |byte: u8| {
        let c = f32::from(byte) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(rgb[0]) + 0.7152 * linear(rgb[1]) + 0.0722 * linear(rgb[2])
}

/// Contrast ratio of two sRGB colours, 1–21 (WCAG 2.2).
pub fn contrast(a: [u8; 3], b: [u8; 3]) -> f32 {
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    a.max(b) / a.min(b)
}

/// Widths of an outline over a picture or over colours of data, in design units: the line, and the lines on both sides
/// of it.
const OUTLINE: f32 = 1.5;
const CASING: f32 = 1.0;

/// Widths in pixels of the lines of an outline, in painting order: the lower, dark one and the one upon it.
pub(super) fn outline_widths(scale: f32) -> [f32; 2] {
    let line = (OUTLINE * scale).max(1.0);
    [line + 2.0 * (CASING * scale).max(1.0), line]
}

impl ThemeColors {
    /// The lines of an outline over a picture or over colours of data, in painting order: width in pixels at `scale`
    /// pixels a design unit, and colour. One is light and the other dark, so that one of them is seen on any colour.
    pub fn outline(&self, color: [u8; 3], scale: f32) -> [(f32, [u8; 3]); 2] {
        let [casing, line] = outline_widths(scale);
        [(casing, self.background), (line, color)]
    }

    /// The colour of an ink; `map` is the colour map at a value.
    pub fn color(&self, ink: Ink, map: impl Fn(f32) -> [u8; 3]) -> [u8; 3] {
        match ink {
            Ink::Background => self.background,
            Ink::Hairline => self.hairline,
            Ink::Text => self.text,
            Ink::Muted => self.muted,
            Ink::Accent => self.accent,
            Ink::Hover => self.hover,
            Ink::Map(value) => map(value),
            Ink::Contour(rank) => contour_color(map, rank),
            Ink::Fixed(color) => color,
            Ink::OnMap(value) => {
                let below = map(value);
                let (dark, light) = ([0x10, 0x11, 0x12], [0xff, 0xff, 0xff]);
                if contrast(below, dark) > contrast(below, light) { dark } else { light }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On every grey, one of both lines of an outline stands out.
    #[test]
    fn an_outline_is_seen_on_any_colour_in_both_themes() {
        for theme in [Theme::Dark, Theme::Light] {
            let palette = theme.palette();
            for color in [palette.accent, palette.hover] {
                let lines = palette.outline(color, 1.0);
                assert!(lines[0].0 >= lines[1].0 + 2.0, "the casing is seen on both sides");
                for grey in 0..=255 {
                    let best = lines.map(|(_, line)| contrast(line, [grey; 3]));
                    assert!(best[0].max(best[1]) >= 2.2, "{theme:?} {color:?} {grey}: {best:?}");
                }
                assert!(contrast(lines[0].1, lines[1].1) >= 4.5);
            }
        }
    }
}
