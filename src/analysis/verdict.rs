//! Whether a word of the answer is grounded in the picture.
//!
//! Two measurements are combined. Relevancy says how much of what the word depends on lies on the picture. An
//! experiment says what happens without the picture: every patch is replaced by the picture's mean colour, and the same
//! answer is scored again. The experiment decides, because a map alone proves nothing; without it there is no verdict.

use super::inside::Inside;
use super::methods::Method;
use super::relevancy::{Reliance, mean_row, without_punctuation};
use crate::trace::{AnswerIndex, ImageSpan, Trace};
use serde::{Deserialize, Serialize};

/// The limits of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// Least share of relevancy on the picture of a grounded word, 0–1.
    pub picture_share: f32,
    /// Largest part of its probability that a grounded word keeps without the picture, 0–1.
    pub needs_picture: f32,
    /// A word that keeps at least this part of its probability is not grounded, 0–1.
    pub keeps_probability: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { picture_share: 0.2, needs_picture: 0.5, keeps_probability: 0.9 }
    }
}

impl Thresholds {
    /// The same limits within 0–1, the upper one of the probability not below the lower one.
    #[must_use]
    pub fn checked(self) -> Self {
        let limit = |value: f32, default: f32| {
            if value.is_finite() { value.clamp(0.0, 1.0) } else { default }
        };
        let plain = Self::default();
        let needs_picture = limit(self.needs_picture, plain.needs_picture);
        Self {
            picture_share: limit(self.picture_share, plain.picture_share),
            needs_picture,
            keeps_probability: limit(self.keeps_probability, plain.keeps_probability)
                .max(needs_picture),
        }
    }
}

/// Measurements of a word.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Share of its relevancy on the picture, 0–1.
    pub picture_share: Option<f32>,
    /// Share of its relevancy inside the marked object, 0–1; `None` if no object is asked about.
    pub object_share: Option<f32>,
    /// Its probability in the answer.
    pub probability: Option<f32>,
    /// Its probability without the picture.
    pub blank_probability: Option<f32>,
}

/// The judgement about a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It needs the picture, and relevancy lies on the picture.
    Grounded,
    /// It needs the picture in part, or it needs it although little relevancy lies on it.
    Partly,
    /// It is as probable without the picture.
    NotGrounded,
}

impl Verdict {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grounded => "grounded",
            Self::Partly => "partly grounded",
            Self::NotGrounded => "not grounded",
        }
    }
}

impl Evidence {
    /// The evidence about a word of some answer tokens, of which punctuation does not count; `inside` is the marked
    /// object.
    pub fn of_word(trace: &Trace, tokens: &[AnswerIndex], inside: Option<&Inside>) -> Self {
        let tokens = without_punctuation(trace, tokens);
        let probability = |logprobs: &[f32]| {
            let of = |token: &AnswerIndex| logprobs.get(token.index()).copied();
            tokens.iter().map(of).sum::<Option<f32>>().map(f32::exp).filter(|p| p.is_finite())
        };
        let row = tokens
            .iter()
            .all(|&token| trace.has_map_row(Method::LLM.tensor, token))
            .then(|| mean_row(trace, Method::LLM.tensor, &tokens))
            .flatten();
        let picture_share = row.as_ref().map(|row| Reliance::from_row(row, trace).picture);
        let object_share = row.zip(inside).map(|(row, inside)| {
            let patches = trace.meta().spans.iter().flat_map(ImageSpan::keys);
            let map: Vec<f32> = patches.map(|key| row.get(key).copied().unwrap_or(0.0)).collect();
            let total: f32 = row.iter().sum();
            if total > 0.0 { (inside.sum(&map) / f64::from(total)) as f32 } else { 0.0 }
        });
        Self {
            picture_share,
            object_share,
            probability: probability(&trace.answer_logprobs()),
            blank_probability: trace.blank_logprobs().as_deref().and_then(probability),
        }
    }

    /// The part of its probability that the word keeps without the picture; more than 1 if the picture speaks against
    /// the word.
    pub fn kept(&self) -> Option<f32> {
        let (before, blank) = (self.probability?, self.blank_probability?);
        Some(blank / before.max(f32::MIN_POSITIVE))
    }

    /// The names of the measurements that a verdict lacks.
    pub fn missing(&self) -> Vec<&'static str> {
        let lacks = [
            (self.picture_share.is_none(), "the relevancy of the word"),
            (self.probability.is_none(), "the probability of the word"),
            (self.blank_probability.is_none(), "its probability without the picture"),
        ];
        lacks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, name)| name).collect()
    }

    /// The verdict; `None` without both measurements.
    pub fn verdict(&self, thresholds: &Thresholds) -> Option<Verdict> {
        let (share, kept) = (self.picture_share?, self.kept()?);
        Some(if kept >= thresholds.keeps_probability {
            Verdict::NotGrounded
        } else if kept <= thresholds.needs_picture && share >= thresholds.picture_share {
            Verdict::Grounded
        } else {
            Verdict::Partly
        })
    }

    /// Both numbers and what follows from them, as a sentence: "53 % of relevancy on the picture; probability stays
    /// 1.00 when the picture is blank → not grounded".
    pub fn sentence(&self, thresholds: &Thresholds) -> String {
        let mut parts = Vec::new();
        if let Some(share) = self.picture_share {
            let mut part = format!("{:.0} % of relevancy on the picture", share * 100.0);
            if let Some(object) = self.object_share {
                part.push_str(&format!(" ({:.0} % inside the object)", object * 100.0));
            }
            parts.push(part);
        }
        if let (Some(before), Some(blank)) = (self.probability, self.blank_probability) {
            /// Smaller probabilities would both be 0.00.
            const LEAST: f32 = 0.005;
            let is_small = before < LEAST && blank < LEAST;
            let logs = [before, blank].map(|p| format!("{:.1}", p.ln()).replace('-', "−"));
            let [before, blank] = [before, blank].map(|p| format!("{p:.2}"));
            parts.push(if is_small {
                let [before, blank] = logs;
                format!("log p {before} → {blank} when the picture is blank")
            } else if before == blank {
                format!("probability stays {before} when the picture is blank")
            } else {
                format!("probability {before} → {blank} when the picture is blank")
            });
        }
        match self.verdict(thresholds) {
            Some(verdict) => format!("{} → {}", parts.join("; "), verdict.name()),
            None => {
                parts.push(format!("not measured: {}", self.missing().join(", ")));
                parts.join("; ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    fn evidence(share: f32, before: f32, blank: f32) -> Evidence {
        Evidence {
            picture_share: Some(share),
            object_share: None,
            probability: Some(before),
            blank_probability: Some(blank),
        }
    }

    #[test]
    fn the_experiment_decides() {
        let limits = Thresholds::default();
        let verdict = |share, before, blank| evidence(share, before, blank).verdict(&limits);
        assert_eq!(verdict(0.53, 1.0, 1.0), Some(Verdict::NotGrounded));
        assert_eq!(verdict(0.53, 0.9, 0.1), Some(Verdict::Grounded));
        assert_eq!(verdict(0.05, 0.9, 0.1), Some(Verdict::Partly), "relevancy is elsewhere");
        assert_eq!(verdict(0.53, 0.9, 0.7), Some(Verdict::Partly));
        // The picture speaks against the word.
        assert_eq!(verdict(0.53, 0.1, 0.9), Some(Verdict::NotGrounded));
        let stricter = Thresholds { picture_share: 0.6, ..limits };
        assert_eq!(evidence(0.53, 0.9, 0.1).verdict(&stricter), Some(Verdict::Partly));
    }

    #[test]
    fn there_is_no_verdict_without_its_experiment() {
        let limits = Thresholds::default();
        let alone = Evidence { picture_share: Some(0.5), ..Evidence::default() };
        assert_eq!(alone.verdict(&limits), None);
        let text = alone.sentence(&limits);
        assert!(
            text.contains("50 % of relevancy") && text.contains("without the picture"),
            "{text}"
        );
        assert_eq!(alone.missing().len(), 2);
    }

    #[test]
    fn a_sentence_has_both_numbers() {
        let limits = Thresholds::default();
        assert_eq!(
            evidence(0.53, 1.0, 1.0).sentence(&limits),
            "53 % of relevancy on the picture; probability stays 1.00 when the picture is blank → not grounded"
        );
        let small = evidence(0.53, 1e-7, 1e-6).sentence(&limits);
        assert!(small.contains("log p −16.1 → −13.8 when the picture is blank"), "{small}");
        let object = Evidence { object_share: Some(0.4), ..evidence(0.53, 0.98, 0.02) };
        assert_eq!(
            object.sentence(&limits),
            "53 % of relevancy on the picture (40 % inside the object); probability 0.98 → 0.02 when the picture is blank → grounded"
        );
    }

    #[test]
    fn probabilities_of_a_word_are_products_over_its_tokens() {
        let geometry = Geometry::named("small").unwrap();
        let trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let generated = trace.shape().generated;
        let blank: Vec<f32> = (0..generated).map(|at| -(at as f32)).collect();
        let trace = trace.with_blank_logprobs(&blank).unwrap();
        let tokens = [AnswerIndex(1), AnswerIndex(2)];
        let found = Evidence::of_word(&trace, &tokens, None);
        assert!((found.blank_probability.unwrap() - (-3.0_f32).exp()).abs() < 1e-6);
        let own: f32 = trace.answer_logprobs()[1..3].iter().sum();
        assert!((found.probability.unwrap() - own.exp()).abs() < 1e-6);
    }

    #[test]
    fn limits_from_a_file_are_brought_within_bounds() {
        let odd =
            Thresholds { picture_share: 7.0, needs_picture: 0.8, keeps_probability: f32::NAN };
        let checked = odd.checked();
        assert_eq!((checked.picture_share, checked.needs_picture), (1.0, 0.8));
        assert_eq!(checked.keeps_probability, 0.9);
        let crossed = Thresholds { needs_picture: 0.8, keeps_probability: 0.3, ..odd }.checked();
        assert_eq!(crossed.keeps_probability, 0.8);
    }
}
