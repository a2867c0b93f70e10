//! The causal view: the picture with the patches of the explanation, and the radial tree around the answer token.

use super::super::{Backdrop, CausalTree, NodeFace, Theme, TreeEdge, TreeNode, ViewState};
use super::pieces::{KEY, KEY_LINE, Pieces, centred};
use super::rect::seen;
use super::tree_layout::{TreeLayout, TreeShape};
use super::{
    Align, CAP_HEIGHT, CONTOURS, Crop, Figure, Fill, Ink, Label, PixelRect, Stroke, TextRun,
    fitted, text_width,
};
use crate::analysis::causal::Mark;
use std::f32::consts::TAU;

/// Sides of a node with a crop, and height of a node with a word, in units of the tree.
const CROP: f32 = 54.0;
const WORD_HEIGHT: f32 = 30.0;
/// Type sizes of words and of the answer token.
const WORD: f32 = 17.0;
const TOKEN: f32 = 20.0;
/// Longest word before it is cut.
const MOST_WORD: f32 = 108.0;
const PADDING: f32 = 9.0;
/// Largest enlargement of a small tree.
const LARGEST: f32 = 1.9;
/// The part of a wide stage that the picture takes at most, and of a tall one.
const PICTURE_WIDTH: f32 = 0.37;
const PICTURE_HEIGHT: f32 = 0.36;
const GAP: f32 = 36.0;
/// Widths of edges between distances and of other edges.
const BRANCH: f32 = 2.0;
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
/// Type size of the number of a patch, the part of the height of its rectangle that it takes at most, and the size in
/// pixels below which it is left out.
const NUMBER: f32 = 12.0;
const NUMBER_SHARE: f32 = 0.32;
const LEAST_NUMBER: f32 = 7.0;
/// Number of lines that draw a ring.
const RING_PARTS: usize = 72;

/// Places the picture and the tree on the stage of a figure.
pub(super) fn place(
    figure: &mut Figure,
    state: &ViewState,
    picture: Option<Backdrop>,
    tree: &Result<Box<CausalTree>, String>,
) {
    let s = figure.scale;
    let whole = figure.stage;
    let tree_of = tree.as_ref().ok().map(|tree| (&**tree, Sized::new(tree)));
    let natural = tree_of.as_ref().map(|(_, sized)| sized.bounds());
    let key = match tree {
        Ok(tree) if state.legend => key_lines(tree, state.theme),
        _ => Vec::new(),
    };
    let places = Places::new(whole, picture.map(|one| one.aspect), natural, key.len(), s);
    let mut pieces = Pieces::default();
    if let (Some(backdrop), Some(rect)) = (picture, places.picture) {
        pieces.add_picture(state, backdrop, rect, tree.as_ref().ok().map(|tree| &**tree), s);
    }
    match (&tree_of, tree) {
        (Some((tree, sized)), _) => pieces.add_tree(state, tree, sized, &places),
        (None, Err(reason)) => pieces.add_reason(reason, places.tree, s),
        (None, Ok(_)) => {}
    }
    if let Some(at) = places.key {
        pieces.add_key(&key, at, whole.right(), s);
    }
    figure.content = seen(&whole, places.all, state.camera);
    pieces.put_on(figure, places.all);
}

/// The rectangles of the parts.
struct Places {
    picture: Option<PixelRect>,
    tree: PixelRect,
    /// Upper left corner.
    key: Option<[f32; 2]>,
    all: PixelRect,
    /// Pixels per unit of the tree, and per design unit.
    scale: f32,
    s: f32,
}

impl Places {
    /// Beside each other on a wide stage, below each other on a tall one; centred as one group.
    fn new(
        stage: PixelRect,
        aspect: Option<f32>,
        natural: Option<PixelRect>,
        key_lines: usize,
        s: f32,
    ) -> Self {
        let key_height = if key_lines > 0 { (KEY_LINE * key_lines as f32 + 14.0) * s } else { 0.0 };
        let scale_in = |room: [f32; 2]| {
            natural.map_or(s, |natural| {
                let [width, height] = [natural.width.max(1.0), natural.height.max(1.0)];
                (room[0] / width).min(room[1] / height).min(LARGEST * s)
            })
        };
        let size_at = |scale: f32, room: [f32; 2]| {
            natural.map_or(room, |natural| [natural.width * scale, natural.height * scale])
        };
        let Some(aspect) = aspect else {
            let room = [stage.width, (stage.height - key_height).max(1.0)];
            let scale = scale_in(room);
            let [width, height] = size_at(scale, room);
            let area = PixelRect { height: room[1], ..stage };
            let tree = centred(area, width, height);
            let key = (key_lines > 0).then(|| [stage.x, stage.bottom() - key_height + 8.0 * s]);
            return Self { picture: None, tree, key, all: stage, scale, s };
        };
        let gap = GAP * s;
        if stage.width >= 1.2 * stage.height {
            let picture_height = stage.height - key_height;
            let width = (stage.width * PICTURE_WIDTH).min(picture_height * aspect).max(1.0);
            let room = [(stage.width - width - gap).max(1.0), stage.height];
            let scale = scale_in(room);
            let [tree_width, tree_height] = size_at(scale, room);
            let left = stage.x + (stage.width - width - gap - tree_width).max(0.0) / 2.0;
            let height = width / aspect;
            let group = (height + key_height).min(stage.height);
            let top = stage.y + (stage.height - group) / 2.0;
            let picture = PixelRect { x: left, y: top, width, height };
            let area = PixelRect { x: picture.right() + gap, width: tree_width, ..stage };
            let tree = centred(area, tree_width, tree_height);
            let key = (key_lines > 0).then(|| [left, picture.bottom() + 14.0 * s]);
            return Self { picture: Some(picture), tree, key, all: stage, scale, s };
        }
        let height = (stage.height * PICTURE_HEIGHT).min(stage.width / aspect).max(1.0);
        let picture = centred(PixelRect { height, ..stage }, height * aspect, height);
        let area = PixelRect::from_edges(
            stage.x,
            picture.bottom() + gap,
            stage.right(),
            stage.bottom() - key_height,
        );
        let scale = scale_in([area.width, area.height]);
        let [width, height] = size_at(scale, [area.width, area.height]);
        let tree = centred(area, width, height);
        let key = (key_lines > 0).then(|| [stage.x, stage.bottom() - key_height + 8.0 * s]);
        Self { picture: Some(picture), tree, key, all: stage, scale, s }
    }
}

/// A tree with the sizes of its nodes, in units of the tree.
struct Sized {
    shapes: Vec<TreeShape>,
    layout: TreeLayout,
}

impl Sized {
    fn new(tree: &CausalTree) -> Self {
        let shape = |node: &TreeNode| TreeShape {
            parent: node.parent,
            depth: node.depth,
            size: match &node.face {
                NodeFace::Patch(_) => [CROP, CROP],
                NodeFace::Word(_) => [word_width(node) + 2.0 * PADDING, WORD_HEIGHT],
            },
        };
        let shapes: Vec<TreeShape> = tree.nodes.iter().map(shape).collect();
        let layout = TreeLayout::new(&shapes);
        Self { shapes, layout }
    }

    fn bounds(&self) -> PixelRect {
        self.layout.bounds(&self.shapes)
    }
}

/// Text and type size of a word; empty for a patch.
fn word_of(node: &TreeNode) -> (String, f32) {
    match &node.face {
        NodeFace::Patch(_) => (String::new(), WORD),
        NodeFace::Word(text) => {
            let size = if node.depth == 0 { TOKEN } else { WORD };
            (fitted(text, true, MOST_WORD / size), size)
        }
    }
}

fn word_width(node: &TreeNode) -> f32 {
    let (text, size) = word_of(node);
    (text_width(&text, true) * size).max(12.0)
}

/// The colour of a distance: the nearest has the most contrast with the surroundings.
pub fn causal_ink(theme: Theme, depth: usize) -> Ink {
    const ON_LIGHT: [f32; CONTOURS] = [0.3, 0.48, 0.62, 0.74];
    let step = depth.saturating_sub(1).min(CONTOURS - 1);
    match theme {
        Theme::Dark => Ink::Contour(CONTOURS - 1 - step),
        Theme::Light => Ink::Map(ON_LIGHT[step]),
    }
}

/// The colour of a node's border.
fn border_of(state: &ViewState, node: &TreeNode) -> Ink {
    let patch = node.face.patch();
    if patch.is_some() && patch == state.hovered {
        Ink::Hover
    } else if patch.is_some_and(|patch| state.selected.contains(&patch)) || node.depth == 0 {
        Ink::Accent
    } else {
        causal_ink(state.theme, node.depth)
    }
}

impl Pieces {
    /// The picture, dimmed but for the patches of the explanation.
    fn add_picture(
        &mut self,
        state: &ViewState,
        backdrop: Backdrop,
        rect: PixelRect,
        tree: Option<&CausalTree>,
        s: f32,
    ) {
        let nodes = tree.map_or(&[][..], |tree| &tree.nodes);
        self.add_backdrop(backdrop, rect, tree.is_some_and(|tree| tree.deepest > 0));
        let numbers = tree.map_or_else(Vec::new, numbers);
        for (node, number) in nodes.iter().zip(numbers) {
            let NodeFace::Patch(crop) = &node.face else { continue };
            let Some(uv) = crop.on_picture else { continue };
            self.add_lit(backdrop, rect, uv, (border_of(state, node), (3.0 * s).max(2.0)));
            let ([x0, y0], [x1, y1]) = (rect.at([uv[0], uv[1]]), rect.at([uv[2], uv[3]]));
            if let Some(number) = number {
                self.add_number(number, PixelRect::from_edges(x0, y0, x1, y1), s);
            }
        }
    }

    fn add_tree(&mut self, state: &ViewState, tree: &CausalTree, sized: &Sized, places: &Places) {
        let k = places.scale;
        let bounds = sized.bounds();
        let at = |[x, y]: [f32; 2]| {
            [places.tree.x + (x - bounds.x) * k, places.tree.y + (y - bounds.y) * k]
        };
        for &radius in sized.layout.radii.iter().skip(1) {
            self.add_ring(at([0.0; 2]), radius * k);
        }
        let rects: Vec<PixelRect> = (0..tree.nodes.len())
            .map(|index| {
                let rect = sized.layout.rect(&sized.shapes, index);
                let [x, y] = at([rect.x, rect.y]);
                PixelRect { x, y, width: rect.width * k, height: rect.height * k }
            })
            .collect();
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
            self.add_edge(edge, &rects, look, k);
        }
        let numbers = numbers(tree);
        for ((node, rect), number) in tree.nodes.iter().zip(rects).zip(numbers) {
            self.nodes.push((node.position, rect));
            let border_px = (if node.depth == 0 { 3.0 } else { 2.5 } * k).max(1.5);
            match &node.face {
                NodeFace::Patch(crop) => {
                    self.crops.push(Crop {
                        rect,
                        frame: crop.frame,
                        uv: crop.around,
                        lit: crop.lit,
                        border: border_of(state, node),
                        border_px,
                    });
                    if let Some(number) = number {
                        self.add_number(number, rect, k.max(0.8 * places.s));
                    }
                }
                NodeFace::Word(_) => self.add_word(node, rect, border_of(state, node), k),
            }
        }
    }

    /// The number of a patch in the lower left corner of its crop or its place on the picture, if it is large enough.
    fn add_number(&mut self, number: usize, rect: PixelRect, s: f32) {
        let text = number.to_string();
        let size_px = (NUMBER * s).min(rect.height * NUMBER_SHARE);
        if size_px < LEAST_NUMBER {
            return;
        }
        let (pad, inset) = (0.25 * size_px, (2.5 * s).max(1.5));
        let width = text_width(&text, false) * size_px + 2.0 * pad;
        let height = CAP_HEIGHT * size_px + 2.0 * pad;
        let (x, y) = (rect.x + inset, rect.bottom() - inset - height);
        let plate = PixelRect { x, y, width, height };
        let label = Label {
            runs: vec![TextRun::plain(text)],
            baseline: [x + pad, plate.bottom() - pad],
            align: Align::Start,
            size_px,
            ink: Ink::Text,
        };
        let fill = Fill { rect: plate, ink: Ink::Background, alpha: 0.75 };
        self.plates.push((plate, vec![fill], vec![label]));
    }

    fn add_word(&mut self, node: &TreeNode, rect: PixelRect, border: Ink, k: f32) {
        let (text, size) = word_of(node);
        let size_px = size * k;
        let width = (2.0 * k).max(1.0);
        let inner = PixelRect::from_edges(
            rect.x + width,
            rect.y + width,
            rect.right() - width,
            rect.bottom() - width,
        );
        let [x, y] = rect.centre();
        let label = Label {
            runs: vec![TextRun::strong(text)],
            baseline: [x, y + CAP_HEIGHT * size_px / 2.0],
            align: Align::Centre,
            size_px,
            ink: if node.depth == 0 { Ink::Accent } else { Ink::Text },
        };
        let fills = vec![
            Fill { rect, ink: border, alpha: 1.0 },
            Fill { rect: inner, ink: Ink::Background, alpha: 1.0 },
        ];
        self.plates.push((rect, fills, vec![label]));
    }

    fn add_ring(&mut self, [x, y]: [f32; 2], radius: f32) {
        let point = |part: usize| {
            let angle = part as f32 / RING_PARTS as f32 * TAU;
            [x + radius * angle.cos(), y + radius * angle.sin()]
        };
        self.strokes.extend((0..RING_PARTS).map(|part| Stroke {
            from: point(part),
            to: point(part + 1),
            width: 1.0,
            ink: Ink::Hairline,
            alpha: 0.7,
        }));
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

    fn add_key(&mut self, lines: &[KeyLine], [left, top]: [f32; 2], right: f32, s: f32) {
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

/// The look of an edge.
#[derive(Clone, Copy)]
struct Look {
    width: f32,
    ink: Ink,
    alpha: f32,
    /// Pixels per unit of a mark.
    k: f32,
}

impl Look {
    /// Radius of a circle, length and half width of an arrow, half length of a bar, in units.
    const CIRCLE: f32 = 4.5;
    const ARROW: [f32; 2] = [10.0, 5.0];
    const BAR: f32 = 6.0;

    fn line(&self, from: [f32; 2], to: [f32; 2]) -> Stroke {
        Stroke { from, to, width: self.width, ink: self.ink, alpha: self.alpha }
    }

    /// The length at the end of an edge that its mark takes up.
    fn inset(&self, mark: Mark) -> f32 {
        match mark {
            Mark::Circle => 2.0 * Self::CIRCLE * self.k,
            Mark::Head => self.width,
            Mark::Tail => 0.0,
        }
    }

    /// The mark at an end of an edge that runs in direction `along`.
    fn add_mark(&self, strokes: &mut Vec<Stroke>, mark: Mark, end: [f32; 2], along: [f32; 2]) {
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

/// The number that joins the crop of a node with its patch on the picture; `None` for words, and where there is one patch.
fn numbers(tree: &CausalTree) -> Vec<Option<usize>> {
    let is_patch = |node: &TreeNode| matches!(node.face, NodeFace::Patch(_));
    let count = tree.nodes.iter().filter(|node| is_patch(node)).count();
    let mut next = 0;
    let number = |node: &TreeNode| {
        (is_patch(node) && count > 1).then(|| {
            next += 1;
            next
        })
    };
    tree.nodes.iter().map(number).collect()
}

/// A line of the key.
enum KeyLine {
    /// The colours of distances from 1 to this.
    Depths(Theme, usize),
    /// A mark and its meaning.
    Mark(Mark, &'static str),
    /// A sentence.
    Text(String),
}

fn key_lines(tree: &CausalTree, theme: Theme) -> Vec<KeyLine> {
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
