//! Any text as edits, carried out on a small picture of the size that they name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use vlmscope::edit::Edits;

fuzz_target!(|text: &str| {
    let Ok(mut edits) = Edits::from_toml(text) else { return };
    let [width, height] = edits.size();
    let size = if width <= 200 && height <= 200 { [width, height] } else { [32, 24] };
    let picture = picture(size);
    let _ = edits.flatten(&picture);
    let written = edits.to_toml().expect("what was read is written");
    let back = Edits::from_toml(&written).expect("what was written is read");
    assert_eq!(back.steps(), edits.steps());
});

fn picture([width, height]: [u32; 2]) -> Arc<image::RgbImage> {
    let pixel = |x: u32, y: u32| [(x * 7) as u8, (y * 11) as u8, (x ^ y) as u8].into();
    Arc::new(image::RgbImage::from_fn(width, height, pixel))
}
