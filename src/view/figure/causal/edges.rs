//! The edges of the causal tree: lines that keep clear of the other nodes, with a mark at each end.

use super::super::pieces::Pieces;
use super::super::tree_layout::CROP;
use super::super::{Ink, PixelRect, Stroke};
use crate::analysis::causal::Mark;
use crate::view::{CausalTree, TreeEdge, ViewState};

/// Widths of edges between distances and of other edges.
pub(super) const BRANCH: f32 = 2.0;
const OTHER: f32 = 1.1;
/// Number of edges outside of the tree from which on they are fainter, and the least strength that is left: lines that
/// cross everywhere would hide the tree.
const CLEAR: f32 = 24.0;
const LEAST_STRENGTH: f32 = 0.35;
/// An edge of few runs is still visible.
const LEAST_ALPHA: f32 = 0.18;
/// Length of an edge at which its marks have their full size, in units.
const SHORTEST: f32 = 26.0;
/// Distance of an edge from its node.
const CLEARANCE: f32 = 4.0;

impl Pieces {
    /// All edges of a tree whose nodes lie in `rects`.
    pub(super) fn add_edges(
        &mut self,
        state: &ViewState,
        tree: &CausalTree,
        rects: &[PixelRect],
        k: f32,
    ) {
        let hovered = state
            .hovered
            .and_then(|patch| tree.nodes.iter().position(|node| node.face.patch() == Some(patch)));
        let is_hovered = |edge: &TreeEdge| hovered.is_some_and(|node| edge.ends.contains(&node));
        // The edges of the tree are above the others, and those of the node under the pointer above all.
        let mut edges: Vec<&TreeEdge> = tree.edges.iter().collect();
        edges.sort_by(|a, b| {
            let key = |edge: &TreeEdge| (is_hovered(edge), edge.is_branch);
            let share = |edge: &TreeEdge| edge.share.unwrap_or(1.0);
            key(a).cmp(&key(b)).then(share(a).total_cmp(&share(b)))
        });
        let others = edges.iter().filter(|edge| !edge.is_branch).count();
        let strength = (CLEAR / others.max(1) as f32).clamp(LEAST_STRENGTH, 1.0);
        for edge in edges {
            let look = match (is_hovered(edge), edge.is_branch) {
                (true, _) => (BRANCH, Ink::Hover, 1.0),
                (false, true) => (BRANCH, Ink::Text, 1.0),
                (false, false) => (OTHER, Ink::Muted, strength),
            };
            self.add_edge(edge, rects, look, k);
        }
    }

    /// A line from one node to another with a mark at each end.
    fn add_edge(
        &mut self,
        edge: &TreeEdge,
        rects: &[PixelRect],
        (width, ink, strength): (f32, Ink, f32),
        k: f32,
    ) {
        let [a, b] = edge.ends.map(|end| rects[end]);
        let (from, to) = (a.centre(), b.centre());
        let others = || {
            let is_other = |(index, _): &(usize, &PixelRect)| !edge.ends.contains(index);
            rects.iter().enumerate().filter(is_other).map(|(_, rect)| rect)
        };
        if others().any(|rect| crosses(rect, from, to)) {
            let alpha = edge.share.map_or(1.0, |share| share.max(LEAST_ALPHA)) * strength;
            let look = Look { width: (width * k).max(1.0), ink, alpha, k: 0.8 * k };
            let ways = BENDS.map(|bend| bent(from, to, bend * CROP * k));
            let is_free = |way: &&Vec<[f32; 2]>| {
                let mut parts = way.windows(2);
                parts.all(|part| !others().any(|rect| crosses(rect, part[0], part[1])))
            };
            let way = ways.iter().find(is_free).unwrap_or(&ways[0]);
            return self.add_bent(edge.marks, way, [a, b], look);
        }
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let length = dx.hypot(dy);
        if length < 1.0 {
            return;
        }
        let along = [dx / length, dy / length];
        let out = |rect: &PixelRect| {
            let half = [rect.width / 2.0 + CLEARANCE * k, rect.height / 2.0 + CLEARANCE * k];
            let reach = |axis: usize| half[axis] / along[axis].abs().max(1e-6);
            reach(0).min(reach(1))
        };
        let (start, end) = (out(&a), length - out(&b));
        if end - start < 4.0 * k {
            return;
        }
        let at = |distance: f32| [from[0] + along[0] * distance, from[1] + along[1] * distance];
        let look = Look {
            width: (width * k).max(1.0),
            ink,
            alpha: edge.share.map_or(1.0, |share| share.max(LEAST_ALPHA)) * strength,
            // Marks of a short edge do not touch each other.
            k: if edge.is_branch { k } else { 0.8 * k }.min((end - start) / SHORTEST),
        };
        let back = along.map(|one| -one);
        let (start, end) = (start + look.inset(edge.marks[0]), end - look.inset(edge.marks[1]));
        self.strokes.push(look.line(at(start), at(end)));
        look.add_mark(
            &mut self.strokes,
            edge.marks[0],
            at(start - look.inset(edge.marks[0])),
            back,
        );
        look.add_mark(&mut self.strokes, edge.marks[1], at(end + look.inset(edge.marks[1])), along);
    }

    /// A curve from one node to another, as points, with a mark at each end.
    fn add_bent(&mut self, marks: [Mark; 2], way: &[[f32; 2]], ends: [PixelRect; 2], look: Look) {
        let near = ends.map(|rect| grown(rect, CLEARANCE * look.k));
        let is_out = |point: &&[f32; 2]| near.iter().all(|rect| !holds(rect, **point));
        let points: Vec<[f32; 2]> = way.iter().filter(is_out).copied().collect();
        let ([first, second, ..], [.., before, last]) = (&points[..], &points[..]) else { return };
        let ends = [
            (marks[0], *first, direction(*second, *first)),
            (marks[1], *last, direction(*before, *last)),
        ];
        self.strokes.extend(points.windows(2).map(|part| look.line(part[0], part[1])));
        for (mark, end, along) in ends {
            look.add_mark(&mut self.strokes, mark, end, along);
        }
    }
}

/// The look of an edge.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub width: f32,
    pub ink: Ink,
    pub alpha: f32,
    /// Pixels per unit of a mark.
    pub k: f32,
}

impl Look {
    /// Radius of a circle, length and half width of an arrow, half length of a bar, in units.
    const CIRCLE: f32 = 4.5;
    const ARROW: [f32; 2] = [10.0, 5.0];
    const BAR: f32 = 6.0;

    pub fn line(&self, from: [f32; 2], to: [f32; 2]) -> Stroke {
        Stroke { from, to, width: self.width, ink: self.ink, alpha: self.alpha }
    }

    /// The length at the end of an edge that its mark takes up.
    pub fn inset(&self, mark: Mark) -> f32 {
        match mark {
            Mark::Circle => 2.0 * Self::CIRCLE * self.k,
            Mark::Head => self.width,
            Mark::Tail => 0.0,
        }
    }

    /// The mark at an end of an edge that runs in direction `along`.
    pub fn add_mark(&self, strokes: &mut Vec<Stroke>, mark: Mark, end: [f32; 2], along: [f32; 2]) {
        let at = |back: f32, side: f32| {
            let [back, side] = [back * self.k, side * self.k];
            [end[0] - along[0] * back - along[1] * side, end[1] - along[1] * back + along[0] * side]
        };
        match mark {
            Mark::Head => {
                let [length, half] = Self::ARROW;
                let tip = [end[0] - along[0] * self.width, end[1] - along[1] * self.width];
                strokes.push(self.line(tip, at(length, half)));
                strokes.push(self.line(tip, at(length, -half)));
            }
            Mark::Tail => strokes.push(self.line(at(0.0, Self::BAR), at(0.0, -Self::BAR))),
            Mark::Circle => {
                let centre = at(Self::CIRCLE, 0.0);
                let outer = 2.0 * Self::CIRCLE * self.k;
                let disc = self.line(centre, centre);
                strokes.push(Stroke { width: outer, ..disc });
                let inner = (outer - 2.0 * self.width).max(1.0);
                strokes.push(Stroke { width: inner, ink: Ink::Background, alpha: 1.0, ..disc });
            }
        }
    }
}

/// Sides and strengths of a bend, in crops, in the order in which they are tried.
const BENDS: [f32; 4] = [0.8, -0.8, 1.5, -1.5];
/// Points of a bent edge.
const BENT_POINTS: usize = 25;

/// A curve between two points that passes at `by` pixels beside the middle of the straight line.
fn bent(from: [f32; 2], to: [f32; 2], by: f32) -> Vec<[f32; 2]> {
    let [dx, dy] = direction(from, to);
    let control =
        [(from[0] + to[0]) / 2.0 - 2.0 * by * dy, (from[1] + to[1]) / 2.0 + 2.0 * by * dx];
    let point = |index: usize| {
        let t = index as f32 / (BENT_POINTS - 1) as f32;
        let of = |axis: usize| {
            let u = 1.0 - t;
            u * u * from[axis] + 2.0 * u * t * control[axis] + t * t * to[axis]
        };
        [of(0), of(1)]
    };
    (0..BENT_POINTS).map(point).collect()
}

/// The direction from one point to another, of length 1.
fn direction(from: [f32; 2], to: [f32; 2]) -> [f32; 2] {
    let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    let length = dx.hypot(dy).max(1e-6);
    [dx / length, dy / length]
}

fn grown(rect: PixelRect, by: f32) -> PixelRect {
    PixelRect::from_edges(rect.x - by, rect.y - by, rect.right() + by, rect.bottom() + by)
}

fn holds(rect: &PixelRect, [x, y]: [f32; 2]) -> bool {
    (rect.x..=rect.right()).contains(&x) && (rect.y..=rect.bottom()).contains(&y)
}

/// Whether a line between two points has a part inside a rectangle.
fn crosses(rect: &PixelRect, from: [f32; 2], to: [f32; 2]) -> bool {
    let (mut first, mut last) = (0.0_f32, 1.0_f32);
    for (axis, [low, high]) in
        [[rect.x, rect.right()], [rect.y, rect.bottom()]].into_iter().enumerate()
    {
        let by = to[axis] - from[axis];
        if by.abs() < 1e-6 {
            if from[axis] <= low || from[axis] >= high {
                return false;
            }
            continue;
        }
        let [a, b] = [(low - from[axis]) / by, (high - from[axis]) / by];
        (first, last) = (first.max(a.min(b)), last.min(a.max(b)));
    }
    first < last
}
