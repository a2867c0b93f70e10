//! The causal view: the picture with the patches of the explanation, and the radial tree around the answer token.

mod edges;
mod key;

pub use key::causal_ink;

use super::super::{Backdrop, CausalTree, NodeFace, TreeNode, ViewState};
use super::pieces::{KEY_LINE, Pieces, centred};
use super::rect::seen;
use super::tree_layout::{CROP, TreeLayout, TreeShape};
use super::{
    Align, CAP_HEIGHT, Crop, Figure, Fill, Ink, Label, PixelRect, Stroke, TextRun, fitted,
    text_width,
};
use key::key_lines;
use std::f32::consts::TAU;

/// Height of a node with a word, in units of the tree.
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
        self.add_edges(state, tree, &rects, k);
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
            emphasis: None,
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
            emphasis: None,
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
