//! Commands on files and folders from strangers.

use crate::support::{command, refused, stderr};
#[cfg(target_os = "linux")]
use crate::trap_library;
use std::path::Path;
use std::process::Output;
use vlmscope::edit::Edits;

fn run(folder: &Path, args: &[&str], variables: &[(&str, &Path)]) -> Output {
    command(folder, args).envs(variables.iter().copied()).output().unwrap()
}

/// Two virtual environments in `folder` with a library that must not be loaded.
#[cfg(target_os = "linux")]
fn trap(folder: &Path) {
    let packages = "lib/python3.11/site-packages/onnxruntime/capi";
    let library = trap_library::build(folder, "1.99.0");
    for name in [".venv", "venv"] {
        let capi = folder.join(name).join(packages);
        std::fs::create_dir_all(&capi).unwrap();
        std::fs::copy(&library, capi.join("libonnxruntime.so.1.99.0")).unwrap();
        let bin = folder.join(name).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("python3"), "").unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_loaded_from_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    trap(folder.path());
    let marker = folder.path().join(trap_library::MARKER);
    let doctor = run(folder.path(), &["doctor", "--json"], &[]);
    assert!(!marker.exists(), "doctor loaded it");
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let inside = folder.path().to_string_lossy().into_owned();
    assert!(!report.contains(&inside), "{report}");
    // Relative paths in variables mean the current folder, too. Without any other library the
    // question fails rather than look here.
    let question = ["ask", "sample:1", "What is this?", "--no-overlay"];
    let variables = [
        ("XDG_DATA_HOME", Path::new("/none")),
        ("PATH", Path::new("venv/bin:.venv/bin")),
        ("VIRTUAL_ENV", Path::new(".venv")),
        ("ORT_DYLIB_PATH", Path::new("")),
    ];
    let output = run(folder.path(), &question, &variables);
    assert!(!marker.exists(), "ask loaded it: {}", stderr(&output));
    // A virtual environment that is given by its full path is used, and the library in it is loaded.
    let named = folder.path().join(".venv");
    let variables = [
        ("XDG_DATA_HOME", Path::new("/none")),
        ("PATH", Path::new("/none")),
        ("VIRTUAL_ENV", named.as_path()),
        ("ORT_DYLIB_PATH", Path::new("")),
    ];
    run(folder.path(), &question, &variables);
    assert!(marker.exists(), "the library of this test would not have told");
}

#[cfg(target_os = "linux")]
#[test]
fn a_bad_library_does_not_hide_a_good_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    trap(folder.path());
    let environment = folder.path().join(".venv");
    let capi = environment.join("lib/python3.11/site-packages/onnxruntime/capi");
    let good = vlmscope::model::runtime_candidates(None);
    let good = good.into_iter().find(|candidate| candidate.version.is_ok()).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("vlmscope/onnxruntime")).unwrap();
    // The data folder comes before Python's packages; there lies one that everybody may write.
    let open = data.join("vlmscope/onnxruntime/libonnxruntime.so.1.99.0");
    std::fs::copy(folder.path().join("libonnxruntime.so.1.99.0"), &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::remove_file(capi.join("libonnxruntime.so.1.99.0")).unwrap();
    std::fs::copy(&good.path, capi.join("libonnxruntime.so.1.32.0")).unwrap();
    let variables = [
        ("XDG_DATA_HOME", data.as_path()),
        ("VIRTUAL_ENV", environment.as_path()),
        ("ORT_DYLIB_PATH", Path::new("")),
    ];
    let output = run(folder.path(), &["doctor", "--json"], &variables);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!folder.path().join(trap_library::MARKER).exists(), "{report}");
    assert!(report.contains("every user may write it"), "{report}");
    assert!(
        report.contains(&format!("{} (", capi.join("libonnxruntime.so.1.32.0").display())),
        "{report}"
    );
}

#[test]
fn a_walkthrough_with_too_much_in_it_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/traces/format-1.0.vlmtrace");
    let head = format!("version = 1\ntrace = {trace:?}\n");
    let steps = "[[step]]\ncaption = \"one\"\nseconds = 1\n".repeat(100_000);
    std::fs::write(folder.path().join("steps.toml"), format!("{head}{steps}")).unwrap();
    let caption = format!("[[step]]\ncaption = \"{}\"\n", "word ".repeat(200_000));
    std::fs::write(folder.path().join("caption.toml"), format!("{head}{caption}")).unwrap();
    let check = |name| ["walkthrough", "check", name];
    refused(folder.path(), &check("steps.toml"), 1, &["steps.toml, line 30003", "at most 10000"]);
    refused(
        folder.path(),
        &check("caption.toml"),
        1,
        &["caption.toml, line 3", "1000000 characters"],
    );
}

#[test]
fn a_blur_of_a_huge_picture_is_refused() {
    let area = "area = { outline = { shape = 'rectangle', rect = { x = 0.0, y = 0.0, width = 9.0, height = 9.0 } } }";
    let edits = |side: u32| {
        let step = format!("tool = 'fill'\n{area}\nwith = {{ kind = 'blur', sigma = 2.0 }}");
        Edits::from_toml(&format!("version = 1\nsize = [{side}, {side}]\n[[step]]\n{step}\n"))
    };
    edits(8_000).unwrap();
    let error = edits(8_001).unwrap_err().to_string();
    assert!(error.contains("more than 64 million pixels cannot be blurred"), "{error}");
}

#[test]
fn edits_that_would_take_minutes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::new(1000, 1000).save(folder.path().join("a.png")).unwrap();
    let head = "version = 1\nsize = [1000, 1000]\n";
    let stroke = |points: &str| {
        format!(
            "[[step]]\ntool = \"stroke\"\npoints = [{points}]\nbrush = {{ size = 60.0 }}\ncolor = [1, 2, 3]\n"
        )
    };
    let points: String =
        (0..1_000_000).map(|at| format!("[{}.0, {}.0],", at % 1000, at / 1000)).collect();
    std::fs::write(folder.path().join("points.toml"), format!("{head}{}", stroke(&points)))
        .unwrap();
    let lines = stroke("[0.0, 0.0], [1000.0, 1000.0], [0.0, 1000.0]").repeat(20_000);
    std::fs::write(folder.path().join("strokes.toml"), format!("{head}{lines}")).unwrap();
    for name in ["points.toml", "strokes.toml"] {
        let args = ["edit", "a.png", name, "--out", "b.png"];
        refused(folder.path(), &args, 1, &["the edits are too expensive at step", "(stroke)"]);
    }
}

/// A pack with this walkthrough and no trace.
fn zip_of(path: &Path, walkthrough: &str) {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    zip.start_file("walkthrough.toml", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(walkthrough.as_bytes()).unwrap();
    zip.finish().unwrap();
}

#[test]
fn a_pack_carries_no_trace_from_elsewhere_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/traces/format-1.0.vlmtrace");
    std::fs::create_dir_all(folder.path().join("mine/talk/deep")).unwrap();
    for place in ["mine/private.vlmtrace", "mine/talk/deep/own.vlmtrace"] {
        std::fs::copy(fixture, folder.path().join(place)).unwrap();
    }
    let write = |name: &str, trace: &str| {
        let text = format!("version = 1\ntrace = {trace:?}\n[[step]]\n");
        std::fs::write(folder.path().join("mine/talk").join(name), text).unwrap();
    };
    write("own.toml", "deep/own.vlmtrace");
    write("up.toml", "../private.vlmtrace");
    let absolute = folder.path().join("mine/private.vlmtrace");
    write("absolute.toml", absolute.to_str().unwrap());
    let talk = folder.path().join("mine/talk");
    for name in ["up.toml", "absolute.toml"] {
        let pack = ["pack", name, "--out", "a.zip"];
        refused(&talk, &pack, 2, &[name, "private.vlmtrace", "--allow-outside"]);
        assert!(!talk.join("a.zip").exists());
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../private.vlmtrace", talk.join("link.vlmtrace")).unwrap();
        write("link.toml", "link.vlmtrace");
        refused(&talk, &["pack", "link.toml", "--out", "a.zip"], 2, &["--allow-outside"]);
    }
    for args in [
        &["pack", "own.toml", "--out", "own.zip"][..],
        &["pack", "up.toml", "--out", "up.zip", "--allow-outside"],
    ] {
        let output = run(&talk, args, &[]);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
    // A pack that somebody made by hand shows nothing but its own traces.
    for (name, trace) in
        [("absolute.zip", absolute.to_str().unwrap()), ("up.zip", "../../mine/private.vlmtrace")]
    {
        let text = format!("version = 1\ntrace = {trace:?}\n[[step]]\n");
        zip_of(&talk.join(name), &text);
        let words = [name, "private.vlmtrace", "is not in the pack"];
        refused(&talk, &["walkthrough", "check", name], 1, &words);
        refused(&talk, &["record", name, "--out", "a.gif"], 1, &words);
        let pack = ["pack", name, "--out", "b.zip", "--allow-outside"];
        refused(&talk, &pack, 1, &words);
    }
    // A pack is packed again from where it was unpacked.
    let output = run(&talk, &["pack", "own.zip", "--out", "again.zip"], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_damaged_built_in_model_is_unpacked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let samples = vlmscope::model::builtin::samples().unwrap();
    let question = &samples[0].questions[0];
    let ask = || {
        let args = ["ask", "sample:1", &question.text, "--no-overlay"];
        let output = run(folder.path(), &args, &[("XDG_CACHE_HOME", folder.path())]);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(ask(), question.answer);
    let entries = std::fs::read_dir(folder.path().join("vlmscope")).unwrap();
    let bundle = entries.map(|entry| entry.unwrap().path()).next().unwrap();
    for name in ["decoder.data", "decoder.onnx"] {
        let path = bundle.join(name);
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        std::fs::write(&path, vec![0; length]).unwrap();
        assert_eq!(ask(), question.answer, "{name}");
    }
}
