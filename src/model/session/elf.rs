//! Checks of a shared library without loading it.
//!
//! Loading runs a library's initialisers, so a file that was only found by search is read first: whether it is a
//! complete ELF library (the system's loader maps the sizes in the headers without a check of the file's length, and a
//! truncated library ends the process with SIGBUS), and which version of ONNX Runtime it states.

use object::elf::{FileHeader64, PT_LOAD, SHT_DYNSYM};
use object::read::elf::{FileHeader as _, ProgramHeader as _, Sym as _};
use object::{Endianness, ReadCache, ReadRef};
use std::fs::File;
use std::path::Path;

/// The only function that every version of ONNX Runtime exports.
pub(super) const ENTRY_POINT: &str = "OrtGetApiBase";
/// The prefix of its symbol versions: VERS_1.32.0.
const VERSION_PREFIX: &str = "VERS_";
const MAGIC: &[u8] = b"\x7fELF";

/// Reads the version of ONNX Runtime from the library at `path`; `None` if it exports the entry point without a
/// version.
///
/// # Errors
/// If the file cannot be read, is truncated, is not a 64-bit ELF library, or is another library.
pub(super) fn runtime_version(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let cache = ReadCache::new(file);
    let data = &cache;
    if !data.read_bytes_at(0, MAGIC.len() as u64).is_ok_and(|magic| magic == MAGIC) {
        return Err(format!("its {bytes} bytes are no ELF library"));
    }
    // If the headers refer to bytes past the end of the file, the file is truncated.
    let cut = |end: u64| {
        if end <= bytes {
            return Ok(());
        }
        Err(format!("it is cut: it has {bytes} bytes, its headers speak of {end}. Copy it again"))
    };
    let broken = |error: object::Error| format!("it is no ELF library of 64 bits ({error})");
    let header = FileHeader64::<Endianness>::parse(data).map_err(|error| {
        cut(size_of::<FileHeader64<Endianness>>() as u64).err().unwrap_or_else(|| broken(error))
    })?;
    let endian = header.endian().map_err(broken)?;
    let tables = [
        (header.e_phoff.get(endian), header.e_phentsize.get(endian), header.e_phnum.get(endian)),
        (header.e_shoff.get(endian), header.e_shentsize.get(endian), header.e_shnum.get(endian)),
    ];
    for (start, entry, count) in tables {
        cut(start.saturating_add(u64::from(entry) * u64::from(count)))?;
    }
    for segment in header.program_headers(endian, data).map_err(broken)? {
        if segment.p_type(endian) == PT_LOAD {
            cut(segment.p_offset(endian).saturating_add(segment.p_filesz(endian)))?;
        }
    }
    let sections = header.sections(endian, data).map_err(broken)?;
    let symbols = sections.symbols(endian, data, SHT_DYNSYM).map_err(broken)?;
    let versions = sections.versions(endian, data).map_err(broken)?;
    for (index, symbol) in symbols.enumerate() {
        let is_entry = !symbol.is_undefined(endian)
            && symbol
                .name(endian, symbols.strings())
                .is_ok_and(|name| name == ENTRY_POINT.as_bytes());
        if !is_entry {
            continue;
        }
        let Some(versions) = versions else { return Ok(None) };
        let version = versions.version(versions.version_index(endian, index)).map_err(broken)?;
        let name = version.map(|version| String::from_utf8_lossy(version.name()).into_owned());
        return Ok(name.and_then(|name| name.strip_prefix(VERSION_PREFIX).map(str::to_owned)));
    }
    Err(format!("it does not export {ENTRY_POINT}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_library_cut_anywhere_and_another_library_are_refused() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let problem = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            runtime_version(file.path()).unwrap_err()
        };
        for length in [10, 63, 64, 100, 5000, whole.len() / 2, whole.len() - 1] {
            let problem = problem(&whole[..length]);
            assert!(problem.contains("is cut"), "{length}: {problem}");
        }
        for no_library in [&b""[..], &[b'x'; 100]] {
            let problem = problem(no_library);
            assert!(problem.contains("no ELF library"), "{problem}");
        }
        let problem = problem(&whole);
        assert!(problem.contains("does not export OrtGetApiBase"), "{problem}");
    }
}
