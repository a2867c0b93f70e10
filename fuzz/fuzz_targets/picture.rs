//! Any bytes as a picture: decoded and turned upright.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmscope::model::{Picture, upright};

fuzz_target!(|bytes: &[u8]| {
    let _ = upright(&Picture { name: "a picture".into(), bytes: bytes.into() });
});
