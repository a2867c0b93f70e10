//! The key of the causal view: the colours of distances, and what marks and lines mean.

use super::super::pieces::{KEY, KEY_LINE, Pieces};
use super::super::{CONTOURS, Fill, Ink, PixelRect, fitted};
use super::edges::{BRANCH, Look};
use crate::analysis::causal::Mark;
use crate::view::{CausalTree, Theme};

/// The colour of a distance: the nearest has the most contrast with the surroundings.
pub fn causal_ink(theme: Theme, depth: usize) -> Ink {
    const ON_LIGHT: [f32; CONTOURS] = [0.3, 0.48, 0.62, 0.74];
    let step = depth.saturating_sub(1).min(CONTOURS - 1);
    match theme {
        Theme::Dark => Ink::Contour(CONTOURS - 1 - step),
        Theme::Light => Ink::Map(ON_LIGHT[step]),
    }
}

/// A line of the key.
pub(super) enum KeyLine {
    /// The colours of distances from 1 to this.
    Depths(Theme, usize),
    /// A mark and its meaning.
    Mark(Mark, &'static str),
    /// A sentence.
    Text(String),
}

pub(super) fn key_lines(tree: &CausalTree, theme: Theme) -> Vec<KeyLine> {
    let mut lines = Vec::new();
    if tree.deepest > 0 {
        lines.push(KeyLine::Depths(theme, tree.radius.min(tree.deepest)));
    }
    let has = |mark: Mark| tree.edges.iter().any(|edge| edge.marks.contains(&mark));
    let meanings = [
        (Mark::Head, "this end is no cause of the other"),
        (Mark::Tail, "this end is a cause of the other"),
        (Mark::Circle, "not decided"),
    ];
    lines.extend(
        meanings
            .into_iter()
            .filter(|(mark, _)| has(*mark))
            .map(|(mark, text)| KeyLine::Mark(mark, text)),
    );
    if tree.edges.iter().any(|edge| !edge.is_branch) {
        lines.push(KeyLine::Text("Thick: to the node above; thin: other edges".into()));
    }
    if tree.runs > 0 && !tree.edges.is_empty() {
        let text = format!("Opacity: share of {} graphs with this edge", tree.runs);
        lines.push(KeyLine::Text(text));
    }
    if tree.deepest == 0 {
        lines.push(KeyLine::Text("Nothing in this head explains the token".into()));
    }
    lines
}

impl Pieces {
    pub(super) fn add_key(&mut self, lines: &[KeyLine], [left, top]: [f32; 2], right: f32, s: f32) {
        for (index, line) in lines.iter().enumerate() {
            let middle = top + KEY_LINE * s * (index as f32 + 0.5);
            match line {
                KeyLine::Depths(theme, depths) => {
                    self.add_depths(*theme, *depths, [left, middle], s);
                }
                KeyLine::Mark(mark, text) => {
                    let look = Look { width: BRANCH * s, ink: Ink::Text, alpha: 1.0, k: s };
                    let end = left + 30.0 * s;
                    self.strokes.push(look.line([left, middle], [end - look.inset(*mark), middle]));
                    look.add_mark(&mut self.strokes, *mark, [end, middle], [1.0, 0.0]);
                    let text = fitted(text, false, (right - end) / (KEY * s) - 1.0);
                    self.add_note(&text, [end + 12.0 * s, middle], s);
                }
                KeyLine::Text(text) => {
                    let text = fitted(text, false, (right - left) / (KEY * s));
                    self.add_note(&text, [left, middle], s);
                }
            }
        }
    }

    /// "Distance" and the colour of each.
    fn add_depths(&mut self, theme: Theme, depths: usize, [left, middle]: [f32; 2], s: f32) {
        let mut x = self.add_note("Distance", [left, middle], s) + 14.0 * s;
        // Larger distances share the last colour.
        for depth in 1..=depths.min(CONTOURS) {
            let side = 12.0 * s;
            let rect = PixelRect { x, y: middle - side / 2.0, width: side, height: side };
            let fill = Fill { rect, ink: causal_ink(theme, depth), alpha: 1.0 };
            self.plates.push((rect, vec![fill], Vec::new()));
            let text = match depth == CONTOURS && depths > CONTOURS {
                true => format!("{depth}–{depths}"),
                false => depth.to_string(),
            };
            x = self.add_note(&text, [x + side + 6.0 * s, middle], s) + 14.0 * s;
        }
    }
}
