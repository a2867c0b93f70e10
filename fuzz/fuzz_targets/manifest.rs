//! Any bytes as a bundle's manifest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use vlmscope::model::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(Path::new("manifest.json"), bytes);
});
