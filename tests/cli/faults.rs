//! Messages of the program about faults of its own or of the machine: a panic, an adapter that cannot draw,
//! characters without a font.

use crate::support::{Folder, stderr};
use serde_json::Value;
use std::process::Command;

#[test]
#[ignore = "it panics for the test below, in a process of its own"]
fn a_process_that_panics() {
    vlmscope::logging::init();
    vlmscope::crash::install();
    log::warn!("a line before the panic");
    panic!("no place for `Where is the fox?` in the table");
}

#[cfg(target_os = "linux")]
#[test]
fn a_panic_is_logged_and_leaves_a_report_that_quotes_nothing() {
    let folder = Folder::new();
    let run = |report: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::a_process_that_panics", "--ignored", "--nocapture"])
            .arg("--test-threads=1")
            .env("XDG_DATA_HOME", folder.root())
            .env("VLMSCOPE_CRASH_REPORT", report)
            .output()
            .unwrap();
        assert!(!output.status.success());
        stderr(&output)
    };
    let told = run("");
    assert!(
        told.contains("panic: no place for `…` in the table, at tests/cli/faults.rs:"),
        "{told}"
    );
    let reports = folder.path("vlmscope").join("crashes");
    let report = std::fs::read_dir(&reports).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&report).unwrap();
    for part in ["panic: no place for `…` in the table", "a line before the panic", "backtrace:"]
    {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains("fox"), "{text}");
    assert!(run("full").contains("no place for `Where is the fox?` in the table"));
}

#[test]
fn doctor_and_render_agree_on_adapters_without_vulkan() {
    let folder = Folder::with_trace();
    let without_vulkan = |arguments: &[&str]| {
        folder.command(arguments).env("VK_ICD_FILENAMES", "/dev/null").output().unwrap()
    };
    let told: Value =
        serde_json::from_slice(&without_vulkan(&["doctor", "--json"]).stdout).unwrap();
    let graphics =
        told["findings"].as_array().unwrap().iter().find(|one| one["what"] == "graphics");
    let graphics = graphics.unwrap();
    let drawn = without_vulkan(&["render", "a.vlmtrace", "--view", "overlay", "--out", "x.png"]);
    assert_eq!(graphics["ok"], drawn.status.success(), "{graphics}: {}", stderr(&drawn));
    if graphics["ok"] == false {
        assert!(graphics["fix"].as_str().unwrap().contains("mesa-vulkan-drivers"), "{graphics}");
    }
}

#[test]
fn characters_that_no_font_has_are_named() {
    let folder = Folder::with_trace();
    let render = |caption: &str, out: &str| {
        let arguments =
            ["render", "a.vlmtrace", "--view", "overlay", "--size", "400x300", "--out", out];
        let output = folder.command(&arguments).args(["--caption", caption]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    assert_eq!(render("plain words", "a.png"), "");
    let told = render("a private character: \u{10fffd}", "b.png");
    assert!(
        told.starts_with("note: no installed font has the characters")
            && told.contains("apt install"),
        "{told}"
    );
}

#[test]
fn a_panorama_of_which_most_is_cut_away_is_told() {
    let folder = Folder::new();
    let wide = image::RgbImage::from_fn(4000, 100, |x, _| image::Rgb([(x % 251) as u8; 3]));
    wide.save(folder.path("pan.png")).unwrap();
    let ask = |mode: &str| {
        let arguments = ["ask", "pan.png", "What is this?", "--no-overlay", "--preprocess", mode];
        let output = folder.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let told = ask("default");
    assert!(told.contains("the model sees only the middle 2.5 % of this picture"), "{told}");
    assert!(!ask("pad").contains("the model sees only"));
}
