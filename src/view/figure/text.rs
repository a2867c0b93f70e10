//! Text of a figure: runs of one weight, and numbers.

/// Invisible letters that have a direction.
const LEFT_TO_RIGHT_MARK: char = '\u{200e}';
const RIGHT_TO_LEFT_MARK: char = '\u{200f}';

/// A run of text in one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRun {
    /// The text.
    pub text: String,
    /// Semi-bold: the model's own words.
    pub strong: bool,
}

impl TextRun {
    /// Text in the regular weight.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), strong: false }
    }

    /// Text in the semi-bold weight.
    pub fn strong(text: impl Into<String>) -> Self {
        Self { text: text.into(), strong: true }
    }
}

/// Runs as one string.
pub fn text_of(runs: &[TextRun]) -> String {
    runs.iter().map(|run| run.text.as_str()).collect()
}

/// Whether a character belongs to a script that is written from right to left.
pub const fn is_right_to_left(character: char) -> bool {
    matches!(
        character,
        '\u{590}'..='\u{8ff}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}'
            | '\u{1e800}'..='\u{1efff}'
    )
}

/// Whether a text as a whole reads from right to left: its first letter decides.
pub fn reads_right_to_left(text: impl IntoIterator<Item = char>) -> bool {
    let is_strong = |&character: &char| {
        matches!(character, LEFT_TO_RIGHT_MARK | RIGHT_TO_LEFT_MARK)
            || character.is_alphabetic()
            || is_right_to_left(character)
    };
    let first = text.into_iter().find(is_strong);
    first.is_some_and(|first| first == RIGHT_TO_LEFT_MARK || is_right_to_left(first))
}

/// Part of a text as one line of its own that keeps the direction of the whole text.
pub fn directed(mut line: Vec<TextRun>, right_to_left: bool) -> Vec<TextRun> {
    let own = reads_right_to_left(line.iter().flat_map(|run| run.text.chars()));
    if let Some(first) = line.first_mut().filter(|_| own != right_to_left) {
        let mark = if right_to_left { RIGHT_TO_LEFT_MARK } else { LEFT_TO_RIGHT_MARK };
        first.text.insert(0, mark);
    }
    line
}

/// A head in short: "L1 H6" is head 6 of layer 1, both counted from 0.
pub fn head_name(layer: u32, head: u32) -> String {
    format!("L{layer} H{head}")
}

/// A number with three significant digits, counted from the magnitude of `largest`, the larger end of its range.
pub fn number(value: f64, largest: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let magnitude = if largest.abs() > 0.0 { largest.abs().log10().floor() } else { 0.0 };
    let text = if (-5.0..4.0).contains(&magnitude) {
        let decimals = (2.0 - magnitude).clamp(0.0, 7.0) as usize;
        // Attention is compared in thousandths: never fewer than three decimals below 1.
        let decimals = if magnitude < 0.0 { decimals.max(3) } else { decimals };
        format!("{value:.decimals$}")
    } else if value == 0.0 {
        "0".into()
    } else {
        format!("{value:.2e}")
    };
    let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if is_zero { text.replace('-', "") } else { text.replace('-', "−") }
}

/// A number with so many decimals and a true minus sign; what rounds to 0 has no sign.
pub fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    text.replace('-', if is_zero { "" } else { "−" })
}

/// A count with a comma between groups of three digits: "10,000".
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text that begins with a capital letter.
pub fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// A change: as [`decimal`], with a plus sign where it is positive.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = decimal(value, decimals);
    let is_positive = text.chars().any(|c| matches!(c, '1'..='9')) && !text.starts_with('−');
    if is_positive { format!("+{text}") } else { text }
}

/// A share as a percentage. What rounds to 0 has no sign, and a positive share is never "0 %".
pub fn percent(share: f64, decimals: usize) -> String {
    let text = decimal(share * 100.0, decimals);
    if share > 0.0 && text.chars().all(|c| matches!(c, '0' | '.')) {
        let least = 0.1_f64.powi(decimals as i32);
        return format!("< {least:.decimals$} %");
    }
    format!("{text} %")
}

/// "0.000–0.184"; "−0.050 to 0.050" if a minus sign would be next to the dash.
pub fn range_text([low, high]: [f64; 2]) -> String {
    let largest = low.abs().max(high.abs());
    let (low, high) = (number(low, largest), number(high, largest));
    if low.starts_with('−') || high.starts_with('−') {
        format!("{low} to {high}")
    } else {
        format!("{low}–{high}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_of_the_larger_end() {
        assert_eq!(range_text([0.0, 0.1841]), "0.000–0.184");
        assert_eq!(range_text([0.000_012, 0.002_134]), "0.00001–0.00213");
        assert_eq!(range_text([-0.05, 0.05]), "−0.0500 to 0.0500");
        assert_eq!(range_text([0.0, 6.3561]), "0.00–6.36");
        assert_eq!(range_text([0.0, 3.0e-8]), "0–3.00e−8");
        assert_eq!(number(-0.0001, 5.0), "0.00");
    }

    #[test]
    fn a_percentage_has_no_sign_at_zero_and_hides_no_share() {
        for (share, decimals, text) in [
            (0.123, 1, "12.3 %"),
            (0.0, 1, "0.0 %"),
            (-0.0, 1, "0.0 %"),
            (-1e-9, 0, "0 %"),
            (-0.25, 0, "−25 %"),
            (1e-5, 1, "< 0.1 %"),
            (0.004, 0, "< 1 %"),
        ] {
            assert_eq!(percent(share, decimals), text);
        }
        for (value, text) in [(-0.001, "0.00"), (0.001, "0.00"), (-0.25, "−0.25"), (2.0, "+2.00")]
        {
            assert_eq!(signed(value, 2), text);
        }
    }
}
