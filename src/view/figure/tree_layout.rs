//! A radial tree: the root in the centre, each other node on the ring of its depth.
//!
//! A subtree has a sector of the circle that is as wide as its leaves need. Rings start with equal distances; those on
//! which rectangles overlap grow until none does.

use super::PixelRect;
use std::f32::consts::{FRAC_PI_2, TAU};

/// Sides of a node that shows a crop of the picture, in units of the layout.
pub(super) const CROP: f32 = 54.0;
/// Distance between two rings, in units of the layout.
const RING: f32 = 100.0;
/// Least distance between two nodes, and between a node and the one above, whose edge needs room for its marks.
const GAP: f32 = 9.0;
const EDGE: f32 = 34.0;
/// Growth of a ring on which nodes overlap.
const GROWTH: f32 = 1.04;
/// Far more rounds than trees of 256 nodes need.
const MOST_ROUNDS: usize = 600;

/// A node of a tree: the nodes above stand before it, the root is the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreeShape {
    /// Index of the node above; its own for the root.
    pub parent: usize,
    /// Distance from the root; 0 for the root.
    pub depth: usize,
    /// Width and height.
    pub size: [f32; 2],
}

/// The places of nodes around the root at (0, 0), in the unit of their sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeLayout {
    /// Centre of each node.
    pub centres: Vec<[f32; 2]>,
    /// Radius of the ring of each depth; 0 for the root.
    pub radii: Vec<f32>,
}

impl TreeLayout {
    /// Places the nodes of a tree so that none overlaps another.
    pub fn new(nodes: &[TreeShape]) -> Self {
        let deepest = nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        let mut radii: Vec<f32> = (0..=deepest).map(|depth| depth as f32 * RING).collect();
        // The width of a sector depends on the angle at which its rectangles stand, and the angle on the sectors.
        let mut angles = angles(nodes, &vec![1.0; nodes.len()]);
        for _ in 0..2 {
            angles = self::angles(nodes, &needs(nodes, &angles, &radii));
        }
        for _ in 0..MOST_ROUNDS {
            let rings = crowded(nodes, &centres(nodes, &angles, &radii), deepest);
            if !rings.contains(&true) {
                break;
            }
            for depth in 1..=deepest {
                if rings[depth] {
                    radii[depth] *= GROWTH;
                }
                radii[depth] = radii[depth].max(radii[depth - 1] + 0.8 * RING);
            }
        }
        Self { centres: centres(nodes, &angles, &radii), radii }
    }

    /// The rectangle of a node.
    pub fn rect(&self, nodes: &[TreeShape], index: usize) -> PixelRect {
        rect(self.centres[index], nodes[index].size)
    }

    /// The rectangle around all rings and nodes, with the root in its centre.
    pub fn bounds(&self, nodes: &[TreeShape]) -> PixelRect {
        let ring = self.radii.iter().copied().fold(0.0, f32::max);
        let half = (0..nodes.len()).fold([ring; 2], |[x, y], index| {
            let rect = self.rect(nodes, index);
            [x.max(rect.right()).max(-rect.x), y.max(rect.bottom()).max(-rect.y)]
        });
        rect([0.0; 2], half.map(|side| 2.0 * side))
    }
}

fn rect([x, y]: [f32; 2], [width, height]: [f32; 2]) -> PixelRect {
    PixelRect { x: x - width / 2.0, y: y - height / 2.0, width, height }
}

fn centres(nodes: &[TreeShape], angles: &[f32], radii: &[f32]) -> Vec<[f32; 2]> {
    let place = |(node, angle): (&TreeShape, &f32)| {
        let radius = radii[node.depth];
        [radius * angle.cos(), radius * angle.sin()]
    };
    nodes.iter().zip(angles).map(place).collect()
}

/// The angle that each node needs on its ring: its extent along the ring over the radius.
fn needs(nodes: &[TreeShape], angles: &[f32], radii: &[f32]) -> Vec<f32> {
    let need = |(node, angle): (&TreeShape, &f32)| {
        let [width, height] = node.size;
        let along = width * angle.sin().abs() + height * angle.cos().abs() + GAP;
        along / radii[node.depth].max(RING)
    };
    nodes.iter().zip(angles).map(need).collect()
}

/// The angle of each node: the middle of its sector. A sector is as wide as its node needs, and at least as those below
/// need together; all sectors are stretched to the whole circle. The first begins at the top.
fn angles(nodes: &[TreeShape], needs: &[f32]) -> Vec<f32> {
    let mut below = vec![0.0_f32; nodes.len()];
    let mut widths = needs.to_vec();
    for index in (1..nodes.len()).rev() {
        widths[index] = widths[index].max(below[index]);
        below[nodes[index].parent] += widths[index];
    }
    let mut starts = vec![-FRAC_PI_2; nodes.len()];
    let mut sectors = vec![TAU; nodes.len()];
    let mut used = vec![0.0_f32; nodes.len()];
    for index in 1..nodes.len() {
        let parent = nodes[index].parent;
        let share = widths[index] / below[parent].max(f32::MIN_POSITIVE);
        sectors[index] = sectors[parent] * share;
        starts[index] = starts[parent] + used[parent];
        used[parent] += sectors[index];
    }
    starts.iter().zip(&sectors).map(|(start, sector)| start + sector / 2.0).collect()
}

/// For each depth, whether a node on its ring is too close to another on it or on a ring inside.
fn crowded(nodes: &[TreeShape], centres: &[[f32; 2]], deepest: usize) -> Vec<bool> {
    let mut rings = vec![false; deepest + 1];
    for (b, node) in nodes.iter().enumerate() {
        for (a, other) in nodes[..b].iter().enumerate() {
            let gap = if node.parent == a { EDGE } else { GAP };
            let apart = |axis: usize| {
                let least = (node.size[axis] + other.size[axis]) / 2.0 + gap;
                (centres[a][axis] - centres[b][axis]).abs() >= least
            };
            if !apart(0) && !apart(1) {
                rings[node.depth.max(other.depth)] = true;
            }
        }
    }
    rings
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Trees of up to 50 nodes: each node hangs on an earlier one; patches are squares, words are wide.
    fn trees() -> impl Strategy<Value = Vec<TreeShape>> {
        let node = (any::<proptest::sample::Index>(), any::<bool>(), 24.0_f32..140.0);
        proptest::collection::vec(node, 0..50).prop_map(|drawn| {
            let mut nodes = vec![TreeShape { parent: 0, depth: 0, size: [90.0, 34.0] }];
            for (above, is_patch, width) in drawn {
                // Nodes are in order of their depth, so the deepest ones may not be the parents of shallower ones.
                let last = nodes.last().map_or(0, |node| node.depth);
                let fits: Vec<usize> = (0..nodes.len())
                    .filter(|&index| nodes[index].depth + 1 >= last && nodes[index].depth < 4)
                    .collect();
                let Some(&parent) = fits.get(above.index(fits.len().max(1))) else { continue };
                let size = if is_patch { [52.0, 52.0] } else { [width, 30.0] };
                nodes.push(TreeShape { parent, depth: nodes[parent].depth + 1, size });
            }
            nodes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_node_overlaps_another_and_depth_is_the_radius(nodes in trees()) {
            let layout = TreeLayout::new(&nodes);
            for (b, node) in nodes.iter().enumerate() {
                let [x, y] = layout.centres[b];
                prop_assert!((x.hypot(y) - layout.radii[node.depth]).abs() < 0.01);
                for a in 0..b {
                    let (one, other) = (layout.rect(&nodes, a), layout.rect(&nodes, b));
                    prop_assert!(!one.overlaps(&other), "{one:?} {other:?}");
                }
            }
            prop_assert!(layout.radii.windows(2).all(|pair| pair[1] > pair[0]));
        }
    }

    #[test]
    fn few_nodes_stay_on_close_rings_and_many_push_theirs_outwards() {
        let root = TreeShape { parent: 0, depth: 0, size: [60.0, 30.0] };
        let star = |count: usize| {
            let leaf = TreeShape { parent: 0, depth: 1, size: [52.0, 52.0] };
            let nodes: Vec<TreeShape> =
                std::iter::once(root).chain((0..count).map(|_| leaf)).collect();
            TreeLayout::new(&nodes).radii[1]
        };
        assert!((RING..1.15 * RING).contains(&star(4)), "{}", star(4));
        let many = star(49);
        assert!(many > 49.0 * 52.0 / TAU && many < 49.0 * 90.0 / TAU, "{many}");
    }
}
