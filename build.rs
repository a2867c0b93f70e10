//! Puts the built-in model, its sample pictures and the captured sample traces into the program, so that one file runs anywhere.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let tiny = root.join("onnx/tiny");
    let captured = root.join("onnx/tiny-qwen3-vl/samples");
    println!("cargo::rerun-if-changed=onnx/tiny/manifest.json");
    println!("cargo::rerun-if-changed=onnx/tiny/samples");
    println!("cargo::rerun-if-changed=onnx/tiny-qwen3-vl/samples");
    let mut code = String::from(
        "/// Name and bytes of each file.\npub(super) static FILES: &[(&str, &[u8])] = &[\n",
    );
    let bundle = bundle_files(&tiny)?.into_iter().map(|name| (tiny.join(&name), name));
    let samples = files_of("samples", &tiny.join("samples"))?;
    for (path, name) in bundle.chain(samples).chain(files_of("captured", &captured)?) {
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_file() {
            writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())?;
        }
    }
    code.push_str("];\n");
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("builtin_files.rs"), code)?;
    Ok(())
}

/// The manifest and every file that it names.
fn bundle_files(tiny: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let Ok(text) = std::fs::read_to_string(tiny.join("manifest.json")) else {
        return Ok(Vec::new());
    };
    let manifest: serde_json::Value = serde_json::from_str(&text)?;
    let files = manifest["files"].as_object().ok_or("onnx/tiny/manifest.json names no files")?;
    Ok(std::iter::once("manifest.json".to_owned()).chain(files.keys().cloned()).collect())
}

/// The files of a folder, and their names below `prefix` in the program.
fn files_of(
    prefix: &str,
    folder: &Path,
) -> Result<Vec<(PathBuf, String)>, Box<dyn std::error::Error>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        files.push((entry.path(), format!("{prefix}/{}", entry.file_name().to_string_lossy())));
    }
    files.sort();
    Ok(files)
}
