//! Whether a shared library lies on the disk in full.
//!
//! The system's loader maps what the headers promise without looking at the file's length, and a
//! cut library ends the process with SIGBUS, so the promises are checked first. Libraries that are
//! no 64-bit little-endian ELF are left to the loader, which refuses them by itself.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: u64 = 64;
const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const LOADED: u32 = 1;

/// Says what is missing of the library at `path`, or nothing.
///
/// # Errors
/// If it cannot be read or is cut.
pub(super) fn check_complete(path: &Path) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut header = [0; HEADER_BYTES];
    if length < HEADER_BYTES as u64 {
        return Err(format!("it has only {length} bytes"));
    }
    file.read_exact(&mut header).map_err(unreadable)?;
    if !header.starts_with(MAGIC) {
        return Ok(());
    }
    let cut = |end: u64| {
        if end <= length {
            return Ok(());
        }
        Err(format!("it is cut: it has {length} bytes, its headers speak of {end}. Copy it again"))
    };
    let (programs, sections) = (u64_at(&header, 32), u64_at(&header, 40));
    let (program_count, section_count) = (u16_at(&header, 56), u16_at(&header, 60));
    let program_bytes = PROGRAM_HEADER_BYTES as u64 * program_count;
    cut(programs.saturating_add(program_bytes))?;
    cut(sections.saturating_add(SECTION_HEADER_BYTES * section_count))?;
    let mut table = vec![0; program_bytes as usize];
    file.seek(SeekFrom::Start(programs)).map_err(unreadable)?;
    file.read_exact(&mut table).map_err(unreadable)?;
    for segment in table.chunks_exact(PROGRAM_HEADER_BYTES) {
        if u32_at(segment, 0) == LOADED {
            cut(u64_at(segment, 8).saturating_add(u64_at(segment, 32)))?;
        }
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_library_cut_anywhere_is_refused_and_a_whole_one_is_not() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for length in [0, 10, 63, 64, 100, 5000, whole.len() / 2, whole.len() - 1] {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            let problem = check_complete(file.path()).unwrap_err();
            assert!(problem.contains("cut") || problem.contains("only"), "{length}: {problem}");
        }
        std::fs::write(file.path(), &whole).unwrap();
        check_complete(file.path()).unwrap();
        std::fs::write(file.path(), [b'x'; 100]).unwrap();
        check_complete(file.path()).unwrap();
    }
}
