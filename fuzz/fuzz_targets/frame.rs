//! Any bytes as frames of the protocol: read until the first one that is damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::BufReader;
use vlmscope::model::read_frame;

fuzz_target!(|bytes: &[u8]| {
    let mut input = BufReader::new(bytes);
    while let Ok(Some(frame)) = read_frame(&mut input) {
        assert!(frame.payload.len() <= 64 << 20);
    }
});
