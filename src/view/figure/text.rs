//! Text of a figure: runs of one weight, and numbers.

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
}
