//! The program as a wheel installs it: PREFIX/bin/vlmscope beside PREFIX/lib/python3…/site-packages.

use crate::support::PROGRAM;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder laid out like a Python environment with vlmscope and ONNX Runtime in it.
struct Environment {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Environment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        let capi = folder.path().join("lib/python3.12/site-packages/onnxruntime/capi");
        for new in [&bin, &capi] {
            std::fs::create_dir_all(new).unwrap();
        }
        if std::fs::hard_link(PROGRAM, bin.join("vlmscope")).is_err() {
            std::fs::copy(PROGRAM, bin.join("vlmscope")).unwrap();
        }
        let usable = vlmscope::model::runtime_candidates(None);
        let usable = usable.into_iter().find(|candidate| candidate.version.is_ok()).unwrap();
        let library = capi.join("libonnxruntime.so.1.32.0");
        std::fs::copy(&usable.path, &library).unwrap();
        Self { folder, library }
    }

    /// `doctor --json` without any variable that names a library, a folder or a Python.
    fn doctor(&self, data: &Path) -> String {
        let output = Command::new(self.folder.path().join("bin/vlmscope"))
            .args(["doctor", "--json"])
            .env_clear()
            .envs([("HOME", "/none"), ("PATH", "/none")])
            .env("XDG_DATA_HOME", data)
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn the_onnx_runtime_of_its_own_environment_is_used() {
    let environment = Environment::new();
    // A library in the user's data folder comes later.
    let data = environment.folder.path().join("data");
    let other = data.join("vlmscope/onnxruntime/libonnxruntime.so.1.32.0");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::copy(&environment.library, &other).unwrap();
    let used = |path: &Path| format!("{} (", path.display());
    let report = environment.doctor(&data);
    assert!(report.contains(&used(&environment.library)), "{report}");
    // It is checked as any library that was found.
    std::fs::set_permissions(&environment.library, std::fs::Permissions::from_mode(0o666)).unwrap();
    let report = environment.doctor(&data);
    assert!(report.contains("every user may write it"), "{report}");
    assert!(report.contains(&used(&other)), "{report}");
}
