//! Round numbers for the ticks of an axis.

use super::text::{decimal, number};

/// Numbers of an axis that are all smaller are written with an exponent.
const LEAST: f64 = 1e-5;

/// Round numbers within a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ticks {
    /// The numbers, ascending; none for a range without a width.
    pub values: Vec<f64>,
    step: f64,
    has_exponent: bool,
}

impl Ticks {
    /// At most about `most` numbers.
    pub fn new([low, high]: [f64; 2], most: usize) -> Self {
        let span = high - low;
        if !span.is_finite() || span <= 0.0 || most == 0 {
            return Self::default();
        }
        let rough = span / most as f64;
        let power = 10.0_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let values = (first..=last).map(|at| at as f64 * step).collect();
        Self { values, step, has_exponent: low.abs().max(high.abs()) < LEAST }
    }

    /// A number with as many decimals as the step between two needs: neighbours never have the same text.
    pub fn text(&self, value: f64) -> String {
        if self.step <= 0.0 {
            return number(value, value);
        }
        let place = self.step.log10().floor();
        if self.has_exponent && value.abs() > 0.5 * self.step {
            let digits = (value.abs().log10().floor() - place).max(0.0) as usize;
            return format!("{value:.digits$e}").replace('-', "−");
        }
        decimal(value, if self.has_exponent { 0 } else { (-place).max(0.0) as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(range: [f64; 2], most: usize) -> Vec<String> {
        let ticks = Ticks::new(range, most);
        ticks.values.iter().map(|value| ticks.text(*value)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(Ticks::new([0.0, 1.0], 5).values, [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(texts([-3.2, 11.0], 4), ["0", "5", "10"]);
        assert_eq!(texts([0.0, 100.0], 5), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(Ticks::new([-0.3, 0.3], 5).values.len(), 3);
        assert_eq!(Ticks::new([1.0, 1.0], 5), Ticks::default());
        assert_eq!(Ticks::new([f64::NAN, 1.0], 5), Ticks::default());
    }

    #[test]
    fn a_narrow_range_far_from_zero_has_different_texts() {
        assert_eq!(texts([-1.8429, -1.8391], 4), ["−1.842", "−1.841", "−1.840"]);
        assert_eq!(texts([0.013, 0.019], 3), ["0.014", "0.016", "0.018"]);
        assert_eq!(texts([0.0, 7e-9], 3), ["0", "5e−9"]);
        for (low, span) in [(1.0, 3e-8), (1234.5, 0.02), (0.0, 7e-9), (-5e6, 40.0)] {
            let texts = texts([low, low + span], 5);
            let mut different = texts.clone();
            different.dedup();
            assert_eq!(texts, different);
        }
    }
}
