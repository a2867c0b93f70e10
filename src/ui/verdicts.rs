//! The look of verdicts: a colour and a sign, so that they can be told apart without colours.

use super::widgets::ink;
use crate::analysis::verdict::{Evidence, Thresholds, Verdict};
use crate::trace::AnswerIndex;
use egui::{Color32, Pos2, Shape, Stroke, Ui, Vec2};

/// A word of the answer with what was measured about it.
#[derive(Clone, Debug, PartialEq)]
pub struct WordEvidence {
    /// Text of the word.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<AnswerIndex>,
    /// The measurements.
    pub evidence: Evidence,
}

/// The verdicts of an answer, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Words that are grounded.
    pub grounded: usize,
    /// Words with a verdict.
    pub words: usize,
}

impl Counted {
    /// "2/7 grounded", for little room.
    pub fn short(self) -> String {
        format!("{}/{} grounded", self.grounded, self.words)
    }

    /// "2 of 7 grounded".
    pub fn text(self) -> String {
        format!("{} of {} grounded", self.grounded, self.words)
    }
}

/// Number of words of an answer that are grounded; `None` if no word has a verdict.
pub fn counted(words: &[WordEvidence], limits: &Thresholds) -> Option<Counted> {
    let verdicts: Vec<Verdict> =
        words.iter().filter_map(|word| word.evidence.verdict(limits)).collect();
    let grounded = verdicts.iter().filter(|verdict| **verdict == Verdict::Grounded).count();
    (!verdicts.is_empty()).then_some(Counted { grounded, words: verdicts.len() })
}

/// Draws the sign of a verdict: a full circle, a half and an empty one.
pub fn paint_sign(ui: &Ui, verdict: Verdict, centre: Pos2, radius: f32) {
    /// Corners of the half circle.
    const CORNERS: u32 = 24;
    let (painter, color) = (ui.painter(), color(ui, verdict));
    match verdict {
        Verdict::Grounded => {
            painter.circle_filled(centre, radius, color);
        }
        Verdict::Partly => {
            let corner = |at: u32| {
                let angle = std::f32::consts::PI * (0.5 + at as f32 / CORNERS as f32);
                centre + radius * Vec2::angled(angle)
            };
            let half = (0..=CORNERS).map(corner).collect();
            painter.add(Shape::convex_polygon(half, color, Stroke::NONE));
        }
        Verdict::NotGrounded => {}
    }
    painter.circle_stroke(centre, radius, Stroke::new(1.5, color));
}

/// The colour of a verdict: readable as text on the panels of the theme.
pub fn color(ui: &Ui, verdict: Verdict) -> Color32 {
    let is_dark = ui.visuals().dark_mode;
    let [r, g, b] = match (verdict, is_dark) {
        (Verdict::Grounded, true) => [0x6c, 0xcf, 0x95],
        (Verdict::Partly, true) => [0xe3, 0xb8, 0x55],
        (Verdict::NotGrounded, true) => [0xf2, 0x7d, 0x72],
        (Verdict::Grounded, false) => [0x1d, 0x74, 0x43],
        (Verdict::Partly, false) => [0x82, 0x58, 0x00],
        (Verdict::NotGrounded, false) => [0xae, 0x2b, 0x20],
    };
    Color32::from_rgb(r, g, b)
}

/// An answer as text of which each word has the colour of its verdict; the other text has the usual one.
pub fn colored_answer(
    ui: &Ui,
    answer: &str,
    words: &[WordEvidence],
    verdict_of: impl Fn(&Evidence) -> Option<Verdict>,
    font: egui::FontId,
) -> egui::text::LayoutJob {
    let mut job = egui::text::LayoutJob::default();
    let plain = ink(ui).text;
    let mut rest = answer;
    for word in words {
        let (Some(at), Some(verdict)) = (rest.find(&word.text), verdict_of(&word.evidence)) else {
            continue;
        };
        let (before, after) = rest.split_at(at);
        let (own, after) = after.split_at(word.text.len());
        job.append(before, 0.0, egui::TextFormat::simple(font.clone(), plain));
        job.append(own, 0.0, egui::TextFormat::simple(font.clone(), color(ui, verdict)));
        rest = after;
    }
    job.append(rest, 0.0, egui::TextFormat::simple(font, plain));
    job
}
