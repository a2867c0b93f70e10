//! Hue, brightness and contrast of single pixels.

use palette::{FromColor, Hsv, Srgb};

/// Hue in degrees and saturation 0–1.
pub(super) fn hue_and_saturation(rgb: [u8; 3]) -> (f32, f32) {
    let hsv = Hsv::from_color(Srgb::from(rgb).into_format::<f32>());
    (hsv.hue.into_positive_degrees(), hsv.saturation)
}

/// The colour with its hue turned by `degrees` and its saturation multiplied by `saturation`, as in graphics editors.
/// The value stays, so shading is preserved.
pub(super) fn turned(rgb: [f32; 3], degrees: f32, saturation: f32) -> [f32; 3] {
    let [red, green, blue] = rgb.map(|value| value / 255.0);
    let mut hsv = Hsv::from_color(Srgb::new(red, green, blue));
    hsv.hue += degrees;
    hsv.saturation = (hsv.saturation * saturation).clamp(0.0, 1.0);
    let turned = Srgb::from_color(hsv);
    [turned.red, turned.green, turned.blue].map(|value| value * 255.0)
}

/// Contrast is spread about middle grey, then brightness is added; both as a share of the whole range.
pub(super) fn spread(value: f32, brightness: f32, contrast: f32) -> f32 {
    ((value - 127.5) * (1.0 + contrast) + 127.5 + brightness * 255.0).clamp(0.0, 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_goes_round_the_circle_and_leaves_grey() {
        let near = |found: [f32; 3], wanted: [f32; 3]| {
            found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.6)
        };
        assert!(near(turned([255.0, 0.0, 0.0], 240.0, 1.0), [0.0, 0.0, 255.0]));
        assert!(near(turned([200.0, 40.0, 40.0], 120.0, 1.0), [40.0, 200.0, 40.0]));
        assert!(near(turned([90.0, 90.0, 90.0], 77.0, 1.0), [90.0; 3]));
        assert!(near(turned([200.0, 40.0, 40.0], 0.0, 0.0), [200.0; 3]), "no saturation left");
        assert!(near(turned([12.0, 99.0, 200.0], 360.0, 1.0), [12.0, 99.0, 200.0]));
    }

    #[test]
    fn contrast_leaves_the_middle_and_brightness_lifts_everything() {
        assert!((spread(127.5, 0.0, 0.7) - 127.5).abs() < 1e-4);
        assert!((spread(100.0, 0.0, -1.0) - 127.5).abs() < 1e-4, "no contrast is grey");
        assert!((spread(100.0, 0.1, 0.0) - 125.5).abs() < 1e-4);
        assert!((spread(250.0, 0.5, 0.0) - 255.0).abs() < 1e-4);
    }
}
