//! The width of a text, computed without a font.
//!
//! The GPU and SVG share the layout, which must be the same everywhere, so it uses the advance widths of the bundled
//! typeface (Inter, tabular figures) that are listed here. A test of the text pass compares these with the real, shaped
//! widths.

/// Advance widths of U+0020 to U+007E in thousandths of the type size: Inter Regular.
const REGULAR: [u16; 95] = [
    281, 278, 403, 631, 638, 812, 639, 222, 362, 362, 500, 659, 276, 460, 276, 357, 648, 648, 648,
    648, 648, 648, 648, 648, 648, 648, 276, 276, 659, 659, 659, 507, 936, 676, 651, 727, 719, 598,
    587, 743, 740, 264, 543, 652, 562, 889, 753, 761, 635, 761, 639, 638, 642, 741, 676, 949, 642,
    665, 625, 362, 357, 362, 469, 452, 497, 564, 621, 558, 621, 582, 361, 609, 591, 237, 237, 544,
    237, 869, 585, 597, 609, 609, 372, 523, 364, 581, 557, 812, 540, 557, 541, 362, 327, 362, 659,
];

/// As `REGULAR`, for Inter SemiBold.
const SEMIBOLD: [u16; 95] = [
    248, 309, 396, 643, 649, 844, 663, 213, 393, 393, 543, 673, 291, 466, 290, 379, 670, 670, 670,
    670, 669, 670, 670, 670, 670, 670, 290, 289, 673, 673, 673, 544, 999, 724, 657, 744, 724, 608,
    586, 755, 744, 275, 561, 677, 566, 906, 741, 775, 643, 776, 651, 649, 660, 734, 724, 1007, 690,
    705, 653, 393, 379, 393, 481, 468, 497, 575, 630, 577, 630, 593, 377, 625, 613, 261, 261, 569,
    261, 898, 610, 608, 625, 625, 397, 549, 380, 608, 576, 837, 562, 576, 562, 393, 358, 393, 673,
];

/// Height of a capital letter as a share of the type size.
pub const CAP_HEIGHT: f32 = 0.727;

/// Width of one character as a share of the type size; characters of other scripts are estimated.
fn advance(character: char, strong: bool) -> f32 {
    let table = if strong { &SEMIBOLD } else { &REGULAR };
    let thousandths = match character {
        ' '..='~' => table[character as usize - ' ' as usize],
        '·' => table[usize::from(b'.' - b' ')],
        '–' => 500,
        '−' | '×' => table[usize::from(b'+' - b' ')],
        '→' | '↓' => 955,
        '…' => 821,
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' => 0,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{ffdc}' | '\u{1f000}'..='\u{1faff}' => 1000,
        _ => 600,
    };
    f32::from(thousandths) / 1000.0
}

/// Width of a text as a multiple of the type size.
pub fn width(text: &str, strong: bool) -> f32 {
    text.chars().map(|character| advance(character, strong)).sum()
}

/// The longest beginning of a text that fits into a width (a multiple of the type size), with an ellipsis if the text
/// was cut.
pub fn fitted(text: &str, strong: bool, available: f32) -> String {
    if width(text, strong) <= available {
        return text.to_owned();
    }
    let mut left = available - advance('…', strong);
    let fits = |character: &char| {
        left -= advance(*character, strong);
        left >= 0.0
    };
    let kept: String = text.chars().take_while(fits).collect();
    if kept.is_empty() { String::new() } else { format!("{}…", kept.trim_end()) }
}
