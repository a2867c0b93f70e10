//! Errors in the words of the window.
//!
//! Messages of traces, views and models are mostly read in a terminal, so their advice names commands and flags. In the
//! window it is replaced here, in one place: by what to do in the window, with a button where one command does it. A test
//! reads every message of the sources and fails on advice for the command line that has no words here.

use super::intent::Intent;
use super::shortcuts::UiCommand;
use super::widgets::capital;

/// Advice for the command line, and what takes its place in the window.
struct Words {
    command_line: &'static str,
    window: &'static str,
    /// A button, and the command that it sends.
    offer: Option<(&'static str, UiCommand)>,
}

const fn words(command_line: &'static str, window: &'static str) -> Words {
    Words { command_line, window, offer: None }
}

const fn offer(
    command_line: &'static str,
    window: &'static str,
    button: &'static str,
    command: UiCommand,
) -> Words {
    Words { command_line, window, offer: Some((button, command)) }
}

const COMPUTE: &str = "Compute relevancy";
const MODEL: &str = "Open a model…";

/// Longer advice comes before advice that is a part of it.
const WORDS: &[Words] = &[
    // Copied activations.
    words(" (--what ", " ("),
    // Maps.
    offer(
        "`vlmscope relevancy TRACE` adds relevancy maps to a trace.",
        "It can be computed for every word of this answer.",
        COMPUTE,
        UiCommand::ComputeRelevancy,
    ),
    offer(
        "Choose the attention (--map attention), or add maps with `vlmscope relevancy TRACE`.",
        "Choose the attention as the map (under Display), or compute relevancy.",
        COMPUTE,
        UiCommand::ComputeRelevancy,
    ),
    words(
        "Choose one of these with --map, or the attention (--map attention).",
        "Choose one of these, or the attention, as the map (under Display).",
    ),
    offer(
        "or compute it with `vlmscope relevancy TRACE --methods METHOD --token ",
        "or compute relevancy for every word; this concerns token ",
        COMPUTE,
        UiCommand::ComputeRelevancy,
    ),
    words(
        "or take the attention (--map attention).",
        "or choose the attention as the map (under Display).",
    ),
    words("; choose --map ", "; choose, under Display, the map "),
    words("or choose another with --map.", "or choose another map under Display."),
    words(
        "; choose --quantity question-share.",
        "; choose the question share as the quantity of the matrix.",
    ),
    words("(Y), or name a box with --box LEFT,TOP,RIGHT,BOTTOM.", "(Y)."),
    words(
        "(X), or name what differs with --second-trace, --second-token, --second-layer or --second-head.",
        "(X).",
    ),
    words("(What if), or run `vlmscope ablate TRACE --save`.", "(What if)."),
    words("; choose --token.", "; choose an answer token."),
    offer(
        "name what differs with --second-trace, --second-map, --second-token, --second-layer or --second-head (in a state file: a [second] table).",
        "pin a map, then choose another one to compare it with.",
        "Pin this map",
        UiCommand::PinMap,
    ),
    offer(
        "; use --view token-matrix.",
        "; the token matrix can be shown.",
        "Token matrix",
        UiCommand::ShowTokenMatrix,
    ),
    words(
        "`vlmscope inspect` lists the views of a trace.",
        "The bar above the stage lists the views.",
    ),
    words("one view of the picture (--span)", "one view of the picture (above the stage)"),
    words("(--original, or picture form `original`)", "(Picture: original, under Display)"),
    words(
        "(picture form `preprocessed`, without --original)",
        "(Picture: preprocessed, under Display)",
    ),
    words(
        "Ask again with `--rows all` to keep every position.",
        "Choose a token of the question or of the answer.",
    ),
    // Causal graphs.
    words(
        "ask the question again with `--rows all`, or capture it again",
        "ask the question again, or capture it again",
    ),
    offer(
        "; compute it with `vlmscope causal TRACE --token",
        "; Graph computes it for token",
        "Show the graph",
        UiCommand::ShowCauses,
    ),
    words(
        ", or compute it again with `vlmscope causal TRACE --token I --range",
        ": only the command line computes distance",
    ),
    words("compute it again with `vlmscope causal TRACE --token I`", "compute it again (Causes)"),
    words("compute it again with `vlmscope patch`", "compute it again (What if)"),
    words(
        "; compute them with `vlmscope patch TRACE OTHER --token",
        "; What if, Copied activations, computes them for token",
    ),
    // Traces.
    words(
        "write it again with `vlmscope ask`.",
        "ask the question again and save the answer (Ctrl+S).",
    ),
    words(
        "run the command again, or name another file with --out.",
        "open the file again, or save this answer under another name (Ctrl+S).",
    ),
    // The model.
    offer(
        "name a bundle with --model",
        "open a model folder (Ctrl+M)",
        MODEL,
        UiCommand::OpenModel,
    ),
    offer(
        "Name the trace's own bundle with --model, or ask the question again with this one.",
        "Open the folder of that model (Ctrl+M), or ask the question again with the present one.",
        MODEL,
        UiCommand::OpenModel,
    ),
    words(
        "Score the second question with the first answer (name the model with --model).",
        "Compare answers that begin alike.",
    ),
    words(
        "ask for fewer tokens or use --rows text; else run `vlmscope doctor --verify` on the bundle.",
        "ask for fewer tokens (under Sampling); else a file of the model may be damaged: fetch or export it again.",
    ),
    words(
        "Write it after --answer, or leave --answer out to let the model answer.",
        "Type it, or let the model answer.",
    ),
    words("allow more with --memory, ask", "ask"),
    words(
        "then name the library inside (onnxruntime/capi/libonnxruntime.so.1.32.0) with --ort-lib or ORT_DYLIB_PATH.",
        "then start the window again with the environment variable ORT_DYLIB_PATH set to the library inside (onnxruntime/capi/libonnxruntime.so.1.32.0).",
    ),
    // Films and packs.
    words(
        "A pack is a ZIP file that `vlmscope pack` wrote.",
        "A pack is a ZIP file that Pack wrote.",
    ),
    words("choose a smaller --fps", "choose fewer frames a second"),
    words("choose --encoder ffmpeg, a GIF or a PNG sequence", "choose a GIF or a PNG sequence"),
];

/// A message in the words of the window, as sentences, and the buttons that carry its advice out.
pub fn in_window(text: &str) -> (String, Vec<(&'static str, Intent)>) {
    let (mut text, mut offers) = (text.to_owned(), Vec::new());
    for words in WORDS {
        if !text.contains(words.command_line) {
            continue;
        }
        text = text.replace(words.command_line, words.window);
        let of_words =
            words.offer.filter(|(button, _)| offers.iter().all(|(own, _)| own != button));
        offers.extend(of_words.map(|(button, command)| (button, Intent::Ui(command))));
    }
    // The rest of advice that ended with a number: "`vlmscope … --token 3`."
    (sentence(&text.replace("`.", ".")), offers)
}

/// A message with a capital letter at its beginning and a full stop at its end. A name at the beginning (of a file, in
/// quotes or with a capital inside) stays as it is, and so does the end of several lines, which may quote a file.
fn sentence(text: &str) -> String {
    let word = text.split([' ', ',', ':']).next().unwrap_or_default();
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    let mut text = if is_plain { capital(text) } else { text.to_owned() };
    let is_open = |c: char| c.is_alphanumeric() || matches!(c, ')' | '`' | '”' | '"' | '%');
    if !text.contains('\n') && text.ends_with(is_open) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::path::{Path, PathBuf};

    /// Texts with advice for the command line that the window never shows, each with the reason.
    const NEVER_SHOWN: &[(&str, &str)] = &[
        ("Check the path given to --state.", "the window reads no state files"),
        ("Check the path given to --edit.", "the window reads no files of edits"),
        ("--ort-lib at its libonnxruntime, or use --device cpu.", "the window asks for no device"),
        (
            "needs the model; `vlmscope {command}` computes it",
            "such methods run on the model's thread",
        ),
        (
            "`vlmscope ask --rows all` otherwise)",
            "the window offers no method that needs these rows",
        ),
        ("what a client of `vlmscope serve` sends", "the window is no server"),
        ("`vlmscope occlusion`", "the table of methods is no message"),
        ("Name the field with --columns", "the window reads no data sets"),
        ("or they are named with --columns", "the window reads no data sets"),
        ("leave out --adapter.", "without an adapter there is no window"),
        ("choose another one with --adapter.", "without an adapter there is no window"),
        ("choose another with --adapter", "without a surface there is no window"),
        (
            "`vlmscope doctor`; another adapter may work (--adapter).",
            "only a start can choose the adapter",
        ),
        ("Fetch it with `pip download", "only pip can fetch the library"),
        ("export with --dtype f32", "only the exporter can do it"),
        ("`python onnx/export.py", "only the exporter can do it"),
        ("Without one, use `vlmscope", "without a display there is no window"),
        ("for vlmscope ask PICTURE QUESTION --edit FILE", "the file is for the command line"),
        ("`vlmscope diff FIRST OTHER --out SECOND.vlmtrace`", "the user copied a command line"),
        ("vlmscope render {trace} --state", "the user copied a command line"),
    ];

    /// The string literals of a Rust source with their lines, without those of its tests.
    fn literals(source: &str) -> Vec<(usize, String)> {
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let mut chars = source.chars().peekable();
        let (mut found, mut line) = (Vec::new(), 1);
        while let Some(c) = chars.next() {
            match c {
                '\n' => line += 1,
                '/' if chars.peek() == Some(&'/') => {
                    while chars.next_if(|c| *c != '\n').is_some() {}
                }
                // The character '"'.
                '\'' if chars.peek() == Some(&'"') => {
                    chars.next();
                }
                '"' => {
                    let (begin, mut text) = (line, String::new());
                    while let Some(c) = chars.next() {
                        match c {
                            '"' => break,
                            '\\' => match chars.next() {
                                // A continued line begins with its first word.
                                Some('\n') => {
                                    line += 1;
                                    while let Some(c) = chars.next_if(|c| c.is_whitespace()) {
                                        line += usize::from(c == '\n');
                                    }
                                }
                                Some('n') => text.push('\n'),
                                Some(c) => text.push(c),
                                None => break,
                            },
                            c => {
                                line += usize::from(c == '\n');
                                text.push(c);
                            }
                        }
                    }
                    found.push((begin, text));
                }
                _ => {}
            }
        }
        found
    }

    /// Whether a text advises a command or a flag of the program.
    fn is_for_the_command_line(text: &str) -> bool {
        let mut words = text.split(|c: char| c.is_whitespace() || "`(\"',;".contains(c));
        let is_flag = |word: &str| {
            word.strip_prefix("--")
                .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        };
        text.contains("`vlmscope ") || words.any(is_flag)
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn no_message_of_the_window_advises_the_command_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        sources(&root, &mut paths);
        let of_program = ["cli", "main.rs", "lib.rs", "ui/wording.rs", "ui/python_line.rs"];
        paths.retain(|path| !of_program.iter().any(|own| path.starts_with(root.join(own))));
        assert!(paths.len() > 200, "the sources are read");
        let (mut wrong, mut all) = (Vec::new(), String::new());
        for path in &paths {
            for (line, text) in literals(&std::fs::read_to_string(path).unwrap()) {
                all.push_str(&text);
                all.push('\n');
                let shown = in_window(&text).0;
                let is_known = NEVER_SHOWN.iter().any(|(known, _)| text.contains(known));
                // The name of a flag by itself is no message.
                if is_for_the_command_line(&shown) && !is_known && text.contains(' ') {
                    wrong.push(format!("{}:{line}: {shown}", path.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "give these words of the window:\n{}", wrong.join("\n"));
        for words in WORDS {
            assert!(all.contains(words.command_line), "no message says: {}", words.command_line);
            assert!(!is_for_the_command_line(words.window), "{}", words.window);
        }
        for (known, _) in NEVER_SHOWN {
            assert!(all.contains(known), "no message says: {known}");
        }
    }

    #[test]
    fn advice_becomes_a_button() {
        let text = "the map `relevancy.llm` was not computed for answer token 3. Choose another token, or compute it with `vlmscope relevancy TRACE --methods METHOD --token 3`.";
        let (text, offers) = in_window(text);
        assert!(
            text.ends_with("or compute relevancy for every word; this concerns token 3."),
            "{text}"
        );
        assert!(matches!(offers[..], [(COMPUTE, Intent::Ui(UiCommand::ComputeRelevancy))]));
        assert_eq!(in_window("All is well.").0, "All is well.");
    }

    #[test]
    fn messages_are_sentences() {
        for (text, shown) in [
            ("cannot read a.png: no such file", "Cannot read a.png: no such file."),
            ("the trace has no picture. Open another.", "The trace has no picture. Open another."),
            ("cancelled", "Cancelled."),
            ("a.vlmtrace was changed", "a.vlmtrace was changed."),
            ("`[steps]` is missing (see line 3)", "`[steps]` is missing (see line 3)."),
            ("wait …", "Wait …"),
            ("line 1: unknown field\n  x = 1", "Line 1: unknown field\n  x = 1"),
            ("", ""),
            ("é", "é."),
        ] {
            assert_eq!(in_window(text).0, shown);
        }
    }
}
