//! Puts the built-in model and its sample pictures into the program, so that one file runs anywhere.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let tiny = root.join("onnx/tiny");
    println!("cargo::rerun-if-changed=onnx/tiny/manifest.json");
    println!("cargo::rerun-if-changed=onnx/tiny/samples");
    let mut code = String::from(
        "/// Name and bytes of each file.\npub(super) static FILES: &[(&str, &[u8])] = &[\n",
    );
    for name in bundle_files(&tiny)?.iter().chain(&sample_files(&tiny)?) {
        let path = tiny.join(name);
        println!("cargo::rerun-if-changed=onnx/tiny/{name}");
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

fn sample_files(tiny: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let Ok(entries) = std::fs::read_dir(tiny.join("samples")) else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(format!("samples/{}", entry?.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names)
}
