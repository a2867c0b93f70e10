//! The places of pictures on the target.

use super::Scene;
use crate::view::PictureRule;
use crate::view::figure::{Figure, PixelRect};

/// The place of a grid of numbers on the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Index of the grid in the scene.
    pub grid: usize,
    /// Index of the map.
    pub plane: u32,
    /// The whole picture, in pixels.
    pub rect: PixelRect,
}

/// The places of pictures: the content, every tile of the heads view with its place in the atlas, or every picture.
pub(super) fn places(scene: &Scene<'_>, figure: &Figure) -> Vec<Place> {
    let spec = scene.state.view.spec();
    let place = |(at, rect): &(u32, PixelRect)| match spec.pictures {
        PictureRule::All => Place { grid: *at as usize, plane: 0, rect: *rect },
        PictureRule::Chosen => Place { grid: 0, plane: *at, rect: *rect },
    };
    if spec.has_tiles() {
        return figure.tiles.iter().map(place).collect();
    }
    vec![Place { grid: 0, plane: 0, rect: figure.content }]
}
