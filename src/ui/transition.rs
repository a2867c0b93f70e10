//! The short cross-fade of a jump.
//!
//! A scrub shows each map at once; a jump to another map fades for a tenth of a second, so that the viewer can
//! follow the change. The renderer's own mix of two maps draws the fade.

use crate::view::{MapChoice, Mix, Second};

const SECONDS: f64 = 0.1;

/// A fade that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    from: MapChoice,
    start: f64,
}

impl Transition {
    /// Fades away from a map, beginning at `now` (seconds of the program's clock).
    pub const fn new(from: MapChoice, now: f64) -> Self {
        Self { from, start: now }
    }

    /// The map to mix into the picture at `now`; `None` when the fade is over.
    pub fn at(&self, now: f64) -> Option<Second> {
        let t = (now - self.start) / SECONDS;
        if !(0.0..1.0).contains(&t) {
            return None;
        }
        let eased = t * t * (3.0 - 2.0 * t);
        let mix = Mix::CrossFade { amount: 1.0 - eased };
        Some(Second { trace: None, map: self.from.clone(), mix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fade_starts_at_the_old_map_and_ends() {
        let transition = Transition::new(MapChoice::default(), 5.0);
        let amount = |now: f64| match transition.at(now).map(|second| second.mix) {
            Some(Mix::CrossFade { amount }) => Some(amount),
            _ => None,
        };
        assert_eq!(amount(5.0), Some(1.0));
        assert!((amount(5.05).unwrap_or(0.0) - 0.5).abs() < 1e-6);
        assert_eq!(amount(5.11), None);
    }
}
