//! Any bytes as a data set: the first byte chooses the format, the others are the file. Masks are read line by line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use vlmscope::table::input::{InputError, MaskSource, Names, Read, read_rows};

const ENDINGS: [&str; 7] = ["jsonl", "csv", "tsv", "tar", "tar.zst", "parquet", "arrow"];
/// Rows that are looked at: a small file may hold a very large number of them.
const MOST_ROWS: u64 = 500;
/// Size of the picture that masks lie over.
const PICTURE: [u32; 2] = [64, 48];

enum End {
    Enough,
    Fault,
}

impl From<InputError> for End {
    fn from(error: InputError) -> Self {
        assert!(!error.to_string().is_empty());
        Self::Fault
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let ending = ENDINGS[usize::from(*first) % ENDINGS.len()];
    let path = std::env::temp_dir().join(format!("fuzz-{}.{ending}", std::process::id()));
    if std::fs::write(&path, rest).is_err() {
        return;
    }
    let mut rows = 0;
    let read = read_rows(&path, &Names::default(), Some(Path::new("/nowhere")), &mut |read| {
        rows += 1;
        look(&read);
        if rows < MOST_ROWS { Ok(()) } else { Err(End::Enough) }
    });
    if let Err(End::Enough) = read {
        assert_eq!(rows, MOST_ROWS);
    }
});

fn look(read: &Read) {
    assert!(read.number > 0 && !read.place.is_empty());
    let Ok(row) = &read.row else { return };
    if let Some(expected) = &row.expected {
        let _ = expected.accepts(&row.question);
    }
    for mask in &row.masks {
        let MaskSource::Shape(shape) = &mask.source else { continue };
        let _ = shape.check(PICTURE);
        for line in 0..=PICTURE[1] {
            let inside = shape.intervals(PICTURE, f64::from(line) + 0.5);
            assert!(inside.iter().all(|[low, high]| low <= high), "{inside:?}");
            assert!(inside.windows(2).all(|pair| pair[0][1] <= pair[1][0]), "{inside:?}");
        }
    }
}
