//! Marks on answers that are no plain answers of the open model to the picture as it was given.

use crate::trace::{PositionCheck, TraceMeta};

/// A property that sets an answer apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badge {
    /// Its picture was edited, or patches were blanked.
    Edited,
    /// It was given and only scored.
    Scored,
    /// Heads were switched off, or attention was cut, while the model answered.
    Ablated,
    /// Attention was turned towards an area, or away from it, while the model answered.
    Steered,
    /// It continues a conversation.
    FollowUp,
    /// Another model than the open one gave it.
    OtherModel,
    /// Its patches may not lie where the maps are drawn.
    Misplaced,
}

impl Badge {
    /// Its text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Scored => "scored",
            Self::Ablated => "ablated",
            Self::Steered => "steered",
            Self::FollowUp => "follow-up",
            Self::OtherModel => "other model",
            Self::Misplaced => "places uncertain",
        }
    }

    /// Its meaning.
    pub fn hint(self, meta: &TraceMeta) -> String {
        match self {
            Self::Edited => {
                "The picture was edited, or patches were blanked, before the question was asked."
                    .into()
            }
            Self::Scored => "This answer was given; the model only scored it.".into(),
            Self::Ablated => {
                "Heads were switched off, or attention was cut, while the model answered.".into()
            }
            Self::Steered => {
                "Attention was turned towards an area, or away from it, while the model answered."
                    .into()
            }
            Self::FollowUp => {
                "The model saw the earlier questions and answers of the conversation.".into()
            }
            Self::OtherModel => {
                format!("{} gave this answer, not the model that is open.", meta.model.name)
            }
            Self::Misplaced => {
                let check = meta.provenance.position_check.as_ref();
                let found = check.and_then(PositionCheck::summary).unwrap_or_default();
                format!("Of this model, {found}.")
            }
        }
    }
}

/// The badges of an answer. `is_edited`: its picture was edited in the window; `open_sha`: the hash of the open model.
pub fn badges(meta: &TraceMeta, is_edited: bool, open_sha: Option<&str>) -> Vec<Badge> {
    let request = meta.provenance.request.as_ref();
    let is_changed = meta.provenance.model_changed;
    let is_steered = meta.provenance.steered;
    let is_blanked = request.is_some_and(|request| request.is_altered) && !is_changed;
    let is_follow_up = meta.tokens.last().is_some_and(|token| token.turn > 0);
    let check = meta.provenance.position_check.as_ref();
    let is_misplaced = check.is_some_and(PositionCheck::has_failed);
    let all = [
        (is_edited || is_blanked, Badge::Edited),
        (meta.sampling.forced, Badge::Scored),
        (is_changed && !is_steered, Badge::Ablated),
        (is_steered, Badge::Steered),
        (is_follow_up, Badge::FollowUp),
        (open_sha.is_some_and(|open| open != meta.model.bundle_sha), Badge::OtherModel),
        (is_misplaced, Badge::Misplaced),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, badge)| badge).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_steered_answer_has_a_badge_of_its_own() {
        let mut meta = TraceMeta::default();
        meta.provenance.model_changed = true;
        assert_eq!(badges(&meta, false, None), [Badge::Ablated]);
        meta.provenance.steered = true;
        assert_eq!(badges(&meta, false, None), [Badge::Steered]);
    }

    #[test]
    fn a_painting_test_that_failed_is_a_badge() {
        let mut meta = TraceMeta::default();
        let mut check = PositionCheck {
            status: "passed".into(),
            cells: 8,
            hits: 8,
            ..PositionCheck::default()
        };
        meta.provenance.position_check = Some(check.clone());
        assert!(badges(&meta, false, None).is_empty());
        assert_eq!(check.summary().unwrap(), "the painting test found 8 of 8 cells at their place");
        (check.status, check.hits, check.pictures_apart) = ("failed".into(), 3, Some(false));
        meta.provenance.position_check = Some(check);
        assert_eq!(badges(&meta, false, None), [Badge::Misplaced]);
        assert_eq!(
            Badge::Misplaced.hint(&meta),
            "Of this model, the painting test found 3 of 8 cells at their place; it could not tell pictures apart: \
             maps may lie in the wrong place."
        );
        meta.provenance.position_check.as_mut().unwrap().status = "unplaced".into();
        assert!(badges(&meta, false, None).is_empty());
    }
}
