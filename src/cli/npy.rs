//! NumPy's array file (`.npy`, format version 1.0): a header that is a Python literal, then the numbers.

use std::io::Write;

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

    #[test]
    fn one_axis_and_none_are_python_tuples() {
        let header = |bytes: &[u8]| String::from_utf8_lossy(&bytes[PREFIX..128]).into_owned();
        assert!(header(&written(&[1], &[1.0])).contains("'shape': (1,), }"));
        assert!(header(&written(&[], &[1.0])).contains("'shape': (), }"));
        assert!(write(&mut Vec::new(), &[2, 2], &[1.0]).is_err());
    }
}
