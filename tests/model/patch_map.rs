//! Patch ↔ preprocessed pixel ↔ original pixel, for every way to prepare a picture and odd sizes.
//!
//! Colours in the pictures encode positions: red grows with x and green with y, so that the input picture's colour at
//! the centre of a patch must equal that of the original at the point that the map names.

use crate::support::Fixture;
use proptest::prelude::*;
use std::sync::OnceLock;
use vlmscope::model::{Bundle, Picture, preprocess};
use vlmscope::trace::PreprocessMode;

const MODES: [PreprocessMode; 3] =
    [PreprocessMode::Default, PreprocessMode::Resize, PreprocessMode::Pad];

/// Bundles whose vision towers differ in size and rules.
fn bundles() -> &'static [Bundle] {
    static BUNDLES: OnceLock<Vec<Bundle>> = OnceLock::new();
    BUNDLES.get_or_init(|| {
        let open = |name| Bundle::open(&Fixture::of(name).bundle()).unwrap();
        ["tiny", "gqa", "gemma"].map(open).into()
    })
}

/// From a coordinate to 8 bits: 16 at the first edge, 240 at the last.
fn level(at: f64, side: u32) -> f64 {
    16.0 + 224.0 * at / f64::from(side)
}

fn slopes([width, height]: [u32; 2]) -> Picture {
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        let byte = |at: u32, side| level(f64::from(at) + 0.5, side).round() as u8;
        image::Rgb([byte(x, width), byte(y, height), 7])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    Picture { name: "slopes.png".into(), bytes: bytes.into_inner().into() }
}

/// Every patch of a picture, there and back; how many lay far enough inside to compare colours.
fn check(bundle: &Bundle, mode: PreprocessMode, size: [u32; 2]) -> Result<usize, TestCaseError> {
    let seen = preprocess(&slopes(size), mode, bundle.manifest()).unwrap();
    let span = seen.span(0, 5, bundle.manifest());
    let back = span.original_from_preprocessed.inverse().unwrap();
    let original = seen.info.original_size;
    let what = format!("{} {mode:?} {size:?}", bundle.manifest().name);
    let mut compared = 0;
    for row in 0..span.rows {
        for column in 0..span.columns {
            let rect = span.preprocessed_from_patch(row, column);
            let centre = [rect.x + rect.width / 2.0, rect.y + rect.height / 2.0];
            prop_assert_eq!(span.patch_from_preprocessed(centre), Some((row, column)), "{}", what);
            let point = span.original_from_preprocessed(centre);
            let again = back.apply(point);
            let off = (again[0] - centre[0]).abs().max((again[1] - centre[1]).abs());
            prop_assert!(off < 1e-6, "{what}: {centre:?} comes back as {again:?}");

            // The mean of the patch's pixels is the colour in its middle: both slopes are straight.
            let edge = |at: f64| at.round() as u32;
            let (x0, x1) = (edge(rect.x), edge(rect.x + rect.width));
            let (y0, y1) = (edge(rect.y), edge(rect.y + rect.height));
            let mut mean = [0.0; 3];
            for (y, x) in (y0..y1).flat_map(|y| (x0..x1).map(move |x| (y, x))) {
                let at = ((y * seen.size[0] + x) * 3) as usize;
                for (sum, &byte) in mean.iter_mut().zip(&seen.rgb[at..at + 3]) {
                    *sum += f64::from(byte) / f64::from((x1 - x0) * (y1 - y0));
                }
            }
            // Filtering mixes pixels near an edge with pixels beyond it.
            let corner = span.original_from_preprocessed([rect.x, rect.y]);
            let far = span.original_from_preprocessed([rect.x + rect.width, rect.y + rect.height]);
            let inside = (0..2).all(|axis| {
                let pixel = (far[axis] - corner[axis]).abs() / rect.width;
                let margin = 3.0 * pixel.max(1.0);
                corner[axis] >= margin && far[axis] <= f64::from(original[axis]) - margin
            });
            if inside {
                compared += 1;
                for axis in 0..2 {
                    let expected = level(point[axis], original[axis]);
                    prop_assert!(
                        (mean[axis] - expected).abs() < 1.5,
                        "{what}: patch {row},{column} axis {axis} has {} and not {expected}",
                        mean[axis]
                    );
                }
            }
            let outside = (0..2).any(|axis| {
                let pixel = (far[axis] - corner[axis]).abs() / rect.width;
                let margin = 3.0 * pixel.max(1.0);
                far[axis] < -margin || corner[axis] > f64::from(original[axis]) + margin
            });
            if outside {
                prop_assert!(mode == PreprocessMode::Pad, "{what}: only bars lie outside");
                prop_assert!(mean[2] > 90.0, "{what}: a bar has its own colour, not {mean:?}");
            }
        }
    }
    Ok(compared)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_patch_is_the_part_of_the_picture_that_it_says(
        width in 9_u32..420, height in 9_u32..420,
    ) {
        // Longer strips than 6 : 1 are stretched to sizes that only cost time.
        prop_assume!(width <= height * 6 && height <= width * 6);
        for bundle in bundles() {
            for mode in MODES {
                check(bundle, mode, [width, height])?;
            }
        }
    }
}

#[test]
fn the_comparison_reaches_every_mode() {
    for mode in MODES {
        for size in [[101, 67], [67, 101], [333, 331], [1601, 903]] {
            let compared = check(&bundles()[0], mode, size).unwrap();
            assert!(compared >= 9, "{mode:?} {size:?}: {compared} patches were compared");
        }
    }
}
