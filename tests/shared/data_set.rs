//! Reads any bytes as a data set: for the test with changed files, and for the fuzz target `dataset`.

use std::path::Path;
use vlmscope::table::input::{InputError, MaskSource, Names, Read, read_rows};

/// Rows that are looked at: a small file may hold a very large number of them.
const MOST_ROWS: u64 = 500;
/// Size of the picture that masks lie over.
const PICTURE: [u32; 2] = [64, 48];

enum End {
    Enough,
    Fault(String),
}

impl From<InputError> for End {
    fn from(error: InputError) -> Self {
        Self::Fault(error.to_string())
    }
}

/// Reads a data set and looks at every row. Returns the number of rows without a fault.
pub fn read_everything(path: &Path) -> usize {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (mut rows, mut good) = (0, 0);
    let read = read_rows(path, &Names::default(), Some(Path::new("/nowhere")), &mut |read| {
        rows += 1;
        good += usize::from(look(&read));
        if rows < MOST_ROWS { Ok(()) } else { Err(End::Enough) }
    });
    match read {
        Err(End::Enough) => assert_eq!(rows, MOST_ROWS),
        Err(End::Fault(error)) => {
            assert!(error.contains(&*name) && error.len() < 2000, "{error}");
        }
        Ok(unread) => assert!(unread.is_sorted()),
    }
    good
}

/// Whether a row can be used; its masks are read line by line.
fn look(read: &Read) -> bool {
    assert!(read.number > 0 && !read.place.is_empty());
    let row = match &read.row {
        Ok(row) => row,
        Err(reason) => {
            assert!(!reason.is_empty());
            return false;
        }
    };
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
    true
}
