//! NumPy's array file (`.npy`): a header that is a Python literal, then the numbers. Written in format version 1.0.

use crate::files;
use anyhow::{Context as _, ensure};
use std::io::Write;
use std::path::Path;

/// The numbers start at a multiple of this many bytes.
const ALIGNMENT: usize = 64;
/// Magic, version and the length of the header.
const PREFIX: usize = 10;

/// Writes little-endian f32 in row-major order.
///
/// # Errors
/// If the shape does not fit the values, or they cannot be written.
pub(crate) fn write(out: &mut dyn Write, shape: &[usize], values: &[f32]) -> anyhow::Result<()> {
    anyhow::ensure!(
        shape.iter().product::<usize>() == values.len(),
        "{} values do not fill the shape {shape:?}",
        values.len()
    );
    let axes: String = shape.iter().map(|len| format!("{len}, ")).collect();
    let axes = if shape.len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}");
    let padded = (PREFIX + header.len() + 1).next_multiple_of(ALIGNMENT) - PREFIX;
    header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&u16::try_from(header.len())?.to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for value in values {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// Most bytes of a matrix that is read: 4096 × 4096 of f64.
const MOST_BYTES: u64 = 1 << 28;

/// A matrix of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    /// [rows, columns].
    pub values: Vec<f64>,
}

/// Reads a matrix of f32 or f64, little-endian, in either order.
///
/// # Errors
/// A file that cannot be read, or holds anything else.
pub(crate) fn read_matrix(path: &Path) -> anyhow::Result<Matrix> {
    let bytes = files::read(path, MOST_BYTES)
        .with_context(|| format!("cannot read the matrix in {}", path.display()))?;
    parse_matrix(&bytes).with_context(|| format!("{} cannot be used", path.display()))
}

fn parse_matrix(bytes: &[u8]) -> anyhow::Result<Matrix> {
    const WHAT: &str = "it is not a NumPy file (.npy) with a matrix; write one with numpy.save";
    let major = bytes.strip_prefix(b"\x93NUMPY").and_then(|rest| rest.first()).context(WHAT)?;
    let (length, start) = match (major, bytes.get(8..12)) {
        (1, Some(&[low, high, ..])) => (usize::from(u16::from_le_bytes([low, high])), PREFIX),
        (2 | 3, Some(&[a, b, c, d])) => (u32::from_le_bytes([a, b, c, d]) as usize, PREFIX + 2),
        _ => anyhow::bail!(WHAT),
    };
    let header = bytes.get(start..start.saturating_add(length)).context(WHAT)?;
    let header = std::str::from_utf8(header).ok().context(WHAT)?;
    let after = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start());
    let dtype = after("'descr':").and_then(|rest| rest.split('\'').nth(1)).context(WHAT)?;
    let is_column_major = after("'fortran_order':").context(WHAT)?.starts_with("True");
    let shape = after("'shape':").and_then(|rest| rest.strip_prefix('(')).context(WHAT)?;
    let shape = shape.split_once(')').context(WHAT)?.0;
    let axes: Option<Vec<usize>> = shape
        .split(',')
        .map(str::trim)
        .filter(|axis| !axis.is_empty())
        .map(|axis| axis.parse().ok())
        .collect();
    let Some(&[rows, columns]) = axes.as_deref() else {
        anyhow::bail!("it has the shape ({shape}); a matrix has two axes");
    };
    let size = match dtype {
        "<f4" => 4,
        "<f8" => 8,
        other => anyhow::bail!(
            "it has the type {other}; save it as float32 or float64: numpy.save(file, matrix.astype(\"<f8\"))"
        ),
    };
    let data = &bytes[start + length..];
    let needed = rows.checked_mul(columns).and_then(|count| count.checked_mul(size));
    ensure!(
        needed == Some(data.len()),
        "it holds {} bytes of numbers, which are not {rows} × {columns} of {size} bytes",
        data.len()
    );
    let number = |bytes: &[u8]| match *bytes {
        [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => f64::NAN,
    };
    let stored: Vec<f64> = data.chunks_exact(size).map(number).collect();
    let values = if is_column_major {
        (0..rows * columns).map(|i| stored[i % columns * rows + i / columns]).collect()
    } else {
        stored
    };
    Ok(Matrix { rows, columns, values })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn written(shape: &[usize], values: &[f32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, shape, values).unwrap();
        bytes
    }

    /// The bytes equal those of numpy.save.
    #[test]
    fn a_matrix_is_what_numpy_writes() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(format!("{header:<117}\n").bytes());
        assert_eq!(expected.len(), 128);
        let values = [0.0, 1.0, -2.5, f32::NAN, 1e-9, 6.0];
        expected.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        assert_eq!(written(&[2, 3], &values), expected);
    }

    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        let header = format!("{header}\n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), numbers].concat()
    }

    #[test]
    fn a_matrix_is_read_as_it_was_written() {
        let read = parse_matrix(&written(&[2, 3], &[0.0, 1.0, -2.5, 3.0, 1e-9, 6.0])).unwrap();
        assert_eq!((read.rows, read.columns), (2, 3));
        assert_eq!(read.values, [0.0, 1.0, -2.5, 3.0, f64::from(1e-9_f32), 6.0]);
        let numbers: Vec<u8> =
            [1.0_f64, 4.0, 2.0, 5.0, 3.0, 6.0].into_iter().flat_map(f64::to_le_bytes).collect();
        let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }";
        let read = parse_matrix(&file(header, &numbers)).unwrap();
        assert_eq!(read.values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn what_is_no_matrix_is_named() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }";
        assert!(parse_matrix(&file(good, &[0; 4])).is_ok());
        for (bytes, named) in [
            (b"PK".to_vec(), "not a NumPy file"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "not a NumPy file"),
            (file(&good.replace("f4", "i8"), &[0; 8]), "<i8"),
            (file(&good.replace("(1, 1)", "(1,)"), &[0; 4]), "two axes"),
            (file(good, &[0; 5]), "5 bytes"),
            (file(&good.replace("(1, 1)", "(9999999999999, 9999999999999)"), &[]), "0 bytes"),
        ] {
            let error = parse_matrix(&bytes).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn one_axis_and_none_are_python_tuples() {
        let header = |bytes: &[u8]| String::from_utf8_lossy(&bytes[PREFIX..128]).into_owned();
        assert!(header(&written(&[1], &[1.0])).contains("'shape': (1,), }"));
        assert!(header(&written(&[], &[1.0])).contains("'shape': (), }"));
        assert!(write(&mut Vec::new(), &[2, 2], &[1.0]).is_err());
    }
}
