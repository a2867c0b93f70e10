//! The quantities of the layer × head matrix: one number for each layer and head.

use super::figure::number;

named! {
    /// One number for each layer and head, folded over the chosen queries.
    Quantity {
        /// Share of the attention on the picture × (1 − entropy / ln N): high for a head that attends to few patches.
        #[default]
        Focus = "focus",
        /// Sum of the attention on all patches.
        ImageShare = "image-share",
        /// Largest attention on a patch.
        Peak = "peak",
        /// Entropy in nats of the attention on the patches, normalised to sum 1.
        Entropy = "entropy",
        /// Sum of the attention on the patches inside the chosen object.
        Inside = "inside",
        /// Sum of the attention on the question.
        QuestionShare = "question-share",
        /// Share of the first map's attention on the picture minus that of the second map.
        Change = "change",
        /// Change of the answer's log-probability with the head switched off.
        Effect = "effect",
        /// LVLM-Interpret: mean attention on a patch.
        ImageToAnswer = "image-to-answer",
        /// LVLM-Interpret: mean attention on a question position.
        QuestionToAnswer = "question-to-answer",
    }
}

/// The unit in which a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number without a unit.
    One,
    /// A share, written in percent.
    Percent,
    /// A difference of shares, written in percentage points.
    Points,
    /// Nats.
    Nats,
    /// A difference of log-probabilities.
    LogProbability,
}

impl Unit {
    /// The factor from a value to the number that is written.
    pub const fn factor(self) -> f64 {
        match self {
            Self::Percent | Self::Points => 100.0,
            Self::One | Self::Nats | Self::LogProbability => 1.0,
        }
    }

    /// The text after a number, with its space.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Percent => " %",
            Self::Points => " points",
            Self::Nats => " nats",
            Self::One | Self::LogProbability => "",
        }
    }

    /// A value as text, with as many digits as `largest`, the larger end of its range, needs: "4.1 %".
    pub fn text(self, value: f64, largest: f64) -> String {
        let [value, largest] = [value, largest].map(|value| value * self.factor());
        format!("{}{}", number(value, largest), self.suffix())
    }
}

impl Quantity {
    /// The unit of its numbers.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Focus | Self::ImageToAnswer | Self::QuestionToAnswer => Unit::One,
            Self::ImageShare | Self::Peak | Self::Inside | Self::QuestionShare => Unit::Percent,
            Self::Change => Unit::Points,
            Self::Entropy => Unit::Nats,
            Self::Effect => Unit::LogProbability,
        }
    }

    /// Whether its numbers have two signs about a 0 that means "no effect".
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::Change | Self::Effect)
    }

    /// Whether it is a number of patches, so that the trace needs a picture.
    pub const fn needs_patches(self) -> bool {
        !matches!(self, Self::QuestionShare | Self::QuestionToAnswer | Self::Effect)
    }

    /// The description in a caption.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Focus => "share of the picture × (1 − entropy / ln N)",
            Self::ImageShare => "sum over the picture",
            Self::Peak => "largest patch",
            Self::Entropy => "over the patches",
            Self::Inside => "share inside the object",
            Self::QuestionShare => "sum over the question",
            Self::Change => "share of the picture, first − second",
            Self::Effect => "Δ log p with the head off",
            Self::ImageToAnswer => "mean per patch",
            Self::QuestionToAnswer => "mean per question token",
        }
    }

    /// A value as text, with as many digits as `largest`, the larger end of its range, needs: "4.1 %".
    pub fn text(self, value: f32, largest: f32) -> String {
        self.unit().text(f64::from(value), f64::from(largest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_their_unit() {
        assert_eq!(Quantity::ImageShare.text(0.5312, 0.99), "53.1 %");
        assert_eq!(Quantity::Entropy.text(2.5, 4.0), "2.50 nats");
        assert_eq!(Quantity::Change.text(-0.05, 0.2), "−5.0 points");
        assert_eq!(Quantity::Focus.text(0.25, 0.5), "0.250");
    }
}
