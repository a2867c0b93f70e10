//! Colour maps as look-up tables, the only source for shaders, legends and SVG alike.
//!
//! The tables are data files baked from matplotlib (`scripts/bake_colormaps.py`), not formulas:
//! the usual polynomial of turbo, for one, misses its own ends by up to 22 of 255.

use crate::view::ColorMap;

/// Colours in a table.
pub const ENTRIES: usize = 256;

/// 256 × RGB, 8 bits, sRGB.
type Table = [u8; ENTRIES * 3];

const VIRIDIS: &Table = include_bytes!("../../assets/colormaps/viridis.rgb");
const MAGMA: &Table = include_bytes!("../../assets/colormaps/magma.rgb");
const INFERNO: &Table = include_bytes!("../../assets/colormaps/inferno.rgb");
const TURBO: &Table = include_bytes!("../../assets/colormaps/turbo.rgb");
const COOLWARM: &Table = include_bytes!("../../assets/colormaps/coolwarm.rgb");
const JET: &Table = include_bytes!("../../assets/colormaps/jet.rgb");
const GREY: &Table = &grey();

const fn grey() -> Table {
    let mut table = [0; ENTRIES * 3];
    let mut i = 0;
    while i < table.len() {
        table[i] = (i / 3) as u8;
        i += 1;
    }
    table
}

const fn table(map: ColorMap) -> &'static Table {
    match map {
        ColorMap::Inferno => INFERNO,
        ColorMap::Magma => MAGMA,
        ColorMap::Viridis => VIRIDIS,
        ColorMap::Jet => JET,
        ColorMap::Turbo => TURBO,
        ColorMap::Coolwarm => COOLWARM,
        ColorMap::Grey => GREY,
    }
}

/// The table as opaque RGBA, sRGB: the bytes of a 256 × 1 `Rgba8UnormSrgb` texture.
pub fn rgba(map: ColorMap) -> [u8; ENTRIES * 4] {
    let mut out = [u8::MAX; ENTRIES * 4];
    for (to, from) in out.chunks_exact_mut(4).zip(table(map).chunks_exact(3)) {
        to[..3].copy_from_slice(from);
    }
    out
}

/// The table's nearest colour for a value; below 0 and above 1 the ends, NaN the lower end.
pub fn color(map: ColorMap, value: f32) -> [u8; 3] {
    let last = (ENTRIES - 1) as f32;
    // A NaN becomes 0 in the cast.
    let at = (value.clamp(0.0, 1.0) * last).round() as usize * 3;
    let table = table(map);
    [table[at], table[at + 1], table[at + 2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_those_that_were_published() {
        let ends = [
            (ColorMap::Viridis, [0x44, 0x01, 0x54], [0xfd, 0xe7, 0x25]),
            (ColorMap::Magma, [0x00, 0x00, 0x04], [0xfc, 0xfd, 0xbf]),
            (ColorMap::Inferno, [0x00, 0x00, 0x04], [0xfc, 0xff, 0xa4]),
            (ColorMap::Turbo, [48, 18, 59], [122, 4, 3]),
            (ColorMap::Coolwarm, [59, 76, 192], [180, 4, 38]),
            (ColorMap::Jet, [0, 0, 128], [128, 0, 0]),
            (ColorMap::Grey, [0, 0, 0], [255, 255, 255]),
        ];
        assert_eq!(ends.len(), ColorMap::ALL.len());
        for (map, low, high) in ends {
            assert_eq!(color(map, 0.0), low, "{map}");
            assert_eq!(color(map, 1.0), high, "{map}");
            assert_eq!(color(map, -3.0), low, "{map}");
            assert_eq!(color(map, f32::INFINITY), high, "{map}");
            assert_eq!(color(map, f32::NAN), low, "{map}");
            assert_eq!(rgba(map)[..4], [low[0], low[1], low[2], 255], "{map}");
            assert_eq!(rgba(map)[ENTRIES * 4 - 4..], [high[0], high[1], high[2], 255], "{map}");
        }
    }

    #[test]
    fn perceptual_maps_grow_lighter_all_the_way() {
        for map in [ColorMap::Viridis, ColorMap::Magma, ColorMap::Inferno, ColorMap::Grey] {
            let luma = |i: usize| {
                let [r, g, b] = color(map, i as f32 / 255.0).map(f32::from);
                0.2126 * r + 0.7152 * g + 0.0722 * b
            };
            assert!((1..ENTRIES).all(|i| luma(i) > luma(i - 1) - 1.0), "{map}");
        }
    }

    #[test]
    fn the_middle_of_a_diverging_map_is_neutral() {
        for map in ColorMap::ALL.iter().filter(|map| map.is_diverging()) {
            let [r, g, b] = color(*map, 0.5);
            assert!(r.abs_diff(g) < 4 && g.abs_diff(b) < 4 && r > 200, "{map}: {r} {g} {b}");
        }
    }
}
