//! Any bytes as a data set: the first byte chooses the format, the others are the file. Masks are read line by line.
#![no_main]

#[path = "../../tests/shared/data_set.rs"]
mod data_set;

use libfuzzer_sys::fuzz_target;

const ENDINGS: [&str; 7] = ["jsonl", "csv", "tsv", "tar", "tar.zst", "parquet", "arrow"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let ending = ENDINGS[usize::from(*first) % ENDINGS.len()];
    let path = std::env::temp_dir().join(format!("fuzz-{}.{ending}", std::process::id()));
    if std::fs::write(&path, rest).is_ok() {
        data_set::read_everything(&path);
    }
});
