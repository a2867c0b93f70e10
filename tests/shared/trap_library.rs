//! A library that must not be loaded, shared by the tests of the program and of the engine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The file that a library of [`build`] writes into its folder when it is loaded.
pub const MARKER: &str = "was-loaded";

/// Builds a library in `folder` that says it is ONNX Runtime of this version, and returns its path.
pub fn build(folder: &Path, version: &str) -> PathBuf {
    let (source, script) = (folder.join("trap.c"), folder.join("trap.map"));
    let marker = folder.join(MARKER);
    let code = format!(
        "#include <stdio.h>\n\
         static const char padding[2 << 20] = {{1}};\n\
         const char *use(void) {{ return padding; }}\n\
         __attribute__((constructor)) static void start(void) {{ FILE *f = fopen({marker:?}, \"w\"); if (f) fclose(f); }}\n\
         const void *OrtGetApiBase(void) {{ return 0; }}\n"
    );
    std::fs::write(&source, code).unwrap();
    let exports = format!("VERS_{version} {{ global: OrtGetApiBase; use; }};\n");
    std::fs::write(&script, exports).unwrap();
    let library = folder.join(format!("libonnxruntime.so.{version}"));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg(format!("-Wl,--version-script={}", script.display()))
        .status()
        .unwrap();
    assert!(compiled.success());
    library
}
