//! The `vlmscope` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    vlmscope::cli::run()
}
